//! One process with its streams: the container's first, or an exec.
//!
//! A task is over when its process has been reaped and its output has been read to the end. Another
//! process may hold the output open for ever (a daemon that an exec has left behind), so that wait
//! is bounded; what the process itself wrote is in the pipe by then and is never lost.

use crate::error::{Error, Result};
use crate::runtime::create::Io;
use crate::shim::attached::{Attached, Input};
use crate::shim::health::Check;
use crate::shim::log::writer::Writer;
use crate::sys::stream::{self, Moved};
use crate::wire::stdcopy::Stream;
use rustix::event::PollFlags;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

/// How long others may hold the output of a process that has ended.
const GRACE: Duration = Duration::from_secs(1);

/// More than any pipe holds (pipe(7)): after so many bytes what comes is somebody else's.
const PIPE_BYTES_MAX: usize = 1 << 20;

/// What a program may write before we have read: a burst of output does not stop it.
const PIPE_BYTES: usize = 256 << 10;

/// The size of what is read at once.
pub const CHUNK_BYTES: usize = 64 << 10;

pub struct Task {
    /// An exec's id; empty for the container's first process.
    pub id: String,
    pub pid: i32,
    pub pidfd: OwnedFd,
    /// Its exit code, once it has been reaped.
    pub code: Option<i32>,
    pub is_terminal: bool,
    /// The process's input closes when a client's does.
    pub is_stdin_once: bool,
    pub streams: Streams,
    pub clients: Vec<Attached>,
    /// It is a health check.
    pub check: Option<Check>,
    drain: Option<Drain>,
}

/// Our ends of a process's streams.
#[derive(Default)]
pub struct Streams {
    input: Option<OwnedFd>,
    /// What the process has not read yet.
    input_rest: Vec<u8>,
    /// Close the input once the rest is written.
    is_input_ending: bool,
    /// stdout (or the terminal) and stderr, until their ends.
    outputs: [Option<OwnedFd>; 2],
}

/// Reading what an ended process has left.
struct Drain {
    until: Instant,
    bytes: usize,
    /// The streams were empty once: the process's own bytes are all read.
    was_empty: bool,
}

impl Streams {
    /// Pipes for a process: the ends for it, and ours. Without `with_input` its standard input is
    /// /dev/null; without `with_output` so are the others.
    pub fn pipes(with_input: bool, with_output: bool) -> Result<(Io, Streams)> {
        let mut ours = Streams::default();
        let stdin = if with_input {
            let (read, write) = stream::pipe()?;
            stream::set_nonblocking(&write)?;
            ours.input = Some(write);
            read
        } else {
            stream::null()?
        };
        let mut output = |index: usize| {
            if !with_output {
                return stream::null();
            }
            let (read, write) = stream::pipe()?;
            stream::set_nonblocking(&read)?;
            stream::widen(&read, PIPE_BYTES);
            ours.outputs[index] = Some(read);
            Ok(write)
        };
        let (stdout, stderr) = (output(0)?, output(1)?);
        let io = Io::Fds {
            stdin,
            stdout,
            stderr,
        };
        Ok((io, ours))
    }

    /// Add what a runtime that failed has printed there, if the error does not say it already.
    pub fn explain(&self, mut error: Error) -> Error {
        let mut buffer = [0u8; 1024];
        let read = self.outputs[1]
            .as_ref()
            .map(|stderr| stream::read(stderr, &mut buffer));
        if let Some(Moved::Bytes(count)) = read {
            let said = String::from_utf8_lossy(buffer.get(..count).unwrap_or_default());
            let line = said.trim().lines().next().unwrap_or_default();
            if !error.message.contains(line) {
                error.message = format!("{}: {line}", error.message);
            }
        }
        error
    }

