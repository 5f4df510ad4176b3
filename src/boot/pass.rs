//! A pass over the plan, in the engine: what can be started is, in its order.
//!
//! ```text
//!   onboot entries, one after the other   ->  what policies want up  ->  services, each behind what it
//!   (done in an earlier pass: not again)      of other containers       comes after, and its conditions
//! ```
//!
//! A pass ends when nothing is left to be done from within: every entry runs, has failed, or waits for
//! the outside, which PID 1 watches (`pending`). What goes wrong with an entry is told once on the
//! console, stands in `status.json`, and never stops the others.

use crate::boot::conditions;
use crate::boot::make::{self, Maker, Recipe};
use crate::boot::status::{self, Status};
use crate::boot::{console, dir};
use crate::engine::Engine;
use crate::engine::container::{Container, Listener, Phase as Life, State};
use crate::engine::watch;
use crate::error::{Kind, Result};
use crate::plan::{self, Condition, Dependency, Entry, Phase, Resolver, Set, Until};
use crate::store::record;
use crate::sys::{init, poll, signal};
use rustix::event::PollFlags;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long an onboot entry may run that does not say.
const ONBOOT: Duration = Duration::from_secs(300);

/// How long a service may take to get healthy for those that come after it.
const HEALTHY: Duration = Duration::from_secs(120);

/// After its start a service is looked at for so long: one that ends at once is worth a word.
const SETTLE: Duration = Duration::from_secs(3);

/// The passes of one engine, one at a time.
pub struct Passes {
    engine: Arc<Engine>,
    plan: PathBuf,
    resolver: &'static Resolver,
    turn: Mutex<Turn>,
}

/// Guarded by `Passes::turn`.
#[derive(Default)]
struct Turn {
    is_running: bool,
    is_wanted: bool,
}

impl Passes {
    pub fn new(engine: &Arc<Engine>, plan: PathBuf, resolver: &'static Resolver) -> Arc<Passes> {
        if init::parent() == 1 {
            console::take();
        }
        Arc::new(Passes {
            engine: Arc::clone(engine),
            plan,
            resolver,
            turn: Mutex::new(Turn::default()),
        })
    }

    /// See that a pass is made that begins after now.
    pub fn want(self: &Arc<Passes>) {
        let mut turn = self.turn();
        turn.is_wanted = true;
        if turn.is_running {
            return;
        }
        turn.is_running = true;
        drop(turn);
        let passes = Arc::clone(self);
        if let Err(error) = watch::thread("boot", move || passes.work()) {
            console::say(error);
            self.turn().is_running = false;
        }
    }

    fn turn(&self) -> MutexGuard<'_, Turn> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self) {
        loop {
            {
                let mut turn = self.turn();
                if !std::mem::take(&mut turn.is_wanted) {
                    turn.is_running = false;
                    return;
                }
            }
            let set = plan::read_dir(&self.plan).unwrap_or_else(|error| {
                console::say(error);
                Set::default()
            });
            let mut pass = Going::new(self, &set);
            pass.go();
            pass.settle();
        }
    }
}

/// What is known of an entry in this pass.
#[derive(Clone)]
enum Stage {
    /// Not looked at, or waits for another entry.
    Waiting,
    /// Waits for the outside.
    Outside,
    /// Up, or at least was started, now or in an earlier pass.
    Started(Option<Arc<Container>>, Instant),
    Completed,
    Failed,
}

struct Job<'a> {
    entry: &'a Entry,
    stage: Stage,
    /// Its image is to come over the network.
    needs_network: bool,
}

struct Going<'a> {
    maker: Maker<'a>,
    set: &'a Set,
    /// In the order in which they are to start.
    jobs: Vec<Job<'a>>,
    status: Status,
    /// Started in this pass.
    fresh: Vec<(String, Arc<Container>)>,
}

