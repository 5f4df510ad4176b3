//! A service becomes an entry; `members` says what each of its members is.

use super::members::SERVICE;
use super::{File, vars};
use crate::error::{Context, Error, Result};
use crate::json::node::Node;
use crate::plan::entry::Draft;
use crate::plan::hint::hint;
use crate::plan::keys::Key::{
    self, Each, Files, Last, Own, Secure, Security, Silent, Switch, Without, Words,
};
use crate::plan::words::{self, Quoting};
use crate::plan::{Dependency, Until};
use sha2::{Digest, Sha256};

/// A service on its way to arguments.
pub(super) struct Reading<'a> {
    pub(super) file: &'a File<'a>,
    pub(super) name: &'a str,
    pub(super) node: Node<'a>,
    pub(super) draft: Draft,
    env: Vec<(String, String)>,
    /// What its entrypoint has besides the first word.
    entrypoint: Vec<String>,
    pub(super) networks: &'a mut Vec<String>,
    pub(super) volumes: &'a mut Vec<String>,
}

/// A service, and by the way which networks and volumes it uses.
pub fn read(
    file: &File<'_>,
    name: &str,
    node: Node<'_>,
    networks: &mut Vec<String>,
    volumes: &mut Vec<String>,
) -> Result<Draft> {
    let mut reading = Reading {
        file,
        name,
        node,
        draft: Draft::default(),
        env: Vec::new(),
        entrypoint: Vec::new(),
        networks,
        volumes,
    };
    reading.draft.name = file.container_name(name)?;
    for (member, value) in node.pairs() {
        // Written without a value: as if it were not there.
        if value.json() != "null" && !member.starts_with("x-") {
            reading.member(&member, value).context(|| member)?;
        }
    }
    reading.finish()
}

