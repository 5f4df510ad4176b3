//! Sockets of the internet protocols that carry other people's traffic. None of them ever makes us
//! wait.

use crate::sys::raw::check;
use linux_raw_sys::{general as kernel, net};
use rustix::io::{Errno, FdFlags};
use rustix::net::addr::SocketAddrArg;
use rustix::net::{
    AddressFamily, Protocol as Number, RecvFlags, SendFlags, Shutdown, SocketFlags, SocketType,
    ipproto, sockopt,
};
use rustix::pipe::{PipeFlags, SpliceFlags};
use std::ffi::{c_int, c_long};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::time::Duration;

unsafe extern "C" {
    fn syscall(number: c_long, ...) -> c_long;
}

type Result<T> = std::result::Result<T, Errno>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    Tcp,
    Udp,
    Sctp,
}

/// How users write them.
const PROTOCOLS: [(&str, Protocol); 3] = [
    ("tcp", Protocol::Tcp),
    ("udp", Protocol::Udp),
    ("sctp", Protocol::Sctp),
];

impl Protocol {
    pub fn named(name: &str) -> Option<Protocol> {
        let known = PROTOCOLS.iter().find(|(known, _)| *known == name);
        known.map(|(_, protocol)| *protocol)
    }

    pub fn name(self) -> &'static str {
        let known = PROTOCOLS.iter().find(|(_, protocol)| *protocol == self);
        known.map_or("", |(name, _)| name)
    }
}

/// A socket of the address's family; one of IPv6 leaves IPv4 alone.
pub fn open(protocol: Protocol, family: &IpAddr) -> Result<OwnedFd> {
    let (kind, number) = match protocol {
        Protocol::Tcp => (SocketType::STREAM, ipproto::TCP),
        Protocol::Udp => (SocketType::DGRAM, ipproto::UDP),
        Protocol::Sctp => (SocketType::STREAM, ipproto::SCTP),
    };
    let number: Option<Number> = Some(number);
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let family = match family {
        IpAddr::V4(_) => AddressFamily::INET,
        IpAddr::V6(_) => AddressFamily::INET6,
    };
    let socket = rustix::net::socket_with(family, kind, flags, number)?;
    if family == AddressFamily::INET6 {
        sockopt::set_ipv6_v6only(&socket, true)?;
    }
    Ok(socket)
}

/// Let the address be had again although connections that it had before are not forgotten yet
/// (TIME_WAIT). Of two sockets that listen one is still refused.
pub fn reuse_address(socket: impl AsFd) -> Result<()> {
    sockopt::set_socket_reuseaddr(socket, true)
}

pub fn bind(socket: impl AsFd, address: &SocketAddr) -> Result<()> {
    rustix::net::bind(socket, address)
}

/// As long a queue as the system allows (net.core.somaxconn).
pub fn listen(socket: impl AsFd) -> Result<()> {
    rustix::net::listen(socket, i32::from(u16::MAX))
}

/// Send small things at once, and notice in the end that a peer has gone without a word. What is
/// accepted inherits both from its listener.
pub fn tune(socket: impl AsFd) {
    let _ = sockopt::set_tcp_nodelay(&socket, true);
    let _ = sockopt::set_socket_keepalive(&socket, true);
    let _ = sockopt::set_tcp_keepidle(&socket, Duration::from_secs(60));
}

/// Send what still waits for more: setting the option does so, though it is set (tcp(7)).
pub fn push(socket: impl AsFd) {
    let _ = sockopt::set_tcp_nodelay(socket, true);
}

/// Where a socket is bound.
pub fn address(socket: impl AsFd) -> Option<SocketAddr> {
    rustix::net::getsockname(socket).ok()?.try_into().ok()
}

/// The connection comes about later, or not: then the socket is writable, or has an error.
pub fn connect(socket: impl AsFd, address: &SocketAddr) -> Result<()> {
    match rustix::net::connect(socket, address) {
        Err(Errno::INPROGRESS) => Ok(()),
        other => other,
    }
}

/// What has become of a connection that came about later (SO_ERROR).
pub fn outcome(socket: impl AsFd) -> Result<()> {
    sockopt::socket_error(socket)?
}

pub fn accept(listener: impl AsFd) -> Result<OwnedFd> {
    rustix::net::accept_with(listener, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK)
}

/// Close it with a reset, so that the peer takes nothing for whole that is not.
pub fn abort(socket: OwnedFd) {
    let _ = sockopt::set_socket_linger(&socket, Some(Duration::ZERO));
}

/// Tell the peer that nothing more comes.
pub fn finish(socket: impl AsFd) {
    let _ = rustix::net::shutdown(socket, Shutdown::Write);
}

/// 0 is the end of a stream.
pub fn receive(socket: impl AsFd, buffer: &mut [u8]) -> Result<usize> {
    rustix::net::recv(socket, buffer, RecvFlags::DONTWAIT).map(|(count, _)| count)
}

pub fn send(socket: impl AsFd, bytes: &[u8]) -> Result<usize> {
    rustix::net::send(socket, bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL)
}

