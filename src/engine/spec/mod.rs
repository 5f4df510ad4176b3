//! The one place where Docker's configuration becomes an OCI runtime spec.
//!
//! Options are Docker's (moby, daemon/pkg/oci/options.go and daemon/oci_linux.go). What makes no
//! sense has been refused by `validate` when the container was created.

pub mod mounts;
mod parts;
pub mod resources;
pub mod seccomp;
pub mod security;
pub mod wanted;

use crate::engine::config::Options;
use crate::engine::container::Container;
use crate::engine::shared::Donors;
use crate::error::Result;
use crate::json::map::Map;
use crate::oci::spec::{self, ConsoleSize, Linux, Namespace, Process, Rlimit, Root, Spec, User};
use crate::runtime::lsm;
use crate::wire::container::{HostConfig, Ulimit};
use crate::wire::exec;
use std::path::Path;

/// What a spec depends on beside the container.
pub struct Place<'a> {
    /// The container's own.
    pub data_dir: &'a Path,
    /// Holds hosts, hostname and resolv.conf: ours, or of the container whose network it shares.
    pub files_dir: &'a Path,
    /// /dev/shm of the container whose IPC namespace it shares.
    pub shm: Option<&'a Path>,
    pub donors: &'a Donors,
    /// Where volumes and images are, by their places in the container.
    pub sources: &'a Map<String>,
    pub options: &'a Options,
    /// Our own executable, which is also the init.
    pub binary: &'a Path,
    pub controllers: resources::Controllers,
    pub seccomp: seccomp::Host<'a>,
}

/// Docker's default search path for Linux.
const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Where Docker puts the init; programs look for it there.
pub const INIT: &str = "/sbin/docker-init";

pub fn build(container: &Container, place: &Place<'_>) -> Result<Spec> {
    let host = &container.host;
    let own_network = has_own_network(container);
    let masked = |paths: &Option<Vec<String>>| {
        let paths = paths.clone().unwrap_or_default();
        Some(paths).filter(|paths| !paths.is_empty())
    };
    let process = process(container, place.options);
    let caps = process.capabilities.as_ref();
    let bounding = caps.and_then(|caps| caps.bounding.as_deref());
    let filter = seccomp::of(host, bounding.unwrap_or_default(), &place.seccomp)?;
    Ok(Spec {
        oci_version: Some(spec::VERSION.to_string()),
        process: Some(process),
        root: Some(Root {
            path: Some("rootfs".to_string()),
            readonly: host.readonly_rootfs,
        }),
        hostname: Some(hostname(container)).filter(|_| host.uts_mode.as_deref() != Some("host")),
        domainname: container
            .config
            .domainname
            .clone()
            .filter(|name| !name.is_empty()),
        mounts: Some(mounts::all(container, place)?),
        annotations: host.annotations.clone().filter(|map| !map.is_empty()),
        linux: Some(Linux {
            sysctl: Some(sysctls(container, own_network)),
            resources: Some(resources::of(container, place.controllers)?),
            cgroups_path: Some(cgroups_path(container, place.options)),
            namespaces: Some(joined(container, place.donors)),
            devices: Some(resources::devices(container)?),
            rootfs_propagation: mounts::root_propagation(container),
            masked_paths: masked(&host.masked_paths),
            readonly_paths: masked(&host.readonly_paths),
            seccomp: filter,
            ..Linux::default()
        }),
        ..Spec::default()
    })
}

