//! remove: a network in which nobody is, or all of them (`prune`).

use crate::engine::filter::Filters;
use crate::engine::network::{Network, digest, endpoint};
use crate::engine::prune::is_before;
use crate::engine::{Engine, lock};
use crate::error::{Context, Error, Kind, Result};
use crate::id;
use crate::net::plan::Plan;
use std::sync::Arc;

pub const PRUNE_FILTERS: &[&str] = &["label", "label!", "until"];

impl Engine {
    pub fn network_remove(&self, name: &str) -> Result<()> {
        let _changing = lock(&self.network_changes);
        let network = self.find_network(name)?;
        if network.is_built_in() {
            return Err(Error::new(
                Kind::Denied,
                format!(
                    "{} is a pre-defined network and cannot be removed",
                    network.name
                ),
            ));
        }
        self.take_apart_network(&network)
            .context(|| "error while removing network")
    }

    fn take_apart_network(&self, network: &Arc<Network>) -> Result<()> {
        {
            let mut networks = lock(&self.networks);
            let members = networks.members(&network.id);
            if !members.is_empty() {
                let members: Vec<String> = members
                    .iter()
                    .map(|plan| describe(plan, &network.id))
                    .collect();
                return Err(Error::new(
                    Kind::Denied,
                    format!(
                        "network {} has active endpoints ({})",
                        network.name,
                        members.join(", ")
                    ),
                ));
            }
            // From now on nobody joins it.
            networks.all.retain(|other| other.id != network.id);
            networks.last.retain(|(id, _)| *id != network.id);
        }
        if let Err(error) = self.forget_network(&network.id) {
            lock(&self.networks).all.push(Arc::clone(network));
            return Err(error);
        }
        if let Err(error) = self.remove_link(network) {
            self.note(format_args!("network {}: {error}", network.name));
        }
        self.sync_firewall();
        self.tell_of_network(network, "destroy", None);
        Ok(())
    }

    /// The names of those that went.
    pub fn network_prune(&self, filters: &Filters) -> Result<Vec<String>> {
        let until = filters.until()?;
        let _changing = lock(&self.network_changes);
        let mut removed = Vec::new();
        let all = lock(&self.networks).all.clone();
        for network in all {
            let record = &network.record;
            if network.is_built_in()
                || record.config_only == Some(true)
                || !is_before(record.created.as_deref().unwrap_or_default(), until)
                || !filters.allows_labels(record.labels.as_ref())
            {
                continue;
            }
            match self.take_apart_network(&network) {
                Ok(()) => removed.push(network.name.clone()),
                // Somebody is in it.
                Err(error) if error.kind == Kind::Denied => {}
                Err(error) => self.note(error),
            }
        }
        self.tell_prune("network", 0);
        Ok(removed)
    }
}

/// A member as Docker names it in a refusal.
fn describe(plan: &Plan, network: &str) -> String {
    let names = endpoint::of(plan, network).and_then(|endpoint| endpoint.names.as_ref());
    let container = plan.id.as_deref().unwrap_or_default();
    let name = names
        .and_then(|names| names.first())
        .map_or(container, String::as_str);
    let endpoint = digest(&[container, network]);
    format!("name:{name:?} id:{:?}", id::short(&endpoint))
}
