//! A log on disk: one file that grows, and older ones beside it. What the disk cannot take is
//! dropped; nobody waits for it.

use crate::error::{Error, Result};
use crate::log;
use crate::shim::log::options::Files;
use crate::shim::log::record::{self, Format, Frame};
use crate::sys::memory::Pages;
use crate::wire::stdcopy::Stream;
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Records are gathered up to this and written at once.
const BATCH_BYTES: usize = 256 << 10;

/// What is copied from another log at a time.
const COPY_BYTES: usize = 32 << 10;

pub struct LogFile {
    path: PathBuf,
    format: Format,
    bounds: Files,
    /// `None` after a rotation that failed half-way; tried again with the next batch.
    file: Option<File>,
    /// The length of the file. A piece of a record beyond it is cut off again.
    length: u64,
    /// How much was written, to all its files.
    written: u64,
    /// Room for records, of which `batched` bytes are taken; empty while nothing is written.
    batch: Pages,
    batched: usize,
    /// Output is being dropped, and that has been said.
    is_dropping: bool,
}

impl LogFile {
    /// Open the log at `path`, to write after what is there.
    pub fn open(path: &Path, format: Format, bounds: Files) -> Result<LogFile> {
        let mut log = LogFile {
            path: path.to_path_buf(),
            format,
            bounds,
            file: None,
            length: 0,
            written: 0,
            batch: Pages::default(),
            batched: 0,
            is_dropping: false,
        };
        log.open_file()?;
        log.cut_torn()?;
        Ok(log)
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How much this one has written since it was opened.
    pub fn written(&self) -> u64 {
        self.written
    }

    pub fn frame(&self, stream: Stream) -> Frame {
        Frame::new(&self.format, stream)
    }

    /// Add a record; `flush` writes it.
    pub fn push(&mut self, piece: &[u8], frame: &Frame) {
        let room = self.room(piece.len(), frame);
        let written = frame.encode(piece, room);
        self.pushed(written);
    }

    /// Add the record of the line that `bytes` begin with, if they have its end; its length.
    pub fn push_line(&mut self, bytes: &[u8], frame: &Frame) -> Option<usize> {
        let room = self.room(bytes.len(), frame);
        let (length, written) = frame.encode_line(bytes, room)?;
        self.pushed(written);
        Some(length)
    }

    /// Room for the record of so many bytes.
    fn room(&mut self, text: usize, frame: &Frame) -> &mut [u8] {
        let needed = record::bytes_max(text, frame);
        if self.batch.len() - self.batched < needed {
            self.flush();
            if self.batch.len() < needed {
                self.batch = Pages::new(needed.max(BATCH_BYTES));
            }
        }
        self.batch.get_mut(self.batched..).unwrap_or_default()
    }

    fn pushed(&mut self, written: usize) {
        self.batched += written;
        let length = self.length + self.batched as u64;
        if self.bounds.bytes_max.is_some_and(|max| length >= max) {
            self.flush();
        }
    }

    /// Write what was gathered.
    pub fn flush(&mut self) {
        if self.batched == 0 {
            return;
        }
        let outcome = self.append();
        self.batched = 0;
        match outcome {
            Ok(()) => self.is_dropping = false,
            Err(error) if !self.is_dropping => {
                self.is_dropping = true;
                log::line("tug-shim", format_args!("output is lost: {error}"));
            }
            Err(_) => {}
        }
    }

    /// Give memory back that is only of use while there is much to write.
    pub fn shrink(&mut self) {
        self.batch = Pages::default();
    }

    fn append(&mut self) -> Result<()> {
        if self.bounds.bytes_max.is_some_and(|max| self.length >= max) {
            self.rotate()?;
        }
        if self.file.is_none() {
            self.open_file()?;
        }
        let Some(file) = &self.file else {
            return Ok(());
        };
        let batch = self.batch.get(..self.batched).unwrap_or_default();
        if let Err(error) = (&*file).write_all(batch) {
            // Take the beginning of a record back, so that the next one starts a line.
            let _ = file.set_len(self.length);
            return Err(self.failed("write", &error));
        }
        self.length += batch.len() as u64;
        self.written += batch.len() as u64;
        Ok(())
    }

    /// Write the records of another log's file after ours, all of them or none.
    pub fn take_in(&mut self, records: &File) -> Result<()> {
        if self.bounds.bytes_max.is_some_and(|max| self.length >= max) {
            self.rotate()?;
        }
        if self.file.is_none() {
            self.open_file()?;
        }
        let Some(file) = &self.file else {
            return Ok(());
        };
        let mut buffer = vec![0u8; COPY_BYTES];
        let mut offset = 0;
        let outcome = loop {
            let copied = records.read_at(&mut buffer, offset).and_then(|count| {
                (&*file).write_all(buffer.get(..count).unwrap_or_default())?;
                Ok(count)
            });
            match copied {
                Ok(0) => break Ok(()),
                Ok(count) => offset += count as u64,
                Err(error) => break Err(error),
            }
        };
        if let Err(error) = outcome {
            let _ = file.set_len(self.length);
            return Err(self.failed("write", &error));
        }
        self.length += offset;
        self.written += offset;
        Ok(())
    }

    /// What was written is to survive a power cut.
    pub fn sync(&self) -> Result<()> {
        let synced = self.file.as_ref().map_or(Ok(()), File::sync_data);
        synced.map_err(|e| self.failed("sync", &e))
    }

    /// Begin anew, without what is there. Who reads it still has it.
    pub fn start_over(&mut self) -> Result<()> {
        self.file = None;
        for number in (0..self.bounds.count_max).rev() {
            match std::fs::remove_file(rotated(&self.path, number)) {
                Err(e) if e.kind() != ErrorKind::NotFound => {
                    return Err(self.failed("remove", &e));
                }
                _ => {}
            }
        }
        self.open_file()
    }

    /// `log.json` becomes `log.json.1`, that becomes `.2`, and so on; the last one goes. A reader
    /// keeps what it has open.
    fn rotate(&mut self) -> Result<()> {
        self.file = None;
        for number in (1..self.bounds.count_max).rev() {
            let from = rotated(&self.path, number - 1);
            match std::fs::rename(&from, rotated(&self.path, number)) {
                Err(e) if e.kind() != ErrorKind::NotFound => {
                    return Err(self.failed("rotate", &e));
                }
                _ => {}
            }
        }
        if self.bounds.count_max == 1 {
            std::fs::remove_file(&self.path).map_err(|e| self.failed("rotate", &e))?;
        }
        self.open_file()
    }

    fn open_file(&mut self) -> Result<()> {
        let file = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .mode(0o640)
            .open(&self.path)
            .map_err(|e| self.failed("open", &e))?;
        self.length = file.metadata().map_err(|e| self.failed("stat", &e))?.len();
        self.file = Some(file);
        Ok(())
    }

    /// What stands after the last newline was torn by a power cut or a kill: whole records only.
    fn cut_torn(&mut self) -> Result<()> {
        let Some(file) = &self.file else {
            return Ok(());
        };
        let mut end = self.length;
        let mut block = vec![0u8; 4096];
        while end > 0 {
            let size = end.min(block.len() as u64);
            let part = block.get_mut(..size as usize).unwrap_or_default();
            file.read_exact_at(part, end - size)
                .map_err(|e| self.failed("read", &e))?;
            if let Some(at) = part.iter().rposition(|byte| *byte == b'\n') {
                end = end - size + at as u64 + 1;
                break;
            }
            end -= size;
        }
        if end < self.length {
            file.set_len(end).map_err(|e| self.failed("truncate", &e))?;
            self.length = end;
        }
        Ok(())
    }

    fn failed(&self, doing: &str, error: &std::io::Error) -> Error {
        Error::io(format_args!("{doing} {}", self.path.display()), error)
    }
}

/// The log's file of age `number`; 0 is the one being written.
pub fn rotated(path: &Path, number: u32) -> PathBuf {
    if number == 0 {
        return path.to_path_buf();
    }
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number}"));
    PathBuf::from(name)
}
