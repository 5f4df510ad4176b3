//! Limits of config.json, which speaks cgroup v1, as files of cgroup v2 (runc's conversions).
//!
//! What only v1 knows and runc passes over (kernel memory, swappiness, disableOOMKiller,
//! leafWeight) is passed over here; what would be a limit and cannot be one is an error.

use crate::cgroup::weight;
use crate::error::{Error, Result};
use crate::json::map::Map;
use crate::oci::spec::{
    BlockIo, Cpu, HugepageLimit, Memory, Rdma, Resources, ThrottleDevice, WeightDevice,
};

/// What stands in a file of the group now; `None` where it is not there.
pub type Current<'a> = &'a dyn Fn(&str) -> Option<String>;

/// One write to one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limit {
    pub file: String,
    pub value: String,
}

impl Limit {
    /// Whether nothing is lost where the file does not exist: it would not limit anything, it is
    /// what every group begins with (engines ask for 1024 shares of the CPU when they mean none),
    /// there is no swap, or the kernel is too old to count reservations (5.7).
    pub fn is_optional(&self) -> bool {
        let is_default = matches!(
            (self.file.as_str(), self.value.as_str()),
            ("cpu.weight", "100") | ("cpu.idle" | "cpu.max.burst" | "memory.swap.max", "0")
        );
        is_default
            || self.value == "max"
            || (self.file == "cpu.max" && self.value.starts_with("max "))
            || self.file.ends_with(".rsvd.max")
    }
}

type Limits = Vec<Limit>;

/// What to write, in order. `current` tells what a living group has, which decides where only one
/// half of a pair is given.
pub fn limits(resources: &Resources, current: Current<'_>) -> Result<Limits> {
    let mut limits = Limits::new();
    refuse_v1(resources)?;
    if let Some(limit) = resources.pids.as_ref().and_then(|pids| pids.limit) {
        // v1's way to say "none" was 0, the kernel's meaning of it is "no fork at all".
        let limit = if limit == 0 { 1 } else { limit };
        put(&mut limits, "pids.max", max_or(limit));
    }
    if let Some(memory) = &resources.memory {
        memory_limits(memory, current, &mut limits)?;
    }
    if let Some(io) = &resources.block_io {
        io_limits(io, current, &mut limits)?;
    }
    if let Some(cpu) = &resources.cpu {
        cpu_limits(cpu, current, &mut limits)?;
    }
    for limit in resources.hugepage_limits.iter().flatten() {
        hugetlb_limits(limit, &mut limits)?;
    }
    for (device, limit) in resources.rdma.iter().flatten() {
        rdma_limit(device, limit, &mut limits)?;
    }
    Ok(limits)
}

fn put(limits: &mut Limits, file: &str, value: String) {
    limits.push(Limit {
        file: file.to_string(),
        value,
    });
}

fn max_or(value: i64) -> String {
    match value {
        ..0 => "max".to_string(),
        _ => value.to_string(),
    }
}

/// Zero, and a list without entries, ask for nothing.
fn refuse_v1(resources: &Resources) -> Result<()> {
    let cpu = resources.cpu.as_ref();
    let network = resources.network.as_ref();
    let refused = [
        (
            cpu.and_then(|cpu| cpu.realtime_runtime)
                .is_some_and(|time| time != 0),
            "cpu.realtimeRuntime",
        ),
        (
            cpu.and_then(|cpu| cpu.realtime_period)
                .is_some_and(|time| time != 0),
            "cpu.realtimePeriod",
        ),
        (
            network
                .and_then(|net| net.class_id)
                .is_some_and(|id| id != 0),
            "network.classID",
        ),
        (
            network.is_some_and(|net| net.priorities.iter().flatten().next().is_some()),
            "network.priorities",
        ),
    ];
    match refused.iter().find(|(asked, _)| *asked) {
        Some((_, member)) => Err(Error::unsupported(format!(
            "linux.resources.{member} cannot be set: cgroup v2 has no such limit"
        ))),
        None => Ok(()),
    }
}

fn memory_limits(memory: &Memory, current: Current<'_>, limits: &mut Limits) -> Result<()> {
    let (limit, both) = (memory.limit.unwrap_or(0), memory.swap.unwrap_or(0));
    if memory.check_before_update == Some(true) {
        check_usage(limit, both, current)?;
    }
    // Swap alone on a living group: what it holds already is the other half.
    let known = match limit {
        0 if both > 0 => number(current, "memory.max").unwrap_or(0),
        limit => limit,
    };
    // Swap first: a memory limit that shrinks needs it at once, to have somewhere to put pages.
    if let Some(swap) = swap_alone(known, both)? {
        put(limits, "memory.swap.max", swap);
    }
    for (file, bytes) in [
        ("memory.max", limit),
        ("memory.low", memory.reservation.unwrap_or(0)),
    ] {
        match bytes {
            0 => {}
            ..=-2 => return Err(invalid_memory(bytes)),
            bytes => put(limits, file, max_or(bytes)),
        }
    }
    Ok(())
}

