//! Sizes that hold: `--storage-opt size=`. Where the disk has no quotas, which is what these tests
//! see, a file with a file system in it holds them; `guest/sizes.sh` is about quotas.

use crate::harness::namespaces::Holder;
use crate::harness::rootfs::busybox;
use crate::harness::{Host, IMAGE, eventually, send_signal, skip};
use crate::power_loss;
use crate::storage_driver::host_on;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::process::Command;

const FULL: &str = "No space left on device";
const FILL: &str = "dd if=/dev/zero of=/fill bs=64k 2>&1 | grep -c 'No space left'; \
    dd if=/dev/zero of=/rest bs=512 2>/dev/null; { echo more > /more; } 2>/dev/null || echo full";

/// Whether such a disk can be mounted here.
fn can_hold(test: &str) -> bool {
    let can = std::path::Path::new("/dev/loop-control").exists()
        && std::fs::read_to_string("/proc/filesystems").is_ok_and(|all| all.contains("\text4\n"));
    if !can {
        skip(test, "no ext4 on a loop device here");
    }
    can
}

fn host(name: &'static str) -> Option<Host> {
    can_hold(name).then(|| Host::with_image(name))
}

/// The file that holds a container's size.
fn disk(host: &Host, container: &str) -> PathBuf {
    let id = host.inspect(container, "Id");
    let dir = host
        .data_root()
        .join("containers")
        .join(id.trim_matches('"'));
    dir.join("disk.ext4")
}

fn taken(path: &PathBuf) -> u64 {
    std::fs::metadata(path).unwrap().blocks() * 512
}

fn loops(host: &Host) -> String {
    let all = Command::new("losetup").arg("-a").output().unwrap().stdout;
    let all = String::from_utf8(all).unwrap();
    let ours = all
        .lines()
        .filter(|line| line.contains(host.dir.to_str().unwrap()));
    ours.collect::<Vec<_>>().join("\n")
}

/// A user's view: what `df` says of `/`, in KiB, and in which row.
fn df(host: &Host, container: &str) -> Vec<u64> {
    let text = host.ok(&["exec", container, "df", "-k", "/"]);
    let row = text.lines().nth(1).unwrap().to_string();
    let numbers = row.split_whitespace().filter_map(|word| word.parse().ok());
    numbers.collect()
}

#[test]
fn a_container_fills_its_size_and_neither_the_disk_nor_its_neighbour() {
    let Some(host) = host("size-holds") else {
        return;
    };
    let run = |name: &str, size: &str| {
        let size = format!("size={size}");
        let words = ["run", "-d", "--name", name, "--storage-opt", &size, IMAGE];
        host.ok(&[&words[..], &["sleep", "1000"]].concat());
    };
    run("greedy", "20m");
    run("modest", "100M");
    assert_eq!(df(&host, "greedy")[0], 20 << 10);
    assert_eq!(df(&host, "modest")[0], 100 << 10);
    assert_eq!(
        host.inspect("greedy", "HostConfig.StorageOpt"),
        r#"{"size":"20m"}"#
    );
    assert!(
        host.inspect("greedy", "GraphDriver.Data.UpperDir")
            .contains("/disk/upper")
    );

    // A file of that size takes nothing before there is something in it.
    assert!(taken(&disk(&host, "modest")) < 200_000);
    let found = host.ok(&["exec", "greedy", "sh", "-c", FILL]);
    assert!(found.starts_with('1') && found.ends_with("full"), "{found}");
    host.ok(&["exec", "greedy", "sync"]);
    let most = (20 << 20) + (2 << 20);
    assert!((18 << 20..most).contains(&taken(&disk(&host, "greedy"))));
    let size = "echo hello > /x; dd if=/dev/zero of=/y bs=1M count=60 2>/dev/null; sync; cat /x";
    assert_eq!(host.ok(&["exec", "modest", "sh", "-c", size]), "hello");
    assert!(df(&host, "modest")[2] < 40 << 10);

    // What is told is what the disk lacks.
    let shown = host.ok(&[
        "ps",
        "-s",
        "--filter",
        "name=greedy",
        "--format",
        "{{.Size}}",
    ]);
    let number: f64 = shown.split("MB").next().unwrap().parse().unwrap();
    assert!((19.0..23.1).contains(&number), "{shown}");
    let all = host.get("/system/df?type=container");
    let sizes = ["0", "1"].map(|n| all.number(&format!("Containers.{n}.SizeRw")));
    let sum = u64::try_from(sizes.iter().sum::<i64>()).unwrap();
    assert!((78 << 20..90 << 20).contains(&sum), "{sum}");

    // What is deleted goes back to the disk.
    host.ok(&["exec", "modest", "sh", "-c", "rm /y; sync"]);
    eventually("the space is there again", || {
        let _ = host.ok(&["exec", "modest", "sync"]);
        taken(&disk(&host, "modest")) < 8 << 20
    });
    host.ok(&["rm", "-f", "greedy"]);
    host.ok(&["rm", "-f", "modest"]);
    eventually("no loop device is left", || loops(&host).is_empty());
}

