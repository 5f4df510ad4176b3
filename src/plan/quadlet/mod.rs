//! Quadlet units, read without systemd: `NAME.container`, `NAME.volume`, `NAME.network`
//! (podman-systemd.unit(5)).
//!
//! `keys` says what each key is here. What would make another container of it is refused by name;
//! what is without effect is noted. A container is called as its file is, without Podman's `systemd-`
//! in front; every file of a plan counts, whatever `[Install]` says.

mod around;

use super::entry::{Draft, Wish};
use super::hint::hint;
use super::keys::{self, Key, Table};
use super::unit::{self, Names, Unit};
use super::words::{self, Quoting};
use super::{Made, Until};
use crate::error::{Context, Error, Result};
use crate::json::node::Node;
use std::path::Path;

/// A unit on its way to arguments.
struct Reading<'a> {
    unit: &'a Unit,
    names: &'a Names<'a>,
    dir: &'a Path,
    /// What the volume, network or container of a unit beside this one is called.
    sibling: &'a dyn Fn(&str) -> Result<String>,
    draft: Draft,
}

/// A container, by its unit.
pub fn container(
    unit: &Unit,
    names: &Names<'_>,
    sibling: &dyn Fn(&str) -> Result<String>,
) -> Result<Draft> {
    let mut reading = Reading::new(unit, names, sibling);
    reading.draft.name = name(unit, names)?;
    reading.draft.service = service(unit, names)?;
    reading.sections("Container")?;
    reading.section("Container", keys::CONTAINER, Reading::of_container)?;
    reading.section("Unit", keys::UNIT, Reading::of_unit)?;
    reading.section("Service", keys::SERVICE, Reading::of_service)?;
    Ok(reading.draft)
}

/// A volume or a network, by its unit, and what is to note of it.
pub fn made(unit: &Unit, names: &Names<'_>) -> Result<(Made, Vec<String>)> {
    let no_sibling = |name: &str| Err(Error::invalid(format!("{name} is not for it")));
    let mut reading = Reading::new(unit, names, &no_sibling);
    match kind(names) {
        "volume" => {
            reading.sections("Volume")?;
            reading.section("Volume", keys::VOLUME, Reading::of_volume)?;
            reading.volume_options()?;
        }
        _ => {
            reading.sections("Network")?;
            reading.section("Network", keys::NETWORK, Reading::of_network)?;
        }
    }
    let name = name(unit, names)?;
    let mut arguments = reading.draft.options;
    arguments.extend(["--".to_string(), name.clone()]);
    let made = Made {
        name,
        arguments,
        file: names.path.to_path_buf(),
    };
    Ok((made, reading.draft.notes))
}

/// What a unit's container, volume or network is called.
pub fn name(unit: &Unit, names: &Names<'_>) -> Result<String> {
    let (section, key) = match kind(names) {
        "volume" => ("Volume", "VolumeName"),
        "network" => ("Network", "NetworkName"),
        _ => ("Container", "ContainerName"),
    };
    names.expand(unit.last(section, key).unwrap_or("%N"))
}

/// What other units call it, without `.service`.
fn service(unit: &Unit, names: &Names<'_>) -> Result<String> {
    names.expand(unit.last("Container", "ServiceName").unwrap_or("%N"))
}

fn kind<'a>(names: &Names<'a>) -> &'a str {
    let kind = names.path.extension().and_then(|kind| kind.to_str());
    kind.unwrap_or_default()
}

