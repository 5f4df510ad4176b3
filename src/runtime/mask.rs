//! Paths of /proc and /sys that the program must not read, or not write.

use crate::error::Result;
use crate::runtime::rootfs::{Rootfs, only};
use crate::runtime::{devices, mount, walk};
use crate::sys::{self, failed};
use rustix::fs::FileType;
use rustix::mount::MountAttrFlags;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

/// Cover the masked paths: a directory by one empty read-only tmpfs for all, a file by /dev/null.
pub fn hide(rootfs: &Rootfs<'_>) -> Result<()> {
    let linux = rootfs.plan.spec.linux.as_ref();
    let list = linux.and_then(|linux| linux.masked_paths.as_ref());
    let mut empty: Option<OwnedFd> = None;
    let mut null: Option<OwnedFd> = None;
    for path in list.into_iter().flatten().map(Path::new) {
        // What this kernel does not have needs no cover.
        let Some(target) = walk::open(rootfs.root.as_fd(), path)? else {
            continue;
        };
        let stat =
            rustix::fs::fstat(&target).map_err(|errno| failed("fstat", path.display(), errno))?;
        let is_dir = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
        let cover = match (is_dir, &empty, &null) {
            (true, Some(tree), _) => sys::mount::clone_tree_of(tree, false, "tmpfs")?,
            (true, None, _) => empty_dir()?,
            (false, _, Some(null)) => sys::mount::clone_tree_of(null, false, "/dev/null")?,
            (false, _, None) => {
                let found = null.insert(devices::null(rootfs)?);
                sys::mount::clone_tree_of(found, false, "/dev/null")?
            }
        };
        sys::mount::attach(&cover, &target, path.display())?;
        if is_dir {
            empty = Some(cover);
        }
    }
    Ok(())
}

fn empty_dir() -> Result<OwnedFd> {
    let flags = MountAttrFlags::MOUNT_ATTR_RDONLY
        | MountAttrFlags::MOUNT_ATTR_NOSUID
        | MountAttrFlags::MOUNT_ATTR_NODEV
        | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    sys::mount::new_tree("tmpfs", Some("tmpfs"), &["size=0k", "nr_inodes=1"], flags)
}

/// Make the read-only paths so: a copy of the mount, read-only from before it is put there, so
/// that the path is looked up once (youki's GHSA-3q8j-pf29-vwv8 looked twice).
pub fn protect(rootfs: &Rootfs<'_>) -> Result<()> {
    let linux = rootfs.plan.spec.linux.as_ref();
    let list = linux.and_then(|linux| linux.readonly_paths.as_ref());
    for path in list.into_iter().flatten().map(Path::new) {
        let Some(target) = walk::open(rootfs.root.as_fd(), path)? else {
            continue;
        };
        let tree = sys::mount::clone_tree_of(&target, true, path.display())?;
        mount::put(
            &tree,
            &target,
            only(MountAttrFlags::MOUNT_ATTR_RDONLY),
            path,
        )?;
    }
    Ok(())
}
