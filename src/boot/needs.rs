//! What an entry of the plan waits for: other entries, and the outside.

use crate::boot::conditions;
use crate::engine::container::{Container, Listener};
use crate::plan::{Condition, Dependency, Entry, Phase, Until};
use crate::sys::poll::{self, Bell};
use rustix::event::PollFlags;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a service may take to get healthy for those that come after it.
const HEALTHY: Duration = Duration::from_secs(120);

/// What is known of an entry in a pass.
pub enum Stage {
    /// Not looked at, or waits for another entry.
    Waiting,
    /// Waits for the outside, or for one that does.
    Outside,
    /// Up, or at least was started, now or in an earlier pass. `None`: somebody has removed it.
    Started(Option<Arc<Container>>, Instant),
    Completed,
    Failed,
}

pub struct Job<'a> {
    pub entry: &'a Entry,
    pub stage: Stage,
    /// What did not hold when it was looked at, all of it.
    pub waits: Vec<Condition>,
}

impl Job<'_> {
    pub fn is_open(&self) -> bool {
        matches!(self.stage, Stage::Waiting | Stage::Outside)
    }
}

/// How it stands with an entry that may want to start.
pub enum Verdict {
    Start,
    /// It has waited long enough for somebody.
    StartAllTheSame(String),
    /// For another entry.
    Wait(String),
    Outside(String, Vec<Condition>),
    Never(String),
}

/// Look at what the entry comes after, and then at its conditions.
pub fn look(jobs: &[Job<'_>], entry: &Entry) -> Verdict {
    if let Some(name) = lost(jobs) {
        return Verdict::Never(format!("{name}, which is critical, has failed"));
    }
    let mut verdict = Verdict::Start;
    for after in &entry.after {
        match need(jobs, after) {
            Verdict::Start => {}
            never @ Verdict::Never(_) => return never,
            late @ Verdict::StartAllTheSame(_) => {
                if let Verdict::Start = verdict {
                    verdict = late;
                }
            }
            other => verdict = other,
        }
    }
    if !matches!(verdict, Verdict::Start | Verdict::StartAllTheSame(_)) {
        return verdict;
    }
    let missing = conditions::missing(&entry.conditions);
    if missing.is_empty() {
        return verdict;
    }
    let words: Vec<String> = missing.iter().map(ToString::to_string).collect();
    Verdict::Outside(words.join(", "), entry.conditions.clone())
}

/// A critical onboot entry that has failed: then nothing starts that has not.
fn lost<'a>(jobs: &[Job<'a>]) -> Option<&'a str> {
    let lost = jobs.iter().find(|job| {
        let is_critical = job.entry.phase == Phase::Onboot && job.entry.critical;
        is_critical && matches!(job.stage, Stage::Failed)
    });
    lost.map(|job| job.entry.name.as_str())
}

fn need(jobs: &[Job<'_>], after: &Dependency) -> Verdict {
    let name = &after.name;
    let Some(job) = jobs.iter().find(|job| job.entry.name == *name) else {
        return Verdict::Start;
    };
    match &job.stage {
        Stage::Waiting => Verdict::Wait(format!("comes after {name}")),
        Stage::Outside => Verdict::Outside(format!("comes after {name}, which waits"), Vec::new()),
        Stage::Failed => Verdict::Never(format!("comes after {name}, which has failed")),
        Stage::Completed => Verdict::Start,
        Stage::Started(Some(container), since) => reached(after, container, job.entry, *since),
        Stage::Started(None, _) => {
            Verdict::Never(format!("comes after {name}, which has been removed"))
        }
    }
}

/// A device comes up as far as it can: a service that does not get well in time is not waited for,
/// while one that has to end well before others start must.
fn reached(after: &Dependency, container: &Container, entry: &Entry, since: Instant) -> Verdict {
    let name = &after.name;
    let state = container.lock();
    let health = state.health.as_ref();
    let health = health.and_then(|health| health.status.as_deref());
    match after.until {
        Until::Started => Verdict::Start,
        Until::Completed if state.phase.is_up() => {
            Verdict::Wait(format!("comes after the end of {name}"))
        }
        Until::Completed if state.last_code == 0 => Verdict::Start,
        Until::Completed => Verdict::Never(format!(
            "comes after {name}, which has ended with exit code {}",
            state.last_code
        )),
        Until::Healthy if matches!(health, None | Some("healthy" | "none" | "")) => Verdict::Start,
        Until::Healthy if since.elapsed() >= entry.timeout.unwrap_or(HEALTHY) => {
            Verdict::StartAllTheSame(format!("{name} is not healthy"))
        }
        Until::Healthy => Verdict::Wait(format!("waits until {name} is healthy")),
    }
}

/// Those whose state could let another entry go on.
pub fn watched(jobs: &[Job<'_>]) -> Vec<Arc<Container>> {
    let mut watched = Vec::new();
    for job in jobs.iter().filter(|job| job.is_open()) {
        for after in &job.entry.after {
            let other = jobs.iter().find(|other| other.entry.name == after.name);
            if let Some(Stage::Started(Some(container), _)) = other.map(|other| &other.stage) {
                watched.push(Arc::clone(container));
            }
        }
    }
    watched
}

/// Wait until the state of one of them changes, `bell` rings or `limit` has passed. Whether the bell
/// rang.
pub fn wait_for_change(
    containers: &[Arc<Container>],
    bell: Option<&Bell>,
    limit: Duration,
) -> bool {
    let listeners: Vec<Listener<'_>> = containers
        .iter()
        .filter_map(|container| container.listen().ok())
        .collect();
    let bells = bell.map(AsFd::as_fd).into_iter();
    let bells = bells.chain(listeners.iter().map(|listener| listener.bell.as_fd()));
    let fds: Vec<_> = bells.map(|bell| (bell, PollFlags::IN)).collect();
    let ready = poll::wait(&fds, Some(limit)).unwrap_or_default();
    let first = ready.first();
    bell.is_some() && first.is_some_and(|flags| !flags.is_empty())
}
