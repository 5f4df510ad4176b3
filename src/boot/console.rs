//! What people at the board are told: on the console, and in the kernel's log, where it survives the
//! scrolling.

use crate::error::{Error, Result};
use crate::sys::{fs, process};
use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};

/// Only who has the machine writes to its log.
static HAS_MACHINE: AtomicBool = AtomicBool::new(false);

pub fn take() {
    HAS_MACHINE.store(true, Ordering::Relaxed);
}

/// Standard error is the console for process 1 and what it starts, and the journal elsewhere.
pub fn say(message: impl std::fmt::Display) {
    let text = message.to_string();
    crate::log::line("tug boot", &text);
    if HAS_MACHINE.load(Ordering::Relaxed) {
        // As a matter of debugging: the kernel shows the others on the console by itself.
        let _ = std::fs::File::options()
            .write(true)
            .open("/dev/kmsg")
            .and_then(|mut log| log.write_all(format!("<7>tug boot: {text}\n").as_bytes()));
    }
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
