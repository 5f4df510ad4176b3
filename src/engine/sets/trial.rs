//! The trial: all that is new must be well until the deadline.

use super::Verdict;
use super::change::{Change, End};
use crate::engine::Engine;
use crate::engine::container::{Container, Phase};
use crate::engine::start_order::health;
use crate::error::Result;
use crate::shim::log::reader::{Reader, Select};
use crate::sys::{clock, poll};
use crate::wire::set::Member;
use rustix::event::PollFlags;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

/// How one of them is.
enum Found {
    Well,
    /// Nobody knows yet.
    Open,
    Ill(String),
}

impl Change {
    pub(super) fn try_out(&mut self) -> End {
        let seconds = self.set.commit_after.unwrap_or(0);
        if self.set.deadline.is_none() && seconds > 0 {
            self.set.deadline = Some(now_ms().saturating_add(seconds.saturating_mul(1000)));
            // Lost, it costs a trial from the beginning, if the engine is lost as well.
            if let Err(error) = self.engine.save_set(&self.set) {
                self.step(&error.message);
            }
            self.step(&format!("on trial for {seconds} seconds"));
        }
        let end = self
            .watch()
            .unwrap_or_else(|error| End::Bad(error.to_string()));
        if matches!(end, End::Leaving) {
            // All containers are stopped with the engine; it begins again with the next one.
            self.set.deadline = None;
            let _ = self.engine.save_set(&self.set);
        }
        end
    }

    fn watch(&self) -> Result<End> {
        let members = self.changed();
        let members: Vec<(Member, Option<Arc<Container>>)> = members
            .into_iter()
            .filter(|member| member.id.is_some())
            .map(|member| {
                let id = member.id.clone().unwrap_or_default();
                let container = self.engine.find(&id).ok();
                (member, container)
            })
            .collect();
        let containers = members
            .iter()
            .filter_map(|(_, container)| container.as_ref());
        let listeners = containers
            .map(|container| container.listen())
            .collect::<Result<Vec<_>>>()?;
        loop {
            self.claim.bell.clear();
            for listener in &listeners {
                listener.bell.clear();
            }
            if self.is_leaving() {
                return Ok(End::Leaving);
            }
            let mut is_open = false;
            for (member, container) in &members {
                match found(member, container.as_deref()) {
                    Found::Well => {}
                    Found::Open => is_open = true,
                    Found::Ill(why) => return Ok(End::Bad(self.explained(container, why))),
                }
            }
            match self.claim.verdict() {
                Some(Verdict::Commit) => return Ok(End::Good),
                Some(Verdict::Rollback) => return Ok(End::Bad("rolled back by hand".to_string())),
                None => {}
            }
            let left = self.set.deadline.unwrap_or(0).saturating_sub(now_ms());
            if left == 0 && !is_open {
                return Ok(End::Good);
            }
            let mut fds = vec![(self.claim.bell.as_fd(), PollFlags::IN)];
            fds.extend(listeners.iter().map(|l| (l.bell.as_fd(), PollFlags::IN)));
            // After the time what is still open decides itself: a check comes to an end.
            poll::wait(&fds, (left > 0).then(|| Duration::from_millis(left)))?;
        }
    }

    /// With what its check, or it, has printed last: it may be gone soon.
    fn explained(&self, container: &Option<Arc<Container>>, why: String) -> String {
        let Some(container) = container else {
            return why;
        };
        let health = self.engine.health(container);
        let checked = health.and_then(|health| health.log?.pop()?.output);
        let last = checked.or_else(|| last_words(&self.engine, container));
        match last.as_deref().map(str::trim).unwrap_or_default() {
            "" => why,
            output => format!("{why}: {}", output.chars().take(200).collect::<String>()),
        }
    }
}

fn last_words(engine: &Engine, container: &Container) -> Option<String> {
    let select = Select {
        stdout: true,
        stderr: true,
        tail: Some(1),
        ..Select::default()
    };
    let mut reader = Reader::open(&engine.log_file(container)?, select).ok()?;
    let line = reader.next().ok()??;
    Some(String::from_utf8_lossy(&line.text).into_owned())
}

fn found(member: &Member, container: Option<&Container>) -> Found {
    let name = member.name();
    let Some(container) = container else {
        return Found::Ill(format!("{name} was removed"));
    };
    let state = container.lock();
    let ended = |state: &crate::engine::container::State| {
        let error = match state.error.as_str() {
            "" => String::new(),
            error => format!(": {error}"),
        };
        Found::Ill(format!(
            "{name} ended with exit code {}{error}",
            state.last_code
        ))
    };
    match state.phase {
        Phase::Running if state.restarts > 0 && !member.completes() => ended(&state),
        Phase::Running | Phase::Paused if member.completes() => Found::Open,
        Phase::Running | Phase::Paused => match health(&state) {
            "starting" => Found::Open,
            "unhealthy" => Found::Ill(format!("{name} is unhealthy")),
            _ => Found::Well,
        },
        Phase::Exited if member.completes() && state.exit_code == 0 => Found::Well,
        Phase::Restarting if member.completes() => Found::Open,
        Phase::Removing | Phase::Removed | Phase::Dead => Found::Ill(format!("{name} was removed")),
        Phase::Created => Found::Ill(format!("{name} was not started")),
        Phase::Exited | Phase::Restarting => ended(&state),
    }
}

fn now_ms() -> u64 {
    u64::try_from(clock::since_boot().as_millis()).unwrap_or(u64::MAX)
}
