//! `save`: images as one archive, which is both what `docker load` reads and an OCI layout, as Docker
//! writes it since 25.
//!
//! Made while it is read, without a copy of anything: the layers come out of their files (`rebuild`),
//! and how long each is was noted when it was unpacked. The documents come first, so that a reader of
//! a stream knows what to expect.

use crate::error::{Error, Kind, Result};
use crate::id;
use crate::image::archive::{self, Entry, padding};
use crate::image::head::{self, END};
use crate::image::policy::proof::{self, Proof};
use crate::image::rebuild::Rebuild;
use crate::image::reference::Reference;
use crate::image::source::{Stream, sha256};
use crate::image::{Images, layer, manifest, shelf};
use crate::json;
use crate::json::node::quote;
use crate::json::object::{Object, list};
use crate::oci::image::{Image, Platform};
use crate::sys::fs::ModifiedAt;
use std::collections::VecDeque;
use std::io::{self, Read};
use std::path::PathBuf;

pub const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
pub const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// An archive of images; reading makes it.
pub struct Saved {
    /// `sha256:…`.
    pub ids: Vec<String>,
    /// What is yet to come.
    parts: VecDeque<Part>,
    /// Bytes that are made, and how many of them are taken.
    made: Vec<u8>,
    taken: usize,
    /// The layer that is being read, and how much of it the archive has promised.
    layer: Option<(Rebuild, u64)>,
}

enum Part {
    Bytes(Vec<u8>),
    Layer(Stored),
}

/// A layer whose archive can be made again.
#[derive(Clone)]
pub struct Stored {
    /// The directory of layers that it is in.
    pub place: PathBuf,
    /// Digits of the diff id.
    pub diff: String,
    /// Bytes of the archive.
    pub size: u64,
}

impl Stored {
    pub fn rebuild(&self) -> Result<Rebuild> {
        Rebuild::open(&self.place, &self.diff)
    }
}

impl Images {
    /// The images that `names` mean; a name without a tag means all tags of it.
    pub fn save(&self, names: &[&str], platform: Option<&Platform>) -> Result<Saved> {
        let mut writer = Writer::default();
        let mut ids = Vec::new();
        for (digits, names) in self.chosen(names)? {
            self.describe(&mut writer, &digits, &names, platform)?;
            ids.push(format!("sha256:{digits}"));
        }
        Ok(Saved {
            ids,
            parts: writer.finish(),
            made: Vec::new(),
            taken: 0,
            layer: None,
        })
    }

    /// Each image once, with the names that it is to have in the archive.
    fn chosen(&self, names: &[&str]) -> Result<Vec<(String, Vec<Reference>)>> {
        let mut chosen: Vec<(String, Vec<Reference>)> = Vec::new();
        for name in names {
            for (digits, reference) in self.meant(name)? {
                let place = chosen.iter().position(|(known, _)| *known == digits);
                let place = place.unwrap_or_else(|| {
                    chosen.push((digits, Vec::new()));
                    chosen.len() - 1
                });
                let names = &mut chosen[place].1;
                names.extend(reference.filter(|new| !names.contains(new)));
            }
        }
        Ok(chosen)
    }

    fn meant(&self, name: &str) -> Result<Vec<(String, Option<Reference>)>> {
        let is_id = name.starts_with("sha256:") || id::is_full(name);
        let reference = match is_id {
            true => return Ok(vec![(self.resolve(name)?, None)]),
            false => Reference::parse(name)?,
        };
        if reference.tag.is_some() || reference.digest.is_some() {
            let digits = self.named(&reference.full());
            let digits = digits.ok_or_else(|| Error::not_found("reference does not exist"))?;
            let tagged = Some(reference).filter(|reference| reference.digest.is_none());
            return Ok(vec![(digits, tagged)]);
        }
        let mut all: Vec<(String, Option<Reference>)> = Vec::new();
        for known in self.tagged(&reference) {
            let digits = self.named(&known.full());
            all.extend(digits.map(|digits| (digits, Some(known))));
        }
        if all.is_empty() {
            // Docker shows what it was asked for, and not the tag that another verb would mean.
            let digits = self.resolve(name).map_err(|error| match error.kind {
                Kind::NotFound => Error::not_found(format!("No such image: {name}")),
                _ => error,
            })?;
            all.push((digits, None));
        }
        Ok(all)
    }

    /// The names with a tag that begin as `reference` does.
    pub fn tagged(&self, reference: &Reference) -> Vec<Reference> {
        let name = reference.full_name();
        let is_one = |known: &Reference| known.full_name() == name && known.digest.is_none();
        let all = self.all().into_iter();
        all.flat_map(|held| self.names(&held.digits))
            .filter(is_one)
            .collect()
    }

