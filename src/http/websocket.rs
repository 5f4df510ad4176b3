//! Websockets (RFC 6455), the server's side: a stream of bytes in frames.

use crate::error::{Error, Result};
use crate::http::head::Headers;
use crate::http::pump::{Codec, Heard, Lines};
use crate::http::sha1;

/// What the server adds to a client's key (section 1.3).
const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

const FIN: u8 = 0x80;
const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

/// Why a connection is closed (section 7.4.1).
const NORMAL: u16 = 1000;
const PROTOCOL_ERROR: u16 = 1002;

/// Of a frame that is in control (section 5.5).
const CONTROL_BYTES_MAX: u64 = 125;

/// The `Sec-WebSocket-Accept` for a request that asks for a websocket.
pub fn accept(headers: &Headers) -> Result<String> {
    let is_asked =
        headers.has_token("connection", "upgrade") && headers.has_token("upgrade", "websocket");
    if !is_asked {
        return Err(Error::invalid(
            "not a websocket handshake: it needs Upgrade: websocket",
        ));
    }
    if headers.get("sec-websocket-version") != Some("13") {
        return Err(Error::invalid(
            "missing or bad WebSocket Version: 13 is needed",
        ));
    }
    let key = headers.get("sec-websocket-key").unwrap_or_default();
    // 16 bytes in base64.
    if key.len() != 24 || !key.ends_with("==") {
        return Err(Error::invalid("bad Sec-WebSocket-Key"));
    }
    Ok(base64(&sha1::digest(format!("{key}{GUID}").as_bytes())))
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let bits = (0..3).fold(0u32, |bits, at| {
            bits << 8 | u32::from(three.get(at).copied().unwrap_or(0))
        });
        for digit in 0..4 {
            let value = bits >> (18 - 6 * digit) & 63;
            text.push(match digit <= three.len() {
                true => char::from(DIGITS[value as usize]),
                false => '=',
            });
        }
    }
    text
}

/// The frames of one connection. What they carry is passed on as it comes, so their size does not
/// matter.
pub struct Frames {
    /// Of what we send.
    kind: u8,
    /// What our side says has frames of its own (`wire::stdcopy`), whose headers are left out.
    strip: Option<Strip>,
    state: State,
    /// A message of several frames is on its way.
    is_fragmented: bool,
    /// Of a frame in control, whose bytes are for us.
    control: Vec<u8>,
    has_closed: bool,
}

enum State {
    /// The bytes of a header so far.
    Header(Vec<u8>),
    Payload {
        opcode: u8,
        left: u64,
        mask: [u8; 4],
        at: usize,
    },
}

/// Leaves the headers out of a stream of frames: 8 bytes, the last four of them the length.
#[derive(Default)]
struct Strip {
    header: Vec<u8>,
    left: u32,
}

impl Strip {
    fn pass(&mut self, mut bytes: &[u8]) -> Vec<u8> {
        let mut kept = Vec::with_capacity(bytes.len());
        while !bytes.is_empty() {
            if self.left == 0 {
                let (header, rest) = bytes.split_at(bytes.len().min(8 - self.header.len()));
                self.header.extend_from_slice(header);
                bytes = rest;
                if let [_, _, _, _, a, b, c, d] = self.header[..] {
                    self.left = u32::from_be_bytes([a, b, c, d]);
                    self.header.clear();
                }
                continue;
            }
            let (payload, rest) = bytes.split_at(bytes.len().min(self.left as usize));
            kept.extend_from_slice(payload);
            self.left -= payload.len() as u32;
            bytes = rest;
        }
        kept
    }
}

impl Frames {
    pub fn new(is_binary: bool, is_multiplexed: bool) -> Frames {
        Frames {
            kind: if is_binary { BINARY } else { TEXT },
            strip: is_multiplexed.then(Strip::default),
            state: State::Header(Vec::new()),
            is_fragmented: false,
            control: Vec::new(),
            has_closed: false,
        }
    }

    fn send(&mut self, opcode: u8, payload: &[u8], outer: &mut Vec<u8>) {
        // Behind a close nothing may follow (section 5.5.1).
        if self.has_closed {
            return;
        }
        self.has_closed = opcode == CLOSE;
        outer.push(FIN | opcode);
        match payload.len() {
            length @ 0..126 => outer.push(length as u8),
            length @ 126..=0xffff => {
                outer.push(126);
                outer.extend_from_slice(&(length as u16).to_be_bytes());
            }
            length => {
                outer.push(127);
                outer.extend_from_slice(&(length as u64).to_be_bytes());
            }
        }
        outer.extend_from_slice(payload);
    }

