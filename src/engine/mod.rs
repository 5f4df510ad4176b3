//! The engine: what should be, and what happened.
//!
//! It owns names and records. The life of a running container is its shim's (see `shim`), so the
//! engine may be killed at any instant: starting it again is recovering (`recover`), from the
//! records below the data root, the run directories below the exec root, and the shims that answer.
//!
//! Locks: `registry` guards the list of containers and their names, and is never held over a wait
//! or a system call that can block. Each container has its own two (see `container`).
//!
//! Knows nothing of HTTP; `api` calls the verbs on `Engine`, each in the file of its name.

pub mod archive;
pub mod attach;
mod boot;
pub mod changes;
pub mod check;
pub mod commit;
pub mod config;
pub mod container;
pub mod create;
pub mod delta;
mod device_match;
pub mod df;
pub mod distribution;
pub mod driver;
pub mod events;
pub mod exec;
pub mod export;
pub mod filter;
pub mod health;
pub mod host;
pub mod image;
pub mod info;
pub mod inspect;
pub mod kill;
mod links;
pub mod list;
mod logging;
pub mod logs;
mod name_files;
pub mod names;
pub mod network;
pub mod pattern;
pub mod pause;
pub mod processes;
pub mod prune;
pub mod pull;
pub mod push;
pub mod record;
mod recover;
pub mod registry;
pub mod reload;
pub mod remove;
pub mod rename;
mod resolv_conf;
pub mod restart_policy;
pub mod runtimes;
pub mod sets;
mod shared;
mod spec;
pub mod start;
mod start_order;
pub mod stats;
pub mod stop;
pub mod update;
pub mod validate;
pub mod view;
pub mod volume;
pub mod wait;
pub mod watch;
pub mod wear;

use crate::engine::config::{Level, Options, Settings};
use crate::engine::container::Container;
use crate::error::{Error, Result};
use crate::image::Images;
use crate::image::policy::Policy;
use crate::image::readonly::{self, ReadOnly};
use crate::json::map::Map;
use crate::volume::Volumes;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The version of the API that we speak, and the oldest that we understand.
pub const API_VERSION: &str = "1.51";
pub const API_VERSION_MIN: &str = "1.24";

pub struct Engine {
    pub options: Options,
    /// Replaced as a whole by a reload.
    settings: Mutex<Arc<Settings>>,
    pub images: Images,
    volumes: Volumes,
    /// Why containers get copies of their image's files, and no overlay: see `driver`.
    copying: Option<String>,
    pub events: events::Log,
    registry: Mutex<Registry>,
    /// Held for moments. Who holds the state of a container does not take it.
    networks: Mutex<network::Networks>,
    /// Held while a network is made or removed, over the disk and the kernel.
    network_changes: Mutex<()>,
    sets: Mutex<sets::Sets>,
    watcher: watch::Queue,
    /// What is to be started after a boot, as long as `holds_starts` holds it.
    held: Mutex<Option<boot::Boot>>,
    wear: wear::Tally,
    /// Containers are being stopped because the engine ends: none is to be started on its own.
    is_leaving: AtomicBool,
}

/// Guarded by `Engine::registry`.
#[derive(Default)]
struct Registry {
    containers: Vec<Arc<Container>>,
    /// Name to id. A name is taken before its container is made, and free after it is gone.
    names: Map<String>,
}

