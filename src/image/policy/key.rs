//! Public keys: ed25519 and ECDSA P-256, in PEM as openssl and cosign write them (RFC 7468, 8410,
//! 5480). The arithmetic is what TLS brings; without it a policy refuses everything.

use crate::base64;
use crate::error::{Context, Error, Result};
use std::path::Path;

const BEGIN: &str = "-----BEGIN PUBLIC KEY-----";
const END: &str = "-----END PUBLIC KEY-----";

/// What stands in front of the 32 bytes of an ed25519 key (RFC 8410, 4).
const ED25519: &[u8] = b"\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00";

/// What stands in front of the 65 bytes of a point on P-256 (RFC 5480, 2).
const P256: &[u8] = b"\x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\x03\x42\x00";

#[derive(Clone, Copy, PartialEq)]
enum Scheme {
    Ed25519,
    P256,
}

pub struct Key {
    scheme: Scheme,
    bytes: Vec<u8>,
}

impl Key {
    /// The keys in `text`, or in the file that it names.
    pub fn read(text: &str, dir: &Path) -> Result<Vec<Key>> {
        if text.contains(BEGIN) {
            return Key::of_pem(text);
        }
        let path = dir.join(text);
        let bytes = crate::sys::fs::read(&path)?;
        Key::of_pem(&String::from_utf8_lossy(&bytes)).context(|| path.display())
    }

    fn of_pem(text: &str) -> Result<Vec<Key>> {
        let mut keys = Vec::new();
        let mut rest = text;
        while let Some((_, begun)) = rest.split_once(BEGIN) {
            let Some((body, behind)) = begun.split_once(END) else {
                return Err(Error::invalid("the PEM key has no end"));
            };
            let body: String = body.split_whitespace().collect();
            keys.push(Key::of_der(&base64::decode(&body).unwrap_or_default())?);
            rest = behind;
        }
        match keys.is_empty() {
            true => Err(Error::invalid("there is no PEM public key in it")),
            false => Ok(keys),
        }
    }

    fn of_der(der: &[u8]) -> Result<Key> {
        for (scheme, head, length) in [(Scheme::Ed25519, ED25519, 32), (Scheme::P256, P256, 65)] {
            if let Some(bytes) = der.strip_prefix(head).filter(|key| key.len() == length) {
                return Ok(Key {
                    scheme,
                    bytes: bytes.to_vec(),
                });
            }
        }
        Err(Error::invalid(
            "the key is of another kind: ed25519 and ECDSA P-256 are known",
        ))
    }

    /// Whether this key has signed `message`.
    #[cfg(feature = "tls")]
    pub fn has_signed(&self, message: &[u8], signature: &[u8]) -> bool {
        let scheme = match self.scheme {
            Scheme::Ed25519 => webpki::ring::ED25519,
            Scheme::P256 => webpki::ring::ECDSA_P256_SHA256,
        };
        scheme
            .verify_signature(&self.bytes, message, signature)
            .is_ok()
    }

    #[cfg(not(feature = "tls"))]
    pub fn has_signed(&self, _: &[u8], _: &[u8]) -> bool {
        // Neither of them is looked at.
        let _ = (self.scheme, &self.bytes);
        false
    }
}
