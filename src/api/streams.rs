//! Answers that take their time: attach, logs, wait, events.

use crate::api::{Call, JSON, Reply};
use crate::engine::API_VERSION;
use crate::engine::container::{Container, Phase};
use crate::engine::events::{self, FILTERS};
use crate::engine::filter::Filters;
use crate::engine::logs;
use crate::engine::wait::Condition;
use crate::error::{Context, Error, Kind, Result};
use crate::http::server::Request;
use crate::http::websocket::{self, Frames};
use crate::json;
use crate::shim::client::Attach;
use crate::shim::keys;
use crate::shim::log::reader::Select;
use crate::sys::poll;
use crate::time::{Time, moment};
use crate::wire::container::WaitResponse;
use rustix::event::PollFlags;
use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

/// A terminal's bytes.
const RAW: &str = "application/vnd.docker.raw-stream";
/// Frames of stdout and stderr (`wire::stdcopy`).
const MULTIPLEXED: &str = "application/vnd.docker.multiplexed-stream";

/// The version of the API that a request is for; the newest where it does not say.
fn version(request: &Request) -> (u64, u64) {
    let (version, _) = super::split_version(&request.path);
    super::numbers(version.unwrap_or(API_VERSION))
}

/// Clients before API 1.42 know one name for both.
pub(super) fn stream_type(terminal: bool, request: &Request) -> &'static str {
    match terminal || version(request) < (1, 42) {
        true => RAW,
        false => MULTIPLEXED,
    }
}

/// A second descriptor of the client, to see it hang up while a stream is being written.
fn second(call: &Call<'_>) -> Result<OwnedFd> {
    let clone = call.connection.fd().try_clone_to_owned();
    clone.map_err(|e| Error::io("keep the connection", &e))
}

pub fn attach(call: &mut Call<'_>) -> Result<Reply> {
    let container = call.container()?;
    let mut attach = wishes(call, &container, true)?;
    let content_type = stream_type(container.has_terminal(), &call.request);
    attach.leftover = call.connection.upgrade(&call.request, content_type)?;
    let client = second(call)?;
    join(call, &container, attach, client)
}

/// The same by a websocket. It has no frames of ours: both streams are one, as Docker has it.
pub fn attach_websocket(call: &mut Call<'_>) -> Result<Reply> {
    let container = call.container()?;
    let accept = websocket::accept(&call.request.headers)?;
    let version = version(&call.request);
    // Older clients could not say which streams they want, and read text.
    let attach = wishes(call, &container, version >= (1, 42))?;
    let frames = Frames::new(version >= (1, 28), !container.has_terminal());

    let ahead = call.connection.upgrade_to_websocket(&accept)?;
    let outer = second(call)?;
    match call.pumps.add(outer, Box::new(frames), &ahead) {
        Ok(client) => join(call, &container, attach, client),
        Err(error) => Ok(cannot_attach(&container, &error)),
    }
}

/// Which streams the client wants; all of them where it `can_choose` none.
fn wishes(call: &Call<'_>, container: &Container, can_choose: bool) -> Result<Attach> {
    let detach_keys = call.query("detachKeys").map(str::to_string);
    if let Some(text) = &detach_keys {
        keys::parse(text)?;
    }
    call.engine.attachable(container)?;
    let wants = |stream: &str| !can_choose || call.flag(stream);
    Ok(Attach {
        stdin: wants("stdin") && container.config.open_stdin == Some(true),
        stdout: wants("stdout"),
        stderr: wants("stderr"),
        detach_keys,
        leftover: Vec::new(),
        log: None,
    })
}

/// Write the log to the client and hand it over, as far as it wants that.
fn join(
    call: &Call<'_>,
    container: &Arc<Container>,
    mut attach: Attach,
    client: OwnedFd,
) -> Result<Reply> {
    let clone = client.try_clone();
    let outer = clone.map_err(|e| Error::io("keep the connection", &e))?;
    let mut client = File::from(client);
    let was_running = container.is_running();
    let select = Select {
        stdout: attach.stdout,
        stderr: attach.stderr,
        ..Select::default()
    };
    let mut replay = |after| {
        let options = logs::Options {
            select: select.clone(),
            after,
            ..Default::default()
        };
        let logs = call.engine.logs(container, options)?;
        logs.write(&mut client, call.connection.fd())
    };
    let mut mark = None;
    if call.flag("logs") {
        match replay(None) {
            Ok(read) => mark = Some(read),
            Err(_) => return Ok(Reply::Close),
        }
    }
    if !call.flag("stream") {
        return Ok(Reply::Close);
    }
    attach.log = mark.filter(|_| was_running);
    match call.engine.attach(container, attach, outer.as_fd()) {
        Ok(()) => Ok(Reply::Close),
        // It has ended meanwhile, so this is the end. The client may have gone; then it knows.
        Err(error) if error.kind == Kind::Gone => {
            let _ = replay(mark);
            Ok(Reply::Close)
        }
        Err(error) => Ok(cannot_attach(container, &error)),
    }
}

/// HTTP is over on this connection; closing it is all that can be said.
fn cannot_attach(container: &Container, error: &Error) -> Reply {
    crate::log::line("tugd", format_args!("attach {}: {error}", container.id));
    Reply::Close
}

