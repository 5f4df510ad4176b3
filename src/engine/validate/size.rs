//! How large a container's writable layer may become: `--storage-opt size=10G`.

use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::json::map::Map;
use crate::store::{ext4, limit};

/// Docker's only option; 0 is no limit, whatever the engine's is.
pub fn of(options: Option<&Map<String>>) -> Result<Option<u64>> {
    let mut size = None;
    for (name, text) in options.into_iter().flatten() {
        if !name.eq_ignore_ascii_case("size") {
            return Err(Error::invalid(format!("unknown option {name}")));
        }
        size = Some(parse(text)?);
    }
    Ok(size)
}

pub fn parse(text: &str) -> Result<u64> {
    let bytes = limit::parse_size(text, 1024).map_err(Error::invalid)?;
    match bytes == 0 || ext4::BYTES.contains(&bytes) {
        true => Ok(bytes),
        false => Err(Error::invalid(format!(
            "invalid size: '{text}': use 64k to 15t"
        ))),
    }
}

impl Engine {
    /// What holds for a container that asks for this.
    pub fn layer_bytes_max(&self, options: Option<&Map<String>>) -> Result<Option<u64>> {
        let asked = of(options)?.or(self.options.layer_bytes_max);
        Ok(asked.filter(|bytes| *bytes > 0))
    }
}
