//! Under orchestrators: our runtime behind containerd's CRI plugin, as a kubelet drives it, and our API
//! as Nomad's docker driver and cri-dockerd use it. The scripts play their parts.

use crate::harness::command::{Output, run};
use crate::harness::rootfs::{busybox, docker_archive};
use crate::harness::{Host, PATIENCE, skip};
use crate::under_engines::Machine;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

const PYTHON: &str = "/usr/bin/python3";
const CRI: &str = include_str!("cri.py");
const DOCKER: &str = include_str!("orchestrators.py");

/// A network for pods: a namespace, and an address that is only told.
const CNI: &str = r#"#!/bin/sh
case $CNI_COMMAND in
VERSION) echo '{"cniVersion":"0.4.0","supportedVersions":["0.3.0","0.3.1","0.4.0"]}' ;;
ADD) echo '{"cniVersion":"0.3.1","interfaces":[{"name":"'$CNI_IFNAME'","sandbox":"'$CNI_NETNS'"}],
    "ips":[{"version":"4","address":"10.88.0.2/24","interface":0}]}' ;;
esac
"#;

/// Every pod asks for a share of the processor. On a host that has the controller in cgroup v1 that
/// is refused, and here left out; what limits do is tried in the guests.
const WITHOUT_SHARES: &str = r#"#!/bin/sh
for word; do
    [ "$last" != --bundle ] || sed -i 's/"shares":[0-9]*,*//' "$word/config.json"
    last=$word
done
exec REAL "$@"
"#;

fn program(machine: &Machine, name: &str, text: &str) -> String {
    let path = machine.host.write(name, text);
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path
}

fn runtime(machine: &Machine) -> String {
    let real = machine.path("tug-runtime");
    let controllers = machine.run(&["cat", "/sys/fs/cgroup/cgroup.controllers"]);
    match controllers.stdout.contains("cpu") {
        true => real,
        false => program(
            machine,
            "without-shares",
            &WITHOUT_SHARES.replace("REAL", &real),
        ),
    }
}

#[test]
fn a_kubelet_runs_pods_by_containerd_with_our_runtime() {
    let name = "orchestration: cri";
    if !Path::new("/usr/lib/python3/dist-packages/grpc").exists() {
        return skip(name, "no python3-grpcio");
    }
    let Some(mut machine) = Machine::new(name, &["containerd", "ctr"]) else {
        return;
    };
    machine.host.make_dir("cni");
    for plugin in ["cni/fake", "cni/loopback"] {
        program(&machine, plugin, CNI);
    }
    let plan = r#"{"cniVersion":"0.3.1","name":"test","plugins":[{"type":"fake"}]}"#;
    machine.host.write("cni/10-test.conflist", plan);
    let (socket, cni) = (machine.path("sock"), machine.path("cni"));
    // Root may not always lower a score, and then containerd leaves it as it is.
    let config = format!(
        r#"
version = 2
root = "{root}"
state = "{state}"
[grpc]
address = "{socket}"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "localhost/pause:1"
stream_server_address = "127.0.0.1"
restrict_oom_score_adj = true
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "{cni}"
conf_dir = "{cni}"
[plugins."io.containerd.grpc.v1.cri".containerd]
snapshotter = "native"
default_runtime_name = "tug"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.tug]
runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.tug.options]
BinaryName = "{runtime}"
"#,
        root = machine.path("root"),
        state = machine.path("state"),
        runtime = runtime(&machine),
    );
    let config = machine.host.write("config.toml", config);
    machine.start(
        &["containerd", "-c", &config],
        &["ctr", "-a", &socket, "version"],
    );
    let pause = r#"{"Entrypoint":["/bin/sleep","1000000"]}"#;
    for (image, config) in [
        ("pause", pause),
        ("test", r#"{"Env":["PATH=/bin:/usr/bin"]}"#),
    ] {
        let archive = docker_archive(&format!("localhost/{image}:1"), &[busybox()], config);
        let file = machine.host.write("image.tar", archive);
        let import = [
            "ctr", "-a", &socket, "-n", "k8s.io", "images", "import", &file,
        ];
        assert_eq!(machine.run(&import).code, 0, "{image}");
    }
    let script = machine.host.write("cri.py", CRI);
    let directory = machine.path(".");
    let output = machine.run(&[PYTHON, &script, &socket, directory.trim_end_matches("/.")]);
    let log = machine.host.engine_log();
    assert_eq!(output, Output::new(0, "all well\n", ""), "{log}");
    machine.stop();
}

#[test]
fn nomads_driver_and_cri_dockerd_find_what_they_ask_for() {
    if !Path::new(PYTHON).exists() {
        return skip("orchestration: docker", "no python3");
    }
    let mut host = Host::in_network("orchestration");
    // Limits that this machine cannot hold are not what this is about.
    assert_eq!(host.stop_engine(), Some(0));
    host.write("daemon.json", r#"{"limits":"best-effort"}"#);
    host.start_engine();
    host.import("test:1", &busybox());
    let script = host.write("orchestrators.py", DOCKER);
    let directory = host.make_dir("orchestrator");
    let socket = host.socket();
    let client = host.client(
        Path::new(PYTHON),
        &[&script, socket.to_str().unwrap(), &directory],
    );
    assert_eq!(run(client, b"", PATIENCE), Output::new(0, "all well\n", ""));
}
