//! Health checks: the shim runs them, whether there is an engine or not.

use crate::events::actions;
use crate::harness::json::Json;
use crate::harness::{Host, IMAGE, eventually, send_signal};

/// Create and start a container with this Healthcheck; the directory is its /data.
fn start(host: &Host, name: &str, health: &str) -> std::path::PathBuf {
    let dir = host.make_dir(name);
    let body = format!(
        r#"{{"Image":"{IMAGE}","Cmd":["sleep","1000"],"Healthcheck":{health},"HostConfig":{{"Binds":["{dir}:/data"]}}}}"#
    );
    let created = host.http("POST", &format!("/containers/create?name={name}"), &body);
    assert_eq!(created.status, 201, "{created:?}");
    let started = host.http("POST", &format!("/containers/{name}/start"), "");
    assert_eq!(started.status, 204, "{started:?}");
    dir.into()
}

fn health(host: &Host, name: &str) -> Json {
    host.get(&format!("/containers/{name}/json"))
}

fn status(host: &Host, name: &str) -> String {
    health(host, name).string("State.Health.Status")
}

fn until(host: &Host, name: &str, expected: &str) {
    eventually(&format!("{name} is {expected}"), || {
        status(host, name) == expected
    });
}

const MILLISECOND: u64 = 1_000_000;

/// A check every 20 ms that asks for the file /data/well.
fn by_file(more: &str) -> String {
    let interval = 20 * MILLISECOND;
    format!(
        r#"{{"Test":["CMD-SHELL","cat /data/well || exit 1"],"Interval":{interval},"Retries":2{more}}}"#
    )
}

