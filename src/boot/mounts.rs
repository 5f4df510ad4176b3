//! The kernel's file systems where they are missing, and those of the plan.

use crate::boot::console;
use crate::error::{Context, Error, Result};
use crate::plan::machine::Point;
use crate::sys::{mount, mountinfo};
use linux_raw_sys::general as kernel;
use rustix::io::Errno;
use std::path::Path;

const NOSUID: u32 = kernel::MS_NOSUID;
const NODEV: u32 = kernel::MS_NODEV;
const NOEXEC: u32 = kernel::MS_NOEXEC;

/// Kind, place, flags, options. A later one may lie in an earlier one.
type Row = (&'static str, &'static str, u32, &'static str);

const USUAL: [Row; 8] = [
    ("proc", "/proc", NOSUID | NODEV | NOEXEC, ""),
    ("sysfs", "/sys", NOSUID | NODEV | NOEXEC, ""),
    ("devtmpfs", "/dev", NOSUID, "mode=0755"),
    (
        "devpts",
        "/dev/pts",
        NOSUID | NOEXEC,
        "gid=5,mode=0620,ptmxmode=0666",
    ),
    ("tmpfs", "/dev/shm", NOSUID | NODEV, "mode=1777"),
    ("mqueue", "/dev/mqueue", NOSUID | NODEV | NOEXEC, ""),
    ("tmpfs", "/run", NOSUID | NODEV, "mode=0755"),
    ("cgroup2", CGROUP, NOSUID | NODEV | NOEXEC, CGROUP_OPTIONS),
];

const CGROUP: &str = "/sys/fs/cgroup";
/// The second since Linux 5.7.
const CGROUP_OPTIONS: &str = "nsdelegate,memory_recursiveprot";

/// Mount what is missing. What cannot be is told, and the board goes on: most of it can be missed.
pub fn usual() {
    let mut there = mountinfo::read().unwrap_or_default();
    for row in USUAL {
        if there.iter().any(|mount| mount.point == row.1) {
            continue;
        }
        match mount_row(row) {
            // Now there is something that tells what the kernel has mounted before us.
            Ok(()) if there.is_empty() => there = mountinfo::read().unwrap_or_default(),
            Ok(()) => {}
            Err(error) => console::say(error),
        }
    }
}

/// Without a table of mounts, that of /proc, nothing is.
fn is_mounted(place: &str) -> bool {
    let found = mountinfo::read().unwrap_or_default();
    found.iter().any(|mount| mount.point == place)
}

fn mount_row((kind, place, flags, options): Row) -> Result<()> {
    let path = Path::new(place);
    // On a read-only root it may be there already.
    let _ = std::fs::create_dir_all(path);
    let mut result = mount::plain(kind, path, kind, (flags, 0), options);
    if result == Err(Errno::INVAL) {
        result = mount::plain(kind, path, kind, (flags, 0), "");
    }
    match result {
        // The kernel has mounted it before us.
        Ok(()) | Err(Errno::BUSY) => Ok(()),
        Err(errno) => Err(crate::sys::failed("mount", place, errno)),
    }
}

/// A mount of `machine.json`. `Ok(false)`: its device is not there yet.
pub fn point(point: &Point) -> Result<bool> {
    let target = point.target.as_deref().unwrap_or_default();
    if !target.starts_with('/') {
        return Err(Error::invalid("a mount needs a target: an absolute path"));
    }
    if is_mounted(target) {
        return Ok(true);
    }
    let source = point.source.as_deref().unwrap_or("none");
    if source.starts_with("/dev/") && !Path::new(source).exists() {
        return Ok(false);
    }
    mount_point(point, source, target).context(|| format!("mount {target}"))?;
    Ok(true)
}

fn mount_point(point: &Point, source: &str, target: &str) -> Result<()> {
    let (mut flags, mut data) = (0, String::new());
    let mut kind = point.kind.as_deref().unwrap_or_default();
    for option in point.options.as_deref().unwrap_or_default().split(',') {
        match WORDS.iter().find(|(word, _)| *word == option) {
            Some((_, flag)) => flags |= flag,
            None if matches!(option, "" | "defaults" | "rw") => {}
            None if data.is_empty() => data.push_str(option),
            None => {
                data.push(',');
                data.push_str(option);
            }
        }
    }
    if kind == "bind" {
        (kind, flags) = ("none", flags | kernel::MS_BIND);
    }
    std::fs::create_dir_all(target)
        .map_err(|e| Error::io(format_args!("make directory {target}"), &e))?;
    let try_as = |kind: &str| mount::plain(source, Path::new(target), kind, (flags, 0), &data);
    if !kind.is_empty() {
        return try_as(kind).map_err(|errno| crate::sys::failed("mount", source, errno));
    }
    // As mount(8) without a type: each that the kernel has for devices.
    let known = std::fs::read_to_string("/proc/filesystems").unwrap_or_default();
    let mut last = Errno::NODEV;
    for kind in known.lines().filter(|line| !line.starts_with("nodev")) {
        match try_as(kind.trim()) {
            Ok(()) => return Ok(()),
            Err(errno) => last = errno,
        }
    }
    Err(crate::sys::failed("mount", source, last))
}

/// mount(8)'s words for flags; others are the file system's own.
const WORDS: [(&str, u32); 10] = [
    ("ro", kernel::MS_RDONLY),
    ("nosuid", NOSUID),
    ("nodev", NODEV),
    ("noexec", NOEXEC),
    ("sync", kernel::MS_SYNCHRONOUS),
    ("noatime", kernel::MS_NOATIME),
    ("nodiratime", kernel::MS_NODIRATIME),
    ("relatime", kernel::MS_RELATIME),
    ("bind", kernel::MS_BIND),
    ("rbind", kernel::MS_BIND | kernel::MS_REC),
];

/// Take everything down again, what was mounted last first; what is busy becomes read-only, so that
/// nothing is left to be written. For the whole machine alone: a file system that becomes read-only
/// does so for everybody.
pub fn take_down() {
    let points = mountinfo::read().unwrap_or_default();
    for mount in points.iter().rev() {
        let path = Path::new(&mount.point);
        let is_kept = ["/", "/proc", "/sys", "/dev", "/run"].contains(&mount.point.as_str());
        if !is_kept && mount::unmount(path).is_err() {
            let _ = mount::read_only(path);
        }
    }
    let _ = mount::read_only(Path::new("/"));
}
