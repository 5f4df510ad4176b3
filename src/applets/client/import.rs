//! `tug import`: an image out of a root file system's archive.

use super::load::open;
use super::options::{Options, Verb, flag};
use super::progress::{Display, Upload};
use super::remote::Engine;
use crate::error::Result;
use crate::http::client::Body;
use crate::http::query;
use std::io::Read;

pub const VERB: Verb = Verb {
    names: &["import", "image import"],
    usage: "[OPTIONS] file|URL|- [REPOSITORY[:TAG]]",
    about: "Import the contents from a tarball to create a filesystem image",
    flags: &[&[
        flag(
            "-c, --change list",
            "Apply Dockerfile instruction to the created image",
        ),
        flag(
            "-m, --message string",
            "Set commit message for imported image",
        ),
        flag(
            "--platform string",
            "Set platform if server is multi-platform capable",
        ),
    ]],
    args: (1, 2),
    has_command: false,
    main,
};

fn main(engine: &Engine, options: &Options) -> Result<u8> {
    let from = options.args[0].as_str();
    let is_url = from.starts_with("http://") || from.starts_with("https://");
    let mut path = format!(
        "/images/create?fromSrc={}",
        match is_url {
            true => query::encode(from),
            false => "-".to_string(),
        }
    );
    for (name, value) in [
        ("repo", options.args.get(1).map(String::as_str)),
        ("message", options.get("message")),
        ("platform", options.get("platform")),
    ] {
        if let Some(value) = value {
            path.push_str(&format!("&{name}={}", query::encode(value)));
        }
    }
    for change in options.all("change") {
        path.push_str(&format!("&changes={}", query::encode(change)));
    }
    // A URL is the engine's to read.
    let mut source: Box<dyn Read> = match from {
        "-" => Box::new(std::io::stdin().lock()),
        _ if is_url => Box::new(std::io::empty()),
        path => open(path)?,
    };
    let mut display = Display::new(false);
    let mut source = Upload::new(&mut source, from, &mut display);
    let response = engine.send("POST", &path, Body::Stream(&mut source))?;
    display.follow(response)
}
