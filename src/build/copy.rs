//! COPY and ADD: files out of the context or another image, into the files of the image so far.

use crate::build::pattern;
use crate::error::{Context, Error, Result};
use crate::id;
use crate::image::inside::{self, components, joined, kind};
use crate::image::pack::{self, Edit, Form, Packer};
use crate::image::unpack::{self, Copy, Owner};
use crate::sys::fs::{self, ModifiedAt};
use crate::sys::is;
use rustix::fs::{FileType, OFlags};
use rustix::io::Errno;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

/// Something to copy.
pub struct Source {
    what: What,
    /// What it is called in the directory that it goes to.
    name: Vec<u8>,
}

enum What {
    /// Opened as a path, which no link leads to.
    File(OwnedFd),
    Download(OwnedFd),
    Directory(OwnedFd),
    Text(Vec<u8>),
}

/// Where to, and as what.
pub struct Target<'a> {
    /// The tree that is written.
    pub root: &'a OwnedFd,
    pub path: Vec<Vec<u8>>,
    /// It ends with a slash.
    pub is_directory: bool,
    /// None: as they are.
    pub owner: Option<(u32, u32)>,
    pub mode: Option<u32>,
    /// An archive is to be unpacked.
    pub unpacks: bool,
    pub may_go_on: &'a dyn Fn() -> Result<()>,
}

impl Source {
    pub fn text(name: &str, content: String) -> Source {
        Source {
            what: What::Text(content.into_bytes()),
            name: name.as_bytes().to_vec(),
        }
    }

    /// One from the network, which is not unpacked whatever it is.
    pub fn file(file: OwnedFd, name: &[u8]) -> Source {
        Source {
            what: What::Download(file),
            name: name.to_vec(),
        }
    }

    /// What tells its content from any other: names, modes, and the bytes, but no times. `owners`
    /// count where they are kept.
    pub fn digest(&self, owners: bool) -> Result<String> {
        let plain: Edit<'_> = &|entry| {
            entry.modified = ModifiedAt::default();
            if !owners {
                (entry.uid, entry.gid) = (0, 0);
            }
        };
        let mut hash = Sha256::new();
        let kind = match self.what {
            What::Directory(_) => "dir",
            _ => "file",
        };
        self.read(&self.name, plain, &mut |from| {
            let mut buffer = vec![0; 64 << 10];
            loop {
                let count = from.read(&mut buffer);
                match count.map_err(|e| Error::io("read the files to copy", &e))? {
                    0 => return Ok(()),
                    count => hash.update(&buffer[..count]),
                }
            }
        })?;
        Ok(format!("{kind}:{}", id::hex(&hash.finalize())))
    }

    /// Read it as an archive: what is in a directory, or one file called `name`.
    fn read(
        &self,
        name: &[u8],
        edit: Edit<'_>,
        read: &mut dyn FnMut(&mut dyn Read) -> Result<()>,
    ) -> Result<()> {
        let clone = |fd: &OwnedFd| fd.try_clone().map_err(|e| Error::io("dup", &e));
        match &self.what {
            What::File(file) | What::Download(file) => {
                read(&mut Packer::edited(clone(file)?, name, Form::Tree, edit)?)
            }
            What::Directory(dir) => read(&mut Packer::edited(clone(dir)?, b"", Form::Tree, edit)?),
            What::Text(text) => {
                let now = crate::time::Time::now();
                let modified = ModifiedAt {
                    seconds: i64::try_from(now.seconds).unwrap_or(0),
                    nanos: now.nanos,
                };
                let mut bytes = pack::file(name, text, modified, edit);
                bytes.extend(pack::END);
                read(&mut &bytes[..])
            }
        }
    }

    /// Lay it into the tree.
    pub fn copy(&self, target: &Target<'_>) -> Result<()> {
        let path = inside::real(target.root, &target.path, None)?;
        if let What::Directory(_) = self.what {
            return self
                .lay(target, path, b"")
                .context(|| "failed to copy directory");
        }
        let there = fs::open_inside(target.root, &joined(&path), OFlags::PATH | OFlags::NOFOLLOW);
        let is_dir = match there {
            Err(e) if is(&e, Errno::NOENT) => false,
            there => kind(&fs::stat(there?.as_fd())?) == FileType::Directory,
        };
        if let What::File(file) = &self.what
            && target.unpacks
            && let Some(mut archive) = archive(file)?
        {
            let how = target.prepare(path)?;
            return unpack::copy_any(target.clone_root()?, &how, &mut archive).map(drop);
        }
        match path.split_last() {
            Some((name, base)) if !target.is_directory && !is_dir => {
                self.lay(target, base.to_vec(), name)
            }
            _ => self.lay(target, path, &self.name),
        }
    }

    fn lay(&self, target: &Target<'_>, base: Vec<Vec<u8>>, name: &[u8]) -> Result<()> {
        let edit: Edit<'_> = &|entry| {
            if let Some((uid, gid)) = target.owner {
                (entry.uid, entry.gid) = (uid.into(), gid.into());
            }
            entry.mode = target.mode.unwrap_or(entry.mode);
        };
        let how = target.prepare(base)?;
        self.read(name, edit, &mut |from| {
            unpack::copy_any(target.clone_root()?, &how, from).map(drop)
        })
    }
}

