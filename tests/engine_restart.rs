//! The engine goes, by a crash or in peace; containers and their history stay.

use crate::harness::command::Output;
use crate::harness::{Host, IMAGE, PATIENCE, command, eventually, is_running, rounds};

fn log_file(host: &Host, id: &str) -> std::path::PathBuf {
    host.data_root()
        .join("containers")
        .join(id)
        .join("log.json")
}

#[test]
fn a_container_survives_the_engine_and_is_whole_after_its_return() {
    let mut host = Host::with_image("survive");
    let script = "trap 'exit 9' TERM; n=0; while :; do n=$((n+1)); echo $n; sleep 1 & wait; done";
    let id = host.ok(&["run", "-d", "--name", "web", IMAGE, "sh", "-c", script]);
    let pid = host.pid("web");
    host.kill_engine();

    let log = log_file(&host, &id);
    let length = std::fs::metadata(&log).unwrap().len();
    eventually("the log grows without the engine", || {
        std::fs::metadata(&log).unwrap().len() > length + 100
    });
    assert!(is_running(pid));

    host.start_engine();
    assert_eq!(host.ok(&["ps", "-q", "--no-trunc"]), id);
    assert_eq!(host.pid("web"), pid);
    assert!(host.ok(&["logs", "web"]).starts_with("1\n2\n3"));
    assert_eq!(host.tug(&["exec", "web", "sh", "-c", "exit 4"]).code, 4);
    let mut follower = host.spawn(&["logs", "-f", "--tail", "0", "web"]);
    follower.until_stdout("a new line", |text| !text.is_empty());
    assert_eq!(host.ok(&["stop", "web"]), "web");
    assert_eq!(follower.wait(PATIENCE).code, 0);
    assert_eq!(host.inspect("web", "State.ExitCode"), "9");
    assert_eq!(host.tug(&["wait", "web"]), Output::new(0, "9\n", ""));
}

#[test]
fn an_exit_that_the_engine_missed_is_kept() {
    let mut host = Host::with_image("missed-exit");
    let script = "until [ -e /shared/go ]; do sleep 1; done; echo last words; exit 5";
    let shared = host.make_dir("shared");
    let volume = format!("{shared}:/shared");
    for name in ["kept", "removed"] {
        let rm: &[&str] = if name == "removed" { &["--rm"] } else { &[] };
        let args = [
            &["run", "-d", "--name", name, "-v", &volume],
            rm,
            &[IMAGE, "sh", "-c", script],
        ];
        host.ok(&args.concat());
    }
    let pids = [host.pid("kept"), host.pid("removed")];
    host.kill_engine();
    host.write("shared/go", "");
    eventually("both have ended", || {
        pids.iter().all(|pid| !is_running(*pid))
    });
    host.start_engine();
    assert_eq!(host.inspect("kept", "State.Status"), "\"exited\"");
    assert_eq!(host.inspect("kept", "State.ExitCode"), "5");
    assert_eq!(host.inspect("kept", "State.Error"), "\"\"");
    assert_eq!(host.ok(&["logs", "kept"]), "last words");
    eventually("--rm is made good", || {
        host.http("GET", "/containers/removed/json", "").status == 404
    });
}

#[test]
fn a_foreground_client_keeps_its_streams_while_the_engine_is_gone() {
    let mut host = Host::with_image("streams-survive");
    let shared = host.make_dir("shared");
    let script = "echo before; until [ -e /shared/go ]; do sleep 1; done; echo after";
    let volume = format!("{shared}:/shared");
    let client = host.spawn(&[
        "run", "--name", "web", "-v", &volume, IMAGE, "sh", "-c", script,
    ]);
    client.until_stdout("before", |text| text == "before\n");
    host.kill_engine();
    host.write("shared/go", "");
    client.until_stdout("after", |text| text == "before\nafter\n");
    host.start_engine();
    assert_eq!(host.inspect("web", "State.ExitCode"), "0");
}

#[test]
fn ten_crashes_lose_nothing() {
    let mut host = Host::with_image("ten-crashes");
    let mut ids = Vec::new();
    for round in 0..rounds(10, 100) as u64 {
        ids.push(host.ok(&["run", "-d", IMAGE, "sleep", "1000"]));
        // At another moment each time: in the middle of somebody's create, start or remove.
        let mut client = host.spawn(&["run", "--rm", IMAGE, "true"]);
        std::thread::sleep(std::time::Duration::from_millis(round * 7));
        host.kill_engine();
        client.wait(PATIENCE);
        host.start_engine();
        for id in &ids {
            assert_eq!(host.inspect(id, "State.Running"), "true", "round {round}");
        }
    }
    // Half-made containers of the killed clients may be listed, and can be removed: that is
    // what the host does when it goes.
    assert_eq!(host.ok(&["run", "--rm", IMAGE, "echo", "well"]), "well");
}

#[test]
fn asked_to_end_the_engine_leaves_containers_running() {
    let mut host = Host::with_image("sigterm");
    host.ok(&["run", "-d", "--name", "web", IMAGE, "sleep", "1000"]);
    let pid = host.pid("web");
    assert_eq!(host.stop_engine(), Some(0));
    assert!(is_running(pid));
    assert!(!host.socket().exists(), "the socket is left");
    host.start_engine();
    assert_eq!(host.pid("web"), pid);
    assert_eq!(host.inspect("web", "State.Running"), "true");
}

