//! Writes an EROFS: a file system in one file that the kernel mounts and nobody can write to.
//!
//! Owners, devices and attributes are numbers in that file, so whoever makes it needs no right to
//! any of them. Content goes to the file as it comes; what is known of the files is kept until a tree
//! is complete, and written behind their content. The same calls give the same bytes.
//!
//! ```text
//! block 0   superblock, and the inodes of the root and of two directories below it
//! ...       whole blocks of content; then of one tree the directories' blocks and the inodes,
//!           each with its attributes and the last, partial block of its content ("inline")
//! ```
//!
//! The format is that of Linux 5.4: uncompressed, blocks of 4096 bytes, inodes of 64 bytes, named by
//! where they lie in units of 32 bytes (fs/erofs/erofs_fs.h; Documentation/filesystems/erofs.rst).

use crate::error::{Error, Result};
use crate::sys::fs::ModifiedAt;
use rustix::fs::FileType;
use rustix::io::Errno;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

pub const BLOCK: u64 = 4096;
const SUPER_AT: usize = 1024;
const MAGIC: u32 = 0xe0f5_e1e2;
/// EROFS_FEATURE_COMPAT_SB_CHKSUM and _MTIME.
const FEATURES: u32 = 3;

/// Inodes are named by their place in units of so many bytes.
const SLOT: u64 = 32;
const INODE: usize = 64;
/// i_format: an inode of 64 bytes, whose last partial block is in whole blocks or behind it.
const PLAIN: u16 = 1;
const INLINE: u16 = 5;
/// Where content has no block.
const NOWHERE: u32 = u32::MAX;

/// In block 0, because the superblock has only 16 bits for the root's name.
pub const ROOT: u64 = 36;
pub const FIRST: u64 = 38;
pub const SECOND: u64 = 40;

/// Longest name (EROFS_NAME_LEN), and what the kernel takes for a link's target.
const NAME_MAX: usize = 255;
const TARGET_MAX: usize = 4095;

/// Blocks that still have room for inodes.
const OPEN_MAX: usize = 8;

/// A name and a value.
pub type Attribute = (Vec<u8>, Vec<u8>);

/// A file of any kind.
#[derive(Clone, Debug)]
pub struct Node {
    /// Kind and permissions, as in `st_mode`.
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    pub modified: ModifiedAt,
    pub attributes: Vec<Attribute>,
    pub content: Content,
}

#[derive(Clone, Debug)]
pub enum Content {
    /// Of a directory or a fifo.
    None,
    Link(Vec<u8>),
    Device(u32, u32),
    Data(Data),
}

/// Where a file's content lies.
#[derive(Clone, Copy, Debug)]
pub struct Data {
    size: u64,
    block: u64,
    /// The last partial block, as long as its inode is not written: a place in the spool.
    tail: Option<u64>,
}

impl Node {
    pub fn new(kind: FileType, mode: u32, content: Content) -> Node {
        Node {
            mode: kind.as_raw_mode() | mode,
            uid: 0,
            gid: 0,
            modified: ModifiedAt::default(),
            attributes: Vec::new(),
            content,
        }
    }

    pub fn directory(mode: u32) -> Node {
        Node::new(FileType::Directory, mode, Content::None)
    }

    pub fn kind(&self) -> FileType {
        FileType::from_raw_mode(self.mode)
    }

    pub fn is_directory(&self) -> bool {
        self.kind() == FileType::Directory
    }

    /// Overlayfs's mark for a name that is not to be seen.
    pub fn is_whiteout(&self) -> bool {
        self.kind() == FileType::CharacterDevice && matches!(self.content, Content::Device(0, 0))
    }

    pub fn set_attribute(&mut self, name: &[u8], value: &[u8]) {
        self.attributes.retain(|(known, _)| known != name);
        self.attributes.push((name.to_vec(), value.to_vec()));
    }
}

