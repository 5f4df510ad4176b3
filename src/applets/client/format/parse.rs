//! Templates from text: the grammar of Go's text/template, without `define`, `template`, `block`.

use super::call;
use super::value::Value;
use crate::error::{Error, Result};

/// How deep blocks and brackets may be nested.
const DEPTH_MAX: usize = 32;

pub enum Node {
    Text(String),
    /// Prints what it comes to, unless it sets a variable.
    Action(Pipe),
    Block(Block),
    Break,
    Continue,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    If,
    With,
    Range,
}

pub struct Block {
    pub kind: Kind,
    pub pipe: Pipe,
    pub then: Vec<Node>,
    pub otherwise: Vec<Node>,
}

/// `$a, $b := x y | z`.
#[derive(Default)]
pub struct Pipe {
    pub variables: Vec<String>,
    /// With `=`, not `:=`.
    pub is_assignment: bool,
    pub commands: Vec<Command>,
}

/// A function or method and its arguments, or a value alone.
pub struct Command {
    pub place: Place,
    pub terms: Vec<Term>,
}

pub struct Term {
    pub place: Place,
    pub base: Base,
    /// `.A.B` behind it.
    pub fields: Vec<String>,
}

pub enum Base {
    Dot,
    Variable(String),
    Function(String),
    Value(Value),
    Pipe(Pipe),
}

/// Where in the template something stands, for messages: from, to, and where Go points to.
#[derive(Clone, Copy)]
pub struct Place {
    pub start: usize,
    pub end: usize,
    pub at: usize,
}

/// What ended a list of nodes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stop {
    Text,
    End,
    Else,
}

