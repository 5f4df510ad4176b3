//! Streams that speak another language outside: TLS, websockets.
//!
//! Everything inside, and the shim to which connections are handed, knows plain stream sockets
//! only. So the outer connection gets an inner socket pair, whose other end is served like any
//! connection, and one thread for all of them translates:
//!
//!   peer <== outer: frames, records ==> [codec] <== inner: plain bytes ==> engine or shim
//!
//! It begins with the first of them and ends with the last. Nothing here waits for one peer: what
//! cannot be sent is kept up to a bound, and then its source is not read from.

use crate::error::{Error, Result};
use crate::sys::poll::{self, Bell};
use crate::sys::socket;
use crate::sys::stream::{self, Moved};
use crate::sys::thread;
use rustix::event::PollFlags;
use std::io::IoSlice;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// More than this is not kept for a side that does not read.
const KEPT_BYTES_MAX: usize = 64 << 10;

/// What one read takes.
const CHUNK_BYTES: usize = 16 << 10;

/// How long a peer may take to begin (a TLS handshake), to take the last that our side has said,
/// and to go after it was told the end.
const BEGIN: Duration = Duration::from_secs(10);
const FLUSH: Duration = Duration::from_secs(60);
const LEAVE: Duration = Duration::from_secs(2);

/// Those that have not begun yet; more of them are turned away.
const BEGINNERS_MAX: usize = 256;
const PUMPS_MAX: usize = 1024;

const STACK_BYTES: usize = 128 << 10;

/// A language of the outer side.
pub trait Codec: Send {
    /// Take bytes of the peer. What they say goes to `lines.inner`, what the peer has to be told to
    /// `lines.outer`. Answers whether more may come. An error ends the connection, once `lines.outer`
    /// has been sent.
    fn hear(&mut self, bytes: &[u8], lines: &mut Lines) -> Result<Heard>;

    /// Take bytes for the peer.
    fn tell(&mut self, bytes: &[u8], lines: &mut Lines) -> Result<()>;

    /// Tell the peer that no more comes.
    fn end(&mut self, lines: &mut Lines);

    /// Whether the peer has said who it is: nothing passes before.
    fn has_begun(&self) -> bool {
        true
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    More,
    /// The peer has said that it sends no more.
    #[cfg_attr(not(feature = "tls"), allow(dead_code))]
    End,
    /// Neither side sends more.
    Over,
}

/// What is on its way.
#[derive(Default)]
pub struct Lines {
    pub inner: Vec<u8>,
    pub outer: Vec<u8>,
}

struct Pump {
    outer: OwnedFd,
    inner: OwnedFd,
    codec: Box<dyn Codec>,
    lines: Lines,
    /// Where the peer stands.
    peer: Side,
    /// Where our own side stands.
    own: Side,
    /// The peer has closed: nothing can be said to it or heard of it.
    is_peer_gone: bool,
    /// The same of our side.
    is_own_gone: bool,
    /// When its time is over: to begin, to take the last, to go.
    until: Option<Instant>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Talks,
    /// It has said its last, and the other side is still to be told.
    Ends,
    /// The other side knows.
    Ended,
}

/// All of them.
pub struct Pumps {
    state: Mutex<State>,
    bell: Bell,
}

/// Guarded by `Pumps::state`.
#[derive(Default)]
struct State {
    new: Vec<Pump>,
    /// Including the new ones.
    count: usize,
    beginners: usize,
    is_running: bool,
}

impl Pumps {
    pub fn new() -> Result<Arc<Pumps>> {
        Ok(Arc::new(Pumps {
            state: Mutex::new(State::default()),
            bell: Bell::new()?,
        }))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.lock().count
    }

