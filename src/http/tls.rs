//! TLS, both ends: who calls the engine over TCP, by TLS 1.3, shows a certificate of its CA;
//! registries, by TLS 1.2 too, show theirs to us.
//!
//! The library decides nothing about sockets: it is a `pump::Codec`, and everything behind the pump
//! sees a plain stream that carries nothing before the certificates have been checked.

mod verify;

use self::verify::Verifier;
use crate::error::{Context, Error, Kind, Result};
use crate::http::pump::{Codec, Heard, Lines, Pumps};
use crate::sys;
use crate::time::Time;
use rustls::client::Resumption;
use rustls::crypto::ring::{cipher_suite, kx_group};
use rustls::crypto::{CryptoProvider, GetRandomFailed, KeyProvider, SecureRandom};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::NoServerSessionStorage;
use rustls::sign::SigningKey;
use rustls::time_provider::TimeProvider;
use rustls::version::TLS13;
use rustls::{
    CertificateError, ClientConfig, ClientConnection, Connection, RootCertStore, ServerConfig,
    ServerConnection,
};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Whatever the clock says.
const NO_FLOOR: Time = Time {
    seconds: 0,
    nanos: 0,
};

/// How long a handshake may take, as the client sees it.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// Files in PEM.
pub struct Files<'a> {
    pub ca: &'a Path,
    /// Our certificate (with those between it and the CA), and its key.
    pub own: Option<(&'a Path, &'a Path)>,
}

fn bad(path: &Path, what: &dyn std::fmt::Display) -> Error {
    Error::invalid(format!("{}: {what}", path.display()))
}

fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|e| Error::io(format_args!("read {}", path.display()), &e))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let pem = read(path)?;
    let found: std::result::Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    match found {
        Ok(list) if list.is_empty() => Err(bad(path, &"no certificate in it")),
        found => found.map_err(|_| bad(path, &"not a PEM file of certificates")),
    }
}

fn key(path: &Path) -> Result<PrivateKeyDer<'static>> {
    PrivateKeyDer::from_pem_slice(&read(path)?).map_err(|_| bad(path, &"no private key in it"))
}

/// Few of each, which all peers of the last ten years know.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(CryptoProvider {
        cipher_suites: vec![
            cipher_suite::TLS13_AES_128_GCM_SHA256,
            // For processors without instructions for AES. Nearly all x86_64 have them, and there it
            // would take 48 kB.
            #[cfg(not(target_arch = "x86_64"))]
            cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
            // TLS 1.2, for registries that are older than their images: 43 kB.
            cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
            cipher_suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
        ],
        kx_groups: vec![kx_group::X25519, kx_group::SECP256R1],
        signature_verification_algorithms: verify::KNOWN,
        secure_random: &Own,
        key_provider: &Own,
    })
}

#[derive(Debug)]
struct Own;

impl SecureRandom for Own {
    fn fill(&self, bytes: &mut [u8]) -> std::result::Result<(), GetRandomFailed> {
        sys::random::fill_secret(bytes).map_err(|_| GetRandomFailed)
    }
}

impl KeyProvider for Own {
    fn load_private_key(
        &self,
        key: PrivateKeyDer<'static>,
    ) -> std::result::Result<Arc<dyn SigningKey>, rustls::Error> {
        rustls::crypto::ring::sign::any_supported_type(&key)
    }
}

/// The engine's end.
pub struct Server(Arc<ServerConfig>);

