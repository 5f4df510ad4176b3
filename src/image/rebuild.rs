//! Makes a layer's archive again, to the byte, out of its files and its index (see `index`).

use crate::error::{Error, Kind, Result};
use crate::id;
use crate::image::index::{BYTES, CHUNK_BYTES, DATA, INDEX, MOVED, SHADOW};
use crate::image::inside::{as_path, kind, shown};
use crate::image::layer::{self, DIFF};
use crate::image::source::Stream;
use crate::sys::fs;
use miniz_oxide::inflate::stream::{InflateState, MinReset, inflate};
use miniz_oxide::{DataFormat, MZFlush, MZStatus};
use rustix::fs::{FileType, OFlags};
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{self, ErrorKind, Read, Seek, SeekFrom};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::path::Path;

/// A layer's archive; reading makes it. Its end is told only if all of it was what the diff id
/// means: until then nobody should take it for that.
pub struct Rebuild {
    /// Hex digits of the diff id.
    diff: String,
    /// The layer's directory.
    dir: OwnedFd,
    records: Records,
    /// Paths that were moved aside, and before which byte of the archive.
    moved: Vec<(u64, Vec<u8>)>,
    now: Now,
    hash: Sha256,
    /// Bytes so far.
    pub bytes: u64,
    /// What lies in files is left out: zeros stand for it.
    is_skimming: bool,
    /// Pieces are read, from anywhere: no digest covers them.
    is_scattered: bool,
}

/// Where a chunk of the index begins: in the archive, and in the index.
#[derive(Clone, Copy)]
pub struct Place {
    pub archive: u64,
    index: u64,
}

enum Now {
    /// So many bytes of the record.
    Bytes(usize),
    Piece(Piece),
    /// So many zeros.
    Hole(u64),
    Ended,
}

struct Piece {
    file: File,
    offset: u64,
    left: u64,
    path: Vec<u8>,
}

impl Rebuild {
    pub fn open(layers: &Path, diff: &str) -> Result<Rebuild> {
        let path = layers.join(diff);
        let index = path.join(INDEX);
        let file = File::open(&index).map_err(|e| match e.kind() {
            ErrorKind::NotFound if layer::exists(layers, diff) => Error::new(
                Kind::System,
                format!(
                    "layer sha256:{diff} was unpacked by an older version, which kept nothing to make its archive from: remove the image and get it again"
                ),
            ),
            _ => Error::io(format_args!("open {}", index.display()), &e),
        })?;
        let mut rebuild = Rebuild {
            diff: diff.to_string(),
            dir: fs::open_dir(&path)?,
            records: Records::new(file),
            moved: Vec::new(),
            now: Now::Bytes(0),
            hash: Sha256::new(),
            bytes: 0,
            is_skimming: false,
            is_scattered: false,
        };
        if path.join(SHADOW).exists() {
            let failed = |e| Error::io(format_args!("read {}", index.display()), &e);
            rebuild.find_moved().map_err(failed)?;
        }
        Ok(rebuild)
    }

    /// Only the headers, with zeros in the place of data; no file is read and no digest checked.
    pub fn skim(layers: &Path, diff: &str) -> Result<Rebuild> {
        let mut rebuild = Rebuild::open(layers, diff)?;
        rebuild.is_skimming = true;
        Ok(rebuild)
    }

    /// To be read anywhere; whoever reads checks what he has got.
    pub fn scattered(layers: &Path, diff: &str) -> Result<Rebuild> {
        let mut rebuild = Rebuild::open(layers, diff)?;
        rebuild.is_scattered = true;
        Ok(rebuild)
    }

    /// What was moved later matters for what comes first.
    fn find_moved(&mut self) -> io::Result<()> {
        let mut at = 0;
        loop {
            match self.records.next()? {
                Record::Bytes(length) => {
                    self.records.start += length;
                    at += length as u64;
                }
                Record::Data(_, length, _) => at += length,
                Record::Moved(path) => self.moved.push((at, path)),
                Record::End => break,
            }
        }
        self.records.go_to(0)
    }

    /// Where one can begin to read.
    pub fn places(&mut self) -> io::Result<Vec<Place>> {
        let mut places: Vec<Place> = Vec::new();
        let mut archive = 0u64;
        self.records.go_to(0)?;
        loop {
            if self.records.is_at_end()? {
                // Nowhere, until somebody says where to.
                self.bytes = u64::MAX;
                return Ok(places);
            }
            let index = self.records.chunk_at;
            if places.last().is_none_or(|place| place.index != index) {
                places.push(Place { archive, index });
            }
            let length = match self.records.next()? {
                Record::Bytes(length) => {
                    self.records.start += length;
                    length as u64
                }
                Record::Data(_, length, _) => length,
                Record::Moved(_) | Record::End => 0,
            };
            archive = archive.checked_add(length).ok_or_else(damaged)?;
        }
    }

