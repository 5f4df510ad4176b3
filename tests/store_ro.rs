//! `--store-ro`: images that came with the firmware, used in place.

use crate::harness::command::Output;
use crate::harness::registry::{self, Registry};
use crate::harness::rootfs::{Archive, busybox, docker_archive};
use crate::harness::{Host, IMAGE, eventually};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Run a tool of the host's; it must succeed.
pub fn sh(script: &str) -> String {
    let output = Command::new("sh").args(["-ec", script]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).trim().to_string();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{script}: {said}{text}");
    text
}

/// Something mounted for a test, until it goes.
struct Mounted(PathBuf);

impl Mounted {
    fn new(options: &str, point: &Path) -> Mounted {
        std::fs::create_dir_all(point).unwrap();
        sh(&format!("mount {options} '{}'", point.display()));
        Mounted(point.to_path_buf())
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = rustix::mount::unmount(&self.0, rustix::mount::UnmountFlags::DETACH);
    }
}

fn layer(name: &str, content: &str) -> Vec<u8> {
    let mut archive = Archive::new();
    archive.dir("opt/", 0o755);
    archive.file(&format!("opt/{name}"), 0o644, content);
    archive.finish()
}

/// The archive of an image with two layers: busybox, and a file.
fn firmware() -> Vec<u8> {
    let layers = [busybox(), layer("firmware", "one\n")];
    docker_archive("fw:1", &layers, r#"{"Cmd":["cat","/opt/firmware"]}"#)
}

/// A store with the images `archives`, as a data root has it, in the directory `store`.
fn make_store(host: &Host, archives: &[Vec<u8>]) -> String {
    let maker = Host::new("store-ro-maker");
    for archive in archives {
        assert_eq!(maker.tug_with_input(&["load"], archive).code, 0);
    }
    let store = host.make_dir("store");
    sh(&format!(
        "cp -a '{0}/images' '{0}/layers' '{store}'",
        maker.data_root().display()
    ));
    store
}

pub fn use_stores(host: &mut Host, paths: &[&str]) {
    host.write("daemon.json", format!(r#"{{"store-ro": {paths:?}}}"#));
    host.start_engine();
}

/// An engine with a store that has `fw:1`.
fn with_firmware(name: &'static str) -> (Host, String) {
    let mut host = Host::without_engine(name);
    let store = make_store(&host, &[firmware()]);
    use_stores(&mut host, &[&store]);
    (host, store)
}

/// Loop devices over `file`.
pub fn loops(file: &str) -> usize {
    let listed = sh("losetup --list --noheadings --output BACK-FILE");
    listed.lines().filter(|line| line.trim() == file).count()
}

fn layers_of(host: &Host) -> usize {
    let names = std::fs::read_dir(host.data_root().join("layers")).unwrap();
    names.count()
}

#[test]
fn images_of_a_read_only_store_are_there_like_our_own() {
    let (host, store) = with_firmware("store-ro");
    host.import(IMAGE, &busybox());
    let names = ["images", "--format", "{{.Repository}}:{{.Tag}}"];
    let mut listed: Vec<String> = host.ok(&names).lines().map(String::from).collect();
    listed.sort();
    assert_eq!(listed, ["fw:1", "test:latest"]);
    assert_eq!(host.ok(&["run", "--rm", "fw:1"]), "one");
    let id = host.get("/images/fw:1/json").string("Id");
    assert_eq!(host.ok(&["run", "--rm", &id[7..19]]), "one");
    let row = ["images", "fw:1", "--format", "{{.ID}}"];
    assert_eq!(host.ok(&row), id[7..19]);
    assert_eq!(host.get("/images/fw:1/history").text(""), "[]");
    let lower = host
        .get("/images/fw:1/json")
        .string("GraphDriver.Data.LowerDir");
    assert!(lower.starts_with(&format!("{store}/layers/")), "{lower}");

    // An import of what a layer of the store is made of takes no space.
    assert_eq!(layers_of(&host), 0);
    // Space that nobody can have back is not counted as ours.
    let usage = host.get("/system/df");
    assert_eq!(usage.number("LayersSize"), 0);
    let row = [
        "system",
        "df",
        "--format",
        "{{.Type}} {{.Size}} {{.Reclaimable}}",
    ];
    assert!(
        host.ok(&row).starts_with("Images 0B 0B"),
        "{}",
        host.ok(&row)
    );
}

#[test]
fn what_is_read_only_cannot_be_removed_and_prune_passes_over_it() {
    let (host, store) = with_firmware("store-ro-rmi");
    let id = host.get("/images/fw:1/json").string("Id");
    for name in ["fw:1", &id, &id[7..19]] {
        for force in [false, true] {
            let args = if force {
                vec!["rmi", "-f", name]
            } else {
                vec!["rmi", name]
            };
            let sentence = format!(
                "conflict: unable to remove {name} (cannot be forced) - image {} is in the read-only store {store}",
                &id[7..19]
            );
            let output = host.tug(&args);
            assert_eq!(output.code, 1);
            assert!(output.stderr.contains(&sentence), "{}", output.stderr);
        }
    }
    let pruned = host.ok(&["image", "prune", "-a", "-f"]);
    assert_eq!(pruned, "Total reclaimed space: 0B");
    assert_eq!(host.ok(&["run", "--rm", "fw:1"]), "one");
}

#[test]
fn a_name_that_the_user_gives_is_ours_and_may_hide_one_of_the_store() {
    let (host, _store) = with_firmware("store-ro-tag");
    host.ok(&["tag", "fw:1", "mine"]);
    assert_eq!(host.ok(&["run", "--rm", "mine"]), "one");
    assert_eq!(host.ok(&["rmi", "mine"]), "Untagged: mine:latest");
    let records = host.data_root().join("images");
    let full = |entry: &std::fs::DirEntry| entry.file_name().len() == 64;
    let own = std::fs::read_dir(&records)
        .unwrap()
        .flatten()
        .filter(full)
        .count();
    assert_eq!(own, 0);

    let id = host.import("other", &busybox());
    host.ok(&["tag", "other", "fw:1"]);
    let hidden = host.get("/images/fw:1/json").string("Id");
    assert_eq!(hidden, id);
    // Without its name the one below is there for those who know its id.
    let ids = host.ok(&["images", "-q", "--no-trunc"]);
    assert_eq!(ids.lines().count(), 3, "{ids}");
    assert_eq!(host.ok(&["rmi", "fw:1"]), "Untagged: fw:1");
    assert_eq!(host.ok(&["run", "--rm", "fw:1"]), "one");
}

#[test]
fn an_image_whose_layers_went_with_a_store_is_incomplete_and_no_hindrance() {
    let (mut host, store) = with_firmware("store-ro-gone");
    host.ok(&[
        "run",
        "--name",
        "base",
        "fw:1",
        "sh",
        "-c",
        "echo two >/opt/own",
    ]);
    host.ok(&["commit", "base", "built"]);
    host.ok(&["tag", "fw:1", "kept"]);
    let read = ["run", "--rm", "built", "cat", "/opt/firmware", "/opt/own"];
    assert_eq!(host.ok(&read), "one\ntwo");
    host.import("alone", &layer("x", "y"));

    host.stop_engine();
    let away = format!("{store}-away");
    std::fs::rename(&store, &away).unwrap();
    host.start_engine();
    let log = host.engine_log();
    assert!(
        log.contains(&format!("read-only store {store} is left out: ")),
        "{log}"
    );
    let mut listed: Vec<String> = host
        .ok(&["images", "--format", "{{.Repository}}"])
        .lines()
        .map(String::from)
        .collect();
    listed.sort();
    assert_eq!(listed, ["alone", "built", "kept"]);
    for args in [&read[..], &["start", "-a", "base"]] {
        let output = host.tug(args);
        assert_ne!(output.code, 0);
        let words = ["is incomplete: layer sha256:", "No such image"];
        assert!(
            words.iter().any(|w| output.stderr.contains(w)),
            "{}",
            output.stderr
        );
    }
    assert_eq!(host.get("/images/kept/json").string("Config.Cmd.0"), "cat");

    host.stop_engine();
    std::fs::rename(&away, &store).unwrap();
    host.start_engine();
    assert_eq!(host.ok(&read), "one\ntwo");
    assert_eq!(host.ok(&["run", "--rm", "kept"]), "one");

    // Or the image comes again by another way.
    host.stop_engine();
    std::fs::rename(&store, &away).unwrap();
    host.start_engine();
    assert_eq!(host.tug_with_input(&["load"], &firmware()).code, 0);
    assert_eq!(host.ok(&read), "one\ntwo");
}

/// mount(2) takes a page of options: names of a kilobyte each, a hundred of them, must not be in it.
#[test]
fn many_layers_with_long_names_in_two_stores_are_one_root() {
    let mut host = Host::without_engine("store-ro-long");
    let mut layers = vec![busybox()];
    layers.extend((1..60).map(|n| layer(&n.to_string(), "x")));
    let below = docker_archive("below:1", &layers, "{}");
    let store = make_store(&host, &[below]);
    let deep = vec!["long,name:with=marks-".repeat(4); 12].join("/");
    let place = host.make_dir(&deep);
    sh(&format!("mv '{store}' '{place}'"));
    use_stores(&mut host, &[&format!("{place}/store")]);
    layers.extend((60..120).map(|n| layer(&n.to_string(), "x")));
    let above = docker_archive("above:1", &layers, "{}");
    assert_eq!(host.tug_with_input(&["load"], &above).code, 0);
    assert_eq!(layers_of(&host), 60);
    for (image, count) in [("below:1", "59"), ("above:1", "119")] {
        let script = "ls /opt | wc -l";
        assert_eq!(host.ok(&["run", "--rm", image, "sh", "-c", script]), count);
    }
}

#[test]
fn a_pull_and_a_push_have_the_layers_of_the_store() {
    if !registry::is_installed() {
        println!(
            "skip: a_pull_and_a_push_have_the_layers_of_the_store: docker-registry is not installed"
        );
        return;
    }
    let registry = Registry::start();
    let (host, _store) = with_firmware("store-ro-pull");
    let layers = [busybox(), layer("firmware", "one\n"), layer("new", "two\n")];
    let newer = host.write("newer.tar", docker_archive("fw:2", &layers, "{}"));
    let name = format!("{}/fw:2", registry.host());
    sh(&format!(
        "skopeo copy --quiet --dest-tls-verify=false 'docker-archive:{newer}' 'docker://{name}'"
    ));
    let pulled = host.ok(&["pull", &name]);
    assert_eq!(pulled.matches(": Already exists").count(), 2, "{pulled}");
    assert_eq!(layers_of(&host), 1);
    assert_eq!(
        host.ok(&["run", "--rm", &name, "cat", "/opt/firmware", "/opt/new"]),
        "one\ntwo"
    );

    let pushed = format!("{}/pushed:1", registry.host());
    host.ok(&["tag", "fw:1", &pushed]);
    host.ok(&["push", "--quiet", &pushed]);
    let id = host.get("/images/fw:1/json").string("Id");
    let config = sh(&format!(
        "skopeo inspect --raw --tls-verify=false 'docker://{pushed}'"
    ));
    assert!(config.contains(&id), "{config}");
    assert!(
        !host.engine_log().contains("layer.json"),
        "{}",
        host.engine_log()
    );
}

/// What a board does: firmware that cannot be written, and state that ends with the power.
#[test]
fn a_whole_life_with_a_read_only_mount_and_state_in_tmpfs() {
    let mut host = Host::without_engine("store-ro-tmpfs");
    let store = make_store(&host, &[firmware()]);
    let _bind = Mounted::new(&format!("--bind -o ro '{store}'"), Path::new(&store));
    let _state = Mounted::new("-t tmpfs tmpfs", &host.data_root());
    use_stores(&mut host, &[&store]);
    assert_eq!(host.ok(&["run", "--rm", "fw:1"]), "one");
    host.ok(&[
        "run",
        "-d",
        "--name",
        "web",
        "fw:1",
        "sh",
        "-c",
        "echo up; exec sleep 1000",
    ]);
    host.ok(&["exec", "web", "sh", "-c", "echo more >/opt/more"]);
    assert_eq!(host.ok(&["diff", "web"]), "C /opt\nA /opt/more");
    host.kill_engine();
    host.start_engine();
    assert_eq!(host.ok(&["exec", "web", "cat", "/opt/more"]), "more");
    host.ok(&["rm", "-f", "web"]);
    host.stop_engine();
}

#[test]
fn a_file_is_mounted_for_the_engine_alone_and_containers_outlive_that() {
    let mut host = Host::without_engine("store-ro-file");
    let store = make_store(&host, &[firmware()]);
    let file = format!("{store}.erofs");
    sh(&format!(
        "mkfs.erofs --quiet '{file}' '{store}'; rm -r '{store}'"
    ));
    use_stores(&mut host, &[&file]);
    let life = "cat /opt/firmware; exec sleep 1000";
    host.ok(&["run", "-d", "--name", "web", "fw:1", "sh", "-c", life]);
    let read = ["exec", "web", "cat", "/opt/firmware"];
    assert_eq!(host.ok(&read), "one");
    let places = host.exec_root().join("stores");
    assert_eq!(std::fs::read_dir(&places).unwrap().count(), 1);

    // A crash leaves the mount to the next engine.
    host.kill_engine();
    host.start_engine();
    assert_eq!(host.ok(&read), "one");
    assert_eq!(host.ok(&["run", "--rm", "fw:1"]), "one");
    assert_eq!(loops(&file), 1);

    assert_eq!(host.stop_engine(), Some(0));
    let table = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!table.contains(places.to_str().unwrap()), "{table}");
    assert!(!places.exists());
    // The container needs it still, and the next engine shares it.
    assert_eq!(loops(&file), 1);
    host.start_engine();
    assert_eq!(host.ok(&read), "one");
    assert_eq!(host.ok(&["start", "web"]), "web");
    assert_eq!(loops(&file), 1);
    assert_eq!(host.ok(&["rm", "-f", "web"]), "web");
    host.stop_engine();
    eventually("the loop device goes with its last user", || {
        loops(&file) == 0
    });
}

#[test]
fn a_store_that_is_none_is_told_and_left_out() {
    let mut host = Host::without_engine("store-ro-broken");
    let junk = host.write("junk.erofs", "junk");
    let newer = host.make_dir("newer");
    std::fs::write(format!("{newer}/format"), "2\n").unwrap();
    let torn = host.write("torn.erofs", {
        let mut bytes = vec![0; 8192];
        bytes[1024..1028].copy_from_slice(&[0xe2, 0xe1, 0xf5, 0xe0]);
        bytes
    });
    let short = host.write("short.erofs", {
        let mut bytes = vec![0; 8192];
        bytes[1024..1028].copy_from_slice(&[0xe2, 0xe1, 0xf5, 0xe0]);
        (bytes[1036], bytes[1060]) = (12, 3);
        bytes
    });
    use_stores(&mut host, &["/nonexistent", &junk, &newer, &torn, &short]);
    host.import(IMAGE, &busybox());
    assert_eq!(
        host.tug(&["run", "--rm", IMAGE, "echo", "fine"]),
        Output::new(0, "fine\n", "")
    );
    let faults = [
        ("/nonexistent", "stat /nonexistent: No such file"),
        (
            &junk,
            "it is neither a directory nor an EROFS or squashfs image",
        ),
        (
            &newer,
            "its layout has the number 2, and this program knows 1",
        ),
        (&torn, "mount erofs: "),
        (&short, "it is cut off: 8192 of 12288 bytes are there"),
    ];
    // In the log, where one looks for what the engine warns of, and where one asks whether all is well.
    let log = host.engine_log();
    let info = host.get("/info").text("Warnings");
    let check = host.tug(&["system", "check"]);
    assert_eq!(check.code, 1, "{check:?}");
    for (store, fault) in faults {
        let sentence = format!("read-only store {store} is left out: {fault}");
        assert!(
            log.contains(&format!("tugd: {sentence}")),
            "{sentence}\n{log}"
        );
        assert!(
            info.contains(&format!("WARNING: {sentence}")),
            "{sentence}\n{info}"
        );
        let line = format!("{store}: {fault}");
        assert!(check.stdout.contains(&line), "{line}\n{check:?}");
    }
    assert!(
        check.stderr.contains("1 images and 1 layers: 5 problems")
            || check.stdout.contains("1 images and 1 layers: 5 problems"),
        "{check:?}"
    );
    host.stop_engine();
    eventually("no loop device is left", || loops(&torn) == 0);
}

/// squashfs, which Debian's own tools make, and a partition in place of a file.
#[test]
fn a_squashfs_and_a_block_device_are_stores_as_well() {
    let mut host = Host::without_engine("store-ro-kinds");
    let store = make_store(&host, &[firmware()]);
    let (squashfs, erofs) = (format!("{store}.sqfs"), format!("{store}.erofs"));
    sh(&format!(
        "mksquashfs '{store}' '{squashfs}' -quiet -no-progress; mkfs.erofs --quiet '{erofs}' '{store}'"
    ));
    let device = sh(&format!("losetup --find --show --read-only '{erofs}'"));
    for path in [&squashfs, &device] {
        use_stores(&mut host, &[path]);
        assert_eq!(host.ok(&["run", "--rm", "fw:1"]), "one", "{path}");
        assert_eq!(host.tug(&["system", "check"]).code, 0, "{path}");
        assert_eq!(host.stop_engine(), Some(0));
    }
    sh(&format!("losetup --detach '{device}'"));
    eventually("no loop device is left", || {
        loops(&squashfs) + loops(&erofs) == 0
    });
}
