//! Staying with a program in the foreground: its terminal, our signals, its exit code. And what
//! is told to others about it: its number, its console.

use crate::error::{Error, Result};
use crate::sys::signal::{self, Set};
use crate::sys::stream::{self, Moved};
use crate::sys::{poll, process, socket, terminal};
use rustix::event::PollFlags;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::time::Duration;

/// Where a caller wants to be told.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Output {
    pub pid_file: Option<PathBuf>,
    pub console: Option<PathBuf>,
}

impl Output {
    /// A terminal needs somebody to hold its master: us in the foreground, or the socket's owner.
    pub fn check(&self, is_terminal: bool, is_left_alone: bool) -> Result<()> {
        let message = match (is_terminal, is_left_alone, self.console.is_some()) {
            (true, true, false) => {
                "cannot allocate tty if runc will detach without setting console socket"
            }
            (false, _, true) | (_, false, true) => {
                "cannot use console socket if runc will not detach or allocate tty"
            }
            _ => return Ok(()),
        };
        Err(Error::invalid(message))
    }

    /// Written beside and renamed, so that a watcher never reads half a number.
    pub fn write_pid(&self, pid: i32) -> Result<()> {
        let Some(path) = &self.pid_file else {
            return Ok(());
        };
        let mut new = path.clone().into_os_string();
        new.push(".new");
        std::fs::write(&new, pid.to_string())
            .and_then(|()| std::fs::rename(&new, path))
            .map_err(|error| Error::io(format_args!("write {}", path.display()), &error))
    }

    pub fn send_console(&self, console: Option<OwnedFd>) -> Result<()> {
        let (Some(path), Some(console)) = (&self.console, console) else {
            return Ok(());
        };
        let socket = socket::connect(path)?;
        // runc's convention: the message is the terminal's name.
        socket::send(&socket, b"/dev/pts/ptmx", &[console.as_fd()])
    }
}

/// Our signals, held back from before the program exists.
pub struct Foreground {
    signals: OwnedFd,
}

/// What is on its way from one side of the terminal to the other.
#[derive(Default)]
struct Pending {
    bytes: Vec<u8>,
    has_ended: bool,
}

impl Foreground {
    pub fn new() -> Result<Foreground> {
        signal::set_mask(Set::ALL)?;
        Ok(Foreground {
            signals: signal::descriptor(Set::ALL)?,
        })
    }

    /// Until the program has ended; answers its exit code.
    pub fn follow(self, pidfd: OwnedFd, console: Option<OwnedFd>) -> Result<u8> {
        match console {
            Some(master) => self.pump(&pidfd, &master)?,
            None => self.wait(&pidfd)?,
        }
        let code = process::reap(&pidfd)?;
        Ok(u8::try_from(code).unwrap_or(255))
    }

    fn wait(&self, pidfd: &OwnedFd) -> Result<()> {
        loop {
            let fds = [
                (pidfd.as_fd(), PollFlags::IN),
                (self.signals.as_fd(), PollFlags::IN),
            ];
            let ready = poll::wait(&fds, None)?;
            self.pass_signals(pidfd, None);
            if ready.first().is_some_and(|events| !events.is_empty()) {
                return Ok(());
            }
        }
    }

    /// Our own terminal, raw, and the container's: bytes both ways, and the size.
    fn pump(&self, pidfd: &OwnedFd, master: &OwnedFd) -> Result<()> {
        let stdin = rustix::stdio::stdin();
        stream::set_nonblocking(master)?;
        // Without a terminal of ours there is no mode to change.
        let _raw = terminal::raw(stdin).ok();
        pass_size(master);

        let mut input = Pending::default();
        loop {
            let writes = match input.bytes.is_empty() {
                true => PollFlags::IN,
                false => PollFlags::IN | PollFlags::OUT,
            };
            let mut fds = vec![
                (pidfd.as_fd(), PollFlags::IN),
                (self.signals.as_fd(), PollFlags::IN),
                (master.as_fd(), writes),
            ];
            if input.bytes.is_empty() && !input.has_ended {
                fds.push((stdin, PollFlags::IN));
            }
            let ready = poll::wait(&fds, None)?;
            let is_ready = |at: usize| ready.get(at).is_some_and(|events| !events.is_empty());
            self.pass_signals(pidfd, Some(master));
            if is_ready(3) {
                input.take();
            }
            input.give(master);
            let open = print(master);
            if is_ready(0) || !open {
                return self.drain(pidfd, master);
            }
        }
    }

    /// The program has ended or its terminal has: the last of its output, but not that of
    /// processes it left behind.
    fn drain(&self, pidfd: &OwnedFd, master: &OwnedFd) -> Result<()> {
        self.wait(pidfd)?;
        let patience = Some(Duration::from_millis(10));
        while print(master) {
            let ready = poll::wait(&[(master.as_fd(), PollFlags::IN)], patience)?;
            if ready.first().is_none_or(|events| events.is_empty()) {
                break;
            }
        }
        Ok(())
    }

    fn pass_signals(&self, pidfd: &OwnedFd, master: Option<&OwnedFd>) {
        const SIGWINCH: i32 = 28;
        while let Some(number) = signal::take(&self.signals) {
            match (number, master) {
                (signal::SIGCHLD, _) => {}
                (SIGWINCH, Some(master)) => pass_size(master),
                // Ended meanwhile: nobody to tell.
                _ => drop(process::signal(pidfd, number)),
            }
        }
    }
}

impl Pending {
    fn take(&mut self) {
        let mut buffer = [0u8; 4096];
        match stream::read(rustix::stdio::stdin(), &mut buffer) {
            Moved::Bytes(count) => self.bytes.extend_from_slice(&buffer[..count]),
            Moved::Later => {}
            Moved::End => self.has_ended = true,
        }
    }

    fn give(&mut self, master: &OwnedFd) {
        if self.bytes.is_empty() {
            return;
        }
        match stream::write(master, &self.bytes) {
            Moved::Bytes(count) => drop(self.bytes.drain(..count)),
            Moved::Later => {}
            Moved::End => self.bytes.clear(),
        }
    }
}

/// Print what the terminal has for us; false when it has ended.
fn print(master: &OwnedFd) -> bool {
    use std::io::Write;
    let mut buffer = [0u8; 8192];
    loop {
        match stream::read(master, &mut buffer) {
            Moved::Bytes(count) => {
                // Nobody to read it is not the program's fault: it runs on.
                let mut out = std::io::stdout().lock();
                let _ = out.write_all(&buffer[..count]).and_then(|()| out.flush());
            }
            Moved::Later => return true,
            Moved::End => return false,
        }
    }
}

fn pass_size(master: &OwnedFd) {
    if let Some((rows, columns)) = terminal::size(rustix::stdio::stdin()) {
        let _ = stream::set_size(master, rows, columns);
    }
}
