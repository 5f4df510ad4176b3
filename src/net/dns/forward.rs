//! Queries for names that are no container's, passed on to other name servers.
//!
//! Each has a socket of its own while it is under way: the kernel picks its port at random, and takes
//! nothing that does not come from the server asked (RFC 5452). With a random id, and the question
//! compared, a liar must be that server itself; then its answer is worth what the server is.
//!
//! ```text
//!   query -> server 1 -> answer                     -> client
//!                     -> failure, silence of 2 s -> server 2 -> ... -> SERVFAIL
//! ```

use super::message::{self, ROOM_MAX, Said};
use crate::error::{Error, Result};
use crate::net::{namespace, plan};
use crate::sys::epoll::Epoll;
use crate::sys::memory::Pages;
use crate::sys::stream::{self, Moved};
use crate::sys::{random, socket};
use std::io::{ErrorKind, IoSlice};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6, UdpSocket};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

/// Queries under way at a time. Others are refused: their clients ask again.
const FLIGHTS_MAX: usize = 100;

/// Docker asks no more of them.
const SERVERS_MAX: usize = 3;

/// How long a server may think.
const PATIENCE: Duration = Duration::from_secs(2);

/// Whoever guesses ids gets no more guesses than these.
const NONSENSE_MAX: u32 = 16;

const PORT: u16 = 53;

/// Whom to tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Client {
    Udp(SocketAddr),
    /// The number of its connection.
    Tcp(u64),
}

#[derive(Clone, Copy)]
struct Server {
    address: SocketAddr,
    is_of_host: bool,
}

/// Passes queries on, and says what became of them.
#[derive(Default)]
pub struct Forwarder {
    servers: Vec<Server>,
    flights: Vec<Flight>,
    count: u64,
}

/// A query under way.
struct Flight {
    /// By which the loop knows its socket.
    token: u64,
    client: Client,
    /// What the client called its query, and how long an answer it takes.
    id: u16,
    room: usize,
    /// The query as it is sent, its length before it. Its memory goes back to the kernel.
    query: Pages,
    /// The next of the servers, and the way to the one that is asked.
    next: usize,
    way: Option<Way>,
    /// What came from there and was no answer.
    nonsense: u32,
    until: Instant,
}

enum Way {
    Udp(UdpSocket),
    /// Not connected yet.
    Calling(OwnedFd),
    /// What has come of the answer, its length before it.
    Tcp(OwnedFd, Pages, usize),
}

/// How far a query has come.
#[derive(PartialEq, Eq)]
enum Course {
    Flying,
    Failed,
    Told,
}

/// Where sockets are made, and who looks after them.
pub struct Ground<'a> {
    pub netns: &'a OwnedFd,
    pub epoll: &'a Epoll,
}

/// Takes an answer to its client.
pub type Tell<'a> = &'a mut dyn FnMut(Client, &[u8]);

/// Above those of clients.
const TOKENS: u64 = 1 << 63;

impl Forwarder {
    /// From an internal network nothing is asked by way of the host. What its containers can reach
    /// themselves, a server in that network, is asked (as moby does since CVE-2024-29018).
    pub fn set_servers(&mut self, resolver: &plan::Resolver) {
        let is_closed = resolver.is_closed == Some(true);
        let servers = resolver.servers.iter().flatten().filter_map(|server| {
            let is_of_host = server.is_of_host == Some(true);
            let address = address(server.address.as_deref()?)?;
            Some(Server {
                address,
                is_of_host,
            })
        });
        let servers = servers.filter(|server| !(is_closed && server.is_of_host));
        self.servers = servers.take(SERVERS_MAX).collect();
    }

