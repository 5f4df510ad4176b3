//! `tug run`: options, streams, exit codes.

use crate::harness::command::{Output, Running};
use crate::harness::{Host, IMAGE, PATIENCE, can_init, is_running, rootfs, send_signal};
use std::collections::BTreeSet;
use std::os::fd::OwnedFd;

/// Arguments of `run --rm` with the test image.
fn run(host: &Host, options: &[&str], command: &[&str]) -> Output {
    run_with_input(host, options, command, b"")
}

fn run_with_input(host: &Host, options: &[&str], command: &[&str], input: &[u8]) -> Output {
    let args = [&["run", "--rm"], options, &[IMAGE], command].concat();
    host.tug_with_input(&args, input)
}

#[test]
fn a_program_runs_and_its_output_arrives() {
    let host = Host::with_image("echo");
    assert_eq!(
        run(&host, &[], &["echo", "hello"]),
        Output::new(0, "hello\n", "")
    );
    let script = "echo out; echo err >&2; printf 'no newline'";
    assert_eq!(
        run(&host, &[], &["sh", "-c", script]),
        Output::new(0, "out\nno newline", "err\n")
    );
}

#[test]
fn the_exit_code_is_the_programs() {
    let host = Host::with_image("exit-code");
    for code in [0, 1, 3, 42, 125, 126, 127, 255] {
        let output = run(&host, &[], &["sh", "-c", &format!("exit {code}")]);
        assert_eq!(output, Output::new(code, "", ""));
    }
}

#[test]
fn a_killed_program_exits_with_128_and_the_signal() {
    if !can_init("exit-signal") {
        return;
    }
    let host = Host::with_image("exit-signal");
    // Process 1 is immune to its own signals, so an init stands before the victim.
    for (signal, code) in [("TERM", 143), ("KILL", 137), ("SEGV", 139), ("HUP", 129)] {
        let output = run(
            &host,
            &["--init"],
            &["sh", "-c", &format!("kill -{signal} $$")],
        );
        assert_eq!(output.code, code, "{signal}: {output:?}");
    }
}

#[test]
fn twenty_fast_programs_lose_no_output() {
    let host = Host::with_image("fast");
    for round in 0..20 {
        let script = format!("echo {round}; echo error {round} >&2; exit {round}");
        assert_eq!(
            run(&host, &[], &["sh", "-c", &script]),
            Output::new(round, &format!("{round}\n"), &format!("error {round}\n"))
        );
    }
}

#[test]
fn a_megabyte_of_output_arrives_whole() {
    let host = Host::with_image("megabyte");
    let output = run(&host, &[], &["seq", "1", "150000"]);
    let expected: String = (1..=150_000).map(|n| format!("{n}\n")).collect();
    assert_eq!((output.code, output.stderr.as_str()), (0, ""));
    assert!(
        output.stdout == expected,
        "{} bytes of {}",
        output.stdout.len(),
        expected.len()
    );
}

#[test]
fn standard_input_reaches_the_program_only_with_i() {
    let host = Host::with_image("stdin");
    assert_eq!(
        run_with_input(&host, &["-i"], &["cat"], b"line 1\nline 2"),
        Output::new(0, "line 1\nline 2", "")
    );
    assert_eq!(
        run_with_input(&host, &[], &["cat"], b"nobody reads this"),
        Output::new(0, "", "")
    );
    let large = vec![b'x'; 3_000_000];
    assert_eq!(
        run_with_input(&host, &["-i"], &["wc", "-c"], &large),
        Output::new(0, "3000000\n", "")
    );
}

#[test]
fn a_program_that_does_not_read_its_input_ends_all_the_same() {
    let host = Host::with_image("unread-stdin");
    let large = vec![b'x'; 1_000_000];
    assert_eq!(
        run_with_input(&host, &["-i"], &["echo", "done"], &large),
        Output::new(0, "done\n", "")
    );
}

#[test]
fn the_environment_is_dockers_and_what_was_asked_for() {
    let host = Host::with_image("environment");
    let mut command = host.client(
        &host.binary,
        &[
            "run",
            "--rm",
            "--hostname",
            "box",
            "-e",
            "A=1",
            "--env",
            "EMPTY=",
            "-e",
            "OUTER",
            "-e",
            "ABSENT",
            IMAGE,
            "env",
        ],
    );
    command
        .env("OUTER", "from outside")
        .env("OTHER", "not for the container");
    let output = crate::harness::command::run(command, b"", PATIENCE);
    assert_eq!((output.code, output.stderr.as_str()), (0, ""));
    let found: BTreeSet<&str> = output.stdout.lines().collect();
    let expected = BTreeSet::from([
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOSTNAME=box",
        "A=1",
        "EMPTY=",
        "OUTER=from outside",
        "HOME=/root",
    ]);
    assert_eq!(found, expected);
}

