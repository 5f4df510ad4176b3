//! Reads zstd (RFC 8878): any number of frames, checks included; skippable frames are skipped.
//!
//! A frame says how far back it refers, and that much of it is kept in memory: one that wants more
//! than 64 MiB is refused, however small it is. `zstd -19` takes 8 MiB, `--long` 128.

use crate::image::source::{Mark, Restart, Source, Stream, bad, truncated};
use ruzstd::decoding::errors::{FrameDecoderError, FrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};
use std::io::{self, Read};
use std::sync::Arc;

const WINDOW_BYTES_MAX: u64 = 64 << 20;

pub struct Zstd<'a, 'b> {
    from: Feed<'a, 'b>,
    decoder: FrameDecoder,
    is_in_frame: bool,
    /// Bytes that were read from us.
    read: u64,
    /// Where the frame begins.
    restart: Option<Arc<Restart>>,
}

/// What the decoder reads from. Its own errors do not tell what went wrong here.
struct Feed<'a, 'b> {
    source: &'a mut Source<'b>,
    has_ended: bool,
    failure: Option<io::Error>,
}

impl<'a, 'b> Zstd<'a, 'b> {
    pub fn new(source: &'a mut Source<'b>) -> Zstd<'a, 'b> {
        Zstd::resume(source, 0)
    }

    /// Go on with a frame, after others of which `read` bytes came.
    pub fn resume(source: &'a mut Source<'b>, read: u64) -> Zstd<'a, 'b> {
        let mut decoder = FrameDecoder::new();
        decoder.set_max_window_size(WINDOW_BYTES_MAX);
        Zstd {
            from: Feed {
                source,
                has_ended: false,
                failure: None,
            },
            decoder,
            is_in_frame: false,
            read,
            restart: None,
        }
    }

    /// Begin the next frame; false at the end of the stream.
    fn begin(&mut self) -> io::Result<bool> {
        loop {
            match self.from.source.peek(8)? {
                [] => return Ok(false),
                [0x28, 0xb5, 0x2f, 0xfd, ..] => break,
                &[0x50..=0x5f, 0x2a, 0x4d, 0x18, a, b, c, d, ..] => {
                    self.from.source.consume(8);
                    self.skip(u32::from_le_bytes([a, b, c, d]))?;
                }
                there if there.len() < 4 => return Err(truncated()),
                _ => return Err(bad("zstd: data behind the end of the stream")),
            }
        }
        self.restart = Some(Arc::new(Restart {
            input: self.from.source.taken(),
            output: self.read,
            state: Vec::new(),
        }));
        let begun = self.decoder.reset(&mut self.from);
        begun.map_err(|e| self.from.error(&e))?;
        self.is_in_frame = true;
        Ok(true)
    }

    fn skip(&mut self, length: u32) -> io::Result<()> {
        let mut left = length as usize;
        while left > 0 {
            let count = self.from.source.peek(1)?.len().min(left);
            if count == 0 {
                return Err(truncated());
            }
            self.from.source.consume(count);
            left -= count;
        }
        Ok(())
    }

    /// All of the frame has been read: check it against its last bytes, if it has such.
    fn end(&mut self) -> io::Result<()> {
        let expected = self.decoder.get_checksum_from_data();
        if expected.is_some() && expected != self.decoder.get_calculated_checksum() {
            return Err(bad("zstd: checksum error"));
        }
        self.is_in_frame = false;
        Ok(())
    }
}

impl Stream for Zstd<'_, '_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if into.is_empty() {
            return Ok(0);
        }
        loop {
            if !self.is_in_frame && !self.begin()? {
                return Ok(0);
            }
            match self.decoder.read(into)? {
                0 if self.decoder.is_finished() => self.end()?,
                0 => {
                    let block = BlockDecodingStrategy::UptoBlocks(1);
                    let decoded = self.decoder.decode_blocks(&mut self.from, block);
                    decoded.map_err(|e| self.from.error(&e))?;
                }
                count => {
                    self.read += count as u64;
                    return Ok(count);
                }
            }
        }
    }

    fn mark(&self, mark: &mut Mark) {
        self.from.source.mark(mark);
        mark.restart.clone_from(&self.restart);
    }
}

impl Feed<'_, '_> {
    fn error(&mut self, error: &FrameDecoderError) -> io::Error {
        if let Some(failure) = self.failure.take() {
            return failure;
        }
        match error {
            FrameDecoderError::WindowSizeTooBig { .. }
            | FrameDecoderError::FrameHeaderError(FrameHeaderError::WindowTooBig { .. }) => bad(
                "zstd: unpacking it takes more than 64 MiB of memory: compress it with a smaller window",
            ),
            _ if self.has_ended => truncated(),
            _ => bad("zstd: corrupt data"),
        }
    }
}

