//! Mounts by descriptor: a tree is taken or made detached, given its attributes, and put on a target
//! that is a descriptor too (open_tree(2), fsopen(2), move_mount(2)).

use crate::error::Result;
use crate::sys::{failed, raw};
use rustix::fs::{CWD, StatVfsMountFlags};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, MountPropagationFlags, MoveMountFlags,
    OpenTreeFlags, UnmountFlags,
};
use std::ffi::CStr;
use std::fmt::Display;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

/// A detached copy of what is mounted at `path`, with the mounts below it if `recursive`.
pub fn clone_tree(path: &Path, recursive: bool) -> Result<OwnedFd> {
    rustix::mount::open_tree(CWD, path, clone_flags(recursive))
        .map_err(|errno| failed("open_tree", path.display(), errno))
}

/// The same for what `place` names.
pub fn clone_tree_of(place: impl AsFd, recursive: bool, name: impl Display) -> Result<OwnedFd> {
    let flags = clone_flags(recursive) | OpenTreeFlags::AT_EMPTY_PATH;
    rustix::mount::open_tree(place, c"", flags).map_err(|errno| failed("open_tree", name, errno))
}

fn clone_flags(recursive: bool) -> OpenTreeFlags {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    match recursive {
        true => flags | OpenTreeFlags::AT_RECURSIVE,
        false => flags,
    }
}

/// A new file system of type `kind`, detached. `options` are `name` or `name=value`.
pub fn new_tree(
    kind: &str,
    source: Option<&str>,
    options: &[&str],
    attributes: MountAttrFlags,
) -> std::result::Result<OwnedFd, Errno> {
    let context = rustix::mount::fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC)?;
    if let Some(source) = source {
        rustix::mount::fsconfig_set_string(&context, c"source", source)?;
    }
    for option in options {
        match option.split_once('=') {
            Some((name, value)) => rustix::mount::fsconfig_set_string(&context, name, value)?,
            None => rustix::mount::fsconfig_set_flag(&context, *option)?,
        }
    }
    rustix::mount::fsconfig_create(&context)?;
    rustix::mount::fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)
}

/// Put the tree on what `target` names.
pub fn attach(tree: impl AsFd, target: impl AsFd, name: impl Display) -> Result<()> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    rustix::mount::move_mount(tree, c"", target, c"", flags)
        .map_err(|errno| failed("move_mount to", name, errno))
}

/// What to change of a mount.
#[derive(Clone, Copy, Debug)]
pub struct Attributes {
    pub set: MountAttrFlags,
    pub clear: MountAttrFlags,
    /// Also of the mounts below it.
    pub recursive: bool,
}

/// mount_setattr(2). Linux before 5.12 has no such call: ENOSYS.
pub fn set_attributes(
    tree: impl AsFd,
    attributes: Attributes,
    propagation: MountPropagationFlags,
) -> std::result::Result<(), Errno> {
    // The call has one flag for "recursive", beside the propagation and not in it (EINVAL), so
    // what goes deep and what does not take two calls.
    let deep = propagation.contains(MountPropagationFlags::REC);
    let kind = propagation.difference(MountPropagationFlags::REC);
    if deep && !attributes.recursive {
        raw::mount_setattr(tree.as_fd(), true, 0, 0, kind.bits().into())?;
    }
    let kind = match deep && !attributes.recursive {
        true => MountPropagationFlags::empty(),
        false => kind,
    };
    raw::mount_setattr(
        tree.as_fd(),
        attributes.recursive,
        attributes.set.bits().into(),
        attributes.clear.bits().into(),
        kind.bits().into(),
    )
}

/// The old way to the same end, for an attached mount: a remount, by way of /proc/self/fd.
/// Keeps the flags that the mount has.
pub fn remount(tree: BorrowedFd<'_>, attributes: Attributes) -> std::result::Result<(), Errno> {
    let now = rustix::fs::fstatvfs(tree)?.f_flag;
    let pairs = [
        (
            StatVfsMountFlags::RDONLY,
            MountFlags::RDONLY,
            MountAttrFlags::MOUNT_ATTR_RDONLY,
        ),
        (
            StatVfsMountFlags::NOSUID,
            MountFlags::NOSUID,
            MountAttrFlags::MOUNT_ATTR_NOSUID,
        ),
        (
            StatVfsMountFlags::NODEV,
            MountFlags::NODEV,
            MountAttrFlags::MOUNT_ATTR_NODEV,
        ),
        (
            StatVfsMountFlags::NOEXEC,
            MountFlags::NOEXEC,
            MountAttrFlags::MOUNT_ATTR_NOEXEC,
        ),
        (
            StatVfsMountFlags::NOATIME,
            MountFlags::NOATIME,
            MountAttrFlags::MOUNT_ATTR_NOATIME,
        ),
        (
            StatVfsMountFlags::RELATIME,
            MountFlags::RELATIME,
            MountAttrFlags::empty(),
        ),
    ];
    let mut flags = MountFlags::BIND;
    for (has, flag, attribute) in pairs {
        let wanted = !attribute.is_empty() && attributes.set.contains(attribute);
        let kept =
            now.contains(has) && (attribute.is_empty() || !attributes.clear.contains(attribute));
        if wanted || kept {
            flags |= flag;
        }
    }
    rustix::mount::mount_remount(proc_path(tree), flags, c"")
}

/// Change the propagation of the attached mount that `tree` names.
pub fn set_propagation(
    tree: BorrowedFd<'_>,
    propagation: MountPropagationFlags,
) -> std::result::Result<(), Errno> {
    rustix::mount::mount_change(proc_path(tree), propagation)
}

fn proc_path(fd: BorrowedFd<'_>) -> String {
    format!("/proc/self/fd/{}", fd.as_raw_fd())
}

/// Change the propagation of the mount at `path`.
pub fn propagate(path: &Path, propagation: MountPropagationFlags) -> Result<()> {
    rustix::mount::mount_change(path, propagation)
        .map_err(|errno| failed("change propagation of", path.display(), errno))
}

/// pivot_root(2). EINVAL says, among other things, that the current root is an initramfs.
pub fn pivot_root(new: &Path, old: &Path) -> std::result::Result<(), Errno> {
    rustix::process::pivot_root(new, old)
}

/// umount2(2) with MNT_DETACH: the mount leaves the tree now, and ends with its last user.
pub fn detach(path: &Path) -> Result<()> {
    rustix::mount::unmount(path, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW)
        .map_err(|errno| failed("unmount", path.display(), errno))
}

/// mount(2) of an overlay on `target`. `options` is the text for the kernel.
pub fn overlay(target: &Path, options: &CStr) -> Result<()> {
    rustix::mount::mount("overlay", target, "overlay", MountFlags::empty(), options)
        .map_err(|errno| failed("mount overlay", target.display(), errno))
}

/// For tests that mount: a mount namespace for the calling thread alone, which takes all its
/// mounts along when the thread ends. (CLONE_NEWNS brings CLONE_FS: a chdir stays here as well.)
#[cfg(test)]
pub fn private() {
    use rustix::thread::{UnshareFlags, unshare_unsafe};
    // SAFETY: no descriptor table is unshared, so no descriptor of another thread goes away.
    unsafe { unshare_unsafe(UnshareFlags::NEWNS) }.unwrap();
    let flags = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    rustix::mount::mount_change("/", flags).unwrap();
}
