//! Starting is recovering: what the records say, what this boot's directories say, and who answers.

use crate::engine::boot::Boot;
use crate::engine::container::{Container, Exec, Phase};
use crate::engine::record::{self, Asked, Happened};
use crate::engine::sets::Loaded;
use crate::engine::watch::Loss;
use crate::engine::{Engine, lock, watch};
use crate::error::{Error, Kind, Result};
use crate::id;
use crate::shim::client;
use crate::shim::exit::{self, Exit};
use crate::store::{record as store_record, staging};
use crate::sys::signal::{self, SIGKILL};
use crate::time::Time;
use std::path::Path;
use std::sync::Arc;
use std::sync::{Condvar, Mutex};
use std::time::Duration;

/// How long the start waits for shims to answer. Those that do so later are taken in then.
const PATIENCE: Duration = Duration::from_millis(1500);

/// Docker's exit code for a container that the host's restart has ended.
const HOST_WENT_DOWN: i32 = 255;

pub fn recover(engine: &Arc<Engine>) -> Result<()> {
    let data = engine.containers_dir();
    let run = engine.options.exec_root.join("containers");
    for dir in [&data, &run, &engine.runtime_root()] {
        staging::make_dir(dir)?;
    }
    if let Err(error) = staging::sweep(&data) {
        engine.note(error);
    }
    let boot = Boot::of(&engine.options.exec_root)?;
    let loaded = engine.load_sets(&boot)?;
    for name in staging::names(&data)? {
        if id::is_full(&name) {
            load(engine, &data, &name, &loaded);
        }
    }
    if boot.is_new {
        for container in engine.containers() {
            take_in_after_boot(engine, &container);
        }
        boot.begin()?;
    }
    sweep_strangers(engine, &run)?;
    engine.recover_volumes();
    find_running(engine);
    engine.settle_sets();
    if boot.is_starting {
        match engine.options.holds_starts {
            true => *lock(&engine.held) = Some(boot),
            false => engine.start_after_boot(boot, &[]),
        }
    }
    Ok(())
}

/// The host has been down. How did the container end? Its shim may have written that before.
fn take_in_after_boot(engine: &Arc<Engine>, container: &Arc<Container>) {
    let was_running = container.is_running();
    let written = exit::read(&engine.run_dir(&container.id));
    let exit = match written {
        Ok(Some(exit)) if exit.will_restart != Some(true) => exit,
        _ => host_went_down(),
    };
    if was_running || container.is_disposable() {
        engine.recovered(container, &exit, was_running);
    }
}

/// Take the container `id` in, or say why not and put it aside.
fn load(engine: &Arc<Engine>, parent: &Path, id: &str, sets: &Loaded) {
    let dir = parent.join(id);
    let asked = match record::load_asked(&dir) {
        Ok(Some(asked)) if asked.id.as_deref() == Some(id) => asked,
        Ok(_) => return set_aside(engine, parent, id, "config.json is missing or another's"),
        // A container with --rm is not synced, so after a power cut its record may be empty. There
        // is nothing in it to miss.
        Err(_) if is_empty(&dir.join(record::CONFIG)) => {
            engine.note(format_args!(
                "container {id}: its record is empty, as a power cut leaves one of --rm; removed"
            ));
            return engine.sweep(id);
        }
        Err(error) => return set_aside(engine, parent, id, &error.message),
    };
    let asked = match record::load_networks(&dir) {
        Ok(None) => asked,
        Ok(networks) => Asked { networks, ..asked },
        Err(error) => {
            engine.note(format_args!(
                "container {id}: {error}; it is in the networks that it was created with, and the file is set aside"
            ));
            let _ = store_record::set_aside(&dir, record::NETWORKS);
            asked
        }
    };
    let mut happened = record::load_happened(&dir).unwrap_or_else(|error| {
        engine.note(format_args!(
            "container {id}: {error}; its history is set aside"
        ));
        let _ = store_record::set_aside(&dir, record::STATE);
        Happened::default()
    });
    happened.name = sets.name_of(id).or(happened.name);
    let name = happened
        .name
        .clone()
        .or_else(|| asked.name.clone())
        .unwrap_or_default();
    if let Err(error) = engine.reserve_name(&name, id) {
        // Two records with one name: the power failed during a rename. Both containers live on.
        engine.note(format_args!("container {id}: {error}"));
        return adopt(
            engine,
            Asked {
                name: engine.invent_name(id).ok(),
                ..asked
            },
            &Happened {
                name: None,
                ..happened
            },
        );
    }
    adopt(engine, asked, &happened);
}

fn adopt(engine: &Engine, asked: Asked, happened: &Happened) {
    let container = Arc::new(Container::new(asked, happened));
    if happened.running == Some(true) {
        // Until we know better: `find_running` asks.
        container.lock().phase = Phase::Running;
    }
    lock(&engine.registry).containers.push(container);
}

fn is_empty(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|metadata| metadata.len() == 0)
}

fn set_aside(engine: &Engine, parent: &Path, id: &str, why: &str) {
    engine.note(format_args!(
        "container {id}: {why}; set aside as {id}{} in {}",
        store_record::ASIDE,
        parent.display()
    ));
    if let Err(error) = store_record::set_aside(parent, id) {
        engine.note(error);
    }
}

