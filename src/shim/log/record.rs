//! How a record looks in a log file: a line, in one of two formats.
//!
//! json-file is Docker's: `{"log":"text\n","stream":"stdout","time":"2026-01-02T03:04:05.6Z"}`,
//! before the time an object `attrs` where options ask for it.
//!
//! local is ours: `1767323045.600000000 o 4 text`, a third of the overhead. Seconds and nanoseconds
//! since 1970; `o` for stdout or `e` for stderr, in capitals when the line goes on in the next
//! record; the length of the text, by which a torn record is known; the text as it came.

use crate::json;
use crate::json::map::Map;
use crate::time::Time;
use crate::wire::container;
use crate::wire::stdcopy::Stream;
use std::io::BufRead;

/// One record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    pub stream: Stream,
    /// RFC 3339.
    pub time: String,
    /// With its newline, unless it is a part of a longer line.
    pub text: Vec<u8>,
    /// What the options `labels`, `env` and `tag` add.
    pub attrs: Map<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Format {
    /// With the `attrs` of every record.
    Json(Map<String>),
    Local,
}

/// The longest record of a text of so many bytes: each may become `\u0000`.
pub fn bytes_max(text: usize, frame: &Frame) -> usize {
    text * 6 + (frame.heads[0].len() + frame.tail.len() + 2) * WORD
}

/// Records are put together in words: memcpy takes longer to begin than most lines to copy.
const WORD: usize = 8;

/// What stands around the texts of a chunk. They share one time: they came at once.
pub struct Frame {
    is_json: bool,
    /// Of a whole line and of a part of one.
    heads: [Fixed; 2],
    tail: Fixed,
}

impl Frame {
    pub fn new(format: &Format, stream: Stream) -> Frame {
        let now = Time::now();
        let is_stderr = stream == Stream::Stderr;
        match format {
            Format::Json(attrs) => {
                let name = if is_stderr { "stderr" } else { "stdout" };
                let attrs = match attrs.is_empty() {
                    true => String::new(),
                    false => format!("\"attrs\":{},", json::to_string(attrs)),
                };
                let time = now.rfc3339();
                let tail = format!("\",\"stream\":\"{name}\",{attrs}\"time\":\"{time}\"}}\n");
                Frame {
                    is_json: true,
                    heads: [Fixed::new("{\"log\":\""), Fixed::new("{\"log\":\"")],
                    tail: Fixed::new(&tail),
                }
            }
            Format::Local => {
                let letters = if is_stderr { ['e', 'E'] } else { ['o', 'O'] };
                let head = |letter| format!("{}.{:09} {letter} ", now.seconds, now.nanos);
                Frame {
                    is_json: false,
                    heads: letters.map(|letter| Fixed::new(&head(letter))),
                    tail: Fixed::new("\n"),
                }
            }
        }
    }

    /// Put the record of `piece`, a line with its newline or a part of one, at the beginning of
    /// `out`, which has room for it (`bytes_max`); its length.
    pub fn encode(&self, piece: &[u8], out: &mut [u8]) -> usize {
        let line = piece.strip_suffix(b"\n");
        let [whole, part] = &self.heads;
        let mut length = if line.is_some() { whole } else { part }.put(out);
        if self.is_json {
            let (_, text) = escape(piece, out.get_mut(length..).unwrap_or_default());
            length += text;
        } else {
            let text = line.unwrap_or(piece);
            for part in [text.len().to_string().as_bytes(), b" ", text] {
                let end = length + part.len();
                if let Some(room) = out.get_mut(length..end) {
                    room.copy_from_slice(part);
                }
                length = end;
            }
        }
        length + self.tail.put(out.get_mut(length..).unwrap_or_default())
    }

    /// The same for the line that `bytes` begin with: its length and the record's. `None`: there
    /// is no end of a line in `bytes`.
    pub fn encode_line(&self, bytes: &[u8], out: &mut [u8]) -> Option<(usize, usize)> {
        if !self.is_json {
            let length = newline(bytes)? + 1;
            return Some((length, self.encode(bytes.get(..length)?, out)));
        }
        let head = self.heads[0].put(out);
        let (length, text) = escape(bytes, out.get_mut(head..)?);
        if bytes.get(length.wrapping_sub(1)) != Some(&b'\n') {
            return None;
        }
        let end = head + text;
        Some((length, end + self.tail.put(out.get_mut(end..)?)))
    }
}

/// A text that is put down often, in words.
struct Fixed {
    /// A word of zeros is the last.
    words: Vec<[u8; WORD]>,
    length: usize,
}

impl Fixed {
    fn new(text: &str) -> Fixed {
        let mut words = Vec::new();
        for chunk in text.as_bytes().chunks(WORD) {
            let mut word = [0; WORD];
            if let Some(room) = word.get_mut(..chunk.len()) {
                room.copy_from_slice(chunk);
            }
            words.push(word);
        }
        words.push([0; WORD]);
        Fixed {
            words,
            length: text.len(),
        }
    }

