//! What `scripts/bench runtime` measures with: the floor below every OCI runtime, the program that
//! all of them run, and the stopwatch.
//!
//! ```text
//! floor minimal|docker ROOTFS [GROUP]   the clone, mounts, pivot_root and exec of a bundle: no more
//! floor measure ROUNDS                  time the commands on standard input, see `measure`
//! true, pause                           (as argv[0]) end at once; wait for ever
//! ```
//!
//! And what `scripts/bench proxy` measures with, see `load`.
//!
//! The floor does by the cheapest calls what the bundles of the same names ask of the kernel. It
//! checks nothing: a path that is missing, a link of an image that leads out. Nobody may use it as
//! a runtime.

#![allow(unsafe_code)]

use linux_raw_sys::general as kernel;
use rustix::io::Errno;
use rustix::mount::{MountFlags as Flags, MountPropagationFlags as Propagation, UnmountFlags};
use rustix::process::{WaitId, WaitIdOptions};
use std::collections::BTreeMap;
use std::ffi::{CString, c_long};
use std::io::{Error, Result, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

mod load;

/// The same calls as tug's own.
#[allow(dead_code)]
#[path = "../src/sys/raw.rs"]
mod raw;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let name = args.first().and_then(|name| name.rsplit('/').next());
    let outcome = match (name, args.get(1..).unwrap_or_default()) {
        (Some("true"), _) => Ok(0),
        (Some("pause"), _) => loop {
            std::thread::park();
        },
        (_, ["measure", rounds]) => measure(rounds),
        (_, ["minimal", rootfs]) => contain(&MINIMAL, rootfs, None),
        (_, ["minimal", rootfs, group]) => contain(&MINIMAL, rootfs, Some(group)),
        (_, ["docker", rootfs]) => contain(&DOCKER, rootfs, None),
        (_, ["docker", rootfs, group]) => contain(&DOCKER, rootfs, Some(group)),
        (_, words) => load::run(words).map_or_else(
            || {
                Err(Error::other(
                    "usage: floor minimal|docker ROOTFS [GROUP], floor measure ROUNDS; see load.rs",
                ))
            },
            |outcome| outcome.map(|()| 0),
        ),
    };
    match outcome {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "floor: {error}");
            ExitCode::FAILURE
        }
    }
}

/// A bundle, as far as it is work for the kernel.
struct Bundle {
    namespaces: u32,
    /// Type, target, flags, data.
    mounts: &'static [(&'static str, &'static str, Flags, &'static str)],
    /// Files beside the root file system that are bound to these.
    files: &'static [&'static str],
    masked: &'static [&'static str],
    readonly: &'static [&'static str],
}

/// nosuid, noexec, nodev.
const CLOSED: Flags = Flags::NOSUID.union(Flags::NOEXEC).union(Flags::NODEV);

const MINIMAL: Bundle = Bundle {
    namespaces: kernel::CLONE_NEWNS
        | kernel::CLONE_NEWPID
        | kernel::CLONE_NEWNET
        | kernel::CLONE_NEWUTS
        | kernel::CLONE_NEWIPC,
    mounts: &[
        ("proc", "proc", CLOSED, ""),
        ("tmpfs", "dev", Flags::NOSUID, "mode=755,size=65536k"),
    ],
    files: &[],
    masked: &[],
    readonly: &[],
};

