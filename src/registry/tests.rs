//! Against a real registry, and against servers that lie.

use crate::registry::{Access, Repository, Settings};
use std::io::{Read, Write};

#[path = "../../tests/harness/liar.rs"]
mod liar;
#[path = "../../tests/harness/registry.rs"]
mod real;

use real::Registry;

/// Whether there is no real registry on this machine; then the list of skipped tests says so.
fn skip(name: &str) -> bool {
    let is_missing = !real::is_installed();
    if is_missing && let Some(list) = std::env::var_os("TUG_SKIPS") {
        let mut list = std::fs::File::options()
            .create(true)
            .append(true)
            .open(list)
            .unwrap();
        writeln!(list, "{name}: there is no docker-registry").unwrap();
    }
    is_missing
}

fn pull(settings: &Settings, host: &str) -> Repository {
    Repository::open(settings, host, "a/b", Access::Pull, None).unwrap()
}

fn push(settings: &Settings, host: &str) -> Repository {
    Repository::open(settings, host, "a/b", Access::Push, None).unwrap()
}

fn digest(bytes: &[u8]) -> String {
    super::manifest::digest_of(bytes)
}

fn content(repository: &Repository, bytes: &[u8], from: u64) -> Result<Vec<u8>, String> {
    let mut blob = repository
        .blob(&digest(bytes), bytes.len() as u64, from)
        .map_err(|e| e.to_string())?;
    let mut all = Vec::new();
    blob.read_to_end(&mut all).map_err(|e| e.to_string())?;
    assert_eq!(blob.position(), bytes.len() as u64);
    Ok(all)
}

fn manifest(config: &str, layer: &str) -> Vec<u8> {
    format!(
        r#"{{"schemaVersion":2,"mediaType":"{MANIFEST}","config":{{"mediaType":"c","digest":"{config}","size":2}},"layers":[{{"mediaType":"l","digest":"{layer}","size":3}}]}}"#
    )
    .into_bytes()
}

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

#[test]
fn what_a_real_registry_was_brought_is_fetched_again() {
    if skip("registry-real") {
        return;
    }
    let registry = Registry::start();
    let settings = Settings::default();
    let repository = push(&settings, &registry.host());
    let layer: Vec<u8> = (0..3_000_000u32).map(|n| (n % 251) as u8).collect();
    let (sent, size) = repository.upload(&mut &layer[..]).unwrap();
    assert_eq!(
        (sent.as_str(), size),
        (digest(&layer).as_str(), layer.len() as u64)
    );
    let (config, _) = repository.upload(&mut &b"{}"[..]).unwrap();
    assert_eq!(config, digest(b"{}"));
    let (empty, _) = repository.upload(&mut &b""[..]).unwrap();

    let bytes = manifest(&config, &sent);
    let put = repository.put_manifest("v1", MANIFEST, &bytes).unwrap();
    assert_eq!(put, digest(&bytes));
    repository.put_manifest("v2", MANIFEST, &bytes).unwrap();

    let repository = pull(&settings, &registry.host());
    for reference in ["v1", "v2", put.as_str()] {
        let document = repository.manifest(reference).unwrap();
        assert_eq!(
            (document.bytes.as_slice(), document.digest.as_str()),
            (&bytes[..], put.as_str())
        );
        assert_eq!(document.media_type, MANIFEST);
        let head = repository.head(reference).unwrap().unwrap();
        assert_eq!((head.digest, head.size), (put.clone(), bytes.len() as u64));
    }
    assert_eq!(repository.tags().unwrap(), ["v1", "v2"]);
    for from in [0, 1, 2_999_999, 3_000_000] {
        assert_eq!(
            content(&repository, &layer, from).unwrap(),
            layer[from as usize..],
            "{from}"
        );
    }
    assert_eq!(content(&repository, b"", 0).unwrap(), b"");
    assert_eq!(repository.has_blob(&sent).unwrap(), Some(3_000_000));
    assert_eq!(repository.has_blob(&digest(b"other")).unwrap(), None);
    assert!(repository.has_blob(&empty).unwrap().is_some());
    assert!(repository.head("nope").unwrap().is_none());
    let error = repository.manifest("nope").unwrap_err();
    let name = format!("{}/a/b:nope", registry.host());
    assert_eq!(
        error.to_string(),
        format!("manifest for {name} not found: manifest unknown: manifest unknown")
    );
    assert_eq!(error.kind, crate::error::Kind::NotFound);

    // A repository takes from another what is there already.
    let other = Repository::open(&settings, &registry.host(), "c", Access::Push, None).unwrap();
    assert!(other.mount_blob(&sent, "a/b").unwrap());
    assert!(!other.mount_blob(&digest(b"other"), "a/b").unwrap());
    assert_eq!(other.has_blob(&sent).unwrap(), Some(3_000_000));
    // One connection has served each repository, but for streams.
    assert!(registry.log().contains("response completed"));
}
