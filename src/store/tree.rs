//! Removing a directory with everything below it.
//!
//! Works by descriptors: no symbolic link is followed, no mount point is entered, and the depth of
//! the tree does not matter. What a container left behind is not trusted.

use crate::error::{Error, Kind, Result};
use crate::sys::{fs, is};
use rustix::fs::FileType;
use rustix::io::Errno;
use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Directories open at once. One that lies deeper is moved up to the top of the tree first.
const OPEN_MAX: usize = 32;

/// Remove `path`, whatever it is. Absent is fine; so is one that vanishes meanwhile.
pub fn remove(path: &Path) -> Result<()> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(Error::invalid(format!(
            "will not remove {}",
            path.display()
        )));
    };
    let name = CString::new(name.as_bytes())
        .map_err(|_| Error::invalid(format!("will not remove {}", path.display())))?;
    let parent = if parent.as_os_str().is_empty() {
        Path::new(".")
    } else {
        parent
    };
    let dir = match fs::open_dir(parent) {
        Err(e) if is(&e, Errno::NOENT) => return Ok(()),
        opened => opened?,
    };
    remove_in(dir.as_fd(), &name).map_err(|mut error| {
        error.message = format!("remove {}: {}", path.display(), error.message);
        error
    })
}

/// The same for one name in a directory that is open.
pub fn remove_in(parent: BorrowedFd<'_>, name: &CString) -> Result<()> {
    if unlink(parent, name)? {
        return Ok(());
    }
    let Some(top) = open(parent, name)? else {
        return Ok(());
    };
    empty(top)?;
    gone(fs::remove_dir_at(parent, name))
}

/// A directory that is being emptied.
struct Frame {
    dir: OwnedFd,
    name: CString,
    /// Subdirectories found by the last read and not yet dealt with.
    pending: Vec<CString>,
    /// Something went since the last look from the beginning: look again before the rmdir.
    has_changed: bool,
}

/// Remove everything in `top`, depth first, with a stack of our own.
fn empty(top: OwnedFd) -> Result<()> {
    let mut lifted = 0u64;
    let mut stack = vec![Frame::new(top, CString::default())];
    while let Some(frame) = stack.last_mut() {
        if let Some(name) = frame.pending.pop() {
            let dir = frame.dir.as_fd();
            let Some(child) = open(dir, &name)? else {
                continue;
            };
            if stack.len() < OPEN_MAX {
                stack.push(Frame::new(child, name));
            } else {
                lifted = lift(&mut stack, &name, lifted)?;
            }
            continue;
        }
        if frame.read()? {
            continue;
        }
        let Some(done) = stack.pop() else { break };
        if let Some(parent) = stack.last() {
            gone(fs::remove_dir_at(parent.dir.as_fd(), &done.name))?;
        }
    }
    Ok(())
}

/// Too deep: move the directory `name` of the deepest frame to the top of the tree, where it is
/// found later. So neither our memory nor our descriptors grow with the depth of the tree.
fn lift(stack: &mut [Frame], name: &CString, mut lifted: u64) -> Result<u64> {
    let (Some(deepest), Some(top)) = (stack.last(), stack.first()) else {
        return Ok(lifted);
    };
    loop {
        lifted += 1;
        let to = CString::new(format!(".deep-{lifted}")).unwrap_or_default();
        match fs::rename_at(deepest.dir.as_fd(), name, top.dir.as_fd(), &to) {
            // The tree has a file or a full directory of that name; take the next.
            Err(e) if is(&e, Errno::NOTDIR) || is(&e, Errno::NOTEMPTY) || is(&e, Errno::EXIST) => {}
            moved => {
                gone(moved)?;
                if let Some(top) = stack.first_mut() {
                    top.has_changed = true;
                }
                return Ok(lifted);
            }
        }
    }
}

impl Frame {
    fn new(dir: OwnedFd, name: CString) -> Frame {
        Frame {
            dir,
            name,
            pending: Vec::new(),
            has_changed: false,
        }
    }

    /// Read on: remove what is no directory, note what is one. False when nothing is left.
    fn read(&mut self) -> Result<bool> {
        let names = fs::next_names(self.dir.as_fd())?;
        if names.is_empty() {
            // Some file systems skip names when others go while a directory is being read.
            let again = self.has_changed;
            self.has_changed = false;
            if again {
                fs::rewind(self.dir.as_fd())?;
            }
            return Ok(again);
        }
        self.has_changed = true;
        for (name, kind) in names {
            let is_dir = match kind {
                FileType::Directory => true,
                _ => !unlink(self.dir.as_fd(), &name)?,
            };
            if is_dir {
                self.pending.push(name);
            }
        }
        Ok(true)
    }
}

