//! The functions of templates: Go's own, and those that Docker's client adds.

use super::printf;
use super::value::Value;
use crate::sys::letters;

/// Name, and the least and the most arguments.
const FUNCTIONS: [(&str, usize, usize); 23] = [
    ("and", 1, ANY),
    ("eq", 2, ANY),
    ("ge", 2, 2),
    ("gt", 2, 2),
    ("index", 1, ANY),
    ("join", 2, 2),
    ("json", 1, 1),
    ("le", 2, 2),
    ("len", 1, 1),
    ("lower", 1, 1),
    ("lt", 2, 2),
    ("ne", 2, 2),
    ("not", 1, 1),
    ("or", 1, ANY),
    ("pad", 3, 3),
    ("print", 0, ANY),
    ("printf", 1, ANY),
    ("println", 0, ANY),
    ("slice", 1, 4),
    ("split", 2, 2),
    ("title", 1, 1),
    ("truncate", 2, 2),
    ("upper", 1, 1),
];

const ANY: usize = usize::MAX;

/// Nothing wider than this is made.
const WIDTH_MAX: i64 = 10_000;

pub fn is_known(name: &str) -> bool {
    FUNCTIONS.iter().any(|(known, _, _)| *known == name)
}

/// Go's complaint about the number of arguments.
pub fn check_count(name: &str, count: usize) -> Result<(), String> {
    let found = FUNCTIONS.iter().find(|(known, _, _)| *known == name);
    let (least, most) = found.map_or((0, ANY), |(_, least, most)| (*least, *most));
    if count >= least && count <= most {
        return Ok(());
    }
    let at_least = if most == ANY { "at least " } else { "" };
    Err(format!(
        "wrong number of args for {name}: want {at_least}{least} got {count}"
    ))
}

/// Whether a member that is not there is taken for `nil`, as all that only looks does.
pub fn is_lenient(name: &str) -> bool {
    matches!(name, "json" | "not" | "eq" | "ne" | "and" | "or")
}

/// Call `name`; the number of `args` has been checked. In a table's head the functions that change
/// letters leave the titles alone, as Docker's do.
pub fn call(name: &str, args: &[Value], is_head: bool) -> Result<Value, String> {
    let first = args.first().unwrap_or(&Value::Nil);
    let second = args.get(1).unwrap_or(&Value::Nil);
    Ok(match name {
        "json" if is_head => Value::Text(String::new()),
        "title" | "lower" | "upper" | "truncate" if is_head => first.clone(),
        "json" => Value::Text(first.json()),
        "lower" => Value::Text(text(first)?.chars().map(letters::lower).collect()),
        "upper" => Value::Text(text(first)?.chars().map(letters::upper).collect()),
        "title" => Value::Text(title(text(first)?)),
        "split" => Value::list(split(text(first)?, text(second)?).into_iter()),
        "join" => join(first, text(second)?)?,
        "pad" => pad(text(first)?, second, args.get(2).unwrap_or(&Value::Nil))?,
        "truncate" => truncate(text(first)?, integer(second)?)?,
        "print" => Value::Text(print(args, false)),
        "println" => Value::Text(print(args, true) + "\n"),
        "printf" => Value::Text(printf::printf(
            text(first)?,
            args.get(1..).unwrap_or_default(),
        )),
        "not" => Value::Bool(!first.is_true()),
        "len" => Value::number(length(first)?),
        "index" => {
            let mut value = first.clone();
            for key in args.iter().skip(1) {
                value = index(&value, key)?;
            }
            value
        }
        "slice" => slice(first, args.get(1..).unwrap_or_default())?,
        "eq" => {
            let mut is_any = false;
            for other in args.iter().skip(1) {
                is_any = is_any || is_same(first, other)?;
            }
            Value::Bool(is_any)
        }
        "ne" => Value::Bool(!is_same(first, second)?),
        "lt" => Value::Bool(is_less(first, second)?),
        "ge" => Value::Bool(!is_less(first, second)?),
        "gt" => Value::Bool(is_less(second, first)?),
        "le" => Value::Bool(!is_less(second, first)?),
        "and" => find(args, false),
        _ => find(args, true),
    })
}

