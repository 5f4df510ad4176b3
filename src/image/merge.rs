//! The layers of an image laid over each other in one directory: what a container has for its files
//! where overlayfs cannot be had.

use crate::error::{Context, Result};
use crate::image::Images;
use crate::image::archive::Archive;
use crate::image::pack::{Form, Packer};
use crate::image::source::{Input, Source};
use crate::image::unpack;
use crate::sys::fs;
use std::path::Path;

impl Images {
    /// Copy all layers of an image into `root`, a new directory out of others' reach. What an upper
    /// layer hides of a lower one is not there. Nothing is synced.
    pub fn merge(&self, id: &str, root: &Path) -> Result<()> {
        for layer in self.lower_dirs(id)?.iter().rev() {
            // By way of an archive, so that there is one writer for everything that a file can be.
            let mut packer = Packer::new(fs::open_path(layer)?, b"", Form::Layer)?;
            let mut input = Input(&mut packer);
            let mut source = Source::new(&mut input);
            unpack::merge(root, &mut Archive::new(&mut source))
                .map_err(|error| self.advise(error))
                .context(|| format!("copy layer {}", layer.display()))?;
        }
        Ok(())
    }
}
