//! Unpacks a layer's archive into a directory of its own, in the form that overlayfs wants.
//!
//! The archive is not trusted. Every path is resolved by the kernel inside the layer's root, as a
//! process would that has it for its root: absolute links and `..` lead nowhere else, and are not
//! refused, because real images have them. The parent directory is opened first, and the entry is
//! made under one name in that descriptor; nothing that lies there already is ever followed.
//! Parents are looked up afresh for each entry: keeping them open for the next one is the
//! optimisation that was containerd's CVE-2025-47290.
//!
//! Where two entries meet, the later one wins, as with Docker. Whiteouts (`.wh.NAME`) become
//! character devices 0:0, opaque directories (`.wh..wh..opq`) an attribute; both speak of the layers
//! below only, never of what the same layer brings.

use crate::error::{Context, Error, Result};
use crate::image::archive::{Archive, Entry, Kind};
use crate::image::source;
use crate::store::tree;
use crate::sys::fs::{self, ModifiedAt};
use crate::sys::is;
use rustix::fs::{FileType, OFlags, Stat};
use rustix::io::Errno;
use std::collections::VecDeque;
use std::ffi::{CString, OsStr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

const WHITEOUT: &[u8] = b".wh.";
const OPAQUE: &[u8] = b".wh..wh..opq";
/// AUFS kept its own things under such names; no content.
const WHITEOUT_META: &[u8] = b".wh..wh.";

/// The kernel's own limit when it follows links (path_resolution(7)).
const LINKS_MAX: usize = 40;

/// Device numbers that the kernel has: 12 bits of major, 20 of minor.
const MAJOR_MAX: i64 = 0xfff;
const MINOR_MAX: i64 = 0xf_ffff;

const COPY_BYTES: usize = 64 << 10;

/// What a layer holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unpacked {
    pub entries: u64,
    /// Bytes of all regular files.
    pub size: u64,
}

/// Unpack all of `archive` into the directory `root`, which is new and out of others' reach.
pub fn unpack(root: &Path, archive: &mut Archive<'_>) -> Result<Unpacked> {
    let mut writer = Writer {
        root: fs::open_dir(root)?,
        buffer: vec![0; COPY_BYTES],
        done: Unpacked::default(),
    };
    while let Some(entry) = archive
        .next()
        .map_err(|e| source::failed("read archive", &e))?
    {
        writer
            .entry(&entry, archive)
            .context(|| format!("unpack {}", shown(&entry.path)))?;
        writer.done.entries += 1;
    }
    Ok(writer.done)
}

struct Writer {
    root: OwnedFd,
    buffer: Vec<u8>,
    done: Unpacked,
}

impl Writer {
    fn entry(&mut self, entry: &Entry, archive: &mut Archive<'_>) -> Result<()> {
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
        let parent = self.parent(&path)?;
        let parent = parent.as_fd();
        let modified = ModifiedAt::of(&fs::stat(parent)?);
        if name == OPAQUE {
            set_opaque(parent)?;
        } else if let Some(hidden) = name.strip_prefix(WHITEOUT) {
            whiteout(parent, hidden)?;
        } else {
            self.make(parent, as_path(&name), entry, archive)?;
        }
        fs::set_modified(parent, modified)
    }

    /// The directory `path`; what is missing of it is made. Links lead to where they would lead in a
    /// container that had only this layer.
    fn parent(&self, path: &[Vec<u8>]) -> Result<OwnedFd> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        match fs::open_inside(&self.root, &joined(path), flags) {
            Err(e) if is(&e, Errno::NOENT) => {}
            opened => return opened,
        }

