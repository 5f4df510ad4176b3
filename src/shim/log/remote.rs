//! A receiver of records outside: syslog, the journal, or the kernel's log.
//!
//! What it does not take at once waits in a queue. In Docker's blocking mode the container then
//! waits too, but not for ever: a receiver that takes nothing for long is given up. Otherwise
//! what does not fit into the buffer is dropped.

use crate::error::{Error, Result};
use crate::log;
use crate::shim::attached::STALL_MAX;
use crate::shim::config::Config;
use crate::shim::log::options::{Driver, Settings};
use crate::shim::log::syslog::{self, Syslog};
use crate::sys::stream::{self, Moved};
use crate::sys::{poll, socket};
use crate::wire::stdcopy::Stream;
use rustix::event::PollFlags;
use std::collections::VecDeque;
use std::fmt::Write;
use std::fs::OpenOptions;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

const JOURNAL: &str = "/run/systemd/journal/socket";
const KMSG: &str = "/dev/kmsg";

/// The kernel takes no longer line (LOG_LINE_MAX, kernel/printk/printk.c), our head included.
const KMSG_BYTES_MAX: usize = 800;

/// A receiver that was not there is not looked for at each line.
const RETRY: Duration = Duration::from_secs(1);

/// How long an ended container's shim stays for what its receiver has not taken yet.
const LAST_WORDS_MAX: Duration = Duration::from_secs(1);

pub struct Remote {
    kind: Kind,
    tag: String,
    socket: Option<OwnedFd>,
    queue: VecDeque<Vec<u8>>,
    queued_bytes: usize,
    /// Of the non-blocking mode.
    buffer_bytes_max: Option<usize>,
    /// When it last took something, or had nothing to take.
    progress: Instant,
    /// Not to be tried before this.
    retry_at: Option<Instant>,
    /// Output is being dropped, and that has been said.
    is_dropping: bool,
}

enum Kind {
    /// With this machine's name.
    Syslog(Syslog, String),
    /// With the fields that are the same for every message.
    Journal(String),
    Kmsg,
}

impl Remote {
    /// The receiver, reached, or why it cannot be.
    pub fn open(settings: &Settings, config: &Config) -> Result<Option<Remote>> {
        let kind = match (settings.driver, &settings.syslog) {
            (Driver::Syslog, Some(syslog)) => {
                let host = std::fs::read_to_string("/proc/sys/kernel/hostname");
                let host = host.unwrap_or_default().trim_end().to_string();
                Kind::Syslog(syslog.clone(), host)
            }
            (Driver::Journald, _) => Kind::Journal(fields(config)),
            (Driver::Kmsg, _) => Kind::Kmsg,
            _ => return Ok(None),
        };
        let mut remote = Remote {
            kind,
            tag: config.log_tag.clone().unwrap_or_default(),
            socket: None,
            queue: VecDeque::new(),
            queued_bytes: 0,
            buffer_bytes_max: settings.buffer_bytes_max,
            progress: Instant::now(),
            retry_at: None,
            is_dropping: false,
        };
        remote.connect()?;
        Ok(Some(remote))
    }

    fn connect(&mut self) -> Result<()> {
        self.socket = Some(match &self.kind {
            Kind::Syslog(syslog, _) => syslog.connect()?,
            Kind::Journal(_) => socket::connect_datagram(Path::new(JOURNAL))
                .map_err(|_| Error::invalid("journald is not enabled on this host"))?,
            Kind::Kmsg => OpenOptions::new()
                .write(true)
                .open(KMSG)
                .map(OwnedFd::from)
                .map_err(|e| Error::io(format_args!("open {KMSG}"), &e))?,
        });
        Ok(())
    }

    pub fn send(&mut self, stream: Stream, piece: &[u8]) {
        let is_part = !piece.ends_with(b"\n");
        let text = piece.strip_suffix(b"\n").unwrap_or(piece);
        if text.is_empty() {
            return;
        }
        match &self.kind {
            Kind::Syslog(syslog, host) => {
                let message = syslog.message(stream, host, &self.tag, text);
                self.give(message);
            }
            Kind::Journal(fields) => {
                let severity = syslog::priority(0, stream);
                let part = match is_part {
                    true => "CONTAINER_PARTIAL_MESSAGE=true\n",
                    false => "",
                };
                let head = format!("{fields}PRIORITY={severity}\n{part}MESSAGE=");
                let message = [head.as_bytes(), text, b"\n"].concat();
                self.give(message);
            }
            Kind::Kmsg => {
                let head = format!("<{}>{}: ", syslog::daemon(stream), self.tag);
                for part in text.chunks(KMSG_BYTES_MAX) {
                    // Without a newline the kernel waits for the rest, and shows nothing.
                    self.give([head.as_bytes(), part, b"\n"].concat());
                }
            }
        }
    }

    /// Send a message, or keep it.
    fn give(&mut self, message: Vec<u8>) {
        if self.queue.is_empty() {
            self.progress = Instant::now();
        }
        let is_full = self
            .buffer_bytes_max
            .is_some_and(|max| self.queued_bytes + message.len() > max);
        if is_full && !self.queue.is_empty() {
            return self.dropped(&"its buffer is full");
        }
        self.queued_bytes += message.len();
        self.queue.push_back(message);
        if self.queue.len() == 1 {
            self.flush();
        }
    }

