//! `prune`: what nobody uses goes, and nothing else.

use crate::harness::command::Output;
use crate::harness::rootfs::busybox;
use crate::harness::{Host, IMAGE, json};

/// One that runs, one that has ended and written 4 bytes, one that never ran.
fn three(host: &Host) -> [String; 3] {
    let running = host.ok(&["run", "-d", "--name", "up", IMAGE, "sleep", "1000"]);
    let write = "echo 123 > /file";
    let ended = host.ok(&[
        "run", "-d", "--name", "ended", "-l", "a=1", IMAGE, "sh", "-c", write,
    ]);
    host.ok(&["wait", "ended"]);
    let idle = host.ok(&["create", "--name", "idle", "-l", "a=2", IMAGE, "true"]);
    [running, ended, idle]
}

fn names(host: &Host) -> String {
    let names = host.ok(&["ps", "-a", "--format", "{{.Names}}"]);
    let mut names: Vec<&str> = names.lines().collect();
    names.sort_unstable();
    names.join(" ")
}

#[test]
fn containers_that_do_not_run_go() {
    let host = Host::with_image("prune");
    let [_, ended, idle] = three(&host);
    assert_eq!(
        host.ok(&["container", "prune", "-f"]),
        format!("Deleted Containers:\n{idle}\n{ended}\n\nTotal reclaimed space: 4B")
    );
    assert_eq!(names(&host), "up");
    assert_eq!(
        host.ok(&["container", "prune", "-f"]),
        "Total reclaimed space: 0B"
    );
    assert_eq!(
        host.http("POST", "/containers/prune", "").body,
        r#"{"ContainersDeleted":null,"SpaceReclaimed":0}"#
    );
}

#[test]
fn filters_spare_containers() {
    let host = Host::with_image("prune-filters");
    three(&host);
    let prune = |filter: &str| host.tug(&["container", "prune", "-f", "--filter", filter]);
    for filter in [
        "label=a=3",
        "label=b",
        "until=1h",
        "until=2020-01-01",
        "label!=a",
    ] {
        let nothing = Output::new(0, "Total reclaimed space: 0B\n", "");
        assert_eq!(prune(filter), nothing, "{filter}");
    }
    assert_eq!(names(&host), "ended idle up");
    prune("label=a=1");
    assert_eq!(names(&host), "idle up");
    prune("label!=a=1");
    assert_eq!(names(&host), "up");
    prune("colour=red").assert_refused(1, "invalid filter 'colour'");
    prune("until=soon").assert_refused(1, "failed to parse value as time or duration: \"soon\"");
}

#[test]
fn the_user_is_asked_first() {
    let host = Host::with_image("prune-ask");
    three(&host);
    let question = "WARNING! This will remove all stopped containers.\n\
                    Are you sure you want to continue? [y/N] ";
    for no in ["n\n", "\n", ""] {
        let output = host.tug_with_input(&["container", "prune"], no.as_bytes());
        assert_eq!(output, Output::new(0, question, ""), "{no:?}");
    }
    assert_eq!(names(&host), "ended idle up");
    let output = host.tug_with_input(&["container", "prune"], b"y\n");
    assert!(
        output.stdout.ends_with("\nTotal reclaimed space: 4B\n"),
        "{output:?}"
    );
    assert_eq!(names(&host), "up");
}

#[test]
fn images_without_a_name_go_and_all_unused_ones_when_asked() {
    let host = Host::with_image("prune-images");
    host.ok(&["create", "--name", "idle", IMAGE, "true"]);
    let change = ["import", "-c", "CMD true", "-", "other"];
    let old = host
        .tug_with_input(&change, &busybox())
        .stdout
        .trim()
        .to_string();
    let change = ["import", "-c", "CMD false", "-", "other"];
    let new = host
        .tug_with_input(&change, &busybox())
        .stdout
        .trim()
        .to_string();

    // They share their layer with the image in use: nothing is freed.
    assert_eq!(
        host.ok(&["image", "prune", "-f"]),
        format!("Deleted Images:\ndeleted: {old}\n\nTotal reclaimed space: 0B")
    );
    assert_eq!(
        host.ok(&["image", "prune", "-af"]),
        format!(
            "Deleted Images:\nuntagged: other:latest\ndeleted: {new}\n\nTotal reclaimed space: 0B"
        )
    );
    assert_eq!(host.ok(&["images", "--format", "{{.Repository}}"]), IMAGE);
    host.ok(&["rm", "idle"]);
    let size = host.get("/images/test/json").number("Size");
    let pruned = host.http(
        "POST",
        "/images/prune?filters=%7B%22dangling%22:[%22false%22]%7D",
        "",
    );
    assert_eq!(json::parse(&pruned.body).number("SpaceReclaimed"), size);
    assert_eq!(host.ok(&["images", "-q"]), "");
}

#[test]
fn system_prune_says_and_does_all_of_it() {
    let host = Host::with_image("prune-system");
    let [_, ended, idle] = three(&host);
    let question = host.tug_with_input(
        &["system", "prune", "-a", "--volumes", "--filter", "label=a"],
        b"n\n",
    );
    assert_eq!(
        question.stdout,
        "WARNING! This will remove:\n  - all stopped containers\n  \
         - all networks not used by at least one container\n  \
         - all anonymous volumes not used by at least one container\n  \
         - all images without at least one container associated to them\n  \
         - all build cache\n\n  Items to be pruned will be filtered with:\n  - label=a\n\n\
         Are you sure you want to continue? [y/N] "
    );
    assert_eq!(
        host.ok(&["system", "prune", "-f"]),
        format!("Deleted Containers:\n{idle}\n{ended}\n\nTotal reclaimed space: 4B")
    );
    let refused = host.tug(&["system", "prune", "-f", "--volumes", "--filter", "until=1h"]);
    refused.assert_refused(
        1,
        "The \"until\" filter is not supported with \"--volumes\"",
    );
    for (path, expected) in [
        ("networks", r#"{"NetworksDeleted":null}"#),
        ("volumes", r#"{"VolumesDeleted":[],"SpaceReclaimed":0}"#),
        ("build", r#"{"CachesDeleted":null,"SpaceReclaimed":0}"#),
    ] {
        let reply = host.http("POST", &format!("/{path}/prune"), "");
        assert_eq!(
            (reply.status, reply.body.as_str()),
            (200, expected),
            "{path}"
        );
    }
}
