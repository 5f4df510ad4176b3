//! The container's networks, as the engine's plan (`net::plan`) has them: a namespace for each run,
//! wired anew from the same plan, whether there is an engine or not.
//!
//! The namespace is held by a descriptor of ours and by the container's processes. Nothing of it is on
//! the host but the ends of its links, which the kernel takes away with it, however we end.

use crate::error::{Context, Error, Result};
use crate::json;
use crate::log;
use crate::net::dns::{Resolver, names};
use crate::net::endpoint;
use crate::net::firewall::{self, Withdrawn};
use crate::net::plan::{self, Endpoint, Plan, Port};
use crate::oci::spec::Spec;
use crate::shim::ports::Ports;
use crate::shim::serve::WHO;
use crate::sys::fs;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long a bridge needs at most, as far as one can say that, to listen to a new port.
const UNTIL_HEARD: Duration = Duration::from_millis(5);

#[derive(Default)]
pub struct Network {
    plan: Plan,
    /// There is a plan: the namespace is of our making.
    is_planned: bool,
    /// Of this run.
    netns: Option<OwnedFd>,
    /// What is wired in it.
    joined: Vec<Endpoint>,
    pub ports: Ports,
    run_dir: PathBuf,
    /// Connections to the ports are led to the container.
    is_published: bool,
    withdrawn: Option<Withdrawn>,
    /// Where containers tell each other their names.
    names_dir: PathBuf,
    /// The container's name server, if it has one.
    resolver: Option<Resolver>,
}

impl Network {
    /// What the plan claims for all runs. Without a plan the runtime makes a namespace or joins one.
    pub fn set_up(run_dir: &Path) -> Result<Network> {
        let mut network = Network::default();
        if let Some(plan) = read(run_dir)? {
            network.ports = Ports::claim(&plan)?;
            network.plan = plan;
            network.is_planned = true;
            network.run_dir = run_dir.to_path_buf();
            network.publish();
        }
        // The run directory is two below the root.
        if let Some(root) = run_dir.ancestors().nth(2) {
            network.names_dir = root.join(plan::NAMES_DIR);
        }
        Ok(network)
    }

    /// From before the first run to the end of the last: who comes between two waits for the next.
    fn publish(&mut self) {
        if !has_ports(&self.plan) {
            return;
        }
        self.is_published = true;
        // What rules do not take comes to the ports' sockets, and there is a proxy, if it may be.
        match firewall::publish(&self.plan) {
            Ok(published) if self.plan.proxies == Some(false) && !published.ipv4 => {
                log::line(
                    WHO,
                    "ports of IPv4 are not published: neither rules nor a proxy lead to them",
                );
            }
            Ok(_) => {}
            Err(error) => log::line(WHO, error),
        }
    }

    /// The last run is over: nothing leads to the container any more.
    pub fn withdraw(&mut self) {
        if !std::mem::take(&mut self.is_published) {
            return;
        }
        // First, so that an engine that writes all rules anew does not count us in any more.
        let _ = std::fs::remove_file(self.run_dir.join(plan::FILE));
        match firewall::withdraw(&self.plan) {
            Ok(withdrawn) => self.withdrawn = Some(withdrawn),
            Err(error) => log::line(WHO, error),
        }
        firewall::forget(&self.plan);
    }

    /// A new namespace for a run, with everything in it. After an error there is none.
    pub fn wire(&mut self) -> Result<()> {
        if !self.is_planned {
            return Ok(());
        }
        let netns = self.netns.insert(endpoint::namespace()?);
        for wanted in self.plan.endpoints.iter().flatten() {
            endpoint::join(netns, wanted)?;
            self.joined.push(wanted.clone());
        }
        endpoint::set_routes(netns, &self.joined, true)?;
        self.tell_names()
    }

    /// Let other containers find this one, and this one the others.
    fn tell_names(&mut self) -> Result<()> {
        let id = self.plan.id.as_deref().unwrap_or_default();
        for endpoint in &self.joined {
            names::write(&self.names_dir, id, endpoint)?;
        }
        match (&mut self.resolver, &self.netns) {
            (resolver, _) if self.plan.resolver.is_none() => *resolver = None,
            (Some(resolver), _) => resolver.update(&self.plan),
            (None, Some(netns)) => {
                let resolver = Resolver::open(netns, &self.plan, &self.names_dir)?;
                self.resolver = Some(resolver);
            }
            (None, None) => {}
        }
        Ok(())
    }

    fn forget_names(&self, endpoint: &Endpoint) {
        let id = self.plan.id.as_deref().unwrap_or_default();
        if let Err(error) = names::remove(&self.names_dir, id, endpoint) {
            log::line(WHO, error);
        }
    }