const DOCKER: Bundle = Bundle {
    namespaces: MINIMAL.namespaces | kernel::CLONE_NEWCGROUP,
    mounts: &[
        ("proc", "proc", CLOSED, ""),
        ("tmpfs", "dev", Flags::NOSUID, "mode=755,size=65536k"),
        (
            "devpts",
            "dev/pts",
            Flags::NOSUID.union(Flags::NOEXEC),
            "newinstance,ptmxmode=0666,mode=0620,gid=5",
        ),
        ("sysfs", "sys", CLOSED.union(Flags::RDONLY), ""),
        ("cgroup2", "sys/fs/cgroup", CLOSED.union(Flags::RDONLY), ""),
        ("mqueue", "dev/mqueue", CLOSED, ""),
        ("tmpfs", "dev/shm", CLOSED, "mode=1777,size=67108864"),
    ],
    files: &["etc/resolv.conf", "etc/hostname", "etc/hosts"],
    masked: &[
        "proc/asound",
        "proc/acpi",
        "proc/kcore",
        "proc/keys",
        "proc/latency_stats",
        "proc/timer_list",
        "proc/timer_stats",
        "proc/sched_debug",
        "proc/scsi",
        "sys/firmware",
    ],
    readonly: &[
        "proc/bus",
        "proc/fs",
        "proc/irq",
        "proc/sys",
        "proc/sysrq-trigger",
    ],
};

/// Run `/bin/true` of `rootfs` in a container, in a cgroup if one is named.
fn contain(bundle: &Bundle, rootfs: &str, group: Option<&str>) -> Result<u8> {
    let dir = group.map(|path| {
        std::fs::create_dir(path)?;
        std::fs::File::open(path)
    });
    let dir = dir.transpose()?;
    let into = dir.as_ref().map(AsRawFd::as_raw_fd);

    // SAFETY: this program never has a second thread.
    let pidfd = match unsafe { raw::clone3(bundle.namespaces.into(), into) }? {
        raw::Cloned::Parent { pidfd, .. } => pidfd,
        raw::Cloned::Child => {
            let failed = enter(bundle, rootfs).map(|()| execute());
            let _ = writeln!(std::io::stderr(), "floor: {failed:?}");
            raw::exit(1)
        }
    };
    let ended = rustix::process::waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED)?;
    if let Some(path) = group {
        std::fs::remove_dir(path)?;
    }
    let code = ended.and_then(|status| status.exit_status()).unwrap_or(255);
    Ok(u8::try_from(code).unwrap_or(255))
}

fn enter(bundle: &Bundle, rootfs: &str) -> Result<()> {
    rustix::mount::mount_change("/", Propagation::DOWNSTREAM | Propagation::REC)?;
    rustix::mount::mount_bind_recursive(rootfs, rootfs)?;
    rustix::process::chdir(rootfs)?;
    for (kind, target, flags, data) in bundle.mounts {
        // Data that is no string at all: some file systems refuse an empty one.
        let data = (!data.is_empty())
            .then(|| CString::new(*data))
            .transpose()?;
        match rustix::mount::mount(*kind, *target, *kind, *flags, data.as_deref()) {
            // This kernel was built without it, or this mount namespace has none.
            Err(Errno::NODEV | Errno::NOENT) => {
                std::fs::create_dir_all(target)?;
                let _ = rustix::mount::mount(*kind, *target, *kind, *flags, data.as_deref());
            }
            other => other?,
        }
    }
    for file in bundle.files {
        let source = format!("../{}", file.rsplit('/').next().unwrap_or(file));
        rustix::mount::mount_bind(source, *file)?;
    }
    for path in bundle.masked.iter().filter(|path| Path::new(path).exists()) {
        match Path::new(path).is_dir() {
            true => rustix::mount::mount("tmpfs", *path, "tmpfs", Flags::RDONLY, c"size=0k")?,
            false => rustix::mount::mount_bind("/dev/null", *path)?,
        }
    }
    for path in bundle
        .readonly
        .iter()
        .filter(|path| Path::new(path).exists())
    {
        rustix::mount::mount_bind(*path, *path)?;
        let flags = Flags::BIND | Flags::RDONLY | CLOSED;
        rustix::mount::mount_remount(*path, flags, c"")?;
    }
    rustix::process::pivot_root(".", ".")?;
    rustix::mount::unmount(".", UnmountFlags::DETACH)?;
    Ok(rustix::process::chdir("/")?)
}

fn execute() -> Errno {
    raw::execve(c"/bin/true", &[CString::from(c"true")], &[])
}

