//! Round trips, and what comes from somebody who means ill.

use super::apply::Apply;
use super::matches::{Match, Matches};
use super::*;
use crate::image::Images;
use crate::image::deflate::{BEST, Deflate};
use crate::image::load::Loaded;
use crate::image::part;
use crate::image::source::{Input, Restart, Source, Stream, sha256};
use crate::image::testing::{Tar, is_root, scratch};
use std::io::{self, Read};

/// Bytes that do not compress.
fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(2) + 1;
    let mut bytes = Vec::with_capacity(length);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend(state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// A program: the code stays, some addresses in it change.
fn program(shift: u32) -> Vec<u8> {
    let mut bytes = noise(7, 600_000);
    for at in (0..bytes.len() - 8).step_by(60) {
        let address = (at as u32).wrapping_mul(3) + shift;
        bytes[at..at + 4].copy_from_slice(&address.to_le_bytes());
    }
    bytes
}

/// A system of some packages, built at some time.
fn system(time: u64, version: u32) -> Vec<u8> {
    let mut tar = Tar::new();
    tar.mtime = time;
    tar = tar.dir("usr/").dir("usr/lib/");
    for n in 0..40 {
        tar.mtime = time + n;
        let content = noise(100 + n, 20_000 + n as usize);
        tar = tar
            .entry(b'0', &format!("usr/lib/file{n}"), "", &content)
            .symlink(&format!("usr/lib/link{n}"), &format!("file{n}"));
    }
    let status: String = (0..3000)
        .map(|n| {
            format!(
                "Package: p{n}\nVersion: {}\n\n",
                if n == 1500 { version } else { 1 }
            )
        })
        .collect();
    let name = format!("usr/lib/libx.so.1.{version}");
    tar.entry(b'0', &name, "", &program(version))
        .hard("usr/lib/libx.so", &name)
        .entry(b'0', "status", "", status.as_bytes())
        .end()
}

/// What `docker save` would write of an image of these layers.
fn archive(name: &str, layers: &[Vec<u8>]) -> Vec<u8> {
    let diffs: Vec<String> = layers
        .iter()
        .map(|l| format!("\"sha256:{}\"", sha256(l)))
        .collect();
    let config = format!(
        r#"{{"architecture":"amd64","os":"linux","config":{{"Labels":{{"name":"{name}"}}}},"rootfs":{{"type":"layers","diff_ids":[{}]}}}}"#,
        diffs.join(",")
    );
    let paths: Vec<String> = (0..layers.len()).map(|n| format!("\"{n}.tar\"")).collect();
    let saved = format!(
        r#"[{{"Config":"c.json","RepoTags":["{name}"],"Layers":[{}]}}]"#,
        paths.join(",")
    );
    let mut tar = Tar::new()
        .file("c.json", &config)
        .file("manifest.json", &saved);
    for (n, layer) in layers.iter().enumerate() {
        tar = tar.entry(b'0', &format!("{n}.tar"), "", layer);
    }
    tar.end()
}

fn load(images: &Images, bytes: &[u8]) -> crate::error::Result<Vec<Loaded>> {
    images.load(&mut &bytes[..], None)
}

fn made(images: &Images, old: &str, new: &str) -> (Vec<u8>, u64) {
    let mut made = images.delta(old, new, None).unwrap();
    let mut bytes = Vec::new();
    made.read_to_end(&mut bytes).unwrap();
    (bytes, made.came)
}

fn saved(images: &Images, name: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    images
        .save(&[name], None)
        .unwrap()
        .read_to_end(&mut bytes)
        .unwrap();
    bytes
}

#[test]
fn a_device_with_the_old_image_gets_the_new_one_to_the_byte() {
    if !is_root("a_device_with_the_old_image_gets_the_new_one_to_the_byte") {
        return;
    }
    let (factory, device) = (scratch(), scratch());
    let factory = Images::open(factory.path()).unwrap();
    let below = Tar::new().file("below", "the same in both").end();
    let old = archive("app:1", &[below.clone(), system(1000, 1)]);
    let more = Tar::new()
        .entry(b'0', "copy", "", &noise(103, 20_003))
        .file("new", "nobody has had this")
        .end();
    let new = archive("app:2", &[below, system(2_000_000, 2), more]);
    load(&factory, &old).unwrap();
    load(&factory, &new).unwrap();

    let (delta, came) = made(&factory, "app:1", "app:2");
    // 40 files of noise and a program: 1.4 MB that do not compress.
    assert!(came < 60_000, "{came}");
    assert_eq!(
        made(&factory, "app:1", "app:2").0,
        delta,
        "the same each time"
    );

    let images = Images::open(device.path()).unwrap();
    let refusal = load(&images, &delta).unwrap_err().to_string();
    assert!(
        refusal.contains("is not here; get the whole image"),
        "{refusal}"
    );
    load(&images, &old).unwrap();
    let loaded = load(&images, &delta).unwrap();
    assert_eq!(loaded[0].reference.as_deref(), Some("app:2"));
    let line = loaded[0].saved.clone().unwrap();
    assert!(
        line.starts_with("Delta: ") && line.ends_with("% saved)"),
        "{line}"
    );
    assert_eq!(saved(&images, "app:2"), saved(&factory, "app:2"));
    // Once more: it is there.
    assert_eq!(load(&images, &delta).unwrap()[0].id, loaded[0].id);
    let nothing = factory.delta("app:2", "app:2", None).err().unwrap();
    assert!(nothing.message.contains("nothing for a delta to bring"));
}

#[test]
fn nothing_of_a_damaged_delta_is_taken() {
    if !is_root("nothing_of_a_damaged_delta_is_taken") {
        return;
    }
    let (factory, device) = (scratch(), scratch());
    let factory = Images::open(factory.path()).unwrap();
    let images = Images::open(device.path()).unwrap();
    let small = |time: u64, text: &str| {
        let mut tar = Tar::new();
        tar.mtime = time;
        tar.entry(b'0', "big", "", &noise(1, 30_000))
            .file("text", text)
            .end()
    };
    let old = archive("app:1", &[small(5, "old")]);
    for store in [&factory, &images] {
        load(store, &old).unwrap();
    }
    load(&factory, &archive("app:2", &[small(6, "new")])).unwrap();
    let (delta, _) = made(&factory, "app:1", "app:2");
    let mut taken = 0;
    for at in (0..delta.len()).step_by(37) {
        let mut bad = delta.clone();
        bad[at] ^= 0x41;
        let cut = &delta[..at];
        for bytes in [&bad[..], cut] {
            if let Ok(loaded) = load(&images, bytes) {
                // The damage was in what no digest covers, such as padding, or the name.
                let id = &loaded[0].id;
                assert_eq!(saved(&images, id), saved(&factory, id), "{at}");
                images.remove(id, true, &|_| None).unwrap();
                taken += 1;
            }
            assert!(images.find("app:2").is_err());
        }
    }
    assert!(taken < delta.len() / 37, "{taken}");
    let left = crate::store::staging::names(&images.layers).unwrap();
    assert_eq!(left.len(), 1, "{left:?}");
}

#[test]
fn an_old_layer_that_has_changed_on_the_disk_makes_no_new_one() {
    if !is_root("an_old_layer_that_has_changed_on_the_disk_makes_no_new_one") {
        return;
    }
    let (factory, device) = (scratch(), scratch());
    let factory = Images::open(factory.path()).unwrap();
    let images = Images::open(device.path()).unwrap();
    let layer = system(1000, 1);
    let old = archive("app:1", std::slice::from_ref(&layer));
    for store in [&factory, &images] {
        load(store, &old).unwrap();
    }
    load(&factory, &archive("app:2", &[system(2000, 2)])).unwrap();
    let (delta, _) = made(&factory, "app:1", "app:2");
    let file = images
        .layers
        .join(sha256(&layer))
        .join("diff/usr/lib/file7");
    let mut content = std::fs::read(&file).unwrap();
    content[10_000] ^= 1;
    std::fs::write(&file, &content).unwrap();
    let refusal = load(&images, &delta).unwrap_err().to_string();
    assert!(
        refusal.contains("is damaged here (tug system check tells)"),
        "{refusal}"
    );
    std::fs::remove_file(&file).unwrap();
    let refusal = load(&images, &delta).unwrap_err().to_string();
    assert!(
        refusal.contains("tug system check --repair gets it again"),
        "{refusal}"
    );
    assert!(images.find("app:2").is_err());
}

#[test]
fn after_a_broken_connection_only_the_rest_of_a_delta_is_asked_for() {
    if !is_root("after_a_broken_connection_only_the_rest_of_a_delta_is_asked_for") {
        return;
    }
    let (factory, device) = (scratch(), scratch());
    let factory = Images::open(factory.path()).unwrap();
    let images = Images::open(device.path()).unwrap();
    let system = |time: u64, count: u64| {
        let mut tar = Tar::new();
        for n in 0..count {
            tar.mtime = time + n;
            tar = tar.entry(b'0', &format!("f{n}"), "", &noise(n, 60_000));
        }
        tar.end()
    };
    let old = archive("app:1", &[system(5, 20)]);
    for store in [&factory, &images] {
        load(store, &old).unwrap();
    }
    let new = system(6, 60);
    load(&factory, &archive("app:2", std::slice::from_ref(&new))).unwrap();
    let mut delta = factory.delta("app:1", "app:2", None).unwrap();
    let number = delta.blobs.iter().position(|blob| blob.size > 1_000_000);
    let mut bytes = Vec::new();
    let mut blob = delta.blob(number.unwrap()).unwrap();
    blob.read_to_end(&mut bytes).unwrap();

    let digest = sha256(&bytes);
    let mut asked = Vec::new();
    let mut fetch = |breaks_at: usize| {
        let blob = part::Blob {
            digest: &digest,
            size: bytes.len() as u64,
            base: Some(&images),
        };
        part::fetch(&images.layers, blob, &mut |offset| {
            asked.push(offset);
            let rest = bytes[..breaks_at].get(offset as usize..);
            let rest = rest.unwrap_or_default().to_vec();
            Ok(Box::new(io::Cursor::new(rest)) as Box<dyn Read>)
        })
    };
    for tenths in [4, 6, 9] {
        let error = fetch(bytes.len() / 10 * tenths).unwrap_err().to_string();
        assert!(error.contains("unexpected end"), "{error}");
    }
    let staged = fetch(bytes.len()).unwrap();
    assert_eq!(staged.diff, sha256(&new));
    assert!(
        asked.is_sorted() && asked[1] > 0 && asked[3] > 1_000_000,
        "{asked:?}"
    );
}

/// A delta by hand: instructions, in a chunk.
fn by_hand(head: &Head, chunks: &[&[u8]]) -> Vec<u8> {
    let mut bytes = head.encode();
    for chunk in chunks {
        let mut packed = Vec::new();
        Deflate::new(BEST)
            .unwrap()
            .whole(chunk, &mut packed)
            .unwrap();
        bytes.extend((packed.len() as u32).to_le_bytes());
        bytes.extend((chunk.len() as u32).to_le_bytes());
        bytes.extend(packed);
    }
    bytes
}

fn apply(images: &Images, bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut from = bytes;
    let mut input = Input(&mut from);
    let mut source = Source::new(&mut input);
    let mut apply =
        Apply::new(&mut source, &Restart::default(), images).map_err(io::Error::other)?;
    let mut made = Vec::new();
    let mut piece = [0; 1000];
    loop {
        match apply.read(&mut piece)? {
            0 => return Ok(made),
            count => made.extend(&piece[..count]),
        }
    }
}

#[test]
fn hostile_instructions_are_refused() {
    let dir = scratch();
    let images = Images::open(dir.path()).unwrap();
    let base = Tar::new().file("x", "content").end();
    load(&images, &archive("a:1", std::slice::from_ref(&base))).unwrap();
    let head = |length: u64| Head {
        diff: "0".repeat(64),
        length,
        layers: vec![(sha256(&base), base.len() as u64)],
    };
    let long = base.len() as u64;
    // "abc", and 7 bytes of the old archive at 512, and the 3 behind them with 1 added.
    let good = by_hand(&head(13), &[b"\x0cabc\x1d\x80\x08\x0e\x00\x01\x01\x01"]);
    assert_eq!(apply(&images, &good).unwrap(), b"abccontent\x01\x01\x01");

    // A kilobyte that would have us look here and there for a long time.
    let there_and_back = b"\x05\x80\x08\x05\x83\x08".repeat(20_000);
    let bomb = by_hand(
        &head(40_001),
        &[&[b"\x05\x00", &there_and_back[..]].concat()],
    );
    let error = apply(&images, &bomb).unwrap_err().to_string();
    assert_eq!(error, "delta: it refers here and there too often");

    let max = b"\xfd\xff\xff\xff\xff\xff\xff\xff\x7f".as_slice();
    for (what, length, chunks) in [
        ("nothing", 1, &[][..]),
        ("too little", 4, &[b"\x0cabc".as_slice()]),
        ("too much", 2, &[b"\x0cabc"]),
        ("more than the chunk has", 100, &[b"\x40abc"]),
        ("an empty instruction", 0, &[b"\x00"]),
        ("an endless one", u64::MAX, &[max]),
        ("before the beginning", 3, &[b"\x0d\x01"]),
        ("behind the end", long, &[b"\x81\x60\x02"]),
        (
            "far behind the end",
            3,
            &[b"\x0d\xfe\xff\xff\xff\xff\xff\xff\xff\x7f"],
        ),
        ("an unknown kind", 3, &[b"\x0fabc"]),
        (
            "a number without end",
            3,
            &[b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"],
        ),
        ("half a number", 3, &[b"\x8d"]),
    ] {
        let bytes = by_hand(&head(length), chunks);
        let error = apply(&images, &bytes).expect_err(what).to_string();
        assert!(
            error.starts_with("delta: ") || error.contains("unexpected end"),
            "{what}: {error}"
        );
    }
    // A chunk that holds more than it says, or less, or says too much.
    let mut bytes = by_hand(&head(3), &[b"\x0cabc"]);
    let at = head(3).encode().len() + 4;
    for length in [3u8, 5, 0] {
        bytes[at] = length;
        assert!(apply(&images, &bytes).is_err());
    }
    bytes[at + 2] = 3;
    assert!(apply(&images, &bytes).is_err());
    // A base that nobody has, that overflows, that has another length.
    for layers in [
        vec![("1".repeat(64), 5)],
        vec![(sha256(&base), long + 1)],
        vec![(sha256(&base), u64::MAX), (sha256(&base), long)],
    ] {
        let head = Head { layers, ..head(3) };
        assert!(apply(&images, &by_hand(&head, &[b"\x0cabc"])).is_err());
    }
}

/// Whatever the instructions are, there is an end, and never more than was declared.
#[test]
fn no_instructions_are_too_bad() {
    let dir = scratch();
    let images = Images::open(dir.path()).unwrap();
    let base = Tar::new()
        .entry(b'0', "x", "", &noise(1, 9000))
        .symlink("y", "x")
        .end();
    load(&images, &archive("a:1", std::slice::from_ref(&base))).unwrap();
    let head = Head {
        diff: "0".repeat(64),
        length: 6000,
        layers: vec![(sha256(&base), base.len() as u64)],
    };
    let mut good = Vec::new();
    for n in 0..60u8 {
        good.extend([12, b'a', b'b', n]);
        good.extend([0x80 | 65, 1, 0x80 | (n << 1), n % 8]);
        good.extend([4 << 2 | 2, 2 * n, 1, 2, 3, n]);
    }
    let mut dice = 1u64;
    let mut below = |bound: usize| {
        dice = dice
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (dice >> 33) as usize % bound
    };
    let mut good_ones = 0;
    for _ in 0..3000 {
        let mut bytes = good.clone();
        for _ in 0..below(4) {
            let at = below(bytes.len());
            bytes[at] = [0, 0xff, 0x80, below(256) as u8][below(4)];
        }
        bytes.truncate(1 + below(bytes.len()));
        if let Ok(made) = apply(&images, &by_hand(&head, &[&bytes])) {
            assert_eq!(made.len(), 6000);
            good_ones += 1;
        }
    }
    assert!(good_ones < 300, "{good_ones}");
}

#[test]
fn a_head_comes_out_as_it_went_in() {
    let head = Head {
        diff: "0123456789abcdef".repeat(4),
        length: 1 << 40,
        layers: vec![("fe".repeat(32), 7), ("00".repeat(32), u64::MAX)],
    };
    let bytes = head.encode();
    assert_eq!(Head::decode(&bytes).unwrap(), head);
    assert!(head.base_bytes().is_none());
    for length in 0..bytes.len() {
        assert!(Head::decode(&bytes[..length]).is_none(), "{length}");
    }
}

#[test]
fn matches_follow_what_has_moved_and_what_has_changed_a_little() {
    let old = program(1);
    let matches = Matches::new(old.clone());
    assert_eq!(
        matches.find(&old),
        [Match {
            new: 0,
            old: 0,
            length: old.len()
        }]
    );
    let new = [&noise(3, 1000)[..], &program(2)].concat();
    let found = matches.find(&new);
    let covered: usize = found.iter().map(|found| found.length).sum();
    assert!(covered > program(2).len() * 99 / 100, "{covered}");
    assert!(found.len() < 5, "{}", found.len());
    assert!(matches.find(&noise(4, 100_000)).is_empty());
    assert!(Matches::new(Vec::new()).find(&old).is_empty());
    assert!(Matches::new(vec![0; 100]).find(&[0; 5000]).len() < 2);
}

#[test]
fn what_was_saved_is_told_in_round_figures() {
    assert_eq!(
        super::saved(1_234_567, 38_449_999),
        "Delta: 1.2 MB instead of 38.4 MB (96 % saved)"
    );
    for (bytes, text) in [
        (999, "999 B"),
        (1000, "1.0 kB"),
        (123_456_789, "123.5 MB"),
        (0, "0 B"),
    ] {
        assert_eq!(shown(bytes), text);
    }
}
