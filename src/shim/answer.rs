//! What a shim does for each verb of `message`.

use crate::cgroup::Group;
use crate::error::{Error, Result};
use crate::oci::spec::Resources;
use crate::runtime::create::Io;
use crate::shim::attached::Attached;
use crate::shim::budget::Budget;
use crate::shim::helper::{self, Made};
use crate::shim::log::writer;
use crate::shim::message::{Attach, Reply, Request};
use crate::shim::policy::Policy;
use crate::shim::remedy::Action;
use crate::shim::serve::Supervisor;
use crate::shim::task::{Streams, Task};
use crate::shim::wear::Wear;
use crate::sys::signal::SIGKILL;
use crate::sys::stream;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

impl Supervisor {
    pub fn answer(&mut self, request: Request, mut fds: Vec<OwnedFd>) -> Result<Reply> {
        match request.verb.as_deref().unwrap_or_default() {
            "start" => self.start(),
            "attach" => self.attach(&request.attach.unwrap_or_default(), fds.pop()),
            "kill" => self.signal(&request),
            "exec" => self.exec(request, fds.pop()),
            "exec_state" => self.exec_state(&request.id.unwrap_or_default()),
            "resize" => self.resize(&request),
            "update" => self.update(request.resources.unwrap_or_default()),
            "health" => Ok(Reply {
                health: self.health.as_ref().map(|health| health.found(true)),
                ..Default::default()
            }),
            "set_restart_policy" => {
                self.restarts.policy = Policy::of(request.restart.as_ref());
                self.remedy.action = Action::of(request.health_on_failure.as_deref())?;
                Ok(Default::default())
            }
            "network" => {
                self.network.refresh(&self.run_dir)?;
                Ok(Default::default())
            }
            "budget" => Ok(Reply {
                budget: self.budget.as_ref().map(Budget::shown),
                ..Default::default()
            }),
            "set_budget" => self.set_budget(&request.budget.unwrap_or_default()),
            "wear" => Ok(Reply {
                wear: Some(self.wear_so_far()),
                ..Default::default()
            }),
            "persist_log" => {
                let log = self.log.as_mut().ok_or_else(writer::not_in_memory)?;
                log.persist()?;
                Ok(Default::default())
            }
            "pause" => self.freeze(true),
            "unpause" => self.freeze(false),
            "state" | "watch" => Ok(self.state()),
            verb => Err(Error::unsupported(format!("a shim does not know {verb:?}"))),
        }
    }

    fn start(&mut self) -> Result<Reply> {
        self.first()?;
        if self.run.started.is_some() || self.run.is_held || self.run.failure.is_some() {
            return Err(Error::conflict("the container is already started"));
        }
        self.start_or_hold()?;
        Ok(self.state())
    }

    /// Who comes before the start is where the output goes, and so is who types. Others look on.
    fn attach(&mut self, attach: &Attach, client: Option<OwnedFd>) -> Result<Reply> {
        let client = client.ok_or_else(|| Error::invalid("attach needs a descriptor"))?;
        self.first()?;
        let is_typing = attach.stdin.unwrap_or(false) && self.config.open_stdin.unwrap_or(false);
        let is_onlooker = self.run.started.is_some() && !is_typing;
        let dir = self.backlog_dir();
        let task = &mut self.tasks[0];
        let is_terminal = task.is_terminal;
        let (mut client, input) = Attached::new(client, attach, is_terminal, is_onlooker, &dir)?;
        if let (Some(log), Some(mark)) = (&mut self.log, attach.mark()) {
            log.replay(mark, |stream, bytes| client.give(stream, bytes))?;
        }
        task.attach(client, input);
        Ok(Default::default())
    }

    fn signal(&mut self, request: &Request) -> Result<Reply> {
        if self.waiting.is_none() {
            self.first()?;
        }
        let signal = request.signal;
        let signal = signal.ok_or_else(|| Error::invalid("kill needs a signal"))?;
        self.restarts.is_stopped = true;
        self.restarts.is_cancelled |= request.is_stop.unwrap_or(false);
        if let Some(budget) = &mut self.budget
            && (request.is_stop.unwrap_or(false) || signal == SIGKILL)
        {
            budget.let_go(self.run.group.as_ref());
        }
        self.kill(signal)?;
        // Frozen, it would never know.
        if request.is_stop.unwrap_or(false) && self.is_frozen() {
            self.freeze(false)?;
        }
        Ok(Default::default())
    }

    /// Who watches hears of it, whoever asked.
    fn freeze(&mut self, frozen: bool) -> Result<Reply> {
        self.first()?;
        match frozen {
            true => self.backend.pause()?,
            false => self.backend.resume()?,
        }
        let event = if frozen { "pause" } else { "unpause" };
        self.tell(&Reply {
            event: Some(event.to_string()),
            ..Default::default()
        });
        self.go_on();
        Ok(Default::default())
    }

