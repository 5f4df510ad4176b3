//! Both ends against what peers may send, well meant or not.

use crate::error::Kind;
use crate::http::address::Address;
use crate::http::client::{Body as Sent, Client};
use crate::http::server::Connection;
use crate::sys;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::thread;

/// A connection whose peer has sent `bytes` and no more.
fn peer(bytes: &[u8]) -> (Connection, File) {
    let (ours, theirs) = sys::socket::pair().unwrap();
    let mut theirs = File::from(theirs);
    theirs.write_all(bytes).unwrap();
    rustix::net::shutdown(&theirs, rustix::net::Shutdown::Write).unwrap();
    (Connection::new(ours), theirs)
}

fn answer(connection: Connection, mut peer: File) -> String {
    drop(connection);
    let mut text = String::new();
    // The rest of a refused message may lie unread: then the kernel says "reset" at the end.
    let _ = peer.read_to_string(&mut text);
    text
}

#[test]
fn a_request_is_taken_apart() {
    let (mut connection, peer) = peer(
        b"\r\nPOST /v1.51/images/a%2Fb/tag?repo=x%20y&force=1 HTTP/1.1\r\nHost: d\r\n\
              Content-Length: 5\r\n\r\nhelloGET http://d/_ping HTTP/1.1\r\nhost:d\r\n\r\n",
    );
    let request = connection.next().unwrap().unwrap();
    assert_eq!(request.method, "POST");
    assert_eq!(request.path, "/v1.51/images/a/b/tag");
    assert_eq!(request.query.get("repo"), Some("x y"));
    assert!(request.query.flag("force"));
    assert_eq!(request.headers.get("HOST"), Some("d"));
    assert_eq!(connection.text(5).unwrap(), "hello");
    connection.respond(201, "text/plain", b"one").unwrap();

    assert_eq!(connection.next().unwrap().unwrap().path, "/_ping");
    let mut stream = connection.stream(200, "text/plain").unwrap();
    stream.write_all(b"two").unwrap();
    stream.finish().unwrap();
    assert!(connection.next().unwrap().is_none());
    assert_eq!(
        answer(connection, peer),
        "HTTP/1.1 201 Created\r\nContent-Type: text/plain\r\nContent-Length: 3\r\n\r\none\
             HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n\
             3\r\ntwo\r\n0\r\n\r\n"
    );
}

#[test]
fn chunks_are_put_together_and_the_next_request_is_found_behind_them() {
    let (mut connection, _peer) = peer(
        b"POST /a HTTP/1.1\r\nHost: d\r\nTransfer-Encoding: Chunked\r\n\r\n\
              3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nTrailer: x\r\n\r\n\
              POST /b HTTP/1.1\r\nHost: d\r\nTransfer-Encoding: chunked\r\n\r\n\
              3\r\nabc\r\n0\r\n\r\nGET /c HTTP/1.1\r\nHost: d\r\n\r\n",
    );
    connection.next().unwrap().unwrap();
    assert_eq!(connection.text(10).unwrap(), "abcde");
    connection.respond(200, "text/plain", b"").unwrap();
    // The body of /b is nobody's; it is skipped.
    assert_eq!(connection.next().unwrap().unwrap().path, "/b");
    connection.respond(200, "text/plain", b"").unwrap();
    assert_eq!(connection.next().unwrap().unwrap().path, "/c");
}

