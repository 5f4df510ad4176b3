//! `load`: archives of `docker save` (old and new layout) and OCI layouts.
//!
//! One pass, without a copy of the archive. Where a member begins like a layer it is unpacked at
//! once, where it begins like JSON it is kept; at the end the documents say which of that are
//! images, and the digests whether it is what they mean. Names in the archive are keys of a map and
//! never paths on our disk. What no image wants is dropped.

use crate::error::{Context, Error, Kind, Result};
use crate::id;
use crate::image::archive::{self, Archive, Entry};
use crate::image::decoder;
use crate::image::delta::artifact::ARTIFACT;
use crate::image::inside::{components, shown};
use crate::image::layer::{self, End, Staged};
use crate::image::manifest::{self, Saved};
use crate::image::policy::proof::{self, Proof};
use crate::image::reference::Reference;
use crate::image::source::{self, Format, Hashed, Input, SNIFF_BYTES, Source, Stream, sha256};
use crate::image::{Images, NewImage, save};
use crate::json;
use crate::oci::image::{Descriptor, Image, Manifest, Platform};
use std::io::Read;
use std::path::PathBuf;

/// The largest document that is read, as registries have it (distribution-spec, "Pushing Manifests").
pub const DOCUMENT_BYTES_MAX: u64 = 4 << 20;

/// All documents and names of one archive together.
pub const MEMORY_BYTES_MAX: usize = 32 << 20;

/// An index may list indexes. Deeper than this is no sense, or a loop.
pub const INDEX_DEPTH_MAX: u32 = 4;

/// What overlayfs stacks (OVL_MAX_STACK).
pub const LAYERS_MAX: usize = 500;

pub const BLOBS: &str = "blobs/sha256/";

/// An image that `load` has brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loaded {
    /// As people write it; without one the image has no name.
    pub reference: Option<String>,
    /// `sha256:…`.
    pub id: String,
    /// What a delta has spared.
    pub saved: Option<String>,
}

impl Images {
    /// Load all images of an archive, compressed or not: all or none. Of one image for many platforms
    /// the one for `platform`, or for this machine.
    pub fn load(&self, from: &mut dyn Read, platform: Option<&Platform>) -> Result<Vec<Loaded>> {
        let outcome = read_all(self, platform, false, from).and_then(|mut members| {
            let images = members.images()?;
            let wanted = |layer: &Staged| images.iter().any(|i| i.layers.contains(&layer.diff));
            members.staged.retain(wanted);
            let mut all: Vec<Loaded> = images.iter().flat_map(loaded).collect();
            if let Some(first) = all.first_mut() {
                first.saved = members.spared(&images);
            }
            self.commit(members.staged, images).map(|()| all)
        });
        outcome.map_err(|e| self.advise(e)).context(|| "load")
    }
}

fn loaded(image: &NewImage) -> Vec<Loaded> {
    let id = format!("sha256:{}", sha256(&image.config));
    let with = |reference: Option<String>| Loaded {
        reference,
        id: id.clone(),
        saved: None,
    };
    let names = image.names.iter().filter(|name| name.digest.is_none());
    let mut named: Vec<Loaded> = names.map(|name| with(Some(name.familiar()))).collect();
    if named.is_empty() {
        named.push(with(None));
    }
    named
}

/// What an archive holds, by name.
pub struct Members<'a> {
    pub(super) store: &'a Images,
    platform: Option<&'a Platform>,
    /// What is there may be damaged: all of it is to come from the archive.
    pub(super) is_repair: bool,
    /// Sorted once all are there.
    by_name: Vec<(String, Member)>,
    /// Unpacked layers; no two are the same.
    pub staged: Vec<Staged>,
    /// Diff ids of layers that came as deltas, and the bytes of those.
    pub(super) deltas: Vec<(String, u64)>,
    memory: usize,
}

pub enum Member {
    Document(Vec<u8>),
    /// Digits of the diff id, and the length of the member in the archive.
    Layer {
        diff: String,
        bytes: u64,
    },
    /// Old archives say what they have said before by a link.
    Link(String),
    /// Neither; it matters only if an image wants it.
    Unusable(String),
}

/// Read an archive to its end.
pub fn read_all<'a>(
    store: &'a Images,
    platform: Option<&'a Platform>,
    is_repair: bool,
    from: &mut dyn Read,
) -> Result<Members<'a>> {
    let mut input = Input(from);
    let mut source = Source::new(&mut input);
    let mut members = Members {
        store,
        platform,
        is_repair,
        by_name: Vec::new(),
        staged: Vec::new(),
        deltas: Vec::new(),
        memory: 0,
    };
    members.read(&mut *decoder::open(&mut source)?)?;
    Ok(members)
}

