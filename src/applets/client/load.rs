//! `tug load`: images out of an archive of `docker save`, or an OCI layout.

use super::options::{Options, Verb, flag};
use super::print;
use super::remote::{Engine, parse};
use crate::error::{Error, Result};
use crate::http::client::{Body, Response};
use crate::http::query;
use std::fs::File;
use std::io::{BufRead, BufReader, IsTerminal, Read};

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
    let response = engine.send("POST", &path, Body::Stream(&mut source))?;
    follow(response)
}

pub fn open(path: &str) -> Result<Box<dyn Read>> {
    let file = File::open(path).map_err(|e| Error::io(format_args!("open {path}"), &e))?;
    Ok(Box::new(file))
}

/// Print a stream of progress; an error in it is the outcome of the whole.
pub fn follow(response: Response) -> Result<u8> {
    for line in BufReader::new(response).lines() {
        let line = line.map_err(|error| Error::io("read the engine's answer", &error))?;
        if line.trim().is_empty() {
            continue;
        }
        let progress = parse(&line)?;
        if let Some(error) = progress.member("error") {
            return Err(Error::invalid(error.text()));
        }
        if let Some(text) = progress.member("stream") {
            print::out(text.text())?;
        } else if let Some(status) = progress.member("status") {
            print::line(&status.text())?;
        }
    }
    Ok(0)
}
