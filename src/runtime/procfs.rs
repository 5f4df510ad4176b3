//! Writes into procfs for the container: sysctls, the OOM score, security labels.
//!
//! They go through a procfs that nobody else has touched: a mount of our own that is attached
//! nowhere. By the path /proc an image could lead us to a file of its own, or to another file of
//! procfs, where the write would succeed and mean nothing (CVE-2019-16884, CVE-2025-52881).

use crate::error::{Error, Kind, Result};
use crate::sys::{self, failed};
use rustix::fs::{Mode, OFlags, PROC_SUPER_MAGIC, ResolveFlags};
use rustix::io::Errno;
use rustix::mount::MountAttrFlags;
use std::os::fd::{AsFd, OwnedFd};

/// The container's procfs, mounted when it is wanted.
#[derive(Default)]
pub struct Procfs(Option<OwnedFd>);

impl Procfs {
    /// Write a file at `path` below /proc.
    pub fn write(&mut self, path: &str, value: &str) -> Result<()> {
        self.try_write(path, value)?
            .map_err(|errno| failed("write", format_args!("/proc/{path}"), errno))
    }

    /// The same, with the kernel's answer to the write itself told apart.
    pub fn try_write(&mut self, path: &str, value: &str) -> Result<std::result::Result<(), Errno>> {
        let proc = match self.0.take() {
            Some(proc) => proc,
            None => own_procfs()?,
        };
        let proc = self.0.insert(proc);
        let open = rustix::fs::openat2(
            proc.as_fd(),
            path,
            OFlags::WRONLY | OFlags::CLOEXEC,
            Mode::empty(),
            ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV,
        );
        Ok(open
            .and_then(|file| rustix::io::write(&file, value.as_bytes()))
            .map(drop))
    }
}

fn own_procfs() -> Result<OwnedFd> {
    let flags = MountAttrFlags::MOUNT_ATTR_NOSUID
        | MountAttrFlags::MOUNT_ATTR_NODEV
        | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    if let Ok(proc) = sys::mount::new_tree("proc", Some("proc"), &[], flags) {
        return Ok(proc);
    }
    // In a user namespace that may not mount one: what is there, if it is a procfs.
    let proc = sys::fs::open_dir(std::path::Path::new("/proc"))?;
    let data = rustix::fs::fstatfs(&proc).map_err(|errno| failed("fstatfs", "/proc", errno))?;
    let stat = rustix::fs::fstat(&proc).map_err(|errno| failed("fstat", "/proc", errno))?;
    match data.f_type == PROC_SUPER_MAGIC && stat.st_ino == 1 {
        true => Ok(proc),
        false => Err(Error::new(
            Kind::System,
            "/proc in the container is not a procfs: it cannot be written to",
        )),
    }
}
