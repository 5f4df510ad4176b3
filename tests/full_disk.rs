//! A full disk: what needs no space goes on, what gives some back works, and the rest fails cleanly.

use crate::crashes::Trap;
use crate::harness::command::{Output, run};
use crate::harness::registry::{self, Registry};
use crate::harness::rootfs::{Archive, busybox, docker_archive};
use crate::harness::{Chance, Host, IMAGE, PATIENCE, eventually, rounds, skip};
use crate::storage_driver::host_on;
use std::process::Command;

const FULL: &str = "No space left on device";

/// Free bytes of the engine's disk.
fn free(host: &Host) -> u64 {
    let path = format!(
        "/proc/{}/root{}",
        host.engine_pid(),
        host.data_root().display()
    );
    let disk = rustix::fs::statvfs(path.as_str()).unwrap();
    disk.f_bfree * disk.f_frsize
}

fn load(host: &Host, layer: Vec<u8>) -> Output {
    let file = host.write("image.tar", docker_archive("large:1", &[layer], "{}"));
    let output = host.tug(&["load", "-q", "-i", &file]);
    std::fs::remove_file(file).unwrap();
    output
}

fn layer_of(bytes: usize) -> Vec<u8> {
    let mut layer = Archive::new();
    layer.file("large", 0o644, vec![b'x'; bytes]);
    layer.finish()
}

/// Both kinds of disks: one with a journal, one without.
const DISKS: [&str; 2] = [
    "truncate -s 48m $D/../disk; mkfs.ext4 -q -F $D/../disk; mount -o loop $D/../disk $D",
    "mount -t tmpfs -o size=40m none $D",
];

#[test]
fn on_a_disk_that_a_container_has_filled_containers_are_stopped_and_removed() {
    for disk in DISKS {
        if disk.contains("loop") && !has_ext4_on_loop() {
            skip("full disk: ext4", "no ext4 on a loop device here");
            continue;
        }
        let mut host = host_on("full", disk);
        host.import(IMAGE, &busybox());
        host.ok(&["run", "-d", "--name", "keeper", IMAGE, "sleep", "1000"]);
        host.ok(&["run", "-d", "--name", "second", IMAGE, "sleep", "1000"]);
        host.ok(&["tag", IMAGE, "other:1"]);
        let fill = "dd if=/dev/zero of=/fill bs=1M; dd if=/dev/zero of=/rest bs=512; \
            while echo x > /file$((n=n+1)); do :; done; true";
        host.tug(&["run", "--name", "writer", IMAGE, "sh", "-c", fill]);
        // Ext4 keeps a little for itself, even from root.
        assert!(free(&host) < 2 << 20, "{}", free(&host));

        // What needs space says so, and says what could be had.
        let output = load(&host, layer_of(1_000_000));
        assert!(
            output.code == 1 && output.stderr.contains(FULL),
            "{output:?}"
        );
        let could = output.stderr.split("could reclaim ").nth(1).unwrap();
        let could: u64 = could.split(' ').next().unwrap().parse().unwrap();
        assert!((20..48).contains(&could), "{output:?}");
        let create = host.tug(&["create", "--name", "new", IMAGE, "true"]);
        assert!(
            create.code == 1 && create.stderr.contains(FULL),
            "{create:?}"
        );

        // What needs none works; what has happened is known, also to the next engine.
        host.ok(&["exec", "keeper", "true"]);
        host.ok(&["stop", "-t", "0", "keeper"]);
        host.ok(&["kill", "second"]);
        host.until_state("second", "exited");
        assert_eq!(host.inspect("keeper", "State.ExitCode"), "137");
        assert_eq!(host.inspect("second", "State.Status"), "\"exited\"");
        assert_eq!(host.ok(&["ps", "-q"]), "");
        // Its files are there already; whether they can be written anew is chance.
        let start = host.tug(&["start", "keeper"]);
        assert!(start.code == 0 || start.stderr.contains(FULL), "{start:?}");
        if start.code == 0 {
            host.ok(&["stop", "-t", "0", "keeper"]);
        }

        // What gives space back needs none.
        host.ok(&["rm", "writer"]);
        eventually("the space is there again", || free(&host) > 10 << 20);
        host.ok(&["start", "keeper"]);
        host.ok(&["rmi", "other:1"]);
        host.tug(&["run", "--name", "writer", IMAGE, "sh", "-c", fill]);
        assert!(free(&host) < 2 << 20);
        let freed = host.ok(&["system", "prune", "-f"]);
        assert!(freed.contains("Total reclaimed space: "), "{freed}");
        assert_eq!(host.ok(&["run", "--rm", IMAGE, "echo", "fits"]), "fits");
        assert!(host.engine_is_alive());
    }
}

pub fn has_ext4_on_loop() -> bool {
    run(shell("mkfs.ext4 -V && losetup -f"), b"", PATIENCE).code == 0
}

fn shell(script: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", script]);
    command
}

