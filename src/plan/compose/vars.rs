//! Variables of compose files: `${NAME:-default}`, from the environment and from `.env`.

use crate::error::{Error, Result};
use std::cell::RefCell;

/// A default in a default in a default is enough.
const DEPTH_MAX: usize = 8;

#[derive(Default)]
pub struct Vars {
    /// Of `.env`; the environment goes first.
    pub file: Vec<(String, String)>,
    /// Names that nobody has set.
    pub missing: RefCell<Vec<String>>,
}

impl Vars {
    pub fn get(&self, name: &str) -> Option<String> {
        let known = self.file.iter().rev().find(|(known, _)| known == name);
        let of_file = || known.map(|(_, value)| value.clone());
        std::env::var(name).ok().or_else(of_file)
    }

    /// `text` with its variables replaced; `$$` is a dollar sign.
    pub fn expand(&self, text: &str) -> Result<String> {
        self.expand_in(text, DEPTH_MAX)
    }

    fn expand_in(&self, text: &str, depth: usize) -> Result<String> {
        let wrong = || Error::invalid(format!("invalid interpolation format in {text:?}"));
        let mut expanded = String::new();
        let mut rest = text;
        while let Some((plain, behind)) = rest.split_once('$') {
            expanded.push_str(plain);
            if let Some(behind) = behind.strip_prefix('$') {
                expanded.push('$');
                rest = behind;
                continue;
            }
            let Some(behind) = behind.strip_prefix('{') else {
                let name = name(behind);
                if name.is_empty() {
                    return Err(wrong());
                }
                expanded.push_str(&self.value(name));
                rest = behind.get(name.len()..).unwrap_or_default();
                continue;
            };
            let end = closing(behind).filter(|_| depth > 0).ok_or_else(wrong)?;
            let inside = behind.get(..end).unwrap_or_default();
            let name = name(inside);
            let what = inside.get(name.len()..).unwrap_or_default();
            if name.is_empty() {
                return Err(wrong());
            }
            expanded.push_str(&self.braced(name, what, depth).ok_or_else(wrong)??);
            rest = behind.get(end + 1..).unwrap_or_default();
        }
        expanded.push_str(rest);
        Ok(expanded)
    }

    /// What stands behind the name says what to do without it.
    fn braced(&self, name: &str, what: &str, depth: usize) -> Option<Result<String>> {
        if what.is_empty() {
            return Some(Ok(self.value(name)));
        }
        let (counts_empty, what) = match what.strip_prefix(':') {
            Some(what) => (true, what),
            None => (false, what),
        };
        let set = self.get(name);
        let is_set = set
            .as_ref()
            .is_some_and(|value| !value.is_empty() || !counts_empty);
        let word = what.get(1..)?;
        Some(match (what.chars().next()?, is_set) {
            ('-' | '?', true) => Ok(set.unwrap_or_default()),
            ('-', false) | ('+', true) => self.expand_in(word, depth - 1),
            ('+', false) => Ok(String::new()),
            ('?', false) => Err(Error::invalid(format!(
                "required variable {name} is missing a value: {word}"
            ))),
            _ => return None,
        })
    }

    fn value(&self, name: &str) -> String {
        self.get(name).unwrap_or_else(|| {
            let mut missing = self.missing.borrow_mut();
            if !missing.iter().any(|known| known == name) {
                missing.push(name.to_string());
            }
            String::new()
        })
    }
}

fn name(text: &str) -> &str {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let end = text.find(|c| !is_word(c)).unwrap_or(text.len());
    let name = text.get(..end).unwrap_or_default();
    match name.starts_with(|c: char| c.is_ascii_digit()) {
        true => "",
        false => name,
    }
}

/// Where the brace closes that stands in front of `text`.
fn closing(text: &str) -> Option<usize> {
    let mut open = 0usize;
    let mut before = ' ';
    for (at, letter) in text.char_indices() {
        match letter {
            '{' if before == '$' => open += 1,
            '}' if open == 0 => return Some(at),
            '}' => open -= 1,
            _ => {}
        }
        before = letter;
    }
    None
}

/// The lines of an env file as compose reads it: `NAME=value`, `export` in front, quotes around,
/// comments behind.
pub fn env_file(text: &str, vars: &Vars) -> Result<Vec<(String, String)>> {
    let mut pairs = Vec::new();
    for line in text.trim_start_matches('\u{feff}').lines() {
        let line = line.trim();
        let line = line.strip_prefix("export ").unwrap_or(line);
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let Some((name, value)) = line.split_once('=') else {
            // A name alone takes the value that it has here.
            if let Some(value) = vars.get(line) {
                pairs.push((line.to_string(), value));
            }
            continue;
        };
        let (name, value) = (name.trim_end(), value.trim_start());
        if name.is_empty() || name.contains(char::is_whitespace) {
            return Err(Error::invalid(format!("{line:?} is no NAME=VALUE")));
        }
        let quoted = |mark: char| value.strip_prefix(mark)?.split_once(mark);
        let value = match (quoted('\''), quoted('"')) {
            (Some((value, _)), _) => value.to_string(),
            (_, Some((value, _))) => vars.expand(&value.replace("\\n", "\n"))?,
            _ => {
                let plain = value.split(" #").next().unwrap_or_default();
                vars.expand(plain.trim_end())?
            }
        };
        pairs.push((name.to_string(), value));
    }
    Ok(pairs)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vars() -> Vars {
        let file = [("A", "1"), ("EMPTY", "")];
        let pair = |(name, value): (&str, &str)| (name.to_string(), value.to_string());
        Vars {
            file: file.map(pair).to_vec(),
            ..Vars::default()
        }
    }

    #[test]
    fn variables_are_replaced_as_compose_replaces_them() {
        let vars = vars();
        for (text, expected) in [
            ("x$A-${A}y", "x1-1y"),
            ("$$A $${A}", "$A ${A}"),
            ("${NOPE:-d}${NOPE-e}", "de"),
            ("${EMPTY:-d}|${EMPTY-e}", "d|"),
            ("${A:+yes}${NOPE:+no}", "yes"),
            ("${NOPE:-${A:-x}}", "1"),
            ("${NOPE:-a:b}", "a:b"),
            ("${A:?why}", "1"),
            ("$NOPE.", "."),
        ] {
            assert_eq!(vars.expand(text).unwrap(), expected, "{text}");
        }
        assert_eq!(*vars.missing.borrow(), ["NOPE"]);
        assert_eq!(
            vars.expand("${NOPE:?say so}").unwrap_err().to_string(),
            "required variable NOPE is missing a value: say so"
        );
        for bad in ["$", "${", "${A", "${}", "${1}", "$ x", "${A!x}", "${A:"] {
            assert!(vars.expand(bad).is_err(), "{bad}");
        }
        let deep = format!("{}x{}", "${NOPE:-".repeat(50), "}".repeat(50));
        assert!(vars.expand(&deep).is_err());
    }

    #[test]
    fn env_files() {
        let text = "# c\n\nexport B=2\nC='x $A' # y\nD=\"x $A\"\nE = y z # c\nA\nNOPE\nF=\n";
        let pairs = env_file(text, &vars()).unwrap();
        let lines: Vec<String> = pairs.iter().map(|(n, v)| format!("{n}={v}")).collect();
        assert_eq!(lines, ["B=2", "C=x $A", "D=x 1", "E=y z", "A=1", "F="]);
        assert!(env_file("a b=c", &vars()).is_err());
    }
}
