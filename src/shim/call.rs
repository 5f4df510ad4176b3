//! A connection to the shim: a request that is being read, or someone who watches.

use crate::error::{Error, Kind, Result};
use crate::json;
use crate::log;
use crate::shim::message::{LINE_BYTES_MAX, Reply, Request};
use crate::sys::{socket, stream};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

pub struct Call {
    socket: OwnedFd,
    line: Vec<u8>,
    fds: Vec<OwnedFd>,
    /// Answered, and kept for events.
    is_watch: bool,
    pub is_over: bool,
}

impl Call {
    /// The socket's mode keeps strangers out; this keeps out who got a descriptor by other ways.
    pub fn new(socket: OwnedFd) -> Result<Call> {
        let peer = socket::peer(&socket)?;
        if peer.uid != 0 && peer.uid != rustix::process::geteuid().as_raw() {
            let message = format!("process {} of user {} is refused", peer.pid, peer.uid);
            return Err(Error::new(Kind::Denied, message));
        }
        stream::set_nonblocking(&socket)?;
        Ok(Call {
            socket,
            line: Vec::new(),
            fds: Vec::new(),
            is_watch: false,
            is_over: false,
        })
    }

    pub fn fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// Read on; the request when it is whole.
    pub fn receive(&mut self, buffer: &mut [u8]) -> Option<(Request, Vec<OwnedFd>)> {
        let (count, fds) = match socket::receive(&self.socket, buffer) {
            Ok((0, _)) | Err(_) => {
                self.is_over = true;
                return None;
            }
            Ok(received) => received,
        };
        self.line.extend(buffer.get(..count).unwrap_or_default());
        self.fds.extend(fds);
        if self.is_watch || self.line.len() > LINE_BYTES_MAX || self.fds.len() > 1 {
            self.is_over = true;
            return None;
        }
        if self.line.last() != Some(&b'\n') {
            return None;
        }
        let line = std::mem::take(&mut self.line);
        match json::parse_bytes(&line, "request") {
            Ok(request) => Some((request, std::mem::take(&mut self.fds))),
            Err(error) => {
                self.reply(&Reply::error(&error), false);
                None
            }
        }
    }

    pub fn reply(&mut self, reply: &Reply, is_watch: bool) {
        self.is_watch = is_watch;
        self.is_over = !is_watch;
        self.send(reply);
    }

    /// Tell an event, if this one watches.
    pub fn tell(&mut self, event: &Reply) {
        if self.is_watch {
            self.send(event);
        }
    }

    /// A line is far smaller than a socket's buffer. A watcher that has let it fill up is no longer
    /// one.
    fn send(&mut self, reply: &Reply) {
        let line = json::to_string(reply) + "\n";
        if let Err(error) = socket::send(&self.socket, line.as_bytes(), &[]) {
            log::line("tug-shim", error);
            self.is_over = true;
        }
    }
}
