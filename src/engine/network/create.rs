//! create: a request becomes a network's record, and where it is a bridge, a link.

use crate::engine::network::subnet::{self, Subnet};
use crate::engine::network::{BRIDGE, HOST_IP, ICC, MASQUERADE, MTU, NAME, Network, defaults};
use crate::engine::{Engine, lock};
use crate::error::{Error, Kind, Result};
use crate::id;
use crate::net::{bridge, link};
use crate::time::Time;
use crate::wire::network::{CreateResponse, Ipam, IpamConfig, Network as Record};
use std::net::IpAddr;
use std::sync::Arc;

/// What containers can be joined to.
const DRIVERS: [&str; 3] = ["bridge", "ipvlan", "macvlan"];

/// The longest name of a link (IFNAMSIZ, without its zero).
const LINK_BYTES_MAX: usize = 15;

impl Engine {
    pub fn network_create(&self, request: Record) -> Result<CreateResponse> {
        let _changing = lock(&self.network_changes);
        let mut record = request;
        self.check_request(&mut record)?;
        let id = id::random()?;
        record.id = Some(id.clone());
        record.created = Some(Time::now().rfc3339());
        let others = lock(&self.networks).all.clone();
        check_free_subnets(&record, &others)?;
        self.complete_ipam(&mut record, &others)?;

        record.is_found = None;
        let mut network = Network::of(record);
        check_options(&network, &others)?;
        let is_there = match network.is_bridge() {
            true if network.option(NAME).is_some() => bridge::addresses(&network.link())?.is_some(),
            true => false,
            false => link::is_there(&network.link())?,
        };
        network.record.is_found = is_there.then_some(true);
        let network = Arc::new(network);
        self.write_network(&network.record)?;
        lock(&self.networks).all.push(Arc::clone(&network));
        if let Err(error) = self.make_link(&network) {
            lock(&self.networks).all.retain(|other| other.id != id);
            // The first error is the one to tell.
            let _ = self
                .forget_network(&id)
                .and_then(|()| self.remove_link(&network));
            return Err(error);
        }
        self.tell_of_network(&network, "create", None);
        Ok(CreateResponse {
            id: Some(id),
            warning: Some(String::new()),
        })
    }

    /// What can be said without looking at other networks, and what holds where nothing was said.
    fn check_request(&self, record: &mut Record) -> Result<()> {
        let name = record.name.clone().unwrap_or_default();
        if name.trim().is_empty() {
            return Err(Error::invalid("invalid name: name is empty"));
        }
        if name.contains('/') || name.chars().any(char::is_control) {
            return Err(Error::invalid(format!(
                "invalid network name {name:?}: '/' and control characters cannot be part of it"
            )));
        }
        if matches!(
            name.as_str(),
            "default" | "bridge" | "host" | "none" | "container"
        ) || name.starts_with("container:")
        {
            return Err(Error::new(
                Kind::Denied,
                format!("operation is not permitted on predefined {name} network"),
            ));
        }
        if lock(&self.networks).all.iter().any(|n| n.name == name) {
            return Err(Error::conflict(format!(
                "network with name {name} already exists"
            )));
        }
        let scope = record.scope.take().unwrap_or_default();
        if record.ingress == Some(true) || scope == "swarm" {
            return Err(Error::unsupported(
                "This node is not a swarm manager: there are no networks of a swarm here",
            ));
        }
        self.lend(record)?;
        let driver = record.driver.get_or_insert_default();
        if driver.is_empty() || driver == "default" {
            *driver = BRIDGE.to_string();
        }
        if record.config_only == Some(true) {
            *driver = "null".to_string();
        } else if matches!(driver.as_str(), "host" | "null") {
            return Err(Error::new(
                Kind::Denied,
                format!("only one instance of \"{driver}\" network is allowed"),
            ));
        } else if !DRIVERS.contains(&driver.as_str()) {
            return Err(Error::not_found(format!(
                "could not find plugin {driver} in v1 plugin registry: plugin not found (there are {})",
                DRIVERS.join(", ")
            )));
        }
        record.scope = Some("local".to_string());
        record.enable_ipv4.get_or_insert(true);
        let has_v6 = *record.enable_ipv6.get_or_insert(false);
        if record.enable_ipv4 == Some(false) && !has_v6 {
            return Err(Error::invalid(
                "IPv4 or IPv6 must be enabled: a network without addresses cannot be made",
            ));
        }
        for switch in [
            &mut record.internal,
            &mut record.attachable,
            &mut record.config_only,
        ] {
            switch.get_or_insert(false);
        }
        record.ingress = Some(false);
        record.labels.get_or_insert_default();
        let options = record.options.get_or_insert_default();
        if record.driver.as_deref() == Some(BRIDGE) {
            for (key, value) in self
                .options
                .network_options
                .get(BRIDGE)
                .into_iter()
                .flatten()
            {
                options.add(key, value);
            }
        }
        check_ipam(record)
    }

