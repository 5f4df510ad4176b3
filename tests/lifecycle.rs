//! The life of a container: ps, stop, kill, wait, rm, start again.

use crate::harness::command::Output;
use crate::harness::{Host, IMAGE, PATIENCE, is_running, json};

fn asleep(host: &Host, name: &str) -> String {
    host.ok(&["run", "-d", "--name", name, IMAGE, "sleep", "1000"])
}

/// The cells of a table's row, cut where the header's columns begin.
fn cells(header: &str, row: &str) -> Vec<String> {
    // Columns are characters: a cut command ends in one of three bytes.
    let row: Vec<char> = row.chars().collect();
    let mut starts = vec![0];
    for at in 1..header.len() {
        if !header[at..].starts_with(' ') && header[..at].ends_with("   ") {
            starts.push(at);
        }
    }
    starts.push(row.len().max(header.len()));
    starts
        .windows(2)
        .map(|pair| {
            let cell: String = row.iter().take(pair[1]).skip(pair[0]).collect();
            cell.trim_end().to_string()
        })
        .collect()
}

#[test]
fn ps_prints_dockers_columns() {
    let host = Host::with_image("ps");
    assert_eq!(
        host.tug(&["ps"]),
        Output::new(
            0,
            "CONTAINER ID   IMAGE     COMMAND   CREATED   STATUS    PORTS     NAMES\n",
            ""
        )
    );
    let id = asleep(&host, "web");
    let long = host.ok(&[
        "run",
        "-d",
        "--name",
        "done",
        IMAGE,
        "sh",
        "-c",
        "sleep 0; sleep 0; exit 3",
    ]);
    assert_eq!(host.ok(&["wait", "done"]), "3");

    let running = host.tug(&["ps"]);
    let lines = running.lines();
    assert_eq!(lines.len(), 2, "{running:?}");
    let header = [
        "CONTAINER ID",
        "IMAGE",
        "COMMAND",
        "CREATED",
        "STATUS",
        "PORTS",
        "NAMES",
    ];
    assert_eq!(cells(lines[0], lines[0]), header);
    let row = cells(lines[0], lines[1]);
    assert_eq!(row[..3], [&id[..12], IMAGE, "\"sleep 1000\""]);
    assert!(row[3].ends_with(" ago"), "{row:?}");
    assert!(
        row[4].starts_with("Up ") && !row[4].ends_with("ago"),
        "{row:?}"
    );
    assert_eq!(row[5..], ["", "web"]);

    let all = host.tug(&["ps", "-a"]);
    let lines = all.lines();
    assert_eq!(lines.len(), 3, "{all:?}");
    // The newest first; a long command is cut at 20 characters.
    let row = cells(lines[0], lines[1]);
    assert_eq!(row[..3], [&long[..12], IMAGE, "\"sh -c 'sleep 0; sle…\""]);
    assert!(
        row[4].starts_with("Exited (3) ") && row[4].ends_with(" ago"),
        "{row:?}"
    );
    assert_eq!(row[6], "done");

    assert_eq!(host.ok(&["ps", "-q"]), id[..12]);
    assert_eq!(
        host.ok(&["ps", "-aq", "--no-trunc"]),
        format!("{long}\n{id}")
    );
}

#[test]
fn inspect_prints_an_array_of_what_was_found() {
    let host = Host::with_image("inspect");
    let id = asleep(&host, "web");
    let output = host.tug(&["inspect", "web", "nosuch", IMAGE]);
    assert_eq!(output.code, 1);
    assert!(
        output.stderr.contains("No such object: nosuch"),
        "{output:?}"
    );
    let found = json::parse(&output.stdout).items();
    assert_eq!(found.len(), 2);
    assert_eq!(found[0].string("Id"), id);
    assert_eq!(found[0].string("Name"), "/web");
    assert_eq!(found[0].string("Path"), "sleep");
    assert_eq!(found[0].text("Args"), "[\"1000\"]");
    assert_eq!(found[0].string("State.Status"), "running");
    assert_eq!(found[0].text("State.ExitCode"), "0");
    assert_eq!(found[0].text("Config.Cmd"), "[\"sleep\",\"1000\"]");
    assert_eq!(found[0].string("HostConfig.LogConfig.Type"), "json-file");
    assert!(is_running(
        i32::try_from(found[0].number("State.Pid")).unwrap()
    ));
    assert_eq!(found[1].text("RepoTags"), format!("[\"{IMAGE}:latest\"]"));
}

#[test]
fn a_short_id_or_its_beginning_is_enough() {
    let host = Host::with_image("short-id");
    let id = asleep(&host, "web");
    for name in [&id[..], &id[..12], &id[..4], "web"] {
        let reply = host.http("GET", &format!("/containers/{name}/json"), "");
        assert_eq!(reply.status, 200, "{name}");
        assert_eq!(json::parse(&reply.body).string("Id"), id);
    }
}

