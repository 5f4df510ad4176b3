//! Limits of config.json, which speaks cgroup v1, as files of cgroup v2 (runc's conversions).

use crate::error::{Error, Kind, Result};
use crate::oci::spec::{Cpu, Memory, Resources};

/// Controllers whose files `unified` may name.
const CONTROLLERS: [&str; 8] = [
    "cpu", "cpuset", "hugetlb", "io", "memory", "misc", "pids", "rdma",
];

type Files = Vec<(String, String)>;

/// What to write, in order: file and value.
pub fn files(resources: Option<&Resources>) -> Result<Files> {
    let mut files = Files::new();
    let Some(resources) = resources else {
        return Ok(files);
    };
    if let Some(memory) = &resources.memory {
        memory_files(memory, &mut files)?;
    }
    if let Some(cpu) = &resources.cpu {
        cpu_files(cpu, &mut files);
    }
    let limit = resources.pids.as_ref().and_then(|pids| pids.limit);
    if let Some(limit) = limit.filter(|limit| *limit != 0) {
        put(&mut files, "pids.max", max_or(limit));
    }
    for (name, value) in resources.unified.iter().flatten() {
        check_unified(name)?;
        put(&mut files, name, value.clone());
    }
    Ok(files)
}

fn put(files: &mut Files, file: &str, value: String) {
    files.push((file.to_string(), value));
}

fn max_or(value: i64) -> String {
    match value {
        ..0 => "max".to_string(),
        _ => value.to_string(),
    }
}

fn memory_files(memory: &Memory, files: &mut Files) -> Result<()> {
    let limit = memory.limit.unwrap_or(0);
    if let Some(swap) = swap_alone(limit, memory.swap.unwrap_or(0))? {
        put(files, "memory.swap.max", swap);
    }
    if limit != 0 {
        put(files, "memory.max", max_or(limit));
    }
    match memory.reservation.unwrap_or(0) {
        0 => {}
        reservation => put(files, "memory.low", max_or(reservation)),
    }
    Ok(())
}

/// v1 counts memory and swap together, v2 swap alone. `None`: not to be set.
fn swap_alone(memory: i64, both: i64) -> Result<Option<String>> {
    match (memory, both) {
        (-1, 0) => Ok(Some("max".to_string())),
        (_, 0) => Ok(None),
        (_, -1) => Ok(Some("max".to_string())),
        (..=0, _) => Err(Error::invalid(
            "unable to set swap limit without memory limit",
        )),
        (_, ..0) => Err(Error::invalid(format!("invalid memory+swap value: {both}"))),
        (memory, both) if both < memory => Err(Error::invalid(
            "memory+swap limit should be >= memory limit",
        )),
        (memory, both) => Ok(Some((both - memory).to_string())),
    }
}

fn cpu_files(cpu: &Cpu, files: &mut Files) {
    if let Some(shares) = cpu.shares.filter(|shares| *shares != 0) {
        put(files, "cpu.weight", weight(shares).to_string());
    }
    let (quota, period) = (cpu.quota.unwrap_or(0), cpu.period.unwrap_or(0));
    if quota != 0 || period != 0 {
        /// The kernel's default, in microseconds.
        const PERIOD: u64 = 100_000;
        let quota = if quota > 0 { quota } else { -1 };
        let period = if period == 0 { PERIOD } else { period };
        put(files, "cpu.max", format!("{} {period}", max_or(quota)));
    }
    for (file, list) in [("cpuset.cpus", &cpu.cpus), ("cpuset.mems", &cpu.mems)] {
        if let Some(list) = list.as_ref().filter(|list| !list.is_empty()) {
            put(files, file, list.clone());
        }
    }
}

/// v1's shares (2 to 262144, default 1024) as v2's weight (1 to 10000, default 100).
///
/// The curve is runc's since 1.3.2: quadratic in the logarithm, so that both defaults and both
/// ends meet; the linear formula before it made 39 of 1024. In whole numbers (a weight in 4000
/// differs from runc's, by one), because libc's log2 and pow are 11 kB of tables.
fn weight(shares: u64) -> u64 {
    const LOG2_OF_10: u64 = 55_732_705;
    match shares {
        ..=2 => 1,
        262_144.. => 10_000,
        _ => {
            let log = log2(shares);
            let exponent = (log * log / ONE + 125 * log) / 612 - 7 * ONE / 34;
            least_with_log2(exponent * LOG2_OF_10 / ONE)
        }
    }
}

