//! `tug logout`: forget an account at a registry.

use super::credentials;
use super::options::{Options, Verb};
use super::print;
use super::remote::Engine;
use crate::error::{Context, Result};

pub const VERB: Verb = Verb {
    names: &["logout"],
    usage: "[SERVER]",
    about: "Log out from a registry",
    flags: &[&[]],
    args: (0, 1),
    has_command: false,
    main,
};

fn main(engine: &Engine, options: &Options) -> Result<u8> {
    let server = options.args.first().map_or("", String::as_str);
    let server = credentials::server_of(server);
    print::line(&format!("Removing login credentials for {server}"))?;
    let done = engine.config.forget(server);
    done.context(|| format!("could not erase credentials: {server}"))?;
    Ok(0)
}
