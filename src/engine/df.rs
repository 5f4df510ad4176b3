//! system df: what takes the space.

use crate::engine::Engine;
use crate::engine::filter::Filters;
use crate::error::{Error, Result};
use crate::json;
use crate::json::object::{self, Object};

/// What `type` can name (API, SystemDataUsage).
const KINDS: [&str; 4] = ["container", "image", "volume", "build-cache"];

impl Engine {
    /// In JSON: all of it, or only the `kinds` asked for. A container's files are counted one by
    /// one, which takes its time. `with_virtual` is for clients that read an image's VirtualSize.
    pub fn disk_usage(&self, kinds: &[&str], with_virtual: bool) -> Result<String> {
        if let Some(kind) = kinds.iter().find(|kind| !KINDS.contains(kind)) {
            return Err(Error::invalid(format!("unknown object type: {kind}")));
        }
        let is_wanted = |kind: &str| kinds.is_empty() || kinds.contains(&kind);
        let mut object = Object::new();
        let mut add = |name: &str, kind: &str, list: &dyn Fn() -> Result<Vec<String>>| {
            let list = match is_wanted(kind) {
                true => object::list(&list()?),
                false => "null".to_string(),
            };
            object.put(name, &list);
            Ok::<(), Error>(())
        };
        add("Images", "image", &|| self.images_used(with_virtual))?;
        add("Containers", "container", &|| {
            let containers = self.containers();
            let summaries = containers.iter().map(|c| self.summary(c, true));
            summaries
                .map(|summary| summary.map(|summary| json::to_string(&summary)))
                .collect()
        })?;
        add("Volumes", "volume", &|| self.volumes_used())?;
        add("BuildCache", "build-cache", &|| Ok(Vec::new()))?;
        let layers = match is_wanted("image") {
            true => self.images.usage().layers,
            false => 0,
        };
        Ok(object.number("LayersSize", layers).finish())
    }

    fn images_used(&self, with_virtual: bool) -> Result<Vec<String>> {
        let mut images = self.image_list(&Filters::default(), false)?;
        self.measure_shared(&mut images);
        for image in &mut images {
            image.virtual_size = image.size.filter(|_| with_virtual);
        }
        Ok(images.iter().map(|image| json::to_string(image)).collect())
    }
}