    fn describe(
        &self,
        writer: &mut Writer,
        digits: &str,
        names: &[Reference],
        platform: Option<&Platform>,
    ) -> Result<()> {
        let config = shelf::config(&self.image_dir(digits))?;
        if let Some(wanted) = platform {
            check_platform(wanted, &config, names, digits)?;
        }
        writer.image(&config, &self.stored(digits)?, names);
        writer.proof.extend(self.proof(digits));
        Ok(())
    }

    /// The layers of an image, lowest first.
    pub fn stored(&self, digits: &str) -> Result<Vec<Stored>> {
        let mut layers = Vec::new();
        for diff in self.held(digits)?.layers {
            let place = self
                .layers_with(&diff)
                .unwrap_or_else(|| self.layers.clone());
            let size = layer::read(&place, &diff).and_then(|record| record.archive);
            let mut stored = Stored {
                place,
                diff,
                size: 0,
            };
            // Without one it is of an older version; what is missing then is said here.
            stored.size = match size {
                Some(size) => size,
                None => stored.rebuild().map(|_| 0)?,
            };
            layers.push(stored);
        }
        Ok(layers)
    }
}

/// Docker's sentence.
pub fn check_platform(
    wanted: &Platform,
    config: &[u8],
    names: &[Reference],
    digits: &str,
) -> Result<()> {
    let image: Image = json::parse_bytes(config, "image configuration")?;
    let there = Platform {
        os: image.os.clone(),
        architecture: image.architecture.clone(),
        variant: image.variant.clone(),
    };
    let says_nothing = there.architecture.as_deref().is_none_or(str::is_empty);
    if says_nothing || manifest::runs(&there, wanted) {
        return Ok(());
    }
    let name = names.first().map(Reference::familiar);
    Err(Error::not_found(format!(
        "image with reference {} was found but its platform ({}) does not match the specified platform ({})",
        name.unwrap_or_else(|| format!("sha256:{digits}")),
        manifest::shown(&there),
        manifest::shown(wanted),
    )))
}

/// Puts the documents together.
#[derive(Default)]
struct Writer {
    blobs: VecDeque<Part>,
    /// What is among the blobs already: images share layers, and may share all.
    digests: Vec<String>,
    manifests: Vec<String>,
    saved: Vec<String>,
    proof: Vec<Proof>,
    /// Names without tag, with members of theirs.
    repositories: Vec<(String, Object)>,
}

impl Writer {
    fn image(&mut self, config: &[u8], layers: &[Stored], names: &[Reference]) {
        let described = described(layers);
        let manifest = own_manifest(config, layers);
        let manifest_digits = sha256(manifest.as_bytes());
        let size = manifest.len() as u64;
        if names.is_empty() {
            let plain = descriptor(MANIFEST, &manifest_digits, size).finish();
            self.manifests.push(plain);
        }
        for name in names {
            let tag = name.tag.clone().unwrap_or_default();
            let annotations = Object::new()
                .text("io.containerd.image.name", &name.full())
                .text("org.opencontainers.image.ref.name", &tag)
                .finish();
            let mut tagged = descriptor(MANIFEST, &manifest_digits, size);
            self.manifests
                .push(tagged.put("annotations", &annotations).finish());
            if let Some(top) = layers.last() {
                self.repository(&name.familiar_name(), &tag, &top.diff);
            }
        }

        let path = |digits: &String| quote(&format!("blobs/sha256/{digits}"));
        let paths: Vec<String> = layers.iter().map(|layer| path(&layer.diff)).collect();
        let tags: Vec<String> = names.iter().map(|name| quote(&name.familiar())).collect();
        let tags = if tags.is_empty() {
            "null".to_string()
        } else {
            list(&tags)
        };
        let mut sources = Object::new();
        for (at, layer) in layers.iter().enumerate() {
            if layers[..at].iter().all(|known| known.diff != layer.diff) {
                sources.put(&format!("sha256:{}", layer.diff), &described[at]);
            }
        }
        let saved = Object::new()
            .put("Config", &path(&sha256(config)))
            .put("RepoTags", &tags)
            .put("Layers", &list(&paths))
            .put("LayerSources", &sources.finish())
            .finish();
        self.saved.push(saved);

        self.blob(sha256(config), config);
        self.blob(manifest_digits, manifest.as_bytes());
        for layer in layers {
            if !self.digests.contains(&layer.diff) {
                self.digests.push(layer.diff.clone());
                let head = entry(&format!("blobs/sha256/{}", layer.diff), layer.size);
                self.blobs.push_back(Part::Bytes(head));
                self.blobs.push_back(Part::Layer(layer.clone()));
            }
        }
    }

    fn repository(&mut self, name: &str, tag: &str, top: &str) {
        let place = self
            .repositories
            .iter()
            .position(|(known, _)| known == name);
        let place = place.unwrap_or_else(|| {
            self.repositories.push((name.to_string(), Object::new()));
            self.repositories.len() - 1
        });
        self.repositories[place].1.text(tag, top);
    }

