//! `tug update`.

use super::create::{self, Create};
use super::options::{ANY, Options, Verb};
use super::remote::{Engine, each, parse};
use super::{limits, print};
use crate::error::{Error, Result};
use crate::http::client::Body;
use crate::http::query;
use crate::json;

pub const VERB: Verb = Verb {
    names: &["update", "container update"],
    usage: "[OPTIONS] CONTAINER [CONTAINER...]",
    about: "Update configuration of one or more containers",
    flags: &[limits::SHARED],
    args: (1, ANY),
    has_command: false,
    main,
};

fn main(engine: &Engine, options: &Options) -> Result<u8> {
    let mut create = Create::default();
    for (flag, value) in options.given() {
        create::place(&mut create, flag, value)?;
    }
    if options.given().next().is_none() {
        return Err(Error::invalid(
            "you must provide one or more flags when using this command",
        ));
    }
    let changes = json::to_string(&create.host);
    let mut warnings = Vec::new();
    let outcome = each(&options.args, |name| {
        let path = format!("/containers/{}/update", query::encode(name));
        let answer = engine.send("POST", &path, Body::Json(&changes))?.text()?;
        let told = parse(&answer)?.at("Warnings").items();
        warnings.extend(told.iter().map(|warning| warning.text()));
        print::line(name)
    });
    for warning in warnings {
        print::line(&warning)?;
    }
    outcome
}
