//! `delete`: the one way out. Copes with any half-made or half-removed container.

use crate::error::{Error, Kind, Result};
use crate::log;
use crate::oci::spec::Spec;
use crate::runtime::record::{self, Record};
use crate::runtime::state::{self, Status};
use crate::runtime::{hooks, kept_mounts};
use crate::sys::{poll, process};
use rustix::event::PollFlags;
use std::io::ErrorKind;
use std::os::fd::AsFd;
use std::path::Path;
use std::time::Duration;

/// How long SIGKILL may take to show; a process in an uninterruptible wait can outlast it.
const KILL_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a container may take to be made before `force` stops that.
const MAKING_TIMEOUT: Duration = Duration::from_secs(1);

/// Remove the cgroup and the state. A container that runs is removed only by `force`, which
/// kills it, and to which absence is success.
///
/// Where several remove one container, one does, and the others come to find it gone.
pub fn delete(root: &Path, id: &str, force: bool) -> Result<()> {
    record::check_id(id)?;
    let claim = record::wait_for_claim(root, id, &|waited| {
        // Made by somebody whom nothing moves, a hook for instance: this ends it.
        if force
            && waited > MAKING_TIMEOUT
            && let Ok(record) = record::load(root, id)
        {
            kill(&record);
        }
    })?;
    if claim.is_none() {
        return match force {
            true => Ok(()),
            false => Err(record::missing()),
        };
    }
    if !force && let Ok(record) = record::load(root, id) {
        let status = state::status(root, &record);
        if matches!(status, Status::Running | Status::Paused) {
            return Err(Error::conflict(format!(
                "cannot delete container {id} that is not stopped: {}",
                status.name()
            )));
        }
    }
    remove(root, id)
}

/// Remove what there is of a container that the caller has claimed.
pub fn remove(root: &Path, id: &str) -> Result<()> {
    let mut late = None;
    // Without a record, or with one that a power cut tore, the directory is all there is.
    if let Ok(record) = record::load(root, id) {
        stop(&record)?;
        remove_group(&record)?;
        kept_mounts::remove(&record)?;
        if record.late_hooks == Some(true) {
            // They stand in the directory that goes.
            late = Some((record::config(root, id), record));
        }
    }
    let dir = record::dir(root, id);
    match std::fs::remove_dir_all(&dir) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(Error::io(format_args!("remove {}", dir.display()), &error)),
    }
    if let Some((spec, record)) = late {
        run_hooks(spec, record);
    }
    Ok(())
}

/// The container is gone, whatever they say.
fn run_hooks(spec: Result<Spec>, record: Record) {
    let state = state::describe(record, Status::Stopped);
    match spec {
        Ok(spec) => {
            let hooks = spec.hooks.as_ref();
            let hooks = hooks.and_then(|hooks| hooks.poststop.as_ref());
            let failures = hooks::run_all(hooks, "poststop", &state);
            failures.into_iter().for_each(log::warn);
        }
        Err(error) => log::warn(format_args!("poststop hooks: {error}")),
    }
}

fn kill(record: &Record) {
    if let Some(pidfd) = record.process() {
        let _ = process::signal(&pidfd, 9);
    }
}

fn stop(record: &Record) -> Result<()> {
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
    group.destroy()
}
