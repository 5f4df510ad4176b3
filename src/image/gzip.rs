//! Reads gzip (RFC 1952): any number of members, checks included.
//!
//! Buffers are fixed, so a stream that inflates to terabytes costs no memory. Zeros behind the
//! last member are padding, as from a tape or a block device; anything else there is an error.
//!
//! Deflate comes in blocks. At the border between two of them little is needed to go on from there
//! another day: some bits, and the last 32 KiB that came out.

use crate::image::source::{Mark, RESTART_BYTES, Restart, Source, Stream, bad, truncated};
use miniz_oxide::inflate::TINFLStatus;
use miniz_oxide::inflate::core::inflate_flags::{
    TINFL_FLAG_HAS_MORE_INPUT, TINFL_FLAG_STOP_ON_BLOCK_BOUNDARY,
};
use miniz_oxide::inflate::core::{BlockBoundaryState, DecompressorOxide, decompress};
use std::io;
use std::sync::Arc;

/// Optional parts of a member's header (RFC 1952, 2.3.1).
const FLAG_HEADER_CRC: u8 = 1 << 1;
const FLAG_EXTRA: u8 = 1 << 2;
const FLAG_NAME: u8 = 1 << 3;
const FLAG_COMMENT: u8 = 1 << 4;
const FLAGS_RESERVED: u8 = 0xe0;

/// Deflate refers back no farther than this.
const WINDOW_BYTES: usize = 32 << 10;
const RING_BYTES: usize = 64 << 10;

pub struct Gzip<'a, 'b> {
    from: &'a mut Source<'b>,
    state: Box<DecompressorOxide>,
    /// The last that was inflated, byte N of all at N modulo its length.
    ring: Box<[u8]>,
    /// Bytes that came out so far, and how many of them have been read.
    inflated: u64,
    read: u64,
    crc: Crc,
    /// Bytes of this member so far, modulo 2^32 as its trailer has them.
    length: u32,
    position: Position,
    /// The last place to restart at, and the one before: the last may lie in what is yet to be read.
    restarts: [Option<Arc<Restart>>; 2],
    /// How much input is to be taken before the next.
    restart_at: u64,
}

#[derive(PartialEq)]
enum Position {
    First,
    InMember,
    BetweenMembers,
    Ended,
}

impl<'a, 'b> Gzip<'a, 'b> {
    pub fn new(from: &'a mut Source<'b>) -> Gzip<'a, 'b> {
        Gzip {
            restart_at: from.taken() + RESTART_BYTES,
            from,
            state: Box::default(),
            ring: vec![0; RING_BYTES].into_boxed_slice(),
            inflated: 0,
            read: 0,
            crc: Crc::new(),
            length: 0,
            position: Position::First,
            restarts: [None, None],
        }
    }

    /// Go on where a stream was left. None if `restart` is no place in a gzip stream.
    pub fn resume(from: &'a mut Source<'b>, restart: &Restart) -> Option<Gzip<'a, 'b>> {
        let (state, window) = restart.state.split_at_checked(10)?;
        i64::try_from(restart.output).ok()?;
        let &[num_bits @ 0..8, bit_buf, c0, c1, c2, c3, l0, l1, l2, l3] = state else {
            return None;
        };
        let mut gzip = Gzip::new(from);
        let block = BlockBoundaryState {
            num_bits,
            bit_buf,
            ..BlockBoundaryState::default()
        };
        *gzip.state = DecompressorOxide::from_block_boundary_state(&block);
        gzip.crc.value = u32::from_le_bytes([c0, c1, c2, c3]);
        gzip.length = u32::from_le_bytes([l0, l1, l2, l3]);
        gzip.inflated = restart.output.checked_sub(window.len() as u64)?;
        for byte in window {
            gzip.ring[gzip.inflated as usize % RING_BYTES] = *byte;
            gzip.inflated += 1;
        }
        gzip.read = gzip.inflated;
        gzip.position = Position::InMember;
        Some(gzip)
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
        self.state.init();
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

impl Gzip<'_, '_> {
    /// Inflate some more. All that came out before has been read.
    fn inflate(&mut self) -> io::Result<()> {
        let mut flags = TINFL_FLAG_HAS_MORE_INPUT;
        if self.from.taken() >= self.restart_at {
            flags |= TINFL_FLAG_STOP_ON_BLOCK_BOUNDARY;
        }
        let at = self.inflated as usize % RING_BYTES;
        let input = self.from.peek(1)?;
        let is_at_end = input.is_empty();
        let (status, taken, made) = decompress(&mut self.state, input, &mut self.ring, at, flags);
        self.from.consume(taken);
        self.crc.update(&self.ring[at..at + made]);
        self.length = self.length.wrapping_add(made as u32);
        self.inflated += made as u64;
        match status {
            TINFLStatus::Done => self.end(),
            // Bytes of an earlier input may be left in the decoder if it took none of this one.
            TINFLStatus::BlockBoundary if taken > 0 => {
                self.note_restart();
                Ok(())
            }
            // No progress without input: the stream ends in the middle of a member.
            TINFLStatus::NeedsMoreInput if is_at_end && made == 0 => Err(truncated()),
            TINFLStatus::BlockBoundary
            | TINFLStatus::NeedsMoreInput
            | TINFLStatus::HasMoreOutput => Ok(()),
            _ => Err(bad("gzip: corrupt data")),
        }
    }

    fn note_restart(&mut self) {
        let Some(block) = self.state.block_boundary_state() else {
            return;
        };
        let mut state = vec![block.num_bits, block.bit_buf];
        state.extend(self.crc.value.to_le_bytes());
        state.extend(self.length.to_le_bytes());
        let window = self.inflated.min(WINDOW_BYTES as u64);
        let window = self.inflated - window..self.inflated;
        state.extend(window.map(|at| self.ring[at as usize % RING_BYTES]));
        let restart = Restart {
            input: self.from.taken(),
            output: self.inflated,
            state,
        };
        self.restart_at = restart.input + RESTART_BYTES;
        self.restarts.swap(0, 1);
        self.restarts[0] = Some(Arc::new(restart));
    }
}

impl Stream for Gzip<'_, '_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if into.is_empty() {
            return Ok(0);
        }
        while self.read == self.inflated {
            match self.position {
                Position::Ended => return Ok(0),
                Position::InMember => self.inflate()?,
                Position::First | Position::BetweenMembers => {
                    if !self.begin()? {
                        self.position = Position::Ended;
                    }
                }
            }
        }
        let at = self.read as usize % RING_BYTES;
        let there = (self.inflated - self.read) as usize;
        let count = there.min(into.len()).min(RING_BYTES - at);
        into[..count].copy_from_slice(&self.ring[at..at + count]);
        self.read += count as u64;
        Ok(count)
    }

