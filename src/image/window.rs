//! Spares the memory of a small machine while a layer is written: what was written goes to the disk a
//! window at a time, and the window before leaves the page cache, where it would drive out what others
//! need. So the sync at the end is short, too.
//!
//! Small files are left to the kernel: they are many, and few of the bytes.

use crate::sys::cache;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

const WINDOW_BYTES: u64 = 8 << 20;
/// Below this a file is small. So a window has at most 32 of them open.
const SMALL_BYTES: u64 = 256 << 10;

#[derive(Default)]
pub struct Window {
    /// Files that are written, and the bytes at their ends that no call below has spoken of.
    now: Vec<OwnedFd>,
    bytes: u64,
    /// Those that are on their way to the disk.
    before: Vec<OwnedFd>,
}

impl Window {
    /// The last `count` bytes before `end` of a file have been written.
    pub fn grow(file: BorrowedFd<'_>, end: u64, count: u64) {
        let windows = end / WINDOW_BYTES;
        if windows == (end - count) / WINDOW_BYTES {
            return;
        }
        let begin = (windows - 1) * WINDOW_BYTES;
        cache::write_out(file, begin, WINDOW_BYTES);
        if let Some(begin) = begin.checked_sub(WINDOW_BYTES) {
            cache::let_go(file, begin, WINDOW_BYTES);
        }
    }

    /// A file is complete.
    pub fn add(&mut self, file: OwnedFd, size: u64) {
        if size < SMALL_BYTES {
            return;
        }
        self.now.push(file);
        self.bytes += (size % WINDOW_BYTES).max(SMALL_BYTES);
        if self.bytes < WINDOW_BYTES {
            return;
        }
        self.bytes = 0;
        for file in &self.now {
            cache::write_out(file.as_fd(), 0, 0);
        }
        for file in &self.before {
            cache::let_go(file.as_fd(), 0, 0);
        }
        self.before = std::mem::take(&mut self.now);
    }
}
