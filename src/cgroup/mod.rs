//! The cgroup v2 tree: limits, stats, freeze, kill, devices, OOM.
//!
//! A group is a directory below the cgroup2 mount, wherever that is. Where a host still binds
//! controllers to cgroup v1, the group has what is left for v2; asking for more is an error that
//! says so. Knows nothing of containers.

pub mod devices;
mod find;
mod group;
pub mod resources;
pub mod stats;
mod tree;
mod weight;

pub use find::{Sample, controllers, cpuset, mount_point};
pub use group::Group;

use crate::error::{Context, Error, Result};
use crate::kernel::{Feature, lacks};
use crate::oci::spec::Resources;
use crate::sys;
use devices::Guard;
use rustix::io::Errno;
use std::path::Path;

/// Make the group at `place` (from `Group::place`) with its limits and device rules.
///
/// As long as no limit is asked for, it works without a group as well: on a host without cgroup
/// v2, and, if it `may_lack` one, where we are not allowed to make one and no place was `asked`
/// for. After an error there is no group either, or it is somebody else's.
pub fn set_up(
    place: Option<&Path>,
    asked: Option<&str>,
    resources: Option<&Resources>,
    may_lack: bool,
) -> Result<(Option<Group>, Guard)> {
    let Some(path) = place else {
        return match resources::first(resources)? {
            Some(file) => Err(no_controller(&file)),
            None => Ok((None, Guard::without_filter(resources)?)),
        };
    };
    let needs_domain = resources.map_or(Ok(false), resources::needs_domain)?;
    let group = match Group::create(path, needs_domain) {
        Ok(group) => group,
        Err(error) if may_lack && is_refusal(&error) && asked.is_none_or(str::is_empty) => {
            return match resources::first(resources)? {
                None => Ok((None, Guard::without_filter(resources)?)),
                Some(_) => Err(error).context(|| {
                    "rootless needs no limits + no cgrouppath when no permission is granted for cgroups"
                }),
            };
        }
        Err(error) => return Err(error),
    };
    match group.apply(resources) {
        Ok(guard) => Ok((Some(group), guard)),
        Err(error) => {
            // Nobody is in it yet.
            let _ = group.remove();
            Err(error)
        }
    }
}

/// The group that a process is in. It is named, not opened: the host may keep the group's directory
/// from others, and the root of a user namespace is one of those.
pub fn of_process(pid: i32) -> Result<Option<Group>> {
    let Some(top) = find::mount_point()? else {
        return Ok(None);
    };
    let own = find::of_process(&pid.to_string())?;
    Group::named(&top.join(find::clean(&own))).map(Some)
}

/// The tree is not ours to change, or nobody's.
fn is_refusal(error: &Error) -> bool {
    [Errno::ACCESS, Errno::PERM, Errno::ROFS]
        .iter()
        .any(|errno| sys::is(error, *errno))
}

/// The error for a limit that nobody here can enforce.
fn no_controller(file: &str) -> Error {
    let controller = file.split('.').next().unwrap_or(file);
    Error::unsupported(match why_not(controller) {
        Some(why) => format!("cannot set {file} {why}"),
        None => format!("cannot set {file}: cgroup v2 has no {controller} controller here"),
    })
}

/// What of the kernel controllers, and files of theirs, need. The longer name stands first.
const NEEDS: [(&str, Feature); 10] = [
    ("memory.swap.max", Feature::MemcgSwap),
    ("memory", Feature::Memcg),
    ("cpu.max", Feature::CfsBandwidth),
    ("cpu.weight", Feature::FairGroupSched),
    ("cpu", Feature::CgroupSched),
    ("cpuset", Feature::Cpusets),
    ("pids", Feature::CgroupPids),
    ("io.max", Feature::BlkDevThrottling),
    ("io.weight", Feature::IoWeight),
    ("io", Feature::BlkCgroup),
];

/// Why there is no such controller, or no such file of it.
pub fn why_not(name: &str) -> Option<String> {
    let need = NEEDS.iter().find(|(known, _)| *known == name);
    need.map(|(_, feature)| lacks(*feature))
}
