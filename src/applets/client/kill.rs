//! `tug kill`.

use super::options::{ANY, Options, Verb, flag};
use super::print;
use super::remote::{Engine, each};
use crate::error::Result;
use crate::http::query;

pub const VERB: Verb = Verb {
    names: &["kill", "container kill"],
    usage: "[OPTIONS] CONTAINER [CONTAINER...]",
    about: "Kill one or more running containers",
    flags: &[&[flag(
        "-s, --signal string",
        "Signal to send to the container",
    )]],
    args: (1, ANY),
    has_command: false,
    main,
};

fn main(engine: &Engine, options: &Options) -> Result<u8> {
    let signal = query::encode(options.get("signal").unwrap_or("KILL"));
    each(&options.args, |name| {
        engine.post(&format!(
            "/containers/{}/kill?signal={signal}",
            query::encode(name)
        ))?;
        print::line(name)
    })
}
