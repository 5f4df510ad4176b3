//! Scalars: plain, quoted, literal and folded.

use super::Reader;
use crate::error::Result;
use crate::json;
use crate::json::node::quote;

impl Reader<'_> {
    /// Lines without quotes, as long as they are further in than `parent`.
    pub(super) fn plain(&mut self, parent: isize) -> Result<String> {
        let mut text = String::new();
        loop {
            let line = self.rest().lines().next().unwrap_or_default();
            let end = plain_end(line, false);
            let is_key = line.get(end..).unwrap_or_default().starts_with(':');
            if is_key {
                return self.fail("a map begins on a line of its own");
            }
            self.at += end;
            text.push_str(line.get(..end).unwrap_or_default().trim_end());
            self.blanks();
            let is_comment = self.peek() == Some('#');
            let here = self.at;
            self.skip();
            let ended = self.text.get(here..self.at).unwrap_or_default();
            let is_more = !is_comment
                && !ended.contains('#')
                && !self.rest().is_empty()
                && self.column() > parent
                && !self.is_marker("---")
                && !self.is_marker("...");
            if !is_more {
                self.at = here;
                return Ok(resolve(&text));
            }
            fold(ended, &mut text);
        }
    }

    /// A string in quotes, which may go over several lines.
    pub(super) fn quoted(&mut self, mark: char) -> Result<String> {
        let start = self.at;
        self.at += 1;
        let mut text = String::new();
        while let Some(letter) = self.peek() {
            self.at += letter.len_utf8();
            match letter {
                '\'' if mark == '\'' && self.takes('\'') => text.push('\''),
                letter if letter == mark => return Ok(text),
                '\\' if mark == '"' => self.escape(&mut text)?,
                '\n' => {
                    text.truncate(text.trim_end_matches([' ', '\t', '\r']).len());
                    let from = self.at - 1;
                    let rest = self.rest();
                    self.at += rest.len() - rest.trim_start().len();
                    fold(self.text.get(from..self.at).unwrap_or_default(), &mut text);
                }
                letter => text.push(letter),
            }
        }
        self.at = start;
        self.fail("string without end")
    }

    fn escape(&mut self, text: &mut String) -> Result<()> {
        let letter = self.peek().unwrap_or(' ');
        let digits = match letter {
            'x' => 2,
            'u' => 4,
            'U' => 8,
            _ => 0,
        };
        if digits > 0 {
            let code = self.rest().get(1..=digits);
            let code = code.and_then(|code| u32::from_str_radix(code, 16).ok());
            let Some(letter) = code.and_then(char::from_u32) else {
                return self.fail("this is no character");
            };
            text.push(letter);
            self.at += digits + 1;
            return Ok(());
        }
        text.push(match letter {
            '0' => '\0',
            'a' => '\u{7}',
            'b' => '\u{8}',
            't' | '\t' => '\t',
            'n' => '\n',
            'v' => '\u{b}',
            'f' => '\u{c}',
            'r' => '\r',
            'e' => '\u{1b}',
            '"' | '/' | '\\' | ' ' => letter,
            '_' => '\u{a0}',
            '\n' => {
                // The line goes on in the next one.
                let rest = self.rest();
                self.at += rest.len() - rest.trim_start().len();
                return Ok(());
            }
            _ => return self.fail("there is no such escape"),
        });
        self.at += letter.len_utf8();
        Ok(())
    }

    /// `|` keeps its lines, `>` folds them.
    pub(super) fn block_scalar(&mut self, parent: isize) -> Result<String> {
        let is_folded = self.peek() == Some('>');
        self.at += 1;
        let (mut chomp, mut indent) = (' ', None);
        while let Some(letter @ ('-' | '+' | '1'..='9')) = self.peek() {
            match letter.to_digit(10) {
                Some(digit) => indent = Some(parent.max(0) as usize + digit as usize),
                None => chomp = letter,
            }
            self.at += 1;
        }
        self.end_of_line()?;
        let rest = self.rest();
        self.at += rest.find('\n').map_or(rest.len(), |at| at + 1);

        let mut text = String::new();
        let mut was_indented = true;
        let mut ends = 0;
        while !self.rest().is_empty() {
            let line = self.rest().split('\n').next().unwrap_or_default();
            let content = line.trim_start_matches(' ');
            let depth = line.len() - content.len();
            let line_text = line.trim_end_matches('\r');
            if content.trim_end_matches('\r').is_empty() && indent.is_none_or(|i| depth <= i) {
                ends += 1;
            } else {
                let wanted = *indent.get_or_insert(depth);
                if depth < wanted || (depth as isize) <= parent {
                    break;
                }
                let line_text = line_text.get(wanted..).unwrap_or_default();
                let is_indented = line_text.starts_with([' ', '\t']);
                let breaks = match is_folded && !was_indented && !is_indented {
                    true if ends == 1 => " ".to_string(),
                    true => "\n".repeat(ends - 1),
                    false => "\n".repeat(ends),
                };
                text.push_str(&breaks);
                text.push_str(line_text);
                was_indented = is_indented;
                ends = 1;
            }
            self.at += line.len() + 1;
        }
        self.at = self.at.min(self.text.len());
        let ends = match chomp {
            '-' => 0,
            '+' => ends,
            _ => ends.min(1).min(text.len()),
        };
        text.push_str(&"\n".repeat(ends));
        Ok(quote(&text))
    }
}

/// Where a plain scalar ends that begins `line`.
pub(super) fn plain_end(line: &str, is_flow: bool) -> usize {
    let mut before = ' ';
    for (at, letter) in line.char_indices() {
        let behind = line.get(at + letter.len_utf8()..).unwrap_or_default();
        let is_colon = letter == ':'
            && (behind.is_empty()
                || behind.starts_with(char::is_whitespace)
                || is_flow && behind.starts_with([',', ']', '}']));
        let is_comment = letter == '#' && before.is_whitespace();
        if is_colon || is_comment || is_flow && ",[]{}".contains(letter) {
            return at;
        }
        before = letter;
    }
    line.len()
}

/// What ends of lines become within a scalar: one a blank, more of them one less.
fn fold(between: &str, text: &mut String) {
    match between.matches('\n').count() {
        0 | 1 => text.push(' '),
        ends => text.extend(std::iter::repeat_n('\n', ends - 1)),
    }
}

/// A plain scalar by its looks (YAML 1.2, 10.3). Numbers that JSON cannot write stay words.
pub(super) fn resolve(text: &str) -> String {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => "null".to_string(),
        "true" | "True" | "TRUE" => "true".to_string(),
        "false" | "False" | "FALSE" => "false".to_string(),
        number if json::is_word(number) => number.to_string(),
        text => quote(text),
    }
}
