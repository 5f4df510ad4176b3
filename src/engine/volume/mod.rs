//! Volumes, as far as the engine has a say: what clients ask of them, and which containers have them.
//!
//! `claim` is for a container in the making, `fill` copies what its image has into new volumes, `hold`
//! is for one that runs.

mod claim;
mod fill;
mod hold;
mod prune;

pub use prune::FILTERS as PRUNE_FILTERS;

use crate::engine::Engine;
use crate::engine::container::Container;
use crate::engine::filter::Filters;
use crate::engine::spec::wanted::Kind as MountKind;
use crate::error::{Context, Error, Kind, Result};
use crate::id;
use crate::json;
use crate::json::map::Map;
use crate::json::object::{self, Object};
use crate::volume::{ANONYMOUS, Asked, DRIVER, Volume};
use crate::wire::volume::{self as wire, CreateRequest, UsageData};

pub const FILTERS: &[&str] = &["dangling", "driver", "label", "name"];

impl Engine {
    /// In JSON, as the three below.
    pub fn volume_list(&self, filters: &Filters) -> Result<String> {
        let dangling = filters.boolean("dangling")?;
        let names = filters.patterns("name");
        let used = self.volumes_in_use();
        let mut volumes = self.volumes.list()?;
        volumes.retain(|volume| {
            let is_used = used.iter().any(|(name, _)| *name == volume.name);
            names.allow(&volume.name)
                && filters.allows("driver", |driver| driver == DRIVER)
                && filters.allows_labels(volume.asked.labels.as_ref())
                && dangling.is_none_or(|dangling| dangling != is_used)
        });
        let volumes: Vec<String> = volumes.into_iter().map(|v| shown(v, None)).collect();
        let mut answer = Object::new();
        answer.put("Volumes", &object::list(&volumes));
        Ok(answer.put("Warnings", "null").finish())
    }

    pub fn volume_inspect(&self, name: &str) -> Result<String> {
        Ok(shown(self.volumes.get(name)?, None))
    }

    pub fn volume_create(&self, request: CreateRequest) -> Result<String> {
        let driver = request.driver.unwrap_or_default();
        let name = request.name.unwrap_or_default();
        let asked = Asked {
            labels: request.labels,
            options: request.driver_opts,
            ..Asked::default()
        };
        let (volume, _) = self.make_volume(&name, &driver, asked, true)?;
        Ok(shown(volume, None))
    }

    /// A volume, new or not, and whether it is new. Without a name it is new and gets one.
    fn make_volume(
        &self,
        name: &str,
        driver: &str,
        mut asked: Asked,
        durable: bool,
    ) -> Result<(Volume, bool)> {
        let name = match name {
            "" => {
                let labels = asked.labels.get_or_insert_default();
                labels.insert(ANONYMOUS.to_string(), String::new());
                id::random()?
            }
            name => name.to_string(),
        };
        // One that is there has its driver.
        if !matches!(driver, "" | DRIVER) {
            return Err(Error::not_found(format!(
                "create {name}: error looking up volume plugin {driver}: plugin {driver:?} not found"
            )));
        }
        let (volume, is_new) = self
            .volumes
            .create(&name, asked, durable)
            .context(|| format!("create {name}"))?;
        if is_new {
            self.tell_volume(&name, "create", &[]);
        }
        Ok((volume, is_new))
    }

    pub fn volume_remove(&self, name: &str, force: bool) -> Result<()> {
        let users = || self.volume_users(name);
        match self.volumes.remove(name, &users) {
            Err(error) if force && error.kind == Kind::NotFound => Ok(()),
            Err(error) => Err(error),
            Ok(_) => {
                self.tell_volume(name, "destroy", &[]);
                Ok(())
            }
        }
    }

    /// For disk usage. Those with options but a size are not counted, as in Docker: what they show is
    /// often somewhere else.
    pub(super) fn volumes_used(&self) -> Result<Vec<String>> {
        let used = self.volumes_in_use();
        let volumes = self.volumes.list()?.into_iter();
        let plain = volumes.filter(|volume| volume.options().all(|(name, _)| name == "size"));
        let shown = plain.map(|volume| {
            let users = used.iter().filter(|(name, _)| *name == volume.name);
            let usage = UsageData {
                ref_count: i64::try_from(users.count()).ok(),
                size: i64::try_from(volume.bytes().unwrap_or(0)).ok(),
            };
            shown(volume, Some(usage))
        });
        Ok(shown.collect())
    }

    /// The containers that have it, running or not.
    fn volume_users(&self, name: &str) -> Vec<String> {
        let used = self.volumes_in_use().into_iter();
        used.filter(|(used, _)| used == name)
            .map(|(_, id)| id)
            .collect()
    }

    /// Volumes, and the containers that have them.
    fn volumes_in_use(&self) -> Vec<(String, String)> {
        let mut used = Vec::new();
        for container in self.containers() {
            for name in names(&container) {
                used.push((name, container.id.clone()));
            }
        }
        used
    }
}

/// The volumes that a container has, each once.
pub(super) fn names(container: &Container) -> Vec<String> {
    let mut names = Vec::new();
    for wanted in container.wanted().unwrap_or_default() {
        if wanted.kind == MountKind::Volume && !names.contains(&wanted.source) {
            names.push(wanted.source);
        }
    }
    names
}

/// As the API has it, with all members.
fn shown(volume: Volume, usage: Option<UsageData>) -> String {
    const MEMBERS: &[(&str, &str)] = &[
        ("CreatedAt", "\"\""),
        ("Driver", "\"\""),
        ("Labels", "null"),
        ("Mountpoint", "\"\""),
        ("Name", "\"\""),
        ("Options", "null"),
    ];
    let filled = |map: Option<Map<String>>| map.filter(|map| !map.is_empty());
    let volume = wire::Volume {
        created_at: volume.asked.created,
        driver: Some(DRIVER.to_string()),
        labels: filled(volume.asked.labels),
        mountpoint: Some(volume.data.display().to_string()),
        name: Some(volume.name),
        options: filled(volume.asked.options),
        scope: Some("local".to_string()),
        usage_data: usage,
    };
    object::complete(&json::to_string(&volume), MEMBERS)
}
