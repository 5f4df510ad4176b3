//! `tug search`: what a registry finds.

use super::list::{self, Columns, Row};
use super::options::{Options, Verb, flag};
use super::print;
use super::ps::{FORMAT, filters};
use super::remote::{Engine, parse};
use crate::error::Result;
use crate::http::client::Body;
use crate::http::query;
use crate::json::node::Node;

pub const VERB: Verb = Verb {
    names: &["search"],
    usage: "[OPTIONS] TERM",
    about: "Search a registry for images: Docker Hub, or that of HOST/TERM",
    flags: &[&[
        flag(
            "-f, --filter filter",
            "Filter output based on conditions provided: is-official=BOOLEAN, stars=NUMBER",
        ),
        flag("--format string", FORMAT),
        flag("--limit int", "Max number of search results"),
        flag("--no-trunc", "Don't truncate output"),
    ]],
    args: (1, 1),
    has_command: false,
    main,
};

fn main(engine: &Engine, options: &Options) -> Result<u8> {
    let term = &options.args[0];
    let mut path = format!("/images/search?term={}", query::encode(term));
    if let Some(limit) = options.integer("limit")? {
        path.push_str(&format!("&limit={limit}"));
    }
    let filters = filters(options)?;
    if !filters.is_empty() {
        path.push_str(&format!("&{filters}"));
    }
    let answer = engine.send_as_user("GET", &path, term, Body::Empty)?;
    let answer = answer.text()?;
    let format = options.get("format").unwrap_or("table");
    let mut rows: Vec<Row> = Vec::new();
    for found in parse(&answer)?.items() {
        rows.push(row(found, options.is("no-trunc"), format == "json"));
    }
    let columns = Columns {
        fields: &["Description", "IsOfficial", "Name", "StarCount"],
        id: "",
        table: "{{.Name}}\t{{.Description}}\t{{.StarCount}}\t{{.IsOfficial}}",
    };
    list::list(format, &columns, &rows)?;
    Ok(0)
}

fn row(found: Node<'_>, is_whole: bool, is_json: bool) -> Row {
    let mut description = found.at("description").text().replace(['\n', '\r'], " ");
    if !is_whole {
        description = print::ellipsis(&description, 45);
    }
    let is_official = match (found.at("is_official").is_true(), is_json) {
        (is, true) => is.to_string(),
        (true, false) => "[OK]".to_string(),
        (false, false) => String::new(),
    };
    vec![
        ("Description", description),
        ("IsOfficial", is_official),
        ("Name", found.at("name").text()),
        ("StarCount", found.at("star_count").integer().to_string()),
    ]
}
