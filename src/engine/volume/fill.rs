//! What an image has where a volume is mounted is copied into the volume when the container is
//! created, if the volume is empty (moby, daemon: populateVolumes). The volume's own directory gets the
//! owner and the mode of the image's, even where that is empty.
//!
//! Neither side is trusted. The image's directory is found by the kernel with the image for its root
//! (CVE-2022-23648 was a runtime that joined paths here); what is copied is made by descriptors, no
//! link is followed.
//!
//! A mark beside `_data` says that the copy is under way. The power may fail: a volume with the mark is
//! emptied before anybody sees it, and filled for the next container as if nothing had been.

use crate::engine::Engine;
use crate::engine::container::Container;
use crate::engine::spec::wanted::{Kind, Wanted};
use crate::error::{Context, Error, Result};
use crate::image::pack::{Form, Packer};
use crate::image::unpack::{self, Copy, Owner};
use crate::image::view::{Base, View};
use crate::store::limit;
use crate::sys::fs::{self, ModifiedAt};
use crate::sys::is;
use crate::volume::{Volume, part};
use rustix::fs::{FileType, OFlags};
use rustix::io::Errno;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

impl Engine {
    /// Fill the volumes of a new container, whose directory in the making is `dir`.
    pub(in crate::engine) fn fill_volumes(&self, container: &Container, dir: &Path) -> Result<()> {
        let wanted = container.wanted()?.into_iter();
        let mut wanted: Vec<Wanted> = wanted.filter(|mount| mount.kind == Kind::Volume).collect();
        if wanted.is_empty() {
            return Ok(());
        }
        let _held = self.hold_volumes(container)?;
        // Outer ones first, whatever order they were given in.
        wanted.sort_by_key(|mount| mount.destination.matches('/').count());
        let mut files: Option<View> = None;
        for mount in &wanted {
            let volume = self.volumes.get(&mount.source)?;
            let target = part::open(&volume.data, &mount.subpath)?;
            if mount.volume.no_copy == Some(true) {
                continue;
            }
            let files = match &files {
                Some(files) => files,
                None => {
                    let mut layers = vec![limit::place(dir).join("upper")];
                    layers.extend(self.lower_dirs(container)?);
                    files.insert(View::open(&Base::Layers(&layers), &[], dir, true)?)
                }
            };
            self.fill(container, &volume, mount, &files.root, target)
                .context(|| format!("fill volume {} with what the image has", volume.name))?;
        }
        Ok(())
    }

    fn fill(
        &self,
        container: &Container,
        volume: &Volume,
        mount: &Wanted,
        image: &OwnedFd,
        target: OwnedFd,
    ) -> Result<()> {
        let place = &mount.destination;
        let source = match fs::open_inside(image, Path::new(place), OFlags::PATH) {
            Err(error) if is(&error, Errno::NOENT) => return Ok(()),
            found => found?,
        };
        let stat = fs::stat(source.as_fd())?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
            return Err(Error::invalid(format!(
                "cannot mount volume over existing file, file exists {place}"
            )));
        }
        let _filling = self.volumes.begin_filling(volume)?;
        let target = fs::reopen(target.as_fd(), OFlags::RDONLY | OFlags::DIRECTORY)?;
        if !is_empty(&target)? {
            return Ok(());
        }
        let has_files = !is_empty(&source)?;
        // Of a container with `--rm` nothing is left after a power cut.
        let durable = !(container.is_disposable() && container.named.contains_key(place));
        let is_marked = durable && has_files;
        if is_marked {
            self.volumes.mark(volume)?;
        }
        if has_files {
            copy_files(&source, &target).inspect_err(|_| {
                if is_marked {
                    self.volumes.give_up(volume);
                }
            })?;
        }
        copy_own(&source, &target)?;
        if durable {
            fs::sync_file_system(&volume.data)?;
        }
        match is_marked {
            true => self.volumes.unmark(volume),
            false => Ok(()),
        }
    }
}

/// Whether a directory has nothing that somebody has put there.
fn is_empty(dir: &OwnedFd) -> Result<bool> {
    let dir = fs::reopen(dir.as_fd(), OFlags::RDONLY | OFlags::DIRECTORY)?;
    let names = fs::sorted_names(dir.as_fd())?;
    // That is the file system's own.
    Ok(names.iter().all(|name| name.as_c_str() == c"lost+found"))
}

fn copy_files(source: &OwnedFd, target: &OwnedFd) -> Result<()> {
    let dup = |fd: &OwnedFd| fd.try_clone().map_err(|e| Error::io("dup", &e));
    let mut packer = Packer::new(dup(source)?, b"", Form::Tree)?;
    let how = Copy {
        base: Vec::new(),
        name: "the volume".to_string(),
        owner: Owner::Archive,
        keep_kinds: false,
        rename: None,
        may_go_on: &|| Ok(()),
    };
    unpack::copy_any(dup(target)?, &how, &mut packer).map(drop)
}

/// The owner, mode, attributes and time of the directory itself.
fn copy_own(source: &OwnedFd, target: &OwnedFd) -> Result<()> {
    let stat = fs::stat(source.as_fd())?;
    fs::chown(target.as_fd(), stat.st_uid, stat.st_gid)?;
    fs::chmod(target.as_fd(), stat.st_mode & 0o7777)?;
    for (name, value) in fs::attributes(source.as_fd())? {
        // What overlayfs writes there is about its own layers.
        if !name.to_bytes().starts_with(b"trusted.overlay.") {
            fs::set_attribute(target.as_fd(), &name, &value)?;
        }
    }
    fs::set_modified(target.as_fd(), ModifiedAt::of(&stat))
}
