//! Images between engines: skopeo, a registry, Debian's dockerd, and ours. What has come one way and
//! gone another is the same image, layer by layer, to the byte.

use crate::harness::command::{Output, run};
use crate::harness::registry::{self, Registry};
use crate::harness::rootfs::{Archive, busybox_with, docker_archive, oci_archive, sha256};
use crate::harness::{Host, PATIENCE, json, skip};
use crate::under_engines::Machine;
use std::process::Command;

/// Layers with links, whiteouts, and what is not to be seen in any file system.
fn layers() -> [Vec<u8>; 3] {
    let lower = busybox_with(|archive| {
        archive.dir("data/", 0o1777);
        archive.file("data/drop", 0o644, "dropped");
        archive.file("data/big", 0o4755, "many words ".repeat(20_000));
        archive.hard_link("data/twin", "data/big");
        archive.symlink("data/link", "../data/big");
    });
    let mut middle = Archive::new();
    middle.dir("data/", 0o755);
    middle.file("data/.wh.drop", 0o644, "");
    middle.file("data/new", 0o600, "new");
    let mut upper = Archive::new();
    upper.dir("opaque/", 0o755);
    upper.file("opaque/.wh..wh..opq", 0o644, "");
    let mut upper = upper.finish();
    upper.extend(b"garbage behind the end");
    [lower, middle.finish(), upper]
}

const CONFIG: &str = r#"{"Cmd":["cat","/data/new"],"Labels":{"odd":"a\u003cb"}}"#;

/// An image as the layers and the configuration say what it is.
#[derive(Debug, PartialEq)]
struct Picture {
    id: String,
    diff_ids: String,
}

impl Picture {
    fn expected() -> Picture {
        let digests = layers().map(|layer| format!("\"sha256:{}\"", sha256(&layer)));
        let config = crate::harness::rootfs::image_config(&layers(), CONFIG);
        Picture {
            id: format!("sha256:{}", sha256(config.as_bytes())),
            diff_ids: format!("[{}]", digests.join(",")),
        }
    }

    fn of(inspect: &Output) -> Picture {
        assert_eq!(inspect.code, 0, "{inspect:?}");
        let image = json::parse(inspect.stdout.trim());
        Picture {
            id: image.string("Id"),
            diff_ids: image.text("RootFS.Layers"),
        }
    }

    fn ours(host: &Host, name: &str) -> Picture {
        Picture::of(&host.tug(&["image", "inspect", "-f", "{{json .}}", name]))
    }
}

/// Members of an archive.
fn members(archive: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut archive = tar::Archive::new(archive);
    let entries = archive.entries().unwrap();
    entries
        .map(|entry| {
            let mut entry = entry.unwrap();
            let name = entry.path().unwrap().display().to_string();
            let mut content = Vec::new();
            std::io::Read::read_to_end(&mut entry, &mut content).unwrap();
            (name, content)
        })
        .collect()
}

fn saved(host: &Host, names: &[&str]) -> Vec<u8> {
    let file = host.dir.join("saved.tar").display().to_string();
    let args = [&["save", "-o", &file], names].concat();
    assert_eq!(host.tug(&args), Output::new(0, "", ""));
    std::fs::read(file).unwrap()
}

