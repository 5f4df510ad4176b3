//! YAML into JSON: as much of it as compose files use.
//!
//! Block and flow lists and maps, plain, quoted, literal and folded scalars, comments, anchors,
//! aliases and merge keys. Tags, keys that are no scalars and more than one document are refused,
//! with line and column. `saphyr-parser` would be 72 kB of the
//! binary, yaml-rust2's parser 82 kB, and their events would want half of this again;
//! what reads the outcome knows JSON already.

mod scalar;
#[cfg(test)]
mod tests;

use self::scalar::{plain_end, resolve};
use crate::error::{Error, Result};
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
