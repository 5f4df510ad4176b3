//! A container's published ports on the host: their sockets, and the process that serves them.
//!
//! A port is claimed by a socket that is bound for it, from before the container is made until it has
//! ended for good, whatever becomes of the engine. Where the packet filter's rules lead the traffic
//! to the container nothing ever arrives at these sockets. What does arrive (from loopback, for a
//! container without an address of that family, on a kernel without rules) waits in the kernel until
//! `tug proxy` runs, one for all ports, and that one only runs while there is something to carry:
//!
//! ```text
//!   shim                                   proxy (fork, exec)
//!     | holds and watches the sockets
//!     | something arrives
//!     | -- the sockets; where they lead --> | accepts, carries
//!     | watches no more                     | a minute of silence
//!     | <---------------------- exit code - |
//!     | watches again; what has arrived meanwhile is still there
//! ```

use crate::error::{Error, Kind, Result};
use crate::log;
use crate::net::plan::{Plan, Port};
use crate::shim::helper;
use crate::shim::serve::WHO;
use crate::sys::epoll::Epoll;
use crate::sys::inet::{self, Protocol};
use crate::sys::namespace::{self, Forked};
use crate::sys::{failed, fs, init, poll, process, raw, signal, stream};
use rustix::event::PollFlags;
use rustix::io::Errno;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::time::{Duration, Instant};

/// A proxy that has ended sooner is not started again at once.
const LIFE_MIN: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_secs(2);

/// How long a proxy that is to end may take.
const END_MAX: Duration = Duration::from_millis(500);

/// Descriptors that a shim needs beside these sockets.
const OTHERS: u64 = 256;

#[derive(Default)]
pub struct Ports {
    claims: Vec<Claim>,
    /// All their sockets, while there are any to be served.
    epoll: Option<Epoll>,
    proxy: Option<Proxy>,
    /// There is a container that could answer.
    is_open: bool,
    not_before: Option<Instant>,
    oom_score_adj: Option<i32>,
}

/// Ports that follow each other, a socket for each.
struct Claim {
    sockets: Vec<OwnedFd>,
    place: Place,
    /// Where the first leads.
    target: SocketAddr,
}

/// Protocol, where on the host the first is, how many there are.
type Place = (Protocol, SocketAddr, u16);

struct Proxy {
    pid: i32,
    pidfd: OwnedFd,
    started_at: Instant,
}

impl Ports {
    /// Bind every port of the plan. After an error none is.
    pub fn claim(plan: &Plan) -> Result<Ports> {
        let mut ports = Ports::default();
        ports.oom_score_adj = helper::oom_score_adj();
        ports.update(plan).map(|()| ports)
    }

    /// Make it so that the plan's ports are claimed and no others. After an error it is as before.
    pub fn update(&mut self, plan: &Plan) -> Result<()> {
        let is_served = plan.proxies != Some(false);
        let wanted = wanted(plan)?;
        let is_same = |claim: &Claim, (place, _): &Wanted| claim.place == *place;
        let sockets = wanted.iter().map(|((_, _, count), _)| usize::from(*count));
        let least = make_room(sockets.sum());
        let mut new = Vec::new();
        for one in &wanted {
            if !self.claims.iter().any(|claim| is_same(claim, one)) {
                new.extend(bind(one, is_served, least)?);
            }
        }
        let before = self.claims.len();
        self.claims
            .retain(|claim| wanted.iter().any(|one| is_same(claim, one)));
        let is_changed = !new.is_empty() || self.claims.len() != before;
        self.claims.append(&mut new);
        let mut is_led_elsewhere = false;
        for claim in &mut self.claims {
            if let Some((_, target)) = wanted.iter().find(|one| is_same(claim, one)) {
                is_led_elsewhere |= claim.target != *target;
                claim.target = *target;
            }
        }
        if is_changed || is_led_elsewhere {
            self.stop();
            self.epoll = None;
        }
        if is_served && !self.claims.is_empty() && self.epoll.is_none() {
            let epoll = Epoll::new()?;
            for socket in self.claims.iter().flat_map(|claim| &claim.sockets) {
                epoll.add(socket, 0)?;
            }
            self.epoll = Some(epoll);
        }
        Ok(())
    }

