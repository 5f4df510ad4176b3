//! What registries say without a pull: whether a password is right, what they have under a name,
//! and what they find.

use crate::base64;
use crate::engine::Engine;
use crate::engine::filter::Filters;
use crate::engine::registry::of_json;
use crate::error::{Error, Result};
use crate::image::reference::Reference;
use crate::json::node::Node;
use crate::json::object::{self, Object};
use crate::registry::{self, Access, Credentials, Document, Repository, manifest};
use std::io::Read;

pub const SEARCH_FILTERS: &[&str] = &["is-automated", "is-official", "stars"];

/// Docker's bounds for what a search answers.
const LIMIT: (u32, u32) = (25, 100);

/// More than any sensible configuration of an image.
const CONFIG_BYTES_MAX: u64 = 4 << 20;

impl Engine {
    /// Ask the registry whether an account is right; `account` is JSON (API, AuthConfig). Answers a
    /// token to keep in the password's place, empty if it gives none.
    pub fn login(&self, account: &str) -> Result<String> {
        // The body is a secret: no error may show it.
        let wrong = |_| Error::invalid("invalid JSON of an account");
        let account = Node::new(account, "").map_err(wrong)?;
        let server = account.at("serveraddress").text();
        let rest = server.trim_start_matches("https://");
        let rest = rest.trim_start_matches("http://");
        let host = match rest.split('/').next().unwrap_or_default() {
            "" | "index.docker.io" => "docker.io",
            host => host,
        };
        let token = registry::login(&self.registries(), host, &of_json(account))?;
        Ok(token.unwrap_or_default())
    }

    /// What a registry has under `name`, with the platforms that it is for (API,
    /// DistributionInspect); and in `Raw`, which is ours, the document itself. `insecure`: whoever
    /// answers there is believed.
    pub fn distribution(
        &self,
        name: &str,
        insecure: bool,
        credentials: Option<&Credentials>,
    ) -> Result<String> {
        let name = Reference::parse(name)?.with_default_tag();
        let mut settings = self.registries();
        if insecure {
            settings.insecure.push(name.domain.clone());
        }
        let repository = Repository::open(
            &settings,
            &name.domain,
            &name.path,
            Access::Pull,
            credentials,
        )?;
        let reference = name.digest.as_deref().or(name.tag.as_deref());
        let document = repository.manifest(reference.unwrap_or_default())?;
        let platforms = platforms(&repository, &document)?;

        let mut descriptor = Object::new();
        descriptor
            .text("mediaType", &document.media_type)
            .text("digest", &document.digest)
            .number("size", document.size);
        let mut answer = Object::new();
        answer.put("Descriptor", &descriptor.finish());
        answer.put("Platforms", &object::list(&platforms));
        Ok(answer
            .text("Raw", &base64::encode(&document.bytes))
            .finish())
    }

    /// What is found at the registry that `term` begins with, else at Docker's.
    pub fn search(
        &self,
        term: &str,
        limit: Option<u32>,
        filters: &Filters,
        credentials: Option<&Credentials>,
    ) -> Result<String> {
        let limit = match limit.unwrap_or(0) {
            0 => LIMIT.0,
            limit if limit <= LIMIT.1 => limit,
            limit => {
                let most = LIMIT.1;
                let sentence = format!("limit {limit} is outside the range of [1, {most}]");
                return Err(Error::invalid(sentence));
            }
        };
        let wanted = Wanted::new(filters)?;
        let (host, term) = split(term)?;
        let settings = self.registries();
        let found = registry::search(&settings, host, term, limit, credentials)?;
        let found = Node::new(&found, "the registry's answer")?;
        let rows = found.at("results").items().into_iter();
        let rows = rows.filter(|row| wanted.takes(*row)).map(listed);
        Ok(object::list(&rows.collect::<Vec<_>>()))
    }
}

/// What a search lets through.
struct Wanted {
    stars: i64,
    official: Option<bool>,
    automated: Option<bool>,
}

impl Wanted {
    fn new(filters: &Filters) -> Result<Wanted> {
        let mut stars = 0;
        for text in filters.get("stars") {
            let wrong = |_| Error::invalid(format!("invalid filter 'stars={text}'"));
            stars = stars.max(text.parse().map_err(wrong)?);
        }
        Ok(Wanted {
            stars,
            official: filters.boolean("is-official")?,
            automated: filters.boolean("is-automated")?,
        })
    }

    fn takes(&self, row: Node<'_>) -> bool {
        let is_official = row.at("is_official").is_true();
        row.at("star_count").integer() >= self.stars
            && self.official.is_none_or(|wanted| wanted == is_official)
            // Docker has none of those any more.
            && self.automated != Some(true)
    }
}

