//! The engine's signals: its end, with or without its containers, and reading its file again.

use crate::harness::{Host, IMAGE, eventually, is_running, send_signal};
use std::os::unix::net::UnixDatagram;
use std::process::Command;
use std::time::{Duration, Instant};

/// An engine that takes its containers along, with the image in it.
fn taking_all(name: &'static str, more: &str) -> Host {
    let mut host = Host::without_engine(name);
    host.write("daemon.json", format!(r#"{{"live-restore": false{more}}}"#));
    host.start_engine();
    host.import(IMAGE, &crate::harness::rootfs::busybox());
    host
}

const OBEDIENT: &str = "trap 'exit 5' TERM; while :; do sleep 0.05; done";
const DEAF: &str = "trap '' TERM; while :; do sleep 0.05; done";

#[test]
fn an_engine_ends_and_its_containers_live_on() {
    let mut host = Host::with_image("shutdown-leave");
    host.ok(&["run", "-d", "--name", "web", IMAGE, "sleep", "1000"]);
    let pid = host.pid("web");
    assert_eq!(host.stop_engine(), Some(0));
    assert!(is_running(pid));
    host.start_engine();
    assert_eq!(host.pid("web"), pid);
}

#[test]
fn without_live_restore_they_are_stopped_and_their_ends_are_recorded() {
    let mut host = taking_all("shutdown-stop", "");
    host.ok(&["run", "-d", "--name", "one", IMAGE, "sh", "-c", OBEDIENT]);
    host.ok(&["run", "-d", "--name", "two", IMAGE, "sh", "-c", OBEDIENT]);
    let pids = [host.pid("one"), host.pid("two")];
    assert_eq!(host.stop_engine(), Some(0));
    assert!(!pids.into_iter().any(is_running));
    host.start_engine();
    for name in ["one", "two"] {
        assert_eq!(host.inspect(name, "State.Status"), "\"exited\"");
        assert_eq!(host.inspect(name, "State.ExitCode"), "5");
    }
}

#[test]
fn who_does_not_stop_in_time_is_killed() {
    let mut host = taking_all("shutdown-deaf", r#", "shutdown-timeout": 1"#);
    host.ok(&["run", "-d", "--name", "deaf", IMAGE, "sh", "-c", DEAF]);
    let pid = host.pid("deaf");
    let begin = Instant::now();
    assert_eq!(host.stop_engine(), Some(0));
    assert!(begin.elapsed() >= Duration::from_secs(1));
    eventually("the container has ended", || !is_running(pid));
    host.start_engine();
    host.until_state("deaf", "exited");
    assert_eq!(host.inspect("deaf", "State.ExitCode"), "137");
}

#[test]
fn a_second_signal_hurries() {
    let mut host = taking_all("shutdown-hurry", r#", "shutdown-timeout": 600"#);
    host.ok(&[
        "run",
        "-d",
        "--stop-timeout",
        "500",
        "--name",
        "deaf",
        IMAGE,
        "sh",
        "-c",
        DEAF,
    ]);
    let pid = host.pid("deaf");
    send_signal(host.engine_pid(), "TERM");
    std::thread::sleep(Duration::from_millis(300));
    assert!(host.engine_is_alive() && is_running(pid));
    // The second one.
    assert_eq!(host.stop_engine(), Some(0));
    eventually("the container has ended", || !is_running(pid));
    host.start_engine();
    host.until_state("deaf", "exited");
}

#[test]
fn the_next_engine_starts_again_what_its_policy_wants_up() {
    let mut host = taking_all("shutdown-policy", "");
    let run = |policy: &str, name: &str| {
        host.ok(&[
            "run",
            "-d",
            "--restart",
            policy,
            "--name",
            name,
            IMAGE,
            "sh",
            "-c",
            OBEDIENT,
        ]);
    };
    run("unless-stopped", "up");
    run("no", "once");
    run("unless-stopped", "stopped");
    host.ok(&["stop", "stopped"]);
    assert_eq!(host.stop_engine(), Some(0));
    host.start_engine();
    host.until_state("up", "running");
    for name in ["once", "stopped"] {
        assert_eq!(host.inspect(name, "State.Status"), "\"exited\"", "{name}");
    }
}

#[test]
fn a_hangup_reads_the_file_again() {
    let host = Host::with_image("reload");
    host.ok(&["run", "-d", "--name", "web", IMAGE, "sleep", "1000"]);
    let hangup = |content: &str| {
        host.write("daemon.json", content);
        send_signal(host.engine_pid(), "HUP");
    };
    hangup(
        r#"{"labels": ["place=cellar"], "debug": true, "live-restore": false,
               "runtimes": {"other": {"path": "/bin/other"}}}"#,
    );
    eventually("the labels are new", || {
        host.get("/info").text("Labels") == r#"["place=cellar"]"#
    });
    let info = host.get("/info");
    assert_eq!(info.text("Debug"), "true");
    assert_eq!(info.text("LiveRestoreEnabled"), "false");
    assert_eq!(info.text("Runtimes.other.path"), r#""/bin/other""#);
    let events = host.ok(&[
        "events",
        "--since",
        "1h",
        "--until",
        "0s",
        "--filter",
        "type=daemon",
    ]);
    assert!(events.contains(" daemon reload "), "{events}");
    assert!(events.contains("labels=place=cellar"), "{events}");

    // What makes no sense changes nothing, and is told.
    hangup(r#"{"labels": ["place=roof"], "colour": "red"}"#);
    eventually("the refusal is told", || {
        host.engine_log()
            .contains("reload: unable to configure the Docker daemon with file")
    });
    assert_eq!(host.get("/info").text("Labels"), r#"["place=cellar"]"#);
    assert_eq!(host.inspect("web", "State.Running"), "true");
    hangup("{}");
    eventually("all is as before", || {
        host.get("/info").text("LiveRestoreEnabled") == "true"
    });
}

#[test]
fn the_service_manager_is_told_how_the_engine_is() {
    let mut host = Host::without_engine("notify");
    let path = host.dir.join("notify");
    // In a file and in the abstract space.
    let file = UnixDatagram::bind(&path).unwrap();
    let name = format!("tug-notify-{}", std::process::id());
    let address = {
        use std::os::linux::net::SocketAddrExt;
        std::os::unix::net::SocketAddr::from_abstract_name(name.as_bytes()).unwrap()
    };
    let hidden = UnixDatagram::bind_addr(&address).unwrap();
    for (socket, variable) in [
        (file, path.display().to_string()),
        (hidden, format!("@{name}")),
    ] {
        socket
            .set_read_timeout(Some(crate::harness::PATIENCE))
            .unwrap();
        let heard = || {
            let mut buffer = [0; 200];
            let count = socket.recv(&mut buffer).unwrap();
            String::from_utf8_lossy(&buffer[..count]).into_owned()
        };
        let line = host.engine_command();
        let mut engine = Command::new(&line[0]);
        engine.args(&line[1..]).env("NOTIFY_SOCKET", variable);
        host.start_engine_as(engine);
        assert!(heard().starts_with("STATUS=recovering\nEXTEND_TIMEOUT_USEC="));
        assert_eq!(heard(), "READY=1\nSTATUS=serving");
        send_signal(host.engine_pid(), "HUP");
        assert!(heard().starts_with("RELOADING=1\nMONOTONIC_USEC="));
        assert_eq!(heard(), "READY=1\nSTATUS=serving");
        assert_eq!(host.stop_engine(), Some(0));
        assert_eq!(heard(), "STOPPING=1\nSTATUS=stopping");
    }
}