/// Bytes in the kernel on their way from one socket to another.
pub struct Pipe {
    out: OwnedFd,
    into: OwnedFd,
}

impl Pipe {
    pub fn new() -> Result<Pipe> {
        let (out, into) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
        Ok(Pipe { out, into })
    }

    /// splice(2) of up to `bytes` out of a socket; 0 is its end.
    pub fn fill(&self, socket: impl AsFd, bytes: usize) -> Result<usize> {
        let flags = SpliceFlags::MOVE | SpliceFlags::NONBLOCK;
        rustix::pipe::splice(socket, None, &self.into, None, bytes, flags)
    }

    /// splice(2) of up to `bytes` into a socket. `has_more`: its last segment may wait for them.
    pub fn drain(&self, socket: impl AsFd, bytes: usize, has_more: bool) -> Result<usize> {
        let mut flags = SpliceFlags::MOVE | SpliceFlags::NONBLOCK;
        flags.set(SpliceFlags::MORE, has_more);
        rustix::pipe::splice(&self.out, None, socket, None, bytes, flags)
    }
}

/// Which of this machine's addresses a datagram was sent to, as the kernel tells it and takes it
/// for the answer's source: struct in_pktinfo (ip(7)) or in6_pktinfo (RFC 3542).
#[derive(Clone, Copy, Default)]
pub struct Local {
    info: [u8; INFO6],
    length: usize,
}

const INFO4: usize = size_of::<net::in_pktinfo>();
const INFO6: usize = size_of::<net::in6_pktinfo>();
const HEADER: usize = size_of::<net::cmsghdr>();

impl Local {
    fn of(level: c_int, kind: c_int, info: &[u8]) -> Option<Local> {
        let mut local = Local::default();
        let is_of =
            |of: u32, number: u32| level == of.cast_signed() && kind == number.cast_signed();
        if is_of(net::SOL_IP, net::IP_PKTINFO) {
            // Interface, local address, destination. Answers find their way by the routing table,
            // and a broadcast is answered from the local address.
            local.length = INFO4;
            local.info[4..8].copy_from_slice(info.get(4..8)?);
        } else if is_of(net::SOL_IPV6, net::IPV6_PKTINFO) {
            // Address, interface: without the latter a link-local one means nothing.
            local.length = INFO6;
            match info.get(..INFO6)? {
                [0xff, ..] => {}
                [0xfe, 0x80, ..] => local.info.copy_from_slice(info.get(..INFO6)?),
                _ => local.info[..16].copy_from_slice(info.get(..16)?),
            }
        }
        Some(local)
    }

    fn name(&self) -> (u32, u32) {
        match self.length {
            INFO4 => (net::SOL_IP, net::IP_PKTINFO),
            _ => (net::SOL_IPV6, net::IPV6_PKTINFO),
        }
    }
}

/// Have datagrams come with the address that they were sent to.
pub fn tell_local(socket: impl AsFd, family: &IpAddr) -> Result<()> {
    let (level, option) = match family {
        IpAddr::V4(_) => (net::SOL_IP, net::IP_PKTINFO),
        IpAddr::V6(_) => (net::SOL_IPV6, net::IPV6_RECVPKTINFO),
    };
    set_option(socket, level, option, &1i32)
}

/// Let nothing arrive any more (socket(7), SO_ATTACH_FILTER; bpf(2), BPF_RET).
pub fn take_nothing(socket: impl AsFd) -> Result<()> {
    #[repr(C)]
    struct Program {
        count: u16,
        code: *const [u16; 4],
    }
    // struct sock_filter, of BPF_RET with the constant 0: keep no byte.
    static RETURN: [u16; 4] = [6, 0, 0, 0];
    let program = Program {
        count: 1,
        code: &raw const RETURN,
    };
    set_option(socket, net::SOL_SOCKET, net::SO_ATTACH_FILTER, &program)
}

fn set_option<T>(socket: impl AsFd, level: u32, option: u32, value: &T) -> Result<()> {
    // SAFETY: the kernel reads `value`, whose size is told, during the call.
    let result = unsafe {
        syscall(
            kernel::__NR_setsockopt as c_long,
            socket.as_fd().as_raw_fd() as c_long,
            level as c_long,
            option as c_long,
            std::ptr::from_ref(value),
            size_of::<T>(),
        )
    };
    check(result).map(drop)
}

/// struct msghdr of the kernel; glibc's and musl's differ in padding.
#[repr(C)]
struct Message {
    name: *mut u8,
    name_length: c_int,
    parts: *mut Part,
    parts_count: usize,
    control: *mut Control,
    control_length: usize,
    flags: c_int,
}

/// struct iovec.
#[repr(C)]
struct Part {
    bytes: *mut u8,
    length: usize,
}

/// struct cmsghdr and behind it the larger of the two that we know.
#[repr(C)]
struct Control {
    length: usize,
    level: c_int,
    kind: c_int,
    info: [u8; INFO6],
}

