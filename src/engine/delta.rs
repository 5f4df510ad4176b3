//! Deltas: what makes one image out of another, in an archive or beside the image in its registry.

use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::id;
use crate::image::delta::artifact::Made;
use crate::image::manifest::{OCI_IMAGE, OCI_INDEX};
use crate::image::pull::{self, Audience, Pull};
use crate::image::reference::Reference;
use crate::oci::image::Platform;
use crate::registry::manifest::digest_of;
use crate::registry::{Access, Credentials, Repository};
use crate::wire::image::Progress;

impl Engine {
    /// What makes image `new` out of `old`.
    pub fn image_delta(&self, old: &str, new: &str) -> Result<Made> {
        self.images.delta(old, new, None)
    }

    /// The same, brought to where `new` was pushed to, beside it.
    pub fn image_delta_push(
        &self,
        old: &str,
        new: &str,
        credentials: Option<&Credentials>,
        audience: &mut dyn Audience,
    ) -> Result<()> {
        let image = self.images.find(new)?;
        let reference = Reference::parse(new)?.with_default_tag();
        let repository = Repository::open(
            &self.registries(),
            &reference.domain,
            &reference.path,
            Access::Push,
            credentials,
        )?;
        let platform = Platform {
            os: image.image.os,
            architecture: image.image.architecture,
            variant: image.image.variant,
        };
        let there = pull::resolve(&Pull {
            repository: &repository,
            reference: &reference,
            platform: Some(&platform),
            downloads_max: 1,
            deltas: false,
        })?;
        if image.id != digest_of(&there.config) {
            return Err(Error::conflict(format!(
                "{} is another image in the registry than here: push it first",
                reference.familiar()
            )));
        }
        let mut tell = |id: &str, status: &str| audience.tell(&Progress::message(id, status));
        tell("", &format!("Making a delta from {old} to {new}"))?;
        let mut made = self.images.delta(old, new, Some(there.source))?;

        // The artifact's manifest is the last of them, and no blob there.
        for number in 0..made.blobs.len() - 1 {
            let digest = made.blobs[number].digest.clone();
            let status = match repository.has_blob(&digest)? {
                Some(_) => "Blob already exists",
                None => {
                    tell(id::short(&digest), "Pushing")?;
                    let mut blob = made.blob(number);
                    let blob = blob.as_mut().map_err(|e| Error::io("read delta", e))?;
                    repository.upload(blob)?;
                    "Pushed"
                }
            };
            tell(id::short(&digest), status)?;
        }
        let bytes = made.manifest.as_bytes();
        repository.put_referrer(
            (OCI_IMAGE, bytes),
            &made.subject,
            (OCI_INDEX, &made.descriptor),
        )?;
        tell("", &made.shown())?;
        tell("", &format!("Digest: {}", digest_of(bytes)))
    }
}
