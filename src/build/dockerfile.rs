//! The text of a Dockerfile as a list of instructions (buildkit, frontend/dockerfile/parser).
//!
//! What can be wrong with an instruction without knowing any value is told here, with its line,
//! before anything runs.

use crate::error::{Context, Error, Result};
use crate::image::change::{self, Instruction};
use crate::image::words;
use crate::oci::image::Config;

/// Such a line is no longer than this, nor is the file (moby reads lines of 64 kB at most).
pub const BYTES_MAX: usize = 1 << 20;

pub struct Dockerfile {
    pub lines: Vec<Line>,
    pub escape: char,
    /// For people.
    pub warnings: String,
}

/// One instruction, which may stand on several lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    pub number: usize,
    /// In capitals.
    pub name: String,
    /// As it was written, continuation lines joined.
    pub original: String,
    pub flags: Vec<String>,
    pub rest: String,
    pub heredocs: Vec<Heredoc>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heredoc {
    pub name: String,
    pub content: String,
    /// Its name was not quoted: variables count.
    pub expands: bool,
    /// `<<-`: tabs at the beginning of a line do not belong to it.
    pub chomps: bool,
}

pub fn parse(bytes: &[u8]) -> Result<Dockerfile> {
    let text = String::from_utf8_lossy(bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes));
    let raw: Vec<&str> = text.split_inclusive('\n').collect();
    let escape = directives(&raw).context(|| "failed to parse Dockerfile")?;
    let mut file = Dockerfile {
        lines: Vec::new(),
        escape,
        warnings: String::new(),
    };
    let mut reader = Reader { raw: &raw, at: 0 };
    while let Some((number, line, has_gap)) = reader.logical(escape) {
        if has_gap {
            file.warnings.push_str(&format!(
                "[WARNING]: Empty continuation line found in:\n    {line}\n"
            ));
        }
        let parsed = instruction(number, &line, escape, &mut reader);
        let parsed = parsed.and_then(|line| check(&line, escape).map(|()| line));
        let place = || format!("dockerfile parse error on line {number}");
        file.lines.push(parsed.context(place)?);
    }
    if !file.warnings.is_empty() {
        file.warnings.push_str(
            "[WARNING]: Empty continuation lines will become errors in a future release.\n",
        );
    }
    match file.lines.first() {
        Some(_) => Ok(file),
        None => Err(Error::invalid(
            "failed to parse Dockerfile: file with no instructions",
        )),
    }
}

/// The instruction that an image has kept for those who build on it.
pub fn trigger(text: &str) -> Result<Line> {
    let raw: Vec<&str> = text.split_inclusive('\n').collect();
    let mut reader = Reader { raw: &raw, at: 0 };
    let (_, line, _) = reader
        .logical('\\')
        .ok_or_else(|| Error::invalid("onbuild trigger should be a single expression"))?;
    let line = instruction(1, &line, '\\', &mut reader)?;
    check(&line, '\\').map(|()| line)
}

/// `# escape=`, `# syntax=` and `# check=`, as long as nothing else has come. Answers what escapes.
fn directives(raw: &[&str]) -> Result<char> {
    let mut escape = '\\';
    let mut seen: Vec<String> = Vec::new();
    for line in raw {
        let Some(comment) = line.trim_start().strip_prefix('#') else {
            break;
        };
        let Some((key, value)) = comment.split_once('=') else {
            break;
        };
        let (key, value) = (key.trim().to_ascii_lowercase(), value.trim());
        if !matches!(&key[..], "escape" | "syntax" | "check") || value.is_empty() {
            break;
        }
        if seen.contains(&key) {
            return Err(Error::invalid(format!(
                "only one {key} parser directive can be used"
            )));
        }
        if key == "escape" {
            escape = match value {
                "\\" => '\\',
                "`" => '`',
                other => {
                    return Err(Error::invalid(format!(
                        "invalid escape token '{other}' does not match ` or \\"
                    )));
                }
            };
        }
        seen.push(key);
    }
    Ok(escape)
}

struct Reader<'a> {
    raw: &'a [&'a str],
    at: usize,
}