#[test]
fn a_second_engine_on_the_same_directories_is_refused() {
    let mut host = Host::with_image("second-engine");
    let line = host.engine_command();
    let mut second = std::process::Command::new(&line[0]);
    second.args(&line[1..]);
    let output = command::run(second, b"", PATIENCE);
    assert_ne!(output.code, 0, "{output:?}");
    assert_eq!(output.stdout, "");
    assert_eq!(output.stderr.trim_end().lines().count(), 1, "{output:?}");
    // The first one has noticed nothing.
    assert!(host.engine_is_alive());
    assert_eq!(host.ok(&["run", "--rm", IMAGE, "echo", "well"]), "well");
}

#[test]
fn a_record_that_cannot_be_read_stops_nobody() {
    for torn in ["", "{\"Running\":tr", "\0\0\0\0", "[]", "null"] {
        let mut host = Host::with_image("torn");
        let healthy = host.ok(&["run", "-d", "--name", "healthy", IMAGE, "sleep", "1000"]);
        let broken = host.ok(&["run", "-d", "--name", "broken", IMAGE, "true"]);
        host.ok(&["wait", "broken"]);
        host.kill_engine();
        let dir = host.data_root().join("containers").join(&broken);
        for name in ["state.json", "config.json"] {
            if name == "config.json" && torn.is_empty() {
                // What a power cut leaves of a container with --rm: that is swept, and rightly.
                continue;
            }
            let whole = std::fs::read(dir.join(name)).unwrap();
            std::fs::write(dir.join(name), torn).unwrap();
            host.start_engine();
            let listed = host.ok(&["ps", "-aq", "--no-trunc"]);
            assert!(listed.contains(&healthy), "{name} as {torn:?}: {listed}");
            assert_eq!(host.inspect("healthy", "State.Running"), "true");
            assert!(
                host.engine_log().contains(&broken[..12]),
                "{name}: {}",
                host.engine_log()
            );
            host.kill_engine();
            // What was set aside is kept for somebody to look at. Put it back, and take the record of
            // the time without it away.
            let aside = host.data_root().join(format!("containers/{broken}.bad"));
            if aside.exists() {
                std::fs::rename(aside, &dir).unwrap();
            }
            let _ = std::fs::remove_file(dir.join(format!("{name}.bad")));
            std::fs::write(dir.join(name), whole).unwrap();
        }
        host.start_engine();
        assert_eq!(host.ok(&["rm", "broken"]), "broken");
    }
}

#[test]
fn half_made_things_are_swept_at_start() {
    let mut host = Host::with_image("sweep");
    host.kill_engine();
    // A create that was cut off before its rename, and a container of which only this boot knows.
    let id = "0123456789abcdef".repeat(4);
    host.make_dir("data/containers/.new-0123456789ab/upper");
    host.make_dir(&format!("run/containers/{id}/bundle/rootfs"));
    host.make_dir(&format!("run/runtime/{id}"));
    host.start_engine();
    assert_eq!(host.ok(&["ps", "-aq"]), "");
    let left = std::fs::read_dir(host.data_root().join("containers")).unwrap();
    assert_eq!(left.count(), 0);
    assert!(!host.exec_root().join("containers").join(&id).exists());
}

#[test]
fn commands_inside_are_known_to_the_next_engine() {
    let mut host = Host::with_image("exec-known");
    host.ok(&["run", "-d", "--name", "web", IMAGE, "sleep", "1000"]);
    let script = "echo $$ > /tmp/pid; exec sleep 1000";
    host.ok(&["exec", "-d", "web", "sh", "-c", script]);
    eventually("it runs", || {
        host.tug(&["exec", "web", "cat", "/tmp/pid"]).code == 0
    });
    host.kill_engine();
    host.start_engine();
    let found = host.get("/containers/web/json");
    let id = found.string("ExecIDs.0");
    assert_eq!(
        host.get(&format!("/exec/{id}/json")).text("Running"),
        "true"
    );
    host.ok(&["exec", "web", "sh", "-c", "kill -9 $(cat /tmp/pid)"]);
    eventually("its end is told", || {
        let exec = host.get(&format!("/exec/{id}/json"));
        exec.text("Running") == "false" && exec.text("ExitCode") == "137"
    });
    assert_eq!(host.get("/containers/web/json").text("ExecIDs"), "null");
}

#[test]
fn a_hundred_containers_hold_up_no_start() {
    let mut host = Host::with_image("hundred");
    host.ok(&["run", "-d", "--name", "web", IMAGE, "sleep", "1000"]);
    for number in 0..100 {
        let body = format!(r#"{{"Image":"{IMAGE}","Cmd":["true"]}}"#);
        let target = format!("/containers/create?name=idle-{number}");
        assert_eq!(host.http("POST", &target, &body).status, 201);
    }
    host.kill_engine();
    let begun = std::time::Instant::now();
    host.start_engine();
    let took = begun.elapsed();
    assert!(took.as_millis() < 1000, "the start took {took:?}");
    assert_eq!(host.get("/info").number("Containers"), 101);
    assert_eq!(host.ok(&["exec", "web", "echo", "here"]), "here");
}
