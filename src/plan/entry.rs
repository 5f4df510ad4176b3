//! An entry as JSON: `{"image": "web:1", "publish": ["80:80"], "after": ["db:healthy"]}`.
//!
//! Besides the members of a plan each long option of `tug create` is one: a switch is `true` or
//! `false`, an option that may be repeated a list, one of `key=value` an object. Whether there is
//! such an option, its table says when the entry is resolved.

use super::words::{self, Quoting};
use super::{Condition, Dependency, Entry, Phase, Until};
use crate::error::{Context, Error, Result};
use crate::json::node::Node;
use std::path::Path;
use std::time::Duration;

/// What was gathered of an entry, from whichever kind of file.
#[derive(Default)]
pub struct Draft {
    pub name: String,
    pub image: String,
    pub command: Vec<String>,
    /// `--name=value`, each a word of its own.
    pub options: Vec<String>,
    pub after: Vec<Dependency>,
    pub conditions: Vec<Condition>,
    pub timeout: Option<Duration>,
    pub critical: bool,
    pub health: Option<Vec<String>>,
    /// What other files call it, where that is not its name.
    pub service: String,
    /// What those that come after it wait for.
    pub until: Until,
    /// What it comes after by the names that units have.
    pub wishes: Vec<Wish>,
    /// Units that come after it.
    pub before: Vec<String>,
    pub notes: Vec<String>,
}

/// To come after a unit's container.
pub struct Wish {
    pub service: String,
    /// It makes no sense without.
    pub is_needed: bool,
}

impl Draft {
    pub fn option(&mut self, name: &str, value: &str) {
        self.options.push(format!("--{name}={value}"));
    }

    /// The entry that `file` asks for.
    pub fn finish(self, file: &Path, phase: Phase) -> Result<Entry> {
        words::check_name(&self.name)?;
        if self.image.is_empty() {
            return Err(Error::invalid("image is missing"));
        }
        if let Some(itself) = self.after.iter().find(|after| after.name == self.name) {
            let name = &itself.name;
            return Err(Error::invalid(format!("{name} cannot come after itself")));
        }
        let mut arguments = vec![format!("--name={}", self.name)];
        arguments.extend(self.options);
        // The image and what follows are no options, whatever they look like.
        arguments.push("--".to_string());
        arguments.push(self.image.clone());
        arguments.extend(self.command);
        if arguments.iter().any(|argument| argument.contains('\0')) {
            return Err(Error::invalid("a value holds a zero byte"));
        }
        Ok(Entry {
            name: self.name,
            phase,
            arguments,
            image: self.image,
            after: self.after,
            conditions: self.conditions,
            timeout: self.timeout,
            critical: self.critical,
            health: self.health,
            file: file.to_path_buf(),
        })
    }
}

/// `text` is JSON, of the container `name` unless it says otherwise.
pub fn read(text: &str, name: &str, dir: &Path) -> Result<Draft> {
    let node = document(text)?;
    let mut draft = Draft {
        name: name.to_string(),
        ..Draft::default()
    };
    let mut seen: Vec<String> = Vec::new();
    for (member, value) in node.pairs() {
        if seen.contains(&member) {
            return Err(Error::invalid(format!("{member} stands there twice")));
        }
        take(&mut draft, &member, value, dir).context(|| &member)?;
        seen.push(member);
    }
    Ok(draft)
}

/// A document that is one object.
pub fn document(text: &str) -> Result<Node<'_>> {
    // The name of the file is put in front by whoever has it.
    let node = Node::new(text, "").map_err(|mut error| {
        error.message = error.message.trim_start_matches(": ").to_string();
        error
    })?;
    match node.json().starts_with('{') {
        true => Ok(node),
        false => Err(Error::invalid("an object is wanted: { … }")),
    }
}

fn take(draft: &mut Draft, member: &str, value: Node<'_>, dir: &Path) -> Result<()> {
    match member {
        "name" => draft.name = text(value)?,
        "image" => draft.image = text(value)?,
        "command" => {
            draft.command = match value.json().starts_with('"') {
                true => words::split(&value.text(), Quoting::Shell)?,
                false => list(value)?,
            }
        }
        "after" => {
            for after in list(value)? {
                draft.after.push(words::dependency(&after)?);
            }
        }
        "conditions" => {
            for condition in list(value)? {
                draft.conditions.push(words::condition(&condition)?);
            }
        }
        "timeout" => draft.timeout = Some(words::duration(&text(value)?)?),
        "critical" => {
            draft.critical = match value.json() {
                "true" => true,
                "false" => false,
                _ => return Err(Error::invalid("true or false is wanted")),
            }
        }
        // Typed in a shell it would be an option without a name.
        "" => return Err(Error::invalid("a member without a name")),
        option => {
            for value in values(value)? {
                draft.option(option, &words::localise(option, &value, dir));
            }
        }
    }
    Ok(())
}

