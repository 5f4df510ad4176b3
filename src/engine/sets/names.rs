//! Who has which name in a change.

use super::{ROLLING_BACK, Sets};
use crate::engine::container::Container;
use crate::engine::{Engine, lock};
use crate::error::{Error, Result};
use crate::wire::set::Set;
use std::sync::Arc;

/// What stands behind the name of a container that stands aside.
const NEXT: &str = ".next";
const PREVIOUS: &str = ".previous";

/// The name of a container that is being made.
pub(super) fn next(name: &str) -> String {
    format!("{name}{NEXT}")
}

/// Ids, and the names that the record gives them while its change is under way.
pub(super) fn of(set: &Set) -> Vec<(String, String)> {
    let mut names = Vec::new();
    let is_back = set.state() == ROLLING_BACK;
    for member in set.members().iter().filter(|member| member.is_changed()) {
        let name = member.name();
        let (holder, other, suffix) = match is_back {
            true => (&member.previous, &member.id, NEXT),
            false => (&member.id, &member.previous, PREVIOUS),
        };
        names.extend(holder.iter().map(|id| (id.clone(), name.to_string())));
        names.extend(
            other
                .iter()
                .map(|id| (id.clone(), format!("{name}{suffix}"))),
        );
    }
    names
}

impl Sets {
    /// The containers that stand aside by what the record says.
    pub(super) fn set_aside(&mut self, set: &Set) {
        let is_back = set.state() == ROLLING_BACK;
        for member in set.members().iter().filter(|member| member.is_changed()) {
            let (holder, other) = match is_back {
                true => (&member.previous, &member.id),
                false => (&member.id, &member.previous),
            };
            self.aside.retain(|id| Some(id) != holder.as_ref());
            if let Some(id) = other.as_ref().filter(|id| !self.aside.contains(id)) {
                self.aside.push(id.clone());
            }
        }
    }
}

impl Engine {
    /// Give the containers the names that the record says: nobody sees some with the new ones and
    /// some with the old. They do not run.
    pub(super) fn name_members(&self, set: &Set) -> Result<()> {
        let mut moves: Vec<(Arc<Container>, String, String)> = Vec::new();
        for (id, name) in of(set) {
            // Whoever has removed it has told.
            if let Ok(container) = self.find(&id) {
                let old = container.name();
                moves.push((container, old, name));
            }
        }
        self.move_names(&moves)?;
        lock(&self.sets).set_aside(set);
        for (container, old, name) in &moves {
            let is_new = old != name;
            container.update(|state| state.name.clone_from(name));
            self.try_persist(container)?;
            if is_new {
                self.tell(container, "rename", &[("oldName", &format!("/{old}"))]);
            }
        }
        Ok(())
    }

    fn move_names(&self, moves: &[(Arc<Container>, String, String)]) -> Result<()> {
        let mut registry = lock(&self.registry);
        let is_moved = |id: &String| moves.iter().any(|(container, ..)| container.id == *id);
        for (_, _, name) in moves {
            if let Some(owner) = registry.names.get(name).filter(|id| !is_moved(id)) {
                return Err(Error::conflict(format!(
                    "the name {name} is container {owner}'s: rename that one"
                )));
            }
        }
        for (_, old, _) in moves {
            registry.names.remove(old);
        }
        for (container, _, name) in moves {
            registry.names.insert(name.clone(), container.id.clone());
        }
        Ok(())
    }
}
