//! How many bytes lie in a directory.
//!
//! Works by descriptors as `tree` does: no symbolic link is followed, no mount point is entered.

use crate::error::Result;
use crate::sys::{fs, is};
use rustix::fs::FileType;
use rustix::io::Errno;
use std::ffi::{CString, OsStr};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Directories open at once. What somebody has put deeper than that is not counted: neither our
/// memory nor our descriptors are theirs.
const OPEN_MAX: usize = 256;

/// The bytes of all files below `path`; 0 where there is nothing. A file of more than one name
/// counts once, as far as all its names are below.
pub fn bytes(path: &Path) -> Result<u64> {
    let top = match fs::open_dir(path) {
        Err(error) if is(&error, Errno::NOENT) => return Ok(0),
        opened => opened?,
    };
    let mut sum = 0u64;
    let mut stack: Vec<(OwnedFd, Vec<CString>)> = vec![(top, Vec::new())];
    while let Some((dir, pending)) = stack.last_mut() {
        if let Some(name) = pending.pop() {
            // It may have gone meanwhile, or be something else by now.
            if let Ok(child) = fs::open_dir_same_mount(dir.as_fd(), &name)
                && stack.len() < OPEN_MAX
            {
                stack.push((child, Vec::new()));
            }
            continue;
        }
        let names = fs::next_names(dir.as_fd())?;
        if names.is_empty() {
            stack.pop();
            continue;
        }
        for (name, kind) in names {
            if kind == FileType::Directory {
                pending.push(name);
                continue;
            }
            let file = Path::new(OsStr::from_bytes(name.to_bytes()));
            if let Some(stat) = fs::stat_at(dir.as_fd(), file)? {
                // Some file systems tell no kinds in their lists.
                if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
                    pending.push(name);
                    continue;
                }
                // 32 bits on ARM.
                #[allow(clippy::useless_conversion)]
                let links = u64::from(stat.st_nlink).max(1);
                sum += u64::try_from(stat.st_size).unwrap_or(0) / links;
            }
        }
    }
    Ok(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_count_once_and_links_do_not_lead_away() {
        let dir = std::env::temp_dir().join(format!("tug-usage-{}", std::process::id()));
        let deep = dir.join("a/b/c");
        std::fs::create_dir_all(&deep).unwrap();
        std::fs::write(deep.join("file"), [0u8; 1000]).unwrap();
        std::fs::hard_link(deep.join("file"), dir.join("again")).unwrap();
        std::fs::write(dir.join("a/other"), [0u8; 24]).unwrap();
        std::os::unix::fs::symlink("/etc", dir.join("link")).unwrap();
        let counted = bytes(&dir);
        std::fs::remove_dir_all(&dir).unwrap();
        // A symbolic link's own size is that of its text.
        assert_eq!(counted.unwrap(), 1000 + 24 + 4);
        assert_eq!(bytes(&dir).unwrap(), 0);
    }
}