#[test]
fn a_check_tells_well_from_ill() {
    let host = Host::with_image("health-status");
    let dir = start(&host, "web", &by_file(""));
    assert!(["starting", "unhealthy"].contains(&status(&host, "web").as_str()));
    until(&host, "web", "unhealthy");
    let ill = health(&host, "web");
    assert!(ill.number("State.Health.FailingStreak") >= 2);
    assert_eq!(ill.number("State.Health.Log.0.ExitCode"), 1);
    let output = ill.string("State.Health.Log.0.Output");
    assert!(output.contains("/data/well"), "{output}");
    assert!(host.ok(&["ps"]).contains(" (unhealthy) "));

    std::fs::write(dir.join("well"), "fine\n").unwrap();
    until(&host, "web", "healthy");
    let well = health(&host, "web");
    assert_eq!(well.number("State.Health.FailingStreak"), 0);
    assert!(host.ok(&["ps"]).contains(" (healthy) "));
    for (filter, expected) in [("healthy", "web"), ("unhealthy", ""), ("none", "")] {
        let filter = format!("health={filter}");
        let names = host.ok(&["ps", "--filter", &filter, "--format", "{{.Names}}"]);
        assert_eq!(names, expected, "{filter}");
    }
    eventually("five results are kept, the oldest first", || {
        let found = health(&host, "web");
        let log = found.text("State.Health.Log");
        log.matches("ExitCode").count() == 5 && log.matches("fine").count() == 5
    });
    let found = actions(&host, r#"{"event":["health_status"]}"#);
    assert_eq!(
        found,
        ["health_status: unhealthy", "health_status: healthy"]
    );

    // Checks are no execs of the user's.
    assert_eq!(health(&host, "web").text("ExecIDs"), "null");
    assert_eq!(host.ok(&["stop", "-t", "0", "web"]), "web");
    let ended = health(&host, "web");
    assert_eq!(ended.string("State.Health.Status"), "unhealthy");
    assert_eq!(ended.string("State.Health.Log.4.Output"), "fine\n");
}

#[test]
fn checks_go_on_without_the_engine() {
    let mut host = Host::with_image("health-alone");
    let dir = start(&host, "web", &by_file(""));
    until(&host, "web", "unhealthy");
    host.kill_engine();
    std::fs::write(dir.join("well"), "fine\n").unwrap();
    std::thread::sleep(std::time::Duration::from_millis(300));
    host.start_engine();
    let found = health(&host, "web");
    assert_eq!(found.string("State.Health.Status"), "healthy");
    assert_eq!(found.number("State.Health.FailingStreak"), 0);
    assert!(host.ok(&["ps"]).contains(" (healthy) "));

    // One that has ended is not well, before the engine's death and after it.
    host.ok(&["kill", "web"]);
    assert_eq!(status(&host, "web"), "unhealthy");
    host.kill_engine();
    host.start_engine();
    assert_eq!(status(&host, "web"), "unhealthy");
    // What has never run has not been looked at.
    let never = host.ok(&["create", "--health-cmd", "true", IMAGE, "true"]);
    host.kill_engine();
    host.start_engine();
    assert_eq!(host.inspect(&never, "State.Health"), "null");
}

#[test]
fn a_check_that_takes_too_long_is_killed() {
    let host = Host::with_image("health-late");
    let interval = 20 * MILLISECOND;
    let timeout = 100 * MILLISECOND;
    let test = r#"["CMD-SHELL","echo begun; echo $$ >> /data/pids; exec sleep 1000"]"#;
    let dir = start(
        &host,
        "web",
        &format!(r#"{{"Test":{test},"Interval":{interval},"Timeout":{timeout},"Retries":1}}"#),
    );
    until(&host, "web", "unhealthy");
    let found = health(&host, "web");
    assert_eq!(found.number("State.Health.Log.0.ExitCode"), -1);
    assert_eq!(
        found.string("State.Health.Log.0.Output"),
        "Health check exceeded timeout (100ms): begun\n"
    );
    eventually("there are more", || {
        let text = std::fs::read_to_string(dir.join("pids")).unwrap_or_default();
        text.lines().count() >= 4
    });
    // They do not pile up: the program, and the check of the moment.
    let listed = host.ok(&["exec", "web", "/bin/busybox", "ps"]);
    let sleeping = listed.matches("sleep 1000").count();
    assert!(sleeping <= 2, "{listed}");
}

#[test]
fn a_check_that_cannot_run_is_ill() {
    let host = Host::with_image("health-missing");
    let interval = 20 * MILLISECOND;
    let health_config =
        format!(r#"{{"Test":["CMD","/no/such/check"],"Interval":{interval},"Retries":1}}"#);
    start(&host, "web", &health_config);
    until(&host, "web", "unhealthy");
    let found = health(&host, "web");
    assert_eq!(found.number("State.Health.Log.0.ExitCode"), -1);
    let output = found.string("State.Health.Log.0.Output");
    assert!(output.contains("/no/such/check"), "{output}");
}

#[test]
fn output_is_cut_at_4096_bytes() {
    let host = Host::with_image("health-output");
    let interval = 20 * MILLISECOND;
    let test = r#"["CMD","/bin/busybox","seq","10000"]"#;
    start(
        &host,
        "web",
        &format!(r#"{{"Test":{test},"Interval":{interval}}}"#),
    );
    until(&host, "web", "healthy");
    let output = health(&host, "web").string("State.Health.Log.0.Output");
    assert_eq!(output.len(), 4096 + 3);
    assert!(
        output.starts_with("1\n2\n") && output.ends_with("..."),
        "{output}"
    );
}

#[test]
fn while_it_starts_failures_do_not_count() {
    let host = Host::with_image("health-start");
    let more = format!(
        r#","StartPeriod":{},"StartInterval":{}"#,
        60_000 * MILLISECOND,
        20 * MILLISECOND
    );
    let dir = start(
        &host,
        "web",
        &format!(
            r#"{{"Test":["CMD-SHELL","echo x >> /data/runs; test -e /data/well"],"Interval":{}{more}}}"#,
            3_600_000 * MILLISECOND
        ),
    );
    eventually("it is checked soon and often", || {
        let text = std::fs::read_to_string(dir.join("runs")).unwrap_or_default();
        text.lines().count() >= 5
    });
    let found = health(&host, "web");
    assert_eq!(found.string("State.Health.Status"), "starting");
    assert_eq!(found.number("State.Health.FailingStreak"), 0);
    assert!(host.ok(&["ps"]).contains(" (health: starting) "));
    std::fs::write(dir.join("well"), "").unwrap();
    until(&host, "web", "healthy");
}

#[test]
fn the_images_check_is_inherited_and_can_be_switched_off() {
    let host = Host::with_image("health-image");
    let test = r#"HEALTHCHECK --interval=20ms --retries=1 CMD exit 3"#;
    let made = host.tug_with_input(
        &["import", "-c", test, "-", "checked"],
        &crate::harness::rootfs::busybox(),
    );
    assert_eq!(made.code, 0, "{made:?}");
    host.ok(&["run", "-d", "--name", "web", "checked", "sleep", "1000"]);
    until(&host, "web", "unhealthy");
    let body = r#"{"Image":"checked","Cmd":["sleep","1000"],"Healthcheck":{"Test":["NONE"]}}"#;
    host.http("POST", "/containers/create?name=off", body);
    host.ok(&["start", "off"]);
    let found = health(&host, "off");
    assert_eq!(found.text("State.Health"), "null");
    assert_eq!(found.text("Config.Healthcheck.Test"), r#"["NONE"]"#);
    assert_eq!(
        host.ok(&["ps", "--filter", "health=none", "--format", "{{.Names}}"]),
        "off"
    );
}

#[test]
fn a_restart_begins_anew() {
    let host = Host::with_image("health-restart");
    let dir = host.make_dir("web");
    std::fs::write(std::path::Path::new(&dir).join("well"), "").unwrap();
    let check = by_file(&format!(
        r#","StartPeriod":{},"StartInterval":{}"#,
        60_000 * MILLISECOND,
        20 * MILLISECOND
    ));
    let body = format!(
        r#"{{"Image":"{IMAGE}","Cmd":["sleep","1000"],"Healthcheck":{check},"HostConfig":{{"Binds":["{dir}:/data"],"RestartPolicy":{{"Name":"always"}}}}}}"#
    );
    host.http("POST", "/containers/create?name=web", &body);
    host.ok(&["start", "web"]);
    until(&host, "web", "healthy");
    std::fs::remove_file(std::path::Path::new(&dir).join("well")).unwrap();
    send_signal(host.pid("web"), "KILL");
    eventually("it is started again", || {
        health(&host, "web").number("RestartCount") == 1
    });
    until(&host, "web", "starting");
}

#[test]
fn nothing_is_checked_while_it_is_paused() {
    let host = Host::with_image("health-paused");
    let interval = 20 * MILLISECOND;
    let test = r#"["CMD-SHELL","echo x >> /data/runs"]"#;
    let dir = start(
        &host,
        "web",
        &format!(r#"{{"Test":{test},"Interval":{interval}}}"#),
    );
    let runs = || {
        let text = std::fs::read_to_string(dir.join("runs")).unwrap_or_default();
        text.lines().count()
    };
    eventually("it is checked", || runs() >= 2);
    host.ok(&["pause", "web"]);
    let before = runs();
    std::thread::sleep(std::time::Duration::from_millis(150));
    assert_eq!(runs(), before);
    host.ok(&["unpause", "web"]);
    eventually("it is checked again", || runs() > before);
    until(&host, "web", "healthy");
}
