//! Lists of things, as tables, as JSON, or as a template says.

use super::format::{Template, What};
use super::print;
use crate::error::{Error, Result};
use crate::json::node::quote;
use std::cmp::Ordering;

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
        match (*name, value.as_str()) {
            // Docker has an object there, for engines that tell of platforms.
            ("Platform", "") => text.push_str("null"),
            (_, value) => text.push_str(&escape(&quote(value))),
        }
    }
    text.push('}');
    text
}

/// The order in which people count: `net9` before `net10`.
pub fn natural(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a, b);
    loop {
        let digits = |text: &str| {
            let is_digit = |c: char| c.is_ascii_digit();
            text.find(|c| !is_digit(c)).unwrap_or(text.len())
        };
        let (here, there) = (digits(a), digits(b));
        if here > 0 && there > 0 {
            let (x, y) = (&a[..here], &b[..there]);
            let (p, q) = (x.trim_start_matches('0'), y.trim_start_matches('0'));
            let order = (p.len(), p, x.len()).cmp(&(q.len(), q, y.len()));
            if order.is_ne() {
                return order;
            }
            (a, b) = (&a[here..], &b[there..]);
            continue;
        }
        let (mut x, mut y) = (a.chars(), b.chars());
        match (x.next(), y.next()) {
            (Some(p), Some(q)) if p == q => (a, b) = (x.as_str(), y.as_str()),
            (p, q) => return p.cmp(&q),
        }
    }
}

/// All rows as one list.
pub fn json(rows: &[Row]) -> String {
    let rows: Vec<String> = rows.iter().map(row_json).collect();
    format!("[{}]", rows.join(","))
}

/// As Go writes JSON that might come to stand in a web page.
fn escape(json: &str) -> String {
    json.replace('<', "\\u003c")
        .replace('>', "\\u003e")
        .replace('&', "\\u0026")
}

/// A column's title: most are their field's name in capitals.
fn title(field: &str, id: &str) -> String {
    match field {
        "ID" => id,
        "Name" if id == "VOLUME NAME" => id,
        "RunningFor" | "CreatedSince" => "CREATED",
        "BlockIO" => "BLOCK I/O",
        "CPUPerc" => "CPU %",
        "CreatedAt" => "CREATED AT",
        "CreatedBy" => "CREATED BY",
        "LocalVolumes" => "LOCAL VOLUMES",
        "MemPerc" => "MEM %",
        "MemUsage" => "MEM USAGE / LIMIT",
        "NetIO" => "NET I/O",
        "TotalCount" => "TOTAL",
        "SharedSize" => "SHARED SIZE",
        "StarCount" => "STARS",
        "IsOfficial" => "OFFICIAL",
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
    let text = render(format, columns, rows).map_err(in_list)?;
    match text.is_empty() {
        true => Ok(()),
        false => print::out(text),
    }
}

/// `json`, `table`, `table TEMPLATE`, or a template for each row.
pub fn render(format: &str, columns: &Columns<'_>, rows: &[Row]) -> Result<String> {
    if format == "json" {
        let lines: Vec<String> = rows.iter().map(|row| row_json(row) + "\n").collect();
        return Ok(lines.concat());
    }
    let table = format.strip_prefix("table");
    let template = match table.map(|rest| rest.trim_matches(' ')) {
        Some("") => columns.table,
        Some(template) => template,
        None => format.trim_matches(' '),
    };
    // People write these two within single quotes.
    let template = Template::parse(&template.replace("\\t", "\t").replace("\\n", "\n"))?;
    let mut text = String::new();
    if table.is_some() {
        let mut head: Row = Vec::new();
        for field in columns.fields {
            head.push((field, title(field, columns.id)));
        }
        text.push_str(&template.render(&row_json(&head), What::Head)?);
        text.push('\n');
    }
    for row in rows {
        text.push_str(&template.render(&row_json(row), What::Row)?);
        text.push('\n');
    }
    Ok(match table {
        Some(_) => print::table(&text),
        None => text,
    })
}

/// Docker begins these errors in another way where lists are concerned.
fn in_list(mut error: Error) -> Error {
    if let Some(what) = error.message.strip_prefix("template parsing error: ") {
        let doing = match what.contains(" executing ") {
            true => "execute",
            false => "parse",
        };
        error.message = format!("failed to {doing} template: {what}");
    }
    error
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: Columns<'_> = Columns {
        fields: &["CreatedAt", "ID", "Labels", "Names"],
        id: "CONTAINER ID",
        table: "{{.ID}}\t{{.Names}}",
    };

    fn listed(format: &str) -> String {
        let row = |id: &str, names: &str| {
            let labels = "a.b-c=1,d=<2>".to_string();
            vec![
                ("CreatedAt", "now".to_string()),
                ("ID", id.to_string()),
                ("Labels", labels),
                ("Names", names.to_string()),
            ]
        };
        let rows = [row("1", "web"), row("2", "a \"b\"")];
        render(format, &COLUMNS, &rows).unwrap_or_else(|error| in_list(error).to_string())
    }

    #[test]
    fn rows_are_printed_as_the_format_says() {
        for (format, expected) in [
            ("{{.ID}}", "1\n2\n"),
            (
                "json",
                "{\"CreatedAt\":\"now\",\"ID\":\"1\",\"Labels\":\"a.b-c=1,d=\\u003c2\\u003e\",\"Names\":\"web\"}\n\
                 {\"CreatedAt\":\"now\",\"ID\":\"2\",\"Labels\":\"a.b-c=1,d=\\u003c2\\u003e\",\"Names\":\"a \\\"b\\\"\"}\n",
            ),
            ("{{json .ID}}", "\"1\"\n\"2\"\n"),
            (
                "table",
                "CONTAINER ID   NAMES\n1              web\n2              a \"b\"\n",
            ),
            ("table {{.Names}}", "NAMES\nweb\na \"b\"\n"),
            (
                "table {{upper .Names}}\\t{{.ID}}",
                "NAMES     CONTAINER ID\nWEB       1\nA \"B\"     2\n",
            ),
            ("table {{.Label \"a.b-c\"}}", "b c\n1\n1\n"),
            ("{{.Label \"d\"}}{{.Label \"e\"}}", "<2>\n<2>\n"),
            ("{{with .Label \"d\"}}{{.}}{{end}}\\n", "<2>\n\n<2>\n\n"),
        ] {
            assert_eq!(listed(format), expected, "{format}");
        }
    }

    #[test]
    fn numbers_within_names_count_as_numbers() {
        let mut names = ["b", "a10", "a9", "a9b", "a", "a09", "", "a2-10", "a2-9"];
        names.sort_by(|a, b| natural(a, b));
        assert_eq!(
            names,
            ["", "a", "a2-9", "a2-10", "a9", "a9b", "a09", "a10", "b"]
        );
    }

    #[test]
    fn an_unknown_field_is_an_error_that_names_the_known_ones() {
        assert_eq!(
            listed("{{if .Foo}}{{end}}"),
            "failed to execute template: template: :1:5: executing \"\" at <.Foo>: can't evaluate \
             field Foo; there is CreatedAt, ID, Labels, Names"
        );
        assert!(listed("{{.ID 1}}").contains("not a method"));
        assert_eq!(
            listed("{{.ID"),
            "failed to parse template: template: :1: unclosed action"
        );
    }
}
