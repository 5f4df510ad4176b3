//! Containers find each other by name, and others through their name server.

use crate::harness::command::{Output, Running, run};
use crate::harness::net::{Lan, Machine};
use crate::harness::{Host, IMAGE, PATIENCE, eventually};
use std::fs::File;
use std::net::UdpSocket;
use std::os::fd::AsFd;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

/// A container that stays, in the network `lab` unless the options name others.
fn start(host: &Host, name: &str, options: &[&str]) -> String {
    let mut args = vec!["run", "-d", "--name", name];
    if !options.contains(&"--network") {
        args.extend(["--network", "lab"]);
    }
    args.extend(options);
    args.extend([IMAGE, "sleep", "10000"]);
    host.ok(&args)
}

fn address(host: &Host, container: &str, network: &str) -> String {
    let member = format!("NetworkSettings.Networks.{network}.IPAddress");
    host.inspect(container, &member).replace('"', "")
}

/// Ask the name server of a container, from within its network.
fn dig(host: &Host, container: &str, args: &[&str]) -> Output {
    let netns = format!("--net=/proc/{}/ns/net", host.pid(container));
    dig_in(&netns, args)
}

fn dig_in(netns: &str, args: &[&str]) -> Output {
    let mut command = Command::new("nsenter");
    let options = ["+time=5", "+tries=1", "@127.0.0.11"];
    command.args([netns, "dig"]).args(options).args(args);
    run(command, b"", PATIENCE)
}

/// The addresses that a name has, as they come.
fn found(host: &Host, container: &str, name: &str) -> Vec<String> {
    let output = dig(host, container, &["+short", name]);
    output.stdout.lines().map(str::to_string).collect()
}

/// `NOERROR`, `SERVFAIL`.
fn status(host: &Host, container: &str, args: &[&str]) -> String {
    let output = dig(host, container, args);
    let status = output.stdout.split("status: ").nth(1);
    let status = status.and_then(|rest| rest.split(',').next());
    status.unwrap_or_else(|| panic!("{output:?}")).to_string()
}

/// Do `work` in a network namespace, in a thread of its own.
fn inside<T: Send + 'static>(
    netns: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> thread::JoinHandle<T> {
    let netns = File::open(netns).unwrap();
    thread::spawn(move || {
        let kind = rustix::thread::LinkNameSpaceType::Network;
        rustix::thread::move_into_link_name_space(netns.as_fd(), Some(kind)).unwrap();
        work()
    })
}

/// A name server that says 198.51.100.7 to everything; how often it was asked.
fn name_server(machine: &Machine, address: &'static str) -> Arc<AtomicUsize> {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let (ready, is_ready) = mpsc::channel();
    inside(&machine.file(), move || {
        let socket = UdpSocket::bind((address, 53)).unwrap();
        // It ends some time after the test.
        let patience = Some(Duration::from_secs(60));
        socket.set_read_timeout(patience).unwrap();
        ready.send(()).unwrap();
        let mut buffer = [0; 512];
        while let Ok((length, client)) = socket.recv_from(&mut buffer) {
            count.fetch_add(1, Ordering::Relaxed);
            // The question alone, and one record.
            let mut end = 12;
            while buffer[end] != 0 {
                end += 1 + usize::from(buffer[end]);
            }
            end += 5;
            assert!(end <= length);
            let mut answer = buffer[..end].to_vec();
            answer[2] = 0x81;
            answer[3] = 0x80;
            answer[6..12].copy_from_slice(&[0, 1, 0, 0, 0, 0]);
            answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 9, 0, 4, 198, 51, 100, 7]);
            let _ = socket.send_to(&answer, client);
        }
    });
    is_ready.recv().unwrap();
    asked
}

