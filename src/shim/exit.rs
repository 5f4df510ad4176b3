//! How a container ended: the `exit` file in its run directory.
//!
//! The shim writes it, durably, before it tells anyone, and leaves it for the engine to read and
//! the next run to replace. An end after which the container starts again is written too, but not
//! synced: after a power cut the boot decides what runs, and a program that crashes in a loop shall
//! not wear the disk.

use crate::error::{Context, Error, Result};
use crate::json;
use crate::json::value::json_struct;
use crate::shim::wear::Wear;
use crate::store::record;
use std::path::Path;

const FILE: &str = "exit";

json_struct! {
    #[derive(Clone, Debug, Default, PartialEq, Eq)]
    pub struct Exit {
        /// The program's own status, or 128 and the number of the signal that ended it.
        pub code: i32,
        /// RFC 3339.
        pub finished_at: String,
        /// The kernel killed one of its processes for want of memory.
        pub oom_killed: bool,
        /// Why it never ran, where it did not; empty otherwise.
        pub error: String,
        /// It starts again: not the last word.
        pub will_restart: Option<bool>,
        /// How often it was, or will have been, restarted.
        pub restarts: Option<u32>,
        /// The user has sent it a signal.
        pub is_stopped: Option<bool>,
        /// Since this shim began.
        pub wear: Option<Wear>,
    }
}

/// The exit of the last run; `None` while it has not ended (or its shim was lost).
pub fn read(run_dir: &Path) -> Result<Option<Exit>> {
    match record::load(run_dir, FILE)? {
        Some(bytes) => json::parse_bytes(&bytes, FILE)
            .context(|| run_dir.display().to_string())
            .map(Some),
        None => Ok(None),
    }
}

pub fn write(run_dir: &Path, exit: &Exit) -> Result<()> {
    let text = json::to_string(exit);
    match exit.will_restart {
        Some(true) => record::replace_unsynced(run_dir, FILE, text.as_bytes()),
        _ => record::replace(run_dir, FILE, text.as_bytes()),
    }
}

/// Take the last run's file away, so that nobody takes it for this one's.
pub fn forget(run_dir: &Path) -> Result<()> {
    let path = run_dir.join(FILE);
    match std::fs::remove_file(&path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::io(format_args!("remove {}", path.display()), &e))
        }
        _ => Ok(()),
    }
}