    /// A container runs behind the ports, or none does: then whoever comes waits for the next run.
    pub fn open(&mut self, is_open: bool) {
        self.is_open = is_open;
        if !is_open {
            self.stop();
        }
    }

    /// Readable when a proxy is needed; `None` while one runs or none may.
    pub fn fd(&self) -> Option<BorrowedFd<'_>> {
        let is_needed = self.is_open
            && self.proxy.is_none()
            && self.not_before.is_none_or(|at| at <= Instant::now());
        self.epoll.as_ref().filter(|_| is_needed).map(AsFd::as_fd)
    }

    /// When to ask for `fd` again.
    pub fn deadline(&self) -> Option<Instant> {
        self.not_before
            .filter(|at| self.proxy.is_none() && self.is_open && *at > Instant::now())
    }

    /// Something has arrived.
    pub fn ready(&mut self) {
        match self.start() {
            Ok(proxy) => self.proxy = Some(proxy),
            Err(error) => {
                log::line(WHO, error);
                self.not_before = Some(Instant::now() + PAUSE);
            }
        }
    }

    /// A child of ours has been reaped, the proxy perhaps.
    pub fn has_ended(&mut self, pid: i32) {
        if let Some(proxy) = self.proxy.take_if(|proxy| proxy.pid == pid) {
            let now = Instant::now();
            let is_early = now < proxy.started_at + LIFE_MIN;
            self.not_before = is_early.then(|| now + PAUSE);
        }
    }

    /// Have the proxy carry what has arrived already, and end: it holds the sockets too.
    fn stop(&mut self) {
        let Some(Proxy { pidfd, .. }) = self.proxy.take() else {
            return;
        };
        let _ = process::signal(&pidfd, signal::SIGTERM);
        let ended = poll::wait(&[(pidfd.as_fd(), PollFlags::IN)], Some(END_MAX));
        if !ended.is_ok_and(|events| events.iter().any(|events| !events.is_empty())) {
            let _ = process::signal(&pidfd, signal::SIGKILL);
        }
        let _ = process::reap(&pidfd);
    }

    fn start(&self) -> Result<Proxy> {
        let mut list = String::new();
        for claim in &self.claims {
            let protocol = claim.place.0.name();
            for (at, socket) in (0..).zip(&claim.sockets) {
                if let Some(target) = nth(claim.target, at) {
                    list.push_str(&format!("{} {protocol} {target}\n", socket.as_raw_fd()));
                }
            }
        }
        // Not a pipe: that could be full before there is a reader.
        let list = fs::in_memory(c"ports", list.as_bytes())?;
        let forked = namespace::fork(0, None::<OwnedFd>)
            .map_err(|errno| failed("clone3", "tug proxy", errno))?;
        match forked {
            Forked::Parent { pid, pidfd } => Ok(Proxy {
                pid,
                pidfd,
                started_at: Instant::now(),
            }),
            Forked::Child => {
                let error = self.become_proxy(&list);
                log::line(WHO, error);
                raw::exit(1)
            }
        }
    }

    /// In the new process. Comes back only with an error.
    fn become_proxy(&self, list: &OwnedFd) -> Error {
        let prepared = || {
            init::signal_on_parent_death(signal::SIGTERM)?;
            helper::set_oom_score_adj(self.oom_score_adj);
            let null = stream::null()?;
            process::set_stdio(list, null, rustix::stdio::stderr())
                .map_err(|errno| failed("dup2", "standard streams", errno))?;
            process::c_strings(&["tug-proxy", "-sockets"])
        };
        let args = match prepared() {
            Ok(args) => args,
            Err(error) => return error,
        };
        for socket in self.claims.iter().flat_map(|claim| &claim.sockets) {
            inet::bequeath(socket);
        }
        raw::reset_signals();
        failed(
            "execve",
            "tug proxy",
            process::exec(c"/proc/self/exe", &args, &[]),
        )
    }
}

