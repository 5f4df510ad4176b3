//! Where the engine of a boot keeps its state: in the data root, or in memory where that cannot be
//! written.

use crate::boot::console;
use crate::engine::config::Options;
use crate::sys::{fs, mount};
use linux_raw_sys::general::RAMFS_MAGIC;
use rustix::io::Errno;
use std::path::{Path, PathBuf};

/// The data root of this boot. Once it is memory it stays so, whatever becomes of the disk: the
/// containers that run are there.
pub fn data_root(options: &Options) -> PathBuf {
    let memory = options.exec_root.join("data");
    if memory.exists() {
        return memory;
    }
    let wanted = options.data_root.clone();
    let made = std::fs::create_dir_all(&wanted);
    let why = match made {
        Ok(()) => fs::writable(&wanted).err(),
        Err(error) => error.raw_os_error().map(Errno::from_raw_os_error),
    };
    let why = match why {
        None if is_ramfs(&wanted) => "overlayfs takes no ramfs, as this initramfs is".to_string(),
        // On a full disk what is there can still be started.
        None | Some(Errno::NOSPC | Errno::DQUOT) => return wanted,
        Some(errno) => errno.to_string(),
    };
    console::say(format_args!(
        "{} cannot be written ({why}): this boot's state is in {}, and is gone with it",
        wanted.display(),
        memory.display()
    ));
    memory
}

/// What the root is where the kernel has unpacked an initramfs into no tmpfs (`root=` was given).
fn is_ramfs(path: &Path) -> bool {
    let place = fs::open_path(path);
    place.is_ok_and(|place| mount::file_system(&place).is_ok_and(|kind| kind == RAMFS_MAGIC))
}
