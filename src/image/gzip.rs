//! Reads gzip (RFC 1952): any number of members, checks included.
//!
//! Buffers are fixed, so a stream that inflates to terabytes costs no memory. Zeros behind the
//! last member are padding, as from a tape or a block device; anything else there is an error.

use crate::image::source::{Source, Stream, bad, truncated};
use miniz_oxide::inflate::stream::{InflateState, MinReset, inflate};
use miniz_oxide::{DataFormat, MZFlush, MZStatus};
use std::io;

/// Optional parts of a member's header (RFC 1952, 2.3.1).
const FLAG_HEADER_CRC: u8 = 1 << 1;
const FLAG_EXTRA: u8 = 1 << 2;
const FLAG_NAME: u8 = 1 << 3;
const FLAG_COMMENT: u8 = 1 << 4;
const FLAGS_RESERVED: u8 = 0xe0;

pub struct Gzip<'a> {
    from: Source<'a>,
    state: Box<InflateState>,
    crc: Crc,
    /// Bytes of this member so far, modulo 2^32 as its trailer has them.
    length: u32,
    position: Position,
}

#[derive(PartialEq)]
enum Position {
    First,
    InMember,
    BetweenMembers,
    Ended,
}

impl<'a> Gzip<'a> {
    pub fn new(from: &'a mut dyn Stream) -> Gzip<'a> {
        Gzip {
            from: Source::new(from),
            state: InflateState::new_boxed(DataFormat::Raw),
            crc: Crc::new(),
            length: 0,
            position: Position::First,
        }
    }

    /// At the border of a member: begin the next, or end. False at the end.
    fn begin(&mut self) -> io::Result<bool> {
        let head = self.from.peek(2)?;
        if self.position == Position::BetweenMembers {
            match head {
                [] => return Ok(false),
                [0, ..] => return self.skip_padding(),
                [0x1f, 0x8b] | [0x1f, 0x8b, ..] => {}
                _ => return Err(bad("gzip: data behind the end of the stream")),
            }
        }
        self.header()?;
        self.state.reset_as(MinReset);
        self.crc.value = 0;
        self.length = 0;
        self.position = Position::InMember;
        Ok(true)
    }

    fn skip_padding(&mut self) -> io::Result<bool> {
        loop {
            let padding = self.from.peek(1)?;
            if padding.iter().any(|byte| *byte != 0) {
                return Err(bad("gzip: data behind the end of the stream"));
            }
            let count = padding.len();
            if count == 0 {
                return Ok(false);
            }
            self.from.consume(count);
        }
    }

    fn header(&mut self) -> io::Result<()> {
        let fixed: [u8; 10] = self.bytes()?;
        let [0x1f, 0x8b, method, flags, ..] = fixed else {
            return Err(bad("gzip: invalid header"));
        };
        if method != 8 || flags & FLAGS_RESERVED != 0 {
            return Err(bad("gzip: invalid header"));
        }
        if flags & FLAG_EXTRA != 0 {
            let length: [u8; 2] = self.bytes()?;
            for _ in 0..u16::from_le_bytes(length) {
                self.bytes::<1>()?;
            }
        }
        for flag in [FLAG_NAME, FLAG_COMMENT] {
            while flags & flag != 0 && self.bytes::<1>()? != [0] {}
        }
        if flags & FLAG_HEADER_CRC != 0 {
            self.bytes::<2>()?;
        }
        Ok(())
    }

    fn bytes<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let there = self.from.peek(N)?.first_chunk().copied();
        self.from.consume(N);
        there.ok_or_else(truncated)
    }

    /// Check the member that has just ended against its trailer.
    fn end(&mut self) -> io::Result<()> {
        let crc = u32::from_le_bytes(self.bytes()?);
        let length = u32::from_le_bytes(self.bytes()?);
        if crc != self.crc.value || length != self.length {
            return Err(bad("gzip: checksum error"));
        }
        self.position = Position::BetweenMembers;
        Ok(())
    }
}

impl Stream for Gzip<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if into.is_empty() {
            return Ok(0);
        }
        loop {
            match self.position {
                Position::Ended => return Ok(0),
                Position::InMember => {}
                Position::First | Position::BetweenMembers => {
                    if !self.begin()? {
                        self.position = Position::Ended;
                        return Ok(0);
                    }
                }
            }
            let input = self.from.peek(1)?;
            let is_at_end = input.is_empty();
            let step = inflate(&mut self.state, input, into, MZFlush::None);
            let count = step.bytes_written;
            self.from.consume(step.bytes_consumed);
            self.crc.update(&into[..count]);
            self.length = self.length.wrapping_add(count as u32);
            match step.status {
                Ok(MZStatus::StreamEnd) => self.end()?,
                // No progress without input: the stream ends in the middle of a member.
                _ if is_at_end && count == 0 => return Err(truncated()),
                Ok(_) => {}
                Err(_) => return Err(bad("gzip: corrupt data")),
            }
            if count > 0 {
                return Ok(count);
            }
        }
    }
}

