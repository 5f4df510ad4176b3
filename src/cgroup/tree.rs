//! A group and all below it, by descriptors.
//!
//! What runs in a group may have made groups in it, deeper than a path can say (PATH_MAX) and
//! than we could hold descriptors: the walk holds two and climbs back by `..`, which is safe,
//! because groups of cgroup v2 cannot be moved.

use crate::sys::fs;
use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

type Step<T> = Result<T, Errno>;

/// Call `enter` with `top` and each group below it, parents first, and `leave` with the parent
/// and the name of each group below `top`, children first. Groups that go meanwhile are skipped.
pub fn walk(
    top: BorrowedFd<'_>,
    enter: &mut dyn FnMut(BorrowedFd<'_>) -> Step<()>,
    leave: &mut dyn FnMut(BorrowedFd<'_>, &CStr) -> Step<()>,
) -> Step<()> {
    let mut here = open(top, c".")?;
    enter(here.as_fd())?;
    let mut left = vec![children(here.as_fd())?];
    let mut names: Vec<CString> = Vec::new();
    loop {
        match left.last_mut().and_then(Vec::pop) {
            Some(name) => match open(here.as_fd(), &name) {
                Ok(dir) => {
                    enter(dir.as_fd())?;
                    left.push(children(dir.as_fd())?);
                    names.push(name);
                    here = dir;
                }
                Err(errno) if is_gone(errno) => {}
                Err(errno) => return Err(errno),
            },
            None => {
                left.pop();
                let Some(name) = names.pop() else {
                    return Ok(());
                };
                here = open(here.as_fd(), c"..")?;
                leave(here.as_fd(), &name)?;
            }
        }
    }
}

fn open(dir: BorrowedFd<'_>, name: &CStr) -> Step<OwnedFd> {
    rustix::fs::openat(
        dir,
        name,
        OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC,
        Mode::empty(),
    )
}

fn children(dir: BorrowedFd<'_>) -> Step<Vec<CString>> {
    // A directory's links are its two names and the `..` of each child, so the usual group need
    // not be listed with all its files.
    if rustix::fs::fstat(dir)?.st_nlink <= 2 {
        return Ok(Vec::new());
    }
    let mut all = Vec::new();
    loop {
        let names = match fs::next_names(dir) {
            Ok(names) => names,
            Err(error) => {
                let errno = error.errno.map_or(Errno::IO, Errno::from_raw_os_error);
                return if is_gone(errno) { Ok(all) } else { Err(errno) };
            }
        };
        if names.is_empty() {
            return Ok(all);
        }
        let dirs = names
            .into_iter()
            .filter(|(_, kind)| *kind == FileType::Directory);
        all.extend(dirs.map(|(name, _)| name));
    }
}

/// The group is no more: ENOENT for its name, ENODEV for a file of it.
pub fn is_gone(errno: Errno) -> bool {
    matches!(errno, Errno::NOENT | Errno::NODEV)
}
