//! `--log-driver` and `--log-opt`: where output goes, and what `logs` still knows of it.

use crate::harness::command::Output;
use crate::harness::{Host, IMAGE, eventually, is_running, json, rounds, send_signal, skip};
use std::io::{Read, Write};
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

/// Run a script to its end under the name `web`, with these options; the container stays.
fn ended(host: &Host, options: &[&str], script: &str) {
    let start = ["run", "-d", "--name", "web"];
    host.ok(&[&start, options, &[IMAGE, "sh", "-c", script]].concat());
    assert_eq!(host.ok(&["wait", "web"]), "0");
}

fn logs(host: &Host, options: &[&str]) -> Output {
    host.tug(&[&["logs"], options, &["web"]].concat())
}

/// A file in the directory of `web`.
fn file(host: &Host, name: &str) -> PathBuf {
    let id = host.get("/containers/web/json").string("Id");
    host.data_root().join("containers").join(id).join(name)
}

/// `1\n2\n` and so on.
fn numbers(range: impl Iterator<Item = u32>) -> String {
    range.map(|number| format!("{number}\n")).collect()
}

const UNREADABLE: &str = "configured logging driver does not support reading";

#[test]
fn drivers_and_options_that_do_not_exist_are_refused() {
    let host = Host::with_image("drivers-refused");
    for (options, sentence) in [
        (
            &["--log-driver", "gelf"][..],
            "logger: no log driver named 'gelf' is registered",
        ),
        (
            &["--log-opt", "color=red"],
            "unknown log opt 'color' for json-file log driver",
        ),
        (
            &["--log-opt", "max-file=0"],
            "failed to initialize logging driver: max-file cannot be less than 1",
        ),
        (
            &[
                "--log-driver",
                "syslog",
                "--log-opt",
                "syslog-address=unix:///nosuch",
            ],
            "stat /nosuch: No such file or directory",
        ),
        (
            &[
                "--log-driver",
                "syslog",
                "--log-opt",
                "syslog-address=tcp://127.0.0.1:1",
            ],
            "failed to initialize logging driver: dial tcp 127.0.0.1:1: Connection refused",
        ),
        (
            &["--log-opt", "tag={{.Colour}}"],
            "can't evaluate field Colour in type *logger.Info",
        ),
        (
            &["--log-opt", "labels-regex=^a"],
            "log opt 'labels-regex' is not supported: list the names in 'labels' instead",
        ),
    ] {
        let command = [&["run", "--rm"], options, &[IMAGE, "true"]].concat();
        // Docker's client takes a missing file for a missing command.
        let code = if sentence.contains("No such file") {
            127
        } else {
            125
        };
        host.tug(&command).assert_refused(code, sentence);
    }
    assert_eq!(host.ok(&["ps", "-aq"]), "");
}

#[test]
fn labels_variables_and_tags_stand_in_the_records() {
    let host = Host::with_image("drivers-attrs");
    let options = [
        "--log-opt=tag={{.Name}}/{{.ImageName}}",
        "--log-opt=labels=a,absent",
        "--log-opt=env=F",
        "--label=a=x y,é",
        "--label=b=2",
        "--env=F=1",
    ];
    ended(&host, &options, "echo hi");
    let text = std::fs::read_to_string(file(&host, "log.json")).unwrap();
    let expected = format!(
        r#"{{"log":"hi\n","stream":"stdout","attrs":{{"F":"1","a":"x y,é","tag":"web/{IMAGE}"}},"time":""#
    );
    assert!(text.starts_with(&expected), "{text}");
    let details = format!("F=1,a=x+y%2C%C3%A9,tag=web%2F{IMAGE} hi\n");
    assert_eq!(logs(&host, &["--details"]), Output::new(0, &details, ""));
    assert_eq!(logs(&host, &[]), Output::new(0, "hi\n", ""));
    let stamped = logs(&host, &["--details", "-t"]).stdout;
    assert_eq!(stamped.split_once(' ').unwrap().1, details);
}

