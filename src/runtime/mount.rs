//! One mount of config.json: its options, its target inside the root, and the tree that goes there.

use crate::error::{Context, Error, Kind, Result};
use crate::oci::spec::Mount;
use crate::runtime::rootfs::{Rootfs, only};
use crate::runtime::walk::{self, Leaf};
use crate::sys;
use crate::sys::mount::{self as kernel, Attributes};
use rustix::fs::{FileType, OFlags, PROC_SUPER_MAGIC, ResolveFlags};
use rustix::io::Errno;
use rustix::mount::{MountAttrFlags, MountPropagationFlags};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

/// The only files below /proc that may be mounted on: runc's list, made for lxcfs.
const PROC_FILES: [&str; 10] = [
    "cpuinfo",
    "diskstats",
    "meminfo",
    "stat",
    "swaps",
    "uptime",
    "loadavg",
    "slabinfo",
    "sys/kernel/ns_last_pid",
    "sys/crypto/fips_enabled",
];

/// Mount options, understood.
#[derive(Debug, PartialEq, Eq)]
struct Options<'a> {
    set: MountAttrFlags,
    clear: MountAttrFlags,
    /// The changes are for the mounts below as well (`rro` and its like).
    recursive: bool,
    propagation: MountPropagationFlags,
    /// A bind mount; with what is mounted below the source if true.
    bind: Option<bool>,
    /// For the file system itself.
    data: Vec<&'a str>,
}

/// Make the mount. Its target resolves inside the root, whatever links the image has.
pub fn make(rootfs: &mut Rootfs<'_>, mount: &Mount) -> Result<()> {
    let destination = mount.destination.as_deref().unwrap_or_default();
    if destination.is_empty() {
        return Err(Error::invalid("config.json: a mount has no destination"));
    }
    make_at(rootfs, mount, Path::new(destination)).context(|| {
        let source = mount.source.as_deref().or(mount.kind.as_deref());
        format!(
            "error mounting {:?} to rootfs at {destination:?}",
            source.unwrap_or_default()
        )
    })
}

fn make_at(rootfs: &mut Rootfs<'_>, mount: &Mount, destination: &Path) -> Result<()> {
    let options = Options::parse(mount)?;
    let kind = mount.kind.as_deref().unwrap_or_default();
    let (tree, leaf) = match options.bind {
        Some(recursive) => {
            let source = rootfs
                .plan
                .bundle
                .join(mount.source.as_deref().unwrap_or_default());
            let tree = kernel::clone_tree(&source, recursive)?;
            let leaf = leaf_of(tree.as_fd())?;
            (tree, leaf)
        }
        None => match new_tree(kind, mount, &options)? {
            Some(tree) => (tree, Leaf::Dir),
            None => return Ok(()),
        },
    };

    let target = target(rootfs, destination, kind, leaf)?;
    check_proc(rootfs, tree.as_fd(), target.as_fd(), kind, &options)?;
    if leaf_of(target.as_fd())? != leaf {
        return Err(Error::invalid(
            "not a directory: Are you trying to mount a directory onto a file (or vice-versa)? Check if the specified host path exists and is the expected type",
        ));
    }

    let mut changes = options.changes();
    let late = destination == Path::new("/dev")
        && options.bind.is_none()
        && changes.set.contains(MountAttrFlags::MOUNT_ATTR_RDONLY);
    if late {
        changes.set.remove(MountAttrFlags::MOUNT_ATTR_RDONLY);
    }
    put(&tree, &target, changes, options.propagation, destination)?;
    if late {
        rootfs.late_readonly.push(tree);
    }
    Ok(())
}