/// The values of an option: a word, a list of words, or an object of `key=value`.
fn values(node: Node<'_>) -> Result<Vec<String>> {
    match node.json().as_bytes().first() {
        Some(b'{') => {
            let mut values = Vec::new();
            for (key, value) in node.pairs() {
                let value = value.word().ok_or_else(|| {
                    Error::invalid(format!("{key}: a string, a number or a boolean is wanted"))
                })?;
                values.push(format!("{key}={value}"));
            }
            Ok(values)
        }
        _ => list(node),
    }
}

pub fn text(node: Node<'_>) -> Result<String> {
    match node.json().starts_with('"') {
        true => Ok(node.text()),
        false => Err(Error::invalid("a string is wanted")),
    }
}

/// A list of words; one alone will do.
pub fn list(node: Node<'_>) -> Result<Vec<String>> {
    let items = match node.json().starts_with('[') {
        true => node.items(),
        false => vec![node],
    };
    let mut words = Vec::new();
    for item in items {
        words.push(
            item.word()
                .ok_or_else(|| Error::invalid("strings, numbers or booleans are wanted"))?,
        );
    }
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(text: &str) -> Result<Entry> {
        read(text, "web", Path::new("/p"))?.finish(Path::new("/p/web.json"), Phase::Service)
    }

    #[test]
    fn members_are_options_of_create() {
        let entry = entry(
            r#"{"image":"web:1","command":"sh -c 'echo hi'","publish":["80:80",81],
            "env":{"A":"1","B":2,"C":true},"init":true,"memory":"64m","volume":"./d:/d",
            "after":["db:healthy","net"],"conditions":["network","device:/dev/ttyUSB0"],
            "timeout":"30s","critical":true}"#,
        )
        .unwrap();
        assert_eq!(
            entry.arguments.join(" "),
            "--name=web --publish=80:80 --publish=81 --env=A=1 --env=B=2 --env=C=true --init=true \
             --memory=64m --volume=/p/d:/d -- web:1 sh -c echo hi"
        );
        assert_eq!(entry.after.len(), 2);
        assert_eq!(entry.conditions.len(), 2);
        assert_eq!(entry.timeout, Some(Duration::from_secs(30)));
        assert!(entry.critical);
        let named = read(r#"{"image":"a","name":"other"}"#, "web", Path::new("/"));
        assert_eq!(named.unwrap().name, "other");
    }

    #[test]
    fn mistakes_are_named() {
        for (text, expected) in [
            ("", "invalid JSON: line 1, column 1: unexpected end"),
            ("[]", "an object is wanted: { … }"),
            ("{}", "image is missing"),
            (r#"{"image":1}"#, "image: a string is wanted"),
            (r#"{"image":"a","image":"b"}"#, "image stands there twice"),
            (
                r#"{"image":"a","env":{"A":[]}}"#,
                "env: A: a string, a number or a boolean is wanted",
            ),
            (
                r#"{"image":"a","publish":[null]}"#,
                "publish: strings, numbers or booleans are wanted",
            ),
            (
                r#"{"image":"a","after":["web"]}"#,
                "web cannot come after itself",
            ),
            (
                r#"{"image":"a","critical":"yes"}"#,
                "critical: true or false is wanted",
            ),
            (
                r#"{"image":"a","timeout":"soon"}"#,
                "timeout: \"soon\" is no duration: write 30s, 1m30s, 500ms",
            ),
            (
                r#"{"image":"a","command":"sh 'x"}"#,
                "command: no closing quote in \"sh 'x\"",
            ),
            (
                r#"{"image":"a","name":"-x"}"#,
                "Invalid container name (-x), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed",
            ),
            (
                r#"{"image":"a","env":"A=\u0000"}"#,
                "a value holds a zero byte",
            ),
        ] {
            assert_eq!(entry(text).unwrap_err().to_string(), expected, "{text}");
        }
    }
}
