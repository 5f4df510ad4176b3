//! Who takes the space: layers, and what images share.

use crate::image::{Images, layer};
use std::collections::BTreeMap;

#[derive(Debug, Default)]
pub struct Usage {
    /// Bytes of all layers, each once.
    pub layers: u64,
    /// By image id: the bytes of those layers that other images have as well.
    pub shared: BTreeMap<String, u64>,
}

impl Images {
    pub fn usage(&self) -> Usage {
        let images = self.shelf().images.clone();
        // Layers with their sizes, and how many images have them.
        let mut layers: BTreeMap<&str, (u64, usize)> = BTreeMap::new();
        for diff in images.iter().flat_map(|held| &held.layers) {
            let size = || layer::size(&self.layers, diff).unwrap_or(0);
            layers.entry(diff).or_insert_with(|| (size(), 0)).1 += 1;
        }
        let shared = |diff: &String| match layers.get(diff.as_str()) {
            Some((size, users)) if *users > 1 => *size,
            _ => 0,
        };
        Usage {
            layers: layers.values().map(|(size, _)| size).sum(),
            shared: images
                .iter()
                .map(|held| {
                    let sum = held.layers.iter().map(shared).sum();
                    (format!("sha256:{}", held.digits), sum)
                })
                .collect(),
        }
    }
}
