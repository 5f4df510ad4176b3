//! `tug runtime` and cgroup v2: where a container's group is, who may have it, what it holds, and
//! what is said where a limit cannot be kept. Limits of controllers that this machine may have on
//! cgroup v1 are tested in the guest (tests/guest/resources.sh).

use crate::harness::bundle::{Bundle, member};
use crate::harness::command::{Output, run};
use crate::harness::{PATIENCE, eventually, json, skip};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Where cgroup v2 is mounted.
fn mount_point() -> Option<PathBuf> {
    let table = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    table.lines().find_map(|line| {
        let (mount, kind) = line.split_once(" - ")?;
        let point = mount.split(' ').nth(4)?;
        kind.starts_with("cgroup2 ").then(|| PathBuf::from(point))
    })
}

/// Its controllers.
fn controllers() -> Vec<String> {
    let point = mount_point().unwrap_or_default();
    let text = std::fs::read_to_string(point.join("cgroup.controllers")).unwrap_or_default();
    text.split_whitespace().map(String::from).collect()
}

/// The mount point, or a skip.
fn tree(test: &str) -> Option<PathBuf> {
    let found = mount_point();
    if found.is_none() {
        skip(test, "no cgroup v2 here");
    }
    found
}

/// Set members of the bundle's config.json, each by its path and its JSON.
fn set(bundle: &Bundle, members: &[(&str, &str)]) {
    let mut spec = json::parse(&std::fs::read_to_string(bundle.config()).unwrap()).0;
    for (path, value) in members {
        let mut place = &mut spec;
        for name in path.split('.') {
            place = member(place, name);
        }
        *place = json::parse(value).0;
    }
    std::fs::write(bundle.config(), miniserde::json::to_string(&spec)).unwrap();
}

fn quoted(text: &str) -> String {
    miniserde::json::to_string(text)
}

/// The group of a container's first process, as a directory.
fn group(bundle: &Bundle) -> PathBuf {
    let state = json::parse(&bundle.runtime(&["state", &bundle.id]).stdout);
    let path = format!("/proc/{}/cgroup", state.number("pid"));
    let text = std::fs::read_to_string(path).unwrap();
    let own = text.lines().find_map(|line| line.strip_prefix("0::/"));
    mount_point().unwrap().join(own.unwrap())
}

/// The directory beside which groups with a relative path begin: our own one's parent.
fn beside() -> PathBuf {
    let text = std::fs::read_to_string("/proc/self/cgroup").unwrap();
    let own = text.lines().find_map(|line| line.strip_prefix("0::/"));
    let own = Path::new(own.unwrap_or_default());
    let parent = own.parent().unwrap_or(Path::new(""));
    mount_point().unwrap().join(parent)
}

/// The same command in a mount namespace of its own, changed by `script` before.
fn elsewhere(script: &str, command: &Command) -> Command {
    let mut inside = Command::new("unshare");
    inside
        .args(["--mount", "sh", "-ec"])
        .arg(format!("{script}; exec \"$@\""))
        .arg("sh")
        .arg(command.get_program())
        .args(command.get_args())
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .current_dir(command.get_current_dir().unwrap());
    inside
}

#[track_caller]
fn refused(output: &Output, sentence: &str) {
    assert_ne!(output.code, 0, "{output:?}");
    assert!(output.stderr.contains(sentence), "{sentence}: {output:?}");
}