#[test]
fn the_working_directory_is_made_when_it_is_missing() {
    let host = Host::with_image("workdir");
    for (dir, expected) in [("/etc", "/etc\n"), ("/made/here", "/made/here\n")] {
        assert_eq!(
            run(&host, &["-w", dir], &["pwd"]),
            Output::new(0, expected, "")
        );
    }
    assert_eq!(run(&host, &[], &["pwd"]), Output::new(0, "/\n", ""));
    let sentence = "the working directory 'relative' is invalid, it needs to be an absolute path";
    run(&host, &["-w", "relative"], &["pwd"]).assert_refused(125, sentence);
}

#[test]
fn users_and_groups_are_those_of_the_images_files() {
    let host = Host::with_image("user");
    for (user, expected) in [
        ("", "uid=0(root) gid=0(root) groups=0(root),2001(crew)"),
        ("root", "uid=0(root) gid=0(root) groups=0(root),2001(crew)"),
        (
            "guest",
            "uid=1000(guest) gid=1000(guest) groups=1000(guest),2000(team),2001(crew)",
        ),
        (
            "1000",
            "uid=1000(guest) gid=1000(guest) groups=1000(guest),2000(team),2001(crew)",
        ),
        (
            "guest:team",
            "uid=1000(guest) gid=2000(team) groups=2000(team)",
        ),
        ("1000:0", "uid=1000(guest) gid=0(root) groups=0(root)"),
        ("0:2000", "uid=0(root) gid=2000(team) groups=2000(team)"),
        ("7777", "uid=7777 gid=0(root) groups=0(root)"),
        ("7777:8888", "uid=7777 gid=8888 groups=8888"),
    ] {
        let output = run(&host, &["-u", user], &["id"]);
        assert_eq!(
            output,
            Output::new(0, &format!("{expected}\n"), ""),
            "-u {user:?}"
        );
    }
}

#[test]
fn home_is_the_users() {
    let host = Host::with_image("home");
    for (user, home) in [("root", "/root"), ("guest", "/home/guest"), ("7777", "/")] {
        let output = run(&host, &["-u", user], &["sh", "-c", "echo $HOME"]);
        assert_eq!(output, Output::new(0, &format!("{home}\n"), ""), "{user}");
    }
    let output = run(&host, &["-e", "HOME=/tmp"], &["sh", "-c", "echo $HOME"]);
    assert_eq!(output, Output::new(0, "/tmp\n", ""));
}

#[test]
fn the_entrypoint_replaces_the_images() {
    let host = Host::with_image("entrypoint");
    assert_eq!(
        run(&host, &["--entrypoint", "echo"], &["a", "b c"]),
        Output::new(0, "a b c\n", "")
    );
    assert_eq!(
        run(
            &host,
            &["--entrypoint", "/bin/hostname", "--hostname", "lab"],
            &[]
        ),
        Output::new(0, "lab\n", "")
    );
}

#[test]
fn the_images_own_settings_are_used() {
    let host = Host::new("image-config");
    let config = r#"{"Env":["A=image","B=image"],"Entrypoint":["sh","-c"],
        "Cmd":["echo $A $B $(id -u) $(pwd)"],"User":"guest","WorkingDir":"/srv/work"}"#;
    let archive = rootfs::docker_archive("configured:1", &[rootfs::busybox()], config);
    assert_eq!(host.tug_with_input(&["load"], &archive).code, 0);
    assert_eq!(
        host.tug(&["run", "--rm", "-e", "B=own", "configured:1"]),
        Output::new(0, "image own 1000 /srv/work\n", "")
    );
    assert_eq!(
        host.tug(&["run", "--rm", "configured:1", "echo replaced"]),
        Output::new(0, "replaced\n", "")
    );
    // A new entrypoint forgets the image's command.
    assert_eq!(
        host.tug(&["run", "--rm", "--entrypoint", "echo", "configured:1"]),
        Output::new(0, "\n", "")
    );
}

