//! Hosts of a LAN, containers, and the one that has our rules, each a network namespace.

use super::rules::{CONNTRACK, FIB, MASQUERADE, NAT};
use super::*;
use crate::net::namespace::{create, within};
use crate::net::plan::Port;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsRawFd, OwnedFd};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What does not come within this time, is dropped on its way; what is to come may take longer on a
/// machine that has much to do.
const PATIENCE: Duration = Duration::from_millis(400);
const MUCH_PATIENCE: Duration = Duration::from_secs(10);

fn run(line: &str) -> String {
    let words: Vec<&str> = line.split_whitespace().collect();
    let output = Command::new(words[0]).args(&words[1..]).output().unwrap();
    assert!(output.status.success(), "{line}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

struct Host(Arc<OwnedFd>);

impl Host {
    fn new() -> Host {
        let host = Host(Arc::new(create().unwrap()));
        host.within(|| crate::net::loopback_up().unwrap());
        host
    }

    fn within<T>(&self, work: impl FnOnce() -> T) -> T {
        within(&self.0, || Ok(work())).unwrap()
    }

    fn run(&self, lines: &[&str]) {
        self.within(|| lines.iter().for_each(|line| drop(run(line))));
    }

    fn set(&self, key: &str, value: &str) {
        let path = format!("/proc/sys/net/{key}");
        self.within(|| std::fs::write(&path, value).unwrap());
    }

    /// A cable: `here` of this one to `there` of the other.
    fn connect(&self, here: &str, other: &Host, there: &str) {
        let (pid, fd) = (std::process::id(), other.0.as_raw_fd());
        let line =
            format!("ip link add {here} type veth peer name {there} netns /proc/{pid}/fd/{fd}");
        self.run(&[&line, &format!("ip link set {here} up")]);
        other.run(&[&format!("ip link set {there} up")]);
    }

    fn has(&self, link: &str, addresses: &[&str]) {
        for address in addresses {
            let nodad = if address.contains(':') { " nodad" } else { "" };
            self.run(&[&format!("ip address add {address} dev {link}{nodad}")]);
        }
    }

    /// Tells whoever connects who this is, and whom it takes the client for.
    fn serve(&self, name: &'static str, address: &str) {
        let listener = self.within(|| TcpListener::bind(address).unwrap());
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let mut client = client.unwrap();
                let from = client.peer_addr().unwrap().ip().to_canonical();
                let _ = write!(client, "{name} to {from}");
            }
        });
    }

    /// What is said by who serves there; nothing where it cannot be reached.
    fn ask(&self, address: &str, patience: Duration) -> String {
        let address: SocketAddr = address.parse().unwrap();
        self.within(|| {
            let mut text = String::new();
            if let Ok(mut server) = TcpStream::connect_timeout(&address, patience) {
                server.set_read_timeout(Some(patience)).unwrap();
                let _ = server.read_to_string(&mut text);
            }
            text
        })
    }
}

/// `host` has three networks and stands between two LANs, with `neighbour` and `far` in them.
struct World {
    host: Host,
    neighbour: Host,
    far: Host,
    /// Two on `tug0`, one on `lab`, one on `inner`.
    one: Host,
    two: Host,
    lab: Host,
    inner: Host,
}

fn networks() -> Vec<Network> {
    let network = |link: &str| Network {
        link: link.to_string(),
        filters4: true,
        filters6: true,
        masquerade4: link == "tug0",
        masquerade6: link == "tug0",
        is_internal: link == "inner",
        is_isolated: link == "lab",
        proxies: true,
    };
    ["tug0", "lab", "inner"].map(network).to_vec()
}

fn port(protocol: &str, host: &str, number: u16, container: &str, inside: u16) -> Port {
    Port {
        protocol: Some(protocol.to_string()),
        host_ip: Some(host.to_string()),
        host_port: Some(number),
        container_port: Some(inside),
        count: Some(1),
        container_ip: Some(container.to_string()),
    }
}

