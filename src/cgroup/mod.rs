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

pub use find::{controllers, unescape};
pub use group::Group;

use crate::error::Result;
use crate::oci::spec::Resources;
use devices::Guard;

/// What can be held to without any group: no limit, and devices only by taking away mknod.
pub fn without_group(resources: Option<&Resources>) -> Result<Guard> {
    resources::refuse_all(resources)?;
    Ok(devices::Guard::without_filter(resources))
}
