//! `tug ctr content`: what the store has by its digest: configurations, manifests, and layers, whose
//! archives are made again from their files when asked for. The compressed blobs are not kept.

use super::{Ctr, print_list};
use crate::applets::client::options::Options;
use crate::error::Result;
use crate::id;
use crate::json::node::Node;
use crate::store::staging;
use crate::sys::fs;

pub fn list(ctr: &Ctr, options: &mut Options) -> Result<u8> {
    let mut rows = String::from("DIGEST\tSIZE\tKIND\n");
    for (kind, dir) in [("config", "images"), ("layer", "layers")] {
        let dir = ctr.data_root.join(dir);
        let mut names = if dir.exists() {
            staging::names(&dir)?
        } else {
            Vec::new()
        };
        names.retain(|name| id::is_full(name));
        names.sort_unstable();
        for digits in names {
            let size = match kind {
                "layer" => layer_bytes(ctr, &digits),
                _ => {
                    std::fs::metadata(dir.join(&digits).join("config.json")).map_or(0, |m| m.len())
                }
            };
            rows.push_str(&format!("sha256:{digits}\t{size}\t{kind}\n"));
        }
    }
    let store = ctr.images()?;
    let mut manifests: Vec<String> = Vec::new();
    for image in store.list()? {
        if let Some((_, digest, bytes)) = store.source(&image.id) {
            manifests.push(format!("{digest}\t{}\tmanifest\n", bytes.len()));
        }
    }
    manifests.sort_unstable();
    manifests.dedup();
    rows.push_str(&manifests.concat());
    print_list(&rows, options)
}

pub fn get(ctr: &Ctr, options: &mut Options) -> Result<u8> {
    let store = ctr.images()?;
    store.content(&options.args[0], &mut std::io::stdout().lock())?;
    Ok(0)
}

/// Bytes of all files in a layer, as its record says.
pub fn layer_bytes(ctr: &Ctr, digits: &str) -> u64 {
    let path = ctr.data_root.join("layers").join(digits).join("layer.json");
    let text = fs::read(&path).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let size = Node::new(&text, "layer.json").map(|record| record.at("size").integer());
    u64::try_from(size.unwrap_or(0)).unwrap_or(0)
}
