//! `state`, `list` and `ps`: runc's JSON and tables.

use super::{Global, need_id, text};
use crate::error::{Error, Kind, Result};
use crate::json;
use crate::oci::spec::VERSION;
use crate::runtime::kill;
use crate::runtime::list::{self, Item};
use crate::runtime::state::Status;
use lexopt::prelude::*;
use std::io::Write;

pub fn state(global: &Global, id: &str) -> Result<u8> {
    let item = list::find(&global.root, id)?;
    let mut text = String::from("{\n");
    let members = members(&item);
    for (at, (name, value)) in members.iter().enumerate() {
        let comma = if at + 1 < members.len() { "," } else { "" };
        text.push_str(&format!("  \"{name}\": {value}{comma}\n"));
    }
    text.push_str("}\n");
    write(&text)
}

/// The members of a state, with values in JSON; runc's, in runc's order.
fn members(item: &Item) -> Vec<(&'static str, String)> {
    let record = &item.record;
    let mut members = vec![
        ("ociVersion", json::to_string(&VERSION)),
        ("id", json::to_string(&record.id)),
        ("pid", pid(item).to_string()),
        ("status", json::to_string(&item.status.name())),
        ("bundle", json::to_string(&record.bundle)),
        ("rootfs", json::to_string(&record.rootfs)),
        ("created", json::to_string(&record.created)),
    ];
    if let Some(annotations) = &record.annotations {
        members.push(("annotations", json::to_string(annotations)));
    }
    members.push(("owner", json::to_string(&owner(item))));
    members
}

fn pid(item: &Item) -> i32 {
    match item.status {
        Status::Stopped | Status::Creating => 0,
        _ => item.record.pid,
    }
}

/// The user's name, or its number where it has none.
fn owner(item: &Item) -> String {
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let number = item.owner.to_string();
    let name = passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == number).then(|| name.to_string())
    });
    name.unwrap_or(format!("#{number}"))
}

pub fn list(global: &Global, mut args: lexopt::Parser) -> Result<u8> {
    let (mut quiet, mut is_json) = (false, false);
    while let Some(arg) = args.next()? {
        match arg {
            Short('q') | Long("quiet") => quiet = true,
            Short('f') | Long("format") => is_json = format_is_json(&text(&mut args)?)?,
            other => return Err(other.unexpected().into()),
        }
    }
    let items = list::list(&global.root)?;
    if quiet {
        let lines: Vec<String> = items
            .iter()
            .map(|item| item.record.id.clone() + "\n")
            .collect();
        return write(&lines.concat());
    }
    if is_json {
        let all: Vec<String> = items.iter().map(object).collect();
        // Go's way to write an empty list that was never made.
        return match all.is_empty() {
            true => write("null"),
            false => write(&format!("[{}]", all.join(","))),
        };
    }
    write(&table(&items))
}

fn object(item: &Item) -> String {
    let members: Vec<String> = members(item)
        .iter()
        .map(|(name, value)| format!("\"{name}\":{value}"))
        .collect();
    format!("{{{}}}", members.join(","))
}

/// Columns at least 12 wide, three blanks apart, as Go's tabwriter makes them for runc.
fn table(items: &[Item]) -> String {
    let head = ["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"].map(str::to_string);
    let mut rows = vec![head];
    for item in items {
        rows.push([
            item.record.id.clone(),
            pid(item).to_string(),
            item.status.name().to_string(),
            item.record.bundle.clone(),
            item.record.created.clone(),
            owner(item),
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

pub fn ps(global: &Global, mut args: lexopt::Parser) -> Result<u8> {
    let (mut id, mut is_json) = (None, false);
    while let Some(arg) = args.next()? {
        match arg {
            Short('f') | Long("format") => is_json = format_is_json(&text(&mut args)?)?,
            Value(value) if id.is_none() => id = Some(value.string()?),
            other => return Err(other.unexpected().into()),
        }
    }
    let pids = kill::pids(&global.root, &need_id(id)?)?;
    if is_json {
        return write(&json::to_string(&pids));
    }
    let mut text = format!("{:>7} {}\n", "PID", "CMD");
    for pid in pids {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        text.push_str(&format!("{pid:>7} {}\n", line.trim_end()));
    }
    write(&text)
}

/// `events --stats`: one line in runc's shape, of what the group knows.
pub fn events(global: &Global, mut args: lexopt::Parser) -> Result<u8> {
    let (mut id, mut once) = (None, false);
    while let Some(arg) = args.next()? {
        match arg {
            Long("stats") => once = true,
            Value(value) if id.is_none() => id = Some(value.string()?),
            other => return Err(other.unexpected().into()),
        }
    }
    let id = need_id(id)?;
    if !once {
        return Err(Error::unsupported("events is supported with --stats only"));
    }
    let group = list::find(&global.root, &id)?.record.group();
    let group = group.ok_or_else(|| Error::conflict("container not running"))?;
    let stats = group.stats();
    let number = |value: Option<u64>| value.unwrap_or(0);
    write(&format!(
        concat!(
            r#"{{"type":"stats","id":{},"data":{{"cpu":{{"usage":{{"total":{},"user":{},"kernel":{}}},"#,
            r#""throttling":{{"periods":{},"throttledPeriods":{},"throttledTime":{}}}}},"#,
            r#""memory":{{"usage":{{"usage":{},"limit":{}}},"raw":{{"inactive_file":{},"oom_kill":{}}}}},"#,
            r#""pids":{{"current":{},"limit":{}}}}}}}"#,
            "\n"
        ),
        json::to_string(&id),
        // runc counts nanoseconds.
        number(stats.cpu_us) * 1000,
        number(stats.cpu_user_us) * 1000,
        number(stats.cpu_system_us) * 1000,
        number(stats.periods),
        number(stats.throttled_periods),
        number(stats.throttled_us) * 1000,
        number(stats.memory_bytes),
        number(stats.memory_bytes_max),
        number(stats.inactive_file_bytes),
        group.oom_kills(),
        number(stats.pids),
        number(stats.pids_max),
    ))
}

fn format_is_json(name: &str) -> Result<bool> {
    match name {
        "json" => Ok(true),
        "table" => Ok(false),
        _ => Err(Error::new(Kind::Usage, "invalid format option")),
    }
}

fn write(text: &str) -> Result<u8> {
    std::io::stdout()
        .write_all(text.as_bytes())
        .map_err(|error| Error::io("write", &error))?;
    Ok(0)
}