/// What is known of one label.
#[derive(Default)]
struct Row {
    micros: Vec<u64>,
    /// KiB, of the largest process that took part.
    peak: c_long,
}

/// Time commands, all in turn within each round, so that a busy machine slows all alike.
///
/// A line of standard input is `LABEL WORD...`; neighbours of one label are steps of one thing,
/// and their times are added. `%` in a word becomes the number of the round. A label alone waits,
/// off the clock, until what its commands left running has ended. Prints for each label the
/// median and the least time in microseconds and the peak resident set in KiB.
fn measure(rounds: &str) -> Result<u8> {
    let rounds: usize = rounds.parse().map_err(Error::other)?;
    let plan = std::io::read_to_string(std::io::stdin())?;
    // Orphans of commands come to us, so that they can be waited for.
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;

    let mut rows: BTreeMap<&str, Row> = BTreeMap::new();
    let mut order = Vec::new();
    for round in 0..=rounds {
        let mut last = "";
        for line in plan.lines() {
            let (label, command) = line.split_once(' ').unwrap_or((line, ""));
            let (micros, peak) = match command {
                "" => (0, wait_for(-1)?.1),
                _ => time(&command.replace('%', &round.to_string()))?,
            };
            let row = rows.entry(label).or_default();
            // The first round warms the caches.
            match (round, label == last) {
                (0, _) => order.push(label),
                (_, true) => *row.micros.last_mut().unwrap_or(&mut 0) += micros,
                (_, false) => row.micros.push(micros),
            }
            row.peak = row.peak.max(peak);
            last = label;
        }
    }

    order.dedup();
    let mut out = std::io::stdout().lock();
    for label in order {
        let Some(row) = rows.get_mut(label) else {
            continue;
        };
        row.micros.sort_unstable();
        let median = row.micros.get(row.micros.len() / 2).unwrap_or(&0);
        let least = row.micros.first().unwrap_or(&0);
        writeln!(out, "{label} {median} {least} {}", row.peak)?;
    }
    Ok(0)
}

/// One command: microseconds until it ended, and its peak.
fn time(command: &str) -> Result<(u64, c_long)> {
    let mut words = command.split(' ');
    let begin = Instant::now();
    let child = Command::new(words.next().unwrap_or_default())
        .args(words)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .map_err(|error| Error::other(format!("{command}: {error}")))?;
    let (status, peak) = wait_for(i32::try_from(child.id()).unwrap_or(-1))?;
    match status {
        0 => Ok((begin.elapsed().as_micros() as u64, peak)),
        _ => Err(Error::other(format!("{command}: wait status {status:#x}"))),
    }
}

/// Until process `pid`, or all of them (-1), have ended: the last status, and the peak.
fn wait_for(pid: i32) -> Result<(i32, c_long)> {
    let mut last = (0, 0);
    while let Some((status, usage)) = wait4(pid)? {
        last = (status, usage.ru_maxrss.max(last.1));
        if pid > 0 {
            break;
        }
    }
    Ok(last)
}

/// wait4(2), which rustix does not have; `None` when there is no child any more.
fn wait4(pid: i32) -> Result<Option<(i32, kernel::rusage)>> {
    unsafe extern "C" {
        fn syscall(number: c_long, ...) -> c_long;
    }
    let mut status = 0i32;
    // SAFETY: plain integers, for which zero is a value.
    let mut usage: kernel::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: both live across the call, and have the kernel's own types.
    let found = unsafe {
        syscall(
            kernel::__NR_wait4 as c_long,
            c_long::from(pid),
            std::ptr::from_mut(&mut status),
            0 as c_long,
            std::ptr::from_mut(&mut usage),
        )
    };
    if found > 0 {
        return Ok(Some((status, usage)));
    }
    let error = Error::last_os_error();
    match error.raw_os_error() == Some(Errno::CHILD.raw_os_error()) {
        true => Ok(None),
        false => Err(error),
    }
}
