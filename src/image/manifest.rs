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

pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub const OCI_IMAGE: &str = "application/vnd.oci.image.manifest.v1+json";
pub const DOCKER_INDEX: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
pub const DOCKER_IMAGE: &str = "application/vnd.docker.distribution.manifest.v2+json";

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

/// The same for a document of a registry, which has a type: members of another type's would make it
/// something else to another reader.
pub fn read(media_type: &str, bytes: &[u8], what: &str) -> Result<Manifest> {
    let document = parse(bytes, what)?;
    let is_index = match media_type {
        OCI_INDEX | DOCKER_INDEX => true,
        OCI_IMAGE | DOCKER_IMAGE => false,
        _ => {
            return Err(Error::invalid(format!(
                "{what} is no container image, but of type {media_type:?}"
            )));
        }
    };
    match is_index == document.manifests.is_some() {
        true => Ok(document),
        false => Err(Error::invalid(format!(
            "{what} is ambiguous: its type is {media_type}, its members are those of another"
        ))),
    }
}

/// `linux/arm/v7`, `linux/arm64`, or one part of that: `arm64`, `linux` (as containerd reads it); or
/// JSON, as newer clients send it.
pub fn platform(text: &str) -> Result<Platform> {
    if text.starts_with('{') {
        return json::parse_bytes(text.as_bytes(), "platform");
    }
    let own = own_platform();
    let parts: Vec<&str> = text.split('/').collect();
    let is_word = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-');
    let is_part = |part: &&str| !part.is_empty() && part.bytes().all(is_word);
    if parts.len() > 3 || !parts.iter().all(is_part) {
        return Err(Error::invalid(format!(
            "{text:?} is no platform: expected os, os/architecture or os/architecture/variant"
        )));
    }
    let (os, architecture) = match parts[..] {
        [os] if OSES.contains(&os) => {
            return Ok(Platform {
                os: Some(os.to_string()),
                ..own
            });
        }
        [architecture] if ARCHITECTURES.contains(&architecture) => ("linux", architecture),
        [os, architecture, ..] => (os, architecture),
        _ => {
            return Err(Error::invalid(format!(
                "{text:?}: unknown operating system or architecture: invalid argument"
            )));
        }
    };
    let (architecture, variant) = normal(architecture, parts.get(2).copied());
    let text = |text: &str| Some(text.to_string());
    Ok(Platform {
        os: text(os),
        architecture: text(architecture),
        variant: variant.and_then(text),
    })
}

/// An architecture and its variant in Go's words.
fn normal<'a>(architecture: &'a str, variant: Option<&'a str>) -> (&'a str, Option<&'a str>) {
    match (architecture, variant) {
        ("i386", _) => ("386", variant),
        ("x86_64" | "x86-64", _) => normal("amd64", variant),
        ("amd64", Some("v1")) => ("amd64", None),
        ("aarch64", _) => normal("arm64", variant),
        ("arm64", None | Some("8")) => ("arm64", Some("v8")),
        ("armhf", _) | ("arm", None | Some("7")) => ("arm", Some("v7")),
        ("armel", _) | ("arm", Some("6")) => ("arm", Some("v6")),
        ("arm", Some("5")) => ("arm", Some("v5")),
        ("arm", Some("8")) => ("arm", Some("v8")),
        _ => (architecture, variant),
    }
}

const OSES: [&str; 4] = ["linux", "windows", "darwin", "freebsd"];
const ARCHITECTURES: [&str; 15] = [
    "386", "aarch64", "amd64", "arm", "arm64", "armel", "armhf", "i386", "loong64", "mips64le",
    "ppc64le", "riscv64", "s390x", "x86-64", "x86_64",
];

/// Of images that are the same for different machines, the one for this machine.
pub fn choose<'a>(candidates: &[&'a Descriptor]) -> Result<&'a Descriptor> {
    // What goes with an image (signatures, attestations) has no platform to run on.
    let mut real = candidates
        .iter()
        .filter(|descriptor| architecture(descriptor) != Some("unknown"));
    if let (Some(only), None) = (real.next(), real.next()) {
        return Ok(only);
    }
    choose_for(candidates, &own_platform())
}

