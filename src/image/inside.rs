//! Paths inside a tree that others change at will: an image's, a running container's.
//!
//! A path is a list of names. It is resolved by the kernel with the tree for its root, or here name
//! by name with the same outcome, where the way is wanted and not only its end.

use crate::error::{Error, Result};
use crate::sys::{fs, is};
use rustix::fs::{FileType, OFlags, Stat};
use rustix::io::Errno;
use std::collections::VecDeque;
use std::ffi::{CString, OsStr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// The kernel's own limit when it follows links (path_resolution(7)).
pub(super) const LINKS_MAX: usize = 40;

/// What to do about a directory that is not there: its parent and its name.
pub type Missing<'a> = &'a dyn Fn(BorrowedFd<'_>, &Path) -> Result<()>;

/// `path` without links: where a process would end up that has `root` for its root. What is missing
/// at the end is made by `missing`; without it, it stays as it was said.
pub fn real(
    root: &OwnedFd,
    path: &[Vec<u8>],
    missing: Option<Missing<'_>>,
) -> Result<Vec<Vec<u8>>> {
    // `real` has no links, so its last `..` is the name before.
    let mut real: Vec<Vec<u8>> = Vec::new();
    let mut pending: VecDeque<Vec<u8>> = path.iter().cloned().collect();
    let mut links = 0;
    while let Some(name) = pending.pop_front() {
        if name == b".." {
            real.pop();
            continue;
        }
        let file = as_path(&name);
        let dir = match open_dir(root, &real) {
            Err(e) if is(&e, Errno::NOENT) && missing.is_none() => {
                real.push(name);
                continue;
            }
            opened => opened?,
        };
        let dir = dir.as_fd();
        match fs::stat_at(dir, file)? {
            None => {
                if let Some(make) = missing {
                    make(dir, file)?;
                }
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
            // A file in the way is the kernel's to refuse, in the next round or by the caller's.
            Some(_) => real.push(name),
        }
    }
    Ok(real)
}

pub fn open_dir(root: &OwnedFd, path: &[Vec<u8>]) -> Result<OwnedFd> {
    fs::open_inside(root, &joined(path), OFlags::RDONLY | OFlags::DIRECTORY)
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

pub(super) fn parts(path: &[u8]) -> impl DoubleEndedIterator<Item = &[u8]> {
    path.split(|byte| *byte == b'/')
        .filter(|part| !part.is_empty() && *part != b".")
}

/// Relative to the root that it is opened in.
pub fn joined(path: &[Vec<u8>]) -> PathBuf {
    let mut joined = PathBuf::from(".");
    joined.extend(path.iter().map(|part| as_path(part)));
    joined
}

pub fn as_path(bytes: &[u8]) -> &Path {
    Path::new(OsStr::from_bytes(bytes))
}

pub fn c_string(bytes: &[u8]) -> Result<CString> {
    CString::new(bytes).map_err(|_| Error::invalid("name with a NUL in it"))
}

pub fn kind(stat: &Stat) -> FileType {
    FileType::from_raw_mode(stat.st_mode)
}

/// Overlayfs's mark for a name of the layers below that is not to be seen.
pub fn is_whiteout(stat: &Stat) -> bool {
    kind(stat) == FileType::CharacterDevice && stat.st_rdev == 0
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
mod tests {
    use super::*;
    use crate::image::testing::scratch;
    use std::os::unix::fs::symlink;

    #[test]
    fn links_lead_where_they_would_for_who_has_the_root_for_its_own() {
        let dir = scratch();
        let root = fs::open_dir(dir.path()).unwrap();
        std::fs::create_dir_all(dir.path().join("a/b")).unwrap();
        std::fs::write(dir.path().join("a/file"), "").unwrap();
        for (name, target) in [
            ("abs", "/a/b"),
            ("up", "../../../../a"),
            ("a/rel", "../abs/c"),
            ("broken", "/nowhere/x"),
            ("loop", "loop"),
        ] {
            symlink(target, dir.path().join(name)).unwrap();
        }
        for (path, expected) in [
            ("abs", "a/b"),
            ("abs/x/../y", "a/b/y"),
            ("up/b", "a/b"),
            ("a/rel/d", "a/b/c/d"),
            ("broken/y", "nowhere/x/y"),
            ("../..", ""),
        ] {
            let real = real(&root, &components(path.as_bytes()), None);
            let expected: Vec<Vec<u8>> = components(expected.as_bytes());
            assert_eq!(real.unwrap(), expected, "{path}");
        }
        let error = real(&root, &components(b"loop/x"), None).unwrap_err();
        assert!(is(&error, Errno::LOOP), "{error}");
        let error = real(&root, &components(b"a/file/x"), None).unwrap_err();
        assert!(is(&error, Errno::NOTDIR), "{error}");
    }
}
