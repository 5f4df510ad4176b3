//! `tug events`: what has happened, and what happens.

use crate::harness::{Host, IMAGE, PATIENCE, eventually, json};

/// The actions of past events about containers, in order.
pub fn actions(host: &Host, filters: &str) -> Vec<String> {
    let until = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_secs()
        + 1;
    let filters = filters
        .replace('{', "%7B")
        .replace('}', "%7D")
        .replace('"', "%22");
    let target = format!("/events?since=1&until={until}&filters={filters}");
    let reply = host.http("GET", &target, "");
    assert_eq!(reply.status, 200, "{reply:?}");
    reply
        .body
        .lines()
        .map(|line| json::parse(line).string("Action"))
        .collect()
}

const CONTAINERS: &str = r#"{"type":["container"]}"#;

#[test]
fn the_life_of_a_container_is_told_in_order() {
    let host = Host::with_image("events");
    let id = host.ok(&["run", "-d", "--name", "web", IMAGE, "sleep", "1000"]);
    host.ok(&["kill", "web"]);
    host.ok(&["wait", "web"]);
    host.ok(&["rm", "web"]);
    let expected = ["create", "start", "kill", "die", "destroy"];
    eventually("all is told", || {
        actions(&host, CONTAINERS).len() >= expected.len()
    });
    assert_eq!(actions(&host, CONTAINERS), expected);
    assert_eq!(
        actions(&host, &format!(r#"{{"container":["{id}"]}}"#)),
        expected
    );
    assert_eq!(actions(&host, r#"{"event":["die"]}"#), ["die"]);
    assert!(actions(&host, r#"{"type":["image"]}"#).contains(&"import".to_string()));
}

#[test]
fn die_tells_the_exit_code() {
    let host = Host::with_image("events-die");
    host.ok(&["run", "-d", "--name", "web", IMAGE, "sh", "-c", "exit 3"]);
    host.ok(&["wait", "web"]);
    let mut client = host.spawn(&["events", "--since", "1", "--filter", "event=die"]);
    client.until_stdout("the event", |text| text.ends_with('\n'));
    let line = client.stdout();
    // 2024-01-02T03:04:05.123456789+00:00 container die ID (exitCode=3, image=test, name=web)
    let (_, rest) = line.trim_end().split_once(" container die ").unwrap();
    let (_, attributes) = rest.split_once(" (").unwrap();
    for attribute in ["exitCode=3", "image=test", "name=web"] {
        assert!(
            attributes.contains(attribute),
            "{attribute} is not in {line}"
        );
    }
    client.child.kill().unwrap();
    client.wait(PATIENCE);
}

#[test]
fn a_listener_hears_what_happens_from_now_on() {
    let host = Host::with_image("events-live");
    let client = host.spawn(&["events", "--filter", "type=container"]);
    eventually("the listener is there", || {
        host.get("/info").number("NEventsListener") >= 1
    });
    host.ok(&["run", "--rm", "--name", "web", IMAGE, "true"]);
    client.until_stdout("the destruction", |text| {
        text.contains(" container destroy ")
    });
    let heard: Vec<String> = client
        .stdout()
        .lines()
        .map(|line| line.split(' ').nth(2).unwrap().to_string())
        .collect();
    assert_eq!(heard, ["create", "attach", "start", "die", "destroy"]);
}

#[test]
fn coming_to_a_network_and_leaving_it_is_told() {
    let host = Host::with_image("events-network");
    let id = host.ok(&["run", "-d", "--network", "none", IMAGE, "true"]);
    host.ok(&["wait", &id]);
    eventually("both are told", || {
        actions(&host, r#"{"type":["network"]}"#) == ["connect", "disconnect"]
    });
    let format = "{{.Actor.Attributes.container}} {{.Actor.Attributes.type}} {{.Actor.ID}}";
    let shown = host.ok(&[
        "events",
        "--since",
        "1",
        "--until",
        "0s",
        "-f",
        "event=connect",
        "--format",
        format,
    ]);
    let network = host.get("/networks/none").string("Id");
    assert_eq!(shown, format!("{id} null {network}"));
    assert_eq!(
        actions(&host, r#"{"network":["none"]}"#),
        ["connect", "disconnect"]
    );
    assert_eq!(actions(&host, r#"{"network":["host"]}"#), [""; 0]);
}

#[test]
fn further_actions_have_their_attributes() {
    let host = Host::with_image("events-more");
    host.ok(&[
        "run", "-d", "--name", "web", "-l", "kind=a", IMAGE, "sleep", "1000",
    ]);
    host.ok(&["rename", "web", "site"]);
    host.ok(&["top", "site"]);
    host.ok(&["rm", "-f", "site"]);
    host.ok(&["container", "prune", "-f"]);
    // The docker command names its registry in full.
    let target = format!("/images/{IMAGE}/tag?repo=docker.io/library/more&tag=1");
    assert_eq!(host.http("POST", &target, "").status, 201);
    let told = |filter: &str, format: &str| {
        let line = [
            "events", "--since", "1", "--until", "0s", "-f", filter, "--format", format,
        ];
        host.ok(&line)
    };
    assert_eq!(
        told(
            "event=rename",
            "{{.Actor.Attributes.oldName}} {{.Actor.Attributes.name}}"
        ),
        "/web site"
    );
    assert_eq!(told("event=top", "{{.Actor.Attributes.kind}}"), "a");
    assert_eq!(
        told("event=prune", "{{.Type}} {{.Actor.Attributes.reclaimed}}"),
        "container 0"
    );
    assert!(told("image=more", "{{.Action}} {{.Actor.Attributes.name}}").ends_with("tag more:1"));
    assert_eq!(
        told("label=kind=a", "{{.Action}}"),
        "create\nstart\nrename\ntop\nkill\ndie\ndestroy"
    );
    assert_eq!(told("scope=swarm", "{{.Action}}"), "");
    let refused = host.tug(&["events", "--since", "2", "--until", "1"]);
    let sentence = "`since` time (2) cannot be after `until` time (1)";
    refused.assert_refused(1, sentence);
    let refused = host.tug(&["events", "-f", "colour=red", "--until", "1"]);
    refused.assert_refused(1, "invalid filter 'colour'");
}

#[test]
fn exec_events_name_the_command() {
    let host = Host::with_image("events-exec");
    host.ok(&["run", "-d", "--name", "web", IMAGE, "sleep", "1000"]);
    host.ok(&["exec", "web", "true"]);
    let expected = [
        "create",
        "start",
        "exec_create: true",
        "exec_start: true",
        "exec_die",
    ];
    eventually("the exec's end is told", || {
        actions(&host, CONTAINERS).len() >= expected.len()
    });
    assert_eq!(actions(&host, CONTAINERS), expected);
}
