//! Waiting for very many descriptors, where poll(2) would walk over all of them each time.

use crate::error::Result;
use crate::sys::failed;
use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::io::Errno;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

/// Told of at once; the others are still there the next time.
const EVENTS_MAX: usize = 64;

pub struct Epoll {
    fd: OwnedFd,
    events: Vec<Event>,
}

impl Epoll {
    pub fn new() -> Result<Epoll> {
        Ok(Epoll {
            fd: epoll::create(CreateFlags::CLOEXEC)
                .map_err(|errno| failed("epoll_create1", "set", errno))?,
            events: Vec::with_capacity(EVENTS_MAX),
        })
    }

    /// Tell `token` whenever `fd` can be read or has been closed by its peer.
    pub fn add(&self, fd: impl AsFd, token: u64) -> Result<()> {
        self.add_for(fd.as_fd(), token, EventFlags::IN)
    }

    /// Tell `token` whenever `fd` can be written to, or will never be.
    pub fn add_writable(&self, fd: impl AsFd, token: u64) -> Result<()> {
        self.add_for(fd.as_fd(), token, EventFlags::OUT)
    }

    fn add_for(&self, fd: BorrowedFd<'_>, token: u64, events: EventFlags) -> Result<()> {
        let data = EventData::new_u64(token);
        epoll::add(&self.fd, fd, data, events)
            .map_err(|errno| failed("epoll_ctl", "EPOLL_CTL_ADD", errno))
    }

    /// Tell `token` once each time that `fd` begins to be readable, closed by its peer or, where
    /// `writes` too, writable (EPOLLET): whoever is told uses it up.
    pub fn add_edges(&self, fd: impl AsFd, token: u64, writes: bool) -> Result<()> {
        let mut flags = EventFlags::IN | EventFlags::RDHUP | EventFlags::ET;
        flags.set(EventFlags::OUT, writes);
        epoll::add(&self.fd, fd, EventData::new_u64(token), flags)
            .map_err(|errno| failed("epoll_ctl", "EPOLL_CTL_ADD", errno))
    }

    /// Whoever has the descriptor elsewhere goes on using it: closing ours would not be enough.
    pub fn remove(&self, fd: impl AsFd) {
        let _ = epoll::delete(&self.fd, fd);
    }

    /// The tokens of what is ready; none when `timeout` has passed. `None` waits for ever.
    pub fn wait(&mut self, timeout: Option<Duration>) -> Result<Vec<u64>> {
        self.fill(timeout)?;
        Ok(self.events.iter().map(|e| e.data.u64()).collect())
    }

    /// The same into `ready`, with what has happened to each.
    pub fn wait_edges(
        &mut self,
        ready: &mut Vec<(u64, EventFlags)>,
        timeout: Option<Duration>,
    ) -> Result<()> {
        self.fill(timeout)?;
        ready.clear();
        ready.extend(self.events.iter().map(|e| (e.data.u64(), e.flags)));
        Ok(())
    }

    fn fill(&mut self, timeout: Option<Duration>) -> Result<()> {
        let timeout = timeout.map(|t| Timespec {
            tv_sec: t.as_secs().try_into().unwrap_or(i64::MAX),
            tv_nsec: t.subsec_nanos().into(),
        });
        self.events.clear();
        match epoll::wait(&self.fd, spare_capacity(&mut self.events), timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(errno) => Err(failed("epoll_wait", "set", errno)),
        }
    }
}

/// Readable when one of the set is ready.
impl AsFd for Epoll {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
