//! Limits: what makes no sense is refused, what this host cannot enforce is discarded with Docker's
//! warning (moby, daemon_unix.go, verifyPlatformContainerResources). `update` asks the same.

use crate::engine::config::Options;
use crate::engine::spec::resources::Controllers;
use crate::error::{Error, Result};
use crate::wire::container::HostConfig;

/// Docker's least memory limit (moby, daemon_unix.go, linuxMinMemory).
const MEMORY_BYTES_MIN: i64 = 6 << 20;

type Warnings = Vec<String>;

pub fn check(
    host: &mut HostConfig,
    controllers: Controllers,
    is_update: bool,
    warnings: &mut Warnings,
) -> Result<()> {
    discard_unknown(host, warnings);
    memory(host, controllers, is_update, warnings)?;
    pids(host, controllers, warnings);
    cpu(host, controllers, warnings)?;
    cpuset(host, controllers, warnings)?;
    block_io(host, controllers, warnings)
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

/// Drop `limit` where it asks for something, and say so.
fn discard<T>(limit: &mut Option<T>, warnings: &mut Warnings, sentence: &str) {
    if limit.take().is_some() {
        warnings.push(sentence.to_string());
    }
}

/// Zero and empty lists ask for nothing, and are what Docker's clients send then.
fn forget_zero(limit: &mut Option<i64>) {
    limit.take_if(|limit| *limit == 0);
}

/// What no cgroup v2 has, or no Linux.
fn discard_unknown(host: &mut HostConfig, warnings: &mut Warnings) {
    // The client's way to say nothing.
    host.memory_swappiness
        .take_if(|swappiness| *swappiness == -1);
    discard(
        &mut host.memory_swappiness,
        warnings,
        "Your kernel does not support memory swappiness capabilities or the cgroup is not mounted. Memory swappiness discarded.",
    );
    host.oom_kill_disable.take_if(|disable| !*disable);
    discard(
        &mut host.oom_kill_disable,
        warnings,
        "Your kernel does not support OomKillDisable. OomKillDisable discarded.",
    );
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
        discard(limit, warnings, sentence);
    }
}

fn memory(
    host: &mut HostConfig,
    controllers: Controllers,
    is_update: bool,
    warnings: &mut Warnings,
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
        discard(
            &mut host.memory,
            warnings,
            "Your kernel does not support memory limit capabilities or the cgroup is not mounted. Limitation discarded.",
        );
        host.memory_swap = Some(-1);
    }
    if !controllers.swap && host.memory.is_some() && host.memory_swap != Some(-1) {
        warnings.push(
            "Your kernel does not support swap limit capabilities or the cgroup is not mounted. Memory limited without swap.".to_string(),
        );
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
        discard(
            &mut host.memory_reservation,
            warnings,
            "Your kernel does not support memory soft limit capabilities or the cgroup is not mounted. Limitation discarded.",
        );
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

fn pids(host: &mut HostConfig, controllers: Controllers, warnings: &mut Warnings) {
    if !controllers.pids {
        host.pids_limit.take_if(|limit| *limit <= 0);
        discard(
            &mut host.pids_limit,
            warnings,
            "Your kernel does not support PIDs limit capabilities or the cgroup is not mounted. PIDs limit discarded.",
        );
    }
}

fn cpu(host: &mut HostConfig, controllers: Controllers, warnings: &mut Warnings) -> Result<()> {
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
        if nano > 0 && !controllers.cpu {
            return Err(Error::invalid(
                "NanoCPUs can not be set, as your kernel does not support CPU CFS scheduler or the cgroup is not mounted",
            ));
        }
        let cpus = crate::engine::info::cpus();
        if nano < 0 || nano > cpus.saturating_mul(1_000_000_000) || (1..10_000_000).contains(&nano)
        {
            return Err(Error::invalid(format!(
                "range of CPUs is from 0.01 to {cpus}.00, as there are only {cpus} CPUs available"
            )));
        }
    }
    if !controllers.cpu {
        host.cpu_shares.take_if(|shares| *shares < 0);
        discard(
            &mut host.cpu_shares,
            warnings,
            "Your kernel does not support CPU shares or the cgroup is not mounted. Shares discarded.",
        );
        discard(
            &mut host.cpu_period.take().or(host.cpu_quota.take()),
            warnings,
            "Your kernel does not support CPU CFS scheduler. CPU period/quota discarded.",
        );
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

fn cpuset(host: &mut HostConfig, controllers: Controllers, warnings: &mut Warnings) -> Result<()> {
    host.cpuset_cpus.take_if(|list| list.is_empty());
    host.cpuset_mems.take_if(|list| list.is_empty());
    if !controllers.cpuset {
        let mut either = host.cpuset_cpus.take().or(host.cpuset_mems.take());
        host.cpuset_mems = None;
        discard(
            &mut either,
            warnings,
            "Your kernel does not support cpuset or the cgroup is not mounted. Cpuset discarded.",
        );
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

fn block_io(
    host: &mut HostConfig,
    controllers: Controllers,
    warnings: &mut Warnings,
) -> Result<()> {
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
    if !controllers.io {
        discard(
            &mut host.blkio_weight,
            warnings,
            "Your kernel does not support Block I/O weight or the cgroup is not mounted. Weight discarded.",
        );
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
        if controllers.io {
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
        discard(list, warnings, &sentence);
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
        cpuset: true,
        pids: true,
        io: true,
    };

    /// The host configuration that a request's text asks for.
    fn host(text: &str) -> HostConfig {
        crate::json::parse(text, "test").unwrap()
    }

    fn checked(text: &str, controllers: Controllers) -> (String, Warnings) {
        let mut host = host(text);
        let mut warnings = Warnings::new();
        match check(&mut host, controllers, false, &mut warnings) {
            Ok(()) => (crate::json::to_string(&host), warnings),
            Err(error) => (error.to_string(), warnings),
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
        assert_eq!(
            checked(r#"{"NanoCpus":500000000}"#, Controllers::default()).0,
            "NanoCPUs can not be set, as your kernel does not support CPU CFS scheduler or the cgroup is not mounted"
        );
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