#[test]
fn the_group_is_where_cgroups_path_says() {
    let Some(top) = tree("cgroup-path") else {
        return;
    };
    let bundle = Bundle::new("cgroup-path");
    bundle.script("sleep 1000");
    let id = bundle.id.as_str();
    let named = |form: &str| form.replace("ID", id);
    for (form, expected) in [
        ("", beside().join(id)),
        ("ID-rel", beside().join(named("ID-rel"))),
        ("../../ID-up", beside().join(named("ID-up"))),
        ("/ID-abs", top.join(named("ID-abs"))),
        ("/../x/.././ID-dots/", top.join(named("ID-dots"))),
    ] {
        let path = quoted(&named(form));
        set(&bundle, &[("linux.cgroupsPath", &path)]);
        bundle.leave(&["run", "--detach", id]);
        assert_eq!(group(&bundle), expected, "{form:?}");
        assert_eq!(bundle.runtime(&["delete", "--force", id]).code, 0);
        assert!(!expected.exists(), "{form:?} is left");
    }

    // Parents are made; they stay, as with runc, for the next one.
    let parent = top.join(named("ID-parent"));
    let path = quoted(&named("/ID-parent/below/web"));
    set(&bundle, &[("linux.cgroupsPath", &path)]);
    bundle.leave(&["run", "--detach", id]);
    assert_eq!(group(&bundle), parent.join("below/web"));
    assert_eq!(bundle.runtime(&["delete", "--force", id]).code, 0);
    assert!(!parent.join("below/web").exists());
    std::fs::remove_dir(parent.join("below")).unwrap();
    std::fs::remove_dir(parent).unwrap();

    for (path, sentence) in [
        (
            "system.slice:tug:web",
            "cgroupsPath \"system.slice:tug:web\" is for systemd's driver, which is not supported",
        ),
        ("/", "cgroupsPath cannot be the root group"),
        ("/a/../..", "cgroupsPath cannot be the root group"),
    ] {
        set(&bundle, &[("linux.cgroupsPath", &quoted(path))]);
        refused(&bundle.runtime(&["run", id]), sentence);
    }
}

#[test]
fn a_group_that_somebody_is_in_is_refused_and_nobody_there_is_harmed() {
    if tree("cgroup-shared").is_none() {
        return;
    }
    let bundle = Bundle::new("cgroup-shared");
    bundle.script("sleep 1000");
    bundle.leave(&["run", "--detach", &bundle.id]);

    // The same id in another state directory is the same group.
    let root = bundle.host.make_dir("other-root");
    let other = |verb: &str| {
        let mut command = Command::new(&bundle.host.binary);
        command
            .args(["runtime", "--root", &root, verb, &bundle.id])
            .current_dir(&bundle.dir);
        run(command, b"", PATIENCE)
    };
    for verb in ["create", "run"] {
        refused(
            &other(verb),
            "container's cgroup is not empty: 1 process(es) found",
        );
    }
    assert_eq!(bundle.status(), "running");
    assert_eq!(std::fs::read_dir(&root).unwrap().count(), 0);

    let group = group(&bundle);
    assert_eq!(bundle.runtime(&["delete", "--force", &bundle.id]).code, 0);
    std::fs::create_dir(&group).unwrap();
    std::fs::write(group.join("cgroup.freeze"), "1").unwrap();
    refused(&other("run"), "container's cgroup unexpectedly frozen");
    // One that is empty and thawed may have been made for it.
    std::fs::write(group.join("cgroup.freeze"), "0").unwrap();
    bundle.leave(&["run", "--detach", &bundle.id]);
    assert_eq!(bundle.runtime(&["delete", "--force", &bundle.id]).code, 0);
    assert!(!group.exists());
}

#[test]
fn a_stopped_container_does_nothing_to_whom_has_its_group_now() {
    if tree("cgroup-heir").is_none() {
        return;
    }
    let bundle = Bundle::new("cgroup-heir");
    // Without a process namespace: whatever is in the group may be what the first one has left.
    set(
        &bundle,
        &[(
            "linux.namespaces",
            r#"[{"type":"mount"},{"type":"uts"},{"type":"ipc"},{"type":"network"}]"#,
        )],
    );
    bundle.script("true");
    bundle.leave(&["run", "--detach", &bundle.id]);
    eventually("it has ended", || bundle.status() == "stopped");

    let root = bundle.host.make_dir("other-root");
    let other = |args: &[&str]| {
        let mut command = Command::new(&bundle.host.binary);
        command
            .args(["runtime", "--root", &root])
            .args(args)
            .current_dir(&bundle.dir)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command.status().unwrap().success()
    };
    bundle.script("sleep 1000");
    assert!(other(&["run", "--detach", &bundle.id]));
    assert_eq!(bundle.status(), "stopped");
    bundle.runtime(&["kill", "--all", &bundle.id, "KILL"]);
    let pids = bundle.runtime(&["ps", "--format", "json", &bundle.id]);
    assert_eq!(pids, Output::new(0, "[]\n", ""));
    assert_eq!(bundle.runtime(&["delete", "--force", &bundle.id]).code, 0);
    // It is there still: what has ended takes no signal.
    assert!(other(&["kill", &bundle.id, "0"]));
    assert!(other(&["delete", "--force", &bundle.id]));
}

