//! `tug save`: images as an archive that `load` reads.

use super::export::deliver;
use super::options::{Options, Verb, flag};
use super::remote::Engine;
use crate::error::Result;
use crate::http::query;

pub const VERB: Verb = Verb {
    names: &["save", "image save"],
    usage: "[OPTIONS] IMAGE [IMAGE...]",
    about: "Save one or more images to a tar archive (streamed to STDOUT by default)",
    flags: &[&[
        flag("-o, --output string", "Write to a file, instead of STDOUT"),
        flag(
            "--platform string",
            "Save only the given platform variant. Formatted as \"os[/arch[/variant]]\" (e.g., \"linux/amd64\")",
        ),
    ]],
    args: (1, usize::MAX),
    has_command: false,
    main,
};

fn main(engine: &Engine, options: &Options) -> Result<u8> {
    let names = options.args.iter().map(|name| ("names", &name[..]));
    let platform = options
        .get("platform")
        .map(|platform| ("platform", platform));
    let query: Vec<String> = names
        .chain(platform)
        .map(|(key, value)| format!("{key}={}", query::encode(value)))
        .collect();
    let path = format!("/images/get?{}", query.join("&"));
    deliver(engine, options, &path, "save image")
}
