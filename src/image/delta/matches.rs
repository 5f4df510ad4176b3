//! What two files have in common, byte by byte.
//!
//! Some positions of the old file are known by a hash of the 16 bytes there. Wherever the new one has
//! the same 16 bytes, the match is followed both ways for as long as more is the same than not: in a
//! program that was built again, the code is where it was and the addresses in it have changed (that
//! is bsdiff's idea; a table in place of its suffix array takes a twentieth of the memory).

/// Bytes that must be the same to begin with.
const SEED_BYTES: usize = 16;

/// Shorter matches are not worth an instruction.
const MATCH_BYTES_MIN: usize = 24;

/// Most positions that are known: four bytes each.
const POSITIONS_MAX: usize = 1 << 20;

/// A match is given up once it has been so much worse than at its best.
const PATIENCE: i64 = 64;

pub struct Matches {
    old: Vec<u8>,
    /// Positions, one above; 0 is none.
    table: Vec<u32>,
}

/// So many bytes at `new` are more or less those at `old`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Match {
    pub new: usize,
    pub old: usize,
    pub length: usize,
}

impl Matches {
    pub fn new(old: Vec<u8>) -> Matches {
        let size = (old.len() / 2).next_power_of_two().min(POSITIONS_MAX);
        let mut matches = Matches {
            table: vec![0; size.max(1)],
            old,
        };
        let step = (matches.old.len() / size.max(1) * 2).max(4);
        // The first of several: the last one stays, so go backwards.
        let positions = (0..matches.old.len()).step_by(step).rev();
        for at in positions {
            if let Some(seed) = seed(&matches.old, at)
                && let Some(slot) = matches.slot(seed)
                && let Some(place) = matches.table.get_mut(slot)
            {
                *place = at as u32 + 1;
            }
        }
        matches
    }

    pub fn old(&self) -> &[u8] {
        &self.old
    }

    /// All matches of `new`, in its order; no two overlap there.
    pub fn find(&self, new: &[u8]) -> Vec<Match> {
        let mut found: Vec<Match> = Vec::new();
        // Up to where `new` is matched, and how far the last match lies from there.
        let (mut end, mut follows) = (0, None::<usize>);
        let mut at = 0;
        while let Some(seed) = seed(new, at) {
            // Behind something that was replaced, what comes is often where it was.
            let on = follows.map(|old| old + (at - end));
            let is_it = |old: &usize| self::seed(&self.old, *old) == Some(seed);
            let Some(old) = on.filter(is_it).or_else(|| self.known(seed).filter(is_it)) else {
                at += 1;
                continue;
            };
            let back = extent(
                new.get(end..at).unwrap_or_default().iter().rev(),
                self.old.get(..old).unwrap_or_default().iter().rev(),
            );
            let on = extent(
                new.get(at..).unwrap_or_default().iter(),
                self.old.get(old..).unwrap_or_default().iter(),
            );
            if back + on < MATCH_BYTES_MIN {
                at += 1;
                continue;
            }
            found.push(Match {
                new: at - back,
                old: old - back,
                length: back + on,
            });
            at += on;
            (end, follows) = (at, Some(old + on));
        }
        found
    }

    fn known(&self, seed: &[u8; SEED_BYTES]) -> Option<usize> {
        let place = *self.table.get(self.slot(seed)?)?;
        (place as usize).checked_sub(1)
    }

    /// None for what says nothing: the same byte all through.
    fn slot(&self, seed: &[u8; SEED_BYTES]) -> Option<usize> {
        let value = u128::from_le_bytes(*seed);
        if value == value.rotate_left(8) {
            return None;
        }
        let (low, high) = (value as u64, (value >> 64) as u64);
        let mixed =
            (low.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ high).wrapping_mul(0xc2b2_ae3d_27d4_eb4f);
        Some((mixed >> 40) as usize & (self.table.len() - 1))
    }
}

fn seed(bytes: &[u8], at: usize) -> Option<&[u8; SEED_BYTES]> {
    bytes.get(at..)?.first_chunk()
}

/// How far two runs of bytes are worth taking for the same.
fn extent<'a>(new: impl Iterator<Item = &'a u8>, old: impl Iterator<Item = &'a u8>) -> usize {
    let (mut score, mut best, mut extent) = (0i64, 0i64, 0);
    for (length, (new, old)) in new.zip(old).enumerate() {
        score += if new == old { 1 } else { -1 };
        if score > best {
            (best, extent) = (score, length + 1);
        } else if score + PATIENCE < best {
            break;
        }
    }
    extent
}
