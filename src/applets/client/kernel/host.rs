//! What else decides on the machine itself: who has the controllers, the command line, limits, the
//! disk of the images.

use super::{Report, Section};
use crate::cgroup;
use crate::engine::driver;
use crate::error::Result;
use crate::kernel::probe::{Keeper, command_line, keeper};
use crate::kernel::{Feature, why_not};
use crate::store::staging::{self, Staging};
use crate::sys::{fs, mount};
use rustix::fs::FileType;
use std::os::fd::AsFd;
use std::path::Path;

pub fn sections(report: &Report, data_root: Option<&Path>) -> Vec<Section> {
    let mut sections = vec![
        ("Control groups", groups()),
        ("Command line", boot(report)),
        ("Limits of the system", limits()),
    ];
    let usual = Path::new("/var/lib/tug");
    if let Some(dir) = data_root.or_else(|| Some(usual).filter(|dir| dir.exists())) {
        sections.push(("Data root", disk(dir)));
    }
    sections.retain(|(_, lines)| !lines.is_empty());
    sections
}

/// A controller and what of the kernel it is.
const CONTROLLERS: [(&str, Feature); 5] = [
    ("cpu", Feature::CgroupSched),
    ("cpuset", Feature::Cpusets),
    ("io", Feature::BlkCgroup),
    ("memory", Feature::Memcg),
    ("pids", Feature::CgroupPids),
];

fn groups() -> Vec<(bool, String)> {
    let offered = cgroup::controllers();
    let mut lines = vec![match cgroup::mount_point() {
        Ok(Some(point)) => (true, format!("cgroup v2 at {}", point.display())),
        _ => (
            false,
            "cgroup v2 is not mounted: mount -t cgroup2 none /sys/fs/cgroup".to_string(),
        ),
    }];
    lines.extend(CONTROLLERS.iter().map(|(name, feature)| {
        match offered.iter().any(|other| other == name) {
            true => (true, format!("{name}: available")),
            false => (false, format!("{name}: missing ({})", why_not(*feature))),
        }
    }));
    lines
}

/// What a boot with another command line would change, and where that is.
fn boot(report: &Report) -> Vec<(bool, String)> {
    let line = command_line();
    let mut words: Vec<&str> = Vec::new();
    let mut lines = Vec::new();
    let offered = cgroup::controllers();
    let missing = CONTROLLERS.iter().map(|(name, _)| *name);
    for name in missing.filter(|name| !offered.iter().any(|other| other == name)) {
        match keeper(name) {
            Some(Keeper::CgroupV1) if !words.contains(&"cgroup_no_v1=all") => {
                words.push("cgroup_no_v1=all");
                if Path::new("/run/systemd/system").exists() {
                    words.push("systemd.unified_cgroup_hierarchy=1");
                }
            }
            // The second is for old kernels of Raspberry Pi, and does no harm.
            Some(Keeper::CommandLine) if name == "memory" => {
                words.extend(["cgroup_enable=memory", "cgroup_memory=1"]);
            }
            _ => {}
        }
    }
    if report.has(Feature::Psi) && !Path::new("/proc/pressure").exists() {
        words.push("psi=1");
    }
    if !words.is_empty() {
        lines.push((false, format!("add to {}: {}", place(), words.join(" "))));
    }
    for word in line.split_whitespace() {
        let why = match word.split_once('=') {
            Some(("cgroup_disable", _)) => "switches controllers off",
            Some(("swapaccount", "0")) => "containers' swap is not limited",
            Some(("ipv6.disable", "1")) => "there is no IPv6",
            _ => continue,
        };
        lines.push((false, format!("boot without {word}, if you can: {why}")));
    }
    lines
}

/// Where the command line stands, as far as the machine shows it.
fn place() -> &'static str {
    const PLACES: [(&str, &str); 6] = [
        (
            "/boot/firmware/cmdline.txt",
            "the line in /boot/firmware/cmdline.txt",
        ),
        ("/boot/cmdline.txt", "the line in /boot/cmdline.txt"),
        (
            "/boot/extlinux/extlinux.conf",
            "the line append in /boot/extlinux/extlinux.conf",
        ),
        ("/boot/armbianEnv.txt", "extraargs in /boot/armbianEnv.txt"),
        ("/boot/uEnv.txt", "the arguments in /boot/uEnv.txt"),
        (
            "/etc/default/grub",
            "GRUB_CMDLINE_LINUX in /etc/default/grub (then update-grub)",
        ),
    ];
    let found = PLACES.iter().find(|(path, _)| Path::new(path).exists());
    found.map_or("the kernel's command line", |(_, name)| name)
}

