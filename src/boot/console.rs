//! What people at the board are told: on the console, and in the kernel's log, where it survives the
//! scrolling.

use crate::error::{Error, Result};
use crate::sys::{fs, process};
use rustix::fs::OFlags;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::sync::atomic::{AtomicBool, Ordering};

/// Only who has the machine writes to its log.
static HAS_MACHINE: AtomicBool = AtomicBool::new(false);

pub fn take() {
    HAS_MACHINE.store(true, Ordering::Relaxed);
}

/// On a machine of our own to its console, elsewhere to standard error, which is a journal or a user's.
pub fn say(message: impl std::fmt::Display) {
    tell(&message.to_string());
}

fn tell(text: &str) {
    if !HAS_MACHINE.load(Ordering::Relaxed) {
        return crate::log::line("tug boot", text);
    }
    // Somebody may have stopped the terminal (Ctrl-S): process 1 does not wait for him.
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    let console = std::fs::File::options()
        .write(true)
        .custom_flags(flags.bits().cast_signed())
        .open("/dev/console");
    match console {
        Ok(mut console) => {
            let _ = console.write_all(format!("tug boot: {text}\n").as_bytes());
        }
        Err(_) => crate::log::line("tug boot", text),
    }
    // As a matter of debugging: the kernel shows the others on the console by itself.
    let log = std::fs::File::options().write(true).open("/dev/kmsg");
    let _ = log.and_then(|mut log| log.write_all(format!("<7>tug boot: {text}\n").as_bytes()));
}

/// Make /dev/console our three streams, if they lead nowhere: the kernel opens it before our first
/// instruction, where it finds one, and Rust's start-up puts /dev/null in the place of what is closed.
pub fn open() -> Result<()> {
    if !fs::is_null(std::io::stderr()) {
        return Ok(());
    }
    let console = std::fs::File::options()
        .read(true)
        .write(true)
        .open("/dev/console")
        .map_err(|e| Error::io("open /dev/console", &e))?;
    process::set_stdio(&console, &console, &console)
        .map_err(|errno| crate::sys::failed("dup2", "/dev/console", errno))
}
