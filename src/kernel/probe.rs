//! Asks the running kernel for a feature: by what it shows in /proc and /sys, and by its modules.
//!
//! Nothing is loaded, made or changed by asking, but for what the caller does itself (`Asked`): links
//! and rules are of a room above.

use super::{About, Feature, Group, release, version_of};
use crate::sys;
use std::path::Path;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Enabled,
    /// To be loaded when it is needed.
    Module,
    Missing,
    /// A module that does not lie where it would be loaded from.
    Absent,
    /// The kernel shows nothing of it.
    Unknown,
}

impl State {
    pub fn of(is_there: bool) -> State {
        match is_there {
            true => State::Enabled,
            false => State::Missing,
        }
    }
}

/// What the kernel is asked by others: for links and rules. None where it cannot be asked.
pub type Asked<'a> = &'a dyn Fn(Feature) -> Option<bool>;

/// The running kernel.
pub struct Running {
    release: String,
    file_systems: String,
    /// The modules that lie on the disk, and those that were built in.
    modules: String,
    builtin: String,
}

impl Running {
    pub fn look() -> Running {
        let release = release();
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        Running {
            file_systems: read("/proc/filesystems"),
            modules: read(&format!("/lib/modules/{release}/modules.dep")),
            builtin: read(&format!("/lib/modules/{release}/modules.builtin")),
            release,
        }
    }

    pub fn state(&self, about: &About, ask: Asked<'_>) -> State {
        if version_of(&self.release) < about.since() || about.group == Group::Versions {
            return State::of(version_of(&self.release) >= about.since());
        }
        // First, because the kernel loads a module that it is asked for.
        if let Some(state) = self.module(about.module) {
            return state;
        }
        self.shown(about, ask).map_or(State::Unknown, State::of)
    }

    /// The same of what its configuration says: modules can be left out of a device's files.
    pub fn installed(&self, about: &About, state: State) -> State {
        let is_absent = state == State::Module
            && !about.module.is_empty()
            && self.module(about.module).is_none()
            && self.shown(about, &|_| None) != Some(true);
        if is_absent { State::Absent } else { state }
    }

    fn shown(&self, about: &About, ask: Asked<'_>) -> Option<bool> {
        let (kind, object) = about.probe.split_once(':')?;
        match kind {
            "path" => Some(Path::new(object).exists()),
            "fs" => {
                let kinds = || {
                    self.file_systems
                        .lines()
                        .filter_map(|line| line.split('\t').nth(1))
                };
                Some(kinds().any(|kind| kind == object))
            }
            "cgroup" => Some(is_known(object)),
            "call" => Some(sys::seccomp::is_known(0)),
            // Only a group shows it.
            "part" => None,
            _ => ask(about.feature),
        }
    }

    /// `kernel/net/macvlan.ko.xz: …` in modules.dep, `kernel/net/macvlan.ko` in modules.builtin.
    fn module(&self, name: &str) -> Option<State> {
        if name.is_empty() {
            return None;
        }
        let is_in = |list: &str| {
            let named = |line: &str| {
                let file = line.split(':').next()?.rsplit('/').next()?;
                // The kernel takes both signs for one.
                Some(file.split(".ko").next()?.replace('-', "_"))
            };
            list.lines()
                .any(|line| named(line).as_deref() == Some(name))
        };
        if Path::new("/sys/module").join(name).exists() || is_in(&self.builtin) {
            return Some(State::Enabled);
        }
        is_in(&self.modules).then_some(State::Module)
    }
}

/// v2's names of controllers are v1's, but for one.
fn old_name(controller: &str) -> &str {
    match controller {
        "io" => "blkio",
        other => other,
    }
}

/// The row of /proc/cgroups: its hierarchy (0 is v2) and whether it is on.
fn row(controller: &str) -> Option<(u32, bool)> {
    let table = std::fs::read_to_string("/proc/cgroups").unwrap_or_default();
    row_in(&table, old_name(controller))
}

fn row_in(table: &str, name: &str) -> Option<(u32, bool)> {
    table.lines().find_map(|line| {
        let mut words = line.split_whitespace();
        (words.next()? == name).then_some(())?;
        let hierarchy = words.next()?.parse().ok()?;
        Some((hierarchy, words.nth(1)? == "1"))
    })
}

/// Whether the kernel was built with the controller, wherever it is bound. /proc/cgroups of newer
/// kernels tells of v1's alone.
fn is_known(controller: &str) -> bool {
    row(controller).is_some() || is_off(&command_line(), controller) || is_offered(controller)
}

/// Whether cgroup v2 has it, where that is usually mounted.
fn is_offered(controller: &str) -> bool {
    ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"]
        .iter()
        .any(|top| {
            let list = std::fs::read_to_string(Path::new(top).join("cgroup.controllers"));
            let list = list.unwrap_or_default();
            list.split_whitespace().any(|name| name == controller)
        })
}

pub fn command_line() -> String {
    std::fs::read_to_string("/proc/cmdline").unwrap_or_default()
}

/// Switched off by the command line: what is said last holds, on kernels that know both words.
fn is_off(command_line: &str, controller: &str) -> bool {
    let name = old_name(controller);
    let said = command_line.split_whitespace().rev().find_map(|word| {
        let (key, list) = word.split_once('=')?;
        let is_off = match key {
            "cgroup_disable" => true,
            "cgroup_enable" => false,
            _ => return None,
        };
        list.split(',')
            .any(|one| one == name || one == controller)
            .then_some(is_off)
    });
    said == Some(true)
}

