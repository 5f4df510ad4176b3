//! remove: the one way out, for a container in any state, half-made ones included.

use crate::engine::container::{Container, Phase, State};
use crate::engine::kill::KILL_TIMEOUT;
use crate::engine::{Engine, lock};
use crate::error::{Context, Error, Kind, Result};
use crate::shim::backend::Backend;
use crate::shim::{client, config};
use crate::store::{limit, staging, tree};
use crate::sys::signal::{self, SIGKILL};
use std::sync::Arc;

/// What goes along with a container.
#[derive(Clone, Copy, Default)]
pub struct Removal {
    /// The run, if it has one.
    pub force: bool,
    /// The volumes that it had for itself alone. With `--rm` they go in any case.
    pub volumes: bool,
}

impl Removal {
    pub const ALL: Removal = Removal {
        force: true,
        volumes: true,
    };
}

impl Engine {
    /// What the user's `rm` asks for: a running container only with `force`.
    pub fn remove(&self, container: &Arc<Container>, removal: Removal) -> Result<()> {
        let Removal { force, volumes } = removal;
        self.check_not_aside(&container.id)?;
        if container.is_running() {
            if !force {
                return Err(still_up(&container.lock()));
            }
            match self.kill(container, None) {
                // It has just ended by itself, which is about to be recorded.
                Err(error) if error.kind == Kind::Conflict => {
                    let ended = |state: &State| !state.phase.is_up();
                    container.wait_until(&ended, None, Some(KILL_TIMEOUT))?;
                }
                killed => killed?,
            }
        }
        let _busy = container.occupy();
        let before = {
            let mut state = container.lock();
            match state.phase {
                before @ (Phase::Created | Phase::Exited | Phase::Dead) => {
                    state.phase = Phase::Removing;
                    before
                }
                // It was started again meanwhile.
                Phase::Running | Phase::Paused | Phase::Restarting => {
                    return Err(still_up(&state));
                }
                // What was asked for has come to pass: ended for it, a container with `--rm` removes
                // itself. Two who remove another are told apart, as the second finds none.
                Phase::Removed if force && container.is_disposable() => return Ok(()),
                Phase::Removed => {
                    return Err(Error::not_found(format!(
                        "No such container: {}",
                        container.id
                    )));
                }
                Phase::Removing => {
                    return Err(Error::conflict(format!(
                        "removal of container {} is already in progress",
                        container.id
                    )));
                }
            }
        };
        let volumes = volumes || container.is_disposable();
        self.forget_critical(container);
        // After a run the shim may still have output for slow clients: it leaves by itself.
        self.take_apart(container, before == Phase::Created)
            .context(|| format!("remove container {}", container.id))
            .inspect_err(|error| {
                container.update(|state| {
                    state.phase = Phase::Dead;
                    state.error.clone_from(&error.message);
                });
            })?;
        if volumes {
            self.remove_anonymous(container);
        }
        // Who waits for the removal finds nothing of it.
        container.update(|state| {
            state.phase = Phase::Removed;
            state.shim = None;
            state.pending.clear();
            state.execs.clear();
        });
        Ok(())
    }

    /// A container with `--rm` has ended, or could not start.
    pub(super) fn remove_ended(&self, container: &Arc<Container>) {
        match self.remove(container, Removal::default()) {
            // Someone else is at it, or was.
            Err(error) if matches!(error.kind, Kind::Conflict | Kind::NotFound) => {}
            Err(error) => self.note(error),
            Ok(()) => {}
        }
    }

    fn take_apart(&self, container: &Container, kill_shim: bool) -> Result<()> {
        container.writers.stop();
        self.sweep_run(&container.id, kill_shim);
        self.release_volumes(&container.id);
        self.release_network(container);
        self.keep_wear(container);
        let _ = std::fs::remove_file(self.budget_file(&container.id));
        let data_dir = self.data_dir(&container.id);
        if let Err(error) = limit::release(&data_dir, "upper") {
            self.note(error);
        }
        let recording = lock(&container.recording);
        match container.is_disposable() {
            true => staging::discard(&data_dir)?,
            false => staging::remove(&data_dir)?,
        }
        drop(recording);

        let name = container.name();
        self.tell(container, "destroy", &[]);
        lock(&self.registry)
            .containers
            .retain(|other| other.id != container.id);
        self.release_name(&name, &container.id);
        Ok(())
    }

    /// Nothing of a run is left: no process, no cgroup, no run directory. Copes with a shim that is
    /// stuck, lost, or was never there.
    pub(super) fn sweep_run(&self, id: &str, kill_shim: bool) {
        let run_dir = self.run_dir(id);
        if kill_shim {
            self.clear_network(id);
        }
        if kill_shim && let Ok(shim) = client::connect(&run_dir) {
            let _ = shim.kill(SIGKILL, true);
            let _ = signal::kill(shim.pid(), SIGKILL);
        }
        let deleted = self.backend(id).and_then(|backend| backend.delete());
        if let Err(error) = deleted.context(|| format!("container {id}")) {
            self.note(error);
        }
        if let Err(error) = tree::remove(&run_dir) {
            self.note(error);
        }
    }

    /// The runtime of the last run. Without a `shim.json` there was none, or it is so old that only
    /// ours can have made it.
    fn backend(&self, id: &str) -> Result<Backend> {
        let run_dir = self.run_dir(id);
        let config = config::read(&run_dir).unwrap_or_else(|_| config::Config {
            id: Some(id.to_string()),
            runtime_root: Some(self.runtime_root().display().to_string()),
            ..Default::default()
        });
        Backend::of(&run_dir, &config)
    }

    /// Everything that bears this id and belongs to no container.
    pub(super) fn sweep(&self, id: &str) {
        self.sweep_run(id, true);
        if let Err(error) = staging::discard(&self.data_dir(id)) {
            self.note(error);
        }
    }
}

fn still_up(state: &State) -> Error {
    let why = match state.phase {
        Phase::Paused => "container is paused and must be unpaused first".to_string(),
        phase => format!(
            "container is {}: stop the container before removing or force remove",
            phase.name()
        ),
    };
    Error::conflict(format!(
        "cannot remove container \"/{}\": {why}",
        state.name
    ))
}
