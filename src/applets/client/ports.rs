//! `--publish` and `--expose` (Docker's nat package).

use super::create::Create;
use super::options::parse_u16;
use crate::error::{Error, Kind, Result};
use crate::oci::image::Empty;
use crate::wire::container::PortBinding;
use std::net::IpAddr;

fn refuse(message: String) -> Error {
    Error::new(Kind::Run, message)
}

/// A port, or a range of them.
fn range(text: &str) -> Option<(u16, u16)> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (first.parse().ok()?, last.parse().ok()?);
    (first <= last).then_some((first, last))
}

fn why_no_range(text: &str) -> String {
    if text.is_empty() {
        return "empty string specified for ports".to_string();
    }
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    match parse_u16(first).and(parse_u16(last)) {
        Ok(_) => format!("invalid range specified for port: {text}"),
        Err(error) => error.to_string(),
    }
}

/// `port[-port][/protocol]`.
pub fn expose(create: &mut Create, value: &str) -> Result<()> {
    if value.contains(':') {
        return Err(refuse(format!("invalid port format for --expose: {value}")));
    }
    let (numbers, protocol) = value.split_once('/').unwrap_or((value, "tcp"));
    let (first, last) = range(numbers).ok_or_else(|| {
        let why = why_no_range(numbers);
        refuse(format!(
            "invalid range format for --expose: {value}, error: {why}"
        ))
    })?;
    let ports = create.config.exposed_ports.get_or_insert_default();
    ports.extend((first..=last).map(|port| (format!("{port}/{protocol}"), Empty {})));
    Ok(())
}

/// `[[ip:]host port:]container port[/protocol]`, or `published=…,target=…,protocol=…`.
pub fn publish(create: &mut Create, value: &str) -> Result<()> {
    let value = match value.contains('=') {
        true => from_pairs(value)?,
        false => value.to_string(),
    };
    let (rest, inside) = value.rsplit_once(':').unwrap_or(("", &value));
    let (ip, outside) = rest.rsplit_once(':').unwrap_or(("", rest));
    let (inside, protocol) = inside.split_once('/').unwrap_or((inside, "tcp"));
    if inside.is_empty() {
        return Err(refuse(format!("no port specified: {value}<empty>")));
    }
    let plain = ip.strip_prefix('[').and_then(|ip| ip.strip_suffix(']'));
    let ip = plain.unwrap_or(ip);
    if !ip.is_empty() && ip.parse::<IpAddr>().is_err() {
        return Err(refuse(format!("invalid IP address: {ip}")));
    }
    let (first, last) =
        range(inside).ok_or_else(|| refuse(format!("invalid containerPort: {inside}")))?;
    let outer = match outside {
        "" => None,
        _ => Some(range(outside).ok_or_else(|| refuse(format!("invalid hostPort: {outside}")))?),
    };
    if let Some((start, end)) = outer
        && end - start != last - first
        && first != last
    {
        return Err(refuse(format!(
            "invalid ranges specified for container and host Ports: {inside} and {outside}"
        )));
    }
    let protocol = match protocol {
        "" => "tcp".to_string(),
        protocol => protocol.to_ascii_lowercase(),
    };
    if !matches!(protocol.as_str(), "tcp" | "udp" | "sctp") {
        return Err(refuse(format!("invalid proto: {protocol}")));
    }
    for port in first..=last {
        let host_port = match outer {
            None => String::new(),
            // One port inside may get any of a range outside.
            Some((start, end)) if first == last && start != end => format!("{start}-{end}"),
            Some((start, _)) => (start + (port - first)).to_string(),
        };
        let name = format!("{port}/{protocol}");
        let ports = create.config.exposed_ports.get_or_insert_default();
        ports.insert(name.clone(), Empty {});
        let bindings = create.host.port_bindings.get_or_insert_default();
        bindings.value(&name).push(PortBinding {
            host_ip: Some(ip.to_string()),
            host_port: Some(host_port),
        });
    }
    Ok(())
}

fn from_pairs(value: &str) -> Result<String> {
    let (mut published, mut target, mut protocol) = ("", "", "tcp");
    for pair in value.split(',') {
        let Some((name, value)) = pair.split_once('=') else {
            return Err(refuse(format!(
                "invalid publish opts format (should be name=value but got '{pair}')"
            )));
        };
        match name {
            "published" => published = value,
            "target" => target = value,
            "protocol" => protocol = value,
            _ => {}
        }
    }
    Ok(format!("{published}:{target}/{protocol}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(set: fn(&mut Create, &str) -> Result<()>, value: &str) -> String {
        let mut create = Create::default();
        if let Err(error) = set(&mut create, value) {
            return error.to_string();
        }
        let ports = create.config.exposed_ports.unwrap_or_default();
        let bindings = create.host.port_bindings.unwrap_or_default();
        let mut told = Vec::new();
        for name in ports.keys() {
            match bindings.get(name).map(|list| &list[0]) {
                Some(to) => told.push(format!(
                    "{name}={}:{}",
                    to.host_ip.as_deref().unwrap(),
                    to.host_port.as_deref().unwrap()
                )),
                None => told.push(name.clone()),
            }
        }
        told.join(" ")
    }

    #[test]
    fn ports_are_published_as_docker_reads_them() {
        for (value, expected) in [
            ("80", "80/tcp=:"),
            ("8080:80/udp", "80/udp=:8080"),
            ("127.0.0.1:8080:80", "80/tcp=127.0.0.1:8080"),
            ("127.0.0.1::80", "80/tcp=127.0.0.1:"),
            ("[::1]:1:2", "2/tcp=::1:1"),
            ("90-91:80-81", "80/tcp=:90 81/tcp=:91"),
            ("90-92:80", "80/tcp=:90-92"),
            ("published=80,target=81,protocol=udp", "81/udp=:80"),
            ("80:", "no port specified: 80:<empty>"),
            ("80:foo", "invalid containerPort: foo"),
            ("x:80", "invalid hostPort: x"),
            ("1.2.3:80:80", "invalid IP address: 1.2.3"),
            (
                "80-81:90-92",
                "invalid ranges specified for container and host Ports: 90-92 and 80-81",
            ),
            ("70000", "invalid containerPort: 70000"),
            ("81-80", "invalid containerPort: 81-80"),
            ("80/xyz", "invalid proto: xyz"),
            (
                "published=80,x",
                "invalid publish opts format (should be name=value but got 'x')",
            ),
        ] {
            assert_eq!(told(publish, value), expected, "{value}");
        }
    }

    #[test]
    fn ports_are_exposed_as_docker_reads_them() {
        for (value, expected) in [
            ("80", "80/tcp"),
            ("80-81/udp", "80/udp 81/udp"),
            ("80:80", "invalid port format for --expose: 80:80"),
            (
                "foo",
                "invalid range format for --expose: foo, error: strconv.ParseUint: parsing \"foo\": invalid syntax",
            ),
            (
                "90-80",
                "invalid range format for --expose: 90-80, error: invalid range specified for port: 90-80",
            ),
        ] {
            assert_eq!(told(expose, value), expected, "{value}");
        }
    }
}