#[test]
fn every_verb_reaches_the_files_of_a_container_with_a_size() {
    let Some(host) = host("size-verbs") else {
        return;
    };
    story(&host);
}

#[test]
fn copies_of_images_have_sizes_too() {
    if !can_hold("size-copies") {
        return;
    }
    let host = host_on("size-copies", "true");
    drop(host);
    let mut host = Host::without_engine("size-copies");
    let line = host.engine_command();
    let mut command = Command::new(&line[0]);
    command.args(&line[1..]).args(["--storage-driver", "vfs"]);
    host.start_engine_as(command);
    host.import(IMAGE, &busybox());
    story(&host);

    let refused = host.tug(&["create", "--storage-opt", "size=1m", IMAGE, "true"]);
    refused.assert_refused(1, FULL);
}

fn story(host: &Host) {
    let script = "echo run >> /runs; rm -r /home; [ -e /stay ] && sleep 1000; true";
    let run = ["run", "--name", "box", "--storage-opt", "size=30m", IMAGE];
    host.ok(&[&run[..], &["sh", "-c", script]].concat());
    let changes = "D /home\nA /runs";
    let is_same = |stage: &str| {
        let found = host.ok(&["diff", "box"]);
        assert_eq!(found, changes, "{stage}");
    };
    is_same("ended");
    let text = |name: &str| {
        let place = host.dir.join("out");
        host.ok(&["cp", &format!("box:{name}"), place.to_str().unwrap()]);
        std::fs::read_to_string(place).unwrap()
    };
    assert_eq!(text("/runs"), "run\n");
    host.ok(&["commit", "box", "committed"]);
    assert_eq!(
        host.ok(&["run", "--rm", "committed", "cat", "/runs"]),
        "run"
    );
    assert_eq!(loops(host), "");

    let stay = host.write("stay", "here\n");
    host.ok(&["cp", &stay, "box:/stay"]);
    host.ok(&["start", "box"]);
    host.until_state("box", "running");
    eventually("it ran again", || text("/runs") == "run\nrun\n");
    assert_eq!(host.ok(&["diff", "box"]), "D /home\nA /runs\nA /stay");
    host.ok(&["cp", &stay, "box:/more"]);
    assert_eq!(host.ok(&["exec", "box", "cat", "/more"]), "here");
    host.ok(&["commit", "box", "again"]);
    assert_eq!(host.ok(&["run", "--rm", "again", "cat", "/more"]), "here");
    let archive = host.dir.join("export.tar");
    for _ in ["running", "stopped"] {
        host.ok(&["export", "-o", archive.to_str().unwrap(), "box"]);
        let list = Command::new("tar")
            .arg("-tf")
            .arg(&archive)
            .output()
            .unwrap();
        let list = String::from_utf8(list.stdout).unwrap();
        assert!(
            list.contains("\nmore\n") && !list.contains("home"),
            "{list}"
        );
        assert!(!list.contains("lost+found"), "{list}");
        host.ok(&["stop", "-t", "0", "box"]);
    }
    host.ok(&["restart", "-t", "0", "box"]);
    eventually("it ran once more", || text("/runs").lines().count() == 3);
    host.ok(&["rm", "-f", "box"]);
    eventually("no loop device is left", || loops(host).is_empty());
}

