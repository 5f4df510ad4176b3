//! A container's two records: `config.json`, what was asked for, written by create and replaced by
//! `update`, which is asking again; `state.json`, what
//! has happened, replaced when a fact changes that someone would miss after a power cut.

use crate::engine::container::{Container, Phase};
use crate::engine::{Engine, lock};
use crate::error::{Context, Error, Result};
use crate::json;
use crate::json::map::Map;
use crate::json::value::json_struct;
use crate::shim::wear::Wear;
use crate::store;
use crate::time::NEVER;
use crate::wire::container::{Config, EndpointSettings, HostConfig, MountRequest};
use crate::wire::set::Membership;
use std::path::Path;

pub const CONFIG: &str = "config.json";
pub const STATE: &str = "state.json";

/// Written when it is connected to a network, or disconnected.
pub const NETWORKS: &str = "networks.json";

json_struct! {
    /// config.json.
    #[derive(Clone, Debug, Default)]
    pub struct Asked {
        pub id: Option<String>,
        /// At creation; `Happened::name` is the newer one.
        pub name: Option<String>,
        pub created: Option<String>,
        pub image: Option<String>,
        pub image_id: Option<String>,
        pub path: Option<String>,
        pub args: Option<Vec<String>>,
        pub config: Option<Config>,
        pub host_config: Option<HostConfig>,
        /// `Container::inherited`.
        pub inherited: Option<Vec<MountRequest>>,
        /// `Container::named`.
        pub named: Option<Map<String>>,
        /// `Container::is_copied`.
        pub copied: Option<bool>,
        /// Where it was to be at first; `NETWORKS` is the newer one.
        pub networks: Option<Map<EndpointSettings>>,
        /// `Container::member`.
        pub member: Option<Membership>,
    }

    /// state.json.
    #[derive(Clone, Debug, Default, PartialEq, Eq)]
    pub struct Happened {
        /// Where it was renamed.
        pub name: Option<String>,
        /// It was up when this was written.
        pub running: Option<bool>,
        pub exit_code: Option<i64>,
        pub started_at: Option<String>,
        pub finished_at: Option<String>,
        pub oom_killed: Option<bool>,
        pub error: Option<String>,
        pub restarts: Option<u32>,
        /// The user has sent it a signal: `unless-stopped` asks for this after a boot.
        pub is_stopped: Option<bool>,
        /// Of all runs that have ended.
        pub wear: Option<Wear>,
    }
}

impl Happened {
    fn of(container: &Container) -> Happened {
        let state = container.lock();
        let time = |time: &String| Some(time.clone()).filter(|time| time != NEVER);
        Happened {
            name: Some(state.name.clone()),
            running: Some(state.phase.is_up()),
            exit_code: Some(state.exit_code),
            started_at: time(&state.started_at),
            finished_at: time(&state.finished_at),
            oom_killed: Some(state.oom_killed),
            error: Some(state.error.clone()).filter(|error| !error.is_empty()),
            restarts: Some(state.restarts),
            is_stopped: Some(state.is_stopped),
            wear: Some(state.wear.clone()).filter(|wear| *wear != Wear::default()),
        }
    }
}

/// Write config.json into `dir`. Only what shall survive a power cut is synced: a container with
/// `--rm` is gone by then in any case.
pub fn write_asked(dir: &Path, asked: &Asked, durable: bool) -> Result<()> {
    let text = json::to_string(asked);
    if durable {
        return store::record::replace(dir, CONFIG, text.as_bytes());
    }
    let path = dir.join(CONFIG);
    crate::sys::fs::write_private(&path, text.as_bytes())
}

pub fn load_asked(dir: &Path) -> Result<Option<Asked>> {
    let Some(bytes) = store::record::load(dir, CONFIG)? else {
        return Ok(None);
    };
    let asked: Asked = json::parse_bytes(&bytes, CONFIG)?;
    if !asked.id.as_deref().is_some_and(crate::id::is_full) {
        return Err(Error::invalid(format!("{CONFIG}: no id")));
    }
    Ok(Some(asked))
}

/// Where the container is to be from now on.
pub fn write_networks(dir: &Path, networks: &Map<EndpointSettings>, durable: bool) -> Result<()> {
    let text = json::to_string(networks);
    match durable {
        true => store::record::replace(dir, NETWORKS, text.as_bytes()),
        false => store::record::replace_unsynced(dir, NETWORKS, text.as_bytes()),
    }
}

pub fn load_networks(dir: &Path) -> Result<Option<Map<EndpointSettings>>> {
    let bytes = store::record::load(dir, NETWORKS)?;
    bytes
        .map(|bytes| json::parse_bytes(&bytes, NETWORKS))
        .transpose()
}

pub fn load_happened(dir: &Path) -> Result<Happened> {
    match store::record::load(dir, STATE)? {
        Some(bytes) => json::parse_bytes(&bytes, STATE),
        None => Ok(<Happened as Default>::default()),
    }
}

impl Engine {
    /// Replace state.json, durably. A container with `--rm` has none: if the power fails it
    /// is gone, and while it lasts its shim knows.
    pub(super) fn persist(&self, container: &Container) {
        // What happened has happened; a full disk does not undo it.
        if let Err(error) = self.try_persist(container) {
            self.note(error);
        }
    }

    pub(super) fn try_persist(&self, container: &Container) -> Result<()> {
        if container.is_disposable() {
            return Ok(());
        }
        let _recording = lock(&container.recording);
        // Whoever removes it may have been quicker than the news of its end.
        if matches!(container.lock().phase, Phase::Removing | Phase::Removed) {
            return Ok(());
        }
        let text = json::to_string(&Happened::of(container));
        let dir = self.data_dir(&container.id);
        store::record::replace(&dir, STATE, text.as_bytes())
            .context(|| format!("container {}", container.id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_on_disk_is_the_state_that_comes_back() {
        let happened = Happened {
            name: Some("web".into()),
            running: Some(false),
            exit_code: Some(137),
            started_at: Some("2026-01-02T03:04:05Z".into()),
            finished_at: Some("2026-01-02T03:04:06Z".into()),
            oom_killed: Some(true),
            error: None,
            restarts: Some(2),
            is_stopped: Some(true),
            wear: Some(Wear {
                written: Some(3),
                ..Wear::default()
            }),
        };
        let container = Container::new(<Asked as Default>::default(), &happened);
        assert_eq!(Happened::of(&container), happened);
    }
}
