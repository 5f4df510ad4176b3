//! Detach keys: what a user types to leave a container's terminal without ending it.

use crate::error::{Error, Result};

/// Ctrl-P, Ctrl-Q.
pub const DEFAULT: [u8; 2] = [16, 17];

/// Keys as Docker writes them, with commas between: `ctrl-` and one of `a-z@[\]^_`, `DEL`, or a
/// single character. Empty text asks for the default.
pub fn parse(text: &str) -> Result<Vec<u8>> {
    if text.is_empty() {
        return Ok(DEFAULT.to_vec());
    }
    text.split(',')
        .map(|key| {
            code(key).ok_or_else(|| {
                Error::invalid(format!(
                    "Invalid detach keys ({text}) provided: Unknown character: '{key}'"
                ))
            })
        })
        .collect()
}

fn code(key: &str) -> Option<u8> {
    if let [single] = key.as_bytes() {
        return Some(*single);
    }
    if key == "DEL" {
        return Some(127);
    }
    match key.strip_prefix("ctrl-")?.as_bytes() {
        [letter @ b'a'..=b'z'] => Some(letter - b'a' + 1),
        b"@" => Some(0),
        [other @ (b'[' | b'\\' | b']' | b'^' | b'_')] => Some(other - b'[' + 27),
        _ => None,
    }
}

/// Looks for the keys in a stream that comes in pieces.
#[derive(Debug)]
pub struct Detector {
    keys: Vec<u8>,
    /// How many of them were the last bytes seen. They are held back until the sequence ends or
    /// breaks, so that a program never sees the beginning of a detach.
    seen: usize,
}

/// What a piece of input came to: bytes for the program, and whether the keys were in it.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Passed {
    pub bytes: Vec<u8>,
    pub detached: bool,
}

impl Detector {
    pub fn new(keys: Vec<u8>) -> Detector {
        Detector { keys, seen: 0 }
    }

    pub fn pass(&mut self, input: &[u8]) -> Passed {
        let mut passed = Passed::default();
        for byte in input {
            // A broken sequence goes on to the program, and its last byte may begin a new one.
            if self.keys.get(self.seen) != Some(byte) {
                let held = self.keys.get(..self.seen).unwrap_or_default();
                passed.bytes.extend_from_slice(held);
                self.seen = 0;
            }
            if self.keys.get(self.seen) == Some(byte) {
                self.seen += 1;
            } else {
                passed.bytes.push(*byte);
            }
            if self.seen > 0 && self.seen == self.keys.len() {
                passed.detached = true;
                return passed;
            }
        }
        passed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_read_as_docker_writes_them() {
        assert_eq!(parse("").unwrap(), DEFAULT);
        assert_eq!(parse("ctrl-p,ctrl-q").unwrap(), DEFAULT);
        assert_eq!(
            parse("a,ctrl-@,ctrl-[,ctrl-\\,ctrl-],ctrl-^,ctrl-_,DEL,ctrl-z").unwrap(),
            [b'a', 0, 27, 28, 29, 30, 31, 127, 26]
        );
        for wrong in ["ctrl-", "ctrl-A", "ctrl-1", "ab", "a,,b", "é", "ctrl-é"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
        assert_eq!(
            parse("ctrl-x,foo").unwrap_err().message,
            "Invalid detach keys (ctrl-x,foo) provided: Unknown character: 'foo'"
        );
    }

    fn passed(keys: &str, pieces: &[&[u8]]) -> (Vec<u8>, bool) {
        let mut detector = Detector::new(parse(keys).unwrap());
        let mut bytes = Vec::new();
        for piece in pieces {
            let passed = detector.pass(piece);
            bytes.extend(passed.bytes);
            if passed.detached {
                return (bytes, true);
            }
        }
        (bytes, false)
    }

    #[test]
    fn keys_are_found_across_pieces() {
        assert_eq!(passed("", &[b"ls\x10\x11rest"]), (b"ls".to_vec(), true));
        assert_eq!(passed("", &[b"ls\x10", b"\x11"]), (b"ls".to_vec(), true));
        assert_eq!(passed("q", &[b"abq"]), (b"ab".to_vec(), true));
    }

    #[test]
    fn a_broken_sequence_reaches_the_program() {
        assert_eq!(passed("", &[b"\x10", b"x"]), (b"\x10x".to_vec(), false));
        assert_eq!(passed("", &[b"\x10\x10\x11"]), (b"\x10".to_vec(), true));
        assert_eq!(passed("a,b,c", &[b"ab", b"abc"]), (b"ab".to_vec(), true));
        assert_eq!(passed("", &[b"\x10"]), (b"".to_vec(), false));
    }
}
