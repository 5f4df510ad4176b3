//! `tug pause` and `tug unpause`.

use super::options::{ANY, Options, Verb};
use super::print;
use super::remote::{Engine, each};
use crate::error::Result;
use crate::http::query;

pub const PAUSE: Verb = Verb {
    names: &["pause", "container pause"],
    usage: "CONTAINER [CONTAINER...]",
    about: "Pause all processes within one or more containers",
    flags: &[],
    args: (1, ANY),
    has_command: false,
    main: pause,
};

pub const UNPAUSE: Verb = Verb {
    names: &["unpause", "container unpause"],
    usage: "CONTAINER [CONTAINER...]",
    about: "Unpause all processes within one or more containers",
    flags: &[],
    args: (1, ANY),
    has_command: false,
    main: unpause,
};

fn pause(engine: &Engine, options: &Options) -> Result<u8> {
    ask(engine, options, "pause")
}

fn unpause(engine: &Engine, options: &Options) -> Result<u8> {
    ask(engine, options, "unpause")
}

fn ask(engine: &Engine, options: &Options, verb: &str) -> Result<u8> {
    each(&options.args, |name| {
        engine.post(&format!("/containers/{}/{verb}", query::encode(name)))?;
        print::line(name)
    })
}
