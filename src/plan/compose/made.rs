//! Networks and volumes of a compose file.

use super::File;
use crate::error::{Error, Result};
use crate::json::node::Node;
use crate::plan::Made;

/// A network that services use; none where it is somebody else's.
pub fn network(file: &File<'_>, key: &str) -> Result<Option<Made>> {
    let node = node(file, "networks", key)?;
    let known = [
        "attachable",
        "driver",
        "driver_opts",
        "enable_ipv4",
        "enable_ipv6",
        "external",
        "internal",
        "ipam",
        "labels",
        "name",
    ];
    file.only(node, &known)?;
    let mut arguments = Vec::new();
    for (member, option) in [
        ("driver", "driver"),
        ("internal", "internal"),
        ("attachable", "attachable"),
        ("enable_ipv4", "ipv4"),
        ("enable_ipv6", "ipv6"),
    ] {
        if let Some(value) = file.member(node, member)? {
            arguments.push(format!("--{option}={value}"));
        }
    }
    let ipam = node.at("ipam");
    file.only(ipam, &["config", "driver", "options"])?;
    if let Some(driver) = file.member(ipam, "driver")? {
        arguments.push(format!("--ipam-driver={driver}"));
    }
    options(file, ipam.at("options"), "ipam-opt", &mut arguments)?;
    for config in ipam.at("config").items() {
        file.only(config, &["aux_addresses", "gateway", "ip_range", "subnet"])?;
        for (member, option) in [
            ("subnet", "subnet"),
            ("ip_range", "ip-range"),
            ("gateway", "gateway"),
        ] {
            if let Some(value) = file.member(config, member)? {
                arguments.push(format!("--{option}={value}"));
            }
        }
        options(
            file,
            config.at("aux_addresses"),
            "aux-address",
            &mut arguments,
        )?;
    }
    finish(file, node, "network", key, arguments)
}

pub fn volume(file: &File<'_>, key: &str) -> Result<Option<Made>> {
    let node = node(file, "volumes", key)?;
    file.only(
        node,
        &["driver", "driver_opts", "external", "labels", "name"],
    )?;
    let mut arguments = Vec::new();
    if let Some(driver) = file.member(node, "driver")? {
        arguments.push(format!("--driver={driver}"));
    }
    finish(file, node, "volume", key, arguments)
}

/// What volumes and networks have both.
fn finish(
    file: &File<'_>,
    node: Node<'_>,
    kind: &str,
    key: &str,
    mut arguments: Vec<String>,
) -> Result<Option<Made>> {
    if is_external(file, node)? {
        return Ok(None);
    }
    options(file, node.at("driver_opts"), "opt", &mut arguments)?;
    options(file, node.at("labels"), "label", &mut arguments)?;
    let project = &file.project;
    arguments.push(format!("--label=com.docker.compose.{kind}={key}"));
    arguments.push(format!("--label=com.docker.compose.project={project}"));
    let name = name_of(file, node, key)?;
    arguments.extend(["--".to_string(), name.clone()]);
    Ok(Some(Made {
        name,
        arguments,
        file: file.path.to_path_buf(),
    }))
}

fn options(file: &File<'_>, node: Node<'_>, option: &str, to: &mut Vec<String>) -> Result<()> {
    for (name, value) in file.pairs(node)? {
        let value = value.unwrap_or_default();
        to.push(format!("--{option}={name}={value}"));
    }
    Ok(())
}

fn is_external(file: &File<'_>, node: Node<'_>) -> Result<bool> {
    match node.at("external").json().starts_with('{') {
        true => Ok(true),
        false => file.is_true(node, "external"),
    }
}

/// How the engine knows what the file calls `key`.
pub fn name(file: &File<'_>, kind: &str, key: &str) -> Result<String> {
    name_of(file, node(file, kind, key)?, key)
}

fn name_of(file: &File<'_>, node: Node<'_>, key: &str) -> Result<String> {
    let external = file.member(node, "external.name").unwrap_or_default();
    let name = file.member(node, "name")?.or(external);
    Ok(match name {
        Some(name) => name,
        None if is_external(file, node)? => key.to_string(),
        None => format!("{}_{key}", file.project),
    })
}

fn node<'a>(file: &File<'a>, kind: &str, key: &str) -> Result<Node<'a>> {
    let declared = file.root.at(kind).member(key);
    match (declared, kind, key) {
        (Some(node), _, _) => Ok(node),
        (None, "networks", "default") => Ok(file.root.at("-")),
        _ => Err(Error::invalid(format!(
            "undefined {}: {kind} has no {key}",
            kind.trim_end_matches('s')
        ))),
    }
}
