//! What a create request may ask for: Docker's refusals, our own "not supported yet", and warnings
//! for limits that this host cannot enforce. Nothing is dropped in silence.

use crate::engine::host;
use crate::engine::spec::resources::Controllers;
use crate::engine::spec::{mounts, resources, seccomp, security};
use crate::error::{Error, Result};
use crate::wire::container::{Config, HostConfig, LogConfig, NetworkingConfig, RestartPolicy};
use miniserde::json::Value;

/// Members of the request that we do not act on: if they hold anything, the user is told. A dot
/// goes one level down; the text is what the user knows it as.
const UNSUPPORTED: &[(&str, &str)] = &[
    ("Healthcheck", "health check"),
    ("MacAddress", "--mac-address"),
    ("NetworkDisabled", "NetworkDisabled"),
    ("HostConfig.BlkioDeviceReadBps", "--device-read-bps"),
    ("HostConfig.BlkioDeviceReadIOps", "--device-read-iops"),
    ("HostConfig.BlkioDeviceWriteBps", "--device-write-bps"),
    ("HostConfig.BlkioDeviceWriteIOps", "--device-write-iops"),
    ("HostConfig.BlkioWeight", "--blkio-weight"),
    ("HostConfig.BlkioWeightDevice", "--blkio-weight-device"),
    ("HostConfig.CpuRealtimePeriod", "--cpu-rt-period"),
    ("HostConfig.CpuRealtimeRuntime", "--cpu-rt-runtime"),
    ("HostConfig.DeviceRequests", "--gpus"),
    ("HostConfig.KernelMemory", "--kernel-memory"),
    ("HostConfig.Links", "--link"),
    ("HostConfig.OomKillDisable", "--oom-kill-disable"),
    ("HostConfig.PortBindings", "publishing ports"),
    ("HostConfig.PublishAllPorts", "publishing ports"),
    ("HostConfig.StorageOpt", "--storage-opt"),
    ("HostConfig.VolumeDriver", "--volume-driver"),
    ("HostConfig.VolumesFrom", "--volumes-from"),
    ("Volumes", "an anonymous volume (-v /path)"),
];

/// Refuse what we know and cannot do. `body` is the request as it came, because what we
/// cannot do has no member in our own structs.
pub fn supported(body: &Value) -> Result<()> {
    for (path, name) in UNSUPPORTED {
        let found = path.split('.').try_fold(body, member);
        if found.is_some_and(|value| !is_nothing(value)) {
            return Err(Error::invalid(format!("{name} is not supported yet")));
        }
    }
    Ok(())
}

fn member<'a>(value: &'a Value, name: &str) -> Option<&'a Value> {
    match value {
        Value::Object(object) => object.get(name),
        _ => None,
    }
}

/// Go's zero values, which clients send for what nobody asked for; and `--no-healthcheck`.
fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Bool(true) => false,
        Value::Number(_) => miniserde::json::to_string(value) == "0",
        Value::String(text) => text.is_empty(),
        Value::Array(array) => array.is_empty(),
        Value::Object(object) => object.iter().all(|(_, value)| match value {
            Value::Array(test) if test.len() == 1 => {
                matches!(&test[0], Value::String(text) if text == "NONE")
            }
            Value::Object(_) => false,
            value => is_nothing(value),
        }),
    }
}

/// Check `host`, and fill in Docker's defaults. Warnings are added for the client to print.
pub fn check(
    host: &mut HostConfig,
    controllers: Controllers,
    warnings: &mut Vec<String>,
) -> Result<()> {
    check_modes(host)?;
    check_security(host)?;
    check_limits(host)?;
    mounts::wanted(host)?;
    warn(host, controllers, warnings);

    let privileged = host.privileged == Some(true);
    let quiet = |paths: Vec<String>| if privileged { Vec::new() } else { paths };
    host.masked_paths
        .get_or_insert_with(|| quiet(security::masked_paths()));
    host.readonly_paths
        .get_or_insert_with(|| quiet(security::readonly_paths()));
    Ok(())
}

