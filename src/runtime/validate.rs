//! What is wrong in a config.json, told before anything is made: the member, and runc's sentence
//! where runc has one.
//!
//! Here is what the text alone shows, and what this machine cannot do. What needs the bundle's
//! files or other namespaces is checked where it is used (`plan`, `mount`, `cgroup`).

use crate::error::{Context, Error, Result};
use crate::kernel::{Feature, lacks};
use crate::log::warn;
use crate::net::device;
use crate::oci::spec::{Hook, Hooks, IdMapping, Linux, Process, Resources, Spec};
use crate::runtime::{limits, lsm, options, schedule, sysctl};
use crate::sys::capability;
use std::fmt::Display;

/// Whether `spec` makes sense.
pub fn check(spec: &Spec) -> Result<()> {
    let version = spec.oci_version.as_deref().unwrap_or_default();
    if version.is_empty() {
        return bad("ociVersion", "is missing");
    }
    // Minor versions only add members, which are ignored where we do not know them.
    let mut parts = version.split('.');
    let is_known = matches!(parts.next(), Some("0" | "1"));
    let minor = parts.next().and_then(|minor| minor.parse::<u16>().ok());
    if !is_known || minor.is_none() {
        return bad(
            "ociVersion",
            format_args!("{version:?} is none that we know: use 1.x.y"),
        );
    }
    let Some(root) = &spec.root else {
        return Err(Error::invalid("root must be specified"));
    };
    if root.path.as_deref().unwrap_or_default().is_empty() {
        return bad("root.path", "is missing");
    }
    if let Some(process) = &spec.process {
        check_process(process)?;
        if process.args.as_ref().is_none_or(Vec::is_empty) {
            return Err(Error::invalid("args must not be empty"));
        }
    }
    if let Some(hooks) = &spec.hooks {
        check_hooks(hooks)?;
    }
    spec.linux.as_ref().map_or(Ok(()), check_linux)
}

/// Whether the kernel has what is asked for.
pub fn check_kernel(spec: &Spec) -> Result<()> {
    if let Some(process) = &spec.process {
        lsm::check(process)?;
    }
    let Some(linux) = &spec.linux else {
        return Ok(());
    };
    if linux.intel_rdt.is_some() {
        return Err(Error::unsupported(
            "linux.intelRdt is specified in config, but Intel RDT is not supported",
        ));
    }
    let label = linux.mount_label.as_deref().unwrap_or_default();
    if !label.is_empty() && !lsm::has_selinux() {
        return bad(
            "linux.mountLabel",
            format!(
                "is specified, but selinux is disabled or not supported {}",
                lacks(Feature::Selinux)
            ),
        );
    }
    Ok(())
}

/// A process of a container, its first or another.
pub fn check_process(process: &Process) -> Result<()> {
    match process.cwd.as_deref().unwrap_or_default() {
        "" => return Err(Error::invalid("Cwd property must not be empty")),
        cwd if !cwd.starts_with('/') => {
            return Err(Error::invalid("Cwd must be an absolute path"));
        }
        _ => {}
    }
    for text in process.env.iter().flatten() {
        check_variable(text)?;
    }
    limits::check(process)?;
    if let Some(score) = process.oom_score_adj
        && !(-1000..=1000).contains(&score)
    {
        return bad("process.oomScoreAdj", "must be in the range -1000 to 1000");
    }
    if let Some(asked) = &process.scheduler {
        schedule::attributes(asked)?;
    }
    if let Some(asked) = &process.io_priority {
        schedule::io_priority(asked)?;
    }
    if let Some(asked) = &process.exec_cpu_affinity {
        schedule::affinity(asked)?;
    }
    warn_of_capabilities(process);
    Ok(())
}

/// As runc: a name, and a value that may be empty.
fn check_variable(text: &str) -> Result<()> {
    let problem = match text.find('=') {
        None => "missing '='",
        Some(0) => "name cannot be empty",
        Some(at) if text.contains('\0') => {
            let name = &text[..at];
            return Err(Error::invalid(format!(
                "invalid environment variable {name:?}: contains nul byte (\\x00)"
            )));
        }
        Some(_) => return Ok(()),
    };
    Err(Error::invalid(format!(
        "invalid environment variable: {problem}"
    )))
}

/// They belong to newer kernels than we know; the process goes without them.
fn warn_of_capabilities(process: &Process) {
    let Some(sets) = &process.capabilities else {
        return;
    };
    let mut unknown: Vec<&str> = Vec::new();
    for set in [
        &sets.bounding,
        &sets.effective,
        &sets.inheritable,
        &sets.permitted,
        &sets.ambient,
    ] {
        for name in set.iter().flatten() {
            if capability::bit(name).is_none() && !unknown.contains(&name.as_str()) {
                unknown.push(name);
            }
        }
    }
    if !unknown.is_empty() {
        warn(format_args!(
            "ignoring unknown or unavailable capabilities: [{}]",
            unknown.join(" ")
        ));
    }
}

