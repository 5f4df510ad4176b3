//! Files of cgroup v2, by the descriptor of a group's directory.
//!
//! They answer the plain errno: for a cgroup, which error it is decides what to do.

use rustix::fs::{CWD, Mode, OFlags, XattrFlags};
use rustix::io::Errno;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::Path;

/// Whether cgroup v2 is mounted on `path` (statfs(2)).
pub fn is_mounted_on(path: &str) -> bool {
    /// CGROUP2_SUPER_MAGIC of <linux/magic.h>.
    const MAGIC: u64 = 0x6367_7270;
    rustix::fs::statfs(path).is_ok_and(|stat| stat.f_type as u64 == MAGIC)
}

/// mkdir(2), with the mode that groups have: everybody may look.
pub fn make(path: &Path) -> Result<(), Errno> {
    rustix::fs::mkdirat(CWD, path, Mode::from_raw_mode(0o755))
}

/// rmdir(2).
pub fn remove(path: &Path) -> Result<(), Errno> {
    rustix::fs::unlinkat(CWD, path, rustix::fs::AtFlags::REMOVEDIR)
}

/// Only who has CAP_SYS_ADMIN on the host sees and sets it: not a container in its own group.
const MARK: &str = "trusted.tug";

/// Note who uses the group, on its directory.
pub fn set_mark(group: BorrowedFd<'_>, text: &str) -> Result<(), Errno> {
    rustix::fs::fsetxattr(group, MARK, text.as_bytes(), XattrFlags::empty())
}

/// What `set_mark` has noted, if anything.
pub fn mark(group: BorrowedFd<'_>) -> Result<String, Errno> {
    let mut buffer = [0u8; 64];
    let length = rustix::fs::fgetxattr(group, MARK, &mut buffer)?;
    let text = buffer.get(..length).unwrap_or_default();
    Ok(String::from_utf8_lossy(text).into_owned())
}

/// A group's file for reading, or, with PRI, for poll(2).
pub fn open(group: BorrowedFd<'_>, file: &str) -> Result<OwnedFd, Errno> {
    rustix::fs::openat(group, file, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
}

/// All of an open file, from its beginning; afterwards poll(2) tells the next change.
pub fn read_open(file: BorrowedFd<'_>) -> Result<String, Errno> {
    let mut text = Vec::new();
    let mut buffer = [0u8; 4096];
    loop {
        match rustix::io::pread(file, &mut buffer, text.len() as u64) {
            Ok(0) => return Ok(String::from_utf8_lossy(&text).into_owned()),
            Ok(count) => text.extend_from_slice(&buffer[..count]),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
}

pub fn read(group: BorrowedFd<'_>, file: &str) -> Result<String, Errno> {
    use std::os::fd::AsFd;
    read_open(open(group, file)?.as_fd())
}

/// Write `value` with one write(2): these files take it whole or not at all.
pub fn write(group: BorrowedFd<'_>, file: &str, value: &str) -> Result<(), Errno> {
    let file = rustix::fs::openat(group, file, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
    rustix::io::retry_on_intr(|| rustix::io::write(&file, value.as_bytes())).map(drop)
}
