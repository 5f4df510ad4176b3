//! `--link` on the default bridge network, where nobody serves names: another container's address in
//! hosts, its ports and its environment in variables. On other networks a link is a name that our
//! name server knows (`net::dns`).
//!
//! Kept in the container's configuration as `<id>:<alias>`: the other one may be renamed. Where
//! containers of the bridge may not talk to each other (`icc` is off) a link opens no way.

use crate::engine::Engine;
use crate::engine::container::Container;
use crate::engine::network::{BRIDGE, endpoint, id};
use crate::engine::spec;
use crate::engine::validate::modes;
use crate::error::{Context, Error, Kind, Result};
use crate::net::plan::Endpoint;
use crate::sys::letters;
use crate::wire::container::HostConfig;
use std::sync::Arc;

/// `name:alias`, or a name alone. What inspect shows, `/db:/web/alias`, is taken too (docker/cli,
/// opts.ParseLink).
pub fn parse(text: &str) -> Result<(&str, &str)> {
    let (name, alias) = text.split_once(':').unwrap_or((text, text));
    if text.is_empty() {
        return Err(Error::invalid("empty string specified for links"));
    }
    if alias.contains(':') {
        return Err(Error::invalid(format!("bad format for links: {text}")));
    }
    Ok(match name.strip_prefix('/') {
        Some(name) => (name, alias.rsplit('/').next().unwrap_or(alias)),
        None => (name, alias),
    })
}

/// Another container, as this one sees it.
pub struct Link {
    child: Arc<Container>,
    alias: String,
    /// Its place in the default bridge network.
    place: Endpoint,
}

impl Engine {
    /// Put ids in place of names. The sentences are moby's (registerLinks).
    pub(super) fn resolve_links(&self, host: &mut HostConfig) -> Result<()> {
        let mode = host.network_mode.as_deref().unwrap_or_default();
        let is_users = !matches!(mode, "" | "default" | BRIDGE | "host" | "none");
        if is_users {
            // They are the endpoint's.
            host.links = None;
        }
        for link in host.links.iter_mut().flatten() {
            let (name, alias) = parse(link)?;
            let child = self.linkable(name).map_err(|e| e.with_kind(Kind::Invalid));
            let child = child.context(|| format!("could not get container for {name}"))?;
            if child.host.network_mode.as_deref() == Some("host") {
                return Err(Error::invalid(
                    "conflicting options: host type networking can't be used with links. This would result in undefined behavior",
                ));
            }
            *link = format!("{}:{alias}", child.id);
        }
        Ok(())
    }

    /// The container, or the one whose network it shares.
    fn linkable(&self, name: &str) -> Result<Arc<Container>> {
        let mut child = self.find(name)?;
        while let Some(donor) = modes::donor(child.host.network_mode.as_deref()) {
            child = self.find(donor)?;
        }
        Ok(child)
    }

    /// What inspect shows in place of ids: `/db:/web/alias`.
    pub(super) fn shown_links(&self, container: &Container) -> Option<Vec<String>> {
        let own = container.name();
        let links = container.host.links.iter().flatten();
        let shown = links.filter_map(|link| {
            let (id, alias) = link.split_once(':')?;
            let child = self.find(id).ok()?;
            Some(format!("/{}:/{own}/{alias}", child.name()))
        });
        Some(shown.collect()).filter(|links: &Vec<String>| !links.is_empty())
    }

    /// The links of a container that starts: whom they name must run.
    pub(super) fn links(&self, container: &Container) -> Result<Vec<Link>> {
        self.each_link(container).collect()
    }

    /// What hosts says of those that run.
    pub(super) fn linked_records(&self, container: &Container) -> Vec<(String, String)> {
        let links = self.each_link(container).filter_map(Result::ok);
        links.flat_map(|link| link.records()).collect()
    }

    fn each_link<'a>(&'a self, parent: &'a Container) -> impl Iterator<Item = Result<Link>> + 'a {
        let is_there = parent.networks().contains_key(BRIDGE);
        let links = parent.host.links.iter().flatten();
        links.filter(move |_| is_there).filter_map(|link| {
            let (id, alias) = link.split_once(':')?;
            // One that has been removed takes its links along.
            let child = self.find(id).ok()?;
            Some(self.link(parent, child, alias))
        })
    }

