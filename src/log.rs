//! What a long-lived part (engine, shim) says to its standard error: one line each, no secrets.

use std::io::Write;

/// Write one line: `tugd: message`. A closed or full standard error is not a reason to stop.
pub fn line(who: &str, message: impl std::fmt::Display) {
    let text = format!("{who}: {message}\n");
    let _ = std::io::stderr().write_all(text.as_bytes());
}
