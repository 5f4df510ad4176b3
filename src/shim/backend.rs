//! The OCI runtime behind a shim: the one place from which a shim, or an engine that clears up
//! after one, makes, starts and deletes a container.

use crate::error::{Error, Result};
use crate::oci::spec::{Process, Spec};
use crate::runtime::create::{self, Created, Io};
use crate::runtime::exec::{self, Execed};
use crate::runtime::{delete, start};
use crate::shim::config::Config;
use std::path::{Path, PathBuf};

pub struct Backend {
    /// Where the runtime keeps its states.
    root: PathBuf,
    id: String,
    bundle: PathBuf,
}

impl Backend {
    /// What runs the container of `run_dir`, whose `shim.json` is `config`.
    pub fn of(run_dir: &Path, config: &Config) -> Result<Backend> {
        if config.runtime_path.is_some() {
            return Err(Error::unsupported(
                "runtimes other than tug are not supported yet",
            ));
        }
        Ok(Backend {
            root: config.runtime_root()?.to_path_buf(),
            id: config.id()?.to_string(),
            bundle: run_dir.join("bundle"),
        })
    }

    /// Make the container up to the point where only its program is missing.
    pub fn create(&self, spec: &Spec, io: Io) -> Result<Created> {
        create::create(create::Request {
            root: &self.root,
            id: &self.id,
            bundle: &self.bundle,
            spec,
            io,
            options: create::Options::default(),
        })
    }

    /// Answers when the program has been executed, or with why it has not.
    pub fn start(&self) -> Result<()> {
        start::start(&self.root, &self.id)
    }

    /// One more process in the container, a child of ours.
    pub fn exec(&self, process: &Process, io: Io) -> Result<Execed> {
        exec::exec(exec::Request {
            root: &self.root,
            id: &self.id,
            process,
            io,
            preserved: 0,
            ignore_paused: false,
            cgroup: None,
        })
    }

    /// Kill and remove what there is of it; nothing is a success.
    pub fn delete(&self) -> Result<()> {
        delete::delete(&self.root, &self.id, true)
    }
}
