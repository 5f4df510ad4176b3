//! One layer more on an image: what `commit` makes of a container.

use crate::error::{Context, Result};
use crate::image::built::EMPTY;
use crate::image::layer::{self, End, Staged};
use crate::image::policy::proof::Proof;
use crate::image::reference::Reference;
use crate::image::source::{Input, Source, sha256};
use crate::image::{Images, NewImage};
use crate::json;
use crate::oci::image::{Config, History};
use crate::time::Time;
use std::io::Read;

/// What is said about the new image.
pub struct Extension {
    pub config: Config,
    pub author: String,
    pub comment: String,
    /// The command whose work the layer is.
    pub created_by: String,
    pub name: Option<Reference>,
}

impl Images {
    /// The image `base` and on it the layer whose archive is read from `layer`. Answers the id.
    pub fn extend(&self, base: &str, layer: &mut dyn Read, new: Extension) -> Result<String> {
        let digits = self.resolve(base)?;
        let base = self.record(&digits)?;
        let mut layers = self.held(&digits)?.layers;

        let mut input = Input(layer);
        let staged = layer::stage(&self.layers, &mut Source::new(&mut input), End::Required)
            .map_err(|e| self.advise(e))
            .context(|| "commit")?;
        let is_empty = staged.diff == EMPTY;
        let now = Time::now().rfc3339();
        let text = |text: String| Some(text).filter(|text| !text.is_empty());
        let (author, comment) = (text(new.author), text(new.comment));
        let mut image = base.image;
        image.history.get_or_insert_default().push(History {
            created: Some(now.clone()),
            created_by: text(new.created_by),
            author: author.clone(),
            comment: comment.clone(),
            empty_layer: is_empty.then_some(true),
        });
        image.created = Some(now);
        image.author = author;
        image.comment = comment;
        image.config = Some(new.config);

        let mut size = base.size;
        let mut coming: Vec<Staged> = Vec::new();
        if !is_empty {
            let rootfs = image.rootfs.get_or_insert_default();
            let diff_ids = rootfs.diff_ids.get_or_insert_default();
            diff_ids.push(format!("sha256:{}", staged.diff));
            layers.push(staged.diff.clone());
            size += staged.size;
            coming.push(staged);
        }
        let config = json::to_string(&image).into_bytes();
        let id = format!("sha256:{}", sha256(&config));
        let image = NewImage {
            config,
            layers,
            size,
            names: new.name.into_iter().collect(),
            source: None,
            proof: Proof::default(),
            origin: None,
        };
        self.commit(coming, vec![image]).map(|()| id)
    }
}