pub fn logs(call: &mut Call<'_>) -> Result<Reply> {
    let container = call.container()?;
    let tail = match call.query("tail") {
        None | Some("" | "all") => None,
        // Docker: whatever is not a number means all.
        Some(text) => text.parse::<i64>().ok().and_then(|n| u64::try_from(n).ok()),
    };
    let options = logs::Options {
        select: Select {
            stdout: call.flag("stdout"),
            stderr: call.flag("stderr"),
            since: time(call, "since")?,
            until: time(call, "until")?,
            tail,
        },
        follow: call.flag("follow"),
        timestamps: call.flag("timestamps"),
        details: call.flag("details"),
        after: None,
    };
    let content_type = stream_type(container.has_terminal(), &call.request);
    let logs = call.engine.logs(&container, options)?;
    let client = second(call)?;
    let mut stream = call.connection.stream(200, content_type)?;
    match logs.write(&mut stream, client.as_fd()) {
        Ok(_) => stream.finish().map(|()| Reply::Done),
        Err(_) => Ok(Reply::Close),
    }
}

/// A moment in the query; `0` is none.
pub(super) fn time(call: &Call<'_>, name: &str) -> Result<Option<Time>> {
    let text = call.query(name).unwrap_or_default();
    if text.is_empty() || text == "0" {
        return Ok(None);
    }
    moment::parse(text, Time::now())
        .context(|| format!("invalid value for {name:?}"))
        .map(Some)
}

pub fn wait(call: &mut Call<'_>) -> Result<Reply> {
    let container = call.container()?;
    let condition = Condition::parse(call.query("condition"), &container)?;
    let client = second(call)?;
    // The head tells the client that what happens from now on counts; it starts the container
    // only then.
    let mut stream = call.connection.stream(200, JSON)?;
    let Some(code) = call.engine.wait(&container, condition, client.as_fd())? else {
        return Ok(Reply::Close);
    };
    let response = WaitResponse {
        status_code: Some(code),
        error: None,
    };
    let body = json::to_string(&response) + "\n";
    let written = stream.write_all(body.as_bytes());
    if written.is_err() {
        return Ok(Reply::Close);
    }
    stream.finish().map(|()| Reply::Done)
}

/// Docker's interval.
const STATS_INTERVAL: Duration = Duration::from_secs(1);

/// One answer (`stream=0`; with `one-shot` without a look at what came before), or one a second.
pub fn stats(call: &mut Call<'_>) -> Result<Reply> {
    let container = call.container()?;
    let engine = Arc::clone(call.engine);
    let is_stream = call.query("stream").is_none_or(|_| call.flag("stream"));
    let client = second(call)?;
    let (mut text, mut before) = engine.stats(&container, None);
    if !is_stream {
        if before.is_some() && !call.flag("one-shot") {
            if pause(&client)? {
                return Ok(Reply::Close);
            }
            (text, _) = engine.stats(&container, before.as_ref());
        }
        return Ok(Reply::Json(200, text));
    }
    let mut stream = call.connection.stream(200, JSON)?;
    while container.lock().phase != Phase::Removed {
        // A client that does not read is left alone until it does; it misses what it has missed.
        text.push('\n');
        if is_writable(&client)? && stream.write_all(text.as_bytes()).is_err() {
            return Ok(Reply::Close);
        }
        if pause(&client)? {
            return Ok(Reply::Close);
        }
        (text, before) = engine.stats(&container, before.as_ref());
    }
    stream.finish().map(|()| Reply::Done)
}

/// Wait for the next sample. True when the client has gone.
fn pause(client: &OwnedFd) -> Result<bool> {
    let ready = poll::wait(
        &[(client.as_fd(), PollFlags::empty())],
        Some(STATS_INTERVAL),
    )?;
    Ok(ready.iter().any(|flags| !flags.is_empty()))
}

fn is_writable(client: &OwnedFd) -> Result<bool> {
    let ready = poll::wait(&[(client.as_fd(), PollFlags::OUT)], Some(Duration::ZERO))?;
    Ok(ready.iter().any(|flags| !flags.is_empty()))
}

pub fn events(call: &mut Call<'_>) -> Result<Reply> {
    let filters = Filters::parse(call.query("filters"), FILTERS)?;
    let (since, until) = (time(call, "since")?, time(call, "until")?);
    if let (Some(since), Some(until)) = (since, until)
        && since > until
    {
        let text = |name| call.query(name).unwrap_or_default();
        return Err(Error::invalid(format!(
            "`since` time ({}) cannot be after `until` time ({})",
            text("since"),
            text("until")
        )));
    }
    let client = second(call)?;
    let mut follower = call.engine.events.follow()?;
    if since.is_some() {
        follower.rewind();
    }
    let mut stream = call.connection.stream(200, JSON)?;
    loop {
        for event in follower.take() {
            let at = Time {
                seconds: event.time.unwrap_or(0).cast_unsigned(),
                nanos: (event.time_nano.unwrap_or(0) % 1_000_000_000) as u32,
            };
            let in_time =
                since.is_none_or(|since| at >= since) && until.is_none_or(|until| at <= until);
            if !in_time || !events::wanted(&event, &filters) {
                continue;
            }
            let line = json::to_string(&*event) + "\n";
            if stream.write_all(line.as_bytes()).is_err() {
                return Ok(Reply::Close);
            }
        }
        let left = until.map(|until| until.since(Time::now()));
        if left == Some(Duration::ZERO) {
            return stream.finish().map(|()| Reply::Done);
        }
        let fds = [
            (follower.bell.as_fd(), PollFlags::IN),
            (client.as_fd(), PollFlags::empty()),
        ];
        let ready = poll::wait(&fds, left)?;
        if ready.last().is_some_and(|flags| !flags.is_empty()) {
            return Ok(Reply::Close);
        }
    }
}