/// A tree in the making. What no name leads to is not written.
pub struct Tree {
    /// The first is the root.
    pub nodes: Vec<Node>,
    /// What stands in each node, sorted by name.
    names: Vec<Vec<(Vec<u8>, usize)>>,
}

impl Tree {
    pub fn new(root: Node) -> Tree {
        Tree {
            nodes: vec![root],
            names: vec![Vec::new()],
        }
    }

    pub fn find(&self, parent: usize, name: &[u8]) -> Option<usize> {
        let names = self.names.get(parent)?;
        let at = place(names, name).ok()?;
        names.get(at).map(|(_, id)| *id)
    }

    pub fn add(&mut self, parent: usize, name: &[u8], node: Node) -> Result<usize> {
        self.nodes.push(node);
        self.names.push(Vec::new());
        let id = self.nodes.len() - 1;
        self.link(parent, name, id).map(|()| id)
    }

    /// One more name for a node that is there.
    pub fn link(&mut self, parent: usize, name: &[u8], id: usize) -> Result<()> {
        check_length(name, NAME_MAX)?;
        if let Some(names) = self.names.get_mut(parent) {
            match place(names, name) {
                Ok(at) => names[at].1 = id,
                Err(at) => names.insert(at, (name.to_vec(), id)),
            }
        }
        Ok(())
    }

    pub fn unlink(&mut self, parent: usize, name: &[u8]) {
        if let Some(names) = self.names.get_mut(parent)
            && let Ok(at) = place(names, name)
        {
            names.remove(at);
        }
    }

    fn children(&self, parent: usize) -> impl Iterator<Item = (&[u8], usize)> {
        let names = self.names.get(parent).into_iter().flatten();
        names.map(|(name, id)| (&name[..], *id))
    }
}

/// Where a name stands, or would.
fn place(names: &[(Vec<u8>, usize)], name: &[u8]) -> std::result::Result<usize, usize> {
    names.binary_search_by(|(other, _)| other[..].cmp(name))
}

fn check_length(text: &[u8], max: usize) -> Result<()> {
    match text.len() > max {
        true => Err(Error::system("name", Errno::NAMETOOLONG.raw_os_error())),
        false => Ok(()),
    }
}

/// A name in a directory: what it is called, where it lies, what it is.
type Entry<'a> = (&'a [u8], u64, FileType);

/// The file in the making.
pub struct Writer {
    path: PathBuf,
    file: File,
    /// Partial blocks that wait for their inodes.
    spool: File,
    spooled: u64,
    /// The first block that is free.
    next: u64,
    /// Blocks of inodes, and how much of each is taken.
    open: Vec<(u64, usize)>,
    inodes: u64,
    /// Of directories that nobody gave a time.
    modified: ModifiedAt,
}

impl Writer {
    /// A new file in the directory `dir`, which is the caller's to remove.
    pub fn new(dir: &Path, modified: ModifiedAt) -> Result<Writer> {
        let create = |name: &str| {
            let path = dir.join(name);
            let mut options = File::options();
            options.read(true).write(true).create_new(true);
            let file = options.open(&path);
            file.map_err(|e| Error::io(format_args!("create {}", path.display()), &e))
        };
        Ok(Writer {
            file: create("image")?,
            path: dir.join("image"),
            spool: create("spool")?,
            spooled: 0,
            next: 1,
            open: Vec::new(),
            inodes: 3,
            modified,
        })
    }

    /// Room for the content of a file with these attributes.
    pub fn reserve(&mut self, size: u64, attributes: &[Attribute]) -> Result<Data> {
        let tail = (size % BLOCK) as usize;
        let is_inline = tail > 0 && INODE + encode(attributes)?.len() + tail <= BLOCK as usize;
        let blocks = if is_inline {
            size / BLOCK
        } else {
            size.div_ceil(BLOCK)
        };
        let data = Data {
            size,
            block: self.take(blocks)?,
            tail: is_inline.then_some(self.spooled),
        };
        if is_inline {
            self.spooled += tail as u64;
        }
        Ok(data)
    }