impl Members<'_> {
    fn read(&mut self, from: &mut dyn Stream) -> Result<()> {
        let failed = |e: std::io::Error| source::failed("read archive", &e);
        let mut archive = Archive::new(from);
        while let Some(entry) = archive.next().map_err(failed)? {
            self.member(&entry, &mut archive)
                .context(|| shown(&entry.path))?;
        }
        // To one reader the first would count, to another the last.
        self.by_name.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        if let Some(twins) = self.by_name.windows(2).find(|two| two[0].0 == two[1].0) {
            let name = &twins[0].0;
            return Err(Error::invalid(format!("{name} is twice in the archive")));
        }
        // To the end: a checksum may stand there, and a sender may wait for us.
        Hashed::new(from).finish().map(drop).map_err(failed)
    }

    fn member(&mut self, entry: &Entry, archive: &mut Archive<'_>) -> Result<()> {
        let name = name(&entry.path)?;
        let member = match entry.kind {
            archive::Kind::File if entry.is_sparse => {
                Member::Unusable("it is stored as a sparse file".into())
            }
            archive::Kind::File => self.content(&name, entry, archive)?,
            archive::Kind::HardLink => Member::Link(self::name(&entry.link)?),
            archive::Kind::Symlink => Member::Link(linked(&name, &entry.link)),
            _ => return Ok(()),
        };
        // Names count too, with what a map needs for each.
        self.memory += name.len() + 128;
        if let Member::Document(bytes) = &member {
            self.memory += bytes.len();
        }
        if self.memory > MEMORY_BYTES_MAX {
            return Err(Error::invalid("too many documents for one archive"));
        }
        self.by_name.push((name, member));
        Ok(())
    }

    fn content(&mut self, name: &str, entry: &Entry, archive: &mut Archive<'_>) -> Result<Member> {
        let failed = |e: std::io::Error| source::failed("read archive", &e);
        let mut source = Source::new(archive);
        let format = source::sniff(source.peek(SNIFF_BYTES).map_err(failed)?);
        let layers = &self.store.layers;
        let (member, digest) = match format {
            // The store has it: nothing is written a second time.
            Format::Tar if self.is_there(name) => {
                let diff = Hashed::new(&mut source).finish().map_err(failed)?;
                let digest = diff.clone();
                let bytes = entry.size;
                (Member::Layer { diff, bytes }, Some(digest))
            }
            Format::Tar => {
                let staged = layer::stage_tar(layers, &mut source, End::Checked);
                let digest = staged.as_ref().map(|s| s.diff.clone()).ok();
                (self.stage(staged, entry.size)?, digest)
            }
            Format::Gzip | Format::Zstd => {
                let mut hashed = Hashed::new(&mut source);
                let staged = {
                    let mut packed = Source::new(&mut hashed);
                    let mut plain = decoder::stream(format, &mut packed)?;
                    layer::stage_tar(layers, &mut *plain, End::Checked)
                };
                let member = self.stage(staged, entry.size)?;
                (member, Some(hashed.finish().map_err(failed)?))
            }
            Format::Json if entry.size <= DOCUMENT_BYTES_MAX => {
                let mut bytes = vec![0; entry.size as usize];
                source.read_all(&mut bytes).map_err(failed)?;
                let digest = sha256(&bytes);
                (Member::Document(bytes), Some(digest))
            }
            Format::Json => (Member::Unusable("it is larger than 4 MiB".into()), None),
            Format::Delta => {
                let mut hashed = Hashed::new(&mut source);
                let member = self.delta(&mut hashed, entry.size)?;
                (member, Some(hashed.finish().map_err(failed)?))
            }
            Format::Foreign(name) => {
                let reason = format!("{name}-compressed layers are not supported");
                (Member::Unusable(reason), None)
            }
            Format::Empty => (Member::Unusable("it is empty".into()), None),
            Format::Unknown => (Member::Unusable("it is no layer and no JSON".into()), None),
        };
        // A blob is what its name says. Of what is unusable that does not matter.
        if let (Some(expected), Some(digest)) = (name.strip_prefix(BLOBS), digest)
            && expected != digest
            && !matches!(member, Member::Unusable(_))
        {
            return Err(Error::invalid(format!(
                "the content does not match the digest: it is sha256:{digest}"
            )));
        }
        Ok(member)
    }

    /// Whether the store has the layer with this name, with all that it takes to save it again.
    fn is_there(&self, name: &str) -> bool {
        let digits = name.strip_prefix(BLOBS).unwrap_or_default();
        let has_index = |layers: PathBuf| {
            layer::read(&layers, digits).is_some_and(|record| record.archive.is_some())
        };
        !self.is_repair
            && id::is_full(digits)
            && self.store.layers_with(digits).is_some_and(has_index)
    }

    /// What can't be unpacked may be something else that only looks like a layer; if an image wants
    /// it, that will be said then. A full disk is another matter.
    pub(super) fn stage(&mut self, staged: Result<Staged>, bytes: u64) -> Result<Member> {
        let staged = match staged {
            Err(error) if error.kind == Kind::Invalid => {
                return Ok(Member::Unusable(error.to_string()));
            }
            staged => staged?,
        };
        let diff = staged.diff.clone();
        if !self.staged.iter().any(|known| known.diff == diff) {
            self.staged.push(staged);
        }
        Ok(Member::Layer { diff, bytes })
    }

    /// The images that the archive says it has.
    pub fn images(&self) -> Result<Vec<NewImage>> {
        let (index, proof) = self.index()?;
        // New archives of Docker have both; its own document knows all names.
        let mut images = if self.get("manifest.json").is_some() {
            self.saved()?
        } else if self.get("index.json").is_some() {
            self.listed(&index)?
        } else if self.get("repositories").is_some() {
            return Err(Error::unsupported(
                "the archive is of Docker 1.9 or older, which is not supported: save it with a newer one",
            ));
        } else {
            return Err(Error::invalid(
                "the archive holds no image: there is neither manifest.json nor index.json in it",
            ));
        };
        if images.is_empty() {
            return Err(Error::invalid("the archive holds no image"));
        }
        for image in &mut images {
            image.proof.add(&proof);
        }
        Ok(images)
    }

    /// The index of an OCI layout without its signatures, and all signatures that the archive has.
    fn index(&self) -> Result<(Manifest, Proof)> {
        let mut proof = match self.get(proof::FILE) {
            Some(_) => json::parse_bytes(self.document(proof::FILE)?, proof::FILE)?,
            None => Proof::default(),
        };
        let mut index = Manifest::default();
        if self.get("index.json").is_some() {
            index = manifest::parse(self.document("index.json")?, "index.json")?;
            let document = |descriptor: &Descriptor| {
                let (name, _) = blob(descriptor).ok()?;
                self.document(&name).ok().map(<[u8]>::to_vec)
            };
            proof.add(&Proof::of_layout(&mut index, &document));
        }
        Ok((index, proof))
    }

    fn saved(&self) -> Result<Vec<NewImage>> {
        let list: Vec<Saved> = json::parse_bytes(self.document("manifest.json")?, "manifest.json")?;
        list.into_iter()
            .map(|saved| {
                let config = saved.config.unwrap_or_default();
                let layers = saved.layers.unwrap_or_default().into_iter();
                let layers = layers.map(|name| (name, None)).collect();
                let names = saved.repo_tags.unwrap_or_default();
                let (digest, source) = self.own_manifest(&config).unzip();
                self.image(&config, layers, &names, digest.as_deref(), source)
            })
            .collect()
    }

    /// Of an archive that is an OCI layout as well: the manifest with this configuration, and the
    /// digest under which it is listed. Not one that was made with the archive, for layers that are
    /// not compressed: no registry has that.
    fn own_manifest(&self, config: &str) -> Option<(String, Vec<u8>)> {
        let bytes = self.document("index.json").ok()?;
        let index = manifest::parse(bytes, "index.json").ok()?;
        let mut listed = index.manifests.into_iter().flatten();
        listed.find_map(|descriptor| {
            let manifest = self.manifest_of(&descriptor, config, 0)?;
            Some((descriptor.digest?, manifest))
        })
    }

    fn manifest_of(&self, descriptor: &Descriptor, config: &str, depth: u32) -> Option<Vec<u8>> {
        let content = self.document(&blob(descriptor).ok()?.0).ok()?;
        let document = manifest::parse(content, "").ok()?;
        if let Some(inner) = document.manifests.filter(|_| depth < INDEX_DEPTH_MAX) {
            let mut inner = inner.iter();
            return inner.find_map(|descriptor| self.manifest_of(descriptor, config, depth + 1));
        }
        let is_it = blob(&document.config?).is_ok_and(|(name, _)| name == config);
        let is_packed = |layer: &Descriptor| {
            let media_type = layer.media_type.as_deref().unwrap_or_default();
            media_type.ends_with("gzip") || media_type.ends_with("zstd")
        };
        let layers = document.layers.unwrap_or_default();
        (is_it && layers.iter().all(is_packed)).then(|| content.to_vec())
    }

    /// Of the same image for different machines the one that is wanted.
    fn choose<'a>(&self, candidates: &[&'a Descriptor]) -> Result<&'a Descriptor> {
        match self.platform {
            Some(platform) => manifest::choose_for(candidates, platform),
            None => manifest::choose(candidates),
        }
    }

    /// The images of an OCI layout.
    fn listed(&self, index: &Manifest) -> Result<Vec<NewImage>> {
        let images = groups(index).into_iter().map(|(name, group)| {
            let descriptor = self.choose(&group)?;
            let digest = descriptor.digest.as_deref();
            self.listed_image(descriptor, name, digest, 0)
        });
        images.collect()
    }

    fn listed_image(
        &self,
        descriptor: &Descriptor,
        name: Option<&str>,
        digest: Option<&str>,
        depth: u32,
    ) -> Result<NewImage> {
        let (member, bytes) = blob(descriptor)?;
        let content = self.document(&member)?;
        check_size(&member, bytes, content.len() as u64)?;
        let document = manifest::parse(content, &member)?;
        let is_delta = document.artifact_type.as_deref() == Some(ARTIFACT);
        if depth == INDEX_DEPTH_MAX && (is_delta || document.manifests.is_some()) {
            return Err(Error::invalid("indexes are nested too deep"));
        }
        if is_delta {
            let subject = self.made_of_deltas(&document)?;
            let digest = subject.digest.as_deref();
            return self.listed_image(subject, name, digest, depth + 1);
        }
        if let Some(inner) = &document.manifests {
            let candidates: Vec<&Descriptor> = inner.iter().collect();
            return self.listed_image(self.choose(&candidates)?, name, digest, depth + 1);
        }

        let config = document.config.unwrap_or_default();
        let (config_name, config_bytes) = blob(&config)?;
        check_size(
            &config_name,
            config_bytes,
            self.document(&config_name)?.len() as u64,
        )?;
        let layers = document.layers.iter().flatten().map(blob);
        let layers = layers.collect::<Result<Vec<(String, Option<u64>)>>>()?;
        let names: Vec<String> = name.map(str::to_string).into_iter().collect();
        self.image(&config_name, layers, &names, digest, Some(content.to_vec()))
    }

    /// One image of a configuration and layers, which must be those that the configuration means.
    fn image(
        &self,
        config: &str,
        layers: Vec<(String, Option<u64>)>,
        names: &[String],
        digest: Option<&str>,
        source: Option<Vec<u8>>,
    ) -> Result<NewImage> {
        let bytes = self.document(config)?;
        let image: Image = json::parse_bytes(bytes, config)?;
        if let Some(os) = image.os.filter(|os| !os.is_empty() && os != "linux") {
            return Err(Error::invalid(format!("cannot load {os} image on linux")));
        }
        let rootfs = image.rootfs.unwrap_or_default();
        let diff_ids = rootfs.diff_ids.unwrap_or_default();
        if diff_ids.len() != layers.len() {
            return Err(Error::invalid(format!(
                "invalid manifest, layers length mismatch: expected {}, got {}",
                diff_ids.len(),
                layers.len()
            )));
        }
        if layers.len() > LAYERS_MAX {
            return Err(Error::invalid(format!(
                "an image of {} layers is more than the kernel stacks ({LAYERS_MAX})",
                layers.len()
            )));
        }

        let mut new = NewImage {
            config: bytes.to_vec(),
            layers: Vec::new(),
            size: 0,
            names: Vec::new(),
            source,
            origin: None,
            proof: Proof::default(),
        };
        for (diff_id, (name, bytes)) in diff_ids.iter().zip(layers) {
            let expected = id::digest_hex(diff_id).context(|| config.to_string())?;
            // As with Docker, an archive need not bring what is there.
            let is_here = self.store.layers_with(expected).is_some()
                || self.deltas.iter().any(|(made, _)| made == expected);
            let is_given = self.find(&name).is_err() && is_here;
            if !is_given {
                self.check_layer(&name, bytes, expected)?;
            }
            let staged = self.staged.iter().find(|staged| staged.diff == expected);
            let there = || self.store.layer_size(expected);
            new.size += staged.map_or_else(there, |staged| staged.size);
            new.layers.push(expected.to_string());
        }
        for text in names {
            let name = Reference::parse(text).context(|| format!("image name {text:?}"))?;
            let name = name.with_default_tag();
            let by_digest = digest.map(|digest| name.with(digest)).transpose()?;
            new.names.push(name);
            new.names.extend(by_digest);
        }
        if let Some(platform) = self.platform {
            save::check_platform(platform, bytes, &new.names, &sha256(bytes))?;
        }
        Ok(new)
    }

    /// Whether a layer is the one that the configuration means.
    fn check_layer(&self, name: &str, bytes: Option<u64>, expected: &str) -> Result<()> {
        let (diff, there) = self.layer(name)?;
        check_size(name, bytes, there)?;
        if diff != expected {
            return Err(Error::invalid(format!(
                "layer {name} is not what the image was made of: it is sha256:{diff}, expected sha256:{expected}"
            )));
        }
        Ok(())
    }

    fn document(&self, name: &str) -> Result<&[u8]> {
        match self.find(name)? {
            Member::Document(bytes) => Ok(bytes),
            Member::Unusable(reason) => Err(Error::invalid(format!("{name}: {reason}"))),
            _ => Err(Error::invalid(format!("{name} is no JSON document"))),
        }
    }

    pub(super) fn layer(&self, name: &str) -> Result<(&str, u64)> {
        match self.find(name)? {
            Member::Layer { diff, bytes } => Ok((diff, *bytes)),
            Member::Unusable(reason) => Err(Error::invalid(format!("layer {name}: {reason}"))),
            _ => Err(Error::invalid(format!("{name} is no layer"))),
        }
    }

    fn get(&self, name: &str) -> Option<&Member> {
        let place = self.by_name.binary_search_by(|(key, _)| key[..].cmp(name));
        self.by_name.get(place.ok()?).map(|(_, member)| member)
    }

    fn find(&self, name: &str) -> Result<&Member> {
        let mut at = self::name(name.as_bytes())?;
        // A link to a link to a link has never been seen; a link to itself ends here.
        for _ in 0..8 {
            match self.get(&at) {
                Some(Member::Link(target)) => at.clone_from(target),
                Some(member) => return Ok(member),
                None => break,
            }
        }
        Err(Error::invalid(format!("{name} is missing in the archive")))
    }
}

