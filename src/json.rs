//! JSON in and out, with messages that say which member was wrong.
//!
//! Structs are flat `Option`s (see `wire` and `oci`): miniserde refuses a missing or `null`
//! member that is not an `Option`, writes `None` as `null`, and says no more than "invalid".
//! What is missing there is added here, on the text and away from the types, so that it is
//! compiled once.

pub mod map;
pub mod node;
pub mod object;

use self::node::{members, string_end, value_end};
use crate::error::{Error, Result};
use miniserde::{Deserialize, Serialize};

/// Deeper than any document of ours. Keeps what walks over a document cheap.
const DEPTH_MAX: usize = 128;

/// Parse `text`, which is `what` (a file's path, or `request body`) for the message.
pub fn parse<T: Deserialize>(text: &str, what: &str) -> Result<T> {
    let scanned = scan(text);
    if let (Ok(()), Ok(value)) = (&scanned, miniserde::json::from_str(text)) {
        return Ok(value);
    }
    let accepts = |text: &str| miniserde::json::from_str::<T>(text).is_ok();
    Err(explain(text, what, scanned, &accepts))
}

/// The same for bytes that should be UTF-8.
pub fn parse_bytes<T: Deserialize>(bytes: &[u8], what: &str) -> Result<T> {
    let text = std::str::from_utf8(bytes)
        .map_err(|_| Error::invalid(format!("{what}: invalid JSON: not UTF-8")))?;
    parse(text, what)
}

/// The same for what is full of paths and other strings for the kernel, where a zero byte ends
/// them: none may have one.
pub fn parse_without_zeros<T: Deserialize>(bytes: &[u8], what: &str) -> Result<T> {
    let value = parse_bytes(bytes, what)?;
    match std::str::from_utf8(bytes) {
        Ok(text) if has_zero(text) => {
            let mut search = Search::new(&|text| !has_zero(text));
            search.find(text.trim());
            let path = search.path;
            Err(Error::invalid(format!("{what}: {path} holds a zero byte")))
        }
        _ => Ok(value),
    }
}

/// Raw ones are no JSON.
fn has_zero(text: &str) -> bool {
    let is_escape = |(at, _): (usize, &str)| {
        let before = text.as_bytes()[..at].iter().rev();
        before.take_while(|byte| **byte == b'\\').count() % 2 == 0
    };
    text.match_indices("\\u0000").any(is_escape)
}

/// Members of objects that are `null` are left out; a list keeps its `null`s.
pub fn to_string<T: Serialize>(value: &T) -> String {
    without_nulls(&miniserde::json::to_string(value))
}

/// Where the syntax breaks, and how.
type Broken = (usize, &'static str);

fn explain(
    text: &str,
    what: &str,
    scanned: std::result::Result<(), Broken>,
    accepts: &dyn Fn(&str) -> bool,
) -> Error {
    if let Err(broken) = scanned {
        return misplaced(text, what, broken);
    }
    let mut search = Search::new(accepts);
    let wrong = search.find(text.trim());
    match search.path.as_str() {
        "" => Error::invalid(format!(
            "{what}: invalid JSON: {wrong} is not expected here"
        )),
        path => Error::invalid(format!("{what}: invalid JSON: {path} cannot be {wrong}")),
    }
}

fn misplaced(text: &str, what: &str, (at, problem): Broken) -> Error {
    let before = text.get(..at).unwrap_or(text);
    let line = before.split('\n').count();
    let column = before.len() - before.rfind('\n').map_or(0, |at| at + 1) + 1;
    Error::invalid(format!(
        "{what}: invalid JSON: line {line}, column {column}: {problem}"
    ))
}

/// Looks for the member that the type does not take, by trying documents with one member each.
struct Search<'a> {
    accepts: &'a dyn Fn(&str) -> bool,
    /// What stands around the value in question, reduced to the way down to it.
    before: String,
    after: String,
    path: String,
}