#[test]
fn what_is_saved_has_each_layer_to_the_byte_and_once() {
    let host = Host::new("save");
    let archive = docker_archive("a:1", &layers(), CONFIG);
    host.tug_with_input(&["load"], &archive);
    host.ok(&["tag", "a:1", "b/c:2"]);
    // The same file twice: Docker itself does not take that.
    let mut twice = Archive::new();
    twice.file("data/twice", 0o600, "first");
    twice.file("data/twice", 0o600, "second");
    let other = [&layers()[..2], &[twice.finish()]].concat();
    host.tug_with_input(&["load"], &oci_archive("other:1", &other, CONFIG));

    let bytes = saved(&host, &["a:1", "b/c", "other:1"]);
    let members = members(&bytes);
    let content = |name: &str| {
        let mut found = members.iter().filter(|(known, _)| known == name);
        let (_, content) = found.next().unwrap();
        assert!(found.next().is_none(), "{name} is there twice");
        content
    };
    for layer in layers().iter().chain(&other) {
        assert!(*content(&format!("blobs/sha256/{}", sha256(layer))) == *layer);
    }
    for (name, content) in &members {
        if let Some(digits) = name.strip_prefix("blobs/sha256/").filter(|n| !n.is_empty()) {
            assert_eq!(sha256(content), digits);
        }
    }
    let text = |name: &str| String::from_utf8(content(name).clone()).unwrap();
    assert_eq!(text("oci-layout"), "{\"imageLayoutVersion\":\"1.0.0\"}");
    let list = json::parse(&text("manifest.json"));
    let tags: Vec<String> = list.items().iter().map(|i| i.text("RepoTags")).collect();
    assert_eq!(tags, ["[\"a:1\",\"b/c:2\"]", "[\"other:1\"]"]);
    let index = text("index.json");
    for name in [
        "docker.io/library/a:1",
        "docker.io/b/c:2",
        "docker.io/library/other:1",
    ] {
        let annotation = format!("\"io.containerd.image.name\":\"{name}\"");
        assert_eq!(index.matches(&annotation).count(), 1, "{index}");
    }
    let top = sha256(&layers()[2]);
    assert!(text("repositories").contains(&format!("\"b/c\":{{\"2\":\"{top}\"}}")));

    let picture = Picture::ours(&host, "a:1");
    assert_eq!(picture, Picture::expected());
    // What is there is not unpacked again: its directory would have another time.
    let touched = || {
        std::fs::metadata(host.data_root().join("layers"))
            .unwrap()
            .modified()
            .unwrap()
    };
    let before = touched();
    assert_eq!(host.tug_with_input(&["load", "-q"], &bytes).code, 0);
    assert_eq!(touched(), before);
    host.ok(&["rmi", "a:1", "b/c:2", "other:1"]);
    let loaded = host.tug_with_input(&["load"], &bytes);
    let expected = "Loaded image: a:1\nLoaded image: b/c:2\nLoaded image: other:1\n";
    assert_eq!(loaded, Output::new(0, expected, ""));
    assert_eq!(Picture::ours(&host, "b/c:2"), picture);
    assert_eq!(saved(&host, &["a:1", "b/c", "other:1"]), bytes);
}

#[test]
fn save_speaks_as_docker_does() {
    let host = Host::with_image("save-words");
    host.ok(&["tag", "test", "x/test:2"]);
    for (args, sentence) in [
        (
            &["save", "nosuch"][..],
            "Error response from daemon: No such image: nosuch",
        ),
        (
            &["save", "test", "x/test:9"],
            "Error response from daemon: reference does not exist",
        ),
        (
            &["save", "--platform", "linux/s390x", "test"],
            "does not match the specified platform (linux/s390x)",
        ),
        (
            &["save", "-o", "/nonexistent/x", "test"],
            "failed to save image: invalid output path: stat /nonexistent: no such file or directory",
        ),
        (
            &["save", "-o", "/dev/null", "test"],
            "failed to save image: cannot write to a character device file",
        ),
        (&["save"], "'tug save' requires at least 1 argument"),
    ] {
        host.tug(args).assert_refused(1, sentence);
    }
    // By its id it has no name in the archive, and by a name without tag all of them.
    let id = host.ok(&["images", "-q", "test"]);
    host.ok(&["tag", "test", "test:2"]);
    let tags = |name: &str| {
        let members = members(&saved(&host, &[name]));
        let (_, list) = members
            .iter()
            .find(|(name, _)| name == "manifest.json")
            .unwrap();
        let list = json::parse(std::str::from_utf8(list).unwrap());
        list.items()[0].text("RepoTags")
    };
    assert_eq!(tags(id.trim()), "null");
    assert_eq!(tags("test"), "[\"test:2\",\"test:latest\"]");
    assert_eq!(tags("test:2"), "[\"test:2\"]");
    let events = host.ok(&[
        "events",
        "--since",
        "1h",
        "--until",
        "0s",
        "-f",
        "event=save",
    ]);
    assert_eq!(events.lines().count(), 3, "{events}");
}