/// The first that is as true as `wanted`, else the last.
fn find(args: &[Value], wanted: bool) -> Value {
    let found = args.iter().find(|value| value.is_true() == wanted);
    found.or(args.last()).cloned().unwrap_or(Value::Nil)
}

fn text(value: &Value) -> Result<&str, String> {
    match value {
        Value::Text(text) => Ok(text),
        Value::Missing | Value::Absent(_) => Err("invalid value; expected string".to_string()),
        Value::Nil => Err("cannot assign nil to string".to_string()),
        value => Err(format!(
            "wrong type for value; expected string; got {}",
            value.type_name()
        )),
    }
}

fn integer(value: &Value) -> Result<i64, String> {
    value.integer().ok_or_else(|| {
        format!(
            "wrong type for value; expected int; got {}",
            value.type_name()
        )
    })
}

/// Each word with a capital.
fn title(text: &str) -> String {
    let mut title = String::new();
    let mut is_inside = false;
    for c in text.chars() {
        match is_inside {
            true => title.push(c),
            false => title.push(letters::upper(c)),
        }
        is_inside = c.is_alphanumeric() || matches!(c, '_' | '\'');
    }
    title
}

/// Go splits by nothing into characters.
fn split<'a>(text: &'a str, by: &str) -> Vec<&'a str> {
    match by {
        "" => text.split_inclusive(|_| true).collect(),
        by => text.split(by).collect(),
    }
}

fn join(list: &Value, by: &str) -> Result<Value, String> {
    let members = match list {
        Value::List(_) => list.members().unwrap_or_default(),
        value if value.is_nothing() => Vec::new(),
        value => {
            let got = value.type_name();
            return Err(format!(
                "wrong type for value; expected []string; got {got}"
            ));
        }
    };
    let texts: Vec<String> = members.iter().map(|(_, value)| value.show()).collect();
    Ok(Value::Text(texts.join(by)))
}

fn pad(text: &str, before: &Value, behind: &Value) -> Result<Value, String> {
    let blanks = |count: &Value| match integer(count)? {
        count @ 0..=WIDTH_MAX => Ok(" ".repeat(count as usize)),
        count => Err(format!("pad of {count}")),
    };
    let (before, behind) = (blanks(before)?, blanks(behind)?);
    Ok(Value::Text(match text {
        "" => String::new(),
        text => format!("{before}{text}{behind}"),
    }))
}

fn truncate(text: &str, length: i64) -> Result<Value, String> {
    let length = usize::try_from(length).map_err(|_| format!("truncate to {length}"))?;
    // In bytes, as Docker counts; never in the middle of a character.
    let end = text.floor_char_boundary(length.min(text.len()));
    Ok(Value::Text(text.get(..end).unwrap_or(text).to_string()))
}

/// `print` puts blanks between two of which neither is text, `println` between all.
fn print(args: &[Value], is_line: bool) -> String {
    let mut text = String::new();
    for (n, value) in args.iter().enumerate() {
        let is_text = |value: &Value| matches!(value, Value::Text(_));
        let is_apart = n > 0 && !is_text(value) && !is_text(&args[n - 1]);
        if is_apart || is_line && n > 0 {
            text.push(' ');
        }
        text.push_str(&value.show());
    }
    text
}

fn length(value: &Value) -> Result<usize, String> {
    match value {
        Value::Text(text) => Ok(text.len()),
        Value::List(_) | Value::Map(_) => Ok(value.members().unwrap_or_default().len()),
        value if value.is_nothing() => Err("len of nil pointer".to_string()),
        value => Err(format!("len of type {}", value.type_name())),
    }
}

