//! Probes in the shim's loop: begun when due, gone on with when their sockets are ready, ended by their
//! deadline.

use crate::shim::health::Check;
use crate::shim::probe::{Begun, Place, Talk, Verdict};
use crate::shim::serve::Supervisor;
use std::time::{Duration, Instant};

/// With a container's first process its sockets close, and we see the connection fail before we see
/// the end. What has failed is believed after so long.
const SETTLING: Duration = Duration::from_millis(100);

/// A probe that has begun.
pub struct Probing {
    check: Check,
    state: State,
}

enum State {
    Talking(Talk),
    /// And when it counts.
    Known(Verdict, Instant),
}

impl Probing {
    pub fn talk(&self) -> Option<&Talk> {
        match &self.state {
            State::Talking(talk) => Some(talk),
            State::Known(..) => None,
        }
    }

    pub fn deadline(&self) -> Option<Instant> {
        match &self.state {
            State::Talking(_) => self.check.deadline(),
            State::Known(_, at) => Some(*at),
        }
    }
}

impl State {
    fn known(verdict: Verdict, now: Instant) -> State {
        let settling = match verdict {
            Ok(_) => Duration::ZERO,
            Err(_) => SETTLING,
        };
        State::Known(verdict, now + settling)
    }
}

impl Supervisor {
    pub fn begin_probe(&mut self, check: Check, now: Instant) {
        let pid = self.first().map(|task| task.pid);
        let Some(health) = &mut self.health else {
            return;
        };
        let state = match (&mut health.probe, pid) {
            (Some(probe), Ok(pid)) => {
                let place = Place {
                    pid,
                    group: self.run.group.as_ref(),
                    now,
                };
                match probe.begin(&place) {
                    Begun::Talking(talk) => State::Talking(talk),
                    Begun::Known(verdict) => State::known(verdict, now),
                }
            }
            // It has just ended, which is about to be told.
            _ => State::known(Err(String::new()), now),
        };
        health.probing = Some(Probing { check, state });
    }

    /// Its socket is ready.
    pub fn serve_probe(&mut self) {
        let probing = self
            .health
            .as_mut()
            .and_then(|health| health.probing.as_mut());
        let Some(probing) = probing else { return };
        if let State::Talking(talk) = &mut probing.state
            && let Some(verdict) = talk.ready(&mut self.buffer)
        {
            probing.state = State::known(verdict, Instant::now());
        }
    }

    /// Take in what a probe has found, or that it took too long.
    pub fn tend_probe(&mut self, now: Instant) {
        let Some(health) = &mut self.health else {
            return;
        };
        let is_due = |probing: &mut Probing| probing.deadline().is_some_and(|at| now >= at);
        let Some(Probing { mut check, state }) = health.probing.take_if(is_due) else {
            return;
        };
        let code = match state {
            State::Talking(_) => {
                check.is_late = true;
                1
            }
            State::Known(verdict, _) => {
                let code = i64::from(verdict.is_err());
                let (Ok(words) | Err(words)) = verdict;
                check.keep(words.as_bytes());
                code
            }
        };
        self.end_check(check, code);
    }
}
