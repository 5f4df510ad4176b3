//! What a request wants, in the order in which it is to come up.

use super::renew;
use crate::engine::container::Container;
use crate::engine::spec::wanted;
use crate::engine::validate::modes;
use crate::engine::{Engine, links, lock, names};
use crate::error::{Context, Error, Result};
use crate::id;
use crate::json;
use crate::wire::container::{Config, HostConfig, Placement};
use crate::wire::set::{After, Wish};
use sha2::{Digest, Sha256};
use std::sync::Arc;

/// Compose's labels: they tell the order of a start after a boot, too (see `start_order`).
const PROJECT: &str = "com.docker.compose.project";
const SERVICE: &str = "com.docker.compose.service";
const DEPENDS_ON: &str = "com.docker.compose.depends_on";

/// A container that is to be.
pub(super) struct Draft {
    pub name: String,
    pub config: Config,
    pub placement: Placement,
    pub completes: bool,
    /// Names of others in the request.
    pub after: Vec<String>,
    /// Those of them, and of others, whose namespaces, volumes or links it has.
    pub shares: Vec<String>,
    /// Of what was asked for.
    pub hash: String,
    pub image_id: String,
    /// Who has the name now.
    pub old: Option<Arc<Container>>,
}

impl Engine {
    /// The container of exactly this name.
    pub(super) fn named(&self, name: &str) -> Option<Arc<Container>> {
        let id = lock(&self.registry).names.get(name).cloned()?;
        self.find(&id).ok()
    }

    pub(super) fn drafts(&self, set: &str, wishes: &[Wish]) -> Result<Vec<Draft>> {
        let mut drafts: Vec<Draft> = Vec::new();
        for wish in wishes {
            let draft = self.draft(set, wish)?;
            if drafts.iter().any(|other| other.name == draft.name) {
                return Err(Error::invalid(format!("{} is there twice", draft.name)));
            }
            drafts.push(draft);
        }
        for (at, wish) in wishes.iter().enumerate() {
            let needs = needs(&drafts, wish.after.as_deref().unwrap_or_default());
            if let Some(draft) = drafts.get_mut(at).filter(|_| !needs.is_empty()) {
                let labels = draft.config.labels.get_or_insert_default();
                labels.insert(DEPENDS_ON.to_string(), needs);
            }
        }
        ordered(drafts)
    }

    fn draft(&self, set: &str, wish: &Wish) -> Result<Draft> {
        let given = wish.name.as_deref().unwrap_or_default();
        let name = names::check(given)?.to_string();
        let old = self.named(&name);
        if let Some(owner) = old
            .as_ref()
            .and_then(|old| old.member.as_ref()?.set.clone())
            && owner != set
        {
            return Err(Error::conflict(format!(
                "container {name} belongs to set {owner}"
            )));
        }
        let (mut config, mut placement): (Config, Placement) = match (&wish.create, &old) {
            (Some(create), _) => (
                json::parse(&create.0, &name)?,
                json::parse(&create.0, &name)?,
            ),
            (None, Some(old)) => renew::request(self, old),
            (None, None) => return Err(Error::not_found(format!("No such container: {name}"))),
        };
        // As `run --detach` asks for it.
        (config.attach_stdin, config.attach_stdout) = (None, None);
        (config.attach_stderr, config.stdin_once) = (None, None);
        if let Some(image) = &wish.image {
            config.image = Some(image.clone());
        }
        let host = placement.host_config.get_or_insert_default();
        if host.auto_remove == Some(true) {
            return Err(Error::invalid(format!(
                "{name} is removed when it ends (--rm): there would be no way back"
            )));
        }
        let image = config.image.clone().unwrap_or_default();
        let image_id = self.images.id(&image).context(|| &name)?;
        let after = wish.after.as_deref().unwrap_or_default();
        let mut hash = Sha256::new();
        for part in [
            json::to_string(&config),
            json::to_string(&placement),
            json::to_string(&after.to_vec()),
        ] {
            hash.update(part);
        }
        if wish.create.is_some() {
            label(&mut config, set, &name);
        }
        let mut after: Vec<String> = after
            .iter()
            .filter_map(|after| after.name.clone())
            .collect();
        let shares = references(&placement);
        after.extend(shares.iter().cloned());
        Ok(Draft {
            config,
            placement,
            completes: wish.completes == Some(true),
            after,
            shares,
            hash: id::short(&id::hex(&hash.finalize())).to_string(),
            image_id,
            old,
            name,
        })
    }
}

/// What tells whose it is.
fn label(config: &mut Config, set: &str, name: &str) {
    let labels = config.labels.get_or_insert_default();
    for (key, value) in [(PROJECT, set), (SERVICE, name)] {
        if !labels.contains_key(key) {
            labels.insert(key.to_string(), value.to_string());
        }
    }
}

