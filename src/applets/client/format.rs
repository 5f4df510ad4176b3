//! `--format`: the part of Go's templates that people use with Docker, over JSON text.
//!
//! Fields (`.State.Pid`), `range`, `if`, `else`, `end`, pipes, brackets, and the functions in
//! `call`. A value stays the text of its JSON: that keeps the order of members and needs no tree.

use crate::error::{Error, Result};
use crate::json::node;

/// How deep blocks and brackets may be nested.
const DEPTH_MAX: usize = 32;

enum Part {
    Text(String),
    Action(String),
}

pub struct Template(Vec<Part>);

impl Template {
    pub fn parse(text: &str) -> Result<Template> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(open) = rest.find("{{") {
            let (before, behind) = rest.split_at(open);
            let close = behind.find("}}").ok_or_else(|| failed("unclosed action"))?;
            let mut action = &behind[2..close];
            let mut before = before;
            rest = &behind[close + 2..];
            if let Some(trimmed) = action.strip_prefix("- ") {
                action = trimmed;
                before = before.trim_end();
            }
            if let Some(trimmed) = action.strip_suffix(" -") {
                action = trimmed;
                rest = rest.trim_start();
            }
            parts.push(Part::Text(before.to_string()));
            parts.push(Part::Action(action.trim().to_string()));
        }
        parts.push(Part::Text(rest.to_string()));
        Ok(Template(parts))
    }

    /// The text for `value`, which is JSON.
    pub fn render(&self, value: &str) -> Result<String> {
        let mut text = String::new();
        self.render_parts(0, self.0.len(), value, 0, &mut text)?;
        Ok(text)
    }

    fn render_parts(
        &self,
        mut at: usize,
        end: usize,
        dot: &str,
        depth: usize,
        to: &mut String,
    ) -> Result<()> {
        while at < end {
            let action = match &self.0[at] {
                Part::Text(text) => {
                    to.push_str(text);
                    at += 1;
                    continue;
                }
                Part::Action(action) => action.as_str(),
            };
            let (word, rest) = action.split_once(' ').unwrap_or((action, ""));
            match word {
                "if" | "range" => {
                    if depth == DEPTH_MAX {
                        return Err(failed("nested too deeply"));
                    }
                    let (middle, close) = self.block(at, end)?;
                    let value = evaluate(rest, dot, depth)?.json();
                    let is_true = is_true(&value);
                    let alternative = middle.map_or(close, |middle| middle + 1);
                    let (from, to_part) = match is_true {
                        true => (at + 1, middle.unwrap_or(close)),
                        false => (alternative, close),
                    };
                    if word == "range" && is_true {
                        for (_, member) in node::members(&value) {
                            self.render_parts(from, to_part, member, depth + 1, to)?;
                        }
                    } else {
                        self.render_parts(from, to_part, dot, depth + 1, to)?;
                    }
                    at = close;
                }
                "else" | "end" => return Err(failed(&format!("unexpected {{{{{word}}}}}"))),
                _ if action.starts_with("/*") => {}
                _ => to.push_str(&evaluate(action, dot, depth)?.show()?),
            }
            at += 1;
        }
        Ok(())
    }

    /// Where the block that opens at `open` has its `else`, if any, and its `end`.
    fn block(&self, open: usize, end: usize) -> Result<(Option<usize>, usize)> {
        let mut depth = 0;
        let mut middle = None;
        for at in open + 1..end {
            let Part::Action(action) = &self.0[at] else {
                continue;
            };
            match action.split(' ').next().unwrap_or_default() {
                "if" | "range" | "with" => depth += 1,
                "else" if depth == 0 => middle = Some(at),
                "end" if depth == 0 => return Ok((middle, at)),
                "end" => depth -= 1,
                _ => {}
            }
        }
        Err(failed("unexpected EOF"))
    }
}

fn failed(what: &str) -> Error {
    Error::invalid(format!("template parsing error: template: {what}"))
}

/// A value, or the name of what was looked for in vain.
#[derive(Clone)]
enum Value {
    Json(String),
    Missing(String),
}

impl Value {
    fn json(self) -> String {
        match self {
            Value::Json(text) => text,
            Value::Missing(_) => "null".to_string(),
        }
    }