#[test]
fn the_local_driver_keeps_and_rotates() {
    let host = Host::with_image("drivers-local");
    let options = [
        "--log-driver=local",
        "--log-opt=max-size=10k",
        "--log-opt=max-file=3",
    ];
    ended(&host, &options, "seq 1 3000; echo error >&2");
    let found = logs(&host, &[]);
    assert_eq!((found.code, found.stderr.as_str()), (0, "error\n"));
    let first: u32 = found.lines()[0].parse().unwrap();
    assert_eq!(found.stdout, numbers(first..=3000));
    assert_eq!(logs(&host, &["--tail", "3"]).stdout, "2999\n3000\n");
    assert_eq!(host.inspect("web", "LogPath"), "\"\"");

    let sizes = ["log.local", "log.local.1", "log.local.2"];
    let sizes = sizes.map(|name| std::fs::metadata(file(&host, name)).unwrap().len());
    assert!(sizes.iter().all(|size| *size < 10 * 1024 + 64), "{sizes:?}");
    assert!(!file(&host, "log.local.3").exists());
}

#[test]
fn rotated_files_are_read_through_and_followed() {
    let host = Host::with_image("drivers-follow");
    let options = ["--log-opt=max-size=20k", "--log-opt=max-file=200"];
    let script = "seq 1 5000; until [ -e /go ]; do sleep 1; done; seq 5001 20000";
    let start = ["run", "-d", "--name", "web"];
    host.ok(&[&start[..], &options, &[IMAGE, "sh", "-c", script]].concat());
    let mut client = host.spawn(&["logs", "-f", "web"]);
    client.until_stdout("the first part", |text| text.ends_with("5000\n"));
    host.ok(&["exec", "web", "touch", "/go"]);
    let output = client.wait(crate::harness::PATIENCE);
    assert!(
        output.stdout == numbers(1..=20000),
        "{} bytes",
        output.stdout.len()
    );
    assert!(logs(&host, &[]).stdout == numbers(1..=20000));
    assert!(file(&host, "log.json.9").exists());
}

#[test]
fn what_is_not_kept_cannot_be_read() {
    let host = Host::with_image("drivers-none");
    ended(&host, &["--log-driver", "none"], "echo hi");
    logs(&host, &[]).assert_refused(1, UNREADABLE);
    assert_eq!(
        host.http("GET", "/containers/web/logs?stdout=1", "").status,
        501
    );
    assert!(!file(&host, "log.json").exists() && !file(&host, "log.local").exists());
}

#[test]
fn the_engines_driver_and_options_are_the_default() {
    let mut host = Host::without_engine("drivers-default");
    let mut line = host.engine_command();
    line.extend(["--log-driver=local", "--log-opt=max-size=2k"].map(String::from));
    let mut command = Command::new(&line[0]);
    command.args(&line[1..]);
    host.start_engine_as(command);
    host.import(IMAGE, &crate::harness::rootfs::busybox());
    ended(&host, &[], "seq 1 200");
    assert_eq!(
        host.inspect("web", "HostConfig.LogConfig"),
        r#"{"Config":{"max-size":"2k"},"Type":"local"}"#
    );
    assert!(file(&host, "log.local.1").exists());
    assert_eq!(host.get("/info").string("LoggingDriver"), "local");
}

#[test]
fn an_engine_with_a_driver_that_does_not_exist_does_not_start() {
    let host = Host::without_engine("drivers-engine");
    let mut line = host.engine_command();
    line.push("--log-driver=gelf".to_string());
    let mut command = Command::new(&line[0]);
    command.args(&line[1..]);
    let output = crate::harness::command::run(command, b"", crate::harness::PATIENCE);
    output.assert_refused(
        1,
        "failed to set log opts: logger: no log driver named 'gelf' is registered",
    );
}

/// A syslog server's socket in the host's directory.
fn syslogd(host: &Host) -> (UnixDatagram, String) {
    let path = host.dir.join("devlog");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket
        .set_read_timeout(Some(crate::harness::PATIENCE))
        .unwrap();
    let option = format!("--log-opt=syslog-address=unixgram://{}", path.display());
    (socket, option)
}

fn message(socket: &UnixDatagram) -> String {
    let mut buffer = [0; 20_000];
    let count = socket.recv(&mut buffer).unwrap();
    String::from_utf8(buffer[..count].to_vec()).unwrap()
}

