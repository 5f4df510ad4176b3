//! The files by which a container's programs resolve names: hosts, hostname, resolv.conf.
//!
//! Written anew for each start, as Docker does. They are mounted into the container, so a change
//! while it runs goes into the same file; what its programs have written there stays.

use crate::engine::config::Options;
use crate::engine::container::Container;
use crate::engine::resolv_conf::{self, Given, ResolvConf};
use crate::engine::{Engine, spec};
use crate::error::{Error, Result};
use crate::id;
use crate::net::plan::{Endpoint, Plan, Resolver};
use sha2::{Digest, Sha256};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::Path;

const HOSTS: &str = "hosts";
const RESOLV_CONF: &str = "resolv.conf";

/// What we wrote last into resolv.conf: a container that has edited it keeps it.
const HASH: &str = "resolv.conf.hash";

/// A container that fills its hosts file with more loses it at the next change.
const HOSTS_MAX: u64 = 1 << 20;

const LOCAL: &str = "127.0.0.1\tlocalhost\n";

const LOCAL_V6: &str = "::1\tlocalhost ip6-localhost ip6-loopback
fe00::\tip6-localnet
ff00::\tip6-mcastprefix
ff02::1\tip6-allnodes
ff02::2\tip6-allrouters
";

/// An address, and the names that it has.
type Record = (String, String);

impl Engine {
    /// For a start. `plan` is how the container is in its networks, if it is in any.
    pub(super) fn write_name_files(
        &self,
        container: &Container,
        plan: Option<&Plan>,
    ) -> Result<()> {
        let dir = self.data_dir(&container.id);
        let hostname = spec::hostname(container);
        write(&dir, HOSTS, &self.hosts(container, plan)?)?;
        write(&dir, "hostname", &format!("{hostname}\n"))?;
        write_resolv_conf(&dir, &self.resolv_conf(container, plan))
    }

    /// The networks of a running container have changed, or what is linked has another address.
    pub(super) fn update_name_files(&self, container: &Container, plan: &Plan) -> Result<()> {
        let dir = self.data_dir(&container.id);
        let old = read(&dir, HOSTS);
        let mut records = self.linked_records(container);
        records.extend(own_records(container, plan));
        let mut names: Vec<String> = records.iter().map(|(_, names)| names.clone()).collect();
        names.push(own_names(container));
        let new = match old {
            Some(old) => replaced(&old, &names, &records),
            None => self.hosts(container, Some(plan))?,
        };
        write(&dir, HOSTS, &new)?;
        let written = read(&dir, RESOLV_CONF).unwrap_or_default();
        match read(&dir, HASH).unwrap_or_default() == hash(&written) {
            true => write_resolv_conf(&dir, &self.resolv_conf(container, Some(plan))),
            false => Ok(()),
        }
    }

    /// What the name server of a container with these places in networks asks.
    pub(super) fn resolver(&self, container: &Container, endpoints: &[Endpoint]) -> Resolver {
        let host = read_host(RESOLV_CONF);
        let conf = ResolvConf::of(&host, &given(container, &self.options));
        conf.served(has_v6(endpoints)).1
    }

    fn hosts(&self, container: &Container, plan: Option<&Plan>) -> Result<String> {
        let mut extra = self.extra_hosts(container);
        if !spec::has_own_network(container) && extra.is_empty() {
            return Ok(read_host(HOSTS)).map(|text| match text.is_empty() {
                true => [LOCAL, LOCAL_V6].concat(),
                false => text,
            });
        }
        let mut text = String::from(LOCAL);
        if knows_v6(container) {
            text.push_str(LOCAL_V6);
        }
        extra.extend(self.linked_records(container));
        match plan {
            Some(plan) => extra.extend(own_records(container, plan)),
            // Its own name answers even without a network.
            None if spec::has_own_network(container) => {
                extra.push(("127.0.0.1".to_string(), own_names(container)));
            }
            None => {}
        }
        for record in &extra {
            text.push_str(&line(record));
        }
        Ok(text)
    }

    /// `--add-host`: `name:address` or `name=address`; an IPv6 address has colons itself.
    fn extra_hosts(&self, container: &Container) -> Vec<Record> {
        let mut records = Vec::new();
        for entry in container.host.extra_hosts.iter().flatten() {
            let Some((name, address)) = entry.split_once(['=', ':']) else {
                continue;
            };
            let addresses = match address.trim_matches(['[', ']']) {
                "host-gateway" => self.host_gateways(),
                address => vec![address.to_string()],
            };
            records.extend(
                addresses
                    .into_iter()
                    .map(|address| (address, name.to_string())),
            );
        }
        records
    }

    /// Where the host is for all containers.
    fn host_gateways(&self) -> Vec<String> {
        let given = &self.options.host_gateways;
        match given.is_empty() {
            true => self
                .bridge_gateways()
                .unwrap_or_else(|| own_address().into_iter().collect()),
            false => given.clone(),
        }
    }

    fn resolv_conf(&self, container: &Container, plan: Option<&Plan>) -> String {
        let mut host = read_host(RESOLV_CONF);
        let endpoints = plan
            .and_then(|plan| plan.endpoints.as_deref())
            .unwrap_or_default();
        let resolver = plan.and_then(|plan| plan.resolver.as_ref());
        let has_own = spec::has_own_network(container);
        if has_own && resolver.is_none() && resolv_conf::is_systemd_resolved(&host) {
            host = std::fs::read_to_string("/run/systemd/resolve/resolv.conf").unwrap_or(host);
        }
        let conf = ResolvConf::of(&host, &given(container, &self.options));
        let conf = match resolver {
            Some(_) => conf.served(has_v6(endpoints)).0,
            None if has_own => conf.reachable(has_v6(endpoints)),
            None => conf,
        };
        conf.text(resolver)
    }
}