/// CRC-32 as gzip and zip have it. The table is made at run time: it costs a microsecond there and
/// a kilobyte of every binary here.
pub struct Crc {
    table: Box<[u32; 256]>,
    pub value: u32,
}

impl Crc {
    pub fn new() -> Crc {
        let mut table = Box::new([0u32; 256]);
        for (n, slot) in (0u32..).zip(table.iter_mut()) {
            *slot = (0..8).fold(n, |crc, _| (crc >> 1) ^ (0xedb8_8320 * (crc & 1)));
        }
        Crc { table, value: 0 }
    }

    pub fn update(&mut self, bytes: &[u8]) {
        let mut crc = !self.value;
        for byte in bytes {
            crc = (crc >> 8) ^ self.table[usize::from(crc as u8 ^ byte)];
        }
        self.value = !crc;
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::image::source::Input;
    use std::io::Write;
    use std::process::{Command, Stdio};

    /// One member, made by the machine's own gzip.
    pub fn gzip(data: &[u8]) -> Vec<u8> {
        let mut child = Command::new("gzip")
            .arg("-c")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut input = child.stdin.take().unwrap();
        let data = data.to_vec();
        let writer = std::thread::spawn(move || input.write_all(&data));
        let output = child.wait_with_output().unwrap();
        writer.join().unwrap().unwrap();
        output.stdout
    }

    fn gunzip(mut data: &[u8]) -> io::Result<Vec<u8>> {
        let mut input = Input(&mut data);
        let mut gzip = Gzip::new(&mut input);
        let mut out = Vec::new();
        let mut buffer = [0; 5000];
        loop {
            match gzip.read(&mut buffer)? {
                0 => return Ok(out),
                count => out.extend(&buffer[..count]),
            }
        }
    }

    /// Compressible, but not all too well.
    fn sample(length: usize) -> Vec<u8> {
        let mut state = 1u32;
        let mut data = Vec::new();
        while data.len() < length {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            data.extend_from_slice(&(state >> 24).to_le_bytes());
        }
        data.truncate(length);
        data
    }

    #[test]
    fn what_gzip_packs_comes_out_again() {
        for length in [0, 1, 100, 65_536, 300_001] {
            let data = sample(length);
            assert_eq!(gunzip(&gzip(&data)).unwrap(), data, "{length}");
        }
    }

    #[test]
    fn members_follow_each_other_and_zeros_are_padding() {
        let (one, two) = (sample(70_000), sample(10));
        let mut packed = gzip(&one);
        packed.extend(gzip(b""));
        packed.extend(gzip(&two));
        packed.extend([0; 70_000]);
        assert_eq!(gunzip(&packed).unwrap(), [one, two].concat());
        packed.push(1);
        let error = gunzip(&packed).unwrap_err();
        assert_eq!(error.to_string(), "gzip: data behind the end of the stream");
    }

    #[test]
    fn all_parts_of_a_header_are_read_over() {
        let plain = gzip(b"content");
        let mut packed = vec![0x1f, 0x8b, 8, 0x1e, 0, 0, 0, 0, 0, 3];
        packed.extend(b"\x03\0abcname\0comment\0hc");
        packed.extend(&plain[10..]);
        assert_eq!(gunzip(&packed).unwrap(), b"content");
    }

    #[test]
    fn a_stream_cut_anywhere_is_an_error() {
        let packed = gzip(&sample(500));
        for length in 0..packed.len() {
            let error = gunzip(&packed[..length]).unwrap_err();
            assert_eq!(error.to_string(), "unexpected end of archive", "{length}");
        }
    }

    #[test]
    fn a_wrong_checksum_length_or_bit_is_an_error() {
        let good = gzip(&sample(5000));
        for at in 10..good.len() {
            let mut packed = good.clone();
            packed[at] ^= 0x10;
            assert!(gunzip(&packed).is_err(), "{at}");
        }
        for (at, value) in [(0, 0), (2, 7), (3, 0x80)] {
            let mut packed = good.clone();
            packed[at] = value;
            assert!(gunzip(&packed).is_err(), "{at}");
        }
    }
}
