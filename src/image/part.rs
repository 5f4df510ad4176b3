//! A layer on its way from a registry. It outlives a broken connection, the engine, and the power.
//!
//! ```text
//! layers/.part-<digits of the blob's digest>/
//!     diff/ tar.idx   the layer, as far as it has come
//!     point           where to go on from; absent or whole
//!     seen            how many entries were begun since
//! ```
//!
//! Nothing compressed is kept. Now and then, between two entries, all that there is goes to the disk,
//! and then a point: where the decoder can begin again, the digests up to here, what was counted.
//! Whoever fetches the same blob later asks for the rest of it only. Entries behind the point may lie
//! there already, whole or not; they are made once more. That comes out the same as long as nothing
//! that an earlier entry had brought was replaced in between, so before such a thing is done the point
//! goes. What does not fit, for whatever reason, is thrown away, and the layer comes anew.
//!
//! A decoder can begin at a block of deflate, a frame of zstd (most layers have but one), anywhere in
//! a plain archive. A file that was under way is begun again, however large it is.

use crate::error::{Error, Result};
use crate::image::Images;
use crate::image::archive::Archive;
use crate::image::decoder;
use crate::image::delta::apply::Apply;
use crate::image::index::{self, Index};
use crate::image::layer::{self, Staged};
use crate::image::source::{
    self, Format, Hashed, Input, Mark, Restart, SNIFF_BYTES, Source, Stream,
};
use crate::image::unpack::{self, Unpacked, Watch};
use crate::log;
use crate::store::staging::{self, Staging};
use crate::store::{record, tree};
use crate::sys::fs::{self, ModifiedAt};
use rustix::io::Errno;
use sha2::digest::common::hazmat::SerializableState;
use sha2::{Digest, Sha256};
use std::cell::Cell;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub const PREFIX: &str = ".part-";
const POINT: &str = "point";
const SEEN: &str = "seen";

/// A point is saved after so much input, and not more often than this: it waits for the disk.
const SAVE_BYTES: u64 = if cfg!(test) { 256 << 10 } else { 8 << 20 };
const SAVE_EVERY: Duration = Duration::from_secs(if cfg!(test) { 0 } else { 2 });

/// What nobody has gone on with for so long is swept.
const KEEP: Duration = Duration::from_secs(7 * 24 * 3600);

/// A layer as a registry has it.
#[derive(Clone, Copy)]
pub struct Blob<'a> {
    /// Hex digits of the SHA-256 of the layer as it comes, compressed or not.
    pub digest: &'a str,
    /// Its bytes.
    pub size: u64,
    /// It is a delta, and the old layers are in this store.
    pub base: Option<&'a Images>,
}

/// Opens a blob at an offset.
pub type Open<'a, 'b> = &'a mut dyn FnMut(u64) -> Result<Box<dyn Read + 'b>>;

/// Fetch a layer and unpack it beside the layers in `dir`, from the beginning or from where an
/// earlier try has come to. Size and digest of the blob are checked.
pub fn fetch(dir: &Path, blob: Blob<'_>, open: Open<'_, '_>) -> Result<Staged> {
    let part = Part::take(dir, blob.digest)?;
    let mut point = part.point();
    loop {
        let is_resumed = point.is_some();
        let offset = point.as_ref().map_or(0, |point| point.restart.input);
        let is_broken = Cell::new(false);
        let outcome = open(offset).map(|from| Counted {
            from,
            left: blob.size.saturating_sub(offset),
            is_broken: &is_broken,
        });
        let error = match outcome {
            Ok(mut from) => match part.unpack(blob, &mut from, point.take()) {
                Ok(unpacked) => return part.finish(unpacked),
                Err(error) => error,
            },
            Err(error) => {
                is_broken.set(true);
                error
            }
        };
        let is_full = error.errno == Some(Errno::NOSPC.raw_os_error());
        if !is_broken.get() {
            // It is to blame itself.
            forget(part.path())?;
        }
        if is_broken.get() || is_full || !is_resumed {
            return Err(error);
        }
        log::warn(format_args!(
            "layer sha256:{}: begun anew, what an earlier pull has left does not fit: {error}",
            blob.digest
        ));
        part.clear()?;
    }
}

