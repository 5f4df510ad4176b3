//! `tug system check`: whether images are what their records say. Not Docker's.

use super::options::{Options, Verb, flag, usage};
use super::remote::{Engine, parse};
use super::{load, print};
use crate::error::{Error, Kind, Result};
use crate::http::client::{Body, Response};
use crate::http::query;
use crate::id;
use crate::json::node::Node;
use std::io::{BufRead, BufReader};
use std::path::Path;

pub const VERB: Verb = Verb {
    names: &["system check"],
    usage: "[OPTIONS]",
    about: "Check that images are what their records say",
    flags: &[&[
        flag(
            "--from string",
            "With --repair: get what is damaged from this archive of save, or image of a registry (default: by the digests that images were pulled with)",
        ),
        flag("--quick", "Leave out the content of files"),
        flag(
            "--repair",
            "Replace what is damaged, remove what is of no use",
        ),
    ]],
    args: (0, 0),
    has_command: false,
    main,
};

fn main(engine: &Engine, options: &Options) -> Result<u8> {
    let from = options.get("from");
    if from.is_some() && !options.is("repair") {
        return Err(usage("--from needs --repair".to_string()));
    }
    // Before a long look.
    let archive = match from {
        Some(from) if from.starts_with(['/', '.']) || Path::new(from).exists() => {
            Some(load::open(from)?)
        }
        _ => None,
    };
    let path = format!("/system/check?quick={}", u8::from(options.is("quick")));
    let mut problems = 0;
    lines(engine.send("POST", &path, Body::Empty)?, &mut |line| {
        if line.member("problem").is_some() {
            return print::out(format!("{}: {}\n", place(line), line.at("problem").text()));
        }
        if line.member("error").is_some() {
            return Err(Error::new(Kind::System, line.at("error").text()));
        }
        problems = line.at("problems").integer();
        let (images, layers) = (line.at("images").json(), line.at("layers").json());
        print::out(match problems {
            0 => format!("{images} images and {layers} layers are sound\n"),
            _ => format!("{images} images and {layers} layers: {problems} problems\n"),
        })
    })?;
    if !options.is("repair") {
        return Ok(u8::from(problems > 0));
    }

    let path = "/system/repair";
    let answer = match (archive, from) {
        (Some(mut archive), _) => engine.send(
            "POST",
            &format!("{path}?archive=1"),
            Body::Stream(&mut archive),
        )?,
        (None, Some(image)) => {
            let path = format!("{path}?from={}", query::encode(image));
            engine.send_as_user("POST", &path, image, Body::Empty)?
        }
        (None, None) => engine.send("POST", path, Body::Empty)?,
    };
    let mut are_left = false;
    lines(answer, &mut |line| {
        if line.member("outcome").is_none() {
            return print::err(format!("{}\n", line.at("error").text()));
        }
        let outcome = line.at("outcome").text();
        are_left |= outcome == "damaged";
        let still = match outcome.as_str() {
            "damaged" => "still ",
            _ => "",
        };
        print::out(format!("{}: {still}{outcome}\n", place(line)))
    })?;
    Ok(u8::from(are_left))
}

/// `busybox:latest: layer 0123456789ab`.
fn place(line: Node<'_>) -> String {
    let of = |name: &str| line.member(name).map(|_| line.at(name).text());
    let short = |digest: &str| id::short(digest.trim_start_matches("sha256:")).to_string();
    let is_digest = |text: &str| text.starts_with("sha256:");
    match (of("image"), of("layer")) {
        (Some(image), Some(layer)) => format!("{image}: layer {}", short(&layer)),
        (None, Some(layer)) => format!("layer {}", short(&layer)),
        (Some(image), None) if is_digest(&image) => format!("image {}", short(&image)),
        (image, None) => image.unwrap_or_default(),
    }
}

fn lines(answer: Response, show: &mut dyn FnMut(Node<'_>) -> Result<()>) -> Result<()> {
    for line in BufReader::new(answer).lines() {
        let line = line.map_err(|e| Error::io("read the engine's answer", &e))?;
        show(parse(&line)?)?;
    }
    Ok(())
}
