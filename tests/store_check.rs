//! `system check` finds what is wrong with an image, names it, and `--repair` puts it right.

use crate::harness::command::{self, Output};
use crate::harness::registry::{self, Registry};
use crate::harness::rootfs::{Archive, busybox, docker_archive};
use crate::harness::{Host, PATIENCE, skip};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const NAME: &str = "checked:1";

/// The layer with which the tests play, and an archive of an image that has it.
fn layer() -> Vec<u8> {
    let mut layer = Archive::new();
    layer
        .dir("d/", 0o755)
        .file("d/one", 0o644, "the first file")
        .file("d/two", 0o640, "the second file")
        .hard_link("d/linked", "d/one")
        .symlink("d/link", "one")
        .file("replaced", 0o644, "by what comes later")
        .file("replaced", 0o644, "later")
        .file(".wh.home", 0o644, "");
    layer.finish()
}

fn archive() -> Vec<u8> {
    docker_archive(NAME, &[busybox(), layer()], r#"{"Cmd":["cat","/d/one"]}"#)
}

fn load(host: &Host, archive: &[u8]) {
    let mut client = host.client(&host.binary, &["load"]);
    client.stdin(Stdio::piped());
    let output = command::run(client, archive, PATIENCE);
    assert_eq!(output.code, 0, "{output:?}");
}

fn diff_id() -> String {
    crate::harness::rootfs::sha256(&layer())
}

fn place(host: &Host) -> PathBuf {
    host.data_root().join("layers").join(diff_id())
}

fn check(host: &Host, options: &[&str]) -> Output {
    host.tug(&[&["system", "check"], options].concat())
}

const SOUND: &str = "1 images and 2 layers are sound\n";

#[test]
fn what_is_wrong_is_named_and_an_archive_puts_it_right() {
    let host = Host::new("check");
    let archive = archive();
    load(&host, &archive);
    host.ok(&["create", "--name", "mine", NAME]);
    let file = host.write("image.tar", &archive);
    assert_eq!(check(&host, &[]), Output::new(0, SOUND, ""));

    type Harm = fn(&Path);
    let harms: [(Harm, &str); 8] = [
        (
            |d| std::fs::write(d.join("two"), "").unwrap(),
            "d/two is empty",
        ),
        (
            |d| std::fs::write(d.join("two"), "x").unwrap(),
            "d/two has another length",
        ),
        (
            |d| std::fs::remove_file(d.join("two")).unwrap(),
            "d/two is missing",
        ),
        (
            |d| {
                let mode = std::fs::Permissions::from_mode(0o777);
                std::fs::set_permissions(d.join("two"), mode).unwrap();
            },
            "d/two has another owner or mode",
        ),
        (
            |d| {
                std::fs::remove_file(d.join("link")).unwrap();
                symlink("two", d.join("link")).unwrap();
            },
            "d/link leads elsewhere",
        ),
        (
            |d| std::fs::remove_file(d.parent().unwrap().join("home")).unwrap(),
            ".wh.home is missing",
        ),
        (
            |d| std::fs::write(d.join("../../layer.json"), "{").unwrap(),
            "layer.json cannot be read, or is another layer's",
        ),
        (
            |d| std::fs::remove_dir_all(d.join("../..")).unwrap(),
            "it is missing",
        ),
    ];
    let short = &diff_id()[..12];
    for (harm, what) in harms {
        harm(&place(&host).join("diff/d"));
        let told = format!("{NAME}: layer {short}: {what}\n1 images and 2 layers: 1 problems\n");
        assert_eq!(check(&host, &["--quick"]), Output::new(1, &told, ""));
        assert_eq!(check(&host, &[]), Output::new(1, &told, ""));
        let repaired = format!("{told}layer {short}: repaired\n");
        let options = ["--repair", "--from", &file];
        assert_eq!(check(&host, &options), Output::new(0, &repaired, ""));
        assert_eq!(check(&host, &[]), Output::new(0, SOUND, ""), "{what}");
    }

    // Of a file whose length is right only the layer is known.
    std::fs::write(place(&host).join("diff/d/two"), "THE second file").unwrap();
    assert_eq!(check(&host, &["--quick"]), Output::new(0, SOUND, ""));
    let found = check(&host, &[]);
    let told = format!("{NAME}: layer {short}: its archive would have the digest sha256:");
    assert!(
        found.code == 1 && found.stdout.starts_with(&told),
        "{found:?}"
    );
    assert_eq!(check(&host, &["--repair", "--from", &file]).code, 0);

    // The container knows nothing of all that.
    assert_eq!(host.ok(&["start", "-a", "mine"]), "the first file");
}

#[test]
fn what_can_not_be_had_is_said_and_stays_as_it_is() {
    let host = Host::new("check-left");
    let archive = archive();
    load(&host, &archive);
    std::fs::write(place(&host).join("diff/d/two"), "").unwrap();
    let short = &diff_id()[..12];
    let left = format!("layer {short}: still damaged\n");
    let found = check(&host, &["--repair"]);
    assert!(
        found.code == 1 && found.stdout.ends_with(&left),
        "{found:?}"
    );
    let why = "no registry is known to have it: name an archive or an image with --from\n";
    assert_eq!(found.stderr, why);

    // An archive of something else is no help, and brings nothing.
    let other = docker_archive("other:1", &[busybox()], "{}");
    let other = host.write("other.tar", other);
    let found = check(&host, &["--repair", "--from", &other]);
    assert!(
        found.code == 1 && found.stdout.ends_with(&left),
        "{found:?}"
    );
    assert_eq!(host.ok(&["images", "-q"]).lines().count(), 1);
    let names = std::fs::read_dir(host.data_root().join("layers")).unwrap();
    assert_eq!(names.count(), 2);

    // Below a container that runs nothing is taken away.
    host.ok(&["run", "-d", "--name", "up", NAME, "sleep", "1000"]);
    let file = host.write("image.tar", &archive);
    let found = check(&host, &["--repair", "--from", &file]);
    assert!(
        found.code == 1 && found.stdout.ends_with(&left),
        "{found:?}"
    );
    assert!(
        found
            .stderr
            .contains("is below a running container: stop it first")
    );
    host.ok(&["rm", "-f", "up"]);
    assert_eq!(check(&host, &["--repair", "--from", &file]).code, 0);

    host.tug(&["system", "check", "--from", &file])
        .assert_refused(125, "--from needs --repair");
    host.tug(&["system", "check", "--repair", "--from", "/no/such"])
        .assert_refused(1, "open /no/such: No such file or directory");
}

#[test]
fn records_that_could_not_be_read_are_made_again_or_removed() {
    let mut host = Host::new("check-records");
    let archive = archive();
    load(&host, &archive);
    let file = host.write("image.tar", &archive);
    host.ok(&["create", "--name", "mine", NAME]);
    let id = host.ok(&["images", "-q", "--no-trunc"]);
    let digits = id.trim_start_matches("sha256:");
    let record = host.data_root().join("images").join(digits);

    // While the engine runs, and found by it at its start.
    std::fs::write(record.join("config.json"), "{}").unwrap();
    let found = check(&host, &["--repair", "--from", &file]);
    let told = format!(
        "{NAME}: config.json does not match its digest\n1 images and 2 layers: 1 problems\n\
         image {}: repaired\n",
        &digits[..12]
    );
    assert_eq!(found, Output::new(0, &told, ""));
    assert_eq!(check(&host, &[]), Output::new(0, SOUND, ""));
    for content in ["", "{\"layers\":[\"sha", "{\"format\":99}"] {
        std::fs::write(record.join("manifest.json"), content).unwrap();
        assert_eq!(host.stop_engine(), Some(0));
        host.start_engine();
        assert_eq!(host.ok(&["images", "-q"]), "");
        let found = check(&host, &["--repair", "--from", &file]);
        assert_eq!(found.code, 0, "{found:?}");
        assert_eq!(check(&host, &[]), Output::new(0, SOUND, ""));
        assert_eq!(host.ok(&["start", "-a", "mine"]), "the first file");
    }

    // What nobody needs goes, with its layers; what a container needs waits for better days.
    std::fs::write(record.join("manifest.json"), "").unwrap();
    assert_eq!(host.stop_engine(), Some(0));
    host.start_engine();
    let found = check(&host, &["--repair"]);
    let end = format!("image {}: still damaged\n", &digits[..12]);
    assert!(found.code == 1 && found.stdout.ends_with(&end), "{found:?}");
    host.ok(&["rm", "mine"]);
    let found = check(&host, &["--repair"]);
    let end = format!("image {}: removed\n", &digits[..12]);
    assert!(found.code == 0 && found.stdout.ends_with(&end), "{found:?}");
    let layers = std::fs::read_dir(host.data_root().join("layers")).unwrap();
    assert_eq!(layers.count(), 0);
}

#[test]
fn a_repair_that_was_cut_off_is_settled_at_the_next_start() {
    let mut host = Host::new("check-cut");
    load(&host, &archive());
    let (layer, aside) = (place(&host), place(&host).with_extension("bad"));
    assert_eq!(host.stop_engine(), Some(0));
    // Before the new one had come; and after.
    std::fs::rename(&layer, &aside).unwrap();
    host.start_engine();
    assert_eq!(check(&host, &[]), Output::new(0, SOUND, ""));
    assert_eq!(host.stop_engine(), Some(0));
    std::fs::create_dir(&aside).unwrap();
    host.start_engine();
    assert!(!aside.exists());
    assert_eq!(check(&host, &[]), Output::new(0, SOUND, ""));
}

#[test]
fn what_is_wrong_is_found_without_an_engine_as_well() {
    let mut host = Host::new("check-ctr");
    load(&host, &archive());
    assert_eq!(host.stop_engine(), Some(0));
    let root = host.data_root();
    let verify = || {
        let mut ctr = Command::new(&host.binary);
        ctr.args(["ctr", "--data-root", root.to_str().unwrap()]);
        ctr.args(["images", "check", "--verify"]);
        command::run(ctr, b"", PATIENCE)
    };
    let sound = verify();
    assert_eq!((sound.code, &sound.stderr[..]), (0, ""));
    std::fs::write(place(&host).join("diff/d/two"), "THE second file").unwrap();
    let found = verify();
    let told = format!("{NAME}: layer {}: its archive would", &diff_id()[..12]);
    assert!(
        found.code == 1 && found.stderr.starts_with(&told),
        "{found:?}"
    );
}

#[test]
fn a_registry_gives_again_what_came_from_it() {
    let name = "a_registry_gives_again_what_came_from_it";
    if !registry::is_installed() || Command::new("skopeo").arg("-v").output().is_err() {
        return skip(name, "no docker-registry or no skopeo here");
    }
    let registry = Registry::start();
    let host = Host::new("check-registry");
    let file = host.write("image.tar", archive());
    let image = format!("{}/some/image:1", registry.host());
    let pushed = Command::new("skopeo")
        .args(["copy", "-q", "--dest-tls-verify=false"])
        .arg(format!("docker-archive:{file}"))
        .arg(format!("docker://{image}"))
        .output()
        .unwrap();
    assert!(pushed.status.success(), "{pushed:?}");
    host.ok(&["pull", "-q", &image]);
    assert_eq!(check(&host, &[]), Output::new(0, SOUND, ""));
    let short = &diff_id()[..12];
    for from in [&[][..], &["--from", &image]] {
        std::fs::write(place(&host).join("diff/d/two"), "").unwrap();
        let found = check(&host, &[&["--repair"], from].concat());
        let told = format!(
            "{image}: layer {short}: d/two is empty\n1 images and 2 layers: 1 problems\n\
             layer {short}: repaired\n"
        );
        assert_eq!(found, Output::new(0, &told, ""));
        assert_eq!(check(&host, &[]), Output::new(0, SOUND, ""));
    }
    drop(registry);
    std::fs::write(place(&host).join("diff/d/two"), "").unwrap();
    let found = check(&host, &["--repair"]);
    assert!(
        found.code == 1 && found.stderr.contains("connection refused"),
        "{found:?}"
    );
    assert_eq!(host.ok(&["run", "--rm", &image]), "the first file");
}
