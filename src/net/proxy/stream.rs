//! Connections: each an end at the client, an end at the server, and a way in either direction.
//!
//! What is small goes through the common buffer, by two calls. Of what fills it the rest is spliced,
//! so that it stays in the kernel (splice(2)). What an end does not take yet is held, never more than a
//! pipe has room for, and until it is taken nothing more is read: so the sender learns of it. An end
//! tells once when it can be read or written again (EPOLLET), so each way goes on until it cannot.

use super::{BUFFER_BYTES, CLIENT, Common, ROUNDS, SERVER, Service, Slots, token};
use crate::sys::inet::{self, Pipe, Protocol};
use rustix::event::epoll::EventFlags;
use rustix::io::Errno;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Read at once through the buffer. What is longer is cheaper to splice.
const SMALL_BYTES: usize = BUFFER_BYTES / 4;

/// Asked of one splice: the pipe's room is the limit.
const LARGE_BYTES: usize = 1 << 20;

/// As much as a pipe of the usual size holds: behind that there is more, most likely. Segments that
/// need not leave at once then are larger and fewer, which saves a quarter of the time.
const FULL_BYTES: usize = 1 << 16;

/// Pipes kept for the next who needs one.
const PIPES_MAX: usize = 8;

#[derive(Default)]
pub struct Streams {
    pairs: Slots<Pair>,
    pipes: Vec<Pipe>,
}

struct Pair {
    client: OwnedFd,
    server: OwnedFd,
    /// From the client, and back.
    ways: [Way; 2],
    is_connected: bool,
    /// An end has gone without having read all; the other one is to know.
    is_broken: bool,
}

#[derive(Default)]
struct Way {
    held: Option<Box<Held>>,
    /// The last read filled the buffer.
    is_large: bool,
    /// It carries bytes, as TCP does, not messages; they can be spliced.
    is_bytes: bool,
    /// The sink may keep a last segment back, for what comes behind it.
    is_corked: bool,
    /// Its source has told that it will send no more; that may stand behind what there is to read.
    is_ending: bool,
    /// Everything is carried, the end too.
    is_over: bool,
}

/// What was read and not taken yet.
enum Held {
    /// So many bytes in a pipe.
    Pipe(Pipe, usize),
    /// From here on.
    Bytes(Vec<u8>, usize),
}

/// Why a way cannot go on.
enum Broken {
    Source,
    Sink,
}

impl Streams {
    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    pub fn forget_ended(&mut self) -> bool {
        self.pairs.forget_ended()
    }

    /// Take the clients that wait at a service.
    pub fn accept(&mut self, at: usize, service: &Service, common: &mut Common) {
        let own = token(super::SERVICE, at);
        if common.ends_at.is_some() {
            return;
        }
        for _ in 0..ROUNDS {
            if common.room == 0 {
                return common.starve(own);
            }
            match inet::accept(&service.socket) {
                Ok(client) => self.open(client, service, common),
                Err(Errno::AGAIN) => return,
                Err(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM) => {
                    return common.starve(own);
                }
                // An error of the connection that would have been (accept(2)).
                Err(_) => {}
            }
        }
        common.again.push(own);
    }

    fn open(&mut self, client: OwnedFd, service: &Service, common: &mut Common) {
        let at = self.pairs.next();
        let connected = inet::open(service.protocol, &service.target.ip()).and_then(|server| {
            if service.protocol == Protocol::Tcp {
                inet::tune(&server);
            }
            inet::connect(&server, &service.target)?;
            Ok(server)
        });
        let Ok(server) = connected else {
            return inet::abort(client);
        };
        let epoll = &common.epoll;
        let added = epoll
            .add_edges(&server, token(SERVER, at), true)
            .and_then(|()| epoll.add_edges(&client, token(CLIENT, at), true));
        if added.is_err() {
            return inet::abort(client);
        }
        let way = || Way {
            is_bytes: service.protocol == Protocol::Tcp,
            ..Way::default()
        };
        common.room -= 1;
        self.pairs.put(Pair {
            client,
            server,
            ways: [way(), way()],
            is_connected: false,
            is_broken: false,
        });
    }

    /// Something has happened to an end of a pair.
    pub fn ready(&mut self, at: usize, is_server: bool, events: EventFlags, common: &mut Common) {
        let Some(pair) = self.pairs.get(at) else {
            return;
        };
        let has_failed = events.intersects(EventFlags::ERR | EventFlags::HUP);
        let is_ending = has_failed || events.contains(EventFlags::RDHUP);
        let [there, back] = &mut pair.ways;
        let way = if is_server { back } else { there };
        way.is_ending |= is_ending;
        let is_new = !pair.is_connected;
        if is_new {
            if has_failed {
                return self.end(at, true, common);
            }
            // What the client has sent until it is there waits, with all that was told of it.
            if !is_server || !events.contains(EventFlags::OUT) {
                return;
            }
            pair.is_connected = true;
        }

        for is_back in [is_server, !is_server] {
            let is_source = is_back == is_server;
            if !is_source && !has_failed && !is_new && !pair.waits_for_sink(is_back) {
                continue;
            }
            if pair.carry(is_back, common, &mut self.pipes) {
                let source = if is_back { SERVER } else { CLIENT };
                common.again.push(token(source, at));
            }
        }
        if pair.ways.iter().all(|way| way.is_over) {
            let is_broken = pair.is_broken;
            self.end(at, is_broken, common);
        }
    }

