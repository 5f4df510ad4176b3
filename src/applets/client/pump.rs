//! Carries bytes between the user and a container: one loop, one thread.
//!
//! Ends when the engine closes the stream, so everything that was written is shown. Keys go out as
//! fast as the engine takes them: while it does not, nothing more is read from the user, and the
//! output flows on (with `yes | tug run -i image cat` a blocking write would wait for ever).

use super::print;
use super::remote::Engine;
use crate::error::{Error, Kind, Result};
use crate::http::client::Upgraded;
use crate::sys::{poll, signal, socket, terminal};
use crate::wire::stdcopy::{self, HEADER_BYTES, Stream};
use rustix::event::PollFlags;
use std::fs::File;
use std::io::{IsTerminal, Read};
use std::os::fd::{AsFd, OwnedFd};

/// From <signal.h>; the same on x86 and ARM.
const SIGQUIT: i32 = 3;
const SIGWINCH: i32 = 28;

/// What is not for the container: our own children and pipes, what tells of our own mistakes (ILL,
/// TRAP, ABRT, BUS, FPE, SEGV, URG, SYS), and the shell's control over who has the terminal.
const OURS: [i32; 12] = [
    4,
    5,
    6,
    7,
    8,
    11,
    signal::SIGPIPE,
    signal::SIGCHLD,
    signal::SIGTTIN,
    signal::SIGTTOU,
    23,
    31,
];

/// So often a user asks a container that does not listen; then we go without it (Docker's
/// forceExitAfter3TerminationSignals).
const ASKS_MAX: u32 = 3;

/// What a session is with.
pub struct Session<'a> {
    pub engine: &'a Engine,
    /// `/containers/ID` or `/exec/ID`, for resizing.
    pub path: String,
    /// The container that gets our signals.
    pub signals: Option<&'a str>,
    pub tty: bool,
    pub stdin: bool,
    pub detach_keys: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The other end has closed.
    Closed,
    /// The user typed the detach keys.
    Detached,
    /// A signal that asks this program to end.
    Signal(i32),
    /// The user asked again and again, and the container did not listen.
    Forced,
}

/// Signals and terminal as a session needs them; back to normal when dropped.
pub struct Guard {
    signals: OwnedFd,
    before: signal::Set,
    _raw: Option<terminal::Raw>,
}

impl Session<'_> {
    /// Take over signals and terminal; call it before the container starts, so that no signal is
    /// lost and the terminal has its size from the first byte on.
    pub fn guard(&self) -> Result<Guard> {
        let set = match (self.signals, self.tty) {
            (Some(_), _) => OURS.iter().fold(signal::Set::ALL, |set, n| set.without(*n)),
            // What would end us with the terminal in raw mode.
            (None, true) => signal::Set::of(&[
                signal::SIGHUP,
                signal::SIGINT,
                SIGQUIT,
                signal::SIGTERM,
                SIGWINCH,
            ]),
            (None, false) => signal::Set::EMPTY,
        };
        let signals = signal::descriptor(set)?;
        // Children do not exist, so the mask matters to this process only.
        let before = signal::set_mask(set)?;
        let stdin = std::io::stdin();
        let raw = match self.tty && self.stdin && stdin.is_terminal() {
            true => Some(terminal::raw(&stdin)?),
            false => None,
        };
        Ok(Guard {
            signals,
            before,
            _raw: raw,
        })
    }

    /// Tell the engine how large the terminal is. It may be too early or too late for that.
    pub fn resize(&self) {
        self.resize_by(0);
    }

    /// As if the terminal were larger than it is.
    pub fn resize_by(&self, more: u16) {
        if let Some((height, width)) = terminal::size(std::io::stdout()) {
            let (height, width) = (height.saturating_add(more), width.saturating_add(more));
            let path = format!("{}/resize?h={height}&w={width}", self.path);
            let _ = self.engine.post(&path);
        }
    }

    /// Carry bytes until the end.
    pub fn run(&self, guard: &Guard, upgraded: Upgraded) -> Result<End> {
        let mut stream = File::from(upgraded.stream);
        let mut output = Output::new(self.tty);
        output.write(&upgraded.leftover)?;
        let mut input = self
            .stdin
            .then(|| Input::new(&self.detach_keys))
            .transpose()?;
        if !self.stdin {
            socket::shutdown_write(&stream);
        }
        let mut buffer = vec![0u8; 32 * 1024];
        let mut asks = 0;
        loop {
            let waiting = input
                .as_ref()
                .is_some_and(|input| !input.pending.is_empty());
            let mut events = PollFlags::IN;
            events.set(PollFlags::OUT, waiting);
            let mut fds = vec![
                (stream.as_fd(), events),
                (guard.signals.as_fd(), PollFlags::IN),
            ];
            if let Some(input) = input.as_ref().filter(|input| !waiting && !input.is_ended) {
                fds.push((input.file.as_fd(), PollFlags::IN));
            }
            let ready = poll::wait(&fds, None)?;
            let is_ready = |n: usize| ready.get(n).is_some_and(|events| !events.is_empty());

            if is_ready(1)
                && let Some(end) = self.take_signals(guard, &mut asks)
            {
                return Ok(end);
            }
            if let Some(input) = input.as_mut() {
                if is_ready(2) {
                    input.read(&mut buffer, self.tty)?;
                }
                if !input.send(&stream) {
                    // The other end takes no more; its output may still come.
                    input.is_ended = true;
                }
                if input.is_detached && input.pending.is_empty() {
                    return Ok(End::Detached);
                }
            }
            let readable = PollFlags::IN | PollFlags::HUP | PollFlags::ERR;
            if ready
                .first()
                .is_some_and(|events| events.intersects(readable))
            {
                match stream.read(&mut buffer) {
                    Ok(0) => return Ok(End::Closed),
                    Ok(count) => output.write(&buffer[..count])?,
                    Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                    // The engine went away, or closed with our bytes unread: that is an end too.
                    Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => {
                        return Ok(End::Closed);
                    }
                    Err(error) => return Err(Error::io("read from the engine", &error)),
                }
            }
        }
    }

    /// Pass on what has come; answers what ends this program.
    fn take_signals(&self, guard: &Guard, asks: &mut u32) -> Option<End> {
        while let Some(number) = signal::take(&guard.signals) {
            *asks += u32::from(matches!(number, signal::SIGINT | signal::SIGTERM));
            match self.signals {
                _ if number == SIGWINCH && self.tty => self.resize(),
                _ if *asks == ASKS_MAX => {
                    let _ = print::err("\ngot 3 SIGTERM/SIGINTs, forcefully exiting\n");
                    return Some(End::Forced);
                }
                Some(id) => {
                    // It may have ended in this moment; its exit code tells.
                    let path = format!("/containers/{id}/kill?signal={number}");
                    let _ = self.engine.post(&path);
                }
                None => return Some(End::Signal(number)),
            }
        }
        None
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        // What is still pending was meant for the container, which has ended. Unblocked, it would
        // end us before the exit code is told.
        while signal::take(&self.signals).is_some() {}
        let _ = signal::set_mask(self.before);
    }
}