/// Of the host.
fn read_host(name: &str) -> String {
    std::fs::read_to_string(Path::new("/etc").join(name)).unwrap_or_default()
}

/// Of a container; `None` if it is not there, or is not what it was.
fn read(dir: &Path, name: &str) -> Option<String> {
    let path = dir.join(name);
    let is_small = std::fs::metadata(&path).is_ok_and(|found| found.len() <= HOSTS_MAX);
    std::fs::read_to_string(path).ok().filter(|_| is_small)
}

/// Into the same file: it is mounted.
fn write(dir: &Path, name: &str, content: &str) -> Result<()> {
    let path = dir.join(name);
    std::fs::write(&path, content)
        .map_err(|e| Error::io(format_args!("write {}", path.display()), &e))
}

fn write_resolv_conf(dir: &Path, content: &str) -> Result<()> {
    write(dir, RESOLV_CONF, content)?;
    write(dir, HASH, &hash(content))
}

fn hash(content: &str) -> String {
    id::hex(&Sha256::digest(content))
}

/// The engine's own settings count where the container has none.
fn given(container: &Container, options: &Options) -> Given {
    let list = |asked: &Option<Vec<String>>, default: &[String]| match asked.as_deref() {
        None | Some([]) => default.to_vec(),
        Some(list) => list.to_vec(),
    };
    Given {
        servers: list(&container.host.dns, &options.dns),
        search: list(&container.host.dns_search, &options.dns_search),
        options: list(&container.host.dns_options, &options.dns_options),
    }
}

fn has_v6(endpoints: &[Endpoint]) -> bool {
    endpoints.iter().any(|endpoint| endpoint.ipv6.is_some())
}

/// Whether ::1 is there in the container.
fn knows_v6(container: &Container) -> bool {
    let is_off = |link: &str| {
        let key = format!("net.ipv6.conf.{link}.disable_ipv6");
        let sysctls = container.host.sysctls.as_ref();
        sysctls
            .and_then(|sysctls| sysctls.get(&key))
            .map(String::as_str)
            == Some("1")
    };
    Path::new("/proc/net/if_inet6").exists() && !is_off("all") && !is_off("lo")
}

/// The container's addresses, with its own names.
fn own_records(container: &Container, plan: &Plan) -> Vec<Record> {
    let names = own_names(container);
    let endpoints = plan.endpoints.iter().flatten();
    let addresses = endpoints.flat_map(|endpoint| [&endpoint.ipv4, &endpoint.ipv6]);
    let bare = |address: &String| address.split('/').next().map(str::to_string);
    let addresses = addresses.flatten().filter_map(bare);
    addresses.map(|address| (address, names.clone())).collect()
}

/// `web.lab web`: either part may have been given in the other's place.
fn own_names(container: &Container) -> String {
    let mut name = spec::hostname(container);
    let domain = container.config.domainname.as_deref().unwrap_or_default();
    if !domain.is_empty() {
        name = format!("{name}.{domain}");
    }
    match name.split_once('.') {
        Some((short, _)) => format!("{name} {short}"),
        None => name,
    }
}

fn line((address, names): &Record) -> String {
    format!("{address}\t{names}\n")
}

/// A hosts file with `records` in place of those that had one of `names`.
fn replaced(old: &str, names: &[String], records: &[Record]) -> String {
    let is_theirs = |line: &&str| {
        let own = line.split_once('\t').map(|(_, names)| names);
        own.is_some_and(|own| names.iter().any(|names| names == own))
    };
    let mut text = String::new();
    for line in old.lines().filter(|line| !is_theirs(line)) {
        text.push_str(line);
        text.push('\n');
    }
    text.extend(records.iter().map(line));
    text
}

/// The address that this host has towards the world. Nothing is sent: to connect a socket for
/// datagrams only asks the kernel for a route (192.0.2.1 is for documentation, RFC 5737).
fn own_address() -> Option<String> {
    let any = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
    let socket = UdpSocket::bind(any).ok()?;
    socket
        .connect(SocketAddr::from((Ipv4Addr::new(192, 0, 2, 1), 9)))
        .ok()?;
    Some(socket.local_addr().ok()?.ip().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_by_others_stays_in_a_hosts_file() {
        let record = |address: &str, names: &str| (address.to_string(), names.to_string());
        let old = "127.0.0.1\tlocalhost\n# mine\n10.9.9.9 web\n10.1.0.2\tweb.lab web\n\
                   10.1.0.7\tother\nfd00::2\tweb.lab web\nlast";
        let records = [
            record("10.1.0.2", "web.lab web"),
            record("10.2.0.5", "web.lab web"),
        ];
        assert_eq!(
            replaced(old, &["web.lab web".to_string()], &records),
            "127.0.0.1\tlocalhost\n# mine\n10.9.9.9 web\n10.1.0.7\tother\nlast\n\
             10.1.0.2\tweb.lab web\n10.2.0.5\tweb.lab web\n"
        );
    }
}
