//! A volume that is being filled from an image has a mark beside `_data`. What is found with the mark
//! and nobody at it is a part of something, and goes.

use crate::error::Result;
use crate::store::tree;
use crate::sys::fs;
use crate::volume::{FILLING, Volume, Volumes, lock};
use std::os::fd::AsFd;
use std::sync::MutexGuard;

impl Volumes {
    /// One at a time: two containers may be created with the same empty volume.
    pub fn begin_filling(&self, volume: &Volume) -> Result<MutexGuard<'_, ()>> {
        let filling = lock(&self.filling);
        drop_part(volume)?;
        Ok(filling)
    }

    pub fn mark(&self, volume: &Volume) -> Result<()> {
        fs::write_private(&volume.dir().join(FILLING), b"")?;
        fs::sync_dir(volume.dir())
    }

    /// The copy has failed. Most likely the disk is full: give the space back.
    pub fn give_up(&self, volume: &Volume) {
        // What stays has the mark.
        let _ = drop_part(volume);
    }

    /// A container that runs has written to it while it was filled, and shall not lose that.
    pub(super) fn keep_part(&self, volume: &Volume) -> Result<()> {
        match volume.dir().join(FILLING).exists() {
            true => self.unmark(volume),
            false => Ok(()),
        }
    }

    /// It is whole, and the disk has it.
    pub fn unmark(&self, volume: &Volume) -> Result<()> {
        let path = volume.dir().join(FILLING);
        tree::remove(&path)?;
        // Came the mark back after a power cut, it would take along what was written since.
        fs::sync_dir(volume.dir())
    }
}

/// Leave nothing of a copy that did not come to its end.
pub(super) fn drop_part(volume: &Volume) -> Result<()> {
    let mark = volume.dir().join(FILLING);
    if !mark.exists() {
        return Ok(());
    }
    let data = fs::open_dir(&volume.data)?;
    for name in fs::sorted_names(data.as_fd())? {
        tree::remove_in(data.as_fd(), &name)?;
    }
    fs::sync_file_system(&volume.data)?;
    tree::remove(&mark)?;
    fs::sync_dir(volume.dir())
}
