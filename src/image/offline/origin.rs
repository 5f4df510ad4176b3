//! What images are made from: archives, OCI layouts, registries.

use super::{Found, Part};
use crate::error::{Context, Error, Result};
use crate::id;
use crate::image::archive::{self, Archive};
use crate::image::decoder;
use crate::image::inside::shown;
use crate::image::load::{
    BLOBS, DOCUMENT_BYTES_MAX, INDEX_DEPTH_MAX, LAYERS_MAX, MEMORY_BYTES_MAX, blob, check_size,
    groups, linked, name,
};
use crate::image::manifest::{self, Saved};
use crate::image::policy::proof::{self, Proof};
use crate::image::pull::{self, Pull};
use crate::image::reference::Reference;
use crate::image::source::{self, Format, Input, SNIFF_BYTES, Source, Stream, sha256};
use crate::json;
use crate::json::map::Map;
use crate::oci::image::{Descriptor, Image, Manifest, Platform};
use crate::registry::Repository;
use std::cell::Cell;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

pub enum Origin {
    Archive(Members),
    /// The directory of an OCI layout.
    Layout(PathBuf),
    Registry(Repository, Reference),
}

/// What an archive holds, by name.
pub struct Members {
    path: PathBuf,
    by_name: Map<Member>,
}

enum Member {
    Document(Vec<u8>),
    /// Where it lies in the archive (when that is decompressed), and its length.
    Data {
        at: u64,
        bytes: u64,
    },
    Link(String),
}

/// Who takes a layer.
pub type Take<'a> = &'a mut dyn FnMut(&Part, &mut dyn Stream) -> Result<()>;

impl Origin {
    /// The file or directory at `path`.
    pub fn of(path: &Path) -> Result<Origin> {
        let about = std::fs::metadata(path).map_err(|e| failed_at(path, &e))?;
        if about.is_dir() {
            return Ok(Origin::Layout(path.to_path_buf()));
        }
        if !about.is_file() {
            return Err(Error::invalid(format!(
                "{} can't be read twice: write it to a file first",
                path.display()
            )));
        }
        Members::read(path)
            .map(Origin::Archive)
            .context(|| path.display())
    }

    pub(super) fn images(&self, platform: &Platform) -> Result<Vec<Found>> {
        if let Origin::Registry(repository, reference) = self {
            return of_registry(repository, reference, platform);
        }
        let mut proof = match self.find(proof::FILE)? {
            Some(bytes) => json::parse_bytes(&bytes, proof::FILE)?,
            None => Proof::default(),
        };
        let mut images = match (self.find("index.json")?, self.find("manifest.json")?) {
            (Some(bytes), _) => {
                let mut index = manifest::parse(&bytes, "index.json")?;
                let document =
                    |descriptor: &Descriptor| self.document(&blob(descriptor).ok()?.0).ok();
                proof.add(&Proof::of_layout(&mut index, &document));
                self.listed(&index, platform)?
            }
            (None, Some(bytes)) => self.saved(&bytes)?,
            (None, None) => {
                return Err(Error::invalid(
                    "it holds no image: there is neither manifest.json nor index.json in it",
                ));
            }
        };
        for image in &mut images {
            image.proof.add(&proof);
        }
        Ok(images)
    }

    /// What `docker save` wrote.
    fn saved(&self, bytes: &[u8]) -> Result<Vec<Found>> {
        let list: Vec<Saved> = json::parse_bytes(bytes, "manifest.json")?;
        let images = list.into_iter().map(|saved| {
            let config = self.document(&saved.config.unwrap_or_default())?;
            let layers = saved.layers.unwrap_or_default().into_iter();
            let layers = layers.map(|name| (name, None)).collect();
            let names = saved.repo_tags.unwrap_or_default();
            found(config, layers, &names, None)
        });
        images.collect()
    }

    fn listed(&self, index: &Manifest, platform: &Platform) -> Result<Vec<Found>> {
        let images = groups(index).into_iter().map(|(name, group)| {
            let descriptor = manifest::choose_for(&group, platform)?;
            self.listed_image(descriptor, name, platform, 0)
        });
        images.collect()
    }