    /// Translate for `outer`, of which `ahead` has been read already. Answers the end for our side.
    pub fn add(
        self: &Arc<Pumps>,
        outer: OwnedFd,
        codec: Box<dyn Codec>,
        ahead: &[u8],
    ) -> Result<OwnedFd> {
        let (inner, ours) = socket::pair()?;
        let mut pump = Pump {
            until: (!codec.has_begun()).then(|| Instant::now() + BEGIN),
            outer,
            inner,
            codec,
            lines: Lines::default(),
            peer: Side::Talks,
            own: Side::Talks,
            is_peer_gone: false,
            is_own_gone: false,
        };
        if !ahead.is_empty() {
            pump.hear(ahead);
        }
        let mut state = self.lock();
        if state.count >= PUMPS_MAX || state.beginners >= BEGINNERS_MAX {
            return Err(Error::conflict("too many connections at once"));
        }
        if !state.is_running {
            let pumps = Arc::clone(self);
            thread::spawn("pump", STACK_BYTES, Box::new(move || pumps.run()))?;
            state.is_running = true;
        }
        state.count += 1;
        state.beginners += usize::from(pump.until.is_some());
        state.new.push(pump);
        self.bell.ring();
        Ok(ours)
    }

    /// The thread: until there are none.
    fn run(&self) {
        let mut pumps: Vec<Pump> = Vec::new();
        let mut buffer = vec![0u8; CHUNK_BYTES];
        loop {
            self.bell.clear();
            {
                let mut state = self.lock();
                pumps.append(&mut state.new);
                state.count = pumps.len();
                state.beginners = pumps.iter().filter(|pump| !pump.codec.has_begun()).count();
                if pumps.is_empty() {
                    state.is_running = false;
                    return;
                }
            }
            if let Err(error) = self.round(&mut pumps, &mut buffer) {
                // Nothing of it can be served without poll(2), which lacks memory at most.
                crate::log::warn(error);
                std::thread::sleep(Duration::from_millis(100));
            }
        }
    }

    fn round(&self, pumps: &mut Vec<Pump>, buffer: &mut [u8]) -> Result<()> {
        let mut fds = vec![(self.bell.as_fd(), PollFlags::IN)];
        for pump in pumps.iter() {
            // A descriptor that interests nobody now would still be told of when its peer goes,
            // again and again; the bell stands in its place.
            let nothing = (self.bell.as_fd(), PollFlags::empty());
            let (outer, inner) = (pump.outer_interest(), pump.inner_interest());
            fds.push(outer.map_or(nothing, |flags| (pump.outer.as_fd(), flags)));
            fds.push(inner.map_or(nothing, |flags| (pump.inner.as_fd(), flags)));
        }
        let until = pumps.iter().filter_map(|pump| pump.until).min();
        let limit = until.map(|until| until.saturating_duration_since(Instant::now()));
        let ready = poll::wait(&fds, limit)?;

        let now = Instant::now();
        let mut flags = ready.into_iter().skip(1);
        pumps.retain_mut(|pump| {
            let outer = flags.next().unwrap_or(PollFlags::empty());
            let inner = flags.next().unwrap_or(PollFlags::empty());
            pump.turn(outer, inner, buffer) && pump.until.is_none_or(|until| until > now)
        });
        Ok(())
    }
}

const GONE: PollFlags = PollFlags::HUP.union(PollFlags::ERR);

impl Pump {
    /// What to wait for outside.
    fn outer_interest(&self) -> Option<PollFlags> {
        let mut flags = PollFlags::empty();
        // A peer that has ended is listened to all the same: it closes at last.
        flags.set(PollFlags::IN, self.lines.inner.len() < KEPT_BYTES_MAX);
        flags.set(PollFlags::OUT, !self.lines.outer.is_empty());
        (!self.is_peer_gone && !flags.is_empty()).then_some(flags)
    }

    /// What to wait for inside.
    fn inner_interest(&self) -> Option<PollFlags> {
        let mut flags = PollFlags::empty();
        let has_room = self.lines.outer.len() < KEPT_BYTES_MAX;
        let is_heard = self.own == Side::Talks && has_room && self.codec.has_begun();
        flags.set(PollFlags::IN, is_heard);
        flags.set(PollFlags::OUT, !self.lines.inner.is_empty());
        // One that has only stopped talking is watched until it goes.
        let is_watched = self.own == Side::Ends || !flags.is_empty();
        (!self.is_own_gone && is_watched).then_some(flags)
    }

