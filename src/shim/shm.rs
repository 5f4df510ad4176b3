//! /dev/shm of another container, for one that shares its IPC namespace (`--ipc container:ID`).
//!
//! Mounts of containers are nowhere on the host. So we go into the donor's mount namespace for a
//! moment, take a detached copy of what is mounted there, and come back with it.

use crate::error::{Error, Result};
use crate::sys::{failed, fs, mount, namespace, process};
use std::path::Path;

/// Where it is, as every image knows it.
const SHM: &str = "/dev/shm";

/// Mount the /dev/shm of the process `pid` on `target` in our mount namespace.
///
/// The caller has one thread and a mount namespace of its own. What the image of the donor makes of
/// the path stays within the donor's own tree.
pub fn share(pid: i32, target: &Path) -> Result<()> {
    std::fs::create_dir(target)
        .map_err(|e| Error::io(format_args!("make directory {}", target.display()), &e))?;
    let join = |file| {
        namespace::join(file, namespace::MOUNT)
            .map_err(|errno| failed("join", "mount namespace", errno))
    };
    let (own, theirs) = (namespace::own("mnt")?, namespace::of_process(pid, "mnt")?);
    let (root, here) = (
        fs::open_path(Path::new("/"))?,
        fs::open_path(Path::new("."))?,
    );

    join(&theirs)?;
    let tree = mount::clone_tree(Path::new(SHM), false);
    // Whoever joins a mount namespace stands at its root.
    join(&own)?;
    process::change_root_to(&root, Path::new("/"))?;
    process::change_dir_to(&here, Path::new("."))?;

    let place = fs::open_path(target)?;
    mount::attach(&tree?, &place, target.display())
}
