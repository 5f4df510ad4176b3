//! A container's place in a network: what may be asked of it, and what it gets.

use crate::engine::container::Container;
use crate::engine::links;
use crate::engine::network::defaults::GATEWAYS;
use crate::engine::network::{ICC, MTU, Network, Networks, digest};
use crate::error::{Error, Kind, Result};
use crate::id;
use crate::json::map::Map;
use crate::net::endpoint::host_interface;
use crate::net::plan::{Endpoint, Plan};
use crate::wire::container::EndpointSettings;
use std::net::IpAddr;
use std::sync::Arc;

/// Docker's options of an endpoint.
const SYSCTLS: &str = "com.docker.network.endpoint.sysctls";
pub const IFNAME: &str = "com.docker.network.endpoint.ifname";

/// A network that a container is to be in, and how.
pub struct Member {
    pub network: Arc<Network>,
    pub settings: EndpointSettings,
}

/// The container's place in the network `id`, if it is in it.
pub fn of<'a>(plan: &'a Plan, id: &str) -> Option<&'a Endpoint> {
    let mut endpoints = plan.endpoints.iter().flatten();
    endpoints.find(|endpoint| endpoint.network.as_deref() == Some(id))
}

/// An address with its prefix, without it.
pub fn bare(text: Option<&String>) -> Option<IpAddr> {
    text?.split('/').next()?.parse().ok()
}

fn fixed(settings: &EndpointSettings, member: &str) -> Option<String> {
    let text = settings.ipam_config.as_ref()?.node().at(member).text();
    Some(text).filter(|text| !text.is_empty())
}

/// Refuse what cannot be in the network called `name`. The sentences are moby's (daemon:
/// validateEndpointSettings). `network` is not known where it is still to be made.
pub fn check(name: &str, network: Option<&Network>, settings: &EndpointSettings) -> Result<()> {
    if network.is_some_and(|network| network.record.config_only == Some(true)) {
        return Err(Error::new(
            Kind::Denied,
            format!("cannot create endpoint on configuration-only network {name}"),
        ));
    }
    let mut wrong: Vec<String> = Vec::new();
    let is_user_defined = !matches!(name, "bridge" | "host" | "none" | "default");
    let addresses = [
        (false, fixed(settings, "IPv4Address")),
        (true, fixed(settings, "IPv6Address")),
    ];
    if !is_user_defined {
        if addresses.iter().any(|(_, address)| address.is_some()) {
            wrong.push(
                "user specified IP address is supported on user defined networks only".to_string(),
            );
        }
        if settings
            .aliases
            .as_ref()
            .is_some_and(|list| !list.is_empty())
        {
            wrong.push(
                "network-scoped alias is supported only for containers in user defined networks"
                    .to_string(),
            );
        }
    }
    for (is_v6, text) in addresses {
        let Some(text) = text else { continue };
        match text.parse::<IpAddr>() {
            Ok(address) if address.is_ipv6() == is_v6 && !address.is_unspecified() => {
                wrong.extend(network.and_then(|network| outside(network, address)));
            }
            _ => wrong.push(format!("invalid {} address: {text}", family(is_v6))),
        }
    }
    if let Some(mac) = settings.mac_address.as_ref().filter(|mac| !mac.is_empty())
        && !is_mac(mac)
    {
        wrong.push(format!("invalid MAC address {mac}"));
    }
    let options = settings.driver_opts.as_ref();
    for sysctl in options
        .and_then(|o| o.get(SYSCTLS))
        .iter()
        .flat_map(|text| text.split(','))
    {
        let mut parts = sysctl.splitn(5, '.');
        let (_, family, _, link) = (parts.next(), parts.next(), parts.next(), parts.next());
        let is_known = matches!(family, Some("ipv4" | "ipv6" | "mpls"))
            && matches!(link, Some("IFNAME" | "ifname"))
            && parts.next().is_some_and(|rest| rest.contains('='));
        if !is_known {
            wrong.push(format!(
                "unrecognised network interface sysctl '{sysctl}'; represent 'net.X.Y.ethN.Z=V' as 'net.X.Y.IFNAME.Z=V', 'X' must be 'ipv4', 'ipv6' or 'mpls'"
            ));
        }
    }
    match wrong.as_slice() {
        [] => Ok(()),
        [one] => Err(Error::invalid(format!("invalid endpoint settings:\n{one}"))),
        _ => Err(Error::invalid(format!(
            "invalid endpoint settings:\n* {}",
            wrong.join("\n* ")
        ))),
    }
}

