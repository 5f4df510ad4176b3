//! Leaving the host's file tree for the container's.

use crate::cgroup::devices::Guard;
use crate::error::{Context, Error, Result};
use crate::runtime::console::{self, Console};
use crate::runtime::plan::Plan;
use crate::runtime::walk::{self, Leaf};
use crate::runtime::{devices, mask, mount};
use crate::sys;
use crate::sys::mount::Attributes;
use rustix::io::Errno;
use rustix::mount::{MountAttrFlags, MountPropagationFlags};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

/// The container's root and what its mounts need to know.
pub struct Rootfs<'a> {
    /// The top of the tree: the mount itself, not the directory below it.
    pub root: OwnedFd,
    pub plan: &'a Plan<'a>,
    /// To become read-only when everything in them is made.
    pub late_readonly: Vec<OwnedFd>,
}

/// Build the container's file tree and make it our root.
///
/// Runs in the container's first process. After an error the process is between two trees and
/// can only exit. Answers the console, where a terminal is asked for.
pub fn enter(plan: &Plan<'_>, guard: &Guard) -> Result<Option<Console>> {
    let top = Path::new("/");
    let asked = plan.spec.linux.as_ref();
    let asked = asked.and_then(|linux| linux.rootfs_propagation.as_deref());
    let propagation = asked.map(mount::propagation).transpose()?;

    // Slave, not private: an unmount on the host still reaches us and frees its disk, while
    // nothing we do from here on reaches the host.
    let slave = MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC;
    sys::mount::propagate(top, slave)?;

    // pivot_root wants a mount point, so the rootfs becomes one. The descriptor names the mount.
    let root = sys::mount::clone_tree(&plan.rootfs, true).context(|| "prepare rootfs")?;
    let place = sys::fs::open_path(&plan.rootfs)?;
    sys::mount::attach(&root, &place, plan.rootfs.display())?;
    let mut rootfs = Rootfs {
        root,
        plan,
        late_readonly: Vec::new(),
    };
    if guard.forbids_nodes() {
        mount::change(rootfs.root.as_fd(), only(MountAttrFlags::MOUNT_ATTR_NODEV))?;
    }

    for wanted in plan.spec.mounts.iter().flatten() {
        mount::make(&mut rootfs, wanted)?;
    }
    let mut console = None;
    if devices::are_ours(plan) {
        devices::make(&rootfs)?;
    }
    if plan.is_terminal() {
        console = Some(console::make(&rootfs)?);
    }
    if let Some(cwd) = plan.process.cwd.as_deref().filter(|cwd| *cwd != "/") {
        walk::ensure(rootfs.root.as_fd(), Path::new(cwd), Leaf::Dir)
            .map_err(|error| error.with_kind(crate::error::Kind::CannotInvoke))
            .context(|| format!("mkdir {cwd}"))?;
    }
    mask::hide(&rootfs)?;
    mask::protect(&rootfs)?;

    for tree in &rootfs.late_readonly {
        mount::change(tree.as_fd(), only(MountAttrFlags::MOUNT_ATTR_RDONLY))?;
    }
    if plan.spec.root.as_ref().and_then(|root| root.readonly) == Some(true) {
        mount::change(rootfs.root.as_fd(), only(MountAttrFlags::MOUNT_ATTR_RDONLY))
            .context(|| "make the root file system read-only")?;
    }
    pivot(rootfs.root.as_fd())?;
    if let Some(propagation) = propagation {
        sys::mount::propagate(top, propagation)?;
    }
    Ok(console)
}

/// Set one flag of the top mount.
pub fn only(flag: MountAttrFlags) -> Attributes {
    Attributes {
        set: flag,
        clear: MountAttrFlags::empty(),
        recursive: false,
    }
}

fn pivot(root: BorrowedFd<'_>) -> Result<()> {
    let here = Path::new(".");
    let top = Path::new("/");
    sys::process::change_dir_to(root, Path::new("rootfs"))?;

    // With "." twice the old root lands on top of the new one and a single unmount peels it off,
    // so the image needs no directory for it (pivot_root(2), NOTES).
    match sys::mount::pivot_root(here, here) {
        Ok(()) => {
            sys::mount::detach(here)?;
            sys::process::change_dir(top).map_err(|errno| sys::failed("chdir", "/", errno))
        }
        // The kernel does not pivot away from an initramfs.
        Err(Errno::INVAL) => move_root(root),
        Err(errno) => Err(sys::failed("pivot_root", "rootfs", errno)),
    }
}

/// The way off an initramfs: our mount covers its root, and then becomes our root by chroot(2).
///
/// All other mounts are taken away below it first: a process that climbs out of the chroot lands
/// in our mount again, because it is the topmost at `/`, and nothing else is left in the namespace.
fn move_root(root: BorrowedFd<'_>) -> Result<()> {
    let old = sys::fs::open_path(Path::new("/"))?;
    let mounts = direct_mounts()?;
    sys::mount::attach(root, &old, "/")?;
    sys::process::change_dir_to(&old, Path::new("/"))?;
    for mount in mounts {
        // Relative: an absolute path would begin in the container's tree by now. One that has
        // gone with its parent, or that we cover, is no harm.
        let _ = sys::mount::detach(&mount);
    }
    sys::process::change_dir_to(root, Path::new("rootfs"))?;
    sys::process::change_root(Path::new("."))?;
    sys::process::change_dir(Path::new("/")).map_err(|errno| sys::failed("chdir", "/", errno))
}

/// Every mount point below `/`, relative, the deepest last mounted first.
fn direct_mounts() -> Result<Vec<PathBuf>> {
    let path = "/proc/self/mountinfo";
    let text = std::fs::read_to_string(path)
        .map_err(|error| Error::io(format_args!("read {path}"), &error))?;
    let mut list: Vec<PathBuf> = text
        .lines()
        .filter_map(|line| line.split(' ').nth(4))
        .filter_map(|point| point.strip_prefix('/'))
        .filter(|point| !point.is_empty())
        .map(|point| PathBuf::from(crate::cgroup::unescape(point)))
        .collect();
    list.reverse();
    Ok(list)
}