#[test]
fn syslog_gets_each_line_with_its_tag_and_severity() {
    let host = Host::with_image("drivers-syslog");
    let (socket, address) = syslogd(&host);
    let driver = ["--log-driver=syslog", &address, "--log-opt=tag={{.Name}}"];
    ended(&host, &driver, "echo out; sleep 1; echo err >&2");
    let (out, err) = (message(&socket), message(&socket));
    // <daemon.info>Jan  2 03:04:05 web[PID]: out
    assert!(
        out.starts_with("<30>") && out.ends_with("]: out\n"),
        "{out:?}"
    );
    assert_eq!(&out[19..24], " web[", "{out:?}");
    assert!(
        err.starts_with("<27>") && err.ends_with("]: err\n"),
        "{err:?}"
    );
    // What the driver cannot give back was kept beside it.
    assert_eq!(logs(&host, &[]), Output::new(0, "out\n", "err\n"));
    host.ok(&["rm", "web"]);

    let id = "--log-opt=syslog-facility=local3";
    let form = "--log-opt=syslog-format=rfc5424";
    let driver = [
        "--log-driver=syslog",
        &address,
        id,
        form,
        "--log-opt=cache-disabled=true",
    ];
    ended(&host, &driver, "echo hi");
    let found = message(&socket);
    let short = &host.get("/containers/web/json").string("Id")[..12];
    assert!(found.starts_with("<158>1 20"), "{found:?}");
    assert!(found.ends_with(&format!(" {short} - hi\n")), "{found:?}");
    logs(&host, &[]).assert_refused(1, UNREADABLE);
}

#[test]
fn syslog_is_reached_by_stream_tcp_and_udp() {
    let host = Host::with_image("drivers-transports");
    let path = host.dir.join("stream");
    let unix = UnixListener::bind(&path).unwrap();
    let tcp = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let udp = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    udp.set_read_timeout(Some(crate::harness::PATIENCE))
        .unwrap();
    let run = |address: String| {
        let address = format!("--log-opt=syslog-address={address}");
        ended(
            &host,
            &["--log-driver=syslog", &address, "--log-opt=tag=t"],
            "echo 1; echo 2",
        );
        host.ok(&["rm", "web"]);
    };
    let check = |text: String| {
        let ends: Vec<&str> = text
            .lines()
            .map(|line| line.rsplit(": ").next().unwrap())
            .collect();
        assert_eq!(ends, ["1", "2"], "{text:?}");
    };
    let mut text = String::new();
    run(format!("unix://{}", path.display()));
    unix.accept().unwrap().0.read_to_string(&mut text).unwrap();
    check(text);
    let mut text = String::new();
    run(format!("tcp://{}", tcp.local_addr().unwrap()));
    tcp.accept().unwrap().0.read_to_string(&mut text).unwrap();
    check(text);
    run(format!("udp://{}", udp.local_addr().unwrap()));
    let mut text = String::new();
    for _ in 0..2 {
        let mut buffer = [0; 1000];
        let count = udp.recv(&mut buffer).unwrap();
        text.push_str(std::str::from_utf8(&buffer[..count]).unwrap());
    }
    check(text);
}

#[test]
fn a_receiver_that_is_slow_holds_the_container_up_and_loses_nothing() {
    let host = Host::with_image("drivers-blocking");
    let (socket, address) = syslogd(&host);
    let options = [
        "--log-driver=syslog",
        &address,
        "--log-opt=cache-disabled=1",
    ];
    let start = ["run", "-d", "--name", "web"];
    let script = "seq 1 30000";
    host.ok(&[&start[..], &options, &[IMAGE, "sh", "-c", script]].concat());
    // It waits: more than all pipes hold is left.
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(host.inspect("web", "State.Running"), "true");
    for number in 1..=30000 {
        let found = message(&socket);
        assert!(
            found.ends_with(&format!(": {number}\n")),
            "{number}: {found}"
        );
    }
    assert_eq!(host.ok(&["wait", "web"]), "0");
    host.ok(&["rm", "web"]);

    // Nobody reads now, and the container still ends at once when told to.
    let script = "trap 'exit 3' TERM; while :; do echo line; done";
    host.ok(&[&start[..], &options, &[IMAGE, "sh", "-c", script]].concat());
    let before = std::time::Instant::now();
    host.ok(&["kill", "web"]);
    assert!(before.elapsed() < Duration::from_secs(5));
    assert_eq!(host.ok(&["rm", "-f", "web"]), "web");
}

