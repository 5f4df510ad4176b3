//! From what a container asks for to its plan: `net::plan`.

use crate::engine::container::Container;
use crate::engine::network::endpoint::{self, IFNAME, Member};
use crate::engine::network::{Network, Networks, ports};
use crate::engine::validate::modes;
use crate::engine::{Engine, lock};
use crate::error::{Context, Result};
use crate::net::plan::{Endpoint, Plan, Resolver};
use std::sync::Arc;

/// The beginning of a link's name in a container.
const PREFIX: &str = "com.docker.network.container_iface_prefix";

/// Whether networks are made for it: not for one in the host's or another container's, nor for one
/// with nothing but its loopback.
pub fn is_networked(container: &Container) -> bool {
    let mode = container.host.network_mode.as_deref();
    container.config.network_disabled != Some(true)
        && !matches!(mode, Some("host" | "none"))
        && modes::donor(mode).is_none()
}

impl Engine {
    /// Decide how a container that starts is in its networks. What it gets is its own from now on,
    /// until `release_network`.
    pub(in crate::engine) fn plan_network(
        &self,
        container: &Container,
    ) -> Result<Option<Arc<Plan>>> {
        if !is_networked(container) {
            return Ok(None);
        }
        let failed = || "failed to set up container networking";
        // A network is not removed while we join it.
        let _changing = lock(&self.network_changes);
        let members = self.network_members(container).context(failed)?;
        for member in &members {
            self.make_link(&member.network).context(failed)?;
        }
        let mut networks = lock(&self.networks);
        networks.set_plan(&container.id, None);
        let plan = self
            .draw(container, &members, &mut networks, None)
            .context(failed)?;
        let plan = Arc::new(plan);
        networks.set_plan(&container.id, Some(Arc::clone(&plan)));
        Ok(Some(plan))
    }

    /// The networks that it asks for, the one that gets the default route first: Docker's order
    /// (libnetwork, Endpoint.Less).
    pub(super) fn network_members(&self, container: &Container) -> Result<Vec<Member>> {
        let mut members = Vec::new();
        for (name, settings) in container.networks().iter() {
            let id = settings.network_id.as_deref().filter(|id| !id.is_empty());
            let network = self.find_network(id.unwrap_or(name))?;
            endpoint::check(name, Some(&network), settings)?;
            members.push(Member {
                network,
                settings: settings.clone(),
            });
        }
        members.sort_by_key(|member| {
            let is_dual =
                member.network.pool(false).is_some() && member.network.pool(true).is_some();
            (
                -member.settings.gw_priority.unwrap_or(0),
                endpoint::is_closed(&member.network),
                !is_dual,
                member.network.name.clone(),
            )
        });
        Ok(members)
    }

    /// The plan of a container in `members`. What it has already in `old` stays as it is.
    pub(super) fn draw(
        &self,
        container: &Container,
        members: &[Member],
        networks: &mut Networks,
        old: Option<&Plan>,
    ) -> Result<Plan> {
        let mut endpoints = Vec::new();
        for member in members {
            let known = old.and_then(|plan| endpoint::of(plan, &member.network.id));
            endpoints.push(match known {
                Some(known) => Endpoint {
                    names: known
                        .names
                        .as_ref()
                        .map(|_| endpoint::names(container, &member.settings)),
                    ..known.clone()
                },
                None => networks.join(container, member)?,
            });
        }
        name_interfaces(&mut endpoints, members);
        choose_gateways(&mut endpoints, members);
        let options = &self.options;
        let mut plan = Plan {
            id: Some(container.id.clone()),
            resolver: self.name_server(container, members, &endpoints),
            endpoints: Some(endpoints),
            ports: None,
            filters4: Some(options.iptables),
            filters6: Some(options.ip6tables),
            proxies: Some(options.userland_proxy),
        };
        plan.ports = self.assign_ports(container, &plan, members, networks, old)?;
        Ok(plan)
    }

