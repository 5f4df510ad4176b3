//! Quotas of projects: what a directory and all below it may take from its file system.
//!
//! By quotactl_fd(2), which is of Linux 5.14: quotactl(2) wants the name of the disk's device, which
//! a data root on a bind mount or behind a device mapper does not tell.

use crate::error::Result;
use crate::sys::{failed, raw};
use rustix::io::Errno;
use std::os::fd::BorrowedFd;

// <linux/quota.h>, <linux/dqblk_xfs.h>.
const PROJECTS: u32 = 2;
const Q_GETQUOTA: u32 = 0x80_0007;
const Q_SETQUOTA: u32 = 0x80_0008;
const Q_XGETQSTAT: u32 = b'X' as u32 * 256 + 5;
const QIF_BLIMITS: u32 = 1;
const FS_QUOTA_PDQ_ENFD: u16 = 1 << 5;
/// Limits are told in units of this.
const UNIT_BYTES: u64 = 1024;

/// `struct if_dqblk`.
#[repr(C)]
#[derive(Default)]
struct Limits {
    hard_units: u64,
    soft_units: u64,
    used_bytes: u64,
    hard_inodes: u64,
    soft_inodes: u64,
    used_inodes: u64,
    times: [u64; 2],
    valid: u32,
}

/// `struct fs_quota_stat`: two bytes before the flags, much behind them.
#[repr(C)]
#[derive(Default)]
struct State {
    version: u16,
    flags: u16,
    rest: [u64; 12],
}

/// `struct fsxattr` of <linux/fs.h>.
#[repr(C)]
#[derive(Default)]
struct Attributes {
    flags: u32,
    others: [u32; 2],
    project: u32,
    rest: [u32; 3],
}

const FS_IOC_FSGETXATTR: u32 = 0x801c_581f;
const FS_IOC_FSSETXATTR: u32 = 0x401c_5820;
const FS_XFLAG_PROJINHERIT: u32 = 0x200;

/// Whether limits of projects hold on the file system of `dir`.
pub fn is_enforced(dir: BorrowedFd<'_>) -> bool {
    let mut state = State::default();
    control(dir, Q_XGETQSTAT, 0, &mut state).is_ok() && state.flags & FS_QUOTA_PDQ_ENFD != 0
}

/// Whether nothing belongs to the project.
pub fn is_unused(dir: BorrowedFd<'_>, project: u32) -> Result<bool> {
    let mut limits = Limits::default();
    match control(dir, Q_GETQUOTA, project, &mut limits) {
        // XFS knows nothing of it.
        Err(Errno::NOENT) => Ok(true),
        Err(errno) => Err(failed("quotactl_fd", "Q_GETQUOTA", errno)),
        Ok(()) => Ok(limits.used_bytes == 0 && limits.used_inodes == 0),
    }
}

/// What the project may take; 0: all there is.
pub fn set_limit(dir: BorrowedFd<'_>, project: u32, bytes: u64) -> Result<()> {
    let mut limits = Limits {
        hard_units: bytes.div_ceil(UNIT_BYTES),
        valid: QIF_BLIMITS,
        ..Limits::default()
    };
    control(dir, Q_SETQUOTA, project, &mut limits)
        .map_err(|errno| failed("quotactl_fd", "Q_SETQUOTA", errno))
}

/// The project of a directory; 0 is that of all who have no other. `None`: it can have none.
pub fn project(dir: BorrowedFd<'_>) -> Option<u32> {
    let mut attributes = Attributes::default();
    let read = raw::ioctl(dir, FS_IOC_FSGETXATTR, &mut attributes);
    read.ok().map(|()| attributes.project)
}

/// Put an empty directory, and so all that will be made in it, into the project.
pub fn set_project(dir: BorrowedFd<'_>, project: u32) -> Result<()> {
    let mut attributes = Attributes::default();
    raw::ioctl(dir, FS_IOC_FSGETXATTR, &mut attributes)
        .and_then(|()| {
            attributes.project = project;
            attributes.flags |= FS_XFLAG_PROJINHERIT;
            raw::ioctl(dir, FS_IOC_FSSETXATTR, &mut attributes)
        })
        .map_err(|errno| failed("set project of", "directory", errno))
}

fn control<T>(
    dir: BorrowedFd<'_>,
    what: u32,
    project: u32,
    data: &mut T,
) -> std::result::Result<(), Errno> {
    raw::quotactl_fd(dir, what << 8 | PROJECTS, project, data)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The numbers of the two ioctls hold the size.
    #[test]
    fn structures_are_as_large_as_the_kernels() {
        assert_eq!(size_of::<Attributes>(), 28);
        assert_eq!(size_of::<Limits>(), 72);
        assert!(size_of::<State>() >= 80);
    }
}
