//! The client's end: a connection per request.

use crate::error::{Error, Kind, Result};
use crate::http::address::{self, Address};
use crate::http::body::{Framing, NOTHING};
use crate::http::head::{self, Headers};
use crate::http::link::Link;
use crate::http::tls;
use crate::json::value::json_struct;
use crate::{json, sys};
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::time::Instant;

/// More than any answer that is taken as a whole.
const TEXT_BYTES_MAX: u64 = 64 * 1024 * 1024;

pub struct Client {
    address: Address,
    /// Lines that go with each request.
    headers: String,
    /// For addresses of TCP.
    tls: Option<tls::Client>,
}

/// What goes with a request.
pub enum Body<'a> {
    Empty,
    Json(&'a str),
    /// Sent in chunks while it is read.
    Stream(&'a mut dyn Read),
}

impl Client {
    /// `headers` are whole lines for each request.
    pub fn new(address: Address, headers: String, tls: Option<tls::Client>) -> Client {
        Client {
            address,
            headers,
            tls,
        }
    }

    /// Send a request, with `headers` beside those that all have, and read the head of the answer,
    /// whatever its status. Kind `Gone`: nobody answers.
    pub fn send(
        &self,
        method: &str,
        target: &str,
        headers: &str,
        body: Body<'_>,
    ) -> Result<Response> {
        let headers = format!("Connection: close\r\n{headers}");
        self.request(method, target, &headers, body)?.receive()
    }

    /// Send a request that ends in a raw stream in both directions.
    pub fn upgrade(&self, method: &str, target: &str, body: Body<'_>) -> Result<Upgraded> {
        let hijack = "Connection: Upgrade\r\nUpgrade: tcp\r\n";
        let response = self.request(method, target, hijack, body)?.receive()?;
        // 200 is the answer of engines that do not care for `Upgrade`.
        if response.status != 101 && response.status != 200 {
            response.checked()?;
            return Err(Error::invalid("the engine did not upgrade the connection"));
        }
        let (stream, leftover) = response.link.into_parts();
        Ok(Upgraded { stream, leftover })
    }

    fn request(
        &self,
        method: &str,
        target: &str,
        headers: &str,
        body: Body<'_>,
    ) -> Result<Pending> {
        let mut link = Link::new(self.connect()?);
        let mut head = format!(
            "{method} {target} HTTP/1.1\r\nHost: localhost\r\nUser-Agent: tug/{}\r\n{}{headers}",
            env!("CARGO_PKG_VERSION"),
            self.headers
        );
        match &body {
            Body::Empty if method == "GET" || method == "HEAD" => {}
            Body::Empty => head.push_str("Content-Length: 0\r\n"),
            Body::Json(text) => {
                head::push(&mut head, "Content-Type", "application/json");
                head::push(&mut head, "Content-Length", &text.len().to_string());
            }
            Body::Stream(_) => {
                head::push(&mut head, "Content-Type", "application/x-tar");
                head::push(&mut head, "Transfer-Encoding", "chunked");
            }
        }
        head.push_str("\r\n");
        if let Body::Json(text) = &body {
            head.push_str(text);
        }
        // An engine that refuses a body closes before it has read all of it; its answer is worth
        // more than our broken pipe, so `receive` tells the first error only if there is none.
        let mut sent = link.write(head.as_bytes()).map_err(|e| gone("send", &e));
        if let (Ok(()), Body::Stream(source)) = (&sent, body) {
            sent = send_chunks(&mut link, source)?.map_err(|e| gone("send", &e));
        }
        Ok(Pending {
            link,
            sent,
            is_head: method == "HEAD",
        })
    }
}

impl Client {
    fn connect(&self) -> Result<OwnedFd> {
        let host = match &self.address {
            Address::Unix(path) => {
                return sys::socket::connect(path).map_err(|e| e.with_kind(Kind::Gone));
            }
            Address::Fd(_) => return Err(Error::invalid("fd:// is for the engine to listen on")),
            Address::Tcp(host) => host,
        };
        let stream = TcpStream::connect(address::number(host)?).map_err(|error| {
            Error::io(format_args!("connect {host}"), &error).with_kind(Kind::Gone)
        })?;
        match &self.tls {
            Some(tls) => tls.connect(stream, host_name(host)),
            None => Ok(stream.into()),
        }
    }
}

/// `HOST:PORT` without the port and the brackets of IPv6.
fn host_name(host: &str) -> &str {
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    name.trim_start_matches('[').trim_end_matches(']')
}

fn gone(doing: &str, error: &io::Error) -> Error {
    Error::io(format_args!("{doing} to the engine"), error).with_kind(Kind::Gone)
}

/// The outer error is the source's: then there is no request to be answered.
pub fn send_chunks(link: &mut Link, source: &mut dyn Read) -> Result<io::Result<()>> {
    // Room for the size line in front and the line end behind, so that a chunk is one write.
    const FRONT: usize = 6;
    let mut buffer = vec![0u8; FRONT + 32 * 1024 + 2];
    loop {
        let room = buffer.len() - 2;
        let count = match source.read(&mut buffer[FRONT..room]) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(Error::io("read", &error)),
            Ok(count) => count,
        };
        if count == 0 {
            return Ok(link.write(b"0\r\n\r\n"));
        }
        let mut size = &mut buffer[..FRONT];
        let _ = write!(size, "{count:04x}\r\n");
        buffer[FRONT + count..FRONT + count + 2].copy_from_slice(b"\r\n");
        if let Err(error) = link.write(&buffer[..FRONT + count + 2]) {
            return Ok(Err(error));
        }
    }
}

