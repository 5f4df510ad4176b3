//! Which ports of the host lead to a container.
//!
//! A port that was asked for by number is not looked at here: to claim it is the shim's to do, and a
//! claim that fails says the truth. Where there is a choice, the first is taken that no other
//! container has and that can be bound now.

use crate::engine::container::Container;
use crate::error::{Error, Kind, Result};
use crate::net::plan::{Plan, Port};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket};
use std::sync::Arc;

/// Where they lead.
pub struct Place {
    /// The container's addresses.
    pub v4: Option<IpAddr>,
    pub v6: Option<IpAddr>,
    /// The host's address for those that say none.
    pub default: Option<IpAddr>,
    /// A proxy takes them from one family to the other.
    pub has_proxy: bool,
}

/// One port of the container, and what is asked of the host's.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Wanted {
    protocol: String,
    inside: u16,
    /// `None`: all addresses.
    ip: Option<IpAddr>,
    /// The first that is free of these; from 0: any.
    first: u16,
    last: u16,
}

/// Docker's, where the kernel does not say (libnetwork, portallocator).
const DYNAMIC: (u16, u16) = (49_153, 65_535);

pub fn assign(
    container: &Container,
    place: &Place,
    others: &[Arc<Plan>],
    old: Option<&Plan>,
) -> Result<Vec<Port>> {
    let mut wanted = wanted(container);
    // Those without a choice first, so that nobody chooses theirs.
    wanted.sort_by_key(|wanted| {
        let choice = wanted.last - wanted.first;
        (
            wanted.first == 0,
            choice > 0,
            wanted.protocol.clone(),
            wanted.inside,
        )
    });
    let mut ports: Vec<Port> = Vec::new();
    for wanted in &wanted {
        let ends = ends(wanted, place);
        if ends.is_empty() {
            continue;
        }
        let outside = match known(old, wanted) {
            Some(outside) => outside,
            None => choose(wanted, &ends, others, &ports)?,
        };
        ports.extend(ends.iter().map(|(ip, inside)| Port {
            protocol: Some(wanted.protocol.clone()),
            host_ip: Some(ip.to_string()),
            host_port: Some(outside),
            container_port: Some(wanted.inside),
            count: Some(1),
            container_ip: Some(inside.to_string()),
        }));
    }
    Ok(merge(ports))
}

/// Whether a shim could not claim a port.
pub fn is_refusal(error: &Error) -> bool {
    error.message.contains("failed to bind host port")
}

/// Whether another port may do as well.
pub fn has_choice(container: &Container) -> bool {
    let mut all = wanted(container).into_iter();
    all.any(|wanted| wanted.first == 0 || wanted.first < wanted.last)
}

/// All that a container wants to be published.
fn wanted(container: &Container) -> Vec<Wanted> {
    let mut all = Vec::new();
    let bindings = container.host.port_bindings.as_ref();
    for (port, bindings) in bindings.into_iter().flatten() {
        let Some((first, last, protocol)) = parse(port) else {
            continue;
        };
        for binding in bindings {
            let text = binding.host_port.as_deref().unwrap_or_default();
            let (from, to) = range(text).unwrap_or((0, 0));
            let ip = binding.host_ip.as_deref().and_then(|ip| ip.parse().ok());
            for (at, inside) in (first..=last).enumerate() {
                let step = from.saturating_add(at as u16);
                // Ranges of one length belong to each other.
                let is_pair = first != last && to - from == last - first && from != 0;
                all.push(Wanted {
                    protocol: protocol.to_string(),
                    inside,
                    ip,
                    first: if is_pair { step } else { from },
                    last: if is_pair { step } else { to },
                });
            }
        }
    }
    if container.host.publish_all_ports == Some(true) {
        for port in container
            .config
            .exposed_ports
            .iter()
            .flatten()
            .map(|(port, _)| port)
        {
            let Some((first, last, protocol)) = parse(port) else {
                continue;
            };
            for inside in first..=last {
                let is_it =
                    |wanted: &Wanted| wanted.inside == inside && wanted.protocol == protocol;
                if !all.iter().any(is_it) {
                    all.push(Wanted {
                        protocol: protocol.to_string(),
                        inside,
                        ip: None,
                        first: 0,
                        last: 0,
                    });
                }
            }
        }
    }
    all
}

/// `80`, `80-90/udp`.
pub fn parse(text: &str) -> Option<(u16, u16, &str)> {
    let (numbers, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let (first, last) = range(numbers)?;
    Some((first, last, protocol))
}

fn range(text: &str) -> Option<(u16, u16)> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (first.parse().ok()?, last.parse().ok()?);
    (first <= last).then_some((first, last))
}

