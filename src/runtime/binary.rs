//! Our own executable, out of containers' reach.
//!
//! What we run inside a container can be opened there as /proc/PID/exe, and written to once nobody
//! executes it any more (CVE-2019-5736). So everything that forks container processes executes
//! from a copy that nobody can write.

use crate::error::{Error, Result};
use crate::sys::{failed, fs, mount};
use rustix::fs::{MemfdFlags, SealFlags, StatVfsMountFlags};
use rustix::mount::{MountAttrFlags, MountPropagationFlags};
use std::io::Write;
use std::os::fd::OwnedFd;
use std::path::Path;

const OWN: &str = "/proc/self/exe";

/// A descriptor of our executable for execveat(2), such as nobody can write through: on a read-only
/// mount of its own, that is attached nowhere, or a sealed copy in memory where the kernel cannot
/// do that (before 5.12, or for who may not mount).
pub fn protected() -> Result<OwnedFd> {
    match copy()? {
        Some(copy) => Ok(copy),
        None => fs::open_path(Path::new(OWN)),
    }
}

/// The same for who wants to execute it only if he has to: `None` if we run from such a copy
/// already, or from a read-only root, which serves as well.
pub fn copy() -> Result<Option<OwnedFd>> {
    let own = Path::new(OWN);
    let flags = rustix::fs::statvfs(own)
        .map_err(|errno| failed("statvfs", OWN, errno))?
        .f_flag;
    if flags.contains(StatVfsMountFlags::RDONLY) {
        return Ok(None);
    }
    let readonly = mount::clone_tree(own, false).and_then(|tree| {
        let changes = mount::Attributes {
            set: MountAttrFlags::MOUNT_ATTR_RDONLY,
            clear: MountAttrFlags::empty(),
            recursive: false,
        };
        mount::set_attributes(&tree, changes, MountPropagationFlags::PRIVATE)
            .map_err(|errno| failed("mount_setattr", OWN, errno))?;
        Ok(tree)
    });
    match readonly {
        Ok(tree) => Ok(Some(tree)),
        Err(_) if is_sealed() => Ok(None),
        Err(_) => sealed_copy(own).map(Some),
    }
}

/// Seals are asked of a memfd opened anew; of an O_PATH descriptor they cannot be asked.
fn is_sealed() -> bool {
    std::fs::File::open(OWN)
        .ok()
        .and_then(|own| rustix::fs::fcntl_get_seals(&own).ok())
        .is_some_and(|seals| seals.contains(SealFlags::WRITE))
}

fn sealed_copy(own: &Path) -> Result<OwnedFd> {
    let bytes = fs::read(own)?;
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let copy = rustix::fs::memfd_create(c"tug", flags)
        .map_err(|errno| failed("memfd_create", "tug", errno))?;
    let mut file = std::fs::File::from(copy);
    file.write_all(&bytes)
        .map_err(|error| Error::io("write sealed copy", &error))?;
    let copy = OwnedFd::from(file);
    let seals = SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE;
    rustix::fs::fcntl_add_seals(&copy, seals)
        .map_err(|errno| failed("seal", "copy of this binary", errno))?;
    Ok(copy)
}
