//! `push`: images into registries.

use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::image::pull::Audience;
use crate::image::push::Push;
use crate::image::reference::Reference;
use crate::oci::image::Platform;
use crate::registry::{Access, Credentials, Repository};
use crate::wire::image::Progress;

impl Engine {
    /// Push what is called `name`; without a tag, all tags of it.
    pub fn image_push(
        &self,
        name: &Reference,
        platform: Option<&Platform>,
        credentials: Option<&Credentials>,
        audience: &mut dyn Audience,
    ) -> Result<()> {
        if name.digest.is_some() {
            return Err(Error::invalid("cannot push a digest reference"));
        }
        let message = format!("The push refers to repository [{}]", name.full_name());
        audience.tell(&Progress::message("", &message))?;
        let references = self.images.tagged(name);
        if references.is_empty() {
            return Err(Error::not_found(format!(
                "An image does not exist locally with the tag: {}",
                name.familiar_name()
            )));
        }
        let references = match name.tag {
            Some(_) => vec![name.clone()],
            None => references,
        };
        let settings = self.registries();
        let (host, path) = (&name.domain, &name.path);
        let repository = Repository::open(&settings, host, path, Access::Push, credentials)?;
        for reference in &references {
            let push = Push {
                platform,
                repository: &repository,
                reference,
                attempts: self.settings().download_attempts_max,
            };
            self.images.push(&push, audience)?;
            self.tell_image("push", &reference.familiar(), &name.familiar_name());
        }
        Ok(())
    }
}