/// A request that has been sent.
pub struct Pending {
    link: Link,
    sent: Result<()>,
    is_head: bool,
}

impl Pending {
    /// Wait for the head of the answer.
    pub fn receive(mut self) -> Result<Response> {
        let (status, headers) = match read_head(&mut self.link, None) {
            Ok(Some(head)) => head,
            other => {
                self.sent?;
                let silent = || Error::new(Kind::Gone, "the engine closed without an answer");
                return Err(other.err().unwrap_or_else(silent));
            }
        };
        let body = match status {
            204 | 304 => NOTHING,
            _ if self.is_head => NOTHING,
            _ => headers.framing()?.unwrap_or(Framing::Close),
        };
        Ok(Response {
            status,
            headers,
            link: self.link,
            body,
        })
    }
}

/// The head of an answer; `None` when the peer has closed instead.
pub fn read_head(link: &mut Link, deadline: Option<Instant>) -> Result<Option<(u16, Headers)>> {
    loop {
        let Some(head) = link.head(deadline)? else {
            return Ok(None);
        };
        let (start, headers) = head::split(&head)?;
        let status = head::status_line(&start)?;
        // 100 Continue and its like come before the answer proper.
        if status >= 200 || status == 101 {
            return Ok(Some((status, headers)));
        }
    }
}

/// An answer; reading gives its body.
pub struct Response {
    pub status: u16,
    pub headers: Headers,
    link: Link,
    body: Framing,
}

json_struct! {
    /// The body of an error (API, ErrorResponse).
    #[derive(Default)]
    struct Refusal {
        message: Option<String>,
    }
}

impl Response {
    /// The whole body, within a bound.
    pub fn text(mut self) -> Result<String> {
        let mut text = Vec::new();
        self.by_ref()
            .take(TEXT_BYTES_MAX)
            .read_to_end(&mut text)
            .map_err(|e| gone("listen", &e))?;
        String::from_utf8(text).map_err(|_| Error::invalid("the engine's answer is not UTF-8"))
    }

    /// An answer of 400 and above becomes an error with the engine's sentence.
    pub fn checked(self) -> Result<Response> {
        let kind = match self.status {
            ..=399 => return Ok(self),
            403 => Kind::Denied,
            404 => Kind::NotFound,
            409 => Kind::Conflict,
            413 => Kind::TooLarge,
            501 => Kind::Unsupported,
            400..=499 => Kind::Invalid,
            _ => Kind::System,
        };
        let status = self.status;
        let text = self.text()?;
        let message = json::parse::<Refusal>(&text, "answer")
            .ok()
            .and_then(|refusal| refusal.message)
            .unwrap_or_else(|| match text.trim() {
                "" => format!("status {status}"),
                text => text.to_string(),
            });
        Err(Error::new(kind, message))
    }
}

impl Read for Response {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.body.read(&mut self.link, buffer, None)
    }
}

/// A raw stream to the engine.
pub struct Upgraded {
    pub stream: OwnedFd,
    /// What the engine has sent already.
    pub leftover: Vec<u8>,
}
