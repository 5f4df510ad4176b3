//! What containers share with this host: its controllers, its kernel, its name, its directories.

use crate::cgroup::Sample;
use crate::engine::spec::resources::Controllers;
use crate::engine::spec::wanted::{Kind, Wanted};
use crate::error::{Error, Result};
use crate::kernel::{Feature, release, version_of};
use std::path::Path;

pub fn controllers() -> Controllers {
    let names = crate::cgroup::controllers();
    let has = |name: &str| names.iter().any(|other| other == name);
    // As long as no group shows it, the kernel is believed to have all of a controller.
    let sample = Sample::find();
    let lacks = |name: &str, files: &[&str]| sample.as_ref().is_some_and(|s| s.lacks(name, files));
    let shows = |name: &str, files: &[&str]| has(name) && !lacks(name, files);
    Controllers {
        memory: has("memory"),
        // The file is there where the kernel counts swap.
        swap: shows("memory", &["memory.swap.max"]) && Path::new("/proc/swaps").exists(),
        cpu: has("cpu"),
        cpu_quota: shows("cpu", &["cpu.max"]),
        cpu_shares: shows("cpu", &["cpu.weight"]),
        cpuset: has("cpuset"),
        pids: has("pids"),
        io: has("io"),
        io_max: shows("io", &["io.max"]),
        io_weight: shows("io", &["io.weight", "io.bfq.weight"]),
    }
}

/// Whether the kernel has seccomp filters. Kernels of boards often lack them.
pub fn has_seccomp() -> bool {
    crate::sys::seccomp::is_known(0)
}

/// Whether mounts can be made read-only with all that is mounted below.
pub fn makes_readonly_recursively() -> bool {
    version_of(&release()) >= Feature::MountSetattr.about().since()
}

pub fn name() -> String {
    let text = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    text.trim_end().to_string()
}

/// Bind sources must exist, but `-v` makes a missing one, as Docker does.
pub fn make_sources(wanted: Vec<Wanted>) -> Result<()> {
    for mount in wanted.into_iter().filter(|mount| mount.kind == Kind::Bind) {
        let source = mount.source;
        if Path::new(&source).exists() {
            continue;
        }
        if !mount.create_source {
            return Err(Error::invalid(format!(
                "invalid mount config for type \"bind\": bind source path does not exist: {source}"
            )));
        }
        std::fs::create_dir_all(&source).map_err(|e| {
            Error::io(
                format_args!("error while creating mount source path '{source}'"),
                &e,
            )
        })?;
    }
    Ok(())
}
