//! An empty ext4 written into a file, so that a size can be set without mkfs(8).
//!
//! What is asked for is what files and directories may take: tables and journal come on top, and
//! `df` inside shows the number that was asked for. The file is sparse. It takes from the disk what
//! is written here, some ten blocks, and later what the kernel writes.
//!
//! ```text
//! group 0:  superblock | descriptors | bitmaps | inode table | journal | / | free
//! others:                              bitmaps | inode table | free
//! ```
//!
//! Everything stands at the front of its group, so a bitmap is one run of ones, and but for the first
//! and the last group the kernel makes it when it first needs it (`uninit_bg`; Linux, Documentation/
//! filesystems/ext4). A journal, as the power may fail. No copies of the superblock, which are of use
//! on a disk and not in a file; no checksums but those of the descriptors, which `uninit_bg` wants; no
//! /lost+found, which e2fsck makes when it has something to put there.

use crate::error::{Error, Result};
use std::fs::File;
use std::ops::RangeInclusive;
use std::os::unix::fs::FileExt;

/// A few directories fit; block numbers have 32 bits here, and files on most disks 44.
pub const BYTES: RangeInclusive<u64> = 64 << 10..=15 << 40;

/// Below, blocks are small, that the journal is too: it has 1024 of them at least
/// (JBD2_MIN_JOURNAL_BLOCKS).
const SMALL_BYTES: u64 = 64 << 20;
const MEDIUM_BYTES: u64 = 1 << 30;

const INODE_BYTES: u32 = 256;
/// Of each group: one inode for four blocks.
const TABLE_BLOCKS: u32 = 512;
/// The table, and two bitmaps.
const GROUP_BLOCKS: u32 = TABLE_BLOCKS + 2;
const DESCRIPTOR_BYTES: usize = 32;
const JOURNAL_INODE: u32 = 8;
/// Those below are reserved.
const FIRST_INODE: u32 = 11;
const ROOT_INODE: u32 = 2;

const INODE_UNINIT: u16 = 1;
const BLOCK_UNINIT: u16 = 2;
/// A file in which nobody has written reads as zeros.
const TABLE_ZEROED: u16 = 4;

/// Where everything is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Layout {
    block_bytes: u32,
    /// Of the whole file.
    blocks: u32,
    groups: u32,
    last_group_blocks: u32,
    descriptor_blocks: u32,
    journal_blocks: u32,
}

impl Layout {
    fn of(bytes: u64) -> Result<Layout> {
        if !BYTES.contains(&bytes) {
            return Err(Error::invalid(format!("no file system of {bytes} bytes")));
        }
        let block_bytes = if bytes < SMALL_BYTES { 1024 } else { 4096 };
        let journal_blocks = if bytes < MEDIUM_BYTES { 1024 } else { 4096 };
        let wanted = bytes.div_ceil(block_bytes.into());
        let in_group = u64::from(block_bytes * 8 - GROUP_BLOCKS);
        let mut groups = 1;
        loop {
            let descriptor_blocks = (groups * DESCRIPTOR_BYTES as u64).div_ceil(block_bytes.into());
            let fixed = 1 + descriptor_blocks + journal_blocks;
            let missing = (wanted + fixed).saturating_sub(groups * in_group);
            if missing > 0 {
                groups += (missing / in_group).max(1);
                continue;
            }
            // Less than a group holds.
            let surplus = groups * in_group - fixed - wanted;
            let blocks = groups * u64::from(block_bytes) * 8 - surplus;
            return Ok(Layout {
                block_bytes,
                blocks: blocks as u32 + first_block(block_bytes),
                groups: groups as u32,
                last_group_blocks: block_bytes * 8 - surplus as u32,
                descriptor_blocks: descriptor_blocks as u32,
                journal_blocks: journal_blocks as u32,
            });
        }
    }

    fn blocks_per_group(&self) -> u32 {
        self.block_bytes * 8
    }

    fn inodes_per_group(&self) -> u32 {
        TABLE_BLOCKS * (self.block_bytes / INODE_BYTES)
    }

    fn group_blocks(&self, group: u32) -> u32 {
        match group + 1 == self.groups {
            true => self.last_group_blocks,
            false => self.blocks_per_group(),
        }
    }

    /// The first of a group's own blocks: one bitmap of blocks, one of inodes, the inode table.
    fn own_blocks(&self, group: u32) -> u32 {
        let start = first_block(self.block_bytes) + group * self.blocks_per_group();
        match group {
            0 => start + 1 + self.descriptor_blocks,
            _ => start,
        }
    }

    fn journal(&self) -> u32 {
        self.own_blocks(0) + GROUP_BLOCKS
    }

    fn root(&self) -> u32 {
        self.journal() + self.journal_blocks
    }

