//! Who waits for long work: a client that is told, line by line, how it goes on.

use crate::api::{JSON, Reply};
use crate::error::{Error, Kind, Result};
use crate::http::server::{Connection, Stream};
use crate::image::pull::Audience;
use crate::json;
use crate::sys::poll;
use crate::wire::image::Progress;
use rustix::event::PollFlags;
use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

/// A client that is told how its request goes on. The answer begins with the first thing to tell:
/// what fails before can have its own status.
pub struct Listener<'a> {
    client: OwnedFd,
    answer: Answer<'a>,
}

enum Answer<'a> {
    None(&'a mut Connection),
    Begun(Stream<'a>),
    Broken,
}

impl<'a> Listener<'a> {
    pub fn new(connection: &'a mut Connection) -> Result<Listener<'a>> {
        let client = connection.fd().try_clone_to_owned();
        Ok(Listener {
            client: client.map_err(|e| Error::io("keep the connection", &e))?,
            answer: Answer::None(connection),
        })
    }

    /// The work is done, or has failed.
    pub fn end(self, outcome: Result<()>) -> Result<Reply> {
        match (self.answer, outcome) {
            (Answer::None(_), Err(error)) => return Err(error),
            (Answer::None(connection), Ok(())) => connection.stream(200, JSON)?.finish()?,
            (Answer::Begun(mut stream), outcome) => {
                if let Err(error) = outcome {
                    write_line(&mut stream, &Progress::failure(&error.message))?;
                }
                stream.finish()?;
            }
            (Answer::Broken, _) => return Ok(Reply::Close),
        }
        Ok(Reply::Done)
    }
}

impl Audience for Listener<'_> {
    fn tell(&mut self, progress: &Progress) -> Result<()> {
        let mut stream = match std::mem::replace(&mut self.answer, Answer::Broken) {
            Answer::None(connection) => connection.stream(200, JSON)?,
            Answer::Begun(stream) => stream,
            Answer::Broken => return Err(Error::new(Kind::Gone, "the client has gone")),
        };
        write_line(&mut stream, progress)?;
        self.answer = Answer::Begun(stream);
        Ok(())
    }

    fn has_gone(&self) -> bool {
        // No flags: only POLLHUP and POLLERR, which poll always tells.
        let now = Some(Duration::ZERO);
        let events = poll::wait(&[(self.client.as_fd(), PollFlags::empty())], now);
        events.is_ok_and(|events| events.iter().any(|events| !events.is_empty()))
    }
}

fn write_line(stream: &mut Stream<'_>, progress: &Progress) -> Result<()> {
    let line = json::to_string(progress) + "\r\n";
    let written = stream.write_all(line.as_bytes());
    written.map_err(|e| Error::io("answer the client", &e).with_kind(Kind::Gone))
}