fn plan(ports: Vec<Port>) -> Plan {
    Plan {
        id: Some("one".to_string()),
        ports: Some(ports),
        filters4: Some(true),
        filters6: Some(true),
        proxies: Some(true),
        ..Plan::default()
    }
}

/// Of `one`.
fn published() -> Plan {
    plan(vec![
        port("tcp", "0.0.0.0", 8080, "172.17.0.2", 80),
        port("tcp", "::", 8080, "fd17::2", 80),
        port("tcp", "10.0.0.1", 8081, "172.17.0.2", 80),
        port("tcp", "fd10::1", 8081, "fd17::2", 80),
        port("tcp", "127.0.0.1", 9090, "172.17.0.2", 80),
        port("udp", "127.0.0.1", 9091, "172.17.0.2", 80),
        port("udp", "0.0.0.0", 8080, "172.17.0.2", 80),
    ])
}

impl World {
    fn new(bridge_nf: &str) -> World {
        let [host, neighbour, far, one, two, lab, inner] = std::array::from_fn(|_| Host::new());
        host.set("ipv4/ip_forward", "1");
        host.set("ipv6/conf/all/forwarding", "1");
        let _ = host
            .within(|| std::fs::write("/proc/sys/net/bridge/bridge-nf-call-iptables", bridge_nf));
        let _ = host
            .within(|| std::fs::write("/proc/sys/net/bridge/bridge-nf-call-ip6tables", bridge_nf));
        host.connect("eth0", &neighbour, "eth0");
        host.connect("eth1", &far, "eth0");
        host.has("eth0", &["10.0.0.1/24", "fd10::1/64"]);
        host.has("eth1", &["10.1.0.1/24", "fd11::1/64"]);
        neighbour.has("eth0", &["10.0.0.2/24", "fd10::2/64"]);
        far.has("eth0", &["10.1.0.2/24", "fd11::2/64"]);
        let bridges = [("tug0", 17), ("lab", 18), ("inner", 19)];
        for (bridge, net) in bridges {
            host.run(&[
                &format!("ip link add {bridge} type bridge"),
                &format!("ip link set {bridge} up"),
            ]);
            host.has(
                bridge,
                &[&format!("172.{net}.0.1/16"), &format!("fd{net}::1/64")],
            );
        }
        let places = [
            (&one, "tug0", 17, 2),
            (&two, "tug0", 17, 3),
            (&lab, "lab", 18, 2),
            (&inner, "inner", 19, 2),
        ];
        for (container, bridge, net, number) in places {
            let link = format!("v{net}{number}");
            host.connect(&link, container, "eth0");
            host.run(&[&format!("ip link set {link} master {bridge}")]);
            container.has(
                "eth0",
                &[
                    &format!("172.{net}.0.{number}/16"),
                    &format!("fd{net}::{number}/64"),
                ],
            );
            // An internal network has no way out; who has made himself one must not get there, either.
            container.run(&[
                &format!("ip route add default via 172.{net}.0.1"),
                &format!("ip -6 route add default via fd{net}::1"),
            ]);
        }
        // The neighbours route everything to the host, even what is for their own loopback.
        for (other, net) in [(&neighbour, 0), (&far, 1)] {
            other.set("ipv4/conf/eth0/route_localnet", "1");
            other.run(&[
                &format!("ip route add default via 10.{net}.0.1"),
                &format!("ip -6 route add default via fd1{net}::1"),
            ]);
        }
        neighbour.run(&[
            "ip route del local 127.0.0.1 dev lo table local",
            "ip route del local 127.0.0.0/8 dev lo table local",
            "ip route add 127.0.0.0/8 via 10.0.0.1 src 10.0.0.2",
        ]);
        host.set("ipv4/conf/eth0/route_localnet", "1");

        one.serve("one", "[::]:80");
        two.serve("two", "[::]:80");
        lab.serve("lab", "[::]:80");
        inner.serve("inner", "[::]:80");
        neighbour.serve("neighbour", "[::]:80");
        far.serve("far", "[::]:8080");
        // In the place of tug proxy.
        host.serve("proxy", "127.0.0.1:9090");
        host.serve("proxy", "0.0.0.0:8080");
        World {
            host,
            neighbour,
            far,
            one,
            two,
            lab,
            inner,
        }
    }

