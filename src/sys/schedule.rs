//! How the kernel schedules this process, its disk accesses and its memory.

use crate::error::Result;
use crate::sys::failed;
use linux_raw_sys::general as kernel;
use rustix::io::Errno;
use std::ffi::{c_long, c_ulong};

unsafe extern "C" {
    fn syscall(number: c_long, ...) -> c_long;
}

fn check(result: c_long) -> std::result::Result<(), Errno> {
    if result >= 0 {
        return Ok(());
    }
    let errno = std::io::Error::last_os_error().raw_os_error().unwrap_or(0);
    Err(Errno::from_raw_os_error(errno))
}

/// `struct sched_attr` of sched_setattr(2), as Linux 3.14 has it.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attributes {
    /// Of this struct; the call knows it.
    pub size: u32,
    pub policy: u32,
    pub flags: u64,
    pub nice: i32,
    pub priority: u32,
    pub runtime: u64,
    pub deadline: u64,
    pub period: u64,
}

/// sched_setattr(2).
pub fn set_attributes(mut attributes: Attributes) -> std::result::Result<(), Errno> {
    attributes.size = size_of::<Attributes>() as u32;
    // SAFETY: the kernel reads `size` bytes, which live across the call.
    check(unsafe {
        syscall(
            kernel::__NR_sched_setattr as c_long,
            0 as c_long,
            std::ptr::from_ref(&attributes),
            0 as c_long,
        )
    })
}

/// ioprio_set(2): `class` 1 (real time), 2 (best effort) or 3 (idle), and 0 to 7 within it.
pub fn set_io_priority(class: u32, priority: u32) -> Result<()> {
    const WHO_PROCESS: c_long = 1;
    // SAFETY: plain numbers; no memory is involved.
    check(unsafe {
        syscall(
            kernel::__NR_ioprio_set as c_long,
            WHO_PROCESS,
            0 as c_long,
            ((class << 13) | priority) as c_long,
        )
    })
    .map_err(|errno| failed("ioprio_set", format_args!("{class}:{priority}"), errno))
}

/// A set of small numbers, CPUs or memory nodes, as the kernel takes it: a bit each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Numbers([c_ulong; Numbers::WORDS]);

impl Numbers {
    /// What glibc's cpu_set_t holds, and runc takes.
    pub const MAX: u32 = 1023;
    const BITS: u32 = c_ulong::BITS;
    const WORDS: usize = ((Numbers::MAX + 1) / Numbers::BITS) as usize;

    pub const EMPTY: Numbers = Numbers([0; Numbers::WORDS]);

    /// Greater ones than `MAX` are left out.
    pub fn add(&mut self, number: u32) {
        if let Some(word) = self.0.get_mut((number / Numbers::BITS) as usize) {
            *word |= 1 << (number % Numbers::BITS);
        }
    }

    pub fn count(&self) -> u32 {
        self.0.iter().map(|word| word.count_ones()).sum()
    }
}

/// sched_setaffinity(2) of this process.
pub fn set_affinity(cpus: &Numbers) -> std::result::Result<(), Errno> {
    // SAFETY: the kernel reads the bytes told, which live across the call.
    check(unsafe {
        syscall(
            kernel::__NR_sched_setaffinity as c_long,
            0 as c_long,
            size_of::<Numbers>(),
            cpus.0.as_ptr(),
        )
    })
}

/// sched_getaffinity(2) of this process.
pub fn affinity() -> Result<Numbers> {
    let mut cpus = Numbers::EMPTY;
    // SAFETY: the kernel writes at most the bytes told, which live across the call.
    check(unsafe {
        syscall(
            kernel::__NR_sched_getaffinity as c_long,
            0 as c_long,
            size_of::<Numbers>(),
            cpus.0.as_mut_ptr(),
        )
    })
    .map_err(|errno| failed("sched_getaffinity", "self", errno))?;
    Ok(cpus)
}

/// set_mempolicy(2); it goes on to children and across exec.
pub fn set_memory_policy(mode: u32, nodes: &Numbers) -> Result<()> {
    let bits = match nodes.count() {
        0 => 0,
        // One more than there are: the kernel counts so.
        _ => Numbers::MAX + 2,
    };
    // SAFETY: the kernel reads as many bits as told (less one), which live across the call.
    check(unsafe {
        syscall(
            kernel::__NR_set_mempolicy as c_long,
            mode as c_long,
            nodes.0.as_ptr(),
            c_ulong::from(bits),
        )
    })
    .map_err(|errno| failed("set_mempolicy", mode, errno))
}

/// personality(2).
pub fn set_personality(persona: u32) -> Result<()> {
    // SAFETY: a plain number; no memory is involved.
    check(unsafe { syscall(kernel::__NR_personality as c_long, persona as c_long) })
        .map_err(|errno| failed("personality", persona, errno))
}
