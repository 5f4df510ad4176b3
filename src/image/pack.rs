//! Makes a tar archive of a tree while it is read.
//!
//! The tree belongs to a container that may change it at any moment. Each step goes from the
//! descriptor of a directory to one name in it, which is never followed if it is a link and never
//! opened if it is a device; what is read is what was looked at. Names are sorted, so that one tree
//! gives one archive. Memory does not depend on the sizes of files nor on how deep the tree is.

use crate::error::{Error, Result};
use crate::image::archive::{Entry, Kind, padding};
use crate::image::head;
use crate::image::inside::{is_whiteout, kind, shown};
use crate::sys::fs::{self, ModifiedAt};
use rustix::fs::{FileType, OFlags, Stat};
use std::ffi::{CStr, CString};
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};

/// Directories open at once. The way back to those above is `..`, checked.
const OPEN_MAX: usize = 32;

/// What overlayfs says of a directory that hides what lies below it.
const OPAQUE: &CStr = c"trusted.overlay.opaque";

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// What is there.
    Tree,
    /// A directory of overlayfs's as the layer of an image: its whiteouts as `.wh.` names.
    Layer,
}

/// Says whether to leave out what is at a path.
pub type LeaveOut<'a> = &'a dyn Fn(&[u8], &OwnedFd) -> Result<bool>;

/// Changes what is told of each entry.
pub type Edit<'a> = &'a dyn Fn(&mut Entry);

/// An archive in the making; reading makes it.
pub struct Packer<'a> {
    form: Form,
    /// What to leave out, with all that is below it.
    leave_out: LeaveOut<'a>,
    edit: Edit<'a>,
    stack: Vec<Frame>,
    /// Bytes that are made, and how many of them are taken.
    made: Vec<u8>,
    taken: usize,
    /// The file that is being read, and how much of it the archive has promised.
    file: Option<OwnedFd>,
    promised: u64,
    padding: u64,
    /// Where files with several names came first.
    seen: Vec<((u64, u64), Vec<u8>)>,
    is_ended: bool,
}

struct Frame {
    /// None: closed, because too many are below.
    dir: Option<OwnedFd>,
    identity: (u64, u64),
    /// With a slash at its end; empty for the top.
    path: Vec<u8>,
    names: std::vec::IntoIter<CString>,
}

