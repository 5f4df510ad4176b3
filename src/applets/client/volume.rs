//! `tug volume`: make volumes, list and remove them. `inspect` and `prune` stand with their like.

use super::create::{Create, Place, place};
use super::list::{self, Columns, Row, natural};
use super::options::{ANY, Flag, Options, Verb, flag};
use super::ps::{FORMAT, filters};
use super::remote::{Engine, each, parse};
use super::{human, print, values};
use crate::error::{Error, Kind, Result};
use crate::http::client::Body;
use crate::http::query;
use crate::json;
use crate::json::node::Node;
use crate::json::object::Object;

const AVAILABILITY: Flag = flag(
    "--availability string",
    "Refused: of cluster volumes (\"active\", \"pause\", \"drain\")",
);

pub const CREATE: Verb = Verb {
    names: &["volume create"],
    usage: "[OPTIONS] [VOLUME]",
    about: "Create a volume",
    flags: &[&[
        AVAILABILITY,
        flag(
            "-d, --driver string",
            "Specify volume driver name (default \"local\")",
        ),
        flag("--label list", "Set metadata for a volume").into(Place::Other(values::label)),
        flag("--name string", "Specify volume name"),
        flag("-o, --opt map", "Set driver specific options"),
    ]],
    args: (0, 1),
    has_command: false,
    main: create,
};

pub const LIST: Verb = Verb {
    names: &["volume ls", "volume list"],
    usage: "[OPTIONS]",
    about: "List volumes",
    flags: &[&[
        flag("--cluster", "Refused: there are no cluster volumes"),
        flag(
            "-f, --filter filter",
            "Provide filter values (e.g. \"dangling=true\")",
        ),
        flag("--format string", FORMAT),
        flag("-q, --quiet", "Only display volume names"),
    ]],
    args: (0, 0),
    has_command: false,
    main: ls,
};

pub const REMOVE: Verb = Verb {
    names: &["volume rm", "volume remove"],
    usage: "[OPTIONS] VOLUME [VOLUME...]",
    about: "Remove one or more volumes that no container uses",
    flags: &[&[flag(
        "-f, --force",
        "Do not error if the volume does not exist",
    )]],
    args: (1, ANY),
    has_command: false,
    main: remove,
};

pub const UPDATE: Verb = Verb {
    names: &["volume update"],
    usage: "[OPTIONS] [VOLUME]",
    about: "Refused: only cluster volumes can be updated",
    flags: &[&[AVAILABILITY]],
    args: (1, 1),
    has_command: false,
    main: update,
};

fn create(engine: &Engine, options: &Options) -> Result<u8> {
    let answer = engine.send("POST", "/volumes/create", Body::Json(&request(options)?))?;
    print::line(&parse(&answer.text()?)?.at("Name").text())?;
    Ok(0)
}

/// The body of the request that the options and arguments ask for.
pub fn request(options: &Options) -> Result<String> {
    if options.get("availability").is_some() {
        return Err(no_cluster());
    }
    let name = options.args.first().map(String::as_str);
    let name = match (name, options.get("name")) {
        (Some(_), Some(_)) => {
            return Err(Error::invalid(
                "conflicting options: cannot specify a volume name through both --name and as a positional arg",
            ));
        }
        (name, option) => name.or(option).unwrap_or_default(),
    };
    let mut placed = Create::default();
    for (flag, value) in options.given() {
        place(&mut placed, flag, value)?;
    }
    let mut request = Object::new();
    request
        .text("Name", name)
        .text("Driver", options.get("driver").unwrap_or("local"));
    let mut driver_options = Object::new();
    for pair in options.all("opt") {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        driver_options.text(name, value);
    }
    request.put("DriverOpts", &driver_options.finish());
    if let Some(labels) = &placed.config.labels {
        request.put("Labels", &json::to_string(labels));
    }
    Ok(request.finish())
}

const FIELDS: [&str; 10] = [
    "Availability",
    "Driver",
    "Group",
    "Labels",
    "Links",
    "Mountpoint",
    "Name",
    "Scope",
    "Size",
    "Status",
];

fn ls(engine: &Engine, options: &Options) -> Result<u8> {
    if options.is("cluster") {
        return Err(no_cluster());
    }
    let path = format!("/volumes?{}", filters(options)?);
    let answer = engine.text(path.trim_end_matches('?'))?;
    let answer = parse(&answer)?;
    let format = match (
        options.get("format").unwrap_or("table"),
        options.is("quiet"),
    ) {
        ("table", true) => "{{.Name}}",
        ("raw", true) => "name: {{.Name}}",
        ("raw", false) => "name: {{.Name}}\ndriver: {{.Driver}}\n",
        (format, _) => format,
    };
    let columns = Columns {
        fields: &FIELDS,
        id: "VOLUME NAME",
        table: "{{.Driver}}\t{{.Name}}",
    };
    list::list(format, &columns, &rows(answer))?;
    Ok(0)
}

/// A row for each of `Volumes`, by name.
pub fn rows(answer: Node<'_>) -> Vec<Row> {
    let mut volumes = answer.at("Volumes").items();
    volumes.sort_by(|a, b| natural(&a.at("Name").text(), &b.at("Name").text()));
    volumes.into_iter().map(row).collect()
}

fn row(volume: Node<'_>) -> Row {
    let text = |name: &str| volume.at(name).text();
    let none = || "N/A".to_string();
    let mut labels = Vec::new();
    for (name, value) in volume.at("Labels").pairs() {
        labels.push(format!("{name}={}", value.text()));
    }
    // Only disk usage measures.
    let (links, size) = match volume.member("UsageData") {
        Some(usage) => (
            usage.at("RefCount").integer().to_string(),
            human::size(usage.at("Size").integer()),
        ),
        None => (none(), none()),
    };
    vec![
        ("Availability", none()),
        ("Driver", text("Driver")),
        ("Group", none()),
        ("Labels", labels.join(",")),
        ("Links", links),
        ("Mountpoint", text("Mountpoint")),
        ("Name", text("Name")),
        ("Scope", text("Scope")),
        ("Size", size),
        ("Status", none()),
    ]
}

/// For `system df -v`.
pub const USAGE: Columns<'_> = Columns {
    fields: &FIELDS,
    id: "VOLUME NAME",
    table: "{{.Name}}\t{{.Links}}\t{{.Size}}",
};

fn remove(engine: &Engine, options: &Options) -> Result<u8> {
    let force = if options.is("force") { "?force=1" } else { "" };
    each(&options.args, |name| {
        let path = format!("/volumes/{}{force}", query::encode(name));
        match engine.send("DELETE", &path, Body::Empty) {
            Err(error) if error.kind == Kind::NotFound && options.is("force") => Ok(()),
            outcome => outcome.and_then(|_| print::line(name)),
        }
    })
}

fn update(engine: &Engine, options: &Options) -> Result<u8> {
    engine.text(&format!("/volumes/{}", query::encode(&options.args[0])))?;
    Err(no_cluster())
}

/// Docker's words.
fn no_cluster() -> Error {
    Error::invalid("can only update cluster volumes")
}
