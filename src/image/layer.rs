//! Layers on disk: `layers/<digits of the diff id>/diff` is an overlay lower, `layer.json` its record,
//! and `tar.idx` what it takes to make its archive again (see `index`).
//!
//! A layer is named by its diff id (the digest of its uncompressed archive) and not by a chain id
//! over all layers below it: what we unpack speaks of its own content only, so images that share a
//! layer share its directory, whatever lies below.
//!
//! The price: a parent directory that a layer's archive leaves out is made here with mode 0755, not
//! with what it has in the layers below. Docker's overlay2 does the same, and builders write parents.

use crate::error::{Context, Error, Result};
use crate::image::archive::Archive;
use crate::image::decoder;
use crate::image::index::{INDEX, Index, SHADOW};
use crate::image::part;
use crate::image::source::{self, Hashed, Source, Stream};
use crate::image::unpack::{self, Unpacked};
use crate::json::value::json_struct;
use crate::oci::image::Descriptor;
use crate::store::record;
use crate::store::staging::{self, Staging};
use crate::sys::fs;
use crate::{id, json};
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

pub const DIFF: &str = "diff";
pub const RECORD: &str = "layer.json";

/// What an image without layers has below it.
const EMPTY: &str = "empty";

json_struct! {
    /// `layer.json`.
    #[derive(Clone, Debug, Default)]
    pub struct Record {
        pub diff_id: Option<String> = "diffID",
        /// Bytes of all regular files.
        pub size: Option<u64>,
        pub entries: Option<u64>,
        /// Bytes of the archive. Layers of older versions have none, nor an index.
        pub archive: Option<u64>,
        /// The form in which it was pulled; a registry that has it need not get it again.
        pub blob: Option<Descriptor>,
        /// The form in which it was pushed last, if that is another one.
        pub pushed: Option<Descriptor>,
    }
}

/// A layer that is unpacked and not yet part of the store. Dropped, it is gone.
#[derive(Debug)]
pub struct Staged {
    staging: Staging,
    /// Keeps others from a directory whose name they know.
    _lock: Option<OwnedFd>,
    /// Hex digits of the diff id.
    pub diff: String,
    pub size: u64,
}

/// Whether an archive must say that it ends. A digest makes sure of that as well; an import has
/// none, and would take what was cut between two files for the whole.
#[derive(Clone, Copy, PartialEq)]
pub enum End {
    Required,
    Checked,
}

/// Unpack an archive, compressed or not, beside the layers in `dir`. Reads all of `from`.
pub fn stage(dir: &Path, from: &mut Source<'_>, end: End) -> Result<Staged> {
    stage_tar(dir, &mut *decoder::open(from)?, end)
}

/// The same for an archive that is not compressed (any more).
pub fn stage_tar(dir: &Path, from: &mut dyn Stream, end: End) -> Result<Staged> {
    let staging = Staging::new(dir)?;
    let diff = diff_below(staging.path())?;

    let failed = |e: std::io::Error| source::failed("read archive", &e);
    let mut index = Index::create(staging.path())?;
    let mut hashed = Hashed::new(from);
    let mut archive = Archive::new(&mut hashed);
    archive.index = Some(&mut index);
    let unpacked = unpack::unpack(&diff, &mut archive)?;
    if end == End::Required && !archive.has_end() {
        return Err(failed(source::truncated()));
    }
    // The digest covers what follows the end of the archive, too.
    archive.rest().map_err(failed)?;
    let digits = hashed.finish().map_err(failed)?;
    index.mark()?;

    staged(staging, None, digits, unpacked, index.bytes)
}

/// A new layer's tree, in the directory of the layer.
pub fn diff_below(layer: &Path) -> Result<PathBuf> {
    let diff = layer.join(DIFF);
    make_root(&diff).map(|()| diff)
}

/// All of a layer is there: write its record.
pub fn staged(
    staging: Staging,
    lock: Option<OwnedFd>,
    digits: String,
    unpacked: Unpacked,
    archive_bytes: u64,
) -> Result<Staged> {
    let record = Record {
        diff_id: Some(format!("sha256:{digits}")),
        size: Some(unpacked.size),
        entries: Some(unpacked.entries),
        archive: Some(archive_bytes),
        blob: None,
        pushed: None,
    };
    write_record(&staging, &record)?;
    Ok(Staged {
        staging,
        _lock: lock,
        diff: digits,
        size: unpacked.size,
    })
}

