//! `tug events`: what has happened, and what happens.

use crate::harness::{Host, IMAGE, PATIENCE, eventually, json};

/// The actions of past events about containers, in order.
fn actions(host: &Host, filters: &str) -> Vec<String> {
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
