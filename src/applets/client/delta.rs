//! `tug image delta`: what makes a new image out of an old one, for devices that have the old one.

use super::export::fetch;
use super::options::{Options, Verb, flag};
use super::print;
use super::progress::{Display, Shown};
use super::remote::Engine;
use crate::error::{Error, Result};
use crate::http::client::Body;
use crate::http::query;
use crate::image::reference::Reference;

pub const VERB: Verb = Verb {
    names: &["image delta"],
    usage: "[OPTIONS] OLD NEW",
    about: "Make a delta from one image to another",
    flags: &[&[
        flag(
            "-o, --output string",
            "Write to a file, instead of STDOUT; 'tug load' takes it where OLD is",
        ),
        flag(
            "--push",
            "Bring it to the registry that has NEW: who has OLD there pulls no more than the delta",
        ),
        flag("-q, --quiet", "Suppress verbose output"),
    ]],
    args: (2, 2),
    has_command: false,
    main,
};

fn main(engine: &Engine, options: &Options) -> Result<u8> {
    let [old, new] = [&options.args[0], &options.args[1]];
    let is_quiet = options.is("quiet");
    let path = format!(
        "/images/{}/delta?base={}",
        query::encode(new),
        query::encode(old)
    );
    if options.is("push") {
        if options.get("output").is_some() {
            return Err(Error::invalid(
                "--push brings it to a registry: leave out -o",
            ));
        }
        let name = Reference::parse(new)?.with_default_tag().full();
        let response = engine.send_as_user("POST", &path, &name, Body::Empty)?;
        let shown = match is_quiet {
            true => Shown::Nothing,
            false => Shown::Out,
        };
        return Display::on(shown).follow(response);
    }
    let headers = fetch(engine, options, &path, "make delta")?;
    // Standard output may be the archive's.
    if let Some(saved) = headers.get("tug-delta").filter(|_| !is_quiet) {
        print::err(format!("{saved}\n"))?;
    }
    Ok(0)
}
