//! Writes a container's output as json-file records. Never blocks for long and never gives up: what
//! the disk cannot take is dropped.

use crate::error::{Error, Result};
use crate::log;
use crate::time::Time;
use crate::wire::stdcopy::Stream;
use rustix::io::Errno;
use std::fs::{File, OpenOptions};
use std::io::BufRead;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Docker's: the longest piece of a line that becomes one record.
pub const PIECE_BYTES_MAX: usize = 16 << 10;

/// Bounded unless told otherwise: on a device, a chatty container must not fill the flash.
const FILE_BYTES_MAX: u64 = 10 << 20;
const FILES_MAX: u32 = 3;

/// Records are gathered up to this and written at once.
const BATCH_BYTES: usize = 64 << 10;

pub struct Writer {
    path: PathBuf,
    /// `None` after a rotation that failed half-way; tried again with the next batch.
    file: Option<File>,
    /// The length of the file. A piece of a record beyond it is cut off again.
    length: u64,
    file_bytes_max: u64,
    files_max: u32,
    /// The unfinished line of stdout and of stderr.
    rests: [Vec<u8>; 2],
    batch: Vec<u8>,
    /// Output is being dropped, and that has been said.
    is_dropping: bool,
}

impl Writer {
    /// A writer to `path`, after what is there. A torn record at its end is closed with a newline.
    pub fn open(path: &Path, file_bytes_max: Option<u64>, files_max: Option<u32>) -> Result<Self> {
        let mut writer = Writer {
            path: path.to_path_buf(),
            file: None,
            length: 0,
            file_bytes_max: file_bytes_max.unwrap_or(FILE_BYTES_MAX).max(1),
            files_max: files_max.unwrap_or(FILES_MAX).max(1),
            rests: [Vec::new(), Vec::new()],
            batch: Vec::new(),
            is_dropping: false,
        };
        writer.open_file()?;
        if writer.length > 0 && !ends_in_newline(&writer.path, writer.length) {
            writer.batch.push(b'\n');
            writer.write_batch();
        }
        Ok(writer)
    }

    /// Log what a stream has brought. All records of a chunk carry one time: it came at once.
    pub fn chunk(&mut self, stream: Stream, mut bytes: &[u8]) {
        let tail = tail(stream);
        let mut rest = std::mem::take(&mut self.rests[index(stream)]);
        while !bytes.is_empty() {
            let room = PIECE_BYTES_MAX.saturating_sub(rest.len()).max(1);
            let window = bytes.get(..room.min(bytes.len())).unwrap_or(bytes);
            let newline = newline(window);
            if newline.is_none() && window.len() < room {
                break;
            }
            let (piece, after) = bytes.split_at(newline.map_or(window.len(), |at| at + 1));
            bytes = after;
            if rest.is_empty() && newline.is_some() {
                self.record(piece, &tail);
                continue;
            }
            rest.extend_from_slice(piece);
            // A long line is not cut within a character.
            let cut = if newline.is_some() {
                rest.len()
            } else {
                whole(&rest)
            };
            self.record(rest.get(..cut).unwrap_or_default(), &tail);
            rest.drain(..cut);
        }
        rest.extend_from_slice(bytes);
        self.rests[index(stream)] = rest;
        self.write_batch();
    }

    /// The stream has ended: what it left without a newline is its last record.
    pub fn end(&mut self, stream: Stream) {
        let rest = std::mem::take(&mut self.rests[index(stream)]);
        if !rest.is_empty() {
            self.record(&rest, &tail(stream));
        }
        self.write_batch();
    }

    /// Give memory back that is only of use while there is much to write.
    pub fn shrink(&mut self) {
        self.batch = Vec::new();
        self.rests.iter_mut().for_each(Vec::shrink_to_fit);
    }

    fn record(&mut self, piece: &[u8], tail: &str) {
        self.batch.extend_from_slice(b"{\"log\":\"");
        escape(piece, &mut self.batch);
        self.batch.extend_from_slice(tail.as_bytes());
        let is_full = self.length + self.batch.len() as u64 >= self.file_bytes_max;
        if is_full || self.batch.len() >= BATCH_BYTES {
            self.write_batch();
        }
    }

