//! Clients that ask over TCP (RFC 7766): one query after the other on a connection, each with its length
//! before it.

use super::message::QUERY_MAX;
use crate::error::Result;
use crate::sys::epoll::Epoll;
use crate::sys::socket;
use crate::sys::stream::{self, Moved};
use std::io::{ErrorKind, IoSlice};
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

/// Connections at a time; a new one takes the place of the one that was silent longest.
const CONNECTIONS_MAX: usize = 16;

/// How long a connection may be silent.
const PATIENCE: Duration = Duration::from_secs(10);

/// An answer fits into a connection's buffer whole: who does not take it is not waited for.
const BUFFER_BYTES: usize = 128 << 10;

#[derive(Default)]
pub struct Connections {
    list: Vec<Connection>,
    count: u64,
}

struct Connection {
    token: u64,
    socket: OwnedFd,
    /// What has come of the next query.
    input: Vec<u8>,
    /// The client sends no more; it may wait for answers.
    is_ended: bool,
    until: Instant,
}

impl Connections {
    /// `first` is the number of the first connection: those below are not ours.
    pub fn accept(&mut self, listener: &TcpListener, first: u64, epoll: &Epoll) -> Result<()> {
        loop {
            let socket = match listener.accept() {
                Ok((socket, _)) => OwnedFd::from(socket),
                Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(()),
                // Out of descriptors, most likely: whoever waits is still there the next time.
                Err(_) => {
                    std::thread::sleep(Duration::from_millis(10));
                    return Ok(());
                }
            };
            stream::set_nonblocking(&socket)?;
            socket::set_send_buffer(&socket, BUFFER_BYTES);
            if self.list.len() >= CONNECTIONS_MAX {
                self.list.remove(0);
            }
            let token = first + self.count;
            self.count += 1;
            epoll.add(&socket, token)?;
            self.list.push(Connection {
                token,
                socket,
                input: Vec::new(),
                is_ended: false,
                until: Instant::now() + PATIENCE,
            });
        }
    }

    /// Take what has come, to be had from `next`.
    pub fn read(&mut self, token: u64, epoll: &Epoll) {
        let Some(connection) = self.find(token) else {
            return;
        };
        let mut buffer = [0u8; 2 + QUERY_MAX];
        match stream::read(&connection.socket, &mut buffer) {
            Moved::Bytes(count) => {
                connection.input.extend(&buffer[..count]);
                connection.until = Instant::now() + PATIENCE;
            }
            Moved::Later => {}
            Moved::End => {
                connection.is_ended = true;
                epoll.remove(&connection.socket);
            }
        }
    }

    /// The next whole query of a connection. One that is too long ends it.
    pub fn next(&mut self, token: u64) -> Option<Vec<u8>> {
        let connection = self.find(token)?;
        let [high, low, rest @ ..] = connection.input.as_slice() else {
            return None;
        };
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        if !(1..=QUERY_MAX).contains(&length) {
            self.close(token);
            return None;
        }
        let query = rest.get(..length)?.to_vec();
        connection.input.drain(..2 + length);
        Some(query)
    }

    pub fn is_ended(&self, token: u64) -> bool {
        let mut list = self.list.iter();
        list.any(|connection| connection.token == token && connection.is_ended)
    }

    pub fn tell(&mut self, token: u64, answer: &[u8]) {
        let Some(connection) = self.find(token) else {
            return;
        };
        let length = (answer.len() as u16).to_be_bytes();
        let parts = [IoSlice::new(&length), IoSlice::new(answer)];
        let sent = stream::send(&connection.socket, &parts);
        if sent != Moved::Bytes(length.len() + answer.len()) {
            self.close(token);
        }
    }

    pub fn close(&mut self, token: u64) {
        self.list.retain(|connection| connection.token != token);
    }

    pub fn sweep(&mut self, now: Instant) {
        self.list.retain(|connection| now < connection.until);
    }

    pub fn deadline(&self) -> Option<Instant> {
        self.list.iter().map(|connection| connection.until).min()
    }

    fn find(&mut self, token: u64) -> Option<&mut Connection> {
        let mut list = self.list.iter_mut();
        list.find(|connection| connection.token == token)
    }
}
