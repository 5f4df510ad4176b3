//! The engine's end of a connection: requests in, answers out, one after the other.
//!
//! The calls follow each other: `next`, then `text` or `body` (or neither), then one of `respond`,
//! `respond_with`, `stream`, `upgrade`. After an error of any of them the connection is of no
//! more use.

use crate::error::{Error, Kind, Result};
use crate::http::body::{Framing, NOTHING};
use crate::http::head::{self, Headers};
use crate::http::link::Link;
use crate::http::query::{self, Query};
use crate::sys;
use crate::sys::stream::Moved;
use std::io::{self, Read, Write};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

/// A connection without a request is closed after this (where no lobby keeps it, see there).
const IDLE: Duration = Duration::from_secs(60);
/// A head arrives within this, from its first byte on.
const HEAD: Duration = Duration::from_secs(10);
/// A body of `text` arrives within this.
const TEXT: Duration = Duration::from_secs(30);
/// The longest silence in the middle of a body: it may come from a slow pipe at the client's end.
const BODY: Duration = Duration::from_secs(600);
/// A peer that does not read its answer is given up after this.
const SEND: Duration = Duration::from_secs(60);
/// Of a body that nobody wanted, so much is read to keep the connection (or, before closing, to
/// let the peer see our answer).
const DRAIN_BYTES_MAX: usize = 256 * 1024;

/// The type of answers to what is no request.
pub const PLAIN: &str = "text/plain; charset=utf-8";

/// What has come of the next request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrived {
    Nothing,
    Part,
    /// Its whole head, or what `next` will refuse without waiting.
    Whole,
    /// The peer has closed.
    End,
}

#[derive(Debug)]
pub struct Request {
    pub method: String,
    /// Percent-decoded, without query.
    pub path: String,
    pub query: Query,
    pub headers: Headers,
}

pub struct Connection {
    link: Link,
    /// What is left of the current request's body.
    body: Framing,
    /// The peer waits for `100 Continue` before it sends the body.
    expects_continue: bool,
    keep_alive: bool,
    is_head: bool,
    is_http10: bool,
    defaults: &'static str,
}

impl Connection {
    pub fn new(stream: OwnedFd) -> Connection {
        // Not every stream is a socket (tests use pipes); then writes just have no time limit.
        let _ = sys::socket::set_send_timeout(&stream, Some(SEND));
        Connection {
            link: Link::new(stream),
            body: NOTHING,
            expects_continue: false,
            keep_alive: true,
            is_head: false,
            is_http10: false,
            defaults: "",
        }
    }

    /// Header lines that every answer carries, each with its CRLF.
    pub fn set_default_headers(&mut self, lines: &'static str) {
        self.defaults = lines;
    }

