//! `tug logs`: what a container has printed.

use crate::harness::command::Output;
use crate::harness::{Host, IMAGE, PATIENCE, json};

/// Run a script to its end under the name `web`; the container stays.
fn ended(host: &Host, script: &str) {
    host.ok(&["run", "-d", "--name", "web", IMAGE, "sh", "-c", script]);
    assert_eq!(host.ok(&["wait", "web"]), "0");
}

fn logs(host: &Host, options: &[&str]) -> Output {
    host.tug(&[&["logs"], options, &["web"]].concat())
}

#[test]
fn both_streams_come_back_apart() {
    let host = Host::with_image("logs");
    ended(&host, "echo one; echo two >&2; printf three");
    assert_eq!(logs(&host, &[]), Output::new(0, "one\nthree", "two\n"));
    host.tug(&["logs", "nosuch"])
        .assert_refused(1, "No such container: nosuch");
}

#[test]
fn tail_shows_the_last_lines() {
    let host = Host::with_image("logs-tail");
    ended(&host, "seq 1 100");
    for (tail, expected) in [
        ("0", String::new()),
        ("1", "100\n".to_string()),
        ("3", "98\n99\n100\n".to_string()),
        ("all", (1..=100).map(|n| format!("{n}\n")).collect()),
        ("1000", (1..=100).map(|n| format!("{n}\n")).collect()),
    ] {
        let output = Output::new(0, &expected, "");
        assert_eq!(logs(&host, &["--tail", tail]), output, "--tail {tail}");
        assert_eq!(logs(&host, &["-n", tail]), output, "-n {tail}");
    }
}

#[test]
fn timestamps_stand_before_the_lines_and_select_them() {
    let host = Host::with_image("logs-time");
    ended(&host, "echo one; sleep 1; echo two; sleep 1; echo three");
    let output = logs(&host, &["-t"]);
    assert_eq!(output.code, 0);
    let lines: Vec<(&str, &str)> = output
        .stdout
        .lines()
        .map(|line| line.split_once(' ').unwrap())
        .collect();
    let words: Vec<&str> = lines.iter().map(|(_, word)| *word).collect();
    assert_eq!(words, ["one", "two", "three"]);
    for (time, _) in &lines {
        // 2024-01-02T03:04:05.123456789Z, of one width so that lines align.
        assert_eq!(time.len(), 30, "{time}");
        assert!(time.ends_with('Z') && &time[10..11] == "T", "{time}");
    }
    assert!(lines[0].0 < lines[1].0 && lines[1].0 < lines[2].0);

    let second = lines[1].0;
    assert_eq!(
        logs(&host, &["--since", second]),
        Output::new(0, "two\nthree\n", "")
    );
    assert_eq!(
        logs(&host, &["--until", second]),
        Output::new(0, "one\ntwo\n", "")
    );
    assert_eq!(
        logs(&host, &["--since", "1h"]),
        Output::new(0, "one\ntwo\nthree\n", "")
    );
    assert_eq!(
        logs(&host, &["--since", "2099-01-01T00:00:00Z"]),
        Output::new(0, "", "")
    );
}

#[test]
fn follow_shows_all_and_ends_with_the_container() {
    let host = Host::with_image("logs-follow");
    let script = "echo first; until [ -e /go ]; do sleep 1; done; echo last; echo error >&2";
    host.ok(&["run", "-d", "--name", "web", IMAGE, "sh", "-c", script]);
    let mut client = host.spawn(&["logs", "-f", "web"]);
    client.until_stdout("the first line", |text| text == "first\n");
    assert_eq!(host.ok(&["exec", "web", "touch", "/go"]), "");
    assert_eq!(
        client.wait(PATIENCE),
        Output::new(0, "first\nlast\n", "error\n")
    );
    // Of a container that has ended, following is reading.
    assert_eq!(
        logs(&host, &["-f"]),
        Output::new(0, "first\nlast\n", "error\n")
    );
}

#[test]
fn a_follower_that_goes_away_disturbs_nobody() {
    let host = Host::with_image("logs-follow-gone");
    let script = "echo first; exec sleep 1000";
    host.ok(&["run", "-d", "--name", "web", IMAGE, "sh", "-c", script]);
    for _ in 0..10 {
        let client = host.spawn(&["logs", "-f", "web"]);
        client.until_stdout("the first line", |text| text == "first\n");
    }
    assert_eq!(logs(&host, &[]), Output::new(0, "first\n", ""));
}

