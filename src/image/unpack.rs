//! Unpacks an archive into a directory: a layer into one of its own, in the form that overlayfs
//! wants; what `cp` brings into a container's tree, or into the user's directory.
//!
//! The archive is not trusted. Every path is resolved by the kernel inside the root, as a
//! process would that has it for its root: absolute links and `..` lead nowhere else, and are not
//! refused, because real images have them. The parent directory is opened first, and the entry is
//! made under one name in that descriptor; nothing that lies there already is ever followed.
//! Parents are looked up afresh for each entry: keeping them open for the next one is the
//! optimisation that was containerd's CVE-2025-47290.
//!
//! The tree need not be trusted either: a running container may change it meanwhile, and what was
//! made a moment ago may be a link now. So all that is done to a new entry goes to a descriptor.
//!
//! Where two entries meet, the later one wins, as with Docker. In a layer, whiteouts (`.wh.NAME`)
//! become character devices 0:0, opaque directories (`.wh..wh..opq`) an attribute; both speak of the
//! layers below only, never of what the same layer brings.

use crate::error::{Context, Error, Result};
use crate::image::archive::{Archive, Entry, Kind};
use crate::image::decoder;
use crate::image::inside::{self, as_path, c_string, components, is_whiteout, kind, shown};
use crate::image::room::{ENTRY_BYTES, Room};
use crate::image::source::{self, Format, Input, SNIFF_BYTES, Source, Stream};
use crate::image::window::Window;
use crate::store::tree;
use crate::sys::fs::{self, ModifiedAt};
use crate::sys::is;
use rustix::fs::{FileType, OFlags};
use rustix::io::Errno;
use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

pub(super) const WHITEOUT: &[u8] = b".wh.";
pub(super) const OPAQUE: &[u8] = b".wh..wh..opq";
/// AUFS kept its own things under such names; no content.
pub(super) const WHITEOUT_META: &[u8] = b".wh..wh.";

/// Device numbers that the kernel has: 12 bits of major, 20 of minor.
const MAJOR_MAX: i64 = 0xfff;
const MINOR_MAX: i64 = 0xf_ffff;

pub(super) const COPY_BYTES: usize = 64 << 10;

/// What a layer holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unpacked {
    pub entries: u64,
    /// Bytes of all regular files.
    pub size: u64,
}

/// Unpack all of `archive`, a layer, into the directory `root`, which is new and out of others'
/// reach.
pub fn unpack(root: &Path, archive: &mut Archive<'_>) -> Result<Unpacked> {
    Writer::new(fs::open_dir(root)?, None).all(archive)
}

/// Who keeps account of a layer under way (see `part`).
pub trait Watch {
    /// `done` is whole, and `archive` stands before the next entry.
    fn between(&mut self, archive: &mut Archive<'_>, done: Unpacked) -> Result<()>;
    /// An entry begins. `above`: the time that its directory has; the answer is the one it had before
    /// anybody began with this entry.
    fn begin(&mut self, number: u64, above: ModifiedAt) -> Result<ModifiedAt>;
    /// Whether entry `number` may be there already.
    fn is_seen(&self, number: u64) -> bool;
    /// What an earlier entry has brought is about to go.
    fn replacing(&mut self) -> Result<()>;
}

/// Unpack the rest of a layer, of which `done` was unpacked before.
pub fn go_on(
    root: &Path,
    archive: &mut Archive<'_>,
    done: Unpacked,
    watch: &mut dyn Watch,
) -> Result<Unpacked> {
    let mut writer = Writer::new(fs::open_dir(root)?, None);
    writer.done = done;
    writer.watch = Some(watch);
    writer.all(archive)
}

/// The same over the layers below it, which are in `root` already: what it hides is removed.
pub fn merge(root: &Path, archive: &mut Archive<'_>) -> Result<Unpacked> {
    let mut writer = Writer::new(fs::open_dir(root)?, None);
    writer.is_merging = true;
    writer.all(archive)
}

/// How `copy` lays an archive over a tree.
pub struct Copy<'a> {
    /// Where in the tree the archive's names begin; without links.
    pub base: Vec<Vec<u8>>,
    /// What messages call that place.
    pub name: String,
    pub owner: Owner,
    /// A directory stays a directory and a file a file (`noOverwriteDirNonDir`).
    pub keep_kinds: bool,
    /// What the names in the archive begin with, and what they are to begin with. `.` and `/` stand
    /// for nothing.
    pub rename: Option<(Vec<u8>, Vec<u8>)>,
    /// Asked before each entry and each piece of a file.
    pub may_go_on: &'a dyn Fn() -> Result<()>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// As the archive says.
    Archive,
    /// The user who unpacks.
    Caller,
    User(u32, u32),
}

