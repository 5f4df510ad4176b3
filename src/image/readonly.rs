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
use crate::log;
use crate::store::{record, staging};
use crate::sys::{self, fs, loops, mount};
use rustix::mount::{MountAttrFlags, MountPropagationFlags};
use std::io::Read;
use std::os::fd::AsFd;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

/// The number of the layout, and the file of a store that says it.
pub const FORMAT: &str = "format";
pub const FORMAT_NUMBER: &str = "1\n";

const PLACES: &str = "stores";

/// EROFS (erofs_fs.h): the magic number, and where it stands.
const EROFS: ([u8; 4], usize) = ([0xe2, 0xe1, 0xf5, 0xe0], 1024);
const SQUASHFS: ([u8; 4], usize) = (*b"hsqs", 0);
const BLOCK_BYTES: u32 = 4096;

/// A store, and what it holds. Nothing of it ever changes.
#[derive(Debug)]
pub struct ReadOnly {
    /// As it was told.
    pub path: PathBuf,
    root: PathBuf,
    pub shelf: Shelf,
}

impl ReadOnly {
    /// Read what the stores at `paths` hold; files are mounted already (`mount_all`). One that can't
    /// be read is reported and left out: a board shall start without it.
    pub fn open_all(paths: &[PathBuf], exec_root: &Path) -> Vec<ReadOnly> {
        let mut stores = Vec::new();
        for path in paths {
            match ReadOnly::open(path, exec_root) {
                Ok(store) => stores.push(store),
                Err(error) => log::line(
                    "tugd",
                    format_args!("read-only store {} is left out: {error}", path.display()),
                ),
            }
        }
        stores
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

/// Mount those of `paths` that are files. What can't be mounted is reported.
pub fn mount_all(paths: &[PathBuf], exec_root: &Path) -> Result<()> {
    // Of an engine that was killed.
    unmount_all(exec_root);
    let is_file = |path: &&PathBuf| !path.is_dir() && path.exists();
    let mut files = paths.iter().filter(is_file).peekable();
    if files.peek().is_none() {
        return Ok(());
    }
    let places = exec_root.join(PLACES);
    staging::make_dir(&places)?;
    make_private(&places)?;
    for path in files {
        let mounted = mount_file(path, &place(path, exec_root));
        if let Err(error) = mounted {
            log::line(
                "tugd",
                format_args!("mount read-only store {}: {error}", path.display()),
            );
        }
    }
    Ok(())
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
        mount::new_tree(kind, Some(&source), &["ro"], attributes)
    };
    let is_device = std::fs::metadata(path).is_ok_and(|about| about.file_type().is_block_device());
    let tree = if is_device {
        mount(path)
    } else {
        match loops::attach(path, block_bytes, true) {
            Ok((_device, name)) => mount(&name),
            // Linux 6.12 can do without a loop device (CONFIG_EROFS_FS_BACKED_BY_FILE).
            Err(error) => mount(path).map_err(|_| error),
        }
    };
    mount::attach(&tree?, fs::open_path(place)?, place.display())
}

/// What file system a file holds, by its first bytes, and the unit in which that reads it.
fn kind(path: &Path) -> Result<(&'static str, u32)> {
    let mut head = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(2048).read_to_end(&mut head))
        .map_err(|e| Error::io(format_args!("read {}", path.display()), &e))?;
    let is = |(magic, at): ([u8; 4], usize)| head.get(at..at + 4) == Some(&magic[..]);
    if is(EROFS) {
        Ok(("erofs", BLOCK_BYTES))
    } else if is(SQUASHFS) {
        // In units of its own choice.
        Ok(("squashfs", 0))
    } else {
        Err(Error::invalid(
            "it is neither a directory nor an EROFS or squashfs image",
        ))
    }
}
