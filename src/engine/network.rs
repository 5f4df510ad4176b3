//! Networks, as far as there are any: Docker's three built-in ones, which cannot be changed.

use crate::engine::Engine;
use crate::engine::filter::Filters;
use crate::error::{Error, Result};
use crate::id;
use crate::json::object::{self, Object};
use crate::time::NEVER;
use crate::wire::container::{EndpointSettings, HostConfig};
use sha2::{Digest, Sha256};

pub const FILTERS: &[&str] = &["dangling", "driver", "id", "label", "name", "scope", "type"];

/// Names and drivers.
const BUILT_IN: [(&str, &str); 3] = [("bridge", "bridge"), ("host", "host"), ("none", "null")];

/// Clients want an id of 64 digits. One that comes of the name stays what it is.
pub fn id(name: &str) -> String {
    id::hex(&Sha256::digest(format!("built-in network {name}")))
}

pub fn driver(name: &str) -> &str {
    let known = BUILT_IN.iter().find(|(known, _)| *known == name);
    known.map_or("", |(_, driver)| driver)
}

/// A container's place in the network of its mode.
pub fn endpoint(name: &str) -> EndpointSettings {
    let none = || Some(String::new());
    EndpointSettings {
        network_id: Some(id(name)),
        ip_address: none(),
        gateway: none(),
        mac_address: none(),
        ..EndpointSettings::default()
    }
}

/// Whether `value` is the name or the beginning of the id of the container's network.
pub fn is_called(host: &HostConfig, value: &str) -> bool {
    let mode = host.network_mode.as_deref().unwrap_or_default();
    mode == value || id(mode).starts_with(value)
}

impl Engine {
    /// As the API has it (Network), in JSON.
    pub fn network_list(&self, filters: &Filters) -> Result<String> {
        let (ids, names) = (filters.patterns("id"), filters.patterns("name"));
        let dangling = filters.boolean("dangling")?;
        let is_listed = |(name, driver): &&(&str, &str)| {
            ids.allow(&id(name))
                && names.allow(name)
                // Docker never calls these three dangling.
                && dangling != Some(true)
                && filters.allows("driver", |value| value == *driver)
                && filters.allows("scope", |value| value == "local")
                && filters.allows("type", |value| value == "builtin")
                && filters.allows_labels(None)
        };
        let listed = BUILT_IN.iter().filter(is_listed);
        let texts: Vec<String> = listed
            .map(|(name, driver)| describe(name, driver, "{}"))
            .collect();
        Ok(object::list(&texts))
    }

    pub fn network_inspect(&self, name: &str) -> Result<String> {
        let is_meant = |(own, _): &&(&str, &str)| *own == name || id(own).starts_with(name);
        let (name, driver) = BUILT_IN
            .iter()
            .find(is_meant)
            .ok_or_else(|| Error::not_found(format!("network {name} not found")))?;
        let mut members = Object::new();
        for container in self.containers() {
            let state = container.lock();
            if !state.phase.is_up() || container.host.network_mode.as_deref() != Some(name) {
                continue;
            }
            let mut member = Object::new();
            member.text("Name", &state.name);
            for part in ["EndpointID", "MacAddress", "IPv4Address", "IPv6Address"] {
                member.text(part, "");
            }
            members.put(&container.id, &member.finish());
        }
        Ok(describe(name, driver, &members.finish()))
    }
}

fn describe(name: &str, driver: &str, containers: &str) -> String {
    let mut object = Object::new();
    object
        .text("Name", name)
        .text("Id", &id(name))
        .text("Created", NEVER)
        .text("Scope", "local")
        .text("Driver", driver)
        .put("EnableIPv4", "true")
        .put("EnableIPv6", "false")
        .put("IPAM", r#"{"Driver":"default","Options":null,"Config":[]}"#);
    for name in ["Internal", "Attachable", "Ingress"] {
        object.put(name, "false");
    }
    object
        .put("ConfigFrom", r#"{"Network":""}"#)
        .put("ConfigOnly", "false")
        .put("Containers", containers)
        .put("Options", "{}")
        .put("Labels", "{}")
        .finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_is_found_by_its_name_and_by_the_beginning_of_its_id() {
        let host = HostConfig {
            network_mode: Some("none".into()),
            ..HostConfig::default()
        };
        assert!(is_called(&host, "none"));
        assert!(is_called(&host, &id("none")[..12]));
        assert!(!is_called(&host, "host"));
        assert_eq!((id("none").len(), driver("none")), (64, "null"));
        assert_ne!(id("none"), id("host"));
    }
}
