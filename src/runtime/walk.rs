//! Walking below a container's root, and making what is missing on the way.
//!
//! The image, or another container that shares a volume, may swap any directory for a symbolic
//! link at any moment. So nothing is checked first and used later: each step is relative to the
//! descriptor of the step before, follows no link, and a link's text is walked in the same way
//! inside the root (CVE-2021-30465, CVE-2024-45310).

use crate::error::{Error, Result};
use crate::sys::{self, failed, fs};
use rustix::fs::{FileType, Mode, OFlags, PROC_SUPER_MAGIC};
use rustix::io::Errno;
use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// What to make where nothing is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leaf {
    Dir,
    /// An empty file, for a file to be mounted on.
    File,
}

/// As the kernel's own limit (path_resolution(7)).
const LINKS_MAX: u32 = 40;

/// A descriptor (O_PATH) of `path` inside `root`; what is missing of it is made.
pub fn ensure(root: BorrowedFd<'_>, path: &Path, leaf: Leaf) -> Result<OwnedFd> {
    // Most mount points exist, and one call finds them.
    match open(root, path)? {
        Some(found) => Ok(found),
        None => Walk::new(root, path)?.finish(leaf),
    }
}

/// A descriptor (O_PATH) of what is at `path` inside `root`, if anything is.
pub fn open(root: BorrowedFd<'_>, path: &Path) -> Result<Option<OwnedFd>> {
    match fs::open_inside(root, path, OFlags::PATH) {
        Ok(found) => Ok(Some(found)),
        Err(error) if is_absent(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

pub fn is_absent(error: &Error) -> bool {
    sys::is(error, Errno::NOENT) || sys::is(error, Errno::NOTDIR)
}

/// The directory that holds `path` (made where missing), and the last name.
pub fn parent(root: BorrowedFd<'_>, path: &Path) -> Result<(OwnedFd, OsString)> {
    let (Some(dir), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(Error::invalid(format!("{} names no file", path.display())));
    };
    Ok((ensure(root, dir, Leaf::Dir)?, name.to_os_string()))
}

/// Where `target` really is, as seen from `root`; `/` for the root itself.
///
/// The kernel's word (d_path), so links have been followed. Wants /proc, so before the pivot.
pub fn path_of(root: BorrowedFd<'_>, target: BorrowedFd<'_>) -> Result<PathBuf> {
    let name = |fd: BorrowedFd<'_>| {
        let link = fs::proc_fd(fd);
        let failed = |error| Error::io(format_args!("read {}", link.display()), &error);
        std::fs::read_link(&link).map_err(failed)
    };
    let (root, target) = (name(root)?, name(target)?);
    target
        .strip_prefix(&root)
        .map(|inside| Path::new("/").join(inside))
        .map_err(|_| Error::invalid(format!("{} left the rootfs", target.display())))
}

/// The directory `path` inside `root`, made where it is missing; ELOOP where a link is on the way.
pub fn ensure_plain(root: BorrowedFd<'_>, path: &Path) -> Result<OwnedFd> {
    let mut walk = Walk::new(root, path)?;
    walk.links = LINKS_MAX;
    walk.finish(Leaf::Dir)
}

/// Whether it is a file of procfs, or its root.
pub fn is_proc(fd: BorrowedFd<'_>) -> Result<bool> {
    rustix::fs::fstatfs(fd)
        .map(|data| data.f_type == PROC_SUPER_MAGIC)
        .map_err(|errno| failed("fstatfs", "mount point", errno))
}

/// Whether it is the root of a procfs (PROC_ROOT_INO), and not a file or directory of one.
pub fn is_proc_root(fd: BorrowedFd<'_>) -> Result<bool> {
    Ok(is_proc(fd)? && fs::stat(fd)?.st_ino == 1)
}

struct Walk {
    /// From the root down to where we are.
    steps: Vec<OwnedFd>,
    todo: VecDeque<OsString>,
    links: u32,
    path: PathBuf,
}

impl Walk {
    fn new(root: BorrowedFd<'_>, path: &Path) -> Result<Walk> {
        let root = root
            .try_clone_to_owned()
            .map_err(|error| Error::io("dup rootfs", &error))?;
        Ok(Walk {
            steps: vec![root],
            todo: names(path.as_os_str()).collect(),
            links: 0,
            path: path.to_path_buf(),
        })
    }

    fn finish(mut self, leaf: Leaf) -> Result<OwnedFd> {
        while let Some(name) = self.todo.pop_front() {
            if name == ".." {
                if self.steps.len() > 1 {
                    self.steps.pop();
                }
                continue;
            }
            let kind = match self.todo.is_empty() {
                true => leaf,
                false => Leaf::Dir,
            };
            self.step(&name, kind)?;
        }
        // Never empty: `..` leaves the root there.
        self.steps.pop().ok_or_else(|| self.failed(Errno::NOENT))
    }

    fn step(&mut self, name: &OsStr, kind: Leaf) -> Result<()> {
        let here = self.steps.last().ok_or_else(|| self.failed(Errno::NOENT))?;
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let open = || rustix::fs::openat(here, name, flags, Mode::empty());
        let found = open().or_else(|errno| {
            if errno != Errno::NOENT {
                return Err(errno);
            }
            match make(here.as_fd(), name, kind) {
                // Somebody else made it just now.
                Ok(()) | Err(Errno::EXIST) => open(),
                Err(errno) => Err(errno),
            }
        });
        let found = found.map_err(|errno| self.failed(errno))?;

        let stat = rustix::fs::fstat(&found).map_err(|errno| self.failed(errno))?;
        if !FileType::from_raw_mode(stat.st_mode).is_symlink() {
            self.steps.push(found);
            return Ok(());
        }

        // A link of procfs may be a magic one, whose text is a path of the host.
        let data = rustix::fs::fstatfs(&found).map_err(|errno| self.failed(errno))?;
        self.links += 1;
        if self.links > LINKS_MAX || data.f_type == PROC_SUPER_MAGIC {
            return Err(self.failed(Errno::LOOP));
        }
        let text = rustix::fs::readlinkat(&found, c"", Vec::new())
            .map_err(|errno| self.failed(errno))?
            .into_bytes();
        if text.first() == Some(&b'/') {
            self.steps.truncate(1);
        }
        let text = OsString::from_vec(text);
        for name in names(&text).collect::<Vec<_>>().into_iter().rev() {
            self.todo.push_front(name);
        }
        Ok(())
    }

    fn failed(&self, errno: Errno) -> Error {
        failed("create mount point", self.path.display(), errno)
    }
}

fn names(path: &OsStr) -> impl Iterator<Item = OsString> {
    path.as_bytes()
        .split(|byte| *byte == b'/')
        .filter(|name| !name.is_empty() && *name != b".")
        .map(|name| OsStr::from_bytes(name).to_os_string())
}

/// Make one name in a directory that is open. An existing one is an error.
pub fn make(dir: BorrowedFd<'_>, name: &OsStr, kind: Leaf) -> std::result::Result<(), Errno> {
    match kind {
        Leaf::Dir => rustix::fs::mkdirat(dir, name, Mode::from_raw_mode(0o755)),
        Leaf::File => {
            let mode = Mode::from_raw_mode(0o644);
            rustix::fs::mknodat(dir, name, FileType::RegularFile, mode, 0)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    /// A directory with `root/` and `outside/` in it, gone when dropped.
    struct Place(PathBuf);

    impl Place {
        fn new(name: &str) -> Place {
            let dir = std::env::temp_dir().join(format!("tug-walk-{}-{name}", std::process::id()));
            std::fs::create_dir_all(dir.join("root")).unwrap();
            std::fs::create_dir_all(dir.join("outside")).unwrap();
            Place(dir)
        }

        fn root(&self) -> OwnedFd {
            fs::open_path(&self.0.join("root")).unwrap()
        }
    }

    impl Drop for Place {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn a_link_in_the_image_is_followed_inside_the_root_only() {
        let place = Place::new("links");
        let outside = place.0.join("outside");
        symlink(&outside, place.0.join("root/escape")).unwrap();
        symlink("/run", place.0.join("root/var")).unwrap();
        symlink("../../../../up", place.0.join("root/up")).unwrap();
        let root = place.root();

        ensure(root.as_fd(), Path::new("/escape/new"), Leaf::Dir).unwrap();
        assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 0);
        let inside = place
            .0
            .join("root")
            .join(outside.strip_prefix("/").unwrap());
        assert!(inside.join("new").is_dir());

        // The positive twin: an absolute link to a directory that is not there yet.
        ensure(root.as_fd(), Path::new("/var/app.sock"), Leaf::File).unwrap();
        assert!(place.0.join("root/run/app.sock").is_file());
    }

    #[test]
    fn dots_do_not_climb_out_and_loops_end() {
        let place = Place::new("dots");
        symlink("loop", place.0.join("root/loop")).unwrap();
        let root = place.root();
        ensure(root.as_fd(), Path::new("/../../a/../b/c"), Leaf::Dir).unwrap();
        assert!(place.0.join("root/b/c").is_dir());
        assert!(!place.0.join("b").exists());
        assert!(ensure(root.as_fd(), Path::new("/loop/x"), Leaf::Dir).is_err());
    }
}
