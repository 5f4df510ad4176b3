//! The name server that a container of a user network has at 127.0.0.11.
//!
//! Its shim serves it, in its one thread: the sockets are made in the container's network namespace
//! and looked at from outside, nothing here waits, and what is under way is bounded. Names of
//! containers come from files that their shims write (`names`); all others are asked for elsewhere
//! (`forward`). So names resolve while there is no engine.
//!
//! The sockets have ports of the kernel's choice, and the namespace's packet filter leads port 53 of
//! that address to them: a container may have a name server of its own on all its addresses. Where
//! the kernel has no nf_tables the port is 53.
//!
//! ```text
//!   container            shim                                others
//!     | -- UDP, TCP -----> | names: files of its networks
//!     |                    | -- a socket for each query ----> name servers
//! ```

mod answer;
mod forward;
pub mod message;
pub mod names;
mod tcp;

use self::answer::Verdict;
use self::forward::{Client, Forwarder, Ground};
use self::names::Table;
use self::tcp::Connections;
use crate::error::{Error, Result};
use crate::net::plan::Plan;
use crate::net::{firewall, namespace};
use crate::sys::epoll::Epoll;
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

pub const ADDRESS: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 11);
const PORT: u16 = 53;

/// Datagrams that are answered before others have their turn.
const BURST: usize = 64;

/// What `Epoll` calls the sockets; connections and then flights come behind.
const UDP: u64 = 0;
const LISTENER: u64 = 1;
const CONNECTIONS: u64 = 2;

pub struct Resolver {
    netns: OwnedFd,
    networks_dir: PathBuf,
    epoll: Epoll,
    udp: UdpSocket,
    listener: TcpListener,
    table: Table,
    has_ndots: bool,
    connections: Connections,
    forwarder: Forwarder,
}

impl Resolver {
    /// Listen in `netns`, whose loopback is up, for the container of `plan`.
    pub fn open(netns: &OwnedFd, plan: &Plan, networks_dir: &Path) -> Result<Resolver> {
        let clone = |e| Error::io("duplicate namespace", &e);
        let (udp, listener) = namespace::within(netns, listen)?;
        let epoll = Epoll::new()?;
        epoll.add(&udp, UDP)?;
        epoll.add(&listener, LISTENER)?;
        let mut resolver = Resolver {
            netns: netns.try_clone().map_err(clone)?,
            networks_dir: networks_dir.to_path_buf(),
            epoll,
            udp,
            listener,
            table: Table::default(),
            has_ndots: false,
            connections: Connections::default(),
            forwarder: Forwarder::default(),
        };
        resolver.update(plan);
        Ok(resolver)
    }

    /// The container's networks have changed.
    pub fn update(&mut self, plan: &Plan) {
        let settings = plan.resolver.clone().unwrap_or_default();
        self.table = Table::of(plan, &self.networks_dir);
        self.has_ndots = settings.has_ndots == Some(true);
        self.forwarder.set_servers(&settings);
    }

    /// Readable when there is something to do.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }

    /// When there is something to do without that.
    pub fn deadline(&self) -> Option<Instant> {
        let deadlines = [self.forwarder.deadline(), self.connections.deadline()];
        deadlines.into_iter().flatten().min()
    }

    /// Do what there is to do.
    pub fn ready(&mut self) -> Result<()> {
        for token in self.epoll.wait(Some(Duration::ZERO))? {
            match token {
                UDP => self.take_datagrams(),
                LISTENER => self
                    .connections
                    .accept(&self.listener, CONNECTIONS, &self.epoll)?,
                token => {
                    self.take_queries(token);
                    self.forward(|forwarder, ground, tell| forwarder.ready(token, ground, tell));
                }
            }
        }
        let now = Instant::now();
        self.connections.sweep(now);
        self.forward(|forwarder, ground, tell| forwarder.sweep(now, ground, tell));
        Ok(())
    }

    fn take_datagrams(&mut self) {
        // One byte more than we take shows that it is too long.
        let mut buffer = [0u8; message::QUERY_MAX + 1];
        for _ in 0..BURST {
            let Ok((count, client)) = self.udp.recv_from(&mut buffer) else {
                return;
            };
            let query = buffer.get(..count).unwrap_or_default();
            self.answer(Client::Udp(client), query);
        }
    }

    /// From the connection of `token`, if it is one.
    fn take_queries(&mut self, token: u64) {
        let client = Client::Tcp(token);
        self.connections.read(token, &self.epoll);
        while let Some(query) = self.connections.next(token) {
            self.answer(client, &query);
        }
        if self.connections.is_ended(token) && !self.forwarder.is_awaited(client) {
            self.connections.close(token);
        }
    }

    fn answer(&mut self, client: Client, query: &[u8]) {
        let is_tcp = matches!(client, Client::Tcp(_));
        match answer::judge(query, &mut self.table, self.has_ndots, is_tcp) {
            Verdict::Say(answer) => tell(&self.udp, &mut self.connections, client, &answer),
            Verdict::Ask { room } => self.forward(|forwarder, ground, tell| {
                forwarder.ask(client, query, room, ground, tell);
            }),
            Verdict::Ignore => {}
        }
    }

    fn forward(
        &mut self,
        work: impl FnOnce(&mut Forwarder, &Ground<'_>, &mut dyn FnMut(Client, &[u8])),
    ) {
        let (udp, connections) = (&self.udp, &mut self.connections);
        let ground = Ground {
            netns: &self.netns,
            epoll: &self.epoll,
        };
        work(&mut self.forwarder, &ground, &mut |client, answer| {
            tell(udp, connections, client, answer);
        });
    }
}

/// A client that does not take its answer does without.
fn tell(udp: &UdpSocket, connections: &mut Connections, client: Client, answer: &[u8]) {
    match client {
        Client::Udp(address) => {
            let _ = udp.send_to(answer, address);
        }
        Client::Tcp(token) => connections.tell(token, answer),
    }
}

/// In the namespace that the thread is in.
fn listen() -> Result<(UdpSocket, TcpListener)> {
    let sockets = |port: u16| {
        let udp = UdpSocket::bind((ADDRESS, port))?;
        let listener = TcpListener::bind((ADDRESS, port))?;
        udp.set_nonblocking(true)?;
        listener.set_nonblocking(true)?;
        let ports = (udp.local_addr()?.port(), listener.local_addr()?.port());
        Ok((udp, listener, ports))
    };
    let failed = |e: std::io::Error| Error::io(format_args!("listen on {ADDRESS}"), &e);
    let (udp, listener, ports) = sockets(0).map_err(failed)?;
    if firewall::redirect_names(ports.0, ports.1).is_ok() {
        return Ok((udp, listener));
    }
    let (udp, listener, _) = sockets(PORT).map_err(failed)?;
    Ok((udp, listener))
}

#[cfg(test)]
mod tests;
