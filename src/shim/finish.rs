//! The ends: of an exec, and of the container.

use crate::error::Kind;
use crate::log;
use crate::shim::exit::{self, Exit};
use crate::shim::log::writer::Writer;
use crate::shim::message::Reply;
use crate::shim::ports::Ports;
use crate::shim::serve::{Supervisor, WHO, remove_socket};
use crate::store::limit;
use crate::sys::{process, signal, supervisor};
use crate::time::Time;
use std::path::Path;
use std::time::{Duration, Instant};

/// Ended execs whose codes are kept.
const ENDED_MAX: usize = 256;

impl Supervisor {
    /// Tell of an exec's end first, and end its streams then: whoever sees the end may ask for the
    /// code.
    pub fn end_exec(&mut self, index: usize) {
        let mut task = self.tasks.remove(index);
        let code = task.code.unwrap_or(255);
        if let Some(check) = task.check.take() {
            return self.end_check(check, code.into());
        }
        if self.ended.len() >= ENDED_MAX {
            self.ended.remove(0);
        }
        self.ended.push((task.id.clone(), code));
        self.tell(&Reply {
            event: Some("execexit".to_string()),
            id: Some(std::mem::take(&mut task.id)),
            exit_code: Some(code),
            ..Default::default()
        });
        self.leaving.append(&mut task.clients);
    }

    /// With a pid namespace the kernel has ended all processes with the first. An exec in the
    /// host's is ended here.
    pub fn end_stragglers(&mut self) {
        for task in self.tasks.iter().skip(1).filter(|task| task.code.is_none()) {
            let _ = process::signal(&task.pidfd, signal::SIGKILL);
        }
    }

    /// A run has ended and its output is read. Either it is the last, or there will be another.
    pub fn finish(&mut self) {
        self.tell_oom();
        self.tell_last_health();
        self.remedy.end();
        if let Some(hotplug) = &mut self.hotplug {
            hotplug.end();
        }
        let mut exit = self.exit();
        let (_, finished) = self.run.finished.unwrap_or((Time::now(), Instant::now()));
        let started = self.run.started.unwrap_or(finished);
        let delay = match self.run.failure {
            Some(_) => None,
            None => {
                if let Some(budget) = &mut self.budget {
                    budget.end(self.run.group.as_ref());
                }
                let ran = finished.saturating_duration_since(started);
                self.restarts.after(exit.code.into(), ran)
            }
        };
        exit.will_restart = Some(delay.is_some());
        exit.restarts = Some(self.restarts.count);
        if let Some(log) = &mut self.log {
            let is_wanted = self.restarts.is_stopped || self.restarts.is_cancelled;
            log.run_ended(exit.code != 0 && !is_wanted, delay.is_none());
        }
        let ran = finished.saturating_duration_since(started);
        self.wear.run_ended(self.run.group.as_ref(), ran);
        exit.wear = Some(self.wear.so_far(None, Duration::ZERO, self.logged()));
        self.keep(&exit);
        if let Err(error) = self.backend.delete() {
            log::line(WHO, error);
        }
        self.network.give_up();
        match delay {
            Some(delay) => self.rest(exit, delay),
            None => self.leave(exit),
        }
    }

    /// What was found is shown of an ended container too.
    fn tell_last_health(&mut self) {
        let Some(health) = &mut self.health else {
            return;
        };
        health.end();
        let found = health.found(true);
        self.tell(&Reply {
            event: Some("health".to_string()),
            health: Some(found),
            ..Default::default()
        });
    }

    /// The user does not want the restart that we wait for.
    pub fn call_off(&mut self) {
        self.waiting = None;
        if let Some(log) = &mut self.log {
            log.run_ended(false, true);
        }
        let exit = Exit {
            will_restart: Some(false),
            is_stopped: Some(self.restarts.is_stopped),
            ..self.last.take().unwrap_or_default()
        };
        self.keep(&exit);
        self.leave(exit);
    }

    /// What is told to anyone is on disk before.
    fn keep(&self, exit: &Exit) {
        if let Err(error) = exit::write(&self.run_dir, exit) {
            log::line(WHO, error);
        }
    }

    /// Tell the last end. After the telling nothing of the run directory is touched, for it may be
    /// the next shim's.
    fn leave(&mut self, exit: Exit) {
        // A program that its user has ended is not missed; one that was ended for being ill is.
        let is_meant = self.restarts.is_cancelled && !self.remedy.has_given_up;
        self.tell_critical(|critical| critical.ended(is_meant));
        let rootfs = self.config.upper.as_ref();
        let rootfs = rootfs.map(|_| self.run_dir.join("bundle/rootfs"));
        let disk_of = self.config.disk_of.as_ref();
        let disk = disk_of.map(|dir| limit::place(Path::new(dir)));
        for mounted in rootfs.iter().chain(&disk) {
            if let Err(error) = supervisor::unmount(mounted) {
                log::line(WHO, error);
            }
        }
        self.listener = None;
        // Its ports too may be the next one's.
        self.network.withdraw();
        self.network.ports = Ports::default();
        remove_socket(&self.run_dir);
        self.tell(&Reply {
            event: Some("exit".to_string()),
            exit: Some(exit),
            ..Default::default()
        });
        self.calls.clear();
        self.end_clients();
    }

    /// How much of the log is on the disk.
    pub fn logged(&self) -> u64 {
        self.log.as_ref().map_or(0, Writer::written_to_disk)
    }

    fn exit(&self) -> Exit {
        let code = self.tasks.first().and_then(|task| task.code).unwrap_or(255);
        let finished = self.run.finished.as_ref();
        let failure = self.run.failure.as_ref();
        Exit {
            // Docker's codes for a program that could not be run.
            code: match failure.map(|error| error.kind) {
                Some(Kind::ProgramMissing) => 127,
                Some(Kind::CannotInvoke) => 126,
                Some(_) => 128,
                None => code,
            },
            finished_at: finished.map_or_else(Time::now, |(time, _)| *time).rfc3339(),
            oom_killed: self.run.oom_kills > 0,
            error: failure
                .map(|error| error.message.clone())
                .unwrap_or_default(),
            will_restart: None,
            restarts: None,
            is_stopped: Some(self.restarts.is_stopped),
            wear: None,
        }
    }
}