    fn mark(&self, mark: &mut Mark) {
        self.from.mark(mark);
        let is_behind = |restart: &&Arc<Restart>| restart.output <= self.read;
        mark.restart = self.restarts.iter().flatten().find(is_behind).cloned();
    }
}

/// CRC-32 as gzip and zip have it, eight bytes a step. The tables are made at run time: that costs
/// microseconds there and kilobytes of every binary here.
pub struct Crc {
    tables: Box<[[u32; 256]; 8]>,
    pub value: u32,
}

impl Crc {
    pub fn new() -> Crc {
        let mut tables = Box::new([[0u32; 256]; 8]);
        for n in 0..256 {
            let mut crc = (0..8).fold(n as u32, |crc, _| (crc >> 1) ^ (0xedb8_8320 * (crc & 1)));
            tables[0][n] = crc;
            // Table K: the same byte with K zeros behind it.
            for k in 1..8 {
                crc = (0..8).fold(crc, |crc, _| (crc >> 1) ^ (0xedb8_8320 * (crc & 1)));
                tables[k][n] = crc;
            }
        }
        Crc { tables, value: 0 }
    }

    pub fn update(&mut self, bytes: &[u8]) {
        let tables = &self.tables;
        let mut crc = !self.value;
        let (eights, rest) = bytes.as_chunks::<8>();
        for eight in eights {
            let [a, b, c, d, e, f, g, h] = *eight;
            let low = crc ^ u32::from_le_bytes([a, b, c, d]);
            crc = tables[7][low as usize & 0xff]
                ^ tables[6][low as usize >> 8 & 0xff]
                ^ tables[5][low as usize >> 16 & 0xff]
                ^ tables[4][low as usize >> 24]
                ^ tables[3][usize::from(e)]
                ^ tables[2][usize::from(f)]
                ^ tables[1][usize::from(g)]
                ^ tables[0][usize::from(h)];
        }
        for byte in rest {
            crc = (crc >> 8) ^ tables[0][usize::from(crc as u8 ^ byte)];
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
        piped("gzip", &["-c"], data)
    }

    /// What a program of the machine makes of `data`; nothing if there is no such program.
    pub fn piped(program: &str, options: &[&str], data: &[u8]) -> Vec<u8> {
        let Ok(mut child) = Command::new(program)
            .args(options)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
        else {
            return Vec::new();
        };
        let mut input = child.stdin.take().unwrap();
        let data = data.to_vec();
        let writer = std::thread::spawn(move || input.write_all(&data));
        let output = child.wait_with_output().unwrap();
        writer.join().unwrap().unwrap();
        output.stdout
    }

    fn gunzip(mut data: &[u8]) -> io::Result<Vec<u8>> {
        let mut input = Input(&mut data);
        let mut source = Source::new(&mut input);
        let mut gzip = Gzip::new(&mut source);
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
    pub fn sample(length: usize) -> Vec<u8> {
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