/// The layer at `path` is not to be gone on with.
pub fn forget(path: &Path) -> Result<()> {
    [POINT, SEEN]
        .iter()
        .try_for_each(|name| tree::remove(&path.join(name)))
}

/// Remove what is left in `dir` of layers that nobody goes on with. `all`: the space is needed.
pub fn sweep(dir: &Path, all: bool) -> Result<()> {
    for name in staging::names(dir)? {
        let path = dir.join(&name);
        if !name.starts_with(PREFIX) || !all && is_fresh(&path.join(POINT)) {
            continue;
        }
        if let Some(_lock) = lock(&path)? {
            staging::discard(&path)?;
        }
    }
    Ok(())
}

fn is_fresh(point: &Path) -> bool {
    let modified = std::fs::metadata(point).and_then(|meta| meta.modified());
    // One from the future is fresh: our clock is not to be trusted then.
    modified.is_ok_and(|at| at.elapsed().map_or(true, |age| age < KEEP))
}

/// The directory at `path` for us alone, as long as what is returned is open. None: somebody else
/// has it, or has just made a layer of it.
fn lock(path: &Path) -> Result<Option<OwnedFd>> {
    let dir = fs::open_dir(path)?;
    if !fs::try_lock(&dir, path)? {
        return Ok(None);
    }
    let there = fs::open_dir(path).and_then(|there| fs::stat(there.as_fd()));
    let is_it =
        there.is_ok_and(|there| fs::stat(dir.as_fd()).is_ok_and(|ours| fs::is_same(&ours, &there)));
    Ok(is_it.then_some(dir))
}

/// What comes from the registry: not more and not less than the blob has.
struct Counted<'a, 'b> {
    from: Box<dyn Read + 'b>,
    left: u64,
    /// It is the connection that failed, and not what came over it.
    is_broken: &'a Cell<bool>,
}

impl Read for Counted<'_, '_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self.from.read(into) {
            Ok(0) if self.left > 0 && !into.is_empty() => {
                self.is_broken.set(true);
                Err(source::truncated())
            }
            Ok(count) => match self.left.checked_sub(count as u64) {
                Some(left) => {
                    self.left = left;
                    Ok(count)
                }
                None => Err(source::bad("it has more bytes than are declared")),
            },
            Err(error) => {
                use io::ErrorKind::{Interrupted, InvalidData};
                if !matches!(error.kind(), Interrupted | InvalidData) {
                    self.is_broken.set(true);
                }
                Err(error)
            }
        }
    }
}

/// A layer in the making that has a name.
struct Part {
    staging: Staging,
    /// None: somebody else is fetching the same, and we do it under no name.
    lock: Option<OwnedFd>,
}

impl Part {
    fn take(dir: &Path, digest: &str) -> Result<Part> {
        let path = dir.join(format!("{PREFIX}{digest}"));
        staging::make_dir(&path)?;
        Ok(match lock(&path)? {
            Some(lock) => Part {
                staging: Staging::adopt(path, POINT),
                lock: Some(lock),
            },
            None => Part {
                staging: Staging::new(dir)?,
                lock: None,
            },
        })
    }

    fn path(&self) -> &Path {
        self.staging.path()
    }

    /// Where to go on from. Without such a place there is nothing else either.
    fn point(&self) -> Option<Point> {
        let bytes = record::load(self.path(), POINT).ok().flatten();
        let point = bytes.and_then(|bytes| Point::decode(&bytes));
        if point.is_none() {
            let _ = self.clear();
        }
        point
    }

    fn clear(&self) -> Result<()> {
        // The point first: it speaks of what goes after it.
        tree::remove(&self.path().join(POINT))?;
        staging::names(self.path())?
            .iter()
            .try_for_each(|name| tree::remove(&self.path().join(name)))
    }