#[test]
fn in_the_non_blocking_mode_nobody_waits_for_a_receiver() {
    let host = Host::with_image("drivers-non-blocking");
    let (_socket, address) = syslogd(&host);
    let mode = [
        "--log-opt=mode=non-blocking",
        "--log-opt=max-buffer-size=64k",
    ];
    let options = [
        "--log-driver=syslog",
        &address,
        mode[0],
        mode[1],
        "--log-opt=cache-max-size=-1",
    ];
    ended(&host, &options, "seq 1 30000");
    assert!(logs(&host, &[]).stdout == numbers(1..=30000));
}

#[test]
fn the_journal_gets_dockers_fields() {
    let mut host = Host::without_engine("drivers-journald");
    let dir = host.make_dir("journal");
    let socket = UnixDatagram::bind(host.dir.join("journal/socket")).unwrap();
    socket
        .set_read_timeout(Some(crate::harness::PATIENCE))
        .unwrap();
    // A journal of our own, where only this engine sees it.
    let mut command = Command::new("unshare");
    let script = format!(
        "mount -t tmpfs tmpfs /run && mkdir -p /run/systemd/journal && mount --bind {dir} /run/systemd/journal && exec \"$@\""
    );
    command
        .args(["--mount", "sh", "-c", &script, "sh"])
        .args(host.engine_command());
    host.start_engine_as(command);
    host.import(IMAGE, &crate::harness::rootfs::busybox());
    let options = [
        "--log-driver=journald",
        "--log-opt=labels=com.a",
        "--label=com.a=b",
    ];
    ended(&host, &options, "echo one >&2; printf two");
    let id = host.get("/containers/web/json").string("Id");
    let fields = |priority: u8, rest: &str| {
        let short = &id[..12];
        format!(
            "CONTAINER_ID={short}\nCONTAINER_ID_FULL={id}\nCONTAINER_NAME=web\nCONTAINER_TAG={short}\nIMAGE_NAME={IMAGE}\nSYSLOG_IDENTIFIER={short}\nCOM_A=b\nPRIORITY={priority}\n{rest}\n"
        )
    };
    let mut found = [message(&socket), message(&socket)];
    found.sort();
    let mut expected = [
        fields(3, "MESSAGE=one"),
        fields(6, "CONTAINER_PARTIAL_MESSAGE=true\nMESSAGE=two"),
    ];
    expected.sort();
    assert_eq!(found, expected);
    assert_eq!(logs(&host, &[]), Output::new(0, "two", "one\n"));
}

#[test]
fn a_host_without_a_journal_says_so() {
    let host = Host::with_image("drivers-no-journal");
    if PathBuf::from("/run/systemd/journal/socket").exists() {
        return skip("drivers-no-journal", "this host has a journal");
    }
    let output = host.tug(&["run", "--log-driver=journald", IMAGE, "true"]);
    output.assert_refused(
        125,
        "failed to initialize logging driver: journald is not enabled on this host",
    );
}

#[test]
fn the_kernels_log_takes_lines_too() {
    let host = Host::with_image("drivers-kmsg");
    let test = std::fs::File::options().write(true).open("/dev/kmsg");
    if test
        .and_then(|mut file| file.write_all(b"<30>tug-test: hello"))
        .is_err()
    {
        return skip("drivers-kmsg", "/dev/kmsg cannot be written here");
    }
    let tag = format!("tug-test-{}", std::process::id());
    let option = format!("--log-opt=tag={tag}");
    ended(
        &host,
        &["--log-driver=kmsg", &option],
        "echo from a container",
    );
    assert_eq!(logs(&host, &[]).stdout, "from a container\n");
    use std::os::unix::fs::OpenOptionsExt;
    let flags = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    let kernel = std::fs::File::options()
        .read(true)
        .custom_flags(flags)
        .open("/dev/kmsg");
    let mut kernel = kernel.unwrap();
    let wanted = format!(";{tag}: from a container\n");
    let mut buffer = [0; 8192];
    // A record a read, until there are no more.
    loop {
        match kernel.read(&mut buffer) {
            Ok(count) if String::from_utf8_lossy(&buffer[..count]).contains(&wanted) => return,
            Ok(_) => {}
            // Overwritten meanwhile.
            Err(error) if error.raw_os_error() == Some(32) => {}
            Err(error) => panic!("{wanted:?} is not in the kernel's log: {error}"),
        }
    }
}

