//! The engine as the client sees it: requests by path, errors as sentences for the user.

use crate::error::{Error, Kind, Result};
use crate::http::address::{self, Address, DEFAULT_SOCKET};
use crate::http::client::{Body, Client, Pending, Response, Upgraded};
use crate::json::node::Node;

/// What our engine speaks at most. Docker's own answers older clients in older words, and we read
/// nothing that has changed.
const API: &str = "/v1.51";

pub struct Engine {
    client: Client,
    pub host: String,
}

impl Engine {
    /// The engine at `host`, else at `TUG_HOST`, at `DOCKER_HOST`, at our own socket.
    pub fn new(host: Option<&str>) -> Result<Engine> {
        let from = |name: &str| std::env::var(name).ok().filter(|host| !host.is_empty());
        let host = host
            .map(str::to_string)
            .or_else(|| from("TUG_HOST"))
            .or_else(|| from("DOCKER_HOST"))
            .unwrap_or_else(|| format!("unix://{DEFAULT_SOCKET}"));
        let address = address::parse(&host)?;
        if address == Address::Fd {
            return Err(Error::invalid("fd:// is for the engine to listen on"));
        }
        Ok(Engine {
            client: Client::new(address),
            host,
        })
    }

    /// Send a request; an answer of 400 and above is an error with the engine's sentence.
    pub fn send(&self, method: &str, path: &str, body: Body<'_>) -> Result<Response> {
        self.client
            .send(method, &format!("{API}{path}"), body)
            .and_then(Response::checked)
            .map_err(|error| self.explain(error))
    }

    /// Send a request whose answer is looked at later.
    pub fn begin(&self, method: &str, path: &str) -> Result<Pending> {
        self.client
            .begin(method, &format!("{API}{path}"), Body::Empty)
            .map_err(|error| self.explain(error))
    }

    pub fn upgrade(&self, path: &str, body: Body<'_>) -> Result<Upgraded> {
        self.client
            .upgrade("POST", &format!("{API}{path}"), body)
            .map_err(|error| self.explain(error))
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
