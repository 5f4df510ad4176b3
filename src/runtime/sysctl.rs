//! Kernel parameters that belong to a namespace of the container.

use crate::error::{Error, Result};
use crate::oci::spec::{Linux, Spec};
use crate::runtime::procfs::Procfs;
use crate::sys::fs;

/// Sysctls that belong to the IPC namespace, beside `fs.mqueue.*`.
const IPC: [&str; 8] = [
    "kernel.msgmax",
    "kernel.msgmnb",
    "kernel.msgmni",
    "kernel.sem",
    "kernel.shmall",
    "kernel.shmmax",
    "kernel.shmmni",
    "kernel.shm_rmid_forced",
];

/// Refuse what would reach beyond the container's own namespaces: runc's list and sentences.
pub fn check(linux: &Linux) -> Result<()> {
    for name in linux.sysctl.iter().flatten().map(|(name, _)| dotted(name)) {
        // What leads out of the part of /proc/sys that its beginning names is not what it seems.
        let climbs = path(&name).split('/').any(|part| part == "..");
        let refusal = if climbs {
            "is not in a separate kernel namespace"
        } else if IPC.contains(&name.as_str()) || name.starts_with("fs.mqueue.") {
            match has(linux, "ipc") {
                true => continue,
                false => "is not allowed in the hosts ipc namespace",
            }
        } else if name.starts_with("net.") {
            match has(linux, "network") {
                true => continue,
                false => "not allowed in host network namespace",
            }
        } else {
            match name.as_str() {
                // The spec has a member for the host's name; this one would be overwritten by it.
                "kernel.hostname" if has(linux, "uts") => {
                    "is not allowed as it conflicts with the OCI \"hostname\" field"
                }
                "kernel.domainname" if has(linux, "uts") => continue,
                name if name.starts_with("user.") && has(linux, "user") => continue,
                _ => "is not in a separate kernel namespace",
            }
        };
        return Err(Error::invalid(format!("sysctl {name:?} {refusal}")));
    }
    Ok(())
}

/// Whether the container has a namespace of this type that is not ours. One by path may be.
fn has(linux: &Linux, kind: &str) -> bool {
    let all = linux.namespaces.as_deref().unwrap_or_default();
    let Some(found) = all.iter().find(|one| one.kind.as_deref() == Some(kind)) else {
        return false;
    };
    let Some(path) = found.path.as_deref().filter(|path| !path.is_empty()) else {
        return true;
    };
    let file = match kind {
        "network" => "net",
        other => other,
    };
    let own = rustix::fs::stat(format!("/proc/self/ns/{file}"));
    match (own, rustix::fs::stat(path)) {
        (Ok(own), Ok(other)) => !fs::is_same(&own, &other),
        // Joining it will tell what is wrong.
        _ => true,
    }
}

/// Set what config.json asks for. Runs in the container's namespaces, as root.
pub fn apply(spec: &Spec) -> Result<()> {
    let mut proc = Procfs::default();
    let list = spec.linux.as_ref().and_then(|linux| linux.sysctl.as_ref());
    for (name, value) in list.into_iter().flatten() {
        proc.write(&format!("sys/{}", path(&dotted(name))), value)?;
    }
    Ok(())
}

/// With dots between the parts, as sysctl(8) prints it. Where the first separator is a slash, the
/// dots are part of names, such as that of a VLAN: `net/ipv4/conf/eth0.100/rp_filter`.
fn dotted(name: &str) -> String {
    match name.find(['.', '/']) {
        Some(at) if name[at..].starts_with('/') => name.chars().map(swap).collect(),
        _ => name.to_string(),
    }
}

/// The file of a name with dots.
fn path(dotted: &str) -> String {
    dotted.chars().map(swap).collect()
}

fn swap(character: char) -> char {
    match character {
        '.' => '/',
        '/' => '.',
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oci::spec::Namespace;

    fn outcome(name: &str, kinds: &[&str]) -> String {
        let namespaces = kinds.iter().map(|kind| Namespace {
            kind: Some((*kind).to_string()),
            path: None,
        });
        let linux = Linux {
            namespaces: Some(namespaces.collect()),
            sysctl: Some([(name.to_string(), "1".to_string())].into()),
            ..Linux::default()
        };
        match check(&linux) {
            Ok(()) => "good".to_string(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn what_is_not_the_containers_own_is_refused_in_runcs_words() {
        let all = ["ipc", "network", "uts", "pid", "mount"];
        for name in [
            "kernel.msgmax",
            "kernel/sem",
            "fs.mqueue.msg_max",
            "net.ipv4.ip_forward",
            "net/ipv4/conf/eth0.100/rp_filter",
            "kernel.domainname",
        ] {
            assert_eq!(outcome(name, &all), "good", "{name}");
            assert_ne!(outcome(name, &["pid", "mount"]), "good", "{name}");
        }
        for (name, kinds, expected) in [
            (
                "kernel.sem",
                &["network"][..],
                "sysctl \"kernel.sem\" is not allowed in the hosts ipc namespace",
            ),
            (
                "net/core/somaxconn",
                &["ipc"],
                "sysctl \"net.core.somaxconn\" not allowed in host network namespace",
            ),
            (
                "kernel.hostname",
                &all,
                "sysctl \"kernel.hostname\" is not allowed as it conflicts with the OCI \"hostname\" field",
            ),
            (
                "kernel.hostname",
                &[],
                "sysctl \"kernel.hostname\" is not in a separate kernel namespace",
            ),
            (
                "vm.swappiness",
                &all,
                "sysctl \"vm.swappiness\" is not in a separate kernel namespace",
            ),
            (
                "",
                &all,
                "sysctl \"\" is not in a separate kernel namespace",
            ),
            (
                "net/../vm/swappiness",
                &all,
                "sysctl \"net.//.vm.swappiness\" is not in a separate kernel namespace",
            ),
        ] {
            assert_eq!(outcome(name, kinds), expected);
        }
    }

    #[test]
    fn a_name_with_slashes_is_the_file_that_it_spells() {
        let path = |name: &str| path(&dotted(name));
        assert_eq!(path("net.ipv4.ip_forward"), "net/ipv4/ip_forward");
        assert_eq!(path("net/ipv4/ip_forward"), "net/ipv4/ip_forward");
        assert_eq!(
            path("net/ipv4/conf/eth0.100/rp_filter"),
            "net/ipv4/conf/eth0.100/rp_filter"
        );
    }
}
