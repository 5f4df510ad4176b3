//! What our engine writes for our own runtime, as every other one reads it.
//!
//! Ours looks users up inside the container's root and has Docker's seccomp profile built in; both
//! spare the engine work, and neither is in the OCI's specification.

use crate::error::Result;
use crate::oci::spec::{Capabilities, Process, Spec};
use crate::runtime::user;
use crate::seccomp::builtin;
use crate::sys::capability;
use std::path::Path;

/// crun before 1.9 refuses bundles that are newer, whatever is in them.
const VERSION: &str = "1.0.2";

/// `oom_score_adj` is for processes that do not say: a runtime that is run by a shim would hand
/// them the shim's, which memory pressure spares.
pub fn spec(spec: &Spec, bundle: &Path, oom_score_adj: Option<i32>) -> Result<Spec> {
    let mut spec = spec.clone();
    spec.oci_version = Some(VERSION.to_string());
    if let Some(given) = &mut spec.process {
        given.oom_score_adj = given.oom_score_adj.or(oom_score_adj);
        *given = process(given, bundle)?;
    }
    let process = spec.process.as_ref();
    let capabilities = process.and_then(|process| process.capabilities.as_ref());
    let bounding = capabilities.and_then(|capabilities| capabilities.bounding.as_deref());
    let Some(linux) = &mut spec.linux else {
        return Ok(spec);
    };
    if let Some(seccomp) = &mut linux.seccomp
        && seccomp.profile.as_deref() == Some(builtin::NAME)
    {
        *seccomp = builtin::profile(bounding.unwrap_or_default());
    }
    // runc before 1.2 knows no time namespaces, and without offsets a new one is as good as none.
    if let Some(namespaces) = &mut linux.namespaces {
        namespaces.retain(|one| one.kind.as_deref() != Some("time") || one.path.is_some());
    }
    Ok(spec)
}

pub fn process(process: &Process, bundle: &Path) -> Result<Process> {
    let mut process = process.clone();
    let Some(user) = &mut process.user else {
        return Ok(process);
    };
    if user.username.is_some() {
        // The container's root is mounted there, in the shim's own mount namespace.
        let ids = user::resolve_below(&bundle.join("rootfs"), user)?.ids;
        user.uid = Some(ids.uid);
        user.gid = Some(ids.gid);
        user.additional_gids = Some(ids.groups);
        user.username = None;
        user.additional_groups = None;
    }
    if let Some(capabilities) = &mut process.capabilities {
        keep_available(capabilities, capability::permitted()?);
    }
    // As execve(2) does it for those who are not root (moby, daemon/pkg/oci: SetCapabilities).
    if user.uid != Some(0)
        && let Some(capabilities) = &mut process.capabilities
        && capabilities.ambient.as_ref().is_none_or(Vec::is_empty)
    {
        *capabilities = Capabilities {
            bounding: capabilities.bounding.take(),
            ..Capabilities::default()
        };
    }
    Ok(process)
}

/// Others fail where ours takes what there is: `--privileged` asks for all that the kernel knows,
/// and a machine or an outer container may have fewer.
fn keep_available(capabilities: &mut Capabilities, available: u64) {
    let is_there = |name: &String| capability::bit(name).is_some_and(|bit| available & bit != 0);
    for list in [
        &mut capabilities.bounding,
        &mut capabilities.effective,
        &mut capabilities.permitted,
        &mut capabilities.inheritable,
        &mut capabilities.ambient,
    ] {
        list.iter_mut().for_each(|list| list.retain(is_there));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json;

    fn bundle(name: &str) -> std::path::PathBuf {
        let dir = std::env::temp_dir().join(format!("tug-{name}-{}", std::process::id()));
        std::fs::create_dir_all(dir.join("rootfs/etc")).unwrap();
        std::fs::write(dir.join("rootfs/etc/passwd"), "app:x:7:8::/:\n").unwrap();
        std::fs::write(dir.join("rootfs/etc/group"), "more:x:9:app\n").unwrap();
        dir
    }

    #[test]
    fn capabilities_that_are_not_there_are_not_asked_for() {
        let both = || Some(vec!["CAP_CHOWN".to_string(), "CAP_BPF".to_string()]);
        let mut capabilities = Capabilities {
            bounding: both(),
            effective: both(),
            ..Default::default()
        };
        keep_available(&mut capabilities, capability::bit("CAP_CHOWN").unwrap());
        assert_eq!(capabilities.bounding.unwrap(), ["CAP_CHOWN"]);
        assert_eq!(capabilities.effective.unwrap(), ["CAP_CHOWN"]);
    }

    #[test]
    fn what_only_we_read_is_spelled_out() {
        let bundle = bundle("translate");
        let text = r#"{"process": {"user": {"username": "app", "additionalGids": [4]},
            "capabilities": {"bounding": ["CAP_CHOWN"], "effective": ["CAP_CHOWN"]}},
            "linux": {"seccomp": {"profile": "builtin"},
            "namespaces": [{"type": "pid"}, {"type": "time"}]}}"#;
        let told: Spec = json::parse(text, "spec").unwrap();
        let told = spec(&told, &bundle, Some(3)).unwrap();
        std::fs::remove_dir_all(&bundle).unwrap();

        let process = told.process.unwrap();
        assert_eq!(process.oom_score_adj, Some(3));
        let user = process.user.unwrap();
        assert_eq!(
            (user.uid, user.gid, user.username),
            (Some(7), Some(8), None)
        );
        assert_eq!(user.additional_gids.unwrap(), [8, 9, 4]);
        let capabilities = process.capabilities.unwrap();
        assert_eq!(capabilities.bounding.unwrap(), ["CAP_CHOWN"]);
        assert_eq!(capabilities.effective, None);

        let linux = told.linux.unwrap();
        let seccomp = linux.seccomp.unwrap();
        assert_eq!(seccomp.profile, None);
        assert!(seccomp.syscalls.unwrap().len() > 5);
        assert_eq!(linux.namespaces.unwrap().len(), 1);
    }
}
