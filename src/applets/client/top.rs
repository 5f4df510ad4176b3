//! `tug top`: the processes of a container.

use super::options::{ANY, Options, Verb};
use super::print;
use super::remote::{Engine, parse};
use crate::error::Result;
use crate::http::query;

pub const VERB: Verb = Verb {
    names: &["top", "container top"],
    usage: "CONTAINER [ps OPTIONS]",
    about: "Display the running processes of a container",
    flags: &[&[]],
    args: (1, ANY),
    has_command: true,
    main,
};

fn main(engine: &Engine, options: &Options) -> Result<u8> {
    let (name, args) = options
        .args
        .split_first()
        .unwrap_or((&options.args[0], &[]));
    let mut path = format!("/containers/{}/top", query::encode(name));
    if !args.is_empty() {
        path.push_str(&format!("?ps_args={}", query::encode(&args.join(" "))));
    }
    let answer = engine.text(&path)?;
    let table = parse(&answer)?;
    let mut lines = String::new();
    for row in [table.at("Titles")]
        .into_iter()
        .chain(table.at("Processes").items())
    {
        let cells: Vec<String> = row.items().iter().map(|cell| cell.text()).collect();
        lines.push_str(&cells.join("\t"));
        lines.push('\n');
    }
    print::out(print::table_of(&lines, 20))?;
    Ok(0)
}
