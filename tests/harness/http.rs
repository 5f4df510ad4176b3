//! HTTP by hand, so that a test sees every byte.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

/// A whole answer.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    /// The status line and the header lines, as they came.
    pub head: String,
    /// The body, without its chunks.
    pub body: String,
}

impl Reply {
    /// The value of a header, found without regard to case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (found, value) = line.split_once(':')?;
            found.eq_ignore_ascii_case(name).then_some(value.trim())
        })
    }

    /// The status and the sentence of an error's body.
    pub fn error(&self) -> (u16, String) {
        (
            self.status,
            super::json::parse(&self.body).string("message"),
        )
    }
}

/// A connection with a time limit on reads and writes.
pub fn connect(socket: &Path) -> std::io::Result<UnixStream> {
    let stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(super::PATIENCE))?;
    stream.set_write_timeout(Some(super::PATIENCE))?;
    Ok(stream)
}

pub fn head(method: &str, target: &str, headers: &str) -> String {
    format!("{method} {target} HTTP/1.1\r\nHost: tug\r\n{headers}\r\n")
}

/// One request, one answer, one connection.
#[track_caller]
pub fn request(socket: &Path, method: &str, target: &str, body: &str) -> Reply {
    try_request(socket, method, target, body)
        .unwrap_or_else(|error| panic!("{method} {target}: {error}"))
}

pub fn try_get(socket: &Path, target: &str) -> Option<Reply> {
    try_request(socket, "GET", target, "").ok()
}

/// The same where the engine may die meanwhile.
pub fn try_request(
    socket: &Path,
    method: &str,
    target: &str,
    body: &str,
) -> std::io::Result<Reply> {
    let mut stream = connect(socket)?;
    let mut headers = String::from("Connection: close\r\n");
    if !body.is_empty() {
        headers.push_str(&format!(
            "Content-Type: application/json\r\nContent-Length: {}\r\n",
            body.len()
        ));
    }
    stream.write_all(head(method, target, &headers).as_bytes())?;
    stream.write_all(body.as_bytes())?;
    read_reply(&mut stream, method == "HEAD")
}

/// Send these bytes and read until the engine closes; whatever comes.
pub fn raw(socket: &Path, bytes: &[u8]) -> Vec<u8> {
    let mut stream = connect(socket).unwrap();
    // The engine may refuse before it has read all: that is an answer too.
    let _ = stream.write_all(bytes);
    let _ = stream.shutdown(std::net::Shutdown::Write);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    answer
}

/// Read one answer and leave the connection where it ends.
pub fn read_reply(stream: &mut impl Read, is_head: bool) -> std::io::Result<Reply> {
    let head = read_head(stream)?;
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok())
        .ok_or_else(|| std::io::Error::other(format!("no status in {head:?}")))?;
    let mut reply = Reply {
        status,
        head,
        body: String::new(),
    };
    let length = reply
        .header("Content-Length")
        .map(|length| length.parse().unwrap());
    let body = if is_head || matches!(status, 100..=199 | 204 | 304) {
        Vec::new()
    } else if reply.header("Transfer-Encoding") == Some("chunked") {
        read_chunks(stream)?
    } else if let Some(length) = length {
        let mut body = vec![0; length];
        stream.read_exact(&mut body)?;
        body
    } else {
        let mut body = Vec::new();
        stream.read_to_end(&mut body)?;
        body
    };
    reply.body = String::from_utf8_lossy(&body).into_owned();
    Ok(reply)
}

fn read_head(stream: &mut impl Read) -> std::io::Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}

fn read_chunks(stream: &mut impl Read) -> std::io::Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte)?;
            line.push(byte[0]);
        }
        let line = String::from_utf8_lossy(&line).into_owned();
        let length = usize::from_str_radix(line.trim(), 16)
            .map_err(|_| std::io::Error::other(format!("chunk length {line:?}")))?;
        let mut chunk = vec![0; length + 2];
        stream.read_exact(&mut chunk)?;
        assert!(chunk.ends_with(b"\r\n"), "a chunk ends with CRLF");
        if length == 0 {
            return Ok(body);
        }
        body.extend_from_slice(&chunk[..length]);
    }
}

/// Split a multiplexed stream into what went to stdout and to stderr.
pub fn split_streams(mut bytes: &[u8]) -> (String, String) {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    while let [stream, 0, 0, 0, a, b, c, d, rest @ ..] = bytes {
        let length = u32::from_be_bytes([*a, *b, *c, *d]) as usize;
        match stream {
            1 => out.extend_from_slice(&rest[..length]),
            2 => err.extend_from_slice(&rest[..length]),
            other => panic!("a frame of stream {other}"),
        }
        bytes = &rest[length..];
    }
    assert!(
        bytes.is_empty(),
        "no frame: {:?}",
        &bytes[..bytes.len().min(32)]
    );
    (
        String::from_utf8_lossy(&out).into_owned(),
        String::from_utf8_lossy(&err).into_owned(),
    )
}
