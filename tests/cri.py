"""What a kubelet asks of containerd's CRI plugin, which has our runtime behind it.

Usage: cri.py SOCKET DIRECTORY. Messages are made by hand, by the numbers of the protocol's fields
(runtime.v1), so that nothing but grpc itself is needed. Prints `all well`, or where it is not.
"""
import os
import sys
import time

import grpc

SOCKET, DIRECTORY = sys.argv[1:]
POD, CONTAINER, NODE = 0, 1, 2
READY, NOT_READY = 0, 1
RUNNING, EXITED = 1, 2

channel = grpc.insecure_channel("unix://" + SOCKET)


def varint(number):
    number &= (1 << 64) - 1
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def message(fields):
    """`{1: "text", 2: {1: 5}, 3: ["a", "b"]}` on the wire."""
    out = b""
    for number, value in fields.items():
        for one in value if isinstance(value, list) else [value]:
            if isinstance(one, int):
                out += varint(number << 3) + varint(one)
                continue
            data = message(one) if isinstance(one, dict) else one.encode()
            out += varint(number << 3 | 2) + varint(len(data)) + data
    return out


def strings(pairs):
    """A map<string, string>."""
    return [{1: key, 2: value} for key, value in pairs.items()]


class Fields(dict):
    """An answer: by number all values of a field; `last` is the one that counts."""

    def __init__(self, data):
        at = 0

        def number():
            nonlocal at
            result = shift = 0
            while True:
                byte = data[at]
                at += 1
                result |= (byte & 0x7F) << shift
                shift += 7
                if byte < 0x80:
                    return result

        while at < len(data):
            tag = number()
            value = number()
            if tag & 7 == 2:
                value, at = data[at : at + value], at + value
            self.setdefault(tag >> 3, []).append(value)

    def last(self, number, default=0):
        return self.get(number, [default])[-1]

    def text(self, number):
        return self.last(number, b"").decode()

    def part(self, number):
        return Fields(self.last(number, b""))

    def parts(self, number):
        return [Fields(data) for data in self.get(number, [])]


def call(method, fields=None, service="Runtime"):
    ask = channel.unary_unary(f"/runtime.v1.{service}Service/{method}")
    return Fields(ask(message(fields or {}), timeout=60))


def until(what, condition):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.1)


def same(what, found, expected):
    assert found == expected, f"{what}: {found!r} instead of {expected!r}"


def sandbox(name, network, pid):
    return {
        1: {1: name, 2: name + "-uid", 3: "default"},
        # A kubelet names none where the host's is shared.
        2: [] if network == NODE else name + "-host",
        3: f"{DIRECTORY}/logs/{name}",
        6: strings({"app": name}),
        8: {
            1: f"/kubepods/{name}",
            2: {1: {1: network, 2: pid, 3: network}, 9: {1: 1}},
            3: [] if network == NODE else strings({"net.ipv4.ip_unprivileged_port_start": "0"}),
        },
    }


def run_pod(config):
    os.makedirs(config[3], exist_ok=True)
    return call("RunPodSandbox", {1: config, 2: "tug"}).text(1)


def create(pod, config, name, command, more=None, security=None):
    namespaces = config[8][2][1]
    container = {
        1: {1: name},
        2: {1: "localhost/test:1"},
        3: command[:1],
        4: command[1:],
        6: [{1: "GREETING", 2: "hello"}],
        11: name + ".log",
        15: {2: {3: namespaces, **(security or {})}},
        **(more or {}),
    }
    return call("CreateContainer", {1: pod, 2: container, 3: config}).text(1)


def started(pod, config, name, command, more=None, security=None):
    container = create(pod, config, name, command, more, security)
    call("StartContainer", {1: container})
    return container


def status(container):
    return call("ContainerStatus", {1: container}).part(1)


def execute(container, *command):
    answer = call("ExecSync", {1: container, 2: list(command), 3: 30})
    return answer.text(1), answer.text(2), answer.last(3)


def logged(config, name):
    """The log's lines as `stream text`."""
    with open(f"{config[3]}/{name}.log", encoding="utf-8") as file:
        lines = [line.rstrip("\n").split(" ", 3) for line in file]
    return sorted(f"{stream} {text}" for _, stream, _, text in lines)


def remove(pod, *containers):
    for container in containers:
        call("StopContainer", {1: container, 2: 0})
        call("RemoveContainer", {1: container})
    call("StopPodSandbox", {1: pod})
    call("RemovePodSandbox", {1: pod})


