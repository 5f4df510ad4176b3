//! Memory that goes back to the kernel: an allocator keeps what it once had, and so does a process
//! that once ran through much of its code.

use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap_anonymous, munmap};
use std::ffi::c_void;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;

/// Whole pages, zeroed, of a length that stays; none by default.
#[derive(Default)]
pub struct Pages {
    map: Option<NonNull<c_void>>,
    length: usize,
    /// In their place where the kernel gives none.
    heap: Vec<u8>,
}

// SAFETY: the mapping belongs to this value alone, like a Vec's memory.
unsafe impl Send for Pages {}

impl Pages {
    pub fn new(length: usize) -> Pages {
        let (protection, flags) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE);
        // SAFETY: a new anonymous mapping at an address of the kernel's choice overlaps nothing.
        let map = unsafe { mmap_anonymous(std::ptr::null_mut(), length, protection, flags) };
        let map = map.ok().and_then(NonNull::new);
        let heap = match map {
            Some(_) => Vec::new(),
            None => vec![0; length],
        };
        Pages { map, length, heap }
    }
}

impl Deref for Pages {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self.map {
            // SAFETY: the mapping has this length, is readable, zeroed at first and lives as long
            // as the value.
            Some(map) => unsafe { std::slice::from_raw_parts(map.as_ptr().cast(), self.length) },
            None => &self.heap,
        }
    }
}

impl DerefMut for Pages {
    fn deref_mut(&mut self) -> &mut [u8] {
        match self.map {
            // SAFETY: as above; it is writable, and we are the only borrower.
            Some(map) => unsafe {
                std::slice::from_raw_parts_mut(map.as_ptr().cast(), self.length)
            },
            None => &mut self.heap,
        }
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        if let Some(map) = self.map {
            // SAFETY: it was mapped with this length, and no borrow outlives the value.
            let _ = unsafe { munmap(map.as_ptr(), self.length) };
        }
    }
}

unsafe extern "C" {
    /// Where the linker puts the first byte of the binary, and the end of its code.
    static __ehdr_start: u8;
    static etext: u8;
}

/// Let go of the binary's code and constants, for a process that will sleep for long. What it runs
/// next comes back from the page cache, in a few faults; until then the kernel may take the pages
/// for something else without looking through our tables.
pub fn forget_code() {
    const PAGE: usize = 4096;
    let from = (&raw const __ehdr_start) as usize & !(PAGE - 1);
    let to = (&raw const etext) as usize & !(PAGE - 1);
    // SAFETY: between these two lies nothing but read-only mappings of a file, where DONTNEED changes
    // no content; data that is relocated or written comes behind the code (ld.lld, GNU ld).
    let _ = unsafe { madvise(from as *mut c_void, to - from, Advice::LinuxDontNeed) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forgotten_code_still_runs() {
        let before = format!("{}", 1.5 + f64::from(std::process::id()));
        forget_code();
        assert_eq!(format!("{}", 1.5 + f64::from(std::process::id())), before);
    }

    #[test]
    fn pages_hold_what_is_written_and_none_are_empty() {
        assert!(Pages::default().is_empty());
        let mut pages = Pages::new(10_000);
        assert_eq!(pages.len(), 10_000);
        assert!(pages.iter().all(|byte| *byte == 0));
        pages[9_999] = 7;
        assert_eq!(pages.last(), Some(&7));
    }
}