/// The rules for the merged config, which needs the image.
pub fn check_config(config: &Config) -> Result<()> {
    let cwd = config.working_dir.as_deref().unwrap_or_default();
    if !cwd.is_empty() && !cwd.starts_with('/') {
        return Err(Error::invalid(format!(
            "the working directory '{cwd}' is invalid, it needs to be an absolute path"
        )));
    }
    for entry in config.env.iter().flatten() {
        if entry.starts_with('=') || entry.is_empty() {
            return Err(Error::invalid(format!(
                "invalid environment variable: {entry}"
            )));
        }
    }
    let hostname = config.hostname.as_deref().unwrap_or_default();
    let is_name = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
    if hostname.len() > 63 || !hostname.bytes().all(is_name) {
        return Err(Error::invalid(format!(
            "invalid hostname format: {hostname}"
        )));
    }
    if let Some(signal) = config.stop_signal.as_deref().filter(|s| !s.is_empty()) {
        crate::engine::kill::parse_signal(signal)?;
    }
    Ok(())
}

fn not_yet(what: std::fmt::Arguments<'_>) -> Error {
    Error::invalid(format!("{what} is not supported yet"))
}

/// Namespaces, restart policy, log driver: take Docker's default where nothing is asked.
fn check_modes(host: &mut HostConfig) -> Result<()> {
    let network = host.network_mode.get_or_insert_default();
    match network.as_str() {
        "" | "default" => *network = "bridge".to_string(),
        "bridge" | "none" | "host" => {}
        other => return Err(not_yet(format_args!("network \"{other}\""))),
    }
    let modes = [
        (
            &mut host.ipc_mode,
            "ipc",
            "private",
            &["", "private", "shareable", "host", "none"][..],
        ),
        (&mut host.pid_mode, "pid", "", &["", "private", "host"]),
        (&mut host.uts_mode, "uts", "", &["", "private", "host"]),
        (
            &mut host.cgroupns_mode,
            "cgroup",
            "private",
            &["", "private", "host"],
        ),
        (&mut host.userns_mode, "user", "", &["", "host"]),
    ];
    for (mode, name, default, known) in modes {
        let mode = mode.get_or_insert_default();
        if !known.contains(&mode.as_str()) {
            return Err(not_yet(format_args!("{name} namespace mode \"{mode}\"")));
        }
        if mode.is_empty() {
            *mode = default.to_string();
        }
    }

    let restart = host.restart_policy.take().unwrap_or_default();
    match restart.name.as_deref() {
        None | Some("" | "no") => {}
        Some(policy @ ("always" | "unless-stopped" | "on-failure")) => {
            return Err(not_yet(format_args!("restart policy \"{policy}\"")));
        }
        Some(policy) => {
            return Err(Error::invalid(format!(
                "invalid restart policy: unknown policy '{policy}'; use one of 'no', 'always', 'on-failure', or 'unless-stopped'"
            )));
        }
    }
    host.restart_policy = Some(RestartPolicy {
        name: Some("no".to_string()),
        maximum_retry_count: Some(0),
    });

    let log = host.log_config.get_or_insert_with(LogConfig::default);
    match log.kind.as_deref() {
        None | Some("") => log.kind = Some("json-file".to_string()),
        Some("json-file" | "none") => {}
        Some(other) => return Err(not_yet(format_args!("logging driver \"{other}\""))),
    }
    log_limits(log)?;
    Ok(())
}

/// `max-size` in bytes and `max-file` of the json-file driver.
pub fn log_limits(log: &LogConfig) -> Result<(Option<u64>, Option<u32>)> {
    let (mut bytes, mut files) = (None, None);
    for (key, value) in log.config.iter().flatten() {
        let invalid = || Error::invalid(format!("invalid value \"{value}\" for log opt \"{key}\""));
        match key.as_str() {
            "max-size" => bytes = Some(parse_size(value).ok_or_else(invalid)?),
            "max-file" => {
                let count = value.parse().ok().filter(|count| *count > 0);
                files = Some(count.ok_or_else(invalid)?);
            }
            other => {
                return Err(Error::invalid(format!(
                    "unknown log opt '{other}' for json-file log driver"
                )));
            }
        }
    }
    if files.is_some_and(|files| files > 1) && bytes.is_none() {
        return Err(Error::invalid(
            "max-file cannot be more than 1 without max-size",
        ));
    }
    Ok((bytes, files))
}