/// A disk that lies is not believed.
#[test]
fn a_layer_whose_files_were_changed_is_never_saved_whole() {
    let host = Host::new("save-damaged");
    host.tug_with_input(&["load"], &docker_archive("a:1", &layers(), CONFIG));
    let digits = sha256(&layers()[0]);
    let file = host
        .data_root()
        .join("layers")
        .join(digits)
        .join("diff/data/big");
    let mut content = std::fs::read(&file).unwrap();
    content[7] ^= 1;
    std::fs::write(&file, content).unwrap();
    let target = host.dir.join("out.tar");
    let output = host.tug(&["save", "-o", target.to_str().unwrap(), "a:1"]);
    assert_eq!(output.code, 1, "{output:?}");
    assert!(!target.exists());
    assert!(
        host.engine_log()
            .contains("is damaged: its archive would have"),
        "{}",
        host.engine_log()
    );
}

/// Debian's dockerd in a machine of its own.
fn docker(machine: &mut Machine) -> String {
    let socket = format!("unix://{}", machine.path("sock"));
    let [data, exec, pid] = ["data", "exec", "pid"].map(|name| machine.path(name));
    #[rustfmt::skip]
    let line = [
        "dockerd", "-H", &socket, "--data-root", &data, "--exec-root", &exec, "--pidfile", &pid,
        "--bridge", "none", "--iptables=false", "--ip6tables=false", "--storage-driver", "vfs",
    ];
    machine.start(&line, &["docker", "-H", &socket, "version"]);
    socket
}

#[test]
fn debians_docker_loads_what_we_save_and_we_load_what_it_saves() {
    let name = "round_trip: dockerd";
    let Some(mut machine) = Machine::new(name, &["dockerd", "docker", "containerd"]) else {
        return;
    };
    let socket = docker(&mut machine);
    let asked = |args: &[&str], input: &[u8]| {
        let words = [&["docker", "-H", &socket], args].concat();
        run(machine.command(&words), input, PATIENCE)
    };
    let host = Host::new("round-trip-docker");
    host.tug_with_input(&["load"], &docker_archive("a:1", &layers(), CONFIG));
    let ours = saved(&host, &["a:1"]);
    let loaded = asked(&["load"], &ours);
    assert_eq!(loaded, Output::new(0, "Loaded image: a:1\n", ""));
    let inspect = ["image", "inspect", "-f", "{{json .}}", "a:1"];
    assert_eq!(Picture::of(&asked(&inspect, b"")), Picture::expected());

    let file = machine.path("theirs.tar");
    assert_eq!(asked(&["save", "-o", &file, "a:1"], b"").code, 0);
    host.ok(&["rmi", "a:1"]);
    assert_eq!(host.ok(&["load", "-i", &file]), "Loaded image: a:1");
    assert_eq!(Picture::ours(&host, "a:1"), Picture::expected());
    assert!(saved(&host, &["a:1"]) == ours);
    machine.stop();
}

/// Debian's skopeo.
fn skopeo(args: &[&str]) -> String {
    let mut command = Command::new("skopeo");
    command.args(["--insecure-policy"]).args(args);
    let output = run(command, b"", PATIENCE);
    assert_eq!(output.code, 0, "{args:?}: {output:?}");
    output.stdout
}

fn raw(name: &str) -> String {
    skopeo(&[
        "inspect",
        "--tls-verify=false",
        "--raw",
        &format!("docker://{name}"),
    ])
}

