//! A small file that is replaced whole: after a power cut it holds the old content or the new.

use crate::error::{Error, Result};
use crate::sys::fs;
use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// More than any record of ours; one that is larger is not ours.
const BYTES_MAX: u64 = 16 << 20;

/// Replace `name` in `dir` by `content`. When this returns, the content is on the disk.
///
/// The caller keeps two replacements of one record from happening at once.
pub fn replace(dir: &Path, name: &str, content: &[u8]) -> Result<()> {
    let temporary = dir.join(temporary_name(name));
    write_and_sync(&temporary, content)
        .and_then(|()| fs::rename(&temporary, &dir.join(name)))
        .inspect_err(|_| {
            // Most likely the disk is full: give the space back. The first error is the one to tell.
            let _ = std::fs::remove_file(&temporary);
        })?;
    // Without this the rename itself may be undone by a power cut.
    fs::sync_dir(dir)
}

/// The same for what nobody misses after a power cut: readers see the old content or the new.
pub fn replace_unsynced(dir: &Path, name: &str, content: &[u8]) -> Result<()> {
    let temporary = dir.join(temporary_name(name));
    fs::write_private(&temporary, content)
        .and_then(|()| fs::rename(&temporary, &dir.join(name)))
        .inspect_err(|_| {
            let _ = std::fs::remove_file(&temporary);
        })
}

/// The whole content of `name` in `dir`; `None` if there is no such file.
pub fn load(dir: &Path, name: &str) -> Result<Option<Vec<u8>>> {
    let path = dir.join(name);
    let failed = |e: std::io::Error| Error::io(format_args!("read {}", path.display()), &e);
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(failed(e)),
    };
    let mut content = Vec::new();
    file.take(BYTES_MAX + 1)
        .read_to_end(&mut content)
        .map_err(failed)?;
    if content.len() as u64 > BYTES_MAX {
        return Err(Error::invalid(format!(
            "{} is no record of ours: it is larger than {BYTES_MAX} bytes",
            path.display()
        )));
    }
    Ok(Some(content))
}

/// Put an unreadable record (or directory) out of the way, under a name that shows it to whoever
/// comes looking. An earlier one of that name is lost.
pub fn set_aside(dir: &Path, name: &str) -> Result<()> {
    let aside = dir.join(format!("{name}{ASIDE}"));
    crate::store::tree::remove(&aside)?;
    fs::rename(&dir.join(name), &aside)?;
    fs::sync_dir(dir)
}

/// What `set_aside` puts behind a name.
pub const ASIDE: &str = ".bad";

fn temporary_name(name: &str) -> String {
    format!(".{name}.new")
}

fn write_and_sync(path: &Path, content: &[u8]) -> Result<()> {
    let failed = |e: std::io::Error| Error::io(format_args!("write {}", path.display()), &e);
    let mut file = File::options()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .map_err(failed)?;
    file.write_all(content).map_err(failed)?;
    fs::sync(file.as_fd(), path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::staging::Staging;

    const OLD: &str = "{\"wanted\":\"down\"}";
    const NEW: &str = "{\"wanted\":\"started\"}";

    /// Every picture that a power cut during `replace(OLD -> NEW)` can leave on the disk.
    const PICTURES: [&[(&str, &str)]; 5] = [
        &[("state.json", OLD)],
        &[("state.json", OLD), (".state.json.new", "")],
        &[("state.json", OLD), (".state.json.new", "{\"wanted\":\"st")],
        &[("state.json", OLD), (".state.json.new", NEW)],
        &[("state.json", NEW)],
    ];

    fn scratch() -> Staging {
        Staging::new(&std::env::temp_dir()).unwrap()
    }

    #[test]
    fn a_power_cut_leaves_the_old_record_or_the_new_one() {
        for picture in PICTURES {
            let dir = scratch();
            for (name, content) in picture {
                std::fs::write(dir.path().join(name), content).unwrap();
            }
            let found = load(dir.path(), "state.json").unwrap().unwrap();
            assert!(
                found == OLD.as_bytes() || found == NEW.as_bytes(),
                "{picture:?}"
            );

            // And what was left lying does not stand in the way of the next replacement.
            replace(dir.path(), "state.json", b"{}").unwrap();
            assert_eq!(load(dir.path(), "state.json").unwrap().unwrap(), b"{}");
            assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
        }
    }

    #[test]
    fn a_record_that_is_not_there_is_none_and_a_bad_one_is_set_aside() {
        let dir = scratch();
        assert_eq!(load(dir.path(), "refs.json").unwrap(), None);
        replace(dir.path(), "refs.json", b"{{{").unwrap();
        set_aside(dir.path(), "refs.json").unwrap();
        assert_eq!(load(dir.path(), "refs.json").unwrap(), None);
        assert_eq!(load(dir.path(), "refs.json.bad").unwrap().unwrap(), b"{{{");
    }

    #[test]
    fn a_failed_replacement_leaves_the_old_record_and_no_litter() {
        let dir = scratch();
        // A directory can't be replaced by a file.
        std::fs::create_dir(dir.path().join("state.json")).unwrap();
        assert!(replace(dir.path(), "state.json", b"{}").is_err());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
