//! `tug exec`: a second program in a running container.

use crate::harness::command::Output;
use crate::harness::{Host, IMAGE, PATIENCE, eventually, http};

/// A host with the container `web` asleep in it.
fn asleep(name: &'static str) -> Host {
    let host = Host::with_image(name);
    host.ok(&[
        "run", "-d", "--name", "web", "-e", "A=1", IMAGE, "sleep", "1000",
    ]);
    host
}

fn exec(host: &Host, options: &[&str], command: &[&str]) -> Output {
    host.tug(&[&["exec"], options, &["web"], command].concat())
}

#[test]
fn a_second_program_prints_and_exits() {
    let host = asleep("exec");
    assert_eq!(
        exec(&host, &[], &["echo", "hello"]),
        Output::new(0, "hello\n", "")
    );
    for code in [0, 1, 42, 255] {
        let script = format!("echo out; echo err >&2; exit {code}");
        assert_eq!(
            exec(&host, &[], &["sh", "-c", &script]),
            Output::new(code, "out\n", "err\n")
        );
    }
    assert_eq!(exec(&host, &[], &["sh", "-c", "kill -9 $$"]).code, 137);
}

#[test]
fn the_exit_code_is_null_until_there_is_one() {
    let host = asleep("exec-code");
    let body = r#"{"Cmd":["sleep","1000"]}"#;
    let created = host.http("POST", "/containers/web/exec", body);
    let id = crate::harness::json::parse(&created.body).string("Id");
    let inspect = || host.http("GET", &format!("/exec/{id}/json"), "").body;
    assert!(inspect().contains(r#""ExitCode":null"#), "{}", inspect());
    let started = host.http("POST", &format!("/exec/{id}/start"), r#"{"Detach":true}"#);
    assert_eq!(started.status, 200, "{started:?}");
    assert!(inspect().contains(r#""ExitCode":null"#), "{}", inspect());
    host.ok(&["kill", "web"]);
    eventually("there is a code", || {
        inspect().contains(r#""ExitCode":137"#)
    });
}

#[test]
fn it_lives_in_the_containers_namespaces() {
    let host = asleep("exec-namespaces");
    let script = "for ns in mnt pid net ipc uts cgroup; do \
                  [ $(readlink /proc/1/ns/$ns) = $(readlink /proc/self/ns/$ns) ] || echo $ns; done; \
                  cat /proc/1/cmdline | tr '\\0' ' '";
    assert_eq!(
        exec(&host, &[], &["sh", "-c", script]),
        Output::new(0, "sleep 1000 ", "")
    );
}

#[test]
fn its_options_are_its_own() {
    let host = asleep("exec-options");
    assert_eq!(
        exec(&host, &["-e", "B=2"], &["sh", "-c", "echo $A $B"]),
        Output::new(0, "1 2\n", "")
    );
    assert_eq!(
        exec(&host, &["-w", "/etc"], &["pwd"]),
        Output::new(0, "/etc\n", "")
    );
    assert_eq!(
        exec(&host, &["-u", "guest"], &["id"]),
        Output::new(
            0,
            "uid=1000(guest) gid=1000(guest) groups=1000(guest),2000(team),2001(crew)\n",
            ""
        )
    );
    assert_eq!(
        exec(&host, &["-u", "1"], &["id", "-u"]),
        Output::new(0, "1\n", "")
    );
    assert_eq!(
        host.tug_with_input(&["exec", "-i", "web", "cat"], b"typed"),
        Output::new(0, "typed", "")
    );
    assert_eq!(
        exec(&host, &["-t"], &["tty"]),
        Output::new(0, "/dev/pts/0\r\n", "")
    );
}

#[test]
fn a_megabyte_through_exec_arrives_whole() {
    let host = asleep("exec-megabyte");
    let output = exec(&host, &[], &["seq", "1", "150000"]);
    let expected: String = (1..=150_000).map(|n| format!("{n}\n")).collect();
    assert_eq!(output.code, 0);
    assert!(
        output.stdout == expected,
        "{} bytes of {}",
        output.stdout.len(),
        expected.len()
    );
}

#[test]
fn detached_it_runs_on_alone() {
    let host = asleep("exec-detached");
    let script = "until [ -e /go ]; do sleep 1; done; echo done > /result";
    assert_eq!(
        exec(&host, &["-d"], &["sh", "-c", script]),
        Output::new(0, "", "")
    );
    assert_eq!(exec(&host, &[], &["touch", "/go"]).code, 0);
    eventually("the detached program has ended", || {
        exec(&host, &[], &["cat", "/result"]).stdout == "done\n"
    });
}

#[test]
fn a_missing_program_is_127_and_an_unusable_one_126() {
    let host = asleep("exec-126-127");
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
    ] {
        let output = exec(&host, &[], &[program]);
        assert_eq!(output.code, code, "{output:?}");
        let all = format!("{}{}", output.stdout, output.stderr);
        assert!(all.contains(sentence), "{sentence:?} is not in {output:?}");
    }
    assert_eq!(host.inspect("web", "State.Running"), "true");
}

#[test]
fn it_needs_a_running_container() {
    let host = Host::with_image("exec-stopped");
    host.tug(&["exec", "web", "true"])
        .assert_refused(1, "No such container: web");
    let id = host.ok(&["run", "-d", "--name", "web", IMAGE, "true"]);
    assert_eq!(host.ok(&["wait", "web"]), "0");
    let sentence = format!("container {id} is not running");
    host.tug(&["exec", "web", "true"])
        .assert_refused(1, &sentence);
    let bad = host.tug(&["exec", "web"]);
    assert_ne!(bad.code, 0);
}

#[test]
fn it_ends_with_its_container() {
    let host = asleep("exec-ends");
    let mut client = host.spawn(&["exec", "web", "sh", "-c", "echo ready; exec sleep 1000"]);
    client.until_stdout("ready", |text| text == "ready\n");
    assert_eq!(host.ok(&["kill", "web"]), "web");
    assert_eq!(client.wait(PATIENCE), Output::new(137, "ready\n", ""));
}

#[test]
fn thirty_execs_lose_no_output_and_no_code() {
    let host = asleep("exec-fast");
    for round in 0..30 {
        let script = format!("echo {round}; exit {round}");
        assert_eq!(
            exec(&host, &[], &["sh", "-c", &script]),
            Output::new(round, &format!("{round}\n"), "")
        );
    }
}

#[test]
fn the_api_tells_how_it_ended() {
    let host = asleep("exec-api");
    let body = r#"{"Cmd":["sh","-c","echo out; echo err >&2; exit 7"],
        "AttachStdout":true,"AttachStderr":true}"#;
    let created = host.http("POST", "/containers/web/exec", body);
    assert_eq!(created.status, 201, "{created:?}");
    let id = crate::harness::json::parse(&created.body).string("Id");

    let before = host.get(&format!("/exec/{id}/json"));
    assert_eq!(before.text("Running"), "false");
    assert_eq!(before.string("ProcessConfig.entrypoint"), "sh");
    assert_eq!(
        before.text("ProcessConfig.arguments"),
        r#"["-c","echo out; echo err >&2; exit 7"]"#
    );

    let start = r#"{"Detach":false,"Tty":false}"#;
    let request = http::head(
        "POST",
        &format!("/exec/{id}/start"),
        &format!(
            "Content-Type: application/json\r\nContent-Length: {}\r\n",
            start.len()
        ),
    ) + start;
    let answer = raw_without_shutdown(&host, &request);
    let text = String::from_utf8_lossy(&answer);
    assert!(text.starts_with("HTTP/1.1 200 "), "{text}");
    assert!(text.contains("application/vnd.docker."), "{text}");
    let body = answer
        .windows(4)
        .position(|four| four == b"\r\n\r\n")
        .unwrap()
        + 4;
    assert_eq!(
        http::split_streams(&answer[body..]),
        ("out\n".to_string(), "err\n".to_string())
    );

    eventually("the exec has its exit code", || {
        host.get(&format!("/exec/{id}/json")).text("ExitCode") == "7"
    });
    assert_eq!(
        host.get(&format!("/exec/{id}/json")).text("Running"),
        "false"
    );
    let (status, message) = host.http("GET", "/exec/nosuch/json", "").error();
    assert_eq!(
        (status, message.as_str()),
        (404, "No such exec instance: nosuch")
    );
}

/// Send and read to the end, with our side open: a closed side would be an end of input.
fn raw_without_shutdown(host: &Host, request: &str) -> Vec<u8> {
    use std::io::{Read, Write};
    let mut stream = http::connect(&host.socket()).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    answer
}