#[test]
fn containers_of_a_network_find_each_other_with_an_engine_and_without() {
    let mut host = Host::in_network("dns-names");
    host.ok(&["network", "create", "lab"]);
    host.ok(&["network", "create", "far"]);
    let id = start(&host, "db", &["--network-alias", "store"]);
    start(&host, "db2", &["--network-alias", "store"]);
    start(&host, "other", &["--network", "far"]);
    start(&host, "web", &["--link", "db:linked"]);

    let (db, db2) = (address(&host, "db", "lab"), address(&host, "db2", "lab"));
    for name in ["db", "DB", "db.lab", "linked", &id[..12]] {
        assert_eq!(found(&host, "web", name), [db.as_str()], "{name}");
    }
    assert_eq!(found(&host, "db", "linked"), Vec::<String>::new());
    let whole = dig(&host, "web", &["+noall", "+answer", "db"]);
    let words: Vec<_> = whole.stdout.split_whitespace().collect();
    assert_eq!(words, ["db.", "600", "IN", "A", &db]);
    assert_eq!(
        dig(&host, "web", &["+short", "+tcp", "db"]).stdout.trim(),
        db
    );
    assert_eq!(
        dig(&host, "web", &["+short", "-x", &db]).stdout.trim(),
        "db.lab."
    );
    assert_eq!(status(&host, "web", &["db", "AAAA"]), "NOERROR");
    let firsts: Vec<_> = (0..6)
        .map(|_| found(&host, "web", "store")[0].clone())
        .collect();
    assert!(firsts.contains(&db) && firsts.contains(&db2), "{firsts:?}");
    // As programs in a container ask.
    let inside = host.ok(&[
        "exec",
        "web",
        "sh",
        "-c",
        "nslookup db; ping -c 1 -W 5 db.lab",
    ]);
    assert!(inside.contains(&format!("Address: {db}")), "{inside}");
    // What is in no network of ours is nobody: there is no way out to ask.
    for name in ["other", "other.far", "nobody.example"] {
        assert_eq!(status(&host, "web", &[name]), "SERVFAIL", "{name}");
    }

    host.ok(&["network", "connect", "--alias", "beside", "far", "web"]);
    let other = address(&host, "other", "far");
    assert_eq!(found(&host, "web", "other"), [other.as_str()]);
    let web = address(&host, "web", "far");
    assert_eq!(found(&host, "other", "beside"), [web.as_str()]);
    host.ok(&["network", "disconnect", "far", "web"]);
    assert_eq!(found(&host, "web", "other"), Vec::<String>::new());
    assert_eq!(found(&host, "other", "beside"), Vec::<String>::new());
    host.ok(&["rename", "db2", "spare"]);
    assert_eq!(found(&host, "web", "spare"), [db2.as_str()]);
    host.ok(&["restart", "-t", "0", "spare"]);
    let spare = address(&host, "spare", "lab");
    assert_eq!(found(&host, "web", "spare"), [spare.as_str()]);

    // Nobody but the shims is left, and one of them goes.
    let netns = format!("--net=/proc/{}/ns/net", host.pid("web"));
    let pid = host.pid("spare");
    host.kill_engine();
    let found = |name: &str| dig_in(&netns, &["+short", name]).stdout;
    assert_eq!(found("db").trim(), db);
    rustix::process::kill_process(
        rustix::process::Pid::from_raw(pid).unwrap(),
        rustix::process::Signal::KILL,
    )
    .unwrap();
    eventually("spare is not found any more", || found("spare").is_empty());
    assert_eq!(found("store").trim(), db);
    host.start_engine();
    assert_eq!(found("db").trim(), db);
}

#[test]
fn a_lost_shims_container_is_not_found() {
    let host = Host::in_network("dns-lost");
    host.ok(&["network", "create", "lab"]);
    start(&host, "db", &[]);
    start(&host, "web", &[]);
    assert_eq!(found(&host, "web", "db").len(), 1);
    let shim = rustix::process::Pid::from_raw(host.shim_pid("db")).unwrap();
    rustix::process::kill_process(shim, rustix::process::Signal::KILL).unwrap();
    eventually("db is not found any more", || {
        found(&host, "web", "db").is_empty()
    });
    host.until_state("db", "exited");
}