/// Unpack an archive, compressed or not, into the tree below `root`. No program decompresses it, so
/// it does not matter which ones the tree has.
pub fn copy_any(root: OwnedFd, how: &Copy<'_>, from: &mut dyn std::io::Read) -> Result<Unpacked> {
    let mut input = Input(from);
    let mut source = Source::new(&mut input);
    let head = source
        .peek(1)
        .map_err(|e| source::failed("read archive", &e))?;
    if head.is_empty() {
        return Ok(Unpacked::default());
    }
    copy(root, how, &mut *decoder::open(&mut source)?)
}

/// Whether a stream that begins so is an archive, compressed or not, by whatever means.
pub fn may_be_archive(head: &[u8]) -> bool {
    matches!(
        source::sniff(head),
        Format::Tar | Format::Gzip | Format::Zstd | Format::Foreign(_)
    )
}

/// Whether it is an archive that `copy_any` unpacks. An error for a compression that we do not read.
pub fn is_archive(from: &mut dyn std::io::Read) -> Result<bool> {
    let mut input = Input(from);
    let mut source = Source::new(&mut input);
    let head = source
        .peek(SNIFF_BYTES)
        .map_err(|e| source::failed("read file", &e))?;
    let format = source::sniff(head);
    if matches!(
        format,
        Format::Json | Format::Delta | Format::Empty | Format::Unknown
    ) {
        return Ok(false);
    }
    // Compressed, it may be anything.
    let mut plain = decoder::stream(format, &mut source)?;
    let mut plain = Source::new(&mut *plain);
    let head = plain.peek(SNIFF_BYTES);
    Ok(head.is_ok_and(|head| source::sniff(head) == Format::Tar))
}

fn copy(root: OwnedFd, how: &Copy<'_>, from: &mut dyn Stream) -> Result<Unpacked> {
    let unpacked = Writer::new(root, Some(how)).all(&mut Archive::new(from))?;
    // A client that is still sending when the answer comes would see a broken connection.
    let mut rest = vec![0; 16 << 10];
    loop {
        match from.read(&mut rest) {
            Ok(0) => return Ok(unpacked),
            Ok(_) => {}
            Err(e) => return Err(source::failed("read archive", &e)),
        }
    }
}

struct Writer<'a> {
    root: OwnedFd,
    /// None: a layer.
    how: Option<&'a Copy<'a>>,
    /// The layers below are here, too.
    is_merging: bool,
    watch: Option<&'a mut dyn Watch>,
    buffer: Vec<u8>,
    done: Unpacked,
    room: Room,
    window: Window,
}