    fn text(text: &str) -> Value {
        Value::Json(node::quote(text))
    }

    fn bool(value: bool) -> Value {
        Value::Json(value.to_string())
    }

    fn field(&self, name: &str) -> Result<Value> {
        match self {
            Value::Missing(missing) => Err(no_entry(missing)),
            Value::Json(text) if text.starts_with('{') => Ok(node::members(text)
                .into_iter()
                .find(|(key, _)| node::unquote(key) == name)
                .map_or(Value::Missing(name.to_string()), |(_, value)| {
                    Value::Json(value.to_string())
                })),
            Value::Json(_) => Err(no_entry(name)),
        }
    }

    /// Its JSON, where it is to be shown.
    fn found(self) -> Result<String> {
        match self {
            Value::Missing(name) => Err(no_entry(&name)),
            Value::Json(text) => Ok(text),
        }
    }

    /// As Go prints it.
    fn show(self) -> Result<String> {
        Ok(show(&self.found()?, 0))
    }
}

fn no_entry(name: &str) -> Error {
    failed(&format!(
        "executing at <.{name}>: map has no entry for key {name:?}"
    ))
}

fn show(text: &str, depth: usize) -> String {
    match text.as_bytes().first() {
        Some(b'"') => node::unquote(text),
        Some(b'n') => "<no value>".to_string(),
        Some(b'{') if depth < DEPTH_MAX => format!("map[{}]", shown(text, " ", depth)),
        Some(b'[') if depth < DEPTH_MAX => format!("[{}]", shown(text, " ", depth)),
        _ => text.to_string(),
    }
}

/// The members of a list or an object, `between` them.
fn shown(text: &str, between: &str, depth: usize) -> String {
    let mut shown = String::new();
    for (n, (key, value)) in node::members(text).into_iter().enumerate() {
        if n > 0 {
            shown.push_str(between);
        }
        if !key.is_empty() {
            shown.push_str(&node::unquote(key));
            shown.push(':');
        }
        shown.push_str(&show(value, depth + 1));
    }
    shown
}

fn is_true(text: &str) -> bool {
    !matches!(text, "null" | "false" | "0" | "\"\"" | "{}" | "[]")
}

/// `a b c | d`: each call's result is the last argument of the next.
fn evaluate(text: &str, dot: &str, depth: usize) -> Result<Value> {
    let mut result = None;
    for command in split(text, '|')? {
        let words = split(&command, ' ')?;
        result = Some(run(&words, result, dot, depth)?);
    }
    result.ok_or_else(|| failed("missing value for command"))
}

/// Split at `at` outside of quotes and brackets; empty parts are left out.
fn split(text: &str, at: char) -> Result<Vec<String>> {
    let mut parts = vec![String::new()];
    let mut quote = None;
    let mut depth = 0usize;
    let mut escaped = false;
    for c in text.chars() {
        match quote {
            Some('"') if escaped => escaped = false,
            Some('"') if c == '\\' => escaped = true,
            Some(open) if c == open => quote = None,
            Some(_) => {}
            None if c == '"' || c == '`' => quote = Some(c),
            None if c == '(' => depth += 1,
            None if c == ')' => {
                depth = depth.checked_sub(1).ok_or_else(|| failed("unexpected )"))?
            }
            None if c == at && depth == 0 => {
                parts.push(String::new());
                continue;
            }
            None => {}
        }
        if let Some(part) = parts.last_mut() {
            part.push(c);
        }
    }
    if quote.is_some() || depth > 0 {
        return Err(failed("unterminated quoted string or bracket"));
    }
    let parts = parts.iter().map(|part| part.trim().to_string());
    Ok(parts.filter(|part| !part.is_empty()).collect())
}

