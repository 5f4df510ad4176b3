//! A delta as an OCI artifact, and the archive in which it is carried around: an OCI image layout.
//!
//! ```text
//! index.json -> manifest of the artifact: subject: the new image's manifest
//!                 layers: that manifest, the new image's configuration,
//!                         a delta for each layer that the old image lacks
//! ```
//!
//! So an archive has all that `load` needs beside the old image, and a registry that has the artifact
//! tells of it to those who pull the new image. It says which layers it wants in annotations, where
//! lists of artifacts repeat them.

use super::make::Old;
use super::saved;
use crate::error::{Context, Error, Result};
use crate::id;
use crate::image::archive::padding;
use crate::image::head::END;
use crate::image::manifest::{OCI_IMAGE, OCI_INDEX};
use crate::image::policy::proof;
use crate::image::reference::Reference;
use crate::image::save::{self, Stored, descriptor, entry};
use crate::image::source::sha256;
use crate::image::{Images, shelf};
use crate::json;
use crate::json::object::{Object, list};
use crate::oci::image::{Descriptor, Manifest};
use crate::store::staging::Staging;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;

pub const ARTIFACT: &str = "application/vnd.tug.delta.v1+json";
pub const DELTA: &str = "application/vnd.tug.delta.layer.v1";

/// Annotations: the old image's id, its name, the digits of its layers; and, of a delta, the diff id
/// of the layer that it makes.
pub const BASE: &str = "vnd.tug.delta.base";
pub const BASE_NAME: &str = "vnd.tug.delta.base.name";
pub const BASE_LAYERS: &str = "vnd.tug.delta.base.layers";
pub const LAYER: &str = "vnd.tug.delta.layer";

/// The configuration of what has none (image-spec, manifest.md).
const EMPTY: &str = "application/vnd.oci.empty.v1+json";

/// A delta that was made, in an archive; reading gives that.
pub struct Made {
    file: File,
    /// What it lies in.
    _staging: Staging,
    /// In the order in which they lie there.
    pub blobs: Vec<Blob>,
    /// The artifact's manifest, and what lists say of it.
    pub manifest: String,
    pub descriptor: String,
    /// Digest of the subject.
    pub subject: String,
    /// Bytes of deltas, and of the layers in their place.
    pub came: u64,
    pub whole: u64,
}

/// A blob of the archive.
pub struct Blob {
    pub digest: String,
    pub size: u64,
    at: u64,
}

impl Read for Made {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.file.read(into)
    }
}

impl Made {
    /// What was saved, for people.
    pub fn shown(&self) -> String {
        saved(self.came, self.whole)
    }

    /// A blob by itself.
    pub fn blob(&mut self, number: usize) -> io::Result<impl Read> {
        let (at, size) = self.blobs.get(number).map_or((0, 0), |b| (b.at, b.size));
        self.file.seek(SeekFrom::Start(at))?;
        Ok((&mut self.file).take(size))
    }
}

impl Images {
    /// What makes image `new` out of `old`. The subject is `manifest`, or that with which the image
    /// has come, or the one that `save` writes.
    pub fn delta(&self, old: &str, new: &str, manifest: Option<Vec<u8>>) -> Result<Made> {
        let (old_digits, digits) = (self.resolve(old)?, self.resolve(new)?);
        let (from, to) = (self.stored(&old_digits)?, self.stored(&digits)?);
        let is_new = |layer: &&Stored| from.iter().all(|known| known.diff != layer.diff);
        let missing: Vec<&Stored> = to.iter().filter(is_new).collect();
        if missing.is_empty() {
            return Err(Error::invalid(format!(
                "{new} has no layer that {old} lacks: there is nothing for a delta to bring"
            )));
        }
        let dir = self.image_dir(&digits);
        let config = shelf::config(&dir)?;
        let source = manifest.or_else(|| shelf::source(&dir));
        let source = source.unwrap_or_else(|| save::own_manifest(&config, &to).into_bytes());
        let subject: Manifest = json::parse_bytes(&source, "manifest")?;
        let media_type = subject.media_type.as_deref().unwrap_or(OCI_IMAGE);

        let mut writer = Writer::new(self)?;
        let empty = writer.blob(EMPTY, b"{}")?.finish();
        let mut layers = vec![
            writer.blob(media_type, &source)?.finish(),
            writer.blob(save::CONFIG, &config)?.finish(),
        ];
        let mut old_layers = Old::read(&from).context(|| old.to_string())?;
        let (mut came, mut whole) = (0, 0);
        for layer in missing {
            let mut described = writer
                .delta(&mut old_layers, layer)
                .context(|| format!("layer sha256:{}", id::short(&layer.diff)))?;
            came += writer.blobs.last().map_or(0, |blob| blob.size);
            whole += packed_size(&subject, &to, layer);
            let about = Object::new()
                .text(LAYER, &format!("sha256:{}", layer.diff))
                .finish();
            layers.push(described.put("annotations", &about).finish());
        }
        drop(old_layers);

        let digest = format!("sha256:{}", sha256(&source));
        let wants: Vec<&str> = from.iter().map(|layer| &layer.diff[..]).collect();
        let about = |object: &mut Object| {
            object.text(BASE, &format!("sha256:{old_digits}"));
            if let Ok(name) = Reference::parse(old) {
                object.text(BASE_NAME, &name.with_default_tag().familiar());
            }
            object.text(BASE_LAYERS, &wants.join(" "));
        };
        let mut annotations = Object::new();
        about(&mut annotations);
        let own = descriptor(media_type, &sha256(&source), source.len() as u64).finish();
        let manifest = Object::new()
            .put("schemaVersion", "2")
            .text("mediaType", OCI_IMAGE)
            .text("artifactType", ARTIFACT)
            .put("config", &empty)
            .put("layers", &list(&layers))
            .put("subject", &own)
            .put("annotations", &annotations.finish())
            .finish();
        let mut described = writer.blob(OCI_IMAGE, manifest.as_bytes())?;
        described.text("artifactType", ARTIFACT);
        let mut listed = descriptor(
            OCI_IMAGE,
            &sha256(manifest.as_bytes()),
            manifest.len() as u64,
        );
        listed.text("artifactType", ARTIFACT);

        let mut annotations = Object::new();
        about(&mut annotations);
        listed.put("annotations", &annotations.finish());
        let mut annotations = Object::new();
        about(&mut annotations);
        let name = Reference::parse(new).map(Reference::with_default_tag);
        let name = name.ok().filter(|name| name.digest.is_none());
        if let Some(name) = name.filter(|n| self.named(&n.full()).as_deref() == Some(&digits)) {
            let tag = name.tag.as_deref().unwrap_or_default();
            annotations
                .text("io.containerd.image.name", &name.full())
                .text("org.opencontainers.image.ref.name", tag);
        }
        described.put("annotations", &annotations.finish());
        if let Some(proof) = self.proof(&digits) {
            writer.member(proof::FILE, json::to_string(&proof).as_bytes())?;
        }
        let (file, staging, blobs) = writer.finish(&described.finish())?;
        Ok(Made {
            file,
            _staging: staging,
            blobs,
            manifest,
            descriptor: listed.finish(),
            subject: digest,
            came,
            whole,
        })
    }
}

