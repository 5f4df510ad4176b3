//! diff: what a container has changed.

use crate::harness::command::Output;
use crate::harness::rootfs::{Archive, busybox, busybox_with, docker_archive};
use crate::harness::{Host, IMAGE, docker_client, skip};

/// An image of two layers with something to change; its name is `layered`.
fn layered(host: &Host) {
    let lower = busybox_with(|archive| {
        archive.dir("data/", 0o755);
        archive.file("data/changed", 0o644, "old");
        archive.file("data/gone", 0o644, "old");
        archive.file("data/kept", 0o644, "old");
        archive.dir("data/dir/", 0o755);
        archive.file("data/dir/one", 0o644, "old");
        archive.dir("data/dir/sub/", 0o755);
        archive.file("data/dir/sub/two", 0o644, "old");
        archive.file("data/hidden", 0o644, "old");
    });
    let mut upper = Archive::new();
    upper.file("data/.wh.hidden", 0o644, "");
    upper.file("data/above", 0o644, "above");
    let archive = docker_archive(
        "layered:latest",
        &[lower, upper.finish()],
        "{\"Cmd\":[\"sh\"]}",
    );
    let output = host.tug_with_input(&["load"], &archive);
    assert_eq!(output.code, 0, "{output:?}");
}

#[test]
fn what_has_changed_is_told_in_dockers_letters() {
    let host = Host::new("diff");
    layered(&host);
    let script = "cd /data; echo new >changed; rm gone hidden above 2>/dev/null; \
        touch -r kept stamp; chmod 600 kept; echo x >added; mkdir -p new/deep; echo y >new/deep/file; \
        rm -r dir/sub; mkdir dir/sub; echo z >dir/sub/three; ln -s /nowhere link; \
        chmod 700 /home; rm stamp; : >/root/x; rm /root/x";
    host.ok(&["run", "--name", "web", "layered", "sh", "-c", script]);
    let expected = "\
C /data
D /data/above
A /data/added
C /data/changed
C /data/dir
C /data/dir/sub
A /data/dir/sub/three
D /data/dir/sub/two
D /data/gone
C /data/kept
A /data/link
A /data/new
A /data/new/deep
A /data/new/deep/file
C /home
";
    assert_eq!(host.tug(&["diff", "web"]), Output::new(0, expected, ""));
    assert_eq!(
        host.tug(&["container", "diff", "web"]),
        Output::new(0, expected, "")
    );
    let reply = host.http("GET", "/containers/web/changes", "");
    assert_eq!(reply.status, 200);
    let first = r#"[{"Path":"/data","Kind":0},{"Path":"/data/above","Kind":2},{"Path":"/data/added","Kind":1},"#;
    assert!(reply.body.starts_with(first), "{}", reply.body);
}

#[test]
fn a_container_that_did_nothing_has_no_changes() {
    let host = Host::with_image("diff-none");
    host.ok(&["create", "--name", "created", IMAGE, "true"]);
    host.ok(&["run", "--name", "ran", IMAGE, "true"]);
    host.ok(&["run", "-d", "--name", "runs", IMAGE, "sleep", "1000"]);
    for name in ["created", "ran", "runs"] {
        assert_eq!(host.tug(&["diff", name]), Output::new(0, "", ""), "{name}");
        let reply = host.http("GET", &format!("/containers/{name}/changes"), "");
        assert_eq!((reply.status, reply.body.as_str()), (200, "null\n"));
    }
    host.tug(&["diff", "nope"])
        .assert_refused(1, "Error response from daemon: No such container: nope");
}

#[test]
fn a_running_container_and_one_with_one_layer_are_compared_too() {
    let host = Host::new("diff-running");
    host.import("one", &busybox());
    let bind = host.make_dir("bind");
    let bind = format!("{bind}:/bound");
    host.ok(&[
        "run", "-d", "--name", "web", "-v", &bind, "one", "sleep", "1000",
    ]);
    host.ok(&[
        "exec",
        "web",
        "sh",
        "-c",
        "echo x >/bound/x; rm /etc/group; echo >/new",
    ]);
    assert_eq!(
        host.ok(&["diff", "web"]),
        "A /bound\nC /etc\nD /etc/group\nA /new"
    );
}

/// Deeper than a thread's stack.
#[test]
fn the_depth_of_a_tree_does_not_matter() {
    let host = Host::with_image("diff-deep");
    let script =
        "i=0; while [ $i -lt 1500 ]; do mkdir d && cd d || exit 1; i=$((i+1)); done; echo >end";
    host.ok(&["run", "--name", "web", IMAGE, "sh", "-c", script]);
    let output = host.tug(&["diff", "web"]);
    let lines = output.lines();
    assert_eq!((output.code, lines.len()), (0, 1501), "{}", output.stderr);
    assert!(lines[1500].ends_with("/d/end"), "{}", lines[1500]);
}

/// Docker's own client prints what ours prints.
#[test]
fn the_docker_client_prints_the_same() {
    if docker_client().is_none() {
        return skip("diff: the docker client", "no docker client in PATH");
    }
    let host = Host::with_image("diff-docker");
    host.ok(&[
        "run",
        "--name",
        "web",
        IMAGE,
        "sh",
        "-c",
        "rm /etc/group; echo >/new",
    ]);
    let ours = host.tug(&["diff", "web"]);
    assert_eq!(ours.code, 0, "{ours:?}");
    assert_eq!(host.docker(&["diff", "web"]).unwrap(), ours);
}
