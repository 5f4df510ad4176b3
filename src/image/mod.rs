//! Images: what their archives hold, where they lie, and what they are called.
//!
//! ```text
//! DATA-ROOT/images/refs.json                      names -> images
//!           images/<id>/config.json manifest.json   the exact bytes that the id is the digest of; our record
//!                  source.json            the exact manifest that it was pulled with
//!           layers/<diff id>/diff/ layer.json tar.idx   see `layer` and `index`
//! ```
//!
//! An image is absent or whole, whenever the power fails: layers and images are made under temporary
//! names, one syncfs brings them to the disk, then they are renamed, layers first, and last of all
//! comes the name. What has lost its image is swept. A record that can't be read is set aside and
//! reported; the others load. Knows nothing of containers: who uses an image, the caller says.
//!
//! Beside the own store there may be others that are only read (`readonly`). Their images and names
//! are there as if they were our own, behind those; layers are taken from them first, because
//! theirs never go. An image of our own may lack layers that such a store has: without it the image
//! is still listed and can be removed or loaded again, and only a container of it does not start.

pub mod archive;
mod browse;
pub mod built;
pub mod change;
pub mod changes;
pub mod check;
#[cfg(test)]
mod damage;
pub mod decoder;
mod deflate;
pub mod delta;
mod erofs;
pub mod extend;
pub mod gzip;
mod head;
pub mod import;
mod index;
pub mod inside;
mod lay;
mod layer;
pub mod load;
pub mod manifest;
mod merge;
pub mod offline;
pub mod overlay;
pub mod pack;
mod part;
mod pax;
pub mod policy;
pub mod pull;
pub mod push;
pub mod readonly;
pub mod rebuild;
pub mod reference;
mod remove;
mod repair;
pub mod room;
pub mod save;
mod shelf;
pub mod source;
mod stores;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod transfer;
pub mod unpack;
pub mod usage;
pub mod view;
mod window;
pub mod words;
mod zstd;

use crate::error::{Error, Result};
use crate::oci::image::Image;
use crate::store::{record, staging};
use crate::sys::fs;
use crate::{id, json, log};
use policy::Policy;
use policy::proof::Proof;
use readonly::ReadOnly;
use reference::Reference;
use shelf::{Held, Shelf};
use source::sha256;
use staging::Staging;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError, RwLock, RwLockReadGuard};
use transfer::Downloads;

/// One image, as the API shows it.
#[derive(Clone, Debug)]
pub struct Record {
    /// `sha256:…`.
    pub id: String,
    /// `busybox:latest`, sorted.
    pub tags: Vec<String>,
    /// `busybox@sha256:…`: what it was pulled or pushed as.
    pub digests: Vec<String>,
    pub image: Image,
    /// Bytes of all files in all layers.
    pub size: u64,
    /// The image that it was built on here; empty without one.
    pub parent: String,
    /// Others were built on it.
    pub has_children: bool,
}

/// The images below one data root.
pub struct Images {
    images: PathBuf,
    layers: PathBuf,
    readonly: Vec<ReadOnly>,
    /// What is on the disk. Never held while the disk is written.
    shelf: RwLock<Shelf>,
    /// Held by who changes the disk: one change at a time.
    change: Mutex<()>,
    downloads: Downloads,
    policy: Policy,
    /// See `room`.
    reclaimable: OnceLock<room::Reclaimable>,
}

/// An image that is to become part of the store, with layers that are staged or there.
pub struct NewImage {
    config: Vec<u8>,
    /// Digits of the diff ids, lowest first.
    layers: Vec<String>,
    size: u64,
    names: Vec<Reference>,
    /// The bytes of the manifest that it came with, if it came with one.
    source: Option<Vec<u8>>,
    /// Where `build` has made it.
    origin: Option<shelf::Origin>,
    /// The signatures that it came with.
    proof: Proof,
}

