//! Pipes, sockets and terminals whose other ends must never make us wait.

use crate::error::Result;
use crate::sys::failed;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendFlags, Shutdown};
use rustix::pipe::PipeFlags;
use rustix::termios::Winsize;
use std::io::IoSlice;
use std::os::fd::{AsFd, OwnedFd};

/// A pipe: the end to read from and the end to write to.
pub fn pipe() -> Result<(OwnedFd, OwnedFd)> {
    rustix::pipe::pipe_with(PipeFlags::CLOEXEC).map_err(|errno| failed("pipe", "pair", errno))
}

/// Let a pipe hold so much (F_SETPIPE_SZ), if we may: its two ends then take turns less often.
pub fn widen(pipe: impl AsFd, bytes: usize) {
    let _ = rustix::pipe::fcntl_setpipe_size(pipe, bytes);
}

/// O_NONBLOCK: for all who share the open file, so only for ends that nobody else has.
pub fn set_nonblocking(fd: impl AsFd) -> Result<()> {
    rustix::io::ioctl_fionbio(fd, true).map_err(|errno| failed("ioctl FIONBIO", "stream", errno))
}

/// What a transfer that does not wait came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moved {
    Bytes(usize),
    /// Nothing for now.
    Later,
    /// The other end has closed, or cannot be reached any more.
    End,
}

fn moved(result: std::result::Result<usize, Errno>) -> Moved {
    match result {
        Ok(count) => Moved::Bytes(count),
        Err(Errno::AGAIN | Errno::INTR) => Moved::Later,
        Err(_) => Moved::End,
    }
}

/// read(2). A terminal's master answers EIO when the last program has closed the other side.
pub fn read(fd: impl AsFd, buffer: &mut [u8]) -> Moved {
    match moved(rustix::io::read(fd, buffer)) {
        Moved::Bytes(0) => Moved::End,
        other => other,
    }
}

/// write(2).
pub fn write(fd: impl AsFd, bytes: &[u8]) -> Moved {
    moved(rustix::io::write(fd, bytes))
}

/// Receive from a socket, whatever its mode.
pub fn receive(socket: impl AsFd, buffer: &mut [u8]) -> Moved {
    let result = rustix::net::recv(socket, buffer, RecvFlags::DONTWAIT);
    match moved(result.map(|(count, _)| count)) {
        Moved::Bytes(0) => Moved::End,
        other => other,
    }
}

/// Send to a socket, whatever its mode.
pub fn send(socket: impl AsFd, parts: &[IoSlice<'_>]) -> Moved {
    let mut control = SendAncillaryBuffer::default();
    let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
    moved(rustix::net::sendmsg(socket, parts, &mut control, flags))
}

/// Tell the peer that nothing more comes, and take what it has sent: a unix socket that is closed
/// with unread input gives the peer a reset instead of an end.
pub fn finish(socket: impl AsFd) {
    let _ = rustix::net::shutdown(&socket, Shutdown::Both);
    let mut buffer = [0u8; 4096];
    while matches!(receive(&socket, &mut buffer), Moved::Bytes(_)) {}
}

/// Tell a terminal its size; the programs in it get SIGWINCH.
pub fn set_size(terminal: impl AsFd, height: u16, width: u16) -> Result<()> {
    let size = Winsize {
        ws_row: height,
        ws_col: width,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    rustix::termios::tcsetwinsize(terminal, size)
        .map_err(|errno| failed("ioctl TIOCSWINSZ", "terminal", errno))
}

/// /dev/null, to read from and to write to.
pub fn null() -> Result<OwnedFd> {
    use rustix::fs::{Mode, OFlags};
    rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())
        .map_err(|errno| failed("open", "/dev/null", errno))
}
