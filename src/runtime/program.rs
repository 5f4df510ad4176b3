//! The last part of every process in a container: its user, its rights, its program.
//!
//! The first process and those that join later (`exec`) go the same way.

use crate::error::{Error, Kind, Result};
use crate::json::map::Map;
use crate::oci::spec::{Capabilities, Process, User};
use crate::runtime::create::Io;
use crate::runtime::{console, limits, lsm, schedule, seccomp, user};
use crate::seccomp::Filter;
use crate::sys::process::{self, Ids};
use crate::sys::{capability, failed, raw};
use rustix::fs::{Access, AtFlags, CWD, FileType, Gid, Uid, makedev};
use rustix::io::Errno;
use std::ffi::CString;
use std::os::fd::{AsFd, OwnedFd, RawFd};
use std::path::Path;

/// What is left to do: execve(2).
pub struct Program {
    path: CString,
    args: Vec<CString>,
    env: Vec<CString>,
    filter: Option<Filter>,
}

impl Program {
    /// Become the process that config.json describes. We are in the container's root already;
    /// `keep` bounds the capabilities; so many descriptors as `preserved` says stay open, from 3.
    pub fn prepare(
        process: &Process,
        console: Option<OwnedFd>,
        keep: u64,
        preserved: u32,
        filter: Option<Filter>,
    ) -> Result<Program> {
        let none = User::default();
        let user = process.user.as_ref().unwrap_or(&none);
        let args = process.args.as_deref().unwrap_or_default();
        let mut env = without_duplicates(process.env.as_deref().unwrap_or_default());
        let found = user::resolve(user, !has_home(&env))?;
        if let Some(home) = &found.home {
            env.retain(|text| !text.starts_with("HOME="));
            env.push(home);
        }

        limits::apply(process, None)?;
        schedule::apply(process)?;
        lsm::apply(process)?;
        if let Some(slave) = &console {
            console::take(slave)?;
        }
        drop(console);
        own_stdio(found.ids.uid)?;

        let cwd = Path::new(process.cwd.as_deref().unwrap_or("/"));
        // As root first: the directory may be closed to the user. Where root may not enter (NFS),
        // the user may.
        let entered = enter_cwd(cwd)?;
        if process.no_new_privileges == Some(true) {
            process::set_no_new_privileges()?;
        }
        let loads_later = filter.is_some() && process.no_new_privileges != Some(true);
        take_rights(process, &found.ids, keep, user.umask, loads_later)?;
        if !entered && !enter_cwd(cwd)? {
            return Err(cwd_failed(cwd, Errno::ACCESS));
        }

        let path = match args.first() {
            Some(name) => look_up(name, &env)?,
            None => String::new(),
        };
        // What we hold ourselves ends with exec; the program gets the three streams alone, and
        // what its caller wants it to have.
        let first = first_own(preserved);
        raw::close_on_exec_from(first).map_err(|errno| failed("close_range", first, errno))?;
        raw::reset_signals();
        Ok(Program {
            path: CString::new(path).map_err(|_| Error::invalid("a zero byte in the path"))?,
            args: process::c_strings(args)?,
            env: process::c_strings(&env)?,
            filter,
        })
    }

    /// Load the filter, if that has not been done. `maker` gets its listener.
    pub fn confine(&mut self, maker: impl AsFd) -> Result<()> {
        match self.filter.take() {
            Some(filter) => seccomp::load(&filter, maker),
            None => Ok(()),
        }
    }

    /// Execute it; comes back only with why not. `maker` gets the listener of its filter.
    pub fn exec(mut self, maker: impl AsFd) -> Error {
        if let Err(error) = self.confine(maker) {
            return error;
        }
        if self.args.is_empty() {
            return Error::invalid("process property must not be empty");
        }
        let errno = process::exec(&self.path, &self.args, &self.env);
        let path = self.path.to_string_lossy();
        cannot_run(errno, format!("exec {path}: {}", reason(errno)))
    }
}

/// The first descriptor that is not for the program.
pub fn first_own(preserved: u32) -> RawFd {
    RawFd::try_from(preserved).map_or(RawFd::MAX, |count| count.saturating_add(3))
}

/// Put the three streams in place.
pub fn set_stdio(io: &Io) -> Result<()> {
    match io {
        Io::Inherit => Ok(()),
        Io::Fds {
            stdin,
            stdout,
            stderr,
        } => process::set_stdio(stdin, stdout, stderr)
            .map_err(|errno| failed("dup", "standard streams", errno)),
    }
}

