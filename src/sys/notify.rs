//! Being told that files in a directory change (inotify(7)).

use crate::error::Result;
use crate::sys::failed;
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

/// Ready for reading when a file in the directory has been written to, made or renamed.
pub struct Changes(OwnedFd);

impl Changes {
    pub fn of_dir(dir: &Path) -> Result<Changes> {
        let fd = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)
            .map_err(|errno| failed("inotify_init", dir.display(), errno))?;
        let events = WatchFlags::MODIFY | WatchFlags::CREATE | WatchFlags::MOVED_TO;
        inotify::add_watch(&fd, dir, events)
            .map_err(|errno| failed("inotify_add_watch", dir.display(), errno))?;
        Ok(Changes(fd))
    }

    /// Forget what has been told so far. Do this before looking at the files, not after.
    pub fn clear(&self) {
        let mut buffer = [0u8; 4096];
        while rustix::io::read(&self.0, &mut buffer).is_ok_and(|count| count > 0) {}
    }
}

impl AsFd for Changes {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
