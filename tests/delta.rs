//! `image delta`: a device that has the old image gets the new one with little, and exactly that one,
//! or in the ordinary way.

use crate::harness::command::Running;
use crate::harness::liar::{Heard, Liar, Reply, Then, reply};
use crate::harness::registry::{self, Registry};
use crate::harness::rootfs::{Archive, busybox_with, docker_archive, sha256};
use crate::harness::{Chance, Host, binary, docker_client, eventually, json, skip};
use crate::store_ro::sh;
use crate::{policy, power_loss};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};

const ARTIFACT: &str = "application/vnd.tug.delta.v1+json";

/// Bytes that do not compress, the same each time.
fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(2) + 1;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend(state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// A system in one layer: the larger part of it stays, one package is another version.
fn system(version: u64) -> Vec<u8> {
    busybox_with(|more| {
        // What is built again comes in another order.
        let order: Vec<u64> = match version {
            1 => (0..30).collect(),
            _ => (0..30).rev().collect(),
        };
        more.dir("opt/", 0o755);
        for n in order {
            more.file(&format!("opt/lib{n}"), 0o644, noise(n, 40_000));
        }
        let mut program = noise(99, 300_000);
        for at in (0..program.len() - 8).step_by(100) {
            program[at..at + 4].copy_from_slice(&(at as u32 + version as u32).to_le_bytes());
        }
        more.file("opt/program", 0o755, program);
        more.file("opt/version", 0o644, format!("{version}\n"));
    })
}

fn image(version: u64) -> Vec<u8> {
    let mut base = Archive::new();
    base.file("base", 0o644, "in both");
    let layers = [system(version), base.finish()];
    docker_archive(
        &format!("app:{version}"),
        &layers,
        r#"{"Cmd":["cat","/opt/version"]}"#,
    )
}

fn load(host: &Host, archive: &[u8]) {
    let output = host.tug_with_input(&["load"], archive);
    assert_eq!((output.code, output.stderr.as_str()), (0, ""));
}

/// Where deltas are made.
fn factory(name: &'static str) -> Host {
    let host = Host::new(name);
    load(&host, &image(1));
    load(&host, &image(2));
    host
}

/// The delta, in a file.
fn delta(factory: &Host) -> String {
    let path = factory.dir.join("delta.tar").to_str().unwrap().to_string();
    let output = factory.tug(&["image", "delta", "app:1", "app:2", "-o", &path]);
    assert_eq!(output.code, 0, "{}", output.stderr);
    assert!(output.stderr.starts_with("Delta: "), "{}", output.stderr);
    path
}

fn saved(host: &Host, name: &str) -> Vec<u8> {
    let path = host.dir.join("saved.tar");
    host.ok(&["save", "-o", path.to_str().unwrap(), name]);
    let bytes = std::fs::read(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    bytes
}

/// The digests of an image's layers are its layers: so two that have the same id and can be saved are
/// the same.
fn assert_same(device: &Host, factory: &Host, name: &str) {
    let rootfs =
        |host: &Host| host.ok(&["image", "inspect", "-f", "{{.Id}} {{.RootFS.Layers}}", name]);
    assert_eq!(rootfs(device), rootfs(factory));
    assert!(!saved(device, name).is_empty());
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn a_delta_is_loaded_where_the_old_image_is_and_nowhere_else() {
    let factory = factory("delta-factory");
    let file = delta(&factory);
    let size = std::fs::metadata(&file).unwrap().len();
    assert!(size < 150_000, "{size}");
    let device = Host::new("delta-device");
    let refused = device.tug(&["load", "-i", &file]);
    assert_eq!(refused.code, 1);
    assert!(
        refused.stderr.contains("is not here; get the whole image"),
        "{}",
        refused.stderr
    );
    load(&device, &image(1));
    let said = device.ok(&["load", "-i", &file]);
    let lines: Vec<&str> = said.lines().collect();
    assert!(
        lines[0].starts_with("Delta: ") && lines[0].ends_with("% saved)"),
        "{said}"
    );
    assert_eq!(lines[1..], ["Loaded image: app:2"]);
    assert_eq!(
        saved(&device, "app:2"),
        saved(&factory, "app:2"),
        "to the byte"
    );
    assert_eq!(device.ok(&["run", "--rm", "app:2"]), "2");

    for (args, sentence) in [
        (&["app:1", "nope:1"][..], "No such image: nope:1"),
        (&["nope:1", "app:2"], "No such image: nope:1"),
        (&["app:2", "app:2"], "there is nothing for a delta to bring"),
    ] {
        let refused = factory.tug(&[&["image", "delta", "-o", "/tmp/nowhere.tar"], args].concat());
        assert_eq!(refused.code, 1);
        assert!(refused.stderr.contains(sentence), "{}", refused.stderr);
    }
    assert!(!Path::new("/tmp/nowhere.tar").exists());
    let left = names(&factory.data_root().join("layers"));
    assert!(left.iter().all(|name| !name.starts_with('.')), "{left:?}");

    if docker_client().is_none() {
        return skip("delta: docker load", "no docker client");
    }
    device.ok(&["rmi", "app:2"]);
    let output = device.docker(&["load", "-i", &file]).unwrap();
    assert_eq!(output.code, 0, "{}", output.stderr);
    assert!(
        output.stdout.contains("Loaded image: app:2"),
        "{}",
        output.stdout
    );
}

#[test]
fn a_read_only_store_is_as_good_a_base() {
    let factory = factory("delta-ro-factory");
    let file = delta(&factory);
    let mut device = Host::without_engine("delta-ro-device");
    let store = device.make_dir("store");
    {
        let maker = Host::new("delta-ro-maker");
        load(&maker, &image(1));
        let copied = Command::new("cp")
            .args(["-a", maker.data_root().join("images").to_str().unwrap()])
            .args([maker.data_root().join("layers").to_str().unwrap(), &store])
            .status();
        assert!(copied.unwrap().success());
    }
    device.write("daemon.json", format!(r#"{{"store-ro": [{store:?}]}}"#));
    device.start_engine();
    let said = device.ok(&["load", "-i", &file]);
    assert!(said.starts_with("Delta: "), "{said}");
    assert_eq!(device.ok(&["run", "--rm", "app:2"]), "2");
    assert_same(&device, &factory, "app:2");
}

/// A registry that lists referrers by itself, as the distribution specification has it since 1.1.
#[derive(Default)]
struct Shelf {
    manifests: BTreeMap<String, (String, Vec<u8>)>,
    blobs: BTreeMap<String, Vec<u8>>,
    upload: Vec<u8>,
    /// This blob comes with another byte in it, cut, or slowly.
    spoiled: Option<(String, Fate)>,
}

#[derive(Clone, Copy)]
enum Fate {
    Flipped(usize),
    Cut(usize),
    /// So many bytes, and then nothing more.
    Stalls(usize),
}

impl Shelf {
    fn answer(&mut self, heard: &Heard) -> Reply {
        let not_found = || {
            reply(
                404,
                "",
                r#"{"errors":[{"code":"UNKNOWN","message":"unknown"}]}"#,
            )
        };
        let Some(target) = heard.target.strip_prefix("/v2/app/") else {
            return not_found();
        };
        let (kind, name) = target.split_once('/').unwrap();
        match (&heard.method[..], kind) {
            ("POST" | "PATCH", "blobs") => {
                self.upload = heard.body.clone();
                reply(202, "Location: /v2/app/blobs/uploads/1\r\n", "")
            }
            ("PUT", "blobs") => {
                let digest = name.split_once("digest=").unwrap().1.replace("%3A", ":");
                let content = std::mem::take(&mut self.upload);
                assert_eq!(digest, format!("sha256:{}", sha256(&content)));
                self.blobs.insert(digest, content);
                reply(201, "", "")
            }
            ("PUT", "manifests") => {
                let media_type = heard.header("content-type").unwrap();
                let entry = (media_type, heard.body.clone());
                let digest = format!("sha256:{}", sha256(&heard.body));
                self.manifests.insert(digest, entry.clone());
                self.manifests.insert(name.to_string(), entry);
                let text = String::from_utf8(heard.body.clone()).unwrap();
                match text.contains("\"subject\"") {
                    true => reply(201, "OCI-Subject: yes\r\n", ""),
                    false => reply(201, "", ""),
                }
            }
            (_, "manifests") => match self.manifests.get(name) {
                Some((media_type, bytes)) => {
                    reply(200, &format!("Content-Type: {media_type}\r\n"), bytes)
                }
                None => not_found(),
            },
            ("HEAD", "blobs") => match self.blobs.get(name) {
                Some(bytes) => {
                    let mut answer = reply(200, "", bytes);
                    answer.bytes.truncate(answer.bytes.len() - bytes.len());
                    answer
                }
                None => not_found(),
            },
            ("GET", "blobs") => match self.blobs.get(name) {
                Some(bytes) => self.blob(name, bytes),
                None => not_found(),
            },
            ("GET", "referrers") => self.referrers(name.split_once('?').unwrap().0),
            _ => not_found(),
        }
    }

    fn blob(&self, name: &str, bytes: &[u8]) -> Reply {
        let fate = self.spoiled.as_ref().filter(|(digest, _)| digest == name);
        let mut answer = reply(200, "", bytes);
        let head = answer.bytes.len() - bytes.len();
        match fate {
            None => {}
            Some((_, Fate::Flipped(at))) => answer.bytes[head + at] ^= 0x10,
            Some((_, Fate::Cut(length))) => answer = reply(200, "", &bytes[..*length]),
            Some((_, Fate::Stalls(length))) => {
                answer.bytes.truncate(head + length);
                answer.then = Then::Silence;
            }
        }
        answer
    }

    fn referrers(&self, subject: &str) -> Reply {
        let mut listed = Vec::new();
        for (name, (media_type, bytes)) in &self.manifests {
            let manifest = String::from_utf8(bytes.clone()).unwrap();
            if !name.starts_with("sha256:") || !manifest.contains("\"subject\"") {
                continue;
            }
            let manifest = json::parse(&manifest);
            if manifest.string("subject.digest") == subject {
                let kind = manifest.string("artifactType");
                let size = bytes.len();
                // Without its annotations, which not every registry repeats.
                listed.push(format!(
                    r#"{{"mediaType":"{media_type}","digest":"{name}","size":{size},"artifactType":"{kind}"}}"#
                ));
            }
        }
        let index = "Content-Type: application/vnd.oci.image.index.v1+json\r\n";
        let listed = listed.join(",");
        reply(
            200,
            index,
            format!(r#"{{"schemaVersion":2,"manifests":[{listed}]}}"#),
        )
    }
}

/// Such a registry with app:2 and a delta to it, and who has made it.
struct Modern {
    liar: Liar,
    shelf: Arc<Mutex<Shelf>>,
    factory: Host,
    name: String,
    /// Digests of the blobs: of the larger layer, and of the delta to it.
    layer: String,
    delta: String,
}

impl Modern {
    fn start(name: &'static str) -> Modern {
        let shelf = Arc::new(Mutex::new(Shelf::default()));
        let own = Arc::clone(&shelf);
        let liar = Liar::start(move |heard| own.lock().unwrap().answer(heard));
        let factory = factory(name);
        let name = format!("{}/app:2", liar.host());
        factory.ok(&["tag", "app:2", &name]);
        factory.ok(&["push", "-q", &name]);
        let said = factory.ok(&["image", "delta", "--push", "app:1", &name]);
        assert!(said.contains("\nDelta: "), "{said}");

        let artifact = {
            let shelf = shelf.lock().unwrap();
            let all = shelf.manifests.values();
            let mut texts = all.map(|(_, bytes)| String::from_utf8(bytes.clone()).unwrap());
            texts.find(|text| text.contains(ARTIFACT)).unwrap()
        };
        let artifact = json::parse(&artifact);
        let manifest = {
            let shelf = shelf.lock().unwrap();
            String::from_utf8(shelf.manifests["2"].1.clone()).unwrap()
        };
        Modern {
            layer: json::parse(&manifest).string("layers.0.digest"),
            delta: artifact.string("layers.2.digest"),
            liar,
            shelf,
            factory,
            name,
        }
    }

    fn spoil(&self, fate: Fate) {
        self.shelf.lock().unwrap().spoiled = Some((self.delta.clone(), fate));
    }

    /// How often a blob was asked for.
    fn asked(&self, digest: &str) -> usize {
        let line = format!("GET /v2/app/blobs/{digest}");
        self.liar
            .lines()
            .iter()
            .filter(|heard| **heard == line)
            .count()
    }
}

#[test]
fn a_pull_takes_the_delta_that_the_registry_lists() {
    let modern = Modern::start("delta-modern");
    let device = Host::new("delta-modern-device");
    load(&device, &image(1));
    let said = device.ok(&["pull", &modern.name]);
    assert_eq!(
        (modern.asked(&modern.delta), modern.asked(&modern.layer)),
        (1, 0)
    );
    let line = said
        .lines()
        .find(|line| line.starts_with("Delta: "))
        .unwrap();
    assert!(line.ends_with("% saved)"), "{line}");
    assert_same(&device, &modern.factory, &modern.name);
    assert_eq!(device.ok(&["run", "--rm", &modern.name]), "2");
    // What was pulled as a delta is known as the registry's layer: nothing is sent there again.
    let again = format!("{}/app:3", modern.liar.host());
    device.ok(&["tag", &modern.name, &again]);
    assert!(
        device
            .ok(&["push", &again])
            .contains("Layer already exists")
    );

    // Where nothing is, no delta is asked for; nor where that is switched off.
    for (engine, has_old) in [("", false), (r#"{"deltas": false}"#, true)] {
        let mut device = Host::without_engine("delta-modern-off");
        device.write("daemon.json", if engine.is_empty() { "{}" } else { engine });
        device.start_engine();
        if has_old {
            load(&device, &image(1));
        }
        let before = modern.liar.lines().len();
        let said = device.ok(&["pull", &modern.name]);
        assert!(!said.contains("Delta"), "{said}");
        let lines = modern.liar.lines().split_off(before);
        assert!(
            lines.iter().all(|line| !line.contains("referrers")),
            "{lines:?}"
        );
        assert_same(&device, &modern.factory, &modern.name);
    }
    // By a name of its own, where nobody lists it.
    let named = {
        let mut shelf = modern.shelf.lock().unwrap();
        let all = shelf.manifests.iter();
        let is_artifact = |entry: &(&String, &(String, Vec<u8>))| {
            String::from_utf8_lossy(&entry.1.1).contains(ARTIFACT)
        };
        let artifact = all.clone().find(is_artifact).unwrap().1.clone();
        shelf.manifests.insert("delta".into(), artifact);
        format!("{}/app:delta", modern.liar.host())
    };
    let device = Host::new("delta-modern-named");
    load(&device, &image(1));
    let said = device.ok(&["pull", &named]);
    assert!(said.contains("% saved"), "{said}");
    let id = |host: &Host, name: &str| host.ok(&["image", "inspect", "-f", "{{.Id}}", name]);
    assert_eq!(id(&device, &named), id(&modern.factory, "app:2"));
    // With another image than the old one the list is asked for, and nothing of it taken.
    let other = Host::with_image("delta-modern-other");
    assert!(!other.ok(&["pull", &modern.name]).contains("Delta"));
    assert_eq!(modern.asked(&modern.delta), 2);
}

#[test]
fn what_is_wrong_with_a_delta_costs_the_whole_layer_and_no_more() {
    let modern = Modern::start("delta-wrong");
    let size = modern.shelf.lock().unwrap().blobs[&modern.delta].len();
    let fates = [
        Fate::Flipped(5),
        Fate::Flipped(60),
        Fate::Flipped(size / 3),
        Fate::Flipped(size - 1),
        Fate::Cut(0),
        Fate::Cut(11),
        Fate::Cut(size / 2),
        Fate::Cut(size - 1),
    ];
    let mut device = Host::without_engine("delta-wrong-device");
    device.write("daemon.json", r#"{"max-download-attempts":1}"#);
    device.start_engine();
    load(&device, &image(1));
    for (n, fate) in fates.into_iter().enumerate() {
        modern.spoil(fate);
        let said = device.ok(&["pull", &modern.name]);
        assert!(
            said.contains("Delta does not do: pulling the whole layer"),
            "{n}: {said}"
        );
        assert!(!said.contains("% saved"), "{n}: {said}");
        assert_same(&device, &modern.factory, &modern.name);
        device.ok(&["rmi", &modern.name]);
    }
    modern.shelf.lock().unwrap().spoiled = None;

    // The old layer has another byte than it had, or a file less.
    let layer = device.data_root().join("layers").join(sha256(&system(1)));
    let file = layer.join("diff/opt/lib7");
    let mut content = std::fs::read(&file).unwrap();
    content[20_000] ^= 1;
    std::fs::write(&file, content).unwrap();
    for _ in 0..2 {
        let said = device.ok(&["pull", &modern.name]);
        assert!(said.contains("Delta does not do"), "{said}");
        assert_same(&device, &modern.factory, &modern.name);
        device.ok(&["rmi", &modern.name]);
        let _ = std::fs::remove_file(&file);
    }
    let left = names(&device.data_root().join("layers"));
    assert!(left.iter().all(|name| !name.starts_with('.')), "{left:?}");
}

#[test]
fn an_engine_that_is_killed_over_a_delta_has_no_half_of_an_image() {
    let modern = Modern::start("delta-killed");
    let size = modern.shelf.lock().unwrap().blobs[&modern.delta].len();
    let mut device = Host::new("delta-killed-device");
    load(&device, &image(1));
    let layers = device.data_root().join("layers");
    for part in [1, 2, 3] {
        modern.spoil(Fate::Stalls(size * part / 4));
        let before = modern.asked(&modern.delta);
        let client = Running::start(device.client(&binary(), &["pull", &modern.name]));
        eventually("the delta is on its way", || {
            modern.asked(&modern.delta) > before
                && names(&layers).iter().any(|name| name.starts_with(".part-"))
        });
        device.kill_engine();
        drop(client);
        device.start_engine();
        assert_eq!(device.tug(&["image", "inspect", &modern.name]).code, 1);
    }
    modern.shelf.lock().unwrap().spoiled = None;
    assert!(device.ok(&["pull", &modern.name]).contains("% saved"));
    assert_same(&device, &modern.factory, &modern.name);
    let left = names(&layers);
    assert!(left.iter().all(|name| !name.starts_with('.')), "{left:?}");

    // The same over a file.
    device.ok(&["rmi", &modern.name]);
    let file = delta(&modern.factory);
    let mut chance = Chance::new();
    for _ in 0..5 {
        let client = Running::start(device.client(&binary(), &["load", "-i", &file]));
        std::thread::sleep(std::time::Duration::from_millis(chance.below(80)));
        device.kill_engine();
        drop(client);
        device.start_engine();
        let listed = device.ok(&["images", "-q", "app:2"]);
        assert!(listed.is_empty() || !saved(&device, "app:2").is_empty());
        let left = names(&layers);
        assert!(left.iter().all(|name| !name.starts_with('.')), "{left:?}");
    }
    device.ok(&["load", "-i", &file]);
    assert_same(&device, &modern.factory, "app:2");
}

#[test]
fn a_power_cut_over_a_delta_leaves_the_old_image_and_afterwards_both() {
    let Some(mut device) = power_loss::host("delta-power") else {
        return;
    };
    let modern = Modern::start("delta-power-factory");
    let size = modern.shelf.lock().unwrap().blobs[&modern.delta].len();
    load(&device, &image(1));
    for part in [0, 1, 3] {
        modern.spoil(Fate::Stalls(size * part / 4));
        let before = modern.asked(&modern.delta);
        let client = Running::start(device.client(&binary(), &["pull", &modern.name]));
        eventually("the delta is on its way", || {
            modern.asked(&modern.delta) > before
        });
        power_loss::cut_power(&mut device);
        drop(client);
        power_loss::power_on(&mut device);
        let format = "{{.Repository}}:{{.Tag}}";
        assert_eq!(device.ok(&["images", "--format", format]), "app:1");
        assert_eq!(device.ok(&["run", "--rm", "app:1"]), "1");
    }
    modern.shelf.lock().unwrap().spoiled = None;
    assert!(device.ok(&["pull", &modern.name]).contains("% saved"));
    power_loss::cut_power(&mut device);
    power_loss::power_on(&mut device);
    assert_same(&device, &modern.factory, &modern.name);
    assert_eq!(device.ok(&["run", "--rm", &modern.name]), "2");
}

#[test]
fn a_signed_image_is_signed_as_a_delta_too() {
    let factory = factory("delta-signed");
    let unsigned = delta(&factory);
    let mut device = Host::without_engine("delta-signed-device");
    let keys = policy::with_policy(&mut device, "docker.io/library/app");
    let signed = |version: u64| {
        let id = factory.ok(&[
            "image",
            "inspect",
            "-f",
            "{{.Id}}",
            &format!("app:{version}"),
        ]);
        let payload = policy::payload(&id, "docker.io/library/app");
        let signature = policy::sign(&keys, &payload);
        let payload = sh(&format!("base64 -w0 {keys}/payload"));
        let mut proof = Archive::new();
        let text =
            format!(r#"{{"signatures":[{{"payload":"{payload}","signature":"{signature}"}}]}}"#);
        proof.file("signatures.json", 0o644, text);
        let mut archive = image(version);
        archive.truncate(archive.len() - 1024);
        archive.extend(proof.finish());
        archive
    };
    load(&device, &signed(1));
    let refused = device.tug(&["load", "-i", &unsigned]);
    let sentence = "it has no signature";
    assert!(refused.stderr.contains(sentence), "{}", refused.stderr);
    assert_eq!(device.tug(&["image", "inspect", "app:2"]).code, 1);
    load(&factory, &signed(2));
    device.ok(&["load", "-i", &delta(&factory)]);
    let verified = device.ok(&["image", "verify", "app:2"]);
    assert!(verified.contains("signed: sha256:"), "{verified}");
    assert_eq!(device.ok(&["run", "--rm", "app:2"]), "2");
}

#[test]
fn in_a_registry_without_lists_deltas_lie_under_a_tag() {
    if !registry::is_installed() {
        return skip(
            "delta: in_a_registry_without_lists_deltas_lie_under_a_tag",
            "no docker-registry",
        );
    }
    let registry = Registry::start();
    let factory = factory("delta-tag");
    let name = format!("{}/some/app:2", registry.host());
    factory.ok(&["tag", "app:2", &name]);
    let early = factory.tug(&["image", "delta", "--push", "app:1", &name]);
    assert_eq!(early.code, 1, "it is not there yet: {}", early.stderr);
    factory.ok(&["push", "-q", &name]);
    // Twice: what is there stays there, and is there once.
    for _ in 0..2 {
        factory.ok(&["image", "delta", "--push", "-q", "app:1", &name]);
    }
    // A second one, from another image.
    load(&factory, &image(3));
    factory.ok(&["image", "delta", "--push", "-q", "app:3", &name]);
    for (old, version) in [("app:1", 1), ("app:3", 3)] {
        let device = Host::new("delta-tag-device");
        load(&device, &image(version));
        let said = device.ok(&["pull", &name]);
        assert!(said.contains("% saved"), "{old}: {said}");
        assert_same(&device, &factory, &name);
    }

    // By tools of others, from the archive.
    if Command::new("skopeo").arg("-v").output().is_err() {
        return skip("delta: skopeo", "not installed");
    }
    let file = delta(&factory);
    let copy = factory.dir.join("copy.tar").to_str().unwrap().to_string();
    let output = Command::new("skopeo")
        .args(["--insecure-policy", "copy", "--quiet"])
        .args([
            &format!("oci-archive:{file}"),
            &format!("oci-archive:{copy}:docker.io/library/app:2"),
        ])
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let device = Host::new("delta-tag-copy");
    load(&device, &image(1));
    device.ok(&["load", "-i", &copy]);
    assert_same(&device, &factory, "app:2");
}

/// Two builds of a small Debian, made once and kept. The second has one more package, its files come
/// in another order, and all of them have the time of the build. None where no mirror can be reached.
fn debians() -> Option<[PathBuf; 2]> {
    const SCRIPT: &str = "
        new=$1.making
        mmdebstrap --quiet --variant=minbase bookworm $new.old.tar
        mmdebstrap --quiet --variant=minbase --include=less bookworm $new
        tar -C $new --sort=name --mtime=@1700000000 --numeric-owner --xattrs -cf $new.tar .
        rm -rf $new
        mv $new.old.tar $1/old.tar
        mv $new.tar $1/new.tar";
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("delta-debian-2");
    std::fs::create_dir_all(&dir).unwrap();
    let paths = ["old.tar", "new.tar"].map(|name| dir.join(name));
    if !paths[1].exists() {
        let mut command = Command::new("sh");
        command.args(["-euc", SCRIPT, "sh"]).arg(&dir);
        let output = command.output().unwrap();
        if !output.status.success() {
            println!("{}", String::from_utf8_lossy(&output.stderr));
            return None;
        }
    }
    Some(paths)
}

/// From now on the kernel notes anew how much memory a process has had at most (proc(5), clear_refs).
fn forget_peak(pid: i32) {
    std::fs::write(format!("/proc/{pid}/clear_refs"), "5").unwrap();
}

/// What /proc says of a process's memory.
fn kib(pid: i32, member: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with(member))
        .unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn one_package_of_a_debian_is_a_tenth_of_it() {
    const NAME: &str = "one_package_of_a_debian_is_a_tenth_of_it";
    if !registry::is_installed() {
        return skip(&format!("delta: {NAME}"), "no docker-registry");
    }
    let Some([old, new]) = debians() else {
        return skip(&format!("delta: {NAME}"), "no mmdebstrap, or no mirror");
    };
    let registry = Registry::start();
    let factory = Host::new("delta-debian");
    let name = |tag: &str| format!("{}/debian:{tag}", registry.host());
    for (path, tag) in [(&old, "1"), (&new, "2")] {
        factory.ok(&["import", path.to_str().unwrap(), &name(tag)]);
        factory.ok(&["push", "-q", &name(tag)]);
    }
    forget_peak(factory.engine_pid());
    let begun = std::time::Instant::now();
    factory.ok(&["image", "delta", "--push", "-q", &name("1"), &name("2")]);
    let making = begun.elapsed();
    let to_make = kib(factory.engine_pid(), "VmHWM");

    let device = Host::new("delta-debian-device");
    device.ok(&["pull", "-q", &name("1")]);
    let pid = device.engine_pid();
    forget_peak(pid);
    let before = kib(pid, "VmRSS");
    let begun = std::time::Instant::now();
    let said = device.ok(&["pull", &name("2")]);
    let applying = begun.elapsed();
    let memory = kib(pid, "VmHWM").saturating_sub(before);
    assert_same(&device, &factory, &name("2"));
    let line = said
        .lines()
        .find(|line| line.starts_with("Delta: "))
        .unwrap();

    // What the registry was asked for, by its own account.
    let whole = layer_bytes(&registry, "2");
    let log = registry.log();
    let came: u64 = log
        .lines()
        .filter(|line| line.contains("GET") && line.contains("/v2/debian/blobs/"))
        .filter_map(|line| line.split("/blobs/").nth(1))
        .map(|rest| rest[..71].to_string())
        .collect::<std::collections::BTreeSet<_>>()
        .iter()
        .filter(|digest| **digest != layer(&registry, "1").0 && **digest != layer(&registry, "2").0)
        .map(|digest| std::fs::metadata(registry.blob(digest)).unwrap().len())
        .sum();
    assert!(!log.contains(&format!("/blobs/{} ", layer(&registry, "2").0)));
    println!(
        "{line}: {came} of {whole} bytes, made in {making:?} with {to_make} KiB, applied in {applying:?} with {memory} KiB"
    );
    assert!(came * 10 <= whole, "{came} of {whole}");
    assert!(memory < 3 << 10, "{memory} KiB");
    assert!(to_make < 80 << 10, "{to_make} KiB");
}

/// The one layer of an image: its digest, and its bytes.
fn layer(registry: &Registry, tag: &str) -> (String, u64) {
    let link = registry
        .dir
        .join("data/docker/registry/v2/repositories/debian/_manifests/tags")
        .join(tag)
        .join("current/link");
    let digest = std::fs::read_to_string(link).unwrap();
    let manifest = json::parse(&std::fs::read_to_string(registry.blob(&digest)).unwrap());
    let size = manifest.text("layers.0.size").parse().unwrap();
    (manifest.string("layers.0.digest"), size)
}

fn layer_bytes(registry: &Registry, tag: &str) -> u64 {
    layer(registry, tag).1
}
