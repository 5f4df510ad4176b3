//! What the options of a container do, seen from inside and from the kernel.

use crate::harness::{Host, IMAGE, json};
use rustix::fs::{CWD, FileType, makedev};
use std::collections::BTreeSet;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

/// Run a script in a container with these options.
#[track_caller]
fn inside(host: &Host, options: &[&str], script: &str) -> String {
    let args = [&["run", "--rm"], options, &[IMAGE, "sh", "-c", script]].concat();
    host.ok(&args)
}

/// A line of /proc/self/status of ours.
fn status(name: &str) -> String {
    let text = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = text.lines().find(|line| line.starts_with(name));
    line.unwrap().to_string()
}

#[test]
fn a_privileged_container_has_all_capabilities_that_there_are_and_all_devices() {
    let host = Host::with_image("privileged");
    // Machines there are whose bounding set lacks some: what cannot be had is not asked for.
    let found = inside(&host, &["--privileged"], "grep ^CapEff /proc/self/status");
    assert_eq!(found, status("CapBnd").replace("CapBnd", "CapEff"));

    let is_node = |path: &Path| {
        let kind = std::fs::symlink_metadata(path).map(|metadata| metadata.file_type());
        kind.is_ok_and(|kind| kind.is_char_device() || kind.is_block_device())
    };
    let entries = std::fs::read_dir("/dev").unwrap().flatten();
    let nodes = entries
        .map(|entry| entry.path())
        .filter(|path| is_node(path));
    let mut expected: BTreeSet<PathBuf> = nodes.collect();
    // A container has a console of its own, if any.
    expected.remove(Path::new("/dev/console"));
    let found = inside(
        &host,
        &["--privileged"],
        "for f in /dev/*; do [ -b $f -o -c $f ] && echo $f; done",
    );
    let found: BTreeSet<PathBuf> = found.lines().map(PathBuf::from).collect();
    let missing: Vec<_> = expected.difference(&found).collect();
    assert!(missing.is_empty(), "{missing:?}");
    assert_eq!(
        inside(
            &host,
            &["--privileged"],
            "grep -c ' /sys/firmware ' /proc/mounts || true"
        ),
        "0"
    );
}

#[test]
fn a_container_joins_the_namespaces_of_another_while_that_one_runs() {
    let host = Host::with_image("donors");
    host.ok(&[
        "run",
        "-d",
        "--name",
        "donor",
        "--ipc",
        "shareable",
        "-h",
        "box",
        IMAGE,
        "sleep",
        "1000",
    ]);
    let shared = [
        "--network",
        "container:donor",
        "--pid",
        "container:donor",
        "--ipc",
        "container:donor",
    ];
    let args = [
        &["run", "-d", "--name", "guest"],
        &shared[..],
        &[IMAGE, "sleep", "1000"],
    ]
    .concat();
    host.ok(&args);
    let namespace = |container: &str, name: &str| {
        let path = format!("/proc/{}/ns/{name}", host.pid(container));
        std::fs::read_link(path).unwrap()
    };
    for (name, is_shared) in [
        ("net", true),
        ("pid", true),
        ("ipc", true),
        ("mnt", false),
        ("cgroup", false),
    ] {
        assert_eq!(
            namespace("guest", name) == namespace("donor", name),
            is_shared,
            "{name}"
        );
    }
    // The files that belong to a network are shared as well.
    assert_eq!(host.ok(&["exec", "guest", "cat", "/etc/hostname"]), "box");
    host.ok(&["exec", "donor", "touch", "/dev/shm/here"]);
    host.ok(&["exec", "guest", "ls", "/dev/shm/here"]);
    host.ok(&["rm", "-f", "guest"]);

    let id = host.inspect("donor", "Id").replace('"', "");
    host.ok(&["stop", "-t", "0", "donor"]);
    let not_running = format!("container {id} is not running");
    let network =
        "cannot join network namespace of a non running container: container donor is exited";
    for (option, sentence) in [
        ("--network", network),
        ("--pid", &not_running),
        ("--ipc", &not_running),
    ] {
        let output = host.tug(&["run", "--rm", option, "container:donor", IMAGE, "true"]);
        output.assert_refused(125, sentence);
    }
    host.ok(&["run", "-d", "--name", "closed", IMAGE, "sleep", "1000"]);
    let output = host.tug(&["run", "--rm", "--ipc", "container:closed", IMAGE, "true"]);
    output.assert_refused(
        125,
        "non-shareable IPC (hint: use IpcMode:shareable for the donor container)",
    );
}

#[test]
fn names_are_resolved_as_asked() {
    let host = Host::with_image("names-resolved");
    let options = [
        "--dns",
        "192.0.2.1",
        "--dns",
        "192.0.2.2",
        "--dns-search",
        "lab",
        "--dns-search",
        "roof.lab",
        "--dns-option",
        "ndots:2",
        "--dns-option",
        "rotate",
    ];
    let read = "grep -v '^#' /etc/resolv.conf | grep .";
    assert_eq!(
        inside(&host, &options, read),
        "nameserver 192.0.2.1\nnameserver 192.0.2.2\nsearch lab roof.lab\noptions ndots:2 rotate"
    );
    assert_eq!(
        inside(&host, &["--dns", "192.0.2.1", "--dns-search", "."], read),
        "nameserver 192.0.2.1"
    );
    let options = [
        "--add-host",
        "web:192.0.2.7",
        "--add-host",
        "six=[2001:db8::1]",
        "--add-host",
        "gate:host-gateway",
        "-h",
        "box",
        "--domainname",
        "lab",
    ];
    let hosts = inside(&host, &options, "cat /etc/hosts");
    let has = |line: &str| hosts.lines().any(|found| found == line);
    assert!(has("192.0.2.7\tweb") && has("2001:db8::1\tsix"), "{hosts}");
    assert!(hosts.contains("\tbox.lab box"), "{hosts}");
    let gate = hosts.lines().find_map(|line| line.strip_suffix("\tgate"));
    assert!(
        gate.is_some_and(|address| address.parse::<std::net::IpAddr>().is_ok()),
        "{hosts}"
    );
}

