//! `tug rename`.

use super::options::{Options, Verb};
use super::remote::Engine;
use crate::error::{Error, Result};
use crate::http::query;

pub const VERB: Verb = Verb {
    names: &["rename", "container rename"],
    usage: "CONTAINER NEW_NAME",
    about: "Rename a container",
    flags: &[&[]],
    args: (2, 2),
    has_command: false,
    main,
};

fn main(engine: &Engine, options: &Options) -> Result<u8> {
    let [old, new] = [0, 1].map(|n| options.args.get(n).map_or("", |name| name.trim()));
    if old.is_empty() || new.is_empty() {
        return Err(Error::invalid(
            "Error: Neither old nor new names may be empty",
        ));
    }
    let (path, name) = (query::encode(old), query::encode(new));
    engine
        .post(&format!("/containers/{path}/rename?name={name}"))
        .map_err(|mut error| {
            error.message = format!(
                "{}\nError: failed to rename container named {old}",
                error.message
            );
            error
        })?;
    Ok(0)
}
