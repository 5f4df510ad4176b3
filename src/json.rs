//! JSON in and out, with messages that say which member was wrong.
//!
//! Structs are flat `Option`s (see `wire` and `oci`): miniserde refuses a missing or `null`
//! member that is not an `Option`, and says no more than "invalid".

use crate::error::{Error, Result};
use miniserde::{Deserialize, Serialize};

/// Parse `text`, which is `what` (a file's path, or `request body`) for the message.
pub fn parse<T: Deserialize>(text: &str, what: &str) -> Result<T> {
    miniserde::json::from_str(text).map_err(|_| Error::invalid(format!("{what}: invalid JSON")))
}

/// The same for bytes that should be UTF-8.
pub fn parse_bytes<T: Deserialize>(bytes: &[u8], what: &str) -> Result<T> {
    let text = std::str::from_utf8(bytes)
        .map_err(|_| Error::invalid(format!("{what}: invalid JSON: not UTF-8")))?;
    parse(text, what)
}

pub fn to_string<T: Serialize>(value: &T) -> String {
    miniserde::json::to_string(value)
}
