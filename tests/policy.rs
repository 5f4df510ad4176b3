//! Signatures: what a policy lets in, by every door that images come through.

use crate::harness::Host;
use crate::harness::registry::{self, Registry};
use crate::harness::rootfs::{busybox, docker_archive, sha256};
use crate::harness::skip;
use crate::store_ro::sh;

/// Keys in the host's directory, and a policy: signed images of `prefix` and whatever is of `free`.
pub fn with_policy(host: &mut Host, prefix: &str) -> String {
    let dir = host.make_dir("keys");
    sh(&format!(
        "cd {dir}; openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out key.pem; \
         openssl pkey -in key.pem -pubout -out key.pub"
    ));
    let policy = format!(
        r#"{{"rules":[{{"image":"{prefix}","keys":["{dir}/key.pub"]}},
        {{"image":"docker.io/library/free","action":"accept"}}]}}"#
    );
    let policy = host.write("policy.json", policy);
    host.write(
        "daemon.json",
        format!(r#"{{"signature-policy":"{policy}"}}"#),
    );
    host.start_engine();
    dir
}

/// What cosign signs.
pub fn payload(digest: &str, name: &str) -> String {
    format!(
        r#"{{"critical":{{"identity":{{"docker-reference":"{name}"}},"image":{{"docker-manifest-digest":"{digest}"}},"type":"cosign container image signature"}},"optional":null}}"#
    )
}

/// The signature of `payload`, in base64.
pub fn sign(dir: &str, payload: &str) -> String {
    std::fs::write(format!("{dir}/payload"), payload).unwrap();
    sh(&format!(
        "cd {dir}; openssl dgst -sha256 -sign key.pem payload | base64 -w0"
    ))
}

/// Sign `digest` as cosign does: an image beside the image, put into the registry by skopeo.
fn sign_in_registry(host: &Host, keys: &str, repository: &str, digest: &str) {
    let payload = payload(digest, repository);
    let signature = sign(keys, &payload);
    let layout = host.make_dir("layout/blobs/sha256");
    let layout = layout.trim_end_matches("/blobs/sha256");
    let blob = |text: &str| {
        let digits = sha256(text.as_bytes());
        std::fs::write(format!("{layout}/blobs/sha256/{digits}"), text).unwrap();
        format!(r#""digest":"sha256:{digits}","size":{}"#, text.len())
    };
    let config =
        blob(r#"{"architecture":"","os":"","config":{},"rootfs":{"type":"layers","diff_ids":[]}}"#);
    let layer = blob(&payload);
    let manifest = blob(&format!(
        r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{{"mediaType":"application/vnd.oci.image.config.v1+json",{config}}},"layers":[{{"mediaType":"application/vnd.dev.cosign.simplesigning.v1+json",{layer},"annotations":{{"dev.cosignproject.cosign/signature":"{signature}"}}}}]}}"#
    ));
    let index = format!(
        r#"{{"schemaVersion":2,"manifests":[{{"mediaType":"application/vnd.oci.image.manifest.v1+json",{manifest}}}]}}"#
    );
    std::fs::write(format!("{layout}/index.json"), index).unwrap();
    std::fs::write(
        format!("{layout}/oci-layout"),
        r#"{"imageLayoutVersion":"1.0.0"}"#,
    )
    .unwrap();
    let tag = digest.replace(':', "-");
    sh(&format!(
        "skopeo copy -q --insecure-policy --dest-tls-verify=false oci:{layout} docker://{repository}:{tag}.sig"
    ));
}

