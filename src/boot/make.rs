//! An entry of the plan becomes a container that runs.
//!
//! A container that is made of an entry carries a label: a digest of what it was made of. The same
//! entry finds its container again at the next boot; a changed one replaces it. A container without
//! the label that has the entry's name is somebody's (a user's, an update's), and that one counts.

use crate::boot::conditions;
use crate::engine::Engine;
use crate::engine::check::Nobody;
use crate::engine::container::Container;
use crate::engine::pull::Wanted;
use crate::engine::remove::Removal;
use crate::error::{Context, Error, Kind, Result};
use crate::id;
use crate::json;
use crate::plan::{Condition, Entry, Made, Phase, Resolved, Resolver};
use crate::wire::container::{CreateRequest, RestartPolicy};
use sha2::{Digest, Sha256};
use std::sync::Arc;

pub const LABEL: &str = "tug.boot.made-of";

/// What makes it.
pub struct Maker<'a> {
    pub engine: &'a Arc<Engine>,
    pub resolver: &'a Resolver,
}

/// An entry that can be a container.
pub struct Recipe {
    resolved: Resolved,
    /// What goes on the label.
    pub made_of: String,
}

impl Maker<'_> {
    /// Understand the entry, and have its image.
    pub fn prepare(&self, entry: &Entry) -> Result<Recipe> {
        let resolved = (self.resolver.container)(entry)?;
        let image = self.image(entry, &resolved)?;
        let digest = Sha256::new()
            .chain_update(&resolved.body)
            .chain_update(image)
            .chain_update([u8::from(entry.critical)])
            .finalize();
        let made_of = id::hex(digest.get(..16).unwrap_or_default());
        Ok(Recipe { resolved, made_of })
    }

    /// The image's id; pulled where the network is up and the entry does not forbid it. `Kind::Gone`:
    /// it is not.
    fn image(&self, entry: &Entry, resolved: &Resolved) -> Result<String> {
        let images = &self.engine.images;
        let missing = match images.id(&entry.image) {
            Ok(id) if resolved.pull != "always" => return Ok(id),
            found => found,
        };
        let may_pull = resolved.pull != "never" && conditions::holds(&Condition::Network);
        if may_pull {
            let wanted = Wanted {
                image: entry.image.clone(),
                platform: resolved.platform.clone().unwrap_or_default(),
                ..Wanted::default()
            };
            let pulled = self.engine.image_pull(&wanted, &mut Nobody);
            // An image that is there is better than none.
            if missing.is_err() {
                pulled?;
            }
            return images.id(&entry.image);
        }
        match missing {
            // It may come.
            Err(error) if resolved.pull != "never" => Err(Error::new(
                Kind::Gone,
                format!("{error}: waits for the network to pull it"),
            )),
            found => found,
        }
    }

    /// The container of that name.
    pub fn find(&self, name: &str) -> Option<Arc<Container>> {
        // By name alone, and not by the beginning of an id.
        let found = self.engine.find(name).ok();
        found.filter(|container| container.name() == name)
    }

    /// The entry's container, made if need be.
    pub fn container(&self, entry: &Entry, recipe: &Recipe) -> Result<Arc<Container>> {
        if let Some(container) = self.find(&entry.name) {
            match label(&container) {
                // What an update has left is not ours to change: its image may have the name that
                // the entry has, and was not well.
                Some(made_of)
                    if made_of != recipe.made_of && !self.engine.is_in_set(&container.id) =>
                {
                    self.remove(&container)?;
                }
                _ => return Ok(container),
            }
        }
        self.engine
            .create(Some(&entry.name), request(entry, recipe)?)
            .context(|| format!("create {}", entry.name))?;
        let made = self.find(&entry.name);
        made.ok_or_else(|| Error::new(Kind::Gone, format!("{} has gone", entry.name)))
    }

    /// It is up when this returns, or was.
    pub fn start(&self, container: &Arc<Container>) -> Result<()> {
        match self.engine.start(container) {
            Err(error) if error.kind == Kind::NotModified => Ok(()),
            started => started,
        }
    }

    /// Stop and remove; its volumes stay.
    pub fn remove(&self, container: &Arc<Container>) -> Result<()> {
        match self.engine.stop(container, None, None) {
            Err(error) if error.kind != Kind::NotModified => return Err(error),
            _ => {}
        }
        let removal = Removal {
            force: true,
            volumes: false,
        };
        match self.engine.remove(container, removal) {
            // With --rm it has done so itself.
            Err(error) if matches!(error.kind, Kind::NotFound | Kind::Conflict) => Ok(()),
            removed => removed,
        }
    }

    pub fn volume(&self, made: &Made) -> Result<()> {
        let body = (self.resolver.volume)(made)?;
        let request = json::parse(&body, "volume")?;
        self.engine.volume_create(request).map(drop)
    }

    pub fn network(&self, made: &Made) -> Result<()> {
        if self.engine.find_network(&made.name).is_ok() {
            return Ok(());
        }
        let body = (self.resolver.network)(made)?;
        let request = json::parse(&body, "network")?;
        self.engine.network_create(request).map(drop)
    }
}

pub fn label(container: &Container) -> Option<&str> {
    let labels = container.config.labels.as_ref()?;
    labels.get(LABEL).map(String::as_str)
}

/// As `run --detach` asks for it. A service is supervised unless it says otherwise.
fn request(entry: &Entry, recipe: &Recipe) -> Result<CreateRequest> {
    let body = &recipe.resolved.body;
    let mut request = CreateRequest {
        config: json::parse(body, &entry.name)?,
        placement: json::parse(body, &entry.name)?,
        ..CreateRequest::default()
    };
    let config = &mut request.config;
    config.attach_stdin = None;
    config.attach_stdout = None;
    config.attach_stderr = None;
    config.stdin_once = None;
    let labels = config.labels.get_or_insert_default();
    labels.insert(LABEL.to_string(), recipe.made_of.clone());

    if entry.critical {
        let host = request.placement.host_config.get_or_insert_default();
        host.critical = Some(true);
    }

    let says = |option: &str| entry.arguments.iter().any(|word| word.starts_with(option));
    if entry.phase == Phase::Service && !says("--restart=") && !says("--rm=") {
        let host = request.placement.host_config.get_or_insert_default();
        host.restart_policy = Some(RestartPolicy {
            name: Some("always".to_string()),
            maximum_retry_count: None,
        });
    }
    Ok(request)
}
