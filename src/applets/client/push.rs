//! `tug push`: an image into a registry.

use super::options::{Options, Verb, flag};
use super::print;
use super::progress::{Display, Shown};
use super::remote::Engine;
use crate::error::{Error, Result};
use crate::http::client::Body;
use crate::http::query;
use crate::image::reference::Reference;

pub const VERB: Verb = Verb {
    names: &["push", "image push"],
    usage: "[OPTIONS] NAME[:TAG]",
    about: "Upload an image to a registry",
    flags: &[&[
        flag(
            "-a, --all-tags",
            "Push all tags of an image to the repository",
        ),
        flag(
            "--disable-content-trust",
            "Skip image signing (default true)",
        ),
        flag(
            "--platform string",
            "Push the image only if it is for this platform: \"os[/arch[/variant]]\" (e.g., \"linux/amd64\")",
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
    let is_quiet = options.is("quiet");
    match options.is("all-tags") {
        true if !is_bare => return Err(Error::invalid("tag can't be used with --all-tags/-a")),
        true => {}
        false => reference = reference.with_default_tag(),
    }
    let tag = reference.tag.clone().unwrap_or_default();
    if is_bare && !is_quiet && !tag.is_empty() {
        print::line(&format!("Using default tag: {tag}"))?;
    }
    if reference.digest.is_some() {
        return Err(Error::invalid("cannot push a digest reference"));
    }
    let mut path = format!(
        "/images/{}/push?tag={tag}",
        query::encode(&reference.familiar_name())
    );
    if let Some(platform) = options.get("platform") {
        path.push_str(&format!("&platform={}", query::encode(platform)));
    }
    let response = engine.send_as_user("POST", &path, &reference.full(), Body::Empty)?;
    let shown = match is_quiet {
        true => Shown::Nothing,
        false => Shown::Out,
    };
    Display::on(shown).follow(response)?;
    if is_quiet {
        print::line(&reference.full())?;
    }
    Ok(0)
}
