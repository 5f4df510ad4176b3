//! `store build`: a store made away from the device, for any machine, to be read there
//! (`readonly`).
//!
//! First is looked at what the sources hold, then the layers that are wanted are read, each once and
//! none twice, whatever number of images has it. The store is one file, which needs no rights (an
//! EROFS of our own writing), or a directory, as an engine would have unpacked it.

mod file;
mod origin;

use crate::error::{Context, Error, Kind, Result};
use crate::image::decoder;
use crate::image::layer::{self, End, Staged};
use crate::image::manifest::{self, shown};
use crate::image::policy::Policy;
use crate::image::policy::proof::{Evidence, Proof};
use crate::image::readonly::{FORMAT, FORMAT_NUMBER};
use crate::image::reference::Reference;
use crate::image::source::{self, Hashed, Source, Stream, sha256};
use crate::image::{Images, NewImage};
use crate::json;
use crate::oci::image::{Image, Platform};
use crate::store::{record, staging};
use crate::sys::fs::ModifiedAt;
use file::FileStore;
pub use origin::Origin;
use std::path::Path;

/// What to build.
pub struct Build<'a> {
    pub platform: &'a Platform,
    pub output: &'a Path,
    /// A directory is wanted.
    pub is_directory: bool,
    /// What has no time of its own gets this one.
    pub modified: ModifiedAt,
    /// Which images may be in it.
    pub policy: &'a Policy,
}

/// Where images come from.
pub struct From {
    /// As it was given.
    pub text: String,
    pub name: Option<Reference>,
    pub origin: Origin,
}

/// An image in the store.
pub struct Built {
    pub names: Vec<Reference>,
    /// `sha256:…`.
    pub id: String,
    pub size: u64,
}

/// An image in a source.
struct Found {
    names: Vec<Reference>,
    config: Vec<u8>,
    /// Its exact manifest, where there is one.
    source: Option<Vec<u8>>,
    parts: Vec<Part>,
    proof: Proof,
}

/// A layer in a source.
struct Part {
    /// What the source calls it.
    name: String,
    /// Digits of the diff id.
    diff: String,
    /// Digits of the digest, as far as one is known.
    digest: Option<String>,
    size: Option<u64>,
}

enum Output {
    Directory(Images, Vec<Staged>),
    File(FileStore),
}

pub fn build(build: &Build<'_>, sources: &[From]) -> Result<Vec<Built>> {
    let mut found: Vec<(usize, Found)> = Vec::new();
    for (number, from) in sources.iter().enumerate() {
        let images = from.find(build.platform).context(|| from.text.clone())?;
        found.extend(images.into_iter().map(|image| (number, image)));
    }
    for (_, image) in &found {
        let id = sha256(&image.config);
        let evidence = Evidence::new(&id, image.source.as_deref(), image.proof.clone());
        build.policy.check(&evidence, &image.names)?;
    }

    let mut output = Output::new(build)?;
    // Digits of the diff ids, and bytes of their files.
    let mut there: Vec<(String, u64)> = Vec::new();
    for (number, from) in sources.iter().enumerate() {
        let own = found.iter().filter(|(of, _)| *of == number);
        let mut wanted: Vec<&Part> = Vec::new();
        for part in own.flat_map(|(_, image)| &image.parts) {
            let is_coming = wanted.iter().any(|known| known.diff == part.diff);
            if !is_coming && !there.iter().any(|(diff, _)| *diff == part.diff) {
                wanted.push(part);
            }
        }
        let mut take = |part: &Part, stream: &mut dyn Stream| {
            let size = output.layer(part, stream);
            let size = size.context(|| format!("layer {}", part.name))?;
            there.push((part.diff.clone(), size));
            Ok(())
        };
        let read = from.origin.read(&mut wanted, &mut take);
        read.context(|| from.text.clone())?;
    }

    let images: Vec<NewImage> = merge(found, &there);
    let built = images.iter().map(|image| Built {
        names: image.names.clone(),
        id: format!("sha256:{}", sha256(&image.config)),
        size: image.size,
    });
    let built = built.collect();
    output.finish(build, images)?;
    Ok(built)
}

