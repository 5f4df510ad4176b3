//! The archives of layers, one behind the other, to be read anywhere.
//!
//! None of them lies on the disk: a layer's index says what of it is in which file, and holds the
//! rest. Of each index is kept where its chunks begin, and of the last two layers that were read one
//! chunk each; so memory is a few hundred kilobytes, however large the layers are.

use crate::image::rebuild::{Place, Rebuild};
use crate::image::save::Stored;
use crate::image::source::{Stream, bad};
use std::io;

/// Layers that are open at once.
const OPEN_MAX: usize = 2;

pub struct Base {
    layers: Vec<Layer>,
    /// The last one that was read is the last.
    open: Vec<(usize, Rebuild)>,
    /// Where the last read has ended, and in which chunk of which layer.
    end: u64,
    chunk: (usize, usize),
    /// What has been looked for so far: a place in the chunk that is there counts 1, one in another
    /// chunk 8.
    pub searches: u64,
}

struct Layer {
    stored: Stored,
    /// Where it begins.
    start: u64,
    /// Empty: not looked for yet.
    places: Vec<Place>,
}

impl Base {
    pub fn new(stored: &[Stored]) -> Base {
        let mut start = 0;
        let layers = stored.iter().map(|stored| {
            let layer = Layer {
                stored: stored.clone(),
                start,
                places: Vec::new(),
            };
            start += stored.size;
            layer
        });
        Base {
            layers: layers.collect(),
            open: Vec::new(),
            end: u64::MAX,
            chunk: (0, 0),
            searches: 0,
        }
    }

    /// Some of the bytes at `at`.
    pub fn read(&mut self, at: u64, into: &mut [u8]) -> io::Result<usize> {
        let outside = || bad("delta: it refers to what is outside of its base");
        let number = self.layers.partition_point(|layer| layer.start <= at);
        let number = number.checked_sub(1).ok_or_else(outside)?;
        let rebuild = self.opened(number)?;
        let layer = self.layers.get(number).ok_or_else(outside)?;
        let within = at - layer.start;
        let left = layer.stored.size.saturating_sub(within);
        let want = usize::try_from(left).map_or(into.len(), |left| left.min(into.len()));

        let after = layer.places.partition_point(|p| p.archive <= within);
        let place = after.checked_sub(1).and_then(|at| layer.places.get(at));
        let place = *place.ok_or_else(outside)?;
        if self.end != at {
            let is_there = self.chunk == (number, after);
            self.searches += if is_there { 1 } else { 8 };
        }
        let (_, rebuild) = self.open.get_mut(rebuild).ok_or_else(outside)?;
        rebuild.go_to(place, within)?;
        match rebuild.read(into.get_mut(..want).unwrap_or_default())? {
            0 => Err(outside()),
            count => {
                self.end = at + count as u64;
                self.chunk = (number, after);
                Ok(count)
            }
        }
    }

    /// All of `into`.
    pub fn fill(&mut self, mut at: u64, into: &mut [u8]) -> io::Result<()> {
        let mut filled = 0;
        while filled < into.len() {
            let count = self.read(at, into.get_mut(filled..).unwrap_or_default())?;
            at += count as u64;
            filled += count;
        }
        Ok(())
    }

    /// Which of the open ones the layer is.
    fn opened(&mut self, number: usize) -> io::Result<usize> {
        if let Some(at) = self.open.iter().position(|(known, _)| *known == number) {
            let open = self.open.remove(at);
            self.open.push(open);
        } else {
            if self.open.len() == OPEN_MAX {
                self.open.remove(0);
            }
            let Some(layer) = self.layers.get_mut(number) else {
                return Err(bad("delta: it refers to what is outside of its base"));
            };
            let stored = &layer.stored;
            let opened = Rebuild::scattered(&stored.place, &stored.diff);
            let mut rebuild = opened.map_err(io::Error::other)?;
            if layer.places.is_empty() {
                layer.places = rebuild.places()?;
            }
            self.open.push((number, rebuild));
        }
        Ok(self.open.len() - 1)
    }
}
