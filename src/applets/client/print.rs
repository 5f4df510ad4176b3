//! Text for people: checked writes, wrapped lines, tables.

use crate::error::{Error, Kind, Result};
use std::io::{self, Write};

/// Write to standard output. A reader that has gone ends the program without a word.
pub fn out(bytes: impl AsRef<[u8]>) -> Result<()> {
    let mut stdout = io::stdout().lock();
    let written = stdout.write_all(bytes.as_ref());
    check(written.and_then(|()| stdout.flush()), "standard output")
}

pub fn line(text: &str) -> Result<()> {
    out(format!("{text}\n"))
}

/// Write to standard error.
pub fn err(bytes: impl AsRef<[u8]>) -> Result<()> {
    check(io::stderr().write_all(bytes.as_ref()), "standard error")
}

fn check(written: io::Result<()>, to: &str) -> Result<()> {
    written.map_err(|error| match error.kind() {
        // As `head` does to its writers. `Help` is the kind that is no failure.
        io::ErrorKind::BrokenPipe => Error::new(Kind::Help, ""),
        _ => Error::io(format_args!("write to {to}"), &error),
    })
}

/// A terminal's width; Docker's client wraps there too when it cannot know better.
const COLUMNS: usize = 80;

/// Add `text` to what ends at column `indent`, broken at blanks, further lines indented.
pub fn wrap(to: &mut String, indent: usize, text: &str) {
    let start = to.len() - to.rfind('\n').map_or(0, |at| at + 1);
    let mut column = start.max(indent);
    if to.ends_with('\n') || to.is_empty() {
        to.push_str(&" ".repeat(indent));
    }
    for (n, word) in text.split(' ').enumerate() {
        if n > 0 && column + 1 + word.len() > COLUMNS {
            to.push('\n');
            to.push_str(&" ".repeat(indent));
            column = indent;
        } else if n > 0 {
            to.push(' ');
            column += 1;
        }
        to.push_str(word);
        column += word.len();
    }
    to.push('\n');
}

/// Columns of lines whose cells end with tabs, as Docker's client sets them up: at least 10 wide,
/// 3 blanks between them, nothing behind the last.
pub fn table(lines: &[String]) -> String {
    let rows: Vec<Vec<&str>> = lines
        .iter()
        .map(|line| line.split('\t').collect())
        .collect();
    let mut widths: Vec<usize> = Vec::new();
    for row in &rows {
        for (n, cell) in row.iter().take(row.len() - 1).enumerate() {
            let width = (cell.chars().count() + 3).max(10);
            match widths.get_mut(n) {
                Some(widest) => *widest = width.max(*widest),
                None => widths.push(width),
            }
        }
    }
    let mut text = String::new();
    for row in &rows {
        for (n, cell) in row.iter().enumerate() {
            text.push_str(cell);
            if n + 1 < row.len() {
                text.push_str(&" ".repeat(widths[n] - cell.chars().count()));
            }
        }
        text.push('\n');
    }
    text
}

/// At most `max` characters, the last of them `…` where something was cut.
pub fn ellipsis(text: &str, max: usize) -> String {
    if text.chars().count() <= max {
        return text.to_string();
    }
    text.chars().take(max - 1).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let lines = ["ID\tNAME\tSIZE", "1\té…\t3", "123456789\ta longer name\t"];
        assert_eq!(
            table(&lines.map(String::from)),
            "ID          NAME            SIZE\n\
             1           é…              3\n\
             123456789   a longer name   \n"
        );
    }

    #[test]
    fn long_lines_break_at_blanks() {
        let mut text = String::from("  -x   ");
        wrap(&mut text, 7, &"word ".repeat(20));
        assert!(text.lines().all(|line| line.len() <= 80), "{text}");
        assert!(
            text.lines()
                .skip(1)
                .all(|line| line.starts_with("       w")),
            "{text}"
        );
    }

    #[test]
    fn long_text_is_cut_by_characters() {
        assert_eq!(ellipsis("ééé", 3), "ééé");
        assert_eq!(ellipsis("éééé", 3), "éé…");
    }
}
