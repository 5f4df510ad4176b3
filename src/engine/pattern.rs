//! Regular expressions in the filters of lists: Go's syntax (RE2), as far as names need it.
//!
//! A pattern becomes a small program whose states are followed all at once (Thompson's way), so
//! that no pattern takes longer than its length times that of the text.

use crate::error::{Error, Result};
use std::iter::Peekable;
use std::str::Chars;

/// A program is no longer than this, whatever `{n,m}` multiplies.
const STEPS_MAX: usize = 10_000;
/// Brackets in brackets.
const DEPTH_MAX: usize = 100;
/// As in Go.
const REPEAT_MAX: usize = 1000;

#[derive(Clone, Debug)]
enum Step {
    Char(char),
    Any,
    OneOf {
        ranges: Vec<(char, char)>,
        negated: bool,
    },
    Start,
    End,
    /// Go on at both, counted from here.
    Split(isize, isize),
    Jump(isize),
}

type Program = Vec<Step>;

pub struct Pattern(Program);

impl Pattern {
    pub fn parse(text: &str) -> Result<Pattern> {
        let mut parser = Parser {
            rest: text.chars().peekable(),
            depth: 0,
        };
        let program = parser.alternatives().and_then(|program| {
            // What stops the parser early is a bracket that was never opened.
            parser.rest.next().is_none().then_some(program)
        });
        match program {
            Some(program) => Ok(Pattern(program)),
            None => Err(Error::invalid(format!(
                "error parsing regexp: {text:?} is not a pattern that we know"
            ))),
        }
    }

    /// A pattern for names with slashes (Go's path.Match): it is for a whole text, `*` and `?` stand
    /// for what is no slash.
    pub fn of_path(text: &str) -> Result<Pattern> {
        let mut parser = Parser {
            rest: text.chars().peekable(),
            depth: 0,
        };
        match parser.path().filter(|program| program.len() <= STEPS_MAX) {
            Some(program) => Ok(Pattern(program)),
            None => Err(Error::invalid("syntax error in pattern")),
        }
    }

    /// Whether some part of `text` fits.
    pub fn fits(&self, text: &str) -> bool {
        let mut states = Vec::new();
        let mut chars = text.chars();
        let mut at_start = true;
        loop {
            let next = chars.next();
            // A match may begin anywhere.
            states.push(0);
            let reached = self.follow(&states, at_start, next.is_none());
            if reached.contains(&self.0.len()) {
                return true;
            }
            let Some(next) = next else { return false };
            states.clear();
            for state in reached {
                if self.0.get(state).is_some_and(|step| step.takes(next)) {
                    states.push(state + 1);
                }
            }
            at_start = false;
        }
    }

    /// All states that `states` lead to without reading a character.
    fn follow(&self, states: &[usize], at_start: bool, at_end: bool) -> Vec<usize> {
        let mut is_known = vec![false; self.0.len() + 1];
        let mut reached = Vec::new();
        let mut stack = states.to_vec();
        while let Some(state) = stack.pop() {
            if std::mem::replace(&mut is_known[state], true) {
                continue;
            }
            reached.push(state);
            let mut go = |by: isize| stack.push(state.saturating_add_signed(by));
            match self.0.get(state) {
                Some(Step::Split(one, other)) => {
                    go(*one);
                    go(*other);
                }
                Some(Step::Jump(by)) => go(*by),
                Some(Step::Start) if at_start => go(1),
                Some(Step::End) if at_end => go(1),
                _ => {}
            }
        }
        reached
    }
}

impl Step {
    fn takes(&self, c: char) -> bool {
        match self {
            Step::Char(own) => *own == c,
            Step::Any => c != '\n',
            Step::OneOf { ranges, negated } => {
                ranges.iter().any(|(from, to)| (*from..=*to).contains(&c)) != *negated
            }
            _ => false,
        }
    }
}

/// `None` is a pattern that makes no sense, or more than we know.
struct Parser<'a> {
    rest: Peekable<Chars<'a>>,
    depth: usize,
}

