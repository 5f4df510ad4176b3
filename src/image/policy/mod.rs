//! Which images may be here: rules by name, and signatures that are checked on the device, offline.
//!
//! ```json
//! {"default": "refuse",
//!  "rules": [{"image": "registry.example/fleet/", "keys": ["/etc/tug/keys/release.pem"]},
//!            {"image": "docker.io/library/busybox", "action": "accept"}]}
//! ```
//!
//! The longest `image` that begins a name decides; an empty one is for all, those without a name too.
//! Signed is a digest (see `proof`): of the manifest, of an index that lists it, or the image's id.
//! Each leads to the configuration and from there to the bytes of every layer, which are checked
//! anyway. There is no time in it: a board's clock may be anywhere.
//!
//! Promised: an image is refused before it is visible, by name, with the reason. A file that cannot
//! be read refuses everything: it may have said so. It is read at each check, so what it says counts
//! from then on, and nothing of it is kept in memory.

mod door;
mod key;
pub mod proof;
#[cfg(test)]
mod tests;

pub use self::door::write;
use self::key::Key;
use self::proof::Evidence;
use crate::error::{Context, Error, Kind, Result};
use crate::image::reference::Reference;
use crate::json::node::Node;
use crate::sys::fs;
use std::path::{Path, PathBuf};

/// Where the policy lies that nobody has named.
pub const DEFAULT: &str = "/etc/tug/policy.json";

/// A policy's file. None: everything is accepted.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    path: Option<PathBuf>,
    /// Somebody has named it: that it is missing is no answer.
    is_named: bool,
}

/// What the file says.
struct Rules {
    default: Rule,
    rules: Vec<(String, Rule)>,
}

enum Rule {
    Accept,
    Refuse,
    Signed {
        keys: Vec<Key>,
        /// The payload may name another image: this registry is a mirror.
        any_reference: bool,
    },
}

impl Policy {
    /// The file that `named` says, or the one in its place if there is one.
    pub fn new(named: Option<PathBuf>) -> Policy {
        Policy {
            is_named: named.is_some(),
            path: Some(named.unwrap_or_else(|| PathBuf::from(DEFAULT))),
        }
    }

    /// A disk that does not answer, or a link to nowhere, is no missing policy.
    pub fn path(&self) -> Option<&Path> {
        let is_missing = |path: &Path| {
            let found = std::fs::symlink_metadata(path);
            found.is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound)
        };
        self.path
            .as_deref()
            .filter(|path| self.is_named || !is_missing(path))
    }

    /// None: there is no policy.
    fn read(&self) -> Result<Option<Rules>> {
        let Some(path) = self.path() else {
            return Ok(None);
        };
        let rules = fs::read(path).and_then(|bytes| {
            let text = String::from_utf8_lossy(&bytes);
            let dir = path.parent().unwrap_or(Path::new("/"));
            Rules::parse(&text, dir).context(|| path.display())
        });
        let rules = rules.context(|| "every image is refused, as its policy cannot be read");
        rules
            .map(Some)
            .map_err(|error| error.with_kind(Kind::Denied))
    }

    /// Whether one of these names needs a signature.
    pub fn wants_signature(&self, names: &[Reference]) -> Result<bool> {
        let Some(rules) = self.read()? else {
            return Ok(false);
        };
        let is_signed = |name| matches!(rules.rule(name), Rule::Signed { .. });
        Ok(names.is_empty() && is_signed(None) || names.iter().any(|name| is_signed(Some(name))))
    }

    /// Whether an image may have all of these names; without any, whether it may be here.
    pub fn check(&self, evidence: &Evidence, names: &[Reference]) -> Result<()> {
        let Some(rules) = self.read()? else {
            return Ok(());
        };
        if names.is_empty() {
            return self.judge(&rules, evidence, None);
        }
        // What people call it is in the sentence, rather than the digest's name beside it.
        let is_tagged = |name: &&Reference| name.digest.is_none();
        let tagged = names.iter().filter(is_tagged);
        let others = names.iter().filter(|name| !is_tagged(name));
        tagged
            .chain(others)
            .try_for_each(|name| self.judge(&rules, evidence, Some(name)))
    }

    fn judge(&self, rules: &Rules, evidence: &Evidence, name: Option<&Reference>) -> Result<()> {
        let why = match rules.rule(name) {
            Rule::Accept => return Ok(()),
            Rule::Refuse => "it is not among those that may be here".to_string(),
            Rule::Signed {
                keys,
                any_reference,
            } => {
                let wanted = name.filter(|_| !any_reference);
                match evidence.signed_by(keys, wanted) {
                    Ok(()) => return Ok(()),
                    Err(why) => why,
                }
            }
        };
        let shown = match name {
            Some(name) => name.familiar(),
            None => format!("sha256:{}", evidence.id),
        };
        let path = self.path.as_deref().unwrap_or(Path::new(""));
        Err(Error::new(
            Kind::Denied,
            format!("image {shown} is refused by {}: {why}", path.display()),
        ))
    }
}