    /// Unpack what `from` brings. Answers the diff id's digits, what the layer holds, and the length
    /// of the archive.
    fn unpack(
        &self,
        blob: Blob<'_>,
        from: &mut Counted<'_, '_>,
        point: Option<Point>,
    ) -> Result<(String, Unpacked, u64)> {
        let failed = |e: io::Error| source::failed("read layer", &e);
        let is_broken = from.is_broken;
        let root = layer::diff_below(self.path())?;
        let point = point.unwrap_or_default();
        let restart = &point.restart;

        let mut input = Input(from);
        // What was read ahead last time comes again.
        let ahead = point.packed.1.saturating_sub(restart.input);
        let mut packed = Hashed::resume(&mut input, point.packed.clone(), ahead);
        let unpacked = {
            let mut source = Source::at(&mut packed, restart.input);
            let format = match point.format {
                Some(format) => format,
                None => source::sniff(source.peek(SNIFF_BYTES).map_err(failed)?),
            };
            let mut plain: Box<dyn Stream> = match blob.base {
                Some(images) => Box::new(Apply::new(&mut source, restart, images)?),
                None => decoder::resume(format, &mut source, restart)?,
            };
            let between = point.tar.1.saturating_sub(restart.output);
            discard(&mut *plain, between).map_err(failed)?;
            let mut tar = Hashed::resume(&mut *plain, point.tar.clone(), 0);
            let mut index = Index::resume(self.path(), point.index)?;
            let mut archive = Archive::new(&mut tar);
            archive.index = Some(&mut index);

            let mut keeper = Keeper::new(self, format, &point)?;
            let done = unpack::go_on(&root, &mut archive, point.done, &mut keeper);
            let done = done.inspect_err(|_| {
                if is_broken.get() {
                    keeper.save_at_the_end();
                }
            })?;
            // Another layer of the image may still fail, or take long.
            keeper.save_if_due(0)?;
            archive.rest().map_err(failed)?;
            let digits = tar.finish().map_err(failed)?;
            index.mark()?;
            (digits, done, index.bytes)
        };
        let digest = packed.finish().map_err(failed)?;
        match digest == blob.digest {
            true => Ok(unpacked),
            false => Err(Error::invalid(format!(
                "filesystem layer verification failed for digest sha256:{}: it is sha256:{digest}",
                blob.digest
            ))),
        }
    }

    fn finish(self, (diff, unpacked, bytes): (String, Unpacked, u64)) -> Result<Staged> {
        layer::staged(self.staging, self.lock, diff, unpacked, bytes)
    }
}

/// Take `count` bytes out of the way.
fn discard(from: &mut dyn Stream, mut count: u64) -> io::Result<()> {
    let mut buffer = [0; 4096];
    while count > 0 {
        let want = count.min(buffer.len() as u64) as usize;
        match from.read(&mut buffer[..want])? {
            0 => return Err(source::truncated()),
            got => count -= got as u64,
        }
    }
    Ok(())
}

/// Where a layer under way can be gone on with: between two entries.
#[derive(Clone)]
struct Point {
    format: Option<Format>,
    restart: Arc<Restart>,
    /// Digests of what came, and of the archive: the first may be ahead of where the decoder begins,
    /// and the second is where the next entry begins. With the bytes that each covers.
    packed: (Sha256, u64),
    tar: (Sha256, u64),
    done: Unpacked,
    index: index::Mark,
}

impl Default for Point {
    fn default() -> Point {
        Point {
            format: None,
            restart: Arc::default(),
            packed: (Sha256::new(), 0),
            tar: (Sha256::new(), 0),
            done: Unpacked::default(),
            index: index::Mark::default(),
        }
    }
}

const MAGIC: &[u8] = b"tug part 1\n";
const FORMATS: [Format; 4] = [Format::Tar, Format::Gzip, Format::Zstd, Format::Delta];
const NUMBERS: usize = 10;

