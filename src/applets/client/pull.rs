//! `tug pull`: an image from a registry; also for `run` and `create`, which may miss one.

use super::options::{Options, Verb, flag};
use super::print;
use super::progress::{Display, Shown};
use super::remote::Engine;
use crate::error::{Error, Result};
use crate::http::client::Body;
use crate::http::query;
use crate::image::reference::Reference;

pub const VERB: Verb = Verb {
    names: &["pull", "image pull"],
    usage: "[OPTIONS] NAME[:TAG|@DIGEST]",
    about: "Download an image from a registry",
    flags: &[&[
        flag(
            "-a, --all-tags",
            "Download all tagged images in the repository",
        ),
        flag(
            "--disable-content-trust",
            "Skip image verification (default true)",
        ),
        flag(
            "--platform string",
            "Set platform if server is multi-platform capable",
        ),
        flag("-q, --quiet", "Suppress verbose output"),
    ]],
    args: (1, 1),
    has_command: false,
    main,
};

fn main(engine: &Engine, options: &Options) -> Result<u8> {
    let mut reference = Reference::parse(&options.args[0])?;
    let is_bare = reference.tag.is_none() && reference.digest.is_none();
    match options.is("all-tags") {
        true if !is_bare => return Err(Error::invalid("tag can't be used with --all-tags/-a")),
        true => {}
        false => reference = reference.with_default_tag(),
    }
    let shown = match options.is("quiet") {
        true => Shown::Nothing,
        false => Shown::Out,
    };
    if let Some(tag) = reference
        .tag
        .as_ref()
        .filter(|_| is_bare && !options.is("quiet"))
    {
        print::line(&format!("Using default tag: {tag}"))?;
    }
    pull(engine, &reference, options.get("platform"), shown)?;
    print::line(&reference.full())?;
    Ok(0)
}

/// Have the engine get an image; of one without tag and digest, all tags.
pub fn pull(
    engine: &Engine,
    reference: &Reference,
    platform: Option<&str>,
    shown: Shown,
) -> Result<()> {
    let name = reference.familiar_name();
    let tag = reference.digest.as_ref().or(reference.tag.as_ref());
    let mut path = format!("/images/create?fromImage={}", query::encode(&name));
    for (key, value) in [("tag", tag.map(String::as_str)), ("platform", platform)] {
        if let Some(value) = value {
            path.push_str(&format!("&{key}={}", query::encode(value)));
        }
    }
    let response = engine.send_as_user("POST", &path, &reference.full(), Body::Empty)?;
    Display::on(shown).follow(response).map(drop)
}