#[test]
fn a_full_disk_drops_output_and_stops_nobody() {
    let mut host = Host::without_engine("drivers-full");
    let data = host.make_dir("data");
    let mut command = Command::new("unshare");
    let script = format!("mount -t tmpfs -o size=8m tmpfs {data} && exec \"$@\"");
    command
        .args(["--mount", "sh", "-c", &script, "sh"])
        .args(host.engine_command());
    host.start_engine_as(command);
    host.import(IMAGE, &crate::harness::rootfs::busybox());
    let script = "seq 1 1000000; touch /proc/self/cwd/tmp/x 2>/dev/null; until [ -e /dev/shm/go ]; do sleep 1; done";
    let options = ["run", "-d", "--name", "web", "--log-opt=max-size=-1"];
    let id = host.ok(&[&options[..], &[IMAGE, "sh", "-c", script]].concat());
    host.note_container(&id);
    let shim_log = host
        .exec_root()
        .join("containers")
        .join(&id)
        .join("shim.log");
    eventually("the loss is told", || {
        std::fs::read_to_string(&shim_log).is_ok_and(|text| text.contains("output is lost"))
    });
    eventually("the container has written all", || {
        host.tug(&["exec", "web", "touch", "/dev/shm/go"]).code == 0
    });
    assert_eq!(host.ok(&["wait", "web"]), "0");
    let found = logs(&host, &[]);
    assert_eq!((found.code, found.stderr.as_str()), (0, ""));
    // Whole records, in order; what came while the disk was full is missing.
    let lines = found.lines();
    let read: Vec<u32> = lines.iter().map(|line| line.parse().unwrap()).collect();
    assert!(
        read.len() > 1000 && read.is_sorted(),
        "{} lines",
        read.len()
    );
    assert!(host.ok(&["ps", "-a"]).contains("web"));
    assert_eq!(host.ok(&["rm", "web"]), "web");
    assert_eq!(std::fs::read_to_string(&shim_log).ok(), None);
}

#[test]
fn a_killed_shim_leaves_whole_records_in_order_within_the_bound() {
    let host = Host::with_image("drivers-killed");
    let options = ["--log-opt=max-size=30k", "--log-opt=max-file=3"];
    let script = "n=$(cat /n 2>/dev/null || echo 0); while :; do n=$((n + 1)); echo $n; echo $n >/new; mv /new /n; done";
    let start = ["run", "-d", "--name", "web"];
    host.ok(&[&start[..], &options, &[IMAGE, "sh", "-c", script]].concat());
    for round in 1..=rounds(5, 200) as u64 {
        let before = logs(&host, &["--tail", "1"]).stdout;
        eventually("it goes on", || {
            logs(&host, &["--tail", "1"]).stdout != before
        });
        std::thread::sleep(Duration::from_millis(37 * (round % 7)));
        let shim = host.shim_pid("web");
        send_signal(shim, "KILL");
        host.until_state("web", "exited");
        assert!(!is_running(shim));

        let mut total = 0;
        for name in ["log.json", "log.json.1", "log.json.2"] {
            let text = std::fs::read_to_string(file(&host, name)).unwrap_or_default();
            total += text.len();
            let whole =
                text.lines().count() - usize::from(!text.ends_with('\n') && !text.is_empty());
            for line in text.lines().take(whole) {
                assert_eq!(json::parse(line).string("stream"), "stdout");
            }
        }
        assert!(total <= 3 * (30_000 + 200), "{total}");
        assert!(!file(&host, "log.json.3").exists());
        let found = logs(&host, &[]);
        let read: Vec<u32> = found
            .lines()
            .iter()
            .map(|line| line.parse().unwrap())
            .collect();
        assert!(read.is_sorted() && !read.is_empty(), "{read:?}");
        host.ok(&["start", "web"]);
    }
}