/// A row of the answer (API, ImageSearch).
fn listed(row: Node<'_>) -> String {
    let stars = row.at("star_count").integer();
    let is_official = row.at("is_official").is_true();
    let mut object = Object::new();
    object
        .put("star_count", &stars.to_string())
        .put("is_official", &is_official.to_string())
        .text("name", &row.at("name").text())
        .put("is_automated", "false")
        .text("description", &row.at("description").text())
        .finish()
}

/// The registry and what to look for there.
fn split(term: &str) -> Result<(&str, &str)> {
    if term.contains("://") {
        return Err(Error::invalid(format!(
            "invalid repository name: repository name ({term}) should not have a scheme"
        )));
    }
    let (host, rest) = match term.split_once('/') {
        Some((host, rest)) if host.contains(['.', ':']) || host == "localhost" => (host, rest),
        _ => ("docker.io", term),
    };
    match host {
        "docker.io" | "index.docker.io" => {
            Ok(("docker.io", rest.strip_prefix("library/").unwrap_or(rest)))
        }
        host => Ok((host, rest)),
    }
}

/// JSON of the platforms that a manifest or a list of them is for.
fn platforms(repository: &Repository, document: &Document) -> Result<Vec<String>> {
    let text = String::from_utf8_lossy(&document.bytes);
    let node = Node::new(&text, "the manifest")?;
    if node.member("manifests").is_some() {
        let all = node.at("manifests").items().into_iter();
        let all = all.filter_map(|one| one.member("platform"));
        return Ok(all.map(|platform| platform.json().to_string()).collect());
    }
    let config = config(repository, node.at("config"))?;
    let config = Node::new(&config, "the image's configuration")?;
    let mut platform = Object::new();
    for name in ["architecture", "os", "os.version", "variant"] {
        let value = config.member(name).map(Node::text).unwrap_or_default();
        if !value.is_empty() {
            platform.text(name, &value);
        }
    }
    Ok(vec![platform.finish()])
}

/// What the descriptor of a configuration leads to; empty for what is no image.
fn config(repository: &Repository, descriptor: Node<'_>) -> Result<String> {
    let digest = descriptor.at("digest").text();
    let size = u64::try_from(descriptor.at("size").integer()).unwrap_or(0);
    if !descriptor.at("mediaType").text().contains("image") {
        return Ok("{}".to_string());
    }
    if size > CONFIG_BYTES_MAX {
        return Err(Error::invalid(format!(
            "configuration {digest} has {size} bytes: more than {CONFIG_BYTES_MAX}"
        )));
    }
    let mut bytes = Vec::new();
    let mut blob = repository.blob(&digest, size, 0)?;
    blob.read_to_end(&mut bytes)
        .map_err(|error| Error::io(format_args!("read configuration {digest}"), &error))?;
    if manifest::digest_of(&bytes) != digest {
        return Err(Error::invalid(format!(
            "configuration {digest} does not match its digest"
        )));
    }
    String::from_utf8(bytes)
        .map_err(|_| Error::invalid(format!("configuration {digest} is not UTF-8")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_term_may_name_its_registry() {
        for (term, expected) in [
            ("busybox", ("docker.io", "busybox")),
            ("library/busybox", ("docker.io", "busybox")),
            ("user/busybox", ("docker.io", "user/busybox")),
            ("docker.io/library/x", ("docker.io", "x")),
            ("localhost/x", ("localhost", "x")),
            ("127.0.0.1:5000/a/b", ("127.0.0.1:5000", "a/b")),
        ] {
            assert_eq!(split(term).unwrap(), expected);
        }
        assert!(split("https://x/y").is_err());
    }

    #[test]
    fn what_is_found_is_filtered() {
        let row = r#"{"name":"a","star_count":5,"is_official":true,"pull_count":7}"#;
        let row = Node::new(row, "").unwrap();
        for (filters, expected) in [
            ("{}", true),
            (r#"{"stars":["5"]}"#, true),
            (r#"{"stars":["5","6"]}"#, false),
            (r#"{"is-official":["true"]}"#, true),
            (r#"{"is-official":["false"]}"#, false),
            (r#"{"is-automated":["true"]}"#, false),
        ] {
            let parsed = Filters::parse(Some(filters), SEARCH_FILTERS).unwrap();
            assert_eq!(
                Wanted::new(&parsed).unwrap().takes(row),
                expected,
                "{filters}"
            );
        }
        let wrong = Filters::parse(Some(r#"{"stars":["x"]}"#), SEARCH_FILTERS).unwrap();
        let error = Wanted::new(&wrong).err().unwrap();
        assert_eq!(error.message, "invalid filter 'stars=x'");
        assert_eq!(
            listed(row),
            r#"{"star_count":5,"is_official":true,"name":"a","is_automated":false,"description":""}"#
        );
    }
}
