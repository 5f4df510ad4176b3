//! The shim dies or hangs: what the engine makes of it.

use crate::harness::{Host, IMAGE, PATIENCE, eventually, is_running, rounds, send_signal};

#[test]
fn a_killed_shim_means_exited_137_and_nothing_left() {
    let host = Host::with_image("shim-killed");
    let script = "sleep 1000 & exec sleep 1000";
    let id = host.ok(&["run", "-d", "--name", "web", IMAGE, "sh", "-c", script]);
    let (pid, shim) = (host.pid("web"), host.shim_pid("web"));
    assert_ne!(
        shim,
        host.engine_pid(),
        "the container is the engine's child"
    );
    let begun = std::time::Instant::now();
    send_signal(shim, "KILL");
    host.until_state("web", "exited");
    assert!(begun.elapsed().as_secs() < 2, "{:?}", begun.elapsed());
    assert_eq!(host.inspect("web", "State.ExitCode"), "137");
    assert!(
        host.inspect("web", "State.Error").contains("shim"),
        "{}",
        host.inspect("web", "State")
    );
    eventually("the program is gone", || !is_running(pid));
    assert_eq!(host.ok(&["wait", "web"]), "137");

    // It is a container like any other: it starts again, and goes.
    assert_eq!(
        host.http("POST", &format!("/containers/{id}/start"), "")
            .status,
        204
    );
    assert_eq!(host.ok(&["exec", "web", "echo", "back"]), "back");
    assert_eq!(host.ok(&["rm", "-f", "web"]), "web");
}

#[test]
fn no_shim_that_is_killed_leaves_its_container_behind() {
    let host = Host::with_image("shims-killed");
    for _ in 0..rounds(3, 100) {
        host.ok(&["run", "-d", "--name", "web", IMAGE, "sleep", "1000"]);
        let (pid, shim) = (host.pid("web"), host.shim_pid("web"));
        send_signal(shim, "KILL");
        host.until_state("web", "exited");
        eventually("the program is gone", || !is_running(pid));
        assert_eq!(host.ok(&["wait", "web"]), "137");
        host.ok(&["rm", "web"]);
    }
}

#[test]
fn a_shim_and_an_engine_killed_together() {
    let mut host = Host::with_image("both-killed");
    host.ok(&["run", "-d", "--name", "web", IMAGE, "sleep", "1000"]);
    let (pid, shim) = (host.pid("web"), host.shim_pid("web"));
    host.kill_engine();
    send_signal(shim, "KILL");
    eventually("the program is gone", || !is_running(shim));
    host.start_engine();
    host.until_state("web", "exited");
    assert_eq!(host.inspect("web", "State.ExitCode"), "137");
    eventually("the program is gone", || !is_running(pid));
}

#[test]
fn a_client_attached_to_a_killed_shim_ends() {
    let host = Host::with_image("shim-attached");
    let script = "echo ready; exec sleep 1000";
    let mut client = host.spawn(&["run", "--name", "web", IMAGE, "sh", "-c", script]);
    client.until_stdout("ready", |text| text == "ready\n");
    send_signal(host.shim_pid("web"), "KILL");
    let output = client.wait(PATIENCE);
    assert_eq!(
        (output.code, output.stdout.as_str()),
        (137, "ready\n"),
        "{output:?}"
    );
}

#[test]
fn a_stopped_shim_stops_nobody_else() {
    let mut host = Host::with_image("shim-stopped");
    let stuck = host.ok(&["run", "-d", "--name", "stuck", IMAGE, "sleep", "1000"]);
    let well = host.ok(&["run", "-d", "--name", "well", IMAGE, "sleep", "1000"]);
    let shim = host.shim_pid("stuck");
    send_signal(shim, "STOP");
    assert_eq!(host.ok(&["exec", "well", "echo", "hello"]), "hello");
    host.kill_engine();
    let begun = std::time::Instant::now();
    host.start_engine();
    assert!(begun.elapsed().as_secs() < 3, "{:?}", begun.elapsed());
    assert_eq!(
        host.ok(&["ps", "-q", "--no-trunc"]),
        format!("{well}\n{stuck}")
    );
    assert_eq!(host.ok(&["exec", "well", "echo", "hello"]), "hello");
    assert_eq!(host.ok(&["rm", "-f", "well"]), "well");
    send_signal(shim, "CONT");
    eventually("the woken shim serves again", || {
        host.tug(&["exec", "stuck", "true"]).code == 0
    });
    assert_eq!(host.ok(&["rm", "-f", "stuck"]), "stuck");
}
