//! seccomp(2).

use crate::sys::raw;
use linux_raw_sys::general as kernel;
use rustix::io::Errno;
use std::ffi::c_long;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};

unsafe extern "C" {
    fn syscall(number: c_long, ...) -> c_long;
}

/// From <linux/seccomp.h>, which linux-raw-sys does not carry.
const SECCOMP_SET_MODE_FILTER: c_long = 1;
pub const NEW_LISTENER: u32 = 1 << 3;

/// `struct sock_fprog`.
#[repr(C)]
struct Program {
    count: u16,
    instructions: *const u64,
}

/// Filter the calls of this thread from here on. With `NEW_LISTENER` among the flags it answers
/// the descriptor of whom the filter asks.
pub fn load(instructions: &[u64], flags: u32) -> Result<Option<OwnedFd>, Errno> {
    let program = Program {
        count: u16::try_from(instructions.len()).map_err(|_| Errno::INVAL)?,
        instructions: instructions.as_ptr(),
    };
    let result = set_filter(flags, &raw const program)?;
    Ok((flags & NEW_LISTENER != 0).then(|| {
        // SAFETY: the kernel has just made this descriptor, close-on-exec, and nobody else has it.
        unsafe { OwnedFd::from_raw_fd(result as RawFd) }
    }))
}

/// Whether the kernel has filters and knows `flags` (seccomp(2), NOTES): then it gets as far as
/// reading the program that is not there.
pub fn is_known(flags: u32) -> bool {
    set_filter(flags, std::ptr::null()) == Err(Errno::FAULT)
}

fn set_filter(flags: u32, program: *const Program) -> Result<c_long, Errno> {
    // SAFETY: the program is null, or lives across the call with the number of its instructions.
    let result = unsafe {
        syscall(
            kernel::__NR_seccomp as c_long,
            SECCOMP_SET_MODE_FILTER,
            flags as c_long,
            program,
        )
    };
    raw::check(result)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_is_asked_for_flags_without_a_change() {
        assert!(is_known(0));
        assert!(is_known(1 << 2));
        assert!(!is_known(1 << 30));
    }
}