impl<'a> Packer<'a> {
    /// What `top` (O_PATH) is, called `name`, with everything below. Without a name: all that is in
    /// the directory `top`, but not itself.
    pub fn new(top: OwnedFd, name: &[u8], form: Form) -> Result<Packer<'a>> {
        Packer::edited(top, name, form, &|_| {})
    }

    /// The same with changes to what is told of each.
    pub fn edited(top: OwnedFd, name: &[u8], form: Form, edit: Edit<'a>) -> Result<Packer<'a>> {
        let mut packer = Packer {
            form,
            leave_out: &|_, _| Ok(false),
            edit,
            stack: Vec::new(),
            made: Vec::new(),
            taken: 0,
            file: None,
            promised: 0,
            padding: 0,
            seen: Vec::new(),
            is_ended: false,
        };
        match name.is_empty() {
            true => packer.enter(&top, Vec::new())?,
            false => packer.entry(top, name.to_vec())?,
        }
        Ok(packer)
    }

    pub fn leave_out(mut self, leave_out: LeaveOut<'a>) -> Packer<'a> {
        self.leave_out = leave_out;
        self
    }

    /// Begin with marks for what is not to be seen of the layers below.
    pub fn hide<'p>(mut self, paths: impl Iterator<Item = &'p [u8]>) -> Packer<'a> {
        for path in paths {
            self.made.extend(head::head(&mark(hidden(path))));
        }
        self
    }

    /// Make the next entry, or the end.
    fn step(&mut self) -> Result<()> {
        let Some(frame) = self.stack.last_mut() else {
            self.made.extend(head::END);
            self.is_ended = true;
            return Ok(());
        };
        let Some(name) = frame.names.next() else {
            return self.leave();
        };
        let path = [&frame.path, name.as_bytes()].concat();
        let Some(dir) = &frame.dir else {
            return Ok(());
        };
        // None: it has gone since its directory was read.
        match fs::name_at(dir.as_fd(), &name)? {
            Some(named) => self.entry(named, path),
            None => Ok(()),
        }
    }

    fn entry(&mut self, named: OwnedFd, mut path: Vec<u8>) -> Result<()> {
        let stat = fs::stat(named.as_fd())?;
        if (self.leave_out)(&path, &named)? {
            return Ok(());
        }
        if self.form == Form::Layer && is_whiteout(&stat) {
            self.made.extend(head::head(&mark(hidden(&path))));
            return Ok(());
        }
        let Some(kind) = entry_kind(&stat) else {
            return Ok(());
        };
        let mut entry = described(&stat, kind);
        let identity = (stat.st_dev, stat.st_ino);
        if kind == Kind::File && stat.st_nlink > 1 {
            match self.seen.binary_search_by(|(seen, _)| seen.cmp(&identity)) {
                Ok(at) => {
                    entry.kind = Kind::HardLink;
                    entry.link.clone_from(&self.seen[at].1);
                    entry.size = 0;
                    entry.path = path;
                    self.made.extend(head::head(&entry));
                    return Ok(());
                }
                Err(at) => self.seen.insert(at, (identity, path.clone())),
            }
        }

        let attributes = fs::attributes(named.as_fd())?;
        let is_opaque = attributes
            .iter()
            .any(|(name, value)| name.as_c_str() == OPAQUE && value == b"y");
        let told = attributes.into_iter().filter(|(name, _)| is_told(name));
        entry.attributes = told
            .map(|(name, value)| (name.into_bytes(), value))
            .collect();
        match kind {
            Kind::Symlink => entry.link = fs::read_link(named.as_fd())?,
            Kind::Directory if !path.ends_with(b"/") => path.push(b'/'),
            Kind::File => {
                self.file = Some(fs::reopen(named.as_fd(), OFlags::RDONLY)?);
                self.promised = entry.size;
                self.padding = padding(entry.size);
            }
            _ => {}
        }
        entry.path.clone_from(&path);
        (self.edit)(&mut entry);
        self.made.extend(head::head(&entry));
        if kind == Kind::Directory {
            if is_opaque && self.form == Form::Layer {
                let path = [&path, &b".wh..wh..opq"[..]].concat();
                self.made.extend(head::head(&mark(path)));
            }
            self.enter(&named, path)?;
        }
        Ok(())
    }

    fn enter(&mut self, named: &OwnedFd, path: Vec<u8>) -> Result<()> {
        let dir = fs::reopen(named.as_fd(), OFlags::RDONLY | OFlags::DIRECTORY)?;
        let names = fs::sorted_names(dir.as_fd())?;
        let stat = fs::stat(dir.as_fd())?;
        if let Some(above) = self.stack.len().checked_sub(OPEN_MAX) {
            self.stack[above].dir = None;
        }
        self.stack.push(Frame {
            dir: Some(dir),
            identity: (stat.st_dev, stat.st_ino),
            path,
            names: names.into_iter(),
        });
        Ok(())
    }

    /// Done with a directory: back to the one above, which may have to be opened again.
    fn leave(&mut self) -> Result<()> {
        let (Some(done), Some(above)) = (self.stack.pop(), self.stack.last_mut()) else {
            return Ok(());
        };
        let (None, Some(below)) = (&above.dir, done.dir) else {
            return Ok(());
        };
        // Somebody may have moved the directory out of the tree; then `..` is elsewhere.
        let dir = fs::parent_of(below.as_fd())?;
        let stat = fs::stat(dir.as_fd())?;
        if (stat.st_dev, stat.st_ino) != above.identity {
            return Err(Error::conflict(format!(
                "{} was moved while it was being read",
                shown(&done.path)
            )));
        }
        above.dir = Some(dir);
        Ok(())
    }

    /// The next bytes of the file in hand. The archive has promised its length: what has been cut
    /// off since reads as zeros, what has been added stays away.
    fn content(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let want = clamp(self.promised, into.len());
        let count = match &self.file {
            Some(file) => fs::read_some(file.as_fd(), &mut into[..want])?,
            None => 0,
        };
        if count == 0 {
            self.file = None;
            self.padding += self.promised;
            self.promised = 0;
        }
        self.promised -= count as u64;
        Ok(count)
    }
}