impl Point {
    fn encode(&self) -> Vec<u8> {
        let format = FORMATS
            .iter()
            .position(|format| Some(*format) == self.format);
        let numbers: [u64; NUMBERS] = [
            format.unwrap_or(FORMATS.len()) as u64,
            self.restart.input,
            self.restart.output,
            self.packed.1,
            self.tar.1,
            self.done.entries,
            self.done.size,
            self.index.length,
            self.index.bytes,
            self.index.shadows.into(),
        ];
        let mut bytes = MAGIC.to_vec();
        for number in numbers {
            bytes.extend(number.to_le_bytes());
        }
        bytes.extend(self.packed.0.serialize());
        bytes.extend(self.tar.0.serialize());
        bytes.extend(&self.restart.state);
        // Whatever the disk makes of it: a torn one is none.
        let digest = Sha256::digest(&bytes);
        bytes.extend(digest);
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Point> {
        let (bytes, digest) = bytes.split_last_chunk::<32>()?;
        if Sha256::digest(bytes)[..] != digest[..] {
            return None;
        }
        let bytes = bytes.strip_prefix(MAGIC)?;
        let (numbers, bytes) = bytes.split_first_chunk::<{ 8 * NUMBERS }>()?;
        let numbers = numbers.as_chunks::<8>().0;
        let number = |at: usize| numbers.get(at).map(|bytes| u64::from_le_bytes(*bytes));
        let (packed, bytes) = hash(bytes)?;
        let (tar, state) = hash(bytes)?;
        Some(Point {
            format: Some(*FORMATS.get(usize::try_from(number(0)?).ok()?)?),
            restart: Arc::new(Restart {
                input: number(1)?,
                output: number(2)?,
                state: state.to_vec(),
            }),
            packed: (packed, number(3)?),
            tar: (tar, number(4)?),
            done: Unpacked {
                entries: number(5)?,
                size: number(6)?,
            },
            index: index::Mark {
                length: number(7)?,
                bytes: number(8)?,
                shadows: number(9)?.try_into().ok()?,
            },
        })
    }
}

/// A digest in the middle of its work, and what follows it in `bytes`.
fn hash(bytes: &[u8]) -> Option<(Sha256, &[u8])> {
    let length = Sha256::new().serialize().len();
    let (state, rest) = bytes.split_at_checked(length)?;
    let state = state.try_into().ok()?;
    Some((Sha256::deserialize(state).ok()?, rest))
}

/// Keeps points while a layer is unpacked.
struct Keeper<'a> {
    /// None: no name, no points.
    dir: Option<&'a Path>,
    format: Format,
    /// The last place to go on from.
    last: Option<Point>,
    /// The input's offset of the last one that was saved, and when that was.
    saved: u64,
    saved_at: Instant,
    is_on_disk: bool,
    seen_file: Option<File>,
    /// Entries that were begun before our time, and the time that the directory of the last of them
    /// had before that.
    before: u64,
    above: ModifiedAt,
}

const SEEN_BYTES: usize = 20;