    /// Ask for `client`, which takes an answer of `room` bytes.
    pub fn ask(
        &mut self,
        client: Client,
        query: &[u8],
        room: usize,
        ground: &Ground<'_>,
        tell: Tell<'_>,
    ) {
        let id = message::id(query);
        // Its client may lose patience before us.
        let is_known = |flight: &Flight| flight.client == client && flight.id == id;
        if self.flights.iter().any(is_known) {
            return;
        }
        if self.flights.len() >= FLIGHTS_MAX {
            return tell(client, &message::failure(query, message::REFUSED));
        }
        let mut pages = Pages::new(2 + query.len());
        let length = (query.len() as u16).to_be_bytes();
        for (to, from) in pages.iter_mut().zip(length.iter().chain(query)) {
            *to = *from;
        }
        let mut flight = Flight {
            token: 0,
            client,
            id,
            room,
            query: pages,
            next: 0,
            way: None,
            nonsense: 0,
            until: Instant::now(),
        };
        if self.depart(&mut flight, ground) {
            self.flights.push(flight);
        } else {
            flight.fail(tell);
        }
    }

    /// Whether an answer for `client` is on its way.
    pub fn is_awaited(&self, client: Client) -> bool {
        self.flights.iter().any(|flight| flight.client == client)
    }

    /// The socket of `token` has something to say.
    pub fn ready(&mut self, token: u64, ground: &Ground<'_>, tell: Tell<'_>) {
        let is_meant = |flight: &Flight| flight.token == token;
        let Some(at) = self.flights.iter().position(is_meant) else {
            return;
        };
        let flight = &mut self.flights[at];
        match flight.advance(ground.epoll, tell) {
            Course::Flying => {}
            Course::Told => drop(self.flights.swap_remove(at)),
            Course::Failed => self.again(at, ground, tell),
        }
    }

    /// See whose server has had its time.
    pub fn sweep(&mut self, now: Instant, ground: &Ground<'_>, tell: Tell<'_>) {
        for at in (0..self.flights.len()).rev() {
            if self.flights[at].until <= now {
                self.again(at, ground, tell);
            }
        }
    }

    pub fn deadline(&self) -> Option<Instant> {
        self.flights.iter().map(|flight| flight.until).min()
    }

    /// Ask the next server, if there is one.
    fn again(&mut self, at: usize, ground: &Ground<'_>, tell: Tell<'_>) {
        let mut flight = self.flights.swap_remove(at);
        if self.depart(&mut flight, ground) {
            self.flights.push(flight);
        } else {
            flight.fail(tell);
        }
    }

    /// Off to the next server that there is a way to.
    fn depart(&mut self, flight: &mut Flight, ground: &Ground<'_>) -> bool {
        while let Some(server) = self.servers.get(flight.next) {
            flight.next += 1;
            flight.nonsense = 0;
            self.count += 1;
            flight.token = TOKENS | self.count;
            flight.way = flight.open(*server, ground).ok();
            if flight.way.is_some() {
                flight.until = Instant::now() + PATIENCE;
                return true;
            }
        }
        false
    }
}

impl Flight {
    fn message(&self) -> &[u8] {
        self.query.get(2..).unwrap_or_default()
    }

    fn open(&mut self, server: Server, ground: &Ground<'_>) -> Result<Way> {
        let is_udp = matches!(self.client, Client::Udp(_));
        let open = || match is_udp {
            true => udp(server.address).map(Way::Udp),
            false => socket::call(server.address).map(Way::Calling),
        };
        let way = match server.is_of_host {
            true => open(),
            false => namespace::within(ground.netns, open),
        }?;
        let mut id = [0; 2];
        random::fill(&mut id)?;
        message::set_id(
            self.query.get_mut(2..).unwrap_or_default(),
            u16::from_ne_bytes(id),
        );
        match &way {
            Way::Udp(socket) => {
                let failed = |e| Error::io(format_args!("ask {}", server.address), &e);
                socket.send(self.message()).map_err(failed)?;
                ground.epoll.add(socket, self.token)?;
            }
            Way::Calling(socket) | Way::Tcp(socket, ..) => {
                ground.epoll.add_writable(socket, self.token)?;
            }
        }
        Ok(way)
    }

