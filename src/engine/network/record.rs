//! The networks' records, `networks/<id>.json` below the data root.

use crate::engine::network::{BRIDGE, Network, defaults, id};
use crate::engine::{Engine, lock};
use crate::error::{Error, Result};
use crate::id::is_full;
use crate::json;
use crate::net::plan::{self, Plan};
use crate::store::{record, staging};
use crate::wire::network as wire;
use std::path::{Path, PathBuf};
use std::sync::Arc;

impl Engine {
    fn networks_dir(&self) -> PathBuf {
        self.options.data_root.join("networks")
    }

    /// Read all records. One that cannot be read is set aside.
    pub(in crate::engine) fn open_networks(&self) -> Result<()> {
        let dir = self.networks_dir();
        staging::make_dir(&dir)?;
        let mut all = Vec::new();
        for name in staging::names(&dir)? {
            // Left by a power cut.
            if name.starts_with('.') {
                let _ = std::fs::remove_file(dir.join(&name));
                continue;
            }
            let Some(id) = name.strip_suffix(".json").filter(|id| is_full(id)) else {
                continue;
            };
            match load(&dir, id) {
                Ok(network) => all.push(Arc::new(network)),
                Err(error) => {
                    self.note(format_args!(
                        "network {id}: {error}; set aside as {name}{} in {}",
                        record::ASIDE,
                        dir.display()
                    ));
                    if let Err(error) = record::set_aside(&dir, &name) {
                        self.note(error);
                    }
                }
            }
        }
        let stored = all.iter().position(|network| network.id == id(BRIDGE));
        let stored = stored.map(|at| all.remove(at).record.clone());
        all.sort_by(|a, b| a.record.created.cmp(&b.record.created));
        if self.options.has_bridge() {
            all.insert(0, Arc::new(self.default_bridge(stored, &all)));
        }
        for (name, driver) in [("host", "host"), ("none", "null")] {
            all.push(Arc::new(Network::of(defaults::built_in(name, driver))));
        }
        lock(&self.networks).all = all;
        Ok(())
    }

    /// On the disk when this returns.
    pub(super) fn write_network(&self, network: &wire::Network) -> Result<()> {
        let name = file(network.id.as_deref().unwrap_or_default());
        let text = json::to_string(network);
        record::replace(&self.networks_dir(), &name, text.as_bytes())
    }

    pub(super) fn forget_network(&self, id: &str) -> Result<()> {
        let (dir, name) = (self.networks_dir(), file(id));
        std::fs::remove_file(dir.join(&name))
            .map_err(|e| Error::io(format_args!("remove {name}"), &e))?;
        crate::sys::fs::sync_dir(&dir)
    }

    /// What the engine before this one has written of a container that may be up still.
    pub(in crate::engine) fn recover_plan(&self, id: &str) {
        match read_plan(&self.run_dir(id)) {
            Ok(Some(plan)) if plan.id.as_deref() == Some(id) => {
                lock(&self.networks).set_plan(id, Some(Arc::new(plan)));
            }
            Ok(_) => {}
            Err(error) => self.note(format_args!("container {id}: {error}")),
        }
    }

    pub(in crate::engine) fn write_plan(&self, id: &str, plan: &Plan) -> Result<()> {
        let text = json::to_string(plan);
        record::replace_unsynced(&self.run_dir(id), plan::FILE, text.as_bytes())
    }
}

/// The plan in a run directory.
pub fn read_plan(run_dir: &Path) -> Result<Option<Plan>> {
    let bytes = record::load(run_dir, plan::FILE)?;
    bytes
        .map(|bytes| json::parse_bytes(&bytes, plan::FILE))
        .transpose()
}

fn file(id: &str) -> String {
    format!("{id}.json")
}

fn load(dir: &Path, id: &str) -> Result<Network> {
    let name = file(id);
    let bytes = record::load(dir, &name)?.unwrap_or_default();
    let network = Network::of(json::parse_bytes::<wire::Network>(&bytes, &name)?);
    let configs = network.record.ipam.as_ref().and_then(|i| i.config.as_ref());
    let is_whole = network.id == id
        && !network.name.is_empty()
        && network.pools.len() == configs.map_or(0, Vec::len);
    match is_whole {
        true => Ok(network),
        false => Err(Error::invalid(format!("{name} is another's or not whole"))),
    }
}