/// A registry with our layers as skopeo brings them; `x:1` there.
fn filled(host: &Host) -> Registry {
    let registry = Registry::start();
    let archive = host.write("layout.tar", oci_archive("1", &layers(), CONFIG));
    let to = format!("docker://{}/x:1", registry.host());
    skopeo(&[
        "copy",
        "-q",
        "--dest-tls-verify=false",
        &format!("oci-archive:{archive}"),
        &to,
    ]);
    registry
}

#[test]
fn what_was_pulled_is_pushed_again_with_its_own_manifest() {
    let name = "round_trip: registry";
    if !registry::is_installed() {
        return skip(name, "no docker-registry");
    }
    let host = Host::new("round-trip-push");
    let registry = filled(&host);
    let (from, to) = (
        format!("{}/x:1", registry.host()),
        format!("{}/y/z:2", registry.host()),
    );
    host.ok(&["pull", &from]);
    assert_eq!(Picture::ours(&host, &from), Picture::expected());
    host.ok(&["tag", &from, &to]);

    let pushed = host.ok(&["push", &to]);
    let manifest = raw(&from);
    let digest = format!("sha256:{}", sha256(manifest.as_bytes()));
    let short = layers().map(|layer| sha256(&layer)[..12].to_string());
    let [low, middle, top] = &short;
    let expected = format!(
        "The push refers to repository [{}]\n\
         {top}: Preparing\n{middle}: Preparing\n{middle}: Waiting\n{low}: Preparing\n{low}: Waiting\n\
         {low}: Mounted from x\n{middle}: Mounted from x\n{top}: Mounted from x\n\
         2: digest: {digest} size: {}",
        to.trim_end_matches(":2"),
        manifest.len()
    );
    assert_eq!(pushed, expected);
    assert_eq!(raw(&to), manifest);
    let digests = host.ok(&["image", "inspect", "-f", "{{json .RepoDigests}}", &to]);
    assert!(
        digests.contains(&format!("{}@{digest}", to.trim_end_matches(":2"))),
        "{digests}"
    );

    let again = host.ok(&["push", &to]);
    assert_eq!(again.matches("Layer already exists").count(), 3, "{again}");
    assert_eq!(host.ok(&["push", "-q", &to]), to);
}

#[test]
fn another_registry_gets_layers_that_skopeo_and_docker_take_for_the_same() {
    let name = "round_trip: registry and dockerd";
    if !registry::is_installed() {
        return skip(name, "no docker-registry");
    }
    let Some(mut machine) = Machine::new(name, &["dockerd", "docker", "containerd"]) else {
        return;
    };
    let host = Host::new("round-trip-registries");
    let (first, second) = (filled(&host), Registry::start());
    let (from, to) = (
        format!("{}/x:1", first.host()),
        format!("{}/x:1", second.host()),
    );
    host.ok(&["pull", &from]);
    host.ok(&["tag", &from, &to]);
    let pushed = host.ok(&["push", &to]);
    assert_eq!(pushed.matches(": Pushed").count(), 3, "{pushed}");
    let again = host.ok(&["push", &to]);
    assert_eq!(again.matches("Layer already exists").count(), 3, "{again}");
    assert_eq!(again.lines().last(), pushed.lines().last());

    // skopeo makes an archive of it, and we load that.
    let archive = host.dir.join("by-skopeo.tar").display().to_string();
    let target = format!("docker-archive:{archive}:by-skopeo:1");
    skopeo(&[
        "copy",
        "-q",
        "--src-tls-verify=false",
        &format!("docker://{to}"),
        &target,
    ]);
    assert_eq!(
        host.ok(&["load", "-i", &archive]),
        "Loaded image: by-skopeo:1"
    );
    assert_eq!(Picture::ours(&host, "by-skopeo:1"), Picture::expected());
    // And one of ours.
    let ours = host.write("ours.tar", saved(&host, &[&from]));
    for source in [
        format!("docker-archive:{ours}"),
        format!("oci-archive:{ours}:1"),
    ] {
        let target = format!("docker://{}/copy:1", second.host());
        skopeo(&["copy", "-q", "--dest-tls-verify=false", &source, &target]);
        let copy = format!("{}/copy:1", second.host());
        host.ok(&["pull", &copy]);
        let expected = Picture::expected();
        assert_eq!(Picture::ours(&host, &copy).diff_ids, expected.diff_ids);
        host.ok(&["rmi", &copy]);
    }

    let socket = docker(&mut machine);
    let asked = |args: &[&str]| {
        let words = [&["docker", "-H", &socket], args].concat();
        run(machine.command(&words), b"", PATIENCE)
    };
    let pulled = asked(&["pull", "-q", &to]);
    assert_eq!(pulled, Output::new(0, &format!("{to}\n"), ""));
    let inspect = ["image", "inspect", "-f", "{{json .}}", &to];
    assert_eq!(Picture::of(&asked(&inspect)), Picture::expected());
    assert_eq!(asked(&["load", "-q", "-i", &ours]).code, 0);
    let inspect = ["image", "inspect", "-f", "{{json .}}", &from];
    assert_eq!(Picture::of(&asked(&inspect)), Picture::expected());
    // What Docker pushes, we pull.
    let back = format!("{}/back:1", first.host());
    assert_eq!(asked(&["tag", &to, &back]).code, 0);
    let output = asked(&["push", "-q", &back]);
    assert_eq!(output.code, 0, "{output:?}");
    host.ok(&["pull", "-q", &back]);
    assert_eq!(Picture::ours(&host, &back), Picture::expected());
    machine.stop();
}

