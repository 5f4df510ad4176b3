//! `file:/path`: a file that a program makes when it is ready, or touches while it is well.

use crate::error::Result;
use crate::shim::probe::{Place, Verdict, path};
use crate::sys::fs::{self, ModifiedAt};
use crate::time::moment;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

pub struct Wanted {
    path: String,
    age_max: Option<Duration>,
    /// When the file was last touched, as it says itself, and since when we know that. The age is
    /// counted on our clock from there: the date may be set in between.
    seen: Option<(Touched, Instant)>,
}

/// Of one file, at one time.
type Touched = (u64, i64, u32);

pub fn parse(rest: &str) -> std::result::Result<Wanted, &'static str> {
    let (file, query) = match rest.split_once('?') {
        Some((file, query)) => (file, Some(query)),
        None => (rest, None),
    };
    let age = |query: &str| {
        let nanos = moment::parse_duration(query.strip_prefix("max-age=")?)?;
        let nanos = u64::try_from(nanos).ok().filter(|nanos| *nanos > 0)?;
        Some(Duration::from_nanos(nanos))
    };
    let age_max = match query {
        Some(query) => Some(age(query).ok_or("use file:/path?max-age=30s")?),
        None => None,
    };
    Ok(Wanted {
        path: path(file)?.to_string(),
        age_max,
        seen: None,
    })
}

impl Wanted {
    pub fn check(&mut self, place: &Place<'_>) -> Result<Verdict> {
        let stat = place.with_file(&self.path, |file| fs::stat(file.as_fd()))?;
        let ModifiedAt { seconds, nanos } = ModifiedAt::of(&stat);
        Ok(self.judge((stat.st_ino, seconds, nanos), place.now))
    }

    fn judge(&mut self, touched: Touched, now: Instant) -> Verdict {
        let since = match self.seen {
            Some((before, since)) if before == touched => since,
            _ => now,
        };
        self.seen = Some((touched, since));
        let age = now.saturating_duration_since(since);
        match self.age_max {
            Some(age_max) if age > age_max => {
                Err(format!("{} is {} s old", self.path, age.as_secs()))
            }
            _ => Ok(format!("{} is there", self.path)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_grows_old_by_our_clock_whatever_the_date() {
        let mut wanted = parse("/beat?max-age=30s").unwrap();
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        // A file of 1970, and one of the future, are as good as any when they are first seen.
        assert!(wanted.judge((1, 5, 0), after(0)).is_ok());
        assert!(wanted.judge((1, 5, 0), after(30)).is_ok());
        assert_eq!(
            wanted.judge((1, 5, 0), after(31)),
            Err("/beat is 31 s old".to_string())
        );
        assert!(wanted.judge((1, 4_000_000_000, 0), after(40)).is_ok());
        assert!(wanted.judge((1, 4_000_000_000, 1), after(80)).is_ok());
        assert!(wanted.judge((1, 4_000_000_000, 1), after(111)).is_err());
        // Another file in its place.
        assert!(wanted.judge((2, 4_000_000_000, 1), after(112)).is_ok());
    }
}
