//! attach by a websocket (RFC 6455), with a client that writes its frames by hand.

use crate::harness::{Host, IMAGE, eventually, http};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

/// What the standard's own example sends and gets.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

struct Client(UnixStream);

fn handshake(target: &str) -> String {
    let headers = format!(
        "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: {KEY}\r\n"
    );
    http::head("GET", target, &headers)
}

impl Client {
    /// A websocket to `target`, which opens with `frames`.
    fn open(host: &Host, target: &str, frames: &[u8]) -> Client {
        let mut stream = http::connect(&host.socket()).unwrap();
        let mut request = handshake(target).into_bytes();
        request.extend_from_slice(frames);
        stream.write_all(&request).unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        let head = String::from_utf8(head).unwrap();
        assert!(
            head.starts_with("HTTP/1.1 101 Switching Protocols\r\n"),
            "{head}"
        );
        assert!(head.contains("\r\nUpgrade: websocket\r\n"), "{head}");
        assert!(
            head.contains(&format!("\r\nSec-WebSocket-Accept: {ACCEPT}\r\n")),
            "{head}"
        );
        Client(stream)
    }

    fn send(&mut self, opcode: u8, payload: &[u8]) {
        self.0.write_all(&frame(opcode, payload)).unwrap();
    }

    /// The next frame: its opcode and what it carries.
    fn next(&mut self) -> (u8, Vec<u8>) {
        let mut head = [0; 2];
        self.0.read_exact(&mut head).unwrap();
        assert_eq!(head[0] & 0xf0, 0x80, "whole messages only");
        let length = match head[1] {
            126 => {
                let mut length = [0; 2];
                self.0.read_exact(&mut length).unwrap();
                u64::from(u16::from_be_bytes(length))
            }
            127 => {
                let mut length = [0; 8];
                self.0.read_exact(&mut length).unwrap();
                u64::from_be_bytes(length)
            }
            length => {
                assert!(length < 126, "the server masks nothing");
                u64::from(length)
            }
        };
        let mut payload = vec![0; usize::try_from(length).unwrap()];
        self.0.read_exact(&mut payload).unwrap();
        (head[0] & 0x0f, payload)
    }

    /// Read until so much has come, in frames of `opcode`.
    fn bytes(&mut self, opcode: u8, count: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        while bytes.len() < count {
            let (found, payload) = self.next();
            assert_eq!(found, opcode);
            bytes.extend(payload);
        }
        bytes
    }

    fn assert_end(&mut self) {
        assert_eq!(self.0.read(&mut [0]).unwrap(), 0, "nothing follows a close");
    }
}

fn frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x80 | opcode];
    match payload.len() {
        length @ 0..126 => frame.push(0x80 | u8::try_from(length).unwrap()),
        length @ 126..=0xffff => {
            frame.push(0x80 | 126);
            frame.extend(u16::try_from(length).unwrap().to_be_bytes());
        }
        length => {
            frame.push(0x80 | 127);
            frame.extend((length as u64).to_be_bytes());
        }
    }
    let mask = [0x5a, 0, 0xff, 7];
    frame.extend(mask);
    frame.extend(
        payload
            .iter()
            .enumerate()
            .map(|(at, byte)| byte ^ mask[at % 4]),
    );
    frame
}

#[test]
fn a_websocket_carries_input_and_output() {
    let host = Host::with_image("websocket");
    host.ok(&["run", "-di", "--name", "cat", IMAGE, "cat"]);
    let target = "/containers/cat/attach/ws?stream=1&stdin=1&stdout=1&stderr=1";
    // The first frame may come right behind the handshake.
    let mut client = Client::open(&host, target, &frame(TEXT, b"one\n"));
    assert_eq!(client.bytes(BINARY, 4), b"one\n");
    client.send(PING, b"are you there?");
    assert_eq!(client.next(), (PONG, b"are you there?".to_vec()));

    let large: Vec<u8> = (0..300_000u32).map(|n| b'a' + (n % 23) as u8).collect();
    let mut sender = Client(client.0.try_clone().unwrap());
    let copy = large.clone();
    let thread = std::thread::spawn(move || sender.send(BINARY, &copy));
    assert_eq!(client.bytes(BINARY, large.len()), large);
    thread.join().unwrap();

    // Closing says goodbye to the client, and no end to the container's input.
    client.send(CLOSE, &1000u16.to_be_bytes());
    assert_eq!(client.next(), (CLOSE, vec![3, 232]));
    client.assert_end();
    host.ok(&["kill", "cat"]);
}

#[test]
fn the_end_of_the_container_closes_the_websocket() {
    let host = Host::with_image("websocket-end");
    let script = "echo out; echo err >&2; read line; echo read $line";
    host.ok(&["run", "-di", "--name", "web", IMAGE, "sh", "-c", script]);
    eventually("both lines are in the log", || {
        let printed = host.tug(&["logs", "web"]);
        !printed.stdout.is_empty() && !printed.stderr.is_empty()
    });
    // Clients of old versions cannot choose the streams, and get text.
    let target = "/v1.27/containers/web/attach/ws?stream=1&logs=1";
    let mut client = Client::open(&host, target, b"");
    let mut lines: Vec<u8> = client.bytes(TEXT, 8);
    lines.sort_unstable();
    assert_eq!(
        lines, b"\n\neorrtu",
        "no frames of ours within the websocket's"
    );
    client.send(TEXT, b"me\n");
    assert_eq!(client.bytes(TEXT, 8), b"read me\n");
    assert_eq!(client.next(), (CLOSE, vec![3, 232]));
    client.send(CLOSE, &[3, 232]);
    client.assert_end();
    assert_eq!(host.ok(&["wait", "web"]), "0");
}

#[test]
fn a_websocket_that_comes_before_the_start_sees_all() {
    let host = Host::with_image("websocket-early");
    host.ok(&["create", "--name", "web", IMAGE, "echo", "hello"]);
    let target = "/containers/web/attach/ws?stream=1&stdout=1";
    let mut client = Client::open(&host, target, b"");
    host.ok(&["start", "web"]);
    assert_eq!(client.bytes(BINARY, 6), b"hello\n");
    assert_eq!(client.next(), (CLOSE, vec![3, 232]));
    host.ok(&["wait", "web"]);
}

#[test]
fn what_is_no_websocket_is_refused() {
    let host = Host::with_image("websocket-refused");
    host.ok(&["run", "-d", "--name", "web", IMAGE, "sleep", "1000"]);
    let target = "/containers/web/attach/ws?stream=1&stdout=1";
    let (status, message) = host.http("GET", target, "").error();
    assert_eq!(status, 400, "{message}");
    for (from, to) in [
        ("Version: 13", "Version: 12"),
        (KEY, "short"),
        ("websocket\r", "tcp\r"),
    ] {
        let request = handshake(target).replace(from, to);
        let answer = http::raw(&host.socket(), request.as_bytes());
        let answer = String::from_utf8_lossy(&answer);
        assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    }
    let request = handshake("/containers/nosuch/attach/ws");
    let answer = http::raw(&host.socket(), request.as_bytes());
    assert!(answer.starts_with(b"HTTP/1.1 404 "));

    // A frame without a mask: protocol error.
    let mut client = Client::open(&host, target, b"\x81\x01x");
    assert_eq!(client.next(), (CLOSE, vec![3, 234]));
    client.assert_end();
    assert_eq!(host.inspect("web", "State.Running"), "true");
}
