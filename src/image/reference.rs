//! Names of images: `[HOST[:PORT]/]PATH[:TAG][@DIGEST]`.
//!
//! The grammar, the defaults and the sentences are those of Docker (distribution/reference):
//! `busybox` is short for `docker.io/library/busybox:latest`.

use crate::error::{Error, Result};
use crate::id;

pub const DEFAULT_DOMAIN: &str = "docker.io";
/// What Docker's first clients wrote.
const LEGACY_DOMAIN: &str = "index.docker.io";
const OFFICIAL: &str = "library/";
const DEFAULT_TAG: &str = "latest";
const PATH_CHARS_MAX: usize = 255;
const TAG_CHARS_MAX: usize = 128;

/// A name in full: the domain is always there, and so is `library/`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    pub domain: String,
    pub path: String,
    pub tag: Option<String>,
    /// `sha256:…`.
    pub digest: Option<String>,
}

impl Reference {
    pub fn parse(text: &str) -> Result<Reference> {
        if id::is_full(text) {
            return Err(Error::invalid(format!(
                "invalid repository name ({text}), cannot specify 64-byte hexadecimal strings"
            )));
        }
        let (domain, rest) = split_domain(text);
        let remote = rest.split(':').next().unwrap_or_default();
        if remote.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return Err(Error::invalid(format!(
                "invalid reference format: repository name ({remote}) must be lowercase"
            )));
        }

        let (rest, digest) = match rest.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest)),
            None => (&rest[..], None),
        };
        let (path, tag) = match rest.split_once(':') {
            Some((path, tag)) => (path, Some(tag)),
            None => (rest, None),
        };
        let is_valid = is_domain(domain)
            && path.split('/').all(is_path_component)
            && tag.is_none_or(is_tag)
            && digest.is_none_or(|digest| id::digest_hex(digest).is_ok());
        if !is_valid {
            return Err(Error::invalid("invalid reference format"));
        }
        if path.len() > PATH_CHARS_MAX {
            return Err(Error::invalid(format!(
                "invalid reference format: repository name must not be more than {PATH_CHARS_MAX} characters"
            )));
        }
        Ok(Reference {
            domain: domain.to_string(),
            path: path.to_string(),
            tag: tag.map(str::to_string),
            digest: digest.map(str::to_string),
        })
    }

    /// With `latest`, where neither tag nor digest is given.
    pub fn with_default_tag(mut self) -> Reference {
        if self.tag.is_none() && self.digest.is_none() {
            self.tag = Some(DEFAULT_TAG.to_string());
        }
        self
    }

    /// The name under which records have it. A digest says it all: the tag beside it may mean
    /// something else by now.
    pub fn key(mut self) -> String {
        if self.digest.is_some() {
            self.tag = None;
        }
        self.with_default_tag().full()
    }

    /// The same name with another tag or digest.
    pub fn with(&self, tag_or_digest: &str) -> Result<Reference> {
        let separator = match tag_or_digest.contains(':') {
            true => '@',
            false => ':',
        };
        Reference::parse(&format!(
            "{}/{}{separator}{tag_or_digest}",
            self.domain, self.path
        ))
    }

    /// `docker.io/library/busybox:1.36`.
    pub fn full(&self) -> String {
        self.write(&self.full_name())
    }

    /// The same without tag and digest.
    pub fn full_name(&self) -> String {
        format!("{}/{}", self.domain, self.path)
    }

    /// As people write it: `busybox:1.36`.
    pub fn familiar(&self) -> String {
        self.write(&self.familiar_name())
    }

    /// `busybox`, without tag and digest.
    pub fn familiar_name(&self) -> String {
        if self.domain != DEFAULT_DOMAIN {
            return format!("{}/{}", self.domain, self.path);
        }
        match self.path.strip_prefix(OFFICIAL) {
            Some(name) if !name.contains('/') => name.to_string(),
            _ => self.path.clone(),
        }
    }

    fn write(&self, name: &str) -> String {
        let mut text = name.to_string();
        for (separator, part) in [(':', &self.tag), ('@', &self.digest)] {
            if let Some(part) = part {
                text.push(separator);
                text.push_str(part);
            }
        }
        text
    }
}

/// What is in front of the first slash is a host only if it looks like one.
fn split_domain(text: &str) -> (&str, String) {
    let (domain, rest) = match text.split_once('/') {
        Some((first, rest))
            if first.contains(['.', ':'])
                || first == "localhost"
                || first.bytes().any(|byte| byte.is_ascii_uppercase()) =>
        {
            (first, rest)
        }
        _ => (DEFAULT_DOMAIN, text),
    };
    let domain = match domain {
        LEGACY_DOMAIN => DEFAULT_DOMAIN,
        other => other,
    };
    if domain == DEFAULT_DOMAIN && !rest.contains('/') {
        return (domain, format!("{OFFICIAL}{rest}"));
    }
    (domain, rest.to_string())
}

fn is_domain(text: &str) -> bool {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (text, None),
    };
    let is_port = |port: &str| !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
    if !port.is_none_or(is_port) {
        return false;
    }
    if let Some(address) = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')) {
        let allowed = |b: u8| b.is_ascii_hexdigit() || b == b':';
        return !address.is_empty() && address.bytes().all(allowed);
    }
    host.split('.').all(|label| {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
        !label.is_empty()
            && label.bytes().all(allowed)
            && !label.starts_with('-')
            && !label.ends_with('-')
    })
}

