//! What a container's shim is told about its log: where it goes, and what stands beside the text.

use crate::engine::Engine;
use crate::engine::container::Container;
use crate::error::{Error, Result};
use crate::id;
use crate::json::map::Map;
use crate::shim::config;
use crate::shim::log::options::{self, Given, failed};
use crate::shim::log::ring;
use std::path::PathBuf;

/// What a `tag` may name (moby, daemon/logger/loginfo.go).
#[derive(Default)]
pub struct Told<'a> {
    pub id: &'a str,
    pub name: &'a str,
    pub image_id: &'a str,
    pub image: &'a str,
    pub command: &'a [&'a str],
}

impl Engine {
    /// Fill in what concerns the log.
    pub fn log_config(&self, container: &Container, to: &mut config::Config) -> Result<()> {
        let log = container.host.log_config.clone().unwrap_or_default();
        let (driver, given) = (log.kind.unwrap_or_default(), log.config.unwrap_or_default());
        let name = container.lock().name.clone();
        let mut command = vec![container.path.as_str()];
        command.extend(container.args.iter().map(String::as_str));
        let told = Told {
            id: &container.id,
            name: &name,
            image_id: &container.image_id,
            image: &container.image,
            command: &command,
        };
        let tag = tag(&driver, &given, &told)?;
        let mut attrs = attrs(container, &given);
        if matches!(&*driver, "json-file" | "ring") && !tag.is_empty() {
            attrs.insert("tag".to_string(), tag.clone());
        }
        let path = self.log_file(container);
        to.log = path.map(|path| path.display().to_string());
        to.log_driver = Some(driver);
        to.log_options = Some(given);
        to.log_tag = Some(tag);
        to.log_name = Some(name);
        to.log_image = Some(container.image.clone());
        to.log_attrs = Some(attrs);
        Ok(())
    }

    /// The file that `logs` reads; none, if nothing is kept.
    pub fn log_file(&self, container: &Container) -> Option<PathBuf> {
        let log = container.host.log_config.as_ref()?;
        let driver = log.kind.as_deref()?;
        let given = log.config.clone().unwrap_or_default();
        let name = match driver {
            "json-file" | "ring" => "log.json",
            _ => "log.local",
        };
        options::is_kept(driver, &given).then(|| self.data_dir(&container.id).join(name))
    }

    /// The part of the log that the container's shim has in memory; it goes before the file.
    pub fn log_in_memory(&self, container: &Container) -> Option<PathBuf> {
        let log = container.host.log_config.as_ref()?;
        let is_ring = log.kind.as_deref() == Some("ring");
        let shim = container.lock().shim.clone().filter(|_| is_ring)?;
        ring::seen_from_outside(shim.pid(), &self.run_dir(&container.id))
    }

    /// As `inspect` shows it: Docker names the file of its json-file driver only.
    pub fn log_path(&self, container: &Container) -> Option<String> {
        let log = container.host.log_config.as_ref()?;
        let is_json = log.kind.as_deref() == Some("json-file");
        let path = self.log_file(container);
        let path = path.filter(|_| is_json).unwrap_or_default();
        Some(path.display().to_string())
    }
}

/// The labels and variables that the options name.
fn attrs(container: &Container, given: &Given) -> Map<String> {
    let names = |key: &str| given.get(key).map_or("", String::as_str).split(',');
    let mut attrs = Map::new();
    let labels = container.config.labels.as_ref();
    for name in names("labels") {
        if let Some(value) = labels.and_then(|labels| labels.get(name)) {
            attrs.insert(name.to_string(), value.clone());
        }
    }
    for name in names("env").filter(|name| !name.is_empty()) {
        let mut entries = container.config.env.iter().flatten();
        let value = entries.find_map(|entry| entry.strip_prefix(name)?.strip_prefix('='));
        if let Some(value) = value {
            attrs.insert(name.to_string(), value.to_string());
        }
    }
    attrs
}

