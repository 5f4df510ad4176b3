//! The clocks: since boot, and whether the wall clock has been set.

use crate::error::Result;
use crate::sys::failed;
use rustix::time::{
    ClockId, Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec,
};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

/// Since the machine was started, sleep included (CLOCK_BOOTTIME).
pub fn since_boot() -> Duration {
    let now = rustix::time::clock_gettime(ClockId::Boottime);
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    Duration::new(seconds, u32::try_from(now.tv_nsec).unwrap_or(0))
}

/// Readable once somebody has set the wall clock (TFD_TIMER_CANCEL_ON_SET).
pub struct Sets(OwnedFd);

impl Sets {
    pub fn new() -> Result<Sets> {
        let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
        let timer = rustix::time::timerfd_create(TimerfdClockId::Realtime, flags)
            .map_err(|errno| failed("timerfd_create", "wall clock", errno))?;
        let sets = Sets(timer);
        sets.arm()?;
        Ok(sets)
    }

    /// Hear of the next time too. Do this before looking at the clock, not after.
    pub fn arm(&self) -> Result<()> {
        // The year 2255: it does not come while anybody waits.
        let never = Timespec {
            tv_sec: 9_000_000_000,
            tv_nsec: 0,
        };
        let zero = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        let when = Itimerspec {
            it_interval: zero,
            it_value: never,
        };
        let flags = TimerfdTimerFlags::ABSTIME | TimerfdTimerFlags::CANCEL_ON_SET;
        // A read takes the notice: it fails with ECANCELED.
        let _ = rustix::io::read(&self.0, &mut [0u8; 8]);
        rustix::time::timerfd_settime(&self.0, flags, &when)
            .map(drop)
            .map_err(|errno| failed("timerfd_settime", "wall clock", errno))
    }
}

impl AsFd for Sets {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
