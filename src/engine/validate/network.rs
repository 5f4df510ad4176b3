//! Networks, published ports, and what name resolution is told.

use super::modes;
use crate::error::{Error, Result};
use crate::wire::container::{Config, HostConfig};
use std::net::IpAddr;

/// What does not go together (moby, runconfig: validateNetMode), before the image says anything.
pub fn check(config: &Config, host: &mut HostConfig, warnings: &mut Vec<String>) -> Result<()> {
    match host.network_mode.as_deref().unwrap_or_default() {
        "container" | "container:" => {
            return Err(Error::invalid(
                "Invalid network mode: invalid container format container:<name|id>",
            ));
        }
        mode if modes::donor(Some(mode)).is_some() => check_shared(config, host)?,
        _ => {}
    }
    if host.uts_mode.as_deref() == Some("host") && is_given(&config.hostname) {
        return Err(conflict("hostname and the UTS mode"));
    }
    if host.network_mode.as_deref() == Some("host") && is_any(&host.links) {
        return Err(conflict(
            "host type networking can't be used with links. This would result in undefined behavior",
        ));
    }
    check_ports(config, host, warnings)?;
    for entry in host.extra_hosts.iter().flatten() {
        check_host(entry)?;
    }
    for server in host.dns.iter().flatten() {
        if server.parse::<IpAddr>().is_err() {
            return Err(Error::invalid(format!("bad nameserver address {server}")));
        }
    }
    Ok(())
}

fn conflict(between: &str) -> Error {
    Error::invalid(format!("conflicting options: {between}"))
}

fn is_given(text: &Option<String>) -> bool {
    text.as_ref().is_some_and(|text| !text.is_empty())
}

fn is_any<T>(list: &Option<Vec<T>>) -> bool {
    list.as_ref().is_some_and(|list| !list.is_empty())
}

/// In another container's network the rest is that one's.
fn check_shared(config: &Config, host: &HostConfig) -> Result<()> {
    let publishes = host.publish_all_ports == Some(true)
        || host
            .port_bindings
            .as_ref()
            .is_some_and(|map| !map.is_empty());
    let exposes = config
        .exposed_ports
        .as_ref()
        .is_some_and(|map| !map.is_empty());
    let table = [
        (is_given(&config.hostname), "hostname and the network mode"),
        (
            is_any(&host.links),
            "container type network can't be used with links. This would result in undefined behavior",
        ),
        (is_any(&host.dns), "dns and the network mode"),
        (
            is_any(&host.extra_hosts),
            "custom host-to-IP mapping and the network mode",
        ),
        (
            is_given(&config.mac_address),
            "mac-address and the network mode",
        ),
        (
            publishes,
            "port publishing and the container type network mode",
        ),
        (exposes, "port exposing and the container type network mode"),
    ];
    match table.iter().find(|(is_asked, _)| *is_asked) {
        Some((_, between)) => Err(conflict(between)),
        None => Ok(()),
    }
}

fn check_ports(config: &Config, host: &HostConfig, warnings: &mut Vec<String>) -> Result<()> {
    let bad = |text: &str| Error::invalid(format!("invalid port specification: {text:?}"));
    for port in config.exposed_ports.iter().flatten().map(|(port, _)| port) {
        check_port(port).ok_or_else(|| bad(port))?;
    }
    for (port, bindings) in host.port_bindings.iter().flatten() {
        let number = port.split('/').next().unwrap_or_default();
        check_port(port).ok_or_else(|| bad(number))?;
        for binding in bindings {
            let outside = binding.host_port.as_deref().unwrap_or_default();
            if !outside.is_empty() {
                check_range(outside).ok_or_else(|| bad(outside))?;
            }
        }
    }
    // Where there is no network of its own, nothing is published and nobody misses it.
    let mode = host.network_mode.as_deref().unwrap_or_default();
    let publishes = host
        .port_bindings
        .as_ref()
        .is_some_and(|map| !map.is_empty());
    if publishes && matches!(mode, "host" | "none") {
        warnings.push(format!(
            "Published ports are discarded when using {mode} network mode"
        ));
    }
    Ok(())
}