/// The user's keys on their way to the engine.
struct Input {
    file: File,
    /// Read and not yet sent.
    pending: Vec<u8>,
    is_ended: bool,
    is_shut: bool,
    keys: Vec<u8>,
    /// How many of `keys` were typed in a row.
    typed: usize,
    is_detached: bool,
}

impl Input {
    fn new(keys: &[u8]) -> Result<Input> {
        let fd = std::io::stdin()
            .as_fd()
            .try_clone_to_owned()
            .map_err(|error| Error::io("dup standard input", &error))?;
        Ok(Input {
            file: File::from(fd),
            pending: Vec::new(),
            is_ended: false,
            is_shut: false,
            keys: keys.to_vec(),
            typed: 0,
            is_detached: false,
        })
    }

    fn read(&mut self, buffer: &mut [u8], tty: bool) -> Result<()> {
        match self.file.read(buffer) {
            Ok(0) => self.is_ended = true,
            Ok(count) => {
                self.pending.extend_from_slice(&buffer[..count]);
                if tty {
                    self.watch(&buffer[..count]);
                }
            }
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            // A terminal whose other end has gone.
            Err(_) => self.is_ended = true,
        }
        Ok(())
    }

    /// Look for the detach keys. The engine's end sees them as well and lets go by itself; here
    /// they only tell "detached" from "ended".
    fn watch(&mut self, bytes: &[u8]) {
        for byte in bytes {
            if self.keys.get(self.typed) == Some(byte) {
                self.typed += 1;
            } else {
                self.typed = usize::from(self.keys.first() == Some(byte));
            }
            if !self.keys.is_empty() && self.typed == self.keys.len() {
                self.is_detached = true;
                self.typed = 0;
            }
        }
    }

    /// Send what the engine takes without waiting; false when it takes no more ever.
    fn send(&mut self, stream: &File) -> bool {
        while !self.pending.is_empty() {
            match socket::send_some(stream, &self.pending) {
                Ok(0) => return true,
                Ok(count) => drop(self.pending.drain(..count)),
                Err(_) => {
                    self.pending.clear();
                    return false;
                }
            }
        }
        if self.is_ended && !self.is_shut {
            self.is_shut = true;
            socket::shutdown_write(stream);
        }
        true
    }
}