    pub fn fd(&self) -> BorrowedFd<'_> {
        self.link.fd()
    }

    /// Take what the peer has sent so far, without waiting: for the lobby.
    pub fn arrive(&mut self) -> Arrived {
        let moved = match self.link.has_head() {
            true => return Arrived::Whole,
            false => self.link.fill_now(),
        };
        match moved {
            _ if self.link.has_head() => Arrived::Whole,
            Moved::End => Arrived::End,
            _ if self.has_begun() => Arrived::Part,
            _ => Arrived::Nothing,
        }
    }

    /// Whether there is a part of a request.
    pub fn has_begun(&self) -> bool {
        self.link.is_ahead()
    }

    /// Whether `next` would not wait for a head.
    pub fn has_head(&mut self) -> bool {
        self.link.has_head()
    }

    /// Answer and close, without waiting for a peer that may not read.
    pub fn turn_away(mut self, status: u16, content_type: &str, body: &[u8]) {
        self.keep_alive = false;
        let message = self.message(status, &[("Content-Type", content_type)], body);
        self.link.write_now(&message);
    }

    /// Have done with the current request; false when there can be no other.
    pub fn finish(&mut self) -> bool {
        self.drain() && self.keep_alive
    }

    /// The next request. `None`: the peer has closed, was idle for too long, or the connection
    /// cannot be used again. An error has been answered already; close the connection.
    pub fn next(&mut self) -> Result<Option<Request>> {
        if !self.finish() || !self.link.wait(Some(IDLE))? {
            return Ok(None);
        }
        let deadline = Instant::now() + HEAD;
        self.is_head = false;
        match self.read_request(deadline) {
            Ok(request) => Ok(request),
            Err(error) => {
                self.refuse(&error);
                Err(error)
            }
        }
    }

    fn read_request(&mut self, deadline: Instant) -> Result<Option<Request>> {
        let Some(head) = self.link.head(Some(deadline))? else {
            return Ok(None);
        };
        let (start, headers) = head::split(&head)?;
        let (method, target, is_http10) = head::request_line(&start)?;
        self.is_http10 = is_http10;
        self.is_head = method == "HEAD";

        let framing = headers.framing()?;
        if is_http10 && matches!(framing, Some(Framing::Chunk(_))) {
            return Err(Error::invalid("chunks in a request of HTTP/1.0"));
        }
        if headers.count("host") != 1 && !(is_http10 && headers.count("host") == 0) {
            return Err(Error::invalid("missing required Host header"));
        }
        self.body = framing.unwrap_or(NOTHING);
        self.expects_continue = !self.body.is_done() && headers.has_token("expect", "100-continue");
        self.keep_alive = !is_http10 && !headers.has_token("connection", "close");

        let (path, query) = split_target(target)
            .ok_or_else(|| Error::invalid(format!("malformed request target {target:?}")))?;
        Ok(Some(Request {
            method: method.to_string(),
            path,
            query,
            headers,
        }))
    }

    /// Answer a request that could not be read. The peer may be gone; that is as well.
    fn refuse(&mut self, error: &Error) {
        let status = match error.kind {
            Kind::TooLarge => 431,
            Kind::Gone if error.errno.is_some() => 408,
            Kind::Gone => return,
            _ => 400,
        };
        self.keep_alive = false;
        self.body = NOTHING;
        let message = format!("{}\n", error.message);
        let _ = self.respond(status, PLAIN, message.as_bytes());
    }

    /// Read what nobody wanted of the last body; false when there is too much of it.
    fn drain(&mut self) -> bool {
        if self.body.is_done() {
            return true;
        }
        // The peer was never told to go on; whether the body comes now nobody knows.
        if self.expects_continue {
            return false;
        }
        let mut buffer = [0u8; 4096];
        let mut drained = 0;
        while drained < DRAIN_BYTES_MAX {
            match self.body.read(&mut self.link, &mut buffer, Some(HEAD)) {
                Ok(0) => return self.body.is_done(),
                Ok(count) => drained += count,
                Err(_) => return false,
            }
        }
        false
    }

    /// The request's body, to be read while it comes.
    pub fn body(&mut self) -> Body<'_> {
        Body {
            connection: self,
            limit: BODY,
        }
    }

    /// The whole body, at most `max` bytes of UTF-8.
    pub fn text(&mut self, max: usize) -> Result<String> {
        let too_large = || {
            Error::new(
                Kind::TooLarge,
                format!("request body larger than {max} bytes"),
            )
        };
        if matches!(self.body, Framing::Length(length) if length > max as u64) {
            return Err(too_large());
        }
        let mut bytes = Vec::new();
        let deadline = Instant::now() + TEXT;
        let mut body = self.body();
        let mut buffer = [0u8; 4096];
        loop {
            body.limit = deadline.saturating_duration_since(Instant::now());
            let count = body.read(&mut buffer).map_err(|error| {
                Error::io("read the request body", &error).with_kind(Kind::Invalid)
            })?;
            if count == 0 {
                break;
            }
            bytes.extend_from_slice(&buffer[..count]);
            if bytes.len() > max {
                return Err(too_large());
            }
        }
        String::from_utf8(bytes).map_err(|_| Error::invalid("request body is not UTF-8"))
    }

    pub fn respond(&mut self, status: u16, content_type: &str, body: &[u8]) -> Result<()> {
        self.respond_with(status, &[("Content-Type", content_type)], body)
    }

    pub fn respond_with(
        &mut self,
        status: u16,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Result<()> {
        // An answer before the body was read: from here on nobody tells the peer to go on.
        if self.expects_continue {
            self.keep_alive = false;
        }
        let message = self.message(status, headers, body);
        self.send(&message)
    }

    fn message(&self, status: u16, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
        let mut head = self.head(status);
        // RFC 9112, section 6.3: these have no body, whatever the headers say.
        let has_body = status >= 200 && status != 204 && status != 304;
        for (name, value) in headers {
            if has_body || !name.eq_ignore_ascii_case("content-type") {
                head::push(&mut head, name, value);
            }
        }
        if has_body {
            head::push(&mut head, "Content-Length", &body.len().to_string());
        }
        let mut message = self.end_of_head(head).into_bytes();
        if has_body && !self.is_head {
            message.extend_from_slice(body);
        }
        message
    }

    /// Begin an answer of unknown length. The head is sent at once: clients wait for it.
    pub fn stream(&mut self, status: u16, content_type: &str) -> Result<Stream<'_>> {
        self.stream_with(status, content_type, &[])
    }

    /// The same with further headers.
    pub fn stream_with(
        &mut self,
        status: u16,
        content_type: &str,
        headers: &[(&str, &str)],
    ) -> Result<Stream<'_>> {
        // The reader may take a pause, as `logs | less` does, as long as it is there.
        let _ = sys::socket::set_send_timeout(self.fd(), None);
        let keep_alive = self.keep_alive && !self.expects_continue && !self.is_http10;
        let mut head = self.head(status);
        head::push(&mut head, "Content-Type", content_type);
        for (name, value) in headers {
            head::push(&mut head, name, value);
        }
        if !self.is_http10 {
            head::push(&mut head, "Transfer-Encoding", "chunked");
        }
        self.keep_alive = keep_alive;
        let head = self.end_of_head(head);
        self.send(head.as_bytes())?;
        // Without `finish` the end is missing, and only closing can say so.
        self.keep_alive = false;
        Ok(Stream {
            connection: self,
            keep_alive,
        })
    }

    /// Stop speaking HTTP (API, ContainerAttach: hijacking). Answers what the peer has sent
    /// beyond its request. Afterwards the connection is good for `fd` only.
    pub fn upgrade(&mut self, request: &Request, content_type: &str) -> Result<Vec<u8>> {
        let is_asked = request.headers.has_token("connection", "upgrade")
            && request.headers.has_token("upgrade", "tcp");
        let head = match is_asked {
            true => "HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n",
            false => "HTTP/1.1 200 OK\r\n",
        };
        self.leave_http(head, "Content-Type", content_type)
    }

    /// The same for a websocket; `accept` answers the client's key.
    pub fn upgrade_to_websocket(&mut self, accept: &str) -> Result<Vec<u8>> {
        let head =
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n";
        self.leave_http(head, "Sec-WebSocket-Accept", accept)
    }

    fn leave_http(&mut self, head: &str, name: &str, value: &str) -> Result<Vec<u8>> {
        // A body (dockerode sends one with attach) is not the first that the new stream carries.
        if !self.drain() {
            return Err(Error::invalid(
                "the request's body is too long for one that leaves HTTP, or did not come",
            ));
        }
        let mut head = head.to_string();
        head::push(&mut head, name, value);
        head.push_str(self.defaults);
        head.push_str("\r\n");
        self.keep_alive = false;
        self.send(head.as_bytes())?;
        // The descriptor goes to another process, which has its own idea of patience.
        let _ = sys::socket::set_send_timeout(self.fd(), None);
        Ok(self.link.take_ahead())
    }

    fn head(&self, status: u16) -> String {
        let reason = head::reason(status);
        format!("HTTP/1.1 {status} {reason}\r\n{}", self.defaults)
    }

    fn end_of_head(&self, mut head: String) -> String {
        if !self.keep_alive {
            head::push(&mut head, "Connection", "close");
        }
        head.push_str("\r\n");
        head
    }

    fn send(&mut self, bytes: &[u8]) -> Result<()> {
        self.link.write(bytes).map_err(|error| {
            self.keep_alive = false;
            Error::io("answer the client", &error).with_kind(Kind::Gone)
        })
    }
}

