//! `state` and `list`: runc's JSON and tables.

use super::help::refuse;
use super::{Global, text};
use crate::error::{Error, Kind, Result};
use crate::json;
use crate::json::node::quote;
use crate::oci::spec::VERSION;
use crate::runtime::list::{self, Item};
use crate::runtime::state::Status;
use lexopt::prelude::*;
use std::io::Write;

pub fn state(global: &Global, id: &str) -> Result<u8> {
    let item = list::find(&global.root, id)?;
    let text = object(&item, &passwd());
    write(&(indent(&text, "  ") + "\n"))
}

/// A state; runc's members, in runc's order.
fn object(item: &Item, passwd: &str) -> String {
    let record = &item.record;
    let annotations = match &record.annotations {
        Some(annotations) => format!(",\"annotations\":{}", json::to_string(annotations)),
        None => String::new(),
    };
    let [version, id, status, bundle, rootfs, created, owner] = [
        VERSION,
        &record.id,
        item.status.name(),
        &record.bundle,
        &record.rootfs,
        &record.created,
        &owner(item, passwd),
    ]
    .map(quote);
    format!(
        "{{\"ociVersion\":{version},\"id\":{id},\"pid\":{},\"status\":{status},\
        \"bundle\":{bundle},\"rootfs\":{rootfs},\"created\":{created}{annotations},\
        \"owner\":{owner}}}",
        pid(item)
    )
}

fn pid(item: &Item) -> i32 {
    match item.status {
        Status::Stopped => 0,
        _ => item.record.pid,
    }
}

pub fn passwd() -> String {
    std::fs::read_to_string("/etc/passwd").unwrap_or_default()
}

/// The user's name in the host's `passwd`, if it has one.
pub fn user_name(passwd: &str, uid: u32) -> Option<&str> {
    let number = uid.to_string();
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == number).then_some(name)
    })
}

fn owner(item: &Item, passwd: &str) -> String {
    match user_name(passwd, item.owner) {
        Some(name) => name.to_string(),
        None => format!("#{}", item.owner),
    }
}

pub fn list(global: &Global, mut args: lexopt::Parser) -> Result<u8> {
    let (mut quiet, mut is_json) = (false, false);
    while let Some(arg) = args.next()? {
        match arg {
            Short('q') | Long("quiet") => quiet = true,
            Short('f') | Long("format") => is_json = format_is_json(&text(&mut args)?)?,
            other => return Err(refuse("list", other)),
        }
    }
    let items = list::list(&global.root)?;
    let passwd = passwd();
    if quiet {
        let lines: Vec<String> = items
            .iter()
            .map(|item| item.record.id.clone() + "\n")
            .collect();
        return write(&lines.concat());
    }
    if is_json {
        let all: Vec<String> = items.iter().map(|item| object(item, &passwd)).collect();
        // Go's way to write an empty list that was never made.
        return match all.is_empty() {
            true => write("null\n"),
            false => write(&format!("[{}]\n", all.join(","))),
        };
    }
    write(&table(&items, &passwd))
}

/// Columns at least 12 wide, three blanks apart, as Go's tabwriter makes them for runc.
fn table(items: &[Item], passwd: &str) -> String {
    let head = ["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"].map(str::to_string);
    let mut rows = vec![head];
    for item in items {
        rows.push([
            item.record.id.clone(),
            pid(item).to_string(),
            item.status.name().to_string(),
            item.record.bundle.clone(),
            item.record.created.clone(),
            owner(item, passwd),
        ]);
    }
    let mut text = String::new();
    for row in &rows {
        for (column, cell) in row.iter().enumerate() {
            let width = rows.iter().map(|row| row[column].chars().count() + 3).max();
            let width = width.unwrap_or(0).max(12);
            match column + 1 < row.len() {
                true => text.push_str(&format!("{cell:<width$}")),
                false => text.push_str(cell),
            }
        }
        text.push('\n');
    }
    text
}

pub fn format_is_json(name: &str) -> Result<bool> {
    match name {
        "json" => Ok(true),
        "table" => Ok(false),
        _ => Err(Error::new(Kind::Usage, "invalid format option")),
    }
}

pub fn write(text: &str) -> Result<u8> {
    std::io::stdout()
        .write_all(text.as_bytes())
        .map_err(|error| Error::io("write", &error))?;
    Ok(0)
}

/// JSON that has no blanks, a member a line.
pub fn indent(text: &str, step: &str) -> String {
    let mut spaced = String::with_capacity(text.len() * 2);
    let (mut depth, mut in_string, mut is_escaped) = (0usize, false, false);
    let mut before = ' ';
    for letter in text.chars() {
        let was_in_string = in_string;
        if in_string {
            in_string = letter != '"' || is_escaped;
            is_escaped = letter == '\\' && !is_escaped;
        } else {
            in_string = letter == '"';
        }
        let mut line = |depth: usize| {
            spaced.push('\n');
            spaced.push_str(&step.repeat(depth));
        };
        let is_open = matches!(before, '{' | '[') && !was_in_string;
        match letter {
            '}' | ']' if !was_in_string => {
                depth = depth.saturating_sub(1);
                if !is_open {
                    line(depth);
                }
            }
            _ if is_open => line(depth),
            _ => {}
        }
        spaced.push(letter);
        match letter {
            '{' | '[' if !was_in_string => depth += 1,
            ',' if !was_in_string => {
                spaced.push('\n');
                spaced.push_str(&step.repeat(depth));
            }
            ':' if !was_in_string => spaced.push(' '),
            _ => {}
        }
        before = match was_in_string || in_string {
            true => ' ',
            false => letter,
        };
    }
    spaced
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_indented_as_go_does() {
        let text = r#"{"a":{},"b":[],"c":["x{,:\"}",1],"d":{"e":null}}"#;
        let expected = "{\n  \"a\": {},\n  \"b\": [],\n  \"c\": [\n    \"x{,:\\\"}\",\n    1\n  ],\n  \
            \"d\": {\n    \"e\": null\n  }\n}";
        assert_eq!(indent(text, "  "), expected);
    }
}
