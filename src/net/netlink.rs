//! netlink(7): messages to the kernel, its answers, its notices.
//!
//! The kernel works a datagram off before send(2) returns, and what it answers lies in the socket by
//! then (a dump goes on with each reading). So nothing here waits, and an answer that is cut short is
//! an error and no hanging. An answer counts only if it comes from the kernel, is for our port and
//! has the number of what was asked.
//!
//! The kernel's own words about a refusal (NETLINK_EXT_ACK) stand in the error, before the errno:
//! callers put in front what was being done, and to what.

mod answer;
mod message;

pub use self::message::{Message, attribute, attributes, number};

use self::answer::Exchange;
use crate::error::{Error, Kind, Result};
use crate::sys::memory::Pages;
use crate::sys::{is, socket};
use linux_raw_sys::netlink as kernel;
use rustix::io::Errno;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

pub const NETLINK_ROUTE: u32 = kernel::NETLINK_ROUTE;
pub const NETLINK_NETFILTER: u32 = kernel::NETLINK_NETFILTER;

/// The kernel cuts its dumps to what a reader has room for, up to this much (netlink_recvmsg).
const BUFFER_BYTES: usize = 32 << 10;

/// What a socket may have on its way to the kernel without asking for more.
const SEND_BYTES: usize = 64 << 10;

/// How often a dump is begun anew because what it shows has changed meanwhile.
const DUMPS_MAX: usize = 16;

/// The frame of a transaction (linux/netfilter/nfnetlink.h).
const NFNL_MSG_BATCH_BEGIN: u32 = 0x10;
const NFNL_MSG_BATCH_END: u32 = 0x11;
const NFNL_BATCH_GENID: u32 = 1;

/// A socket of the network namespace that it was made in, wherever its owner goes later.
pub struct Netlink {
    socket: OwnedFd,
    port: u32,
    /// Of the last message.
    sequence: u32,
    buffer: Pages,
}

impl Netlink {
    /// `protocol` is NETLINK_ROUTE or NETLINK_NETFILTER.
    pub fn open(protocol: u32) -> Result<Netlink> {
        let (socket, port) = socket::netlink(protocol)?;
        // Words about refusals, without the refused message. Since Linux 4.12 and 4.3.
        for option in [kernel::NETLINK_EXT_ACK, kernel::NETLINK_CAP_ACK] {
            let _ = socket::set_netlink(&socket, option, 1);
        }
        Ok(Netlink {
            socket,
            port,
            sequence: 0,
            buffer: Pages::new(BUFFER_BYTES),
        })
    }

    /// Send one message. What the kernel answers, a payload an entry, or why it refuses.
    pub fn ask(&mut self, message: Message) -> Result<Vec<Vec<u8>>> {
        self.exchange(vec![message])
    }

    /// What a question with NLM_F_DUMP, which is added, finds.
    pub fn dump(&mut self, message: &Message) -> Result<Vec<Vec<u8>>> {
        for _ in 0..DUMPS_MAX {
            match self.exchange(vec![message.as_dump()]) {
                Err(error) if is(&error, Errno::INTR) => {}
                other => return other,
            }
        }
        Err(refused(
            "the kernel's list changes faster than it can be read",
        ))
    }

    /// Send messages at once. Each is done or refused by itself, the ones after a refused one too; the
    /// first refusal is the error.
    pub fn batch(&mut self, messages: Vec<Message>) -> Result<()> {
        self.exchange(messages).map(drop)
    }

    /// Send messages to a part of netfilter (`NFNL_SUBSYS_…`), which does all of them or none; where
    /// they count for one `generation` of what is there, ERESTART says that it is another one by now.
    pub fn transaction(
        &mut self,
        subsystem: u8,
        generation: Option<u32>,
        messages: Vec<Message>,
    ) -> Result<()> {
        // struct nfgenmsg: no family, version 0, the part's number as the network orders it.
        let frame = |kind| Message::silent(kind, &[0, 0, 0, subsystem]);
        let mut all = Vec::with_capacity(messages.len() + 2);
        let mut begin = frame(NFNL_MSG_BATCH_BEGIN);
        if let Some(generation) = generation {
            begin.put(NFNL_BATCH_GENID, &generation.to_be_bytes());
        }
        all.push(begin);
        all.extend(messages);
        all.push(frame(NFNL_MSG_BATCH_END));
        self.exchange(all).map(drop)
    }

    /// One sign of success for all of them, so that thousands of messages do not overflow the socket
    /// with theirs; a refusal comes for each anyway.
    fn exchange(&mut self, mut messages: Vec<Message>) -> Result<Vec<Vec<u8>>> {
        let first = self.sequence.wrapping_add(1);
        let told = messages.iter().rposition(Message::wants_answer);
        let Some(told) = told else {
            return Ok(Vec::new());
        };
        let mut bytes = Vec::new();
        for (index, message) in messages.drain(..).enumerate() {
            self.sequence = self.sequence.wrapping_add(1);
            message.write(self.sequence, index == told, &mut bytes)?;
        }
        let last = first.wrapping_add(told as u32);

        self.send(&bytes)?;
        let mut exchange = Exchange::new(self.port, first, last);
        while let Some(count) = self.receive()? {
            let datagram = self.buffer.get(..count).unwrap_or_default();
            if let Err(error) = exchange.take(datagram) {
                self.forget();
                return Err(error);
            }
        }
        exchange.into_result()
    }

