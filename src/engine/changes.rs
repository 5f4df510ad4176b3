//! changes: what a container has done to its image's files.

use crate::engine::Engine;
use crate::engine::container::Container;
use crate::error::Result;
use crate::image::changes::{self, Kind};

impl Engine {
    /// Paths, sorted, and what has happened to them.
    pub fn changes(&self, container: &Container) -> Result<Vec<(String, Kind)>> {
        let layers = self.layers(container)?;
        let upper = self.upper(container)?;
        let found = changes::changes(&layers.view.root, &upper, container.is_copied)?;
        let text = |path: Vec<u8>| String::from_utf8_lossy(&path).into_owned();
        Ok(found
            .into_iter()
            .map(|(path, kind)| (text(path), kind))
            .collect())
    }
}
