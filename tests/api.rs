//! The HTTP API as clients meet it: versions, errors, bodies, connections.

use crate::harness::http::{self, head, read_reply};
use crate::harness::rootfs::busybox;
use crate::harness::{Host, IMAGE, json};
use std::io::{Read, Write};

#[test]
fn ping_tells_who_answers() {
    let host = Host::new("ping");
    for method in ["GET", "HEAD"] {
        let reply = host.http(method, "/_ping", "");
        assert_eq!(reply.status, 200);
        assert_eq!(reply.body, if method == "GET" { "OK" } else { "" });
        assert_eq!(reply.header("Api-Version"), Some("1.51"));
        assert_eq!(reply.header("Ostype"), Some("linux"));
        assert_eq!(reply.header("Docker-Experimental"), Some("false"));
        assert!(
            reply
                .header("Content-Type")
                .unwrap()
                .starts_with("text/plain"),
            "{reply:?}"
        );
        assert!(
            reply.header("Server").unwrap().starts_with("Tug/"),
            "{reply:?}"
        );
        assert!(
            reply.header("Cache-Control").unwrap().contains("no-cache"),
            "{reply:?}"
        );
    }
}

#[test]
fn version_tells_the_api_and_the_kernel() {
    let host = Host::new("version");
    let version = host.get("/version");
    assert_eq!(version.string("ApiVersion"), "1.51");
    assert_eq!(version.string("MinAPIVersion"), "1.24");
    assert_eq!(version.string("Version"), env!("CARGO_PKG_VERSION"));
    assert_eq!(version.string("Os"), "linux");
    assert_eq!(
        version.string("Arch"),
        crate::harness::rootfs::architecture()
    );
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    assert_eq!(version.string("KernelVersion"), release.trim());
}

#[test]
fn info_counts_what_is_there() {
    let host = Host::with_image("info");
    host.ok(&["run", "-d", IMAGE, "sleep", "1000"]);
    let ended = host.ok(&["run", "-d", IMAGE, "true"]);
    host.ok(&["wait", &ended]);
    let info = host.get("/info");
    for (member, expected) in [
        ("Containers", 2),
        ("ContainersRunning", 1),
        ("ContainersPaused", 0),
        ("ContainersStopped", 1),
        ("Images", 1),
    ] {
        assert_eq!(info.number(member), expected, "{member}");
    }
    assert_eq!(info.string("Driver"), "overlay2");
    assert_eq!(
        info.string("DockerRootDir"),
        host.data_root().to_str().unwrap()
    );
    assert_eq!(info.string("OSType"), "linux");
    assert!(info.number("NCPU") >= 1);
    assert!(info.number("MemTotal") > 1 << 20);
    // What this kernel lacks is told on the other stream.
    let text = host.tug(&["info"]).stdout;
    assert!(
        text.contains(" Containers: 2\n  Running: 1\n  Paused: 0\n  Stopped: 1"),
        "{text}"
    );
}

#[test]
fn versions_in_the_path_are_checked() {
    let host = Host::new("api-versions");
    for version in ["v1.24", "v1.25", "v1.41", "v1.51"] {
        assert_eq!(
            host.http("GET", &format!("/{version}/_ping"), "").status,
            200,
            "{version}"
        );
        assert_eq!(
            host.http("GET", &format!("/{version}/version"), "").status,
            200,
            "{version}"
        );
    }
    assert_eq!(
        host.http("GET", "/v1.23/version", "").error(),
        (
            400,
            "client version 1.23 is too old. Minimum supported API version is 1.24, please \
             upgrade your client to a newer version"
                .to_string()
        )
    );
    assert_eq!(
        host.http("GET", "/v1.99/version", "").error(),
        (
            400,
            "client version 1.99 is too new. Maximum supported API version is 1.51".to_string()
        )
    );
}

#[test]
fn an_unknown_page_is_404() {
    let host = Host::new("page-not-found");
    for (method, target) in [
        ("GET", "/"),
        ("GET", "/nothing"),
        ("GET", "/v1.41/nothing"),
        ("GET", "/v1.99/nothing"),
        ("DELETE", "/version"),
        ("POST", "/containers/json"),
        ("GET", "/v1.41"),
        ("GET", "/vx/version"),
        ("PUT", "/containers/create"),
    ] {
        let reply = host.http(method, target, "");
        assert_eq!(
            reply.error(),
            (404, "page not found".to_string()),
            "{method} {target}"
        );
    }
}

