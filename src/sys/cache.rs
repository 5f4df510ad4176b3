//! The page cache of files that are written: what is to go to the disk now, and what nobody needs in
//! memory. Both are advice; where a file system has no ear for it nothing is lost.

use rustix::fs::{Advice, fadvise};
use std::num::NonZeroU64;
use std::os::fd::{AsRawFd, BorrowedFd};

/// sync_file_range(2).
const WAIT_BEFORE: u32 = 1;
const WRITE: u32 = 2;
const WAIT_AFTER: u32 = 4;

unsafe extern "C" {
    // libc knows the order of arguments that 32-bit ARM has for it.
    fn sync_file_range(file: i32, offset: i64, length: i64, flags: u32) -> i32;
}

/// Begin to write out a part of `file`; a length of 0 means to its end.
pub fn write_out(file: BorrowedFd<'_>, offset: u64, length: u64) {
    range(file, offset, length, WRITE);
}

/// Wait until that part is on the disk, and drop it from memory.
pub fn let_go(file: BorrowedFd<'_>, offset: u64, length: u64) {
    range(file, offset, length, WAIT_BEFORE | WRITE | WAIT_AFTER);
    let _ = fadvise(file, offset, NonZeroU64::new(length), Advice::DontNeed);
}

fn range(file: BorrowedFd<'_>, offset: u64, length: u64, flags: u32) {
    let [offset, length] = [offset, length].map(|number| number.cast_signed());
    // SAFETY: the descriptor is open as long as it is borrowed; no memory is involved.
    unsafe { sync_file_range(file.as_raw_fd(), offset, length, flags) };
}
