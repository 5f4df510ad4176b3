//! The last part of every process in a container: its user, its rights, its program.
//!
//! The first process and those that join later (`exec`) go the same way.

use crate::error::{Error, Kind, Result};
use crate::oci::spec::{Capabilities, Process};
use crate::runtime::create::Io;
use crate::runtime::{console, limits, user};
use crate::sys::process::{self, Ids};
use crate::sys::{self, capability, failed, raw};
use rustix::fs::{Access, AtFlags, CWD, FileType, Gid, Uid, makedev};
use rustix::io::Errno;
use std::ffi::CString;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

/// What is left to do: execve(2).
pub struct Program {
    path: CString,
    args: Vec<CString>,
    env: Vec<CString>,
}

impl Program {
    /// Become the process that config.json describes. We are in the container's root already;
    /// `keep` bounds the capabilities.
    pub fn prepare(process: &Process, console: Option<OwnedFd>, keep: u64) -> Result<Program> {
        let user = process.user.clone().unwrap_or_default();
        let root = sys::fs::open_path(Path::new("/"))?;
        let found = user::resolve(root.as_fd(), &user)?;
        drop(root);
        let args = process.args.as_deref().unwrap_or_default();
        let env = environment(process, &found.home);

        limits::apply(process)?;
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
        take_rights(process, &found.ids, keep, user.umask)?;
        if !entered && !enter_cwd(cwd)? {
            return Err(cwd_failed(cwd, Errno::ACCESS));
        }

        let path = look_up(args.first().map_or("", String::as_str), &env)?;
        // What we hold ourselves ends with exec; the program gets the three streams alone.
        raw::close_on_exec_from(3).map_err(|errno| failed("close_range", 3, errno))?;
        raw::reset_signals();
        Ok(Program {
            path: CString::new(path).map_err(|_| Error::invalid("a zero byte in the path"))?,
            args: process::c_strings(args)?,
            env: process::c_strings(&env)?,
        })
    }

    /// Execute it; comes back only with why not.
    pub fn exec(&self) -> Error {
        let errno = process::exec(&self.path, &self.args, &self.env);
        let path = self.path.to_string_lossy();
        cannot_run(errno, format!("exec {path}: {}", reason(errno)))
    }
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
fn take_rights(process: &Process, ids: &Ids, keep: u64, umask: Option<u32>) -> Result<()> {
    let none = Capabilities::default();
    let wanted = process.capabilities.as_ref().unwrap_or(&none);
    let held = capability::permitted()?;
    let set = |list: &Option<Vec<String>>| Ok::<u64, Error>(bits(list)? & keep & held);

    capability::limit_bounding(set(&wanted.bounding)?)?;
    capability::keep_over_setuid(true)?;
    process::set_umask(umask.unwrap_or(0o022));
    process::become_user(ids)?;
    capability::keep_over_setuid(false)?;
    let permitted = set(&wanted.permitted)?;
    capability::set(
        set(&wanted.effective)? & permitted,
        permitted,
        set(&wanted.inheritable)?,
    )?;
    capability::set_ambient(set(&wanted.ambient)? & permitted & set(&wanted.inheritable)?)?;
    // setresuid(2) made us dumpable or not as the kernel pleases; until exec nobody looks in.
    process::hide(true)
}

/// Names that we do not know belong to newer kernels; runc warns and goes on without them.
fn bits(list: &Option<Vec<String>>) -> Result<u64> {
    Ok(list
        .iter()
        .flatten()
        .filter_map(|name| capability::bit(name))
        .fold(0, |all, bit| all | bit))
}

/// The environment as given, with HOME where it is missing.
fn environment(process: &Process, home: &str) -> Vec<String> {
    let mut env = process.env.clone().unwrap_or_default();
    if !env
        .iter()
        .any(|text| text.starts_with("HOME=") && text.len() > 5)
    {
        env.retain(|text| !text.starts_with("HOME="));
        env.push(format!("HOME={home}"));
    }
    env
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
fn look_up(name: &str, env: &[String]) -> Result<String> {
    if name.contains('/') {
        return check(name)
            .map(|()| name.to_string())
            .map_err(|(errno, text)| cannot_run(errno, format!("exec: {name:?}: {text}")));
    }
    let path = env.iter().rev().find_map(|text| text.strip_prefix("PATH="));
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
        let env = ["PATH=/nowhere:/bin:/usr/bin".to_string()];
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
    fn home_is_added_where_it_is_missing() {
        let mut process = Process {
            env: Some(vec!["HOME=".to_string(), "A=b".to_string()]),
            ..Process::default()
        };
        assert_eq!(environment(&process, "/root"), ["A=b", "HOME=/root"]);
        process.env = Some(vec!["HOME=/x".to_string()]);
        assert_eq!(environment(&process, "/root"), ["HOME=/x"]);
    }
}
