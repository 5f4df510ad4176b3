//! The machine as a whole: memory, processors, the time since it started.

/// The machine's memory (proc_meminfo(5)); 0 where it is not told.
pub fn memory_bytes() -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
    let kib: u64 = kib.and_then(|kib| kib.parse().ok()).unwrap_or(0);
    kib << 10
}

/// The kernel's clock ticks for user space: 100 on every architecture of ours.
pub const TICKS_PER_SECOND: u64 = 100;

/// What /proc/stat says (proc_stat(5)).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Clock {
    /// Seconds since 1970 when the machine started.
    pub booted: u64,
    /// Ticks of all processors together, at work or idle.
    pub cpu_ticks: u64,
    /// Processors that are on.
    pub cpus: u64,
}

pub fn clock() -> Clock {
    parse(&std::fs::read_to_string("/proc/stat").unwrap_or_default())
}

fn parse(stat: &str) -> Clock {
    let mut clock = Clock::default();
    for line in stat.lines() {
        let mut words = line.split_ascii_whitespace();
        let name = words.next().unwrap_or_default();
        let numbers = words.map(|word| word.parse::<u64>().unwrap_or(0));
        match name.strip_prefix("cpu") {
            // User, nice, system, idle, iowait, irq, softirq: what Docker adds up.
            Some("") => clock.cpu_ticks = numbers.take(7).sum(),
            Some(_) => clock.cpus += 1,
            None if name == "btime" => clock.booted = numbers.take(1).sum(),
            None => {}
        }
    }
    clock
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processors_and_their_time_are_added_up() {
        let stat = "cpu  1 2 3 4 5 6 7 800 900 0\ncpu0 1 1 1\ncpu1 1 1 1\nintr 5 6\nbtime 17\n";
        let expected = Clock {
            booted: 17,
            cpu_ticks: 28,
            cpus: 2,
        };
        assert_eq!(parse(stat), expected);
        assert!(memory_bytes() > 1 << 20 && clock().cpus > 0);
    }
}
