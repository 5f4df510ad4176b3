//! `tug exec`: a command in a running container.

use super::attach::{DETACH_KEYS, check_tty};

use super::options::{ANY, Options, Verb, flag};
use super::pump::{End, Session, detach_keys};
use super::remote::{Engine, parse};
use super::values;
use crate::error::{Error, Kind, Result};
use crate::http::client::Body;
use crate::http::query;
use crate::json;
use crate::sys::terminal;
use crate::wire::exec::{CreateRequest, StartRequest};
use std::time::Duration;

pub const VERB: Verb = Verb {
    names: &["exec", "container exec"],
    usage: "[OPTIONS] CONTAINER COMMAND [ARG...]",
    about: "Execute a command in a running container",
    flags: &[&[
        flag(
            "-d, --detach",
            "Detached mode: run command in the background",
        ),
        flag("--detach-keys string", DETACH_KEYS),
        flag("-e, --env list", "Set environment variables"),
        flag("--env-file list", "Read in a file of environment variables"),
        flag("-i, --interactive", "Keep STDIN open even if not attached"),
        flag("--privileged", "Give extended privileges to the command"),
        flag("-t, --tty", "Allocate a pseudo-TTY"),
        flag(
            "-u, --user string",
            "Username or UID (format: \"<name|uid>[:<group|gid>]\")",
        ),
        flag(
            "-w, --workdir string",
            "Working directory inside the container",
        ),
    ]],
    args: (2, ANY),
    has_command: true,
    main,
};

fn main(engine: &Engine, options: &Options) -> Result<u8> {
    let (container, command) = options
        .args
        .split_first()
        .ok_or_else(|| Error::invalid(""))?;
    let is_detached = options.is("detach");
    let tty = options.is("tty");
    let stdin = options.is("interactive") && !is_detached;
    let detach_keys = detach_keys(options.get("detach-keys"))?;
    check_tty(tty, stdin)?;
    let size = terminal::size(std::io::stdout()).filter(|_| tty && !is_detached);
    let console_size = size.map(|(height, width)| vec![height.into(), width.into()]);
    let text = |name: &str| options.get(name).map(str::to_string);
    let request = CreateRequest {
        attach_stdin: Some(stdin),
        attach_stdout: Some(!is_detached),
        attach_stderr: Some(!is_detached),
        detach_keys: text("detach-keys"),
        tty: Some(tty),
        console_size: console_size.clone(),
        env: values::env(options)?,
        cmd: Some(command.to_vec()),
        privileged: Some(options.is("privileged")),
        user: text("user"),
        working_dir: text("workdir"),
    };
    let body = json::to_string(&request);
    let path = format!("/containers/{}/exec", query::encode(container));
    let answer = engine.send("POST", &path, Body::Json(&body))?.text()?;
    let id = parse(&answer)?.at("Id").text();
    let session = Session {
        engine,
        path: format!("/exec/{id}"),
        signals: None,
        tty,
        stdin,
        detach_keys,
    };
    let start = StartRequest {
        detach: Some(is_detached),
        tty: Some(tty),
        console_size,
    };
    start_exec(&session, &start).map_err(|error| {
        let kind = Kind::of_words(&error.message).unwrap_or(error.kind);
        error.with_kind(kind)
    })
}

fn start_exec(session: &Session<'_>, start: &StartRequest) -> Result<u8> {
    let engine = session.engine;
    let path = format!("{}/start", session.path);
    let body = json::to_string(start);
    if start.detach == Some(true) {
        engine.send("POST", &path, Body::Json(&body))?;
        return Ok(0);
    }
    let upgraded = engine.upgrade(&path, Body::Json(&body))?;
    let guard = session.guard()?;
    if session.tty {
        session.resize();
    }
    let end = session.run(&guard, upgraded)?;
    drop(guard);
    match end {
        End::Closed => exit_code(session),
        End::Detached => Err(Error::new(Kind::Invalid, "read escape sequence")),
        End::Forced => Ok(1),
        End::Signal(number) => Ok(128u8.saturating_add(number as u8)),
    }
}

/// The streams close a moment before the command is seen to have ended; one that closed them and
/// runs on is not waited for.
fn exit_code(session: &Session<'_>) -> Result<u8> {
    for _ in 0..100 {
        let answer = session.engine.text(&format!("{}/json", session.path))?;
        let exec = parse(&answer)?;
        if !exec.at("Running").is_true() {
            return Ok(exec.at("ExitCode").integer() as u8);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(0)
}