/// `10m`, `512k`, `1g`, `-1` (no limit) or plain bytes, in powers of 1024.
fn parse_size(text: &str) -> Option<u64> {
    if text == "-1" {
        return Some(0);
    }
    let lower = text.to_ascii_lowercase();
    let lower = lower.strip_suffix('b').unwrap_or(&lower);
    let lower = lower.strip_suffix('i').unwrap_or(lower);
    let (digits, shift) = match lower.as_bytes().last()? {
        b'k' => (lower.strip_suffix('k')?, 10),
        b'm' => (lower.strip_suffix('m')?, 20),
        b'g' => (lower.strip_suffix('g')?, 30),
        _ => (lower, 0),
    };
    digits.parse::<u64>().ok()?.checked_mul(1 << shift)
}

/// Networks asked for at create must be the one of the network mode.
pub fn check_networks(networking: Option<NetworkingConfig>, host: &HostConfig) -> Result<()> {
    let networking = networking.unwrap_or_default();
    for (name, endpoint) in networking.endpoints_config.unwrap_or_default() {
        let mode = host.network_mode.as_deref().unwrap_or_default();
        if name != mode && name != "default" {
            return Err(not_yet(format_args!("network \"{name}\"")));
        }
        let given = |text: &Option<String>| text.as_ref().is_some_and(|text| !text.is_empty());
        if given(&endpoint.ip_address) || given(&endpoint.mac_address) {
            return Err(not_yet(format_args!(
                "a fixed address in network \"{name}\""
            )));
        }
    }
    Ok(())
}

fn check_security(host: &HostConfig) -> Result<()> {
    for (list, name) in [(&host.cap_add, "CapAdd"), (&host.cap_drop, "CapDrop")] {
        for cap in list.iter().flatten() {
            security::normal(cap)
                .map_err(|error| Error::invalid(format!("invalid {name}: {error}")))?;
        }
    }
    for option in host.security_opt.iter().flatten() {
        // Which profile it is is looked at below.
        if option.starts_with("seccomp=") || option.starts_with("seccomp:") {
            continue;
        }
        let known = matches!(
            option.replace('=', ":").as_str(),
            "no-new-privileges"
                | "no-new-privileges:true"
                | "no-new-privileges:false"
                | "apparmor:unconfined"
                | "label:disable"
                | "systempaths:unconfined"
        );
        if !known {
            return Err(not_yet(format_args!("--security-opt {option}")));
        }
    }
    let bounding = security::capabilities(
        host.privileged == Some(true),
        host.cap_add.as_deref().unwrap_or_default(),
        host.cap_drop.as_deref().unwrap_or_default(),
    );
    let kernel = seccomp::Host {
        has_seccomp: host::has_seccomp(),
        kernel: &host::kernel(),
    };
    seccomp::of(
        host,
        bounding.bounding.as_deref().unwrap_or_default(),
        &kernel,
    )?;
    for group in host.group_add.iter().flatten() {
        if group.parse::<u32>().is_err() {
            return Err(not_yet(format_args!("--group-add by name ({group})")));
        }
    }
    for rule in host.device_cgroup_rules.iter().flatten() {
        resources::parse_rule(rule)?;
    }
    const RLIMITS: [&str; 15] = [
        "core",
        "cpu",
        "data",
        "fsize",
        "locks",
        "memlock",
        "msgqueue",
        "nice",
        "nofile",
        "nproc",
        "rss",
        "rtprio",
        "rttime",
        "sigpending",
        "stack",
    ];
    for ulimit in host.ulimits.iter().flatten() {
        let name = ulimit.name.as_deref().unwrap_or_default();
        if !RLIMITS.contains(&name) {
            return Err(Error::invalid(format!("invalid ulimit type: {name}")));
        }
        // As unsigned, -1 is "unlimited".
        if ulimit.soft.unwrap_or(0) as u64 > ulimit.hard.unwrap_or(0) as u64 {
            return Err(Error::invalid(format!(
                "ulimit soft limit must be less than or equal to hard limit: {} > {}",
                ulimit.soft.unwrap_or(0),
                ulimit.hard.unwrap_or(0)
            )));
        }
    }
    Ok(())
}