#[test]
fn stop_asks_first_and_kills_after_the_timeout() {
    let host = Host::with_image("stop");
    let polite = "trap 'echo bye; exit 7' TERM; echo ready; while :; do sleep 1 & wait; done";
    let deaf = "trap '' TERM; echo ready; while :; do sleep 1; done";
    for (name, script) in [("polite", polite), ("deaf", deaf)] {
        host.ok(&["run", "-d", "--name", name, IMAGE, "sh", "-c", script]);
        crate::harness::eventually("it is ready", || host.ok(&["logs", name]) == "ready");
    }
    assert_eq!(host.ok(&["stop", "polite"]), "polite");
    assert_eq!(host.inspect("polite", "State.ExitCode"), "7");
    assert_eq!(host.ok(&["logs", "polite"]), "ready\nbye");
    assert_eq!(host.ok(&["stop", "-t", "1", "deaf"]), "deaf");
    assert_eq!(host.inspect("deaf", "State.ExitCode"), "137");
    assert_eq!(host.inspect("deaf", "State.Status"), "\"exited\"");
    assert_eq!(host.inspect("deaf", "State.OOMKilled"), "false");
    // Once more is no error; the API says that there was nothing to do.
    assert_eq!(host.ok(&["stop", "deaf"]), "deaf");
    assert_eq!(host.http("POST", "/containers/deaf/stop", "").status, 304);
    host.tug(&["stop", "nosuch"])
        .assert_refused(1, "No such container: nosuch");
}