/// Bounding set, user, and then the other four sets, in the order that each step needs.
///
/// With `loads_later` CAP_SYS_ADMIN stays permitted for the filter that is still to be loaded: what
/// a process may do before execve(2) counts for nothing after it, but for the bounding,
/// inheritable and ambient sets (capabilities(7)).
fn take_rights(
    process: &Process,
    ids: &Ids,
    keep: u64,
    umask: Option<u32>,
    loads_later: bool,
) -> Result<()> {
    let none = Capabilities::default();
    let wanted = process.capabilities.as_ref().unwrap_or(&none);
    let held = capability::permitted()?;
    let set = |list: &Option<Vec<String>>| bits(list) & keep & held;
    let (permitted, inheritable) = (set(&wanted.permitted), set(&wanted.inheritable));

    capability::limit_bounding(set(&wanted.bounding))?;
    // To root there is nothing to lose on the way, and execve(2) forgets it anyway.
    if ids.uid != 0 {
        capability::keep_over_setuid(true)?;
    }
    process::set_umask(umask.unwrap_or(0o022));
    process::become_user(ids)?;
    let loading = match loads_later {
        true => capability::bit("CAP_SYS_ADMIN").unwrap_or(0) & held,
        false => 0,
    };
    capability::set(
        set(&wanted.effective) & permitted | loading,
        permitted | loading,
        inheritable,
    )?;
    capability::set_ambient(set(&wanted.ambient) & permitted & inheritable)?;
    // setresuid(2) made us dumpable or not as the kernel pleases; until exec nobody looks in.
    process::hide(true)
}

/// Names that we do not know belong to newer kernels; runc warns and goes on without them.
fn bits(list: &Option<Vec<String>>) -> u64 {
    list.iter()
        .flatten()
        .filter_map(|name| capability::bit(name))
        .fold(0, |all, bit| all | bit)
}

/// Of several variables of one name the last counts, as in a shell that sets them one by one.
/// There may be 100,000 of them.
fn without_duplicates(list: &[String]) -> Vec<&str> {
    let name = |text: &str| text.split('=').next().unwrap_or_default().to_string();
    let last: Map<usize> = list
        .iter()
        .enumerate()
        .map(|(place, text)| (name(text), place))
        .collect();
    let mut places: Vec<usize> = last.values().copied().collect();
    places.sort_unstable();
    let texts = places.into_iter().filter_map(|place| list.get(place));
    texts.map(String::as_str).collect()
}

/// An empty one counts as none.
fn has_home(env: &[&str]) -> bool {
    let mut values = env.iter().filter_map(|text| text.strip_prefix("HOME="));
    values.any(|home| !home.is_empty())
}

/// Give pipes and terminals on the standard streams to the user, who could otherwise not open
/// /dev/stdout. /dev/null stays everybody's.
fn own_stdio(uid: u32) -> Result<()> {
    let streams = [
        rustix::stdio::stdin(),
        rustix::stdio::stdout(),
        rustix::stdio::stderr(),
    ];
    for stream in streams {
        let Ok(stat) = rustix::fs::fstat(stream) else {
            continue;
        };
        if stat.st_uid == uid || stat.st_rdev == makedev(1, 3) {
            continue;
        }
        // Not ours to give, in a user namespace or on a read-only file system: as runc, go on.
        let _ = rustix::fs::fchown(stream, Some(Uid::from_raw(uid)), None::<Gid>);
    }
    Ok(())
}

/// Enter the working directory; false if its permissions forbid it.
///
/// A path such as /proc/self/fd/7 can lead out of the container, through a descriptor that
/// somebody leaked; the kernel then names the place as unreachable (CVE-2024-21626).
fn enter_cwd(cwd: &Path) -> Result<bool> {
    match process::change_dir(cwd) {
        Ok(()) => {}
        Err(Errno::ACCESS | Errno::PERM) => return Ok(false),
        Err(errno) => return Err(cwd_failed(cwd, errno)),
    }
    let inside = process::current_dir().is_ok_and(|cwd| cwd.to_bytes().first() == Some(&b'/'));
    match inside {
        true => Ok(true),
        false => Err(Error::new(
            Kind::CannotInvoke,
            "current working directory is outside of container mount namespace root -- possible container breakout detected",
        )),
    }
}