/// One command: a value alone, or a function and its arguments.
fn run(words: &[String], piped: Option<Value>, dot: &str, depth: usize) -> Result<Value> {
    let (first, rest) = words
        .split_first()
        .ok_or_else(|| failed("missing value for command"))?;
    let mut args: Vec<Value> = Vec::new();
    for word in rest {
        args.push(term(word, dot, depth)?);
    }
    args.extend(piped);
    if !first.starts_with(|c: char| c.is_ascii_alphabetic())
        || matches!(first.as_str(), "true" | "false" | "nil")
    {
        return match (first.as_str(), &args[..]) {
            (_, []) => term(first, dot, depth),
            // The one method that rows of tables have.
            (".Label", [name]) => label(dot, &name.clone().show()?),
            _ => Err(failed(&format!(
                "can't give argument to non-function {first}"
            ))),
        };
    }
    call(first, args)
}

/// `{{.Label "a"}}` out of `"Labels":"a=b,c=d"`.
fn label(dot: &str, name: &str) -> Result<Value> {
    let labels = Value::Json(dot.to_string()).field("Labels")?.show()?;
    let value = labels
        .split(',')
        .filter_map(|pair| pair.split_once('='))
        .find(|(key, _)| *key == name);
    Ok(Value::text(value.map_or("", |(_, value)| value)))
}

/// A value: `.`, `.A.B`, `(…)`, `(…).A`, a string, a number.
fn term(word: &str, dot: &str, depth: usize) -> Result<Value> {
    if depth == DEPTH_MAX {
        return Err(failed("nested too deeply"));
    }
    let (mut value, path) = if let Some(inner) = word.strip_prefix('(') {
        let close = inner.rfind(')').ok_or_else(|| failed("unclosed ("))?;
        let value = evaluate(&inner[..close], dot, depth + 1)?;
        (value, &inner[close + 1..])
    } else if let Some(path) = word.strip_prefix('$') {
        (Value::Json(dot.to_string()), path)
    } else if word.starts_with('.') {
        (Value::Json(dot.to_string()), word)
    } else if word.starts_with('`') {
        return Ok(Value::text(word.trim_matches('`')));
    } else if word.starts_with('"') {
        return Ok(Value::text(&node::unquote(word)));
    } else if word == "nil" {
        return Ok(Value::Json("null".to_string()));
    } else if word.parse::<i64>().is_ok() || matches!(word, "true" | "false") {
        return Ok(Value::Json(word.to_string()));
    } else {
        return call(word, Vec::new());
    };
    for name in path.split('.').filter(|name| !name.is_empty()) {
        value = value.field(name)?;
    }
    Ok(value)
}

fn call(name: &str, mut args: Vec<Value>) -> Result<Value> {
    let (least, most) = match name {
        "json" | "lower" | "upper" | "not" | "len" => (1, 1),
        "eq" | "ne" | "join" => (2, 2),
        "and" | "or" | "index" => (1, usize::MAX),
        "print" | "println" => (0, usize::MAX),
        _ => return Err(failed(&format!("function {name:?} not defined"))),
    };
    if args.len() < least || args.len() > most {
        return Err(failed(&format!(
            "executing at <{name}>: wrong number of args for {name}"
        )));
    }
    // What only asks whether something is there takes a missing member for `null`.
    let is_lenient = matches!(name, "json" | "not" | "eq" | "ne" | "and" | "or");
    if name == "index" {
        let mut value = args.remove(0);
        for key in args {
            value = index(value, &key.show()?)?;
        }
        return Ok(value);
    }
    let mut texts = Vec::new();
    for arg in args {
        texts.push(match is_lenient {
            true => arg.json(),
            false => arg.found()?,
        });
    }
    let first = texts.first().map_or("", String::as_str);
    let second = texts.get(1).map_or("", String::as_str);
    Ok(match name {
        "json" => Value::text(first),
        "lower" => Value::text(&show(first, 0).to_ascii_lowercase()),
        "upper" => Value::text(&show(first, 0).to_ascii_uppercase()),
        "not" => Value::bool(!is_true(first)),
        "eq" | "ne" => Value::bool((first == second) == (name == "eq")),
        "and" | "or" => {
            let stop = texts.iter().find(|text| is_true(text) == (name == "or"));
            Value::Json(stop.or(texts.last()).cloned().unwrap_or_default())
        }
        "len" => {
            let length = match first.starts_with('"') {
                true => node::unquote(first).len(),
                false => node::members(first).len(),
            };
            Value::Json(length.to_string())
        }
        "join" => Value::text(&shown(first, &show(second, 0), 0)),
        "print" => Value::text(&shown(&format!("[{}]", texts.join(",")), "", 0)),
        _ => Value::text(&(shown(&format!("[{}]", texts.join(",")), " ", 0) + "\n")),
    })
}

