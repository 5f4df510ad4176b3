//! The calls that rustix has no wrapper for, by number.
//!
//! `syscall(3)` is in every libc, takes the kernel's numbers, and sets errno, on all our targets.

use linux_raw_sys::general as kernel;
use rustix::io::Errno;
use std::ffi::c_long;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};

unsafe extern "C" {
    fn syscall(number: c_long, ...) -> c_long;
}

/// The result of a raw call as rustix would give it.
fn check(result: c_long) -> Result<c_long, Errno> {
    if result >= 0 {
        return Ok(result);
    }
    let errno = std::io::Error::last_os_error().raw_os_error().unwrap_or(0);
    Err(Errno::from_raw_os_error(errno))
}

/// Which side of `clone3` returned.
pub enum Cloned {
    Child,
    Parent { pid: i32, pidfd: OwnedFd },
}

/// clone3(2) like fork: the child runs on a copy of this stack. `flags` are CLONE_NEW… bits;
/// CLONE_PIDFD is added, and CLONE_INTO_CGROUP where `cgroup` is given (Linux 5.7).
///
/// # Safety
/// The caller must be single-threaded: in the child no other thread exists, and a lock that one
/// held (malloc's, for instance) would stay locked for ever.
pub unsafe fn clone3(flags: u64, cgroup: Option<RawFd>) -> Result<Cloned, Errno> {
    let mut pidfd: i32 = -1;
    // SAFETY: clone_args is plain integers, for which zero means "not given".
    let mut args: kernel::clone_args = unsafe { std::mem::zeroed() };
    args.flags = flags | u64::from(kernel::CLONE_PIDFD);
    args.pidfd = std::ptr::from_mut(&mut pidfd) as usize as u64;
    args.exit_signal = u64::from(kernel::SIGCHLD);
    if let Some(fd) = cgroup {
        args.flags |= kernel::CLONE_INTO_CGROUP as u64;
        args.cgroup = fd as u64;
    }

    // SAFETY: args lives across the call and has the size told; no new stack is asked for, so the
    // child goes on here like after fork. The caller answers for being single-threaded.
    let result = unsafe {
        syscall(
            kernel::__NR_clone3 as c_long,
            std::ptr::from_mut(&mut args),
            size_of::<kernel::clone_args>(),
        )
    };
    match check(result)? {
        0 => Ok(Cloned::Child),
        pid => Ok(Cloned::Parent {
            pid: pid as i32,
            // SAFETY: the kernel has just put a new descriptor there, and nobody else has it.
            pidfd: unsafe { OwnedFd::from_raw_fd(pidfd) },
        }),
    }
}

/// From <linux/close_range.h>, which linux-raw-sys does not carry.
const CLOSE_RANGE_CLOEXEC: c_long = 1 << 2;

/// close_range(2) with CLOSE_RANGE_CLOEXEC (Linux 5.11) from `first` up.
pub fn close_on_exec_from(first: RawFd) -> Result<(), Errno> {
    // SAFETY: marks descriptors close-on-exec; no memory is involved.
    let result = unsafe {
        syscall(
            kernel::__NR_close_range as c_long,
            first as c_long,
            c_long::from(i32::MAX),
            CLOSE_RANGE_CLOEXEC,
        )
    };
    check(result).map(drop)
}
