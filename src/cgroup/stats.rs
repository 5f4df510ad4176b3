//! What a group has used.

use crate::cgroup::Group;
use crate::json::object::{self, Object};

/// Each is `None`, or empty, where its controller is not there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    pub memory_bytes: Option<u64>,
    /// `None` also without a limit, as the other `_max`.
    pub memory_bytes_max: Option<u64>,
    /// The most that it ever was (Linux 5.19).
    pub memory_bytes_peak: Option<u64>,
    /// Swap alone, without memory.
    pub swap_bytes: Option<u64>,
    pub swap_bytes_max: Option<u64>,
    pub swap_bytes_peak: Option<u64>,
    /// Page cache that can be given back at once; Docker's client subtracts it.
    pub inactive_file_bytes: Option<u64>,
    /// memory.stat as it is.
    pub memory_stat: Vec<(String, u64)>,
    pub cpu_us: Option<u64>,
    pub cpu_user_us: Option<u64>,
    pub cpu_system_us: Option<u64>,
    pub throttled_periods: Option<u64>,
    pub throttled_us: Option<u64>,
    pub periods: Option<u64>,
    pub pids: Option<u64>,
    pub pids_max: Option<u64>,
    pub io: Vec<Io>,
    pub hugetlb: Vec<Hugetlb>,
    pub cpu_pressure: Option<Pressure>,
    pub memory_pressure: Option<Pressure>,
    pub io_pressure: Option<Pressure>,
}

/// What went to and from one block device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Io {
    pub major: u64,
    pub minor: u64,
    pub read_bytes: u64,
    pub written_bytes: u64,
    /// How many operations.
    pub reads: u64,
    pub writes: u64,
}

/// Pages of one size.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hugetlb {
    /// `2MB`
    pub size: String,
    pub bytes: u64,
    pub bytes_peak: u64,
    /// How often the limit stood in the way.
    pub failures: u64,
}

/// How long work has waited for a resource (PSI; kernel's Documentation/accounting/psi.rst).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pressure {
    /// Some of the processes waited,
    pub some: Stall,
    /// all of them did.
    pub full: Stall,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stall {
    /// Percent of the last 10, 60 and 300 seconds, as JSON would have the numbers: `0`, `1.5`.
    pub averages: [String; 3],
    pub total_us: u64,
}

impl Pressure {
    pub fn json(&self) -> String {
        let mut psi = Object::new();
        for (name, stall) in [("some", &self.some), ("full", &self.full)] {
            let mut one = Object::new();
            for (name, average) in ["avg10", "avg60", "avg300"].iter().zip(&stall.averages) {
                one.put(name, average);
            }
            one.number("total", stall.total_us);
            psi.put(name, &one.finish());
        }
        psi.finish()
    }
}

/// A list of what went to and from each device, reading and writing under the two names.
pub fn io_json(io: &[Io], names: [&str; 2], counts: fn(&Io) -> [u64; 2]) -> String {
    let mut all = Vec::new();
    for device in io {
        for (name, value) in names.iter().zip(counts(device)) {
            let mut entry = Object::new();
            entry
                .number("major", device.major)
                .number("minor", device.minor)
                .text("op", name)
                .number("value", value);
            all.push(entry.finish());
        }
    }
    object::list(&all)
}

impl Group {
    pub fn stats(&self) -> Stats {
        let cpu = self.keyed("cpu.stat");
        let memory_stat = self.keyed("memory.stat");
        Stats {
            memory_bytes: self.number("memory.current"),
            memory_bytes_max: self.number("memory.max"),
            memory_bytes_peak: self.number("memory.peak"),
            swap_bytes: self.number("memory.swap.current"),
            swap_bytes_max: self.number("memory.swap.max"),
            swap_bytes_peak: self.number("memory.swap.peak"),
            inactive_file_bytes: field(&memory_stat, "inactive_file"),
            memory_stat,
            cpu_us: field(&cpu, "usage_usec"),
            cpu_user_us: field(&cpu, "user_usec"),
            cpu_system_us: field(&cpu, "system_usec"),
            throttled_periods: field(&cpu, "nr_throttled"),
            throttled_us: field(&cpu, "throttled_usec"),
            periods: field(&cpu, "nr_periods"),
            pids: self.number("pids.current"),
            pids_max: self.number("pids.max"),
            io: io(&self.read("io.stat").unwrap_or_default()),
            hugetlb: self.hugetlb(),
            cpu_pressure: self.pressure("cpu.pressure"),
            memory_pressure: self.pressure("memory.pressure"),
            io_pressure: self.pressure("io.pressure"),
        }
    }

    /// What was written to each disk. `None` without an io controller.
    pub fn written_bytes(&self) -> Option<Vec<(u64, u64, u64)>> {
        let all = io(&self.read("io.stat")?);
        Some(
            all.iter()
                .map(|io| (io.major, io.minor, io.written_bytes))
                .collect(),
        )
    }

    /// How many processes of the group the OOM killer has taken.
    pub fn oom_kills(&self) -> u64 {
        field(&self.keyed("memory.events"), "oom_kill").unwrap_or(0)
    }

    fn number(&self, file: &str) -> Option<u64> {
        self.read(file)?.trim().parse().ok()
    }

    fn keyed(&self, file: &str) -> Vec<(String, u64)> {
        keyed(&self.read(file).unwrap_or_default())
    }

    fn pressure(&self, file: &str) -> Option<Pressure> {
        // Where PSI is switched off the file exists and can't be read.
        Some(pressure(&self.read(file)?))
    }

