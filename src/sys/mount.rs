//! Mounts by descriptor: a tree is taken or made detached, given its attributes, and put on a target
//! that is a descriptor too (open_tree(2), fsopen(2), move_mount(2)).

use crate::error::{Error, Result};
use crate::sys::fs::proc_fd;
use crate::sys::{failed, raw};
use linux_raw_sys::general::{RAMFS_MAGIC, TMPFS_MAGIC};
use rustix::fs::{AtFlags, CWD, StatVfsMountFlags, StatxFlags};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, FsPickFlags, MountAttrFlags, MountFlags, MountPropagationFlags,
    MoveMountFlags, OpenTreeFlags, UnmountFlags,
};
use std::ffi::{CStr, CString};
use std::fmt::Display;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
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

/// The same for a symbolic link itself.
pub fn clone_link(path: &Path) -> Result<OwnedFd> {
    let flags = clone_flags(false) | OpenTreeFlags::AT_SYMLINK_NOFOLLOW;
    rustix::mount::open_tree(CWD, path, flags)
        .map_err(|errno| failed("open_tree", path.display(), errno))
}

/// A new file system of type `kind`, detached. `options` are `name` or `name=value`.
pub fn new_tree(
    kind: &str,
    source: Option<&str>,
    options: &[&str],
    attributes: MountAttrFlags,
) -> Result<OwnedFd> {
    let context = rustix::mount::fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC)
        .map_err(|errno| failed("fsopen", kind, errno))?;
    if let Some(source) = source {
        rustix::mount::fsconfig_set_string(&context, c"source", source)
            .map_err(|errno| failed("set source of", kind, errno))?;
    }
    configure(&context, kind, options)?;
    rustix::mount::fsconfig_create(&context).map_err(|errno| refused(&context, kind, errno))?;
    rustix::mount::fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)
        .map_err(|errno| failed("fsmount", kind, errno))
}

/// Change the options of the file system that is mounted where `place` is.
pub fn reconfigure(place: impl AsFd, name: &str, options: &[&str]) -> Result<()> {
    let flags = FsPickFlags::FSPICK_EMPTY_PATH | FsPickFlags::FSPICK_CLOEXEC;
    let context =
        rustix::mount::fspick(place, c"", flags).map_err(|errno| failed("fspick", name, errno))?;
    configure(&context, name, options)?;
    rustix::mount::fsconfig_reconfigure(&context).map_err(|errno| refused(&context, name, errno))
}

fn configure(context: &OwnedFd, kind: &str, options: &[&str]) -> Result<()> {
    for option in options {
        match option.split_once('=') {
            Some((name, value)) => rustix::mount::fsconfig_set_string(context, name, value),
            None => rustix::mount::fsconfig_set_flag(context, *option),
        }
        .map_err(|errno| refused(context, format_args!("{kind}: option {option:?}"), errno))?;
    }
    Ok(())
}

/// With what the file system itself has to say: a line of its log, after a letter and a blank.
fn refused(context: &OwnedFd, what: impl Display, errno: Errno) -> Error {
    let mut line = [0u8; 256];
    let length = rustix::io::read(context, &mut line).unwrap_or(0);
    let said = String::from_utf8_lossy(line.get(2..length).unwrap_or_default());
    match said.trim_end() {
        "" => failed("mount", what, errno),
        said => failed("mount", format_args!("{what}: {said}"), errno),
    }
}

/// The smallest that Linux has: mount(2) reads as much.
const PAGE: usize = 4096;

/// mount(2) of a new file system on what `target` names: for options that are too long for
/// fsconfig(2), which takes 255 bytes each. All of them together fill at most a page.
pub fn new_on(
    target: BorrowedFd<'_>,
    kind: &str,
    source: Option<&str>,
    options: &[&str],
    attributes: MountAttrFlags,
) -> Result<()> {
    let data = options.join(",");
    if data.len() >= PAGE {
        return Err(failed("mount options of", kind, Errno::TOOBIG));
    }
    let data = CString::new(data).map_err(|_| failed("mount", kind, Errno::INVAL))?;
    let source = source.unwrap_or("none");
    rustix::mount::mount(
        source,
        proc_fd(target),
        kind,
        old_flags(attributes),
        data.as_c_str(),
    )
    .map_err(|errno| failed("mount", kind, errno))
}