impl Images {
    /// Open the store of `data_root`, make it if there is none, and remove what a crash or a power
    /// cut has left half-made. The caller sees to it that nobody else has it open.
    pub fn open(data_root: &Path) -> Result<Images> {
        Images::open_with(data_root, Vec::new())
    }

    /// The same with other stores beside it, to read.
    pub fn open_with(data_root: &Path, readonly: Vec<ReadOnly>) -> Result<Images> {
        let (images, layers) = (data_root.join("images"), data_root.join("layers"));
        for dir in [&images, &layers] {
            staging::make_dir(dir)?;
            let swept = staging::sweep(dir)?;
            if swept > 0 {
                log::line(
                    "tugd",
                    format_args!("removed {swept} half-made directories in {}", dir.display()),
                );
            }
        }
        part::sweep(&layers, false)?;
        repair::settle(&images, &layers)?;
        let (shelf, unreadable) = Shelf::read(&images)?;
        for (name, error) in &unreadable {
            log::line(
                "tugd",
                format_args!("image record {name} is set aside: {error}"),
            );
            record::set_aside(&images, name)?;
        }

        // While an image that can't be read lies there, its layers stay: somebody may repair it.
        let is_bad = |name: &String| name.ends_with(record::ASIDE);
        if !staging::names(&images)?.iter().any(is_bad) {
            layer::sweep(&layers, &|diff| shelf.uses(diff))?;
        }
        let images = Images::new(images, layers, readonly, shelf);
        for held in images.all() {
            if let Err(error) = images.layer_dirs(&held) {
                log::line("tugd", error);
            }
        }
        Ok(images)
    }

    /// All images below `data_root` as they lie there, for those who look without the engine. Nothing
    /// is written; what can't be read is left out.
    pub fn look(data_root: &Path, readonly: Vec<ReadOnly>) -> Result<Images> {
        let (images, layers) = (data_root.join("images"), data_root.join("layers"));
        let shelf = match images.exists() {
            true => Shelf::read(&images)?.0,
            false => Shelf::default(),
        };
        Ok(Images::new(images, layers, readonly, shelf))
    }

    fn new(images: PathBuf, layers: PathBuf, readonly: Vec<ReadOnly>, shelf: Shelf) -> Images {
        Images {
            images,
            layers,
            readonly,
            shelf: RwLock::new(shelf),
            change: Mutex::new(()),
            downloads: Downloads::default(),
            policy: Policy::default(),
            reclaimable: OnceLock::new(),
        }
    }

    pub fn list(&self) -> Result<Vec<Record>> {
        let mut records = Vec::new();
        for held in self.all() {
            // It may have been removed meanwhile.
            if let Ok(record) = self.record(&held.digits) {
                records.push(record);
            }
        }
        Ok(records)
    }

    /// The image called `name`: a name with or without tag, an id, or the beginning of one.
    pub fn find(&self, name: &str) -> Result<Record> {
        let digits = self.resolve(name)?;
        self.record(&digits).map_err(|_| no_such_image(name))
    }

    /// The id of the image called `name`.
    pub fn id(&self, name: &str) -> Result<String> {
        self.resolve(name).map(|digits| format!("sha256:{digits}"))
    }

    /// Bytes of all files in all layers of an image.
    pub fn size(&self, id: &str) -> Result<u64> {
        self.held(&self.resolve(id)?).map(|held| held.size)
    }

    /// The exact configuration of an image.
    pub fn config(&self, id: &str) -> Result<Vec<u8>> {
        shelf::config(&self.image_dir(&self.resolve(id)?))
    }

    /// Give the image `name` one more name.
    pub fn tag(&self, name: &str, reference: &str) -> Result<()> {
        let reference = Reference::parse(reference)?;
        if reference.digest.is_some() {
            return Err(Error::invalid(
                "refusing to create a tag with a digest reference",
            ));
        }
        if reference.familiar_name() == "sha256" {
            return Err(Error::invalid(
                "refusing to create an ambiguous tag using digest algorithm as name",
            ));
        }
        let _change = self.change();
        let digits = self.resolve(name)?;
        let named = reference.clone().with_default_tag();
        self.admit_names(&digits, &[named], &Proof::default())?;
        self.adopt(&digits)?;
        let full = reference.with_default_tag().full();
        self.rename(&|shelf| {
            shelf.refs.insert(full.clone(), digits.clone());
        })
    }