/// What this boot has of containers that have no record (any more).
fn sweep_strangers(engine: &Engine, run: &Path) -> Result<()> {
    let mut names = staging::names(run)?;
    names.extend(staging::names(&engine.runtime_root())?);
    names.sort_unstable();
    names.dedup();
    for id in names.iter().filter(|name| id::is_full(name)) {
        let is_known = lock(&engine.registry)
            .containers
            .iter()
            .any(|c| c.id == *id);
        if !is_known {
            engine.note(format_args!(
                "container {id}: no record; removing what is left of it"
            ));
            engine.sweep_run(id, true);
        }
    }
    Ok(())
}

/// Ask the shims, each in a thread of its own: one that is stuck must not hold up the others.
fn find_running(engine: &Arc<Engine>) {
    let settled = Arc::new(Settled::default());
    let mut asked = 0;
    // First all that is taken, whoever is slow to answer.
    for container in engine.containers() {
        engine.recover_plan(&container.id);
    }
    for container in engine.containers() {
        let was_running = container.is_running();
        if !engine.run_dir(&container.id).exists() {
            if was_running || container.is_disposable() {
                engine.recovered(&container, &host_went_down(), was_running);
            }
            continue;
        }
        let (engine_too, container_too) = (Arc::clone(engine), Arc::clone(&container));
        let settled = Arc::clone(&settled);
        let spawned = watch::thread("recover", move || {
            ask(&engine_too, &container_too, &settled);
        });
        match spawned {
            Ok(()) => asked += 1,
            Err(error) => engine.note(error),
        }
    }
    if !settled.wait(asked) {
        engine.note("a shim does not answer; its container is taken in when it does");
    }
}

/// How many containers are known to run or not to.
#[derive(Default)]
struct Settled {
    count: Mutex<usize>,
    grown: Condvar,
}

impl Settled {
    fn add(&self) {
        *lock(&self.count) += 1;
        self.grown.notify_one();
    }

    /// Wait for so many, but not for ever: whether they came.
    fn wait(&self, wanted: usize) -> bool {
        let is_less = |count: &mut usize| *count < wanted;
        let waited = self
            .grown
            .wait_timeout_while(lock(&self.count), PATIENCE, is_less);
        let (count, _) = waited.unwrap_or_else(std::sync::PoisonError::into_inner);
        *count >= wanted
    }
}

fn host_went_down() -> Exit {
    Exit {
        code: HOST_WENT_DOWN,
        finished_at: Time::now().rfc3339(),
        oom_killed: false,
        error: "the host went down while the container ran".to_string(),
        ..Default::default()
    }
}

/// Find out about one container; `settled` hears of it.
fn ask(engine: &Arc<Engine>, container: &Arc<Container>, settled: &Settled) {
    let run_dir = engine.run_dir(&container.id);
    loop {
        match find_shim(container, &run_dir) {
            Ok(watch) => {
                engine.watcher.add(container, watch);
                break;
            }
            Err(error) if error.kind == Kind::Gone => {
                settle(engine, container);
                break;
            }
            // Stopped or stuck. Each try waits for its own time limit.
            Err(error) => engine.note(format_args!("container {}: {error}", container.id)),
        }
    }
    settled.add();
}

fn find_shim(container: &Container, run_dir: &Path) -> Result<client::Watch> {
    let shim = Arc::new(client::connect(run_dir)?);
    container.lock().shim = Some(Arc::clone(&shim));
    let watch = shim.watch()?;
    let found = shim.state()?;
    if found.started_at.is_empty() && !found.is_waiting {
        // The engine before us died between launch and start: nobody will start it now.
        let _ = signal::kill(shim.pid(), SIGKILL);
        return Err(Error::new(Kind::Gone, "not started"));
    }
    container.update(|state| {
        // One that has ended and serves its last clients tells its end on the watch.
        state.phase = match (found.is_waiting, found.is_paused) {
            (true, _) => Phase::Restarting,
            (false, true) => Phase::Paused,
            (false, false) => Phase::Running,
        };
        state.health = found.health;
        state.pid = found.pid;
        if !found.started_at.is_empty() {
            state.started_at = found.started_at;
        }
        if let Some(exit) = found.exit {
            state.exit_code = if found.is_waiting {
                exit.code.into()
            } else {
                0
            };
            state.finished_at = exit.finished_at;
        }
        // What they were asked to do went with the engine before us; their ends are still told.
        state.execs = found.execs.into_iter().map(Exec::running).collect();
        state.restarts = found.restarts;
        state.is_stopped = found.is_stopped;
        state.is_held = found.is_held;
    });
    Ok(watch)
}

/// Nobody serves: what has this boot left?
fn settle(engine: &Arc<Engine>, container: &Arc<Container>) {
    container.lock().shim = None;
    let was_running = container.is_running();
    match engine.sweep_lost(container) {
        // Told to an engine before us already, unless that thought it running still.
        Loss::Told(exit) => {
            let is_news = was_running || container.lock().finished_at != exit.finished_at;
            engine.recovered(container, &exit, is_news);
        }
        Loss::Silent(exit) if was_running => engine.ended_by_loss(container, exit),
        Loss::Silent(exit) => engine.recovered(container, &exit, container.is_disposable()),
    }
}

impl Engine {
    /// How a run ended while no engine looked.
    fn recovered(self: &Arc<Engine>, container: &Arc<Container>, exit: &Exit, is_news: bool) {
        self.release_network(container);
        if is_news {
            self.ended(container, exit);
        } else if container.is_disposable() {
            self.remove_ended(container);
        }
    }
}