    /// How many blocks of a group are used: those at its front.
    fn used_blocks(&self, group: u32) -> u32 {
        match group {
            0 => self.root() + 1 - first_block(self.block_bytes),
            _ => GROUP_BLOCKS,
        }
    }

    fn free_blocks(&self) -> u32 {
        let used = self.used_blocks(0) + (self.groups - 1) * GROUP_BLOCKS;
        self.blocks - first_block(self.block_bytes) - used
    }
}

/// The first 1024 bytes are for boot loaders: a block of their own, where blocks are small.
fn first_block(block_bytes: u32) -> u32 {
    u32::from(block_bytes == 1024)
}

/// Make `file`, which is empty, a file system for `bytes`. `uuid` is random.
pub fn write(file: &File, bytes: u64, uuid: [u8; 16]) -> Result<()> {
    let layout = Layout::of(bytes)?;
    let put = || {
        file.set_len(u64::from(layout.blocks) * u64::from(layout.block_bytes))?;
        let to = Target { file, layout };
        to.descriptors(uuid)?;
        to.bitmaps()?;
        to.inodes()?;
        to.contents(uuid)?;
        // Last: without it this is no file system.
        file.write_all_at(&superblock(&layout, uuid), 1024)
    };
    put().map_err(|e| Error::io("make file system", &e))
}

/// The unit in which the file system in `file` can be read and written, where it is that of most disks;
/// else 0.
pub fn unit_bytes(file: &File) -> u32 {
    let mut log_block = [0];
    match file.read_exact_at(&mut log_block, 1024 + 24) {
        Ok(()) if log_block == [2] => 4096,
        _ => 0,
    }
}

struct Target<'a> {
    file: &'a File,
    layout: Layout,
}

impl Target<'_> {
    fn put(&self, block: u32, bytes: &[u8]) -> std::io::Result<()> {
        let at = u64::from(block) * u64::from(self.layout.block_bytes);
        self.file.write_all_at(bytes, at)
    }

    /// A block of the table of groups after the other: of a large one it is megabytes.
    fn descriptors(&self, uuid: [u8; 16]) -> std::io::Result<()> {
        let layout = &self.layout;
        let in_block = layout.block_bytes / DESCRIPTOR_BYTES as u32;
        for n in 0..layout.descriptor_blocks {
            let mut block = Vec::new();
            let end = layout.groups.min((n + 1) * in_block);
            for group in n * in_block..end {
                block.extend(descriptor(layout, group, uuid));
            }
            self.put(first_block(layout.block_bytes) + 1 + n, &block)?;
        }
        Ok(())
    }

    fn bitmaps(&self) -> std::io::Result<()> {
        let layout = &self.layout;
        let all = layout.blocks_per_group();
        let inodes = bitmap(all, FIRST_INODE - 1, layout.inodes_per_group());
        self.put(layout.own_blocks(0) + 1, &inodes)?;
        for group in [0, layout.groups - 1] {
            let blocks = bitmap(all, layout.used_blocks(group), layout.group_blocks(group));
            self.put(layout.own_blocks(group), &blocks)?;
        }
        Ok(())
    }

    fn inodes(&self) -> std::io::Result<()> {
        let layout = &self.layout;
        let table = u64::from(layout.own_blocks(0) + 2) * u64::from(layout.block_bytes);
        for (number, inode) in [
            (ROOT_INODE, inode(layout, 0o040_755, 2, layout.root(), 1)),
            (
                JOURNAL_INODE,
                inode(
                    layout,
                    0o100_600,
                    1,
                    layout.journal(),
                    layout.journal_blocks,
                ),
            ),
        ] {
            let at = table + u64::from((number - 1) * INODE_BYTES);
            self.file.write_all_at(&inode, at)?;
        }
        Ok(())
    }

    fn contents(&self, uuid: [u8; 16]) -> std::io::Result<()> {
        let layout = &self.layout;
        self.put(layout.root(), &root_directory(layout))?;
        self.put(layout.journal(), &journal(layout, uuid))
    }
}

/// A record of fixed size, little endian.
struct Record<const N: usize>([u8; N]);

impl<const N: usize> Record<N> {
    fn put<const M: usize>(&mut self, at: usize, value: [u8; M]) {
        if let Some(place) = self.0.get_mut(at..at + M) {
            place.copy_from_slice(&value);
        }
    }

    fn words(&mut self, values: &[(usize, u32)]) {
        for (at, value) in values {
            self.put(*at, value.to_le_bytes());
        }
    }

    fn halves(&mut self, values: &[(usize, u16)]) {
        for (at, value) in values {
            self.put(*at, value.to_le_bytes());
        }
    }
}

