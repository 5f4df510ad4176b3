//! The engine as the client sees it: requests by path, errors as sentences for the user.

use super::config::{Config, variable};
use super::credentials;
use super::tls::Tls;
use crate::error::{Error, Kind, Result};
use crate::http::address::{self, Address, DEFAULT_SOCKET};
use crate::http::client::{Body, Client, Response, Upgraded};
use crate::json::node::Node;
use std::cell::RefCell;

/// What our engine speaks at most. Docker's own answers older clients in older words, and we read
/// nothing that has changed.
const API: &str = "1.51";

pub struct Engine {
    client: Client,
    pub config: Config,
    pub host: String,
    /// The API version to speak, once it is not `API`: that of an older engine, or the user's.
    version: RefCell<Option<String>>,
}

impl Engine {
    /// The engine at `host`, else at `TUG_HOST`, at `DOCKER_HOST`, at our own socket.
    pub fn new(host: Option<&str>, config: Config, tls: &Tls) -> Result<Engine> {
        let host = host
            .map(str::to_string)
            .or_else(|| variable("TUG_HOST"))
            .or_else(|| variable("DOCKER_HOST"))
            .unwrap_or_else(|| format!("unix://{DEFAULT_SOCKET}"));
        let address = address::parse(&host, tls.is_on)?;
        if matches!(address, Address::Fd(_)) {
            return Err(Error::invalid("fd:// is for the engine to listen on"));
        }
        let tls = match address {
            Address::Tcp(_) => tls.client()?,
            _ => None,
        };
        Ok(Engine {
            client: Client::new(address, config.headers(), tls),
            config,
            host,
            version: RefCell::new(variable("DOCKER_API_VERSION")),
        })
    }

    /// Send a request; an answer of 400 and above is an error with the engine's sentence.
    pub fn send(&self, method: &str, path: &str, body: Body<'_>) -> Result<Response> {
        self.send_with(method, path, "", body)
    }

    /// The same on behalf of the user's account at the registry of `image`.
    pub fn send_as_user(
        &self,
        method: &str,
        path: &str,
        image: &str,
        body: Body<'_>,
    ) -> Result<Response> {
        let account = self.config.account(credentials::registry_of(image))?;
        let header = credentials::header("X-Registry-Auth", &account.unwrap_or_default().json());
        self.send_with(method, path, &header, body)
    }

    /// The line that tells who the user is at each registry.
    pub fn accounts_header(&self) -> Result<String> {
        self.config.accounts_header()
    }

    /// The same with more lines in its head.
    pub fn send_with(
        &self,
        method: &str,
        path: &str,
        headers: &str,
        body: Body<'_>,
    ) -> Result<Response> {
        let again = match &body {
            Body::Empty => Some(Body::Empty),
            Body::Json(text) => Some(Body::Json(text)),
            // It cannot be sent twice; so a small request asks first.
            Body::Stream(_) => {
                self.text("/version")?;
                None
            }
        };
        let send = |body| {
            let target = self.target(path);
            let answer = self.client.send(method, &target, headers, body);
            answer.and_then(Response::checked)
        };
        match send(body) {
            Err(error) if self.is_older(&error) => match again {
                Some(body) => send(body),
                None => Err(error),
            },
            answer => answer,
        }
        .map_err(|error| self.explain(error))
    }

    /// A request that becomes a stream. Another one has gone before, so the version is known.
    pub fn upgrade(&self, path: &str, body: Body<'_>) -> Result<Upgraded> {
        self.client
            .upgrade("POST", &self.target(path), body)
            .map_err(|error| self.explain(error))
    }

    fn target(&self, path: &str) -> String {
        match self.version.borrow().as_deref() {
            Some(version) => format!("/v{version}{path}"),
            None => format!("/v{API}{path}"),
        }
    }

    /// Whether an engine older than this client refuses to understand it; from then on we speak
    /// its version. Asking beforehand, as Docker's client does, would cost each command a round.
    fn is_older(&self, error: &Error) -> bool {
        let mut version = self.version.borrow_mut();
        let parts = error
            .message
            .split_once(" is too new. Maximum supported API version is ");
        let Some((_, newest)) = parts.filter(|_| version.is_none()) else {
            return false;
        };
        let is_version = |c: char| c.is_ascii_digit() || c == '.';
        let end = newest.find(|c| !is_version(c)).unwrap_or(newest.len());
        *version = Some(newest[..end].to_string());
        true
    }

    pub fn text(&self, path: &str) -> Result<String> {
        self.send("GET", path, Body::Empty)?.text()
    }

