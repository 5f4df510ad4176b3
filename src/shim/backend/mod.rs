//! The OCI runtime behind a shim: ours, which is a function to call, or another's command line.
//!
//! The one place from which a shim, or an engine that clears up after one, makes, starts and
//! deletes a container. Failures come back in the words that Docker has for them.

mod command;
mod translate;

use self::command::Program;
use crate::error::{Error, Kind, Result};
use crate::oci::spec::{Process, Resources, Spec};
use crate::runtime::create::{self, Created, Io};
use crate::runtime::exec::{self, Execed};
use crate::runtime::{delete, kill, start, update};
use crate::shim::config::Config;
use crate::sys::process;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

pub struct Backend {
    /// Where the runtime keeps its states.
    root: PathBuf,
    id: String,
    bundle: PathBuf,
    /// `None`: ours.
    other: Option<Program>,
}

impl Backend {
    /// What runs the container of `run_dir`, whose `shim.json` is `config`.
    pub fn of(run_dir: &Path, config: &Config) -> Result<Backend> {
        let (root, id) = (config.runtime_root()?, config.id()?);
        let other = config.runtime_path.as_ref().map(|path| Program {
            path: PathBuf::from(path),
            args: config.runtime_args.clone().unwrap_or_default(),
            root: root.to_path_buf(),
            id: id.to_string(),
            run_dir: run_dir.to_path_buf(),
        });
        Ok(Backend {
            root: root.to_path_buf(),
            id: id.to_string(),
            bundle: run_dir.join("bundle"),
            other,
        })
    }

    /// A function of ours, and no other program.
    pub fn is_ours(&self) -> bool {
        self.other.is_none()
    }

    /// Make the container up to the point where only its program is missing. `oom_score_adj` is
    /// for processes that do not say.
    pub fn create(&self, spec: &Spec, io: Io, oom_score_adj: Option<i32>) -> Result<Created> {
        if let Some(other) = &self.other {
            let spec = translate::spec(spec, &self.bundle, oom_score_adj)?;
            return other
                .create(&spec, io)
                .map_err(|error| failed(CREATE, error));
        }
        let created = create::create(create::Request {
            root: &self.root,
            id: &self.id,
            bundle: &self.bundle,
            spec,
            io,
            options: create::Options::default(),
        });
        created.map_err(|error| not_run(CREATE, error))
    }

    /// Answers when the program has been executed, or with why it has not.
    pub fn start(&self) -> Result<()> {
        match &self.other {
            Some(other) => other.start().map_err(|error| failed(START, error)),
            // In Docker's eyes a program is missing when its container is created.
            None => start::start(&self.root, &self.id).map_err(|error| not_run(CREATE, error)),
        }
    }

    /// One more process in the container, a child of ours.
    pub fn exec(&self, process: &Process, io: Io) -> Result<Execed> {
        if let Some(other) = &self.other {
            let process = translate::process(process, &self.bundle)?;
            return other
                .exec(&process, io)
                .map_err(|error| failed(EXEC, error));
        }
        let execed = exec::exec(exec::Request {
            root: &self.root,
            id: &self.id,
            process,
            io,
            preserved: 0,
            ignore_paused: false,
            cgroup: None,
        });
        execed.map_err(|error| not_run(EXEC, error))
    }

    /// Other limits for the container while it lives.
    pub fn update(&self, limits: Resources) -> Result<()> {
        match &self.other {
            Some(other) => other.update(&limits),
            None => update::update(&self.root, &self.id, limits),
        }
    }

    /// Signal the first process, which is `pidfd`.
    pub fn kill(&self, pidfd: &OwnedFd, signal: i32) -> Result<()> {
        match &self.other {
            // It may be a virtual machine that passes signals on.
            Some(other) => other.kill(signal),
            None => process::signal(pidfd, signal),
        }
    }

    /// Freeze its processes.
    pub fn pause(&self) -> Result<()> {
        match &self.other {
            Some(other) => other.pause(),
            None => kill::pause(&self.root, &self.id),
        }
    }

    pub fn resume(&self) -> Result<()> {
        match &self.other {
            Some(other) => other.resume(),
            None => kill::resume(&self.root, &self.id),
        }
    }

    /// Kill and remove what there is of it; nothing is a success.
    pub fn delete(&self) -> Result<()> {
        match &self.other {
            Some(other) => other.delete(),
            None => delete::delete(&self.root, &self.id, true),
        }
    }
}

const CREATE: &str = "failed to create task for container: OCI runtime create failed";
const START: &str = "failed to start task for container: OCI runtime start failed";
const EXEC: &str = "OCI runtime exec failed";

/// A runtime's failure, in the frame that clients know.
fn failed(what: &str, mut error: Error) -> Error {
    error.message = format!("{what}: {}", error.message);
    error
}

/// Ours says by the kind that it was the program which could not be run: what else fails needs no
/// frame.
fn not_run(what: &str, error: Error) -> Error {
    if !matches!(error.kind, Kind::ProgramMissing | Kind::CannotInvoke) {
        return error;
    }
    let what = match what {
        EXEC => format!("{EXEC}: exec failed"),
        what => what.to_string(),
    };
    failed(&format!("{what}: unable to start container process"), error)
}
