//! `state`: what a container is, and what the kernel says that it does.

use crate::error::Result;
use crate::oci::spec::{Process, VERSION};
use crate::oci::state::State;
use crate::runtime::record::{self, Record};
use crate::sys::socket;
use std::path::Path;

/// What a container does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Half made, by a process that is still at it.
    Creating,
    /// Its first process waits for `start`.
    Created,
    Running,
    Paused,
    Stopped,
}

impl Status {
    pub fn name(self) -> &'static str {
        match self {
            Status::Creating => "creating",
            Status::Created => "created",
            Status::Running => "running",
            Status::Paused => "paused",
            Status::Stopped => "stopped",
        }
    }
}

/// In the words of the spec.
pub fn describe(record: Record, status: Status) -> State {
    let pid = match status {
        Status::Stopped | Status::Creating => 0,
        _ => record.pid,
    };
    State {
        oci_version: Some(VERSION.to_string()),
        id: Some(record.id),
        status: Some(status.name().to_string()),
        pid: Some(pid),
        bundle: Some(record.bundle),
        annotations: record.annotations,
    }
}

/// The `process` of the config.json of a container that exists.
pub fn process(root: &Path, id: &str) -> Result<Process> {
    record::load(root, id)?;
    record::process(root, id)
}

/// What the kernel says that the container does.
pub fn status(root: &Path, record: &Record) -> Status {
    if record.pid == 0 {
        // Its maker is at it, or has died on the way: then this is all there will ever be.
        return match record::is_claimed(root, &record.id) {
            true => Status::Creating,
            false => Status::Stopped,
        };
    }
    if !record.is_alive() {
        return Status::Stopped;
    }
    if record.group().is_some_and(|group| group.is_frozen()) {
        return Status::Paused;
    }
    let path = record::start_socket(root, &record.id);
    if !path.exists() {
        return Status::Running;
    }
    // It is there before the first process is set up, and its maker has the claim until then.
    if record::is_claimed(root, &record.id) {
        return Status::Creating;
    }
    // A connection that says nothing: whoever waits there takes it for this question.
    match socket::connect(&path) {
        Ok(_) => Status::Created,
        Err(_) => Status::Running,
    }
}