#[derive(Debug, PartialEq, Eq)]
enum Token<'t> {
    Close,
    Space,
    Bar,
    Comma,
    Declare,
    Assign,
    Left,
    Right,
    Dot,
    /// Without the dot.
    Field(&'t str),
    /// With the `$`.
    Variable(&'t str),
    Word(&'t str),
    Number(&'t str),
    /// As written, quotes and all.
    Text(&'t str),
}

/// Parse a whole template.
pub fn parse(text: &str) -> Result<Vec<Node>> {
    let mut parser = Parser {
        text,
        at: 0,
        is_trimming: false,
        variables: vec!["$"],
        depth: 0,
        ranges: 0,
        brackets: 0,
    };
    match parser.list()? {
        (nodes, Stop::Text) => Ok(nodes),
        (_, Stop::End) => Err(parser.failed("unexpected {{end}}")),
        (_, Stop::Else) => Err(parser.failed("unexpected {{else}}")),
    }
}

struct Parser<'t> {
    text: &'t str,
    at: usize,
    /// The last action ended with ` -}}`: blanks behind it go.
    is_trimming: bool,
    /// Those that are known here; a block's own end with it.
    variables: Vec<&'t str>,
    depth: usize,
    /// How many `range`s are open, and how many brackets.
    ranges: usize,
    brackets: usize,
}

impl<'t> Parser<'t> {
    fn failed(&self, what: &str) -> Error {
        let before = self.text.get(..self.at).unwrap_or(self.text);
        let line = 1 + before.matches('\n').count();
        Error::invalid(format!("template parsing error: template: :{line}: {what}"))
    }

    fn rest(&self) -> &'t str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn deeper(&mut self) -> Result<()> {
        self.depth += 1;
        match self.depth > DEPTH_MAX {
            true => Err(self.failed("nested too deeply")),
            false => Ok(()),
        }
    }

    /// Text and actions up to the end of the text, or to an `end` or `else`, whose word is behind us.
    fn list(&mut self) -> Result<(Vec<Node>, Stop)> {
        self.deeper()?;
        let known = self.variables.len();
        let mut nodes = Vec::new();
        let stop = loop {
            if !self.text_before_action(&mut nodes) {
                break Stop::Text;
            }
            if self.skip_comment()? {
                continue;
            }
            let before = self.at;
            let word = match self.next()? {
                Token::Word(word) => word,
                _ => "",
            };
            match word {
                "end" => break Stop::End,
                "else" => break Stop::Else,
                "if" => nodes.push(self.block(Kind::If)?),
                "with" => nodes.push(self.block(Kind::With)?),
                "range" => nodes.push(self.block(Kind::Range)?),
                "break" | "continue" if self.ranges == 0 => {
                    return Err(self.failed(&format!("{{{{{word}}}}} outside {{{{range}}}}")));
                }
                "break" | "continue" => {
                    self.close()?;
                    nodes.push(match word {
                        "break" => Node::Break,
                        _ => Node::Continue,
                    });
                }
                "define" | "template" | "block" => {
                    return Err(self.failed(&format!("{{{{{word}}}}} is not supported")));
                }
                _ => {
                    self.at = before;
                    nodes.push(Node::Action(self.pipe("command", 1)?));
                    self.close()?;
                }
            }
        };
        self.variables.truncate(known);
        self.depth -= 1;
        Ok((nodes, stop))
    }

    /// Keep the text up to the next `{{`, and go to what is inside; false where there is none.
    fn text_before_action(&mut self, nodes: &mut Vec<Node>) -> bool {
        let rest = self.rest();
        let open = rest.find("{{");
        let mut before = rest.get(..open.unwrap_or(rest.len())).unwrap_or_default();
        self.at += before.len() + open.map_or(0, |_| 2);
        if self.is_trimming {
            before = before.trim_start_matches(BLANKS);
        }
        let marker = self.rest().strip_prefix('-');
        if open.is_some() && marker.is_some_and(|rest| rest.starts_with(BLANKS)) {
            before = before.trim_end_matches(BLANKS);
            self.at += 1;
        }
        if !before.is_empty() {
            nodes.push(Node::Text(before.to_string()));
        }
        self.is_trimming = false;
        self.skip_blanks();
        open.is_some()
    }

    fn skip_blanks(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start_matches(BLANKS).len();
    }

    fn skip_comment(&mut self) -> Result<bool> {
        if !self.rest().starts_with("/*") {
            return Ok(false);
        }
        let Some(end) = self.rest().find("*/") else {
            return Err(self.failed("unclosed comment"));
        };
        self.at += end + 2;
        self.close()?;
        Ok(true)
    }

    /// The end of an action.
    fn close(&mut self) -> Result<()> {
        let mut token = self.next()?;
        if token == Token::Space {
            token = self.next()?;
        }
        match token {
            Token::Close => Ok(()),
            token => Err(self.unexpected(&token, "command")),
        }
    }

    /// From behind `if`, `with` or `range` to behind its `end`.
    fn block(&mut self, kind: Kind) -> Result<Node> {
        self.deeper()?;
        let known = self.variables.len();
        let (context, variables_max) = match kind {
            Kind::If => ("if", 1),
            Kind::With => ("with", 1),
            Kind::Range => ("range", 2),
        };
        let pipe = self.pipe(context, variables_max)?;
        self.close()?;
        self.ranges += usize::from(kind == Kind::Range);
        let (then, stop) = self.list()?;
        self.ranges -= usize::from(kind == Kind::Range);
        let otherwise = match stop {
            Stop::Else => self.otherwise(kind)?,
            stop => {
                self.expect_end(stop)?;
                Vec::new()
            }
        };
        self.variables.truncate(known);
        self.depth -= 1;
        Ok(Node::Block(Block {
            kind,
            pipe,
            then,
            otherwise,
        }))
    }

    /// From behind `else`; `else if` has its `end` in common with the `if` before.
    fn otherwise(&mut self, kind: Kind) -> Result<Vec<Node>> {
        let before = self.at;
        self.skip_blanks();
        match (kind, self.next()?) {
            (Kind::If, Token::Word("if")) => Ok(vec![self.block(Kind::If)?]),
            (Kind::With, Token::Word("with")) => Ok(vec![self.block(Kind::With)?]),
            _ => {
                self.at = before;
                self.close()?;
                let (nodes, stop) = self.list()?;
                self.expect_end(stop)?;
                Ok(nodes)
            }
        }
    }

    fn expect_end(&mut self, stop: Stop) -> Result<()> {
        match stop {
            Stop::End => self.close(),
            Stop::Else => Err(self.failed("expected end; found {{else}}")),
            Stop::Text => Err(self.failed("unexpected EOF")),
        }
    }

    /// Up to what closes it: the end of the action, or a bracket.
    fn pipe(&mut self, context: &str, variables_max: usize) -> Result<Pipe> {
        let mut pipe = Pipe::default();
        self.declarations(&mut pipe, context, variables_max)?;
        loop {
            self.skip_blanks();
            let command = self.command()?;
            if pipe.commands.is_empty() && command.terms.is_empty() {
                return Err(match self.next()? {
                    Token::Close | Token::Right => {
                        self.failed(&format!("missing value for {context}"))
                    }
                    token => self.unexpected(&token, context),
                });
            }
            let is_value = |base: &Base| matches!(base, Base::Dot | Base::Value(_));
            let is_stuck = |term: &Term| is_value(&term.base) && term.fields.is_empty();
            if !pipe.commands.is_empty() && command.terms.first().is_some_and(is_stuck) {
                let stage = pipe.commands.len() + 1;
                let what = format!("non executable command in pipeline stage {stage}");
                return Err(self.failed(&what));
            }
            // Go takes nothing behind the last bar for nothing.
            if !command.terms.is_empty() {
                pipe.commands.push(command);
            }
            let before = self.at;
            if self.next()? != Token::Bar {
                self.at = before;
                return Ok(pipe);
            }
        }
    }

    /// `$x :=`, `$x =`, or for `range` `$k, $v :=`.
    fn declarations(&mut self, pipe: &mut Pipe, context: &str, max: usize) -> Result<()> {
        self.skip_blanks();
        let before = self.at;
        let mut names = Vec::new();
        while let Token::Variable(name) = self.next()? {
            names.push(name);
            self.skip_blanks();
            match self.next()? {
                Token::Comma if names.len() == max => {
                    let what = format!("too many declarations in {context}");
                    return Err(self.failed(&what));
                }
                Token::Comma => self.skip_blanks(),
                token @ (Token::Declare | Token::Assign) => {
                    pipe.is_assignment = token == Token::Assign;
                    for name in names {
                        match pipe.is_assignment {
                            true => self.known(name)?,
                            false => self.variables.push(name),
                        }
                        pipe.variables.push(name.to_string());
                    }
                    return Ok(());
                }
                _ => break,
            }
        }
        self.at = before;
        Ok(())
    }

    fn known(&self, name: &str) -> Result<()> {
        match self.variables.contains(&name) {
            true => Ok(()),
            false => Err(self.failed(&format!("undefined variable {name:?}"))),
        }
    }

    /// Terms with blanks between them.
    fn command(&mut self) -> Result<Command> {
        let start = self.at;
        let mut terms = Vec::new();
        let mut end = start;
        loop {
            self.skip_blanks();
            let Some(term) = self.term()? else {
                break;
            };
            terms.push(term);
            end = self.at;
            let before = self.at;
            match self.next()? {
                Token::Space => {}
                Token::Close | Token::Bar | Token::Right => {
                    self.at = before;
                    break;
                }
                token => return Err(self.unexpected(&token, "operand")),
            }
        }
        let at = start;
        let place = Place { start, end, at };
        Ok(Command { place, terms })
    }

    /// One value, or nothing where something else begins.
    fn term(&mut self) -> Result<Option<Term>> {
        let start = self.at;
        let mut fields = Vec::new();
        let base = match self.next()? {
            Token::Dot => Base::Dot,
            Token::Field(name) => {
                fields.push(name.to_string());
                Base::Dot
            }
            Token::Variable(name) => {
                self.known(name)?;
                Base::Variable(name.to_string())
            }
            Token::Word("true") => Base::Value(Value::Bool(true)),
            Token::Word("false") => Base::Value(Value::Bool(false)),
            Token::Word("nil") => Base::Value(Value::Nil),
            Token::Word(name) if call::is_known(name) => Base::Function(name.to_string()),
            Token::Word(name) => {
                return Err(self.failed(&format!("function {name:?} not defined")));
            }
            Token::Number(text) => match number(text) {
                Some(number) => Base::Value(Value::Number(number)),
                None => return Err(self.failed(&format!("bad number syntax: {text:?}"))),
            },
            Token::Text(quoted) => match (unquote(quoted), quoted.starts_with('\'')) {
                (Some(text), false) => Base::Value(Value::Text(text)),
                // A character is its number.
                (Some(text), true) if text.chars().count() == 1 => {
                    let number = text.chars().map(u32::from).sum::<u32>();
                    Base::Value(Value::Number(number.to_string()))
                }
                _ => return Err(self.failed("invalid syntax")),
            },
            Token::Left => {
                self.deeper()?;
                self.brackets += 1;
                let pipe = self.pipe("parenthesized pipeline", 1)?;
                self.skip_blanks();
                if self.next()? != Token::Right {
                    return Err(self.failed("unclosed left paren"));
                }
                self.brackets -= 1;
                self.depth -= 1;
                Base::Pipe(pipe)
            }
            Token::Close | Token::Bar | Token::Right => {
                self.at = start;
                return Ok(None);
            }
            token => return Err(self.unexpected(&token, "operand")),
        };
        // Go points at the second name of `.A.B`.
        let at = if self.rest().starts_with('.') {
            self.at
        } else {
            start
        };
        loop {
            let before = self.at;
            match self.next_in_term()? {
                Some(name) => fields.push(name.to_string()),
                None => {
                    self.at = before;
                    break;
                }
            }
        }
        let end = self.at;
        Ok(Some(Term {
            place: Place { start, end, at },
            base,
            fields,
        }))
    }

    fn next_in_term(&mut self) -> Result<Option<&'t str>> {
        if !self.rest().starts_with('.') {
            return Ok(None);
        }
        match self.next()? {
            Token::Field(name) => Ok(Some(name)),
            token => Err(self.unexpected(&token, "operand")),
        }
    }

    fn unexpected(&self, token: &Token<'_>, context: &str) -> Error {
        let text = match token {
            Token::Close => return self.failed(&format!("unexpected \"}}}}\" in {context}")),
            Token::Space => " ",
            Token::Right => ")",
            Token::Bar => "|",
            Token::Comma => ",",
            Token::Declare => ":=",
            Token::Assign => "=",
            Token::Left => "(",
            Token::Dot => ".",
            Token::Field(text)
            | Token::Variable(text)
            | Token::Word(text)
            | Token::Number(text)
            | Token::Text(text) => text,
        };
        self.failed(&format!("unexpected {text:?} in {context}"))
    }

    fn next(&mut self) -> Result<Token<'t>> {
        let rest = self.rest();
        let blanks = rest.len() - rest.trim_start_matches(BLANKS).len();
        if blanks > 0 {
            self.at += blanks;
            return Ok(match self.take_close(true) {
                true => Token::Close,
                false => Token::Space,
            });
        }
        let before = self.text.get(..self.at).unwrap_or_default();
        if self.take_close(before.ends_with(BLANKS)) {
            return Ok(Token::Close);
        }
        let (token, length) = match rest.bytes().next() {
            None => return Err(self.failed("unclosed action")),
            Some(b'|') => (Token::Bar, 1),
            Some(b',') => (Token::Comma, 1),
            Some(b'(') => (Token::Left, 1),
            Some(b')') if self.brackets == 0 => {
                return Err(self.failed("unexpected right paren"));
            }
            Some(b')') => (Token::Right, 1),
            Some(b'=') => (Token::Assign, 1),
            Some(b':') if rest.starts_with(":=") => (Token::Declare, 2),
            Some(b'"' | b'`' | b'\'') => {
                let length =
                    quoted_length(rest).ok_or_else(|| self.failed("unterminated quoted string"))?;
                (Token::Text(&rest[..length]), length)
            }
            Some(b'.') => match word_length(&rest[1..]) {
                0 => (Token::Dot, 1),
                length => (Token::Field(&rest[1..=length]), 1 + length),
            },
            Some(b'$') => {
                let length = 1 + word_length(&rest[1..]);
                (Token::Variable(&rest[..length]), length)
            }
            Some(b'0'..=b'9' | b'-' | b'+') => {
                let other = |c: char| !c.is_ascii_alphanumeric() && !"._+-".contains(c);
                let length = rest.find(other).unwrap_or(rest.len());
                (Token::Number(&rest[..length]), length)
            }
            _ => match word_length(rest) {
                0 => {
                    let c = rest.chars().next().unwrap_or_default();
                    let what = format!("unexpected bad character U+{:04X} {c:?}", c as u32);
                    return Err(self.failed(&what));
                }
                length => (Token::Word(&rest[..length]), length),
            },
        };
        self.at += length;
        Ok(token)
    }

    /// Step over `}}`, or over `-}}` where a blank stands before it.
    fn take_close(&mut self, behind_blank: bool) -> bool {
        let rest = self.rest();
        self.is_trimming = behind_blank && rest.starts_with("-}}");
        let is_close = self.is_trimming || rest.starts_with("}}");
        if is_close {
            self.at += 2 + usize::from(self.is_trimming);
        }
        is_close
    }
}

