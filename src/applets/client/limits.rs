//! Options that limit a container: those that `update` can change too, and the values that have a
//! form of their own.

use super::create::{Create, Place};
use super::options::{Flag, flag, parse_integer, parse_u16};
use super::{human, values};
use crate::error::{Error, Result};
use crate::time::moment;
use crate::wire::container::{DeviceLimit, Ulimit};

/// Of `create`, `run` and `update`.
pub const SHARED: &[Flag] = &[
    flag(
        "--blkio-weight uint16",
        "Block IO (relative weight), between 10 and 1000, or 0 to disable (default 0)",
    )
    .into(Place::Other(blkio_weight)),
    flag(
        "--cpu-period int",
        "Limit CPU CFS (Completely Fair Scheduler) period",
    )
    .into(Place::Integer(|c| &mut c.host.cpu_period)),
    flag(
        "--cpu-quota int",
        "Limit CPU CFS (Completely Fair Scheduler) quota",
    )
    .into(Place::Integer(|c| &mut c.host.cpu_quota)),
    flag(
        "--cpu-rt-period int",
        "Limit the CPU real-time period in microseconds",
    )
    .into(Place::Integer(|c| &mut c.host.cpu_realtime_period)),
    flag(
        "--cpu-rt-runtime int",
        "Limit the CPU real-time runtime in microseconds",
    )
    .into(Place::Integer(|c| &mut c.host.cpu_realtime_runtime)),
    flag("-c, --cpu-shares int", "CPU shares (relative weight)")
        .into(Place::Integer(|c| &mut c.host.cpu_shares)),
    flag("--cpus decimal", "Number of CPUs").into(Place::Other(cpus)),
    flag(
        "--cpuset-cpus string",
        "CPUs in which to allow execution (0-3, 0,1)",
    )
    .into(Place::Text(|c| &mut c.host.cpuset_cpus)),
    flag(
        "--cpuset-mems string",
        "MEMs in which to allow execution (0-3, 0,1)",
    )
    .into(Place::Text(|c| &mut c.host.cpuset_mems)),
    flag(
        "--health-on-failure string",
        "What to do when the container turns unhealthy (none|restart|stop|kill|reboot) (default \"none\")",
    )
    .into(Place::Text(|c| &mut c.host.health_on_failure)),
    flag("-m, --memory bytes", "Memory limit").into(Place::Bytes(|c| &mut c.host.memory)),
    flag("--memory-reservation bytes", "Memory soft limit")
        .into(Place::Bytes(|c| &mut c.host.memory_reservation)),
    flag(
        "--memory-swap bytes",
        "Swap limit equal to memory plus swap: '-1' to enable unlimited swap",
    )
    .into(Place::Other(memory_swap)),
    flag(
        "--pids-limit int",
        "Tune container pids limit (set -1 for unlimited)",
    )
    .into(Place::Integer(|c| &mut c.host.pids_limit)),
    flag(
        "--restart string",
        "Restart policy to apply when a container exits (default \"no\")",
    )
    .into(Place::Other(values::restart)),
    flag(
        "--write-budget string",
        "Bytes that may be written to the engine's disk in a time (such as 500m/day; none to lift it)",
    )
    .into(Place::Text(|c| &mut c.host.write_budget)),
];

/// Of `create` and `run` alone.
pub const OWN: &[Flag] = &[
    flag(
        "--blkio-weight-device list",
        "Block IO weight (relative device weight)",
    )
    .into(Place::Other(|c, value| {
        let limit = device_weight(value)?;
        c.host
            .blkio_weight_device
            .get_or_insert_default()
            .push(limit);
        Ok(())
    })),
    flag(
        "--device-read-bps list",
        "Limit read rate (bytes per second) from a device",
    )
    .into(Place::Other(|c, value| {
        let limit = device_bytes(value)?;
        c.host
            .blkio_device_read_bps
            .get_or_insert_default()
            .push(limit);
        Ok(())
    })),
    flag(
        "--device-read-iops list",
        "Limit read rate (IO per second) from a device",
    )
    .into(Place::Other(|c, value| {
        let limit = device_operations(value)?;
        c.host
            .blkio_device_read_iops
            .get_or_insert_default()
            .push(limit);
        Ok(())
    })),
    flag(
        "--device-write-bps list",
        "Limit write rate (bytes per second) to a device",
    )
    .into(Place::Other(|c, value| {
        let limit = device_bytes(value)?;
        c.host
            .blkio_device_write_bps
            .get_or_insert_default()
            .push(limit);
        Ok(())
    })),
    flag(
        "--device-write-iops list",
        "Limit write rate (IO per second) to a device",
    )
    .into(Place::Other(|c, value| {
        let limit = device_operations(value)?;
        c.host
            .blkio_device_write_iops
            .get_or_insert_default()
            .push(limit);
        Ok(())
    })),
    // Docker's client does not tell it to engines of today either.
    flag("--kernel-memory bytes", "Kernel memory limit").into(Place::Other(|_, value| {
        human::parse_size(value)?;
        Ok(())
    })),
    flag(
        "--memory-swappiness int",
        "Tune container memory swappiness (0 to 100) (default -1)",
    )
    .into(Place::Other(memory_swappiness)),
    flag("--oom-kill-disable", "Disable OOM Killer")
        .into(Place::Switch(|c| &mut c.host.oom_kill_disable)),
    flag(
        "--oom-score-adj int",
        "Tune host's OOM preferences (-1000 to 1000)",
    )
    .into(Place::Other(oom_score_adj)),
    flag("--ulimit ulimit", "Ulimit options").into(Place::Other(ulimit)),
];