impl<'a> Keeper<'a> {
    fn new(part: &'a Part, format: Format, point: &Point) -> Result<Keeper<'a>> {
        let mut keeper = Keeper {
            dir: part.lock.as_ref().map(|_| part.path()),
            format,
            last: None,
            saved: point.restart.input,
            saved_at: Instant::now(),
            is_on_disk: point.format.is_some(),
            seen_file: None,
            before: 0,
            above: ModifiedAt::default(),
        };
        if let Some(dir) = keeper.dir {
            if let Some(bytes) = record::load(dir, SEEN)? {
                keeper.read_seen(&bytes);
            }
            let path = dir.join(SEEN);
            let mut options = File::options();
            let file = options.write(true).create(true).truncate(false).open(&path);
            keeper.seen_file =
                Some(file.map_err(|e| Error::io(format_args!("open {}", path.display()), &e))?);
        }
        Ok(keeper)
    }

    fn read_seen(&mut self, bytes: &[u8]) {
        if let Ok([a, b, c, d, e, f, g, h, seconds @ .., i, j, k, l]) =
            <[u8; SEEN_BYTES]>::try_from(bytes)
        {
            self.before = u64::from_le_bytes([a, b, c, d, e, f, g, h]);
            self.above.seconds = i64::from_le_bytes(seconds);
            self.above.nanos = u32::from_le_bytes([i, j, k, l]);
        }
    }

    /// Save the last point if it is so much farther than what was saved, and some time has passed.
    fn save_if_due(&mut self, bytes: u64) -> Result<()> {
        let is_farther = |point: &Point| point.restart.input > self.saved.saturating_add(bytes);
        match self.last.as_ref().is_some_and(is_farther) && self.saved_at.elapsed() >= SAVE_EVERY {
            true => self.save(),
            false => Ok(()),
        }
    }

    fn save(&mut self) -> Result<()> {
        let (Some(dir), Some(point)) = (self.dir, self.last.take()) else {
            return Ok(());
        };
        fs::sync_file_system(dir)?;
        record::replace(dir, POINT, &point.encode())?;
        self.is_on_disk = true;
        self.saved = point.restart.input;
        self.saved_at = Instant::now();
        Ok(())
    }

    /// The connection is gone. What fails now is no loss: the last point that was saved is there.
    fn save_at_the_end(&mut self) {
        let is_further = |point: &Point| point.restart.input > self.saved || !self.is_on_disk;
        if self.last.as_ref().is_some_and(is_further)
            && let Err(error) = self.save()
        {
            log::warn(format_args!("keep a layer under way: {error}"));
        }
    }
}

impl Watch for Keeper<'_> {
    fn between(&mut self, archive: &mut Archive<'_>, done: Unpacked) -> Result<()> {
        if self.dir.is_none() {
            return Ok(());
        }
        let mut mark = Mark::default();
        archive.mark(&mut mark);
        let Some(restart) = mark.restart else {
            return Ok(());
        };
        // A point for each place where the decoder can begin is enough.
        let last = self
            .last
            .as_ref()
            .map_or(self.saved, |last| last.restart.input);
        if restart.input < last.saturating_add(source::RESTART_BYTES) {
            return Ok(());
        }
        if let [tar, packed] = &mark.hashes[..] {
            let index = archive.index.as_mut().map(|index| index.mark());
            self.last = Some(Point {
                format: Some(self.format),
                restart,
                packed: packed.clone(),
                tar: tar.clone(),
                done,
                index: index.transpose()?.unwrap_or_default(),
            });
        }
        self.save_if_due(SAVE_BYTES)
    }

    fn is_seen(&self, number: u64) -> bool {
        number < self.before
    }

    fn begin(&mut self, number: u64, above: ModifiedAt) -> Result<ModifiedAt> {
        // Of those that were begun before, the last may not have come to its end.
        if number < self.before {
            return Ok(if number + 1 == self.before {
                self.above
            } else {
                above
            });
        }
        if let Some(file) = &self.seen_file {
            let mut bytes = [0; SEEN_BYTES];
            bytes[..8].copy_from_slice(&(number + 1).to_le_bytes());
            bytes[8..16].copy_from_slice(&above.seconds.to_le_bytes());
            bytes[16..].copy_from_slice(&above.nanos.to_le_bytes());
            fs::write_at(file.as_fd(), &bytes, 0)?;
        }
        Ok(above)
    }

