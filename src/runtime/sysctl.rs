//! Writes into procfs for the container: sysctls and the OOM score.
//!
//! They go through a procfs that nobody else has touched: a mount of our own that is attached
//! nowhere. By the path /proc an image could lead us to a file of its own, or to another file of
//! procfs (CVE-2025-52881).

use crate::error::{Error, Kind, Result};
use crate::runtime::plan::Plan;
use crate::sys::{self, failed};
use linux_raw_sys::general as kernel;
use rustix::fs::{Mode, OFlags, PROC_SUPER_MAGIC, ResolveFlags};
use rustix::mount::MountAttrFlags;
use std::os::fd::{AsFd, OwnedFd};

/// Sysctls that belong to the IPC namespace, beside `fs.mqueue.*`.
const IPC: [&str; 8] = [
    "kernel.msgmax",
    "kernel.msgmnb",
    "kernel.msgmni",
    "kernel.sem",
    "kernel.shmall",
    "kernel.shmmax",
    "kernel.shmmni",
    "kernel.shm_rmid_forced",
];

/// Set what config.json asks for. Runs in the container's namespaces, as root.
pub fn apply(plan: &Plan<'_>) -> Result<()> {
    let linux = plan.spec.linux.as_ref();
    let list = linux.and_then(|linux| linux.sysctl.as_ref());
    let score = wanted_score(plan);
    if score.is_none() && list.is_none_or(|list| list.is_empty()) {
        return Ok(());
    }

    let proc = own_procfs()?;
    for (name, value) in list.into_iter().flatten() {
        let name = name.replace('/', ".");
        if !is_namespaced(&name, plan) {
            return Err(Error::invalid(format!(
                "sysctl {name:?} is not in a separate kernel namespace"
            )));
        }
        write(&proc, &format!("sys/{}", name.replace('.', "/")), value)?;
    }
    match score {
        Some(score) => {
            let path = format!("{}/oom_score_adj", std::process::id());
            write(&proc, &path, &score.to_string())
        }
        None => Ok(()),
    }
}

/// The OOM score to set, if it is not ours already.
fn wanted_score(plan: &Plan<'_>) -> Option<i32> {
    let wanted = plan.process.oom_score_adj?;
    // After the pivot, so perhaps there is no /proc; then it is set without asking.
    let now = std::fs::read_to_string("/proc/self/oom_score_adj").ok();
    let same = now.is_some_and(|now| now.trim().parse() == Ok(wanted));
    (!same).then_some(wanted)
}

fn own_procfs() -> Result<OwnedFd> {
    let flags = MountAttrFlags::MOUNT_ATTR_NOSUID
        | MountAttrFlags::MOUNT_ATTR_NODEV
        | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    if let Ok(proc) = sys::mount::new_tree("proc", Some("proc"), &[], flags) {
        return Ok(proc);
    }
    // In a user namespace that may not mount one: what is there, if it is a procfs.
    let proc = sys::fs::open_dir(std::path::Path::new("/proc"))?;
    let data = rustix::fs::fstatfs(&proc).map_err(|errno| failed("fstatfs", "/proc", errno))?;
    let stat = rustix::fs::fstat(&proc).map_err(|errno| failed("fstat", "/proc", errno))?;
    match data.f_type == PROC_SUPER_MAGIC && stat.st_ino == 1 {
        true => Ok(proc),
        false => Err(Error::new(
            Kind::System,
            "/proc in the container is not a procfs: sysctls cannot be set",
        )),
    }
}

fn write(proc: &OwnedFd, path: &str, value: &str) -> Result<()> {
    let open = rustix::fs::openat2(
        proc.as_fd(),
        path,
        OFlags::WRONLY | OFlags::CLOEXEC,
        Mode::empty(),
        ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV,
    );
    open.and_then(|file| rustix::io::write(&file, value.as_bytes()))
        .map(drop)
        .map_err(|errno| failed("write", format_args!("/proc/{path}"), errno))
}

/// Whether setting it stays inside the container's own namespaces (runc's list).
fn is_namespaced(name: &str, plan: &Plan<'_>) -> bool {
    let own = |prefix: &str| name.starts_with(prefix);
    (plan.has(kernel::CLONE_NEWIPC) && (IPC.contains(&name) || own("fs.mqueue.")))
        || (plan.has(kernel::CLONE_NEWNET) && own("net."))
        || (plan.has(kernel::CLONE_NEWUTS) && name == "kernel.domainname")
        || (plan.has(kernel::CLONE_NEWUSER) && own("user."))
}
