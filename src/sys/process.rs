//! Processes: identity over time, credentials, limits, exec.

use crate::error::{Error, Kind, Result};
use crate::sys::{failed, fs, raw};
use rustix::fs::Mode;
use rustix::io::Errno;
use rustix::process::{
    DumpableBehavior, Pid, PidfdFlags, Resource, Rlimit, WaitId, WaitIdOptions, WaitIdStatus,
};
use rustix::thread::{Gid, Uid};
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::path::Path;
use std::str::SplitAsciiWhitespace;
use std::sync::atomic::{AtomicU64, Ordering};

/// When `pid` was started, in clock ticks since boot: with the number, the process's identity.
/// `None` when there is no such process, or when it has ended and waits to be reaped.
pub fn start_time(pid: i32) -> Option<u64> {
    // More than the kernel can write there, in one read: this is asked for all the time.
    let mut buffer = [0u8; 1024];
    let mut file = std::fs::File::open(format!("/proc/{pid}/stat")).ok()?;
    let count = std::io::Read::read(&mut file, &mut buffer).ok()?;
    parse_start_time(buffer.get(..count)?)
}

/// Whether `pid` is on its way out, or gone: it may have let go of what it held open long before
/// it is a zombie.
pub fn is_ending(pid: i32) -> bool {
    let stat = std::fs::read(format!("/proc/{pid}/stat")).unwrap_or_default();
    match parse_flags(&stat) {
        Some(flags) => flags & PF_EXITING != 0,
        None => true,
    }
}

/// Of the kernel's include/linux/sched.h, in the ninth field (proc_pid_stat(5)).
const PF_EXITING: u32 = 0x4;

fn parse_flags(stat: &[u8]) -> Option<u32> {
    fields(stat)?.nth(6)?.parse().ok()
}

/// The fields of /proc/PID/stat from the third on, the state. The name in the second may hold
/// spaces and brackets.
pub fn fields(stat: &[u8]) -> Option<SplitAsciiWhitespace<'_>> {
    let end = stat.iter().rposition(|byte| *byte == b')')?;
    let rest = std::str::from_utf8(stat.get(end + 1..)?).ok()?;
    Some(rest.split_ascii_whitespace())
}

/// How much the process `pid` (or `self`) and those that it has reaped have written to block devices:
/// counted when a page is dirtied, less what was deleted before it got there (proc_pid_io(5)).
/// `None` where the kernel does not count it (accounting of I/O was left out), or would not say.
pub fn written_bytes(pid: &str) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/io")).ok()?;
    let field = |name| {
        let mut lines = text.lines();
        lines.find_map(|line| line.strip_prefix(name)?.trim().parse::<u64>().ok())
    };
    let cancelled = field("cancelled_write_bytes:").unwrap_or(0);
    Some(field("write_bytes:")?.saturating_sub(cancelled))
}

/// Field 22.
fn parse_start_time(stat: &[u8]) -> Option<u64> {
    let mut fields = fields(stat)?;
    match fields.next()? {
        "Z" | "X" => None,
        _ => fields.nth(18)?.parse().ok(),
    }
}

/// A numbered field of /proc/PID/stat, from the third on; 0 when the process has gone.
pub fn stat(pid: i32, at: usize) -> u64 {
    let stat = std::fs::read(format!("/proc/{pid}/stat")).unwrap_or_default();
    let field = fields(&stat).and_then(|mut fields| fields.nth(at - 3)?.parse().ok());
    field.unwrap_or(0)
}

/// Every process there is.
pub fn all() -> Vec<i32> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect()
}

/// The memory of a process, its share of what it has together with others (proc_pid_smaps(5)).
pub fn memory_bytes(pid: i32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
    kib.and_then(|kib| kib.trim().parse::<u64>().ok())
        .unwrap_or(0)
        << 10
}

