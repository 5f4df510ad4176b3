//! Leaving the host's file tree for the container's, with no way back.

use crate::error::{Context, Error, Result};
use crate::sys;
use rustix::io::Errno;
use rustix::mount::MountPropagationFlags;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};

/// What decides how the old tree is left.
#[derive(Clone, Copy, Debug)]
pub struct Manner {
    /// Not by pivot_root(2), although it would do.
    pub no_pivot: bool,
    /// The mount namespace belongs to a user namespace of the container's.
    pub user_namespace: bool,
}

const SLAVE: MountPropagationFlags = MountPropagationFlags::DOWNSTREAM;
const ALL: MountPropagationFlags = SLAVE.union(MountPropagationFlags::REC);

/// Make `root`, a mount in our own namespace, the only thing that is left in the namespace.
pub fn leave(root: BorrowedFd<'_>, manner: Manner) -> Result<()> {
    // Our `/` may be that of a chroot(2). pivot_root exchanges the root of the process, whatever
    // lies above that stays, and a chroot is easily climbed out of (chroot(2), NOTES).
    rejoin()?;
    if manner.no_pivot {
        return move_root(root, manner);
    }

    // With "." twice the old root lands on top of the new one and a single unmount peels it off,
    // so the image needs no directory for it (pivot_root(2), NOTES).
    let (here, top) = (Path::new("."), Path::new("/"));
    let old = sys::fs::open_path(top)?;
    sys::process::change_dir_to(root, Path::new("rootfs"))?;
    match sys::mount::pivot_root(here, here) {
        Ok(()) => {}
        // The kernel does not pivot away from an initramfs.
        Err(Errno::INVAL) => return move_root(root, manner),
        Err(errno) => return Err(sys::failed("pivot_root", "rootfs", errno)),
    }
    sys::process::change_dir_to(&old, top)?;
    // Mounts that are still shared with the host would be unmounted there as well.
    sys::mount::propagate(here, ALL)?;
    sys::mount::detach(here)?;
    sys::process::change_dir(top).map_err(|errno| sys::failed("chdir", "/", errno))
}

/// Go to the real root of our mount namespace, by joining it (setns(2)).
fn rejoin() -> Result<()> {
    let own = sys::process::open(std::process::id() as i32)?;
    sys::namespace::join_process(own, linux_raw_sys::general::CLONE_NEWNS)
        .context(|| "go to the root of the mount namespace")
}

/// Change how all mounts of the namespace propagate, those outside a chroot as well.
pub fn propagate_all(kind: MountPropagationFlags) -> Result<()> {
    let top = Path::new("/");
    match sys::mount::propagate(top, kind) {
        // A directory that is no mount point: we are in a chroot.
        Err(error) if sys::is(&error, Errno::INVAL) => {
            let own = sys::fs::open_path(top)?;
            rejoin()?;
            sys::mount::propagate(top, kind)?;
            change_root(own.as_fd())
        }
        other => other,
    }
}

/// The way off an initramfs: our mount covers its root, and then becomes our root by chroot(2).
///
/// All other mounts are taken away below it first: a process that climbs out of the chroot lands
/// in our mount again, because it is the topmost at `/`, and nothing else is left in the namespace.
/// Only who may unmount it finds the files of the initramfs itself.
fn move_root(root: BorrowedFd<'_>, manner: Manner) -> Result<()> {
    if manner.user_namespace {
        // There the mounts of the host are locked, so they cannot be taken away, but ours could
        // be by the container.
        return Err(Error::unsupported(
            "a container with a user namespace needs pivot_root: leave the initramfs (switch_root) first, and do without --no-pivot",
        ));
    }
    let top = Path::new("/");
    // What we do to the host's root from here on is not for the host.
    sys::mount::propagate(top, SLAVE)?;
    let old = sys::fs::open_path(top)?;
    let mounts = mount_points()?;
    sys::mount::attach(root, &old, "/")?;
    sys::process::change_dir_to(&old, top)?;
    for mount in mounts {
        // Relative: an absolute path would begin in the container's tree by now.
        let _ = sys::mount::propagate(&mount, ALL);
        match sys::mount::detach(&mount) {
            Ok(()) => {}
            // It has gone with its parent, or was our own on its old place.
            Err(error) if is_gone(&error) => {}
            Err(error) => return Err(error),
        }
    }
    change_root(root)
}

fn is_gone(error: &Error) -> bool {
    let gone = [Errno::INVAL, Errno::NOENT, Errno::NOTDIR];
    gone.iter().any(|errno| sys::is(error, *errno))
}

/// chroot(2) alone: in a mount namespace that others live in, nothing of theirs may move.
pub fn change_root(root: BorrowedFd<'_>) -> Result<()> {
    sys::process::change_root_to(root, Path::new("rootfs"))?;
    sys::process::change_dir(Path::new("/")).map_err(|errno| sys::failed("chdir", "/", errno))
}

/// Every mount point below `/`, relative, the last mounted first.
fn mount_points() -> Result<Vec<PathBuf>> {
    let all = sys::mountinfo::read()?;
    let points = all.iter().rev();
    Ok(points
        .filter_map(|mount| mount.point.strip_prefix('/'))
        .filter(|point| !point.is_empty())
        .map(PathBuf::from)
        .collect())
}
