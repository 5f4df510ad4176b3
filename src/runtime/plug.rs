//! Device nodes that come and go in the /dev of a container that runs.
//!
//! Its programs may change what is there at any moment. So nothing is reached by a path of ours: the
//! container's root was opened before its program ran, each step below it follows no link, and what
//! bears the name already is left alone.

use crate::error::{Error, Result};
use crate::oci::spec::Device;
use crate::runtime::walk;
use crate::sys::{failed, fs, process};
use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, Uid, makedev};
use rustix::io::Errno;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

pub struct Dev {
    root: OwnedFd,
    /// The file system of the host's /dev, where it has one of its own: the kernel makes its nodes.
    host: Option<u64>,
}

impl Dev {
    /// That of the container whose first process is `pid`; before its program runs, which could
    /// change its root (chroot(2)).
    pub fn of(pid: i32) -> Result<Dev> {
        let device = |path: &str| {
            std::fs::metadata(path)
                .ok()
                .map(|at| std::os::unix::fs::MetadataExt::dev(&at))
        };
        let host = device("/dev").filter(|host| Some(*host) != device("/"));
        let root = fs::open_path(Path::new(&format!("/proc/{pid}/root")))?;
        Ok(Dev { root, host })
    }

    /// Make the node. False where it is there already, or where the container has the host's /dev.
    pub fn add(&self, device: &Device) -> Result<bool> {
        let path = Path::new(device.path.as_deref().unwrap_or_default());
        let (parent, name) = split(path)?;
        let dir = walk::ensure_plain(self.root.as_fd(), parent)?;
        if Some(fs::stat(dir.as_fd())?.st_dev) == self.host {
            return Ok(false);
        }
        let (kind, number) = identity(device);
        let mode = Mode::from_raw_mode(device.file_mode.unwrap_or(0o600) & 0o777);
        // No chmod afterwards: by then the name may lead elsewhere.
        let usual = process::set_umask(0);
        let made = rustix::fs::mknodat(&dir, name, kind, mode, number);
        process::set_umask(usual);
        match made {
            Ok(()) => {
                let owner = |id: Option<u32>| id.unwrap_or(0);
                let (uid, gid) = (owner(device.uid), owner(device.gid));
                let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
                let flags = AtFlags::SYMLINK_NOFOLLOW;
                rustix::fs::chownat(&dir, name, Some(uid), Some(gid), flags)
                    .map_err(|errno| failed("chown", path.display(), errno))?;
                Ok(true)
            }
            Err(Errno::EXIST) if is_it(dir.as_fd(), name, device) => Ok(false),
            Err(Errno::EXIST) => Err(Error::conflict(format!(
                "{}: the container has something else of this name; it is left alone",
                path.display()
            ))),
            Err(errno) => Err(failed("mknod", path.display(), errno)),
        }
    }

    /// Remove the node that `add` made, if it is still there.
    pub fn remove(&self, device: &Device) -> Result<()> {
        let path = Path::new(device.path.as_deref().unwrap_or_default());
        let (parent, name) = split(path)?;
        let dir = match fs::open_without_links(self.root.as_fd(), parent, OFlags::PATH) {
            Ok(dir) => dir,
            // Something else is there by now, and ours has gone with what was.
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(()),
            Err(errno) => return Err(failed("open", parent.display(), errno)),
        };
        if !is_it(dir.as_fd(), name, device) {
            return Ok(());
        }
        match rustix::fs::unlinkat(&dir, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(errno) => Err(failed("unlink", path.display(), errno)),
        }
    }
}

fn split(path: &Path) -> Result<(&Path, &Path)> {
    let parts = path.parent().zip(path.file_name().map(Path::new));
    parts.ok_or_else(|| Error::invalid(format!("{} names no file", path.display())))
}

fn identity(device: &Device) -> (FileType, u64) {
    let kind = match device.kind.as_deref() {
        Some("b") => FileType::BlockDevice,
        _ => FileType::CharacterDevice,
    };
    let number = makedev(device.major.unwrap_or(0), device.minor.unwrap_or(0));
    (kind, number)
}

fn is_it(dir: BorrowedFd<'_>, name: &Path, device: &Device) -> bool {
    let (kind, number) = identity(device);
    rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW).is_ok_and(|found| {
        FileType::from_raw_mode(found.st_mode) == kind && found.st_rdev == number
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn device(path: &str) -> Device {
        Device {
            path: Some(path.to_string()),
            kind: Some("c".to_string()),
            major: Some(1),
            minor: Some(5),
            ..Device::default()
        }
    }

    /// The container's programs can swap any directory for a link, at any time.
    #[test]
    fn links_of_the_container_lead_nowhere() {
        let top = std::env::temp_dir().join(format!("tug-plug-{}", std::process::id()));
        let (inside, outside) = (top.join("root"), top.join("outside"));
        std::fs::create_dir_all(inside.join("dev")).unwrap();
        std::fs::create_dir_all(outside.join("usb")).unwrap();
        let dev = Dev {
            root: fs::open_path(&inside).unwrap(),
            host: None,
        };
        let node = device("/dev/bus/usb/zero");
        let bus = inside.join("dev/bus");
        let is_there = |dir: &Path| dir.join("usb/zero").symlink_metadata().is_ok();

        symlink(&outside, &bus).unwrap();
        assert!(dev.add(&node).is_err());
        assert!(!is_there(&outside));
        std::fs::remove_file(&bus).unwrap();
        match dev.add(&node) {
            Err(error) if crate::sys::is(&error, Errno::PERM) => {
                eprintln!("skipped: nodes cannot be made here");
                return std::fs::remove_dir_all(&top).unwrap();
            }
            made => assert!(made.unwrap()),
        }
        assert!(is_there(&bus) && !dev.add(&node).unwrap());

        // It is moved away, and a link to a node of the same kind is in its place.
        std::fs::rename(&bus, inside.join("moved")).unwrap();
        std::fs::hard_link(inside.join("moved/usb/zero"), outside.join("usb/zero")).unwrap();
        symlink(&outside, &bus).unwrap();
        dev.remove(&node).unwrap();
        assert!(is_there(&outside));
        std::fs::remove_file(&bus).unwrap();
        std::fs::rename(inside.join("moved"), &bus).unwrap();
        dev.remove(&node).unwrap();
        assert!(!is_there(&bus));

        // What is not that node stays, and nothing is put over it.
        std::fs::write(bus.join("usb/zero"), "text").unwrap();
        assert!(dev.add(&node).is_err());
        dev.remove(&node).unwrap();
        assert!(is_there(&bus));
        std::fs::remove_dir_all(&top).unwrap();
    }
}
