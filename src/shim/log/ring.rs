//! The ring: a log in memory, for devices whose flash shall not wear.
//!
//! Its files are those of the driver json-file, on a tmpfs that the shim mounts for itself: the kernel
//! bounds it, no disk sees it, and the memory comes back with the shim, however that ends. The engine
//! reads them by way of the shim's root directory; it need not live for them to be written. When
//! the ring is written out, its records move to `log.json` in the container's directory: what
//! is in the one is not in the other, and readers read both.

use crate::error::{Error, Result};
use crate::log;
use crate::shim::log::file::{LogFile, rotated};
use crate::shim::log::options::{Files, Persist};
use crate::shim::log::record::Format;
use crate::sys::{fs, mount};
use rustix::mount::MountAttrFlags;
use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Below the run directory.
const DIR: &str = "log";

/// With so many files, three quarters of the size that was asked for are there at any time.
const FILES: u32 = 4;

/// Each file may end in one of the longest records.
const SLACK_BYTES: u64 = 512 << 10;

/// A program that crashes in a loop shall not wear the disk: so long its last words stay in memory,
/// and have an end without another run to follow them.
const CRASH_INTERVAL: Duration = Duration::from_secs(600);

/// The part of a ring that is on the disk, and when there is to be more of it.
pub struct Ring {
    persist: Persist,
    path: PathBuf,
    bounds: Files,
    written: u64,
    written_at: Option<Instant>,
    /// There was an end to be written out, and it was not yet.
    is_due: bool,
}

impl Ring {
    /// The part at `path` on the disk.
    pub fn new(persist: Persist, path: &Path, bounds: Files) -> Ring {
        Ring {
            persist,
            path: path.to_path_buf(),
            bounds,
            written: 0,
            written_at: None,
            is_due: false,
        }
    }

    /// The part in memory. The caller has a mount namespace of its own.
    pub fn open(run_dir: &Path, bytes_max: u64, format: Format) -> Result<LogFile> {
        let dir = run_dir.join(DIR);
        std::fs::create_dir(&dir)
            .map_err(|e| Error::io(format_args!("make directory {}", dir.display()), &e))?;
        let size = format!("size={}", bytes_max + SLACK_BYTES);
        let flags = MountAttrFlags::MOUNT_ATTR_NODEV
            | MountAttrFlags::MOUNT_ATTR_NOSUID
            | MountAttrFlags::MOUNT_ATTR_NOEXEC;
        let tree = mount::new_tree("tmpfs", None, &[&size, "mode=0700"], flags)?;
        mount::attach(&tree, fs::open_path(&dir)?, dir.display())?;
        let bounds = Files {
            bytes_max: Some(bytes_max / u64::from(FILES)),
            count_max: FILES,
        };
        LogFile::open(&dir.join("log.json"), format, bounds)
    }

    /// How much was written to the disk.
    pub fn written(&self) -> u64 {
        self.written
    }

    pub fn run_ended(&mut self, live: &mut LogFile, is_crash: bool, is_last: bool) {
        self.is_due |= match self.persist {
            Persist::Always => is_last,
            Persist::Crash => is_crash,
            Persist::Never => false,
        };
        let is_early = self
            .written_at
            .is_some_and(|at| at.elapsed() < CRASH_INTERVAL);
        if !self.is_due || is_early && !is_last {
            return;
        }
        if let Err(error) = self.write_out(live) {
            log::line("tug-shim", format_args!("the log stays in memory: {error}"));
        }
    }

    /// Move all records from memory to the disk.
    pub fn write_out(&mut self, live: &mut LogFile) -> Result<()> {
        let format = Format::Json(Default::default());
        let mut disk = LogFile::open(&self.path, format, self.bounds)?;
        let mut paths = (0..FILES).rev().map(|number| rotated(live.path(), number));
        let moved = paths.try_for_each(|path| take_in(&mut disk, &path));
        self.written += disk.written();
        moved?;
        disk.sync()?;
        live.start_over()?;
        self.written_at = Some(Instant::now());
        self.is_due = false;
        Ok(())
    }
}

/// Move one file's records. What was moved is gone at once, and so in no place twice if the next
/// file does not fit the disk.
fn take_in(disk: &mut LogFile, path: &Path) -> Result<()> {
    match File::open(path) {
        Ok(file) => disk.take_in(&file)?,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(Error::io(format_args!("open {}", path.display()), &e)),
    }
    std::fs::remove_file(path).map_err(|e| Error::io(format_args!("remove {}", path.display()), &e))
}

/// Where others than the shim find the log in its memory; none, if this shim has no ring.
pub fn seen_from_outside(shim: i32, run_dir: &Path) -> Option<PathBuf> {
    // A link in the path would lead past the shim's mounts to ours.
    let run_dir = run_dir.canonicalize().ok()?;
    let inside = run_dir.strip_prefix("/").ok()?;
    let root = PathBuf::from(format!("/proc/{shim}/root"));
    let path = root.join(inside).join(DIR).join("log.json");
    path.parent()?.is_dir().then_some(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shim::log::reader::{Reader, Select};
    use crate::wire::stdcopy::Stream;

    fn texts(live: &Path, disk: &Path) -> Vec<String> {
        let select = Select {
            stdout: true,
            stderr: true,
            ..Select::default()
        };
        let mut reader = Reader::open_both(live, Some(disk), select).unwrap();
        let mut texts = Vec::new();
        while let Some(line) = reader.next().unwrap() {
            texts.push(String::from_utf8(line.text).unwrap());
        }
        texts
    }

    #[test]
    fn records_are_in_memory_or_on_the_disk_and_nothing_is_lost_that_cannot_be_moved() {
        let dir = std::env::temp_dir().join(format!("tug-ring-{}", std::process::id()));
        std::fs::create_dir_all(dir.join("memory")).unwrap();
        let (live, disk) = (dir.join("memory/log.json"), dir.join("disk/log.json"));
        let bounds = Files {
            bytes_max: Some(200),
            count_max: FILES,
        };
        let format = Format::Json(Default::default());
        let mut log = LogFile::open(&live, format, bounds).unwrap();
        let mut ring = Ring::new(Persist::Crash, &disk, bounds);
        let mut number = 0;
        let mut write = |log: &mut LogFile| {
            for _ in 0..4 {
                number += 1;
                let frame = log.frame(Stream::Stdout);
                log.push(format!("{number}\n").as_bytes(), &frame);
                log.flush();
            }
        };
        let expected = |count: u32| -> Vec<String> {
            (1..=count).map(|number| format!("{number}\n")).collect()
        };
        write(&mut log);
        // The place on the disk is not there.
        assert!(ring.write_out(&mut log).is_err());
        ring.run_ended(&mut log, true, false);
        assert!(ring.is_due);
        assert_eq!(texts(&live, &disk), expected(4));

        std::fs::create_dir_all(dir.join("disk")).unwrap();
        ring.run_ended(&mut log, false, true);
        assert!(!ring.is_due && ring.written() > 0);
        assert_eq!(std::fs::metadata(&live).unwrap().len(), 0);
        assert_eq!(texts(&live, &disk), expected(4));
        write(&mut log);
        assert_eq!(texts(&live, &disk), expected(8));
        // Soon after the last time a crash waits; whoever asks does not.
        ring.run_ended(&mut log, true, false);
        assert!(ring.is_due);
        ring.write_out(&mut log).unwrap();
        assert_eq!(texts(&live, &disk), expected(8));
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