    /// Read on at `at`, which does not lie before `place`.
    pub fn go_to(&mut self, place: Place, at: u64) -> io::Result<()> {
        if self.bytes == at {
            return Ok(());
        }
        self.records.go_to(place.index)?;
        self.bytes = place.archive;
        loop {
            let skip = at.saturating_sub(self.bytes);
            let length = match self.records.next()? {
                Record::Bytes(length) if skip < length as u64 => {
                    self.records.start += skip as usize;
                    self.bytes = at;
                    self.now = Now::Bytes(length - skip as usize);
                    return Ok(());
                }
                Record::Bytes(length) => {
                    self.records.start += length;
                    length as u64
                }
                Record::Data(offset, length, path) if skip < length => {
                    // By the path that it had there.
                    let file = self.file(&path)?;
                    self.bytes = at;
                    self.now = Now::Piece(Piece {
                        file,
                        offset: offset.saturating_add(skip),
                        left: length - skip,
                        path,
                    });
                    return Ok(());
                }
                Record::Data(_, length, _) => length,
                Record::Moved(_) => 0,
                Record::End => return Err(damaged()),
            };
            self.bytes += length;
        }
    }

    fn step(&mut self) -> io::Result<()> {
        self.now = match self.records.next()? {
            Record::Bytes(length) => Now::Bytes(length),
            Record::Data(_, left, _) if self.is_skimming => Now::Hole(left),
            Record::Data(offset, left, path) => {
                let file = self.file(&path)?;
                Now::Piece(Piece {
                    file,
                    offset,
                    left,
                    path,
                })
            }
            Record::Moved(_) => Now::Bytes(0),
            Record::End => {
                let digits = id::hex(&self.hash.finalize_reset());
                if digits != self.diff && !self.is_skimming && !self.is_scattered {
                    return Err(self.damaged(format_args!(
                        "its archive would have the digest sha256:{digits}"
                    )));
                }
                Now::Ended
            }
        };
        Ok(())
    }

    /// The file that was called `path` when this part of the archive was unpacked.
    fn file(&self, path: &[u8]) -> io::Result<File> {
        let mut place = [DIFF.as_bytes(), b"/", path].concat();
        let later = self.moved.iter().enumerate();
        for (number, (_, moved)) in later.filter(|(_, (at, _))| *at > self.bytes) {
            let rest = path.strip_prefix(&moved[..]);
            if let Some(rest) = rest.filter(|rest| rest.is_empty() || rest.starts_with(b"/")) {
                place = format!("{SHADOW}/{number}").into_bytes();
                place.extend(rest);
                break;
            }
        }
        let flags = OFlags::RDONLY | OFlags::NONBLOCK;
        let opened = fs::open_without_links(&self.dir, as_path(&place), flags);
        let opened = opened.map_err(|errno| io::Error::from_raw_os_error(errno.raw_os_error()));
        let file = opened.map_err(|e| self.damaged(format_args!("{}: {e}", shown(&place))))?;
        match fs::stat(file.as_fd()) {
            Ok(stat) if kind(&stat) == FileType::RegularFile => Ok(File::from(file)),
            _ => Err(self.damaged(format_args!("{} is no file", shown(&place)))),
        }
    }

    fn damaged(&self, why: std::fmt::Arguments<'_>) -> io::Error {
        io::Error::other(format!(
            "layer sha256:{} is damaged: {why} (tug system check --repair gets it again)",
            self.diff
        ))
    }

    fn some(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = match &mut self.now {
            Now::Bytes(left) => {
                let count = into.len().min(*left);
                let from = &mut self.records;
                into[..count].copy_from_slice(&from.chunk[from.start..from.start + count]);
                from.start += count;
                *left -= count;
                count
            }
            Now::Piece(piece) => {
                let want = usize::try_from(piece.left).map_or(into.len(), |l| l.min(into.len()));
                let count = piece.file.read_at(&mut into[..want], piece.offset)?;
                piece.offset += count as u64;
                piece.left -= count as u64;
                if count == 0 && want > 0 {
                    let path = shown(&piece.path);
                    return Err(self.damaged(format_args!("{path} has been cut")));
                }
                count
            }
            Now::Hole(left) => {
                let count = usize::try_from(*left).map_or(into.len(), |l| l.min(into.len()));
                into[..count].fill(0);
                *left -= count as u64;
                count
            }
            Now::Ended => 0,
        };
        self.bytes += count as u64;
        Ok(count)
    }
}