impl<'a> Reader<'a> {
    fn next(&mut self) -> Option<&'a str> {
        let line = self.raw.get(self.at)?;
        self.at += 1;
        Some(line)
    }

    /// The next line that is not empty, with those that continue it: its number, and whether there
    /// are empty lines in it.
    fn logical(&mut self, escape: char) -> Option<(usize, String, bool)> {
        loop {
            let line = self.next()?.trim_start();
            let (text, mut goes_on) = continued(line, escape);
            if line.starts_with('#') || (text.is_empty() && !goes_on) {
                continue;
            }
            let number = self.at;
            let mut joined = text.to_string();
            let mut has_gap = false;
            while goes_on && let Some(line) = self.next() {
                let trimmed = line.trim_start();
                if trimmed.starts_with('#') {
                    continue;
                }
                if trimmed.is_empty() {
                    has_gap = true;
                    continue;
                }
                let (text, more) = continued(line, escape);
                joined.push_str(text);
                goes_on = more;
            }
            if !joined.trim().is_empty() {
                return Some((number, joined, has_gap));
            }
        }
    }

    /// The lines up to the one that is the here-document's name.
    fn heredoc(&mut self, heredoc: &mut Heredoc) -> Result<()> {
        while let Some(line) = self.next() {
            let mut end = line.trim_end_matches(['\n', '\r']);
            if heredoc.chomps {
                end = end.trim_start_matches('\t');
            }
            if end == heredoc.name {
                return Ok(());
            }
            heredoc.content.push_str(line);
        }
        Err(Error::invalid("unterminated heredoc"))
    }
}

/// A line without its end, and whether the next one continues it: then the escape is its last
/// character but for spaces.
fn continued(line: &str, escape: char) -> (&str, bool) {
    let line = line.trim_end_matches(['\n', '\r']);
    match line.trim_end_matches([' ', '\t']).strip_suffix(escape) {
        Some(text) if !text.ends_with(escape) => (text, true),
        _ => (line, false),
    }
}

fn instruction(number: usize, line: &str, escape: char, reader: &mut Reader<'_>) -> Result<Line> {
    let (name, rest) = change::split(line);
    let (flags, rest) = change::flags(rest);
    let mut parsed = Line {
        number,
        name: name.to_ascii_uppercase(),
        original: line.trim().to_string(),
        flags,
        rest: rest.to_string(),
        heredocs: Vec::new(),
    };
    if can_have_heredocs(&parsed) {
        for word in words::split(rest, escape) {
            if let Some(mut heredoc) = heredoc(&word) {
                reader.heredoc(&mut heredoc)?;
                if parsed.name == "ONBUILD" {
                    // It is kept as text, and read when it is run.
                    let (content, name) = (&heredoc.content, &heredoc.name);
                    parsed.rest.push_str(&format!("\n{content}{name}"));
                }
                parsed.heredocs.push(heredoc);
            }
        }
    }
    Ok(parsed)
}

fn can_have_heredocs(line: &Line) -> bool {
    let words = line.rest.split_whitespace().next();
    match &line.name[..] {
        "RUN" => !line.rest.starts_with('['),
        "ADD" | "COPY" => true,
        "ONBUILD" => words.is_some_and(|word| {
            ["RUN", "ADD", "COPY"]
                .iter()
                .any(|name| word.eq_ignore_ascii_case(name))
        }),
        _ => false,
    }
}

/// `<<NAME`, `<<-NAME`, `3<<"NAME"`.
pub fn heredoc(word: &str) -> Option<Heredoc> {
    let rest = word.trim_start_matches(|c: char| c.is_ascii_digit());
    let rest = rest.strip_prefix("<<")?;
    let (chomps, quoted) = match rest.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, rest),
    };
    if quoted.is_empty() || quoted.contains('<') {
        return None;
    }
    let name = words::expand(quoted, '\\', &|_| None).ok()?;
    if name.is_empty() {
        return None;
    }
    Some(Heredoc {
        expands: name == quoted,
        name,
        content: String::new(),
        chomps,
    })
}

impl Heredoc {
    /// Its content as it is meant.
    pub fn text(&self) -> String {
        if !self.chomps {
            return self.content.clone();
        }
        let lines = self.content.split_inclusive('\n');
        lines.map(|line| line.trim_start_matches('\t')).collect()
    }
}

/// What is wrong with an instruction, whatever its variables are worth.
fn check(line: &Line, escape: char) -> Result<()> {
    let name = &line.name[..];
    let count = arguments(line, escape)?.len();
    match name {
        _ if change::is_known(name) => {
            let instruction = Instruction {
                name,
                flags: &line.flags,
                rest: &line.rest,
                escape,
                values: None,
            };
            instruction.apply(&mut Config::default()).map(drop)
        }
        "ARG" | "RUN" if line.rest.is_empty() => Err(Error::invalid(format!(
            "{name} requires at least one argument"
        ))),
        "ARG" => known_flags(line, &[]),
        "RUN" => {
            change::list(&line.rest)?;
            known_flags(line, &["mount", "network", "security", "device"])
        }
        "FROM" => {
            let words: Vec<&str> = line.rest.split_whitespace().collect();
            match words[..] {
                [_] => {}
                [_, is, stage] if is.eq_ignore_ascii_case("as") => check_stage_name(stage)?,
                _ => {
                    return Err(Error::invalid(
                        "FROM requires either one or three arguments",
                    ));
                }
            }
            known_flags(line, &["platform"])
        }
        "ADD" | "COPY" if count < 2 => Err(Error::invalid(format!(
            "{name} requires at least two arguments, but only one was provided. Destination could not be determined"
        ))),
        "COPY" => known_flags(
            line,
            &["from", "chown", "chmod", "link", "exclude", "parents"],
        ),
        "ADD" => known_flags(
            line,
            &[
                "chown",
                "chmod",
                "link",
                "checksum",
                "keep-git-dir",
                "exclude",
                "unpack",
            ],
        ),
        _ => Err(Error::invalid(format!("unknown instruction: {name}"))),
    }
}

