//! The engine's rooms, opened for a moment without serving.
//!
//! Opening them is recovering, as when an engine starts, so it needs the lock of one: two would
//! write the same records. The lock goes with the process. A container that was started lives on in
//! its shim, and the next engine finds it.

use super::Ctr;
use crate::applets::engine;
use crate::engine::Engine;
use crate::engine::config::Level;
use crate::error::{Error, Kind, Result};
use std::sync::Arc;

impl Ctr {
    /// Do `work` as the engine, which does not run; `instead` is what to type where it does.
    pub fn as_engine<T>(
        &self,
        instead: &str,
        work: impl FnOnce(&Arc<Engine>) -> Result<T>,
    ) -> Result<T> {
        let (options, mut settings) = engine::configuration(&self.engine_args)?;
        // A command is no service: what this host cannot do is not its business.
        if settings.level == Level::Info {
            settings.level = Level::Warn;
        }
        let _lock = engine::hold(&options, None).map_err(|error| match error.kind {
            Kind::Conflict => Error::conflict(format!(
                "an engine is at work here: use `tug {instead}` ({error})"
            )),
            _ => error,
        })?;
        let engine = Engine::open(options, settings)?;
        let outcome = work(&engine);
        engine.close();
        outcome
    }
}