#[test]
fn the_hostname_is_the_short_id_unless_given() {
    let host = Host::with_image("hostname");
    let id = host.ok(&["run", "-d", IMAGE, "hostname"]);
    assert_eq!(id.len(), 64, "run -d prints the id: {id:?}");
    assert_eq!(host.ok(&["wait", &id]), "0");
    assert_eq!(host.ok(&["logs", &id]), id[..12]);
    let script = "hostname; grep lab /etc/hosts | wc -l; cat /etc/hostname";
    assert_eq!(
        run(&host, &["--hostname", "lab"], &["sh", "-c", script]),
        Output::new(0, "lab\n1\nlab\n", "")
    );
}

#[test]
fn a_bind_mount_is_shared_and_ro_is_read_only() {
    let host = Host::with_image("volume");
    let dir = host.make_dir("shared");
    let file = host.write("shared/in", "from the host\n");

    let script = "cat /data/in; echo from inside > /data/out";
    assert_eq!(
        run(
            &host,
            &["-v", &format!("{dir}:/data")],
            &["sh", "-c", script]
        ),
        Output::new(0, "from the host\n", "")
    );
    assert_eq!(
        std::fs::read_to_string(host.dir.join("shared/out")).unwrap(),
        "from inside\n"
    );

    let output = run(
        &host,
        &["-v", &format!("{dir}:/data:ro")],
        &["sh", "-c", "rm /data/in"],
    );
    assert_eq!(
        output,
        Output::new(
            1,
            "",
            "rm: can't remove '/data/in': Read-only file system\n"
        )
    );

    assert_eq!(
        run(
            &host,
            &["-v", &format!("{file}:/etc/one-file:ro")],
            &["cat", "/etc/one-file"]
        ),
        Output::new(0, "from the host\n", "")
    );
}

#[test]
fn a_missing_source_of_v_becomes_a_directory() {
    let host = Host::with_image("volume-missing");
    let dir = host.dir.join("new/dir");
    let volume = format!("{}:/data", dir.display());
    assert_eq!(
        run(&host, &["-v", &volume], &["ls", "/data"]),
        Output::new(0, "", "")
    );
    assert!(dir.is_dir());
}

#[test]
fn init_is_process_1_and_reaps() {
    if !can_init("init") {
        return;
    }
    let host = Host::with_image("init");
    assert_eq!(
        run(&host, &[], &["sh", "-c", "echo $$"]),
        Output::new(0, "1\n", "")
    );
    let output = run(
        &host,
        &["--init"],
        &["sh", "-c", "[ $$ != 1 ] && cat /proc/1/comm"],
    );
    assert_eq!((output.code, output.stderr.as_str()), (0, ""));
    assert!(output.stdout.contains("init"), "{output:?}");
}

#[test]
fn rm_leaves_nothing_and_d_leaves_a_container() {
    let host = Host::with_image("rm");
    assert_eq!(run(&host, &["--name", "gone"], &["true"]).code, 0);
    assert_eq!(host.ok(&["ps", "-a", "-q"]), "");
    let id = host.ok(&["run", "-d", "--name", "stays", IMAGE, "true"]);
    assert_eq!(host.ok(&["wait", "stays"]), "0");
    assert_eq!(host.ok(&["ps", "-a", "-q", "--no-trunc"]), id);

    let id = host.ok(&["run", "-d", "--rm", IMAGE, "sleep", "1000"]);
    assert_eq!(host.ok(&["kill", &id]), id);
    crate::harness::eventually("--rm has removed it", || {
        host.http("GET", &format!("/containers/{id}/json"), "")
            .status
            == 404
    });
}

#[test]
fn a_missing_program_is_127_and_an_unusable_one_126() {
    let host = Host::with_image("126-127");
    for (program, code, sentence) in [
        (
            "nosuch",
            127,
            "exec: \"nosuch\": executable file not found in $PATH",
        ),
        (
            "/nosuch",
            127,
            "exec: \"/nosuch\": stat /nosuch: no such file or directory",
        ),
        (
            "/etc/passwd",
            126,
            "exec: \"/etc/passwd\": permission denied",
        ),
        ("/etc", 126, "exec: \"/etc\": "),
    ] {
        let output = run(&host, &[], &[program]);
        output.assert_refused(code, sentence);
        assert_eq!(
            host.ok(&["ps", "-a", "-q"]),
            "",
            "{program} left a container"
        );
    }
    // Without --rm the container stays, created and never started, with the code.
    assert_eq!(
        host.tug(&["run", "--name", "failed", IMAGE, "nosuch"]).code,
        127
    );
    assert_eq!(host.inspect("failed", "State.Status"), "\"created\"");
    assert_eq!(host.inspect("failed", "State.ExitCode"), "127");
}