/// A new file system. `None`: this kernel has nothing to put there, and nothing is missed.
fn new_tree(kind: &str, mount: &Mount, options: &Options<'_>) -> Result<Option<OwnedFd>> {
    let source = mount.source.as_deref();
    let none = MountAttrFlags::empty();
    let kind = match kind {
        "cgroup" => "cgroup2",
        other => other,
    };
    match kernel::new_tree(kind, source, &options.data, none) {
        Ok(tree) => Ok(Some(tree)),
        // A user namespace may not mount its own: the host's, read-only by the options.
        Err(Errno::PERM) if kind == "sysfs" => {
            kernel::clone_tree(Path::new("/sys"), true).map(Some)
        }
        Err(Errno::PERM | Errno::BUSY) if kind == "cgroup2" => {
            kernel::clone_tree(Path::new("/sys/fs/cgroup"), true).map(Some)
        }
        // Built without cgroups or POSIX queues: the directory stays empty.
        Err(Errno::NODEV) if matches!(kind, "cgroup2" | "mqueue") => Ok(None),
        Err(errno) => Err(sys::failed("mount", kind, errno)),
    }
}

/// Where the mount goes. The three great ones must be ordinary directories: through a link they
/// would land elsewhere, and what is made safe in them later would not be them (CVE-2019-19921,
/// CVE-2026-41579).
fn target(rootfs: &Rootfs<'_>, path: &Path, kind: &str, leaf: Leaf) -> Result<OwnedFd> {
    let clean: PathBuf = path.components().collect();
    let great = ["/dev", "/proc", "/sys"]
        .iter()
        .any(|name| clean == Path::new(name));
    if !great && !matches!(kind, "proc" | "sysfs") {
        return walk::ensure(rootfs.root.as_fd(), path, leaf);
    }
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let found = rustix::fs::openat2(
        &rootfs.root,
        path,
        flags,
        rustix::fs::Mode::empty(),
        ResolveFlags::IN_ROOT | ResolveFlags::NO_SYMLINKS,
    );
    let what = if kind.is_empty() { "bind" } else { kind };
    let refused = || {
        Error::invalid(format!(
            "filesystem {what:?} must be mounted on ordinary directory"
        ))
    };
    match found {
        Ok(found) if leaf_of(found.as_fd())? == Leaf::Dir => Ok(found),
        Err(Errno::NOENT) => {
            let made = walk::ensure(rootfs.root.as_fd(), path, Leaf::Dir)?;
            // A link that leads nowhere ends here too.
            match walk::path_of(rootfs.root.as_fd(), made.as_fd())? == clean {
                true => Ok(made),
                false => Err(refused()),
            }
        }
        Ok(_) | Err(Errno::LOOP) => Err(refused()),
        Err(errno) => Err(sys::failed("open in root", path.display(), errno)),
    }
}

/// Nothing may lie over /proc but a procfs, and nothing below it but the ten files: whoever can
/// fake files there undoes masks and writes of LSM labels (CVE-2019-16884).
fn check_proc(
    rootfs: &Rootfs<'_>,
    tree: BorrowedFd<'_>,
    target: BorrowedFd<'_>,
    kind: &str,
    options: &Options<'_>,
) -> Result<()> {
    let path = walk::path_of(rootfs.root.as_fd(), target)?;
    let Ok(inside) = path.strip_prefix("/proc") else {
        // Another name for a procfs, a bind of it for instance, is no way round.
        return match is_proc(target)? && kind != "proc" {
            true => Err(inside_proc(&path)),
            false => Ok(()),
        };
    };
    if inside.as_os_str().is_empty() {
        let is_procfs = kind == "proc" || (options.bind.is_some() && is_proc(tree)?);
        return match is_procfs {
            true => Ok(()),
            false => Err(Error::invalid(format!(
                "{:?} cannot be mounted because it is not of type proc",
                path.display()
            ))),
        };
    }
    match PROC_FILES.iter().any(|file| inside == Path::new(file)) {
        true => Ok(()),
        false => Err(inside_proc(&path)),
    }
}

fn inside_proc(path: &Path) -> Error {
    Error::invalid(format!(
        "{:?} cannot be mounted because it is inside /proc",
        path.display().to_string()
    ))
}

fn is_proc(fd: BorrowedFd<'_>) -> Result<bool> {
    rustix::fs::fstatfs(fd)
        .map(|data| data.f_type == PROC_SUPER_MAGIC)
        .map_err(|errno| sys::failed("fstatfs", "mount point", errno))
}

fn leaf_of(fd: BorrowedFd<'_>) -> Result<Leaf> {
    let stat = rustix::fs::fstat(fd).map_err(|errno| sys::failed("fstat", "mount", errno))?;
    Ok(match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => Leaf::Dir,
        _ => Leaf::File,
    })
}

