//! Networks: what they are called, which addresses they have, and which container has which.
//!
//! A network is a record (`record`); what is to be made of it in the kernel, room `net` makes. The
//! engine alone gives out addresses and ports of the host (`ipam`, `ports`), and writes them into
//! the plan of a container (`plan`) before its shim is launched. The plans of the containers that are
//! up are all that is known of what is taken, so there is nothing that could get out of step: an
//! engine that starts reads them again.

pub mod connect;
pub mod create;
mod defaults;
pub mod endpoint;
pub mod inspect;
pub mod ipam;
mod kernel;
mod plan;
mod pools;
pub mod ports;
mod record;
pub mod remove;
mod shown;
pub mod subnet;
pub mod wishes;

use crate::engine::container::Container;
use crate::engine::{Engine, lock};
use crate::error::{Error, Result};
use crate::id;
use crate::net::link::closed_parent;
use crate::net::plan::Plan;
use crate::wire::network as wire;
use ipam::Pool;
use sha2::{Digest, Sha256};
use std::net::IpAddr;
use std::sync::Arc;

/// The network of containers that ask for none.
pub const BRIDGE: &str = "bridge";

/// Docker's options of a bridge network.
pub const NAME: &str = "com.docker.network.bridge.name";
pub const ICC: &str = "com.docker.network.bridge.enable_icc";
pub const MASQUERADE: &str = "com.docker.network.bridge.enable_ip_masquerade";
pub const HOST_IP: &str = "com.docker.network.bridge.host_binding_ipv4";
pub const MTU: &str = "com.docker.network.driver.mtu";

/// All networks, and what is taken of them.
#[derive(Default)]
pub struct Networks {
    all: Vec<Arc<Network>>,
    /// Of the containers that are up, or about to be. There from before anyone could see an address
    /// in use until after the last one could.
    plans: Vec<Arc<Plan>>,
    /// The ids of those whose bridge is there.
    linked: Vec<String>,
    /// Whether there are rules of the packet filter to be watched, and somebody who does.
    is_filtered: bool,
    is_watched: bool,
    /// The kernel takes no rules, and that has been said.
    is_unfiltered: bool,
    /// The address that was given last, of each network's subnets.
    last: Vec<(String, IpAddr)>,
}

pub struct Network {
    pub id: String,
    pub name: String,
    pub driver: String,
    pub pools: Vec<Pool>,
    pub record: wire::Network,
}

/// Clients want an id of 64 digits. One that comes of the name stays what it is: those of the
/// networks that are always there.
pub fn id(name: &str) -> String {
    digest(&["built-in network ", name])
}

/// 64 digits that come of `parts`.
pub fn digest(parts: &[&str]) -> String {
    id::hex(&Sha256::digest(parts.concat()))
}

impl Network {
    fn of(record: wire::Network) -> Network {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let configs = record.ipam.iter().flat_map(|ipam| ipam.config.iter());
        Network {
            id: text(&record.id),
            name: text(&record.name),
            driver: text(&record.driver),
            pools: configs.flatten().filter_map(Pool::of).collect(),
            record,
        }
    }

    pub fn option(&self, key: &str) -> Option<&str> {
        let options = self.record.options.as_ref()?;
        options.get(key).map(String::as_str)
    }

    fn switch(&self, key: &str, default: bool) -> bool {
        self.option(key).map_or(default, is_true)
    }

    pub fn is_internal(&self) -> bool {
        self.record.internal == Some(true)
    }

    /// One of those that are always there.
    pub fn is_built_in(&self) -> bool {
        self.id == id(&self.name)
    }

    /// Containers of the others find each other by name.
    pub fn is_default_bridge(&self) -> bool {
        self.id == id(BRIDGE)
    }

    /// Its links stand upon one of the host's.
    pub fn has_parent(&self) -> bool {
        matches!(self.driver.as_str(), "macvlan" | "ipvlan")
    }

