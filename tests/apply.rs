//! Containers are updated with a way back: alone (`update-image`) or as a set (`apply`).

use crate::harness::Host;
use crate::harness::rootfs::busybox_with;

/// Two images that can be told from each other by a file.
fn host(name: &'static str) -> Host {
    let host = Host::new(name);
    for version in ["one", "two"] {
        host.import(
            version,
            &busybox_with(|more| {
                more.file("version", 0o644, version.as_bytes());
            }),
        );
    }
    host
}

fn version(host: &Host, container: &str) -> String {
    host.ok(&["exec", container, "cat", "/version"])
}

/// Names and states of all containers.
fn all(host: &Host) -> Vec<String> {
    let mut rows: Vec<String> = host
        .ok(&["ps", "-a", "--format", "{{.Names}} {{.State}} {{.Image}}"])
        .lines()
        .map(str::to_string)
        .collect();
    rows.sort();
    rows
}

fn set(host: &Host, name: &str, member: &str) -> String {
    host.get(&format!("/tug/sets/{name}")).text(member)
}

#[test]
fn a_container_gets_another_image_and_keeps_all_else() {
    let host = host("apply-update");
    host.ok(&[
        "run",
        "-d",
        "--name",
        "web",
        "--stop-timeout",
        "0",
        "-e",
        "A=1",
        "-v",
        "/data",
        "-v",
        "named:/named",
        "--label",
        "x=y",
        "one",
        "sleep",
        "1000",
    ]);
    host.ok(&[
        "exec",
        "web",
        "sh",
        "-c",
        "echo kept > /data/file; echo kept > /named/file",
    ]);
    let before = host.inspect("web", "Id");
    let told = host.ok(&["update-image", "web", "two", "--commit-after", "1s"]);
    assert_eq!(
        told,
        "web: made\nweb: stopped\nweb: started\non trial for 1 seconds\ncommitted"
    );
    assert_eq!(version(&host, "web"), "two");
    assert_ne!(host.inspect("web", "Id"), before);
    assert_eq!(all(&host), ["web running two"]);
    assert_eq!(
        host.ok(&["exec", "web", "cat", "/data/file", "/named/file"]),
        "kept\nkept"
    );
    assert_eq!(host.ok(&["exec", "web", "sh", "-c", "echo $A"]), "1");
    assert_eq!(host.inspect("web", "Config.Labels"), r#"{"x":"y"}"#);
    assert_eq!(host.ok(&["volume", "ls", "-q"]).lines().count(), 2);
    assert_eq!(set(&host, "web", "State"), "\"committed\"");
}

#[test]
fn what_ends_in_its_trial_is_taken_back() {
    let host = host("apply-back");
    let script = "test $(cat /version) = one && exec sleep 1000; sleep 0.3; exit 7";
    host.ok(&[
        "run",
        "-d",
        "--stop-timeout=0",
        "--name=web",
        "one",
        "sh",
        "-c",
        script,
    ]);
    let before = host.inspect("web", "Id");
    let output = host.tug(&["update-image", "-q", "web", "two", "--commit-after", "60s"]);
    assert_eq!(
        (output.code, output.stderr.as_str()),
        (
            1,
            "tug: set web was rolled back: web ended with exit code 7\n"
        )
    );
    assert_eq!(host.inspect("web", "Id"), before);
    assert_eq!(version(&host, "web"), "one");
    assert_eq!(all(&host), ["web running one"]);
}
