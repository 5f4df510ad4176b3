//! Reads tar archives entry by entry: ustar, PAX, GNU and the old V7.
//!
//! Where readers of tar disagree, this one follows Docker's (Go's archive/tar): a PAX record wins
//! over the header, links, directories and devices have no data. What is malformed is an error and
//! never guessed at, because two readers that guess differently see two different archives
//! (CVE-2025-62518). Memory is bounded, whatever an archive declares. Nothing is interpreted here:
//! what a path may do is decided by who uses it (`unpack`, `load`).
//!
//! Why not the tar crate: it takes a PAX record's value to end at a newline, which breaks binary
//! attributes such as security.capability, takes what is malformed for absent, and reads names of
//! any declared length into memory.

use crate::image::index::Index;
use crate::image::pax::{self, Pax};
use crate::image::source::{Mark, Stream, bad, truncated};
use crate::sys::fs::ModifiedAt;
use std::io;

pub const BLOCK: usize = 512;

/// Longest extended header or name that is read, as in Go's archive/tar.
const SPECIAL_BYTES_MAX: u64 = 1 << 20;

/// Most pieces of a sparse file.
const PIECES_MAX: usize = 1 << 16;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    File,
    HardLink,
    Symlink,
    CharDevice,
    BlockDevice,
    Directory,
    Fifo,
}

/// One entry. Its data, if any, is read from the archive before the next entry.
#[derive(Clone, Debug)]
pub struct Entry {
    /// As the archive has it: absolute, with `..`, whatever.
    pub path: Vec<u8>,
    /// Target of a hard or symbolic link.
    pub link: Vec<u8>,
    pub kind: Kind,
    /// Permission bits with setuid, setgid and sticky.
    pub mode: u32,
    pub uid: i64,
    pub gid: i64,
    pub modified: ModifiedAt,
    /// Length of the file, holes included.
    pub size: u64,
    /// Has holes that are not in the archive.
    pub is_sparse: bool,
    pub device: (i64, i64),
    /// Extended attributes: names and values.
    pub attributes: Vec<(Vec<u8>, Vec<u8>)>,
}

pub struct Archive<'a> {
    from: &'a mut dyn Stream,
    /// Takes note of every byte.
    pub index: Option<&'a mut Index>,
    /// Pieces of the entry's data that are yet to be read: offset in the file, and length.
    /// The last comes first.
    pieces: Vec<(u64, u64)>,
    /// Bytes between the entry's data and the next header.
    padding: u64,
    state: State,
}

#[derive(Clone, Copy, PartialEq)]
enum State {
    Reading,
    /// The two blocks of zeros that end an archive were there.
    Ended,
    /// The stream ended between two entries. Some writers leave out the end; a cut may look so too.
    CutBetweenEntries,
}

