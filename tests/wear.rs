//! `system wear`: what is written to the disk is counted, and at rest nothing is.

use crate::full_disk::has_ext4_on_loop;
use crate::harness::json::{self, Json};
use crate::harness::{Host, IMAGE, eventually, skip};
use crate::storage_driver::host_on;
use std::time::Duration;

/// What is told of the container `name`.
fn wear(host: &Host, name: &str) -> Option<Json> {
    let all = json::parse(&host.get("/tug/wear").text("Containers")).items();
    all.into_iter().find(|one| one.string("Name") == name)
}

fn number(json: &Json, path: &str) -> u64 {
    json.number(path).cast_unsigned()
}

/// What `web` has written.
fn written(host: &Host) -> u64 {
    number(&wear(host, "web").unwrap(), "Written")
}

const MIB: u64 = 1 << 20;

/// As much, and what comes with it, but not twice as much.
fn is_about(found: u64, expected: u64) -> bool {
    (expected..expected * 2).contains(&found)
}

#[test]
fn what_a_container_writes_is_counted_over_its_runs_and_engines() {
    let mut host = Host::with_image("wear-container");
    if !std::path::Path::new("/proc/self/io").exists() {
        return skip("wear", "this kernel does not count what processes write");
    }
    let script = "dd if=/dev/zero of=/file bs=1M count=4 conv=notrunc,fsync; \
        [ -e /once ] && exit; touch /once; while [ ! -e /go ]; do sleep 0.1; done";
    host.ok(&["run", "-d", "--name", "web", IMAGE, "sh", "-c", script]);
    eventually("the first four are counted", || {
        is_about(written(&host), 4 * MIB)
    });
    host.kill_engine();
    host.start_engine();
    assert!(is_about(written(&host), 4 * MIB), "{}", written(&host));

    host.ok(&["exec", "web", "touch", "/go"]);
    host.ok(&["wait", "web"]);
    assert_eq!(host.tug(&["start", "-a", "web"]).code, 0);
    let twice = written(&host);
    assert!(is_about(twice, 8 * MIB), "{twice}");
    host.kill_engine();
    host.start_engine();
    assert_eq!(written(&host), twice);

    let table = host.ok(&["system", "wear"]);
    let head: Vec<&str> = table.lines().next().unwrap().split_whitespace().collect();
    assert_eq!(head, ["TYPE", "NAME", "WRITTEN", "LOG", "RATE", "TIME"]);
    let row = table.lines().find(|line| line.contains("web")).unwrap();
    assert!(row.starts_with("Container") && row.contains("MB"), "{row}");
    let format = ["system", "wear", "--format", "{{.Type}} {{.Name}}"];
    let rows = host.ok(&format);
    assert!(rows.starts_with("Engine \nContainer web"), "{rows}");

    // What it has written is not forgotten with it.
    host.ok(&["rm", "web"]);
    let removed = number(&host.get("/tug/wear"), "Removed.Written");
    assert_eq!(removed, twice);
}

#[test]
fn logs_and_updates_are_counted_apart() {
    let mut host = Host::with_image("wear-logs");
    for driver in ["json-file", "ring", "none"] {
        let options = ["run", "--name", driver, "--log-driver", driver, IMAGE];
        let output = host.tug(&[&options[..], &["seq", "1", "20000"]].concat());
        assert_eq!(output.code, 0);
    }
    let of = |name: &str| number(&wear(&host, name).unwrap(), "Log");
    assert!(
        (MIB..3 * MIB).contains(&of("json-file")),
        "{}",
        of("json-file")
    );
    assert_eq!((of("ring"), of("none")), (0, 0));

    let wear = host.get("/tug/wear");
    assert_eq!(wear.string("Updates.0.What"), format!("import {IMAGE}"));
    let written = number(&wear, "Updates.0.Written");
    let engine = number(&wear, "Engine.Written");
    assert!(written > 500_000 && engine >= written, "{written} {engine}");
    // What the engine has written by then it knows after its end, by either way.
    assert_eq!(host.stop_engine(), Some(0));
    std::fs::remove_dir_all(host.exec_root()).unwrap();
    host.start_engine();
    let after = host.get("/tug/wear");
    assert!(number(&after, "Engine.Written") >= engine);
    assert_eq!(after.string("Updates.0.What"), format!("import {IMAGE}"));
}

/// What a process has written, those included that it has reaped.
fn written_by(pid: i32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/io")).unwrap();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("write_bytes:"));
    line.unwrap().trim().parse().unwrap()
}

#[test]
fn at_rest_nothing_is_written() {
    if !has_ext4_on_loop() {
        return skip("wear: rest", "no ext4 on a loop device here");
    }
    let disk = "truncate -s 64m $D/../disk; \
        mkfs.ext4 -q -F -E lazy_itable_init=0,lazy_journal_init=0 $D/../disk; \
        mount -o loop $D/../disk $D";
    let mut host = host_on("wear-rest", disk);
    host.import(IMAGE, &crate::harness::rootfs::busybox());
    let check = ["--health-cmd=true", "--health-interval=1s"];
    for name in ["one", "two"] {
        let start = ["run", "-d", "--restart=always", "--name", name];
        host.ok(&[&start[..], &check, &[IMAGE, "sleep", "1000"]].concat());
    }
    for name in ["one", "two"] {
        eventually("it is healthy", || {
            host.inspect(name, "State.Health.Status") == "\"healthy\""
        });
    }
    let pids = [
        host.engine_pid(),
        host.shim_pid("one"),
        host.shim_pid("two"),
    ];
    let root = format!(
        "/proc/{}/root{}",
        host.engine_pid(),
        host.data_root().display()
    );
    let device = std::os::unix::fs::MetadataExt::dev(&std::fs::metadata(root).unwrap());
    let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
    let sectors = || {
        let stat = std::fs::read_to_string(format!("/sys/dev/block/{major}:{minor}/stat"));
        let stat = stat.unwrap();
        stat.split_whitespace()
            .nth(6)
            .unwrap()
            .parse::<u64>()
            .unwrap()
    };
    rustix::fs::sync();
    // The journal's last commit, and what follows it (5 s each).
    std::thread::sleep(Duration::from_secs(11));
    let before = (pids.map(written_by), sectors());
    let seconds = match std::env::var("TUG_REST_SECONDS") {
        Ok(seconds) => seconds.parse().unwrap(),
        Err(_) => 15,
    };
    std::thread::sleep(Duration::from_secs(seconds));
    assert_eq!(
        (pids.map(written_by), sectors()),
        before,
        "engine, shims; disk"
    );
    assert!(host.engine_is_alive());
}

#[test]
fn a_budget_that_cannot_be_kept_is_refused_by_name() {
    let host = Host::with_image("wear-budget");
    let create = |budget| host.tug(&["create", "--write-budget", budget, IMAGE, "true"]);
    for budget in ["500m", "1k/day", "500m/fortnight"] {
        let refusal = format!("invalid write budget \"{budget}\": it is a size and a time");
        create(budget).assert_refused(1, &refusal);
    }
    let controllers = std::fs::read_to_string("/sys/fs/cgroup/cgroup.controllers");
    if controllers.is_ok_and(|all| all.contains("io") && all.contains("memory")) {
        return skip(
            "wear: budget",
            "here it can be kept: see tests/guest/wear.sh",
        );
    }
    create("500m/day").assert_refused(
        1,
        "Your kernel does not support write budgets or the cgroup is not mounted (",
    );
    assert_eq!(host.ok(&["ps", "-aq"]), "");
}
