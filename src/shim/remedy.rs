//! What is done when a container turns unhealthy (`--health-on-failure`): podman's words and ours.
//!
//! | | |
//! |---|---|
//! | `none` | nothing |
//! | `restart` | it is stopped as a user would, and starts again, whatever its restart policy; the delays are the policy's, its count is left alone |
//! | `stop`, `kill` | it is stopped or killed, and stays down, as if the user had done so |
//! | `reboot` | the host is asked to reboot (`shim::reboot`); too often, and it is a `restart` |
//!
//! The shim does it, whether there is an engine or not.

use crate::error::{Error, Result};
use crate::log;
use crate::shim::reboot;
use crate::shim::serve::{Supervisor, WHO};
use crate::sys::signal;
use std::time::{Duration, Instant};

/// Docker's default; see the API reference, StopTimeout.
const STOP_TIMEOUT_SECONDS: i64 = 10;

/// How long a host that was asked to reboot may take to begin, before it is asked again.
const ASKING_AGAIN: Duration = Duration::from_secs(60);

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Action {
    #[default]
    None,
    Restart,
    Stop,
    Kill,
    Reboot,
}

const ACTIONS: [(&str, Action); 5] = [
    ("none", Action::None),
    ("restart", Action::Restart),
    ("stop", Action::Stop),
    ("kill", Action::Kill),
    ("reboot", Action::Reboot),
];

impl Action {
    /// HostConfig's HealthOnFailure.
    pub fn of(word: Option<&str>) -> Result<Action> {
        let word = word.filter(|word| !word.is_empty()).unwrap_or("none");
        let known = ACTIONS.iter().find(|(name, _)| *name == word);
        known.map(|(_, action)| *action).ok_or_else(|| {
            Error::invalid(format!(
                "invalid HealthOnFailure {word:?}: use none, restart, stop, kill or reboot"
            ))
        })
    }
}

/// What is under way.
#[derive(Default)]
pub struct Remedy {
    pub action: Action,
    /// The program of this run has been told to end, and when it is killed.
    ending: Option<Ending>,
    /// When the host was asked to reboot.
    asked: Option<Instant>,
    /// It has been stopped or killed for good.
    pub has_given_up: bool,
}

struct Ending {
    kill_at: Option<Instant>,
}

impl Remedy {
    pub fn new(action: Option<&str>) -> Remedy {
        Remedy {
            action: Action::of(action).unwrap_or_default(),
            ..Remedy::default()
        }
    }

    pub fn deadline(&self) -> Option<Instant> {
        self.ending.as_ref().and_then(|ending| ending.kill_at)
    }

    /// The run is over.
    pub fn end(&mut self) {
        self.ending = None;
    }
}

impl Supervisor {
    /// A check has left the container unhealthy.
    pub fn remedy(&mut self, now: Instant) {
        if self.remedy.ending.is_some() {
            return;
        }
        match self.remedy.action {
            Action::None => {}
            Action::Restart => self.end_ill(now, true, false),
            Action::Stop => self.end_ill(now, false, false),
            Action::Kill => self.end_ill(now, false, true),
            Action::Reboot => self.reboot(now),
        }
    }

    fn reboot(&mut self, now: Instant) {
        let was_asked = self.remedy.asked;
        if was_asked.is_some_and(|asked| now < asked + ASKING_AGAIN) {
            return;
        }
        let asked = reboot::ask(&self.config);
        match asked {
            Ok(()) => {
                log::line(WHO, "unhealthy: the host is asked to reboot");
                self.remedy.asked = Some(now);
            }
            Err(error) => {
                log::line(WHO, format_args!("{error}; the container is restarted"));
                self.end_ill(now, true, false);
            }
        }
    }

    /// Have the program end, as `stop` does or at once.
    fn end_ill(&mut self, now: Instant, again: bool, at_once: bool) {
        let config = &self.config;
        let seconds = config.stop_timeout.unwrap_or(STOP_TIMEOUT_SECONDS);
        let (signal, wait) = match at_once {
            true => (signal::SIGKILL, None),
            false => (
                config.stop_signal.unwrap_or(signal::SIGTERM),
                u64::try_from(seconds).ok(),
            ),
        };
        match again {
            true => self.restarts.is_due = true,
            false => {
                self.restarts.is_stopped = true;
                self.restarts.is_cancelled = true;
                self.remedy.has_given_up = true;
            }
        }
        log::line(WHO, format_args!("unhealthy: signal {signal}"));
        if let Err(error) = self.kill(signal) {
            log::line(WHO, error);
        }
        let kill_at = wait.map(|seconds| now + Duration::from_secs(seconds));
        self.remedy.ending = Some(Ending { kill_at });
    }

    /// A program that does not end is killed.
    pub fn tend_remedy(&mut self, now: Instant) {
        if let Some(ending) = &mut self.remedy.ending
            && ending.kill_at.take_if(|at| now >= *at).is_some()
            && let Err(error) = self.kill(signal::SIGKILL)
        {
            log::line(WHO, error);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn actions_have_podmans_words_and_one_more() {
        for (word, expected) in [
            (None, Some(Action::None)),
            (Some(""), Some(Action::None)),
            (Some("restart"), Some(Action::Restart)),
            (Some("reboot"), Some(Action::Reboot)),
            (Some("Restart"), None),
            (Some("halt"), None),
        ] {
            assert_eq!(Action::of(word).ok(), expected, "{word:?}");
        }
    }
}