impl<'a> Going<'a> {
    fn new(passes: &'a Passes, set: &'a Set) -> Going<'a> {
        let order = plan::order(&set.entries);
        let mut going = Going {
            maker: Maker {
                engine: &passes.engine,
                resolver: passes.resolver,
            },
            set,
            jobs: Vec::new(),
            status: Status::load(&passes.engine.options.exec_root, status::ENTRIES),
            fresh: Vec::new(),
        };
        for place in order.places {
            if let Some(entry) = set.entries.get(place) {
                going.jobs.push(Job {
                    entry,
                    stage: Stage::Waiting,
                    needs_network: false,
                });
            }
        }
        for remark in set.broken.iter().chain(&order.broken) {
            let name = remark.file.file_stem().unwrap_or_default();
            let name = name.to_string_lossy().into_owned();
            // By the directory that it lies in.
            let phase = [Phase::Onboot, Phase::Onshutdown];
            let phase = phase.into_iter().find(|phase| {
                let dir = remark.file.parent().and_then(|dir| dir.file_name());
                dir.is_some_and(|dir| dir == word(*phase))
            });
            let phase = word(phase.unwrap_or(Phase::Service));
            going.note_as(&name, phase, status::BROKEN, &remark.text, "", "");
        }
        going
    }

    fn go(&mut self) {
        let names = self.names();
        let rows = self.status.rows.get_or_insert_default();
        rows.retain(|row| names.contains(&row.name));
        for made in &self.set.volumes {
            let outcome = self.maker.volume(made);
            self.note_made(&made.name, "volume", outcome);
        }
        for made in &self.set.networks {
            let outcome = self.maker.network(made);
            self.note_made(&made.name, "network", outcome);
        }
        let is_onboot = |job: &Job<'_>| job.entry.phase == Phase::Onboot;
        for at in places(&self.jobs, is_onboot) {
            self.onboot(at);
        }
        self.clear_away(&names);
        self.maker.engine.start_held(&names);
        self.services();
        self.finish();
    }

    /// A critical onboot entry that has failed: then nothing starts that has not.
    fn lost(&self) -> Option<&'a str> {
        let mut jobs = self.jobs.iter();
        let lost = jobs.find(|job| {
            let is_critical = job.entry.phase == Phase::Onboot && job.entry.critical;
            is_critical && matches!(job.stage, Stage::Failed)
        });
        lost.map(|job| job.entry.name.as_str())
    }

    /// One that is to run once and end well.
    fn onboot(&mut self, at: usize) {
        let Some(entry) = self.jobs.get(at).map(|job| job.entry) else {
            return;
        };
        let known = self.status.find(&entry.name, word(entry.phase));
        let stage = match known.map(|row| row.state.as_str()) {
            Some(status::COMPLETED) => Stage::Completed,
            Some(status::FAILED) => Stage::Failed,
            _ => match self.blocker(at) {
                Some(stage) => stage,
                None => match self.run(entry) {
                    Ok(()) => Stage::Completed,
                    Err(why) => {
                        self.note(entry, status::FAILED, &why, None);
                        Stage::Failed
                    }
                },
            },
        };
        self.set_stage(at, stage);
    }

    fn run(&mut self, entry: &Entry) -> std::result::Result<(), String> {
        let said = |error: crate::error::Error| error.message.clone();
        self.note(entry, status::RUNNING, "", None);
        let recipe = self.maker.prepare(entry).map_err(said)?;
        let container = self.maker.container(entry, &recipe).map_err(said)?;
        let ends = container.lock().ends;
        self.maker.start(&container).map_err(said)?;
        self.note(entry, status::RUNNING, "", Some((&container, &recipe)));
        let limit = entry.timeout.unwrap_or(ONBOOT);
        let ended = |state: &State| state.ends > ends && !state.phase.is_up();
        if !container
            .wait_until(&ended, None, Some(limit))
            .map_err(said)?
        {
            let _ = self.maker.engine.kill(&container, None);
            return Err(format!("had not ended after {} s", limit.as_secs()));
        }
        let code = container.lock().last_code;
        if code != 0 {
            return Err(format!(
                "ended with exit code {code}: see tug logs {}",
                entry.name
            ));
        }
        self.note(entry, status::COMPLETED, "", Some((&container, &recipe)));
        Ok(())
    }

    /// Start services until all that is left waits for the outside.
    fn services(&mut self) {
        loop {
            let is_due = |job: &Job<'_>| {
                job.entry.phase == Phase::Service && matches!(job.stage, Stage::Waiting)
            };
            let waiting = places(&self.jobs, is_due);
            for at in &waiting {
                self.service(*at);
            }
            let left = places(&self.jobs, is_due);
            if left.is_empty() {
                return;
            }
            // Whoever became ready frees others at once.
            if left.len() == waiting.len() && !self.wait_within(&left) {
                return;
            }
        }
    }

    fn service(&mut self, at: usize) {
        let Some(entry) = self.jobs.get(at).map(|job| job.entry) else {
            return;
        };
        let stage = match self.blocker(at) {
            Some(stage) => stage,
            None => match self.start(entry) {
                Ok(stage) => stage,
                Err(error) if error.kind == Kind::Gone => {
                    self.note(entry, status::WAITING, &error.message, None);
                    self.needs_network(at);
                    Stage::Outside
                }
                Err(error) => {
                    self.note(entry, status::FAILED, &error.message, None);
                    Stage::Failed
                }
            },
        };
        self.set_stage(at, stage);
    }

    fn start(&mut self, entry: &Entry) -> Result<Stage> {
        let now = Instant::now();
        let recipe = self.maker.prepare(entry)?;
        let known = self.status.find(&entry.name, word(entry.phase));
        // Started in this boot already: whatever has become of it since is its user's affair.
        if known.is_some_and(|row| row.state == status::RUNNING && row.made_of == recipe.made_of) {
            let container = self.maker.find(&entry.name);
            return Ok(Stage::Started(container, now));
        }
        let container = self.maker.container(entry, &recipe)?;
        self.maker.start(&container)?;
        self.note(entry, status::RUNNING, "", Some((&container, &recipe)));
        self.fresh
            .push((entry.name.clone(), Arc::clone(&container)));
        Ok(Stage::Started(Some(container), now))
    }

    /// What keeps an entry from starting, if anything does: its stage then.
    fn blocker(&mut self, at: usize) -> Option<Stage> {
        let entry = self.jobs.get(at)?.entry;
        if let Some(name) = self.lost() {
            let why = format!("{name}, which is critical, has failed");
            self.note(entry, status::FAILED, &why, None);
            return Some(Stage::Failed);
        }
        let mut stage = None;
        for after in &entry.after {
            let (found, why) = match self.need(after) {
                Need::Met => continue,
                Need::Late(why) => {
                    self.remark(entry, &why);
                    continue;
                }
                Need::Waits(why) => (Stage::Waiting, why),
                Need::Outside(why) => (Stage::Outside, why),
                Need::Lost(why) => (Stage::Failed, why),
            };
            if let Stage::Failed = found {
                self.note(entry, status::FAILED, &why, None);
                return Some(found);
            }
            self.note(entry, status::WAITING, &why, None);
            stage = Some(found);
        }
        if stage.is_some() {
            return stage;
        }
        let missing = conditions::missing(&entry.conditions);
        if missing.is_empty() {
            return None;
        }
        let missing: Vec<String> = missing.iter().map(ToString::to_string).collect();
        self.note(entry, status::WAITING, &missing.join(", "), None);
        Some(Stage::Outside)
    }

    fn need(&self, after: &Dependency) -> Need {
        let name = &after.name;
        let mut jobs = self.jobs.iter();
        let Some(job) = jobs.find(|job| job.entry.name == *name) else {
            return Need::Met;
        };
        match &job.stage {
            Stage::Waiting => Need::Waits(format!("comes after {name}")),
            Stage::Outside => Need::Outside(format!("comes after {name}, which waits")),
            Stage::Failed => Need::Lost(format!("comes after {name}, which has failed")),
            Stage::Completed => Need::Met,
            Stage::Started(container, since) => match container {
                Some(container) => reached(after, container, job.entry, *since),
                None => Need::Lost(format!("comes after {name}, which has been removed")),
            },
        }
    }

    /// Wait until the state of something changes that one of these comes after. False: of nothing that
    /// could.
    fn wait_within(&self, left: &[usize]) -> bool {
        let mut watched: Vec<&Arc<Container>> = Vec::new();
        for job in left.iter().filter_map(|at| self.jobs.get(*at)) {
            for after in &job.entry.after {
                let mut others = self.jobs.iter();
                let other = others.find(|other| other.entry.name == after.name);
                if let Some(Stage::Started(Some(container), _)) = other.map(|other| &other.stage) {
                    watched.push(container);
                }
            }
        }
        let listeners: Vec<Listener<'_>> = watched
            .iter()
            .filter_map(|container| container.listen().ok())
            .collect();
        let fds: Vec<_> = listeners
            .iter()
            .map(|listener| (listener.bell.as_fd(), PollFlags::IN))
            .collect();
        // The time limits are as coarse: nobody needs them sharper.
        !fds.is_empty() && poll::wait(&fds, Some(Duration::from_secs(1))).is_ok()
    }

    /// Containers of entries that the plan has no more.
    fn clear_away(&mut self, names: &[String]) {
        for container in self.maker.engine.containers() {
            let name = container.name();
            if make::label(&container).is_some() && !names.contains(&name) {
                console::say(format_args!("{name} is not in the plan any more: removed"));
                if let Err(error) = self.maker.remove(&container) {
                    console::say(error);
                }
            }
        }
    }

    /// All that the plan speaks of, in files that are broken too.
    fn names(&self) -> Vec<String> {
        let entries = self.set.entries.iter();
        let mut names: Vec<String> = entries.map(|entry| entry.name.clone()).collect();
        let made = self.set.volumes.iter().chain(&self.set.networks);
        names.extend(made.map(|made| made.name.clone()));
        for remark in &self.set.broken {
            let name = remark.file.file_stem().unwrap_or_default();
            names.push(name.to_string_lossy().into_owned());
        }
        names
    }

    /// Tell who waits for what, and that this pass is over.
    fn finish(&mut self) {
        let mut pending = String::new();
        for job in self
            .jobs
            .iter()
            .filter(|job| matches!(job.stage, Stage::Outside))
        {
            let mut conditions = job.entry.conditions.clone();
            conditions.extend(job.needs_network.then_some(Condition::Network));
            if conditions::missing(&conditions).is_empty() {
                continue;
            }
            let words: Vec<String> = conditions.iter().map(ToString::to_string).collect();
            pending.push_str(&words.join("\t"));
            pending.push('\n');
        }
        let exec_root = &self.maker.engine.options.exec_root;
        let outcome =
            record::replace_unsynced(&dir(exec_root), status::PENDING, pending.as_bytes());
        if let Err(error) = outcome {
            console::say(error);
        }
        // Whom nobody asked does not mind: SIGURG is ignored unless somebody waits for it.
        let _ = signal::kill(init::parent(), signal::SIGURG);
    }

    /// Services that ended as soon as they were started are told of, once.
    fn settle(&mut self) {
        let end = Instant::now() + SETTLE;
        for (name, container) in std::mem::take(&mut self.fresh) {
            let is_bad =
                |state: &State| state.restarts > 0 || !matches!(state.phase, Life::Running);
            let left = end.saturating_duration_since(Instant::now());
            if !container
                .wait_until(&is_bad, None, Some(left))
                .unwrap_or(false)
            {
                continue;
            }
            let code = container.lock().last_code;
            let why = format!("ended with exit code {code} after its start: see tug logs {name}");
            console::say(format_args!("{name}: {why}"));
            let mut rows = self.status.rows.iter_mut().flatten();
            if let Some(row) = rows.find(|row| row.name == name && row.phase == "service") {
                row.why = why;
            }
            self.save();
        }
    }

    fn needs_network(&mut self, at: usize) {
        if let Some(job) = self.jobs.get_mut(at) {
            job.needs_network = true;
        }
    }

    fn set_stage(&mut self, at: usize, stage: Stage) {
        if let Some(job) = self.jobs.get_mut(at) {
            job.stage = stage;
        }
    }

    fn note(
        &mut self,
        entry: &Entry,
        state: &str,
        why: &str,
        made: Option<(&Arc<Container>, &Recipe)>,
    ) {
        let (id, made_of) = made.map_or(("", ""), |(container, recipe)| {
            (container.id.as_str(), recipe.made_of.as_str())
        });
        self.note_as(&entry.name, word(entry.phase), state, why, id, made_of);
    }

    fn note_as(
        &mut self,
        name: &str,
        phase: &str,
        state: &str,
        why: &str,
        id: &str,
        made_of: &str,
    ) {
        let is_news = self.status.set(name, phase, state, why, id);
        let mut rows = self.status.rows.iter_mut().flatten();
        if let Some(row) = rows.find(|row| row.name == name && row.phase == phase) {
            row.made_of = made_of.to_string();
        }
        if !is_news {
            return;
        }
        if !why.is_empty() {
            console::say(format_args!("{name} {state}: {why}"));
        }
        self.save();
    }

    fn note_made(&mut self, name: &str, phase: &str, outcome: Result<()>) {
        match outcome {
            Ok(()) => self.note_as(name, phase, status::DONE, "", "", ""),
            Err(error) => self.note_as(name, phase, status::FAILED, &error.message, "", ""),
        }
    }

    /// It starts all the same, but somebody should know.
    fn remark(&self, entry: &Entry, why: &str) {
        console::say(format_args!("{} starts all the same: {why}", entry.name));
    }

    fn save(&self) {
        let exec_root = &self.maker.engine.options.exec_root;
        if let Err(error) = self.status.save(exec_root, status::ENTRIES) {
            console::say(error);
        }
    }
}