impl Reading<'_> {
    fn member(&mut self, member: &str, value: Node<'_>) -> Result<()> {
        let file = self.file;
        let Some((_, key)) = SERVICE.iter().find(|(known, _)| *known == member) else {
            let hint = hint(member, &mut SERVICE.iter().map(|(known, _)| *known));
            return Err(Error::invalid(format!("there is no such member{hint}")));
        };
        match *key {
            Last(option) | Switch(option) => {
                self.draft.option(option, &file.word(value)?);
            }
            Each(option) => {
                for word in file.words(value)? {
                    self.draft.option(option, &word);
                }
            }
            Files(option) => {
                for word in file.words(value)? {
                    let path = words::localise(option, &word, file.dir);
                    self.draft.option(option, &path);
                }
            }
            Words(option) => {
                for (name, value) in file.pairs(value)? {
                    let value = value.unwrap_or_default();
                    self.draft.option(option, &format!("{name}={value}"));
                }
            }
            Own => self.own(member, value)?,
            Key::Refused(why) => return Err(Error::invalid(format!("cannot be had: {why}"))),
            Silent | Without(_) | Security(_) | Secure(_) => {}
        }
        Ok(())
    }

    fn own(&mut self, member: &str, value: Node<'_>) -> Result<()> {
        let file = self.file;
        match member {
            "image" => self.draft.image = file.word(value)?,
            "build" if self.node.member("image").is_none() => {
                return Err(Error::invalid("build the image, and name it with image:"));
            }
            "command" => self.draft.command = self.command(value)?,
            "entrypoint" => {
                let mut words = self.command(value)?;
                let first = if words.is_empty() {
                    String::new()
                } else {
                    words.remove(0)
                };
                self.draft.option("entrypoint", &first);
                self.entrypoint = words;
            }
            "environment" => {
                for (name, value) in file.pairs(value)? {
                    if let Some(value) = value.or_else(|| file.vars.get(&name)) {
                        self.variable(name, value);
                    }
                }
            }
            "env_file" => self.env_files(value)?,
            "depends_on" => self.depends_on(value)?,
            "links" => {
                for link in file.words(value)? {
                    if link.contains(':') {
                        return Err(Error::invalid("write networks: with aliases"));
                    }
                    self.after(&link, Until::Started)?;
                }
            }
            "deploy" => self.deploy(value)?,
            "devices" => self.devices(value)?,
            "extra_hosts" => {
                for (host, address) in file.pairs(value)? {
                    let host = match address {
                        Some(address) => format!("{host}:{address}"),
                        None => host,
                    };
                    self.draft.option("add-host", &host);
                }
            }
            "healthcheck" => self.health(value)?,
            "logging" => {
                if let Some(driver) = file.member(value, "driver")? {
                    self.draft.option("log-driver", &driver);
                }
                for (name, value) in file.pairs(value.at("options"))? {
                    let value = value.unwrap_or_default();
                    self.draft.option("log-opt", &format!("{name}={value}"));
                }
            }
            "ipc" | "pid" | "network_mode" => {
                let option = if member == "network_mode" {
                    "network"
                } else {
                    member
                };
                let mode = self.mode(&file.word(value)?)?;
                self.draft.option(option, &mode);
            }
            "networks" if self.node.member("network_mode").is_some() => {
                return Err(Error::invalid("network_mode is there too"));
            }
            "ports" => self.ports(value)?,
            "pull_policy" => match file.word(value)?.as_str() {
                "if_not_present" => self.draft.option("pull", "missing"),
                policy => self.draft.option("pull", policy),
            },
            "scale" if file.word(value)? != "1" => {
                return Err(Error::invalid("one container of a service runs here"));
            }
            "stop_grace_period" => {
                let seconds = words::duration(&file.word(value)?)?.as_secs();
                self.draft.option("stop-timeout", &seconds.to_string());
            }
            "ulimits" => {
                for (name, limit) in value.pairs() {
                    let text = match limit.json().starts_with('{') {
                        true => {
                            let part =
                                |part| file.member(limit, part).map(Option::unwrap_or_default);
                            format!("{}:{}", part("soft")?, part("hard")?)
                        }
                        false => file.word(limit)?,
                    };
                    self.draft.option("ulimit", &format!("{name}={text}"));
                }
            }
            "volumes" => self.volumes(value)?,
            "volumes_from" => {
                for from in file.words(value)? {
                    let (service, mode) = from.split_once(':').unwrap_or((&from, ""));
                    if service == "container" {
                        self.draft.option("volumes-from", mode);
                        continue;
                    }
                    let name = self.after(service, Until::Started)?;
                    let colon = if mode.is_empty() { "" } else { ":" };
                    self.draft
                        .option("volumes-from", &format!("{name}{colon}{mode}"));
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// A list is taken as it is, a line cut into words.
    fn command(&self, value: Node<'_>) -> Result<Vec<String>> {
        match value.json().starts_with('[') {
            true => self.file.words(value),
            false => words::split(&self.file.word(value)?, Quoting::Shell),
        }
    }

    /// The last of a name counts.
    fn variable(&mut self, name: String, value: String) {
        self.env.retain(|(known, _)| *known != name);
        self.env.push((name, value));
    }

    /// `environment` goes above what files say, wherever it stands.
    fn env_files(&mut self, value: Node<'_>) -> Result<()> {
        let file = self.file;
        let items = match value.json().starts_with('[') {
            true => value.items(),
            false => vec![value],
        };
        let mut all = Vec::new();
        for item in items {
            let is_map = item.json().starts_with('{');
            let path = match is_map {
                true => file.member(item, "path")?.unwrap_or_default(),
                false => file.word(item)?,
            };
            let may_miss = is_map && file.member(item, "required")?.as_deref() == Some("false");
            let full = file.dir.join(&path);
            if !may_miss || full.exists() {
                let text = crate::plan::read::text(&full);
                let pairs = text.and_then(|text| vars::env_file(&text, file.vars));
                all.extend(pairs.context(|| path)?);
            }
        }
        all.append(&mut self.env);
        for (name, value) in all {
            self.variable(name, value);
        }
        Ok(())
    }

    /// Come after another service; answers its container's name.
    fn after(&mut self, service: &str, until: Until) -> Result<String> {
        let name = self.file.container_name(service)?;
        let mut after = self.draft.after.iter_mut();
        match after.find(|after| after.name == name) {
            Some(known) if known.until == Until::Started => known.until = until,
            Some(_) => {}
            None => self.draft.after.push(Dependency {
                name: name.clone(),
                until,
            }),
        }
        Ok(name)
    }

    fn depends_on(&mut self, value: Node<'_>) -> Result<()> {
        let file = self.file;
        if !value.json().starts_with('{') {
            for service in file.words(value)? {
                self.after(&service, Until::Started)?;
            }
            return Ok(());
        }
        for (service, how) in value.pairs() {
            file.only(how, &["condition", "required", "restart"])?;
            let until = match file.member(how, "condition")?.as_deref() {
                None | Some("service_started") => Until::Started,
                Some("service_healthy") => Until::Healthy,
                Some("service_completed_successfully") => Until::Completed,
                Some(other) => {
                    return Err(Error::invalid(format!("{service}: there is no {other}")));
                }
            };
            let is_needed = file.member(how, "required")?.as_deref() != Some("false");
            let node = file.root.at("services").member(&service);
            let is_there = match node {
                Some(node) => file.is_wanted(node)?,
                None => false,
            };
            if is_there || is_needed {
                self.after(&service, until)?;
            }
        }
        Ok(())
    }

    /// Of what a swarm would do, the limits and the policy are for one engine too.
    fn deploy(&mut self, value: Node<'_>) -> Result<()> {
        let file = self.file;
        for (member, option) in [
            ("resources.limits.cpus", "cpus"),
            ("resources.limits.memory", "memory"),
            ("resources.limits.pids", "pids-limit"),
            ("resources.reservations.memory", "memory-reservation"),
        ] {
            if let Some(limit) = file.member(value, member)? {
                self.draft.option(option, &limit);
            }
        }
        if value.at("resources.reservations.devices").json() != "null" {
            return Err(Error::invalid(
                "resources.reservations.devices cannot be had: write gpus: or devices:",
            ));
        }
        if !matches!(file.member(value, "replicas")?.as_deref(), None | Some("1")) {
            return Err(Error::invalid("one container of a service runs here"));
        }
        let policy = value.at("restart_policy");
        let attempts = file.member(policy, "max_attempts")?;
        let restart = match file.member(policy, "condition")?.as_deref() {
            _ if policy.json() == "null" || self.node.member("restart").is_some() => return Ok(()),
            Some("none") => "no".to_string(),
            Some("on-failure") => match attempts {
                Some(attempts) => format!("on-failure:{attempts}"),
                None => "on-failure".to_string(),
            },
            _ => "always".to_string(),
        };
        self.draft.option("restart", &restart);
        Ok(())
    }

    fn devices(&mut self, value: Node<'_>) -> Result<()> {
        let file = self.file;
        for item in value.items() {
            let device = match item.json().starts_with('{') {
                true => {
                    let part = |part| file.member(item, part).map(Option::unwrap_or_default);
                    let text = format!(
                        "{}:{}:{}",
                        part("source")?,
                        part("target")?,
                        part("permissions")?
                    );
                    text.trim_end_matches(':').to_string()
                }
                false => file.word(item)?,
            };
            self.draft.option("device", &device);
        }
        Ok(())
    }

    fn health(&mut self, value: Node<'_>) -> Result<()> {
        let file = self.file;
        let known = [
            "disable",
            "interval",
            "retries",
            "start_interval",
            "start_period",
            "test",
            "timeout",
        ];
        file.only(value, &known)?;
        if file.is_true(value, "disable")? {
            self.draft.option("no-healthcheck", "true");
            return Ok(());
        }
        for (member, option) in [
            ("interval", "health-interval"),
            ("timeout", "health-timeout"),
            ("retries", "health-retries"),
            ("start_period", "health-start-period"),
            ("start_interval", "health-start-interval"),
        ] {
            if let Some(value) = file.member(value, member)? {
                self.draft.option(option, &value);
            }
        }
        let test = value.at("test");
        match test.json().as_bytes().first() {
            Some(b'[') => {
                let test = file.words(test)?;
                let kinds = ["CMD", "CMD-SHELL", "NONE", "PROBE"];
                if !test
                    .first()
                    .is_some_and(|first| kinds.contains(&first.as_str()))
                {
                    return Err(Error::invalid(
                        "test: NONE, CMD or CMD-SHELL is wanted first",
                    ));
                }
                self.draft.health = Some(test);
            }
            Some(b'"') => self.draft.option("health-cmd", &file.word(test)?),
            _ => {}
        }
        Ok(())
    }

    /// `service:db` is that service's container.
    fn mode(&mut self, mode: &str) -> Result<String> {
        match mode.strip_prefix("service:") {
            Some(service) => Ok(format!(
                "container:{}",
                self.after(service, Until::Started)?
            )),
            None => Ok(mode.to_string()),
        }
    }

    fn finish(mut self) -> Result<Draft> {
        self.networks()?;
        for (name, value) in std::mem::take(&mut self.env) {
            self.draft.option("env", &format!("{name}={value}"));
        }
        let entrypoint = std::mem::take(&mut self.entrypoint);
        self.draft.command.splice(0..0, entrypoint);
        self.labels();
        Ok(self.draft)
    }

    /// By these compose finds its containers again, and whether they have changed.
    fn labels(&mut self) {
        let (file, draft) = (self.file, &mut self.draft);
        let all = [draft.options.join("\0"), draft.command.join("\0")].join("\0");
        let hash = crate::id::hex(&Sha256::digest(format!("{}\0{all}", draft.image)));
        let absolute = |path: &std::path::Path| {
            let path = std::path::absolute(path).unwrap_or_default();
            path.display().to_string()
        };
        for (label, value) in [
            ("config-hash", hash.as_str()),
            ("container-number", "1"),
            ("oneoff", "False"),
            ("project", &file.project),
            ("project.config_files", &absolute(file.path)),
            ("project.working_dir", &absolute(file.dir)),
            ("service", self.name),
        ] {
            draft.option("label", &format!("com.docker.compose.{label}={value}"));
        }
    }
}
