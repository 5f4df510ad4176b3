//! `tug events`: what happens, a line each, until interrupted or `--until`.

use super::logs::moments;
use super::options::{Options, Verb, flag};
use super::ps::{FILTER, filters};
use super::remote::{Engine, parse};
use super::{format, print};
use crate::error::{Error, Result};
use crate::http::client::Body;
use crate::json::node::Node;
use crate::time::Time;
use std::io::{BufRead, BufReader};

pub const VERB: Verb = Verb {
    names: &["events", "system events"],
    usage: "[OPTIONS]",
    about: "Get real time events from the server",
    flags: &[&[
        flag("-f, --filter filter", FILTER),
        flag(
            "--format string",
            "Format output using a custom template: 'json', or a Go template such as '{{.Action}}'",
        ),
        flag("--since string", "Show all events created since timestamp"),
        flag("--until string", "Stream events until this timestamp"),
    ]],
    args: (0, 0),
    has_command: false,
    main,
};

fn main(engine: &Engine, options: &Options) -> Result<u8> {
    let mut path = format!("/events?{}", moments(options)?.trim_start_matches('&'));
    let filters = filters(options)?;
    if !filters.is_empty() {
        path.push_str(&format!("&{filters}"));
    }
    let path = path.replace("?&", "?");
    let response = engine.send("GET", path.trim_end_matches('?'), Body::Empty)?;
    for line in BufReader::new(response).lines() {
        let line = line.map_err(|error| Error::io("read the engine's events", &error))?;
        if line.trim().is_empty() {
            continue;
        }
        match options.get("format") {
            None => print::line(&describe(parse(&line)?))?,
            Some(format) => print::line(&format::document(format, &line)?)?,
        }
    }
    Ok(0)
}

/// `2026-01-02T03:04:05.000000006Z container start ID (image=a, name=b)`.
fn describe(event: Node<'_>) -> String {
    let nano = u64::try_from(event.at("timeNano").integer()).unwrap_or(0);
    let second = Time {
        seconds: nano / 1_000_000_000,
        nanos: 0,
    };
    let second = second.rfc3339();
    let mut text = format!(
        "{}.{:09}Z {} {} {}",
        second.trim_end_matches('Z'),
        nano % 1_000_000_000,
        event.at("Type").text(),
        event.at("Action").text(),
        event.at("Actor.ID").text()
    );
    let mut attributes = Vec::new();
    for (name, value) in event.at("Actor.Attributes").pairs() {
        attributes.push(format!("{name}={}", value.text()));
    }
    attributes.sort_unstable();
    if !attributes.is_empty() {
        text.push_str(&format!(" ({})", attributes.join(", ")));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_a_line_like_dockers() {
        let text = r#"{"Type":"container","Action":"start","Actor":{"ID":"aa","Attributes":{"name":"web","image":"bb"}},"scope":"local","time":1700000000,"timeNano":1700000000123456000}"#;
        assert_eq!(
            describe(parse(text).unwrap()),
            "2023-11-14T22:13:20.123456000Z container start aa (image=bb, name=web)"
        );
    }
}
