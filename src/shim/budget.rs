//! `--write-budget`: how much a container may write to the data root's disk in a while.
//!
//! ```text
//!   open --- as long as the budget lasts: the user's own limit, or none
//!     ^  |
//!     |  v   the budget is used up
//!   spent -- a trickle (io.max), until the next window begins
//! ```
//!
//! The disk's own count is looked at every few seconds (io.stat). What was written too much in
//! between is taken from the next window, so that the budget holds in the long run. Windows are of the
//! time since the boot, one after the other; where a container stands in its own is in a file
//! below the exec root, which its next shim reads. While a run is ended there is no trickle: who
//! waits for the disk cannot die.

use crate::cgroup::Group;
use crate::error::{Context, Error, Result};
use crate::json;
use crate::json::value::json_struct;
use crate::kernel::{self, Feature};
use crate::log;
use crate::shim::message::Reply;
use crate::shim::serve::{Supervisor, WHO};
use crate::shim::wear::Disk;
use crate::store::limit::parse_size;
use crate::store::record;
use crate::sys::clock;
use crate::time::moment;
use crate::wire::container::WriteBudget;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const LOOK: Duration = Duration::from_secs(5);

/// Of the rate at which the budget would last for its window: what is left of it while it is spent.
const TRICKLE_PART: u64 = 8;

const BYTES_MIN: u64 = 1 << 20;
const SECONDS_MIN: u64 = 10;

/// Bytes, and the seconds that they are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    pub bytes: u64,
    pub seconds: u64,
}

/// `500m/day`, `2g/12h`; `none` is none.
pub fn parse(text: &str) -> Result<Option<Wanted>> {
    if matches!(text, "" | "none") {
        return Ok(None);
    }
    let parsed = text.split_once('/').and_then(|(size, time)| {
        let bytes = parse_size(size, 1024).ok()?;
        let seconds = match time {
            "minute" => 60,
            "hour" => 3600,
            "day" => 86_400,
            "week" => 7 * 86_400,
            time => u64::try_from(moment::parse_duration(time)?).ok()? / 1_000_000_000,
        };
        Some(Wanted { bytes, seconds })
    });
    let is_sane = |wanted: &Wanted| wanted.bytes >= BYTES_MIN && wanted.seconds >= SECONDS_MIN;
    parsed.filter(is_sane).map(Some).ok_or_else(|| {
        Error::invalid(format!(
            "invalid write budget {text:?}: it is a size and a time, such as 500m/day or 20m/1h30m, of at least 1m and 10s"
        ))
    })
}

json_struct! {
    /// The file.
    #[derive(Clone, Debug, Default)]
    struct Place {
        /// When the window began, in seconds since the boot.
        began: u64,
        used: u64,
    }
}

pub struct Budget {
    wanted: Wanted,
    disk: Disk,
    file: PathBuf,
    place: Place,
    /// So much of the group's count is in `place`.
    seen: u64,
    /// What the user lets it write a second, as io.max has it.
    own: String,
    is_spent: bool,
    /// The run is on its way out.
    is_ending: bool,
    look_at: Option<Instant>,
}

impl Budget {
    /// A container's budget for what it writes to `disk`; `file` knows what it has written before.
    pub fn open(wanted: Wanted, disk: Option<Disk>, file: &Path) -> Result<Budget> {
        let disk = disk.ok_or_else(|| {
            Error::unsupported(
                "a write budget is for the disk below the data root, and there is none: its files lie in memory, on a server or on several disks",
            )
        })?;
        let place = load(file).unwrap_or_else(|| Place {
            began: clock::since_boot().as_secs(),
            used: 0,
        });
        Ok(Budget {
            wanted,
            disk,
            file: file.to_path_buf(),
            place,
            seen: 0,
            own: "max".to_string(),
            is_spent: false,
            is_ending: false,
            look_at: None,
        })
    }

    /// A run begins, or is given a budget while it goes on.
    pub fn begin(&mut self, group: Option<&Group>) -> Result<()> {
        let limits = group.and_then(|group| group.read("io.max"));
        let (Some(group), Some(limits)) = (group, limits) else {
            return Err(refusal(Feature::BlkDevThrottling));
        };
        self.own = own_limit(&limits, self.disk);
        self.seen = self.written(group);
        self.is_spent = false;
        self.is_ending = false;
        self.look(group, Instant::now());
        Ok(())
    }

    /// When to look the next time.
    pub fn deadline(&self) -> Option<Instant> {
        self.look_at
    }

