//! Lays out a layer's archive as a tree of an EROFS (`erofs`), by the rules of `unpack`.
//!
//! The two differ in what they make and in nothing else: there the kernel keeps the tree and finds
//! the way through links, here we do, in memory. Tests compare what both make of one archive.

use crate::error::{Context, Error, Result};
use crate::image::archive::{Archive, Entry, Kind};
use crate::image::erofs::{Content, Node, Tree, Writer};
use crate::image::index::SHADOW;
use crate::image::inside::{LINKS_MAX, components, parts, shown};
use crate::image::source;
use crate::image::unpack::{
    COPY_BYTES, OPAQUE, Unpacked, WHITEOUT, WHITEOUT_META, attributes, device, user,
};
use rustix::fs::FileType;
use rustix::io::Errno;
use std::collections::VecDeque;

pub struct Layer<'a> {
    pub writer: &'a mut Writer,
    pub tree: &'a mut Tree,
    /// The layer's root in that tree. What is replaced goes to `shadow` beside it.
    pub root: usize,
    shadows: u32,
    done: Unpacked,
}

fn failed(errno: Errno, what: &str) -> Error {
    Error::system(what, errno.raw_os_error())
}

fn set_opaque(node: &mut Node) {
    node.set_attribute(b"trusted.overlay.opaque", b"y");
}