    fn listed_image(
        &self,
        descriptor: &Descriptor,
        name: Option<&str>,
        platform: &Platform,
        depth: u32,
    ) -> Result<Found> {
        let (member, bytes) = blob(descriptor)?;
        let content = self.document(&member)?;
        check_size(&member, bytes, content.len() as u64)?;
        let document = manifest::parse(&content, &member)?;
        if let Some(inner) = &document.manifests {
            if depth == INDEX_DEPTH_MAX {
                return Err(Error::invalid("indexes are nested too deep"));
            }
            let candidates: Vec<&Descriptor> = inner.iter().collect();
            let chosen = manifest::choose_for(&candidates, platform)?;
            return self.listed_image(chosen, name, platform, depth + 1);
        }
        let (config, bytes) = blob(&document.config.unwrap_or_default())?;
        let config_bytes = self.document(&config)?;
        check_size(&config, bytes, config_bytes.len() as u64)?;
        let layers = document.layers.iter().flatten().map(blob);
        let names: Vec<String> = name.map(str::to_string).into_iter().collect();
        found(
            config_bytes,
            layers.collect::<Result<_>>()?,
            &names,
            Some(content),
        )
    }

    fn document(&self, name: &str) -> Result<Vec<u8>> {
        let missing = || Error::invalid(format!("{name} is missing"));
        self.find(name)?.ok_or_else(missing)
    }

    /// A document; one that is named by its digest is what that says.
    fn find(&self, text: &str) -> Result<Option<Vec<u8>>> {
        let name = name(text.as_bytes())?;
        let bytes = match self {
            Origin::Archive(members) => match members.find(&name) {
                Some(Member::Document(bytes)) => bytes.clone(),
                Some(_) => return Err(Error::invalid(format!("{text} is no JSON document"))),
                None => return Ok(None),
            },
            Origin::Layout(dir) => match read_file(&dir.join(&name))? {
                Some(bytes) => bytes,
                None => return Ok(None),
            },
            Origin::Registry(..) => return Ok(None),
        };
        if let Some(digits) = name.strip_prefix(BLOBS)
            && sha256(&bytes) != digits
        {
            return Err(Error::invalid(format!(
                "{name}: the content does not match the digest"
            )));
        }
        Ok(Some(bytes))
    }

    /// Read the layers `wanted`, in the order that suits the source.
    pub(super) fn read(&self, wanted: &mut [&Part], take: Take<'_>) -> Result<()> {
        match self {
            Origin::Archive(members) => members.layers(wanted, take),
            Origin::Layout(dir) => wanted.iter().try_for_each(|part| {
                let path = dir.join(name(part.name.as_bytes())?);
                let file = File::open(&path).map_err(|e| failed_at(&path, &e))?;
                check_size(&part.name, part.size, length(&file, &path)?)?;
                take_from(part, file, take)
            }),
            Origin::Registry(repository, _) => wanted.iter().try_for_each(|part| {
                let blob = repository.blob(&part.name, part.size.unwrap_or(0), 0)?;
                take_from(part, blob, take)
            }),
        }
    }
}

fn take_from(part: &Part, mut from: impl Read, take: Take<'_>) -> Result<()> {
    let from: &mut dyn Read = &mut from;
    take(part, &mut Input(from))
}

/// What a configuration and the names of its layers come to.
fn found(
    config: Vec<u8>,
    layers: Vec<(String, Option<u64>)>,
    names: &[String],
    source: Option<Vec<u8>>,
) -> Result<Found> {
    let image: Image = json::parse_bytes(&config, "image configuration")?;
    let diff_ids = image.rootfs.and_then(|rootfs| rootfs.diff_ids);
    let diff_ids = diff_ids.unwrap_or_default();
    if diff_ids.len() != layers.len() || layers.len() > LAYERS_MAX {
        return Err(Error::invalid(format!(
            "invalid manifest, layers length mismatch: expected {}, got {}",
            diff_ids.len(),
            layers.len()
        )));
    }
    let mut parts = Vec::new();
    for (diff_id, (name, size)) in diff_ids.iter().zip(layers) {
        parts.push(Part {
            digest: name.strip_prefix(BLOBS).map(str::to_string),
            diff: id::digest_hex(diff_id)?.to_string(),
            name,
            size,
        });
    }
    let names = names.iter().map(|text| {
        let name = Reference::parse(text).context(|| format!("image name {text:?}"))?;
        Ok(name.with_default_tag())
    });
    Ok(Found {
        names: names.collect::<Result<_>>()?,
        config,
        source,
        parts,
        proof: Proof::default(),
    })
}

