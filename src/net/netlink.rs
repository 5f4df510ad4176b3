//! rtnetlink(7): a message to the kernel, its answer.

use crate::error::Result;
use crate::sys::socket;
use linux_raw_sys::netlink as kernel;
use rustix::io::Errno;
use std::os::fd::OwnedFd;

/// What a message must have room for: the kernel's dumps come in pieces of at most this size.
const BUFFER: usize = 16 << 10;

/// Length, type, flags, sequence, port.
const HEADER: usize = 16;

/// A socket of the network namespace that it was made in, wherever its owner goes later.
pub struct Netlink(OwnedFd);

pub struct Message(Vec<u8>);

impl Netlink {
    pub fn open() -> Result<Netlink> {
        socket::netlink().map(Netlink)
    }

    /// What the kernel answers to `message`, a payload an entry, or why it refuses.
    pub fn ask(&self, message: Message) -> std::result::Result<Vec<Vec<u8>>, Errno> {
        let errno =
            |error: crate::error::Error| error.errno.map_or(Errno::IO, Errno::from_raw_os_error);
        socket::send(&self.0, &message.finish(), &[]).map_err(errno)?;
        let mut answers = Vec::new();
        let mut buffer = vec![0u8; BUFFER];
        loop {
            let (count, _) = socket::receive(&self.0, &mut buffer).map_err(errno)?;
            let mut rest = buffer.get(..count).unwrap_or_default();
            while let Some((kind, payload, after)) = first(rest) {
                rest = after;
                match u32::from(kind) {
                    kernel::NLMSG_DONE => return Ok(answers),
                    kernel::NLMSG_ERROR => match number(payload, 0).cast_signed() {
                        0 => return Ok(answers),
                        error => return Err(Errno::from_raw_os_error(error.wrapping_neg())),
                    },
                    _ => answers.push(payload.to_vec()),
                }
            }
            if count == 0 {
                return Err(Errno::IO);
            }
        }
    }
}

impl Message {
    /// `flags` beside those that every request has; `header` is the one of the message's type.
    pub fn new(kind: u32, flags: u32, header: &[u8]) -> Message {
        let flags = flags | kernel::NLM_F_REQUEST | kernel::NLM_F_ACK;
        let mut bytes = vec![0; 4];
        bytes.extend((kind as u16).to_ne_bytes());
        bytes.extend((flags as u16).to_ne_bytes());
        bytes.extend([0; 8]);
        bytes.extend(header);
        Message(bytes)
    }

    pub fn with(mut self, kind: u32, value: &[u8]) -> Message {
        let length = (value.len() + 4) as u16;
        self.0.extend(length.to_ne_bytes());
        self.0.extend((kind as u16).to_ne_bytes());
        self.0.extend(value);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
        self
    }

    fn finish(mut self) -> Vec<u8> {
        let length = (self.0.len() as u32).to_ne_bytes();
        self.0[..4].copy_from_slice(&length);
        self.0
    }
}

/// The first message of a buffer: its type, what it carries, and the messages after it.
fn first(bytes: &[u8]) -> Option<(u16, &[u8], &[u8])> {
    let length = usize::try_from(u32::from_ne_bytes(bytes.get(..4)?.try_into().ok()?)).ok()?;
    let kind = u16::from_ne_bytes(bytes.get(4..6)?.try_into().ok()?);
    let payload = bytes.get(HEADER..length)?;
    let rest = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    Some((kind, payload, rest))
}

/// Type and value of each attribute.
pub fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u32, &[u8])> {
    std::iter::from_fn(move || {
        let length = usize::from(u16::from_ne_bytes(bytes.get(..2)?.try_into().ok()?));
        let kind = u16::from_ne_bytes(bytes.get(2..4)?.try_into().ok()?);
        let value = bytes.get(4..length)?;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((u32::from(kind), value))
    })
}

/// The number of four bytes at `at`; 0 where the bytes end before.
pub fn number(bytes: &[u8], at: usize) -> u32 {
    let four = bytes.get(at..at + 4).and_then(|four| four.try_into().ok());
    four.map_or(0, u32::from_ne_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let message = Message::new(18, 0, &[7; 8])
            .with(3, b"eth0\0")
            .with(28, &9u32.to_ne_bytes());
        let bytes = message.finish();
        assert_eq!(bytes.len() % 4, 0);
        let (kind, payload, rest) = first(&bytes).unwrap();
        assert_eq!((kind, rest.len()), (18, 0));
        let found: Vec<_> = attributes(&payload[8..]).collect();
        assert_eq!(found, [(3, &b"eth0\0"[..]), (28, &9u32.to_ne_bytes()[..])]);
    }

    #[test]
    fn torn_messages_end_the_reading() {
        let bytes = Message::new(18, 0, &[7; 8]).with(3, b"eth0\0").finish();
        for end in 0..bytes.len() {
            assert!(first(&bytes[..end]).is_none(), "{end}");
        }
        for bad in [&[0u8; 16][..], &[3, 0, 0, 0, 0, 0], &[255; 40]] {
            assert!(first(bad).is_none());
            assert_eq!(attributes(bad).count(), 0);
        }
    }

    #[test]
    fn the_kernel_knows_the_loopback() {
        let netlink = Netlink::open().unwrap();
        let ask = |name: &[u8]| {
            netlink.ask(
                Message::new(kernel::RTM_GETLINK as u32, 0, &[0; 16])
                    .with(kernel::IFLA_IFNAME as u32, name),
            )
        };
        assert_eq!(ask(b"lo\0").unwrap().len(), 1);
        assert_eq!(ask(b"no-such\0").unwrap_err(), Errno::NODEV);
    }
}