/// What the container comes after, with the names that the labels of the others say.
fn needs(drafts: &[Draft], after: &[After]) -> String {
    let mut needs = Vec::new();
    for after in after {
        let until = match after.until.as_deref() {
            Some("healthy") => "service_healthy",
            Some("completed") => "service_completed_successfully",
            _ => "service_started",
        };
        let name = after.name.as_deref().unwrap_or_default();
        let other = drafts.iter().find(|draft| draft.name == name);
        let labels = other.and_then(|other| other.config.labels.as_ref());
        let service = labels.and_then(|labels| labels.get(SERVICE));
        needs.push(format!(
            "{}:{until}:false",
            service.map_or(name, String::as_str)
        ));
    }
    needs.join(",")
}

/// The containers that a request names: whose namespaces, volumes and links it has.
fn references(placement: &Placement) -> Vec<String> {
    let mut names = Vec::new();
    if let Some(mut host) = placement.host_config.clone() {
        translate(&mut host, &mut |name| {
            names.push(name.to_string());
            None
        });
    }
    names
}

/// Put other containers in place of those that a request names.
pub(super) fn translate(host: &mut HostConfig, other: &mut dyn FnMut(&str) -> Option<String>) {
    for mode in [
        &mut host.network_mode,
        &mut host.pid_mode,
        &mut host.ipc_mode,
    ] {
        let donor = modes::donor(mode.as_deref());
        if let Some(new) = donor.and_then(|name| other(bare(name))) {
            *mode = Some(format!("container:{new}"));
        }
    }
    for text in host.volumes_from.iter_mut().flatten() {
        let Ok((name, _)) = wanted::parse_donor(text) else {
            continue;
        };
        if let Some(new) = other(bare(name)) {
            *text = text.replacen(name, &new, 1);
        }
    }
    for text in host.links.iter_mut().flatten() {
        let Ok((name, alias)) = links::parse(text) else {
            continue;
        };
        if let Some(new) = other(bare(name)) {
            *text = format!("{new}:{alias}");
        }
    }
}

fn bare(name: &str) -> &str {
    name.trim_start_matches('/')
}

/// Those that others come after stand first; else the order is kept.
fn ordered(mut left: Vec<Draft>) -> Result<Vec<Draft>> {
    let mut done: Vec<Draft> = Vec::new();
    // What is not in the request is there, or its absence is told where it is needed.
    let waits = |draft: &Draft, left: &[Draft]| {
        let mut others = draft.after.iter();
        others.find_map(|name| left.iter().position(|other| other.name == *name))
    };
    while !left.is_empty() {
        match left.iter().position(|draft| waits(draft, &left).is_none()) {
            Some(at) => done.push(left.remove(at)),
            None => return Err(circle(&left, &waits)),
        }
    }
    Ok(done)
}

fn circle(left: &[Draft], waits: &dyn Fn(&Draft, &[Draft]) -> Option<usize>) -> Error {
    // Whoever goes from one to the one that it waits for ends in a circle.
    let next = |at: usize| {
        left.get(at)
            .and_then(|draft| waits(draft, left))
            .unwrap_or(0)
    };
    let start = (0..left.len()).fold(0, |at, _| next(at));
    let (mut at, mut words) = (start, Vec::new());
    loop {
        words.push(left.get(at).map_or("", |draft| draft.name.as_str()));
        at = next(at);
        if at == start {
            break;
        }
    }
    words.push(words.first().copied().unwrap_or_default());
    Error::invalid(format!("a circle: {}", words.join(" after ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drafts(text: &str) -> Vec<Draft> {
        let one = |text: &str| {
            let (name, after) = text.split_once('<').unwrap_or((text, ""));
            Draft {
                name: name.to_string(),
                config: Config::default(),
                placement: Placement::default(),
                completes: false,
                shares: Vec::new(),
                after: after.split(',').map(str::to_string).collect(),
                hash: String::new(),
                image_id: String::new(),
                old: None,
            }
        };
        text.split(' ').map(one).collect()
    }

    #[test]
    fn what_others_come_after_stands_first_and_circles_are_named() {
        for (text, expected) in [
            ("a b c", "a b c"),
            ("a<b b<c c", "c b a"),
            ("a<c b c", "b c a"),
            ("a<elsewhere b<a", "a b"),
            ("a<b b<a", "a circle: a after b after a"),
            ("d<a a<b b<c c<a", "a circle: a after b after c after a"),
        ] {
            let found = match ordered(drafts(text)) {
                Ok(drafts) => {
                    let names: Vec<&str> = drafts.iter().map(|d| d.name.as_str()).collect();
                    names.join(" ")
                }
                Err(error) => error.to_string(),
            };
            assert_eq!(found, expected, "{text}");
        }
    }

    #[test]
    fn references_are_found_and_replaced() {
        let text = r#"{"NetworkMode":"container:vpn","VolumesFrom":["data:ro"],
            "Links":["/db:/x/database","db2"],"PidMode":"host"}"#;
        let mut host: HostConfig = json::parse(text, "test").unwrap();
        let mut seen = Vec::new();
        translate(&mut host, &mut |name| {
            seen.push(name.to_string());
            (name != "db2").then(|| "0".to_string())
        });
        assert_eq!(seen, ["vpn", "data", "db", "db2"]);
        assert_eq!(host.network_mode.as_deref(), Some("container:0"));
        assert_eq!(host.volumes_from.unwrap(), ["0:ro"]);
        assert_eq!(host.links.unwrap(), ["0:database", "db2"]);
    }
}
