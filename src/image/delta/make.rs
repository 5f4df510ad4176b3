//! Makes a delta: what of a new layer's archive the old image's archives have.
//!
//! The archives are read as what they are, entry by entry. A file whose content some old layer has is
//! copied from there, whatever its name and time; one that has changed is compared with the old one
//! of its name, or of its name but for the digits in it (libx.so.1.2, libx.so.1.3). Headers are
//! compared with those of the same name, so a rebuilt tree of ten thousand files with new times costs
//! a few bytes for each. Memory: 56 bytes for each entry, and windows of the files that are compared.

use super::Head;
use super::base::Base;
use super::matches::Matches;
use super::write::Writer;
use crate::error::Result;
use crate::image::archive::Archive;
use crate::image::save::Stored;
use crate::image::source::{Stream, failed};
use sha2::{Digest, Sha256};
use std::cell::Cell;
use std::fs::File;
use std::io;

/// What is compared at once: so much of a new file with so much of the old one.
const NEW_BYTES: usize = if cfg!(test) { 150 << 10 } else { 8 << 20 };
const OLD_BYTES: usize = 3 * NEW_BYTES;

/// Such a run of equal bytes is worth an instruction of its own.
const RUN_BYTES: usize = 512;

const PIECE_BYTES: usize = 64 << 10;

/// The layers of the old image.
pub struct Old {
    layers: Vec<(String, u64)>,
    base: Base,
    members: Vec<Member>,
    /// Numbers of members, by what they are looked for.
    by_content: Vec<u32>,
    by_name: Vec<u32>,
    by_kin: Vec<u32>,
}

/// An entry of an archive.
#[derive(Clone, Copy)]
struct Member {
    /// Where the data of the one before ends: padding and headers follow.
    head: u64,
    /// Where its data begins.
    data: u64,
    size: u64,
    content: u128,
    /// Hashes of its path, and of its path without digits.
    name: u64,
    kin: u64,
}

impl Old {
    /// Read all of them.
    pub fn read(stored: &[Stored]) -> Result<Old> {
        let mut members = Vec::new();
        let mut start = 0;
        for layer in stored {
            read_members(layer, start, &mut members)?;
            start += layer.size;
        }
        let order = |key: &dyn Fn(&Member) -> u128| {
            let mut numbers: Vec<u32> = (0..members.len() as u32).collect();
            let of = |number: &u32| members.get(*number as usize).map(key);
            numbers.sort_by_key(of);
            numbers
        };
        Ok(Old {
            layers: stored.iter().map(|s| (s.diff.clone(), s.size)).collect(),
            base: Base::new(stored),
            by_content: order(&|member| member.content),
            by_name: order(&|member| member.name.into()),
            by_kin: order(&|member| member.kin.into()),
            members,
        })
    }

    /// Write what makes `new` into `into`. Answers the digest's digits, and the bytes.
    pub fn delta(&mut self, new: &Stored, into: &mut File) -> Result<(String, u64)> {
        let mut members = Vec::new();
        read_members(new, 0, &mut members)?;
        let head = Head {
            diff: new.diff.clone(),
            length: new.size,
            layers: self.layers.clone(),
        };
        let mut making = Making {
            old: self,
            new: Base::new(std::slice::from_ref(new)),
            to: Writer::new(into, &head)?,
            window: None,
        };
        let mut at = 0;
        for member in &members {
            making.head(at, member)?;
            making.content(member)?;
            at = member.data + member.size;
        }
        making.plain(at, new.size - at)?;
        making.to.finish()
    }

    /// The last of those that have `key`: the topmost layer's.
    fn find(&self, order: &[u32], key: &dyn Fn(&Member) -> u128, wanted: u128) -> Option<Member> {
        let member = |number: &u32| self.members.get(*number as usize);
        let end = order.partition_point(|n| member(n).is_some_and(|m| key(m) <= wanted));
        let found = member(order.get(end.checked_sub(1)?)?)?;
        (key(found) == wanted).then_some(*found)
    }
}

