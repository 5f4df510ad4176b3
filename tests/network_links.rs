//! The links of containers whose engine lives on a machine of the test's own.

use crate::harness::command::Output;
use crate::harness::net::{Lan, Machine};
use crate::harness::{Host, IMAGE, eventually, rootfs, send_signal, skip};

/// What a container says of its own addresses, links and routes.
const SHOW: &str = "ip -4 -o addr show | grep -v ' lo '; cat /sys/class/net/eth0/address; ip route";

#[test]
fn a_container_of_the_default_bridge_has_an_address_and_a_way_out() {
    let host = Host::in_network("links-default");
    let machine = host.network();
    assert_eq!(machine.links(), ["lo"], "a bridge before it is needed");
    let said = host.ok(&["run", "--rm", "test", "sh", "-c", SHOW]);
    for wanted in [
        "inet 172.17.0.2/16 brd 172.17.255.255 scope global eth0",
        "02:42:ac:11:00:02",
        "default via 172.17.0.1 dev eth0",
    ] {
        assert!(said.contains(wanted), "{wanted}: {said}");
    }
    eventually("the container's end has gone", || {
        machine.links() == ["lo", "tug0"]
    });
    // The neighbours that are there: the host, and who is in the same bridge.
    let id = host.ok(&["run", "-d", "--name", "one", "test", "sleep", "1000"]);
    let address = host.inspect(&id, "NetworkSettings.Networks.bridge.IPAddress");
    let address = address.trim_matches('"');
    assert!(machine.reaches(address));
    host.ok(&["run", "--rm", "test", "ping", "-c", "1", address]);
    host.ok(&["exec", "one", "ping", "-c", "1", "172.17.0.1"]);
}

#[test]
fn each_run_has_the_same_address_in_a_clean_namespace() {
    let host = Host::in_network("links-runs");
    let script = format!(
        "{SHOW}; ip link show spoiled 2>/dev/null && echo found it; \
        ip link add spoiled type bridge; ip addr add 203.0.113.9/32 dev eth0; sleep 1; exit 3"
    );
    host.ok(&[
        "run",
        "-d",
        "--name",
        "spoiler",
        "--cap-add",
        "NET_ADMIN",
        "--restart",
        "on-failure:2",
        "test",
        "sh",
        "-c",
        &script,
    ]);
    host.until_state("spoiler", "exited");
    let said = host.ok(&["logs", "spoiler"]);
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines.len() % 3, 0, "{said}");
    let (first, others) = lines.split_at(lines.len() / 3);
    assert!(first[0].contains("172.17.0.2/16"), "{said}");
    let bare = |lines: &[&str]| -> Vec<String> {
        lines
            .iter()
            .map(|line| line.split("eth0").last().unwrap_or(line).to_string())
            .collect()
    };
    for run in others.chunks(first.len()) {
        assert_eq!(bare(run), bare(first));
    }
}

#[test]
fn a_lost_shim_leaves_no_link() {
    let mut host = Host::in_network("links-lost");
    host.ok(&[
        "run",
        "-d",
        "--name",
        "lost",
        "--restart",
        "no",
        "test",
        "sleep",
        "1000",
    ]);
    host.ok(&[
        "run",
        "-d",
        "--name",
        "kept",
        "--restart",
        "always",
        "test",
        "sleep",
        "1000",
    ]);
    assert_eq!(host.network().ends().len(), 2);
    send_signal(host.shim_pid("lost"), "KILL");
    host.until_state("lost", "exited");
    eventually("its link has gone", || host.network().ends().len() == 1);

    // With the engine away as well, the next one clears up, and brings back what is to run.
    let shim = host.shim_pid("kept");
    host.kill_engine();
    send_signal(shim, "KILL");
    host.start_engine();
    host.until_state("kept", "running");
    eventually("one link is there", || host.network().ends().len() == 1);
    host.ok(&["exec", "kept", "ping", "-c", "1", "172.17.0.1"]);
}