/// A file, the least that it should say, and why.
const LIMITS: [(&str, u64, &str); 9] = [
    (
        "fs/file-max",
        8192,
        "files that can be open, of all programs",
    ),
    ("fs/nr_open", 4096, "files that can be open, of one program"),
    ("kernel/pid_max", 4096, "processes"),
    (
        "fs/inotify/max_user_instances",
        128,
        "programs of one user that watch files",
    ),
    (
        "fs/inotify/max_user_watches",
        8192,
        "files that one user watches",
    ),
    (
        "kernel/keys/root_maxkeys",
        10_000,
        "keyrings: each container has one",
    ),
    (
        "user/max_user_namespaces",
        1,
        "user namespaces: tug runtime without root",
    ),
    (
        "kernel/unprivileged_userns_clone",
        1,
        "user namespaces of others than root",
    ),
    (
        "net/netfilter/nf_conntrack_max",
        4096,
        "connections of all networks",
    ),
];

fn limits() -> Vec<(bool, String)> {
    let read = |name: &str| -> Option<u64> {
        let text = std::fs::read_to_string(Path::new("/proc/sys").join(name)).ok()?;
        // More than a number holds is enough.
        Some(text.trim().parse().unwrap_or(u64::MAX))
    };
    let mut lines: Vec<(bool, String)> = LIMITS
        .iter()
        .filter_map(|(name, least, about)| {
            let value = read(name)?;
            let key = name.replace('/', ".");
            Some(match value >= *least {
                true => (true, format!("{key}: {value}")),
                false => (
                    false,
                    format!("{key}: {value} is little ({about}): sysctl -w {key}={least}"),
                ),
            })
        })
        .collect();
    if read("kernel/apparmor_restrict_unprivileged_userns") == Some(1) {
        lines.push((
            false,
            "kernel.apparmor_restrict_unprivileged_userns: 1 keeps tug runtime from working without root"
                .to_string(),
        ));
    }
    let (soft, hard) = crate::sys::process::descriptors();
    lines.push((hard >= 1024, format!("ulimit -n: {soft}, at most {hard}")));
    lines
}

fn disk(dir: &Path) -> Vec<(bool, String)> {
    let name = dir.display();
    let number = fs::open_path(dir).and_then(mount::file_system);
    let kind = match number {
        Ok(number) => driver::file_system(number),
        Err(error) => return vec![(false, error.message.clone())],
    };
    if !rustix::process::geteuid().is_root() {
        return vec![(
            true,
            format!("{name} is on {kind} (root would try an overlay)"),
        )];
    }
    let mut lines = vec![(true, format!("{name} is on {kind}"))];
    // What layers need is tried as a whole, and where it fails in parts, for the reason.
    match driver::try_overlay(dir) {
        Ok(()) => lines.push((true, "layers can be stacked (overlay2)".to_string())),
        Err(error) => {
            lines.push((
                false,
                format!("each container gets a copy of its image (vfs): {error}"),
            ));
            let parts = [
                ("d_type: names tell what they are of", tells_types(dir)),
                ("trusted attributes", takes_attributes(dir)),
            ];
            lines.extend(parts.map(|(name, is_there)| match is_there {
                true => (true, format!("{name}: supported")),
                false => (false, format!("{name}: missing")),
            }));
        }
    }
    lines
}

fn takes_attributes(dir: &Path) -> bool {
    let set = || {
        let trial = Staging::new(dir)?;
        let opened = fs::open_dir(trial.path())?;
        fs::set_attribute(opened.as_fd(), c"trusted.tug", b"y")
    };
    set().is_ok()
}

/// A directory whose entries are of no known type (readdir(3), DT_UNKNOWN) cannot be an upper one.
fn tells_types(dir: &Path) -> bool {
    let look = || -> Result<bool> {
        let trial = Staging::new(dir)?;
        staging::make_dir(&trial.path().join("one"))?;
        let names = fs::next_names(fs::open_dir(trial.path())?.as_fd())?;
        Ok(names.iter().all(|(_, kind)| *kind != FileType::Unknown))
    };
    look().unwrap_or(false)
}
