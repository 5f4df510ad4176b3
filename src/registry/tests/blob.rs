//! Blobs over connections that break, and from registries that lie about them.

use super::*;
use std::sync::atomic::{AtomicUsize, Ordering};

const SIZE: usize = 200_000;

fn bytes() -> Vec<u8> {
    (0..SIZE).map(|n| (n % 253) as u8).collect()
}

/// Where a request wants to begin.
fn from(heard: &Heard) -> usize {
    let range = heard.header("range");
    range.map_or(0, |range| {
        range["bytes=".len()..range.len() - 1].parse().unwrap()
    })
}

/// An honest answer, of which only `count` bytes are sent.
fn part(heard: &Heard, count: usize) -> Reply {
    let (all, at) = (bytes(), from(heard));
    let status = match at {
        0 => "200 OK".to_string(),
        _ => format!(
            "206 Partial\r\nContent-Range: bytes {at}-{}/{SIZE}",
            SIZE - 1
        ),
    };
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n", SIZE - at);
    raw([head.as_bytes(), &all[at..SIZE.min(at + count)]].concat())
}

fn fetched(server: &Liar, attempts: u32) -> Result<Vec<u8>, String> {
    let settings = Settings {
        attempts,
        ..Settings::default()
    };
    content(&pull(&settings, &server.host()), &bytes(), 0)
}

#[test]
fn a_broken_connection_goes_on_where_it_was() {
    let server = Liar::start(|heard| part(heard, 70_000));
    assert_eq!(fetched(&server, 2).unwrap(), bytes());
    let froms: Vec<usize> = server.heard().iter().map(from).collect();
    assert_eq!(froms, [0, 70_000, 140_000]);
    // The caller may begin anywhere.
    let repository = pull(&Settings::default(), &server.host());
    assert_eq!(
        content(&repository, &bytes(), 150_000).unwrap(),
        bytes()[150_000..]
    );
}

#[test]
fn a_registry_without_ranges_is_read_again() {
    let count = AtomicUsize::new(0);
    let server = Liar::start(move |_| {
        let most = if count.fetch_add(1, Ordering::SeqCst) == 0 {
            70_000
        } else {
            SIZE
        };
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {SIZE}\r\n\r\n");
        raw([head.as_bytes(), &bytes()[..most]].concat())
    });
    assert_eq!(fetched(&server, 2).unwrap(), bytes());
    assert_eq!(server.lines().len(), 2);
}

#[test]
fn a_stalled_connection_is_given_up_and_another_made() {
    let count = AtomicUsize::new(0);
    let server = Liar::start(move |heard| {
        let mut reply = part(heard, 70_000);
        if count.fetch_add(1, Ordering::SeqCst) == 0 {
            reply.then = Then::Silence;
        }
        reply
    });
    assert_eq!(fetched(&server, 2).unwrap(), bytes());
    assert_eq!(server.lines().len(), 3);
}

#[test]
fn a_blob_is_tried_so_often_and_no_more() {
    for most in [0, 1] {
        let server = Liar::start(move |heard| part(heard, most));
        let error = fetched(&server, 3).unwrap_err();
        assert_eq!(server.lines().len(), 3, "{most}");
        let words = format!(
            "given up at {} of {SIZE} bytes: the connection was closed",
            most * 3
        );
        assert!(
            error.contains(&words)
                || error.contains("peer closed")
                || error.contains("unexpected end"),
            "{error}"
        );
        assert!(
            error.contains(&format!("given up at {} of {SIZE} bytes", most * 3)),
            "{error}"
        );
    }
    for status in [500, 503, 408] {
        let server = Liar::start(move |_| reply(status, "", ""));
        let error = fetched(&server, 2).unwrap_err();
        assert_eq!(server.lines().len(), 2, "{error}");
    }
    // What is not there will not come.
    for status in [403, 404, 429, 400] {
        let server = Liar::start(move |_| reply(status, "", ""));
        assert!(fetched(&server, 5).is_err());
        assert_eq!(server.lines().len(), 1, "{status}");
    }
    // And what was in trouble may come.
    let count = AtomicUsize::new(0);
    let server = Liar::start(move |heard| match count.fetch_add(1, Ordering::SeqCst) {
        0 | 1 => reply(503, "", "busy"),
        _ => part(heard, SIZE),
    });
    assert_eq!(fetched(&server, 3).unwrap(), bytes());
}

#[test]
fn a_blob_of_another_size_is_refused_at_once() {
    for length in [SIZE - 1, SIZE + 1, 0] {
        let server = Liar::start(move |_| reply(200, "", vec![0; length]));
        let error = fetched(&server, 5).unwrap_err();
        assert!(
            error.contains(&format!("has {length} bytes, the manifest says {SIZE}")),
            "{error}"
        );
        assert_eq!(server.lines().len(), 1);
    }
    // Where no length is told, what is too long is noticed at the end.
    let all = [b"HTTP/1.1 200 OK\r\n\r\n", &bytes()[..]].concat();
    let longer = [&all[..], b"x"].concat();
    let server = Liar::start(move |_| raw(longer.clone()));
    let error = fetched(&server, 5).unwrap_err();
    assert!(
        error.ends_with(&format!("is longer than its {SIZE} bytes")),
        "{error}"
    );
    let server = Liar::start(|_| Reply {
        bytes: b"HTTP/1.1 200 OK\r\n\r\n".to_vec(),
        then: Then::Endless,
    });
    assert!(fetched(&server, 5).unwrap_err().contains("is longer than"));
    let server = Liar::start(move |_| raw(all.clone()));
    assert_eq!(fetched(&server, 5).unwrap(), bytes());
}

#[test]
fn a_range_that_was_not_asked_for_is_refused() {
    for range in [
        "bytes 69999-199999/200000",
        "bytes 70000-199999/200001",
        "bytes 70000-199998/200000",
        "70000-199999/200000",
        "",
    ] {
        let server = Liar::start(move |heard| match from(heard) {
            0 => part(heard, 70_000),
            _ => raw(format!("HTTP/1.1 206 x\r\nContent-Range: {range}\r\n\r\n")),
        });
        let error = fetched(&server, 5).unwrap_err();
        assert!(
            error.contains("where bytes 70000-199999 of 200000 were asked for"),
            "{error}"
        );
        assert_eq!(server.lines().len(), 2);
    }
    // A star for the size is honest.
    let server = Liar::start(|heard| match from(heard) {
        0 => part(heard, 70_000),
        at => {
            let head = format!(
                "HTTP/1.1 206 x\r\nContent-Range: bytes {at}-{}/*\r\n\r\n",
                SIZE - 1
            );
            raw([head.as_bytes(), &bytes()[at..]].concat())
        }
    });
    assert_eq!(fetched(&server, 2).unwrap(), bytes());
}

#[test]
fn one_connection_serves_many_requests() {
    if skip("registry-connection") {
        return;
    }
    let registry = Registry::start();
    let repository = push(&Settings::default(), &registry.host());
    repository.upload(&mut &b"{}"[..]).unwrap();
    for _ in 0..20 {
        assert_eq!(content(&repository, b"{}", 0).unwrap(), b"{}");
        assert!(repository.manifest("none").is_err());
    }
    // The registry names the other end of each request's connection.
    let log = registry.log();
    let ends = log
        .split_whitespace()
        .filter(|word| word.starts_with("http.request.remoteaddr="));
    let ends: std::collections::BTreeSet<&str> = ends.collect();
    assert!((1..=3).contains(&ends.len()), "{ends:?}");
}
