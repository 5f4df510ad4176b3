//! What is in which store: our own and those that are only read, seen as one.

use crate::error::{Error, Result};
use crate::image::readonly::ReadOnly;
use crate::image::reference::Reference;
use crate::image::shelf::Held;
use crate::image::{Images, layer, no_such_image};
use crate::store::record;
use crate::store::staging::{self, Staging};
use crate::sys::fs;
use std::path::PathBuf;

impl Images {
    /// The directory of layers that has this one. What is read-only comes first: no removal of ours
    /// can take it from under a container.
    pub(super) fn layers_with(&self, diff: &str) -> Option<PathBuf> {
        let mut places = self
            .readonly
            .iter()
            .filter(|store| store.fault.is_none())
            .map(ReadOnly::layers)
            .collect::<Vec<_>>();
        places.push(self.layers.clone());
        places
            .into_iter()
            .find(|layers| layer::exists(layers, diff))
    }

    /// A sentence for each read-only store that is left out.
    pub fn complaints(&self) -> Vec<String> {
        self.readonly
            .iter()
            .filter_map(ReadOnly::complaint)
            .collect()
    }

    /// The read-only store that has the image.
    pub(super) fn readonly_with(&self, digits: &str) -> Option<&ReadOnly> {
        self.readonly
            .iter()
            .find(|store| store.held(digits).is_some())
    }

    /// Of what is there twice, ours.
    pub(super) fn held(&self, digits: &str) -> Result<Held> {
        if let Some(held) = self.shelf().held(digits) {
            return Ok(held.clone());
        }
        let mut found = self.readonly.iter().filter_map(|store| store.held(digits));
        found.next().cloned().ok_or_else(|| no_such_image(digits))
    }

    /// All images, each once.
    pub(super) fn all(&self) -> Vec<Held> {
        let mut all = self.shelf().images.clone();
        for held in self.readonly.iter().flat_map(|store| &store.shelf.images) {
            if !all.iter().any(|known| known.digits == held.digits) {
                all.push(held.clone());
            }
        }
        all
    }

    /// The image that a name stands for: a name of ours hides that of a read-only store.
    pub(super) fn named(&self, full: &str) -> Option<String> {
        if let Some(digits) = self.shelf().refs.get(full) {
            return Some(digits.clone());
        }
        let mut found = self.readonly.iter();
        found.find_map(|store| store.shelf.refs.get(full)).cloned()
    }

    /// The names of an image, sorted.
    pub(super) fn names(&self, digits: &str) -> Vec<Reference> {
        let mut names = self.shelf().names(digits);
        for name in self
            .readonly
            .iter()
            .flat_map(|store| store.shelf.names(digits))
        {
            let full = name.full();
            let is_seen = self.named(&full).is_some_and(|seen| seen == digits);
            if is_seen && !names.iter().any(|known| known.full() == full) {
                let at = names.partition_point(|known| known.full() < full);
                names.insert(at, name);
            }
        }
        names
    }

    /// The directory with the records of an image.
    pub(super) fn image_dir(&self, digits: &str) -> PathBuf {
        let store = match self.shelf().held(digits) {
            Some(_) => None,
            None => self.readonly_with(digits),
        };
        store
            .map_or_else(|| self.images.clone(), ReadOnly::images)
            .join(digits)
    }

    /// Records of our own for an image of a read-only store: what is said of it from now on is
    /// known when that store is gone. The caller holds `change`.
    pub(super) fn adopt(&self, digits: &str) -> Result<()> {
        if self.shelf().held(digits).is_some() {
            return Ok(());
        }
        let held = self.held(digits)?;
        let from = self.image_dir(digits);
        let directory = Staging::new(&self.images)?;
        for name in staging::names(&from)? {
            let content = record::load(&from, &name)?.unwrap_or_default();
            let path = directory.path().join(name);
            std::fs::write(&path, content)
                .map_err(|e| Error::io(format_args!("write {}", path.display()), &e))?;
        }
        fs::sync_file_system(&self.images)?;
        directory.keep(&self.images.join(digits))?;
        fs::sync_dir(&self.images)?;
        self.shelf_mut(|shelf| shelf.images.push(held));
        Ok(())
    }

    pub(super) fn layer_size(&self, diff: &str) -> u64 {
        let layers = self.layers_with(diff);
        layers
            .and_then(|layers| layer::size(&layers, diff))
            .unwrap_or(0)
    }
}
