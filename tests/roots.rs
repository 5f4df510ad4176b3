//! A root file system that nobody can write, as in firmware: squashfs or EROFS, without /tmp and
//! without a device of the machine's but the first few. Only the engine's own directories can be
//! written. (A root that is an initramfs is what the guests have: tests/guest.)

use crate::harness::rootfs::{busybox, docker_archive};
use crate::harness::{Host, eventually, skip};
use crate::store_ro::{loops, sh};
use std::path::PathBuf;
use std::process::Command;

/// Make the tree $ROOT: our binary at its place, what it is linked with if it is a debug build, and
/// places for what is mounted.
const TREE: &str = r#"
mkdir -p "$ROOT/proc" "$ROOT/sys" "$ROOT/dev" "$ROOT/old" "$ROOT$DIR" "$ROOT/bin"
cp --parents "$BINARY" /bin/busybox "$ROOT"
for library in $(ldd "$BINARY" 2>/dev/null | grep -o '/[^ ]*' || true); do
    cp --parents "$library" "$ROOT"
done
cp "$STORE" "$ROOT/store.erofs"
"#;

/// Become the engine on the root in $IMAGE. Without loop-control the store is mounted without a loop
/// device.
const ENTER: &str = r#"
mount -o loop,ro "$IMAGE" "$NEW"
mount --rbind /proc "$NEW/proc"
mount --rbind /sys "$NEW/sys"
mount -t tmpfs -o nosuid,mode=755 dev "$NEW/dev"
for name in null zero full random urandom tty; do
    cp -a "/dev/$name" "$NEW/dev"
done
mkdir "$NEW/dev/pts" "$NEW/dev/shm"
mount -t devpts -o ptmxmode=666 devpts "$NEW/dev/pts"
ln -s pts/ptmx "$NEW/dev/ptmx"
mount --bind "$DIR" "$NEW$DIR"
cd "$NEW"
pivot_root . old
exec /bin/busybox sh -ec 'cd /; /bin/busybox umount -l /old; exec "$@"' sh "$@"
"#;

/// A store made as firmware's is.
fn store(host: &Host) -> String {
    let archive = docker_archive("fw:1", &[busybox()], r#"{"Cmd":["echo","started"]}"#);
    let archive = host.write("fw.tar", archive);
    let path = host.dir.join("store.erofs").display().to_string();
    let source = format!("fw:1={archive}");
    let output = host.tug(&["store", "build", "-o", &path, &source]);
    assert_eq!(output.code, 0, "{output:?}");
    path
}

/// An engine on a root of its own, which `make` makes out of the tree $ROOT as the file $IMAGE.
fn on_root(name: &'static str, make: &str) -> Host {
    let mut host = Host::without_engine(name);
    let store = store(&host);
    // Not below the engine's directories: they are mounted inside.
    let scratch = host.dir.with_extension("root");
    let at = |name: &str| scratch.join(name).display().to_string();
    let set = format!(
        "ROOT='{}' IMAGE='{}' NEW='{}' DIR='{}' BINARY='{}' STORE='{store}'",
        at("tree"),
        at("image"),
        at("new"),
        host.dir.display(),
        host.binary.display()
    );
    sh(&format!(
        "{set}\nmkdir -p \"$NEW\"\n{TREE}\n{make} >/dev/null; rm -r \"$ROOT\""
    ));
    let mut command = Command::new("unshare");
    command
        .args(["--mount", "sh", "-ec"])
        .arg(format!("{set}\n{ENTER}"))
        .arg("sh")
        .args(host.engine_command())
        .args(["--store-ro", "/store.erofs"]);
    host.start_engine_as(command);
    host
}

/// All that writes somewhere when it is done elsewhere.
fn everything_works(host: &Host) {
    let root = PathBuf::from(format!("/proc/{}/root", host.engine_pid()));
    assert!(
        std::fs::write(root.join("x"), "").is_err() && !root.join("tmp/x").exists(),
        "the root can be written"
    );
    assert_eq!(host.ok(&["run", "--rm", "fw:1"]), "started");
    assert_eq!(
        host.ok(&["run", "--rm", "-t", "fw:1", "echo", "tty"]),
        "tty\r"
    );
    let life = "echo one >/data/x; echo up; exec sleep 1000";
    let run = [
        "run",
        "-d",
        "--name",
        "web",
        "-v",
        "data:/data",
        "fw:1",
        "sh",
        "-c",
        life,
    ];
    host.ok(&run);
    eventually("web is up", || host.ok(&["logs", "web"]) == "up");
    assert_eq!(host.ok(&["exec", "web", "cat", "/data/x"]), "one");

    let copy = host.write("copied", "two\n");
    host.ok(&["cp", &copy, "web:/y"]);
    assert_eq!(host.ok(&["exec", "web", "cat", "/y"]), "two");
    host.ok(&["commit", "web", "made:1"]);
    assert_eq!(host.ok(&["run", "--rm", "made:1", "cat", "/y"]), "two");
    let context = host.make_dir("context");
    let recipe = "FROM made:1\nRUN echo built >/z\nCMD cat /z\n";
    std::fs::write(format!("{context}/Dockerfile"), recipe).unwrap();
    host.ok(&[
        "build",
        "-q",
        "--network",
        "none",
        "-t",
        "built:1",
        &context,
    ]);
    assert_eq!(host.ok(&["run", "--rm", "built:1"]), "built");

    let saved = host.dir.join("saved.tar").display().to_string();
    host.ok(&["save", "-o", &saved, "built:1"]);
    host.ok(&["rmi", "built:1"]);
    host.ok(&["load", "-q", "-i", &saved]);
    assert_eq!(host.ok(&["run", "--rm", "built:1"]), "built");
    assert_eq!(host.tug(&["system", "check"]).code, 0);
    host.ok(&["rm", "-f", "web"]);
}

fn clear(mut host: Host) {
    assert_eq!(host.stop_engine(), Some(0));
    let scratch = host.dir.with_extension("root");
    let image = scratch.join("image").display().to_string();
    std::fs::remove_dir_all(&scratch).unwrap();
    eventually("the root's loop device is gone", || {
        loops(&image) + loops(&format!("{image} (deleted)")) == 0
    });
}

fn has_file_system(test: &str, kind: &str) -> bool {
    let known = std::fs::read_to_string("/proc/filesystems").unwrap_or_default();
    let is_there = known
        .lines()
        .any(|line| line.ends_with(&format!("\t{kind}")));
    if !is_there {
        skip(test, &format!("this kernel has no {kind}"));
    }
    is_there
}

#[test]
fn everything_works_on_a_squashfs_that_cannot_be_written() {
    if has_file_system(
        "everything_works_on_a_squashfs_that_cannot_be_written",
        "squashfs",
    ) {
        let make =
            "mksquashfs \"$ROOT\" \"$IMAGE\" -quiet -no-progress -comp gzip -Xcompression-level 1";
        let host = on_root("root-squashfs", make);
        everything_works(&host);
        clear(host);
    }
}

#[test]
fn everything_works_on_an_erofs_that_cannot_be_written() {
    if has_file_system(
        "everything_works_on_an_erofs_that_cannot_be_written",
        "erofs",
    ) {
        let host = on_root("root-erofs", "mkfs.erofs --quiet \"$IMAGE\" \"$ROOT\"");
        everything_works(&host);
        clear(host);
    }
}
