use super::*;
use crate::image::index::{Index, Mark};
use crate::image::layer::{End, Staged, stage_tar};
use crate::image::source::{Input, sha256};
use crate::image::testing::{Tar, is_root, scratch};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

fn stage(dir: &Path, mut bytes: &[u8]) -> Result<Staged> {
    stage_tar(dir, &mut Input(&mut bytes), End::Checked)
}

fn kept(dir: &Path, bytes: &[u8]) -> String {
    let staged = stage(dir, bytes).unwrap();
    let diff = staged.diff.clone();
    staged.keep(dir).unwrap();
    diff
}

/// All of it, in pieces of `piece` bytes.
fn rebuilt(layers: &Path, diff: &str, piece: usize) -> io::Result<Vec<u8>> {
    let mut rebuild = Rebuild::open(layers, diff).map_err(io::Error::other)?;
    let mut bytes = Vec::new();
    let mut buffer = vec![0; piece];
    loop {
        match rebuild.read(&mut buffer)? {
            0 => return Ok(bytes),
            count => bytes.extend(&buffer[..count]),
        }
    }
}

/// Numbers that look random and are the same each time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % sides
    }

    fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| self.roll(256) as u8).collect()
    }

    fn name(&mut self) -> String {
        const NAMES: [&str; 12] = [
            "a", "b", "c", "d/a", "d/b", "d/e/a", "d/e", "d", "l/a", "l/e/b", "./d//a", "x/../c",
        ];
        NAMES[self.roll(NAMES.len())].to_string()
    }
}

fn header(kind: u8, path: &str, link: &str, size: &[u8], more: &[(usize, Vec<u8>)]) -> [u8; 512] {
    let mut block = [0u8; 512];
    let mut put = |at: usize, bytes: &[u8]| block[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, &path.as_bytes()[..path.len().min(100)]);
    put(100, b"0000755 0000001 0000002 ");
    put(124, size);
    put(136, b"14000000000");
    put(156, &[kind]);
    put(157, link.as_bytes());
    for (at, bytes) in more {
        put(*at, bytes);
    }
    put(148, b"        ");
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
    block
}

fn octal(size: usize) -> Vec<u8> {
    format!("{size:011o}").into_bytes()
}

fn entry(dice: &mut Dice, tar: &mut Vec<u8>, header: &[u8], data: &[u8]) {
    tar.extend(header);
    tar.extend(data);
    let padding = data.len().wrapping_neg() % 512;
    match dice.roll(4) {
        // Nobody says what has to be there.
        0 => tar.extend(dice.bytes(padding)),
        _ => tar.extend(vec![0; padding]),
    }
}

fn pax(key: &str, value: &str) -> String {
    let rest = key.len() + value.len() + 3;
    let length = (rest..).find(|n| n.to_string().len() + rest == *n).unwrap();
    format!("{length} {key}={value}\n")
}