    fn sync(&self, plans: &[Plan]) {
        self.host
            .within(|| sync(&mut || Ok((networks(), plans.to_vec()))).unwrap());
    }

    fn check(&self, wanted: &[(&Host, &str, &str)]) {
        std::thread::scope(|scope| {
            let asked: Vec<_> = wanted
                .iter()
                .map(|(host, address, answer)| {
                    (
                        scope.spawn(|| {
                            host.ask(
                                address,
                                if answer.is_empty() {
                                    PATIENCE
                                } else {
                                    MUCH_PATIENCE
                                },
                            )
                        }),
                        address,
                        answer,
                    )
                })
                .collect();
            for (n, (told, address, answer)) in asked.into_iter().enumerate() {
                assert_eq!(&told.join().unwrap(), answer, "{n}: {address}");
            }
        });
    }
}

const NOBODY: &str = "";

#[test]
fn who_reaches_whom() {
    let world = World::new("0");
    world.sync(&[published()]);
    let World {
        host,
        neighbour,
        far,
        one,
        two,
        lab,
        inner,
    } = &world;
    world.check(&[
        // Published ports, from everywhere.
        (neighbour, "10.0.0.1:8080", "one to 10.0.0.2"),
        (neighbour, "[fd10::1]:8080", "one to fd10::2"),
        (neighbour, "10.0.0.1:8081", "one to 10.0.0.2"),
        (neighbour, "[fd10::1]:8081", "one to fd10::2"),
        (far, "10.1.0.1:8080", "one to 10.1.0.2"),
        (far, "10.1.0.1:8081", NOBODY),
        (host, "10.0.0.1:8080", "one to 10.0.0.1"),
        (host, "[fd10::1]:8080", "one to fd10::1"),
        (two, "10.0.0.1:8080", "one to 172.17.0.1"),
        (two, "[fd10::1]:8080", "one to fd17::1"),
        (one, "10.0.0.1:8080", "one to 172.17.0.1"),
        (one, "172.17.0.1:8080", "one to 172.17.0.1"),
        (one, "[fd10::1]:8080", "one to fd17::1"),
        (lab, "10.0.0.1:8080", "one to 172.17.0.1"),
        (lab, "[fd10::1]:8080", "one to fd17::1"),
        // Those of the loopback are the proxy's, and nobody's else.
        (host, "127.0.0.1:9090", "proxy to 127.0.0.1"),
        (host, "127.0.0.1:8080", "proxy to 127.0.0.1"),
        (neighbour, "127.0.0.1:9090", NOBODY),
        (neighbour, "10.0.0.1:9090", NOBODY),
        // What passes through to the same port of somebody else stays what it is (CVE-2025-67499).
        (neighbour, "10.1.0.2:8080", "far to 10.0.0.2"),
        (neighbour, "[fd11::2]:8080", "far to fd10::2"),
        (one, "10.1.0.2:8080", "far to 10.1.0.1"),
        (one, "[fd11::2]:8080", "far to fd11::1"),
        // By their own addresses, published or not, containers are reached by their network and the host.
        (neighbour, "172.17.0.2:80", NOBODY),
        (neighbour, "172.17.0.3:80", NOBODY),
        (neighbour, "172.17.0.2:8080", NOBODY),
        (neighbour, "[fd17::2]:80", NOBODY),
        (neighbour, "172.19.0.2:80", NOBODY),
        (host, "172.17.0.3:80", "two to 172.17.0.1"),
        (host, "172.19.0.2:80", "inner to 172.19.0.1"),
        (two, "172.17.0.2:80", "one to 172.17.0.3"),
        (two, "[fd17::2]:80", "one to fd17::3"),
        (lab, "172.17.0.2:80", NOBODY),
        (lab, "[fd17::2]:80", NOBODY),
        (one, "172.18.0.2:80", NOBODY),
        // Nothing leaves or enters an internal network, not even through a published port.
        (inner, "172.17.0.2:80", NOBODY),
        (inner, "10.0.0.1:8080", NOBODY),
        (inner, "[fd10::1]:8080", NOBODY),
        (inner, "10.0.0.2:80", NOBODY),
        (one, "172.19.0.2:80", NOBODY),
        (one, "[fd19::2]:80", NOBODY),
        // With the host's address, or with their own.
        (one, "10.0.0.2:80", "neighbour to 10.0.0.1"),
        (one, "[fd10::2]:80", "neighbour to fd10::1"),
        (lab, "10.0.0.2:80", "neighbour to 172.18.0.2"),
    ]);

    // To the loopback by a forged route; what would be answered goes nowhere, so TCP says nothing.
    let on_loopback = host.within(|| UdpSocket::bind("127.0.0.1:9091").unwrap());
    on_loopback.set_read_timeout(Some(PATIENCE)).unwrap();
    let forge = || {
        let socket = neighbour.within(|| UdpSocket::bind("10.0.0.2:0").unwrap());
        socket.send_to(b"x", "127.0.0.1:9091").unwrap();
        on_loopback.recv(&mut [0; 1]).is_ok()
    };
    assert!(!forge());

    // The test's own eyes: without rules what they forbid is possible.
    host.run(&["nft delete table inet tug"]);
    assert!(forge());
    world.check(&[
        (neighbour, "172.17.0.2:80", "one to 10.0.0.2"),
        (lab, "172.17.0.2:80", "one to 172.18.0.2"),
        (neighbour, "10.0.0.1:8080", "proxy to 10.0.0.2"),
    ]);
}

