//! `tug history`: how an image came about.

use super::inspect::{PLATFORM, platform};
use super::list::{self, Columns, Row};
use super::options::{Options, Verb, flag};
use super::ps::{FORMAT, shown_id};
use super::remote::{Engine, parse};
use super::{human, print};
use crate::error::Result;
use crate::http::query;
use crate::json::node::Node;
use crate::time::Time;

pub const VERB: Verb = Verb {
    names: &["history", "image history"],
    usage: "[OPTIONS] IMAGE",
    about: "Show the history of an image",
    flags: &[&[
        flag("--format string", FORMAT),
        flag(
            "-H, --human",
            "Print sizes and dates in human readable format (default true)",
        ),
        flag("--no-trunc", "Don't truncate output"),
        PLATFORM,
        flag("-q, --quiet", "Only show image IDs"),
    ]],
    args: (1, 1),
    has_command: false,
    main,
};

fn main(engine: &Engine, options: &Options) -> Result<u8> {
    let name = query::encode(&options.args[0]);
    let platform = platform(options);
    let answer = engine.text(&format!("/images/{name}/history{platform}"))?;
    let is_human = options.get("human") != Some("false");
    let mut rows: Vec<Row> = Vec::new();
    for step in parse(&answer)?.items() {
        rows.push(row(step, options.is("no-trunc"), is_human));
    }
    let created = if is_human {
        "CreatedSince"
    } else {
        "CreatedAt"
    };
    let columns = Columns {
        fields: &[
            "Comment",
            "CreatedAt",
            "CreatedBy",
            "CreatedSince",
            "ID",
            "Size",
        ],
        id: "IMAGE",
        table: &format!(
            "{{{{.ID}}}}\t{{{{.{created}}}}}\t{{{{.CreatedBy}}}}\t{{{{.Size}}}}\t{{{{.Comment}}}}"
        ),
    };
    let format = match options.get("format") {
        None if options.is("quiet") => "{{.ID}}",
        format => format.unwrap_or("table"),
    };
    list::list(format, &columns, &rows)?;
    Ok(0)
}

fn row(step: Node<'_>, is_whole: bool, is_human: bool) -> Row {
    let created = step.at("Created").integer();
    let size = step.at("Size").integer();
    let mut by = step.at("CreatedBy").text().replace('\t', " ");
    if !is_whole {
        by = print::ellipsis(&by, 45);
    }
    let since = match created {
        0 => "N/A".to_string(),
        created => human::ago(created),
    };
    let at = Time {
        seconds: u64::try_from(created).unwrap_or(0),
        nanos: 0,
    };
    vec![
        ("Comment", step.at("Comment").text()),
        ("CreatedAt", at.rfc3339()),
        ("CreatedBy", by),
        ("CreatedSince", since),
        ("ID", shown_id(step.at("Id"), is_whole)),
        (
            "Size",
            match is_human {
                true => human::size(size),
                false => size.to_string(),
            },
        ),
    ]
}