#[test]
fn a_size_holds_over_restarts_of_container_and_engine() {
    let Some(mut host) = host("size-restarts") else {
        return;
    };
    let args = [
        "run",
        "-d",
        "--restart",
        "always",
        "--name",
        "box",
        "--storage-opt",
        "size=16m",
    ];
    let script = "echo run >> /runs; dd if=/dev/zero of=/fill bs=64k 2>/dev/null; \
        sleep 0.1; [ $(wc -l < /runs) -lt 3 ] && exit 1; exec sleep 1000";
    host.ok(&[&args[..], &[IMAGE, "sh", "-c", script]].concat());
    let runs = |host: &Host| host.ok(&["exec", "box", "wc", "-l", "/runs"]);
    eventually("its shim has restarted it", || {
        host.tug(&["exec", "box", "wc", "-l", "/runs"]).stdout == "3 /runs\n"
    });
    assert!(taken(&disk(&host, "box")) < 19 << 20);

    host.kill_engine();
    host.start_engine();
    assert_eq!(runs(&host), "3 /runs");
    let shim = host.shim_pid(host.inspect("box", "Id").trim_matches('"'));
    send_signal(shim, "KILL");
    eventually("another shim has it", || {
        host.tug(&["exec", "box", "wc", "-l", "/runs"]).stdout == "4 /runs\n"
    });
    assert_eq!(loops(&host).lines().count(), 1);
    let found = host.ok(&["exec", "box", "sh", "-c", FILL]);
    assert!(found.ends_with("full"), "{found}");
    host.kill_engine();
    host.power_cut();
    host.start_engine();
    eventually("the next boot starts it", || {
        host.tug(&["exec", "box", "wc", "-l", "/runs"]).stdout == "5 /runs\n"
    });
    assert_eq!(df(&host, "box")[0], 16 << 10);
    host.ok(&["rm", "-f", "box"]);
    eventually("no loop device is left", || loops(&host).is_empty());
}

