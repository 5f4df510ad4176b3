//! `tar.idx`: what is needed to make a layer's archive again, to the byte, out of its unpacked files.
//!
//! ```text
//! chunk:  length packed (u32) | length (u32) | records, deflated      each chunk by itself
//! record: 0 | length (u32) | bytes                                     as in the archive
//!         1 | offset (u64) | length (u64) | length (u16) | path        so much of that file
//!         2 | length (u16) | path                                      from here on it is shadow/N
//! ```
//!
//! All numbers are little-endian. Headers, padding, and data that the tree does not keep are bytes;
//! what lies in a file is said by its path, which has no links. An entry may replace what an earlier
//! one of the same archive has brought: that goes to `shadow/N`, N counting from 0, because the
//! archive still has it. A chunk is at most 64 KiB of records and no record goes over its end, so the
//! file can be cut behind any chunk and continued (`mark`, `resume`).

use crate::error::{Error, Result};
use crate::image::deflate::{Deflate, QUICK};
use crate::image::inside::c_string;
use crate::store::staging;
use crate::sys::fs;
use std::fs::{File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};

pub const INDEX: &str = "tar.idx";
pub const SHADOW: &str = "shadow";

pub const CHUNK_BYTES: usize = 64 << 10;

pub const BYTES: u8 = 0;
pub const DATA: u8 = 1;
pub const MOVED: u8 = 2;

/// What the kernel takes for a path.
const PATH_BYTES_MAX: usize = 4096;

/// An index in the making.
pub struct Index {
    /// The layer's directory.
    dir: PathBuf,
    file: File,
    /// Records that are not written yet.
    chunk: Vec<u8>,
    /// Where the last record begins, if it is one of bytes that may grow.
    run: Option<usize>,
    /// The file that the archive's data goes to.
    kept: Option<Vec<u8>>,
    /// Offset and length of what has gone there in one piece and is not recorded yet.
    piece: (u64, u64),
    deflate: Deflate,
    packed: Vec<u8>,
    /// Bytes of the archive so far.
    pub bytes: u64,
    shadows: u32,
}

/// A place where an index can be cut and continued.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mark {
    /// Length of the file.
    pub length: u64,
    /// Bytes of the archive up to here.
    pub bytes: u64,
    pub shadows: u32,
}

impl Index {
    /// A new one in `dir`.
    pub fn create(dir: &Path) -> Result<Index> {
        Index::resume(dir, Mark::default())
    }