fn check_hooks(hooks: &Hooks) -> Result<()> {
    for (name, list) in [
        ("prestart", &hooks.prestart),
        ("createRuntime", &hooks.create_runtime),
        ("createContainer", &hooks.create_container),
        ("startContainer", &hooks.start_container),
        ("poststart", &hooks.poststart),
        ("poststop", &hooks.poststop),
    ] {
        for (index, hook) in list.iter().flatten().enumerate() {
            check_hook(hook).context(|| format!("config.json: hooks.{name}[{index}]"))?;
        }
    }
    Ok(())
}

fn check_hook(hook: &Hook) -> Result<()> {
    let path = hook.path.as_deref().unwrap_or_default();
    let problem = if !path.starts_with('/') {
        "path must be an absolute path"
    } else if hook.timeout.is_some_and(|seconds| seconds < 1) {
        "timeout must be greater than zero"
    } else {
        return Ok(());
    };
    Err(Error::invalid(problem))
}

fn check_linux(linux: &Linux) -> Result<()> {
    for (name, list) in [
        ("uidMappings", &linux.uid_mappings),
        ("gidMappings", &linux.gid_mappings),
    ] {
        check_mappings(name, list)?;
    }
    for (index, device) in linux.devices.iter().flatten().enumerate() {
        let path = device.path.as_deref().unwrap_or_default();
        let is_node = matches!(device.kind.as_deref(), Some("c" | "b" | "u"));
        let problem = if !path.starts_with('/') {
            "path must be an absolute path"
        } else if !is_node && device.kind.as_deref() != Some("p") {
            "type must be c, b, u or p"
        } else if is_node && (device.major.is_none() || device.minor.is_none()) {
            "major and minor are needed"
        } else {
            continue;
        };
        return bad(format_args!("linux.devices[{index}]"), problem);
    }
    if let Some(devices) = &linux.net_devices {
        device::check(devices)?;
    }
    if let Some(resources) = &linux.resources {
        check_resources(resources)?;
    }
    if let Some(name) = linux
        .rootfs_propagation
        .as_deref()
        .filter(|n| !n.is_empty())
        && options::propagation(name).is_none()
    {
        return Err(Error::invalid(format!(
            "rootfsPropagation={name} is not supported"
        )));
    }
    sysctl::check(linux)?;
    check_rest(linux)
}

fn check_mappings(name: &str, list: &Option<Vec<IdMapping>>) -> Result<()> {
    for (index, map) in list.iter().flatten().enumerate() {
        if map.container_id.is_none() || map.host_id.is_none() || map.size.is_none() {
            return bad(
                format_args!("linux.{name}[{index}]"),
                "needs containerID, hostID and size",
            );
        }
    }
    Ok(())
}

/// As the kernel: dev_valid_name(). What an empty new name means is decided where it is used.
fn check_resources(resources: &Resources) -> Result<()> {
    for (index, rule) in resources.devices.iter().flatten().enumerate() {
        if rule.access.as_deref().unwrap_or_default().is_empty() {
            return Err(Error::invalid(format!(
                "device access at {index} field cannot be empty"
            )));
        }
    }
    for (index, limit) in resources.hugepage_limits.iter().flatten().enumerate() {
        let size = limit.page_size.as_deref().unwrap_or_default();
        if !is_page_size(size) {
            return bad(
                format_args!("linux.resources.hugepageLimits[{index}].pageSize"),
                format_args!("{size:?} is not a size such as 2MB or 64KB"),
            );
        }
        if limit.limit.is_none() {
            return bad(
                format_args!("linux.resources.hugepageLimits[{index}].limit"),
                "is missing",
            );
        }
    }
    Ok(())
}

/// `^[1-9][0-9]*[KMG]B$`
fn is_page_size(size: &str) -> bool {
    let digits = size
        .strip_suffix('B')
        .and_then(|rest| rest.strip_suffix(['K', 'M', 'G']));
    digits.is_some_and(|digits| {
        !digits.starts_with('0')
            && !digits.is_empty()
            && digits.bytes().all(|byte| byte.is_ascii_digit())
    })
}

fn check_rest(linux: &Linux) -> Result<()> {
    if let Some(asked) = &linux.personality {
        schedule::personality(asked)?;
        if asked.flags.as_ref().is_some_and(|flags| !flags.is_empty()) {
            warn("ignoring unsupported personality flags");
        }
    }
    if let Some(asked) = &linux.memory_policy {
        schedule::memory_policy(asked)?;
    }
    for (clock, offset) in linux.time_offsets.iter().flatten() {
        if !matches!(clock.as_str(), "monotonic" | "boottime") {
            return bad(
                format_args!("linux.timeOffsets.{clock}"),
                "is no clock with an offset: use monotonic or boottime",
            );
        }
        if offset.nanosecs.is_some_and(|nanos| nanos > 999_999_999) {
            return bad(
                format_args!("linux.timeOffsets.{clock}.nanosecs"),
                "must be below one second",
            );
        }
    }
    Ok(())
}

fn bad(member: impl Display, problem: impl Display) -> Result<()> {
    refuse(&member, &problem)
}

/// Not generic, so that there is one of it.
fn refuse(member: &dyn Display, problem: &dyn Display) -> Result<()> {
    Err(Error::invalid(format!("config.json: {member} {problem}")))
}

#[cfg(test)]
mod tests;