fn invalid_memory(bytes: i64) -> Error {
    Error::invalid(format!("invalid memory value: {bytes}"))
}

fn number(current: Current<'_>, file: &str) -> Option<i64> {
    current(file)?.trim().parse().ok()
}

/// Below what is in use a limit makes the kernel kill; `checkBeforeUpdate` refuses that.
fn check_usage(limit: i64, both: i64, current: Current<'_>) -> Result<()> {
    let Some(usage) = number(current, "memory.current") else {
        return Ok(());
    };
    for (name, limit) in [("memory+swap", both), ("memory", limit)] {
        if limit > 0 && limit <= usage {
            return Err(Error::invalid(format!(
                "rejecting {name} limit {limit} <= usage {usage}"
            )));
        }
    }
    Ok(())
}

/// v1 counts memory and swap together, v2 swap alone. `None`: not to be set.
fn swap_alone(memory: i64, both: i64) -> Result<Option<String>> {
    match (memory, both) {
        (-1, 0) | (_, -1) => Ok(Some("max".to_string())),
        (_, 0) => Ok(None),
        (-1, 0..) => Ok(Some(both.to_string())),
        (0, _) => Err(Error::invalid(
            "unable to set swap limit without memory limit",
        )),
        (..0, _) => Err(invalid_memory(memory)),
        (memory, both) if both < memory => Err(Error::invalid(
            "memory+swap limit should be >= memory limit",
        )),
        (memory, both) => Ok(Some((both - memory).to_string())),
    }
}

fn cpu_limits(cpu: &Cpu, current: Current<'_>, limits: &mut Limits) -> Result<()> {
    if let Some(idle) = cpu.idle {
        put(limits, "cpu.idle", idle.to_string());
    }
    // An idle group has no weight, and the kernel refuses one.
    let shares = cpu.shares.filter(|shares| *shares != 0);
    if let Some(shares) = shares.filter(|_| cpu.idle != Some(1)) {
        put(limits, "cpu.weight", weight::of_shares(shares).to_string());
    }

    // The kernel wants burst <= quota at any time. So burst goes first, for a quota that shrinks,
    // and again after a quota that may have grown (`Group::apply` needs the second only then).
    let (quota, period) = (cpu.quota.unwrap_or(0), cpu.period.unwrap_or(0));
    if let Some(burst) = cpu.burst.filter(|burst| quota > 0 && *burst > quota as u64) {
        return Err(Error::invalid(format!(
            "linux.resources.cpu.burst is {burst}, more than the quota, {quota}"
        )));
    }
    let burst = cpu.burst.map(|burst| burst.to_string());
    if let Some(burst) = &burst {
        put(limits, "cpu.max.burst", burst.clone());
    }
    let bandwidth = match (quota, period) {
        (0, 0) => None,
        // Without a second word the period stays.
        (quota, 0) => Some(max_or(quota)),
        (0, period) => {
            let now = current("cpu.max").unwrap_or_default();
            let quota = now.split(' ').next().filter(|quota| !quota.is_empty());
            Some(format!("{} {period}", quota.unwrap_or("max")))
        }
        (quota, period) => Some(format!("{} {period}", max_or(quota))),
    };
    if let Some(bandwidth) = bandwidth {
        put(limits, "cpu.max", bandwidth);
        if let Some(burst) = burst {
            put(limits, "cpu.max.burst", burst);
        }
    }

    for (file, list) in [("cpuset.cpus", &cpu.cpus), ("cpuset.mems", &cpu.mems)] {
        if let Some(list) = list.as_ref().filter(|list| !list.is_empty()) {
            put(limits, file, list.clone());
        }
    }
    Ok(())
}

fn io_limits(io: &BlockIo, current: Current<'_>, limits: &mut Limits) -> Result<()> {
    let weight = io.weight.filter(|weight| *weight != 0);
    let weights = io.weight_device.as_deref().unwrap_or_default();
    if weight.is_some() || !weights.is_empty() {
        // Where the BFQ scheduler is, its scale is v1's own.
        let bfq = current("io.bfq.weight").is_some();
        if let Some(weight) = weight {
            put_weight(limits, bfq, "", weight)?;
        }
        for WeightDevice {
            major,
            minor,
            weight,
            ..
        } in weights
        {
            if let Some(weight) = weight.filter(|weight| *weight != 0) {
                put_weight(limits, bfq, &device(*major, *minor), weight)?;
            }
        }
    }
    for (name, devices) in [
        ("rbps", &io.throttle_read_bps),
        ("wbps", &io.throttle_write_bps),
        ("riops", &io.throttle_read_iops),
        ("wiops", &io.throttle_write_iops),
    ] {
        for ThrottleDevice { major, minor, rate } in devices.iter().flatten() {
            // v1 takes a limit away by 0; v2 refuses that number.
            let rate = match rate.unwrap_or(0) {
                0 => "max".to_string(),
                rate => rate.to_string(),
            };
            let line = format!("{}{name}={rate}", device(*major, *minor));
            put(limits, "io.max", line);
        }
    }
    Ok(())
}