def a_pod_in_the_hosts_network():
    config = sandbox("host", NODE, CONTAINER)
    pod = run_pod(config)
    same("the pod's state", call("PodSandboxStatus", {1: pod}).part(1).last(3), READY)

    with open(DIRECTORY + "/shared", "w", encoding="utf-8") as file:
        file.write("from the host\n")
    script = (
        "echo $GREETING; cat /shared; echo bad >&2; trap 'exit 7' TERM;"
        " while :; do sleep 1 & wait $!; done"
    )
    mounts = {7: [{1: "/shared", 2: DIRECTORY + "/shared", 3: 1}]}
    web = started(pod, config, "web", ["sh", "-c", script], mounts)
    same("its state", status(web).last(3), RUNNING)
    lines = ["stderr bad", "stdout from the host", "stdout hello"]
    until("the log is whole", lambda: logged(config, "web") == lines)
    same("exec", execute(web, "sh", "-c", "echo in; echo err >&2; exit 3"), ("in\n", "err\n", 3))
    same("a mount is read-only", execute(web, "sh", "-c", "echo x >/shared")[2], 1)
    same("pid namespace", execute(web, "cat", "/proc/1/comm")[0], "sh\n")
    found = os.readlink("/proc/self/ns/net") + "\n"
    same("network", execute(web, "readlink", "/proc/1/ns/net")[0], found)
    listed = call("ListContainers", {1: {3: pod}}).parts(1)
    same("the list", [one.text(1) for one in listed], [web])
    stats = call("ContainerStats", {1: web}).part(1)
    same("stats are its own", stats.part(1).text(1), web)

    call("StopContainer", {1: web, 2: 20})
    ended = status(web)
    same("after a stop", (ended.last(3), ended.last(7)), (EXITED, 7))

    # A crash, and a program that is not there.
    bad = started(pod, config, "bad", ["sh", "-c", "exit 4"])
    until("it has ended", lambda: status(bad).last(3) == EXITED)
    same("its code", (status(bad).last(7), status(bad).text(10)), (4, "Error"))
    missing = create(pod, config, "missing", ["no-such"])
    try:
        call("StartContainer", {1: missing})
        sys.exit("what is not there has started")
    except grpc.RpcError as error:
        assert "executable file not found in $PATH" in error.details(), error.details()
    remove(pod, web, bad, missing)


def a_pod_of_several_containers():
    config = sandbox("pod", POD, POD)
    pod = run_pod(config)
    network = call("PodSandboxStatus", {1: pod}).part(1).part(5)
    same("the address that CNI has given", network.text(1), "10.88.0.2")
    one = started(pod, config, "one", ["sleep", "1111"])
    strict = {7: 1, 5: {1: 65534}, 11: 1, 1: {2: ["ALL"]}}
    two = started(pod, config, "two", ["sleep", "2222"], security=strict)

    for kind in ["net", "ipc", "pid", "uts"]:
        link = ["readlink", f"/proc/self/ns/{kind}"]
        same(kind, execute(two, *link), execute(one, *link))
    here = os.readlink("/proc/self/ns/net") + "\n"
    assert execute(one, "readlink", "/proc/self/ns/net")[0] != here, "a network of their own"
    same("hostname", execute(one, "hostname")[0], "pod-host\n")
    processes = execute(one, "sh", "-c", "cat /proc/[0-9]*/cmdline | tr '\\0' ' '")[0]
    assert "sleep 1111" in processes and "sleep 2222" in processes, processes
    port = "/proc/sys/net/ipv4/ip_unprivileged_port_start"
    same("a sysctl", execute(two, "cat", port)[0], "0\n")
    same("a user", execute(two, "id", "-u")[0], "65534\n")
    same("a read-only root", execute(two, "touch", "/x")[2], 1)
    lines = execute(two, "cat", "/proc/self/status")[0].splitlines()
    fields = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
    same("no capabilities", int(fields["CapBnd"], 16), 0)
    same("no new privileges", fields["NoNewPrivs"], "1")

    # The pod's end is that of all in it.
    call("StopPodSandbox", {1: pod})
    same("the pod's state", call("PodSandboxStatus", {1: pod}).part(1).last(3), NOT_READY)
    same("their states", [status(c).last(3) for c in (one, two)], [EXITED, EXITED])
    remove(pod, one, two)


def privileged():
    config = sandbox("strong", NODE, NODE)
    config[8][2][6] = 1
    pod = run_pod(config)
    strong = started(pod, config, "strong", ["sleep", "1000"], security={2: 1})
    same("pid namespace", execute(strong, "readlink", "/proc/self/ns/pid")[0],
         os.readlink("/proc/self/ns/pid") + "\n")
    assert execute(strong, "ls", "/dev/kmsg")[2] == 0, "the host's devices"
    remove(pod, strong)


version = call("Version")
same("the engine", version.text(2), "containerd")
conditions = {c.text(1): c.last(2) for c in call("Status").part(1).parts(1)}
same("conditions", conditions, {"RuntimeReady": 1, "NetworkReady": 1})
until("the images are seen", lambda: all(
    call("ImageStatus", {1: {1: f"localhost/{name}:1"}}, "Image").get(1) for name in ("pause", "test")
))
a_pod_in_the_hosts_network()
a_pod_of_several_containers()
privileged()
same("containers left", call("ListContainers").parts(1), [])
same("pods left", call("ListPodSandbox").parts(1), [])
print("all well")
