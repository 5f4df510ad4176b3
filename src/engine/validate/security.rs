//! Capabilities, security options, groups, device rules, ulimits.

use super::not_yet;
use crate::engine::host;
use crate::engine::spec::{resources, seccomp, security};
use crate::error::{Error, Result};
use crate::wire::container::HostConfig;

pub fn check(host: &HostConfig) -> Result<()> {
    for (list, name) in [(&host.cap_add, "CapAdd"), (&host.cap_drop, "CapDrop")] {
        for cap in list.iter().flatten() {
            security::normal(cap)
                .map_err(|error| Error::invalid(format!("invalid {name}: {error}")))?;
        }
    }
    for option in host.security_opt.iter().flatten() {
        // Which profile it is is looked at below.
        if option.starts_with("seccomp=") || option.starts_with("seccomp:") {
            continue;
        }
        let known = matches!(
            option.replace('=', ":").as_str(),
            "no-new-privileges"
                | "no-new-privileges:true"
                | "no-new-privileges:false"
                | "apparmor:unconfined"
                | "label:disable"
                | "systempaths:unconfined"
        );
        if !known {
            return Err(not_yet(format_args!("--security-opt {option}")));
        }
    }
    let bounding = security::capabilities(
        host.privileged == Some(true),
        host.cap_add.as_deref().unwrap_or_default(),
        host.cap_drop.as_deref().unwrap_or_default(),
    );
    let kernel = seccomp::Host {
        has_seccomp: host::has_seccomp(),
        kernel: &host::kernel(),
    };
    seccomp::of(
        host,
        bounding.bounding.as_deref().unwrap_or_default(),
        &kernel,
    )?;
    for group in host.group_add.iter().flatten() {
        if group.parse::<u32>().is_err() {
            return Err(not_yet(format_args!("--group-add by name ({group})")));
        }
    }
    for rule in host.device_cgroup_rules.iter().flatten() {
        resources::parse_rule(rule)?;
    }
    const RLIMITS: [&str; 15] = [
        "core",
        "cpu",
        "data",
        "fsize",
        "locks",
        "memlock",
        "msgqueue",
        "nice",
        "nofile",
        "nproc",
        "rss",
        "rtprio",
        "rttime",
        "sigpending",
        "stack",
    ];
    for ulimit in host.ulimits.iter().flatten() {
        let name = ulimit.name.as_deref().unwrap_or_default();
        if !RLIMITS.contains(&name) {
            return Err(Error::invalid(format!("invalid ulimit type: {name}")));
        }
        // As unsigned, -1 is "unlimited".
        if ulimit.soft.unwrap_or(0) as u64 > ulimit.hard.unwrap_or(0) as u64 {
            return Err(Error::invalid(format!(
                "ulimit soft limit must be less than or equal to hard limit: {} > {}",
                ulimit.soft.unwrap_or(0),
                ulimit.hard.unwrap_or(0)
            )));
        }
    }
    Ok(())
}