/// The images that an index lists. Entries of one name are the same image for different machines.
pub fn groups(index: &Manifest) -> Vec<(Option<&str>, Vec<&Descriptor>)> {
    let mut groups: Vec<(Option<&str>, Vec<&Descriptor>)> = Vec::new();
    for descriptor in index.manifests.iter().flatten() {
        let name = manifest::name(descriptor);
        match groups.iter_mut().find(|(known, _)| *known == name) {
            // Without a name and without a platform they are different images.
            Some((_, group)) if name.is_some() || descriptor.platform.is_some() => {
                group.push(descriptor);
            }
            _ => groups.push((name, vec![descriptor])),
        }
    }
    groups
}

/// The member that the symbolic link `name` leads to, which counts from its directory.
pub fn linked(name: &str, target: &[u8]) -> String {
    let dir = name.rsplit_once('/').map_or("", |(dir, _)| dir);
    let target = components(&[dir.as_bytes(), b"/", target].concat());
    String::from_utf8_lossy(&target.join(&b'/')).into_owned()
}

/// A member's name, one way of writing it. A reader that unpacked the archive would follow `..`.
pub fn name(path: &[u8]) -> Result<String> {
    let text = std::str::from_utf8(path)
        .ok()
        .filter(|text| !text.starts_with('/') && text.split('/').all(|part| part != ".."))
        .ok_or_else(|| Error::invalid(format!("invalid name {:?} in the archive", shown(path))))?;
    let parts: Vec<&str> = text
        .split('/')
        .filter(|part| !part.is_empty() && *part != ".")
        .collect();
    Ok(parts.join("/"))
}

/// The member that a descriptor means, and how long it says that it is.
pub fn blob(descriptor: &Descriptor) -> Result<(String, Option<u64>)> {
    let digest = descriptor.digest.as_deref().unwrap_or_default();
    let digits = id::digest_hex(digest)?;
    Ok((format!("{BLOBS}{digits}"), descriptor.size))
}

pub fn check_size(name: &str, declared: Option<u64>, there: u64) -> Result<()> {
    match declared {
        Some(declared) if declared != there => Err(Error::invalid(format!(
            "{name} has {there} bytes, but {declared} are declared"
        ))),
        _ => Ok(()),
    }
}
