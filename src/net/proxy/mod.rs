//! Published ports carried by a process: whatever number of sockets, one thread, one epoll set.
//!
//! Connections (`stream`) and datagrams (`datagram`) that arrive at a service's socket are carried to
//! its target, and what comes back to where they came from. One that rests costs two descriptors and
//! a few words: no pipe, no buffer. Nothing is lost when the process ends by itself for want of work:
//! who gave the sockets has them too, and what arrives meanwhile waits in the kernel.
//!
//! The client's address is not kept: the container sees the host's. Keeping it (IP_TRANSPARENT)
//! takes routes of its own in host and container; where the packet filter works, its rules carry
//! what comes from elsewhere, and they keep it.

mod datagram;
mod stream;

use crate::error::{Error, Result};
use crate::sys::epoll::Epoll;
use crate::sys::inet::{self, Protocol};
use crate::sys::memory::{self, Pages};
use crate::sys::signal::{self, Set};
use crate::sys::{failed, process};
use datagram::Flows;
use rustix::event::epoll::EventFlags;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};
use stream::Streams;

/// What may be read at once: any datagram fits.
const BUFFER_BYTES: usize = 1 << 16;

/// How much is done for one descriptor before the others have their turn.
const ROUNDS: usize = 64;

/// Out of descriptors or memory, new clients wait so long for some to become free.
const RETRY: Duration = Duration::from_millis(100);

/// After so much silence memory is given back.
const REST: Duration = Duration::from_secs(1);

/// Told to end, it carries what has arrived already, but no longer than this; and it ends as soon as
/// for so long nothing has come.
const LAST: Duration = Duration::from_millis(200);
const QUIET: Duration = Duration::from_millis(5);

/// How often flows are looked through for those that are over.
const SWEEP: Duration = Duration::from_secs(5);

/// Descriptors for what is no client: standard streams, pipes while they are in use.
const SPARE: u64 = 32;

/// A socket to serve, and where it leads.
pub struct Service {
    pub socket: OwnedFd,
    pub protocol: Protocol,
    pub target: SocketAddr,
}

/// What an event is about: in the upper half of its token; in the lower its place in a list.
const SIGNAL: u64 = 0;
const SERVICE: u64 = 1;
const CLIENT: u64 = 2;
const SERVER: u64 = 3;
const FLOW: u64 = 4;

fn token(kind: u64, at: usize) -> u64 {
    kind << 32 | at as u64
}

pub struct Proxy {
    services: Vec<Service>,
    streams: Streams,
    flows: Flows,
    signals: OwnedFd,
    common: Common,
}

/// What all that is carried shares.
struct Common {
    epoll: Epoll,
    buffer: Pages,
    /// What had more to do when its turn was over.
    again: Vec<u64>,
    /// Services whose clients wait for descriptors.
    starved: Vec<u64>,
    /// Clients that may still come.
    room: u64,
    now: Instant,
    /// No new clients; the end is at this time.
    ends_at: Option<Instant>,
}

impl Common {
    /// Let a service's clients wait until there are descriptors again.
    fn starve(&mut self, service: u64) {
        if !self.starved.contains(&service) {
            self.starved.push(service);
        }
    }
}

impl Proxy {
    /// From here on SIGTERM and SIGINT wait for `run`.
    pub fn new(services: Vec<Service>) -> Result<Proxy> {
        let ends = Set::of(&[signal::SIGTERM, signal::SIGINT]);
        signal::set_mask(ends)?;
        let signals = signal::descriptor(ends)?;
        let epoll = Epoll::new()?;
        epoll.add_edges(&signals, token(SIGNAL, 0), false)?;
        for (at, service) in services.iter().enumerate() {
            prepare(service)?;
            epoll.add_edges(&service.socket, token(SERVICE, at), false)?;
        }
        let taken = services.len() as u64 + SPARE;
        let common = Common {
            epoll,
            buffer: Pages::new(BUFFER_BYTES),
            again: Vec::new(),
            starved: Vec::new(),
            // A client costs two descriptors, or one if it sends datagrams.
            room: process::raise_descriptors().0.saturating_sub(taken) / 2,
            now: Instant::now(),
            ends_at: None,
        };
        Ok(Proxy {
            services,
            streams: Streams::default(),
            flows: Flows::default(),
            signals,
            common,
        })
    }