const BLANKS: [char; 4] = [' ', '\t', '\r', '\n'];

/// Letters, digits and `_`.
fn word_length(text: &str) -> usize {
    text.find(|c: char| !c.is_alphanumeric() && c != '_')
        .unwrap_or(text.len())
}

/// With the quotes, of whichever kind.
fn quoted_length(text: &str) -> Option<usize> {
    let quote = *text.as_bytes().first()?;
    let mut at = 1;
    loop {
        match *text.as_bytes().get(at)? {
            byte if byte == quote => return Some(at + 1),
            b'\n' if quote != b'`' => return None,
            b'\\' if quote != b'`' => at += 2,
            _ => at += 1,
        }
    }
}

/// Go's string and character constants.
fn unquote(quoted: &str) -> Option<String> {
    let inner = quoted.get(1..quoted.len() - 1)?;
    if quoted.starts_with('`') {
        return Some(inner.to_string());
    }
    let mut text = String::new();
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            text.push(c);
            continue;
        }
        let digits = match chars.next()? {
            'n' => {
                text.push('\n');
                continue;
            }
            't' => {
                text.push('\t');
                continue;
            }
            'r' => {
                text.push('\r');
                continue;
            }
            'x' => 2,
            'u' => 4,
            'U' => 8,
            c @ ('\\' | '"' | '\'') => {
                text.push(c);
                continue;
            }
            _ => return None,
        };
        let hex = chars.as_str().get(..digits)?;
        text.push(char::from_u32(u32::from_str_radix(hex, 16).ok()?)?);
        chars = chars.as_str().get(digits..)?.chars();
    }
    Some(text)
}

/// An integer as decimal digits; a decimal fraction stays as written.
fn number(text: &str) -> Option<String> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", text.strip_prefix('+').unwrap_or(text)),
    };
    if let Some(hex) = digits.strip_prefix("0x") {
        return Some(format!("{sign}{}", i64::from_str_radix(hex, 16).ok()?));
    }
    let is_plain = digits.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    let is_number = is_plain && digits.matches('.').count() < 2 && digits != ".";
    is_number.then(|| format!("{sign}{digits}"))
}