impl Drop for Ports {
    fn drop(&mut self) {
        self.stop();
    }
}

/// And where the first leads.
type Wanted = (Place, SocketAddr);

fn wanted(plan: &Plan) -> Result<Vec<Wanted>> {
    let read = |port: &Port| {
        let broken = || Error::invalid(format!("network.json: no port of a container: {port:?}"));
        let count = port.count.unwrap_or(1);
        let ((protocol, host), target) = ends(port).ok_or_else(broken)?;
        let last = count.checked_sub(1).ok_or_else(broken)?;
        nth(host, last).zip(nth(target, last)).ok_or_else(broken)?;
        Ok(((protocol, host, count), target))
    };
    plan.ports.iter().flatten().map(read).collect()
}

/// The address of the port that is so many behind this one.
fn nth(address: SocketAddr, at: u16) -> Option<SocketAddr> {
    let port = address.port().checked_add(at)?;
    Some(SocketAddr::new(address.ip(), port))
}

/// Of the first of them.
fn ends(port: &Port) -> Option<((Protocol, SocketAddr), SocketAddr)> {
    let address = |ip: &Option<String>, number: Option<u16>| {
        let ip: IpAddr = ip.as_deref()?.parse().ok()?;
        Some(SocketAddr::new(ip, number?))
    };
    let protocol = Protocol::named(port.protocol.as_deref().unwrap_or("tcp"))?;
    let host = address(&port.host_ip, port.host_port)?;
    let target = address(&port.container_ip, port.container_port)?;
    Some(((protocol, host), target))
}

/// A socket for each port, and the limit is low for programs that use select(2). Answers the least
/// number for them: with many they lie above the limit of the processes that make containers, who
/// have copies of them and open files of their own below.
fn make_room(sockets: usize) -> RawFd {
    let usual = process::usual_descriptors();
    if sockets as u64 + OTHERS <= usual {
        return 0;
    }
    process::raise_descriptors();
    RawFd::try_from(usual).unwrap_or(0)
}

/// None where the host has no IPv6 and all its addresses are meant.
fn bind(wanted: &Wanted, is_served: bool, least: RawFd) -> Result<Option<Claim>> {
    let (place, target) = *wanted;
    let (protocol, first, count) = place;
    let mut sockets = Vec::with_capacity(count.into());
    for host in (0..count).filter_map(|at| nth(first, at)) {
        let claimed = claim(protocol, &host, is_served).and_then(|socket| match least {
            0 => Ok(socket),
            least => rustix::io::fcntl_dupfd_cloexec(socket, least),
        });
        match claimed {
            Ok(socket) => sockets.push(socket),
            Err(Errno::AFNOSUPPORT) if host.is_ipv6() && host.ip().is_unspecified() => {
                return Ok(None);
            }
            // Docker's sentence.
            Err(errno) => {
                let (protocol, words) = (protocol.name(), inet::words(errno));
                return Err(Error::with_errno(
                    Kind::System,
                    Some(errno.raw_os_error()),
                    format!("failed to bind host port {host}/{protocol}: {words}"),
                ));
            }
        }
    }
    Ok(Some(Claim {
        sockets,
        place,
        target,
    }))
}

