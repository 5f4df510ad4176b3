//! The container's /dev: its nodes and links.

use crate::error::{Context, Error, Result};
use crate::oci::spec::Device;
use crate::runtime::mount::clean;
use crate::runtime::plan::Plan;
use crate::runtime::rootfs::Rootfs;
use crate::runtime::walk::{self, Leaf};
use crate::sys::{self, failed};
use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, Uid, makedev};
use rustix::io::Errno;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
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
        bound && clean(Path::new(destination)) == Path::new("/dev")
    })
}

pub fn make(rootfs: &Rootfs<'_>) -> Result<()> {
    let linux = rootfs.plan.spec.linux.as_ref();
    let asked = linux.and_then(|linux| linux.devices.as_deref());
    let asked = asked.unwrap_or_default();
    let nodes = NODES.map(|(path, major, minor)| Device {
        path: Some(path.to_string()),
        major: Some(major),
        minor: Some(minor),
        file_mode: Some(0o666),
        ..Device::default()
    });

    let mut maker = Maker { rootfs, last: None };
    for device in &nodes {
        // What config.json says of one of them goes.
        if !asked.iter().any(|other| other.path == device.path) {
            maker.node(device)?;
        }
    }
    for device in asked {
        maker.node(device)?;
    }
    for (text, path) in LINKS {
        maker.link(text, path)?;
    }
    if Path::new("/proc/kcore").exists() {
        maker.link("/proc/kcore", "/dev/core")?;
    }
    maker.ptmx()
}

/// Makes nodes and links, most of them in one directory, which is resolved once.
struct Maker<'a> {
    rootfs: &'a Rootfs<'a>,
    last: Option<(&'a Path, OwnedFd)>,
}

impl<'a> Maker<'a> {
    /// The directory of `path`, made where missing.
    fn dir(&mut self, path: &'a Path) -> Result<BorrowedFd<'_>> {
        let none = || Error::invalid(format!("{} names no file", path.display()));
        let dir = path.parent().ok_or_else(none)?;
        let last = match self.last.take() {
            Some(last) if last.0 == dir => last,
            _ => (dir, walk::ensure(self.rootfs.root.as_fd(), dir, Leaf::Dir)?),
        };
        Ok(self.last.insert(last).1.as_fd())
    }

    fn link(&mut self, text: &str, path: &'a str) -> Result<()> {
        let dir = self.dir(Path::new(path))?;
        match rustix::fs::symlinkat(text, dir, name(path)) {
            Ok(()) | Err(Errno::EXIST) => Ok(()),
            Err(errno) => Err(failed("symlink", path, errno)),
        }
    }

    /// The container's own instance of devpts, never the host's.
    fn ptmx(&mut self) -> Result<()> {
        let (path, text) = ("/dev/ptmx", "pts/ptmx");
        let dir = self.dir(Path::new(path))?;
        let made = match rustix::fs::symlinkat(text, dir, name(path)) {
            Err(Errno::EXIST) => rustix::fs::unlinkat(dir, name(path), AtFlags::empty())
                .and_then(|()| rustix::fs::symlinkat(text, dir, name(path))),
            other => other,
        };
        made.map_err(|errno| failed("symlink", path, errno))
    }

    fn node(&mut self, device: &'a Device) -> Result<()> {
        let path = device.path.as_deref().unwrap_or_default();
        if path.is_empty() {
            // Of use to the cgroup alone.
            return Ok(());
        }
        let place = Path::new(path);
        if clean(place) == Path::new("/") {
            return Err(Error::invalid(
                "a device cannot be the root of the container",
            ));
        }
        let dir = self
            .dir(place)
            .context(|| format!("create device {path:?}"))?;
        let kind = match device.kind.as_deref() {
            Some("b") => FileType::BlockDevice,
            Some("p") => FileType::Fifo,
            _ => FileType::CharacterDevice,
        };
        let mode = Mode::from_raw_mode(device.file_mode.unwrap_or(0o666) & 0o7777);
        let number = match kind {
            FileType::Fifo => 0,
            _ => makedev(device.major.unwrap_or(0), device.minor.unwrap_or(0)),
        };
        match rustix::fs::mknodat(dir, name(path), kind, mode, number) {
            Ok(()) => own(dir, name(path), device).map_err(|errno| failed("chown", path, errno)),
            Err(Errno::EXIST) => Ok(()),
            // Not for a user namespace: the host's node instead.
            Err(Errno::PERM) => bind(self.rootfs, place, kind, number),
            Err(errno) => Err(failed("mknod", path, errno)),
        }
    }
}

/// The last name of a path. `..` is one that mknod and symlink refuse.
fn name(path: &str) -> &str {
    let path = path.trim_end_matches('/');
    path.rsplit('/').next().unwrap_or(path)
}

fn own(dir: BorrowedFd<'_>, name: &str, device: &Device) -> std::result::Result<(), Errno> {
    let (uid, gid) = (device.uid.unwrap_or(0), device.gid.unwrap_or(0));
    if uid == 0 && gid == 0 {
        return Ok(());
    }
    let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
    rustix::fs::chownat(dir, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
    let special = device.file_mode.unwrap_or(0) & 0o7000;
    match special {
        0 => Ok(()),
        // A change of owner takes setuid away.
        _ => rustix::fs::chmodat(
            dir,
            name,
            Mode::from_raw_mode(device.file_mode.unwrap_or(0) & 0o7777),
            AtFlags::empty(),
        ),
    }
}

fn bind(rootfs: &Rootfs<'_>, path: &Path, kind: FileType, number: u64) -> Result<()> {
    let tree = sys::mount::clone_tree(path, false)?;
    let stat = sys::fs::stat(tree.as_fd())?;
    if stat.st_rdev != number || FileType::from_raw_mode(stat.st_mode) != kind {
        return Err(failed("bind device", path.display(), Errno::NODEV));
    }
    let target = walk::ensure(rootfs.root.as_fd(), path, Leaf::File)?;
    sys::mount::attach(&tree, &target, path.display())
}

/// The container's /dev/null, verified: an image or a bind mount may have put anything there
/// (CVE-2025-31133). Where the container has none, the host's serves as well.
pub fn null(rootfs: &Rootfs<'_>) -> Result<OwnedFd> {
    let path = Path::new("/dev/null");
    let null = match walk::open(rootfs.root.as_fd(), path)? {
        Some(null) => null,
        None => sys::fs::open_path(path)?,
    };
    let stat = rustix::fs::fstat(&null).map_err(|errno| failed("fstat", "/dev/null", errno))?;
    let is_device = FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice;
    if !is_device || stat.st_rdev != makedev(1, 3) {
        return Err(Error::invalid(
            "the container's /dev/null is not the null device (character device 1:3)",
        ));
    }
    Ok(null)
}

/// Flags for opening terminals.
pub const TERMINAL: OFlags = OFlags::RDWR.union(OFlags::NOCTTY).union(OFlags::CLOEXEC);
