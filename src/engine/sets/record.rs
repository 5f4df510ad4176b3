//! The record of a set on disk.

use super::{COMMITTED, Sets};
use crate::engine::wear;
use crate::engine::{Engine, lock, names};
use crate::error::{Context, Error, Result};
use crate::json;
use crate::store::{record, staging};
use crate::wire::set::{Past, Set};
use std::path::PathBuf;

/// How many changes a record tells of.
const HISTORY_MAX: usize = 8;

const SUFFIX: &str = ".json";

impl Engine {
    fn sets_dir(&self) -> PathBuf {
        self.options.data_root.join("sets")
    }

    /// Replace the record, durably. On disk or not, it counts in memory only when this succeeds.
    pub(super) fn save_set(&self, set: &Set) -> Result<()> {
        let dir = self.sets_dir();
        if !dir.exists() {
            staging::make_dir(&dir)?;
            crate::sys::fs::sync_dir(&self.options.data_root)?;
        }
        let set = &Set {
            steps: None,
            busy: None,
            ..set.clone()
        };
        let text = json::to_string(set) + "\n";
        record::replace(&dir, &format!("{}{SUFFIX}", set.name()), text.as_bytes())
            .context(|| format!("record set {}", set.name()))?;
        lock(&self.sets).replace(set);
        Ok(())
    }

    /// All that are on disk. One that cannot be read is set aside.
    pub(super) fn read_sets(&self) -> Result<Vec<Set>> {
        let dir = self.sets_dir();
        let mut all = Vec::new();
        if !dir.exists() {
            return Ok(all);
        }
        for file in staging::names(&dir)? {
            let Some(name) = file.strip_suffix(SUFFIX).filter(|n| !n.starts_with('.')) else {
                continue;
            };
            let read = record::load(&dir, &file).and_then(|bytes| {
                let set: Set = json::parse_bytes(&bytes.unwrap_or_default(), &file)?;
                match set.name() == name {
                    true => Ok(set),
                    false => Err(Error::invalid(format!("{file} is another's"))),
                }
            });
            match read {
                Ok(set) => all.push(set),
                Err(error) => {
                    self.note(format_args!("set {name}: {error}; its record is set aside"));
                    record::set_aside(&dir, &file)?;
                }
            }
        }
        Ok(all)
    }
}

impl Sets {
    pub(super) fn replace(&mut self, set: &Set) {
        match self.records.iter_mut().find(|old| old.name() == set.name()) {
            Some(old) => old.clone_from(set),
            None => self.records.push(set.clone()),
        }
    }
}

/// The change that `set` tells of has come to its end.
pub(super) fn close(set: &mut Set, outcome: &str) {
    let images = set.members().iter().filter(|member| member.is_changed());
    let images = images.map(|member| {
        let image = member.image.as_deref().unwrap_or("(removed)");
        format!("{}={image}", member.name())
    });
    let images: Vec<String> = images.collect();
    let history = set.history.get_or_insert_default();
    history.insert(
        0,
        Past {
            generation: set.generation,
            outcome: Some(outcome.to_string()),
            at: Some(crate::time::Time::now().rfc3339()),
            reason: set.reason.clone(),
            images: Some(images),
            written: set.written.map(|before| written().saturating_sub(before)),
        },
    );
    history.truncate(HISTORY_MAX);
    set.state = Some(COMMITTED.to_string());
    (set.deadline, set.boot_id, set.written) = (None, None, None);
}

/// A file's name, too.
pub(super) fn check_name(name: &str) -> Result<()> {
    match names::check(name) {
        Ok(bare) if bare == name => Ok(()),
        _ => Err(Error::invalid(format!(
            "invalid name of a set: {name:?}: only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed"
        ))),
    }
}

/// Bytes that this engine has written.
pub(super) fn written() -> u64 {
    wear::own_bytes()
}
