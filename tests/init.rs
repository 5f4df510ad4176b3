//! `tug init`: process 1 of a container.

use crate::harness::command::{Output, Running, run};
use crate::harness::{Host, IMAGE, PATIENCE, binary, can_init, eventually, send_signal};
use std::process::Command;

/// `tug init` on this host, in a pid namespace of its own where it is process 1.
fn init(args: &[&str]) -> Command {
    let mut command = Command::new("unshare");
    command.args(["--pid", "--fork", "--kill-child", "--mount-proc"]);
    command.arg(binary()).arg("init").args(args);
    command
}

#[test]
fn it_exits_as_its_child_does() {
    for (script, code) in [
        ("exit 0", 0),
        ("exit 7", 7),
        ("kill -TERM $$", 143),
        ("kill -KILL $$", 137),
    ] {
        let output = run(init(&["--", "sh", "-c", script]), b"", PATIENCE);
        assert_eq!(output, Output::new(code, "", ""), "{script}");
    }
    assert_eq!(run(init(&["/nosuch"]), b"", PATIENCE).code, 127);
    assert_eq!(run(init(&["/etc/passwd"]), b"", PATIENCE).code, 126);
}

#[test]
fn it_passes_streams_through() {
    let output = run(
        init(&["sh", "-c", "cat; echo err >&2"]),
        b"typed\n",
        PATIENCE,
    );
    assert_eq!(output, Output::new(0, "typed\n", "err\n"));
}

#[test]
fn it_reaps_orphans() {
    // Each inner shell leaves a child behind that ends at once.
    let script = "for n in $(seq 50); do (true & true) & done; wait; \
        for n in $(seq 100); do \
        zombies=$(grep -l '^State:.*zombie' /proc/[0-9]*/status 2>/dev/null | wc -l); \
        [ $zombies = 0 ] && break; sleep 0.1; done; echo $zombies zombies";
    let output = run(init(&["sh", "-c", script]), b"", PATIENCE);
    assert_eq!(
        (output.code, output.stdout.as_str()),
        (0, "0 zombies\n"),
        "{output:?}"
    );
}

#[test]
fn it_forwards_signals() {
    if !can_init("init-signals") {
        return;
    }
    let host = Host::with_image("init-signals");
    let script = "trap 'echo usr1' USR1; trap 'echo hup' HUP; trap 'echo term; exit 5' TERM; \
                  echo ready; while :; do sleep 1 & wait; done";
    host.ok(&[
        "run", "-d", "--init", "--name", "web", IMAGE, "sh", "-c", script,
    ]);
    for (signal, said) in [
        ("", "ready"),
        ("USR1", "usr1"),
        ("HUP", "hup"),
        ("TERM", "term"),
    ] {
        if !signal.is_empty() {
            host.ok(&["kill", "-s", signal, "web"]);
        }
        eventually(&format!("it says {said}"), || {
            host.ok(&["logs", "web"]).lines().last() == Some(said)
        });
    }
    assert_eq!(host.ok(&["wait", "web"]), "5");
}

#[test]
fn its_children_end_with_it() {
    if !can_init("init-children") {
        return;
    }
    let host = Host::with_image("init-children");
    let script = "sleep 1000 & sleep 1000 & echo done; exit 0";
    assert_eq!(
        host.tug(&["run", "--rm", "--init", IMAGE, "sh", "-c", script]),
        Output::new(0, "done\n", "")
    );
}

#[test]
fn it_works_as_tini_does_when_it_is_not_process_1() {
    let mut command = Command::new(binary());
    command.args([
        "init",
        "-s",
        "--",
        "sh",
        "-c",
        "echo ready; exec sleep 1000",
    ]);
    let mut child = Running::start(command);
    child.until_stdout("ready", |text| text == "ready\n");
    send_signal(child.pid(), "TERM");
    assert_eq!(child.wait(PATIENCE), Output::new(143, "ready\n", ""));
}

#[test]
fn without_a_program_it_says_how_it_is_used() {
    let mut command = Command::new(binary());
    command.arg("init");
    let output = run(command, b"", PATIENCE);
    assert!(output.code != 0 && !output.stderr.is_empty(), "{output:?}");
}