struct Making<'a> {
    old: &'a mut Old,
    new: Base,
    to: Writer<'a>,
    /// What was compared with last: where it begins, and what it has.
    window: Option<(u64, Matches)>,
}

impl Making<'_> {
    /// Padding and headers between `at` and the entry's data.
    fn head(&mut self, at: u64, member: &Member) -> Result<()> {
        let name = &|member: &Member| u128::from(member.name);
        let found = self.old.find(&self.old.by_name, name, member.name.into());
        let kin = || {
            let kin = &|member: &Member| u128::from(member.kin);
            self.old.find(&self.old.by_kin, kin, member.kin.into())
        };
        let length = member.data - at;
        let Some(old) = found.or_else(kin) else {
            return self.plain(at, length);
        };
        // What is before may be padded otherwise: they are alike from their ends.
        let alike = length.min(old.data - old.head);
        self.plain(at, length - alike)?;
        self.compared(member.data - alike, old.data - alike, alike)
    }

    fn content(&mut self, member: &Member) -> Result<()> {
        let (at, size) = (member.data, member.size);
        if size == 0 {
            return Ok(());
        }
        let content = &|member: &Member| member.content;
        let same = self.old.find(&self.old.by_content, content, member.content);
        if let Some(old) = same.filter(|old| old.size == size) {
            return self.to.copy(old.data, size);
        }
        let name = &|member: &Member| u128::from(member.name);
        let kin = &|member: &Member| u128::from(member.kin);
        let has_data = |old: &Member| old.size > 0;
        let old = self.old.find(&self.old.by_name, name, member.name.into());
        let old = old.filter(has_data).or_else(|| {
            let found = self.old.find(&self.old.by_kin, kin, member.kin.into());
            found.filter(has_data)
        });
        match old {
            Some(old) => self.changed(member, &old),
            None => self.plain(at, size),
        }
    }

    /// Bytes that are not looked for.
    fn plain(&mut self, at: u64, length: u64) -> Result<()> {
        let mut piece = vec![0; PIECE_BYTES];
        let mut done = 0;
        while done < length {
            let want = (length - done).min(PIECE_BYTES as u64) as usize;
            let piece = &mut piece[..want];
            self.new.fill(at + done, piece).map_err(|e| torn(&e))?;
            self.to.data(piece)?;
            done += want as u64;
        }
        Ok(())
    }

    /// Headers, which are much like old ones at `old`.
    fn compared(&mut self, at: u64, old: u64, length: u64) -> Result<()> {
        let (mut ours, mut theirs) = (vec![0; PIECE_BYTES], vec![0; PIECE_BYTES]);
        let mut done = 0;
        while done < length {
            let want = (length - done).min(PIECE_BYTES as u64) as usize;
            let (ours, theirs) = (&mut ours[..want], &mut theirs[..want]);
            self.new.fill(at + done, ours).map_err(|e| torn(&e))?;
            self.old
                .base
                .fill(old + done, theirs)
                .map_err(|e| torn(&e))?;
            differences(&mut self.to, ours, theirs, old + done)?;
            done += want as u64;
        }
        Ok(())
    }

    /// A file that has an older form.
    fn changed(&mut self, member: &Member, old: &Member) -> Result<()> {
        let mut done = 0;
        while done < member.size {
            let want = (member.size - done).min(NEW_BYTES as u64);
            let mut ours = vec![0; want as usize];
            let at = member.data + done;
            self.new.fill(at, &mut ours).map_err(|e| torn(&e))?;

            // Of a long one the part around where this one is.
            let most = old.size.saturating_sub(OLD_BYTES as u64);
            let begin = done.saturating_sub(NEW_BYTES as u64).min(most);
            let start = old.data + begin;
            let (start, matches) = match self.window.take() {
                Some(window) if window.0 == start => window,
                _ => {
                    let length = (old.size - begin).min(OLD_BYTES as u64);
                    let mut theirs = vec![0; length as usize];
                    self.old
                        .base
                        .fill(start, &mut theirs)
                        .map_err(|e| torn(&e))?;
                    (start, Matches::new(theirs))
                }
            };
            write_matches(&mut self.to, &ours, start, &matches)?;
            self.window = Some((start, matches));
            done += want;
        }
        Ok(())
    }
}

