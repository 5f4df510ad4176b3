//! A pull that did not come to its end goes on where it was: what a layer has brought is not asked for
//! again, whether the connection broke or the engine was killed. (`power_loss` cuts the power.)

use crate::harness::command::Running;
use crate::harness::liar::{Heard, Liar, Reply, Then, raw, reply};
use crate::harness::rootfs::{busybox_with, gzip, image_config, sha256};
use crate::harness::{Chance, Host, PATIENCE, binary, eventually};
use std::path::Path;
use std::sync::{Arc, Mutex};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// What happens to the layer on its way.
#[derive(Clone, Copy)]
pub enum Fate {
    Whole,
    /// The connection ends after so many bytes of it.
    Breaks(usize),
    /// It comes, but not quickly.
    Slow,
}

/// A registry with one image of one large layer.
pub struct Halting {
    registry: Liar,
    fate: Arc<Mutex<Fate>>,
    pub name: String,
    pub layer_bytes: usize,
    blob: String,
    /// As `sha256sum` tells them.
    sums: String,
}

impl Halting {
    pub fn start() -> Halting {
        let mut chance = Chance::new();
        let files: Vec<(String, Vec<u8>)> = (0..40)
            .map(|n| {
                let random =
                    (0..200_000).flat_map(|_| (chance.below(1 << 16) as u16).to_le_bytes());
                (format!("data/{n:02}"), random.collect())
            })
            .collect();
        let layer = busybox_with(|more| {
            more.dir("data/", 0o755);
            for (name, content) in &files {
                more.file(name, 0o644, content);
            }
        });
        let line = |(name, content): &(String, Vec<u8>)| format!("{}  {name}", sha256(content));
        let sums: Vec<String> = files.iter().map(line).collect();
        let packed = gzip(&layer);
        let config = image_config(&[layer], r#"{"Cmd":["sh"]}"#);
        let blob = format!("sha256:{}", sha256(&packed));
        let manifest = format!(
            r#"{{"schemaVersion":2,"mediaType":"{MANIFEST}","config":{{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"sha256:{}","size":{}}},"layers":[{{"mediaType":"application/vnd.oci.image.layer.v1.tar+gzip","digest":"{blob}","size":{}}}]}}"#,
            sha256(config.as_bytes()),
            config.len(),
            packed.len()
        );

        let fate = Arc::new(Mutex::new(Fate::Whole));
        let (now, digest, layer_bytes) = (Arc::clone(&fate), blob.clone(), packed.len());
        let registry = Liar::start(move |heard| {
            let target = &heard.target;
            match target.rsplit_once('/') {
                Some((_, last)) if *last == digest => {
                    let fate = *now.lock().unwrap();
                    layer_reply(heard, &packed, fate)
                }
                Some((above, _)) if above.ends_with("/blobs") => reply(200, "", &config),
                Some((above, _)) if above.ends_with("/manifests") => {
                    let headers = format!("Content-Type: {MANIFEST}\r\n");
                    reply(200, &headers, &manifest)
                }
                _ => reply(200, "", ""),
            }
        });
        Halting {
            name: format!("{}/large:1", registry.host()),
            registry,
            fate,
            layer_bytes,
            blob,
            sums: sums.join("\n"),
        }
    }

    pub fn set_fate(&self, fate: Fate) {
        *self.fate.lock().unwrap() = fate;
    }

    /// The offsets from which the layer was asked for.
    pub fn offsets(&self) -> Vec<usize> {
        let heard = self.registry.heard();
        let asked = heard
            .iter()
            .filter(|heard| heard.method == "GET" && heard.target.ends_with(&self.blob));
        asked.map(offset).collect()
    }

    /// Start a pull that is slow, and wait until it has something that will not be lost.
    pub fn pull_slowly(&self, host: &Host, layers: &Path) -> Running {
        self.set_fate(Fate::Slow);
        let client = host.client(&binary(), &["pull", &self.name]);
        let client = Running::start(client);
        let part = format!(".part-{}", self.blob.trim_start_matches("sha256:"));
        eventually("there is a point to go on from", || {
            layers.join(&part).join("point").exists()
        });
        client
    }

    /// Pull the rest; all of the image is there then, and nothing else.
    pub fn pull_the_rest(&self, host: &Host, layers: &Path) {
        self.set_fate(Fate::Whole);
        host.ok(&["pull", &self.name]);
        let script = "cd / && sha256sum data/*";
        assert_eq!(
            host.ok(&["run", "--rm", &self.name, "sh", "-c", script]),
            self.sums
        );
        let names: Vec<String> = std::fs::read_dir(layers)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        assert!(names.len() == 1 && !names[0].starts_with('.'), "{names:?}");
        let inside = std::fs::read_dir(layers.join(&names[0])).unwrap();
        let mut inside: Vec<_> = inside.map(|entry| entry.unwrap().file_name()).collect();
        inside.sort();
        assert_eq!(inside, ["diff", "layer.json", "tar.idx"]);
    }
}

fn offset(heard: &Heard) -> usize {
    let range = heard.header("range").unwrap_or_default();
    let digits = range.trim_start_matches("bytes=").split('-').next();
    digits.unwrap().parse().unwrap_or(0)
}

fn layer_reply(heard: &Heard, packed: &[u8], fate: Fate) -> Reply {
    let from = offset(heard);
    let last = packed.len() - 1;
    let (status, range) = match from {
        0 => (200, String::new()),
        _ => (
            206,
            format!("Content-Range: bytes {from}-{last}/{}\r\n", packed.len()),
        ),
    };
    let body = &packed[from..];
    let head = format!(
        "HTTP/1.1 {status} x\r\nContent-Length: {}\r\n{range}\r\n",
        body.len()
    );
    match fate {
        Fate::Whole => raw([head.as_bytes(), body].concat()),
        Fate::Breaks(at) => {
            let body = &body[..at.saturating_sub(from).min(body.len())];
            raw([head.as_bytes(), body].concat())
        }
        Fate::Slow => Reply {
            bytes: head.into_bytes(),
            then: Then::Slowly(body.to_vec()),
        },
    }
}

/// An engine that does not try again by itself.
fn start(host: &mut Host) {
    let line = host.engine_command();
    let mut command = std::process::Command::new(&line[0]);
    command.args(&line[1..]);
    command.args(["--max-download-attempts", "1"]);
    host.start_engine_as(command);
}

#[test]
fn after_a_broken_connection_a_pull_goes_on_also_in_another_engine() {
    let mut host = Host::without_engine("resume-broken");
    start(&mut host);
    let image = Halting::start();
    let layers = host.data_root().join("layers");
    let mut before = 0;
    for (n, at) in [4_000_000, 9_000_000].into_iter().enumerate() {
        image.set_fate(Fate::Breaks(at));
        let output = host.tug(&["pull", &image.name]);
        assert_ne!(output.code, 0, "{output:?}");
        assert_eq!(host.ok(&["images", "-q"]), "");
        let offsets = image.offsets();
        let first = offsets[before];
        assert!(
            n == 0 && first == 0 || n == 1 && (2_000_000..4_000_001).contains(&first),
            "{offsets:?}"
        );
        before = offsets.len();
        host.kill_engine();
        start(&mut host);
    }
    image.pull_the_rest(&host, &layers);
    let first = image.offsets()[before];
    assert!((7_000_000..9_000_001).contains(&first), "{first}");
}

#[test]
fn a_killed_engine_does_not_ask_again_for_what_it_had() {
    let mut host = Host::without_engine("resume-killed");
    host.start_engine();
    let image = Halting::start();
    let layers = host.data_root().join("layers");
    let mut client = image.pull_slowly(&host, &layers);
    host.kill_engine();
    assert_ne!(client.wait(PATIENCE).code, 0);
    host.start_engine();
    image.pull_the_rest(&host, &layers);
    let offsets = image.offsets();
    assert_eq!(offsets.len(), 2, "{offsets:?}");
    assert!(
        offsets[1] >= 8 << 20,
        "{offsets:?} of {}",
        image.layer_bytes
    );
}