/// Where a stream's bytes go: as they come with a terminal, by frames without.
pub struct Output {
    raw: bool,
    header: [u8; HEADER_BYTES],
    /// Bytes of `header` that are there.
    filled: usize,
    /// Stream and what is left of the current frame.
    frame: Option<(Stream, u32)>,
}

impl Output {
    pub fn new(raw: bool) -> Output {
        Output {
            raw,
            header: [0; HEADER_BYTES],
            filled: 0,
            frame: None,
        }
    }

    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        if self.raw {
            return print::out(bytes);
        }
        self.split(bytes, &mut |stream, bytes| match stream {
            Stream::Stderr => print::err(bytes),
            _ => print::out(bytes),
        })
    }

    /// Frames may be cut anywhere between two reads.
    fn split(
        &mut self,
        mut bytes: &[u8],
        put: &mut dyn FnMut(Stream, &[u8]) -> Result<()>,
    ) -> Result<()> {
        while !bytes.is_empty() {
            let Some((stream, left)) = self.frame else {
                self.header[self.filled] = bytes[0];
                self.filled += 1;
                bytes = &bytes[1..];
                if self.filled == HEADER_BYTES {
                    self.filled = 0;
                    let frame = stdcopy::parse(self.header).ok_or_else(|| {
                        let number = self.header[0];
                        Error::new(Kind::Gone, format!("Unrecognized input header: {number}"))
                    })?;
                    self.frame = (frame.1 > 0).then_some(frame);
                }
                continue;
            };
            let count = usize::try_from(left).map_or(bytes.len(), |left| left.min(bytes.len()));
            put(stream, &bytes[..count])?;
            bytes = &bytes[count..];
            let left = left.saturating_sub(u32::try_from(count).unwrap_or(left));
            self.frame = (left > 0).then_some((stream, left));
        }
        Ok(())
    }
}

/// `ctrl-p,ctrl-q`: single characters and `ctrl-` with a letter or one of `@[\]^_`.
pub fn detach_keys(text: Option<&str>) -> Result<Vec<u8>> {
    let text = text.unwrap_or("ctrl-p,ctrl-q");
    let key = |name: &str| match name.strip_prefix("ctrl-").unwrap_or(name).as_bytes() {
        [byte] if name.len() == 1 => Some(*byte),
        [byte @ b'a'..=b'z'] => Some(byte - b'a' + 1),
        [b'@'] => Some(0),
        [byte @ b'['..=b'_'] => Some(byte - b'[' + 27),
        _ => None,
    };
    text.split(',')
        .map(|name| key(name).ok_or_else(|| Error::invalid(format!("Unknown character: '{name}'"))))
        .collect::<Result<Vec<u8>>>()
        .map_err(|error| Error::invalid(format!("invalid detach keys ({text}): {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_put_together_however_they_were_cut() {
        let mut sent = Vec::new();
        for (stream, text) in [
            (Stream::Stdout, "out"),
            (Stream::Stderr, "error"),
            (Stream::Stdout, ""),
            (Stream::Stdout, "more"),
        ] {
            sent.extend_from_slice(&stdcopy::header(stream, text.len() as u32));
            sent.extend_from_slice(text.as_bytes());
        }
        for size in 1..sent.len() {
            let (mut out, mut err) = (Vec::new(), Vec::new());
            let mut output = Output::new(false);
            for part in sent.chunks(size) {
                output
                    .split(part, &mut |stream, bytes| {
                        match stream {
                            Stream::Stderr => err.extend_from_slice(bytes),
                            _ => out.extend_from_slice(bytes),
                        }
                        Ok(())
                    })
                    .unwrap();
            }
            assert_eq!(
                (&out[..], &err[..]),
                (&b"outmore"[..], &b"error"[..]),
                "{size}"
            );
        }
    }

    #[test]
    fn an_unknown_frame_is_an_error() {
        let mut output = Output::new(false);
        assert!(output.split(&[9; 8], &mut |_, _| Ok(())).is_err());
    }

    #[test]
    fn detach_keys_are_read_as_docker_writes_them() {
        assert_eq!(detach_keys(None).unwrap(), [16, 17]);
        assert_eq!(
            detach_keys(Some("a,ctrl-@,ctrl-[,ctrl-_")).unwrap(),
            [b'a', 0, 27, 31]
        );
        for text in ["", "ctrl-", "ctrl-A", "ab", "a,,b", "é"] {
            assert!(detach_keys(Some(text)).is_err(), "{text}");
        }
    }

    #[test]
    fn detach_keys_are_seen_across_reads() {
        let mut input = Input::new(&[16, 17]).unwrap();
        input.watch(&[16]);
        input.watch(b"x\x10\x10");
        assert!(!input.is_detached);
        input.watch(&[17]);
        assert!(input.is_detached);
    }
}
