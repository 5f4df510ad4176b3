//! Where connections without a request wait: all in one set, without a thread or a stack each.
//!
//! A connection comes in when it is accepted, or by the `Door` when a thread has answered its
//! request. It leaves as a request when its head is whole, so that a slow peer never holds a
//! thread; or it is closed: after `IDLE` without a byte, `HEAD` after the first one of a head, when
//! the peer goes, or as the one that waits longest when there are too many.

use crate::error::Result;
use crate::http::server::{Arrived, Connection, PLAIN};
use crate::sys::epoll::Epoll;
use crate::sys::poll::Bell;
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A connection without a request is closed after this.
const IDLE: Duration = Duration::from_secs(60);
/// A head arrives within this, from its first byte on.
const HEAD: Duration = Duration::from_secs(10);

/// Tokens from here on are the lobby's own.
const DOOR: u64 = 1 << 32;
const GUESTS: u64 = DOOR + 1;

pub struct Lobby {
    epoll: Epoll,
    /// By token, from `GUESTS` on.
    guests: Vec<Option<Guest>>,
    count: usize,
    count_max: usize,
    door: Arc<Door>,
}

struct Guest {
    connection: Connection,
    since: Instant,
    /// When it has to go.
    until: Instant,
}

/// How threads give connections back.
pub struct Door {
    entering: Mutex<Vec<Connection>>,
    bell: Bell,
}

impl Door {
    pub fn enter(&self, connection: Connection) {
        let mut entering = self.entering.lock().unwrap_or_else(PoisonError::into_inner);
        entering.push(connection);
        self.bell.ring();
    }

    /// Let the lobby look up: a connection has ended elsewhere.
    pub fn knock(&self) {
        self.bell.ring();
    }
}

/// What a wait has brought.
pub struct Round {
    /// Descriptors of `watch` that are ready, by their tokens.
    pub ready: Vec<u64>,
    /// Connections with a whole head, or with what can only be refused.
    pub requests: Vec<Connection>,
}

impl Round {
    pub fn is_empty(&self) -> bool {
        self.ready.is_empty() && self.requests.is_empty()
    }
}

impl Lobby {
    /// For at most `count_max` connections at a time.
    pub fn new(count_max: usize) -> Result<Lobby> {
        let epoll = Epoll::new()?;
        let door = Door {
            entering: Mutex::new(Vec::new()),
            bell: Bell::new()?,
        };
        epoll.add(&door.bell, DOOR)?;
        Ok(Lobby {
            epoll,
            guests: Vec::new(),
            count: 0,
            count_max,
            door: Arc::new(door),
        })
    }

    pub fn door(&self) -> Arc<Door> {
        Arc::clone(&self.door)
    }

    pub fn count(&self) -> usize {
        self.count
    }

    /// Tell of `fd` too, as `token`, which is below 2^32.
    pub fn watch(&self, fd: impl AsFd, token: u64) -> Result<()> {
        self.epoll.add(fd, token)
    }

    /// Take a connection in; it comes back at once when its request is there already.
    pub fn enter(&mut self, mut connection: Connection) -> Option<Connection> {
        match connection.arrive() {
            Arrived::Whole => return Some(connection),
            Arrived::End => return None,
            Arrived::Part | Arrived::Nothing => {}
        }
        if self.count >= self.count_max {
            self.evict();
        }
        let place = self.guests.iter().position(Option::is_none);
        let place = place.unwrap_or_else(|| {
            self.guests.push(None);
            self.guests.len() - 1
        });
        // Without it nobody would ever look at the connection: it is closed.
        self.epoll
            .add(connection.fd(), GUESTS + place as u64)
            .ok()?;
        let now = Instant::now();
        let limit = if connection.has_begun() { HEAD } else { IDLE };
        self.guests[place] = Some(Guest {
            connection,
            since: now,
            until: now + limit,
        });
        self.count += 1;
        None
    }

    /// Close the connection that waits longest; false when there is none.
    pub fn evict(&mut self) -> bool {
        let guests = self.guests.iter().enumerate();
        let oldest = guests
            .filter_map(|(place, guest)| Some((guest.as_ref()?.since, place)))
            .min();
        oldest.is_some_and(|(_, place)| self.leave(place).is_some())
    }

    fn leave(&mut self, place: usize) -> Option<Connection> {
        let guest = self.guests.get_mut(place)?.take()?;
        self.epoll.remove(guest.connection.fd());
        self.count -= 1;
        if self.count == 0 {
            self.guests = Vec::new();
        }
        Some(guest.connection)
    }

    /// Wait until something happens or `limit` has passed.
    pub fn wait(&mut self, limit: Option<Duration>) -> Result<Round> {
        let mut round = Round {
            ready: Vec::new(),
            requests: Vec::new(),
        };
        let next = self.guests.iter().flatten().map(|guest| guest.until).min();
        let next = next.map(|until| until.saturating_duration_since(Instant::now()));
        let limit = limit.into_iter().chain(next).min();
        for token in self.epoll.wait(limit)? {
            match token {
                DOOR => self.let_in(&mut round.requests),
                GUESTS.. => round.requests.extend(self.hear((token - GUESTS) as usize)),
                token => round.ready.push(token),
            }
        }
        self.end_waits();
        Ok(round)
    }

