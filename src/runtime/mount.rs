//! One mount of config.json: its target inside the root, and the tree that goes there.

use crate::error::{Context, Error, Result};
use crate::kernel::{explain, lacks_file_system};
use crate::oci::spec::Mount;
use crate::runtime::copyup;
use crate::runtime::options::Options;
use crate::runtime::plan::Plan;
use crate::runtime::program::reason;
use crate::runtime::rootfs::Rootfs;
use crate::runtime::target::{self, Target};
use crate::runtime::walk::{self, Leaf};
use crate::sys;
use crate::sys::mount::{self as kernel, Attributes};
use rustix::fs::FileType;
use rustix::io::Errno;
use rustix::mount::{MountAttrFlags, MountPropagationFlags};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

/// fsconfig(2) takes values up to this length.
const VALUE_MAX: usize = 255;

/// File systems whose read-only state is a matter of the mount: they have nothing on a disk that
/// would be written behind it, and often one superblock for all mounts.
const WITHOUT_DISK: [&str; 7] = [
    "proc", "sysfs", "tmpfs", "devpts", "mqueue", "cgroup", "cgroup2",
];

/// Make the mount of that number in config.json. Its target resolves inside the root, whatever
/// links the image has.
pub fn make(rootfs: &mut Rootfs<'_>, number: usize, mount: &Mount) -> Result<()> {
    let destination = mount.destination.as_deref().unwrap_or_default();
    if destination.is_empty() {
        return Err(Error::invalid("config.json: a mount has no destination"));
    }
    let options = Options::parse(mount).context(|| invalid(mount))?;
    let wanted = Wanted {
        mount,
        kind: mount.kind.as_deref().unwrap_or_default(),
        destination: Path::new(destination),
        options,
    };
    let made = match (
        &wanted.options,
        rootfs.trees.iter().find(|tree| tree.0 == number),
    ) {
        (_, Some((_, tree))) => wanted.put_source(rootfs, tree),
        (options, None) if options.bind.is_some() => source_tree(rootfs.plan, mount, options)
            .and_then(|tree| wanted.put_source(rootfs, &tree)),
        (options, None) if options.remount => wanted.remount(rootfs),
        _ => wanted.put_new(rootfs),
    };
    made.context(|| {
        let source = mount.source.as_deref().or(mount.kind.as_deref());
        format!(
            "error mounting {:?} to rootfs at {destination:?}",
            source.unwrap_or_default()
        )
    })
}

/// What stands in front of an error in the options.
pub fn invalid(mount: &Mount) -> String {
    let destination = mount.destination.as_deref().unwrap_or_default();
    format!("invalid mount {destination:?}")
}

/// What is to be bound: a detached copy of it.
pub fn source_tree(plan: &Plan<'_>, mount: &Mount, options: &Options<'_>) -> Result<OwnedFd> {
    let source = mount.source.as_deref().unwrap_or_default();
    if source.is_empty() {
        return Err(Error::invalid("a bind mount needs a source"));
    }
    let path = plan.bundle.join(source);
    let tree = match options.source_nofollow {
        true => kernel::clone_link(&path),
        false => kernel::clone_tree(&path, options.bind == Some(true)),
    };
    tree.map_err(|error| match error.errno.map(Errno::from_raw_os_error) {
        Some(errno @ (Errno::NOENT | Errno::NOTDIR)) => Error::with_errno(
            error.kind,
            error.errno,
            format!("stat {}: {}", path.display(), reason(errno)),
        ),
        _ => error,
    })
}

struct Wanted<'a> {
    mount: &'a Mount,
    kind: &'a str,
    destination: &'a Path,
    options: Options<'a>,
}