impl Stream for Rebuild {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        while filled < into.len() {
            let count = self.some(&mut into[filled..])?;
            if !self.is_skimming && !self.is_scattered {
                self.hash.update(&into[filled..filled + count]);
            }
            filled += count;
            match &self.now {
                Now::Bytes(0) | Now::Hole(0) => {}
                Now::Piece(piece) if piece.left == 0 => {}
                Now::Ended => break,
                _ => continue,
            }
            // What comes next may never be wanted.
            if self.is_scattered && filled == into.len() {
                break;
            }
            // The end is for a read of its own: it may be an error.
            if filled > 0 && self.records.is_at_end()? {
                break;
            }
            self.step()?;
        }
        Ok(filled)
    }
}

enum Record {
    /// So many bytes follow in the chunk.
    Bytes(usize),
    /// Offset, length and path.
    Data(u64, u64, Vec<u8>),
    Moved(Vec<u8>),
    End,
}

/// Reads an index.
struct Records {
    file: File,
    state: Box<InflateState>,
    packed: Vec<u8>,
    chunk: Vec<u8>,
    start: usize,
    /// Where in the index the chunk begins, and where the next one does.
    chunk_at: u64,
    next_at: u64,
}

impl Records {
    fn new(file: File) -> Records {
        Records {
            file,
            state: InflateState::new_boxed(DataFormat::Raw),
            packed: Vec::new(),
            chunk: Vec::new(),
            start: 0,
            chunk_at: 0,
            next_at: 0,
        }
    }

    /// To the beginning of the chunk at `index`.
    fn go_to(&mut self, index: u64) -> io::Result<()> {
        self.start = 0;
        if self.chunk_at != index || self.chunk.is_empty() {
            self.chunk.clear();
            self.next_at = index;
            self.file.seek(SeekFrom::Start(index))?;
        }
        Ok(())
    }

    fn next(&mut self) -> io::Result<Record> {
        if self.is_at_end()? {
            return Ok(Record::End);
        }
        let [kind] = self.take()?;
        Ok(match kind {
            BYTES => {
                let length = u32::from_le_bytes(self.take()?) as usize;
                if length > self.chunk.len() - self.start {
                    return Err(damaged());
                }
                Record::Bytes(length)
            }
            DATA => {
                let offset = u64::from_le_bytes(self.take()?);
                let length = u64::from_le_bytes(self.take()?);
                Record::Data(offset, length, self.path()?)
            }
            MOVED => Record::Moved(self.path()?),
            _ => return Err(damaged()),
        })
    }

    /// Looks for the next chunk, if this one is used up.
    fn is_at_end(&mut self) -> io::Result<bool> {
        if self.start < self.chunk.len() {
            return Ok(false);
        }
        self.chunk.clear();
        self.start = 0;
        let mut head = [0; 8];
        let count = self.file.read(&mut head)?;
        if count == 0 {
            return Ok(true);
        }
        self.file.read_exact(&mut head[count..])?;
        let [packed, length] = [&head[..4], &head[4..]].map(|bytes| {
            let bytes = bytes.first_chunk().copied().unwrap_or_default();
            u32::from_le_bytes(bytes) as usize
        });
        if packed > 2 * CHUNK_BYTES || length > CHUNK_BYTES || length == 0 {
            return Err(damaged());
        }
        self.packed.resize(packed, 0);
        self.file.read_exact(&mut self.packed)?;
        self.chunk_at = self.next_at;
        self.next_at += 8 + packed as u64;
        self.chunk.resize(length, 0);
        match inflate_whole(&mut self.state, &self.packed, &mut self.chunk) {
            true => Ok(false),
            false => Err(damaged()),
        }
    }

    fn take<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let there = self.chunk[self.start..].first_chunk().copied();
        self.start += N;
        there.ok_or_else(damaged)
    }

    fn path(&mut self) -> io::Result<Vec<u8>> {
        let length = usize::from(u16::from_le_bytes(self.take()?));
        let path = self.chunk.get(self.start..self.start + length);
        self.start += length;
        path.map(<[u8]>::to_vec).ok_or_else(damaged)
    }
}

/// Fill `into` with all that `packed`, a stream by itself, holds.
pub fn inflate_whole(state: &mut InflateState, packed: &[u8], into: &mut [u8]) -> bool {
    state.reset_as(MinReset);
    let step = inflate(state, packed, into, MZFlush::Finish);
    matches!(step.status, Ok(MZStatus::StreamEnd)) && step.bytes_written == into.len()
}

fn damaged() -> io::Error {
    io::Error::other(format!("{INDEX} is damaged"))
}

#[cfg(test)]
mod tests;
