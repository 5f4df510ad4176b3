//! system wear: how much was written to the disk, by whom, and how fast it goes on.
//!
//! What containers have written their shims tell, and `state.json` keeps. What the engine itself has
//! written is in `wear.json`: below the exec root after each update of an image and at each
//! end, which costs memory only; below the data root when there is a good deal of news, at an end or after
//! an hour, so that counting never wears the disk by itself. A power cut takes the news.
//!
//! Rates are of the time that the machine was on. The wall clock, which stands at 1970 on some boards,
//! is not needed for them.

use crate::engine::container::Container;
use crate::engine::{Engine, lock};
use crate::error::Result;
use crate::json;
use crate::json::object::{self, Object};
use crate::json::value::json_struct;
use crate::shim::client;
use crate::shim::wear::{Disk, Wear};
use crate::store;
use crate::sys::{clock, process};
use crate::time::Time;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

const FILE: &str = "wear.json";

/// So much must be new for the record to be written: some fifty times what the writing costs.
const NEWS_BYTES: u64 = 256 << 10;

/// While the engine lives it is not written more often.
const INTERVAL: Duration = Duration::from_secs(3600);

/// The updates that are remembered.
const UPDATES_MAX: usize = 16;

const DAY: u64 = 86_400;

/// Of less time a rate tells nothing.
const RATE_SECONDS_MIN: u64 = 600;

json_struct! {
    /// wear.json.
    #[derive(Clone, Debug, Default)]
    pub struct Record {
        /// By the wall clock of then.
        pub since: Option<String>,
        /// How long the machine was on since.
        pub seconds: Option<u64>,
        /// What all engines have written.
        pub engine: Option<u64>,
        /// What containers had written that are no more.
        pub removed: Option<Wear>,
        /// The last ones, the oldest first.
        pub updates: Option<Vec<Update>>,
        /// Of this boot's copy: how long the machine had been on.
        pub uptime: Option<u64>,
        /// Of this boot's copy: as much as `engine` is in the other.
        pub kept: Option<u64>,
    }

    #[derive(Clone, Debug, Default)]
    pub struct Update {
        pub time: Option<String>,
        /// `pull web:2`
        pub what: Option<String>,
        pub written: Option<u64>,
    }
}

/// What this engine counts.
pub struct Tally {
    data_root: PathBuf,
    exec_root: PathBuf,
    state: Mutex<State>,
}

/// Guarded by `Tally::state`.
struct State {
    record: Record,
    /// As much of what this process has written is in `record`.
    own: u64,
    kept_at: Instant,
}

impl Tally {
    pub fn open(data_root: &Path, exec_root: &Path) -> Tally {
        let uptime = clock::since_boot().as_secs();
        // Where the exec root is no memory, its file may be of another boot.
        let of_this_boot = load(exec_root).filter(|record| record.uptime <= Some(uptime));
        let record = of_this_boot.or_else(|| {
            let kept = load(data_root)?;
            Some(Record {
                kept: kept.engine,
                uptime: Some(0),
                ..kept
            })
        });
        let record = record.unwrap_or_else(|| Record {
            since: Some(Time::now().rfc3339()),
            uptime: Some(uptime),
            ..Record::default()
        });
        Tally {
            data_root: data_root.to_path_buf(),
            exec_root: exec_root.to_path_buf(),
            state: Mutex::new(State {
                record,
                own: 0,
                kept_at: Instant::now(),
            }),
        }
    }

    /// The record as it is now.
    fn now(&self) -> Record {
        let mut state = lock(&self.state);
        state.count();
        state.record.clone()
    }

    /// The record is to be written, by the news and the time.
    fn is_due(&self) -> bool {
        let mut state = lock(&self.state);
        // The time is asked first: it costs nothing.
        state.is_old() && {
            state.count();
            state.has_news()
        }
    }

    /// Something is new. `is_last`: the engine ends.
    fn save(&self, is_last: bool, change: &mut dyn FnMut(&mut Record)) -> Result<()> {
        let mut state = lock(&self.state);
        state.count();
        change(&mut state.record);
        let mut kept = Ok(());
        if state.has_news() && (is_last || state.is_old()) {
            state.kept_at = Instant::now();
            let text = json::to_string(&state.record);
            kept = store::record::replace(&self.data_root, FILE, text.as_bytes());
            if kept.is_ok() {
                state.record.kept = state.record.engine;
            }
        }
        // A disk that takes nothing is no reason to forget what this boot has seen.
        let text = json::to_string(&state.record);
        store::record::replace_unsynced(&self.exec_root, FILE, text.as_bytes()).and(kept)
    }
}

impl State {
    fn has_news(&self) -> bool {
        let engine = self.record.engine.unwrap_or(0);
        engine.saturating_sub(self.record.kept.unwrap_or(0)) >= NEWS_BYTES
    }

