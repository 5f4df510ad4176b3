//! Many connections, slow ones, and few descriptors: none of them keeps others from the engine.

use crate::harness::{Host, IMAGE, eventually, http};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::time::{Duration, Instant};

/// The engine under a limit of descriptors, as a shell's `ulimit` takes it.
fn with_limit(name: &'static str, ulimit: &str) -> Host {
    let mut host = Host::without_engine(name);
    let mut script = Command::new("sh");
    script
        .args(["-c", &format!("ulimit {ulimit}; exec \"$@\""), "sh"])
        .args(host.engine_command());
    host.start_engine_as(script);
    host
}

fn many(host: &Host, count: usize, bytes: &[u8]) -> Vec<UnixStream> {
    let open = || {
        let mut stream = http::connect(&host.socket()).unwrap();
        stream.write_all(bytes).unwrap();
        stream
    };
    std::iter::repeat_with(open).take(count).collect()
}

fn pss_kib(pid: i32) -> i64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:"));
    line.unwrap()
        .trim_end_matches(" kB")
        .trim()
        .parse()
        .unwrap()
}

/// Ask for `_ping` so often; the times in order.
fn pings(host: &Host, count: usize) -> Vec<Duration> {
    let mut times: Vec<Duration> = (0..count)
        .map(|_| {
            let begin = Instant::now();
            assert_eq!(host.http("GET", "/_ping", "").status, 200);
            begin.elapsed()
        })
        .collect();
    times.sort();
    times
}

#[test]
fn a_thousand_idle_connections_cost_little_and_delay_no_one() {
    let mut host = Host::without_engine("thousand-idle");
    host.copy_binary();
    host.start_engine();
    pings(&host, 20);
    let before = pss_kib(host.engine_pid());

    // Half of them have said nothing, half have been answered and are kept.
    let mut idle = many(&host, 500, b"");
    let kept = many(&host, 500, http::head("GET", "/_ping", "").as_bytes());
    idle.extend(kept.into_iter().map(|mut stream| {
        assert_eq!(http::read_reply(&mut stream, false).unwrap().status, 200);
        stream
    }));
    let times = pings(&host, 200);
    let grown = pss_kib(host.engine_pid()) - before;
    let threads = std::fs::read_dir(format!("/proc/{}/task", host.engine_pid()));
    let threads = threads.unwrap().count();
    println!(
        "1000 idle connections: {grown} KiB PSS, {threads} threads, p99 {:?}",
        times[197]
    );
    assert!(grown < 2048, "1000 idle connections take {grown} KiB");
    assert!(threads < 16, "{threads} threads");
    // On an idle machine it is below a millisecond; this one may be busy with other tests.
    assert!(times[197] < Duration::from_millis(250), "{:?}", times[197]);

    // Each of them still works.
    for stream in &mut idle {
        stream
            .write_all(http::head("GET", "/_ping", "").as_bytes())
            .unwrap();
        assert_eq!(http::read_reply(stream, false).unwrap().status, 200);
    }
}

#[test]
fn slow_heads_hold_no_thread_and_are_told_to_hurry() {
    let host = Host::new("slow-heads");
    let begin = Instant::now();
    let mut slow = many(&host, 800, b"GET /_ping HTTP/1.1\r\nHos");
    for stream in &mut slow {
        stream.write_all(b"t: x\r\nX: ").unwrap();
    }
    let times = pings(&host, 100);
    assert!(times[98] < Duration::from_millis(250), "{:?}", times[98]);

    let mut answer = String::new();
    slow[0].read_to_string(&mut answer).unwrap();
    assert!(
        answer.starts_with("HTTP/1.1 408 Request Timeout\r\n"),
        "{answer}"
    );
    assert!(answer.contains("\r\nConnection: close\r\n"), "{answer}");
    assert!(
        begin.elapsed() >= Duration::from_secs(9),
        "{:?}",
        begin.elapsed()
    );
}

#[test]
fn requests_on_one_connection_are_answered_in_their_order() {
    let host = Host::new("pipelining");
    let body = r#"{"Image":"nosuch"}"#;
    let length = body.len();
    let create = http::head(
        "POST",
        "/containers/create",
        &format!("Content-Type: application/json\r\nContent-Length: {length}\r\n"),
    );
    let ping = http::head("GET", "/_ping", "");
    let missing = http::head("GET", "/nowhere", "");
    let mut stream = http::connect(&host.socket()).unwrap();
    for _ in 0..3 {
        let all = format!("{ping}{create}{body}{missing}{ping}");
        // In pieces that end anywhere.
        for piece in all.as_bytes().chunks(37) {
            stream.write_all(piece).unwrap();
        }
        let statuses = [(); 4].map(|()| http::read_reply(&mut stream, false).unwrap().status);
        assert_eq!(statuses, [200, 404, 404, 200]);
    }
}

#[test]
fn an_engine_with_64_descriptors_still_lists_and_stops() {
    let host = with_limit("few-descriptors", "-n 64");
    host.import(IMAGE, &crate::harness::rootfs::busybox());
    host.ok(&["run", "-d", "--name", "web", IMAGE, "sleep", "1000"]);
    let idle = many(&host, 200, b"");
    let slow = many(&host, 200, b"GET /");
    assert!(host.ok(&["ps"]).contains("web"));
    assert_eq!(host.ok(&["stop", "-t", "0", "web"]), "web");
    drop((idle, slow));

    // Those who wait leave threads to those who act.
    host.ok(&["start", "web"]);
    let wait = http::head("POST", "/containers/web/wait", "Content-Length: 0\r\n");
    let waiting = many(&host, 6, wait.as_bytes());
    eventually("the next one is refused", || {
        let reply = host.http("POST", "/containers/nosuch/wait", "");
        reply.status == 503 && reply.error().1.contains("try again")
    });
    assert_eq!(host.ok(&["kill", "web"]), "web");
    for mut stream in waiting {
        let reply = http::read_reply(&mut stream, false).unwrap();
        assert_eq!(reply.body.trim_end(), r#"{"StatusCode":137}"#);
    }
}

#[test]
fn containers_get_the_limit_that_the_engine_began_with() {
    let host = with_limit("descriptors", "-Sn 1000");
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", host.engine_pid())).unwrap();
    let line = limits
        .lines()
        .find(|line| line.starts_with("Max open files"))
        .unwrap();
    let words: Vec<&str> = line.split_whitespace().collect();
    assert_eq!(
        words[3], words[4],
        "the engine itself takes what it may: {line}"
    );
    host.import(IMAGE, &crate::harness::rootfs::busybox());
    let seen = host.ok(&["run", "--rm", IMAGE, "sh", "-c", "ulimit -Sn; ulimit -Hn"]);
    assert_eq!(seen, format!("1000\n{}", words[4]));
}
