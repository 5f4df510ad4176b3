"""What Nomad's docker driver and cri-dockerd ask of Docker's API, in their order and with their members.

Usage: orchestrators.py SOCKET DIRECTORY. The image is test:1. Prints `all well`, or what is not.
"""
import http.client
import json
import os
import re
import socket
import sys
import time
import urllib.parse

SOCKET, DIRECTORY = sys.argv[1:]


def connect():
    stream = socket.socket(socket.AF_UNIX)
    stream.settimeout(60)
    stream.connect(SOCKET)
    return stream


class Connection(http.client.HTTPConnection):
    def connect(self):
        self.sock = connect()


def ask(method, path, body=None, expected=None, **query):
    """The answer, decoded; its status must be `expected`, or else one of success."""
    answer = send(method, path, body, query)
    text = answer.read().decode()
    is_well = answer.status == expected if expected else answer.status < 300
    assert is_well, f"{method} {path}: {answer.status} {text}"
    return json.loads(text) if text.startswith(("{", "[")) else text


def send(method, path, body, query):
    connection = Connection("localhost", timeout=60)
    if query:
        path += "?" + urllib.parse.urlencode(query)
    headers = {} if body is None else {"Content-Type": "application/json"}
    connection.request(method, path, None if body is None else json.dumps(body), headers)
    answer = connection.getresponse()
    answer.connection = connection
    return answer


def hijack(path, body, data=b"", enough=None):
    """Send `data` and its end over an upgraded connection; what comes back, till it is `enough`."""
    stream = connect()
    body = json.dumps(body).encode()
    stream.sendall(
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
    )
    head = b""
    while b"\r\n\r\n" not in head:
        head += stream.recv(1)
    assert head.startswith(b"HTTP/1.1 101 "), head
    try:
        stream.sendall(data)
        stream.shutdown(socket.SHUT_WR)
    except OSError:
        # What runs there has ended already.
        pass
    out = b""
    while not (enough and enough in out) and (part := stream.recv(4096)):
        out += part
    return out


def frames(data):
    """By stream number what stands in the frames."""
    out = {1: b"", 2: b""}
    while data:
        length = int.from_bytes(data[4:8], "big")
        out[data[0]] += data[8 : 8 + length]
        data = data[8 + length :]
    return out


def same(what, found, expected):
    assert found == expected, f"{what}: {found!r} instead of {expected!r}"


def until(what, condition):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.1)


def execute(container, *command):
    wanted = {"AttachStdout": True, "AttachStderr": True, "Cmd": list(command)}
    made = ask("POST", f"/containers/{container}/exec", wanted)["Id"]
    out = frames(hijack(f"/exec/{made}/start", {"Detach": False, "Tty": False}))
    code = ask("GET", f"/exec/{made}/json")["ExitCode"]
    return out[1].decode(), out[2].decode(), code