    /// Whether it has become spent, or ceased to be.
    fn look(&mut self, group: &Group, now: Instant) -> bool {
        self.look_at = Some(now + LOOK);
        let written = self.written(group);
        let fresh = written.saturating_sub(self.seen);
        self.seen = written;
        let is_spent = self
            .place
            .go_on(fresh, clock::since_boot().as_secs(), self.wanted);
        let has_turned = is_spent != self.is_spent;
        self.is_spent = is_spent;
        if has_turned && !self.is_ending {
            self.set(group);
            self.keep();
        }
        has_turned
    }

    /// The run is on its way out: it waits for nothing.
    pub fn let_go(&mut self, group: Option<&Group>) {
        let was_ending = std::mem::replace(&mut self.is_ending, true);
        if let Some(group) = group.filter(|_| self.is_spent && !was_ending) {
            self.set(group);
        }
    }

    /// The run is over; its group is still there.
    pub fn end(&mut self, group: Option<&Group>) {
        if let Some(group) = group {
            self.is_ending = true;
            self.look(group, Instant::now());
        }
        self.look_at = None;
        self.keep();
    }

    /// What `inspect` shows.
    pub fn shown(&self) -> WriteBudget {
        let Wanted { bytes, seconds } = self.wanted;
        let end = self.place.began + seconds;
        WriteBudget {
            bytes: Some(bytes),
            seconds: Some(seconds),
            used: Some(self.place.used),
            seconds_left: Some(end.saturating_sub(clock::since_boot().as_secs())),
            spent: Some(self.is_spent),
        }
    }

    fn written(&self, group: &Group) -> u64 {
        let all = group.written_bytes().unwrap_or_default();
        let own = all.iter().find(|(major, minor, _)| {
            let Disk { major: a, minor: b } = self.disk;
            (a, b) == (*major, *minor)
        });
        own.map_or(0, |(_, _, bytes)| *bytes)
    }

    fn set(&self, group: &Group) {
        let rate = match self.is_spent && !self.is_ending {
            true => trickle(self.wanted).to_string(),
            false => self.own.clone(),
        };
        let Disk { major, minor } = self.disk;
        if let Err(error) = group.write("io.max", &format!("{major}:{minor} wbps={rate}")) {
            log::line(WHO, format_args!("write budget: {error}"));
        }
    }

    fn keep(&self) {
        let Some((dir, name)) = self.file.parent().zip(self.file.file_name()) else {
            return;
        };
        let text = json::to_string(&self.place);
        let kept = std::fs::create_dir_all(dir)
            .map_err(|e| Error::io(format_args!("make directory {}", dir.display()), &e))
            .and_then(|()| record::replace_unsynced(dir, &name.to_string_lossy(), text.as_bytes()));
        if let Err(error) = kept.context(|| "write budget") {
            log::line(WHO, error);
        }
    }
}

impl Place {
    /// `fresh` bytes more at the time `now`: whether the budget is spent.
    fn go_on(&mut self, fresh: u64, now: u64, wanted: Wanted) -> bool {
        self.used = self.used.saturating_add(fresh);
        let windows = now.saturating_sub(self.began) / wanted.seconds;
        self.began += windows * wanted.seconds;
        self.used = self
            .used
            .saturating_sub(windows.saturating_mul(wanted.bytes));
        self.used >= wanted.bytes
    }
}

/// Of this boot.
fn load(file: &Path) -> Option<Place> {
    let name = file.file_name()?.to_string_lossy();
    let bytes = record::load(file.parent()?, &name).ok()??;
    let place: Place = json::parse_bytes(&bytes, "write budget").ok()?;
    (place.began <= clock::since_boot().as_secs()).then_some(place)
}

fn trickle(wanted: Wanted) -> u64 {
    (wanted.bytes / wanted.seconds / TRICKLE_PART).max(1)
}

/// A line of io.max is `8:0 rbps=max wbps=1048576 riops=max wiops=max`.
fn own_limit(limits: &str, disk: Disk) -> String {
    let Disk { major, minor } = disk;
    let number = format!("{major}:{minor} ");
    let line = limits.lines().find_map(|line| line.strip_prefix(&number));
    let rate = line.and_then(|line| line.split(' ').find_map(|word| word.strip_prefix("wbps=")));
    rate.unwrap_or("max").to_string()
}

/// Why a budget cannot be kept: without this feature of the kernel.
pub fn refusal(lacking: Feature) -> Error {
    let why = kernel::lacks(lacking);
    Error::unsupported(format!("a write budget cannot be kept here {why}"))
}

