//! Processes: identity over time, credentials, limits, exec.

use crate::error::{Error, Result};
use crate::sys::{failed, raw};
use rustix::fs::Mode;
use rustix::io::Errno;
use rustix::process::{
    DumpableBehavior, Pid, PidfdFlags, Resource, Rlimit, WaitId, WaitIdOptions, WaitIdStatus,
};
use rustix::thread::{Gid, Uid};
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::path::Path;

/// When `pid` was started, in clock ticks since boot: with the number, the process's identity.
/// `None` when there is no such process, or when it has ended and waits to be reaped.
pub fn start_time(pid: i32) -> Option<u64> {
    let stat = std::fs::read(format!("/proc/{pid}/stat")).ok()?;
    parse_start_time(&stat)
}

/// Field 22 of /proc/PID/stat. The name in field 2 may hold spaces and brackets.
fn parse_start_time(stat: &[u8]) -> Option<u64> {
    let end = stat.iter().rposition(|byte| *byte == b')')?;
    let rest = std::str::from_utf8(stat.get(end + 1..)?).ok()?;
    let mut fields = rest.split_ascii_whitespace();
    match fields.next()? {
        "Z" | "X" => None,
        _ => fields.nth(18)?.parse().ok(),
    }
}

/// pidfd_open(2).
pub fn open(pid: i32) -> Result<OwnedFd> {
    let known = Pid::from_raw(pid).ok_or_else(|| failed("pidfd_open", pid, Errno::SRCH))?;
    rustix::process::pidfd_open(known, PidfdFlags::empty())
        .map_err(|errno| failed("pidfd_open", pid, errno))
}

/// pidfd_send_signal(2), with any signal number.
pub fn signal(pidfd: impl AsFd, signal: i32) -> Result<()> {
    raw::pidfd_send_signal(pidfd.as_fd(), signal)
        .map_err(|errno| failed("pidfd_send_signal", signal, errno))
}

/// Wait for a child to end, and reap it. Answers its status as a shell would: 128 + signal.
pub fn reap(pidfd: impl AsFd) -> Result<i32> {
    loop {
        match rustix::process::waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED) {
            Ok(status) => return Ok(status.map_or(0, |status| exit_code(&status))),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(failed("waitid", "child", errno)),
        }
    }
}

fn exit_code(status: &WaitIdStatus) -> i32 {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => code,
        (None, Some(signal)) => 128 + signal,
        (None, None) => 0,
    }
}

/// Hide memory and descriptors from ptrace(2) and /proc/PID until execve(2) (CVE-2016-9962).
pub fn hide(hidden: bool) -> Result<()> {
    let behavior = match hidden {
        true => DumpableBehavior::NotDumpable,
        false => DumpableBehavior::Dumpable,
    };
    rustix::process::set_dumpable_behavior(behavior)
        .map_err(|errno| failed("prctl", "PR_SET_DUMPABLE", errno))
}

/// Close every descriptor above standard error but `kept`.
///
/// For a forked child that never returns to its parent's code: the copies of the parent's
/// descriptors that it got are nobody's here.
pub fn keep_only(kept: &[BorrowedFd<'_>]) -> Result<()> {
    let mut numbers: Vec<RawFd> = kept.iter().map(AsRawFd::as_raw_fd).collect();
    numbers.push(RawFd::MAX);
    numbers.sort_unstable();
    let mut first = 3;
    for number in numbers {
        if first < number {
            // SAFETY: the child's own objects are in `kept`; the parent's are never dropped here.
            unsafe { raw::close_range(first, number - 1) }
                .map_err(|errno| failed("close_range", first, errno))?;
        }
        first = first.max(number.saturating_add(1));
    }
    Ok(())
}

/// dup(2) the three onto standard input, output and error.
pub fn set_stdio(
    stdin: impl AsFd,
    stdout: impl AsFd,
    stderr: impl AsFd,
) -> std::result::Result<(), Errno> {
    // Copies above 2 first: one of the three may lie where another is to go.
    let stdin = rustix::io::fcntl_dupfd_cloexec(stdin, 3)?;
    let stdout = rustix::io::fcntl_dupfd_cloexec(stdout, 3)?;
    let stderr = rustix::io::fcntl_dupfd_cloexec(stderr, 3)?;
    rustix::stdio::dup2_stdin(stdin)?;
    rustix::stdio::dup2_stdout(stdout)?;
    rustix::stdio::dup2_stderr(stderr)
}

/// setsid(2). In a session of its own already: nothing to do.
pub fn new_session() {
    let _ = rustix::process::setsid();
}

/// What a process's user is for the kernel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ids {
    pub uid: u32,
    pub gid: u32,
    pub groups: Vec<u32>,
}