    /// What to watch for the name server.
    pub fn names_fd(&self) -> Option<BorrowedFd<'_>> {
        self.resolver.as_ref().map(Resolver::fd)
    }

    pub fn serve_names(&mut self) {
        if let Some(resolver) = &mut self.resolver
            && let Err(error) = resolver.ready()
        {
            log::line(WHO, error);
        }
    }

    pub fn deadline(&self) -> Option<Instant> {
        self.resolver.as_ref().and_then(Resolver::deadline)
    }

    /// A run is over.
    pub fn give_up(&mut self) {
        self.ports.open(false);
        let Some(netns) = self.netns.take() else {
            return;
        };
        self.resolver = None;
        for endpoint in std::mem::take(&mut self.joined) {
            self.forget_names(&endpoint);
            if let Err(error) = endpoint::silence(&netns, &endpoint) {
                log::line(WHO, error);
            }
        }
    }

    /// The engine has written another plan: make the difference. What fails is tried again with the
    /// next call.
    pub fn refresh(&mut self, run_dir: &Path) -> Result<()> {
        let plan = read(run_dir)?.filter(|_| self.is_planned);
        let plan =
            plan.ok_or_else(|| Error::conflict("the container has no networks to change"))?;
        self.ports.update(&plan)?;
        let mut gone = std::mem::replace(&mut self.plan, plan);
        if gone.ports != self.plan.ports {
            self.publish();
            let stays = |port: &Port| self.plan.ports.iter().flatten().any(|new| new == port);
            if let Some(ports) = &mut gone.ports {
                ports.retain(|port| !stays(port));
            }
            if has_ports(&gone) {
                let withdrawn = firewall::withdraw(&gone)?;
                firewall::forget(&gone);
                drop(withdrawn);
            }
        }
        let Some(netns) = &self.netns else {
            // Between two runs; the next one begins with it.
            return Ok(());
        };
        let wanted: Vec<&Endpoint> = self.plan.endpoints.iter().flatten().collect();
        let stays = |old: &Endpoint| wanted.iter().any(|new| is_same_place(old, new));
        while let Some(at) = self.joined.iter().position(|old| !stays(old)) {
            endpoint::leave(netns, &self.joined[at])?;
            let left = self.joined.remove(at);
            self.forget_names(&left);
        }
        let mut is_new = false;
        for new in wanted {
            match self.joined.iter_mut().find(|old| is_same_place(old, new)) {
                Some(old) => old.clone_from(new),
                None => {
                    endpoint::join(netns, new)?;
                    self.joined.push(new.clone());
                    is_new = true;
                }
            }
        }
        endpoint::set_routes(netns, &self.joined, false)?;
        self.tell_names()?;
        if is_new {
            std::thread::sleep(UNTIL_HEARD);
            self.announce();
        }
        Ok(())
    }

    /// The container begins, or has new places: let the neighbours know.
    pub fn announce(&self) {
        // An ipvlan link has no hardware address of its own to announce.
        for endpoint in self
            .joined
            .iter()
            .filter(|one| one.driver.as_deref() != Some("ipvlan"))
        {
            let told = self
                .netns
                .as_ref()
                .map(|netns| endpoint::announce(netns, endpoint));
            if let Some(Err(error)) = told {
                log::line(WHO, error);
            }
        }
    }

    /// Let the container join the namespace, by a path that the runtime can open: ours is a copy of
    /// this process, another one is not.
    pub fn tell(&self, spec: &mut Spec, is_ours: bool) {
        let Some(netns) = &self.netns else {
            return;
        };
        let namespaces = spec
            .linux
            .iter_mut()
            .flat_map(|linux| &mut linux.namespaces);
        for namespace in namespaces.flatten() {
            if namespace.kind.as_deref() == Some("network") && namespace.path.is_none() {
                let process = if is_ours {
                    String::from("self")
                } else {
                    std::process::id().to_string()
                };
                namespace.path = Some(format!("/proc/{process}/fd/{}", netns.as_raw_fd()));
            }
        }
    }
}

impl Drop for Network {
    /// The container has not come to be.
    fn drop(&mut self) {
        self.withdraw();
    }
}

fn has_ports(plan: &Plan) -> bool {
    plan.ports.iter().flatten().next().is_some()
}

fn read(run_dir: &Path) -> Result<Option<Plan>> {
    let path = run_dir.join(plan::FILE);
    if !path.exists() {
        return Ok(None);
    }
    let text = fs::read(&path)?;
    let plan = json::parse_bytes(&text, plan::FILE);
    plan.map(Some)
        .context(|| format!("read {}", path.display()))
}

/// Whether the link can stay what it is: routes and names change without it.
fn is_same_place(old: &Endpoint, new: &Endpoint) -> bool {
    let bare = |endpoint: &Endpoint| Endpoint {
        gateway4: None,
        gateway6: None,
        is_default: None,
        names: None,
        links: None,
        ..endpoint.clone()
    };
    bare(old) == bare(new)
}
