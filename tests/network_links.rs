//! The links of containers whose engine lives on a machine of the test's own.

use crate::harness::{Host, eventually, send_signal};

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
    assert_eq!(machine.links(), ["lo", "tug0"]);
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
