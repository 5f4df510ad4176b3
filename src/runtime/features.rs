//! `features`: what this runtime can do, for callers that ask before they write a config.json
//! (runtime-spec, `features.md`).
//!
//! Lists what the runtime implements, whether or not this kernel has it.

use crate::json;
use crate::json::node::quote;
use crate::json::object::strings;
use crate::oci::spec::VERSION;
use crate::runtime::{schedule, seccomp as filters};
use crate::seccomp;
use crate::sys::{capability, namespace};

/// The moments of hooks.
const HOOKS: [&str; 6] = [
    "prestart",
    "createRuntime",
    "createContainer",
    "startContainer",
    "poststart",
    "poststop",
];

/// What has a meaning of its own in a mount's options; the rest goes to the file system.
const MOUNT_OPTIONS: &str = "\
    async atime bind defaults dev diratime dirsync exec idmap iversion lazytime loud mand \
    noatime nodev nodiratime noexec noiversion nolazytime nomand norelatime nostrictatime \
    nosuid nosymfollow private ratime rbind rdev rdiratime relatime remount rexec ridmap \
    rnoatime rnodev rnodiratime rnoexec rnorelatime rnostrictatime rnosuid rnosymfollow ro \
    rprivate rrelatime rro rrw rshared rslave rstrictatime rsuid rsymfollow runbindable rw \
    shared silent slave strictatime suid symfollow sync tmpcopyup unbindable";

/// What filters can say here, and which of their flags this kernel takes.
fn seccomp() -> String {
    let supported = seccomp::FLAGS.iter().copied();
    let supported: Vec<&str> = supported
        .filter(|f| filters::is_flag_supported(f))
        .collect();
    format!(
        concat!(
            r#"{{"enabled":{enabled},"actions":{actions},"operators":{operators},"#,
            r#""archs":{archs},"knownFlags":{flags},"supportedFlags":{supported}}}"#
        ),
        enabled = filters::is_supported(),
        actions = strings(seccomp::ACTIONS),
        operators = strings(seccomp::OPERATORS),
        archs = strings(seccomp::ARCHS),
        flags = strings(seccomp::FLAGS),
        supported = strings(&supported),
    )
}

/// In one line.
pub fn json() -> String {
    let namespaces = namespace::TYPES.map(|kind| kind.name);
    let capabilities: Vec<String> = capability::names().collect();
    format!(
        concat!(
            r#"{{"ociVersionMin":"1.0.0","ociVersionMax":{version},"hooks":{hooks},"#,
            r#""mountOptions":{options},"linux":{{"namespaces":{namespaces},"#,
            r#""capabilities":{capabilities},"#,
            r#""cgroup":{{"v1":false,"v2":true,"systemd":false,"systemdUser":false,"rdma":true}},"#,
            r#""seccomp":{seccomp},"apparmor":{{"enabled":true}},"selinux":{{"enabled":true}},"#,
            r#""intelRdt":{{"enabled":false}},"#,
            r#""memoryPolicy":{{"modes":{modes},"flags":{flags}}},"mountExtensions":{{"idmap":{{"enabled":true}}}},"#,
            r#""netDevices":{{"enabled":true}}}},"potentiallyUnsafeConfigAnnotations":[]}}"#
        ),
        version = quote(VERSION),
        hooks = strings(&HOOKS),
        options = strings(&MOUNT_OPTIONS.split(' ').collect::<Vec<_>>()),
        namespaces = strings(&namespaces),
        capabilities = json::to_string(&capabilities),
        seccomp = seccomp(),
        modes = json::to_string(&schedule::MODES.map(|name| format!("MPOL_{name}")).to_vec()),
        flags = strings(&schedule::MODE_FLAGS.map(|(name, _)| name)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_in_order_and_once() {
        let names: Vec<&str> = MOUNT_OPTIONS.split(' ').collect();
        assert!(names.is_sorted_by(|one, next| one < next));
        assert_eq!(names.len(), 62);
    }
}
