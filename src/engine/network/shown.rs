//! A container's networks and ports as inspect and list show them.

use crate::engine::Engine;
use crate::engine::container::Container;
use crate::engine::network::{BRIDGE, digest, endpoint, plan, ports};
use crate::json::map::Map;
use crate::net::plan::{Endpoint, Plan};
use crate::wire::container::{EndpointSettings, NetworkSettings, Port, PortBinding};
use std::net::IpAddr;

impl Engine {
    /// What it asked for, and while it is up what it has.
    pub fn endpoints(&self, container: &Container) -> Map<EndpointSettings> {
        let plan = self.network_plan(container);
        let mut all = Map::clone(&container.networks());
        let names: Vec<String> = all.keys().cloned().collect();
        for name in names {
            let settings = all.value(&name);
            let id = settings.network_id.clone().unwrap_or_default();
            let found = plan.as_ref().and_then(|plan| endpoint::of(plan, &id));
            if let Some(found) = found {
                self.fill_in(container, settings, found);
            } else if container.is_running() && !plan::is_networked(container) {
                settings.endpoint_id = Some(digest(&[&container.id, &id]));
            }
        }
        all
    }

    fn fill_in(&self, container: &Container, settings: &mut EndpointSettings, found: &Endpoint) {
        let id = found.network.as_deref().unwrap_or_default();
        let network = self.network_by_id(id);
        let gateway = |is_v6| network.as_ref().and_then(|n| endpoint::gateway(n, is_v6));
        let prefix = |text: &Option<String>| text.as_ref()?.split_once('/')?.1.parse().ok();
        settings.endpoint_id = Some(digest(&[&container.id, id]));
        settings.mac_address = Some(found.mac.clone().unwrap_or_default());
        settings.ip_address = endpoint::bare(found.ipv4.as_ref()).map(|ip| ip.to_string());
        settings.ip_prefix_len = prefix(&found.ipv4);
        settings.gateway = gateway(false);
        settings.global_ipv6_address = endpoint::bare(found.ipv6.as_ref()).map(|ip| ip.to_string());
        settings.global_ipv6_prefix_len = prefix(&found.ipv6);
        settings.ipv6_gateway = gateway(true);
        settings.dns_names.clone_from(&found.names);
    }

    pub fn network_settings(&self, container: &Container) -> NetworkSettings {
        let networks = self.endpoints(container);
        let text = |text: String| Some(text);
        let mut settings = NetworkSettings {
            sandbox_id: text(String::new()),
            sandbox_key: text(String::new()),
            ports: Some(Map::new()),
            ip_address: text(String::new()),
            gateway: text(String::new()),
            mac_address: text(String::new()),
            ..NetworkSettings::default()
        };
        let pid = container.lock().pid;
        if pid > 0 {
            settings.sandbox_id = Some(digest(&["network of ", &container.id]));
            // The namespace has no other name: no mount keeps it.
            settings.sandbox_key = Some(format!("/proc/{pid}/ns/net"));
            settings.ports = Some(self.bindings(container));
        }
        if let Some(bridge) = networks
            .get(BRIDGE)
            .filter(|bridge| bridge.ip_address.is_some())
            .cloned()
        {
            settings.endpoint_id = bridge.endpoint_id;
            settings.gateway = bridge.gateway;
            settings.ip_address = bridge.ip_address;
            settings.ip_prefix_len = bridge.ip_prefix_len;
            settings.ipv6_gateway = bridge.ipv6_gateway;
            settings.global_ipv6_address = bridge.global_ipv6_address;
            settings.global_ipv6_prefix_len = bridge.global_ipv6_prefix_len;
            settings.mac_address = bridge.mac_address;
        }
        settings.networks = Some(networks);
        settings
    }

    /// The beginning of Docker's sentence about a port that cannot be had.
    pub(in crate::engine) fn refused_ports(&self, container: &Container) -> String {
        let plan = self.network_plan(container);
        let endpoints = plan.iter().flat_map(|plan| plan.endpoints.iter().flatten());
        let leading = endpoints.clone().find(|endpoint| plan::publishes(endpoint));
        let network = leading.and_then(|endpoint| endpoint.network.as_deref());
        format!(
            "failed to set up container networking: driver failed programming external connectivity on endpoint {} ({})",
            container.name(),
            digest(&[&container.id, network.unwrap_or_default()])
        )
    }

    /// By the container's port: `80/tcp`.
    fn bindings(&self, container: &Container) -> Map<Option<Vec<PortBinding>>> {
        let mut all: Map<Option<Vec<PortBinding>>> = Map::new();
        if !plan::is_networked(container) {
            return all;
        }
        for name in exposed(container) {
            all.insert(name, None);
        }
        let plan = self.network_plan(container);
        for published in plan.iter().flat_map(|plan| published(plan)) {
            let name = format!("{}/{}", published.inside, published.protocol);
            all.value(&name).get_or_insert_default().push(PortBinding {
                host_ip: Some(published.ip.to_string()),
                host_port: Some(published.outside.to_string()),
            });
        }
        all
    }

    /// The PORTS column.
    pub fn ports_shown(&self, container: &Container) -> Vec<Port> {
        let mut all = Vec::new();
        if !container.is_running() || !plan::is_networked(container) {
            return all;
        }
        let plan = self.network_plan(container);
        for published in plan.iter().flat_map(|plan| published(plan)) {
            all.push(Port {
                ip: Some(published.ip.to_string()),
                private_port: Some(published.inside),
                public_port: Some(published.outside),
                kind: Some(published.protocol.to_string()),
            });
        }
        for name in exposed(container) {
            let Some((inside, _, protocol)) = ports::parse(&name) else {
                continue;
            };
            let is_it = |port: &Port| {
                port.private_port == Some(inside) && port.kind.as_deref() == Some(protocol)
            };
            if !all.iter().any(is_it) {
                all.push(Port {
                    private_port: Some(inside),
                    kind: Some(protocol.to_string()),
                    ..Port::default()
                });
            }
        }
        all
    }
}

/// Every port of its own: `80/tcp`.
fn exposed(container: &Container) -> Vec<String> {
    let asked = container
        .config
        .exposed_ports
        .iter()
        .flatten()
        .map(|(name, _)| name);
    let bound = container
        .host
        .port_bindings
        .iter()
        .flatten()
        .map(|(name, _)| name);
    let mut all = Vec::new();
    for name in asked.chain(bound) {
        let Some((first, last, protocol)) = ports::parse(name) else {
            continue;
        };
        all.extend((first..=last).map(|port| format!("{port}/{protocol}")));
    }
    all
}

struct Published<'a> {
    protocol: &'a str,
    ip: IpAddr,
    outside: u16,
    inside: u16,
}

/// Each port of a plan.
fn published(plan: &Plan) -> Vec<Published<'_>> {
    let mut all = Vec::new();
    for port in plan.ports.iter().flatten() {
        let (Some(ip), Some(outside), Some(inside)) = (
            port.host_ip.as_deref().and_then(|ip| ip.parse().ok()),
            port.host_port,
            port.container_port,
        ) else {
            continue;
        };
        all.extend((0..port.count.unwrap_or(1)).map(|at| Published {
            protocol: port.protocol.as_deref().unwrap_or("tcp"),
            ip,
            outside: outside.saturating_add(at),
            inside: inside.saturating_add(at),
        }));
    }
    all
}