impl Target<'_> {
    fn clone_root(&self) -> Result<OwnedFd> {
        self.root.try_clone().map_err(|e| Error::io("dup", &e))
    }

    /// What is missing of the directory `base` is made.
    fn prepare(&self, base: Vec<Vec<u8>>) -> Result<Copy<'_>> {
        let make = |parent: BorrowedFd<'_>, name: &Path| make_dir(parent, name, self.owner);
        let base = inside::real(self.root, &base, Some(&make))?;
        Ok(Copy {
            name: String::from_utf8_lossy(&base.join(&b'/')).into_owned(),
            base,
            owner: Owner::Archive,
            keep_kinds: false,
            rename: None,
            may_go_on: self.may_go_on,
        })
    }
}

fn make_dir(parent: BorrowedFd<'_>, name: &Path, owner: Option<(u32, u32)>) -> Result<()> {
    fs::make_dir_at(parent, name, 0o755)?;
    let dir = fs::open_dir_at(parent, name)?;
    if let Some((uid, gid)) = owner {
        fs::chown(dir.as_fd(), uid, gid)?;
    }
    // Whatever our umask is.
    fs::chmod(dir.as_fd(), 0o755)
}

/// Make a directory with all above it, as WORKDIR does.
pub fn make_dirs(root: &OwnedFd, path: &str) -> Result<()> {
    let make = |parent: BorrowedFd<'_>, name: &Path| make_dir(parent, name, None);
    let real = inside::real(root, &components(path.as_bytes()), Some(&make))?;
    inside::open_dir(root, &real).map(drop)
}

/// The file, if it is an archive that ADD unpacks.
fn archive(named: &OwnedFd) -> Result<Option<File>> {
    if kind(&fs::stat(named.as_fd())?) != FileType::RegularFile {
        return Ok(None);
    }
    let open = || fs::reopen(named.as_fd(), OFlags::RDONLY).map(File::from);
    match unpack::is_archive(&mut open()?)? {
        true => open().map(Some),
        false => Ok(None),
    }
}

/// All that a word of COPY or ADD means in a tree. `is_context`: the words of a message say so.
pub fn find(root: &OwnedFd, word: &str, is_context: bool) -> Result<Vec<Source>> {
    if leads_out(word) {
        return Err(Error::invalid(format!(
            "forbidden path outside the build context: {word} ()"
        )));
    }
    let path = components(word.as_bytes());
    if pattern::is_pattern(word) {
        let mut found = Vec::new();
        fitting(root, &mut Vec::new(), &path, &mut found)?;
        return found.iter().map(|path| open(root, path)).collect();
    }
    match open(root, &path) {
        Err(e) if is(&e, Errno::NOENT) || is(&e, Errno::NOTDIR) => {
            let word = word.trim_start_matches('/').trim_start_matches("./");
            let place = match is_context {
                true => "file not found in build context or excluded by .dockerignore: ",
                false => "",
            };
            Err(Error::not_found(format!(
                "{place}stat {word}: file does not exist"
            )))
        }
        opened => Ok(vec![opened?]),
    }
}

/// By its text alone; links are another matter, and cannot.
fn leads_out(word: &str) -> bool {
    let mut depth = 0_i32;
    let mut parts = word.split('/').filter(|part| !matches!(*part, "" | "."));
    parts.any(|part| {
        depth += if part == ".." { -1 } else { 1 };
        depth < 0
    })
}