impl<'a> Archive<'a> {
    pub fn new(from: &'a mut dyn Stream) -> Archive<'a> {
        Archive {
            from,
            index: None,
            pieces: Vec::new(),
            padding: 0,
            state: State::Reading,
        }
    }

    /// Read over what is left of an entry: the next one begins behind it.
    pub fn skip_rest(&mut self) -> io::Result<()> {
        self.skip()
    }

    /// Whether the archive said that it ends here.
    pub fn has_end(&self) -> bool {
        self.state == State::Ended
    }

    /// Read what follows the archive's end.
    pub fn rest(&mut self) -> io::Result<()> {
        let mut buffer = [0; 4096];
        while self.take(&mut buffer)? > 0 {}
        Ok(())
    }

    /// The next entry; what was not read of the last one's data is skipped.
    pub fn next(&mut self) -> io::Result<Option<Entry>> {
        let mut pax = None;
        let mut long_path = None;
        let mut long_link = None;
        loop {
            self.skip()?;
            let Some(header) = self.header()? else {
                if pax.is_some() || long_path.is_some() || long_link.is_some() {
                    return Err(truncated());
                }
                return Ok(None);
            };
            let size = header.number(124..136, "size")?;
            let size = u64::try_from(size).map_err(|_| bad("invalid tar header: negative size"))?;
            match header.0[156] {
                b'x' if pax.is_none() => pax = Some(pax::parse(&self.special(size)?)?),
                b'L' if long_path.is_none() => long_path = Some(until_nul(self.special(size)?)),
                b'K' if long_link.is_none() => long_link = Some(until_nul(self.special(size)?)),
                b'x' | b'L' | b'K' => return Err(bad("two extended tar headers for one entry")),
                // Global records, such as git's comment; Docker ignores them too.
                b'g' => self.expect(size),
                _ => {
                    let mut pax = pax.unwrap_or_default();
                    pax.path = long_path.or(pax.path);
                    pax.link = long_link.or(pax.link);
                    return self.entry(&header, size, pax).map(Some);
                }
            }
        }
    }

    /// Some of the entry's data: its offset in the file, and how many bytes are now in `buffer`;
    /// none at the end. Holes of a sparse file are passed over.
    pub fn read_piece(&mut self, buffer: &mut [u8]) -> io::Result<(u64, usize)> {
        while let Some((offset, length)) = self.pieces.last_mut() {
            if *length == 0 {
                self.pieces.pop();
                continue;
            }
            let want = usize::try_from(*length).unwrap_or(usize::MAX);
            let want = want.min(buffer.len());
            let count = self.from.read(&mut buffer[..want])?;
            if count == 0 && want > 0 {
                return Err(truncated());
            }
            let at = *offset;
            if let Some(index) = &mut self.index {
                index.data(&buffer[..count], at)?;
            }
            *offset += count as u64;
            *length -= count as u64;
            return Ok((at, count));
        }
        Ok((0, 0))
    }

    fn skip(&mut self) -> io::Result<()> {
        let mut left = self.padding;
        for (_, length) in self.pieces.drain(..) {
            left = left
                .checked_add(length)
                .ok_or_else(|| bad("tar entry too large"))?;
        }
        self.padding = 0;
        let mut buffer = [0; 4096];
        while left > 0 {
            let want = left.min(buffer.len() as u64) as usize;
            match self.take(&mut buffer[..want])? {
                0 => return Err(truncated()),
                count => left -= count as u64,
            }
        }
        Ok(())
    }

    /// The next header; none at the end of the archive.
    fn header(&mut self) -> io::Result<Option<Header>> {
        if self.state != State::Reading {
            return Ok(None);
        }
        let Some(block) = self.block()? else {
            self.state = State::CutBetweenEntries;
            return Ok(None);
        };
        if block != [0; BLOCK] {
            return Header::check(block).map(Some);
        }
        // One block of zeros and then the end of the stream is common, and accepted by all.
        match self.block()? {
            Some(block) if block != [0; BLOCK] => Err(bad("invalid tar header")),
            _ => {
                self.state = State::Ended;
                Ok(None)
            }
        }
    }

    /// What is not the data of an entry.
    fn take(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.from.read(into)?;
        if let Some(index) = &mut self.index {
            index.raw(&into[..count])?;
        }
        Ok(count)
    }

    /// One whole block, or none at the end of the stream.
    fn block(&mut self) -> io::Result<Option<[u8; BLOCK]>> {
        let mut block = [0; BLOCK];
        let mut filled = 0;
        while filled < BLOCK {
            match self.take(&mut block[filled..])? {
                0 if filled == 0 => return Ok(None),
                0 => return Err(truncated()),
                count => filled += count,
            }
        }
        Ok(Some(block))
    }

    /// Data of `size` bytes follows, in one piece, filled up to a block.
    fn expect(&mut self, size: u64) {
        self.pieces = vec![(0, size)];
        self.padding = padding(size);
    }

    /// The data of an extended header.
    fn special(&mut self, size: u64) -> io::Result<Vec<u8>> {
        if size > SPECIAL_BYTES_MAX {
            return Err(bad("extended tar header larger than 1 MiB"));
        }
        self.expect(size);
        let mut data = vec![0; size as usize];
        let mut filled = 0;
        while filled < data.len() {
            match self.read_piece(&mut data[filled..])? {
                (_, 0) => break,
                (_, count) => filled += count,
            }
        }
        Ok(data)
    }

    fn entry(&mut self, header: &Header, size: u64, pax: Pax) -> io::Result<Entry> {
        let path = pax.path.unwrap_or_else(|| header.path());
        let kind = header.kind(&path)?;
        let mut entry = Entry {
            link: pax.link.unwrap_or_else(|| header.text(157..257)),
            kind,
            mode: (header.number(100..108, "mode")? & 0o7777) as u32,
            uid: pax.uid.map_or_else(|| header.number(108..116, "uid"), Ok)?,
            gid: pax.gid.map_or_else(|| header.number(116..124, "gid"), Ok)?,
            modified: match pax.modified {
                Some(modified) => modified,
                None => ModifiedAt {
                    seconds: header.number(136..148, "mtime")?,
                    nanos: 0,
                },
            },
            size: pax.size.unwrap_or(size),
            is_sparse: false,
            device: (0, 0),
            attributes: pax.attributes,
            path,
        };
        match kind {
            Kind::File => {
                self.expect(entry.size);
                if header.0[156] == b'S' {
                    self.gnu_sparse(header, &mut entry)?;
                } else if let Some(sparse) = pax.sparse {
                    self.pax_sparse(sparse, &mut entry)?;
                }
            }
            Kind::CharDevice | Kind::BlockDevice => {
                entry.device = (
                    header.number(329..337, "device")?,
                    header.number(337..345, "device")?,
                );
            }
            _ => {}
        }
        Ok(entry)
    }

    /// GNU's own sparse format: the map is in the header, and in more blocks behind it.
    fn gnu_sparse(&mut self, header: &Header, entry: &mut Entry) -> io::Result<()> {
        let mut pieces = Vec::new();
        let mut map = header.0[386..482].to_vec();
        let mut is_extended = header.0[482] != 0;
        loop {
            for slot in map.chunks_exact(24) {
                if slot[0] == 0 {
                    break;
                }
                let (offset, length) = (number(&slot[..12]), number(&slot[12..]));
                pieces.push((offset, length));
            }
            if !is_extended {
                break;
            }
            if pieces.len() > PIECES_MAX {
                return Err(bad("sparse file in too many pieces"));
            }
            let block = self.block()?.ok_or_else(truncated)?;
            map = block[..504].to_vec();
            is_extended = block[504] != 0;
        }
        let size = header.number(483..495, "real size")?;
        let pieces = pieces
            .into_iter()
            .map(|piece| Some((piece.0?, piece.1?)))
            .collect::<Option<Vec<(i64, i64)>>>()
            .ok_or_else(|| bad("invalid map of a sparse file"))?;
        self.set_pieces(pieces, size, entry)
    }

    /// GNU's sparse formats in PAX records: 0.1 has its map there, 1.0 in front of the data.
    fn pax_sparse(&mut self, sparse: pax::Sparse, entry: &mut Entry) -> io::Result<()> {
        if let Some(path) = sparse.path {
            entry.path = path;
        }
        let size = sparse.size;
        let numbers = match sparse.map {
            Some(map) => map,
            None => self.map_in_front(entry.size)?,
        };
        let pieces = numbers.chunks(2).map(|pair| match pair {
            [offset, length] => Some((*offset, *length)),
            _ => None,
        });
        let pieces = pieces
            .collect::<Option<Vec<(i64, i64)>>>()
            .ok_or_else(|| bad("invalid map of a sparse file"))?;
        self.set_pieces(pieces, size, entry)
    }

    /// Format 1.0: the number of pieces, then offset and length of each, a decimal number a line,
    /// filled up to a block.
    fn map_in_front(&mut self, size: u64) -> io::Result<Vec<i64>> {
        let invalid = || bad("invalid map of a sparse file");
        let mut numbers: Vec<i64> = Vec::new();
        let mut digits = Vec::new();
        let mut blocks = 0u64;
        loop {
            for byte in self.block()?.ok_or_else(truncated)? {
                if byte != b'\n' {
                    digits.push(byte);
                    continue;
                }
                numbers.push(pax::decimal(&digits).ok_or_else(invalid)?);
                digits.clear();
                let pieces = numbers.first().copied().unwrap_or_default();
                if numbers.len() as i64 == 1 + 2 * pieces.min(PIECES_MAX as i64) {
                    blocks += 1;
                    let left = size
                        .checked_sub(blocks * BLOCK as u64)
                        .ok_or_else(invalid)?;
                    self.expect(left);
                    return Ok(numbers.split_off(1));
                }
            }
            blocks += 1;
            if digits.len() > 20 {
                return Err(invalid());
            }
        }
    }

    /// Take over a sparse file's map, which must account for each byte in the archive.
    fn set_pieces(&mut self, map: Vec<(i64, i64)>, size: i64, entry: &mut Entry) -> io::Result<()> {
        let stored: u64 = self.pieces.iter().map(|piece| piece.1).sum();
        let mut end = 0i64;
        let mut total = 0i64;
        let mut pieces = Vec::with_capacity(map.len());
        for (offset, length) in map {
            if offset < end || length < 0 {
                return Err(bad("invalid map of a sparse file"));
            }
            end = offset
                .checked_add(length)
                .ok_or_else(|| bad("invalid map of a sparse file"))?;
            // No overflow: the pieces lie behind each other, so their sum is at most `end`.
            total += length;
            pieces.push((offset as u64, length as u64));
        }
        if end > size || total as u64 != stored {
            return Err(bad("map of a sparse file does not match its data"));
        }
        pieces.reverse();
        self.pieces = pieces;
        entry.size = size as u64;
        entry.is_sparse = true;
        Ok(())
    }
}

/// Reads the entry's data as a stream. Not for sparse files, whose holes it would lose.
impl Stream for Archive<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.read_piece(into).map(|(_, count)| count)
    }

    fn mark(&self, mark: &mut Mark) {
        self.from.mark(mark);
    }
}