fn family(is_v6: bool) -> &'static str {
    if is_v6 { "IPv6" } else { "IPv4" }
}

/// Why a container of this network cannot ask for the address.
fn outside(network: &Network, address: IpAddr) -> Option<String> {
    let mut given = network
        .pools
        .iter()
        .filter(|pool| pool.is_given && pool.subnet.is_v6 == address.is_ipv6());
    match given.next() {
        None if network.is_built_in() => None,
        None => Some("user specified IP address is supported only when connecting to networks with user configured subnets".to_string()),
        Some(first) if std::iter::once(first).chain(given).any(|pool| pool.subnet.holds(address)) => None,
        Some(_) => Some(format!("no configured subnet or ip-range contain the IP address {address}")),
    }
}

/// Six pairs of digits, one address (not a group's).
pub fn is_mac(text: &str) -> bool {
    let mut parts = 0;
    let is_hex = text.split([':', '-']).all(|part| {
        parts += 1;
        part.len() == 2 && u8::from_str_radix(part, 16).is_ok() && !part.starts_with('+')
    });
    is_hex && parts == 6
}

impl Networks {
    /// A new place for the container `id`, with addresses of its own from now on.
    pub fn join(&mut self, container: &Container, member: &Member) -> Result<Endpoint> {
        let (network, settings) = (&member.network, &member.settings);
        if self.get(&network.id).is_none() {
            return Err(Error::not_found(format!(
                "network {} not found",
                network.id
            )));
        }
        let v4 = self.allocate(network, false, fixed(settings, "IPv4Address"))?;
        let v6 = self.allocate(network, true, fixed(settings, "IPv6Address"))?;
        let with_prefix = |address: &(IpAddr, u8)| format!("{}/{}", address.0, address.1);
        let text = |text: String| Some(text).filter(|text| !text.is_empty());
        let place = digest(&[&container.id, &network.id]);
        let mac = settings.mac_address.clone().filter(|mac| !mac.is_empty());
        let user_defined = !network.is_default_bridge();
        Ok(Endpoint {
            network: Some(network.id.clone()),
            network_name: Some(network.name.clone()),
            driver: Some(network.driver.clone()),
            parent: text(network.link()),
            mode: mode(network),
            host_interface: network
                .is_bridge()
                .then(|| host_interface(&container.id, &network.id)),
            // An ipvlan has its parent's.
            mac: match network.driver.as_str() {
                "ipvlan" => None,
                _ => mac.or_else(|| Some(mac_of(v4.map(|(address, _)| address), &place))),
            },
            ipv4: v4.as_ref().map(with_prefix),
            ipv6: v6.as_ref().map(with_prefix),
            mtu: mtu(network),
            is_internal: Some(is_closed(network)),
            is_isolated: Some(is_isolated(network)),
            sysctls: sysctls(settings),
            names: Some(names(container, settings)).filter(|_| user_defined),
            links: links(settings).filter(|_| user_defined),
            ..Endpoint::default()
        })
    }

    /// The address asked for or the next one, with its prefix. `None`: the network has none of this
    /// family.
    fn allocate(
        &mut self,
        network: &Network,
        is_v6: bool,
        asked: Option<String>,
    ) -> Result<Option<(IpAddr, u8)>> {
        let taken = self.taken(&network.id, is_v6);
        let pools = network
            .pools
            .iter()
            .filter(|pool| pool.subnet.is_v6 == is_v6);
        if let Some(address) = asked.as_ref().and_then(|text| text.parse::<IpAddr>().ok()) {
            let mut pools = pools.filter(|pool| pool.subnet.holds(address));
            return match pools.next() {
                Some(pool) if pool.may_have(address, &taken) => {
                    Ok(Some((address, pool.subnet.prefix)))
                }
                Some(_) => Err(Error::new(Kind::Denied, "Address already in use")),
                None => Err(Error::invalid(format!(
                    "no configured subnet or ip-range contain the IP address {address}"
                ))),
            };
        }
        let mut is_used_up = false;
        for pool in pools {
            let is_of =
                |(id, address): &(String, IpAddr)| *id == network.id && pool.subnet.holds(*address);
            let last = self.last.iter().position(is_of);
            let before = last
                .and_then(|at| self.last.get(at))
                .map(|(_, address)| *address);
            if let Some(address) = pool.next(&taken, before) {
                if let Some(at) = last {
                    self.last.swap_remove(at);
                }
                self.last.push((network.id.clone(), address));
                return Ok(Some((address, pool.subnet.prefix)));
            }
            is_used_up = true;
        }
        match is_used_up || (!is_v6 && network.is_default_bridge()) {
            true => Err(Error::new(
                Kind::System,
                format!(
                    "no available {} addresses on this network's address pools: {} ({})",
                    family(is_v6),
                    network.name,
                    network.id
                ),
            )),
            false => Ok(None),
        }
    }

