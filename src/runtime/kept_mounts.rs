//! A container in its maker's mount namespace: its mounts do not end with it, and have to be taken
//! away.
//!
//! All of them lie on one, that of its root on the rootfs, so the number of the mount that was
//! there before (statx(2), stx_mnt_id) tells whether there is something to remove.

use crate::error::Result;
use crate::runtime::plan::Plan;
use crate::runtime::record::Record;
use crate::sys;
use linux_raw_sys::general as kernel;
use std::path::Path;

/// What is mounted on the rootfs before anything of ours is; `None` where nothing will be that
/// others see.
pub fn before(plan: &Plan<'_>) -> Result<Option<u64>> {
    match plan.has(kernel::CLONE_NEWNS) {
        true => Ok(None),
        false => mount_of(&plan.rootfs).map(Some),
    }
}

/// Take the mounts away. Where somebody has done so already, or the rootfs is gone, that is it.
pub fn remove(record: &Record) -> Result<()> {
    let rootfs = Path::new(&record.rootfs);
    match record.mount_before {
        Some(before) if mount_of(rootfs).is_ok_and(|now| now != before) => {
            sys::mount::detach(rootfs)
        }
        _ => Ok(()),
    }
}

fn mount_of(path: &Path) -> Result<u64> {
    sys::mount::id(sys::fs::open_path(path)?)
}
