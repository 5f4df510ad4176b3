//! One container as the engine knows it.
//!
//! What was asked for never changes; what has happened is behind two locks of its own:
//!
//! - `busy` serialises start, rename and remove. It is held across waits (the shim's launch).
//! - `state` is held for moments only, never across a system call that can block.
//!
//! Who holds both took `busy` first.

use crate::engine::health;
use crate::engine::lock;
use crate::engine::network::wishes;
use crate::engine::record::{Asked, Happened};
use crate::engine::spec::wanted::{self, Wanted};
use crate::engine::view::Writers;
use crate::error::Result;
use crate::json::map::Map;
use crate::shim::client::{Attach, Shim};
use crate::shim::policy::Policy;
use crate::shim::wear::Wear;
use crate::sys::poll::Bell;
use crate::time;
use crate::wire::container::{Config, EndpointSettings, Health, HostConfig, MountRequest};
use crate::wire::exec;
use crate::wire::set::Membership;
use rustix::event::PollFlags;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

pub struct Container {
    pub id: String,
    /// RFC 3339.
    pub created: String,
    /// The image as the user named it.
    pub image: String,
    pub image_id: String,
    pub path: String,
    pub args: Vec<String>,
    /// The request's, merged with the image's.
    pub config: Config,
    /// As it was created or, when it was updated before this engine started, updated. What counts
    /// now of its limits and restart policy is `current_host`.
    pub host: Arc<HostConfig>,
    /// Mounts of other containers (`--volumes-from`), as they were when it was created.
    pub inherited: Vec<MountRequest>,
    /// What the engine has named: volumes by their places, and the ids of images that are mounted.
    pub named: Map<String>,
    /// Its directory holds all its files, the image's among them: see `driver`.
    pub is_copied: bool,
    /// Of a set (see `sets`).
    pub member: Option<Membership>,
    busy: Mutex<()>,
    state: Mutex<State>,
    /// Of its files, while it does not run.
    pub writers: Writers,
    /// Held while state.json is replaced, so that two writers don't meet.
    pub recording: Mutex<()>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    Created,
    Running,
    Paused,
    /// It has ended, and its shim waits before it starts it again.
    Restarting,
    Exited,
    Removing,
    /// Its removal has failed half-way.
    Dead,
    /// Gone; only those who waited for it still see it.
    Removed,
}

impl Phase {
    /// As the API names it.
    pub fn name(self) -> &'static str {
        match self {
            Phase::Created => "created",
            Phase::Running => "running",
            Phase::Paused => "paused",
            Phase::Restarting => "restarting",
            Phase::Exited => "exited",
            Phase::Removing => "removing",
            Phase::Dead | Phase::Removed => "dead",
        }
    }

    /// What Docker calls running: it has a shim, and `stop` has something to stop.
    pub fn is_up(self) -> bool {
        matches!(self, Phase::Running | Phase::Paused | Phase::Restarting)
    }
}

/// Guarded by `Container::state`.
pub struct State {
    /// Without a slash.
    pub name: String,
    pub phase: Phase,
    /// 0 when not running.
    pub pid: i32,
    pub exit_code: i64,
    pub started_at: String,
    pub finished_at: String,
    pub oom_killed: bool,
    /// The networks that it is to be in, by name.
    pub networks: Arc<Map<EndpointSettings>>,
    /// What `update` made of the host configuration since this engine started.
    pub updated: Option<Arc<HostConfig>>,
    /// Why the last start or run failed, for people.
    pub error: String,
    /// What its health check has found, where it has one; see `Engine::health`.
    pub health: Option<Health>,
    /// From launch until the shim has closed its watch.
    pub shim: Option<Arc<Shim>>,
    /// Its end is not the end of a container with `--rm`.
    pub is_restarting: bool,
    /// How many runs have ended since the engine started: what `next-exit` compares.
    pub ends: u64,
    /// How the last of them did; unlike `exit_code` it outlives the next start.
    pub last_code: i64,
    /// How often the container has come to a halt, with no restart to follow.
    pub halts: u64,
    /// How often its policy has restarted it since the user started it.
    pub restarts: u32,
    /// The user has sent a signal since (Docker's HasBeenManuallyStopped).
    pub is_stopped: bool,
    /// What its runs that have ended have written.
    pub wear: Wear,
    /// It runs, but its program waits for a device.
    pub is_held: bool,
    /// The user wants it down, so its end is not to be followed by a restart.
    pub is_halting: bool,
    /// Clients that attached before the start.
    pub pending: Vec<Pending>,
    pub execs: Vec<Exec>,
    waiters: Vec<Arc<Bell>>,
}

