//! logs: what a container has printed, and what it goes on printing.

use crate::engine::container::Container;
use crate::engine::{Engine, start};
use crate::error::{Error, Result};
use crate::http::query;
use crate::json::map::Map;
use crate::shim::log::reader::{Mark, Reader, Select};
use crate::shim::log::record::LogLine;
use crate::sys::notify::Changes;
use crate::sys::poll;
use crate::time::Time;
use crate::wire::stdcopy;
use rustix::event::PollFlags;
use std::io::{BufWriter, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

/// Records are sent to a client in portions of this, and at once where no more are there.
const BATCH_BYTES: usize = 32 << 10;

#[derive(Default)]
pub struct Options {
    pub select: Select,
    pub follow: bool,
    pub timestamps: bool,
    /// Show what the driver's options add to each record.
    pub details: bool,
    /// Only what has come since.
    pub after: Option<Mark>,
}

/// A container's log, about to be read.
pub struct Logs<'a> {
    container: &'a Container,
    reader: Reader,
    options: Options,
    /// Before the first look at the log, so that nothing is missed between looks.
    changes: Option<Changes>,
}

impl Engine {
    pub fn logs<'a>(&self, container: &'a Container, mut options: Options) -> Result<Logs<'a>> {
        if !options.select.stdout && !options.select.stderr {
            return Err(Error::invalid(
                "Bad parameters: you must choose at least one stream",
            ));
        }
        let Some(path) = self.log_file(container) else {
            return Err(Error::unsupported(
                "configured logging driver does not support reading",
            ));
        };
        options.follow &= container.is_running();
        let ring = self.log_in_memory(container);
        let (path, older) = match &ring {
            Some(ring) => (ring.as_path(), Some(path.as_path())),
            None => (path.as_path(), None),
        };
        let changes = match path.parent().filter(|_| options.follow) {
            Some(dir) => Some(Changes::of_dir(dir)?),
            None => None,
        };
        let reader = Reader::open_both(path, older, options.select.clone())?;
        Ok(Logs {
            container,
            reader: match options.after {
                Some(mark) => reader.behind(mark),
                None => reader,
            },
            options,
            changes,
        })
    }
}

impl Engine {
    /// Have a log that is kept in memory written to the disk.
    pub fn persist_log(&self, container: &Container) -> Result<()> {
        start::up_shim(container)?.persist_log()
    }
}

impl Logs<'_> {
    /// Write it to `client`: raw for a terminal, framed otherwise. Following ends with the container, the
    /// time asked for, or the client.
    /// Answers how far it has read.
    pub fn write(mut self, client: &mut dyn Write, connection: BorrowedFd<'_>) -> Result<Mark> {
        let failed = |e: std::io::Error| Error::io("write log to client", &e);
        let listener = self.container.listen()?;
        // A chunk of HTTP and a call for each line would take longer than to read it.
        let mut client = BufWriter::with_capacity(BATCH_BYTES, client);
        loop {
            listener.bell.clear();
            if let Some(changes) = &self.changes {
                changes.clear();
            }
            // Ask first, then read to the end: what was printed before the end is not missed.
            let has_ended = !self.container.is_running();
            while let Some(line) = self.reader.next()? {
                let bytes = self.encode(&line);
                client.write_all(&bytes).map_err(failed)?;
            }
            client.flush().map_err(failed)?;
            let Some(changes) = &self.changes else {
                return Ok(self.reader.mark());
            };
            let Some(left) = self.time_left() else {
                return Ok(self.reader.mark());
            };
            if has_ended || self.reader.is_past_end() {
                return Ok(self.reader.mark());
            }
            let fds = [
                (changes.as_fd(), PollFlags::IN),
                (listener.bell.as_fd(), PollFlags::IN),
                (connection, PollFlags::empty()),
            ];
            let ready = poll::wait(&fds, left)?;
            if ready.last().is_some_and(|flags| !flags.is_empty()) {
                return Ok(self.reader.mark());
            }
        }
    }

    /// How long to wait for more: `Some(None)` for ever, `None` when `until` has passed.
    fn time_left(&self) -> Option<Option<Duration>> {
        let Some(until) = self.options.select.until else {
            return Some(None);
        };
        let left = until.since(Time::now());
        (!left.is_zero()).then_some(Some(left))
    }

    fn encode(&self, line: &LogLine) -> Vec<u8> {
        let mut head = String::new();
        if self.options.timestamps {
            head = format!("{} ", padded(&line.time));
        }
        if self.options.details {
            head.push_str(&details(&line.attrs));
            head.push(' ');
        }
        if self.container.has_terminal() {
            return [head.as_bytes(), &line.text].concat();
        }
        let length = u32::try_from(head.len() + line.text.len()).unwrap_or(u32::MAX);
        let header = stdcopy::header(line.stream, length);
        [&header, head.as_bytes(), &line.text].concat()
    }
}

/// `key=value,key=value`, both as in the query of a URL.
fn details(attrs: &Map<String>) -> String {
    let pairs = attrs
        .iter()
        .map(|(key, value)| format!("{}={}", form(key), form(value)));
    pairs.collect::<Vec<_>>().join(",")
}

fn form(text: &str) -> String {
    query::encode(text).replace("%20", "+")
}

/// Docker shows all nine digits of the fraction, so that columns line up.
fn padded(time: &str) -> String {
    let bare = time.strip_suffix('Z').unwrap_or(time);
    let (second, fraction) = bare.split_once('.').unwrap_or((bare, ""));
    format!("{second}.{fraction:0<9}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_show_nine_digits() {
        assert_eq!(
            padded("2026-01-02T03:04:05Z"),
            "2026-01-02T03:04:05.000000000Z"
        );
        assert_eq!(
            padded("2026-01-02T03:04:05.12Z"),
            "2026-01-02T03:04:05.120000000Z"
        );
    }
}
