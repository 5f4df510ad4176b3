//! `tug top`: the processes inside, seen from outside.

use crate::harness::{Host, IMAGE, eventually, json};
use std::process::Command;

/// A container with two processes.
fn pair(host: &Host) {
    let script = "sleep 1000 & exec sleep 2000";
    host.ok(&["run", "-d", "--name", "web", IMAGE, "sh", "-c", script]);
    eventually("both are there", || {
        host.ok(&["top", "web"]).lines().count() == 3
            && !host.ok(&["top", "web", "-o", "pid,args"]).contains("sh -c")
    });
}

#[test]
fn top_shows_the_processes_of_the_container_and_no_others() {
    let host = Host::with_image("top");
    pair(&host);
    let shown = host.ok(&["top", "web", "-o", "pid,ppid,args"]);
    let mut rows: Vec<Vec<&str>> = shown
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert_eq!(rows.remove(0), ["PID", "PPID", "COMMAND"]);
    rows.sort_by_key(|row| row[3]);
    let (pid, shim) = (
        host.pid("web").to_string(),
        host.shim_pid("web").to_string(),
    );
    assert_eq!(rows[0][1..], [&pid, "sleep", "1000"]);
    assert_eq!(rows[1], [&pid, &shim, "sleep", "2000"]);
    assert_eq!(rows.len(), 2);
}

#[test]
fn the_columns_are_those_of_ps() {
    let host = Host::with_image("top-columns");
    pair(&host);
    let titles = |args: &str| {
        host.get(&format!("/containers/web/top{args}"))
            .text("Titles")
    };
    let default = r#"["UID","PID","PPID","C","STIME","TTY","TIME","CMD"]"#;
    assert_eq!(titles(""), default);
    assert_eq!(titles("?ps_args=-ef"), default);
    assert_eq!(
        titles("?ps_args=aux"),
        r#"["USER","PID","%CPU","%MEM","VSZ","RSS","TTY","STAT","START","TIME","COMMAND"]"#
    );
    let table = host.get("/containers/web/top?ps_args=-eo%20pid,user,rss,s");
    for row in json::parse(&table.text("Processes")).items() {
        assert_eq!(
            (row.string("1"), row.string("3")),
            ("root".into(), "S".into())
        );
        assert!(row.string("2").parse::<u64>().unwrap() > 0);
    }
}

#[test]
fn top_needs_no_ps_on_the_machine() {
    let mut host = Host::without_engine("top-alone");
    let line = host.engine_command();
    let mut command = Command::new(&line[0]);
    command.args(&line[1..]).env("PATH", "/nonexistent");
    host.start_engine_as(command);
    host.import(IMAGE, &crate::harness::rootfs::busybox());
    host.ok(&["run", "-d", "--name", "web", IMAGE, "sleep", "1000"]);
    let shown = host.ok(&["top", "web"]);
    assert!(shown.ends_with("sleep 1000"), "{shown}");
}

#[test]
fn what_cannot_be_shown_is_refused_in_a_sentence() {
    let host = Host::with_image("top-refusals");
    host.ok(&["create", "--name", "idle", IMAGE, "true"]);
    host.ok(&["run", "-d", "--name", "web", IMAGE, "sleep", "1000"]);
    let refused = |args: &[&str], sentence: &str| host.tug(args).assert_refused(1, sentence);
    refused(&["top", "idle"], "is not running");
    refused(&["top", "nosuch"], "No such container: nosuch");
    refused(
        &["top", "web", "-o", "comm"],
        "Couldn't find PID field in ps output",
    );
    refused(&["top", "web", "-Z"], "ps: \"-Z\" is not understood here");
    refused(
        &["top", "web", "-o", "pid,nope"],
        "ps: error: unknown user-defined format specifier \"nope\"",
    );
    assert_eq!(host.http("GET", "/containers/idle/top", "").status, 409);
}
