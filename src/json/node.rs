//! Parts of a document as text, for readers that want a few members of many.

use super::{Broken, misplaced, scan};
use crate::error::Result;

/// A document or a part of it: text that was checked once, and is looked into when asked. For
/// readers that want a few members of many, where structs would cost more.
#[derive(Clone, Copy)]
pub struct Node<'a>(&'a str);

impl<'a> Node<'a> {
    /// `text` is `what` for the message.
    pub fn new(text: &'a str, what: &str) -> Result<Node<'a>> {
        match scan(text) {
            Ok(()) => Ok(Node(text.trim())),
            Err(broken) => Err(misplaced(text, what, broken)),
        }
    }

    /// Of text that was checked before, without blanks around it.
    pub(super) fn sound(text: &'a str) -> Node<'a> {
        Node(text)
    }

    /// The member that `path` leads to, such as `State.Running`; `null` where there is none.
    pub fn at(self, path: &str) -> Node<'a> {
        let mut node = self;
        for name in path.split('.') {
            node = node.member(name).unwrap_or(Node("null"));
        }
        node
    }

    pub fn member(self, name: &str) -> Option<Node<'a>> {
        let mut members = members(self.0).into_iter();
        members
            .find(|(key, _)| is_quoted(key, name))
            .map(|(_, value)| Node(value))
    }

    /// Its JSON.
    pub fn json(self) -> &'a str {
        self.0
    }

    /// A string's text; empty for anything else.
    pub fn text(self) -> String {
        match self.0.starts_with('"') {
            true => unquote(self.0),
            false => String::new(),
        }
    }

    /// What a string, a number or a boolean says.
    pub fn word(self) -> Option<String> {
        match self.0.as_bytes().first() {
            Some(b'"') => Some(unquote(self.0)),
            Some(b'{' | b'[' | b'n') | None => None,
            Some(_) => Some(self.0.to_string()),
        }
    }

    /// 0 for what is no integer.
    pub fn integer(self) -> i64 {
        self.0.parse().unwrap_or(0)
    }

    pub fn is_true(self) -> bool {
        self.0 == "true"
    }

    /// The elements of a list, or the values of an object.
    pub fn items(self) -> Vec<Node<'a>> {
        let mut items = Vec::new();
        for (_, value) in members(self.0) {
            items.push(Node(value));
        }
        items
    }

    /// The members of an object.
    pub fn pairs(self) -> Vec<(String, Node<'a>)> {
        let mut pairs = Vec::new();
        for (key, value) in members(self.0) {
            pairs.push((unquote(key), Node(value)));
        }
        pairs
    }
}

/// Whether `key`, quoted, is `name`.
fn is_quoted(key: &str, name: &str) -> bool {
    key.strip_prefix('"').and_then(|key| key.strip_suffix('"')) == Some(name)
        || key.contains('\\') && unquote(key) == name
}

/// A quoted string's text. Half a surrogate pair becomes U+FFFD, as in Go.
pub fn unquote(quoted: &str) -> String {
    let mut rest = quoted.trim_matches('"');
    // What ends with an escaped quote has lost it.
    if let Some(inner) = quoted.strip_prefix('"').and_then(|q| q.strip_suffix('"')) {
        rest = inner;
    }
    let mut text = String::with_capacity(rest.len());
    while let Some((plain, behind)) = rest.split_once('\\') {
        text.push_str(plain);
        let mut escaped = behind.chars();
        text.push(match escaped.next() {
            Some('b') => '\u{8}',
            Some('f') => '\u{c}',
            Some('n') => '\n',
            Some('r') => '\r',
            Some('t') => '\t',
            Some('u') => code_point(&mut escaped),
            Some(itself) => itself,
            None => char::REPLACEMENT_CHARACTER,
        });
        rest = escaped.as_str();
    }
    text.push_str(rest);
    text
}