#[test]
fn a_path_has_one_spelling() {
    let host = Host::new("api-spelling");
    for (target, expected) in [
        ("//version", "/version"),
        ("/v1.41//info?a=b%20c", "/v1.41/info?a=b%20c"),
        ("/containers/../version", "/version"),
        ("/containers/%2Fweb/json", "/containers/web/json"),
    ] {
        let reply = host.http("GET", target, "");
        assert_eq!(
            (reply.status, reply.header("Location")),
            (301, Some(expected)),
            "{target}"
        );
    }
    assert_eq!(host.http("GET", "/version/", "").status, 404);
}

#[test]
fn what_docker_has_and_we_have_not_answers_as_docker_without_it() {
    let host = Host::new("api-without");
    let manager = "This node is not a swarm manager. Use \"docker swarm init\" or \"docker swarm \
                   join\" to connect this node to swarm and try again.";
    for path in [
        "/swarm",
        "/nodes",
        "/v1.41/services",
        "/tasks",
        "/secrets",
        "/configs/x",
    ] {
        assert_eq!(
            host.http("GET", path, "").error(),
            (503, manager.to_string()),
            "{path}"
        );
    }
    for (method, path, status, message) in [
        (
            "POST",
            "/swarm/leave",
            503,
            "This node is not part of a swarm",
        ),
        (
            "POST",
            "/swarm/init",
            501,
            "swarm mode is not supported: this engine runs the containers of its own machine",
        ),
        ("GET", "/volumes/x", 404, "get x: no such volume"),
        (
            "DELETE",
            "/networks/none",
            403,
            "none is a pre-defined network and cannot be removed",
        ),
        ("DELETE", "/networks/lab", 404, "network lab not found"),
        (
            "GET",
            "/containers/x/checkpoints",
            501,
            "checkpoint and restore are not supported",
        ),
    ] {
        let reply = host.http(method, path, "");
        assert_eq!(
            reply.error(),
            (status, message.to_string()),
            "{method} {path}"
        );
    }
    assert_eq!(host.get("/plugins").text(""), "[]");
    assert_eq!(
        host.get("/volumes").text(""),
        r#"{"Volumes":[],"Warnings":null}"#
    );
}

#[test]
fn the_built_in_networks_can_be_looked_at() {
    let host = Host::with_image("api-networks");
    let id = host.ok(&[
        "run",
        "-d",
        "--name",
        "web",
        "--network",
        "none",
        IMAGE,
        "sleep",
        "1000",
    ]);
    let list = host.get("/networks").items();
    let names: Vec<String> = list.iter().map(|item| item.string("Name")).collect();
    assert_eq!(names, ["host", "none"]);
    let none = host.get("/networks/none");
    assert_eq!(
        (none.string("Driver"), none.string("Scope")),
        ("null".into(), "local".into())
    );
    assert_eq!(none.string(&format!("Containers.{id}.Name")), "web");
    assert_eq!(host.get("/networks/host").text("Containers"), "{}");
    let of_container = host.inspect("web", "NetworkSettings.Networks.none.NetworkID");
    assert_eq!(of_container, none.text("Id"));
    let by_id = host.get(&format!("/networks/{}", &none.string("Id")[..12]));
    assert_eq!(by_id.string("Name"), "none");
    let filtered = host.get("/networks?filters=%7B%22driver%22:[%22host%22]%7D");
    assert_eq!(filtered.items().len(), 1);
    assert_eq!(filtered.string("0.Name"), "host");
}

#[test]
fn older_clients_find_what_they_read() {
    let host = Host::with_image("api-older");
    let image = format!("/images/{IMAGE}/json");
    let new = host.get(&image);
    assert_eq!(
        (new.text("VirtualSize"), new.text("ContainerConfig")),
        ("null".into(), "null".into())
    );
    assert_eq!(new.text("Config.Hostname"), "null");
    let middle = host.get(&format!("/v1.44{image}"));
    assert_eq!(middle.text("VirtualSize"), "null");
    assert_eq!(middle.text("Config.Hostname"), "\"\"");
    let old = host.get(&format!("/v1.24{image}"));
    assert_eq!(old.number("VirtualSize"), old.number("Size"));
    for member in ["Config.AttachStdin", "ContainerConfig.Tty"] {
        assert_eq!(old.text(member), "false", "{member}");
    }
    let list = |version: &str| host.get(&format!("{version}/images/json"));
    assert_eq!(list("/v1.43").number("0.VirtualSize"), old.number("Size"));
    assert_eq!(list("/v1.44").text("0.VirtualSize"), "null");
    assert_eq!(host.get("/v1.41/info").text("KernelMemory"), "false");
    assert_eq!(host.get("/info").text("KernelMemory"), "null");
}