fn known_flags(line: &Line, known: &[&str]) -> Result<()> {
    for flag in &line.flags {
        let name = flag.trim_start_matches('-');
        let (name, value) = name.split_once('=').unwrap_or((name, ""));
        if !known.contains(&name) {
            return Err(Error::invalid(format!("Unknown flag: {name}")));
        }
        if value.is_empty() && !matches!(name, "link" | "parents" | "keep-git-dir" | "unpack") {
            return Err(Error::invalid(format!("Missing a value on flag: {name}")));
        }
    }
    Ok(())
}

fn check_stage_name(name: &str) -> Result<()> {
    let lower = name.to_ascii_lowercase();
    let is_fine = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_.".contains(&b);
    match lower.bytes().next().is_some_and(|b| b.is_ascii_lowercase()) && lower.bytes().all(is_fine)
    {
        true => Ok(()),
        false => Err(Error::invalid(format!(
            "invalid name for build stage: {name:?}, name can't start with a number or contain symbols"
        ))),
    }
}

/// The words of ADD and COPY: a list in JSON, or what stands between spaces.
pub fn arguments(line: &Line, escape: char) -> Result<Vec<String>> {
    if !matches!(&line.name[..], "ADD" | "COPY") {
        return Ok(Vec::new());
    }
    Ok(match change::list(&line.rest)? {
        Some(list) => list,
        None => words::split(&line.rest, escape),
    })
}

impl Line {
    /// The value of a flag; empty without one. The last of them counts.
    pub fn flag(&self, name: &str) -> &str {
        self.all(name).last().copied().unwrap_or_default()
    }

