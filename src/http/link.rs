//! A stream together with what has been read from it and not been used yet.

use crate::error::{Error, Kind, Result};
use crate::sys;
use crate::sys::stream::Moved;
use rustix::event::PollFlags;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Start line and headers together.
const HEAD_BYTES_MAX: usize = 64 * 1024;

pub struct Link {
    stream: File,
    /// Read, not used; bounded by `HEAD_BYTES_MAX` and one read.
    ahead: Vec<u8>,
    /// Set: who waits shall not any longer.
    stopped: Option<Arc<AtomicBool>>,
}

/// How often a wait looks whether it is to be stopped.
const LOOK: Duration = Duration::from_millis(200);

impl Link {
    pub fn new(stream: OwnedFd) -> Link {
        Link {
            stream: File::from(stream),
            ahead: Vec::new(),
            stopped: None,
        }
    }

    /// The same, whose waits end once `stopped` is set.
    pub fn stopped_by(stream: OwnedFd, stopped: &Arc<AtomicBool>) -> Link {
        Link {
            stopped: Some(Arc::clone(stopped)),
            ..Link::new(stream)
        }
    }

    pub fn fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }

    /// Give up the stream, with the bytes that were read from it already.
    pub fn into_parts(self) -> (OwnedFd, Vec<u8>) {
        (self.stream.into(), self.ahead)
    }

    pub fn take_ahead(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.ahead)
    }

    pub fn is_ahead(&self) -> bool {
        !self.ahead.is_empty()
    }

    /// Read what is there, without waiting, behind what is ahead.
    pub fn fill_now(&mut self) -> Moved {
        let mut buffer = [0u8; 4096];
        let moved = sys::stream::receive(&self.stream, &mut buffer);
        if let Moved::Bytes(count) = moved {
            self.ahead.extend_from_slice(&buffer[..count]);
        }
        moved
    }

    /// Whether `head` would not wait: a whole head is ahead, or what is none.
    pub fn has_head(&mut self) -> bool {
        // What it forgives in front of a request; it would wait behind them.
        let blank = self.ahead.chunks(2).take_while(|pair| pair == b"\r\n");
        let blank = blank.count() * 2;
        self.ahead.drain(..blank);
        if self.ahead.is_empty() {
            // An idle connection holds no memory.
            self.ahead = Vec::new();
        }
        let mut lines = self.ahead.split_inclusive(|byte| *byte == b'\n');
        self.ahead.len() > HEAD_BYTES_MAX
            || lines
                .any(|line| line == b"\r\n" || line.ends_with(b"\n") && !line.ends_with(b"\r\n"))
    }

    /// Send what fits at once.
    pub fn write_now(&mut self, bytes: &[u8]) {
        let _ = sys::socket::send_some(&self.stream, bytes);
    }

    /// Wait until there is something to read or the peer has closed; false when `limit` has passed.
    pub fn wait(&self, limit: Option<Duration>) -> Result<bool> {
        let until = limit.map(|limit| Instant::now() + limit);
        while !self.is_ahead() {
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            let mut next = left;
            if let Some(stopped) = &self.stopped {
                if stopped.load(Ordering::Relaxed) {
                    return Err(Error::new(Kind::Gone, "the transfer has been stopped"));
                }
                next = Some(left.map_or(LOOK, |left| left.min(LOOK)));
            }
            let events = sys::poll::wait(&[(self.fd(), PollFlags::IN)], next)?;
            if events.iter().any(|events| !events.is_empty()) {
                break;
            }
            if left.is_some_and(|left| left.is_zero()) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Bytes of the peer, from what is ahead or from the stream; 0 when it has closed.
    pub fn read(&mut self, buffer: &mut [u8], limit: Option<Duration>) -> io::Result<usize> {
        if self.ahead.is_empty() {
            if !self.wait(limit)? {
                return Err(io::ErrorKind::TimedOut.into());
            }
            return retry(|| self.stream.read(buffer));
        }
        let count = buffer.len().min(self.ahead.len());
        buffer[..count].copy_from_slice(&self.ahead[..count]);
        self.ahead.drain(..count);
        Ok(count)
    }

    /// The next line without its CRLF. `None` when the peer has closed before its first byte.
    ///
    /// Kinds: `Invalid` (an LF alone: some readers end a line there and some do not, so it hides
    /// things), `TooLarge`, `Gone` (closed in the middle, or too slow: then errno is ETIMEDOUT).
    pub fn line(&mut self, max: usize, deadline: Option<Instant>) -> Result<Option<Vec<u8>>> {
        let mut searched = 0;
        loop {
            let found = self.ahead[searched..].iter().position(|b| *b == b'\n');
            if let Some(at) = found.map(|at| searched + at) {
                let rest = self.ahead.split_off(at + 1);
                let line = std::mem::replace(&mut self.ahead, rest);
                return match line.strip_suffix(b"\r\n") {
                    Some(line) if line.len() > max => Err(too_large()),
                    Some(line) => Ok(Some(line.to_vec())),
                    None => Err(Error::invalid("malformed HTTP message: line end")),
                };
            }
            searched = self.ahead.len();
            if searched > max + 1 {
                return Err(too_large());
            }
            if self.fill(deadline)? == 0 {
                return match searched {
                    0 => Ok(None),
                    _ => Err(Error::new(Kind::Gone, "peer closed within a message")),
                };
            }
        }
    }

    /// Start line and headers, each with its CRLF, without the empty line behind them.
    pub fn head(&mut self, deadline: Option<Instant>) -> Result<Option<Vec<u8>>> {
        let mut head = Vec::new();
        loop {
            let left = HEAD_BYTES_MAX.saturating_sub(head.len() + 2);
            match self.line(left, deadline)? {
                None if head.is_empty() => return Ok(None),
                None => return Err(Error::new(Kind::Gone, "peer closed within a message")),
                Some(line) if !line.is_empty() => {
                    head.extend_from_slice(&line);
                    head.extend_from_slice(b"\r\n");
                }
                // An empty line before a request is forgiven (RFC 9112, section 2.2).
                Some(_) if head.is_empty() => {}
                Some(_) => return Ok(Some(head)),
            }
        }
    }

    /// Read once more behind what is ahead.
    fn fill(&mut self, deadline: Option<Instant>) -> Result<usize> {
        let mut buffer = [0u8; 4096];
        let ahead = std::mem::take(&mut self.ahead);
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let count = self.read(&mut buffer, left);
        self.ahead = ahead;
        let count = count.map_err(|error| match error.kind() {
            io::ErrorKind::TimedOut => {
                let mut late = Error::new(Kind::Gone, "peer is too slow");
                late.errno = Some(rustix::io::Errno::TIMEDOUT.raw_os_error());
                late
            }
            _ => Error::io("read", &error).with_kind(Kind::Gone),
        })?;
        self.ahead.extend_from_slice(&buffer[..count]);
        Ok(count)
    }

    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }
}

fn too_large() -> Error {
    Error::new(Kind::TooLarge, "message head too large")
}

fn retry(mut call: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}