fn ring(host: &Host, options: &[&str], script: &str) {
    let start = ["run", "-d", "--name", "web", "--log-driver=ring"];
    host.ok(&[&start, options, &[IMAGE, "sh", "-c", script]].concat());
}

#[test]
fn a_ring_is_read_while_it_is_in_memory_alone() {
    let host = Host::with_image("ring-memory");
    let options = ["--log-opt=tag={{.Name}}"];
    ring(&host, &options, "seq 1 5; echo bad >&2; sleep 1000");
    eventually("the lines are there", || logs(&host, &[]).stderr == "bad\n");
    assert_eq!(logs(&host, &[]), Output::new(0, &numbers(1..=5), "bad\n"));
    assert_eq!(logs(&host, &["--tail=2"]).stdout, "5\n");
    let details = logs(&host, &["--details", "--tail=2"]).stdout;
    assert_eq!(details, "tag=web 5\n");
    assert_eq!(logs(&host, &["--since=1h"]).stdout, numbers(1..=5));
    assert_eq!(logs(&host, &["--until=1h"]).stdout, "");
    assert!(!file(&host, "log.json").exists());
    assert_eq!(host.inspect("web", "LogPath"), "\"\"");
    if let Some(docker) = host.docker(&["logs", "web"]) {
        assert_eq!(docker, Output::new(0, &numbers(1..=5), "bad\n"));
    }
    let mut ctr = host.spawn(&[
        "ctr",
        "--data-root",
        host.data_root().to_str().unwrap(),
        "--exec-root",
        host.exec_root().to_str().unwrap(),
        "logs",
        "web",
    ]);
    let ctr = ctr.wait(crate::harness::PATIENCE);
    assert_eq!(ctr, Output::new(0, &numbers(1..=5), "bad\n"));
}

#[test]
fn a_ring_is_bounded_and_its_last_lines_are_there() {
    let host = Host::with_image("ring-bounded");
    ring(
        &host,
        &["--log-opt=max-size=64k"],
        "seq 1 20000; sleep 1000",
    );
    eventually("the last line is there", || {
        logs(&host, &["--tail=1"]).stdout == "20000\n"
    });
    let text = logs(&host, &[]).stdout;
    let first: u32 = text.lines().next().unwrap().parse().unwrap();
    assert_eq!(text, numbers(first..=20000));
    // Some 80 bytes a record, in three to four files of 16 KiB.
    assert!((19000..19500).contains(&first), "{first}");
    let shim = host.shim_pid("web");
    let run = host.exec_root().canonicalize().unwrap();
    let id = host.get("/containers/web/json").string("Id");
    let dir = format!("/proc/{shim}/root{}/containers/{id}/log", run.display());
    let sizes = std::fs::read_dir(dir).unwrap();
    let sizes = sizes.map(|entry| entry.unwrap().metadata().unwrap().len());
    let bytes: u64 = sizes.sum();
    assert!(bytes <= 65 << 10, "{bytes}");
}

#[test]
fn a_crash_writes_the_ring_out_and_a_stop_does_not() {
    let host = Host::with_image("ring-crash");
    let on_disk = |name: &str| std::fs::read_to_string(file(&host, name)).unwrap_or_default();
    for (options, script, expected) in [
        (&[][..], "echo one; exit 3", "one\n"),
        (&[], "echo one; exit 0", ""),
        (&["--log-opt=persist=always"], "echo one; exit 0", "one\n"),
        (&["--log-opt=persist=never"], "echo one; exit 3", ""),
    ] {
        ring(&host, options, script);
        host.ok(&["wait", "web"]);
        assert_eq!(logs(&host, &[]).stdout, expected, "{options:?} {script}");
        assert_eq!(!on_disk("log.json").is_empty(), !expected.is_empty());
        host.ok(&["rm", "web"]);
    }
    // Not by the engine.
    ring(&host, &[], "echo one; sleep 1000");
    eventually("it speaks", || logs(&host, &[]).stdout == "one\n");
    send_signal(host.pid("web"), "KILL");
    assert_eq!(host.ok(&["wait", "web"]), "137");
    assert_eq!(logs(&host, &[]).stdout, "one\n");
    host.ok(&["rm", "web"]);

    let trap = "trap 'exit 5' TERM; echo one; while :; do sleep 0.1; done";
    ring(&host, &[], trap);
    eventually("it speaks", || logs(&host, &[]).stdout == "one\n");
    host.ok(&["stop", "web"]);
    assert_eq!(host.inspect("web", "State.ExitCode"), "5");
    assert_eq!(on_disk("log.json"), "");
}

