//! Limits: what is asked for and cannot be had is told, not dropped. That they hold is shown in
//! the guest kernels (tests/guest/cgroup.sh), which have all controllers on cgroup v2.

use crate::harness::rootfs::busybox;
use crate::harness::{Host, IMAGE, json, skip};
use std::path::PathBuf;

/// The controllers that cgroup v2 offers on this machine.
fn controllers() -> Vec<String> {
    let table = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    let mount = table.lines().find_map(|line| {
        let (mount, kind) = line.split_once(" - ")?;
        kind.starts_with("cgroup2 ")
            .then(|| PathBuf::from(mount.split(' ').nth(4).unwrap()))
    });
    mount
        .and_then(|point| std::fs::read_to_string(point.join("cgroup.controllers")).ok())
        .unwrap_or_default()
        .split_whitespace()
        .map(String::from)
        .collect()
}

/// An engine that goes on without limits that cannot be enforced.
pub fn best_effort(name: &'static str) -> Host {
    let mut host = Host::without_engine(name);
    std::fs::write(host.dir.join("daemon.json"), r#"{"limits": "best-effort"}"#).unwrap();
    host.start_engine();
    host.import(IMAGE, &busybox());
    host
}

/// The warnings of a create with this host configuration.
fn warnings(host: &Host, config: &str) -> Vec<String> {
    let body = format!(r#"{{"Image":"{IMAGE}","Cmd":["true"],"HostConfig":{{{config}}}}}"#);
    let reply = host.http("POST", "/containers/create", &body);
    assert_eq!(reply.status, 201, "{config}: {reply:?}");
    let reply = json::parse(&reply.body);
    match reply.text("Warnings").as_str() {
        "null" => Vec::new(),
        text => json::parse(text)
            .items()
            .iter()
            .map(|item| item.string(""))
            .collect(),
    }
}

#[test]
fn a_limit_without_its_controller_is_answered_with_dockers_warning_where_that_is_wanted() {
    let host = best_effort("limits");
    let offered = controllers();
    for (controller, config, sentence) in [
        (
            "memory",
            r#""Memory":67108864"#,
            "Your kernel does not support memory limit capabilities or the cgroup is not mounted. \
             Limitation discarded.",
        ),
        (
            "pids",
            r#""PidsLimit":64"#,
            "Your kernel does not support PIDs limit capabilities or the cgroup is not mounted. \
             PIDs limit discarded.",
        ),
    ] {
        if offered.iter().any(|name| name == controller) {
            assert_eq!(warnings(&host, config), Vec::<String>::new());
        } else {
            assert!(
                warnings(&host, config).contains(&sentence.to_string()),
                "{config}"
            );
        }
    }
    assert_eq!(warnings(&host, ""), Vec::<String>::new());
}

#[test]
fn a_container_with_an_impossible_limit_still_runs() {
    let host = best_effort("limits-run");
    let body = format!(
        r#"{{"Image":"{IMAGE}","Cmd":["echo","ran"],"HostConfig":{{"Memory":67108864,"PidsLimit":64}}}}"#
    );
    assert_eq!(
        host.http("POST", "/containers/create?name=web", &body)
            .status,
        201
    );
    assert_eq!(host.http("POST", "/containers/web/start", "").status, 204);
    assert_eq!(host.ok(&["wait", "web"]), "0");
    assert_eq!(host.ok(&["logs", "web"]), "ran");
}

/// A limit as an option, its controller, and how Docker calls what is missing.
const ASKED: [(&str, &str, &str); 8] = [
    ("--memory=64m", "memory", "memory limit capabilities"),
    (
        "--memory-reservation=32m",
        "memory",
        "memory soft limit capabilities",
    ),
    ("--pids-limit=64", "pids", "PIDs limit capabilities"),
    ("--cpu-quota=50000", "cpu", "CPU CFS scheduler"),
    ("--cpus=0.5", "cpu", "CPU CFS scheduler"),
    ("--cpu-shares=512", "cpu", "CPU shares"),
    ("--cpuset-cpus=0", "cpuset", "cpuset"),
    ("--blkio-weight=100", "io", "Block I/O weight"),
];

/// Why a controller is not there, as far as this machine goes: v1 has it, or nobody.
fn reason(controller: &str) -> String {
    let old = if controller == "io" {
        "blkio"
    } else {
        controller
    };
    let table = std::fs::read_to_string("/proc/cgroups").unwrap();
    let row = table
        .lines()
        .find(|line| line.split('\t').next() == Some(old));
    match row.and_then(|row| row.split('\t').nth(1)) {
        Some("0") | None => String::new(),
        Some(_) => format!("(cgroup v1 has the {controller} controller here: see `tug check`)"),
    }
}

#[test]
fn a_limit_that_cannot_be_enforced_is_refused_with_the_reason() {
    let host = Host::with_image("limits-strict");
    host.ok(&["create", "--name", "web", IMAGE, "true"]);
    let before = host.inspect("web", "HostConfig");
    for (option, controller, sentence) in ASKED {
        if controllers().iter().any(|name| name == controller) {
            continue;
        }
        let run = host.tug(&["run", "--rm", option, IMAGE, "true"]);
        let update = host.tug(&["update", option, "web"]);
        for (output, code) in [(run, 125), (update, 1)] {
            output.assert_refused(code, sentence);
            output.assert_refused(code, &reason(controller));
            output.assert_refused(code, "see `tug check`)");
        }
    }
    assert_eq!(host.inspect("web", "HostConfig"), before);
    // Nothing was made, and what nobody asked for stands in nobody's way.
    assert_eq!(host.ok(&["ps", "-aq"]).lines().count(), 1);
    assert_eq!(host.ok(&["run", "--rm", IMAGE, "echo", "ran"]), "ran");
    assert_eq!(
        host.ok(&[
            "run",
            "--rm",
            "--memory-swappiness=-1",
            "--pids-limit=-1",
            IMAGE,
            "echo",
            "ran"
        ]),
        "ran"
    );
}

#[test]
fn dockers_client_is_refused_the_same() {
    let host = Host::with_image("limits-docker");
    if controllers().iter().any(|name| name == "memory") {
        return skip("limits-docker", "memory is on cgroup v2 here");
    }
    let Some(output) = host.docker(&["run", "--rm", "-m", "64m", IMAGE, "true"]) else {
        return skip("limits-docker", "no docker client in PATH");
    };
    output.assert_refused(125, "memory limit capabilities");
    output.assert_refused(125, "--limits=best-effort");
}

#[test]
fn the_engine_knows_two_ways_with_limits() {
    let host = Host::without_engine("limits-words");
    let validate = |limits: &str| {
        let file = host.dir.join("daemon.json").display().to_string();
        host.tug(&[
            "engine",
            "--config-file",
            &file,
            "--validate",
            "--limits",
            limits,
        ])
    };
    assert_eq!(validate("strict").code, 0);
    assert_eq!(validate("best-effort").code, 0);
    validate("some").assert_refused(1, "invalid --limits \"some\": strict or best-effort");
}

#[test]
fn limits_that_make_no_sense_are_400() {
    if !["memory", "cpu"]
        .iter()
        .all(|name| controllers().iter().any(|found| found == name))
    {
        // Docker checks a value only where the kernel could honour it.
        return skip(
            "limits-bad",
            "memory and cpu are not on cgroup v2 here; see tests/guest",
        );
    }
    let host = Host::with_image("limits-bad");
    for (config, sentence) in [
        (r#""Memory":1024"#, "Minimum memory limit allowed is 6MB"),
        (r#""CpuPeriod":10,"CpuQuota":1000"#, "CPU cfs period"),
        (r#""NanoCpus":-5"#, "CPUs"),
    ] {
        let body = format!(r#"{{"Image":"{IMAGE}","HostConfig":{{{config}}}}}"#);
        let (status, message) = host.http("POST", "/containers/create", &body).error();
        assert_eq!(status, 400, "{config}: {message}");
        assert!(message.contains(sentence), "{message}");
    }
}

#[test]
fn ulimits_are_set_for_the_program() {
    let host = Host::with_image("ulimits");
    let body = format!(
        r#"{{"Image":"{IMAGE}","Cmd":["sh","-c","ulimit -n; ulimit -Hn"],
        "HostConfig":{{"Ulimits":[{{"Name":"nofile","Soft":99,"Hard":101}}]}}}}"#
    );
    assert_eq!(
        host.http("POST", "/containers/create?name=web", &body)
            .status,
        201
    );
    assert_eq!(host.http("POST", "/containers/web/start", "").status, 204);
    assert_eq!(host.ok(&["wait", "web"]), "0");
    assert_eq!(host.ok(&["logs", "web"]), "99\n101");
}

#[test]
fn a_limit_of_files_that_leaves_none_to_start_with_is_told() {
    let host = Host::with_image("ulimits-tight");
    for limit in ["nofile=1", "nofile=2", "nofile=3"] {
        let output = host.tug(&["run", "--rm", "--ulimit", limit, IMAGE, "true"]);
        output.assert_refused(125, "(RLIMIT_NOFILE) leaves none to start the program with");
    }
    host.ok(&["run", "--rm", "--ulimit", "nofile=16", IMAGE, "true"]);
}

#[test]
fn info_names_the_limits_that_this_kernel_cannot_keep() {
    let host = Host::new("limits-info");
    let info = host.get("/info");
    let has = |name: &str| controllers().iter().any(|found| found == name).to_string();
    assert_eq!(info.text("MemoryLimit"), has("memory"));
    assert_eq!(info.text("CpuCfsQuota"), has("cpu"));
    assert_eq!(info.text("PidsLimit"), has("pids"));
    assert_eq!(info.string("CgroupVersion"), "2");
    if has("memory") == "false" {
        assert!(
            info.text("Warnings").contains("No memory limit support"),
            "{}",
            info.text("Warnings")
        );
    }
}
