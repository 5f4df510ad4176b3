//! `tug runtime`: runc's sentences and exit codes, its log, its help, its version.

use crate::harness::bundle::Bundle;
use crate::harness::command::{Output, run};
use crate::harness::{PATIENCE, eventually, json};
use std::process::Command;

/// Each with the exit code and a part of what it says.
const REFUSALS: &[(&str, i32, &str)] = &[
    ("frobnicate", 1, "No help topic for 'frobnicate'"),
    ("--frobnicate list", 1, "--frobnicate"),
    ("run --frobnicate test", 1, "--frobnicate"),
    ("--log-format xml list", 1, "invalid log-format: xml"),
    ("--rootless maybe list", 1, "--rootless"),
    ("create", 1, r#""create" requires exactly 1 argument(s)"#),
    ("start", 1, r#""start" requires exactly 1 argument(s)"#),
    ("start a b", 1, r#""start" requires exactly 1 argument(s)"#),
    ("kill", 1, r#""kill" requires a minimum of 1 argument(s)"#),
    (
        "kill a 9 b",
        1,
        r#""kill" requires a maximum of 2 argument(s)"#,
    ),
    ("state", 1, r#""state" requires exactly 1 argument(s)"#),
    ("delete", 1, r#""delete" requires exactly 1 argument(s)"#),
    ("list a", 1, r#""list" requires exactly 0 argument(s)"#),
    ("spec a", 1, r#""spec" requires exactly 0 argument(s)"#),
    (
        "features a",
        1,
        r#""features" requires exactly 0 argument(s)"#,
    ),
    ("ps", 1, r#""ps" requires a minimum of 1 argument(s)"#),
    ("exec", 1, r#""exec" requires a minimum of 1 argument(s)"#),
    (
        "exec nosuch",
        255,
        "exec failed: process args cannot be empty",
    ),
    (
        "exec nosuch true",
        255,
        "exec failed: container does not exist",
    ),
    (
        "exec -g -1 nosuch true",
        1,
        "invalid value for additional-gids",
    ),
    ("exec -p /nosuch nosuch", 255, "open /nosuch"),
    ("start nosuch", 1, "container does not exist"),
    ("state nosuch", 1, "container does not exist"),
    ("kill nosuch", 1, "container does not exist"),
    ("delete nosuch", 1, "container does not exist"),
    ("pause nosuch", 1, "container does not exist"),
    ("resume nosuch", 1, "container does not exist"),
    ("ps nosuch", 1, "container does not exist"),
    ("events nosuch", 1, "container does not exist"),
    ("update nosuch", 1, "container does not exist"),
    ("state ../nosuch", 1, "invalid container ID format"),
    ("delete --force a/b", 1, "invalid container ID format"),
    ("run ..", 1, "invalid container ID format"),
    ("kill nosuch FOO", 1, r#"unknown signal "FOO""#),
    ("kill nosuch 65", 1, r#"unknown signal "65""#),
    ("list -f xml", 1, "invalid format option"),
    ("ps -f xml nosuch", 1, "invalid format option"),
    (
        "events --interval 0s nosuch",
        1,
        "duration interval must be greater than 0",
    ),
    ("update --memory lots nosuch", 1, "invalid value for memory"),
    ("update --resources /nosuch nosuch", 1, "open /nosuch"),
    (
        "update --l3-cache-schema L3:0=f nosuch",
        1,
        "Intel RDT/CAT: l3 cache schema is not enabled",
    ),
    (
        "update --mem-bw-schema MB:0=9 nosuch",
        1,
        "Intel RDT/MBA: memory bandwidth schema is not enabled",
    ),
    (
        "run --bundle /nosuch test",
        1,
        "chdir /nosuch: no such file or directory",
    ),
    (
        "run --bundle / test",
        1,
        "JSON specification file config.json not found",
    ),
    (
        "create --preserve-fds 1000 test",
        1,
        "unable to stat preserved-fd ",
    ),
    (
        "exec --preserve-fds 1000 nosuch true",
        255,
        "unable to stat preserved-fd ",
    ),
    (
        "create test",
        1,
        "cannot allocate tty if runc will detach without setting console socket",
    ),
    (
        "run --console-socket /x test",
        1,
        "cannot use console socket if runc will not detach or allocate tty",
    ),
    (
        "--systemd-cgroup create test",
        1,
        "the systemd cgroup driver is not offered",
    ),
    ("checkpoint test", 1, "checkpoint is not supported"),
    ("restore test", 1, "restore is not supported"),
];

#[test]
fn what_cannot_be_done_is_refused_in_runcs_words() {
    let bundle = Bundle::new("runtime-refusals");
    for (line, code, sentence) in REFUSALS {
        let args: Vec<&str> = line.split(' ').collect();
        let output = bundle.runtime(&args);
        assert_eq!(
            (output.code, output.stdout.as_str()),
            (*code, ""),
            "{line}: {output:?}"
        );
        assert!(output.stderr.contains(sentence), "{line}: {output:?}");
        assert_eq!(output.stderr.lines().count(), 1, "{line}: {output:?}");
    }
    bundle
        .runtime(&["state", ""])
        .assert_refused(1, "container id cannot be empty");
    // A configuration without end is one that is too large.
    std::fs::remove_file(bundle.config()).unwrap();
    std::os::unix::fs::symlink("/dev/zero", bundle.config()).unwrap();
    bundle
        .runtime(&["create", "test"])
        .assert_refused(1, "is larger than 8 MiB");
}

#[test]
fn a_stopped_container_is_refused_in_runcs_words() {
    let bundle = Bundle::new("runtime-stopped");
    bundle.script("exit 4");
    let id = bundle.id.as_str();
    assert_eq!(
        bundle.runtime(&["run", "--keep", id]),
        Output::new(4, "", "")
    );
    let state = json::parse(&bundle.runtime(&["state", id]).stdout);
    assert_eq!(
        (state.string("status").as_str(), state.number("pid")),
        ("stopped", 0)
    );
    for (args, code, sentence) in [
        (&["kill", id][..], 1, "container not running"),
        (&["kill", id, "0"], 1, "container not running"),
        (
            &["start", id],
            1,
            "cannot start a container that has stopped",
        ),
        (&["pause", id], 1, "container not running"),
        (&["resume", id], 1, "container not paused"),
        (
            &["update", "--pids-limit", "5", id],
            1,
            "container not running",
        ),
        (
            &["events", id],
            1,
            &format!("container with id {id} is not running"),
        ),
        (
            &["exec", id, "true"],
            255,
            "cannot exec in a stopped container",
        ),
        (&["create", id], 1, "container with given ID already exists"),
    ] {
        bundle.runtime(args).assert_refused(code, sentence);
    }
    assert_eq!(
        bundle.runtime(&["kill", "--all", id]),
        Output::new(0, "", "")
    );
    assert_eq!(bundle.runtime(&["delete", id]), Output::new(0, "", ""));
}

#[test]
fn a_program_that_cannot_be_run_is_told_as_runc_tells_it() {
    let bundle = Bundle::new("runtime-noprogram");
    bundle.script("sleep 1000");
    let good = std::fs::read_to_string(bundle.config()).unwrap();
    for (program, sentence) in [
        (
            "nosuch",
            r#"unable to start container process: exec: "nosuch": executable file not found in $PATH"#,
        ),
        (
            "/nosuch",
            r#"exec: "/nosuch": stat /nosuch: no such file or directory"#,
        ),
        ("/etc", r#"exec: "/etc": is a directory"#),
    ] {
        std::fs::create_dir_all(format!("{}/rootfs/etc", bundle.dir)).unwrap();
        std::fs::write(
            bundle.config(),
            good.replace("\"sh\"", &format!("{program:?}")),
        )
        .unwrap();
        bundle
            .runtime(&["run", &bundle.id])
            .assert_refused(1, sentence);
        bundle
            .runtime(&["create", &bundle.id])
            .assert_refused(1, sentence);
    }
    std::fs::write(bundle.config(), good).unwrap();
    bundle.leave(&["run", "-d", &bundle.id]);
    bundle
        .runtime(&["exec", &bundle.id, "nosuch"])
        .assert_refused(
            255,
            r#"exec failed: unable to start container process: exec: "nosuch": executable file not found in $PATH"#,
        );
    assert_eq!(bundle.runtime(&["delete", "-f", &bundle.id]).code, 0);
}

#[test]
fn a_log_has_the_warnings_too_and_one_that_cannot_be_written_is_refused() {
    let bundle = Bundle::new("runtime-warnings");
    bundle.script("true");
    bundle.set("process.capabilities.bounding", r#"["CAP_FROB"]"#);
    let output = bundle.runtime(&["run", &bundle.id]);
    assert!(output.stderr.contains("[CAP_FROB]"), "{output:?}");

    let log = bundle.host.dir.join("log");
    let path = log.to_str().unwrap();
    let output = bundle.runtime(&["--log", path, "run", &bundle.id]);
    assert_eq!(output, Output::new(0, "", ""));
    let text = std::fs::read_to_string(&log).unwrap();
    assert!(
        text.contains(" level=warning msg=") && text.contains("[CAP_FROB]"),
        "{text}"
    );

    let output = bundle.runtime(&["--log", "/nosuch/log", "run", &bundle.id]);
    output.assert_refused(1, "open /nosuch/log: No such file");
}

#[test]
fn exec_answers_1_where_it_is_called_wrongly_and_255_where_it_cannot() {
    let bundle = Bundle::new("runtime-exec-codes");
    for (args, code, sentence) in [
        (
            &["exec"][..],
            1,
            "\"exec\" requires a minimum of 1 argument(s)",
        ),
        (&["exec", "--frob", "web", "true"], 1, "--frob"),
        (&["exec", "web"], 255, "process args cannot be empty"),
        (&["exec", "web", "true"], 255, "container does not exist"),
    ] {
        bundle.runtime(args).assert_refused(code, sentence);
    }
}

#[test]
fn failures_and_debug_lines_are_logged_as_logrus_does() {
    let bundle = Bundle::new("runtime-log");
    let log = bundle.host.dir.join("log");
    let read = || std::fs::read_to_string(&log).unwrap();
    let path = log.to_str().unwrap();

    let json = ["--log", path, "--log-format", "json"];
    let output = bundle.runtime(&[&json[..], &["state", "nosuch"]].concat());
    output.assert_refused(1, "container does not exist");
    let line = json::parse(read().trim_end());
    assert_eq!(line.string("level"), "error");
    assert_eq!(line.string("msg"), "container does not exist");
    // Go's time.RFC3339 has no fraction.
    assert_eq!(line.string("time").len(), "2026-01-02T03:04:05Z".len());

    // The last line is the last failure.
    bundle.runtime(&[&json[..], &["exec", "nosuch", "true"]].concat());
    let text = read();
    let last = json::parse(text.lines().last().unwrap());
    assert_eq!(last.string("msg"), "exec failed: container does not exist");
    assert_eq!(text.lines().count(), 2);

    std::fs::remove_file(&log).unwrap();
    bundle.runtime(&["--log", path, "kill", "nosuch"]);
    let text = read();
    assert!(text.starts_with("time=\"20"), "{text}");
    assert!(
        text.ends_with(" level=error msg=\"container does not exist\"\n"),
        "{text}"
    );

    std::fs::remove_file(&log).unwrap();
    bundle.script("true");
    let output = bundle.runtime(&["--debug", "--log", path, "run", &bundle.id]);
    assert_eq!(output, Output::new(0, "", ""));
    let text = read();
    assert!(
        text.contains("level=debug msg=\"created container"),
        "{text}"
    );
    let output = bundle.runtime(&["--debug", "run", &bundle.id]);
    assert!(output.stderr.contains("level=debug"), "{output:?}");
}

#[test]
fn every_command_has_help() {
    let bundle = Bundle::new("runtime-help");
    let all = bundle.runtime(&["--help"]);
    assert_eq!((all.code, all.stderr.as_str()), (0, ""));
    assert_eq!(bundle.runtime(&[]).stdout, all.stdout);
    assert_eq!(bundle.runtime(&["help"]).stdout, all.stdout);
    let verbs = "create start run exec state kill delete list ps pause resume update events spec \
        features checkpoint restore";
    for verb in verbs.split_whitespace() {
        assert!(all.stdout.contains(&format!("\n  {verb} ")), "{verb}");
        let help = bundle.runtime(&[verb, "--help"]);
        assert_eq!((help.code, help.stderr.as_str()), (0, ""), "{verb}");
        let first = format!("Usage: tug runtime {verb} ");
        assert!(help.stdout.starts_with(&first), "{help:?}");
        assert_eq!(bundle.runtime(&["help", verb]).stdout, help.stdout);
        assert_eq!(bundle.runtime(&[verb, "-h"]).stdout, help.stdout, "{verb}");
    }
}

#[test]
fn a_link_named_runc_works_the_same() {
    let bundle = Bundle::new("runtime-runc");
    let link = bundle.host.dir.join("runc");
    std::os::unix::fs::symlink(&bundle.host.binary, &link).unwrap();
    let runc = |args: &[&str]| {
        let mut command = Command::new(&link);
        command
            .args([
                "--root",
                bundle.host.dir.join("runtime-root").to_str().unwrap(),
            ])
            .args(args)
            .current_dir(&bundle.dir);
        run(command, b"", PATIENCE)
    };
    let version = runc(&["--version"]);
    let lines = version.lines();
    assert!(lines[0].starts_with("runc version "), "{version:?}");
    assert!(lines[1].starts_with("commit: "), "{version:?}");
    assert_eq!(lines[2], "spec: 1.3.0");
    assert_eq!(runc(&["-v"]), version);
    assert_eq!(bundle.runtime(&["-v"]), version);

    bundle.script("echo from runc; exit 3");
    assert_eq!(
        runc(&["run", &bundle.id]),
        Output::new(3, "from runc\n", "")
    );
    let refused = runc(&["state", "nosuch"]);
    assert_eq!(
        refused,
        Output::new(1, "", "runc: container does not exist\n")
    );
    // Containers of runc's are looked for in runc's place.
    assert!(runc(&["--help"]).stdout.contains("/run/runc"));

    bundle.script("sleep 1000");
    bundle.leave(&["run", "-d", &bundle.id]);
    assert_eq!(
        runc(&["list", "-q"]),
        Output::new(0, &format!("{}\n", bundle.id), "")
    );
    assert_eq!(runc(&["exec", &bundle.id, "true"]), Output::new(0, "", ""));
    assert_eq!(runc(&["kill", &bundle.id, "KILL"]), Output::new(0, "", ""));
    eventually("it is stopped", || bundle.status() == "stopped");
    assert_eq!(runc(&["delete", &bundle.id]), Output::new(0, "", ""));
}
