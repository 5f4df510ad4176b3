//! The volumes that no container has, and nobody will miss.

use crate::engine::Engine;
use crate::engine::filter::Filters;
use crate::error::{Kind, Result};
use crate::volume::Volume;

pub const FILTERS: &[&str] = &["all", "label", "label!"];

impl Engine {
    /// Remove the volumes without a name of their own, or with `all` the others, too. Those with options
    /// stay, as in Docker: that would free nothing. Answers the names and the bytes that are free.
    pub fn prune_volumes(&self, filters: &Filters, all: bool) -> Result<(Vec<String>, u64)> {
        let all = filters.boolean("all")?.unwrap_or(false) || all;
        let is_idle = |volume: &Volume| {
            (all || volume.is_anonymous())
                && volume.options().next().is_none()
                && filters.allows_labels(volume.asked.labels.as_ref())
        };
        let (mut removed, mut reclaimed) = (Vec::new(), 0);
        let used = self.volumes_in_use();
        for volume in self.volumes.list()?.into_iter().filter(is_idle) {
            if used.iter().any(|(name, _)| *name == volume.name) {
                continue;
            }
            let bytes = volume.bytes().unwrap_or(0);
            match self.volume_remove(&volume.name, false) {
                Ok(()) => {
                    removed.push(volume.name);
                    reclaimed += bytes;
                }
                // It was taken or removed meanwhile.
                Err(error) if matches!(error.kind, Kind::Conflict | Kind::NotFound) => {}
                Err(error) => self.note(error),
            }
        }
        self.tell_prune("volume", reclaimed);
        Ok((removed, reclaimed))
    }
}
