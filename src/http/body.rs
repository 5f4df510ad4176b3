//! What is left of a message's body, and reading it.

use crate::http::link::Link;
use std::io;
use std::time::{Duration, Instant};

/// A chunk's size line, with extensions that mean nothing to us; also one trailer line.
const LINE_BYTES_MAX: usize = 4096;
const TRAILER_LINES_MAX: usize = 32;

/// What is still to come of the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// So many bytes.
    Length(u64),
    /// So many bytes of a chunk, then more chunks.
    Chunk(u64),
    /// The CRLF behind a chunk's bytes, then more chunks.
    ChunkEnd,
    /// All until the peer closes (answers only).
    Close,
}

pub const NOTHING: Framing = Framing::Length(0);

impl Framing {
    pub fn is_done(self) -> bool {
        self == NOTHING
    }

    /// Read body bytes into `buffer`; 0 at the end of the body. `limit` is the longest silence.
    pub fn read(
        &mut self,
        link: &mut Link,
        buffer: &mut [u8],
        limit: Option<Duration>,
    ) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        match *self {
            Framing::Close => link.read(buffer, limit),
            Framing::Length(0) => Ok(0),
            Framing::Length(left) => {
                let count = read_some(link, buffer, left, limit)?;
                *self = Framing::Length(left - count as u64);
                Ok(count)
            }
            Framing::Chunk(0) | Framing::ChunkEnd => {
                let deadline = limit.map(|limit| Instant::now() + limit);
                *self = next_chunk(link, *self == Framing::ChunkEnd, deadline)?;
                match *self {
                    Framing::Chunk(_) => self.read(link, buffer, limit),
                    _ => Ok(0),
                }
            }
            Framing::Chunk(left) => {
                let count = read_some(link, buffer, left, limit)?;
                *self = match left - count as u64 {
                    0 => Framing::ChunkEnd,
                    left => Framing::Chunk(left),
                };
                Ok(count)
            }
        }
    }
}

/// At most `left` bytes; the end of the stream is an error here.
fn read_some(
    link: &mut Link,
    buffer: &mut [u8],
    left: u64,
    limit: Option<Duration>,
) -> io::Result<usize> {
    let most = usize::try_from(left).map_or(buffer.len(), |left| left.min(buffer.len()));
    match link.read(&mut buffer[..most], limit)? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        count => Ok(count),
    }
}

/// Read a chunk's size line, and at the last chunk the trailer. Answers what comes then.
fn next_chunk(link: &mut Link, behind: bool, deadline: Option<Instant>) -> io::Result<Framing> {
    if behind && !read_line(link, deadline)?.is_empty() {
        return Err(bad_chunk());
    }
    let size = chunk_size(&read_line(link, deadline)?).ok_or_else(bad_chunk)?;
    if size > 0 {
        return Ok(Framing::Chunk(size));
    }
    for _ in 0..TRAILER_LINES_MAX {
        if read_line(link, deadline)?.is_empty() {
            return Ok(NOTHING);
        }
    }
    Err(bad_chunk())
}

fn bad_chunk() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "malformed HTTP message: chunk")
}

fn read_line(link: &mut Link, deadline: Option<Instant>) -> io::Result<Vec<u8>> {
    let line = link.line(LINE_BYTES_MAX, deadline)?;
    line.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
}

/// Hex digits that fit into 63 bits, perhaps with extensions behind `;`.
fn chunk_size(line: &[u8]) -> Option<u64> {
    let line = std::str::from_utf8(line).ok()?;
    let digits = line.split(';').next().unwrap_or_default();
    // Digits only: from_str_radix alone would take `+5`.
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    let size = u64::from_str_radix(digits, 16).ok()?;
    i64::try_from(size).is_ok().then_some(size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_size_is_hex_digits_and_nothing_else() {
        assert_eq!(chunk_size(b"0"), Some(0));
        assert_eq!(chunk_size(b"fF;name=value"), Some(255));
        assert_eq!(chunk_size(b"7fffffffffffffff"), Some(i64::MAX as u64));
        for line in [
            &b""[..],
            b"+5",
            b"0x5",
            b" 5",
            b"5 ",
            b"-1",
            b";x",
            b"8000000000000000",
            b"10000000000000000",
            b"\xff",
        ] {
            assert_eq!(chunk_size(line), None, "{line:?}");
        }
    }
}
