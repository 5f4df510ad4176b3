//! Limits: what makes no sense, and what this host cannot enforce.

use crate::engine::config::Options;
use crate::engine::spec::resources::Controllers;
use crate::error::{Error, Result};
use crate::wire::container::HostConfig;

/// Docker's least memory limit (moby, daemon_unix.go, linuxMinMemory).
const MEMORY_BYTES_MIN: i64 = 6 << 20;

pub fn check(host: &mut HostConfig, options: &Options) -> Result<()> {
    let memory = host.memory.unwrap_or(0);
    let swap = host.memory_swap.unwrap_or(0);
    if memory < 0 || memory > 0 && memory < MEMORY_BYTES_MIN {
        return Err(Error::invalid("Minimum memory limit allowed is 6MB"));
    }
    if memory > 0 && swap > 0 && swap < memory {
        return Err(Error::invalid(
            "Minimum memoryswap limit should be larger than memory limit, see usage",
        ));
    }
    if memory == 0 && swap > 0 {
        return Err(Error::invalid(
            "You should always set the Memory limit when using Memoryswap limit, see usage",
        ));
    }
    if memory > 0 && swap == 0 {
        host.memory_swap = memory.checked_mul(2);
    }
    let reservation = host.memory_reservation.unwrap_or(0);
    if reservation > 0 && reservation < MEMORY_BYTES_MIN {
        return Err(Error::invalid("Minimum memory reservation allowed is 6MB"));
    }
    if memory > 0 && reservation > memory {
        return Err(Error::invalid(
            "Minimum memory limit can not be less than memory reservation limit, see usage",
        ));
    }

    let set = |limit: Option<i64>| limit.is_some_and(|limit| limit != 0);
    let cpus = crate::engine::info::cpus();
    let nano = host.nano_cpus.unwrap_or(0);
    if nano < 0 || nano > cpus.saturating_mul(1_000_000_000) || nano > 0 && nano < 10_000_000 {
        return Err(Error::invalid(format!(
            "range of CPUs is from 0.01 to {cpus}.00, as there are only {cpus} CPUs available"
        )));
    }
    if nano > 0 && (set(host.cpu_period) || set(host.cpu_quota)) {
        return Err(Error::invalid(
            "Conflicting options: Nano CPUs and CPU Period cannot both be set",
        ));
    }
    let period = host.cpu_period.unwrap_or(0);
    if period != 0 && !(1_000..=1_000_000).contains(&period) {
        return Err(Error::invalid(
            "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)",
        ));
    }
    if (1..1_000).contains(&host.cpu_quota.unwrap_or(0)) {
        return Err(Error::invalid(
            "CPU cfs quota can not be less than 1ms (i.e. 1000)",
        ));
    }
    if !(-1000..=1000).contains(&host.oom_score_adj.unwrap_or(0)) {
        let adjustment = host.oom_score_adj.unwrap_or(0);
        return Err(Error::invalid(format!(
            "Invalid value {adjustment}, range for oom score adj is [-1000, 1000]"
        )));
    }
    if host.shm_size.is_some_and(|size| size < 0) {
        return Err(Error::invalid("SHM size can not be less than 0"));
    }
    host.shm_size = Some(
        host.shm_size
            .filter(|size| *size > 0)
            .unwrap_or(options.shm_size_bytes),
    );
    if host
        .cgroup_parent
        .as_ref()
        .is_some_and(|parent| parent.split('/').any(|p| p == ".."))
    {
        return Err(Error::invalid(
            "invalid CgroupParent: it must not contain '..'",
        ));
    }
    Ok(())
}

/// Docker's words for limits that the host cannot enforce; `resources` leaves them out.
pub fn warn(host: &HostConfig, controllers: Controllers, warnings: &mut Vec<String>) {
    let set = |limit: Option<i64>| limit.is_some_and(|limit| limit > 0);
    let text = |text: &Option<String>| text.as_ref().is_some_and(|text| !text.is_empty());
    let lacks = [
        (
            set(host.memory) && !controllers.memory,
            "Your kernel does not support memory limit capabilities or the cgroup is not mounted. Limitation discarded.",
        ),
        (
            set(host.memory_reservation) && !controllers.memory,
            "Your kernel does not support memory soft limit capabilities or the cgroup is not mounted. Limitation discarded.",
        ),
        (
            (set(host.nano_cpus) || set(host.cpu_quota) || set(host.cpu_period))
                && !controllers.cpu,
            "Your kernel does not support CPU CFS scheduler or the cgroup is not mounted. Limitation discarded.",
        ),
        (
            set(host.cpu_shares) && !controllers.cpu,
            "Your kernel does not support CPU shares or the cgroup is not mounted. Shares discarded.",
        ),
        (
            (text(&host.cpuset_cpus) || text(&host.cpuset_mems)) && !controllers.cpuset,
            "Your kernel does not support cpuset or the cgroup is not mounted. Cpuset discarded.",
        ),
        (
            set(host.pids_limit) && !controllers.pids,
            "Your kernel does not support PIDs limit capabilities or the cgroup is not mounted. PIDs limit discarded.",
        ),
    ];
    for (is_lacking, message) in lacks {
        if is_lacking {
            warnings.push(message.to_string());
        }
    }
}
