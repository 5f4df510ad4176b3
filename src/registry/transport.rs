//! Requests to registries, token servers and wherever they send us: the one way out of this room.
//!
//! Connections are kept and used again. Each wait has a bound. Nothing that is secret gets into an
//! error: addresses are told without their queries, headers not at all.

use crate::error::{Context, Error, Kind, Result};
use crate::http::body::{Framing, NOTHING};
use crate::http::client::{read_head, send_chunks};
use crate::http::head::Headers;
use crate::http::link::Link;
use crate::http::tls;
use crate::registry::hosts;
use crate::registry::proxy::{Proxies, Proxy};
use crate::registry::url::Url;
use crate::registry::{Settings, clock};
use crate::sys;
use crate::time::Time;
use std::io::{self, Read};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// For one address of a host, and for all of them.
const CONNECT: Duration = Duration::from_secs(10);
const CONNECT_ALL: Duration = Duration::from_secs(30);

/// The longest silence.
pub const SILENCE: Duration = Duration::from_secs(if cfg!(test) { 3 } else { 60 });

const IDLE_MAX: usize = 4;
const REDIRECTS_MAX: usize = 10;

/// What of an answer is read although nobody wants it, so that its connection can be used again.
const DRAIN_BYTES_MAX: usize = 64 << 10;

/// Where distributions keep the authorities that everybody trusts; the first one counts.
const AUTHORITIES: [&str; 6] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/tls/cacert.pem",
    "/etc/ssl/cert.pem",
];

pub struct Transport {
    insecure: Vec<String>,
    pub certs: Vec<PathBuf>,
    proxies: Proxies,
    floor: Time,
    /// By origin.
    idle: Mutex<Vec<(String, Link)>>,
    /// By the certificates that make them.
    clients: Mutex<Vec<(String, Arc<tls::Client>)>>,
    /// Set: nobody waits for an answer any more.
    stopped: Arc<AtomicBool>,
}

