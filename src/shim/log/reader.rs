//! Reads a log back, while it may be written and rotated.
//!
//! To follow one: watch its directory with `sys::notify::Changes`; `clear` it, ask `next` until it
//! answers `None`, wait for the directory to change.

use crate::error::{Error, Result};
use crate::shim::log::file::rotated;
use crate::shim::log::record::{self, LogLine};
use crate::time::Time;
use crate::wire::stdcopy::Stream;
use std::fs::File;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

/// Which records a reader gives.
#[derive(Clone, Debug, Default)]
pub struct Select {
    pub stdout: bool,
    pub stderr: bool,
    /// Records from this time on.
    pub since: Option<Time>,
    /// Records up to this time.
    pub until: Option<Time>,
    /// Only so many of the last records, counted before the other conditions, as Docker does.
    pub tail: Option<u64>,
}

/// How far a log was read, for another reader to go on from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mark {
    /// The file, by its inode.
    pub file: u64,
    pub offset: u64,
}

const READ_BYTES: usize = 32 << 10;

/// More than the longest record that we write; a longer line is no record.
const RECORD_BYTES_MAX: usize = 1 << 20;

pub struct Reader {
    path: PathBuf,
    select: Select,
    /// The files to read, the one being read last, the newest first.
    files: Vec<File>,
    /// How far the file being read has been read.
    offset: u64,
    buffer: Vec<u8>,
    /// Where in `buffer` the next record begins.
    start: usize,
    is_past_end: bool,
}

impl Reader {
    /// A reader of the log at `path` (`…/log.json`) and the rotated files beside it. A log that does
    /// not exist (yet) reads as empty.
    pub fn open(path: &Path, select: Select) -> Result<Reader> {
        Reader::open_both(path, None, select)
    }

    /// The same for a log whose older part, where there is one, was moved to another place.
    pub fn open_both(path: &Path, older: Option<&Path>, select: Select) -> Result<Reader> {
        let mut reader = Reader {
            path: path.to_path_buf(),
            files: open_both(path, older)?,
            offset: 0,
            buffer: Vec::new(),
            start: 0,
            is_past_end: false,
            select,
        };
        if let Some(count) = reader.select.tail {
            reader.skip_to_last(count)?;
        }
        Ok(reader)
    }

    /// A reader of what has come since `mark`. If its file has gone, of all that is there.
    pub fn after(path: &Path, select: Select, mark: Mark) -> Result<Reader> {
        Ok(Reader::open(path, select)?.behind(mark))
    }

    /// Leave out what stands before `mark`.
    pub fn behind(self, mark: Mark) -> Reader {
        let mut reader = self;
        for at in 0..reader.files.len() {
            let file = reader.files.get(at);
            let path = &reader.path;
            if file.is_some_and(|file| inode(file, path).is_ok_and(|found| found == mark.file)) {
                reader.files.truncate(at + 1);
                reader.offset = mark.offset;
                break;
            }
        }
        reader
    }

    pub fn mark(&self) -> Mark {
        let file = self.files.last();
        Mark {
            file: file
                .and_then(|file| inode(file, &self.path).ok())
                .unwrap_or(0),
            offset: self.offset - (self.buffer.len() - self.start) as u64,
        }
    }

    /// The next record that is there. `None`: no more for now; ask again when the log has grown.
    pub fn next(&mut self) -> Result<Option<LogLine>> {
        while !self.is_past_end {
            let Some(line) = self.next_line()? else {
                return Ok(None);
            };
            // A torn record is one that a power cut has left; the others are not the worse for it.
            let Some(record) = record::decode(&line) else {
                continue;
            };
            let is_wanted = match record.stream {
                Stream::Stderr => self.select.stderr,
                _ => self.select.stdout,
            };
            if is_wanted && self.is_in_time(&record) {
                return Ok(Some(record));
            }
        }
        Ok(None)
    }

    /// Whether a record later than `until` was met: nothing more will come.
    pub fn is_past_end(&self) -> bool {
        self.is_past_end
    }

    fn is_in_time(&mut self, record: &LogLine) -> bool {
        if self.select.since.is_none() && self.select.until.is_none() {
            return true;
        }
        let Ok(time) = Time::parse(&record.time) else {
            return false;
        };
        self.is_past_end = self.select.until.is_some_and(|until| time > until);
        !self.is_past_end && self.select.since.is_none_or(|since| time >= since)
    }

