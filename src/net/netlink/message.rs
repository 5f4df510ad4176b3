//! A message: its header, what its type carries, and attributes, which may hold attributes.

use crate::error::{Error, Kind, Result};
use linux_raw_sys::netlink as kernel;

/// Length, type, flags, sequence, port.
pub const HEADER: usize = 16;

/// Of an attribute's type: the rest says how it is written.
const TYPE_MASK: u16 = 0x3fff;

pub struct Message {
    bytes: Vec<u8>,
    /// An attribute does not fit into the 16 bits of its length.
    is_overlong: bool,
}

impl Message {
    /// `flags` beside those that every request has; `header` is the one of the message's type.
    pub fn new(kind: u32, flags: u32, header: &[u8]) -> Message {
        Message::raw(
            kind,
            flags | kernel::NLM_F_REQUEST | kernel::NLM_F_ACK,
            header,
        )
    }

    /// One that is not answered.
    pub fn silent(kind: u32, header: &[u8]) -> Message {
        Message::raw(kind, kernel::NLM_F_REQUEST, header)
    }

    fn raw(kind: u32, flags: u32, header: &[u8]) -> Message {
        let mut bytes = vec![0; 4];
        bytes.extend((kind as u16).to_ne_bytes());
        bytes.extend((flags as u16).to_ne_bytes());
        bytes.extend([0; 8]);
        bytes.extend(header);
        let mut message = Message {
            bytes,
            is_overlong: false,
        };
        message.align();
        message
    }

    /// An attribute.
    pub fn put(&mut self, kind: u32, value: &[u8]) -> &mut Message {
        let at = self.open_plain(kind);
        self.bytes.extend(value);
        self.close(at);
        self
    }

    /// A number of four bytes in the machine's order.
    pub fn number(&mut self, kind: u32, value: u32) -> &mut Message {
        self.put(kind, &value.to_ne_bytes())
    }

    /// A string with its zero byte.
    pub fn text(&mut self, kind: u32, text: &str) -> &mut Message {
        let at = self.open_plain(kind);
        self.bytes.extend(text.as_bytes());
        self.bytes.push(0);
        self.close(at);
        self
    }

    /// Begin an attribute that holds those that follow, up to the `close` of what this returns.
    pub fn open(&mut self, kind: u32) -> usize {
        self.open_plain(kind | kernel::NLA_F_NESTED)
    }

    /// The same for older interfaces, which do not mark such attributes.
    pub fn open_plain(&mut self, kind: u32) -> usize {
        let at = self.bytes.len();
        self.bytes.extend([0; 2]);
        self.bytes.extend((kind as u16).to_ne_bytes());
        at
    }

    /// Bytes without a head, as a nested attribute of links and of some others begins.
    pub fn append(&mut self, bytes: &[u8]) -> &mut Message {
        self.bytes.extend(bytes);
        self.align();
        self
    }

    pub fn close(&mut self, at: usize) {
        let length = u16::try_from(self.bytes.len().saturating_sub(at));
        self.is_overlong |= length.is_err();
        if let Some(place) = self.bytes.get_mut(at..at + 2) {
            place.copy_from_slice(&length.unwrap_or(u16::MAX).to_ne_bytes());
        }
        self.align();
    }

    fn align(&mut self) {
        let length = self.bytes.len().next_multiple_of(4);
        self.bytes.resize(length, 0);
    }

    fn flags(&self) -> u32 {
        let bytes = self.bytes.get(6..8).and_then(|two| two.try_into().ok());
        bytes.map_or(0, u16::from_ne_bytes).into()
    }

    pub fn wants_answer(&self) -> bool {
        self.flags() & kernel::NLM_F_ACK != 0
    }

    /// The same as a question for a list.
    pub fn as_dump(&self) -> Message {
        let mut message = Message {
            bytes: self.bytes.clone(),
            is_overlong: self.is_overlong,
        };
        message.set_flags(self.flags() | kernel::NLM_F_DUMP);
        message
    }

    fn set_flags(&mut self, flags: u32) {
        if let Some(place) = self.bytes.get_mut(6..8) {
            place.copy_from_slice(&(flags as u16).to_ne_bytes());
        }
    }

