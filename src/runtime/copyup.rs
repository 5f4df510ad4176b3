//! `tmpcopyup`: what a directory of the image holds, copied into the tmpfs that will cover it.
//!
//! Works while another may change the source: nothing is followed, each name is opened once.

use crate::error::Result;
use crate::sys::fs::{self, ModifiedAt};
use rustix::fs::{FileType, Mode, OFlags, Stat, major, minor};
use std::ffi::{CString, OsStr};
use std::io::ErrorKind;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// A directory on the way down: its names are done from the last.
struct Level {
    from: OwnedFd,
    to: OwnedFd,
    names: Vec<CString>,
}

/// Copy all that is in the directory `from` (O_PATH) into `to`, devices only `with_devices`.
///
/// A list of levels instead of recursion: how deep it goes is the image's choice.
pub fn copy(from: BorrowedFd<'_>, to: BorrowedFd<'_>, with_devices: bool) -> Result<()> {
    let here = Path::new(".");
    let mut levels = vec![level(from, to, here)?];
    while let Some(now) = levels.last_mut() {
        let Some(name) = now.names.pop() else {
            levels.pop();
            continue;
        };
        let name = Path::new(OsStr::from_bytes(name.as_bytes()));
        let Some(stat) = fs::stat_at(now.from.as_fd(), name)? else {
            continue;
        };
        let kind = FileType::from_raw_mode(stat.st_mode);
        let is_device = matches!(kind, FileType::CharacterDevice | FileType::BlockDevice);
        if is_device && !with_devices {
            continue;
        }
        let (from, to) = (now.from.as_fd(), now.to.as_fd());
        make(from, to, name, kind, &stat)?;
        fs::chown_at(to, name, stat.st_uid, stat.st_gid)?;
        if kind != FileType::Symlink {
            // After the owner: a change of that takes setuid away.
            fs::chmod_new_node_at(to, name, stat.st_mode & 0o7777)?;
        }
        fs::set_modified_at(to, name, ModifiedAt::of(&stat))?;
        if kind == FileType::Directory {
            let next = level(from, to, name)?;
            levels.push(next);
        }
    }
    Ok(())
}

fn level(from: BorrowedFd<'_>, to: BorrowedFd<'_>, name: &Path) -> Result<Level> {
    let (from, to) = (fs::open_dir_at(from, name)?, fs::open_dir_at(to, name)?);
    let mut names = Vec::new();
    loop {
        let some = fs::next_names(from.as_fd())?;
        if some.is_empty() {
            return Ok(Level { from, to, names });
        }
        names.extend(some.into_iter().map(|(name, _)| name));
    }
}

fn make(
    from: BorrowedFd<'_>,
    to: BorrowedFd<'_>,
    name: &Path,
    kind: FileType,
    stat: &Stat,
) -> Result<()> {
    match kind {
        FileType::Directory => fs::make_dir_at(to, name, 0o700),
        FileType::Symlink => {
            let text = fs::read_link_at(from, name)?;
            fs::symlink_at(Path::new(OsStr::from_bytes(&text)), to, name)
        }
        FileType::RegularFile => copy_file(from, to, name),
        _ => {
            let number = (major(stat.st_rdev), minor(stat.st_rdev));
            fs::make_node_at(to, name, kind, stat.st_mode & 0o7777, number)
        }
    }
}

fn copy_file(from: BorrowedFd<'_>, to: BorrowedFd<'_>, name: &Path) -> Result<()> {
    // It may have become a fifo by now: then nobody is waited for.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let failed = |errno| crate::sys::failed("open", name.display(), errno);
    let source = rustix::fs::openat(from, name, flags, Mode::empty()).map_err(failed)?;
    let target = fs::create_at(to, name, 0o600)?;
    let (mut source, mut target) = (std::fs::File::from(source), std::fs::File::from(target));
    match std::io::copy(&mut source, &mut target) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(()),
        Err(error) => Err(crate::error::Error::io(
            format_args!("copy {}", name.display()),
            &error,
        )),
    }
}