/// mount(2), as it was called before there were descriptors, with flags and propagation as numbers. For
/// what users ask for in that call's words, and for file systems that take their data in one piece
/// (nfs, cifs).
pub fn plain(
    device: &str,
    target: &Path,
    kind: &str,
    (flags, propagation): (u32, u32),
    data: &str,
) -> std::result::Result<(), Errno> {
    let flags = MountFlags::from_bits_retain(flags);
    let data = CString::new(data).map_err(|_| Errno::INVAL)?;
    rustix::mount::mount(device, target, kind, flags, data.as_c_str())?;
    let outcome = || {
        if propagation != 0 {
            let kind = MountPropagationFlags::from_bits_retain(propagation);
            rustix::mount::mount_change(target, kind)?;
        }
        // The kernel takes a bind as it is; its flags need a second call.
        let of_bind = MountFlags::BIND | MountFlags::RDONLY;
        match flags.contains(of_bind) {
            true => rustix::mount::mount_remount(target, flags, c""),
            false => Ok(()),
        }
    };
    outcome().inspect_err(|_| {
        // Not as it should be: better not at all.
        let _ = rustix::mount::unmount(target, UnmountFlags::NOFOLLOW);
    })
}

/// The flags of mount(2) for those of mount_setattr(2).
fn old_flags(attributes: MountAttrFlags) -> MountFlags {
    let pairs = [
        (MountAttrFlags::MOUNT_ATTR_RDONLY, MountFlags::RDONLY),
        (MountAttrFlags::MOUNT_ATTR_NOSUID, MountFlags::NOSUID),
        (MountAttrFlags::MOUNT_ATTR_NODEV, MountFlags::NODEV),
        (MountAttrFlags::MOUNT_ATTR_NOEXEC, MountFlags::NOEXEC),
        (MountAttrFlags::MOUNT_ATTR_NOATIME, MountFlags::NOATIME),
        (
            MountAttrFlags::MOUNT_ATTR_STRICTATIME,
            MountFlags::STRICTATIME,
        ),
        (
            MountAttrFlags::MOUNT_ATTR_NODIRATIME,
            MountFlags::NODIRATIME,
        ),
        (
            MountAttrFlags::MOUNT_ATTR_NOSYMFOLLOW,
            MountFlags::NOSYMFOLLOW,
        ),
    ];
    let set = pairs.iter().filter(|(new, _)| attributes.contains(*new));
    set.fold(MountFlags::empty(), |all, (_, old)| all | *old)
}

/// Put the tree on what `target` names.
pub fn attach(tree: impl AsFd, target: impl AsFd, name: impl Display) -> Result<()> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    rustix::mount::move_mount(tree, c"", target, c"", flags)
        .map_err(|errno| failed("move_mount to", name, errno))
}

/// What to change of a mount.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attributes {
    pub set: MountAttrFlags,
    pub clear: MountAttrFlags,
    /// Also of the mounts below it.
    pub recursive: bool,
}

impl Default for Attributes {
    /// Nothing.
    fn default() -> Attributes {
        Attributes {
            set: MountAttrFlags::empty(),
            clear: MountAttrFlags::empty(),
            recursive: false,
        }
    }
}

impl Attributes {
    pub fn is_nothing(&self) -> bool {
        self.set.is_empty() && self.clear.is_empty()
    }
}

/// mount_setattr(2). Linux before 5.12 has no such call: ENOSYS.
pub fn set_attributes(
    tree: impl AsFd,
    attributes: Attributes,
    propagation: MountPropagationFlags,
) -> std::result::Result<(), Errno> {
    // The call has one flag for "recursive", beside the propagation and not in it (EINVAL).
    let deep = attributes.recursive || propagation.contains(MountPropagationFlags::REC);
    let kind = propagation.difference(MountPropagationFlags::REC);
    raw::mount_setattr(
        tree.as_fd(),
        deep,
        attributes.set.bits().into(),
        attributes.clear.bits().into(),
        kind.bits().into(),
        None,
    )
}

/// mount_setattr(2) of MOUNT_ATTR_IDMAP: owners are seen through the user namespace.
pub fn map_ids(
    tree: impl AsFd,
    namespace: impl AsFd,
    recursive: bool,
) -> std::result::Result<(), Errno> {
    let idmap = linux_raw_sys::general::MOUNT_ATTR_IDMAP.into();
    raw::mount_setattr(
        tree.as_fd(),
        recursive,
        idmap,
        0,
        0,
        Some(namespace.as_fd()),
    )
}