    pub fn is_bridge(&self) -> bool {
        self.driver == BRIDGE
    }

    /// The host's link: a bridge of ours, or what a macvlan or ipvlan is made upon.
    pub fn link(&self) -> String {
        let given = self.option(if self.is_bridge() { NAME } else { "parent" });
        match given {
            Some(name) => name.to_string(),
            None if self.is_bridge() => format!("br-{}", id::short(&self.id)),
            None => closed_parent(&self.id),
        }
    }

    pub fn pool(&self, is_v6: bool) -> Option<&Pool> {
        self.pools.iter().find(|pool| pool.subnet.is_v6 == is_v6)
    }
}

/// As Go reads a boolean.
fn is_true(text: &str) -> bool {
    matches!(text, "1" | "t" | "T" | "true" | "TRUE" | "True")
}

impl Networks {
    fn get(&self, id: &str) -> Option<&Arc<Network>> {
        self.all.iter().find(|network| network.id == id)
    }

    /// The one that `name` means: a full id, a name, or the beginning of one id.
    fn find(&self, name: &str) -> Result<Arc<Network>> {
        let exact = self.get(name);
        let exact = exact.or_else(|| self.all.iter().find(|network| network.name == name));
        if let Some(network) = exact {
            return Ok(Arc::clone(network));
        }
        let mut matches = self
            .all
            .iter()
            .filter(|network| !name.is_empty() && network.id.starts_with(name));
        match (matches.next(), matches.next()) {
            (Some(network), None) => Ok(Arc::clone(network)),
            (Some(_), Some(_)) => Err(Error::invalid(format!(
                "network {name} is ambiguous ({} matches found based on ID prefix)",
                matches.count() + 2
            ))),
            _ => Err(Error::not_found(format!("network {name} not found"))),
        }
    }

    /// The containers that are in the network `id` now.
    fn members(&self, id: &str) -> Vec<Arc<Plan>> {
        let is_in = |plan: &&Arc<Plan>| endpoint::of(plan, id).is_some();
        self.plans.iter().filter(is_in).cloned().collect()
    }

    fn plan(&self, container: &str) -> Option<Arc<Plan>> {
        let mut plans = self.plans.iter();
        plans
            .find(|plan| plan.id.as_deref() == Some(container))
            .cloned()
    }

    /// `None`: it has none any more.
    fn set_plan(&mut self, container: &str, plan: Option<Arc<Plan>>) {
        self.plans
            .retain(|plan| plan.id.as_deref() != Some(container));
        self.plans.extend(plan);
    }
}

impl Engine {
    pub fn find_network(&self, name: &str) -> Result<Arc<Network>> {
        lock(&self.networks).find(name)
    }

    pub(super) fn network_by_id(&self, id: &str) -> Option<Arc<Network>> {
        lock(&self.networks).get(id).cloned()
    }

    /// Where containers go that name no network.
    pub fn default_network(&self) -> &'static str {
        match self.options.has_bridge() {
            true => BRIDGE,
            false => "none",
        }
    }

    /// The host's addresses in the default bridge network, if it has any.
    pub(super) fn bridge_gateways(&self) -> Option<Vec<String>> {
        let bridge = self.network_by_id(&id(BRIDGE))?;
        let gateways = bridge.pools.iter().filter_map(|pool| pool.gateway);
        let gateways: Vec<String> = gateways.map(|address| address.to_string()).collect();
        Some(gateways).filter(|all| !all.is_empty())
    }

    /// How a container is in its networks now, if it is up and in any.
    pub fn network_plan(&self, container: &Container) -> Option<Arc<Plan>> {
        lock(&self.networks).plan(&container.id)
    }

    /// What it had of addresses and ports is free.
    pub(super) fn release_network(&self, container: &Container) {
        lock(&self.networks).set_plan(&container.id, None);
    }
}

#[cfg(test)]
mod tests;
