//! How a container gets its files: an overlay over its image's layers, or a copy of them.
//!
//! Which it is, a trial says at each start of the engine: kernels are built without overlayfs, and
//! some file systems cannot carry one. A container keeps what it was made with.

use crate::engine::Engine;
use crate::engine::config::Options;
use crate::engine::container::Container;
use crate::error::{Context, Error, Result};
use crate::image::view::{Base, View};
use crate::store::limit;
use crate::store::staging::{self, Staging};
use crate::store::tree;
use crate::sys::{fs, mount};
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Docker's names for the two.
pub const OVERLAY: &str = "overlay2";
pub const COPY: &str = "vfs";

/// The driver's name for a container.
pub fn name(is_copied: bool) -> &'static str {
    match is_copied {
        true => COPY,
        false => OVERLAY,
    }
}

/// Why containers get copies; `None` where they get overlays.
pub fn choose(options: &Options) -> Result<Option<String>> {
    if options.storage_driver == COPY {
        return Ok(Some("asked for by --storage-driver".to_string()));
    }
    match try_overlay(&options.data_root.join("layers")) {
        Ok(()) => Ok(None),
        Err(error) if options.storage_driver.is_empty() => Ok(Some(error.message.clone())),
        Err(error) => Err(error).context(|| "error initializing graphdriver: overlay2"),
    }
}

/// Mount an overlay on the disk of `dir` and do in it what asks most of a file system: a directory
/// that was removed and made again must not show what lies below it.
pub fn try_overlay(dir: &Path) -> Result<()> {
    let trial = Staging::new(dir)?;
    let at = |name: &str| trial.path().join(name);
    for name in ["lower/again/hidden", "upper", "work", "mounted"] {
        staging::make_dir(&at(name))?;
    }
    let base = Base::Writable {
        layers: &[at("lower")],
        upper: &at("upper"),
        work: &at("work"),
    };
    let view = View::open(&base, &[], &at("mounted"), false)?;
    let (root, again) = (view.root.as_fd(), c"again".to_owned());
    tree::remove_in(root, &again)?;
    fs::make_dir_at(root, Path::new("again"), 0o700)?;
    let dir = fs::open_dir_at(root, Path::new("again"))?;
    match fs::sorted_names(dir.as_fd())?.is_empty() {
        true => Ok(()),
        false => Err(Error::unsupported(
            "an overlay on this file system does not hide what was removed",
        )),
    }
}

/// Docker's names of file systems, by their numbers (statfs(2)).
const FILE_SYSTEMS: [(u32, &str); 12] = [
    (0xef53, "extfs"),
    (0x0102_1994, "tmpfs"),
    (0x2405_1905, "ubifs"),
    (0x2fc1_2fc1, "zfs"),
    (0x5846_5342, "xfs"),
    (0x6969, "nfs"),
    (0x72b6, "jffs2"),
    (0x7371_7368, "squashfs"),
    (0x794c_7630, "overlayfs"),
    (0x8584_58f6, "ramfs"),
    (0x9123_683e, "btrfs"),
    (0xf2f5_2010, "f2fs"),
];

/// The name of the file system with that number.
pub fn file_system(number: u32) -> &'static str {
    let known = FILE_SYSTEMS.iter().find(|(known, _)| *known == number);
    known.map_or("<unknown>", |(_, name)| name)
}

impl Engine {
    /// Rows for `info`.
    pub(super) fn driver_status(&self) -> Vec<Vec<String>> {
        let number = fs::open_path(&self.options.data_root).and_then(mount::file_system);
        let mut rows = vec![("Backing Filesystem", file_system(number.unwrap_or(0)))];
        if self.copying.is_none() {
            rows.extend([
                ("Supports d_type", "true"),
                ("Using metacopy", "false"),
                ("Native Overlay Diff", "true"),
                ("userxattr", "false"),
                ("Mounted", "per container, by its shim"),
            ]);
        }
        let row = |(name, value): (&str, &str)| vec![name.to_string(), value.to_string()];
        rows.into_iter().map(row).collect()
    }

    /// The layers that a container's directory lies on, top first. A copy lies on none.
    pub(super) fn lower_dirs(&self, container: &Container) -> Result<Vec<PathBuf>> {
        match container.is_copied {
            true => Ok(Vec::new()),
            false => self.images.lower_dirs(&container.image_id),
        }
    }

    /// The directory for a container's files, in `dir`, which is in the making. They may take
    /// `bytes`.
    pub(super) fn make_files(
        &self,
        dir: &Path,
        image_id: &str,
        bytes: Option<u64>,
        durable: bool,
    ) -> Result<()> {
        let names: &[&str] = match self.copying {
            None => &["upper", "work"],
            Some(_) => &["upper"],
        };
        let made = limit::make(dir, names, bytes)?;
        let upper = made.path("upper");
        if self.copying.is_some() {
            self.images.check_room(self.images.size(image_id)?)?;
            self.images.merge(image_id, &upper)?;
        }
        if let Some(top) = self.images.lower_dirs(image_id)?.first() {
            copy_owner(top, &upper)?;
        }
        if durable && (self.copying.is_some() || bytes.is_some()) {
            fs::sync_file_system(&upper)?;
        }
        Ok(())
    }
}

/// The upper directory is what a container sees as the mode and owner of its `/`.
fn copy_owner(from: &Path, to: &Path) -> Result<()> {
    let copy = || {
        let metadata = std::fs::metadata(from)?;
        std::os::unix::fs::chown(to, Some(metadata.uid()), Some(metadata.gid()))?;
        let mode = std::fs::Permissions::from_mode(metadata.mode() & 0o7777);
        std::fs::set_permissions(to, mode)
    };
    copy().map_err(|e| Error::io(format_args!("copy mode and owner to {}", to.display()), &e))
}
