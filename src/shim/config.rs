//! `shim.json`: what a shim has to know beside the bundle. Written by the engine, read once.

use crate::error::{Context, Error, Result};
use crate::json;
use crate::sys::fs;
use miniserde::{Deserialize, Serialize};
use std::path::Path;

pub const FILE: &str = "shim.json";

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Config {
    /// The container's id.
    pub id: Option<String>,
    /// Where `log.json` goes, absolute; without it output is not logged.
    pub log: Option<String>,
    /// The size at which the log is rotated, and the number of files kept, the current one included.
    pub log_bytes_max: Option<u64>,
    pub log_files_max: Option<u32>,
    /// Directories of the image's layers, absolute, top first.
    pub layers: Option<Vec<String>>,
    /// The container's own overlay directories. Without `upper` nothing is mounted on `rootfs`.
    pub upper: Option<String>,
    pub work: Option<String>,
    /// The upper directory goes with the run: the disk is spared its syncs.
    pub volatile: Option<bool>,
    /// Where the runtime keeps its state (`tug runtime --root`).
    pub runtime_root: Option<String>,
    /// Another runtime's program, absolute; without it our own is called.
    pub runtime_path: Option<String>,
    /// What stands between the program and its options.
    pub runtime_args: Option<Vec<String>>,
    pub terminal: Option<bool>,
    pub open_stdin: Option<bool>,
    /// Docker's StdinOnce: the container's stdin closes when the first client's does.
    pub stdin_once: Option<bool>,
}

pub fn read(run_dir: &Path) -> Result<Config> {
    let path = run_dir.join(FILE);
    let text = fs::read(&path)?;
    json::parse_bytes(&text, FILE).context(|| format!("read {}", path.display()))
}

impl Config {
    /// The id, which everything else is named after.
    pub fn id(&self) -> Result<&str> {
        self.id
            .as_deref()
            .ok_or_else(|| Error::invalid("shim.json has no id"))
    }

    pub fn runtime_root(&self) -> Result<&Path> {
        self.runtime_root
            .as_deref()
            .map(Path::new)
            .ok_or_else(|| Error::invalid("shim.json has no runtime_root"))
    }
}