/// Put a detached tree on its target, with its attributes set before anybody can see it.
pub fn put(
    tree: &OwnedFd,
    target: &OwnedFd,
    changes: Attributes,
    propagation: MountPropagationFlags,
    name: &Path,
) -> Result<()> {
    let unchanged = changes.set.is_empty() && changes.clear.is_empty() && propagation.is_empty();
    let early = match unchanged {
        true => Ok(()),
        false => kernel::set_attributes(tree, changes, propagation),
    };
    let failed = |errno| sys::failed("set mount attributes of", name.display(), errno);
    match early {
        Ok(()) => kernel::attach(tree, target, name.display()),
        Err(Errno::NOSYS) => {
            kernel::attach(tree, target, name.display())?;
            kernel::remount(tree.as_fd(), changes).map_err(failed)?;
            match propagation.is_empty() {
                true => Ok(()),
                false => kernel::set_propagation(tree.as_fd(), propagation).map_err(failed),
            }
        }
        Err(errno) => Err(failed(errno)),
    }
}

/// Change the flags of an attached mount.
pub fn change(tree: BorrowedFd<'_>, changes: Attributes) -> Result<()> {
    match kernel::set_attributes(tree, changes, MountPropagationFlags::empty()) {
        Err(Errno::NOSYS) => kernel::remount(tree, changes),
        other => other,
    }
    .map_err(|errno| sys::failed("mount_setattr", "mount", errno))
}

/// Make `tree` a read-only mount on what `target` names.
pub fn put_readonly(tree: &OwnedFd, target: &OwnedFd, name: &Path) -> Result<()> {
    let changes = only(MountAttrFlags::MOUNT_ATTR_RDONLY);
    put(tree, target, changes, MountPropagationFlags::empty(), name)
}

/// A propagation by its name in config.json.
pub fn propagation(name: &str) -> Result<MountPropagationFlags> {
    let (name, recursive) = match name.strip_prefix('r') {
        Some(rest) => (rest, MountPropagationFlags::REC),
        None => (name, MountPropagationFlags::empty()),
    };
    let kind = match name {
        "private" => MountPropagationFlags::PRIVATE,
        "slave" => MountPropagationFlags::DOWNSTREAM,
        "shared" => MountPropagationFlags::SHARED,
        "unbindable" => MountPropagationFlags::UNBINDABLE,
        _ => {
            return Err(Error::invalid(format!(
                "mount propagation {name:?} does not exist"
            )));
        }
    };
    Ok(kind | recursive)
}

/// A flag by its name: what to set, or (false) to clear.
fn flag(name: &str) -> Option<(MountAttrFlags, bool)> {
    Some(match name {
        "ro" => (MountAttrFlags::MOUNT_ATTR_RDONLY, true),
        "rw" => (MountAttrFlags::MOUNT_ATTR_RDONLY, false),
        "nosuid" => (MountAttrFlags::MOUNT_ATTR_NOSUID, true),
        "suid" => (MountAttrFlags::MOUNT_ATTR_NOSUID, false),
        "nodev" => (MountAttrFlags::MOUNT_ATTR_NODEV, true),
        "dev" => (MountAttrFlags::MOUNT_ATTR_NODEV, false),
        "noexec" => (MountAttrFlags::MOUNT_ATTR_NOEXEC, true),
        "exec" => (MountAttrFlags::MOUNT_ATTR_NOEXEC, false),
        "nodiratime" => (MountAttrFlags::MOUNT_ATTR_NODIRATIME, true),
        "diratime" => (MountAttrFlags::MOUNT_ATTR_NODIRATIME, false),
        "nosymfollow" => (MountAttrFlags::MOUNT_ATTR_NOSYMFOLLOW, true),
        "symfollow" => (MountAttrFlags::MOUNT_ATTR_NOSYMFOLLOW, false),
        "noatime" => (MountAttrFlags::MOUNT_ATTR_NOATIME, true),
        "strictatime" => (MountAttrFlags::MOUNT_ATTR_STRICTATIME, true),
        "relatime" | "atime" | "norelatime" | "nostrictatime" => {
            (MountAttrFlags::MOUNT_ATTR__ATIME, false)
        }
        _ => return None,
    })
}

