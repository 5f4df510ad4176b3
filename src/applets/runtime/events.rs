//! `events`: what a container uses, a line of JSON every few seconds, and each kill for want of
//! memory; until it ends. The shape is that of runc's `types.Event`.

use super::help::{need_id, refuse};
use super::print::write;
use super::{Global, text};
use crate::cgroup::Group;
use crate::cgroup::stats::{self, Pressure, Stats};
use crate::error::{Error, Kind, Result};
use crate::json;
use crate::json::node::quote;
use crate::json::object::Object;
use crate::runtime::list;
use crate::sys::poll;
use crate::time::moment;
use lexopt::prelude::*;
use rustix::event::PollFlags;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

#[derive(Debug, PartialEq, Eq)]
struct Options {
    id: String,
    once: bool,
    interval: Duration,
}

pub fn main(global: &Global, args: lexopt::Parser) -> Result<u8> {
    let options = parse(args)?;
    let record = list::find(&global.root, &options.id)?.record;
    let Some(pidfd) = record.process() else {
        return Err(Error::conflict(format!(
            "container with id {} is not running",
            options.id
        )));
    };
    let group = record.group().ok_or_else(|| {
        Error::unsupported("this container has no cgroup v2 group that counts what it uses")
    })?;
    match options.once {
        true => print_stats(&options.id, &group),
        false => watch(&options, &group, pidfd.as_fd()),
    }
}

fn watch(options: &Options, group: &Group, pidfd: BorrowedFd<'_>) -> Result<u8> {
    let mut events = group.watch_oom().ok();
    let mut kills = group.oom_kills();
    let mut next = Instant::now() + options.interval;
    loop {
        let mut fds = vec![(pidfd, PollFlags::IN)];
        fds.extend(events.as_ref().map(|fd| (fd.as_fd(), PollFlags::PRI)));
        let left = next.saturating_duration_since(Instant::now());
        let ready = poll::wait(&fds, Some(left))?;
        let is_ready = |at: usize| ready.get(at).is_some_and(|events| !events.is_empty());

        if is_ready(1) {
            events = group.watch_oom().ok();
        }
        let now = group.oom_kills();
        if now > kills {
            kills = now;
            let id = json::to_string(&options.id);
            write(&format!("{{\"type\":\"oom\",\"id\":{id}}}\n"))?;
        }
        if is_ready(0) {
            return Ok(0);
        }
        if Instant::now() >= next {
            next += options.interval;
            print_stats(&options.id, group)?;
        }
    }
}

fn parse(mut args: lexopt::Parser) -> Result<Options> {
    let (mut id, mut once) = (None, false);
    let mut interval = 5_000_000_000;
    while let Some(arg) = args.next()? {
        match arg {
            Long("stats") => once = true,
            Long("interval") => {
                let value = text(&mut args)?;
                interval = moment::parse_duration(&value).ok_or_else(|| {
                    Error::new(
                        Kind::Usage,
                        format!("invalid value {value:?} for --interval: want a time such as 5s"),
                    )
                })?;
            }
            Value(value) if id.is_none() => id = Some(value.string()?),
            other => return Err(refuse("events", other)),
        }
    }
    let interval = match u64::try_from(interval) {
        Ok(nanos) if nanos > 0 => Duration::from_nanos(nanos),
        _ => {
            return Err(Error::new(
                Kind::Usage,
                "duration interval must be greater than 0",
            ));
        }
    };
    Ok(Options {
        id: need_id("events", id)?,
        once,
        interval,
    })
}

fn print_stats(id: &str, group: &Group) -> Result<u8> {
    let id = quote(id);
    let data = data(&group.stats());
    write(&format!(
        "{{\"type\":\"stats\",\"id\":{id},\"data\":{data}}}\n"
    ))
}

/// All that runc's `Stats` has and cgroup v2 counts.
fn data(stats: &Stats) -> String {
    let mut all = Object::new();
    all.put("cpu", &cpu(stats));
    // Of cgroup v1; runc prints them as zeros on v2.
    all.put(
        "cpuset",
        concat!(
            r#"{"cpu_exclusive":0,"mem_hardwall":0,"mem_exclusive":0,"memory_migrate":0,"#,
            r#""memory_spread_page":0,"memory_spread_slab":0,"memory_pressure":0,"#,
            r#""sched_load_balance":0,"sched_relax_domain_level":0}"#
        ),
    );
    all.put("memory", &memory(stats));
    let mut pids = Object::new();
    pids.number("current", stats.pids);
    pids.number("limit", stats.pids_max);
    all.put("pids", &pids.finish());
    all.put("blkio", &io(stats));
    let mut hugetlb = Object::new();
    for pages in &stats.hugetlb {
        let usage = entry(
            Some(pages.bytes),
            Some(pages.bytes_peak),
            None,
            pages.failures,
        );
        hugetlb.put(&pages.size, &usage);
    }
    all.put("hugetlb", &hugetlb.finish());
    all.put("intel_rdt", "{}");
    all.put("network_interfaces", "null");
    all.finish()
}

