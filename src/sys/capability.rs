//! The five capability sets of a process, and the names of capabilities.

use crate::error::Result;
use crate::sys::failed;
use rustix::io::Errno;
use rustix::thread::{CapabilitySet, CapabilitySets};

/// Names by number (capabilities(7)), as Linux 5.9 and later know them.
const NAMES: [&str; 41] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];

/// The bit of `CAP_CHOWN`, in either case.
pub fn bit(name: &str) -> Option<u64> {
    let name = name.to_ascii_uppercase();
    let short = name.strip_prefix("CAP_")?;
    let number = NAMES.iter().position(|known| *known == short)?;
    Some(1 << number)
}

/// `CAP_CHOWN` and so on, all that we know.
pub fn names() -> impl Iterator<Item = String> {
    NAMES.iter().map(|name| format!("CAP_{name}"))
}

/// Every capability that the running kernel may know: bits 0 to 63 of a set.
pub const NUMBERS: std::ops::Range<u32> = 0..64;

/// Keep the permitted set while the user changes (PR_SET_KEEPCAPS); execve(2) clears it again.
pub fn keep_over_setuid(keep: bool) -> Result<()> {
    rustix::thread::set_keep_capabilities(keep)
        .map_err(|errno| failed("prctl", "PR_SET_KEEPCAPS", errno))
}

/// Leave in the bounding set what is in `keep`.
pub fn limit_bounding(keep: u64) -> Result<()> {
    for number in NUMBERS.filter(|number| keep & (1 << number) == 0) {
        let one = CapabilitySet::from_bits_retain(1 << number);
        // Without asking first whether it is there: that would be a call more for each.
        match rustix::thread::remove_capability_from_bounding_set(one) {
            Ok(()) => {}
            // The kernel's last capability was the one before.
            Err(Errno::INVAL) => break,
            // We may not (no CAP_SETPCAP), and need not.
            Err(Errno::PERM) if rustix::thread::capability_is_in_bounding_set(one) == Ok(false) => {
            }
            Err(errno) => return Err(failed("prctl PR_CAPBSET_DROP", number, errno)),
        }
    }
    Ok(())
}

/// capset(2).
pub fn set(effective: u64, permitted: u64, inheritable: u64) -> Result<()> {
    let sets = CapabilitySets {
        effective: CapabilitySet::from_bits_retain(effective),
        permitted: CapabilitySet::from_bits_retain(permitted),
        inheritable: CapabilitySet::from_bits_retain(inheritable),
    };
    rustix::thread::set_capabilities(None, sets)
        .map_err(|errno| failed("capset", format_args!("{permitted:#x}"), errno))
}

/// The permitted set of this process.
pub fn permitted() -> Result<u64> {
    rustix::thread::capabilities(None)
        .map(|sets| sets.permitted.bits())
        .map_err(|errno| failed("capget", "self", errno))
}

/// Do `work` without the capability `bit`: the thread has it again afterwards.
pub fn without<T>(bit: u64, work: impl FnOnce() -> Result<T>) -> Result<T> {
    let sets =
        rustix::thread::capabilities(None).map_err(|errno| failed("capget", "self", errno))?;
    let [effective, permitted, inheritable] =
        [sets.effective, sets.permitted, sets.inheritable].map(|set| set.bits());
    set(effective & !bit, permitted, inheritable)?;
    let done = work();
    set(effective, permitted, inheritable)?;
    done
}

/// Make the ambient set what `wanted` says.
pub fn set_ambient(wanted: u64) -> Result<()> {
    match rustix::thread::clear_ambient_capability_set() {
        // Linux before 4.3 has no such set.
        Ok(()) | Err(Errno::INVAL) => {}
        Err(errno) => return Err(failed("prctl", "PR_CAP_AMBIENT", errno)),
    }
    for number in NUMBERS.filter(|number| wanted & (1 << number) != 0) {
        let one = CapabilitySet::from_bits_retain(1 << number);
        rustix::thread::configure_capability_in_ambient_set(one, true)
            .map_err(|errno| failed("prctl PR_CAP_AMBIENT_RAISE", number, errno))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_the_kernels_numbers() {
        assert_eq!(bit("CAP_CHOWN"), Some(1));
        assert_eq!(bit("CAP_SYS_ADMIN"), Some(1 << 21));
        assert_eq!(bit("cap_checkpoint_restore"), Some(1 << 40));
        assert_eq!(bit("CHOWN"), None);
        assert_eq!(bit("CAP_"), None);
    }
}
