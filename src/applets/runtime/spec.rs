//! `spec`: a config.json to start from, the one that `runc spec` writes.

use super::help::refuse;
use super::print::indent;
use crate::error::{Error, Result};
use crate::json;
use crate::oci::spec::{IdMapping, Mount, Namespace, Spec};
use lexopt::prelude::*;
use std::io::{ErrorKind, Write};
use std::path::PathBuf;

const CONFIG: &str = include_str!("config.json");

pub fn main(mut args: lexopt::Parser) -> Result<u8> {
    let mut bundle = PathBuf::from(".");
    let mut is_rootless = false;
    while let Some(arg) = args.next()? {
        match arg {
            Short('b') | Long("bundle") => bundle = PathBuf::from(args.value()?),
            Long("rootless") => is_rootless = true,
            other => return Err(refuse("spec", other)),
        }
    }
    let mut text = CONFIG.trim_end().to_string();
    if is_rootless {
        let uid = rustix::process::geteuid().as_raw();
        let gid = rustix::process::getegid().as_raw();
        text = json::to_string(&rootless(json::parse(&text, "config.json")?, uid, gid));
    }
    let path = bundle.join("config.json");
    std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(&path)
        .and_then(|mut file| file.write_all((indent(&text, "\t") + "\n").as_bytes()))
        .map_err(|error| match error.kind() {
            ErrorKind::AlreadyExists => Error::conflict("File config.json exists. Remove it first"),
            _ => Error::io(format_args!("write {}", path.display()), &error),
        })?;
    Ok(0)
}

/// For somebody who is not root: one id is all there is to map, the host's network and /sys stay,
/// and limits are not ours to set.
fn rootless(mut spec: Spec, uid: u32, gid: u32) -> Spec {
    let linux = spec.linux.get_or_insert_default();
    let namespaces = linux.namespaces.get_or_insert_default();
    namespaces.retain(|namespace| namespace.kind.as_deref() != Some("network"));
    namespaces.push(Namespace {
        kind: Some("user".to_string()),
        path: None,
    });
    let only = |host_id| {
        Some(vec![IdMapping {
            container_id: Some(0),
            host_id: Some(host_id),
            size: Some(1),
        }])
    };
    linux.uid_mappings = only(uid);
    linux.gid_mappings = only(gid);
    linux.resources = None;
    for mount in spec.mounts.iter_mut().flatten() {
        if mount.destination.as_deref() == Some("/sys") {
            let options = ["rbind", "nosuid", "noexec", "nodev", "ro"];
            *mount = Mount {
                destination: mount.destination.take(),
                kind: Some("none".to_string()),
                source: Some("/sys".to_string()),
                options: Some(options.map(str::to_string).to_vec()),
                ..Mount::default()
            };
        }
        let is_owner = |option: &str| option.starts_with("uid=") || option.starts_with("gid=");
        if let Some(options) = &mut mount.options {
            options.retain(|option| !is_owner(option));
        }
    }
    spec
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_config_is_one_that_we_can_run() {
        let spec: Spec = json::parse(CONFIG, "config.json").unwrap();
        assert_eq!(spec.process.unwrap().args.unwrap(), ["sh"]);
        assert_eq!(spec.mounts.unwrap().len(), 7);
        assert_eq!(spec.linux.unwrap().namespaces.unwrap().len(), 6);
    }

    #[test]
    fn a_rootless_config_maps_the_caller_alone() {
        let spec = rootless(json::parse(CONFIG, "config.json").unwrap(), 1000, 1001);
        let linux = spec.linux.unwrap();
        assert!(linux.resources.is_none());
        let names: Vec<String> = linux
            .namespaces
            .unwrap()
            .into_iter()
            .flat_map(|n| n.kind)
            .collect();
        assert_eq!(names, ["pid", "ipc", "uts", "mount", "cgroup", "user"]);
        let map = &linux.gid_mappings.unwrap()[0];
        assert_eq!(
            (map.container_id, map.host_id, map.size),
            (Some(0), Some(1001), Some(1))
        );
        let text = json::to_string(&spec.mounts);
        assert!(!text.contains("gid=") && text.contains("rbind"), "{text}");
    }
}