fn cpu(stats: &Stats) -> String {
    // runc counts nanoseconds.
    let nanos = |micros: Option<u64>| Some(micros.unwrap_or(0).saturating_mul(1000));
    let mut usage = Object::new();
    usage.number("total", nanos(stats.cpu_us));
    usage.number("kernel", nanos(stats.cpu_system_us));
    usage.number("user", nanos(stats.cpu_user_us));
    let mut throttling = Object::new();
    throttling.number("periods", stats.periods);
    throttling.number("throttledPeriods", stats.throttled_periods);
    throttling.number("throttledTime", nanos(stats.throttled_us));
    let mut cpu = Object::new();
    cpu.put("usage", &usage.finish());
    cpu.put("throttling", &throttling.finish());
    put_pressure(&mut cpu, stats.cpu_pressure.as_ref());
    cpu.finish()
}

fn memory(stats: &Stats) -> String {
    let stat = |name: &str| {
        let found = stats.memory_stat.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| *value)
    };
    // Where there is a controller, no limit is the greatest number, as in runc.
    let unlimited = if stats.memory_bytes.is_some() {
        u64::MAX
    } else {
        0
    };
    let max = stats.memory_bytes_max.unwrap_or(unlimited);
    let swap_max = stats.swap_bytes_max.unwrap_or(unlimited);
    // As in v1, memory and swap together.
    let together = |one: Option<u64>, other: Option<u64>| one.zip(other).map(|(a, b)| a + b);
    let both = together(stats.memory_bytes, stats.swap_bytes);
    let peak = together(stats.memory_bytes_peak, stats.swap_bytes_peak);
    let mut raw = Object::new();
    for (name, value) in &stats.memory_stat {
        raw.number(name, Some(*value));
    }

    let mut memory = Object::new();
    memory.number("cache", stat("file"));
    let usage = entry(stats.memory_bytes, stats.memory_bytes_peak, Some(max), 0);
    memory.put("usage", &usage);
    memory.put(
        "swap",
        &entry(both, peak, Some(max.saturating_add(swap_max)), 0),
    );
    memory.put("kernel", &entry(stat("kernel"), None, Some(0), 0));
    memory.put("kernelTCP", &entry(stat("sock"), None, Some(0), 0));
    memory.put("raw", &raw.finish());
    put_pressure(&mut memory, stats.memory_pressure.as_ref());
    memory.finish()
}

fn entry(usage: Option<u64>, peak: Option<u64>, limit: Option<u64>, failures: u64) -> String {
    let mut entry = Object::new();
    entry.number("limit", limit);
    entry.number("usage", usage);
    entry.number("max", peak);
    entry.number("failcnt", Some(failures));
    entry.finish()
}

fn io(stats: &Stats) -> String {
    let mut blkio = Object::new();
    if !stats.io.is_empty() {
        const NAMES: [&str; 2] = ["Read", "Write"];
        let bytes = stats::io_json(&stats.io, NAMES, |io| [io.read_bytes, io.written_bytes]);
        blkio.put("ioServiceBytesRecursive", &bytes);
        let operations = stats::io_json(&stats.io, NAMES, |io| [io.reads, io.writes]);
        blkio.put("ioServicedRecursive", &operations);
    }
    put_pressure(&mut blkio, stats.io_pressure.as_ref());
    blkio.finish()
}

fn put_pressure(object: &mut Object, pressure: Option<&Pressure>) {
    if let Some(pressure) = pressure {
        object.put("psi", &pressure.json());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_is_a_time() {
        let told = |line: &str| parse(lexopt::Parser::from_args(line.split_whitespace()));
        let options = told("web --interval 1m30s").unwrap();
        assert_eq!(options.interval, Duration::from_secs(90));
        assert_eq!(told("web").unwrap().interval, Duration::from_secs(5));
        for bad in [
            "--interval 0s web",
            "--interval -1s web",
            "--interval x web",
            "--stats",
        ] {
            assert!(told(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_was_counted_has_runcs_shape() {
        let stats = Stats {
            memory_bytes: Some(5),
            swap_bytes: Some(1),
            swap_bytes_max: Some(0),
            memory_stat: vec![("file".to_string(), 3)],
            io: vec![stats::Io {
                major: 8,
                minor: 16,
                written_bytes: 2,
                ..stats::Io::default()
            }],
            ..Stats::default()
        };
        assert_eq!(
            memory(&stats),
            concat!(
                r#"{"cache":3,"usage":{"limit":18446744073709551615,"usage":5,"failcnt":0},"#,
                r#""swap":{"limit":18446744073709551615,"usage":6,"failcnt":0},"#,
                r#""kernel":{"limit":0,"failcnt":0},"kernelTCP":{"limit":0,"failcnt":0},"#,
                r#""raw":{"file":3}}"#
            )
        );
        assert_eq!(
            io(&stats),
            concat!(
                r#"{"ioServiceBytesRecursive":[{"major":8,"minor":16,"op":"Read","value":0},"#,
                r#"{"major":8,"minor":16,"op":"Write","value":2}],"ioServicedRecursive":["#,
                r#"{"major":8,"minor":16,"op":"Read","value":0},"#,
                r#"{"major":8,"minor":16,"op":"Write","value":0}]}"#
            )
        );
    }
}
