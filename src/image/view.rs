//! A container's file tree in our hands, with what the user has mounted in it.
//!
//! The tree stands in a mount namespace that has no process: we hold the namespace and the tree's
//! root as descriptors. So nothing of it is seen on the host, nothing is left when we are killed, and
//! a path inside is a path below a descriptor. The mounts let nothing act: no device opens, no
//! program runs.
//!
//! What is there is what Docker shows: the layers and the user's bind mounts, but not /proc, /sys and
//! /dev. Beyond Docker, a running container's tmpfs mounts are there as well.

use crate::error::{Context, Error, Kind, Result};
use crate::image::overlay;
use crate::store::limit;
use crate::sys::mount::{self, Attributes};
use crate::sys::{fs, namespace, thread};
use crate::volume::part;
use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::mount::{MountAttrFlags, MountPropagationFlags};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

/// What the tree is made of.
pub enum Base<'a> {
    /// A shim has it mounted at `rootfs` in its mount namespace (`Kind::Gone` if not). A second overlay over the same
    /// directories would not see what the first one does.
    Mounted {
        shim: OwnedFd,
        rootfs: &'a Path,
        /// The mount namespace of the container itself.
        container: Option<OwnedFd>,
    },
    /// Nobody has it mounted: to read. `layers` are the upper directory and all below it.
    Layers(&'a [PathBuf]),
    /// Nobody has it mounted: to write.
    Writable {
        layers: &'a [PathBuf],
        upper: &'a Path,
        work: &'a Path,
    },
}

/// What the user has mounted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extra {
    /// None: a tmpfs.
    pub source: Option<PathBuf>,
    pub destination: PathBuf,
    pub readonly: bool,
    /// What is mounted of the source, if not all.
    pub subpath: String,
}

pub struct View {
    pub root: OwnedFd,
    /// As long as it is open, the mounts below the root are there.
    _namespace: OwnedFd,
}

/// What is mounted shall not act on this host.
const HARMLESS: MountAttrFlags = MountAttrFlags::MOUNT_ATTR_NODEV
    .union(MountAttrFlags::MOUNT_ATTR_NOSUID)
    .union(MountAttrFlags::MOUNT_ATTR_NOEXEC);

/// Enough for what the thread calls.
const STACK_BYTES: usize = 64 << 10;

impl View {
    /// `place` is a directory of ours to mount on, in the namespace that is made; if it has a disk
    /// (`store::limit`) which `base` names, that is attached before. `extra` are sorted, parents first.
    /// `readonly`: all but them.
    pub fn open(base: &Base<'_>, extra: &[Extra], place: &Path, readonly: bool) -> Result<View> {
        let mut made = None;
        let lost = || Err(Error::invalid("the thread that mounts has panicked"));
        std::thread::scope(|scope| {
            // A thread can leave the namespace of its process and cannot come back.
            let work = || made = Some(make(base, extra, place, readonly));
            thread::spawn_scoped(scope, "view", STACK_BYTES, Box::new(work)).map(drop)
        })
        .and_then(|()| made.unwrap_or_else(lost))
        .context(|| "mount the container's files")
    }
}

fn make(base: &Base<'_>, extra: &[Extra], place: &Path, readonly: bool) -> Result<View> {
    namespace::unshare_mounts()?;
    let own = namespace::of_thread("mnt")?;
    // Before anything is mounted: from then on a path below `place` leads into the container's tree.
    let trees = trees(base, extra, own.as_fd())?;
    let upper = match base {
        Base::Mounted { .. } => None,
        Base::Layers(layers) => layers.first().map(PathBuf::as_path),
        Base::Writable { upper, .. } => Some(*upper),
    };
    if upper.is_some_and(|upper| upper.parent() == Some(&limit::place(place))) {
        limit::attach(place)?;
    }
    let (root, writable) = match base {
        Base::Mounted { shim, rootfs, .. } => {
            join(shim.as_fd())?;
            let tree = mount::clone_tree(rootfs, false);
            join(own.as_fd())?;
            let tree = tree?;
            // Without the mount it is the bare directory that we see here: it was unmounted just now.
            let bare = fs::stat(fs::open_path(rootfs)?.as_fd())?;
            if fs::is_same(&fs::stat(tree.as_fd())?, &bare) {
                return Err(Error::new(
                    Kind::Gone,
                    "the shim has unmounted the container",
                ));
            }
            mount::attach(&tree, fs::open_path(place)?, place.display())?;
            (tree, true)
        }
        // Overlayfs wants two; one can be seen as it is.
        Base::Layers([only]) => {
            let tree = mount::clone_tree(only, false)?;
            mount::attach(&tree, fs::open_path(place)?, place.display())?;
            (tree, false)
        }
        Base::Layers(layers) => {
            overlay::mount_readonly(layers, place)?;
            (fs::open_path(place)?, false)
        }
        Base::Writable {
            layers,
            upper,
            work,
        } => {
            overlay::mount(layers, upper, work, place, false)?;
            (fs::open_path(place)?, true)
        }
    };
    restrain(root.as_fd(), false, true)?;
    for (wanted, tree) in &trees {
        add(root.as_fd(), tree, wanted, writable)
            .context(|| format!("mount {}", wanted.destination.display()))?;
    }
    // Only now: what was missing of the places to mount on has been made.
    if readonly {
        restrain(root.as_fd(), true, false)?;
    }
    Ok(View {
        root,
        _namespace: own,
    })
}

