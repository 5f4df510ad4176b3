//! start: a container on disk becomes a process, by way of its shim.

use crate::engine::config::Limits;
use crate::engine::container::{Container, Phase, State};
use crate::engine::network::ports;
use crate::engine::spec::Place;
use crate::engine::spec::resources::Controllers;
use crate::engine::{Engine, device_match, health, host, links, spec, stop, validate, volume};
use crate::error::{Context, Error, Kind, Result};
use crate::json;
use crate::kernel;
use crate::shim::client::{self, Shim, Watch};
use crate::shim::config;
use crate::shim::critical;
use crate::shim::exit::{self, Exit};
use crate::shim::hotplug::{self, Wishes};
use crate::store::{limit, staging, tree};
use crate::sys::poll;
use crate::wire::container::HostConfig;
use rustix::event::PollFlags;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long the shim of the run before may take to leave.
const SETTLE: Duration = Duration::from_secs(10);

/// How often ports are chosen anew.
const PORT_TRIES: u32 = 4;

impl Engine {
    pub fn start(self: &Arc<Engine>, container: &Arc<Container>) -> Result<()> {
        self.check_not_aside(&container.id)?;
        let busy = container.occupy();
        match container.lock().phase {
            Phase::Created | Phase::Exited => {}
            Phase::Running | Phase::Restarting => return Err(Error::new(Kind::NotModified, "")),
            Phase::Paused => {
                return Err(Error::conflict(
                    "cannot start a paused container, try unpause instead",
                ));
            }
            Phase::Removing | Phase::Dead | Phase::Removed => {
                return Err(Error::conflict(
                    "container is marked for removal and cannot be started",
                ));
            }
        }
        let outcome = self.start_now(container);
        if let Err(error) = &outcome {
            self.give_up(container, error);
        }
        drop(busy);
        if outcome.is_err() && container.is_disposable() {
            self.remove_ended(container);
        }
        outcome
    }

    fn start_now(&self, container: &Arc<Container>) -> Result<()> {
        await_last(container)?;
        container.writers.stop();
        let shim = Arc::new(self.launch(container)?);
        container.lock().shim = Some(Arc::clone(&shim));

        // Watch and join the clients first: nothing that the program does from now on is missed.
        let mut watch = shim.watch()?;
        hand_over(&shim, container)?;
        let started = shim.start().inspect_err(|_| let_go(&mut watch))?;
        container.update(|state| {
            state.phase = Phase::Running;
            state.pid = started.pid;
            state.started_at = started.started_at;
            state.exit_code = 0;
            state.oom_killed = false;
            state.is_restarting = false;
            state.restarts = 0;
            state.is_stopped = false;
            state.is_halting = false;
            state.is_held = started.is_held;
            state.health = health::starting(&container.config);
            state.error.clear();
        });
        // A client may have attached since.
        let joined = hand_over(&shim, container);
        self.persist(container);
        self.tell_mounts(container);
        self.tell_network(container, "connect");
        self.update_linked(container);
        self.tell(container, "start", &[]);
        self.watcher.add(container, watch);
        joined.or_else(|error| {
            self.note(format_args!("container {}: {error}", container.id));
            Ok(())
        })
    }

    /// A port of the host that was free when it was chosen may be another's when it is claimed: then
    /// another one is chosen.
    fn launch(&self, container: &Container) -> Result<Shim> {
        let mut tries_left = PORT_TRIES;
        loop {
            let run_dir = self.prepare(container, None)?;
            let error = match client::launch(&run_dir) {
                Err(error) if ports::is_refusal(&error) => error,
                other => return other,
            };
            if tries_left == 0 || !ports::has_choice(container) {
                return Err(error).context(|| self.refused_ports(container));
            }
            tries_left -= 1;
            self.sweep_run(&container.id, true);
        }
    }

    /// A new shim for a container whose shim was lost; it waits and starts the container itself.
    pub(super) fn resume(
        &self,
        container: &Arc<Container>,
        exit: &Exit,
        delay: Duration,
    ) -> Result<()> {
        let _busy = container.occupy();
        await_last(container)?;
        container.writers.stop();
        let run_dir = self.prepare(container, Some((exit, delay)))?;
        let shim = Arc::new(client::launch(&run_dir)?);
        let watch = shim.watch()?;
        container.update(|state| state.shim = Some(shim));
        self.watcher.add(container, watch);
        Ok(())
    }