#[test]
fn what_may_smuggle_a_request_is_refused_and_the_connection_closed() {
    for headers in [
        "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n",
        "Content-Length: 3\r\nContent-Length: 3\r\n",
        "Content-Length: 3, 3\r\n",
        "Content-Length: +3\r\n",
        "Content-Length: 0x3\r\n",
        "Content-Length: -3\r\n",
        "Content-Length:\r\n",
        "Content-Length: 18446744073709551616\r\n",
        "Transfer-Encoding: xchunked\r\n",
        "Transfer-Encoding: gzip, chunked\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "X: a\r\n b\r\n",
        "X: a\n",
        "X: a\rb\r\n",
        "X : a\r\n",
        ": a\r\n",
        "X\r\n",
        "X: \0\r\n",
        "Host: e\r\n",
    ] {
        let text = format!("POST / HTTP/1.1\r\nHost: d\r\n{headers}\r\nabcGET / HTTP/1.1\r\n");
        let (mut connection, peer) = peer(text.as_bytes());
        assert!(connection.next().is_err(), "{headers:?}");
        assert!(connection.next().unwrap().is_none(), "{headers:?}");
        let answer = answer(connection, peer);
        assert!(answer.starts_with("HTTP/1.1 400 "), "{headers:?}: {answer}");
        assert!(
            answer.contains("\r\nConnection: close\r\n"),
            "{headers:?}: {answer}"
        );
    }
}

#[test]
fn bad_request_lines_are_refused() {
    for line in [
        "GET /",
        "GET  / HTTP/1.1",
        "GET / HTTP/2.0",
        "GET / HTTP/1.1 ",
        " GET / HTTP/1.1",
        "G(T / HTTP/1.1",
        "GET nowhere HTTP/1.1",
        "GET /%zz HTTP/1.1",
        "GET /%00 HTTP/1.1",
        "GET /a\u{e9} HTTP/1.1",
        "\u{16}\u{3}\u{1}",
    ] {
        let (mut connection, peer) = peer(format!("{line}\r\nHost: d\r\n\r\n").as_bytes());
        assert!(connection.next().is_err(), "{line:?}");
        assert!(
            answer(connection, peer).starts_with("HTTP/1.1 400 "),
            "{line:?}"
        );
    }
    let (mut connection, peer) = peer(b"GET / HTTP/1.1\r\n\r\n");
    assert!(connection.next().is_err());
    assert!(answer(connection, peer).contains("missing required Host header"));
}

#[test]
fn bad_chunks_end_the_connection() {
    for chunks in [
        "+3\r\nabc",
        "3\nabc",
        "3\r\nabcd\r\n",
        "10000000000000000\r\n",
        "g\r\n",
    ] {
        let (mut connection, _peer) = peer(
                format!("POST / HTTP/1.1\r\nHost: d\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}\r\n0\r\n\r\n")
                    .as_bytes(),
            );
        connection.next().unwrap().unwrap();
        assert_eq!(
            connection.text(100).unwrap_err().kind,
            Kind::Invalid,
            "{chunks:?}"
        );
        assert!(connection.next().unwrap().is_none(), "{chunks:?}");
    }
}

#[test]
fn a_head_without_end_is_refused() {
    let mut text = String::from("GET / HTTP/1.1\r\nHost: d\r\n");
    for n in 0..2000 {
        text.push_str(&format!("X-{n}: {}\r\n", "x".repeat(40)));
    }
    let (mut connection, peer) = peer(text.as_bytes());
    assert_eq!(connection.next().unwrap_err().kind, Kind::TooLarge);
    assert!(answer(connection, peer).starts_with("HTTP/1.1 431 "));
}

#[test]
fn a_body_beyond_the_limit_is_too_large() {
    for head in [
        "Content-Length: 11\r\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\nb\r\n",
    ] {
        let (mut connection, _peer) = peer(
            format!("POST / HTTP/1.1\r\nHost: d\r\n{head}hello world\r\n0\r\n\r\n").as_bytes(),
        );
        connection.next().unwrap().unwrap();
        assert_eq!(connection.text(10).unwrap_err().kind, Kind::TooLarge);
    }
}

#[test]
fn the_old_version_gets_one_answer_without_chunks() {
    let (mut connection, peer) = peer(b"GET / HTTP/1.0\r\n\r\nGET / HTTP/1.0\r\n\r\n");
    connection.next().unwrap().unwrap();
    let mut stream = connection.stream(200, "text/plain").unwrap();
    stream.write_all(b"one").unwrap();
    stream.finish().unwrap();
    assert!(connection.next().unwrap().is_none());
    assert!(answer(connection, peer).ends_with("Connection: close\r\n\r\none"));
}