    /// The master of a process's terminal.
    pub fn console(master: OwnedFd, with_input: bool) -> Result<Streams> {
        stream::set_nonblocking(&master)?;
        let input = with_input.then(|| master.try_clone()).transpose();
        let input = input.map_err(|e| Error::io("dup terminal", &e))?;
        Ok(Streams {
            input,
            outputs: [Some(master), None],
            ..Default::default()
        })
    }

    /// Whether input may come. Without an input it may too, and is thrown away: nobody shall wait
    /// for a process that does not read.
    fn takes_input(&self) -> bool {
        self.input_rest.is_empty()
    }

    fn write_input(&mut self, bytes: &[u8]) {
        let Some(input) = &self.input else {
            return;
        };
        let mut rest = bytes;
        if self.input_rest.is_empty() {
            match stream::write(input, bytes) {
                Moved::Bytes(count) => rest = bytes.get(count..).unwrap_or_default(),
                Moved::Later => {}
                // The process has closed its input.
                Moved::End => return self.close_input(),
            }
        }
        self.input_rest.extend_from_slice(rest);
    }

    fn flush_input(&mut self) {
        let rest = std::mem::take(&mut self.input_rest);
        self.write_input(&rest);
        if self.is_input_ending && self.input_rest.is_empty() {
            self.close_input();
        }
    }

    fn end_input(&mut self) {
        self.is_input_ending = true;
        if self.input_rest.is_empty() {
            self.close_input();
        }
    }

    fn close_input(&mut self) {
        self.input = None;
        self.input_rest = Vec::new();
    }

    fn is_output_over(&self) -> bool {
        self.outputs.iter().all(Option::is_none)
    }

    /// The terminal's master, or whichever output there is.
    pub fn terminal(&self) -> Option<BorrowedFd<'_>> {
        self.outputs[0].as_ref().map(AsFd::as_fd)
    }
}

/// What the loop waits for on behalf of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    Output(usize),
    Input,
    Client(usize),
}

impl Task {
    pub fn new(id: String, pid: i32, pidfd: OwnedFd, streams: Streams) -> Task {
        Task {
            id,
            pid,
            pidfd,
            code: None,
            is_terminal: false,
            is_stdin_once: false,
            streams,
            clients: Vec::new(),
            check: None,
            drain: None,
        }
    }

    /// Everything that can happen to this task, for poll.
    /// `is_log_full`: its output has to wait for the log.
    pub fn interests<'a>(
        &'a self,
        is_log_full: bool,
        mut add: impl FnMut(Part, BorrowedFd<'a>, PollFlags),
    ) {
        // What an ended process has left does not wait long for a receiver of the log.
        let ended = self.drain.as_ref();
        let waits = is_log_full && ended.is_none_or(|drain| Instant::now() < drain.until);
        if !self.is_held_up() && !waits {
            for (index, output) in self.streams.outputs.iter().enumerate() {
                if let Some(output) = output {
                    add(Part::Output(index), output.as_fd(), PollFlags::IN);
                }
            }
        }
        if let Some(input) = &self.streams.input
            && !self.streams.input_rest.is_empty()
        {
            add(Part::Input, input.as_fd(), PollFlags::OUT);
        }
        let takes_input = self.streams.takes_input();
        for (index, client) in self.clients.iter().enumerate() {
            let events = client.interest(takes_input);
            add(Part::Client(index), client.fd(), events);
        }
    }

    /// A client reads slower than the process writes.
    fn is_held_up(&self) -> bool {
        self.clients.iter().any(Attached::is_full)
    }

    /// Do what `part` is ready for.
    pub fn ready(
        &mut self,
        part: Part,
        events: PollFlags,
        buffer: &mut [u8],
        log: Option<&mut Writer>,
    ) {
        match part {
            Part::Output(index) => self.read_output(index, buffer, log),
            Part::Input => self.streams.flush_input(),
            Part::Client(index) => self.serve_client(index, events, buffer),
        }
    }

