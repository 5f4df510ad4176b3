//! Loop devices (loop(4)): a file that is used like a disk.

use crate::error::{Error, Result};
use crate::sys::raw::{self, LoopConfig, LoopInfo};
use crate::sys::{failed, fs};
use rustix::io::Errno;
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd};
use std::path::{Path, PathBuf};

// <linux/loop.h>, which linux-raw-sys carries in part.
const LO_FLAGS_READ_ONLY: u32 = 1;
const LO_FLAGS_AUTOCLEAR: u32 = 4;
const LO_FLAGS_DIRECT_IO: u32 = 16;

/// A loop device over `path`, and its descriptor: the kernel takes the device apart when
/// its last user (this descriptor, a mount) has gone. One that is there already serves again, so
/// that what was read of it is in memory once. `block_bytes` is the unit in which it will be read,
/// where that is known: then the file's own file system need not keep a second copy in memory.
/// Who writes must keep others off meanwhile: two devices over one file would not see each other.
pub fn attach(path: &Path, block_bytes: u32, readonly: bool) -> Result<(File, PathBuf)> {
    let open = |path: &Path| open(path, readonly);
    let file = open(path)?;
    let stat = fs::stat(file.as_fd())?;
    if let Some(found) = find(stat.st_dev, stat.st_ino, readonly)? {
        return Ok(found);
    }
    let control = open(Path::new("/dev/loop-control"))?;
    let mut config = LoopConfig {
        fd: file.as_raw_fd() as u32,
        block_size: block_bytes,
        info: LoopInfo::new(),
        reserved: [0; 8],
    };
    config.info.flags = LO_FLAGS_AUTOCLEAR;
    if readonly {
        config.info.flags |= LO_FLAGS_READ_ONLY;
    }
    if block_bytes > 0 {
        config.info.flags |= LO_FLAGS_DIRECT_IO;
    }
    let mut attempts = 0;
    loop {
        let number = raw::free_loop(control.as_fd());
        let number = number.map_err(|errno| failed("find", "a free loop device", errno))?;
        let name = PathBuf::from(format!("/dev/loop{number}"));
        let device = open(&name)?;
        match raw::configure_loop(device.as_fd(), &config) {
            Ok(()) => return Ok((device, name)),
            // Somebody else was faster.
            Err(Errno::BUSY) if attempts < 100 => attempts += 1,
            Err(errno) => return Err(failed("set up", name.display(), errno)),
        }
    }
}

/// A loop device of the same kind over the file that these numbers name. To write, any is better than
/// a second one, and not to know is an error.
fn find(device: u64, inode: u64, readonly: bool) -> Result<Option<(File, PathBuf)>> {
    let wanted = match readonly {
        true => LO_FLAGS_READ_ONLY | LO_FLAGS_AUTOCLEAR,
        false => 0,
    };
    let all = match std::fs::read_dir("/sys/block") {
        Err(error) if !readonly => return Err(Error::io("read /sys/block", &error)),
        all => all,
    };
    for entry in all.into_iter().flatten().flatten() {
        // Only those that are set up have this directory; opening the others is for nothing.
        if !entry.path().join("loop").exists() {
            continue;
        }
        let name = Path::new("/dev").join(entry.file_name());
        let Ok(opened) = open(&name, readonly) else {
            continue;
        };
        let mut info = LoopInfo::new();
        if raw::loop_status(opened.as_fd(), &mut info).is_ok()
            && (info.device, info.inode) == (device, inode)
            && (info.offset, info.size_limit) == (0, 0)
            && info.flags & wanted == wanted
        {
            return Ok(Some((opened, name)));
        }
    }
    Ok(None)
}

fn open(path: &Path, readonly: bool) -> Result<File> {
    let opened = File::options().read(true).write(!readonly).open(path);
    opened.map_err(|e| Error::io(format_args!("open {}", path.display()), &e))
}
