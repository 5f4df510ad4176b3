//! `.dockerignore`: what of a directory is no part of the context (moby/patternmatcher).

use crate::build::pattern::fits;

pub struct Ignore(Vec<Pattern>);

struct Pattern {
    /// `!`: what fits is not ignored after all.
    is_exception: bool,
    /// The names on the way; `**` stands for any number of them.
    parts: Vec<Vec<u8>>,
}

impl Ignore {
    pub fn parse(text: &[u8]) -> Ignore {
        let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
        let lines = text.split(|byte| *byte == b'\n');
        Ignore(lines.filter_map(pattern).collect())
    }

    /// Whether what lies at `path` is ignored: the last pattern decides that fits it, or a directory
    /// above it.
    pub fn ignores(&self, path: &[u8]) -> bool {
        let names: Vec<&[u8]> = path
            .split(|b| *b == b'/')
            .filter(|n| !n.is_empty())
            .collect();
        let decisive = self.0.iter().rev().find(|pattern| pattern.fits(&names));
        decisive.is_some_and(|pattern| !pattern.is_exception)
    }

    /// Whether something below an ignored directory may be an exception.
    pub fn may_spare_below(&self, path: &[u8]) -> bool {
        let names: Vec<&[u8]> = path
            .split(|b| *b == b'/')
            .filter(|n| !n.is_empty())
            .collect();
        self.0
            .iter()
            .any(|pattern| pattern.is_exception && pattern.may_fit_below(&names))
    }
}

fn pattern(line: &[u8]) -> Option<Pattern> {
    // In the first column only.
    if line.starts_with(b"#") {
        return None;
    }
    let line = line.trim_ascii();
    let (is_exception, line) = match line.strip_prefix(b"!") {
        Some(rest) => (true, rest.trim_ascii()),
        None => (false, line),
    };
    let mut parts: Vec<Vec<u8>> = Vec::new();
    for part in line.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            // What lies above the context is not in it.
            b".." => drop(parts.pop()?),
            b"**" => {
                if parts.last().is_none_or(|last| last != b"**") {
                    parts.push(part.to_vec());
                }
            }
            // `**.go` is `**/*.go`.
            _ => match part.strip_prefix(b"**") {
                Some(rest) => {
                    parts.push(b"**".to_vec());
                    parts.push([b"*", rest].concat());
                }
                None => parts.push(part.to_vec()),
            },
        }
    }
    (!parts.is_empty()).then_some(Pattern {
        is_exception,
        parts,
    })
}

impl Pattern {
    /// Whether it fits the whole of a path or of a directory above it.
    fn fits(&self, names: &[&[u8]]) -> bool {
        let at = self.reached(names, self.parts.len());
        at.iter().skip(1).any(|reached| *reached)
    }

    fn may_fit_below(&self, names: &[&[u8]]) -> bool {
        (0..self.parts.len()).any(|count| self.reached(names, count)[names.len()])
            || self.parts.first().is_some_and(|part| part == b"**")
    }

    /// After how many names the first `count` parts can be done.
    fn reached(&self, names: &[&[u8]], count: usize) -> Vec<bool> {
        let mut at = vec![false; names.len() + 1];
        at[0] = true;
        for (n, part) in self.parts[..count].iter().enumerate() {
            let mut next = vec![false; at.len()];
            if part == b"**" {
                // At the end it stands for something.
                let least = usize::from(n + 1 == self.parts.len());
                if let Some(first) = at.iter().position(|reached| *reached) {
                    next.iter_mut()
                        .skip(first + least)
                        .for_each(|reached| *reached = true);
                }
            } else {
                for (i, name) in names.iter().enumerate() {
                    next[i + 1] = at[i] && fits(part, name);
                }
            }
            at = next;
        }
        at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_ignore_what_docker_ignores() {
        for (patterns, path, expected) in [
            ("a", "a", true),
            ("a", "a/b", true),
            ("a", "b/a", false),
            ("/a/", "a", true),
            ("./a/../b", "b", true),
            ("../a", "a", false),
            ("# a\n\n  \n b ", "b", true),
            ("#a", "#a", false),
            ("*", "a/b", true),
            ("*.md", "x.md", true),
            ("*.md", "d/x.md", false),
            ("*/x", "d/x", true),
            ("**/x.md", "x.md", true),
            ("**/x.md", "d/e/x.md", true),
            ("**/x/**", "d/x/y", true),
            ("d/**", "d/e/f", true),
            ("d/**", "d", false),
            ("**", "a", true),
            ("**.go", "d/e/f.go", true),
            ("d/**/f", "d/f", true),
            ("d/**/f", "d/e/g/f/h", true),
            ("*\n!a", "a", false),
            ("*\n!a", "a/b", false),
            ("*\n!a/b", "a/b", false),
            ("*\n!a/b", "a/c", true),
            ("!a\n*", "a", true),
            ("*.md\n!README*.md\nREADME-secret.md", "README.md", false),
            (
                "*.md\n!README*.md\nREADME-secret.md",
                "README-secret.md",
                true,
            ),
            ("\u{feff}a", "a", true),
            ("a[", "a[", false),
            ("a\r", "a", true),
            ("! a", "a", false),
        ] {
            let ignore = Ignore::parse(patterns.as_bytes());
            assert_eq!(
                ignore.ignores(path.as_bytes()),
                expected,
                "{patterns:?} {path}"
            );
        }
    }

    #[test]
    fn a_directory_is_entered_for_the_sake_of_an_exception() {
        let ignore = Ignore::parse(b"*\n!a/b/c\n!d*/e");
        for (path, expected) in [
            ("a", true),
            ("a/b", true),
            ("a/c", false),
            ("x", false),
            ("dx", true),
        ] {
            assert_eq!(ignore.may_spare_below(path.as_bytes()), expected, "{path}");
        }
        assert!(Ignore::parse(b"*\n!**/x").may_spare_below(b"a/b/c"));
        assert!(!Ignore::parse(b"*").may_spare_below(b"a"));
    }
}
