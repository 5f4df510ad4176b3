//! Limits: what makes no sense is refused, and so is what this host cannot enforce. An engine with
//! `--limits=best-effort` goes on without the latter, with Docker's warning (moby, daemon_unix.go,
//! verifyPlatformContainerResources). `update` asks the same.

use crate::engine::config::{Limits, Options};
use crate::engine::spec::resources::Controllers;
use crate::error::{Error, Result};
use crate::kernel::{Feature, lacks};
use crate::shim::budget;
use crate::wire::container::HostConfig;
use std::path::Path;

/// Docker's least memory limit (moby, daemon_unix.go, linuxMinMemory).
const MEMORY_BYTES_MIN: i64 = 6 << 20;

pub fn check(
    host: &mut HostConfig,
    controllers: Controllers,
    is_update: bool,
    policy: Limits,
    warnings: &mut Vec<String>,
) -> Result<()> {
    let mut lost = Lost { policy, warnings };
    discard_unknown(host, &mut lost)?;
    memory(host, controllers, is_update, &mut lost)?;
    pids(host, controllers, &mut lost)?;
    cpu(host, controllers, &mut lost)?;
    cpuset(host, controllers, &mut lost)?;
    write_budget(host, controllers, &mut lost)?;
    block_io(host, controllers, &mut lost)
}

/// Takes the limits that nobody can hold here.
struct Lost<'a> {
    policy: Limits,
    warnings: &'a mut Vec<String>,
}

/// Why a limit cannot be held.
#[derive(Clone, Copy)]
enum Why {
    Lacks(Feature),
    /// No cgroup v2 has it, or no Linux.
    NoSuch,
    /// The same of what bounds nothing: a warning will do.
    Harmless,
}

impl Lost<'_> {
    /// Drop `limit` where it asks for something, and say so; or refuse it. `sentence` is Docker's.
    fn discard<T>(&mut self, limit: &mut Option<T>, why: Why, sentence: &str) -> Result<()> {
        match limit.take() {
            Some(_) => self.tell(why, sentence),
            None => Ok(()),
        }
    }

    fn tell(&mut self, why: Why, sentence: &str) -> Result<()> {
        let reason = match (self.policy, why) {
            (Limits::BestEffort, _) | (_, Why::Harmless) => {
                self.warnings.push(sentence.to_string());
                return Ok(());
            }
            (Limits::Strict, Why::Lacks(feature)) => lacks(feature),
            (Limits::Strict, Why::NoSuch) => "(cgroup v2 has no such limit)".to_string(),
        };
        let (lack, _) = sentence.split_once(". ").unwrap_or((sentence, ""));
        Err(Error::invalid(format!(
            "{lack} {reason}; leave it out, or give the engine --limits=best-effort to go on without"
        )))
    }
}

/// What the container gets where it does not say.
pub fn complete(host: &mut HostConfig, options: &Options) {
    if let Some(memory) = host.memory.filter(|memory| *memory > 0)
        && host.memory_swap.unwrap_or(0) == 0
    {
        host.memory_swap = memory.checked_mul(2);
    }
    let size = host.shm_size.filter(|size| *size > 0);
    host.shm_size = Some(size.unwrap_or(options.shm_size_bytes));
}

/// Zero and empty lists ask for nothing, and are what Docker's clients send then.
fn forget_zero(limit: &mut Option<i64>) {
    limit.take_if(|limit| *limit == 0);
}

