//! `pull`: an image out of a registry.
//!
//! The name leads to a document; an index leads on to the one for the platform; that one names the
//! configuration and the layers. Documents are read whole and bounded, their digests are checked by
//! the registry's room; layers are unpacked while they arrive (see `transfer`). Nothing of an image
//! is part of the store before all of it is verified.

use crate::error::{Context, Error, Result};
use crate::id;
use crate::image::delta::choose;
use crate::image::layer::{self, Staged};
use crate::image::load::{INDEX_DEPTH_MAX, LAYERS_MAX};
use crate::image::manifest::{self, shown};
use crate::image::policy::proof::Proof;
use crate::image::reference::Reference;
use crate::image::source::sha256;
use crate::image::transfer::{Layer, Transfer};
use crate::image::{Images, NewImage, shelf};
use crate::json;
use crate::oci::image::{Descriptor, Image, Manifest, Platform};
use crate::registry::{Document, Repository};
use crate::wire::image::Progress;
use std::io::Read;

/// More than any real one by far.
const CONFIG_BYTES_MAX: u64 = 4 << 20;

/// Types of configurations. The third is what a registry's first clients sent (moby#22378).
const CONFIG_TYPES: [&str; 3] = [
    "application/vnd.oci.image.config.v1+json",
    "application/vnd.docker.container.image.v1+json",
    "application/octet-stream",
];

/// Who is told how it goes on.
pub trait Audience {
    fn tell(&mut self, progress: &Progress) -> Result<()>;

    /// Whether nobody listens any more: then the work is in vain.
    fn has_gone(&self) -> bool;
}

/// What to pull.
pub struct Pull<'a> {
    pub repository: &'a Repository,
    /// With a tag or a digest.
    pub reference: &'a Reference,
    pub platform: Option<&'a Platform>,
    /// Layers at once, of all pulls together.
    pub downloads_max: usize,
    /// Whether deltas will do.
    pub deltas: bool,
}

/// What has been pulled.
pub struct Pulled {
    /// Whether the name means another image than before.
    pub is_new: bool,
    /// What the image says that it is for.
    pub platform: Platform,
}

/// What a name in a registry leads to.
pub struct Remote {
    pub names: Vec<Reference>,
    pub config: Vec<u8>,
    /// The exact manifest.
    pub source: Vec<u8>,
    pub proof: Proof,
    pub layers: Vec<Layer>,
}

/// Look, and get no layer.
pub fn resolve(pull: &Pull<'_>) -> Result<Remote> {
    let reference = pull.reference;
    let asked = reference.digest.as_ref().or(reference.tag.as_ref());
    let asked = asked.map_or("latest", String::as_str);
    let top = pull.repository.manifest(asked)?;
    let names = vec![reference.with(&top.digest)?, reference.clone()];
    let mut proof = signatures(pull.repository, &top)?;
    let top_digest = top.digest.clone();
    let (manifest, source) = image_document(pull, top, 0)?;
    let config = manifest.config.clone().unwrap_or_default();
    check_config(reference, &config)?;
    let config = read_config(pull.repository, &config)?;
    let own = format!("sha256:{}", sha256(&source));
    if own != top_digest {
        proof.add(&Proof::of_registry(pull.repository, &own)?);
    }
    Ok(Remote {
        proof,
        layers: layers(&manifest, &config)?,
        names,
        config,
        source,
    })
}