    /// Continue the one in `dir` at `mark`; what is behind is cut off. An error if something has been
    /// moved since: what was said before the mark would not hold.
    pub fn resume(dir: &Path, mark: Mark) -> Result<Index> {
        let path = dir.join(INDEX);
        let failed = |e| Error::io(format_args!("open {}", path.display()), &e);
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false);
        let mut file = options.open(&path).map_err(failed)?;
        if file.metadata().map_err(failed)?.len() < mark.length {
            return Err(Error::invalid(format!("{} is too short", path.display())));
        }
        if shadow(dir, mark.shadows).exists() {
            let path = path.display();
            return Err(Error::conflict(format!("{path} can't be continued")));
        }
        file.set_len(mark.length).map_err(failed)?;
        file.seek(SeekFrom::End(0)).map_err(failed)?;
        Ok(Index {
            dir: dir.to_path_buf(),
            file,
            chunk: Vec::with_capacity(CHUNK_BYTES),
            run: None,
            kept: None,
            piece: (0, 0),
            deflate: Deflate::new(QUICK)?,
            packed: Vec::new(),
            bytes: mark.bytes,
            shadows: mark.shadows,
        })
    }

    /// Write what there is; from here the index can be continued once the disk has it.
    pub fn mark(&mut self) -> Result<Mark> {
        let written = self.end_piece().and_then(|()| self.flush());
        let length = written.and_then(|()| self.file.stream_position());
        let length = length.map_err(|e| {
            let path = self.dir.join(INDEX);
            Error::io(format_args!("write {}", path.display()), &e)
        })?;
        Ok(Mark {
            length,
            bytes: self.bytes,
            shadows: self.shadows,
        })
    }

    /// The archive's bytes.
    pub fn raw(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        self.end_piece()?;
        self.bytes += bytes.len() as u64;
        while !bytes.is_empty() {
            let run = match self.run {
                Some(run) if self.chunk.len() < CHUNK_BYTES => run,
                _ => {
                    self.begin(BYTES, 5)?;
                    let run = self.chunk.len() - 1;
                    self.chunk.extend([0; 4]);
                    self.run = Some(run);
                    run
                }
            };
            let count = bytes.len().min(CHUNK_BYTES - self.chunk.len());
            self.chunk.extend(&bytes[..count]);
            bytes = &bytes[count..];
            let length = (self.chunk.len() - run - 5) as u32;
            self.chunk[run + 1..run + 5].copy_from_slice(&length.to_le_bytes());
        }
        Ok(())
    }

    /// The data that comes now goes to the file at `path`; with none it goes nowhere.
    pub fn keep(&mut self, path: Option<&[u8]>) -> io::Result<()> {
        self.end_piece()?;
        let path = path.filter(|path| path.len() < PATH_BYTES_MAX);
        self.kept = path.map(<[u8]>::to_vec);
        Ok(())
    }

    /// Data of an entry, which goes to `offset`.
    pub fn data(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        if self.kept.is_none() {
            return self.raw(bytes);
        }
        if self.piece.0 + self.piece.1 != offset {
            self.end_piece()?;
            self.piece.0 = offset;
        }
        self.piece.1 += bytes.len() as u64;
        self.bytes += bytes.len() as u64;
        Ok(())
    }

    /// What is called `name` in `parent`, and lies at `path`, is to go: but the archive still has it.
    pub fn set_aside(&mut self, parent: BorrowedFd<'_>, name: &Path, path: &[u8]) -> Result<()> {
        let shadow = shadow(&self.dir, self.shadows);
        let above = self.dir.join(SHADOW);
        staging::make_dir(&above)?;
        let above = fs::open_dir(&above)?;
        let name = c_string(name.as_os_str().as_encoded_bytes())?;
        let to = shadow.file_name().unwrap_or_default();
        fs::rename_at(
            parent,
            &name,
            above.as_fd(),
            &c_string(to.as_encoded_bytes())?,
        )?;
        self.moved(path)
    }

    /// What lies at `path` is in `shadow` from now on, under the next number.
    pub fn moved(&mut self, path: &[u8]) -> Result<()> {
        self.shadows += 1;
        self.end_piece()
            .and_then(|()| self.begin(MOVED, 3 + path.len()))
            .map_err(|e| Error::io("write index", &e))?;
        self.path(path);
        Ok(())
    }

    fn end_piece(&mut self) -> io::Result<()> {
        let (offset, length) = std::mem::take(&mut self.piece);
        if length == 0 {
            return Ok(());
        }
        let path = self.kept.take().unwrap_or_default();
        self.begin(DATA, 19 + path.len())?;
        self.chunk.extend(offset.to_le_bytes());
        self.chunk.extend(length.to_le_bytes());
        self.path(&path);
        self.kept = Some(path);
        Ok(())
    }

    fn path(&mut self, path: &[u8]) {
        self.chunk.extend((path.len() as u16).to_le_bytes());
        self.chunk.extend(path);
    }

    /// A record of `length` bytes, the first of which is its `kind`.
    fn begin(&mut self, kind: u8, length: usize) -> io::Result<()> {
        self.run = None;
        // One of bytes wants to hold at least one.
        if self.chunk.len() + length >= CHUNK_BYTES {
            self.flush()?;
        }
        self.chunk.push(kind);
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.run = None;
        if self.chunk.is_empty() {
            return Ok(());
        }
        self.packed.clear();
        self.packed.extend([0; 4]);
        self.packed.extend((self.chunk.len() as u32).to_le_bytes());
        self.deflate.whole(&self.chunk, &mut self.packed)?;
        let length = (self.packed.len() - 8) as u32;
        self.packed[..4].copy_from_slice(&length.to_le_bytes());
        self.chunk.clear();
        self.file.write_all(&self.packed)
    }
}

/// Where the `number`th thing that was moved lies.
pub fn shadow(dir: &Path, number: u32) -> PathBuf {
    dir.join(SHADOW).join(number.to_string())
}
