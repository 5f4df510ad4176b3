//! attach: join a client's connection to a container's streams.

use crate::engine::Engine;
use crate::engine::container::{Container, Pending, Phase};
use crate::engine::start::restarting;
use crate::error::{Error, Kind, Result};
use crate::shim::client::Attach;
use rustix::event::PollFlags;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::Duration;

impl Engine {
    /// Hand the client over to the shim; before the start, keep it until then. One that has the log
    /// of a run which has ended meanwhile is `Gone`: what it lacks is in the log.
    pub fn attach(
        &self,
        container: &Container,
        attach: Attach,
        client: BorrowedFd<'_>,
    ) -> Result<()> {
        self.tell(container, "attach", &[]);
        let shim = {
            let mut state = container.lock();
            if !state.phase.is_up() {
                if attach.log.is_some() {
                    return Err(Error::new(Kind::Gone, "the container has ended"));
                }
                let client = client
                    .try_clone_to_owned()
                    .map_err(|e| Error::io("keep the connection", &e))?;
                // Those who have given up waiting make room for the others.
                state
                    .pending
                    .retain(|other| !has_hung_up(other.client.as_fd()));
                state.pending.push(Pending { attach, client });
                return Ok(());
            }
            state.shim.as_ref().map(Arc::clone)
        };
        match shim.map(|shim| shim.attach(&attach, client)) {
            // It has ended at this moment: the client sees the end of the stream, as it should.
            Some(Err(error)) if error.kind == Kind::Gone && attach.log.is_none() => Ok(()),
            Some(attached) => attached,
            None => Ok(()),
        }
    }

    /// Whether a client may attach now, said while an error can still be an answer of its own.
    pub fn attachable(&self, container: &Container) -> Result<()> {
        let id = &container.id;
        match container.lock().phase {
            Phase::Paused => Err(Error::conflict(format!(
                "container {id} is paused, unpause the container before attach"
            ))),
            Phase::Restarting => Err(restarting(id)),
            _ => Ok(()),
        }
    }

    /// Set the size of the container's terminal.
    pub fn resize(&self, container: &Container, height: u16, width: u16) -> Result<()> {
        let shim = crate::engine::start::running_shim(container)?;
        match shim.resize(None, height, width) {
            // It has just ended; the watcher is about to know.
            Err(error) if error.kind == Kind::Gone => {
                return Err(crate::engine::start::not_running(&container.id));
            }
            resized => resized?,
        }
        let (h, w) = (height.to_string(), width.to_string());
        self.tell(container, "resize", &[("height", &h), ("width", &w)]);
        Ok(())
    }
}

impl Container {
    /// Whether clients wait for it to start.
    pub(super) fn has_pending(&self) -> bool {
        let mut state = self.lock();
        state
            .pending
            .retain(|other| !has_hung_up(other.client.as_fd()));
        !state.pending.is_empty()
    }
}

fn has_hung_up(client: BorrowedFd<'_>) -> bool {
    let ready = crate::sys::poll::wait(&[(client, PollFlags::empty())], Some(Duration::ZERO));
    ready.is_ok_and(|ready| ready.iter().any(|flags| !flags.is_empty()))
}