    fn next_line(&mut self) -> Result<Option<Vec<u8>>> {
        loop {
            let fresh = self.buffer.get(self.start..).unwrap_or_default();
            if let Some(length) = fresh.iter().position(|byte| *byte == b'\n') {
                let line = fresh.get(..length).unwrap_or_default().to_vec();
                self.start += length + 1;
                return Ok(Some(line));
            }
            if fresh.len() > RECORD_BYTES_MAX {
                self.start = self.buffer.len();
            }
            if !self.read_more()? && !self.next_file()? {
                return Ok(None);
            }
        }
    }

    /// Read on in the current file; false at its end.
    fn read_more(&mut self) -> Result<bool> {
        self.buffer.drain(..self.start);
        self.start = 0;
        let Some(file) = self.files.last() else {
            return Ok(false);
        };
        let length = self.buffer.len();
        self.buffer.resize(length + READ_BYTES, 0);
        let room = self.buffer.get_mut(length..).unwrap_or_default();
        let count = file.read_at(room, self.offset);
        self.buffer.truncate(length + count.as_ref().unwrap_or(&0));
        let count = count.map_err(|e| failed("read", &self.path, &e))?;
        self.offset += count as u64;
        Ok(count > 0)
    }

    /// Go on to the file after the one that was read to its end, if it is not the one being written.
    fn next_file(&mut self) -> Result<bool> {
        if self.files.len() < 2 {
            let newer = self.newer_files()?;
            if newer.is_empty() {
                return Ok(false);
            }
            // What was written between the last read and the rotation.
            if self.read_more()? {
                return Ok(true);
            }
            self.files = newer;
        } else {
            self.files.pop();
        }
        self.offset = 0;
        self.buffer.clear();
        self.start = 0;
        Ok(true)
    }

    /// The files that have come after the current one, newest first.
    fn newer_files(&self) -> Result<Vec<File>> {
        let mut files = open_all(&self.path)?;
        if let Some(current) = self.files.last() {
            let number = inode(current, &self.path)?;
            for at in 0..files.len() {
                if files
                    .get(at)
                    .is_some_and(|file| inode(file, &self.path).is_ok_and(|found| found == number))
                {
                    files.truncate(at);
                    break;
                }
            }
        }
        Ok(files)
    }

    /// Begin with the last `count` records.
    fn skip_to_last(&mut self, count: u64) -> Result<()> {
        let mut wanted = count;
        for at in 0..self.files.len() {
            let Some(file) = self.files.get(at) else {
                break;
            };
            match last_lines(file, wanted).map_err(|e| failed("read", &self.path, &e))? {
                Found::At(offset) => {
                    self.files.truncate(at + 1);
                    self.offset = offset;
                    return Ok(());
                }
                Found::Fewer(lines) => wanted -= lines,
            }
        }
        Ok(())
    }
}

/// Where the last lines of a file begin, or how many it has if those are too few.
enum Found {
    At(u64),
    Fewer(u64),
}

/// Look for the last `wanted` whole lines, backwards. What stands after the last newline is torn or
/// being written, and does not count.
fn last_lines(file: &File, wanted: u64) -> std::io::Result<Found> {
    let mut buffer = vec![0u8; READ_BYTES];
    let mut end = file.metadata()?.len();
    let mut newlines = 0;
    while end > 0 {
        let size = (READ_BYTES as u64).min(end);
        let block = buffer.get_mut(..size as usize).unwrap_or_default();
        file.read_exact_at(block, end - size)?;
        for (at, _) in block
            .iter()
            .enumerate()
            .rev()
            .filter(|(_, byte)| **byte == b'\n')
        {
            if newlines == wanted {
                return Ok(Found::At(end - size + at as u64 + 1));
            }
            newlines += 1;
        }
        end -= size;
    }
    if newlines == wanted {
        return Ok(Found::At(0));
    }
    Ok(Found::Fewer(newlines))
}

/// How often a log may be moved while it is opened.
const MOVES_MAX: u32 = 3;

/// The files of a log and of its older part. If it is moved there just then, it is opened anew, or
/// its records would be in both.
fn open_both(path: &Path, older: Option<&Path>) -> Result<Vec<File>> {
    let Some(older) = older else {
        return open_all(path);
    };
    let newest = |files: &[File]| files.first().and_then(|file| inode(file, path).ok());
    let mut tries = 0;
    loop {
        let mut files = open_all(path)?;
        let before = newest(&files);
        files.extend(open_all(older)?);
        tries += 1;
        if tries > MOVES_MAX || newest(&open_all(path)?) == before {
            return Ok(files);
        }
    }
}

