//! `tug stats`: what a container uses, in Docker's shape.

use crate::harness::http::{self, head};
use crate::harness::json::{self, Json};
use crate::harness::{Host, IMAGE, PATIENCE, eventually};
use std::io::{BufRead, BufReader, Read, Write};

fn once(host: &Host, name: &str) -> Json {
    host.get(&format!(
        "/containers/{name}/stats?stream=false&one-shot=true"
    ))
}

fn cpu(stats: &Json, of: &str) -> i64 {
    stats.number(&format!("{of}.cpu_usage.total_usage"))
}

#[test]
fn one_look_counts_processor_memory_and_processes() {
    let host = Host::with_image("stats");
    let spin = "sleep 1000 & while :; do :; done";
    let id = host.ok(&["run", "-d", "--name", "web", IMAGE, "sh", "-c", spin]);
    eventually("it has used the processor", || {
        cpu(&once(&host, "web"), "cpu_stats") > 20_000_000
    });
    let first = once(&host, "web");
    assert_eq!(first.string("name"), "/web");
    assert_eq!(first.string("id"), id);
    assert_eq!(first.string("preread"), "0001-01-01T00:00:00Z");
    assert_eq!(first.text("precpu_stats"), "{}");
    assert_eq!(first.number("pids_stats.current"), 2);
    assert!(first.number("cpu_stats.online_cpus") >= 1);
    let (usage, limit) = (
        first.number("memory_stats.usage"),
        first.number("memory_stats.limit"),
    );
    assert!(usage > 4096 && usage < limit, "{usage} of {limit}");
    // Of the network namespace there is the loopback only, which nobody counts.
    assert_eq!(first.text("networks"), "null");

    let second = once(&host, "web");
    assert!(cpu(&second, "cpu_stats") >= cpu(&first, "cpu_stats"));
    assert!(
        second.number("cpu_stats.system_cpu_usage") >= first.number("cpu_stats.system_cpu_usage")
    );
}

#[test]
fn without_one_shot_the_answer_compares_two_moments() {
    let host = Host::with_image("stats-two");
    let spin = "while :; do :; done";
    host.ok(&["run", "-d", "--name", "web", IMAGE, "sh", "-c", spin]);
    let stats = host.get("/containers/web/stats?stream=0");
    assert!(cpu(&stats, "cpu_stats") > cpu(&stats, "precpu_stats"));
    assert!(
        stats.number("cpu_stats.system_cpu_usage") > stats.number("precpu_stats.system_cpu_usage")
    );
    assert!(stats.string("read") > stats.string("preread"));
}

#[test]
fn a_stream_tells_once_a_second_until_the_container_is_gone() {
    let host = Host::with_image("stats-stream");
    host.ok(&["run", "-d", "--name", "web", IMAGE, "sleep", "1000"]);
    let mut stream = http::connect(&host.socket()).unwrap();
    let request = head("GET", "/containers/web/stats", "Connection: close\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
    let mut next = || loop {
        let line = lines.next().unwrap().unwrap();
        if line.starts_with('{') {
            return json::parse(&line);
        }
    };
    let (first, second) = (next(), next());
    assert_eq!(first.text("precpu_stats"), "{}");
    assert_eq!(cpu(&second, "precpu_stats"), cpu(&first, "cpu_stats"));
    assert_eq!(second.string("preread"), first.string("read"));
    host.ok(&["rm", "-f", "web"]);
    // The last chunk is empty: the stream has ended and was not cut off.
    assert!(lines.any(|line| line.unwrap() == "0"));
}

#[test]
fn clients_that_do_not_read_hold_up_nobody() {
    let host = Host::with_image("stats-deaf");
    host.ok(&["run", "-d", "--name", "web", IMAGE, "sleep", "1000"]);
    let open = || {
        let mut stream = http::connect(&host.socket()).unwrap();
        let request = head("GET", "/containers/web/stats", "Connection: close\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        // It has begun; from here on nobody reads.
        let mut status = [0; 12];
        stream.read_exact(&mut status).unwrap();
        assert_eq!(&status, b"HTTP/1.1 200");
        stream
    };
    let deaf: Vec<_> = (0..20).map(|_| open()).collect();
    let begin = std::time::Instant::now();
    once(&host, "web");
    host.ok(&["rm", "-f", "web"]);
    assert!(begin.elapsed().as_secs() < 10);
    for mut stream in deaf {
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).unwrap();
        assert!(rest.ends_with(b"\r\n0\r\n\r\n"), "a stream was cut off");
    }
}

#[test]
fn what_does_not_run_uses_nothing() {
    let host = Host::with_image("stats-idle");
    let id = host.ok(&["create", "--name", "idle", IMAGE, "true"]);
    let stats = host.get("/containers/idle/stats?stream=false");
    assert_eq!(stats.string("id"), id);
    assert_eq!(stats.string("read"), "0001-01-01T00:00:00Z");
    assert_eq!(cpu(&stats, "cpu_stats"), 0);
    assert_eq!(
        host.ok(&["stats", "--no-stream", "--format", "{{.Name}}"]),
        ""
    );
    let row = "{{.Name}} {{.CPUPerc}} {{.MemUsage}} {{.PIDs}}";
    assert_eq!(
        host.ok(&["stats", "-a", "--no-stream", "--format", row]),
        "idle 0.00% 0B / 0B 0"
    );
    let refused = host.tug(&["stats", "--no-stream", "nosuch"]);
    refused.assert_refused(1, "No such container: nosuch");
}

#[test]
fn the_client_prints_dockers_table() {
    let host = Host::with_image("stats-table");
    let id = host.ok(&["run", "-d", "--name", "web", IMAGE, "sleep", "1000"]);
    let output = host.tug(&["stats", "--no-stream"]);
    let [title, row] = output.lines()[..] else {
        panic!("{output:?}");
    };
    assert_eq!(
        title
            .split("  ")
            .map(str::trim)
            .filter(|t| !t.is_empty())
            .collect::<Vec<_>>(),
        [
            "CONTAINER ID",
            "NAME",
            "CPU %",
            "MEM USAGE / LIMIT",
            "MEM %",
            "NET I/O",
            "BLOCK I/O",
            "PIDS"
        ]
    );
    let cells: Vec<&str> = row.split_whitespace().collect();
    assert_eq!((cells[0], cells[1]), (&id[..12], "web"));
    assert!(cells[2].ends_with('%') && row.ends_with('1'), "{row}");
    assert_eq!(
        host.ok(&[
            "stats",
            "--no-stream",
            "--no-trunc",
            "--format",
            "{{.ID}}",
            "web"
        ]),
        id
    );
}

#[test]
fn the_live_table_is_drawn_over_itself_and_ends_with_the_container() {
    let host = Host::with_image("stats-live");
    host.ok(&["run", "-d", "--name", "web", IMAGE, "sleep", "1000"]);
    let mut client = host.spawn(&["stats", "web"]);
    client.until_stdout("it is drawn twice", |text| {
        text.matches("\x1b[H\x1b[JCONTAINER ID").count() >= 2
    });
    host.ok(&["rm", "-f", "web"]);
    assert_eq!(client.wait(PATIENCE).code, 0);
}
