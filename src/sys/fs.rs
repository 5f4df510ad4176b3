//! Files and directories by descriptor.
//!
//! What lies below a container's root or an image's layer is opened with `open_inside` only: the
//! path resolves in that root, whatever symbolic links it meets (openat2(2), RESOLVE_IN_ROOT).

use crate::error::Result;
use crate::sys::failed;
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

/// A descriptor that names `path` without opening it (O_PATH). Follows symbolic links.
pub fn open_path(path: &Path) -> Result<OwnedFd> {
    rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
        .map_err(|errno| failed("open", path.display(), errno))
}

/// A directory, for reading its entries and for `*at` calls.
pub fn open_dir(path: &Path) -> Result<OwnedFd> {
    rustix::fs::open(
        path,
        OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )
    .map_err(|errno| failed("open directory", path.display(), errno))
}

/// Open `path` as a process would whose root is `root`: absolute links and `..` stay inside.
/// Links like /proc/self/fd/N are refused.
pub fn open_inside(root: impl AsFd, path: &Path, flags: OFlags) -> Result<OwnedFd> {
    rustix::fs::openat2(
        root,
        path,
        flags | OFlags::CLOEXEC,
        Mode::empty(),
        ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS,
    )
    .map_err(|errno| failed("open in root", path.display(), errno))
}

/// fsync(2).
pub fn sync(file: impl AsFd, name: &Path) -> Result<()> {
    rustix::fs::fsync(file).map_err(|errno| failed("fsync", name.display(), errno))
}

/// Sync a directory, so that renames and new names in it survive a power cut.
pub fn sync_dir(path: &Path) -> Result<()> {
    sync(open_dir(path)?, path)
}

/// syncfs(2): everything written to the file system that holds `path`.
pub fn sync_file_system(path: &Path) -> Result<()> {
    let dir = open_dir(path)?;
    rustix::fs::syncfs(dir).map_err(|errno| failed("syncfs", path.display(), errno))
}

pub fn rename(from: &Path, to: &Path) -> Result<()> {
    rustix::fs::renameat(CWD, from, CWD, to).map_err(|errno| {
        failed(
            "rename",
            format_args!("{} to {}", from.display(), to.display()),
            errno,
        )
    })
}