#[test]
fn what_cannot_be_created_is_125() {
    let host = Host::with_image("125");
    let no_image = host.tug(&["run", "--rm", "nosuch", "true"]);
    no_image.assert_refused(125, "Unable to find image 'nosuch:latest' locally");
    host.tug(&["run", "--frobnicate", IMAGE, "true"])
        .assert_refused(125, "--frobnicate");
    host.tug(&["run", "-Z", IMAGE, "true"])
        .assert_refused(125, "-Z");
    assert_ne!(host.tug(&["run"]).code, 0);

    let bad_user = run(&host, &["-u", "nobodyhere"], &["true"]);
    let sentence = "unable to find user nobodyhere: no matching entries in passwd file";
    bad_user.assert_refused(125, sentence);
    let bad_group = run(&host, &["-u", "root:nogroups"], &["true"]);
    let sentence = "unable to find group nogroups: no matching entries in group file";
    bad_group.assert_refused(125, sentence);
    for user in ["-1", "2147483648", "4294967296", "0:4294967296"] {
        let output = run(&host, &["-u", user], &["true"]);
        assert_eq!(
            (output.code, output.stdout.as_str()),
            (125, ""),
            "{user}: {output:?}"
        );
    }

    let container = host.ok(&["run", "-d", "--name", "web", IMAGE, "sleep", "1000"]);
    let sentence = format!(
        "Conflict. The container name \"/web\" is already in use by container \"{container}\". \
         You have to remove (or rename) that container to be able to reuse that name."
    );
    host.tug(&["run", "--name", "web", IMAGE, "true"])
        .assert_refused(125, &sentence);
    let sentence = "Invalid container name (no/slash), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed";
    host.tug(&["run", "--name", "no/slash", IMAGE, "true"])
        .assert_refused(125, sentence);
    assert_eq!(host.ok(&["ps", "-a", "-q", "--no-trunc"]), container);
}

#[test]
fn signals_to_the_client_reach_the_program() {
    let host = Host::with_image("signal-proxy");
    let script = "trap 'echo got TERM; exit 5' TERM; trap 'echo got USR1' USR1; echo ready; \
                  while :; do sleep 1 & wait; done";
    let mut client = host.spawn(&["run", "--rm", IMAGE, "sh", "-c", script]);
    client.until_stdout("ready", |text| text == "ready\n");
    send_signal(client.pid(), "USR1");
    client.until_stdout("got USR1", |text| text == "ready\ngot USR1\n");
    send_signal(client.pid(), "TERM");
    assert_eq!(
        client.wait(PATIENCE),
        Output::new(5, "ready\ngot USR1\ngot TERM\n", "")
    );
}

#[test]
fn a_client_that_dies_leaves_the_container_running() {
    let host = Host::with_image("client-dies");
    let script = "echo ready; exec sleep 1000";
    let client = host.spawn(&["run", "--name", "web", IMAGE, "sh", "-c", script]);
    client.until_stdout("ready", |text| text == "ready\n");
    send_signal(client.pid(), "KILL");
    drop(client);
    assert_eq!(host.inspect("web", "State.Running"), "true");
    assert!(is_running(host.pid("web")));
}