    /// Take the next piece of `bytes`; answers the rest.
    fn step<'a>(&mut self, bytes: &'a [u8], lines: &mut Lines) -> Result<(&'a [u8], Heard)> {
        let (opcode, mask) = match &mut self.state {
            State::Header(header) => {
                let (first, rest) = bytes.split_at(1);
                header.extend_from_slice(first);
                let Some(frame) = header_of(header)? else {
                    return Ok((rest, Heard::More));
                };
                self.begin(&frame)?;
                let State::Payload {
                    opcode, left: 0, ..
                } = frame
                else {
                    self.state = frame;
                    return Ok((rest, Heard::More));
                };
                self.state = State::Header(Vec::new());
                return Ok((rest, self.end_frame(opcode, lines)));
            }
            State::Payload { opcode, mask, .. } => (*opcode, *mask),
        };
        let State::Payload { left, at, .. } = &mut self.state else {
            return Ok((bytes, Heard::More));
        };
        let count = usize::try_from(*left).map_or(bytes.len(), |left| left.min(bytes.len()));
        let (payload, rest) = bytes.split_at(count);
        let target = match opcode & 0x0f >= CLOSE {
            true => &mut self.control,
            false => &mut lines.inner,
        };
        for byte in payload {
            target.push(byte ^ mask[*at % 4]);
            *at += 1;
        }
        *left -= count as u64;
        if *left > 0 {
            return Ok((rest, Heard::More));
        }
        self.state = State::Header(Vec::new());
        Ok((rest, self.end_frame(opcode, lines)))
    }

    /// Whether a frame may come now (section 5.4).
    fn begin(&mut self, frame: &State) -> Result<()> {
        let State::Payload { opcode, left, .. } = frame else {
            return Ok(());
        };
        let is_final = opcode & FIN != 0;
        match opcode & 0x0f {
            0 if !self.is_fragmented => Err(bad("a continuation of nothing")),
            TEXT | BINARY if self.is_fragmented => Err(bad("a message within a message")),
            0..=BINARY => {
                self.is_fragmented = !is_final;
                Ok(())
            }
            CLOSE..=PONG if !is_final || *left > CONTROL_BYTES_MAX => {
                Err(bad("a control frame that is too long"))
            }
            CLOSE..=PONG => Ok(()),
            _ => Err(bad("an unknown opcode")),
        }
    }

    fn end_frame(&mut self, opcode: u8, lines: &mut Lines) -> Heard {
        let payload = std::mem::take(&mut self.control);
        match opcode & 0x0f {
            PING => self.send(PONG, &payload, &mut lines.outer),
            CLOSE => {
                // The same code goes back (section 5.5.1).
                self.send(
                    CLOSE,
                    payload.get(..2).unwrap_or_default(),
                    &mut lines.outer,
                );
                return Heard::Over;
            }
            _ => {}
        }
        Heard::More
    }
}

fn bad(what: &str) -> Error {
    Error::invalid(format!("malformed websocket message: {what}"))
}

/// The frame that a header announces, with its FIN bit; `None` while bytes of it are missing.
fn header_of(header: &[u8]) -> Result<Option<State>> {
    let [first, second, rest @ ..] = header else {
        return Ok(None);
    };
    if first & 0x70 != 0 {
        return Err(bad("a reserved bit"));
    }
    if second & 0x80 == 0 {
        return Err(bad("a frame without mask"));
    }
    let (left, mask) = match (second & 0x7f, rest) {
        (126, [a, b, mask @ ..]) => (u64::from(u16::from_be_bytes([*a, *b])), mask),
        (127, [a, b, c, d, e, f, g, h, mask @ ..]) => {
            (u64::from_be_bytes([*a, *b, *c, *d, *e, *f, *g, *h]), mask)
        }
        (126 | 127, _) => return Ok(None),
        (length, mask) => (u64::from(length), mask),
    };
    if left > i64::MAX as u64 {
        return Err(bad("a length beyond 63 bits"));
    }
    let Ok(mask) = mask.try_into() else {
        return Ok(None);
    };
    Ok(Some(State::Payload {
        opcode: *first,
        left,
        mask,
        at: 0,
    }))
}

impl Codec for Frames {
    fn hear(&mut self, mut bytes: &[u8], lines: &mut Lines) -> Result<Heard> {
        while !bytes.is_empty() {
            match self.step(bytes, lines) {
                Ok((rest, Heard::More)) => bytes = rest,
                Ok((_, end)) => return Ok(end),
                Err(error) => {
                    self.send(CLOSE, &PROTOCOL_ERROR.to_be_bytes(), &mut lines.outer);
                    return Err(error);
                }
            }
        }
        Ok(Heard::More)
    }

    fn tell(&mut self, bytes: &[u8], lines: &mut Lines) -> Result<()> {
        let stripped = self.strip.as_mut().map(|strip| strip.pass(bytes));
        let payload = stripped.as_deref().unwrap_or(bytes);
        if !payload.is_empty() {
            self.send(self.kind, payload, &mut lines.outer);
        }
        Ok(())
    }