#[test]
fn networks_are_joined_and_left_while_a_container_runs() {
    let host = Host::in_network("links-connect");
    host.ok(&["network", "create", "--subnet", "10.9.0.0/24", "lab"]);
    host.ok(&["run", "-d", "--name", "one", "test", "sleep", "1000"]);
    let show = [
        "exec",
        "one",
        "sh",
        "-c",
        "ip -4 -o addr show | grep -o 'eth[0-9].*brd'; ip route | grep default",
    ];
    assert_eq!(
        host.ok(&show),
        "eth0    inet 172.17.0.2/16 brd\ndefault via 172.17.0.1 dev eth0 "
    );
    host.ok(&["network", "connect", "--ip", "10.9.0.77", "lab", "one"]);
    assert!(host.ok(&show).contains("eth1    inet 10.9.0.77/24 brd"));
    assert!(host.network().reaches("10.9.0.77"));
    host.ok(&["network", "disconnect", "bridge", "one"]);
    assert_eq!(
        host.ok(&show),
        "eth1    inet 10.9.0.77/24 brd\ndefault via 10.9.0.1 dev eth1 "
    );
    // What it is in now is what it is in after its next start.
    host.ok(&["restart", "-t", "0", "one"]);
    assert!(
        host.ok(&show)
            .contains("inet 10.9.0.77/24 brd\ndefault via 10.9.0.1")
    );
    host.ok(&["network", "disconnect", "lab", "one"]);
    assert_eq!(host.tug(&show).stdout, "");
    host.ok(&["rm", "-f", "one"]);
    host.ok(&["network", "rm", "lab"]);
    assert_eq!(host.network().links(), ["lo", "tug0"]);
}

/// A host with a link `lan0` in a LAN, and a neighbour whose `eth0` is there.
fn in_a_lan(name: &'static str) -> (Host, Lan, Machine) {
    let mut host = Host::without_engine(name);
    let (machine, lan) = (Machine::new(), Lan::new());
    lan.plug(&machine, "lan0", &["192.0.2.1/24"]);
    let neighbour = lan.neighbour(&["192.0.2.7/24"]);
    host.machine = Some(machine);
    host.start_engine();
    host.import(IMAGE, &rootfs::busybox());
    (host, lan, neighbour)
}

fn create_upon(host: &Host, driver: &str, parent: &str, subnet: &str) -> Output {
    let parent = format!("parent={parent}");
    let line = ["network", "create", "-d", driver, "--subnet", subnet, "-o"];
    host.tug(&[&line[..], &[&parent, "upon"]].concat())
}

#[test]
fn a_macvlan_network_makes_its_containers_hosts_of_the_lan() {
    let (host, _lan, neighbour) = in_a_lan("links-macvlan");
    assert_eq!(
        create_upon(&host, "macvlan", "lan0", "192.0.2.0/24").code,
        0
    );
    host.ok(&[
        "run",
        "-d",
        "--name",
        "one",
        "--network",
        "upon",
        "--ip",
        "192.0.2.9",
        "test",
        "sleep",
        "1000",
    ]);
    assert!(neighbour.reaches("192.0.2.9"));
    host.ok(&["network", "disconnect", "upon", "one"]);
    assert!(!neighbour.reaches("192.0.2.9"));
    host.ok(&["network", "connect", "--ip", "192.0.2.10", "upon", "one"]);
    assert!(neighbour.reaches("192.0.2.10"));
    host.ok(&["rm", "-f", "one"]);
    host.ok(&["network", "rm", "upon"]);
    // The parent was there before, and stays.
    assert_eq!(host.network().links(), ["lan0", "lo"]);

    for (driver, parent) in [("macvlan", "wlan9"), ("ipvlan", "wlan9.7")] {
        let refused = create_upon(&host, driver, parent, "203.0.113.0/24");
        let sentence = "link wlan9: No such device";
        assert!(refused.stderr.contains(sentence), "{refused:?}");
    }
    // One that leads nowhere, where the kernel has such links.
    let output = host.tug(&["network", "create", "-d", "macvlan", "--internal", "closed"]);
    match output.code {
        0 => drop(host.ok(&["network", "rm", "closed"])),
        _ => assert!(output.stderr.contains("CONFIG_DUMMY"), "{output:?}"),
    }
    let own = host.ok(&["network", "ls", "-q", "--filter", "type=custom"]);
    assert_eq!(own, "");
    assert_eq!(host.network().links(), ["lan0", "lo"]);
}

