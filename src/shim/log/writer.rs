//! Takes a container's output and gives it on as records: to a file, to a receiver, or to both. It
//! never waits.

use crate::error::{Error, Result};
use crate::shim::config::Config;
use crate::shim::log::file::LogFile;
use crate::shim::log::options::{self, Driver};
use crate::shim::log::reader::{Mark, Reader, Select};
use crate::shim::log::record::{Format, Frame, newline};
use crate::shim::log::remote::Remote;
use crate::shim::log::ring::Ring;
use crate::wire::stdcopy::Stream;
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::time::Instant;

/// Docker's: the longest piece of a line that becomes one record.
pub const PIECE_BYTES_MAX: usize = 16 << 10;

#[derive(Default)]
pub struct Writer {
    /// The unfinished line of stdout and of stderr.
    rests: [Vec<u8>; 2],
    file: Option<LogFile>,
    remote: Option<Remote>,
    ring: Option<Ring>,
}

impl Writer {
    /// The writer that a container's configuration asks for; none, if it is not to be logged.
    /// The caller has a mount namespace of its own.
    pub fn open(config: &Config, run_dir: &Path) -> Result<Option<Writer>> {
        let driver = config.log_driver.as_deref().unwrap_or("none");
        let empty = options::Given::new();
        let given = config.log_options.as_ref().unwrap_or(&empty);
        let settings = options::parse(driver, given)?;
        if settings.driver == Driver::None {
            return Ok(None);
        }
        let format = match settings.driver {
            Driver::JsonFile | Driver::Ring => {
                Format::Json(config.log_attrs.clone().unwrap_or_default())
            }
            _ => Format::Local,
        };
        let path = config.log.as_deref().map(Path::new);
        let mut ring = None;
        let file = match (path, settings.file, settings.ring) {
            (Some(path), Some(bounds), Some(wanted)) => {
                ring = Some(Ring::new(wanted.persist, path, bounds));
                Some(Ring::open(run_dir, wanted.bytes_max, format)?)
            }
            (Some(path), Some(bounds), None) => Some(LogFile::open(path, format, bounds)?),
            _ => None,
        };
        Ok(Some(Writer {
            ring,
            remote: Remote::open(&settings, config)?,
            file,
            rests: Default::default(),
        }))
    }

    /// A writer to a file only.
    #[cfg(test)]
    pub fn to(file: LogFile) -> Writer {
        Writer {
            file: Some(file),
            ..Default::default()
        }
    }

    /// Log what a stream has brought.
    pub fn chunk(&mut self, stream: Stream, mut bytes: &[u8]) {
        let mut rest = std::mem::take(self.rest(stream));
        let mut sink = Sink::new(self, stream);
        while !bytes.is_empty() {
            let room = PIECE_BYTES_MAX.saturating_sub(rest.len()).max(1);
            let window = bytes.get(..room.min(bytes.len())).unwrap_or(bytes);
            if rest.is_empty()
                && let Some(length) = sink.line(window)
            {
                bytes = bytes.get(length..).unwrap_or_default();
                continue;
            }
            let newline = newline(window);
            if newline.is_none() && window.len() < room {
                break;
            }
            let (piece, after) = bytes.split_at(newline.map_or(window.len(), |at| at + 1));
            bytes = after;
            rest.extend_from_slice(piece);
            // A long line is not cut within a character.
            let cut = if newline.is_some() {
                rest.len()
            } else {
                whole(&rest)
            };
            sink.record(rest.get(..cut).unwrap_or_default());
            rest.drain(..cut);
        }
        sink.flush();
        rest.extend_from_slice(bytes);
        *self.rest(stream) = rest;
    }

    /// The stream has ended: what it left without a newline is its last record.
    pub fn end(&mut self, stream: Stream) {
        let rest = std::mem::take(self.rest(stream));
        if !rest.is_empty() {
            let mut sink = Sink::new(self, stream);
            sink.record(&rest);
            sink.flush();
        }
    }

    /// The program has ended. `is_crash`: badly, and nobody asked it to. `is_last`: no other run
    /// follows in which the ring would go on.
    pub fn run_ended(&mut self, is_crash: bool, is_last: bool) {
        if let (Some(ring), Some(file)) = (&mut self.ring, &mut self.file) {
            ring.run_ended(file, is_crash, is_last);
        }
    }

    /// Write out what is kept in memory.
    pub fn persist(&mut self) -> Result<()> {
        match (&mut self.ring, &mut self.file) {
            (Some(ring), Some(file)) => ring.write_out(file),
            _ => Err(not_in_memory()),
        }
    }

