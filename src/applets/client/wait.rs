//! `tug wait`.

use super::attach::{exit_code, wait};
use super::options::{ANY, Options, Verb};
use super::print;
use super::remote::{Engine, each};
use crate::error::Result;

pub const VERB: Verb = Verb {
    names: &["wait", "container wait"],
    usage: "CONTAINER [CONTAINER...]",
    about: "Block until one or more containers stop, then print their exit codes",
    flags: &[&[]],
    args: (1, ANY),
    has_command: false,
    main,
};

fn main(engine: &Engine, options: &Options) -> Result<u8> {
    each(&options.args, |name| {
        let code = exit_code(wait(engine, name, "not-running")?)?;
        print::line(&code.to_string())
    })
}
