//! Deltas in archives that are loaded (see `image::load`).

use super::apply::{self, Apply};
use super::artifact::DELTA;
use super::saved;
use crate::error::{Error, Result};
use crate::image::NewImage;
use crate::image::layer::{self, End};
use crate::image::load::{Member, Members, blob, check_size};
use crate::image::source::{Restart, Source, Stream};
use crate::json;
use crate::oci::image::{Descriptor, Manifest};

impl Members<'_> {
    /// A layer out of a delta, and of the layers that it was made from.
    pub fn delta(&mut self, from: &mut dyn Stream, bytes: u64) -> Result<Member> {
        let mut source = Source::new(from);
        let head = match apply::head(&mut source) {
            Ok(head) => head,
            Err(error) => return Ok(Member::Unusable(error.to_string())),
        };
        let diff = head.diff;
        let is_there = self.store.layers_with(&diff).is_some();
        if is_there && !self.is_repair {
            return Ok(Member::Layer { diff, bytes });
        }
        let restart = Restart::default();
        let staged = Apply::new(&mut source, &restart, self.store)
            .and_then(|mut plain| layer::stage_tar(&self.store.layers, &mut plain, End::Checked));
        if let Ok(made) = &staged
            && made.diff != diff
        {
            return Ok(Member::Unusable(format!(
                "it makes sha256:{} in place of sha256:{diff}: the image that it was made from is damaged here (tug system check tells), or the delta is",
                made.diff
            )));
        }
        let member = self.stage(staged, bytes)?;
        if matches!(member, Member::Layer { .. }) {
            self.deltas.push((diff, bytes));
        }
        Ok(member)
    }

    /// What deltas have spared, for people.
    pub fn spared(&self, images: &[NewImage]) -> Option<String> {
        let came = self.deltas.iter().map(|(_, bytes)| bytes).sum();
        let mut whole = 0;
        for image in images {
            let source = image.source.as_deref().unwrap_or_default();
            let manifest: Manifest = json::parse_bytes(source, "manifest").unwrap_or_default();
            let blobs = manifest.layers.unwrap_or_default();
            for (diff, blob) in image.layers.iter().zip(blobs) {
                let is_it = self.deltas.iter().any(|(made, _)| made == diff);
                whole += if is_it { blob.size.unwrap_or(0) } else { 0 };
            }
        }
        (!self.deltas.is_empty()).then(|| saved(came, whole))
    }

    /// See to it that all deltas have done. Answers the manifest of what they make.
    pub fn made_of_deltas<'d>(&self, artifact: &'d Manifest) -> Result<&'d Descriptor> {
        let mut layers = artifact.layers.iter().flatten();
        let subject = layers
            .next()
            .ok_or_else(|| Error::invalid("it is of nothing"))?;
        let is_delta = |layer: &&Descriptor| layer.media_type.as_deref() == Some(DELTA);
        for layer in layers.filter(is_delta) {
            let (name, bytes) = blob(layer)?;
            let (_, there) = self.layer(&name)?;
            check_size(&name, bytes, there)?;
        }
        Ok(subject)
    }
}