/// Docker's least memory limit (moby, daemon_unix.go, linuxMinMemory).
const MEMORY_BYTES_MIN: i64 = 6 << 20;

fn check_limits(host: &mut HostConfig) -> Result<()> {
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
            .unwrap_or(mounts::SHM_BYTES),
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
fn warn(host: &HostConfig, controllers: Controllers, warnings: &mut Vec<String>) {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(mut host: HostConfig) -> String {
        match check(&mut host, Controllers::default(), &mut Vec::new()) {
            Ok(_) => "accepted".to_string(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn what_we_cannot_do_is_refused_and_zero_values_are_not() {
        let check = |text: &str| {
            let value = miniserde::json::from_str(text).unwrap();
            supported(&value).map_err(|error| error.to_string())
        };
        check(
            r#"{"HostConfig":{"Links":null,"BlkioWeight":0,"VolumesFrom":[],"PortBindings":{}}}"#,
        )
        .unwrap();
        check(r#"{"Healthcheck":{"Test":["NONE"]},"Volumes":null,"HostConfig":null}"#).unwrap();
        check("[]").unwrap();
        for (body, message) in [
            (
                r#"{"Healthcheck":{"Test":["CMD","true"]}}"#,
                "health check is not supported yet",
            ),
            (
                r#"{"Volumes":{"/data":{}}}"#,
                "an anonymous volume (-v /path) is not supported yet",
            ),
            (
                r#"{"HostConfig":{"Links":["a:b"]}}"#,
                "--link is not supported yet",
            ),
            (
                r#"{"HostConfig":{"BlkioWeight":10}}"#,
                "--blkio-weight is not supported yet",
            ),
            (
                r#"{"HostConfig":{"PortBindings":{"80/tcp":[{"HostPort":"8080"}]}}}"#,
                "publishing ports is not supported yet",
            ),
        ] {
            assert_eq!(check(body).unwrap_err(), message);
        }
    }

    #[test]
    fn limits_are_refused_in_dockers_words() {
        let host = HostConfig::default;
        assert_eq!(
            refusal(HostConfig {
                memory: Some(6 << 20).map(|n: i64| n - 1),
                ..host()
            }),
            "Minimum memory limit allowed is 6MB"
        );
        assert_eq!(
            refusal(HostConfig {
                memory: Some(8 << 20),
                memory_swap: Some(7 << 20),
                ..host()
            }),
            "Minimum memoryswap limit should be larger than memory limit, see usage"
        );
        assert_eq!(
            refusal(HostConfig {
                cap_add: Some(vec!["fly".into()]),
                ..host()
            }),
            "invalid CapAdd: unknown capability: \"CAP_FLY\""
        );
        assert_eq!(
            refusal(HostConfig {
                network_mode: Some("lab".into()),
                ..host()
            }),
            "network \"lab\" is not supported yet"
        );
        assert_eq!(refusal(host()), "accepted");
    }

    #[test]
    fn a_limit_without_its_controller_is_a_warning() {
        let mut host = HostConfig {
            memory: Some(64 << 20),
            pids_limit: Some(-1),
            ..HostConfig::default()
        };
        let mut warnings = Vec::new();
        check(&mut host, Controllers::default(), &mut warnings).unwrap();
        assert_eq!(
            warnings,
            [
                "Your kernel does not support memory limit capabilities or the cgroup is not mounted. Limitation discarded."
            ]
        );
        assert_eq!(host.memory_swap, Some(128 << 20));
        assert_eq!(host.network_mode.as_deref(), Some("bridge"));
        let all = Controllers {
            memory: true,
            cpu: true,
            cpuset: true,
            pids: true,
        };
        warnings.clear();
        check(&mut host, all, &mut warnings).unwrap();
        assert_eq!(warnings, [""; 0]);
    }

    #[test]
    fn sizes_of_logs_are_read_as_docker_reads_them() {
        assert_eq!(parse_size("10m"), Some(10 << 20));
        assert_eq!(parse_size("1KiB"), Some(1024));
        assert_eq!(parse_size("7"), Some(7));
        assert_eq!(parse_size("-1"), Some(0));
        for bad in ["", "m", "1.5m", "-2", "99999999999g"] {
            assert_eq!(parse_size(bad), None, "{bad}");
        }
    }
}