    fn is_old(&self) -> bool {
        self.kept_at.elapsed() >= INTERVAL
    }

    fn count(&mut self) {
        let own = own_bytes();
        *self.record.engine.get_or_insert(0) += own.saturating_sub(self.own);
        self.own = own;
        let uptime = clock::since_boot().as_secs();
        let earlier = self.record.uptime.replace(uptime).unwrap_or(uptime);
        *self.record.seconds.get_or_insert(0) += uptime.saturating_sub(earlier);
    }
}

/// What this process has written; its shims count for themselves.
pub(super) fn own_bytes() -> u64 {
    let written = process::written_bytes("self").unwrap_or(0);
    written.saturating_sub(client::reaped_bytes())
}

fn load(dir: &Path) -> Option<Record> {
    let bytes = store::record::load(dir, FILE).ok()??;
    json::parse_bytes(&bytes, FILE).ok()
}

/// Counts what the engine writes until it goes, as one update.
pub struct Counted<'a> {
    engine: &'a Engine,
    what: String,
    before: u64,
}

impl Counted<'_> {
    /// What is updated; there may be several.
    pub fn name(&mut self, name: &str) {
        if !name.is_empty() {
            self.what.push(' ');
        }
        self.what.push_str(name);
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        let written = own_bytes().saturating_sub(self.before);
        if written == 0 {
            return;
        }
        let update = Update {
            time: Some(Time::now().rfc3339()),
            what: Some(std::mem::take(&mut self.what)),
            written: Some(written),
        };
        self.engine.save_wear(false, &mut |record| {
            let updates = record.updates.get_or_insert_default();
            updates.push(update.clone());
            let surplus = updates.len().saturating_sub(UPDATES_MAX);
            updates.drain(..surplus);
        });
    }
}

impl Engine {
    /// What is written from now on until the answer goes is an update's. Others that run
    /// beside it count with it.
    pub fn wear_of(&self, what: &str) -> Counted<'_> {
        Counted {
            engine: self,
            what: what.to_string(),
            before: own_bytes(),
        }
    }

    /// Before the container's records go.
    pub(super) fn keep_wear(&self, container: &Container) {
        let wear = container.lock().wear.clone();
        if wear != Wear::default() {
            self.save_wear(false, &mut |record| {
                record.removed.get_or_insert_default().add(&wear);
            });
        }
    }

    /// The engine ends.
    pub(super) fn close_wear(&self) {
        self.save_wear(true, &mut |_| {});
    }

    fn save_wear(&self, is_last: bool, change: &mut dyn FnMut(&mut Record)) {
        if let Err(error) = self.wear.save(is_last, change) {
            self.debug(error);
        }
    }

    /// Something has happened that is worth a look: an engine that lives long notes its count, too.
    pub(super) fn note_wear(&self) {
        if self.wear.is_due() {
            self.save_wear(false, &mut |_| {});
        }
    }

    /// Sets remember themselves what their changes have cost, with the pulls for them.
    fn set_updates(&self) -> Vec<Update> {
        let sets = self.set_list().sets.unwrap_or_default();
        let mut updates = Vec::new();
        for set in &sets {
            for past in set.history.iter().flatten() {
                let outcome = past.outcome.as_deref().unwrap_or_default();
                updates.push(Update {
                    time: past.at.clone(),
                    what: Some(format!("apply {} ({outcome})", set.name())),
                    written: past.written,
                });
            }
        }
        updates
    }

    /// In JSON.
    pub fn system_wear(&self) -> String {
        let record = self.wear.now();
        let seconds = record.seconds.unwrap_or(0);
        let mut engine = Object::new();
        rate(&mut engine, record.engine, seconds);

        let containers: Vec<String> = self.containers().iter().map(|c| of_container(c)).collect();
        let mut updates = record.updates.unwrap_or_default();
        updates.extend(self.set_updates());
        updates.sort_by(|a, b| a.time.cmp(&b.time));
        let updates: Vec<String> = updates.iter().map(Update::json).collect();
        let mut object = Object::new();
        object
            .text("Since", record.since.as_deref().unwrap_or_default())
            .number("Seconds", seconds)
            .put("Engine", &engine.finish())
            .put("Containers", &object::list(&containers))
            .put(
                "Removed",
                &of_wear(&record.removed.unwrap_or_default()).finish(),
            )
            .put("Updates", &object::list(&updates));
        if let Some(device) = device(&self.options.data_root) {
            object.put("Device", &device);
        }
        object.finish()
    }
}

impl Update {
    fn json(&self) -> String {
        let mut object = Object::new();
        object
            .text("Time", self.time.as_deref().unwrap_or_default())
            .text("What", self.what.as_deref().unwrap_or_default())
            .number("Written", self.written);
        object.finish()
    }
}