    /// Move what can be moved. False when it is over.
    fn turn(&mut self, outer: PollFlags, inner: PollFlags, buffer: &mut [u8]) -> bool {
        if outer.intersects(PollFlags::IN | GONE) && self.lines.inner.len() < KEPT_BYTES_MAX {
            match stream::receive(&self.outer, buffer) {
                Moved::Bytes(count) => self.hear(buffer.get(..count).unwrap_or_default()),
                Moved::Later => {}
                Moved::End => self.is_peer_gone = true,
            }
        }
        if self.own == Side::Talks
            && self.lines.outer.len() < KEPT_BYTES_MAX
            && inner.intersects(PollFlags::IN | GONE)
        {
            match stream::receive(&self.inner, buffer) {
                Moved::Bytes(count) => {
                    let bytes = buffer.get(..count).unwrap_or_default();
                    if self.codec.tell(bytes, &mut self.lines).is_err() {
                        return false;
                    }
                }
                Moved::Later => {}
                Moved::End => {
                    self.codec.end(&mut self.lines);
                    self.own = Side::Ends;
                }
            }
        }
        if self.own == Side::Ends && inner.intersects(GONE) {
            self.end_own();
        }
        if !send(&self.inner, &mut self.lines.inner) {
            // Our side hears no more; what it has said is still on its way.
            self.lines.inner = Vec::new();
        }
        self.is_peer_gone |= !send(&self.outer, &mut self.lines.outer);
        self.pass_ends();
        if self.codec.has_begun() && !self.is_own_gone && !self.is_peer_gone {
            self.until = None;
        }
        if self.is_peer_gone {
            self.until.get_or_insert(Instant::now() + FLUSH);
        }
        !self.is_peer_gone || !self.lines.inner.is_empty()
    }

    fn hear(&mut self, bytes: &[u8]) {
        if self.peer != Side::Talks {
            return;
        }
        match self.codec.hear(bytes, &mut self.lines) {
            Ok(Heard::More) => {}
            Ok(Heard::End) => self.peer = Side::Ends,
            Ok(Heard::Over) => {
                self.peer = Side::Ends;
                self.end_own();
            }
            Err(error) => {
                crate::log::line("tugd", format_args!("a connection is refused: {error}"));
                self.peer = Side::Ends;
                self.end_own();
            }
        }
    }

    /// Tell each side the end of the other, behind all that was said before.
    fn pass_ends(&mut self) {
        if self.peer == Side::Ends && self.lines.inner.is_empty() {
            socket::shutdown_write(&self.inner);
            self.peer = Side::Ended;
        }
        // Half an end is said in the language of the outer side, if it has a word for that. The
        // connection's own end means that both have gone.
        if self.own == Side::Ends && self.is_own_gone && self.lines.outer.is_empty() {
            socket::shutdown_write(&self.outer);
            self.own = Side::Ended;
            self.until = Some(Instant::now() + LEAVE);
        }
    }

