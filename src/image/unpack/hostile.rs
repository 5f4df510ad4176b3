//! Archives that want too much, or say one thing to one reader and another to the next.

use super::tests::Cage;
use super::*;
use crate::image::testing::{Tar, attributes, is_root, scratch};
use std::fmt::Write;
use std::os::unix::fs::MetadataExt;
use std::process::Command;

/// The kernel has no name of more than 255 bytes, no path of more than 4096.
#[test]
fn names_that_are_too_long_are_refused() {
    let long = |length: usize| "n".repeat(length).into_bytes();
    let path = |path: &[u8]| Tar::new().pax(&[("path", path)]).file("f", "x");
    let link = |link: &[u8]| Tar::new().pax(&[("linkpath", link)]).symlink("f", "x");
    for (tar, is_good) in [
        (path(&long(255)), true),
        (path(&long(256)), false),
        (path(&long(64 << 10)), false),
        (path(format!("{}f", "d/".repeat(2000)).as_bytes()), true),
        (path(format!("{}f", "d/".repeat(40_000)).as_bytes()), false),
        (link(&long(4095)), true),
        (link(&long(4096)), false),
        (link(&long(64 << 10)), false),
        (path(&long(1 << 20)), false),
    ] {
        let cage = Cage::new();
        let outcome = cage.unpack_here(&tar.end());
        assert_eq!(outcome.is_ok(), is_good, "{outcome:?}");
        cage.check("long names");
    }
}

/// Capabilities are an attribute with zeros in it; the kernel takes 64 KiB of one at most.
#[test]
fn attributes_come_out_to_the_byte_or_not_at_all() {
    if !is_root("attributes_come_out_to_the_byte_or_not_at_all") {
        return;
    }
    let capability = b"\x01\0\0\x02\0\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    let large = vec![b'v'; 3000];
    let tar = Tar::new()
        .pax(&[
            ("SCHILY.xattr.security.capability", capability),
            ("SCHILY.xattr.user.large", &large),
            ("SCHILY.xattr.user.empty", b""),
        ])
        .with_mode(0o4755)
        .file("ping", "x");
    let cage = Cage::new();
    cage.unpack_here(&tar.end()).unwrap();
    let ping = cage.root().join("ping");
    let found = attributes(&ping);
    assert_eq!(found.get("security.capability").unwrap(), capability);
    assert_eq!(found.get("user.large"), Some(&large));
    assert_eq!(found.get("user.empty"), Some(&Vec::new()));
    // chown(2) would have taken both away, had it come last.
    assert_eq!(ping.metadata().unwrap().mode() & 0o7777, 0o4755);

    for length in [(64 << 10) + 1, 1 << 19] {
        let value = vec![b'v'; length];
        let tar = Tar::new().pax(&[("SCHILY.xattr.user.x", &value)]);
        let error = Cage::new()
            .unpack_here(&tar.file("f", "x").end())
            .unwrap_err();
        assert!(error.message.starts_with("unpack f: "), "{error}");
    }
    let name = format!("SCHILY.xattr.user.{}", "x".repeat(256));
    let tar = Tar::new().pax(&[(&name, b"v")]).file("f", "x");
    assert!(Cage::new().unpack_here(&tar.end()).is_err());
}

#[test]
fn users_groups_and_times_reach_to_their_ends() {
    if !is_root("users_groups_and_times_reach_to_their_ends") {
        return;
    }
    for (id, time) in [
        (0u32, "0"),
        (1 << 31, "2147483648.5"),
        (u32::MAX - 1, "4294967296"),
        (2_097_152, "-1.5"),
        (1, "15032385535"),
    ] {
        let text = id.to_string();
        let records = [
            ("uid", text.as_bytes()),
            ("gid", text.as_bytes()),
            ("mtime", time.as_bytes()),
        ];
        let tar = Tar::new().pax(&records).file("f", "x");
        let tar = tar.pax(&records).symlink("l", "f");
        let cage = Cage::new();
        cage.unpack_here(&tar.pax(&records).dir("d").end()).unwrap();
        for name in ["f", "l", "d"] {
            let meta = cage.root().join(name).symlink_metadata().unwrap();
            assert_eq!((meta.uid(), meta.gid()), (id, id), "{name}");
            let seconds: f64 = time.parse().unwrap();
            assert_eq!(meta.mtime(), seconds.floor() as i64, "{name}");
        }
    }
}