#[test]
fn groups_below_the_containers_go_with_it() {
    if tree("cgroup-nested").is_none() {
        return;
    }
    let bundle = Bundle::new("cgroup-nested");
    bundle.script("sleep 1000 & sleep 1000 & wait");
    bundle.leave(&["run", "--detach", &bundle.id]);
    let group = group(&bundle);
    let count = || {
        bundle
            .runtime(&["ps", "--format", "json", &bundle.id])
            .stdout
    };
    eventually("both run", || count().split(',').count() == 3);
    std::fs::create_dir_all(group.join("a/b/c")).unwrap();
    std::fs::create_dir_all(group.join("a/d")).unwrap();
    let pids = std::fs::read_to_string(group.join("cgroup.procs")).unwrap();
    std::fs::write(
        group.join("a/b/c/cgroup.procs"),
        pids.lines().last().unwrap(),
    )
    .unwrap();
    // Those below are the container's too.
    assert_eq!(count().split(',').count(), 3);
    assert_eq!(bundle.runtime(&["delete", "--force", &bundle.id]).code, 0);
    assert!(!group.exists());
}

#[test]
fn paused_is_answered_when_everything_stands_still() {
    if tree("cgroup-pause").is_none() {
        return;
    }
    let bundle = Bundle::new("cgroup-pause");
    bundle.script("for i in 1 2 3 4; do (while :; do :; done) & done; wait");
    bundle.leave(&["run", "--detach", &bundle.id]);
    let group = group(&bundle);
    let events = || std::fs::read_to_string(group.join("cgroup.events")).unwrap();
    for _ in 0..20 {
        assert_eq!(
            bundle.runtime(&["pause", &bundle.id]),
            Output::new(0, "", "")
        );
        assert!(events().contains("frozen 1"), "{}", events());
        assert_eq!(bundle.status(), "paused");
        assert_eq!(
            bundle.runtime(&["resume", &bundle.id]),
            Output::new(0, "", "")
        );
        assert_eq!(bundle.status(), "running");
    }
    // What is frozen can be removed.
    assert_eq!(bundle.runtime(&["pause", &bundle.id]).code, 0);
    assert_eq!(bundle.runtime(&["delete", "--force", &bundle.id]).code, 0);
    assert!(!group.exists());
}

