//! The names of containers: which are allowed, who has which, and inventing them.

use crate::engine::{Engine, lock};
use crate::error::{Error, Result};

impl Engine {
    /// Take `name` for the container `id`, or say who has it.
    pub(super) fn reserve_name(&self, name: &str, id: &str) -> Result<()> {
        let mut registry = lock(&self.registry);
        if let Some(owner) = registry.names.get(name) {
            return Err(Error::conflict(format!(
                "Conflict. The container name \"/{name}\" is already in use by container \"{owner}\". You have to remove (or rename) that container to be able to reuse that name."
            )));
        }
        registry.names.insert(name.to_string(), id.to_string());
        Ok(())
    }

    /// Give `name` back, if it is `id`'s.
    pub(super) fn release_name(&self, name: &str, id: &str) {
        let mut registry = lock(&self.registry);
        if registry.names.get(name).is_some_and(|owner| owner == id) {
            registry.names.remove(name);
        }
    }

    /// Take a name that nobody has: `brave_otter`, then `brave_otter3`.
    pub(super) fn invent_name(&self, id: &str) -> Result<String> {
        for attempt in 0u32..8 {
            let name = random(attempt)?;
            if self.reserve_name(&name, id).is_ok() {
                return Ok(name);
            }
        }
        let name = format!("tug_{}", crate::id::short(id));
        self.reserve_name(&name, id)?;
        Ok(name)
    }
}

/// Docker's rule, `[a-zA-Z0-9][a-zA-Z0-9_.-]+`, and its sentence. Answers the name without a slash.
pub fn check(name: &str) -> Result<&str> {
    let bare = name.strip_prefix('/').unwrap_or(name);
    let mut bytes = bare.bytes();
    let first = bytes.next().is_some_and(|b| b.is_ascii_alphanumeric());
    let rest = bytes.all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'));
    if first && rest && bare.len() > 1 {
        return Ok(bare);
    }
    Err(Error::invalid(format!(
        "Invalid container name ({name}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed"
    )))
}

const ADJECTIVES: [&str; 24] = [
    "able", "amber", "brave", "brisk", "calm", "clever", "cosy", "eager", "fair", "gentle",
    "happy", "jolly", "keen", "kind", "lucky", "mellow", "nimble", "proud", "quiet", "rapid",
    "sturdy", "sunny", "trusty", "witty",
];

/// What floats, dives or works in a harbour.
const NOUNS: [&str; 24] = [
    "anchor",
    "barge",
    "beacon",
    "buoy",
    "canoe",
    "cormorant",
    "crane",
    "cutter",
    "dinghy",
    "dolphin",
    "ferry",
    "gull",
    "harbour",
    "heron",
    "keel",
    "lighter",
    "mooring",
    "otter",
    "pilot",
    "puffin",
    "rudder",
    "seal",
    "skiff",
    "tern",
];

fn random(attempt: u32) -> Result<String> {
    let mut bytes = [0u8; 3];
    crate::sys::random::fill(&mut bytes)?;
    let [a, b, c] = bytes.map(usize::from);
    let digit = if attempt == 0 {
        String::new()
    } else {
        (c % 100).to_string()
    };
    Ok(format!(
        "{}_{}{digit}",
        ADJECTIVES[a % ADJECTIVES.len()],
        NOUNS[b % NOUNS.len()]
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_dockers_rule() {
        for good in ["web", "/web", "a1", "A.b_c-d", "0x"] {
            assert_eq!(check(good).unwrap(), good.trim_start_matches('/'));
        }
        for bad in ["", "/", "a", "_a", "-a", ".a", "a b", "a/b", "//a", "é1"] {
            assert_eq!(
                check(bad).unwrap_err().message,
                format!(
                    "Invalid container name ({bad}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed"
                )
            );
        }
    }

    #[test]
    fn invented_names_are_allowed_names() {
        for attempt in 0..50 {
            check(&random(attempt).unwrap()).unwrap();
        }
    }
}