    /// Take what another network was made to lend (`--config-from`).
    fn lend(&self, record: &mut Record) -> Result<()> {
        let reference = record
            .config_from
            .as_ref()
            .and_then(|from| from.network.clone());
        let Some(from) = reference.filter(|name| !name.is_empty()) else {
            record.config_from = None;
            return Ok(());
        };
        let lender = self.find_network(&from)?;
        if lender.record.config_only != Some(true) {
            return Err(Error::invalid(format!(
                "network {from} is not a configuration-only network"
            )));
        }
        let theirs = lender.record.clone();
        record.ipam = theirs.ipam;
        record.enable_ipv4 = theirs.enable_ipv4;
        record.enable_ipv6 = theirs.enable_ipv6;
        record.internal = theirs.internal;
        record.options = theirs.options;
        Ok(())
    }

    /// A subnet for each family that has none, and a gateway for each subnet.
    fn complete_ipam(&self, record: &mut Record, others: &[Arc<Network>]) -> Result<()> {
        if record.config_only == Some(true) {
            return Ok(());
        }
        let wanted = [
            (false, record.enable_ipv4 == Some(true)),
            (true, record.enable_ipv6 == Some(true)),
        ];
        // An ipvlan of layer 3 routes without a gateway.
        let has_gateway = record
            .options
            .as_ref()
            .is_none_or(|options| options.get("ipvlan_mode").is_none_or(|mode| mode == "l2"));
        let ipam = record.ipam.get_or_insert_default();
        let configs = ipam.config.get_or_insert_default();
        for (is_v6, is_wanted) in wanted {
            let is_of = |config: &IpamConfig| subnet_of(config).is_some_and(|s| s.is_v6 == is_v6);
            if is_wanted && !configs.iter().any(is_of) {
                configs.push(defaults::chosen(&self.options, others, is_v6)?);
            }
        }
        for config in configs {
            let Some(subnet) = subnet_of(config) else {
                continue;
            };
            if config.gateway.is_none() && has_gateway {
                config.gateway = first_address(config, subnet);
            }
            if !has_gateway {
                config.gateway = None;
            }
        }
        Ok(())
    }
}

/// The first that is not kept for something else.
fn first_address(config: &IpamConfig, subnet: Subnet) -> Option<String> {
    let (first, last) = subnet.usable();
    let kept = config.auxiliary.as_ref();
    let is_kept = |address: &IpAddr| {
        kept.is_some_and(|kept| {
            kept.values()
                .any(|text| text.parse().ok() == Some(*address))
        })
    };
    let mut all = (first..=last).map(|number| subnet.address(number));
    all.find(|address| !is_kept(address))
        .map(|address| address.to_string())
}

fn subnet_of(config: &IpamConfig) -> Option<Subnet> {
    subnet::parse(config.subnet.as_deref()?).map(|(_, subnet)| subnet)
}