impl<'a> Writer<'a> {
    fn new(root: OwnedFd, how: Option<&'a Copy<'a>>) -> Writer<'a> {
        Writer {
            root,
            how,
            is_merging: false,
            watch: None,
            buffer: vec![0; COPY_BYTES],
            done: Unpacked::default(),
            room: Room::new(),
            window: Window::default(),
        }
    }

    fn all(mut self, archive: &mut Archive<'_>) -> Result<Unpacked> {
        while let Some(entry) = archive
            .next()
            .map_err(|e| source::failed("read archive", &e))?
        {
            let outcome = match self.how {
                None => self.layer_entry(&entry, archive),
                Some(how) => self.copied_entry(how, &entry, archive),
            };
            outcome.context(|| format!("unpack {}", shown(&entry.path)))?;
            self.done.entries += 1;
            if let Some(watch) = &mut self.watch {
                let skipped = archive.skip_rest();
                skipped.map_err(|e| source::failed("read archive", &e))?;
                watch.between(archive, self.done)?;
            }
        }
        Ok(self.done)
    }

    fn layer_entry(&mut self, entry: &Entry, archive: &mut Archive<'_>) -> Result<()> {
        self.room.take(self.root.as_fd(), ENTRY_BYTES)?;
        let mut path = components(&entry.path);
        // The root itself belongs to whoever mounts the layer.
        let Some(name) = path.pop() else {
            return Ok(());
        };
        let is_meta = |part: &Vec<u8>| part.starts_with(WHITEOUT_META);
        if path.iter().any(is_meta) || is_meta(&name) && name != OPAQUE {
            return Ok(());
        }

        // What comes and goes in a directory changes its time, which may have been set already.
        // Putting it back each time spares us a list of all directories until the end.
        let (parent, mut place) = self.parent(&path)?;
        let parent = parent.as_fd();
        let mut modified = ModifiedAt::of(&fs::stat(parent)?);
        if let Some(watch) = &mut self.watch {
            modified = watch.begin(self.done.entries, modified)?;
        }
        if name == OPAQUE && self.is_merging {
            for name in fs::sorted_names(parent)? {
                tree::remove_in(parent, &name)?;
            }
        } else if name == OPAQUE {
            set_opaque(parent)?;
        } else if let Some(hidden) = name.strip_prefix(WHITEOUT).filter(|_| self.is_merging) {
            tree::remove_in(parent, &c_string(hidden)?)?;
        } else if let Some(hidden) = name.strip_prefix(WHITEOUT) {
            whiteout(parent, hidden)?;
        } else {
            place.push(name.clone());
            let place = place.join(&b'/');
            self.make(parent, as_path(&name), &place, entry, archive)?;
        }
        fs::set_modified(parent, modified)
    }

    fn copied_entry(
        &mut self,
        how: &Copy<'_>,
        entry: &Entry,
        archive: &mut Archive<'_>,
    ) -> Result<()> {
        (how.may_go_on)()?;
        let mut path = how.place(&entry.path);
        let Some(last) = path.pop().filter(|_| path.len() >= how.base.len()) else {
            return Ok(());
        };
        let (parent, _) = self.parent(&path)?;
        let parent = parent.as_fd();
        let name = as_path(&last);
        if how.keep_kinds {
            let names = [&path[how.base.len()..], std::slice::from_ref(&last)].concat();
            how.check_kind(parent, name, entry, &names)?;
        }
        let above = ModifiedAt::of(&fs::stat(parent)?);
        self.make(parent, name, b"", entry, archive)?;
        // Of directories that the archive has brought, the time is the archive's.
        match path.len() > how.base.len() {
            true => fs::set_modified(parent, above),
            false => Ok(()),
        }
    }

    /// A directory that no entry spoke of (yet). In a layer its time must not depend on when it
    /// was unpacked.
    fn implied(&self, parent: BorrowedFd<'_>, name: &Path) -> Result<()> {
        if self.how.is_some() {
            return make_dir(parent, name).map(drop);
        }
        let before = ModifiedAt::of(&fs::stat(parent)?);
        let dir = make_dir(parent, name)?;
        fs::set_modified(dir.as_fd(), ModifiedAt::default())?;
        fs::set_modified(parent, before)
    }

    /// The directory `path`, and its path without links; what is missing of it is made. Links lead
    /// to where they would lead in a container that had only this layer; a link whose target is
    /// missing has it made.
    fn parent(&self, path: &[Vec<u8>]) -> Result<(OwnedFd, Vec<Vec<u8>>)> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        if let Ok(dir) = fs::open_without_links(&self.root, &inside::joined(path), flags) {
            return Ok((dir, path.to_vec()));
        }
        let make = |parent: BorrowedFd<'_>, name: &Path| self.implied(parent, name);
        let real = inside::real(&self.root, path, Some(&make))?;
        inside::open_dir(&self.root, &real).map(|dir| (dir, real))
    }

    /// Make the entry under `name` in `parent`, in place of what is there. `place` is its path in the
    /// tree, without links.
    fn make(
        &mut self,
        parent: BorrowedFd<'_>,
        name: &Path,
        place: &[u8],
        entry: &Entry,
        archive: &mut Archive<'_>,
    ) -> Result<()> {
        let owner = self.owner(entry)?;
        let device = device(entry)?;
        if entry.kind == Kind::HardLink {
            return self.hard_link(parent, name, place, &entry.link, archive);
        }

        let keep_dir = entry.kind == Kind::Directory;
        let was_whiteout = self.clear(parent, name, keep_dir, place, archive)?;
        let node = |kind, device| fs::make_node_at(parent, name, kind, 0o600, device);
        let made = match entry.kind {
            Kind::File => {
                if let Some(index) = &mut archive.index {
                    index
                        .keep(Some(place))
                        .map_err(|e| Error::io("index", &e))?;
                }
                return self.file(parent, name, entry, owner, archive);
            }
            Kind::Directory => {
                return directory(
                    parent,
                    name,
                    entry,
                    owner,
                    was_whiteout && self.how.is_none(),
                );
            }
            Kind::Symlink | Kind::HardLink => {
                fs::symlink_at(as_path(&entry.link), parent, name)?;
                FileType::Symlink
            }
            Kind::CharDevice => {
                node(FileType::CharacterDevice, device)?;
                FileType::CharacterDevice
            }
            Kind::BlockDevice => {
                node(FileType::BlockDevice, device)?;
                FileType::BlockDevice
            }
            Kind::Fifo => {
                node(FileType::Fifo, (0, 0))?;
                FileType::Fifo
            }
        };
        finish_unopened(parent, name, entry, owner, made)
    }

    /// Remove what is at `name`, but keep a directory for a directory. True if it was a whiteout.
    /// What has data is moved aside, where the archive is to be made again.
    fn clear(
        &mut self,
        parent: BorrowedFd<'_>,
        name: &Path,
        keep_dir: bool,
        place: &[u8],
        archive: &mut Archive<'_>,
    ) -> Result<bool> {
        let Some(stat) = fs::stat_at(parent, name)? else {
            return Ok(false);
        };
        if keep_dir && kind(&stat) == FileType::Directory {
            return Ok(false);
        }
        let number = self.done.entries;
        let is_made_again = self.watch.as_ref().is_some_and(|w| w.is_seen(number));
        if !is_made_again {
            if let Some(watch) = &mut self.watch {
                watch.replacing()?;
            }
            let has_data = matches!(kind(&stat), FileType::RegularFile | FileType::Directory);
            if let Some(index) = archive.index.as_mut().filter(|_| has_data) {
                index.set_aside(parent, name, place)?;
                return Ok(false);
            }
        }
        tree::remove_in(parent, &c_string(name.as_os_str().as_encoded_bytes())?)?;
        Ok(is_whiteout(&stat))
    }

    fn file(
        &mut self,
        parent: BorrowedFd<'_>,
        name: &Path,
        entry: &Entry,
        owner: Option<(u32, u32)>,
        archive: &mut Archive<'_>,
    ) -> Result<()> {
        let file = fs::create_at(parent, name, 0o600)?;
        loop {
            let (offset, count) = archive
                .read_piece(&mut self.buffer)
                .map_err(|e| source::failed("read archive", &e))?;
            if count == 0 {
                break;
            }
            match self.how {
                Some(how) => (how.may_go_on)()?,
                None => self.room.take(self.root.as_fd(), count as u64)?,
            }
            fs::write_at(file.as_fd(), &self.buffer[..count], offset)?;
            if self.how.is_none() {
                Window::grow(file.as_fd(), offset + count as u64, count as u64);
            }
            self.done.size += count as u64;
        }
        if let Some(index) = &mut archive.index {
            index.keep(None).map_err(|e| Error::io("index", &e))?;
        }
        if entry.is_sparse {
            fs::set_length(file.as_fd(), entry.size)?;
        }
        finish(file.as_fd(), entry, owner)?;
        if self.how.is_none() {
            self.window.add(file, entry.size);
        }
        Ok(())
    }

    /// The target is named from the layer's root. It is not followed if it is a symbolic link, and
    /// never looked for in our own current directory.
    fn hard_link(
        &mut self,
        parent: BorrowedFd<'_>,
        name: &Path,
        place: &[u8],
        target: &[u8],
        archive: &mut Archive<'_>,
    ) -> Result<()> {
        let mut path = match self.how {
            Some(how) => how.place(target),
            None => components(target),
        };
        let last = path
            .pop()
            .ok_or_else(|| Error::invalid("hard link to the root"))?;
        let flags = OFlags::PATH | OFlags::DIRECTORY;
        let link = || format!("link to {}", shown(target));
        let dir = fs::open_inside(&self.root, &inside::joined(&path), flags).context(link)?;
        let last = as_path(&last);
        let there = fs::stat_at(dir.as_fd(), last)?;
        let here = fs::stat_at(parent, name)?;
        if let (Some(there), Some(here)) = (&there, &here)
            && fs::is_same(there, here)
        {
            return Ok(());
        }
        if there.is_none() {
            let errno = Errno::NOENT.raw_os_error();
            return Err(Error::system(link(), errno));
        }
        self.clear(parent, name, false, place, archive)?;
        fs::link_at(dir.as_fd(), last, parent, name).context(link)
    }

    /// None: it stays as it is.
    fn owner(&self, entry: &Entry) -> Result<Option<(u32, u32)>> {
        match self.how.map_or(Owner::Archive, |how| how.owner) {
            Owner::Archive => Ok(Some((user(entry.uid)?, user(entry.gid)?))),
            Owner::Caller => Ok(None),
            Owner::User(uid, gid) => Ok(Some((uid, gid))),
        }
    }
}