#[test]
fn inspect_has_every_member_that_docker_has() {
    let host = Host::with_image("api-members");
    host.ok(&["create", "--name", "web", IMAGE, "true"]);
    let found = host.http("GET", "/containers/web/json?size=1", "").body;
    for member in [
        "ExecIDs",
        "VolumesFrom",
        "Links",
        "Isolation",
        "BlkioWeightDevice",
        "MemorySwappiness",
        "OnBuild",
        "StdinOnce",
        "SandboxKey",
        "IPAMConfig",
        "DNSNames",
        "SizeRw",
        "SizeRootFs",
    ] {
        assert!(
            found.contains(&format!("\"{member}\":")),
            "{member} is not in {found}"
        );
    }
    assert!(
        !host
            .http("GET", "/containers/web/json", "")
            .body
            .contains("SizeRw")
    );
    let info = host.http("GET", "/info", "").body;
    for member in [
        "Plugins",
        "Swarm",
        "RegistryConfig",
        "RuncCommit",
        "InitCommit",
        "CDISpecDirs",
        "SecurityOptions",
        "GenericResources",
    ] {
        assert!(
            info.contains(&format!("\"{member}\":")),
            "{member} is not in {info}"
        );
    }
    assert_eq!(host.get("/info").string("Swarm.LocalNodeState"), "inactive");
}