pub enum Body<'a> {
    Empty,
    Bytes(&'a [u8]),
    /// Sent in chunks while it is read. It cannot be sent twice.
    Stream(&'a mut dyn Read),
}

/// A lock whose holder cannot have panicked: panics abort.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Transport {
    pub fn new(settings: &Settings) -> Arc<Transport> {
        Arc::new(Transport {
            insecure: settings.insecure.clone(),
            certs: settings.certs.clone(),
            proxies: settings.proxies.clone(),
            floor: clock::floor(settings.newest),
            idle: Mutex::default(),
            clients: Mutex::default(),
            stopped: Arc::default(),
        })
    }

    pub fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    pub fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }

    /// GET or HEAD, and go where the answer leads. The authorization stays with the first origin.
    pub fn follow(
        self: &Arc<Self>,
        method: &str,
        url: &Url,
        headers: &str,
        authorization: &str,
    ) -> Result<Answer> {
        let mut here = url.clone();
        let mut authorization = authorization;
        for _ in 0..=REDIRECTS_MAX {
            let lines = format!("{headers}{authorization}");
            let answer = self.send(method, &here, &lines, Body::Empty)?;
            let location = match answer.status {
                301 | 302 | 303 | 307 | 308 => answer.headers.get("location"),
                _ => return Ok(answer),
            };
            let Some(location) = location else {
                return Ok(answer);
            };
            let there = here
                .join(location)
                .and_then(|there| here.check_way_to(&there).map(|()| there))
                .and_then(|there| url.check_way_to(&there).map(|()| there))
                .context(|| doing(method, url))?;
            // Not even when a later answer leads back: who is in between might have chosen where.
            if there.origin() != url.origin() {
                authorization = "";
            }
            answer.finish();
            here = there;
        }
        let message = format!(
            "{}: stopped after {REDIRECTS_MAX} redirects",
            doing(method, url)
        );
        Err(Error::new(Kind::System, message))
    }

    /// Send a request and read the head of the answer, whatever its status. Kind `Gone`: there is no
    /// answer, and another time there may be one.
    pub fn send(
        self: &Arc<Self>,
        method: &str,
        url: &Url,
        headers: &str,
        body: Body<'_>,
    ) -> Result<Answer> {
        self.exchange(method, url, headers, body)
            .context(|| doing(method, url))
    }

    fn exchange(
        self: &Arc<Self>,
        method: &str,
        url: &Url,
        headers: &str,
        body: Body<'_>,
    ) -> Result<Answer> {
        let proxy = self.proxies.pick(url)?;
        let head = head(method, url, headers, proxy.as_ref(), &body);
        let bytes = match body {
            Body::Empty => &[][..],
            Body::Bytes(bytes) => bytes,
            Body::Stream(source) => {
                let mut link = self.connect(url, proxy.as_ref())?;
                let sent = match link.write(head.as_bytes()) {
                    Ok(()) => send_chunks(&mut link, source)?,
                    failed => failed,
                };
                return self.receive(link, url, method, sent);
            }
        };
        let message = [head.as_bytes(), bytes].concat();
        let origin = url.origin();
        // A kept connection may have been closed from the other side just now.
        while let Some(mut link) = self.take_idle(&origin) {
            let sent = link.write(&message);
            match self.receive(link, url, method, sent) {
                Err(error) if error.kind == Kind::Gone && error.errno.is_none() => {}
                answer => return answer,
            }
        }
        let mut link = self.connect(url, proxy.as_ref())?;
        let sent = link.write(&message);
        self.receive(link, url, method, sent)
    }

    /// A registry that refuses a body closes before it has read all of it: its answer is worth more
    /// than our broken pipe.
    fn receive(
        self: &Arc<Self>,
        mut link: Link,
        url: &Url,
        method: &str,
        sent: io::Result<()>,
    ) -> Result<Answer> {
        let (status, headers) = match read_head(&mut link, Some(Instant::now() + SILENCE)) {
            Ok(Some(head)) => head,
            other => {
                sent.map_err(|e| Error::io("send", &e).with_kind(Kind::Gone))?;
                let silent =
                    || Error::new(Kind::Gone, "the connection was closed without an answer");
                return Err(other.err().unwrap_or_else(silent));
            }
        };
        let body = match status {
            204 | 304 => NOTHING,
            _ if method == "HEAD" => NOTHING,
            _ => headers.framing()?.unwrap_or(Framing::Close),
        };
        let is_last = sent.is_err() || headers.has_token("connection", "close");
        Ok(Answer {
            status,
            headers,
            link,
            body,
            origin: url.origin(),
            home: (!is_last).then(|| Arc::clone(self)),
        })
    }

    fn take_idle(&self, origin: &str) -> Option<Link> {
        let mut idle = lock(&self.idle);
        loop {
            let at = idle.iter().position(|(kept, _)| kept == origin)?;
            let (_, link) = idle.swap_remove(at);
            // There is nothing to read but the end.
            if !link.wait(Some(Duration::ZERO)).unwrap_or(true) {
                return Some(link);
            }
        }
    }

    fn connect(&self, url: &Url, proxy: Option<&Proxy>) -> Result<Link> {
        let via = proxy.map_or(url, |proxy| &proxy.url);
        let mut stream = dial(&via.host, via.port);
        if proxy.is_some() {
            stream = stream.context(|| "proxyconnect tcp");
        }
        let stream = stream?;
        let stream: OwnedFd = match (url.is_secure, proxy) {
            (false, _) => stream.into(),
            (true, None) => self.secure(stream, url)?,
            (true, Some(proxy)) => self.secure(tunnel(stream, url, proxy)?, url)?,
        };
        sys::socket::set_send_timeout(&stream, Some(SILENCE))?;
        Ok(Link::stopped_by(stream, &self.stopped))
    }

    fn secure(&self, stream: TcpStream, url: &Url) -> Result<OwnedFd> {
        let outcome = self.client(url)?.connect(stream, &url.host);
        outcome.map_err(|mut error| {
            if error.message.ends_with("UnknownIssuer") {
                error.message.push_str(&format!(
                    ": signed by unknown authority; if it is to be trusted, put its CA into \
                     /etc/docker/certs.d/{}/ca.crt",
                    url.authority()
                ));
            }
            error
        })
    }

    /// What speaks TLS with the host of `url`: as strict as it was told, and knowing whom to trust.
    fn client(&self, url: &Url) -> Result<Arc<tls::Client>> {
        let own = hosts::certificates(&self.certs, url)?;
        let authority = url.authority();
        let verify = !hosts::is_insecure(&self.insecure, &authority);
        let key = format!("{verify} {:?}", own.dirs);
        let mut clients = lock(&self.clients);
        if let Some((_, client)) = clients.iter().find(|(made, _)| *made == key) {
            return Ok(Arc::clone(client));
        }
        let mut authorities = own.authorities;
        authorities.extend(machines_authorities());
        let pair = own
            .own
            .as_ref()
            .map(|(cert, key)| (cert.as_path(), key.as_path()));
        let client = Arc::new(tls::Client::trusting(&tls::Trust {
            authorities: &authorities,
            own: pair,
            verify,
            floor: self.floor,
        })?);
        clients.push((key, Arc::clone(&client)));
        Ok(client)
    }
}

fn machines_authorities() -> Option<PathBuf> {
    match std::env::var_os("SSL_CERT_FILE") {
        Some(file) if !file.is_empty() => Some(file.into()),
        _ => {
            let mut paths = AUTHORITIES.iter().map(Path::new);
            paths.find(|path| path.exists()).map(Path::to_path_buf)
        }
    }
}

/// `Get "https://host/path"`: what errors begin with, as Go's do.
fn doing(method: &str, url: &Url) -> String {
    let rest = method.get(1..).unwrap_or_default().to_ascii_lowercase();
    format!("{}{rest} \"{url}\"", method.get(..1).unwrap_or_default())
}

