//! Signals: their names, masks, signalfd, and the children that SIGCHLD tells of.
//!
//! The kernel's signal set is 64 bits on all our targets; libc's is larger, so these calls go to
//! the kernel directly.

use crate::error::{Error, Result};
use crate::sys::failed;
use crate::sys::raw::check;
use linux_raw_sys::general as kernel;
use rustix::io::Errno;
use rustix::process::{Pid, WaitId, WaitIdOptions, WaitOptions};
use std::ffi::{c_int, c_long};
use std::os::fd::{AsFd, FromRawFd, OwnedFd};

unsafe extern "C" {
    fn syscall(number: c_long, ...) -> c_long;
}

pub const SIGHUP: i32 = 1;
pub const SIGINT: i32 = 2;
pub const SIGKILL: i32 = 9;
pub const SIGUSR1: i32 = 10;
pub const SIGUSR2: i32 = 12;
pub const SIGPIPE: i32 = 13;
pub const SIGTERM: i32 = 15;
pub const SIGCHLD: i32 = 17;
pub const SIGTTIN: i32 = 21;
pub const SIGTTOU: i32 = 22;
pub const SIGURG: i32 = 23;
pub const SIGPWR: i32 = 30;

/// The highest signal; those from `SIGRTMIN` on have no names of their own.
pub const SIGRTMAX: i32 = 64;
/// As programs see it: libc keeps 32 and 33 for itself (signal(7)).
pub const SIGRTMIN: i32 = 34;

/// What the kernel wants to be told as the size of a set.
const SET_BYTES: c_long = 8;

/// Names by number, from 1 (signal(7); the same on x86 and ARM).
const NAMES: [&str; 31] = [
    "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2",
    "PIPE", "ALRM", "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG",
    "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS",
];

/// Other names of the same (moby/sys/signal knows them too).
const ALIASES: [(&str, i32); 4] = [("IOT", 6), ("CLD", 17), ("POLL", 29), ("UNUSED", 31)];

/// A signal as users write it: `SIGTERM`, `term`, `RTMIN+3`, `RTMAX-1`, `15`.
pub fn parse(text: &str) -> Result<i32> {
    let number = match text.parse::<i32>() {
        Ok(number) => Some(number),
        Err(_) => by_name(text),
    };
    number
        .filter(|number| (1..=SIGRTMAX).contains(number))
        .ok_or_else(|| Error::invalid(format!("invalid signal: {text}")))
}

fn by_name(text: &str) -> Option<i32> {
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    if let Some(at) = NAMES.iter().position(|known| *known == name) {
        return i32::try_from(at + 1).ok();
    }
    if let Some((_, number)) = ALIASES.iter().find(|(known, _)| *known == name) {
        return Some(*number);
    }
    if let Some(offset) = name.strip_prefix("RTMIN") {
        return real_time(SIGRTMIN, offset.strip_prefix('+'), offset);
    }
    let offset = name.strip_prefix("RTMAX")?;
    real_time(SIGRTMAX, offset.strip_prefix('-'), offset).map(|number| 2 * SIGRTMAX - number)
}

/// `base`, or `base` and the number after the sign.
fn real_time(base: i32, digits: Option<&str>, whole: &str) -> Option<i32> {
    if whole.is_empty() {
        return Some(base);
    }
    let offset = digits?.parse::<u8>().ok()?;
    (i32::from(offset) <= SIGRTMAX - SIGRTMIN).then_some(base + i32::from(offset))
}

/// A set of signals, a bit each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Set(u64);

impl Set {
    pub const EMPTY: Set = Set(0);
    pub const ALL: Set = Set(u64::MAX);

    pub fn of(signals: &[i32]) -> Set {
        signals
            .iter()
            .fold(Set::EMPTY, |set, signal| set.with(*signal))
    }

    pub fn with(self, signal: i32) -> Set {
        Set(self.0 | bit(signal))
    }

    pub fn without(self, signal: i32) -> Set {
        Set(self.0 & !bit(signal))
    }
}

fn bit(signal: i32) -> u64 {
    match u32::try_from(signal - 1) {
        Ok(shift) => 1u64.checked_shl(shift).unwrap_or(0),
        Err(_) => 0,
    }
}

/// Make `set` this thread's mask of blocked signals; answers the one before (sigprocmask(2)). The
/// mask goes on to children and across exec.
pub fn set_mask(set: Set) -> Result<Set> {
    let mut before = 0u64;
    // SAFETY: both sets are 8 bytes, as told, and live across the call.
    let result = unsafe {
        syscall(
            kernel::__NR_rt_sigprocmask as c_long,
            kernel::SIG_SETMASK as c_long,
            std::ptr::from_ref(&set.0),
            std::ptr::from_mut(&mut before),
            SET_BYTES,
        )
    };
    check(result)
        .map(|_| Set(before))
        .map_err(|errno| failed("sigprocmask", "signals", errno))
}

/// A descriptor that is ready while a signal of `set` is pending (signalfd(2)). They must be
/// blocked.
pub fn descriptor(set: Set) -> Result<OwnedFd> {
    // SAFETY: the set is 8 bytes, as told, and lives across the call.
    let result = unsafe {
        syscall(
            kernel::__NR_signalfd4 as c_long,
            -1 as c_long,
            std::ptr::from_ref(&set.0),
            SET_BYTES,
            // SFD_CLOEXEC and SFD_NONBLOCK are the same bits.
            (kernel::O_CLOEXEC | kernel::O_NONBLOCK) as c_long,
        )
    };
    let fd = check(result).map_err(|errno| failed("signalfd", "signals", errno))?;
    // SAFETY: the kernel has just made it, and nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as c_int) })
}