/// What no cgroup v2 has, or no Linux.
fn discard_unknown(host: &mut HostConfig, lost: &mut Lost<'_>) -> Result<()> {
    // The client's way to say nothing.
    host.memory_swappiness
        .take_if(|swappiness| *swappiness == -1);
    lost.discard(
        &mut host.memory_swappiness,
        Why::Harmless,
        "Your kernel does not support memory swappiness capabilities or the cgroup is not mounted. Memory swappiness discarded.",
    )?;
    host.oom_kill_disable.take_if(|disable| !*disable);
    lost.discard(
        &mut host.oom_kill_disable,
        Why::Harmless,
        "Your kernel does not support OomKillDisable. OomKillDisable discarded.",
    )?;
    for (limit, sentence) in [
        (
            &mut host.kernel_memory,
            "Your kernel does not support kernel memory limit capabilities or the cgroup is not mounted. Limitation discarded.",
        ),
        (
            &mut host.kernel_memory_tcp,
            "Your kernel does not support kernel memory TCP limit capabilities or the cgroup is not mounted. Limitation discarded.",
        ),
        (
            &mut host.cpu_percent,
            "linux does not support CPU percent. Percent discarded.",
        ),
        (
            &mut host.cpu_count,
            "linux does not support CPU count. Count discarded.",
        ),
    ] {
        limit.take_if(|limit| *limit <= 0);
        lost.discard(limit, Why::NoSuch, sentence)?;
    }
    Ok(())
}

fn memory(
    host: &mut HostConfig,
    controllers: Controllers,
    is_update: bool,
    lost: &mut Lost<'_>,
) -> Result<()> {
    for limit in [
        &mut host.memory,
        &mut host.memory_swap,
        &mut host.memory_reservation,
    ] {
        forget_zero(limit);
    }
    if host.memory.is_some_and(|memory| memory < MEMORY_BYTES_MIN) {
        return Err(Error::invalid("Minimum memory limit allowed is 6MB"));
    }
    if !controllers.memory && host.memory.is_some() {
        lost.discard(
            &mut host.memory,
            Why::Lacks(Feature::Memcg),
            "Your kernel does not support memory limit capabilities or the cgroup is not mounted. Limitation discarded.",
        )?;
        host.memory_swap = Some(-1);
    }
    if !controllers.swap && host.memory.is_some() && host.memory_swap != Some(-1) {
        // Nobody asked, or there is nothing to swap to: then the limit holds as it is.
        let is_kept = host.memory_swap.is_none() || !Path::new("/proc/swaps").exists();
        lost.tell(
            if is_kept { Why::Harmless } else { Why::Lacks(Feature::MemcgSwap) },
            "Your kernel does not support swap limit capabilities or the cgroup is not mounted. Memory limited without swap.",
        )?;
        host.memory_swap = Some(-1);
    }
    match (host.memory, host.memory_swap) {
        (Some(memory), Some(swap)) if swap > 0 && swap < memory => {
            return Err(Error::invalid(
                "Minimum memoryswap limit should be larger than memory limit, see usage",
            ));
        }
        (None, Some(swap)) if swap > 0 && !is_update => {
            return Err(Error::invalid(
                "You should always set the Memory limit when using Memoryswap limit, see usage",
            ));
        }
        _ => {}
    }
    if !controllers.memory {
        host.memory_reservation.take_if(|bytes| *bytes < 0);
        lost.discard(
            &mut host.memory_reservation,
            Why::Lacks(Feature::Memcg),
            "Your kernel does not support memory soft limit capabilities or the cgroup is not mounted. Limitation discarded.",
        )?;
    }
    let reservation = host.memory_reservation.filter(|bytes| *bytes > 0);
    if reservation.is_some_and(|bytes| bytes < MEMORY_BYTES_MIN) {
        return Err(Error::invalid("Minimum memory reservation allowed is 6MB"));
    }
    if host.memory.is_some_and(|memory| reservation > Some(memory)) {
        return Err(Error::invalid(
            "Minimum memory limit can not be less than memory reservation limit, see usage",
        ));
    }
    Ok(())
}

fn pids(host: &mut HostConfig, controllers: Controllers, lost: &mut Lost<'_>) -> Result<()> {
    if controllers.pids {
        return Ok(());
    }
    host.pids_limit.take_if(|limit| *limit <= 0);
    lost.discard(
        &mut host.pids_limit,
        Why::Lacks(Feature::CgroupPids),
        "Your kernel does not support PIDs limit capabilities or the cgroup is not mounted. PIDs limit discarded.",
    )
}