        // Component by component, links by hand: a link whose target is missing has it made.
        // `real` has no links, so its last `..` is the name before.
        let mut real: Vec<Vec<u8>> = Vec::new();
        let mut pending: VecDeque<Vec<u8>> = path.iter().cloned().collect();
        let mut links = 0;
        while let Some(name) = pending.pop_front() {
            if name == b".." {
                real.pop();
                continue;
            }
            let dir = fs::open_inside(&self.root, &joined(&real), flags)?;
            let dir = dir.as_fd();
            let file = as_path(&name);
            match fs::stat_at(dir, file)? {
                None => {
                    let modified = ModifiedAt::of(&fs::stat(dir)?);
                    make_dir(dir, file)?;
                    fs::set_modified(dir, modified)?;
                    real.push(name);
                }
                Some(stat) if kind(&stat) == FileType::Symlink => {
                    links += 1;
                    if links > LINKS_MAX {
                        return Err(Error::system(
                            format_args!("open {}", shown(&name)),
                            Errno::LOOP.raw_os_error(),
                        ));
                    }
                    let target = fs::read_link_at(dir, file)?;
                    if target.starts_with(b"/") {
                        real.clear();
                    }
                    for part in parts(&target).rev() {
                        pending.push_front(part.to_vec());
                    }
                }
                // A file in the way is the kernel's to refuse, in the next round or below.
                Some(_) => real.push(name),
            }
        }
        fs::open_inside(&self.root, &joined(&real), flags)
    }

    /// Make the entry under `name` in `parent`, in place of what is there.
    fn make(
        &mut self,
        parent: BorrowedFd<'_>,
        name: &Path,
        entry: &Entry,
        archive: &mut Archive<'_>,
    ) -> Result<()> {
        let owner = owner(entry)?;
        let device = device(entry)?;
        if entry.kind == Kind::HardLink {
            return self.hard_link(parent, name, &entry.link);
        }

        let was_whiteout = clear(parent, name, entry.kind == Kind::Directory)?;
        match entry.kind {
            Kind::File => return self.file(parent, name, entry, owner, archive),
            Kind::Directory => {
                return directory(parent, name, entry, owner, was_whiteout);
            }
            Kind::Symlink => fs::symlink_at(as_path(&entry.link), parent, name)?,
            Kind::CharDevice => {
                fs::make_node_at(parent, name, FileType::CharacterDevice, 0o600, device)?;
            }
            Kind::BlockDevice => {
                fs::make_node_at(parent, name, FileType::BlockDevice, 0o600, device)?;
            }
            Kind::Fifo => fs::make_node_at(parent, name, FileType::Fifo, 0o600, (0, 0))?,
            Kind::HardLink => {}
        }
        // Opening a device or fifo would act on it, so these are named, not opened.
        fs::chown_at(parent, name, owner.0, owner.1)?;
        for (key, value) in attributes(entry)? {
            let set = fs::set_attribute_at(parent, name, &key, value);
            // user.* attributes are for files and directories only.
            tolerate(set, &[Errno::OPNOTSUPP, Errno::PERM])?;
        }
        if entry.kind != Kind::Symlink {
            fs::chmod_new_node_at(parent, name, entry.mode)?;
        }
        fs::set_modified_at(parent, name, entry.modified)
    }

    fn file(
        &mut self,
        parent: BorrowedFd<'_>,
        name: &Path,
        entry: &Entry,
        owner: (u32, u32),
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
            fs::write_at(file.as_fd(), &self.buffer[..count], offset)?;
            self.done.size += count as u64;
        }
        if entry.is_sparse {
            fs::set_length(file.as_fd(), entry.size)?;
        }
        finish(file.as_fd(), entry, owner)
    }

    /// The target is named from the layer's root. It is not followed if it is a symbolic link, and
    /// never looked for in our own current directory.
    fn hard_link(&self, parent: BorrowedFd<'_>, name: &Path, target: &[u8]) -> Result<()> {
        let mut path = components(target);
        let last = path
            .pop()
            .ok_or_else(|| Error::invalid("hard link to the root"))?;
        let flags = OFlags::PATH | OFlags::DIRECTORY;
        let link = || format!("link to {}", shown(target));
        let dir = fs::open_inside(&self.root, &joined(&path), flags).context(link)?;
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
        clear(parent, name, false)?;
        fs::link_at(dir.as_fd(), last, parent, name).context(link)
    }
}

/// Remove what is at `name`, but keep a directory for a directory. True if it was a whiteout.
fn clear(parent: BorrowedFd<'_>, name: &Path, keep_dir: bool) -> Result<bool> {
    let Some(stat) = fs::stat_at(parent, name)? else {
        return Ok(false);
    };
    if keep_dir && kind(&stat) == FileType::Directory {
        return Ok(false);
    }
    tree::remove_in(parent, &c_string(name.as_os_str().as_bytes())?)?;
    Ok(is_whiteout(&stat))
}