    /// Serve until one of them says to end; or, with `idle`, until nothing was carried for so long.
    pub fn run(mut self, idle: Option<Duration>) -> Result<()> {
        let mut ready = Vec::new();
        let mut busy_at = self.common.now;
        let mut swept_at = self.common.now;
        let mut is_rested = false;
        loop {
            let is_free = self.streams.is_empty() && self.flows.is_empty();
            let timeout = match (self.timeout(is_free, idle), is_rested) {
                (timeout, true) => timeout,
                (timeout, false) => Some(timeout.map_or(REST, |timeout| timeout.min(REST))),
            };
            self.common.epoll.wait_edges(&mut ready, timeout)?;
            let now = Instant::now();
            self.common.now = now;

            let is_quiet = ready.is_empty() && self.common.again.is_empty();
            for token in std::mem::take(&mut self.common.again) {
                self.dispatch(token, EventFlags::IN);
            }
            for (token, events) in ready.drain(..) {
                self.dispatch(token, events);
            }
            // Numbers in this turn's events meant those that have ended now.
            let has_room = self.streams.forget_ended() | self.flows.forget_ended();
            if has_room || is_quiet {
                self.common.again.append(&mut self.common.starved);
            }
            if now >= swept_at + SWEEP {
                swept_at = now;
                self.flows.sweep(&mut self.common);
            }
            if !is_free || !is_quiet {
                busy_at = now;
            }
            // Once; at the last moment, as what runs comes back.
            let is_tired = is_quiet && !is_rested;
            is_rested = is_quiet;
            let is_over = match self.common.ends_at {
                Some(at) => is_quiet || now >= at,
                None => is_free && is_quiet && idle.is_some_and(|idle| now >= busy_at + idle),
            };
            if is_over {
                return Ok(());
            }
            if is_tired {
                self.common.buffer = Pages::new(BUFFER_BYTES);
                memory::forget_code();
            }
        }
    }

    fn timeout(&self, is_free: bool, idle: Option<Duration>) -> Option<Duration> {
        if !self.common.again.is_empty() {
            Some(Duration::ZERO)
        } else if self.common.ends_at.is_some() {
            Some(QUIET)
        } else if !self.common.starved.is_empty() {
            Some(RETRY)
        } else if !self.flows.is_empty() {
            Some(SWEEP)
        } else {
            idle.filter(|_| is_free)
        }
    }

    fn dispatch(&mut self, token: u64, events: EventFlags) {
        let at = token as u32 as usize;
        let common = &mut self.common;
        match token >> 32 {
            SIGNAL => {
                let told = signal::take(&self.signals);
                common.ends_at = common.ends_at.or(told.map(|_| common.now + LAST));
            }
            SERVICE => match self.services.get(at) {
                Some(service) if service.protocol == Protocol::Udp => {
                    self.flows.receive(at, service, common);
                }
                Some(service) => self.streams.accept(at, service, common),
                None => {}
            },
            CLIENT | SERVER => self
                .streams
                .ready(at, token >> 32 == SERVER, events, common),
            FLOW => self.flows.answer(at, &self.services, common),
            _ => {}
        }
    }
}

fn prepare(service: &Service) -> Result<()> {
    let socket = &service.socket;
    let Some(address) = inet::address(socket) else {
        return Err(Error::invalid(
            "the socket to be served is none of IPv4 or IPv6",
        ));
    };
    rustix::io::ioctl_fionbio(socket, true)
        .map_err(|errno| failed("ioctl FIONBIO", address, errno))?;
    match service.protocol {
        Protocol::Udp => inet::tell_local(socket, &address.ip())
            .map_err(|errno| failed("setsockopt PKTINFO", address, errno)),
        _ => {
            inet::tune(socket);
            Ok(())
        }
    }
}

/// Things with numbers that stay theirs as long as they live, and until the turn in which they ended
/// is over.
struct Slots<T> {
    list: Vec<Option<T>>,
    free: Vec<u32>,
    ended: Vec<u32>,
}

impl<T> Default for Slots<T> {
    fn default() -> Slots<T> {
        Slots {
            list: Vec::new(),
            free: Vec::new(),
            ended: Vec::new(),
        }
    }
}

impl<T> Slots<T> {
    fn is_empty(&self) -> bool {
        self.list.len() == self.free.len() + self.ended.len()
    }

    /// The number that the next one will have.
    fn next(&self) -> usize {
        self.free.last().map_or(self.list.len(), |at| *at as usize)
    }

    fn put(&mut self, thing: T) {
        match self.free.pop() {
            Some(at) => {
                if let Some(slot) = self.list.get_mut(at as usize) {
                    *slot = Some(thing);
                }
            }
            None => self.list.push(Some(thing)),
        }
    }

    fn get(&mut self, at: usize) -> Option<&mut T> {
        self.list.get_mut(at)?.as_mut()
    }

    fn take(&mut self, at: usize) -> Option<T> {
        let thing = self.list.get_mut(at)?.take()?;
        self.ended.push(at as u32);
        Some(thing)
    }

    /// Whether any had ended. With the last one all memory goes back.
    fn forget_ended(&mut self) -> bool {
        let any = !self.ended.is_empty();
        if any && self.is_empty() {
            *self = Slots::default();
        }
        self.free.append(&mut self.ended);
        any
    }
}