/// What `\u` begins: four digits, or a pair of such for what lies beyond 16 bits.
fn code_point(text: &mut std::str::Chars<'_>) -> char {
    let digits = |text: &str| u32::from_str_radix(text.get(..4)?, 16).ok();
    let rest = text.as_str();
    let Some(high) = digits(rest) else {
        return char::REPLACEMENT_CHARACTER;
    };
    *text = rest[4..].chars();
    let low = rest[4..].strip_prefix("\\u").and_then(digits);
    match (high, low) {
        (0xd800..0xdc00, Some(low @ 0xdc00..0xe000)) => {
            *text = rest[10..].chars();
            let code = 0x1_0000 + ((high - 0xd800) << 10) + (low - 0xdc00);
            char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER)
        }
        _ => char::from_u32(high).unwrap_or(char::REPLACEMENT_CHARACTER),
    }
}

pub fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quote_into(text, &mut quoted);
    quoted
}

/// Write `text` as a string (RFC 8259, section 7).
pub fn quote_into(text: &str, to: &mut String) {
    to.push('"');
    let mut rest = text;
    while let Some(at) = rest.find(|c| c < ' ' || c == '"' || c == '\\') {
        to.push_str(&rest[..at]);
        let byte = rest.as_bytes()[at];
        match byte {
            b'"' | b'\\' => to.extend(['\\', char::from(byte)]),
            b'\n' => to.push_str("\\n"),
            b'\r' => to.push_str("\\r"),
            b'\t' => to.push_str("\\t"),
            8 => to.push_str("\\b"),
            12 => to.push_str("\\f"),
            _ => to.push_str(&format!("\\u{byte:04x}")),
        }
        rest = &rest[at + 1..];
    }
    to.push_str(rest);
    to.push('"');
}

/// `text` with a line per member, indented by 4 blanks a level, as Docker's `inspect` prints it.
pub fn pretty(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut pretty = String::with_capacity(text.len() * 2);
    let mut depth = 0usize;
    let mut at = 0;
    let new_line = |pretty: &mut String, depth: usize| {
        pretty.push('\n');
        pretty.extend(std::iter::repeat_n("    ", depth));
    };
    while let Some(&byte) = bytes.get(at) {
        let end = match byte {
            b'"' => string_end(bytes, at).unwrap_or(bytes.len()),
            _ => at + 1,
        };
        match byte {
            b' ' | b'\n' | b'\r' | b'\t' => {}
            b'{' | b'[' if matches!(bytes.get(at + 1), Some(b'}' | b']')) => {
                pretty.push_str(&text[at..at + 2]);
                at += 2;
                continue;
            }
            b'{' | b'[' => {
                pretty.push(char::from(byte));
                depth += 1;
                new_line(&mut pretty, depth);
            }
            b'}' | b']' => {
                depth = depth.saturating_sub(1);
                new_line(&mut pretty, depth);
                pretty.push(char::from(byte));
            }
            b',' => {
                pretty.push(',');
                new_line(&mut pretty, depth);
            }
            b':' => pretty.push_str(": "),
            _ => pretty.push_str(text.get(at..end).unwrap_or_default()),
        }
        at = end;
    }
    pretty
}

/// `text` without the blanks between its parts.
pub fn compact(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut compact = String::with_capacity(text.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let end = match byte {
            b'"' => string_end(bytes, at).unwrap_or(bytes.len()),
            _ => at + 1,
        };
        if !matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
            compact.push_str(text.get(at..end).unwrap_or_default());
        }
        at = end;
    }
    compact
}

/// The members of an object, each with its quoted name, or the values of a list. `text` is sound
/// JSON (it has been parsed, or written, by us).
pub fn members(text: &str) -> Vec<(&str, &str)> {
    const BETWEEN: [char; 6] = [' ', '\n', '\t', '\r', ',', ':'];
    let is_object = text.starts_with('{');
    let mut members = Vec::new();
    let mut rest = match text.starts_with(['{', '[']) {
        true => text[1..].trim_start_matches(BETWEEN),
        false => "",
    };
    while !rest.is_empty() && !rest.starts_with(['}', ']']) {
        let mut key = "";
        if is_object {
            let (name, behind) = rest.split_at(value_end(rest));
            key = name;
            rest = behind.trim_start_matches(BETWEEN);
        }
        let (member, behind) = rest.split_at(value_end(rest));
        if member.is_empty() {
            break;
        }
        members.push((key, member));
        rest = behind.trim_start_matches(BETWEEN);
    }
    members
}

