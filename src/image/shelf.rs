//! The records of images on disk, and what of them is kept in memory.

use crate::error::{Context, Error, Result};
use crate::image::reference::Reference;
use crate::image::source::sha256;
use crate::json::map::Map;
use crate::json::value::json_struct;
use crate::store::{record, staging};
use crate::{id, json};
use std::path::Path;

pub const REFS: &str = "refs.json";
const CONFIG: &str = "config.json";
const MANIFEST: &str = "manifest.json";
const SOURCE: &str = "source.json";
const BUILT: &str = "built.json";

/// What there is. Ids are digits, names are full.
#[derive(Debug, Default)]
pub struct Shelf {
    pub refs: Map<String>,
    pub images: Vec<Held>,
}

#[derive(Clone, Debug)]
pub struct Held {
    pub digits: String,
    /// Digits of the diff ids, lowest first.
    pub layers: Vec<String>,
    pub size: u64,
    /// None: it was not built here.
    pub origin: Option<Origin>,
}

json_struct! {
    /// `built.json`: what an image was built of here. Nobody else can say so: an image that came
    /// from elsewhere has no such file, whatever its history claims (CVE-2024-24557).
    #[derive(Clone, Debug, Default)]
    pub struct Origin {
        /// Digits of the image before; empty for `scratch`.
        pub parent: Option<String>,
        /// Digest of the instruction, of what it has copied, and of what it has made of the
        /// configuration.
        pub step: Option<String>,
    }

    /// `refs.json`: names to `sha256:…`.
    #[derive(Default)]
    struct Refs {
        refs: Option<Map<String>>,
    }

    /// `manifest.json`.
    #[derive(Default)]
    struct Manifest {
        /// Diff ids, lowest first.
        layers: Option<Vec<String>>,
        size: Option<u64>,
    }
}

/// A record that can't be read, and why.
pub type Unreadable = (String, Error);

impl Shelf {
    /// Read what lies in `images`. Changes nothing.
    pub fn read(images: &Path) -> Result<(Shelf, Vec<Unreadable>)> {
        let mut shelf = Shelf::default();
        let mut unreadable = Vec::new();
        for name in staging::names(images)? {
            if !id::is_full(&name) {
                continue;
            }
            match read_image(images, &name) {
                Ok(held) => shelf.images.push(held),
                Err(error) => unreadable.push((name, error)),
            }
        }
        match read_refs(images) {
            Ok(refs) => shelf.refs = refs,
            Err(error) => unreadable.push((REFS.to_string(), error)),
        }
        let images = &shelf.images;
        let is_there = |digits: &String| images.iter().any(|held| held.digits == *digits);
        shelf.refs.retain(|_, digits| is_there(digits));
        Ok((shelf, unreadable))
    }

    pub fn held(&self, digits: &str) -> Option<&Held> {
        self.images.iter().find(|held| held.digits == digits)
    }

    /// Whether some image has the layer.
    pub fn uses(&self, diff: &str) -> bool {
        let mut layers = self.images.iter().flat_map(|held| &held.layers);
        layers.any(|layer| layer == diff)
    }

    /// Whether some image was built on this one.
    pub fn has_children(&self, digits: &str) -> bool {
        let mut origins = self.images.iter().filter_map(|held| held.origin.as_ref());
        origins.any(|origin| origin.parent.as_deref() == Some(digits))
    }

    /// The names of an image.
    pub fn names(&self, digits: &str) -> Vec<Reference> {
        let names = self.refs.iter().filter(|(_, id)| *id == digits);
        names
            .filter_map(|(name, _)| Reference::parse(name).ok())
            .collect()
    }

    pub fn save(&self, images: &Path) -> Result<()> {
        let with_algorithm =
            |(name, id): (&String, &String)| (name.clone(), format!("sha256:{id}"));
        let refs = Refs {
            refs: Some(self.refs.iter().map(with_algorithm).collect()),
        };
        record::replace(images, REFS, json::to_string(&refs).as_bytes())
    }
}

