//! Real keys and signatures by openssl, images by hand.

use super::*;
use crate::base64;
use crate::image::Images;
use crate::image::source::sha256;
use crate::image::testing::{Tar, scratch};
use crate::store::staging::Staging;
use std::process::Command;

/// Keys, a policy and a store.
struct Bench {
    dir: Staging,
}

impl Bench {
    fn new() -> Bench {
        let bench = Bench { dir: scratch() };
        bench.openssl("genpkey -algorithm ed25519 -out ed.pem");
        bench.openssl("pkey -in ed.pem -pubout -out ed.pub");
        bench.openssl("genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out ec.pem");
        bench.openssl("pkey -in ec.pem -pubout -out ec.pub");
        bench.openssl("genpkey -algorithm ed25519 -out other.pem");
        bench
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn openssl(&self, line: &str) {
        let mut openssl = Command::new("openssl");
        openssl.args(line.split(' ')).current_dir(self.dir.path());
        let output = openssl.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "openssl {line}: {said}");
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        std::fs::write(self.path(name), content).unwrap();
        self.path(name)
    }

    fn sign(&self, key: &str, payload: &str) -> Vec<u8> {
        self.write("payload", payload);
        match key {
            "ec.pem" => self.openssl("dgst -sha256 -sign ec.pem -out signature payload"),
            key => self.openssl(&format!(
                "pkeyutl -sign -rawin -inkey {key} -in payload -out signature"
            )),
        }
        std::fs::read(self.path("signature")).unwrap()
    }

    /// As `signatures.json` has it.
    fn proof(&self, key: &str, payload: &str) -> String {
        let signature = base64::encode(&self.sign(key, payload));
        let payload = base64::encode(payload.as_bytes());
        format!(r#"{{"signatures":[{{"payload":"{payload}","signature":"{signature}"}}]}}"#)
    }

    /// With both keys for `registry.example/`, and nothing for others.
    fn policy(&self) -> Policy {
        self.policy_of(
            r#"{"rules":[{"image":"registry.example/","keys":["ed.pub","ec.pub"]},
            {"image":"docker.io/library/free","action":"accept"}]}"#,
        )
    }

    fn policy_of(&self, text: &str) -> Policy {
        Policy::new(Some(self.write("policy.json", text)))
    }

    fn store(&self, policy: Policy) -> Images {
        let root = self.path("root");
        Images::open(&root).unwrap().with_policy(policy)
    }
}

fn payload(digest: &str, name: &str) -> String {
    format!(
        r#"{{"critical":{{"identity":{{"docker-reference":"{name}"}},"image":{{"docker-manifest-digest":"{digest}"}},"type":"cosign container image signature"}},"optional":null}}"#
    )
}

/// An image without layers, told from others by `mark`.
struct Made {
    config: String,
    manifest: String,
}

impl Made {
    fn new(mark: &str) -> Made {
        let config = format!(
            r#"{{"os":"linux","author":"{mark}","rootfs":{{"type":"layers","diff_ids":[]}}}}"#
        );
        let manifest = format!(
            r#"{{"schemaVersion":2,"config":{},"layers":[]}}"#,
            descriptor(&config)
        );
        Made { config, manifest }
    }

    fn id(&self) -> String {
        format!("sha256:{}", sha256(self.config.as_bytes()))
    }

    fn digest(&self) -> String {
        format!("sha256:{}", sha256(self.manifest.as_bytes()))
    }

