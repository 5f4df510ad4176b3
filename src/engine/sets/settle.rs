//! After a start of the engine: what becomes of changes that were under way.

use super::{COMMITTED, FAILED, ROLLING_BACK, TRYING, names};
use crate::engine::boot::Boot;
use crate::engine::container::Phase;
use crate::engine::remove::Removal;
use crate::engine::{Engine, lock};
use crate::error::Result;
use crate::wire::set::Set;
use std::sync::Arc;

/// The names that containers have by the records of unfinished changes, whatever their own say.
#[derive(Default)]
pub struct Loaded(Vec<(String, String)>);

impl Loaded {
    pub fn name_of(&self, id: &str) -> Option<String> {
        let found = self.0.iter().find(|(known, _)| known == id);
        found.map(|(_, name)| name.clone())
    }
}

impl Engine {
    /// Before containers are taken in. What was on trial when the machine went down is on its way
    /// back from here on.
    pub(in crate::engine) fn load_sets(&self, boot: &Boot) -> Result<Loaded> {
        let mut loaded = Loaded::default();
        for mut set in self.read_sets()? {
            let is_open = matches!(set.state(), TRYING | FAILED);
            if is_open && (boot.is_new || set.boot_id.as_deref() != Some(boot.id())) {
                set.state = Some(ROLLING_BACK.to_string());
                set.reason = Some("the machine went down before the commit".to_string());
                // On a full or read-only disk the decision is made anew at each start.
                if let Err(error) = self.save_set(&set) {
                    self.note(error);
                }
            }
            if set.state() != COMMITTED {
                loaded.0.extend(names::of(&set));
            }
            lock(&self.sets).replace(&set);
        }
        Ok(loaded)
    }

    /// All containers are taken in: go on where the engine before us ended.
    pub(in crate::engine) fn settle_sets(self: &Arc<Engine>) {
        self.sweep_unborn();
        let all = lock(&self.sets).records.clone();
        for set in all {
            lock(&self.sets).set_aside(&set);
            if set.state() == FAILED || set.state() == COMMITTED && !self.has_remains(&set) {
                continue;
            }
            self.note(format_args!(
                "set {}: the change that was under way goes on ({})",
                set.name(),
                set.state()
            ));
            let begun = self
                .claim_set(&set)
                .and_then(|claim| self.conduct(set, claim));
            if let Err(error) = begun {
                self.note(error);
            }
        }
    }

    fn has_remains(&self, set: &Set) -> bool {
        let mut changed = set.members().iter().filter(|member| member.is_changed());
        changed.any(|member| {
            let old = member.previous.as_deref();
            old.is_some_and(|id| self.find(id).is_ok())
        })
    }

    /// What was made for a change that did not come to be decided. It has never run, or it would
    /// stand in the record.
    fn sweep_unborn(&self) {
        for container in self.containers() {
            let Some(member) = &container.member else {
                continue;
            };
            if self.is_in_set(&container.id) || container.lock().phase != Phase::Created {
                continue;
            }
            let set = member.set.as_deref().unwrap_or_default();
            self.note(format_args!(
                "set {set}: {} was made for a change that did not come about; removed",
                container.name()
            ));
            if let Err(error) = self.remove(&container, Removal::ALL) {
                self.note(error);
            }
        }
    }
}
