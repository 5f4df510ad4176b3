//! Where a mount goes: resolved once, inside the root, and from then on a descriptor.

use crate::error::{Error, Result};
use crate::runtime::mount::{clean, leaf_of};
use crate::runtime::options::Options;
use crate::runtime::walk::{self, Leaf};
use crate::sys::{self, failed};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

/// The only files below /proc that may be mounted on: runc's list, made for lxcfs.
const PROC_FILES: [&str; 10] = [
    "cpuinfo",
    "diskstats",
    "meminfo",
    "stat",
    "swaps",
    "uptime",
    "loadavg",
    "slabinfo",
    "sys/kernel/ns_last_pid",
    "sys/crypto/fips_enabled",
];

pub struct Target {
    /// O_PATH.
    pub place: OwnedFd,
    /// It was made for this mount.
    pub is_new: bool,
    /// Where it really is, where that is known without asking.
    path: Option<PathBuf>,
}

/// The place at `path` inside `root`, made if it is not there.
///
/// The three great ones must be ordinary directories: through a link they would land elsewhere,
/// and what is made safe in them later would not be them (CVE-2019-19921, CVE-2026-41579).
pub fn find(
    root: BorrowedFd<'_>,
    path: &Path,
    kind: &str,
    leaf: Leaf,
    options: &Options<'_>,
) -> Result<Target> {
    let real = clean(path);
    if real == Path::new("/") {
        return Err(Error::invalid(
            "cannot mount over the root of the container",
        ));
    }
    let is_great = ["/dev", "/proc", "/sys"]
        .iter()
        .any(|name| real == Path::new(name));
    let flags = match (leaf, options.target_nofollow) {
        (_, true) => OFlags::PATH | OFlags::NOFOLLOW,
        (Leaf::Dir, _) => OFlags::PATH | OFlags::DIRECTORY,
        (Leaf::File, _) => OFlags::PATH,
    };
    // Most mount points exist with no link on the way, and then the path is what it says.
    match sys::fs::open_without_links(root, path, flags) {
        Ok(place) => Ok(Target {
            place,
            is_new: false,
            path: Some(real),
        }),
        Err(Errno::NOTDIR) => Err(wrong_kind()),
        Err(Errno::NOENT) if let Some(place) = make_last(root, &real, leaf) => Ok(Target {
            place,
            is_new: true,
            path: Some(real),
        }),
        Err(Errno::LOOP | Errno::NOENT) if is_great || matches!(kind, "proc" | "sysfs") => {
            make_ordinary(root, path, &real, kind)
        }
        Err(Errno::LOOP | Errno::NOENT) => follow(root, path, leaf, options),
        Err(errno) => Err(failed("open in root", path.display(), errno)),
    }
}

/// The usual case of a missing one: in a directory that is there, such as a new /dev.
fn make_last(root: BorrowedFd<'_>, path: &Path, leaf: Leaf) -> Option<OwnedFd> {
    let (dir, name) = (path.parent()?, path.file_name()?);
    let dir = sys::fs::open_without_links(root, dir, OFlags::PATH | OFlags::DIRECTORY).ok()?;
    walk::make(dir.as_fd(), name, leaf).ok()?;
    let kind = match leaf {
        Leaf::Dir => OFlags::DIRECTORY,
        Leaf::File => OFlags::empty(),
    };
    // Somebody may have put a link there by now: it is not followed.
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC | kind;
    rustix::fs::openat(&dir, name, flags, Mode::empty()).ok()
}

pub fn wrong_kind() -> Error {
    Error::invalid(
        "not a directory: Are you trying to mount a directory onto a file (or vice-versa)? Check if the specified host path exists and is the expected type",
    )
}

fn follow(root: BorrowedFd<'_>, path: &Path, leaf: Leaf, options: &Options<'_>) -> Result<Target> {
    if options.target_nofollow {
        let (dir, name) = walk::parent(root, path)?;
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        if let Ok(place) = rustix::fs::openat(&dir, &name, flags, Mode::empty()) {
            return Ok(Target {
                place,
                is_new: false,
                path: None,
            });
        }
    }
    let found = walk::open(root, path)?;
    let is_new = found.is_none();
    let place = match found {
        Some(place) => place,
        None => walk::ensure(root, path, leaf)?,
    };
    match leaf == Leaf::Dir && leaf_of(place.as_fd())? != leaf {
        true => Err(wrong_kind()),
        false => Ok(Target {
            place,
            is_new,
            path: None,
        }),
    }
}

fn make_ordinary(root: BorrowedFd<'_>, path: &Path, real: &Path, kind: &str) -> Result<Target> {
    let place = walk::ensure_plain(root, path);
    // A link on the way: neither is it followed, nor does it matter where it leads.
    match place {
        Ok(place) => Ok(Target {
            place,
            is_new: true,
            path: Some(real.to_path_buf()),
        }),
        Err(error) if sys::is(&error, Errno::LOOP) => {
            let what = if kind.is_empty() { "bind" } else { kind };
            Err(Error::invalid(format!(
                "filesystem {what:?} must be mounted on ordinary directory"
            )))
        }
        Err(error) => Err(error),
    }
}

impl Target {
    /// Nothing may lie over /proc but a procfs, and nothing below it but the ten files: whoever can
    /// fake files there undoes masks and writes of LSM labels (CVE-2019-16884).
    pub fn check_proc(
        &self,
        root: BorrowedFd<'_>,
        brings_procfs: impl FnOnce() -> Result<bool>,
    ) -> Result<()> {
        let asked;
        let path = match &self.path {
            Some(path) => path,
            None => {
                asked = walk::path_of(root, self.place.as_fd())?;
                &asked
            }
        };
        let Ok(inside) = path.strip_prefix("/proc") else {
            // Another name for a procfs, a bind of it for instance, is no way round.
            return match walk::is_proc(self.place.as_fd())? && !brings_procfs()? {
                true => Err(inside_proc(path)),
                false => Ok(()),
            };
        };
        if inside.as_os_str().is_empty() {
            return match brings_procfs()? {
                true => Ok(()),
                false => Err(Error::invalid(format!(
                    "{:?} cannot be mounted because it is not of type proc",
                    path.display()
                ))),
            };
        }
        match PROC_FILES.iter().any(|file| inside == Path::new(file)) {
            true => Ok(()),
            false => Err(inside_proc(path)),
        }
    }
}

fn inside_proc(path: &Path) -> Error {
    Error::invalid(format!(
        "{:?} cannot be mounted because it is inside /proc",
        path.display().to_string()
    ))
}
