//! wait: when a container ends, and how.

use crate::engine::Engine;
use crate::engine::container::{Container, Phase, State};
use crate::error::{Error, Result};
use std::os::fd::BorrowedFd;

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// Holds at once for a container that is not running. A restart that follows does not matter.
    NotRunning {
        ends: u64,
    },
    /// The end of a run after so many.
    NextExit {
        ends: u64,
    },
    Removed,
}

impl Condition {
    /// As the API names it. `next-exit` counts from now on.
    pub fn parse(text: Option<&str>, container: &Container) -> Result<Condition> {
        let ends = container.lock().ends;
        match text {
            None | Some("" | "not-running") => Ok(Condition::NotRunning { ends }),
            Some("next-exit") => Ok(Condition::NextExit { ends }),
            Some("removed") => Ok(Condition::Removed),
            Some(other) => Err(Error::invalid(format!("invalid condition: \"{other}\""))),
        }
    }

    fn holds(self, state: &State) -> bool {
        let is_gone = state.phase == Phase::Removed;
        match self {
            Condition::NotRunning { ends } => !state.phase.is_up() || state.ends > ends,
            Condition::NextExit { ends } => state.ends > ends || is_gone,
            Condition::Removed => is_gone,
        }
    }
}

impl Engine {
    /// Wait for `condition`; answers the exit code, or `None` when the client has hung up.
    pub fn wait(
        &self,
        container: &Container,
        condition: Condition,
        client: BorrowedFd<'_>,
    ) -> Result<Option<i64>> {
        let holds = |state: &State| condition.holds(state);
        let met = container.wait_until(&holds, Some(client), None)?;
        Ok(met.then(|| container.lock().last_code))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::record::{Asked, Happened};

    #[test]
    fn each_condition_holds_when_docker_says_so() {
        let container = Container::new(Asked::default(), &Happened::default());
        let next = Condition::parse(Some("next-exit"), &container).unwrap();
        let holds = |condition: Condition| condition.holds(&container.lock());
        let halt = Condition::parse(None, &container).unwrap();
        assert!(holds(halt));
        assert!(!holds(next));
        assert!(!holds(Condition::Removed));

        for phase in [Phase::Running, Phase::Paused, Phase::Restarting] {
            container.lock().phase = phase;
            assert!(!holds(halt), "{phase:?}");
        }
        // The end of a run is told although the next one follows.
        container.update(|state| (state.phase, state.ends) = (Phase::Restarting, state.ends + 1));
        assert!(holds(halt) && holds(next) && !holds(Condition::Removed));
        let again = Condition::parse(None, &container).unwrap();
        assert!(!holds(again));
        container.update(|state| (state.phase, state.ends) = (Phase::Exited, state.ends + 1));
        assert!(holds(again));

        container.lock().phase = Phase::Removed;
        let later = Condition::parse(Some("next-exit"), &container).unwrap();
        assert!(holds(Condition::Removed) && holds(later));
        assert!(Condition::parse(Some("tea-time"), &container).is_err());
    }
}