/// A client that attached to a container that does not run yet.
pub struct Pending {
    pub attach: Attach,
    pub client: OwnedFd,
}

/// A command that was asked to run inside.
pub struct Exec {
    pub id: String,
    pub request: exec::CreateRequest,
    pub phase: ExecPhase,
    pub pid: i32,
}

impl Exec {
    /// One that the shim knows and we do not.
    pub fn running(id: String) -> Exec {
        Exec {
            id,
            request: exec::CreateRequest::default(),
            phase: ExecPhase::Running,
            pid: 0,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExecPhase {
    Created,
    Running,
    Exited(i32),
}

impl Container {
    /// A container from its records: `happened` is what state.json says, if there is one.
    pub fn new(asked: Asked, happened: &Happened) -> Container {
        let never = || time::NEVER.to_string();
        let exited = happened.finished_at.is_some();
        // A shim that is there knows better. Without one it does not run, and is not well.
        let health = asked.config.as_ref().and_then(health::ended);
        let host = asked.host_config.unwrap_or_default();
        let networks = asked.networks.unwrap_or_else(|| wishes::of_mode(&host));
        Container {
            id: asked.id.unwrap_or_default(),
            created: asked.created.unwrap_or_default(),
            image: asked.image.unwrap_or_default(),
            image_id: asked.image_id.unwrap_or_default(),
            path: asked.path.unwrap_or_default(),
            args: asked.args.unwrap_or_default(),
            config: asked.config.unwrap_or_default(),
            host: Arc::new(host),
            inherited: asked.inherited.unwrap_or_default(),
            named: asked.named.unwrap_or_default(),
            is_copied: asked.copied == Some(true),
            member: asked.member,
            busy: Mutex::new(()),
            recording: Mutex::new(()),
            writers: Writers::default(),
            state: Mutex::new(State {
                name: happened.name.clone().or(asked.name).unwrap_or_default(),
                phase: if exited {
                    Phase::Exited
                } else {
                    Phase::Created
                },
                pid: 0,
                exit_code: happened.exit_code.unwrap_or(0),
                started_at: happened.started_at.clone().unwrap_or_else(never),
                finished_at: happened.finished_at.clone().unwrap_or_else(never),
                oom_killed: happened.oom_killed.unwrap_or(false),
                networks: Arc::new(networks),
                updated: None,
                error: happened.error.clone().unwrap_or_default(),
                health: health.filter(|_| happened.started_at.is_some()),
                shim: None,
                is_restarting: false,
                ends: 0,
                last_code: happened.exit_code.unwrap_or(0),
                halts: 0,
                restarts: happened.restarts.unwrap_or(0),
                is_stopped: happened.is_stopped.unwrap_or(false),
                wear: happened.wear.clone().unwrap_or_default(),
                is_held: false,
                is_halting: false,
                pending: Vec::new(),
                execs: Vec::new(),
                waiters: Vec::new(),
            }),
        }
    }

    pub fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// Take the lock of slow work on this container.
    pub fn occupy(&self) -> MutexGuard<'_, ()> {
        lock(&self.busy)
    }

    pub fn name(&self) -> String {
        self.lock().name.clone()
    }

    /// See `Phase::is_up`.
    pub fn is_running(&self) -> bool {
        self.lock().phase.is_up()
    }

    pub fn restart_policy(&self) -> Policy {
        Policy::of(self.current_host().restart_policy.as_ref())
    }

    /// The host configuration as `update` left it.
    pub fn current_host(&self) -> Arc<HostConfig> {
        let state = self.lock();
        Arc::clone(state.updated.as_ref().unwrap_or(&self.host))
    }

    /// The networks that it is to be in, by name.
    pub fn networks(&self) -> Arc<Map<EndpointSettings>> {
        Arc::clone(&self.lock().networks)
    }

    /// All mounts that were asked for.
    pub fn wanted(&self) -> Result<Vec<Wanted>> {
        wanted::with_inherited(&self.host, &self.inherited, &self.named)
    }

    /// Whether its files are the image's, or it has them mounted.
    pub fn uses_image(&self, id: &str) -> bool {
        self.image_id == id || self.named.values().any(|named| named == id)
    }

    /// Whether it disappears when it ends: its records need not survive a power cut.
    pub fn is_disposable(&self) -> bool {
        self.host.auto_remove == Some(true)
    }

    pub fn has_terminal(&self) -> bool {
        self.config.tty == Some(true)
    }

    /// Change the state and wake everyone who waits for it to change.
    pub fn update(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.lock();
        change(&mut state);
        for bell in &state.waiters {
            bell.ring();
        }
    }

    /// Listen to changes of the state.
    pub fn listen(&self) -> Result<Listener<'_>> {
        let bell = Arc::new(Bell::new()?);
        self.lock().waiters.push(Arc::clone(&bell));
        Ok(Listener {
            container: self,
            bell,
        })
    }

    /// Wait until `done` of the state holds. False when `timeout` passed or `client` hung up first.
    pub fn wait_until(
        &self,
        done: &dyn Fn(&State) -> bool,
        client: Option<BorrowedFd<'_>>,
        timeout: Option<Duration>,
    ) -> Result<bool> {
        // A time beyond the clock's reach is no limit.
        let end = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let listener = self.listen()?;
        loop {
            listener.bell.clear();
            if done(&self.lock()) {
                return Ok(true);
            }
            let left = end.map(|end| end.saturating_duration_since(Instant::now()));
            if left == Some(Duration::ZERO) {
                return Ok(false);
            }
            let mut fds = vec![(listener.bell.as_fd(), PollFlags::IN)];
            // No flags: only POLLHUP and POLLERR, which poll always tells. A client that merely
            // closed its sending side still wants the answer.
            fds.extend(client.map(|client| (client, PollFlags::empty())));
            let ready = crate::sys::poll::wait(&fds, left)?;
            if ready.get(1).is_some_and(|flags| !flags.is_empty()) {
                return Ok(false);
            }
        }
    }
}

/// A bell that rings whenever the state of a container changes.
pub struct Listener<'a> {
    container: &'a Container,
    pub bell: Arc<Bell>,
}