impl<'a> Reading<'a> {
    fn new(
        unit: &'a Unit,
        names: &'a Names<'a>,
        sibling: &'a dyn Fn(&str) -> Result<String>,
    ) -> Reading<'a> {
        Reading {
            unit,
            names,
            dir: names.path.parent().unwrap_or(Path::new("/")),
            sibling,
            draft: Draft::default(),
        }
    }

    /// Refuse sections that are of no unit of this kind.
    fn sections(&mut self, own: &str) -> Result<()> {
        for section in self.unit.sections() {
            let is_known = section == own
                || matches!(section, "Unit" | "Service" | "Install" | "Quadlet")
                || section.starts_with("X-");
            if !is_known {
                return Err(Error::invalid(format!("[{section}] has no place here")));
            }
        }
        Ok(())
    }

    fn section(
        &mut self,
        section: &str,
        table: Table,
        own: fn(&mut Self, &str, &[&str]) -> Result<()>,
    ) -> Result<()> {
        for key in self.unit.keys(section) {
            let values = self.unit.all(section, key);
            if values.is_empty() {
                continue;
            }
            self.key(section, key, &values, table, own)
                .context(|| format!("[{section}] {key}="))?;
        }
        Ok(())
    }

    fn key(
        &mut self,
        section: &str,
        key: &str,
        values: &[&str],
        table: Table,
        own: fn(&mut Self, &str, &[&str]) -> Result<()>,
    ) -> Result<()> {
        let last = values.last().copied().unwrap_or_default();
        let Some((_, kind)) = table.iter().find(|(known, _)| *known == key) else {
            return self.unknown(section, key, last, table);
        };
        match *kind {
            Key::Last(option) => self.option(option, last)?,
            Key::Each(option) => {
                for value in values {
                    self.option(option, value)?;
                }
            }
            Key::Words(option) => {
                for word in self.words(values)? {
                    self.draft.option(option, &word);
                }
            }
            Key::Files(option) => {
                for word in self.words(values)? {
                    self.file(option, &word);
                }
            }
            Key::Switch(option) => {
                let is_on = unit::boolean(last)?;
                self.draft.option(option, &is_on.to_string());
            }
            Key::Security(prefix) => self.option("security-opt", &format!("{prefix}{last}"))?,
            Key::Secure(option) => {
                if unit::boolean(last)? {
                    self.draft.option("security-opt", option);
                }
            }
            Key::Own => own(self, key, values)?,
            Key::Silent => {}
            Key::Without(why) => self.note(section, key, why),
            Key::Refused(why) => {
                return Err(Error::invalid(format!("cannot be had: {why}")));
            }
        }
        Ok(())
    }

    /// A key that the table does not have: systemd's own are many.
    fn unknown(&mut self, section: &str, key: &str, last: &str, table: Table) -> Result<()> {
        match section {
            "Unit" if key.starts_with("Condition") || key.starts_with("Assert") => {
                self.condition(key, last)
            }
            "Unit" | "Service" => {
                self.note(section, key, "it is systemd's");
                Ok(())
            }
            _ => {
                let hint = hint(key, &mut table.iter().map(|(known, _)| *known));
                Err(Error::invalid(format!("there is no such key{hint}")))
            }
        }
    }

    fn note(&mut self, section: &str, key: &str, why: &str) {
        let note = format!("[{section}] {key}= is without effect: {why}");
        self.draft.notes.push(note);
    }

    fn option(&mut self, option: &str, value: &str) -> Result<()> {
        let value = self.names.expand(value)?;
        self.draft.option(option, &value);
        Ok(())
    }

    /// The words of all values.
    fn words(&self, values: &[&str]) -> Result<Vec<String>> {
        let mut all = Vec::new();
        for value in values {
            for word in words::split(value, Quoting::Systemd)? {
                all.push(self.names.expand(&word)?);
            }
        }
        Ok(all)
    }

    /// With a `-` in front it may be missing.
    fn file(&mut self, option: &str, path: &str) {
        let (path, may_miss) = match path.strip_prefix('-') {
            Some(path) => (path, true),
            None => (path, false),
        };
        let path = words::localise(option, path, self.dir);
        let is_there = Path::new(path.split(':').next().unwrap_or_default()).exists();
        if is_there || !may_miss {
            self.draft.option(option, &path);
        }
    }

    fn of_container(&mut self, key: &str, values: &[&str]) -> Result<()> {
        let last = values.last().copied().unwrap_or_default();
        match key {
            "Image" => {
                self.draft.image = self.names.expand(last)?;
                if self.draft.image.ends_with(".image") || self.draft.image.ends_with(".build") {
                    return Err(Error::invalid(
                        "units of images are not read: name the image",
                    ));
                }
            }
            "Exec" => {
                let words = self.command(values)?;
                self.draft.command.extend(words);
            }
            "Entrypoint" => {
                // An option of create holds one word: the others come first in the command.
                let mut words = match last.starts_with('[') {
                    true => strings(last)?,
                    false => vec![last.to_string()],
                };
                let first = if words.is_empty() {
                    String::new()
                } else {
                    words.remove(0)
                };
                self.option("entrypoint", &first)?;
                self.draft.command.splice(0..0, words);
            }
            "AddDevice" => {
                for device in self.words(values)? {
                    self.file("device", &device);
                }
            }
            "Volume" => {
                for value in values {
                    let value = self.volume(&self.names.expand(value)?)?;
                    self.draft.option("volume", &value);
                }
            }
            "Mount" => {
                for value in values {
                    let value = self.mount(&self.names.expand(value)?)?;
                    self.draft.option("mount", &value);
                }
            }
            "Network" => {
                for value in values {
                    let value = self.network(&self.names.expand(value)?)?;
                    self.draft.option("network", &value);
                }
            }
            "User" => {
                let group = self.unit.last("Container", "Group");
                let group = group.map(|group| format!(":{group}")).unwrap_or_default();
                self.option("user", &format!("{last}{group}"))?;
            }
            "Group" if self.unit.last("Container", "User").is_none() => {
                return Err(Error::invalid("there is no User= with it"));
            }
            "HealthCmd" => self.health(last)?,
            "LogDriver" => match last {
                "k8s-file" => self.draft.option("log-driver", "json-file"),
                "passthrough" | "passthrough-tty" => {
                    self.note("Container", key, "the log is kept");
                }
                driver => self.option("log-driver", driver)?,
            },
            "Notify" => match last {
                "healthy" => self.draft.until = Until::Healthy,
                last if unit::boolean(last)? => {
                    self.note("Container", key, "a container is up when its program runs");
                }
                _ => {}
            },
            "PodmanArgs" => {
                for word in self.words(values)? {
                    self.draft.options.push(word);
                }
            }
            "Pull" if last == "newer" => {
                self.note("Container", key, "an image that is there is taken");
            }
            "Pull" => self.option("pull", last)?,
            "ReadOnly" => self.read_only(unit::boolean(last)?)?,
            "Timezone" => {
                let file = match last {
                    "local" => "/etc/localtime".to_string(),
                    zone => format!("/usr/share/zoneinfo/{zone}"),
                };
                self.option("volume", &format!("{file}:/etc/localtime:ro"))?;
            }
            "Unmask" if last.eq_ignore_ascii_case("all") => {
                self.draft.option("security-opt", "systempaths=unconfined");
            }
            "UserNS" if last == "host" => self.draft.option("userns", last),
            "Unmask" | "UserNS" => {
                return Err(Error::invalid(format!("{last} cannot be had here")));
            }
            "VolatileTmp" if unit::boolean(last)? => {
                self.draft.option("tmpfs", "/tmp:rw,size=512M,mode=1777");
            }
            _ => {}
        }
        Ok(())
    }

    /// systemd would put variables of its own for `$NAME`; for a dollar sign people write two.
    fn command(&mut self, values: &[&str]) -> Result<Vec<String>> {
        let last = values.get(values.len().saturating_sub(1)..);
        let mut words = self.words(last.unwrap_or_default())?;
        let has_dollar = |word: &String| word.replace("$$", "").contains('$');
        if words.iter().any(has_dollar) {
            self.note(
                "Container",
                "Exec",
                "$ in it, which reaches the program as it is",
            );
        }
        for word in &mut words {
            *word = word.replace("$$", "$");
        }
        Ok(words)
    }

    /// `x.volume:/data` is the volume of that unit.
    fn volume(&self, value: &str) -> Result<String> {
        match value.split_once(':') {
            Some((unit, rest)) if unit.ends_with(".volume") => {
                Ok(format!("{}:{rest}", (self.sibling)(unit)?))
            }
            _ => Ok(words::localise("volume", value, self.dir)),
        }
    }

    fn mount(&self, value: &str) -> Result<String> {
        let mut fields = Vec::new();
        for field in value.split(',') {
            fields.push(match field.split_once('=') {
                Some((key @ ("source" | "src"), unit)) if unit.ends_with(".volume") => {
                    format!("{key}={}", (self.sibling)(unit)?)
                }
                _ => field.to_string(),
            });
        }
        Ok(words::localise("mount", &fields.join(","), self.dir))
    }

    /// `x.network`, `x.container`, `host`; behind a colon Podman has what we have behind commas.
    fn network(&mut self, value: &str) -> Result<String> {
        let (name, settings) = match value.split_once(':') {
            Some(("container", _)) | None => (value, ""),
            Some(split) => split,
        };
        if matches!(name, "slirp4netns" | "pasta" | "private" | "ns") {
            return Err(Error::invalid(format!("{name} cannot be had here")));
        }
        let name = match name.rsplit_once('.') {
            Some((_, "network")) => (self.sibling)(name)?,
            Some((_, "container")) => {
                self.draft.wish(name, true);
                format!("container:{}", (self.sibling)(name)?)
            }
            _ => name.to_string(),
        };
        if settings.is_empty() {
            return Ok(name);
        }
        let settings = settings.replace("mac=", "mac-address=");
        Ok(format!("name={name},{settings}"))
    }

    /// A list runs without a shell.
    fn health(&mut self, value: &str) -> Result<()> {
        if value == "none" {
            self.draft.option("no-healthcheck", "true");
            return Ok(());
        }
        if !value.starts_with('[') {
            return self.option("health-cmd", value);
        }
        let mut test = strings(value)?;
        let kinds = ["CMD", "CMD-SHELL", "NONE", "PROBE"];
        if !test
            .first()
            .is_some_and(|first| kinds.contains(&first.as_str()))
        {
            test.insert(0, "CMD".to_string());
        }
        self.draft.health = Some(test);
        Ok(())
    }

    /// Podman makes a container that is read-only places to write, unless told not to.
    fn read_only(&mut self, is_on: bool) -> Result<()> {
        self.draft.option("read-only", &is_on.to_string());
        let tmpfs = self.unit.last("Container", "ReadOnlyTmpfs");
        if is_on && tmpfs.map_or(Ok(true), unit::boolean)? {
            for place in ["/run", "/tmp", "/var/tmp"] {
                self.draft.option("tmpfs", place);
            }
        }
        Ok(())
    }

    fn of_volume(&mut self, key: &str, values: &[&str]) -> Result<()> {
        let last = values.last().copied().unwrap_or_default();
        match key {
            "Device" => self.option("opt", &format!("device={last}")),
            "Type" => self.option("opt", &format!("type={last}")),
            "PodmanArgs" => self.of_container(key, values),
            // These are one option together.
            _ => Ok(()),
        }
    }

    /// `Options=`, `User=` and `Group=` are the options of the mount.
    fn volume_options(&mut self) -> Result<()> {
        let mut options = Vec::new();
        for (key, prefix) in [("Options", ""), ("User", "uid="), ("Group", "gid=")] {
            if let Some(value) = self.unit.last("Volume", key) {
                options.push(format!("{prefix}{value}"));
            }
        }
        match options.is_empty() {
            true => Ok(()),
            false => self.option("opt", &format!("o={}", options.join(","))),
        }
    }

    fn of_network(&mut self, key: &str, values: &[&str]) -> Result<()> {
        let last = values.last().copied().unwrap_or_default();
        match key {
            "InterfaceName" => {
                self.option("opt", &format!("com.docker.network.bridge.name={last}"))
            }
            _ => self.of_container(key, values),
        }
    }
}

impl Draft {
    /// Come after the container of another unit.
    fn wish(&mut self, unit: &str, is_needed: bool) {
        let service = stem(unit).to_string();
        match self.wishes.iter_mut().find(|wish| wish.service == service) {
            Some(known) => known.is_needed |= is_needed,
            None => self.wishes.push(Wish { service, is_needed }),
        }
    }
}

/// Without `.service` or `.container`.
fn stem(unit: &str) -> &str {
    let stem = unit.strip_suffix(".service");
    stem.or(unit.strip_suffix(".container")).unwrap_or(unit)
}

/// A JSON list of strings, in a value.
fn strings(value: &str) -> Result<Vec<String>> {
    super::entry::list(Node::new(value, "")?)
}
