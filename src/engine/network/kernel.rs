//! What room `net` makes of networks: their links on the host, and the rules of the firewall.
//!
//! A network's bridge is there from its making until its removal, and after a boot from the first
//! start of a container that is in it, and so is a parent that had to be made; the default one's from
//! the first start ever. Rules are there for the networks whose bridges are.

use crate::engine::network::record::read_plan;
use crate::engine::network::{MASQUERADE, Network, endpoint};
use crate::engine::{Engine, lock};
use crate::error::{Error, Result};
use crate::net::bridge::{self, Bridge};
use crate::net::dns::names;
use crate::net::firewall;
use crate::net::link;
use crate::net::plan::{self, Plan};
use std::sync::Arc;

impl Engine {
    /// The bridge of a network, as it should be. Repeatable.
    pub(super) fn make_link(&self, network: &Network) -> Result<()> {
        let link = network.link();
        if network.has_parent() {
            return link::ensure_parent(&link).map(drop);
        }
        if !network.is_bridge() {
            return Ok(());
        }
        match network.record.is_found == Some(true) {
            true => check_found(&link)?,
            false => ensure(network, &link)?,
        }
        for is_v6 in [false, true] {
            if self.options.ip_forward && network.pool(is_v6).is_some() {
                bridge::set_forwarding(is_v6)?;
            }
        }
        if self.note_link(network) {
            self.sync_firewall();
        }
        if self.options.iptables && !self.options.userland_proxy {
            // With the rules that keep containers from there.
            bridge::serve_loopback(&link)?;
        }
        Ok(())
    }

    /// After the start of an engine: what an engine before it has made holds.
    pub(in crate::engine) fn resume_networks(&self) {
        let is_there = |network: &Arc<Network>| {
            network.is_bridge() && matches!(bridge::addresses(&network.link()), Ok(Some(_)))
        };
        let all = lock(&self.networks).all.clone();
        let there: Vec<String> = all
            .iter()
            .filter(|n| is_there(n))
            .map(|n| n.id.clone())
            .collect();
        let is_any = !there.is_empty();
        lock(&self.networks).linked = there;
        if is_any {
            self.sync_firewall();
        }
    }

    /// Whether it was not known to be there.
    fn note_link(&self, network: &Network) -> bool {
        let mut networks = lock(&self.networks);
        let is_new = !networks.linked.contains(&network.id);
        if is_new {
            networks.linked.push(network.id.clone());
        }
        is_new
    }

    pub(super) fn remove_link(&self, network: &Network) -> Result<()> {
        lock(&self.networks).linked.retain(|id| *id != network.id);
        let link = network.link();
        let is_parent = |other: &Arc<Network>| other.id != network.id && other.link() == link;
        if network.record.is_found == Some(true) || lock(&self.networks).all.iter().any(is_parent) {
            return Ok(());
        }
        match network.has_parent() {
            true => link::remove_parent(&link),
            false if network.is_bridge() => bridge::remove(&link),
            false => Ok(()),
        }
    }

    /// The rules of all networks and of all containers that are up.
    pub(in crate::engine) fn sync_firewall(&self) {
        let mut read = || {
            let mut networks = lock(&self.networks);
            let linked = networks.linked.iter().filter_map(|id| networks.get(id));
            let filtered: Vec<firewall::Network> = linked.map(|n| self.filtered(n)).collect();
            // A shim that withdraws its ports takes the file away before.
            let is_up = |plan: &&Arc<Plan>| {
                let id = plan.id.as_deref().unwrap_or_default();
                self.run_dir(id).join(plan::FILE).exists()
            };
            let plans = networks.plans.iter().filter(is_up);
            let plans: Vec<Plan> = plans.map(|plan| Plan::clone(plan)).collect();
            networks.is_filtered |= filtered.iter().any(|one| one.filters4 || one.filters6);
            Ok((filtered, plans))
        };
        // Without rules there are still proxies; `info` says what it costs.
        let outcome = firewall::sync(&mut read);
        let is_refused = outcome.is_err();
        let was_refused = std::mem::replace(&mut lock(&self.networks).is_unfiltered, is_refused);
        if let Err(error) = outcome
            && !was_refused
        {
            self.note(format_args!("no rules of the packet filter: {error}"));
        }
        self.watcher.wake();
    }

    /// From the first rules on: what somebody else takes away is restored.
    pub(in crate::engine) fn watch_firewall(self: &Arc<Engine>) {
        let mut networks = lock(&self.networks);
        if networks.is_watched || !networks.is_filtered || networks.is_unfiltered {
            return;
        }
        networks.is_watched = true;
        let engine = Arc::downgrade(self);
        let restore = move || {
            if let Some(engine) = engine.upgrade() {
                engine.note("somebody has removed rules of the packet filter: restoring them");
                engine.sync_firewall();
            }
        };
        if let Err(error) = firewall::watch(Box::new(restore)) {
            self.note(error);
        }
    }

    /// What a shim that is lost has left beside its namespace: its rules and its names.
    pub(in crate::engine) fn clear_network(&self, id: &str) {
        let run_dir = self.run_dir(id);
        let Ok(Some(plan)) = read_plan(&run_dir) else {
            return;
        };
        let names_dir = self.options.exec_root.join(plan::NAMES_DIR);
        let mut outcomes = Vec::new();
        if plan.ports.iter().flatten().next().is_some() {
            outcomes.push(firewall::withdraw(&plan).map(drop));
            firewall::forget(&plan);
        }
        let endpoints = plan.endpoints.iter().flatten();
        outcomes.extend(endpoints.map(|endpoint| names::remove(&names_dir, id, endpoint)));
        for error in outcomes.into_iter().filter_map(Result::err) {
            self.note(format_args!("container {id}: {error}"));
        }
    }

    /// As rules see it.
    fn filtered(&self, network: &Network) -> firewall::Network {
        let options = &self.options;
        let masquerades = network.switch(MASQUERADE, true);
        let has = |is_v6| network.pool(is_v6).is_some();
        firewall::Network {
            link: network.link(),
            filters4: options.iptables,
            filters6: options.ip6tables,
            masquerade4: masquerades && has(false),
            masquerade6: masquerades && has(true),
            is_internal: network.is_internal(),
            is_isolated: endpoint::is_isolated(network),
            proxies: options.userland_proxy,
        }
    }
}

fn ensure(network: &Network, link: &str) -> Result<()> {
    let pools = network.pools.iter();
    let addresses: Vec<String> = pools
        .filter_map(|pool| Some(format!("{}/{}", pool.gateway?, pool.subnet.prefix)))
        .collect();
    let addresses: Vec<&str> = addresses.iter().map(String::as_str).collect();
    bridge::ensure(&Bridge {
        name: link,
        addresses: &addresses,
        mtu: endpoint::mtu(network),
    })
}

/// One that somebody else has made is left as it is.
fn check_found(link: &str) -> Result<()> {
    match bridge::addresses(link)? {
        Some(_) => Ok(()),
        None => Err(Error::not_found(format!(
            "bridge {link} is not there: it was not made by this engine, make it again"
        ))),
    }
}
