//! Compresses: what is kept in pieces (`index`), and a stream on its way out (`push`).

use crate::error::{Error, Result};
use crate::image::gzip::Crc;
use crate::image::source::Stream;
use crate::sys::thread;
use miniz_oxide::deflate::core::{CompressorOxide, create_comp_flags_from_zip_params};
use miniz_oxide::deflate::stream::deflate;
use miniz_oxide::{MZFlush, MZStatus};
use std::io::{self, Read};

/// Quick: for records that are mostly zeros and repetitions.
pub const QUICK: i32 = 1;
/// gzip's own default: what goes over a link once and is kept in a registry.
pub const USUAL: i32 = 6;
/// What is made once and sent often.
pub const BEST: i32 = 9;

/// Without zlib's header and checksum (zlib.h, deflateInit2).
const RAW_WINDOW_BITS: i32 = -15;

const INPUT_BYTES: usize = 64 << 10;
const STACK_BYTES: usize = 1 << 20;

/// RFC 1952, 2.3: deflate, no name, no time, made on Unix.
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3];

pub struct Deflate(Box<CompressorOxide>);

impl Deflate {
    pub fn new(level: i32) -> Result<Deflate> {
        let flags = create_comp_flags_from_zip_params(level, RAW_WINDOW_BITS, 0);
        // It is made on the stack before it is put in its box, and larger than the stack of a
        // request.
        let mut made = None;
        std::thread::scope(|scope| {
            let work = || made = Some(Box::new(CompressorOxide::new(flags)));
            thread::spawn_scoped(scope, "deflate", STACK_BYTES, Box::new(work)).map(drop)
        })?;
        made.map(Deflate)
            .ok_or_else(|| Error::io("compress", &failed()))
    }

    /// `input` as one stream, behind what is in `into`.
    pub fn whole(&mut self, mut input: &[u8], into: &mut Vec<u8>) -> io::Result<()> {
        self.0.reset();
        let mut filled = into.len();
        loop {
            into.resize(filled + input.len() + 1024, 0);
            let step = deflate(&mut self.0, input, &mut into[filled..], MZFlush::Finish);
            filled += step.bytes_written;
            input = &input[step.bytes_consumed..];
            match step.status {
                Ok(MZStatus::StreamEnd) => break,
                Ok(_) => {}
                Err(_) => return Err(failed()),
            }
        }
        into.truncate(filled);
        Ok(())
    }
}

/// A stream as gzip has it: reading compresses.
pub struct Gzipped<'a> {
    from: &'a mut dyn Stream,
    deflate: Deflate,
    input: Vec<u8>,
    start: usize,
    end: usize,
    crc: Crc,
    /// Bytes so far; modulo 2^32 in the trailer.
    pub bytes: u64,
    /// Header or trailer, and how much of it is yet to be taken (from its end).
    fixed: Vec<u8>,
    left: usize,
    state: State,
}

#[derive(PartialEq)]
enum State {
    Reading,
    Flushing,
    Ended,
}

impl<'a> Gzipped<'a> {
    pub fn new(from: &'a mut dyn Stream) -> Result<Gzipped<'a>> {
        Ok(Gzipped {
            from,
            deflate: Deflate::new(USUAL)?,
            input: vec![0; INPUT_BYTES],
            start: 0,
            end: 0,
            crc: Crc::new(),
            bytes: 0,
            fixed: HEADER.to_vec(),
            left: HEADER.len(),
            state: State::Reading,
        })
    }

    fn fill(&mut self) -> io::Result<()> {
        let count = self.from.read(&mut self.input)?;
        self.crc.update(&self.input[..count]);
        self.bytes += count as u64;
        (self.start, self.end) = (0, count);
        if count == 0 {
            self.state = State::Flushing;
        }
        Ok(())
    }
}

impl Read for Gzipped<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            if self.left > 0 || into.is_empty() {
                let rest = &self.fixed[self.fixed.len() - self.left..];
                let count = rest.len().min(into.len());
                into[..count].copy_from_slice(&rest[..count]);
                self.left -= count;
                return Ok(count);
            }
            if self.state == State::Ended {
                return Ok(0);
            }
            if self.state == State::Reading && self.start == self.end {
                self.fill()?;
            }
            let flush = match self.state {
                State::Flushing => MZFlush::Finish,
                _ => MZFlush::None,
            };
            let input = &self.input[self.start..self.end];
            let step = deflate(&mut self.deflate.0, input, into, flush);
            self.start += step.bytes_consumed;
            match step.status {
                Ok(MZStatus::StreamEnd) => {
                    let trailer = [self.crc.value, self.bytes as u32].map(u32::to_le_bytes);
                    self.fixed = trailer.concat();
                    self.left = self.fixed.len();
                    self.state = State::Ended;
                }
                Ok(_) => {}
                Err(_) => return Err(failed()),
            }
            if step.bytes_written > 0 {
                return Ok(step.bytes_written);
            }
        }
    }
}

fn failed() -> io::Error {
    io::Error::other("compress: this should not happen")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::gzip::Gzip;
    use crate::image::source::{Hashed, Input, Source, sha256};

    #[test]
    fn what_is_compressed_comes_out_again() {
        let mut data = Vec::new();
        let mut state = 1u32;
        for length in [0, 1, 1000, 65_536, 400_001] {
            while data.len() < length {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                data.extend_from_slice(&(state >> 20).to_le_bytes());
            }
            data.truncate(length);
            let mut from = &data[..];
            let mut packed = Vec::new();
            let mut input = Input(&mut from);
            let mut gzipped = Gzipped::new(&mut input).unwrap();
            gzipped.read_to_end(&mut packed).unwrap();
            let mut from = &packed[..];
            let mut input = Input(&mut from);
            let digest = Hashed::new(&mut Gzip::new(&mut Source::new(&mut input)))
                .finish()
                .unwrap();
            assert_eq!(digest, sha256(&data), "{length}");

            let mut whole = HEADER.to_vec();
            let mut deflate = Deflate::new(QUICK).unwrap();
            deflate.whole(&data, &mut whole).unwrap();
            whole.extend(&packed[packed.len() - 8..]);
            let mut from = &whole[..];
            let mut input = Input(&mut from);
            let digest = Hashed::new(&mut Gzip::new(&mut Source::new(&mut input)))
                .finish()
                .unwrap();
            assert_eq!(digest, sha256(&data), "{length}");
        }
    }
}