impl Copy<'_> {
    /// Where a name of the archive lies in the tree.
    fn place(&self, path: &[u8]) -> Vec<Vec<u8>> {
        let mut names = components(path);
        if let Some((old, new)) = &self.rename {
            match names.first() {
                Some(first) if first == old => names[0].clone_from(new),
                _ if matches!(&old[..], b"." | b"/") => names.insert(0, new.clone()),
                _ => {}
            }
        }
        [&self.base[..], &names].concat()
    }

    /// Docker's words. `names` lead from the base to the entry.
    fn check_kind(
        &self,
        parent: BorrowedFd<'_>,
        name: &Path,
        entry: &Entry,
        names: &[Vec<u8>],
    ) -> Result<()> {
        let Some(there) = fs::stat_at(parent, name)? else {
            return Ok(());
        };
        let place = &self.name;
        let path = format!(
            "{}/{}",
            place.trim_end_matches('/'),
            shown(&names.join(&b'/'))
        );
        let sentence = match (kind(&there) == FileType::Directory, entry.kind) {
            (true, Kind::Directory) => return Ok(()),
            (true, _) => {
                format!("cannot overwrite directory \"{path}\" with non-directory \"{place}\"")
            }
            (false, Kind::Directory) => {
                format!("cannot overwrite non-directory \"{path}\" with directory \"{place}\"")
            }
            (false, _) => return Ok(()),
        };
        Err(Error::invalid(sentence))
    }
}

