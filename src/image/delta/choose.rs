//! Which delta a pull takes: of those that the registry tells of, the smallest one whose old image's
//! layers are all here.

use super::artifact::{ARTIFACT, BASE_LAYERS, DELTA, LAYER};
use crate::id;
use crate::image::Images;
use crate::image::manifest;
use crate::image::transfer::Layer;
use crate::oci::image::{Descriptor, Manifest};
use crate::registry::Repository;

/// For less nobody is asked.
const WORTH_BYTES: u64 = 128 << 10;

/// Artifacts that are looked into.
const LOOKS_MAX: usize = 8;

impl Images {
    /// For each of `layers`, which are missing, the delta that makes it, if there is one that is
    /// smaller. What goes wrong here is no matter: the layers themselves are there.
    pub fn find_deltas(
        &self,
        repository: &Repository,
        subject: &str,
        layers: &[Layer],
    ) -> Vec<Option<Descriptor>> {
        let mut chosen = vec![None; layers.len()];
        let whole = cost(layers, &chosen);
        if whole < WORTH_BYTES || self.all().is_empty() {
            return chosen;
        }
        let mut best = whole;
        for digest in self.offered(repository, subject) {
            let Ok(document) = repository.manifest(&digest) else {
                continue;
            };
            let Ok(artifact) = manifest::parse(&document.bytes, &digest) else {
                continue;
            };
            let is_of = |subject_of: &Descriptor| subject_of.digest.as_deref() == Some(subject);
            if !artifact.subject.as_ref().is_some_and(is_of) {
                continue;
            }
            let deltas: Vec<_> = layers.iter().map(|layer| find(&artifact, layer)).collect();
            let bytes = cost(layers, &deltas);
            if bytes < best {
                (best, chosen) = (bytes, deltas);
            }
        }
        chosen
    }

    /// Digests of the artifacts whose old image is here.
    fn offered(&self, repository: &Repository, subject: &str) -> Vec<String> {
        let listed = repository.referrers(subject, ARTIFACT);
        let index = listed.and_then(|bytes| manifest::parse(&bytes, "list of referrers"));
        let Ok(index) = index else {
            return Vec::new();
        };
        let is_here = |descriptor: &Descriptor| {
            let wanted = descriptor
                .annotations
                .as_ref()
                .and_then(|a| a.get(BASE_LAYERS));
            let has = |digits: &str| id::is_full(digits) && self.layers_with(digits).is_some();
            descriptor.artifact_type.as_deref() == Some(ARTIFACT)
                && wanted.is_some_and(|wanted| wanted.split(' ').all(has))
        };
        let listed = index.manifests.into_iter().flatten().filter(is_here);
        listed.filter_map(|d| d.digest).take(LOOKS_MAX).collect()
    }
}

/// Bytes to pull.
fn cost(layers: &[Layer], deltas: &[Option<Descriptor>]) -> u64 {
    let sizes = layers.iter().zip(deltas).map(|(layer, delta)| {
        let size = delta.as_ref().and_then(|delta| delta.size);
        size.unwrap_or_else(|| layer.size())
    });
    sizes.fold(0, u64::saturating_add)
}

/// What an artifact has for a layer.
fn find(artifact: &Manifest, layer: &Layer) -> Option<Descriptor> {
    let is_it = |delta: &&Descriptor| {
        let made = delta.annotations.as_ref().and_then(|a| a.get(LAYER));
        delta.media_type.as_deref() == Some(DELTA)
            && made.and_then(|made| made.strip_prefix("sha256:")) == Some(&layer.diff)
            && id::digest_hex(delta.digest.as_deref().unwrap_or_default()).is_ok()
            && delta.size.is_some_and(|size| size < layer.size())
    };
    artifact.layers.iter().flatten().find(is_it).cloned()
}