    /// How much of the log has been written to a disk.
    pub fn written_to_disk(&self) -> u64 {
        match (&self.ring, &self.file) {
            (Some(ring), _) => ring.written(),
            (None, file) => file.as_ref().map_or(0, LogFile::written),
        }
    }

    /// Give what has come since `mark`, up to the last byte that we were given ourselves.
    pub fn replay(&mut self, mark: Mark, mut give: impl FnMut(Stream, &[u8])) -> Result<()> {
        if let Some(file) = &self.file {
            let select = Select {
                stdout: true,
                stderr: true,
                ..Select::default()
            };
            let mut reader = Reader::after(file.path(), select, mark)?;
            while let Some(line) = reader.next()? {
                give(line.stream, &line.text);
            }
        }
        for stream in [Stream::Stdout, Stream::Stderr] {
            let rest = self.rest(stream);
            if !rest.is_empty() {
                give(stream, rest);
            }
        }
        Ok(())
    }

    /// Give memory back that is only of use while there is much to write.
    pub fn shrink(&mut self) {
        self.rests.iter_mut().for_each(Vec::shrink_to_fit);
        if let Some(file) = &mut self.file {
            file.shrink();
        }
    }

    /// The receiver takes no more for now, and the container has to wait for it.
    pub fn is_full(&self) -> bool {
        self.remote.as_ref().is_some_and(Remote::is_full)
    }

    /// Where `flush` can go on when it is writable.
    pub fn backlog(&self) -> Option<BorrowedFd<'_>> {
        self.remote.as_ref().and_then(Remote::backlog)
    }

    pub fn flush(&mut self) {
        if let Some(remote) = &mut self.remote {
            remote.flush();
        }
    }

    /// When to stop waiting for the receiver.
    pub fn deadline(&self) -> Option<Instant> {
        self.remote.as_ref().and_then(Remote::deadline)
    }

    pub fn sweep(&mut self, now: Instant) {
        if let Some(remote) = &mut self.remote {
            remote.sweep(now);
        }
    }

    /// The beginning of a line that is not in the log yet.
    pub fn rest(&mut self, stream: Stream) -> &mut Vec<u8> {
        &mut self.rests[usize::from(stream == Stream::Stderr)]
    }
}

pub fn not_in_memory() -> Error {
    Error::invalid("only the log driver ring keeps a log in memory")
}

/// Where the records of a chunk go.
struct Sink<'a> {
    stream: Stream,
    file: Option<(&'a mut LogFile, Frame)>,
    remote: Option<&'a mut Remote>,
}

impl<'a> Sink<'a> {
    fn new(writer: &'a mut Writer, stream: Stream) -> Sink<'a> {
        Sink {
            stream,
            file: writer.file.as_mut().map(|file| {
                let frame = file.frame(stream);
                (file, frame)
            }),
            remote: writer.remote.as_mut(),
        }
    }

    /// The record of the line that `bytes` begin with, if they have its end; its length.
    fn line(&mut self, bytes: &[u8]) -> Option<usize> {
        if let (Some((file, frame)), None) = (&mut self.file, &self.remote) {
            return file.push_line(bytes, frame);
        }
        let line = bytes.get(..=newline(bytes)?)?;
        self.record(line);
        Some(line.len())
    }

    fn record(&mut self, piece: &[u8]) {
        if let Some((file, frame)) = &mut self.file {
            file.push(piece, frame);
        }
        if let Some(remote) = &mut self.remote {
            remote.send(self.stream, piece);
        }
    }

    fn flush(self) {
        if let Some((file, _)) = self.file {
            file.flush();
        }
    }
}

/// The length of `bytes` without a character that is cut off at the end.
fn whole(bytes: &[u8]) -> usize {
    let from = bytes.len().saturating_sub(3);
    for (at, byte) in bytes.iter().enumerate().skip(from).rev() {
        let needs = match byte {
            0xc2..=0xdf => 2,
            0xe0..=0xef => 3,
            0xf0..=0xf4 => 4,
            0x80..=0xbf => continue,
            _ => break,
        };
        if at > 0 && at + needs > bytes.len() {
            return at;
        }
        break;
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_character_is_held_back() {
        assert_eq!(whole(b"abc"), 3);
        assert_eq!(whole("abé".as_bytes()), 4);
        assert_eq!(whole(b"ab\xc3"), 2);
        assert_eq!(whole(b"ab\xf0\x9f\x9a"), 2);
        assert_eq!(whole(b"\xf0\x9f\x9a"), 3);
        assert_eq!(whole(b"\x80\x80\x80\x80"), 4);
        assert_eq!(whole(b""), 0);
    }
}
