//! `start`: let the waiting first process execute its program.

use crate::error::{Error, Kind, Result};
use crate::runtime::record::{self, Record};
use crate::runtime::report::{self, Message};
use crate::sys::socket;
use std::path::Path;

/// Answers when the program has been executed, or with why it has not.
pub fn start(root: &Path, id: &str) -> Result<()> {
    let record = record::load(root, id)?;
    let path = record::start_socket(root, id);
    let socket = socket::connect(&path).map_err(|_| not_waiting(&record))?;
    socket::send(&socket, b"G", &[]).map_err(|_| not_waiting(&record))?;

    let mut executing = false;
    let outcome = loop {
        match report::next(&socket) {
            Ok(Some(Message::Executing)) => executing = true,
            Ok(Some(Message::Failed(error))) => break Err(error),
            Ok(None) if executing => break Ok(()),
            Ok(Some(_)) => {}
            // Killed while it waited, between our knock and its answer.
            Ok(None) | Err(_) => break Err(not_waiting(&record)),
        }
    };
    // From here on `state` need not ask whether anybody listens.
    let _ = std::fs::remove_file(&path);
    outcome
}

fn not_waiting(record: &Record) -> Error {
    let message = match record.is_alive() {
        true => "cannot start an already running container",
        false => "cannot start a container that has stopped",
    };
    Error::new(Kind::Conflict, message)
}
