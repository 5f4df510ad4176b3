//! Safe updates: containers that are changed together, tried, and kept or taken back.
//!
//! A set has a record, `<data root>/sets/NAME.json`, and the record is a redo journal: who has which
//! name is what it says while a change is under way, whatever the containers' own records say. One
//! rename decides; all that follows can be done again, and is, after a crash (`settle`):
//!
//! ```text
//!   prepare   new containers beside the old ones, called NAME.next, never started. No record yet:
//!             whoever finds one that no record knows removes it
//!   trying    the old are stopped and called NAME.previous, the new are started. They must be well
//!             until the deadline
//!   committed the old are removed
//!   rolling-back  the new are stopped, the old get their names and are started, the new are removed
//!   failed    (on request) the new stay for a look, and the old for the way back
//! ```
//!
//! A trial belongs to its boot: when the machine goes down before the commit, the set of before is
//! what comes up. When only the engine goes down, the next one goes on with what is left of the time.
//!
//! The change is made by a thread of its own: its client may leave, and an engine with one is busy.

mod change;
mod names;
mod prepare;
mod record;
mod renew;
mod settle;
mod trial;
mod wishes;

pub use self::settle::Loaded;

use crate::engine::{Engine, lock};
use crate::error::{Error, Result};
use crate::sys::poll::Bell;
use crate::wire::set::{List, Set};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// All that is known of sets. Guarded by `Engine::sets`, for moments.
#[derive(Default)]
pub struct Sets {
    records: Vec<Set>,
    claims: Vec<Arc<Claim>>,
    /// Containers that stand aside while a change is under way: nobody else starts, renames or
    /// removes them.
    aside: Vec<String>,
}

/// A change that is under way.
struct Claim {
    set: String,
    /// Of the containers.
    names: Vec<String>,
    steps: std::sync::Mutex<Vec<String>>,
    /// What the user wants it to come to, before its time.
    verdict: std::sync::Mutex<Option<Verdict>>,
    /// Rings when there is a verdict.
    bell: Bell,
    /// It is kept for its steps only.
    is_over: AtomicBool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Commit,
    Rollback,
}

/// The states that a record names.
const COMMITTED: &str = "committed";
const TRYING: &str = "trying";
const FAILED: &str = "failed";
const ROLLING_BACK: &str = "rolling-back";

impl Engine {
    pub fn set_list(&self) -> List {
        let mut all: Vec<Set> = Vec::new();
        let names: Vec<String> = {
            let sets = lock(&self.sets);
            sets.records
                .iter()
                .map(|set| set.name().to_string())
                .collect()
        };
        for name in names {
            all.extend(self.set(&name));
        }
        List {
            sets: Some(all),
            written: Some(record::written()),
        }
    }

    /// A set, with the steps of its change if one is under way.
    pub fn set(&self, name: &str) -> Result<Set> {
        let sets = lock(&self.sets);
        let found = sets.records.iter().find(|set| set.name() == name);
        let mut set = found.cloned().ok_or_else(|| no_such_set(name))?;
        let claim = sets.claims.iter().find(|claim| claim.set == name);
        set.steps = claim.map(|claim| lock(&claim.steps).clone());
        set.busy = claim.map(|claim| !claim.is_over());
        Ok(set)
    }

    /// End a trial by hand.
    pub fn set_decide(self: &Arc<Engine>, name: &str, verdict: Verdict) -> Result<Set> {
        let set = self.set(name)?;
        let busy = {
            let sets = lock(&self.sets);
            let mut claims = sets.claims.iter();
            claims
                .find(|claim| claim.set == name && !claim.is_over())
                .cloned()
        };
        match (busy, set.state()) {
            (Some(claim), _) => claim.decide(verdict),
            // Something stood against its end before.
            (None, FAILED | TRYING | ROLLING_BACK) => {
                let claim = self.claim_set(&set)?;
                claim.decide(verdict);
                self.conduct(set, claim)?;
            }
            (None, state) => {
                return Err(Error::conflict(format!(
                    "set {name} is {state}: nothing of it is on trial"
                )));
            }
        }
        self.set(name)
    }

    /// Whether a set has the container: an update has made it, or has come back to it.
    pub fn is_in_set(&self, id: &str) -> bool {
        let sets = lock(&self.sets);
        let all = sets.records.iter().flat_map(|set| set.members());
        let mut ids = all.flat_map(|member| [&member.id, &member.previous]);
        ids.any(|known| known.as_deref() == Some(id))
    }

    /// Refuse what others want of a container that stands aside.
    pub(super) fn check_not_aside(&self, id: &str) -> Result<()> {
        match self.is_aside(id) {
            false => Ok(()),
            true => Err(Error::conflict(format!(
                "container {} belongs to a change that is under way: see 'tug apply status'",
                crate::id::short(id)
            ))),
        }
    }

    pub(super) fn is_aside(&self, id: &str) -> bool {
        lock(&self.sets).aside.iter().any(|other| other == id)
    }

    fn put_aside(&self, id: &str) {
        lock(&self.sets).aside.push(id.to_string());
    }

    fn take_back(&self, id: &str) {
        lock(&self.sets).aside.retain(|other| other != id);
    }

    /// One change of a set at a time, and of a container.
    fn claim_set(&self, set: &Set) -> Result<Arc<Claim>> {
        let names: Vec<String> = set.members().iter().map(|m| m.name().to_string()).collect();
        self.claim(set.name(), names)
    }

    fn claim(&self, set: &str, names: Vec<String>) -> Result<Arc<Claim>> {
        let claim = Arc::new(Claim {
            set: set.to_string(),
            names,
            steps: Default::default(),
            verdict: Default::default(),
            bell: Bell::new()?,
            is_over: AtomicBool::new(false),
        });
        let mut sets = lock(&self.sets);
        for other in sets.claims.iter().filter(|other| !other.is_over()) {
            let shared = claim.names.iter().find(|name| other.names.contains(name));
            let what = match shared {
                _ if other.set == set => format!("set {set}"),
                Some(name) => format!("container {name} of set {}", other.set),
                None => continue,
            };
            return Err(Error::conflict(format!(
                "{what} is being changed: wait for it, or see 'tug apply status'"
            )));
        }
        sets.claims.retain(|other| other.set != set);
        sets.claims.push(Arc::clone(&claim));
        Ok(claim)
    }
}

impl Claim {
    fn decide(&self, verdict: Verdict) {
        *lock(&self.verdict) = Some(verdict);
        self.bell.ring();
    }

    fn verdict(&self) -> Option<Verdict> {
        *lock(&self.verdict)
    }

    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Acquire)
    }

    fn release(&self) {
        self.is_over.store(true, Ordering::Release);
    }
}

fn no_such_set(name: &str) -> Error {
    Error::not_found(format!("No such set: {name}"))
}