    fn read_output(&mut self, index: usize, buffer: &mut [u8], log: Option<&mut Writer>) {
        let stream = [Stream::Stdout, Stream::Stderr][index.min(1)];
        let Some(output) = self.streams.outputs.get(index).and_then(Option::as_ref) else {
            return;
        };
        match stream::read(output, buffer) {
            Moved::Bytes(count) => {
                let bytes = buffer.get(..count).unwrap_or_default();
                for client in &mut self.clients {
                    client.give(stream, bytes);
                }
                if let Some(check) = &mut self.check {
                    check.keep(bytes);
                }
                if let Some(log) = log {
                    log.chunk(stream, bytes);
                }
                if let Some(drain) = &mut self.drain {
                    drain.bytes += count;
                }
            }
            Moved::Later => {}
            Moved::End => {
                self.streams.outputs[index] = None;
                if let Some(log) = log {
                    log.end(stream);
                }
            }
        }
    }

    fn serve_client(&mut self, index: usize, events: PollFlags, buffer: &mut [u8]) {
        let Some(client) = self.clients.get_mut(index) else {
            return;
        };
        if events.contains(PollFlags::OUT) {
            client.flush();
        }
        // It has closed altogether: take the input that it left, and let it go.
        let has_left = events.intersects(PollFlags::HUP | PollFlags::ERR);
        if !has_left && !events.contains(PollFlags::IN) {
            return;
        }
        loop {
            let Some(client) = self.clients.get_mut(index) else {
                return;
            };
            let input = if client.stdin {
                client.receive(buffer)
            } else {
                Input::Nothing
            };
            let is_more = matches!(input, Input::Bytes(_));
            if has_left && !is_more {
                client.drop_out();
            }
            self.take_input(index, input);
            if !has_left || !is_more {
                return;
            }
        }
    }

    /// Join a client, with the input that came along with it.
    pub fn attach(&mut self, client: Attached, input: Input) {
        self.clients.push(client);
        self.take_input(self.clients.len() - 1, input);
    }

    fn take_input(&mut self, index: usize, input: Input) {
        let Some(client) = self.clients.get_mut(index) else {
            return;
        };
        match input {
            Input::Nothing => {}
            Input::Bytes(bytes) => self.streams.write_input(&bytes),
            Input::Detached(bytes) => {
                client.drop_out();
                self.streams.write_input(&bytes);
            }
            // Its output goes on. As with Docker, a terminal's input never ends with a client.
            Input::End => {
                client.stdin = false;
                if self.is_stdin_once && !self.is_terminal {
                    self.streams.end_input();
                }
            }
        }
    }

    /// The process has been reaped.
    pub fn ended(&mut self, code: i32) {
        self.code = Some(code);
        self.streams.close_input();
        self.drain = Some(Drain {
            until: Instant::now() + GRACE,
            bytes: 0,
            was_empty: false,
        });
    }

    /// The process has ended and its output is read.
    pub fn is_over(&self, now: Instant) -> bool {
        let Some(drain) = &self.drain else {
            return false;
        };
        let is_read = drain.was_empty || drain.bytes > PIPE_BYTES_MAX;
        self.streams.is_output_over() || (is_read && now >= drain.until)
    }

    /// Its output was looked at, and there was none.
    pub fn was_quiet(&mut self) {
        if let Some(drain) = &mut self.drain {
            drain.was_empty = true;
        }
    }

    /// Cut off who takes nothing, and forget who has gone.
    pub fn sweep(&mut self, now: Instant) {
        self.clients
            .retain(|client| !client.is_gone && client.deadline().is_none_or(|end| now < end));
    }

    /// When something has to be looked at without anything being ready.
    pub fn deadline(&self) -> Option<Instant> {
        let clients = self.clients.iter().filter_map(Attached::deadline);
        let drain = self.drain.as_ref().filter(|_| !self.is_held_up());
        let check = self.check.as_ref().filter(|_| self.code.is_none());
        clients
            .chain(drain.map(|drain| drain.until))
            .chain(check.and_then(Check::deadline))
            .min()
    }
}
