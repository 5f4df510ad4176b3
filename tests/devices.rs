//! Devices of a bundle, masked and read-only paths.

use crate::harness::command::{Output, run};
use crate::harness::mounts::{all_capabilities, bundle, go, mount, prints};
use crate::harness::{PATIENCE, cgroup2};
use rustix::fs::{CWD, FileType, makedev};
use std::os::unix::fs::{FileTypeExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

#[test]
fn devices_are_as_asked() {
    let script = "stat -c '%n %F %t:%T %a %u:%g' /dev/null /dev/mine /dev/sub/disk /other/fifo /dev/u; \
        for l in fd stdin stdout stderr ptmx; do readlink /dev/$l; done; \
        for d in zero full random urandom tty; do [ -c /dev/$d ] || echo no $d; done; cat /etc/node";
    let bundle = bundle("mount-devices", &[], script);
    bundle.host.write("bundle/rootfs/etc/node", "as it was\n");
    let devices = r#"[
        {"path":"/dev/null","type":"c","major":1,"minor":3,"fileMode":384,"uid":3,"gid":4},
        {"path":"/dev/mine","type":"c","major":1,"minor":5,"fileMode":416,"uid":1,"gid":2},
        {"path":"/dev/sub/disk","type":"b","major":8,"minor":1},
        {"path":"/other/fifo","type":"p","fileMode":432},
        {"path":"/dev/u","type":"u","major":1,"minor":7},
        {"path":"/etc/node","type":"c","major":1,"minor":3}
    ]"#;
    bundle.set("linux.devices", devices);
    prints(
        &bundle,
        "/dev/null character special file 1:3 600 3:4\n/dev/mine character special file 1:5 640 1:2\n\
         /dev/sub/disk block special file 8:1 666 0:0\n/other/fifo fifo 0:0 660 0:0\n\
         /dev/u character special file 1:7 666 0:0\n\
         /proc/self/fd\n/proc/self/fd/0\n/proc/self/fd/1\n/proc/self/fd/2\npts/ptmx\nas it was\n",
    );
    let fifo = Path::new(&bundle.dir).join("rootfs/other/fifo");
    assert!(std::fs::metadata(fifo).unwrap().file_type().is_fifo());
    bundle.set(
        "linux.devices",
        r#"[{"path":"/x/..","type":"c","major":1,"minor":3}]"#,
    );
    bundle.refuses("a device cannot be the root of the container");
}

/// With a bound /dev the devices are somebody else's.
#[test]
fn a_bound_dev_is_left_alone() {
    let bundle = bundle("mount-own-dev", &[], "ls /dev");
    bundle.host.make_dir("bundle/dev");
    bundle.host.write("bundle/dev/only", "");
    let mounts = format!(
        "{},{}",
        r#"{"destination":"/proc","type":"proc","source":"proc"}"#,
        mount("/dev/", "bind", "dev", "rbind")
    );
    bundle.set("mounts", &format!("[{mounts}]"));
    bundle.set("linux.maskedPaths", "[]");
    prints(&bundle, "only\n");
    assert_eq!(
        std::fs::read_dir(Path::new(&bundle.dir).join("dev"))
            .unwrap()
            .count(),
        1
    );
}