impl Wanted<'_> {
    /// A bind mount: `tree` is what it shows.
    fn put_source(&self, rootfs: &mut Rootfs<'_>, tree: &OwnedFd) -> Result<()> {
        let leaf = leaf_of(tree.as_fd())?;
        let target = target::find(
            rootfs.root.as_fd(),
            self.destination,
            self.kind,
            leaf,
            &self.options,
        )?;
        target.check_proc(rootfs.root.as_fd(), || walk::is_proc_root(tree.as_fd()))?;
        if leaf == Leaf::File && leaf_of(target.place.as_fd())? != leaf {
            return Err(target::wrong_kind());
        }
        set(tree, self.options.deep).context(|| self.destination.display().to_string())?;
        put(tree, &target.place, self.options.top, self.destination)?;
        self.propagate(tree)
    }

    /// A new file system.
    fn put_new(&self, rootfs: &mut Rootfs<'_>) -> Result<()> {
        let leaf = Leaf::Dir;
        let target = target::find(
            rootfs.root.as_fd(),
            self.destination,
            self.kind,
            leaf,
            &self.options,
        )?;
        target.check_proc(rootfs.root.as_fd(), || Ok(self.kind == "proc"))?;

        let late = self.is_late();
        let mode;
        let mut data = self.options.data.clone();
        if self.kind == "tmpfs"
            && !target.is_new
            && !data.iter().any(|option| option.starts_with("mode="))
        {
            // An image's /tmp stays what it is.
            mode = format!(
                "mode={:04o}",
                sys::fs::stat(target.place.as_fd())?.st_mode & 0o7777
            );
            data.insert(0, &mode);
        }
        let label;
        let linux = rootfs.plan.spec.linux.as_ref();
        let wanted = linux.and_then(|linux| linux.mount_label.as_deref());
        if let Some(wanted) =
            wanted.filter(|label| !label.is_empty() && !matches!(self.kind, "proc" | "sysfs"))
        {
            label = format!("context={wanted}");
            data.push(&label);
        }
        if self.options.is_readonly() && !WITHOUT_DISK.contains(&self.kind) {
            data.push("ro");
        }
        let mut flags = self.options.top.set | self.options.deep.set;
        if late {
            flags.remove(MountAttrFlags::MOUNT_ATTR_RDONLY);
        }
        if data.iter().any(|option| option.len() > VALUE_MAX) {
            return self.put_long(&target, &data, flags);
        }
        let Some(tree) = self.new_tree(&data, flags)? else {
            return Ok(());
        };
        if self.kind == "tmpfs" && self.options.copy_up && !target.is_new {
            let with_devices = !rootfs.forbids_nodes;
            copyup::copy(target.place.as_fd(), tree.as_fd(), with_devices)
                .context(|| format!("tmpcopyup: failed to copy {}", self.destination.display()))?;
        }
        kernel::attach(&tree, &target.place, self.destination.display())?;
        self.propagate(&tree)?;
        if late {
            rootfs.late_readonly.push(tree);
        }
        Ok(())
    }

    /// Whether it is written to after it is mounted, and read-only in the end.
    fn is_late(&self) -> bool {
        let is_ours = self.destination == Path::new("/dev") || self.options.copy_up;
        is_ours && self.options.is_readonly()
    }

    /// Last, because a mount on a shared one becomes shared.
    fn propagate(&self, tree: &OwnedFd) -> Result<()> {
        let mut kinds = self.options.propagation.iter();
        kinds.try_for_each(|kind| propagate(tree, *kind))
    }

    /// With options that are too long for the calls by descriptor.
    fn put_long(&self, target: &Target, data: &[&str], flags: MountAttrFlags) -> Result<()> {
        let private = MountPropagationFlags::PRIVATE;
        let is_private = |kind: &MountPropagationFlags| kind.contains(private);
        if !self.options.propagation.iter().all(is_private) || self.is_late() {
            return Err(Error::unsupported(format!(
                "options of more than {VALUE_MAX} bytes cannot go with a propagation, or at /dev"
            )));
        }
        let source = self.mount.source.as_deref();
        kernel::new_on(target.place.as_fd(), self.kind, source, data, flags)
    }

    /// A new file system. `None`: this kernel has nothing to put there, and nothing is missed.
    fn new_tree(&self, data: &[&str], flags: MountAttrFlags) -> Result<Option<OwnedFd>> {
        let kind = match self.kind {
            "cgroup" => "cgroup2",
            other => other,
        };
        let error = match kernel::new_tree(kind, self.mount.source.as_deref(), data, flags) {
            Ok(tree) => return Ok(Some(tree)),
            Err(error) => error,
        };
        let tree = match (kind, error.errno.map(Errno::from_raw_os_error)) {
            // A user namespace may not mount its own over a network that is not its: the host's.
            ("sysfs", Some(Errno::PERM)) => kernel::clone_tree(Path::new("/sys"), true)?,
            // Nor without a cgroup namespace: the container's own group, as it shows there.
            ("cgroup2", Some(Errno::PERM | Errno::BUSY)) => {
                match crate::cgroup::of_process(std::process::id() as i32)? {
                    Some(group) => kernel::clone_tree_of(group, false, "cgroup")?,
                    None => return Err(error),
                }
            }
            // Built without cgroups or POSIX queues: the directory stays empty.
            ("cgroup2" | "mqueue", Some(Errno::NODEV)) => return Ok(None),
            _ => {
                let why = || lacks_file_system(kind);
                return Err(explain(error, &[Errno::NODEV], &why));
            }
        };
        // In all of it: below /sys the host has mounted more.
        let changes = Attributes {
            set: flags,
            clear: MountAttrFlags::empty(),
            recursive: true,
        };
        set(&tree, changes)?;
        Ok(Some(tree))
    }

    /// Change what is mounted at the destination.
    fn remount(&self, rootfs: &mut Rootfs<'_>) -> Result<()> {
        let name = self.destination.display();
        let place = walk::open(rootfs.root.as_fd(), self.destination)?
            .ok_or_else(|| sys::failed("remount", &name, Errno::NOENT))?;
        if !self.options.data.is_empty() {
            kernel::reconfigure(&place, &name.to_string(), &self.options.data)?;
        }
        set(&place, self.options.deep)?;
        set(&place, self.options.top)?;
        self.propagate(&place)
    }
}

