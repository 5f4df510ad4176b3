//! `delete`: the one way out. Copes with any half-made or half-removed container.

use crate::error::{Error, Kind, Result};
use crate::runtime::record::{self, Record};
use crate::runtime::state::{self, Status};
use crate::sys::{poll, process};
use rustix::event::PollFlags;
use std::io::ErrorKind;
use std::os::fd::AsFd;
use std::path::Path;
use std::time::Duration;

/// How long SIGKILL may take to show; a process in an uninterruptible wait can outlast it.
const KILL_TIMEOUT: Duration = Duration::from_secs(10);

/// Remove the cgroup and the state. A container that runs is removed only by `force`, which
/// kills it, and to which absence is success.
pub fn delete(root: &Path, id: &str, force: bool) -> Result<()> {
    record::check_id(id)?;
    match record::load(root, id) {
        Ok(record) => {
            stop(root, &record, force)?;
            remove_group(&record)?;
        }
        // No record, or one that a power cut tore: the directory is all there is.
        Err(error) if error.kind == Kind::NotFound => {
            if !record::dir(root, id).exists() {
                return if force { Ok(()) } else { Err(error) };
            }
        }
        Err(error) if !force => return Err(error),
        Err(_) => {}
    }
    let dir = record::dir(root, id);
    match std::fs::remove_dir_all(&dir) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(Error::io(format_args!("remove {}", dir.display()), &error))
        }
        _ => Ok(()),
    }
}

fn stop(root: &Path, record: &Record, force: bool) -> Result<()> {
    let status = state::status(root, record);
    if matches!(status, Status::Running | Status::Paused) && !force {
        return Err(Error::conflict(format!(
            "cannot delete container {} that is not stopped: {}",
            record.id,
            status.name()
        )));
    }
    let Some(pidfd) = record.process() else {
        return Ok(());
    };
    let _ = process::signal(&pidfd, 9);
    // With its own pid namespace the first process takes all others along.
    let ready = poll::wait(&[(pidfd.as_fd(), PollFlags::IN)], Some(KILL_TIMEOUT))?;
    match ready.first().is_some_and(|events| !events.is_empty()) {
        true => Ok(()),
        false => Err(Error::new(
            Kind::System,
            format!("process {} did not end after SIGKILL", record.pid),
        )),
    }
}

fn remove_group(record: &Record) -> Result<()> {
    let Some(group) = record.group() else {
        return Ok(());
    };
    // Without a pid namespace, others may have outlived the first process.
    let _ = group.kill(9);
    group.remove()
}