    fn wear_so_far(&self) -> Wear {
        let running = self.run.started.filter(|_| self.run.finished.is_none());
        let running = running.map_or(Duration::ZERO, |at| at.elapsed());
        let group = self.run.group.as_ref();
        self.wear.so_far(group, running, self.logged())
    }

    pub fn is_frozen(&self) -> bool {
        self.run.group.as_ref().is_some_and(Group::is_frozen)
    }

    fn exec(&mut self, request: Request, client: Option<OwnedFd>) -> Result<Reply> {
        self.first()?;
        if self.run.started.is_none() {
            return Err(Error::conflict(match self.run.is_held {
                true => "the container waits for a device",
                false => "the container is not started",
            }));
        }
        let mut process = request
            .process
            .ok_or_else(|| Error::invalid("exec needs a process"))?;
        process.oom_score_adj = process.oom_score_adj.or(self.oom_score_adj);
        let is_terminal = process.terminal.unwrap_or(false);
        let attach = request.attach.unwrap_or_default();
        let with_input = client.is_some() && attach.stdin.unwrap_or(false);

        // The client is looked at first: nothing can fail once the process runs.
        let client = client
            .map(|client| Attached::new(client, &attach, is_terminal, false, &self.backlog_dir()))
            .transpose()?;
        let (io, pipes) = match is_terminal {
            true => (Io::Inherit, Streams::default()),
            false => Streams::pipes(with_input, client.is_some())?,
        };
        let backend = &self.backend;
        let execed = match helper::make(None, || backend.exec(&process, io).map(Made::from)) {
            Ok(execed) => execed,
            Err(error) => {
                // The engine tells its client why.
                if let Some((client, _)) = client {
                    client.hand_back();
                }
                return Err(error);
            }
        };
        let streams = match execed.console {
            Some(master) => Streams::console(master, with_input)?,
            None => pipes,
        };
        let id = request.id.unwrap_or_default();
        let mut task = Task::new(id, execed.pid, execed.pidfd, streams);
        task.is_terminal = is_terminal;
        task.is_stdin_once = true;
        if let Some((client, input)) = client {
            task.attach(client, input);
        }
        self.tasks.push(task);
        Ok(Reply {
            pid: Some(execed.pid),
            ..Default::default()
        })
    }

    fn update(&self, limits: Resources) -> Result<Reply> {
        self.first()?;
        self.backend.update(limits)?;
        Ok(Default::default())
    }

    /// On the disk of the log; the run directory is memory in most places.
    fn backlog_dir(&self) -> PathBuf {
        let log = self.config.log.as_deref().map(Path::new);
        let dir = log.and_then(Path::parent);
        dir.unwrap_or(&self.run_dir).to_path_buf()
    }

    fn exec_state(&self, id: &str) -> Result<Reply> {
        if let Some(task) = self.exec_task(id) {
            return Ok(Reply {
                running: Some(true),
                pid: Some(task.pid),
                ..Default::default()
            });
        }
        let (_, code) = self
            .ended
            .iter()
            .rev()
            .find(|(ended, _)| ended == id)
            .ok_or_else(|| Error::not_found(format!("No such exec instance: {id}")))?;
        Ok(Reply {
            running: Some(false),
            exit_code: Some(*code),
            ..Default::default()
        })
    }

    fn exec_task(&self, id: &str) -> Option<&Task> {
        self.tasks.iter().skip(1).find(|task| task.id == id)
    }

    fn resize(&self, request: &Request) -> Result<Reply> {
        let task = match &request.id {
            Some(id) => self
                .exec_task(id)
                .ok_or_else(|| Error::not_found(format!("No such exec instance: {id}")))?,
            None => self.first()?,
        };
        // As with Docker, a process without a terminal has nothing to resize, and that is no error.
        if let Some(terminal) = task.streams.terminal().filter(|_| task.is_terminal) {
            let (height, width) = (request.height.unwrap_or(0), request.width.unwrap_or(0));
            stream::set_size(terminal, height, width)?;
        }
        Ok(Default::default())
    }

    /// The user's commands that run inside.
    fn execs(&self) -> Vec<String> {
        let execs = self.tasks.iter().skip(1);
        let execs = execs.filter(|task| task.check.is_none() && task.code.is_none());
        execs.map(|task| task.id.clone()).collect()
    }

    pub fn state(&self) -> Reply {
        let task = self.tasks.first();
        let is_alive = task.is_some_and(|task| task.code.is_none());
        Reply {
            running: Some((self.run.started.is_some() || self.run.is_held) && is_alive),
            is_held: Some(self.run.is_held),
            pid: task.map(|task| task.pid),
            started_at: self.started_at.clone(),
            execs: Some(self.execs()),
            exit: self.last.clone(),
            restarts: Some(self.restarts.count),
            is_paused: Some(self.is_frozen()),
            is_waiting: Some(self.waiting.is_some()),
            is_stopped: Some(self.restarts.is_stopped),
            health: self.health.as_ref().map(|health| health.found(true)),
            ..Default::default()
        }
    }
}
