//! `tug port`: where the ports of a container are published.

use super::options::{Options, Verb};
use super::print;
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
        let whole = match port.contains('/') {
            true => port.clone(),
            false => format!("{port}/tcp"),
        };
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
        lines.sort();
    }
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
        all.push(match ip.contains(':') {
            true => format!("[{ip}]:{port}"),
            false => format!("{ip}:{port}"),
        });
    }
    all
}
