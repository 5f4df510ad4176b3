//! A client that is joined to a process's streams: its connection, and what is still to be sent.
//!
//! Nothing here waits. What a client does not take is kept for it: up to 1 MiB in memory for one that
//! came later and looks on, up to 64 MiB (`backlog`) for one that was there before the process ran, or
//! whose user types at it: that is where the output goes (`run`, `exec`). A process is slowed for the
//! second sort only, when those 64 MiB are full and as long as the client goes on reading; so who
//! reads loses nothing, and who does not read slows nobody: it is cut off after a second with a
//! full backlog, or ten with any.

use crate::error::Result;
use crate::shim::backlog::{self, Backlog};
use crate::shim::keys::{self, Detector};
use crate::shim::message::{self, unhex};
use crate::sys::stream::{self, Moved};
use crate::wire::stdcopy::{self, Stream};
use rustix::event::PollFlags;
use std::io::IoSlice;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

/// The most that is kept for an onlooker.
const BACKLOG_BYTES_MAX: u64 = 1 << 20;

/// A client that takes nothing for so long is cut off.
pub const STALL_MAX: Duration = Duration::from_secs(10);

/// And one for which its process has to wait, for so long.
const FULL_STALL_MAX: Duration = Duration::from_secs(1);

pub struct Attached {
    socket: OwnedFd,
    /// Its input still goes to the process.
    pub stdin: bool,
    stdout: bool,
    stderr: bool,
    /// Frames tell stdout from stderr; a terminal has one stream and no frames.
    is_framed: bool,
    keys: Option<Detector>,
    is_onlooker: bool,
    backlog: Backlog,
    /// When it last took something, or had nothing to take.
    progress: Instant,
    pub is_gone: bool,
    /// Who gave us the client speaks to it again: the connection stays open.
    is_handed_back: bool,
}

/// What came from a client.
pub enum Input {
    Bytes(Vec<u8>),
    Nothing,
    /// It closed its side.
    End,
    /// The user typed the detach keys; these came before them.
    Detached(Vec<u8>),
}

impl Attached {
    /// A client as `attach` describes it, and the input that came along.
    pub fn new(
        socket: OwnedFd,
        attach: &message::Attach,
        is_terminal: bool,
        is_onlooker: bool,
        dir: &Path,
    ) -> Result<(Attached, Input)> {
        let keys = attach.detach_keys.as_deref().unwrap_or_default();
        let keys = is_terminal.then(|| keys::parse(keys)).transpose()?;
        let mut attached = Attached {
            socket,
            stdin: attach.stdin.unwrap_or(false),
            stdout: attach.stdout.unwrap_or(false),
            stderr: attach.stderr.unwrap_or(false),
            is_framed: !is_terminal,
            keys: keys.map(Detector::new),
            is_onlooker,
            backlog: Backlog::new(dir),
            progress: Instant::now(),
            is_gone: false,
            is_handed_back: false,
        };
        let leftover = unhex(attach.leftover.as_deref().unwrap_or_default());
        let input = match leftover.as_slice() {
            [] => Input::Nothing,
            bytes => attached.pass(bytes),
        };
        Ok((attached, input))
    }

    /// Let go of the client without an end.
    pub fn hand_back(mut self) {
        self.is_handed_back = true;
    }

    pub fn fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    pub fn interest(&self, takes_input: bool) -> PollFlags {
        let mut events = PollFlags::empty();
        events.set(PollFlags::IN, self.stdin && takes_input);
        events.set(PollFlags::OUT, self.has_backlog());
        events
    }

    /// Send what the process has written, or keep it.
    pub fn give(&mut self, stream: Stream, bytes: &[u8]) {
        let is_wanted = match stream {
            Stream::Stderr => self.stderr,
            _ => self.stdout,
        };
        if !is_wanted || self.is_gone {
            return;
        }
        let header = stdcopy::header(stream, u32::try_from(bytes.len()).unwrap_or(u32::MAX));
        let header: &[u8] = if self.is_framed { &header } else { &[] };

        let mut done = 0;
        if !self.has_backlog() {
            self.progress = Instant::now();
            match stream::send(&self.socket, &[IoSlice::new(header), IoSlice::new(bytes)]) {
                Moved::Bytes(count) => done = count,
                Moved::Later => {}
                Moved::End => return self.drop_out(),
            }
        }
        let of_header = done.min(header.len());
        let is_kept = self
            .backlog
            .push(header.get(of_header..).unwrap_or_default())
            && self
                .backlog
                .push(bytes.get(done - of_header..).unwrap_or_default());
        if !is_kept || (self.is_onlooker && self.backlog.len() > BACKLOG_BYTES_MAX) {
            self.drop_out();
        }
    }

    /// Send what was kept, as far as the client takes it.
    pub fn flush(&mut self) {
        let rest = self.backlog.front();
        if rest.is_empty() || self.is_gone {
            return;
        }
        match stream::send(&self.socket, &[IoSlice::new(rest)]) {
            Moved::Bytes(count) => {
                self.backlog.take(count);
                self.progress = Instant::now();
            }
            Moved::Later => {}
            Moved::End => self.drop_out(),
        }
    }

    pub fn has_backlog(&self) -> bool {
        !self.backlog.is_empty()
    }

    /// The process should write no more until this client has read something.
    pub fn is_full(&self) -> bool {
        !self.is_gone && !self.is_onlooker && self.backlog.len() >= backlog::BYTES_MAX
    }

    /// When this client will have taken nothing for too long.
    pub fn deadline(&self) -> Option<Instant> {
        let patience = match self.is_full() {
            true => FULL_STALL_MAX,
            false => STALL_MAX,
        };
        (self.has_backlog() && !self.is_gone).then(|| self.progress + patience)
    }

    /// Read what the client sends.
    pub fn receive(&mut self, buffer: &mut [u8]) -> Input {
        match stream::receive(&self.socket, buffer) {
            Moved::Bytes(count) => self.pass(buffer.get(..count).unwrap_or_default()),
            Moved::Later => Input::Nothing,
            Moved::End => Input::End,
        }
    }

    fn pass(&mut self, bytes: &[u8]) -> Input {
        let Some(detector) = &mut self.keys else {
            return Input::Bytes(bytes.to_vec());
        };
        let passed = detector.pass(bytes);
        match passed.detached {
            true => Input::Detached(passed.bytes),
            false => Input::Bytes(passed.bytes),
        }
    }

    /// No more is sent to it or read from it.
    pub fn drop_out(&mut self) {
        self.is_gone = true;
        self.stdin = false;
        self.backlog.clear();
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        if !self.is_handed_back {
            stream::finish(&self.socket);
        }
    }
}