    /// The layers of an image as overlayfs wants them, top first.
    pub fn lower_dirs(&self, id: &str) -> Result<Vec<PathBuf>> {
        let mut dirs = self.layer_dirs(&self.held(&self.resolve(id)?)?)?;
        if dirs.is_empty() {
            dirs.push(layer::empty(&self.layers)?);
        }
        Ok(dirs)
    }

    fn layer_dirs(&self, held: &Held) -> Result<Vec<PathBuf>> {
        let mut dirs: Vec<PathBuf> = Vec::new();
        for diff in held.layers.iter().rev() {
            let Some(layers) = self.layers_with(diff) else {
                return Err(Error::conflict(format!(
                    "image {} is incomplete: layer sha256:{diff} is in none of the stores; pull or load the image again, or bring back the read-only store that had it (--store-ro)",
                    id::short(&held.digits)
                )));
            };
            // The same layer twice would be refused by overlayfs. The upper one shows all that the
            // lower one could.
            let dir = layer::diff_dir(&layers, diff);
            if !dirs.contains(&dir) {
                dirs.push(dir);
            }
        }
        Ok(dirs)
    }

    /// Bytes of the files in each layer of an image, lowest first.
    pub fn layer_sizes(&self, id: &str) -> Result<Vec<u64>> {
        let held = self.held(&self.resolve(id)?)?;
        let size = |diff: &String| self.layer_size(diff);
        Ok(held.layers.iter().map(size).collect())
    }

    fn record(&self, digits: &str) -> Result<Record> {
        let config = shelf::config(&self.image_dir(digits))?;
        let held = self.held(digits)?;
        let (mut tags, mut digests) = (Vec::new(), Vec::new());
        for name in self.names(digits) {
            match name.digest {
                None => tags.push(name.familiar()),
                Some(_) => digests.push(name.familiar()),
            }
        }
        Ok(Record {
            id: format!("sha256:{digits}"),
            tags,
            digests,
            image: json::parse_bytes(&config, "image configuration")?,
            size: held.size,
            parent: built::parent(&held),
            has_children: self.shelf().has_children(digits),
        })
    }

    /// The digits of the id that `name` means. A name comes before the beginning of an id.
    fn resolve(&self, name: &str) -> Result<String> {
        let digits = name.strip_prefix("sha256:").unwrap_or(name);
        if id::is_full(digits) {
            return match self.held(digits).is_ok() {
                true => Ok(digits.to_string()),
                false => Err(no_such_image(name)),
            };
        }
        if let Ok(reference) = Reference::parse(name) {
            if let Some(digits) = self.named(&reference.key()) {
                return Ok(digits);
            }
        } else if !id::is_hex(digits) {
            return Reference::parse(name).map(|_| String::new());
        }
        if !id::is_hex(digits) {
            return Err(no_such_image(name));
        }
        let ids = self.all().into_iter().map(|held| held.digits);
        let mut found = ids.filter(|id| id.starts_with(digits));
        match (found.next(), found.next()) {
            (Some(id), None) => Ok(id),
            (Some(_), Some(_)) => Err(Error::invalid(format!(
                "ambiguous reference: {name} is the beginning of more than one image id"
            ))),
            _ => Err(no_such_image(name)),
        }
    }