    fn end(&mut self, at: usize, is_broken: bool, common: &mut Common) {
        let Some(pair) = self.pairs.take(at) else {
            return;
        };
        common.room += 1;
        if is_broken {
            inet::abort(pair.client);
            inet::abort(pair.server);
        }
    }
}

impl Pair {
    fn waits_for_sink(&self, is_back: bool) -> bool {
        let [there, back] = &self.ways;
        let way = if is_back { back } else { there };
        way.held.is_some()
    }

    /// Carry what there is from the client, or back. Whether there may be more.
    fn carry(&mut self, is_back: bool, common: &mut Common, pipes: &mut Vec<Pipe>) -> bool {
        let [there, back] = &mut self.ways;
        let (way, from, to) = match is_back {
            false => (there, &self.client, &self.server),
            true => (back, &self.server, &self.client),
        };
        if way.is_over {
            return false;
        }
        match way.carry(from.as_fd(), to.as_fd(), &mut common.buffer, pipes) {
            Ok(has_more) => has_more,
            // What its peer has sent before it went can still be read: that way goes on.
            Err(Broken::Sink) => {
                way.is_over = true;
                self.is_broken = true;
                false
            }
            // Everything that it had sent is with the sink.
            Err(Broken::Source) => {
                self.ways.iter_mut().for_each(|way| way.is_over = true);
                self.is_broken = true;
                false
            }
        }
    }
}

impl Way {
    fn carry(
        &mut self,
        from: BorrowedFd<'_>,
        to: BorrowedFd<'_>,
        buffer: &mut [u8],
        pipes: &mut Vec<Pipe>,
    ) -> Result<bool, Broken> {
        for _ in 0..ROUNDS {
            if !self.deliver(to, pipes)? {
                return Ok(false);
            }
            let is_small = !self.is_large;
            let Some(count) = self.fetch(from, to, buffer, pipes)? else {
                if std::mem::take(&mut self.is_corked) {
                    inet::push(to);
                }
                return Ok(false);
            };
            if count == 0 {
                inet::finish(to);
                self.is_over = true;
                return Ok(false);
            }
            // A read that leaves room has emptied the source, if it is a stream of bytes; its next
            // ones will be told of.
            let is_emptied = self.is_bytes && is_small && count < SMALL_BYTES;
            self.is_large = self.is_bytes && count >= SMALL_BYTES;
            if is_emptied && !self.is_ending && self.held.is_none() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Read, and pass on at once what the sink takes. `None` when there is nothing for now.
    fn fetch(
        &mut self,
        from: BorrowedFd<'_>,
        to: BorrowedFd<'_>,
        buffer: &mut [u8],
        pipes: &mut Vec<Pipe>,
    ) -> Result<Option<usize>, Broken> {
        let pipe = match self.is_large {
            true => pipes.pop().or_else(|| Pipe::new().ok()),
            false => None,
        };
        let Some(pipe) = pipe else {
            self.is_large = false;
            let buffer = buffer.get_mut(..SMALL_BYTES).unwrap_or_default();
            let Some(count) = moved(inet::receive(from, buffer), Broken::Source)? else {
                return Ok(None);
            };
            let bytes = buffer.get(..count).unwrap_or_default();
            if count > 0 {
                self.is_corked = false;
                let sent = moved(inet::send(to, bytes), Broken::Sink)?.unwrap_or(0);
                let rest = bytes.get(sent..).unwrap_or_default();
                if !rest.is_empty() {
                    self.held = Some(Box::new(Held::Bytes(rest.to_vec(), 0)));
                }
            }
            return Ok(Some(count));
        };
        let count = match moved(pipe.fill(from, LARGE_BYTES), Broken::Source) {
            Ok(Some(count)) if count > 0 => count,
            other => {
                keep(pipe, pipes);
                return other;
            }
        };
        self.is_corked = count >= FULL_BYTES;
        let sent = pipe.drain(to, count, self.is_corked);
        let sent = moved(sent, Broken::Sink)?.unwrap_or(0);
        match count - sent {
            0 => keep(pipe, pipes),
            rest => self.held = Some(Box::new(Held::Pipe(pipe, rest))),
        }
        Ok(Some(count))
    }

    /// Pass on what is held. Whether all of it was taken.
    fn deliver(&mut self, to: BorrowedFd<'_>, pipes: &mut Vec<Pipe>) -> Result<bool, Broken> {
        while let Some(held) = &mut self.held {
            let (result, left) = match &mut **held {
                Held::Pipe(pipe, left) => (pipe.drain(to, *left, false), *left),
                Held::Bytes(bytes, at) => {
                    let rest = bytes.get(*at..).unwrap_or_default();
                    (inet::send(to, rest), rest.len())
                }
            };
            let Some(count) = moved(result, Broken::Sink)? else {
                return Ok(false);
            };
            match &mut **held {
                Held::Pipe(_, left) => *left -= count,
                Held::Bytes(_, at) => *at += count,
            }
            if count < left {
                continue;
            }
            if let Some(Held::Pipe(pipe, _)) = self.held.take().map(|held| *held) {
                keep(pipe, pipes);
            }
        }
        Ok(true)
    }
}

/// An empty pipe.
fn keep(pipe: Pipe, pipes: &mut Vec<Pipe>) {
    if pipes.len() < PIPES_MAX {
        pipes.push(pipe);
    }
}

/// `None` when nothing moves for now.
fn moved(result: Result<usize, Errno>, broken: Broken) -> Result<Option<usize>, Broken> {
    match result {
        Ok(count) => Ok(Some(count)),
        Err(Errno::AGAIN | Errno::INTR) => Ok(None),
        Err(_) => Err(broken),
    }
}