/// The host's addresses, each with the container's that it leads to.
fn ends(wanted: &Wanted, place: &Place) -> Vec<(IpAddr, IpAddr)> {
    let all = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    let outside = match wanted.ip.or(place.default.filter(|ip| *ip != all)) {
        Some(ip) => vec![ip],
        None if has_v6() => vec![all, IpAddr::V6(Ipv6Addr::UNSPECIFIED)],
        None => vec![all],
    };
    let inside = |is_v6: bool| {
        let (own, other) = match is_v6 {
            true => (place.v6, place.v4),
            false => (place.v4, place.v6),
        };
        own.or(other.filter(|_| place.has_proxy))
    };
    let pairs = outside.into_iter();
    pairs
        .filter_map(|ip| Some((ip, inside(ip.is_ipv6())?)))
        .collect()
}

/// Whether this host speaks IPv6: there are links with addresses of it.
fn has_v6() -> bool {
    std::fs::read_to_string("/proc/self/net/if_inet6").is_ok_and(|text| !text.is_empty())
}

/// The one that it has already.
fn known(old: Option<&Plan>, wanted: &Wanted) -> Option<u16> {
    let mut ports = old?.ports.iter().flatten();
    ports.find_map(|port| {
        let at = wanted.inside.checked_sub(port.container_port?)?;
        let outside = port.host_port?.checked_add(at)?;
        let fits = port.protocol.as_deref() == Some(&wanted.protocol)
            && at < port.count.unwrap_or(1)
            && (wanted.first == 0 || (wanted.first..=wanted.last).contains(&outside))
            && wanted
                .ip
                .is_none_or(|ip| port.host_ip == Some(ip.to_string()));
        fits.then_some(outside)
    })
}

fn choose(
    wanted: &Wanted,
    ends: &[(IpAddr, IpAddr)],
    others: &[Arc<Plan>],
    own: &[Port],
) -> Result<u16> {
    if wanted.first != 0 && wanted.first == wanted.last {
        return Ok(wanted.first);
    }
    let (first, last) = match wanted.first {
        0 => dynamic(),
        first => (first, wanted.last),
    };
    let count = u32::from(last - first) + 1;
    // Not always the same one: a client of the last container that had it may still come.
    let start = match wanted.first {
        0 => random()? % count,
        _ => 0,
    };
    let is_free = |port: u16| {
        let of_others = others.iter().flat_map(|plan| plan.ports.iter().flatten());
        let mut taken = of_others.chain(own);
        let protocol = wanted.protocol.as_str();
        !taken.any(|other| ends.iter().any(|(ip, _)| meets(other, protocol, *ip, port)))
            && ends.iter().all(|(ip, _)| can_bind(protocol, *ip, port))
    };
    let mut all = (0..count).map(|at| first + ((start + at) % count) as u16);
    all.find(|port| is_free(*port)).ok_or_else(|| {
        Error::new(
            Kind::System,
            match wanted.first {
                0 => "all ports are allocated".to_string(),
                _ => format!("all ports from {first} to {last} are allocated: give another range"),
            },
        )
    })
}

fn dynamic() -> (u16, u16) {
    let text = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range");
    let text = text.unwrap_or_default();
    let mut numbers = text.split_whitespace().filter_map(|word| word.parse().ok());
    match (numbers.next(), numbers.next()) {
        (Some(first), Some(last)) if 0 < first && first <= last => (first, last),
        _ => DYNAMIC,
    }
}

fn random() -> Result<u32> {
    let mut bytes = [0; 4];
    crate::sys::random::fill(&mut bytes)?;
    Ok(u32::from_ne_bytes(bytes))
}

/// Whether `other` has the port already.
fn meets(other: &Port, protocol: &str, ip: IpAddr, port: u16) -> bool {
    let first = other.host_port.unwrap_or_default();
    let their_ip = other
        .host_ip
        .as_deref()
        .and_then(|ip| ip.parse::<IpAddr>().ok());
    other.protocol.as_deref() == Some(protocol)
        && port >= first
        && port - first < other.count.unwrap_or(1)
        && their_ip.is_some_and(|theirs| {
            theirs == ip
                || theirs.is_ipv6() == ip.is_ipv6()
                    && (theirs.is_unspecified() || ip.is_unspecified())
        })
}

/// Whether nobody serves there. Who asks for SCTP hears of it later.
fn can_bind(protocol: &str, ip: IpAddr, port: u16) -> bool {
    let address = SocketAddr::new(ip, port);
    match protocol {
        "tcp" => TcpListener::bind(address).is_ok(),
        "udp" => UdpSocket::bind(address).is_ok(),
        _ => true,
    }
}

