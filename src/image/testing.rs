//! For tests: archives made by hand, and what a tree on the disk looks like.

use crate::image::source::sha256;
use crate::store::staging::Staging;
use rustix::fs::{AtFlags, FileType};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};

pub fn scratch() -> Staging {
    Staging::new(&std::env::temp_dir()).unwrap()
}

/// Devices, owners and trusted attributes are root's to make. False, aloud, if we are not.
pub fn is_root(test: &str) -> bool {
    let is_root = rustix::process::geteuid().is_root();
    if !is_root {
        println!("skip: {test}: needs root");
    }
    is_root
}

/// A tar archive in the making. Entries are ustar, with what the last `header` says.
#[derive(Clone, Default)]
pub struct Tar {
    bytes: Vec<u8>,
    pub mode: u32,
    pub uid: u32,
    pub mtime: u64,
}

impl Tar {
    pub fn new() -> Tar {
        Tar {
            mode: 0o644,
            ..Tar::default()
        }
    }

    pub fn with_mode(mut self, mode: u32) -> Tar {
        self.mode = mode;
        self
    }

    pub fn entry(self, kind: u8, path: &str, link: &str, data: &[u8]) -> Tar {
        self.header(kind, path.as_bytes(), link, data, ["0", "0"])
    }

    pub fn header(
        mut self,
        kind: u8,
        path: &[u8],
        link: &str,
        data: &[u8],
        device: [&str; 2],
    ) -> Tar {
        let mut block = [0u8; 512];
        let mut put = |at: usize, bytes: &[u8]| block[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, path);
        put(100, format!("{:07o}", self.mode).as_bytes());
        put(108, format!("{:07o}", self.uid).as_bytes());
        put(116, format!("{:07o}", self.uid).as_bytes());
        put(124, format!("{:011o}", data.len()).as_bytes());
        put(136, format!("{:011o}", self.mtime).as_bytes());
        put(156, &[kind]);
        put(157, link.as_bytes());
        put(257, b"ustar\x0000");
        put(329, device[0].as_bytes());
        put(337, device[1].as_bytes());
        put(148, b"        ");
        let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
        block[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
        self.bytes.extend(block);
        self.bytes.extend(data);
        let padding = data.len().wrapping_neg() % 512;
        self.bytes.extend(vec![0; padding]);
        self
    }

    pub fn pax(self, records: &[(&str, &[u8])]) -> Tar {
        let mut data = Vec::new();
        for (key, value) in records {
            let rest = key.len() + value.len() + 3;
            let length = (rest..).find(|n| n.to_string().len() + rest == *n).unwrap();
            data.extend(format!("{length} {key}=").as_bytes());
            data.extend(*value);
            data.push(b'\n');
        }
        self.entry(b'x', "pax", "", &data)
    }

    pub fn file(self, path: &str, data: &str) -> Tar {
        self.entry(b'0', path, "", data.as_bytes())
    }

    pub fn dir(self, path: &str) -> Tar {
        let mode = self.mode;
        let mut tar = self.with_mode(0o755).entry(b'5', path, "", b"");
        tar.mode = mode;
        tar
    }

    pub fn symlink(self, path: &str, target: &str) -> Tar {
        self.entry(b'2', path, target, b"")
    }

    pub fn hard(self, path: &str, target: &str) -> Tar {
        self.entry(b'1', path, target, b"")
    }

    pub fn end(self) -> Vec<u8> {
        let mut bytes = self.bytes;
        bytes.extend([0; 1024]);
        bytes
    }

    pub fn without_end(self) -> Vec<u8> {
        self.bytes
    }
}

/// All that lies below `root`, a line each: path, kind, mode, owner, size, time, content, attributes.
pub fn tree(root: &Path) -> Vec<String> {
    let mut lines = Vec::new();
    let mut links = BTreeMap::new();
    let mut pending = vec![root.to_path_buf()];
    let mut paths: Vec<PathBuf> = Vec::new();
    while let Some(dir) = pending.pop() {
        for entry in std::fs::read_dir(dir).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_dir() {
                pending.push(entry.path());
            }
            paths.push(entry.path());
        }
    }
    paths.sort();
    for path in paths {
        let stat = rustix::fs::statat(rustix::fs::CWD, &path, AtFlags::SYMLINK_NOFOLLOW).unwrap();
        let kind = FileType::from_raw_mode(stat.st_mode);
        let name = path.strip_prefix(root).unwrap();
        let mut line = format!(
            "{name:?} {:o} {}:{}",
            stat.st_mode, stat.st_uid, stat.st_gid
        );
        write!(line, " {}.{}", stat.st_mtime, stat.st_mtime_nsec).unwrap();
        match kind {
            FileType::RegularFile => {
                let content = std::fs::read(&path).unwrap();
                write!(line, " {} {}", stat.st_size, &sha256(&content)[..16]).unwrap();
            }
            FileType::Symlink => write!(line, " -> {:?}", path.read_link().unwrap()).unwrap(),
            FileType::CharacterDevice | FileType::BlockDevice => {
                write!(line, " dev {:x}", stat.st_rdev).unwrap();
            }
            _ => {}
        }
        if kind != FileType::Directory && stat.st_nlink > 1 {
            let first = links
                .entry(stat.st_ino)
                .or_insert_with(|| name.to_path_buf());
            write!(line, " is {first:?}").unwrap();
        }
        for (key, value) in attributes(&path) {
            write!(line, " {key}={value:?}").unwrap();
        }
        lines.push(line);
    }
    lines
}

pub fn attributes(path: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut names = vec![0u8; 64 << 10];
    let length = rustix::fs::llistxattr(path, &mut names[..]).unwrap_or(0);
    let mut found = BTreeMap::new();
    for name in names[..length].split(|byte| *byte == 0) {
        let mut value = vec![0u8; 64 << 10];
        let name = String::from_utf8_lossy(name).into_owned();
        if let Ok(length) = rustix::fs::lgetxattr(path, &name[..], &mut value[..]) {
            value.truncate(length);
            found.insert(name, value);
        }
    }
    found
}

/// The names below `root`, for tests that look at no more than that.
pub fn names(root: &Path) -> Vec<String> {
    let name = |line: String| line.split('"').nth(1).unwrap_or_default().to_string();
    tree(root).into_iter().map(name).collect()
}

pub fn is_whiteout(path: &Path) -> bool {
    rustix::fs::lstat(path).is_ok_and(|stat| {
        FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice && stat.st_rdev == 0
    })
}
