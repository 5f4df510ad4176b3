//! Compose files: services become entries, with the names and labels that compose gives them, so
//! that `docker compose ps` finds them.
//!
//! One file, with variables and `.env`. What it asks for and cannot be had, such as builds, configs,
//! secrets or `extends`, is refused by name; a broken service stops no other.

mod joined;
mod made;
mod members;
mod service;
mod vars;

use self::vars::Vars;
use super::entry::Draft;
use super::hint::hint;
use super::{Made, Remark, yaml};
use crate::error::{Context, Error, Result};
use crate::json::node::Node;
use std::path::Path;

/// What a compose file asks for. Paths and the file's name are the caller's.
#[derive(Default)]
pub struct Project {
    pub drafts: Vec<Draft>,
    pub volumes: Vec<Made>,
    pub networks: Vec<Made>,
    /// Services that cannot be had, and why.
    pub broken: Vec<Error>,
    pub notes: Vec<String>,
}

/// What the parts of a file need to know of the whole.
struct File<'a> {
    root: Node<'a>,
    vars: &'a Vars,
    path: &'a Path,
    dir: &'a Path,
    project: String,
}

const MEMBERS: [&str; 7] = [
    "configs", "name", "networks", "secrets", "services", "version", "volumes",
];

pub fn read(text: &str, path: &Path) -> Result<Project> {
    let dir = path.parent().unwrap_or(Path::new("/"));
    let mut vars = Vars::default();
    let env = dir.join(".env");
    if env.is_file() {
        let text = super::read::text(&env);
        let pairs = text.and_then(|text| vars::env_file(&text, &vars));
        vars.file = pairs.context(|| ".env")?;
    }
    let json = yaml::to_json(text)?;
    let root = super::entry::document(&json)?;
    check_members(root)?;
    let mut file = File {
        root,
        vars: &vars,
        path,
        dir,
        project: String::new(),
    };
    file.project = file.project_name()?;
    let mut project = file.read()?;
    for name in vars.missing.take() {
        project
            .notes
            .push(format!("the variable {name} is not set: it is empty"));
    }
    for name in [
        "compose.override.yml",
        "compose.override.yaml",
        "docker-compose.override.yml",
    ] {
        if dir.join(name).exists() {
            project.notes.push(format!("{name} beside it is not read"));
        }
    }
    Ok(project)
}

fn check_members(root: Node<'_>) -> Result<()> {
    for (member, _) in root.pairs() {
        if !MEMBERS.contains(&member.as_str()) && !member.starts_with("x-") {
            let hint = hint(&member, &mut MEMBERS.into_iter());
            return Err(Error::invalid(format!("{member} is not read here{hint}")));
        }
    }
    match root.at("services").pairs().is_empty() {
        true => Err(Error::invalid("there are no services")),
        false => Ok(()),
    }
}

