//! Carries bytes between the user and a process of a container, by its shim and nobody else.

use crate::applets::client::print;
use crate::applets::client::pump::Output;
use crate::error::{Error, Result};
use crate::shim::client::Shim;
use crate::sys::{poll, signal, socket, terminal};
use rustix::event::PollFlags;
use std::fs::File;
use std::io::{ErrorKind, IsTerminal, Read};
use std::os::fd::{AsFd, OwnedFd};

const SIGQUIT: i32 = 3;
const SIGWINCH: i32 = 28;

/// Which process, and how.
pub struct Session<'a> {
    pub shim: &'a Shim,
    /// `None`: the container's first process, which gets our signals.
    pub exec: Option<&'a str>,
    pub tty: bool,
    pub stdin: bool,
}

/// Signals and terminal as a session needs them, from before the process starts.
pub struct Guard {
    signals: OwnedFd,
    before: signal::Set,
    _raw: Option<terminal::Raw>,
}

/// `takes_signals`: they are for the process.
pub fn guard(takes_signals: bool, is_raw: bool) -> Result<Guard> {
    let mut set = signal::Set::of(&[SIGWINCH]);
    if takes_signals || is_raw {
        for number in [signal::SIGHUP, signal::SIGINT, SIGQUIT, signal::SIGTERM] {
            set = set.with(number);
        }
    }
    let signals = signal::descriptor(set)?;
    let before = signal::set_mask(set)?;
    let stdin = std::io::stdin();
    let raw = match is_raw && stdin.is_terminal() {
        true => Some(terminal::raw(&stdin)?),
        false => None,
    };
    Ok(Guard {
        signals,
        before,
        _raw: raw,
    })
}

impl Drop for Guard {
    fn drop(&mut self) {
        // What is pending was for the process, which has ended.
        while signal::take(&self.signals).is_some() {}
        let _ = signal::set_mask(self.before);
    }
}

/// The user's input on its way: read, and not yet taken.
struct Input {
    file: File,
    pending: Vec<u8>,
    is_ended: bool,
}

impl Session<'_> {
    /// Carry until the other end has closed.
    pub fn carry(&self, guard: &Guard, stream: OwnedFd) -> Result<()> {
        let mut stream = File::from(stream);
        let mut output = Output::new(self.tty);
        let mut input = None;
        if self.stdin {
            let fd = std::io::stdin().as_fd().try_clone_to_owned();
            let fd = fd.map_err(|error| Error::io("dup standard input", &error))?;
            input = Some(Input {
                file: File::from(fd),
                pending: Vec::new(),
                is_ended: false,
            });
        } else {
            socket::shutdown_write(&stream);
        }
        self.resize();
        let mut buffer = vec![0u8; 32 << 10];
        loop {
            let is_waiting = input
                .as_ref()
                .is_some_and(|input| !input.pending.is_empty());
            let mut events = PollFlags::IN;
            events.set(PollFlags::OUT, is_waiting);
            let mut fds = vec![
                (stream.as_fd(), events),
                (guard.signals.as_fd(), PollFlags::IN),
            ];
            if let Some(input) = input.as_ref().filter(|_| !is_waiting) {
                fds.push((input.file.as_fd(), PollFlags::IN));
            }
            let ready = poll::wait(&fds, None)?;
            let is_ready = |n: usize| ready.get(n).is_some_and(|events| !events.is_empty());

            if is_ready(1) {
                self.take_signals(guard);
            }
            if let Some(typed) = &mut input {
                if is_ready(2) {
                    typed.read(&mut buffer);
                }
                if typed.send(&stream) {
                    input = None;
                }
            }
            let has_come = PollFlags::IN | PollFlags::HUP | PollFlags::ERR;
            if ready[0].intersects(has_come) {
                match stream.read(&mut buffer) {
                    Ok(0) => return Ok(()),
                    Ok(count) => output.write(&buffer[..count])?,
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    Err(error) if error.kind() == ErrorKind::ConnectionReset => return Ok(()),
                    Err(error) => return Err(Error::io("read from the shim", &error)),
                }
            }
        }
    }

    fn take_signals(&self, guard: &Guard) {
        while let Some(number) = signal::take(&guard.signals) {
            let taken = match (number, self.exec) {
                (SIGWINCH, _) => {
                    self.resize();
                    Ok(())
                }
                (number, None) => self.shim.kill(number, true),
                // A shim passes none on to a further process: the terminal's keys do that.
                (_, Some(_)) => Ok(()),
            };
            if let Err(error) = taken {
                let _ = print::err(format!("{error}\n"));
            }
        }
    }

    fn resize(&self) {
        let size = terminal::size(std::io::stdout()).filter(|_| self.tty);
        if let Some((height, width)) = size {
            // It may be too early or too late.
            let _ = self.shim.resize(self.exec, height, width);
        }
    }
}

impl Input {
    fn read(&mut self, buffer: &mut [u8]) {
        match self.file.read(buffer) {
            Ok(0) => self.is_ended = true,
            Ok(count) => self.pending.extend_from_slice(&buffer[..count]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            // A terminal whose other end has gone.
            Err(_) => self.is_ended = true,
        }
    }

    /// Send what is taken without waiting; true when there is no more to come.
    fn send(&mut self, stream: &File) -> bool {
        while !self.pending.is_empty() {
            match socket::send_some(stream, &self.pending) {
                Ok(0) => return false,
                Ok(count) => drop(self.pending.drain(..count)),
                Err(_) => return true,
            }
        }
        if self.is_ended {
            socket::shutdown_write(stream);
        }
        self.is_ended
    }
}
