//! Docker's client configuration: `config.json` in `--config`, `$DOCKER_CONFIG` or `~/.docker`.
//!
//! Of its keys the client knows those that change how it looks and talks: the formats of lists,
//! `detachKeys`, `HttpHeaders` and `currentContext`; and the accounts at registries, see
//! `credentials`.

use super::options::Options;
use super::{options, print};
use crate::error::{Error, Result};
use crate::json::node::Node;
use std::path::PathBuf;

/// A variable that is set to something.
pub fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

pub struct Config {
    /// Where it is, or would be. `None`: the user has no home.
    pub path: Option<PathBuf>,
    pub text: String,
}

impl Config {
    pub fn empty() -> Config {
        Config {
            path: None,
            text: "{}".to_string(),
        }
    }

    /// One that cannot be read is warned of and taken for empty, as Docker's client does.
    pub fn load(dir: Option<&str>) -> Result<Config> {
        let mut config = Config::empty();
        let home = || Some(PathBuf::from(variable("HOME")?).join(".docker"));
        let dir = dir.map(PathBuf::from);
        let Some(dir) = dir
            .or_else(|| variable("DOCKER_CONFIG").map(PathBuf::from))
            .or_else(home)
        else {
            return Ok(config);
        };
        let path = dir.join("config.json");
        let warn = |why: &str| {
            print::err(format!(
                "WARNING: Error parsing config file ({}): {why}\n",
                path.display()
            ))
        };
        match std::fs::read_to_string(&path) {
            Ok(text) => match check(&text) {
                Ok(()) => config.text = text,
                Err(error) => warn(&error.message)?,
            },
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => warn(&error.to_string())?,
        }
        config.path = Some(path);
        Ok(config)
    }

    pub fn root(&self) -> Option<Node<'_>> {
        Node::new(&self.text, "config.json").ok()
    }

    fn text(&self, key: &str) -> Option<String> {
        let text = self.root()?.member(key)?.text();
        (!text.is_empty()).then_some(text)
    }

    /// The lines that `HttpHeaders` adds to each request.
    pub fn headers(&self) -> String {
        let mut lines = String::new();
        let headers = self.root().and_then(|root| root.member("HttpHeaders"));
        for (name, value) in headers.map_or(Vec::new(), Node::pairs) {
            lines.push_str(&format!("{name}: {}\r\n", value.text()));
        }
        lines
    }

    /// Options that were not given and have a value here.
    pub fn fill(&self, options: &mut Options, verb: &'static options::Verb) {
        for (name, long, key) in [
            ("ps", "format", "psFormat"),
            ("images", "format", "imagesFormat"),
            ("stats", "format", "statsFormat"),
            ("network ls", "format", "networksFormat"),
            ("", "detach-keys", "detachKeys"),
        ] {
            let is_meant = name.is_empty() || verb.names[0] == name && !options.is("quiet");
            if let Some(value) = self.text(key).filter(|_| is_meant) {
                options.set_default(verb, long, value);
            }
        }
    }

    /// The only context there is says nothing: the engine is where -H or DOCKER_HOST says.
    pub fn check_context(&self, given: Option<&str>, has_host: bool) -> Result<()> {
        let name = match given {
            Some(_) if has_host => {
                let message = "conflicting options: cannot specify both --host and --context";
                return Err(Error::invalid(message));
            }
            Some(name) => name.to_string(),
            None if has_host || variable("TUG_HOST").or(variable("DOCKER_HOST")).is_some() => {
                return Ok(());
            }
            None => match variable("DOCKER_CONTEXT").or_else(|| self.text("currentContext")) {
                Some(name) => name,
                None => return Ok(()),
            },
        };
        match name.as_str() {
            "default" => Ok(()),
            name => Err(Error::invalid(format!(
                "unable to resolve docker endpoint: context {name:?}: context not found: tug has \
                 no contexts but \"default\"; say where the engine is with -H or DOCKER_HOST"
            ))),
        }
    }
}

fn check(text: &str) -> Result<()> {
    let root = Node::new(text, "config.json")?;
    for key in [
        "psFormat",
        "imagesFormat",
        "statsFormat",
        "networksFormat",
        "detachKeys",
        "currentContext",
    ] {
        if root
            .member(key)
            .is_some_and(|node| !node.json().starts_with('"'))
        {
            return Err(Error::invalid(format!("{key}: expected a string")));
        }
    }
    // A line end within would begin a header, or a request, of its own.
    for (name, value) in root.at("HttpHeaders").pairs() {
        let is_broken = |text: &str| text.chars().any(char::is_control);
        if name.contains([' ', ':']) || is_broken(&name) || is_broken(&value.text()) {
            return Err(Error::invalid(format!("HttpHeaders: bad header {name:?}")));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_come_from_the_file() {
        let mut config = Config::empty();
        assert_eq!(config.headers(), "");
        config.text = r#"{"HttpHeaders":{"X-A":"b","X-C":"d e"}}"#.to_string();
        assert_eq!(config.headers(), "X-A: b\r\nX-C: d e\r\n");
    }

    #[test]
    fn what_makes_no_sense_is_found() {
        for (text, expected) in [
            ("{\"psFormat\": ", "config.json: invalid JSON"),
            ("{\"psFormat\":3}", "psFormat: expected a string"),
            (
                r#"{"HttpHeaders":{"A\r\nB":"c"}}"#,
                "HttpHeaders: bad header",
            ),
            (
                r#"{"HttpHeaders":{"A":"c\nD: e"}}"#,
                "HttpHeaders: bad header",
            ),
        ] {
            let error = check(text).unwrap_err();
            assert!(error.message.starts_with(expected), "{text}: {error}");
        }
        assert!(check(r#"{"auths":{},"psFormat":"table"}"#).is_ok());
    }

    #[test]
    fn the_default_context_is_the_only_one() {
        let mut config = Config::empty();
        config.text = r#"{"currentContext":"lab"}"#.to_string();
        assert!(config.check_context(None, true).is_ok());
        assert!(config.check_context(Some("default"), false).is_ok());
        let error = config.check_context(Some("x"), true).unwrap_err();
        assert_eq!(
            error.message,
            "conflicting options: cannot specify both --host and --context"
        );
        let error = config.check_context(Some("x"), false).unwrap_err();
        assert!(error.message.contains("context \"x\": context not found"));
    }
}