impl Supervisor {
    /// See how much was written.
    pub fn tend_budget(&mut self, now: Instant) {
        let Some(budget) = &mut self.budget else {
            return;
        };
        let group = self.run.group.as_ref();
        if self.run.finished.is_some() {
            return budget.let_go(group);
        }
        let is_due = budget.look_at.is_some_and(|at| at <= now);
        let Some(group) = group.filter(|_| is_due) else {
            return;
        };
        if budget.look(group, now) {
            self.tell_budget();
        }
    }

    pub fn tell_budget(&mut self) {
        let Some(budget) = &self.budget else {
            return;
        };
        let shown = budget.shown();
        let Wanted { bytes, seconds } = budget.wanted;
        let left = shown.seconds_left.unwrap_or(0);
        match budget.is_spent {
            true => log::line(
                WHO,
                format_args!(
                    "its {bytes} bytes of {seconds} seconds are written: {} bytes a second for {left} seconds",
                    trickle(budget.wanted)
                ),
            ),
            false => log::line(WHO, "it may write again"),
        }
        self.tell(&Reply {
            event: Some("budget".to_string()),
            budget: Some(shown),
            ..Default::default()
        });
    }

    /// Another budget, or none, while it runs.
    pub fn set_budget(&mut self, text: &str) -> Result<Reply> {
        let wanted = parse(text)?;
        let group = self.run.group.as_ref();
        if let Some(mut old) = self.budget.take() {
            old.let_go(group);
            old.end(group);
        }
        self.config.write_budget = Some(text.to_string());
        let file = self.config.budget_file.clone().unwrap_or_default();
        let Some(wanted) = wanted else {
            // Another one later begins anew.
            let _ = std::fs::remove_file(&file);
            return Ok(Reply::default());
        };
        let mut budget = Budget::open(wanted, self.wear.disk(), Path::new(&file))?;
        if group.is_some() {
            budget.begin(group)?;
        }
        self.budget = Some(budget);
        Ok(Reply::default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn budgets_are_a_size_and_a_time() {
        for (text, bytes, seconds) in [
            ("500m/day", 500 << 20, 86_400),
            ("2g/12h", 2 << 30, 43_200),
            ("1048576/10s", 1 << 20, 10),
            ("20m/1h30m", 20 << 20, 5400),
            ("1m/minute", 1 << 20, 60),
            ("1m/week", 1 << 20, 604_800),
        ] {
            assert_eq!(
                parse(text).unwrap(),
                Some(Wanted { bytes, seconds }),
                "{text}"
            );
        }
        assert_eq!(parse("").unwrap(), None);
        assert_eq!(parse("none").unwrap(), None);
        for text in [
            "500m",
            "x/day",
            "500m/fortnight",
            "1k/day",
            "1m/1s",
            "/",
            "1m/",
            "-1m/day",
        ] {
            let refusal = parse(text).unwrap_err().to_string();
            assert!(
                refusal.starts_with(&format!("invalid write budget {text:?}: ")),
                "{refusal}"
            );
        }
    }

    #[test]
    fn windows_follow_each_other_and_debts_are_paid() {
        let wanted = Wanted {
            bytes: 100,
            seconds: 10,
        };
        let mut place = Place { began: 5, used: 0 };
        // (time, bytes, spent?, used)
        for (now, fresh, is_spent, used) in [
            (6, 60, false, 60),
            (9, 30, false, 90),
            (14, 230, true, 320),
            // The next window begins with what was too much.
            (15, 0, true, 220),
            (26, 0, true, 120),
            (35, 0, false, 20),
            (36, 79, false, 99),
            (37, 1, true, 100),
            // Windows in which nothing was written save nothing up.
            (500, 0, false, 0),
            (501, 99, false, 99),
        ] {
            assert_eq!(place.go_on(fresh, now, wanted), is_spent, "{now}");
            assert_eq!(place.used, used, "{now}");
        }
        assert_eq!(place.began, 495);
    }

    #[test]
    fn the_users_own_limit_comes_back() {
        let disk = Disk { major: 8, minor: 0 };
        let limits =
            "8:16 rbps=max wbps=1 riops=max wiops=max\n8:0 rbps=max wbps=77 riops=9 wiops=max\n";
        assert_eq!(own_limit(limits, disk), "77");
        assert_eq!(own_limit("", disk), "max");
        let wanted = parse("500m/day").unwrap().unwrap();
        assert_eq!(trickle(wanted), 758);
        assert_eq!(trickle(parse("1m/week").unwrap().unwrap()), 1);
    }
}