    /// Containers of user networks have a name server of their own.
    fn name_server(
        &self,
        container: &Container,
        members: &[Member],
        endpoints: &[Endpoint],
    ) -> Option<Resolver> {
        let is_user_defined = |member: &Member| !member.network.is_default_bridge();
        let is_closed = |member: &Member| endpoint::is_closed(&member.network);
        members.iter().any(is_user_defined).then(|| Resolver {
            is_closed: Some(members.iter().all(is_closed)),
            ..self.resolver(container, endpoints)
        })
    }
}

/// `eth0` and so on, in the order of the endpoints, as far as they have no name yet.
fn name_interfaces(endpoints: &mut [Endpoint], members: &[Member]) {
    let mut taken: Vec<String> = endpoints
        .iter()
        .filter_map(|e| e.interface.clone())
        .collect();
    for (endpoint, member) in endpoints.iter_mut().zip(members) {
        let options = member.settings.driver_opts.as_ref();
        let asked = options
            .and_then(|options| options.get(IFNAME))
            .filter(|name| !name.is_empty());
        if endpoint.interface.is_some() {
            continue;
        }
        let prefix = member.network.option(PREFIX).unwrap_or("eth");
        let mut numbers = 0..=taken.len();
        let free =
            numbers.find_map(|n| Some(format!("{prefix}{n}")).filter(|name| !taken.contains(name)));
        let name = asked.cloned().or(free);
        taken.extend(name.clone());
        endpoint.interface = name;
    }
}

/// The first that leads out has the default route, for each family.
fn choose_gateways(endpoints: &mut [Endpoint], members: &[Member]) {
    for (endpoint, _) in endpoints.iter_mut().zip(members) {
        (endpoint.gateway4, endpoint.gateway6, endpoint.is_default) = (None, None, Some(false));
    }
    for is_v6 in [false, true] {
        let mut all = endpoints.iter_mut().zip(members);
        let found = all.find(|(endpoint, member)| {
            let network = &member.network;
            let has_address = if is_v6 {
                endpoint.ipv6.is_some()
            } else {
                endpoint.ipv4.is_some()
            };
            let leads = endpoint::gateway(network, is_v6).is_some() || is_routed(network);
            has_address && leads && !endpoint::is_closed(network)
        });
        if let Some((endpoint, member)) = found {
            let gateway = endpoint::gateway(&member.network, is_v6);
            match is_v6 {
                false => endpoint.gateway4 = gateway,
                true => endpoint.gateway6 = gateway,
            }
            endpoint.is_default = Some(true);
        }
    }
}

/// An ipvlan of layer 3 sends everything to its link.
fn is_routed(network: &Network) -> bool {
    network.driver == "ipvlan"
        && network
            .option("ipvlan_mode")
            .is_some_and(|mode| mode != "l2")
}

/// Whether ports of the host may lead there.
pub(super) fn publishes(endpoint: &Endpoint) -> bool {
    endpoint.driver.as_deref() == Some("bridge") && endpoint.is_default == Some(true)
}

impl Engine {
    /// Ports of the host for a container, as its plan has them.
    fn assign_ports(
        &self,
        container: &Container,
        plan: &Plan,
        members: &[Member],
        networks: &Networks,
        old: Option<&Plan>,
    ) -> Result<Option<Vec<crate::net::plan::Port>>> {
        let endpoints = plan.endpoints.iter().flatten();
        let mut leading = endpoints
            .zip(members)
            .filter(|(endpoint, _)| publishes(endpoint));
        let Some((endpoint, member)) = leading.next() else {
            return Ok(None);
        };
        let other = leading.next().map(|(endpoint, _)| endpoint);
        let inside = |is_v6: bool| {
            let address = |endpoint: &Endpoint| {
                endpoint::bare(if is_v6 {
                    endpoint.ipv6.as_ref()
                } else {
                    endpoint.ipv4.as_ref()
                })
            };
            address(endpoint).or_else(|| other.and_then(address))
        };
        let place = ports::Place {
            v4: inside(false),
            v6: inside(true),
            default: member
                .network
                .option(super::HOST_IP)
                .and_then(|text| text.parse().ok()),
            has_proxy: self.options.userland_proxy,
        };
        ports::assign(container, &place, &networks.plans, old)
            .map(|ports| Some(ports).filter(|ports| !ports.is_empty()))
    }
}
