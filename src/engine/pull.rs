//! `pull`: images out of registries.

use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::image::manifest;
use crate::image::pull::{self, Audience, Pull};
use crate::image::reference::Reference;
use crate::registry::{Access, Credentials, Repository};
use crate::wire::image::Progress;

/// What a client asks for; what it leaves out is empty.
#[derive(Default)]
pub struct Wanted {
    pub image: String,
    /// A tag or a digest. Without it, and without one in `image`: all tags.
    pub tag: String,
    pub platform: String,
    pub credentials: Option<Credentials>,
}

impl Engine {
    pub fn image_pull(&self, wanted: &Wanted, audience: &mut dyn Audience) -> Result<()> {
        let name = name(wanted)?;
        let mut wear = self.wear_of("pull");
        wear.name(&name.familiar());
        let platform = match wanted.platform.as_str() {
            "" => None,
            text => Some(manifest::platform(text)?),
        };
        let repository = Repository::open(
            &self.registries(),
            &name.domain,
            &name.path,
            Access::Pull,
            wanted.credentials.as_ref(),
        )?;
        let references = match name.tag.is_some() || name.digest.is_some() {
            true => vec![name.clone()],
            false => {
                let tags = repository.tags()?;
                let tags = tags.iter().map(|tag| name.with(tag));
                tags.collect::<Result<_>>()?
            }
        };

        let (downloads_max, deltas) = {
            let settings = self.settings();
            (settings.downloads_max, settings.deltas)
        };
        let (mut is_new, mut warning) = (false, None);
        for reference in &references {
            let pulled = self.images.pull(
                &Pull {
                    repository: &repository,
                    reference,
                    platform: platform.as_ref(),
                    downloads_max: usize::try_from(downloads_max).unwrap_or(1),
                    deltas,
                },
                audience,
            )?;
            is_new |= pulled.is_new;
            let warn = |platform| pull::mismatch(&reference.familiar(), platform, &pulled.platform);
            warning = warning.or_else(|| platform.as_ref().and_then(warn));
        }
        let shown = name.familiar();
        let status = match is_new {
            true => format!("Status: Downloaded newer image for {shown}"),
            false => format!("Status: Image is up to date for {shown}"),
        };
        for line in [Some(status), warning].into_iter().flatten() {
            audience.tell(&Progress::message("", &line))?;
        }
        self.tell_image("pull", &shown, &name.familiar_name());
        Ok(())
    }
}

/// The tag beside a name takes the place of the tag in it.
fn name(wanted: &Wanted) -> Result<Reference> {
    let mut name = Reference::parse(&wanted.image)?;
    if !wanted.tag.is_empty() {
        name.tag = None;
        name.digest = None;
        name = name
            .with(&wanted.tag)
            .map_err(|_| Error::invalid("invalid tag format"))?;
    }
    Ok(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tag_beside_a_name_counts() {
        let digest = format!("sha256:{}", "0".repeat(64));
        let name = |image: &str, tag: &str| {
            let wanted = Wanted {
                image: image.to_string(),
                tag: tag.to_string(),
                ..Wanted::default()
            };
            name(&wanted).map(|name| name.familiar())
        };
        assert_eq!(name("a", "").unwrap(), "a");
        assert_eq!(name("a:1", "").unwrap(), "a:1");
        assert_eq!(name("a:1", "2").unwrap(), "a:2");
        assert_eq!(name("a:1", &digest).unwrap(), format!("a@{digest}"));
        assert_eq!(name("a", "-").unwrap_err().message, "invalid tag format");
        assert!(name("A", "1").is_err());
    }
}