    fn blob(&mut self, digits: String, content: &[u8]) {
        if !self.digests.contains(&digits) {
            let file = file(&format!("blobs/sha256/{digits}"), content);
            self.blobs.push_back(Part::Bytes(file));
            self.digests.push(digits);
        }
    }

    fn finish(mut self) -> VecDeque<Part> {
        let index = Object::new()
            .put("schemaVersion", "2")
            .text("mediaType", INDEX)
            .put("manifests", &list(&self.manifests))
            .finish();
        let mut repositories = Object::new();
        for (name, tags) in &mut self.repositories {
            repositories.put(name, &tags.finish());
        }
        let mut documents = Vec::new();
        for (name, content) in [
            ("oci-layout", "{\"imageLayoutVersion\":\"1.0.0\"}"),
            ("index.json", &index),
            ("manifest.json", &list(&self.saved)),
            ("repositories", &repositories.finish()),
        ] {
            documents.extend(file(name, content.as_bytes()));
        }
        let mut proof = Proof::default();
        for one in &self.proof {
            proof.add(one);
        }
        if !proof.is_empty() {
            documents.extend(file(proof::FILE, json::to_string(&proof).as_bytes()));
        }
        for dir in ["blobs/", "blobs/sha256/"] {
            documents.extend(entry(dir, 0));
        }
        self.blobs.push_front(Part::Bytes(documents));
        self.blobs.push_back(Part::Bytes(END.to_vec()));
        self.blobs
    }
}

pub fn descriptor(media_type: &str, digits: &str, size: u64) -> Object {
    let mut object = Object::new();
    object
        .text("mediaType", media_type)
        .text("digest", &format!("sha256:{digits}"))
        .number("size", size);
    object
}

fn described(layers: &[Stored]) -> Vec<String> {
    let described = |layer: &Stored| descriptor(LAYER, &layer.diff, layer.size).finish();
    layers.iter().map(described).collect()
}

/// The manifest of an image that has come with none.
pub fn own_manifest(config: &[u8], layers: &[Stored]) -> String {
    let own = descriptor(CONFIG, &sha256(config), config.len() as u64).finish();
    manifest(MANIFEST, &own, &described(layers))
}

/// `config` and `layers` are descriptors.
pub fn manifest(media_type: &str, config: &str, layers: &[String]) -> String {
    Object::new()
        .put("schemaVersion", "2")
        .text("mediaType", media_type)
        .put("config", config)
        .put("layers", &list(layers))
        .finish()
}

fn file(path: &str, content: &[u8]) -> Vec<u8> {
    let mut bytes = entry(path, content.len() as u64);
    bytes.extend(content);
    bytes.resize(bytes.len() + padding(content.len() as u64) as usize, 0);
    bytes
}

/// What stands before a file, or a directory, whose name ends in a slash.
pub fn entry(path: &str, size: u64) -> Vec<u8> {
    let (kind, mode) = match path.ends_with('/') {
        true => (archive::Kind::Directory, 0o755),
        false => (archive::Kind::File, 0o644),
    };
    head::head(&Entry {
        path: path.as_bytes().to_vec(),
        link: Vec::new(),
        kind,
        mode,
        uid: 0,
        gid: 0,
        modified: ModifiedAt::default(),
        size,
        is_sparse: false,
        device: (0, 0),
        attributes: Vec::new(),
    })
}

impl Saved {
    /// Go on to what comes next; false at the end.
    fn step(&mut self) -> io::Result<bool> {
        self.made.clear();
        self.taken = 0;
        match self.parts.pop_front() {
            None => return Ok(false),
            Some(Part::Bytes(bytes)) => self.made = bytes,
            Some(Part::Layer(layer)) => {
                let rebuild = layer.rebuild().map_err(io::Error::other)?;
                self.layer = Some((rebuild, layer.size));
            }
        }
        Ok(true)
    }
}

impl Read for Saved {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if into.is_empty() {
            return Ok(0);
        }
        loop {
            if let Some((rebuild, left)) = &mut self.layer {
                let count = rebuild.read(into)?;
                let is_more = left.checked_sub(count as u64);
                *left = is_more.ok_or_else(longer)?;
                if count > 0 {
                    return Ok(count);
                }
                if *left > 0 {
                    return Err(longer());
                }
                let padding = padding(rebuild.bytes);
                self.layer = None;
                self.made = vec![0; padding as usize];
                self.taken = 0;
            }
            let rest = &self.made[self.taken..];
            if !rest.is_empty() {
                let count = rest.len().min(into.len());
                into[..count].copy_from_slice(&rest[..count]);
                self.taken += count;
                return Ok(count);
            }
            if !self.step()? {
                return Ok(0);
            }
        }
    }
}

fn longer() -> io::Error {
    io::Error::other("a layer's archive is not as long as its record says")
}