    /// Send what is kept, as far as the receiver takes it.
    pub fn flush(&mut self) {
        let mut is_fresh = false;
        while let Some(message) = self.queue.front_mut() {
            let moved = match &self.socket {
                Some(socket) => put(&self.kind, socket, message),
                None => Moved::End,
            };
            match moved {
                Moved::Bytes(count) => {
                    self.progress = Instant::now();
                    self.queued_bytes -= count.min(message.len());
                    message.drain(..count.min(message.len()));
                    if message.is_empty() {
                        self.queue.pop_front();
                    }
                    self.is_dropping = false;
                }
                Moved::Later => return,
                // It may have been started anew since: look once.
                Moved::End if !is_fresh && self.reconnect() => is_fresh = true,
                Moved::End => return self.give_up(&"it cannot be reached"),
            }
        }
        // A burst is over: its memory is not needed any more.
        if self.queue.capacity() > 64 {
            self.queue = VecDeque::new();
        }
    }

    fn reconnect(&mut self) -> bool {
        let now = Instant::now();
        if self.retry_at.is_some_and(|at| now < at) {
            return false;
        }
        self.socket = None;
        let outcome = self.connect();
        self.retry_at = outcome.is_err().then(|| now + RETRY);
        outcome.is_ok()
    }

    fn give_up(&mut self, why: &dyn std::fmt::Display) {
        self.queue = VecDeque::new();
        self.queued_bytes = 0;
        self.dropped(why);
    }

    fn dropped(&mut self, why: &dyn std::fmt::Display) {
        if !self.is_dropping {
            self.is_dropping = true;
            log::line(
                "tug-shim",
                format_args!("the log's receiver: {why}: output is lost"),
            );
        }
    }

    pub fn is_full(&self) -> bool {
        self.buffer_bytes_max.is_none() && !self.queue.is_empty()
    }

    pub fn backlog(&self) -> Option<BorrowedFd<'_>> {
        let socket = self.socket.as_ref().filter(|_| !self.queue.is_empty())?;
        Some(socket.as_fd())
    }

    pub fn deadline(&self) -> Option<Instant> {
        (!self.queue.is_empty()).then(|| self.progress + STALL_MAX)
    }

    pub fn sweep(&mut self, now: Instant) {
        if self.deadline().is_some_and(|deadline| now >= deadline) {
            self.give_up(&"it takes nothing");
        }
    }
}

impl Drop for Remote {
    /// What still waits gets a moment more.
    fn drop(&mut self) {
        let end = Instant::now() + LAST_WORDS_MAX;
        while let Some(socket) = self.backlog() {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() || poll::wait(&[(socket, PollFlags::OUT)], Some(left)).is_err() {
                return;
            }
            self.flush();
        }
    }
}

fn put(kind: &Kind, socket: &OwnedFd, message: &[u8]) -> Moved {
    match kind {
        Kind::Kmsg => match stream::write(socket, message) {
            // The kernel counts what it made of it; a line is taken whole.
            Moved::Bytes(_) => Moved::Bytes(message.len()),
            other => other,
        },
        _ => stream::send(socket, &[std::io::IoSlice::new(message)]),
    }
}

/// The journal's fields of a container, under Docker's names.
fn fields(config: &Config) -> String {
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    let id = text(&config.id);
    let tag = text(&config.log_tag);
    let mut fields = format!(
        "CONTAINER_ID={}\nCONTAINER_ID_FULL={id}\n",
        crate::id::short(&id)
    );
    for (name, value) in [
        ("CONTAINER_NAME", &text(&config.log_name)),
        ("CONTAINER_TAG", &tag),
        ("IMAGE_NAME", &text(&config.log_image)),
        ("SYSLOG_IDENTIFIER", &tag),
    ] {
        let _ = writeln!(fields, "{name}={}", value.replace('\n', " "));
    }
    for (key, value) in config.log_attrs.iter().flatten() {
        let key = field_name(key);
        if !key.is_empty() {
            let _ = writeln!(fields, "{key}={}", value.replace('\n', " "));
        }
    }
    fields
}

/// The journal knows capitals, digits and underscores, and keeps those that begin with one for itself.
fn field_name(key: &str) -> String {
    let letter = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => byte.to_ascii_uppercase() as char,
        _ => '_',
    };
    let name: String = key.bytes().map(letter).collect();
    name.trim_start_matches('_').to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_become_the_journals_names() {
        assert_eq!(field_name("com.example.Role-2"), "COM_EXAMPLE_ROLE_2");
        assert_eq!(field_name("_x"), "X");
        let config = Config {
            id: Some("0123456789abcdef".into()),
            log_name: Some("web".into()),
            log_tag: Some("t".into()),
            log_image: Some("busybox".into()),
            log_attrs: Some([("a.b".to_string(), "1\n2".to_string())].into()),
            ..Config::default()
        };
        assert_eq!(
            fields(&config),
            "CONTAINER_ID=0123456789ab\nCONTAINER_ID_FULL=0123456789abcdef\nCONTAINER_NAME=web\nCONTAINER_TAG=t\nIMAGE_NAME=busybox\nSYSLOG_IDENTIFIER=t\nA_B=1 2\n"
        );
    }
}
