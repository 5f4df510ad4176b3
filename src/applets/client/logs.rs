//! `tug logs`: what a container has written.

use super::attach::Target;
use super::options::{Options, Verb, flag};
use super::pump::Output;
use super::remote::Engine;
use crate::error::{Error, Result};
use crate::http::client::Body;
use crate::http::query;
use crate::time::{Time, moment};
use std::io::Read;

pub const VERB: Verb = Verb {
    names: &["logs", "container logs"],
    usage: "[OPTIONS] CONTAINER",
    about: "Fetch the logs of a container",
    flags: &[&[
        flag("--details", "Show extra details provided to logs"),
        flag("-f, --follow", "Follow log output"),
        flag(
            "--persist",
            "Write what the ring driver has in memory to the disk, and show nothing",
        ),
        flag(
            "--since string",
            "Show logs since timestamp (e.g. \"2013-01-02T13:23:37Z\") or relative (e.g. \"42m\" for 42 minutes)",
        ),
        flag(
            "-n, --tail string",
            "Number of lines to show from the end of the logs (default \"all\")",
        ),
        flag("-t, --timestamps", "Show timestamps"),
        flag(
            "--until string",
            "Show logs before a timestamp (e.g. \"2013-01-02T13:23:37Z\") or relative (e.g. \"42m\" for 42 minutes)",
        ),
    ]],
    args: (1, 1),
    has_command: false,
    main,
};

fn main(engine: &Engine, options: &Options) -> Result<u8> {
    let name = query::encode(&options.args[0]);
    if options.is("persist") {
        engine.send("POST", &format!("/tug/logs/{name}/persist"), Body::Empty)?;
        return Ok(0);
    }
    let path = format!("/containers/{name}");
    // Only this tells whether the log comes in frames.
    let tty = Target::find(engine, &options.args[0])?.tty;

    let mut target = format!("{path}/logs?stdout=1&stderr=1");
    for name in ["follow", "timestamps", "details"] {
        if options.is(name) {
            target.push_str(&format!("&{name}=1"));
        }
    }
    target.push_str(&moments(options)?);
    let tail = options.get("tail").unwrap_or("all");
    target.push_str(&format!("&tail={}", query::encode(tail)));

    let mut response = engine.send("GET", &target, Body::Empty)?;
    let mut output = Output::new(tty);
    let mut buffer = vec![0u8; 32 * 1024];
    loop {
        let count = response
            .read(&mut buffer)
            .map_err(|error| Error::io("read the log from the engine", &error))?;
        if count == 0 {
            return Ok(0);
        }
        output.write(&buffer[..count])?;
    }
}

/// `--since` and `--until` for a query.
pub fn moments(options: &Options) -> Result<String> {
    let mut text = String::new();
    for name in ["since", "until"] {
        if let Some(moment) = options.get(name) {
            let moment = moment::parse(moment, Time::now())
                .map_err(|error| Error::invalid(format!("invalid value for {name:?}: {error}")))?;
            text.push_str(&match moment.nanos {
                0 => format!("&{name}={}", moment.seconds),
                nanos => format!("&{name}={}.{nanos:09}", moment.seconds),
            });
        }
    }
    Ok(text)
}
