//! prune: remove what nobody uses.

use crate::engine::Engine;
use crate::engine::container::Container;
use crate::engine::filter::Filters;
use crate::engine::remove::Removal;
use crate::error::{Kind, Result};
use crate::time::Time;
use crate::wire::image::Deleted;
use std::sync::Arc;

pub const CONTAINER_FILTERS: &[&str] = &["label", "label!", "until"];
pub const IMAGE_FILTERS: &[&str] = &["dangling", "label", "label!", "until"];

impl Engine {
    /// Remove every container that does not run. Answers their ids and the bytes that are free.
    pub fn prune_containers(&self, filters: &Filters) -> Result<(Vec<String>, u64)> {
        let until = filters.until()?;
        let is_idle = |container: &Arc<Container>| {
            !container.lock().phase.is_up()
                && is_before(&container.created, until)
                && filters.allows_labels(container.config.labels.as_ref())
        };
        let (mut removed, mut reclaimed) = (Vec::new(), 0);
        for container in self.containers().into_iter().filter(is_idle) {
            let (written, _) = self.sizes(&container)?;
            match self.remove(&container, Removal::default()) {
                Ok(()) => {
                    removed.push(container.id.clone());
                    reclaimed += written;
                }
                // It was started or removed meanwhile.
                Err(error) if error.kind == Kind::Conflict => {}
                Err(error) => self.note(error),
            }
        }
        self.tell_prune("container", reclaimed);
        Ok((removed, reclaimed))
    }

    /// Remove the images without a name, or with `dangling=false` all that no container uses.
    pub fn prune_images(&self, filters: &Filters) -> Result<(Vec<Deleted>, u64)> {
        let until = filters.until()?;
        let only_dangling = filters.boolean("dangling")? != Some(false);
        let before = self.images.usage().layers;
        self.images.drop_unfinished()?;
        let mut deleted = Vec::new();
        for record in self.images.list()? {
            let labels = record.image.config.as_ref().and_then(|c| c.labels.as_ref());
            let created = record.image.created.as_deref().unwrap_or_default();
            if only_dangling && !record.tags.is_empty()
                || !is_before(created, until)
                || !filters.allows_labels(labels)
            {
                continue;
            }
            let mut names = record.tags;
            names.extend(record.digests);
            if names.is_empty() {
                names.push(record.id);
            }
            for name in names {
                match self.image_remove(&name, false) {
                    Ok(steps) => deleted.extend(steps),
                    // A container uses it, or it has gone meanwhile.
                    Err(error) if matches!(error.kind, Kind::Conflict | Kind::NotFound) => {}
                    Err(error) => self.note(error),
                }
            }
        }
        let mut reclaimed = before.saturating_sub(self.images.usage().layers);
        reclaimed += self.images.drop_parts()?;
        self.tell_prune("image", reclaimed);
        Ok((deleted, reclaimed))
    }
}

impl Engine {
    /// Bytes that `system prune` would free: containers that do not run, and images without a name
    /// that nobody else uses.
    pub(super) fn reclaimable(&self) -> u64 {
        let (mut bytes, mut used) = (0, Vec::new());
        for container in self.containers() {
            let is_up = container.lock().phase.is_up();
            match is_up {
                true => used.push(Arc::clone(&container)),
                false => bytes += self.sizes(&container).map_or(0, |(written, _)| written),
            }
        }
        bytes += self.images.part_bytes();
        bytes
            + self
                .images
                .dangling_bytes(&|id| used.iter().any(|used| used.uses_image(id)))
    }
}

/// Whether `created` is before the moment, if there is one.
pub(super) fn is_before(created: &str, until: Option<Time>) -> bool {
    until.is_none_or(|until| Time::parse(created).is_ok_and(|created| created < until))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_made_before_the_moment_goes() {
        let until = Time::parse("2026-01-01T00:00:00Z").ok();
        assert!(is_before("2025-12-31T23:59:59Z", until));
        assert!(!is_before("2026-01-01T00:00:00Z", until));
        assert!(!is_before("", until));
        assert!(is_before("", None));
    }
}
