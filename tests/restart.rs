//! Restart policies: the shim starts a container again, whether there is an engine or not.

use crate::events::actions;
use crate::harness::{Host, IMAGE, eventually, http, is_running, json, send_signal};
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

/// A program that notes the time of each start in `FILE`, and what comes then.
fn noting(then: &str) -> String {
    format!("cat /proc/uptime >> /data/starts; {then}")
}

/// Start such a container with a policy, and answer the file of its starts.
fn start(host: &Host, name: &str, policy: &str, then: &str) -> std::path::PathBuf {
    let dir = host.make_dir(name);
    let volume = format!("{dir}:/data");
    let script = noting(then);
    host.ok(&[
        "run",
        "-d",
        "--name",
        name,
        "--restart",
        policy,
        "-v",
        &volume,
        IMAGE,
        "sh",
        "-c",
        &script,
    ]);
    let file = std::path::Path::new(&dir).join("starts");
    eventually("it is started", || !starts(&file).is_empty());
    file
}

/// When the container was started, in seconds since the boot.
fn starts(file: &std::path::Path) -> Vec<f64> {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    text.lines()
        .map(|line| line.split(' ').next().unwrap().parse().unwrap())
        .collect()
}

fn of(host: &Host, name: &str, event: &str) -> usize {
    let filters = format!(r#"{{"container":["{name}"],"event":["{event}"]}}"#);
    actions(host, &filters).len()
}

#[test]
fn on_failure_tries_so_often_with_longer_and_longer_waits() {
    let host = Host::with_image("restart-failure");
    let file = start(&host, "web", "on-failure:3", "exit 7");
    host.until_state("web", "exited");
    let times = starts(&file);
    assert_eq!(times.len(), 4, "{times:?}");
    for (pair, least) in times.windows(2).zip([0.1, 0.2, 0.4]) {
        let waited = pair[1] - pair[0];
        // /proc/uptime has hundredths.
        assert!(waited > least - 0.02 && waited < least + 5.0, "{times:?}");
    }
    assert_eq!(host.inspect("web", "State.ExitCode"), "7");
    assert_eq!(host.inspect("web", "RestartCount"), "3");
    assert_eq!(
        host.inspect("web", "HostConfig.RestartPolicy"),
        r#"{"MaximumRetryCount":3,"Name":"on-failure"}"#
    );
    for (event, count) in [("start", 4), ("die", 4), ("stop", 0)] {
        assert_eq!(of(&host, "web", event), count, "{event}");
    }

    // The user's start begins anew; success is no failure.
    host.ok(&["start", "web"]);
    eventually("it is tried again", || starts(&file).len() == 8);
    host.until_state("web", "exited");
    assert_eq!(host.inspect("web", "RestartCount"), "3");
    let file = start(&host, "good", "on-failure", "exit 0");
    host.until_state("good", "exited");
    assert_eq!(starts(&file).len(), 1);
}

#[test]
fn a_container_is_restarted_by_the_same_shim_while_there_is_no_engine() {
    let mut host = Host::with_image("restart-alone");
    let file = start(&host, "web", "always", "echo run; exec sleep 1000");
    let (pid, shim) = (host.pid("web"), host.shim_pid("web"));
    host.kill_engine();
    send_signal(pid, "KILL");
    eventually("the shim starts it again", || starts(&file).len() == 2);
    host.start_engine();
    host.until_state("web", "running");
    assert_eq!(host.shim_pid("web"), shim);
    assert_ne!(host.pid("web"), pid);
    assert_eq!(host.inspect("web", "RestartCount"), "1");
    assert_eq!(host.inspect("web", "State.ExitCode"), "0");
    assert_eq!(host.ok(&["logs", "web"]), "run\nrun");
    assert_eq!(host.ok(&["exec", "web", "echo", "here"]), "here");

    // The new engine hears of the next round.
    send_signal(host.pid("web"), "KILL");
    eventually("it is told", || of(&host, "web", "start") == 1);
    assert_eq!(host.inspect("web", "RestartCount"), "2");
    assert_eq!(host.ok(&["stop", "-t", "0", "web"]), "web");
    assert_eq!(host.inspect("web", "State.Status"), "\"exited\"");
    eventually("the shim leaves", || !is_running(shim));
}

/// A container in its back-off, in which it stays for some seconds.
fn waiting(host: &Host, name: &str) -> std::path::PathBuf {
    let file = start(host, name, "always", "exit 5");
    eventually("it waits longer and longer", || starts(&file).len() >= 5);
    host.until_state(name, "restarting");
    file
}

#[test]
fn between_two_runs_a_container_is_restarting() {
    let mut host = Host::with_image("restart-state");
    let file = waiting(&host, "web");
    let state = host.get("/containers/web/json");
    assert_eq!(state.text("State.Running"), "true");
    assert_eq!(state.text("State.Restarting"), "true");
    assert_eq!(state.text("State.Pid"), "0");
    assert_eq!(state.text("State.ExitCode"), "5");
    let id = state.string("Id");
    let row = host.ok(&["ps", "--filter", "status=restarting"]);
    assert!(row.contains("Restarting (5) "), "{row}");

    let why = format!("container {id} is restarting, wait until the container is running");
    let exec = host.http("POST", "/containers/web/exec", r#"{"Cmd":["true"]}"#);
    assert_eq!(exec.error(), (409, why.clone()));
    let attach = host.http("POST", "/containers/web/attach?stream=1&stdout=1", "");
    assert_eq!(attach.error(), (409, why));
    assert_eq!(host.http("POST", "/containers/web/start", "").status, 304);
    let rm = host.http("DELETE", "/containers/web", "");
    assert_eq!(
        rm.error(),
        (409, "cannot remove container \"/web\": container is restarting: stop the container before removing or force remove".to_string())
    );

    // It goes on waiting while engines come and go.
    let count: i32 = host.inspect("web", "RestartCount").parse().unwrap();
    host.kill_engine();
    host.start_engine();
    assert!(
        ["\"restarting\"", "\"running\""].contains(&host.inspect("web", "State.Status").as_str())
    );
    assert!(host.inspect("web", "RestartCount").parse::<i32>().unwrap() >= count);

    // A stop calls the restart off: no kill, no further death.
    host.until_state("web", "restarting");
    let (deaths, begun) = (of(&host, "web", "die"), Instant::now());
    assert_eq!(host.ok(&["stop", "web"]), "web");
    assert!(begun.elapsed() < Duration::from_secs(5));
    assert_eq!(host.inspect("web", "State.Status"), "\"exited\"");
    assert_eq!(host.inspect("web", "State.ExitCode"), "5");
    assert_eq!(of(&host, "web", "die"), deaths);
    let times = starts(&file).len();
    assert_eq!(host.ok(&["rm", "web"]), "web");
    assert_eq!(starts(&file).len(), times);
}

#[test]
fn rm_kill_and_restart_work_between_two_runs() {
    let host = Host::with_image("restart-verbs");
    waiting(&host, "gone");
    assert_eq!(host.ok(&["rm", "-f", "gone"]), "gone");

    waiting(&host, "killed");
    assert_eq!(host.ok(&["kill", "killed"]), "killed");
    host.until_state("killed", "exited");

    let file = waiting(&host, "again");
    let before = starts(&file).len();
    assert_eq!(
        host.http("POST", "/containers/again/restart", "").status,
        204
    );
    eventually("it is started at once", || starts(&file).len() > before);
    assert_eq!(of(&host, "again", "restart"), 1);
}

/// A client of `wait`, whose request the engine has taken.
struct Waiting(UnixStream);

impl Waiting {
    fn new(host: &Host, container: &str, condition: &str) -> Waiting {
        let mut stream = http::connect(&host.socket()).unwrap();
        let target = format!("/containers/{container}/wait?condition={condition}");
        let request = http::head("POST", &target, "");
        stream.write_all(request.as_bytes()).unwrap();
        // The head of the answer comes at once, but it is read together with the rest.
        let ready = || {
            let fd = rustix::event::PollFd::new(&stream, rustix::event::PollFlags::IN);
            rustix::event::poll(&mut [fd], None).unwrap() > 0
        };
        eventually("wait is answered", ready);
        Waiting(stream)
    }

    fn code(mut self) -> i64 {
        let reply = http::read_reply(&mut self.0, false).unwrap();
        json::parse(&reply.body).number("StatusCode")
    }
}

#[test]
fn wait_hears_of_each_end() {
    let host = Host::with_image("restart-wait");
    // Foreground: the first end is the client's end.
    let output = host.tug(&[
        "run",
        "--name",
        "web",
        "--restart",
        "on-failure:2",
        IMAGE,
        "sh",
        "-c",
        "echo hello; exit 4",
    ]);
    assert_eq!(
        (output.code, output.stdout.as_str()),
        (4, "hello\n"),
        "{output:?}"
    );
    host.until_state("web", "exited");
    assert_eq!(host.ok(&["logs", "web"]), "hello\nhello\nhello");

    let file = start(&host, "slow", "always", "sleep 1000");
    for condition in ["not-running", "next-exit"] {
        let client = Waiting::new(&host, "slow", condition);
        let before = starts(&file).len();
        send_signal(host.pid("slow"), "KILL");
        assert_eq!(client.code(), 137, "{condition}");
        eventually("it runs again", || starts(&file).len() > before);
        host.until_state("slow", "running");
    }
    let removed = Waiting::new(&host, "slow", "removed");
    send_signal(host.pid("slow"), "KILL");
    host.until_state("slow", "running");
    assert_eq!(host.ok(&["rm", "-f", "slow"]), "slow");
    assert_eq!(removed.code(), 137);
}

#[test]
fn what_the_user_stops_stays_down() {
    let host = Host::with_image("restart-stopped");
    for (name, policy) in [
        ("one", "always"),
        ("two", "unless-stopped"),
        ("three", "on-failure"),
    ] {
        let file = start(&host, name, policy, "exec sleep 1000");
        assert_eq!(host.ok(&["stop", "-t", "0", name]), name);
        assert_eq!(host.inspect(name, "State.Status"), "\"exited\"");
        assert_eq!(host.inspect(name, "State.ExitCode"), "137");
        assert_eq!(starts(&file).len(), 1);
    }
    // A signal that is not the stop signal ends the program, not the policy; without a stop signal
    // of its own any signal is a stop, as with Docker.
    let trap = "trap 'exit 3' HUP; while :; do sleep 0.05; done";
    let dir = host.make_dir("four");
    host.ok(&[
        "run",
        "-d",
        "--name",
        "four",
        "--restart",
        "always",
        "--stop-signal",
        "INT",
        "-v",
        &format!("{dir}:/data"),
        IMAGE,
        "sh",
        "-c",
        &noting(trap),
    ]);
    let file = std::path::Path::new(&dir).join("starts");
    eventually("it runs", || starts(&file).len() == 1);
    host.ok(&["kill", "-s", "HUP", "four"]);
    eventually("it is started again", || starts(&file).len() == 2);
    host.until_state("four", "running");
    host.ok(&["kill", "-s", "INT", "four"]);
    host.ok(&["kill", "four"]);
    host.until_state("four", "exited");
    let file = start(&host, "five", "always", trap);
    eventually("it runs", || starts(&file).len() == 1);
    host.ok(&["kill", "-s", "HUP", "five"]);
    host.until_state("five", "exited");
    assert_eq!(host.inspect("five", "State.ExitCode"), "3");
}

#[test]
fn restart_and_start_arm_the_policy_again() {
    let host = Host::with_image("restart-rearmed");
    let file = start(&host, "web", "unless-stopped", "exec sleep 1000");
    let until = |count: usize| {
        eventually("it is started", || starts(&file).len() == count);
        host.until_state("web", "running");
    };
    host.ok(&["stop", "-t", "0", "web"]);
    host.ok(&["start", "web"]);
    until(2);
    send_signal(host.pid("web"), "KILL");
    until(3);
    let restarted = host.http("POST", "/containers/web/restart?t=0", "");
    assert_eq!(restarted.status, 204);
    assert_eq!(host.inspect("web", "RestartCount"), "0");
    until(4);
    send_signal(host.pid("web"), "KILL");
    until(5);
}

#[test]
fn after_a_reboot_runs_what_is_to_run() {
    let mut host = Host::with_image("restart-boot");
    let sleepers = ["always", "unless-stopped", "on-failure", "no"];
    for policy in sleepers {
        start(&host, policy, policy, "exec sleep 1000");
    }
    for policy in ["always", "unless-stopped", "on-failure"] {
        let name = format!("stopped-{policy}");
        start(&host, &name, policy, "exec sleep 1000");
        host.ok(&["stop", "-t", "0", &name]);
    }
    host.ok(&[
        "create",
        "--name",
        "never",
        "--restart",
        "always",
        IMAGE,
        "sleep",
        "1000",
    ]);
    let waiting = waiting(&host, "waiting");

    // What a host that goes down takes along: everything but the disk.
    host.kill_engine();
    host.power_cut();
    let before = starts(&waiting).len();
    host.start_engine();
    for name in ["always", "unless-stopped", "on-failure", "stopped-always"] {
        host.until_state(name, "running");
        assert_eq!(host.inspect(name, "RestartCount"), "0", "{name}");
    }
    eventually("it is started too", || starts(&waiting).len() > before);
    for (name, state, code) in [
        ("no", "exited", "255"),
        ("stopped-unless-stopped", "exited", "137"),
        ("stopped-on-failure", "exited", "137"),
        ("never", "created", "0"),
    ] {
        assert_eq!(
            host.inspect(name, "State.Status"),
            format!("\"{state}\""),
            "{name}"
        );
        assert_eq!(host.inspect(name, "State.ExitCode"), code, "{name}");
    }

    // A new engine is no new boot.
    host.ok(&["stop", "-t", "0", "always"]);
    host.kill_engine();
    host.start_engine();
    assert_eq!(host.inspect("always", "State.Status"), "\"exited\"");
    host.until_state("on-failure", "running");
}

#[test]
fn the_policy_outlives_the_shim() {
    let mut host = Host::with_image("restart-shim");
    let file = start(&host, "web", "always", "exec sleep 1000");
    let plain = start(&host, "plain", "no", "exec sleep 1000");
    let shim = host.shim_pid("web");
    send_signal(shim, "KILL");
    send_signal(host.shim_pid("plain"), "KILL");
    eventually("a new shim starts it", || starts(&file).len() == 2);
    host.until_state("web", "running");
    assert_ne!(host.shim_pid("web"), shim);
    assert_eq!(host.inspect("web", "RestartCount"), "1");
    assert_eq!(host.ok(&["exec", "web", "echo", "here"]), "here");
    host.until_state("plain", "exited");
    assert_eq!(starts(&plain).len(), 1);

    // Both gone at once: the next engine sees to it.
    let shim = host.shim_pid("web");
    host.kill_engine();
    send_signal(shim, "KILL");
    eventually("it is gone", || !is_running(shim));
    host.start_engine();
    eventually("a new shim starts it", || starts(&file).len() == 3);
    host.until_state("web", "running");

    // A shim that is lost between two runs.
    let file = waiting(&host, "waiting");
    let before = starts(&file).len();
    send_signal(host.waiting_shim("waiting"), "KILL");
    eventually("it is started all the same", || {
        starts(&file).len() > before
    });
}

#[test]
fn a_crash_loop_does_not_write_to_the_disk() {
    let host = Host::with_image("restart-flash");
    let file = start(&host, "web", "always", "exit 1");
    let id = host.get("/containers/web/json").string("Id");
    let record = host
        .data_root()
        .join("containers")
        .join(id)
        .join("state.json");
    let inode = || std::os::unix::fs::MetadataExt::ino(&std::fs::metadata(&record).unwrap());
    eventually("it is restarted", || starts(&file).len() >= 2);
    let before = inode();
    eventually("it is restarted", || starts(&file).len() >= 4);
    assert_eq!(inode(), before, "state.json was replaced");
}

#[test]
fn what_cannot_start_again_stays_down() {
    let host = Host::with_image("restart-broken");
    host.ok(&[
        "run",
        "-d",
        "--name",
        "web",
        "--restart",
        "always",
        IMAGE,
        "sh",
        "-c",
        "/bin/busybox rm -f /bin/sh; exit 3",
    ]);
    host.until_state("web", "exited");
    assert_eq!(host.inspect("web", "State.ExitCode"), "127");
    let error = host.inspect("web", "State.Error");
    assert!(error.contains("sh"), "{error}");
    assert_eq!(host.http("DELETE", "/containers/web", "").status, 204);
}

#[test]
fn a_terminal_and_an_input_are_there_in_each_run() {
    let host = Host::with_image("restart-tty");
    let script = "test -t 0 && echo terminal; sleep 0.1; exit 1";
    host.ok(&[
        "run",
        "-dit",
        "--name",
        "web",
        "--restart",
        "on-failure:2",
        IMAGE,
        "sh",
        "-c",
        script,
    ]);
    host.until_state("web", "exited");
    assert_eq!(
        host.ok(&["logs", "web"]).replace('\r', ""),
        "terminal\nterminal\nterminal"
    );
}

#[test]
fn a_policy_and_rm_exclude_each_other() {
    let host = Host::with_image("restart-rm");
    let body = format!(
        r#"{{"Image":"{IMAGE}","HostConfig":{{"AutoRemove":true,"RestartPolicy":{{"Name":"always"}}}}}}"#
    );
    let reply = host.http("POST", "/containers/create", &body);
    assert_eq!(
        reply.error(),
        (
            400,
            "can't create 'AutoRemove' container with restart policy".to_string()
        )
    );
}