impl Server {
    /// With `verify` it serves only those who show a certificate of the CA for clients.
    pub fn new(files: &Files<'_>, verify: bool) -> Result<Server> {
        let own = files.own.ok_or_else(|| {
            Error::invalid("TLS needs a certificate and its key: --tlscert and --tlskey")
        })?;
        let builder = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&TLS13])
            .map_err(|e| wrong(&e))?;
        let builder = match verify {
            true => builder
                .with_client_cert_verifier(Verifier::new(Some(roots(&[files.ca.to_path_buf()])?))),
            false => builder.with_no_client_auth(),
        };
        let mut config = builder
            .with_single_cert(certificates(own.0)?, key(own.1)?)
            .map_err(|e| bad(own.0, &e))?;
        // Each connection shows its certificate: one that has expired or is no longer trusted
        // must not come in with an old ticket.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(Server(Arc::new(config)))
    }

    pub fn codec(&self) -> Result<Box<dyn Codec>> {
        let session = ServerConnection::new(Arc::clone(&self.0)).map_err(|e| wrong(&e))?;
        Ok(Box::new(Session(session.into())))
    }
}

/// The client's end.
pub struct Client {
    config: Arc<ClientConfig>,
    pumps: Arc<Pumps>,
    floor: Clock,
}

impl Client {
    /// For an engine.
    pub fn new(files: &Files<'_>) -> Result<Client> {
        let ca = [files.ca.to_path_buf()];
        Client::trusting(&Trust {
            authorities: &ca,
            own: files.own,
            verify: true,
            floor: NO_FLOOR,
        })
    }

    pub fn trusting(trust: &Trust<'_>) -> Result<Client> {
        let clock = Clock(trust.floor);
        let authorities = trust.verify.then(|| roots(trust.authorities)).transpose()?;
        let builder = ClientConfig::builder_with_details(provider(), Arc::new(clock))
            .with_safe_default_protocol_versions()
            .map_err(|e| wrong(&e))?
            .dangerous()
            .with_custom_certificate_verifier(Verifier::new(authorities));
        let mut config = match trust.own {
            Some((certificate, path)) => builder
                .with_client_auth_cert(certificates(certificate)?, key(path)?)
                .map_err(|e| bad(certificate, &e))?,
            None => builder.with_no_client_auth(),
        };
        config.resumption = Resumption::disabled();
        Ok(Client {
            config: Arc::new(config),
            pumps: Pumps::new()?,
            floor: clock,
        })
    }

    /// Speak TLS on `stream` with `host`, whose certificate must be for that name or address.
    pub fn connect(&self, stream: TcpStream, host: &str) -> Result<OwnedFd> {
        let doing = || format!("TLS with {host}");
        let name = ServerName::try_from(host.to_string())
            .map_err(|_| Error::invalid("no name or address that a certificate can have"))
            .context(doing)?;
        let mut session =
            ClientConnection::new(Arc::clone(&self.config), name).map_err(|e| wrong(&e))?;

        // To its end here, so that what goes wrong can be told.
        let failed = |e: std::io::Error| {
            let told = e.get_ref().and_then(|inner| inner.downcast_ref());
            told.map_or_else(
                || Error::io("handshake", &e).with_kind(Kind::Gone),
                |error| self.floor.wrong(error),
            )
        };
        let mut hasty = Hasty {
            stream,
            until: Instant::now() + HANDSHAKE,
        };
        while session.is_handshaking() {
            session
                .complete_io(&mut hasty)
                .map_err(failed)
                .context(doing)?;
        }
        let stream = hasty.stream;
        stream.set_read_timeout(None).map_err(failed)?;
        let codec = Box::new(Session(session.into()));
        self.pumps.add(stream.into(), codec, b"")
    }
}

/// A stream that has to hurry, however slowly the peer drips.
struct Hasty {
    stream: TcpStream,
    until: Instant,
}

impl Read for Hasty {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let left = self.until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(std::io::ErrorKind::TimedOut.into());
        }
        self.stream.set_read_timeout(Some(left))?;
        self.stream.read(buffer)
    }
}

impl Write for Hasty {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.stream.write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.stream.flush()
    }
}

/// Whom a client trusts, and what time it is at the least.
pub struct Trust<'a> {
    /// Files in PEM.
    pub authorities: &'a [PathBuf],
    /// Our certificate and its key.
    pub own: Option<(&'a Path, &'a Path)>,
    /// Or anybody at all.
    pub verify: bool,
    pub floor: Time,
}

