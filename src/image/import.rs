//! `import`: one archive of a root file system becomes an image with one layer.

use crate::error::{Context, Error, Result};
use crate::image::layer::{self, End};
use crate::image::policy::proof::Proof;
use crate::image::reference::Reference;
use crate::image::source::{Input, Source, sha256};
use crate::image::{Images, NewImage, change, manifest};
use crate::json;
use crate::oci::image::{Config, History, Image, RootFs};
use crate::time::Time;
use std::io::Read;

/// What is said about an archive that is imported.
#[derive(Clone, Debug, Default)]
pub struct Import {
    /// A URL, or `-` for what comes with the request.
    pub from: String,
    pub reference: Option<String>,
    /// Instructions as in a Dockerfile: `CMD ["sh"]`.
    pub changes: Vec<String>,
    pub message: Option<String>,
    /// `linux/arm/v7`; this machine's without.
    pub platform: Option<String>,
}

impl Images {
    /// Unpack an archive, compressed or not. Answers the image's id, `sha256:…`.
    pub fn import(&self, from: &mut dyn Read, import: &Import) -> Result<String> {
        // What is wrong with the request is said before a long archive is read.
        let mut image = describe(import)?;
        let names = match &import.reference {
            Some(text) => vec![name(text)?],
            None => Vec::new(),
        };
        let mut input = Input(from);
        let mut source = Source::new(&mut input);
        let outcome = layer::stage(&self.layers, &mut source, End::Required).and_then(|layer| {
            image.rootfs = Some(RootFs {
                kind: Some("layers".into()),
                diff_ids: Some(vec![format!("sha256:{}", layer.diff)]),
            });
            let config = json::to_string(&image).into_bytes();
            let id = format!("sha256:{}", sha256(&config));
            let new = NewImage {
                config,
                layers: vec![layer.diff.clone()],
                size: layer.size,
                names,
                source: None,
                proof: Proof::default(),
                origin: None,
            };
            self.commit(vec![layer], vec![new]).map(|()| id)
        });
        outcome.map_err(|e| self.advise(e)).context(|| "import")
    }
}

fn name(text: &str) -> Result<Reference> {
    let reference = Reference::parse(text)?;
    if reference.digest.is_some() {
        return Err(Error::invalid("cannot import digest reference"));
    }
    Ok(reference.with_default_tag())
}

fn describe(import: &Import) -> Result<Image> {
    let mut config = Config::default();
    for line in &import.changes {
        change::apply(&mut config, line)?;
    }
    let platform = match &import.platform {
        Some(text) => manifest::platform(text)?,
        None => manifest::own_platform(),
    };
    if platform.os.as_deref() != Some("linux") {
        let os = platform.os.unwrap_or_default();
        return Err(Error::invalid(format!(
            "operating system is not supported: {os:?}"
        )));
    }
    let message = match &import.message {
        Some(message) if !message.is_empty() => message.clone(),
        _ => format!("Imported from {}", import.from),
    };
    let now = Time::now().rfc3339();
    Ok(Image {
        created: Some(now.clone()),
        architecture: platform.architecture,
        variant: platform.variant,
        os: platform.os,
        config: Some(config),
        history: Some(vec![History {
            created: Some(now),
            comment: Some(message.clone()),
            ..History::default()
        }]),
        comment: Some(message),
        ..Image::default()
    })
}
