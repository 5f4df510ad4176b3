//! `tug rmi`: take names off images, and remove images that have none left.

use super::options::{ANY, Options, Verb, flag};
use super::print;
use super::remote::{Engine, each, parse};
use crate::error::{Kind, Result};
use crate::http::client::Body;
use crate::http::query;

pub const VERB: Verb = Verb {
    names: &["rmi", "image rm", "image remove"],
    usage: "[OPTIONS] IMAGE [IMAGE...]",
    about: "Remove one or more images",
    flags: &[&[
        flag("-f, --force", "Force removal of the image"),
        flag("--no-prune", "Do not delete untagged parents"),
    ]],
    args: (1, ANY),
    has_command: false,
    main,
};

fn main(engine: &Engine, options: &Options) -> Result<u8> {
    let mut query = String::new();
    if options.is("force") {
        query.push_str("&force=1");
    }
    if options.is("no-prune") {
        query.push_str("&noprune=1");
    }
    let query = query.replacen('&', "?", 1);
    each(&options.args, |name| {
        let path = format!("/images/{}{query}", query::encode(name));
        let answer = match engine.send("DELETE", &path, Body::Empty) {
            Err(error) if error.kind == Kind::NotFound && options.is("force") => {
                return print::err(format!("{}\n", error.message));
            }
            answer => answer?.text()?,
        };
        for step in parse(&answer)?.items() {
            for (what, name) in step.pairs() {
                print::line(&format!("{what}: {}", name.text()))?;
            }
        }
        Ok(())
    })
}
