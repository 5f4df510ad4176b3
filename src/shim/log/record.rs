//! How a record looks in a log file: a line, in one of two formats.
//!
//! json-file is Docker's: `{"log":"text\n","stream":"stdout","time":"2026-01-02T03:04:05.6Z"}`,
//! before the time an object `attrs` where options ask for it.
//!
//! local is ours: `1767323045.600000000 o 4 text`, a third of the overhead. Seconds and nanoseconds
//! since 1970; `o` for stdout or `e` for stderr, in capitals when the line goes on in the next
//! record; the length of the text, by which a torn record is known; the text as it came.

use crate::json;
use crate::time::Time;
use crate::wire::container;
use crate::wire::stdcopy::Stream;
use std::collections::BTreeMap;

/// One record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    pub stream: Stream,
    /// RFC 3339.
    pub time: String,
    /// With its newline, unless it is a part of a longer line.
    pub text: Vec<u8>,
    /// What the options `labels`, `env` and `tag` add.
    pub attrs: BTreeMap<String, String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Format {
    /// With the `attrs` of every record.
    Json(BTreeMap<String, String>),
    Local,
}

/// What stands around the texts of a chunk. They share one time: they came at once.
pub struct Frame {
    is_json: bool,
    /// Of a whole line and of a part of one.
    heads: [String; 2],
    tail: String,
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
                let head = "{\"log\":\"".to_string();
                let time = now.rfc3339();
                Frame {
                    is_json: true,
                    heads: [head.clone(), head],
                    tail: format!("\",\"stream\":\"{name}\",{attrs}\"time\":\"{time}\"}}\n"),
                }
            }
            Format::Local => {
                let letters = if is_stderr { ['e', 'E'] } else { ['o', 'O'] };
                let head = |letter| format!("{}.{:09} {letter} ", now.seconds, now.nanos);
                Frame {
                    is_json: false,
                    heads: letters.map(head),
                    tail: "\n".to_string(),
                }
            }
        }
    }

    /// Add the record of `piece`, a line with its newline or a part of one.
    pub fn encode(&self, piece: &[u8], out: &mut Vec<u8>) {
        let line = piece.strip_suffix(b"\n");
        let [whole, part] = &self.heads;
        let head = if line.is_some() { whole } else { part };
        out.extend_from_slice(head.as_bytes());
        if self.is_json {
            escape(piece, out);
        } else {
            let text = line.unwrap_or(piece);
            out.extend_from_slice(text.len().to_string().as_bytes());
            out.push(b' ');
            out.extend_from_slice(text);
        }
        out.extend_from_slice(self.tail.as_bytes());
    }
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
        attrs: BTreeMap::new(),
    })
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
