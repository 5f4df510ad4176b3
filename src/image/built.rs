//! Images that `build` makes: one of each step, on the one before.
//!
//! A step that brings no files is an image all the same, so that a later build can begin there (the
//! cache) and people can look at it. Several of them come to the disk at once, with one sync, when
//! something needs them there. Which steps made an image is written beside it (`shelf::Origin`).

use crate::error::{Context, Result};
use crate::image::layer::{self, End, Staged};
use crate::image::policy::proof::Proof;
use crate::image::shelf::{Held, Origin};
use crate::image::source::{Input, Source, sha256};
use crate::image::{Images, NewImage, manifest};
use crate::json;
use crate::oci::image::{Config, History, Image, RootFs};
use crate::time::Time;
use std::io::Read;

/// The digest of an archive without entries. Such a layer changes nothing and is left out.
pub(super) const EMPTY: &str = "5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef";

/// An image that a build has come to.
#[derive(Clone)]
pub struct Built {
    /// `sha256:…`; empty for `scratch`.
    pub id: String,
    pub image: Image,
    /// Digits of the diff ids, lowest first.
    layers: Vec<String>,
    size: u64,
}

/// What makes the next image.
pub struct Step<'a> {
    pub config: &'a Config,
    pub author: &'a str,
    /// For the history.
    pub created_by: &'a str,
    /// What the same step has again, and no other.
    pub key: &'a str,
}

/// Images that are made, and not on the disk yet.
#[derive(Default)]
pub struct Pending(Vec<NewImage>);

impl Built {
    pub fn scratch() -> Built {
        let platform = manifest::own_platform();
        Built {
            id: String::new(),
            image: Image {
                architecture: platform.architecture,
                variant: platform.variant,
                os: platform.os,
                rootfs: Some(RootFs {
                    kind: Some("layers".into()),
                    diff_ids: Some(Vec::new()),
                }),
                ..Image::default()
            },
            layers: Vec::new(),
            size: 0,
        }
    }

    fn digits(&self) -> &str {
        self.id.strip_prefix("sha256:").unwrap_or_default()
    }
}

/// This machine's, `linux/arm/v7`.
pub fn own_platform() -> String {
    manifest::shown(&manifest::own_platform())
}

impl Images {
    /// An image of the store as the beginning of a build.
    pub fn built(&self, id: &str) -> Result<Built> {
        let digits = self.resolve(id)?;
        let record = self.record(&digits)?;
        let held = self.held(&digits)?;
        Ok(Built {
            id: record.id,
            image: record.image,
            layers: held.layers,
            size: record.size,
        })
    }

    /// What the same step has made of the same image before: the newest of them.
    pub fn cached(&self, base: &Built, step: &Step<'_>) -> Option<Built> {
        let wanted = step_digest(step);
        let is_it = |held: &&Held| {
            let origin = held.origin.as_ref();
            origin.is_some_and(|origin| {
                origin.parent.as_deref() == Some(base.digits())
                    && origin.step.as_ref() == Some(&wanted)
            })
        };
        let shelf = self.shelf();
        let ids = shelf.images.iter().filter(is_it);
        let ids: Vec<String> = ids.map(|held| format!("sha256:{}", held.digits)).collect();
        drop(shelf);
        let found = ids.iter().filter_map(|id| self.built(id).ok());
        found.max_by(|a, b| a.image.created.cmp(&b.image.created))
    }

    /// The next image. Its layer, if there is one, is an archive that `layer` reads; with it all
    /// that is pending comes to the disk.
    pub fn build_step(
        &self,
        base: &Built,
        step: &Step<'_>,
        layer: Option<&mut dyn Read>,
        pending: &mut Pending,
    ) -> Result<Built> {
        let staged = layer.map(|layer| self.stage_built(layer)).transpose()?;
        let staged = staged.filter(|staged| staged.diff != EMPTY);
        let now = Time::now().rfc3339();
        let text = |text: &str| Some(text.to_string()).filter(|text| !text.is_empty());
        let mut next = base.clone();
        let image = &mut next.image;
        image.history.get_or_insert_default().push(History {
            created: Some(now.clone()),
            created_by: text(step.created_by),
            author: text(step.author),
            comment: None,
            empty_layer: staged.is_none().then_some(true),
        });
        image.created = Some(now);
        image.author = text(step.author);
        image.comment = None;
        image.config = Some(step.config.clone());
        if let Some(staged) = &staged {
            let rootfs = image.rootfs.get_or_insert_default();
            let diff_ids = rootfs.diff_ids.get_or_insert_default();
            diff_ids.push(format!("sha256:{}", staged.diff));
            next.layers.push(staged.diff.clone());
            next.size += staged.size;
        }
        let config = json::to_string(&*image).into_bytes();
        next.id = format!("sha256:{}", sha256(&config));
        pending.0.push(NewImage {
            config,
            layers: next.layers.clone(),
            size: next.size,
            names: Vec::new(),
            source: None,
            proof: Proof::default(),
            origin: Some(Origin {
                parent: Some(base.digits().to_string()),
                step: Some(step_digest(step)),
            }),
        });
        if let Some(staged) = staged {
            self.commit(vec![staged], std::mem::take(&mut pending.0))?;
        }
        Ok(next)
    }

    fn stage_built(&self, layer: &mut dyn Read) -> Result<Staged> {
        let mut input = Input(layer);
        let mut source = Source::new(&mut input);
        layer::stage(&self.layers, &mut source, End::Required).context(|| "commit")
    }

    /// Bring to the disk what is not there yet.
    pub fn settle(&self, pending: &mut Pending) -> Result<()> {
        match pending.0.is_empty() {
            true => Ok(()),
            false => self.commit(Vec::new(), std::mem::take(&mut pending.0)),
        }
    }
}

/// What tells a step from all others on the same image. The configuration belongs to it: two
/// instructions of the same words can make different ones.
fn step_digest(step: &Step<'_>) -> String {
    let config = json::to_string(step.config);
    let text = [step.created_by, step.key, step.author, &config].join("\0");
    sha256(text.as_bytes())
}

/// The image that one was built on, `sha256:…`; empty without one.
pub(super) fn parent(held: &Held) -> String {
    let origin = held.origin.as_ref();
    match origin.and_then(|origin| origin.parent.as_deref()) {
        None | Some("") => String::new(),
        Some(digits) => format!("sha256:{digits}"),
    }
}