#[test]
fn groups_are_added_by_name_and_number() {
    let host = Host::with_image("groups");
    let groups = |options: &[&str]| inside(&host, options, "id -G");
    assert_eq!(
        groups(&["-u", "5:6", "--group-add", "7", "--group-add", "nogroup"]),
        "6 7 65534"
    );
    host.tug(&["run", "--rm", "--group-add", "nosuch", IMAGE, "true"])
        .assert_refused(
            125,
            "unable to find group nosuch: no matching entries in group file",
        );
}

#[test]
fn a_directory_of_devices_is_given_whole() {
    let host = Host::with_image("device-dir");
    let dir = host.make_dir("nodes/sub");
    let node = |path: &str| {
        let mode = rustix::fs::Mode::from(0o640);
        rustix::fs::mknodat(CWD, path, FileType::CharacterDevice, mode, makedev(1, 3)).unwrap();
    };
    node(&format!("{dir}/one"));
    // As deep as a path can lead.
    let mut deep = dir.clone();
    while deep.len() < 4000 {
        deep.push_str("/d");
    }
    std::fs::create_dir_all(&deep).unwrap();
    let mapping = format!("{}:/dev/nodes:rw", dir.strip_suffix("/sub").unwrap());
    let found = inside(
        &host,
        &["--device", &mapping],
        "stat -c '%n %t:%T %a' /dev/nodes/sub/one",
    );
    assert_eq!(found, "/dev/nodes/sub/one 1:3 640");
    host.tug(&[
        "run",
        "--rm",
        "--device",
        &format!("{dir}/d"),
        IMAGE,
        "true",
    ])
    .assert_refused(125, "not a device node");
}

#[test]
fn annotations_reach_the_runtime() {
    let host = Host::with_image("annotations");
    let id = host.ok(&[
        "run",
        "-d",
        "--annotation",
        "a.b=c d",
        IMAGE,
        "sleep",
        "1000",
    ]);
    let config = host
        .exec_root()
        .join("containers")
        .join(&id)
        .join("bundle/config.json");
    let config = json::parse(&std::fs::read_to_string(config).unwrap());
    assert_eq!(config.text("annotations"), r#"{"a.b":"c d"}"#);
}

#[test]
fn limits_of_the_engine_hold_where_a_container_has_none() {
    let mut host = Host::without_engine("default-ulimits");
    host.write(
        "daemon.json",
        r#"{"default-ulimits": {"nofile": {"Name": "nofile", "Hard": 64, "Soft": 32}}}"#,
    );
    host.start_engine();
    host.import(IMAGE, &crate::harness::rootfs::busybox());
    let script = "ulimit -n; ulimit -Hn";
    assert_eq!(inside(&host, &[], script), "32\n64");
    assert_eq!(inside(&host, &["--ulimit", "nofile=20"], script), "20\n20");
}

#[test]
fn long_texts_are_taken_or_refused() {
    let mut host = Host::with_image("long-texts");
    for length in [65_535, 65_536, 1 << 20] {
        let long = "x".repeat(length);
        for member in [
            format!(r#""Hostname":"{long}""#),
            format!(r#""User":"{long}""#),
            format!(r#""WorkingDir":"/{long}""#),
            format!(r#""Labels":{{"{long}":"{long}"}}"#),
            format!(r#""Env":["A={long}"]"#),
            format!(r#""StopSignal":"{long}""#),
            format!(r#""HostConfig":{{"Annotations":{{"a":"{long}"}}}}"#),
            format!(r#""HostConfig":{{"CgroupParent":"/{long}"}}"#),
            format!(r#""HostConfig":{{"ExtraHosts":["{long}:192.0.2.1"]}}"#),
            format!(r#""HostConfig":{{"Binds":["/{long}:/a"]}}"#),
        ] {
            let name = member.get(..20).unwrap();
            let body = format!(r#"{{"Image":"{IMAGE}","Cmd":["true"],{member}}}"#);
            let reply = host.http("POST", "/containers/create", &body);
            if reply.status == 201 {
                let id = json::parse(&reply.body).string("Id");
                let reply = host.http("POST", &format!("/containers/{id}/start"), "");
                assert!(
                    [204, 400, 500].contains(&reply.status),
                    "{name}: {length}: {}",
                    reply.status
                );
                host.http("DELETE", &format!("/containers/{id}?force=1"), "");
            } else {
                assert!([400, 500].contains(&reply.status), "{name}: {length}");
            }
            assert!(host.engine_is_alive(), "{name}: {length}");
        }
    }
}