impl Layer<'_> {
    pub fn new<'a>(writer: &'a mut Writer, tree: &'a mut Tree, root: usize) -> Layer<'a> {
        Layer {
            writer,
            tree,
            root,
            shadows: 0,
            done: Unpacked::default(),
        }
    }

    pub fn all(mut self, archive: &mut Archive<'_>) -> Result<Unpacked> {
        let mut buffer = vec![0; COPY_BYTES];
        while let Some(entry) = archive
            .next()
            .map_err(|e| source::failed("read archive", &e))?
        {
            self.entry(&entry, archive, &mut buffer)
                .context(|| format!("unpack {}", shown(&entry.path)))?;
            self.done.entries += 1;
        }
        Ok(self.done)
    }

    fn entry(&mut self, entry: &Entry, archive: &mut Archive<'_>, buffer: &mut [u8]) -> Result<()> {
        let mut path = components(&entry.path);
        let Some(name) = path.pop() else {
            return Ok(());
        };
        let is_meta = |part: &Vec<u8>| part.starts_with(WHITEOUT_META);
        if path.iter().any(is_meta) || is_meta(&name) && name != OPAQUE {
            return Ok(());
        }
        let mut place = self.real(&path, true)?;
        let parent = self.at(&place)?;
        if name == OPAQUE {
            set_opaque(&mut self.tree.nodes[parent]);
            Ok(())
        } else if let Some(hidden) = name.strip_prefix(WHITEOUT) {
            self.whiteout(parent, hidden)
        } else {
            place.push(name);
            self.make(parent, &place, entry, archive, buffer)
        }
    }

    /// Make the entry at `place`, a path without links that ends in `parent`'s new name.
    fn make(
        &mut self,
        parent: usize,
        place: &[Vec<u8>],
        entry: &Entry,
        archive: &mut Archive<'_>,
        buffer: &mut [u8],
    ) -> Result<()> {
        let owner = (user(entry.uid)?, user(entry.gid)?);
        let (major, minor) = device(entry)?;
        let name = &place[place.len() - 1];
        if entry.kind == Kind::HardLink {
            return self.hard_link(parent, place, &entry.link, archive);
        }
        let is_directory = entry.kind == Kind::Directory;
        let was_whiteout = self.clear(parent, place, is_directory, archive)?;
        let attributes = attributes(entry)?.into_iter();
        let mut attributes: Vec<_> = attributes
            .map(|(name, value)| (name.into_bytes(), value.to_vec()))
            .collect();
        if !matches!(entry.kind, Kind::File | Kind::Directory) {
            // The kernel has none on others.
            attributes.retain(|(name, _)| !name.starts_with(b"user."));
        }
        let (kind, content) = match entry.kind {
            Kind::File => {
                let place = place.join(&b'/');
                let data = self.writer.reserve(entry.size, &attributes)?;
                let index = |e: std::io::Error| Error::io("index", &e);
                if let Some(index_of) = &mut archive.index {
                    index_of.keep(Some(&place)).map_err(index)?;
                }
                loop {
                    let (offset, count) = archive
                        .read_piece(buffer)
                        .map_err(|e| source::failed("read archive", &e))?;
                    if count == 0 {
                        break;
                    }
                    self.writer.put(&data, offset, &buffer[..count])?;
                    self.done.size += count as u64;
                }
                if let Some(index_of) = &mut archive.index {
                    index_of.keep(None).map_err(index)?;
                }
                (FileType::RegularFile, Content::Data(data))
            }
            Kind::Directory => (FileType::Directory, Content::None),
            // The kernel has no such link, and `unpack` is told so by it.
            Kind::Symlink if entry.link.is_empty() => {
                return Err(Error::system("symlink", Errno::NOENT.raw_os_error()));
            }
            Kind::Symlink | Kind::HardLink => {
                (FileType::Symlink, Content::Link(entry.link.clone()))
            }
            Kind::CharDevice => (FileType::CharacterDevice, Content::Device(major, minor)),
            Kind::BlockDevice => (FileType::BlockDevice, Content::Device(major, minor)),
            Kind::Fifo => (FileType::Fifo, Content::None),
        };
        let mode = match kind {
            FileType::Symlink => 0o777,
            _ => entry.mode,
        };
        let mut node = Node::new(kind, mode, content);
        (node.uid, node.gid) = owner;
        node.modified = entry.modified;
        // A directory that is there stays, with what is in it.
        let id = match self.tree.find(parent, name) {
            Some(id) => {
                node.attributes = std::mem::take(&mut self.tree.nodes[id].attributes);
                self.tree.nodes[id] = node;
                id
            }
            None => self.tree.add(parent, name, node)?,
        };
        let node = &mut self.tree.nodes[id];
        if was_whiteout && is_directory {
            set_opaque(node);
        }
        for (name, value) in &attributes {
            node.set_attribute(name, value);
        }
        Ok(())
    }

    fn hard_link(
        &mut self,
        parent: usize,
        place: &[Vec<u8>],
        target: &[u8],
        archive: &mut Archive<'_>,
    ) -> Result<()> {
        let mut path = components(target);
        let last = path
            .pop()
            .ok_or_else(|| Error::invalid("hard link to the root"))?;
        let link = || format!("link to {}", shown(target));
        let dir = self.real(&path, false).and_then(|real| self.at(&real));
        let there = self.tree.find(dir.context(link)?, &last);
        let there = there.ok_or_else(|| failed(Errno::NOENT, &link()))?;
        let name = &place[place.len() - 1];
        if self.tree.find(parent, name) == Some(there) {
            return Ok(());
        }
        if self.tree.nodes[there].is_directory() {
            return Err(failed(Errno::PERM, &link()));
        }
        self.clear(parent, place, false, archive)?;
        self.tree.link(parent, name, there)
    }

    /// As `unpack::clear`.
    fn clear(
        &mut self,
        parent: usize,
        place: &[Vec<u8>],
        keep_dir: bool,
        archive: &mut Archive<'_>,
    ) -> Result<bool> {
        let name = &place[place.len() - 1];
        let Some(id) = self.tree.find(parent, name) else {
            return Ok(false);
        };
        let node = &self.tree.nodes[id];
        if keep_dir && node.is_directory() {
            return Ok(false);
        }
        let was_whiteout = node.is_whiteout();
        let has_data = matches!(node.kind(), FileType::RegularFile | FileType::Directory);
        self.tree.unlink(parent, name);
        if let Some(index) = archive.index.as_mut().filter(|_| has_data) {
            let shadow = match self.tree.find(0, SHADOW.as_bytes()) {
                Some(shadow) => shadow,
                None => self
                    .tree
                    .add(0, SHADOW.as_bytes(), Node::directory(0o700))?,
            };
            let number = self.shadows.to_string();
            self.tree.link(shadow, number.as_bytes(), id)?;
            self.shadows += 1;
            index.moved(&place.join(&b'/'))?;
        }
        Ok(was_whiteout)
    }

    fn whiteout(&mut self, parent: usize, hidden: &[u8]) -> Result<()> {
        if matches!(hidden, b"" | b"." | b"..") {
            return Err(Error::invalid("invalid whiteout"));
        }
        match self.tree.find(parent, hidden) {
            None => {
                let node = Node::new(FileType::CharacterDevice, 0, Content::Device(0, 0));
                self.tree.add(parent, hidden, node).map(drop)
            }
            Some(id) => {
                let node = &mut self.tree.nodes[id];
                if node.is_directory() {
                    set_opaque(node);
                }
                Ok(())
            }
        }
    }

    /// `path` without links, for who has the layer's root for its own. What is missing is made.
    fn real(&mut self, path: &[Vec<u8>], is_made: bool) -> Result<Vec<Vec<u8>>> {
        let mut real: Vec<Vec<u8>> = Vec::new();
        let mut pending: VecDeque<Vec<u8>> = path.iter().cloned().collect();
        let mut links = 0;
        while let Some(name) = pending.pop_front() {
            if name == b".." {
                real.pop();
                continue;
            }
            let dir = self.at(&real)?;
            let found = self.tree.find(dir, &name);
            let link = found.and_then(|id| match &self.tree.nodes[id].content {
                Content::Link(target) => Some(target.clone()),
                _ => None,
            });
            if let Some(target) = link {
                links += 1;
                if links > LINKS_MAX {
                    return Err(failed(Errno::LOOP, &format!("open {}", shown(&name))));
                }
                if target.starts_with(b"/") {
                    real.clear();
                }
                for part in parts(&target).rev() {
                    pending.push_front(part.to_vec());
                }
                continue;
            }
            if found.is_none() {
                if !is_made {
                    return Err(failed(Errno::NOENT, &format!("open {}", shown(&name))));
                }
                self.tree.add(dir, &name, Node::directory(0o755))?;
            }
            real.push(name);
        }
        Ok(real)
    }

    /// The directory at a path without links.
    fn at(&self, path: &[Vec<u8>]) -> Result<usize> {
        let mut at = self.root;
        for name in path {
            let open = || format!("open {}", shown(&path.join(&b'/')));
            let found = self.tree.find(at, name);
            at = found.ok_or_else(|| failed(Errno::NOENT, &open()))?;
            if !self.tree.nodes[at].is_directory() {
                return Err(failed(Errno::NOTDIR, &open()));
            }
        }
        Ok(at)
    }
}

#[cfg(test)]
pub mod tests;
