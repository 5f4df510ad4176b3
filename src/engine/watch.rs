//! One thread that hears what the shims say: exits, out-of-memory kills, and their silence.

use crate::engine::container::{Container, Phase};
use crate::engine::{Engine, exec, lock};
use crate::error::Result;
use crate::shim::client::{self, Event, Started, Watch};
use crate::shim::exit::{self, Exit};
use crate::sys::poll::{self, Bell};
use crate::sys::thread;
use crate::time::Time;
use rustix::event::PollFlags;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

/// Watches on their way to the thread.
pub struct Queue {
    new: Mutex<Vec<Watched>>,
    bell: Bell,
}

struct Watched {
    container: Arc<Container>,
    watch: Watch,
    /// It has told how the container ended.
    has_ended: bool,
}

impl Queue {
    pub fn new() -> Result<Queue> {
        Ok(Queue {
            new: Mutex::new(Vec::new()),
            bell: Bell::new()?,
        })
    }

    pub fn add(&self, container: &Arc<Container>, watch: Watch) {
        lock(&self.new).push(Watched {
            container: Arc::clone(container),
            watch,
            has_ended: false,
        });
        self.bell.ring();
    }

    /// Have the watcher look around.
    pub fn wake(&self) {
        self.bell.ring();
    }
}

/// Threads of the engine call a few functions deep and keep large things on the heap.
pub const STACK_BYTES: usize = 128 << 10;

pub fn spawn(engine: &Arc<Engine>) -> Result<()> {
    let engine = Arc::clone(engine);
    start("watch", Box::new(move || run(&engine)))
}

/// Threads that will end: the engine has work.
static WORKING: AtomicUsize = AtomicUsize::new(0);

/// How many threads have work, those of requests included.
pub fn working() -> usize {
    WORKING.load(Ordering::Acquire)
}

/// A thread with a small stack, for something that ends.
pub fn thread(name: &str, body: impl FnOnce() + Send + 'static) -> Result<()> {
    boxed(name, Box::new(body))
}

fn boxed(name: &str, body: Box<dyn FnOnce() + Send>) -> Result<()> {
    WORKING.fetch_add(1, Ordering::AcqRel);
    let started = start(
        name,
        Box::new(move || {
            body();
            WORKING.fetch_sub(1, Ordering::AcqRel);
        }),
    );
    started.inspect_err(|_| {
        WORKING.fetch_sub(1, Ordering::AcqRel);
    })
}

fn start(name: &str, body: Box<dyn FnOnce() + Send>) -> Result<()> {
    thread::spawn(name, STACK_BYTES, body).map(drop)
}

fn run(engine: &Arc<Engine>) {
    let queue = &engine.watcher;
    let mut all: Vec<Watched> = Vec::new();
    loop {
        queue.bell.clear();
        engine.watch_firewall();
        all.append(&mut lock(&queue.new));
        let mut fds = vec![(queue.bell.as_fd(), PollFlags::IN)];
        fds.extend(all.iter().map(|w| (w.watch.as_fd(), PollFlags::IN)));
        let ready = match poll::wait(&fds, None) {
            Ok(ready) => ready,
            Err(error) => {
                engine.note(error);
                continue;
            }
        };
        let mut flags = ready.into_iter().skip(1);
        all.retain_mut(|watched| {
            let is_ready = flags.next().is_some_and(|flags| !flags.is_empty());
            !is_ready || hear(engine, watched)
        });
    }
}

/// Take one event. False when this shim will say no more.
fn hear(engine: &Arc<Engine>, watched: &mut Watched) -> bool {
    let container = &watched.container;
    match watched.watch.next() {
        Ok(Some(Event::Exit(exit))) => {
            watched.has_ended = exit.will_restart != Some(true);
            engine.ended(container, &exit);
            true
        }
        Ok(Some(Event::Start(started))) => {
            engine.started_again(container, started);
            true
        }
        Ok(Some(Event::ExecExit { id, code })) => {
            engine.exec_ended(container, &id, code);
            true
        }
        Ok(Some(Event::Health(found))) => {
            engine.hear_health(container, found);
            true
        }
        Ok(Some(Event::Ready)) => {
            container.update(|state| state.is_held = false);
            true
        }
        Ok(Some(Event::Oom)) => {
            engine.tell(container, "oom", &[]);
            true
        }
        Ok(Some(Event::Budget(budget))) => {
            let action = match budget.spent {
                Some(true) => "write_budget: spent",
                _ => "write_budget: renewed",
            };
            let used = budget.used.unwrap_or(0).to_string();
            engine.tell(container, action, &[("used", &used)]);
            true
        }
        Ok(Some(Event::Paused(is_paused))) => {
            engine.paused(container, is_paused);
            true
        }
        Ok(None) | Err(_) => {
            let is_lost = !watched.has_ended;
            // Clearing up after a lost shim can take long; the others must not wait for it.
            let (engine, container) = (Arc::clone(engine), Arc::clone(container));
            let bury = move || {
                let exit = is_lost.then(|| engine.sweep_lost(&container));
                container.update(|state| state.shim = None);
                client::reap();
                match exit {
                    Some(Loss::Told(exit)) => engine.ended(&container, &exit),
                    Some(Loss::Silent(exit)) => engine.ended_by_loss(&container, exit),
                    None => {}
                }
            };
            if !is_lost {
                bury();
            } else if let Err(error) = thread("lost", bury) {
                crate::log::line("tugd", error);
            }
            false
        }
    }
}

