//! Where the client's output goes: pipes that close, disks that are full, bytes that are no text,
//! and a terminal that watches long work.

use crate::harness::command::{Output, Running, run};
use crate::harness::rootfs::{busybox, docker_archive};
use crate::harness::{Host, IMAGE, PATIENCE, http};

/// A line for the shell in which `tug` is the client.
fn shell(host: &Host, line: &str) -> Output {
    let script = format!("tug() {{ {} \"$@\"; }}; {line}", host.binary.display());
    let command = host.client("/bin/sh".as_ref(), &["-c", &script]);
    run(command, b"", PATIENCE)
}

const COMMANDS: [&str; 8] = [
    "ps",
    "images",
    "--help",
    "ps --help",
    "inspect web",
    "logs web",
    "completion bash",
    "exec web echo hi",
];

fn with_container(name: &'static str) -> Host {
    let host = Host::with_image(name);
    let script = "echo a line; exec sleep 1000";
    host.ok(&["run", "-d", "--name", "web", IMAGE, "sh", "-c", script]);
    crate::harness::eventually("the line is logged", || {
        host.tug(&["logs", "web"]).stdout == "a line\n"
    });
    host
}

#[test]
fn a_reader_that_has_gone_ends_the_client_without_a_word() {
    let host = with_container("output-closed");
    for command in COMMANDS {
        // The pipe is closed before the client writes; its code is left in the file.
        let line = format!("(sleep 0.1; tug {command}; echo $? >&2) | true");
        assert_eq!(shell(&host, &line), Output::new(0, "", "0\n"), "{command}");
    }
    // More than a pipe holds.
    let line = format!("tug run --rm {IMAGE} seq 1 30000 | head -n 1");
    assert_eq!(shell(&host, &line), Output::new(0, "1\n", ""));
    crate::harness::eventually("only the container that runs is left", || {
        host.tug(&["ps", "-aq"]).lines().len() == 1
    });
}

#[test]
fn a_full_disk_is_an_error() {
    let host = with_container("output-full");
    let run = format!("run --rm {IMAGE} echo hi");
    for command in COMMANDS.iter().chain([&run.as_str()]) {
        shell(&host, &format!("tug {command} >/dev/full")).assert_refused(
            1,
            "tug: write to standard output: No space left on device (os error 28)\n",
        );
    }
    crate::harness::eventually("only the container that runs is left", || {
        host.tug(&["ps", "-aq"]).lines().len() == 1
    });
}

#[test]
fn bytes_that_are_no_text_pass_unchanged() {
    let host = Host::with_image("output-bytes");
    let print = "printf '\\377\\376\\200\\000abc\\012'";
    let line = format!("tug run --rm {IMAGE} sh -c \"{print}\" | od -An -tx1");
    let expected = Output::new(0, " ff fe 80 00 61 62 63 0a\n", "");
    assert_eq!(shell(&host, &line), expected);
    host.ok(&["run", "-d", "--name", "web", IMAGE, "sleep", "1000"]);
    let line = format!("tug exec web sh -c \"{print}\" | od -An -tx1");
    assert_eq!(shell(&host, &line), expected);
}

#[test]
fn a_long_list_is_printed_whole() {
    let host = Host::with_image("output-long");
    for n in 0..300 {
        let body = format!(r#"{{"Image":"{IMAGE}","Cmd":["true"],"Labels":{{"n":"{n}"}}}}"#);
        let target = format!("/containers/create?name=c{n:03}");
        let reply = http::request(&host.socket(), "POST", &target, &body);
        assert_eq!(reply.status, 201, "{}", reply.body);
    }
    let output = host.tug(&["ps", "-a", "--format", "{{.Names}} {{.Label \"n\"}}"]);
    let expected: String = (0..300).rev().map(|n| format!("c{n:03} {n}\n")).collect();
    assert_eq!(output, Output::new(0, &expected, ""));
    assert_eq!(host.tug(&["ps", "-a"]).lines().len(), 301);
}

#[test]
fn loading_is_watched_on_a_terminal_and_silent_elsewhere() {
    let host = Host::new("output-progress");
    let saved = docker_archive("loaded:1", &[busybox()], "{}");
    let size = saved.len();
    let saved = host.write("saved.tar", saved);
    let load = |more: &[&str]| {
        let command = host.client(&host.binary, &[&["load", "-i", &saved], more].concat());
        Running::on_a_terminal(command).0.wait(PATIENCE)
    };
    let watched = load(&[]);
    assert_eq!(watched.code, 0, "{watched:?}");
    // On 100 columns the numbers have room, the bar has not.
    let (first, last) = watched.stdout.rsplit_once("\x1b[1B").unwrap();
    assert_eq!(last, "Loaded image: loaded:1\r\n");
    let lines: Vec<&str> = first.split("\x1b[2K\rsaved.tar: Loading ").collect();
    let numbers = lines.last().unwrap().trim();
    let (current, total) = numbers.split_once('/').unwrap();
    assert_eq!(current, total.trim_end(), "of {size} bytes");

    let quiet = load(&["-q"]);
    assert_eq!(quiet, Output::new(0, "Loaded image: loaded:1\r\n", ""));
    assert_eq!(
        host.tug(&["load", "-i", &saved]),
        Output::new(0, "Loaded image: loaded:1\n", "")
    );
}
