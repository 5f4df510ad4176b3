//! Unix sockets: listening with the right mode from birth, connecting below long paths, passing
//! descriptors.

use crate::error::{Error, Result};
use crate::sys::failed;
use rustix::io::Errno;
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::sockopt::Timeout;
use rustix::net::{
    AddressFamily, Protocol, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags,
    SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix, SocketFlags, SocketType,
};
use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::num::NonZero;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

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
    let short = crate::sys::fs::proc_fd(dir.as_fd()).join(name);
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

/// How long a blocking write may wait for its peer; `None` is for ever (SO_SNDTIMEO).
pub fn set_send_timeout(socket: impl AsFd, limit: Option<Duration>) -> Result<()> {
    rustix::net::sockopt::set_socket_timeout(socket, Timeout::Send, limit)
        .map_err(|errno| failed("setsockopt", "SO_SNDTIMEO", errno))
}

/// send(2) of what fits without waiting; 0 when nothing does now.
pub fn send_some(socket: impl AsFd, bytes: &[u8]) -> Result<usize> {
    loop {
        match rustix::net::send(&socket, bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => return Ok(0),
            other => return other.map_err(|errno| failed("send", "socket", errno)),
        }
    }
}

/// Tell the peer that no more will come (shutdown(2)). It may have gone; then it knows.
pub fn shutdown_write(socket: impl AsFd) {
    let _ = rustix::net::shutdown(socket, rustix::net::Shutdown::Write);
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

/// Like `connect`, but a listener that does not accept costs `timeout` and no more (EAGAIN), and
/// so does each later send on the socket.
pub fn connect_within(path: &Path, timeout: Duration) -> Result<OwnedFd> {
    let socket = stream()?;
    let (address, _dir) = address(path)?;
    rustix::net::sockopt::set_socket_timeout(&socket, Timeout::Send, Some(timeout))
        .map_err(|errno| failed("setsockopt", "SO_SNDTIMEO", errno))?;
    rustix::net::connect(&socket, &address)
        .map_err(|errno| failed("connect", path.display(), errno))?;
    Ok(socket)
}

/// The process at the other end of a unix socket, as it was when it connected or listened.
pub struct Peer {
    pub pid: i32,
    pub uid: u32,
}

pub fn peer(socket: impl AsFd) -> Result<Peer> {
    let credentials = rustix::net::sockopt::socket_peercred(socket)
        .map_err(|errno| failed("getsockopt", "SO_PEERCRED", errno))?;
    Ok(Peer {
        pid: credentials.pid.as_raw_nonzero().get(),
        uid: credentials.uid.as_raw(),
    })
}

/// Look at what is there without taking it. Zero bytes mean that the peer has closed.
pub fn peek(socket: impl AsFd, buffer: &mut [u8]) -> Result<usize> {
    loop {
        match rustix::net::recv(&socket, &mut *buffer, RecvFlags::PEEK) {
            Ok((count, _)) => return Ok(count),
            Err(Errno::INTR) => {}
            Err(Errno::CONNRESET) => return Ok(0),
            Err(errno) => return Err(failed("recv", "socket", errno)),
        }
    }
}

/// A listening socket that another process has made for us.
pub struct Inherited {
    pub fd: OwnedFd,
    pub name: String,
}

/// Those that `wanted` names, by name or number: all where it is empty or `*`. They are what systemd
/// passes (sd_listen_fds(3)): from 3 on, as many as LISTEN_FDS says, if LISTEN_PID means us. Without
/// those, standard input, as inetd passes it (`wait`).
pub fn inherited(wanted: &str) -> Result<Vec<Inherited>> {
    const FIRST: i32 = 3;
    let number = |name: &str| std::env::var(name).ok()?.parse::<i32>().ok();
    let is_ours = number("LISTEN_PID").is_some_and(|pid| pid.cast_unsigned() == std::process::id());
    let count = number("LISTEN_FDS").filter(|count| is_ours && (1..=64).contains(count));
    let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
    let (range, names) = match count {
        Some(count) => (FIRST..FIRST + count, names),
        None if is_listening(rustix::stdio::stdin()) => (0..1, "stdin".to_string()),
        None => {
            return Err(Error::invalid(
                "fd:// needs sockets passed by systemd (LISTEN_FDS) or inetd, and there are none",
            ));
        }
    };
    let mut names = names.split(':');
    let mut sockets = Vec::new();
    for number in range {
        let name = names.next().unwrap_or_default();
        if !["", "*", name].contains(&wanted) && wanted.parse() != Ok(number) {
            continue;
        }
        // SAFETY: whoever started us gave us this descriptor, and it stays open: we copy it.
        let given = unsafe { BorrowedFd::borrow_raw(number) };
        let fd = rustix::io::fcntl_dupfd_cloexec(given, FIRST)
            .map_err(|errno| failed("fcntl descriptor", number, errno))?;
        rustix::io::fcntl_setfd(given, rustix::io::FdFlags::CLOEXEC)
            .map_err(|errno| failed("fcntl descriptor", number, errno))?;
        if !is_listening(&fd) {
            return Err(Error::invalid(format!(
                "inherited descriptor {number} is no listening socket"
            )));
        }
        let name = if name.is_empty() {
            number.to_string()
        } else {
            name.to_string()
        };
        sockets.push(Inherited { fd, name });
    }
    Ok(sockets)
}

fn is_listening(fd: impl AsFd) -> bool {
    rustix::net::sockopt::socket_acceptconn(fd).unwrap_or(false)
}

/// Whether only this machine can reach the socket.
pub fn is_local(socket: impl AsFd) -> Result<bool> {
    let address = rustix::net::getsockname(socket)
        .map_err(|errno| failed("getsockname", "inherited socket", errno))?;
    Ok(address.address_family() == AddressFamily::UNIX)
}

/// For a connection of TCP: send small things at once, and notice in the end that a peer has gone
/// without a word.
pub fn set_tcp_options(socket: impl AsFd) {
    let _ = rustix::net::sockopt::set_tcp_nodelay(&socket, true);
    let _ = rustix::net::sockopt::set_socket_keepalive(&socket, true);
}

/// A socket for speaking with the kernel (netlink(7)), and its port.
pub fn netlink(protocol: u32) -> Result<(OwnedFd, u32)> {
    open_netlink(protocol, 0)
}

/// One that hears what is told to `groups`, a bit for each.
pub fn netlink_group(protocol: u32, groups: u32) -> Result<OwnedFd> {
    open_netlink(protocol, groups).map(|(socket, _)| socket)
}

fn open_netlink(protocol: u32, groups: u32) -> Result<(OwnedFd, u32)> {
    let made = || -> std::result::Result<(OwnedFd, u32), Errno> {
        let socket = rustix::net::socket_with(
            AddressFamily::NETLINK,
            SocketType::RAW,
            SocketFlags::CLOEXEC,
            // NETLINK_ROUTE is 0.
            NonZero::new(protocol).map(Protocol::from_raw),
        )?;
        // The kernel chooses the port.
        rustix::net::bind(&socket, &SocketAddrNetlink::new(0, groups))?;
        let own = SocketAddrNetlink::try_from(rustix::net::getsockname(&socket)?)?;
        Ok((socket, own.pid()))
    };
    made().map_err(|errno| failed("socket", "netlink", errno))
}

/// setsockopt(2) of a netlink socket (`NETLINK_…`).
pub fn set_netlink(socket: impl AsFd, option: u32, value: u32) -> std::result::Result<(), Errno> {
    crate::sys::raw::set_netlink_option(socket.as_fd(), option, value)
}

/// Let so much be on its way, whatever the usual limit (SO_SNDBUFFORCE).
pub fn widen_sending(socket: impl AsFd, bytes: usize) {
    let _ = rustix::net::sockopt::set_socket_send_buffer_size_force(socket, bytes);
}

/// The next datagram, if there is one already (EAGAIN): its length, which may be more than `buffer`
/// takes, and who sent it. 0 is the kernel.
pub fn receive_netlink(
    socket: impl AsFd,
    buffer: &mut [u8],
) -> std::result::Result<(usize, u32), Errno> {
    let flags = RecvFlags::DONTWAIT | RecvFlags::TRUNC;
    loop {
        match rustix::net::recvfrom(&socket, &mut *buffer, flags) {
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
            Ok((_, length, sender)) => {
                let sender = sender.map(SocketAddrNetlink::try_from).transpose()?;
                return Ok((length, sender.map_or(0, |sender| sender.pid())));
            }
        }
    }
}

/// A socket for datagrams to the one at `path`.
pub fn connect_datagram(path: &Path) -> Result<OwnedFd> {
    let socket = datagram()?;
    let (address, _dir) = address(path)?;
    rustix::net::connect(&socket, &address)
        .map_err(|errno| failed("connect", path.display(), errno))?;
    Ok(socket)
}

/// A datagram socket that is good for asking the kernel about links (netdevice(7)).
pub fn datagram() -> Result<OwnedFd> {
    rustix::net::socket_with(
        AddressFamily::UNIX,
        SocketType::DGRAM,
        SocketFlags::CLOEXEC,
        None,
    )
    .map_err(|errno| failed("socket", "datagram", errno))
}

/// A connection over TCP that is being made, without waiting: writable once it is there or has failed.
pub fn call(address: std::net::SocketAddr) -> Result<OwnedFd> {
    let family = match address {
        std::net::SocketAddr::V4(_) => AddressFamily::INET,
        std::net::SocketAddr::V6(_) => AddressFamily::INET6,
    };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(family, SocketType::STREAM, flags, None)
        .map_err(|errno| failed("socket", "tcp", errno))?;
    match rustix::net::connect(&socket, &address) {
        Ok(()) | Err(Errno::INPROGRESS) => Ok(socket),
        Err(errno) => Err(failed("connect", address, errno)),
    }
}

/// A connection to the unix socket at `path`, without waiting: one that has too many waiting already is
/// an error (EAGAIN).
pub fn call_path(path: &Path) -> Result<OwnedFd> {
    let socket = stream()?;
    crate::sys::stream::set_nonblocking(&socket)?;
    let (address, _dir) = address(path)?;
    rustix::net::connect(&socket, &address)
        .map_err(|errno| failed("connect", "unix socket", errno))?;
    Ok(socket)
}

/// How much may wait in a socket to be sent (SO_SNDBUF); the kernel sees to its own limit.
pub fn set_send_buffer(socket: impl AsFd, bytes: usize) {
    let _ = rustix::net::sockopt::set_socket_send_buffer_size(socket, bytes);
}
