//! The distribution protocol: what registries have, fetched and brought.
//!
//! Promises: a manifest is what its digest says; a blob never gives more than its size, and goes on
//! by itself when a connection breaks; every wait, size, list and number of redirects has a bound.
//! Passwords stay with the registry that they are for (see `auth`).
//!
//! Knows nothing of images: hosts, repositories and digests are plain strings, and what a blob holds
//! is checked by who reads it.

mod auth;
pub mod blob;
pub mod clock;
mod hosts;
pub mod manifest;
pub mod proxy;
pub mod referrers;
mod refusal;
mod tags;
#[cfg(test)]
mod tests;
mod transport;
mod upload;
mod url;

use crate::error::{Error, Result};
use crate::http::query;
use crate::json::map::Map;
use crate::registry::auth::Keys;
use crate::registry::hosts::{Endpoint, Kind};
use crate::registry::proxy::Proxies;
use crate::registry::transport::{Answer, Body, Transport};
use crate::registry::url::Url;
use crate::time::Time;
use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

/// How registries are reached.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Of docker.io, such as `https://mirror:5000/`, in the order in which they are asked.
    pub mirrors: Vec<String>,
    /// Hosts, with ports, and networks.
    pub insecure: Vec<String>,
    /// Directories with one of certificates for each host.
    pub certs: Vec<PathBuf>,
    pub proxies: Proxies,
    /// How often a blob is tried without getting on.
    pub attempts: u32,
    /// Of the store's newest record: it is not earlier now.
    pub newest: Time,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            mirrors: Vec::new(),
            insecure: Vec::new(),
            certs: ["/etc/docker/certs.d", "/etc/tug/certs.d"]
                .map(PathBuf::from)
                .to_vec(),
            proxies: Proxies::default(),
            attempts: 5,
            newest: Time {
                seconds: 0,
                nanos: 0,
            },
        }
    }
}

/// What opens a registry; what is not there is empty.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Credentials {
    pub username: String,
    pub password: String,
    /// In the password's place: buys tokens.
    pub identity_token: String,
    /// Shown as it is.
    pub registry_token: String,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials")
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    Pull,
    Push,
}

/// A manifest, or what is known of one.
#[derive(Clone, Debug)]
pub struct Document {
    pub media_type: String,
    pub digest: String,
    pub bytes: Vec<u8>,
    pub size: u64,
}

/// One repository of a registry. Threads may share it.
#[derive(Clone)]
pub struct Repository(Arc<Inner>);

struct Inner {
    transport: Arc<Transport>,
    endpoints: Vec<Endpoint>,
    /// The endpoint that has answered; earlier ones are not asked again.
    settled: AtomicUsize,
    keys: Keys,
    /// `library/busybox`.
    path: String,
    /// As people write it: `busybox`.
    name: String,
    /// Blobs that are to be asked for again, and in how many seconds.
    pauses: Mutex<Map<u64>>,
    /// What tokens are for.
    scope: String,
    attempts: u32,
}

impl Repository {
    /// No request is made yet.
    pub fn open(
        settings: &Settings,
        host: &str,
        path: &str,
        access: Access,
        credentials: Option<&Credentials>,
    ) -> Result<Repository> {
        let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-/".contains(&b);
        // As targets and scopes take them; dots alone would lead out of the repository.
        let is_path = path.bytes().all(allowed)
            && path
                .split('/')
                .all(|part| !part.is_empty() && !part.starts_with('.'));
        if !is_path {
            return Err(Error::invalid(format!("invalid repository name {path:?}")));
        }
        let name = match host {
            "docker.io" => path.strip_prefix("library/").unwrap_or(path).to_string(),
            _ => format!("{host}/{path}"),
        };
        let actions = match access {
            Access::Pull => "pull",
            Access::Push => "pull,push",
        };
        Ok(Repository(Arc::new(Inner {
            transport: Transport::new(settings),
            endpoints: hosts::endpoints(settings, host, access)?,
            settled: AtomicUsize::new(0),
            keys: Keys::new(credentials),
            path: path.to_string(),
            name,
            pauses: Mutex::default(),
            scope: format!("repository:{path}:{actions}"),
            attempts: settings.attempts.max(1),
        })))
    }
}

/// A request below `/v2/PATH/`.
struct Ask<'a> {
    method: &'a str,
    target: &'a str,
    /// Whole lines.
    headers: &'a str,
    body: &'a [u8],
    scope: &'a str,
}

impl Inner {
    /// Ask the endpoints in their order until one has an answer. Whatever the status of the last.
    fn ask(&self, ask: &Ask<'_>) -> Result<Answer> {
        let first = self.settled.load(Ordering::Relaxed);
        let last = self.endpoints.len() - 1;
        for (at, endpoint) in self.endpoints.iter().enumerate().skip(first) {
            let url = endpoint
                .url
                .at(&format!("/v2/{}/{}", self.path, ask.target))?;
            let answer = self.ask_at(endpoint, &url, ask);
            match answer {
                Err(error) if at < last && endpoint.kind != Kind::Registry => {
                    if endpoint.kind == Kind::Mirror {
                        crate::log::warn(format_args!("the next registry is asked: {error}"));
                    }
                }
                Ok(answer)
                    if at < last && endpoint.kind == Kind::Mirror && answer.status >= 400 =>
                {
                    let words = refusal::read(answer).words;
                    crate::log::warn(format_args!("the next registry is asked: {url}: {words}"));
                }
                Ok(answer) => {
                    self.settled.fetch_max(at, Ordering::Relaxed);
                    return Ok(answer);
                }
                failed => return failed,
            }
        }
        Err(Error::invalid("no registry to ask"))
    }