    /// Some of the content. What is never put is zeros.
    pub fn put(&mut self, data: &Data, offset: u64, bytes: &[u8]) -> Result<()> {
        let whole = match data.tail {
            Some(_) => data.size - data.size % BLOCK,
            None => data.size,
        };
        let here = whole.saturating_sub(offset).min(bytes.len() as u64) as usize;
        let (blocks, rest) = bytes.split_at(here);
        self.write(blocks, data.block * BLOCK + offset)?;
        if let (Some(tail), false) = (data.tail, rest.is_empty()) {
            let at = tail + (offset + here as u64 - whole);
            self.spool
                .write_all_at(rest, at)
                .map_err(|e| self.failed(&e))?;
        }
        Ok(())
    }

    /// A whole file at once.
    pub fn file(&mut self, bytes: &[u8]) -> Result<Node> {
        let data = self.reserve(bytes.len() as u64, &[])?;
        self.put(&data, 0, bytes)?;
        Ok(self.node(data))
    }

    /// A file of our own.
    pub fn node(&self, data: Data) -> Node {
        let mut node = Node::new(FileType::RegularFile, 0o600, Content::Data(data));
        node.modified = self.modified;
        node
    }

    /// Write the inodes of a tree below the directory `parent`. Answers where its root lies. The
    /// content of all files that were reserved before must be there.
    pub fn tree(&mut self, tree: &Tree, parent: u64) -> Result<u64> {
        let order = self.place(tree, parent)?;
        let mut links = vec![0u32; tree.nodes.len()];
        for (_, id) in order.iter().flat_map(|(id, _)| tree.children(*id)) {
            links[id] += 1;
        }
        let mut places = vec![0; tree.nodes.len()];
        for (id, place) in &order {
            places[*id] = place.nid;
        }
        for (id, place) in &order {
            let node = &tree.nodes[*id];
            let content = match node.kind() {
                FileType::Directory => {
                    let above = places.get(place.parent).copied().unwrap_or(parent);
                    links[*id] = 2 + subdirectories(tree, *id);
                    directory(&entries(tree, *id, (place.nid, above), &|id| places[id]))
                }
                _ => Vec::new(),
            };
            let links = links[*id].max(1);
            self.inode(node, place, links, &content)?;
        }
        self.spooled = 0;
        self.spool.set_len(0).map_err(|e| self.failed(&e))?;
        Ok(places[0])
    }

    /// Decide where everything lies: a directory's files beside each other.
    fn place(&mut self, tree: &Tree, parent: u64) -> Result<Vec<(usize, Place)>> {
        let mut order: Vec<(usize, Place)> = Vec::new();
        let mut is_known = vec![false; tree.nodes.len()];
        is_known[0] = true;
        order.push((0, self.place_one(tree, 0, usize::MAX, parent)?));
        let mut at = 0;
        while at < order.len() {
            let dir = order[at].0;
            for (_, id) in tree.children(dir) {
                if !std::mem::replace(&mut is_known[id], true) {
                    order.push((id, self.place_one(tree, id, dir, parent)?));
                }
            }
            at += 1;
        }
        Ok(order)
    }

    fn place_one(&mut self, tree: &Tree, id: usize, parent: usize, above: u64) -> Result<Place> {
        let node = &tree.nodes[id];
        let size = match &node.content {
            Content::Data(data) => data.size,
            Content::Link(target) => {
                check_length(target, TARGET_MAX)?;
                target.len() as u64
            }
            _ if node.is_directory() => {
                directory(&entries(tree, id, (above, above), &|_| 0)).len() as u64
            }
            _ => 0,
        };
        let head = INODE + encode(&node.attributes)?.len();
        let tail = (size % BLOCK) as usize;
        let mut place = Place {
            parent,
            nid: 0,
            size,
            block: 0,
            is_inline: tail > 0 && head + tail <= BLOCK as usize,
        };
        match &node.content {
            Content::Data(data) => {
                place.block = data.block;
                place.is_inline = data.tail.is_some();
            }
            _ if place.is_inline => place.block = self.take(size / BLOCK)?,
            _ => place.block = self.take(size.div_ceil(BLOCK))?,
        }
        let bytes = head + if place.is_inline { tail } else { 0 };
        place.nid = self.room(bytes)? / SLOT;
        Ok(place)
    }

