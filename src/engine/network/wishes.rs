//! In which networks a container is to be: what create was asked for, by name of network.

use crate::engine::Engine;
use crate::engine::container::Container;
use crate::engine::network::{BRIDGE, Network, endpoint, id};
use crate::engine::record;
use crate::engine::validate::modes;
use crate::error::{Context, Error, Result};
use crate::json::map::Map;
use crate::wire::container::{Config, EndpointSettings, HostConfig, NetworkingConfig};
use std::sync::Arc;

/// Of a container from before there were others: its mode alone.
pub fn of_mode(host: &HostConfig) -> Map<EndpointSettings> {
    let mode = host.network_mode.as_deref();
    let mut all = Map::new();
    if let Some(name) = mode.filter(|_| modes::donor(mode).is_none()) {
        let is_built_in = matches!(name, BRIDGE | "host" | "none");
        let settings = EndpointSettings {
            network_id: is_built_in.then(|| id(name)),
            ..EndpointSettings::default()
        };
        all.insert(name.to_string(), settings);
    }
    all
}

impl Engine {
    /// What a request for a container asks for. A network that is not there yet may be at the start.
    pub(in crate::engine) fn wishes(
        &self,
        config: &Config,
        host: &HostConfig,
        networking: Option<NetworkingConfig>,
    ) -> Result<Map<EndpointSettings>> {
        let mode = host.network_mode.as_deref().unwrap_or_default();
        let asked = networking.and_then(|networking| networking.endpoints_config);
        let mut all = Map::new();
        for (name, settings) in asked.unwrap_or_default() {
            let name = if name == "default" {
                mode.to_string()
            } else {
                name
            };
            self.wish(&mut all, &name, settings)?;
        }
        if modes::donor(Some(mode)).is_some() {
            return match all.is_empty() || all.len() == 1 && all.contains_key(mode) {
                true => Ok(Map::new()),
                false => Err(shared()),
            };
        }
        let own = self
            .find_network(mode)
            .map_or(mode.to_string(), |network| network.name.clone());
        if !all.contains_key(&own) {
            self.wish(&mut all, mode, EndpointSettings::default())?;
        }
        if matches!(own.as_str(), "host" | "none") && all.len() > 1 {
            return Err(if own == "host" { shared() } else { private() });
        }
        let old = config.mac_address.clone().filter(|mac| !mac.is_empty());
        if let Some(mac) = old {
            if !endpoint::is_mac(&mac) {
                return Err(Error::invalid(format!("invalid MAC address: {mac}")));
            }
            let own = all.value(&own).mac_address.get_or_insert_default();
            if !own.is_empty() && *own != mac {
                return Err(Error::invalid(
                    "the container-wide MAC address must match the endpoint-specific MAC address for the main network, or be left empty",
                ));
            }
            *own = mac;
        }
        Ok(all)
    }

    fn wish(
        &self,
        all: &mut Map<EndpointSettings>,
        name: &str,
        mut settings: EndpointSettings,
    ) -> Result<()> {
        // By the id that it says, if it says one.
        let given = settings.network_id.take().filter(|id| !id.is_empty());
        let network = self.find_network(given.as_deref().unwrap_or(name)).ok();
        let name = network
            .as_ref()
            .map_or(name, |network| &network.name)
            .to_string();
        endpoint::check(&name, network.as_deref(), &settings)
            .context(|| format!("invalid config for network {name}"))?;
        all.insert(name, stripped(settings, network.as_deref()));
        Ok(())
    }
}

/// What is asked, without what only an answer has: clients send one back that they have got.
pub fn stripped(settings: EndpointSettings, network: Option<&Network>) -> EndpointSettings {
    EndpointSettings {
        ipam_config: settings.ipam_config,
        links: settings.links,
        aliases: settings.aliases,
        mac_address: settings.mac_address.filter(|mac| !mac.is_empty()),
        driver_opts: settings.driver_opts,
        gw_priority: settings.gw_priority,
        network_id: network.map(|network| network.id.clone()),
        ..EndpointSettings::default()
    }
}

/// The sentences are moby's (runconfig/errors.go).
pub fn shared() -> Error {
    Error::invalid(
        "container sharing network namespace with another container or host cannot be connected to any other network",
    )
}

pub fn private() -> Error {
    Error::invalid(
        "container cannot be connected to multiple networks with one of the networks in private (none) mode",
    )
}

impl Engine {
    /// Replace what a container asks for, durably.
    pub(super) fn set_wishes(
        &self,
        container: &Container,
        wishes: Map<EndpointSettings>,
    ) -> Result<()> {
        let dir = self.data_dir(&container.id);
        record::write_networks(&dir, &wishes, !container.is_disposable())?;
        container.update(|state| state.networks = Arc::new(wishes));
        Ok(())
    }
}
