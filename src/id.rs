//! Identifiers: 64 hex digits, as Docker's.

use crate::error::{Error, Result};

/// 32 random bytes as 64 hex digits: a new container's or exec's id.
pub fn random() -> Result<String> {
    let mut bytes = [0u8; 32];
    crate::sys::random::fill(&mut bytes)?;
    // Docker avoids ids whose short form is all digits: such a name would be taken for a number.
    if bytes[..6].iter().all(|b| b >> 4 < 10 && b & 15 < 10) {
        bytes[0] |= 0xa0;
    }
    Ok(hex(&bytes))
}

pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    text
}

/// Whether `text` is a full identifier: 64 lower-case hex digits.
pub fn is_full(text: &str) -> bool {
    text.len() == 64 && is_hex(text)
}

pub fn is_hex(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// The 12 digits that tables show. Also for `sha256:…`.
pub fn short(id: &str) -> &str {
    let digits = id.strip_prefix("sha256:").unwrap_or(id);
    digits.get(..12).unwrap_or(digits)
}

/// The hex digits of a `sha256:` digest, checked: they become file names.
pub fn digest_hex(digest: &str) -> Result<&str> {
    digest
        .strip_prefix("sha256:")
        .filter(|hex| is_full(hex))
        .ok_or_else(|| {
            Error::invalid(format!(
                "invalid digest {digest:?}: expected sha256 and 64 hex digits"
            ))
        })
}
