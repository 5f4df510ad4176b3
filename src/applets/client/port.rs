//! `tug port`: where the ports of a container are published.

use super::list::natural;
use super::options::{Options, Verb, parse_u16};
use super::print;
use super::ps::in_brackets;
use super::remote::{Engine, parse};
use crate::error::{Error, Result};
use crate::http::query;
use crate::json::node::Node;

pub const VERB: Verb = Verb {
    names: &["port", "container port"],
    usage: "CONTAINER [PRIVATE_PORT[/PROTO]]",
    about: "List port mappings or a specific mapping for the container",
    flags: &[&[]],
    args: (1, 2),
    has_command: false,
    main,
};

fn main(engine: &Engine, options: &Options) -> Result<u8> {
    let name = &options.args[0];
    let answer = engine.text(&format!("/containers/{}/json", query::encode(name)))?;
    let ports = parse(&answer)?.at("NetworkSettings.Ports");
    let mut lines = Vec::new();
    if let Some(port) = options.args.get(1) {
        let (number, protocol) = port.split_once('/').unwrap_or((port, ""));
        let protocol = if protocol.is_empty() { "tcp" } else { protocol };
        parse_u16(number)
            .map_err(|error| Error::invalid(format!("Error: invalid port ({number}): {error}")))?;
        let whole = format!("{number}/{protocol}");
        lines.extend(ports.member(&whole).map(bindings).unwrap_or_default());
        if lines.is_empty() {
            return Err(Error::invalid(format!(
                "Error: No public port '{port}' published for {name}"
            )));
        }
    } else {
        for (inside, outside) in ports.pairs() {
            let outside = bindings(outside).into_iter();
            lines.extend(outside.map(|outside| format!("{inside} -> {outside}")));
        }
    }
    lines.sort_by(|a, b| natural(a, b));
    match lines.is_empty() {
        true => Ok(0),
        false => print::line(&lines.join("\n")).map(|()| 0),
    }
}

/// `0.0.0.0:8080`, `[::]:8080`.
fn bindings(list: Node<'_>) -> Vec<String> {
    let mut all = Vec::new();
    for binding in list.items() {
        let (ip, port) = (binding.at("HostIp").text(), binding.at("HostPort").text());
        all.push(format!("{}:{port}", in_brackets(&ip)));
    }
    all
}
