//! Who takes the space: layers, and what images share.

use crate::image::shelf::Held;
use crate::image::{Images, layer};

/// A layer, and how many images have it.
struct Layer {
    diff: String,
    bytes: u64,
    images: usize,
    /// In a read-only store: it takes no space that anybody could have back.
    is_given: bool,
}

#[derive(Debug, Default)]
pub struct Usage {
    /// Bytes of all layers of our own, each once.
    pub layers: u64,
    /// Ids of images, each with the bytes of those layers that other images, or read-only stores,
    /// have as well.
    shared: Vec<(String, u64)>,
}

impl Usage {
    pub fn shared(&self, id: &str) -> u64 {
        let found = self.shared.iter().find(|(known, _)| known == id);
        found.map_or(0, |(_, bytes)| *bytes)
    }
}

impl Images {
    /// Bytes of the layers that only images without a name have, as far as nobody uses those.
    pub fn dangling_bytes(&self, is_used: &dyn Fn(&str) -> bool) -> u64 {
        let shelf = self.shelf();
        let is_named = |digits: &String| shelf.refs.iter().any(|(_, id)| id == digits);
        let (kept, dangling): (Vec<&Held>, Vec<&Held>) = shelf.images.iter().partition(|held| {
            is_named(&held.digits) || is_used(&format!("sha256:{}", held.digits))
        });
        let has = |held: &Held, diff: &String| held.layers.contains(diff);
        let mut counted: Vec<&String> = Vec::new();
        for diff in dangling.iter().flat_map(|held| &held.layers) {
            if !counted.contains(&diff) && !kept.iter().any(|held| has(held, diff)) {
                counted.push(diff);
            }
        }
        let bytes = counted.iter().map(|diff| layer::size(&self.layers, diff));
        bytes.map(|bytes| bytes.unwrap_or(0)).sum()
    }

    pub fn usage(&self) -> Usage {
        let images = self.all();
        let mut layers: Vec<Layer> = Vec::new();
        for diff in images.iter().flat_map(|held| &held.layers) {
            match layers.iter_mut().find(|layer| layer.diff == *diff) {
                Some(layer) => layer.images += 1,
                None => layers.push(Layer {
                    diff: diff.clone(),
                    bytes: self.layer_size(diff),
                    images: 1,
                    is_given: self.layers_with(diff).is_some_and(|at| at != self.layers),
                }),
            }
        }
        let mut usage = Usage::default();
        for held in images {
            let mut bytes = 0;
            for layer in &layers {
                if (layer.images > 1 || layer.is_given) && held.layers.contains(&layer.diff) {
                    bytes += layer.bytes;
                }
            }
            usage
                .shared
                .push((format!("sha256:{}", held.digits), bytes));
        }
        for layer in layers.iter().filter(|layer| !layer.is_given) {
            usage.layers += layer.bytes;
        }
        usage
    }
}
