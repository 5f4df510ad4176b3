//! Lists of things, as tables, as JSON, or as a template says.

use super::format::Template;
use super::print;
use crate::error::Result;
use crate::json::node::quote;

/// One line of a list: names and texts, in the order of the alphabet (as Docker's JSON has them).
pub type Row = Vec<(&'static str, String)>;

fn row_json(row: &Row) -> String {
    let mut text = String::from("{");
    for (name, value) in row {
        if text.len() > 1 {
            text.push(',');
        }
        text.push_str(&quote(name));
        text.push(':');
        text.push_str(&quote(value));
    }
    text.push('}');
    text
}

/// A column's title: most are their field's name in capitals.
fn title(field: &str, id: &str) -> String {
    match field {
        "ID" => id,
        "RunningFor" | "CreatedSince" => "CREATED",
        "CreatedAt" => "CREATED AT",
        "LocalVolumes" => "LOCAL VOLUMES",
        "SharedSize" => "SHARED SIZE",
        "UniqueSize" => "UNIQUE SIZE",
        field => return field.to_ascii_uppercase(),
    }
    .to_string()
}

/// What a list can show.
pub struct Columns<'a> {
    pub fields: &'static [&'static str],
    /// The title of `ID`.
    pub id: &'static str,
    /// The template of `table` alone.
    pub table: &'a str,
}

/// Print `rows` as `--format` says.
pub fn list(format: &str, columns: &Columns<'_>, rows: &[Row]) -> Result<()> {
    let mut lines = Vec::new();
    if format == "json" {
        for row in rows {
            lines.push(row_json(row));
        }
    }
    let table = format.strip_prefix("table");
    let text = match table.map(str::trim) {
        _ if format == "json" => return print_lines(&lines),
        Some("") => columns.table,
        Some(template) => template,
        None => format,
    };
    // People write these two within single quotes.
    let template = Template::parse(&text.replace("\\t", "\t").replace("\\n", "\n"))?;
    if table.is_some() {
        let mut head: Row = Vec::new();
        for field in columns.fields {
            head.push((field, title(field, columns.id)));
        }
        lines.push(template.render(&row_json(&head))?);
    }
    for row in rows {
        lines.push(template.render(&row_json(row))?);
    }
    match table {
        Some(_) => print::out(print::table(&lines)),
        None => print_lines(&lines),
    }
}

fn print_lines(lines: &[String]) -> Result<()> {
    match lines {
        [] => Ok(()),
        lines => print::line(&lines.join("\n")),
    }
}
