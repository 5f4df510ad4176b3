//! Writes a delta: instructions in chunks, deflated.

use super::{ADD, CHUNK_BYTES, COPY, DATA, Head};
use crate::error::{Error, Result};
use crate::id;
use crate::image::deflate::{BEST, Deflate};
use crate::image::room::Room;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;

/// The longest that an instruction is without its bytes: two varints.
const WORDS_BYTES: usize = 20;

pub struct Writer<'a> {
    into: &'a mut File,
    room: Room,
    hash: Sha256,
    /// Bytes written.
    size: u64,
    chunk: Vec<u8>,
    packed: Vec<u8>,
    deflate: Deflate,
    /// Where the last instruction of the chunk that refers to the old archives ended there.
    last: u64,
    /// The instruction that may yet grow: its kind, where it refers to, how long it is, its bytes.
    kind: u64,
    at: u64,
    length: u64,
    bytes: Vec<u8>,
}

impl<'a> Writer<'a> {
    pub fn new(into: &'a mut File, head: &Head) -> Result<Writer<'a>> {
        let mut writer = Writer {
            into,
            room: Room::new(),
            hash: Sha256::new(),
            size: 0,
            chunk: Vec::with_capacity(CHUNK_BYTES),
            packed: Vec::new(),
            deflate: Deflate::new(BEST)?,
            last: 0,
            kind: DATA,
            at: 0,
            length: 0,
            bytes: Vec::new(),
        };
        writer.put(&head.encode())?;
        Ok(writer)
    }

    /// Bytes that no old archive has.
    pub fn data(&mut self, bytes: &[u8]) -> Result<()> {
        self.begin(DATA, 0)?;
        self.grow(bytes.len() as u64, bytes)
    }

    /// The old archives' bytes at `at`.
    pub fn copy(&mut self, at: u64, length: u64) -> Result<()> {
        self.begin(COPY, at)?;
        self.grow(length, b"")
    }

    /// The same, with `differences` added.
    pub fn add(&mut self, at: u64, differences: &[u8]) -> Result<()> {
        self.begin(ADD, at)?;
        self.grow(differences.len() as u64, differences)
    }

    /// All is said. Answers the digest's digits, and the bytes.
    pub fn finish(mut self) -> Result<(String, u64)> {
        self.end()?;
        self.flush()?;
        Ok((id::hex(&self.hash.finalize()), self.size))
    }

    /// What comes now goes on with the last instruction, or begins another.
    fn begin(&mut self, kind: u64, at: u64) -> Result<()> {
        let follows = kind == DATA || self.at + self.length == at;
        if self.kind != kind || !follows {
            self.end()?;
            (self.kind, self.at) = (kind, at);
        }
        Ok(())
    }

    fn grow(&mut self, length: u64, bytes: &[u8]) -> Result<()> {
        self.length += length;
        self.bytes.extend(bytes);
        if self.bytes.len() < CHUNK_BYTES {
            return Ok(());
        }
        let (kind, at) = (self.kind, self.at + self.length);
        self.end()?;
        (self.kind, self.at) = (kind, at);
        Ok(())
    }

    /// Put the instruction into the chunk, as several where it does not fit.
    fn end(&mut self) -> Result<()> {
        let bytes = std::mem::take(&mut self.bytes);
        let mut bytes = &bytes[..];
        while self.length > 0 {
            if self.chunk.len() + WORDS_BYTES >= CHUNK_BYTES {
                self.flush()?;
            }
            let mut length = self.length;
            if self.kind != COPY {
                let room = CHUNK_BYTES - self.chunk.len() - WORDS_BYTES;
                length = length.min(room as u64);
            }
            self.varint(length << 2 | self.kind);
            if self.kind != DATA {
                let step = self.at.wrapping_sub(self.last) as i64;
                self.varint((step << 1 ^ step >> 63) as u64);
                self.at += length;
                self.last = self.at;
            }
            if self.kind != COPY {
                let (now, later) = bytes.split_at(length as usize);
                self.chunk.extend(now);
                bytes = later;
            }
            self.length -= length;
        }
        Ok(())
    }

    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.chunk.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.chunk.push(value as u8);
    }

    fn flush(&mut self) -> Result<()> {
        self.last = 0;
        if self.chunk.is_empty() {
            return Ok(());
        }
        let mut packed = std::mem::take(&mut self.packed);
        packed.clear();
        packed.extend([0; 4]);
        packed.extend((self.chunk.len() as u32).to_le_bytes());
        let whole = self.deflate.whole(&self.chunk, &mut packed);
        whole.map_err(|e| failed(&e))?;
        let length = (packed.len() - 8) as u32;
        packed[..4].copy_from_slice(&length.to_le_bytes());
        self.put(&packed)?;
        self.packed = packed;
        self.chunk.clear();
        Ok(())
    }

    fn put(&mut self, bytes: &[u8]) -> Result<()> {
        self.room.take(self.into.as_fd(), bytes.len() as u64)?;
        self.hash.update(bytes);
        self.size += bytes.len() as u64;
        self.into.write_all(bytes).map_err(|e| failed(&e))
    }
}

fn failed(error: &io::Error) -> Error {
    Error::io("write delta", error)
}
