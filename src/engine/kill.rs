//! kill: a signal to a container's first process.

use crate::engine::Engine;
use crate::engine::container::{Container, Phase, State};
use crate::engine::start::{not_running, running_shim};
use crate::error::{Error, Kind, Result};
use crate::sys::signal::{self, SIGKILL};
use std::time::Duration;

/// How long SIGKILL may take to show: a process in the kernel's hands dies when it comes back.
const KILL_TIMEOUT: Duration = Duration::from_secs(10);

/// A signal as Docker's clients write it: a name with or without SIG, or a number.
pub fn parse_signal(text: &str) -> Result<i32> {
    signal::parse(text)
}

impl Engine {
    /// Send `signal` (none: KILL). After KILL wait until the container has ended, as Docker does.
    pub fn kill(&self, container: &Container, signal: Option<&str>) -> Result<()> {
        let number = match signal {
            None | Some("") => SIGKILL,
            Some(text) => parse_signal(text)?,
        };
        let ends = container.lock().ends;
        self.send_signal(container, number)?;
        if number == SIGKILL && !ended_within(container, ends, Some(KILL_TIMEOUT))? {
            return Err(Error::new(
                Kind::System,
                format!(
                    "container {} did not end 10 seconds after SIGKILL",
                    container.id
                ),
            ));
        }
        Ok(())
    }

    pub(super) fn send_signal(&self, container: &Container, number: i32) -> Result<()> {
        let shim = running_shim(container)?;
        match shim.kill(number) {
            // It has just ended; the watcher is about to know.
            Err(error) if error.kind == Kind::Gone => return Err(not_running(&container.id)),
            sent => sent?,
        }
        self.tell(container, "kill", &[("signal", &number.to_string())]);
        Ok(())
    }
}

/// Wait for the end of the run after `ends` others: until it is recorded and told.
pub(super) fn ended_within(
    container: &Container,
    ends: u64,
    timeout: Option<Duration>,
) -> Result<bool> {
    let done = |state: &State| state.ends > ends || state.phase == Phase::Removed;
    container.wait_until(&done, None, timeout)
}