fn blkio_weight(create: &mut Create, value: &str) -> Result<()> {
    create.host.blkio_weight = Some(parse_u16(value)?.into());
    Ok(())
}

/// `-1` is no limit; the engine says where that makes no sense.
pub fn memory_swap(create: &mut Create, value: &str) -> Result<()> {
    create.host.memory_swap = Some(match value {
        "-1" => -1,
        value => human::parse_size(value)?,
    });
    Ok(())
}

fn cpus(create: &mut Create, value: &str) -> Result<()> {
    let (sign, digits) = match value.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, value),
    };
    // A billionth of a CPU is the least that can be said.
    let fraction = digits.split_once('.').map_or("", |(_, fraction)| fraction);
    let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if is_number(fraction) && fraction.trim_end_matches('0').len() > 9 {
        return Err(Error::invalid("value is too precise"));
    }
    let nano = moment::parse_decimal(digits, 1_000_000_000)
        .ok_or_else(|| Error::invalid(format!("failed to parse {value} as a rational number")))?;
    create.host.nano_cpus = Some(sign * nano);
    Ok(())
}

pub fn memory_swappiness(create: &mut Create, value: &str) -> Result<()> {
    let swappiness = parse_integer(value)?;
    if !(-1..=100).contains(&swappiness) {
        return Err(values::run(format!(
            "invalid value: {swappiness}. Valid memory swappiness range is 0-100"
        )));
    }
    create.host.memory_swappiness = Some(swappiness);
    Ok(())
}

fn oom_score_adj(create: &mut Create, value: &str) -> Result<()> {
    let score = i32::try_from(parse_integer(value)?);
    create.host.oom_score_adj = Some(score.map_err(|_| {
        Error::invalid(format!(
            "strconv.ParseInt: parsing {value:?}: value out of range"
        ))
    })?);
    Ok(())
}

/// `/dev/name:value`.
fn split_device(value: &str) -> Result<(&str, &str)> {
    let (path, limit) = value
        .split_once(':')
        .filter(|(path, _)| !path.is_empty())
        .ok_or_else(|| Error::invalid(format!("bad format: {value}")))?;
    match path.starts_with("/dev/") {
        true => Ok((path, limit)),
        false => Err(Error::invalid(format!(
            "bad format for device path: {value}"
        ))),
    }
}

fn device_weight(value: &str) -> Result<DeviceLimit> {
    let (path, weight) = split_device(value)?;
    let weight = weight.parse().ok();
    match weight.filter(|weight| *weight == 0 || (10..=1000).contains(weight)) {
        Some(weight) => Ok(DeviceLimit {
            path: Some(path.to_string()),
            weight: Some(weight),
            rate: None,
        }),
        None => Err(Error::invalid(format!(
            "invalid weight for device: {value}"
        ))),
    }
}

fn device_bytes(value: &str) -> Result<DeviceLimit> {
    let (path, rate) = split_device(value)?;
    let bytes = human::parse_size(rate).ok();
    limit(path, bytes.and_then(|bytes| u64::try_from(bytes).ok())).ok_or_else(|| {
        Error::invalid(format!(
            "invalid rate for device: {value}. The correct format is <device-path>:<number>[<unit>]. Number must be a positive integer. Unit is optional and can be kb, mb, or gb"
        ))
    })
}

fn device_operations(value: &str) -> Result<DeviceLimit> {
    let (path, rate) = split_device(value)?;
    limit(path, rate.parse().ok()).ok_or_else(|| {
        Error::invalid(format!(
            "invalid rate for device: {value}. The correct format is <device-path>:<number>. Number must be a positive integer"
        ))
    })
}

