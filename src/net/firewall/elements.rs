//! What the sets hold: of each network, and of each container's published ports.

use super::Network;
use super::rules::{
    ANYWHERE4, ANYWHERE6, BRIDGES, BY_PROXY, INTERNAL, LOOPBACK4, MASQUERADED, NEIGHBOURS,
    PUBLISHED4, PUBLISHED6,
};
use crate::net::nft::{Element, IPV4, IPV6, Set};
use crate::net::plan::{Plan, Port};
use std::net::{IpAddr, Ipv4Addr};

/// Whether a bridge gives its frames to the packet filter, where what is led to the same bridge does
/// not come to the host: a container could not reach its own published port (br_netfilter).
const BRIDGED: [&str; 2] = [
    "/proc/sys/net/bridge/bridge-nf-call-iptables",
    "/proc/sys/net/bridge/bridge-nf-call-ip6tables",
];

pub fn of_networks(networks: &[Network]) -> Vec<Element> {
    let bridged = BRIDGED.map(|path| std::fs::read(path).is_ok_and(|text| text.starts_with(b"1")));
    let mut elements = Vec::new();
    for network in networks {
        let families = [
            ([IPV4], network.filters4, network.masquerade4, bridged[0]),
            ([IPV6], network.filters6, network.masquerade6, bridged[1]),
        ];
        for (family, is_filtered, is_masqueraded, is_bridged) in families {
            let is_open = !network.is_internal;
            let sets = [
                (&BRIDGES, true),
                (&INTERNAL, network.is_internal),
                (&NEIGHBOURS, !network.is_isolated),
                (&MASQUERADED, is_open && is_masqueraded),
                (&BY_PROXY, is_open && is_bridged && network.proxies),
            ];
            let of_this = sets.iter().filter(|(_, belongs)| is_filtered && *belongs);
            for (set, _) in of_this {
                let mut link = network.link.clone().into_bytes();
                link.resize(16, 0);
                let links = set.keys.len() - 1;
                let mut parts = vec![&family[..]];
                parts.extend(std::iter::repeat_n(link.as_slice(), links));
                elements.push(element(set, &parts, &[]));
            }
        }
    }
    elements
}

pub fn of_plan(plan: &Plan) -> Vec<Element> {
    let mut elements = Vec::new();
    for port in plan.ports.iter().flatten() {
        for number in 0..port.count.unwrap_or(1) {
            of_port(plan, port, number, &mut elements);
        }
    }
    elements
}

/// The one that is `number` behind the first.
fn of_port(plan: &Plan, port: &Port, number: u16, elements: &mut Vec<Element>) -> Option<()> {
    let host: IpAddr = port.host_ip.as_deref()?.parse().ok()?;
    let inside: IpAddr = port.container_ip.as_deref()?.parse().ok()?;
    let outer = port.host_port?.checked_add(number)?.to_be_bytes();
    let inner = port.container_port?.checked_add(number)?.to_be_bytes();
    let protocol = [protocol(port)?];
    let with_proxy = plan.proxies != Some(false);
    match host {
        IpAddr::V4(host) if plan.filters4 == Some(true) => {
            let mut lead = |set, to: &[&[u8]]| {
                if let IpAddr::V4(inside) = inside {
                    elements.push(element(set, to, &[&inside.octets(), &inner]));
                }
            };
            if host.is_unspecified() {
                lead(&ANYWHERE4, &[&protocol, &outer]);
            }
            // Without a proxy the rules serve the loopback, too.
            let is_local = host.is_loopback() || (host.is_unspecified() && !with_proxy);
            let exact = match host.is_unspecified() {
                true => Ipv4Addr::LOCALHOST,
                false => host,
            };
            let exact = [&exact.octets()[..], &protocol, &outer];
            if !with_proxy || !(host.is_unspecified() || host.is_loopback()) {
                lead(&PUBLISHED4, &exact);
            }
            if is_local {
                elements.push(element(&LOOPBACK4, &exact, &[]));
            }
        }
        IpAddr::V6(host) if plan.filters6 == Some(true) && !host.is_loopback() => {
            let IpAddr::V6(inside) = inside else {
                return None;
            };
            let data = [&inside.octets()[..], &inner];
            elements.push(match host.is_unspecified() {
                true => element(&ANYWHERE6, &[&protocol, &outer], &data),
                false => element(&PUBLISHED6, &[&host.octets(), &protocol, &outer], &data),
            });
        }
        _ => {}
    }
    Some(())
}

/// Its number (IANA).
pub fn protocol(port: &Port) -> Option<u8> {
    match port.protocol.as_deref() {
        Some("tcp") | None => Some(6),
        Some("udp") => Some(17),
        Some("sctp") => Some(132),
        Some(_) => None,
    }
}

fn element(set: &'static Set, key: &[&[u8]], data: &[&[u8]]) -> Element {
    Element {
        set,
        key: row(key),
        data: row(data),
    }
}

/// Behind each other, each filled up to words.
fn row(parts: &[&[u8]]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for part in parts {
        bytes.extend(*part);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
    }
    bytes
}
