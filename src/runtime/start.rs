//! `start`: let the waiting first process execute its program.

use crate::error::{Error, Kind, Result};
use crate::runtime::hooks;
use crate::runtime::record::{self, Record};
use crate::runtime::report::{self, Message};
use crate::runtime::seccomp;
use crate::runtime::state::{self, Status};
use crate::sys::{process, socket};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

/// Answers when the program has been executed, or with why it has not.
pub fn start(root: &Path, id: &str) -> Result<()> {
    let record = record::load(root, id)?;
    refuse_unready(root, &record)?;
    let path = record::start_socket(root, id);
    let socket = socket::connect(&path).map_err(|_| not_waiting(&record))?;
    socket::send(&socket, b"G", &[]).map_err(|_| not_waiting(&record))?;

    let outcome = follow(root, &record, socket.as_fd());
    // From here on `state` need not ask whether anybody listens.
    let _ = std::fs::remove_file(&path);
    outcome?;
    run_late_hooks(root, record)
}

/// Listen to the first process, which has been told to go, until its program runs or can't.
pub(super) fn follow(root: &Path, record: &Record, socket: BorrowedFd<'_>) -> Result<()> {
    let mut executing = false;
    loop {
        match report::next(socket) {
            Ok(Some(Message::Executing)) => executing = true,
            Ok(Some(Message::Listener(listener))) => give_listener(root, record, &listener)?,
            Ok(Some(Message::Failed(error))) => return Err(error),
            Ok(None) if executing => return Ok(()),
            Ok(Some(_)) => {}
            // Killed while it waited, between our knock and its answer.
            Ok(None) | Err(_) => return Err(not_waiting(record)),
        }
    }
}

pub(super) fn run_late_hooks(root: &Path, record: Record) -> Result<()> {
    match record.late_hooks {
        Some(true) => run_hooks(root, record),
        _ => Ok(()),
    }
}

/// The program runs. If a hook fails it does not go on running (runtime-spec, `runtime.md`,
/// Lifecycle, 9).
fn run_hooks(root: &Path, record: Record) -> Result<()> {
    let spec = record::config(root, &record.id)?;
    let hooks = spec.hooks.as_ref();
    let hooks = hooks.and_then(|hooks| hooks.poststart.as_ref());
    let (target, group) = (record.process(), record.group());
    let status = state::status(root, &record);
    hooks::run(hooks, "poststart", &state::describe(record, status)).inspect_err(|_| {
        // Without a pid namespace the first process takes nobody along; the group has them all.
        if let Some(target) = &target {
            let _ = process::signal(target, 9);
        }
        if let Some(group) = &group {
            let _ = group.kill(9);
        }
    })
}

/// Who knocks at a process that is frozen, or not done with its setup, waits for an answer.
fn refuse_unready(root: &Path, record: &Record) -> Result<()> {
    let status = if record::is_claimed(root, &record.id) {
        Status::Creating
    } else if record.group().is_some_and(|group| group.is_frozen()) {
        Status::Paused
    } else {
        return Ok(());
    };
    Err(Error::conflict(format!(
        "cannot start a container in the {} state",
        status.name()
    )))
}

/// A program whose agent can't be asked never gets on: it ends.
fn give_listener(root: &Path, record: &Record, listener: &OwnedFd) -> Result<()> {
    // It is on its way from created to running: the filter stands before execve.
    let state = state::describe(record.clone(), Status::Created);
    let given = seccomp::hand_over(root, state, record.pid, listener.as_fd());
    if given.is_err()
        && let Some(process) = record.process()
    {
        let _ = process::signal(&process, 9);
    }
    given
}

fn not_waiting(record: &Record) -> Error {
    let message = match record.is_alive() && !process::is_ending(record.pid) {
        true => "cannot start an already running container",
        false => "cannot start a container that has stopped",
    };
    Error::new(Kind::Conflict, message)
}