#[test]
fn push_speaks_as_docker_does() {
    let name = "round_trip: push";
    if !registry::is_installed() {
        return skip(name, "no docker-registry");
    }
    let host = Host::with_image("push-words");
    let registry = Registry::start();
    let repository = format!("{}/r", registry.host());
    host.ok(&["tag", "test", &repository]);
    host.ok(&["tag", "test", &format!("{repository}:2")]);
    let nowhere = "127.0.0.1:1/r";
    host.ok(&["tag", "test", nowhere]);
    let missing = format!(
        "An image does not exist locally with the tag: {}/nosuch",
        registry.host()
    );
    for (args, sentence) in [
        (
            &["push", &format!("{}/nosuch", registry.host())][..],
            &missing[..],
        ),
        (
            &["push", "-a", &format!("{}/nosuch", registry.host())],
            &missing,
        ),
        (
            &["push", &format!("{repository}:9")],
            "tag does not exist: 127.0.0.1:",
        ),
        (
            &["push", "-a", &format!("{repository}:2")],
            "tag can't be used with --all-tags/-a",
        ),
        (
            &["push", &format!("r@sha256:{}", "0".repeat(64))],
            "cannot push a digest reference",
        ),
        (
            &["push", "--platform", "linux/s390x", &repository],
            "does not match the specified platform",
        ),
        (&["push", nowhere], "connection refused"),
        (&["push"], "'tug push' requires 1 argument"),
    ] {
        let output = host.tug(args);
        assert_eq!(output.code, 1, "{args:?}: {output:?}");
        let said = output.stderr.to_lowercase();
        assert!(
            said.contains(&sentence.to_lowercase()),
            "{args:?}: {output:?}"
        );
    }
    let output = host.ok(&["push", &repository]);
    assert!(
        output.starts_with("Using default tag: latest\nThe push refers to"),
        "{output}"
    );
    assert!(
        output.contains(": Pushed\nlatest: digest: sha256:"),
        "{output}"
    );
    let all = host.ok(&["push", "-a", &repository]);
    assert!(
        all.contains("\n2: digest: ") && all.contains("\nlatest: digest: "),
        "{all}"
    );
    let events = host.ok(&[
        "events",
        "--since",
        "1h",
        "--until",
        "0s",
        "-f",
        "event=push",
    ]);
    assert_eq!(events.lines().count(), 3, "{events}");
    if let Some(output) = host.docker(&["push", &repository]) {
        assert!(output.stdout.contains("Layer already exists"), "{output:?}");
        assert_eq!(output.code, 0, "{output:?}");
    }
}