/// The number of the mount that `place` is on, as in mountinfo.
pub fn id(place: impl AsFd) -> Result<u64> {
    let mask = StatxFlags::from_bits_retain(linux_raw_sys::general::STATX_MNT_ID);
    rustix::fs::statx(place, c"", AtFlags::EMPTY_PATH, mask)
        .map(|found| found.stx_mnt_id)
        .map_err(|errno| failed("statx", "mount", errno))
}

/// Where the root is the kernel's initramfs, put a second mount of it on top and go there: from the
/// initramfs itself no pivot_root(2) leads away, and a container without one has the files of it
/// below its own root. Nothing is copied, and whoever is started from now on begins in the new one.
/// To be called before anything else is mounted.
pub fn cover_initramfs() -> Result<()> {
    let top = Path::new("/");
    let old = crate::sys::fs::open_path(top)?;
    // It is one or the other.
    if ![RAMFS_MAGIC, TMPFS_MAGIC].contains(&file_system(&old)?) {
        return Ok(());
    }
    let new = clone_tree(top, false)?;
    attach(&new, &old, "/")?;
    crate::sys::process::change_root_to(&new, top)?;
    crate::sys::process::change_dir(top).map_err(|errno| failed("chdir", "/", errno))
}

/// Whether `place` is on a tmpfs.
pub fn is_tmpfs(place: impl AsFd) -> Result<bool> {
    is_of(place.as_fd(), TMPFS_MAGIC)
}

fn is_of(place: BorrowedFd<'_>, magic: u32) -> Result<bool> {
    file_system(place).map(|found| found == magic)
}

/// The number of the file system's kind (statfs(2)).
pub fn file_system(place: impl AsFd) -> Result<u32> {
    rustix::fs::fstatfs(place)
        .map(|found| found.f_type as u32)
        .map_err(|errno| failed("fstatfs", "mount", errno))
}

/// The old way to the same end, for an attached mount: a remount, by way of /proc/self/fd.
/// Keeps the flags that the mount has.
pub fn remount(tree: BorrowedFd<'_>, attributes: Attributes) -> std::result::Result<(), Errno> {
    let now = rustix::fs::fstatvfs(tree)?.f_flag;
    let pairs = [
        (StatVfsMountFlags::RDONLY, MountAttrFlags::MOUNT_ATTR_RDONLY),
        (StatVfsMountFlags::NOSUID, MountAttrFlags::MOUNT_ATTR_NOSUID),
        (StatVfsMountFlags::NODEV, MountAttrFlags::MOUNT_ATTR_NODEV),
        (StatVfsMountFlags::NOEXEC, MountAttrFlags::MOUNT_ATTR_NOEXEC),
        (
            StatVfsMountFlags::NOATIME,
            MountAttrFlags::MOUNT_ATTR_NOATIME,
        ),
    ];
    let has = pairs.iter().filter(|(has, _)| now.contains(*has));
    let kept = has.fold(MountAttrFlags::empty(), |all, (_, flag)| all | *flag);
    let flags = kept.difference(attributes.clear) | attributes.set;
    let mut flags = old_flags(flags) | MountFlags::BIND;
    if now.contains(StatVfsMountFlags::RELATIME) {
        flags |= MountFlags::RELATIME;
    }
    rustix::mount::mount_remount(proc_fd(tree), flags, c"")
}

/// Change the propagation of the attached mount that `tree` names.
pub fn set_propagation(
    tree: BorrowedFd<'_>,
    propagation: MountPropagationFlags,
) -> std::result::Result<(), Errno> {
    rustix::mount::mount_change(proc_fd(tree), propagation)
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

/// umount2(2). EBUSY: somebody uses what is mounted.
pub fn unmount(path: &Path) -> Result<()> {
    rustix::mount::unmount(path, UnmountFlags::NOFOLLOW)
        .map_err(|errno| failed("unmount", path.display(), errno))
}

/// umount2(2) with MNT_DETACH: the mount leaves the tree now, and ends with its last user.
pub fn detach(path: &Path) -> Result<()> {
    rustix::mount::unmount(path, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW)
        .map_err(|errno| failed("unmount", path.display(), errno))
}

/// Nothing can be written any more to the file system that is mounted at `path`; EBUSY: somebody has
/// a file open for that.
pub fn read_only(path: &Path) -> Result<()> {
    rustix::mount::mount_remount(path, MountFlags::RDONLY, c"")
        .map_err(|errno| failed("remount read-only", path.display(), errno))
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
