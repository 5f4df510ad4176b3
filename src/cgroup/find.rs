//! Where cgroup v2 is, and what it offers.

use crate::error::Result;
use crate::sys::mountinfo::{self, Entry};
use crate::sys::{cgroup, fs};
use std::path::{Component, Path, PathBuf};

/// The mount point of cgroup v2: /sys/fs/cgroup, /sys/fs/cgroup/unified on hybrid hosts, or
/// wherever else.
pub fn mount_point() -> Result<Option<PathBuf>> {
    // One call where it nearly always is; the table of mounts can be long.
    for usual in ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"] {
        if cgroup::is_mounted_on(usual) {
            return Ok(Some(PathBuf::from(usual)));
        }
    }
    // What is asked again: the table also has mounts that others hide.
    let is_it = |mount: &Entry| mount.kind == "cgroup2" && cgroup::is_mounted_on(&mount.point);
    let found = mountinfo::read()?.into_iter().find(is_it);
    Ok(found.map(|mount| PathBuf::from(mount.point)))
}

/// The group of a process (`self` or its number), as an absolute path in the tree.
pub fn of_process(pid: &str) -> Result<PathBuf> {
    let text = fs::read_text(&format!("/proc/{pid}/cgroup"))?;
    // The line of cgroup v2 has no controllers (cgroups(7)).
    let own = text.lines().find_map(|line| line.strip_prefix("0::"));
    Ok(PathBuf::from(own.unwrap_or("/")))
}

/// `path` without `.` and `..`, as a relative path: nothing climbs above the top.
pub fn clean(path: &Path) -> PathBuf {
    let mut clean = PathBuf::new();
    for part in path.components() {
        match part {
            Component::Normal(name) => clean.push(name),
            Component::ParentDir => drop(clean.pop()),
            _ => {}
        }
    }
    clean
}

/// The controllers that v2 offers on this host: `memory`, `cpu`, … Empty without cgroup v2.
pub fn controllers() -> Vec<String> {
    let Ok(Some(point)) = mount_point() else {
        return Vec::new();
    };
    words(&point, "cgroup.controllers")
}

/// A group below the top, which has none of the controllers' files itself.
pub struct Sample {
    group: PathBuf,
    /// The controllers that it has.
    given: Vec<String>,
}

impl Sample {
    /// None where there is no such group yet.
    pub fn find() -> Option<Sample> {
        let top = mount_point().ok()??;
        let mut entries = std::fs::read_dir(&top).ok()?.flatten();
        let group = entries.find(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))?;
        Some(Sample {
            group: group.path(),
            given: words(&top, "cgroup.subtree_control"),
        })
    }

    /// Whether the kernel has the controller without any of these files.
    pub fn lacks(&self, controller: &str, files: &[&str]) -> bool {
        self.given.iter().any(|name| name == controller)
            && !files.iter().any(|file| self.group.join(file).exists())
    }
}

/// The `cpus` or `mems` that the host has for all, such as `0-3`.
pub fn cpuset(which: &str) -> String {
    let offered = mount_point().ok().flatten().map_or(Vec::new(), |point| {
        words(&point, &format!("cpuset.{which}.effective"))
    });
    if !offered.is_empty() {
        return offered.concat();
    }
    let kind = if which == "cpus" { "cpu" } else { "node" };
    words(Path::new("/sys/devices/system"), &format!("{kind}/online")).concat()
}

/// The words of a group's file; none if it cannot be read.
pub fn words(group: &Path, file: &str) -> Vec<String> {
    let text = std::fs::read_to_string(group.join(file)).unwrap_or_default();
    text.split_whitespace().map(str::to_string).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_path_climbs_above_the_top() {
        for (path, expected) in [
            ("/tug/web", "tug/web"),
            ("a//./b/", "a/b"),
            ("/../x", "x"),
            ("a/../../b", "b"),
            ("../../../etc", "etc"),
            ("/", ""),
            ("..", ""),
            ("a/..", ""),
        ] {
            assert_eq!(clean(Path::new(path)), Path::new(expected), "{path:?}");
        }
    }
}
