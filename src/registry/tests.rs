//! Against a real registry, and against servers that lie.

use crate::error::Kind;
use crate::registry::{Access, Credentials, Repository, Settings};
use std::io::{Read, Write};

#[path = "../../tests/harness/liar.rs"]
mod liar;
#[path = "../../tests/harness/registry.rs"]
mod real;

mod auth;
mod blob;
mod manifest;
mod route;
#[cfg(feature = "tls")]
mod tls;

use liar::{Heard, Liar, Reply, Then, raw, reply};
use real::Registry;

/// What must never be told.
const SECRET: &str = "canary-of-the-password";

fn me() -> Credentials {
    Credentials {
        username: "me".to_string(),
        password: SECRET.to_string(),
        ..Credentials::default()
    }
}

/// The header line that says so.
fn basic() -> String {
    super::auth::basic(&me()).trim_end().to_string()
}

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

/// With a password.
fn mine(settings: &Settings, host: &str) -> Repository {
    Repository::open(settings, host, "a/b", Access::Pull, Some(&me())).unwrap()
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

/// Nobody has been told the password who is not in `allowed`, and the error does not tell it.
fn assert_kept(server: &Liar, error: &str) {
    for heard in server.heard() {
        let is_told = heard.header("authorization").is_some()
            || String::from_utf8_lossy(&heard.body).contains(SECRET);
        assert!(!is_told, "{heard:?}");
    }
    assert!(
        !error.contains(SECRET) && !error.contains(&basic()["Authorization: Basic ".len()..]),
        "{error}"
    );
}

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
    assert_eq!((sent.as_str(), size), (digest(&layer).as_str(), 3_000_000));
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
        assert_eq!((&document.bytes, &document.digest), (&bytes, &put));
        assert_eq!(document.media_type, MANIFEST);
    }
    assert_eq!(repository.tags().unwrap(), ["v1", "v2"]);
    for from in [0, 1, 2_999_999, 3_000_000] {
        let read = content(&repository, &layer, from).unwrap();
        assert_eq!(read, layer[from as usize..], "{from}");
    }
    assert_eq!(content(&repository, b"", 0).unwrap(), b"");
    assert_eq!(repository.has_blob(&sent).unwrap(), Some(3_000_000));
    assert_eq!(repository.has_blob(&digest(b"other")).unwrap(), None);
    assert!(repository.has_blob(&empty).unwrap().is_some());
    let error = repository.manifest("nope").unwrap_err();
    let name = format!("{}/a/b:nope", registry.host());
    assert_eq!(
        error.to_string(),
        format!("manifest for {name} not found: manifest unknown: manifest unknown")
    );
    assert_eq!(error.kind, Kind::NotFound);

    // A repository takes from another what is there already.
    let other = Repository::open(&settings, &registry.host(), "c", Access::Push, None).unwrap();
    assert!(other.mount_blob(&sent, "a/b").unwrap());
    assert!(!other.mount_blob(&digest(b"other"), "a/b").unwrap());
    assert_eq!(other.has_blob(&sent).unwrap(), Some(3_000_000));
}

#[test]
fn many_tags_come_page_by_page() {
    if skip("registry-tags") {
        return;
    }
    let registry = Registry::start();
    let repository = push(&Settings::default(), &registry.host());
    let (config, _) = repository.upload(&mut &b"{}"[..]).unwrap();
    let bytes = manifest(&config, &config);
    // Where it has them, without the work of 1,100 uploads.
    let put = repository.put_manifest("t0", MANIFEST, &bytes).unwrap();
    let tags = registry
        .dir
        .join("data/docker/registry/v2/repositories/a/b/_manifests/tags");
    for n in 1..1100 {
        let dir = tags.join(format!("t{n}/current"));
        std::fs::create_dir_all(&dir).unwrap();
        std::fs::write(dir.join("link"), &put).unwrap();
    }
    let mut all = repository.tags().unwrap();
    all.sort();
    all.dedup();
    assert_eq!(all.len(), 1100);
}

#[test]
fn nothing_but_names_tags_and_digests_gets_into_a_request() {
    let server = Liar::start(|_| reply(404, "", ""));
    let settings = Settings::default();
    for path in [
        "",
        "/",
        "a//b",
        "../a",
        "a/..",
        "A",
        "a?b",
        "a b",
        "a\r\nX: y",
        "a%2e",
    ] {
        let opened = Repository::open(&settings, &server.host(), path, Access::Pull, None);
        assert!(opened.is_err(), "{path:?}");
    }
    let repository = pull(&settings, &server.host());
    for reference in [
        "",
        "..",
        "a/b",
        "a?b",
        "a\r\nX: y",
        "sha256:1",
        "md5:00",
        "-a",
        "sha256:../x",
    ] {
        assert!(repository.manifest(reference).is_err(), "{reference:?}");
        assert!(
            repository.put_manifest(reference, MANIFEST, b"{}").is_err(),
            "{reference:?}"
        );
    }
    for wrong in ["", "x", "sha256:", "sha512:00", "sha256:../../x"] {
        assert!(repository.blob(wrong, 1, 0).is_err(), "{wrong:?}");
        assert!(repository.has_blob(wrong).is_err(), "{wrong:?}");
        assert!(repository.mount_blob(wrong, "c").is_err(), "{wrong:?}");
    }
    assert!(repository.blob(&digest(b"x"), 1, 2).is_err());
    assert_eq!(server.lines(), Vec::<String>::new());
    assert!(!format!("{:?}", me()).contains(SECRET));
}