    fn link(&self, parent: &Container, child: Arc<Container>, alias: &str) -> Result<Link> {
        let (own, name) = (parent.name(), child.name());
        let refused = |why: String| Error::new(Kind::System, why);
        if !child.is_running() {
            return Err(refused(format!(
                "Cannot link to a non running container: /{name} AS /{own}/{alias}"
            )));
        }
        let plan = self.network_plan(&child);
        let place = plan.and_then(|plan| endpoint::of(&plan, &id(BRIDGE)).cloned());
        let place = place.ok_or_else(|| {
            refused(format!(
                "Cannot link to /{name}, as it does not belong to the default network"
            ))
        })?;
        Ok(Link {
            child,
            alias: alias.to_string(),
            place,
        })
    }

    /// `container` has started, perhaps at another address: who is linked to it learns of that.
    pub(super) fn update_linked(&self, container: &Container) {
        for other in self.containers() {
            let mut links = other.host.links.iter().flatten();
            if !links.any(|link| link.starts_with(&container.id)) || !other.is_running() {
                continue;
            }
            if let Some(plan) = self.network_plan(&other)
                && let Err(error) = self.update_name_files(&other, &plan)
            {
                self.note(format_args!("container {}: {error}", other.id));
            }
        }
    }
}

impl Link {
    /// Its addresses, and under which names they stand in hosts.
    pub fn records(&self) -> Vec<(String, String)> {
        let (alias, own) = (&self.alias, self.child.name());
        let mut names = format!("{alias} {}", spec::hostname(&self.child));
        if *alias != own {
            names = format!("{names} {own}");
        }
        let addresses = [&self.place.ipv4, &self.place.ipv6].into_iter();
        let bare = |address: &String| Some(address.split('/').next()?.to_string());
        let addresses = addresses.flatten().filter_map(bare);
        addresses.map(|address| (address, names.clone())).collect()
    }

    /// `DB_PORT_6379_TCP_ADDR=172.17.0.2` and its kin (moby, daemon/links).
    fn variables(&self, parent: &str) -> Vec<String> {
        let alias: String = self.alias.chars().map(letters::upper).collect();
        let alias = alias.replace('-', "_");
        let address = endpoint::bare(self.place.ipv4.as_ref());
        let address = address
            .map(|address| address.to_string())
            .unwrap_or_default();
        let config = &self.child.config;
        let exposed = config.exposed_ports.iter().flat_map(|ports| ports.keys());
        let mut ports: Vec<(bool, &str, u16)> = exposed
            .filter_map(|port| {
                let (number, protocol) = port.split_once('/').unwrap_or((port, "tcp"));
                Some((protocol != "tcp", protocol, number.parse().ok()?))
            })
            .collect();
        ports.sort_unstable();
        let mut list = Vec::new();
        let mut put = |key: &str, value: &str| list.push(format!("{alias}_{key}={value}"));
        for (at, (_, protocol, port)) in ports.iter().enumerate() {
            let url = format!("{protocol}://{address}:{port}");
            if at == 0 {
                put("PORT", &url);
            }
            let key = format!("PORT_{port}_{}", protocol.to_ascii_uppercase());
            put(&key, &url);
            put(&format!("{key}_ADDR"), &address);
            put(&format!("{key}_PORT"), &port.to_string());
            put(&format!("{key}_PROTO"), protocol);
        }
        put("NAME", &format!("/{parent}/{}", self.alias));
        for variable in config.env.iter().flatten() {
            match variable.split_once('=') {
                Some(("HOME" | "PATH", _)) | None => {}
                Some((key, value)) => put(&format!("ENV_{key}"), value),
            }
        }
        list
    }
}

/// Add the variables of `links` to the environment of one of the container's processes. What is
/// there already has been set by the user.
pub fn add_variables(container: &Container, links: &[Link], env: &mut Option<Vec<String>>) {
    let name = container.name();
    for variable in links.iter().flat_map(|link| link.variables(&name)) {
        let key = |text: &str| text.split('=').next().map(str::to_string);
        let env = env.get_or_insert_default();
        if !env.iter().any(|known| key(known) == key(&variable)) {
            env.push(variable);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_a_name_and_an_alias() {
        for (text, name, alias) in [
            ("db", "db", "db"),
            ("db:store", "db", "store"),
            ("/db:/web/store", "db", "store"),
        ] {
            assert_eq!(parse(text).unwrap(), (name, alias));
        }
        let refused = |text: &str| parse(text).unwrap_err().message.clone();
        assert_eq!(refused(""), "empty string specified for links");
        assert_eq!(refused("a:b:c"), "bad format for links: a:b:c");
    }
}
