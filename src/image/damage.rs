//! Whatever bytes come, there is an answer: no panic, no endless work, no memory without bounds. Seeds
//! are fixed, so that what has failed once fails again.

use crate::image::Images;
use crate::image::gzip::Gzip;
use crate::image::gzip::tests::{gzip, sample};
use crate::image::source::{Input, Restart, Source, Stream, sha256};
use crate::image::testing::{Tar, scratch};
use crate::image::zstd::Zstd;
use crate::image::zstd::tests::zstd;

/// More than any of the good streams here holds.
const OUTPUT_BYTES_MAX: usize = 4 << 20;

struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (self.0 >> 33) as usize % bound.max(1)
    }

    /// Some bytes changed, a piece repeated, the end cut off.
    fn damage(&mut self, good: &[u8]) -> Vec<u8> {
        let mut bytes = good.to_vec();
        for _ in 0..self.below(6) {
            let at = self.below(bytes.len());
            bytes[at] = match self.below(4) {
                0 => 0,
                1 => 0xff,
                2 => bytes[at] ^ (1 << self.below(8)),
                _ => self.below(256) as u8,
            };
        }
        if self.below(4) == 0 {
            let from = self.below(bytes.len());
            let piece = bytes[from..].iter().take(self.below(200)).copied();
            let piece: Vec<u8> = piece.collect();
            let to = self.below(bytes.len());
            bytes.splice(to..to, piece);
        }
        if self.below(4) == 0 {
            bytes.truncate(self.below(bytes.len()));
        }
        bytes
    }
}

/// What comes out, unless that is an error.
fn drain(stream: &mut dyn Stream) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let mut buffer = vec![0; 50_000];
    while out.len() < OUTPUT_BYTES_MAX {
        match stream.read(&mut buffer) {
            Ok(0) => return Some(out),
            Ok(count) => out.extend(&buffer[..count]),
            Err(_) => return None,
        }
    }
    None
}

/// Text and noise, in parts that compress well, badly, and not at all.
fn mixture() -> Vec<u8> {
    let mut data = sample(20_000);
    data.extend(b"all work and no play ".repeat(500));
    data.extend(sample(80_000).chunks(4).map(|four| four[0]));
    data.extend([0; 30_000]);
    data
}

#[test]
fn no_gzip_stream_is_too_bad() {
    let data = mixture();
    let good = [gzip(&data), gzip(b""), gzip(&data[..100])].concat();
    let expected = [&data[..], &data[..100]].concat();
    let mut dice = Dice(1);
    for _ in 0..2000 {
        let bytes = dice.damage(&good);
        let mut from = &bytes[..];
        let mut input = Input(&mut from);
        let out = drain(&mut Gzip::new(&mut Source::new(&mut input)));
        // What passes the checks is what was packed, or members of it.
        if let Some(out) = out {
            let known = [&expected, &data, &Vec::new()];
            assert!(known.contains(&&out) || out.len() > data.len() || bytes == good);
        }
    }
}

/// A state that comes from the disk is not trusted, either.
#[test]
fn no_state_of_a_gzip_decoder_is_too_bad() {
    let packed = gzip(&mixture());
    let mut dice = Dice(2);
    for _ in 0..1000 {
        let window = dice.below(40_000);
        let mut state = vec![
            dice.below(10) as u8,
            dice.below(256) as u8,
            1,
            2,
            3,
            4,
            5,
            6,
            7,
            8,
        ];
        state.extend(vec![b'w'; window]);
        state.truncate(if dice.below(10) == 0 {
            dice.below(12)
        } else {
            usize::MAX
        });
        let at = dice.below(packed.len());
        let restart = Restart {
            input: at as u64,
            output: [0, window as u64, 1 << 40, u64::MAX][dice.below(4)],
            state,
        };
        let mut from = &packed[at..];
        let mut input = Input(&mut from);
        let mut source = Source::at(&mut input, at as u64);
        if let Some(mut gzip) = Gzip::resume(&mut source, &restart) {
            assert_eq!(drain(&mut gzip), None);
        }
    }
}

#[test]
fn no_zstd_stream_is_too_bad() {
    let data = mixture();
    if zstd(&[], b"").is_empty() {
        println!("skip: no_zstd_stream_is_too_bad: there is no zstd here");
        return;
    }
    let mut dice = Dice(3);
    for options in [&["-1"][..], &["-19"], &["-5", "--no-check"], &["--long=24"]] {
        let good = [zstd(options, &data), zstd(&["-3"], &data[..500])].concat();
        for _ in 0..1500 {
            let bytes = dice.damage(&good);
            let mut from = &bytes[..];
            let mut input = Input(&mut from);
            drain(&mut Zstd::new(&mut Source::new(&mut input)));
        }
    }
}

#[test]
fn no_documents_of_an_image_are_too_bad() {
    let layer = Tar::new().file("f", "x").end();
    let diff = sha256(&layer);
    let config = format!(
        r#"{{"architecture":"amd64","os":"linux","config":{{"Env":["A=b"],"Cmd":["sh"],"ExposedPorts":{{"80/tcp":{{}}}}}},"history":[{{"created":"2024-01-01T00:00:00Z"}}],"rootfs":{{"type":"layers","diff_ids":["sha256:{diff}"]}}}}"#
    );
    let descriptor =
        |digits: &str, size: usize| format!(r#"{{"digest":"sha256:{digits}","size":{size}}}"#);
    let dir = scratch();
    let images = Images::open(dir.path()).unwrap();
    let mut dice = Dice(4);
    let mut loaded = 0;
    for round in 0..600 {
        // One of the documents is damaged, and what refers to it by digest is right.
        let mut damaged = |text: String, n: usize| match round % 4 == n {
            true => dice.damage(text.as_bytes()),
            false => text.into_bytes(),
        };
        let config = damaged(config.clone(), 0);
        let manifest = format!(
            r#"{{"schemaVersion":2,"config":{},"layers":[{}]}}"#,
            descriptor(&sha256(&config), config.len()),
            descriptor(&diff, layer.len())
        );
        let manifest = damaged(manifest, 1);
        let index = format!(
            r#"{{"schemaVersion":2,"manifests":[{}]}}"#,
            descriptor(&sha256(&manifest), manifest.len())
        );
        let index = damaged(index, 2);
        let saved = format!(
            r#"[{{"Config":"blobs/sha256/{0}","RepoTags":["a:b"],"Layers":["blobs/sha256/{diff}"]}}]"#,
            sha256(&config)
        );
        let saved = damaged(saved, 3);
        let mut tar = Tar::new();
        for (name, bytes) in [
            (&diff[..], &layer),
            (&sha256(&config), &config),
            (&sha256(&manifest), &manifest),
        ] {
            tar = tar.entry(b'0', &format!("blobs/sha256/{name}"), "", bytes);
        }
        tar = match round % 4 == 3 {
            true => tar.entry(b'0', "manifest.json", "", &saved),
            false => tar.entry(b'0', "index.json", "", &index),
        };
        let bytes = tar.end();
        loaded += usize::from(images.load(&mut &bytes[..], None).is_ok());
    }
    assert!(loaded > 50, "{loaded}");
    // Whatever was taken can be read again.
    drop(images);
    let images = Images::open(dir.path()).unwrap();
    assert!(!images.list().unwrap().is_empty());
}