    fn replacing(&mut self) -> Result<()> {
        self.last = None;
        let Some(dir) = self.dir.filter(|_| self.is_on_disk) else {
            return Ok(());
        };
        tree::remove(&dir.join(POINT))?;
        fs::sync_dir(dir)?;
        self.is_on_disk = false;
        // Soon there may be another.
        self.saved = 0;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::gzip::tests::{gzip, sample};
    use crate::image::source::sha256;
    use crate::image::testing::{Tar, is_root, is_whiteout, scratch, tree as tree_of};
    use crate::image::zstd::tests::zstd;
    use std::process::Command;

    /// Three megabytes that hardly compress, in all kinds of entries. `end` adds the last ones.
    fn layer(end: &dyn Fn(Tar) -> Tar) -> Vec<u8> {
        let noise: Vec<u8> = sample(2_000_000).chunks(4).map(|four| four[0]).collect();
        let mut tar = Tar::new();
        tar.mtime = 1_000_000;
        for n in 0..30 {
            let content: Vec<u8> = noise[n * 9000..][..100_000]
                .iter()
                .map(|b| b ^ n as u8)
                .collect();
            tar = tar.dir(&format!("d{n}"));
            tar.mtime += 1;
            tar = tar
                .entry(b'0', &format!("d{n}/big"), "", &content)
                .file(&format!("implied{n}/x/small"), "some")
                .symlink(&format!("d{n}/link"), "/d0")
                .hard(&format!("d{n}/hard"), &format!("d{n}/big"))
                .file(&format!("d{n}/.wh.gone"), "");
        }
        end(tar).end()
    }

    /// A registry's answer that ends after `length` bytes, and what happens before each piece.
    struct Answer<'a> {
        bytes: &'a [u8],
        breaks_at: usize,
        at: usize,
        before: &'a dyn Fn(usize),
    }