/// What is to be mounted in the tree, detached.
fn trees<'a>(
    base: &Base<'_>,
    extra: &'a [Extra],
    own: BorrowedFd<'_>,
) -> Result<Vec<(&'a Extra, OwnedFd)>> {
    let mut trees = Vec::new();
    for wanted in extra {
        let tree = match (&wanted.source, base) {
            (Some(source), _) => source_tree(source, &wanted.subpath)?,
            (None, Base::Mounted { container, .. }) => {
                tmpfs_tree(container.as_ref(), &wanted.destination, own)?
            }
            (None, _) => None,
        };
        trees.extend(tree.map(|tree| (wanted, tree)));
    }
    Ok(trees)
}

fn join(other: BorrowedFd<'_>) -> Result<()> {
    namespace::join(other, namespace::MOUNT)
        .map_err(|errno| crate::sys::failed("setns", "mount namespace", errno))
}

/// What a bind shows. Where its source is gone from the host there is nothing to show, and what is
/// in the container can still be reached.
fn source_tree(source: &Path, subpath: &str) -> Result<Option<OwnedFd>> {
    let tree = match subpath {
        "" => mount::clone_tree(source, true),
        _ => part::open(source, subpath)
            .and_then(|found| mount::clone_tree_of(found, true, source.display())),
    };
    match tree {
        Err(e) if crate::sys::is(&e, Errno::NOENT) => Ok(None),
        cloned => cloned.map(Some),
    }
}

/// The tmpfs that the container has at `path`, unless it has something else there by now.
fn tmpfs_tree(
    container: Option<&OwnedFd>,
    path: &Path,
    own: BorrowedFd<'_>,
) -> Result<Option<OwnedFd>> {
    let Some(container) = container else {
        return Ok(None);
    };
    join(container.as_fd())?;
    let find = || {
        let root = fs::open_path(Path::new("/"))?;
        let there = fs::open_inside(&root, path, OFlags::PATH | OFlags::DIRECTORY)?;
        match mount::is_tmpfs(&there)? {
            true => mount::clone_tree_of(&there, false, path.display()).map(Some),
            false => Ok(None),
        }
    };
    let found = find();
    join(own)?;
    // It is the container's to unmount, or to bury.
    Ok(found.unwrap_or(None))
}

fn add(root: BorrowedFd<'_>, tree: &OwnedFd, wanted: &Extra, writable: bool) -> Result<()> {
    let target = match fs::open_inside(root, &wanted.destination, OFlags::PATH) {
        // A container that was never started has no mount points yet.
        Err(e) if crate::sys::is(&e, Errno::NOENT) => match writable {
            true => make_target(root, tree, &wanted.destination)?,
            false => return Ok(()),
        },
        found => found?,
    };
    mount::attach(tree, &target, wanted.destination.display())?;
    restrain(tree.as_fd(), wanted.readonly, true)
}

/// As the runtime makes it at the start.
fn make_target(root: BorrowedFd<'_>, tree: &OwnedFd, path: &Path) -> Result<OwnedFd> {
    use crate::image::inside::{self, components, kind};
    use std::os::unix::ffi::OsStrExt;
    let root = root
        .try_clone_to_owned()
        .map_err(|e| Error::io("dup root", &e))?;
    let mut path = components(path.as_os_str().as_bytes());
    let is_dir = kind(&fs::stat(tree.as_fd())?).is_dir();
    let last = if is_dir { None } else { path.pop() };
    let make = |parent: BorrowedFd<'_>, name: &Path| fs::make_dir_at(parent, name, 0o755);
    let mut real = inside::real(&root, &path, Some(&make))?;
    if let Some(name) = last {
        let parent = inside::open_dir(&root, &real)?;
        drop(fs::create_at(
            parent.as_fd(),
            inside::as_path(&name),
            0o644,
        )?);
        real.push(name);
    }
    fs::open_inside(&root, &inside::joined(&real), OFlags::PATH)
}

/// Take from an attached mount, and perhaps the mounts below it, what could act, and perhaps writing.
/// What happens to it here is not for the host.
fn restrain(tree: BorrowedFd<'_>, readonly: bool, recursive: bool) -> Result<()> {
    let readonly = match readonly {
        true => MountAttrFlags::MOUNT_ATTR_RDONLY,
        false => MountAttrFlags::empty(),
    };
    let attributes = Attributes {
        set: HARMLESS | readonly,
        recursive,
        ..Attributes::default()
    };
    let private = match recursive {
        true => MountPropagationFlags::PRIVATE | MountPropagationFlags::REC,
        false => MountPropagationFlags::PRIVATE,
    };
    match mount::set_attributes(tree, attributes, private) {
        // Linux before 5.12, which knows the old way for one mount at a time.
        Err(Errno::NOSYS) => {
            mount::set_propagation(tree, private).and_then(|()| mount::remount(tree, attributes))
        }
        set => set,
    }
    .map_err(|errno| crate::sys::failed("mount_setattr", "container's files", errno))
}
