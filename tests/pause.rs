//! pause and unpause.

use crate::harness::{Host, IMAGE, cgroup2, eventually, json, skip};

/// A host with a container that counts, one a moment; unless groups cannot be frozen here.
fn host(name: &'static str) -> Option<Host> {
    if cgroup2().is_none() {
        skip(&format!("pause: {name}"), "no cgroup v2 here");
        return None;
    }
    let host = Host::with_image(name);
    let script = "n=0; while :; do n=$((n+1)); echo $n; sleep 0.05; done";
    host.ok(&["run", "-d", "--name", "web", IMAGE, "sh", "-c", script]);
    Some(host)
}

fn lines(host: &Host) -> usize {
    host.ok(&["logs", "web"]).lines().count()
}

fn state(host: &Host) -> [String; 3] {
    ["State.Status", "State.Running", "State.Paused"].map(|member| host.inspect("web", member))
}

#[test]
fn a_paused_container_stands_still_until_it_is_unpaused() {
    let Some(mut host) = host("paused") else {
        return;
    };
    let id = host.inspect("web", "Id").replace('"', "");
    assert_eq!(host.ok(&["pause", "web"]), "web");
    assert_eq!(state(&host), ["\"paused\"", "true", "true"]);
    let before = lines(&host);
    std::thread::sleep(std::time::Duration::from_millis(200));
    assert_eq!(lines(&host), before, "it goes on");
    let status = host.ok(&["ps", "--format", "{{.Status}}"]);
    assert!(status.ends_with(" (Paused)"), "{status}");
    assert_eq!(
        host.ok(&["ps", "-q", "--filter", "status=paused"]),
        id[..12]
    );
    let info = host.get("/info");
    let counts = ["ContainersRunning", "ContainersPaused", "ContainersStopped"];
    assert_eq!(counts.map(|count| info.number(count)), [0, 1, 0]);

    // The kernel remembers for us.
    host.kill_engine();
    host.start_engine();
    assert_eq!(state(&host), ["\"paused\"", "true", "true"]);

    let refusal = |verb: &str, body: &str| {
        host.http("POST", &format!("/containers/web/{verb}"), body)
            .error()
    };
    assert_eq!(
        refusal("pause", ""),
        (409, format!("Container {id} is already paused"))
    );
    assert_eq!(
        refusal("start", ""),
        (
            409,
            "cannot start a paused container, try unpause instead".into()
        )
    );
    host.tug(&["exec", "web", "true"])
        .assert_refused(1, "is paused, unpause the container before exec");
    host.tug(&["attach", "web"]).assert_refused(
        1,
        "You cannot attach to a paused container, unpause it first",
    );

    assert_eq!(host.ok(&["unpause", "web"]), "web");
    assert_eq!(state(&host), ["\"running\"", "true", "false"]);
    eventually("it goes on", || lines(&host) > before);
    assert_eq!(host.ok(&["exec", "web", "echo", "hello"]), "hello");
}

#[test]
fn a_paused_container_can_be_ended_in_every_way() {
    let Some(host) = host("paused-end") else {
        return;
    };
    host.ok(&["pause", "web"]);
    assert_eq!(host.ok(&["kill", "web"]), "web");
    host.until_state("web", "exited");
    assert_eq!(host.inspect("web", "State.ExitCode"), "137");
    assert_eq!(host.inspect("web", "State.Paused"), "false");

    host.ok(&["start", "web"]);
    host.ok(&["pause", "web"]);
    assert_eq!(host.ok(&["stop", "-t", "1", "web"]), "web");
    host.until_state("web", "exited");

    host.ok(&["start", "web"]);
    host.ok(&["pause", "web"]);
    assert_eq!(host.ok(&["restart", "-t", "0", "web"]), "web");
    assert_eq!(state(&host), ["\"running\"", "true", "false"]);

    host.ok(&["pause", "web"]);
    host.tug(&["rm", "web"])
        .assert_refused(1, "container is paused");
    assert_eq!(host.ok(&["rm", "-f", "web"]), "web");
}

#[test]
fn only_what_runs_can_be_paused() {
    let Some(host) = host("paused-not") else {
        return;
    };
    host.tug(&["unpause", "web"])
        .assert_refused(1, "is not paused");
    host.ok(&["kill", "web"]);
    host.until_state("web", "exited");
    host.tug(&["pause", "web"])
        .assert_refused(1, "is not running");
    host.tug(&["pause", "nobody"])
        .assert_refused(1, "No such container: nobody");
}

#[test]
fn quick_turns_are_told_once_each_and_in_order() {
    let Some(host) = host("paused-turns") else {
        return;
    };
    for _ in 0..20 {
        for (verb, status) in [("pause", "\"paused\""), ("unpause", "\"running\"")] {
            let target = format!("/containers/web/{verb}");
            assert_eq!(host.http("POST", &target, "").status, 204, "{verb}");
            assert_eq!(host.inspect("web", "State.Status"), status, "after {verb}");
        }
    }
    // Beyond this second, so that all of them are in it.
    std::thread::sleep(std::time::Duration::from_millis(1100));
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let until = now.unwrap().as_secs();
    let told = host.http("GET", &format!("/events?since=1&until={until}"), "");
    let actions = told
        .body
        .lines()
        .map(|line| json::parse(line).string("Action"));
    let turns: Vec<String> = actions.filter(|a| a.ends_with("pause")).collect();
    assert_eq!(turns, ["pause", "unpause"].repeat(20));
}

#[test]
fn pausing_is_told_as_docker_tells_it() {
    let Some(host) = host("paused-events") else {
        return;
    };
    host.ok(&["pause", "web"]);
    host.ok(&["unpause", "web"]);
    host.ok(&["kill", "web"]);
    host.until_state("web", "exited");
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let until = now.unwrap().as_secs().to_string();
    let output = host.tug(&[
        "events",
        "--since",
        "1",
        "--until",
        &until,
        "--format",
        "{{.Action}}",
    ]);
    let seen: Vec<&str> = output.stdout.lines().collect();
    let wanted = ["pause", "unpause", "kill", "die"];
    let found: Vec<&str> = seen.into_iter().filter(|a| wanted.contains(a)).collect();
    // What happened within this second is beyond `until`.
    assert!(wanted.starts_with(&found), "{found:?}");
    assert_eq!((output.code, output.stderr.as_str()), (0, ""));
}