#[test]
fn create_answers_201_with_the_id() {
    let host = Host::with_image("create");
    let body = format!(r#"{{"Image":"{IMAGE}","Cmd":["true"],"Labels":{{"a":"b"}}}}"#);
    let reply = host.http("POST", "/v1.41/containers/create?name=web", &body);
    assert_eq!(reply.status, 201, "{reply:?}");
    let id = json::parse(&reply.body).string("Id");
    assert_eq!(json::parse(&reply.body).text("Warnings"), "[]");
    assert_eq!(id.len(), 64);

    let found = host.get("/containers/web/json");
    assert_eq!(found.string("Id"), id);
    assert_eq!(found.string("State.Status"), "created");
    assert_eq!(found.text("Config.Labels"), r#"{"a":"b"}"#);
    assert_eq!(found.string("Config.Image"), IMAGE);
    assert_eq!(found.string("Config.Hostname"), id[..12]);
    assert!(found.string("Image").starts_with("sha256:"));

    let image = r#"{"Image":"nosuch","Cmd":["true"]}"#;
    assert_eq!(
        host.http("POST", "/containers/create", image).error(),
        (404, "No such image: nosuch:latest".to_string())
    );
    let none = format!(r#"{{"Image":"{IMAGE}"}}"#);
    let (status, message) = host.http("POST", "/containers/create", &none).error();
    assert_eq!((status, message.as_str()), (400, "no command specified"));
}

#[test]
fn the_list_can_be_filtered() {
    let host = Host::with_image("filters");
    let make = |name: &str, label: &str| {
        let body = format!(
            r#"{{"Image":"{IMAGE}","Cmd":["sleep","1000"],"Labels":{{"kind":"{label}"}}}}"#
        );
        let reply = host.http("POST", &format!("/containers/create?name={name}"), &body);
        json::parse(&reply.body).string("Id")
    };
    let one = make("one", "a");
    make("two", "b");
    assert_eq!(host.http("POST", "/containers/one/start", "").status, 204);
    let names = |filters: &str| {
        let filters: String = filters.bytes().map(|byte| format!("%{byte:02x}")).collect();
        let list = host.get(&format!("/containers/json?all=1&filters={filters}"));
        let mut names: Vec<String> = list
            .items()
            .iter()
            .map(|item| item.string("Names.0"))
            .collect();
        names.sort();
        names.join(" ")
    };
    assert_eq!(names("{}"), "/one /two");
    assert_eq!(names(r#"{"status":["running"]}"#), "/one");
    assert_eq!(names(r#"{"status":["created"]}"#), "/two");
    assert_eq!(names(r#"{"label":["kind=b"]}"#), "/two");
    assert_eq!(names(r#"{"label":["kind"]}"#), "/one /two");
    assert_eq!(names(r#"{"name":["on"]}"#), "/one");
    assert_eq!(names(&format!(r#"{{"id":["{}"]}}"#, &one[..12])), "/one");
    // Docker's older form of the same.
    assert_eq!(names(r#"{"label":{"kind=b":true}}"#), "/two");
    let (status, _) = host.http("GET", "/containers/json?filters=%7B", "").error();
    assert_eq!(status, 400);
    let (status, message) = host
        .http(
            "GET",
            "/containers/json?filters=%7B%22nosuch%22%3A%5B%22x%22%5D%7D",
            "",
        )
        .error();
    assert_eq!(status, 400, "{message}");
}

#[test]
fn every_filter_of_the_list_works() {
    let host = Host::with_image("all-filters");
    let data = host.make_dir("data");
    let body = format!(
        r#"{{"Image":"{IMAGE}","Cmd":["sh","-c","exit 3"],"ExposedPorts":{{"80/tcp":{{}},"53/udp":{{}}}},"HostConfig":{{"NetworkMode":"none","Binds":["{data}:/data"]}}}}"#
    );
    let reply = host.http("POST", "/containers/create?name=web-1", &body);
    assert_eq!(reply.status, 201, "{reply:?}");
    host.ok(&["start", "web-1"]);
    host.ok(&["wait", "web-1"]);
    host.import("other", &busybox());
    host.ok(&[
        "create",
        "--name",
        "web-2",
        "--network",
        "host",
        "other",
        "true",
    ]);
    let names = |filters: &[&str]| {
        let mut line = vec!["ps", "-a", "--format", "{{.Names}}"];
        for filter in filters {
            line.extend(["-f", filter]);
        }
        host.ok(&line).replace('\n', " ")
    };
    for (filters, expected) in [
        (&["name=web"][..], "web-2 web-1"),
        (&["name=^web-[2-9]$"], "web-2"),
        (&["name=^/web-1$"], "web-1"),
        (&["name=(1|2)$"], "web-2 web-1"),
        (&["name=2", "name=1"], "web-2 web-1"),
        (&["exited=3"], "web-1"),
        (&["exited=0"], ""),
        (&["status=created", "status=exited"], "web-2 web-1"),
        (&["ancestor=other"], "web-2"),
        (&["ancestor=nosuch"], ""),
        (&["before=web-2"], "web-1"),
        (&["since=web-1"], "web-2"),
        (&["network=none"], "web-1"),
        (&["volume=/data"], "web-1"),
        (&["expose=80"], "web-1"),
        (&["expose=50-60/udp"], "web-1"),
        (&["expose=81"], ""),
        (&["publish=80"], ""),
        (&["health=none"], "web-2 web-1"),
        (&["health=healthy"], ""),
        (&["is-task=true"], ""),
        (&["is-task=false", "isolation=default"], "web-2 web-1"),
    ] {
        assert_eq!(names(filters), expected, "{filters:?}");
    }
    for (filter, message) in [
        ("status=lost", "invalid filter 'status=lost'"),
        ("health=ill", "invalid filter 'health=ill'"),
        ("is-task=maybe", "invalid filter 'is-task=[maybe]'"),
        ("exited=x", "strconv.Atoi: parsing \"x\": invalid syntax"),
        ("before=nosuch", "No such container: nosuch"),
        (
            "expose=x",
            "error while looking up for expose x: invalid port \"x\"",
        ),
        (
            "publish=1:2",
            "filter for 'publish' should not contain ':': 1:2",
        ),
    ] {
        host.tug(&["ps", "-f", filter]).assert_refused(1, message);
    }
}

#[test]
fn a_chunked_body_and_expect_continue_are_understood() {
    let host = Host::new("chunked");
    let tar = busybox();
    let mut stream = http::connect(&host.socket()).unwrap();
    let headers = "Transfer-Encoding: chunked\r\nExpect: 100-continue\r\n\
                   Content-Type: application/x-tar\r\n";
    let request = head("POST", "/images/create?fromSrc=-&repo=test", headers);
    stream.write_all(request.as_bytes()).unwrap();
    let go = read_reply(&mut stream, false).unwrap();
    assert_eq!(go.status, 100, "{go:?}");
    for chunk in tar.chunks(77_777) {
        write!(stream, "{:x};extension=1\r\n", chunk.len()).unwrap();
        stream.write_all(chunk).unwrap();
        stream.write_all(b"\r\n").unwrap();
    }
    stream.write_all(b"0\r\nTrailer: ignored\r\n\r\n").unwrap();
    let reply = read_reply(&mut stream, false).unwrap();
    assert_eq!(reply.status, 200, "{reply:?}");
    let status = json::parse(reply.body.lines().last().unwrap()).string("status");
    assert!(status.starts_with("sha256:"), "{status}");
    assert_eq!(host.ok(&["run", "--rm", "test", "echo", "ran"]), "ran");
}

#[test]
fn a_connection_serves_many_requests() {
    let host = Host::new("keep-alive");
    let mut stream = http::connect(&host.socket()).unwrap();
    for _ in 0..3 {
        stream
            .write_all(head("GET", "/version", "").as_bytes())
            .unwrap();
        let reply = read_reply(&mut stream, false).unwrap();
        assert_eq!(reply.status, 200);
        json::parse(&reply.body);
        stream
            .write_all(head("HEAD", "/_ping", "").as_bytes())
            .unwrap();
        assert_eq!(read_reply(&mut stream, true).unwrap().status, 200);
        stream
            .write_all(head("GET", "/containers/x/json", "").as_bytes())
            .unwrap();
        assert_eq!(read_reply(&mut stream, false).unwrap().status, 404);
    }
    // Both at once, answered in their order.
    let two = head("GET", "/_ping", "") + &head("GET", "/nothing", "");
    stream.write_all(two.as_bytes()).unwrap();
    assert_eq!(read_reply(&mut stream, false).unwrap().status, 200);
    assert_eq!(read_reply(&mut stream, false).unwrap().status, 404);
}

#[test]
fn a_client_of_http_1_0_is_served_and_hung_up_on() {
    let host = Host::new("http-1-0");
    let answer = http::raw(&host.socket(), b"GET /_ping HTTP/1.0\r\n\r\n");
    let answer = String::from_utf8_lossy(&answer);
    assert!(
        answer.contains(" 200 OK\r\n") && answer.ends_with("\r\n\r\nOK"),
        "{answer}"
    );
}

#[test]
fn an_unread_body_does_not_become_a_request() {
    let host = Host::new("unread-body");
    let mut stream = http::connect(&host.socket()).unwrap();
    let smuggled = head("GET", "/version", "");
    let headers = format!("Content-Length: {}\r\n", smuggled.len());
    let request = head("POST", "/nothing", &headers) + &smuggled;
    stream.write_all(request.as_bytes()).unwrap();
    assert_eq!(read_reply(&mut stream, false).unwrap().status, 404);
    stream
        .set_read_timeout(Some(std::time::Duration::from_millis(300)))
        .unwrap();
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest);
    assert!(rest.is_empty(), "{}", String::from_utf8_lossy(&rest));
}

#[test]
fn logs_without_a_terminal_are_framed_and_with_one_they_are_not() {
    let host = Host::with_image("log-frames");
    for (name, tty) in [("plain", false), ("terminal", true)] {
        let body = format!(
            r#"{{"Image":"{IMAGE}","Tty":{tty},"Cmd":["sh","-c","echo out; echo err >&2"]}}"#
        );
        let target = format!("/containers/create?name={name}");
        assert_eq!(host.http("POST", &target, &body).status, 201);
        assert_eq!(
            host.http("POST", &format!("/containers/{name}/start"), "")
                .status,
            204
        );
        host.ok(&["wait", name]);
    }
    let plain = host.http("GET", "/containers/plain/logs?stdout=1&stderr=1", "");
    assert_eq!(
        plain.header("Content-Type"),
        Some("application/vnd.docker.multiplexed-stream")
    );
    assert_eq!(
        http::split_streams(plain.body.as_bytes()),
        ("out\n".to_string(), "err\n".to_string())
    );
    let only = host.http("GET", "/containers/plain/logs?stderr=1", "");
    assert_eq!(
        http::split_streams(only.body.as_bytes()),
        (String::new(), "err\n".to_string())
    );
    let terminal = host.http("GET", "/containers/terminal/logs?stdout=1&stderr=1", "");
    assert_eq!(
        terminal.header("Content-Type"),
        Some("application/vnd.docker.raw-stream")
    );
    assert_eq!(terminal.body, "out\r\nerr\r\n");
    assert_eq!(
        host.http("GET", "/containers/plain/logs", "").error(),
        (
            400,
            "Bad parameters: you must choose at least one stream".to_string()
        )
    );
}
