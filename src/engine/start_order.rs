//! In which order containers start when the host has come back.
//!
//! A container comes after those whose namespaces, volumes or links it has, and after the services
//! that compose has noted in its labels, in the state that they are to be in by then. What cannot be
//! had (a service that is not there, one that does not get well in time, a ring) is told, and the
//! container starts all the same: a device comes up as far as it can.

use crate::engine::container::{Container, State};
use crate::engine::spec::wanted;
use crate::engine::validate::modes;
use crate::engine::{Engine, lock};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

/// How long a service may take to get well, or to complete.
const PATIENCE: Duration = Duration::from_secs(120);

/// How often the states are looked at while nothing can be started.
const GLANCE: Duration = Duration::from_millis(100);

/// Compose's labels. The last is `db:service_healthy:true,cache:service_started:false`, where the
/// third word says whether the service is to restart with the other.
const PROJECT: &str = "com.docker.compose.project";
const SERVICE: &str = "com.docker.compose.service";
const DEPENDS_ON: &str = "com.docker.compose.depends_on";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Until {
    Started,
    Healthy,
    Completed,
}

struct Need {
    on: Arc<Container>,
    until: Until,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Waiting,
    Starting,
    Done,
}

struct Job {
    container: Arc<Container>,
    needs: Vec<Need>,
    stage: Stage,
    /// All that it needs is started; since then it waits for the state of some.
    since: Option<Instant>,
}

pub struct Order {
    jobs: Mutex<Vec<Job>>,
    /// A job is done.
    changed: Condvar,
}

impl Order {
    /// The newest of `wanted` stand first; they start last.
    pub fn of(engine: &Engine, wanted: Vec<Arc<Container>>) -> Order {
        let mut jobs = Vec::new();
        for container in wanted {
            jobs.push(Job {
                needs: engine.needs(&container),
                container,
                stage: Stage::Waiting,
                since: None,
            });
        }
        Order {
            jobs: Mutex::new(jobs),
            changed: Condvar::new(),
        }
    }

    /// The next that can be started; waits for it. `None`: there is none left, or it is over.
    pub fn next(&self, is_over: &dyn Fn() -> bool) -> Option<Arc<Container>> {
        let mut jobs = lock(&self.jobs);
        while jobs.iter().any(|job| job.stage == Stage::Waiting) && !is_over() {
            if let Some(job) = choose(&mut jobs, Instant::now()).and_then(|at| jobs.get_mut(at)) {
                job.stage = Stage::Starting;
                return Some(Arc::clone(&job.container));
            }
            let waited = self.changed.wait_timeout(jobs, GLANCE);
            jobs = waited.unwrap_or_else(std::sync::PoisonError::into_inner).0;
        }
        None
    }

    /// What is not as the container, whose turn it is, needs it.
    pub fn complaints(&self, container: &Container) -> Vec<String> {
        let jobs = lock(&self.jobs);
        let job = jobs.iter().find(|job| job.container.id == container.id);
        let needs = job.into_iter().flat_map(|job| &job.needs);
        needs.filter_map(Need::complaint).collect()
    }

    pub fn done(&self, container: &Container) {
        for job in lock(&self.jobs).iter_mut() {
            if job.container.id == container.id {
                job.stage = Stage::Done;
            }
        }
        self.changed.notify_all();
    }
}

/// The job to start now, if there is one.
fn choose(jobs: &mut [Job], now: Instant) -> Option<usize> {
    let waiting = |jobs: &[Job]| {
        let all = jobs.iter().enumerate().rev();
        let waiting = all.filter(|(_, job)| job.stage == Stage::Waiting);
        waiting.map(|(at, _)| at).collect::<Vec<usize>>()
    };
    let mut is_somebody_busy = jobs.iter().any(|job| job.stage == Stage::Starting);
    for at in waiting(jobs) {
        if ahead(jobs, at).is_some() {
            continue;
        }
        let job = jobs.get_mut(at)?;
        let since = *job.since.get_or_insert(now);
        if job.needs.iter().all(Need::is_settled) || now.duration_since(since) >= PATIENCE {
            return Some(at);
        }
        is_somebody_busy = true;
    }
    if is_somebody_busy {
        return None;
    }
    // They wait for each other. Whoever goes from one to the one ahead of it ends in a ring.
    let mut at = waiting(jobs).first().copied()?;
    for _ in 0..jobs.len() {
        at = ahead(jobs, at)?;
    }
    Some(at)
}

/// A job that must be done before the one at `at`.
fn ahead(jobs: &[Job], at: usize) -> Option<usize> {
    let needs = &jobs.get(at)?.needs;
    jobs.iter().position(|job| {
        let is_it = |need: &Need| need.on.id == job.container.id;
        job.stage != Stage::Done && needs.iter().any(is_it)
    })
}

impl Need {
    /// Nothing is to be waited for: it is as it should be, or it will not be.
    fn is_settled(&self) -> bool {
        let state = self.on.lock();
        match self.until {
            Until::Started => true,
            Until::Healthy => !state.phase.is_up() || health(&state) != "starting",
            Until::Completed => !state.phase.is_up(),
        }
    }