#[test]
fn a_pull_brings_only_what_is_signed() {
    let test = "a_pull_brings_only_what_is_signed";
    if !registry::is_installed() {
        return skip(test, "no docker-registry");
    }
    let registry = Registry::start();
    let repository = format!("{}/app", registry.host());
    let maker = Host::new("policy-maker");
    for tag in ["signed", "plain"] {
        let name = format!("{repository}:{tag}");
        let label = format!(r#"{{"Cmd":["echo","{tag}"]}}"#);
        let archive = docker_archive(&name, &[busybox()], &label);
        assert_eq!(maker.tug_with_input(&["load"], &archive).code, 0);
        maker.ok(&["push", "-q", &name]);
    }
    let digest = sh(&format!(
        "skopeo inspect --tls-verify=false --format '{{{{.Digest}}}}' docker://{repository}:signed"
    ));

    let mut host = Host::without_engine("policy");
    let keys = with_policy(&mut host, &format!("{}/", registry.host()));
    let (signed, plain) = (
        format!("{repository}:signed"),
        format!("{repository}:plain"),
    );
    let refused = host.tug(&["pull", &signed]);
    assert_eq!(refused.code, 1);
    assert!(
        refused.stderr.contains("it has no signature"),
        "{}",
        refused.stderr
    );
    sign_in_registry(&host, &keys, &repository, &digest);
    assert_eq!(
        host.ok(&["run", "--rm", "--pull", "always", "-q", &signed])
            .trim(),
        "signed"
    );
    let verified = host.ok(&["image", "verify", &signed]);
    assert!(
        verified.contains(&format!("signed: {digest} as {repository}")),
        "{verified}"
    );

    // The other one has the same layers and no signature: by no door.
    for args in [&["pull", &plain][..], &["run", "--rm", &plain]] {
        let refused = host.tug(args);
        assert_ne!(refused.code, 0);
        assert!(
            refused
                .stderr
                .contains(&format!("image {plain} is refused by")),
            "{}",
            refused.stderr
        );
    }
    let context = host.make_dir("context");
    std::fs::write(format!("{context}/Dockerfile"), format!("FROM {plain}\n")).unwrap();
    let refused = host.tug(&["build", "-t", "free:built", &context]);
    assert!(
        refused.stderr.contains("it has no signature"),
        "{}",
        refused.stderr
    );
    std::fs::write(
        format!("{context}/Dockerfile"),
        format!("FROM {signed}\nRUN true\n"),
    )
    .unwrap();
    host.ok(&["build", "-q", "-t", "free:built", &context]);
    host.ok(&["run", "--rm", "free:built"]);
    let refused = host.tug(&["build", "-t", &plain, &context]);
    assert!(
        refused
            .stderr
            .contains(&format!("image {plain} is refused by")),
        "{}",
        refused.stderr
    );
    let refused = host.tug(&["tag", "free:built", &plain]);
    assert!(
        refused
            .stderr
            .contains(&format!("image {plain} is refused by")),
        "{}",
        refused.stderr
    );
    assert!(host.tug(&["import", "-", &plain]).code != 0);
    assert_eq!(host.ok(&["images", "-q", &plain]), "");

    // The engine lives through a torn policy, and nothing comes in.
    host.write("policy.json", "{\"rules\":[");
    let refused = host.tug(&["run", "--rm", "free:built"]);
    let expected = "every image is refused, as its policy cannot be read";
    assert!(refused.stderr.contains(expected), "{}", refused.stderr);
    // A store for the firmware brings the signature along.
    drop(maker);
    let store = format!("{keys}/store.erofs");
    let build = [
        "store",
        "build",
        "--insecure-registry",
        &registry.host(),
        "-o",
        &store,
        &signed,
    ];
    host.ok(&build);
    let policy = format!(
        r#"{{"rules":[{{"image":"{}/","keys":["key.pub"]}}]}}"#,
        registry.host()
    );
    std::fs::write(format!("{keys}/policy.json"), policy).unwrap();
    let policy = format!("{keys}/policy.json");
    let mut checked = build.to_vec();
    checked.splice(2..2, ["--signature-policy", &policy]);
    host.ok(&checked);
    let last = checked.len() - 1;
    checked[last] = &plain;
    let refused = host.tug(&checked);
    assert!(
        refused.stderr.contains("it has no signature"),
        "{}",
        refused.stderr
    );
    host.write("policy.json", "{\"default\":\"accept\"}");
    host.ok(&["rmi", "-f", &signed]);
    assert!(host.tug(&["image", "verify", &signed]).code != 0);
    host.stop_engine();
    let config = format!(r#"{{"signature-policy":"{policy}","store-ro":["{store}"]}}"#);
    host.write("daemon.json", config);
    host.start_engine();
    host.ok(&["image", "verify", &signed]);
}

#[test]
fn an_archive_brings_its_signature_along() {
    let mut host = Host::without_engine("policy-archive");
    let keys = with_policy(&mut host, "registry.example/");
    let name = "registry.example/app:1";
    let archive = docker_archive(name, &[busybox()], r#"{"Cmd":["echo","here"]}"#);
    let path = host.write("app.tar", &archive);
    let refused = host.tug(&["load", "-i", &path]);
    assert!(
        refused.stderr.contains("it has no signature"),
        "{}",
        refused.stderr
    );
    let config = sh(&format!(
        "tar xOf {path} manifest.json | grep -o '\"Config\":\"[^\"]*' | cut -d'\"' -f4"
    ));
    let id = sh(&format!(
        "tar xOf {path} {config} | sha256sum | cut -d' ' -f1"
    ));
    let payload = payload(&format!("sha256:{id}"), "registry.example/app");
    let signature = sign(&keys, &payload);
    let payload = sh(&format!("base64 -w0 {keys}/payload"));
    let proof =
        format!(r#"{{"signatures":[{{"payload":"{payload}","signature":"{signature}"}}]}}"#);
    std::fs::write(format!("{keys}/signatures.json"), proof).unwrap();
    sh(&format!("tar rf {path} -C {keys} signatures.json"));
    host.ok(&["load", "-i", &path]);
    assert_eq!(host.ok(&["run", "--rm", name]).trim(), "here");
    // What is saved has it too; what is made of it here has not.
    let saved = format!("{keys}/saved.tar");
    host.ok(&["save", "-o", &saved, name]);
    host.ok(&["rmi", name]);
    host.ok(&["load", "-i", &saved]);
    host.ok(&["create", "--name", "box", name]);
    let refused = host.tug(&["commit", "box", "registry.example/app:2"]);
    assert!(
        refused
            .stderr
            .contains("image registry.example/app:2 is refused by"),
        "{}",
        refused.stderr
    );
}
