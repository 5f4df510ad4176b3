//! The container's /dev: its nodes and links.

use crate::error::{Context, Result};
use crate::oci::spec::Device;
use crate::runtime::plan::Plan;
use crate::runtime::rootfs::Rootfs;
use crate::runtime::walk::{self, Leaf};
use crate::sys::{self, failed};
use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, Uid, makedev};
use rustix::io::Errno;
use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

/// The nodes that every container has (runtime-spec, config-linux.md, Default Devices).
const NODES: [(&str, u32, u32); 6] = [
    ("/dev/null", 1, 3),
    ("/dev/zero", 1, 5),
    ("/dev/full", 1, 7),
    ("/dev/random", 1, 8),
    ("/dev/urandom", 1, 9),
    ("/dev/tty", 5, 0),
];

const LINKS: [(&str, &str); 4] = [
    ("/proc/self/fd", "/dev/fd"),
    ("/proc/self/fd/0", "/dev/stdin"),
    ("/proc/self/fd/1", "/dev/stdout"),
    ("/proc/self/fd/2", "/dev/stderr"),
];

/// Whether /dev is for us to fill: a bind mount there belongs to somebody else.
pub fn are_ours(plan: &Plan<'_>) -> bool {
    let is_bind = |options: &Vec<String>| options.iter().any(|o| o == "bind" || o == "rbind");
    !plan.spec.mounts.iter().flatten().any(|mount| {
        let destination = mount.destination.as_deref().unwrap_or_default();
        let bound =
            mount.kind.as_deref() == Some("bind") || mount.options.as_ref().is_some_and(is_bind);
        bound && Path::new(destination) == Path::new("/dev")
    })
}

pub fn make(rootfs: &Rootfs<'_>) -> Result<()> {
    for (path, major, minor) in NODES {
        node(
            rootfs,
            &Device {
                path: Some(path.to_string()),
                major: Some(major),
                minor: Some(minor),
                file_mode: Some(0o666),
                ..Device::default()
            },
        )?;
    }
    let linux = rootfs.plan.spec.linux.as_ref();
    for device in linux
        .and_then(|linux| linux.devices.as_ref())
        .into_iter()
        .flatten()
    {
        node(rootfs, device)?;
    }

    let root = rootfs.root.as_fd();
    for (text, path) in LINKS {
        link(root, text, path)?;
    }
    if Path::new("/proc/kcore").exists() {
        link(root, "/proc/kcore", "/dev/core")?;
    }
    // The container's own instance of devpts, never the host's.
    let (dev, name) = walk::parent(root, Path::new("/dev/ptmx"))?;
    match rustix::fs::unlinkat(&dev, &name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => {}
        Err(errno) => return Err(failed("unlink", "/dev/ptmx", errno)),
    }
    link(root, "pts/ptmx", "/dev/ptmx")
}

fn link(root: BorrowedFd<'_>, text: &str, path: &str) -> Result<()> {
    let (dir, name) = walk::parent(root, Path::new(path))?;
    match rustix::fs::symlinkat(text, &dir, &name) {
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        Err(errno) => Err(failed("symlink", path, errno)),
    }
}

fn node(rootfs: &Rootfs<'_>, device: &Device) -> Result<()> {
    let path = device.path.as_deref().unwrap_or_default();
    let (dir, name) = walk::parent(rootfs.root.as_fd(), Path::new(path))
        .context(|| format!("create device {path:?}"))?;
    let kind = match device.kind.as_deref() {
        Some("b") => FileType::BlockDevice,
        Some("p") => FileType::Fifo,
        _ => FileType::CharacterDevice,
    };
    let mode = Mode::from_raw_mode(device.file_mode.unwrap_or(0o666) & 0o7777);
    let number = makedev(device.major.unwrap_or(0), device.minor.unwrap_or(0));
    match rustix::fs::mknodat(&dir, &name, kind, mode, number) {
        Ok(()) => own(dir.as_fd(), &name, device).map_err(|errno| failed("chown", path, errno)),
        Err(Errno::EXIST) => Ok(()),
        // Not for a user namespace: the host's node instead.
        Err(Errno::PERM) => bind(rootfs, Path::new(path), number),
        Err(errno) => Err(failed("mknod", path, errno)),
    }
}

fn own(dir: BorrowedFd<'_>, name: &OsStr, device: &Device) -> std::result::Result<(), Errno> {
    let (uid, gid) = (device.uid.unwrap_or(0), device.gid.unwrap_or(0));
    if uid == 0 && gid == 0 {
        return Ok(());
    }
    let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
    rustix::fs::chownat(dir, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)
}

fn bind(rootfs: &Rootfs<'_>, path: &Path, number: u64) -> Result<()> {
    let tree = sys::mount::clone_tree(path, false)?;
    let stat = rustix::fs::fstat(&tree).map_err(|errno| failed("fstat", path.display(), errno))?;
    if stat.st_rdev != number {
        return Err(failed("bind device", path.display(), Errno::NODEV));
    }
    let target = walk::ensure(rootfs.root.as_fd(), path, Leaf::File)?;
    sys::mount::attach(&tree, &target, path.display())
}

/// The container's /dev/null, verified: an image or a bind mount may have put anything there
/// (CVE-2025-31133). Where the container has none, the host's serves as well.
pub fn null(rootfs: &Rootfs<'_>) -> Result<std::os::fd::OwnedFd> {
    let path = Path::new("/dev/null");
    let null = match walk::open(rootfs.root.as_fd(), path)? {
        Some(null) => null,
        None => sys::fs::open_path(path)?,
    };
    let stat = rustix::fs::fstat(&null).map_err(|errno| failed("fstat", "/dev/null", errno))?;
    let is_device = FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice;
    if !is_device || stat.st_rdev != makedev(1, 3) {
        return Err(crate::error::Error::invalid(
            "the container's /dev/null is not the null device (character device 1:3)",
        ));
    }
    Ok(null)
}

/// Flags for opening terminals.
pub const TERMINAL: OFlags = OFlags::RDWR.union(OFlags::NOCTTY).union(OFlags::CLOEXEC);