    fn len(&self) -> usize {
        self.length
    }

    /// Put it at the beginning of `out`, rounded up to words, and tell its length.
    fn put(&self, out: &mut [u8]) -> usize {
        for (to, word) in out.as_chunks_mut().0.iter_mut().zip(&self.words) {
            // Not the end of `words`: the compiler would make a call of memcpy of it.
            if *word == [0; WORD] {
                break;
            }
            *to = *word;
        }
        self.length
    }
}

/// Where the first newline is. `skip_until` searches with libc's memchr, a word at a time.
pub fn newline(bytes: &[u8]) -> Option<usize> {
    let length = { bytes }.skip_until(b'\n').ok()?;
    (length > 0 && bytes.get(length - 1) == Some(&b'\n')).then(|| length - 1)
}

/// Read a record of either format, without its last newline. `None`: it is torn.
pub fn decode(line: &[u8]) -> Option<LogLine> {
    match line.first()? {
        b'{' => decode_json(line),
        _ => decode_local(line),
    }
}

fn decode_json(line: &[u8]) -> Option<LogLine> {
    let record: container::LogLine = json::parse_bytes(line, "record").ok()?;
    Some(LogLine {
        stream: match record.stream.as_deref() {
            Some("stderr") => Stream::Stderr,
            _ => Stream::Stdout,
        },
        time: record.time?,
        text: record.log?.into_bytes(),
        attrs: record.attrs.unwrap_or_default(),
    })
}

fn decode_local(line: &[u8]) -> Option<LogLine> {
    let mut words = line.splitn(4, |byte| *byte == b' ');
    let mut word = || std::str::from_utf8(words.next()?).ok();
    let (seconds, nanos) = word()?.split_once('.')?;
    let (letter, length) = (word()?, word()?);
    let (stream, is_whole) = match letter {
        "o" => (Stream::Stdout, true),
        "O" => (Stream::Stdout, false),
        "e" => (Stream::Stderr, true),
        "E" => (Stream::Stderr, false),
        _ => return None,
    };
    let mut text = words.next()?.to_vec();
    if nanos.len() != 9 || length.parse::<usize>().ok()? != text.len() {
        return None;
    }
    if is_whole {
        text.push(b'\n');
    }
    let time = Time {
        seconds: seconds.parse().ok()?,
        nanos: nanos.parse().ok()?,
    };
    Some(LogLine {
        stream,
        time: time.rfc3339(),
        text,
        attrs: Map::new(),
    })
}

/// Bytes as the inside of a JSON string, up to the first newline: how many those were, and how many
/// they became. With Docker's choice of escapes (Go's, safe for HTML); a byte that is not UTF-8
/// becomes U+FFFD.
fn escape(bytes: &[u8], out: &mut [u8]) -> (usize, usize) {
    let (mut at, mut end) = (0, 0);
    while at < bytes.len() {
        let rest = bytes.get(at..).unwrap_or_default();
        let room = out.get_mut(end..).unwrap_or_default();
        let plain = copy_plain(rest, room);
        at += plain;
        end += plain;
        let rest = rest.get(plain..).unwrap_or_default();
        let Some(first) = rest.first() else {
            break;
        };
        let (length, written, text) = character(rest);
        if let Some(room) = out.get_mut(end..end + written) {
            room.copy_from_slice(text.get(..written).unwrap_or_default());
        }
        at += length;
        end += written;
        if *first == b'\n' {
            break;
        }
    }
    (at, end)
}

/// Copy the plain characters that `bytes` begin with, and tell how many. Nearly all output is plain
/// text, so that is looked at in words; what is left of the last word is not.
fn copy_plain(bytes: &[u8], out: &mut [u8]) -> usize {
    let words = bytes.as_chunks::<WORD>().0;
    let mut count = 0;
    for (word, to) in words.iter().zip(out.as_chunks_mut().0) {
        *to = *word;
        let odd = odd(word);
        if odd != 0 {
            return count + odd.trailing_zeros() as usize / 8;
        }
        count += WORD;
    }
    count
}