    /// The sizes are those of this machine.
    fn hugetlb(&self) -> Vec<Hugetlb> {
        let Ok(entries) = std::fs::read_dir("/sys/kernel/mm/hugepages") else {
            return Vec::new();
        };
        let mut all = Vec::new();
        for entry in entries.flatten() {
            let size = entry.file_name().to_str().and_then(page_size);
            all.extend(size.and_then(|size| self.pages(size)));
        }
        all.sort_unstable_by(|a, b| a.size.cmp(&b.size));
        all
    }

    fn pages(&self, size: String) -> Option<Hugetlb> {
        let file = |part| format!("hugetlb.{size}.{part}");
        Some(Hugetlb {
            bytes: self.number(&file("current"))?,
            bytes_peak: self.number(&file("peak")).unwrap_or(0),
            failures: field(&self.keyed(&file("events")), "max").unwrap_or(0),
            size,
        })
    }
}

/// `hugepages-2048kB` as cgroups call it.
fn page_size(name: &str) -> Option<String> {
    let digits = name.strip_prefix("hugepages-")?.strip_suffix("kB")?;
    let size: u64 = digits.parse().ok()?;
    Some(match size {
        0x10_0000.. => format!("{}GB", size >> 20),
        0x400.. => format!("{}MB", size >> 10),
        _ => format!("{size}KB"),
    })
}

/// Lines of a name and a number.
fn keyed(text: &str) -> Vec<(String, u64)> {
    text.lines()
        .filter_map(|line| {
            let (key, value) = line.split_once(' ')?;
            Some((key.to_string(), value.parse().ok()?))
        })
        .collect()
}

fn field(fields: &[(String, u64)], name: &str) -> Option<u64> {
    let found = fields.iter().find(|(key, _)| key == name);
    found.map(|(_, value)| *value)
}

/// `8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=0 dios=0`; a device may come without the rest.
fn io(text: &str) -> Vec<Io> {
    text.lines()
        .filter_map(|line| {
            let mut words = line.split(' ');
            let (major, minor) = words.next()?.split_once(':')?;
            let mut io = Io {
                major: major.parse().ok()?,
                minor: minor.parse().ok()?,
                ..Io::default()
            };
            let mut is_empty = true;
            for (name, value) in words.filter_map(|word| word.split_once('=')) {
                let place = match name {
                    "rbytes" => &mut io.read_bytes,
                    "wbytes" => &mut io.written_bytes,
                    "rios" => &mut io.reads,
                    "wios" => &mut io.writes,
                    _ => continue,
                };
                *place = value.parse().ok()?;
                is_empty = false;
            }
            (!is_empty).then_some(io)
        })
        .collect()
}

/// `some avg10=0.00 avg60=1.50 avg300=0.00 total=12`, and the same for `full`.
fn pressure(text: &str) -> Pressure {
    let mut pressure = Pressure::default();
    for line in text.lines() {
        let mut words = line.split(' ');
        let stall = match words.next() {
            Some("some") => &mut pressure.some,
            Some("full") => &mut pressure.full,
            _ => continue,
        };
        for (name, value) in words.filter_map(|word| word.split_once('=')) {
            match name {
                "avg10" => stall.averages[0] = shortest(value),
                "avg60" => stall.averages[1] = shortest(value),
                "avg300" => stall.averages[2] = shortest(value),
                "total" => stall.total_us = value.parse().unwrap_or(0),
                _ => {}
            }
        }
    }
    for average in pressure
        .some
        .averages
        .iter_mut()
        .chain(&mut pressure.full.averages)
    {
        if average.is_empty() {
            average.push('0');
        }
    }
    pressure
}

/// The kernel's two decimals without the zeros at their end. What is no number is none.
fn shortest(number: &str) -> String {
    match number
        .bytes()
        .all(|byte| byte.is_ascii_digit() || byte == b'.')
    {
        true if number.contains('.') => {
            let short = number.trim_end_matches('0').trim_end_matches('.');
            short.to_string()
        }
        true => number.to_string(),
        false => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_by_their_whole_name() {
        let fields = keyed("oom 3\noom_kill 2\noom_group_kill 0\nbroken\nword x\n");
        assert_eq!(fields.len(), 3);
        assert_eq!(field(&fields, "oom_kill"), Some(2));
        assert_eq!(field(&fields, "oom"), Some(3));
        assert_eq!(field(&fields, "max"), None);
    }

    #[test]
    fn devices_are_lines_of_io_stat() {
        let text = "8:16 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=5 dios=6\n7:0 \nnonsense\n";
        assert_eq!(
            io(text),
            [Io {
                major: 8,
                minor: 16,
                read_bytes: 1,
                written_bytes: 2,
                reads: 3,
                writes: 4,
            }]
        );
    }

    #[test]
    fn pressure_is_told_in_numbers_of_json() {
        let text = "some avg10=0.00 avg60=1.50 avg300=10.00 total=12\n\
            full avg10=100.00 avg60=0.05 total=7\n";
        let Pressure { some, full } = pressure(text);
        assert_eq!(
            (some.averages.join(" "), some.total_us),
            ("0 1.5 10".into(), 12)
        );
        assert_eq!(
            (full.averages.join(" "), full.total_us),
            ("100 0.05 0".into(), 7)
        );
        // Before Linux 5.13 nothing could be all stalled for the processor.
        assert_eq!(pressure("some avg10=x").full.averages.join(" "), "0 0 0");
    }

    #[test]
    fn page_sizes_are_named_as_the_kernel_names_their_files() {
        for (name, expected) in [
            ("hugepages-2048kB", Some("2MB")),
            ("hugepages-1048576kB", Some("1GB")),
            ("hugepages-64kB", Some("64KB")),
            ("hugepages-2048", None),
            ("x", None),
        ] {
            assert_eq!(page_size(name).as_deref(), expected, "{name}");
        }
    }
}