/// What can be read of the certificates in these files: machines' lists have old ones among them.
fn roots(paths: &[PathBuf]) -> Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    for path in paths {
        if roots.add_parsable_certificates(certificates(path)?).0 == 0 {
            return Err(bad(path, &"no certificate of an authority in it"));
        }
    }
    match roots.is_empty() {
        false => Ok(roots),
        true => Err(Error::invalid(
            "no certificates of authorities on this machine: install ca-certificates, or put the \
             registry's into certs.d/HOST/ca.crt",
        )),
    }
}

/// The machine's, unless it says what cannot be: something is younger.
#[derive(Clone, Copy, Debug)]
struct Clock(Time);

impl TimeProvider for Clock {
    fn current_time(&self) -> Option<UnixTime> {
        let now = Time::now().max(self.0);
        let since = Duration::new(now.seconds, now.nanos);
        Some(UnixTime::since_unix_epoch(since))
    }
}

impl Clock {
    /// In words, with the clock where a date is wrong: boards without a battery forget the time.
    fn wrong(self, error: &rustls::Error) -> Error {
        use CertificateError::{Expired, ExpiredContext, NotValidYet, NotValidYetContext};
        let what = match error {
            rustls::Error::InvalidCertificate(Expired | ExpiredContext { .. }) => "has expired",
            rustls::Error::InvalidCertificate(NotValidYet | NotValidYetContext { .. }) => {
                "is not valid yet"
            }
            error => return Error::invalid(error.to_string()),
        };
        let now = Time::now();
        let mut text = format!("the certificate {what}: the clock says {}", now.rfc3339());
        if now < self.0 {
            text.push_str(", taken for ");
            text.push_str(&self.0.rfc3339());
            text.push_str(", when tug or its newest record was made");
        }
        Error::invalid(text)
    }
}

fn wrong(error: &rustls::Error) -> Error {
    Clock(NO_FLOOR).wrong(error)
}

struct Session(Connection);

impl Session {
    /// What the library has to say.
    fn flush(&mut self, lines: &mut Lines) {
        while self.0.wants_write() {
            // Writing to memory does not fail.
            let _ = self.0.write_tls(&mut lines.outer);
        }
    }

    fn take_in(&mut self, mut bytes: &[u8], lines: &mut Lines) -> Result<Heard> {
        while !bytes.is_empty() {
            // It takes what it has room for; the rest when that is processed.
            self.0
                .read_tls(&mut bytes)
                .map_err(|e| Error::io("take in TLS", &e))?;
            let state = self.0.process_new_packets().map_err(|e| wrong(&e))?;
            let length = lines.inner.len();
            lines
                .inner
                .resize(length + state.plaintext_bytes_to_read(), 0);
            let room = lines.inner.get_mut(length..).unwrap_or_default();
            if !room.is_empty() {
                self.0
                    .reader()
                    .read_exact(room)
                    .map_err(|e| Error::io("read from TLS", &e))?;
            }
            if state.peer_has_closed() {
                return Ok(Heard::End);
            }
        }
        Ok(Heard::More)
    }
}

impl Codec for Session {
    fn hear(&mut self, bytes: &[u8], lines: &mut Lines) -> Result<Heard> {
        let heard = self.take_in(bytes, lines);
        // An alert too, when it went wrong.
        self.flush(lines);
        heard
    }

    fn tell(&mut self, bytes: &[u8], lines: &mut Lines) -> Result<()> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let count = self.0.writer().write(rest);
            let count = count.map_err(|e| Error::io("write to TLS", &e))?;
            rest = rest.get(count..).unwrap_or_default();
            self.flush(lines);
        }
        Ok(())
    }

    fn end(&mut self, lines: &mut Lines) {
        self.0.send_close_notify();
        self.flush(lines);
    }

    fn has_begun(&self) -> bool {
        !self.0.is_handshaking()
    }
}