/// The option `tag` with its `{{.Name}}` and their like filled in.
pub fn tag(driver: &str, given: &Given, told: &Told<'_>) -> Result<String> {
    let default = match driver {
        "syslog" | "journald" => "{{.ID}}",
        "kmsg" => "{{.Name}}",
        _ => "",
    };
    let template = given.get("tag").filter(|text| !text.is_empty());
    let mut rest = template.map_or(default, String::as_str);
    let mut text = String::new();
    while let Some((before, after)) = rest.split_once("{{") {
        let (action, after) = after
            .split_once("}}")
            .ok_or_else(|| failed("template: log-tag:1: unclosed action"))?;
        text.push_str(before);
        text.push_str(&field(action.trim(), told)?);
        rest = after;
    }
    Ok(text + rest)
}

fn field(action: &str, told: &Told<'_>) -> Result<String> {
    Ok(match action {
        ".ID" => id::short(told.id).to_string(),
        ".FullID" | ".ContainerID" => told.id.to_string(),
        ".Name" => told.name.to_string(),
        ".ContainerName" => format!("/{}", told.name),
        // Docker counts the `sha256:`.
        ".ImageID" => told.image_id.get(..12).unwrap_or_default().to_string(),
        ".ImageFullID" | ".ContainerImageID" => told.image_id.to_string(),
        ".ImageName" | ".ContainerImageName" => told.image.to_string(),
        // By this name the rules of existing syslog servers look for containers.
        ".DaemonName" => "docker".to_string(),
        ".Hostname" => crate::engine::host::name(),
        ".Command" => told.command.join(" "),
        action => return Err(unknown(action)),
    })
}

fn unknown(action: &str) -> Error {
    let is_name = |name: &str| name.bytes().all(|byte| byte.is_ascii_alphanumeric());
    match action.strip_prefix('.').filter(|name| is_name(name)) {
        Some(name) => failed(&format!(
            "template: log-tag:1:2: executing \"log-tag\" at <{action}>: can't evaluate field {name} in type *logger.Info"
        )),
        None => failed(&format!(
            "template: log-tag: {{{{{action}}}}} is not supported in a tag: name one field, such as {{{{.Name}}}}"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told_tag(driver: &str, template: &str) -> Result<String> {
        let given = Given::from([("tag".to_string(), template.to_string())]);
        let told = Told {
            id: "0123456789abcdef",
            name: "web",
            image_id: "sha256:0123456789",
            image: "busybox:1",
            command: &["sh", "-c", "true"],
        };
        tag(driver, &given, &told)
    }

    #[test]
    fn a_tag_is_filled_in_as_docker_does() {
        for (template, expected) in [
            ("{{.Name}}/{{ .ID }}", "web/0123456789ab"),
            ("{{.FullID}}", "0123456789abcdef"),
            ("{{.ImageName}} {{.ImageID}}", "busybox:1 sha256:01234"),
            ("{{.DaemonName}}-x", "docker-x"),
            ("{{.Command}}", "sh -c true"),
            ("plain", "plain"),
        ] {
            assert_eq!(told_tag("syslog", template).unwrap(), expected);
        }
        assert_eq!(told_tag("syslog", "").unwrap(), "0123456789ab");
        assert_eq!(told_tag("kmsg", "").unwrap(), "web");
        assert_eq!(told_tag("json-file", "").unwrap(), "");
    }

    #[test]
    fn a_tag_that_means_nothing_is_refused() {
        let refusal = |template| told_tag("json-file", template).unwrap_err().to_string();
        let failed = "failed to initialize logging driver: template: log-tag:";
        assert_eq!(refusal("{{"), format!("{failed}1: unclosed action"));
        assert_eq!(
            refusal("{{.Foo}}"),
            format!(
                "{failed}1:2: executing \"log-tag\" at <.Foo>: can't evaluate field Foo in type *logger.Info"
            )
        );
        assert_eq!(
            refusal("{{upper .Name}}"),
            format!(
                "{failed} {{{{upper .Name}}}} is not supported in a tag: name one field, such as {{{{.Name}}}}"
            )
        );
    }
}
