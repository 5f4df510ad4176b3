//! Go's `printf`, for what templates have: texts, integers, truth, and what is made of them.

use super::value::Value;
use crate::json::node;

/// As Go's fmt: wider asks are mistakes.
const WIDTH_MAX: usize = 10_000;

/// What stands between `%` and its letter.
#[derive(Default)]
struct Flags {
    left: bool,
    zeros: bool,
    plus: bool,
    sharp: bool,
    width: usize,
    precision: Option<usize>,
}

/// Mistakes are part of the text, as in Go: `%!d(string=x)`.
pub fn printf(format: &str, args: &[Value]) -> String {
    let mut text = String::new();
    let mut args = args.iter();
    let mut rest = format;
    while let Some(at) = rest.find('%') {
        text.push_str(&rest[..at]);
        let (flags, behind) = flags(&rest[at + 1..]);
        let mut chars = behind.chars();
        let verb = chars.next();
        rest = chars.as_str();
        match (verb, verb != Some('%')) {
            (None, _) => text.push_str("%!(NOVERB)"),
            (Some(_), false) => text.push('%'),
            (Some(verb), true) => match args.next() {
                None => text.push_str(&format!("%!{verb}(MISSING)")),
                Some(value) => text.push_str(&shown(verb, &flags, value)),
            },
        }
    }
    text.push_str(rest);
    let mut extra = Vec::new();
    for value in args {
        extra.push(match value.is_nothing() {
            true => "<nil>".to_string(),
            false => format!("{}={}", value.type_name(), value.show()),
        });
    }
    if !extra.is_empty() {
        text.push_str(&format!("%!(EXTRA {})", extra.join(", ")));
    }
    text
}

fn flags(text: &str) -> (Flags, &str) {
    let mut flags = Flags::default();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        match c {
            '-' => flags.left = true,
            '0' => flags.zeros = true,
            '+' => flags.plus = true,
            '#' => flags.sharp = true,
            ' ' => {}
            _ => break,
        }
        rest = &rest[1..];
    }
    (flags.width, rest) = digits(rest);
    if let Some(behind) = rest.strip_prefix('.') {
        let (precision, behind) = digits(behind);
        flags.precision = Some(precision);
        rest = behind;
    }
    (flags, rest)
}

fn digits(text: &str) -> (usize, &str) {
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    (digits.parse().unwrap_or(0).min(WIDTH_MAX), rest)
}

fn shown(verb: char, flags: &Flags, value: &Value) -> String {
    let text = match (verb, value) {
        ('T', value) => value.type_name().to_string(),
        ('v', Value::Number(_)) => return number('d', flags, value),
        ('v' | 's', Value::Text(text)) => cut(text, flags.precision),
        ('v', value) => value.show(),
        ('s', Value::List(_) | Value::Map(_) | Value::Struct(_)) => value.show(),
        ('q', Value::Text(text)) => node::quote(&cut(text, flags.precision)),
        ('q', Value::List(_)) => {
            let mut quoted = Vec::new();
            for (_, member) in value.members().unwrap_or_default() {
                quoted.push(shown('q', &Flags::default(), &member));
            }
            format!("[{}]", quoted.join(" "))
        }
        ('x', Value::Text(text)) => text.bytes().map(|b| format!("{b:02x}")).collect(),
        ('X', Value::Text(text)) => text.bytes().map(|b| format!("{b:02X}")).collect(),
        ('t', Value::Bool(value)) => value.to_string(),
        ('d' | 'x' | 'X' | 'o' | 'b' | 'c', Value::Number(_)) => {
            return number(verb, flags, value);
        }
        (verb, value) if value.is_nothing() => format!("%!{verb}(<nil>)"),
        (verb, value) => return format!("%!{verb}({}={})", value.type_name(), value.show()),
    };
    filled(flags, "", &text)
}

fn cut(text: &str, precision: Option<usize>) -> String {
    text.chars().take(precision.unwrap_or(usize::MAX)).collect()
}

fn number(verb: char, flags: &Flags, value: &Value) -> String {
    let Some(number) = value.integer() else {
        return filled(flags, "", &value.show());
    };
    let size = number.unsigned_abs();
    let digits = match verb {
        'x' => format!("{size:x}"),
        'X' => format!("{size:X}"),
        'o' => format!("{size:o}"),
        'b' => format!("{size:b}"),
        'c' => {
            let c = u32::try_from(number).ok().and_then(char::from_u32);
            return filled(flags, "", &c.unwrap_or('\u{fffd}').to_string());
        }
        _ => size.to_string(),
    };
    let sign = match (number < 0, flags.plus) {
        (true, _) => "-",
        (false, true) => "+",
        (false, false) => "",
    };
    let prefix = match (flags.sharp, verb) {
        (true, 'x') => "0x",
        (true, 'X') => "0X",
        (true, 'o') => "0",
        _ => "",
    };
    filled(flags, &format!("{sign}{prefix}"), &digits)
}

/// To the wanted width: blanks in front or behind, or zeros between sign and digits.
fn filled(flags: &Flags, sign: &str, text: &str) -> String {
    let length = sign.len() + text.chars().count();
    let missing = flags.width.saturating_sub(length);
    match (flags.left, flags.zeros) {
        (true, _) => format!("{sign}{text}{}", " ".repeat(missing)),
        (false, true) => format!("{sign}{}{text}", "0".repeat(missing)),
        (false, false) => format!("{}{sign}{text}", " ".repeat(missing)),
    }
}