#[test]
fn where_bridges_filter_their_own_containers_come_by_the_proxy() {
    let world = World::new("1");
    world.sync(&[published()]);
    let World {
        host,
        neighbour,
        one,
        two,
        lab,
        inner,
        ..
    } = &world;
    world.check(&[
        (neighbour, "10.0.0.1:8080", "one to 10.0.0.2"),
        (host, "10.0.0.1:8080", "one to 10.0.0.1"),
        (one, "10.0.0.1:8080", "proxy to 172.17.0.2"),
        (two, "10.0.0.1:8080", "proxy to 172.17.0.3"),
        (lab, "10.0.0.1:8080", "proxy to 172.18.0.2"),
        (two, "172.17.0.2:80", "one to 172.17.0.3"),
        (two, "[fd17::2]:80", "one to fd17::3"),
        (lab, "172.17.0.2:80", NOBODY),
        (inner, "10.0.0.1:8080", NOBODY),
        (neighbour, "172.17.0.2:80", NOBODY),
        (one, "10.0.0.2:80", "neighbour to 10.0.0.1"),
    ]);
}

#[test]
fn without_a_proxy_the_rules_serve_the_loopback() {
    let world = World::new("0");
    world.host.set("ipv4/conf/tug0/route_localnet", "1");
    let mut plan = published();
    plan.proxies = Some(false);
    world.sync(&[plan]);
    let World {
        host,
        neighbour,
        one,
        two,
        ..
    } = &world;
    two.set("ipv4/conf/eth0/route_localnet", "1");
    two.run(&[
        "ip route del local 127.0.0.1 dev lo table local",
        "ip route del local 127.0.0.0/8 dev lo table local",
        "ip route add 127.0.0.0/8 via 172.17.0.1 src 172.17.0.3",
    ]);
    host.serve("ssh", "127.0.0.1:22");
    world.check(&[
        (host, "127.0.0.1:8080", "one to 172.17.0.1"),
        (host, "127.0.0.1:9090", "one to 172.17.0.1"),
        (host, "10.0.0.1:8080", "one to 10.0.0.1"),
        (one, "10.0.0.1:8080", "one to 172.17.0.1"),
        (neighbour, "127.0.0.1:9090", NOBODY),
        (neighbour, "127.0.0.1:8080", NOBODY),
        // The bridge takes such addresses now; nobody on it may come to the host's loopback.
        (two, "127.0.0.1:9090", NOBODY),
        (two, "127.0.0.1:22", NOBODY),
        (host, "127.0.0.1:22", "ssh to 127.0.0.1"),
    ]);
}

