//! Where the engine of a boot keeps its state: in the data root, or in memory where that cannot be
//! written.

use crate::boot::console;
use crate::engine::config::Options;
use crate::sys::fs;
use rustix::io::Errno;
use std::path::PathBuf;

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
    match why {
        // On a full disk what is there can still be started.
        None | Some(Errno::NOSPC | Errno::DQUOT) => wanted,
        Some(errno) => {
            console::say(format_args!(
                "{} cannot be written ({errno}): this boot's state is in {}, and is gone with it",
                wanted.display(),
                memory.display()
            ));
            memory
        }
    }
}
