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

use crate::boot::make::{self, Maker, Recipe};
use crate::boot::needs::{self, Job, Stage, Verdict, wait_for_change};
use crate::boot::status::{self, Status};
use crate::boot::{console, dir};
use crate::engine::Engine;
use crate::engine::container::{Container, Phase as Life, State};
use crate::engine::watch;
use crate::error::{Error, Kind, Result};
use crate::plan::{self, Condition, Entry, Phase, Resolver, Set};
use crate::store::record;
use crate::sys::poll::Bell;
use crate::sys::{init, signal};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long an onboot entry may run that does not say.
const ONBOOT: Duration = Duration::from_secs(300);

/// After its start a service is looked at for so long: one that ends at once is worth a word.
const SETTLE: Duration = Duration::from_secs(3);

/// While some wait for others, those that wait for the outside are looked at so often.
const ROUND: Duration = Duration::from_secs(1);

/// The passes of one engine, one at a time.
pub struct Passes {
    engine: Arc<Engine>,
    plan: PathBuf,
    resolver: &'static Resolver,
    turn: Mutex<Turn>,
    /// Rings when a pass is wanted.
    bell: Bell,
}

/// Guarded by `Passes::turn`.
#[derive(Default)]
struct Turn {
    is_running: bool,
    is_wanted: bool,
}

impl Passes {
    pub fn new(
        engine: &Arc<Engine>,
        plan: PathBuf,
        resolver: &'static Resolver,
    ) -> Result<Arc<Passes>> {
        if init::parent() == 1 && init::has_machine() {
            console::take();
        }
        Ok(Arc::new(Passes {
            engine: Arc::clone(engine),
            plan,
            resolver,
            turn: Mutex::new(Turn::default()),
            bell: Bell::new()?,
        }))
    }

    /// See that a pass is made that begins after now.
    pub fn want(self: &Arc<Passes>) {
        let mut turn = self.turn();
        turn.is_wanted = true;
        self.bell.ring();
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

    /// Whether there is one to be made now.
    fn is_next(&self) -> bool {
        let mut turn = self.turn();
        self.bell.clear();
        turn.is_running = std::mem::take(&mut turn.is_wanted);
        turn.is_running
    }

    fn work(&self) {
        let mut fresh = Vec::new();
        while self.is_next() {
            let read = plan::read_dir(&self.plan);
            let is_whole = read.as_ref().is_ok_and(|set| set.broken.is_empty());
            let set = read.unwrap_or_else(|error| {
                console::say(error);
                Set::default()
            });
            let mut going = Going::new(self, &set, fresh);
            going.go(is_whole);
            fresh = going.settle(&self.bell);
        }
    }
}

/// A service that was started just now.
struct Fresh {
    name: String,
    container: Arc<Container>,
    until: Instant,
}

impl Fresh {
    fn has_ended(&self) -> bool {
        let state = self.container.lock();
        state.restarts > 0 || !matches!(state.phase, Life::Running)
    }
}

struct Going<'a> {
    maker: Maker<'a>,
    set: &'a Set,
    /// In the order in which they are to start.
    jobs: Vec<Job<'a>>,
    status: Status,
    fresh: Vec<Fresh>,
}

/// A container, and of what it was made.
type Made<'m> = Option<(&'m Container, &'m Recipe)>;