    /// The addresses of a network that containers have.
    fn taken(&self, network: &str, is_v6: bool) -> Vec<IpAddr> {
        let endpoints = self.plans.iter().filter_map(|plan| of(plan, network));
        endpoints
            .filter_map(|endpoint| {
                bare(if is_v6 {
                    endpoint.ipv6.as_ref()
                } else {
                    endpoint.ipv4.as_ref()
                })
            })
            .collect()
    }
}

/// Whether there is no way out of it: one that is internal, or a macvlan without a parent.
pub fn is_closed(network: &Network) -> bool {
    network.is_internal() || network.has_parent() && network.option("parent").is_none()
}

pub fn is_isolated(network: &Network) -> bool {
    network.is_bridge() && !network.switch(ICC, true)
}

/// `None`: the kernel's, or that of what is below.
pub fn mtu(network: &Network) -> Option<u32> {
    let mtu = network.option(MTU)?.parse().ok();
    mtu.filter(|mtu| *mtu > 0)
}

/// Where its containers send what is for elsewhere.
pub fn gateway(network: &Network, is_v6: bool) -> Option<String> {
    let pool = network.pool(is_v6)?;
    let configs = network.record.ipam.as_ref()?.config.iter().flatten();
    let other = GATEWAYS[usize::from(is_v6)];
    let other = configs
        .filter_map(|config| config.auxiliary.as_ref()?.get(other))
        .next();
    match other.filter(|_| network.is_default_bridge()) {
        Some(other) => Some(other.clone()),
        None => pool.gateway.map(|address| address.to_string()),
    }
}

fn mode(network: &Network) -> Option<String> {
    let or = |key: &str, default: &str| network.option(key).unwrap_or(default).to_string();
    match network.driver.as_str() {
        "macvlan" => Some(or("macvlan_mode", "bridge")),
        "ipvlan" => Some(format!(
            "{}:{}",
            or("ipvlan_mode", "l2"),
            or("ipvlan_flag", "bridge")
        )),
        _ => None,
    }
}

/// Docker's: of its IPv4 address, so that it comes back with it. Locally administered.
fn mac_of(address: Option<IpAddr>, place: &str) -> String {
    let rest = match address {
        Some(IpAddr::V4(address)) => address.octets(),
        _ => u32::from_str_radix(place.get(..8).unwrap_or_default(), 16)
            .unwrap_or_default()
            .to_be_bytes(),
    };
    let mut mac = String::from("02:42");
    for byte in rest {
        mac.push(':');
        mac.push_str(&id::hex(&[byte]));
    }
    mac
}

fn sysctls(settings: &EndpointSettings) -> Option<Map<String>> {
    let text = settings.driver_opts.as_ref()?.get(SYSCTLS)?;
    let pairs = text.split(',').filter_map(|pair| pair.split_once('='));
    Some(
        pairs
            .map(|(key, value)| (key.replace(".ifname.", ".IFNAME."), value.to_string()))
            .collect(),
    )
}

/// What others find it under, as moby does (buildEndpointDNSNames).
pub fn names(container: &Container, settings: &EndpointSettings) -> Vec<String> {
    let mut names = vec![container.name()];
    names.extend(settings.aliases.iter().flatten().cloned());
    names.push(id::short(&container.id).to_string());
    names.extend(container.config.hostname.clone());
    let mut known: Vec<String> = Vec::new();
    for name in names {
        if !name.is_empty() && !known.contains(&name) {
            known.push(name);
        }
    }
    known
}

