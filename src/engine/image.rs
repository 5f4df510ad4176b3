//! Images, as far as the engine has a say: who uses them, and what is told of them.

use crate::engine::filter::Filters;
use crate::engine::pattern::Pattern;
use crate::engine::{Engine, driver};
use crate::error::Result;
use crate::image::Record;
use crate::image::import::Import;
use crate::image::load::Loaded;
use crate::image::pull::Audience;
use crate::image::reference::Reference;
use crate::image::save::{Saved, check_platform};
use crate::json;
use crate::json::node::quote;
use crate::json::value::Raw;
use crate::oci::image::Platform;
use crate::registry;
use crate::time::Time;
use crate::wire::container::GraphDriver;
use crate::wire::image::{Deleted, HistoryItem, Inspect, Metadata, Progress, RootFs, Summary};
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
    /// `all`: those, too, that have no name and are there for others that were built on them.
    pub fn image_list(&self, filters: &Filters, all: bool) -> Result<Vec<Summary>> {
        let dangling = filters.boolean("dangling")?;
        let created = |image: &Record| image.image.created.clone().unwrap_or_default();
        let of = |key: &str| -> Result<Option<String>> {
            let name = filters.get(key).first();
            name.map(|name| self.images.find(name).map(|image| created(&image)))
                .transpose()
        };
        let (before, since) = (of("before")?, of("since")?);
        let until = filters.until()?;
        let patterns = filters.get("reference").iter();
        let patterns = patterns.map(|text| Pattern::of_path(text));
        let patterns: Vec<Pattern> = patterns.collect::<Result<_>>()?;
        let mut images = self.images.list()?;
        images.retain_mut(|image| {
            let made = created(image);
            let is_young = |until| Time::parse(&made).is_ok_and(|made| made >= until);
            let is_dangling = image.tags.is_empty();
            let is_step = is_dangling && image.has_children;
            image.tags = referred(&image.tags, &patterns);
            image.digests = referred(&image.digests, &patterns);
            let is_named = !image.tags.is_empty() || !image.digests.is_empty();
            let config = image.image.config.as_ref();
            filters.allows_labels(config.and_then(|config| config.labels.as_ref()))
                && (patterns.is_empty() || is_named)
                && (!is_step || all && dangling != Some(true))
                && dangling.is_none_or(|dangling| dangling == is_dangling)
                && before.as_ref().is_none_or(|time| made < *time)
                && since.as_ref().is_none_or(|time| made > *time)
                && !until.is_some_and(is_young)
        });
        images.sort_by(|a, b| b.image.created.cmp(&a.image.created));
        let containers = self.containers();
        let summaries = images.into_iter().map(|image| {
            let users = containers.iter().filter(|c| c.uses_image(&image.id));
            Summary {
                created: Some(seconds(image.image.created.as_deref())),
                size: i64::try_from(image.size).ok(),
                // Not computed here; `df` does.
                shared_size: Some(-1),
                containers: i64::try_from(users.count()).ok(),
                labels: image.image.config.and_then(|config| config.labels),
                id: Some(image.id),
                parent_id: Some(image.parent),
                repo_tags: Some(image.tags),
                repo_digests: Some(image.digests),
                virtual_size: None,
                manifests: None,
            }
        });
        Ok(summaries.collect())
    }

    /// Tell of the manifest that each has come with (API, ImageManifestSummary): one, for the
    /// platform that it is for. We keep no blobs, so all that it takes is unpacked.
    pub fn describe_manifests(&self, images: &mut [Summary]) -> Result<()> {
        let containers = self.containers();
        for summary in images {
            let id = summary.id.clone().unwrap_or_default();
            let found = (self.images.source(&id), self.images.find(&id));
            let (Some((media_type, digest, bytes)), Ok(Record { image, .. })) = found else {
                summary.manifests = Some(Raw("[]".to_string()));
                continue;
            };
            let users = containers.iter().filter(|c| c.uses_image(&id));
            let users: Vec<String> = users.map(|c| quote(&c.id)).collect();
            let platform = json::to_string(&Platform {
                os: image.os,
                architecture: image.architecture,
                variant: image.variant,
            });
            let size = summary.size.unwrap_or(0);
            summary.manifests = Some(Raw(format!(
                "[{{\"ID\":\"{digest}\",\"Descriptor\":{{\"mediaType\":{},\"digest\":\"{digest}\",\"size\":{}}},\
                 \"Available\":true,\"Size\":{{\"Total\":{size},\"Content\":0}},\"Kind\":\"image\",\
                 \"ImageData\":{{\"Platform\":{platform},\"Containers\":[{}],\"Size\":{{\"Unpacked\":{size}}}}}}}]",
                quote(&media_type),
                bytes.len(),
                users.join(",")
            )));
        }
        Ok(())
    }

    /// Refuse an image that is for another platform than `wanted`.
    fn find_for(&self, name: &str, wanted: Option<&Platform>) -> Result<Record> {
        let found = self.images.find(name)?;
        if let Some(wanted) = wanted {
            let names: Vec<Reference> = Reference::parse(name).into_iter().collect();
            let digits = found.id.trim_start_matches("sha256:");
            check_platform(wanted, &self.images.config(&found.id)?, &names, digits)?;
        }
        Ok(found)
    }

    /// Fill in what each shares with others.
    pub fn measure_shared(&self, images: &mut [Summary]) {
        let usage = self.images.usage();
        for image in images {
            let id = image.id.as_deref().unwrap_or_default();
            image.shared_size = i64::try_from(usage.shared(id)).ok();
        }
    }

    pub fn image_inspect(&self, name: &str, wanted: Option<&Platform>) -> Result<Inspect> {
        let Record {
            id,
            tags,
            digests,
            image,
            size,
            parent,
            ..
        } = self.find_for(name, wanted)?;
        let size = i64::try_from(size).ok();
        let layers = self.images.lower_dirs(&id).unwrap_or_default();
        let layers: Vec<String> = layers.iter().map(|l| l.display().to_string()).collect();
        let data = [("LowerDir".to_string(), layers.join(":"))];
        Ok(Inspect {
            id: Some(id),
            repo_tags: Some(tags),
            repo_digests: Some(digests),
            parent: Some(parent),
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

    pub fn image_history(&self, name: &str, wanted: Option<&Platform>) -> Result<Vec<HistoryItem>> {
        let image = self.find_for(name, wanted)?;
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
        let mut wear = self.wear_of("import");
        wear.name(import.reference.as_deref().unwrap_or_default());
        let id = self.images.import(from, import)?;
        if let Some(reference) = &import.reference {
            self.tell_tag(&id, reference);
        }
        self.tell_image("import", &id, &id);
        Ok(id)
    }

    /// The same for an archive that lies elsewhere.
    pub fn image_fetch(&self, import: &Import, audience: &mut dyn Audience) -> Result<()> {
        let mut archive = registry::download(&self.registries(), &import.from)?;
        let message = format!("Downloading from {}", import.from);
        audience.tell(&Progress::message("", &message))?;
        let id = self.image_import(&mut archive, import)?;
        audience.tell(&Progress::message("", &id))
    }

    pub fn image_load(
        &self,
        from: &mut dyn Read,
        platform: Option<&Platform>,
    ) -> Result<Vec<Loaded>> {
        let mut wear = self.wear_of("load");
        let loaded = self.images.load(from, platform)?;
        for image in &loaded {
            wear.name(image.reference.as_deref().unwrap_or(&image.id));
        }
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
            let user = containers.iter().find(|c| c.uses_image(image_id))?;
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

/// The names of an image that the patterns allow; all, where there are none.
fn referred(names: &[String], patterns: &[Pattern]) -> Vec<String> {
    let is_referred =
        |name: &&String| patterns.is_empty() || patterns.iter().any(|pattern| fits(pattern, name));
    names.iter().filter(is_referred).cloned().collect()
}

/// With its tag or digest, or without.
fn fits(pattern: &Pattern, name: &str) -> bool {
    let bare = name.split_once('@').or_else(|| name.rsplit_once(':'));
    pattern.fits(name) || bare.is_some_and(|(bare, _)| pattern.fits(bare))
}
