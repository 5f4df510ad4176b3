//! The Docker HTTP API: a request in, one call of the engine, an answer out.
//!
//! One table of routes (`routes`), a handler each. A handler reads parameters and body, calls a
//! verb of the engine and says what to answer; errors become `{"message":…}` here, in one place.

mod build;
mod check;
mod containers;
mod exec;
mod files;
mod images;
mod listener;
mod networks;
mod registries;
mod routes;
mod sets;
mod streams;
mod system;
mod volumes;

use crate::engine::{API_VERSION, API_VERSION_MIN, Engine, registry};
use crate::error::{Error, Kind, Result};
use crate::http::pump::Pumps;
use crate::http::server::{Connection, Request};
use crate::json;
use crate::json::value::Value;
use crate::registry::Credentials;
use crate::wire;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

const JSON: &str = "application/json";

/// As long as Docker's largest sensible request; beyond it 413.
const BODY_BYTES_MAX: usize = 4 << 20;

const BUSY: &str = "too many requests at the engine: try again";

/// On every answer. The first is `engine::API_VERSION`.
const DEFAULT_HEADERS: &str = concat!(
    "Api-Version: 1.51\r\n",
    "Docker-Experimental: false\r\n",
    "Ostype: linux\r\n",
    "Server: Tug/",
    env!("CARGO_PKG_VERSION"),
    " (linux)\r\n",
);

/// One request on its way.
pub struct Call<'a> {
    engine: &'a Arc<Engine>,
    pumps: &'a Arc<Pumps>,
    connection: &'a mut Connection,
    request: Request,
    /// What stands in the path for `{}`.
    name: String,
}

/// What a handler answers.
enum Reply {
    Json(u16, String),
    /// Nothing but the status.
    Status(u16),
    /// It was written by the handler, to its end.
    Done,
    /// The connection has other work now, or is of no more use.
    Close,
}

impl Reply {
    fn json(status: u16, value: &dyn Value) -> Result<Reply> {
        Ok(Reply::Json(status, json::to_string(value)))
    }
}

/// The API of one engine.
pub struct Api {
    engine: Arc<Engine>,
    /// Requests now that last as long as their clients like, and how many there may be: those who
    /// only look on must leave threads for those who act.
    onlookers: AtomicUsize,
    onlookers_max: usize,
    pumps: Arc<Pumps>,
}

/// A connection of the API's.
pub fn connection(stream: OwnedFd) -> Connection {
    let mut connection = Connection::new(stream);
    connection.set_default_headers(DEFAULT_HEADERS);
    connection
}

impl Api {
    pub fn new(engine: Arc<Engine>, pumps: Arc<Pumps>, onlookers_max: usize) -> Api {
        Api {
            engine,
            onlookers: AtomicUsize::new(0),
            onlookers_max,
            pumps,
        }
    }

    /// Serve the requests that have come on a connection. Answers it when it is to wait for the
    /// next one.
    pub fn serve(&self, mut connection: Connection) -> Option<Connection> {
        loop {
            // An error means that the client has its answer already, or has gone.
            let request = connection.next().ok()??;
            let is_onlooker = is_onlooker(&request.path);
            let among = is_onlooker.then(|| self.onlookers.fetch_add(1, Ordering::AcqRel));
            let outcome = match among {
                Some(others) if others >= self.onlookers_max => Ok(Reply::Json(503, message(BUSY))),
                _ => self.tell_and_dispatch(&mut connection, request),
            };
            if is_onlooker {
                self.onlookers.fetch_sub(1, Ordering::AcqRel);
            }
            answer(&mut connection, outcome).ok()?;
            if !connection.finish() {
                return None;
            }
            if !connection.has_head() {
                return Some(connection);
            }
        }
    }

    fn tell_and_dispatch(&self, connection: &mut Connection, request: Request) -> Result<Reply> {
        if !self.engine.is_debug() {
            return self.dispatch(connection, request);
        }
        let line = format!("{} {}", request.method, request.path);
        let outcome = self.dispatch(connection, request);
        let what = match &outcome {
            Ok(Reply::Json(status, _) | Reply::Status(status)) => status.to_string(),
            Ok(_) => "streamed".to_string(),
            Err(error) => error.message.clone(),
        };
        crate::log::line("tugd", format_args!("{line}: {what}"));
        outcome
    }

    fn dispatch(&self, connection: &mut Connection, request: Request) -> Result<Reply> {
        // As Docker's router: one path, one spelling.
        if let Some(clean) = routes::cleaned(&request.path) {
            let location = clean + &request.query.text();
            connection.respond_with(301, &[("Location", &location)], b"")?;
            return Ok(Reply::Done);
        }
        let (version, path) = split_version(&request.path);
        let Some((handler, name)) = routes::find(&request.method, path) else {
            return Err(Error::not_found("page not found"));
        };
        if let Some(version) = version {
            check_version(version)?;
        }
        let name = name.to_string();
        handler(&mut Call {
            engine: &self.engine,
            pumps: &self.pumps,
            connection,
            request,
            name,
        })
    }
}

/// Whether a request ends when its client or a container likes.
fn is_onlooker(path: &str) -> bool {
    ["/events", "/wait", "/logs", "/stats"]
        .iter()
        .any(|end| path.ends_with(end))
}

/// Say that there are as many requests as we have threads for.
pub fn refuse(connection: Connection) {
    connection.turn_away(503, JSON, message(BUSY).as_bytes());
}