impl<'a> Going<'a> {
    fn new(passes: &'a Passes, set: &'a Set, fresh: Vec<Fresh>) -> Going<'a> {
        let order = plan::order(&set.entries);
        let mut going = Going {
            maker: Maker {
                engine: &passes.engine,
                resolver: passes.resolver,
            },
            set,
            jobs: Vec::new(),
            status: Status::load(&passes.engine.options.exec_root, status::ENTRIES),
            fresh,
        };
        for entry in order.places.iter().filter_map(|at| set.entries.get(*at)) {
            going.jobs.push(Job {
                entry,
                stage: Stage::Waiting,
                waits: Vec::new(),
            });
        }
        for remark in set.broken.iter().chain(&order.broken) {
            let name = remark.file.file_stem().unwrap_or_default();
            let name = name.to_string_lossy().into_owned();
            // By the directory that it lies in.
            let phase = [Phase::Onboot, Phase::Onshutdown]
                .into_iter()
                .find(|phase| {
                    let dir = remark.file.parent().and_then(|dir| dir.file_name());
                    dir.is_some_and(|dir| dir == word(*phase))
                });
            let phase = word(phase.unwrap_or(Phase::Service));
            going.note_as(&name, phase, (status::BROKEN, &remark.text), ("", ""));
        }
        going
    }

    /// `is_whole`: the plan could be read from one end to the other.
    fn go(&mut self, is_whole: bool) {
        let names = self.names();
        for made in &self.set.volumes {
            let outcome = self.maker.volume(made);
            self.note_made(&made.name, "volume", outcome);
        }
        for made in &self.set.networks {
            let outcome = self.maker.network(made);
            self.note_made(&made.name, "network", outcome);
        }
        for at in self.open(Phase::Onboot) {
            self.advance(at);
        }
        // Of what cannot be read nobody knows what it has said.
        if is_whole {
            self.clear_away(&names);
        }
        self.maker.engine.start_held(&names);
        self.services();
        self.finish();
    }

    /// The places of entries of a phase that are neither done nor lost.
    fn open(&self, phase: Phase) -> Vec<usize> {
        let jobs = self.jobs.iter().enumerate();
        let open = jobs.filter(|(_, job)| job.entry.phase == phase && job.is_open());
        open.map(|(at, _)| at).collect()
    }

    /// Start services until all that is left waits for the outside.
    fn services(&mut self) {
        loop {
            let mut before = self.open(Phase::Service);
            // A pull may take long: whoever needs one holds up nobody who does not.
            before.sort_by_key(|at| self.lacks_image(*at));
            for at in &before {
                self.advance(*at);
            }
            let after = self.open(Phase::Service);
            let mut left = after.iter().filter_map(|at| self.jobs.get(*at));
            if !left.any(|job| matches!(job.stage, Stage::Waiting)) {
                return;
            }
            // Whoever has started may free others at once.
            if after.len() == before.len() {
                let watched = needs::watched(&self.jobs);
                if watched.is_empty() {
                    return;
                }
                wait_for_change(&watched, None, ROUND);
            }
        }
    }

    fn lacks_image(&self, at: usize) -> bool {
        let image = self.jobs.get(at).map(|job| &job.entry.image);
        image.is_some_and(|image| self.maker.engine.images.id(image).is_err())
    }

    /// Do what can be done now for the entry at that place.
    fn advance(&mut self, at: usize) {
        let Some(entry) = self.jobs.get(at).map(|job| job.entry) else {
            return;
        };
        let mut waits = Vec::new();
        let stage = match self.known(entry) {
            Some(stage) => stage,
            None => match needs::look(&self.jobs, entry) {
                Verdict::Start => self.begin(entry, &mut waits),
                Verdict::StartAllTheSame(why) => {
                    console::say(format_args!("{} starts all the same: {why}", entry.name));
                    self.begin(entry, &mut waits)
                }
                Verdict::Wait(why) => {
                    self.note(entry, (status::WAITING, &why), None);
                    Stage::Waiting
                }
                Verdict::Outside(why, conditions) => {
                    self.note(entry, (status::WAITING, &why), None);
                    waits = conditions;
                    Stage::Outside
                }
                Verdict::Never(why) => {
                    self.note(entry, (status::FAILED, &why), None);
                    Stage::Failed
                }
            },
        };
        if let Some(job) = self.jobs.get_mut(at) {
            job.stage = stage;
            job.waits = waits;
        }
    }

    /// An onboot entry has one try in a boot.
    fn known(&self, entry: &Entry) -> Option<Stage> {
        let row = self.status.find(&entry.name, word(entry.phase))?;
        match (entry.phase, row.state.as_str()) {
            (Phase::Onboot, status::COMPLETED) => Some(Stage::Completed),
            (Phase::Onboot, status::FAILED) => Some(Stage::Failed),
            _ => None,
        }
    }

    fn begin(&mut self, entry: &Entry, waits: &mut Vec<Condition>) -> Stage {
        let begun = match entry.phase {
            Phase::Onboot => self.run(entry),
            _ => self.start(entry),
        };
        begun.unwrap_or_else(|error| {
            if error.kind == Kind::Gone {
                // Its image has to come.
                self.note(entry, (status::WAITING, &error.message), None);
                waits.push(Condition::Network);
                return Stage::Outside;
            }
            self.note(entry, (status::FAILED, &error.message), None);
            Stage::Failed
        })
    }

    /// One that is to run once and end well.
    fn run(&mut self, entry: &Entry) -> Result<Stage> {
        let recipe = self.maker.prepare(entry)?;
        let container = self.maker.container(entry, &recipe)?;
        let ends = container.lock().ends;
        self.maker.start(&container)?;
        self.note(entry, (status::RUNNING, ""), Some((&container, &recipe)));
        let limit = entry.timeout.unwrap_or(ONBOOT);
        let ended = |state: &State| state.ends > ends && !state.phase.is_up();
        if !container.wait_until(&ended, None, Some(limit))? {
            let _ = self.maker.engine.kill(&container, None);
            let seconds = limit.as_secs();
            return Err(Error::invalid(format!("had not ended after {seconds} s")));
        }
        let code = container.lock().last_code;
        if code != 0 {
            let name = &entry.name;
            return Err(Error::invalid(format!(
                "ended with exit code {code}: see tug logs {name}"
            )));
        }
        self.note(entry, (status::COMPLETED, ""), Some((&container, &recipe)));
        Ok(Stage::Completed)
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
        self.note(entry, (status::RUNNING, ""), Some((&container, &recipe)));
        self.fresh.push(Fresh {
            name: entry.name.clone(),
            container: Arc::clone(&container),
            until: now + SETTLE,
        });
        Ok(Stage::Started(Some(container), now))
    }

    /// Containers and rows of entries that the plan has no more.
    fn clear_away(&mut self, names: &[String]) {
        let rows = self.status.rows.get_or_insert_default();
        rows.retain(|row| names.contains(&row.name));
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
        // Those that have come to hold since are looked at by PID 1, too.
        for job in self.jobs.iter().filter(|job| !job.waits.is_empty()) {
            let words: Vec<String> = job.waits.iter().map(ToString::to_string).collect();
            pending.push_str(&words.join("\t"));
            pending.push('\n');
        }
        let dir = dir(&self.maker.engine.options.exec_root);
        if let Err(error) = record::replace_unsynced(&dir, status::PENDING, pending.as_bytes()) {
            console::say(error);
        }
        // Whom nobody asked does not mind: SIGURG is ignored unless somebody waits for it.
        let _ = signal::kill(init::parent(), signal::SIGURG);
    }

    /// Services that ended as soon as they were started are told of, once. Answers those that there was
    /// no time to look at, as another pass is wanted.
    fn settle(&mut self, wanted: &Bell) -> Vec<Fresh> {
        loop {
            let now = Instant::now();
            let (bad, mut good): (Vec<_>, Vec<_>) = std::mem::take(&mut self.fresh)
                .into_iter()
                .partition(Fresh::has_ended);
            for fresh in &bad {
                self.tell_end(fresh);
            }
            good.retain(|fresh| now < fresh.until);
            let Some(until) = good.iter().map(|fresh| fresh.until).min() else {
                return Vec::new();
            };
            let containers: Vec<_> = good.iter().map(|f| Arc::clone(&f.container)).collect();
            if wait_for_change(&containers, Some(wanted), until - now) {
                return good;
            }
            self.fresh = good;
        }
    }

    fn tell_end(&mut self, fresh: &Fresh) {
        let code = fresh.container.lock().last_code;
        let name = &fresh.name;
        let why = format!("ended with exit code {code} after its start: see tug logs {name}");
        console::say(format_args!("{name}: {why}"));
        let mut rows = self.status.rows.iter_mut().flatten();
        if let Some(row) = rows.find(|row| row.name == *name && row.phase == "service") {
            row.why = why;
        }
        self.save();
    }

    fn note(&mut self, entry: &Entry, state: (&str, &str), made: Made<'_>) {
        let made = made.map_or(("", ""), |(container, recipe)| {
            (container.id.as_str(), recipe.made_of.as_str())
        });
        self.note_as(&entry.name, word(entry.phase), state, made);
    }

    /// A state and why, a container's id and of what it was made.
    fn note_as(
        &mut self,
        name: &str,
        phase: &str,
        (state, why): (&str, &str),
        (id, made_of): (&str, &str),
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
            Ok(()) => self.note_as(name, phase, (status::DONE, ""), ("", "")),
            Err(error) => self.note_as(name, phase, (status::FAILED, &error.message), ("", "")),
        }
    }

    fn save(&self) {
        let exec_root = &self.maker.engine.options.exec_root;
        if let Err(error) = self.status.save(exec_root, status::ENTRIES) {
            console::say(error);
        }
    }
}

fn word(phase: Phase) -> &'static str {
    match phase {
        Phase::Onboot => "onboot",
        Phase::Service => "service",
        Phase::Onshutdown => "onshutdown",
    }
}