fn directory(
    parent: BorrowedFd<'_>,
    name: &Path,
    entry: &Entry,
    owner: (u32, u32),
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
fn finish(file: BorrowedFd<'_>, entry: &Entry, owner: (u32, u32)) -> Result<()> {
    fs::chown(file, owner.0, owner.1)?;
    for (key, value) in attributes(entry)? {
        tolerate(fs::set_attribute(file, &key, value), &[Errno::OPNOTSUPP])?;
    }
    fs::chmod(file, entry.mode)?;
    fs::set_modified(file, entry.modified)
}

/// A directory that no entry spoke of (yet).
fn make_dir(parent: BorrowedFd<'_>, name: &Path) -> Result<()> {
    fs::make_dir_at(parent, name, 0o755)?;
    let dir = fs::open_dir_at(parent, name)?;
    // Whatever our umask is; and a time that does not depend on when the layer was unpacked.
    fs::chmod(dir.as_fd(), 0o755)?;
    fs::set_modified(dir.as_fd(), ModifiedAt::default())
}

/// `hidden` of the layers below is not to be seen.
fn whiteout(parent: BorrowedFd<'_>, hidden: &[u8]) -> Result<()> {
    if matches!(hidden, b"" | b"." | b"..") {
        return Err(Error::invalid("invalid whiteout"));
    }
    let name = as_path(hidden);
    match fs::stat_at(parent, name)? {
        None => fs::make_node_at(parent, name, FileType::CharacterDevice, 0, (0, 0)),
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
    fs::set_attribute(dir, c"trusted.overlay.opaque", b"y")
}

fn is_whiteout(stat: &Stat) -> bool {
    kind(stat) == FileType::CharacterDevice && stat.st_rdev == 0
}

/// The attributes to set. Those of overlayfs itself are not for an image to say: a redirect would
/// lead out of its own directories (overlayfs.rst, "Trusted and user xattrs").
fn attributes(entry: &Entry) -> Result<Vec<(CString, &[u8])>> {
    let mut list = Vec::new();
    for (name, value) in &entry.attributes {
        if name.starts_with(b"trusted.overlay.") || name.starts_with(b"user.overlay.") {
            continue;
        }
        list.push((c_string(name)?, value.as_slice()));
    }
    Ok(list)
}

/// -1 would mean "leave it" to chown(2), and what is longer would be cut to another user.
fn owner(entry: &Entry) -> Result<(u32, u32)> {
    let checked = |id: i64| {
        u32::try_from(id)
            .ok()
            .filter(|id| *id != u32::MAX)
            .ok_or_else(|| Error::invalid(format!("user or group {id} is out of range")))
    };
    Ok((checked(entry.uid)?, checked(entry.gid)?))
}

fn device(entry: &Entry) -> Result<(u32, u32)> {
    let (major, minor) = entry.device;
    if !(0..=MAJOR_MAX).contains(&major) || !(0..=MINOR_MAX).contains(&minor) {
        return Err(Error::invalid(format!(
            "device number {major}:{minor} is out of range"
        )));
    }
    Ok((major as u32, minor as u32))
}

/// A path's parts, `.` left out and `..` worked out by the text, as Go's filepath.Clean does; a
/// path that would leave the root begins there instead.
pub fn components(path: &[u8]) -> Vec<Vec<u8>> {
    let mut clean: Vec<Vec<u8>> = Vec::new();
    for part in parts(path) {
        if part == b".." {
            clean.pop();
        } else {
            clean.push(part.to_vec());
        }
    }
    clean
}

fn parts(path: &[u8]) -> impl DoubleEndedIterator<Item = &[u8]> {
    path.split(|byte| *byte == b'/')
        .filter(|part| !part.is_empty() && *part != b".")
}

fn joined(path: &[Vec<u8>]) -> PathBuf {
    let mut joined = PathBuf::from(".");
    joined.extend(path.iter().map(|part| as_path(part)));
    joined
}

fn as_path(bytes: &[u8]) -> &Path {
    Path::new(OsStr::from_bytes(bytes))
}

fn c_string(bytes: &[u8]) -> Result<CString> {
    CString::new(bytes).map_err(|_| Error::invalid("name with a NUL in it"))
}

fn kind(stat: &Stat) -> FileType {
    FileType::from_raw_mode(stat.st_mode)
}

fn tolerate(outcome: Result<()>, errnos: &[Errno]) -> Result<()> {
    match outcome {
        Err(e) if errnos.iter().any(|errno| is(&e, *errno)) => Ok(()),
        other => other,
    }
}

/// A name out of an archive as it can go into a message: one line, not too long.
pub fn shown(path: &[u8]) -> String {
    let head = path.get(..200).unwrap_or(path);
    let mut text = String::from_utf8_lossy(head).replace(char::is_control, "?");
    if head.len() < path.len() {
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests;