    /// Make layers and images durable and part of the store, in this order (see above).
    fn commit(&self, layers: Vec<layer::Staged>, images: Vec<NewImage>) -> Result<()> {
        images.iter().try_for_each(|image| self.admit(image))?;
        let _change = self.change();
        let outcome = self.place(layers, &images);
        if outcome.is_err() {
            // Layers that came and whose image did not.
            let _ = layer::sweep(&self.layers, &|diff| self.is_wanted(diff));
            return outcome;
        }
        if images.iter().all(|image| image.names.is_empty()) {
            return Ok(());
        }
        self.rename(&|shelf| {
            for image in &images {
                for name in &image.names {
                    shelf.refs.insert(name.full(), sha256(&image.config));
                }
            }
        })
    }

    fn place(&self, layers: Vec<layer::Staged>, images: &[NewImage]) -> Result<()> {
        let mut staged = Vec::new();
        for image in images {
            let digits = sha256(&image.config);
            if self.shelf().held(&digits).is_none() {
                let directory = Staging::new(&self.images)?;
                shelf::write(directory.path(), &image.config, &image.layers, image.size)?;
                if let Some(source) = &image.source {
                    shelf::write_source(directory.path(), source)?;
                }
                if let Some(origin) = &image.origin {
                    shelf::write_origin(directory.path(), origin)?;
                }
                policy::write(directory.path(), image)?;
                staged.push((digits, directory, image));
                continue;
            }
            if let Some(source) = &image.source {
                shelf::add_source(&self.images, &digits, source)?;
            }
            self.keep_proof(&digits, &image.proof)?;
        }

        fs::sync_file_system(&self.images)?;
        for layer in layers {
            let is_given = |store: &ReadOnly| {
                store.fault.is_none() && layer::exists(&store.layers(), &layer.diff)
            };
            if !self.readonly.iter().any(is_given) {
                layer.keep(&self.layers)?;
            }
        }
        fs::sync_dir(&self.layers)?;
        // Of an image that did not bring all of its layers, one may have been removed meanwhile.
        let layers = images.iter().flat_map(|image| &image.layers);
        for diff in layers {
            if self.layers_with(diff).is_none() {
                return Err(Error::conflict(format!(
                    "layer sha256:{diff} has been removed meanwhile: try again"
                )));
            }
        }
        for (digits, directory, image) in staged {
            // The same image may be twice in one archive.
            if self.shelf().held(&digits).is_none() {
                directory.keep(&self.images.join(&digits))?;
                let held = Held {
                    digits,
                    layers: image.layers.clone(),
                    size: image.size,
                    origin: image.origin.clone(),
                };
                self.shelf_mut(|shelf| shelf.images.push(held));
            }
        }
        fs::sync_dir(&self.images)
    }

    /// Change the names: on the disk first. The caller holds `change`.
    fn rename(&self, change: &dyn Fn(&mut Shelf)) -> Result<()> {
        let mut refs = Shelf {
            refs: self.shelf().refs.clone(),
            ..Shelf::default()
        };
        change(&mut refs);
        refs.save(&self.images)?;
        self.shelf_mut(|shelf| shelf.refs = refs.refs);
        Ok(())
    }

    /// Whether a layer must stay. The caller holds `change`.
    fn is_wanted(&self, diff: &str) -> bool {
        self.shelf().uses(diff) || self.downloads.claims(diff)
    }

    fn change(&self) -> MutexGuard<'_, ()> {
        locked(&self.change)
    }

    fn shelf(&self) -> RwLockReadGuard<'_, Shelf> {
        self.shelf.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn shelf_mut<T>(&self, change: impl FnOnce(&mut Shelf) -> T) -> T {
        change(&mut self.shelf.write().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A lock whose holder cannot have panicked: panics abort.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Docker's words, and its way to show what was looked for: with the tag that is meant.
fn no_such_image(name: &str) -> Error {
    let shown = match Reference::parse(name) {
        _ if id::is_full(name) => format!("sha256:{name}"),
        _ if name.starts_with("sha256:") => name.to_string(),
        Ok(reference) => reference.with_default_tag().familiar(),
        Err(_) => name.to_string(),
    };
    Error::not_found(format!("No such image: {shown}"))
}
