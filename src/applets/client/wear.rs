//! `tug system wear`: how much was written to the disk, and by whom.

use super::list::{self, Columns, Row};
use super::options::{Options, Verb, flag};
use super::ps::FORMAT;
use super::remote::{Engine, parse};
use super::{human, print};
use crate::error::Result;
use crate::json::node::Node;
use std::time::Duration;

pub const VERB: Verb = Verb {
    names: &["system wear"],
    usage: "[OPTIONS]",
    about: "Show what was written to the disk, and by whom",
    flags: &[&[
        flag("--format string", FORMAT),
        flag("--raw", "Print what the engine tells, in JSON"),
    ]],
    args: (0, 0),
    has_command: false,
    main,
};

const COLUMNS: Columns<'_> = Columns {
    fields: &["Type", "Name", "Written", "Log", "Rate", "Time"],
    id: "",
    table: "{{.Type}}\t{{.Name}}\t{{.Written}}\t{{.Log}}\t{{.Rate}}\t{{.Time}}",
};

fn main(engine: &Engine, options: &Options) -> Result<u8> {
    let answer = engine.text("/tug/wear")?;
    if options.is("raw") {
        print::out(answer + "\n")?;
        return Ok(0);
    }
    let wear = parse(&answer)?;
    let mut rows = vec![row("Engine", "", wear.at("Engine"), &running(wear))];
    for container in wear.at("Containers").items() {
        let name = container.at("Name").text();
        rows.push(row("Container", &name, container, &running(container)));
    }
    let removed = wear.at("Removed");
    if removed.member("Seconds").is_some() {
        rows.push(row("Removed", "", removed, &running(removed)));
    }
    for update in wear.at("Updates").items() {
        let time = update.at("Time").text();
        rows.push(row("Update", &update.at("What").text(), update, &time));
    }
    if let Some(device) = wear.member("Device") {
        rows.push(of_device(device));
    }
    list::list(options.get("format").unwrap_or("table"), &COLUMNS, &rows)?;
    Ok(0)
}

fn row(kind: &str, name: &str, of: Node<'_>, time: &str) -> Row {
    let size = |member: &str| of.member(member).map(|node| human::size(node.integer()));
    // What nobody has counted is not said to be nothing.
    let written = size("Written").unwrap_or_else(|| "unknown".to_string());
    let rate = size("PerDay").map(|rate| rate + "/day");
    cells(kind, name, written, size("Log"), rate, time)
}

fn cells(
    kind: &str,
    name: &str,
    written: String,
    log: Option<String>,
    rate: Option<String>,
    time: &str,
) -> Row {
    vec![
        ("Log", log.unwrap_or_default()),
        ("Name", name.to_string()),
        ("Rate", rate.unwrap_or_default()),
        ("Time", time.to_string()),
        ("Type", kind.to_string()),
        ("Written", written),
    ]
}

fn running(of: Node<'_>) -> String {
    let seconds = u64::try_from(of.at("Seconds").integer()).unwrap_or(0);
    human::duration(Duration::from_secs(seconds))
}

/// With what the disk tells of its own age (JEDEC eMMC 5.0: tenths of its life, from 1 to 10, and 11
/// beyond them).
fn of_device(device: Node<'_>) -> Row {
    let mut name = device.at("Name").text();
    let life = device.at("LifeTime").text();
    let tenths = life.split(' ').filter_map(|word| {
        let digits = word.strip_prefix("0x")?;
        u32::from_str_radix(digits, 16).ok()
    });
    match tenths.max() {
        None | Some(0) => {}
        Some(tenths @ 1..=10) => name.push_str(&format!(" (up to {tenths}0% of its life used)")),
        Some(_) => name.push_str(" (beyond its life)"),
    }
    let size = |member: &str| {
        device
            .member(member)
            .map(|node| human::size(node.integer()))
    };
    let (written, time) = match size("WrittenToFileSystem") {
        Some(written) => (written, "since the file system was made"),
        None => (
            size("WrittenSinceBoot").unwrap_or_default(),
            "since the boot",
        ),
    };
    cells("Device", &name, written, None, None, time)
}