    /// `content` is a directory's.
    fn inode(&mut self, node: &Node, place: &Place, links: u32, content: &[u8]) -> Result<()> {
        self.inodes += 1;
        let attributes = encode(&node.attributes)?;
        let blocks = match place.is_inline {
            true => place.size / BLOCK,
            false => place.size.div_ceil(BLOCK),
        };
        let target = match &node.content {
            Content::Device(major, minor) => (minor & 0xff) | major << 8 | (minor & !0xff) << 12,
            _ if blocks == 0 => NOWHERE,
            _ => place.block as u32,
        };
        let mut bytes = Vec::with_capacity(INODE);
        let layout = if place.is_inline { INLINE } else { PLAIN };
        bytes.extend(layout.to_le_bytes());
        // Its head counts for one word.
        let words = attributes.len().saturating_sub(8) / 4;
        bytes.extend((words as u16).to_le_bytes());
        bytes.extend((node.mode as u16).to_le_bytes());
        bytes.extend([0; 2]);
        bytes.extend(place.size.to_le_bytes());
        bytes.extend(target.to_le_bytes());
        bytes.extend((self.inodes as u32).to_le_bytes());
        bytes.extend(node.uid.to_le_bytes());
        bytes.extend(node.gid.to_le_bytes());
        bytes.extend(node.modified.seconds.to_le_bytes());
        bytes.extend(node.modified.nanos.to_le_bytes());
        bytes.extend(links.to_le_bytes());
        bytes.resize(INODE, 0);
        bytes.extend(attributes);

        let content = match &node.content {
            Content::Link(target) => target,
            _ => content,
        };
        let whole = (blocks * BLOCK).min(content.len() as u64) as usize;
        let (whole, tail) = content.split_at(whole);
        self.write(whole, place.block * BLOCK)?;
        bytes.extend(tail);
        if let Content::Data(Data {
            tail: Some(at),
            size,
            ..
        }) = node.content
        {
            let mut tail = vec![0; (size % BLOCK) as usize];
            // A hole at its end was never written.
            let mut filled = 0;
            while filled < tail.len() {
                let read = self.spool.read_at(&mut tail[filled..], at + filled as u64);
                match read.map_err(|e| self.failed(&e))? {
                    0 => break,
                    count => filled += count,
                }
            }
            bytes.extend(tail);
        }
        self.write(&bytes, place.nid * SLOT)
    }

    /// The root, with two directories called `names` and a file `format`; and what is in them.
    /// Answers the file, which the caller makes durable.
    pub fn finish(
        mut self,
        names: [&str; 2],
        children: [Vec<(String, u64, FileType)>; 2],
        format: (&str, u64),
        uuid: [u8; 16],
    ) -> Result<PathBuf> {
        let nids = [FIRST, SECOND];
        let mut root: Vec<Entry<'_>> = vec![(format.0.as_bytes(), format.1, FileType::RegularFile)];
        for ((name, nid), children) in names.iter().zip(nids).zip(&children) {
            root.push((name.as_bytes(), nid, FileType::Directory));
            let entries = children.iter();
            let entries = entries.map(|(name, nid, kind)| (name.as_bytes(), *nid, *kind));
            self.fixed(nid, 0o700, entries.collect())?;
        }
        self.fixed(ROOT, 0o755, root)?;
        self.superblock(uuid)?;
        self.file
            .set_len(self.next * BLOCK)
            .map_err(|e| self.failed(&e))?;
        Ok(self.path)
    }

