//! The power fails: what was told to be done is there afterwards and whole, the rest is gone.
//!
//! The store lies on an ext4 of its own in a file. EXT4_IOC_SHUTDOWN without a flush of the journal
//! takes away what no sync has put on the disk, as a power cut does.

use crate::harness::command::Running;
use crate::harness::rootfs::{busybox, busybox_with, sha256};
use crate::harness::{Host, IMAGE, PATIENCE, eventually, rounds, skip};
use crate::resume::Halting;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// `_IOR('X', 125, __u32)`, with EXT4_GOING_FLAGS_NOLOGFLUSH.
const CUT: &str =
    "open(D, '<', $ARGV[0]) or die; my $how = pack('I', 2); ioctl(D, 0x8004587d, $how) or die $!";

/// A host whose store is on a disk that can lose its power; `None` where that cannot be had.
pub fn host(name: &'static str) -> Option<Host> {
    let mut host = Host::without_engine(name);
    host.make_dir("data");
    let disk = host.write("disk", "");
    let file = std::fs::File::options().write(true).open(&disk).unwrap();
    file.set_len(64 << 20).unwrap();
    let made = Command::new("mkfs.ext4").args(["-q", "-F", &disk]).status();
    let mount = format!("mount -o loop {disk} {}", host.data_root().display());
    let probe = ["--mount", "sh", "-c", &mount];
    let can_mount = Command::new("unshare")
        .args(probe)
        .stderr(Stdio::null())
        .status();
    if !made.is_ok_and(|status| status.success()) || !can_mount.unwrap().success() {
        skip(name, "no ext4 on a loop device here");
        return None;
    }
    power_on(&mut host);
    Some(host)
}

fn disk(host: &Host) -> String {
    host.data_root()
        .with_file_name("disk")
        .display()
        .to_string()
}

/// Start the engine with the disk mounted in a mount namespace of its own. The kernel writes
/// nothing by itself for a thousand seconds.
pub fn power_on(host: &mut Host) {
    // The disk of the last time is let go when the last process of its namespace has ended.
    eventually("the disk is free", || {
        let users = Command::new("losetup").args(["-j", &disk(host)]).output();
        users.unwrap().stdout.is_empty()
    });
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c"]).arg(format!(
        "mount -o loop,commit=1000 {} {} && exec \"$@\"",
        disk(host),
        host.data_root().display()
    ));
    command.arg("sh").args(host.engine_command());
    host.start_engine_as(command);
}

/// The store as the engine sees it.
pub fn store(host: &Host) -> PathBuf {
    let root = host.data_root();
    PathBuf::from(format!(
        "/proc/{}/root{}",
        host.engine_pid(),
        root.display()
    ))
}

pub fn cut_power(host: &mut Host) {
    let mut cut = Command::new("perl");
    cut.args(["-e", CUT]).arg(store(host));
    assert!(cut.status().unwrap().success());
    host.kill_engine();
}

fn names(dir: PathBuf) -> Vec<String> {
    let entries = std::fs::read_dir(dir).unwrap();
    entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

#[test]
fn an_image_that_was_imported_is_whole_after_a_power_cut() {
    let Some(mut host) = host("power-image") else {
        return;
    };
    let payload = vec![b'p'; 500_000];
    for round in 0..rounds(5, 200) {
        let name = format!("round-{round}");
        host.import(
            &name,
            &busybox_with(|more| {
                more.file("payload", 0o644, &payload);
                more.file("round", 0o644, name.as_bytes());
            }),
        );
        cut_power(&mut host);
        power_on(&mut host);
        assert_eq!(host.ok(&["images", "-q"]).lines().count(), round + 1);
        let script = "sha256sum /payload; cat /round";
        assert_eq!(
            host.ok(&["run", "--rm", &name, "sh", "-c", script]),
            format!("{}  /payload\n{name}", sha256(&payload))
        );
    }
}

#[test]
fn a_power_cut_during_an_import_leaves_no_image_and_no_remains() {
    let Some(mut host) = host("power-import") else {
        return;
    };
    host.import(IMAGE, &busybox());
    let large = busybox_with(|more| {
        more.file("payload", 0o644, vec![b'p'; 3_000_000]);
    });
    let layers = names(store(&host).join("layers"));
    for _ in 0..rounds(3, 200) {
        let (reader, mut writer) = std::io::pipe().unwrap();
        let mut command = host.client(&crate::harness::binary(), &["import", "-", "large"]);
        let mut client = Running::start({
            command.stdin(reader);
            command
        });
        writer.write_all(&large[..large.len() / 2]).unwrap();
        eventually("a layer is in the making", || {
            names(store(&host).join("layers")).len() > layers.len()
        });
        cut_power(&mut host);
        drop(writer);
        assert_ne!(client.wait(PATIENCE).code, 0);

        power_on(&mut host);
        assert_eq!(host.ok(&["images", "--format", "{{.Repository}}"]), IMAGE);
        assert_eq!(names(store(&host).join("layers")), layers);
        assert_eq!(host.ok(&["run", "--rm", IMAGE, "echo", "up"]), "up");
    }
}

#[test]
fn a_container_and_its_exit_code_outlive_a_power_cut() {
    let Some(mut host) = host("power-container") else {
        return;
    };
    host.import(IMAGE, &busybox());
    assert_eq!(
        host.tug(&["run", "--name", "done", IMAGE, "sh", "-c", "exit 3"])
            .code,
        3
    );
    host.ok(&["create", "--name", "waiting", IMAGE, "echo", "at last"]);
    cut_power(&mut host);
    power_on(&mut host);
    assert_eq!(host.inspect("done", "State.ExitCode"), "3");
    assert_eq!(host.inspect("done", "State.Status"), "\"exited\"");
    assert_eq!(host.ok(&["start", "-a", "waiting"]), "at last");
}

#[test]
fn a_pull_goes_on_after_a_power_cut_where_it_was() {
    let Some(mut host) = host("power-resume") else {
        return;
    };
    let image = Halting::start();
    for _ in 0..rounds(1, 50) {
        let before = image.offsets().len();
        let mut client = image.pull_slowly(&host, &store(&host).join("layers"));
        cut_power(&mut host);
        assert_ne!(client.wait(PATIENCE).code, 0);
        power_on(&mut host);
        assert_eq!(host.ok(&["images", "-q"]), "");
        image.pull_the_rest(&host, &store(&host).join("layers"));
        let offsets = &image.offsets()[before..];
        assert_eq!(offsets.len(), 2, "{offsets:?}");
        assert!(offsets[1] >= 8 << 20, "{offsets:?}");
        host.ok(&["rmi", &image.name]);
    }
}