    /// With what opens it, which may have to be got first.
    fn ask_at(&self, endpoint: &Endpoint, url: &Url, ask: &Ask<'_>) -> Result<Answer> {
        let line = self.line(endpoint, url, ask.scope);
        let answer = self.send(url, ask, &line)?;
        // What another origin wants, where a redirect has led, is not for us to give.
        if answer.status != 401 || answer.origin != endpoint.url.origin() {
            return Ok(answer);
        }
        let is_ours = endpoint.kind != Kind::Mirror;
        let line = self.keys.answer(
            &self.transport,
            &endpoint.url,
            is_ours,
            &answer.headers,
            ask.scope,
        )?;
        let Some(line) = line else {
            return Ok(answer);
        };
        answer.finish();
        self.send(url, ask, &line)
    }

    /// What is known to open `url`: nothing, if it is not the registry's own.
    fn line(&self, endpoint: &Endpoint, url: &Url, scope: &str) -> String {
        match url.origin() == endpoint.url.origin() {
            true => self.keys.line(&endpoint.url, scope),
            false => String::new(),
        }
    }

    fn send(&self, url: &Url, ask: &Ask<'_>, line: &str) -> Result<Answer> {
        match ask.method {
            "GET" | "HEAD" => self.transport.follow(ask.method, url, ask.headers, line),
            method => {
                let lines = format!("{}{line}", ask.headers);
                self.transport
                    .send(method, url, &lines, Body::Bytes(ask.body))
            }
        }
    }

    /// The registry that has answered last.
    fn endpoint(&self) -> Result<&Endpoint> {
        let at = self.settled.load(Ordering::Relaxed);
        self.endpoints
            .get(at)
            .ok_or_else(|| Error::invalid("no registry to ask"))
    }

    fn get<'a>(&'a self, method: &'a str, target: &'a str, headers: &'a str) -> Ask<'a> {
        Ask {
            method,
            target,
            headers,
            body: b"",
            scope: &self.scope,
        }
    }
}

/// Check credentials with a registry. Answers a token to keep in the password's place, if it gives
/// such.
pub fn login(settings: &Settings, host: &str, credentials: &Credentials) -> Result<Option<String>> {
    let transport = Transport::new(settings);
    try_each(settings, host, &mut |url| {
        auth::log_in(&transport, url, credentials)
    })
}

/// Search where the registry can, as only Docker's own and old ones do. Answers JSON.
pub fn search(
    settings: &Settings,
    host: &str,
    term: &str,
    limit: u32,
    credentials: Option<&Credentials>,
) -> Result<String> {
    const BYTES_MAX: usize = 4 << 20;
    let transport = Transport::new(settings);
    let host = if host == "docker.io" {
        "index.docker.io"
    } else {
        host
    };
    let line = credentials
        .filter(|own| !own.username.is_empty())
        .map(auth::basic);
    let target = format!("/v1/search?q={}&n={limit}", query::encode(term));
    let bytes = try_each(settings, host, &mut |url| {
        let answer = transport.follow(
            "GET",
            &url.at(&target)?,
            "",
            line.as_deref().unwrap_or_default(),
        )?;
        let answer = checked(answer)?;
        answer
            .bytes(BYTES_MAX, "the list of what was found")
            .map(Some)
    })?;
    String::from_utf8(bytes.unwrap_or_default())
        .map_err(|_| Error::invalid("the registry's answer is not UTF-8"))
}

/// The first endpoint that is one, as for `Inner::ask`.
fn try_each<T>(
    settings: &Settings,
    host: &str,
    try_one: &mut dyn FnMut(&Url) -> Result<Option<T>>,
) -> Result<Option<T>> {
    let mut outcome = Err(Error::invalid("no registry to ask"));
    for endpoint in hosts::endpoints(settings, host, Access::Push)? {
        outcome = try_one(&endpoint.url);
        let is_silent = outcome
            .as_ref()
            .is_err_and(|e| e.kind != crate::error::Kind::System || e.errno.is_some());
        if endpoint.kind != Kind::Trial || !is_silent {
            break;
        }
    }
    outcome
}

/// A file anywhere on the web, read as it comes.
pub struct Download(transport::Answer);

/// GET a URL, wherever it leads. Any answer but 200 is an error.
pub fn download(settings: &Settings, url: &str) -> Result<Download> {
    let answer = Transport::new(settings).follow("GET", &Url::parse(url)?, "", "")?;
    match answer.status {
        200 => Ok(Download(answer)),
        status => Err(Error::not_found(format!(
            "Get {url:?}: the server answered {status}"
        ))),
    }
}

impl Download {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.0.headers.get(name)
    }
}

impl std::io::Read for Download {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        self.0.read(into)
    }
}

/// An answer of 400 and above becomes an error.
fn checked(answer: Answer) -> Result<Answer> {
    match answer.status {
        200..300 => Ok(answer),
        _ => Err(refusal::read(answer).plain()),
    }
}