    /// What is not as it should be.
    fn complaint(&self) -> Option<String> {
        let state = self.on.lock();
        let is_up = state.phase.is_up();
        let (is_good, what) = match self.until {
            Until::Started => (is_up, "does not run"),
            Until::Healthy => (
                is_up && matches!(health(&state), "" | "healthy"),
                "is not healthy",
            ),
            Until::Completed => (!is_up && state.exit_code == 0, "has not completed"),
        };
        (!is_good).then(|| format!("{} {what}", state.name))
    }
}

/// Empty for one that has no check.
pub fn health(state: &State) -> &str {
    let status = state
        .health
        .as_ref()
        .and_then(|health| health.status.as_deref());
    status.unwrap_or_default()
}

impl Engine {
    fn needs(&self, container: &Container) -> Vec<Need> {
        let mut needs = Vec::new();
        let mut add = |on: Arc<Container>, until| {
            if on.id != container.id {
                needs.push(Need { on, until });
            }
        };
        let host = &container.host;
        let modes = [&host.network_mode, &host.pid_mode, &host.ipc_mode];
        let mut names: Vec<&str> = Vec::new();
        names.extend(
            modes
                .iter()
                .filter_map(|mode| modes::donor(mode.as_deref())),
        );
        let volumes = host.volumes_from.iter().flatten();
        names.extend(volumes.filter_map(|text| Some(wanted::parse_donor(text).ok()?.0)));
        let links = host.links.iter().flatten();
        names.extend(links.filter_map(|text| text.split(':').next()));
        for name in names {
            // Its start will say what is missing.
            if let Ok(donor) = self.find(name.trim_start_matches('/')) {
                add(donor, Until::Started);
            }
        }

        let project = label(container, PROJECT);
        for (service, until) in services(label(container, DEPENDS_ON)) {
            let mut others = self.containers();
            others.retain(|other| {
                label(other, PROJECT) == project
                    && label(other, SERVICE) == service
                    && !self.is_aside(&other.id)
            });
            if others.is_empty() {
                self.note(format_args!(
                    "start {} after boot: it depends on {service}, of which project {project} has no container",
                    container.name()
                ));
            }
            for other in others {
                add(other, until);
            }
        }
        needs
    }
}

fn label<'a>(container: &'a Container, name: &str) -> &'a str {
    let labels = container.config.labels.as_ref();
    labels
        .and_then(|labels| labels.get(name))
        .map_or("", String::as_str)
}

fn services(text: &str) -> Vec<(&str, Until)> {
    let mut services = Vec::new();
    for part in text
        .split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty())
    {
        let mut words = part.split(':');
        let service = words.next().unwrap_or_default();
        services.push((
            service,
            match words.next() {
                Some("service_healthy") => Until::Healthy,
                Some("service_completed_successfully") => Until::Completed,
                _ => Until::Started,
            },
        ));
    }
    services
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::record::{Asked, Happened};

    #[test]
    fn composes_label_is_read() {
        assert_eq!(
            services(
                "db:service_healthy:true, cache:service_started:false,job:service_completed_successfully,x"
            ),
            [
                ("db", Until::Healthy),
                ("cache", Until::Started),
                ("job", Until::Completed),
                ("x", Until::Started)
            ]
        );
        assert!(services("").is_empty());
    }

    /// `b<a` is that b needs a. Answers the order in which they start, one after the other.
    fn started(text: &str) -> String {
        let mut all: Vec<Arc<Container>> = Vec::new();
        for name in text.split([' ', '<']) {
            if !all.iter().any(|other| other.id == name) {
                let asked = Asked {
                    id: Some(name.to_string()),
                    ..Asked::default()
                };
                all.push(Arc::new(Container::new(asked, &Happened::default())));
            }
        }
        let find = |id: &str| Arc::clone(all.iter().find(|one| one.id == id).unwrap());
        let mut jobs: Vec<Job> = Vec::new();
        for container in &all {
            let needs = text.split(' ').filter_map(|pair| pair.split_once('<'));
            let needs = needs.filter(|(id, _)| *id == container.id);
            jobs.push(Job {
                needs: needs
                    .map(|(_, on)| Need {
                        on: find(on),
                        until: Until::Started,
                    })
                    .collect(),
                container: Arc::clone(container),
                stage: Stage::Waiting,
                since: None,
            });
        }
        let mut order = String::new();
        while let Some(at) = choose(&mut jobs, Instant::now()) {
            jobs[at].stage = Stage::Done;
            order.push_str(&jobs[at].container.id);
        }
        order
    }

    #[test]
    fn what_is_needed_comes_first_and_rings_end() {
        for (text, order) in [
            ("c b a", "abc"),
            ("a<b b<c", "cba"),
            ("a<b a<c d<a", "cbad"),
            // A ring is broken where it is one, and the others wait for it.
            ("a<b b<a", "ab"),
            ("d<a a<b b<c c<a", "abcd"),
        ] {
            let started = started(text);
            let sorted = |text: &str| {
                let mut letters: Vec<char> = text.chars().collect();
                letters.sort_unstable();
                letters
            };
            assert_eq!(sorted(&started), sorted(order), "{text}");
            match text.contains("b<a") || text.contains("c<a") {
                true => assert!(!started.starts_with('d'), "{text}: {started}"),
                false => assert_eq!(started, order, "{text}"),
            }
        }
    }
}