/// `80`, `80-90/tcp`.
fn check_port(text: &str) -> Option<()> {
    let (number, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let is_known = matches!(protocol, "tcp" | "udp" | "sctp");
    check_range(number).filter(|()| is_known)
}

fn check_range(text: &str) -> Option<()> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let number = |text: &str| text.parse::<u16>().ok();
    (number(first)? <= number(last)?).then_some(())
}

/// `name:address`; `=` may stand for the colon, and `host-gateway` for an address.
fn check_host(entry: &str) -> Result<()> {
    let Some((name, address)) = entry
        .split_once(['=', ':'])
        .filter(|(name, _)| !name.is_empty())
    else {
        return Err(Error::invalid(format!(
            "bad format for add-host: {entry:?}"
        )));
    };
    let plain = address
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    let is_good = address == "host-gateway" || plain.unwrap_or(address).parse::<IpAddr>().is_ok();
    if !is_good || name.contains(char::is_whitespace) {
        return Err(Error::invalid(format!(
            "invalid IP address in add-host: {address:?}"
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json;

    fn told(config: &str, host: &str) -> String {
        let config: Config = json::parse(config, "test").unwrap();
        let mut host: HostConfig = json::parse(host, "test").unwrap();
        let mut warnings = Vec::new();
        match check(&config, &mut host, &mut warnings) {
            Ok(()) => warnings.concat(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn what_another_containers_network_settles_is_refused_in_dockers_words() {
        let shared = |more: &str| format!(r#"{{"NetworkMode":"container:x"{more}}}"#);
        for (config, more, between) in [
            (r#"{"Hostname":"a"}"#, "", "hostname and the network mode"),
            ("{}", r#","Dns":["1.1.1.1"]"#, "dns and the network mode"),
            (
                "{}",
                r#","ExtraHosts":["a:1.1.1.1"]"#,
                "custom host-to-IP mapping and the network mode",
            ),
            (
                "{}",
                r#","PublishAllPorts":true"#,
                "port publishing and the container type network mode",
            ),
            (
                r#"{"ExposedPorts":{"80/tcp":{}}}"#,
                "",
                "port exposing and the container type network mode",
            ),
            (
                r#"{"MacAddress":"00:00:00:00:00:01"}"#,
                "",
                "mac-address and the network mode",
            ),
        ] {
            let expected = format!("conflicting options: {between}");
            assert_eq!(told(config, &shared(more)), expected);
        }
        assert_eq!(told("{}", &shared("")), "");
    }

    #[test]
    fn ports_hosts_and_servers_are_checked_in_dockers_words() {
        for (config, host, expected) in [
            (
                "{}",
                r#"{"ExtraHosts":["foo"]}"#,
                "bad format for add-host: \"foo\"",
            ),
            (
                "{}",
                r#"{"ExtraHosts":["foo:1.2.3"]}"#,
                "invalid IP address in add-host: \"1.2.3\"",
            ),
            (
                "{}",
                r#"{"ExtraHosts":["a:host-gateway","b:::1","c=[::1]","d=1.1.1.1"]}"#,
                "",
            ),
            ("{}", r#"{"Dns":["foo"]}"#, "bad nameserver address foo"),
            (
                r#"{"ExposedPorts":{"foo":{}}}"#,
                "{}",
                "invalid port specification: \"foo\"",
            ),
            (
                "{}",
                r#"{"PortBindings":{"80/tcp":[{"HostPort":"x"}]}}"#,
                "invalid port specification: \"x\"",
            ),
            (
                "{}",
                r#"{"PortBindings":{"80/tcp":[{"HostPort":"8080"}]}}"#,
                "",
            ),
            (
                "{}",
                r#"{"NetworkMode":"host","PortBindings":{"80/tcp":[{"HostPort":"8080"}]}}"#,
                "Published ports are discarded when using host network mode",
            ),
            (
                r#"{"Hostname":"a"}"#,
                r#"{"UTSMode":"host"}"#,
                "conflicting options: hostname and the UTS mode",
            ),
            (
                "{}",
                r#"{"NetworkMode":"container:"}"#,
                "Invalid network mode: invalid container format container:<name|id>",
            ),
            ("{}", r#"{"NetworkMode":"lab"}"#, ""),
        ] {
            assert_eq!(told(config, host), expected, "{host}");
        }
    }
}