    pub fn all(&self, name: &str) -> Vec<&str> {
        let pairs = self
            .flags
            .iter()
            .filter_map(|flag| flag.trim_start_matches('-').split_once('='));
        pairs
            .filter(|(known, _)| *known == name)
            .map(|(_, value)| value)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<(usize, String, String)> {
        let file = parse(text.as_bytes()).unwrap();
        let of = |line: Line| (line.number, line.name, line.rest);
        file.lines.into_iter().map(of).collect()
    }

    fn expected(list: &[(usize, &str, &str)]) -> Vec<(usize, String, String)> {
        let of = |(n, name, rest): &(usize, &str, &str)| (*n, name.to_string(), rest.to_string());
        list.iter().map(of).collect()
    }

    #[test]
    fn lines_are_joined_and_comments_left_out() {
        let text = "\u{feff}# note\n\n from a as b\nRUN one \\\n  # inside\n\n  two\\  \n three\r\nRUN four \\\\\n";
        assert_eq!(
            lines(text),
            expected(&[
                (3, "FROM", "a as b"),
                (4, "RUN", "one   two three"),
                (9, "RUN", "four \\\\"),
            ])
        );
        assert!(parse(text.as_bytes()).unwrap().warnings.contains("Empty"));
        let text = "# escape=`\nFROM a\nRUN dir c:\\`\n x";
        assert_eq!(
            lines(text),
            expected(&[(2, "FROM", "a"), (3, "RUN", "dir c:\\ x")])
        );
        // Behind another comment it is none any more.
        let text = "# x\n# escape=`\nFROM a\nRUN b `\n";
        assert_eq!(lines(text)[1].2, "b `");
    }

    #[test]
    fn here_documents_belong_to_their_instruction() {
        let text = "FROM a\nRUN <<EOF\n# no comment\nls \\\nEOF\nCOPY <<-\"A B\" 3<<c /x/\n\ttabs $x\n\tA B\nsecond\nc\nCMD x <<y\n";
        let file = parse(text.as_bytes()).unwrap();
        let all: Vec<Heredoc> = file.lines.iter().flat_map(|l| l.heredocs.clone()).collect();
        let shown: Vec<(&str, String, bool)> = all
            .iter()
            .map(|h| (&h.name[..], h.text(), h.expands))
            .collect();
        assert_eq!(
            shown,
            [
                ("EOF", "# no comment\nls \\\n".to_string(), true),
                ("A B", "tabs $x\n".to_string(), false),
                ("c", "second\n".to_string(), true),
            ]
        );
        assert_eq!(file.lines[3].number, 11);
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line_in_dockers_words() {
        for (text, message) in [
            (
                "FROM a\n\nFOO bar\n",
                "dockerfile parse error on line 3: unknown instruction: FOO",
            ),
            (
                "# x\n",
                "failed to parse Dockerfile: file with no instructions",
            ),
            (
                "#escape=x\nFROM a",
                "failed to parse Dockerfile: invalid escape token 'x' does not match ` or \\",
            ),
            (
                "#escape=`\n#escape=`\nFROM a",
                "failed to parse Dockerfile: only one escape parser directive can be used",
            ),
            (
                "FROM a\nENV A\n",
                "dockerfile parse error on line 2: ENV must have two arguments",
            ),
            (
                "FROM a\nENV a=b c\n",
                "dockerfile parse error on line 2: Syntax error - can't find = in \"c\". Must be of the form: name=value",
            ),
            (
                "FROM a\nCOPY a\n",
                "dockerfile parse error on line 2: COPY requires at least two arguments, but only one was provided. Destination could not be determined",
            ),
            (
                "FROM a AS 1x",
                "dockerfile parse error on line 1: invalid name for build stage: \"1x\", name can't start with a number or contain symbols",
            ),
            (
                "FROM a b",
                "dockerfile parse error on line 1: FROM requires either one or three arguments",
            ),
            (
                "FROM a\nCOPY --foo=1 a b",
                "dockerfile parse error on line 2: Unknown flag: foo",
            ),
            (
                "FROM a\nCOPY --from a b",
                "dockerfile parse error on line 2: Missing a value on flag: from",
            ),
            (
                "FROM a\nRUN [\"a\", 1]",
                "dockerfile parse error on line 2: when using JSON array syntax, arrays must be comprised of strings only",
            ),
            (
                "FROM a\nSHELL x",
                "dockerfile parse error on line 2: SHELL requires the arguments to be in JSON form",
            ),
            (
                "FROM a\nRUN <<E\nx\n",
                "dockerfile parse error on line 2: unterminated heredoc",
            ),
            (
                "FROM a\nUSER\n",
                "dockerfile parse error on line 2: USER requires exactly one argument",
            ),
            (
                "FROM a\nARG\n",
                "dockerfile parse error on line 2: ARG requires at least one argument",
            ),
            (
                "FROM a\nVOLUME [\"\"]",
                "dockerfile parse error on line 2: VOLUME specified can not be an empty string",
            ),
            (
                "FROM a\nHEALTHCHECK foo",
                "dockerfile parse error on line 2: Unknown type \"FOO\" in HEALTHCHECK (try CMD)",
            ),
        ] {
            let error = parse(text.as_bytes()).err().map(|e| e.to_string());
            assert_eq!(error.as_deref(), Some(message), "{text:?}");
        }
    }

    /// Pieces of Dockerfiles thrown together by a fixed seed: whatever comes, an answer comes.
    #[test]
    fn nothing_makes_the_parser_panic() {
        const PIECES: &[&str] = &[
            "FROM",
            " ",
            "a",
            "\n",
            "\\",
            "\\\n",
            "RUN",
            "<<",
            "-",
            "EOF",
            "\"",
            "'",
            "[",
            "]",
            ",",
            "${",
            "}",
            ":-",
            "$x",
            "#",
            "escape=",
            "`",
            "COPY",
            "--from=",
            "=",
            "ENV",
            "\t",
            "HEALTHCHECK",
            "CMD",
            "--interval=",
            "99999999999999999999s",
            "EXPOSE",
            "1-65535",
            "ONBUILD",
            "LABEL",
            "\u{feff}",
            "\u{e4}\u{20ac}",
            "\0",
            "\r\n",
            "VOLUME",
            "WORKDIR",
            "ARG",
            "SHELL",
            "AS",
            "..",
            "/",
        ];
        let mut seed = 0x5eed_u64;
        let mut random = |below: usize| {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            usize::try_from(seed % below as u64).unwrap()
        };
        let mut accepted = 0;
        for _ in 0..20_000 {
            let mut text = String::from("FROM a\n");
            for _ in 0..random(24) {
                text.push_str(PIECES[random(PIECES.len())]);
            }
            if let Ok(file) = parse(text.as_bytes()) {
                accepted += 1;
                for line in &file.lines {
                    let values: words::Values<'_> = &|_| Some("v".into());
                    let _ = words::expand(&line.rest, file.escape, values);
                    let instruction = Instruction {
                        name: &line.name,
                        flags: &line.flags,
                        rest: &line.rest,
                        escape: file.escape,
                        values: Some(values),
                    };
                    if change::is_known(&line.name) {
                        let _ = instruction.apply(&mut Config::default());
                    }
                }
            }
        }
        assert!(accepted > 100, "{accepted}");
    }
}