    /// What `docker save` writes, and `signatures.json` if there is one.
    fn archive(&self, name: &str, proof: Option<&str>) -> Vec<u8> {
        let manifest = format!(r#"[{{"Config":"c.json","RepoTags":["{name}"],"Layers":[]}}]"#);
        let tar = Tar::new()
            .file("c.json", &self.config)
            .file("manifest.json", &manifest);
        match proof {
            Some(proof) => tar.file("signatures.json", proof).end(),
            None => tar.end(),
        }
    }

    /// What `cosign save` writes; the image is listed by an index, if so.
    fn layout(&self, name: &str, bench: &Bench, key: &str, of: &str, is_indexed: bool) -> Vec<u8> {
        let payload = payload(of, "registry.example/app");
        let signature = base64::encode(&bench.sign(key, &payload));
        let layer = descriptor(&payload).replacen(
            '{',
            &format!(
                r#"{{"mediaType":"application/vnd.dev.cosign.simplesigning.v1+json","annotations":{{"dev.cosignproject.cosign/signature":"{signature}"}},"#
            ),
            1,
        );
        let signatures = format!(
            r#"{{"schemaVersion":2,"config":{},"layers":[{layer}]}}"#,
            descriptor("{}")
        );
        let list = format!(
            r#"{{"schemaVersion":2,"manifests":[{}]}}"#,
            descriptor(&self.manifest)
        );
        let top = if is_indexed { &list } else { &self.manifest };
        let image = descriptor(top).replacen(
            '{',
            &format!(r#"{{"annotations":{{"io.containerd.image.name":"{name}"}},"#),
            1,
        );
        let signed = descriptor(&signatures).replacen(
            '{',
            r#"{"annotations":{"kind":"dev.cosignproject.cosign/sigs"},"#,
            1,
        );
        let index = format!(r#"{{"schemaVersion":2,"manifests":[{image},{signed}]}}"#);
        let mut tar = Tar::new().file("index.json", &index);
        for blob in [
            &self.config,
            &self.manifest,
            &list,
            &signatures,
            &payload,
            "{}",
        ] {
            tar = tar.file(&format!("blobs/sha256/{}", sha256(blob.as_bytes())), blob);
        }
        tar.end()
    }
}

fn descriptor(text: &str) -> String {
    let digits = sha256(text.as_bytes());
    format!(r#"{{"digest":"sha256:{digits}","size":{}}}"#, text.len())
}

/// What the store says of an archive.
fn load(store: &Images, archive: &[u8]) -> String {
    let mut archive = archive;
    match store.load(&mut archive, None) {
        Ok(loaded) => loaded[0].reference.clone().unwrap_or_default(),
        Err(error) => {
            assert_eq!(error.kind, Kind::Denied, "{error}");
            let text = error.to_string();
            text.split_once("policy.json: ")
                .map_or(text.clone(), |(_, why)| why.to_string())
        }
    }
}

const APP: &str = "registry.example/app:1";

#[test]
fn signed_layouts_are_let_in_and_others_refused_by_name() {
    let bench = Bench::new();
    let store = bench.store(bench.policy());
    let (image, other) = (Made::new("one"), Made::new("two"));
    for key in ["ed.pem", "ec.pem"] {
        for is_indexed in [false, true] {
            let archive = image.layout(APP, &bench, key, &image.digest(), is_indexed);
            assert_eq!(load(&store, &archive), APP);
            store.permit(APP).unwrap();
            store.remove(APP, true, &|_| None).unwrap();
        }
    }
    let archive = other.layout(APP, &bench, "other.pem", &other.digest(), false);
    assert_eq!(
        load(&store, &archive),
        "its signature is by no key of the policy"
    );
    // Replayed: a good signature, of another image.
    let archive = other.layout(APP, &bench, "ed.pem", &image.digest(), false);
    let expected = format!("its signature is of another image ({})", image.digest());
    assert_eq!(load(&store, &archive), expected);
    let archive = other.layout(
        "registry.example/shell:1",
        &bench,
        "ed.pem",
        &other.digest(),
        false,
    );
    assert_eq!(
        load(&store, &archive),
        "its signature is for the name \"registry.example/app\""
    );
    let archive = other.layout(
        "elsewhere.example/app:1",
        &bench,
        "ed.pem",
        &other.digest(),
        false,
    );
    assert_eq!(
        load(&store, &archive),
        "it is not among those that may be here"
    );
    // The whole sentence names image and policy, and nothing of it is there.
    let mut archive = &other.archive(APP, None)[..];
    let error = store.load(&mut archive, None).unwrap_err().to_string();
    let policy = bench.path("policy.json");
    assert_eq!(
        error,
        format!(
            "load: image {APP} is refused by {}: it has no signature",
            policy.display()
        )
    );
    assert!(store.find(&other.id()).is_err());
}

#[test]
fn an_archive_without_manifest_is_signed_by_its_id() {
    let bench = Bench::new();
    let store = bench.store(bench.policy());
    let image = Made::new("one");
    let good = bench.proof("ed.pem", &payload(&image.id(), "registry.example/app:1"));
    assert_eq!(load(&store, &image.archive("free:1", None)), "free:1");
    assert_eq!(
        load(&store, &image.archive(APP, None)),
        "it has no signature"
    );
    let torn = good.replacen("\"signature\":\"", "\"signature\":\"AA", 1);
    assert_eq!(
        load(&store, &image.archive(APP, Some(&torn))),
        "its signature is by no key of the policy"
    );
    let torn = good.replacen("\"payload\":\"", "\"payload\":\"?", 1);
    assert_eq!(
        load(&store, &image.archive(APP, Some(&torn))),
        "its signature is torn"
    );
    let none = bench.proof("ed.pem", "{\"a\":1}");
    assert_eq!(
        load(&store, &image.archive(APP, Some(&none))),
        "what is signed is no image"
    );
    let other = bench.proof("ed.pem", &payload(&image.id(), "registry.example/app:2"));
    assert_eq!(
        load(&store, &image.archive(APP, Some(&other))),
        "its signature is for the name \"registry.example/app:2\""
    );
    assert_eq!(load(&store, &image.archive(APP, Some(&good))), APP);

    // It is kept: a name may be given, and an archive of ours has it again.
    store.tag(APP, "free:2").unwrap();
    let error = store.tag(APP, "registry.example/app:2").unwrap_err();
    assert!(
        error
            .message
            .ends_with("its signature is for the name \"registry.example/app:1\"")
    );
    let mut saved = Vec::new();
    std::io::copy(&mut store.save(&[APP], None).unwrap(), &mut saved).unwrap();
    let elsewhere = Bench::new();
    std::fs::copy(bench.path("ed.pub"), elsewhere.path("ed.pub")).unwrap();
    let second = elsewhere.store(elsewhere.policy());
    assert_eq!(load(&second, &saved), APP);
}

#[test]
fn what_was_there_before_the_policy_is_checked_when_it_is_used() {
    let bench = Bench::new();
    let image = Made::new("one");
    let store = bench.store(Policy::default());
    assert_eq!(load(&store, &image.archive(APP, None)), APP);
    store.tag(APP, "free:1").unwrap();
    let store = bench.store(bench.policy());
    store.permit("free:1").unwrap();
    let error = store.permit(APP).unwrap_err();
    assert!(error.message.ends_with("it has no signature"), "{error}");
    // By its id it is what any of its names lets it be.
    store.permit(&image.id()).unwrap();
    store.permit(&image.id()[7..20]).unwrap();
    let error = store.tag("free:1", "registry.example/b:1").unwrap_err();
    assert_eq!(error.kind, Kind::Denied);
    assert!(
        error
            .message
            .contains("image registry.example/b:1 is refused")
    );
}

#[test]
fn a_policy_that_cannot_be_read_refuses_everything() {
    let bench = Bench::new();
    let image = Made::new("one");
    let archive = image.archive("free:1", None);
    let said = |policy: Policy| {
        let store = bench.store(policy);
        let mut archive = &archive[..];
        let error = store.load(&mut archive, None).unwrap_err();
        assert_eq!(error.kind, Kind::Denied);
        let path = bench.path("policy.json");
        error.message.replace(&path.display().to_string(), "P")
    };
    let start = "load: every image is refused, as its policy cannot be read: ";
    assert_eq!(
        said(Policy::new(Some(bench.path("policy.json")))),
        format!("{start}read P: No such file or directory (os error 2)")
    );
    bench.openssl("genpkey -algorithm RSA -out rsa.pem");
    bench.openssl("pkey -in rsa.pem -pubout -out rsa.pub");
    for (text, expected) in [
        ("", "policy: invalid JSON: line 1, column 1: unexpected end"),
        ("[]", "an object is wanted"),
        (
            r#"{"rule":[]}"#,
            "\"rule\" is unknown or stands there twice",
        ),
        (
            r#"{"default":"perhaps"}"#,
            "\"perhaps\": accept or refuse is wanted",
        ),
        (r#"{"rules":{}}"#, "rules: a list is wanted"),
        (
            r#"{"rules":[{}]}"#,
            "a rule has no image: a string is wanted",
        ),
        (
            r#"{"rules":[{"image":"busybox","action":"accept"}]}"#,
            "rule \"busybox\": a whole name is wanted, with the registry: docker.io/library/busybox, registry.example/fleet/",
        ),
        (
            r#"{"rules":[{"image":"","action":"accept"},{"image":"","action":"refuse"}]}"#,
            "rule \"\" stands there twice",
        ),
        (
            r#"{"rules":[{"image":""}]}"#,
            "rule \"\": neither keys nor action: what is to be done?",
        ),
        (
            r#"{"rules":[{"image":"","keys":[]}]}"#,
            "rule \"\": keys: a list of PEM keys or of their files is wanted",
        ),
        (
            r#"{"rules":[{"image":"","keys":["ed.pem"]}]}"#,
            "there is no PEM public key in it",
        ),
        (
            r#"{"rules":[{"image":"","keys":["rsa.pub"]}]}"#,
            "the key is of another kind: ed25519 and ECDSA P-256 are known",
        ),
        (
            r#"{"rules":[{"image":"","keys":["none.pub"]}]}"#,
            "No such file or directory (os error 2)",
        ),
    ] {
        let error = said(bench.policy_of(text));
        assert!(error.starts_with(start), "{error}");
        assert!(error.ends_with(expected), "{error}\n{expected}");
    }
}

#[test]
fn the_longest_rule_decides_at_the_borders_of_names() {
    let bench = Bench::new();
    let rules = Rules::parse(
        r#"{"default":"refuse","rules":[
        {"image":"r.example/a/","action":"accept"},
        {"image":"r.example/a/b","action":"refuse"},
        {"image":"r.example/a/b:1","action":"accept"},
        {"image":"localhost/x","keys":["ed.pub"]}]}"#,
        bench.dir.path(),
    )
    .unwrap();
    for (name, expected) in [
        ("r.example/a/c:1", 'a'),
        ("r.example/a/b:2", 'r'),
        ("r.example/a/b/c:2", 'r'),
        ("r.example/a/b:1", 'a'),
        ("r.example/a/b:10", 'r'),
        ("r.example/a/bc:1", 'a'),
        ("r.example/ab:1", 'r'),
        ("localhost/x:1", 's'),
        ("localhost/xy:1", 'r'),
        ("busybox", 'r'),
    ] {
        let found = match rules.rule(Some(&Reference::parse(name).unwrap())) {
            Rule::Accept => 'a',
            Rule::Refuse => 'r',
            Rule::Signed { .. } => 's',
        };
        assert_eq!(found, expected, "{name}");
    }
    let all = r#"{"rules":[{"image":"","action":"accept"}]}"#;
    let rules = Rules::parse(all, bench.dir.path()).unwrap();
    assert!(matches!(rules.rule(None), Rule::Accept));
}

#[test]
fn a_mirror_may_have_images_of_other_names_and_keys_may_stand_in_the_policy() {
    let bench = Bench::new();
    let key = std::fs::read_to_string(bench.path("ec.pub")).unwrap();
    let key = key.replace('\n', "\\n");
    let policy = bench.policy_of(&format!(
        r#"{{"rules":[{{"image":"mirror.example/","keys":["{key}"],"reference":"any"}}]}}"#
    ));
    let store = bench.store(policy);
    let image = Made::new("one");
    let name = "mirror.example/app:1";
    let archive = image.layout(name, &bench, "ec.pem", &image.digest(), false);
    assert_eq!(load(&store, &archive), name);
    let other = Made::new("two");
    let archive = other.layout(name, &bench, "ec.pem", &image.digest(), false);
    assert!(load(&store, &archive).starts_with("its signature is of another image"));
}

/// Every beginning of every signature and key: refused, and nothing worse.
#[test]
fn half_of_a_signature_is_none() {
    let bench = Bench::new();
    let image = Made::new("one");
    let payload = payload(&image.id(), "registry.example/app");
    let pem = std::fs::read_to_string(bench.path("ed.pub")).unwrap();
    let key = Key::read(&pem, Path::new("/")).unwrap().remove(0);
    let signature = bench.sign("ed.pem", &payload);
    assert!(key.has_signed(payload.as_bytes(), &signature));
    for end in 0..signature.len() {
        assert!(!key.has_signed(payload.as_bytes(), &signature[..end]));
    }
    for end in 0..payload.len() {
        assert!(!key.has_signed(&payload.as_bytes()[..end], &signature));
    }
    for end in 0..pem.trim_end().len() {
        assert!(Key::read(&pem[..end], Path::new("/")).is_err(), "{end}");
    }
}