/// `struct ext4_super_block`.
fn superblock(layout: &Layout, uuid: [u8; 16]) -> [u8; 1024] {
    // HAS_JOURNAL EXT_ATTR DIR_INDEX SPARSE_SUPER2: the last is for having no copy anywhere.
    const COMPATIBLE: u32 = 0x4 | 0x8 | 0x20 | 0x200;
    // FILETYPE EXTENTS.
    const INCOMPATIBLE: u32 = 0x2 | 0x40;
    // LARGE_FILE HUGE_FILE GDT_CSUM DIR_NLINK EXTRA_ISIZE.
    const READ_COMPATIBLE: u32 = 0x2 | 0x8 | 0x10 | 0x20 | 0x40;
    // XATTR_USER ACL DISCARD: freed blocks go back to the disk below, whoever mounts it.
    const MOUNT_OPTIONS: u32 = 0x4 | 0x8 | 0x400;
    const REMOUNT_READ_ONLY: u16 = 2;

    let inodes = layout.groups * layout.inodes_per_group();
    let log_block = layout.block_bytes.ilog2() - 10;
    let mut record = Record([0; 1024]);
    record.words(&[
        (0, inodes),
        (4, layout.blocks),
        (12, layout.free_blocks()),
        (16, inodes - (FIRST_INODE - 1)),
        (20, first_block(layout.block_bytes)),
        (24, log_block),
        (28, log_block),
        (32, layout.blocks_per_group()),
        (36, layout.blocks_per_group()),
        (40, layout.inodes_per_group()),
        (76, 1),
        (84, FIRST_INODE),
        (92, COMPATIBLE),
        (96, INCOMPATIBLE),
        (100, READ_COMPATIBLE),
        (224, JOURNAL_INODE),
        (256, MOUNT_OPTIONS),
    ]);
    record.halves(&[
        // No check by the number of mounts; the magic number; clean.
        (54, u16::MAX),
        (56, 0xef53),
        (58, 1),
        (60, REMOUNT_READ_ONLY),
        (88, INODE_BYTES as u16),
        (348, 32),
        (350, 32),
    ]);
    record.put(104, uuid);
    // The seed of directories' hashes, which are those called half_md4.
    record.put(236, uuid);
    record.put(252, [1]);
    record.0
}

/// `struct ext4_group_desc`, the short one.
fn descriptor(layout: &Layout, group: u32, uuid: [u8; 16]) -> [u8; DESCRIPTOR_BYTES] {
    let own = layout.own_blocks(group);
    let used_inodes = if group == 0 { FIRST_INODE - 1 } else { 0 };
    let free_inodes = (layout.inodes_per_group() - used_inodes) as u16;
    let free_blocks = (layout.group_blocks(group) - layout.used_blocks(group)) as u16;
    let flags = match group {
        0 => TABLE_ZEROED,
        last if last + 1 == layout.groups => TABLE_ZEROED | INODE_UNINIT,
        _ => TABLE_ZEROED | INODE_UNINIT | BLOCK_UNINIT,
    };
    let mut record = Record([0; DESCRIPTOR_BYTES]);
    record.words(&[(0, own), (4, own + 1), (8, own + 2)]);
    record.halves(&[
        (12, free_blocks),
        (14, free_inodes),
        (16, u16::from(group == 0)),
        (18, flags),
        (28, free_inodes),
    ]);
    let sum = crc16(u16::MAX, &uuid);
    let sum = crc16(sum, &group.to_le_bytes());
    let sum = crc16(sum, &record.0[..30]);
    record.halves(&[(30, sum)]);
    record.0
}

/// CRC-16 of ANSI (Linux, lib/crc16.c).
fn crc16(start: u16, bytes: &[u8]) -> u16 {
    bytes.iter().fold(start, |sum, byte| {
        (0..8).fold(sum ^ u16::from(*byte), |sum, _| match sum & 1 {
            0 => sum >> 1,
            _ => sum >> 1 ^ 0xa001,
        })
    })
}

/// Of `bits` bits, the first `used` are set, and those from `end` on, which stand for nothing.
fn bitmap(bits: u32, used: u32, end: u32) -> Vec<u8> {
    let mut bytes = vec![0; bits as usize / 8];
    for bit in (0..used).chain(end..bits) {
        if let Some(byte) = bytes.get_mut(bit as usize / 8) {
            *byte |= 1 << (bit % 8);
        }
    }
    bytes
}

/// `struct ext4_inode`, with one extent.
fn inode(layout: &Layout, mode: u16, links: u16, start: u32, blocks: u32) -> [u8; 256] {
    const EXTENTS: u32 = 0x8_0000;
    let bytes = blocks * layout.block_bytes;
    let mut record = Record([0; INODE_BYTES as usize]);
    record.words(&[(4, bytes), (28, bytes / 512), (32, EXTENTS), (60, start)]);
    // The head of the extents: magic number, how many there are, how many fit. One covers all.
    record.halves(&[
        (0, mode),
        (26, links),
        (40, 0xf30a),
        (42, 1),
        (44, 4),
        (56, blocks as u16),
        (128, 32),
    ]);
    record.0
}