fn put_weight(limits: &mut Limits, bfq: bool, device: &str, weight: u16) -> Result<()> {
    weight::check_block_io(weight)?;
    match bfq {
        true => put(limits, "io.bfq.weight", format!("{device}{weight}")),
        false => {
            let weight = weight::of_block_io(weight);
            put(limits, "io.weight", format!("{device}{weight}"));
        }
    }
    Ok(())
}

/// A device as the first word of a line.
fn device(major: Option<i64>, minor: Option<i64>) -> String {
    format!("{}:{} ", major.unwrap_or(0), minor.unwrap_or(0))
}

fn hugetlb_limits(limit: &HugepageLimit, limits: &mut Limits) -> Result<()> {
    let size = limit.page_size.as_deref().unwrap_or_default();
    if !is_page_size(size) {
        return Err(Error::invalid(format!(
            "linux.resources.hugepageLimits: pageSize {size:?} is not a size such as 2MB or 64KB"
        )));
    }
    for kind in ["", ".rsvd"] {
        let file = format!("hugetlb.{size}{kind}.max");
        put(limits, &file, limit.limit.unwrap_or(0).to_string());
    }
    Ok(())
}

/// The name becomes part of a file's (GHSA-5g49-rx9x-qfc6).
fn is_page_size(size: &str) -> bool {
    let digits = size.trim_end_matches(|c: char| !c.is_ascii_digit());
    let unit = size.get(digits.len()..).unwrap_or_default();
    matches!(unit, "KB" | "MB" | "GB")
        && !digits.starts_with('0')
        && digits.bytes().all(|byte| byte.is_ascii_digit())
        && !digits.is_empty()
}

fn rdma_limit(device: &str, limit: &Rdma, limits: &mut Limits) -> Result<()> {
    if device.is_empty() || device.contains(char::is_whitespace) {
        return Err(Error::invalid(format!(
            "linux.resources.rdma: {device:?} is no device"
        )));
    }
    let mut line = device.to_string();
    for (name, count) in [
        ("hca_handle", limit.hca_handles),
        ("hca_object", limit.hca_objects),
    ] {
        if let Some(count) = count {
            line.push_str(&format!(" {name}={count}"));
        }
    }
    put(limits, "rdma.max", line);
    Ok(())
}

/// Only files of controllers, and by name: a path, or `cgroup.procs`, would do other things.
pub fn check_unified(unified: &Map<String>) -> Result<()> {
    for name in unified.keys() {
        if name.contains('/') {
            return Err(Error::invalid(format!(
                "unified resource {name:?} must be a file name (no slashes)"
            )));
        }
        match name.split_once('.') {
            Some(("cgroup", file)) if !file.starts_with("max.") && file != "pressure" => {
                return Err(Error::invalid(format!(
                    "unified resource {name:?} is no limit"
                )));
            }
            Some((controller, file)) if !controller.is_empty() && !file.is_empty() => {}
            _ => {
                return Err(Error::invalid(format!(
                    "unified resource {name:?} must be in the form CONTROLLER.PARAMETER"
                )));
            }
        }
    }
    Ok(())
}

/// Whether something is asked for that threaded groups cannot have (cgroups(7)): of the
/// controllers here, cpu, cpuset and pids can be.
pub fn needs_domain(resources: &Resources) -> Result<bool> {
    let threaded = |file: &str| {
        let controller = file.split('.').next();
        matches!(controller, Some("cpu" | "cpuset" | "pids"))
    };
    let unified = resources.unified.iter().flatten();
    Ok(limits(resources, &|_| None)?
        .iter()
        .map(|limit| &limit.file)
        .chain(unified.map(|(file, _)| file))
        .any(|file| !threaded(file)))
}

/// The first file that asks for a limit, if there is one.
pub fn first(resources: Option<&Resources>) -> Result<Option<String>> {
    let Some(resources) = resources else {
        return Ok(None);
    };
    if let Some(unified) = &resources.unified {
        check_unified(unified)?;
    }
    let limits = limits(resources, &|_| None)?;
    let file = limits
        .into_iter()
        .find(|limit| !limit.is_optional())
        .map(|limit| limit.file);
    let unified = resources.unified.iter().flatten().next();
    Ok(file.or(unified.map(|(file, _)| file.clone())))
}

#[cfg(test)]
mod tests;