/// How it stands with something that an entry comes after.
enum Need {
    Met,
    /// It has had its time.
    Late(String),
    Waits(String),
    Outside(String),
    Lost(String),
}

/// A device comes up as far as it can: a service that does not get well in time is not waited for,
/// while one that has to end well before others start must.
fn reached(after: &Dependency, container: &Container, entry: &Entry, since: Instant) -> Need {
    let name = &after.name;
    let state = container.lock();
    let health = state.health.as_ref();
    let health = health.and_then(|health| health.status.as_deref());
    match after.until {
        Until::Started => Need::Met,
        Until::Completed if state.phase.is_up() => {
            Need::Waits(format!("comes after the end of {name}"))
        }
        Until::Completed if state.last_code == 0 => Need::Met,
        Until::Completed => Need::Lost(format!(
            "comes after {name}, which has ended with exit code {}",
            state.last_code
        )),
        Until::Healthy if matches!(health, None | Some("healthy" | "none" | "")) => Need::Met,
        Until::Healthy if since.elapsed() >= entry.timeout.unwrap_or(HEALTHY) => {
            Need::Late(format!("{name} is not healthy"))
        }
        Until::Healthy => Need::Waits(format!("waits until {name} is healthy")),
    }
}

fn places(jobs: &[Job<'_>], which: impl Fn(&Job<'_>) -> bool) -> Vec<usize> {
    let all = jobs.iter().enumerate();
    all.filter(|(_, job)| which(job))
        .map(|(at, _)| at)
        .collect()
}

fn word(phase: Phase) -> &'static str {
    match phase {
        Phase::Onboot => "onboot",
        Phase::Service => "service",
        Phase::Onshutdown => "onshutdown",
    }
}
