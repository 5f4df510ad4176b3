//! stats: what a container uses, in the shape that Docker's clients work out percentages from.
//!
//! Read from its cgroup. What this host does not count there is taken from /proc (processor time,
//! memory in use), or is left at zero.

use crate::cgroup::stats::{self, Pressure, Stats};
use crate::engine::Engine;
use crate::engine::container::Container;
use crate::json::object::Object;
use crate::sys::machine::{self, TICKS_PER_SECOND};
use crate::sys::process;
use crate::time::{NEVER, Time};

/// Processor time at one moment, as the next sample repeats it.
#[derive(Clone)]
pub struct Sample {
    read: String,
    cpu: String,
}

impl Engine {
    /// One answer in JSON (API, ContainerStatsResponse), and what the next one has to know of it.
    /// A container that does not run uses nothing.
    pub fn stats(
        &self,
        container: &Container,
        before: Option<&Sample>,
    ) -> (String, Option<Sample>) {
        let (name, pid) = {
            let state = container.lock();
            (format!("/{}", state.name), state.pid)
        };
        let mut answer = Object::new();
        answer.text("name", &name).text("id", &container.id);
        let never = || NEVER.to_string();
        let nothing = || "{}".to_string();
        if pid == 0 {
            for part in ["read", "preread"] {
                answer.text(part, NEVER);
            }
            for part in ["cpu_stats", "precpu_stats"] {
                answer.put(part, r#"{"cpu_usage":{"total_usage":0}}"#);
            }
            for part in ["memory_stats", "pids_stats", "blkio_stats"] {
                answer.put(part, "{}");
            }
            return (answer.finish(), None);
        }

        let pids = self.pids(container, pid);
        let counted = self.group(container, pid).map(|group| group.stats());
        let stats = counted.unwrap_or_default();
        let sample = Sample {
            read: Time::now().rfc3339(),
            cpu: cpu(&stats, &pids),
        };
        answer
            .text("read", &sample.read)
            .text("preread", &before.map_or_else(never, |s| s.read.clone()))
            .put("cpu_stats", &sample.cpu)
            .put(
                "precpu_stats",
                &before.map_or_else(nothing, |s| s.cpu.clone()),
            )
            .put("memory_stats", &memory(&stats, &pids))
            .put("pids_stats", &count(&stats, &pids))
            .put("blkio_stats", &io(&stats))
            .number("num_procs", 0)
            .put("storage_stats", "{}");
        if container.host.network_mode.as_deref() != Some("host") {
            let text = std::fs::read_to_string(format!("/proc/{pid}/net/dev"));
            let networks = networks(&text.unwrap_or_default());
            if networks != "{}" {
                answer.put("networks", &networks);
            }
        }
        answer.put("pressure", &pressure(&stats));
        (answer.finish(), Some(sample))
    }
}

/// In nanoseconds, beside what all processors have done meanwhile.
fn cpu(stats: &Stats, pids: &[i32]) -> String {
    let nanos = |micros: Option<u64>| micros.unwrap_or(0).saturating_mul(1000);
    let mut usage = Object::new();
    match stats.cpu_us {
        Some(_) => usage
            .number("total_usage", nanos(stats.cpu_us))
            .number("usage_in_kernelmode", nanos(stats.cpu_system_us))
            .number("usage_in_usermode", nanos(stats.cpu_user_us)),
        // No cgroup v2 at all: of the processes that are still there.
        None => {
            let ticks = |at: usize| pids.iter().map(|pid| process::stat(*pid, at)).sum::<u64>();
            let (user, system) = (in_nanos(ticks(14)), in_nanos(ticks(15)));
            usage
                .number("total_usage", user + system)
                .number("usage_in_kernelmode", system)
                .number("usage_in_usermode", user)
        }
    };
    let mut throttling = Object::new();
    throttling
        .number("periods", stats.periods.unwrap_or(0))
        .number("throttled_periods", stats.throttled_periods.unwrap_or(0))
        .number("throttled_time", nanos(stats.throttled_us));
    let clock = machine::clock();
    let mut cpu = Object::new();
    cpu.put("cpu_usage", &usage.finish())
        .number("system_cpu_usage", in_nanos(clock.cpu_ticks))
        .number("online_cpus", clock.cpus)
        .put("throttling_data", &throttling.finish());
    cpu.finish()
}

fn in_nanos(ticks: u64) -> u64 {
    ticks.saturating_mul(1_000_000_000 / TICKS_PER_SECOND)
}

fn memory(stats: &Stats, pids: &[i32]) -> String {
    let mut raw = Object::new();
    for (name, value) in &stats.memory_stat {
        raw.number(name, *value);
    }
    // Without the controller nobody counts what the kernel holds for the container; its processes'
    // own memory, each shared page divided among those who share it, is known.
    let usage = stats
        .memory_bytes
        .unwrap_or_else(|| pids.iter().map(|pid| process::memory_bytes(*pid)).sum());
    let mut memory = Object::new();
    memory
        .number("usage", usage)
        .number("max_usage", stats.memory_bytes_peak)
        .put("stats", &raw.finish())
        // No limit is the whole machine, as Docker has it.
        .number(
            "limit",
            stats.memory_bytes_max.unwrap_or_else(machine::memory_bytes),
        );
    memory.finish()
}

fn count(stats: &Stats, pids: &[i32]) -> String {
    let mut count = Object::new();
    count
        .number("current", stats.pids.unwrap_or(pids.len() as u64))
        .number("limit", stats.pids_max);
    count.finish()
}

fn io(stats: &Stats) -> String {
    const NAMES: [&str; 2] = ["read", "write"];
    let bytes = stats::io_json(&stats.io, NAMES, |io| [io.read_bytes, io.written_bytes]);
    let operations = stats::io_json(&stats.io, NAMES, |io| [io.reads, io.writes]);
    let mut io = Object::new();
    io.put("io_service_bytes_recursive", &bytes)
        .put("io_serviced_recursive", &operations);
    // Of cgroup v1.
    for name in ["queue", "service_time", "wait_time", "merged", "time"] {
        io.put(&format!("io_{name}_recursive"), "null");
    }
    io.put("sectors_recursive", "null").finish()
}

/// Of /proc/PID/net/dev (proc_pid_net(5)): the devices but the loopback, as Docker counts.
fn networks(text: &str) -> String {
    const NAMES: [(&str, usize); 8] = [
        ("rx_bytes", 0),
        ("rx_packets", 1),
        ("rx_errors", 2),
        ("rx_dropped", 3),
        ("tx_bytes", 8),
        ("tx_packets", 9),
        ("tx_errors", 10),
        ("tx_dropped", 11),
    ];
    let mut all = Object::new();
    for (device, counters) in text.lines().filter_map(|line| line.split_once(':')) {
        let counters: Vec<&str> = counters.split_ascii_whitespace().collect();
        let counter = |at: usize| counters.get(at).and_then(|text| text.parse::<u64>().ok());
        if device.trim() == "lo" {
            continue;
        }
        let mut one = Object::new();
        for (name, at) in NAMES {
            one.number(name, counter(at).unwrap_or(0));
        }
        all.put(device.trim(), &one.finish());
    }
    all.finish()
}

/// How long the container's processes waited for each resource: ours, Docker has no such member.
fn pressure(stats: &Stats) -> String {
    let mut all = Object::new();
    for (name, pressure) in [
        ("cpu", &stats.cpu_pressure),
        ("memory", &stats.memory_pressure),
        ("io", &stats.io_pressure),
    ] {
        if let Some(text) = pressure.as_ref().map(Pressure::json) {
            all.put(name, &text);
        }
    }
    all.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_of_the_network_are_counted_but_for_the_loopback() {
        let text = "Inter-|   Receive                            |  Transmit\n \
            face |bytes    packets errs drop fifo frame compressed multicast|bytes\n    \
            lo: 9 9 9 9 9 9 9 9 9 9 9 9 9 9 9 9\n  \
            eth0: 1 2 3 4 0 0 0 0 5 6 7 8 0 0 0 0\n";
        assert_eq!(
            networks(text),
            r#"{"eth0":{"rx_bytes":1,"rx_packets":2,"rx_errors":3,"rx_dropped":4,"tx_bytes":5,"tx_packets":6,"tx_errors":7,"tx_dropped":8}}"#
        );
        assert_eq!(networks(""), "{}");
    }

    #[test]
    fn without_a_cgroup_the_processes_themselves_are_asked() {
        let pids = [std::process::id().cast_signed()];
        let memory = memory(&Stats::default(), &pids);
        assert!(!memory.contains("\"usage\":0,"), "{memory}");
        assert_eq!(count(&Stats::default(), &pids), r#"{"current":1}"#);
        assert!(cpu(&Stats::default(), &pids).starts_with(r#"{"cpu_usage":{"total_usage":"#));
    }
}