/// A datagram's length, sender, and where it was sent to.
pub fn receive_from(
    socket: impl AsFd,
    buffer: &mut [u8],
) -> Result<(usize, Option<SocketAddr>, Local)> {
    // As large as sockaddr_in6.
    let mut name = [0u8; 28];
    let mut control = Control {
        length: 0,
        level: 0,
        kind: 0,
        info: [0; INFO6],
    };
    let mut part = Part {
        bytes: buffer.as_mut_ptr(),
        length: buffer.len(),
    };
    let mut message = Message {
        name: name.as_mut_ptr(),
        name_length: name.len() as c_int,
        parts: &raw mut part,
        parts_count: 1,
        control: &raw mut control,
        control_length: size_of::<Control>(),
        flags: 0,
    };
    // SAFETY: all that `message` points to lives across the call, with the lengths that it tells.
    let result = unsafe {
        syscall(
            kernel::__NR_recvmsg as c_long,
            socket.as_fd().as_raw_fd() as c_long,
            &raw mut message,
            c_long::from(net::MSG_DONTWAIT as c_int),
        )
    };
    let count = check(result)? as usize;
    let length = control.length.saturating_sub(HEADER).min(INFO6);
    let info = control.info.get(..length).unwrap_or_default();
    let local = Local::of(control.level, control.kind, info).unwrap_or_default();
    Ok((count, sender(&name), local))
}

/// sockaddr_in and sockaddr_in6 (ip(7), ipv6(7)).
fn sender(name: &[u8; 28]) -> Option<SocketAddr> {
    let port = u16::from_be_bytes([name[2], name[3]]);
    match i32::from(u16::from_ne_bytes([name[0], name[1]])) {
        2 => {
            let address: [u8; 4] = name.get(4..8)?.try_into().ok()?;
            Some(SocketAddr::from((Ipv4Addr::from(address), port)))
        }
        10 => {
            let address: [u8; 16] = name.get(8..24)?.try_into().ok()?;
            let scope = u32::from_ne_bytes(name.get(24..)?.try_into().ok()?);
            let address = SocketAddrV6::new(Ipv6Addr::from(address), port, 0, scope);
            Some(SocketAddr::V6(address))
        }
        _ => None,
    }
}

/// Send a datagram from one of this machine's addresses.
pub fn send_to(socket: impl AsFd, bytes: &[u8], to: &SocketAddr, from: &Local) -> Result<()> {
    let (level, kind) = from.name();
    let mut control = Control {
        length: HEADER + from.length,
        level: level.cast_signed(),
        kind: kind.cast_signed(),
        info: from.info,
    };
    let mut part = Part {
        bytes: bytes.as_ptr().cast_mut(),
        length: bytes.len(),
    };
    let mut message = Message {
        name: std::ptr::null_mut(),
        name_length: 0,
        parts: &raw mut part,
        parts_count: 1,
        control: &raw mut control,
        control_length: match from.length {
            0 => 0,
            length => HEADER + length.next_multiple_of(align_of::<usize>()),
        },
        flags: 0,
    };
    // SAFETY: all that `message` points to lives across the call, with the lengths that it tells,
    // and the kernel only reads it.
    let result = unsafe {
        to.with_sockaddr(|name, length| {
            message.name = name.cast_mut().cast();
            message.name_length = length as c_int;
            syscall(
                kernel::__NR_sendmsg as c_long,
                socket.as_fd().as_raw_fd() as c_long,
                &raw const message,
                c_long::from((net::MSG_DONTWAIT | net::MSG_NOSIGNAL) as c_int),
            )
        })
    };
    check(result).map(drop)
}

/// A descriptor that whoever started us has left open for us under a known number, to be taken
/// once and before anything else is opened.
pub fn inherited(number: RawFd) -> Option<OwnedFd> {
    // SAFETY: only looks whether there is one.
    let found = unsafe {
        syscall(
            kernel::__NR_fcntl as c_long,
            number as c_long,
            kernel::F_GETFD as c_long,
        )
    };
    check(found).ok()?;
    // SAFETY: it is open, and nothing in this process has it: the caller answers for that.
    let fd = unsafe { OwnedFd::from_raw_fd(number) };
    let _ = rustix::io::fcntl_setfd(&fd, FdFlags::CLOEXEC);
    Some(fd)
}

/// Leave a descriptor open for the program that we become.
pub fn bequeath(fd: impl AsFd) {
    let _ = rustix::io::fcntl_setfd(fd, FdFlags::empty());
}

/// An error in the words that Docker's users know: those of Go's libraries.
pub fn words(errno: Errno) -> String {
    let known = match errno {
        Errno::ADDRINUSE => "address already in use",
        Errno::ADDRNOTAVAIL => "cannot assign requested address",
        _ => "",
    };
    if !known.is_empty() {
        return known.to_string();
    }
    let text = std::io::Error::from(errno).to_string();
    let text = text.split(" (os").next().unwrap_or_default();
    text.to_ascii_lowercase()
}
