//! Directories in the making, and on their way out.
//!
//! A half-made thing is called `.new-RANDOM` beside the place where it will stand, a half-removed
//! one `.old-RANDOM`. Both names are ours alone, so `sweep` can take them away at the next start.

use crate::error::{Error, Result};
use crate::sys::{self, fs};
use crate::{id, store::tree};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

const NEW: &str = ".new-";
const OLD: &str = ".old-";

/// A directory in the making. Dropped, it is removed with all that it holds.
#[derive(Debug)]
pub struct Staging {
    path: PathBuf,
    is_kept: bool,
    /// While it has a file of this name it stays when it is dropped.
    worth: Option<&'static str>,
}

impl Staging {
    /// A new, empty one (mode 0700) in `parent`.
    pub fn new(parent: &Path) -> Result<Staging> {
        let path = parent.join(unused(NEW)?);
        make_dir(&path)?;
        Ok(Staging {
            path,
            is_kept: false,
            worth: None,
        })
    }

    /// One that is there under a name of its own, and stays if it is dropped while it has a file
    /// called `worth`.
    pub fn adopt(path: PathBuf, worth: &'static str) -> Staging {
        Staging {
            path,
            is_kept: false,
            worth: Some(worth),
        }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// It is whole, and the disk has it (the caller has synced): give it its name. To survive a
    /// power cut the name needs a sync of the directory, which one call can do for many.
    pub fn keep(mut self, name: &Path) -> Result<()> {
        fs::rename(&self.path, name)?;
        self.is_kept = true;
        Ok(())
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        let is_worth = |name| self.path.join(name).exists();
        if !self.is_kept && !self.worth.is_some_and(is_worth) {
            // If this fails the next start's sweep does it.
            let _ = tree::remove(&self.path);
        }
    }
}

/// A directory that only root may enter.
pub fn make_dir(path: &Path) -> Result<()> {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|e| Error::io(format_args!("mkdir {}", path.display()), &e))
}

/// Take `path` away: at once under its name, then piece by piece. Absent is fine.
pub fn remove(path: &Path) -> Result<()> {
    take_away(path, true)
}

/// The same for what would mean nothing after a power cut: if it comes back then, whoever finds it
/// knows that it is to go. Spares the disk a sync.
pub fn discard(path: &Path) -> Result<()> {
    take_away(path, false)
}

fn take_away(path: &Path, durably: bool) -> Result<()> {
    match set_off(path, durably)? {
        Some(leaving) => tree::remove(&leaving),
        None => Ok(()),
    }
}

/// The first half of `remove`: `path` has its name no more. Answers what is left to be removed, if
/// there was something.
pub fn set_off(path: &Path, durably: bool) -> Result<Option<PathBuf>> {
    let Some(parent) = path.parent() else {
        return Err(Error::invalid(format!("remove {}", path.display())));
    };
    let leaving = parent.join(unused(OLD)?);
    match fs::rename(path, &leaving) {
        Err(e) if sys::is(&e, rustix::io::Errno::NOENT) => return Ok(None),
        renamed => renamed?,
    }
    if durably {
        fs::sync_dir(parent)?;
    }
    Ok(Some(leaving))
}

/// Remove what a crash or a power cut left half-made or half-removed in `parent`. Answers how many
/// there were. What can't be removed stays for the next time.
pub fn sweep(parent: &Path) -> Result<usize> {
    let mut swept = 0;
    for name in names(parent)? {
        if is_temporary(&name) {
            tree::remove(&parent.join(&name))?;
            swept += 1;
        }
    }
    Ok(swept)
}

/// Whether a name in a directory of ours is that of something half-made.
pub fn is_temporary(name: &str) -> bool {
    name.starts_with(NEW) || name.starts_with(OLD)
}

/// The names in `dir`, sorted. One that is not UTF-8 is not ours and left out.
pub fn names(dir: &Path) -> Result<Vec<String>> {
    let failed = |e| Error::io(format_args!("read directory {}", dir.display()), &e);
    let mut names = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(failed)? {
        if let Ok(name) = entry.map_err(failed)?.file_name().into_string() {
            names.push(name);
        }
    }
    names.sort_unstable();
    Ok(names)
}

fn unused(prefix: &str) -> Result<String> {
    Ok(format!("{prefix}{}", id::short(&id::random()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sweep_takes_what_is_half_made_and_nothing_else() {
        let dir = Staging::new(&std::env::temp_dir()).unwrap();
        for name in [".new-0123", ".old-4567", "kept", ".hidden"] {
            make_dir(&dir.path().join(name).join("below")).unwrap();
        }
        assert_eq!(sweep(dir.path()).unwrap(), 2);
        assert_eq!(names(dir.path()).unwrap(), [".hidden", "kept"]);
    }

    #[test]
    fn a_staging_directory_lives_only_if_it_is_kept() {
        let dir = Staging::new(&std::env::temp_dir()).unwrap();
        drop(Staging::new(dir.path()).unwrap());
        assert!(names(dir.path()).unwrap().is_empty());
        let kept = dir.path().join("kept");
        Staging::new(dir.path()).unwrap().keep(&kept).unwrap();
        assert_eq!(names(dir.path()).unwrap(), ["kept"]);
        remove(&kept).unwrap();
        remove(&kept).unwrap();
        assert!(names(dir.path()).unwrap().is_empty());
    }
}
