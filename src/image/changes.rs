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

/// How deep `is_nothing` looks. Beyond, a directory counts as something.
const NOTHING_DEPTH_MAX: usize = 16;

/// All changes, sorted by their paths. `lower` is the root of the layers, `upper` the directory.
/// `is_whole`: it has everything, not only what was changed.
pub fn changes(lower: &OwnedFd, upper: &OwnedFd, is_whole: bool) -> Result<Vec<(Vec<u8>, Kind)>> {
    let mut search = Search {
        lower,
        upper,
        is_whole,
        stack: Vec::new(),
        found: Vec::new(),
    };
    search.enter(Vec::new(), !is_whole, true)?;
    while let Some(frame) = search.stack.last_mut() {
        match frame.names.next() {
            Some(name) => {
                let mut path = frame.path.clone();
                path.push(name.into_bytes());
                search.entry(path)?;
            }
            None => search.leave(),
        }
    }
    let mut found = search.found;
    found.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(found)
}

/// Whether what `named` is, at `path` (names, slashes between them), is there only because the
/// runtime has made places to mount on: such a place, where the layers have nothing; or a directory
/// of theirs that came up for its sake and is as it was.
pub fn is_nothing(lower: &OwnedFd, path: &[u8], named: &OwnedFd) -> Result<bool> {
    nothing(lower, path, named, NOTHING_DEPTH_MAX)
}

fn nothing(lower: &OwnedFd, path: &[u8], named: &OwnedFd, depth: usize) -> Result<bool> {
    let stat = fs::stat(named.as_fd())?;
    let is_dir = kind(&stat) == FileType::Directory;
    match below(lower, inside::as_path(path))? {
        Some((_, was)) if !is_dir || is_different(&was, &stat) || is_opaque(named)? => {
            return Ok(false);
        }
        Some(_) => {}
        None if MOUNT_POINTS.iter().all(|point| point.as_bytes() != path) => return Ok(false),
        None if !is_dir => {
            return Ok(kind(&stat) == FileType::RegularFile && stat.st_size == 0);
        }
        None => {}
    }
    if depth == 0 {
        return Ok(false);
    }
    let dir = fs::reopen(named.as_fd(), OFlags::RDONLY | OFlags::DIRECTORY)?;
    for name in fs::sorted_names(dir.as_fd())? {
        if let Some(child) = fs::name_at(dir.as_fd(), &name)? {
            let path = [path, b"/", name.as_bytes()].concat();
            if !nothing(lower, &path, &child, depth - 1)? {
                return Ok(false);
            }
        }
    }
    Ok(true)
}

/// Depth first with a stack of our own: a thread's is small, a container's tree as deep as it likes.
struct Search<'a> {
    lower: &'a OwnedFd,
    upper: &'a OwnedFd,
    is_whole: bool,
    stack: Vec<Frame>,
    found: Vec<(Vec<u8>, Kind)>,
}

/// A directory of the upper tree.
struct Frame {
    path: Vec<Vec<u8>>,
    names: std::vec::IntoIter<CString>,
    /// It is told itself; otherwise it is when something in it is.
    is_noted: bool,
    /// How much was found before it.
    before: usize,
}

impl Search<'_> {
    /// `is_merged`: what lies below the directory in the layers shows through.
    fn enter(&mut self, path: Vec<Vec<u8>>, is_merged: bool, is_noted: bool) -> Result<()> {
        let before = self.found.len();
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        let dir = match fs::open_without_links(self.upper, &joined(&path), flags) {
            Ok(dir) => dir,
            // It has gone meanwhile, or lies deeper than paths reach.
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::NAMETOOLONG) => return Ok(()),
            Err(errno) => return Err(failed("open", joined(&path).display(), errno)),
        };
        let names = fs::sorted_names(dir.as_fd())?;
        if !is_merged {
            self.hidden(&path, &names)?;
        }
        self.stack.push(Frame {
            path,
            names: names.into_iter(),
            is_noted,
            before,
        });
        Ok(())
    }

    fn leave(&mut self) {
        let Some(done) = self.stack.pop() else { return };
        if !done.is_noted && self.found.len() > done.before {
            self.note(&done.path, Kind::Modified);
        }
    }

    fn entry(&mut self, path: Vec<Vec<u8>>) -> Result<()> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW;
        let Ok(named) = fs::open_without_links(self.upper, &joined(&path), flags) else {
            return Ok(());
        };
        let stat = fs::stat(named.as_fd())?;
        let before = below(self.lower, &joined(&path))?;
        if is_whiteout(&stat) {
            if before.is_some() {
                self.note(&path, Kind::Deleted);
            }
            return Ok(());
        }
        let change = match &before {
            None if is_nothing(self.lower, &path.join(&b'/'), &named)? => return Ok(()),
            None => Some(Kind::Added),
            Some((lower, was)) => (is_different(was, &stat)
                || capability(lower)? != capability(&named)?)
            .then_some(Kind::Modified),
        };
        if let Some(kind) = change {
            self.note(&path, kind);
        }
        if kind(&stat) != FileType::Directory {
            return Ok(());
        }
        let was_dir = before.is_some_and(|(_, was)| kind(&was) == FileType::Directory);
        let is_merged = !(was_dir && (self.is_whole || is_opaque(&named)?));
        self.enter(path, is_merged, change.is_some())
    }

    /// What the layers have in a directory that hides it, and that is not there any more.
    fn hidden(&mut self, path: &[Vec<u8>], names: &[CString]) -> Result<()> {
        let lower = inside::open_dir(self.lower, path)?;
        for name in fs::sorted_names(lower.as_fd())? {
            if names.binary_search(&name).is_err() {
                let path = [path, &[name.into_bytes()]].concat();
                self.note(&path, Kind::Deleted);
            }
        }
        Ok(())
    }

    fn note(&mut self, path: &[Vec<u8>], kind: Kind) {
        let path = [&b"/"[..], &path.join(&b'/')].concat();
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
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::NAMETOOLONG) => Ok(None),
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