/// The one that runs best on `own`.
pub fn choose_for<'a>(candidates: &[&'a Descriptor], own: &Platform) -> Result<&'a Descriptor> {
    let rank = |descriptor: &Descriptor| match &descriptor.platform {
        Some(platform) => rank(platform, own),
        // Whoever made it saw no need to say more; anything that says so is better.
        None => Some(u8::MAX),
    };
    let best = candidates
        .iter()
        .filter_map(|descriptor| Some((rank(descriptor)?, *descriptor)))
        .min_by_key(|(rank, _)| *rank);
    best.map(|(_, descriptor)| descriptor).ok_or_else(|| {
        Error::not_found(format!(
            "no matching manifest for {} in the manifest list entries",
            shown(own)
        ))
    })
}

fn architecture(descriptor: &Descriptor) -> Option<&str> {
    descriptor.platform.as_ref()?.architecture.as_deref()
}

/// Whether an image for `platform` is one for `wanted`.
pub fn runs(platform: &Platform, wanted: &Platform) -> bool {
    rank(platform, wanted).is_some_and(|rank| rank < OTHER - 15)
}

/// How well an image for `platform` runs here: 0 is best, `None` not at all.
fn rank(platform: &Platform, own: &Platform) -> Option<u8> {
    if platform.os != own.os {
        return None;
    }
    let architecture = |platform: &'_ Platform| platform.architecture.clone().unwrap_or_default();
    let (ours, theirs) = (architecture(own), architecture(platform));
    match (&ours[..], &theirs[..]) {
        // amd64/v2 and so on say what they need; we can't know, the plain one comes first.
        ("amd64", "amd64") if own.variant.is_none() => level(platform).checked_sub(AMD64_LEVEL),
        // An older ARM's programs run on a newer one.
        _ if ours == theirs => level(own).checked_sub(level(platform)),
        // Most 64-bit kernels run those too. Better than nothing, so last.
        ("arm64", "arm") => Some(OTHER - level(platform).min(OTHER)),
        ("amd64", "386") => Some(OTHER),
        _ => None,
    }
}

const AMD64_LEVEL: u8 = 1 << 4;
/// After all variants of the machine's own architecture.
const OTHER: u8 = u8::MAX - 1;

/// `v8.1` as 0x81, with what it is where nothing is said.
fn level(platform: &Platform) -> u8 {
    let said = || {
        let variant = platform.variant.as_deref()?.strip_prefix('v')?;
        let (major, minor) = variant.split_once('.').unwrap_or((variant, "0"));
        let (major, minor) = (major.parse::<u8>().ok()?, minor.parse::<u8>().ok()?);
        (major < 16 && minor < 16).then_some(major << 4 | minor)
    };
    said().unwrap_or(match platform.architecture.as_deref() {
        Some("arm64") => 8 << 4,
        Some("arm") => 7 << 4,
        _ => AMD64_LEVEL,
    })
}

/// `linux/arm/v7`.
pub fn shown(platform: &Platform) -> String {
    let parts = [&platform.os, &platform.architecture, &platform.variant];
    let parts: Vec<&str> = parts.into_iter().flatten().map(|part| &part[..]).collect();
    parts.join("/")
}