impl Images {
    pub fn pull(&self, pull: &Pull<'_>, audience: &mut dyn Audience) -> Result<Pulled> {
        let reference = pull.reference;
        let (asked, shown) = match (&reference.digest, &reference.tag) {
            (Some(digest), _) => (digest, reference.clone().key()),
            (None, Some(tag)) => (tag, tag.clone()),
            (None, None) => return Err(Error::invalid("pull: neither tag nor digest is given")),
        };
        let mut top = pull.repository.manifest(asked)?;
        let message = format!("Pulling from {}", reference.path);
        audience.tell(&Progress::message(&shown, &message))?;
        // A delta that has a name of its own means the image that it makes.
        let mut delta = None;
        if let Some(subject) = choose::subject(&top) {
            delta = Some(top.digest);
            top = pull.repository.manifest(&subject)?;
        }

        let digest = top.digest.clone();
        let mut names = vec![reference.with(&digest)?];
        if reference.digest.is_none() {
            names.push(reference.clone());
        }
        let mut proof = match self.policy.wants_signature(&names)? {
            true => Some(signatures(pull.repository, &top)?),
            false => None,
        };
        let (manifest, source) = image_document(pull, top, 0)?;
        if let Some(proof) = &mut proof {
            let own = format!("sha256:{}", sha256(&source));
            if own != digest {
                proof.add(&Proof::of_registry(pull.repository, &own)?);
            }
            proof.document(&source);
        }
        let proof = proof.unwrap_or_default();
        let config = manifest.config.clone().unwrap_or_default();
        let digits = check_config(reference, &config)?;
        // Before a layer is fetched in vain.
        self.admit_names(digits, &names, &proof)?;
        // Of one whose read-only store has gone, layers may be missing.
        let is_whole = |held| self.layer_dirs(&held).is_ok();
        let is_held = self.held(digits).is_ok_and(is_whole);
        let is_new = self.named(&reference.clone().key()).as_deref() != Some(digits);
        if is_held {
            self.add_names(digits, &names, &source, &proof)?;
        } else {
            let new = NewImage {
                config: read_config(pull.repository, &config)?,
                layers: Vec::new(),
                size: 0,
                names,
                source: Some(source),
                origin: None,
                proof,
            };
            self.fetch(pull, &manifest, delta, new, audience)?;
        }
        audience.tell(&Progress::message("", &format!("Digest: {digest}")))?;
        let image = self.record(digits)?.image;
        Ok(Pulled {
            is_new,
            platform: Platform {
                os: image.os,
                architecture: image.architecture,
                variant: image.variant,
            },
        })
    }

    /// Names for an image that is there. The disk is left alone where it says so already.
    fn add_names(
        &self,
        digits: &str,
        names: &[Reference],
        source: &[u8],
        proof: &Proof,
    ) -> Result<()> {
        let _change = self.change();
        let is_named = |name: &Reference| self.named(&name.full()).as_deref() == Some(digits);
        if names.iter().all(is_named) {
            return Ok(());
        }
        self.adopt(digits)?;
        shelf::add_source(&self.images, digits, source)?;
        self.keep_proof(digits, proof)?;
        self.rename(&|shelf| {
            for name in names {
                shelf.refs.insert(name.full(), digits.to_string());
            }
        })
    }

    /// Get the layers that are missing, and make the image part of the store.
    fn fetch(
        &self,
        pull: &Pull<'_>,
        manifest: &Manifest,
        delta: Option<String>,
        mut new: NewImage,
        audience: &mut dyn Audience,
    ) -> Result<()> {
        let layers = layers(manifest, &new.config)?;
        new.layers = layers.iter().map(|layer| layer.diff.clone()).collect();
        let claim = self.claim(&layers, audience)?;
        let outcome = self.fetch_claimed(pull, layers, delta, new, audience);
        drop(claim);
        if outcome.is_err() {
            // What others have removed meanwhile was kept for us.
            let _change = self.change();
            let _ = layer::sweep(&self.layers, &|diff| self.is_wanted(diff));
        }
        outcome
    }

    fn fetch_claimed(
        &self,
        pull: &Pull<'_>,
        layers: Vec<Layer>,
        delta: Option<String>,
        mut new: NewImage,
        audience: &mut dyn Audience,
    ) -> Result<()> {
        let mut transfer = Transfer::new(self, pull, layers);
        self.check_room(transfer.bytes_missing())?;
        if let Some(source) = new.source.as_ref().filter(|_| pull.deltas) {
            transfer.look_for_deltas(&format!("sha256:{}", sha256(source)), delta);
        }
        let staged = transfer.run(audience)?;
        let is_staged = |diff: &String, staged: &Staged| staged.diff == *diff;
        for diff in &new.layers {
            let coming = staged.iter().find(|staged| is_staged(diff, staged));
            let there = || self.layer_size(diff);
            new.size += coming.map_or_else(there, |staged| staged.size);
        }
        self.commit(staged, vec![new])?;
        transfer.finish(audience)
    }
}

/// What is signed of an image is most often what its name leads to first, which may be an index.
pub fn signatures(repository: &Repository, top: &Document) -> Result<Proof> {
    let mut proof = Proof::of_registry(repository, &top.digest)?;
    proof.document(&top.bytes);
    Ok(proof)
}