/// The sentences are moby's (api/types/network, ipam.go), all of them at once.
fn check_ipam(record: &mut Record) -> Result<()> {
    let ipam = record.ipam.get_or_insert_with(Ipam::default);
    let driver = ipam.driver.get_or_insert_default();
    if driver.is_empty() {
        *driver = "default".to_string();
    }
    if !matches!(driver.as_str(), "default" | "null") {
        return Err(Error::invalid(format!(
            "could not find IPAM driver {driver}: there are default and null"
        )));
    }
    let given = ipam.config.get_or_insert_default();
    let is_empty = |config: &IpamConfig| *config == IpamConfig::default();
    given.retain_mut(|config| {
        for text in [
            &mut config.subnet,
            &mut config.ip_range,
            &mut config.gateway,
        ] {
            if text.as_deref() == Some("") {
                *text = None;
            }
        }
        config.auxiliary = config.auxiliary.take().filter(|map| !map.is_empty());
        config.is_chosen = None;
        !is_empty(config)
    });
    let mut wrong = Vec::new();
    for config in given.iter() {
        check_config(config, &mut wrong);
    }
    let families = [
        (record.enable_ipv4 == Some(false), false),
        (record.enable_ipv6 == Some(false), true),
    ];
    for (is_off, is_v6) in families {
        if is_off {
            given.retain(|config| subnet_of(config).is_none_or(|subnet| subnet.is_v6 != is_v6));
        }
    }
    match wrong.as_slice() {
        [] => Ok(()),
        [one] => Err(Error::invalid(format!("invalid network config:\n{one}"))),
        _ => Err(Error::invalid(format!(
            "invalid network config:\n* {}",
            wrong.join("\n* ")
        ))),
    }
}

fn check_config(config: &IpamConfig, wrong: &mut Vec<String>) {
    let text = config.subnet.as_deref().unwrap_or_default();
    let Some((address, subnet)) = subnet::parse(text) else {
        wrong.push(match text {
            "" => "invalid subnet: a gateway, a range or an auxiliary address needs the subnet that it is in".to_string(),
            text => format!("invalid subnet {text}: invalid CIDR block notation"),
        });
        return;
    };
    if subnet::number(address) != subnet.first {
        wrong.push(format!("invalid subnet {text}: it should be {subnet}"));
    }
    let family = if subnet.is_v6 { "IPv6" } else { "IPv4" };
    if let Some(text) = &config.ip_range {
        let mut bad = |why: String| wrong.push(format!("invalid ip-range {text}: {why}"));
        match subnet::parse(text) {
            None => bad("invalid CIDR block notation".to_string()),
            Some((_, range)) if range.is_v6 != subnet.is_v6 => {
                bad(format!("parent subnet is an {family} block"));
            }
            Some((address, range)) => {
                if range.prefix < subnet.prefix {
                    bad(format!(
                        "CIDR block is bigger than its parent subnet {subnet}"
                    ));
                }
                if subnet::number(address) != range.first {
                    bad(format!("it should be {range}"));
                }
                if !range.overlaps(&subnet) {
                    bad(format!("parent subnet {subnet} doesn't contain ip-range"));
                }
            }
        }
    }
    let auxiliary = config.auxiliary.iter().flatten();
    let named = auxiliary.map(|(name, text)| (format!("auxiliary address {name}"), text));
    let gateway = config
        .gateway
        .iter()
        .map(|text| (format!("gateway {text}"), text));
    for (what, text) in gateway.chain(named) {
        let why = match text.parse::<IpAddr>() {
            Err(_) => "invalid address".to_string(),
            Ok(address) if address.is_ipv6() != subnet.is_v6 => {
                format!("parent subnet is an {family} block")
            }
            Ok(address) if !subnet.holds(address) => {
                format!("parent subnet {subnet} doesn't contain this address")
            }
            Ok(_) => continue,
        };
        wrong.push(format!("invalid {what}: {why}"));
    }
}

