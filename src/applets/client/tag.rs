//! `tug tag`: one more name for an image.

use super::options::{Options, Verb};
use super::remote::Engine;
use crate::error::Result;
use crate::http::query;

pub const VERB: Verb = Verb {
    names: &["tag", "image tag"],
    usage: "SOURCE_IMAGE[:TAG] TARGET_IMAGE[:TAG]",
    about: "Create a tag TARGET_IMAGE that refers to SOURCE_IMAGE",
    flags: &[&[]],
    args: (2, 2),
    has_command: false,
    main,
};

fn main(engine: &Engine, options: &Options) -> Result<u8> {
    let source = query::encode(&options.args[0]);
    let target = options.args[1].as_str();
    // The last colon begins the tag, unless it is that of a port or of a digest.
    let (repository, tag) = match target.rsplit_once(':') {
        Some((repository, tag)) if !tag.is_empty() && !tag.contains('/') => (repository, tag),
        _ => (target, ""),
    };
    let (repository, tag) = match target.contains('@') {
        true => (target, ""),
        false => (repository, tag),
    };
    let (repository, tag) = (query::encode(repository), query::encode(tag));
    engine.post(&format!("/images/{source}/tag?repo={repository}&tag={tag}"))?;
    Ok(0)
}