impl Options<'_> {
    fn parse(mount: &Mount) -> Result<Options<'_>> {
        let mut options = Options {
            set: MountAttrFlags::empty(),
            clear: MountAttrFlags::empty(),
            recursive: false,
            propagation: MountPropagationFlags::empty(),
            bind: (mount.kind.as_deref() == Some("bind")).then_some(false),
            data: Vec::new(),
        };
        for option in mount.options.iter().flatten() {
            options.take(option)?;
        }
        // A bind mount has no file system of its own to tell.
        match (options.bind, options.data.first()) {
            (Some(_), Some(unknown)) => Err(Error::invalid(format!(
                "mount option {unknown:?} is not known for a bind mount"
            ))),
            _ => Ok(options),
        }
    }

    fn changes(&self) -> Attributes {
        Attributes {
            set: self.set,
            clear: self.clear,
            recursive: self.recursive,
        }
    }
}

impl<'a> Options<'a> {
    fn take(&mut self, option: &'a str) -> Result<()> {
        let recursive = option.strip_prefix('r').and_then(flag);
        match (option, flag(option), recursive) {
            ("bind", ..) => self.bind = Some(self.bind.unwrap_or(false)),
            ("rbind", ..) => self.bind = Some(true),
            ("defaults", ..) => {}
            ("tmpcopyup" | "idmap" | "ridmap", ..) => {
                return Err(Error::new(
                    Kind::Unsupported,
                    format!("mount option {option:?} is not supported"),
                ));
            }
            (_, Some(change), _) => self.set_flag(change),
            (_, None, Some(change)) => {
                self.recursive = true;
                self.set_flag(change);
            }
            _ => match propagation(option) {
                Ok(propagation) => self.propagation = propagation,
                Err(_) => self.data.push(option),
            },
        }
        Ok(())
    }

    fn set_flag(&mut self, (flag, on): (MountAttrFlags, bool)) {
        // The times of access are one field of which a value is chosen: cleared, then set.
        if MountAttrFlags::MOUNT_ATTR__ATIME.contains(flag) {
            self.clear |= MountAttrFlags::MOUNT_ATTR__ATIME;
            self.set.remove(MountAttrFlags::MOUNT_ATTR__ATIME);
        } else {
            self.clear.remove(flag);
            self.set.remove(flag);
        }
        match on {
            true => self.set |= flag,
            false => self.clear |= flag,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mount(kind: &str, options: &[&str]) -> Mount {
        Mount {
            kind: Some(kind.to_string()),
            options: Some(options.iter().map(|text| (*text).to_string()).collect()),
            ..Mount::default()
        }
    }

    #[test]
    fn flags_propagation_and_data_are_told_apart() {
        let mount = mount(
            "tmpfs",
            &[
                "nosuid",
                "strictatime",
                "mode=755",
                "size=65536k",
                "rprivate",
            ],
        );
        let options = Options::parse(&mount).unwrap();
        assert_eq!(options.data, ["mode=755", "size=65536k"]);
        assert_eq!(
            options.set,
            MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_STRICTATIME
        );
        assert_eq!(options.clear, MountAttrFlags::MOUNT_ATTR__ATIME);
        assert_eq!(
            options.propagation,
            MountPropagationFlags::PRIVATE | MountPropagationFlags::REC
        );
        assert_eq!(options.bind, None);
    }

    #[test]
    fn the_last_word_on_a_flag_counts() {
        let mount = mount("none", &["bind", "ro", "rbind", "rw", "rro"]);
        let options = Options::parse(&mount).unwrap();
        assert_eq!(options.bind, Some(true));
        assert_eq!(options.set, MountAttrFlags::MOUNT_ATTR_RDONLY);
        assert!(options.clear.is_empty() && options.recursive);
    }

    #[test]
    fn nothing_is_dropped_silently() {
        for bad in ["idmap", "tmpcopyup", "wonder"] {
            assert!(
                Options::parse(&mount("bind", &["rbind", bad])).is_err(),
                "{bad}"
            );
        }
    }
}
