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

/// Refuse what is no limit, or is given twice (runtime-spec, `config.md`, rlimits).
pub fn check(process: &Process) -> Result<()> {
    let mut seen = 0u32;
    for (index, limit) in process.rlimits.iter().flatten().enumerate() {
        let bit = 1 << number(limit)?;
        let problem = if seen & bit != 0 {
            "limits what another one limits already"
        } else if limit.soft.is_none() || limit.hard.is_none() {
            "needs soft and hard"
        } else {
            seen |= bit;
            continue;
        };
        return Err(Error::invalid(format!(
            "config.json: process.rlimits[{index}] {problem}"
        )));
    }
    Ok(())
}

/// Set them for ourselves, or for `pid`: in a user namespace a process may not raise its own.
pub fn apply(process: &Process, pid: Option<i32>) -> Result<()> {
    let mut list = process.rlimits.iter().flatten();
    list.try_for_each(|limit| set(limit, pid))
}

fn number(limit: &Rlimit) -> Result<usize> {
    let name = limit.kind.as_deref().unwrap_or_default();
    let known = |short: &str| NAMES.iter().position(|(known, _)| *known == short);
    name.strip_prefix("RLIMIT_")
        .and_then(known)
        .ok_or_else(|| Error::invalid(format!("wrong rlimit value: {name}")))
}

fn set(limit: &Rlimit, pid: Option<i32>) -> Result<()> {
    let number = number(limit)?;
    let (soft, hard) = (limit.soft.unwrap_or(0), limit.hard.unwrap_or(0));
    process::set_limit(pid, NAMES[number].1, soft, hard).map_err(|errno| {
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
