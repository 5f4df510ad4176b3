//! Stores that are only read: made elsewhere (`tug store build`), they came with the firmware.
//!
//! Such a store has the layout of the data root: `images/` and `layers/`. It is a directory, or one
//! file (or partition) that holds an EROFS or squashfs of it. A file is mounted below the exec root
//! as long as the engine runs:
//!
//! ```text
//! EXEC-ROOT/stores/               a private mount of its own: what is below it is seen nowhere else
//!                  <digits>/      the file system, read-only
//! ```
//!
//! Containers outlive the engine: their overlays, and the mount namespaces of their shims, keep the
//! file system until they end. The next engine finds the loop device by the file that it reads and
//! mounts it again, which gives the same file system and not a second one with a cache of its own.

use crate::error::{Error, Result};
use crate::image::shelf::{Held, Shelf};
use crate::image::source::sha256;
use crate::kernel::{self, Feature, lacks};
use crate::log;
use crate::store::{record, staging};
use crate::sys::{self, fs, loops, mount};
use rustix::io::Errno;
use rustix::mount::{MountAttrFlags, MountPropagationFlags};
use std::io::{Read, Seek, SeekFrom};
use std::os::fd::AsFd;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

/// The number of the layout, and the file of a store that says it.
pub const FORMAT: &str = "format";
pub const FORMAT_NUMBER: &str = "1\n";

const PLACES: &str = "stores";

/// EROFS (erofs_fs.h): the magic number, and where it stands.
const EROFS: ([u8; 4], usize) = ([0xe2, 0xe1, 0xf5, 0xe0], 1024);
/// Where it says how many blocks it has, and the logarithm of their size.
const EROFS_BLOCKS: usize = EROFS.1 + 36;
const EROFS_BLOCK_BITS: usize = EROFS.1 + 12;
const SQUASHFS: ([u8; 4], usize) = (*b"hsqs", 0);
/// Where it says how many bytes it has (squashfs_fs.h).
const SQUASHFS_BYTES: usize = 40;
const BLOCK_BYTES: u32 = 4096;

/// A store, and what it holds. Nothing of it ever changes.
#[derive(Debug)]
pub struct ReadOnly {
    /// As it was told.
    pub path: PathBuf,
    root: PathBuf,
    pub shelf: Shelf,
    /// Why it is left out, if it is: then it holds nothing.
    pub fault: Option<String>,
}

impl ReadOnly {
    /// Read what the stores at `paths` hold; files are mounted already, but for those that `mount_all`
    /// has told the `faults` of. One that can't be read is reported and left out: a board shall
    /// start without it.
    pub fn open_all(
        paths: &[PathBuf],
        exec_root: &Path,
        faults: &[(PathBuf, Error)],
    ) -> Vec<ReadOnly> {
        let open = |path: &PathBuf| {
            let fault = match faults.iter().find(|(of, _)| of == path) {
                Some((_, error)) => error.to_string(),
                None => match ReadOnly::open(path, exec_root) {
                    Ok(store) => return store,
                    Err(error) => error.to_string(),
                },
            };
            let store = ReadOnly {
                path: path.clone(),
                root: place(path, exec_root),
                shelf: Shelf::default(),
                fault: Some(fault),
            };
            log::line("tugd", store.complaint().unwrap_or_default());
            store
        };
        paths.iter().map(open).collect()
    }

    /// What there is to say of one that is left out.
    pub fn complaint(&self) -> Option<String> {
        let fault = self.fault.as_ref()?;
        Some(format!(
            "read-only store {} is left out: {fault}",
            self.path.display()
        ))
    }

    fn open(path: &Path, exec_root: &Path) -> Result<ReadOnly> {
        let about = std::fs::metadata(path)
            .map_err(|e| Error::io(format_args!("stat {}", path.display()), &e))?;
        let root = match about.is_dir() {
            true => path.to_path_buf(),
            false => place(path, exec_root),
        };
        // Without it the data root of some engine is as good.
        if let Some(format) = record::load(&root, FORMAT)?
            && format != FORMAT_NUMBER.as_bytes()
        {
            let number = String::from_utf8_lossy(&format);
            return Err(Error::invalid(format!(
                "its layout has the number {}, and this program knows {}",
                number.trim_end(),
                FORMAT_NUMBER.trim_end()
            )));
        }
        let mut store = ReadOnly {
            path: path.to_path_buf(),
            shelf: Shelf::default(),
            root,
            fault: None,
        };
        let (shelf, unreadable) = Shelf::read(&store.images())?;
        store.shelf = shelf;
        for (name, error) in unreadable {
            log::line(
                "tugd",
                format_args!("{}: image record {name}: {error}", path.display()),
            );
        }
        Ok(store)
    }

    pub fn images(&self) -> PathBuf {
        self.root.join("images")
    }

    pub fn layers(&self) -> PathBuf {
        self.root.join("layers")
    }

