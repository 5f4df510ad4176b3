//! `tug ctr snapshots`: layers, and what containers have written on top of them.

use super::{Ctr, content, print_table};
use crate::applets::client::options::Options;
use crate::applets::client::print;
use crate::error::{Error, Result};
use crate::id;
use crate::image::Record;
use crate::json::node;
use crate::store::{limit, staging, usage};
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
    names.sort_unstable();
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
            path: limit::place(&ctr.data_dir(&id)).join("upper"),
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
            false => match limit::used_bytes(&ctr.data_dir(&snapshot.key)) {
                Some(bytes) => bytes,
                None => usage::bytes(&snapshot.path)?,
            },
        };
        let size = bytes.div_ceil(1024);
        rows.push_str(&format!("{}\t{size} KiB\n", snapshot.key));
    }
    print_table(&rows)
}

/// What lies on what, a line each: the layers of each image, and on top its containers.
pub fn tree(ctr: &Ctr, _: &mut Options) -> Result<u8> {
    let images = ctr.images()?.list()?;
    let mut chains: Vec<Vec<String>> = images.iter().map(layers).collect();
    for id in ctr.recorded()? {
        let image_id = ctr.asked(&id).and_then(|asked| asked.image_id);
        let image = images
            .iter()
            .find(|image| Some(&image.id) == image_id.as_ref());
        let mut chain = image.map(layers).unwrap_or_default();
        chain.push(id);
        chains.push(chain);
    }
    chains.sort_unstable();
    let mut text = String::new();
    let mut before: &[String] = &[];
    for chain in &chains {
        let same = before.iter().zip(chain).take_while(|(a, b)| a == b).count();
        for (level, key) in chain.iter().enumerate().skip(same) {
            let branch = if level > 0 { "\\_" } else { "" };
            text.push_str(&format!("{}{branch} {key}\n", "  ".repeat(level)));
        }
        before = chain;
    }
    print::out(text)?;
    Ok(0)
}

/// Its diff ids, lowest first.
fn layers(image: &Record) -> Vec<String> {
    let rootfs = image.image.rootfs.as_ref();
    rootfs
        .and_then(|rootfs| rootfs.diff_ids.clone())
        .unwrap_or_default()
}

/// What to type to see a layer alone, or a container's files, there.
pub fn mounts(ctr: &Ctr, options: &mut Options) -> Result<u8> {
    let snapshot = find(ctr, &options.args[1])?;
    let target = &options.args[0];
    let path = snapshot.path.display();
    let image_id = ctr.asked(&snapshot.key).and_then(|asked| asked.image_id);
    let line = match image_id.filter(|_| !snapshot.is_layer) {
        None => format!("mount -t bind {path} {target} -o rbind,ro"),
        Some(image_id) => {
            let store = ctr.images()?;
            let layers = store.lower_dirs(&image_id)?;
            let lower: Vec<String> = layers.iter().map(|l| l.display().to_string()).collect();
            let work = snapshot.path.with_file_name("work");
            format!(
                "mount -t overlay overlay {target} -o index=off,workdir={},upperdir={path},lowerdir={}",
                work.display(),
                lower.join(":")
            )
        }
    };
    print::line(&line)?;
    Ok(0)
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