    /// A request that answers nothing of interest.
    pub fn post(&self, path: &str) -> Result<()> {
        self.send("POST", path, Body::Empty).map(drop)
    }

    /// Say who said it, or that nobody did and what to do.
    pub fn explain(&self, error: Error) -> Error {
        let host = &self.host;
        let message = match (error.kind, error.errno) {
            (Kind::Gone, Some(errno)) if errno == rustix::io::Errno::ACCESS.raw_os_error() => {
                format!(
                    "permission denied at {host}: be root, or a member of the group of the socket"
                )
            }
            (Kind::Gone, _) => format!(
                "Cannot connect to the Docker daemon at {host}. Is the docker daemon running? Start \
                 one with 'tug engine &' or 'systemctl start tug', or say where it is with -H or \
                 TUG_HOST ({})",
                error.message
            ),
            _ => format!("Error response from daemon: {}", error.message),
        };
        Error::with_errno(error.kind, error.errno, message)
    }
}

/// An answer of the engine, to look into.
pub fn parse(text: &str) -> Result<Node<'_>> {
    Node::new(text, "the engine's answer")
}

/// Run `act` on each of `names`; the failures are told together at the end.
pub fn each(names: &[String], mut act: impl FnMut(&str) -> Result<()>) -> Result<u8> {
    let mut failures: Vec<String> = Vec::new();
    for name in names {
        match act(name) {
            Ok(()) => {}
            // Nobody reads on, or nobody answers: the others would fare no better.
            Err(error) if matches!(error.kind, Kind::Help | Kind::Gone) => return Err(error),
            Err(error) => failures.push(error.to_string()),
        }
    }
    match failures.is_empty() {
        true => Ok(0),
        false => Err(Error::invalid(failures.join("\n"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::os::unix::net::UnixListener;

    /// An engine that answers each request, and tells at the end what was asked.
    fn answer(name: &str, answers: &'static [(u16, &str)]) -> (Engine, impl FnOnce() -> String) {
        let path = std::env::temp_dir().join(format!("tug-remote-{}-{name}", std::process::id()));
        let listener = UnixListener::bind(&path).unwrap();
        let server = std::thread::spawn(move || {
            let mut asked = Vec::new();
            for (status, text) in answers {
                let (mut stream, _) = listener.accept().unwrap();
                let mut request = Vec::new();
                let mut byte = [0];
                while !request.ends_with(b"\r\n\r\n") {
                    stream.read_exact(&mut byte).unwrap();
                    request.push(byte[0]);
                }
                let line = String::from_utf8(request).unwrap();
                asked.push(line.lines().next().unwrap().replace(" HTTP/1.1", ""));
                let head = format!(
                    "HTTP/1.1 {status} X\r\nContent-Length: {}\r\n\r\n",
                    text.len()
                );
                stream.write_all((head + text).as_bytes()).unwrap();
            }
            asked.join(", ")
        });
        let engine = Engine {
            client: Client::new(Address::Unix(path.clone()), String::new(), None),
            config: Config::empty(),
            host: "old".to_string(),
            version: RefCell::new(None),
        };
        let end = move || {
            std::fs::remove_file(path).unwrap();
            server.join().unwrap()
        };
        (engine, end)
    }

    const OLD: (u16, &str) = (
        400,
        r#"{"message":"client version 1.51 is too new. Maximum supported API version is 1.41"}"#,
    );

    #[test]
    fn an_older_engine_is_spoken_to_in_its_own_version() {
        let (engine, asked) = answer("old", &[OLD, (200, "[]"), (200, "{}")]);
        assert_eq!(engine.text("/containers/json").unwrap(), "[]");
        engine.post("/containers/a/stop").unwrap();
        assert_eq!(
            asked(),
            "GET /v1.51/containers/json, GET /v1.41/containers/json, POST /v1.41/containers/a/stop"
        );
    }

    #[test]
    fn before_a_body_that_cannot_be_sent_twice_the_version_is_asked_for() {
        let (engine, asked) = answer("stream", &[OLD, (200, "{}"), (200, "{}")]);
        let mut source = std::io::empty();
        engine
            .send("POST", "/images/load", Body::Stream(&mut source))
            .unwrap();
        assert_eq!(
            asked(),
            "GET /v1.51/version, GET /v1.41/version, POST /v1.41/images/load"
        );
    }

    #[test]
    fn a_refusal_that_stays_one_is_told_once() {
        let (engine, asked) = answer("stays", &[OLD, OLD]);
        let error = engine.text("/info").unwrap_err();
        assert!(error.message.contains("1.51 is too new"), "{error}");
        assert_eq!(asked(), "GET /v1.51/info, GET /v1.41/info");
    }
}