#[test]
fn a_ring_goes_on_over_restarts_and_without_an_engine() {
    let mut host = Host::with_image("ring-restart");
    let script = "echo begin; until [ -e /go ]; do sleep 0.1; done; echo end; rm /go; exit 1";
    ring(&host, &["--restart=always"], script);
    let count = |host: &Host, word: &str| logs(host, &[]).stdout.matches(word).count();
    eventually("it speaks", || count(&host, "begin") == 1);
    let client = host.spawn(&["logs", "-f", "web"]);
    host.ok(&["exec", "web", "touch", "/go"]);
    client.until_stdout("the second run", |text| text == "begin\nend\nbegin\n");
    // The first crash is on the disk. The second follows too soon after it.
    let on_disk = std::fs::read_to_string(file(&host, "log.json")).unwrap();
    assert_eq!(on_disk.lines().count(), 2, "{on_disk}");
    host.ok(&["exec", "web", "touch", "/go"]);
    client.until_stdout("the third run", |text| {
        text == "begin\nend\nbegin\nend\nbegin\n"
    });
    assert_eq!(
        std::fs::read_to_string(file(&host, "log.json")).unwrap(),
        on_disk
    );

    host.kill_engine();
    host.start_engine();
    assert_eq!(logs(&host, &[]).stdout, "begin\nend\nbegin\nend\nbegin\n");
    assert_eq!(
        logs(&host, &["--tail=4"]).stdout,
        "end\nbegin\nend\nbegin\n"
    );
    host.ok(&["stop", "-t", "0", "web"]);
    // What the second crash left is written out now, as no run follows.
    assert_eq!(logs(&host, &[]).stdout, "begin\nend\nbegin\nend\nbegin\n");
}

#[test]
fn a_ring_is_written_out_on_demand_and_never_seen_twice() {
    let host = Host::with_image("ring-demand");
    ring(
        &host,
        &[],
        "echo one; until [ -e /go ]; do sleep 0.1; done; echo two; sleep 1000",
    );
    eventually("it speaks", || logs(&host, &[]).stdout == "one\n");
    assert_eq!(host.ok(&["logs", "--persist", "web"]), "");
    let on_disk = std::fs::read_to_string(file(&host, "log.json")).unwrap();
    assert!(
        on_disk.starts_with(r#"{"log":"one\n","stream":"stdout","time":""#),
        "{on_disk}"
    );
    let client = host.spawn(&["logs", "-f", "web"]);
    client.until_stdout("what was written out", |text| text == "one\n");
    host.ok(&["exec", "web", "touch", "/go"]);
    client.until_stdout("what came since", |text| text == "one\ntwo\n");
    host.ok(&["logs", "--persist", "web"]);
    assert_eq!(logs(&host, &[]).stdout, "one\ntwo\n");

    host.ok(&["run", "-d", "--name", "other", IMAGE, "sleep", "1000"]);
    let refusal = "only the log driver ring keeps a log in memory";
    host.tug(&["logs", "--persist", "other"])
        .assert_refused(1, refusal);
}

#[test]
fn a_ring_may_be_the_engines_default() {
    let mut host = Host::without_engine("ring-default");
    host.write(
        "daemon.json",
        r#"{"log-driver":"ring","log-opts":{"max-size":"32k"}}"#,
    );
    host.start_engine();
    host.import(IMAGE, &crate::harness::rootfs::busybox());
    ended(&host, &[], "echo hi; exit 0");
    assert_eq!(
        host.inspect("web", "HostConfig.LogConfig"),
        r#"{"Config":{"max-size":"32k"},"Type":"ring"}"#
    );
    assert_eq!(logs(&host, &[]), Output::new(0, "", ""));
}