impl Read for Feed<'_, '_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let outcome = self.source.read(into);
        match outcome {
            Ok(0) if !into.is_empty() => self.has_ended = true,
            Ok(_) => {}
            Err(error) => {
                self.failure = Some(error);
                return Err(io::ErrorKind::Other.into());
            }
        }
        outcome
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::image::gzip::tests::{piped, sample};
    use crate::image::source::Input;

    /// Made by the machine's own zstd. Empty, and said so, where there is none.
    pub fn zstd(options: &[&str], data: &[u8]) -> Vec<u8> {
        let options = [&["-q", "-c"], options].concat();
        piped("zstd", &options, data)
    }

    fn has_zstd(test: &str) -> bool {
        let is_there = !zstd(&[], b"").is_empty();
        if !is_there {
            println!("skip: {test}: there is no zstd here");
        }
        is_there
    }

    fn unzstd(mut data: &[u8]) -> io::Result<Vec<u8>> {
        let mut input = Input(&mut data);
        let mut source = Source::new(&mut input);
        let mut zstd = Zstd::new(&mut source);
        let mut out = Vec::new();
        let mut buffer = [0; 5000];
        loop {
            match zstd.read(&mut buffer)? {
                0 => return Ok(out),
                count => out.extend(&buffer[..count]),
            }
        }
    }

    fn skippable(length: usize) -> Vec<u8> {
        let size = (length as u32).to_le_bytes();
        [&[0x5a, 0x2a, 0x4d, 0x18], &size[..], &vec![7; length]].concat()
    }

    #[test]
    fn what_zstd_packs_comes_out_again() {
        if !has_zstd("what_zstd_packs_comes_out_again") {
            return;
        }
        for options in [&["-1"][..], &["-19"], &["--no-check"], &["--long=26"]] {
            for length in [0, 1, 100, 65_536, 300_001] {
                let data = sample(length);
                assert_eq!(unzstd(&zstd(options, &data)).unwrap(), data, "{length}");
            }
        }
        let zeros = vec![0; 3 << 20];
        assert_eq!(unzstd(&zstd(&["-3"], &zeros)).unwrap(), zeros);
    }

    #[test]
    fn frames_follow_each_other_and_what_is_to_be_skipped_is() {
        if !has_zstd("frames_follow_each_other_and_what_is_to_be_skipped_is") {
            return;
        }
        let (one, two) = (sample(70_000), sample(10));
        let mut packed = skippable(100_000);
        packed.extend(zstd(&[], &one));
        packed.extend(skippable(0));
        packed.extend(zstd(&[], b""));
        packed.extend(zstd(&["--no-check"], &two));
        packed.extend(skippable(9));
        assert_eq!(unzstd(&packed).unwrap(), [one, two].concat());
        packed.pop();
        let error = unzstd(&packed).unwrap_err();
        assert_eq!(error.to_string(), "unexpected end of archive");
        packed.extend(b"xyzzy");
        let error = unzstd(&packed).unwrap_err();
        assert_eq!(error.to_string(), "zstd: data behind the end of the stream");
    }

    #[test]
    fn a_zstd_stream_cut_anywhere_is_an_error() {
        let packed = zstd(&[], &sample(500));
        for length in 1..packed.len() {
            let error = unzstd(&packed[..length]).unwrap_err();
            assert_eq!(error.to_string(), "unexpected end of archive", "{length}");
        }
    }

    #[test]
    fn no_damage_to_a_zstd_stream_goes_unnoticed() {
        let good = zstd(&["-19"], &sample(5000));
        for at in 6..good.len() {
            for bit in 0..8 {
                let mut packed = good.clone();
                packed[at] ^= 1 << bit;
                // Some bits have no meaning.
                if let Ok(out) = unzstd(&packed) {
                    assert_eq!(out, sample(5000), "{at}");
                }
            }
        }
    }

    #[test]
    fn a_window_that_takes_too_much_memory_is_refused() {
        // Magic, no flags, a window of 2^(10 + exponent) bytes, an empty last block.
        let frame = |exponent: u8| [0x28, 0xb5, 0x2f, 0xfd, 0, exponent << 3, 1, 0, 0];
        assert_eq!(unzstd(&frame(16)).unwrap(), b"");
        for exponent in [17, 21, 31] {
            let error = unzstd(&frame(exponent)).unwrap_err().to_string();
            assert!(error.contains("more than 64 MiB of memory"), "{error}");
        }
        // The same said by a frame in one piece, of 2 GiB.
        let single = [0x28, 0xb5, 0x2f, 0xfd, 0xa0, 0, 0, 0, 0x80, 1, 0, 0];
        let error = unzstd(&single).unwrap_err().to_string();
        assert!(error.contains("more than 64 MiB of memory"), "{error}");
    }
}