/// `name:alias`, or a name alone.
fn links(settings: &EndpointSettings) -> Option<Map<String>> {
    let links = settings.links.as_ref().filter(|links| !links.is_empty())?;
    let pair = |link: &String| {
        let (name, alias) = links::parse(link).ok()?;
        Some((alias.to_string(), name.to_string()))
    };
    Some(links.iter().filter_map(pair).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json;
    use crate::wire::network as wire;

    fn network(subnet: &str) -> Network {
        let text = format!(
            r#"{{"Name":"lab","Id":"1","Driver":"bridge","IPAM":{{"Config":[{subnet}]}}}}"#
        );
        Network::of(json::parse::<wire::Network>(&text, "test").unwrap())
    }

    #[test]
    fn what_cannot_be_in_a_network_is_refused_in_dockers_words() {
        let given = network(r#"{"Subnet":"10.5.0.0/24"}"#);
        let chosen = network(r#"{"Subnet":"10.5.0.0/24","Chosen":true}"#);
        for (name, network, settings, expected) in [
            ("lab", &given, r#"{"IPAMConfig":{"IPv4Address":"10.5.0.7"},"Aliases":["a"]}"#, ""),
            ("lab", &given, r#"{"IPAMConfig":{"IPv4Address":"","IPv6Address":""},"MacAddress":""}"#, ""),
            (
                "lab",
                &given,
                r#"{"IPAMConfig":{"IPv4Address":"10.6.0.7"}}"#,
                "no configured subnet or ip-range contain the IP address 10.6.0.7",
            ),
            (
                "lab",
                &chosen,
                r#"{"IPAMConfig":{"IPv4Address":"10.5.0.7"}}"#,
                "user specified IP address is supported only when connecting to networks with user configured subnets",
            ),
            ("lab", &given, r#"{"IPAMConfig":{"IPv4Address":"fd00::1"}}"#, "invalid IPv4 address: fd00::1"),
            ("lab", &given, r#"{"IPAMConfig":{"IPv6Address":"10.5.0.7"}}"#, "invalid IPv6 address: 10.5.0.7"),
            ("lab", &given, r#"{"MacAddress":"02:00"}"#, "invalid MAC address 02:00"),
            (
                "bridge",
                &chosen,
                r#"{"IPAMConfig":{"IPv4Address":"10.5.0.7"},"Aliases":["a"]}"#,
                "* user specified IP address is supported on user defined networks only
* network-scoped alias is supported only for containers in user defined networks
* user specified IP address is supported only when connecting to networks with user configured subnets",
            ),
            (
                "lab",
                &given,
                r#"{"DriverOpts":{"com.docker.network.endpoint.sysctls":"net.ipv4.conf.IFNAME.log_martians=1,net.ipv4.ip_forward=1"}}"#,
                "unrecognised network interface sysctl 'net.ipv4.ip_forward=1'; represent 'net.X.Y.ethN.Z=V' as 'net.X.Y.IFNAME.Z=V', 'X' must be 'ipv4', 'ipv6' or 'mpls'",
            ),
        ] {
            let settings: EndpointSettings = json::parse(settings, "test").unwrap();
            let told = match check(name, Some(network), &settings) {
                Ok(()) => String::new(),
                Err(error) => error.message.replace("invalid endpoint settings:\n", ""),
            };
            assert_eq!(told, expected);
        }
    }

    #[test]
    fn hardware_addresses_come_of_addresses() {
        let address = "10.5.0.254".parse().ok();
        assert_eq!(mac_of(address, ""), "02:42:0a:05:00:fe");
        assert_eq!(mac_of(None, "0123456789"), "02:42:01:23:45:67");
        for (text, expected) in [
            ("02:42:0a:05:00:fe", true),
            ("02-42-0A-05-00-FE", true),
            ("02:42:0a:05:00", false),
            ("02:42:0a:05:00:+e", false),
            ("02:42:0a:05:00:feed", false),
        ] {
            assert_eq!(is_mac(text), expected, "{text}");
        }
    }
}
