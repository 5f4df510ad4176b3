//! commit: an image out of what a container has changed.

use crate::engine::container::{Container, Phase};
use crate::engine::{Engine, health};
use crate::error::{Error, Kind, Result};
use crate::image::change;
use crate::image::changes::{self, changes, is_nothing};
use crate::image::extend::Extension;
use crate::image::pack::{Form, Packer};
use crate::image::reference::Reference;
use crate::json::map::Map;
use crate::oci::image;
use crate::wire::container::Config;
use std::io::Read;
use std::os::fd::OwnedFd;

/// What is said with a commit.
pub struct Commit {
    /// The name of the image, with its tag.
    pub reference: Option<String>,
    pub author: String,
    pub comment: String,
    /// Instructions as in a Dockerfile.
    pub changes: Vec<String>,
    pub pause: bool,
    /// What goes before the container's own configuration.
    pub config: Config,
}

impl Engine {
    /// Answers the image's id, `sha256:…`.
    pub fn commit(&self, container: &Container, commit: Commit) -> Result<String> {
        let gone = match container.lock().phase {
            Phase::Dead => Some("Dead"),
            Phase::Removing | Phase::Removed => Some("being removed"),
            _ => None,
        };
        if let Some(gone) = gone {
            return Err(Error::conflict(format!(
                "You cannot commit container {} which is {gone}",
                container.id
            )));
        }
        // What is wrong with the request is said before anything is stopped for it.
        let name = commit.reference.as_deref().map(name).transpose()?;
        let familiar = name.as_ref().map(Reference::familiar).unwrap_or_default();
        let config = config(commit.config, &commit.changes, &container.config)?;
        let mut wear = self.wear_of("commit");
        wear.name(&familiar);

        let _paused = match commit.pause {
            true => Paused::new(self, container),
            false => None,
        };
        let command = container.config.cmd.clone().unwrap_or_default();
        let extension = Extension {
            config,
            author: commit.author,
            comment: commit.comment.clone(),
            created_by: command.join(" "),
            name,
        };
        let id = self.read_changes(container, |layer| {
            self.images.extend(&container.image_id, layer, extension)
        })?;

        if !familiar.is_empty() {
            self.tell_image("tag", &id, &familiar);
        }
        let told = [
            ("comment", &commit.comment[..]),
            ("imageID", &id),
            ("imageRef", &familiar),
        ];
        self.tell(container, "commit", &told);
        Ok(id)
    }
}

impl Engine {
    /// What the container has changed, as the archive of a layer.
    pub fn read_changes<T>(
        &self,
        container: &Container,
        read: impl FnOnce(&mut dyn Read) -> Result<T>,
    ) -> Result<T> {
        let layers = self.layers(container)?;
        let upper = self.upper(container)?;
        // A copy has much that has not changed, and lacks what was removed.
        let changed = match container.is_copied {
            true => Some(changes(&layers.view.root, &upper, true)?),
            false => None,
        };
        let leave_out = |path: &[u8], named: &OwnedFd| match &changed {
            None => is_nothing(&layers.view.root, path, named),
            Some(changed) => Ok(changed.binary_search_by(|(p, _)| p[1..].cmp(path)).is_err()),
        };
        let removed = changed.iter().flatten();
        let removed = removed.filter(|(_, kind)| *kind == changes::Kind::Deleted);
        let mut packer = Packer::new(upper, b"", Form::Layer)?
            .leave_out(&leave_out)
            .hide(removed.map(|(path, _)| &path[1..]));
        read(&mut packer)
    }
}

/// A running container that stands still until this is dropped.
struct Paused<'a> {
    engine: &'a Engine,
    container: &'a Container,
}

impl<'a> Paused<'a> {
    /// None where it does not run or cannot be paused: what is written meanwhile may be in the image
    /// or not.
    fn new(engine: &'a Engine, container: &'a Container) -> Option<Paused<'a>> {
        if container.lock().phase != Phase::Running {
            return None;
        }
        match engine.pause(container) {
            Ok(()) => Some(Paused { engine, container }),
            Err(error) => {
                engine.debug(error);
                None
            }
        }
    }
}

impl Drop for Paused<'_> {
    fn drop(&mut self) {
        match self.engine.unpause(self.container) {
            // Somebody else was quicker, or it has been killed.
            Err(error) if error.kind != Kind::Conflict => self.engine.note(error),
            _ => {}
        }
    }
}

