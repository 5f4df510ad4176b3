//! The board's watchdog (the kernel's watchdog-api.rst): a timer in hardware that resets the board
//! unless it is fed. Opening the device starts it.

use crate::error::{Error, Kind, Result};
use crate::sys::{failed, raw};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

// <linux/watchdog.h>; one number on all our architectures.
const WDIOC_GETSUPPORT: u32 = 0x8028_5700;
const WDIOC_GETBOOTSTATUS: u32 = 0x8004_5702;
const WDIOC_SETTIMEOUT: u32 = 0xc004_5706;
const WDIOC_GETTIMEOUT: u32 = 0x8004_5707;
const WDIOF_CARDRESET: u32 = 0x0020;
const WDIOF_MAGICCLOSE: u32 = 0x0100;

/// `struct watchdog_info`.
#[repr(C)]
struct Info {
    options: u32,
    firmware_version: u32,
    identity: [u8; 32],
}

pub struct Device {
    file: OwnedFd,
}

impl Device {
    pub fn open(path: &Path) -> Result<Device> {
        let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        match rustix::fs::open(path, flags, Mode::empty()) {
            Ok(file) => Ok(Device { file }),
            Err(Errno::BUSY) => Err(Error::new(
                Kind::Conflict,
                format!(
                    "{} is another process's: it is not fed by us",
                    path.display()
                ),
            )),
            Err(errno) => Err(failed("open", path.display(), errno)),
        }
    }

    pub fn feed(&self) -> Result<()> {
        self.write(b".")
    }

    /// Ask for a timeout in seconds. What came of it `timeout` says: devices have bounds and steps.
    pub fn set_timeout(&self, seconds: u32) -> std::result::Result<(), Errno> {
        raw::ioctl(self.file.as_fd(), WDIOC_SETTIMEOUT, &mut seconds.clone())
    }

    /// In seconds, where the device tells it.
    pub fn timeout(&self) -> Option<u32> {
        self.number(WDIOC_GETTIMEOUT).filter(|seconds| *seconds > 0)
    }

    /// Whether the board came up because the watchdog had reset it, as far as the device knows.
    pub fn has_reset(&self) -> bool {
        let status = self.number(WDIOC_GETBOOTSTATUS);
        status.is_some_and(|status| status & WDIOF_CARDRESET != 0)
    }

    fn number(&self, request: u32) -> Option<u32> {
        let mut number = 0u32;
        raw::ioctl(self.file.as_fd(), request, &mut number).ok()?;
        Some(number)
    }

    /// Stop the timer, if the device lets us: with `nowayout` nothing does.
    pub fn stop(self) -> Result<()> {
        let mut info = Info {
            options: WDIOF_MAGICCLOSE,
            firmware_version: 0,
            identity: [0; 32],
        };
        // One that does not say takes the letter for food.
        let _ = raw::ioctl(self.file.as_fd(), WDIOC_GETSUPPORT, &mut info);
        match info.options & WDIOF_MAGICCLOSE != 0 {
            true => self.write(b"V"),
            false => self.feed(),
        }
    }

    fn write(&self, byte: &[u8]) -> Result<()> {
        rustix::io::write(&self.file, byte)
            .map(drop)
            .map_err(|errno| failed("write", "watchdog", errno))
    }
}