impl Parser<'_> {
    fn takes(&mut self, c: char) -> bool {
        self.rest.next_if_eq(&c).is_some()
    }

    fn alternatives(&mut self) -> Option<Program> {
        let mut program = self.sequence()?;
        while self.takes('|') {
            let other = self.sequence()?;
            program.insert(0, Step::Split(1, offset(program.len() + 2)));
            program.push(Step::Jump(offset(other.len() + 1)));
            program.extend(other);
        }
        Some(program)
    }

    fn path(&mut self) -> Option<Program> {
        let no_slash = || Step::OneOf {
            ranges: vec![('/', '/')],
            negated: true,
        };
        let mut program = vec![Step::Start];
        while let Some(c) = self.rest.next() {
            match c {
                '*' => program.extend(star(vec![no_slash()])),
                '?' => program.push(no_slash()),
                '[' => program.push(self.path_class()?),
                '\\' => program.push(Step::Char(self.rest.next()?)),
                c => program.push(Step::Char(c)),
            }
        }
        program.push(Step::End);
        Some(program)
    }

    /// `[a-z_]`, `[^0-9]`, where a backslash takes the next letter to the letter.
    fn path_class(&mut self) -> Option<Step> {
        let negated = self.takes('^');
        let mut ranges = Vec::new();
        while ranges.is_empty() || !self.takes(']') {
            let from = self.path_letter()?;
            let to = match self.takes('-') {
                true => self.path_letter()?,
                false => from,
            };
            ranges.push((from, to));
        }
        Some(Step::OneOf { ranges, negated })
    }

    fn path_letter(&mut self) -> Option<char> {
        match self.rest.next()? {
            '-' | ']' => None,
            '\\' => self.rest.next(),
            c => Some(c),
        }
    }

    fn sequence(&mut self) -> Option<Program> {
        let mut program = Program::new();
        while !matches!(self.rest.peek(), None | Some('|' | ')')) {
            let atom = self.atom()?;
            program.extend(self.repeated(atom)?);
            if program.len() > STEPS_MAX {
                return None;
            }
        }
        Some(program)
    }

    fn atom(&mut self) -> Option<Program> {
        let step = match self.rest.next()? {
            '(' => return self.group(),
            '[' => self.class()?,
            '\\' => match self.rest.next()? {
                'A' => Step::Start,
                'z' => Step::End,
                c => escape(c)?,
            },
            '.' => Step::Any,
            '^' => Step::Start,
            '$' => Step::End,
            '*' | '+' | '?' => return None,
            c => Step::Char(c),
        };
        Some(vec![step])
    }

    fn group(&mut self) -> Option<Program> {
        self.depth += 1;
        // Of the forms with a question mark only this one: nothing is captured here anyway.
        if self.depth > DEPTH_MAX || self.takes('?') && !self.takes(':') {
            return None;
        }
        let inner = self.alternatives()?;
        self.depth -= 1;
        self.takes(')').then_some(inner)
    }

    /// `[a-z_]`, `[^0-9]`, `[\w.]`.
    fn class(&mut self) -> Option<Step> {
        let negated = self.takes('^');
        let mut ranges = Vec::new();
        loop {
            let from = match self.rest.next()? {
                ']' if !ranges.is_empty() => return Some(Step::OneOf { ranges, negated }),
                '\\' => match escape(self.rest.next()?)? {
                    Step::Char(c) => c,
                    Step::OneOf {
                        ranges: inner,
                        negated: false,
                    } => {
                        ranges.extend(inner);
                        continue;
                    }
                    _ => return None,
                },
                c => c,
            };
            let mut to = from;
            if self.takes('-') {
                match self.rest.next()? {
                    ']' => {
                        ranges.extend([(from, from), ('-', '-')]);
                        return Some(Step::OneOf { ranges, negated });
                    }
                    '\\' => match escape(self.rest.next()?)? {
                        Step::Char(c) => to = c,
                        _ => return None,
                    },
                    c => to = c,
                }
            }
            if from > to {
                return None;
            }
            ranges.push((from, to));
        }
    }

    /// `atom` with the `*`, `+`, `?` or `{n,m}` that may stand behind it.
    fn repeated(&mut self, atom: Program) -> Option<Program> {
        let length = atom.len();
        let program = match self.rest.peek() {
            Some('*') => star(atom),
            Some('+') => [atom.clone(), star(atom)].concat(),
            Some('?') => optional(atom),
            Some('{') => match self.bounds() {
                Some((least, most)) => return times(&atom, least, most),
                // As Go: a brace that bounds nothing stands for itself.
                None => return Some(atom),
            },
            _ => return Some(atom),
        };
        self.rest.next();
        // Fewest first changes what is captured, not whether it fits.
        self.takes('?');
        let again = matches!(self.rest.peek(), Some('*' | '+' | '?'));
        (length <= STEPS_MAX && !again).then_some(program)
    }

    /// `{n}`, `{n,}` or `{n,m}`; consumed only when it is one.
    fn bounds(&mut self) -> Option<(usize, Option<usize>)> {
        let mut ahead = self.rest.clone();
        ahead.next();
        let text: String = ahead.by_ref().take_while(|c| *c != '}').collect();
        let (least, most) = match text.split_once(',') {
            Some((least, "")) => (least.parse().ok()?, None),
            Some((least, most)) => (least.parse().ok()?, Some(most.parse().ok()?)),
            None => (text.parse().ok()?, Some(text.parse().ok()?)),
        };
        self.rest = ahead;
        self.takes('?');
        Some((least, most))
    }
}

fn offset(steps: usize) -> isize {
    isize::try_from(steps).unwrap_or(0)
}

fn star(mut atom: Program) -> Program {
    let length = atom.len();
    atom.insert(0, Step::Split(1, offset(length + 2)));
    atom.push(Step::Jump(-offset(length + 1)));
    atom
}

fn optional(mut atom: Program) -> Program {
    atom.insert(0, Step::Split(1, offset(atom.len() + 1)));
    atom
}