#[test]
fn a_client_that_does_not_read_does_not_stop_kill() {
    use std::io::Write;
    let host = Host::with_image("slow-reader");
    let body = format!(r#"{{"Image":"{IMAGE}","Cmd":["yes"],"AttachStdout":true}}"#);
    let reply = host.http("POST", "/containers/create?name=chatty", &body);
    assert_eq!(reply.status, 201, "{reply:?}");

    // Attach, and never read.
    let mut stream = crate::harness::http::connect(&host.socket()).unwrap();
    let target = "/containers/chatty/attach?stream=1&stdout=1";
    let headers = "Connection: Upgrade\r\nUpgrade: tcp\r\nContent-Length: 0\r\n";
    stream
        .write_all(crate::harness::http::head("POST", target, headers).as_bytes())
        .unwrap();
    assert_eq!(
        host.http("POST", "/containers/chatty/start", "").status,
        204
    );
    // Far beyond what any socket buffers.
    eventually_log_grows(&host, "chatty", 4_000_000);
    assert_eq!(host.ok(&["kill", "chatty"]), "chatty");
    assert_eq!(host.ok(&["wait", "chatty"]), "137");
    assert_eq!(host.ok(&["rm", "chatty"]), "chatty");
}

fn eventually_log_grows(host: &Host, container: &str, bytes: u64) {
    let id = host
        .get(&format!("/containers/{container}/json"))
        .string("Id");
    let log = host
        .data_root()
        .join("containers")
        .join(id)
        .join("log.json");
    crate::harness::eventually("the log grows", || {
        std::fs::metadata(&log).is_ok_and(|found| found.len() > bytes)
    });
}

/// Start the client on a terminal; its keys.
fn on_a_terminal(host: &Host, args: &[&str]) -> (Running, OwnedFd) {
    Running::on_a_terminal(host.client(&host.binary, args))
}

/// Lines as a terminal shows them, without its carriage returns.
fn shown(text: &str) -> String {
    text.replace('\r', "")
}

#[test]
fn a_terminal_is_one_and_has_the_clients_size() {
    let host = Host::with_image("tty");
    let script = "tty; test -t 0 && test -t 1 && test -t 2 && echo all three; echo $TERM; \
                  until [ \"$(stty size)\" = '40 100' ]; do sleep 1; done 2>/dev/null; echo sized";
    let args = ["run", "--rm", "-it", IMAGE, "sh", "-c", script];
    let (mut client, _keys) = on_a_terminal(&host, &args);
    let output = client.wait(PATIENCE);
    assert_eq!(
        (output.code, shown(&output.stdout).as_str()),
        (0, "/dev/pts/0\nall three\nxterm\nsized\n")
    );
}

#[test]
fn keys_typed_at_the_terminal_reach_the_program() {
    let host = Host::with_image("tty-keys");
    let script = "trap 'exit 42' INT; echo ready; read line; echo \"got $line\"; sleep 1000; true";
    let args = ["run", "--rm", "-it", IMAGE, "sh", "-c", script];
    let (mut client, keys) = on_a_terminal(&host, &args);
    client.until_stdout("ready", |text| shown(text) == "ready\n");
    rustix::io::write(&keys, b"hello\r").unwrap();
    client.until_stdout("the line", |text| shown(text).ends_with("got hello\n"));
    // The container's terminal makes a signal of ^C; the client's must not.
    rustix::io::write(&keys, b"\x03").unwrap();
    let output = client.wait(PATIENCE);
    assert_eq!(output.code, 42, "{output:?}");
}

#[test]
fn the_detach_keys_leave_the_container_running() {
    let host = Host::with_image("detach-keys");
    let script = "echo ready; sleep 1000";
    let args = ["run", "--name", "web", "-it", IMAGE, "sh", "-c", script];
    let (mut client, keys) = on_a_terminal(&host, &args);
    client.until_stdout("ready", |text| shown(text) == "ready\n");
    rustix::io::write(&keys, b"\x10\x11").unwrap();
    let output = client.wait(PATIENCE);
    assert_eq!(output.code, 0, "{output:?}");
    assert_eq!(host.inspect("web", "State.Running"), "true");
}

#[test]
fn t_needs_a_terminal_when_input_is_wanted() {
    let host = Host::with_image("not-a-tty");
    let output = run(&host, &["-it"], &["true"]);
    output.assert_refused(output.code, "the input device is not a TTY");
    assert_ne!(output.code, 0);
    // Without -i the program still gets its terminal.
    assert_eq!(
        run(&host, &["-t"], &["tty"]),
        Output::new(0, "/dev/pts/0\r\n", "")
    );
}

#[test]
fn the_network_is_the_containers_own() {
    let host = Host::with_image("network");
    assert_eq!(
        run(&host, &[], &["ls", "/sys/class/net"]),
        Output::new(0, "lo\n", "")
    );
    let script = "ip -o addr show lo | grep -c 127.0.0.1/8";
    assert_eq!(
        run(&host, &[], &["sh", "-c", script]),
        Output::new(0, "1\n", "")
    );
}

#[test]
fn shared_memory_and_the_usual_places_can_be_written() {
    let host = Host::with_image("writable");
    let script = "for dir in / /tmp /dev/shm /root; do echo x > $dir/file && cat $dir/file; done; \
                  df -k /dev/shm | tail -1 | awk '{print $2}'";
    assert_eq!(
        run(&host, &[], &["sh", "-c", script]),
        Output::new(0, "x\nx\nx\nx\n65536\n", "")
    );
}
