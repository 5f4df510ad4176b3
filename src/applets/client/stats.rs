//! `tug stats`: what containers use, once or every second.

use super::list::{self, Columns, Row};
use super::options::{ANY, Options, Verb, flag};
use super::ps::FORMAT;
use super::remote::{Engine, parse};
use super::{human, print};
use crate::error::{Kind, Result};
use crate::http::query;
use crate::id;
use crate::json::map::Map;
use crate::json::node::Node;
use std::time::Duration;

pub const VERB: Verb = Verb {
    names: &["stats", "container stats"],
    usage: "[OPTIONS] [CONTAINER...]",
    about: "Display a live stream of container(s) resource usage statistics",
    flags: &[&[
        flag(
            "-a, --all",
            "Show all containers (default shows just running)",
        ),
        flag("--format string", FORMAT),
        flag(
            "--no-stream",
            "Disable streaming stats and only pull the first result",
        ),
        flag("--no-trunc", "Do not truncate output"),
    ]],
    args: (0, ANY),
    has_command: false,
    main,
};

const COLUMNS: Columns<'_> = Columns {
    fields: &[
        "BlockIO",
        "CPUPerc",
        "Container",
        "ID",
        "MemPerc",
        "MemUsage",
        "Name",
        "NetIO",
        "PIDs",
    ],
    id: "CONTAINER ID",
    table: "{{.ID}}\t{{.Name}}\t{{.CPUPerc}}\t{{.MemUsage}}\t{{.MemPerc}}\t{{.NetIO}}\t{{.BlockIO}}\t{{.PIDs}}",
};

/// Docker's interval.
const INTERVAL: Duration = Duration::from_secs(1);

/// The cursor to the first line, and what stands there and below gone.
const CLEAR: &str = "\x1b[H\x1b[J";

fn main(engine: &Engine, options: &Options) -> Result<u8> {
    let format = options.get("format").unwrap_or("table");
    let mut before = Map::new();
    if options.is("no-stream") {
        // Percentages are of the time between two looks.
        look(engine, options, &mut before)?;
        std::thread::sleep(INTERVAL);
        let rows = look(engine, options, &mut before)?;
        return list::list(format, &COLUMNS, &rows).map(|()| 0);
    }
    // Docker repeats the lines of other formats one below the other.
    let start = if format.starts_with("table") {
        CLEAR
    } else {
        ""
    };
    loop {
        let rows = look(engine, options, &mut before)?;
        if rows.is_empty() && !options.args.is_empty() {
            return Ok(0);
        }
        let text = list::render(format, &COLUMNS, &rows)?;
        print::out(format!("{start}{text}"))?;
        std::thread::sleep(INTERVAL);
    }
}

/// Processor time of the container and of the machine, when we looked last; by id.
type Before = Map<(i64, i64)>;

fn look(engine: &Engine, options: &Options, before: &mut Before) -> Result<Vec<Row>> {
    // Named by the user, a container must be there the first time; later it may go.
    let must_exist = !options.args.is_empty() && before.is_empty();
    let names = match options.args.is_empty() {
        true => all(engine, options.is("all"))?,
        false => options.args.clone(),
    };
    let mut rows = Vec::new();
    for name in names {
        let escaped = query::encode(&name);
        let path = format!("/containers/{escaped}/stats?stream=false&one-shot=true");
        let answer = match engine.text(&path) {
            Err(error) if error.kind == Kind::NotFound && !must_exist => continue,
            answer => answer?,
        };
        let stats = parse(&answer)?;
        rows.push(row(&name, stats, before, options.is("no-trunc")));
    }
    Ok(rows)
}

/// The ids of the containers that there are now.
fn all(engine: &Engine, with_stopped: bool) -> Result<Vec<String>> {
    let all = if with_stopped { "?all=1" } else { "" };
    let answer = engine.text(&format!("/containers/json{all}"))?;
    let containers = parse(&answer)?.items();
    Ok(containers.iter().map(|c| c.at("Id").text()).collect())
}

