//! kill: a signal to a container's first process.

use crate::engine::Engine;
use crate::engine::container::{Container, Phase, State};
use crate::engine::start::{not_running, up_shim};
use crate::error::{Error, Kind, Result};
use crate::sys::signal::{self, SIGKILL};
use std::time::Duration;

/// How long SIGKILL may take to show: a process in the kernel's hands dies when it comes back.
pub(super) const KILL_TIMEOUT: Duration = Duration::from_secs(10);

/// A signal as Docker's clients write it: a name with or without SIG, or a number.
pub fn parse_signal(text: &str) -> Result<i32> {
    signal::parse(text)
}

impl Engine {
    /// Send `signal` (none: KILL). After KILL wait until the container has ended, as Docker does.
    ///
    /// KILL, the container's own stop signal, and any signal where it has none of its own, also
    /// end its restarts (moby, killWithSignal).
    pub fn kill(&self, container: &Container, signal: Option<&str>) -> Result<()> {
        let number = match signal {
            None | Some("") => SIGKILL,
            Some(text) => parse_signal(text)?,
        };
        let own = container.config.stop_signal.as_deref();
        let is_stop = match own.filter(|own| !own.is_empty()) {
            Some(own) => number == SIGKILL || parse_signal(own)? == number,
            None => true,
        };
        let halts = container.lock().halts;
        self.send_signal(container, number, is_stop)?;
        if number == SIGKILL && !halted_within(container, halts, Some(KILL_TIMEOUT))? {
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

    pub(super) fn send_signal(
        &self,
        container: &Container,
        number: i32,
        is_stop: bool,
    ) -> Result<()> {
        let was_waiting = {
            let mut state = container.lock();
            if !state.phase.is_up() {
                return Err(not_running(&container.id));
            }
            state.is_stopped = true;
            state.is_halting |= is_stop;
            state.phase == Phase::Restarting
        };
        // After the loss of a shim there is none for a moment.
        let settled = |state: &State| state.shim.is_some() || !state.phase.is_up();
        container.wait_until(&settled, None, Some(KILL_TIMEOUT))?;
        let shim = up_shim(container)?;
        match shim.kill(number, is_stop) {
            // It has just ended; the watcher is about to know.
            Err(error) if error.kind == Kind::Gone => return Err(not_running(&container.id)),
            sent => sent?,
        }
        if !was_waiting {
            self.tell(container, "kill", &[("signal", &number.to_string())]);
        }
        Ok(())
    }
}

/// Wait until the container has come to a halt after `halts` others, which is recorded and told by
/// then.
pub(super) fn halted_within(
    container: &Container,
    halts: u64,
    timeout: Option<Duration>,
) -> Result<bool> {
    let done = |state: &State| state.halts > halts || state.phase == Phase::Removed;
    container.wait_until(&done, None, timeout)
}
