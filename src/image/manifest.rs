//! Which documents of an archive say what images it holds.

use crate::error::{Error, Result};
use crate::json;
use crate::json::value::json_struct;
use crate::oci::image::{Descriptor, Manifest, Platform};

json_struct! {
    /// An entry of the `manifest.json` that `docker save` writes.
    #[derive(Debug, Default)]
    pub struct Saved {
        pub config: Option<String> = "Config",
        pub repo_tags: Option<Vec<String>> = "RepoTags",
        pub layers: Option<Vec<String>> = "Layers",
    }
}

/// Where containerd and Docker write the whole name of an image.
const NAME: &str = "io.containerd.image.name";
/// image-spec, annotations.md: often a tag and no more.
const REF_NAME: &str = "org.opencontainers.image.ref.name";

/// A document of `manifests` or of `layers`: which it is, is for the caller to see. One that has both
/// would be an image to one reader and a list to another (CVE-2021-41190).
pub fn parse(bytes: &[u8], what: &str) -> Result<Manifest> {
    let document: Manifest = json::parse_bytes(bytes, what)?;
    let is_image = document.layers.is_some() || document.config.is_some();
    if is_image && document.manifests.is_some() {
        return Err(Error::invalid(format!(
            "{what} is ambiguous: it has both manifests and layers"
        )));
    }
    if !is_image && document.manifests.is_none() {
        return Err(Error::invalid(format!(
            "{what} has neither manifests nor layers"
        )));
    }
    Ok(document)
}

/// The name that an index gives to an image, where it is a whole one.
pub fn name(descriptor: &Descriptor) -> Option<&str> {
    let annotations = descriptor.annotations.as_ref()?;
    let ref_name = || {
        let name = annotations.get(REF_NAME)?;
        name.contains([':', '/']).then_some(name)
    };
    annotations
        .get(NAME)
        .or_else(ref_name)
        .map(|name| &name[..])
}

/// Of images that are the same for different machines, the one for this machine.
pub fn choose<'a>(candidates: &[&'a Descriptor]) -> Result<&'a Descriptor> {
    // What goes with an image (signatures, attestations) has no platform to run on.
    let mut real = candidates
        .iter()
        .filter(|descriptor| architecture(descriptor) != Some("unknown"));
    if let (Some(only), None) = (real.next(), real.next()) {
        return Ok(only);
    }
    let own = own_platform();
    let best = candidates
        .iter()
        .filter_map(|descriptor| Some((rank(descriptor.platform.as_ref()?, &own)?, *descriptor)))
        .min_by_key(|(rank, _)| *rank);
    best.map(|(_, descriptor)| descriptor).ok_or_else(|| {
        Error::not_found(format!(
            "no matching manifest for {} in the manifest list entries",
            shown(&own)
        ))
    })
}

fn architecture(descriptor: &Descriptor) -> Option<&str> {
    descriptor.platform.as_ref()?.architecture.as_deref()
}

/// How well an image for `platform` runs here: 0 is best, `None` not at all.
fn rank(platform: &Platform, own: &Platform) -> Option<u8> {
    if platform.os != own.os || platform.architecture != own.architecture {
        return None;
    }
    let level = |platform: &Platform| {
        let variant = platform.variant.as_deref()?.strip_prefix('v')?;
        variant.parse::<u8>().ok()
    };
    match (level(own), level(platform)) {
        // An older ARM's programs run on a newer one; where none is said it is v7.
        (Some(own), wanted) => own.checked_sub(wanted.unwrap_or(own)),
        // amd64/v2 and so on say what they need; we can't know, the plain one comes first.
        (None, wanted) => Some(wanted.unwrap_or(0)),
    }
}

/// `linux/arm/v7`.
pub fn shown(platform: &Platform) -> String {
    let parts = [&platform.os, &platform.architecture, &platform.variant];
    let parts: Vec<&str> = parts.into_iter().flatten().map(|part| &part[..]).collect();
    parts.join("/")
}

/// `OS`, `OS/ARCH` or `OS/ARCH/VARIANT`; or JSON, as Docker's client sends it.
pub fn platform(text: &str) -> Result<Platform> {
    if text.starts_with('{') {
        return json::parse_bytes(text.as_bytes(), "platform");
    }
    let own = own_platform();
    let mut parts = text.split('/');
    let os = parts.next().unwrap_or_default();
    if os != "linux" {
        return Err(Error::invalid(format!(
            "operating system is not supported: {os:?}"
        )));
    }
    let architecture = parts.next();
    let variant = match architecture {
        None => own.variant,
        Some(_) => parts.next().map(str::to_string),
    };
    Ok(Platform {
        os: Some(os.to_string()),
        architecture: architecture.map(str::to_string).or(own.architecture),
        variant,
    })
}

/// This machine in Go's words.
pub fn own_platform() -> Platform {
    let (architecture, variant) = match std::env::consts::ARCH {
        "x86_64" => ("amd64", None),
        "x86" => ("386", None),
        "aarch64" => ("arm64", None),
        "arm" => ("arm", Some("v7")),
        other => (other, None),
    };
    Platform {
        os: Some("linux".into()),
        architecture: Some(architecture.into()),
        variant: variant.map(str::to_string),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn platform(text: &str) -> Platform {
        let mut parts = text.split('/').map(str::to_string);
        Platform {
            os: parts.next(),
            architecture: parts.next(),
            variant: parts.next(),
        }
    }

    #[test]
    fn an_older_arm_program_runs_on_a_newer_arm_and_not_the_other_way() {
        let own = platform("linux/arm/v7");
        for (text, expected) in [
            ("linux/arm/v7", Some(0)),
            ("linux/arm", Some(0)),
            ("linux/arm/v6", Some(1)),
            ("linux/arm/v5", Some(2)),
            ("linux/arm/v8", None),
            ("linux/arm64/v8", None),
            ("windows/arm/v7", None),
        ] {
            assert_eq!(rank(&platform(text), &own), expected, "{text}");
        }
        let own = platform("linux/amd64");
        assert_eq!(rank(&platform("linux/amd64/v3"), &own), Some(3));
        assert_eq!(rank(&platform("linux/amd64"), &own), Some(0));
    }

    #[test]
    fn of_an_image_and_its_attestation_the_image_is_taken_whatever_it_is_for() {
        let descriptor = |text: &str| Descriptor {
            platform: Some(platform(text)),
            media_type: None,
            digest: None,
            size: None,
            annotations: None,
        };
        let (image, attestation) = (descriptor("linux/s390x"), descriptor("unknown/unknown"));
        let chosen = choose(&[&image, &attestation]).unwrap();
        assert_eq!(shown(chosen.platform.as_ref().unwrap()), "linux/s390x");
        let other = descriptor("linux/mips64le");
        assert!(choose(&[&image, &other]).is_err());
        assert!(choose(&[]).is_err());
    }

    #[test]
    fn a_document_that_is_both_image_and_index_is_refused() {
        assert!(parse(b"{\"manifests\":[]}", "index.json").is_ok());
        assert!(parse(b"{\"layers\":[],\"config\":{}}", "x").is_ok());
        assert!(parse(b"{}", "x").is_err());
        let error = parse(b"{\"manifests\":[],\"layers\":[]}", "index.json").unwrap_err();
        assert_eq!(
            error.message,
            "index.json is ambiguous: it has both manifests and layers"
        );
    }
}