impl<'a> Search<'a> {
    fn new(accepts: &'a dyn Fn(&str) -> bool) -> Search<'a> {
        Search {
            accepts,
            before: String::new(),
            after: String::new(),
            path: String::new(),
        }
    }

    /// Go down from `value`, which is refused, as far as possible. Answers what stands there.
    fn find(&mut self, mut value: &str) -> &'static str {
        loop {
            let (empty, kind) = match value.as_bytes().first() {
                Some(b'{') => ("{}", "an object"),
                Some(b'[') => ("[]", "a list"),
                Some(b'"') => return "this string",
                Some(b't' | b'f') => return "a boolean",
                Some(b'n') => return "null",
                _ => return "this number",
            };
            // Wrong by its kind already, or none of its members is wrong for itself.
            if !self.takes(empty) {
                return kind;
            }
            match self.refused_member(value) {
                Some(member) => value = member,
                None => return kind,
            }
        }
    }

    fn takes(&self, value: &str) -> bool {
        (self.accepts)(&format!("{}{value}{}", self.before, self.after))
    }

    /// The first member of `value` that is refused even alone; the way to it is noted.
    fn refused_member<'v>(&mut self, value: &'v str) -> Option<&'v str> {
        let is_object = value.starts_with('{');
        let (length, after_length) = (self.before.len(), self.after.len());
        for (index, (key, member)) in members(value).into_iter().enumerate() {
            match is_object {
                true => self.before.push_str(&format!("{{{key}:")),
                false => self.before.push('['),
            }
            self.after.insert(0, if is_object { '}' } else { ']' });
            if !self.takes(member) {
                if !is_object {
                    self.path.push_str(&format!("[{index}]"));
                } else {
                    let dot = if self.path.is_empty() { "" } else { "." };
                    self.path
                        .push_str(&format!("{dot}{}", key.trim_matches('"')));
                }
                return Some(member);
            }
            self.before.truncate(length);
            self.after.drain(..self.after.len() - after_length);
        }
        None
    }
}

/// Check the syntax: brackets, commas, colons, depth. Escapes and digits are the parser's.
fn scan(text: &str) -> std::result::Result<(), Broken> {
    /// What may come next.
    #[derive(Clone, Copy, PartialEq)]
    enum Next {
        Value,
        ValueOrEnd,
        Key,
        KeyOrEnd,
        Colon,
        CommaOrEnd,
    }
    let bytes = text.as_bytes();
    let mut open: Vec<u8> = Vec::new();
    let mut next = Next::Value;
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let start = at;
        at += 1;
        if matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
            continue;
        }
        next = match (next, byte) {
            (Next::Key | Next::KeyOrEnd, b'"') => {
                at = string_end(bytes, start)?;
                Next::Colon
            }
            (Next::Colon, b':') => Next::Value,
            (Next::CommaOrEnd, b',') if open.last() == Some(&b'{') => Next::Key,
            (Next::CommaOrEnd, b',') if open.last() == Some(&b'[') => Next::Value,
            (Next::CommaOrEnd | Next::KeyOrEnd, b'}') if open.last() == Some(&b'{') => {
                open.pop();
                Next::CommaOrEnd
            }
            (Next::CommaOrEnd | Next::ValueOrEnd, b']') if open.last() == Some(&b'[') => {
                open.pop();
                Next::CommaOrEnd
            }
            (Next::Value | Next::ValueOrEnd, b'{' | b'[') => {
                if open.len() == DEPTH_MAX {
                    return Err((start, "nested too deeply"));
                }
                open.push(byte);
                if byte == b'{' {
                    Next::KeyOrEnd
                } else {
                    Next::ValueOrEnd
                }
            }
            (Next::Value | Next::ValueOrEnd, b'"') => {
                at = string_end(bytes, start)?;
                Next::CommaOrEnd
            }
            (Next::Value | Next::ValueOrEnd, b'-' | b'0'..=b'9' | b'a'..=b'z') => {
                let word = &text[start..start + value_end(&text[start..])];
                if !is_word(word) {
                    return Err((start, "expected a value"));
                }
                at = start + word.len();
                Next::CommaOrEnd
            }
            (Next::Value | Next::ValueOrEnd, _) => return Err((start, "expected a value")),
            (Next::Key | Next::KeyOrEnd, _) => return Err((start, "expected a member name")),
            (Next::Colon, _) => return Err((start, "expected ':'")),
            (Next::CommaOrEnd, _) if open.is_empty() => {
                return Err((start, "expected the end"));
            }
            (Next::CommaOrEnd, _) => return Err((start, "expected ',' or the end")),
        };
    }
    match next == Next::CommaOrEnd && open.is_empty() {
        true => Ok(()),
        false => Err((bytes.len(), "unexpected end")),
    }
}