fn limit(path: &str, rate: Option<u64>) -> Option<DeviceLimit> {
    Some(DeviceLimit {
        path: Some(path.to_string()),
        weight: None,
        rate: Some(rate?),
    })
}

const ULIMITS: [&str; 15] = [
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

/// `name=soft[:hard]`.
pub fn ulimit(create: &mut Create, value: &str) -> Result<()> {
    let (name, limits) = value
        .split_once('=')
        .ok_or_else(|| Error::invalid(format!("invalid ulimit argument: {value}")))?;
    if !ULIMITS.contains(&name) {
        return Err(Error::invalid(format!("invalid ulimit type: {name}")));
    }
    let parts: Vec<&str> = limits.split(':').collect();
    let (soft, hard) = match parts[..] {
        [both] => (both, both),
        [soft, hard] => (soft, hard),
        _ => {
            return Err(Error::invalid(format!(
                "too many limit value arguments - {limits}, can only have up to two, `soft[:hard]`"
            )));
        }
    };
    let (soft, hard) = (parse_integer(soft)?, parse_integer(hard)?);
    if hard != -1 && (soft == -1 || soft > hard) {
        let values = match soft {
            -1 => format!("soft: -1 (unlimited), hard: {hard}"),
            soft => format!("{soft} > {hard}"),
        };
        return Err(Error::invalid(format!(
            "ulimit soft limit must be less than or equal to hard limit: {values}"
        )));
    }
    let all = create.host.ulimits.get_or_insert_default();
    // The last of a name counts.
    all.retain(|other| other.name.as_deref() != Some(name));
    all.push(Ulimit {
        name: Some(name.to_string()),
        soft: Some(soft),
        hard: Some(hard),
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_of_devices_are_read_as_docker_reads_them() {
        let told = |outcome: Result<DeviceLimit>| match outcome {
            Ok(limit) => crate::json::to_string(&limit),
            Err(error) => error.to_string(),
        };
        assert_eq!(
            told(device_bytes("/dev/sda:1mb")),
            r#"{"Path":"/dev/sda","Rate":1048576}"#
        );
        assert_eq!(
            told(device_weight("/dev/sda:100")),
            r#"{"Path":"/dev/sda","Weight":100}"#
        );
        for (bad, expected) in [
            ("foo", "bad format: foo"),
            ("x:1", "bad format for device path: x:1"),
        ] {
            for parse in [device_bytes, device_operations, device_weight] {
                assert_eq!(told(parse(bad)), expected);
            }
        }
        assert_eq!(
            told(device_weight("/dev/x:9")),
            "invalid weight for device: /dev/x:9"
        );
        assert_eq!(
            told(device_operations("/dev/x:1mb")),
            "invalid rate for device: /dev/x:1mb. The correct format is <device-path>:<number>. Number must be a positive integer"
        );
        let refusal = told(device_bytes("/dev/x:y"));
        assert!(refusal.starts_with("invalid rate for device: /dev/x:y. The correct format is <device-path>:<number>[<unit>]. "));
    }

    #[test]
    fn limits_that_do_not_fit_are_told_in_dockers_words() {
        let told = |set: fn(&mut Create, &str) -> Result<()>, value: &str| {
            set(&mut Create::default(), value)
                .err()
                .map_or(String::new(), |e| e.to_string())
        };
        for (value, expected) in [
            ("x", "invalid ulimit argument: x"),
            ("foo=1", "invalid ulimit type: foo"),
            (
                "nofile=x",
                "strconv.ParseInt: parsing \"x\": invalid syntax",
            ),
            (
                "nofile=3:2",
                "ulimit soft limit must be less than or equal to hard limit: 3 > 2",
            ),
            (
                "nofile=1:2:3",
                "too many limit value arguments - 1:2:3, can only have up to two, `soft[:hard]`",
            ),
            ("nofile=1:-1", ""),
        ] {
            assert_eq!(told(ulimit, value), expected);
        }
        assert_eq!(told(cpus, "0.0000000001"), "value is too precise");
        assert_eq!(told(cpus, "x"), "failed to parse x as a rational number");
        assert_eq!(told(cpus, "-1"), "");
        assert_eq!(
            told(blkio_weight, "70000"),
            "strconv.ParseUint: parsing \"70000\": value out of range"
        );
        assert_eq!(
            told(memory_swappiness, "101"),
            "invalid value: 101. Valid memory swappiness range is 0-100"
        );
    }
}
