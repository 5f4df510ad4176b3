//! What a shim makes of a plan (network.json), in namespaces of the test's own and without an engine:
//! links, addresses, routes, settings, and nothing that stays.

use crate::harness::bundle::Bundle;
use crate::harness::net::{Lan, Machine};
use crate::harness::{eventually, json, rounds, send_signal, skip};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::process::{Child, Stdio};

/// A container of a hand-written plan.
struct Planned {
    bundle: Bundle,
    machine: Machine,
    shim: Option<Child>,
}

impl Planned {
    /// Nothing runs yet. The machine has a bridge `br0` with 10.1.0.1/16 and fd00:1::1/64, and a
    /// port that is always there.
    fn new(name: &'static str, script: &str) -> Planned {
        let bundle = Bundle::new(name);
        bundle.script(script);
        let caps = r#"["CAP_NET_ADMIN","CAP_NET_RAW","CAP_NET_BIND_SERVICE","CAP_KILL"]"#;
        for set in ["bounding", "effective", "permitted"] {
            bundle.set(&format!("process.capabilities.{set}"), caps);
        }
        bundle.set("root.path", &format!("\"{}/rootfs\"", bundle.dir));
        let machine = Machine::new();
        machine.sh(
            "ip link add br0 address 02:00:00:00:00:01 type bridge forward_delay 0; ip addr add 10.1.0.1/16 dev br0; \
             ip addr add fd00:1::1/64 dev br0 nodad; ip link set br0 up; \
             ip link add held0 master br0 type veth peer name held1; ip link set held0 up; ip link set held1 up",
        );
        let planned = Planned {
            bundle,
            machine,
            shim: None,
        };
        let (id, root) = (planned.id(), planned.dir("runtime-root"));
        planned.write(
            "shim.json",
            &format!(
                r#"{{"id":"{id}","runtime_root":"{root}","log_driver":"json-file","log":"{}"}}"#,
                planned.dir("log.json")
            ),
        );
        planned
    }

    fn id(&self) -> &str {
        &self.bundle.id
    }

    fn dir(&self, name: &str) -> String {
        self.bundle.host.dir.join(name).display().to_string()
    }

    fn write(&self, name: &str, text: &str) {
        self.bundle.host.write(name, text);
    }

    fn plan(&self, endpoints: &[String]) {
        let endpoints = endpoints.join(",");
        let plan = format!(r#"{{"id":"{}","endpoints":[{endpoints}]}}"#, self.id());
        self.write("network.json", &plan);
    }

    /// Let a shim make the container; its answer.
    fn create(&mut self) -> String {
        let notes = std::fs::File::create(self.dir("shim.log")).unwrap();
        let binary = self.bundle.host.binary.to_str().unwrap().to_string();
        let mut command = self.machine.command(&binary, &["shim", &self.dir("")]);
        let mut shim = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(notes)
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut stdout = BufReader::new(shim.stdout.take().unwrap());
        stdout.read_line(&mut line).unwrap();
        self.shim = Some(shim);
        line
    }

    fn call(&self, verb: &str) -> String {
        let mut socket = UnixStream::connect(self.dir("shim.sock")).unwrap();
        writeln!(socket, "{{\"verb\":\"{verb}\",\"signal\":9}}").unwrap();
        let mut line = String::new();
        BufReader::new(socket).read_line(&mut line).unwrap();
        line
    }

    #[track_caller]
    fn start(&mut self) {
        let created = self.create();
        assert!(!created.contains("message"), "{created}");
        let started = self.call("start");
        assert!(!started.contains("message"), "{started}");
    }

    /// The shim's end.
    fn wait(&mut self) {
        let mut shim = self.shim.take().unwrap();
        eventually("the shim ends", || shim.try_wait().unwrap().is_some());
        let notes = std::fs::read_to_string(self.dir("shim.log")).unwrap();
        assert_eq!(notes, "");
    }

    /// What the container has printed.
    fn said(&self) -> String {
        let log = std::fs::read_to_string(self.dir("log.json")).unwrap_or_default();
        log.lines()
            .map(|line| json::parse(line).string("log"))
            .collect()
    }

    /// Run it to its end; what it printed, without what numbers the links.
    fn says(&mut self) -> Vec<String> {
        self.start();
        self.wait();
        self.said()
            .lines()
            .map(|line| line.trim().to_string())
            .collect()
    }

    /// Run a script in the namespace of the running container.
    fn inside(&self, script: &str) -> String {
        let output = self.try_inside(script);
        assert_eq!(output.code, 0, "{output:?}");
        output.stdout
    }

    fn try_inside(&self, script: &str) -> crate::harness::command::Output {
        let pid = self.bundle.pid();
        self.machine.try_sh(&format!(
            "nsenter --net=/proc/{pid}/ns/net sh -ec '{script}'"
        ))
    }

    /// Everything is as it was before.
    fn until_clean(&self, before: &str) {
        eventually("nothing of the container's network is left", || {
            self.machine.picture() == before
        });
    }
}

impl Drop for Planned {
    fn drop(&mut self) {
        if let Some(mut shim) = self.shim.take() {
            let _ = shim.kill();
            let _ = shim.wait();
        }
    }
}

/// The place of a container in the bridge `br0`, with what else it is to have.
fn bridged(number: u8, more: &str) -> String {
    format!(
        r#"{{"network":"n{number}","network_name":"lab{number}","driver":"bridge","parent":"br0",
            "interface":"eth{number}","host_interface":"tug00000000000{number}"{more}}}"#
    )
}

