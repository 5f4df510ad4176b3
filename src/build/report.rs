//! What a build says while it runs: lines of JSON for the client.

use crate::error::{Error, Kind, Result};
use crate::json::node::quote;
use crate::sys::poll;
use rustix::event::PollFlags;
use std::io::Write;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

/// What a quiet build keeps to show if it fails: its end.
const KEPT_BYTES_MAX: usize = 64 << 10;

pub struct Report<'a> {
    out: &'a mut dyn Write,
    /// To see the client go.
    client: OwnedFd,
    is_quiet: bool,
    kept: String,
    /// How the command ended that has ended the build.
    pub code: Option<i64>,
}

impl<'a> Report<'a> {
    pub fn new(out: &'a mut dyn Write, client: OwnedFd, is_quiet: bool) -> Report<'a> {
        Report {
            out,
            client,
            is_quiet,
            kept: String::new(),
            code: None,
        }
    }

    pub fn client(&self) -> BorrowedFd<'_> {
        self.client.as_fd()
    }

    /// Text for people, with its line ends.
    pub fn say(&mut self, text: &str) -> Result<()> {
        self.line(&format!("{{\"stream\":{}}}", quote(text)))
    }

    /// The image that a stage has come to.
    pub fn tell_id(&mut self, id: &str) -> Result<()> {
        self.line(&format!("{{\"aux\":{{\"ID\":{}}}}}", quote(id)))
    }

    /// One line of JSON.
    pub fn line(&mut self, line: &str) -> Result<()> {
        if !self.is_quiet {
            return self.write(&format!("{line}\r\n"));
        }
        self.kept.push_str(line);
        self.kept.push_str("\r\n");
        if self.kept.len() > KEPT_BYTES_MAX {
            let beyond = self.kept.len() - KEPT_BYTES_MAX;
            let line_end = |text: &str| text.find('\n').map(|at| at + 1);
            let cut = self.kept.get(beyond..).and_then(line_end);
            self.kept.drain(..cut.map_or(0, |cut| beyond + cut));
        }
        Ok(())
    }

    /// The last line: the id of a quiet build; or the failure, with what a quiet build has kept back.
    pub fn end(mut self, outcome: &Result<String>) -> Result<()> {
        match outcome {
            Ok(id) if self.is_quiet => {
                self.write(&format!("{{\"stream\":{}}}\r\n", quote(&format!("{id}\n"))))
            }
            Ok(_) => Ok(()),
            Err(error) => {
                let text = quote(&error.message);
                let code = self.code.map(|code| format!("\"code\":{code},"));
                let code = code.unwrap_or_default();
                let kept = std::mem::take(&mut self.kept);
                self.write(&format!(
                    "{kept}{{\"errorDetail\":{{{code}\"message\":{text}}},\"error\":{text}}}\r\n"
                ))
            }
        }
    }

    fn write(&mut self, text: &str) -> Result<()> {
        self.out
            .write_all(text.as_bytes())
            .map_err(|e| Error::io("answer the client", &e).with_kind(Kind::Gone))
    }

    pub fn check(&self) -> Result<()> {
        check(self.client())
    }
}

/// An error once the client has gone: a build is for somebody.
pub fn check(client: BorrowedFd<'_>) -> Result<()> {
    let look = [(client, PollFlags::empty())];
    let ready = poll::wait(&look, Some(Duration::ZERO))?;
    match ready.iter().all(|flags| flags.is_empty()) {
        true => Ok(()),
        false => Err(cancelled()),
    }
}

pub fn cancelled() -> Error {
    Error::new(Kind::Gone, "Build cancelled")
}
