//! JSON in and out, with messages that say which member was wrong.
//!
//! A document is checked first (`scan`), then read into types (`value`) or looked into (`node`).

pub mod map;
pub mod node;
pub mod object;
pub mod value;

use self::node::{members, string_end, unquote, value_end};
use self::value::{Reader, Value};
use crate::error::{Error, Result};

/// Deeper than any document of ours. Keeps what walks over a document cheap.
const DEPTH_MAX: usize = 128;

/// Parse `text`, which is `what` (a file's path, or `request body`) for the message.
pub fn parse<T: Value + Default>(text: &str, what: &str) -> Result<T> {
    let mut value = T::default();
    parse_into(&mut value, text, what).map(|()| value)
}

fn parse_into(value: &mut dyn Value, text: &str, what: &str) -> Result<()> {
    scan(text).map_err(|broken| misplaced(text, what, broken))?;
    let mut reader = Reader::new(text);
    value.read(&mut reader).map_err(|_| {
        let refusal = reader.refusal();
        Error::invalid(format!("{what}: invalid JSON: {refusal}"))
    })
}

/// The same for bytes that should be UTF-8.
pub fn parse_bytes<T: Value + Default>(bytes: &[u8], what: &str) -> Result<T> {
    parse(utf8(bytes, what)?, what)
}

fn utf8<'a>(bytes: &'a [u8], what: &str) -> Result<&'a str> {
    std::str::from_utf8(bytes)
        .map_err(|_| Error::invalid(format!("{what}: invalid JSON: not UTF-8")))
}

/// The same for what is full of paths and other strings for the kernel, where a zero byte ends
/// them: none may have one.
pub fn parse_without_zeros<T: Value + Default>(bytes: &[u8], what: &str) -> Result<T> {
    let text = utf8(bytes, what)?;
    let value = parse(text, what)?;
    if has_zero(text) {
        let path = path_to_zero(text.trim());
        return Err(Error::invalid(format!("{what}: {path} holds a zero byte")));
    }
    Ok(value)
}

/// Raw ones are no JSON.
fn has_zero(text: &str) -> bool {
    let is_escape = |(at, _): (usize, &str)| {
        let before = text.as_bytes()[..at].iter().rev();
        before.take_while(|byte| **byte == b'\\').count() % 2 == 0
    };
    text.match_indices("\\u0000").any(is_escape)
}

/// The way to the first string with a zero byte in it.
fn path_to_zero(mut text: &str) -> String {
    let mut path = String::new();
    loop {
        let is_object = text.starts_with('{');
        let mut members = members(text).into_iter().enumerate();
        let Some((index, (key, member))) = members.find(|(_, (_, value))| has_zero(value)) else {
            return path;
        };
        match is_object {
            true if path.is_empty() => path = unquote(key),
            true => path = format!("{path}.{}", unquote(key)),
            false => path = format!("{path}[{index}]"),
        }
        text = member;
    }
}

/// Members that are `None` are left out; a list keeps its `null`s.
pub fn to_string(value: &dyn Value) -> String {
    let mut text = String::new();
    value.write(&mut text);
    text
}

/// Where the syntax breaks, and how.
type Broken = (usize, &'static str);

fn misplaced(text: &str, what: &str, (at, problem): Broken) -> Error {
    let before = text.get(..at).unwrap_or(text);
    let line = before.split('\n').count();
    let column = before.len() - before.rfind('\n').map_or(0, |at| at + 1) + 1;
    Error::invalid(format!(
        "{what}: invalid JSON: line {line}, column {column}: {problem}"
    ))
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

/// `true`, `false`, `null` or a number (RFC 8259, section 6).
pub fn is_word(word: &str) -> bool {
    if matches!(word, "true" | "false" | "null") {
        return true;
    }
    let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let number = word.strip_prefix('-').unwrap_or(word);
    let (number, exponent) = number.split_once(['e', 'E']).unwrap_or((number, "0"));
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let is_padded = whole.len() > 1 && whole.starts_with('0');
    let exponent = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
    is_digits(whole) && !is_padded && is_digits(fraction) && is_digits(exponent)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::container::{Config, Placement};

    #[test]
    fn what_is_none_is_left_out_and_lists_keep_their_nulls() {
        use crate::json::map::Map;
        let map: Map<Vec<Option<i64>>> = Map::from([("a".to_string(), vec![None, Some(-1)])]);
        assert_eq!(to_string(&map), r#"{"a":[null,-1]}"#);
        assert_eq!(to_string(&Config::default()), "{}");
        let config = Config {
            tty: Some(true),
            cmd: Some(vec!["a\"\u{1}\n".to_string(), "é".to_string()]),
            ..Config::default()
        };
        let text = to_string(&config);
        assert_eq!(text, r#"{"Tty":true,"Cmd":["a\"\u0001\n","é"]}"#);
        let read: Config = parse(&text, "text").unwrap();
        assert_eq!(read.cmd, config.cmd);
    }

    #[test]
    fn what_must_be_there_is_missed() {
        use crate::shim::exit::Exit;
        let error = parse::<Exit>(r#"{"code":3,"finished_at":"x"}"#, "exit").unwrap_err();
        assert_eq!(
            error.to_string(),
            "exit: invalid JSON: oom_killed is missing"
        );
        assert!(parse::<Exit>(r#"{"code":null}"#, "exit").is_err());
    }

    #[test]
    fn numbers_are_those_of_json() {
        for bad in ["01", "1.", ".5", "1e", "1.2.3", "+1", "--1", "1e+-2", "-"] {
            assert!(
                refusal(&format!("{{\"x\":{bad}}}")).contains("line 1"),
                "{bad}"
            );
        }
        for good in ["0", "-0", "10", "1.25", "1e9", "1E-9", "-0.5e+3"] {
            assert!(
                parse::<Config>(&format!("{{\"x\":{good}}}"), "x").is_ok(),
                "{good}"
            );
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