/// A line of /proc/PID/status (proc_pid_status(5)) without its name: `CapBnd:`.
pub fn status(pid: i32, name: &str) -> Result<String> {
    let path = format!("/proc/{pid}/status");
    let text = fs::read_text(&path)?;
    match text.lines().find_map(|line| line.strip_prefix(name)) {
        Some(value) => Ok(value.trim().to_string()),
        None => Err(Error::new(Kind::System, format!("no {name} in {path}"))),
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

/// How a process has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    Exited(i32),
    Signalled(i32),
}

/// Wait for a child to end, and reap it. Answers its status as a shell would: 128 + signal.
pub fn reap(pidfd: impl AsFd) -> Result<i32> {
    wait(pidfd).map(|ended| match ended {
        Ended::Exited(code) => code,
        Ended::Signalled(signal) => 128 + signal,
    })
}

/// The same, told apart.
pub fn wait(pidfd: impl AsFd) -> Result<Ended> {
    loop {
        match rustix::process::waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED) {
            Ok(status) => return Ok(status.map_or(Ended::Exited(0), |status| ended(&status))),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(failed("waitid", "child", errno)),
        }
    }
}

fn ended(status: &WaitIdStatus) -> Ended {
    match (status.exit_status(), status.terminating_signal()) {
        (None, Some(signal)) => Ended::Signalled(signal),
        (code, _) => Ended::Exited(code.unwrap_or(0)),
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

/// Close every descriptor from `first` up but `kept`.
///
/// For a forked child that never returns to its parent's code: the copies of the parent's
/// descriptors that it got are nobody's here.
pub fn keep_only(mut first: RawFd, kept: &[BorrowedFd<'_>]) -> Result<()> {
    let mut numbers: Vec<RawFd> = kept.iter().map(AsRawFd::as_raw_fd).collect();
    numbers.push(RawFd::MAX);
    numbers.sort_unstable();
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

/// setpgid(2): `pid` (0: we ourselves) becomes the leader of its own process group. It may have
/// executed or ended already: then it has done so itself.
pub fn lead_group(pid: i32) {
    let pid = Pid::from_raw(pid);
    let _ = rustix::process::setpgid(pid, pid);
}

/// What a process's user is for the kernel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ids {
    pub uid: u32,
    pub gid: u32,
    pub groups: Vec<u32>,
    /// Somebody wants these groups in so many words; they are not only those of the user's entry.
    pub are_groups_asked_for: bool,
}

/// Become `ids`: groups first, while we may.
pub fn become_user(ids: &Ids) -> Result<()> {
    let groups: Vec<Gid> = ids.groups.iter().copied().map(Gid::from_raw).collect();
    match rustix::thread::set_thread_groups(&groups) {
        Ok(()) => {}
        // A user namespace that was made without privileges (user_namespaces(7), setgroups).
        Err(Errno::PERM) if !ids.are_groups_asked_for => {}
        Err(Errno::PERM) => {
            return Err(Error::invalid(
                "cannot set any additional groups in a rootless container",
            ));
        }
        Err(errno) => return Err(failed("setgroups", format_args!("{:?}", ids.groups), errno)),
    }
    let gid = Gid::from_raw(ids.gid);
    rustix::thread::set_thread_res_gid(gid, gid, gid)
        .map_err(|errno| unmapped("setresgid", "gid", ids.gid, errno))?;
    let uid = Uid::from_raw(ids.uid);
    rustix::thread::set_thread_res_uid(uid, uid, uid)
        .map_err(|errno| unmapped("setresuid", "uid", ids.uid, errno))
}

/// EINVAL has one meaning here: the id is not in the map of our user namespace. The sentence is
/// runc's.
fn unmapped(call: &str, kind: &str, id: u32, errno: Errno) -> Error {
    match errno {
        Errno::INVAL => Error::invalid(format!(
            "cannot set {kind} to unmapped user in user namespace: {kind} {id}"
        )),
        errno => failed(call, id, errno),
    }
}

unsafe extern "C" {
    // Both answer the id before, and tell no error (setfsuid(2)).
    safe fn setfsuid(uid: u32) -> i32;
    safe fn setfsgid(gid: u32) -> i32;
}

/// Do `work` with the rights that the user of process `pid` has in file systems. For other users than
/// root the kernel takes those capabilities of ours away meanwhile that files are about.
pub fn with_rights_of<T>(pid: i32, work: impl FnOnce() -> T) -> Result<T> {
    // Real, effective, saved, and that for files.
    let id = |name: &str| {
        let ids = status(pid, name)?;
        let id = ids.split_ascii_whitespace().nth(3);
        let id = id.and_then(|id| id.parse::<u32>().ok());
        id.ok_or_else(|| Error::new(Kind::System, format!("process {pid} has no {name}")))
    };
    let (uid, gid) = (id("Uid:")?, id("Gid:")?);
    setfsgid(gid);
    setfsuid(uid);
    let done = work();
    setfsuid(rustix::process::geteuid().as_raw());
    setfsgid(rustix::process::getegid().as_raw());
    Ok(done)
}

/// Answers the one before.
pub fn set_umask(mask: u32) -> u32 {
    rustix::process::umask(Mode::from_raw_mode(mask & 0o777)).bits()
}

pub fn set_no_new_privileges() -> Result<()> {
    rustix::thread::set_no_new_privs(true)
        .map_err(|errno| failed("prctl", "PR_SET_NO_NEW_PRIVS", errno))
}

/// prlimit(2) of a process, or of ourselves. The greatest number means no limit.
pub fn set_limit(
    pid: Option<i32>,
    resource: Resource,
    soft: u64,
    hard: u64,
) -> std::result::Result<(), Errno> {
    let limit = |value: u64| (value != u64::MAX).then_some(value);
    let limits = Rlimit {
        current: limit(soft),
        maximum: limit(hard),
    };
    rustix::process::prlimit(pid.and_then(Pid::from_raw), resource, limits).map(drop)
}

/// The soft limit before it was raised; 0 as long as it was not.
static SOFT_BEFORE: AtomicU64 = AtomicU64::new(0);

/// How many descriptors we may have, once as many as possible are allowed: the soft limit is low for
/// programs that use select(2). Answers the number, and the soft limit that was there before.
pub fn raise_descriptors() -> (u64, u64) {
    let before = rustix::process::getrlimit(Resource::Nofile);
    let (soft, hard) = (
        before.current.unwrap_or(u64::MAX),
        before.maximum.unwrap_or(u64::MAX),
    );
    match set_limit(None, Resource::Nofile, hard, hard) {
        Ok(()) => {
            let _ = SOFT_BEFORE.compare_exchange(0, soft, Ordering::Relaxed, Ordering::Relaxed);
            (hard, soft)
        }
        Err(_) => (soft, soft),
    }
}

/// How many descriptors this process may have, and how many at most if it asks.
pub fn descriptors() -> (u64, u64) {
    let limit = rustix::process::getrlimit(Resource::Nofile);
    (
        limit.current.unwrap_or(u64::MAX),
        limit.maximum.unwrap_or(u64::MAX),
    )
}

/// How many of them programs may have that we start: the soft limit, before we raised it.
pub fn usual_descriptors() -> u64 {
    match SOFT_BEFORE.load(Ordering::Relaxed) {
        0 => {
            let limit = rustix::process::getrlimit(Resource::Nofile);
            limit.current.unwrap_or(u64::MAX)
        }
        soft => soft,
    }
}

/// In a child whose program is somebody else's: the limit that was there before, if we have raised it.
pub fn lower_descriptors() {
    let soft = SOFT_BEFORE.load(Ordering::Relaxed);
    if soft > 0 {
        set_soft_descriptors(soft);
    }
}

/// Set the soft limit again; what the kernel does not allow stays as it is.
pub fn set_soft_descriptors(soft: u64) {
    let hard = rustix::process::getrlimit(Resource::Nofile).maximum;
    let _ = set_limit(None, Resource::Nofile, soft, hard.unwrap_or(u64::MAX));
}

pub fn change_dir(path: &Path) -> std::result::Result<(), Errno> {
    rustix::process::chdir(path)
}

pub fn change_dir_to(dir: impl AsFd, name: &Path) -> Result<()> {
    rustix::process::fchdir(dir).map_err(|errno| failed("fchdir", name.display(), errno))
}

/// Make the directory that `dir` is our root and working directory.
pub fn change_root_to(dir: impl AsFd, name: &Path) -> Result<()> {
    change_dir_to(dir, name)?;
    change_root(Path::new("."))
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
pub fn c_strings(list: &[impl AsRef<str>]) -> Result<Vec<CString>> {
    let convert = |text: &str| {
        CString::new(text).map_err(|_| Error::invalid(format!("{text:?} holds a zero byte")))
    };
    list.iter().map(|text| convert(text.as_ref())).collect()
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
        assert_eq!(parse_flags(stat), Some(6));
        assert!(!is_ending(std::process::id() as i32));
    }
}
