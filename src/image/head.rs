//! Writes the heads of tar entries: ustar, with PAX records for what that has no room for.

use crate::image::archive::{BLOCK, Entry, Kind, padding};
use crate::sys::fs::ModifiedAt;

/// The two blocks of zeros that end an archive.
pub const END: [u8; 2 * BLOCK] = [0; 2 * BLOCK];

/// The largest numbers that the octal digits of a header hold.
const ID_MAX: i64 = 0o777_7777;
const SIZE_MAX: u64 = 0o777_7777_7777;

/// All that stands before an entry's data. The same entry gives the same bytes.
pub fn head(entry: &Entry) -> Vec<u8> {
    let records = records(entry);
    let mut bytes = Vec::with_capacity(BLOCK);
    if !records.is_empty() {
        let size = records.len() as u64;
        let about = Entry {
            path: [b"PaxHeaders.0/", &last(&entry.path)[..]].concat(),
            link: Vec::new(),
            kind: Kind::File,
            mode: 0o644,
            uid: 0,
            gid: 0,
            modified: ModifiedAt::default(),
            size,
            is_sparse: false,
            device: (0, 0),
            attributes: Vec::new(),
        };
        bytes.extend(block(&about, b'x'));
        bytes.extend(records);
        bytes.resize(bytes.len() + padding(size) as usize, 0);
    }
    bytes.extend(block(
        entry,
        match entry.kind {
            Kind::File => b'0',
            Kind::HardLink => b'1',
            Kind::Symlink => b'2',
            Kind::CharDevice => b'3',
            Kind::BlockDevice => b'4',
            Kind::Directory => b'5',
            Kind::Fifo => b'6',
        },
    ));
    bytes
}

/// The name without the directories.
fn last(path: &[u8]) -> Vec<u8> {
    let name = path.strip_suffix(b"/").unwrap_or(path);
    name.rsplit(|byte| *byte == b'/')
        .next()
        .unwrap_or_default()
        .to_vec()
}

/// One header. What does not fit is cut or 0, and stands in a record.
fn block(entry: &Entry, kind: u8) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    let mut put = |at: usize, room: usize, bytes: &[u8]| {
        let count = bytes.len().min(room);
        block[at..at + count].copy_from_slice(&bytes[..count]);
    };
    let octal = |value: u64, max: u64, digits: usize| {
        let value = if value > max { 0 } else { value };
        format!("{value:0digits$o}").into_bytes()
    };
    let id = |id: i64| octal(u64::try_from(id).unwrap_or(0), ID_MAX as u64, 7);
    let seconds = u64::try_from(entry.modified.seconds).unwrap_or(0);
    put(0, 100, &entry.path);
    put(100, 8, &octal(entry.mode.into(), ID_MAX as u64, 7));
    put(108, 8, &id(entry.uid));
    put(116, 8, &id(entry.gid));
    put(124, 12, &octal(entry.size, SIZE_MAX, 11));
    put(136, 12, &octal(seconds, SIZE_MAX, 11));
    put(148, 8, b"        ");
    put(156, 1, &[kind]);
    put(157, 100, &entry.link);
    put(257, 8, b"ustar\x0000");
    put(329, 8, &id(entry.device.0));
    put(337, 8, &id(entry.device.1));
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
    block
}

/// PAX records: `LENGTH KEY=VALUE\n`.
fn records(entry: &Entry) -> Vec<u8> {
    let mut records = Vec::new();
    let is_long = |text: &[u8]| text.len() > 100 || !text.is_ascii();
    if is_long(&entry.path) {
        record(&mut records, b"path", &entry.path);
    }
    if is_long(&entry.link) {
        record(&mut records, b"linkpath", &entry.link);
    }
    if entry.size > SIZE_MAX {
        record(&mut records, b"size", entry.size.to_string().as_bytes());
    }
    for (key, id) in [(&b"uid"[..], entry.uid), (b"gid", entry.gid)] {
        if id > ID_MAX {
            record(&mut records, key, id.to_string().as_bytes());
        }
    }
    let ModifiedAt { seconds, nanos } = entry.modified;
    if nanos != 0 || !(0..=SIZE_MAX as i64).contains(&seconds) {
        record(&mut records, b"mtime", time(entry.modified).as_bytes());
    }
    for (name, value) in &entry.attributes {
        record(&mut records, &[b"SCHILY.xattr.", &name[..]].concat(), value);
    }
    records
}

fn record(records: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    // The length counts its own digits.
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    records.extend(format!("{length} ").into_bytes());
    records.extend(key);
    records.push(b'=');
    records.extend(value);
    records.push(b'\n');
}

/// The kernel counts nanoseconds forward from the second before; decimals go away from zero.
fn time(at: ModifiedAt) -> String {
    let (sign, seconds, nanos) = match (at.seconds < 0, at.nanos) {
        (true, 0) => ("-", at.seconds.unsigned_abs(), 0),
        (true, nanos) => ("-", at.seconds.unsigned_abs() - 1, 1_000_000_000 - nanos),
        (false, nanos) => ("", at.seconds.unsigned_abs(), nanos),
    };
    match nanos {
        0 => format!("{sign}{seconds}"),
        nanos => format!("{sign}{seconds}.{nanos:09}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::archive::Archive;
    use crate::image::source::Input;

    fn entry() -> Entry {
        Entry {
            path: b"dir/file".to_vec(),
            link: Vec::new(),
            kind: Kind::Fifo,
            mode: 0o6755,
            uid: 0,
            gid: 0,
            modified: ModifiedAt::default(),
            size: 0,
            is_sparse: false,
            device: (0, 0),
            attributes: Vec::new(),
        }
    }

    /// What our own reader makes of it.
    fn read_back(entry: &Entry) -> Entry {
        let bytes = [&head(entry)[..], &END].concat();
        let mut data = &bytes[..];
        let mut input = Input(&mut data);
        Archive::new(&mut input).next().unwrap().unwrap()
    }

    #[test]
    fn what_is_written_is_read_again() {
        for seconds in [0, 1_700_000_000, -1, -86_400, 1 << 40] {
            for nanos in [0, 1, 500_000_000] {
                let modified = ModifiedAt { seconds, nanos };
                let read = read_back(&Entry {
                    modified,
                    ..entry()
                });
                assert_eq!(read.modified, modified);
            }
        }
        for length in [1, 80, 86, 87, 99, 100, 101, 990, 5000] {
            let long = Entry {
                path: b"p".repeat(length),
                link: b"/l".repeat(length),
                kind: Kind::Symlink,
                uid: 4_294_967_294,
                gid: 2_097_151,
                attributes: vec![(b"security.capability".to_vec(), b"\n\0=\xff".to_vec())],
                ..entry()
            };
            let read = read_back(&long);
            assert_eq!(read.path, long.path);
            assert_eq!((read.link, read.mode), (long.link, 0o6755));
            assert_eq!((read.uid, read.gid), (long.uid, long.gid));
            assert_eq!(read.attributes, long.attributes);
        }
        let device = read_back(&Entry {
            kind: Kind::CharDevice,
            device: (4095, 1_048_575),
            ..entry()
        });
        assert_eq!(device.device, (4095, 1_048_575));
    }

    #[test]
    fn a_plain_entry_is_one_block() {
        assert_eq!(head(&entry()).len(), BLOCK);
    }
}