#[test]
fn a_limit_that_cannot_be_kept_is_named_and_none_is_no_limit() {
    if tree("cgroup-unreachable").is_none() {
        return;
    }
    let bundle = Bundle::new("cgroup-unreachable");
    bundle.script("echo ran");
    let has = |controller: &str| controllers().iter().any(|name| name == controller);
    for (controller, file, resources) in [
        ("memory", "memory.max", r#"{"memory":{"limit":67108864}}"#),
        ("memory", "memory.low", r#"{"memory":{"reservation":4096}}"#),
        ("pids", "pids.max", r#"{"pids":{"limit":50}}"#),
        ("cpu", "cpu.weight", r#"{"cpu":{"shares":512}}"#),
        ("cpu", "cpu.max", r#"{"cpu":{"quota":50000}}"#),
        ("cpuset", "cpuset.cpus", r#"{"cpu":{"cpus":"0"}}"#),
        ("io", "io.weight", r#"{"blockIO":{"weight":500}}"#),
        (
            "rdma",
            "rdma.max",
            r#"{"rdma":{"mlx5_1":{"hcaHandles":1}}}"#,
        ),
    ] {
        if has(controller) {
            continue;
        }
        set(&bundle, &[("linux.resources", resources)]);
        let sentence = match controller {
            "rdma" => format!("cannot set {file}: cgroup v2 has no {controller} controller here"),
            _ => format!("cannot set {file} ("),
        };
        refused(&bundle.runtime(&["run", &bundle.id]), &sentence);
    }
    if !has("memory") {
        set(
            &bundle,
            &[("linux.resources", r#"{"unified":{"memory.high":"1"}}"#)],
        );
        refused(
            &bundle.runtime(&["run", &bundle.id]),
            "unified resource \"memory.high\" can't be set",
        );
    }
    // What engines write when nothing is limited.
    for resources in [
        r#"{"memory":{},"cpu":{"shares":0},"blockIO":{"weight":0},"pids":{"limit":-1}}"#,
        r#"{"memory":{"limit":-1,"swap":-1,"swappiness":60,"disableOOMKiller":false}}"#,
        r#"{"cpu":{"shares":1024,"idle":0,"burst":0,"quota":-1,"period":100000}}"#,
        r#"{"cpu":{"period":100000}}"#,
        "{}",
    ] {
        set(&bundle, &[("linux.resources", resources)]);
        let output = bundle.runtime(&["run", &bundle.id]);
        assert_eq!(output, Output::new(0, "ran\n", ""), "{resources}");
    }
}

#[test]
fn limits_that_make_no_sense_are_refused() {
    let bundle = Bundle::new("cgroup-senseless");
    bundle.script("echo ran");
    for (resources, sentence) in [
        (
            r#"{"unified":{"../../x":"1"}}"#,
            "unified resource \"../../x\" must be a file name (no slashes)",
        ),
        (
            r#"{"unified":{"memory":"1"}}"#,
            "unified resource \"memory\" must be in the form CONTROLLER.PARAMETER",
        ),
        (
            r#"{"unified":{"cgroup.procs":"1"}}"#,
            "unified resource \"cgroup.procs\" is no limit",
        ),
        (
            r#"{"hugepageLimits":[{"pageSize":"../x","limit":1}]}"#,
            "pageSize \"../x\" is not a size such as 2MB or 64KB",
        ),
        (
            r#"{"memory":{"swap":100}}"#,
            "unable to set swap limit without memory limit",
        ),
        (
            r#"{"memory":{"limit":100,"swap":50}}"#,
            "memory+swap limit should be >= memory limit",
        ),
        (
            r#"{"cpu":{"realtimeRuntime":1000}}"#,
            "linux.resources.cpu.realtimeRuntime cannot be set",
        ),
        (
            r#"{"network":{"classID":1048577}}"#,
            "linux.resources.network.classID cannot be set",
        ),
        (
            r#"{"devices":[{"allow":true,"type":"c","access":""}]}"#,
            "device access at 0 field cannot be empty",
        ),
        (
            r#"{"devices":[{"allow":true,"type":"x","access":"r"}]}"#,
            "invalid cgroup device type \"x\"",
        ),
    ] {
        set(&bundle, &[("linux.resources", resources)]);
        refused(&bundle.runtime(&["run", &bundle.id]), sentence);
    }
}

#[test]
fn huge_pages_are_limited() {
    let Some(top) = tree("cgroup-hugetlb") else {
        return;
    };
    let sizes = Path::new("/sys/kernel/mm/hugepages/hugepages-2048kB");
    if !controllers().iter().any(|name| name == "hugetlb") || !sizes.exists() {
        return skip("cgroup-hugetlb", "no hugetlb controller on cgroup v2 here");
    }
    let bundle = Bundle::new("cgroup-hugetlb");
    bundle.script("sleep 1000");
    let limits = r#"{"hugepageLimits":[{"pageSize":"2MB","limit":4194304}]}"#;
    set(&bundle, &[("linux.resources", limits)]);
    bundle.leave(&["run", "--detach", &bundle.id]);
    let group = group(&bundle);
    assert!(group.starts_with(top));
    for file in ["hugetlb.2MB.max", "hugetlb.2MB.rsvd.max"] {
        let text = std::fs::read_to_string(group.join(file)).unwrap();
        assert_eq!(text.trim(), "4194304", "{file}");
    }
    assert_eq!(bundle.runtime(&["delete", "--force", &bundle.id]).code, 0);

    let limits = r#"{"hugepageLimits":[{"pageSize":"3MB","limit":4194304}]}"#;
    set(&bundle, &[("linux.resources", limits)]);
    refused(
        &bundle.runtime(&["run", &bundle.id]),
        "cannot set hugetlb.3MB.max: this kernel has no such file",
    );
}

#[test]
fn devices_are_what_the_rules_say() {
    if tree("cgroup-devices").is_none() {
        return;
    }
    let bundle = Bundle::new("cgroup-devices");
    // Making a node is always allowed, opening it only by a rule.
    bundle.script(
        "mknod /dev/log c 1 11; mknod /dev/nil c 1 3; \
         for d in nil log; do (: </dev/$d) 2>/dev/null && echo $d; done; \
         (: >/dev/log) 2>/dev/null && echo write; true",
    );
    let capabilities = r#"["CAP_MKNOD","CAP_SYSLOG"]"#;
    for kind in ["bounding", "effective", "permitted"] {
        let path = format!("process.capabilities.{kind}");
        set(&bundle, &[(&path, capabilities)]);
    }
    let deny = r#"{"allow":false,"access":"rwm"}"#;
    for (rules, expected) in [
        (String::new(), "nil\n"),
        (deny.to_string(), "nil\n"),
        (
            format!(r#"{deny},{{"allow":true,"type":"c","major":1,"minor":11,"access":"rw"}}"#),
            "nil\nlog\nwrite\n",
        ),
        (
            format!(r#"{deny},{{"allow":true,"type":"c","major":1,"access":"r"}}"#),
            "nil\nlog\n",
        ),
        (
            r#"{"allow":true,"access":"rwm"}"#.to_string(),
            "nil\nlog\nwrite\n",
        ),
        (
            r#"{"allow":true,"access":"rwm"},{"allow":false,"type":"c","major":1,"minor":11,"access":"w"}"#
                .to_string(),
            "nil\nlog\n",
        ),
    ] {
        let list = format!("[{rules}]");
        set(&bundle, &[("linux.resources.devices", &list)]);
        let output = bundle.runtime(&["run", &bundle.id]);
        assert_eq!(output, Output::new(0, expected, ""), "{rules}");
    }
}

#[test]
fn without_a_group_a_container_runs_and_a_limit_is_refused() {
    let bundle = Bundle::new("cgroup-none");
    bundle.script("echo ran");
    let command = bundle.command(&["run", &bundle.id]);
    let hidden = "mount -t tmpfs none /sys/fs/cgroup";
    let readonly = match mount_point() {
        Some(point) => format!("mount -o bind,remount,ro {}", point.display()),
        None => return skip("cgroup-none", "no cgroup v2 here"),
    };
    for script in [hidden, &readonly] {
        let output = run(elsewhere(script, &command), b"", PATIENCE);
        assert_eq!(output, Output::new(0, "ran\n", ""), "{script}");
    }

    set(
        &bundle,
        &[("linux.resources", r#"{"memory":{"limit":67108864}}"#)],
    );
    refused(
        &run(elsewhere(hidden, &command), b"", PATIENCE),
        "cannot set memory.max (",
    );
    refused(
        &run(elsewhere(&readonly, &command), b"", PATIENCE),
        "rootless needs no limits + no cgrouppath when no permission is granted for cgroups",
    );
    // A place that was named is wanted.
    let path = format!("\"/{}\"", bundle.id);
    set(
        &bundle,
        &[("linux.resources", "{}"), ("linux.cgroupsPath", &path)],
    );
    refused(
        &run(elsewhere(&readonly, &command), b"", PATIENCE),
        "Read-only file system",
    );
}
