//! `update`: other limits and another restart policy. That limits of a running container change is
//! shown in the guest kernels, which have all controllers.

use crate::harness::command::Output;
use crate::harness::{Host, IMAGE, json};

fn policy(host: &Host, container: &str) -> String {
    host.inspect(container, "HostConfig.RestartPolicy")
}

#[test]
fn a_policy_is_changed_and_remembered() {
    let mut host = Host::with_image("update-policy");
    host.ok(&["create", "--name", "made", IMAGE, "true"]);
    host.ok(&["run", "-d", "--name", "runs", IMAGE, "sleep", "1000"]);
    let pid = host.pid("runs");
    let update = ["update", "--restart", "on-failure:4", "made", "runs"];
    assert_eq!(host.ok(&update), "made\nruns");
    let expected = r#"{"MaximumRetryCount":4,"Name":"on-failure"}"#;
    for container in ["made", "runs"] {
        assert_eq!(policy(&host, container), expected);
    }
    host.kill_engine();
    host.start_engine();
    for container in ["made", "runs"] {
        assert_eq!(policy(&host, container), expected);
    }
    assert_eq!(host.pid("runs"), pid);
    host.ok(&["update", "--restart", "no", "runs"]);
    assert_eq!(
        policy(&host, "runs"),
        r#"{"MaximumRetryCount":0,"Name":"no"}"#
    );
}

#[test]
fn what_cannot_be_updated_is_refused_and_changes_nothing() {
    let host = Host::with_image("update-refused");
    host.ok(&["create", "--name", "web", IMAGE, "true"]);
    host.ok(&[
        "run", "-d", "--rm", "--name", "gone", IMAGE, "sleep", "1000",
    ]);
    let before = host.inspect("web", "HostConfig");
    for (args, sentence) in [
        (
            &["web"][..],
            "you must provide one or more flags when using this command",
        ),
        (
            &["--restart", "foo", "web"],
            "invalid restart policy: unknown policy 'foo'",
        ),
        (&["-m", "1", "web"], "Minimum memory limit allowed is 6MB"),
        (&["--cpus", "1000000", "web"], "CPUs"),
        (
            &["--restart", "always", "gone"],
            "Restart policy cannot be updated because AutoRemove is enabled for the container",
        ),
        (
            &["--restart", "always", "nosuch"],
            "No such container: nosuch",
        ),
    ] {
        let output = host.tug(&[&["update"], args].concat());
        output.assert_refused(1, sentence);
    }
    host.tug(&["update", "--restart", "a:b", "web"])
        .assert_refused(
            125,
            "invalid restart policy format: maximum retry count must be an integer",
        );
    assert_eq!(host.inspect("web", "HostConfig"), before);
}

#[test]
fn what_has_no_effect_is_told() {
    let host = Host::with_image("update-told");
    host.ok(&["create", "--name", "web", IMAGE, "true"]);
    let body = r#"{"Ulimits":[{"Name":"nofile","Soft":1,"Hard":2}],"OomKillDisable":true}"#;
    let reply = host.http("POST", "/containers/web/update", body);
    assert_eq!(reply.status, 200, "{}", reply.body);
    let warnings = json::parse(&reply.body).text("Warnings");
    assert!(
        warnings.contains("Ulimits cannot be updated. Ulimits discarded."),
        "{warnings}"
    );
    assert!(warnings.contains("OomKillDisable discarded."), "{warnings}");
}

#[test]
fn both_clients_say_the_same() {
    let host = Host::with_image("update-docker");
    host.ok(&["create", "--name", "web", IMAGE, "true"]);
    for args in [
        &["update", "--restart", "always", "web"][..],
        &["update", "--restart", "always", "nosuch"],
        &["update", "web"],
    ] {
        let Some(theirs) = host.docker(args) else {
            crate::harness::skip(
                "update: both_clients_say_the_same",
                "no docker client in PATH",
            );
            return;
        };
        let ours = host.tug(args);
        let plain = |output: Output| {
            let text = output.stderr.replace("tug: ", "").replace("docker: ", "");
            (
                output.code,
                output.stdout,
                text.lines().next().unwrap_or_default().to_string(),
            )
        };
        assert_eq!(plain(ours), plain(theirs), "{args:?}");
    }
}
