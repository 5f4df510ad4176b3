//! `tug runtime`: programs in a container, what they are given, and what of it changes later.

use crate::harness::bundle::Bundle;
use crate::harness::command::{Output, Running, run};
use crate::harness::{PATIENCE, eventually, json, skip};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags};
use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;

/// A bundle whose container runs.
fn running(name: &'static str) -> Bundle {
    let bundle = Bundle::new(name);
    bundle.script("sleep 1000");
    bundle.leave(&["run", "-d", &bundle.id]);
    bundle
}

fn end(bundle: &Bundle) {
    assert_eq!(
        bundle.runtime(&["delete", "-f", &bundle.id]),
        Output::new(0, "", "")
    );
}

#[test]
fn exec_takes_all_that_a_process_has() {
    let bundle = running("runtime-exec-flags");
    let exec = |args: &[&str], script: &str| {
        let rest = [bundle.id.as_str(), "sh", "-c", script];
        bundle.runtime(&[&["exec"], args, &rest].concat())
    };
    for (args, script, printed) in [
        (&[][..], "pwd; id -u; id -g", "/\n0\n0\n"),
        (&["--cwd", "/tmp"], "pwd", "/tmp\n"),
        (&["-e", "A=b", "--env", "C=d e"], "echo $A $C", "b d e\n"),
        (&["-u", "7"], "id -u; id -g", "7\n0\n"),
        (&["--user", "7:8"], "id -u; id -g", "7\n8\n"),
        (
            &["-u", "7:8", "-g", "9", "--additional-gids", "10,11"],
            "id -G",
            "8 9 10 11\n",
        ),
        (
            &["--no-subreaper"],
            "echo $PATH",
            "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n",
        ),
    ] {
        std::fs::create_dir_all(format!("{}/rootfs/tmp", bundle.dir)).unwrap();
        assert_eq!(exec(args, script), Output::new(0, printed, ""), "{args:?}");
    }
    exec(&["-u", "4294967296"], "true").assert_refused(255, "bad uid");
    exec(&["-u", "nobodyatall"], "true").assert_refused(255, "unable to find user nobodyatall");

    // Options end at the id: these are the program's.
    assert_eq!(
        bundle.runtime(&["exec", &bundle.id, "echo", "-u", "--cwd", "--"]),
        Output::new(0, "-u --cwd --\n", "")
    );
    assert_eq!(
        bundle.runtime(&["exec", &bundle.id, "--", "echo", "--"]),
        Output::new(0, "--\n", "")
    );
    end(&bundle);
}

#[test]
fn exec_gives_capabilities_of_the_bounding_set_alone() {
    let bundle = Bundle::new("runtime-exec-caps");
    bundle.script("sleep 1000");
    let sets = r#"{"bounding":["CAP_KILL","CAP_CHOWN"],"permitted":["CAP_KILL"],"effective":["CAP_KILL"]}"#;
    bundle.set("process.capabilities", sets);
    bundle.set("process.noNewPrivileges", "false");
    bundle.leave(&["run", "-d", &bundle.id]);
    let status = |args: &[&str]| {
        let script = "grep -E '^(CapEff|CapBnd|NoNewPrivs)' /proc/self/status";
        let rest = [bundle.id.as_str(), "sh", "-c", script];
        let output = bundle.runtime(&[&["exec"], args, &rest].concat());
        assert_eq!(output.code, 0, "{output:?}");
        output
            .stdout
            .split_whitespace()
            .map(String::from)
            .collect::<Vec<_>>()
    };
    // Root's exec gains what the bounding set has, and nothing can be asked for beyond it.
    let expected = |flag: &str| {
        let both = "0000000000000021";
        ["CapEff:", both, "CapBnd:", both, "NoNewPrivs:", flag]
            .map(String::from)
            .to_vec()
    };
    assert_eq!(status(&[]), expected("0"));
    assert_eq!(status(&["--cap", "CAP_CHOWN"]), expected("0"));
    assert_eq!(status(&["-c", "CAP_SYS_ADMIN"]), expected("0"));
    assert_eq!(status(&["--cap", "ALL"]), expected("0"));
    let output = status(&["--no-new-privs", "--cap", "CAP_CHOWN"]);
    assert_eq!(output, expected("1"));
    // Without a gain of exec's there is what the container's process has.
    assert_eq!(status(&["--no-new-privs"])[1], "0000000000000020");
    end(&bundle);
}