pub fn leaf_of(fd: BorrowedFd<'_>) -> Result<Leaf> {
    let stat = rustix::fs::fstat(fd).map_err(|errno| sys::failed("fstat", "mount", errno))?;
    Ok(match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => Leaf::Dir,
        _ => Leaf::File,
    })
}

/// Change the attributes of a mount.
pub fn set(tree: &OwnedFd, changes: Attributes) -> Result<()> {
    if changes.is_nothing() {
        return Ok(());
    }
    match kernel::set_attributes(tree, changes, MountPropagationFlags::empty()) {
        // Before 5.12.
        Err(Errno::NOSYS) if !changes.recursive => kernel::remount(tree.as_fd(), changes),
        other => other,
    }
    .map_err(|errno| match errno {
        // Mounts of another user namespace keep what protects them (mount_namespaces(7)).
        Errno::PERM if !changes.clear.is_empty() => sys::failed(
            "clear locked mount flags of",
            "mount from outside the user namespace",
            errno,
        ),
        _ => sys::failed("mount_setattr", "mount", errno),
    })
}

/// Put `tree` on what `target` names, changed from before anybody can see it.
pub fn put(tree: &OwnedFd, target: &OwnedFd, changes: Attributes, name: &Path) -> Result<()> {
    match set(tree, changes) {
        // Before 5.12 only an attached mount can be changed.
        Err(error) if sys::is(&error, Errno::INVAL) => {
            kernel::attach(tree, target, name.display())?;
            set(tree, changes)
        }
        other => other.and_then(|()| kernel::attach(tree, target, name.display())),
    }
    .context(|| name.display().to_string())
}

/// Change the propagation of an attached mount.
pub fn propagate(tree: &OwnedFd, kind: MountPropagationFlags) -> Result<()> {
    if kind.is_empty() {
        return Ok(());
    }
    match kernel::set_attributes(tree, Attributes::default(), kind) {
        Err(Errno::NOSYS) => kernel::set_propagation(tree.as_fd(), kind),
        other => other,
    }
    .map_err(|errno| sys::failed("set propagation of", "mount", errno))
}

/// Lexically, as a path inside the root.
pub fn clean(path: &Path) -> PathBuf {
    let mut clean = PathBuf::from("/");
    for name in path.components() {
        match name {
            std::path::Component::Normal(name) => clean.push(name),
            std::path::Component::ParentDir => {
                clean.pop();
            }
            _ => {}
        }
    }
    clean
}