fn cpu(host: &mut HostConfig, controllers: Controllers, lost: &mut Lost<'_>) -> Result<()> {
    let set = |limit: Option<i64>| limit.is_some_and(|limit| limit != 0);
    if set(host.cpu_realtime_period) || set(host.cpu_realtime_runtime) {
        return Err(Error::invalid(
            "Your kernel does not support CPU real-time scheduler",
        ));
    }
    for limit in [
        &mut host.nano_cpus,
        &mut host.cpu_shares,
        &mut host.cpu_period,
        &mut host.cpu_quota,
    ] {
        forget_zero(limit);
    }
    if let Some(nano) = host.nano_cpus {
        for (limit, name) in [(host.cpu_period, "Period"), (host.cpu_quota, "Quota")] {
            if nano > 0 && limit > Some(0) {
                return Err(Error::invalid(format!(
                    "Conflicting options: Nano CPUs and CPU {name} cannot both be set"
                )));
            }
        }
        if nano > 0 && !controllers.cpu_quota {
            // Docker refuses this one in any case.
            return Err(Error::invalid(format!(
                "NanoCPUs can not be set, as your kernel does not support CPU CFS scheduler or the cgroup is not mounted {}",
                lacks(controllers.no_quota())
            )));
        }
        let cpus = crate::engine::info::cpus();
        if nano < 0 || nano > cpus.saturating_mul(1_000_000_000) || (1..10_000_000).contains(&nano)
        {
            return Err(Error::invalid(format!(
                "range of CPUs is from 0.01 to {cpus}.00, as there are only {cpus} CPUs available"
            )));
        }
    }
    if !controllers.cpu_shares {
        host.cpu_shares.take_if(|shares| *shares < 0);
        lost.discard(
            &mut host.cpu_shares,
            Why::Lacks(controllers.no_shares()),
            "Your kernel does not support CPU shares or the cgroup is not mounted. Shares discarded.",
        )?;
    }
    if !controllers.cpu_quota {
        lost.discard(
            &mut host.cpu_period.take().or(host.cpu_quota.take()),
            Why::Lacks(controllers.no_quota()),
            "Your kernel does not support CPU CFS scheduler. CPU period/quota discarded.",
        )?;
        host.cpu_quota = None;
    }
    if host
        .cpu_period
        .is_some_and(|period| !(1_000..=1_000_000).contains(&period))
    {
        return Err(Error::invalid(
            "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)",
        ));
    }
    if host
        .cpu_quota
        .is_some_and(|quota| (1..1_000).contains(&quota))
    {
        return Err(Error::invalid(
            "CPU cfs quota can not be less than 1ms (i.e. 1000)",
        ));
    }
    Ok(())
}

fn cpuset(host: &mut HostConfig, controllers: Controllers, lost: &mut Lost<'_>) -> Result<()> {
    host.cpuset_cpus.take_if(|list| list.is_empty());
    host.cpuset_mems.take_if(|list| list.is_empty());
    if !controllers.cpuset {
        let mut either = host.cpuset_cpus.take().or(host.cpuset_mems.take());
        host.cpuset_mems = None;
        lost.discard(
            &mut either,
            Why::Lacks(Feature::Cpusets),
            "Your kernel does not support cpuset or the cgroup is not mounted. Cpuset discarded.",
        )?;
    }
    for (list, name, things) in [
        (&host.cpuset_cpus, "cpus", "CPUs"),
        (&host.cpuset_mems, "mems", "memory nodes"),
    ] {
        let Some(list) = list else { continue };
        let wanted = ranges(list).ok_or_else(|| {
            Error::invalid(format!(
                "Invalid value {list} for cpuset {name}: invalid format: {list}"
            ))
        })?;
        let available = crate::cgroup::cpuset(name);
        // A kernel without memory nodes has one.
        let available = if available.is_empty() {
            "0".to_string()
        } else {
            available
        };
        let offered = ranges(&available).unwrap_or_default();
        let is_offered = |number: u32| offered.iter().any(|range| range.contains(&number));
        if wanted.into_iter().any(|mut range| !range.all(is_offered)) {
            return Err(Error::invalid(format!(
                "Requested {things} are not available - requested {list}, available: {available}"
            )));
        }
    }
    Ok(())
}

/// CPUs and memory nodes have at most so many numbers, as in moby: `0-4294967295` is no list.
const CPUSET_MAX: u32 = 8192;

