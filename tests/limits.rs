//! Limits: what is asked for and cannot be had is told, not dropped. That they hold is shown in
//! the guest kernels (tests/guest/cgroup.sh), which have all controllers on cgroup v2.

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
fn a_limit_without_its_controller_is_answered_with_dockers_warning() {
    let host = Host::with_image("limits");
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
    let host = Host::with_image("limits-run");
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