fn index(value: Value, key: &str) -> Result<Value> {
    match &value {
        Value::Json(text) if text.starts_with('[') => key
            .parse()
            .ok()
            .and_then(|n: usize| node::members(text).get(n).map(|(_, v)| v.to_string()))
            .map(Value::Json)
            .ok_or_else(|| failed(&format!("error calling index: index out of range: {key}"))),
        // A key that a map lacks gives the empty value, as in Go.
        _ => Ok(match value.field(key)? {
            Value::Missing(_) => Value::text(""),
            value => value,
        }),
    }
}

/// One JSON document as `--format` says.
pub fn document(format: &str, text: &str) -> Result<String> {
    match format {
        "json" => Ok(text.trim().to_string()),
        format => Template::parse(format)?.render(text.trim()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCUMENT: &str = r#"{"Id":"abc","State":{"Pid":7,"Running":true,"Error":"","Health":null},
        "Cmd":["sh","-c"],"Labels":{"b":"2","a.b":"1"},"Mounts":[{"Source":"/x"},{"Source":"/y"}]}"#;

    fn rendered(template: &str) -> String {
        Template::parse(template)
            .and_then(|template| template.render(DOCUMENT))
            .unwrap_or_else(|error| error.to_string())
    }

    #[test]
    fn templates_render_as_in_go() {
        for (template, expected) in [
            ("{{.Id}}-{{ .State.Pid }}", "abc-7"),
            (
                "{{json .State.Error}} {{json .Cmd}}",
                "\"\" [\"sh\",\"-c\"]",
            ),
            ("{{.Cmd}} {{.Labels}}", "[sh -c] map[b:2 a.b:1]"),
            ("{{range .Mounts}}<{{.Source}}>{{end}}", "</x></y>"),
            ("{{range .State.Error}}x{{else}}none{{end}}", "none"),
            ("{{if .State.Running}}up{{else}}down{{end}}", "up"),
            (
                "{{if .State.Health}}{{.State.Health.Status}}{{else}}-{{end}}",
                "-",
            ),
            (
                "{{if and .State.Running (not .State.Error)}}fine{{end}}",
                "fine",
            ),
            ("{{index .Labels \"a.b\"}}{{index .Cmd 1}}", "1-c"),
            ("{{(index .Mounts 1).Source}}", "/y"),
            (
                "{{join .Cmd \", \"}} {{len .Cmd}} {{len .Id}}",
                "sh, -c 2 3",
            ),
            (
                "{{.Id | upper | printf}}",
                "template parsing error: template: function \"printf\" not defined",
            ),
            ("{{upper .Id}}{{.Id | upper}}", "ABCABC"),
            ("{{range .Cmd}}{{println .}}{{end}}", "sh\n-c\n"),
            (
                "{{if eq .Id \"abc\"}}{{if .Nope}}a{{else}}b{{end}}{{end}}",
                "b",
            ),
            ("a {{- .Id -}} b", "aabcb"),
            ("{{.State.Health}}", "<no value>"),
            ("{{/* no */}}x", "x"),
        ] {
            assert_eq!(rendered(template), expected, "{template}");
        }
    }

    #[test]
    fn mistakes_in_templates_are_errors() {
        for template in [
            "{{.Id",
            "{{}}",
            "{{.Foo}}",
            "{{.Id.Foo}}",
            "{{if .Id}}",
            "{{end}}",
            "{{index .Cmd 9}}",
            "{{foo}}",
            "{{json}}",
            "{{(.Id}}",
            "{{.Id)}}",
            "{{\"x}}",
            "{{.Id .Id}}",
            "{{|}}",
            "{{len}}",
        ] {
            assert!(
                rendered(template).contains("template"),
                "{template}: {}",
                rendered(template)
            );
        }
        let deep = format!("{{{{{}.{}}}}}", "(".repeat(100), ")".repeat(100));
        assert!(rendered(&deep).contains("nested too deeply"));
    }
}
