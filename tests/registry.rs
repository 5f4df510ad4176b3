//! Registries as an engine reaches them: mirrors, proxies, accounts, broken connections. What they lie
//! about is tested beside the code, in `src/registry/tests`.

use crate::harness::liar::{Heard, Liar, Reply, raw, reply};
use crate::harness::rootfs::{image_config, sha256};
use crate::harness::{Host, rootfs};
use std::sync::atomic::{AtomicBool, Ordering};

const SECRET: &str = "s3cr3t-canary-of-the-registry";
/// `me:` and the secret, in base64.
const PAIR: &str = "bWU6czNjcjN0LWNhbmFyeS1vZi10aGUtcmVnaXN0cnk=";

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// An image that fits into memory, as a registry has it.
struct Image {
    manifest: String,
    config: String,
    layer: Vec<u8>,
}

impl Image {
    fn new() -> Image {
        let mut archive = rootfs::Archive::new();
        archive.file("etc/large", 0o644, vec![b'x'; 300_000]);
        let layer = archive.finish();
        let config = image_config(std::slice::from_ref(&layer), r#"{"Cmd":["sh"]}"#);
        let part = |kind: &str, bytes: &[u8]| {
            format!(
                r#"{{"mediaType":"application/vnd.oci.image.{kind}","digest":"sha256:{}","size":{}}}"#,
                sha256(bytes).trim_start_matches("sha256:"),
                bytes.len()
            )
        };
        let manifest = format!(
            r#"{{"schemaVersion":2,"mediaType":"{MANIFEST}","config":{},"layers":[{}]}}"#,
            part("config.v1+json", config.as_bytes()),
            part("layer.v1.tar", &layer)
        );
        Image {
            manifest,
            config,
            layer,
        }
    }

    /// What an honest registry answers.
    fn serve(&self, heard: &Heard) -> Reply {
        let digest = |bytes: &[u8]| sha256(bytes).trim_start_matches("sha256:").to_string();
        let body = match heard.target.rsplit(['/', ':']).next().unwrap() {
            "latest" => self.manifest.as_bytes(),
            name if name == digest(self.manifest.as_bytes()) => self.manifest.as_bytes(),
            name if name == digest(self.config.as_bytes()) => self.config.as_bytes(),
            name if name == digest(&self.layer) => &self.layer,
            _ => return reply(404, "", ""),
        };
        let kind = match heard.target.contains("/manifests/") {
            true => format!(
                "Content-Type: {MANIFEST}\r\nDocker-Content-Digest: sha256:{}\r\n",
                digest(body)
            ),
            false => String::new(),
        };
        match heard.method.as_str() {
            "HEAD" => raw(format!(
                "HTTP/1.1 200 x\r\nContent-Length: {}\r\n{kind}\r\n",
                body.len()
            )),
            _ => reply(200, &kind, body),
        }
    }
}

/// An engine with this configuration, and this account at `server`.
fn start(name: &'static str, daemon: &str, server: &str) -> Host {
    let mut host = Host::without_engine(name);
    host.write("daemon.json", daemon);
    std::fs::create_dir_all(host.dir.join(".docker")).unwrap();
    host.write(
        ".docker/config.json",
        format!(r#"{{"auths":{{"{server}":{{"auth":"{PAIR}"}}}}}}"#),
    );
    host.start_engine();
    host
}

fn assert_kept(host: &Host, text: &str) {
    for told in [text, &host.engine_log()] {
        assert!(!told.contains(SECRET) && !told.contains(PAIR), "{told}");
    }
}

#[test]
fn a_mirror_is_asked_before_the_hub_and_without_the_account() {
    let image = Image::new();
    let mirror = Liar::start(move |heard| image.serve(heard));
    let daemon = format!(r#"{{"registry-mirrors": ["http://{}"]}}"#, mirror.host());
    let host = start("registry-mirror", &daemon, "https://index.docker.io/v1/");
    host.ok(&["pull", "-q", "tiny"]);
    let heard = mirror.heard();
    assert!(heard.len() >= 3);
    for heard in heard {
        assert!(heard.target.starts_with("/v2/library/tiny/"), "{heard:?}");
        assert!(heard.header("authorization").is_none(), "{heard:?}");
    }
    let images = host.ok(&["images", "--format", "{{.Repository}}:{{.Tag}}"]);
    assert_eq!(images, "tiny:latest");
}

#[test]
fn proxies_of_the_configuration_are_used_and_their_password_is_kept() {
    let image = Image::new();
    let proxy = Liar::start(move |heard| match heard.method.as_str() {
        // Nobody there speaks TLS.
        "CONNECT" => reply(502, "", ""),
        _ => image.serve(heard),
    });
    let daemon = format!(
        r#"{{"insecure-registries": ["registry.test:5000"], "debug": true,
             "proxies": {{"http-proxy": "http://me:{SECRET}@{0}", "https-proxy": "http://me:{SECRET}@{0}"}}}}"#,
        proxy.host()
    );
    let host = start("registry-proxy", &daemon, "registry.test:5000");
    let output = host.tug(&["pull", "registry.test:5000/tiny"]);
    assert_eq!((output.code, output.stderr.as_str()), (0, ""), "{output:?}");
    assert_kept(&host, &format!("{output:?}"));
    for heard in proxy.heard() {
        let password = heard.header("proxy-authorization");
        assert_eq!(password.as_deref(), Some(format!("Basic {PAIR}").as_str()));
        let is_whole = heard
            .target
            .starts_with("http://registry.test:5000/v2/tiny/");
        assert!(is_whole || heard.method == "CONNECT", "{heard:?}");
    }
    let info = host.http("GET", "/info", "").body;
    let masked = format!("\"HttpProxy\":\"http://xxxxx:xxxxx@{}\"", proxy.host());
    assert!(info.contains(&masked), "{info}");
    assert_kept(&host, &info);
}

#[test]
fn an_account_opens_its_registry_and_shows_nowhere_else() {
    let image = Image::new();
    let elsewhere = Liar::start(|_| reply(401, "WWW-Authenticate: Basic realm=x\r\n", ""));
    let away = format!("Location: http://{}/blob\r\n", elsewhere.host());
    let server = Liar::start(move |heard| match heard.header("authorization") {
        Some(line) if line == format!("Basic {PAIR}") => {
            match heard.target.contains("/away/") && heard.target.contains("/blobs/") {
                true => reply(307, &away, ""),
                false => image.serve(heard),
            }
        }
        _ => reply(401, "WWW-Authenticate: Basic realm=x\r\n", ""),
    });
    let daemon = r#"{"debug": true, "max-download-attempts": 1}"#;
    let host = start("registry-account", daemon, &server.host());
    let output = host.tug(&["pull", &format!("{}/tiny", server.host())]);
    assert_eq!((output.code, output.stderr.as_str()), (0, ""), "{output:?}");
    assert_kept(&host, &format!("{output:?}"));
    host.ok(&["rmi", &format!("{}/tiny", server.host())]);

    let output = host.tug(&["pull", &format!("{}/away/tiny", server.host())]);
    assert_eq!(output.code, 1, "{output:?}");
    assert_kept(&host, &format!("{output:?}"));
    assert!(!elsewhere.lines().is_empty());
    for heard in elsewhere.heard() {
        assert!(heard.header("authorization").is_none(), "{heard:?}");
    }
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let until = now.unwrap().as_secs();
    let events = host.http("GET", &format!("/events?since=1&until={until}"), "");
    assert_kept(&host, &events.body);
}

#[test]
fn a_layer_whose_connection_breaks_goes_on_where_it_was() {
    let image = Image::new();
    let layer = sha256(&image.layer);
    let digits = layer.trim_start_matches("sha256:").to_string();
    let size = image.layer.len();
    let has_broken = AtomicBool::new(false);
    let server = Liar::start(move |heard| {
        let is_layer = heard.target.ends_with(&digits);
        match heard.header("range") {
            Some(range) if is_layer => {
                let at: usize = range["bytes=".len()..range.len() - 1].parse().unwrap();
                let range = format!("Content-Range: bytes {at}-{}/{size}\r\n", size - 1);
                reply(206, &range, &image.layer[at..])
            }
            _ if is_layer && !has_broken.swap(true, Ordering::SeqCst) => {
                let head = format!("HTTP/1.1 200 x\r\nContent-Length: {size}\r\n\r\n");
                raw([head.as_bytes(), &image.layer[..100_000]].concat())
            }
            _ => image.serve(heard),
        }
    });
    let host = start("registry-broken", "{}", "nobody");
    host.ok(&["pull", "-q", &format!("{}/tiny", server.host())]);
    let ranges: Vec<String> = server
        .heard()
        .iter()
        .filter_map(|h| h.header("range"))
        .collect();
    assert_eq!(ranges, ["bytes=100000-"]);
}
