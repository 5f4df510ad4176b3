//! Frames of a multiplexed stream: how attach, exec and logs tell stdout from stderr without a
//! terminal (API, ContainerAttach: stream format).
//!
//! A frame is `[stream, 0, 0, 0, length (4 bytes, big-endian)]`, then `length` bytes.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    Stdin = 0,
    Stdout = 1,
    Stderr = 2,
}

pub const HEADER_BYTES: usize = 8;

pub fn header(stream: Stream, length: u32) -> [u8; HEADER_BYTES] {
    let [a, b, c, d] = length.to_be_bytes();
    [stream as u8, 0, 0, 0, a, b, c, d]
}

/// The stream and length of a frame; `None` for a stream that does not exist.
pub fn parse(header: [u8; HEADER_BYTES]) -> Option<(Stream, u32)> {
    let [stream, _, _, _, a, b, c, d] = header;
    let stream = match stream {
        0 => Stream::Stdin,
        1 => Stream::Stdout,
        2 => Stream::Stderr,
        _ => return None,
    };
    Some((stream, u32::from_be_bytes([a, b, c, d])))
}
