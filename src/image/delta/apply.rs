//! Makes a layer's archive out of a delta and the layers that it was made from.

use super::base::Base;
use super::{ADD, CHUNK_BYTES, COPY, DATA, Head};
use crate::error::{Error, Result};
use crate::id;
use crate::image::rebuild::inflate_whole;
use crate::image::save::Stored;
use crate::image::source::{Mark, Restart, Source, Stream, bad, failed, truncated};
use crate::image::{Images, layer};
use miniz_oxide::DataFormat;
use miniz_oxide::inflate::stream::InflateState;
use std::io;
use std::sync::Arc;

/// A few bytes of a delta could have us look here and there for hours. One that we have made never
/// looks for less than so many bytes at a time.
const SEARCH_BYTES: u64 = 16;
const SEARCHES: u64 = 10_000;

/// The new layer's archive; reading makes it.
pub struct Apply<'a, 'b> {
    from: &'a mut Source<'b>,
    head: Head,
    base: Base,
    base_bytes: u64,
    state: Box<InflateState>,
    packed: Vec<u8>,
    chunk: Vec<u8>,
    /// How much of the chunk is taken.
    start: usize,
    kind: u64,
    /// Bytes of the instruction that are yet to be made.
    left: u64,
    /// Where in the old archives the instruction stands.
    at: u64,
    /// Bytes made so far.
    made: u64,
    /// Where the chunk begins.
    restart: Arc<Restart>,
}

/// What a delta that begins at `from` says of itself, without taking it.
pub fn head(from: &mut Source<'_>) -> Result<Head> {
    let failed = |e: io::Error| failed("read delta", &e);
    let length = Head::bytes(from.peek(64).map_err(failed)?);
    let begin = from.peek(length.unwrap_or(0)).map_err(failed)?;
    Head::decode(begin).ok_or_else(|| Error::invalid("this is no delta that this version reads"))
}

impl<'a, 'b> Apply<'a, 'b> {
    /// `from` begins with a delta; or, after `restart`, with one of its chunks.
    pub fn new(
        from: &'a mut Source<'b>,
        restart: &Restart,
        images: &Images,
    ) -> Result<Apply<'a, 'b>> {
        let head = match Head::decode(&restart.state) {
            Some(head) => head,
            None => {
                let head = head(from)?;
                from.consume(head.encode().len());
                head
            }
        };
        let stored = stored(&head, images)?;
        let Some(base_bytes) = head.base_bytes() else {
            return Err(Error::invalid("delta: its base has no such length"));
        };
        Ok(Apply {
            base: Base::new(&stored),
            base_bytes,
            state: InflateState::new_boxed(DataFormat::Raw),
            packed: Vec::new(),
            chunk: Vec::new(),
            start: 0,
            kind: DATA,
            left: 0,
            at: 0,
            made: restart.output,
            restart: Arc::new(Restart {
                input: from.taken(),
                output: restart.output,
                state: head.encode(),
            }),
            head,
            from,
        })
    }

    /// Begin with the next chunk; false at the end.
    fn next_chunk(&mut self) -> io::Result<bool> {
        let input = self.from.taken();
        let begin = self.from.peek(8)?;
        if begin.is_empty() {
            return Ok(false);
        }
        let sizes = begin.first_chunk::<8>().ok_or_else(truncated)?;
        let [packed, length] = [
            [sizes[0], sizes[1], sizes[2], sizes[3]],
            [sizes[4], sizes[5], sizes[6], sizes[7]],
        ]
        .map(|bytes| u32::from_le_bytes(bytes) as usize);
        if packed > 2 * CHUNK_BYTES || length > CHUNK_BYTES || length == 0 {
            return Err(corrupt());
        }
        self.restart = Arc::new(Restart {
            input,
            output: self.made,
            state: self.head.encode(),
        });
        self.from.consume(8);
        self.packed.resize(packed, 0);
        self.from.read_all(&mut self.packed)?;
        self.chunk.resize(length, 0);
        self.start = 0;
        self.at = 0;
        match inflate_whole(&mut self.state, &self.packed, &mut self.chunk) {
            true => Ok(true),
            false => Err(corrupt()),
        }
    }

    /// The next instruction; false at the end.
    fn next(&mut self) -> io::Result<bool> {
        if self.start == self.chunk.len() && !self.next_chunk()? {
            return match self.made == self.head.length {
                true => Ok(false),
                false => Err(truncated()),
            };
        }
        let word = self.varint()?;
        (self.kind, self.left) = (word & 3, word >> 2);
        if self.left == 0 || self.left > self.head.length.saturating_sub(self.made) {
            return Err(corrupt());
        }
        if self.kind != DATA {
            let step = self.varint()?;
            let step = (step >> 1) as i64 ^ -((step & 1) as i64);
            self.at = self.at.wrapping_add_signed(step);
            let end = self.at.checked_add(self.left);
            if end.is_none_or(|end| end > self.base_bytes) {
                return Err(bad("delta: it refers to what is outside of its base"));
            }
        }
        let there = self.chunk.len() - self.start;
        match self.kind {
            COPY => Ok(true),
            DATA | ADD if self.left <= there as u64 => Ok(true),
            _ => Err(corrupt()),
        }
    }

    fn varint(&mut self) -> io::Result<u64> {
        let mut value = 0;
        for shift in (0..63).step_by(7) {
            let byte = *self.chunk.get(self.start).ok_or_else(corrupt)?;
            self.start += 1;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(corrupt())
    }
}

impl Stream for Apply<'_, '_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if into.is_empty() || self.left == 0 && !self.next()? {
            return Ok(0);
        }
        let want = usize::try_from(self.left).map_or(into.len(), |left| left.min(into.len()));
        let mut into = into.get_mut(..want).unwrap_or_default();
        if self.kind != DATA {
            let count = self.base.read(self.at, into)?;
            into = into.get_mut(..count).unwrap_or_default();
            self.at += count as u64;
            if self.base.searches > SEARCHES + self.made / SEARCH_BYTES {
                return Err(bad("delta: it refers here and there too often"));
            }
        }
        if self.kind != COPY {
            let bytes = self.chunk.get(self.start..).unwrap_or_default();
            match self.kind {
                ADD => {
                    let pairs = into.iter_mut().zip(bytes);
                    pairs.for_each(|(old, add)| *old = old.wrapping_add(*add));
                }
                _ => {
                    let pairs = into.iter_mut().zip(bytes);
                    pairs.for_each(|(to, byte)| *to = *byte);
                }
            }
            self.start += into.len();
        }
        let count = into.len();
        self.left -= count as u64;
        self.made += count as u64;
        Ok(count)
    }

    fn mark(&self, mark: &mut Mark) {
        self.from.mark(mark);
        mark.restart = Some(Arc::clone(&self.restart));
    }
}

fn corrupt() -> io::Error {
    bad("delta: corrupt data")
}

/// The layers that a delta wants.
fn stored(head: &Head, images: &Images) -> Result<Vec<Stored>> {
    let layers = head.layers.iter().map(|(diff, size)| {
        let place = images.layers_with(diff).ok_or_else(|| {
            Error::invalid(format!(
                "the delta is for a device that has the image it was made from: layer sha256:{} is not here; get the whole image",
                id::short(diff)
            ))
        })?;
        // One of an older version does not say, and has no index either.
        let known = layer::read(&place, diff).and_then(|record| record.archive);
        if known.is_some_and(|known| known != *size) {
            return Err(Error::invalid("delta: its base is not of the length that it has here"));
        }
        Ok(Stored {
            place,
            diff: diff.clone(),
            size: *size,
        })
    });
    layers.collect()
}