/// The scale of the fixed-point numbers here.
const ONE: u64 = 1 << 24;

/// The logarithm, scaled by `ONE`: each squaring of the rest moves out another binary digit.
fn log2(value: u64) -> u64 {
    let whole = value.ilog2();
    let mut rest = value << 31 >> whole;
    let mut log = u64::from(whole);
    for _ in 0..ONE.ilog2() {
        rest = (rest * rest) >> 31;
        let digit = rest >> 32;
        rest >>= digit;
        log = (log << 1) | digit;
    }
    log
}

fn least_with_log2(wanted: u64) -> u64 {
    let (mut low, mut high) = (1, 10_000);
    while low < high {
        let middle = u64::midpoint(low, high);
        if log2(middle) < wanted {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    low
}

/// Only files of controllers, and by name: a path, or `cgroup.procs`, would do other things.
fn check_unified(name: &str) -> Result<()> {
    if name.contains('/') {
        return Err(Error::invalid(format!(
            "unified resource {name:?} must be a file name (no slashes)"
        )));
    }
    let known = |controller: &str| CONTROLLERS.contains(&controller);
    match name.split_once('.') {
        Some((controller, rest)) if known(controller) && !rest.is_empty() => Ok(()),
        _ => Err(Error::invalid(format!(
            "unified resource {name:?} is no file of a cgroup v2 controller"
        ))),
    }
}

/// The error for a limit that nobody here can enforce.
pub fn no_controller(file: &str) -> Error {
    let controller = file.split('.').next().unwrap_or(file);
    Error::new(
        Kind::Unsupported,
        format!(
            "cannot set {file}: cgroup v2 has no {controller} controller here (bound to cgroup v1, or not in this kernel)"
        ),
    )
}

/// Without cgroup v2 no limit can be kept.
pub fn refuse_all(resources: Option<&Resources>) -> Result<()> {
    match files(resources)?.first() {
        Some((file, _)) => Err(no_controller(file)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(resources: &Resources) -> Vec<String> {
        let files = files(Some(resources)).unwrap();
        files
            .iter()
            .map(|(file, value)| format!("{file}={value}"))
            .collect()
    }

    #[test]
    fn limits_are_converted_as_runc_does() {
        let resources = Resources {
            memory: Some(Memory {
                limit: Some(100),
                swap: Some(150),
                reservation: Some(50),
            }),
            cpu: Some(Cpu {
                shares: Some(1024),
                quota: Some(50_000),
                cpus: Some("0-1".to_string()),
                ..Cpu::default()
            }),
            pids: Some(crate::oci::spec::Pids { limit: Some(-1) }),
            ..Resources::default()
        };
        assert_eq!(
            told(&resources),
            [
                "memory.swap.max=50",
                "memory.max=100",
                "memory.low=50",
                "cpu.weight=100",
                "cpu.max=50000 100000",
                "cpuset.cpus=0-1",
                "pids.max=max",
            ]
        );
    }

    #[test]
    fn the_ends_and_the_defaults_of_shares_and_weight_meet() {
        let pairs = [
            (1, 1),
            (2, 1),
            (3, 2),
            (100, 17),
            (512, 59),
            (1024, 100),
            (2048, 174),
        ];
        for (shares, expected) in pairs {
            assert_eq!(weight(shares), expected, "{shares}");
        }
        assert_eq!(weight(262_144), 10_000);
        assert!(
            (2..262_144)
                .step_by(997)
                .all(|shares| weight(shares) <= weight(shares + 997))
        );
    }

    #[test]
    fn swap_needs_memory_and_room() {
        assert_eq!(swap_alone(0, 0).unwrap(), None);
        assert_eq!(swap_alone(100, 100).unwrap().as_deref(), Some("0"));
        assert_eq!(swap_alone(100, -1).unwrap().as_deref(), Some("max"));
        assert!(swap_alone(0, 100).is_err());
        assert!(swap_alone(100, 50).is_err());
        assert!(swap_alone(100, -2).is_err());
    }

    #[test]
    fn unified_names_are_files_of_controllers() {
        assert!(check_unified("memory.high").is_ok());
        for bad in [
            "../x",
            "memory/../../x",
            "cgroup.procs",
            "memory",
            "memory.",
            "notes.txt",
        ] {
            assert!(check_unified(bad).is_err(), "{bad:?}");
        }
    }
}