#[test]
fn one_that_ends_at_this_moment_can_be_asked_and_be_removed_by_force() {
    let host = Host::with_image("ends-removed");
    let create = format!(r#"{{"Image":"{IMAGE}","Cmd":["true"]}}"#);
    for round in 0..12 {
        let created = host.http("POST", "/containers/create?name=web", &create);
        assert_eq!(created.status, 201, "{created:?}");
        assert_eq!(host.http("POST", "/containers/web/start", "").status, 204);
        // Before its end, during it, and after it.
        std::thread::sleep(std::time::Duration::from_millis(round));
        let resized = host.http("POST", "/containers/web/resize?h=1&w=1", "");
        assert!(matches!(resized.status, 200 | 409), "{resized:?}");
        let removed = host.http("DELETE", "/containers/web?force=1", "");
        assert_eq!(removed.status, 204, "round {round}: {removed:?}");
    }
}

#[test]
fn start_names_those_that_failed_at_the_end() {
    let host = Host::with_image("start-failed");
    host.ok(&["create", "--name", "web", IMAGE, "sleep", "1000"]);
    let output = host.tug(&["start", "one", "web", "two"]);
    assert_eq!((output.code, output.stdout.as_str()), (1, "web\n"));
    let last = "No such container: two\nError: failed to start containers: one, two\n";
    assert!(output.stderr.ends_with(last), "{output:?}");
}

#[test]
fn kill_sends_the_signal_that_was_asked_for() {
    let host = Host::with_image("kill");
    let script = "trap 'echo usr1' USR1; echo ready; while :; do sleep 1 & wait; done";
    let id = host.ok(&["run", "-d", "--name", "web", IMAGE, "sh", "-c", script]);
    crate::harness::eventually("it is ready", || host.ok(&["logs", "web"]) == "ready");
    for (count, signal) in ["USR1", "SIGUSR1", "10"].iter().enumerate() {
        assert_eq!(host.ok(&["kill", "-s", signal, "web"]), "web");
        let expected = format!("ready{}", "\nusr1".repeat(count + 1));
        crate::harness::eventually("the signal arrives", || {
            host.ok(&["logs", "web"]) == expected
        });
    }
    let bad = host.tug(&["kill", "-s", "NOSUCH", "web"]);
    bad.assert_refused(1, "cannot kill container: web: invalid signal: NOSUCH");
    let missing = host.tug(&["kill", "nosuch"]);
    let sentence = "cannot kill container: nosuch: No such container: nosuch";
    missing.assert_refused(1, sentence);
    assert_eq!(host.ok(&["kill", "web"]), "web");
    assert_eq!(host.ok(&["wait", "web"]), "137");
    let again = host.tug(&["kill", "web"]);
    again.assert_refused(1, &format!("{id} is not running"));
}

#[test]
fn wait_prints_the_exit_codes_in_order() {
    let host = Host::with_image("wait");
    host.ok(&["run", "-d", "--name", "three", IMAGE, "sh", "-c", "exit 3"]);
    let script = "until [ -e /go ]; do sleep 1; done; exit 4";
    host.ok(&["run", "-d", "--name", "four", IMAGE, "sh", "-c", script]);
    let mut client = host.spawn(&["wait", "three", "four"]);
    client.until_stdout("the first code", |text| text == "3\n");
    host.ok(&["exec", "four", "touch", "/go"]);
    assert_eq!(client.wait(PATIENCE), Output::new(0, "3\n4\n", ""));
    host.tug(&["wait", "nosuch"])
        .assert_refused(1, "No such container: nosuch");
}

#[test]
fn wait_for_the_next_exit_and_the_removal() {
    let host = Host::with_image("wait-condition");
    let body = format!(
        r#"{{"Image":"{IMAGE}","Cmd":["sh","-c","exit 6"],"HostConfig":{{"AutoRemove":true}}}}"#
    );
    for condition in ["next-exit", "removed"] {
        let created = host.http("POST", "/containers/create?name=web", &body);
        assert_eq!(created.status, 201, "{created:?}");
        let socket = host.socket();
        let target = format!("/containers/web/wait?condition={condition}");
        let mut stream = crate::harness::http::connect(&socket).unwrap();
        use std::io::Write;
        let request = crate::harness::http::head("POST", &target, "Content-Length: 0\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        // The wait is on its way before the start, as the docker client does it.
        assert_eq!(host.http("POST", "/containers/web/start", "").status, 204);
        let reply = crate::harness::http::read_reply(&mut stream, false).unwrap();
        assert_eq!(reply.status, 200, "{condition}: {reply:?}");
        assert_eq!(
            json::parse(&reply.body).text("StatusCode"),
            "6",
            "{condition}"
        );
        crate::harness::eventually("it is removed", || {
            host.http("GET", "/containers/web/json", "").status == 404
        });
    }
}

#[test]
fn rm_refuses_a_running_container_unless_forced() {
    let host = Host::with_image("rm-running");
    asleep(&host, "web");
    let pid = host.pid("web");
    host.tug(&["rm", "web"]).assert_refused(
        1,
        "cannot remove container \"/web\": container is running: \
         stop the container before removing or force remove",
    );
    assert!(is_running(pid));
    assert_eq!(host.ok(&["rm", "-f", "web"]), "web");
    assert!(!is_running(pid));
    host.tug(&["rm", "web"])
        .assert_refused(1, "No such container: web");
    assert_eq!(host.ok(&["ps", "-aq"]), "");
}

#[test]
fn a_removed_name_is_free_at_once() {
    let host = Host::with_image("name-free");
    for _ in 0..5 {
        asleep(&host, "web");
        assert_eq!(host.ok(&["rm", "-f", "web"]), "web");
    }
}

#[test]
fn of_many_with_one_name_exactly_one_is_created() {
    let host = Host::with_image("name-race");
    let body = format!(r#"{{"Image":"{IMAGE}","Cmd":["true"]}}"#);
    let socket = host.socket();
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| {
                    crate::harness::http::request(
                        &socket,
                        "POST",
                        "/containers/create?name=web",
                        &body,
                    )
                    .status
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    });
    assert_eq!(
        statuses.iter().filter(|status| **status == 201).count(),
        1,
        "{statuses:?}"
    );
    assert_eq!(
        statuses.iter().filter(|status| **status == 409).count(),
        7,
        "{statuses:?}"
    );
}

#[test]
fn a_stopped_container_starts_again_with_its_files() {
    let host = Host::with_image("start-again");
    let script = "echo run >> /runs; cat /runs | wc -l; exit 2";
    let id = host.ok(&["run", "-d", "--name", "web", IMAGE, "sh", "-c", script]);
    assert_eq!(host.ok(&["wait", "web"]), "2");
    for runs in 2..5 {
        assert_eq!(
            host.http("POST", &format!("/containers/{id}/start"), "")
                .status,
            204
        );
        assert_eq!(host.ok(&["wait", "web"]), "2");
        let expected: Vec<String> = (1..=runs).map(|n| n.to_string()).collect();
        assert_eq!(host.ok(&["logs", "web"]), expected.join("\n"));
    }
    asleep(&host, "asleep");
    assert_eq!(
        host.http("POST", "/containers/asleep/start", "").status,
        304
    );
}

#[test]
fn a_program_leaves_no_children_behind() {
    let host = Host::with_image("children");
    let script = "sleep 1000 & sleep 1000 & exec sleep 1000";
    host.ok(&["run", "-d", "--name", "web", IMAGE, "sh", "-c", script]);
    let children = || host.ok(&["exec", "web", "sh", "-c", "ps | grep -c '[s]leep 1000'"]);
    crate::harness::eventually("all three sleep", || children() == "3");
    assert_eq!(host.ok(&["kill", "web"]), "web");
    assert_eq!(host.ok(&["wait", "web"]), "137");
    // Host's own look for processes, when it goes, is the assertion.
}