    fn advance(&mut self, epoll: &Epoll, tell: Tell<'_>) -> Course {
        match self.way.take() {
            Some(Way::Udp(socket)) => {
                let course = self.receive(&socket, tell);
                self.way = Some(Way::Udp(socket));
                course
            }
            // A connection that was refused takes nothing.
            Some(Way::Calling(socket)) => {
                let sent = stream::send(&socket, &[IoSlice::new(&self.query)]);
                if sent == Moved::Bytes(self.query.len()) {
                    epoll.remove(&socket);
                    if epoll.add(&socket, self.token).is_err() {
                        return Course::Failed;
                    }
                    let reply = Pages::new(2 + message::TCP_MAX);
                    self.way = Some(Way::Tcp(socket, reply, 0));
                    return Course::Flying;
                }
                Course::Failed
            }
            Some(Way::Tcp(socket, mut reply, mut count)) => {
                let course = self.collect(&socket, &mut reply, &mut count, tell);
                self.way = Some(Way::Tcp(socket, reply, count));
                course
            }
            None => Course::Failed,
        }
    }

    fn receive(&mut self, socket: &UdpSocket, tell: Tell<'_>) -> Course {
        // One byte more than any client takes shows that it is too long.
        let mut buffer = [0u8; ROOM_MAX + 1];
        loop {
            let count = match socket.recv(&mut buffer) {
                Ok(count) => count,
                Err(e) if e.kind() == ErrorKind::WouldBlock => return Course::Flying,
                // Nobody listens there.
                Err(_) => return Course::Failed,
            };
            let reply = buffer.get_mut(..count).unwrap_or_default();
            match self.land(reply, tell) {
                Course::Flying if self.nonsense < NONSENSE_MAX => {}
                Course::Flying => return Course::Failed,
                course => return course,
            }
        }
    }

    /// Over TCP.
    fn collect(
        &mut self,
        socket: &OwnedFd,
        reply: &mut [u8],
        count: &mut usize,
        tell: Tell<'_>,
    ) -> Course {
        loop {
            match stream::read(socket, reply.get_mut(*count..).unwrap_or_default()) {
                Moved::Bytes(more) => *count += more,
                Moved::Later => return Course::Flying,
                Moved::End => return Course::Failed,
            }
            let length = 2 + usize::from(message::id(reply));
            if *count >= length.max(3) {
                let reply = reply.get_mut(2..length).unwrap_or_default();
                return match self.land(reply, tell) {
                    Course::Flying => Course::Failed,
                    course => course,
                };
            }
        }
    }

    /// Tell the client what `reply` says; it goes on flying if that is no answer.
    fn land(&mut self, reply: &mut [u8], tell: Tell<'_>) -> Course {
        match message::judge(self.message(), reply) {
            Said::Nonsense => {
                self.nonsense += 1;
                Course::Flying
            }
            Said::Failure => Course::Failed,
            Said::Answer if reply.len() > self.room => {
                let mut cut = message::cut(self.message());
                message::set_id(&mut cut, self.id);
                tell(self.client, &cut);
                Course::Told
            }
            Said::Answer => {
                message::set_id(reply, self.id);
                tell(self.client, reply);
                Course::Told
            }
        }
    }

    /// Nobody knows, or wants to say.
    fn fail(&self, tell: Tell<'_>) {
        let mut failure = message::failure(self.message(), message::SERVER_FAILURE);
        message::set_id(&mut failure, self.id);
        tell(self.client, &failure);
    }
}

/// A socket that only `server` can send to, at a port of the kernel's choice.
fn udp(server: SocketAddr) -> Result<UdpSocket> {
    let any: IpAddr = match server {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let open = || {
        let socket = UdpSocket::bind((any, 0))?;
        socket.connect(server)?;
        socket.set_nonblocking(true)?;
        Ok(socket)
    };
    open().map_err(|e: std::io::Error| Error::io(format_args!("connect to {server}"), &e))
}

/// `9.9.9.9`, `fe80::1%eth0`.
fn address(text: &str) -> Option<SocketAddr> {
    let (address, zone) = text.split_once('%').unwrap_or((text, ""));
    let address: IpAddr = address.parse().ok()?;
    let (IpAddr::V6(v6), false) = (address, zone.is_empty()) else {
        return Some(SocketAddr::new(address, PORT));
    };
    // A zone is a link of the host: by its number, or by its name.
    let index = zone.parse().ok().or_else(|| {
        let path = format!("/sys/class/net/{}/ifindex", zone.replace('/', ""));
        std::fs::read_to_string(path).ok()?.trim_end().parse().ok()
    })?;
    Some(SocketAddrV6::new(v6, PORT, 0, index).into())
}
