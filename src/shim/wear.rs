//! How much a container has written to disks, as far as the kernel tells.
//!
//! Two counts are taken, and the greater one counts. The io controller knows what has reached each
//! disk, journal and direct writes included, but nothing of what a container that has just ended left
//! in the page cache. The accounting of processes counts what was dirtied, knows nothing of disks,
//! and is there with any controllers: what the kernel notes of a child is added to the
//! parent that reaps it (`wait_task_zombie`, kernel/exit.c), so that the shim's own count holds all
//! that its containers' processes wrote. Where a kernel has neither, nothing is told.

use crate::cgroup::Group;
use crate::json::value::json_struct;
use crate::sys::process;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

json_struct! {
    /// Bytes, over some runs of a container.
    #[derive(Clone, Debug, Default, PartialEq, Eq)]
    pub struct Wear {
        /// To all disks, the log excepted.
        pub written: Option<u64>,
        /// Of those, to other disks than the data root's, as far as the io controller tells.
        pub elsewhere: Option<u64>,
        /// To the log's files.
        pub logged: Option<u64>,
        /// How long it ran.
        pub seconds: Option<u64>,
    }
}

impl Wear {
    pub fn add(&mut self, more: &Wear) {
        for (sum, more) in [
            (&mut self.written, more.written),
            (&mut self.elsewhere, more.elsewhere),
            (&mut self.logged, more.logged),
            (&mut self.seconds, more.seconds),
        ] {
            // What is unknown of one part is unknown of that part alone.
            *sum = match (*sum, more) {
                (Some(sum), Some(more)) => Some(sum.saturating_add(more)),
                (sum, more) => sum.or(more),
            };
        }
    }
}

/// What is counted while a shim lives, over all runs of its container.
#[derive(Default)]
pub struct Counter {
    /// The disk of the data root.
    disk: Option<Disk>,
    /// By the io controller, of runs that have ended: to that disk, and to others.
    ended: Option<(u64, u64)>,
    ran: Duration,
}

impl Counter {
    pub fn new(disk: Option<Disk>) -> Counter {
        Counter {
            disk,
            ..Counter::default()
        }
    }

    /// The one that it was made for.
    pub fn disk(&self) -> Option<Disk> {
        self.disk
    }

    /// A run has ended; its group is still there.
    pub fn run_ended(&mut self, group: Option<&Group>, ran: Duration) {
        self.ended = self.by_controller(group);
        self.ran += ran;
    }

    /// `group` and `running`: of a run that goes on.
    pub fn so_far(&self, group: Option<&Group>, running: Duration, logged: u64) -> Wear {
        let by_controller = self.by_controller(group);
        let known = by_controller.map(|(disk, others)| disk + others);
        let by_process = by_process(group).map(|bytes| bytes.saturating_sub(logged));
        Wear {
            written: known.max(by_process),
            elsewhere: by_controller.map(|(_, others)| others),
            logged: Some(logged),
            seconds: Some((self.ran + running).as_secs()),
        }
    }

    fn by_controller(&self, group: Option<&Group>) -> Option<(u64, u64)> {
        let Some(written) = group.and_then(Group::written_bytes) else {
            return self.ended;
        };
        let (mut disk, mut others) = self.ended.unwrap_or_default();
        for (major, minor, bytes) in written {
            let number = Disk { major, minor };
            match self.disk == Some(number) {
                true => disk += bytes,
                // What lies on other disks would be counted twice.
                false if !number.is_stacked() => others += bytes,
                false => {}
            }
        }
        Some((disk, others))
    }
}

/// By this process with those that it has reaped, and by those of `group` that live.
fn by_process(group: Option<&Group>) -> Option<u64> {
    let own = process::written_bytes("self")?;
    let pids = group.and_then(|group| group.pids().ok());
    let living = pids.iter().flatten();
    let living = living.filter_map(|pid| process::written_bytes(&pid.to_string()));
    Some(own + living.sum::<u64>())
}

/// A disk as a whole, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Disk {
    pub major: u64,
    pub minor: u64,
}

impl Disk {
    /// The one that the files at `path` lie on: limits and counts are of disks, not of their parts.
    /// None, if they lie in memory, on a server, or on several disks.
    pub fn below(path: &Path) -> Option<Disk> {
        let part = Disk::part(path)?;
        let place = part.place().canonicalize().ok()?;
        if !place.join("partition").exists() {
            return Some(part);
        }
        let number = std::fs::read_to_string(place.parent()?.join("dev")).ok()?;
        let (major, minor) = number.trim_end().split_once(':')?;
        Some(Disk {
            major: major.parse().ok()?,
            minor: minor.parse().ok()?,
        })
    }

    /// The disk, or the part of one, that the files at `path` lie on.
    pub fn part(path: &Path) -> Option<Disk> {
        let device = std::fs::metadata(path).ok()?.dev();
        Some(Disk {
            major: rustix::fs::major(device).into(),
            minor: rustix::fs::minor(device).into(),
        })
    }

    /// Where the kernel tells of it.
    pub fn place(self) -> PathBuf {
        let Disk { major, minor } = self;
        format!("/sys/dev/block/{major}:{minor}").into()
    }

    /// Whether it is made of other disks, or of files on them.
    fn is_stacked(self) -> bool {
        let place = self.place();
        let mut slaves = std::fs::read_dir(place.join("slaves"))
            .into_iter()
            .flatten();
        place.join("loop").exists() || slaves.next().is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_unknown_takes_nothing_away() {
        let mut sum = Wear {
            written: Some(1),
            ..Wear::default()
        };
        sum.add(&Wear {
            written: None,
            logged: Some(2),
            ..Wear::default()
        });
        assert_eq!(
            (sum.written, sum.elsewhere, sum.logged),
            (Some(1), None, Some(2))
        );
    }

    #[test]
    fn what_lies_in_memory_is_on_no_disk() {
        assert_eq!(Disk::below(Path::new("/proc")), None);
        assert_eq!(Disk::below(Path::new("/nonexistent")), None);
    }
}
