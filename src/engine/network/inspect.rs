//! list and inspect: networks as the API has them.

use crate::engine::filter::Filters;
use crate::engine::network::{Network, digest, endpoint};
use crate::engine::{Engine, lock};
use crate::error::{Error, Result};
use crate::json;
use crate::json::object::{self, Object};
use std::sync::Arc;

pub const FILTERS: &[&str] = &["dangling", "driver", "id", "label", "name", "scope", "type"];

impl Engine {
    /// In JSON (API, Network). A list does not say who is in them.
    pub fn network_list(&self, filters: &Filters) -> Result<String> {
        let (ids, names) = (filters.patterns("id"), filters.patterns("name"));
        let dangling = filters.boolean("dangling")?;
        let kinds = filters.get("type");
        if let Some(kind) = kinds
            .iter()
            .find(|kind| !matches!(kind.as_str(), "builtin" | "custom"))
        {
            return Err(Error::invalid(format!("invalid filter: 'type'='{kind}'")));
        }
        let networks = lock(&self.networks);
        let is_listed = |network: &&Arc<Network>| {
            let is_built_in = network.is_built_in();
            let is_idle = || networks.members(&network.id).is_empty();
            ids.allow(&network.id)
                && names.allow(&network.name)
                // Docker never calls the built-in ones dangling.
                && dangling.is_none_or(|wanted| (!is_built_in && is_idle()) == wanted)
                && filters.allows("driver", |value| value == network.driver)
                && filters.allows("scope", |value| value == "local")
                && filters.allows("type", |value| (value == "builtin") == is_built_in)
                && filters.allows_labels(network.record.labels.as_ref())
        };
        let listed = networks.all.iter().filter(is_listed);
        let texts: Vec<String> = listed.map(|network| describe(network, "{}")).collect();
        Ok(object::list(&texts))
    }

    pub fn network_inspect(&self, name: &str) -> Result<String> {
        let network = self.find_network(name)?;
        let members = lock(&self.networks).members(&network.id);
        let mut object = Object::new();
        for plan in members {
            let id = plan.id.as_deref().unwrap_or_default();
            let Some(endpoint) = endpoint::of(&plan, &network.id) else {
                continue;
            };
            let text = |text: &Option<String>| text.clone().unwrap_or_default();
            let name = self.find(id).map(|container| container.name());
            let member = Object::new()
                .text("Name", &name.unwrap_or_default())
                .text("EndpointID", &digest(&[id, &network.id]))
                .text("MacAddress", &text(&endpoint.mac))
                .text("IPv4Address", &text(&endpoint.ipv4))
                .text("IPv6Address", &text(&endpoint.ipv6))
                .finish();
            object.put(id, &member);
        }
        // Those of the host's own network have no plan.
        for container in self.containers() {
            let mode = container.host.network_mode.as_deref();
            if network.pools.is_empty() && mode == Some(&network.name) && container.is_running() {
                let mut member = Object::new();
                member
                    .text("Name", &container.name())
                    .text("EndpointID", &digest(&[&container.id, &network.id]));
                for part in ["MacAddress", "IPv4Address", "IPv6Address"] {
                    member.text(part, "");
                }
                object.put(&container.id, &member.finish());
            }
        }
        Ok(describe(&network, &object.finish()))
    }
}

fn describe(network: &Network, containers: &str) -> String {
    let mut record = network.record.clone();
    for config in record
        .ipam
        .iter_mut()
        .flat_map(|ipam| ipam.config.iter_mut().flatten())
    {
        config.is_chosen = None;
    }
    record.is_found = None;
    let ipam = object::complete(
        &json::to_string(&record.ipam),
        &[
            ("Driver", "\"default\""),
            ("Options", "null"),
            ("Config", "[]"),
        ],
    );
    let text = object::complete(
        &json::to_string(&record),
        &[
            ("Name", "\"\""),
            ("Id", "\"\""),
            ("Created", "\"\""),
            ("Scope", "\"local\""),
            ("Driver", "\"\""),
            ("EnableIPv4", "true"),
            ("EnableIPv6", "false"),
            ("IPAM", "{}"),
            ("Internal", "false"),
            ("Attachable", "false"),
            ("Ingress", "false"),
            ("ConfigFrom", r#"{"Network":""}"#),
            ("ConfigOnly", "false"),
            ("Containers", containers),
            ("Options", "{}"),
            ("Labels", "{}"),
        ],
    );
    object::replace(&text, "IPAM", &ipam)
}