    fn let_in(&mut self, requests: &mut Vec<Connection>) {
        self.door.bell.clear();
        let entering = {
            let mut entering = self
                .door
                .entering
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut *entering)
        };
        for connection in entering {
            requests.extend(self.enter(connection));
        }
    }

    /// Take what a guest has sent.
    fn hear(&mut self, place: usize) -> Option<Connection> {
        let guest = self.guests.get_mut(place)?.as_mut()?;
        let had_begun = guest.connection.has_begun();
        match guest.connection.arrive() {
            Arrived::Whole => return self.leave(place),
            Arrived::End => drop(self.leave(place)),
            Arrived::Part if !had_begun => guest.until = Instant::now() + HEAD,
            Arrived::Part | Arrived::Nothing => {}
        }
        None
    }

    /// Close those whose time is over; one in the middle of a head is told why.
    fn end_waits(&mut self) {
        let now = Instant::now();
        let is_over = |guest: &Option<Guest>| guest.as_ref().is_some_and(|g| g.until <= now);
        while let Some(place) = self.guests.iter().position(is_over) {
            if let Some(connection) = self.leave(place)
                && connection.has_begun()
            {
                connection.turn_away(408, PLAIN, b"peer is too slow\n");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::io::{Read, Write};

    fn guest(lobby: &mut Lobby) -> File {
        let (ours, theirs) = crate::sys::socket::pair().unwrap();
        assert!(lobby.enter(Connection::new(ours)).is_none());
        File::from(theirs)
    }

    fn requests(lobby: &mut Lobby) -> Vec<Connection> {
        let limit = Some(Duration::from_millis(100));
        lobby.wait(limit).unwrap().requests
    }

    const HALF: &[u8] = b"GET /a HTTP/1.1\r\nHost: d\r\n";

    #[test]
    fn a_connection_leaves_when_its_head_is_whole_and_comes_back_by_the_door() {
        let mut lobby = Lobby::new(9).unwrap();
        let mut peer = guest(&mut lobby);
        peer.write_all(b"\r\n\r\n").unwrap();
        peer.write_all(HALF).unwrap();
        assert!(requests(&mut lobby).is_empty());
        peer.write_all(b"\r\n").unwrap();
        let mut connection = requests(&mut lobby).pop().unwrap();
        assert_eq!(connection.next().unwrap().unwrap().path, "/a");
        assert!(lobby.count() == 0 && connection.finish() && !connection.has_head());

        lobby.door().enter(connection);
        assert!(requests(&mut lobby).is_empty() && lobby.count() > 0);
        peer.write_all(HALF).unwrap();
        peer.write_all(b"\r\n").unwrap();
        assert_eq!(requests(&mut lobby).len(), 1);
    }

    #[test]
    fn what_can_only_be_refused_is_no_reason_to_wait() {
        let mut lobby = Lobby::new(9).unwrap();
        for text in [b"GET / HTTP/1.1\nHost".to_vec(), vec![b'x'; 70_000]] {
            let mut peer = guest(&mut lobby);
            let sender = std::thread::spawn(move || {
                // It is told the end before it has sent all.
                let _ = peer.write_all(&text);
                let mut answer = String::new();
                let _ = peer.read_to_string(&mut answer);
                answer
            });
            let mut all = Vec::new();
            for _ in 0..100 {
                all.extend(requests(&mut lobby));
                if !all.is_empty() {
                    break;
                }
            }
            assert!(all.pop().unwrap().next().is_err());
            let answer = sender.join().unwrap();
            assert!(answer.starts_with("HTTP/1.1 4"), "{answer}");
        }
    }

    #[test]
    fn a_peer_that_goes_leaves_nothing() {
        let mut lobby = Lobby::new(9).unwrap();
        let mut peer = guest(&mut lobby);
        peer.write_all(HALF).unwrap();
        drop(peer);
        while lobby.count() > 0 {
            assert!(requests(&mut lobby).is_empty());
        }
    }

    #[test]
    fn the_one_that_waits_longest_makes_room() {
        let mut lobby = Lobby::new(2).unwrap();
        let mut first = guest(&mut lobby);
        let mut others = [guest(&mut lobby), guest(&mut lobby)];
        assert_eq!(first.read(&mut [0]).unwrap(), 0);
        for other in &mut others {
            other.write_all(HALF).unwrap();
            other.write_all(b"\r\n").unwrap();
        }
        assert_eq!(requests(&mut lobby).len(), 2);
    }

    #[test]
    fn who_is_too_slow_is_told_so_and_closed() {
        let mut lobby = Lobby::new(9).unwrap();
        let mut silent = guest(&mut lobby);
        let mut slow = guest(&mut lobby);
        slow.write_all(HALF).unwrap();
        assert!(requests(&mut lobby).is_empty());
        for guest in lobby.guests.iter_mut().flatten() {
            assert!(guest.until > Instant::now());
            guest.until = Instant::now();
        }
        assert!(requests(&mut lobby).is_empty() && lobby.count() == 0);
        let mut answer = String::new();
        silent.read_to_string(&mut answer).unwrap();
        assert_eq!(answer, "");
        slow.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    }
}
