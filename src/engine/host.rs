//! What containers share with this host: its controllers, its name, and the files that name
//! resolution reads.

use crate::engine::Engine;
use crate::engine::config::Options;
use crate::engine::container::Container;
use crate::engine::spec;
use crate::engine::spec::resources::Controllers;
use crate::engine::spec::wanted::{Kind, Wanted};
use crate::error::{Error, Result};
use std::path::Path;

pub fn controllers() -> Controllers {
    let names = crate::cgroup::controllers();
    let has = |name: &str| names.iter().any(|other| other == name);
    Controllers {
        memory: has("memory"),
        // The file is there where the kernel knows swap at all.
        swap: has("memory") && Path::new("/proc/swaps").exists(),
        cpu: has("cpu"),
        cpuset: has("cpuset"),
        pids: has("pids"),
        io: has("io"),
    }
}

/// Whether the kernel has seccomp filters. Kernels of boards often lack them.
pub fn has_seccomp() -> bool {
    crate::sys::seccomp::is_known(0)
}

/// The kernel's version, such as `6.1.0-9-amd64`.
pub fn kernel() -> String {
    let text = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    text.trim_end().to_string()
}

/// Whether mounts can be made read-only with all that is mounted below: mount_setattr(2), Linux 5.12.
pub fn makes_readonly_recursively() -> bool {
    let kernel = kernel();
    let mut parts = kernel.split(|c: char| !c.is_ascii_digit());
    let mut number = || parts.next().and_then(|part| part.parse::<u32>().ok());
    (number(), number()) >= (Some(5), Some(12))
}

pub fn name() -> String {
    let text = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    text.trim_end().to_string()
}

/// Bind sources must exist, but `-v` makes a missing one, as Docker does.
pub fn make_sources(wanted: Vec<Wanted>) -> Result<()> {
    for mount in wanted.into_iter().filter(|mount| mount.kind == Kind::Bind) {
        let source = mount.source;
        if Path::new(&source).exists() {
            continue;
        }
        if !mount.create_source {
            return Err(Error::invalid(format!(
                "invalid mount config for type \"bind\": bind source path does not exist: {source}"
            )));
        }
        std::fs::create_dir_all(&source).map_err(|e| {
            Error::io(
                format_args!("error while creating mount source path '{source}'"),
                &e,
            )
        })?;
    }
    Ok(())
}

impl Engine {
    /// Write hosts, hostname and resolv.conf, anew for each start as Docker does.
    pub(super) fn write_files(&self, container: &Container) -> Result<()> {
        let dir = self.data_dir(&container.id);
        let own_network = spec::has_own_network(container);
        let hostname = spec::hostname(container);
        let files = [
            ("hosts", hosts(container, own_network)),
            ("hostname", format!("{hostname}\n")),
            (
                "resolv.conf",
                resolv_conf(container, &self.options, own_network),
            ),
        ];
        for (name, content) in files {
            let path = dir.join(name);
            std::fs::write(&path, content)
                .map_err(|e| Error::io(format_args!("write {}", path.display()), &e))?;
        }
        Ok(())
    }
}

const HOSTS: &str = "127.0.0.1\tlocalhost
::1\tlocalhost ip6-localhost ip6-loopback
fe00::\tip6-localnet
ff00::\tip6-mcastprefix
ff02::1\tip6-allnodes
ff02::2\tip6-allrouters
";

fn hosts(container: &Container, own_network: bool) -> String {
    let mut text = match own_network {
        true => HOSTS.to_string(),
        false => std::fs::read_to_string("/etc/hosts").unwrap_or_else(|_| HOSTS.to_string()),
    };
    if own_network {
        let name = spec::hostname(container);
        // The container's own name answers even without a network.
        text.push_str("127.0.0.1\t");
        let domain = container.config.domainname.as_deref().unwrap_or_default();
        if !domain.is_empty() {
            text.push_str(&format!("{name}.{domain} "));
        }
        text.push_str(&format!("{name}\n"));
    }
    for entry in container.host.extra_hosts.iter().flatten() {
        // `name:address` or `name=address`; an IPv6 address has colons itself.
        if let Some((name, address)) = entry.split_once(['=', ':']) {
            match address.trim_matches(['[', ']']) {
                "host-gateway" => {
                    if let Some(address) = own_address() {
                        text.push_str(&format!("{address}\t{name}\n"));
                    }
                }
                address => text.push_str(&format!("{address}\t{name}\n")),
            }
        }
    }
    text
}

/// The address that this host has towards the world. Nothing is sent: to connect a socket for
/// datagrams only asks the kernel for a route (192.0.2.1 is for documentation, RFC 5737).
fn own_address() -> Option<String> {
    let socket = std::net::UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect("192.0.2.1:9").ok()?;
    Some(socket.local_addr().ok()?.ip().to_string())
}

fn resolv_conf(container: &Container, options: &Options, own_network: bool) -> String {
    let path = "/etc/resolv.conf";
    let host = std::fs::read_to_string(path).unwrap_or_default();
    // The engine's own settings count where the container has none.
    let list = |asked: &Option<Vec<String>>, default: &[String]| match asked.as_deref() {
        None | Some([]) => default.to_vec(),
        Some(list) => list.to_vec(),
    };
    let given = Resolver {
        servers: list(&container.host.dns, &options.dns),
        search: list(&container.host.dns_search, &options.dns_search),
        options: list(&container.host.dns_options, &options.dns_options),
    };
    given.over(&host, own_network)
}

/// What the user set of resolv.conf.
#[derive(Default)]
struct Resolver {
    servers: Vec<String>,
    search: Vec<String>,
    options: Vec<String>,
}

impl Resolver {
    /// The host's file with our settings in place of its lines of the same kind. The host's own
    /// loopback is not reachable from another network namespace.
    fn over(&self, host: &str, own_network: bool) -> String {
        let mut text = String::new();
        for line in host.lines() {
            let mut words = line.split_whitespace();
            let (key, value) = (
                words.next().unwrap_or_default(),
                words.next().unwrap_or_default(),
            );
            let replaced = match key {
                "nameserver" => {
                    let loopback = value.starts_with("127.") || value == "::1";
                    !self.servers.is_empty() || own_network && loopback
                }
                "search" | "domain" => !self.search.is_empty(),
                "options" => !self.options.is_empty(),
                _ => true,
            };
            if !replaced {
                text.push_str(line);
                text.push('\n');
            }
        }
        for server in &self.servers {
            text.push_str(&format!("nameserver {server}\n"));
        }
        // Docker's way to ask for no search list at all.
        if !self.search.is_empty() && self.search != ["."] {
            text.push_str(&format!("search {}\n", self.search.join(" ")));
        }
        if !self.options.is_empty() {
            text.push_str(&format!("options {}\n", self.options.join(" ")));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resolv_conf_is_the_hosts_without_what_cannot_be_reached() {
        let host = "# made by x\nnameserver 127.0.0.53\nnameserver 9.9.9.9\nsearch lan\n";
        let plain = Resolver::default();
        assert_eq!(plain.over(host, true), "nameserver 9.9.9.9\nsearch lan\n");
        assert_eq!(
            plain.over(host, false),
            "nameserver 127.0.0.53\nnameserver 9.9.9.9\nsearch lan\n"
        );
        let given = Resolver {
            servers: vec!["1.1.1.1".into()],
            search: vec![".".into()],
            options: vec!["ndots:2".into()],
        };
        assert_eq!(
            given.over(host, true),
            "nameserver 1.1.1.1\noptions ndots:2\n"
        );
    }
}