/// CVE-2025-31133: the cover of a masked file is what the image says is the null device.
#[test]
fn a_false_null_device_covers_nothing() {
    let bundle = bundle("mount-null", &[], "wc -c </masked; stat -c %t:%T /masked");
    bundle.host.write("bundle/rootfs/masked", "secret");
    bundle.set("linux.maskedPaths", r#"["/masked"]"#);
    let dev = PathBuf::from(bundle.host.make_dir("bundle/dev"));
    let mounts = format!(
        "{},{}",
        r#"{"destination":"/proc","type":"proc","source":"proc"}"#,
        mount("/dev", "bind", "dev", "rbind")
    );
    bundle.set("mounts", &format!("[{mounts}]"));
    let null = dev.join("null");
    let node = |numbers: [&str; 2]| {
        let mut mknod = Command::new("mknod");
        mknod.arg(&null).arg("c").args(numbers);
        assert_eq!(run(mknod, b"", PATIENCE).code, 0);
    };
    let says = "/dev/null is not the null device";
    std::fs::write(&null, "").unwrap();
    bundle.refuses(says);
    for target in ["/proc/sys/kernel/core_pattern", "/etc/passwd"] {
        std::fs::remove_file(&null).unwrap();
        symlink(target, &null).unwrap();
        bundle.refuses(says);
    }
    std::fs::remove_file(&null).unwrap();
    node(["1", "5"]);
    bundle.refuses(says);
    std::fs::remove_file(&null).unwrap();
    node(["1", "3"]);
    prints(&bundle, "0\n1:3\n");
}

#[test]
fn masked_paths_are_empty_and_read_only_ones_stay() {
    let script = "ls -A /secret /dark; cat /secret.txt; touch /dark/x; touch /fixed/x; echo >/fixed.txt; \
        touch /fixed/below/x; cat /proc/self/mountinfo";
    let bundle = bundle(
        "mount-masks",
        &[mount("/fixed/below", "tmpfs", "tmpfs", "")],
        script,
    );
    for name in ["secret", "dark", "fixed"] {
        bundle.host.make_dir(&format!("bundle/rootfs/{name}"));
        bundle
            .host
            .write(&format!("bundle/rootfs/{name}/file"), "text");
        bundle
            .host
            .write(&format!("bundle/rootfs/{name}.txt"), "text");
    }
    symlink("/secret.txt", Path::new(&bundle.dir).join("rootfs/link")).unwrap();
    bundle.set(
        "linux.maskedPaths",
        r#"["/secret","/dark","/link","/missing","/proc/missing"]"#,
    );
    bundle.set(
        "linux.readonlyPaths",
        r#"["/fixed","/fixed.txt","/missing","/proc/sys"]"#,
    );
    let output = go(&bundle);
    assert!(
        output.stdout.starts_with("/dark:\n\n/secret:\n")
            || output.stdout.starts_with("/secret:\n\n/dark:\n"),
        "{output:?}"
    );
    assert!(!output.stdout.contains("text"), "{output:?}");
    for name in ["/dark/x", "/fixed/x", "/fixed.txt"] {
        let told = output
            .stderr
            .lines()
            .any(|line| line.contains(name) && line.contains("Read-only file system"));
        assert!(told, "{name}: {output:?}");
    }
    // A mount below goes its own way, as with runc.
    assert!(!output.stderr.contains("/fixed/below/x"), "{output:?}");
    let device = |point: &str| {
        let found = output
            .stdout
            .lines()
            .find(|line| line.split(' ').nth(4) == Some(point));
        found.unwrap().split(' ').nth(2).unwrap().to_string()
    };
    assert_eq!(
        device("/secret"),
        device("/dark"),
        "two tmpfs for two directories"
    );
}

/// Without cgroup v2 nothing asks who opens a device: nodes of the image must be useless, also
/// those that are copied into a tmpfs.
#[test]
fn nodes_of_the_image_are_of_no_use_where_nothing_filters_devices() {
    let mounts = [mount("/filled", "tmpfs", "tmpfs", "tmpcopyup")];
    let script = "cat /filled/file; ls /filled; for node in /zero /filled/zero /dev/zero; do \
        head -c 1 $node 2>/dev/null | wc -c; done; mknod /dev/made c 1 5 2>/dev/null || echo refused";
    let bundle = bundle("device-nodes", &mounts, script);
    all_capabilities(&bundle, "CAP_MKNOD");
    let root = Path::new(&bundle.dir).join("rootfs");
    std::fs::create_dir(root.join("filled")).unwrap();
    std::fs::write(root.join("filled/file"), "content\n").unwrap();
    for node in ["zero", "filled/zero"] {
        let mode = rustix::fs::Mode::from_raw_mode(0o666);
        let (kind, number) = (FileType::CharacterDevice, makedev(1, 5));
        rustix::fs::mknodat(CWD, root.join(node), kind, mode, number).unwrap();
    }
    // The positive twin.
    if cgroup2().is_some() {
        prints(&bundle, "content\nfile\nzero\n1\n1\n1\n");
    }
    let run_there = bundle.command(&["run", &bundle.id]);
    let mut command = Command::new("unshare");
    command.args(["-m", "sh", "-c"]).arg(
        "for at in $(awk '$3 == \"cgroup2\" { print $2 }' /proc/mounts); do umount -l $at; done; exec \"$@\"",
    );
    command
        .arg("sh")
        .arg(run_there.get_program())
        .args(run_there.get_args())
        .current_dir(&bundle.dir);
    let output = run(command, b"", PATIENCE);
    assert_eq!(
        output,
        Output::new(0, "content\nfile\n0\n0\n1\nrefused\n", "")
    );
}
