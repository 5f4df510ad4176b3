//! TLS: who is believed, when, and what is refused.

use super::*;
use crate::registry::proxy::Proxies;
use crate::time::Time;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::version::{TLS12, TLS13};
use rustls::{
    RootCertStore, ServerConfig, ServerConnection, StreamOwned, SupportedProtocolVersion,
};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, Mutex};

/// The name of the registry; the proxy knows where it is.
const HOST: &str = "registry.test";

/// A directory with what openssl makes, gone at the end.
struct Files(PathBuf);

impl Drop for Files {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

impl Files {
    fn new(name: &str) -> Files {
        let dir = std::env::temp_dir().join(format!("tug-tls-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        Files(dir)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn write(&self, name: &str, content: &str) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    fn copy(&self, from: &str, to: &str) {
        self.write(to, "");
        std::fs::copy(self.path(from), self.path(to)).unwrap();
    }

    fn openssl(&self, line: &str) {
        let output = Command::new("openssl")
            .args(line.split(' '))
            .current_dir(&self.0)
            .output()
            .unwrap();
        assert!(output.status.success(), "{line}: {output:?}");
    }

    fn ca(&self, name: &str) {
        self.openssl(&format!(
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30 -subj /CN={name} \
             -keyout {name}.key -out {name}.pem"
        ));
    }

    /// NAME.pem and NAME.key for `host`, signed by `ca`, good between these days from now.
    fn sign(&self, name: &str, ca: &str, host: &str, days: (i64, i64)) {
        self.openssl(&format!(
            "req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN={name} -keyout {name}.key -out {name}.csr"
        ));
        self.write(&format!("{name}.db"), "");
        self.write(&format!("{name}.db.attr"), "");
        self.write(
            &format!("{name}.cnf"),
            &format!(
                "[ca]\ndefault_ca=own\n[own]\ndatabase={name}.db\nnew_certs_dir=.\nrand_serial=yes\n\
                 default_md=sha256\npolicy=any\nunique_subject=no\n[any]\ncommonName=supplied\n\
                 [extensions]\nbasicConstraints=CA:false\nsubjectAltName={host}\n"
            ),
        );
        self.openssl(&format!(
            "ca -batch -notext -config {name}.cnf -extensions extensions -cert {ca}.pem -keyfile {ca}.key \
             -startdate {} -enddate {} -in {name}.csr -out {name}.pem",
            date(days.0),
            date(days.1)
        ));
    }

    /// A registry that shows certificate `name`; with `ca` it wants one too.
    fn serve(
        &self,
        name: &str,
        ca: Option<&str>,
        answer: impl Fn(&Heard) -> Reply + Send + Sync + 'static,
    ) -> Liar {
        self.serve_by(&TLS13, name, ca, answer)
    }

    fn serve_by(
        &self,
        version: &'static SupportedProtocolVersion,
        name: &str,
        ca: Option<&str>,
        answer: impl Fn(&Heard) -> Reply + Send + Sync + 'static,
    ) -> Liar {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[version])
            .unwrap();
        let builder = match ca {
            Some(ca) => {
                let mut roots = RootCertStore::empty();
                roots
                    .add(CertificateDer::from_pem_file(self.path(ca)).unwrap())
                    .unwrap();
                let verifier =
                    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
                builder.with_client_cert_verifier(verifier.build().unwrap())
            }
            None => builder.with_no_client_auth(),
        };
        let chain = vec![CertificateDer::from_pem_file(self.path(&format!("{name}.pem"))).unwrap()];
        let key = PrivateKeyDer::from_pem_file(self.path(&format!("{name}.key"))).unwrap();
        let config = Arc::new(builder.with_single_cert(chain, key).unwrap());
        let accept = move |stream: TcpStream| -> Option<Box<dyn liar::Wire>> {
            let session = ServerConnection::new(Arc::clone(&config)).unwrap();
            Some(Box::new(StreamOwned::new(session, stream)))
        };
        Liar::start_with(Box::new(accept), answer)
    }
}

/// openssl's way to say a day from now.
fn date(days: i64) -> String {
    let now = Time::now().seconds.cast_signed() + days * 86_400;
    let text = Time {
        seconds: now.cast_unsigned(),
        nanos: 0,
    }
    .rfc3339();
    text.replace(['-', ':', 'T'], "")
}

/// A proxy that connects every name with one port of this machine.
struct Tunnel {
    port: u16,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Tunnel {
    fn to(target: u16) -> Tunnel {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let heads = Arc::new(Mutex::new(Vec::new()));
        let all = Arc::clone(&heads);
        // It ends with the tests.
        std::thread::spawn(move || {
            while let Ok((mut inner, _)) = listener.accept() {
                let all = Arc::clone(&all);
                std::thread::spawn(move || {
                    let mut head = Vec::new();
                    while !head.ends_with(b"\r\n\r\n") {
                        let mut byte = [0];
                        inner.read_exact(&mut byte).unwrap();
                        head.push(byte[0]);
                    }
                    all.lock().unwrap().push(String::from_utf8(head).unwrap());
                    let mut outer = TcpStream::connect(("127.0.0.1", target)).unwrap();
                    inner
                        .write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")
                        .unwrap();
                    let (mut from, mut to) =
                        (inner.try_clone().unwrap(), outer.try_clone().unwrap());
                    std::thread::spawn(move || {
                        let _ = std::io::copy(&mut from, &mut to);
                        let _ = to.shutdown(std::net::Shutdown::Write);
                    });
                    let _ = std::io::copy(&mut outer, &mut inner);
                    let _ = inner.shutdown(std::net::Shutdown::Both);
                });
            }
        });
        Tunnel { port, heads }
    }

    fn settings(&self, files: &Files) -> Settings {
        Settings {
            certs: vec![files.path("certs.d")],
            proxies: Proxies {
                http: String::new(),
                https: format!("127.0.0.1:{}", self.port),
                no_proxy: String::new(),
            },
            ..Settings::default()
        }
    }
}

fn honest(_: &Heard) -> Reply {
    reply(200, "", manifest("c", "l"))
}

fn fetched(settings: &Settings) -> Result<(), String> {
    let document = mine(settings, HOST).manifest("t");
    document.map(|_| ()).map_err(|e| e.to_string())
}

#[test]
fn certificates_are_believed_by_authority_name_and_date() {
    let files = Files::new("dates");
    files.ca("ca");
    files.ca("other");
    files.sign("good", "ca", "DNS:registry.test", (-1, 1));
    files.sign("stranger", "other", "DNS:registry.test", (-1, 1));
    files.sign("named", "ca", "DNS:registry.example", (-1, 1));
    files.sign("expired", "ca", "DNS:registry.test", (-3, -1));
    files.sign("future", "ca", "DNS:registry.test", (1, 3));
    files.copy("ca.pem", "certs.d/registry.test/ca.crt");
    let outcome = |name: &str, change: &dyn Fn(&mut Settings)| {
        let server = files.serve(name, None, honest);
        let tunnel = Tunnel::to(server.port);
        let mut settings = tunnel.settings(&files);
        change(&mut settings);
        let outcome = fetched(&settings);
        if let Err(error) = &outcome {
            assert_kept(&server, error);
            assert!(server.lines().is_empty(), "{name}");
        }
        assert!(
            tunnel.heads.lock().unwrap()[0].starts_with("CONNECT registry.test:443 HTTP/1.1\r\n")
        );
        outcome
    };
    outcome("good", &|_| {}).unwrap();
    for (name, words) in [
        ("stranger", "UnknownIssuer"),
        ("named", "certificate not valid for name \"registry.test\""),
        ("expired", "the certificate has expired: the clock says 20"),
        (
            "future",
            "the certificate is not valid yet: the clock says 20",
        ),
    ] {
        let error = outcome(name, &|_| {}).unwrap_err();
        assert!(
            error.starts_with(
                "Get \"https://registry.test/v2/a/b/manifests/t\": TLS with registry.test: "
            ),
            "{error}"
        );
        assert!(error.contains(words), "{name}: {error}");
        // What is named insecure is not looked at.
        outcome(name, &|settings| settings.insecure = vec![HOST.to_string()]).unwrap();
        // Another's name does not help.
        let other = |settings: &mut Settings| {
            settings.insecure = vec!["registry.test:443".to_string(), "test".to_string()]
        };
        outcome(name, &other).unwrap_err();
    }
    // Without its authority, nobody: and the sentence says where it belongs.
    let error = outcome("good", &|settings| settings.certs = Vec::new()).unwrap_err();
    assert!(
        error.contains("put its CA into /etc/docker/certs.d/registry.test/ca.crt")
            || error.contains("no certificates of authorities"),
        "{error}"
    );
    // A clock that lags behind the store's newest record is as good as right: this is a board in 1970.
    let in_two_days = Time {
        seconds: Time::now().seconds + 2 * 86_400,
        nanos: 0,
    };
    outcome("future", &|settings| settings.newest = in_two_days).unwrap();
    let error = outcome("good", &|settings| settings.newest = in_two_days).unwrap_err();
    let words = format!(
        "taken for {}, when tug or its newest record was made",
        in_two_days.rfc3339()
    );
    assert!(
        error.contains("the certificate has expired: the clock says 20") && error.contains(&words),
        "{error}"
    );
}

#[test]
fn a_registry_that_is_older_than_tls_1_3_is_believed_no_less_and_no_more() {
    let files = Files::new("old");
    files.ca("ca");
    files.sign("good", "ca", "DNS:registry.test", (-1, 1));
    files.sign("expired", "ca", "DNS:registry.test", (-3, -1));
    files.sign("named", "ca", "DNS:registry.example", (-1, 1));
    files.copy("ca.pem", "certs.d/registry.test/ca.crt");
    for (name, is_good) in [("good", true), ("expired", false), ("named", false)] {
        let server = files.serve_by(&TLS12, name, None, honest);
        let settings = Tunnel::to(server.port).settings(&files);
        assert_eq!(fetched(&settings).is_ok(), is_good, "{name}");
        assert_eq!(!server.lines().is_empty(), is_good, "{name}");
    }
}

#[test]
fn a_client_certificate_is_shown_to_its_host() {
    let files = Files::new("client");
    files.ca("ca");
    files.sign("good", "ca", "DNS:registry.test", (-1, 1));
    files.sign("me", "ca", "DNS:me", (-1, 1));
    files.copy("ca.pem", "certs.d/registry.test/ca.crt");
    let server = files.serve("good", Some("ca.pem"), honest);
    let tunnel = Tunnel::to(server.port);
    let settings = tunnel.settings(&files);
    fetched(&settings).unwrap_err();
    assert!(server.lines().is_empty());
    files.copy("me.pem", "certs.d/registry.test/me.cert");
    let error = fetched(&settings).unwrap_err();
    assert!(
        error.contains("missing key ")
            && error.contains("CA certificates must use the extension .crt"),
        "{error}"
    );
    files.copy("me.key", "certs.d/registry.test/me.key");
    fetched(&settings).unwrap();
}

#[test]
fn nothing_leads_out_of_tls() {
    let files = Files::new("down");
    files.ca("ca");
    files.sign("good", "ca", "DNS:registry.test", (-1, 1));
    files.copy("ca.pem", "certs.d/registry.test/ca.crt");
    let plain = Liar::start(|_| reply(200, "", r#"{"token":"x"}"#));
    let address = format!("http://{}", plain.host());
    // A realm, a redirect and an upload's place without TLS; and those with it that are this machine's.
    for place in [
        address.clone(),
        "http://registry.test/x".to_string(),
        "https://127.0.0.1/".to_string(),
        "https://169.254.169.254/".to_string(),
    ] {
        for status in [401, 302, 202] {
            let place = place.clone();
            let server = files.serve("good", None, move |_| {
                let lines =
                    format!("WWW-Authenticate: Bearer realm=\"{place}\"\r\nLocation: {place}\r\n");
                reply(status, &lines, "")
            });
            let settings = Tunnel::to(server.port).settings(&files);
            let repository =
                Repository::open(&settings, HOST, "a/b", Access::Push, Some(&me())).unwrap();
            let error = match status {
                202 => repository.upload(&mut &b"x"[..]).map(|_| ()).unwrap_err(),
                _ => repository.manifest("t").map(|_| ()).unwrap_err(),
            };
            let error = error.to_string();
            assert!(error.ends_with(": refused"), "{status}: {error}");
            assert_kept(&server, &error);
        }
    }
    assert!(plain.lines().is_empty());
}

#[test]
fn much_goes_through_tls_both_ways() {
    if skip("registry-tls") {
        return;
    }
    let files = Files::new("real");
    files.ca("ca");
    files.sign("good", "ca", "DNS:registry.test", (-1, 1));
    files.copy("ca.pem", "certs.d/registry.test/ca.crt");
    let registry = Registry::start_with(&real::Options {
        has_password: false,
        tls: Some((files.path("good.pem"), files.path("good.key"))),
    });
    let settings = Tunnel::to(registry.port).settings(&files);
    let layer: Vec<u8> = (0..3_000_000u32).map(|n| (n % 251) as u8).collect();
    // An engine's threads have small stacks.
    let work = move || {
        let repository = push(&settings, HOST);
        repository.upload(&mut &layer[..]).unwrap();
        assert_eq!(content(&repository, &layer, 5).unwrap(), layer[5..]);
    };
    let thread = std::thread::Builder::new()
        .stack_size(256 << 10)
        .spawn(work);
    thread.unwrap().join().unwrap();
    // This machine's own registries may have certificates that nobody knows.
    let direct = push(&Settings::default(), &registry.host());
    direct.upload(&mut &b"{}"[..]).unwrap();
    assert!(direct.0.endpoint().unwrap().url.is_secure);
}