def nomad():
    version = ask("GET", "/version")
    assert version["Version"] and version["ApiVersion"], version
    bridges = [network for network in ask("GET", "/networks") if network["Name"] == "bridge"]
    assert bridges[0]["IPAM"]["Config"][0]["Gateway"], bridges
    ask("GET", "/images/pause:9/json", expected=404)
    image = ask("GET", "/images/test:1/json")
    assert image["Id"].startswith("sha256:") and image["Os"] == "linux", image
    alloc = "5c2b8c0a-0000-4000-8000-000000000001"
    label = "com.hashicorp.nomad.alloc_id"

    # The group's network: its CNI plugins enter the namespace by this path.
    pause = ask("POST", "/containers/create", {
        "Image": "test:1", "Hostname": "group", "Cmd": ["sleep", "1000000"], "Labels": {label: alloc},
        "HostConfig": {"NetworkMode": "none", "RestartPolicy": {"Name": "unless-stopped"}},
    }, name=f"nomad_init_{alloc}")["Id"]
    ask("POST", f"/containers/{pause}/start", expected=204)
    inspected = ask("GET", f"/containers/{pause}/json")
    path = inspected["NetworkSettings"]["SandboxKey"]
    found = os.stat(path).st_ino
    same("the namespace", found, os.stat(f"/proc/{inspected['State']['Pid']}/ns/net").st_ino)

    for name in ("alloc", "local", "secrets"):
        os.makedirs(f"{DIRECTORY}/{name}", exist_ok=True)
    with open(DIRECTORY + "/hosts", "w", encoding="utf-8") as file:
        file.write("127.0.0.1 localhost\n10.1.2.3 group\n")
    script = (
        "echo ready; echo $NOMAD_TASK_NAME >/alloc/name; trap 'echo bye; exit 3' INT TERM;"
        " while :; do sleep 1 & wait $!; done"
    )
    task = {
        "Image": "test:1", "Cmd": ["sh", "-c", script], "User": "", "WorkingDir": "/local",
        "Env": ["NOMAD_TASK_NAME=web"], "Labels": {label: alloc}, "StopTimeout": 5,
        "HostConfig": {
            "Memory": 67108864, "MemorySwap": 67108864, "MemorySwappiness": 0, "CpuShares": 500,
            "MemoryReservation": 0, "PidsLimit": 0, "CgroupParent": "", "Runtime": "runc",
            "Binds": [f"{DIRECTORY}/{name}:/{name}" for name in ("alloc", "local", "secrets")],
            "LogConfig": {"Type": "json-file", "Config": {"max-file": "2", "max-size": "2m"}},
            "CapAdd": None, "CapDrop": ["NET_RAW"], "Privileged": False, "ReadonlyRootfs": False,
            "NetworkMode": f"container:{pause}", "Ulimits": [], "Devices": [], "Isolation": "",
            "IpcMode": "", "PidMode": "", "UTSMode": "", "UsernsMode": "", "VolumeDriver": "",
            "StorageOpt": None, "SecurityOpt": None, "Sysctls": None, "PortBindings": {},
            "Mounts": [{
                "Target": "/etc/hosts", "Source": DIRECTORY + "/hosts", "Type": "bind",
                "ReadOnly": False, "BindOptions": {"Propagation": "rprivate"},
            }],
        },
    }
    name = f"web-{alloc}"
    web = ask("POST", "/containers/create", task, name=name)["Id"]
    conflict = ask("POST", "/containers/create", task, 409, name=name)["message"]
    assert f'The container name "/{name}" is already in use by container' in conflict, conflict
    ask("POST", f"/containers/{web}/start", expected=204)
    ask("POST", f"/containers/{web}/start", expected=304)
    listed = ask("GET", "/containers/json", filters=json.dumps({"label": [label]}))
    same("by label", sorted(one["Id"] for one in listed), sorted([web, pause]))
    same("as it is named", [one["Id"] for one in listed if f"/{name}" in one["Names"]], [web])

    # Its logger follows from the start; its stats are a stream.
    logs = send("GET", f"/containers/{web}/logs", None,
                {"follow": 1, "stdout": 1, "stderr": 1, "since": 0, "tail": "all"})
    same("the first line", logs.read(14)[8:], b"ready\n")
    stats = send("GET", f"/containers/{web}/stats", None, {"stream": "true"})
    for _ in range(2):
        one = json.loads(stats.readline())
        assert one["cpu_stats"]["cpu_usage"]["total_usage"] > 0 and one["read"], one
        assert "usage" in one["memory_stats"] and "pids_stats" in one, one
    stats.connection.close()
    same("a shared directory", open(DIRECTORY + "/alloc/name", encoding="utf-8").read(), "web\n")
    same("its network", execute(web, "stat", "-L", "-c", "%i", "/proc/self/ns/net")[0], f"{found}\n")
    same("hosts", execute(web, "grep", "group", "/etc/hosts")[0], "10.1.2.3 group\n")
    same("exec", execute(web, "sh", "-c", "pwd; echo e >&2; exit 7"), ("/local\n", "e\n", 7))

    # A signal of the job's, then the end, which somebody has been waiting for.
    waiting = Connection("localhost", timeout=60)
    waiting.request("POST", f"/containers/{web}/wait")
    ask("POST", f"/containers/{web}/kill", signal="SIGINT", expected=204)
    same("wait", json.loads(waiting.getresponse().read())["StatusCode"], 3)
    assert logs.read().endswith(b"bye\n"), "the log ends with the task"
    state = ask("GET", f"/containers/{web}/json")["State"]
    same("its end", (state["ExitCode"], state["OOMKilled"], state["Running"]), (3, False, False))
    ask("POST", f"/containers/{web}/stop", t=5, expected=304)
    for container in (web, pause):
        ask("DELETE", f"/containers/{container}", force=1, v=1, expected=204)
    gone = ask("GET", f"/containers/{web}/json", expected=404)["message"]
    same("it is gone", gone, f"No such container: {web}")

    # Without a group's network: ports of the host, chosen by Nomad.
    ports = {f"8080/{protocol}": [{"HostIp": "127.0.0.1", "HostPort": "20123"}]
             for protocol in ("tcp", "udp")}
    one = ask("POST", "/containers/create", {
        "Image": "test:1", "Cmd": ["sleep", "1000"], "ExposedPorts": {port: {} for port in ports},
        "HostConfig": {"NetworkMode": "default", "PortBindings": ports},
    }, name=f"port-{alloc}")["Id"]
    ask("POST", f"/containers/{one}/start", expected=204)
    network = ask("GET", f"/containers/{one}/json")["NetworkSettings"]
    same("its ports", network["Ports"], ports)
    assert network["Networks"]["bridge"]["IPAddress"], network
    ask("DELETE", f"/containers/{one}", force=1, v=1, expected=204)


