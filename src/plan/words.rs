//! Words of a line, names and small values, as all kinds of plan files have them.

use super::{Condition, Dependency, Until};
use crate::error::{Error, Result};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How a line is cut into words.
#[derive(Clone, Copy, PartialEq)]
pub enum Quoting {
    /// As a shell does: nothing is escaped in single quotes.
    Shell,
    /// As systemd does: escapes as in C, in quotes of both kinds (systemd.syntax(7)).
    Systemd,
}

/// The words of `line`, without their quotes.
pub fn split(line: &str, quoting: Quoting) -> Result<Vec<String>> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut is_word = false;
    let mut open = None;
    let mut letters = line.chars();
    while let Some(letter) = letters.next() {
        match (letter, open) {
            ('\\', Some('\'')) if quoting == Quoting::Shell => word.push('\\'),
            ('\\', open) => {
                is_word = true;
                escaped(&mut letters, quoting, open.is_some(), &mut word)?;
            }
            ('"' | '\'', None) => {
                is_word = true;
                open = Some(letter);
            }
            (quote, Some(open_quote)) if quote == open_quote => open = None,
            (letter, None) if letter.is_ascii_whitespace() => {
                if std::mem::take(&mut is_word) {
                    words.push(std::mem::take(&mut word));
                }
            }
            (letter, _) => {
                is_word = true;
                word.push(letter);
            }
        }
    }
    if open.is_some() {
        return Err(Error::invalid(format!("no closing quote in {line:?}")));
    }
    if is_word {
        words.push(word);
    }
    Ok(words)
}

/// What a backslash makes of what follows.
fn escaped(
    letters: &mut std::str::Chars<'_>,
    quoting: Quoting,
    is_quoted: bool,
    word: &mut String,
) -> Result<()> {
    let Some(letter) = letters.next() else {
        return Err(Error::invalid("a backslash stands at the end"));
    };
    if quoting == Quoting::Shell {
        if is_quoted && !matches!(letter, '"' | '\\' | '$' | '`') {
            word.push('\\');
        }
        word.push(letter);
        return Ok(());
    }
    let digits = |letters: &mut std::str::Chars<'_>, first: &str, count: usize, radix| {
        let text: String = first.chars().chain(letters.take(count)).collect();
        let code = u32::from_str_radix(&text, radix).ok();
        code.and_then(char::from_u32)
            .filter(|c| *c != '\0')
            .ok_or_else(|| Error::invalid(format!("\\{text} is no character")))
    };
    word.push(match letter {
        'a' => '\u{7}',
        'b' => '\u{8}',
        'f' => '\u{c}',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'v' => '\u{b}',
        's' => ' ',
        'x' => digits(letters, "", 2, 16)?,
        'u' => digits(letters, "", 4, 16)?,
        'U' => digits(letters, "", 8, 16)?,
        '0'..='7' => digits(letters, letter.encode_utf8(&mut [0; 4]), 2, 8)?,
        letter => letter,
    });
    Ok(())
}

/// `name` as a container may be called: Docker's rule.
pub fn check_name(name: &str) -> Result<()> {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric();
    let mut bytes = name.bytes();
    let is_good = name.len() > 1
        && bytes.next().is_some_and(is_word)
        && bytes.all(|byte| is_word(byte) || b"_.-".contains(&byte));
    match is_good {
        true => Ok(()),
        false => Err(Error::invalid(format!(
            "Invalid container name ({name}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed"
        ))),
    }
}

/// `1m30s`.
pub fn duration(text: &str) -> Result<Duration> {
    let nanos = crate::time::moment::parse_duration(text);
    match nanos.and_then(|nanos| u64::try_from(nanos).ok()) {
        Some(nanos) => Ok(Duration::from_nanos(nanos)),
        None => Err(Error::invalid(format!(
            "{text:?} is no duration: write 30s, 1m30s, 500ms"
        ))),
    }
}

/// `db`, `db:healthy`, `db:completed`.
pub fn dependency(text: &str) -> Result<Dependency> {
    let (name, until) = text.split_once(':').unwrap_or((text, "started"));
    check_name(name)?;
    let until = match until {
        "started" => Until::Started,
        "healthy" => Until::Healthy,
        "completed" => Until::Completed,
        other => {
            return Err(Error::invalid(format!(
                "{name}:{other}: wait until started, healthy or completed"
            )));
        }
    };
    Ok(Dependency {
        name: name.to_string(),
        until,
    })
}

