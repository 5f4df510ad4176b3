//! Clients that read slowly, or not at all: they slow neither the container nor `kill` nor `rm`, and
//! who does read gets every byte.

use crate::harness::{Host, IMAGE, PATIENCE, eventually, http, send_signal};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

const MIB: u64 = 1 << 20;

/// Create a container that writes so many MiB, and touches a file when it has.
fn writer(host: &Host, name: &str, mib: u64) {
    let dir = host.make_dir("shared");
    let script = format!(
        "head -c {} /dev/zero | tr '\\0' x; : > /shared/{name}",
        mib * MIB
    );
    host.ok(&[
        "create",
        "--name",
        name,
        "-v",
        &format!("{dir}:/shared"),
        "--log-opt",
        "max-size=10m",
        "--log-opt",
        "max-file=2",
        IMAGE,
        "sh",
        "-c",
        &script,
    ]);
}

/// A connection that is joined to the container's streams.
fn attach(host: &Host, target: &str) -> UnixStream {
    let mut stream = http::connect(&host.socket()).unwrap();
    let headers = "Connection: Upgrade\r\nUpgrade: tcp\r\nContent-Length: 0\r\n";
    stream
        .write_all(http::head("POST", target, headers).as_bytes())
        .unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 101");
    stream
}

fn has_written(host: &Host, name: &str) -> bool {
    host.dir.join("shared").join(name).exists()
}

#[test]
fn a_client_that_never_reads_does_not_slow_the_container() {
    let host = Host::with_image("never-reads");
    let mut took = Vec::new();
    for name in ["alone", "first", "later"] {
        writer(&host, name, 80);
        let target = format!("/containers/{name}/attach?stream=1&stdout=1&stderr=1");
        // Joined before the start, it is where the output goes; joined later it looks on.
        let before = (name == "first").then(|| attach(&host, &target));
        let begin = Instant::now();
        host.ok(&["start", name]);
        let after = (name == "later").then(|| attach(&host, &target));
        eventually("it has written all", || has_written(&host, name));
        took.push(begin.elapsed());
        drop((before, after));
        eventually("it has ended", || {
            host.inspect(name, "State.Running") == "false"
        });
    }
    println!(
        "alone {:?}, first {:?}, later {:?}",
        took[0], took[1], took[2]
    );
    // At most a second for the one whose 64 MiB are full; the rest is what a loaded machine adds.
    let limit = took[0] * 3 + Duration::from_secs(4);
    assert!(took[1] < limit && took[2] < limit, "{took:?}");
}

#[test]
fn a_container_whose_client_never_reads_is_killed_and_removed_at_once() {
    let host = Host::with_image("never-reads-kill");
    host.ok(&["create", "--name", "web", IMAGE, "yes"]);
    let attached = attach(&host, "/containers/web/attach?stream=1&stdout=1");
    host.ok(&["start", "web"]);
    let logs = host.spawn(&["logs", "-f", "web"]);
    send_signal(logs.pid(), "STOP");
    let mut exec = host.spawn(&["exec", "web", "yes"]);
    send_signal(exec.pid(), "STOP");
    std::thread::sleep(Duration::from_millis(300));
    let begin = Instant::now();
    host.ok(&["kill", "web"]);
    host.ok(&["rm", "web"]);
    assert!(
        begin.elapsed() < Duration::from_secs(4),
        "{:?}",
        begin.elapsed()
    );
    send_signal(logs.pid(), "CONT");
    send_signal(exec.pid(), "CONT");
    // Its container is gone, and with it who could tell its code.
    assert_ne!(exec.wait(PATIENCE).code, 0);
    drop((attached, logs));
}

#[test]
fn a_client_that_reads_slowly_gets_every_byte() {
    let host = Host::with_image("reads-slowly");
    writer(&host, "web", 24);
    let mut stream = attach(&host, "/containers/web/attach?stream=1&stdout=1");
    host.ok(&["start", "web"]);
    // The container has ended long before its client has everything.
    eventually("it has written all", || has_written(&host, "web"));
    let mut rest = Vec::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        match stream.read(&mut buffer).unwrap() {
            0 => break,
            count => rest.extend_from_slice(&buffer[..count]),
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    // What is left of the answer's head comes first.
    let at = rest
        .windows(4)
        .position(|found| found == b"\r\n\r\n")
        .unwrap()
        + 4;
    let (stdout, stderr) = http::split_streams(&rest[at..]);
    assert_eq!((stdout.len() as u64, stderr.as_str()), (24 * MIB, ""));
    assert!(stdout.bytes().all(|byte| byte == b'x'));
    host.ok(&["rm", "-f", "web"]);
}