#[test]
fn a_port_that_nobody_serves_is_told_both_ways() {
    let world = World::new("0");
    world.sync(&[published()]);
    let refused = |from: &Host, address: &str| {
        from.within(|| {
            let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
            socket.set_read_timeout(Some(PATIENCE)).unwrap();
            socket.connect(address).unwrap();
            socket.send(b"x").unwrap();
            let error = socket.recv(&mut [0; 1]).unwrap_err();
            assert_eq!(
                error.kind(),
                std::io::ErrorKind::ConnectionRefused,
                "{address}"
            );
        });
    };
    refused(&world.one, "10.0.0.2:99");
    refused(&world.neighbour, "10.0.0.1:8080");
}

#[test]
fn datagrams_reach_the_container_that_has_come_and_none_that_has_gone() {
    let world = World::new("0");
    world.sync(&[]);
    let World {
        host,
        neighbour,
        one,
        two,
        ..
    } = &world;
    let server = |container: &Host, address: &str| {
        let socket = container.within(|| UdpSocket::bind(address).unwrap());
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket
    };
    let got = |server: &UdpSocket| server.recv(&mut [0; 8]).is_ok();
    let client = neighbour.within(|| UdpSocket::bind("0.0.0.0:0").unwrap());
    let send = || client.send_to(b"hello", "10.0.0.1:5353").unwrap();
    let on_host = server(host, "0.0.0.0:5353");
    let of_one = server(one, "0.0.0.0:53");
    let of_two = server(two, "0.0.0.0:53");
    send();
    assert!(got(&on_host));

    let for_one = plan(vec![port("udp", "0.0.0.0", 5353, "172.17.0.2", 53)]);
    let for_two = plan(vec![port("udp", "0.0.0.0", 5353, "172.17.0.3", 53)]);
    let published = host.within(|| publish(&for_one).unwrap());
    assert_eq!(
        published,
        Published {
            ipv4: true,
            ipv6: true
        }
    );
    send();
    assert!(got(&of_one));

    host.within(|| drop(withdraw(&for_one).unwrap()));
    host.within(|| forget(&for_one));
    assert_eq!(host.within(|| run("conntrack -L -p udp")), "");
    send();
    assert!(got(&on_host) && !got(&of_one));

    // A lost container's is replaced, and does not take the new one's away when it is swept.
    host.within(|| publish(&for_one).unwrap());
    host.within(|| publish(&for_two).unwrap());
    host.within(|| drop(withdraw(&for_one).unwrap()));
    send();
    assert!(got(&of_two));
    host.within(|| drop(withdraw(&for_two).unwrap()));
}