impl Drop for Listener<'_> {
    fn drop(&mut self) {
        let mut state = self.container.lock();
        state
            .waiters
            .retain(|other| !Arc::ptr_eq(other, &self.bell));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn container() -> Container {
        Container::new(Asked::default(), &Happened::default())
    }

    #[test]
    fn a_waiter_sees_the_change_that_another_thread_makes() {
        let container = Arc::new(container());
        let other = Arc::clone(&container);
        let thread = std::thread::spawn(move || {
            other.wait_until(&|state| state.phase == Phase::Exited, None, None)
        });
        container.update(|state| state.phase = Phase::Running);
        container.update(|state| state.phase = Phase::Exited);
        assert!(thread.join().unwrap().unwrap());
        assert!(container.lock().waiters.is_empty());
    }

    #[test]
    fn a_waiter_gives_up_after_its_time_or_when_its_client_hangs_up() {
        let container = container();
        let never = |_: &State| false;
        let timeout = Some(Duration::from_millis(5));
        assert!(!container.wait_until(&never, None, timeout).unwrap());
        let (ours, theirs) = crate::sys::socket::pair().unwrap();
        drop(theirs);
        assert!(
            !container
                .wait_until(&never, Some(ours.as_fd()), None)
                .unwrap()
        );
    }

    #[test]
    fn a_container_with_an_end_in_its_record_has_exited() {
        let happened = Happened {
            finished_at: Some("2026-01-01T00:00:00Z".into()),
            exit_code: Some(3),
            ..Happened::default()
        };
        let container = Container::new(Asked::default(), &happened);
        assert_eq!(container.lock().phase, Phase::Exited);
        assert_eq!(container.lock().exit_code, 3);
    }
}