#[test]
fn the_engines_size_is_for_those_who_ask_for_none() {
    if !can_hold("size-default") {
        return;
    }
    let mut host = Host::without_engine("size-default");
    host.write("daemon.json", r#"{"storage-opts": ["overlay2.size=12m"]}"#);
    host.start_engine();
    host.import(IMAGE, &busybox());
    let size = |options: &[&str]| {
        let words = [&["run", "--rm"], options, &[IMAGE, "df", "-k", "/"]].concat();
        let text = host.ok(&words);
        let row = text.lines().nth(1).unwrap().to_string();
        row.split_whitespace()
            .nth(1)
            .unwrap()
            .parse::<u64>()
            .unwrap()
    };
    assert_eq!(size(&[]), 12 << 10);
    assert_eq!(size(&["--storage-opt", "size=1t"]), 1 << 30);
    assert_ne!(size(&["--storage-opt", "size=0"]), 12 << 10);
    // A container with --rm that is restarted has its files still.
    host.ok(&[
        "run",
        "-d",
        "--rm",
        "--name",
        "box",
        IMAGE,
        "sh",
        "-c",
        "echo >> /runs; sleep 1000",
    ]);
    host.ok(&["restart", "-t", "0", "box"]);
    eventually("it ran twice", || {
        host.tug(&["exec", "box", "wc", "-l", "/runs"]).stdout == "2 /runs\n"
    });
    host.ok(&["kill", "box"]);
    eventually("it is gone", || host.ok(&["ps", "-aq"]).is_empty());
    eventually("no loop device is left", || loops(&host).is_empty());
}

#[test]
fn a_size_that_cannot_be_is_refused() {
    let Some(host) = host("size-refused") else {
        return;
    };
    for (option, sentence) in [
        ("size=", "invalid size: ''"),
        ("size=ten", "invalid size: 'ten'"),
        ("size=-1", "invalid size: '-1'"),
        ("size=1x", "invalid size: '1x'"),
        ("size=1k", "invalid size: '1k': use 64k to 15t"),
        ("size=16t", "invalid size: '16t': use 64k to 15t"),
        ("size=99999999999t", "invalid size: '99999999999t'"),
        ("inodes=7", "unknown option inodes"),
    ] {
        let output = host.tug(&["create", "--storage-opt", option, IMAGE, "true"]);
        output.assert_refused(1, &format!("Error response from daemon: {sentence}"));
    }
    assert_eq!(host.ok(&["ps", "-aq"]), "");
    for (option, sentence) in [
        ("overlay2.size=ten", "invalid size: 'ten'"),
        (
            "overlay2.sizes=1g",
            "overlay2: unknown option overlay2.sizes",
        ),
        ("size", "overlay2: unknown option size"),
    ] {
        let line = host.engine_command();
        let mut command = Command::new(&line[0]);
        command
            .args(&line[1..])
            .args(["--validate", "--storage-opt", option]);
        let output = command.output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(
            !output.status.success() && said.contains(sentence),
            "{said}"
        );
    }
}

#[test]
fn where_no_size_can_be_held_it_is_refused_and_the_kernels_options_named() {
    let host = host_on("size-none", "mount --bind /dev/null /dev/loop-control");
    host.import(IMAGE, &busybox());
    let output = host.tug(&["create", "--storage-opt", "size=10m", IMAGE, "true"]);
    output.assert_refused(1, "CONFIG_BLK_DEV_LOOP");
    assert_eq!(host.ok(&["ps", "-aq"]), "");
    assert_eq!(host.ok(&["run", "--rm", IMAGE, "echo", "up"]), "up");
}

#[test]
fn what_was_synced_in_a_container_with_a_size_outlives_a_power_cut() {
    let Some(mut host) = power_loss::host("size-power") else {
        return;
    };
    host.import(IMAGE, &busybox());
    let script = "echo run >> /runs; sync; n=0; while :; do n=$((n+1)); echo $n > /tmp/$n; done";
    let run = [
        "run",
        "-d",
        "--name",
        "box",
        "--storage-opt",
        "size=8m",
        IMAGE,
    ];
    host.note_container(&host.ok(&[&run[..], &["sh", "-c", script]].concat()));
    for round in 1..4 {
        let runs = format!("{round} /runs\n");
        eventually("it has synced", || {
            host.tug(&["exec", "box", "wc", "-l", "/runs"]).stdout == runs
        });
        host.ok(&["exec", "box", "sync"]);
        power_loss::cut_power(&mut host);
        host.power_cut();
        power_loss::power_on(&mut host);
        // The kernel mends what was cut off when it mounts.
        let out = host.dir.join("out");
        host.ok(&["cp", "box:/runs", out.to_str().unwrap()]);
        assert_eq!(std::fs::read_to_string(out).unwrap().lines().count(), round);
        let disk = power_loss::store(&host).join("containers");
        let id = host.inspect("box", "Id");
        let disk = disk.join(id.trim_matches('"')).join("disk.ext4");
        let check = Command::new("e2fsck")
            .args(["-f", "-n"])
            .arg(disk)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&check.stdout).into_owned();
        assert_eq!(check.status.code(), Some(0), "{said}");
        host.ok(&["start", "box"]);
    }
    host.ok(&["rm", "-f", "box"]);
}

