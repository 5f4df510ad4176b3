//! Deltas: what makes a new image out of an old one, in place of its layers.
//!
//! ```text
//! blob:   "tug delta 1\n" | diff id of the new layer (32) | bytes of its archive (u64)
//!         | number of layers (u16) | diff id (32), bytes of its archive (u64), for each of the old
//!         image's layers, lowest first
//! chunk:  length packed (u32) | length (u32) | instructions, deflated     each chunk by itself
//! instruction:  length << 2 | kind                                        a varint
//!         kind 0: so many bytes follow
//!         kind 1: so many bytes of the old archives    offset, as a difference (zigzag varint)
//!         kind 2: the same, and so many bytes follow that are to be added, byte by byte
//! ```
//!
//! Offsets count through the old layers' archives (not compressed), one behind the other, and each
//! is told as the difference to where the last one ended; in each chunk the first one counts from 0.
//! So an archive can be gone on with at any chunk. What comes out is an archive like any other: it is
//! unpacked while it is made, and its digest must be the new layer's before anybody sees it. So
//! neither a delta nor an old layer on a disk that rots need be trusted.
//!
//! One blob for each layer that the old image lacks, and an OCI artifact that holds them together
//! (`artifact`): its subject is the new image's manifest, so a registry tells of it to whoever pulls
//! that (`choose`).

pub mod apply;
pub mod artifact;
mod base;
pub mod choose;
mod load;
pub mod make;
mod matches;
mod write;

use crate::id;
use crate::image::load::LAYERS_MAX;

pub const MAGIC: &[u8] = b"tug delta 1\n";

/// The most that one chunk holds, not packed.
const CHUNK_BYTES: usize = 128 << 10;

/// Kinds of instructions.
const DATA: u64 = 0;
const COPY: u64 = 1;
const ADD: u64 = 2;

/// What stands in front.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// Digits of the new layer's diff id.
    pub diff: String,
    /// Bytes of its archive.
    pub length: u64,
    /// Digits of the old layers' diff ids, and bytes of their archives.
    pub layers: Vec<(String, u64)>,
}

const FIXED_BYTES: usize = MAGIC.len() + 32 + 8 + 2;
const LAYER_BYTES: usize = 32 + 8;

impl Head {
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        let entry = |bytes: &mut Vec<u8>, diff: &str, length: u64| {
            let byte = |pair: &[u8]| {
                let text = std::str::from_utf8(pair).unwrap_or_default();
                u8::from_str_radix(text, 16).unwrap_or(0)
            };
            bytes.extend(diff.as_bytes().chunks(2).map(byte));
            bytes.extend(length.to_le_bytes());
        };
        entry(&mut bytes, &self.diff, self.length);
        bytes.extend((self.layers.len() as u16).to_le_bytes());
        for (diff, length) in &self.layers {
            entry(&mut bytes, diff, *length);
        }
        bytes
    }

    /// How long a head is that begins so; none if it is no head.
    pub fn bytes(begin: &[u8]) -> Option<usize> {
        let fixed = begin.get(..FIXED_BYTES)?.strip_prefix(MAGIC)?;
        let count = usize::from(u16::from_le_bytes(*fixed.last_chunk()?));
        (count <= LAYERS_MAX).then_some(FIXED_BYTES + count * LAYER_BYTES)
    }

    pub fn decode(bytes: &[u8]) -> Option<Head> {
        let length = Head::bytes(bytes)?;
        let bytes = bytes.get(MAGIC.len()..length)?;
        let (own, bytes) = bytes.split_at_checked(LAYER_BYTES)?;
        let entry = |bytes: &[u8]| {
            let (diff, length) = bytes.split_first_chunk::<32>()?;
            Some((id::hex(diff), u64::from_le_bytes(*length.first_chunk()?)))
        };
        let (diff, length) = entry(own)?;
        let layers = bytes.get(2..)?.chunks(LAYER_BYTES).map(entry);
        Some(Head {
            diff,
            length,
            layers: layers.collect::<Option<_>>()?,
        })
    }

    /// Bytes of all old archives.
    pub fn base_bytes(&self) -> Option<u64> {
        let mut lengths = self.layers.iter().map(|(_, length)| *length);
        lengths.try_fold(0u64, u64::checked_add)
    }
}

/// Bytes, as people read them: `1.2 MB`.
pub fn shown(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["B", "kB", "MB", "GB"];
    let (mut unit, mut whole) = (0, 1);
    while bytes / whole >= 1000 && unit + 1 < UNITS.len() {
        whole *= 1000;
        unit += 1;
    }
    let tenths = (bytes.saturating_mul(10) + whole / 2) / whole;
    match unit {
        0 => format!("{bytes} B"),
        _ => format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[unit]),
    }
}

/// What a delta spares: the line for people.
pub fn saved(came: u64, whole: u64) -> String {
    let percent = whole.saturating_sub(came).saturating_mul(100) / whole.max(1);
    format!(
        "Delta: {} instead of {} ({percent} % saved)",
        shown(came),
        shown(whole)
    )
}

#[cfg(test)]
mod tests;