/// The first character as it stands in a string: its length, its length there, and what stands there.
fn character(bytes: &[u8]) -> (usize, usize, [u8; 6]) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let first = bytes.first().copied().unwrap_or_default();
    match first {
        b'"' | b'\\' => (1, 2, [b'\\', first, 0, 0, 0, 0]),
        b'\n' => (1, 2, *b"\\n    "),
        b'\r' => (1, 2, *b"\\r    "),
        0x80.. => match length(bytes) {
            0 => (1, 6, *b"\\ufffd"),
            // U+2028 and U+2029, which JavaScript takes for ends of lines.
            3 if bytes.starts_with(&[0xe2, 0x80, 0xa8]) => (3, 6, *b"\\u2028"),
            3 if bytes.starts_with(&[0xe2, 0x80, 0xa9]) => (3, 6, *b"\\u2029"),
            length => {
                let mut text = [0; 6];
                text.iter_mut()
                    .zip(bytes)
                    .take(length)
                    .for_each(|(to, byte)| *to = *byte);
                (length, length, text)
            }
        },
        _ if is_plain(first) => (1, 1, [first, 0, 0, 0, 0, 0]),
        _ => {
            let (high, low) = (HEX[usize::from(first >> 4)], HEX[usize::from(first & 15)]);
            (1, 6, [b'\\', b'u', b'0', b'0', high, low])
        }
    }
}

const fn is_plain(byte: u8) -> bool {
    byte >= 0x20 && byte < 0x80 && !matches!(byte, b'"' | b'\\' | b'<' | b'>' | b'&')
}

/// A bit for bytes that are not plain, the lowest of them for the first of them. Those after it may
/// be told wrongly.
fn odd(bytes: &[u8; WORD]) -> u64 {
    const ONES: u64 = u64::MAX / 255;
    const HIGH: u64 = ONES * 0x80;
    let word = u64::from_le_bytes(*bytes);
    // The high bit of a byte is set in the difference when the byte is less than `than`.
    let less = |word: u64, than: u8| word.wrapping_sub(ONES * u64::from(than)) & !word;
    let is = |word: u64, byte: u8| less(word ^ (ONES * u64::from(byte)), 1);
    // One test finds both bytes of a pair that differs in one bit.
    let angles = is(word | (ONES * 0x02), b'>');
    let quotes = is(word | (ONES * 0x04), b'&');
    (word | less(word, 0x20) | angles | quotes | is(word, b'\\')) & HIGH
}

/// The length of the UTF-8 character that `bytes` begin with; 0 when there is none.
fn length(bytes: &[u8]) -> usize {
    for length in 2..=4 {
        let candidate = bytes.get(..length).unwrap_or_default();
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
        let mut out = vec![0; bytes.len() * 6 + WORD];
        let (mut at, mut end) = (0, 0);
        while at < bytes.len() {
            let (length, written) = escape(&bytes[at..], &mut out[end..]);
            (at, end) = (at + length, end + written);
        }
        out.truncate(end);
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
                let expected = if is_plain(byte) { None } else { Some(at) };
                let found = odd(&word);
                let found = (found != 0).then(|| found.trailing_zeros() as usize / 8);
                assert_eq!(found, expected, "{byte} at {at}");
            }
        }
        assert_eq!(
            escaped(b"0123456789abcdef\n0123456\"89"),
            "0123456789abcdef\\n0123456\\\"89"
        );
    }

    /// Bytes of which many need an escape, from a simple generator.
    fn mixed(seed: u64) -> Vec<u8> {
        const ODD: [&[u8]; 10] = [
            b"\"",
            b"\\",
            b"\x00",
            b"<",
            b"&",
            b"\xff",
            b"\xe2\x80\xa8",
            "é".as_bytes(),
            b"\xe2\x80",
            b"\t",
        ];
        let mut state = seed;
        let mut next = || {
            state = state
                .wrapping_mul(6364136223846793005)
                .wrapping_add(1442695040888963407);
            (state >> 33) as usize
        };
        let mut bytes = Vec::new();
        for _ in 0..next() % 40 {
            match next() % 3 {
                0 => bytes.extend_from_slice(ODD[next() % ODD.len()]),
                _ => bytes.extend((0..next() % 20).map(|n| b'a' + n as u8)),
            }
        }
        bytes
    }

    #[test]
    fn whatever_is_escaped_reads_back_as_text() {
        for seed in 0..2000 {
            let bytes = mixed(seed);
            let line = format!(
                "{{\"log\":\"{}\",\"stream\":\"stdout\",\"time\":\"2026-01-01T00:00:00Z\"}}",
                escaped(&bytes)
            );
            let record = decode(line.as_bytes()).unwrap();
            let text = String::from_utf8(record.text).unwrap();
            // Go's json and lossy conversion differ in how many U+FFFD stand for broken bytes.
            let plain = |text: &str| text.replace('\u{fffd}', "");
            assert_eq!(plain(&text), plain(&String::from_utf8_lossy(&bytes)));
        }
    }

    #[test]
    fn a_torn_local_record_is_none() {
        let whole = "1767323045.600000000 o 4 text";
        let line = decode(whole.as_bytes()).unwrap();
        assert_eq!(
            (line.text.as_slice(), line.time.as_str()),
            (&b"text\n"[..], "2026-01-02T03:04:05.6Z")
        );
        for length in 0..whole.len() {
            assert_eq!(decode(&whole.as_bytes()[..length]), None, "{length}");
        }
    }
}