/// Become `ids`: groups first, while we may.
pub fn become_user(ids: &Ids) -> Result<()> {
    let groups: Vec<Gid> = ids.groups.iter().copied().map(Gid::from_raw).collect();
    match rustix::thread::set_thread_groups(&groups) {
        Ok(()) => {}
        // A user namespace with setgroups denied: nothing to add is nothing lost.
        Err(Errno::PERM) if groups.is_empty() => {}
        Err(errno) => return Err(failed("setgroups", format_args!("{:?}", ids.groups), errno)),
    }
    let gid = Gid::from_raw(ids.gid);
    rustix::thread::set_thread_res_gid(gid, gid, gid)
        .map_err(|errno| failed("setresgid", ids.gid, errno))?;
    let uid = Uid::from_raw(ids.uid);
    rustix::thread::set_thread_res_uid(uid, uid, uid)
        .map_err(|errno| failed("setresuid", ids.uid, errno))
}

pub fn set_umask(mask: u32) {
    rustix::process::umask(Mode::from_raw_mode(mask & 0o777));
}

pub fn set_no_new_privileges() -> Result<()> {
    rustix::thread::set_no_new_privs(true)
        .map_err(|errno| failed("prctl", "PR_SET_NO_NEW_PRIVS", errno))
}

/// prlimit(2) on ourselves. The greatest number means no limit.
pub fn set_limit(resource: Resource, soft: u64, hard: u64) -> std::result::Result<(), Errno> {
    let limit = |value: u64| (value != u64::MAX).then_some(value);
    rustix::process::setrlimit(
        resource,
        Rlimit {
            current: limit(soft),
            maximum: limit(hard),
        },
    )
}

pub fn change_dir(path: &Path) -> std::result::Result<(), Errno> {
    rustix::process::chdir(path)
}

pub fn change_dir_to(dir: impl AsFd, name: &Path) -> Result<()> {
    rustix::process::fchdir(dir).map_err(|errno| failed("fchdir", name.display(), errno))
}

pub fn change_root(path: &Path) -> Result<()> {
    rustix::process::chroot(path).map_err(|errno| failed("chroot", path.display(), errno))
}

/// getcwd(2). For a directory outside our root the kernel puts "(unreachable)" in front.
pub fn current_dir() -> std::result::Result<CString, Errno> {
    rustix::process::getcwd(Vec::new())
}

/// execve(2); comes back only with an error.
pub fn exec(path: &CStr, args: &[CString], env: &[CString]) -> Errno {
    raw::execve(path, args, env)
}

/// execveat(2) of an open file; comes back only with an error.
pub fn exec_fd(file: impl AsFd, args: &[CString], env: &[CString]) -> Errno {
    raw::execve_fd(file.as_fd(), args, env)
}

/// Strings for execve(2), which end at a zero byte.
pub fn c_strings(list: &[String]) -> Result<Vec<CString>> {
    let convert = |text: &String| {
        CString::new(text.as_str())
            .map_err(|_| Error::invalid(format!("{text:?} holds a zero byte")))
    };
    list.iter().map(convert).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_start_time_is_found_behind_a_wild_name() {
        let stat = b"7 (a) b (c) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4242 20";
        assert_eq!(parse_start_time(stat), Some(4242));
        assert_eq!(parse_start_time(b"7 (a) Z 1 2 3"), None);
        assert_eq!(parse_start_time(b""), None);
        assert!(start_time(std::process::id() as i32).is_some());
    }
}