fn index(value: &Value, key: &Value) -> Result<Value, String> {
    let at = |length: usize| {
        let number = key
            .integer()
            .ok_or_else(|| format!("cannot index slice/array with type {}", key.type_name()))?;
        let position = usize::try_from(number).ok().filter(|n| *n < length);
        position.ok_or_else(|| format!("index out of range: {number}"))
    };
    match value {
        Value::List(_) => {
            let mut members = value.members().unwrap_or_default();
            let at = at(members.len())?;
            Ok(members.swap_remove(at).1)
        }
        Value::Text(text) => Ok(Value::number(text.as_bytes()[at(text.len())?].into())),
        Value::Map(_) | Value::Struct(_) => match key {
            // A key that a map lacks gives the empty value.
            Value::Text(key) => Ok(match value.field(key)? {
                Value::Missing | Value::Absent(_) => Value::Text(String::new()),
                value => value,
            }),
            key => Err(format!(
                "value has type {}; should be string",
                key.type_name()
            )),
        },
        value if value.is_nothing() => Err("index of untyped nil".to_string()),
        value => Err(format!("can't index item of type {}", value.type_name())),
    }
}

fn slice(value: &Value, bounds: &[Value]) -> Result<Value, String> {
    let length = match value {
        Value::Text(text) => text.len(),
        Value::List(_) => length(value)?,
        value if value.is_nothing() => return Err("slice of untyped nil".to_string()),
        value => return Err(format!("can't slice item of type {}", value.type_name())),
    };
    let bound = |n: usize, default: usize| {
        let Some(value) = bounds.get(n) else {
            return Ok(default);
        };
        let number = integer(value)?;
        let position = usize::try_from(number).ok().filter(|n| *n <= length);
        position.ok_or_else(|| format!("index out of range: {number}"))
    };
    let (from, to) = (bound(0, 0)?, bound(1, length)?);
    if from > to {
        return Err(format!("invalid slice index: {from} > {to}"));
    }
    Ok(match value {
        Value::Text(text) => {
            let (from, to) = (text.floor_char_boundary(from), text.floor_char_boundary(to));
            Value::Text(text.get(from..to).unwrap_or_default().to_string())
        }
        value => {
            let members = value.members().unwrap_or_default();
            let kept = members.get(from..to).unwrap_or_default();
            let texts: Vec<String> = kept.iter().map(|(_, value)| value.json()).collect();
            Value::List(format!("[{}]", texts.join(",")))
        }
    })
}

fn is_same(a: &Value, b: &Value) -> Result<bool, String> {
    match (a, b) {
        (Value::Bool(_), Value::Bool(_))
        | (Value::Number(_), Value::Number(_))
        | (Value::Text(_), Value::Text(_)) => Ok(a == b),
        // Go's empty list is `nil`, and we cannot tell.
        (Value::List(text) | Value::Map(text), other)
        | (other, Value::List(text) | Value::Map(text))
            if other.is_nothing() =>
        {
            Ok(text.len() == 2)
        }
        (a, b) if a.is_nothing() || b.is_nothing() => Ok(a.is_nothing() && b.is_nothing()),
        (Value::List(_) | Value::Map(_) | Value::Struct(_), _) => {
            Err(format!("non-comparable type {}", a.show()))
        }
        _ => Err("incompatible types for comparison".to_string()),
    }
}

fn is_less(a: &Value, b: &Value) -> Result<bool, String> {
    match (a, b) {
        (Value::Text(a), Value::Text(b)) => Ok(a < b),
        (Value::Number(_), Value::Number(_)) => match (a.integer(), b.integer()) {
            (Some(a), Some(b)) => Ok(a < b),
            _ => Err("only integers can be compared".to_string()),
        },
        (Value::Text(_) | Value::Number(_), _) => {
            Err("incompatible types for comparison".to_string())
        }
        _ => Err("invalid type for comparison".to_string()),
    }
}