fn process(container: &Container, options: &Options) -> Process {
    let host = &container.host;
    let mut args = vec![container.path.clone()];
    args.extend(container.args.iter().cloned());
    if host.init == Some(true) {
        args.splice(0..0, [INIT.to_string(), "--".to_string()]);
    }
    let cwd = container.config.working_dir.clone().unwrap_or_default();
    Process {
        terminal: Some(container.has_terminal()),
        console_size: console_size(host.console_size.as_deref()),
        user: Some(user(
            container.config.user.as_deref(),
            host.group_add.as_deref(),
        )),
        args: Some(args),
        env: Some(environment(container, container.has_terminal())),
        cwd: Some(if cwd.is_empty() { "/".to_string() } else { cwd }),
        capabilities: Some(security::capabilities(
            host.privileged == Some(true),
            host.cap_add.as_deref().unwrap_or_default(),
            host.cap_drop.as_deref().unwrap_or_default(),
        )),
        rlimits: Some(rlimits(container, options)),
        no_new_privileges: Some(
            security::switch(host.security_opt.as_deref(), "no-new-privileges")
                .unwrap_or(options.no_new_privileges),
        ),
        apparmor_profile: security::apparmor(host.security_opt.as_deref())
            .filter(|_| lsm::has_apparmor())
            .map(str::to_string),
        selinux_label: security::selinux(host.security_opt.as_deref())
            .filter(|_| lsm::has_selinux()),
        oom_score_adj: host.oom_score_adj.filter(|adjustment| *adjustment != 0),
        ..Process::default()
    }
}

/// The process of an exec: the container's own, but for what the request says.
pub fn exec_process(
    container: &Container,
    request: &exec::CreateRequest,
    options: &Options,
) -> Process {
    let terminal = request.tty == Some(true);
    let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    let mut env = environment(container, terminal);
    replace_env(&mut env, request.env.as_deref().unwrap_or_default());

    let mut process = process(container, options);
    process.terminal = Some(terminal);
    process.console_size = console_size(request.console_size.as_deref());
    process.args = request.cmd.clone();
    process.env = Some(env);
    if let Some(user_text) = given(&request.user) {
        process.user = Some(user(Some(&user_text), container.host.group_add.as_deref()));
    }
    if let Some(cwd) = given(&request.working_dir) {
        process.cwd = Some(cwd);
    }
    if request.privileged == Some(true) {
        process.capabilities = Some(security::capabilities(true, &[], &[]));
    }
    process
}

/// Height and width as Docker's clients send them.
fn console_size(size: Option<&[u32]>) -> Option<ConsoleSize> {
    let [height, width] = size? else { return None };
    let side = |n: u32| u16::try_from(n).ok().filter(|n| *n > 0);
    Some(ConsoleSize {
        height: Some(side(*height)?),
        width: Some(side(*width)?),
    })
}

/// The runtime resolves names inside the container's root.
fn user(text: Option<&str>, groups: Option<&[String]>) -> User {
    User {
        uid: Some(0),
        gid: Some(0),
        additional_groups: groups
            .map(<[String]>::to_vec)
            .filter(|groups| !groups.is_empty()),
        // Root is looked up like anybody: the image may have put it into groups.
        username: Some(
            text.filter(|text| !text.is_empty())
                .unwrap_or("0")
                .to_string(),
        ),
        ..User::default()
    }
}

pub fn hostname(container: &Container) -> String {
    container.config.hostname.clone().unwrap_or_default()
}

fn environment(container: &Container, terminal: bool) -> Vec<String> {
    let mut env = vec![
        PATH.to_string(),
        format!("HOSTNAME={}", hostname(container)),
    ];
    if terminal {
        env.push("TERM=xterm".to_string());
    }
    replace_env(
        &mut env,
        container.config.env.as_deref().unwrap_or_default(),
    );
    env
}

/// Put `more` into `env` in place of variables of the same name; a name without `=` takes
/// the variable away.
fn replace_env(env: &mut Vec<String>, more: &[String]) {
    for entry in more {
        let name = entry.split_once('=').map(|(name, _)| name);
        let found = env.iter().position(|other| {
            other.split_once('=').map(|(name, _)| name) == Some(name.unwrap_or(entry))
        });
        match (found, name) {
            (Some(at), Some(_)) => env[at].clone_from(entry),
            (Some(at), None) => drop(env.remove(at)),
            (None, Some(_)) => env.push(entry.clone()),
            (None, None) => {}
        }
    }
}

