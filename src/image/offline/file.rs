//! A store in one file: what `images/` and `layers/` of a data root hold, in an EROFS.

use super::Part;
use crate::error::{Error, Result};
use crate::image::archive::Archive;
use crate::image::erofs::{FIRST, Node, ROOT, SECOND, Tree, Writer};
use crate::image::index::{INDEX, Index};
use crate::image::lay::Layer;
use crate::image::layer::{DIFF, RECORD, Record};
use crate::image::readonly::{FORMAT, FORMAT_NUMBER};
use crate::image::shelf::{self, Shelf};
use crate::image::source::{self, Hashed, Stream, sha256};
use crate::image::{NewImage, policy};
use crate::json;
use crate::store::staging::{self, Staging};
use crate::sys::fs::{self, ModifiedAt};
use rustix::fs::FileType;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// A name in `images` or `layers`, where it lies, what it is.
type Entry = (String, u64, FileType);

pub struct FileStore {
    /// Beside the output; all that is written before it is whole.
    staging: Staging,
    writer: Writer,
    modified: ModifiedAt,
    layers: Vec<Entry>,
}

impl FileStore {
    pub fn new(output: &Path, modified: ModifiedAt) -> Result<FileStore> {
        let staging = Staging::new(directory(output))?;
        Ok(FileStore {
            writer: Writer::new(staging.path(), modified)?,
            staging,
            modified,
            layers: Vec::new(),
        })
    }

    /// Take in the archive of a layer. Answers what it really is, and the bytes of its files.
    pub fn layer(&mut self, part: &Part, from: &mut dyn Stream) -> Result<(String, u64)> {
        let failed = |e: std::io::Error| source::failed("read archive", &e);
        let mut tree = Tree::new(self.dir());
        let root = tree.add(0, DIFF.as_bytes(), Node::directory(0o755))?;
        let mut index = Index::create(self.staging.path())?;
        let mut hashed = Hashed::new(from);
        let mut archive = Archive::new(&mut hashed);
        archive.index = Some(&mut index);
        let done = Layer::new(&mut self.writer, &mut tree, root).all(&mut archive)?;
        archive.rest().map_err(failed)?;
        let digits = hashed.finish().map_err(failed)?;
        index.mark()?;

        let record = Record {
            diff_id: Some(format!("sha256:{digits}")),
            size: Some(done.size),
            entries: Some(done.entries),
            archive: Some(index.bytes),
            ..Record::default()
        };
        let record = self.writer.file(json::to_string(&record).as_bytes())?;
        tree.add(0, RECORD.as_bytes(), record)?;
        let index = self.staging.path().join(INDEX);
        let node = self.copy(&index)?;
        tree.add(0, INDEX.as_bytes(), node)?;
        let _ = std::fs::remove_file(index);
        let place = self.writer.tree(&tree, SECOND)?;
        self.layers
            .push((part.diff.clone(), place, FileType::Directory));
        Ok((digits, done.size))
    }

    pub fn finish(mut self, output: &Path, images: &[NewImage]) -> Result<()> {
        let (records, refs) = self.records(images)?;
        let format = self.writer.file(FORMAT_NUMBER.as_bytes())?;
        let format = self.writer.tree(&Tree::new(format), ROOT)?;
        let mut hash = Sha256::new();
        for (name, _, _) in self.layers.iter().chain(&records) {
            hash.update(name);
        }
        let mut uuid = [0; 16];
        uuid.copy_from_slice(&hash.finalize()[..16]);
        // "Custom" (RFC 9562, UUID version 8).
        uuid[6] = uuid[6] & 0x0f | 0x80;
        uuid[8] = uuid[8] & 0x3f | 0x80;
        let names = ["images", "layers"];
        let children = [[records, vec![refs]].concat(), self.layers];
        let image = self
            .writer
            .finish(names, children, (FORMAT, format), uuid)?;
        let file = open(&image)?;
        fs::sync(&file, &image)?;
        fs::rename(&image, output)?;
        fs::sync_dir(directory(output))
    }

    /// The directories of the images, and the file of their names.
    fn records(&mut self, images: &[NewImage]) -> Result<(Vec<Entry>, Entry)> {
        let place = self.staging.path().join("records");
        let mut shelf = Shelf::default();
        let mut entries = Vec::new();
        for image in images {
            let digits = sha256(&image.config);
            staging::make_dir(&place)?;
            shelf::write(&place, &image.config, &image.layers, image.size)?;
            if let Some(source) = &image.source {
                shelf::write_source(&place, source)?;
            }
            policy::write(&place, image)?;
            let mut tree = Tree::new(self.dir());
            for name in staging::names(&place)? {
                let node = self.copy(&place.join(&name))?;
                tree.add(0, name.as_bytes(), node)?;
            }
            staging::discard(&place)?;
            let at = self.writer.tree(&tree, FIRST)?;
            entries.push((digits.clone(), at, FileType::Directory));
            for name in &image.names {
                shelf.refs.insert(name.full(), digits.clone());
            }
        }
        shelf.save(self.staging.path())?;
        let node = self.copy(&self.staging.path().join(shelf::REFS))?;
        let at = self.writer.tree(&Tree::new(node), FIRST)?;
        Ok((
            entries,
            (shelf::REFS.to_string(), at, FileType::RegularFile),
        ))
    }

    fn dir(&self) -> Node {
        let mut node = Node::directory(0o700);
        node.modified = self.modified;
        node
    }

    /// A file of ours.
    fn copy(&mut self, path: &Path) -> Result<Node> {
        let failed = |e| Error::io(format_args!("read {}", path.display()), &e);
        let mut file = open(path)?;
        let size = file.metadata().map_err(failed)?.len();
        let data = self.writer.reserve(size, &[])?;
        let mut buffer = vec![0; 64 << 10];
        let mut at = 0;
        loop {
            let count = file.read(&mut buffer).map_err(failed)?;
            if count == 0 {
                return Ok(self.writer.node(data));
            }
            self.writer.put(&data, at, &buffer[..count])?;
            at += count as u64;
        }
    }
}

fn open(path: &Path) -> Result<File> {
    File::open(path).map_err(|e| Error::io(format_args!("open {}", path.display()), &e))
}

fn directory(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}
