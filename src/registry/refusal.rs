//! What a registry says when it says no, in Docker's sentences.

use crate::error::{Error, Kind};
use crate::json::node::Node;
use crate::registry::transport::Answer;

/// More than any refusal that is meant for people.
const BYTES_MAX: usize = 64 << 10;
const WORDS_MAX: usize = 1024;

pub struct Refusal {
    pub status: u16,
    /// Such as `MANIFEST_UNKNOWN`; empty where the registry has said none.
    pub code: String,
    /// `manifest unknown: manifest unknown`.
    pub words: String,
}

/// Read the body of an answer of 400 and above.
pub fn read(answer: Answer) -> Refusal {
    let status = answer.status;
    let bytes = answer.bytes(BYTES_MAX, "the refusal").unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    of_text(status, &text)
}

fn of_text(status: u16, text: &str) -> Refusal {
    let errors = Node::new(text, "refusal").map(|node| node.at("errors").items());
    let first = errors.ok().and_then(|errors| errors.into_iter().next());
    let code = first
        .map(|first| first.at("code").text())
        .unwrap_or_default();
    let message = first
        .map(|first| first.at("message").text())
        .unwrap_or_default();
    let default = match status {
        401 => "unauthorized: authentication required".to_string(),
        403 => "denied: requested access to the resource is denied".to_string(),
        429 => "toomanyrequests: too many requests to the registry".to_string(),
        status => format!("unexpected status from the registry: {status}"),
    };
    let words = match (code.as_str(), message.as_str()) {
        ("", "") => default,
        ("", message) => message.to_string(),
        (code, message) => {
            let code_words = code.to_ascii_lowercase().replace('_', " ");
            format!(
                "{code_words}: {}",
                if message.is_empty() {
                    &code_words
                } else {
                    message
                }
            )
        }
    };
    Refusal {
        status,
        code,
        // A log line and a terminal get them: neither is the registry's to write to.
        words: words
            .chars()
            .filter(|c| !c.is_control())
            .take(WORDS_MAX)
            .collect(),
    }
}

impl Refusal {
    /// As an error about `name`, which is what was asked for: `NAME:TAG` or just `NAME`.
    pub fn about(self, name: &str, reference: &str) -> Error {
        let words = self.words;
        let (kind, sentence) = match self.code.as_str() {
            "DENIED" => (
                Kind::NotFound,
                format!(
                    "pull access denied for {name}, repository does not exist or may require 'docker login': {words}"
                ),
            ),
            "MANIFEST_UNKNOWN" => (
                Kind::NotFound,
                format!("manifest for {name}{reference} not found: {words}"),
            ),
            "NAME_UNKNOWN" => (
                Kind::NotFound,
                format!("repository {name} not found: {words}"),
            ),
            _ if self.status == 404 => (Kind::NotFound, words),
            _ => (Kind::System, words),
        };
        Error::new(kind, sentence)
    }

    /// As an error of itself.
    pub fn plain(self) -> Error {
        let kind = match self.status {
            403 => Kind::Denied,
            404 => Kind::NotFound,
            _ => Kind::System,
        };
        Error::new(kind, self.words)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_in_dockers_words() {
        let about = |status, text: &str| {
            let error = of_text(status, text).about("reg/x", ":y");
            (error.kind, error.message.clone())
        };
        for (status, text, kind, sentence) in [
            (
                404,
                r#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown","detail":{"Tag":"y"}}]}"#,
                Kind::NotFound,
                "manifest for reg/x:y not found: manifest unknown: manifest unknown",
            ),
            (
                401,
                r#"{"errors":[{"code":"DENIED","message":"no"}]}"#,
                Kind::NotFound,
                "pull access denied for reg/x, repository does not exist or may require 'docker login': denied: no",
            ),
            (
                404,
                r#"{"errors":[{"code":"NAME_UNKNOWN"}]}"#,
                Kind::NotFound,
                "repository reg/x not found: name unknown: name unknown",
            ),
            (
                429,
                r#"{"errors":[{"code":"TOOMANYREQUESTS","message":"slow\u001b[2J\ndown"}]}"#,
                Kind::System,
                "toomanyrequests: slow[2Jdown",
            ),
            (
                401,
                "nope",
                Kind::System,
                "unauthorized: authentication required",
            ),
            (
                502,
                "<html>",
                Kind::System,
                "unexpected status from the registry: 502",
            ),
            (
                404,
                "",
                Kind::NotFound,
                "unexpected status from the registry: 404",
            ),
            (
                500,
                r#"{"errors":[]}"#,
                Kind::System,
                "unexpected status from the registry: 500",
            ),
            (
                500,
                r#"{"errors":{"code":3}}"#,
                Kind::System,
                "unexpected status from the registry: 500",
            ),
        ] {
            assert_eq!(about(status, text), (kind, sentence.to_string()), "{text}");
        }
    }
}