fn cwd_failed(cwd: &Path, errno: Errno) -> Error {
    let message = format!(
        "chdir to cwd ({:?}) set in config.json failed: {}",
        cwd.display().to_string(),
        reason(errno)
    );
    cannot_run(errno, message)
}

/// Where the program is. The sentences are runc's, which are Go's.
fn look_up(name: &str, env: &[&str]) -> Result<String> {
    if name.contains('/') {
        return check(name)
            .map(|()| name.to_string())
            .map_err(|(errno, text)| cannot_run(errno, format!("exec: {name:?}: {text}")));
    }
    let path = env.iter().find_map(|text| text.strip_prefix("PATH="));
    for dir in path
        .unwrap_or_default()
        .split(':')
        .filter(|_| !name.is_empty())
    {
        // An empty entry means the current directory, which Go refuses to run from; skipped.
        let candidate = format!("{}/{name}", dir.trim_end_matches('/'));
        if !dir.is_empty() && check(&candidate).is_ok() {
            return Ok(candidate);
        }
    }
    Err(Error::new(
        Kind::ProgramMissing,
        format!("exec: {name:?}: executable file not found in $PATH"),
    ))
}

/// Whether we may execute `path`.
fn check(path: &str) -> std::result::Result<(), (Errno, String)> {
    let stat = rustix::fs::stat(path)
        .map_err(|errno| (errno, format!("stat {path}: {}", reason(errno))))?;
    if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
        return Err((Errno::ISDIR, reason(Errno::ISDIR)));
    }
    rustix::fs::accessat(CWD, path, Access::EXEC_OK, AtFlags::EACCESS)
        .map_err(|errno| (errno, reason(errno)))
}

/// Docker's exit codes: 127 for what is not there, 126 for what cannot be run.
fn cannot_run(errno: Errno, message: String) -> Error {
    let kind = match errno {
        Errno::NOENT => Kind::ProgramMissing,
        _ => Kind::CannotInvoke,
    };
    Error::with_errno(kind, Some(errno.raw_os_error()), message)
}

/// The kernel's reason as Go words it: `no such file or directory`.
pub fn reason(errno: Errno) -> String {
    let text = std::io::Error::from_raw_os_error(errno.raw_os_error()).to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    let mut chars = text.chars();
    match chars.next() {
        Some(first) => std::iter::once(first.to_ascii_lowercase())
            .chain(chars)
            .collect(),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_worded_as_gos() {
        assert_eq!(reason(Errno::NOENT), "no such file or directory");
        assert_eq!(reason(Errno::NOEXEC), "exec format error");
    }

    #[test]
    fn programs_are_looked_up_with_runcs_sentences() {
        let env = ["PATH=/nowhere:/bin:/usr/bin"];
        assert_eq!(look_up("sh", &env).unwrap(), "/bin/sh");
        let told = |name: &str| {
            let error = look_up(name, &env).unwrap_err();
            (error.kind, error.to_string())
        };
        assert_eq!(
            told("no-such-program"),
            (
                Kind::ProgramMissing,
                "exec: \"no-such-program\": executable file not found in $PATH".to_string()
            )
        );
        assert_eq!(
            told("/no/such"),
            (
                Kind::ProgramMissing,
                "exec: \"/no/such\": stat /no/such: no such file or directory".to_string()
            )
        );
        assert_eq!(
            told("/usr"),
            (
                Kind::CannotInvoke,
                "exec: \"/usr\": is a directory".to_string()
            )
        );
        assert_eq!(
            told("/etc/passwd"),
            (
                Kind::CannotInvoke,
                "exec: \"/etc/passwd\": permission denied".to_string()
            )
        );
        assert_eq!(told("").0, Kind::ProgramMissing);
    }

    #[test]
    fn of_several_variables_the_last_counts() {
        let list = ["A=1", "B=2", "A=3", "AA=4", "A=", "B=2=x"].map(String::from);
        assert_eq!(without_duplicates(&list), ["AA=4", "A=", "B=2=x"]);
        assert!(without_duplicates(&[]).is_empty());
        let many: Vec<String> = (0..100_000)
            .map(|n| format!("N{}={n}", n % 50_000))
            .collect();
        let kept = without_duplicates(&many);
        assert_eq!((kept.len(), kept[0]), (50_000, "N0=50000"));
    }

    #[test]
    fn an_empty_home_is_none() {
        assert!(!has_home(&["HOME=", "XHOME=/x"]));
        assert!(has_home(&["HOME=", "HOME=/x"]));
    }
}
