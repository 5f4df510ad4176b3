//! `tug restart`.

use super::options::{Options, Verb};
use super::remote::Engine;
use super::stop;
use crate::error::Result;

pub const VERB: Verb = Verb {
    names: &["restart", "container restart"],
    about: "Restart one or more containers",
    main,
    ..stop::VERB
};

fn main(engine: &Engine, options: &Options) -> Result<u8> {
    stop::act(engine, options, "restart")
}