fn times(atom: &Program, least: usize, most: Option<usize>) -> Option<Program> {
    let copies = most.unwrap_or(least);
    let is_sane = least <= copies && copies <= REPEAT_MAX;
    if !is_sane || (copies + 1) * (atom.len() + 2) > STEPS_MAX {
        return None;
    }
    let mut program = Program::new();
    for n in 0..copies {
        match n < least {
            true => program.extend(atom.iter().cloned()),
            false => program.extend(optional(atom.clone())),
        }
    }
    if most.is_none() {
        program.extend(star(atom.clone()));
    }
    Some(program)
}

/// What stands behind a backslash.
fn escape(c: char) -> Option<Step> {
    let ranges: &[(char, char)] = match c.to_ascii_lowercase() {
        'd' => &[('0', '9')],
        'w' => &[('0', '9'), ('A', 'Z'), ('_', '_'), ('a', 'z')],
        's' => &[('\t', '\n'), ('\u{c}', '\r'), (' ', ' ')],
        _ if c.is_ascii_punctuation() => return Some(Step::Char(c)),
        _ => return None,
    };
    Some(Step::OneOf {
        ranges: ranges.to_vec(),
        negated: c.is_ascii_uppercase(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_fit_as_in_go() {
        for (pattern, text, expected) in [
            ("eb", "web", true),
            ("", "web", true),
            ("^web$", "web", true),
            ("^/?web$", "/web", true),
            ("^eb", "web", false),
            ("we$", "web", false),
            ("web", "web2", true),
            ("w.b", "web", true),
            ("^w.*2$", "web-2", true),
            ("^w[a-e]+b$", "wabcb", true),
            ("^w[^a-e]b$", "web", false),
            ("^(web|db)-\\d+$", "db-12", true),
            ("^(web|db)-\\d+$", "web-", false),
            ("^(?:a|b|)c$", "c", true),
            ("^a{2,3}$", "aaa", true),
            ("^a{2,3}$", "aaaa", false),
            ("^a{2,}$", "aaaaa", true),
            ("^a{2}$", "a", false),
            ("^(a*)*$", "aaaa", true),
            ("^(a*)*$", "b", false),
            ("a{x}", "a{x}", true),
            ("^[\\w.-]+$", "a_B.9-", true),
            ("^[]a]+$", "a]", true),
            ("\\.", "web", false),
            ("é+$", "caféé", true),
            ("a|b$", "xa1", true),
        ] {
            let fits = Pattern::parse(pattern).unwrap().fits(text);
            assert_eq!(fits, expected, "{pattern} {text}");
        }
    }

    #[test]
    fn patterns_of_names_fit_as_in_go() {
        for (pattern, text, expected) in [
            ("busybox", "busybox", true),
            ("busy*", "busybox:latest", true),
            ("*box*t", "busybox:latest", true),
            ("b?sybox", "busybox", true),
            ("*", "a/b", false),
            ("*/*", "a/b", true),
            ("?", "/", false),
            ("busy", "busybox", false),
            ("busyboxx", "busybox", false),
            ("", "", true),
            ("*a*b", "aab", true),
            ("a[bc]d", "acd", true),
            ("a[^bc]d", "acd", false),
            ("a[b-d]e", "ace", true),
            ("a[d-b]e", "ace", false),
            ("a[\\]-\\]]b", "a]b", true),
            ("\\*", "*", true),
            ("\\*", "a", false),
            ("[\u{e0}-\u{ff}]", "\u{e4}", true),
            ("a.b", "axb", false),
        ] {
            let fits = Pattern::of_path(pattern).unwrap().fits(text);
            assert_eq!(fits, expected, "{pattern} {text}");
        }
        for pattern in ["[", "[]", "[]a]", "[-x]", "[x-]", "[a", "a\\", "[a-", "[^]"] {
            let error = Pattern::of_path(pattern).err();
            assert_eq!(
                error.unwrap().message,
                "syntax error in pattern",
                "{pattern}"
            );
        }
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        for text in [
            "(",
            ")",
            "[",
            "[a",
            "*a",
            "a**",
            "\\",
            "\\q",
            "[b-a]",
            "(?i)a",
            "a{1001}",
            "a{3,2}",
            "((a{1000}){1000}){1000}",
        ] {
            assert!(Pattern::parse(text).is_err(), "{text}");
        }
        assert!(Pattern::parse(&"(".repeat(100_000)).is_err());
        assert!(Pattern::parse(&"a?".repeat(100_000)).is_err());
    }

    #[test]
    fn no_pattern_takes_for_ever() {
        let pattern = format!("^{}{}$", "a?".repeat(200), "a".repeat(200));
        assert!(Pattern::parse(&pattern).unwrap().fits(&"a".repeat(300)));
        let nested = Pattern::parse("^(((a+)+)+)+$").unwrap();
        assert!(!nested.fits(&format!("{}b", "a".repeat(300))));
    }
}
