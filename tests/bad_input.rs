//! Nonsense on the socket and on the command line: one clear answer, and the engine lives.

use crate::harness::{Host, IMAGE, http, json, rounds};
use std::io::{Read, Write};

/// The engine is the one that was started, and still works.
fn assert_well(host: &mut Host) {
    assert!(
        host.engine_is_alive(),
        "the engine has died:\n{}",
        host.engine_log()
    );
    assert_eq!(host.http("GET", "/_ping", "").body, "OK");
}

#[test]
fn malformed_json_is_400_and_creates_nothing() {
    let mut host = Host::with_image("bad-json");
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    for body in [
        "{",
        "}",
        "[]",
        "null",
        "\"text\"",
        "1",
        "{\"Image\":}",
        "{\"Image\":1}",
        "{\"Image\":\"test\",\"Cmd\":\"not an array\"}",
        "{\"Image\":\"test\"",
        "{\"Image\":\"test\"} trailing",
        "\u{0}\u{1}\u{2}",
        &deep,
        "{\"Image\":\"test\",\"HostConfig\":[]}",
        "{\"Image\":\"test\",\"Env\":{}}",
    ] {
        let reply = host.http("POST", "/containers/create", body);
        let (status, message) = reply.error();
        assert_eq!(status, 400, "{:.60}: {message}", body);
        assert!(
            !message.is_empty() && !message.contains('\n'),
            "{message:?}"
        );
    }
    let (status, message) = host.http("POST", "/containers/create", "").error();
    assert_eq!(status, 400, "{message}");
    assert_eq!(host.ok(&["ps", "-aq"]), "");
    assert_well(&mut host);
}

#[test]
fn a_wrong_content_type_is_told() {
    let host = Host::new("content-type");
    let request = http::head(
        "POST",
        "/containers/create",
        "Content-Type: text/plain\r\nContent-Length: 2\r\nConnection: close\r\n",
    ) + "{}";
    let answer = http::raw(&host.socket(), request.as_bytes());
    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
}

#[test]
fn an_oversized_body_is_413() {
    let mut host = Host::new("oversized");
    let huge = format!("{{\"Image\":\"{}\"}}", "x".repeat(9_000_000));
    let request = http::head(
        "POST",
        "/containers/create",
        &format!(
            "Content-Type: application/json\r\nContent-Length: {}\r\n",
            huge.len()
        ),
    ) + &huge;
    let answer = http::raw(&host.socket(), request.as_bytes());
    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer:.200}");

    // The same in chunks, whose sum nobody has announced.
    let mut stream = http::connect(&host.socket()).unwrap();
    let headers = "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n";
    stream
        .write_all(http::head("POST", "/containers/create", headers).as_bytes())
        .unwrap();
    let chunk = format!("10000\r\n{}\r\n", "x".repeat(0x10000));
    for _ in 0..200 {
        if stream.write_all(chunk.as_bytes()).is_err() {
            break;
        }
    }
    let _ = stream.shutdown(std::net::Shutdown::Write);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    let answer = String::from_utf8_lossy(&answer);
    assert!(
        answer.is_empty() || answer.starts_with("HTTP/1.1 413 "),
        "{answer:.200}"
    );
    assert_well(&mut host);
}