#[test]
fn exec_takes_a_process_from_a_file() {
    let bundle = running("runtime-exec-process");
    let exec = |process: &str| {
        let path = bundle.host.write("process.json", process);
        bundle.runtime(&["exec", "--process", &path, &bundle.id])
    };
    assert_eq!(
        exec(
            r#"{"args":["/bin/sh","-c","id -u; echo $A"],"cwd":"/","env":["A=b"],"user":{"uid":5}}"#
        ),
        Output::new(0, "5\nb\n", "")
    );
    for (process, sentence) in [
        (r#"{"args":["sh"]}"#, "Cwd property must not be empty"),
        (
            r#"{"args":["sh"],"cwd":"tmp"}"#,
            "Cwd must be an absolute path",
        ),
        (r#"{"cwd":"/","args":[]}"#, "args must not be empty"),
        (r#"{"cwd":"/","args":[3]}"#, "args[0]"),
        ("{", "invalid JSON"),
    ] {
        exec(process).assert_refused(255, sentence);
    }
    end(&bundle);
}

#[test]
fn exec_knows_the_process_that_the_container_was_made_with() {
    let bundle = Bundle::new("runtime-exec-kept");
    bundle.script("sleep 1000");
    bundle.set("process.env", r#"["PATH=/bin","KEPT=yes"]"#);
    bundle.leave(&["run", "-d", &bundle.id]);
    bundle.set("process.env", r#"["PATH=/nowhere"]"#);
    let exec = || bundle.runtime(&["exec", &bundle.id, "sh", "-c", "echo $KEPT"]);
    assert_eq!(exec(), Output::new(0, "yes\n", ""));
    std::fs::remove_file(bundle.config()).unwrap();
    assert_eq!(exec(), Output::new(0, "yes\n", ""));
    end(&bundle);
}

#[test]
fn exec_can_leave_the_program_alone() {
    let bundle = running("runtime-exec-detach");
    let pid_file = bundle.host.dir.join("exec-pid");
    let path = pid_file.to_str().unwrap();
    bundle.leave(&[
        "exec",
        "-d",
        "--pid-file",
        path,
        &bundle.id,
        "sleep",
        "4321",
    ]);
    let pid = std::fs::read_to_string(&pid_file).unwrap();
    let command = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap();
    assert_eq!(command, b"sleep\x004321\x00");
    let pids = bundle.runtime(&["ps", "-f", "json", &bundle.id]).stdout;
    assert!(pids.contains(&pid), "{pids}");
    end(&bundle);
    assert!(!Path::new(&format!("/proc/{pid}")).exists());
}

#[test]
fn exec_can_join_a_paused_container() {
    let bundle = running("runtime-exec-paused");
    assert_eq!(bundle.runtime(&["pause", &bundle.id]).code, 0);
    bundle
        .runtime(&["exec", &bundle.id, "true"])
        .assert_refused(255, "cannot exec in a paused container");
    let exec = bundle.command(&["exec", "--ignore-paused", &bundle.id, "echo", "thawed"]);
    let exec = Running::start(exec);
    assert_eq!(bundle.runtime(&["resume", &bundle.id]).code, 0);
    let mut exec = exec;
    assert_eq!(exec.wait(PATIENCE), Output::new(0, "thawed\n", ""));
    end(&bundle);
}

/// Our runtime with descriptors that a shell has opened for it.
fn with_descriptors(bundle: &Bundle, redirections: &str, args: &[&str]) -> Output {
    let root = bundle.host.dir.join("runtime-root");
    let mut shell = Command::new("bash");
    shell
        .args(["-c", &format!("exec \"$@\" {redirections} 5<&-"), "bash"])
        .arg(&bundle.host.binary)
        .args(["runtime", "--root", root.to_str().unwrap()])
        .args(args)
        .current_dir(&bundle.dir);
    run(shell, b"", PATIENCE)
}

#[test]
fn descriptors_are_kept_if_they_are_to_be() {
    let bundle = Bundle::new("runtime-preserve");
    let three = bundle.host.write("three", "3\n");
    let four = bundle.host.write("four", "4\n");
    let open = format!("3<{three} 4<{four} 9<{four}");
    let show = "cat <&3; cat <&4; ls /proc/self/fd | tr '\\n' ' '";
    bundle.script(show);
    let id = bundle.id.as_str();
    // The last number is that of the directory that ls reads.
    assert_eq!(
        with_descriptors(&bundle, &open, &["run", "--preserve-fds", "2", id]),
        Output::new(0, "3\n4\n0 1 2 3 4 5 ", "")
    );
    bundle.script("ls /proc/self/fd | tr '\\n' ' '");
    assert_eq!(
        with_descriptors(&bundle, &open, &["run", id]),
        Output::new(0, "0 1 2 3 ", "")
    );
    with_descriptors(&bundle, &open, &["run", "--preserve-fds", "3", id])
        .assert_refused(1, "unable to stat preserved-fd 2 (of 3): descriptor 5");

    bundle.script("sleep 1000");
    bundle.leave(&["run", "-d", id]);
    assert_eq!(
        with_descriptors(
            &bundle,
            &open,
            &["exec", "--preserve-fds", "2", id, "sh", "-c", show]
        ),
        Output::new(0, "3\n4\n0 1 2 3 4 5 ", "")
    );
    end(&bundle);
}

#[test]
fn sockets_of_systemd_are_passed_on() {
    let bundle = Bundle::new("runtime-listen");
    bundle.script("echo $LISTEN_FDS $LISTEN_PID; cat <&3; cat <&4");
    let three = bundle.host.write("three", "3\n");
    let four = bundle.host.write("four", "4\n");
    let root = bundle.host.dir.join("runtime-root");
    let mut shell = Command::new("bash");
    shell
        .arg("-c")
        .arg(format!(
            "export LISTEN_FDS=1 LISTEN_PID=$$; exec \"$@\" 3<{three} 4<{four}"
        ))
        .arg("bash")
        .arg(&bundle.host.binary)
        .args(["runtime", "--root", root.to_str().unwrap()])
        .args(["run", "--preserve-fds", "1", &bundle.id])
        .current_dir(&bundle.dir);
    assert_eq!(run(shell, b"", PATIENCE), Output::new(0, "1 1\n3\n4\n", ""));
}

/// The descriptor that comes with one message, and the message.
fn receive(listener: &UnixListener) -> (String, OwnedFd) {
    let (stream, _) = listener.accept().unwrap();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut text = [0u8; 64];
    let mut parts = [IoSliceMut::new(&mut text)];
    let message = rustix::net::recvmsg(&stream, &mut parts, &mut control, RecvFlags::CMSG_CLOEXEC);
    let bytes = message.unwrap().bytes;
    let mut fds = control.drain().flat_map(|part| match part {
        RecvAncillaryMessage::ScmRights(fds) => fds.collect::<Vec<_>>(),
        _ => Vec::new(),
    });
    let fd = fds.next().expect("no descriptor came");
    (String::from_utf8_lossy(&text[..bytes]).into_owned(), fd)
}

#[test]
fn a_console_socket_gets_the_terminals_master() {
    let bundle = Bundle::new("runtime-console");
    bundle.script("test -t 0 && echo on a terminal; sleep 1000");
    bundle.set("process.terminal", "true");
    let path = bundle.host.dir.join("console.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let path = path.to_str().unwrap();
    bundle.leave(&["create", "--console-socket", path, &bundle.id]);
    let (_, master) = receive(&listener);
    assert!(rustix::termios::isatty(&master));
    assert_eq!(bundle.runtime(&["start", &bundle.id]).code, 0);
    let mut shown = String::new();
    eventually("it speaks", || {
        let mut buffer = [0u8; 256];
        let count = rustix::io::read(&master, &mut buffer).unwrap();
        shown += &String::from_utf8_lossy(&buffer[..count]);
        shown.contains("on a terminal\r\n")
    });

    bundle.leave(&[
        "exec",
        "-td",
        "--console-socket",
        path,
        &bundle.id,
        "sleep",
        "1000",
    ]);
    let (_, master) = receive(&listener);
    assert!(rustix::termios::isatty(&master));
    bundle
        .runtime(&["exec", "-td", &bundle.id, "true"])
        .assert_refused(
            255,
            "cannot allocate tty if runc will detach without setting console socket",
        );
    end(&bundle);
}

/// The container's group; none where this host has no cgroup v2.
fn group(bundle: &Bundle) -> Option<String> {
    let path = bundle
        .host
        .dir
        .join("runtime-root")
        .join(&bundle.id)
        .join("state.json");
    let state = json::parse(&std::fs::read_to_string(path).unwrap());
    let group = state.string("cgroup");
    (!group.is_empty()).then_some(group)
}

#[test]
fn update_changes_limits_and_remembers_them() {
    const NAME: &str = "update_changes_limits_and_remembers_them";
    let bundle = running("runtime-update");
    let Some(group) = group(&bundle) else {
        skip(NAME, "no cgroup v2 here");
        return end(&bundle);
    };
    // The one controller that this host need not have given to cgroup v1.
    let Some(file) = ["hugetlb.2MB.max", "pids.max"]
        .into_iter()
        .find(|file| Path::new(&group).join(file).exists())
    else {
        skip(NAME, "no controller for cgroup v2 here");
        return end(&bundle);
    };
    let update = format!(r#"{{"unified":{{"{file}":"4194304"}}}}"#);
    let command = bundle.command(&["update", "--resources", "-", &bundle.id]);
    assert_eq!(
        run(command, update.as_bytes(), PATIENCE),
        Output::new(0, "", "")
    );
    let now = std::fs::read_to_string(format!("{group}/{file}")).unwrap();
    assert_eq!(now.trim(), "4194304");

    let kept = bundle
        .host
        .dir
        .join("runtime-root")
        .join(&bundle.id)
        .join("config.json");
    let kept = json::parse(&std::fs::read_to_string(kept).unwrap());
    assert_eq!(
        kept.text("linux.resources.unified"),
        format!(r#"{{"{file}":"4194304"}}"#)
    );
    // Device rules are as they were, and so is the rest of the process.
    assert!(kept.text("linux.resources.devices").contains("rwm"));
    assert_eq!(
        bundle.runtime(&[
            "exec",
            &bundle.id,
            "sh",
            "-c",
            "echo x >/dev/null && echo ok"
        ]),
        Output::new(0, "ok\n", "")
    );

    let path = bundle
        .host
        .write("resources.json", r#"{"memory":{"limit":"1g"}}"#);
    bundle
        .runtime(&["update", "-r", &path, &bundle.id])
        .assert_refused(1, "memory.limit");
    // Said, and nothing else.
    let output = bundle.runtime(&["update", "--kernel-memory", "1m", &bundle.id]);
    assert_eq!(output.code, 0);
    assert!(output.stderr.contains("level=warning"), "{output:?}");
    end(&bundle);
}

#[test]
fn events_tell_what_is_used_until_the_container_ends() {
    const NAME: &str = "events_tell_what_is_used_until_the_container_ends";
    let bundle = running("runtime-events");
    if group(&bundle).is_none() {
        skip(NAME, "no cgroup v2 here");
        return end(&bundle);
    }
    let once = bundle.runtime(&["events", "--stats", &bundle.id]);
    assert_eq!((once.code, once.lines().len()), (0, 1), "{once:?}");
    let event = json::parse(&once.stdout);
    assert_eq!(event.string("type"), "stats");
    assert_eq!(event.string("id"), bundle.id);
    for path in [
        "data.cpu.usage.total",
        "data.cpu.usage.kernel",
        "data.cpu.usage.user",
        "data.memory.usage.limit",
        "data.memory.usage.failcnt",
        "data.cpuset.cpu_exclusive",
    ] {
        assert!(event.number(path) >= 0, "{path}");
    }
    for path in ["data.pids", "data.blkio", "data.hugetlb", "data.intel_rdt"] {
        assert!(event.text(path).starts_with('{'), "{path}");
    }

    let events = bundle.command(&["events", "--interval", "50ms", &bundle.id]);
    let mut events = Running::start(events);
    events.until_stdout("three times", |text| text.lines().count() >= 3);
    assert_eq!(bundle.runtime(&["kill", &bundle.id, "KILL"]).code, 0);
    let output = events.wait(PATIENCE);
    assert_eq!((output.code, output.stderr.as_str()), (0, ""));
    for line in output.lines() {
        assert_eq!(json::parse(line).string("type"), "stats");
    }
    end(&bundle);
}
