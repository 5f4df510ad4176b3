//! YAML into JSON: as much of it as compose files use.
//!
//! Block and flow lists and maps, plain, quoted, literal and folded scalars, comments, anchors,
//! aliases and merge keys. Tags, keys that are no scalars and more than one document are refused,
//! with line and column. `saphyr-parser` would be 72 kB of the
//! binary, yaml-rust2's parser 82 kB, and their events would want half of this again;
//! what reads the outcome knows JSON already.

use crate::error::{Error, Result};
use crate::json;
use crate::json::node::{Node, quote};

/// Deeper than any compose file.
const DEPTH_MAX: usize = 32;

/// Aliases of aliases grow without end.
const SIZE_MAX: usize = 4 << 20;

/// `text` as JSON.
pub fn to_json(text: &str) -> Result<String> {
    let mut reader = Reader {
        text,
        at: 0,
        depth: 0,
        size: 0,
        anchors: Vec::new(),
    };
    reader.document()
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
    /// Bytes that aliases have brought.
    size: usize,
    anchors: Vec<(&'a str, String)>,
}

/// What stands in front of a node.
#[derive(Clone, Copy, PartialEq)]
enum Behind {
    Nothing,
    Key,
    Dash,
}

impl<'a> Reader<'a> {
    fn document(&mut self) -> Result<String> {
        self.text = self.text.trim_start_matches('\u{feff}');
        self.skip();
        if self.is_marker("---") {
            self.at += 3;
        }
        let json = self.node(-1, Behind::Nothing)?;
        self.skip();
        if self.is_marker("...") {
            self.at += 3;
            self.skip();
        }
        match self.rest() {
            "" => Ok(json),
            _ if self.is_marker("---") => self.fail("one document is wanted"),
            _ => self.fail("this does not belong to what stands above"),
        }
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    /// How far from the line's beginning.
    fn column(&self) -> isize {
        let before = self.text.get(..self.at).unwrap_or_default();
        let line = before.rfind('\n').map_or(0, |at| at + 1);
        (self.at - line) as isize
    }

    fn fail<T>(&self, problem: &str) -> Result<T> {
        let before = self.text.get(..self.at).unwrap_or_default();
        let (line, column) = (before.split('\n').count(), self.column() + 1);
        Err(Error::invalid(format!(
            "line {line}, column {column}: {problem}"
        )))
    }

    fn is_marker(&self, marker: &str) -> bool {
        let rest = self.rest().strip_prefix(marker);
        self.column() == 0
            && rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(char::is_whitespace))
    }

    /// Pass over blanks, comments and ends of lines. Whether a line ended.
    fn skip(&mut self) -> bool {
        let mut is_new_line = self.at == 0;
        while let Some(letter) = self.peek() {
            match letter {
                '\n' => is_new_line = true,
                ' ' | '\t' | '\r' => {}
                '#' if self.at == 0 || self.text[..self.at].ends_with(char::is_whitespace) => {
                    let line = self.rest();
                    self.at += line.find('\n').unwrap_or(line.len());
                    continue;
                }
                _ => break,
            }
            self.at += 1;
        }
        is_new_line
    }

    /// Blanks alone.
    fn blanks(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start_matches([' ', '\t']).len();
    }

    /// What stands next, if it belongs to something whose lines begin at `parent`.
    fn node(&mut self, parent: isize, behind: Behind) -> Result<String> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return self.fail("nested too deeply");
        }
        let json = self.any(parent, behind);
        self.depth -= 1;
        json
    }

    fn any(&mut self, parent: isize, behind: Behind) -> Result<String> {
        let mut is_new_line = self.skip() || behind == Behind::Nothing;
        let mut anchor = None;
        let is_ours = |reader: &Self, is_new_line: bool| {
            let column = reader.column();
            let is_list = behind == Behind::Key && column == parent && reader.is_dash();
            !is_new_line || column > parent || is_list
        };
        if is_ours(self, is_new_line) && self.peek() == Some('&') {
            self.at += 1;
            anchor = Some(self.name()?);
            is_new_line |= self.skip();
        }
        let is_end = self.rest().is_empty() || self.is_marker("---") || self.is_marker("...");
        let json = match is_end || !is_ours(self, is_new_line) {
            true => "null".to_string(),
            false => self.content(parent, behind, is_new_line)?,
        };
        if let Some(name) = anchor {
            self.anchors.push((name, json.clone()));
        }
        Ok(json)
    }

    fn content(&mut self, parent: isize, behind: Behind, is_new_line: bool) -> Result<String> {
        let column = self.column();
        let line = self.text.get(..self.at).unwrap_or_default();
        let indent = line.rsplit('\n').next().unwrap_or_default();
        if indent.contains('\t') && is_new_line {
            return self.fail("a tab does not indent");
        }
        let may_begin = is_new_line || behind == Behind::Dash;
        if self.is_dash() {
            return match may_begin {
                true => self.list(column),
                false => self.fail("a list begins on a line of its own"),
            };
        }
        if self.is_key() {
            return match may_begin {
                true => self.map(column),
                false => self.fail("a map begins on a line of its own"),
            };
        }
        match self.peek() {
            Some('|' | '>') => self.block_scalar(parent),
            Some('[' | '{' | '"' | '\'' | '*') => {
                let json = self.flow()?;
                self.end_of_line()?;
                Ok(json)
            }
            Some('!' | '%' | '@' | '`' | '?') => self.fail("this sign is not read here"),
            _ => self.plain(parent),
        }
    }

    /// Behind a value its line is over.
    fn end_of_line(&mut self) -> Result<()> {
        self.blanks();
        match self.peek() {
            None | Some('\n' | '\r' | '#') => Ok(()),
            Some(_) => self.fail("the end of the line is wanted"),
        }
    }

    fn is_dash(&self) -> bool {
        let rest = self.rest().strip_prefix('-');
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(char::is_whitespace))
    }

    /// Whether a key and its colon stand next.
    fn is_key(&self) -> bool {
        let line = self.rest().lines().next().unwrap_or_default();
        let behind = match line.chars().next() {
            Some('[' | '{' | '#') | None => return false,
            Some(quote @ ('"' | '\'')) => {
                let mut ahead = Reader {
                    anchors: Vec::new(),
                    ..*self
                };
                match ahead.quoted(quote) {
                    Ok(_) => ahead.rest().trim_start_matches(' '),
                    Err(_) => return false,
                }
            }
            Some(_) => match plain_end(line, false) {
                0 => return false,
                end => line.get(end..).unwrap_or_default().trim_start_matches(' '),
            },
        };
        let behind = behind.strip_prefix(':');
        behind.is_some_and(|rest| rest.is_empty() || rest.starts_with(char::is_whitespace))
    }

    /// A key, with its colon.
    fn key(&mut self) -> Result<String> {
        let key = match self.peek() {
            Some(quote @ ('"' | '\'')) => self.quoted(quote)?,
            Some('&' | '*' | '!' | '?' | '|' | '>' | '%' | '@' | '`') => {
                return self.fail("this sign begins no key here");
            }
            _ => {
                let line = self.rest().lines().next().unwrap_or_default();
                let end = plain_end(line, false);
                self.at += end;
                line.get(..end).unwrap_or_default().trim_end().to_string()
            }
        };
        self.blanks();
        self.at += 1;
        Ok(key)
    }

    fn map(&mut self, column: isize) -> Result<String> {
        let mut map = Map::default();
        loop {
            let start = self.at;
            let key = self.key()?;
            let value = self.node(column, Behind::Key)?;
            if !map.put(key, value) {
                self.at = start;
                return self.fail("this key stands there twice");
            }
            self.skip();
            let is_over = self.rest().is_empty() || self.is_marker("---") || self.is_marker("...");
            if is_over || self.column() < column {
                return Ok(map.finish());
            }
            if self.column() > column || !self.is_key() {
                return self.fail("a key is wanted here, as far in as those above");
            }
        }
    }

    fn list(&mut self, column: isize) -> Result<String> {
        let mut items = Vec::new();
        loop {
            self.at += 1;
            items.push(self.node(column, Behind::Dash)?);
            self.skip();
            if self.column() > column {
                return self.fail("this does not belong to what stands above");
            }
            let is_over = self.rest().is_empty() || self.is_marker("---");
            if is_over || self.column() < column || !self.is_dash() {
                return Ok(format!("[{}]", items.join(",")));
            }
        }
    }

    /// What may stand in brackets, and is no block.
    fn flow(&mut self) -> Result<String> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return self.fail("nested too deeply");
        }
        let json = match self.peek() {
            Some('[') => self.flow_list(),
            Some('{') => self.flow_map(),
            Some(quote_mark @ ('"' | '\'')) => self.quoted(quote_mark).map(|text| quote(&text)),
            Some('*') => self.alias(),
            Some('&' | '!' | '%' | '@' | '`' | '?') => self.fail("this sign is not read here"),
            _ => {
                let line = self.rest().lines().next().unwrap_or_default();
                let end = plain_end(line, true);
                self.at += end;
                Ok(resolve(line.get(..end).unwrap_or_default().trim()))
            }
        };
        self.depth -= 1;
        json
    }

    fn flow_list(&mut self) -> Result<String> {
        let mut items = Vec::new();
        self.at += 1;
        loop {
            self.skip();
            if self.takes(']') {
                return Ok(format!("[{}]", items.join(",")));
            }
            items.push(self.flow()?);
            self.skip();
            if !self.takes(',') && self.peek() != Some(']') {
                return self.fail("expected ',' or ']'");
            }
        }
    }

    fn flow_map(&mut self) -> Result<String> {
        let mut map = Map::default();
        self.at += 1;
        loop {
            self.skip();
            if self.takes('}') {
                return Ok(map.finish());
            }
            let key = self.flow()?;
            let Some(key) = Node::new(&key, "")?.word() else {
                return self.fail("a key is wanted");
            };
            self.skip();
            let mut value = "null".to_string();
            if self.takes(':') {
                self.skip();
                if !matches!(self.peek(), Some(',' | '}')) {
                    value = self.flow()?;
                }
            }
            if !map.put(key, value) {
                return self.fail("its key stands there twice");
            }
            self.skip();
            if !self.takes(',') && self.peek() != Some('}') {
                return self.fail("expected ',' or '}'");
            }
        }
    }

    fn takes(&mut self, mark: char) -> bool {
        let is_next = self.peek() == Some(mark);
        if is_next {
            self.at += mark.len_utf8();
        }
        is_next
    }

    /// Of an anchor.
    fn name(&mut self) -> Result<&'a str> {
        let rest = self.rest();
        let end = rest.find(|c: char| c.is_whitespace() || ",[]{}".contains(c));
        let name = rest.get(..end.unwrap_or(rest.len())).unwrap_or_default();
        if name.is_empty() {
            return self.fail("a name is wanted");
        }
        self.at += name.len();
        Ok(name)
    }

    fn alias(&mut self) -> Result<String> {
        let start = self.at;
        self.at += 1;
        let name = self.name()?;
        let known = self.anchors.iter().rev().find(|(known, _)| *known == name);
        let Some(json) = known.map(|(_, json)| json.clone()) else {
            self.at = start;
            return self.fail("there is no such anchor above");
        };
        self.size += json.len();
        if self.size > SIZE_MAX {
            return self.fail("its aliases make too much of it");
        }
        Ok(json)
    }

    /// Lines without quotes, as long as they are further in than `parent`.
    fn plain(&mut self, parent: isize) -> Result<String> {
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
    fn quoted(&mut self, mark: char) -> Result<String> {
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
    fn block_scalar(&mut self, parent: isize) -> Result<String> {
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
fn plain_end(line: &str, is_flow: bool) -> usize {
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
fn resolve(text: &str) -> String {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => "null".to_string(),
        "true" | "True" | "TRUE" => "true".to_string(),
        "false" | "False" | "FALSE" => "false".to_string(),
        number if json::is_word(number) => number.to_string(),
        text => quote(text),
    }
}

/// Members, and those that `<<` brings where there are none of that name.
#[derive(Default)]
struct Map {
    members: Vec<(String, String)>,
    merged: Vec<(String, String)>,
}

impl Map {
    /// Whether it was not there.
    fn put(&mut self, key: String, value: String) -> bool {
        if key == "<<" {
            let Ok(node) = Node::new(&value, "") else {
                return false;
            };
            let maps = match value.starts_with('[') {
                true => node.items(),
                false => vec![node],
            };
            for (key, value) in maps.into_iter().flat_map(Node::pairs) {
                if !self.merged.iter().any(|(known, _)| *known == key) {
                    self.merged.push((key, value.json().to_string()));
                }
            }
            return true;
        }
        let is_new = !self.members.iter().any(|(known, _)| *known == key);
        self.members.push((key, value));
        is_new
    }

    fn finish(mut self) -> String {
        for (key, value) in self.merged {
            if !self.members.iter().any(|(known, _)| *known == key) {
                self.members.push((key, value));
            }
        }
        let mut json = String::from("{");
        for (key, value) in &self.members {
            if json.len() > 1 {
                json.push(',');
            }
            json.push_str(&quote(key));
            json.push(':');
            json.push_str(value);
        }
        json.push('}');
        json
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> String {
        match to_json(text) {
            Ok(json) => {
                Node::new(&json, "yaml").unwrap();
                json
            }
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn yaml_becomes_json() {
        for (yaml, expected) in [
            ("", "null"),
            ("# nothing\n", "null"),
            ("---\na: 1\n...\n", r#"{"a":1}"#),
            ("a: b # comment\nc: d#e\n", r#"{"a":"b","c":"d#e"}"#),
            (
                "a:\n  b: true\n  c: ~\nd:\n- 1\n- x y\n",
                r#"{"a":{"b":true,"c":null},"d":[1,"x y"]}"#,
            ),
            (
                "- a: 1\n  b: 2\n-   c: 3\n- - 4\n  - 5\n-\n  d: 6\n",
                r#"[{"a":1,"b":2},{"c":3},[4,5],{"d":6}]"#,
            ),
            (
                "ports:\n  - \"80:80\"\n  - 8080:80\n  - '[::1]:1:2'\n",
                r#"{"ports":["80:80","8080:80","[::1]:1:2"]}"#,
            ),
            (
                "cmd: [\"sh\", -c, 'it''s', {a: b, \"c\": 1}, ]\n",
                r#"{"cmd":["sh","-c","it's",{"a":"b","c":1}]}"#,
            ),
            (
                "a: [\n  1, # one\n  2\n ]\nb: {}\n",
                r#"{"a":[1,2],"b":{}}"#,
            ),
            ("a: \"x\\n\\u00e4\\x41\\\n   y\"\n", r#"{"a":"x\näAy"}"#),
            ("a: 'x\n   y\n\n   z'\n", r#"{"a":"x y\nz"}"#),
            ("a: x\n  y\n\n  z\nb: 1\n", r#"{"a":"x y\nz","b":1}"#),
            (
                "a: |\n  x\n   y\n\n  z\nb: |-\n  q\n\nc: |+\n  r\n\n",
                r#"{"a":"x\n y\n\nz\n","b":"q","c":"r\n\n"}"#,
            ),
            (
                "a: >\n  x\n  y\n\n  z\n   w\n  v\nb: >-\n  q\n",
                r#"{"a":"x y\nz\n w\nv\n","b":"q"}"#,
            ),
            ("a: |2\n   x\n", r#"{"a":" x\n"}"#),
            (
                "x: &base\n  a: 1\n  b: 2\ny:\n  <<: *base\n  b: 3\nz: *base\n",
                r#"{"x":{"a":1,"b":2},"y":{"b":3,"a":1},"z":{"a":1,"b":2}}"#,
            ),
            (
                "a: &x 1\nb: &y\n  - 2\nc: {<<: [{p: 1}, {p: 2, q: 3}]}\nd: *y\n",
                r#"{"a":1,"b":[2],"c":{"p":1,"q":3},"d":[2]}"#,
            ),
            (
                "\"a b\": 1\n'c:d': 2\ne f : 3\n",
                r#"{"a b":1,"c:d":2,"e f":3}"#,
            ),
            (
                "a: 1.10\nb: 0644\nc: 1e3\nd: yes\ne: -1\n",
                r#"{"a":1.10,"b":"0644","c":1e3,"d":"yes","e":-1}"#,
            ),
            (
                "a: http://x:80/y\nb: ${A:-b}\nc: -x\n",
                r#"{"a":"http://x:80/y","b":"${A:-b}","c":"-x"}"#,
            ),
            ("a:\r\n  - b\r\n", r#"{"a":["b"]}"#),
        ] {
            assert_eq!(read(yaml), expected, "{yaml}");
        }
    }

    #[test]
    fn what_is_not_read_is_located() {
        for (yaml, expected) in [
            (
                "a: b: c\n",
                "line 1, column 4: a map begins on a line of its own",
            ),
            (
                "a: - b\n",
                "line 1, column 4: a list begins on a line of its own",
            ),
            (
                "a: 1\n  b: 2\n",
                "line 2, column 3: a map begins on a line of its own",
            ),
            (
                "a:\n  b: 1\n c: 2\n",
                "line 3, column 2: a key is wanted here, as far in as those above",
            ),
            (
                "a: 1\na: 2\n",
                "line 2, column 1: this key stands there twice",
            ),
            ("a: *b\n", "line 1, column 4: there is no such anchor above"),
            (
                "a: !reset []\n",
                "line 1, column 4: this sign is not read here",
            ),
            ("a: \"x\n", "line 1, column 4: string without end"),
            ("a: [1, 2\n", "line 2, column 1: expected ',' or ']'"),
            (
                "a: [1] 2\n",
                "line 1, column 8: the end of the line is wanted",
            ),
            ("a: {b: 1\n", "line 2, column 1: expected ',' or '}'"),
            ("\ta: 1\n", "line 1, column 2: a tab does not indent"),
            (
                "a: 1\n---\nb: 2\n",
                "line 2, column 1: one document is wanted",
            ),
            ("a: \"\\q\"\n", "line 1, column 6: there is no such escape"),
            (
                "a: 1\nb\n",
                "line 2, column 1: a key is wanted here, as far in as those above",
            ),
            ("? a\n: b\n", "line 1, column 1: this sign is not read here"),
        ] {
            assert_eq!(read(yaml), expected, "{yaml}");
        }
        let deep = "[".repeat(100);
        assert!(read(&deep).ends_with("nested too deeply"));
        let deep: String = (0..100).map(|n| format!("{}a:\n", " ".repeat(n))).collect();
        assert!(read(&deep).ends_with("nested too deeply"));
    }

    #[test]
    fn aliases_of_aliases_have_an_end() {
        let mut yaml = String::from("a0: &a0 [xxxxxxxxxx]\n");
        for n in 1..12 {
            let alias = format!("*a{}, ", n - 1);
            yaml.push_str(&format!("a{n}: &a{n} [{}]\n", alias.repeat(10)));
        }
        assert!(read(&yaml).ends_with("its aliases make too much of it"));
    }
}
