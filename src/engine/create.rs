//! create: a request becomes a container on disk.

use crate::engine::container::Container;
use crate::engine::record::{self, Asked, Happened};
use crate::engine::spec::wanted;
use crate::engine::{Engine, health, host, lock, names, spec, validate};
use crate::error::{Context, Error, Result};
use crate::id;
use crate::json::map::Map;
use crate::oci;
use crate::store::staging::Staging;
use crate::time::Time;
use crate::wire::container::{Config, CreateRequest, CreateResponse};
use std::sync::Arc;

impl Engine {
    pub fn create(&self, name: Option<&str>, request: CreateRequest) -> Result<CreateResponse> {
        let name = name
            .filter(|name| !name.is_empty())
            .map(names::check)
            .transpose()?;
        let CreateRequest {
            config,
            placement,
            is_step,
            member,
            volumes,
        } = request;
        let image_name = config.image.clone().unwrap_or_default();
        if image_name.is_empty() {
            return Err(Error::invalid(
                "no image specified: name one to create a container from",
            ));
        }
        let image = self.images.find(&image_name)?;
        // A step of a build runs on what the build has made itself.
        if !is_step {
            self.images.permit(&image_name)?;
        }

        let mut warnings = Vec::new();
        let mut host_config = placement.host_config.unwrap_or_default();
        let network_donor = self.resolve_donors(&mut host_config)?;
        validate::check(
            &config,
            &mut host_config,
            &self.options,
            host::controllers(),
            &mut warnings,
        )?;
        self.resolve_links(&mut host_config)?;
        let mode = host_config.network_mode.get_or_insert_default();
        if matches!(mode.as_str(), "" | "default") {
            *mode = self.default_network().to_string();
        }
        let networks = self.wishes(&config, &host_config, placement.networking_config)?;
        let (inherited, named) = self.inherited(&host_config)?;
        host_config.runtime = Some(self.choose_runtime(host_config.runtime.as_deref())?);
        let mut from_image = image.image.config.unwrap_or_default();
        from_image.volumes = from_image.volumes.filter(|_| !is_step);
        let id = id::random()?;
        let mut config = merge(config, &from_image);
        validate::check_config(&config)?;
        let (path, args) = command(&config)?;
        let host_network = host_config.network_mode.as_deref() == Some("host");
        if config.hostname.as_deref().unwrap_or_default().is_empty() {
            config.hostname = Some(match &network_donor {
                Some(donor) => spec::hostname(donor),
                None if host_network => host::name(),
                None => id::short(&id).to_string(),
            });
        }
        host::make_sources(wanted::with_inherited(&host_config, &inherited, &named)?)?;

        let name = match name {
            Some(name) => self.reserve_name(name, &id).map(|()| name.to_string())?,
            None => self.invent_name(&id)?,
        };
        let mut asked = Asked {
            id: Some(id.clone()),
            name: Some(name.clone()),
            created: Some(Time::now().rfc3339()),
            image: Some(image_name),
            image_id: Some(image.id),
            path: Some(path),
            args: Some(args),
            config: Some(config),
            host_config: Some(host_config),
            inherited: Some(inherited).filter(|list| !list.is_empty()),
            named: Some(named),
            copied: self.copying.as_ref().map(|_| true),
            networks: Some(networks),
            member,
        };
        let claim = self.claim_volumes(&mut asked, &volumes).inspect_err(|_| {
            self.release_name(&name, &id);
        })?;
        let container = Arc::new(Container::new(asked.clone(), &Happened::default()));
        if let Err(error) = self.write_new(&container, &asked) {
            // The way out copes with what is there of it.
            self.sweep(&id);
            self.release_name(&name, &id);
            return Err(error.clone()).context(|| format!("create container {name}"));
        }
        lock(&self.registry).containers.push(Arc::clone(&container));
        claim.keep();
        self.tell(&container, "create", &[]);
        Ok(CreateResponse {
            id: Some(id),
            warnings: Some(warnings),
        })
    }

    /// The container's directory, made whole before it gets its name, and what its volumes get of the
    /// image.
    fn write_new(&self, container: &Container, asked: &Asked) -> Result<()> {
        let durable = !container.is_disposable();
        let parent = self.containers_dir();
        let new = Staging::new(&parent)?;
        let (id, image_id) = (&container.id, &container.image_id);
        let bytes = self.layer_bytes_max(container.host.storage_opt.as_ref())?;
        self.make_files(new.path(), image_id, bytes, durable)?;
        self.fill_volumes(container, new.path())?;
        record::write_asked(new.path(), asked, durable)?;
        new.keep(&parent.join(id))?;
        if durable {
            crate::sys::fs::sync_dir(&parent)?;
        }
        Ok(())
    }
}