fn something(dice: &mut Dice, tar: &mut Vec<u8>) {
    let name = dice.name();
    let length = [0, 1, 511, 512, 513, 4000, 70_000, 150_000][dice.roll(8)];
    let data = dice.bytes(length);
    let size = octal(length);
    let target = dice.name();
    match dice.roll(14) {
        0..=3 => entry(dice, tar, &header(b'0', &name, "", &size, &[]), &data),
        4 | 5 => entry(dice, tar, &header(b'5', &name, "", &octal(0), &[]), b""),
        6 => entry(dice, tar, &header(b'2', "l", "d", &octal(0), &[]), b""),
        7 => entry(
            dice,
            tar,
            &header(b'1', &name, &target, &octal(0), &[]),
            b"",
        ),
        // A whiteout with data, and what AUFS kept: the tree has neither.
        8 => {
            let path = ["d/.wh.b", ".wh..wh.plnk/x", "d/.wh..wh..opq"][dice.roll(3)];
            entry(dice, tar, &header(b'0', path, "", &size, &[]), &data);
        }
        9 => {
            let long = format!("{name}{}", "y".repeat(120 + dice.roll(100)));
            let kind = [b'x', b'L'][dice.roll(2)];
            let text = match kind {
                b'x' => pax("path", &long) + &pax("SCHILY.xattr.user.k", "v"),
                _ => long + "\0",
            };
            let about = header(kind, "about", "", &octal(text.len()), &[]);
            entry(dice, tar, &about, text.as_bytes());
            entry(dice, tar, &header(b'0', "cut", "", &size, &[]), &data);
        }
        10 => {
            let text = pax("comment", "of all");
            let about = header(b'g', "global", "", &octal(text.len()), &[]);
            entry(dice, tar, &about, text.as_bytes());
        }
        // A size in base 256.
        11 => {
            let mut size = vec![0x80, 0, 0, 0];
            size.extend((length as u64).to_be_bytes());
            entry(dice, tar, &header(b'0', &name, "", &size, &[]), &data);
        }
        // GNU's sparse files: four pieces in the header, and one more behind it.
        12 => {
            let piece = [1, 300, 512, 5000][dice.roll(4)];
            let mut map = Vec::new();
            for n in 0..5 {
                map.extend(format!("{:011o}\0{piece:011o}\0", n * 20_000).into_bytes());
            }
            let more = [
                (257, b"ustar  \0".to_vec()),
                (386, map[..96].to_vec()),
                (482, vec![1]),
                (483, octal(200_000)),
            ];
            let mut bytes = header(b'S', &name, "", &octal(5 * piece), &more).to_vec();
            bytes.extend(&map[96..]);
            bytes.resize(1024, 0);
            let data = dice.bytes(5 * piece);
            entry(dice, tar, &bytes, &data);
        }
        // The same as PAX has it, version 1.0: the map stands before the data.
        _ => {
            let records = pax("GNU.sparse.major", "1")
                + &pax("GNU.sparse.minor", "0")
                + &pax("GNU.sparse.name", &name)
                + &pax("GNU.sparse.realsize", "100000");
            let about = header(b'x', "about", "", &octal(records.len()), &[]);
            entry(dice, tar, &about, records.as_bytes());
            let mut data = b"2\n100\n600\n70000\n30000\n".to_vec();
            data.resize(512, 0);
            data.extend(dice.bytes(30_600));
            let head = header(b'0', "GNUSparseFile.0/x", "", &octal(data.len()), &[]);
            entry(dice, tar, &head, &data);
        }
    }
}

fn archive(dice: &mut Dice) -> Vec<u8> {
    let mut tar = Vec::new();
    for _ in 0..dice.roll(30) {
        something(dice, &mut tar);
    }
    match dice.roll(4) {
        0 => {}
        1 => tar.extend([0; 512]),
        2 => tar.extend([0; 10_240]),
        // Trailing garbage belongs to it, too.
        _ => {
            tar.extend([0; 1024]);
            let length = dice.roll(100_000);
            tar.extend(dice.bytes(length));
        }
    }
    tar
}

#[test]
fn any_archive_that_can_be_unpacked_is_made_again_to_the_byte() {
    if !is_root("any_archive_that_can_be_unpacked_is_made_again_to_the_byte") {
        return;
    }
    let dir = scratch();
    let mut dice = Dice(1);
    let (mut whole, mut moved) = (0, 0);
    for round in 0..120 {
        let bytes = archive(&mut dice);
        // A hard link may lead nowhere, a file stand where a directory should.
        let Ok(staged) = stage(dir.path(), &bytes) else {
            continue;
        };
        let diff = staged.diff.clone();
        staged.keep(dir.path()).unwrap();
        let made = rebuilt(dir.path(), &diff, [1 << 20, 7, 4096][round % 3]).unwrap();
        assert!(made == bytes, "round {round}");
        whole += 1;
        moved += usize::from(dir.path().join(&diff).join(SHADOW).exists());
        std::fs::remove_dir_all(dir.path().join(&diff)).unwrap();
    }
    assert!(whole > 30 && moved > 10, "{whole} {moved}");
}

/// What comes between is what a link or an older directory hides.
#[test]
fn files_that_are_replaced_with_their_directories_are_still_in_the_archive() {
    if !is_root("files_that_are_replaced_with_their_directories_are_still_in_the_archive") {
        return;
    }
    let dir = scratch();
    let bytes = Tar::new()
        .file("d/x", "first")
        .file("d/x", "second")
        .symlink("l", "d")
        .file("l/y", "through a link")
        .hard("z", "d/x")
        .file("d", "a file now")
        .file("d/../l", "no link now")
        .end();
    let diff = kept(dir.path(), &bytes);
    assert!(rebuilt(dir.path(), &diff, 100).unwrap() == bytes);
    let layer = dir.path().join(&diff);
    let read = |path: &str| std::fs::read_to_string(layer.join(path)).unwrap();
    assert_eq!(read("diff/d"), "a file now");
    assert_eq!(read("diff/z"), "second");
    assert_eq!(read("shadow/0"), "first");
    assert_eq!(read("shadow/1/x"), "second");
    assert_eq!(read("shadow/1/y"), "through a link");
}