/// This machine in Go's words.
pub fn own_platform() -> Platform {
    let (architecture, variant) = match std::env::consts::ARCH {
        "x86_64" => ("amd64", None),
        "x86" => ("386", None),
        "aarch64" => ("arm64", Some("v8")),
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
            ("linux/arm/v6", Some(0x10)),
            ("linux/arm/v5", Some(0x20)),
            ("linux/arm/v8", None),
            ("linux/arm64/v8", None),
            ("windows/arm/v7", None),
        ] {
            assert_eq!(rank(&platform(text), &own), expected, "{text}");
        }
    }

    /// What is taken on a machine, best first, and what is not.
    #[test]
    fn of_many_platforms_the_nearest_is_taken() {
        fn order(own: &str, of: &[&'static str]) -> Vec<&'static str> {
            let own = super::platform(own).unwrap();
            let of = of.iter().map(|text| (rank(&platform(text), &own), *text));
            let mut of: Vec<_> = of.filter(|(rank, _)| rank.is_some()).collect();
            of.sort_unstable();
            of.iter().map(|(_, text)| *text).collect()
        }
        const ALL: &[&str] = &[
            "linux/386",
            "linux/amd64",
            "linux/amd64/v2",
            "linux/amd64/v3",
            "linux/arm/v5",
            "linux/arm/v6",
            "linux/arm/v7",
            "linux/arm64",
            "linux/arm64/v8.1",
            "linux/arm64/v9",
            "windows/amd64",
        ];
        for (own, expected) in [
            ("arm", &ALL[4..7]),
            ("linux/arm/v6", &ALL[4..6]),
            ("armel", &ALL[4..6]),
            ("linux/arm/v5", &ALL[4..5]),
            ("386", &ALL[..1]),
            ("windows/amd64", &ALL[10..]),
            ("s390x", &[]),
        ] {
            let mut expected = expected.to_vec();
            expected.reverse();
            assert_eq!(order(own, ALL), expected, "{own}");
        }
        assert_eq!(
            order("amd64", ALL),
            [
                "linux/amd64",
                "linux/amd64/v2",
                "linux/amd64/v3",
                "linux/386"
            ]
        );
        assert_eq!(
            order("linux/amd64/v2", ALL),
            ["linux/amd64/v2", "linux/amd64", "linux/386"]
        );
        let arms = ["linux/arm/v7", "linux/arm/v6", "linux/arm/v5"];
        assert_eq!(
            order("aarch64", ALL)[..4],
            [&["linux/arm64"], &arms[..]].concat()
        );
        assert_eq!(
            order("arm64/v9", ALL),
            [] as [&str; 0],
            "an operating system called arm64"
        );
        assert_eq!(
            order("linux/arm64/v8.2", ALL)[..2],
            ["linux/arm64/v8.1", "linux/arm64"]
        );
    }

    #[test]
    fn platforms_are_read_as_docker_reads_them() {
        for (text, expected) in [
            ("linux/arm/7", "linux/arm/v7"),
            ("armhf", "linux/arm/v7"),
            ("linux/x86_64/v1", "linux/amd64"),
            ("i386", "linux/386"),
            ("arm64", "linux/arm64/v8"),
            ("linux/mine/v2", "linux/mine/v2"),
            ("linux", &shown(&own_platform())),
        ] {
            assert_eq!(shown(&super::platform(text).unwrap()), expected);
        }
        for text in ["", "/", "linux/", "a/b/c/d", "linux/a b", "mine"] {
            let error = super::platform(text).unwrap_err().to_string();
            assert!(
                error.contains("platform") || error.contains("unknown operating"),
                "{error}"
            );
        }
    }

    #[test]
    fn a_document_is_of_the_type_that_is_declared() {
        let read = |header: &str, text: &str| {
            let document = read(header, text.as_bytes(), "x:1");
            document
                .map(|d| d.manifests.is_some())
                .map_err(|e| e.message.clone())
        };
        let image = r#"{"schemaVersion":2,"config":{},"layers":[]}"#;
        let index = r#"{"schemaVersion":2,"manifests":[]}"#;
        assert_eq!(read(OCI_IMAGE, image), Ok(false));
        assert_eq!(read(DOCKER_INDEX, index), Ok(true));
        assert!(read(OCI_INDEX, image).unwrap_err().contains("ambiguous"));
        assert!(read(DOCKER_IMAGE, index).unwrap_err().contains("ambiguous"));
        assert_eq!(
            read("application/vnd.oci.artifact.manifest.v1+json", image),
            Err("x:1 is no container image, but of type \"application/vnd.oci.artifact.manifest.v1+json\"".into())
        );
        for bad in [
            "",
            "[]",
            "nul",
            r#"{"schemaVersion":2}"#,
            r#"{"layers":[{"size":-1}]}"#,
        ] {
            assert!(read(OCI_IMAGE, bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn of_an_image_and_its_attestation_the_image_is_taken_whatever_it_is_for() {
        let descriptor = |text: &str| Descriptor {
            platform: Some(platform(text)),
            media_type: None,
            digest: None,
            size: None,
            artifact_type: None,
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
