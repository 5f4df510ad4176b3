//! The doors of the store: where an image becomes part of it, where one gets a name, and where one
//! is used that was there before the policy.

use super::Policy;
use super::proof::{Evidence, FILE, Proof};
use crate::error::Result;
use crate::image::reference::Reference;
use crate::image::source::sha256;
use crate::image::{Images, NewImage, shelf};
use crate::json;
use crate::store::record;
use std::path::Path;

impl Images {
    /// From now on what `policy` says counts.
    pub fn with_policy(mut self, policy: Policy) -> Images {
        self.policy = policy;
        self
    }

    /// Whether an image may come in, with the names that it brings.
    pub(in crate::image) fn admit(&self, new: &NewImage) -> Result<()> {
        // A step of a build: it is without a name until the build is done, and then it gets one.
        if new.origin.is_some() && new.names.is_empty() {
            return Ok(());
        }
        let digits = sha256(&new.config);
        let evidence = self.evidence(&digits, new.source.as_deref(), &new.proof);
        self.policy.check(&evidence, &new.names)
    }

    /// Whether an image that is there may have these names too.
    pub(in crate::image) fn admit_names(
        &self,
        digits: &str,
        names: &[Reference],
        proof: &Proof,
    ) -> Result<()> {
        let evidence = self.evidence(digits, None, proof);
        self.policy.check(&evidence, names)
    }

    /// Whether a container may be made of the image that is called `name`.
    pub fn permit(&self, name: &str) -> Result<()> {
        if self.policy.path().is_none() {
            return Ok(());
        }
        let digits = self.resolve(name)?;
        let evidence = self.evidence(&digits, None, &Proof::default());
        let named = Reference::parse(name).ok();
        let named = named.filter(|name| self.named(&name.clone().key()).as_ref() == Some(&digits));
        if let Some(name) = named {
            return self.policy.check(&evidence, &[name.with_default_tag()]);
        }
        // By its id: as any of its names.
        let names = self.names(&digits);
        let mut outcome = match names.is_empty() {
            true => self.policy.check(&evidence, &[]),
            false => Ok(()),
        };
        for name in names {
            outcome = self.policy.check(&evidence, &[name]);
            if outcome.is_ok() {
                break;
            }
        }
        outcome
    }

    /// What is signed of the image called `name`, as `(digest, name)` each, if it may be used.
    pub fn verify(&self, name: &str) -> Result<Vec<(String, String)>> {
        let digits = self.resolve(name)?;
        self.permit(name)?;
        Ok(self
            .proof(&digits)
            .map_or(Vec::new(), |proof| proof.claims()))
    }

    /// The policy's file, where there is one.
    pub fn policy_path(&self) -> Option<&Path> {
        self.policy.path()
    }

    /// What came with an image and what is kept of it.
    fn evidence(&self, digits: &str, source: Option<&[u8]>, proof: &Proof) -> Evidence {
        let dir = self.image_dir(digits);
        let mut all = kept(&dir);
        all.add(proof);
        if let Some(source) = source {
            all.document(source);
        }
        Evidence::new(digits, shelf::source(&dir).as_deref(), all)
    }

    /// Keep what an image brings that is there already. The caller holds `change`.
    pub(in crate::image) fn keep_proof(&self, digits: &str, proof: &Proof) -> Result<()> {
        let dir = self.images.join(digits);
        if proof.is_empty() || !dir.exists() {
            return Ok(());
        }
        match self.evidence(digits, None, proof).worth_keeping() {
            Some(proof) => record::replace(&dir, FILE, json::to_string(&proof).as_bytes()),
            None => Ok(()),
        }
    }

    /// The signatures of an image, and what leads from them to it.
    pub(in crate::image) fn proof(&self, digits: &str) -> Option<Proof> {
        let evidence = self.evidence(digits, None, &Proof::default());
        evidence.worth_keeping()
    }
}

/// What a new image brings, into a directory in the making. The caller syncs.
pub fn write(dir: &Path, image: &NewImage) -> Result<()> {
    let digits = sha256(&image.config);
    let evidence = Evidence::new(&digits, image.source.as_deref(), image.proof.clone());
    match evidence.worth_keeping() {
        Some(proof) => shelf::write_file(dir, FILE, json::to_string(&proof).as_bytes()),
        None => Ok(()),
    }
}

/// None that can be read is none: then the image is refused where one is wanted.
fn kept(dir: &Path) -> Proof {
    let bytes = record::load(dir, FILE).ok().flatten();
    let proof = bytes.and_then(|bytes| json::parse_bytes(&bytes, FILE).ok());
    proof.unwrap_or_default()
}
