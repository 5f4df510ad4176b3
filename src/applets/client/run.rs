//! `tug run`: create, attach, wait, start; then carry bytes until the container has ended.
//!
//! ```text
//!   tug run                              engine
//!     | -- create -----------------------> |
//!     | -- attach (becomes the streams) -> |   before start: no byte is missed
//!     | -- wait -------------------------> |   before start: no end is missed
//!     | -- start ------------------------> |
//!     | <======= streams ================> |
//!     | <----------------- exit code ----- |   the answer to wait
//! ```

use super::attach::{self, DETACH_KEYS, Streams, check_tty, finish};
use super::create::{self, Create, run_error};
use super::options::{ANY, Flag, Options, Verb, flag};
use super::pump::{Session, detach_keys};
use super::remote::Engine;
use super::{limits, print};
use crate::error::{Error, Kind, Result};
use crate::sys::terminal;

/// What `run` has beside the options of `create`.
const FLAGS: &[Flag] = &[
    flag(
        "-d, --detach",
        "Run container in background and print container ID",
    ),
    flag("--detach-keys string", DETACH_KEYS),
    flag(
        "--sig-proxy",
        "Proxy received signals to the process (default true)",
    ),
];

pub const VERB: Verb = Verb {
    names: &["run", "container run"],
    usage: "[OPTIONS] IMAGE [COMMAND] [ARG...]",
    about: "Create and run a new container from an image",
    flags: &[FLAGS, create::FLAGS, limits::SHARED, limits::OWN],
    args: (1, ANY),
    has_command: true,
    main,
};

fn main(engine: &Engine, options: &Options) -> Result<u8> {
    let mut create = create::request(options)?;
    let keys = options.get("detach-keys");
    let detach_keys = detach_keys(keys)?;
    let config = &mut create.config;
    let tty = config.tty == Some(true);
    if options.is("detach") {
        if options.get("attach").is_some() {
            let message = "conflicting options: cannot specify both --attach and --detach";
            return Err(Error::invalid(message));
        }
        config.attach_stdin = Some(false);
        config.attach_stdout = Some(false);
        config.attach_stderr = Some(false);
        config.stdin_once = Some(false);
        return run_detached(engine, options, create).map_err(run_error);
    }
    check_tty(tty, config.attach_stdin == Some(true))?;
    if let Some((height, width)) = terminal::size(std::io::stdout()).filter(|_| tty) {
        create.host.console_size = Some(vec![height.into(), width.into()]);
    }

    let is_on = |stream: Option<bool>| stream == Some(true);
    let mut streams = Streams {
        id: "",
        stdin: is_on(create.config.attach_stdin),
        stdout: is_on(create.config.attach_stdout),
        stderr: is_on(create.config.attach_stderr),
        detach_keys: keys,
    };
    let condition = match create.host.auto_remove {
        Some(true) => "removed",
        _ => "next-exit",
    };
    let id = create::send(engine, options, create).map_err(run_error)?;
    streams.id = &id;
    let session = Session {
        engine,
        path: format!("/containers/{id}"),
        signals: (options.get("sig-proxy") != Some("false")).then_some(id.as_str()),
        tty,
        stdin: streams.stdin,
        detach_keys,
    };
    run_attached(&session, &streams, condition)
}

fn run_detached(engine: &Engine, options: &Options, create: Create) -> Result<u8> {
    let id = create::send(engine, options, create)?;
    engine.post(&format!("/containers/{id}/start"))?;
    print::line(&id)?;
    Ok(0)
}

/// Start a container that exists and stay with it; also for `start --attach`.
pub fn run_attached(session: &Session<'_>, streams: &Streams<'_>, condition: &str) -> Result<u8> {
    let engine = session.engine;
    let start = || {
        let upgraded = attach::attach(engine, streams)?;
        let waiting = attach::wait(engine, streams.id, condition)?;
        // Signals first: one that comes while the container starts is for the container.
        let guard = session.guard()?;
        engine.post(&format!("/containers/{}/start", streams.id))?;
        Ok((upgraded, waiting, guard))
    };
    let (upgraded, waiting, guard) = start().map_err(run_error)?;
    if session.tty {
        session.resize();
    }
    let end = session.run(&guard, upgraded)?;
    drop(guard);
    finish(engine, streams.id, end, waiting).map_err(|error| match error.kind {
        // It has run; what is missing is its exit code.
        Kind::Gone | Kind::NotFound => error.with_kind(Kind::Run),
        _ => error,
    })
}
