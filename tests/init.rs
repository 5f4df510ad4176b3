//! `tug init`: process 1 of a container.

use crate::harness::command::{Output, Running, run};
use crate::harness::{
    Host, IMAGE, PATIENCE, binary, can_init, eventually, is_running, rounds, send_signal,
};
use std::os::unix::process::CommandExt;
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
    let orphans = rounds(1_000, 10_000);
    let script = format!(
        "for n in $(seq {}); do (true & true) & [ $((n % 50)) != 0 ] || wait; done; wait; \
        for n in $(seq 100); do \
        zombies=$(grep -l '^State:.*zombie' /proc/[0-9]*/status 2>/dev/null | wc -l); \
        [ $zombies = 0 ] && break; sleep 0.01; done; echo $zombies zombies",
        orphans
    );
    let output = run(init(&["sh", "-c", &script]), b"", PATIENCE);
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

/// `tug init` beside this test's own processes, with what it would say if it adopted none.
fn beside(args: &[&str]) -> Command {
    let mut command = Command::new(binary());
    command.arg0("tini").args(args);
    command
}

#[test]
fn every_signal_that_can_be_passed_on_is() {
    // Not those that nobody can catch, that tell of a fault, or that libc keeps for itself.
    let kept = [4, 5, 6, 7, 8, 9, 11, 17, 18, 19, 21, 22, 31, 32, 33];
    let others: Vec<i32> = (1..=64).filter(|number| !kept.contains(number)).collect();
    let script = "n=1; while [ $n -le 64 ]; do trap \"echo $n\" $n 2>/dev/null; n=$((n+1)); done; \
        echo ready; while :; do sleep 0.01; done";
    let mut child = Running::start(beside(&["-s", "--", "sh", "-c", script]));
    child.until_stdout("ready", |text| text == "ready\n");
    // A stop takes back a CONT that waits: 18 goes when 20 has arrived.
    for signals in [others, vec![18]] {
        let shell = |line: String| Command::new("sh").args(["-c", &line]).status().unwrap();
        let list: Vec<String> = signals.iter().map(i32::to_string).collect();
        let pid = child.pid();
        let line = format!("for n in {}; do kill -$n {pid}; done", list.join(" "));
        assert!(shell(line).success());
        child.until_stdout("all of them", |text| {
            let told: std::collections::BTreeSet<&str> = text.lines().collect();
            list.iter().all(|signal| told.contains(signal.as_str()))
        });
    }
    let children = format!("/proc/{0}/task/{0}/children", child.pid());
    let shell = std::fs::read_to_string(children).unwrap();
    send_signal(shell.trim().parse().unwrap(), "KILL");
    assert_eq!(child.wait(PATIENCE).code, 137);
}

#[test]
fn a_group_gets_what_its_leader_gets_if_asked() {
    let script = "trap 'echo outer' USR1; sh -c 'trap \"echo inner; exit\" USR1; echo ready; \
        while :; do sleep 0.01; done'; exit 3";
    for (option, said) in [("-s", "ready\nouter\n"), ("-g", "ready\ninner\nouter\n")] {
        let mut child = Running::start(beside(&["-s", option, "--", "sh", "-c", script]));
        child.until_stdout("ready", |text| text == "ready\n");
        send_signal(child.pid(), "USR1");
        if option == "-s" {
            // The shell that waits runs its trap when the inner one has ended.
            let inner = format!(
                "pkill -TERM -P $(cat /proc/{0}/task/{0}/children)",
                child.pid()
            );
            assert!(
                Command::new("sh")
                    .args(["-c", &inner])
                    .status()
                    .unwrap()
                    .success()
            );
        }
        assert_eq!(child.wait(PATIENCE).stdout, said, "{option}");
    }
}

#[test]
fn it_says_what_tini_says() {
    const NOT_FIRST: &str = "Tini is not running as PID 1 and isn't registered as a child subreaper.\n\
        Zombie processes will not be re-parented to Tini, so zombie reaping won't work.\n\
        To fix the problem, use the -s option or set the environment variable TINI_SUBREAPER to \
        register Tini as a child subreaper, or run Tini as PID 1.\n";
    let output = |args: &[&str], variables: &[(&str, &str)]| {
        let mut command = beside(args);
        command.envs(variables.iter().copied());
        let output = run(command, b"", PATIENCE);
        let pid = |text: &str| text.split_once("] ").map(|(_, said)| said.to_string());
        (
            output.code,
            output.stdout.clone(),
            pid(&output.stderr).unwrap_or(output.stderr),
        )
    };
    let quiet = |code| (code, String::new(), String::new());
    let said = |code, text: &str| (code, String::new(), text.to_string());
    assert_eq!(output(&["true"], &[]), said(0, NOT_FIRST));
    assert_eq!(output(&["true"], &[("TINI_VERBOSITY", "0")]), quiet(0));
    assert_eq!(output(&["true"], &[("TINI_SUBREAPER", "")]), quiet(0));
    assert_eq!(
        output(&["-s", "-e", "3", "-e", "4", "sh", "-c", "exit 4"], &[]),
        quiet(0)
    );
    assert_eq!(
        output(&["-s", "-e", "143", "sh", "-c", "kill $$"], &[]),
        quiet(0)
    );
    assert_eq!(
        output(&["-s", "nosuch"], &[]),
        said(127, "exec nosuch failed: No such file or directory\n")
    );
    assert_eq!(
        output(&["-s", "/"], &[]),
        said(126, "exec / failed: Permission denied\n")
    );
    let (code, stdout, stderr) = output(&["-sv", "sh", "-c", "exit 2"], &[]);
    assert_eq!((code, stderr.as_str()), (2, ""));
    assert!(
        stdout.contains("Spawned child process 'sh' with pid"),
        "{stdout}"
    );
    // Where somebody above adopts, there is nothing to warn of.
    let own = binary();
    let nested = [
        "-s",
        "--",
        own.to_str().unwrap(),
        "init",
        "sh",
        "-c",
        "exit 6",
    ];
    let (code, _, stderr) = output(&nested, &[]);
    assert_eq!(code, 6);
    assert!(
        stderr.contains("isn't registered"),
        "each is asked for itself: {stderr}"
    );
}

