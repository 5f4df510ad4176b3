//! What is said to standard error beside an answer: one line each, no secrets.

use std::io::Write;
use std::sync::OnceLock;

/// Write one line: `tugd: message`. A closed or full standard error is not a reason to stop.
pub fn line(who: &str, message: impl std::fmt::Display) {
    let text = format!("{who}: {message}\n");
    let _ = std::io::stderr().write_all(text.as_bytes());
}

/// Takes a warning's text.
type Listener = Box<dyn Fn(&str) + Send + Sync>;

static LISTENER: OnceLock<Listener> = OnceLock::new();

/// Have all warnings of this process told to `listener`; the first one counts.
pub fn divert(listener: Listener) {
    let _ = LISTENER.set(listener);
}

/// What goes wrong where nothing can be stopped any more: told, and gone on from.
pub fn warn(message: impl std::fmt::Display) {
    match LISTENER.get() {
        Some(listener) => listener(&message.to_string()),
        None => line("tug: warning", message),
    }
}
