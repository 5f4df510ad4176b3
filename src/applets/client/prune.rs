//! `tug container prune`, `image prune`, `network prune`, `system prune`: remove what nobody uses.

use super::options::{Flag, Options, Verb, flag};
use super::ps::filters_with;
use super::remote::{Engine, parse};
use super::{human, print};
use crate::error::{Error, Result};
use crate::http::client::Body;
use crate::json::node::Node;
use std::io::BufRead;

const FORCE: Flag = flag("-f, --force", "Do not prompt for confirmation");
const FILTER: Flag = flag(
    "--filter filter",
    "Provide filter values (e.g. \"until=<timestamp>\")",
);
const ALL: Flag = flag(
    "-a, --all",
    "Remove all unused images, not just dangling ones",
);

pub const CONTAINER: Verb = Verb {
    names: &["container prune"],
    usage: "[OPTIONS]",
    about: "Remove all stopped containers",
    flags: &[&[FILTER, FORCE]],
    args: (0, 0),
    has_command: false,
    main: |engine, options| one(engine, options, &CONTAINERS),
};

pub const IMAGE: Verb = Verb {
    names: &["image prune"],
    about: "Remove unused images",
    flags: &[&[ALL, FILTER, FORCE]],
    main: |engine, options| one(engine, options, &IMAGES),
    ..CONTAINER
};

pub const NETWORK: Verb = Verb {
    names: &["network prune"],
    about: "Remove all unused networks",
    main: |engine, options| one(engine, options, &NETWORKS),
    ..CONTAINER
};

pub const VOLUME: Verb = Verb {
    names: &["volume prune"],
    about: "Remove unused local volumes",
    flags: &[&[
        flag(
            "-a, --all",
            "Remove all unused volumes, not just anonymous ones",
        ),
        FILTER,
        FORCE,
    ]],
    main: |engine, options| one(engine, options, &VOLUMES),
    ..CONTAINER
};

pub const SYSTEM: Verb = Verb {
    names: &["system prune"],
    about: "Remove unused data",
    flags: &[&[
        ALL,
        FILTER,
        FORCE,
        flag("--volumes", "Prune anonymous volumes"),
    ]],
    main: system,
    ..CONTAINER
};

/// One kind of things: where to send the request, and what the answer lists.
struct Kind {
    path: &'static str,
    title: &'static str,
    list: &'static str,
}

const CONTAINERS: Kind = Kind {
    path: "/containers/prune",
    title: "Deleted Containers:",
    list: "ContainersDeleted",
};
const NETWORKS: Kind = Kind {
    path: "/networks/prune",
    title: "Deleted Networks:",
    list: "NetworksDeleted",
};
const VOLUMES: Kind = Kind {
    path: "/volumes/prune",
    title: "Deleted Volumes:",
    list: "VolumesDeleted",
};
const IMAGES: Kind = Kind {
    path: "/images/prune",
    title: "Deleted Images:",
    list: "ImagesDeleted",
};
const CACHES: Kind = Kind {
    path: "/build/prune",
    title: "Deleted build cache objects:",
    list: "CachesDeleted",
};

fn one(engine: &Engine, options: &Options, kind: &Kind) -> Result<u8> {
    let warning = match (kind.list, options.is("all")) {
        ("ContainersDeleted", _) => "all stopped containers",
        ("VolumesDeleted", false) => "anonymous local volumes not used by at least one container",
        ("VolumesDeleted", true) => "all local volumes not used by at least one container",
        ("NetworksDeleted", _) => "all custom networks not used by at least one container",
        (_, false) => "all dangling images",
        (_, true) => "all images without at least one container associated to them",
    };
    if !confirm(options, &format!("WARNING! This will remove {warning}.\n"))? {
        return Ok(0);
    }
    let reclaimed = prune(engine, options, kind)?;
    match kind.list {
        // They take no space.
        "NetworksDeleted" => Ok(0),
        _ => total(reclaimed),
    }
}

