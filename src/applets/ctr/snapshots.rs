//! `tug ctr snapshots`: layers, and what containers have written on top of them.

use super::{Ctr, content, print_table};
use crate::applets::client::options::Options;
use crate::applets::client::print;
use crate::error::{Error, Result};
use crate::id;
use crate::json::node;
use crate::store::{staging, usage};
use std::path::PathBuf;

struct Snapshot {
    key: String,
    /// The layer below; one of an image has none of its own, for many may share it.
    parent: String,
    is_layer: bool,
    path: PathBuf,
}

impl Snapshot {
    fn kind(&self) -> &'static str {
        match self.is_layer {
            true => "Committed",
            false => "Active",
        }
    }
}

fn all(ctr: &Ctr) -> Result<Vec<Snapshot>> {
    let layers = ctr.data_root.join("layers");
    let mut names = if layers.exists() {
        staging::names(&layers)?
    } else {
        Vec::new()
    };
    names.retain(|name| id::is_full(name));
    names.sort();
    let mut all: Vec<Snapshot> = names
        .into_iter()
        .map(|digits| Snapshot {
            path: layers.join(&digits).join("diff"),
            key: format!("sha256:{digits}"),
            parent: String::new(),
            is_layer: true,
        })
        .collect();

    let images = ctr.images()?.list()?;
    for id in ctr.recorded()? {
        let image_id = ctr.asked(&id).and_then(|asked| asked.image_id);
        let image = images
            .iter()
            .find(|image| Some(&image.id) == image_id.as_ref());
        let layers = image.and_then(|image| image.image.rootfs.as_ref());
        let top = layers.and_then(|rootfs| rootfs.diff_ids.as_ref()?.last().cloned());
        all.push(Snapshot {
            path: ctr.data_dir(&id).join("upper"),
            key: id,
            parent: top.unwrap_or_default(),
            is_layer: false,
        });
    }
    Ok(all)
}

pub fn list(ctr: &Ctr, _: &mut Options) -> Result<u8> {
    let mut rows = String::from("KEY\tPARENT\tKIND\n");
    for snapshot in all(ctr)? {
        let kind = snapshot.kind();
        rows.push_str(&format!("{}\t{}\t{kind}\n", snapshot.key, snapshot.parent));
    }
    print_table(&rows)
}

pub fn info(ctr: &Ctr, options: &mut Options) -> Result<u8> {
    let snapshot = find(ctr, &options.args[0])?;
    let text = format!(
        "{{\"Kind\":\"{}\",\"Name\":{},\"Parent\":{},\"Path\":{}}}",
        snapshot.kind(),
        node::quote(&snapshot.key),
        node::quote(&snapshot.parent),
        node::quote(&snapshot.path.display().to_string())
    );
    print::line(&node::pretty(&text))?;
    Ok(0)
}

pub fn usage(ctr: &Ctr, options: &mut Options) -> Result<u8> {
    let wanted = match options.args[..] {
        [] => all(ctr)?,
        _ => options
            .args
            .iter()
            .map(|key| find(ctr, key))
            .collect::<Result<_>>()?,
    };
    let mut rows = String::from("KEY\tSIZE\n");
    for snapshot in wanted {
        let bytes = match snapshot.is_layer {
            true => content::layer_bytes(ctr, snapshot.key.trim_start_matches("sha256:")),
            false => usage::bytes(&snapshot.path)?,
        };
        let size = bytes.div_ceil(1024);
        rows.push_str(&format!("{}\t{size} KiB\n", snapshot.key));
    }
    print_table(&rows)
}

/// By its key, the beginning of one, or the name of a container.
fn find(ctr: &Ctr, key: &str) -> Result<Snapshot> {
    let id = ctr.find(key).ok();
    let digits = key.trim_start_matches("sha256:");
    let is_meant = |snapshot: &Snapshot| match snapshot.is_layer {
        true => !digits.is_empty() && snapshot.key["sha256:".len()..].starts_with(digits),
        false => Some(&snapshot.key) == id.as_ref(),
    };
    all(ctr)?
        .into_iter()
        .find(is_meant)
        .ok_or_else(|| Error::not_found(format!("snapshot {key} does not exist: not found")))
}