    /// A fresh run directory, with all that a shim reads. After the loss of a shim it has the end
    /// that we told for it, and how long to wait.
    fn prepare(&self, container: &Container, lost: Option<(&Exit, Duration)>) -> Result<PathBuf> {
        let run_dir = self.run_dir(&container.id);
        tree::remove(&run_dir)?;
        let bundle = run_dir.join("bundle");
        staging::make_dir(&bundle.join("rootfs"))?;
        host::make_sources(container.wanted()?)?;
        let donors = self.donors(container)?;
        let plan = self.plan_network(container)?;
        if let Some(plan) = &plan {
            self.write_plan(&container.id, plan)?;
        }
        self.write_name_files(container, plan.as_deref())?;
        self.ready_volumes(container, &container.id)?;
        let (sources, parts) = self.sources(container, &run_dir)?;

        let data_dir = self.data_dir(&container.id);
        let binary = std::env::current_exe().map_err(|e| Error::io("find this binary", &e))?;
        // Another container's network comes with its names.
        let files_dir = donors
            .network
            .as_ref()
            .map(|donor| self.data_dir(&donor.container.id));
        let shm = run_dir.join(config::SHM);
        let place = Place {
            data_dir: &data_dir,
            files_dir: files_dir.as_ref().unwrap_or(&data_dir),
            shm: donors.ipc.as_ref().map(|_| shm.as_path()),
            donors: &donors,
            sources: &sources,
            options: &self.options,
            binary: &binary,
            controllers: host::controllers(),
            seccomp: spec::seccomp::Host {
                has_seccomp: host::has_seccomp(),
                kernel: &kernel::release(),
            },
        };
        self.tell_lost_limits(container, place.controllers);
        let mut spec = spec::build(container, &place)?;
        if let Some(process) = &mut spec.process {
            links::add_variables(container, &self.links(container)?, &mut process.env);
        }
        write(&bundle.join("config.json"), &json::to_string(&spec))?;
        let matches = device_match::of(&container.host)?;
        if !matches.is_empty() {
            let is_free = container.host.privileged == Some(true);
            let resources = spec.linux.and_then(|linux| linux.resources);
            let wishes = Wishes {
                matches: Some(matches),
                rules: resources.and_then(|r| r.devices).filter(|_| !is_free),
            };
            write(&run_dir.join(hotplug::FILE), &json::to_string(&wishes))?;
        }
        let mut config = self.shim_config(container, &data_dir)?;
        let volumes = volume::names(container);
        let volumes = volumes.iter().map(|name| self.volumes.data(name));
        config.volumes = Some(volumes.map(|data| data.display().to_string()).collect());
        config.volumes_dir = Some(self.volumes.dir().display().to_string());
        config.parts = Some(parts).filter(|parts| !parts.is_empty());
        config.shm_of = donors.ipc.as_ref().map(|donor| donor.pid);
        if let Some((exit, delay)) = lost {
            exit::write(&run_dir, exit)?;
            config.restarts = exit.restarts;
            config.delay_ms = u64::try_from(delay.as_millis()).ok();
        }
        if let Some(process) = health::process(container, &self.options) {
            let file = run_dir.join(crate::shim::health::FILE);
            write(&file, &json::to_string(&process))?;
        }
        if health::is_checked(&container.config) {
            config.health.clone_from(&container.config.healthcheck);
        }
        write(&run_dir.join(config::FILE), &json::to_string(&config))?;
        Ok(run_dir)
    }

    fn shim_config(&self, container: &Container, data_dir: &Path) -> Result<config::Config> {
        let text = |path: &Path| Some(path.display().to_string());
        let other = self.other_runtime(container)?;
        let runtime_root = other
            .as_ref()
            .map_or(self.runtime_root(), |other| other.root.clone());
        let layers = self.lower_dirs(container)?;
        let files = limit::place(data_dir);
        let host = container.current_host();
        let mut config = config::Config {
            id: Some(container.id.clone()),
            layers: Some(layers.iter().filter_map(|layer| text(layer)).collect()),
            disk_of: text(data_dir).filter(|_| files != data_dir),
            upper: text(&files.join("upper")),
            work: text(&files.join("work")),
            volatile: Some(container.is_disposable()),
            runtime_root: text(&runtime_root),
            runtime_path: other.as_ref().and_then(|other| text(&other.path)),
            runtime_args: other.map(|other| other.args),
            terminal: Some(container.has_terminal()),
            open_stdin: container.config.open_stdin,
            stdin_once: container.config.stdin_once,
            write_budget: host.write_budget.clone(),
            budget_file: text(&self.budget_file(&container.id)),
            restart: host.restart_policy.clone(),
            health_on_failure: host.health_on_failure.clone(),
            stop_signal: stop::signal_of(container, None).ok(),
            stop_timeout: container.config.stop_timeout,
            critical: host.critical,
            name: Some(container.name()),
            data_root: text(&self.options.data_root),
            ..Default::default()
        };
        self.log_config(container, &mut config)?;
        Ok(config)
    }

