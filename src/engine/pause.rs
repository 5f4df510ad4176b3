//! pause and unpause: all processes of a container stand still, and go on.
//!
//! The kernel knows who is frozen: neither record nor engine does better, so nothing is written, and
//! an engine that comes back asks the shim.

use crate::engine::Engine;
use crate::engine::container::{Container, Phase, State};
use crate::engine::start::{not_running, restarting};
use crate::error::{Error, Kind, Result};
use std::time::Duration;

/// How long the news of what the shim has done may take.
const HEARING: Duration = Duration::from_secs(5);

impl Engine {
    pub fn pause(&self, container: &Container) -> Result<()> {
        let _busy = container.occupy();
        let shim = {
            let state = container.lock();
            match state.phase {
                Phase::Running => state.shim.clone(),
                Phase::Paused => return Err(refused(container, "already paused")),
                Phase::Restarting => return Err(restarting(&container.id)),
                _ => None,
            }
        };
        let shim = shim.ok_or_else(|| not_running(&container.id))?;
        shim.pause().map_err(|error| gone(container, error))?;
        told(container, Phase::Running)
    }

    pub fn unpause(&self, container: &Container) -> Result<()> {
        let _busy = container.occupy();
        let shim = {
            let state = container.lock();
            state.shim.clone().filter(|_| state.phase == Phase::Paused)
        };
        // Docker answers 500 here, for which nobody can have a use.
        let shim = shim.ok_or_else(|| refused(container, "not paused"))?;
        shim.unpause().map_err(|error| gone(container, error))?;
        told(container, Phase::Paused)
    }

    /// Its processes stand still, or go on: by one of the verbs above, by a signal that is to end
    /// them, or by `tug ctr`. The shim tells of each, in order, and the watcher alone records it: two
    /// who did could take an old pause for a new one.
    pub(super) fn paused(&self, container: &Container, is_paused: bool) {
        let (from, to, action) = match is_paused {
            true => (Phase::Running, Phase::Paused, "pause"),
            false => (Phase::Paused, Phase::Running, "unpause"),
        };
        let mut is_news = false;
        container.update(|state| {
            is_news = state.phase == from;
            if is_news {
                state.phase = to;
            }
        });
        if is_news {
            self.tell(container, action, &[]);
        }
    }
}

/// Wait until the watcher has heard that the container is no longer in `phase`.
fn told(container: &Container, phase: Phase) -> Result<()> {
    let done = |state: &State| state.phase != phase;
    container.wait_until(&done, None, Some(HEARING))?;
    Ok(())
}

fn refused(container: &Container, what: &str) -> Error {
    Error::conflict(format!("Container {} is {what}", container.id))
}

/// A shim that has left: its container has just ended.
fn gone(container: &Container, error: Error) -> Error {
    match error.kind {
        Kind::Gone => not_running(&container.id),
        _ => error,
    }
}
