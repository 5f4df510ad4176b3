//! What process 1 of a container asks of the kernel.

use crate::error::Result;
use crate::sys::failed;
use rustix::process::{Pid, Signal};
use std::os::fd::AsFd;

unsafe extern "C" {
    fn fork() -> i32;
}

/// Which side of `split` returned.
pub enum Split {
    Child,
    Parent { child: i32 },
}

/// fork(2). The process has one thread: of several only the caller's would go on in the child, with
/// whatever the others had locked.
#[allow(unsafe_code)]
pub fn split() -> Result<Split> {
    debug_assert_eq!(threads(), 1);
    // SAFETY: the process has a single thread, as promised above, so the child is a full copy.
    match unsafe { fork() } {
        0 => Ok(Split::Child),
        child if child > 0 => Ok(Split::Parent { child }),
        _ => {
            let error = std::io::Error::last_os_error();
            Err(crate::error::Error::io("fork", &error))
        }
    }
}

fn threads() -> usize {
    std::fs::read_dir("/proc/self/task").map_or(1, Iterator::count)
}

/// Put this process into a group of its own, and that into the foreground of its terminal, if
/// standard input is one.
pub fn take_foreground() -> Result<()> {
    rustix::process::setpgid(None, None).map_err(|errno| failed("setpgid", "child", errno))?;
    let group = rustix::process::getpgrp();
    match rustix::termios::tcsetpgrp(std::io::stdin().as_fd(), group) {
        // No terminal, or one that is not ours.
        Err(rustix::io::Errno::NOTTY | rustix::io::Errno::NXIO | rustix::io::Errno::BADF) => Ok(()),
        result => result.map_err(|errno| failed("tcsetpgrp", "standard input", errno)),
    }
}

/// Get `signal` when the parent ends (PR_SET_PDEATHSIG).
pub fn signal_on_parent_death(signal: i32) -> Result<()> {
    let object = format_args!("PR_SET_PDEATHSIG {signal}").to_string();
    let signal = Signal::from_named_raw(signal)
        .ok_or_else(|| failed("prctl", &object, rustix::io::Errno::INVAL))?;
    rustix::process::set_parent_process_death_signal(Some(signal))
        .map_err(|errno| failed("prctl", object, errno))
}

/// Who has started us, or adopted us since.
pub fn parent() -> i32 {
    Pid::as_raw(rustix::process::getppid())
}

/// Whether our pid namespace is the machine's own. Inside a container the machine is not ours to end,
/// though we may be the first process.
pub fn has_machine() -> bool {
    // PROC_PID_INIT_INO of the kernel's include/linux/proc_ns.h.
    let name = std::fs::read_link("/proc/self/ns/pid");
    name.is_ok_and(|name| name.as_os_str() == "pid:[4026531836]")
}

pub fn is_first_process() -> bool {
    rustix::process::getpid() == Pid::INIT
}
