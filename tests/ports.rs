//! Published ports of containers: claimed by their shims, served by a proxy where no rule does.

use crate::harness::command::{Output, Running};
use crate::harness::net::Machine;
use crate::harness::{Host, IMAGE, eventually, is_running, rootfs, send_signal};
use std::process::{Command, Stdio};

/// Says back what it is told, on port 80.
const ECHO: [&str; 7] = ["nc", "-ll", "-p", "80", "-e", "cat", "-"];

impl Host {
    fn publish(&self, name: &str, options: &[&str]) {
        let mut line = vec!["run", "-d", "--name", name];
        line.extend(options);
        line.push(IMAGE);
        line.extend(&ECHO[..6]);
        self.ok(&line);
        // It listens on both families, or on one.
        eventually("the container listens", || {
            self.inside(name, "cat /proc/net/tcp*").contains(":0050 ")
        });
    }

    /// A script in a container's network.
    fn inside(&self, name: &str, script: &str) -> String {
        let net = format!("--net=/proc/{}/ns/net", self.pid(name));
        self.network()
            .sh(&format!("nsenter {net} sh -ec '{script}'"))
    }

    /// Say a word to a port of the host, from the host.
    fn says(&self, address: &str, word: &str) -> Output {
        self.network()
            .try_sh(&format!("echo {word} | socat -t 3 - {address}"))
    }

    #[track_caller]
    fn is_answered(&self, address: &str) {
        let output = self.says(address, "hello");
        assert_eq!(
            (output.code, output.stdout.as_str()),
            (0, "hello\n"),
            "{address}: {output:?}"
        );
    }

    /// The proxies of a shim.
    fn proxies(&self, shim: i32) -> Vec<i32> {
        let children = format!("/proc/{shim}/task/{shim}/children");
        let children = std::fs::read_to_string(children).unwrap_or_default();
        children
            .split_whitespace()
            .map(|pid| pid.parse().unwrap())
            .filter(|pid| {
                let comm = std::fs::read_to_string(format!("/proc/{pid}/comm"));
                comm.is_ok_and(|comm| comm == "tug-proxy\n")
            })
            .collect()
    }

    /// Something that answers datagrams to port 53 in a container's network.
    fn answers_datagrams(&self, name: &str) -> Running {
        let net = format!("--net=/proc/{}/ns/net", self.pid(name));
        let mut command = self.network().command(
            "nsenter",
            &[&net, "socat", "UDP4-RECVFROM:53,fork", "EXEC:cat"],
        );
        command.stdin(Stdio::null());
        let running = Running::start(command);
        eventually("it listens", || {
            self.inside(name, "cat /proc/net/udp").contains(":0035 ")
        });
        running
    }
}

#[test]
fn a_proxy_comes_when_it_is_needed_and_goes_with_its_container() {
    let host = Host::in_network("ports-proxy");
    let ports = ["-p", "127.0.0.1:8080-8084:80-84", "-p", "8090:80"];
    host.publish("web", &ports);
    let shim = host.shim_pid("web");
    assert_eq!(host.proxies(shim), [], "nobody has asked for it");

    host.is_answered("TCP4:127.0.0.1:8080");
    let proxies = host.proxies(shim);
    assert_eq!(proxies.len(), 1);
    host.is_answered("TCP4:127.0.0.1:8090");
    assert_eq!(host.proxies(shim), proxies, "one is enough for all ports");

    // It is no process of the container.
    let group = |pid: i32| std::fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    assert_eq!(group(proxies[0]), group(shim));
    assert_ne!(group(proxies[0]), group(host.pid("web")));
    let score = std::fs::read_to_string(format!("/proc/{}/oom_score_adj", proxies[0])).unwrap();
    assert_ne!(score, "-998\n");

    // If it dies there will be another.
    send_signal(proxies[0], "KILL");
    eventually("the dead one is gone", || host.proxies(shim).is_empty());
    host.is_answered("TCP4:127.0.0.1:8080");
    let proxies = host.proxies(shim);
    assert_eq!(proxies.len(), 1);

    host.ok(&["rm", "-f", "web"]);
    assert!(!is_running(proxies[0]));
    let refused = host.says("TCP4:127.0.0.1:8080", "hello");
    assert!(refused.stderr.contains("Connection refused"), "{refused:?}");
}

#[test]
fn ipv6_of_the_host_leads_to_a_container_that_has_none() {
    let host = Host::in_network("ports-ipv6");
    host.publish("web", &["-p", "8080:80"]);
    host.is_answered("TCP6:[::1]:8080");
    host.is_answered("TCP4:127.0.0.1:8080");
}

