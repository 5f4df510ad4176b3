//! How a container gets its files: as an overlay, or as a copy where no overlay can be mounted. What
//! is seen is the same.

use crate::harness::command::{self, Output};
use crate::harness::rootfs::{Archive, busybox, busybox_with, docker_archive};
use crate::harness::{Host, IMAGE, PATIENCE};
use std::process::{Command, Stdio};

/// A host whose data root is what `mount` makes of the directory `$D`, in a mount namespace of the
/// engine's own.
pub fn host_on(name: &'static str, mount: &str) -> Host {
    let mut host = Host::without_engine(name);
    host.make_dir("data");
    let command = on(&host, mount, &[]);
    host.start_engine_as(command);
    host
}

fn on(host: &Host, mount: &str, options: &[&str]) -> Command {
    let mut command = Command::new("unshare");
    command
        .args(["--mount", "sh", "-ec"])
        .arg(format!("{mount}\nexec \"$@\""))
        .arg("sh")
        .args(host.engine_command())
        .args(options)
        .env("D", host.data_root());
    command
}

const TMPFS: &str = "mount -t tmpfs none $D";

/// An overlay cannot be the upper directory of another.
const ON_OVERLAY: &str = "mount -t tmpfs none $D; cd $D; mkdir lower upper work mounted
    mount -t overlay -o lowerdir=lower,upperdir=upper,workdir=work none mounted
    mount --move mounted $D";

fn host_with(name: &'static str, driver: &str) -> Host {
    let mut host = Host::without_engine(name);
    let line = host.engine_command();
    let mut command = Command::new(&line[0]);
    command.args(&line[1..]).args(["--storage-driver", driver]);
    host.start_engine_as(command);
    host
}

fn load(host: &Host, archive: &[u8]) -> Output {
    let mut client = host.client(&host.binary, &["load"]);
    client.stdin(Stdio::piped());
    command::run(client, archive, PATIENCE)
}

