//! What refers to a manifest: signatures, deltas (distribution-spec 1.1, "Listing Referrers").
//!
//! A registry of before has no such list. There it lies under a tag that is made of the digest, and
//! whoever brings something keeps it up to date.

use crate::error::{Error, Kind, Result};
use crate::http::query;
use crate::id;
use crate::json::node::Node;
use crate::json::object::{Object, list};
use crate::registry::Repository;
use crate::registry::manifest::digest_of;

/// The distribution specification's bound for a manifest.
const BYTES_MAX: usize = 4 << 20;

const ACCEPT: &str = "Accept: application/vnd.oci.image.index.v1+json\r\n";

impl Repository {
    /// The index of what refers to the manifest `digest`; perhaps of one type only.
    pub fn referrers(&self, digest: &str, artifact_type: &str) -> Result<Vec<u8>> {
        id::digest_hex(digest)?;
        let wanted = query::encode(artifact_type);
        let target = format!("referrers/{digest}?artifactType={wanted}");
        let answer = self.0.ask(&self.0.get("GET", &target, ACCEPT))?;
        if answer.status == 200 {
            return answer.bytes(BYTES_MAX, "the list of referrers");
        }
        answer.finish();
        self.tagged_referrers(digest)
    }

    /// That of a registry that keeps none itself.
    pub fn tagged_referrers(&self, digest: &str) -> Result<Vec<u8>> {
        let document = self.manifest(&referrers_tag(digest))?;
        match document.media_type.contains("index") {
            true => Ok(document.bytes),
            false => Err(Error::new(Kind::Invalid, "a tag for referrers is no index")),
        }
    }

    /// Bring the manifest of something that refers to `subject`. `index` is the type of lists, and
    /// `listed` what they say of it.
    pub fn put_referrer(
        &self,
        (media_type, bytes): (&str, &[u8]),
        subject: &str,
        (index, listed): (&str, &str),
    ) -> Result<()> {
        let (digest, is_noted) = self.put(&digest_of(bytes), media_type, bytes)?;
        if is_noted {
            return Ok(());
        }
        let known = match self.tagged_referrers(subject) {
            Err(error) if error.kind == Kind::NotFound => Vec::new(),
            known => known?,
        };
        let text = String::from_utf8_lossy(&known);
        let mut all = Vec::new();
        if !text.is_empty() {
            for item in Node::new(&text, "list of referrers")?
                .at("manifests")
                .items()
            {
                if item.at("digest").text() != digest {
                    all.push(item.json().to_string());
                }
            }
        }
        all.push(listed.to_string());
        let text = Object::new()
            .put("schemaVersion", "2")
            .text("mediaType", index)
            .put("manifests", &list(&all))
            .finish();
        self.put(&referrers_tag(subject), index, text.as_bytes())
            .map(drop)
    }
}

/// `sha256-…`.
pub fn referrers_tag(digest: &str) -> String {
    digest.replacen(':', "-", 1)
}
