//! The ends: of an exec, and of the container.

use crate::error::Kind;
use crate::log;
use crate::shim::attached::Attached;
use crate::shim::exit::{self, Exit};
use crate::shim::message::Reply;
use crate::shim::serve::{Supervisor, WHO, remove_socket};
use crate::sys::{process, signal, supervisor};
use crate::time::Time;

/// Ended execs whose codes are kept.
const ENDED_MAX: usize = 256;

impl Supervisor {
    /// Tell of an exec's end first, and end its streams then: whoever sees the end may ask for the
    /// code.
    pub fn end_exec(&mut self, index: usize) {
        let mut task = self.tasks.remove(index);
        let code = task.code.unwrap_or(255);
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

    /// The container has ended and its output is read. What is told to anyone is on disk before; and
    /// after the telling nothing of the run directory is touched, for it may be the next run's.
    pub fn finish(&mut self) {
        self.tell_oom();
        let exit = self.exit();
        if let Err(error) = exit::write(&self.run_dir, &exit) {
            log::line(WHO, error);
        }
        if let Err(error) = self.backend.delete() {
            log::line(WHO, error);
        }
        if self.config.upper.is_some()
            && let Err(error) = supervisor::unmount(&self.run_dir.join("bundle/rootfs"))
        {
            log::line(WHO, error);
        }
        self.listener = None;
        remove_socket(&self.run_dir);
        self.tell(&Reply {
            event: Some("exit".to_string()),
            exit: Some(exit),
            ..Default::default()
        });
        self.calls.clear();
        for mut task in self.tasks.drain(..) {
            self.leaving.append(&mut task.clients);
        }
        self.leaving.retain(Attached::has_backlog);
    }

    fn exit(&self) -> Exit {
        let code = self.tasks.first().and_then(|task| task.code).unwrap_or(255);
        let finished_at = self
            .finished_at
            .as_ref()
            .map_or_else(Time::now, |(time, _)| *time);
        Exit {
            // Docker's codes for a program that could not be run.
            code: match self.failure.as_ref().map(|error| error.kind) {
                Some(Kind::ProgramMissing) => 127,
                Some(Kind::CannotInvoke) => 126,
                Some(_) => 128,
                None => code,
            },
            finished_at: finished_at.rfc3339(),
            oom_killed: self.oom_kills > 0,
            error: self
                .failure
                .as_ref()
                .map(|error| error.message.clone())
                .unwrap_or_default(),
        }
    }
}