/// What a sparse file declares costs neither memory nor disk.
#[test]
fn a_file_of_holes_takes_no_space() {
    let tar = |size: &str, map: &str| {
        Tar::new()
            .pax(&[
                ("GNU.sparse.major", b"0"),
                ("GNU.sparse.minor", b"1"),
                ("GNU.sparse.name", b"holes"),
                ("GNU.sparse.size", size.as_bytes()),
                ("GNU.sparse.map", map.as_bytes()),
            ])
            .file("x", "abc")
    };
    let cage = Cage::new();
    cage.unpack_here(&tar("1099511627776", "1000000000000,3").end())
        .unwrap();
    let meta = cage.root().join("holes").metadata().unwrap();
    assert_eq!(meta.len(), 1 << 40);
    assert!(meta.blocks() < 100, "{}", meta.blocks());

    for (size, map) in [
        ("9223372036854775807", "9223372036854775804,3"),
        ("9223372036854775808", "0,3"),
        ("3", "9223372036854775807,3"),
        ("3", "1,3"),
        ("9", "0,2"),
        ("9", "3,1,0,2"),
        ("9", "0,3,"),
        ("-9", "0,3"),
    ] {
        let cage = Cage::new();
        let outcome = cage.unpack_here(&tar(size, map).end());
        assert!(outcome.is_err(), "{size} {map}");
        cage.check("holes");
    }
}

/// One line an entry, in a form that Python can write as well.
fn listed(bytes: &[u8]) -> Option<Vec<String>> {
    let mut bytes = bytes;
    let mut input = Input(&mut bytes);
    let mut archive = Archive::new(&mut input);
    let mut lines = Vec::new();
    while let Some(entry) = archive.next().ok()? {
        let mut data = Vec::new();
        let mut buffer = [0; 1000];
        loop {
            match archive.read_piece(&mut buffer).ok()? {
                (_, 0) => break,
                (_, count) => data.extend(&buffer[..count]),
            }
        }
        let hex = |bytes: &[u8]| {
            bytes.iter().fold(String::new(), |mut text, byte| {
                let _ = write!(text, "{byte:02x}");
                text
            })
        };
        let path = entry.path.strip_suffix(b"/").unwrap_or(&entry.path);
        let link = match entry.kind {
            Kind::HardLink | Kind::Symlink => &entry.link[..],
            _ => b"",
        };
        lines.push(format!(
            "{:?} {} {} {:o} {} {} {} {}",
            entry.kind,
            hex(path),
            hex(link),
            entry.mode,
            entry.uid,
            entry.gid,
            entry.modified.seconds,
            hex(&data),
        ));
    }
    archive.has_end().then_some(lines)
}

const PYTHON: &str = r#"
import math, sys, tarfile
KINDS = {b'0': 'File', b'\0': 'File', b'7': 'File', b'1': 'HardLink', b'2': 'Symlink',
    b'3': 'CharDevice', b'4': 'BlockDevice', b'5': 'Directory', b'6': 'Fifo'}
def raw(text): return text.encode('utf-8', 'surrogateescape').hex()
for path in sys.argv[1:]:
    print('#', path)
    try:
        with tarfile.open(path, 'r:', errorlevel=2, encoding='utf-8', errors='surrogateescape') as tar:
            for m in tar:
                data = tar.extractfile(m).read() if m.isreg() and m.size else b''
                link = m.linkname if m.issym() or m.islnk() else ''
                name = m.name[:-1] if m.name.endswith('/') else m.name
                print(KINDS[m.type], raw(name), raw(link), '%o' % (m.mode & 0o7777), m.uid, m.gid,
                    math.floor(m.mtime), data.hex())
            # It ends silently where a header is bad.
            with open(path, 'rb') as file:
                file.seek(tar.offset)
                if file.read(512).strip(b'\0'): print('! stopped')
    except Exception as e:
        print('! %r' % e)