impl Rules {
    fn parse(text: &str, dir: &Path) -> Result<Rules> {
        let root = Node::new(text, "policy")?;
        only(root, &["default", "rules"])?;
        let default = match root.member("default") {
            Some(action) => action_of(action)?,
            None => Rule::Refuse,
        };
        let list = root.at("rules");
        if !list.json().starts_with('[') && list.json() != "null" {
            return Err(Error::invalid("rules: a list is wanted"));
        }
        let mut rules: Vec<(String, Rule)> = Vec::new();
        for node in list.items() {
            let image = node.at("image");
            let Some(prefix) = image.word().filter(|_| image.json().starts_with('"')) else {
                return Err(Error::invalid("a rule has no image: a string is wanted"));
            };
            let rule = check_prefix(&prefix).and_then(|()| rule(node, dir));
            let rule = rule.context(|| format!("rule {prefix:?}"))?;
            if rules.iter().any(|(known, _)| *known == prefix) {
                return Err(Error::invalid(format!(
                    "rule {prefix:?} stands there twice"
                )));
            }
            rules.push((prefix, rule));
        }
        Ok(Rules { default, rules })
    }

    /// The rule for a name, the longest first.
    fn rule(&self, name: Option<&Reference>) -> &Rule {
        let full = name.map(Reference::full).unwrap_or_default();
        let fits = |(prefix, _): &&(String, Rule)| match full.strip_prefix(prefix.as_str()) {
            Some(rest) => {
                prefix.is_empty()
                    || prefix.ends_with('/')
                    || rest.is_empty()
                    || rest.starts_with(['/', ':', '@'])
            }
            None => false,
        };
        let rules = self.rules.iter().filter(fits);
        let best = rules.max_by_key(|(prefix, _)| prefix.len());
        best.map_or(&self.default, |(_, rule)| rule)
    }
}

fn rule(node: Node<'_>, dir: &Path) -> Result<Rule> {
    only(node, &["action", "image", "keys", "reference"])?;
    let Some(list) = node.member("keys") else {
        return match node.member("action") {
            Some(action) => action_of(action),
            None => Err(Error::invalid(
                "neither keys nor action: what is to be done?",
            )),
        };
    };
    if node.member("action").is_some() {
        return Err(Error::invalid("keys and action: one of them is meant"));
    }
    let any_reference = match node.at("reference").json() {
        "null" | "\"match\"" => false,
        "\"any\"" => true,
        _ => return Err(Error::invalid("reference: match or any is wanted")),
    };
    let mut keys = Vec::new();
    for text in list.items() {
        keys.extend(Key::read(&text.text(), dir)?);
    }
    if !cfg!(feature = "tls") {
        return Err(Error::unsupported(
            "this tug was built without TLS, and so without what checks signatures",
        ));
    }
    match keys.is_empty() {
        true => Err(Error::invalid(
            "keys: a list of PEM keys or of their files is wanted",
        )),
        false => Ok(Rule::Signed {
            keys,
            any_reference,
        }),
    }
}

fn action_of(node: Node<'_>) -> Result<Rule> {
    match node.json() {
        "\"accept\"" => Ok(Rule::Accept),
        "\"refuse\"" => Ok(Rule::Refuse),
        other => Err(Error::invalid(format!(
            "{other}: accept or refuse is wanted"
        ))),
    }
}

/// A rule that nobody meets would be taken for one that holds.
fn check_prefix(prefix: &str) -> Result<()> {
    let host = prefix.split_once('/').map(|(host, _)| host);
    let is_host = |host: &str| host.contains(['.', ':']) || host == "localhost";
    match prefix.is_empty() || host.is_some_and(is_host) {
        true => Ok(()),
        false => Err(Error::invalid(
            "a whole name is wanted, with the registry: docker.io/library/busybox, registry.example/fleet/",
        )),
    }
}

fn only(node: Node<'_>, known: &[&str]) -> Result<()> {
    let mut seen: Vec<String> = Vec::new();
    if !node.json().starts_with('{') {
        return Err(Error::invalid("an object is wanted"));
    }
    for (member, _) in node.pairs() {
        if !known.contains(&member.as_str()) || seen.contains(&member) {
            return Err(Error::invalid(format!(
                "{member:?} is unknown or stands there twice"
            )));
        }
        seen.push(member);
    }
    Ok(())
}