    fn write_batch(&mut self) {
        if self.batch.is_empty() {
            return;
        }
        let outcome = self.append();
        self.batch.clear();
        match outcome {
            Ok(()) => self.is_dropping = false,
            Err(error) if !self.is_dropping => {
                self.is_dropping = true;
                log::line("tug-shim", format_args!("output is lost: {error}"));
            }
            Err(_) => {}
        }
    }

    fn append(&mut self) -> Result<()> {
        if self.length >= self.file_bytes_max {
            self.rotate()?;
        }
        if self.file.is_none() {
            self.open_file()?;
        }
        let Some(file) = &self.file else {
            return Ok(());
        };
        let mut rest = self.batch.as_slice();
        while !rest.is_empty() {
            match rustix::io::write(file, rest) {
                Ok(count) => rest = rest.get(count..).unwrap_or_default(),
                Err(Errno::INTR) => {}
                Err(errno) => {
                    // Take the beginning of a record back, so that the next one starts a line.
                    let _ = file.set_len(self.length);
                    return Err(self.failed("write", errno.into()));
                }
            }
        }
        self.length += self.batch.len() as u64;
        Ok(())
    }

    /// `log.json` becomes `log.json.1`, that becomes `.2`, and so on; the last one goes. A reader
    /// keeps what it has open.
    fn rotate(&mut self) -> Result<()> {
        self.file = None;
        for number in (1..self.files_max).rev() {
            let from = rotated(&self.path, number - 1);
            match std::fs::rename(&from, rotated(&self.path, number)) {
                Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                    return Err(self.failed("rotate", e));
                }
                _ => {}
            }
        }
        if self.files_max == 1 {
            std::fs::remove_file(&self.path).map_err(|e| self.failed("rotate", e))?;
        }
        self.open_file()
    }

    fn open_file(&mut self) -> Result<()> {
        let file = OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o640)
            .open(&self.path)
            .map_err(|e| self.failed("open", e))?;
        self.length = file.metadata().map_err(|e| self.failed("stat", e))?.len();
        self.file = Some(file);
        Ok(())
    }

    fn failed(&self, doing: &str, error: std::io::Error) -> Error {
        Error::io(format_args!("{doing} {}", self.path.display()), &error)
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

fn ends_in_newline(path: &Path, length: u64) -> bool {
    use std::os::unix::fs::FileExt;
    let mut last = [0u8; 1];
    let read = File::open(path).and_then(|file| file.read_exact_at(&mut last, length - 1));
    read.is_ok() && last == *b"\n"
}

fn index(stream: Stream) -> usize {
    usize::from(stream == Stream::Stderr)
}

/// A record after its text, in the order of Docker's members.
fn tail(stream: Stream) -> String {
    let name = if stream == Stream::Stderr {
        "stderr"
    } else {
        "stdout"
    };
    let time = Time::now().rfc3339();
    format!("\",\"stream\":\"{name}\",\"time\":\"{time}\"}}\n")
}

/// Where the first newline is. `skip_until` searches with libc's memchr, a word at a time.
fn newline(bytes: &[u8]) -> Option<usize> {
    let length = { bytes }.skip_until(b'\n').ok()?;
    (length > 0 && bytes.get(length - 1) == Some(&b'\n')).then(|| length - 1)
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

/// Bytes as the inside of a JSON string, with Docker's choice of escapes (Go's, safe for HTML). A
/// byte that is not UTF-8 becomes U+FFFD.
fn escape(bytes: &[u8], out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let mut plain = 0;
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        if is_plain(byte) {
            // Nearly all output is plain text, so that is looked at in words.
            let words = bytes.get(at..).unwrap_or_default().as_chunks::<8>().0;
            let plain_words = words.iter().take_while(|word| are_plain(word)).count();
            at += (plain_words * 8).max(1);
            continue;
        }
        let length = if byte < 0x80 { 1 } else { character(bytes, at) };
        // Other characters stand for themselves, but for U+2028 and U+2029, which JavaScript takes
        // for ends of lines.
        let is_separator = matches!(bytes.get(at..at + 3), Some([0xe2, 0x80, 0xa8 | 0xa9]));
        if byte >= 0x80 && length > 0 && !is_separator {
            at += length;
            continue;
        }
        out.extend_from_slice(bytes.get(plain..at).unwrap_or_default());
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            0x80.. if !is_separator => out.extend_from_slice(b"\\ufffd"),
            0x80.. => {
                let last = bytes
                    .get(at + 2)
                    .map_or(b'8', |byte| HEX[usize::from(byte & 15)]);
                out.extend_from_slice(b"\\u202");
                out.push(last);
            }
            _ => {
                let (high, low) = (usize::from(byte >> 4), usize::from(byte & 15));
                out.extend_from_slice(&[b'\\', b'u', b'0', b'0', HEX[high], HEX[low]]);
            }
        }
        at += length.max(1);
        plain = at;
    }
    out.extend_from_slice(bytes.get(plain..).unwrap_or_default());
}