    fn end(&mut self, lines: &mut Lines) {
        self.send(CLOSE, &NORMAL.to_be_bytes(), &mut lines.outer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_is_answered_as_the_standard_does() {
        let head = b"GET / HTTP/1.1\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\
                     Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
        let (_, headers) = crate::http::head::split(head).unwrap();
        assert_eq!(accept(&headers).unwrap(), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        for (from, to) in [("websocket", "tcp"), (": 13", ": 8"), ("dGhl", "")] {
            let text = String::from_utf8_lossy(head).replace(from, to);
            let (_, headers) = crate::http::head::split(text.as_bytes()).unwrap();
            assert!(accept(&headers).is_err(), "{text}");
        }
        assert_eq!(base64(b"a"), "YQ==");
        assert_eq!(base64(b"ab"), "YWI=");
    }

    /// A client's frame.
    fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
        let mut frame = vec![first];
        match payload.len() {
            length @ 0..126 => frame.push(0x80 | length as u8),
            length => {
                frame.push(0x80 | 126);
                frame.extend_from_slice(&(length as u16).to_be_bytes());
            }
        }
        let mask = [1, 2, 3, 4];
        frame.extend_from_slice(&mask);
        frame.extend(
            payload
                .iter()
                .enumerate()
                .map(|(at, byte)| byte ^ mask[at % 4]),
        );
        frame
    }

    /// What `bytes` come to when they arrive in pieces of `size`.
    fn heard(bytes: &[u8], size: usize) -> (Result<Heard>, Lines) {
        let mut frames = Frames::new(true, false);
        let mut lines = Lines::default();
        for piece in bytes.chunks(size) {
            match frames.hear(piece, &mut lines) {
                Ok(Heard::More) => {}
                other => return (other, lines),
            }
        }
        (Ok(Heard::More), lines)
    }

    #[test]
    fn frames_are_put_together_however_they_are_cut() {
        let long = vec![b'x'; 300];
        let bytes = [
            frame(FIN | TEXT, b"one "),
            frame(BINARY, b"tw"),
            frame(FIN | PING, b"hello"),
            frame(0, b""),
            frame(FIN, b"o "),
            frame(FIN | PONG, b"ignored"),
            frame(FIN | BINARY, &long),
            frame(FIN | CLOSE, &[3, 232, b'b', b'y', b'e']),
        ]
        .concat();
        for size in [1, 2, 3, 7, 100, 10_000] {
            let (end, lines) = heard(&bytes, size);
            assert_eq!(end.unwrap(), Heard::Over, "{size}");
            assert_eq!(
                lines.inner,
                [b"one two ".to_vec(), long.clone()].concat(),
                "{size}"
            );
            assert_eq!(lines.outer, b"\x8a\x05hello\x88\x02\x03\xe8", "{size}");
        }
    }

    #[test]
    fn what_the_standard_forbids_closes_the_connection() {
        let mut unmasked = frame(FIN | TEXT, b"x");
        unmasked[1] &= 0x7f;
        for bytes in [
            unmasked,
            frame(FIN | 0x40 | TEXT, b"x"),
            frame(FIN | 3, b"x"),
            frame(FIN, b"continues nothing"),
            [frame(TEXT, b"a"), frame(FIN | TEXT, b"b")].concat(),
            frame(PING, b"not final"),
            frame(FIN | PING, &[0; 126]),
            b"\x82\xff\x80\0\0\0\0\0\0\0".to_vec(),
        ] {
            let (end, lines) = heard(&bytes, 5);
            assert!(end.is_err(), "{bytes:?}");
            assert_eq!(lines.outer, b"\x88\x02\x03\xea", "{bytes:?}");
        }
    }

    #[test]
    fn what_we_say_is_framed_and_its_own_frames_are_left_out() {
        let mut lines = Lines::default();
        let mut frames = Frames::new(true, true);
        let bytes = b"\x01\0\0\0\0\0\0\x03abc\x02\0\0\0\0\0\0\x02de";
        for byte in bytes {
            frames.tell(&[*byte], &mut lines).unwrap();
        }
        assert_eq!(
            lines.outer,
            b"\x82\x01a\x82\x01b\x82\x01c\x82\x01d\x82\x01e"
        );

        let mut lines = Lines::default();
        let mut frames = Frames::new(false, false);
        frames.tell(&[b'x'; 200], &mut lines).unwrap();
        frames.tell(&vec![b'x'; 70_000], &mut lines).unwrap();
        assert_eq!(lines.outer[..4], [0x81, 126, 0, 200]);
        assert_eq!(
            lines.outer[204..214],
            [0x81, 127, 0, 0, 0, 0, 0, 1, 0x11, 0x70]
        );
        let mut end = Lines::default();
        frames.end(&mut end);
        frames.tell(b"no more", &mut end).unwrap();
        assert_eq!(end.outer, b"\x88\x02\x03\xe8");
    }
}
