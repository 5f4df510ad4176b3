//! A stream that can be looked into before it is read, and the stream's digest on the way.

use crate::error::{Error, Kind};
use crate::id;
use sha2::{Digest, Sha256};
use std::io::{self, ErrorKind};

const BUFFER_BYTES: usize = 64 << 10;

/// The stream says something that it should not: the archive's fault, not the machine's.
pub fn bad(message: impl Into<String>) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, message.into())
}

pub fn truncated() -> io::Error {
    io::Error::new(ErrorKind::UnexpectedEof, "unexpected end of archive")
}

/// A failed read as our error: `Invalid` where the content is to blame.
pub fn failed(doing: &str, error: &io::Error) -> Error {
    match error.kind() {
        ErrorKind::InvalidData | ErrorKind::UnexpectedEof => {
            Error::new(Kind::Invalid, format!("{doing}: {error}"))
        }
        _ => Error::io(doing, error),
    }
}

/// `std::io::Read` without its other methods: as a trait object that one drags all of them along,
/// for each stream of ours a kilobyte of code that nobody calls.
pub trait Stream {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize>;
}

/// What comes from outside.
pub struct Input<'a>(pub &'a mut dyn io::Read);

impl Stream for Input<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.0.read(into) {
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                read => return read,
            }
        }
    }
}

/// A buffered stream. Small reads cost no system call, and the first bytes tell what it is.
pub struct Source<'a> {
    inner: &'a mut dyn Stream,
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
}

impl<'a> Source<'a> {
    pub fn new(inner: &'a mut dyn Stream) -> Source<'a> {
        Source {
            inner,
            buffer: vec![0; BUFFER_BYTES].into_boxed_slice(),
            start: 0,
            end: 0,
        }
    }

    /// At least `min` of the next bytes (fewer only at the end of the stream), without taking them.
    pub fn peek(&mut self, min: usize) -> io::Result<&[u8]> {
        if self.end - self.start < min {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        while self.end - self.start < min {
            match self.inner.read(&mut self.buffer[self.end..])? {
                0 => break,
                count => self.end += count,
            }
        }
        Ok(&self.buffer[self.start..self.end])
    }

    /// Fill all of `into`.
    pub fn read_all(&mut self, into: &mut [u8]) -> io::Result<()> {
        let mut filled = 0;
        while filled < into.len() {
            match self.read(&mut into[filled..])? {
                0 => return Err(truncated()),
                count => filled += count,
            }
        }
        Ok(())
    }

    /// Take bytes that `peek` has shown.
    pub fn consume(&mut self, count: usize) {
        self.start = (self.start + count).min(self.end);
    }
}

impl Stream for Source<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let there = self.peek(1)?;
        let count = there.len().min(into.len());
        into[..count].copy_from_slice(&there[..count]);
        self.consume(count);
        Ok(count)
    }
}

/// SHA-256 and length of all that is read through it.
pub struct Hashed<'a> {
    inner: &'a mut dyn Stream,
    hash: Sha256,
    pub bytes: u64,
}

impl<'a> Hashed<'a> {
    pub fn new(inner: &'a mut dyn Stream) -> Hashed<'a> {
        Hashed {
            inner,
            hash: Sha256::new(),
            bytes: 0,
        }
    }

    /// Read the rest, whatever it is: a digest covers all of a stream.
    pub fn finish(mut self) -> io::Result<String> {
        let mut buffer = vec![0; 16 << 10];
        while self.read(&mut buffer)? > 0 {}
        Ok(id::hex(&self.hash.finalize()))
    }
}

impl Stream for Hashed<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(into)?;
        self.hash.update(&into[..count]);
        self.bytes += count as u64;
        Ok(count)
    }
}

/// The SHA-256 of `bytes` in hex digits.
pub fn sha256(bytes: &[u8]) -> String {
    id::hex(&Sha256::digest(bytes))
}

/// What the first bytes of a stream look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Tar,
    Gzip,
    /// A compression that we know and do not read.
    Foreign(&'static str),
    Json,
    Empty,
    Unknown,
}

/// What to say of a compression that we do not read.
pub fn foreign(name: &str) -> Error {
    Error::invalid(format!(
        "{name}-compressed archives are not supported: decompress it, or use gzip"
    ))
}

/// As many bytes as `sniff` wants to see: a tar header.
pub const SNIFF_BYTES: usize = 512;

pub fn sniff(head: &[u8]) -> Format {
    match head {
        [] => Format::Empty,
        [0x1f, 0x8b, ..] => Format::Gzip,
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Format::Foreign("zstd"),
        // A skippable frame, with which a zstd stream may begin.
        [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Format::Foreign("zstd"),
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Format::Foreign("xz"),
        [b'B', b'Z', b'h', b'1'..=b'9', ..] => Format::Foreign("bzip2"),
        _ if super::archive::is_header(head) => Format::Tar,
        _ => match head.iter().find(|byte| !byte.is_ascii_whitespace()) {
            Some(b'{' | b'[') => Format::Json,
            _ => Format::Unknown,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_bytes_tell_what_a_stream_is() {
        for (head, format) in [
            (&b""[..], Format::Empty),
            (b"\x1f\x8b\x08\0", Format::Gzip),
            (b"\x28\xb5\x2f\xfd\0", Format::Foreign("zstd")),
            (b"\xfd7zXZ\0\0", Format::Foreign("xz")),
            (b"BZh91AY", Format::Foreign("bzip2")),
            (b" \n{\"a\":1}", Format::Json),
            (b"[]", Format::Json),
            (b"1.0", Format::Unknown),
            (&[0; 512], Format::Tar),
            (&[0; 511], Format::Unknown),
        ] {
            assert_eq!(sniff(head), format, "{head:?}");
        }
    }

    #[test]
    fn peeking_takes_nothing_away() {
        let mut data: &[u8] = b"0123456789";
        let mut input = Input(&mut data);
        let mut source = Source::new(&mut input);
        assert_eq!(source.peek(4).unwrap(), b"0123456789");
        source.consume(3);
        assert_eq!(source.peek(100).unwrap(), b"3456789");
        let digest = Hashed::new(&mut source).finish().unwrap();
        assert_eq!(digest, sha256(b"3456789"));
    }
}
