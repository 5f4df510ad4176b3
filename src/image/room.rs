//! Room on the disk: what is there for images, and what unpacking leaves alone.
//!
//! On a full disk `stop`, `rm` and `prune` still write a little: records, names, the journal of the
//! file system. So unpacking ends as if the disk were full while a reserve is left. (What containers
//! write goes past us; they can fill the disk to its last block.)

use crate::error::{Error, Kind, Result};
use crate::image::{Images, part};
use crate::store::{staging, usage};
use crate::sys::{failed, fs};
use rustix::io::Errno;
use std::os::fd::{AsFd, BorrowedFd};

/// The reserve is a twentieth of the disk, and no more than this.
const RESERVE_BYTES_MAX: u64 = 64 << 20;

/// Inodes that are left alone, where their number is bounded.
const RESERVE_INODES: u64 = 64;

/// How much is written between two looks at the disk; a look costs a microsecond.
const LOOK_BYTES: u64 = 1 << 20;

/// What an entry of an archive takes beside its content: an inode, a name.
pub const ENTRY_BYTES: u64 = 4096;

/// Looks at the disk now and then while it is written.
#[derive(Debug)]
pub struct Room {
    unseen: u64,
}

impl Room {
    pub fn new() -> Room {
        Room { unseen: LOOK_BYTES }
    }

    /// `bytes` are about to be written on the disk of `dir`. ENOSPC where that would take the reserve.
    pub fn take(&mut self, dir: BorrowedFd<'_>, bytes: u64) -> Result<()> {
        self.unseen += bytes;
        if self.unseen < LOOK_BYTES {
            return Ok(());
        }
        self.unseen = 0;
        match free(dir)? {
            0 => {
                let errno = Errno::NOSPC.raw_os_error();
                Err(Error::system("unpacking leaves a reserve", errno))
            }
            _ => Ok(()),
        }
    }
}

/// Bytes that images may take on the disk of `dir`: what is free, less the reserve.
fn free(dir: BorrowedFd<'_>) -> Result<u64> {
    let disk =
        rustix::fs::fstatvfs(dir).map_err(|errno| failed("fstatvfs", "image store", errno))?;
    // 0 of 0 is a file system that makes them as it needs them.
    if disk.f_files > 0 && disk.f_favail < RESERVE_INODES {
        return Ok(0);
    }
    let reserve = (disk.f_blocks * disk.f_frsize / 20).min(RESERVE_BYTES_MAX);
    Ok((disk.f_bavail * disk.f_frsize).saturating_sub(reserve))
}

fn full(message: impl Into<String>) -> Error {
    Error::with_errno(
        Kind::System,
        Some(Errno::NOSPC.raw_os_error()),
        message.into(),
    )
}

/// Bytes that `prune` would free.
pub type Reclaimable = Box<dyn Fn() -> u64 + Send + Sync>;

impl Images {
    /// Who knows what could be removed: the containers are not ours.
    pub fn ask_for_reclaimable(&self, ask: Reclaimable) {
        let _ = self.reclaimable.set(ask);
    }

    /// Refuse what can't fit. `needs` is the least that it takes: of layers that are to come only
    /// the compressed size is known, and what they become is looked after while they are unpacked.
    pub fn check_room(&self, needs: u64) -> Result<()> {
        let dir = fs::open_dir(&self.layers)?;
        let mut there = free(dir.as_fd())?;
        if needs > there {
            // What other pulls have begun stays as long as nobody needs the space.
            self.drop_unfinished()?;
            there = free(dir.as_fd())?;
        }
        if needs <= there {
            return Ok(());
        }
        Err(full(format!(
            "not enough space in {}: needs {} MiB, have {} MiB, could reclaim {} MiB (tug system prune)",
            self.layers.display(),
            needs.div_ceil(1 << 20),
            there >> 20,
            self.could_reclaim() >> 20,
        )))
    }

    /// Say with a failure for want of space what can be done about it.
    pub(super) fn advise(&self, mut error: Error) -> Error {
        if error.errno == Some(Errno::NOSPC.raw_os_error()) {
            let reclaimable = self.could_reclaim() >> 20;
            error.message.push_str(&format!(
                ": could reclaim {reclaimable} MiB (tug system prune)"
            ));
        }
        error
    }

    /// Remove what broken pulls have left to go on from. Answers the bytes that are free.
    pub fn drop_parts(&self) -> Result<u64> {
        let before = self.part_bytes();
        part::sweep(&self.layers, true)?;
        Ok(before.saturating_sub(self.part_bytes()))
    }

    /// Bytes of layers that have not come to their end.
    pub fn part_bytes(&self) -> u64 {
        let mut names = staging::names(&self.layers).unwrap_or_default();
        names.retain(|name| name.starts_with(part::PREFIX));
        let bytes = |name: &String| usage::bytes(&self.layers.join(name)).unwrap_or(0);
        names.iter().map(bytes).sum()
    }

    fn could_reclaim(&self) -> u64 {
        self.reclaimable.get().map_or(0, |ask| ask())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::staging::Staging;

    #[test]
    fn what_can_not_fit_is_refused_with_what_is_there() {
        let dir = Staging::new(&std::env::temp_dir()).unwrap();
        let images = Images::open(dir.path()).unwrap();
        images.ask_for_reclaimable(Box::new(|| 7 << 20));
        images.check_room(1).unwrap();
        let error = images.check_room(1 << 60).unwrap_err();
        assert_eq!(error.errno, Some(28));
        let message = &error.message;
        assert!(
            message.contains("needs 1099511627776 MiB, have "),
            "{message}"
        );
        assert!(
            message.ends_with("could reclaim 7 MiB (tug system prune)"),
            "{message}"
        );
        let advised = images.advise(full("unpack x"));
        assert_eq!(
            advised.message,
            "unpack x: could reclaim 7 MiB (tug system prune)"
        );
    }

    #[test]
    fn the_disk_is_looked_at_once_a_megabyte() {
        let dir = fs::open_dir(std::path::Path::new("/")).unwrap();
        let mut room = Room::new();
        // At once, and then not until so much has been written.
        room.take(dir.as_fd(), 1).unwrap();
        assert_eq!(room.unseen, 0);
        room.take(dir.as_fd(), ENTRY_BYTES).unwrap();
        assert_eq!(room.unseen, ENTRY_BYTES);
    }
}
