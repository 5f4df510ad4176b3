//! Restart policies: whether a container that has ended runs again, and when.
//!
//! Docker's rules (moby, restartmanager). Spans of time come from the monotonic clock, so setting
//! the date, or a board that has none at boot, changes nothing.

use crate::wire::container::RestartPolicy;
use std::time::Duration;

/// Before the first restart; doubled for each further one.
const DELAY_MIN: Duration = Duration::from_millis(100);
const DELAY_MAX: Duration = Duration::from_secs(60);

/// After a run of so long the next delay is the shortest again.
const GOOD_RUN: Duration = Duration::from_secs(10);

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Policy {
    #[default]
    No,
    Always,
    UnlessStopped,
    /// 0 retries for ever.
    OnFailure {
        retries_max: u32,
    },
}

impl Policy {
    /// From a policy that has been checked.
    pub fn of(asked: Option<&RestartPolicy>) -> Policy {
        let name = asked.and_then(|asked| asked.name.as_deref());
        let retries = asked.and_then(|asked| asked.maximum_retry_count);
        match name {
            Some("always") => Policy::Always,
            Some("unless-stopped") => Policy::UnlessStopped,
            Some("on-failure") => Policy::OnFailure {
                retries_max: retries.and_then(|n| n.try_into().ok()).unwrap_or(0),
            },
            _ => Policy::No,
        }
    }

    /// Whether it runs again after it ended with `code`.
    pub fn wants(self, code: i64, is_stopped: bool, count: u32) -> bool {
        match self {
            Policy::No => false,
            Policy::Always => true,
            Policy::UnlessStopped => !is_stopped,
            Policy::OnFailure { retries_max } => {
                code != 0 && (retries_max == 0 || count < retries_max)
            }
        }
    }

    /// Whether a container that has run before runs again when the host has come back.
    pub fn wants_at_boot(self, code: i64, is_stopped: bool, count: u32) -> bool {
        let is_failure = matches!(self, Policy::OnFailure { .. });
        self.wants(code, is_stopped, count) && !(is_failure && is_stopped)
    }
}

/// The restarts of one container since the user started it.
#[derive(Clone, Debug, Default)]
pub struct Restarts {
    pub policy: Policy,
    pub count: u32,
    /// What the last restart waited for.
    delay: Duration,
    /// The user has sent a signal (Docker's HasBeenManuallyStopped).
    pub is_stopped: bool,
    /// The next end is the last one, whatever the policy.
    pub is_cancelled: bool,
    /// The next end is not the last one, whatever the policy, and none of its retries.
    pub is_due: bool,
}

impl Restarts {
    pub fn new(policy: Policy, count: u32) -> Restarts {
        Restarts {
            policy,
            count,
            ..Default::default()
        }
    }

    /// After `count` restarts that somebody else has seen to.
    pub fn resume(policy: Policy, count: u32) -> Restarts {
        let delay = match count {
            0 => Duration::ZERO,
            _ => DELAY_MIN
                .saturating_mul(1 << (count - 1).min(10))
                .min(DELAY_MAX),
        };
        Restarts {
            delay,
            ..Restarts::new(policy, count)
        }
    }