/// `struct ext4_dir_entry_2`: `.`, and `..`, which takes the rest of the block.
fn root_directory(layout: &Layout) -> [u8; 24] {
    const DIRECTORY: u8 = 2;
    let mut record = Record([0; 24]);
    record.words(&[(0, ROOT_INODE), (12, ROOT_INODE)]);
    record.halves(&[(4, 12), (16, layout.block_bytes as u16 - 12)]);
    record.put(6, [1, DIRECTORY, b'.']);
    record.put(18, [2, DIRECTORY, b'.', b'.']);
    record.0
}

/// `struct journal_superblock_s`, big endian, of a journal with nothing in it.
fn journal(layout: &Layout, uuid: [u8; 16]) -> [u8; 1024] {
    let mut record = Record([0; 1024]);
    for (at, value) in [
        // Magic number, superblock of version 2.
        (0, 0xc03b_3998),
        (4, 4),
        (12, layout.block_bytes),
        (16, layout.journal_blocks),
        // The first block of the log, the first number of a transaction.
        (20, 1),
        (24, 1),
        // One file system uses it.
        (64, 1),
    ] {
        record.put(at, u32::to_be_bytes(value));
    }
    record.put(48, uuid);
    record.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::staging::Staging;
    use std::os::unix::fs::MetadataExt;
    use std::process::Command;

    const UUID: [u8; 16] = *b"0123456789abcdef";

    /// Around each step of the layout: blocks, journal, groups, blocks of descriptors.
    const SIZES: [u64; 20] = [
        *BYTES.start(),
        1 << 20,
        (5 << 20) + 1,
        6 << 20,
        7 << 20,
        33 << 20,
        (64 << 20) - 1,
        64 << 20,
        100 << 20,
        121 << 20,
        126 << 20,
        (1 << 30) - 4096,
        1 << 30,
        10 << 30,
        (16 << 30) - 1,
        20 << 30,
        100 << 30,
        1 << 40,
        5 << 40,
        *BYTES.end(),
    ];

    #[test]
    fn what_was_asked_for_is_free_in_each_size() {
        for bytes in SIZES.into_iter().chain((1..4000u64).map(|n| n * 100_003)) {
            let layout = Layout::of(bytes).unwrap();
            let free = u64::from(layout.free_blocks()) * u64::from(layout.block_bytes);
            let root = u64::from(layout.block_bytes);
            let size = bytes.next_multiple_of(layout.block_bytes.into());
            assert_eq!(free + root, size);
            assert!(layout.last_group_blocks >= layout.used_blocks(layout.groups - 1));
            assert!(layout.last_group_blocks <= layout.blocks_per_group());
            let inodes = u64::from(layout.groups) * u64::from(layout.inodes_per_group());
            assert!(u32::try_from(inodes).is_ok(), "{bytes}");
        }
        for bytes in [0, BYTES.start() - 1, BYTES.end() + 1, u64::MAX] {
            let error = Layout::of(bytes).unwrap_err();
            assert!(error.message.contains("no file system of"), "{error}");
        }
    }

    #[test]
    fn e2fsck_finds_nothing_to_mend_in_any_size() {
        let dir = Staging::new(&std::env::temp_dir()).unwrap();
        for bytes in SIZES {
            let path = dir.path().join("disk");
            let file = File::create(&path).unwrap();
            // A disk of some kinds holds no file so large.
            let Ok(()) = write(&file, bytes, UUID) else {
                println!("skip: no file for {bytes} bytes in {}", path.display());
                continue;
            };
            let taken = file.metadata().unwrap().blocks() * 512;
            assert!(taken < 100_000 + bytes / 1_000_000, "{taken} for {bytes}");
            // Checking the largest takes minutes, and finds nothing else.
            if bytes > 2 << 40 {
                continue;
            }
            let check = Command::new("e2fsck")
                .args(["-f", "-n"])
                .arg(&path)
                .output();
            let Ok(check) = check else {
                println!("skip: e2fsck_finds_nothing_to_mend_in_any_size: no e2fsck");
                return;
            };
            let said = String::from_utf8_lossy(&check.stdout).into_owned();
            let complaint = String::from_utf8_lossy(&check.stderr).into_owned();
            assert_eq!(check.status.code(), Some(0), "{bytes}: {said}{complaint}");
            assert!(!said.contains('?'), "{bytes}: {said}");
        }
    }

    /// As in the Linux sources' test vector of the algorithm.
    #[test]
    fn the_checksum_is_the_ansi_one() {
        assert_eq!(crc16(0, b"123456789"), 0xbb3d);
    }
}
