//! Which delta a pull takes: of those that the registry tells of, the smallest one whose old image's
//! layers are all here.

use super::artifact::{ARTIFACT, BASE_LAYERS, DELTA, LAYER};
use crate::id;
use crate::image::Images;
use crate::image::manifest;
use crate::image::transfer::Layer;
use crate::json::map::Map;
use crate::oci::image::{Descriptor, Manifest};
use crate::registry::{Document, Repository};

/// For less nobody is asked.
const WORTH_BYTES: u64 = 128 << 10;

/// Artifacts that are looked into.
const LOOKS_MAX: usize = 8;

impl Images {
    /// For each of `layers`, which are missing, the delta that makes it, if there is one that is
    /// smaller. `known` is an artifact that somebody has named. What goes wrong here is no matter: the
    /// layers themselves are there.
    pub fn find_deltas(
        &self,
        repository: &Repository,
        subject: &str,
        known: Option<String>,
        layers: &[Layer],
    ) -> Vec<Option<Descriptor>> {
        let mut chosen = vec![None; layers.len()];
        let whole = cost(layers, &chosen);
        if whole < WORTH_BYTES || self.all().is_empty() {
            return chosen;
        }
        let mut best = whole;
        let listed = match known {
            Some(_) => Vec::new(),
            None => self.listed(repository, subject),
        };
        for digest in known.into_iter().chain(listed) {
            let Ok(document) = repository.manifest(&digest) else {
                continue;
            };
            let Ok(artifact) = manifest::parse(&document.bytes, &digest) else {
                continue;
            };
            let is_of = |subject_of: &Descriptor| subject_of.digest.as_deref() == Some(subject);
            let is_fit = artifact.subject.as_ref().is_some_and(is_of)
                && self.has_base(artifact.annotations.as_ref());
            if !is_fit {
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

    /// Digests of the artifacts that the registry tells of.
    fn listed(&self, repository: &Repository, subject: &str) -> Vec<String> {
        let listed = repository.referrers(subject, ARTIFACT);
        let index = listed.and_then(|bytes| manifest::parse(&bytes, "list of referrers"));
        let Ok(index) = index else {
            return Vec::new();
        };
        // Some registries leave out annotations.
        let may_do = |descriptor: &Descriptor| {
            let annotations = descriptor.annotations.as_ref();
            descriptor.artifact_type.as_deref() == Some(ARTIFACT)
                && (annotations.is_none() || self.has_base(annotations))
        };
        let listed = index.manifests.into_iter().flatten().filter(may_do);
        listed.filter_map(|d| d.digest).take(LOOKS_MAX).collect()
    }

    /// Whether the old image's layers are here.
    fn has_base(&self, annotations: Option<&Map<String>>) -> bool {
        let wanted = annotations.and_then(|annotations| annotations.get(BASE_LAYERS));
        let has = |digits: &str| id::is_full(digits) && self.layers_with(digits).is_some();
        wanted.is_some_and(|wanted| wanted.split(' ').all(has))
    }
}

/// The image that a delta makes, where a document is that of a delta.
pub fn subject(document: &Document) -> Option<String> {
    let manifest = manifest::parse(&document.bytes, "").ok()?;
    let is_delta = manifest.artifact_type.as_deref() == Some(ARTIFACT);
    manifest.subject?.digest.filter(|_| is_delta)
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