/// `0-2,7`.
fn ranges(list: &str) -> Option<Vec<std::ops::RangeInclusive<u32>>> {
    let number = |text: &str| text.parse().ok().filter(|number| *number < CPUSET_MAX);
    let range = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (number(first)?, number(last)?);
        (first <= last).then_some(first..=last)
    };
    list.trim().split(',').map(range).collect()
}

fn write_budget(
    host: &mut HostConfig,
    controllers: Controllers,
    lost: &mut Lost<'_>,
) -> Result<()> {
    let text = host.write_budget.as_deref().unwrap_or_default();
    let lacking = match (budget::parse(text)?, controllers) {
        (None, _) => return Ok(()),
        (_, Controllers { io: false, .. }) => Feature::BlkCgroup,
        // Nobody knows then whose the pages are that go to the disk.
        (_, Controllers { memory: false, .. }) => Feature::Memcg,
        _ => return Ok(()),
    };
    lost.discard(
        &mut host.write_budget,
        Why::Lacks(lacking),
        "Your kernel does not support write budgets or the cgroup is not mounted. Write budget discarded.",
    )
}

fn block_io(host: &mut HostConfig, controllers: Controllers, lost: &mut Lost<'_>) -> Result<()> {
    let set = |limit: Option<i64>| limit.is_some_and(|limit| limit != 0);
    for (is_set, name) in [
        (set(host.io_maximum_bandwidth), "bandwidth"),
        (set(host.io_maximum_iops), "IOPs"),
    ] {
        if is_set {
            return Err(Error::invalid(format!(
                "Invalid QoS settings: linux does not support configuration of maximum {name}"
            )));
        }
    }
    forget_zero(&mut host.blkio_weight);
    if !controllers.io_weight {
        lost.discard(
            &mut host.blkio_weight,
            Why::Lacks(controllers.no_weight()),
            "Your kernel does not support Block I/O weight or the cgroup is not mounted. Weight discarded.",
        )?;
    }
    if host
        .blkio_weight
        .is_some_and(|weight| !(10..=1000).contains(&weight))
    {
        return Err(Error::invalid("Range of blkio weight is from 10 to 1000"));
    }
    for (list, name, what) in [
        (
            &mut host.blkio_weight_device,
            "weight_device",
            "Weight-device",
        ),
        (&mut host.blkio_device_read_bps, "BPS read", "BPS read"),
        (&mut host.blkio_device_write_bps, "BPS write", "BPS write"),
        (&mut host.blkio_device_read_iops, "IOPS read", "IOPS read"),
        (
            &mut host.blkio_device_write_iops,
            "IOPS write",
            "IOPS write",
        ),
    ] {
        list.take_if(|list| list.is_empty());
        let (is_there, lack) = match name {
            "weight_device" => (controllers.io_weight, controllers.no_weight()),
            _ => (controllers.io_max, controllers.no_rate()),
        };
        if is_there {
            continue;
        }
        let sentence = match name.split_once(' ') {
            None => format!(
                "Your kernel does not support Block I/O {name} or the cgroup is not mounted. {what} discarded."
            ),
            Some(("BPS", way)) => format!(
                "Your kernel does not support BPS Block I/O {way} limit or the cgroup is not mounted. Block I/O BPS {way} limit discarded."
            ),
            Some((_, way)) => format!(
                "Your kernel does not support IOPS Block {way} limit or the cgroup is not mounted. Block I/O IOPS {way} limit discarded."
            ),
        };
        lost.discard(list, Why::Lacks(lack), &sentence)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Controllers = Controllers {
        memory: true,
        swap: true,
        cpu: true,
        cpu_quota: true,
        cpu_shares: true,
        cpuset: true,
        pids: true,
        io: true,
        io_max: true,
        io_weight: true,
    };

    /// The host configuration that a request's text asks for.
    fn host(text: &str) -> HostConfig {
        crate::json::parse(text, "test").unwrap()
    }

    fn checked(text: &str, controllers: Controllers) -> (String, Vec<String>) {
        checked_by(Limits::BestEffort, text, controllers)
    }

    fn checked_by(policy: Limits, text: &str, controllers: Controllers) -> (String, Vec<String>) {
        let mut host = host(text);
        let mut warnings = Vec::new();
        match check(&mut host, controllers, false, policy, &mut warnings) {
            Ok(()) => (crate::json::to_string(&host), warnings),
            Err(error) => (error.to_string(), warnings),
        }
    }

    /// What a strict engine says of it, which must be a refusal with nothing else.
    fn refusal(text: &str, controllers: Controllers) -> String {
        let (refusal, warnings) = checked_by(Limits::Strict, text, controllers);
        assert_eq!(warnings, Vec::<String>::new(), "{text}");
        let end = "; leave it out, or give the engine --limits=best-effort to go on without";
        let refusal = refusal.strip_suffix(end);
        refusal.unwrap_or_else(|| panic!("{text}")).to_string()
    }

    #[test]
    fn a_strict_engine_refuses_what_cannot_be_enforced() {
        let none = Controllers::default();
        let of = |feature: Feature| format!(" {}", lacks(feature));
        for (text, sentence, feature) in [
            (
                r#"{"Memory":67108864}"#,
                "Your kernel does not support memory limit capabilities or the cgroup is not mounted",
                Feature::Memcg,
            ),
            (
                r#"{"PidsLimit":5}"#,
                "Your kernel does not support PIDs limit capabilities or the cgroup is not mounted",
                Feature::CgroupPids,
            ),
            (
                r#"{"CpuQuota":2000}"#,
                "Your kernel does not support CPU CFS scheduler",
                Feature::CgroupSched,
            ),
            (
                r#"{"CpusetCpus":"0"}"#,
                "Your kernel does not support cpuset or the cgroup is not mounted",
                Feature::Cpusets,
            ),
            (
                r#"{"BlkioDeviceReadBps":[{"Path":"/dev/x","Rate":10}]}"#,
                "Your kernel does not support BPS Block I/O read limit or the cgroup is not mounted",
                Feature::BlkCgroup,
            ),
        ] {
            assert_eq!(refusal(text, none), sentence.to_string() + &of(feature));
            let kept = (text.to_string(), vec![]);
            assert_eq!(checked_by(Limits::Strict, text, ALL), kept);
        }
        // The controller alone is not all.
        let bare = Controllers {
            cpu_quota: false,
            cpu_shares: false,
            io_max: false,
            io_weight: false,
            ..ALL
        };
        for (text, feature) in [
            (r#"{"CpuQuota":2000}"#, Feature::CfsBandwidth),
            (r#"{"CpuShares":512}"#, Feature::FairGroupSched),
            (r#"{"BlkioWeight":100}"#, Feature::IoWeight),
            (
                r#"{"BlkioDeviceWriteIOps":[{"Path":"/dev/x","Rate":10}]}"#,
                Feature::BlkDevThrottling,
            ),
        ] {
            assert!(refusal(text, bare).ends_with(&of(feature)), "{text}");
        }
        let kernel_memory = refusal(r#"{"KernelMemory":1}"#, ALL);
        assert!(kernel_memory.ends_with(" (cgroup v2 has no such limit)"));
    }

    #[test]
    fn a_strict_engine_refuses_nothing_that_nobody_asked_for() {
        let nothing = r#"{"Memory":0,"MemorySwap":0,"MemorySwappiness":-1,"OomKillDisable":false,"PidsLimit":-1,"NanoCpus":0,"CpuShares":0,"CpusetCpus":"","BlkioWeight":0,"BlkioDeviceReadBps":[],"KernelMemory":0}"#;
        let (left, warnings) = checked_by(Limits::Strict, nothing, Controllers::default());
        assert_eq!((left.as_str(), warnings.len()), ("{}", 0));
        // What bounds nothing is told, as by Docker.
        let told = checked_by(Limits::Strict, r#"{"OomKillDisable":true}"#, ALL);
        assert_eq!((told.0.as_str(), told.1.len()), ("{}", 1));
    }

    #[test]
    fn a_limit_of_swap_is_refused_only_where_it_was_asked_for() {
        let without_swap = Controllers { swap: false, ..ALL };
        let memory = r#"{"Memory":67108864}"#;
        let (left, warnings) = checked_by(Limits::Strict, memory, without_swap);
        assert_eq!(left, r#"{"Memory":67108864,"MemorySwap":-1}"#);
        assert_eq!(warnings.len(), 1);
        if Path::new("/proc/swaps").exists() {
            let both = r#"{"Memory":67108864,"MemorySwap":134217728}"#;
            let sentence =
                "Your kernel does not support swap limit capabilities or the cgroup is not mounted";
            assert!(refusal(both, without_swap).starts_with(sentence));
        }
    }

    #[test]
    fn limits_that_make_no_sense_are_refused_in_dockers_words() {
        for (text, sentence) in [
            (
                r#"{"Memory":6291455}"#,
                "Minimum memory limit allowed is 6MB",
            ),
            (r#"{"Memory":-1}"#, "Minimum memory limit allowed is 6MB"),
            (
                r#"{"Memory":8388608,"MemorySwap":7340032}"#,
                "Minimum memoryswap limit should be larger than memory limit, see usage",
            ),
            (
                r#"{"MemorySwap":7340032}"#,
                "You should always set the Memory limit when using Memoryswap limit, see usage",
            ),
            (
                r#"{"MemoryReservation":1}"#,
                "Minimum memory reservation allowed is 6MB",
            ),
            (
                r#"{"Memory":8388608,"MemoryReservation":9388608}"#,
                "Minimum memory limit can not be less than memory reservation limit, see usage",
            ),
            (
                r#"{"NanoCpus":1000000000,"CpuPeriod":1000}"#,
                "Conflicting options: Nano CPUs and CPU Period cannot both be set",
            ),
            (
                r#"{"NanoCpus":1000000000,"CpuQuota":1000}"#,
                "Conflicting options: Nano CPUs and CPU Quota cannot both be set",
            ),
            (
                r#"{"CpuPeriod":999}"#,
                "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)",
            ),
            (
                r#"{"CpuQuota":999}"#,
                "CPU cfs quota can not be less than 1ms (i.e. 1000)",
            ),
            (
                r#"{"CpuRealtimePeriod":1}"#,
                "Your kernel does not support CPU real-time scheduler",
            ),
            (
                r#"{"CpuRealtimeRuntime":1}"#,
                "Your kernel does not support CPU real-time scheduler",
            ),
            (
                r#"{"BlkioWeight":9}"#,
                "Range of blkio weight is from 10 to 1000",
            ),
            (
                r#"{"IOMaximumIOps":1}"#,
                "Invalid QoS settings: linux does not support configuration of maximum IOPs",
            ),
            (
                r#"{"IOMaximumBandwidth":1}"#,
                "Invalid QoS settings: linux does not support configuration of maximum bandwidth",
            ),
            (
                r#"{"CpusetCpus":"x"}"#,
                "Invalid value x for cpuset cpus: invalid format: x",
            ),
        ] {
            assert_eq!(checked(text, ALL), (sentence.to_string(), vec![]), "{text}");
        }
        let cpus = crate::engine::info::cpus();
        let (refusal, _) = checked(r#"{"NanoCpus":-1}"#, ALL);
        assert_eq!(
            refusal,
            format!(
                "range of CPUs is from 0.01 to {cpus}.00, as there are only {cpus} CPUs available"
            )
        );
        let (refusal, _) = checked(r#"{"CpusetMems":"8191"}"#, ALL);
        let begins = "Requested memory nodes are not available - requested 8191, available: ";
        assert!(refusal.starts_with(begins), "{refusal}");
    }

    #[test]
    fn what_this_host_cannot_enforce_is_discarded_with_a_warning() {
        for (text, rest, sentence) in [
            (
                r#"{"Memory":67108864}"#,
                r#"{"MemorySwap":-1}"#,
                "memory limit capabilities or the cgroup is not mounted. Limitation discarded.",
            ),
            (
                r#"{"MemoryReservation":67108864}"#,
                "{}",
                "memory soft limit capabilities or the cgroup is not mounted. Limitation discarded.",
            ),
            (
                r#"{"PidsLimit":5}"#,
                "{}",
                "PIDs limit capabilities or the cgroup is not mounted. PIDs limit discarded.",
            ),
            (
                r#"{"CpuShares":5}"#,
                "{}",
                "CPU shares or the cgroup is not mounted. Shares discarded.",
            ),
            (
                r#"{"CpuPeriod":5000,"CpuQuota":2000}"#,
                "{}",
                "CPU CFS scheduler. CPU period/quota discarded.",
            ),
            (
                r#"{"CpusetCpus":"0","CpusetMems":"0"}"#,
                "{}",
                "cpuset or the cgroup is not mounted. Cpuset discarded.",
            ),
            (
                r#"{"BlkioWeight":100}"#,
                "{}",
                "Block I/O weight or the cgroup is not mounted. Weight discarded.",
            ),
            (
                r#"{"BlkioWeightDevice":[{"Path":"/dev/x","Weight":10}]}"#,
                "{}",
                "Block I/O weight_device or the cgroup is not mounted. Weight-device discarded.",
            ),
            (
                r#"{"BlkioDeviceReadBps":[{"Path":"/dev/x","Rate":10}]}"#,
                "{}",
                "BPS Block I/O read limit or the cgroup is not mounted. Block I/O BPS read limit discarded.",
            ),
            (
                r#"{"BlkioDeviceWriteIOps":[{"Path":"/dev/x","Rate":10}]}"#,
                "{}",
                "IOPS Block write limit or the cgroup is not mounted. Block I/O IOPS write limit discarded.",
            ),
        ] {
            let sentence = format!("Your kernel does not support {sentence}");
            assert_eq!(
                checked(text, Controllers::default()),
                (rest.to_string(), vec![sentence]),
                "{text}"
            );
            assert_eq!(checked(text, ALL), (text.to_string(), vec![]));
        }
        let refused = checked(r#"{"NanoCpus":500000000}"#, Controllers::default()).0;
        assert!(refused.starts_with(
            "NanoCPUs can not be set, as your kernel does not support CPU CFS scheduler or the cgroup is not mounted ("
        ));
        let without_swap = Controllers { swap: false, ..ALL };
        assert_eq!(
            checked(r#"{"Memory":67108864}"#, without_swap).0,
            r#"{"Memory":67108864,"MemorySwap":-1}"#
        );
    }

    #[test]
    fn what_cgroup_v2_does_not_know_is_discarded_with_a_warning() {
        for (text, sentence) in [
            (
                r#"{"MemorySwappiness":60}"#,
                "Your kernel does not support memory swappiness capabilities or the cgroup is not mounted. Memory swappiness discarded.",
            ),
            (
                r#"{"OomKillDisable":true}"#,
                "Your kernel does not support OomKillDisable. OomKillDisable discarded.",
            ),
            (
                r#"{"KernelMemory":1}"#,
                "Your kernel does not support kernel memory limit capabilities or the cgroup is not mounted. Limitation discarded.",
            ),
            (
                r#"{"CpuPercent":1}"#,
                "linux does not support CPU percent. Percent discarded.",
            ),
        ] {
            let expected = ("{}".to_string(), vec![sentence.to_string()]);
            assert_eq!(checked(text, ALL), expected, "{text}");
        }
        let nothing = r#"{"MemorySwappiness":-1,"OomKillDisable":false,"KernelMemory":0,"Memory":0,"BlkioWeight":0,"BlkioWeightDevice":[],"CpusetCpus":"","NanoCpus":0}"#;
        assert_eq!(checked(nothing, ALL), ("{}".to_string(), vec![]));
    }

    #[test]
    fn memory_without_swap_gets_as_much_swap_again() {
        let mut host = host(r#"{"Memory":67108864}"#);
        complete(&mut host, &Options::default());
        assert_eq!(host.memory_swap, Some(128 << 20));
        assert_eq!(host.shm_size, Some(64 << 20));
    }

    #[test]
    fn lists_of_cpus_have_a_bound() {
        assert_eq!(ranges("0-1,3"), Some(vec![0..=1, 3..=3]));
        for bad in ["", "1-0", "a", "0-", ",", "0-4294967295", "-1", "1,,2"] {
            assert_eq!(ranges(bad), None, "{bad}");
        }
    }
}