/// What lies at a path, links followed. Its name is that of the path.
fn open(root: &OwnedFd, path: &[Vec<u8>]) -> Result<Source> {
    let real = inside::real(root, path, None)?;
    let named = fs::open_inside(root, &joined(&real), OFlags::PATH | OFlags::NOFOLLOW)?;
    let is_dir = kind(&fs::stat(named.as_fd())?) == FileType::Directory;
    Ok(Source {
        what: match is_dir {
            true => What::Directory(named),
            false => What::File(named),
        },
        name: path.last().cloned().unwrap_or_default(),
    })
}

/// The paths below `dir` that fit the rest of a pattern, sorted. No link is followed on the way.
fn fitting(
    root: &OwnedFd,
    dir: &mut Vec<Vec<u8>>,
    rest: &[Vec<u8>],
    found: &mut Vec<Vec<Vec<u8>>>,
) -> Result<()> {
    let Some((wanted, rest)) = rest.split_first() else {
        found.push(dir.clone());
        return Ok(());
    };
    let opened = fs::open_without_links(root, &joined(dir), OFlags::RDONLY | OFlags::DIRECTORY);
    let Ok(opened) = opened else {
        return Ok(());
    };
    for name in fs::sorted_names(opened.as_fd())? {
        if pattern::fits(wanted, name.as_bytes()) {
            dir.push(name.into_bytes());
            fitting(root, dir, rest, found)?;
            dir.pop();
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::staging::Staging;
    use std::os::unix::fs::symlink;

    fn tree() -> (Staging, OwnedFd) {
        let dir = Staging::new(&std::env::temp_dir()).unwrap();
        for name in ["a.txt", "b.txt", "d/x.txt", "d/e/y.txt"] {
            let path = dir.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, name).unwrap();
        }
        for (name, target) in [
            ("abs", "/etc/passwd"),
            ("up", "../../etc/passwd"),
            ("inside", "/d"),
            ("dlink", "d"),
        ] {
            symlink(target, dir.path().join(name)).unwrap();
        }
        let root = fs::open_dir(dir.path()).unwrap();
        (dir, root)
    }

    fn names(root: &OwnedFd, word: &str) -> Vec<String> {
        let found = find(root, word, true).unwrap();
        let name = |s: Source| String::from_utf8(s.name).unwrap();
        found.into_iter().map(name).collect()
    }

    #[test]
    fn words_find_files_inside_only() {
        let (_dir, root) = tree();
        assert_eq!(names(&root, "*.txt"), ["a.txt", "b.txt"]);
        assert_eq!(names(&root, "*/*.txt"), ["x.txt"]);
        assert_eq!(names(&root, "inside/x.txt"), ["x.txt"]);
        assert_eq!(names(&root, "d/../a.txt"), ["a.txt"]);
        assert_eq!(names(&root, "/"), [""]);
        assert_eq!(names(&root, "z*"), Vec::<String>::new());
        for word in ["../a.txt", "d/../../a.txt", "/..", "../*"] {
            let error = find(&root, word, true).err().unwrap().to_string();
            let expected = format!("forbidden path outside the build context: {word} ()");
            assert_eq!(error, expected);
        }
        for word in ["abs", "up", "nope", "a.txt/x", "./nope"] {
            let error = find(&root, word, true).err().unwrap().to_string();
            assert!(error.ends_with("file does not exist"), "{word}: {error}");
        }
    }

    #[test]
    fn the_digest_is_that_of_the_content_and_not_of_the_times() {
        let (dir, root) = tree();
        let digest = |word: &str| find(&root, word, true).unwrap()[0].digest(false).unwrap();
        let (before, tree) = (digest("a.txt"), digest("d"));
        assert!(before.starts_with("file:") && tree.starts_with("dir:"));
        let file = File::options().write(true).open(dir.path().join("a.txt"));
        fs::set_modified(file.unwrap().as_fd(), ModifiedAt::default()).unwrap();
        assert_eq!(digest("a.txt"), before);
        std::fs::write(dir.path().join("a.txt"), "other").unwrap();
        assert_ne!(digest("a.txt"), before);
        assert_eq!(digest("d"), tree);
        std::fs::write(dir.path().join("d/e/new"), "").unwrap();
        assert_ne!(digest("d"), tree);
    }
}
