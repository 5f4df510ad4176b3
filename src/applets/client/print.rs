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

/// Lines whose cells end with tabs, as Go's tabwriter sets them for Docker's client: a column of
/// lines that follow each other is at least 10 wide, with 3 blanks to the next; nothing is put
/// behind the last cell. Letters count one, however wide a terminal shows them.
pub fn table(text: &str) -> String {
    table_of(text, 10)
}

/// The same with columns of another least width.
pub fn table_of(text: &str, least: usize) -> String {
    let rows: Vec<Vec<&str>> = text
        .lines()
        .map(|line| line.split('\t').collect())
        .collect();
    // A line's last cell is in no column.
    let has = |row: &Vec<&str>, column: usize| column + 1 < row.len();
    let width = |row: &Vec<&str>, column: usize| (row[column].chars().count() + 3).max(least);
    // Per column: the width of the block that the last line seen is in.
    let mut widths: Vec<Vec<usize>> = vec![Vec::new(); rows.len()];
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    for column in 0..columns {
        let mut at = 0;
        while at < rows.len() {
            let block = rows[at..].iter().take_while(|row| has(row, column)).count();
            let widest = rows[at..at + block]
                .iter()
                .map(|row| width(row, column))
                .max();
            for widths in &mut widths[at..at + block] {
                widths.extend(widest);
            }
            at += block.max(1);
        }
    }
    let mut text = String::new();
    for (row, widths) in rows.iter().zip(&widths) {
        for (n, cell) in row.iter().enumerate() {
            text.push_str(cell);
            if let Some(width) = widths.get(n) {
                text.push_str(&" ".repeat(width - cell.chars().count()));
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
        let lines = "ID\tNAME\tSIZE\n1\té…\t3\n123456789\ta longer name\t\n";
        assert_eq!(
            table(lines),
            "ID          NAME            SIZE\n\
             1           é…              3\n\
             123456789   a longer name   \n"
        );
    }

    #[test]
    fn a_line_without_a_cell_begins_a_new_block() {
        assert_eq!(
            table("a long cell here\tb\nalone\nx\ty\n"),
            "a long cell here   b\nalone\nx         y\n"
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
