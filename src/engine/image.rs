//! Images, as far as the engine has a say: who uses them, and what is told of them.

use crate::engine::filter::Filters;
use crate::engine::{Engine, driver};
use crate::error::Result;
use crate::image::Record;
use crate::image::import::Import;
use crate::image::load::Loaded;
use crate::image::reference::Reference;
use crate::image::save::Saved;
use crate::oci::image::Platform;
use crate::time::Time;
use crate::wire::container::GraphDriver;
use crate::wire::image::{Deleted, HistoryItem, Inspect, Metadata, RootFs, Summary};
use std::io::Read;

pub const FILTERS: &[&str] = &[
    "before",
    "dangling",
    "label",
    "label!",
    "reference",
    "since",
    "until",
];

impl Engine {
    pub fn image_list(&self, filters: &Filters) -> Result<Vec<Summary>> {
        let dangling = filters.boolean("dangling")?;
        let created = |image: &Record| image.image.created.clone().unwrap_or_default();
        let of = |key: &str| -> Result<Option<String>> {
            let name = filters.get(key).first();
            name.map(|name| self.images.find(name).map(|image| created(&image)))
                .transpose()
        };
        let (before, since) = (of("before")?, of("since")?);
        let until = filters.until()?;
        let mut images = self.images.list()?;
        images.retain(|image| {
            let made = created(image);
            let is_young = |until| Time::parse(&made).is_ok_and(|made| made >= until);
            passes(image, filters)
                && dangling.is_none_or(|dangling| dangling == image.tags.is_empty())
                && before.as_ref().is_none_or(|time| made < *time)
                && since.as_ref().is_none_or(|time| made > *time)
                && !until.is_some_and(is_young)
        });
        images.sort_by(|a, b| b.image.created.cmp(&a.image.created));
        Ok(images.iter().map(|image| summary(image, filters)).collect())
    }

    /// Fill in what each shares with others.
    pub fn measure_shared(&self, images: &mut [Summary]) {
        let usage = self.images.usage();
        for image in images {
            let id = image.id.as_deref().unwrap_or_default();
            image.shared_size = i64::try_from(usage.shared(id)).ok();
        }
    }

    pub fn image_inspect(&self, name: &str) -> Result<Inspect> {
        let Record {
            id,
            tags,
            digests,
            image,
            size,
        } = self.images.find(name)?;
        let size = i64::try_from(size).ok();
        let layers = self.images.lower_dirs(&id).unwrap_or_default();
        let layers: Vec<String> = layers.iter().map(|l| l.display().to_string()).collect();
        let data = [("LowerDir".to_string(), layers.join(":"))];
        Ok(Inspect {
            id: Some(id),
            repo_tags: Some(tags),
            repo_digests: Some(digests),
            parent: Some(String::new()),
            comment: Some(image.comment.unwrap_or_default()),
            created: image.created,
            docker_version: Some(String::new()),
            author: Some(image.author.unwrap_or_default()),
            config: Some(image.config.unwrap_or_default()),
            architecture: image.architecture,
            variant: image.variant,
            os: image.os,
            size,
            virtual_size: None,
            graph_driver: Some(GraphDriver {
                name: Some(driver::name(self.copying.is_some()).to_string()),
                data: self.copying.is_none().then(|| data.into()),
            }),
            root_fs: Some(RootFs {
                kind: Some("layers".to_string()),
                layers: image.rootfs.and_then(|rootfs| rootfs.diff_ids),
            }),
            metadata: Some(Metadata::default()),
        })
    }

    pub fn image_history(&self, name: &str) -> Result<Vec<HistoryItem>> {
        let image = self.images.find(name)?;
        let mut sizes = self.images.layer_sizes(&image.id)?.into_iter();
        let steps = image.image.history.unwrap_or_default();
        let mut items: Vec<HistoryItem> = steps
            .into_iter()
            .map(|step| HistoryItem {
                id: Some("<missing>".to_string()),
                created: Some(seconds(step.created.as_deref())),
                created_by: Some(step.created_by.unwrap_or_default()),
                tags: None,
                size: Some(match step.empty_layer {
                    Some(true) => 0,
                    _ => sizes
                        .next()
                        .and_then(|size| i64::try_from(size).ok())
                        .unwrap_or(0),
                }),
                comment: Some(step.comment.unwrap_or_default()),
            })
            .collect();
        items.reverse();
        if let Some(newest) = items.first_mut() {
            newest.id = Some(image.id);
            newest.tags = Some(image.tags);
        }
        Ok(items)
    }

    pub fn image_import(&self, from: &mut dyn Read, import: &Import) -> Result<String> {
        let id = self.images.import(from, import)?;
        if let Some(reference) = &import.reference {
            self.tell_tag(&id, reference);
        }
        self.tell_image("import", &id, &id);
        Ok(id)
    }

    pub fn image_load(
        &self,
        from: &mut dyn Read,
        platform: Option<&Platform>,
    ) -> Result<Vec<Loaded>> {
        let loaded = self.images.load(from, platform)?;
        for image in &loaded {
            self.tell_image("load", &image.id, &image.id);
        }
        Ok(loaded)
    }