fn head(method: &str, url: &Url, headers: &str, proxy: Option<&Proxy>, body: &Body<'_>) -> String {
    // A proxy for plain HTTP is asked for the whole address; through a tunnel nothing is different.
    let (origin, authorization) = match proxy {
        Some(proxy) if !url.is_secure => (url.origin(), proxy.authorization.as_str()),
        _ => (String::new(), ""),
    };
    let length = match body {
        Body::Empty if matches!(method, "GET" | "HEAD") => String::new(),
        Body::Empty => "Content-Length: 0\r\n".to_string(),
        Body::Bytes(bytes) => format!("Content-Length: {}\r\n", bytes.len()),
        Body::Stream(_) => "Transfer-Encoding: chunked\r\n".to_string(),
    };
    format!(
        "{method} {origin}{} HTTP/1.1\r\nHost: {}\r\nUser-Agent: tug/{}\r\n{authorization}{headers}{length}\r\n",
        url.target,
        url.authority(),
        env!("CARGO_PKG_VERSION"),
    )
}

/// The first address of `host` that takes the connection.
fn dial(host: &str, port: u16) -> Result<TcpStream> {
    let until = Instant::now() + CONNECT_ALL;
    let gone = |words: String| Error::new(Kind::Gone, format!("dial tcp{words}"));
    let found = (host, port).to_socket_addrs().map_err(|e| {
        let words = reason(&e).replace("failed to lookup address information: ", "");
        gone(format!(": lookup {host}: {words}"))
    })?;
    let mut failure = gone(format!(": lookup {host}: no such host"));
    for address in found {
        let left = until.saturating_duration_since(Instant::now()).min(CONNECT);
        if left.is_zero() {
            break;
        }
        match TcpStream::connect_timeout(&address, left) {
            Ok(stream) => {
                sys::socket::set_tcp_options(&stream);
                return Ok(stream);
            }
            Err(error) => failure = gone(format!(" {address}: connect: {}", reason(&error))),
        }
    }
    Err(failure)
}

/// In Go's words, which scripts look for: `connection refused`.
fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    match text.split(" (os error").next() {
        _ if error.kind() == io::ErrorKind::TimedOut => "i/o timeout".to_string(),
        Some(words) => words.to_ascii_lowercase(),
        None => text,
    }
}

/// Let the proxy connect us with the host of `url`.
fn tunnel(stream: TcpStream, url: &Url, proxy: &Proxy) -> Result<TcpStream> {
    let doing = || format!("proxy {}", proxy.url.authority());
    let target = format!(
        "{}:{}",
        url.authority().trim_end_matches(&format!(":{}", url.port)),
        url.port
    );
    let request = format!(
        "CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n{}\r\n",
        proxy.authorization
    );
    let mut link = Link::new(stream.into());
    link.write(request.as_bytes())
        .map_err(|e| Error::io("send", &e).with_kind(Kind::Gone))
        .context(doing)?;
    let status = match read_head(&mut link, Some(Instant::now() + SILENCE)).context(doing)? {
        Some((status, _)) => status,
        None => 0,
    };
    let (stream, ahead) = link.into_parts();
    match status {
        // Nothing may come before we have said something: it would be the proxy's.
        200..300 if ahead.is_empty() => Ok(TcpStream::from(stream)),
        407 => Err(Error::new(
            Kind::System,
            format!("{}: Proxy Authentication Required", doing()),
        )),
        _ => Err(Error::new(
            Kind::Gone,
            format!("{}: no connection to {target} (status {status})", doing()),
        )),
    }
}

/// An answer; reading gives its body.
pub struct Answer {
    pub status: u16,
    pub headers: Headers,
    link: Link,
    pub body: Framing,
    /// Who has answered, at the end of all redirects.
    pub origin: String,
    /// Where the connection goes when the body has been read.
    home: Option<Arc<Transport>>,
}

impl Answer {
    pub fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.body.read(&mut self.link, buffer, Some(SILENCE))
    }

    /// The body, which must not be larger than `max`.
    pub fn bytes(mut self, max: usize, what: &str) -> Result<Vec<u8>> {
        let too_large = || Error::new(Kind::Invalid, format!("{what} is larger than {max} bytes"));
        if let Framing::Length(length) = self.body
            && length > max as u64
        {
            return Err(too_large());
        }
        let mut bytes = Vec::new();
        let mut buffer = [0; 8192];
        loop {
            let count = self
                .read(&mut buffer)
                .map_err(|e| Error::io(format_args!("read {what}"), &e).with_kind(Kind::Gone))?;
            if count == 0 {
                self.finish();
                return Ok(bytes);
            }
            if bytes.len() + count > max {
                return Err(too_large());
            }
            bytes.extend_from_slice(buffer.get(..count).unwrap_or_default());
        }
    }

    /// Done with it: the connection may be used again, if little is left to be read.
    pub fn finish(mut self) {
        let mut buffer = [0; 4096];
        let mut left = DRAIN_BYTES_MAX;
        while !self.body.is_done() {
            match self.read(&mut buffer) {
                Ok(count @ 1..) if count < left => left -= count,
                Ok(0) if self.body.is_done() => {}
                _ => return,
            }
        }
        if let Some(transport) = self.home {
            let mut idle = lock(&transport.idle);
            idle.truncate(IDLE_MAX - 1);
            idle.push((self.origin, self.link));
        }
    }
}