/// Whether `head` begins with a tar header, or with the end of an empty archive.
pub fn is_header(head: &[u8]) -> bool {
    match head.first_chunk() {
        Some(block) => block == &[0; BLOCK] || Header::check(*block).is_ok(),
        None => false,
    }
}

struct Header([u8; BLOCK]);

impl Header {
    /// The checksum is the only thing that all formats have in common. Old writers summed up
    /// signed bytes.
    fn check(block: [u8; BLOCK]) -> io::Result<Header> {
        let field = 148..156;
        let mut unsigned = 0i64;
        let mut signed = 0i64;
        for (at, byte) in block.iter().enumerate() {
            let byte = if field.contains(&at) { b' ' } else { *byte };
            unsigned += i64::from(byte);
            signed += i64::from(byte as i8);
        }
        match number(&block[field]) {
            Some(sum) if sum == unsigned || sum == signed => Ok(Header(block)),
            _ => Err(bad("invalid tar header")),
        }
    }

    fn text(&self, field: std::ops::Range<usize>) -> Vec<u8> {
        until_nul(self.0[field].to_vec())
    }

    fn number(&self, field: std::ops::Range<usize>, what: &str) -> io::Result<i64> {
        number(&self.0[field]).ok_or_else(|| bad(format!("invalid tar header: {what}")))
    }

