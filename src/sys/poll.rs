//! Waiting for descriptors.

use crate::error::Result;
use crate::sys::failed;
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::io::Errno;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

/// poll(2): what is ready of `fds`, each with the events to wait for (POLLHUP and POLLERR are
/// always told). `None` waits for ever. Answers the events in the same order, all empty on timeout.
pub fn wait(
    fds: &[(BorrowedFd<'_>, PollFlags)],
    timeout: Option<Duration>,
) -> Result<Vec<PollFlags>> {
    let mut entries: Vec<PollFd<'_>> = fds
        .iter()
        .map(|(fd, events)| PollFd::from_borrowed_fd(*fd, *events))
        .collect();
    let timeout = timeout.map(|t| Timespec {
        tv_sec: t.as_secs().try_into().unwrap_or(i64::MAX),
        tv_nsec: t.subsec_nanos().into(),
    });
    match poll(&mut entries, timeout.as_ref()) {
        // A signal is not an event of ours; the caller looks again at its clock and its signalfd.
        Ok(_) | Err(Errno::INTR) => Ok(entries.iter().map(PollFd::revents).collect()),
        Err(errno) => Err(failed("poll", "descriptors", errno)),
    }
}

/// A bell between threads: an eventfd that `wait` can listen to.
pub struct Bell(OwnedFd);

impl Bell {
    pub fn new() -> Result<Bell> {
        eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)
            .map(Bell)
            .map_err(|errno| failed("eventfd", "bell", errno))
    }

    pub fn ring(&self) {
        // Fails only when it has rung 2^64 times unheard, and then it is ringing.
        let _ = rustix::io::write(&self.0, &1u64.to_ne_bytes());
    }

    /// Silence it; true if it had rung.
    pub fn clear(&self) -> bool {
        rustix::io::read(&self.0, &mut [0u8; 8]).is_ok()
    }
}

impl AsFd for Bell {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