#[test]
fn a_size_beyond_what_the_disk_has_ends_in_errors_inside_and_not_in_the_engine() {
    if !can_hold("size-full-disk") {
        return;
    }
    let disk =
        "truncate -s 48m $D/../disk; mkfs.ext4 -q -F $D/../disk; mount -o loop $D/../disk $D";
    let mut host = host_on("size-full-disk", disk);
    host.import(IMAGE, &busybox());
    host.ok(&["run", "-d", "--name", "keeper", IMAGE, "sleep", "1000"]);
    let run = [
        "run",
        "-d",
        "--name",
        "greedy",
        "--storage-opt",
        "size=1g",
        IMAGE,
    ];
    let script = "while :; do dd if=/dev/zero of=/fill bs=1M; sync; sleep 0.1; done";
    host.ok(&[&run[..], &["sh", "-c", script]].concat());
    let free = |host: &Host| {
        let path = format!(
            "/proc/{}/root{}",
            host.engine_pid(),
            host.data_root().display()
        );
        let disk = rustix::fs::statvfs(path.as_str()).unwrap();
        disk.f_bavail * disk.f_frsize
    };
    eventually("the disk is full", || free(&host) < 1 << 20);
    host.ok(&["exec", "keeper", "true"]);
    host.ok(&["stop", "-t", "0", "greedy"]);
    host.tug(&["start", "greedy"]);
    host.tug(&["stop", "-t", "0", "greedy"]);
    host.ok(&["rm", "-f", "greedy"]);
    eventually("the space is there again", || free(&host) > 20 << 20);
    assert!(host.engine_is_alive());
    let run = [
        "run",
        "--rm",
        "--storage-opt",
        "size=1m",
        IMAGE,
        "echo",
        "fits",
    ];
    assert_eq!(host.ok(&run), "fits");
}

/// A host whose mounts are not seen by other tests, which would hold them in namespaces of theirs: a
/// volume's are the engine's. They are passed on from there to the shims, as on a machine.
fn apart(name: &'static str) -> Option<(Host, Holder)> {
    if !can_hold(name) {
        return None;
    }
    let mut host = Host::without_engine(name);
    let holder = Holder::new(&["--mount"]);
    start_apart(&mut host, &holder);
    host.import(IMAGE, &busybox());
    Some((host, holder))
}

fn start_apart(host: &mut Host, holder: &Holder) {
    let mut command = Command::new("nsenter");
    command.arg(format!("--mount={}", holder.file("--mount")));
    command.args(["sh", "-c", "mount --make-rshared / && exec \"$@\"", "sh"]);
    command.args(host.engine_command());
    host.start_engine_as(command);
}

/// The file of a volume's size.
fn volume_disk(host: &Host, name: &str) -> PathBuf {
    host.data_root()
        .join("volumes")
        .join(name)
        .join("disk.ext4")
}

#[test]
fn a_volume_with_a_size_holds_it_for_all_who_have_it_together() {
    let Some((mut host, holder)) = apart("size-volume") else {
        return;
    };
    host.ok(&["volume", "create", "-o", "size=10m", "data"]);
    assert_eq!(
        host.ok(&["volume", "inspect", "--format", "{{.Options.size}}", "data"]),
        "10m"
    );
    let run = |name: &str, script: &str| {
        let words = ["run", "-d", "--name", name, "-v", "data:/data", IMAGE];
        host.ok(&[&words[..], &["sh", "-c", script]].concat());
    };
    run("one", "echo hello > /data/x; sleep 1000");
    run("two", "sleep 1000");
    eventually("one has written", || {
        host.tug(&["exec", "two", "cat", "/data/x"]).stdout == "hello\n"
    });
    let seen = |host: &Host, container: &str| {
        let text = host.ok(&["exec", container, "df", "-k", "/data"]);
        let row = text.lines().nth(1).unwrap().to_string();
        let numbers = row.split_whitespace().filter_map(|word| word.parse().ok());
        numbers.collect::<Vec<u64>>()
    };
    assert_eq!(seen(&host, "one")[0], 10 << 10);
    assert_eq!(host.ok(&["exec", "one", "ls", "/data"]), "x");
    let fill = FILL
        .replace("of=/", "of=/data/")
        .replace("> /m", "> /data/m");
    let found = host.ok(&["exec", "one", "sh", "-c", &fill]);
    assert!(found.ends_with("full"), "{found}");
    let found = host.ok(&["exec", "two", "sh", "-c", &fill]);
    assert!(found.ends_with("full"), "{found}");
    host.ok(&["exec", "one", "sync"]);
    assert!((9 << 20..12 << 20).contains(&taken(&volume_disk(&host, "data"))));
    let shown = host
        .get("/system/df?type=volume")
        .number("Volumes.0.UsageData.Size");
    assert!((9 << 20..12 << 20).contains(&shown), "{shown}");

    // The engine may go and come; the last user takes the mount along.
    host.kill_engine();
    start_apart(&mut host, &holder);
    assert_eq!(host.ok(&["exec", "two", "cat", "/data/x"]), "hello");
    assert_eq!(loops(&host).lines().count(), 1);
    host.ok(&["rm", "-f", "one"]);
    host.ok(&["exec", "two", "sh", "-c", "rm /data/fill /data/rest"]);
    let refused = host.tug(&["volume", "rm", "data"]);
    assert!(refused.stderr.contains("volume is in use"), "{refused:?}");
    host.ok(&["rm", "-f", "two"]);
    eventually("no loop device is left", || loops(&host).is_empty());
    let again = ["run", "--rm", "-v", "data:/data", IMAGE, "ls", "/data"];
    assert_eq!(host.ok(&again), "more\nx");
    host.ok(&["volume", "rm", "data"]);
    assert!(!volume_disk(&host, "data").exists());
    eventually("no loop device is left", || loops(&host).is_empty());
}