    /// A directory in block 0, below the root.
    fn fixed(&mut self, nid: u64, mode: u32, mut entries: Vec<Entry<'_>>) -> Result<()> {
        let is_directory = |(_, _, kind): &&Entry<'_>| *kind == FileType::Directory;
        let links = 2 + entries.iter().filter(is_directory).count() as u32;
        entries.push((b".", nid, FileType::Directory));
        entries.push((b"..", ROOT, FileType::Directory));
        let mut sorted = Vec::new();
        entries
            .into_iter()
            .for_each(|entry| sort_in(&mut sorted, entry));
        let content = directory(&sorted);
        let size = content.len() as u64;
        let place = Place {
            parent: 0,
            nid,
            size,
            block: self.take(size.div_ceil(BLOCK))?,
            is_inline: false,
        };
        let mut node = Node::directory(mode);
        node.modified = self.modified;
        self.inodes -= 1;
        self.inode(&node, &place, links, &content)
    }

    fn superblock(&mut self, uuid: [u8; 16]) -> Result<()> {
        // What was written of block 0 counts for the checksum.
        let mut block = vec![0; BLOCK as usize];
        let read = self.file.read_exact_at(&mut block, 0);
        read.map_err(|e| self.failed(&e))?;
        let mut put = |at: usize, bytes: &[u8]| {
            block[SUPER_AT + at..SUPER_AT + at + bytes.len()].copy_from_slice(bytes);
        };
        put(0, &MAGIC.to_le_bytes());
        put(8, &FEATURES.to_le_bytes());
        put(12, &[BLOCK.trailing_zeros() as u8, 0]);
        put(14, &(ROOT as u16).to_le_bytes());
        put(16, &self.inodes.to_le_bytes());
        put(24, &self.modified.seconds.to_le_bytes());
        put(32, &self.modified.nanos.to_le_bytes());
        put(36, &(self.next as u32).to_le_bytes());
        put(48, &uuid);
        let sum = crc32c(&block[SUPER_AT..]);
        block[SUPER_AT + 4..SUPER_AT + 8].copy_from_slice(&sum.to_le_bytes());
        self.write(&block, 0)
    }

    fn take(&mut self, blocks: u64) -> Result<u64> {
        let block = self.next;
        self.next = block.saturating_add(blocks);
        if self.next >= u64::from(NOWHERE) {
            return Err(Error::invalid("larger than an EROFS can be (16 TiB)"));
        }
        Ok(block)
    }

    /// Room for an inode, with all that belongs to it in one block if it fits into one at all.
    fn room(&mut self, bytes: usize) -> Result<u64> {
        if bytes > BLOCK as usize {
            return Ok(self.take((bytes as u64).div_ceil(BLOCK))? * BLOCK);
        }
        let fits = |(_, taken): &&mut (u64, usize)| *taken + bytes <= BLOCK as usize;
        let fullest = self.open.iter_mut().filter(fits).max_by_key(|open| open.1);
        if let Some((block, taken)) = fullest {
            let at = *block * BLOCK + *taken as u64;
            *taken = (*taken + bytes).next_multiple_of(SLOT as usize);
            return Ok(at);
        }
        if self.open.len() == OPEN_MAX {
            let fullest = (0..OPEN_MAX).max_by_key(|n| self.open[*n].1).unwrap_or(0);
            self.open.remove(fullest);
        }
        let block = self.take(1)?;
        let taken = bytes.next_multiple_of(SLOT as usize);
        self.open.push((block, taken));
        Ok(block * BLOCK)
    }

    fn write(&self, bytes: &[u8], at: u64) -> Result<()> {
        let written = self.file.write_all_at(bytes, at);
        written.map_err(|e| self.failed(&e))
    }

    fn failed(&self, error: &std::io::Error) -> Error {
        Error::io(format_args!("write {}", self.path.display()), error)
    }
}

/// Where an inode lies, and its content.
struct Place {
    /// The directory that it was found in first.
    parent: usize,
    nid: u64,
    size: u64,
    block: u64,
    is_inline: bool,
}