fn check_free_subnets(record: &Record, others: &[Arc<Network>]) -> Result<()> {
    let configs = record
        .ipam
        .iter()
        .flat_map(|ipam| ipam.config.iter().flatten());
    let asked: Vec<Subnet> = configs.filter_map(subnet_of).collect();
    if record.config_only == Some(true) {
        return Ok(());
    }
    for (at, subnet) in asked.iter().enumerate() {
        let by_other = others.iter().find(|other| {
            let mut pools = other.pools.iter();
            other.record.config_only != Some(true) && pools.any(|pool| pool.subnet.overlaps(subnet))
        });
        let by_itself = asked.iter().take(at).any(|other| other.overlaps(subnet));
        let whose = match by_other {
            Some(other) => format!(" ({subnet} is used by network {})", other.name),
            None if by_itself => format!(" ({subnet} is asked for twice)"),
            None => continue,
        };
        return Err(Error::new(
            Kind::Denied,
            format!(
                "invalid pool request: Pool overlaps with other one on this address space{whose}"
            ),
        ));
    }
    Ok(())
}

/// What a driver's options may be; those of strangers are kept and mean nothing, as in Docker.
fn check_options(network: &Network, others: &[Arc<Network>]) -> Result<()> {
    let bad = |key: &str, value: &str, wanted: &str| {
        Err(Error::invalid(format!(
            "invalid value {value:?} of option {key}: it must be {wanted}"
        )))
    };
    for (key, value) in network.record.options.iter().flatten() {
        let is_switch = matches!(
            value.as_str(),
            "1" | "t"
                | "T"
                | "true"
                | "TRUE"
                | "True"
                | "0"
                | "f"
                | "F"
                | "false"
                | "FALSE"
                | "False"
        );
        match key.as_str() {
            ICC | MASQUERADE if !is_switch => return bad(key, value, "true or false"),
            MTU if value
                .parse::<u32>()
                .ok()
                .is_none_or(|mtu| mtu != 0 && mtu < 68 || mtu > 65_535) =>
            {
                return bad(key, value, "a number of bytes from 68 to 65535");
            }
            HOST_IP if value.parse::<std::net::Ipv4Addr>().is_err() => {
                return bad(key, value, "an IPv4 address");
            }
            "macvlan_mode"
                if !["bridge", "private", "vepa", "passthru"].contains(&value.as_str()) =>
            {
                return bad(key, value, "bridge, private, vepa or passthru");
            }
            "ipvlan_mode" if !["l2", "l3", "l3s"].contains(&value.as_str()) => {
                return bad(key, value, "l2, l3 or l3s");
            }
            "ipvlan_flag" if !["bridge", "private", "vepa"].contains(&value.as_str()) => {
                return bad(key, value, "bridge, private or vepa");
            }
            "com.docker.network.bridge.gateway_mode_ipv4"
            | "com.docker.network.bridge.gateway_mode_ipv6"
                if !matches!(value.as_str(), "" | "nat") =>
            {
                return Err(Error::unsupported(format!(
                    "gateway mode {value:?} is not supported: there is nat"
                )));
            }
            "com.docker.network.bridge.inhibit_ipv4"
            | "com.docker.network.bridge.trusted_host_interfaces"
                if !matches!(value.as_str(), "" | "false" | "0") =>
            {
                return Err(Error::unsupported(format!("option {key} is not supported")));
            }
            _ => {}
        }
    }
    check_link(network, others)
}

fn check_link(network: &Network, others: &[Arc<Network>]) -> Result<()> {
    let link = network.link();
    let is_name = |name: &str| {
        let is_odd = |c: char| c.is_whitespace() || matches!(c, '/' | ':');
        name.len() <= LINK_BYTES_MAX && !name.contains(is_odd) && !matches!(name, "." | "..")
    };
    if !is_name(&link) {
        return Err(Error::invalid(format!(
            "invalid interface name {link:?}: at most {LINK_BYTES_MAX} bytes, no blanks, no '/' and no ':'"
        )));
    }
    if network.is_bridge() {
        if link.is_empty() {
            return Err(Error::invalid(format!("option {NAME} must name a bridge")));
        }
        if let Some(other) = others.iter().find(|o| o.is_bridge() && o.link() == link) {
            return Err(Error::new(
                Kind::Denied,
                format!(
                    "networks have the same bridge name: {link} is the bridge of network {}",
                    other.name
                ),
            ));
        }
    }
    Ok(())
}
