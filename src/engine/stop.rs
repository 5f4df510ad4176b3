//! stop: ask a container to end, then make it.

use crate::engine::Engine;
use crate::engine::container::Container;
use crate::engine::kill::{halted_within, parse_signal};
use crate::error::{Error, Kind, Result};
use crate::sys::signal::SIGTERM;
use std::sync::Arc;
use std::time::Duration;

/// Docker's default; see the API reference, StopTimeout.
pub(super) const TIMEOUT_SECONDS: i64 = 10;

/// The signal that asks the container to end.
pub(super) fn signal_of(container: &Container, signal: Option<&str>) -> Result<i32> {
    match signal.or(container.config.stop_signal.as_deref()) {
        None | Some("") => Ok(SIGTERM),
        Some(text) => parse_signal(text),
    }
}

impl Engine {
    /// `signal` and `timeout_seconds` default to what the container was created with. A negative
    /// timeout waits for ever.
    pub fn stop(
        &self,
        container: &Container,
        signal: Option<&str>,
        timeout_seconds: Option<i64>,
    ) -> Result<()> {
        let config = &container.config;
        let number = signal_of(container, signal)?;
        let halts = {
            let state = container.lock();
            if !state.phase.is_up() {
                drop(state);
                self.forget_critical(container);
                return Err(Error::new(Kind::NotModified, ""));
            }
            state.halts
        };
        let seconds = timeout_seconds
            .or(config.stop_timeout)
            .unwrap_or(TIMEOUT_SECONDS);
        let timeout = u64::try_from(seconds).ok().map(Duration::from_secs);

        // It may end by itself meanwhile, which is what was asked for.
        match self.send_signal(container, number, true) {
            Err(error) if error.kind == Kind::Conflict => {}
            sent => sent?,
        }
        if !halted_within(container, halts, timeout)? {
            match self.kill(container, None) {
                Err(error) if error.kind == Kind::Conflict => {}
                killed => killed?,
            }
        }
        // A shim that was just leaving says so in a moment.
        halted_within(container, halts, Some(Duration::from_secs(1)))?;
        self.tell(container, "stop", &[]);
        Ok(())
    }

    pub fn restart(
        self: &Arc<Engine>,
        container: &Arc<Container>,
        signal: Option<&str>,
        timeout_seconds: Option<i64>,
    ) -> Result<()> {
        container.lock().is_restarting = true;
        match self.stop(container, signal, timeout_seconds) {
            Err(error) if error.kind == Kind::NotModified => {}
            stopped => stopped.inspect_err(|_| container.lock().is_restarting = false)?,
        }
        self.start(container)?;
        self.tell(container, "restart", &[]);
        Ok(())
    }
}