fn write_record(staging: &Staging, record: &Record) -> Result<()> {
    let path = staging.path().join(RECORD);
    std::fs::write(&path, json::to_string(record))
        .map_err(|e| Error::io(format_args!("write {}", path.display()), &e))
}

impl Staged {
    #[cfg(test)]
    pub fn path(&self) -> &Path {
        self.staging.path()
    }

    /// Record in which form it has come.
    pub fn note_blob(&mut self, blob: &Descriptor) -> Result<()> {
        let mut record = load(self.staging.path())?;
        record.blob = Some(blob.clone());
        write_record(&self.staging, &record)
    }

    /// Nobody will go on with it.
    pub fn refuse(&self) -> Result<()> {
        part::forget(self.staging.path())
    }

    /// Make it part of the store, unless the store has it. The caller has synced the file system
    /// and will sync `dir`.
    pub fn keep(self, dir: &Path) -> Result<()> {
        // It is no longer under way.
        part::forget(self.staging.path())?;
        if exists(dir, &self.diff) {
            return self.complete(&dir.join(&self.diff));
        }
        self.staging.keep(&dir.join(&self.diff))
    }
}

impl Staged {
    /// The store has it from an older version, which kept no index: it gets ours.
    fn complete(&self, there: &Path) -> Result<()> {
        if there.join(INDEX).exists() {
            return Ok(());
        }
        for name in [SHADOW, RECORD, INDEX] {
            let ours = self.staging.path().join(name);
            if ours.exists() {
                fs::rename(&ours, &there.join(name))?;
            }
        }
        Ok(())
    }
}

/// Whether the store has the layer. It appears by a rename, so it is whole or not there.
pub fn exists(dir: &Path, diff: &str) -> bool {
    dir.join(diff).join(RECORD).exists()
}

/// Bytes of all its regular files, as it was unpacked.
pub fn size(dir: &Path, diff: &str) -> Option<u64> {
    read(dir, diff)?.size
}

/// Record in which form a registry has got it.
pub fn note_pushed(dir: &Path, diff: &str, blob: &Descriptor) -> Result<()> {
    let dir = dir.join(diff);
    let mut known = load(&dir)?;
    known.pushed = Some(blob.clone());
    record::replace(&dir, RECORD, json::to_string(&known).as_bytes())
}

/// What is recorded of it.
pub fn read(dir: &Path, diff: &str) -> Option<Record> {
    load(&dir.join(diff)).ok()
}

/// What is recorded in a layer's directory.
fn load(dir: &Path) -> Result<Record> {
    let bytes = record::load(dir, RECORD)?
        .ok_or_else(|| Error::not_found(format!("{RECORD} is missing")))?;
    json::parse_bytes(&bytes, RECORD)
}

/// The directory for overlayfs.
pub fn diff_dir(dir: &Path, diff: &str) -> PathBuf {
    dir.join(diff).join(DIFF)
}

/// The layer below an image that has none: overlayfs wants one.
pub fn empty(dir: &Path) -> Result<PathBuf> {
    let path = dir.join(EMPTY);
    make_root(&path).map(|()| path)
}

/// Remove the layers that `is_used` knows nothing of. Each goes by a rename, so that a power cut
/// leaves nothing that looks like a layer.
pub fn sweep(dir: &Path, is_used: &dyn Fn(&str) -> bool) -> Result<Vec<String>> {
    let mut swept = Vec::new();
    for name in staging::names(dir)? {
        if id::is_full(&name) && !is_used(&name) {
            staging::remove(&dir.join(&name)).context(|| format!("remove layer {name}"))?;
            swept.push(name);
        }
    }
    Ok(swept)
}

/// The root of a layer is the root of a container: everybody may enter.
fn make_root(path: &Path) -> Result<()> {
    let failed = |e| Error::io(format_args!("mkdir {}", path.display()), &e);
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o755)
        .create(path)
        .map_err(failed)?;
    // Whatever our umask is.
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(path, mode).map_err(failed)
}
