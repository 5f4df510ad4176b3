//! What a group has used.

use crate::cgroup::Group;

/// Each is `None` where its controller is not there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    pub memory_bytes: Option<u64>,
    /// `None` also without a limit.
    pub memory_bytes_max: Option<u64>,
    /// Page cache that can be given back at once; Docker's client subtracts it.
    pub inactive_file_bytes: Option<u64>,
    pub cpu_us: Option<u64>,
    pub cpu_user_us: Option<u64>,
    pub cpu_system_us: Option<u64>,
    pub throttled_periods: Option<u64>,
    pub throttled_us: Option<u64>,
    pub periods: Option<u64>,
    pub pids: Option<u64>,
    pub pids_max: Option<u64>,
}

impl Group {
    pub fn stats(&self) -> Stats {
        let cpu = self.read("cpu.stat").unwrap_or_default();
        let memory = self.read("memory.stat").unwrap_or_default();
        Stats {
            memory_bytes: self.number("memory.current"),
            memory_bytes_max: self.number("memory.max"),
            inactive_file_bytes: field(&memory, "inactive_file"),
            cpu_us: field(&cpu, "usage_usec"),
            cpu_user_us: field(&cpu, "user_usec"),
            cpu_system_us: field(&cpu, "system_usec"),
            throttled_periods: field(&cpu, "nr_throttled"),
            throttled_us: field(&cpu, "throttled_usec"),
            periods: field(&cpu, "nr_periods"),
            pids: self.number("pids.current"),
            pids_max: self.number("pids.max"),
        }
    }

    /// How many processes of the group the OOM killer has taken.
    pub fn oom_kills(&self) -> u64 {
        let events = self.read("memory.events").unwrap_or_default();
        field(&events, "oom_kill").unwrap_or(0)
    }

    fn number(&self, file: &str) -> Option<u64> {
        self.read(file)?.trim().parse().ok()
    }
}

/// The number behind `name ` in a flat keyed file.
fn field(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| {
        let (key, value) = line.split_once(' ')?;
        (key == name).then(|| value.parse().ok()).flatten()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_by_their_whole_name() {
        let text = "oom 3\noom_kill 2\noom_group_kill 0\n";
        assert_eq!(field(text, "oom_kill"), Some(2));
        assert_eq!(field(text, "oom"), Some(3));
        assert_eq!(field(text, "max"), None);
    }
}
