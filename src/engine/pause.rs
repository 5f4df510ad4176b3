//! pause and unpause: all processes of a container stand still, and go on.
//!
//! The kernel knows who is frozen: neither record nor engine does better, so nothing is written, and
//! an engine that comes back asks the shim.

use crate::engine::Engine;
use crate::engine::container::{Container, Phase};
use crate::engine::start::{not_running, restarting};
use crate::error::{Error, Kind, Result};

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
        container.update(|state| {
            if state.phase == Phase::Running {
                state.phase = Phase::Paused;
            }
        });
        self.tell(container, "pause", &[]);
        Ok(())
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
        self.unpaused(container);
        Ok(())
    }

    /// Its processes go on: somebody asked for it, or a signal that is to end them does.
    pub(super) fn unpaused(&self, container: &Container) {
        let mut is_news = false;
        container.update(|state| {
            is_news = state.phase == Phase::Paused;
            if is_news {
                state.phase = Phase::Running;
            }
        });
        if is_news {
            self.tell(container, "unpause", &[]);
        }
    }
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
