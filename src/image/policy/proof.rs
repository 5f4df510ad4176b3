//! Signatures, and what they are signatures of.
//!
//! What is signed is cosign's payload (simple signing): JSON that names a digest and an image. It
//! comes to us
//! - in a registry, as the image with the tag `sha256-DIGITS.sig` beside the signed one,
//! - in an OCI layout or archive, as an entry of `index.json` (`cosign save`, `skopeo copy`),
//! - in any archive, as its member `signatures.json`, which is also how they are kept with an image.

use super::key::Key;
use crate::base64;
use crate::error::{Context, Error, Kind, Result};
use crate::image::manifest;
use crate::image::reference::Reference;
use crate::image::source::sha256;
use crate::json::node::Node;
use crate::json::value::json_struct;
use crate::oci::image::{Descriptor, Manifest};
use crate::registry::Repository;
use std::io::Read;

/// In an image's directory, and in archives.
pub const FILE: &str = "signatures.json";

const PAYLOAD_TYPE: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
const SIGNATURE: &str = "dev.cosignproject.cosign/signature";
const DIGEST: &str = "critical.image.docker-manifest-digest";
const NAME: &str = "critical.identity.docker-reference";
const CRITICAL_TYPE: &str = "cosign container image signature";

/// More than any payload has.
const PAYLOAD_BYTES_MAX: u64 = 64 << 10;

/// Of one image.
const SIGNATURES_MAX: usize = 32;

json_struct! {
    /// What comes with an image to show whose it is; all in base64.
    #[derive(Clone, Debug, Default)]
    pub struct Proof {
        pub signatures: Option<Vec<Signature>>,
        /// Manifests and indexes that lead from a signed digest to the image.
        pub documents: Option<Vec<String>>,
    }

    #[derive(Clone, Debug, Default)]
    pub struct Signature {
        pub payload: Option<String>,
        pub signature: Option<String>,
    }
}

impl Proof {
    pub fn is_empty(&self) -> bool {
        self.signatures.as_ref().is_none_or(Vec::is_empty)
    }

    pub fn add(&mut self, other: &Proof) {
        let signatures = self.signatures.get_or_insert_default();
        for new in other.signatures.iter().flatten() {
            let is_same = |known: &Signature| known.signature == new.signature;
            if signatures.len() < SIGNATURES_MAX && !signatures.iter().any(is_same) {
                signatures.push(new.clone());
            }
        }
        let documents = self.documents.get_or_insert_default();
        for new in other.documents.iter().flatten() {
            if documents.len() < SIGNATURES_MAX && !documents.contains(new) {
                documents.push(new.clone());
            }
        }
    }

    /// The digest and the name of each payload.
    pub fn claims(&self) -> Vec<(String, String)> {
        let signatures = self.signatures.iter().flatten();
        let payloads = signatures.filter_map(Signature::decoded);
        payloads.map(|(payload, _)| claim(&payload)).collect()
    }

    pub fn document(&mut self, bytes: &[u8]) {
        let text = base64::encode(bytes);
        self.add(&Proof {
            documents: Some(vec![text]),
            ..Proof::default()
        });
    }

    fn signature(&mut self, layer: &Descriptor, payload: &[u8]) {
        let annotations = layer.annotations.as_ref();
        self.add(&Proof {
            signatures: Some(vec![Signature {
                payload: Some(base64::encode(payload)),
                signature: annotations.and_then(|all| all.get(SIGNATURE)).cloned(),
            }]),
            ..Proof::default()
        });
    }

    /// What an OCI layout has. Its entries that are signatures leave `index`: they are no images.
    pub fn of_layout(
        index: &mut Manifest,
        document: &dyn Fn(&Descriptor) -> Option<Vec<u8>>,
    ) -> Proof {
        let mut proof = Proof::default();
        let entries = index.manifests.take().unwrap_or_default();
        let mut images = Vec::new();
        for entry in entries {
            let bytes = document(&entry);
            let parsed = bytes.as_deref().and_then(|b| manifest::parse(b, "").ok());
            if let (Some(bytes), Some(_)) =
                (&bytes, parsed.as_ref().and_then(|p| p.manifests.as_ref()))
            {
                proof.document(bytes);
            }
            let layers = parsed.and_then(|parsed| parsed.layers).unwrap_or_default();
            let mut payloads = layers.iter().filter(|layer| is_payload(layer)).peekable();
            if payloads.peek().is_none() {
                images.push(entry);
            }
            for layer in payloads {
                if let Some(payload) = document(layer) {
                    proof.signature(layer, &payload);
                }
            }
        }
        index.manifests = Some(images);
        proof
    }

    /// What a registry has for `digest`, `sha256:…`; nothing, where it has none.
    pub fn of_registry(repository: &Repository, digest: &str) -> Result<Proof> {
        let mut proof = Proof::default();
        let tag = format!("{}.sig", digest.replace(':', "-"));
        let found = match repository.manifest(&tag) {
            Err(error) if error.kind == Kind::NotFound => return Ok(proof),
            found => found.context(|| format!("signatures of {digest}"))?,
        };
        let manifest = manifest::parse(&found.bytes, &tag)?;
        let layers = manifest.layers.unwrap_or_default();
        for layer in layers
            .iter()
            .filter(|layer| is_payload(layer))
            .take(SIGNATURES_MAX)
        {
            let digest = layer.digest.as_deref().unwrap_or_default();
            let size = layer.size.unwrap_or(0);
            if size > PAYLOAD_BYTES_MAX {
                return Err(Error::invalid(format!(
                    "{tag}: a payload of {size} bytes is none"
                )));
            }
            let mut payload = Vec::new();
            repository
                .blob(digest, size, 0)?
                .take(size)
                .read_to_end(&mut payload)
                .map_err(|e| Error::io(format_args!("read signature {digest}"), &e))?;
            proof.signature(layer, &payload);
        }
        Ok(proof)
    }
}