#[test]
fn a_volume_with_a_size_gets_what_the_image_has_and_outlives_a_power_cut() {
    let Some(mut host) = power_loss::host("size-volume-power") else {
        return;
    };
    host.import(IMAGE, &busybox());
    host.ok(&["volume", "create", "-o", "size=4m", "data"]);
    let user = [
        "run",
        "-d",
        "--name",
        "box",
        "--mount",
        "type=volume,src=data,dst=/etc",
    ];
    let id = host.ok(&[&user[..], &[IMAGE, "sleep", "1000"]].concat());
    host.note_container(&id);
    let script = "test -s /etc/passwd && echo kept > /etc/new && sync";
    host.ok(&["exec", "box", "sh", "-c", script]);
    power_loss::cut_power(&mut host);
    host.power_cut();
    power_loss::power_on(&mut host);
    host.ok(&["start", "box"]);
    let script = "cat /etc/new; test -s /etc/passwd && echo whole";
    assert_eq!(host.ok(&["exec", "box", "sh", "-c", script]), "kept\nwhole");
    host.ok(&["rm", "-f", "box"]);
    host.ok(&["volume", "rm", "data"]);
}

#[test]
fn a_volumes_size_that_cannot_be_is_refused() {
    let Some(host) = host("size-volume-refused") else {
        return;
    };
    for (options, sentence) in [
        (&["size=ten"][..], "invalid size: 'ten'"),
        (&["size=-5m"], "invalid size: '-5m'"),
        (&["size=1k"], "invalid size: '1k': use 64k to 15t"),
        (
            &["size=1m", "type=tmpfs", "device=tmpfs"],
            "the option size is for volumes without type: use o=size=... for a tmpfs",
        ),
    ] {
        let mut line = vec!["volume", "create"];
        for option in options {
            line.extend(["-o", option]);
        }
        line.push("data");
        let output = host.tug(&line);
        assert!(
            output.code == 1 && output.stderr.contains(sentence),
            "{output:?}"
        );
    }
    assert_eq!(host.ok(&["volume", "ls", "-q"]), "");
    host.ok(&["volume", "create", "-o", "size=0", "all"]);
    assert!(!volume_disk(&host, "all").exists());

    let hidden = host_on(
        "size-volume-none",
        "mount --bind /dev/null /dev/loop-control",
    );
    let output = hidden.tug(&["volume", "create", "-o", "size=10m", "data"]);
    assert!(output.stderr.contains("CONFIG_BLK_DEV_LOOP"), "{output:?}");
    assert_eq!(hidden.ok(&["volume", "ls", "-q"]), "");
}