/// Remove what is no directory; false if it is one. unlink(2) says EISDIR for one on Linux.
fn unlink(dir: BorrowedFd<'_>, name: &CString) -> Result<bool> {
    match fs::unlink_at(dir, name) {
        Err(e) if is(&e, Errno::ISDIR) => Ok(false),
        removed => gone(removed).map(|()| true),
    }
}

fn open(dir: BorrowedFd<'_>, name: &CString) -> Result<Option<OwnedFd>> {
    match fs::open_dir_same_mount(dir, name) {
        Ok(fd) => Ok(Some(fd)),
        Err(e) if is(&e, Errno::NOENT) => Ok(None),
        Err(e) if is(&e, Errno::XDEV) => Err(Error::with_errno(
            Kind::Conflict,
            e.errno,
            format!("{} is a mount point", name.to_string_lossy()),
        )),
        Err(e) => Err(e),
    }
}

/// Absent is as good as removed.
fn gone(outcome: Result<()>) -> Result<()> {
    match outcome {
        Err(e) if is(&e, Errno::NOENT) => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::staging::Staging;
    use std::os::unix::fs::{PermissionsExt, symlink};

    fn scratch() -> Staging {
        Staging::new(&std::env::temp_dir()).unwrap()
    }

    #[test]
    fn a_tree_goes_and_what_its_links_point_at_stays() {
        let dir = scratch();
        let canary = dir.path().join("canary");
        std::fs::create_dir(&canary).unwrap();
        std::fs::write(canary.join("file"), "alive").unwrap();

        let tree = dir.path().join("tree");
        std::fs::create_dir_all(tree.join("a/b/c")).unwrap();
        symlink(&canary, tree.join("a/link")).unwrap();
        symlink("../../..", tree.join("a/b/up")).unwrap();
        for n in 0..2000 {
            std::fs::write(tree.join(format!("a/{n}")), "").unwrap();
            std::fs::create_dir(tree.join(format!("a/b/{n}"))).unwrap();
        }
        let closed = tree.join("closed");
        std::fs::create_dir_all(closed.join("below")).unwrap();
        std::fs::set_permissions(&closed, PermissionsExt::from_mode(0o000)).unwrap();

        remove(&tree).unwrap();
        assert!(!tree.exists());
        assert_eq!(std::fs::read(canary.join("file")).unwrap(), b"alive");
        remove(&tree).unwrap();
        remove(&dir.path().join("not/there")).unwrap();
    }

    #[test]
    fn a_link_in_place_of_the_tree_is_removed_itself() {
        let dir = scratch();
        let canary = dir.path().join("canary");
        std::fs::create_dir_all(canary.join("below")).unwrap();
        symlink(&canary, dir.path().join("tree")).unwrap();
        remove(&dir.path().join("tree")).unwrap();
        assert!(canary.join("below").exists());
    }

    #[test]
    fn the_depth_of_a_tree_does_not_matter() {
        const DEPTH: usize = 6000;
        let dir = scratch();
        let tree = dir.path().join("tree");
        std::fs::create_dir(&tree).unwrap();
        let mut at = fs::open_dir(&tree).unwrap();
        for level in 0..DEPTH {
            let name = Path::new("a-directory");
            fs::make_dir_at(at.as_fd(), name, 0o700).unwrap();
            if level % 100 == 0 {
                // Names that the way up might use.
                fs::create_at(at.as_fd(), Path::new(".deep-1"), 0o600).unwrap();
            }
            at = fs::open_dir_at(at.as_fd(), name).unwrap();
        }
        drop(at);
        remove(&tree).unwrap();
        assert!(!tree.exists());
    }

    #[test]
    fn what_is_mounted_in_a_tree_stays_and_is_told() {
        if !rustix::process::geteuid().is_root() {
            println!("skip: what_is_mounted_in_a_tree_stays_and_is_told: needs root");
            return;
        }
        let dir = scratch();
        let path = dir.path().to_path_buf();
        let test = move || {
            crate::sys::mount::private();
            let (canary, place) = (path.join("canary"), path.join("tree/a/place"));
            std::fs::create_dir_all(&place).unwrap();
            std::fs::create_dir(&canary).unwrap();
            std::fs::write(canary.join("file"), "alive").unwrap();
            rustix::mount::mount_bind(&canary, &place).unwrap();
            let error = remove(&path.join("tree")).unwrap_err();
            assert!(error.message.ends_with("place is a mount point"), "{error}");
            assert_eq!(std::fs::read(canary.join("file")).unwrap(), b"alive");
        };
        std::thread::spawn(test).join().unwrap();
    }
}
