//! Blobs: fetched as a stream that survives broken connections.

use crate::error::{Context, Error, Kind, Result};
use crate::http::body::Framing;
use crate::id;
use crate::registry::transport::{Answer, lock};
use crate::registry::{Inner, Repository, checked, refusal};
use std::io::{self, Read};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Between tries; three times as long each time.
const PAUSE: Duration = if cfg!(test) {
    Duration::from_millis(1)
} else {
    Duration::from_secs(1)
};
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// How far a connection must get for the next failure to be the first one again: a registry that
/// sends a byte at a time is given up.
const PROGRESS_BYTES: u64 = 16 << 10;

/// How often somebody who waits looks whether he still should.
const LOOK: Duration = Duration::from_millis(100);

impl Inner {
    /// Wait before a blob is asked for again, and let be known for how long.
    fn pause(&self, digest: &str, pause: Duration) -> Result<()> {
        let until = Instant::now() + pause;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let stopped = self.transport.is_stopped();
            let mut pauses = lock(&self.pauses);
            match left.is_zero() || stopped {
                true => pauses.remove(digest),
                false => pauses.insert(digest.to_string(), left.as_secs() + 1),
            };
            drop(pauses);
            match stopped {
                true => return Err(Error::new(Kind::System, "the transfer has been stopped")),
                false if left.is_zero() => return Ok(()),
                false => std::thread::sleep(left.min(LOOK)),
            }
        }
    }
}

impl Repository {
    /// End what waits for the registry, in whatever thread; it fails there.
    pub fn stop(&self) {
        self.0.transport.stop();
    }

    /// Seconds until a blob is asked for again; 0 when that is not waited for.
    pub fn pausing(&self, digest: &str) -> u64 {
        lock(&self.0.pauses).get(digest).copied().unwrap_or(0)
    }

    /// The blob's bytes from `from` on. Reading goes on by itself where a connection breaks, and never
    /// gives more than `size` bytes in all. What they are is not checked here.
    pub fn blob(&self, digest: &str, size: u64, from: u64) -> Result<Blob> {
        id::digest_hex(digest)?;
        if from > size {
            return Err(Error::invalid(format!(
                "blob {digest} has {size} bytes: none at {from}"
            )));
        }
        let mut blob = Blob {
            inner: Arc::clone(&self.0),
            digest: digest.to_string(),
            size,
            at: from,
            answer: None,
            skip: 0,
            failures: 0,
            mark: from,
        };
        if from < size {
            blob.open()?;
        }
        Ok(blob)
    }

    /// The size of a blob that the registry has.
    pub fn has_blob(&self, digest: &str) -> Result<Option<u64>> {
        id::digest_hex(digest)?;
        let answer = self
            .0
            .ask(&self.0.get("HEAD", &format!("blobs/{digest}"), ""))?;
        if answer.status == 404 {
            answer.finish();
            return Ok(None);
        }
        let answer = checked(answer)?;
        let length = answer
            .headers
            .get("content-length")
            .and_then(|length| length.parse().ok());
        answer.finish();
        match length {
            Some(length) => Ok(Some(length)),
            None => Err(Error::new(
                Kind::System,
                format!("blob {digest}: the registry does not say how large it is"),
            )),
        }
    }
}

pub struct Blob {
    inner: Arc<Inner>,
    digest: String,
    size: u64,
    at: u64,
    answer: Option<Answer>,
    /// What the answer repeats, since the registry knows no ranges.
    skip: u64,
    /// Since there was progress.
    failures: u32,
    /// Where progress is counted from.
    mark: u64,
}

impl Blob {
    /// Where reading stands.
    pub fn position(&self) -> u64 {
        self.at
    }

    fn open(&mut self) -> Result<()> {
        loop {
            match self.try_open() {
                Err(error) if error.kind == Kind::Gone => self.pause(error)?,
                outcome => return outcome,
            }
        }
    }