/// A lock whose holder cannot have panicked: panics abort.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Engine {
    /// Open the records, find out what lives, and watch over it.
    pub fn open(options: Options, settings: Settings) -> Result<Arc<Engine>> {
        validate::log::check_default(&options)?;
        let faults = readonly::mount_all(&options.stores, &options.exec_root)?;
        let (volumes, notes) = Volumes::open(&options.data_root)?;
        let stores = ReadOnly::open_all(&options.stores, &options.exec_root, &faults);
        let engine = Arc::new(Engine {
            wear: wear::Tally::open(&options.data_root, &options.exec_root),
            images: Images::open_with(&options.data_root, stores)?
                .with_policy(Policy::new(options.signature_policy.clone())),
            volumes,
            copying: driver::choose(&options)?,
            options,
            settings: Mutex::new(Arc::new(settings)),
            events: events::Log::new(),
            registry: Mutex::new(Registry::default()),
            networks: Mutex::new(network::Networks::default()),
            network_changes: Mutex::new(()),
            sets: Mutex::new(sets::Sets::default()),
            watcher: watch::Queue::new()?,
            held: Mutex::new(None),
            is_leaving: AtomicBool::new(false),
        });
        for note in notes {
            engine.note(note);
        }
        let weak = Arc::downgrade(&engine);
        let ask = move || weak.upgrade().map_or(0, |engine| engine.reclaimable());
        engine.images.ask_for_reclaimable(Box::new(ask));
        if let Some(why) = &engine.copying {
            engine.note(format_args!(
                "storage driver vfs: each container gets a copy of its image's files, which takes time and space: {why}"
            ));
        }
        for warning in info::kernel_warnings() {
            engine.info_line(warning);
        }
        engine.open_networks()?;
        watch::spawn(&engine)?;
        recover::recover(&engine)?;
        engine.resume_networks();
        Ok(engine)
    }

    /// The container that `name` means: a full id, a name, or the beginning of one id.
    pub fn find(&self, name: &str) -> Result<Arc<Container>> {
        let name = name.strip_prefix('/').unwrap_or(name);
        let registry = lock(&self.registry);
        let id = registry.names.get(name).map_or(name, String::as_str);
        if let Some(container) = registry.containers.iter().find(|c| c.id == id) {
            return Ok(Arc::clone(container));
        }
        let mut matches = registry
            .containers
            .iter()
            .filter(|c| !name.is_empty() && c.id.starts_with(name));
        match (matches.next(), matches.next()) {
            (Some(container), None) => Ok(Arc::clone(container)),
            (Some(_), Some(_)) => Err(Error::invalid(format!(
                "multiple IDs found with provided prefix: {name}"
            ))),
            _ => Err(Error::not_found(format!("No such container: {name}"))),
        }
    }

    /// All containers, newest first.
    pub fn containers(&self) -> Vec<Arc<Container>> {
        let mut all = lock(&self.registry).containers.clone();
        all.sort_by(|a, b| b.created.cmp(&a.created));
        all
    }

    /// Records, upper directory and log of a container.
    fn data_dir(&self, id: &str) -> PathBuf {
        self.containers_dir().join(id)
    }

    fn containers_dir(&self) -> PathBuf {
        self.options.data_root.join("containers")
    }

    /// What is true of a container for this boot only.
    fn run_dir(&self, id: &str) -> PathBuf {
        self.options.exec_root.join("containers").join(id)
    }

    /// Where it is noted how much a container has used of its write budget.
    fn budget_file(&self, id: &str) -> PathBuf {
        self.options.exec_root.join("budgets").join(id)
    }

    /// The runtime's state directories.
    fn runtime_root(&self) -> PathBuf {
        self.options.exec_root.join("runtime")
    }

    /// Whether containers have copies of their images' files, where no overlay can be had.
    pub fn is_copying(&self) -> bool {
        self.copying.is_some()
    }

    /// What can change by a reload, as it is now.
    pub fn settings(&self) -> Arc<Settings> {
        Arc::clone(&lock(&self.settings))
    }

    /// What the engine does of its own accord.
    pub fn info_line(&self, message: impl std::fmt::Display) {
        if self.settings().level <= Level::Info {
            self.note(message);
        }
    }

    /// The last thing: what was mounted for us alone goes.
    pub fn close(&self) {
        self.close_wear();
        readonly::unmount_all(&self.options.exec_root);
    }

    fn note(&self, message: impl std::fmt::Display) {
        crate::log::line("tugd", message);
    }

    /// Whether every request is told.
    pub fn is_debug(&self) -> bool {
        self.settings().level == Level::Debug
    }

    fn debug(&self, message: impl std::fmt::Display) {
        if self.is_debug() {
            self.note(message);
        }
    }
}