fn of_container(container: &Container) -> String {
    let (name, mut wear, shim) = {
        let state = container.lock();
        let shim = state.shim.clone().filter(|_| state.phase.is_up());
        (state.name.clone(), state.wear.clone(), shim)
    };
    if let Some(now) = shim.and_then(|shim| shim.wear().ok()) {
        wear.add(&now);
    }
    let mut object = of_wear(&wear);
    object.text("Id", &container.id).text("Name", &name);
    object.finish()
}

/// What nobody has counted is not there.
fn of_wear(wear: &Wear) -> Object {
    let mut object = Object::new();
    rate(&mut object, wear.written, wear.seconds.unwrap_or(0));
    object
        .number("Elsewhere", wear.elsewhere)
        .number("Log", wear.logged)
        .number("Seconds", wear.seconds);
    object
}

/// How much, and how much a day at this rate.
fn rate(object: &mut Object, written: Option<u64>, seconds: u64) {
    let a_day = |bytes: u64| u128::from(bytes) * u128::from(DAY) / u128::from(seconds.max(1));
    let a_day = written.map(|bytes| u64::try_from(a_day(bytes)).unwrap_or(u64::MAX));
    object
        .number("Written", written)
        .number("PerDay", a_day.filter(|_| seconds >= RATE_SECONDS_MIN));
}

/// What the kernel and the disk itself tell of the disk below the data root.
fn device(data_root: &Path) -> Option<String> {
    let disk = Disk::below(data_root)?;
    let place = disk.place().canonicalize().ok()?;
    let read = |path: &Path| {
        let text = std::fs::read_to_string(path).ok()?;
        Some(text.trim().to_string())
    };
    let name = place.file_name()?.to_str()?;
    // Sectors of 512 bytes, whatever the disk's are (Documentation/block/stat.rst).
    let stat = read(&place.join("stat")).unwrap_or_default();
    let sectors = stat.split_ascii_whitespace().nth(6);
    let sectors = sectors.and_then(|text| text.parse::<u64>().ok());
    let mut object = Object::new();
    object
        .text("Name", name)
        .number("WrittenSinceBoot", sectors.map(|sectors| sectors * 512));
    let part = Disk::part(data_root)?.place().canonicalize().ok()?;
    let ext4 = Path::new("/sys/fs/ext4").join(part.file_name()?);
    let kilobytes = read(&ext4.join("lifetime_write_kbytes"));
    let kilobytes = kilobytes.and_then(|text| text.parse::<u64>().ok());
    object.number("WrittenToFileSystem", kilobytes.map(|count| count * 1024));
    // eMMC from version 5.0 on: in tenths of its life, of memory of either kind.
    for (file, member) in [("life_time", "LifeTime"), ("pre_eol_info", "PreEol")] {
        if let Some(text) = read(&place.join("device").join(file)) {
            object.text(member, &text);
        }
    }
    Some(object.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_of_the_time_that_it_ran() {
        let told = |written, seconds| {
            let mut object = Object::new();
            rate(&mut object, written, seconds);
            object.finish()
        };
        assert_eq!(
            told(Some(1000), 43_200),
            r#"{"Written":1000,"PerDay":2000}"#
        );
        assert_eq!(told(Some(1), 599), r#"{"Written":1}"#);
        assert_eq!(told(None, 5), "{}");
        let most = u64::MAX;
        let expected = format!(r#"{{"Written":{most},"PerDay":{most}}}"#);
        assert_eq!(told(Some(most), 600), expected);
    }

    #[test]
    fn the_record_is_kept_when_there_is_news_enough() {
        let dir = std::env::temp_dir().join(format!("tug-wear-{}", std::process::id()));
        let (data, exec) = (dir.join("data"), dir.join("exec"));
        std::fs::create_dir_all(&data).unwrap();
        std::fs::create_dir_all(&exec).unwrap();
        let add = |tally: &Tally, bytes: u64, is_last: bool| {
            tally
                .save(is_last, &mut |record| {
                    *record.engine.get_or_insert(0) += bytes
                })
                .unwrap();
        };
        let tally = Tally::open(&data, &exec);
        let before = tally.now().engine.unwrap_or(0);
        add(&tally, NEWS_BYTES / 2, false);
        assert!(load(&data).is_none() && load(&exec).is_some());
        add(&tally, NEWS_BYTES, false);
        assert!(load(&data).is_none(), "not before an hour has passed");
        // The next engine of this boot goes on with it.
        let next = Tally::open(&data, &exec);
        add(&next, 0, true);
        let kept = load(&data).unwrap().engine.unwrap();
        assert!(kept >= before + NEWS_BYTES * 3 / 2, "{kept}");
        // The next boot's has what was kept.
        std::fs::remove_file(exec.join(FILE)).unwrap();
        let next = Tally::open(&data, &exec);
        assert_eq!(lock(&next.state).record.engine, Some(kept));
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
