//! System calls: the only place with `unsafe`.
//!
//! A wrapper makes one call, takes and returns owned or borrowed descriptors and paths, names the
//! call and its object in the error, and decides nothing: no policy, no retry but for EINTR.
//! Descriptors are close-on-exec from birth. What rustix lacks is in `raw`.
#![allow(unsafe_code)]

pub mod cache;
pub mod capability;
pub mod cgroup;
pub mod clock;
pub mod epoll;
pub mod fs;
pub mod inet;
pub mod init;
pub mod letters;
pub mod loops;
pub mod machine;
pub mod memory;
#[cfg(all(target_arch = "x86_64", any(unwind_stub, test)))]
mod memory_copy;
pub mod mount;
pub mod mountinfo;
pub mod namespace;
pub mod notify;
pub mod poll;
pub mod power;
pub mod process;
pub mod quota;
pub mod random;
pub mod raw;
pub mod schedule;
pub mod seccomp;
pub mod service;
pub mod signal;
pub mod socket;
pub mod spawn;
pub mod stream;
pub mod supervisor;
pub mod terminal;
pub mod thread;
#[cfg(unwind_stub)]
mod unwind_stub;
pub mod watchdog;

use crate::error::Error;
use rustix::io::Errno;
use std::fmt::Display;

/// The error of a failed call: `call` and `object` as in `open /srv/data`.
pub fn failed(call: &str, object: impl Display, errno: Errno) -> Error {
    named(call, &object, errno)
}

/// Whether it is what the kernel said.
pub fn is(error: &Error, errno: Errno) -> bool {
    error.errno == Some(errno.raw_os_error())
}

/// Not generic, so that there is one of it.
fn named(call: &str, object: &dyn Display, errno: Errno) -> Error {
    let error = Error::system(format_args!("{call} {object}"), errno.raw_os_error());
    match errno {
        Errno::NOSYS => {
            let advice = "Linux 5.10 or newer is needed, and no seccomp filter around us that hides its calls";
            Error::with_errno(
                error.kind,
                error.errno,
                format!("{}: {advice}", error.message),
            )
        }
        _ => error,
    }
}
