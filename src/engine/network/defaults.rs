//! The networks that are always there.

use crate::engine::Engine;
use crate::engine::config::Options;
use crate::engine::network::{
    BRIDGE, HOST_IP, ICC, MASQUERADE, MTU, NAME, Network, id, pools, subnet,
};
use crate::error::{Error, Result};
use crate::json;
use crate::json::map::Map;
use crate::net::bridge;
use crate::time::{NEVER, Time};
use crate::wire::network::{Ipam, IpamConfig, Network as Record};
use std::sync::Arc;

/// The link of the default bridge network.
const LINK: &str = "tug0";

/// Where containers of the default bridge network send what is for elsewhere, if that is not the
/// bridge: Docker's names of the addresses that are kept for it.
pub const GATEWAYS: [&str; 2] = ["DefaultGatewayIPv4", "DefaultGatewayIPv6"];

/// `host` and `none`, and what the bridge begins with.
pub fn built_in(name: &str, driver: &str) -> Record {
    let text = |text: &str| Some(text.to_string());
    Record {
        name: text(name),
        id: Some(id(name)),
        created: text(NEVER),
        scope: text("local"),
        driver: text(driver),
        enable_ipv4: Some(true),
        enable_ipv6: Some(false),
        ipam: Some(Ipam {
            driver: text("default"),
            options: None,
            config: Some(Vec::new()),
        }),
        ..Record::default()
    }
}

impl Engine {
    /// As the engine's options have it. Its subnets are chosen once and kept, because containers and
    /// people remember them.
    pub(super) fn default_bridge(
        &self,
        stored: Option<Record>,
        others: &[Arc<Network>],
    ) -> Network {
        let options = &self.options;
        let old = json::to_string(stored.as_ref().unwrap_or(&Record::default()));
        let mut record = built_in(BRIDGE, BRIDGE);
        record.created = match &stored {
            Some(stored) => stored.created.clone(),
            None => Some(Time::now().rfc3339()),
        };
        record.enable_ipv6 = Some(options.ipv6);
        record.options = Some(bridge_options(options));
        record.is_found = options.bridge.as_ref().map(|_| true);
        let known = stored.and_then(|record| record.ipam?.config);
        let mut configs = Vec::new();
        for is_v6 in [false, true]
            .into_iter()
            .take(1 + usize::from(options.ipv6))
        {
            let known = known.iter().flatten();
            let known = known.clone().find(|config| is_chosen(config, is_v6));
            match config(options, known, others, is_v6) {
                Ok(config) => configs.push(config),
                // The engine has other work than this network.
                Err(error) => self.note(format_args!("network {BRIDGE}: {error}")),
            }
        }
        if let Some(ipam) = &mut record.ipam {
            ipam.config = Some(configs);
        }
        if json::to_string(&record) != old
            && let Err(error) = self.write_network(&record)
        {
            self.note(format_args!("network {BRIDGE}: {error}"));
        }
        Network::of(record)
    }
}

fn is_chosen(config: &IpamConfig, is_v6: bool) -> bool {
    let subnet = config.subnet.as_deref().and_then(subnet::parse);
    config.is_chosen == Some(true) && subnet.is_some_and(|(_, subnet)| subnet.is_v6 == is_v6)
}

fn bridge_options(options: &Options) -> Map<String> {
    let switch = |on: bool| if on { "true" } else { "false" }.to_string();
    let mut all = Map::from([
        (
            "com.docker.network.bridge.default_bridge".to_string(),
            switch(true),
        ),
        (
            NAME.to_string(),
            options.bridge.clone().unwrap_or_else(|| LINK.to_string()),
        ),
        (ICC.to_string(), switch(options.icc)),
        (MASQUERADE.to_string(), switch(options.ip_masq)),
        (HOST_IP.to_string(), options.ip.clone()),
        (MTU.to_string(), options.mtu.to_string()),
    ]);
    all.extend(
        options
            .network_options
            .get(BRIDGE)
            .cloned()
            .unwrap_or_default(),
    );
    all
}

/// One family of the default bridge. `known` is what was chosen for it before.
fn config(
    options: &Options,
    known: Option<&IpamConfig>,
    others: &[Arc<Network>],
    is_v6: bool,
) -> Result<IpamConfig> {
    let (bip, range, gateway) = match is_v6 {
        false => (&options.bip, &options.fixed_cidr, &options.default_gateway),
        true => (
            &options.bip6,
            &options.fixed_cidr_v6,
            &options.default_gateway_v6,
        ),
    };
    let found = found(options, is_v6)?;
    let given = bip.as_ref().or(found.as_ref()).or(range.as_ref());
    let mut config = match given.and_then(|text| subnet::parse(text)) {
        Some((address, whole)) => IpamConfig {
            subnet: Some(whole.to_string()),
            // Where only the subnet was said, it is the first.
            gateway: Some(match subnet::number(address) == whole.first {
                true => whole.address(whole.usable().0).to_string(),
                false => address.to_string(),
            }),
            ..IpamConfig::default()
        },
        None => match known {
            Some(known) => IpamConfig {
                subnet: known.subnet.clone(),
                gateway: known.gateway.clone(),
                is_chosen: Some(true),
                ..IpamConfig::default()
            },
            None => chosen(options, others, is_v6)?,
        },
    };
    config.ip_range = range
        .clone()
        .filter(|range| config.subnet.as_ref() != Some(range));
    config.auxiliary = gateway
        .clone()
        .map(|gateway| Map::from([(GATEWAYS[usize::from(is_v6)].to_string(), gateway)]));
    Ok(config)
}

/// The address of a bridge that is there already (`--bridge`).
fn found(options: &Options, is_v6: bool) -> Result<Option<String>> {
    let Some(link) = &options.bridge else {
        return Ok(None);
    };
    let Some(addresses) = bridge::addresses(link)? else {
        return Err(Error::invalid(format!(
            "bridge {link} is not there: make it, or leave --bridge away for one of our own"
        )));
    };
    let mut addresses = addresses.iter();
    let address = addresses.find(|address| address.ip.is_ipv6() == is_v6);
    Ok(address.map(|address| format!("{}/{}", address.ip, address.prefix)))
}

/// A subnet that nobody has, with its first address for the bridge.
pub fn chosen(options: &Options, others: &[Arc<Network>], is_v6: bool) -> Result<IpamConfig> {
    let subnet = pools::choose(options, others, is_v6)?;
    Ok(IpamConfig {
        subnet: Some(subnet.to_string()),
        gateway: Some(subnet.address(subnet.usable().0).to_string()),
        is_chosen: Some(true),
        ..IpamConfig::default()
    })
}