fn is_word(word: &str) -> bool {
    let digits = word.strip_prefix('-').unwrap_or(word);
    matches!(word, "true" | "false" | "null")
        || digits.starts_with(|c: char| c.is_ascii_digit())
            && digits
                .bytes()
                .all(|b| matches!(b, b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-'))
}

/// Take the members that are `null` out of `text`, which miniserde has written: no blanks.
fn without_nulls(text: &str) -> String {
    const NULL: &str = ":null";
    let bytes = text.as_bytes();
    let mut kept = String::with_capacity(text.len());
    let (mut at, mut copied) = (0, 0);
    while let Some(&byte) = bytes.get(at) {
        if byte != b'"' {
            at += 1;
            continue;
        }
        let end = string_end(bytes, at).unwrap_or(bytes.len());
        // A string is followed by a colon only where it names a member.
        if text.get(end..end + NULL.len()) == Some(NULL) {
            kept.push_str(&text[copied..at]);
            copied = end + NULL.len();
            // One comma goes with it: the one behind, or at the end of the object the one before.
            if bytes.get(copied) == Some(&b',') {
                copied += 1;
            } else if kept.ends_with(',') {
                kept.pop();
            }
            at = copied;
        } else {
            at = end;
        }
    }
    kept.push_str(&text[copied..]);
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::container::{Config, Placement};

    #[test]
    fn nulls_of_objects_are_left_out_and_lists_keep_theirs() {
        for (text, expected) in [
            (r#"{"a":null}"#, "{}"),
            (r#"{"a":null,"b":1,"c":null}"#, r#"{"b":1}"#),
            (r#"{"b":1,"c":null,"d":null}"#, r#"{"b":1}"#),
            (
                r#"{"a":{"b":null},"c":[null,{"d":null}]}"#,
                r#"{"a":{},"c":[null,{}]}"#,
            ),
            (
                r#"[null,"a:null",":null","\":null"]"#,
                r#"[null,"a:null",":null","\":null"]"#,
            ),
            (r#"{"é\"":null,"a":"\\"}"#, r#"{"a":"\\"}"#),
            ("null", "null"),
        ] {
            assert_eq!(without_nulls(text), expected, "{text}");
        }
    }

    fn refusal(text: &str) -> String {
        let config = parse::<Config>(text, "request body").err();
        let error = config.unwrap_or_else(|| parse::<Placement>(text, "request body").unwrap_err());
        error.message.replace("request body: invalid JSON: ", "")
    }

    #[test]
    fn a_member_of_the_wrong_type_is_named() {
        for (text, expected) in [
            (r#"{"Cmd":["sh"],"Tty":"yes"}"#, "Tty cannot be this string"),
            (
                r#" { "HostConfig" : { "Init":true, "Memory" : "1g" } } "#,
                "HostConfig.Memory cannot be this string",
            ),
            (r#"{"Cmd":["a","b",3]}"#, "Cmd[2] cannot be this number"),
            (
                r#"{"HostConfig":{"Mounts":[{"Type":"bind"},{"ReadOnly":1}]}}"#,
                "HostConfig.Mounts[1].ReadOnly cannot be this number",
            ),
            (r#"{"HostConfig":[]}"#, "HostConfig cannot be a list"),
            (
                r#"{"OomScoreAdj":1,"HostConfig":{"OomScoreAdj":9999999999}}"#,
                "HostConfig.OomScoreAdj cannot be this number",
            ),
            (r#"{"Cmd":{}}"#, "Cmd cannot be an object"),
            (r#"{"Labels":{"a":null}}"#, "Labels.a cannot be null"),
            ("[]", "a list is not expected here"),
            ("true", "a boolean is not expected here"),
        ] {
            assert_eq!(refusal(text), expected, "{text}");
        }
    }

    #[test]
    fn broken_syntax_is_located() {
        for (text, expected) in [
            ("", "line 1, column 1: unexpected end"),
            ("{", "line 1, column 2: unexpected end"),
            ("{\n \"Tty\" true}", "line 2, column 8: expected ':'"),
            (
                "{\"Tty\":true,}",
                "line 1, column 13: expected a member name",
            ),
            ("{\"Cmd\":[\"a\",]}", "line 1, column 13: expected a value"),
            (
                "{\"Cmd\":[\"a\"}",
                "line 1, column 12: expected ',' or the end",
            ),
            ("{} {}", "line 1, column 4: expected the end"),
            ("{\"a", "line 1, column 2: string without end"),
            (
                "{\"a\n\":1}",
                "line 1, column 4: control character in a string",
            ),
            ("{\"a\":nul}", "line 1, column 6: expected a value"),
            ("{\"a\":é}", "line 1, column 6: expected a value"),
            ("\u{0}", "line 1, column 1: expected a value"),
        ] {
            assert_eq!(refusal(text), expected, "{text:?}");
        }
    }

    #[test]
    fn depth_has_a_bound() {
        let deep = |depth: usize| format!("{{\"x\":{}{}}}", "[".repeat(depth), "]".repeat(depth));
        assert!(parse::<Config>(&deep(127), "body").is_ok());
        assert!(refusal(&deep(128)).ends_with("nested too deeply"));
        assert!(refusal(&"[".repeat(1_000_000)).ends_with("nested too deeply"));
    }

    #[test]
    fn paths_go_through_lists_and_maps() {
        use crate::oci::spec::Spec;
        let path = |text: &str| {
            let error = parse::<Spec>(text, "c").unwrap_err().to_string();
            error.replace("c: invalid JSON: ", "")
        };
        for (text, expected) in [
            (
                r#"{"linux":{"resources":{"rdma":{"a":{},"mlx5_1":{"hcaHandles":"x"}}}}}"#,
                "linux.resources.rdma.mlx5_1.hcaHandles cannot be this string",
            ),
            (
                r#"{"mounts":[{},{"options":[]},{"options":["a",1]}]}"#,
                "mounts[2].options[1] cannot be this number",
            ),
            (
                r#"{"linux":{"resources":{"memory":{"limit":1e99}}}}"#,
                "linux.resources.memory.limit cannot be this number",
            ),
            (
                r#"{"linux":{"resources":{"memory":{"limit":9223372036854775808}}}}"#,
                "linux.resources.memory.limit cannot be this number",
            ),
            (
                r#"{"process":{"user":{"uid":-1}}}"#,
                "process.user.uid cannot be this number",
            ),
            (
                r#"{"process":{"user":{"uid":1.5}}}"#,
                "process.user.uid cannot be this number",
            ),
            (
                r#"{"linux":{"netDevices":{"eth0":{"name":23}}}}"#,
                "linux.netDevices.eth0.name cannot be this number",
            ),
            (r#"{"hooks":[]}"#, "hooks cannot be a list"),
            (
                r#"{"linux":{"sysctl":{"net.a":"1","net.b":2}}}"#,
                "linux.sysctl.net.b cannot be this number",
            ),
        ] {
            assert_eq!(path(text), expected, "{text}");
        }
    }

    #[test]
    fn zero_bytes_are_found_where_they_are() {
        use crate::oci::spec::Spec;
        let outcome = |text: &str| match parse_without_zeros::<Spec>(text.as_bytes(), "c") {
            Ok(_) => "good".to_string(),
            Err(error) => error.to_string(),
        };
        let zero = r#"{"process":{"args":["a","b\u0000c"]}}"#;
        assert_eq!(outcome(zero), "c: process.args[1] holds a zero byte");
        let unknown = r#"{"hostname":"h","other":{"x":["\u0000"]}}"#;
        assert_eq!(outcome(unknown), "c: other.x[0] holds a zero byte");
        assert_eq!(outcome(r#"{"hostname":"\\u0000"}"#), "good");
        assert_eq!(
            outcome(r#"{"hostname":"\\\u0000"}"#),
            "c: hostname holds a zero byte"
        );
    }

    #[test]
    fn a_wrong_member_of_a_large_document_is_found_soon() {
        use crate::oci::spec::Spec;
        let many = |last: &str| {
            let list = "\"A=1\",".repeat(1_000_000);
            format!(r#"{{"annotations":{{"a":"b"}},"process":{{"env":[{list}{last}]}}}}"#)
        };
        let started = std::time::Instant::now();
        assert!(parse::<Spec>(&many("\"Z=1\""), "c").is_ok());
        let error = parse::<Spec>(&many("7"), "c").unwrap_err();
        assert!(
            error
                .message
                .ends_with("process.env[1000000] cannot be this number")
        );
        assert!(started.elapsed().as_secs() < 30);
    }
}