/// Three layers that hide, replace and link what is below them.
fn layered() -> Vec<u8> {
    let bottom = busybox_with(|more| {
        more.dir("d/", 0o755).file("d/gone", 0o644, "gone");
        more.file("d/stays", 0o644, "stays");
        more.dir("opaque/", 0o700).file("opaque/gone", 0o644, "x");
        more.dir("became-file/", 0o755)
            .file("became-file/x", 0o644, "x");
        more.file("became-dir", 0o644, "file");
        more.dir("gone-dir/", 0o755)
            .file("gone-dir/x", 0o644, "x")
            .dir("gone-dir/y/", 0o755);
        more.symlink("link", "d").file("replaced", 0o600, "old");
    });
    let mut middle = Archive::new();
    middle
        .dir("d/", 0o711)
        .file("d/.wh.gone", 0o644, "")
        .dir("opaque/", 0o750)
        .file("opaque/.wh..wh..opq", 0o644, "")
        .file("opaque/new", 0o644, "new")
        .file("became-file", 0o640, "now a file")
        .dir("became-dir/", 0o755)
        .file("became-dir/x", 0o644, "in it")
        .file(".wh.gone-dir", 0o644, "");
    let mut top = Archive::new();
    top.file("replaced", 0o4755, "new")
        .hard_link("replaced-too", "replaced")
        .dir("link/", 0o755)
        .file("link/real", 0o644, "a directory now");
    let layers = [bottom, middle.finish(), top.finish()];
    docker_archive("layered:latest", &layers, r#"{"Cmd":["sh"]}"#)
}

/// The root and /etc get mount points and so the time of the run.
const LOOK: &str = "cd / && find . -xdev | grep -v -E '^./(proc|sys|dev|etc/host|etc/resolv|bin/[^b])' | \
    sort | while read f; do stat -c '%n %F %a %u:%g %N' $f; case $f in .|./etc) ;; *) \
    stat -c %Y $f;; esac; test -f $f && sha256sum < $f; done; \
    test ! replaced -ef replaced-too || echo one file";

const CHANGE: &str = "echo more >> d/stays; rm opaque/new replaced; rm -r became-dir; \
    mkdir became-dir; echo x > became-dir/other; chmod 600 became-file; ln -s x new-link; \
    mkdir -p a/b; echo deep > a/b/c; mkfifo pipe; ln a/b/c a/hard";

/// All that a user can see of a container's files, in one text.
fn story(host: &Host) -> String {
    assert_eq!(load(host, &layered()).code, 0);
    let mut told = vec![host.ok(&["run", "--rm", "layered", "sh", "-c", LOOK])];
    told.push(host.ok(&["run", "--name", "box", "layered", "sh", "-c", CHANGE]));
    told.push(host.ok(&["diff", "box"]));
    host.ok(&["commit", "box", "committed"]);
    let look = LOOK.replace("stat -c %Y $f", "");
    told.push(host.ok(&["run", "--rm", "committed", "sh", "-c", &look]));

    // Into one that does not run, and out of it; then it runs again with what it has.
    let file = host.write("brought", "brought from outside\n");
    host.ok(&["cp", &file, "box:/a/brought"]);
    let out = host.dir.join("out");
    host.ok(&["cp", "box:/a", out.to_str().unwrap()]);
    let names = Command::new("find").arg(".").current_dir(&out).output();
    let mut names: Vec<String> = String::from_utf8(names.unwrap().stdout)
        .unwrap()
        .lines()
        .map(str::to_string)
        .collect();
    names.sort();
    told.push(names.join("\n"));
    host.ok(&["start", "box"]);
    host.until_state("box", "exited");
    told.push(host.ok(&["diff", "box"]));

    host.ok(&["run", "-d", "--name", "up", "layered", "sleep", "1000"]);
    host.ok(&["exec", "up", "sh", "-c", "echo y > /y"]);
    host.ok(&["cp", &file, "up:/z"]);
    told.push(host.ok(&["exec", "up", "cat", "/y", "/z"]));
    told.push(host.ok(&["diff", "up"]));
    host.ok(&["restart", "-t", "0", "up"]);
    told.push(host.ok(&["exec", "up", "cat", "/y", "/z"]));
    let archive = host.dir.join("export.tar");
    host.ok(&["export", "-o", archive.to_str().unwrap(), "up"]);
    let list = Command::new("tar").arg("-tf").arg(&archive).output();
    told.push(String::from_utf8(list.unwrap().stdout).unwrap());
    told.join("\n---\n")
}

#[test]
fn a_copy_looks_and_behaves_as_an_overlay_does() {
    let overlay = host_with("driver-overlay", "overlay2");
    assert_eq!(overlay.get("/info").string("Driver"), "overlay2");
    let expected = story(&overlay);
    for part in [
        "one file",
        "link/real",
        "C /d\nC /d/stays",
        "D /opaque/new",
        "brought from",
    ] {
        assert!(expected.contains(part), "{part}:\n{expected}");
    }
    assert!(!expected.contains("gone"), "{expected}");

    let copies = host_with("driver-copy", "vfs");
    let found = story(&copies);
    for (found, expected) in found.lines().zip(expected.lines()) {
        assert_eq!(found, expected);
    }
    assert_eq!(copies.inspect("box", "GraphDriver.Name"), "\"vfs\"");
    assert_eq!(copies.inspect("box", "Driver"), "\"vfs\"");
    assert_eq!(found, expected);
}

#[test]
fn where_no_overlay_can_be_mounted_containers_get_copies_and_that_is_said() {
    let mut host = host_on("driver-none", ON_OVERLAY);
    let info = host.get("/info");
    assert_eq!(info.string("Driver"), "vfs");
    let why = "storage driver vfs";
    assert!(
        info.text("Warnings").contains(why),
        "{}",
        info.text("Warnings")
    );
    assert!(host.engine_log().contains(why), "{}", host.engine_log());
    let shown = host.tug(&["info"]);
    assert!(
        shown
            .stdout
            .contains(" Storage Driver: vfs\n  Backing Filesystem: overlayfs\n")
    );
    assert!(shown.stderr.contains(why));

    // There, layers cannot have overlayfs's own marks either.
    assert_eq!(load(&host, &layered()).code, 0);
    let found = host.ok(&[
        "run", "--name", "box", "layered", "ls", "/", "/d", "/opaque",
    ]);
    assert!(found.contains("stays") && found.contains("new"), "{found}");
    assert!(!found.contains("gone"), "{found}");
    assert_eq!(host.ok(&["diff", "box"]), "");
    host.ok(&["rm", "box"]);
    assert_eq!(host.stop_engine(), Some(0));

    // Who asks for an overlay gets one, or no engine.
    let refused = command::run(
        on(&host, ON_OVERLAY, &["--storage-driver", "overlay2"]),
        b"",
        PATIENCE,
    );
    let sentence = "tug engine: error initializing graphdriver: overlay2: ";
    assert!(refused.stderr.starts_with(sentence), "{}", refused.stderr);
    assert_eq!(refused.code, 1);
}

#[test]
fn overlays_stand_on_a_tmpfs() {
    let host = host_on("driver-tmpfs", TMPFS);
    let info = host.get("/info");
    assert_eq!(info.string("Driver"), "overlay2");
    assert!(info.text("DriverStatus").contains("tmpfs"));
    host.import(IMAGE, &busybox());
    let script = "echo x > /y && rm /etc/group && rm -r /home && mkdir /home && ls /home";
    assert_eq!(
        host.ok(&["run", "--name", "box", IMAGE, "sh", "-c", script]),
        ""
    );
    assert_eq!(host.ok(&["diff", "box"]), "C /etc\nD /etc/group\nA /y");
}

#[test]
fn a_copy_outlives_a_change_of_the_driver() {
    let mut host = host_with("driver-change", "vfs");
    host.import(IMAGE, &busybox());
    host.ok(&[
        "run",
        "--name",
        "box",
        IMAGE,
        "sh",
        "-c",
        "date >> /runs; wc -l < /runs",
    ]);
    assert_eq!(host.stop_engine(), Some(0));
    host.start_engine();
    assert_eq!(host.get("/info").string("Driver"), "overlay2");
    assert_eq!(host.ok(&["start", "-a", "box"]), "2");
    host.ok(&["update", "--restart", "no", "box"]);
    assert_eq!(host.ok(&["diff", "box"]), "A /runs");
    assert_eq!(host.inspect("box", "Driver"), "\"vfs\"");
    assert_eq!(host.stop_engine(), Some(0));
    host.start_engine();
    assert_eq!(host.ok(&["start", "-a", "box"]), "3");
}
