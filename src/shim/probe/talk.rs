//! `http:`, `tcp:` and `unix:`: a connection, and for HTTP a question and the first line of its answer.
//!
//! Whoever is at the other end may be slow, silent or full of words: nothing here waits, and no more is
//! kept than the head that a status needs.

use crate::error::{Context, Result};
use crate::shim::probe::{Place, Verdict};
use crate::sys::stream::{self, Moved};
use crate::sys::{fs, inet, socket};
use rustix::event::PollFlags;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// The head of an answer is looked at up to here.
const HEAD_BYTES_MAX: usize = 4096;

/// What is read at most after the status, so that a server may end its answer in peace.
const REST_BYTES_MAX: usize = 16 << 10;

pub enum Target {
    Http {
        address: SocketAddr,
        request: String,
        codes: (u16, u16),
    },
    Tcp(SocketAddr),
    Path(String),
}

impl Target {
    pub fn call(&self, place: &Place<'_>) -> Result<Talk> {
        let (socket, question, codes) = match self {
            Target::Http {
                address,
                request,
                codes,
            } => (connect(place, *address)?, request.as_str(), *codes),
            Target::Tcp(address) => (connect(place, *address)?, "", (0, 0)),
            Target::Path(path) => (find(place, path)?, "", (0, 0)),
        };
        Ok(Talk {
            socket,
            is_connected: false,
            question: question.to_string(),
            codes,
            answer: Vec::new(),
        })
    }
}

fn connect(place: &Place<'_>, address: SocketAddr) -> Result<OwnedFd> {
    place.in_network(|| socket::call(address))
}

fn find(place: &Place<'_>, path: &str) -> Result<OwnedFd> {
    // By its descriptor, which nobody can exchange for another.
    place
        .with_file(path, |file| socket::call_path(&fs::proc_fd(file.as_fd())))
        .context(|| format!("connect {path}"))
}

pub struct Talk {
    socket: OwnedFd,
    is_connected: bool,
    /// What is still to be sent.
    question: String,
    codes: (u16, u16),
    answer: Vec<u8>,
}

impl Talk {
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    pub fn interest(&self) -> PollFlags {
        match self.is_connected && self.question.is_empty() {
            true => PollFlags::IN,
            false => PollFlags::OUT,
        }
    }

    /// The socket is ready: go on. A verdict ends it.
    pub fn ready(&mut self, buffer: &mut [u8]) -> Option<Verdict> {
        if !self.is_connected {
            if let Err(errno) = inet::outcome(&self.socket) {
                return Some(Err(format!("connect: {}", inet::words(errno))));
            }
            self.is_connected = true;
            if self.question.is_empty() {
                return Some(Ok("connected".to_string()));
            }
        }
        if !self.question.is_empty() {
            return match stream::write(&self.socket, self.question.as_bytes()) {
                Moved::Bytes(count) => {
                    self.question.drain(..count.min(self.question.len()));
                    None
                }
                Moved::Later => None,
                Moved::End => Some(Err("closed before it was asked".to_string())),
            };
        }
        match stream::receive(&self.socket, buffer) {
            Moved::Bytes(count) => {
                let bytes = buffer.get(..count).unwrap_or_default();
                self.answer.extend_from_slice(bytes);
                let verdict = status(&self.answer).map(|code| self.judge(code));
                if verdict.is_some() {
                    self.finish(buffer);
                }
                let is_long = self.answer.len() >= HEAD_BYTES_MAX;
                verdict.or_else(|| is_long.then(|| Err("no HTTP".to_string())))
            }
            Moved::Later => None,
            Moved::End => Some(Err("closed without an answer".to_string())),
        }
    }

    fn judge(&self, code: Option<u16>) -> Verdict {
        let code = code.ok_or("no HTTP")?;
        let words = format!("HTTP {code}");
        let (first, last) = self.codes;
        match (first..=last).contains(&code) {
            true => Ok(words),
            false => Err(words),
        }
    }

    /// Closing with something unread resets the connection, which servers note as an error. Most
    /// answers are there as a whole by now.
    fn finish(&self, buffer: &mut [u8]) {
        let mut rest = 0;
        while rest < REST_BYTES_MAX
            && let Moved::Bytes(count) = stream::receive(&self.socket, buffer)
        {
            rest += count;
        }
    }
}

/// The status of an answer, behind those that only announce one (1xx). `None`: it is not there yet;
/// `Some(None)`: it is no HTTP.
fn status(mut answer: &[u8]) -> Option<Option<u16>> {
    loop {
        let expected = b"HTTP/1.";
        let begun = answer.len().min(expected.len());
        if answer.get(..begun) != expected.get(..begun) {
            return Some(None);
        }
        let end = answer.iter().position(|byte| *byte == b'\n')?;
        let line = String::from_utf8_lossy(answer.get(..end)?);
        let word = line.split_ascii_whitespace().nth(1).unwrap_or_default();
        let code = word.parse().ok().filter(|_| word.len() == 3);
        match code {
            Some(100..200) => {}
            other => return Some(other),
        }
        let end = answer.windows(4).position(|four| four == b"\r\n\r\n")?;
        answer = answer.get(end + 4..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_is_found_as_soon_as_it_is_there() {
        for (answer, expected) in [
            ("", None),
            ("H", None),
            ("HTTP/1.1 200 O", None),
            ("HTTP/1.1 200 OK\r\n", Some(Some(200))),
            ("HTTP/1.0 404\r\nX: y", Some(Some(404))),
            ("HTTP/1.1 200\n", Some(Some(200))),
            ("HTTP/2 200\r\n", Some(None)),
            ("HTTP/1.1\r\n", Some(None)),
            ("HTTP/1.1 2000\r\n", Some(None)),
            ("HTTP/1.1 +20 x\r\n", Some(Some(20))),
            ("SSH-2.0-x\r\n", Some(None)),
            ("HTTP/1.1 100 Continue\r\n", None),
            (
                "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 503 x\r\n",
                Some(Some(503)),
            ),
            ("HTTP/1.1 103 Hints\r\nLink: x\r\n\r\nHTT", None),
            ("HTTP/1.1 103 Hints\r\n\r\nnonsense", Some(None)),
        ] {
            assert_eq!(status(answer.as_bytes()), expected, "{answer:?}");
        }
    }
}
