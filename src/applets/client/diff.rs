//! `tug diff`.

use super::options::{Options, Verb};
use super::print;
use super::remote::{Engine, parse};
use crate::error::Result;
use crate::http::query;

pub const VERB: Verb = Verb {
    names: &["diff", "container diff"],
    usage: "CONTAINER",
    about: "Inspect changes to files or directories on a container's filesystem",
    flags: &[],
    args: (1, 1),
    has_command: false,
    main,
};

fn main(engine: &Engine, options: &Options) -> Result<u8> {
    let name = query::encode(&options.args[0]);
    let text = engine.text(&format!("/containers/{name}/changes"))?;
    let mut lines = String::new();
    for change in parse(&text)?.items() {
        let kind = match change.at("Kind").integer() {
            0 => "C",
            1 => "A",
            _ => "D",
        };
        lines.push_str(&format!("{kind} {}\n", change.at("Path").text()));
    }
    print::out(lines).map(|()| 0)
}
