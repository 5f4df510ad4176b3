//! Network devices of the host that a container takes.

use crate::harness::PATIENCE;
use crate::harness::bundle::Bundle;
use crate::harness::command::{Output, run};
use crate::harness::namespaces::{Holder, bundle, list};
use std::process::Command;

/// In a network namespace of the test's own: the links that it makes end with it.
fn in_network(bundle: &Bundle, setup: &str) -> Output {
    let line = format!("{setup}; exec \"$@\"");
    let mut command = Command::new("unshare");
    command.args(["--net", "sh", "-ec", &line, "sh"]);
    let runtime = bundle.command(&["run", &bundle.id]);
    command
        .arg(runtime.get_program())
        .args(runtime.get_args())
        .current_dir(&bundle.dir);
    run(command, b"", PATIENCE)
}

#[test]
fn network_devices_move_into_the_container() {
    let setup = "ip link add veth0 type veth peer name peer0; ip link add veth1 type veth peer name peer1; \
                 ip link set veth0 address 02:00:00:00:00:07 mtu 1400 up; ip addr add 10.9.8.7/24 dev veth0; \
                 ip addr add 10.9.8.8/24 dev veth0; ip addr add fd00:9::7/64 dev veth0 nodad; \
                 ip addr add 10.9.9.1/24 dev veth1 scope link; ip link set peer0 up";
    let script = "for n in /sys/class/net/*; do echo ${n##*/}; done; cat /sys/class/net/inside0/address /sys/class/net/inside0/mtu; \
                  ip addr show inside0 | grep -o 'inet6* [^ ]* .*scope global\\|[<,]UP[,>]'; \
                  ip addr show veth1 | grep -c 'inet '";
    let bundle = bundle("ns-devices", script, &["pid", "mount", "uts", "network"]);
    bundle.set(
        "linux.netDevices",
        r#"{"veth0":{"name":"inside%d"},"veth1":{}}"#,
    );
    let output = in_network(&bundle, setup);
    let said: Vec<&str> = output.stdout.lines().map(str::trim).collect();
    assert_eq!(output.stderr, "");
    assert_eq!(
        said[..5],
        ["inside0", "lo", "veth1", "02:00:00:00:00:07", "1400"],
        "{output:?}"
    );
    for wanted in [
        "inet 10.9.8.7/24",
        "inet 10.9.8.8/24",
        "inet6 fd00:9::7/64",
        ",UP,",
    ] {
        assert!(output.stdout.contains(wanted), "{wanted}: {output:?}");
    }
    assert_eq!(
        said.last(),
        Some(&"0"),
        "an address of link scope has come along"
    );
}

#[test]
fn network_devices_whose_name_is_taken_are_refused() {
    let setup = "ip link add veth0 type veth peer name peer0";
    let bundle = bundle("ns-taken", "true", &["pid", "mount", "uts", "network"]);
    bundle.set("linux.netDevices", r#"{"veth0":{"name":"lo"}}"#);
    let output = in_network(&bundle, setup);
    for words in ["network device \"veth0\": move: ", "File exists"] {
        assert!(output.stderr.contains(words), "{output:?}");
    }
    bundle.set(
        "linux.netDevices",
        r#"{"veth0":{"name":"same"},"peer0":{"name":"same"}}"#,
    );
    assert!(
        in_network(&bundle, setup)
            .stderr
            .contains("two network devices are to be called \"same\"")
    );
    // And into one that is joined.
    let holder = Holder::new(&["--net"]);
    let joined = format!("network={}", holder.file("--net"));
    bundle.script("ls /sys/class/net");
    bundle.set("linux.namespaces", &list(&["pid", "mount", "uts", &joined]));
    bundle.set("linux.netDevices", r#"{"veth0":{"name":"same"}}"#);
    assert_eq!(in_network(&bundle, setup), Output::new(0, "lo\nsame\n", ""));
}
