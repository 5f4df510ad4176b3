//! The terminal of a container: a pair from its own devpts.

use crate::error::{Error, Result};
use crate::oci::spec::{ConsoleSize, Process};
use crate::runtime::devices;
use crate::runtime::rootfs::Rootfs;
use crate::runtime::walk::{self, Leaf};
use crate::sys::{self, failed};
use rustix::fs::{FileType, FsWord, makedev};
use rustix::pty::OpenptFlags;
use rustix::termios::Winsize;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

/// DEVPTS_SUPER_MAGIC (statfs(2)).
const DEVPTS_MAGIC: FsWord = 0x1cd1;

pub struct Console {
    pub master: OwnedFd,
    pub slave: OwnedFd,
}

/// A new pair, and /dev/console in the container bound to it.
pub fn make(rootfs: &Rootfs<'_>) -> Result<Console> {
    let console = open(rootfs.root.as_fd(), rootfs.plan.process)?;
    let path = Path::new("/dev/console");
    let target = walk::ensure(rootfs.root.as_fd(), path, Leaf::File)?;
    let tree = sys::mount::clone_tree_of(&console.slave, false, "console")?;
    sys::mount::attach(&tree, &target, path.display())?;
    Ok(console)
}

/// A new pair from the devpts of the container whose root is given.
///
/// The slave is asked of the master (TIOCGPTPEER, Linux 4.13), never opened by its path, where
/// the image could have put something else (CVE-2025-52565).
pub fn open(root: BorrowedFd<'_>, process: &Process) -> Result<Console> {
    let path = Path::new("/dev/pts/ptmx");
    let master = sys::fs::open_inside(root, path, devices::TERMINAL)?;
    let stat =
        rustix::fs::fstat(&master).map_err(|errno| failed("fstat", path.display(), errno))?;
    let data =
        rustix::fs::fstatfs(&master).map_err(|errno| failed("fstatfs", path.display(), errno))?;
    let is_ptmx = FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice
        && stat.st_rdev == makedev(5, 2)
        && data.f_type == DEVPTS_MAGIC;
    if !is_ptmx {
        return Err(Error::invalid(
            "/dev/pts/ptmx in the container is no terminal multiplexer: mount a devpts there",
        ));
    }

    rustix::pty::unlockpt(&master).map_err(|errno| failed("unlock", "terminal", errno))?;
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let slave = rustix::pty::ioctl_tiocgptpeer(&master, flags)
        .map_err(|errno| failed("ioctl TIOCGPTPEER", "terminal", errno))?;
    if let Some(size) = process.console_size {
        resize(&master, size)?;
    }
    Ok(Console { master, slave })
}

fn resize(master: &OwnedFd, size: ConsoleSize) -> Result<()> {
    let size = Winsize {
        ws_row: size.height.unwrap_or(0),
        ws_col: size.width.unwrap_or(0),
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    if size.ws_row == 0 || size.ws_col == 0 {
        return Ok(());
    }
    rustix::termios::tcsetwinsize(master, size)
        .map_err(|errno| failed("set size of", "terminal", errno))
}

/// Make `slave` the controlling terminal and the three standard streams.
pub fn take(slave: &OwnedFd) -> Result<()> {
    rustix::process::ioctl_tiocsctty(slave)
        .map_err(|errno| failed("ioctl TIOCSCTTY", "terminal", errno))?;
    sys::process::set_stdio(slave, slave, slave).map_err(|errno| failed("dup", "terminal", errno))
}