"#;

/// Random archives of the constructs that readers have disagreed about: sizes in records, names in
/// two places, numbers in base 256, and one bit or the other gone wrong.
fn archives(count: usize) -> Vec<Vec<u8>> {
    let mut state = 42u64;
    let mut random = move |below: usize| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 33) as usize % below
    };
    (0..count)
        .map(|round| {
            let mut tar = Tar::new();
            for n in 0..1 + random(4) {
                let data = "z".repeat([0, 1, 3, 511, 512, 513, 1500][random(7)]);
                let name = format!("e{n}");
                let long = format!("{}{n}", "long/".repeat(random(60)));
                tar.mtime = random(1 << 30) as u64;
                tar.uid = random(1 << 21) as u32;
                let size =
                    [data.len(), 0, 1, 512, 1000][if random(3) == 0 { random(5) } else { 0 }];
                let size = size.to_string();
                tar = match random(8) {
                    0 => tar.pax(&[("size", size.as_bytes())]),
                    1 => tar.pax(&[("path", long.as_bytes()), ("uid", b"3000000000")]),
                    2 => tar.pax(&[("mtime", b"5000000000.25"), ("gid", b"77")]),
                    3 => tar.entry(b'L', "././@LongLink", "", format!("{long}\0").as_bytes()),
                    4 => tar.pax(&[("linkpath", long.as_bytes())]),
                    _ => tar,
                };
                let kind = [b'0', b'0', b'0', b'5', b'2', b'1', b'6', b'3'][random(8)];
                let data = if kind == b'0' { data.as_bytes() } else { b"" };
                tar = tar
                    .with_mode(random(0o10000) as u32)
                    .entry(kind, &name, "target", data);
            }
            let mut bytes = tar.end();
            // Every third has a byte of a header changed, and the right checksum again.
            if round % 3 == 0 {
                let block = random(bytes.len() / 512) * 512;
                if bytes[block + 257..block + 262] == *b"ustar" {
                    let at =
                        [random(100), 100 + random(48), 156, 157 + random(100), 345][random(5)];
                    bytes[block + at] = [0, b'0', b'7', b'8', 0x80, 0xff, b'/'][random(7)];
                    let block = &mut bytes[block..block + 512];
                    block[148..156].fill(b' ');
                    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
                    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
                }
            }
            bytes
        })
        .collect()
}

/// We may refuse what another reader takes, but nobody sees other entries than we do.
#[test]
fn what_is_read_is_what_others_read() {
    let dir = scratch();
    let archives = archives(600);
    let mut command = Command::new("python3");
    command.args(["-c", PYTHON]);
    for (n, bytes) in archives.iter().enumerate() {
        let path = dir.path().join(n.to_string());
        std::fs::write(&path, bytes).unwrap();
        command.arg(path);
    }
    let Ok(output) = command.output() else {
        println!("skip: what_is_read_is_what_others_read: there is no python3 here");
        return;
    };
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let text = String::from_utf8(output.stdout).unwrap();
    let theirs: Vec<&str> = text.split("# ").skip(1).collect();
    assert_eq!(theirs.len(), archives.len());
    let mut same = 0;
    for (n, (bytes, theirs)) in archives.iter().zip(theirs).enumerate() {
        let theirs: Vec<&str> = theirs.lines().skip(1).collect();
        let (Some(ours), false) = (listed(bytes), theirs.iter().any(|l| l.starts_with('!'))) else {
            continue;
        };
        assert_eq!(ours, theirs, "archive {n}");
        same += 1;
    }
    assert!(
        same > archives.len() / 2,
        "only {same} of {} are good",
        archives.len()
    );
}