/// Path and query of a target; also of the absolute form, which proxies get.
fn split_target(target: &str) -> Option<(String, Query)> {
    let origin = match target.strip_prefix("http://") {
        Some(rest) => rest.find('/').map_or("/", |at| &rest[at..]),
        None => target,
    };
    let (path, query) = origin.split_once('?').unwrap_or((origin, ""));
    if !path.starts_with('/') && path != "*" {
        return None;
    }
    Some((query::decode(path, false)?, Query::parse(query)?))
}

/// A request's body.
pub struct Body<'a> {
    connection: &'a mut Connection,
    limit: Duration,
}

impl Read for Body<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let connection = &mut *self.connection;
        if connection.expects_continue {
            connection.expects_continue = false;
            connection.link.write(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        let limit = Some(self.limit);
        connection
            .body
            .read(&mut connection.link, buffer, limit)
            .inspect_err(|_| {
                // Where the next request would begin, nobody knows.
                connection.keep_alive = false;
                connection.body = NOTHING;
            })
    }
}

/// An answer that is sent while it is made, a chunk per write.
pub struct Stream<'a> {
    connection: &'a mut Connection,
    keep_alive: bool,
}

impl Stream<'_> {
    /// To see the peer close while there is nothing to send.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.connection.fd()
    }

    /// End the answer. Without it the peer sees a broken one.
    pub fn finish(self) -> Result<()> {
        let _ = sys::socket::set_send_timeout(self.fd(), Some(SEND));
        let connection = self.connection;
        if !connection.is_http10 && !connection.is_head {
            connection.send(b"0\r\n\r\n")?;
        }
        connection.keep_alive = self.keep_alive;
        Ok(())
    }
}

impl Write for Stream<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let connection = &mut *self.connection;
        // An empty chunk would be the last one.
        if bytes.is_empty() || connection.is_head {
            return Ok(bytes.len());
        }
        if connection.is_http10 {
            connection.link.write(bytes)?;
            return Ok(bytes.len());
        }
        let mut chunk = format!("{:x}\r\n", bytes.len()).into_bytes();
        chunk.extend_from_slice(bytes);
        chunk.extend_from_slice(b"\r\n");
        connection.link.write(&chunk)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