/// How a container ended whose shim has gone without a word to us.
pub(super) enum Loss {
    /// It wrote the `exit` file and died before telling.
    Told(Exit),
    /// It was killed.
    Silent(Exit),
}

impl Engine {
    /// A run has ended: record it, tell it, wake those who wait.
    ///
    /// An end before a restart is not recorded: after a power cut the boot decides what runs, and
    /// a program that crashes in a loop shall not wear the disk.
    pub(super) fn ended(self: &Arc<Engine>, container: &Arc<Container>, exit: &Exit) {
        let will_restart = exit.will_restart == Some(true);
        exec::end_all(self, container);
        let had_run = {
            let mut state = container.lock();
            let had_run = state.phase != Phase::Restarting;
            state.phase = match will_restart {
                true => Phase::Restarting,
                false => Phase::Exited,
            };
            state.pid = 0;
            state.exit_code = exit.code.into();
            state.last_code = exit.code.into();
            state.finished_at.clone_from(&exit.finished_at);
            state.oom_killed = exit.oom_killed;
            state.error.clone_from(&exit.error);
            state.restarts = exit.restarts.unwrap_or(state.restarts);
            state.is_stopped |= exit.is_stopped.unwrap_or(false);
            if let Some(wear) = exit.wear.as_ref().filter(|_| !will_restart) {
                state.wear.add(wear);
            }
            had_run
        };
        if !will_restart {
            self.release_network(container);
            self.persist(container);
            self.note_wear();
        }
        // A restart that was called off is no further death.
        if had_run {
            self.tell_die(container, exit);
        }
        if !will_restart {
            self.release_volumes(&container.id);
            self.tell_unmounts(container);
        }
        container.update(|state| {
            state.ends += 1;
            state.halts += u64::from(!will_restart);
        });

        if !will_restart && container.is_disposable() && !container.lock().is_restarting {
            // Deleting can take long; the other containers' ends must not wait for it.
            let (engine, container) = (Arc::clone(self), Arc::clone(container));
            let spawned = thread("remove", move || engine.remove_ended(&container));
            if let Err(error) = spawned {
                self.note(error);
            }
        }
    }

    fn tell_die(&self, container: &Container, exit: &Exit) {
        let seconds = {
            let state = container.lock();
            let started = Time::parse(&state.started_at);
            let finished = Time::parse(&state.finished_at);
            match (started, finished) {
                (Ok(started), Ok(finished)) => finished.since(started).as_secs(),
                _ => 0,
            }
        };
        let (code, seconds) = (exit.code.to_string(), seconds.to_string());
        self.tell(
            container,
            "die",
            &[("exitCode", &code), ("execDuration", &seconds)],
        );
        self.tell_network(container, "disconnect");
    }

    /// The shim has started the container again.
    fn started_again(&self, container: &Container, started: Started) {
        container.update(|state| {
            state.phase = Phase::Running;
            state.pid = started.pid;
            state.started_at = started.started_at;
            state.restarts = started.restarts;
            state.is_held = started.is_held;
            state.exit_code = 0;
            state.oom_killed = false;
            if let Some(health) = &mut state.health {
                health.status = Some("starting".to_string());
                health.failing_streak = Some(0);
            }
            state.error.clear();
        });
        self.tell_network(container, "connect");
        self.tell(container, "start", &[]);
    }

    /// A shim has closed its watch without telling an end: leave nothing of its container.
    pub(super) fn sweep_lost(&self, container: &Container) -> Loss {
        let run_dir = self.run_dir(&container.id);
        let written = exit::read(&run_dir);
        // Its own last words, if it had any, go with the directory.
        let notes = std::fs::read_to_string(run_dir.join("shim.log")).unwrap_or_default();
        if let Some(last) = notes.lines().last() {
            self.note(format_args!(
                "container {}: its shim said: {last}",
                container.id
            ));
        }
        // Without its parent the container has nobody to take its output or tell its end.
        self.sweep_run(&container.id, true);
        match written {
            Ok(Some(exit)) if exit.will_restart != Some(true) => Loss::Told(exit),
            // An end before the last start.
            Ok(Some(earlier)) => Loss::Silent(Exit {
                restarts: earlier.restarts,
                wear: earlier.wear,
                ..lost()
            }),
            _ => Loss::Silent(lost()),
        }
    }
}

/// The end of a container whose shim cannot tell it.
pub(super) fn lost() -> Exit {
    Exit {
        code: 137,
        finished_at: Time::now().rfc3339(),
        oom_killed: false,
        error: "the shim of the container was lost; what was left of the container has been killed"
            .to_string(),
        ..Default::default()
    }
}
