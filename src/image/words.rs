//! Words as Docker's builder reads them (buildkit, frontend/dockerfile/shell): quotes, escapes and
//! variables such as `${x:-word}`.

use crate::error::{Error, Result};

/// What a variable is worth; `None` for one that is not set.
pub type Values<'a> = &'a dyn Fn(&str) -> Option<String>;

/// How deep words may stand in words: `${a:-${b:-…}}`.
const DEPTH_MAX: usize = 32;

/// Split at white space outside of quotes. Quotes and escapes stay.
pub fn split(text: &str, escape: char) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut quote = None;
    let mut characters = text.chars();
    while let Some(c) = characters.next() {
        match quote {
            None if c.is_whitespace() => {
                if !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
                continue;
            }
            None if c == '"' || c == '\'' => quote = Some(c),
            Some(q) if q == c => quote = None,
            _ => {}
        }
        word.push(c);
        if c == escape && quote != Some('\'') {
            word.extend(characters.next());
        }
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

/// `word` without its quotes, and with the values of its variables.
pub fn expand(word: &str, escape: char, values: Values<'_>) -> Result<String> {
    let mut reader = Reader {
        rest: word,
        escape,
        values,
        depth: 0,
    };
    reader
        .until(None)
        .map_err(|why| Error::invalid(format!("failed to process {word:?}: {why}")))
}

/// The same for text whose quotes are its own, as in a shell's here-document: an escape counts
/// before `$` and itself.
pub fn expand_text(text: &str, escape: char, values: Values<'_>) -> Result<String> {
    let mut reader = Reader {
        rest: text,
        escape,
        values,
        depth: 0,
    };
    let mut expanded = String::new();
    while let Some(c) = reader.peek() {
        if c == '$' {
            let value = reader.dollar();
            let value = value.map_err(|why| Error::invalid(format!("failed to process: {why}")))?;
            expanded.push_str(&value);
            continue;
        }
        reader.next();
        match reader.peek() {
            Some(next) if c == escape && (next == '$' || next == escape) => {
                expanded.extend(reader.next());
            }
            _ => expanded.push(c),
        }
    }
    Ok(expanded)
}

struct Reader<'a> {
    rest: &'a str,
    escape: char,
    values: Values<'a>,
    depth: usize,
}

type Outcome = std::result::Result<String, String>;

