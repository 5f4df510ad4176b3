//! `shim.json`: what a shim has to know beside the bundle. Written by the engine, read once.

use crate::error::{Context, Error, Result};
use crate::json;
use crate::json::map::Map;
use crate::json::value::json_struct;
use crate::oci::image::HealthConfig;
use crate::shim::parts::Part;
use crate::sys::fs;
use crate::wire::container::RestartPolicy;
use std::path::Path;

pub const FILE: &str = "shim.json";

/// Where another container's /dev/shm is mounted, below the run directory.
pub const SHM: &str = "shm";

json_struct! {
    #[derive(Clone, Debug, Default)]
    pub struct Config {
        /// The container's id.
        pub id: Option<String>,
        /// Docker's LogConfig: the driver and its options.
        pub log_driver: Option<String>,
        pub log_options: Option<Map<String>>,
        /// The file for records, absolute.
        pub log: Option<String>,
        /// What a receiver is told: the option `tag`, worked out, names, and the labels and variables
        /// that were asked for. The latter stand in json-file's records too.
        pub log_tag: Option<String>,
        pub log_name: Option<String>,
        pub log_image: Option<String>,
        pub log_attrs: Option<Map<String>>,
        /// Directories of the image's layers, absolute, top first.
        pub layers: Option<Vec<String>>,
        /// Whose disk (`store::limit`) is to be attached first.
        pub disk_of: Option<String>,
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
        /// The process whose /dev/shm this container shares.
        pub shm_of: Option<i32>,
        /// Where volumes are, and those of them that the container has.
        pub volumes_dir: Option<String>,
        pub volumes: Option<Vec<String>>,
        /// To be mounted before the container is made.
        pub parts: Option<Vec<Part>>,
        /// Docker's StdinOnce: the container's stdin closes when the first client's does.
        pub stdin_once: Option<bool>,
        pub restart: Option<RestartPolicy>,
        /// As the user writes it; and where it is noted how much of it is used.
        pub write_budget: Option<String>,
        pub budget_file: Option<String>,
        /// When to run the check of `health.json`, if there is one.
        pub health: Option<HealthConfig>,
        /// What to do when it turns unhealthy (`remedy`), and how it is stopped.
        pub health_on_failure: Option<String>,
        pub stop_signal: Option<i32>,
        pub stop_timeout: Option<i64>,
        /// The board's watchdog wants to know how it is (`critical`).
        pub critical: Option<bool>,
        /// How the container is called, where that is to be told.
        pub name: Option<String>,
        pub data_root: Option<String>,
        /// How often it was restarted already.
        pub restarts: Option<u32>,
        /// The shim before this one was lost: wait so long, then make and start the container.
        pub delay_ms: Option<u64>,
    }
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