#[test]
fn a_port_in_use_fails_the_start_and_leaves_nothing() {
    let host = Host::in_network("ports-taken");
    // With it comes the bridge.
    host.ok(&["run", "--rm", IMAGE, "true"]);
    for (protocol, listen) in [("tcp", "TCP4-LISTEN:8080"), ("udp", "UDP4-RECV:8080")] {
        let mut command = host.network().command("socat", &["-u", listen, "-"]);
        command.stdin(Stdio::null());
        let holder = Running::start(command);
        let file = format!("/proc/net/{protocol}");
        eventually("the port is taken", || {
            host.network().sh(&format!("cat {file}")).contains(":1F90 ")
        });

        let before = host.network().picture();
        let published = format!("8080:80/{protocol}");
        let line = [
            "run", "-d", "--name", "web", "-p", "8070:70", "-p", &published, IMAGE, "true",
        ];
        let output = host.tug(&line);
        assert_eq!(output.code, 125, "{output:?}");
        let sentence =
            format!("failed to bind host port 0.0.0.0:8080/{protocol}: address already in use");
        assert!(output.stderr.contains(&sentence), "{output:?}");
        assert_eq!(host.inspect("web", "State.Status"), "\"created\"");
        assert_eq!(host.network().picture(), before);
        let free = host.says("TCP4:127.0.0.1:8070", "anybody?");
        assert!(free.stderr.contains("Connection refused"), "{free:?}");

        drop(holder);
        let id = host.ok(&["start", "web"]);
        assert_eq!(id, "web");
        host.ok(&["rm", "-f", "web"]);
    }
}

#[test]
fn ports_are_served_without_an_engine() {
    let mut host = Host::in_network("ports-no-engine");
    host.publish("web", &["-p", "127.0.0.1:8080:80"]);
    host.kill_engine();
    host.is_answered("TCP4:127.0.0.1:8080");
    host.start_engine();
    host.is_answered("TCP4:127.0.0.1:8080");
}

#[test]
fn a_restart_gets_the_same_port_at_once() {
    let host = Host::in_network("ports-restart");
    host.publish("web", &["-p", "127.0.0.1:8080:80"]);
    for _ in 0..3 {
        // The proxy closes first: its address rests in TIME_WAIT.
        host.is_answered("TCP4:127.0.0.1:8080");
        host.ok(&["restart", "-t", "0", "web"]);
        eventually("the container listens", || {
            host.says("TCP4:127.0.0.1:8080", "hello").stdout == "hello\n"
        });
    }
}

#[test]
fn datagrams_are_answered_before_and_after_a_restart() {
    let host = Host::in_network("ports-udp");
    host.publish("name", &["-p", "127.0.0.1:5353:53/udp", "-p", "80"]);
    let server = host.answers_datagrams("name");
    let client = "UDP4:127.0.0.1:5353,bind=127.0.0.1:4000";
    host.is_answered(client);
    drop(server);
    host.ok(&["restart", "-t", "0", "name"]);
    let _server = host.answers_datagrams("name");
    host.is_answered(client);
}

#[test]
fn a_port_stays_claimed_between_two_runs() {
    let host = Host::in_network("ports-policy");
    host.ok(&[
        "run",
        "-d",
        "--name",
        "web",
        "--restart",
        "always",
        "-p",
        "127.0.0.1:8080:80",
        IMAGE,
        "sh",
        "-c",
        "sleep 0.3; exit 1",
    ]);
    eventually("it restarts", || {
        host.inspect("web", "RestartCount").parse::<u32>().unwrap() >= 2
    });
    let taken = host
        .network()
        .try_sh("timeout 1 socat -u TCP4-LISTEN:8080,bind=127.0.0.1 -");
    assert!(taken.stderr.contains("Address already in use"), "{taken:?}");
    host.ok(&["rm", "-f", "web"]);
}

#[test]
fn a_thousand_ports_leave_their_container_its_limits() {
    let mut host = Host::without_engine("ports-many");
    host.machine = Some(Machine::new());
    // As low as it usually is.
    let line = host.engine_command();
    let mut engine = Command::new("sh");
    engine.args(["-c", "ulimit -Sn 1024 && exec \"$0\" \"$@\""]);
    engine.args(line);
    host.start_engine_as(engine);
    host.import(IMAGE, &rootfs::busybox());
    let script = "ulimit -n; exec nc -ll -p 1999 -e cat";
    for (name, ports) in [("few", "9999:1999"), ("many", "10000-10999:1000-1999")] {
        host.ok(&[
            "run", "-d", "--name", name, "-p", ports, IMAGE, "sh", "-c", script,
        ]);
    }
    eventually("both have spoken", || {
        ["few", "many"]
            .iter()
            .all(|name| host.ok(&["logs", name]) == "1024")
    });
    host.is_answered("TCP4:127.0.0.1:10999");
    assert_eq!(host.proxies(host.shim_pid("many")).len(), 1);
}