    /// A limit could be enforced when it was asked for, and cannot after a boot with another kernel or
    /// command line. The container starts all the same: a board that does not come up is worse.
    fn tell_lost_limits(&self, container: &Container, controllers: Controllers) {
        let mut host = HostConfig::clone(&container.current_host());
        let (mut lost, policy) = (Vec::new(), Limits::BestEffort);
        if let Err(error) = validate::check_limits(&mut host, controllers, true, policy, &mut lost)
        {
            lost.push(error.message.clone());
        }
        for warning in lost {
            self.note(format_args!("container {}: {warning}", container.id));
        }
    }

    /// Leave nothing of a failed start but its error.
    fn give_up(&self, container: &Container, error: &Error) {
        self.sweep_run(&container.id, true);
        self.release_volumes(&container.id);
        self.release_network(container);
        self.miss(container);
        container.update(|state| {
            state.shim = None;
            // Their connections close with this, which tells them.
            state.pending.clear();
            state.exit_code = match error.kind {
                Kind::ProgramMissing => 127,
                Kind::CannotInvoke => 126,
                _ => 128,
            };
            state.error.clone_from(&error.message);
        });
        self.persist(container);
        self.debug(format_args!("container {}: {error}", container.id));
    }
}

impl Engine {
    /// Whoever feeds the board's watchdog is to know that a critical container is not there.
    fn miss(&self, container: &Container) {
        if container.host.critical != Some(true) {
            return;
        }
        let told = critical::is_down(&self.options.exec_root, &container.id, &container.name());
        if let Err(error) = told {
            self.note(error);
        }
    }

    /// It is down because the user wants it so.
    pub(super) fn forget_critical(&self, container: &Container) {
        if container.host.critical == Some(true) {
            critical::forget(&self.options.exec_root, &container.id);
        }
    }
}

fn write(path: &Path, content: &str) -> Result<()> {
    crate::sys::fs::write_private(path, content.as_bytes())
}

/// Give the clients that wait to the shim.
fn hand_over(shim: &Shim, container: &Container) -> Result<()> {
    let pending = std::mem::take(&mut { container.lock() }.pending);
    for waiting in pending {
        shim.attach(&waiting.attach, waiting.client.as_fd())
            .context(|| "attach")?;
    }
    Ok(())
}

/// A shim whose container could not start ends it and leaves by itself. If it does not, the way out
/// takes it by force.
fn let_go(watch: &mut Watch) {
    let end = Instant::now() + Duration::from_secs(2);
    loop {
        let left = end.saturating_duration_since(Instant::now());
        let ready = poll::wait(&[(watch.as_fd(), PollFlags::IN)], Some(left));
        if !ready.is_ok_and(|ready| ready.iter().any(|flags| !flags.is_empty())) {
            return;
        }
        if !matches!(watch.next(), Ok(Some(_))) {
            return;
        }
    }
}

/// The last run's shim ends when its last client has read everything; then its directory is free.
fn await_last(container: &Container) -> Result<()> {
    if container.wait_until(&|state| state.shim.is_none(), None, Some(SETTLE))? {
        return Ok(());
    }
    Err(Error::conflict(format!(
        "container {} is still ending its last run: its shim has not left",
        container.id
    )))
}

/// What `stop`, `kill` and their like need: the shim of a container that is up.
pub fn up_shim(container: &Container) -> Result<Arc<Shim>> {
    let state = container.lock();
    let shim = state.shim.clone().filter(|_| state.phase.is_up());
    shim.ok_or_else(|| not_running(&container.id))
}

/// What `exec` needs: the shim of a container whose processes run (moby, getActiveContainer).
pub fn running_shim(container: &Container) -> Result<Arc<Shim>> {
    let state = container.lock();
    running(&container.id, &state)
}

pub fn running(id: &str, state: &State) -> Result<Arc<Shim>> {
    match state.phase {
        Phase::Paused => Err(Error::conflict(format!(
            "container {id} is paused, unpause the container before exec"
        ))),
        Phase::Restarting => Err(restarting(id)),
        Phase::Running => state.shim.clone().ok_or_else(|| not_running(id)),
        _ => Err(not_running(id)),
    }
}

pub fn restarting(id: &str) -> Error {
    Error::conflict(format!(
        "container {id} is restarting, wait until the container is running"
    ))
}

pub fn not_running(id: &str) -> Error {
    Error::conflict(format!("container {id} is not running"))
}
