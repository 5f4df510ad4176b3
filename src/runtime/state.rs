//! `state`: what a container is, and what the kernel says that it does.

use crate::error::Result;
use crate::oci::spec::VERSION;
use crate::oci::state::State;
use crate::runtime::record::{self, Record};
use crate::sys::socket;
use std::path::Path;

/// What a container does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Half made: no process yet, or its maker has died.
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

pub fn state(root: &Path, id: &str) -> Result<State> {
    let record = record::load(root, id)?;
    let status = status(root, &record);
    let pid = match status {
        Status::Stopped | Status::Creating => 0,
        _ => record.pid,
    };
    Ok(State {
        oci_version: Some(VERSION.to_string()),
        id: Some(record.id),
        status: Some(status.name().to_string()),
        pid: Some(pid),
        bundle: Some(record.bundle),
        annotations: record.annotations,
    })
}

pub fn status(root: &Path, record: &Record) -> Status {
    if record.pid == 0 {
        return Status::Creating;
    }
    if !record.is_alive() {
        return Status::Stopped;
    }
    // A connection that says nothing: whoever waits there takes it for this question.
    let path = record::start_socket(root, &record.id);
    if path.exists() && socket::connect(&path).is_ok() {
        return Status::Created;
    }
    match record.group().is_some_and(|group| group.is_frozen()) {
        true => Status::Paused,
        false => Status::Running,
    }
}