fn directory(
    parent: BorrowedFd<'_>,
    name: &Path,
    entry: &Entry,
    owner: Option<(u32, u32)>,
    was_whiteout: bool,
) -> Result<()> {
    tolerate(fs::make_dir_at(parent, name, 0o700), &[Errno::EXIST])?;
    let dir = fs::open_dir_at(parent, name)?;
    // The whiteout said that nothing of the layers below is to be seen here; the directory alone
    // would not say so.
    if was_whiteout {
        set_opaque(dir.as_fd())?;
    }
    finish(dir.as_fd(), entry, owner)
}

/// Owner, attributes, mode, time, in this order: chown(2) takes away setuid and file capabilities,
/// and all of them change what comes after.
fn finish(file: BorrowedFd<'_>, entry: &Entry, owner: Option<(u32, u32)>) -> Result<()> {
    if let Some((uid, gid)) = owner {
        fs::chown(file, uid, gid)?;
    }
    for (key, value) in attributes(entry)? {
        // What a user may not set is left out; only root has an owner to give.
        let unprivileged = owner.is_none().then_some(Errno::PERM);
        let set = fs::set_attribute(file, &key, value);
        tolerate(
            set,
            &[Errno::OPNOTSUPP, unprivileged.unwrap_or(Errno::OPNOTSUPP)],
        )?;
    }
    fs::chmod(file, entry.mode)?;
    fs::set_modified(file, entry.modified)
}

