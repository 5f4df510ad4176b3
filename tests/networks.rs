//! Networks as the engine keeps them: what they are called, which addresses they give, who is in them.

use crate::harness::net::Machine;
use crate::harness::{Chance, Host, IMAGE, eventually, json, rootfs, rounds};
use miniserde::json::Value;
use std::collections::BTreeSet;

/// An engine with this configuration on a machine of its own.
fn configured(name: &'static str, config: &str) -> Host {
    let mut host = Host::without_engine(name);
    host.machine = Some(Machine::new());
    host.write("daemon.json", config);
    host.start_engine();
    host.import(IMAGE, &rootfs::busybox());
    host
}

fn create(host: &Host, body: &str) -> String {
    let reply = host.http("POST", "/networks/create", body);
    assert_eq!(reply.status, 201, "{body}: {}", reply.body);
    json::parse(&reply.body).string("Id")
}

fn sleeper(host: &Host, name: &str, options: &[&str]) -> String {
    let mut args = vec!["run", "-d", "--name", name];
    args.extend(options);
    args.extend([IMAGE, "sleep", "1000"]);
    host.ok(&args)
}

/// Every address of every container that runs; none is there twice.
fn addresses(host: &Host) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    for container in host.get("/containers/json").items() {
        let inspect = host.get(&format!("/containers/{}/json", container.string("Id")));
        let networks = inspect.text("NetworkSettings.Networks");
        let Value::Object(networks) = miniserde::json::from_str(&networks).unwrap() else {
            panic!("{networks}");
        };
        for name in networks.keys() {
            let part =
                |part: &str| inspect.string(&format!("NetworkSettings.Networks.{name}.{part}"));
            let (id, address) = (part("NetworkID"), part("IPAddress"));
            assert!(all.insert(format!("{id} {address}")), "{address} twice");
        }
    }
    all
}

fn address(host: &Host, container: &str, network: &str) -> String {
    let path = format!("NetworkSettings.Networks.{network}.IPAddress");
    host.get(&format!("/containers/{container}/json"))
        .string(&path)
}

fn exec(host: &Host, container: &str, script: &str) -> i32 {
    host.tug(&["exec", container, "sh", "-c", script]).code
}