/// Bytes of a layer as it is pulled; its archive's, where nobody knows.
fn packed_size(subject: &Manifest, layers: &[Stored], layer: &Stored) -> u64 {
    let at = layers.iter().position(|known| known.diff == layer.diff);
    let blobs = subject.layers.as_deref().unwrap_or_default();
    let blob: Option<&Descriptor> = at.and_then(|at| blobs.get(at));
    blob.and_then(|blob| blob.size).unwrap_or(layer.size)
}

/// Writes the archive.
struct Writer {
    staging: Staging,
    file: File,
    at: u64,
    blobs: Vec<Blob>,
}

impl Writer {
    fn new(images: &Images) -> Result<Writer> {
        let staging = Staging::new(&images.layers)?;
        let path = staging.path().join("delta");
        let mut options = File::options();
        let file = options.read(true).write(true).create_new(true).open(&path);
        let mut writer = Writer {
            staging,
            file: file.map_err(|e| Error::io(format_args!("create {}", path.display()), &e))?,
            at: 0,
            blobs: Vec::new(),
        };
        writer.member("oci-layout", b"{\"imageLayoutVersion\":\"1.0.0\"}")?;
        writer.put(&entry("blobs/", 0))?;
        writer.put(&entry("blobs/sha256/", 0))?;
        Ok(writer)
    }

    fn put(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all(bytes).map_err(|e| failed(&e))?;
        self.at += bytes.len() as u64;
        Ok(())
    }

    fn member(&mut self, path: &str, content: &[u8]) -> Result<()> {
        let size = content.len() as u64;
        self.put(&entry(path, size))?;
        self.put(content)?;
        self.put(&vec![0; padding(size) as usize])
    }

    /// Answers its descriptor.
    fn blob(&mut self, media_type: &str, content: &[u8]) -> Result<Object> {
        let digits = sha256(content);
        self.member(&path(&digits), content)?;
        let size = content.len() as u64;
        let at = self.at - padding(size) - size;
        Ok(self.note(media_type, digits, size, at))
    }

    /// What it is called is known once it is there.
    fn delta(&mut self, old: &mut Old, new: &Stored) -> Result<Object> {
        let head = self.at;
        let at = head + entry(&path(&new.diff), 0).len() as u64;
        let seek = self.file.seek(SeekFrom::Start(at));
        seek.map_err(|e| failed(&e))?;
        let (digits, size) = old.delta(new, &mut self.file)?;
        self.at = at + size;
        let head = self.file.write_all_at(&entry(&path(&digits), size), head);
        head.map_err(|e| failed(&e))?;
        self.put(&vec![0; padding(size) as usize])?;
        Ok(self.note(DELTA, digits, size, at))
    }

    fn note(&mut self, media_type: &str, digits: String, size: u64, at: u64) -> Object {
        let described = descriptor(media_type, &digits, size);
        let digest = format!("sha256:{digits}");
        self.blobs.push(Blob { digest, size, at });
        described
    }

    fn finish(mut self, listed: &str) -> Result<(File, Staging, Vec<Blob>)> {
        let index = Object::new()
            .put("schemaVersion", "2")
            .text("mediaType", OCI_INDEX)
            .put("manifests", &list(&[listed.to_string()]))
            .finish();
        self.member("index.json", index.as_bytes())?;
        self.put(&END)?;
        self.file.rewind().map_err(|e| failed(&e))?;
        Ok((self.file, self.staging, self.blobs))
    }
}

fn path(digits: &str) -> String {
    format!("blobs/sha256/{digits}")
}

fn failed(error: &io::Error) -> Error {
    Error::io("write delta", error)
}