#[test]
fn a_megabyte_is_complete_and_in_order() {
    let host = Host::with_image("logs-megabyte");
    ended(&host, "seq 1 150000");
    let output = logs(&host, &[]);
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
fn a_long_line_is_one_line_again() {
    let host = Host::with_image("logs-long");
    // 200,000 bytes are a dozen entries of 16 KiB in the file.
    ended(
        &host,
        "head -c 200000 /dev/zero | tr '\\0' x; echo; echo end",
    );
    let expected = format!("{}\nend\n", "x".repeat(200_000));
    let output = logs(&host, &[]);
    assert!(output.stdout == expected, "{} bytes", output.stdout.len());
    assert_eq!(logs(&host, &["--tail", "1"]), Output::new(0, "end\n", ""));
}

#[test]
fn the_file_is_dockers_json_a_line_each() {
    let host = Host::with_image("logs-file");
    ended(&host, "printf 'a\\tquote \" and \\377\\n'; echo error >&2");
    let id = host.get("/containers/web/json").string("Id");
    let path = host
        .data_root()
        .join("containers")
        .join(id)
        .join("log.json");
    let text = std::fs::read_to_string(path).unwrap();
    let lines: Vec<json::Json> = text.lines().map(json::parse).collect();
    assert_eq!(lines.len(), 2, "{text}");
    for (log, stream) in [
        ("a\tquote \" and \u{fffd}\n", "stdout"),
        ("error\n", "stderr"),
    ] {
        let found = lines
            .iter()
            .find(|line| line.string("stream") == stream)
            .unwrap();
        assert_eq!(found.string("log"), log);
        assert!(found.string("time").ends_with('Z'));
    }
}

#[test]
fn a_terminals_log_is_one_stream() {
    let host = Host::with_image("logs-tty");
    let script = "echo out; echo err >&2";
    host.ok(&[
        "run", "-d", "-t", "--name", "web", IMAGE, "sh", "-c", script,
    ]);
    assert_eq!(host.ok(&["wait", "web"]), "0");
    assert_eq!(logs(&host, &[]), Output::new(0, "out\r\nerr\r\n", ""));
}

#[test]
fn a_torn_last_line_is_left_out() {
    let host = Host::with_image("logs-torn");
    ended(&host, "echo one; echo two");
    let id = host.get("/containers/web/json").string("Id");
    let path = host
        .data_root()
        .join("containers")
        .join(id)
        .join("log.json");
    let mut bytes = std::fs::read(&path).unwrap();
    bytes.extend_from_slice(b"{\"log\":\"thr");
    std::fs::write(&path, bytes).unwrap();
    assert_eq!(logs(&host, &[]), Output::new(0, "one\ntwo\n", ""));
    assert_eq!(logs(&host, &["--tail", "1"]), Output::new(0, "two\n", ""));
}

/// Attach with `logs=1`, to the end of the container: what came to standard output.
fn attached_from_the_beginning(socket: &std::path::Path) -> String {
    use std::io::{Read, Write};
    let mut stream = std::os::unix::net::UnixStream::connect(socket).unwrap();
    let target = "/containers/web/attach?logs=1&stream=1&stdout=1";
    let head = "Host: d\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n";
    write!(stream, "POST {target} HTTP/1.1\r\n{head}\r\n").unwrap();
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    let from = bytes.windows(4).position(|end| end == b"\r\n\r\n").unwrap() + 4;
    let mut frames = &bytes[from..];
    let mut text = String::new();
    while let Some((header, rest)) = frames.split_at_checked(8) {
        assert_eq!(&header[..4], [1, 0, 0, 0]);
        let length = u32::from_be_bytes(header[4..].try_into().unwrap()) as usize;
        text.push_str(std::str::from_utf8(&rest[..length]).unwrap());
        frames = &rest[length..];
    }
    text
}

#[test]
fn a_client_that_attaches_with_the_log_gets_each_byte_once() {
    let host = Host::with_image("logs-attach");
    // Lines in two writes: at any moment one may be half in the log.
    let script = "i=0; while [ $i -lt 20000 ]; do i=$((i + 1)); printf line; echo $i; done; until [ -e /go ]; do sleep 1; done";
    let options = ["--log-opt=max-size=50k", "--log-opt=max-file=99"];
    let start = ["run", "-d", "--name", "web"];
    host.ok(&[&start[..], &options, &[IMAGE, "sh", "-c", script]].concat());
    let socket = host.socket();
    let clients: Vec<_> = (0..8u64)
        .map(|number| {
            let socket = socket.clone();
            std::thread::spawn(move || {
                std::thread::sleep(std::time::Duration::from_millis(20 * number));
                attached_from_the_beginning(&socket)
            })
        })
        .collect();
    std::thread::sleep(std::time::Duration::from_secs(1));
    host.ok(&["exec", "web", "touch", "/go"]);
    let expected: String = (1..=20000).map(|n| format!("line{n}\n")).collect();
    for client in clients {
        let text = client.join().unwrap();
        assert!(
            text == expected,
            "{} bytes of {}",
            text.len(),
            expected.len()
        );
    }
    assert_eq!(host.ok(&["wait", "web"]), "0");
}

#[test]
fn times_that_are_none_are_refused_and_until_may_lie_ahead() {
    let host = Host::with_image("logs-until");
    let script = "echo first; exec sleep 1000";
    host.ok(&["run", "-d", "--name", "web", IMAGE, "sh", "-c", script]);
    for option in ["--since", "--until"] {
        let output = logs(&host, &[option, "soon"]);
        output.assert_refused(1, &format!("invalid value for {:?}", &option[2..]));
    }
    let target = "/containers/web/logs?stdout=1&since=soon";
    assert_eq!(host.http("GET", target, "").status, 400);
    let before = std::time::Instant::now();
    let now = std::time::SystemTime::now();
    let now = now.duration_since(std::time::UNIX_EPOCH).unwrap();
    let until = format!("{}.5", now.as_secs() + 1);
    assert_eq!(
        logs(&host, &["-f", "--until", &until]),
        Output::new(0, "first\n", "")
    );
    assert!(before.elapsed() >= std::time::Duration::from_millis(500));
}

#[test]
fn follow_goes_on_across_restarts_and_ends_with_the_last_run() {
    let host = Host::with_image("logs-restarts");
    let script = "n=$(cat /n 2>/dev/null); echo x >>/n; echo run $n; sleep 1; exit 1";
    let options = ["run", "-d", "--name", "web", "--restart", "on-failure:2"];
    host.ok(&[&options[..], &[IMAGE, "sh", "-c", script]].concat());
    let mut client = host.spawn(&["logs", "-f", "web"]);
    assert_eq!(
        client.wait(PATIENCE),
        Output::new(0, "run\nrun x\nrun x x\n", "")
    );
    host.until_state("web", "exited");
}
