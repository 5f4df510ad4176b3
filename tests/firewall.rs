//! The packet filter as an engine and its shims use it, with a neighbour in the LAN. Who reaches whom
//! in detail: src/net/firewall/tests.rs.

use crate::harness::net::{Lan, Machine};
use crate::harness::{Host, IMAGE, eventually};
use std::process::Command;
use std::time::{Duration, Instant};

/// A machine with an engine, and its neighbour.
struct Place {
    host: Host,
    neighbour: Machine,
    _lan: Lan,
}

const SERVER: &str =
    "mkdir /www; hostname >/www/index.html; exec /bin/busybox httpd -f -p 80 -h /www";

impl Place {
    fn new(name: &'static str, options: &[&str]) -> Place {
        let mut host = Host::without_engine(name);
        let machine = Machine::new();
        let lan = Lan::new();
        lan.plug(&machine, "eth0", &["10.0.0.1/24"]);
        let neighbour = lan.neighbour(&["10.0.0.2/24"]);
        neighbour.sh("ip route add default via 10.0.0.1");
        host.machine = Some(machine);
        let line = host.engine_command();
        let mut command = Command::new(&line[0]);
        command.args(&line[1..]).args(options);
        host.start_engine_as(command);
        host.import(IMAGE, &crate::harness::rootfs::busybox());
        Place {
            host,
            neighbour,
            _lan: lan,
        }
    }

    /// A server of its own name.
    fn serve(&self, name: &str, options: &[&str]) {
        let mut line = vec!["run", "-d", "--name", name, "--hostname", name];
        line.extend(options);
        line.extend([IMAGE, "sh", "-c", SERVER]);
        self.host.ok(&line);
    }

    fn address(&self, container: &str) -> String {
        let format = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}";
        let found = self.host.ok(&["inspect", "-f", format, container]);
        found.trim().to_string()
    }

    fn rules(&self) -> String {
        self.host.network().sh("nft -s list ruleset")
    }
}

/// A shell's line that asks the server at `address`.
fn question(address: &str, seconds: u32) -> String {
    let (host, port) = address.split_once(':').unwrap();
    format!(
        "printf 'GET / HTTP/1.0\\r\\n\\r\\n' | /bin/busybox nc -w {seconds} {host} {port} | tail -n 1"
    )
}

/// Who answers there; nobody within the time.
fn ask(machine: &Machine, address: &str, seconds: u32) -> String {
    let output = machine.try_sh(&question(address, seconds));
    output.stdout.trim().to_string()
}

#[track_caller]
fn answers(machine: &Machine, address: &str, name: &str) {
    eventually(address, || ask(machine, address, 5) == name);
}

#[test]
fn published_ports_are_reached_from_the_lan_and_end_with_their_container() {
    let place = Place::new("firewall", &[]);
    let Place {
        host, neighbour, ..
    } = &place;
    host.ok(&["network", "create", "lab"]);
    place.serve("other", &["--network", "lab"]);
    place.serve("web", &["-p", "8080:80", "-p", "127.0.0.1:9090:80"]);
    assert!(place.rules().contains("tcp . 8080"), "{}", place.rules());
    let (web, other) = (place.address("web"), place.address("other"));

    answers(neighbour, "10.0.0.1:8080", "web");
    answers(host.network(), "10.0.0.1:8080", "web");
    answers(host.network(), "127.0.0.1:8080", "web");
    answers(host.network(), "127.0.0.1:9090", "web");
    for closed in [
        "10.0.0.1:9090",
        &format!("{web}:80"),
        &format!("{other}:80"),
    ] {
        assert_eq!(ask(neighbour, closed, 1), "", "{closed}");
    }
    let from_other = |address: &str| {
        let output = host.tug(&["exec", "other", "sh", "-c", &question(address, 2)]);
        output.stdout.trim().to_string()
    };
    assert_eq!(from_other("10.0.0.1:8080"), "web");
    assert_eq!(from_other(&format!("{web}:80")), "");

    // It is there in each of its runs, and while nobody but its shim looks after it.
    host.ok(&["restart", "-t", "0", "web"]);
    answers(neighbour, "10.0.0.1:8080", "web");

    let web = place.address("web");
    host.ok(&["stop", "-t", "0", "web"]);
    eventually("the ports' rules are gone", || {
        let rules = place.rules();
        !rules.contains("tcp . 8080") && !rules.contains("tcp . 9090")
    });
    let flows = host.network().sh("conntrack -L -p tcp 2>/dev/null");
    assert!(!flows.contains(&format!("src={web} ")), "{flows}");
    assert_eq!(ask(neighbour, "10.0.0.1:8080", 1), "");
}

#[test]
fn rules_that_somebody_flushes_are_back_at_once() {
    let place = Place::new("flush", &[]);
    let Place {
        host, neighbour, ..
    } = &place;
    place.serve("web", &["-p", "8080:80"]);
    answers(neighbour, "10.0.0.1:8080", "web");
    let before = place.rules();
    for line in ["nft flush ruleset", "nft delete table inet tug"] {
        host.network().sh(line);
        let flushed = Instant::now();
        eventually(line, || place.rules() == before);
        assert!(flushed.elapsed() < Duration::from_secs(1), "{line}");
        std::thread::sleep(Duration::from_millis(2500));
    }
    answers(neighbour, "10.0.0.1:8080", "web");
    assert!(host.engine_log().contains("restoring"));

    // What happened while there was no engine.
    let mut place = place;
    place.host.kill_engine();
    place.host.network().sh("nft flush ruleset");
    place.host.start_engine();
    eventually("rules after a start", || place.rules() == before);
    answers(&place.neighbour, "10.0.0.1:8080", "web");
}

#[test]
fn ports_of_a_lost_shim_are_withdrawn() {
    let place = Place::new("lost-port", &[]);
    let host = &place.host;
    place.serve("web", &["-p", "8080:80/tcp", "-p", "8080:80/udp"]);
    let web = place.address("web");
    assert!(place.rules().contains(&web));
    let shim = host.shim_pid("web");
    crate::harness::send_signal(shim, "KILL");
    host.until_state("web", "exited");
    eventually("its rules are gone", || !place.rules().contains(&web));
}

#[test]
fn without_rules_the_proxy_serves_what_is_published() {
    let place = Place::new("no-rules", &["--iptables=false", "--ip6tables=false"]);
    let Place {
        host, neighbour, ..
    } = &place;
    place.serve("web", &["-p", "8080:80"]);
    answers(neighbour, "10.0.0.1:8080", "web");
    answers(host.network(), "127.0.0.1:8080", "web");
    host.ok(&["rm", "-f", "web"]);
    assert_eq!(place.rules(), "");
}

#[test]
fn without_a_proxy_the_rules_serve_the_loopback() {
    let place = Place::new("no-proxy", &["--userland-proxy=false"]);
    let Place {
        host, neighbour, ..
    } = &place;
    place.serve("web", &["-p", "8080:80", "-p", "127.0.0.1:9090:80"]);
    answers(neighbour, "10.0.0.1:8080", "web");
    answers(host.network(), "127.0.0.1:8080", "web");
    answers(host.network(), "127.0.0.1:9090", "web");
    assert_eq!(ask(neighbour, "10.0.0.1:9090", 1), "");
}