fn write_matches(to: &mut Writer<'_>, new: &[u8], start: u64, matches: &Matches) -> Result<()> {
    let mut done = 0;
    for found in matches.find(new) {
        to.data(&new[done..found.new])?;
        done = found.new + found.length;
        let theirs = &matches.old()[found.old..found.old + found.length];
        let at = start + found.old as u64;
        differences(to, &new[found.new..done], theirs, at)?;
    }
    to.data(&new[done..])
}

/// Of two runs of one length: long parts that are the same as copies, the rest as differences; or as
/// it is, if there is little in common.
fn differences(to: &mut Writer<'_>, new: &[u8], old: &[u8], at: u64) -> Result<()> {
    let mut same = 0;
    for (new, old) in new.iter().zip(old) {
        same += usize::from(new == old);
    }
    if same == new.len() {
        return to.copy(at, new.len() as u64);
    }
    if same * 2 < new.len() {
        return to.data(new);
    }
    let subtract = |from: usize, until: usize| -> Vec<u8> {
        let pairs = new[from..until].iter().zip(&old[from..until]);
        pairs.map(|(new, old)| new.wrapping_sub(*old)).collect()
    };
    let (mut done, mut run) = (0, 0);
    for n in 0..=new.len() {
        if n < new.len() && new[n] == old[n] {
            continue;
        }
        // `run..n` is the same.
        if n - run >= RUN_BYTES {
            if run > done {
                to.add(at + done as u64, &subtract(done, run))?;
            }
            to.copy(at + run as u64, (n - run) as u64)?;
            done = n;
        }
        run = n + 1;
    }
    match done < new.len() {
        true => to.add(at + done as u64, &subtract(done, new.len())),
        false => Ok(()),
    }
}

/// What the archive of a layer holds; `start` is where it begins.
fn read_members(layer: &Stored, start: u64, into: &mut Vec<Member>) -> Result<()> {
    let at = Cell::new(start);
    let mut rebuild = layer.rebuild()?;
    let mut counted = Counted {
        inner: &mut rebuild,
        at: &at,
    };
    let mut archive = Archive::new(&mut counted);
    let mut piece = vec![0; PIECE_BYTES];
    let mut head = start;
    while let Some(entry) = archive.next().map_err(|e| torn(&e))? {
        let data = at.get();
        let mut content = Sha256::new();
        loop {
            match archive.read_piece(&mut piece).map_err(|e| torn(&e))? {
                (_, 0) => break,
                (_, count) => content.update(&piece[..count]),
            }
        }
        let name = entry.path.iter().copied();
        into.push(Member {
            head,
            data,
            size: at.get() - data,
            content: content
                .finalize()
                .first_chunk()
                .map_or(0, |bytes| u128::from_le_bytes(*bytes)),
            name: hash(name.clone()),
            kin: hash(name.filter(|byte| !byte.is_ascii_digit())),
        });
        head = at.get();
    }
    // To the end, where it is found out whether all of it was right.
    archive.rest().map_err(|e| torn(&e))
}

/// Of a path, however it begins and ends (FNV-1a).
fn hash(path: impl Iterator<Item = u8>) -> u64 {
    let path = path.skip_while(|byte| matches!(byte, b'.' | b'/'));
    path.fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

fn torn(error: &io::Error) -> crate::error::Error {
    failed("read layer", error)
}

/// How many bytes were read.
struct Counted<'a> {
    inner: &'a mut dyn Stream,
    at: &'a Cell<u64>,
}

impl Stream for Counted<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(into)?;
        self.at.set(self.at.get() + count as u64);
        Ok(count)
    }
}