const fn is_plain(byte: u8) -> bool {
    byte >= 0x20 && byte < 0x80 && !matches!(byte, b'"' | b'\\' | b'<' | b'>' | b'&')
}

/// Whether all of eight bytes are plain. It may say no for nothing, never yes.
fn are_plain(bytes: &[u8; 8]) -> bool {
    const ONES: u64 = u64::MAX / 255;
    const HIGH: u64 = ONES * 0x80;
    let word = u64::from_ne_bytes(*bytes);
    // The high bit of a byte is set in the difference when the byte is less than `than`.
    let less = |word: u64, than: u8| word.wrapping_sub(ONES * u64::from(than)) & !word;
    let is = |word: u64, byte: u8| less(word ^ (ONES * u64::from(byte)), 1);
    // One test finds both bytes of a pair that differs in one bit.
    let angles = is(word | (ONES * 0x02), b'>');
    let quotes = is(word | (ONES * 0x04), b'&');
    (word | less(word, 0x20) | angles | quotes | is(word, b'\\')) & HIGH == 0
}

/// The length of the UTF-8 character at `at`; 0 when there is none.
fn character(bytes: &[u8], at: usize) -> usize {
    for length in 2..=4 {
        let candidate = bytes.get(at..at + length).unwrap_or_default();
        if std::str::from_utf8(candidate).is_ok_and(|text| !text.is_empty()) {
            return length;
        }
    }
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn escaped(bytes: &[u8]) -> String {
        let mut out = Vec::new();
        escape(bytes, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn text_is_escaped_as_docker_does() {
        assert_eq!(escaped(b"plain text\n"), "plain text\\n");
        assert_eq!(escaped(b"a\tb\r\x00\x7f"), "a\\u0009b\\r\\u0000\x7f");
        assert_eq!(escaped(b"\"\\<>&"), "\\\"\\\\\\u003c\\u003e\\u0026");
        assert_eq!(escaped("grün 漢 🚢".as_bytes()), "grün 漢 🚢");
        assert_eq!(escaped("\u{2028}x\u{2029}".as_bytes()), "\\u2028x\\u2029");
        assert_eq!(escaped(b"a\xffb\xc3"), "a\\ufffdb\\ufffd");
        assert_eq!(escaped(b"\xe2\x80"), "\\ufffd\\ufffd");
        // Surrogates and overlong forms are no UTF-8.
        assert_eq!(escaped(b"\xc0\xaf"), "\\ufffd\\ufffd");
        assert_eq!(escaped(b"\xed\xa0\x80"), "\\ufffd\\ufffd\\ufffd");
    }

    #[test]
    fn words_are_looked_at_as_bytes_are() {
        for byte in 0..=255u8 {
            for at in 0..8 {
                let mut word = *b"abcdefgh";
                word[at] = byte;
                assert_eq!(are_plain(&word), is_plain(byte), "{byte} at {at}");
            }
        }
        assert_eq!(
            escaped(b"0123456789abcdef\n0123456\"89"),
            "0123456789abcdef\\n0123456\\\"89"
        );
    }

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
