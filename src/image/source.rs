//! A stream that can be looked into before it is read, and the stream's digest on the way.

use crate::error::{Error, Kind};
use crate::id;
use sha2::{Digest, Sha256};
use std::io::{self, ErrorKind};
use std::sync::Arc;

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

    /// Write into `mark` where this stream is, and those that it reads from.
    fn mark(&self, _mark: &mut Mark) {}
}

impl<S: Stream> Stream for &mut S {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        (**self).read(into)
    }

    fn mark(&self, mark: &mut Mark) {
        (**self).mark(mark);
    }
}

/// Where a chain of streams stands, at one moment.
#[derive(Default)]
pub struct Mark {
    /// The last place behind us where the decoder could begin again; none yet if that takes more
    /// than a new decoder.
    pub restart: Option<Arc<Restart>>,
    /// Each digest on the way, and how many bytes it covers; the last stream's comes first.
    pub hashes: Vec<(Sha256, u64)>,
}

/// A place where a decoder can begin.
#[derive(Default)]
pub struct Restart {
    /// Bytes of its input before that place, and of its output.
    pub input: u64,
    pub output: u64,
    /// What else the decoder must know.
    pub state: Vec<u8>,
}

/// After so much input the next place to begin is worth remembering.
pub const RESTART_BYTES: u64 = if cfg!(test) { 100 << 10 } else { 1 << 20 };

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
    taken: u64,
}

impl<'a> Source<'a> {
    pub fn new(inner: &'a mut dyn Stream) -> Source<'a> {
        Source::at(inner, 0)
    }

    /// The same for a stream of which `taken` bytes were read another time.
    pub fn at(inner: &'a mut dyn Stream, taken: u64) -> Source<'a> {
        Source {
            inner,
            buffer: vec![0; BUFFER_BYTES].into_boxed_slice(),
            start: 0,
            end: 0,
            taken,
        }
    }

    /// Bytes that are behind us.
    pub fn taken(&self) -> u64 {
        self.taken
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
        let count = count.min(self.end - self.start);
        self.start += count;
        self.taken += count as u64;
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

    fn mark(&self, mark: &mut Mark) {
        self.inner.mark(mark);
        mark.restart = Some(Arc::new(Restart {
            input: self.taken,
            output: self.taken,
            state: Vec::new(),
        }));
    }
}

/// SHA-256 and length of all that is read through it.
pub struct Hashed<'a> {
    inner: &'a mut dyn Stream,
    hash: Sha256,
    pub bytes: u64,
    /// So many of the next are covered already.
    covered: u64,
}

impl<'a> Hashed<'a> {
    pub fn new(inner: &'a mut dyn Stream) -> Hashed<'a> {
        Hashed {
            inner,
            hash: Sha256::new(),
            bytes: 0,
            covered: 0,
        }
    }

    /// Go on with a digest of `bytes` bytes, the last `covered` of which come once more.
    pub fn resume(
        inner: &'a mut dyn Stream,
        (hash, bytes): (Sha256, u64),
        covered: u64,
    ) -> Hashed<'a> {
        Hashed {
            inner,
            hash,
            bytes,
            covered,
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
        let covered = self.covered.min(count as u64);
        self.covered -= covered;
        self.hash.update(&into[covered as usize..count]);
        self.bytes += count as u64 - covered;
        Ok(count)
    }

    fn mark(&self, mark: &mut Mark) {
        mark.hashes.push((self.hash.clone(), self.bytes));
        self.inner.mark(mark);
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
    Zstd,
    /// A compression that we know and do not read.
    Foreign(&'static str),
    Json,
    /// See `delta`.
    Delta,
    Empty,
    Unknown,
}

/// As many bytes as `sniff` wants to see: a tar header.
pub const SNIFF_BYTES: usize = 512;

pub fn sniff(head: &[u8]) -> Format {
    match head {
        [] => Format::Empty,
        [0x1f, 0x8b, ..] => Format::Gzip,
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Format::Zstd,
        // A skippable frame, with which a zstd stream may begin.
        [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Format::Zstd,
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Format::Foreign("xz"),
        _ if head.starts_with(super::delta::MAGIC) => Format::Delta,
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
            (b"\x28\xb5\x2f\xfd\0", Format::Zstd),
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
