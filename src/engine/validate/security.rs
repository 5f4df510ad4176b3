//! Capabilities, security options, groups, devices, ulimits, sysctls.

use crate::engine::host;
use crate::engine::spec::{self, resources, seccomp, security};
use crate::error::{Error, Result};
use crate::kernel;
use crate::oci::spec::Linux;
use crate::runtime::{lsm, sysctl};
use crate::wire::container::{HostConfig, Ulimit};

pub fn check(host: &HostConfig, warnings: &mut Vec<String>) -> Result<()> {
    for (list, name) in [(&host.cap_add, "CapAdd"), (&host.cap_drop, "CapDrop")] {
        for cap in list.iter().flatten() {
            security::normal(cap)
                .map_err(|error| Error::invalid(format!("invalid {name}: {error}")))?;
        }
    }
    for option in host.security_opt.iter().flatten() {
        check_option(option, warnings)?;
    }
    check_seccomp(host)?;
    for rule in host.device_cgroup_rules.iter().flatten() {
        resources::parse_rule(rule)?;
    }
    for device in host.devices.iter().flatten() {
        let access = device.cgroup_permissions.as_deref().unwrap_or_default();
        if !access.bytes().all(|letter| b"rwm".contains(&letter)) {
            return Err(Error::invalid(format!("bad mode specified: {access}")));
        }
    }
    for ulimit in host.ulimits.iter().flatten() {
        check_ulimit(ulimit)?;
    }
    // The runtime would refuse it at each start.
    sysctl::check(&Linux {
        sysctl: host.sysctls.clone(),
        namespaces: Some(spec::namespaces(host)),
        ..Linux::default()
    })
}

/// The sentences are moby's (daemon_unix.go, parseSecurityOpt).
fn check_option(option: &str, warnings: &mut Vec<String>) -> Result<()> {
    let invalid = |step: u8| Error::invalid(format!("invalid --security-opt {step}: {option:?}"));
    if matches!(option, "no-new-privileges" | "writable-cgroups" | "disable") {
        return Ok(());
    }
    let (key, value) = security::split(option).ok_or_else(|| invalid(1))?;
    match key {
        // Which profile it is is looked at for itself.
        "seccomp" => Ok(()),
        "no-new-privileges" | "writable-cgroups" => {
            security::boolean(value).map(drop).ok_or_else(|| invalid(2))
        }
        // Without the module there is nothing that confines by profile or label.
        "apparmor" if value == "unconfined" || lsm::has_apparmor() => Ok(()),
        "label" if value == "disable" || lsm::has_selinux() => Ok(()),
        "apparmor" | "label" => {
            let name = if key == "label" {
                "SELinux"
            } else {
                "AppArmor"
            };
            warnings.push(format!(
                "Your kernel does not support {name}, or it is not enabled. Security option {option} discarded."
            ));
            Ok(())
        }
        _ => Err(invalid(2)),
    }
}

/// A profile that makes no sense is told now, not at each start.
fn check_seccomp(host: &HostConfig) -> Result<()> {
    let caps = security::capabilities(
        host.privileged == Some(true),
        host.cap_add.as_deref().unwrap_or_default(),
        host.cap_drop.as_deref().unwrap_or_default(),
    );
    let kernel = seccomp::Host {
        has_seccomp: host::has_seccomp(),
        kernel: &kernel::release(),
    };
    seccomp::of(host, caps.bounding.as_deref().unwrap_or_default(), &kernel).map(drop)
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

fn check_ulimit(ulimit: &Ulimit) -> Result<()> {
    let name = ulimit.name.as_deref().unwrap_or_default();
    if !RLIMITS.contains(&name) {
        return Err(Error::invalid(format!("invalid ulimit type: {name}")));
    }
    // As unsigned, -1 is "unlimited".
    let (soft, hard) = (ulimit.soft.unwrap_or(0), ulimit.hard.unwrap_or(0));
    match soft as u64 > hard as u64 {
        true => Err(Error::invalid(format!(
            "ulimit soft limit must be less than or equal to hard limit: {soft} > {hard}"
        ))),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> String {
        let mut host: HostConfig = crate::json::parse(text, "test").unwrap();
        super::super::modes::check(&mut host, &crate::engine::config::Options::default()).unwrap();
        let mut warnings = Vec::new();
        match check(&host, &mut warnings) {
            Ok(()) => warnings.concat(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn bad_options_are_refused_in_dockers_words() {
        for (text, expected) in [
            (
                r#"{"CapAdd":["fly"]}"#,
                "invalid CapAdd: unknown capability: \"CAP_FLY\"",
            ),
            (
                r#"{"SecurityOpt":["foo"]}"#,
                "invalid --security-opt 1: \"foo\"",
            ),
            (
                r#"{"SecurityOpt":["foo=bar"]}"#,
                "invalid --security-opt 2: \"foo=bar\"",
            ),
            (
                r#"{"SecurityOpt":["systempaths=unconfined"]}"#,
                "invalid --security-opt 2: \"systempaths=unconfined\"",
            ),
            (
                r#"{"SecurityOpt":["no-new-privileges=maybe"]}"#,
                "invalid --security-opt 2: \"no-new-privileges=maybe\"",
            ),
            (
                r#"{"SecurityOpt":["no-new-privileges:true","writable-cgroups","label=disable","apparmor=unconfined","seccomp=unconfined"]}"#,
                "",
            ),
            (
                r#"{"Ulimits":[{"Name":"foo","Soft":1,"Hard":2}]}"#,
                "invalid ulimit type: foo",
            ),
            (
                r#"{"Ulimits":[{"Name":"nofile","Soft":3,"Hard":2}]}"#,
                "ulimit soft limit must be less than or equal to hard limit: 3 > 2",
            ),
            (r#"{"Ulimits":[{"Name":"nofile","Soft":3,"Hard":-1}]}"#, ""),
            (
                r#"{"Devices":[{"PathOnHost":"/dev/null","CgroupPermissions":"rx"}]}"#,
                "bad mode specified: rx",
            ),
            (
                r#"{"Sysctls":{"vm.swappiness":"1"}}"#,
                "sysctl \"vm.swappiness\" is not in a separate kernel namespace",
            ),
            (
                r#"{"NetworkMode":"host","Sysctls":{"net.ipv4.ip_forward":"1"}}"#,
                "sysctl \"net.ipv4.ip_forward\" not allowed in host network namespace",
            ),
            (
                r#"{"Sysctls":{"net.ipv4.ip_forward":"1","kernel.shmmax":"1"}}"#,
                "",
            ),
        ] {
            assert_eq!(told(text), expected, "{text}");
        }
    }
}
