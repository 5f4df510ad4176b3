//! `kill`, `ps`, `pause`, `resume`: what acts on a container's processes from outside.

use crate::cgroup::Group;
use crate::error::{Error, Kind, Result};
use crate::runtime::record::{self, Record};
use crate::runtime::state::{self, Status};
use crate::sys::process;
use std::path::Path;

/// Send `signal` to the first process.
pub fn kill(root: &Path, id: &str, signal: i32) -> Result<()> {
    let record = record::load(root, id)?;
    let pidfd = record.process().ok_or_else(not_running)?;
    process::signal(&pidfd, signal).map_err(|error| match error.errno {
        Some(errno) if errno == rustix::io::Errno::SRCH.raw_os_error() => not_running(),
        _ => error,
    })?;
    // A frozen process takes even SIGKILL only when thawed (cgroup v2 wakes it for SIGKILL, but
    // not for SIGTERM); runc's way is to leave that to `resume`.
    Ok(())
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