impl Reader<'_> {
    fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.rest = &self.rest[c.len_utf8()..];
        Some(c)
    }

    /// Up to the character `end`, which is taken, or to the end of the word.
    fn until(&mut self, end: Option<char>) -> Outcome {
        let mut text = String::new();
        while let Some(c) = self.peek() {
            match c {
                '\'' => text.push_str(&self.single()?),
                '"' => text.push_str(&self.double()?),
                '$' => text.push_str(&self.dollar()?),
                _ => {
                    self.next();
                    if end == Some(c) {
                        return Ok(text);
                    }
                    match c == self.escape {
                        true => text.extend(self.next()),
                        false => text.push(c),
                    }
                }
            }
        }
        match end {
            Some(end) => Err(format!(
                "unexpected end of statement while looking for matching {end}"
            )),
            None => Ok(text),
        }
    }

    fn single(&mut self) -> Outcome {
        self.next();
        let (text, rest) = self.rest.split_once('\'').ok_or(
            "unexpected end of statement while looking for matching single-quote".to_string(),
        )?;
        self.rest = rest;
        Ok(text.to_string())
    }

    /// An escape counts before what means something here only.
    fn double(&mut self) -> Outcome {
        self.next();
        let mut text = String::new();
        while let Some(c) = self.peek() {
            if c == '$' {
                text.push_str(&self.dollar()?);
                continue;
            }
            self.next();
            match c {
                '"' => return Ok(text),
                c if c == self.escape => match self.peek() {
                    Some(next) if matches!(next, '"' | '$') || next == self.escape => {
                        text.extend(self.next());
                    }
                    _ => text.push(c),
                },
                c => text.push(c),
            }
        }
        Err("unexpected end of statement while looking for matching double-quote".to_string())
    }

    fn dollar(&mut self) -> Outcome {
        self.next();
        if self.peek() != Some('{') {
            let name = self.name();
            return Ok(match name.is_empty() {
                true => "$".to_string(),
                false => (self.values)(&name).unwrap_or_default(),
            });
        }
        self.next();
        let name = self.name();
        if name.is_empty() {
            return Err("syntax error: bad substitution".to_string());
        }
        let value = (self.values)(&name);
        let mut modifier = self.next();
        if modifier == Some('}') {
            return Ok(value.unwrap_or_default());
        }
        let colon = modifier == Some(':');
        if colon {
            modifier = self.next();
        }
        let modifier = match modifier {
            Some(c @ ('-' | '+' | '?')) => c,
            Some(c) => {
                return Err(format!(
                    "unsupported modifier ({}{c}) in substitution",
                    if colon { ":" } else { "" }
                ));
            }
            None => return Err("syntax error: missing '}'".to_string()),
        };
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err("words are nested too deeply".to_string());
        }
        let word = self.until(Some('}'))?;
        self.depth -= 1;
        let set = value.filter(|value| !colon || !value.is_empty());
        match (modifier, set) {
            ('-', None) => Ok(word),
            ('+', set) => Ok(set.map_or(String::new(), |_| word)),
            ('?', None) if word.is_empty() && colon => {
                Err(format!("{name}: is not allowed to be empty"))
            }
            ('?', None) if word.is_empty() => Err(format!("{name}: is not allowed to be unset")),
            ('?', None) => Err(format!("{name}: {word}")),
            (_, set) => Ok(set.unwrap_or_default()),
        }
    }

    /// A name, or one of the shell's own variables of one character, of which there are none here.
    fn name(&mut self) -> String {
        let is_first = |c: char| c.is_ascii_alphabetic() || c == '_';
        let length = match self.peek() {
            Some(c) if is_first(c) => self
                .rest
                .find(|c: char| !is_first(c) && !c.is_ascii_digit())
                .unwrap_or(self.rest.len()),
            Some(c) if c.is_ascii_digit() => self
                .rest
                .find(|c: char| !c.is_ascii_digit())
                .unwrap_or(self.rest.len()),
            Some('@' | '*' | '#' | '?' | '-' | '$' | '!') => 1,
            _ => 0,
        };
        let (name, rest) = self.rest.split_at(length);
        self.rest = rest;
        name.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(name: &str) -> Option<String> {
        match name {
            "a" => Some("A".into()),
            "empty" => Some(String::new()),
            _ => None,
        }
    }

    #[test]
    fn words_are_expanded_as_dockers_builder_does() {
        for (word, expected) in [
            ("plain", "plain"),
            ("$a-${a}b", "A-Ab"),
            ("$nope.${nope}", "."),
            (r"\$a \\ \x", r"$a \ x"),
            (r#"'$a "\'"#, r#"$a "\"#),
            (r#""$a \$a \" \x""#, r#"A $a " \x"#),
            ("${nope:-d}${empty:-d}${a:-d}", "ddA"),
            ("${nope-d}${empty-d}${a-d}", "dA"),
            ("${nope:+d}${empty:+d}${a:+d}", "d"),
            ("${nope+d}${empty+d}${a+d}", "dd"),
            ("${nope:-${a}x}", "Ax"),
            ("${nope:-'}'}", "}"),
            ("${a:?x}", "A"),
            ("$", "$"),
            ("a$", "a$"),
            ("$1-$$-$%", "--$%"),
            ("end\\", "end"),
        ] {
            assert_eq!(expand(word, '\\', &value).unwrap(), expected, "{word}");
        }
        assert_eq!(expand("`$a\\", '`', &value).unwrap(), "$a\\");
    }

    #[test]
    fn text_keeps_its_quotes() {
        let text = "\"$a\" '$a' \\$a \\\\ \\x\\\n";
        let expanded = expand_text(text, '\\', &value).unwrap();
        assert_eq!(expanded, "\"A\" 'A' $a \\ \\x\\\n");
    }

    #[test]
    fn what_does_not_end_is_refused_in_dockers_words() {
        for (word, expected) in [
            (
                "\"a",
                "unexpected end of statement while looking for matching double-quote",
            ),
            (
                "'a",
                "unexpected end of statement while looking for matching single-quote",
            ),
            ("${a", "syntax error: missing '}'"),
            ("${}", "syntax error: bad substitution"),
            ("${a:x}", "unsupported modifier (:x) in substitution"),
            ("${b?}", "b: is not allowed to be unset"),
            ("${b:?err}", "b: err"),
        ] {
            let error = expand(word, '\\', &value).unwrap_err().to_string();
            assert_eq!(error, format!("failed to process {word:?}: {expected}"));
        }
        let deep = "${b:-".repeat(100_000);
        assert!(expand(&deep, '\\', &value).is_err());
    }

    #[test]
    fn text_is_split_outside_of_quotes() {
        assert_eq!(
            split(r#" a "b c"=d\ e '\' f "#, '\\'),
            ["a", r#""b c"=d\ e"#, r"'\'", "f"]
        );
        assert_eq!(split("`  x", '`'), ["` ", "x"]);
    }
}