#[test]
fn wrong_bytes_are_never_taken_for_a_layer() {
    let dir = scratch();
    let mut tar = Tar::new();
    (tar.uid, tar.mtime) = (rustix::process::getuid().as_raw(), 1);
    let bytes = tar
        .file("a", &"content".repeat(1000))
        .file("b", "more")
        .end();
    let diff = kept(dir.path(), &bytes);
    let layer = dir.path().join(&diff);
    let a = layer.join("diff/a");
    let made = || rebuilt(dir.path(), &diff, 512).map_err(|e| e.to_string());
    assert!(made().unwrap() == bytes);

    let file = File::options().write(true).open(&a).unwrap();
    file.write_all_at(b"X", 10).unwrap();
    let error = made().unwrap_err();
    assert!(
        error.contains("is damaged: its archive would have the digest sha256:"),
        "{error}"
    );
    assert!(
        error.starts_with(&format!("layer sha256:{diff} ")),
        "{error}"
    );
    file.set_len(5000).unwrap();
    assert!(made().unwrap_err().contains("a has been cut"));
    std::fs::remove_file(&a).unwrap();
    assert!(made().unwrap_err().contains("diff/a: No such file"));
    std::os::unix::fs::symlink("b", &a).unwrap();
    assert!(made().unwrap_err().contains("diff/a: Too many levels"));
    std::fs::remove_file(&a).unwrap();
    std::fs::create_dir(&a).unwrap();
    assert!(made().unwrap_err().contains("diff/a is no file"));

    let index = layer.join(INDEX);
    let good = std::fs::read(&index).unwrap();
    for cut in 0..good.len() {
        std::fs::write(&index, &good[..cut]).unwrap();
        assert!(made().is_err(), "{cut}");
        let mut bad = good.clone();
        bad[cut] ^= 1;
        std::fs::write(&index, bad).unwrap();
        assert!(made().is_err(), "{cut}");
    }
    std::fs::remove_file(&index).unwrap();
    assert!(made().unwrap_err().contains("unpacked by an older version"));
}

#[test]
fn a_layer_without_an_index_gets_one_when_it_comes_again() {
    let dir = scratch();
    let mut tar = Tar::new();
    tar.uid = rustix::process::getuid().as_raw();
    let bytes = tar.file("a", "content").file("a", "other").end();
    let diff = kept(dir.path(), &bytes);
    let layer = dir.path().join(&diff);
    for name in [INDEX, "shadow/0"] {
        std::fs::remove_file(layer.join(name)).unwrap();
    }
    std::fs::remove_dir(layer.join(SHADOW)).unwrap();
    kept(dir.path(), &bytes);
    assert!(rebuilt(dir.path(), &diff, 512).unwrap() == bytes);
}

/// What a power cut leaves behind the mark does not matter.
#[test]
fn an_index_goes_on_where_it_was_marked() {
    let dir = scratch();
    let bytes: Vec<u8> = (0..300_000u32).flat_map(u32::to_le_bytes).collect();
    let mut index = Index::create(dir.path()).unwrap();
    index.raw(&bytes[..500_000]).unwrap();
    let mark = index.mark().unwrap();
    index.raw(&[7; 300_000]).unwrap();
    drop(index);

    let mut index = Index::resume(dir.path(), mark).unwrap();
    index.raw(&bytes[500_000..]).unwrap();
    assert_eq!(index.mark().unwrap().bytes, 1_200_000);
    drop(index);
    let layer: PathBuf = dir.path().join(sha256(&bytes));
    std::fs::create_dir(&layer).unwrap();
    std::fs::rename(dir.path().join(INDEX), layer.join(INDEX)).unwrap();
    assert!(rebuilt(dir.path(), &sha256(&bytes), 1000).unwrap() == bytes);

    // Something was moved behind the mark: it is where the index up to there would not look.
    std::fs::create_dir(layer.join(SHADOW)).unwrap();
    std::fs::write(layer.join("shadow/0"), "").unwrap();
    assert!(Index::resume(&layer, mark).is_err());
    let too_long = Mark {
        length: 1 << 40,
        ..mark
    };
    assert!(
        Index::resume(
            &layer,
            Mark {
                shadows: 1,
                ..too_long
            }
        )
        .is_err()
    );
}