/// Lower-case letters and digits, in groups that `.`, `_`, `__` or any number of `-` separate.
fn is_path_component(text: &str) -> bool {
    let is_word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let mut separators = text.split(|c: char| c.is_ascii() && is_word(c as u8));
    let is_separator = |s: &str| matches!(s, "" | "." | "_" | "__") || s.bytes().all(|b| b == b'-');
    let ends_in_words = |text: &str| {
        let bytes = text.as_bytes();
        bytes.first().is_some_and(|b| is_word(*b)) && bytes.last().is_some_and(|b| is_word(*b))
    };
    ends_in_words(text) && separators.all(is_separator)
}

fn is_tag(text: &str) -> bool {
    let is_word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    text.len() <= TAG_CHARS_MAX
        && text.bytes().next().is_some_and(is_word)
        && text.bytes().all(|b| is_word(b) || matches!(b, b'.' | b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    #[test]
    fn names_are_completed_as_docker_does() {
        for (text, full, familiar) in [
            ("busybox", "docker.io/library/busybox", "busybox"),
            (
                "busybox:1.36",
                "docker.io/library/busybox:1.36",
                "busybox:1.36",
            ),
            ("library/busybox", "docker.io/library/busybox", "busybox"),
            ("docker.io/busybox", "docker.io/library/busybox", "busybox"),
            ("index.docker.io/a/b", "docker.io/a/b", "a/b"),
            (
                "a/b/c:V1.0-x_y",
                "docker.io/a/b/c:V1.0-x_y",
                "a/b/c:V1.0-x_y",
            ),
            (
                "docker.io/library/a/b",
                "docker.io/library/a/b",
                "library/a/b",
            ),
            ("localhost/x", "localhost/x", "localhost/x"),
            (
                "localhost:5000/x:t",
                "localhost:5000/x:t",
                "localhost:5000/x:t",
            ),
            ("Host/x", "Host/x", "Host/x"),
            ("ghcr.io/a/b", "ghcr.io/a/b", "ghcr.io/a/b"),
            ("[::1]:5000/x", "[::1]:5000/x", "[::1]:5000/x"),
            ("x/a-b__c.d--e", "docker.io/x/a-b__c.d--e", "x/a-b__c.d--e"),
            ("localhost", "docker.io/library/localhost", "localhost"),
            ("x:5000/y", "x:5000/y", "x:5000/y"),
            (
                "abcdef012345",
                "docker.io/library/abcdef012345",
                "abcdef012345",
            ),
        ] {
            let reference = Reference::parse(text).expect(text);
            assert_eq!(reference.full(), full);
            assert_eq!(reference.familiar(), familiar);
            assert_eq!(Reference::parse(full).unwrap(), reference);
        }
    }

    #[test]
    fn the_tag_is_latest_unless_something_else_is_said() {
        let complete = |text: &str| {
            let reference = Reference::parse(text).unwrap();
            reference.with_default_tag().familiar()
        };
        assert_eq!(complete("busybox"), "busybox:latest");
        assert_eq!(complete("busybox:1"), "busybox:1");
        let by_digest = format!("busybox@{DIGEST}");
        assert_eq!(complete(&by_digest), by_digest);
        let both = format!("busybox:1@{DIGEST}");
        assert_eq!(complete(&both), both);
    }

    #[test]
    fn beside_a_digest_a_tag_means_nothing() {
        let name = Reference::parse(&format!("busybox:1@{DIGEST}")).unwrap();
        assert_eq!(
            name.clone().key(),
            format!("docker.io/library/busybox@{DIGEST}")
        );
        assert_eq!(
            Reference::parse("a").unwrap().key(),
            "docker.io/library/a:latest"
        );
        let other = |text: &str| name.with(text).map(|name| name.familiar());
        assert_eq!(other("2").unwrap(), "busybox:2");
        assert_eq!(other(DIGEST).unwrap(), format!("busybox@{DIGEST}"));
        assert!(other("-2").is_err() && other("sha256:12").is_err());
    }

    #[test]
    fn refusals_are_in_dockers_words() {
        let message = |text: &str| Reference::parse(text).unwrap_err().to_string();
        let hyphen_host = "-a.b/c";
        let long_tag = format!("a:{}", "t".repeat(129));
        for text in [
            "",
            "/",
            "a/",
            "/a",
            "a//b",
            "a:",
            ":a",
            "a:b:c",
            "-a",
            "a-",
            "a..b",
            "a___b",
            "a b",
            "a@",
            "a@sha256:12",
            "a@md5:0123",
            "a\n",
            "ä",
            "a/../b",
            "../a",
            "./a",
            hyphen_host,
            "a.b:/c",
            "a.b:x/c",
            "[::1/x",
            "a:\u{e4}",
            &long_tag,
            "http://a/b",
            "a:-b",
        ] {
            assert_eq!(message(text), "invalid reference format", "{text:?}");
        }
        assert_eq!(
            message("Busybox"),
            "invalid reference format: repository name (library/Busybox) must be lowercase"
        );
        assert_eq!(
            message("ghcr.io/A/b:T"),
            "invalid reference format: repository name (A/b) must be lowercase"
        );
        let digits = &DIGEST[7..];
        assert_eq!(
            message(digits),
            format!(
                "invalid repository name ({digits}), cannot specify 64-byte hexadecimal strings"
            )
        );
        assert!(message(&"a".repeat(300)).ends_with("must not be more than 255 characters"));
    }
}
