//! `tug attach`, and what `run`, `start` and `attach` share: streams, waiting, exit codes.

use super::options::{Options, Verb, flag};
use super::pump::{End, Session, detach_keys};
use super::remote::{Engine, parse};
use crate::error::{Error, Kind, Result};
use crate::http::client::{Body, Response, Upgraded};
use crate::http::query;
use std::time::Duration;

pub const DETACH_KEYS: &str = "Override the key sequence for detaching a container";

pub const VERB: Verb = Verb {
    names: &["attach", "container attach"],
    usage: "[OPTIONS] CONTAINER",
    about: "Attach local standard input, output, and error streams to a running container",
    flags: &[&[
        flag("--detach-keys string", DETACH_KEYS),
        flag("--no-stdin", "Do not attach STDIN"),
        flag(
            "--sig-proxy",
            "Proxy all received signals to the process (default true)",
        ),
    ]],
    args: (1, 1),
    has_command: false,
    main,
};

/// What of a container to attach to.
pub struct Streams<'a> {
    pub id: &'a str,
    pub stdin: bool,
    pub stdout: bool,
    pub stderr: bool,
    pub detach_keys: Option<&'a str>,
}

pub fn attach(engine: &Engine, streams: &Streams<'_>) -> Result<Upgraded> {
    let mut path = format!("/containers/{}/attach?stream=1", query::encode(streams.id));
    for (name, is_on) in [
        ("stdin", streams.stdin),
        ("stdout", streams.stdout),
        ("stderr", streams.stderr),
    ] {
        if is_on {
            path.push_str(&format!("&{name}=1"));
        }
    }
    if let Some(keys) = streams.detach_keys {
        path.push_str(&format!("&detachKeys={}", query::encode(keys)));
    }
    engine.upgrade(&path, Body::Empty)
}

/// Ask for a container's end. Returns when the engine has noted the question, which it says by
/// sending the head of its answer: from then on no end is missed.
pub fn wait(engine: &Engine, id: &str, condition: &str) -> Result<Response> {
    let path = format!(
        "/containers/{}/wait?condition={condition}",
        query::encode(id)
    );
    engine.send("POST", &path, Body::Empty)
}

/// The exit code that the answer to `wait` ends with.
pub fn exit_code(waiting: Response) -> Result<i64> {
    let text = waiting
        .text()
        .map_err(|error| error.with_kind(Kind::Gone))?;
    let answer = parse(&text).map_err(|error| error.with_kind(Kind::Gone))?;
    match answer.at("Error.Message").text() {
        message if !message.is_empty() => Err(Error::new(Kind::Run, message)),
        _ => Ok(answer.at("StatusCode").integer()),
    }
}

/// How this program exits after a session with container `id`.
pub fn finish(engine: &Engine, id: &str, end: End, waiting: Response) -> Result<u8> {
    match end {
        End::Closed => {}
        End::Detached => return Ok(0),
        End::Forced => return Ok(1),
        End::Signal(number) => return Ok(128u8.saturating_add(number as u8)),
    }
    // Streams live in the shim. When the engine went away meanwhile, the one that follows it knows
    // how the container ended.
    let mut outcome = exit_code(waiting);
    for _ in 0..RETRIES {
        match outcome {
            Err(error) if error.kind == Kind::Gone => std::thread::sleep(RETRY),
            outcome => return Ok(outcome? as u8),
        }
        outcome = wait(engine, id, "not-running").and_then(exit_code);
    }
    Ok(outcome? as u8)
}

/// An engine that is being restarted is back within this.
const RETRIES: u32 = 40;
const RETRY: Duration = Duration::from_millis(250);

/// Docker's refusal of a terminal that is none.
pub fn check_tty(tty: bool, stdin: bool) -> Result<()> {
    use std::io::IsTerminal;
    match tty && stdin && !std::io::stdin().is_terminal() {
        true => Err(Error::invalid("the input device is not a TTY")),
        false => Ok(()),
    }
}

/// A container that exists, as far as a session with it is concerned.
pub struct Target {
    pub id: String,
    pub path: String,
    pub tty: bool,
    pub open_stdin: bool,
    pub auto_remove: bool,
    /// Docker's word: `running`, `paused`, `exited` …
    pub status: String,
}

impl Target {
    pub fn find(engine: &Engine, name: &str) -> Result<Target> {
        let path = format!("/containers/{}", query::encode(name));
        let answer = engine.text(&format!("{path}/json"))?;
        let container = parse(&answer)?;
        Ok(Target {
            id: container.at("Id").text(),
            tty: container.at("Config.Tty").is_true(),
            open_stdin: container.at("Config.OpenStdin").is_true(),
            auto_remove: container.at("HostConfig.AutoRemove").is_true(),
            status: container.at("State.Status").text(),
            path,
        })
    }

    /// A session as the options of `attach` and `start` want it.
    pub fn session<'a>(
        &'a self,
        engine: &'a Engine,
        options: &Options,
        stdin: bool,
    ) -> Result<Session<'a>> {
        check_tty(self.tty, stdin)?;
        let proxy = !self.tty && options.get("sig-proxy") != Some("false");
        Ok(Session {
            engine,
            path: self.path.clone(),
            signals: proxy.then_some(self.id.as_str()),
            tty: self.tty,
            stdin,
            detach_keys: detach_keys(options.get("detach-keys"))?,
        })
    }
}

fn main(engine: &Engine, options: &Options) -> Result<u8> {
    let target = Target::find(engine, &options.args[0])?;
    let refusal = match target.status.as_str() {
        "running" => None,
        "paused" => Some("You cannot attach to a paused container, unpause it first"),
        "restarting" => {
            Some("You cannot attach to a restarting container, wait until it is running")
        }
        _ => Some("You cannot attach to a stopped container, start it first"),
    };
    if let Some(message) = refusal {
        return Err(Error::invalid(message));
    }
    let stdin = target.open_stdin && !options.is("no-stdin");
    let session = target.session(engine, options, stdin)?;
    let waiting = wait(engine, &target.id, "not-running")?;
    let streams = Streams {
        id: &target.id,
        stdin,
        stdout: true,
        stderr: true,
        detach_keys: options.get("detach-keys"),
    };
    let upgraded = attach(engine, &streams)?;
    let guard = session.guard()?;
    if target.tty {
        // A program draws itself anew when the size changes, so it must change even where the
        // terminal has the one that the last client had.
        session.resize_by(1);
        session.resize();
    }
    let end = session.run(&guard, upgraded)?;
    drop(guard);
    if end == End::Detached {
        return Err(Error::invalid("read escape sequence"));
    }
    finish(engine, &target.id, end, waiting)
}