#[test]
fn others_are_asked_for_by_way_of_the_networks_and_from_internal_ones_nobody() {
    let lan = Lan::new();
    let host = Host::in_network("dns-others");
    lan.plug(host.network(), "eth0", &["192.0.2.1/24"]);
    let neighbour = lan.neighbour(&["192.0.2.53/24"]);
    // Whether its packets are masqueraded is another matter.
    neighbour.sh("ip route add default via 192.0.2.1");
    let asked = name_server(&neighbour, "192.0.2.53");
    host.ok(&["network", "create", "lab"]);
    host.ok(&["network", "create", "--internal", "closed"]);
    let dns = ["--dns", "192.0.2.53"];
    start(&host, "web", &dns);
    for name in ["example.org", "printer"] {
        assert_eq!(found(&host, "web", name), ["198.51.100.7"], "{name}");
    }
    assert_eq!(found(&host, "web", "web"), [address(&host, "web", "lab")]);
    assert_eq!(asked.load(Ordering::Relaxed), 2);
    // Names without a dot stay inside if they are to be completed.
    start(
        &host,
        "dots",
        &[&dns[..], &["--dns-option", "ndots:1"]].concat(),
    );
    assert_eq!(status(&host, "dots", &["printer"]), "NOERROR");
    assert_eq!(asked.load(Ordering::Relaxed), 2);

    // 2024-29018: what passes the uplink while a container of an internal network asks.
    start(
        &host,
        "inner",
        &[&dns[..], &["--network", "closed"]].concat(),
    );
    let capture = ["-n", "-l", "-U", "-i", "switch", "port", "53"];
    let mut capture = Running::start(lan.switch().command("tcpdump", &capture));
    thread::sleep(Duration::from_millis(500));
    assert_eq!(status(&host, "inner", &["example.org"]), "SERVFAIL");
    assert_eq!(status(&host, "inner", &["+tcp", "example.org"]), "SERVFAIL");
    assert_eq!(found(&host, "inner", "inner").len(), 1);
    assert_eq!(capture.stdout(), "");
    // It does see what passes.
    assert_eq!(found(&host, "web", "example.net").len(), 1);
    capture.until_stdout("a query", |out| out.contains("example.net"));
    let pid = rustix::process::Pid::from_raw(capture.pid()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    capture.wait(PATIENCE);
    assert_eq!(asked.load(Ordering::Relaxed), 3);
}

#[test]
fn a_container_may_have_a_name_server_of_its_own_and_the_shim_stays_small() {
    let host = Host::in_network("dns-own");
    host.ok(&["network", "create", "lab"]);
    // Where nobody listens: in the container itself.
    start(&host, "web", &["--dns", "0.0.0.0"]);
    let netns = format!("/proc/{}/ns/net", host.pid("web"));
    let bound = inside(&netns, || UdpSocket::bind("0.0.0.0:53").map(drop));
    bound.join().unwrap().unwrap();

    let shim = host.shim_pid("web");
    let ask = |count: u16| {
        let asking = inside(&netns, move || {
            let client = UdpSocket::bind("127.0.0.1:0").unwrap();
            client.connect("127.0.0.11:53").unwrap();
            let patience = Some(Duration::from_secs(10));
            client.set_read_timeout(patience).unwrap();
            let mut query = *b"\0\0\x01\0\0\x01\0\0\0\0\0\0\x03web\0\0\x01\0\x01";
            for n in 0..count {
                // Half of them are for others, whom nobody reaches.
                query[13] = if n % 2 == 0 { b'w' } else { b'x' };
                query[..2].copy_from_slice(&n.to_be_bytes());
                client.send(&query).unwrap();
                let mut answer = [0; 512];
                let length = client.recv(&mut answer).unwrap();
                assert_eq!(answer[..2], n.to_be_bytes());
                assert_eq!(length, if n % 2 == 0 { 37 } else { 21 });
            }
        });
        asking.join().unwrap();
        // It lets go of its buffers.
        thread::sleep(Duration::from_millis(2500));
    };
    ask(100);
    let before = private_kb(shim);
    ask(10_000);
    let after = private_kb(shim);
    assert!(after <= before + 20, "{before} kB, then {after} kB");
}

/// What the process has for itself alone.
fn private_kb(pid: i32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("Private_Dirty:"));
    let number = line.unwrap().trim().trim_end_matches(" kB");
    number.parse().unwrap()
}
