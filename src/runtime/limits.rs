//! Resource limits of the program (setrlimit(2)).

use crate::error::{Error, Kind, Result};
use crate::oci::spec::{Process, Rlimit};
use crate::sys::process;
use rustix::process::Resource;

/// Names by the kernel's number, which runc shows in its message.
const NAMES: [(&str, Resource); 16] = [
    ("CPU", Resource::Cpu),
    ("FSIZE", Resource::Fsize),
    ("DATA", Resource::Data),
    ("STACK", Resource::Stack),
    ("CORE", Resource::Core),
    ("RSS", Resource::Rss),
    ("NPROC", Resource::Nproc),
    ("NOFILE", Resource::Nofile),
    ("MEMLOCK", Resource::Memlock),
    ("AS", Resource::As),
    ("LOCKS", Resource::Locks),
    ("SIGPENDING", Resource::Sigpending),
    ("MSGQUEUE", Resource::Msgqueue),
    ("NICE", Resource::Nice),
    ("RTPRIO", Resource::Rtprio),
    ("RTTIME", Resource::Rttime),
];

pub fn apply(process: &Process) -> Result<()> {
    process.rlimits.iter().flatten().try_for_each(set)
}

fn set(limit: &Rlimit) -> Result<()> {
    let name = limit.kind.as_deref().unwrap_or_default();
    let known = |short: &str| NAMES.iter().position(|(known, _)| *known == short);
    let number = name
        .strip_prefix("RLIMIT_")
        .and_then(known)
        .ok_or_else(|| Error::invalid(format!("wrong rlimit value: {name}")))?;
    let (soft, hard) = (limit.soft.unwrap_or(0), limit.hard.unwrap_or(0));
    process::set_limit(NAMES[number].1, soft, hard).map_err(|errno| {
        Error::with_errno(
            Kind::System,
            Some(errno.raw_os_error()),
            format!(
                "error setting rlimit type {number}: {}",
                crate::runtime::program::reason(errno)
            ),
        )
    })
}