    impl Read for Answer<'_> {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            (self.before)(self.at);
            let end = self.bytes.len().min(self.at + into.len().min(50_000));
            if end > self.breaks_at {
                return Err(io::ErrorKind::ConnectionReset.into());
            }
            let piece = &self.bytes[self.at..end];
            into[..piece.len()].copy_from_slice(piece);
            self.at = end;
            Ok(piece.len())
        }
    }

    /// Fetch `bytes`, and tell from which offset they were asked for.
    fn try_fetch(
        dir: &Path,
        bytes: &[u8],
        breaks_at: usize,
        before: &dyn Fn(usize),
    ) -> (Result<Staged>, Vec<u64>) {
        let digest = sha256(bytes);
        let blob = Blob {
            digest: &digest,
            size: bytes.len() as u64,
            base: None,
        };
        let mut asked = Vec::new();
        let outcome = fetch(dir, blob, &mut |offset| {
            asked.push(offset);
            Ok(Box::new(Answer {
                bytes,
                breaks_at,
                at: offset as usize,
                before,
            }))
        });
        (outcome, asked)
    }

    fn fetched(dir: &Path, bytes: &[u8]) -> (Staged, Vec<u64>) {
        let (outcome, asked) = try_fetch(dir, bytes, usize::MAX, &|_| {});
        (outcome.unwrap(), asked)
    }

    fn content(staged: &Staged) -> (String, u64, Vec<String>) {
        let path = staged.path().join("diff");
        let mut tree = tree_of(&path);
        // A whiteout has no time of its own.
        tree.retain(|line| !line.contains("/gone"));
        let whiteouts = (0..30).all(|n| is_whiteout(&path.join(format!("d{n}/gone"))));
        assert!(whiteouts);
        (staged.diff.clone(), staged.size, tree)
    }

    fn assert_same(staged: &Staged, expected: &(String, u64, Vec<String>), what: &str) {
        let found = content(staged);
        for (line, expected) in found.2.iter().zip(&expected.2) {
            assert_eq!(line, expected, "{what}");
        }
        assert!(found == *expected, "{what}");
    }

    fn packings(tar: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
        // zstd begins again at frames only.
        let frames: Vec<u8> = tar
            .chunks(100_000)
            .flat_map(|part| zstd(&[], part))
            .collect();
        let mut packings = vec![("plain", tar.to_vec()), ("gzip", gzip(tar))];
        match frames.is_empty() {
            true => println!("skip: part: zstd: there is none here"),
            false => packings.push(("zstd", frames)),
        }
        packings
    }

    #[test]
    fn after_a_broken_connection_only_the_rest_is_asked_for() {
        if !is_root("after_a_broken_connection_only_the_rest_is_asked_for") {
            return;
        }
        let tar = layer(&|tar| tar);
        for (what, packed) in packings(&tar) {
            let (whole, other) = (scratch(), scratch());
            let expected = content(&fetched(whole.path(), &packed).0);
            assert_eq!(expected.0, sha256(&tar), "{what}");

            // Each try gets a little farther, and none begins at the beginning.
            let mut last = 0;
            for n in 2..packed.len() / 400_000 {
                let broken = try_fetch(other.path(), &packed, n * 400_000, &|_| {});
                assert!(
                    broken.0.unwrap_err().message.contains("onnection reset"),
                    "{what}"
                );
                assert_eq!(broken.1.len(), 1, "{what}");
                assert!(n == 2 || broken.1[0] > last, "{what} {n} {:?}", broken.1);
                last = broken.1[0];
            }
            let (staged, asked) = fetched(other.path(), &packed);
            assert!(
                asked.len() == 1 && asked[0] > packed.len() as u64 / 2,
                "{what} {asked:?}"
            );
            assert_same(&staged, &expected, what);
            let names = staging::names(staged.path()).unwrap();
            assert_eq!(names, ["diff", "layer.json", "point", "seen", "tar.idx"]);

            // Another layer may fail: this one would not be lost.
            drop(staged);
            let (staged, asked) = fetched(other.path(), &packed);
            assert!(asked[0] > packed.len() as u64 - 400_000, "{what} {asked:?}");
            assert_same(&staged, &expected, what);
            let diff = staged.diff.clone();
            staged.keep(other.path()).unwrap();
            assert_eq!(staging::names(other.path()).unwrap(), [&diff[..]]);
            let names = staging::names(&other.path().join(diff)).unwrap();
            assert_eq!(names, ["diff", "layer.json", "tar.idx"], "{what}");
        }
    }

    #[test]
    fn what_a_killed_engine_has_left_is_gone_on_with() {
        if !is_root("what_a_killed_engine_has_left_is_gone_on_with") {
            return;
        }
        // Replaces what came early: late, so that most of the way nothing is replaced.
        let twice = |tar: Tar| {
            tar.hard("old", "d1/big")
                .file("d1/big", "new")
                .dir("d0/link")
        };
        for (what, tar) in [("plain", layer(&|tar| tar)), ("twice", layer(&twice))] {
            let packed = gzip(&tar);
            let (whole, live) = (scratch(), scratch());
            let expected = content(&fetched(whole.path(), &packed).0);

            // Copies of the store, as a kill at that moment would leave it.
            let copies = Cell::new(Vec::new());
            let copy = |at: usize| {
                if at % 250_000 < 50_000 {
                    let mut list = copies.take();
                    let dir = scratch();
                    let mut command = Command::new("cp");
                    command.arg("-a").arg(live.path().join(".")).arg(dir.path());
                    assert!(command.status().unwrap().success());
                    list.push(dir);
                    copies.set(list);
                }
            };
            let outcome = try_fetch(live.path(), &packed, usize::MAX, &copy);
            assert_same(&outcome.0.unwrap(), &expected, what);
            let copies = copies.take();
            assert!(copies.len() > 8);
            let mut resumed = 0;
            for copy in &copies {
                let (staged, asked) = fetched(copy.path(), &packed);
                assert_same(&staged, &expected, what);
                assert_eq!(asked.len(), 1, "{what}");
                resumed += usize::from(asked[0] > 0);
            }
            assert!(resumed * 3 > copies.len() * 2, "{what} {resumed}");
        }
    }

    #[test]
    fn a_point_that_does_not_fit_costs_a_new_beginning_and_nothing_else() {
        if !is_root("a_point_that_does_not_fit_costs_a_new_beginning_and_nothing_else") {
            return;
        }
        let packed = gzip(&layer(&|tar| tar));
        let whole = scratch();
        let expected = content(&fetched(whole.path(), &packed).0);
        let part = format!("{PREFIX}{}", sha256(&packed));

        type Damage<'a> = &'a dyn Fn(&Path);
        let cut = |path: &Path, length: usize| {
            let mut bytes = std::fs::read(path).unwrap();
            bytes.truncate(bytes.len() - length);
            std::fs::write(path, bytes).unwrap();
        };
        let damages: [(usize, Damage); 4] = [
            // Torn.
            (1, &|part| cut(&part.join(POINT), 1)),
            (1, &|part| std::fs::write(part.join(POINT), "").unwrap()),
            // Of another decoder; its digest is right.
            (2, &|part| {
                let bytes = std::fs::read(part.join(POINT)).unwrap();
                let mut point = Point::decode(&bytes).unwrap();
                point.format = Some(Format::Tar);
                std::fs::write(part.join(POINT), point.encode()).unwrap();
            }),
            // The tree is not what it was: an entry's place is taken.
            (2, &|part| {
                std::fs::remove_dir_all(part.join("diff")).unwrap();
                std::fs::write(part.join("diff"), "").unwrap();
            }),
        ];
        for (n, (tries, damage)) in damages.into_iter().enumerate() {
            let dir = scratch();
            let broken = try_fetch(dir.path(), &packed, packed.len() / 2, &|_| {});
            assert!(broken.0.is_err());
            damage(&dir.path().join(&part));
            let (staged, asked) = fetched(dir.path(), &packed);
            assert_eq!(asked.len(), tries, "{n} {asked:?}");
            assert_eq!(asked.last(), Some(&0), "{n}");
            assert_same(&staged, &expected, &n.to_string());
        }
    }

    #[test]
    fn a_registry_that_lies_leaves_nothing() {
        let tar = layer(&|tar| tar);
        let good = gzip(&tar);
        let dir = scratch();
        let digest = sha256(&good);
        let get = |bytes: &[u8], size: usize| {
            let blob = Blob {
                digest: &digest,
                size: size as u64,
                base: None,
            };
            let answer = bytes.to_vec();
            let mut open = |offset: u64| {
                let rest = answer.get(offset as usize..).unwrap_or_default().to_vec();
                Ok(Box::new(io::Cursor::new(rest)) as Box<dyn Read>)
            };
            let error = fetch(dir.path(), blob, &mut open).unwrap_err();
            error.to_string()
        };
        let mut other = good.clone();
        let at = other.len() / 2;
        other[at] ^= 1;
        let message = get(&other, good.len());
        assert!(!message.contains("unexpected end"), "{message}");
        let long = [&good[..], &[0; 100]].concat();
        assert!(get(&long, good.len()).ends_with("it has more bytes than are declared"));
        let same = gzip(&tar[..tar.len() - 512]);
        let message = get(&same, same.len());
        assert!(message.starts_with("filesystem layer verification failed for digest sha256:"));
        assert!(staging::names(dir.path()).unwrap().is_empty());

        // What is too short may have been cut on the way: what came of it is worth keeping.
        assert!(get(&good[..2_000_000], good.len()).ends_with("unexpected end of archive"));
        assert_eq!(staging::names(dir.path()).unwrap().len(), 1);
        sweep(dir.path(), false).unwrap();
        assert_eq!(staging::names(dir.path()).unwrap().len(), 1);
        sweep(dir.path(), true).unwrap();
        assert!(staging::names(dir.path()).unwrap().is_empty());
    }

    #[test]
    fn two_who_fetch_the_same_do_not_meet() {
        let packed = gzip(&layer(&|tar| tar));
        let dir = scratch();
        let inner = Cell::new(None);
        let once = |at: usize| {
            if at > 1_000_000 && inner.take().is_none() {
                let staged = fetched(dir.path(), &packed).0;
                sweep(dir.path(), true).unwrap();
                inner.set(Some(staged.diff.clone()));
            } else {
                inner.set(Some(String::new()));
            }
        };
        let outcome = try_fetch(dir.path(), &packed, usize::MAX, &once);
        drop(outcome.0.unwrap());
        sweep(dir.path(), true).unwrap();
        assert!(staging::names(dir.path()).unwrap().is_empty());
    }
}