    /// A run that took `ran` has ended with `code`: how long to wait for the next one, if there is
    /// one.
    pub fn after(&mut self, code: i64, ran: Duration) -> Option<Duration> {
        if ran >= GOOD_RUN {
            self.delay = Duration::ZERO;
        }
        self.delay = (self.delay * 2).clamp(DELAY_MIN, DELAY_MAX);
        if std::mem::take(&mut self.is_due) && !self.is_cancelled {
            return Some(self.delay);
        }
        if self.is_cancelled || !self.policy.wants(code, self.is_stopped, self.count) {
            return None;
        }
        self.count += 1;
        Some(self.delay)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(name: &str, retries: i64) -> Policy {
        Policy::of(Some(&RestartPolicy {
            name: Some(name.into()),
            maximum_retry_count: Some(retries),
        }))
    }

    fn restarts(name: &str, retries: i64) -> Restarts {
        Restarts::new(policy(name, retries), 0)
    }

    const SHORT: Duration = Duration::from_millis(9_999);

    #[test]
    fn delays_double_from_100_ms_to_a_minute() {
        let mut restarts = restarts("always", 0);
        let delays: Vec<u128> = (0..13)
            .map(|_| restarts.after(0, SHORT).unwrap().as_millis())
            .collect();
        let expected = [
            100, 200, 400, 800, 1600, 3200, 6400, 12_800, 25_600, 51_200, 60_000, 60_000, 60_000,
        ];
        assert_eq!(delays, expected);
        assert_eq!(restarts.count, 13);
    }

    #[test]
    fn who_takes_over_goes_on_where_the_other_was() {
        for (count, expected) in [
            (0, 100),
            (1, 200),
            (4, 1600),
            (10, 60_000),
            (4_000_000, 60_000),
        ] {
            let mut restarts = Restarts::resume(Policy::Always, count);
            let delay = restarts.after(1, SHORT).unwrap();
            assert_eq!((delay.as_millis(), restarts.count), (expected, count + 1));
        }
    }

    #[test]
    fn a_run_of_ten_seconds_makes_the_delay_short_again() {
        let mut restarts = restarts("always", 0);
        for _ in 0..20 {
            restarts.after(1, SHORT);
        }
        assert_eq!(restarts.after(1, GOOD_RUN), Some(DELAY_MIN));
        assert_eq!(restarts.after(1, SHORT), Some(DELAY_MIN * 2));
        assert_eq!(restarts.count, 22);
    }

    #[test]
    fn on_failure_counts_its_retries_and_ends_with_success() {
        let mut three = restarts("on-failure", 3);
        let outcomes: Vec<bool> = (0..5).map(|_| three.after(7, SHORT).is_some()).collect();
        assert_eq!(outcomes, [true, true, true, false, false]);
        assert_eq!(three.count, 3);
        assert_eq!(restarts("on-failure", 3).after(0, SHORT), None);
        // Without a number there is no end to it.
        let mut endless = restarts("on-failure", 0);
        assert!((0..1000).all(|_| endless.after(1, SHORT).is_some()));
    }

    #[test]
    fn a_restart_that_is_due_is_none_of_the_policys() {
        let mut one = restarts("on-failure", 1);
        one.is_due = true;
        assert_eq!(one.after(0, SHORT), Some(DELAY_MIN));
        assert_eq!(one.count, 0);
        assert_eq!(one.after(1, SHORT), Some(DELAY_MIN * 2));
        assert_eq!((one.count, one.after(1, SHORT)), (1, None));
        let mut none = restarts("no", 0);
        (none.is_due, none.is_cancelled) = (true, true);
        assert_eq!(none.after(1, SHORT), None);
    }

    #[test]
    fn what_the_user_stopped_stays_stopped() {
        for name in ["always", "unless-stopped", "on-failure"] {
            let mut restarts = restarts(name, 0);
            restarts.is_cancelled = true;
            assert_eq!(restarts.after(1, SHORT), None, "{name}");
        }
        // A signal that is no stop counts for the policy that asks about it.
        for (name, expected) in [("always", true), ("unless-stopped", false)] {
            let mut restarts = restarts(name, 0);
            restarts.is_stopped = true;
            assert_eq!(restarts.after(1, SHORT).is_some(), expected, "{name}");
        }
        for name in ["no", "", "nonsense"] {
            assert_eq!(restarts(name, 0).after(1, SHORT), None, "{name}");
        }
    }

    #[test]
    fn after_a_boot_runs_what_was_to_run() {
        for (name, code, is_stopped, expected) in [
            ("no", 255, false, false),
            ("always", 0, false, true),
            ("always", 137, true, true),
            ("unless-stopped", 255, false, true),
            ("unless-stopped", 143, true, false),
            ("on-failure", 255, false, true),
            ("on-failure", 137, true, false),
            ("on-failure", 0, false, false),
        ] {
            let found = policy(name, 0).wants_at_boot(code, is_stopped, 0);
            assert_eq!(found, expected, "{name} {code} {is_stopped}");
        }
        assert!(!policy("on-failure", 2).wants_at_boot(255, false, 2));
    }
}