#[test]
fn a_flushed_table_is_restored_at_once() {
    let world = World::new("0");
    world.sync(&[published()]);
    let host = &world.host;
    let text = || host.within(|| run("nft -s list ruleset"));
    let before = text();
    let restored = |plan: Plan| sync(&mut || Ok((networks(), vec![plan.clone()])));
    host.within(|| watch(Box::new(move || restored(published()).unwrap())).unwrap());
    let longest = std::cell::Cell::new(Duration::ZERO);
    for line in [
        "nft flush ruleset",
        "nft delete table inet tug",
        "nft flush chain inet tug forward",
        "nft flush map inet tug anywhere4",
        "nft delete element inet tug bridges { ipv4 . tug0 }",
    ] {
        let begun = Instant::now();
        host.run(&[line]);
        while text() != before {
            assert!(begun.elapsed() < Duration::from_secs(1), "{line}");
        }
        longest.set(longest.get().max(begun.elapsed()));
        std::thread::sleep(Duration::from_millis(2200));
    }
    eprintln!("restored after {:?} at most", longest.get());

    // Who asks all the time gets across in that moment alone, and no further.
    let from = "172.17.0.2:80".parse::<SocketAddr>().unwrap();
    let crossed = world.lab.within(|| {
        host.run(&["nft flush ruleset"]);
        let deadline = Instant::now() + Duration::from_millis(300);
        let mut last = None;
        while Instant::now() < deadline {
            let socket = TcpStream::connect_timeout(&from, Duration::from_millis(3));
            if socket.is_ok() {
                last = Some(deadline - Instant::now());
            }
        }
        last
    });
    if let Some(left) = crossed {
        eprintln!("open for {:?}", Duration::from_millis(300) - left);
        assert!(left > Duration::from_millis(100));
    }
    // Others' tables are none of our business.
    host.run(&["nft add table ip others", "nft delete table ip others"]);
}

#[test]
fn a_thousand_times_in_and_out_leaves_nothing() {
    let world = World::new("0");
    world.sync(&[]);
    let host = &world.host;
    let text = || host.within(|| run("nft -a -s list ruleset"));
    let before = text();
    let one = plan(vec![port("tcp", "0.0.0.0", 8080, "172.17.0.2", 80)]);
    let mut many = one.clone();
    if let Some(ports) = &mut many.ports {
        ports[0].count = Some(1000);
    }
    let timed = |name: &str, work: &mut dyn FnMut()| {
        let begun = Instant::now();
        work();
        eprintln!("{name}: {:?}", begun.elapsed());
    };
    host.within(|| {
        let mut netlink = Netlink::open(NETLINK_NETFILTER).unwrap();
        let mut by = |name: &str, work: fn(&mut Netlink, &Plan), plan: &Plan, times: usize| {
            let begun = Instant::now();
            (0..times).for_each(|_| work(&mut netlink, plan));
            eprintln!("{name}: {:?}", begun.elapsed());
        };
        let publish_by = |netlink: &mut Netlink, plan: &Plan| {
            let is_there = Published {
                ipv4: true,
                ipv6: true,
            };
            assert_eq!(publish_by(netlink, plan), is_there);
        };
        let both = |netlink: &mut Netlink, plan: &Plan| {
            super::publish_by(netlink, plan);
            withdraw_by(netlink, plan);
        };
        by("1,000 cycles", both, &one, 1000);
        by("publish 1", publish_by, &one, 1);
        by("publish 1 again", publish_by, &one, 1);
        by("withdraw 1", withdraw_by, &one, 1);
        by("withdraw 1 again", withdraw_by, &one, 1);
        by("publish 1,000", publish_by, &many, 1);
        by("publish 1,000 again", publish_by, &many, 1);
        by("withdraw 1,000", withdraw_by, &many, 1);
        by("withdraw 1,000 again", withdraw_by, &many, 1);
        timed("publish 1, with its socket", &mut || {
            let _ = publish(&one).unwrap();
        });
        timed("withdraw 1, with its socket", &mut || {
            drop(withdraw(&one).unwrap())
        });
        timed("forget 1", &mut || forget(&one));
    });
    assert_eq!(text(), before);
    let networks: Vec<Network> = (0..100)
        .map(|n| Network {
            link: format!("br{n}"),
            ..networks()[0].clone()
        })
        .collect();
    host.within(|| {
        timed("100 networks and 1,000 ports", &mut || {
            sync(&mut || Ok((networks.clone(), vec![many.clone()]))).unwrap();
        });
        timed("nothing", &mut || {
            sync(&mut || Ok((Vec::new(), Vec::new()))).unwrap()
        });
    });
    assert_eq!(text(), "");
}