impl Read for Packer<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if into.is_empty() {
            return Ok(0);
        }
        loop {
            if self.taken < self.made.len() {
                let rest = &self.made[self.taken..];
                let count = rest.len().min(into.len());
                into[..count].copy_from_slice(&rest[..count]);
                self.taken += count;
                return Ok(count);
            }
            self.made.clear();
            self.taken = 0;
            if self.promised > 0 {
                match self.content(into)? {
                    0 => continue,
                    count => return Ok(count),
                }
            }
            self.file = None;
            if self.padding > 0 {
                let count = clamp(self.padding, into.len());
                into[..count].fill(0);
                self.padding -= count as u64;
                return Ok(count);
            }
            if self.is_ended {
                return Ok(0);
            }
            self.step()?;
        }
    }
}

fn clamp(length: u64, room: usize) -> usize {
    usize::try_from(length).map_or(room, |length| length.min(room))
}

/// None for what no archive can hold: a socket.
fn entry_kind(stat: &Stat) -> Option<Kind> {
    Some(match kind(stat) {
        FileType::RegularFile => Kind::File,
        FileType::Directory => Kind::Directory,
        FileType::Symlink => Kind::Symlink,
        FileType::CharacterDevice => Kind::CharDevice,
        FileType::BlockDevice => Kind::BlockDevice,
        FileType::Fifo => Kind::Fifo,
        _ => return None,
    })
}

fn described(stat: &Stat, kind: Kind) -> Entry {
    let number = stat.st_rdev;
    let (major, minor) = (rustix::fs::major(number), rustix::fs::minor(number));
    let is_device = matches!(kind, Kind::CharDevice | Kind::BlockDevice);
    Entry {
        path: Vec::new(),
        link: Vec::new(),
        kind,
        mode: stat.st_mode & 0o7777,
        uid: stat.st_uid.into(),
        gid: stat.st_gid.into(),
        modified: ModifiedAt::of(stat),
        size: match kind {
            Kind::File => stat.st_size as u64,
            _ => 0,
        },
        is_sparse: false,
        device: match is_device {
            true => (major.into(), minor.into()),
            false => (0, 0),
        },
        attributes: Vec::new(),
    }
}

/// A file as the beginning of an archive, for those who have no tree with it.
pub fn file(name: &[u8], content: &[u8], modified: ModifiedAt, edit: Edit<'_>) -> Vec<u8> {
    let size = content.len() as u64;
    let mut entry = Entry {
        mode: 0o644,
        modified,
        size,
        ..mark(name.to_vec())
    };
    edit(&mut entry);
    let mut bytes = head::head(&entry);
    bytes.extend(content);
    bytes.extend(std::iter::repeat_n(0, padding(size) as usize));
    bytes
}

/// What an archive ends with.
pub const END: &[u8] = &head::END;

/// An empty file whose name says something about the layers below.
fn mark(path: Vec<u8>) -> Entry {
    Entry {
        path,
        link: Vec::new(),
        kind: Kind::File,
        mode: 0o600,
        uid: 0,
        gid: 0,
        modified: ModifiedAt::default(),
        size: 0,
        is_sparse: false,
        device: (0, 0),
        attributes: Vec::new(),
    }
}

/// `dir/.wh.name` for `dir/name`.
fn hidden(path: &[u8]) -> Vec<u8> {
    let at = path
        .iter()
        .rposition(|byte| *byte == b'/')
        .map_or(0, |at| at + 1);
    [&path[..at], b".wh.", &path[at..]].concat()
}