#[test]
fn unpacking_leaves_a_twentieth_of_the_disk_alone() {
    let host = host_on("full-reserve", "mount -t tmpfs -o size=40m none $D");
    // It would fit, but for the reserve.
    let output = load(&host, layer_of(39 << 20));
    assert!(
        output.code == 1 && output.stderr.contains(FULL),
        "{output:?}"
    );
    assert!(output.stderr.contains("could reclaim 0 MiB"), "{output:?}");
    assert_eq!(host.ok(&["images", "-q"]), "");
    assert!(free(&host) > 39 << 20, "{}", free(&host));
    assert_eq!(load(&host, layer_of(36 << 20)).code, 0);
    assert_eq!(
        host.ok(&["system", "check"]),
        "1 images and 1 layers are sound"
    );
}

/// Whatever changes the disk, as the kernel of any machine has it.
const CALLS: [&str; 9] = [
    "/^(mkdir|mknod|symlink|link)",
    "/^rename",
    "/^write",
    "/^pwrite",
    "/^open",
    "/^fsync|syncfs",
    "/^(fchown|chown|lchown)",
    "/^(fchmod|chmod)",
    "/^(utime|fsetxattr|setxattr|lsetxattr|ftruncate)",
];

const ERRORS: [&str; 3] = ["ENOSPC", "EIO", "EDQUOT"];

fn half_made(host: &Host) -> Vec<String> {
    let names = std::fs::read_dir(host.data_root().join("layers")).unwrap();
    let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names
        .filter(|name| name.starts_with(".new-") || name.starts_with(".old-"))
        .collect()
}

/// Let each call fail once, the first, the second and so on, while `act` goes on.
fn fail_each(host: &mut Host, act: &[&str], image: &str) {
    let mut chance = Chance::new();
    for calls in CALLS {
        // A socket that says such a thing and lives on is none: there one would wait for an answer.
        if calls == "/^write" && act[0] == "pull" {
            continue;
        }
        // In CI here and there; before a release each one.
        let mut number = 1;
        let mut round = 0;
        loop {
            let error = ERRORS[round % ERRORS.len()];
            let trap = Trap::inject(host, calls, &format!("error={error}"), number);
            let output = host.tug(act);
            let has_failed = trap.lift();
            let what = format!("{calls} {error} {number}: {output:?}");
            assert!(host.engine_is_alive(), "{what}\n{}", host.engine_log());

            // Whole or not there, and nothing of it left; the message names what has failed.
            let check = host.tug(&["system", "check"]);
            assert_eq!(check.code, 0, "{what}\n{check:?}");
            let is_there = host.tug(&["image", "inspect", image]).code == 0;
            if output.code != 0 && !is_there {
                let told = ["os error 28", "os error 5", "os error 122", "EOF", "closed"];
                let is_told = told.iter().any(|words| output.stderr.contains(words));
                assert!(is_told || output.stderr.contains("connect"), "{what}");
                // Strace counts for each thread: what clears up may fail as well, at its first open.
                if !calls.contains("open") {
                    assert_eq!(half_made(host), [""; 0], "{what}");
                }
            }
            if is_there {
                host.ok(&["rmi", image]);
            }
            if !has_failed {
                break;
            }
            round += 1;
            number += rounds(usize::try_from(5 + chance.below(40)).unwrap(), 1);
            if round >= rounds(2, 1000) {
                break;
            }
        }
        if calls.contains("open") {
            assert_eq!(host.stop_engine(), Some(0));
            host.start_engine();
            assert_eq!(half_made(host), [""; 0]);
        }
    }
    // The engine is as good as new.
    assert_eq!(host.tug(act).code, 0);
    assert_eq!(host.tug(&["system", "check"]).code, 0);
    host.ok(&["rmi", image]);
}

fn small() -> Vec<u8> {
    let mut layer = Archive::new();
    layer
        .dir("d/", 0o755)
        .file("d/file", 0o4755, "content")
        .symlink("d/link", "file")
        .hard_link("d/same", "d/file")
        .file(".wh.gone", 0o644, "")
        .file("large", 0o644, vec![b'x'; 300_000]);
    layer.finish()
}

#[test]
fn each_write_that_fails_is_told_and_leaves_the_store_as_it_was() {
    if run(shell("command -v strace"), b"", PATIENCE).code != 0 {
        return skip("full disk: each write", "strace is not installed");
    }
    let mut host = Host::new("full-each");
    let file = host.write("image.tar", docker_archive("small:1", &[small()], "{}"));
    fail_each(&mut host, &["load", "-q", "-i", &file], "small:1");

    if !registry::is_installed() {
        return skip("full disk: each write of a pull", "no docker-registry here");
    }
    let registry = Registry::start();
    let image = format!("{}/small:1", registry.host());
    let pushed = Command::new("skopeo")
        .args(["copy", "-q", "--dest-tls-verify=false"])
        .arg(format!("docker-archive:{file}"))
        .arg(format!("docker://{image}"))
        .status();
    assert!(pushed.unwrap().success());
    fail_each(&mut host, &["pull", "-q", &image], &image);
}