    pub fn image_save(&self, names: &[&str], platform: Option<&Platform>) -> Result<Saved> {
        let saved = self.images.save(names, platform)?;
        for id in &saved.ids {
            self.tell_image("save", id, id);
        }
        Ok(saved)
    }

    pub fn image_tag(&self, name: &str, reference: &str) -> Result<()> {
        self.images.tag(name, reference)?;
        let id = self.images.find(name)?.id;
        self.tell_tag(&id, reference);
        Ok(())
    }

    /// Told by the name that people write.
    fn tell_tag(&self, id: &str, reference: &str) {
        let name = Reference::parse(reference).map(|reference| reference.familiar());
        self.tell_image("tag", id, name.as_deref().unwrap_or(reference));
    }

    /// Refused by the store while a container uses the image.
    pub fn image_remove(&self, name: &str, force: bool) -> Result<Vec<Deleted>> {
        let id = self.images.find(name)?.id;
        let used_by = |image_id: &str| {
            let containers = self.containers();
            let user = containers.iter().find(|c| c.image_id == image_id)?;
            let what = if user.is_running() {
                "running"
            } else {
                "stopped"
            };
            Some(format!("{what} container {}", crate::id::short(&user.id)))
        };
        let deleted = self.images.remove(name, force, &used_by)?;
        for step in &deleted {
            if let Some(reference) = &step.untagged {
                self.tell_image("untag", &id, reference);
            }
            if let Some(id) = step.deleted.as_ref().filter(|deleted| **deleted == id) {
                self.tell_image("delete", id, id);
            }
        }
        Ok(deleted)
    }
}

/// Seconds since 1970; 0 for a time that is not known.
fn seconds(time: Option<&str>) -> i64 {
    let seconds = Time::parse(time.unwrap_or_default()).map_or(0, |time| time.seconds);
    i64::try_from(seconds).unwrap_or(0)
}

fn summary(image: &Record, filters: &Filters) -> Summary {
    let config = image.image.config.clone().unwrap_or_default();
    let referred = |name: &&String| is_referred(name, filters);
    let tags = image.tags.iter().filter(referred);
    let digests = image.digests.iter().filter(referred);
    Summary {
        id: Some(image.id.clone()),
        parent_id: Some(String::new()),
        repo_tags: Some(tags.cloned().collect()),
        repo_digests: Some(digests.cloned().collect()),
        created: Some(seconds(image.image.created.as_deref())),
        size: i64::try_from(image.size).ok(),
        // Not computed here; `df` does.
        shared_size: Some(-1),
        containers: Some(-1),
        virtual_size: None,
        labels: config.labels,
    }
}

fn passes(image: &Record, filters: &Filters) -> bool {
    let labels = image
        .image
        .config
        .as_ref()
        .and_then(|config| config.labels.as_ref());
    filters.allows_labels(labels)
        && (filters.get("reference").is_empty()
            || [&image.tags, &image.digests]
                .iter()
                .any(|names| names.iter().any(|n| is_referred(n, filters))))
}

/// `reference` is a pattern: for a name with its tag or without, `*` stands for any text
/// without a slash.
fn is_referred(tag: &str, filters: &Filters) -> bool {
    let bare = tag.split_once('@').or_else(|| tag.rsplit_once(':'));
    let bare = bare.map_or(tag, |(bare, _)| bare);
    filters.allows("reference", |pattern| {
        glob(pattern.as_bytes(), tag.as_bytes()) || glob(pattern.as_bytes(), bare.as_bytes())
    })
}

/// Go's path.Match, but for character classes.
fn glob(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    // Where to go on when the text after the last star did not fit: the star eats one byte more.
    let mut again: Option<(usize, usize)> = None;
    while t < text.len() || p < pattern.len() {
        match (pattern.get(p), text.get(t)) {
            (Some(b'*'), _) => {
                again = Some((p, t));
                p += 1;
                continue;
            }
            (Some(b'?'), Some(byte)) if *byte != b'/' => {
                (p, t) = (p + 1, t + 1);
                continue;
            }
            (Some(wanted), Some(byte)) if wanted == byte => {
                (p, t) = (p + 1, t + 1);
                continue;
            }
            _ => {}
        }
        match again {
            Some((star, at)) if at < text.len() && text[at] != b'/' => {
                again = Some((star, at + 1));
                (p, t) = (star + 1, at + 1);
            }
            _ => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_stand_for_text_without_slashes() {
        for (pattern, text, expected) in [
            ("busybox", "busybox", true),
            ("busy*", "busybox:latest", true),
            ("*box*t", "busybox:latest", true),
            ("b?sybox", "busybox", true),
            ("*", "a/b", false),
            ("*/*", "a/b", true),
            ("busy", "busybox", false),
            ("busyboxx", "busybox", false),
            ("", "", true),
            ("*a*b", "aab", true),
        ] {
            assert_eq!(
                glob(pattern.as_bytes(), text.as_bytes()),
                expected,
                "{pattern} {text}"
            );
        }
    }
}