    fn path(&self) -> Vec<u8> {
        let name = self.text(0..100);
        // GNU's format has other things in the place of ustar's prefix.
        if self.0[257..263] != *b"ustar\0" || self.0[345] == 0 {
            return name;
        }
        [&self.text(345..500), &b"/"[..], &name].concat()
    }

    fn kind(&self, path: &[u8]) -> io::Result<Kind> {
        Ok(match self.0[156] {
            // BSD's and the old writers' way to say directory.
            0 | b'0' if path.ends_with(b"/") => Kind::Directory,
            0 | b'0' | b'7' | b'S' => Kind::File,
            b'1' => Kind::HardLink,
            b'2' => Kind::Symlink,
            b'3' => Kind::CharDevice,
            b'4' => Kind::BlockDevice,
            b'5' => Kind::Directory,
            b'6' => Kind::Fifo,
            other => {
                return Err(bad(format!(
                    "{}: tar entry of type {:?} is not supported",
                    crate::image::inside::shown(path),
                    char::from(other)
                )));
            }
        })
    }
}

/// A number in a header: octal digits, or, where the first bit is set, a big-endian two's complement.
fn number(field: &[u8]) -> Option<i64> {
    let first = *field.first()?;
    if first & 0x80 != 0 {
        // The bit below is the sign; spread it over the bits that the field does not have.
        let start = if first & 0x40 != 0 { -1i64 } else { 0 };
        let low = i64::from(first & 0x3f);
        let value = start.checked_mul(64)?.checked_add(low)?;
        return field[1..].iter().try_fold(value, |value, byte| {
            value.checked_mul(256)?.checked_add(i64::from(*byte))
        });
    }
    let text = field.split(|byte| *byte == 0).find(|part| !part.is_empty());
    let text = text.unwrap_or_default().trim_ascii();
    text.iter().try_fold(0i64, |value, byte| match byte {
        b'0'..=b'7' => value.checked_mul(8)?.checked_add(i64::from(byte - b'0')),
        _ => None,
    })
}

fn until_nul(mut text: Vec<u8>) -> Vec<u8> {
    if let Some(end) = text.iter().position(|byte| *byte == 0) {
        text.truncate(end);
    }
    text
}

/// As many zeros as fill the last block of `size` bytes.
pub fn padding(size: u64) -> u64 {
    size.wrapping_neg() % BLOCK as u64
}
