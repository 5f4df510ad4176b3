//! `tug load`: images out of an archive of `docker save`, or an OCI layout.

use super::options::{Options, Verb, flag};
use super::progress::{Display, Upload};
use super::remote::Engine;
use crate::error::{Error, Result};
use crate::http::client::Body;
use crate::http::query;
use std::fs::File;
use std::io::{IsTerminal, Read};

pub const VERB: Verb = Verb {
    names: &["load", "image load"],
    usage: "[OPTIONS]",
    about: "Load an image from a tar archive or STDIN",
    flags: &[&[
        flag(
            "-i, --input string",
            "Read from tar archive file, instead of STDIN",
        ),
        flag(
            "--platform string",
            "Load only the given platform variant. Formatted as \"os[/arch[/variant]]\" (e.g., \"linux/amd64\")",
        ),
        flag("-q, --quiet", "Suppress the load output"),
    ]],
    args: (0, 0),
    has_command: false,
    main,
};

fn main(engine: &Engine, options: &Options) -> Result<u8> {
    let mut source: Box<dyn Read> = match options.get("input") {
        Some(path) => open(path)?,
        None if std::io::stdin().is_terminal() => {
            return Err(Error::invalid(
                "requested load from stdin, but stdin is empty",
            ));
        }
        None => Box::new(std::io::stdin().lock()),
    };
    let mut path = format!("/images/load?quiet={}", u8::from(options.is("quiet")));
    if let Some(platform) = options.get("platform") {
        path.push_str(&format!("&platform={}", query::encode(platform)));
    }
    let mut display = Display::new(options.is("quiet"));
    let name = options.get("input").unwrap_or("-");
    let mut source = Upload::new(&mut source, name, &mut display);
    let response = engine.send("POST", &path, Body::Stream(&mut source))?;
    display.follow(response)
}

pub fn open(path: &str) -> Result<Box<dyn Read>> {
    let file = File::open(path).map_err(|e| Error::io(format_args!("open {path}"), &e))?;
    Ok(Box::new(file))
}