/// What the request leaves open comes from the image (moby, runconfig: Merge).
fn merge(mut config: Config, image: &oci::image::Config) -> Config {
    let text = |ours: &mut Option<String>, theirs: &Option<String>| {
        if ours.as_deref().unwrap_or_default().is_empty() {
            ours.clone_from(theirs);
        }
    };
    text(&mut config.user, &image.user);
    text(&mut config.working_dir, &image.working_dir);
    text(&mut config.stop_signal, &image.stop_signal);
    if let Some(volumes) = &image.volumes {
        config
            .volumes
            .get_or_insert_default()
            .extend(volumes.clone());
    }
    config.volumes = config.volumes.filter(|map| !map.is_empty());
    if config.shell.as_ref().is_none_or(Vec::is_empty) {
        config.shell.clone_from(&image.shell);
    }
    if let Some(image) = &image.healthcheck {
        health::inherit(config.healthcheck.get_or_insert_default(), image);
    }

    // The image's arguments belong to the image's entrypoint. An entrypoint of one empty string
    // takes the image's away.
    let is_empty = |list: &Option<Vec<String>>| list.as_ref().is_none_or(Vec::is_empty);
    if is_empty(&config.entrypoint) {
        if is_empty(&config.cmd) {
            config.cmd.clone_from(&image.cmd);
        }
        if config.entrypoint.is_none() {
            config.entrypoint.clone_from(&image.entrypoint);
        }
    } else if config.entrypoint.as_deref() == Some(&[String::new()]) {
        config.entrypoint = None;
    }

    let name = |entry: &str| entry.split('=').next().unwrap_or_default().to_string();
    let env = config.env.get_or_insert_default();
    for entry in image.env.iter().flatten() {
        if !env.iter().any(|ours| name(ours) == name(entry)) {
            env.push(entry.clone());
        }
    }
    if let Some(labels) = &image.labels {
        let mut all: Map<String> = labels.clone();
        all.extend(config.labels.take().unwrap_or_default());
        config.labels = Some(all);
    }
    if let Some(ports) = &image.exposed_ports {
        let all = config.exposed_ports.get_or_insert_default();
        all.extend(ports.clone());
    }
    config
}

/// The program and its arguments.
fn command(config: &Config) -> Result<(String, Vec<String>)> {
    let entrypoint = config.entrypoint.iter().flatten();
    let mut words = entrypoint.chain(config.cmd.iter().flatten()).cloned();
    match words.next() {
        Some(path) if !path.is_empty() => Ok((path, words.collect())),
        _ => Err(Error::invalid("no command specified")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(list: &[&str]) -> Option<Vec<String>> {
        Some(list.iter().map(|word| (*word).to_string()).collect())
    }

    fn image() -> oci::image::Config {
        oci::image::Config {
            entrypoint: words(&["/entry"]),
            cmd: words(&["default"]),
            env: words(&["PATH=/bin", "A=image"]),
            user: Some("app".into()),
            ..Default::default()
        }
    }

    fn merged(entrypoint: Option<Vec<String>>, cmd: Option<Vec<String>>) -> Vec<String> {
        let config = Config {
            entrypoint,
            cmd,
            ..Config::default()
        };
        let (path, args) = command(&merge(config, &image())).unwrap();
        [vec![path], args].concat()
    }

    #[test]
    fn the_images_arguments_belong_to_the_images_entrypoint() {
        assert_eq!(merged(None, None), ["/entry", "default"]);
        assert_eq!(merged(None, words(&["x"])), ["/entry", "x"]);
        assert_eq!(merged(words(&["/own"]), None), ["/own"]);
        assert_eq!(merged(words(&["/own"]), words(&["x"])), ["/own", "x"]);
        assert_eq!(merged(words(&[""]), words(&["x"])), ["x"]);
    }

    #[test]
    fn nothing_to_run_is_dockers_error() {
        let error = command(&Config::default()).unwrap_err();
        assert_eq!(error.message, "no command specified");
    }

    #[test]
    fn the_requests_variables_stand_before_the_images() {
        let config = Config {
            env: words(&["A=mine"]),
            ..Config::default()
        };
        let config = merge(config, &image());
        assert_eq!(config.env, words(&["A=mine", "PATH=/bin"]));
        assert_eq!(config.user.as_deref(), Some("app"));
    }
}
