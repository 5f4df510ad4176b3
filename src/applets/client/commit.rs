//! `tug commit`.

use super::options::{Options, Verb, flag};
use super::print;
use super::remote::{Engine, parse};
use crate::error::Result;
use crate::http::client::Body;
use crate::http::query;

pub const VERB: Verb = Verb {
    names: &["commit", "container commit"],
    usage: "[OPTIONS] CONTAINER [REPOSITORY[:TAG]]",
    about: "Create a new image from a container's changes",
    flags: &[&[
        flag(
            "-a, --author string",
            "Author (e.g., \"John Hannibal Smith <hannibal@a-team.com>\")",
        ),
        flag(
            "-c, --change list",
            "Apply Dockerfile instruction to the created image",
        ),
        flag("-m, --message string", "Commit message"),
        flag(
            "-p, --pause",
            "Pause container during commit (default true)",
        ),
    ]],
    args: (1, 2),
    has_command: false,
    main,
};

fn main(engine: &Engine, options: &Options) -> Result<u8> {
    let (repo, tag) = split(options.args.get(1).map_or("", String::as_str));
    let mut path = format!("/commit?container={}", query::encode(&options.args[0]));
    for (name, value) in [
        ("repo", repo),
        ("tag", tag),
        ("comment", options.get("message").unwrap_or_default()),
        ("author", options.get("author").unwrap_or_default()),
    ] {
        if !value.is_empty() {
            path.push_str(&format!("&{name}={}", query::encode(value)));
        }
    }
    for change in options.all("change") {
        path.push_str(&format!("&changes={}", query::encode(change)));
    }
    if options.get("pause") == Some("false") {
        path.push_str("&pause=0");
    }
    let answer = engine.send("POST", &path, Body::Empty)?.text()?;
    print::line(&parse(&answer)?.at("Id").text()).map(|()| 0)
}

/// A name and its tag; a colon before the last slash belongs to a registry's port. What is no name
/// is the engine's to refuse.
fn split(name: &str) -> (&str, &str) {
    match name.rsplit_once(':') {
        Some((repo, tag)) if !tag.contains('/') && !name.contains('@') => (repo, tag),
        _ => (name, ""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tag_stands_behind_the_last_colon() {
        assert_eq!(split("a"), ("a", ""));
        assert_eq!(split("a:1"), ("a", "1"));
        assert_eq!(split("host:5000/a"), ("host:5000/a", ""));
        assert_eq!(split("host:5000/a:1"), ("host:5000/a", "1"));
        assert_eq!(split("a@sha256:0"), ("a@sha256:0", ""));
    }
}