fn is_payload(layer: &Descriptor) -> bool {
    layer.media_type.as_deref() == Some(PAYLOAD_TYPE)
}

/// All that is known of one image.
pub struct Evidence {
    /// Digits.
    pub id: String,
    proof: Proof,
    /// What may be signed so that it means this image: `sha256:…`.
    digests: Vec<String>,
}

impl Evidence {
    /// `source` is the manifest that the image came with.
    pub fn new(id: &str, source: Option<&[u8]>, mut proof: Proof) -> Evidence {
        if let Some(source) = source {
            proof.document(source);
        }
        let mut evidence = Evidence {
            id: id.to_string(),
            digests: vec![format!("sha256:{id}")],
            proof,
        };
        let documents = evidence.proof.documents.iter().flatten();
        let mut open: Vec<(String, Vec<String>)> = Vec::new();
        for bytes in documents.filter_map(|text| base64::decode(text)) {
            if let Ok(parsed) = manifest::parse(&bytes, "") {
                let inner = parsed.manifests.into_iter().flatten();
                let leads = inner.chain(parsed.config).filter_map(|to| to.digest);
                open.push((format!("sha256:{}", sha256(&bytes)), leads.collect()));
            }
        }
        // A manifest leads to the configuration, an index to manifests and indexes.
        let leads_here = |(_, to): &(String, Vec<String>), known: &[String]| {
            to.iter().any(|digest| known.contains(digest))
        };
        while let Some(at) = open
            .iter()
            .position(|one| leads_here(one, &evidence.digests))
        {
            evidence.digests.push(open.swap_remove(at).0);
        }
        evidence
    }

    /// The proof that is worth keeping: of this image; none without a signature.
    pub fn worth_keeping(&self) -> Option<Proof> {
        let mut kept = self.proof.clone();
        let is_ours = |signature: &Signature| {
            let payload = signature.decoded().map(|(payload, _)| payload);
            payload.is_some_and(|payload| self.digests.contains(&claim(&payload).0))
        };
        kept.signatures.get_or_insert_default().retain(is_ours);
        kept.documents.get_or_insert_default().retain(|text| {
            let bytes = base64::decode(text).unwrap_or_default();
            self.digests.contains(&format!("sha256:{}", sha256(&bytes)))
        });
        (!kept.is_empty()).then_some(kept)
    }

    /// Why no signature of one of `keys` says that this image may be called `name`.
    pub fn signed_by(
        &self,
        keys: &[Key],
        name: Option<&Reference>,
    ) -> std::result::Result<(), String> {
        let mut why = "it has no signature".to_string();
        for signature in self.proof.signatures.iter().flatten() {
            let Some((payload, bytes)) = signature.decoded() else {
                why = "its signature is torn".to_string();
                continue;
            };
            if !keys.iter().any(|key| key.has_signed(&payload, &bytes)) {
                why = "its signature is by no key of the policy".to_string();
                continue;
            }
            match self.fits(&payload, name) {
                Ok(()) => return Ok(()),
                Err(problem) => why = problem,
            }
        }
        Err(why)
    }

    /// The payload is signed by somebody whom we trust: does it mean this image?
    fn fits(&self, payload: &[u8], name: Option<&Reference>) -> std::result::Result<(), String> {
        let text = String::from_utf8_lossy(payload);
        let Ok(root) = Node::new(&text, "") else {
            return Err("what is signed is no JSON".to_string());
        };
        if root.at("critical.type").text() != CRITICAL_TYPE {
            return Err("what is signed is no image".to_string());
        }
        let digest = root.at(DIGEST).text();
        if !self.digests.contains(&digest) {
            return Err(format!("its signature is of another image ({digest})"));
        }
        let signed = root.at(NAME).text();
        let fits = |name: &Reference| {
            let signed = Reference::parse(&signed);
            signed.is_ok_and(|signed| {
                let is_tag = |tag: &String| name.tag.is_none() || name.tag.as_ref() == Some(tag);
                signed.full_name() == name.full_name() && signed.tag.as_ref().is_none_or(is_tag)
            })
        };
        match name.is_none_or(fits) {
            true => Ok(()),
            false => Err(format!("its signature is for the name {signed:?}")),
        }
    }
}

impl Signature {
    fn decoded(&self) -> Option<(Vec<u8>, Vec<u8>)> {
        let decode = |text: &Option<String>| base64::decode(text.as_deref()?.trim());
        Some((decode(&self.payload)?, decode(&self.signature)?))
    }
}

/// The digest and the name that a payload says.
fn claim(payload: &[u8]) -> (String, String) {
    let text = String::from_utf8_lossy(payload);
    let root = Node::new(&text, "").ok();
    let said = |path| root.map_or(String::new(), |root: Node<'_>| root.at(path).text());
    (said(DIGEST), said(NAME))
}