#[test]
fn without_filters_nothing_is_touched() {
    let host = Host::new();
    let networks = networks().into_iter().map(|network| Network {
        filters4: false,
        filters6: false,
        ..network
    });
    let networks: Vec<Network> = networks.collect();
    let mut plan = published();
    plan.filters4 = Some(false);
    plan.filters6 = None;
    host.within(|| {
        sync(&mut || Ok((networks.clone(), vec![plan.clone()]))).unwrap();
        assert_eq!(publish(&plan).unwrap(), Published::default());
        drop(withdraw(&plan).unwrap());
        assert_eq!(run("nft list ruleset"), "");
        // With a table of others, and for one family alone.
        run("nft add table inet tugs");
        let mut networks = networks.clone();
        networks[0].filters4 = true;
        plan.filters4 = Some(true);
        sync(&mut || Ok((networks.clone(), vec![plan.clone()]))).unwrap();
        let listed = run("nft list ruleset");
        assert!(
            listed.contains("ipv4 . \"tug0\"") && !listed.contains("ipv6 . \""),
            "{listed}"
        );
        assert!(!listed.contains("fd17::2"), "{listed}");
        let wanted = Published {
            ipv4: true,
            ipv6: false,
        };
        assert_eq!(publish(&plan).unwrap(), wanted);
    });
}

#[test]
fn each_part_that_a_kernel_may_lack_can_be_done_without() {
    let host = Host::new();
    host.within(|| {
        let mut netlink = Netlink::open(NETLINK_NETFILTER).unwrap();
        for family in [INET, IPV4, IPV6] {
            for can in 0..=ALL {
                let table = Table {
                    family,
                    name: "trial",
                };
                let mut messages = vec![table.create("")];
                rules::make(table, can, &mut messages);
                change(&mut netlink, None, messages).unwrap();
                let listed = run("nft list ruleset");
                let has = |word: &str| listed.contains(word);
                assert_eq!(has("fib daddr"), can & (FIB | NAT) == FIB | NAT, "{listed}");
                assert!(has("d masquerade") <= (can & MASQUERADE != 0), "{listed}");
                assert_eq!(
                    has("dnat ip "),
                    can & NAT != 0 && family != IPV6,
                    "{listed}"
                );
                assert_eq!(has("ct direction"), can & CONNTRACK != 0, "{listed}");
                change(&mut netlink, None, vec![table.delete()]).unwrap();
            }
        }
    });
    assert_eq!(Features::probe().warnings(), Vec::<String>::new());
}

#[test]
fn names_are_asked_at_the_ports_of_the_name_server() {
    Host::new().within(|| {
        let udp = UdpSocket::bind("127.0.0.11:0").unwrap();
        let tcp = TcpListener::bind("127.0.0.11:0").unwrap();
        let udp_port = udp.local_addr().unwrap().port();
        let tcp_port = tcp.local_addr().unwrap().port();
        redirect_names(1, 1).unwrap();
        redirect_names(udp_port, tcp_port).unwrap();

        let client = UdpSocket::bind("0.0.0.0:0").unwrap();
        client.connect("127.0.0.11:53").unwrap();
        client.send(b"question").unwrap();
        let mut buffer = [0; 16];
        let (_, from) = udp.recv_from(&mut buffer).unwrap();
        udp.send_to(b"answer", from).unwrap();
        let count = client.recv(&mut buffer).unwrap();
        assert_eq!(&buffer[..count], b"answer");

        // A server of the container's own has the port to itself, on other addresses and on all.
        let own = TcpListener::bind("0.0.0.0:53").unwrap();
        TcpStream::connect("127.0.0.11:53").unwrap();
        tcp.accept().unwrap();
        TcpStream::connect("127.0.0.1:53").unwrap();
        own.accept().unwrap();
        let listed = run("nft list ruleset");
        assert_eq!(listed.matches("dnat to 127.0.0.11:").count(), 2, "{listed}");
    });
}