    /// Kind `Gone`: another time it may do.
    fn try_open(&mut self) -> Result<()> {
        let range = match self.at {
            0 => String::new(),
            at => format!("Range: bytes={at}-\r\n"),
        };
        let target = format!("blobs/{}", self.digest);
        let answer = self.inner.ask(&self.inner.get("GET", &target, &range))?;
        let doing = || format!("blob {}", self.digest);
        match answer.status {
            200 | 206 => {}
            408 | 500.. => {
                let error = refusal::read(answer).plain().with_kind(Kind::Gone);
                return Err(error).context(doing);
            }
            _ => return Err(refusal::read(answer).plain()).context(doing),
        }
        let start = if answer.status == 206 { self.at } else { 0 };
        if answer.status == 206 {
            self.check_range(answer.headers.get("content-range").unwrap_or_default())?;
        }
        if let Framing::Length(length) = answer.body
            && length != self.size - start
        {
            return Err(Error::invalid(format!(
                "blob {}: the registry has {} bytes, the manifest says {}",
                self.digest,
                start + length,
                self.size
            )));
        }
        self.skip = self.at - start;
        self.answer = Some(answer);
        Ok(())
    }

    /// `bytes AT-LAST/SIZE` and nothing else.
    fn check_range(&self, range: &str) -> Result<()> {
        let expected = format!("bytes {}-{}/", self.at, self.size.saturating_sub(1));
        let total = range.strip_prefix(&expected);
        match total.is_some_and(|total| total == "*" || total.parse() == Ok(self.size)) {
            true => Ok(()),
            false => Err(Error::invalid(format!(
                "blob {}: the registry sends {range:?}, where bytes {}-{} of {} were asked for",
                self.digest,
                self.at,
                self.size.saturating_sub(1),
                self.size
            ))),
        }
    }

    /// After a failure: wait, or give up.
    fn pause(&mut self, failure: Error) -> Result<()> {
        self.answer = None;
        if self.at - self.mark >= PROGRESS_BYTES {
            self.failures = 0;
            self.mark = self.at;
        }
        self.failures += 1;
        if self.failures >= self.inner.attempts {
            let error = failure.with_kind(Kind::System);
            return Err(error).context(|| {
                format!(
                    "blob {}: given up at {} of {} bytes",
                    self.digest, self.at, self.size
                )
            });
        }
        let pause = PAUSE * 3u32.saturating_pow(self.failures - 1);
        self.inner.pause(&self.digest, pause.min(PAUSE_MAX))
    }

    /// At the end of what there should be.
    fn finish(&mut self) -> io::Result<usize> {
        let Some(mut answer) = self.answer.take() else {
            return Ok(0);
        };
        // A length has been compared; other framings may have more to say.
        if !answer.body.is_done() && matches!(answer.read(&mut [0]), Ok(1..)) {
            let message = format!(
                "blob {} is longer than its {} bytes",
                self.digest, self.size
            );
            return Err(io::Error::new(io::ErrorKind::InvalidData, message));
        }
        answer.finish();
        Ok(0)
    }

    fn read_some(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(answer) = &mut self.answer else {
            return Ok(0);
        };
        let mut scratch = [0; 4096];
        while self.skip > 0 {
            let most =
                usize::try_from(self.skip).map_or(scratch.len(), |skip| skip.min(scratch.len()));
            match answer.read(scratch.get_mut(..most).unwrap_or_default())? {
                0 => return Ok(0),
                count => self.skip -= count as u64,
            }
        }
        let left = usize::try_from(self.size - self.at)
            .unwrap_or(usize::MAX)
            .min(buffer.len());
        answer.read(buffer.get_mut(..left).unwrap_or_default())
    }
}

impl Read for Blob {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        while self.at < self.size {
            if self.answer.is_none() {
                self.open()?;
            }
            let failure = match self.read_some(buffer) {
                Ok(0) => Error::new(Kind::Gone, "the connection was closed too early"),
                Ok(count) => {
                    self.at += count as u64;
                    return Ok(count);
                }
                Err(error) => Error::io("read", &error),
            };
            self.pause(failure)?;
        }
        self.finish()
    }
}