/// The records of one image, into a directory in the making. The caller syncs.
pub fn write(dir: &Path, config: &[u8], layers: &[String], size: u64) -> Result<()> {
    let manifest = Manifest {
        layers: Some(layers.iter().map(|diff| format!("sha256:{diff}")).collect()),
        size: Some(size),
    };
    let manifest = json::to_string(&manifest);
    for (name, content) in [(CONFIG, config), (MANIFEST, manifest.as_bytes())] {
        let path = dir.join(name);
        std::fs::write(&path, content)
            .map_err(|e| Error::io(format_args!("write {}", path.display()), &e))?;
    }
    Ok(())
}

/// The manifest that an image came with, likewise.
pub fn write_source(dir: &Path, source: &[u8]) -> Result<()> {
    write_file(dir, SOURCE, source)
}

/// A file of a directory in the making. The caller syncs.
pub fn write_file(dir: &Path, name: &str, content: &[u8]) -> Result<()> {
    let path = dir.join(name);
    std::fs::write(&path, content)
        .map_err(|e| Error::io(format_args!("write {}", path.display()), &e))
}

/// The same for an image that is there, unless it has one.
pub fn add_source(images: &Path, digits: &str, source: &[u8]) -> Result<()> {
    let dir = images.join(digits);
    match dir.join(SOURCE).exists() {
        true => Ok(()),
        false => record::replace(&dir, SOURCE, source),
    }
}

/// The same, read again; none, if there is none that can be read.
pub fn source(dir: &Path) -> Option<Vec<u8>> {
    record::load(dir, SOURCE).ok()?
}

/// What an image was built of, beside the others.
pub fn write_origin(dir: &Path, origin: &Origin) -> Result<()> {
    let path = dir.join(BUILT);
    std::fs::write(&path, json::to_string(origin))
        .map_err(|e| Error::io(format_args!("write {}", path.display()), &e))
}

/// The configuration of an image, the bytes that its id is the digest of.
pub fn config(dir: &Path) -> Result<Vec<u8>> {
    record::load(dir, CONFIG)?.ok_or_else(|| Error::not_found(format!("{CONFIG} is missing")))
}

fn read_refs(images: &Path) -> Result<Map<String>> {
    let Some(bytes) = record::load(images, REFS)? else {
        return Ok(Map::new());
    };
    let refs: Refs = json::parse_bytes(&bytes, REFS)?;
    let refs = refs.refs.unwrap_or_default().into_iter();
    refs.map(|(name, id)| Ok((name, id::digest_hex(&id)?.to_string())))
        .collect()
}

/// The records of one image.
pub fn read_image(images: &Path, digits: &str) -> Result<Held> {
    read_image_in(&images.join(digits), digits)
}

/// The same where its directory is called otherwise.
pub fn read_image_in(dir: &Path, digits: &str) -> Result<Held> {
    if sha256(&config(dir)?) != digits {
        return Err(Error::invalid(format!(
            "{CONFIG} does not match its digest"
        )));
    }
    let manifest = record::load(dir, MANIFEST)?
        .ok_or_else(|| Error::not_found(format!("{MANIFEST} is missing")))?;
    let manifest: Manifest = json::parse_bytes(&manifest, MANIFEST)?;
    let mut held = Held {
        digits: digits.to_string(),
        layers: Vec::new(),
        size: manifest.size.unwrap_or(0),
        // Without it the image is as good as any other; only the cache has forgotten it.
        origin: record::load(dir, BUILT)
            .ok()
            .flatten()
            .and_then(|bytes| json::parse_bytes(&bytes, BUILT).ok()),
    };
    // Of another version, or of none.
    let layers = manifest.layers;
    let layers = layers.ok_or_else(|| Error::invalid(format!("{MANIFEST} names no layers")))?;
    for diff_id in layers {
        let diff = id::digest_hex(&diff_id).context(|| MANIFEST)?;
        held.layers.push(diff.to_string());
    }
    Ok(held)
}