#[test]
fn a_network_is_what_was_asked_for_and_what_was_chosen_for_it() {
    let host = Host::in_network("networks-shape");
    let before = host.network().picture();
    let id = create(
        &host,
        r#"{"Name":"lab","Labels":{"a":"b"},"Internal":true,"Options":{"com.docker.network.driver.mtu":"1400"},
            "IPAM":{"Config":[{"Subnet":"10.5.0.0/24","IPRange":"10.5.0.128/25","Gateway":"10.5.0.254","AuxiliaryAddresses":{"x":"10.5.0.129"}}]}}"#,
    );
    let lab = host.get("/networks/lab");
    assert_eq!(lab.string("Id"), id);
    for (member, value) in [
        ("Scope", "\"local\""),
        ("Driver", "\"bridge\""),
        ("EnableIPv4", "true"),
        ("EnableIPv6", "false"),
        (
            "IPAM",
            r#"{"Config":[{"AuxiliaryAddresses":{"x":"10.5.0.129"},"Gateway":"10.5.0.254","IPRange":"10.5.0.128/25","Subnet":"10.5.0.0/24"}],"Driver":"default","Options":null}"#,
        ),
        ("Internal", "true"),
        ("Attachable", "false"),
        ("Ingress", "false"),
        ("ConfigFrom", r#"{"Network":""}"#),
        ("ConfigOnly", "false"),
        ("Containers", "{}"),
        ("Options", r#"{"com.docker.network.driver.mtu":"1400"}"#),
        ("Labels", r#"{"a":"b"}"#),
    ] {
        assert_eq!(lab.text(member), value, "{member}");
    }
    let chosen = create(&host, r#"{"Name":"chosen","EnableIPv6":true}"#);
    let config = host.get(&format!("/networks/{}", &chosen[..12]));
    let config = json::parse(&config.text("IPAM.Config")).items();
    assert_eq!(
        config[0].text(""),
        r#"{"Gateway":"172.18.0.1","Subnet":"172.18.0.0/16"}"#
    );
    assert!(
        config[1].string("Subnet").starts_with("fd"),
        "{}",
        config[1].text("")
    );
    assert_eq!(config.len(), 2);

    let names = |filters: &str| {
        let list = host.get(&format!(
            "/networks?filters={}",
            filters.replace('"', "%22")
        ));
        let mut names: Vec<String> = list.items().iter().map(|n| n.string("Name")).collect();
        names.sort();
        names.join(" ")
    };
    for (filters, expected) in [
        ("{}", "bridge chosen host lab none"),
        (r#"{"type":["custom"]}"#, "chosen lab"),
        (r#"{"type":["builtin"]}"#, "bridge host none"),
        (r#"{"driver":["null"]}"#, "none"),
        (r#"{"label":["a=b"]}"#, "lab"),
        (r#"{"name":["^l"]}"#, "lab"),
        (r#"{"dangling":["true"]}"#, "chosen lab"),
        (r#"{"dangling":["false"]}"#, "bridge host none"),
        (r#"{"scope":["swarm"]}"#, ""),
    ] {
        assert_eq!(names(filters), expected, "{filters}");
    }

    let removed = host.http("POST", "/networks/prune", "");
    assert_eq!(removed.body, r#"{"NetworksDeleted":["lab","chosen"]}"#);
    assert_eq!(
        host.http("GET", "/networks/lab", "").error(),
        (404, "network lab not found".into())
    );
    assert_eq!(host.network().picture(), before);
}

#[test]
fn bad_networks_are_refused_in_dockers_words() {
    let host = Host::in_network("networks-bad");
    let before = host.network().picture();
    create(
        &host,
        r#"{"Name":"lab","IPAM":{"Config":[{"Subnet":"10.5.0.0/24"}]}}"#,
    );
    let ipam = |config: &str| format!(r#"{{"Name":"x","IPAM":{{"Config":[{config}]}}}}"#);
    let config = |text: &str| format!("invalid network config:\n{text}");
    for (body, status, message) in [
        (r#"{"Name":""}"#.to_string(), 400, "invalid name: name is empty".to_string()),
        (r#"{"Name":"lab"}"#.into(), 409, "network with name lab already exists".into()),
        (r#"{"Name":"host"}"#.into(), 403, "operation is not permitted on predefined host network".into()),
        (
            r#"{"Name":"x","Driver":"weave"}"#.into(),
            404,
            "could not find plugin weave in v1 plugin registry: plugin not found (there are bridge, ipvlan, macvlan)".into(),
        ),
        (r#"{"Name":"x","Driver":"host"}"#.into(), 403, "only one instance of \"host\" network is allowed".into()),
        (
            r#"{"Name":"x","EnableIPv4":false}"#.into(),
            400,
            "IPv4 or IPv6 must be enabled: a network without addresses cannot be made".into(),
        ),
        (
            ipam(r#"{"Subnet":"10.5.0.128/25"}"#),
            403,
            "invalid pool request: Pool overlaps with other one on this address space (10.5.0.128/25 is used by network lab)".into(),
        ),
        (
            ipam(r#"{"Subnet":"10.6.0.0/16"},{"Subnet":"10.6.1.0/24"}"#),
            403,
            "invalid pool request: Pool overlaps with other one on this address space (10.6.1.0/24 is asked for twice)".into(),
        ),
        (ipam(r#"{"Subnet":"10.6"}"#), 400, config("invalid subnet 10.6: invalid CIDR block notation")),
        (ipam(r#"{"Subnet":"10.6.0.1/16"}"#), 400, config("invalid subnet 10.6.0.1/16: it should be 10.6.0.0/16")),
        (
            ipam(r#"{"Subnet":"10.6.0.0/16","Gateway":"10.7.0.1"}"#),
            400,
            config("invalid gateway 10.7.0.1: parent subnet 10.6.0.0/16 doesn't contain this address"),
        ),
        (
            ipam(r#"{"Subnet":"10.6.0.0/16","Gateway":"x","IPRange":"10.0.0.0/8"}"#),
            400,
            config("* invalid ip-range 10.0.0.0/8: CIDR block is bigger than its parent subnet 10.6.0.0/16\n* invalid gateway x: invalid address"),
        ),
        (
            ipam(r#"{"Subnet":"10.6.0.0/16","AuxiliaryAddresses":{"a":"fd00::1"}}"#),
            400,
            config("invalid auxiliary address a: parent subnet is an IPv4 block"),
        ),
        (
            r#"{"Name":"x","Options":{"com.docker.network.bridge.name":"a-name-that-is-too-long"}}"#.into(),
            400,
            "invalid interface name \"a-name-that-is-too-long\": at most 15 bytes, no blanks, no '/' and no ':'".into(),
        ),
        (
            r#"{"Name":"x","Options":{"com.docker.network.driver.mtu":"big"}}"#.into(),
            400,
            "invalid value \"big\" of option com.docker.network.driver.mtu: it must be a number of bytes from 68 to 65535".into(),
        ),
        (
            r#"{"Name":"x","Options":{"com.docker.network.bridge.gateway_mode_ipv4":"routed"}}"#.into(),
            501,
            "gateway mode \"routed\" is not supported: there is nat".into(),
        ),
        (r#"{"Name":"x","ConfigFrom":{"Network":"lab"}}"#.into(), 400, "network lab is not a configuration-only network".into()),
        (r#"{"Name":7}"#.into(), 400, "request body: invalid JSON: Name cannot be this number".into()),
    ] {
        assert_eq!(host.http("POST", "/networks/create", &body).error(), (status, message), "{body}");
    }
    for (method, path, body, status, message) in [
        (
            "DELETE",
            "/networks/bridge",
            "",
            403,
            "bridge is a pre-defined network and cannot be removed",
        ),
        (
            "DELETE",
            "/networks/nowhere",
            "",
            404,
            "network nowhere not found",
        ),
        (
            "POST",
            "/networks/nowhere/connect",
            r#"{"Container":"x"}"#,
            404,
            "network nowhere not found",
        ),
        (
            "POST",
            "/networks/lab/connect",
            r#"{"Container":"nobody"}"#,
            404,
            "No such container: nobody",
        ),
    ] {
        assert_eq!(
            host.http(method, path, body).error(),
            (status, message.into()),
            "{path}"
        );
    }
    host.ok(&["network", "rm", "lab"]);

    create(
        &host,
        r#"{"Name":"lender","ConfigOnly":true,"IPAM":{"Config":[{"Subnet":"10.9.0.0/24"}]}}"#,
    );
    let output = host.tug(&["create", "--network", "lender", IMAGE, "true"]);
    let sentence = "cannot create endpoint on configuration-only network lender";
    output.assert_refused(1, sentence);
    create(&host, r#"{"Name":"x","ConfigFrom":{"Network":"lender"}}"#);
    let subnet = host.get("/networks/x").text("IPAM.Config");
    assert_eq!(subnet, r#"[{"Gateway":"10.9.0.1","Subnet":"10.9.0.0/24"}]"#);
    host.ok(&["network", "rm", "x", "lender"]);
    assert_eq!(host.network().picture(), before);
}

#[test]
fn the_pools_are_used_up_and_a_network_that_goes_gives_its_subnet_back() {
    let config = r#"{"default-address-pools":[{"base":"10.7.0.0/29","size":30}]}"#;
    let host = configured("networks-pools", config);
    // The other one is the default bridge's.
    create(&host, r#"{"Name":"one"}"#);
    let reply = host.http("POST", "/networks/create", r#"{"Name":"two"}"#);
    let used_up = "all predefined address pools have been fully subnetted";
    assert_eq!(reply.error(), (400, used_up.into()));
    sleeper(&host, "last", &["--network", "one"]);
    let output = host.tug(&["run", "--network", "one", IMAGE, "true"]);
    output.assert_refused(
        125,
        "no available IPv4 addresses on this network's address pools: one (",
    );
    host.ok(&["rm", "-f", "last"]);
    host.ok(&["run", "--rm", "--network", "one", IMAGE, "true"]);
    host.ok(&["network", "rm", "one"]);
    create(&host, r#"{"Name":"two"}"#);
}

#[test]
fn a_subnet_that_the_host_has_a_route_to_is_nobodys() {
    let mut host = Host::without_engine("networks-routes");
    let machine = Machine::new();
    machine.sh(
        "ip link add lan type veth peer name other; ip link set lan up; ip link set other up; \
                ip addr add 172.17.5.1/24 dev lan; ip route add 172.18.0.0/17 dev lan",
    );
    host.machine = Some(machine);
    host.start_engine();
    let subnet = |name: &str| host.get(&format!("/networks/{name}")).text("IPAM.Config");
    assert_eq!(
        subnet("bridge"),
        r#"[{"Gateway":"172.19.0.1","Subnet":"172.19.0.0/16"}]"#
    );
    create(&host, r#"{"Name":"lab"}"#);
    assert_eq!(
        subnet("lab"),
        r#"[{"Gateway":"172.20.0.1","Subnet":"172.20.0.0/16"}]"#
    );
    host.ok(&["network", "rm", "lab"]);
}

#[test]
fn the_default_bridge_is_as_the_options_say() {
    let config = r#"{"bip":"10.8.0.1/24","fixed-cidr":"10.8.0.64/26","mtu":1400,"default-gateway":"10.8.0.3",
        "ipv6":true,"fixed-cidr-v6":"fd08::/64","icc":false,"ip":"127.0.0.1"}"#;
    let host = configured("networks-options", config);
    assert_eq!(host.network().links(), ["lo"], "made when it is needed");
    let bridge = host.get("/networks/bridge");
    assert_eq!(
        bridge.text("IPAM.Config"),
        r#"[{"AuxiliaryAddresses":{"DefaultGatewayIPv4":"10.8.0.3"},"Gateway":"10.8.0.1","IPRange":"10.8.0.64/26","Subnet":"10.8.0.0/24"},{"Gateway":"fd08::1","Subnet":"fd08::/64"}]"#
    );
    sleeper(&host, "web", &["-p", "80"]);
    assert_eq!(address(&host, "web", "bridge"), "10.8.0.64");
    let routes = host.ok(&["exec", "web", "ip", "route"]);
    assert!(routes.contains("default via 10.8.0.3"), "{routes}");
    let links = host.ok(&["exec", "web", "ip", "addr"]);
    assert!(
        links.contains("mtu 1400") && links.contains("fd08::2/64"),
        "{links}"
    );
    let ports = host.ok(&["port", "web"]);
    assert!(ports.starts_with("80/tcp -> 127.0.0.1:"), "{ports}");
}

#[test]
fn a_bridge_that_is_there_stays_what_it_is() {
    let mut host = Host::without_engine("networks-found");
    let machine = Machine::new();
    machine.sh(
        "ip link add br0 type bridge; ip link set br0 up; ip addr add 192.0.2.1/24 dev br0; \
                ip link add br1 type bridge; ip addr add 198.51.100.1/24 dev br1",
    );
    host.machine = Some(machine);
    host.write("daemon.json", r#"{"bridge":"br0"}"#);
    host.start_engine();
    host.import(IMAGE, &rootfs::busybox());
    let before = host
        .network()
        .sh("ip -br addr show dev br0; ip -br addr show dev br1");
    sleeper(&host, "web", &[]);
    assert_eq!(address(&host, "web", "bridge"), "192.0.2.2");
    assert_eq!(exec(&host, "web", "ping -c 1 -W 2 192.0.2.1"), 0);
    create(
        &host,
        r#"{"Name":"lan","IPAM":{"Config":[{"Subnet":"198.51.100.0/24","Gateway":"198.51.100.9"}]},"Options":{"com.docker.network.bridge.name":"br1"}}"#,
    );
    host.ok(&["rm", "-f", "web"]);
    host.ok(&["network", "rm", "lan"]);
    eventually("the links are as before", || {
        let after = host
            .network()
            .sh("ip -br addr show dev br0; ip -br addr show dev br1");
        let words = |text: &str| {
            text.split_whitespace()
                .filter(|w| w.contains('.'))
                .map(String::from)
                .collect::<Vec<_>>()
        };
        words(&after) == words(&before)
    });
}

#[test]
fn containers_join_and_leave_while_they_run_and_reach_each_other_meanwhile() {
    let host = Host::in_network("networks-connect");
    create(
        &host,
        r#"{"Name":"lab","IPAM":{"Config":[{"Subnet":"10.5.0.0/24"}]}}"#,
    );
    create(&host, r#"{"Name":"other"}"#);
    let web = sleeper(
        &host,
        "web",
        &[
            "--network",
            "lab",
            "--ip",
            "10.5.0.77",
            "--mac-address",
            "02:00:00:00:00:07",
        ],
    );
    let client = sleeper(&host, "client", &[]);
    let ping = |target: &str| exec(&host, "client", &format!("ping -c 1 -W 1 {target}"));
    assert_ne!(ping("10.5.0.77"), 0, "bridges are apart");
    host.ok(&["network", "connect", "--alias", "c", "lab", "client"]);
    assert_eq!(ping("10.5.0.77"), 0);
    let members = host.get("/networks/lab").text("Containers");
    let members = json::parse(&members);
    assert_eq!(
        members.string(&format!("{web}.IPv4Address")),
        "10.5.0.77/24"
    );
    assert_eq!(
        members.string(&format!("{web}.MacAddress")),
        "02:00:00:00:00:07"
    );
    assert_eq!(
        members.string(&format!("{client}.IPv4Address")),
        "10.5.0.2/24"
    );
    assert_eq!(
        members.string(&format!("{client}.MacAddress")),
        "02:42:0a:05:00:02"
    );
    assert_eq!(
        host.inspect("client", "NetworkSettings.Networks.lab.DNSNames"),
        format!(r#"["client","c","{}"]"#, &client[..12])
    );

    let refused = |args: &[&str], sentence: &str| host.tug(args).assert_refused(1, sentence);
    refused(
        &["network", "connect", "lab", "client"],
        "endpoint with name client already exists in network lab",
    );
    refused(
        &["network", "disconnect", "other", "client"],
        &format!("container {client} is not connected to network other"),
    );
    refused(
        &["network", "connect", "host", "client"],
        "cannot connect container to host network - container must be created in host network mode",
    );
    refused(
        &["network", "connect", "none", "client"],
        "container cannot be connected to multiple networks with one of the networks in private (none) mode",
    );
    refused(
        &["network", "connect", "--ip", "10.5.0.77", "lab", "client"],
        "endpoint with name client already exists",
    );
    refused(
        &[
            "network",
            "connect",
            "--ip",
            "172.30.0.1",
            "other",
            "client",
        ],
        "user specified IP address is supported only when connecting to networks with user configured subnets",
    );
    refused(
        &["network", "rm", "lab"],
        "error while removing network: network lab has active endpoints (name:\"",
    );
    let taken = host.tug(&[
        "run",
        "--rm",
        "--network",
        "lab",
        "--ip",
        "10.5.0.77",
        IMAGE,
        "true",
    ]);
    taken.assert_refused(125, "Address already in use");
    let outside = host.tug(&[
        "run",
        "--rm",
        "--network",
        "lab",
        "--ip",
        "10.6.0.77",
        IMAGE,
        "true",
    ]);
    outside.assert_refused(
        125,
        "no configured subnet or ip-range contain the IP address 10.6.0.77",
    );

    // The first network by name has the way out, and when it is left the next one.
    let gateway = || {
        let routes = host.ok(&["exec", "client", "ip", "route"]);
        routes
            .split_whitespace()
            .nth(2)
            .unwrap_or_default()
            .to_string()
    };
    assert_eq!(gateway(), "172.17.0.1");
    host.ok(&["network", "disconnect", "bridge", "client"]);
    assert_eq!(gateway(), "10.5.0.1");
    host.ok(&["network", "disconnect", "lab", "client"]);
    assert_ne!(ping("10.5.0.77"), 0);
    assert_eq!(host.inspect("client", "NetworkSettings.Networks"), "{}");

    // What is said of one that does not run holds at its next start, whatever happens to the engine.
    host.ok(&["stop", "-t", "0", "client"]);
    host.ok(&["network", "connect", "--ip", "10.5.0.99", "lab", "client"]);
    let mut host = host;
    host.kill_engine();
    host.start_engine();
    host.ok(&["start", "client"]);
    assert_eq!(address(&host, "client", "lab"), "10.5.0.99");
    assert_eq!(exec(&host, "client", "ping -c 1 -W 2 10.5.0.77"), 0);
    host.ok(&["rm", "-f", "client"]);

    // Its network is gone.
    host.ok(&[
        "create",
        "--name",
        "late",
        "--network",
        "other",
        IMAGE,
        "true",
    ]);
    host.ok(&["network", "rm", "other"]);
    let output = host.tug(&["start", "late"]);
    output.assert_refused(1, "failed to set up container networking: network ");
    assert!(output.stderr.contains(" not found"), "{}", output.stderr);
}

#[test]
fn addresses_and_ports_are_nobody_elses_after_the_engine_has_come_back() {
    let mut host = Host::in_network("networks-restart");
    create(&host, r#"{"Name":"lab"}"#);
    for n in 0..4 {
        sleeper(&host, &format!("a{n}"), &["--network", "lab", "-p", "80"]);
    }
    let before = addresses(&host);
    let ports = host.ok(&["port", "a0"]);
    host.kill_engine();
    host.start_engine();
    assert_eq!(addresses(&host), before);
    assert_eq!(host.ok(&["port", "a0"]), ports);
    for n in 0..4 {
        sleeper(&host, &format!("b{n}"), &["--network", "lab", "-p", "80"]);
    }
    assert_eq!(addresses(&host).len(), 8);
    host.ok(&["network", "disconnect", "lab", "a1"]);
    host.ok(&["network", "connect", "lab", "a1"]);
    assert_eq!(addresses(&host).len(), 8);

    // An address that was given back is not the next one's.
    let last = address(&host, "b3", "lab");
    host.ok(&["rm", "-f", "b3"]);
    sleeper(&host, "after", &["--network", "lab"]);
    assert_ne!(address(&host, "after", "lab"), last);
}

#[test]
fn a_port_in_use_fails_the_start_and_leaves_nothing() {
    let host = Host::in_network("networks-ports");
    sleeper(
        &host,
        "first",
        &["-p", "8080:80", "-p", "9000-9002:9000-9002/udp"],
    );
    let ends = host.network().ends();
    let reply = host.get("/containers/first/json");
    assert_eq!(
        reply.text("NetworkSettings.Ports.80/tcp"),
        r#"[{"HostIp":"0.0.0.0","HostPort":"8080"},{"HostIp":"::","HostPort":"8080"}]"#
    );
    let id = host.ok(&[
        "create", "--name", "second", "-p", "8080:80", IMAGE, "sleep", "1000",
    ]);
    let output = host.tug(&["start", "second"]);
    output.assert_refused(1, "failed to set up container networking: driver failed programming external connectivity on endpoint second (");
    assert!(
        output.stderr.contains("failed to bind host port"),
        "{}",
        output.stderr
    );
    assert!(
        output.stderr.contains("address already in use"),
        "{}",
        output.stderr
    );
    assert_eq!(host.inspect("second", "State.Status"), "\"created\"");
    assert!(!host.exec_root().join("containers").join(&id).exists());
    eventually("nothing is left of it", || host.network().ends() == ends);
    // One that has a choice takes another.
    sleeper(
        &host,
        "third",
        &["-p", "8080-8082:80", "-p", "127.0.0.1::81"],
    );
    let ports = host.ok(&["port", "third", "80"]);
    assert_eq!(ports, "0.0.0.0:8081\n[::]:8081");
    host.ok(&["rm", "-f", "first"]);
    host.ok(&["start", "second"]);
    assert_eq!(
        host.ok(&["port", "second"]),
        "80/tcp -> 0.0.0.0:8080\n80/tcp -> [::]:8080"
    );
    let exposed = r#"{"Image":"test","Cmd":["sleep","1000"],"ExposedPorts":{"7/udp":{}},"HostConfig":{"PublishAllPorts":true}}"#;
    let id = json::parse(
        &host
            .http("POST", "/containers/create?name=all", exposed)
            .body,
    )
    .string("Id");
    host.ok(&["start", &id]);
    let port = host.ok(&["port", "all"]);
    assert!(port.starts_with("7/udp -> 0.0.0.0:"), "{port}");
}

#[test]
fn a_thousand_ports_are_one_line_of_the_plan() {
    let host = Host::in_network("networks-many-ports");
    let id = sleeper(&host, "web", &["-p", "10000-10999:20000-20999"]);
    let plan = host
        .exec_root()
        .join("containers")
        .join(id)
        .join("network.json");
    let plan = std::fs::read_to_string(plan).unwrap();
    assert_eq!(plan.matches("\"host_port\"").count(), 2, "{plan}");
    assert!(plan.contains("\"count\":1000"), "{plan}");
    let shown = host.get("/containers/json").items()[0].text("Ports");
    assert_eq!(json::parse(&shown).items().len(), 2000);
}

#[test]
fn a_torn_record_is_set_aside_and_stops_nothing() {
    let mut host = Host::in_network("networks-torn");
    let good = create(&host, r#"{"Name":"good"}"#);
    let torn = create(&host, r#"{"Name":"torn"}"#);
    host.kill_engine();
    let dir = host.data_root().join("networks");
    std::fs::write(dir.join(format!("{torn}.json")), r#"{"Name":"to"#).unwrap();
    std::fs::write(dir.join(format!(".{good}.json.new")), "{").unwrap();
    let empty = format!("{}.json", "ab".repeat(32));
    std::fs::write(dir.join(&empty), "").unwrap();
    host.start_engine();
    let log = host.engine_log();
    assert!(
        log.contains(&format!("set aside as {torn}.json.bad")),
        "{log}"
    );
    assert!(log.contains(&format!("set aside as {empty}.bad")), "{log}");
    assert!(!dir.join(format!(".{good}.json.new")).exists());
    assert_eq!(host.get("/networks/good").string("Id"), good);
    assert_eq!(host.http("GET", "/networks/torn", "").status, 404);
    host.ok(&["run", "--rm", "--network", "good", IMAGE, "true"]);
}

#[test]
fn the_engine_dies_at_any_moment_and_no_address_is_given_twice() {
    let mut host = Host::in_network("networks-killed");
    create(
        &host,
        r#"{"Name":"lab","IPAM":{"Config":[{"Subnet":"10.5.0.0/27"}]}}"#,
    );
    create(&host, r#"{"Name":"other"}"#);
    sleeper(&host, "stays", &["--network", "lab"]);
    let mut chance = Chance::new();
    for round in 0..rounds(6, 60) {
        let name = format!("c{round}");
        let script = format!(
            "for i in 1 2 3; do \
               tug run -d --name {name}x$i --network lab -p 80 {IMAGE} sleep 1000; \
               tug network connect other {name}x$i; tug network disconnect lab {name}x$i; \
               tug network create n{round}x$i; tug network rm n{round}x$i; \
               tug rm -f {name}x$i; \
             done >/dev/null 2>&1"
        );
        let tug = host.binary.clone();
        let mut work = host.client(
            std::path::Path::new("sh"),
            &[
                "-c",
                &script.replace("tug ", &format!("{} ", tug.display())),
            ],
        );
        let mut child = work.spawn().unwrap();
        std::thread::sleep(std::time::Duration::from_millis(50 + chance.below(900)));
        host.kill_engine();
        child.wait().unwrap();
        host.start_engine();
        addresses(&host);
        sleeper(&host, &name, &["--network", "lab", "-p", "80"]);
        addresses(&host);
        for container in host.get("/containers/json?all=1").items() {
            if container.text("Names") != r#"["/stays"]"# {
                host.ok(&["rm", "-f", &container.string("Id")]);
            }
        }
        for network in host.get("/networks").items() {
            let name = network.string("Name");
            if name.starts_with('n') && name != "none" {
                host.ok(&["network", "rm", &name]);
            }
        }
        // The bridges of networks that are there, and one container's link.
        let links = host.network().links();
        eventually("no link is left", || host.network().ends().len() == 1);
        let bridges = links.iter().filter(|name| name.starts_with("br-")).count();
        assert!(bridges <= 2, "{links:?}");
    }
}

#[test]
fn many_networks_and_connections_later_all_is_as_at_the_start() {
    let host = Host::in_network("networks-cycles");
    sleeper(&host, "web", &[]);
    let warm = create(&host, r#"{"Name":"warm"}"#);
    let connect = |network: &str| {
        let body = r#"{"Container":"web"}"#;
        for verb in ["connect", "disconnect"] {
            let reply = host.http("POST", &format!("/networks/{network}/{verb}"), body);
            assert_eq!(reply.status, 200, "{}", reply.body);
        }
    };
    connect(&warm);
    let before = host.network().picture();
    let fds = || {
        std::fs::read_dir(format!("/proc/{}/fd", host.engine_pid()))
            .unwrap()
            .count()
    };
    let (fds_before, shim) = (fds(), host.shim_pid("web"));
    let shim_fds = || {
        std::fs::read_dir(format!("/proc/{shim}/fd"))
            .unwrap()
            .count()
    };
    let shim_fds_before = shim_fds();
    for _ in 0..rounds(30, 1000) {
        let id = create(&host, r#"{"Name":"cycle"}"#);
        connect(&id);
        connect(&warm);
        assert_eq!(
            host.http("DELETE", &format!("/networks/{id}"), "").status,
            204
        );
    }
    eventually("all is as before", || host.network().picture() == before);
    assert_eq!((fds(), shim_fds()), (fds_before, shim_fds_before));
    host.ok(&["network", "rm", "warm"]);
}

#[test]
fn networks_tell_what_happens_to_them() {
    let host = Host::in_network("networks-events");
    let id = create(&host, r#"{"Name":"lab"}"#);
    sleeper(&host, "web", &["--network", "lab"]);
    host.ok(&["network", "disconnect", "lab", "web"]);
    host.ok(&["network", "connect", "lab", "web"]);
    host.ok(&["rm", "-f", "web"]);
    host.ok(&["network", "rm", "lab"]);
    let until = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_secs()
        + 1;
    let events = host
        .http("GET", &format!("/events?since=1&until={until}"), "")
        .body;
    let of_network: Vec<String> = events
        .lines()
        .map(json::parse)
        .filter(|event| event.string("Type") == "network" && event.string("Actor.ID") == id)
        .map(|event| event.string("Action"))
        .collect();
    assert_eq!(
        of_network,
        [
            "create",
            "connect",
            "disconnect",
            "connect",
            "disconnect",
            "destroy"
        ]
    );
}

#[test]
fn the_real_client_makes_and_shows_networks() {
    let host = Host::in_network("networks-docker");
    if host.docker(&["version"]).is_none() {
        return crate::harness::skip(
            "the_real_client_makes_and_shows_networks",
            "there is no docker client",
        );
    }
    let docker = |args: &[&str]| {
        let output = host.docker(args).unwrap();
        assert_eq!((output.code, output.stderr.as_str()), (0, ""), "{args:?}");
        output.stdout.trim_end().to_string()
    };
    let id = docker(&[
        "network",
        "create",
        "--subnet",
        "10.5.0.0/24",
        "--label",
        "a=b",
        "lab",
    ]);
    docker(&["network", "create", "other"]);
    docker(&[
        "run",
        "-d",
        "--name",
        "web",
        "--network",
        "name=lab,ip=10.5.0.9,alias=w",
        "--network",
        "other",
        "-p",
        "8080:80",
        IMAGE,
        "sleep",
        "1000",
    ]);
    assert_eq!(
        docker(&[
            "network",
            "inspect",
            "lab",
            "-f",
            "{{range .Containers}}{{.Name}} {{.IPv4Address}}{{end}}"
        ]),
        "web 10.5.0.9/24"
    );
    assert_eq!(
        docker(&[
            "inspect",
            "web",
            "-f",
            "{{range $n, $e := .NetworkSettings.Networks}}{{$n}} {{end}}"
        ])
        .trim(),
        "lab other"
    );
    assert_eq!(docker(&["port", "web", "80"]), "0.0.0.0:8080\n[::]:8080");
    // The client has its networks in a map, which Go walks in any order.
    let line = docker(&[
        "ps",
        "--filter",
        "network=lab",
        "--format",
        "{{.Names}} {{.Ports}} {{.Networks}}",
    ]);
    assert_eq!(
        line.replace("other,lab", "lab,other"),
        "web 0.0.0.0:8080->80/tcp, [::]:8080->80/tcp lab,other"
    );
    docker(&["network", "disconnect", "lab", "web"]);
    docker(&["network", "connect", "--ip", "10.5.0.8", "lab", "web"]);
    assert_eq!(
        docker(&["network", "ls", "-q", "--no-trunc", "--filter", "label=a"]),
        id
    );
    docker(&["rm", "-f", "web"]);
    assert_eq!(
        docker(&["network", "prune", "-f"]),
        "Deleted Networks:\nlab\nother"
    );
}