fn answer(connection: &mut Connection, outcome: Result<Reply>) -> Result<()> {
    match outcome {
        Ok(Reply::Json(status, body)) => connection.respond(status, JSON, body.as_bytes()),
        Ok(Reply::Status(status)) => connection.respond_with(status, &[], b""),
        Ok(Reply::Done) => Ok(()),
        Ok(Reply::Close) => Err(Error::new(Kind::Gone, "")),
        Err(error) => {
            let body = message(&error.message);
            connection.respond(status_of(&error), JSON, body.as_bytes())
        }
    }
}

fn message(text: &str) -> String {
    json::to_string(&wire::Message {
        message: Some(text.to_string()),
    })
}

fn status_of(error: &Error) -> u16 {
    match error.kind {
        Kind::Invalid | Kind::Usage | Kind::CannotInvoke | Kind::ProgramMissing => 400,
        Kind::Denied => 403,
        Kind::NotFound => 404,
        Kind::Conflict => 409,
        Kind::NotModified => 304,
        Kind::TooLarge => 413,
        Kind::Unsupported => 501,
        Kind::Help | Kind::Run | Kind::Exec | Kind::Gone | Kind::System => 500,
    }
}

/// `/v1.43/info` is version `1.43` and `/info`.
fn split_version(path: &str) -> (Option<&str>, &str) {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let split = || {
        let rest = path.strip_prefix("/v")?;
        let at = rest.find('/')?;
        let (version, path) = rest.split_at(at);
        let (major, minor) = version.split_once('.')?;
        (is_number(major) && is_number(minor)).then_some((Some(version), path))
    };
    split().unwrap_or((None, path))
}

/// Docker's sentences; clients print them.
fn check_version(version: &str) -> Result<()> {
    let asked = numbers(version);
    if asked > numbers(API_VERSION) {
        return Err(Error::invalid(format!(
            "client version {version} is too new. Maximum supported API version is {API_VERSION}"
        )));
    }
    if asked < numbers(API_VERSION_MIN) {
        return Err(Error::invalid(format!(
            "client version {version} is too old. Minimum supported API version is {API_VERSION_MIN}, please upgrade your client to a newer version"
        )));
    }
    Ok(())
}

fn numbers(version: &str) -> (u64, u64) {
    let number = |text: &str| text.parse().unwrap_or(u64::MAX);
    let (major, minor) = version.split_once('.').unwrap_or((version, "0"));
    (number(major), number(minor))
}

impl Call<'_> {
    /// Whether the client speaks a version of the API before 1.`minor`. Without a version in the
    /// path it is the newest.
    fn is_before(&self, minor: u64) -> bool {
        let (version, _) = split_version(&self.request.path);
        version.is_some_and(|version| numbers(version) < (1, minor))
    }

    fn query(&self, name: &str) -> Option<&str> {
        self.request.query.get(name)
    }

    fn flag(&self, name: &str) -> bool {
        self.request.query.flag(name)
    }

    /// For the registry that the request is about.
    fn credentials(&self) -> Result<Option<Credentials>> {
        let header = self.request.headers.get("x-registry-auth");
        registry::credentials(header.unwrap_or_default())
    }

    /// A number in the query; absent and empty are `None`.
    fn number<T: std::str::FromStr>(&self, name: &str) -> Result<Option<T>> {
        let Some(text) = self.query(name).filter(|text| !text.is_empty()) else {
            return Ok(None);
        };
        let number = text.parse().map_err(|_| {
            Error::invalid(format!(
                "invalid value {text:?} for parameter {name}: not a number we can use"
            ))
        })?;
        Ok(Some(number))
    }

    /// The body as JSON text. Without a body: empty text.
    fn body_text(&mut self) -> Result<String> {
        let content_type = self.request.headers.get("content-type").map(str::to_string);
        let text = self.connection.text(BODY_BYTES_MAX)?;
        match content_type {
            None if text.is_empty() => {}
            None => {
                return Err(Error::invalid(
                    "malformed Content-Type header (): mime: no media type",
                ));
            }
            Some(given) => {
                let media = given.split(';').next().unwrap_or_default().trim();
                if !media.eq_ignore_ascii_case(JSON) && !(text.is_empty()) {
                    return Err(Error::invalid(format!(
                        "unsupported Content-Type header ({given}): must be 'application/json'"
                    )));
                }
            }
        }
        Ok(text)
    }

    fn body<T: Value + Default>(&mut self) -> Result<T> {
        parse_body(&self.body_text()?)
    }
}

fn parse_body<T: Value + Default>(text: &str) -> Result<T> {
    if text.trim().is_empty() {
        return Err(Error::invalid(
            "invalid JSON: got EOF while reading request body",
        ));
    }
    json::parse(text, "request body")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_split_from_the_path() {
        assert_eq!(split_version("/v1.43/info"), (Some("1.43"), "/info"));
        assert_eq!(split_version("/info"), (None, "/info"));
        assert_eq!(split_version("/volumes"), (None, "/volumes"));
        assert_eq!(split_version("/v1.x/info"), (None, "/v1.x/info"));
        assert_eq!(split_version("/v1.43"), (None, "/v1.43"));
    }

    #[test]
    fn versions_out_of_range_are_refused_in_dockers_words() {
        let refusal = |version: &str| check_version(version).unwrap_err().to_string();
        assert_eq!(
            refusal("1.99"),
            "client version 1.99 is too new. Maximum supported API version is 1.51"
        );
        assert_eq!(
            refusal("1.10"),
            "client version 1.10 is too old. Minimum supported API version is 1.24, please upgrade your client to a newer version"
        );
        assert!(check_version("1.24").is_ok() && check_version("1.51").is_ok());
        assert!(check_version("2.0").is_err() && check_version("1.99999999999999999999").is_err());
    }

    #[test]
    fn the_header_tells_the_version_that_we_speak() {
        assert!(DEFAULT_HEADERS.starts_with(&format!("Api-Version: {API_VERSION}\r\n")));
    }
}
