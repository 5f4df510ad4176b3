//! `tug update-image`: another image for a container, with a way back. Not Docker's.

use super::options::{Options, Verb};
use super::remote::{Engine, parse};
use super::sets;
use crate::error::Result;
use crate::http::query;
use crate::wire::set::{Request, Wish};

pub const VERB: Verb = Verb {
    names: &["update-image", "container update-image"],
    usage: "[OPTIONS] CONTAINER IMAGE",
    about: "Give a container another image, and go back if it is not well",
    flags: &[sets::FLAGS],
    args: (2, 2),
    has_command: false,
    main,
};

fn main(engine: &Engine, options: &Options) -> Result<u8> {
    let [container, image] = [0, 1].map(|n| options.args.get(n).map_or("", String::as_str));
    let text = engine.text(&format!("/containers/{}/json", query::encode(container)))?;
    let name = parse(&text)?.at("Name").text();
    let request = sets::request(engine, options)?;
    sets::fetch(
        engine,
        image,
        options.get("pull").unwrap_or("missing"),
        options,
    )?;
    let wish = Wish {
        name: Some(name.trim_start_matches('/').to_string()),
        image: Some(image.to_string()),
        ..Wish::default()
    };
    let request = Request {
        members: Some(vec![wish]),
        partial: Some(true),
        ..request
    };
    sets::send(engine, &request, options)
}