const SHOW: &str =
    "ip addr show eth0 | sed 's/.*@if[0-9]*/eth0/; s/ valid_lft.*//'; ip route; ip -6 route";

#[test]
fn a_place_in_a_bridge_has_what_the_plan_says() {
    let mut planned = Planned::new("plan-bridge", SHOW);
    let before = planned.machine.picture();
    planned.plan(&[bridged(
        0,
        r#","mac":"02:42:0a:01:00:02","ipv4":"10.1.0.2/16","gateway4":"10.1.0.1","is_default":true,"mtu":1400"#,
    )]);
    let said = planned.says().join("\n");
    for wanted in [
        "mtu 1400",
        "link/ether 02:42:0a:01:00:02 ",
        "inet 10.1.0.2/16 brd 10.1.255.255 scope global eth0",
        "default via 10.1.0.1 dev eth0",
        "10.1.0.0/16 dev eth0",
    ] {
        assert!(said.contains(wanted), "{wanted}: {said}");
    }
    assert!(!said.contains("inet6"), "IPv6 is on: {said}");
    planned.until_clean(&before);
}

#[test]
fn ipv6_is_on_where_there_is_an_address_of_it() {
    let mut planned = Planned::new(
        "plan-ipv6",
        "ip -6 addr; ip -6 route; ping -c 1 -W 2 fd00:1::1 >/dev/null && echo reached; \
         cd /proc/sys/net/ipv6/conf; cat eth0/accept_ra eth1/disable_ipv6 default/disable_ipv6 lo/disable_ipv6",
    );
    planned.plan(&[
        bridged(0, r#","ipv4":"10.1.0.2/16","ipv6":"fd00:1::2/64","gateway6":"fd00:1::1","is_default":true"#),
        bridged(1, r#","ipv4":"10.1.0.3/16""#),
    ]);
    let said = planned.says();
    let text = said.join("\n");
    for wanted in [
        "inet6 ::1/128",
        "inet6 fd00:1::2/64",
        "default via fd00:1::1 dev eth0",
        "reached",
    ] {
        assert!(text.contains(wanted), "{wanted}: {text}");
    }
    assert!(!text.contains("tentative"), "{text}");
    assert_eq!(said[said.len() - 4..], ["0", "1", "1", "0"], "{text}");
}

#[test]
fn a_router_that_nobody_asked_for_gives_no_route() {
    // CVE-2020-10749: a neighbour that says it is a router.
    let mut planned = Planned::new("plan-rogue", "sleep 1000");
    planned.plan(&[
        bridged(
            0,
            r#","ipv4":"10.1.0.2/16","ipv6":"fd00:1::2/64","is_default":true"#,
        ),
        bridged(1, r#","ipv4":"10.1.0.3/16""#),
    ]);
    planned.start();
    let routes = planned.inside("ip -6 route; ip -6 addr | grep -v valid_lft");
    planned.write("rogue.py", ROGUE);
    let rogue = planned.dir("rogue.py");
    let output = planned.machine.try_sh(&format!("python3 {rogue} br0"));
    assert_eq!(
        (output.code, output.stdout.as_str()),
        (0, "sent\n"),
        "{output:?}"
    );
    let after = planned.inside("ip -6 route; ip -6 addr | grep -v valid_lft");
    assert_eq!(after, routes);
    assert!(!after.contains("2001:db8:bad"), "{after}");
    planned.call("kill");
    planned.wait();
}

/// Router advertisements of a default route and of a prefix for everybody, to all nodes.
const ROGUE: &str = r#"
import socket, struct, sys, time
link = socket.if_nametoindex(sys.argv[1])
s = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, link)
s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
prefix = struct.pack('!BBBBIII16s', 3, 4, 64, 0xc0, 3600, 3600, 0, socket.inet_pton(socket.AF_INET6, '2001:db8:bad::'))
packet = struct.pack('!BBHBBHII', 134, 0, 0, 64, 0, 1800, 0, 0) + prefix
for _ in range(5):
    s.sendto(packet, ('ff02::1', 0, 0, link))
    time.sleep(0.1)
print('sent')
"#;

#[test]
fn the_networks_of_a_running_container_change() {
    let mut planned = Planned::new("plan-change", "sleep 1000");
    let before = planned.machine.picture();
    let first = bridged(
        0,
        r#","ipv4":"10.1.0.2/16","gateway4":"10.1.0.1","is_default":true"#,
    );
    planned.plan(std::slice::from_ref(&first));
    planned.start();
    let list = "ip -o -4 addr show | sed \"s/ *brd.*//; s/.*: //\"; ip route show default";
    let one =
        "lo    inet 127.0.0.1/8 scope host lo\\       valid_lft forever preferred_lft forever";
    let told = |planned: &Planned| planned.inside(list).replace(one, "lo");
    assert_eq!(
        told(&planned),
        "lo\neth0    inet 10.1.0.2/16\ndefault via 10.1.0.1 dev eth0 \n"
    );

    // Another one, which takes the way out over.
    let second = r#","ipv4":"10.1.9.9/16","gateway4":"10.1.0.1","is_default":true,"mtu":1300"#;
    let aside = bridged(0, r#","ipv4":"10.1.0.2/16""#);
    planned.plan(&[aside, bridged(1, second)]);
    for _ in 0..2 {
        // Said twice it is the same.
        assert_eq!(planned.call("network"), "{}\n");
        assert_eq!(
            told(&planned),
            "lo\neth0    inet 10.1.0.2/16\neth1    inet 10.1.9.9/16\ndefault via 10.1.0.1 dev eth1 \n"
        );
    }
    assert!(planned.inside("ip link show eth1").contains("mtu 1300"));

    // One that cannot be joined: said, and nothing of it is left.
    let bad = bridged(2, r#","ipv4":"10.1.0.5/16""#).replace("\"br0\"", "\"no-bridge\"");
    planned.plan(&[bridged(1, second), bad]);
    let refused = planned.call("network");
    assert!(
        refused.contains("network lab2: link no-bridge: No such device"),
        "{refused}"
    );
    assert_eq!(planned.machine.ends(), ["tug000000000001"]);

    // None at all.
    planned.plan(&[]);
    assert_eq!(planned.call("network"), "{}\n");
    assert_eq!(told(&planned), "lo\n");
    assert_eq!(planned.machine.picture(), before);
    planned.call("kill");
    planned.wait();
}

#[test]
fn a_plan_that_cannot_be_made_leaves_nothing() {
    let mut planned = Planned::new("plan-fails", "sleep 1000");
    planned.machine.sh(
        "ip link add wlan0 type dummy 2>/dev/null || ip link add wlan0 type veth peer name wlan1",
    );
    let before = planned.machine.picture();
    let good = bridged(0, r#","ipv4":"10.1.0.2/16""#);
    let bad = |from: &str, to: &str| bridged(1, r#","ipv4":"10.1.0.3/16""#).replace(from, to);
    for (second, sentence) in [
        (
            bad("\"br0\"", "\"no-bridge\""),
            "network lab1: link no-bridge: No such device",
        ),
        (
            bad("\"br0\"", "\"wlan0\""),
            "network lab1: make veth link tug000000000001: ",
        ),
        (
            bad("\"eth1\"", "\"eth0\""),
            "network lab1: make veth link tug000000000001: ",
        ),
        (
            bad("\"eth1\"", "\"a/b\""),
            "network lab1: invalid interface name",
        ),
        (
            bad("10.1.0.3/16", "10.1.0.3/99"),
            "network lab1: invalid address",
        ),
        (
            bad("10.1.0.3/16", "240.0.0.256/9"),
            "network lab1: invalid address",
        ),
        (
            bad("\"bridge\"", "\"macvlan\",\"mode\":\"soup\""),
            "no macvlan links have the mode",
        ),
        (
            bad("}", r#","sysctls":{"net.ipv4.ip_forward":"1"}}"#),
            "invalid sysctl",
        ),
        (
            bad("}", r#","sysctls":{"net.ipv4.conf.IFNAME...":"1"}}"#),
            "invalid sysctl",
        ),
        (
            bad("}", r#","sysctls":{"net.ipv4.conf.IFNAME.soup":"1"}}"#),
            "eth1/soup",
        ),
        (
            bad("}", r#","gateway4":"192.0.2.1"}"#),
            "network lab1: default route: ",
        ),
    ] {
        planned.plan(&[good.clone(), second.clone()]);
        let answer = planned.create();
        assert!(answer.contains(sentence), "{second}: {answer}");
        let mut shim = planned.shim.take().unwrap();
        assert_eq!(shim.wait().unwrap().code(), Some(1), "{second}");
        planned.until_clean(&before);
    }
    std::fs::write(planned.dir("network.json"), "{\"endpoints\":7").unwrap();
    let answer = planned.create();
    assert!(answer.contains("network.json"), "{answer}");
    planned.shim.take().unwrap().wait().unwrap();
}

#[test]
fn settings_of_a_link_are_its_own() {
    let mut planned = Planned::new(
        "plan-sysctls",
        "cd /proc/sys/net/ipv4/conf; cat eth0/log_martians eth1/log_martians",
    );
    let sysctls = r#","sysctls":{"net.ipv4.conf.IFNAME.log_martians":"1"}"#;
    planned.plan(&[
        bridged(0, r#","ipv4":"10.1.0.2/16""#),
        bridged(1, &format!(r#","ipv4":"10.1.0.3/16"{sysctls}"#)),
    ]);
    assert_eq!(planned.says(), ["0", "1"]);
}

#[test]
fn isolated_places_of_a_bridge_do_not_see_each_other() {
    let mut planned = Planned::new("plan-isolated", "sleep 1000");
    planned.plan(&[bridged(0, r#","ipv4":"10.1.0.2/16","is_isolated":true"#)]);
    planned.start();
    // Two others: one isolated as well, and one that is not.
    planned.machine.sh(
        "for n in 1 2; do unshare --net sleep 1000 & p=$!; sleep 0.2; \
           ip link add other$n master br0 type veth peer name eth0 netns $p; ip link set other$n up; \
           nsenter --net=/proc/$p/ns/net sh -ec \"ip addr add 10.1.1.$n/16 dev eth0; ip link set eth0 up\"; \
         done >/dev/null 2>&1; ip link set other1 type bridge_slave isolated on",
    );
    let reaches = |address: &str| {
        planned
            .try_inside(&format!("ping -c 2 -i 0.2 -W 1 {address} >&2"))
            .code
            == 0
    };
    assert!(reaches("10.1.0.1") && reaches("10.1.1.2"));
    assert!(!reaches("10.1.1.1"));
    planned.call("kill");
    planned.wait();
}

/// A LAN with the test's machine, whose link is `lan`, and a neighbour 192.0.2.7.
fn in_a_lan(planned: &Planned) -> (Lan, Machine) {
    let lan = Lan::new();
    lan.plug(&planned.machine, "lan", &["192.0.2.1/24"]);
    let neighbour = lan.neighbour(&["192.0.2.7/24", "2001:db8::7/64"]);
    (lan, neighbour)
}

fn upon(driver: &str, mode: &str, more: &str) -> String {
    format!(
        r#"{{"network":"n0","network_name":"lab","driver":"{driver}","parent":"lan","mode":"{mode}","interface":"eth0"{more}}}"#
    )
}

#[test]
fn macvlan_and_ipvlan_places_are_hosts_of_the_lan() {
    for (driver, mode) in [
        ("macvlan", "bridge"),
        ("macvlan", "private"),
        ("macvlan", "vepa"),
        ("macvlan", "passthru"),
        ("ipvlan", "l2"),
        ("ipvlan", "l2:private"),
        ("ipvlan", "l3s"),
        ("ipvlan", "l3"),
    ] {
        let mut planned = Planned::new("plan-upon", "sleep 1000");
        if driver == "ipvlan" && !planned.machine.knows("ipvlan") {
            skip("network_plan", "the kernel has no ipvlan");
            return;
        }
        let (_lan, neighbour) = in_a_lan(&planned);
        // The host has a link of the container's name, too.
        planned.machine.sh("ip link add eth0 type bridge");
        let before = planned.machine.picture();
        let six = if mode == "l3" || mode == "l3s" {
            ""
        } else {
            r#","ipv6":"2001:db8::9/64""#
        };
        let more = format!(r#","ipv4":"192.0.2.9/24","is_default":true,"mtu":1400{six}"#);
        planned.plan(&[upon(driver, mode, &more)]);
        planned.start();
        let link = planned.inside("ip -d link show eth0");
        let word = format!(
            "{driver} mode {}",
            mode.split(':').next().unwrap_or_default()
        );
        assert!(link.contains("mtu 1400") && link.contains(&word), "{link}");
        if mode.starts_with("l3") {
            // Nobody answers for it: its packets are routed.
            neighbour.sh("ip route add 192.0.2.9/32 dev eth0");
            let mac = planned
                .machine
                .sh("cat /proc/self/net/dev >/dev/null; ip -o link show lan");
            let mac = mac
                .split("link/ether ")
                .nth(1)
                .unwrap()
                .split(' ')
                .next()
                .unwrap()
                .to_string();
            neighbour.sh(&format!("ip neigh replace 192.0.2.9 lladdr {mac} dev eth0"));
        }
        assert!(neighbour.reaches("192.0.2.9"), "{driver} {mode}");
        assert!(
            six.is_empty() || neighbour.reaches("2001:db8::9"),
            "{driver} {mode}"
        );
        // Its own host is not reached over it.
        assert!(
            driver == "ipvlan" || !planned.machine.reaches("192.0.2.9"),
            "{driver} {mode}"
        );
        planned.call("kill");
        planned.wait();
        planned.until_clean(&before);
    }
}

#[test]
fn an_address_is_free_again_for_the_next_run() {
    // The kernel refuses an ipvlan address, and a macvlan's MAC, as long as somebody has it.
    for (driver, mac) in [("macvlan", r#","mac":"02:42:c0:00:02:09""#), ("ipvlan", "")] {
        let mut planned = Planned::new("plan-again", "sleep 1000");
        if !planned.machine.knows(driver) {
            skip("network_plan", "the kernel has no ipvlan");
            return;
        }
        let (_lan, neighbour) = in_a_lan(&planned);
        planned.plan(&[upon(driver, "", &format!(r#","ipv4":"192.0.2.9/24"{mac}"#))]);
        for _ in 0..3 {
            planned.start();
            assert!(neighbour.reaches("192.0.2.9"), "{driver}");
            planned.call("kill");
            planned.wait();
        }
        // Nor does it matter how a run has ended.
        planned.start();
        let pid = planned.shim.as_ref().unwrap().id().cast_signed();
        let first = planned.bundle.pid();
        send_signal(pid, "KILL");
        planned.shim.take().unwrap().wait().unwrap();
        send_signal(i32::try_from(first).unwrap(), "KILL");
        let _ = planned.bundle.runtime(&["delete", "--force", planned.id()]);
        std::fs::remove_file(planned.dir("shim.sock")).unwrap();
        planned.start();
        assert!(neighbour.reaches("192.0.2.9"), "{driver}");
        planned.call("kill");
        planned.wait();
    }
}

#[test]
fn neighbours_hear_of_an_address_that_has_moved() {
    let mut planned = Planned::new("plan-moved", "sleep 1000");
    let place = |mac: u8| {
        bridged(
            0,
            &format!(
                r#","ipv4":"10.1.0.2/16","ipv6":"fd00:1::2/64","mac":"02:42:00:00:00:{mac:02}""#
            ),
        )
    };
    let known = |planned: &Planned, address: &str| {
        planned
            .machine
            .sh(&format!("ip neigh show {address} dev br0"))
    };
    for mac in 1..4 {
        planned.plan(&[place(mac)]);
        planned.start();
        // Without a packet of ours to there, once somebody is known.
        let mac = format!("lladdr 02:42:00:00:00:{mac:02}");
        if mac.ends_with("01") {
            assert!(planned.machine.reaches("10.1.0.2") && planned.machine.reaches("fd00:1::2"));
        }
        for address in ["10.1.0.2", "fd00:1::2"] {
            eventually(&format!("{address} is {mac}"), || {
                known(&planned, address).contains(&mac)
            });
        }
        planned.call("kill");
        planned.wait();
    }
}

#[test]
fn a_thousand_places_come_and_go() {
    let mut planned = Planned::new("plan-thousand", "sleep 1000");
    let before = planned.machine.picture();
    planned.plan(&[]);
    planned.start();
    let namespaces = || {
        let table = std::fs::read_to_string("/proc/slabinfo").unwrap_or_default();
        let line = table
            .lines()
            .find_map(|line| line.strip_prefix("net_namespace "));
        line.and_then(|line| line.split_whitespace().next()?.parse::<i64>().ok())
    };
    let earlier = namespaces();
    let links = planned.machine.sh("ip -o link | tail -1 | cut -d: -f1");
    for _ in 0..rounds(150, 1000) {
        planned.plan(&[bridged(0, r#","ipv4":"10.1.0.2/16""#)]);
        assert_eq!(planned.call("network"), "{}\n");
        planned.plan(&[]);
        assert_eq!(planned.call("network"), "{}\n");
    }
    assert_eq!(planned.machine.picture(), before);
    assert_eq!(
        planned.machine.sh("ip -o link | tail -1 | cut -d: -f1"),
        links
    );
    planned.call("kill");
    planned.wait();
    // Others make and lose some at the same time.
    if let (Some(earlier), Some(now)) = (earlier, namespaces()) {
        assert!(
            now < earlier + 100,
            "{earlier} network namespaces have become {now}"
        );
    }
}
