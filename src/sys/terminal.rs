//! The user's terminal.

use crate::error::{Error, Result};
use crate::sys::failed;
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};
use std::os::fd::{AsFd, OwnedFd};

/// A terminal in raw mode: keys go through as they are typed. Dropping it restores the mode.
pub struct Raw {
    terminal: OwnedFd,
    before: Termios,
}

/// Put the terminal of `fd` into raw mode.
pub fn raw(fd: impl AsFd) -> Result<Raw> {
    let terminal = fd
        .as_fd()
        .try_clone_to_owned()
        .map_err(|error| Error::io("dup terminal", &error))?;
    let before = tcgetattr(&terminal).map_err(|errno| failed("tcgetattr", "terminal", errno))?;
    let mut mode = before.clone();
    mode.make_raw();
    tcsetattr(&terminal, OptionalActions::Now, &mode)
        .map_err(|errno| failed("tcsetattr", "terminal", errno))?;
    Ok(Raw { terminal, before })
}

impl Drop for Raw {
    fn drop(&mut self) {
        // Fails only when the terminal has gone, and then its mode has gone too.
        let _ = tcsetattr(&self.terminal, OptionalActions::Now, &self.before);
    }
}

/// Rows and columns; `None` where there is no terminal or it does not know.
pub fn size(fd: impl AsFd) -> Option<(u16, u16)> {
    let size = tcgetwinsize(fd).ok()?;
    (size.ws_row > 0 && size.ws_col > 0).then_some((size.ws_row, size.ws_col))
}
