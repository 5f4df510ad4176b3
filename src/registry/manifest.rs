//! Manifests and indexes, by tag or digest.

use crate::error::{Error, Kind, Result};
use crate::http::head::Headers;
use crate::id;
use crate::json::node::Node;
use crate::registry::{Ask, Document, Repository, checked, refusal};
use sha2::{Digest, Sha256};

/// The distribution specification's bound.
const BYTES_MAX: usize = 4 << 20;

const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

const ACCEPT: &str = "Accept: application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, \
     application/vnd.docker.distribution.manifest.list.v2+json, \
     application/vnd.docker.distribution.manifest.v2+json\r\n";

/// What servers say that do not know what they serve.
const VAGUE: [&str; 4] = [
    "",
    "application/json",
    "text/plain",
    "application/octet-stream",
];

impl Repository {
    /// The manifest or index that `reference`, a tag or digest, stands for.
    pub fn manifest(&self, reference: &str) -> Result<Document> {
        check_reference(reference)?;
        let target = format!("manifests/{reference}");
        let answer = self.0.ask(&self.0.get("GET", &target, ACCEPT))?;
        if answer.status >= 400 {
            return Err(refusal::read(answer).about(&self.0.name, &separated(reference)));
        }
        let answer = checked(answer)?;
        let (kind, told) = (media_type(&answer.headers), told_digest(&answer.headers));
        let bytes = answer.bytes(BYTES_MAX, "the manifest")?;
        let digest = digest_of(&bytes);
        let wanted = if reference.contains(':') {
            Some(reference.to_string())
        } else {
            told
        };
        if wanted.as_ref().is_some_and(|wanted| *wanted != digest) {
            return Err(Error::invalid(format!(
                "manifest of {}{}: verification failed for digest {}: the registry's bytes have {digest}",
                self.0.name,
                separated(reference),
                wanted.unwrap_or_default()
            )));
        }
        let media_type = self.check(&kind, &bytes, reference)?;
        Ok(Document {
            media_type,
            digest,
            size: bytes.len() as u64,
            bytes,
        })
    }

    /// Bring a manifest or index. Answers its digest.
    pub fn put_manifest(&self, reference: &str, media_type: &str, bytes: &[u8]) -> Result<String> {
        self.put(reference, media_type, bytes).map(|put| put.0)
    }

    /// The same. Answers as well whether the registry has taken note of what it refers to.
    pub(super) fn put(
        &self,
        reference: &str,
        media_type: &str,
        bytes: &[u8],
    ) -> Result<(String, bool)> {
        check_reference(reference)?;
        let digest = digest_of(bytes);
        let headers = format!("Content-Type: {media_type}\r\n");
        let answer = self.0.ask(&Ask {
            body: bytes,
            ..self
                .0
                .get("PUT", &format!("manifests/{reference}"), &headers)
        })?;
        let answer = checked(answer)?;
        let told = told_digest(&answer.headers);
        let is_noted = answer.headers.get("oci-subject").is_some();
        answer.finish();
        match told {
            Some(told) if told != digest => Err(Error::new(
                Kind::System,
                format!("the registry has taken manifest {digest} for {told}"),
            )),
            _ => Ok((digest, is_noted)),
        }
    }

    /// What kind of document it is, by its own word and the registry's, which must not differ: one
    /// reader's index must not be another's manifest (CVE-2021-41190).
    fn check(&self, told: &str, bytes: &[u8], reference: &str) -> Result<String> {
        let wrong = |what: &str| {
            Error::invalid(format!(
                "manifest of {}{}: {what}",
                self.0.name,
                separated(reference)
            ))
        };
        let text = std::str::from_utf8(bytes).map_err(|_| wrong("not UTF-8"))?;
        let node = Node::new(text, "manifest").map_err(|e| wrong(&e.message))?;
        let own = node.at("mediaType").text();
        let is_vague = VAGUE.contains(&told);
        if node.at("schemaVersion").integer() == 1 || told.contains("distribution.manifest.v1+") {
            return Err(wrong(
                "schema 1, which Docker gave up in 2017, is not supported: push the image again with a current client",
            ));
        }
        if !is_vague && !own.is_empty() && own != told {
            return Err(wrong(&format!(
                "it says that it is {own:?}, the registry that it is {told:?}"
            )));
        }
        let (has_manifests, has_layers) = (node.member("manifests"), node.member("layers"));
        match (has_manifests.is_some(), has_layers.is_some()) {
            (true, true) => Err(wrong("both an index and a manifest")),
            _ if !is_vague => Ok(told.to_string()),
            _ if !own.is_empty() => Ok(own),
            (true, false) => Ok(OCI_INDEX.to_string()),
            (false, true) => Ok(OCI_MANIFEST.to_string()),
            (false, false) => Err(wrong("neither an index nor a manifest")),
        }
    }
}

/// `:tag` or `@digest`.
fn separated(reference: &str) -> String {
    let separator = if reference.contains(':') { '@' } else { ':' };
    format!("{separator}{reference}")
}

/// A tag or a digest. Nothing else gets into a target.
fn check_reference(reference: &str) -> Result<()> {
    if reference.contains(':') {
        return id::digest_hex(reference).map(|_| ());
    }
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
    match reference.bytes().all(allowed)
        && !reference.is_empty()
        && !reference.starts_with(['.', '-'])
    {
        true => Ok(()),
        false => Err(Error::invalid(format!("invalid tag {reference:?}"))),
    }
}

fn media_type(headers: &Headers) -> String {
    let text = headers.get("content-type").unwrap_or_default();
    let kind = text.split(';').next().unwrap_or_default();
    kind.trim().to_ascii_lowercase()
}

/// What the registry says the digest is, if it is one of ours.
fn told_digest(headers: &Headers) -> Option<String> {
    let told = headers.get("docker-content-digest")?;
    told.starts_with("sha256:").then(|| told.to_string())
}

pub fn digest_of(bytes: &[u8]) -> String {
    format!("sha256:{}", id::hex(&Sha256::digest(bytes)))
}
