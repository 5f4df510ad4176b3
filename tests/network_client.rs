//! The client's verbs of networks: what they print, and that Docker's client prints the same.

use crate::harness::command::Output;
use crate::harness::{Host, IMAGE, docker_client, eventually, rootfs, skip};
use std::process::Command;

/// An engine in a network of its own.
fn host(name: &'static str) -> Host {
    let mut host = Host::without_engine(name);
    let mut command = Command::new("unshare");
    let script = "ip link set lo up; exec \"$@\"";
    command.args(["--net", "sh", "-c", script, "sh"]);
    command.args(host.engine_command());
    host.start_engine_as(command);
    host.import(IMAGE, &rootfs::busybox());
    host
}

#[test]
fn networks_are_made_shown_and_removed() {
    let host = host("net-client");
    let id = host.ok(&[
        "network",
        "create",
        "--subnet",
        "10.77.0.0/24",
        "--label",
        "a=b",
        "lab9",
    ]);
    host.ok(&["network", "create", "lab10"]);
    assert_eq!(
        host.ok(&[
            "network",
            "ls",
            "--format",
            "{{.Name}} {{.Driver}} {{.Scope}} {{.IPv4}} {{.IPv6}} {{.Internal}} {{.Labels}}"
        ]),
        "host host local true false false \n\
         lab9 bridge local true false false a=b\nlab10 bridge local true false false \n\
         none null local true false false "
    );
    let table = host.ok(&["network", "ls", "-f", "name=lab9"]);
    assert_eq!(
        table,
        format!(
            "NETWORK ID     NAME      DRIVER    SCOPE\n{}   lab9      bridge    local",
            &id[..12]
        )
    );
    assert_eq!(
        host.ok(&["network", "ls", "-q", "--no-trunc", "-f", "label=a"]),
        id
    );
    assert_eq!(
        host.ok(&[
            "network",
            "inspect",
            "-f",
            "{{.Name}} {{(index .IPAM.Config 0).Subnet}}",
            "lab9"
        ]),
        "lab9 10.77.0.0/24"
    );

    host.ok(&[
        "run",
        "-d",
        "--name",
        "web",
        "--network",
        "name=lab9,ip=10.77.0.9,alias=www",
        "-p",
        "127.0.0.1:8000-8002:8000-8002",
        "-p",
        "127.0.0.1:9000:80/udp",
        IMAGE,
        "sleep",
        "1000",
    ]);
    assert_eq!(
        host.ok(&["ps", "--format", "{{.Ports}} {{.Networks}}"]),
        "127.0.0.1:8000-8002->8000-8002/tcp, 127.0.0.1:9000->80/udp lab9"
    );
    assert_eq!(
        host.ok(&["port", "web"]),
        "80/udp -> 127.0.0.1:9000\n8000/tcp -> 127.0.0.1:8000\n8001/tcp -> 127.0.0.1:8001\n8002/tcp -> 127.0.0.1:8002"
    );
    host.ok(&["network", "connect", "--alias", "other", "lab10", "web"]);
    let aliases = "{{json .NetworkSettings.Networks.lab10.Aliases}}";
    assert_eq!(host.ok(&["inspect", "-f", aliases, "web"]), r#"["other"]"#);
    let output = host.tug(&["network", "rm", "lab10", "missing"]);
    assert_eq!((output.code, output.stdout.as_str()), (1, ""));
    assert!(output.stderr.contains("has active endpoints"), "{output:?}");
    assert!(
        output.stderr.contains("network missing not found"),
        "{output:?}"
    );
    host.ok(&["network", "disconnect", "lab10", "web"]);
    assert_eq!(host.ok(&["network", "rm", "lab10"]), "lab10");
    host.ok(&["rm", "-f", "web"]);
    let pruned = "Deleted Networks:\nlab9\n";
    assert_eq!(
        host.tug(&["network", "prune", "-f"]),
        Output::new(0, &format!("{pruned}\n"), "")
    );
    host.ok(&["network", "create", "lab9"]);
    let output = host.ok(&["system", "prune", "-f"]);
    assert_eq!(output, format!("{pruned}\nTotal reclaimed space: 0B"));
    assert_eq!(
        host.tug(&["network", "rm", "-f", "lab9"]),
        Output::new(0, "", "")
    );
}

#[test]
fn dockers_client_prints_the_same() {
    if docker_client().is_none() {
        return skip("network_client", "no docker client in PATH");
    }
    let host = host("net-clients");
    host.ok(&["network", "create", "--subnet", "10.78.0.0/24", "lab"]);
    let run = [
        "run",
        "-d",
        "--name",
        "web",
        "--network",
        "lab",
        "-p",
        "8000-8003:8000-8003",
        IMAGE,
        "sleep",
        "1000",
    ];
    host.ok(&run);
    let ports = ["ps", "--format", "{{.Ports}}"];
    eventually("it runs", || !host.ok(&ports).is_empty());
    for line in [
        "network ls",
        "network ls -q --no-trunc",
        "network ls --format json -f name=lab",
        "network ls --format raw",
        "network inspect lab",
        "network inspect -v -f {{.Id}} lab",
        "network inspect missing",
        "network prune --filter x",
        "network create --subnet 10.78.0.0/16 over",
        "network create lab",
        "network create --gateway 1.2.3.4 x",
        "network connect lab web",
        "network connect lab missing",
        "network connect missing web",
        "network disconnect lab missing",
        "network rm bridge",
        "ps --format {{.Ports}}",
        "port web",
        "port web 8001",
        "port web 1",
        "port web x",
        "run --rm --network missing test true",
    ] {
        let args: Vec<&str> = line.split(' ').collect();
        let own = host.tug(&args);
        let docker = host.docker(&args).unwrap();
        // Each has its name in front of errors, or none; removals end with `exit status`.
        let plain = |text: &str| {
            let text = text
                .replace("tug", "docker")
                .replace("docker: ", "")
                .replace("\nexit status 1", "");
            let end = text.find("\n\nRun 'docker run").unwrap_or(text.len());
            text[..end].trim().to_string()
        };
        assert_eq!(
            (own.code, own.stdout, plain(&own.stderr)),
            (docker.code, docker.stdout, plain(&docker.stderr)),
            "{line}"
        );
    }
    host.ok(&["rm", "-f", "web"]);
}
