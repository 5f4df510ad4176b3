//! What a supervising process asks of the kernel about itself.

use crate::error::Result;
use crate::sys::failed;
use rustix::mount::{MountPropagationFlags, UnmountFlags};
use rustix::thread::UnshareFlags;
use std::ffi::CStr;
use std::os::fd::AsFd;
use std::path::Path;

/// Become the parent of descendants whose own parent has ended (PR_SET_CHILD_SUBREAPER).
pub fn adopt_orphans() -> Result<()> {
    let own = rustix::process::getpid();
    rustix::process::set_child_subreaper(Some(own))
        .map_err(|errno| failed("prctl", "PR_SET_CHILD_SUBREAPER", errno))
}

/// Whether somebody has made us one before (PR_GET_CHILD_SUBREAPER).
pub fn adopts_orphans() -> bool {
    matches!(rustix::process::child_subreaper(), Ok(Some(_)))
}

/// The name that `ps` shows, of which the kernel keeps 15 bytes.
pub fn set_name(name: &CStr) {
    let _ = rustix::thread::set_name(name);
}

/// A mount namespace of its own: what is mounted here is seen nowhere else and goes with the last
/// process in it, while an unmount on the host still arrives. The caller has one thread.
#[allow(unsafe_code)]
pub fn private_mounts() -> Result<()> {
    // SAFETY: no descriptor table or memory is unshared, only mounts (and with them the current
    // directory), so no other code's descriptors or addresses change meaning.
    unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNS) }
        .map_err(|errno| failed("unshare", "mount namespace", errno))?;
    let flags = MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC;
    rustix::mount::mount_change("/", flags).map_err(|errno| failed("make slave", "/", errno))
}

/// umount2(2); lazily if something still uses it.
pub fn unmount(path: &Path) -> Result<()> {
    rustix::mount::unmount(path, UnmountFlags::NOFOLLOW)
        .or_else(|_| rustix::mount::unmount(path, UnmountFlags::NOFOLLOW | UnmountFlags::DETACH))
        .map_err(|errno| failed("unmount", path.display(), errno))
}

/// Put `file` in the place of standard output.
pub fn replace_stdout(file: impl AsFd) -> Result<()> {
    rustix::stdio::dup2_stdout(file).map_err(|errno| failed("dup2", "standard output", errno))
}
