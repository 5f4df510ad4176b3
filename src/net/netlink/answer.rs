//! What the kernel answers to one datagram of ours, taken apart.

use super::message::{self, HEADER, attribute, number};
use super::refused;
use crate::error::{Error, Kind, Result};
use linux_raw_sys::netlink as kernel;
use rustix::io::Errno;

pub struct Exchange {
    port: u32,
    /// The numbers of the messages that may be answered, and of the one whose answer is the last.
    first: u32,
    last: u32,
    answers: Vec<Vec<u8>>,
    refusal: Option<Error>,
    is_interrupted: bool,
    is_over: bool,
}

impl Exchange {
    pub fn new(port: u32, first: u32, last: u32) -> Exchange {
        Exchange {
            port,
            first,
            last,
            answers: Vec::new(),
            refusal: None,
            is_interrupted: false,
            is_over: false,
        }
    }

    /// One datagram of the kernel, which holds whole messages.
    pub fn take(&mut self, datagram: &[u8]) -> Result<()> {
        let mut rest = datagram;
        while !rest.is_empty() {
            let Some((head, payload, after)) = message::first(rest) else {
                return Err(refused("the kernel's answer is cut short"));
            };
            rest = after;
            // Numbers run on over the end of their range.
            let place = head.sequence.wrapping_sub(self.first);
            if head.port != self.port || place > self.last.wrapping_sub(self.first) {
                return Err(refused("an answer to a question that was not asked"));
            }
            self.is_interrupted |= head.flags & kernel::NLM_F_DUMP_INTR != 0;
            match u32::from(head.kind) {
                kernel::NLMSG_NOOP => {}
                kernel::NLMSG_OVERRUN => return Err(refused("answers of the kernel are lost")),
                kernel::NLMSG_ERROR | kernel::NLMSG_DONE => self.end(&head, payload)?,
                _ => self.answers.push(payload.to_vec()),
            }
        }
        Ok(())
    }

    /// The end of what is said to one message: success, or a refusal.
    fn end(&mut self, head: &message::Head, payload: &[u8]) -> Result<()> {
        let is_list = u32::from(head.kind) == kernel::NLMSG_DONE;
        let code = match payload.get(..4) {
            Some(_) => number(payload, 0).cast_signed(),
            // The oldest kernels end a list so.
            None if is_list => 0,
            None => return Err(refused("the kernel's answer is cut short")),
        };
        if code < 0 {
            // The message that is meant follows the code, whole or only its header.
            let skipped = match is_list {
                true => 4,
                false if head.flags & kernel::NLM_F_CAPPED != 0 => 4 + HEADER,
                false => 4 + (number(payload, 4) as usize).next_multiple_of(4),
            };
            let words = payload
                .get(skipped..)
                .filter(|_| head.flags & kernel::NLM_F_ACK_TLVS != 0);
            let words = words
                .and_then(|words| attribute(words, MESSAGE))
                .unwrap_or_default();
            let words = words.strip_suffix(&[0]).unwrap_or(words);
            let refusal = said(&String::from_utf8_lossy(words), code.wrapping_neg());
            self.refusal.get_or_insert(refusal);
        }
        self.is_over |= head.sequence == self.last;
        Ok(())
    }

    /// There is nothing more to take.
    pub fn into_result(self) -> Result<Vec<Vec<u8>>> {
        match self.refusal {
            // Of a transaction that fails as a whole the frame alone may be answered.
            Some(refusal) => Err(refusal),
            None if !self.is_over => Err(refused("the kernel's answer is cut short")),
            None if self.is_interrupted => Err(said("", Errno::INTR.raw_os_error())),
            None => Ok(self.answers),
        }
    }
}

const MESSAGE: u32 = kernel::nlmsgerr_attrs::NLMSGERR_ATTR_MSG as u32;