    pub fn held(&self, digits: &str) -> Option<&Held> {
        self.shelf.held(digits)
    }
}

/// Where a file among the stores is mounted: by its name, so that others find it who look without
/// the engine.
fn place(path: &Path, exec_root: &Path) -> PathBuf {
    let digits = sha256(path.as_os_str().as_encoded_bytes());
    exec_root.join(PLACES).join(&digits[..16])
}

/// Mount those of `paths` that are files. Answers with those that can't be mounted.
pub fn mount_all(paths: &[PathBuf], exec_root: &Path) -> Result<Vec<(PathBuf, Error)>> {
    // Of an engine that was killed.
    unmount_all(exec_root);
    let mut faults = Vec::new();
    let is_file = |path: &&PathBuf| !path.is_dir() && path.exists();
    let mut files = paths.iter().filter(is_file).peekable();
    if files.peek().is_none() {
        return Ok(faults);
    }
    let places = exec_root.join(PLACES);
    staging::make_dir(&places)?;
    make_private(&places)?;
    for path in files {
        if let Err(error) = mount_file(path, &place(path, exec_root)) {
            faults.push((path.clone(), error));
        }
    }
    Ok(faults)
}

/// The other way. Who still uses one of them keeps it.
pub fn unmount_all(exec_root: &Path) {
    let places = exec_root.join(PLACES);
    // More than one lie there on top of each other only if two engines had the same exec root.
    for _ in 0..8 {
        if mount::detach(&places).is_err() {
            break;
        }
    }
    for name in staging::names(&places).unwrap_or_default() {
        let _ = std::fs::remove_dir(places.join(name));
    }
    let _ = std::fs::remove_dir(&places);
}

/// A mount whose own mounts are not passed on to the namespaces of others: there they would stay.
fn make_private(dir: &Path) -> Result<()> {
    let tree = mount::clone_tree(dir, false)?;
    mount::attach(&tree, fs::open_path(dir)?, dir.display())?;
    mount::set_propagation(tree.as_fd(), MountPropagationFlags::PRIVATE)
        .map_err(|errno| sys::failed("make private", dir.display(), errno))
}

fn mount_file(path: &Path, place: &Path) -> Result<()> {
    staging::make_dir(place)?;
    let (kind, block_bytes) = kind(path)?;
    // No device of an image is to act on the host; in a container the overlay decides.
    let attributes = MountAttrFlags::MOUNT_ATTR_RDONLY
        | MountAttrFlags::MOUNT_ATTR_NODEV
        | MountAttrFlags::MOUNT_ATTR_NOSUID;
    let mount = |source: &Path| {
        let source = source.to_string_lossy();
        mount::new_tree(kind, Some(&source), &["ro"], attributes).map_err(|error| {
            kernel::explain(error, &[Errno::NODEV], &|| kernel::lacks_file_system(kind))
        })
    };
    let is_device = std::fs::metadata(path).is_ok_and(|about| about.file_type().is_block_device());
    let tree = if is_device {
        mount(path)
    } else {
        match loops::attach(path, block_bytes, true) {
            Ok((_device, name)) => mount(&name),
            // Linux 6.12 can do without a loop device (Feature::ErofsBackedByFile).
            Err(error) => mount(path)
                .map_err(|_| kernel::explain(error, kernel::NO_LOOP, &|| lacks(Feature::Loop))),
        }
    };
    mount::attach(&tree?, fs::open_path(place)?, place.display())
}

/// What file system a file holds, by its first bytes, and the unit in which that reads it.
fn kind(path: &Path) -> Result<(&'static str, u32)> {
    let failed = |e| Error::io(format_args!("read {}", path.display()), &e);
    let mut head = Vec::new();
    let mut file = std::fs::File::open(path).map_err(failed)?;
    let read = file.by_ref().take(2048).read_to_end(&mut head);
    read.map_err(failed)?;
    let there = file.seek(SeekFrom::End(0)).map_err(failed)?;
    let number = |at: usize, length: usize| {
        let bytes = head.get(at..at + length).unwrap_or_default();
        bytes
            .iter()
            .rev()
            .fold(0, |sum, byte| sum << 8 | u64::from(*byte))
    };
    let is = |(magic, at): ([u8; 4], usize)| head.get(at..at + 4) == Some(&magic[..]);
    let (found, needed) = if is(EROFS) {
        let bits = number(EROFS_BLOCK_BITS, 1).min(16);
        (("erofs", BLOCK_BYTES), number(EROFS_BLOCKS, 4) << bits)
    } else if is(SQUASHFS) {
        // In units of its own choice.
        (("squashfs", 0), number(SQUASHFS_BYTES, 8))
    } else {
        return Err(Error::invalid(
            "it is neither a directory nor an EROFS or squashfs image",
        ));
    };
    // Or it would be found out file by file, by errors of the disk.
    if there < needed {
        return Err(Error::invalid(format!(
            "it is cut off: {there} of {needed} bytes are there"
        )));
    }
    Ok(found)
}