fn row(name: &str, stats: Node<'_>, before: &mut Before, is_whole: bool) -> Row {
    let id = stats.at("id").text();
    let now = (
        stats.at("cpu_stats.cpu_usage.total_usage").integer(),
        stats.at("cpu_stats.system_cpu_usage").integer(),
    );
    let then = before.insert(id.clone(), now).unwrap_or(now);
    let cpus = stats.at("cpu_stats.online_cpus").integer();
    let (used, limit) = (memory(stats), stats.at("memory_stats.limit").integer());
    let (received, sent) = network(stats);
    let (read, written) = blocks(stats);
    let shown = match is_whole {
        true => id.as_str(),
        false => id::short(&id),
    };
    vec![
        ("BlockIO", pair(read, written, human::size)),
        (
            "CPUPerc",
            percent((now.0 - then.0).saturating_mul(cpus), now.1 - then.1),
        ),
        (
            "Container",
            if name == id { shown } else { name }.to_string(),
        ),
        ("ID", shown.to_string()),
        ("MemPerc", percent(used, limit)),
        ("MemUsage", pair(used, limit, human::memory)),
        (
            "Name",
            stats.at("name").text().trim_start_matches('/').to_string(),
        ),
        ("NetIO", pair(received, sent, human::size)),
        ("PIDs", stats.at("pids_stats.current").integer().to_string()),
    ]
}

fn pair(one: i64, other: i64, show: fn(i64) -> String) -> String {
    format!("{} / {}", show(one), show(other))
}

/// `12.34%`.
fn percent(part: i64, whole: i64) -> String {
    if part <= 0 || whole <= 0 {
        return "0.00%".to_string();
    }
    let (part, whole) = (i128::from(part), i128::from(whole));
    let hundredths = (part * 10_000 + whole / 2) / whole;
    format!("{}.{:02}%", hundredths / 100, hundredths % 100)
}

/// Without the page cache that can be given back at once, as Docker's client has it.
fn memory(stats: Node<'_>) -> i64 {
    let usage = stats.at("memory_stats.usage").integer();
    for name in ["total_inactive_file", "inactive_file"] {
        let cache = stats.at("memory_stats.stats").at(name).integer();
        if cache > 0 && cache < usage {
            return usage - cache;
        }
    }
    usage
}

fn network(stats: Node<'_>) -> (i64, i64) {
    let mut sum = (0, 0);
    for device in stats.at("networks").items() {
        sum.0 += device.at("rx_bytes").integer();
        sum.1 += device.at("tx_bytes").integer();
    }
    sum
}

fn blocks(stats: Node<'_>) -> (i64, i64) {
    let mut sum = (0, 0);
    for entry in stats.at("blkio_stats.io_service_bytes_recursive").items() {
        let value = entry.at("value").integer();
        match entry.at("op").text().to_ascii_lowercase().as_str() {
            "read" => sum.0 += value,
            "write" => sum.1 += value,
            _ => {}
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATS: &str = r#"{"name":"/web","id":"abcdef0123456789",
        "cpu_stats":{"cpu_usage":{"total_usage":1500},"system_cpu_usage":20000,"online_cpus":2},
        "memory_stats":{"usage":3072,"limit":8192,"stats":{"inactive_file":1024}},
        "networks":{"eth0":{"rx_bytes":1000,"tx_bytes":2000},"eth1":{"rx_bytes":500,"tx_bytes":0}},
        "blkio_stats":{"io_service_bytes_recursive":[{"op":"Read","value":7},{"op":"write","value":9}]},
        "pids_stats":{"current":3}}"#;

    #[test]
    fn percentages_are_worked_out_as_dockers_client_does() {
        let mut before = Map::from([("abcdef0123456789".to_string(), (500, 10_000))]);
        let row = row("web", parse(STATS).unwrap(), &mut before, false);
        let cells: Vec<String> = row.into_iter().map(|(_, text)| text).collect();
        assert_eq!(
            cells.join(" | "),
            "7B / 9B | 20.00% | web | abcdef012345 | 25.00% | 2KiB / 8KiB | web | 1.5kB / 2kB | 3"
        );
        assert_eq!(before["abcdef0123456789"], (1500, 20_000));
        assert_eq!(percent(1, 0), "0.00%");
        assert_eq!(percent(-1, 5), "0.00%");
        assert_eq!(percent(1, 3), "33.33%");
    }
}
