//! What a container has changed: its upper directory compared with the layers below.
//!
//! Only what the upper directory holds is looked at, so the price is that of the changes, not that
//! of the image. What counts as a change is Docker's choice (moby, pkg/archive/changes.go): owner,
//! mode, and for files size and time; a directory with changes in it has changed too.

use crate::error::Result;
use crate::image::inside::{self, is_whiteout, joined, kind};
use crate::sys::failed;
use crate::sys::fs::{self, ModifiedAt};
use rustix::fs::{FileType, OFlags, Stat};
use rustix::io::Errno;
use std::ffi::CString;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

/// Docker's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Modified = 0,
    Added = 1,
    Deleted = 2,
}

/// What is mounted on in each container. The runtime makes what the image lacks of it, and nobody
/// has changed anything by that.
const MOUNT_POINTS: [&str; 11] = [
    "dev",
    "dev/console",
    "dev/mqueue",
    "dev/pts",
    "dev/shm",
    "etc",
    "etc/hostname",
    "etc/hosts",
    "etc/resolv.conf",
    "proc",
    "sys",
];

/// As deep as paths reach for the kernel (PATH_MAX); each level holds two descriptors.
const DEPTH_MAX: usize = 256;

/// All changes, sorted by their paths. `lower` is the root of the layers, `upper` the directory.
pub fn changes(lower: &OwnedFd, upper: OwnedFd) -> Result<Vec<(Vec<u8>, Kind)>> {
    let mut search = Search {
        lower,
        path: Vec::new(),
        found: Vec::new(),
    };
    search.directory(upper, true)?;
    let mut found = search.found;
    found.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(found)
}

/// Whether the runtime has made what `named` is, at `path` (names, slashes between them), to mount
/// something on it: at such a place, where the layers have nothing, and empty but for its like.
pub fn is_mount_point(lower: &OwnedFd, path: &[u8], named: &OwnedFd) -> Result<bool> {
    if !MOUNT_POINTS.iter().any(|point| point.as_bytes() == path) {
        return Ok(false);
    }
    if below(lower, inside::as_path(path))?.is_some() {
        return Ok(false);
    }
    let stat = fs::stat(named.as_fd())?;
    match kind(&stat) {
        FileType::Directory => {}
        FileType::RegularFile => return Ok(stat.st_size == 0),
        _ => return Ok(false),
    }
    let dir = fs::reopen(named.as_fd(), OFlags::RDONLY | OFlags::DIRECTORY)?;
    for name in fs::sorted_names(dir.as_fd())? {
        if let Some(child) = fs::name_at(dir.as_fd(), &name)? {
            let path = [path, b"/", name.as_bytes()].concat();
            if !is_mount_point(lower, &path, &child)? {
                return Ok(false);
            }
        }
    }
    Ok(true)
}

struct Search<'a> {
    lower: &'a OwnedFd,
    path: Vec<Vec<u8>>,
    found: Vec<(Vec<u8>, Kind)>,
}

impl Search<'_> {
    /// Look through a directory of the upper tree. `is_merged`: what lies below it in the layers
    /// shows through.
    fn directory(&mut self, dir: OwnedFd, is_merged: bool) -> Result<()> {
        let names = fs::sorted_names(dir.as_fd())?;
        if !is_merged {
            self.hidden(&names)?;
        }
        for name in names {
            let Some(named) = fs::name_at(dir.as_fd(), &name)? else {
                continue;
            };
            self.path.push(name.into_bytes());
            let outcome = self.entry(named);
            self.path.pop();
            outcome?;
        }
        Ok(())
    }

    fn entry(&mut self, named: OwnedFd) -> Result<()> {
        let stat = fs::stat(named.as_fd())?;
        let before = below(self.lower, &joined(&self.path))?;
        if is_whiteout(&stat) {
            if before.is_some() {
                self.note(Kind::Deleted);
            }
            return Ok(());
        }
        let at = self.found.len();
        match &before {
            None if is_mount_point(self.lower, &self.path.join(&b'/'), &named)? => return Ok(()),
            None => self.note(Kind::Added),
            Some((lower, was)) => {
                if is_different(was, &stat) || capability(lower)? != capability(&named)? {
                    self.note(Kind::Modified);
                }
            }
        }
        if kind(&stat) != FileType::Directory || self.path.len() > DEPTH_MAX {
            return Ok(());
        }

        let was_dir = before.is_some_and(|(_, was)| kind(&was) == FileType::Directory);
        let is_merged = !(was_dir && is_opaque(&named)?);
        let dir = fs::reopen(named.as_fd(), OFlags::RDONLY | OFlags::DIRECTORY)?;
        let was_noted = self.found.len() > at;
        self.directory(dir, is_merged)?;
        if !was_noted && self.found.len() > at {
            self.note(Kind::Modified);
        }
        Ok(())
    }

    /// What the layers have in a directory that hides it, and that is not there any more.
    fn hidden(&mut self, names: &[CString]) -> Result<()> {
        let lower = inside::open_dir(self.lower, &self.path)?;
        for name in fs::sorted_names(lower.as_fd())? {
            if names.binary_search(&name).is_err() {
                self.path.push(name.into_bytes());
                self.note(Kind::Deleted);
                self.path.pop();
            }
        }
        Ok(())
    }

    fn note(&mut self, kind: Kind) {
        let path = [&b"/"[..], &self.path.join(&b'/')].concat();
        self.found.push((path, kind));
    }
}

/// What the layers have at a path, links not followed: it is the upper tree's, where none are.
fn below(lower: &OwnedFd, path: &Path) -> Result<Option<(OwnedFd, Stat)>> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW;
    match fs::open_without_links(lower, path, flags) {
        Ok(named) => {
            let stat = fs::stat(named.as_fd())?;
            // Of a single layer even whiteouts are seen; they hide nothing.
            Ok((!is_whiteout(&stat)).then_some((named, stat)))
        }
        // Nothing; or a file or a link where there is a directory now.
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(None),
        Err(errno) => Err(failed("open in layers", path.display(), errno)),
    }
}

fn is_different(was: &Stat, is: &Stat) -> bool {
    let same_head = was.st_mode == is.st_mode
        && was.st_uid == is.st_uid
        && was.st_gid == is.st_gid
        && was.st_rdev == is.st_rdev;
    // Of a directory size and time say nothing.
    let same_content = kind(was) == FileType::Directory
        || was.st_size == is.st_size && ModifiedAt::of(was) == ModifiedAt::of(is);
    !(same_head && same_content)
}

fn is_opaque(dir: &OwnedFd) -> Result<bool> {
    let value = fs::attribute(dir.as_fd(), c"trusted.overlay.opaque")?;
    Ok(value.as_deref() == Some(b"y"))
}

fn capability(named: &OwnedFd) -> Result<Option<Vec<u8>>> {
    fs::attribute(named.as_fd(), c"security.capability")
}