/// Ports that follow each other inside and outside become one entry.
fn merge(mut ports: Vec<Port>) -> Vec<Port> {
    ports.sort_by(|a, b| {
        let key = |port: &Port| {
            (
                port.protocol.clone(),
                port.host_ip.clone(),
                port.container_port,
                port.host_port,
            )
        };
        key(a).cmp(&key(b))
    });
    let mut merged: Vec<Port> = Vec::new();
    for port in ports {
        let is_next = |last: &&mut Port| {
            let count = last.count.unwrap_or(1);
            let behind = |first: Option<u16>| first.and_then(|first| first.checked_add(count));
            last.protocol == port.protocol
                && last.host_ip == port.host_ip
                && last.container_ip == port.container_ip
                && behind(last.host_port) == port.host_port
                && behind(last.container_port) == port.container_port
        };
        match merged.last_mut().filter(is_next) {
            Some(last) => last.count = Some(last.count.unwrap_or(1) + 1),
            None => merged.push(port),
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::record::{Asked, Happened};
    use crate::json;
    use crate::wire::container::{Config, HostConfig};

    fn container(config: &str, host: &str) -> Container {
        let asked = Asked {
            config: json::parse::<Config>(config, "test").ok(),
            host_config: json::parse::<HostConfig>(host, "test").ok(),
            ..<Asked as Default>::default()
        };
        Container::new(asked, &<Happened as Default>::default())
    }

    fn place(v6: Option<&str>, has_proxy: bool) -> Place {
        Place {
            v4: "172.17.0.2".parse().ok(),
            v6: v6.and_then(|text| text.parse().ok()),
            default: "192.0.2.1".parse().ok(),
            has_proxy,
        }
    }

    /// `protocol host:port*count->address:port`
    fn shown(ports: &[Port]) -> Vec<String> {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let number = |number: Option<u16>| number.unwrap_or_default();
        ports
            .iter()
            .map(|port| {
                format!(
                    "{} {}:{}*{}->{}:{}",
                    text(&port.protocol),
                    text(&port.host_ip),
                    number(port.host_port),
                    number(port.count),
                    text(&port.container_ip),
                    number(port.container_port)
                )
            })
            .collect()
    }

    #[test]
    fn ports_in_a_row_are_one_and_families_meet_by_proxy() {
        let host = r#"{"PortBindings":{
            "80/tcp":[{"HostPort":"8080"},{"HostIp":"2001:db8::1","HostPort":"8080"}],
            "81/tcp":[{"HostPort":"8081"}],"82/tcp":[{"HostPort":"8092"}],
            "90-92/udp":[{"HostPort":"7000-7002"}]}}"#;
        let ports =
            |place: &Place| shown(&assign(&container("{}", host), place, &[], None).unwrap());
        let v4 = [
            "tcp 192.0.2.1:8080*2->172.17.0.2:80",
            "tcp 192.0.2.1:8092*1->172.17.0.2:82",
            "udp 192.0.2.1:7000*3->172.17.0.2:90",
        ];
        let with = |v6: &'static str| [&v4[..2], &[v6], &v4[2..]].concat();
        assert_eq!(ports(&place(None, false)), v4);
        let by_proxy = "tcp 2001:db8::1:8080*1->172.17.0.2:80";
        assert_eq!(ports(&place(None, true)), with(by_proxy));
        let direct = "tcp 2001:db8::1:8080*1->fd00::2:80";
        assert_eq!(ports(&place(Some("fd00::2"), false)), with(direct));
    }

    #[test]
    fn who_has_a_choice_takes_what_nobody_has_and_keeps_it() {
        let local = Place {
            default: Some(IpAddr::V4(Ipv4Addr::LOCALHOST)),
            ..place(None, false)
        };
        let host =
            r#"{"PublishAllPorts":true,"PortBindings":{"80/udp":[{"HostPort":"40000-40002"}]}}"#;
        let wishes = container(r#"{"ExposedPorts":{"80/udp":{},"53/sctp":{}}}"#, host);
        let other = |port: u16| Port {
            protocol: Some("udp".into()),
            host_ip: Some("0.0.0.0".into()),
            host_port: Some(port),
            count: Some(1),
            ..Port::default()
        };
        let plan = |ports: Vec<Port>| Plan {
            ports: Some(ports),
            ..Plan::default()
        };
        let others = [Arc::new(plan(vec![other(40000)]))];
        let ports = assign(&wishes, &local, &others, None).unwrap();
        let udp = ports
            .iter()
            .find(|port| port.container_port == Some(80))
            .unwrap();
        assert!(matches!(udp.host_port, Some(40001 | 40002)), "{ports:?}");
        assert_eq!(ports.len(), 2);
        let again = assign(&wishes, &local, &others, Some(&plan(ports.clone()))).unwrap();
        assert_eq!(again, ports);
        let all = [40000, 40001, 40002].map(other).to_vec();
        let error = assign(&wishes, &local, &[Arc::new(plan(all))], None).unwrap_err();
        assert_eq!(
            error.message,
            "all ports from 40000 to 40002 are allocated: give another range"
        );
        assert!(has_choice(&wishes));
        assert!(!has_choice(&container(
            "{}",
            r#"{"PortBindings":{"1/tcp":[{"HostPort":"5"}]}}"#
        )));
    }
}