/// The manifest of the image that `document` is or leads to, and its exact bytes.
fn image_document(pull: &Pull<'_>, document: Document, depth: u32) -> Result<(Manifest, Vec<u8>)> {
    let name = pull.reference.familiar();
    let manifest = manifest::read(&document.media_type, &document.bytes, &name)?;
    let Some(entries) = &manifest.manifests else {
        return Ok((manifest, document.bytes));
    };
    if depth == INDEX_DEPTH_MAX {
        return Err(Error::invalid(format!(
            "the manifest lists of {name} are nested too deep"
        )));
    }
    let own = manifest::own_platform();
    let entries: Vec<&Descriptor> = entries.iter().collect();
    let chosen = manifest::choose_for(&entries, pull.platform.unwrap_or(&own))?;
    let digest = chosen.digest.as_deref().unwrap_or_default();
    id::digest_hex(digest).context(|| name.clone())?;
    let inner = pull.repository.manifest(digest)?;
    let length = inner.bytes.len() as u64;
    if chosen.size.is_some_and(|size| size != length) {
        return Err(Error::invalid(format!(
            "manifest {digest} has {length} bytes, but {} are declared",
            chosen.size.unwrap_or(0)
        )));
    }
    image_document(pull, inner, depth + 1)
}

/// Whether it is the configuration of an image that we can keep; its digits.
fn check_config<'a>(reference: &Reference, config: &'a Descriptor) -> Result<&'a str> {
    let media_type = config.media_type.as_deref().unwrap_or_default();
    if !CONFIG_TYPES.contains(&media_type) {
        return Err(Error::invalid(format!(
            "{} is no container image: its configuration is of type {media_type:?}",
            reference.familiar()
        )));
    }
    id::digest_hex(config.digest.as_deref().unwrap_or_default())
}

fn read_config(repository: &Repository, config: &Descriptor) -> Result<Vec<u8>> {
    let digest = config.digest.as_deref().unwrap_or_default();
    let size = config.size.unwrap_or(0);
    if size > CONFIG_BYTES_MAX {
        return Err(Error::invalid(format!(
            "image configuration {digest} has {size} bytes, more than {CONFIG_BYTES_MAX} are too many"
        )));
    }
    let mut bytes = Vec::new();
    let blob = repository.blob(digest, size, 0)?;
    blob.take(size + 1)
        .read_to_end(&mut bytes)
        .map_err(|e| Error::io(format_args!("read image configuration {digest}"), &e))?;
    if bytes.len() as u64 != size || digest.strip_prefix("sha256:") != Some(&sha256(&bytes)) {
        return Err(Error::invalid(format!(
            "image config verification failed for digest {digest}"
        )));
    }
    Ok(bytes)
}

/// What the manifest says of the layers, beside what the configuration says of them.
fn layers(manifest: &Manifest, config: &[u8]) -> Result<Vec<Layer>> {
    let image: Image = json::parse_bytes(config, "image configuration")?;
    if let Some(os) = image.os.filter(|os| !os.is_empty() && os != "linux") {
        return Err(Error::invalid(format!(
            "cannot download image with operating system {os:?} when requesting \"linux\""
        )));
    }
    let diff_ids = image.rootfs.and_then(|rootfs| rootfs.diff_ids);
    let diff_ids = diff_ids.unwrap_or_default();
    let blobs = manifest.layers.as_deref().unwrap_or_default();
    if diff_ids.len() != blobs.len() {
        return Err(Error::invalid(
            "layers from manifest don't match image configuration",
        ));
    }
    if blobs.len() > LAYERS_MAX {
        return Err(Error::invalid(format!(
            "an image of {} layers is more than the kernel stacks ({LAYERS_MAX})",
            blobs.len()
        )));
    }
    let mut layers: Vec<Layer> = Vec::new();
    for (blob, diff_id) in blobs.iter().zip(&diff_ids) {
        let digest = blob.digest.as_deref().unwrap_or_default();
        id::digest_hex(digest)?;
        let media_type = blob.media_type.as_deref().unwrap_or_default();
        if !media_type.contains("tar") {
            return Err(Error::invalid(format!(
                "layer {digest} is no archive: its type is {media_type:?}"
            )));
        }
        layers.push(Layer {
            blob: blob.clone(),
            diff: id::digest_hex(diff_id)?.to_string(),
        });
    }
    Ok(layers)
}

/// Docker's warning for an image that is not an index and not what was asked for.
pub fn mismatch(name: &str, wanted: &Platform, found: &Platform) -> Option<String> {
    let is_fine = manifest::runs(found, wanted);
    (!is_fine).then(|| {
        format!(
            "WARNING: image with reference {name} was found but its platform ({}) does not match the specified platform ({})",
            shown(found),
            shown(wanted)
        )
    })
}
