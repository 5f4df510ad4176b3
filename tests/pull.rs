//! pull: images out of registries, true ones and such as lie.

use crate::harness::command::Output;
use crate::harness::liar::{Heard, Liar, Reply, Then, reply};
use crate::harness::registry::{self, PASSWORD, Registry, USER};
use crate::harness::rootfs::{
    Archive, architecture, busybox, gzip, image_config, oci_archive, sha256,
};
use crate::harness::{Host, docker_client, eventually, json, skip};
use std::collections::BTreeMap;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

const IMAGE: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

/// What a scripted registry has in its one repository, `x`.
#[derive(Clone, Default)]
struct Shelf {
    /// By tag and by digest: type and bytes.
    manifests: BTreeMap<String, (String, Vec<u8>)>,
    blobs: BTreeMap<String, Vec<u8>>,
}

impl Shelf {
    fn manifest(&mut self, tag: &str, media_type: &str, text: &str) -> String {
        let digest = format!("sha256:{}", sha256(text.as_bytes()));
        let entry = (media_type.to_string(), text.as_bytes().to_vec());
        self.manifests.insert(digest.clone(), entry.clone());
        self.manifests.insert(tag.to_string(), entry);
        digest
    }

    /// Its descriptor.
    fn blob(&mut self, media_type: &str, bytes: &[u8]) -> String {
        let digest = format!("sha256:{}", sha256(bytes));
        let size = bytes.len();
        self.blobs.insert(digest.clone(), bytes.to_vec());
        format!(r#"{{"mediaType":"{media_type}","digest":"{digest}","size":{size}}}"#)
    }

    /// A whole image; the digest of its manifest.
    fn image(&mut self, tag: &str, layers: &[Vec<u8>]) -> String {
        let text = self.image_text(layers);
        self.manifest(tag, IMAGE, &text)
    }

    fn image_text(&mut self, layers: &[Vec<u8>]) -> String {
        let config = image_config(layers, r#"{"Cmd":["sh"],"Labels":{"who":"test"}}"#);
        let config = self.blob(CONFIG, config.as_bytes());
        let layers: Vec<String> = layers.iter().map(|l| self.blob(LAYER, &gzip(l))).collect();
        let layers = layers.join(",");
        format!(
            r#"{{"schemaVersion":2,"mediaType":"{IMAGE}","config":{config},"layers":[{layers}]}}"#
        )
    }

    fn answer(&self, heard: &Heard) -> Reply {
        let (kind, name) = match heard.target.strip_prefix("/v2/x/") {
            Some("tags/list?n=1000") => {
                let tags = self.manifests.keys().filter(|name| !name.contains(':'));
                let tags: Vec<String> = tags.map(|tag| format!("{tag:?}")).collect();
                return reply(200, "", format!(r#"{{"tags":[{}]}}"#, tags.join(",")));
            }
            Some(rest) => rest.split_once('/').unwrap(),
            None => ("", ""),
        };
        match (kind, self.manifests.get(name), self.blobs.get(name)) {
            ("manifests", Some((media_type, bytes)), _) => {
                reply(200, &format!("Content-Type: {media_type}\r\n"), bytes)
            }
            ("blobs", _, Some(bytes)) => reply(200, "", bytes),
            _ => reply(
                404,
                "",
                r#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}"#,
            ),
        }
    }

    fn serve(self) -> Liar {
        Liar::start(move |heard| self.answer(heard))
    }
}

fn layer(name: &str) -> Vec<u8> {
    let mut archive = Archive::new();
    archive.dir("etc/", 0o755);
    archive.file(&format!("etc/{name}"), 0o644, name);
    archive.finish()
}

/// A layer that takes its time.
fn long_layer() -> Vec<u8> {
    let mut archive = Archive::new();
    archive.file("zeros", 0o644, vec![0; 6 << 20]);
    archive.finish()
}

/// A layer that never comes to its end: the beginning of it, and then silence.
fn stalled(shelf: Shelf) -> Liar {
    let whole = gzip(&layer("stalled"));
    let target = format!("/v2/x/blobs/sha256:{}", sha256(&whole));
    Liar::start(move |heard| {
        let mut answer = shelf.answer(heard);
        if heard.target == target {
            answer.bytes.truncate(answer.bytes.len() - whole.len() / 2);
            answer.then = Then::Silence;
        }
        answer
    })
}

/// Pull by the API: the status, and the lines but those that depend on time.
fn pull(host: &Host, query: &str) -> (u16, Vec<String>) {
    let answer = host.http("POST", &format!("/images/create?{query}"), "");
    let lines = answer.body.lines().map(str::to_string);
    let lines = lines.filter(|line| !line.contains(r#""Downloading""#));
    (answer.status, lines.collect())
}

/// The sentence that refuses a pull, whether the answer has begun or not.
fn refusal(host: &Host, query: &str) -> String {
    let (status, lines) = pull(host, query);
    let last = json::parse(lines.last().unwrap());
    match status {
        200 => last.string("errorDetail.message"),
        _ => last.string("message"),
    }
}

/// Every name in the store.
fn store(host: &Host) -> Vec<String> {
    let find = Command::new("find").arg(host.data_root()).output().unwrap();
    let mut names: Vec<String> = String::from_utf8(find.stdout)
        .unwrap()
        .lines()
        .map(str::to_string)
        .collect();
    names.sort();
    names
}

/// A host whose engine tries each blob once.
fn impatient(name: &'static str) -> Host {
    let mut host = Host::without_engine(name);
    host.write("daemon.json", r#"{"max-download-attempts":1}"#);
    host.start_engine();
    host
}

fn has_registry(test: &str) -> bool {
    let is_there = registry::is_installed() && Command::new("skopeo").arg("-v").output().is_ok();
    if !is_there {
        skip(&format!("pull: {test}"), "no docker-registry or no skopeo");
    }
    is_there
}

fn skopeo(args: &[&str]) {
    let output = Command::new("skopeo").args(args).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "skopeo {args:?}: {errors}");
}

/// What GNU find tells of all files below a directory; the size of a directory is its file system's.
fn tree(dir: &std::path::Path) -> String {
    let script = "cd \"$0\" && find . -mindepth 1 \\( -type d -printf '%P d %m %U %G %T@\\n' \\) \
                  -o -printf '%P %y %m %U %G %s %n %T@ %l\\n' | sort";
    let find = Command::new("sh").args(["-c", script]).arg(dir).output();
    String::from_utf8(find.unwrap().stdout).unwrap()
}

#[test]
fn what_skopeo_has_pushed_runs_and_has_gnu_tars_tree() {
    if !has_registry("what_skopeo_has_pushed_runs_and_has_gnu_tars_tree") {
        return;
    }
    let host = Host::new("pull-skopeo");
    let registry = Registry::start();
    let mut upper = Archive::new();
    upper.dir("srv/", 0o2750);
    upper.file("srv/data", 0o640, "of the upper layer");
    upper.hard_link("srv/twin", "srv/data");
    upper.symlink("srv/link", "../etc/passwd");
    let layers = [busybox(), upper.finish()];
    let file = host.write(
        "image.tar",
        oci_archive("x:1", &layers, r#"{"Cmd":["sh"]}"#),
    );

    for format in ["oci", "v2s2"] {
        let name = format!("{}/some/{format}:1", registry.host());
        skopeo(&[
            "--insecure-policy",
            "copy",
            "--dest-tls-verify=false",
            "--format",
            format,
            &format!("oci-archive:{file}"),
            &format!("docker://{name}"),
        ]);
        let told = host.ok(&["pull", &name]);
        assert!(
            told.ends_with(&format!("newer image for {name}\n{name}")),
            "{told}"
        );
        assert_eq!(
            host.ok(&[
                "run",
                "--rm",
                "--network",
                "none",
                &name,
                "cat",
                "/srv/twin"
            ]),
            "of the upper layer"
        );
        // In both formats it is the same image, so the second time all of it is there.
        assert_eq!(told.contains("Pull complete"), format == "oci", "{told}");
    }
    for (n, layer) in layers.iter().enumerate() {
        let tar = host.write("layer.tar", layer);
        let dir = host.make_dir(&format!("tree{n}"));
        let untar = Command::new("tar")
            .args(["-C", &dir, "--delay-directory-restore", "-xpf", &tar])
            .status();
        assert!(untar.unwrap().success());
        let ours = host
            .data_root()
            .join("layers")
            .join(sha256(layer))
            .join("diff");
        assert!(
            tree(&ours) == tree(dir.as_ref()),
            "{ours:?} is not what tar makes"
        );
    }
}

#[test]
fn pull_tells_what_docker_tells() {
    let host = Host::new("pull-words");
    let mut shelf = Shelf::default();
    let layers = [layer("one"), layer("two")];
    let digest = shelf.image("1", &layers);
    let short: Vec<String> = layers
        .iter()
        .map(|l| sha256(&gzip(l))[..12].to_string())
        .collect();
    let sizes: Vec<usize> = layers.iter().map(|l| gzip(l).len()).collect();
    let server = shelf.serve();
    let name = format!("{}/x", server.host());

    let (status, lines) = pull(&host, &format!("fromImage={name}&tag=1"));
    assert_eq!(status, 200);
    // The layers come side by side; each has its own order.
    let of = |id: &str| -> Vec<&String> { lines.iter().filter(|l| l.contains(id)).collect() };
    for (id, size) in short.iter().zip(sizes) {
        let line =
            |status: &str| format!(r#"{{"status":"{status}","progressDetail":{{}},"id":"{id}"}}"#);
        let full = format!(
            r#"{{"status":"Extracting","progressDetail":{{"current":{size},"total":{size}}},"id":"{id}"}}"#
        );
        assert_eq!(
            of(id),
            [
                &line("Pulling fs layer"),
                &line("Verifying Checksum"),
                &line("Download complete"),
                &full,
                &line("Pull complete"),
            ]
        );
    }
    assert_eq!(lines[0], r#"{"status":"Pulling from x","id":"1"}"#);
    let end = [
        format!(r#"{{"status":"Digest: {digest}"}}"#),
        format!(r#"{{"status":"Status: Downloaded newer image for {name}:1"}}"#),
    ];
    assert_eq!(lines[lines.len() - 2..], end);

    let (_, again) = pull(&host, &format!("fromImage={name}:1"));
    let end = [
        lines[0].clone(),
        format!(r#"{{"status":"Digest: {digest}"}}"#),
        format!(r#"{{"status":"Status: Image is up to date for {name}:1"}}"#),
    ];
    assert_eq!(again, end);

    let image = host.get(&format!("/images/{name}:1/json"));
    assert_eq!(image.text("RepoDigests"), format!(r#"["{name}@{digest}"]"#));
    assert_eq!(image.text("RepoTags"), format!(r#"["{name}:1"]"#));
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs();
    let until = (now + 1).to_string();
    let events = host.ok(&[
        "events",
        "--since",
        "1",
        "--until",
        &until,
        "--filter",
        "event=pull",
        "--format",
        "{{.Type}} {{.Actor.ID}} {{.Actor.Attributes.name}} {{.Actor.Attributes.who}}",
    ]);
    assert_eq!(
        events,
        format!("image {name}:1 {name} test\nimage {name}:1 {name} test")
    );
    let id = image.string("Id");
    let source = host
        .data_root()
        .join("images")
        .join(&id["sha256:".len()..])
        .join("source.json");
    assert_eq!(
        format!("sha256:{}", sha256(&std::fs::read(source).unwrap())),
        digest
    );
}

#[test]
fn a_registry_that_fails_for_a_moment_is_asked_again_and_that_is_told() {
    let host = Host::new("pull-again");
    let mut shelf = Shelf::default();
    shelf.image("1", &[layer("one")]);
    let digest = sha256(&gzip(&layer("one")));
    let failures = AtomicU32::new(0);
    let server = Liar::start(move |heard| {
        let is_first =
            heard.target.ends_with(&digest) && failures.fetch_add(1, Ordering::SeqCst) == 0;
        match is_first {
            true => reply(503, "", "a moment please"),
            false => shelf.answer(heard),
        }
    });
    let told = host.ok(&["pull", &format!("{}/x:1", server.host())]);
    assert!(told.contains("Retrying in 1 second\n"), "{told}");
    assert!(told.contains("Status: Downloaded newer image"), "{told}");
}

#[test]
fn what_fails_before_anything_is_told_has_its_own_status() {
    let host = Host::new("pull-status");
    let server = Shelf::default().serve();
    let name = format!("{}/x", server.host());
    for (query, status, sentence) in [
        (
            format!("fromImage={name}&tag=no"),
            404,
            format!("manifest for {name}:no not found: manifest unknown: manifest unknown"),
        ),
        (
            format!("fromImage={name}&tag=-"),
            400,
            "invalid tag format".to_string(),
        ),
        (
            format!("fromImage={name}&tag=1&platform=odd"),
            400,
            "\"odd\": unknown operating system or architecture: invalid argument".to_string(),
        ),
        (
            "fromImage=Upper&tag=1".to_string(),
            400,
            "invalid reference format: repository name (library/Upper) must be lowercase"
                .to_string(),
        ),
    ] {
        let answer = host.http("POST", &format!("/images/create?{query}"), "");
        assert_eq!(answer.error(), (status, sentence), "{query}");
    }
    let nobody = host.tug(&["pull", "127.0.0.1:1/x"]);
    assert_eq!(nobody.code, 1);
    assert!(nobody.stderr.contains("connection refused"), "{nobody:?}");
}

#[test]
fn layers_that_are_there_are_not_downloaded_again() {
    let host = Host::new("pull-shared");
    let mut shelf = Shelf::default();
    shelf.image("1", &[layer("base"), layer("one")]);
    shelf.image("2", &[layer("base"), layer("two"), layer("base")]);
    let server = shelf.serve();
    let name = format!("{}/x", server.host());
    host.ok(&["pull", "-q", &format!("{name}:1")]);
    let told = host.ok(&["pull", &format!("{name}:2")]);
    assert_eq!(told.matches("Already exists").count(), 2, "{told}");
    let base = format!("GET /v2/x/blobs/sha256:{}", sha256(&gzip(&layer("base"))));
    assert_eq!(
        server.lines().iter().filter(|line| **line == base).count(),
        1
    );
    // And what they share stays when one of them goes.
    host.ok(&["rmi", &format!("{name}:1")]);
    let layers = host.data_root().join("layers");
    assert!(layers.join(sha256(&layer("base"))).exists());
    assert!(!layers.join(sha256(&layer("one"))).exists());
}

#[test]
fn an_index_leads_to_the_image_for_the_platform() {
    let host = Host::new("pull-index");
    let mut shelf = Shelf::default();
    let entry = |shelf: &mut Shelf, platform: &str, name: &str| {
        let text = shelf.image_text(&[layer(name)]);
        let text = text.replace(architecture(), platform);
        let digest = shelf.manifest(name, IMAGE, &text);
        let mut parts = platform.split('/');
        let architecture = parts.next().unwrap();
        let variant = parts
            .next()
            .map_or(String::new(), |v| format!(r#","variant":"{v}""#));
        format!(
            r#"{{"mediaType":"{IMAGE}","digest":"{digest}","size":{},"platform":{{"os":"linux","architecture":"{architecture}"{variant}}}}}"#,
            text.len()
        )
    };
    let entries = [
        entry(&mut shelf, "arm/v5", "five"),
        entry(&mut shelf, "arm/v6", "six"),
        entry(&mut shelf, "s390x", "ess"),
        entry(&mut shelf, architecture(), "own"),
    ];
    let index = |entries: &[String]| {
        format!(
            r#"{{"schemaVersion":2,"mediaType":"{INDEX}","manifests":[{}]}}"#,
            entries.join(",")
        )
    };
    let digest = shelf.manifest("all", INDEX, &index(&entries));
    shelf.manifest("few", INDEX, &index(&entries[..3]));
    let server = shelf.serve();
    let name = format!("{}/x", server.host());

    let pulled = |platform: &str| {
        host.ok(&["pull", "-q", "--platform", platform, &format!("{name}:all")]);
        let image = host.get(&format!("/images/{name}:all/json"));
        assert_eq!(image.text("RepoDigests"), format!(r#"["{name}@{digest}"]"#));
        image.string("RootFS.Layers.0")
    };
    let diff = |name: &str| format!("sha256:{}", sha256(&layer(name)));
    assert_eq!(pulled("linux/arm/v7"), diff("six"));
    assert_eq!(pulled("linux/arm/v5"), diff("five"));
    assert_eq!(pulled("linux/s390x"), diff("ess"));
    assert_eq!(pulled("linux"), diff("own"));
    host.ok(&["pull", "-q", &format!("{name}:all")]);
    // The digest of the index finds the image, too.
    assert_eq!(
        host.get(&format!("/images/{name}@{digest}/json"))
            .string("RootFS.Layers.0"),
        diff("own")
    );

    let missing = host.tug(&[
        "pull",
        "-q",
        "--platform",
        "linux/riscv64",
        &format!("{name}:few"),
    ]);
    missing.assert_refused(
        1,
        "no matching manifest for linux/riscv64 in the manifest list entries",
    );
    // One that is no index is taken, with a warning.
    let odd = host.ok(&[
        "pull",
        "--platform",
        "linux/riscv64",
        &format!("{name}:own"),
    ]);
    assert!(
        odd.contains(&format!(
            "WARNING: image with reference {name}:own was found but its platform (linux/{}) does not match the specified platform (linux/riscv64)",
            architecture()
        )),
        "{odd}"
    );
}

/// Each lie: a tag, what is served under it, and what is said to it.
fn lies() -> (Shelf, Vec<(&'static str, &'static str)>) {
    let mut shelf = Shelf::default();
    let mut expected = Vec::new();
    let good = shelf.image_text(&[layer("good")]);
    let packed = gzip(&layer("good"));
    let (digest, size) = (sha256(&packed), packed.len());
    let mut lie = |shelf: &mut Shelf, tag: &'static str, text: &str, sentence: &'static str| {
        shelf.manifest(tag, IMAGE, text);
        expected.push((tag, sentence));
    };

    // Bytes that are not those of the digest; the last two are valid archives.
    let mut flipped = packed.clone();
    flipped[size - 20] ^= 1;
    let stranger = gzip(&layer("stranger"));
    let with = |shelf: &mut Shelf, n: u8, bytes: Vec<u8>| {
        let digest = format!("{n:064x}");
        let length = bytes.len();
        shelf.blobs.insert(format!("sha256:{digest}"), bytes);
        let there = format!(r#""digest":"sha256:{}","size":{size}"#, sha256(&packed));
        let other = format!(r#""digest":"sha256:{digest}","size":{length}"#);
        assert!(good.contains(&there));
        good.replace(&there, &other)
    };
    let text = with(&mut shelf, 1, flipped);
    lie(&mut shelf, "flipped", &text, "layer 000000000000: ");
    let text = with(&mut shelf, 2, packed.clone());
    lie(
        &mut shelf,
        "digest",
        &text,
        "filesystem layer verification failed for digest sha256:0000",
    );
    let text = with(&mut shelf, 3, packed[..size - 30].to_vec());
    lie(&mut shelf, "truncated", &text, "unexpected end");
    let text = with(&mut shelf, 4, b"not an archive at all".to_vec());
    lie(&mut shelf, "text", &text, "this is not a tar archive");

    let there = format!(r#""digest":"sha256:{digest}","size":{size}"#);
    let sized = |size: &str| {
        good.replace(
            &there,
            &format!(r#""digest":"sha256:{digest}","size":{size}"#),
        )
    };
    lie(
        &mut shelf,
        "short",
        &sized(&(size - 1).to_string()),
        "the manifest says",
    );
    lie(
        &mut shelf,
        "long",
        &sized(&(size + 1).to_string()),
        "the manifest says",
    );
    lie(
        &mut shelf,
        "huge",
        &sized("4611686018427387904"),
        "not enough space",
    );
    lie(&mut shelf, "negative", &sized("-1"), "layers");

    // Another layer than the configuration's, whole and with its own digest.
    let other = shelf.blob(LAYER, &stranger);
    let own = format!(r#"{{"mediaType":"{LAYER}",{there}}}"#);
    lie(
        &mut shelf,
        "diff",
        &good.replace(&own, &other),
        "it is not what the image was made of",
    );
    let two = format!("{own},{other}");
    lie(
        &mut shelf,
        "count",
        &good.replace(&own, &two),
        "layers from manifest don't match image configuration",
    );
    let many = vec![own.clone(); 501].join(",");
    let config = image_config(&vec![layer("good"); 501], "{}");
    let config = shelf.blob(CONFIG, config.as_bytes());
    let text = format!(r#"{{"schemaVersion":2,"config":{config},"layers":[{many}]}}"#);
    lie(&mut shelf, "many", &text, "an image of 501 layers");

    let config = image_config(&[layer("good")], "{}").replace("linux", "windows");
    let config = shelf.blob(CONFIG, config.as_bytes());
    let text = format!(r#"{{"schemaVersion":2,"config":{config},"layers":[{own}]}}"#);
    lie(
        &mut shelf,
        "windows",
        &text,
        "cannot download image with operating system \"windows\"",
    );
    let end = good.find(r#","layers""#).unwrap();
    let start = good.find(r#""config""#).unwrap();
    let config = &good[start..end];
    let instead = |config: &str| format!("{}{config}{}", &good[..start], &good[end..]);
    let big =
        format!(r#""config":{{"mediaType":"{CONFIG}","digest":"sha256:{digest}","size":4194305}}"#);
    lie(
        &mut shelf,
        "config-size",
        &instead(&big),
        "image configuration sha256:",
    );
    let stranger = format!(
        r#""config":{{"mediaType":"{CONFIG}","digest":"sha256:{:064x}","size":21}}"#,
        4
    );
    lie(
        &mut shelf,
        "config-digest",
        &instead(&stranger),
        "image config verification failed for digest",
    );
    let chart = config.replace(CONFIG, "application/vnd.cncf.helm.config.v1+json");
    lie(
        &mut shelf,
        "chart",
        &instead(&chart),
        "is no container image: its configuration is of type \"application/vnd.cncf.helm.config.v1+json\"",
    );
    lie(
        &mut shelf,
        "proof",
        &good.replace(LAYER, "application/vnd.in-toto+json"),
        "is no archive",
    );
    lie(
        &mut shelf,
        "path",
        &good.replace(&format!("sha256:{digest}"), "sha256:../../../../etc/passwd"),
        "invalid digest",
    );

    let both = good.replacen('{', r#"{"manifests":[],"#, 1);
    lie(&mut shelf, "both", &both, "both an index and a manifest");
    let text = good.replacen(IMAGE, INDEX, 1);
    shelf.manifest("type", INDEX, &text);
    lie(&mut shelf, "other-type", &text, "it says that it is");
    expected.push(("type", "is ambiguous"));
    shelf.manifest(
        "schema1",
        "application/vnd.docker.distribution.manifest.v1+prettyjws",
        r#"{"schemaVersion":1}"#,
    );
    expected.push(("schema1", "schema 1"));
    shelf.manifest("empty", IMAGE, "");
    expected.push(("empty", "manifest"));
    let large = good.replacen('{', &format!("{{{}", " ".repeat(4 << 20)), 1);
    shelf.manifest("large", IMAGE, &large);
    expected.push(("large", "4194304"));

    // Lists of lists: each names the one before.
    let mut text = format!(r#"{{"schemaVersion":2,"mediaType":"{INDEX}","manifests":[]}}"#);
    for _ in 0..8 {
        let digest = shelf.manifest("deep", INDEX, &text);
        let size = text.len();
        text = format!(
            r#"{{"schemaVersion":2,"mediaType":"{INDEX}","manifests":[{{"mediaType":"{INDEX}","digest":"{digest}","size":{size}}}]}}"#
        );
    }
    expected.push(("deep", "are nested too deep"));
    (shelf, expected)
}

#[test]
fn what_a_registry_lies_about_is_refused_and_the_store_is_as_before() {
    let host = impatient("pull-lies");
    let (mut shelf, lies) = lies();
    shelf.image("kept", &[layer("kept")]);
    shelf.image("good", &[layer("good")]);
    let server = shelf.serve();
    let name = format!("{}/x", server.host());
    host.ok(&["pull", "-q", &format!("{name}:kept")]);
    let before = store(&host);
    for (tag, sentence) in lies {
        let said = refusal(&host, &format!("fromImage={name}&tag={tag}"));
        assert!(said.contains(sentence), "{tag}: {said}");
        assert_eq!(store(&host), before, "{tag}: {said}");
    }
    host.ok(&["pull", "-q", &format!("{name}:good")]);
    let id = host.ok(&["create", "--name", "kept", &format!("{name}:good"), "x"]);
    assert_eq!(host.tug(&["cp", &format!("{id}:/etc/good"), "-"]).code, 0);
}

#[test]
fn an_image_by_digest_has_no_tag_and_goes_by_dockers_rules() {
    let host = Host::new("pull-digest");
    let mut shelf = Shelf::default();
    let digest = shelf.image("1", &[layer("one")]);
    let server = shelf.serve();
    let name = format!("{}/x", server.host());
    let by_digest = format!("{name}@{digest}");
    let told = host.ok(&["pull", &by_digest]);
    assert!(
        told.starts_with(&format!("{by_digest}: Pulling from x\n")),
        "{told}"
    );
    assert!(
        told.ends_with(&format!("newer image for {by_digest}\n{by_digest}")),
        "{told}"
    );
    let list = |format: &str| host.ok(&["images", "--digests", "--format", format]);
    let row = "{{.Repository}} {{.Tag}} {{.Digest}}";
    let unnamed = list(row);
    assert!(unnamed.ends_with(&format!(" <none> {digest}")), "{unnamed}");

    host.ok(&["create", "--name", "user", &by_digest, "x"]);
    host.tug(&["rmi", &by_digest])
        .assert_refused(1, "(must force) - container");
    host.ok(&["rm", "user"]);
    host.ok(&["pull", "-q", &format!("{name}:1")]);
    assert_eq!(list(row), format!("{name} 1 {digest}"));
    // The digest alone goes, the tag stays; a tag that is the last takes the digest along.
    assert_eq!(
        host.ok(&["rmi", &by_digest]),
        format!("Untagged: {by_digest}")
    );
    assert_eq!(list(row), format!("{name} 1 <none>"));
    host.ok(&["pull", "-q", &format!("{name}:1")]);
    let gone = host.ok(&["rmi", &format!("{name}:1")]);
    let untagged = format!("Untagged: {name}:1\nUntagged: {by_digest}\nDeleted: sha256:");
    assert!(gone.starts_with(&untagged), "{gone}");
    assert_eq!(list(row), "");

    // A digest that the registry's bytes do not have is refused; so is one that is none.
    let other = format!("{name}@sha256:{:064x}", 7);
    host.tug(&["pull", &other])
        .assert_refused(1, "manifest unknown");
    host.tug(&["pull", &format!("{name}@sha256:12")])
        .assert_refused(1, "invalid reference format");
}

#[test]
fn all_tags_of_a_repository_come_with_one_command() {
    let host = Host::new("pull-all");
    let mut shelf = Shelf::default();
    shelf.image("1", &[layer("one")]);
    shelf.image("2", &[layer("two")]);
    let server = shelf.serve();
    let name = format!("{}/x", server.host());
    let told = host.ok(&["pull", "-a", &name]);
    assert!(
        told.contains("1: Pulling from x") && told.contains("2: Pulling from x"),
        "{told}"
    );
    assert!(
        told.ends_with(&format!("Downloaded newer image for {name}\n{name}")),
        "{told}"
    );
    assert_eq!(host.ok(&["images", "-q", &name]).lines().count(), 2);
    host.tug(&["pull", "-a", &format!("{name}:1")])
        .assert_refused(1, "tag can't be used with --all-tags/-a");
}

#[test]
fn run_and_create_pull_what_is_missing() {
    let host = Host::new("pull-run");
    let mut shelf = Shelf::default();
    let digest = shelf.image("latest", &[busybox()]);
    let server = shelf.serve();
    let name = format!("{}/x", server.host());
    let run = |more: &[&str]| {
        let mut words = vec!["run", "--rm", "--network", "none"];
        words.extend(more);
        words.extend([name.as_str(), "echo", "ran"]);
        host.tug(&words)
    };
    run(&["--pull", "never"]).assert_refused(125, &format!("No such image: {name}:latest"));
    let first = run(&[]);
    let id = &sha256(&gzip(&busybox()))[..12];
    let told = format!(
        "Unable to find image '{name}:latest' locally\nlatest: Pulling from x\n\
         {id}: Pulling fs layer\n{id}: Verifying Checksum\n{id}: Download complete\n{id}: Pull complete\n\
         Digest: {digest}\nStatus: Downloaded newer image for {name}:latest\n"
    );
    assert_eq!(first, Output::new(0, "ran\n", &told));
    assert_eq!(run(&[]), Output::new(0, "ran\n", ""));
    let told = format!(
        "latest: Pulling from x\nDigest: {digest}\nStatus: Image is up to date for {name}:latest\n"
    );
    assert_eq!(run(&["--pull", "always"]), Output::new(0, "ran\n", &told));
    assert_eq!(
        run(&["--pull", "always", "-q"]),
        Output::new(0, "ran\n", "")
    );
    let missing = host.tug(&["create", &format!("{name}:no")]);
    missing.assert_refused(1, "manifest unknown");
}

#[test]
fn the_docker_client_pulls() {
    let host = Host::new("pull-docker");
    if docker_client().is_none() {
        skip("pull: the_docker_client_pulls", "no docker client in PATH");
        return;
    }
    let mut shelf = Shelf::default();
    let digest = shelf.image("latest", &[layer("one")]);
    let server = shelf.serve();
    let name = format!("{}/x", server.host());
    let id = &sha256(&gzip(&layer("one")))[..12];
    let told = format!(
        "Using default tag: latest\nlatest: Pulling from x\n\
         {id}: Pulling fs layer\n{id}: Verifying Checksum\n{id}: Download complete\n{id}: Pull complete\n\
         Digest: {digest}\nStatus: Downloaded newer image for {name}:latest\n{name}:latest\n"
    );
    assert_eq!(
        host.docker(&["pull", &name]).unwrap(),
        Output::new(0, &told, "")
    );
    // Ours prints the same.
    host.ok(&["rmi", &name]);
    assert_eq!(host.tug(&["pull", &name]), Output::new(0, &told, ""));
    let quiet = host.docker(&["pull", "-q", &name]).unwrap();
    assert_eq!(quiet, Output::new(0, &format!("{name}:latest\n"), ""));
}

#[test]
fn two_pulls_at_once_share_their_layers() {
    let host = Host::new("pull-twice");
    let mut shelf = Shelf::default();
    shelf.image("1", &[long_layer(), layer("one")]);
    shelf.image("2", &[layer("two"), long_layer()]);
    let server = shelf.serve();
    let name = format!("{}/x", server.host());
    let tags = ["1", "2", "1"].map(|tag| format!("{name}:{tag}"));
    let mut pulls: Vec<_> = tags.iter().map(|tag| host.spawn(&["pull", tag])).collect();
    for pull in &mut pulls {
        let output = pull.wait(crate::harness::PATIENCE);
        assert_eq!((output.code, output.stderr.as_str()), (0, ""), "{output:?}");
    }
    let mut asked = server.lines();
    asked.retain(|line| line.contains("/blobs/"));
    let count = asked.len();
    asked.sort();
    asked.dedup();
    // Three layers and two configurations; the third pull may have read its own copy of one.
    assert_eq!(asked.len(), 5, "{asked:?}");
    assert!(count <= 6, "{count}");
    assert_eq!(host.ok(&["images", "-q", &name]).lines().count(), 2);
}

#[test]
fn a_client_that_goes_away_ends_its_pull() {
    let host = Host::new("pull-gone");
    let mut shelf = Shelf::default();
    shelf.image("1", &[layer("stalled"), layer("one")]);
    let good = shelf.clone().serve();
    let server = stalled(shelf);
    let before = store(&host);
    let name = format!("{}/x:1", server.host());
    let pull = host.spawn(&["pull", &name]);
    pull.until_stdout("a layer is there", |told| {
        told.contains("Download complete")
    });
    assert_ne!(store(&host), before);
    let since = Instant::now();
    drop(pull);
    eventually("the pull has ended", || store(&host) == before);
    // Long before the registry would be given up.
    assert!(since.elapsed() < Duration::from_secs(10));
    assert_eq!(host.ok(&["images", "-q"]), "");
    // The next one finds nothing in its way.
    host.ok(&["pull", "-q", &format!("{}/x:1", good.host())]);
}

#[test]
fn an_engine_that_is_killed_in_a_pull_has_the_old_store_afterwards() {
    let mut host = Host::new("pull-killed");
    let mut shelf = Shelf::default();
    shelf.image("0", &[layer("old")]);
    shelf.image("1", &[layer("one"), layer("stalled")]);
    let good = shelf.clone().serve();
    let server = stalled(shelf);
    let name = format!("{}/x", server.host());
    host.ok(&["pull", "-q", &format!("{name}:0")]);
    let before = host.ok(&["images", "--digests"]);
    let mut pull = host.spawn(&["pull", &format!("{name}:1")]);
    pull.until_stdout("the pull begins", |told| told.contains("Download complete"));
    host.kill_engine();
    assert_ne!(pull.wait(crate::harness::PATIENCE).code, 0);
    host.start_engine();
    assert_eq!(host.ok(&["images", "--digests"]), before);
    assert!(
        !host
            .data_root()
            .join("layers")
            .join(sha256(&layer("one")))
            .exists()
    );
    host.ok(&["pull", "-q", &format!("{}/x:1", good.host())]);
}

#[test]
fn a_registry_with_a_password_is_open_to_who_has_logged_in() {
    if !has_registry("a_registry_with_a_password_is_open_to_who_has_logged_in") {
        return;
    }
    let host = Host::new("pull-password");
    let registry = Registry::start_with(&registry::Options {
        has_password: true,
        ..Default::default()
    });
    let file = host.write("image.tar", oci_archive("x:1", &[layer("one")], "{}"));
    let name = format!("{}/secret:1", registry.host());
    skopeo(&[
        "--insecure-policy",
        "copy",
        "--dest-tls-verify=false",
        "--dest-creds",
        &format!("{USER}:{PASSWORD}"),
        &format!("oci-archive:{file}"),
        &format!("docker://{name}"),
    ]);
    let refused = host.tug(&["pull", &name]);
    assert_ne!(refused.code, 0);
    assert!(!refused.stderr.contains(PASSWORD));
    let login = host.tug_with_input(
        &["login", "-u", USER, "--password-stdin", &registry.host()],
        PASSWORD.as_bytes(),
    );
    assert_eq!(login.code, 0, "{login:?}");
    host.ok(&["pull", "-q", &name]);
    assert!(!host.engine_log().contains(PASSWORD));
}