/// The length of the value that `text`, sound JSON, begins with.
pub(super) fn value_end(text: &str) -> usize {
    let bytes = text.as_bytes();
    let (mut at, mut depth) = (0, 0usize);
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => {
                at = string_end(bytes, at).unwrap_or(bytes.len());
                if depth == 0 {
                    return at;
                }
                continue;
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' if depth == 0 => return at,
            b'}' | b']' => {
                depth -= 1;
                if depth == 0 {
                    return at + 1;
                }
            }
            b',' | b':' | b' ' | b'\n' | b'\r' | b'\t' if depth == 0 => return at,
            _ => {}
        }
        at += 1;
    }
    at
}

/// Behind the closing quote of the string that opens at `at`.
pub(super) fn string_end(bytes: &[u8], at: usize) -> std::result::Result<usize, Broken> {
    let mut end = at + 1;
    loop {
        match bytes.get(end) {
            Some(b'"') => return Ok(end + 1),
            Some(b'\\') => match escape(&bytes[end..]) {
                Some(length) => end += length,
                None => return Err((end, "unknown escape in a string")),
            },
            Some(0..b' ') => return Err((end, "control character in a string")),
            Some(_) => end += 1,
            None => return Err((at, "string without end")),
        }
    }
}

/// The length of the escape that `text` begins with.
fn escape(text: &[u8]) -> Option<usize> {
    match text.get(1)? {
        b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Some(2),
        b'u' => {
            let digits = text.get(2..6)?;
            digits.iter().all(u8::is_ascii_hexdigit).then_some(6)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pretty_json_looks_like_dockers() {
        let text = r#"[ {"a" :[1,"x, {y}"], "b":{},"c":[],"d":{"e":null}}]"#;
        let expected = "[\n    {\n        \"a\": [\n            1,\n            \"x, {y}\"\n        ],\n        \
            \"b\": {},\n        \"c\": [],\n        \"d\": {\n            \"e\": null\n        }\n    }\n]";
        assert_eq!(pretty(text), expected);
    }

    #[test]
    fn strings_keep_all_that_they_hold() {
        for (text, quoted) in [
            ("", r#""""#),
            ("a\"b\\c/é\u{1f600}", "\"a\\\"b\\\\c/é\u{1f600}\""),
            ("\n\r\t\u{8}\u{c}\u{0}\u{1f}", r#""\n\r\t\b\f\u0000\u001f""#),
        ] {
            assert_eq!(quote(text), quoted);
            assert_eq!(unquote(quoted), text);
        }
        assert_eq!(
            unquote(r#""\u00e9\ud83d\ude00\ud800x\/\"""#),
            "é\u{1f600}\u{fffd}x/\""
        );
        assert_eq!(unquote(r#""\ud83d\u0041""#), "\u{fffd}A");
        for bad in [r#"{"a":"\q"}"#, r#"{"a":"\u12g4"}"#, r#"{"a":"\u12"}"#] {
            let error = Node::new(bad, "text").err().unwrap();
            assert!(error.message.contains("unknown escape"), "{error}");
        }
    }

    #[test]
    fn compact_json_keeps_the_blanks_of_strings() {
        let text = " {\n\t\"a b\" : [ 1, \"x \\\" y\" ]\r\n}\n";
        assert_eq!(compact(text), "{\"a b\":[1,\"x \\\" y\"]}");
    }

    #[test]
    fn nodes_are_looked_into_by_path() {
        let text = r#" {"a":{"b\u0062":[1,"x\n",true]},"c":"é"} "#;
        let node = Node::new(text, "text").unwrap();
        let items = node.at("a.bb").items();
        assert_eq!(items[0].integer(), 1);
        assert_eq!(items[1].text(), "x\n");
        assert!(items[2].is_true());
        assert_eq!(node.at("c").text(), "é");
        assert_eq!(node.at("a.nope.further").json(), "null");
        assert_eq!(node.at("c").integer(), 0);
        assert!(Node::new("{", "text").is_err());
    }
}