impl File<'_> {
    fn read(&self) -> Result<Project> {
        let mut project = Project::default();
        let mut networks = Vec::new();
        let mut volumes = Vec::new();
        for (name, service) in self.root.at("services").pairs() {
            if !self.is_wanted(service)? {
                continue;
            }
            match service::read(self, &name, service, &mut networks, &mut volumes) {
                Ok(draft) => project.drafts.push(draft),
                Err(error) => {
                    let error: Result<()> = Err(error);
                    project
                        .broken
                        .extend(error.context(|| format!("services.{name}")).err());
                }
            }
        }
        for network in networks {
            let made = made::network(self, &network);
            project
                .networks
                .extend(made.context(|| format!("networks.{network}"))?);
        }
        for volume in volumes {
            let made = made::volume(self, &volume);
            project
                .volumes
                .extend(made.context(|| format!("volumes.{volume}"))?);
        }
        Ok(project)
    }

    /// As compose calls it: by the file, the environment, or the directory.
    fn project_name(&self) -> Result<String> {
        let name = match self.root.member("name") {
            Some(name) => self.word(name).context(|| "name")?,
            None => match self.vars.get("COMPOSE_PROJECT_NAME") {
                Some(name) => name,
                None => {
                    let dir = std::path::absolute(self.dir).unwrap_or_default();
                    let name = dir.file_name().unwrap_or_default();
                    name.to_string_lossy().to_ascii_lowercase()
                }
            },
        };
        let is_word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "_-".contains(c);
        let name: String = name.chars().filter(|c| is_word(*c)).collect();
        match name.trim_start_matches(['_', '-']) {
            "" => Err(Error::invalid("the project has no name: write name:")),
            name => Ok(name.to_string()),
        }
    }

    /// A service with profiles is there when one of them is asked for.
    fn is_wanted(&self, service: Node<'_>) -> Result<bool> {
        let profiles = self.words(service.at("profiles"))?;
        let wanted = self.vars.get("COMPOSE_PROFILES").unwrap_or_default();
        let is_wanted =
            |profile: &String| wanted.split(',').any(|w| w.trim() == profile || w == "*");
        Ok(profiles.is_empty() || profiles.iter().any(is_wanted))
    }

    /// A scalar, with its variables.
    fn word(&self, node: Node<'_>) -> Result<String> {
        match node.word() {
            Some(word) => self.vars.expand(&word),
            None => Err(Error::invalid("a string, a number or a boolean is wanted")),
        }
    }

    /// A list of scalars; one alone will do, and none.
    fn words(&self, node: Node<'_>) -> Result<Vec<String>> {
        match node.json().as_bytes().first() {
            Some(b'[') => node
                .items()
                .into_iter()
                .map(|item| self.word(item))
                .collect(),
            Some(b'n') => Ok(Vec::new()),
            _ => Ok(vec![self.word(node)?]),
        }
    }

    /// `{A: 1}` or `["A=1"]`. Without a value: `None`.
    fn pairs(&self, node: Node<'_>) -> Result<Vec<(String, Option<String>)>> {
        let mut pairs = Vec::new();
        if !node.json().starts_with('{') {
            for word in self.words(node)? {
                pairs.push(match word.split_once('=') {
                    Some((name, value)) => (name.to_string(), Some(value.to_string())),
                    None => (word, None),
                });
            }
            return Ok(pairs);
        }
        for (name, value) in node.pairs() {
            let value = match value.json() {
                "null" => None,
                _ => Some(self.word(value).context(|| name.clone())?),
            };
            pairs.push((name, value));
        }
        Ok(pairs)
    }

    /// A member of a mapping; `None` where it is missing or empty.
    fn member(&self, node: Node<'_>, name: &str) -> Result<Option<String>> {
        match node.at(name) {
            member if member.json() == "null" => Ok(None),
            member => self.word(member).context(|| name.to_string()).map(Some),
        }
    }

    fn is_true(&self, node: Node<'_>, name: &str) -> Result<bool> {
        match self.member(node, name)?.as_deref() {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(_) => Err(Error::invalid(format!("{name}: true or false is wanted"))),
        }
    }

    /// Of members that somebody wrote in vain.
    fn only(&self, node: Node<'_>, known: &[&str]) -> Result<()> {
        for (member, _) in node.pairs() {
            if !known.contains(&member.as_str()) && !member.starts_with("x-") {
                let hint = hint(&member, &mut known.iter().copied());
                return Err(Error::invalid(format!("{member} is not read here{hint}")));
            }
        }
        Ok(())
    }

    /// How the service's container is called.
    fn container_name(&self, service: &str) -> Result<String> {
        let node = self.root.at("services").member(service);
        let Some(node) = node else {
            return Err(Error::invalid(format!("there is no service {service}")));
        };
        let name = self.member(node, "container_name")?;
        Ok(name.unwrap_or_else(|| format!("{}-{service}-1", self.project)))
    }
}

impl Project {
    /// What is wrong with services, with the file in front.
    pub fn remarks(&mut self, path: &Path) -> Vec<Remark> {
        let remark = |error: Error| Remark {
            file: path.to_path_buf(),
            text: format!("{}: {error}", path.display()),
        };
        self.broken.drain(..).map(remark).collect()
    }
}