#[test]
fn the_peer_is_told_to_go_on_only_when_its_body_is_wanted() {
    let text = b"POST / HTTP/1.1\r\nHost: d\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\nok";
    let (mut connection, first) = peer(text);
    connection.next().unwrap().unwrap();
    assert_eq!(connection.text(2).unwrap(), "ok");
    connection.respond(204, "", b"").unwrap();
    let answers = answer(connection, first);
    assert_eq!(
        answers,
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n"
    );

    let (mut connection, second) = peer(text);
    connection.next().unwrap().unwrap();
    connection.respond(413, "text/plain", b"").unwrap();
    assert!(connection.next().unwrap().is_none());
    assert!(!answer(connection, second).contains("Continue"));
}

/// Serve one connection on a socket in a directory of its own.
fn serve(name: &str, serve: impl FnOnce(Connection) + Send + 'static) -> (Client, PathBuf) {
    let path = std::env::temp_dir().join(format!("tug-http-{}-{name}", std::process::id()));
    let listener = sys::socket::listen(&path, 0o600, None).unwrap();
    thread::spawn(move || {
        use std::os::fd::AsFd;
        serve(Connection::new(
            sys::socket::accept(listener.as_fd()).unwrap(),
        ));
    });
    (
        Client::new(
            Address::Unix(path.clone()),
            "X-Of: ours\r\n".to_string(),
            None,
        ),
        path,
    )
}

#[test]
fn both_ends_understand_each_other() {
    let (client, path) = serve("send", |mut connection| {
        let request = connection.next().unwrap().unwrap();
        let mut bytes = Vec::new();
        connection.body().read_to_end(&mut bytes).unwrap();
        let sum: u64 = bytes.iter().map(|byte| u64::from(*byte)).sum();
        let ours = request.headers.get("x-of").unwrap_or_default();
        let text = format!("{} {sum} {ours}", request.path);
        connection
            .respond(200, "text/plain", text.as_bytes())
            .unwrap();
    });
    let mut source = &vec![1u8; 100_000][..];
    let response = client
        .send("POST", "/load", "", Sent::Stream(&mut source))
        .unwrap();
    assert_eq!(
        response.checked().unwrap().text().unwrap(),
        "/load 100000 ours"
    );
    std::fs::remove_file(path).unwrap();
}

#[test]
fn an_early_refusal_reaches_the_sender_of_a_large_body() {
    let (client, path) = serve("refuse", |mut connection| {
        connection.next().unwrap().unwrap();
        let body = br#"{"message":"no space"}"#;
        connection.respond(500, "application/json", body).unwrap();
        assert!(connection.next().unwrap().is_none());
    });
    let mut source = io::repeat(0).take(10_000_000);
    let response = client
        .send("POST", "/load", "", Sent::Stream(&mut source))
        .unwrap();
    assert_eq!(response.checked().err().unwrap().message, "no space");
    std::fs::remove_file(path).unwrap();
}

#[test]
fn an_upgraded_connection_carries_bytes_both_ways() {
    let (client, path) = serve("upgrade", |mut connection| {
        let request = connection.next().unwrap().unwrap();
        let kind = "application/vnd.docker.multiplexed-stream";
        assert_eq!(connection.upgrade(&request, kind).unwrap(), b"");
        let mut stream = File::from(connection.fd().try_clone_to_owned().unwrap());
        stream.write_all(b"there").unwrap();
        let mut heard = [0; 4];
        stream.read_exact(&mut heard).unwrap();
        stream.write_all(&heard).unwrap();
    });
    // The body has no part in what follows, read by the handler or not.
    let body = Sent::Json("{\"stream\":true}");
    let upgraded = client.upgrade("POST", "/attach", body).unwrap();
    let mut stream = File::from(upgraded.stream);
    stream.write_all(b"back").unwrap();
    let mut heard = upgraded.leftover;
    stream.read_to_end(&mut heard).unwrap();
    assert_eq!(heard, b"thereback");
    std::fs::remove_file(path).unwrap();
}