/// `device:/dev/ttyUSB0`, `mount:/data`, `network`, `clock`.
pub fn condition(text: &str) -> Result<Condition> {
    let (kind, path) = text.split_once(':').unwrap_or((text, ""));
    let path = PathBuf::from(path);
    match (kind, path.is_absolute()) {
        ("device", true) => Ok(Condition::Device(path)),
        ("mount", true) => Ok(Condition::Mount(path)),
        ("network", false) if text == kind => Ok(Condition::Network),
        ("clock", false) if text == kind => Ok(Condition::Clock),
        _ => Err(Error::invalid(format!(
            "{text:?} is no condition: write device:/PATH, mount:/PATH, network or clock"
        ))),
    }
}

/// What options say of files is relative to `dir`, where the plan file is.
pub fn localise(option: &str, value: &str, dir: &Path) -> String {
    let inside = |path: &str| match path.strip_prefix("./").unwrap_or(path) {
        "." => dir.display().to_string(),
        path => dir.join(path).display().to_string(),
    };
    match option {
        "volume" if value.starts_with('.') => match value.split_once(':') {
            Some((source, rest)) => format!("{}:{rest}", inside(source)),
            None => value.to_string(),
        },
        "env-file" | "label-file" => inside(value),
        "mount" => {
            let mut fields: Vec<String> = value.split(',').map(str::to_string).collect();
            for field in &mut fields {
                if let Some((key @ ("source" | "src"), path)) = field.split_once('=')
                    && path.starts_with('.')
                {
                    *field = format!("{key}={}", inside(path));
                }
            }
            fields.join(",")
        }
        _ => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str, quoting: Quoting) -> String {
        match split(line, quoting) {
            Ok(words) => words.join("|"),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn a_shell_s_words() {
        for (line, expected) in [
            ("", ""),
            ("  a  b\tc ", "a|b|c"),
            ("sh -c 'echo \"a b\" \\n'", "sh|-c|echo \"a b\" \\n"),
            ("\"a \\\" \\n b\" ''", "a \" \\n b|"),
            ("a\\ b c\"d e\"f", "a b|cd ef"),
            ("'a", "no closing quote in \"'a\""),
            ("a\\", "a backslash stands at the end"),
        ] {
            assert_eq!(words(line, Quoting::Shell), expected, "{line}");
        }
    }

    #[test]
    fn systemd_s_words() {
        for (line, expected) in [
            ("A=1 \"B=2 3\" 'C=4\\t5'", "A=1|B=2 3|C=4\t5"),
            ("\\x41\\s\\101\\u00e4", "A A\u{e4}"),
            ("\\xzz", "\\zz is no character"),
            ("\\x00", "\\00 is no character"),
            ("\\ud800", "\\d800 is no character"),
        ] {
            assert_eq!(words(line, Quoting::Systemd), expected, "{line}");
        }
    }

    #[test]
    fn names_durations_dependencies_and_conditions() {
        assert!(check_name("a").is_err() && check_name("-ab").is_err());
        assert!(check_name("ab.c_d-1").is_ok() && check_name("a b").is_err());
        assert_eq!(duration("1m30s").unwrap(), Duration::from_secs(90));
        assert!(duration("-1s").is_err() && duration("soon").is_err() && duration("").is_err());
        assert_eq!(dependency("db:healthy").unwrap().until, Until::Healthy);
        assert_eq!(
            dependency("db:up").unwrap_err().to_string(),
            "db:up: wait until started, healthy or completed"
        );
        for good in ["device:/dev/tty", "mount:/data", "network", "clock"] {
            assert_eq!(condition(good).unwrap().to_string(), good);
        }
        for bad in ["device:tty", "mount:", "network:", "clock:/x", "moon", ""] {
            assert!(condition(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn paths_are_relative_to_the_plan_file() {
        let dir = Path::new("/etc/tug/boot");
        for (option, value, expected) in [
            ("volume", "./data:/data:ro", "/etc/tug/boot/data:/data:ro"),
            ("volume", ".:/data", "/etc/tug/boot:/data"),
            ("volume", "../x:/data", "/etc/tug/boot/../x:/data"),
            ("volume", "data:/data", "data:/data"),
            ("env-file", "web.env", "/etc/tug/boot/web.env"),
            ("env-file", "/etc/web.env", "/etc/web.env"),
            (
                "mount",
                "type=bind,src=./a,dst=/a",
                "type=bind,src=/etc/tug/boot/a,dst=/a",
            ),
            ("env", "./a", "./a"),
        ] {
            assert_eq!(localise(option, value, dir), expected);
        }
    }
}