    /// Put the whole into `datagram`, with its number; `is_told`: with a sign of success.
    pub fn write(mut self, sequence: u32, is_told: bool, datagram: &mut Vec<u8>) -> Result<()> {
        if self.is_overlong {
            return Err(Error::new(
                Kind::TooLarge,
                "netlink: an attribute is longer than 64 kB",
            ));
        }
        if !is_told {
            self.set_flags(self.flags() & !kernel::NLM_F_ACK);
        }
        datagram.extend((self.bytes.len() as u32).to_ne_bytes());
        datagram.extend(self.bytes.get(4..8).unwrap_or_default());
        datagram.extend(sequence.to_ne_bytes());
        datagram.extend(self.bytes.get(12..).unwrap_or_default());
        Ok(())
    }
}

pub struct Head {
    pub kind: u16,
    pub flags: u32,
    pub sequence: u32,
    pub port: u32,
}

/// The first message of a datagram: its head, what it carries, and the messages after it.
pub fn first(bytes: &[u8]) -> Option<(Head, &[u8], &[u8])> {
    let length = number(bytes.get(..HEADER)?, 0) as usize;
    let kinds = number(bytes, 4).to_ne_bytes();
    let head = Head {
        kind: u16::from_ne_bytes([kinds[0], kinds[1]]),
        flags: u16::from_ne_bytes([kinds[2], kinds[3]]).into(),
        sequence: number(bytes, 8),
        port: number(bytes, 12),
    };
    let payload = bytes.get(HEADER..length)?;
    let rest = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    Some((head, payload, rest))
}

/// Type and value of each attribute.
pub fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u32, &[u8])> {
    std::iter::from_fn(move || {
        let length = usize::from(u16::from_ne_bytes(bytes.get(..2)?.try_into().ok()?));
        let kind = u16::from_ne_bytes(bytes.get(2..4)?.try_into().ok()?);
        let value = bytes.get(4..length)?;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((u32::from(kind & TYPE_MASK), value))
    })
}

/// The value of the attribute of that type.
pub fn attribute(bytes: &[u8], kind: u32) -> Option<&[u8]> {
    attributes(bytes).find_map(|(found, value)| (found == kind).then_some(value))
}

/// The number of four bytes at `at`; 0 where the bytes end before.
pub fn number(bytes: &[u8], at: usize) -> u32 {
    let four = bytes.get(at..at + 4).and_then(|four| four.try_into().ok());
    four.map_or(0, u32::from_ne_bytes)
}

#[cfg(test)]
impl Message {
    /// As it is sent, in hex digits, with the number 0: to compare with what another program sends.
    pub fn hex(self) -> String {
        let mut bytes = Vec::new();
        self.write(0, true, &mut bytes).unwrap();
        crate::id::hex(&bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(message: Message) -> Vec<u8> {
        let mut bytes = Vec::new();
        message.write(7, true, &mut bytes).unwrap();
        bytes
    }

    fn example() -> Message {
        let mut message = Message::new(18, 0, &[7; 8]);
        message.text(3, "eth0").number(28, 9);
        let nest = message.open(18);
        message.put(1, b"veth");
        message.close(nest);
        message
    }

    #[test]
    fn what_is_written_is_read_again() {
        let bytes = written(example());
        assert_eq!(bytes.len() % 4, 0);
        let (head, payload, rest) = first(&bytes).unwrap();
        assert_eq!((head.kind, head.sequence, rest.len()), (18, 7, 0));
        let found: Vec<_> = attributes(&payload[8..]).collect();
        let nest = [8, 0, 1, 0, b'v', b'e', b't', b'h'];
        let wanted = [
            (3, &b"eth0\0"[..]),
            (28, &9u32.to_ne_bytes()[..]),
            (18, &nest[..]),
        ];
        assert_eq!(found, wanted);
        assert_eq!(attribute(&payload[8..], 28), Some(&9u32.to_ne_bytes()[..]));
        assert_eq!(attribute(&payload[8..], 29), None);
    }

    #[test]
    fn torn_messages_end_the_reading() {
        let bytes = written(example());
        for end in 0..bytes.len() {
            assert!(first(&bytes[..end]).is_none(), "{end}");
        }
        for bad in [&[0u8; 16][..], &[3, 0, 0, 0, 0, 0], &[255; 40]] {
            assert!(first(bad).is_none());
            assert_eq!(attributes(bad).count(), 0);
        }
    }

    #[test]
    fn an_attribute_that_is_too_long_is_not_sent() {
        let mut message = Message::new(18, 0, &[]);
        message.put(1, &vec![0; 65_532]);
        let error = message.write(1, true, &mut Vec::new()).unwrap_err();
        assert_eq!(error.kind, Kind::TooLarge);
    }
}