/// The same for a link, a device or a fifo, which cannot be opened without acting on it. If it is
/// no longer what we made, somebody else answers for what is there now.
fn finish_unopened(
    parent: BorrowedFd<'_>,
    name: &Path,
    entry: &Entry,
    owner: Option<(u32, u32)>,
    made: FileType,
) -> Result<()> {
    let Some(named) = fs::name_at(parent, &c_string(name.as_os_str().as_encoded_bytes())?)? else {
        return Ok(());
    };
    let named = named.as_fd();
    if kind(&fs::stat(named)?) != made {
        return Ok(());
    }
    if let Some((uid, gid)) = owner {
        fs::chown_named(named, uid, gid)?;
    }
    for (key, value) in attributes(entry)? {
        // user.* attributes are for files and directories only.
        let set = fs::set_attribute_named(named, &key, value);
        tolerate(set, &[Errno::OPNOTSUPP, Errno::PERM])?;
    }
    if made != FileType::Symlink {
        fs::chmod_named(named, entry.mode)?;
    }
    fs::set_modified_named(named, entry.modified)
}

fn make_dir(parent: BorrowedFd<'_>, name: &Path) -> Result<OwnedFd> {
    fs::make_dir_at(parent, name, 0o755)?;
    let dir = fs::open_dir_at(parent, name)?;
    // Whatever our umask is.
    fs::chmod(dir.as_fd(), 0o755)?;
    Ok(dir)
}

/// `hidden` of the layers below is not to be seen.
fn whiteout(parent: BorrowedFd<'_>, hidden: &[u8]) -> Result<()> {
    if matches!(hidden, b"" | b"." | b"..") {
        return Err(Error::invalid("invalid whiteout"));
    }
    let name = as_path(hidden);
    match fs::stat_at(parent, name)? {
        None => match fs::make_node_at(parent, name, FileType::CharacterDevice, 0, (0, 0)) {
            // An overlay has no such node: then containers have none on top of it either.
            Err(e) if is(&e, Errno::PERM) => mark(parent, &[WHITEOUT, hidden].concat()),
            made => made,
        },
        // This layer has its own: a directory must not let the one below shine through; anything
        // else covers it anyway.
        Some(stat) if kind(&stat) == FileType::Directory => {
            let dir = fs::open_dir_at(parent, name)?;
            let modified = ModifiedAt::of(&stat);
            set_opaque(dir.as_fd())?;
            fs::set_modified(dir.as_fd(), modified)
        }
        Some(_) => Ok(()),
    }
}

fn set_opaque(dir: BorrowedFd<'_>) -> Result<()> {
    match fs::set_attribute(dir, c"trusted.overlay.opaque", b"y") {
        Err(e) if is(&e, Errno::PERM) || is(&e, Errno::OPNOTSUPP) => mark(dir, OPAQUE),
        set => set,
    }
}

/// The archive's own mark, as a file. Only containers that get a copy come to such a file system,
/// and what copies reads the mark again.
fn mark(parent: BorrowedFd<'_>, name: &[u8]) -> Result<()> {
    fs::create_at(parent, as_path(name), 0o600).map(drop)
}

/// The attributes to set. Those of overlayfs itself are not for an image to say: a redirect would
/// lead out of its own directories (overlayfs.rst, "Trusted and user xattrs").
pub(super) fn attributes(entry: &Entry) -> Result<Vec<(CString, &[u8])>> {
    let mut list = Vec::new();
    for (name, value) in &entry.attributes {
        if name.starts_with(b"trusted.overlay.") || name.starts_with(b"user.overlay.") {
            continue;
        }
        list.push((c_string(name)?, value.as_slice()));
    }
    Ok(list)
}

/// -1 would mean to chown(2) that it stays, and what is longer would be cut to another user.
pub(super) fn user(id: i64) -> Result<u32> {
    u32::try_from(id)
        .ok()
        .filter(|id| *id != u32::MAX)
        .ok_or_else(|| Error::invalid(format!("user or group {id} is out of range")))
}

pub(super) fn device(entry: &Entry) -> Result<(u32, u32)> {
    let (major, minor) = entry.device;
    if !(0..=MAJOR_MAX).contains(&major) || !(0..=MINOR_MAX).contains(&minor) {
        return Err(Error::invalid(format!(
            "device number {major}:{minor} is out of range"
        )));
    }
    Ok((major as u32, minor as u32))
}

fn tolerate(outcome: Result<()>, errnos: &[Errno]) -> Result<()> {
    match outcome {
        Err(e) if errnos.iter().any(|errno| is(&e, *errno)) => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod hostile;
#[cfg(test)]
mod tests;
