//! `tug stop`.

use super::options::{ANY, Options, Verb, flag};
use super::print;
use super::remote::{Engine, each};
use crate::error::Result;
use crate::http::query;

pub const VERB: Verb = Verb {
    names: &["stop", "container stop"],
    usage: "[OPTIONS] CONTAINER [CONTAINER...]",
    about: "Stop one or more running containers",
    flags: &[&[
        flag("-s, --signal string", "Signal to send to the container"),
        flag(
            "-t, --timeout int",
            "Seconds to wait before killing the container",
        ),
    ]],
    args: (1, ANY),
    has_command: false,
    main,
};

fn main(engine: &Engine, options: &Options) -> Result<u8> {
    act(engine, options, "stop")
}

/// `stop`, or `restart`, which has the same options.
pub fn act(engine: &Engine, options: &Options, verb: &str) -> Result<u8> {
    let mut query = String::new();
    if let Some(signal) = options.get("signal") {
        query.push_str(&format!("&signal={}", query::encode(signal)));
    }
    if let Some(seconds) = options.integer("timeout")? {
        query.push_str(&format!("&t={seconds}"));
    }
    let query = query.replacen('&', "?", 1);
    each(&options.args, |name| {
        let path = format!("/containers/{}/{verb}{query}", query::encode(name));
        engine.post(&path)?;
        print::line(name)
    })
}
