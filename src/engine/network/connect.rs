//! connect and disconnect: a container that is there joins a network or leaves it, running or not.

use crate::engine::container::{Container, Phase};
use crate::engine::network::{Network, endpoint, plan, wishes};
use crate::engine::{Engine, lock};
use crate::error::{Context, Error, Kind, Result};
use crate::json::map::Map;
use crate::net::plan::Plan;
use crate::wire::container::EndpointSettings;
use crate::wire::network::ConnectRequest;
use std::sync::Arc;

impl Engine {
    pub fn network_connect(&self, name: &str, request: ConnectRequest) -> Result<()> {
        let network = self.find_network(name)?;
        let container = self.find(request.container.as_deref().unwrap_or_default())?;
        let _busy = container.occupy();
        check_phase(&container, "connected to")?;
        check_mode(&container, &network)?;
        let mut settings = request.endpoint_config.unwrap_or_default();
        settings.links = settings.links.filter(|links| !links.is_empty());
        endpoint::check(&network.name, Some(&network), &settings)
            .context(|| format!("invalid config for network {}", network.name))?;
        let old = container.networks();
        if container.is_running() && old.contains_key(&network.name) {
            return Err(Error::new(
                Kind::Denied,
                format!(
                    "endpoint with name {} already exists in network {}",
                    container.name(),
                    network.name
                ),
            ));
        }
        let mut new = Map::clone(&old);
        new.insert(
            network.name.clone(),
            wishes::stripped(settings, Some(&network)),
        );
        self.set_wishes(&container, new)?;
        if !container.is_running() {
            return Ok(());
        }
        if let Err(error) = self.rejoin(&container) {
            self.set_wishes(&container, Map::clone(&old))?;
            return Err(error);
        }
        self.tell_of_network(&network, "connect", Some(&container));
        Ok(())
    }

    pub fn network_disconnect(&self, name: &str, request: ConnectRequest) -> Result<()> {
        let network = self.find_network(name)?;
        let container = self.find(request.container.as_deref().unwrap_or_default())?;
        let _busy = container.occupy();
        check_phase(&container, "disconnected from")?;
        if network.driver == "host" {
            return Err(Error::invalid(
                "cannot disconnect container from host network - container was created in host network mode",
            ));
        }
        let old = container.networks();
        let mut new = Map::clone(&old);
        if new.remove(&network.name).is_none() {
            return Err(Error::new(
                Kind::System,
                format!(
                    "container {} is not connected to network {}",
                    container.id, network.name
                ),
            ));
        }
        self.set_wishes(&container, new)?;
        if !container.is_running() || !plan::is_networked(&container) {
            return Ok(());
        }
        match self.rejoin(&container) {
            Err(error) if request.force != Some(true) => {
                self.set_wishes(&container, Map::clone(&old))?;
                return Err(error);
            }
            _ => {}
        }
        self.tell_of_network(&network, "disconnect", Some(&container));
        Ok(())
    }

    /// Make the networks of a running container those that it asks for: plan first, then its shim.
    /// After a failure all is as before.
    pub(in crate::engine) fn rejoin(&self, container: &Container) -> Result<()> {
        let changing = lock(&self.network_changes);
        let members = self.network_members(container)?;
        for member in &members {
            self.make_link(&member.network)?;
        }
        let (old, new) = {
            let mut networks = lock(&self.networks);
            let old = networks.plan(&container.id);
            let new = Arc::new(self.draw(container, &members, &mut networks, old.as_deref())?);
            // What it leaves is its own until it has left.
            let both = both(&new, old.as_deref());
            networks.set_plan(&container.id, Some(Arc::new(both)));
            (old, new)
        };
        drop(changing);
        let told = self.tell_shim(container, &new);
        let (plan, told) = match (told, old) {
            (Err(error), Some(old)) => {
                // Level-triggered: the shim goes back to what the file says.
                let _ = self.tell_shim(container, &old);
                (old, Err(error))
            }
            (told, _) => (new, told),
        };
        // It may have ended meanwhile, and given back what it had.
        let plan_now = container.is_running().then(|| Arc::clone(&plan));
        lock(&self.networks).set_plan(&container.id, plan_now);
        // hosts and resolv.conf follow.
        if let Err(error) = self.update_name_files(container, &plan) {
            self.note(format_args!("container {}: {error}", container.id));
        }
        told
    }

    fn tell_shim(&self, container: &Container, plan: &Plan) -> Result<()> {
        self.write_plan(&container.id, plan)?;
        let shim = crate::engine::start::up_shim(container)?;
        shim.network()
    }

    /// Its name has changed: those beside it find it under the new one.
    pub(in crate::engine) fn rename_in_networks(&self, container: &Container) {
        if container.is_running()
            && self.network_plan(container).is_some()
            && let Err(error) = self.rejoin(container)
        {
            self.note(format_args!("container {}: {error}", container.id));
        }
    }
}

fn both(new: &Plan, old: Option<&Plan>) -> Plan {
    let mut both = new.clone();
    let left = old
        .into_iter()
        .flat_map(|old| old.endpoints.iter().flatten());
    for endpoint in left {
        let id = endpoint.network.as_deref().unwrap_or_default();
        if endpoint::of(new, id).is_none() {
            both.endpoints
                .get_or_insert_default()
                .push(endpoint.clone());
        }
    }
    both
}

fn check_phase(container: &Container, doing: &str) -> Result<()> {
    match container.lock().phase {
        Phase::Removing | Phase::Dead | Phase::Removed => Err(Error::conflict(format!(
            "Container {} is marked for removal and cannot be {doing} the network",
            container.id
        ))),
        _ => Ok(()),
    }
}

/// Whether it can be in one network more (moby, daemon: updateNetworkConfig).
fn check_mode(container: &Container, network: &Network) -> Result<()> {
    let mode = container.host.network_mode.as_deref();
    let wishes: Arc<Map<EndpointSettings>> = container.networks();
    if network.driver == "host" && mode != Some("host") {
        return Err(Error::invalid(
            "cannot connect container to host network - container must be created in host network mode",
        ));
    }
    if mode == Some("host") || crate::engine::validate::modes::donor(mode).is_some() {
        return Err(wishes::shared());
    }
    let is_private = network.name == "none" || wishes.contains_key("none");
    if is_private && !(wishes.is_empty() || wishes.len() == 1 && wishes.contains_key(&network.name))
    {
        return Err(wishes::private());
    }
    Ok(())
}