    fn send(&mut self, bytes: &[u8]) -> Result<()> {
        if bytes.len() > SEND_BYTES {
            socket::widen_sending(&self.socket, bytes.len() * 2);
        }
        socket::send(&self.socket, bytes, &[])
    }

    /// The next datagram of the kernel. `None`: it has nothing more to say.
    fn receive(&mut self) -> Result<Option<usize>> {
        let size = self.buffer.len();
        let error = loop {
            match socket::receive_netlink(&self.socket, &mut self.buffer) {
                // Another process's, whom nobody has asked.
                Ok((_, sender)) if sender != 0 => {}
                Ok((count, _)) if count > size => {
                    break refused("the kernel's answer is longer than 32 kB");
                }
                Ok((count, _)) => return Ok(Some(count)),
                Err(Errno::AGAIN) => return Ok(None),
                Err(errno) => break answer::said("netlink", errno.raw_os_error()),
            }
        };
        self.forget();
        Err(error)
    }

    /// What is still there belongs to nothing that will be asked.
    fn forget(&mut self) {
        while let Ok(_) | Err(Errno::NOBUFS) =
            socket::receive_netlink(&self.socket, &mut self.buffer)
        {}
    }

    /// Hear what happens (`RTNLGRP_…`, `NFNLGRP_…`). Such a socket is for listening alone.
    pub fn join(&self, group: u32) -> Result<()> {
        socket::set_netlink(&self.socket, kernel::NETLINK_ADD_MEMBERSHIP, group)
            .map_err(|errno| crate::sys::failed("join netlink group", group, errno))
    }

    /// Whom the kernel's notices name as the one who did it, when it was this socket.
    pub fn port(&self) -> u32 {
        self.port
    }

    /// What has been told since. ENOBUFS: something has been missed.
    pub fn notices(&mut self) -> Result<Vec<Notice>> {
        let mut notices = Vec::new();
        while let Some(count) = self.receive()? {
            let mut rest = self.buffer.get(..count).unwrap_or_default();
            while let Some((head, payload, after)) = message::first(rest) {
                notices.push(Notice {
                    kind: head.kind,
                    port: head.port,
                    payload: payload.to_vec(),
                });
                rest = after;
            }
        }
        Ok(notices)
    }
}

/// What the kernel tells those who have joined a group.
pub struct Notice {
    pub kind: u16,
    /// The port of the socket that made it happen.
    pub port: u32,
    pub payload: Vec<u8>,
}

impl AsFd for Netlink {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn refused(why: &str) -> Error {
    Error::new(Kind::System, format!("netlink: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(name: &str) -> Message {
        let mut message = Message::new(kernel::RTM_GETLINK as u32, 0, &[0; 16]);
        message.text(kernel::IFLA_IFNAME as u32, name);
        message
    }

    #[test]
    fn the_kernel_knows_the_loopback() {
        let mut netlink = Netlink::open(NETLINK_ROUTE).unwrap();
        assert_eq!(netlink.ask(question("lo")).unwrap().len(), 1);
        let error = netlink.ask(question("no-such")).unwrap_err();
        assert!(is(&error, Errno::NODEV), "{error}");
        // The socket goes on after a refusal.
        assert_eq!(netlink.ask(question("lo")).unwrap().len(), 1);
    }

    #[test]
    fn a_list_is_read_to_its_end() {
        let mut netlink = Netlink::open(NETLINK_ROUTE).unwrap();
        let message = Message::new(kernel::RTM_GETLINK as u32, 0, &[0; 16]);
        let links = netlink.dump(&message).unwrap();
        let names: Vec<_> = links
            .iter()
            .filter_map(|link| attribute(link.get(16..)?, kernel::IFLA_IFNAME as u32))
            .collect();
        assert!(names.contains(&&b"lo\0"[..]), "{names:?}");
    }

    #[test]
    fn a_refusal_has_the_kernels_words_and_the_first_one_counts() {
        let mut netlink = Netlink::open(NETLINK_ROUTE).unwrap();
        // A link of no type: refused in words, before anything is made.
        let mut bad = Message::new(kernel::RTM_NEWLINK as u32, kernel::NLM_F_CREATE, &[0; 16]);
        bad.number(kernel::IFLA_MASTER as u32, 1);
        let messages = vec![question("lo"), question("no-such"), bad, question("lo")];
        let error = netlink.batch(messages).unwrap_err();
        assert!(is(&error, Errno::NODEV), "{error}");
        assert!(netlink.batch(vec![question("lo")]).is_ok());
        assert!(netlink.batch(Vec::new()).is_ok());

        let mut address = Message::new(kernel::RTM_NEWADDR as u32, 0, &[2, 99, 0, 0, 1, 0, 0, 0]);
        address.put(kernel::IFA_LOCAL as u32, &[127, 0, 0, 9]);
        let error = netlink.ask(address).unwrap_err();
        assert!(
            error.message.contains("prefix length: Invalid argument")
                || error.message.starts_with("Invalid argument"),
            "{error}"
        );
    }
}