fn subdirectories(tree: &Tree, id: usize) -> u32 {
    let is_directory = |(_, id): &(&[u8], usize)| tree.nodes[*id].is_directory();
    tree.children(id).filter(is_directory).count() as u32
}

/// What a directory lists, sorted: itself and the one above (their places), and its children.
fn entries<'a>(
    tree: &'a Tree,
    id: usize,
    (own, above): (u64, u64),
    nid: &dyn Fn(usize) -> u64,
) -> Vec<Entry<'a>> {
    let children = tree.children(id);
    let mut entries: Vec<Entry<'a>> = children
        .map(|(name, id)| (name, nid(id), tree.nodes[id].kind()))
        .collect();
    sort_in(&mut entries, (b".", own, FileType::Directory));
    sort_in(&mut entries, (b"..", above, FileType::Directory));
    entries
}

fn sort_in<'a>(entries: &mut Vec<Entry<'a>>, entry: Entry<'a>) {
    let at = entries.partition_point(|known| known.0 < entry.0);
    entries.insert(at, entry);
}

/// A directory's blocks: in each first the entries, of 12 bytes, and then their names.
fn directory(entries: &[Entry<'_>]) -> Vec<u8> {
    const ENTRY: usize = 12;
    let mut content = Vec::new();
    let mut rest = entries;
    while !rest.is_empty() {
        let mut bytes = 0;
        let fits = |(name, _, _): &&Entry<'_>| {
            bytes += ENTRY + name.len();
            bytes <= BLOCK as usize
        };
        let (now, later) = rest.split_at(rest.iter().take_while(fits).count());
        let mut name_at = ENTRY * now.len();
        for (name, nid, kind) in now {
            content.extend(nid.to_le_bytes());
            content.extend((name_at as u16).to_le_bytes());
            content.extend([kind_number(*kind), 0]);
            name_at += name.len();
        }
        now.iter().for_each(|(name, _, _)| content.extend(*name));
        rest = later;
        if !rest.is_empty() {
            content.resize(content.len().next_multiple_of(BLOCK as usize), 0);
        }
    }
    content
}

/// EROFS_FT_…
fn kind_number(kind: FileType) -> u8 {
    match kind {
        FileType::Directory => 2,
        FileType::CharacterDevice => 3,
        FileType::BlockDevice => 4,
        FileType::Fifo => 5,
        FileType::Symlink => 7,
        _ => 1,
    }
}

/// Attributes as they stand behind an inode; nothing for none. Those whose kind the format does not
/// know are left out, as a file system refuses them.
fn encode(attributes: &[Attribute]) -> Result<Vec<u8>> {
    const HEAD: usize = 12;
    const KINDS: [(&[u8], u8); 5] = [
        (b"user.", 1),
        (b"system.posix_acl_access", 2),
        (b"system.posix_acl_default", 3),
        (b"trusted.", 4),
        (b"security.", 6),
    ];
    let mut bytes = vec![0; HEAD];
    for (name, value) in attributes {
        let kind = KINDS.iter().find(|(prefix, _)| name.starts_with(prefix));
        let Some((prefix, kind)) = kind else {
            continue;
        };
        let name = &name[prefix.len()..];
        check_length(name, NAME_MAX)?;
        let Ok(length) = u16::try_from(value.len()) else {
            return Err(Error::system("attribute", Errno::TOOBIG.raw_os_error()));
        };
        bytes.extend([name.len() as u8, *kind]);
        bytes.extend(length.to_le_bytes());
        bytes.extend(name);
        bytes.extend(value);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
    }
    match bytes.len() {
        HEAD => Ok(Vec::new()),
        length if length > 4 * usize::from(u16::MAX) => {
            Err(Error::system("attributes", Errno::TOOBIG.raw_os_error()))
        }
        _ => Ok(bytes),
    }
}

/// CRC-32C as the kernel's crc32c(~0, …), which inverts nothing at the end.
fn crc32c(bytes: &[u8]) -> u32 {
    bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ (0x82f6_3b78 & (crc & 1).wrapping_neg())
        })
    })
}