#[test]
fn garbage_on_the_socket_is_answered_or_hung_up_on() {
    let mut host = Host::new("garbage");
    let long_header = format!("GET /_ping HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(200_000));
    let many_headers = format!("GET /_ping HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(20_000));
    let long_path = format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(200_000));
    for (bytes, statuses) in [
        (&b"\x00\x01\x02\x03\r\n\r\n"[..], &["400"][..]),
        (b"hello\r\n\r\n", &["400"]),
        (b"GET\r\n\r\n", &["400"]),
        (b"GET / HTTP/9.9\r\n\r\n", &["400", "505"]),
        (b"GET /_ping HTTP/1.1\r\nHost\r\n\r\n", &["400"]),
        (b"POST /containers/create HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", &["400"]),
        (b"POST /containers/create HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n", &["400", "413"]),
        (b"POST /containers/create HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", &["400"]),
        // Two lengths are two requests to two readers: request smuggling.
        (b"POST /containers/create HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", &["400"]),
        (b"POST /containers/create HTTP/1.1\r\nHost: x\r\nContent-Length: +5\r\n\r\nabcde", &["400"]),
        (b"POST /containers/create HTTP/1.1\r\nHost: x\r\nContent-Length: 0x5\r\n\r\nabcde", &["400"]),
        (b"POST /containers/create HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", &["400"]),
        (b"GET /_ping HTTP/1.1\r\nHost: x\r\nX: a\r\n b\r\n\r\n", &["400"]),
        (b"GET /_ping HTTP/1.1\r\nHost: x\n\r\n", &["400"]),
        (b"GET /_ping HTTP/1.1\nHost: x\n\n", &["400"]),
        (b"POST /containers/create HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n", &["400", "501"]),
        (b"POST /containers/create HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", &["400"]),
        (b"POST /containers/create HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n", &["400", "413"]),
        (b"POST /containers/create HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{", &["400"]),
        (long_header.as_bytes(), &["431", "400"]),
        (many_headers.as_bytes(), &["431", "400"]),
        (long_path.as_bytes(), &["414", "431", "400"]),
        (b"GET /%zz HTTP/1.1\r\nHost: x\r\n\r\n", &["400", "404"]),
        (b"GET /containers/%00/json HTTP/1.1\r\nHost: x\r\n\r\n", &["400", "404"]),
        (b"", &[""]),
        (b"GET /_ping HT", &["", "400"]),
    ] {
        let answer = http::raw(&host.socket(), bytes);
        let answer = String::from_utf8_lossy(&answer);
        let status = answer.split(' ').nth(1).unwrap_or("");
        let sent = String::from_utf8_lossy(&bytes[..bytes.len().min(80)]);
        // Hanging up at once is allowed for what is no HTTP at all.
        assert!(statuses.contains(&status) || status.is_empty(), "{sent:?}: {answer:.300}");
    }
    assert_well(&mut host);
}

#[test]
fn paths_cannot_lead_out_of_the_engines_directories() {
    let mut host = Host::with_image("traversal");
    for name in [
        "..",
        "../..",
        "..%2f..%2fetc",
        "%2e%2e%2f%2e%2e",
        "a%2f..%2f..",
        "*",
        "%20",
    ] {
        for (method, target) in [
            ("GET", format!("/containers/{name}/json")),
            ("DELETE", format!("/containers/{name}?force=1")),
            ("GET", format!("/images/{name}/json")),
            ("DELETE", format!("/images/{name}?force=1")),
            ("GET", format!("/exec/{name}/json")),
        ] {
            let status = host.http(method, &target, "").status;
            assert!((300..500).contains(&status), "{method} {target}: {status}");
        }
    }
    assert_eq!(host.ok(&["images", "-q"]).lines().count(), 1);
    assert_well(&mut host);
}

#[test]
fn slow_clients_do_not_delay_a_good_one() {
    let mut host = Host::new("slow-clients");
    let mut slow = Vec::new();
    for _ in 0..100 {
        if let Ok(mut stream) = http::connect(&host.socket()) {
            let _ = stream.write_all(b"GET /_ping HTTP/1.1\r\nHos");
            slow.push(stream);
        }
    }
    assert_well(&mut host);
    for stream in &mut slow {
        let _ = stream.write_all(b"t: x\r\n");
    }
    assert_well(&mut host);
    drop(slow);
    assert_well(&mut host);
}

/// The same numbers in each run, so that a failure can be repeated.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % end as u64) as usize
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.below(from.len())]
    }
}