fn name(text: &str) -> Result<Reference> {
    let reference = Reference::parse(text)?;
    if reference.digest.is_some() {
        return Err(Error::invalid(
            "refusing to create a tag with a digest reference",
        ));
    }
    Ok(reference.with_default_tag())
}

/// The new image's configuration: the request's, with the changes, and for the rest the
/// container's (moby, daemon/commit.go).
fn config(given: Config, changes: &[String], container: &Config) -> Result<image::Config> {
    let mut config = image::Config {
        user: given.user,
        exposed_ports: given.exposed_ports,
        env: given.env,
        entrypoint: given.entrypoint,
        cmd: given.cmd,
        volumes: given.volumes,
        working_dir: given.working_dir,
        labels: given.labels,
        stop_signal: given.stop_signal,
        shell: given.shell,
        healthcheck: given.healthcheck,
        on_build: given.on_build,
    };
    for change in changes {
        change::apply(&mut config, change)?;
    }
    merge(&mut config, container);
    Ok(config)
}

fn merge(config: &mut image::Config, container: &Config) {
    let text = |ours: &mut Option<String>, theirs: &Option<String>| {
        if ours.as_deref().unwrap_or_default().is_empty() {
            ours.clone_from(theirs);
        }
    };
    text(&mut config.user, &container.user);
    text(&mut config.working_dir, &container.working_dir);
    text(&mut config.stop_signal, &container.stop_signal);

    let is_empty = |list: &Option<Vec<String>>| list.as_ref().is_none_or(Vec::is_empty);
    if is_empty(&config.entrypoint) {
        if is_empty(&config.cmd) {
            config.cmd.clone_from(&container.cmd);
        }
        if config.entrypoint.is_none() {
            config.entrypoint.clone_from(&container.entrypoint);
        }
    }
    let name = |entry: &str| entry.split('=').next().unwrap_or_default().to_string();
    for entry in container.env.iter().flatten() {
        let env = config.env.get_or_insert_default();
        if !env.iter().any(|ours| name(ours) == name(entry)) {
            env.push(entry.clone());
        }
    }
    add(&mut config.labels, &container.labels);
    add(&mut config.exposed_ports, &container.exposed_ports);
    add(&mut config.volumes, &container.volumes);
    if let Some(health) = &container.healthcheck {
        health::inherit(config.healthcheck.get_or_insert_default(), health);
    }
}

/// What only the container has.
fn add<T: Clone>(ours: &mut Option<Map<T>>, theirs: &Option<Map<T>>) {
    for (key, value) in theirs.iter().flatten() {
        ours.get_or_insert_default().add(key, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(list: &[&str]) -> Option<Vec<String>> {
        Some(list.iter().map(|word| (*word).to_string()).collect())
    }

    #[test]
    fn the_request_comes_before_the_changes_and_both_before_the_container() {
        let container = Config {
            cmd: words(&["sleep", "1"]),
            entrypoint: words(&["/entry"]),
            env: words(&["A=container", "B=container", "C=container"]),
            user: Some("guest".into()),
            working_dir: Some("/srv".into()),
            labels: Some([("l".to_string(), "container".to_string())].into()),
            ..Config::default()
        };
        let given = Config {
            env: words(&["A=given", "B=given"]),
            labels: Some([("l".to_string(), "given".to_string())].into()),
            ..Config::default()
        };
        let changes = ["ENV B=change".to_string(), "USER root".to_string()];
        let config = config(given, &changes, &container).unwrap();
        assert_eq!(config.env, words(&["A=given", "B=change", "C=container"]));
        assert_eq!(config.user.as_deref(), Some("root"));
        assert_eq!(config.working_dir.as_deref(), Some("/srv"));
        assert_eq!(config.labels.unwrap()["l"], "given");
        assert_eq!(
            (config.entrypoint, config.cmd),
            (words(&["/entry"]), words(&["sleep", "1"]))
        );
    }

    #[test]
    fn a_new_entrypoint_does_not_keep_the_old_arguments() {
        let container = Config {
            cmd: words(&["old"]),
            entrypoint: words(&["/old"]),
            ..Config::default()
        };
        let changes = ["ENTRYPOINT [\"/new\"]".to_string()];
        let config = config(Config::default(), &changes, &container).unwrap();
        assert_eq!((config.entrypoint, config.cmd), (words(&["/new"]), None));
    }
}