# As cri-dockerd looks for the container that has the name.
CONFLICT = re.compile(r"Conflict. (?:.)+ is already in use by container \"?([0-9a-z]+)\"?")


def cri_dockerd():
    info = ask("GET", "/info")
    same("cgroup driver", info["CgroupDriver"], "cgroupfs")
    assert os.path.isdir(info["DockerRootDir"]) and "runc" in info["Runtimes"], info
    major, minor = ask("GET", "/version")["ApiVersion"].split(".")
    assert (int(major), int(minor)) >= (1, 26), "its least"
    image = ask("GET", "/images/test:1/json")
    assert image["Size"] > 0 and "RepoTags" in image and "Config" in image, image
    assert isinstance(ask("GET", f"/images/{image['Id']}/history"), list), "an image has a history"

    try:
        with open("/proc/self/oom_score_adj", "w", encoding="utf-8") as file:
            file.write("-998")
        score = -998
    except PermissionError:
        score = 100
    pod = {
        "Hostname": "web", "Image": "test:1", "Cmd": ["sleep", "1000000"],
        "Labels": {"io.kubernetes.docker.type": "podsandbox", "io.kubernetes.pod.uid": "uid"},
        "HostConfig": {
            "IpcMode": "shareable", "CgroupParent": "/kubepods/burstable/poduid", "CpuShares": 2,
            "NetworkMode": "none", "OomScoreAdj": score, "PortBindings": {}, "UTSMode": "",
            "Sysctls": {"net.ipv4.ip_unprivileged_port_start": "0"}, "LogConfig": {},
            "SecurityOpt": ["no-new-privileges", "seccomp=unconfined"],
            "RestartPolicy": {"Name": "no"},
        },
    }
    name = "k8s_POD_web_default_uid_0"
    sandbox = ask("POST", "/containers/create", pod, name=name)["Id"]
    conflict = ask("POST", "/containers/create", pod, 409, name=name)["message"]
    same("who has the name", CONFLICT.search(conflict).group(1), sandbox)
    ask("POST", f"/containers/{sandbox}/start", expected=204)
    inspected = ask("GET", f"/containers/{sandbox}/json")
    pid = inspected["State"]["Pid"]
    same("mode", inspected["HostConfig"]["NetworkMode"], "none")
    assert os.path.exists(f"/proc/{pid}/ns/net"), "CNI enters here"
    with open(inspected["ResolvConfPath"], "w", encoding="utf-8") as file:
        file.write("nameserver 10.96.0.10\nsearch default.svc.cluster.local\noptions ndots:5\n")

    profile = {"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_AARCH64"],
               "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO"}]}
    labels = {"io.kubernetes.docker.type": "container", "io.kubernetes.sandbox.id": sandbox}
    script = "echo hello; cat; trap 'exit 5' TERM; while :; do sleep 1 & wait $!; done"
    web = ask("POST", "/containers/create", {
        "Image": image["Id"], "Entrypoint": ["sh", "-c"], "Cmd": [script], "Env": ["A=1"],
        "Labels": labels, "OpenStdin": True, "StdinOnce": True, "Tty": False, "WorkingDir": "",
        "Healthcheck": {"Test": ["NONE"]},
        "HostConfig": {
            "NetworkMode": f"container:{sandbox}", "IpcMode": f"container:{sandbox}",
            "PidMode": f"container:{sandbox}", "CgroupParent": "/kubepods/burstable/poduid",
            "Binds": [f"{DIRECTORY}/alloc:/data:ro"], "RestartPolicy": {"Name": "no"},
            "CpuShares": 102, "CpuPeriod": 100000, "CpuQuota": 50000, "Memory": 67108864,
            "MemorySwap": 67108864, "OomScoreAdj": max(score, 100), "Devices": [], "LogConfig": {},
            "SecurityOpt": ["seccomp=" + json.dumps(profile)], "CapDrop": ["MKNOD"],
            "MaskedPaths": ["/proc/acpi", "/proc/keys"], "ReadonlyPaths": ["/proc/sys"],
            "UsernsMode": "", "ReadonlyRootfs": True, "GroupAdd": ["1234"],
        },
    }, name="k8s_web_web_default_uid_0")["Id"]
    ask("POST", f"/containers/{web}/start", expected=204)

    def listed(**filters):
        rows = ask("GET", "/containers/json", all=1, limit=0, filters=json.dumps(filters))
        return sorted(row["Id"] for row in rows)

    # Its filters are of the older form, with names as members.
    same("sandboxes", listed(label={"io.kubernetes.docker.type=podsandbox": True}), [sandbox])
    same("in it", listed(label={f"io.kubernetes.sandbox.id={sandbox}": True}, status={"running": True}), [web])
    same("none has ended", listed(label={"io.kubernetes.docker.type=container": True}, status={"exited": True}), [])

    inspected = ask("GET", f"/containers/{web}/json")
    assert inspected["LogPath"].endswith("log.json"), "kubelet's log is a link to it"
    same("image", inspected["Image"], image["Id"])
    path = f"/containers/{web}/attach?stream=1&stdin=1&stdout=1&stderr=1&logs=0"
    same("attach", frames(hijack(path, {}, b"typed\n", b"typed\n"))[1], b"typed\n")
    with open(inspected["LogPath"], encoding="utf-8") as file:
        same("the log", json.loads(file.readline())["log"], "hello\n")
    same("resolv.conf", execute(web, "head", "-n", "1", "/etc/resolv.conf")[0], "nameserver 10.96.0.10\n")
    same("hostname", execute(web, "hostname")[0], "web\n")
    same("a shared pid namespace", execute(web, "cat", "/proc/1/comm")[0], "sleep\n")
    same("seccomp", execute(web, "mkdir", "/dev/shm/x")[2], 1)
    same("paths that are masked", execute(web, "cat", "/proc/keys")[0], "")
    assert "1234" in execute(web, "id", "-G")[0].split(), "a group more"
    same("a process", execute(web, "sh", "-c", "echo $A; exit 9"), ("1\n", "", 9))

    tty = ask("POST", f"/containers/{web}/exec", {
        "AttachStdin": True, "AttachStdout": True, "AttachStderr": True, "Tty": True,
        "Cmd": ["sh", "-c", "tty; read x; echo got $x"],
    })["Id"]
    out = hijack(f"/exec/{tty}/start", {"Detach": False, "Tty": True}, b"it\n")
    assert b"/dev/pts/" in out and b"got it" in out, out
    same("its end", ask("GET", f"/exec/{tty}/json")["Running"], False)
    stats = ask("GET", f"/containers/{web}/stats", stream="false")
    assert stats["cpu_stats"]["cpu_usage"]["total_usage"] > 0, stats
    changed = ask("POST", f"/containers/{web}/update", {"CpuShares": 204, "OomScoreAdj": 100})
    assert "Warnings" in changed, changed
    ask("POST", f"/containers/{web}/resize", h=24, w=80)

    ask("POST", f"/containers/{web}/stop", t=20, expected=204)
    state = ask("GET", f"/containers/{web}/json")["State"]
    same("its end", (state["Status"], state["ExitCode"]), ("exited", 5))
    assert state["FinishedAt"] > state["StartedAt"], state
    ask("POST", f"/containers/{sandbox}/stop", t=0, expected=204)
    for container in (web, sandbox):
        ask("DELETE", f"/containers/{container}", v=1, expected=204)
    ask("DELETE", f"/containers/{sandbox}", v=1, expected=404)


nomad()
cri_dockerd()
print("all well")