#[test]
fn thousands_of_odd_requests_do_not_stop_the_engine() {
    let mut host = Host::with_image("odd-requests");
    host.ok(&["run", "-d", "--name", "web", IMAGE, "sleep", "1000"]);
    let pid = host.engine_pid();
    let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
    for round in 0..rounds(3000, 1_000_000) {
        let method = numbers.pick(&[
            "GET", "POST", "DELETE", "HEAD", "PUT", "PATCH", "OPTIONS", "X",
        ]);
        let version = numbers.pick(&["", "", "/v1.24", "/v1.41", "/v1.51", "/v9.9", "/v", "//"]);
        let target = numbers.pick(&[
            "/containers/create",
            "/containers/json",
            "/containers/web/json",
            "/containers/x/json",
            "/containers/web/logs",
            "/containers/x/kill",
            "/containers/x/start",
            "/images/json",
            "/images/create",
            "/images/load",
            "/images/test/json",
            "/exec/x/start",
            "/_ping",
            "/containers/web/exec",
            "/containers/web/resize",
            "/containers/x/wait",
            "/info",
            "/",
            "/version",
            "/nothing",
            "/containers//json",
            "/images//json",
            "/containers/x/attach",
        ]);
        let query = numbers.pick(&[
            "",
            "",
            "?all=1",
            "?filters={",
            "?filters=%7B%22status%22%3A%5B%22up%22%5D%7D",
            "?h=-1&w=x",
            "?signal=0",
            "?signal=NOPE",
            "?stdout=1&tail=-5",
            "?limit=99999999999999999999",
            "?%",
            "?name=%ff",
            "?since=yesterday",
            "?a=b&a=c&&&=",
            "?fromSrc=/etc/passwd",
            "?tail=x&stderr=1",
        ]);
        let body = numbers.pick(&[
            "",
            "{}",
            "[]",
            "{\"Image\":\"test\",\"HostConfig\":{\"Memory\":-9}}",
            "{\"Cmd\":[]}",
            "{\"Cmd\":null}",
            "\u{fffd}",
            "{\"Detach\":true}",
            "{\"Image\":\"\"}",
        ]);
        // To create from JSON without a name is legal and would fill the machine; leave that out.
        let request = format!(
            "{method} {version}{target}{query} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let answer = http::raw(&host.socket(), request.as_bytes());
        let answer = String::from_utf8_lossy(&answer);
        assert!(
            answer.is_empty() || answer.starts_with("HTTP/1.1 ") || answer.starts_with("HTTP/1.0 "),
            "round {round}: {request:?}: {answer:.200}"
        );
    }
    assert_eq!(host.engine_pid(), pid);
    assert_well(&mut host);
    assert_eq!(host.ok(&["exec", "web", "echo", "well"]), "well");
}

#[test]
fn random_bytes_do_not_stop_the_engine() {
    let mut host = Host::new("random-bytes");
    let mut numbers = Numbers(0x2545_f491_4f6c_dd1d);
    let good = b"POST /v1.41/containers/create?name=x HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\
                 Content-Type: application/json\r\nContent-Length: 16\r\n\r\n{\"Image\":\"none\"}";
    for _ in 0..rounds(1000, 300_000) {
        let mut bytes = good.to_vec();
        for _ in 0..=numbers.below(6) {
            let at = numbers.below(bytes.len());
            bytes[at] = u8::try_from(numbers.below(256)).unwrap();
        }
        bytes.truncate(1 + numbers.below(bytes.len() * 2));
        http::raw(&host.socket(), &bytes);
    }
    assert_well(&mut host);
}

#[test]
fn bad_mounts_are_refused_with_dockers_words() {
    let mut host = Host::with_image("bad-mounts");
    let dir = host.make_dir("dir");
    for (volume, sentence) in [
        (format!("{dir}:relative"), "invalid volume specification"),
        (format!("{dir}:/data:sideways"), "invalid mode: sideways"),
        (format!("{dir}:/data:ro:rw"), "invalid volume specification"),
        (
            ":/data".to_string(),
            "invalid spec: :/data: empty section between colons",
        ),
    ] {
        let output = host.tug(&["run", "--rm", "-v", &volume, IMAGE, "true"]);
        assert_eq!(
            (output.code, output.stdout.as_str()),
            (125, ""),
            "{volume}: {output:?}"
        );
        assert!(output.stderr.contains(sentence), "{volume}: {output:?}");
    }
    let mount = |mount: &str| {
        let body =
            format!(r#"{{"Image":"{IMAGE}","Cmd":["true"],"HostConfig":{{"Mounts":[{mount}]}}}}"#);
        host.http("POST", "/containers/create", &body).error()
    };
    let (status, message) = mount(r#"{"Type":"bind","Source":"/no/such/dir","Target":"/data"}"#);
    assert_eq!(status, 400, "{message}");
    assert_eq!(
        message,
        "invalid mount config for type \"bind\": bind source path does not exist: /no/such/dir"
    );
    let (status, message) = mount(r#"{"Type":"nosuch","Target":"/data"}"#);
    assert_eq!(status, 400, "{message}");
    assert_eq!(host.ok(&["ps", "-aq"]), "");
    assert_well(&mut host);
}

#[test]
fn huge_arguments_and_environments_are_run_or_refused() {
    let mut host = Host::with_image("huge");
    let run = |count: usize, size: usize| {
        let env: Vec<String> = (0..count)
            .map(|n| format!("\"V{n}={}\"", "x".repeat(size)))
            .collect();
        let body = format!(
            r#"{{"Image":"{IMAGE}","Cmd":["sh","-c","echo ran"],"Env":[{}]}}"#,
            env.join(",")
        );
        let created = host.http("POST", "/containers/create?name=huge", &body);
        assert_eq!(created.status, 201, "{created:?}");
        let started = host.http("POST", "/containers/huge/start", "");
        if started.status == 204 {
            host.ok(&["wait", "huge"]);
        }
        let printed = host.ok(&["logs", "huge"]);
        host.ok(&["rm", "-f", "huge"]);
        (started.status, printed)
    };
    assert_eq!(run(1000, 100), (204, "ran".to_string()));
    // The kernel takes 128 KiB a string, with the name and the zero at its end.
    assert_eq!(run(1, 131_000), (204, "ran".to_string()));
    let (status, printed) = run(1, 140_000);
    assert!((400..=500).contains(&status), "{status}");
    assert_eq!(printed, "");
    assert_well(&mut host);
}

#[test]
fn the_message_of_an_error_is_one_json_object() {
    let host = Host::new("error-shape");
    let reply = host.http("GET", "/containers/nosuch/json", "");
    assert_eq!(reply.status, 404);
    assert_eq!(reply.header("Content-Type"), Some("application/json"));
    assert_eq!(
        reply.body.trim_end(),
        "{\"message\":\"No such container: nosuch\"}"
    );
    json::parse(&reply.body);
}
