//! The runs of the container, one after the other: made, started, ended, and begun again where its
//! restart policy says so, whether there is an engine or not.
//!
//! ```text
//!   make -> (start) -> ... the program ends ... -> finish -> leave
//!     ^                                              |
//!     +---------------- again <-- wait <-- rest -----+
//! ```

use crate::cgroup::Group;
use crate::error::{Context, Error, Result};
use crate::json;
use crate::log;
use crate::oci::spec::Spec;
use crate::runtime::create::Io;
use crate::shim::attached::Attached;
use crate::shim::backend::Backend;
use crate::shim::critical::Critical;
use crate::shim::exit::Exit;
use crate::shim::helper::{self, Made};
use crate::shim::hotplug::Hotplug;
use crate::shim::message::Reply;
use crate::shim::network::Network;
use crate::shim::serve::{Supervisor, WHO};
use crate::shim::task::{Streams, Task};
use crate::sys::{fs, process, signal};
use crate::time::Time;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::{Duration, Instant};

/// One run of the container.
#[derive(Default)]
pub struct Run {
    pub group: Option<Group>,
    /// `memory.events`, where there is a memory controller.
    pub oom_events: Option<File>,
    pub oom_kills: u64,
    /// Its program is kept back until there is a device that it needs.
    pub is_held: bool,
    /// Its program runs, or has run.
    pub started: Option<Instant>,
    /// Why the program never ran.
    pub failure: Option<Error>,
    pub finished: Option<(Time, Instant)>,
}

impl Run {
    /// What a health check finds out now tells of the program.
    pub fn may_check(&self) -> bool {
        self.started.is_some()
            && self.finished.is_none()
            && !self.group.as_ref().is_some_and(Group::is_frozen)
    }
}

impl Supervisor {
    /// Make the container up to the point where only its program is missing.
    pub fn make(&mut self) -> Result<()> {
        let is_terminal = self.config.terminal.unwrap_or(false);
        let with_input = self.config.open_stdin.unwrap_or(false);
        let (io, pipes) = match is_terminal {
            true => (Io::Inherit, Streams::default()),
            false => Streams::pipes(with_input, true)?,
        };
        let score = self.oom_score_adj;
        let (run_dir, backend) = (&self.run_dir, &self.backend);
        let network = &mut self.network;
        let made = network.wire().and_then(|()| {
            helper::make(score, || create(run_dir, backend, network, io, score))
                .map_err(|error| pipes.explain(error))
        });
        let made = made.inspect_err(|_| self.network.give_up())?;
        let Made {
            pid,
            pidfd,
            console,
            group,
        } = made;
        let streams = match console {
            Some(master) => Streams::console(master, with_input)?,
            None => pipes,
        };
        let mut task = Task::new(String::new(), pid, pidfd, streams);
        task.is_terminal = is_terminal;
        task.is_stdin_once = self.config.stdin_once.unwrap_or(false);
        let oom_events: Option<OwnedFd> = group.as_ref().and_then(|group| group.watch_oom().ok());
        self.tasks.insert(0, task);
        self.run = Run {
            group,
            oom_events: oom_events.map(File::from),
            ..Run::default()
        };
        if let Some(budget) = &mut self.budget {
            budget.begin(self.run.group.as_ref())?;
        }
        match &mut self.hotplug {
            Some(hotplug) => hotplug.begin(pid, self.run.group.as_ref()),
            None => Ok(()),
        }
    }

    /// Let the program run, now or when the devices that it needs are there.
    pub fn start_or_hold(&mut self) -> Result<()> {
        if self.hotplug.as_ref().is_none_or(Hotplug::is_complete) {
            return self.start_program();
        }
        self.run.is_held = true;
        self.tell_critical(Critical::held);
        self.started_at = Some(Time::now().rfc3339());
        Ok(())
    }

    /// What it was waiting for is there.
    pub fn release(&mut self) {
        self.run.is_held = false;
        match self.start_program() {
            Ok(()) => self.tell(&Reply {
                event: Some("ready".to_string()),
                ..self.state()
            }),
            // The process is reaped, and then the end is told.
            Err(error) => log::line(WHO, &error),
        }
    }

    /// Let the program run.
    fn start_program(&mut self) -> Result<()> {
        self.network.announce();
        match self.backend.start() {
            Ok(()) => {
                let now = Instant::now();
                self.run.started = Some(now);
                self.network.ports.open(true);
                if let Some(health) = &mut self.health {
                    health.begin(now);
                }
                if let Some(critical) = &mut self.critical {
                    critical.started(self.health.as_ref(), now);
                }
                self.started_at = Some(Time::now().rfc3339());
                Ok(())
            }
            Err(error) => {
                // Whatever is left of it; the exit is then told like any other.
                if let Some(task) = self.tasks.first() {
                    let _ = process::signal(&task.pidfd, signal::SIGKILL);
                }
                self.run.failure = Some(error.clone());
                Err(error)
            }
        }
    }

    /// A run has ended and nothing is left of it: wait before the next.
    pub fn rest(&mut self, exit: Exit, delay: Duration) {
        self.tell(&Reply {
            event: Some("exit".to_string()),
            exit: Some(exit.clone()),
            ..Default::default()
        });
        self.end_clients();
        self.tell_critical(Critical::resting);
        self.run = Run::default();
        self.last = Some(exit);
        self.waiting = Some(Instant::now() + delay);
    }

    /// The wait is over. As with Docker, a container that cannot be made or started again stays
    /// down: what is in its way will not go away by itself.
    pub fn again(&mut self) {
        self.waiting = None;
        match self.make() {
            Ok(()) => {}
            Err(error) => {
                log::line(WHO, &error);
                self.run.failure = Some(error);
                return self.finish();
            }
        }
        match self.start_or_hold() {
            Ok(()) => self.tell(&Reply {
                event: Some("start".to_string()),
                ..self.state()
            }),
            // The process is reaped, and then the end is told.
            Err(error) => log::line(WHO, &error),
        }
    }

    /// Their streams are over: they get what they have not taken yet.
    pub fn end_clients(&mut self) {
        for mut task in self.tasks.drain(..) {
            self.leaving.append(&mut task.clients);
        }
        self.leaving.retain(Attached::has_backlog);
    }
}

fn create(
    run_dir: &Path,
    backend: &Backend,
    network: &Network,
    io: Io,
    oom_score_adj: Option<i32>,
) -> Result<Made> {
    let path = run_dir.join("bundle/config.json");
    let text = fs::read(&path)?;
    let mut spec: Spec =
        json::parse_bytes(&text, "config.json").context(|| format!("read {}", path.display()))?;
    network.tell(&mut spec, backend.is_ours());
    backend.create(&spec, io, oom_score_adj).map(Made::from)
}
