//! `tug inspect`: all that the engine knows of containers and images.

use super::format;
use super::options::{ANY, Flag, Options, Verb, flag};
use super::print;
use super::remote::Engine;
use crate::error::{Error, Kind, Result};
use crate::http::query;
use crate::json::node;
use crate::json::object::Object;

const FORMAT: Flag = flag(
    "-f, --format string",
    "Format output using a custom template: 'json', or a Go template such as '{{.Id}}'",
);
const SIZE: Flag = flag(
    "-s, --size",
    "Display total file sizes if the type is container",
);

pub const PLATFORM: Flag = flag(
    "--platform string",
    "Only an image of this platform. Formatted as \"os[/arch[/variant]]\" (e.g., \"linux/amd64\")",
);

pub const VERB: Verb = Verb {
    names: &["inspect"],
    usage: "[OPTIONS] NAME|ID [NAME|ID...]",
    about: "Return low-level information on Docker objects",
    flags: &[&[
        FORMAT,
        SIZE,
        flag("--type string", "Only inspect objects of the given type"),
    ]],
    args: (1, ANY),
    has_command: false,
    main,
};

pub const CONTAINER: Verb = Verb {
    names: &["container inspect"],
    usage: "[OPTIONS] CONTAINER [CONTAINER...]",
    about: "Display detailed information on one or more containers",
    flags: &[&[FORMAT, SIZE]],
    main: |engine, options| inspect(engine, options, "container"),
    ..VERB
};

pub const IMAGE: Verb = Verb {
    names: &["image inspect"],
    usage: "[OPTIONS] IMAGE [IMAGE...]",
    about: "Display detailed information on one or more images",
    flags: &[&[FORMAT, PLATFORM]],
    main: |engine, options| inspect(engine, options, "image"),
    ..VERB
};

pub const NETWORK: Verb = Verb {
    names: &["network inspect"],
    usage: "[OPTIONS] NETWORK [NETWORK...]",
    about: "Display detailed information on one or more networks",
    flags: &[&[
        FORMAT,
        flag("-v, --verbose", "Verbose output for diagnostics"),
    ]],
    main: |engine, options| inspect(engine, options, "network"),
    ..VERB
};

pub const VOLUME: Verb = Verb {
    names: &["volume inspect"],
    usage: "[OPTIONS] VOLUME [VOLUME...]",
    about: "Display detailed information on one or more volumes",
    flags: &[&[FORMAT]],
    main: |engine, options| inspect(engine, options, "volume"),
    ..VERB
};

fn main(engine: &Engine, options: &Options) -> Result<u8> {
    match options.get("type").unwrap_or("") {
        kind @ ("" | "container" | "image" | "network" | "volume") => {
            inspect(engine, options, kind)
        }
        kind => Err(Error::invalid(format!(
            "unknown type: {kind:?}: must be one of \"container\", \"image\", \"network\", \"volume\""
        ))),
    }
}

fn inspect(engine: &Engine, options: &Options, kind: &str) -> Result<u8> {
    let mut found = Vec::new();
    let mut failures = Vec::new();
    for name in &options.args {
        match find(engine, name, kind, options) {
            Ok(text) => found.push(text),
            Err(error) if error.kind == Kind::Gone => return Err(error),
            Err(error) => failures.push(error.to_string()),
        }
    }
    match options.get("format") {
        None => print::line(&node::pretty(&format!("[{}]", found.join(","))))?,
        Some(format) => {
            for text in &found {
                print::line(&format::document(format, text)?)?;
            }
        }
    }
    match failures.is_empty() {
        true => Ok(0),
        false => Err(Error::invalid(failures.join("\n"))),
    }
}

/// What the engine says of `name`: the first kind of things that has it.
fn find(engine: &Engine, name: &str, kind: &str, options: &Options) -> Result<String> {
    let escaped = query::encode(name.strip_prefix('/').unwrap_or(name));
    let size = if options.is("size") { "?size=1" } else { "" };
    let verbose = if options.is("verbose") {
        "?verbose=true"
    } else {
        ""
    };
    let platform = platform(options);
    let paths = [
        ("container", format!("/containers/{escaped}/json{size}")),
        ("image", format!("/images/{escaped}/json{platform}")),
        ("network", format!("/networks/{escaped}{verbose}")),
        ("volume", format!("/volumes/{escaped}")),
    ];
    for (own, path) in &paths {
        if kind.is_empty() || kind == *own {
            match engine.text(path) {
                Err(error) if error.kind == Kind::NotFound && kind.is_empty() => {}
                found => return found,
            }
        }
    }
    Err(Error::not_found(format!("Error: No such object: {name}")))
}

/// `--platform` as the query that the engine reads: JSON, where its parts are plain to see.
pub fn platform(options: &Options) -> String {
    let Some(text) = options.get("platform") else {
        return String::new();
    };
    let mut object = Object::new();
    let mut parts = text.split('/');
    for name in ["os", "architecture", "variant"] {
        if let Some(part) = parts.next() {
            object.text(name, part);
        }
    }
    let value = match text.contains('/') {
        true => object.finish(),
        false => text.to_string(),
    };
    format!("?platform={}", query::encode(&value))
}