/// One record for each image. A name is given once: what was said first holds.
fn merge(found: Vec<(usize, Found)>, there: &[(String, u64)]) -> Vec<NewImage> {
    let mut images: Vec<NewImage> = Vec::new();
    let mut taken: Vec<String> = Vec::new();
    for (_, image) in found {
        let mut names = image.names;
        names.retain(|name| !taken.contains(&name.full()));
        taken.extend(names.iter().map(Reference::full));
        if let Some(known) = images.iter_mut().find(|known| known.config == image.config) {
            known.names.extend(names);
            known.proof.add(&image.proof);
            continue;
        }
        let size = |part: &Part| {
            let found = there.iter().find(|(diff, _)| *diff == part.diff);
            found.map_or(0, |(_, size)| *size)
        };
        images.push(NewImage {
            size: image.parts.iter().map(size).sum(),
            layers: image.parts.into_iter().map(|part| part.diff).collect(),
            config: image.config,
            source: image.source,
            names,
            origin: None,
            proof: image.proof,
        });
    }
    images
}

impl From {
    fn find(&self, platform: &Platform) -> Result<Vec<Found>> {
        let mut images = self.origin.images(platform)?;
        if images.is_empty() {
            return Err(Error::invalid("it holds no image"));
        }
        for image in &images {
            check_platform(image, platform)?;
        }
        if let Some(name) = &self.name {
            // The same image may stand there under several names.
            if images.windows(2).any(|two| two[0].config != two[1].config) {
                return Err(Error::invalid(
                    "it holds more than one image: one name does not do for all of them",
                ));
            }
            images.truncate(1);
            for image in &mut images {
                image.names = vec![name.clone()];
            }
        }
        Ok(images)
    }
}

/// A store of programs that do not run there would be found out on the device.
fn check_platform(found: &Found, wanted: &Platform) -> Result<()> {
    let image: Image = json::parse_bytes(&found.config, "image configuration")?;
    let own = Platform {
        os: image.os,
        architecture: image.architecture,
        variant: image.variant,
    };
    match manifest::runs(&own, wanted) {
        true => Ok(()),
        false => Err(Error::invalid(format!(
            "{} is for {}, not for {} (--platform)",
            found
                .names
                .first()
                .map_or("the image".into(), Reference::familiar),
            shown(&own),
            shown(wanted)
        ))),
    }
}

impl Output {
    fn new(build: &Build<'_>) -> Result<Output> {
        let output = build.output;
        if !build.is_directory {
            return FileStore::new(output, build.modified).map(Output::File);
        }
        if !rustix::process::geteuid().is_root() {
            return Err(Error::new(
                Kind::Denied,
                format!(
                    "a directory needs root, for the owners and devices that are in it: let {} be a file (-o store.erofs), which needs nobody's rights",
                    output.display()
                ),
            ));
        }
        staging::make_dir(output)?;
        if !staging::names(output)?.is_empty() && !output.join(FORMAT).exists() {
            return Err(Error::invalid(format!(
                "{} is neither empty nor a store",
                output.display()
            )));
        }
        record::replace(output, FORMAT, FORMAT_NUMBER.as_bytes())?;
        Ok(Output::Directory(Images::open(output)?, Vec::new()))
    }

    /// Take in a layer, compressed or not. Answers the bytes of its files.
    fn layer(&mut self, part: &Part, from: &mut dyn Stream) -> Result<u64> {
        // The digest of what is not compressed is the diff id, which is checked anyway.
        let digest = part.digest.as_ref().filter(|digits| **digits != part.diff);
        let (diff, size) = match digest {
            None => self.compressed(part, from)?,
            Some(digits) => {
                let mut hashed = Hashed::new(from);
                let found = self.compressed(part, &mut hashed)?;
                let there = hashed.finish().map_err(|e| source::failed("read", &e))?;
                if there != *digits {
                    return Err(Error::invalid(format!(
                        "the content does not match the digest: it is sha256:{there}, expected sha256:{digits}"
                    )));
                }
                found
            }
        };
        match diff == part.diff {
            true => Ok(size),
            false => Err(Error::invalid(format!(
                "it is not what the image was made of: it is sha256:{diff}, expected sha256:{}",
                part.diff
            ))),
        }
    }

    fn compressed(&mut self, part: &Part, from: &mut dyn Stream) -> Result<(String, u64)> {
        let mut source = Source::new(from);
        let mut plain = decoder::open(&mut source)?;
        self.archive(part, &mut *plain)
    }

    fn archive(&mut self, part: &Part, from: &mut dyn Stream) -> Result<(String, u64)> {
        match self {
            Output::File(store) => store.layer(part, from),
            Output::Directory(store, staged) => {
                let layer = layer::stage_tar(&store.layers, from, End::Checked)?;
                let (diff, size) = (layer.diff.clone(), layer.size);
                staged.push(layer);
                Ok((diff, size))
            }
        }
    }

    fn finish(self, build: &Build<'_>, images: Vec<NewImage>) -> Result<()> {
        match self {
            Output::Directory(store, staged) => store.commit(staged, images),
            Output::File(store) => store.finish(build.output, &images),
        }
    }
}