fn of_registry(
    repository: &Repository,
    reference: &Reference,
    platform: &Platform,
) -> Result<Vec<Found>> {
    let remote = pull::resolve(&Pull {
        repository,
        reference,
        platform: Some(platform),
        downloads_max: 1,
        deltas: false,
    })?;
    let mut parts = Vec::new();
    for layer in remote.layers {
        let digest = layer.blob.digest.unwrap_or_default();
        parts.push(Part {
            digest: Some(id::digest_hex(&digest)?.to_string()),
            name: digest,
            diff: layer.diff,
            size: layer.blob.size,
        });
    }
    Ok(vec![Found {
        names: remote.names,
        config: remote.config,
        source: Some(remote.source),
        parts,
        proof: remote.proof,
    }])
}

impl Members {
    /// Look through the archive once: documents are kept, of the rest is kept where it lies.
    fn read(path: &Path) -> Result<Members> {
        let mut members = Members {
            path: path.to_path_buf(),
            by_name: Map::new(),
        };
        let mut memory = 0;
        let mut work = |from: &mut dyn Stream| {
            let bytes = Cell::new(0);
            let mut counted = Counted {
                from,
                bytes: &bytes,
            };
            let mut archive = Archive::new(&mut counted);
            let failed = |e: io::Error| source::failed("read archive", &e);
            while let Some(entry) = archive.next().map_err(failed)? {
                let text = name(&entry.path).context(|| shown(&entry.path))?;
                let member = member(&entry, &text, bytes.get(), &mut archive)?;
                memory += text.len() + 128;
                if let Some(Member::Document(bytes)) = &member {
                    memory += bytes.len();
                }
                if memory > MEMORY_BYTES_MAX {
                    return Err(Error::invalid("too many documents for one archive"));
                }
                let Some(member) = member else { continue };
                if members.by_name.contains_key(&text) {
                    return Err(Error::invalid(format!("{text} is twice in the archive")));
                }
                members.by_name.insert(text, member);
            }
            Ok(())
        };
        decompressed(path, &mut work)?;
        Ok(members)
    }

    fn find(&self, name: &str) -> Option<&Member> {
        let mut at = name;
        for _ in 0..8 {
            match self.by_name.get(at)? {
                Member::Link(target) => at = target,
                member => return Some(member),
            }
        }
        None
    }

    /// In the order in which they lie there, so that the archive is decompressed once.
    fn layers(&self, wanted: &mut [&Part], take: Take<'_>) -> Result<()> {
        let mut places: Vec<(u64, u64, &Part)> = Vec::new();
        for part in wanted {
            match self.find(&name(part.name.as_bytes())?) {
                Some(Member::Data { at, bytes }) => {
                    check_size(&part.name, part.size, *bytes)?;
                    places.push((*at, *bytes, part));
                }
                Some(_) => return Err(Error::invalid(format!("{} is no layer", part.name))),
                None => return Err(Error::invalid(format!("{} is missing", part.name))),
            }
        }
        if places.is_empty() {
            return Ok(());
        }
        let mut work = |from: &mut dyn Stream| {
            let mut end = 0;
            // So few that sorting them is not worth its code.
            while let Some(next) = (0..places.len()).min_by_key(|n| places[*n].0) {
                let (at, bytes, part) = places.swap_remove(next);
                Window::new(from, at - end).drain()?;
                let mut window = Window::new(from, bytes);
                take(part, &mut window)?;
                window.drain()?;
                end = at + bytes;
            }
            Ok(())
        };
        decompressed(&self.path, &mut work)
    }
}