/// Attributes that go with a file wherever it goes. Labels of this host's security modules do not,
/// nor what overlayfs notes for itself.
fn is_told(name: &CStr) -> bool {
    let name = name.to_bytes();
    let is_overlays = name.starts_with(b"trusted.overlay.") || name.starts_with(b"user.overlay.");
    !is_overlays
        && (name == b"security.capability"
            || [&b"user."[..], b"trusted.", b"system.posix_acl_"]
                .iter()
                .any(|family| name.starts_with(family)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::archive::Archive;
    use crate::image::source::Input;
    use crate::image::testing::{is_root, scratch};
    use std::os::unix::net::UnixListener;
    use std::path::Path;

    fn packer(dir: &Path, form: Form) -> Packer<'static> {
        Packer::new(fs::open_path(dir).unwrap(), b"", form).unwrap()
    }

    /// Paths and kinds of all entries, and the content of the files.
    fn entries(mut bytes: &[u8]) -> Vec<(String, Kind, String)> {
        let mut input = Input(&mut bytes);
        let mut archive = Archive::new(&mut input);
        let mut found = Vec::new();
        while let Some(entry) = archive.next().unwrap() {
            let mut content = Vec::new();
            let mut buffer = [0; 4096];
            loop {
                match archive.read_piece(&mut buffer).unwrap() {
                    (_, 0) => break,
                    (_, count) => content.extend(&buffer[..count]),
                }
            }
            let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
            found.push((text(entry.path), entry.kind, text(content)));
        }
        assert!(archive.has_end());
        found
    }

    fn all(mut packer: Packer<'_>) -> Vec<u8> {
        let mut bytes = Vec::new();
        packer.read_to_end(&mut bytes).unwrap();
        bytes
    }

    #[test]
    fn a_file_that_changes_meanwhile_keeps_the_length_it_was_promised() {
        let dir = scratch();
        for (name, after) in [("a-cut", 2), ("b-grown", 9)] {
            let path = dir.path().join(name);
            std::fs::write(&path, "12345").unwrap();
            let mut packer = packer(dir.path(), Form::Tree);
            let mut bytes = vec![0; head::END.len() / 2];
            packer.read_exact(&mut bytes).unwrap();
            std::fs::write(&path, "x".repeat(after)).unwrap();
            packer.read_to_end(&mut bytes).unwrap();
            let content = &entries(&bytes)[0].2;
            let expected = if after < 5 { "xx\0\0\0" } else { "xxxxx" };
            assert_eq!(content, expected, "{name}");
            std::fs::remove_file(path).unwrap();
        }
    }

    #[test]
    fn sockets_stay_out_and_names_are_sorted() {
        let dir = scratch();
        std::fs::create_dir(dir.path().join("b")).unwrap();
        for name in ["c", "a", "b/z", "b/y"] {
            std::fs::write(dir.path().join(name), "").unwrap();
        }
        let _socket = UnixListener::bind(dir.path().join("socket")).unwrap();
        let names: Vec<String> = entries(&all(packer(dir.path(), Form::Tree)))
            .into_iter()
            .map(|entry| entry.0)
            .collect();
        assert_eq!(names, ["a", "b/", "b/y", "b/z", "c"]);
    }

    #[test]
    fn a_layer_has_dockers_marks_in_the_place_of_overlayfs_own() {
        if !is_root("a_layer_has_dockers_marks_in_the_place_of_overlayfs_own") {
            return;
        }
        let dir = scratch();
        let opaque = dir.path().join("dir");
        std::fs::create_dir(&opaque).unwrap();
        std::fs::write(opaque.join("new"), "").unwrap();
        let open = fs::open_dir(&opaque).unwrap();
        fs::set_attribute(open.as_fd(), OPAQUE, b"y").unwrap();
        let device = FileType::CharacterDevice;
        fs::make_node_at(open.as_fd(), Path::new("gone"), device, 0, (0, 0)).unwrap();
        let found = entries(&all(packer(dir.path(), Form::Layer)));
        let names: Vec<(&str, Kind)> = found.iter().map(|e| (&e.0[..], e.1)).collect();
        assert_eq!(
            names,
            [
                ("dir/", Kind::Directory),
                ("dir/.wh..wh..opq", Kind::File),
                ("dir/.wh.gone", Kind::File),
                ("dir/new", Kind::File),
            ]
        );
        // What overlayfs has noted for itself does not come along.
        let bytes = all(packer(dir.path(), Form::Layer));
        assert!(!bytes.windows(15).any(|found| found == b"trusted.overlay"));
    }

    /// A way back that leads elsewhere is noticed.
    #[test]
    fn a_directory_that_is_moved_out_of_the_tree_is_told() {
        let dir = scratch();
        let tree = dir.path().join("tree");
        let mut deep = tree.clone();
        for _ in 0..OPEN_MAX + 8 {
            deep.push("d");
        }
        std::fs::create_dir_all(&deep).unwrap();
        std::fs::write(deep.join("end"), "").unwrap();
        let mut packer = packer(&tree, Form::Tree);
        let mut one = vec![0; head::END.len() / 2];
        for _ in 0..=OPEN_MAX + 8 {
            packer.read_exact(&mut one).unwrap();
        }
        let moved = dir.path().join("moved");
        std::fs::rename(tree.join("d/d"), moved).unwrap();
        let error = packer.read_to_end(&mut Vec::new()).unwrap_err();
        assert!(
            error
                .to_string()
                .ends_with("was moved while it was being read"),
            "{error}"
        );
    }
}
