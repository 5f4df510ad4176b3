//! `kill`, `ps`, `pause`, `resume`: what acts on a container's processes from outside.

use crate::cgroup::Group;
use crate::error::{Error, Kind, Result};
use crate::runtime::record::{self, Record};
use crate::runtime::state::{self, Status};
use crate::sys::{self, process};
use rustix::io::Errno;
use std::path::Path;

/// Send `signal` to the first process; 0 only asks whether it is there.
pub fn kill(root: &Path, id: &str, signal: i32) -> Result<()> {
    const SIGKILL: i32 = 9;
    let record = record::load(root, id)?;
    let pidfd = record.process().ok_or_else(not_running)?;
    let takes_others = signal == SIGKILL && !is_first_of_its_namespace(record.pid);
    process::signal(&pidfd, signal).map_err(|error| match sys::is(&error, Errno::SRCH) {
        true => not_running(),
        false => error,
    })?;
    // A frozen process takes even SIGKILL only when thawed (cgroup v2 wakes it for SIGKILL, but
    // not for SIGTERM); runc's way is to leave that to `resume`.
    match record.group() {
        // Without a process namespace of its own nothing else ends what it has started.
        Some(group) if takes_others => group.kill(SIGKILL),
        _ => Ok(()),
    }
}

/// Whether the kernel kills all others in its process namespace along with it: it is number 1
/// there, in the last column of NSpid (proc_pid_status(5)).
fn is_first_of_its_namespace(pid: i32) -> bool {
    process::status(pid, "NSpid:")
        .is_ok_and(|numbers| numbers.split_whitespace().next_back() == Some("1"))
}

/// Send `signal` to every process of the container.
pub fn kill_all(root: &Path, id: &str, signal: i32) -> Result<()> {
    let record = record::load(root, id)?;
    match record.group() {
        Some(group) => group.kill(signal),
        None => kill(root, id, signal),
    }
}

/// The numbers of all processes, as the host has them.
pub fn pids(root: &Path, id: &str) -> Result<Vec<i32>> {
    let record = record::load(root, id)?;
    match record.group() {
        Some(group) => group.pids(),
        None if record.is_alive() => Ok(vec![record.pid]),
        None => Ok(Vec::new()),
    }
}

pub fn pause(root: &Path, id: &str) -> Result<()> {
    let record = record::load(root, id)?;
    match state::status(root, &record) {
        Status::Running | Status::Created => group(&record)?.freeze(true),
        _ => Err(not_running()),
    }
}

pub fn resume(root: &Path, id: &str) -> Result<()> {
    let record = record::load(root, id)?;
    match state::status(root, &record) {
        Status::Paused => group(&record)?.freeze(false),
        _ => Err(Error::new(Kind::Conflict, "container not paused")),
    }
}

fn group(record: &Record) -> Result<Group> {
    record
        .group()
        .ok_or_else(|| Error::unsupported("this container has no cgroup v2 group to freeze"))
}

fn not_running() -> Error {
    Error::conflict("container not running")
}