/// Who keeps a controller from cgroup v2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keeper {
    CgroupV1,
    CommandLine,
    /// A group above ours, or nobody has mounted cgroup v2.
    Another,
}

/// None for controllers that nobody keeps, or that the kernel was not built with.
pub fn keeper(controller: &str) -> Option<Keeper> {
    if is_offered(controller) {
        return None;
    }
    let switched_off = || is_off(&command_line(), controller).then_some((0, false));
    Some(match row(controller).or_else(switched_off)? {
        (1.., _) => Keeper::CgroupV1,
        (0, false) => Keeper::CommandLine,
        (0, true) => Keeper::Another,
    })
}

/// Why what the kernel was built with cannot be had. None for what it lacks.
pub fn withheld(probe: &str) -> Option<String> {
    if probe == IPV6
        && command_line()
            .split_whitespace()
            .any(|w| w == "ipv6.disable=1")
    {
        return Some("IPv6 is switched off: boot without ipv6.disable=1".to_string());
    }
    let (_, controller) = probe
        .split_once(':')
        .filter(|(kind, _)| matches!(*kind, "cgroup" | "part"))?;
    let how = match keeper(controller)? {
        Keeper::CgroupV1 => "cgroup v1 has the",
        Keeper::Another => "cgroup v2 does not offer the",
        Keeper::CommandLine => {
            let name = old_name(controller);
            return Some(format!(
                "the {controller} controller is switched off: boot with cgroup_enable={name}"
            ));
        }
    };
    Some(format!("{how} {controller} controller here"))
}

const IPV6: &str = "path:/proc/sys/net/ipv6";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_controller_is_where_proc_says() {
        let table = "#subsys_name\thierarchy\tnum_cgroups\tenabled\n\
            cpuset\t3\t1\t1\nmemory\t0\t25\t0\nblkio\t0\t1\t1\n";
        assert_eq!(row_in(table, "cpuset"), Some((3, true)));
        assert_eq!(row_in(table, "memory"), Some((0, false)));
        assert_eq!(row_in(table, old_name("io")), Some((0, true)));
        assert_eq!(row_in(table, "pids"), None);
        assert_eq!(row_in("garbage\nmemory x", "memory"), None);
    }

    #[test]
    fn the_command_line_switches_off_and_on() {
        assert!(is_off("quiet cgroup_disable=memory", "memory"));
        assert!(is_off("cgroup_disable=cpu,io", "io"));
        assert!(!is_off(
            "cgroup_disable=memory cgroup_enable=memory",
            "memory"
        ));
        assert!(!is_off("cgroup_disable=memory", "cpu"));
        assert!(!is_off("", "memory"));
    }

    #[test]
    fn the_kernel_is_asked_by_what_it_shows() {
        let running = Running {
            release: "6.1.0".to_string(),
            file_systems: "nodev\ttmpfs\n\text4\n".to_string(),
            modules: "kernel/x/no-such-one.ko.xz:\nkernel/fs/no_such_two.ko: x.ko\n".to_string(),
            builtin: "kernel/drivers/net/no-such-veth.ko\n".to_string(),
        };
        let cannot = |_: Feature| None;
        let lacks = |_: Feature| Some(false);
        let has = |_: Feature| Some(true);
        let shown = |feature: Feature, ask: Asked<'_>| running.shown(&feature.about(), ask);
        assert_eq!(shown(Feature::Tmpfs, &cannot), Some(true));
        assert_eq!(shown(Feature::Squashfs, &cannot), Some(false));
        assert_eq!(shown(Feature::NetNs, &cannot), Some(true));
        assert_eq!(shown(Feature::Ipvlan, &lacks), Some(false));
        assert_eq!(shown(Feature::Ipvlan, &has), Some(true));
        assert_eq!(shown(Feature::Ipvlan, &cannot), None);
        assert_eq!(shown(Feature::Futex, &has), None);
        let state = |feature: Feature| running.state(&feature.about(), &cannot);
        assert_eq!(state(Feature::MountSetattr), State::Enabled);
        assert_eq!(state(Feature::TmpfsUserXattr), State::Missing);
        assert_eq!(state(Feature::ErofsBackedByFile), State::Missing);
        assert_eq!(state(Feature::Futex), State::Unknown);
        assert_eq!(running.module("no_such_veth"), Some(State::Enabled));
        assert_eq!(running.module("no_such_one"), Some(State::Module));
        assert_eq!(running.module("no_such_two"), Some(State::Module));
        assert_eq!(running.module("no_such_three"), None);
        // /sys/module has no such names.
        let mut about = Feature::Futex.about();
        for (module, state) in [
            ("no_such_one", State::Module),
            ("no_such_three", State::Absent),
        ] {
            about.module = module;
            assert_eq!(running.installed(&about, State::Module), state);
            assert_eq!(running.installed(&about, State::Missing), State::Missing);
        }
    }

    #[test]
    fn only_controllers_are_withheld() {
        assert_eq!(withheld("path:/x"), None);
        assert_eq!(withheld("cgroup:nosuch"), None);
    }
}