/// Take one pending signal from a signalfd; `None` when there is no more.
pub fn take(descriptor: impl AsFd) -> Option<i32> {
    // struct signalfd_siginfo, 128 bytes; its first member is the number.
    let mut buffer = [0u8; 128];
    let count = rustix::io::read(descriptor, &mut buffer).ok()?;
    let number: [u8; 4] = buffer.get(..4)?.try_into().ok()?;
    (count == buffer.len()).then_some(i32::from_ne_bytes(number))
}

/// Wait for a signal of `set`, which must be blocked, and take it (sigwaitinfo(2)).
pub fn wait(set: Set) -> Result<i32> {
    loop {
        // SAFETY: the set is 8 bytes, as told; no siginfo and no timeout are given.
        let result = unsafe {
            syscall(
                kernel::__NR_rt_sigtimedwait as c_long,
                std::ptr::from_ref(&set.0),
                std::ptr::null_mut::<u8>(),
                std::ptr::null::<u8>(),
                SET_BYTES,
            )
        };
        match check(result) {
            Ok(signal) => return Ok(signal as i32),
            // A stop and continue of this process, or a debugger's attach.
            Err(Errno::INTR) => {}
            Err(errno) => return Err(failed("sigwaitinfo", "signals", errno)),
        }
    }
}

/// Ignore a signal, from here on and across exec (sigaction(2)).
pub fn ignore(signal: i32) -> Result<()> {
    const SIG_IGN: usize = 1;
    set_handler(signal, SIG_IGN)
}

/// Have a signal do again what it does by default.
pub fn restore(signal: i32) -> Result<()> {
    const SIG_DFL: usize = 0;
    set_handler(signal, SIG_DFL)
}

/// `handler` is one of the two that are no address.
fn set_handler(signal: i32, handler: usize) -> Result<()> {
    // The handler stands first in the kernel's struct on all our targets, and zero means "none" for
    // flags, restorer and mask, whatever their order; 64 bytes are more than any of them has.
    let action = [handler, 0, 0, 0, 0, 0, 0, 0];
    // SAFETY: the kernel reads its struct from `action`, which is larger and lives across the call;
    // the handler is no address.
    let result = unsafe {
        syscall(
            kernel::__NR_rt_sigaction as c_long,
            c_long::from(signal),
            action.as_ptr(),
            std::ptr::null_mut::<u8>(),
            SET_BYTES,
        )
    };
    check(result)
        .map(drop)
        .map_err(|errno| failed("sigaction", signal, errno))
}

/// kill(2): by number, where the process is a child that we have not reaped; a negative `pid` is a
/// process group.
pub fn kill(pid: i32, signal: i32) -> Result<()> {
    // SAFETY: passes integers.
    let result = unsafe {
        syscall(
            kernel::__NR_kill as c_long,
            c_long::from(pid),
            c_long::from(signal),
        )
    };
    check(result)
        .map(drop)
        .map_err(|errno| failed("kill", pid, errno))
}

/// A child that has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    pub pid: i32,
    /// As a shell tells it: the exit status, or 128 and the signal.
    pub code: i32,
}

/// Whether there is any child, alive or not yet reaped.
pub fn has_children() -> bool {
    let any = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    !matches!(rustix::process::waitid(WaitId::All, any), Err(Errno::CHILD))
}

/// Reap one child that has ended; `None` when none has.
pub fn reap() -> Result<Option<Ended>> {
    loop {
        match rustix::process::wait(WaitOptions::NOHANG) {
            Ok(None) | Err(Errno::CHILD) => return Ok(None),
            Ok(Some((pid, status))) => {
                let code = exit_code(status.exit_status(), status.terminating_signal());
                return Ok(Some(Ended {
                    pid: Pid::as_raw(Some(pid)),
                    code,
                }));
            }
            Err(Errno::INTR) => {}
            Err(errno) => return Err(failed("wait", "children", errno)),
        }
    }
}

/// One number for both ways to end.
fn exit_code(status: Option<i32>, signal: Option<i32>) -> i32 {
    match (status, signal) {
        (Some(status), _) => status,
        (None, Some(signal)) => 128 + signal,
        (None, None) => 255,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_have_many_names() {
        for (text, number) in [
            ("SIGHUP", 1),
            ("hup", 1),
            ("Term", 15),
            ("sigkill", 9),
            ("9", 9),
            ("64", 64),
            ("CLD", 17),
            ("IOT", 6),
            ("SYS", 31),
            ("RTMIN", 34),
            ("SIGRTMIN+3", 37),
            ("RTMIN+30", 64),
            ("RTMAX", 64),
            ("RTMAX-14", 50),
        ] {
            assert_eq!(parse(text).unwrap(), number, "{text}");
        }
    }

    #[test]
    fn nonsense_is_no_signal() {
        for text in [
            "", "0", "-1", "65", "FOO", "SIG", "RTMIN-1", "RTMIN+31", "RTMAX-31", "RTMIN+x", "é",
        ] {
            let error = parse(text).unwrap_err();
            assert_eq!(error.message, format!("invalid signal: {text}"));
        }
    }

    #[test]
    fn an_exit_code_tells_both_ways_to_end() {
        assert_eq!(exit_code(Some(0), None), 0);
        assert_eq!(exit_code(Some(255), None), 255);
        assert_eq!(exit_code(None, Some(9)), 137);
        assert_eq!(exit_code(None, Some(64)), 192);
    }

    #[test]
    fn sets_hold_the_first_and_the_last_signal() {
        assert_eq!(Set::of(&[1, 64]), Set(1 << 63 | 1));
        assert_eq!(Set::ALL.without(64).with(64), Set::ALL);
        assert_eq!(Set::of(&[0, -5, 65]), Set::EMPTY);
    }
}