fn system(engine: &Engine, options: &Options) -> Result<u8> {
    let is_until = |filter: &str| filter.starts_with("until=");
    if options.is("volumes") && options.all("filter").any(is_until) {
        return Err(Error::invalid(
            "ERROR: The \"until\" filter is not supported with \"--volumes\"",
        ));
    }
    if !confirm(options, &warning(options))? {
        return Ok(0);
    }
    let mut reclaimed = 0;
    for (kind, is_wanted) in [
        (&CONTAINERS, true),
        (&NETWORKS, true),
        (&VOLUMES, options.is("volumes")),
        (&IMAGES, true),
        (&CACHES, true),
    ] {
        if is_wanted {
            reclaimed += prune(engine, options, kind)?;
        }
    }
    total(reclaimed)
}

fn warning(options: &Options) -> String {
    let all = options.is("all");
    let mut lines = vec![
        "all stopped containers",
        "all networks not used by at least one container",
    ];
    if options.is("volumes") {
        lines.push("all anonymous volumes not used by at least one container");
    }
    lines.extend(match all {
        true => [
            "all images without at least one container associated to them",
            "all build cache",
        ],
        false => ["all dangling images", "unused build cache"],
    });
    let mut text = format!(
        "WARNING! This will remove:\n  - {}\n\n",
        lines.join("\n  - ")
    );
    let filters: Vec<&str> = options.all("filter").collect();
    if !filters.is_empty() {
        text.push_str(&format!(
            "  Items to be pruned will be filtered with:\n  - {}\n\n",
            filters.join("\n  - ")
        ));
    }
    text
}

/// Whether the user says yes, or said so before.
fn confirm(options: &Options, warning: &str) -> Result<bool> {
    filters_with(options, None)?;
    if options.is("force") {
        return Ok(true);
    }
    print::out(format!(
        "{warning}Are you sure you want to continue? [y/N] "
    ))?;
    let mut line = String::new();
    std::io::stdin()
        .lock()
        .read_line(&mut line)
        .map_err(|error| Error::io("read standard input", &error))?;
    Ok(line.trim().eq_ignore_ascii_case("y"))
}

/// Remove the things of one kind and name them. Answers the bytes that are free now.
fn prune(engine: &Engine, options: &Options, kind: &Kind) -> Result<i64> {
    // The images' own option is a filter to the engine.
    let more = match (kind.list, options.is("all")) {
        ("VolumesDeleted", true) if !options.is("volumes") => Some(("all", "1")),
        ("ImagesDeleted", true) => Some(("dangling", "false")),
        ("ImagesDeleted", false) => Some(("dangling", "true")),
        _ => None,
    };
    let filters = filters_with(options, more)?;
    let mut path = kind.path.to_string();
    if !filters.is_empty() {
        path.push_str(&format!("?{filters}"));
    }
    let answer = engine.send("POST", &path, Body::Empty)?.text()?;
    let answer = parse(&answer)?;
    let mut text = String::new();
    for item in answer.at(kind.list).items() {
        if text.is_empty() {
            text = format!("{}\n", kind.title);
        }
        text.push_str(&name(item));
        text.push('\n');
    }
    if !text.is_empty() {
        print::line(&text)?;
    }
    Ok(answer.at("SpaceReclaimed").integer())
}

/// What was removed: a name, or a step in removing an image.
fn name(item: Node<'_>) -> String {
    let (untagged, deleted) = (item.at("Untagged").text(), item.at("Deleted").text());
    match (untagged.as_str(), deleted.as_str()) {
        ("", "") => item.text(),
        ("", deleted) => format!("deleted: {deleted}"),
        (untagged, _) => format!("untagged: {untagged}"),
    }
}

fn total(reclaimed: i64) -> Result<u8> {
    let size = human::size_in_four(reclaimed);
    print::line(&format!("Total reclaimed space: {size}")).map(|()| 0)
}