    /// Our side says and hears no more.
    fn end_own(&mut self) {
        if !self.is_own_gone {
            self.is_own_gone = true;
            self.own = Side::Ends;
            self.until = Some(Instant::now() + FLUSH);
        }
    }
}

/// Send what fits now; false when nobody is there to take it.
fn send(socket: &OwnedFd, bytes: &mut Vec<u8>) -> bool {
    if bytes.is_empty() {
        return true;
    }
    match stream::send(socket, &[IoSlice::new(bytes)]) {
        Moved::Bytes(count) if count == bytes.len() => *bytes = Vec::new(),
        Moved::Bytes(count) => drop(bytes.drain(..count)),
        Moved::Later => {}
        Moved::End => return false,
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::io::{Read, Write};

    /// A language in which `.` is the end, `!` is wrong, and all else stands for itself.
    struct Plain {
        has_begun: bool,
    }

    impl Codec for Plain {
        fn hear(&mut self, bytes: &[u8], lines: &mut Lines) -> Result<Heard> {
            for byte in bytes {
                match byte {
                    b'.' => return Ok(Heard::End),
                    b'!' => return Err(Error::invalid("wrong")),
                    byte => lines.inner.push(*byte),
                }
            }
            Ok(Heard::More)
        }

        fn tell(&mut self, bytes: &[u8], lines: &mut Lines) -> Result<()> {
            lines.outer.extend_from_slice(bytes);
            Ok(())
        }

        fn end(&mut self, lines: &mut Lines) {
            lines.outer.push(b'.');
        }

        fn has_begun(&self) -> bool {
            self.has_begun
        }
    }

    /// The peer's end, and ours.
    fn pair(pumps: &Arc<Pumps>, has_begun: bool) -> (File, File) {
        let (outer, peer) = socket::pair().unwrap();
        let ours = pumps
            .add(outer, Box::new(Plain { has_begun }), b"")
            .unwrap();
        (File::from(peer), File::from(ours))
    }

    fn all(file: &mut File) -> String {
        let mut text = String::new();
        file.read_to_string(&mut text).unwrap();
        text
    }

    fn until_none_is_left(pumps: &Arc<Pumps>) {
        while pumps.lock().is_running {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    #[test]
    fn each_side_hears_the_other_to_its_end() {
        let pumps = Pumps::new().unwrap();
        let (mut peer, mut ours) = pair(&pumps, true);
        peer.write_all(b"question.").unwrap();
        assert_eq!(all(&mut ours), "question");
        // Ours still speaks when the peer has ended.
        ours.write_all(b"answer").unwrap();
        drop(ours);
        assert_eq!(all(&mut peer), "answer.");
        drop(peer);
        until_none_is_left(&pumps);
    }

    #[test]
    fn a_side_that_has_said_all_still_hears() {
        let pumps = Pumps::new().unwrap();
        let (mut peer, mut ours) = pair(&pumps, true);
        ours.write_all(b"question").unwrap();
        socket::shutdown_write(&ours);
        let mut question = [0; 9];
        peer.read_exact(&mut question).unwrap();
        assert_eq!(&question, b"question.");
        // Not the connection's end, which would mean that nobody listens.
        let limit = Some(Duration::from_millis(50));
        let ready = poll::wait(&[(peer.as_fd(), PollFlags::IN)], limit).unwrap();
        assert!(ready[0].is_empty());
        peer.write_all(b"answer.").unwrap();
        assert_eq!(all(&mut ours), "answer");
        drop(ours);
        assert_eq!(all(&mut peer), "");
    }

    #[test]
    fn a_side_that_does_not_read_loses_nothing_and_delays_nobody() {
        let pumps = Pumps::new().unwrap();
        let (mut peer, mut ours) = pair(&pumps, true);
        let bytes = vec![b'x'; 3 << 20];
        let sender = std::thread::spawn(move || {
            ours.write_all(&bytes).unwrap();
            ours
        });
        let (mut other_peer, mut other) = pair(&pumps, true);
        other.write_all(b"hello").unwrap();
        drop(other);
        assert_eq!(all(&mut other_peer), "hello.");
        let mut count = 0;
        let mut buffer = [0; 65_536];
        while count < 3 << 20 {
            count += peer.read(&mut buffer).unwrap();
        }
        drop(sender.join().unwrap());
        assert_eq!(all(&mut peer), ".");
    }

    #[test]
    fn a_peer_that_goes_takes_its_connection_with_it() {
        let pumps = Pumps::new().unwrap();
        let (mut peer, mut ours) = pair(&pumps, true);
        peer.write_all(b"last words").unwrap();
        drop(peer);
        assert_eq!(all(&mut ours), "last words");
        until_none_is_left(&pumps);
        assert!(ours.write_all(b"x").is_err());
    }

    #[test]
    fn nothing_passes_before_a_connection_has_begun_or_after_it_went_wrong() {
        let pumps = Pumps::new().unwrap();
        let (mut peer, mut ours) = pair(&pumps, false);
        ours.write_all(b"too early").unwrap();
        peer.write_all(b"!").unwrap();
        assert_eq!(all(&mut peer), "");
        assert_eq!(all(&mut ours), "");
        drop(peer);
        until_none_is_left(&pumps);

        let _waiting: Vec<_> = (0..BEGINNERS_MAX).map(|_| pair(&pumps, false)).collect();
        let (outer, _peer) = socket::pair().unwrap();
        let plain = Box::new(Plain { has_begun: false });
        assert!(pumps.add(outer, plain, b"").is_err());
    }
}