#[test]
fn a_reaped_orphan_is_told_of_if_asked() {
    let script = "(sleep 0.02 & echo $!); exec sleep 1000";
    let mut child = Running::start(beside(&["-s", "-w", "--", "sh", "-c", script]));
    child.until_stdout("the orphan's number", |text| text.ends_with('\n'));
    let pid: i32 = child.stdout().trim().parse().unwrap();
    eventually("it is reaped", || {
        !std::path::Path::new(&format!("/proc/{pid}")).exists()
    });
    send_signal(child.pid(), "TERM");
    let output = child.wait(PATIENCE);
    let warning = format!("] Reaped zombie process with pid={pid}\n");
    assert!(output.stderr.ends_with(&warning), "{output:?}");
}

#[test]
fn the_program_inherits_what_its_init_did() {
    let status = "exec grep -E 'Sig(Blk|Ign)' /proc/self/status";
    let script = format!(
        "trap '' HUP TTOU; exec {} init -s sh -c \"{status}\"",
        binary().display()
    );
    let mut command = Command::new("sh");
    command.args(["-c", &script]);
    let mut plain = Command::new("sh");
    plain.args(["-c", &format!("trap '' HUP TTOU; {status}")]);
    let plain = run(plain, b"", PATIENCE);
    assert!(plain.stdout.ends_with("200001\n"), "{plain:?}");
    assert_eq!(run(command, b"", PATIENCE), plain);
}

#[test]
fn the_program_has_the_foreground_of_its_terminal() {
    // pid, group and foreground group (proc_pid_stat(5), fields 1, 5 and 8).
    let script = "trap 'echo interrupted; exit 5' INT; read pid name state parent group session \
        tty foreground rest </proc/$$/stat; [ $pid = $group ] && [ $pid = $foreground ] && \
        echo in front; read line; echo $line; while :; do sleep 0.01; done";
    let mut command = Command::new("setsid");
    command.arg("--ctty").arg(binary());
    command.args(["init", "-s", "--", "sh", "-c", script]);
    let (mut child, terminal) = Running::on_a_terminal(command);
    let write = |bytes: &[u8]| rustix::io::write(&terminal, bytes).unwrap();
    child.until_stdout("it is in front", |text| text.contains("in front"));
    write(b"typed\n");
    child.until_stdout("it can read", |text| text.matches("typed").count() == 2);
    // The terminal sends SIGINT to the group in front: the program, and not its init.
    write(b"\x03");
    let output = child.wait(PATIENCE);
    assert_eq!(output.code, 5, "{output:?}");
    assert!(output.stdout.ends_with("interrupted\r\n"), "{output:?}");
}

#[test]
fn it_can_end_with_its_parent() {
    let script = format!(
        "{} init -s -p TERM -- sleep 1000 & echo $!; wait",
        binary().display()
    );
    let mut command = Command::new("sh");
    command.args(["-c", &script]);
    let mut parent = Running::start(command);
    parent.until_stdout("its number", |text| text.ends_with('\n'));
    let init: i32 = parent.stdout().trim().parse().unwrap();
    // Its program runs, so it has asked for the signal.
    let children = format!("/proc/{init}/task/{init}/children");
    eventually("the program runs", || {
        let pid = std::fs::read_to_string(&children).unwrap_or_default();
        std::fs::read_to_string(format!("/proc/{}/comm", pid.trim())).is_ok_and(|n| n == "sleep\n")
    });
    send_signal(parent.pid(), "KILL");
    parent.wait(PATIENCE);
    eventually("it is gone", || !is_running(init));
}

#[test]
fn it_is_started_by_the_names_of_others() {
    for name in ["tini", "docker-init", "tug-init"] {
        let mut command = Command::new(binary());
        command.arg0(name).args(["-s", "--", "sh", "-c", "exit 9"]);
        assert_eq!(
            run(command, b"", PATIENCE),
            Output::new(9, "", ""),
            "{name}"
        );
        let mut command = Command::new(binary());
        command.arg0(name).arg("--version");
        let version = run(command, b"", PATIENCE);
        assert!(
            version.stdout.starts_with("tini version 0.19.0 - tug "),
            "{version:?}"
        );
    }
}

#[test]
fn nonsense_is_refused_in_tinis_words() {
    for (args, sentence) in [
        (
            &["-p", "SOUP", "true"][..],
            "Not a valid option for -p: SOUP",
        ),
        (&["-e", "256", "true"], "Not a valid option for -e: 256"),
        (&["-e", "-1", "true"], "Not a valid option for -e: -1"),
        (&["-x", "true"], "invalid option '-x'"),
        (&[], "a program is needed"),
    ] {
        run(beside(args), b"", PATIENCE).assert_refused(1, sentence);
    }
}
