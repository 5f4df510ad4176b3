//! What a client has not taken yet: a little in memory, more in a file without a name.
//!
//! The file lies on the disk of the container's log, and goes with the last byte that is read from it,
//! or with the shim; what is read back soon never leaves the page cache.

use rustix::fs::{Mode, OFlags};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// So much is kept in memory, and read back at a time.
const MEMORY_BYTES_MAX: usize = 256 << 10;

/// The most that is kept for one client.
pub const BYTES_MAX: u64 = 64 << 20;

pub struct Backlog {
    memory: Vec<u8>,
    /// How much of the memory has been taken.
    taken: usize,
    file: Option<Spill>,
    /// Where a file may lie.
    dir: PathBuf,
}

/// Bytes that come after those in memory: from `read` to `written`.
struct Spill {
    file: File,
    read: u64,
    written: u64,
}

impl Backlog {
    pub fn new(dir: &Path) -> Backlog {
        Backlog {
            memory: Vec::new(),
            taken: 0,
            file: None,
            dir: dir.to_path_buf(),
        }
    }

    pub fn len(&self) -> u64 {
        let spilled = self
            .file
            .as_ref()
            .map_or(0, |file| file.written - file.read);
        (self.memory.len() - self.taken) as u64 + spilled
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Keep `bytes`. False when they cannot be: the disk is full.
    pub fn push(&mut self, bytes: &[u8]) -> bool {
        if bytes.is_empty() {
            return true;
        }
        let waiting = self.memory.len() - self.taken;
        if self.file.is_none() && waiting + bytes.len() <= MEMORY_BYTES_MAX {
            // Move the rest to the front when that is cheaper than growing.
            if self.taken > self.memory.len() / 2 {
                self.memory.drain(..self.taken);
                self.taken = 0;
            }
            self.memory.extend_from_slice(bytes);
            return true;
        }
        self.spill(bytes)
    }

    fn spill(&mut self, bytes: &[u8]) -> bool {
        if self.file.is_none() {
            let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
            let Ok(file) = rustix::fs::open(&self.dir, flags, Mode::RUSR | Mode::WUSR) else {
                return false;
            };
            self.file = Some(Spill {
                file: File::from(file),
                read: 0,
                written: 0,
            });
        }
        let Some(spill) = &mut self.file else {
            return false;
        };
        let is_written = spill.file.write_all_at(bytes, spill.written).is_ok();
        if is_written {
            spill.written += bytes.len() as u64;
        }
        is_written
    }

    /// What is to be taken next; empty when nothing is left.
    pub fn front(&mut self) -> &[u8] {
        if self.taken == self.memory.len() {
            self.memory.clear();
            self.taken = 0;
            self.read_back();
        }
        self.memory.get(self.taken..).unwrap_or_default()
    }

    fn read_back(&mut self) {
        let Some(spill) = &mut self.file else { return };
        let left = usize::try_from(spill.written - spill.read).unwrap_or(usize::MAX);
        self.memory.resize(left.min(MEMORY_BYTES_MAX), 0);
        match spill.file.read_at(&mut self.memory, spill.read) {
            Ok(count) if count > 0 => {
                self.memory.truncate(count);
                spill.read += count as u64;
            }
            // What the disk does not give back is lost; the client sees the end.
            _ => {
                self.memory.clear();
                spill.read = spill.written;
            }
        }
        if spill.read == spill.written {
            self.file = None;
        }
    }

    /// The first `count` bytes of `front` have been taken.
    pub fn take(&mut self, count: usize) {
        self.taken = (self.taken + count).min(self.memory.len());
        if self.is_empty() {
            self.clear();
        }
    }

    pub fn clear(&mut self) {
        self.memory = Vec::new();
        self.taken = 0;
        self.file = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(count: u32) -> Vec<u8> {
        (0..count).flat_map(u32::to_le_bytes).collect()
    }

    /// Take all there is, so many bytes at a time.
    fn drained(backlog: &mut Backlog, step: usize) -> Vec<u8> {
        let mut found = Vec::new();
        while !backlog.front().is_empty() {
            let count = backlog.front().len().min(step);
            found.extend_from_slice(&backlog.front()[..count]);
            backlog.take(count);
        }
        found
    }

    #[test]
    fn bytes_come_out_in_order_from_memory_and_file() {
        let bytes = numbers(1 << 19);
        for (chunk, step) in [
            (4096, 100_000),
            (65_536, 65_536),
            (300_000, 7_777),
            (1 << 21, 1 << 20),
        ] {
            let mut backlog = Backlog::new(&std::env::temp_dir());
            for part in bytes.chunks(chunk) {
                assert!(backlog.push(part));
            }
            assert_eq!(backlog.len(), bytes.len() as u64);
            assert!(backlog.file.is_some(), "2 MiB are too much for memory");
            assert!(backlog.memory.capacity() <= 2 * MEMORY_BYTES_MAX);
            assert!(drained(&mut backlog, step) == bytes, "{chunk} {step}");
            assert!(backlog.is_empty() && backlog.file.is_none());
            assert_eq!(backlog.memory.capacity(), 0);
        }
    }

    #[test]
    fn what_comes_while_some_is_taken_stays_behind_it() {
        let bytes = numbers(1 << 19);
        let mut backlog = Backlog::new(&std::env::temp_dir());
        let mut found = Vec::new();
        for part in bytes.chunks(50_000) {
            assert!(backlog.push(part));
            let count = backlog.front().len().min(20_000);
            found.extend_from_slice(&backlog.front()[..count]);
            backlog.take(count);
        }
        found.extend(drained(&mut backlog, 99_999));
        assert!(found == bytes);
    }

    #[test]
    fn a_disk_that_takes_nothing_is_told() {
        let mut backlog = Backlog::new(Path::new("/nonexistent"));
        assert!(backlog.push(&[0; MEMORY_BYTES_MAX]));
        assert!(!backlog.push(b"more"));
        assert_eq!(backlog.len(), MEMORY_BYTES_MAX as u64);
    }
}