/// All files of a log, newest first. In this order a rotation meanwhile shows a file twice, which
/// is noticed, and never hides one.
fn open_all(path: &Path) -> Result<Vec<File>> {
    let mut files: Vec<File> = Vec::new();
    let mut seen = Vec::new();
    let mut is_missing = false;
    for number in 0.. {
        let path = rotated(path, number);
        match File::open(&path) {
            Ok(file) => {
                let inode = inode(&file, &path)?;
                if !seen.contains(&inode) {
                    seen.push(inode);
                    files.push(file);
                }
            }
            // One may be missing while a log is rotated, and after a power cut meanwhile.
            Err(e) if e.kind() == std::io::ErrorKind::NotFound && !is_missing => is_missing = true,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => break,
            Err(e) => return Err(failed("open", &path, &e)),
        }
    }
    Ok(files)
}

fn inode(file: &File, path: &Path) -> Result<u64> {
    let metadata = file.metadata().map_err(|e| failed("stat", path, &e))?;
    Ok(metadata.ino())
}

fn failed(doing: &str, path: &Path, error: &std::io::Error) -> Error {
    Error::io(format_args!("{doing} {}", path.display()), error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shim::log::file::LogFile;
    use crate::shim::log::options::Files;
    use crate::shim::log::record::Format;
    use crate::shim::log::writer::{PIECE_BYTES_MAX, Writer};
    use std::fs;

    /// A log in a directory of its own, gone with the value.
    struct Place(PathBuf);

    impl Place {
        fn new(name: &str) -> Place {
            let dir = std::env::temp_dir().join(format!("tug-log-{}-{name}", std::process::id()));
            fs::create_dir_all(&dir).unwrap();
            Place(dir)
        }

        fn log(&self) -> PathBuf {
            self.0.join("log.json")
        }

        fn writer(&self, bytes_max: Option<u64>, count_max: u32) -> Writer {
            self.writer_of(Format::Json(Default::default()), bytes_max, count_max)
        }

        fn writer_of(&self, format: Format, bytes_max: Option<u64>, count_max: u32) -> Writer {
            let bounds = Files {
                bytes_max,
                count_max,
            };
            Writer::to(LogFile::open(&self.log(), format, bounds).unwrap())
        }

        fn read(&self, select: Select) -> Vec<String> {
            texts(&mut Reader::open(&self.log(), select).unwrap())
        }
    }

    impl Drop for Place {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn both() -> Select {
        Select {
            stdout: true,
            stderr: true,
            ..Default::default()
        }
    }

    fn last(count: u64) -> Select {
        Select {
            tail: Some(count),
            ..both()
        }
    }

    fn texts(reader: &mut Reader) -> Vec<String> {
        let mut texts = Vec::new();
        while let Some(line) = reader.next().unwrap() {
            texts.push(String::from_utf8(line.text).unwrap());
        }
        texts
    }

    #[test]
    fn what_was_written_reads_back() {
        let place = Place::new("back");
        let mut writer = place.writer(None, 3);
        writer.chunk(Stream::Stdout, b"one\ntw");
        writer.chunk(Stream::Stderr, b"error \xff\n");
        writer.chunk(Stream::Stdout, "o \u{1} <é>\n\n".as_bytes());
        writer.chunk(Stream::Stdout, b"no newline");
        writer.end(Stream::Stdout);
        assert_eq!(
            place.read(both()),
            [
                "one\n",
                "error \u{fffd}\n",
                "two \u{1} <é>\n",
                "\n",
                "no newline"
            ]
        );
        let only = Select {
            stderr: true,
            ..Default::default()
        };
        assert_eq!(place.read(only), ["error \u{fffd}\n"]);
    }

    #[test]
    fn a_long_line_becomes_pieces() {
        let place = Place::new("long");
        let mut writer = place.writer(None, 3);
        let long = "x".repeat(2 * PIECE_BYTES_MAX + 5) + "\n";
        writer.chunk(Stream::Stdout, long.as_bytes());
        let exact = "y".repeat(PIECE_BYTES_MAX);
        writer.chunk(Stream::Stdout, exact.as_bytes());
        writer.chunk(Stream::Stdout, b"\n");
        let wide = "é".repeat(PIECE_BYTES_MAX);
        writer.chunk(Stream::Stdout, b".");
        writer.chunk(Stream::Stdout, wide.as_bytes());
        writer.end(Stream::Stdout);

        let texts = place.read(both());
        let lengths: Vec<usize> = texts.iter().map(String::len).collect();
        let piece = PIECE_BYTES_MAX;
        assert_eq!(lengths, [piece, piece, 6, piece, 1, piece - 1, piece, 2]);
        assert!(!texts.concat().contains('\u{fffd}'));
    }

    #[test]
    fn old_files_are_kept_and_the_oldest_goes() {
        let place = Place::new("rotate");
        let mut writer = place.writer(Some(200), 3);
        for number in 0..100 {
            writer.chunk(Stream::Stdout, format!("line {number}\n").as_bytes());
        }
        let texts = place.read(both());
        let first = 100 - texts.len();
        let expected: Vec<String> = (first..100).map(|n| format!("line {n}\n")).collect();
        assert_eq!(texts, expected);
        assert!(texts.len() >= 6, "{}", texts.len());
        assert!(!rotated(&place.log(), 3).exists());
        for count in 0..texts.len() as u64 {
            let tail = place.read(last(count));
            assert_eq!(tail, expected[expected.len() - count as usize..]);
        }
        assert_eq!(place.read(last(1000)), expected);
    }

    #[test]
    fn a_follower_misses_nothing_when_files_rotate() {
        let place = Place::new("follow");
        let mut reader = Reader::open(&place.log(), both()).unwrap();
        assert_eq!(texts(&mut reader), [""; 0]);
        let mut writer = place.writer(Some(300), 3);
        let mut seen = Vec::new();
        for number in 0..200 {
            writer.chunk(Stream::Stdout, format!("line {number}\n").as_bytes());
            if number % 5 == 0 {
                seen.extend(texts(&mut reader));
            }
        }
        seen.extend(texts(&mut reader));
        let expected: Vec<String> = (0..200).map(|n| format!("line {n}\n")).collect();
        assert_eq!(seen, expected);
    }

    #[test]
    fn torn_records_are_skipped() {
        let place = Place::new("torn");
        let mut writer = place.writer(None, 3);
        writer.chunk(Stream::Stdout, b"one\n");
        drop(writer);
        let torn = "{\"log\":\"tw";
        let content = fs::read_to_string(place.log()).unwrap() + torn;
        fs::write(place.log(), &content).unwrap();
        assert_eq!(place.read(both()), ["one\n"]);
        assert_eq!(place.read(last(1)), ["one\n"]);

        let mut writer = place.writer(None, 3);
        writer.chunk(Stream::Stdout, b"three\n");
        assert_eq!(place.read(both()), ["one\n", "three\n"]);
    }

    /// The texts in `place` after a new writer has added one, which must come last.
    fn after_restart(place: &Place, format: &Format) -> Vec<String> {
        let mut writer = place.writer_of(format.clone(), Some(400), 3);
        writer.chunk(Stream::Stdout, b"new\n");
        let mut texts = place.read(both());
        assert_eq!(texts.pop().as_deref(), Some("new\n"));
        assert_eq!(place.read(last(1)), ["new\n"]);
        texts
    }

    /// A log of three files, and their contents, the newest first.
    fn three_files(place: &Place, format: &Format) -> Vec<Vec<u8>> {
        let mut writer = place.writer_of(format.clone(), Some(400), 3);
        for number in 0..40 {
            writer.chunk(Stream::Stdout, format!("line {number}\n").as_bytes());
        }
        let content = |number| fs::read(rotated(&place.log(), number)).unwrap();
        (0..3).map(content).collect()
    }

    fn lay(place: &Place, files: &[(u32, &[u8])]) {
        for number in 0..5 {
            let _ = fs::remove_file(rotated(&place.log(), number));
        }
        for (number, content) in files {
            fs::write(rotated(&place.log(), *number), content).unwrap();
        }
    }

    #[test]
    fn a_power_cut_at_any_byte_leaves_whole_records_in_order() {
        for format in [Format::Json(Default::default()), Format::Local] {
            let place = Place::new("pictures");
            let files = three_files(&place, &format);
            let [newest, older, oldest] = [0, 1, 2].map(|at| files[at].as_slice());
            let all = place.read(both());
            let in_newest = newest.iter().filter(|byte| **byte == b'\n').count();

            for length in 0..=newest.len() {
                let torn = &newest[..length];
                let whole = torn.iter().filter(|byte| **byte == b'\n').count();
                let expected = &all[..all.len() - in_newest + whole];
                // The end was not written, or the file was made longer without its content.
                let zeros = [torn, &vec![0; newest.len() - length]].concat();
                for picture in [torn, &zeros] {
                    lay(&place, &[(0, picture), (1, older), (2, oldest)]);
                    assert_eq!(place.read(both()), expected, "{length}");
                    lay(&place, &[(0, picture), (1, older), (2, oldest)]);
                    let found = after_restart(&place, &format);
                    // The restart may have rotated: then the oldest file has gone.
                    assert!(expected.ends_with(&found), "{length}: {found:?}");
                    assert!(found.len() >= whole, "{length}: {found:?}");
                }
            }
        }
    }

    #[test]
    fn a_power_cut_within_a_rotation_loses_no_record_that_is_there() {
        for format in [Format::Json(Default::default()), Format::Local] {
            let place = Place::new("rotations");
            let files = three_files(&place, &format);
            let [newest, older, oldest] = [0, 1, 2].map(|at| files[at].as_slice());
            let all = place.read(both());
            let count = |file: &[u8]| file.iter().filter(|byte| **byte == b'\n').count();
            let but_oldest = &all[count(oldest)..];
            for (picture, expected) in [
                (&[(0, newest), (1, older), (2, oldest)][..], &all[..]),
                (&[(0, newest), (2, older)], but_oldest),
                (&[(1, newest), (2, older)], but_oldest),
                (&[(0, b""), (1, newest), (2, older)], but_oldest),
            ] {
                lay(&place, picture);
                assert_eq!(place.read(both()), expected);
                lay(&place, picture);
                let found = after_restart(&place, &format);
                assert!(expected.ends_with(&found), "{found:?}");
                let sizes = (0..4).filter_map(|n| fs::metadata(rotated(&place.log(), n)).ok());
                assert!(sizes.map(|file| file.len()).sum::<u64>() < 3 * 500);
            }
        }
    }

    #[test]
    fn the_local_format_keeps_bytes_as_they_came() {
        let place = Place::new("local");
        let mut writer = place.writer_of(Format::Local, None, 3);
        writer.chunk(Stream::Stdout, b"a \xff\0\r\n\n");
        writer.chunk(Stream::Stderr, &[b'x'; PIECE_BYTES_MAX + 1]);
        writer.end(Stream::Stderr);
        let mut reader = Reader::open(&place.log(), both()).unwrap();
        let mut found = Vec::new();
        while let Some(line) = reader.next().unwrap() {
            found.push((line.stream, line.text));
        }
        assert_eq!(
            found,
            [
                (Stream::Stdout, b"a \xff\0\r\n".to_vec()),
                (Stream::Stdout, b"\n".to_vec()),
                (Stream::Stderr, vec![b'x'; PIECE_BYTES_MAX]),
                (Stream::Stderr, b"x".to_vec()),
            ]
        );
    }

    #[test]
    fn an_endless_line_is_kept_in_pieces_and_not_in_memory() {
        let place = Place::new("endless");
        let mut writer = place.writer(Some(1 << 20), 2);
        for _ in 0..100 {
            writer.chunk(Stream::Stdout, &[b'x'; 64 << 10]);
            assert!(writer.rest(Stream::Stdout).len() < PIECE_BYTES_MAX);
        }
        assert!(
            place
                .read(last(3))
                .iter()
                .all(|text| text.len() == PIECE_BYTES_MAX)
        );
    }

    #[test]
    fn another_reader_goes_on_from_a_mark() {
        let place = Place::new("mark");
        let mut reader = Reader::open(&place.log(), both()).unwrap();
        let from_nothing = reader.mark();
        let mut writer = place.writer(Some(300), 9);
        let mut marks = vec![(from_nothing, 0)];
        for number in 0..20 {
            writer.chunk(Stream::Stdout, format!("line {number}\n").as_bytes());
            texts(&mut reader);
            marks.push((reader.mark(), number + 1));
        }
        for (mark, from) in marks {
            let mut after = Reader::after(&place.log(), both(), mark).unwrap();
            let expected: Vec<String> = (from..20).map(|n| format!("line {n}\n")).collect();
            assert_eq!(texts(&mut after), expected);
        }
    }

    #[test]
    fn times_bound_what_is_read() {
        let place = Place::new("times");
        let record = |n: u32| {
            format!(
                "{{\"log\":\"{n}\\n\",\"stream\":\"stdout\",\"time\":\"2026-01-01T00:00:0{n}Z\"}}\n"
            )
        };
        let content: String = (0..6).map(record).collect();
        fs::write(place.log(), content).unwrap();
        let time = |n: u32| Some(Time::parse(&format!("2026-01-01T00:00:0{n}Z")).unwrap());
        let select = Select {
            since: time(2),
            until: time(4),
            ..both()
        };
        let mut reader = Reader::open(&place.log(), select).unwrap();
        assert_eq!(texts(&mut reader), ["2\n", "3\n", "4\n"]);
        assert!(reader.is_past_end());
    }
}
