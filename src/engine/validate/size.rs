//! How large a container's writable layer may become: `--storage-opt size=10G`.

use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::json::map::Map;
use crate::store::limit;

/// Docker's only option; 0 is no limit, whatever the engine's is.
pub fn of(options: Option<&Map<String>>) -> Result<Option<u64>> {
    let mut size = None;
    for (name, text) in options.into_iter().flatten() {
        if !name.eq_ignore_ascii_case("size") {
            return Err(Error::invalid(format!("unknown option {name}")));
        }
        size = Some(limit::parse(text)?);
    }
    Ok(size)
}

impl Engine {
    /// What holds for a container that asks for this.
    pub fn layer_bytes_max(&self, options: Option<&Map<String>>) -> Result<Option<u64>> {
        let asked = of(options)?.or(self.options.layer_bytes_max);
        Ok(asked.filter(|bytes| *bytes > 0))
    }
}
