//! Programs that speak Docker's API drive the engine: docker-py and docker-compose, as Debian has
//! them. (The docker client has a file of its own.)

use crate::harness::command::{Output, run};
use crate::harness::{Host, PATIENCE, skip};
use std::path::Path;
use std::process::Command;

const PYTHON: &str = "/usr/bin/python3";

/// What docker-py does for its users, each answer checked by the script itself.
const DOCKER_PY: &str = r#"
import docker, io, socket, sys, tarfile

client = docker.from_env()
assert client.ping()
assert client.version()["ApiVersion"] == "1.51", client.version()
assert client.info()["OSType"] == "linux"

# A run to its end, with both streams, and an error with its code.
out = client.containers.run("test", ["sh", "-c", "echo out; echo err >&2"], remove=True,
                            network_mode="none", stderr=True)
assert sorted(out.split()) == [b"err", b"out"], out
try:
    client.containers.run("test", ["sh", "-c", "echo why >&2; exit 7"], remove=True)
    sys.exit("no error for exit 7")
except docker.errors.ContainerError as error:
    assert (error.exit_status, error.stderr) == (7, b"why\n"), error

web = client.containers.run(
    "test", ["sh", "-c", "trap 'exit 9' TERM; echo ready; while :; do sleep 1 & wait $!; done"],
    name="web", detach=True, labels={"role": "web"}, environment=["A=1"], mem_limit=None,
    healthcheck={"test": ["CMD", "true"], "interval": 100 * 10**6}, stop_signal="SIGTERM",
    restart_policy={"Name": "on-failure", "MaximumRetryCount": 3})
assert web.status in ("created", "running"), web.status
web.reload()
assert web.status == "running" and web.attrs["Config"]["Labels"]["role"] == "web"
assert [c.name for c in client.containers.list(filters={"label": "role=web"})] == ["web"]

for line in web.logs(stream=True, follow=True):
    assert line == b"ready\n", line
    break
code, output = web.exec_run(["sh", "-c", "echo $A; echo e >&2; exit 4"], demux=True)
assert (code, output) == (4, (b"1\n", b"e\n")), (code, output)
assert b"sleep" in str(web.top()["Processes"]).encode(), web.top()
stats = web.stats(stream=False)
assert stats["cpu_stats"]["cpu_usage"]["total_usage"] > 0, stats

# Files, both ways.
archive = io.BytesIO()
with tarfile.open(fileobj=archive, mode="w") as tar:
    entry = tarfile.TarInfo("note")
    entry.size = 5
    tar.addfile(entry, io.BytesIO(b"hello"))
assert web.put_archive("/tmp", archive.getvalue())
bits, stat = web.get_archive("/tmp/note")
assert stat["name"] == "note" and stat["size"] == 5, stat
tar = tarfile.open(fileobj=io.BytesIO(b"".join(bits)))
assert tar.extractfile("note").read() == b"hello"
assert {"Path": "/tmp/note", "Kind": 1} in web.diff(), web.diff()

# Input over an attached socket.
cat = client.containers.create("test", "cat", stdin_open=True, detach=True)
stream = cat.attach_socket(params={"stdin": 1, "stdout": 1, "stream": 1})
cat.start()
stream._sock.sendall(b"typed\n")
stream._sock.shutdown(socket.SHUT_WR)
frame = b""
while len(frame) < 14:
    frame += stream._sock.recv(64)
assert frame[8:] == b"typed\n", frame
cat.remove(force=True)

web.pause()
web.reload()
assert web.status == "paused", web.status
web.unpause()
web.rename("other")
image = web.commit("kept", "1", changes=["LABEL committed=yes"])
assert image.labels["committed"] == "yes", image.labels
kept = client.containers.run("kept:1", ["cat", "/tmp/note"], remove=True)
assert kept == b"hello", kept

web.stop(timeout=20)
assert web.wait()["StatusCode"] == 9
web.reload()
assert web.status == "exited" and web.name == "other"
web.remove()
try:
    client.containers.get("other")
    sys.exit("a removed container is found")
except docker.errors.NotFound as error:
    assert error.explanation == "No such container: other", error
client.images.remove("kept:1")
events = client.events(since=1, until=4000000000, decode=True)
seen = set()
for event in events:
    seen.add(event["Action"])
    if {"create", "start", "die", "destroy", "pause", "unpause", "rename"} <= seen:
        break
print("all well")
"#;

/// A host with the test image, unless `program` is not there.
fn host(name: &'static str, program: &str) -> Option<Host> {
    if !Path::new(program).exists() {
        skip(&format!("front_ends: {name}"), &format!("no {program}"));
        return None;
    }
    Some(Host::with_image(name))
}

#[test]
fn docker_py_works() {
    let Some(host) = host("docker-py", "/usr/lib/python3/dist-packages/docker") else {
        return;
    };
    let client = host.client(Path::new(PYTHON), &["-c", DOCKER_PY]);
    let output = run(client, b"", PATIENCE);
    assert_eq!(output, Output::new(0, "all well\n", ""));
}

const PROJECT: &str = r#"
version: "2.4"
services:
  first:
    image: test
    network_mode: none
    command: sh -c "echo first; exec sleep 1000"
    healthcheck:
      test: ["CMD", "true"]
      interval: 100ms
  second:
    image: test
    network_mode: none
    command: sh -c "echo second of $$NAME; exec sleep 1000"
    environment:
      NAME: two
    restart: unless-stopped
    depends_on:
      first:
        condition: service_healthy
"#;

#[test]
fn docker_compose_brings_a_project_up_and_down() {
    let Some(host) = host("compose", "/usr/bin/docker-compose") else {
        return;
    };
    let file = host.write("compose.yml", PROJECT);
    let compose = |args: &[&str]| -> Output {
        let args = [&["-f", file.as_str(), "-p", "lab"], args].concat();
        let mut command: Command = host.client(Path::new("/usr/bin/docker-compose"), &args);
        command.env("COMPOSE_HTTP_TIMEOUT", "60");
        run(command, b"", PATIENCE)
    };
    let up = compose(&["up", "-d"]);
    assert_eq!(up.code, 0, "{up:?}");
    let health = host.inspect("lab_first_1", "State.Health.Status");
    assert_eq!(health, "\"healthy\"", "the second waited for the first");
    assert_eq!(host.ok(&["logs", "lab_second_1"]), "second of two");
    let running = compose(&["ps", "-q"]);
    assert_eq!(running.lines().len(), 2, "{running:?}");
    let exec = compose(&["exec", "-T", "first", "sh", "-c", "echo in; exit 5"]);
    assert_eq!((exec.code, exec.stdout.as_str()), (5, "in\n"), "{exec:?}");
    // The same again changes nothing.
    let before = host.ok(&["ps", "-q"]);
    assert_eq!(compose(&["up", "-d"]).code, 0);
    assert_eq!(host.ok(&["ps", "-q"]), before);
    let logs = compose(&["logs", "--no-color"]);
    assert!(logs.stdout.contains("second of two"), "{logs:?}");
    let down = compose(&["down", "-t", "0"]);
    assert_eq!(down.code, 0, "{down:?}");
    assert_eq!(host.ok(&["ps", "-aq"]), "");
}