/// What is kept of an entry, whose data begins `at` and is the next that `from` gives.
fn member(
    entry: &archive::Entry,
    text: &str,
    at: u64,
    from: &mut Archive<'_>,
) -> Result<Option<Member>> {
    let bytes = entry.size;
    match entry.kind {
        archive::Kind::HardLink => return Ok(Some(Member::Link(name(&entry.link)?))),
        archive::Kind::Symlink => return Ok(Some(Member::Link(linked(text, &entry.link)))),
        archive::Kind::File if !entry.is_sparse => {}
        _ => return Ok(None),
    }
    let mut window = Window::new(from, bytes);
    let mut head = vec![0; SNIFF_BYTES.min(usize::try_from(bytes).unwrap_or(SNIFF_BYTES))];
    window.fill(&mut head)?;
    if source::sniff(&head) == Format::Json && bytes <= DOCUMENT_BYTES_MAX {
        let start = head.len();
        head.resize(bytes as usize, 0);
        window.fill(&mut head[start..])?;
        return Ok(Some(Member::Document(head)));
    }
    Ok(Some(Member::Data { at, bytes }))
}

/// Do `work` with the content of a file, from the start; decompressed where that is needed.
fn decompressed(path: &Path, work: &mut dyn FnMut(&mut dyn Stream) -> Result<()>) -> Result<()> {
    let mut file = File::open(path).map_err(|e| failed_at(path, &e))?;
    let mut input = Input(&mut file);
    let mut source = Source::new(&mut input);
    work(&mut *decoder::open(&mut source)?)
}

/// Tells how far it is.
struct Counted<'a> {
    from: &'a mut dyn Stream,
    bytes: &'a Cell<u64>,
}

impl Stream for Counted<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.from.read(into)?;
        self.bytes.set(self.bytes.get() + count as u64);
        Ok(count)
    }
}

/// So many of the next bytes.
struct Window<'a> {
    from: &'a mut dyn Stream,
    left: u64,
}

impl<'a> Window<'a> {
    fn new(from: &'a mut dyn Stream, left: u64) -> Window<'a> {
        Window { from, left }
    }

    fn fill(&mut self, mut into: &mut [u8]) -> Result<()> {
        while !into.is_empty() {
            match self.read(into) {
                Ok(0) => return Err(source::failed("read archive", &source::truncated())),
                Ok(count) => into = &mut into[count..],
                Err(e) => return Err(source::failed("read archive", &e)),
            }
        }
        Ok(())
    }

    fn drain(&mut self) -> Result<()> {
        let mut buffer = vec![0; 16 << 10];
        while self.left > 0 {
            let count = self.left.min(buffer.len() as u64) as usize;
            self.fill(&mut buffer[..count])?;
        }
        Ok(())
    }
}

impl Stream for Window<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.left.min(into.len() as u64) as usize;
        let count = self.from.read(&mut into[..count])?;
        self.left -= count as u64;
        Ok(count)
    }
}

fn read_file(path: &Path) -> Result<Option<Vec<u8>>> {
    let file = match File::open(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened.map_err(|e| failed_at(path, &e))?,
    };
    let mut bytes = Vec::new();
    let read = file.take(DOCUMENT_BYTES_MAX + 1).read_to_end(&mut bytes);
    read.map_err(|e| failed_at(path, &e))?;
    match bytes.len() as u64 > DOCUMENT_BYTES_MAX {
        true => Err(Error::invalid(format!(
            "{} is larger than 4 MiB",
            path.display()
        ))),
        false => Ok(Some(bytes)),
    }
}

fn length(file: &File, path: &Path) -> Result<u64> {
    let about = file.metadata().map_err(|e| failed_at(path, &e))?;
    Ok(about.len())
}

fn failed_at(path: &Path, error: &io::Error) -> Error {
    Error::io(format_args!("read {}", path.display()), error)
}