fn claim(
    protocol: Protocol,
    host: &SocketAddr,
    is_served: bool,
) -> std::result::Result<OwnedFd, Errno> {
    let socket = inet::open(protocol, &host.ip())?;
    match (protocol, is_served) {
        // Two sockets with SO_REUSEADDR could both have the address of a datagram socket.
        (Protocol::Udp, true) => inet::bind(&socket, host)?,
        (Protocol::Udp, false) => {
            inet::take_nothing(&socket)?;
            inet::bind(&socket, host)?;
        }
        // Of two that share an address only one can listen. Connections of an earlier run of the
        // container keep the address busy for a minute for those that do not.
        (_, true) => {
            inet::reuse_address(&socket)?;
            inet::bind(&socket, host)?;
            inet::listen(&socket)?;
        }
        // Nobody will accept: whoever comes is refused by the kernel.
        (_, false) => inet::bind(&socket, host)?,
    }
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(ports: &[(&str, &str, u16, u16, &str)]) -> Plan {
        let port = |(protocol, host_ip, host_port, count, container_ip): &(_, _, _, _, _)| Port {
            protocol: Some(String::from(*protocol)),
            host_ip: Some(String::from(*host_ip)),
            host_port: Some(*host_port),
            container_port: Some(80),
            count: Some(*count),
            container_ip: Some(String::from(*container_ip)),
        };
        Plan {
            ports: Some(ports.iter().map(port).collect()),
            ..Plan::default()
        }
    }

    fn free_port() -> u16 {
        let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        socket.local_addr().unwrap().port()
    }

    #[test]
    fn a_range_is_as_many_sockets() {
        let first = loop {
            let first = free_port();
            if first < 65_000 && claim(Protocol::Tcp, &nth(any(first), 1).unwrap(), true).is_ok() {
                break first;
            }
        };
        let plan = plan(&[
            ("tcp", "127.0.0.1", first, 2, "10.0.0.2"),
            ("udp", "127.0.0.1", first, 1, "10.0.0.2"),
        ]);
        let ports = Ports::claim(&plan).unwrap();
        let bound: Vec<Vec<u16>> = ports
            .claims
            .iter()
            .map(|claim| {
                let sockets = claim.sockets.iter();
                sockets
                    .map(|socket| inet::address(socket).unwrap().port())
                    .collect()
            })
            .collect();
        assert_eq!(bound, [vec![first, first + 1], vec![first]]);
    }

    fn any(port: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], port))
    }

    #[test]
    fn nonsense_is_refused() {
        for ports in [
            ("icmp", "0.0.0.0", 1, 1, "10.0.0.2"),
            ("tcp", "0.0.0", 1, 1, "10.0.0.2"),
            ("tcp", "0.0.0.0", 1, 1, "web"),
            ("tcp", "0.0.0.0", 65535, 2, "10.0.0.2"),
            ("tcp", "0.0.0.0", 1, 0, "10.0.0.2"),
        ] {
            assert!(wanted(&plan(&[ports])).is_err(), "{ports:?}");
        }
    }

    #[test]
    fn a_port_in_use_is_told_in_dockers_words_and_no_other_stays_claimed() {
        for protocol in ["tcp", "udp"] {
            let (taken, free) = (free_port(), free_port());
            let one = plan(&[(protocol, "127.0.0.1", taken, 1, "10.0.0.2")]);
            let both = plan(&[
                (protocol, "127.0.0.1", free, 1, "10.0.0.2"),
                (protocol, "127.0.0.1", taken, 1, "10.0.0.2"),
            ]);
            let first = Ports::claim(&one).unwrap();
            let error = Ports::claim(&both).map(drop).unwrap_err();
            assert_eq!(
                error.message,
                format!(
                    "failed to bind host port 127.0.0.1:{taken}/{protocol}: address already in use"
                )
            );
            drop(first);
            drop(Ports::claim(&both).unwrap());
        }
    }

    #[test]
    fn what_nobody_serves_is_claimed_and_refuses() {
        let number = free_port();
        let mut plan = plan(&[
            ("tcp", "127.0.0.1", number, 1, "10.0.0.2"),
            ("udp", "127.0.0.1", number, 1, "10.0.0.2"),
        ]);
        plan.proxies = Some(false);
        let mut ports = Ports::claim(&plan).unwrap();
        ports.open(true);
        assert!(ports.fd().is_none());
        let address = ("127.0.0.1", number);
        let refused = std::net::TcpStream::connect(address).unwrap_err();
        assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
        assert!(std::net::TcpListener::bind(address).is_err());
        assert!(std::net::UdpSocket::bind(address).is_err());
    }
}
