//! Unix sockets: listening with the right mode from birth, connecting below long paths, passing
//! descriptors.

use crate::error::{Error, Result};
use crate::sys::failed;
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketAddrUnix, SocketFlags, SocketType,
};
use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

/// A socket's address holds 107 bytes. Longer paths go through /proc/self/fd/N of the directory,
/// which the returned descriptor keeps open until the call is made.
fn address(path: &Path) -> Result<(SocketAddrUnix, Option<OwnedFd>)> {
    if let Ok(address) = SocketAddrUnix::new(path) {
        return Ok((address, None));
    }
    let (Some(dir), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(Error::invalid(format!(
            "{} is no socket path",
            path.display()
        )));
    };
    let dir = crate::sys::fs::open_path(dir)?;
    let short = PathBuf::from(format!("/proc/self/fd/{}", dir.as_raw_fd())).join(name);
    let address = SocketAddrUnix::new(&short)
        .map_err(|errno| failed("socket address", path.display(), errno))?;
    Ok((address, Some(dir)))
}

fn stream() -> Result<OwnedFd> {
    rustix::net::socket_with(
        AddressFamily::UNIX,
        SocketType::STREAM,
        SocketFlags::CLOEXEC,
        None,
    )
    .map_err(|errno| failed("socket", "unix", errno))
}

/// A listening stream socket at `path` with file mode `mode`.
///
/// The mode is set between bind and listen: before listen nobody can connect, so there is no
/// moment with a looser mode (the window moby closed in its own way). An old socket file at
/// `path` is removed first: the caller has made sure that nobody serves it.
pub fn listen(path: &Path, mode: u32, group: Option<u32>) -> Result<OwnedFd> {
    let socket = stream()?;
    let (address, _dir) = address(path)?;
    match rustix::fs::unlink(path) {
        Ok(()) | Err(Errno::NOENT) => {}
        Err(errno) => return Err(failed("unlink", path.display(), errno)),
    }
    rustix::net::bind(&socket, &address).map_err(|errno| failed("bind", path.display(), errno))?;
    if let Some(group) = group {
        rustix::fs::chown(path, None, Some(rustix::fs::Gid::from_raw(group)))
            .map_err(|errno| failed("chown", path.display(), errno))?;
    }
    rustix::fs::chmod(path, rustix::fs::Mode::from_raw_mode(mode))
        .map_err(|errno| failed("chmod", path.display(), errno))?;
    rustix::net::listen(&socket, 128).map_err(|errno| failed("listen", path.display(), errno))?;
    Ok(socket)
}

pub fn connect(path: &Path) -> Result<OwnedFd> {
    let socket = stream()?;
    let (address, _dir) = address(path)?;
    rustix::net::connect(&socket, &address)
        .map_err(|errno| failed("connect", path.display(), errno))?;
    Ok(socket)
}

pub fn accept(listener: BorrowedFd<'_>) -> Result<OwnedFd> {
    rustix::net::accept_with(listener, SocketFlags::CLOEXEC)
        .map_err(|errno| failed("accept", "socket", errno))
}

/// A connected pair of stream sockets.
pub fn pair() -> Result<(OwnedFd, OwnedFd)> {
    rustix::net::socketpair(
        AddressFamily::UNIX,
        SocketType::STREAM,
        SocketFlags::CLOEXEC,
        None,
    )
    .map_err(|errno| failed("socketpair", "unix", errno))
}

/// Send `bytes` (at least one) with `fds` beside them, all of it.
pub fn send(socket: impl AsFd, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(fds)) {
        return Err(Error::invalid("too many descriptors in one message"));
    }
    let mut rest = bytes;
    while !rest.is_empty() {
        match rustix::net::sendmsg(
            &socket,
            &[IoSlice::new(rest)],
            &mut control,
            SendFlags::NOSIGNAL,
        ) {
            Ok(count) => {
                rest = rest.get(count..).unwrap_or_default();
                control.clear();
            }
            Err(Errno::INTR) => {}
            Err(errno) => return Err(failed("sendmsg", "unix socket", errno)),
        }
    }
    Ok(())
}

/// Descriptors that one message may carry.
pub const MAX_FDS: usize = 8;

/// Receive what is there, up to `buffer`'s size, with the descriptors that came along
/// (close-on-exec). Zero bytes mean that the peer has closed.
pub fn receive(socket: impl AsFd, buffer: &mut [u8]) -> Result<(usize, Vec<OwnedFd>)> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let message = loop {
        match rustix::net::recvmsg(
            &socket,
            &mut [IoSliceMut::new(buffer)],
            &mut control,
            RecvFlags::CMSG_CLOEXEC,
        ) {
            Err(Errno::INTR) => {}
            other => break other.map_err(|errno| failed("recvmsg", "unix socket", errno))?,
        }
    };
    let mut fds = Vec::new();
    for part in control.drain() {
        if let RecvAncillaryMessage::ScmRights(list) = part {
            fds.extend(list);
        }
    }
    Ok((message.bytes, fds))
}