/// The kernel's refusal, in its own words where it has some.
pub fn said(words: &str, errno: i32) -> Error {
    let error = std::io::Error::from_raw_os_error(errno);
    let colon = if words.is_empty() { "" } else { ": " };
    Error::with_errno(Kind::System, Some(errno), format!("{words}{colon}{error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::netlink::Message;

    const PORT: u32 = 4711;

    /// A message as the kernel writes it.
    fn told(kind: u32, flags: u32, sequence: u32, port: u32, payload: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend(((HEADER + payload.len()) as u32).to_ne_bytes());
        bytes.extend((kind as u16).to_ne_bytes());
        bytes.extend((flags as u16).to_ne_bytes());
        bytes.extend(sequence.to_ne_bytes());
        bytes.extend(port.to_ne_bytes());
        bytes.extend(payload);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    /// An acknowledgement or a refusal, with words.
    fn ended(sequence: u32, code: i32, words: &str) -> Vec<u8> {
        let mut payload = code.to_ne_bytes().to_vec();
        payload.extend(told(16, 0, sequence, PORT, &[]));
        let mut attribute = Message::silent(0, &[]);
        attribute.text(MESSAGE, words);
        let mut bytes = Vec::new();
        attribute.write(0, true, &mut bytes).unwrap();
        payload.extend(&bytes[HEADER..]);
        let flags = kernel::NLM_F_CAPPED | kernel::NLM_F_ACK_TLVS;
        told(kernel::NLMSG_ERROR, flags, sequence, PORT, &payload)
    }

    fn outcome(first: u32, last: u32, datagrams: &[Vec<u8>]) -> Result<Vec<Vec<u8>>> {
        let mut exchange = Exchange::new(PORT, first, last);
        for datagram in datagrams {
            exchange.take(datagram)?;
        }
        exchange.into_result()
    }

    fn failure(datagrams: &[Vec<u8>]) -> String {
        outcome(1, 3, datagrams).unwrap_err().to_string()
    }

    #[test]
    fn an_exchange_ends_with_the_last_messages_answer() {
        let answer = told(16, 0, 3, PORT, b"abcd");
        let whole = outcome(1, 3, &[answer.clone(), ended(3, 0, "")]).unwrap();
        assert_eq!(whole, [b"abcd"]);
        assert!(failure(&[answer]).contains("cut short"));
        assert!(failure(&[]).contains("cut short"));
        let list = [
            told(16, kernel::NLM_F_MULTI, 1, PORT, b"one"),
            told(16, kernel::NLM_F_MULTI, 1, PORT, b"two"),
            told(kernel::NLMSG_DONE, kernel::NLM_F_MULTI, 1, PORT, &[0; 4]),
        ];
        assert_eq!(outcome(1, 1, &[list.concat()]).unwrap(), [b"one", b"two"]);
        assert!(outcome(1, 1, &list[..2]).is_err());
    }

    #[test]
    fn the_first_refusal_is_told_in_the_kernels_words() {
        let refusals = [ended(2, -17, "taken"), ended(3, -22, "later")];
        assert_eq!(failure(&refusals), "taken: File exists (os error 17)");
        assert_eq!(
            failure(&[ended(1, -1, "")]),
            "Operation not permitted (os error 1)"
        );
    }

    #[test]
    fn a_list_that_changed_while_it_was_read_is_no_answer() {
        let flags = kernel::NLM_F_MULTI | kernel::NLM_F_DUMP_INTR;
        let list = [
            told(16, flags, 1, PORT, b"one"),
            told(kernel::NLMSG_DONE, flags, 1, PORT, &[0; 4]),
        ];
        let error = outcome(1, 1, &list).unwrap_err();
        assert_eq!(error.errno, Some(Errno::INTR.raw_os_error()));
    }

    #[test]
    fn what_was_not_asked_is_refused() {
        for foreign in [
            told(16, 0, 3, PORT + 1, b"abcd"),
            told(16, 0, 4, PORT, b"abcd"),
            told(16, 0, 0, PORT, b"abcd"),
            told(kernel::NLMSG_ERROR, 0, 3, 0, &[0; 20]),
        ] {
            assert!(failure(&[foreign]).contains("not asked"));
        }
        let lost = told(kernel::NLMSG_OVERRUN, 0, 3, PORT, &[]);
        assert!(failure(&[lost]).contains("lost"));
        // Numbers begin again after the last one.
        assert!(outcome(u32::MAX, 1, &[ended(1, 0, "")]).is_ok());
    }

    #[test]
    fn every_torn_answer_is_an_error() {
        let whole = [told(16, 0, 3, PORT, b"abcdefgh"), ended(3, 0, "")].concat();
        assert!(outcome(1, 3, std::slice::from_ref(&whole)).is_ok());
        for end in 0..whole.len() {
            assert!(outcome(1, 3, &[whole[..end].to_vec()]).is_err(), "{end}");
        }
        let refusal = ended(3, -17, "taken");
        for end in 0..refusal.len() {
            assert!(outcome(1, 3, &[refusal[..end].to_vec()]).is_err(), "{end}");
        }
    }

    #[test]
    fn garbage_is_survived() {
        // xorshift64, so that a failure comes again.
        let mut state = 0x7067_2d6c_696e_6b73_u64;
        let mut random = move || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state as usize
        };
        let good = [
            told(16, kernel::NLM_F_MULTI, 3, PORT, &[5; 40]),
            ended(3, -17, "taken"),
            told(kernel::NLMSG_DONE, kernel::NLM_F_MULTI, 3, PORT, &[0; 4]),
        ]
        .concat();
        for _ in 0..20_000 {
            let mut bytes = good.clone();
            for _ in 0..=random() % 8 {
                let at = random() % bytes.len();
                bytes[at] = random() as u8;
            }
            bytes.truncate(random() % (bytes.len() + 1));
            // Whatever comes of it, it comes.
            let _ = outcome(1, 3, &[bytes]);
        }
    }
}