/// Those asked for, and of the others the engine's.
fn rlimits(container: &Container, options: &Options) -> Vec<Rlimit> {
    let asked = container.host.ulimits.as_deref().unwrap_or_default();
    let is_asked = |other: &Ulimit| asked.iter().any(|ulimit| ulimit.name == other.name);
    let more = options
        .default_ulimits
        .iter()
        .filter(|other| !is_asked(other));
    let limit = |n: Option<i64>| Some(n.unwrap_or(0) as u64);
    asked
        .iter()
        .chain(more)
        .map(|ulimit| Rlimit {
            kind: ulimit
                .name
                .as_ref()
                .map(|name| format!("RLIMIT_{}", name.to_ascii_uppercase())),
            // -1 is "unlimited", which is also the kernel's RLIM_INFINITY.
            hard: limit(ulimit.hard),
            soft: limit(ulimit.soft),
        })
        .collect()
}

/// In a network namespace of its own a container may serve port 80 and ping as any user.
fn sysctls(container: &Container, own_network: bool) -> Map<String> {
    let mut sysctls = Map::new();
    if own_network {
        let mut set = |key: &str, value: &str| sysctls.insert(key.to_string(), value.to_string());
        set("net.ipv4.ip_unprivileged_port_start", "0");
        set("net.ipv4.ping_group_range", "0 2147483647");
    }
    sysctls.extend(container.host.sysctls.clone().unwrap_or_default());
    sysctls
}

/// Whether it has a network namespace that is not the host's; it may be another container's.
pub fn has_own_network(container: &Container) -> bool {
    container.host.network_mode.as_deref() != Some("host")
        || container.config.network_disabled == Some(true)
}

/// The namespaces that are not the host's.
pub fn namespaces(host: &HostConfig) -> Vec<Namespace> {
    let own = |mode: &Option<String>| mode.as_deref() != Some("host");
    let list = [
        ("mount", true),
        ("network", own(&host.network_mode)),
        ("uts", own(&host.uts_mode)),
        ("pid", own(&host.pid_mode)),
        ("ipc", own(&host.ipc_mode)),
        ("cgroup", own(&host.cgroupns_mode)),
        // Linux 5.6; others do without, as Docker does.
        ("time", Path::new("/proc/self/ns/time").exists()),
    ];
    list.iter()
        .filter(|(_, own)| *own)
        .map(|(kind, _)| Namespace {
            kind: Some((*kind).to_string()),
            path: None,
        })
        .collect()
}

/// The same, with the paths of those that are other containers'.
fn joined(container: &Container, donors: &Donors) -> Vec<Namespace> {
    let mut all = namespaces(&container.host);
    let disabled = container.config.network_disabled == Some(true);
    if disabled && container.host.network_mode.as_deref() == Some("host") {
        all.push(Namespace {
            kind: Some("network".to_string()),
            path: None,
        });
    }
    for namespace in &mut all {
        let (donor, file) = match namespace.kind.as_deref() {
            Some("network") if !disabled => (&donors.network, "net"),
            Some("pid") => (&donors.pid, "pid"),
            Some("ipc") => (&donors.ipc, "ipc"),
            _ => continue,
        };
        namespace.path = donor.as_ref().map(|donor| donor.namespace(file));
    }
    all
}

/// Where groups of containers go if nobody says.
const CGROUP_PARENT: &str = "/tug";

fn cgroups_path(container: &Container, options: &Options) -> String {
    let asked = container.host.cgroup_parent.as_deref().unwrap_or_default();
    let mut parents = [asked, &options.cgroup_parent, CGROUP_PARENT].into_iter();
    let parent = parents.find(|parent| !parent.is_empty());
    let parent = parent.unwrap_or_default().trim_matches('/');
    format!("/{parent}/{}", container.id)
}

#[cfg(test)]
mod tests;