#[test]
fn a_vlan_that_a_network_stands_upon_is_made_and_goes_with_it() {
    let (host, _lan, neighbour) = in_a_lan("links-vlan");
    if !host.network().knows("vlan id 7") {
        let refused = create_upon(&host, "macvlan", "lan0.7", "198.51.100.0/24");
        assert!(refused.stderr.contains("CONFIG_VLAN_8021Q"), "{refused:?}");
        return skip("network_links", "the kernel has no VLANs");
    }
    neighbour.sh("ip link add link eth0 name eth0.7 up type vlan id 7; \
         ip addr add 198.51.100.1/24 dev eth0.7");
    let made = create_upon(&host, "macvlan", "lan0.7", "198.51.100.0/24");
    assert_eq!(made.code, 0, "{made:?}");
    assert_eq!(host.network().links(), ["lan0", "lan0.7", "lo"]);
    host.ok(&[
        "run",
        "-d",
        "--name",
        "one",
        "--network",
        "upon",
        "--ip",
        "198.51.100.9",
        "test",
        "sleep",
        "1000",
    ]);
    assert!(neighbour.reaches("198.51.100.9"));
    host.ok(&["rm", "-f", "one"]);
    host.ok(&["network", "rm", "upon"]);
    assert_eq!(host.network().links(), ["lan0", "lo"]);
}

#[test]
fn bridges_are_made_so_that_nobody_waits_and_keep_their_address() {
    let host = Host::in_network("links-bridge");
    host.ok(&[
        "network",
        "create",
        "--subnet",
        "10.9.0.0/24",
        "--ipv6",
        "--subnet",
        "fd00:9::/64",
        "-o",
        "com.docker.network.bridge.name=lab0",
        "-o",
        "com.docker.network.driver.mtu=1400",
        "lab",
    ]);
    let describe = "ip -d link show lab0; ip addr show lab0; cd /proc/sys/net; \
        cat ipv4/ip_forward ipv6/conf/lab0/disable_ipv6 ipv6/conf/lab0/accept_ra";
    let said = host.network().sh(describe);
    for wanted in [
        "mtu 1400",
        "forward_delay 0 ",
        "stp_state 0 ",
        "inet 10.9.0.1/24 brd 10.9.0.255",
        "inet6 fd00:9::1/64",
        "\n1\n0\n0\n",
    ] {
        assert!(said.contains(wanted), "{wanted}: {said}");
    }
    let mac = |said: &str| {
        said.split("link/ether ")
            .nth(1)
            .map(|rest| rest[..17].to_string())
    };
    assert!(mac(&said).unwrap().starts_with("02:42:"), "{said}");
    for _ in 0..2 {
        let inside = host.ok(&[
            "run",
            "--rm",
            "--network",
            "lab",
            "test",
            "sh",
            "-c",
            "cat /sys/class/net/eth0/mtu; ping -c 1 fd00:9::1 >/dev/null",
        ]);
        assert_eq!(inside, "1400");
        assert_eq!(mac(&host.network().sh(describe)), mac(&said));
    }
    // What somebody has changed is put right with the next start.
    host.network().sh("ip addr add 10.8.0.1/24 dev lab0; ip addr del 10.9.0.1/24 dev lab0; ip link set lab0 down mtu 1500");
    host.ok(&[
        "run",
        "--rm",
        "--network",
        "lab",
        "test",
        "ping",
        "-c",
        "1",
        "10.9.0.1",
    ]);
    let said = host.network().sh(describe);
    assert!(
        said.contains("mtu 1400") && !said.contains("10.8.0.1"),
        "{said}"
    );
    // A link of another kind is not taken for one.
    host.network()
        .sh("ip link add other0 type veth peer name other1");
    let refused = host.tug(&[
        "network",
        "create",
        "-o",
        "com.docker.network.bridge.name=other0",
        "bad",
    ]);
    assert_ne!(refused.code, 0);
    host.ok(&["network", "rm", "lab"]);
    assert_eq!(host.network().links(), ["lo", "other0", "other1"]);
}

#[test]
fn a_runtime_that_is_another_program_joins_the_namespace_too() {
    let mut host = Host::without_engine("links-foreign");
    host.machine = Some(Machine::new());
    // Ours, by its command line.
    let link = host.dir.join("tug-runtime");
    std::os::unix::fs::symlink(&host.binary, &link).unwrap();
    let path = link.display();
    host.write(
        "daemon.json",
        format!(r#"{{"runtimes":{{"other":{{"path":"{path}"}}}}}}"#),
    );
    host.start_engine();
    host.import(IMAGE, &rootfs::busybox());
    let other = ["run", "--rm", "--runtime", "other", "test"];
    let said = host.ok(&[&other[..], &["sh", "-c", SHOW]].concat());
    assert!(said.contains("inet 172.17.0.2/16"), "{said}");
    host.ok(&[&other[..], &["ping", "-c", "1", "172.17.0.1"]].concat());
}
