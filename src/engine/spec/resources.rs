//! Limits and devices.

use crate::engine::container::Container;
use crate::error::{Error, Kind, Result};
use crate::kernel::Feature;
use crate::oci::spec::{
    BlockIo, Cpu, Device, DeviceRule, Memory, Pids, Resources, ThrottleDevice, WeightDevice,
};
use crate::wire::container::{DeviceLimit, DeviceMapping, HostConfig};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

/// What the host's cgroup v2 tree can limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Controllers {
    pub memory: bool,
    /// Memory and swap together.
    pub swap: bool,
    pub cpu: bool,
    /// A controller's files go by options of their own.
    pub cpu_quota: bool,
    pub cpu_shares: bool,
    pub cpuset: bool,
    pub pids: bool,
    pub io: bool,
    pub io_max: bool,
    pub io_weight: bool,
}

impl Controllers {
    /// What is missing where there are no quotas, shares, rates or weights: the controller or more.
    pub fn no_quota(self) -> Feature {
        one_of(self.cpu, Feature::CgroupSched, Feature::CfsBandwidth)
    }

    pub fn no_shares(self) -> Feature {
        one_of(self.cpu, Feature::CgroupSched, Feature::FairGroupSched)
    }

    pub fn no_rate(self) -> Feature {
        one_of(self.io, Feature::BlkCgroup, Feature::BlkDevThrottling)
    }

    pub fn no_weight(self) -> Feature {
        one_of(self.io, Feature::BlkCgroup, Feature::IoWeight)
    }
}

fn one_of(has_controller: bool, controller: Feature, file: Feature) -> Feature {
    match has_controller {
        true => file,
        false => controller,
    }
}

/// Docker's default CPU period, microseconds.
const PERIOD: u64 = 100_000;

/// The limits asked for, without those that this host cannot enforce: create has warned of them.
pub fn of(container: &Container, controllers: Controllers) -> Result<Resources> {
    Ok(Resources {
        devices: Some(device_rules(container)?),
        ..limits(&container.current_host(), controllers)?
    })
}

/// The limits among them, which `update` changes.
pub fn limits(host: &HostConfig, controllers: Controllers) -> Result<Resources> {
    let set = |limit: Option<i64>| limit.filter(|limit| *limit != 0);
    let text = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());

    let memory = Memory {
        limit: set(host.memory),
        reservation: set(host.memory_reservation),
        swap: set(host.memory_swap),
        ..Memory::default()
    };
    let limits_memory = memory
        .limit
        .or(memory.reservation)
        .or(memory.swap)
        .is_some();

    let (quota, period) = match set(host.nano_cpus) {
        Some(nano) => (Some(nano / (1_000_000_000 / PERIOD as i64)), Some(PERIOD)),
        None => (
            set(host.cpu_quota),
            set(host.cpu_period).and_then(|period| u64::try_from(period).ok()),
        ),
    };
    let cpu = Cpu {
        shares: set(host.cpu_shares)
            .and_then(|shares| u64::try_from(shares).ok())
            .filter(|_| controllers.cpu_shares),
        quota: quota.filter(|_| controllers.cpu_quota),
        period: period.filter(|_| controllers.cpu_quota),
        cpus: text(&host.cpuset_cpus).filter(|_| controllers.cpuset),
        mems: text(&host.cpuset_mems).filter(|_| controllers.cpuset),
        ..Cpu::default()
    };
    let limits_cpu = cpu.shares.is_some()
        || cpu.quota.is_some()
        || cpu.period.is_some()
        || cpu.cpus.is_some()
        || cpu.mems.is_some();

    Ok(Resources {
        memory: Some(memory).filter(|_| limits_memory && controllers.memory),
        cpu: Some(cpu).filter(|_| limits_cpu),
        pids: set(host.pids_limit)
            .filter(|_| controllers.pids)
            .map(|limit| Pids { limit: Some(limit) }),
        block_io: block_io(host)?.filter(|_| controllers.io),
        ..Resources::default()
    })
}

fn block_io(host: &HostConfig) -> Result<Option<BlockIo>> {
    let throttles = |list: &Option<Vec<DeviceLimit>>| -> Result<Option<Vec<ThrottleDevice>>> {
        let mut devices = Vec::new();
        for limit in list.iter().flatten() {
            let (major, minor) = block_device(limit)?;
            devices.push(ThrottleDevice {
                major: Some(major),
                minor: Some(minor),
                rate: limit.rate,
            });
        }
        Ok(Some(devices).filter(|devices| !devices.is_empty()))
    };
    let mut weights = Vec::new();
    for limit in host.blkio_weight_device.iter().flatten() {
        let (major, minor) = block_device(limit)?;
        weights.push(WeightDevice {
            major: Some(major),
            minor: Some(minor),
            weight: limit.weight,
            leaf_weight: None,
        });
    }
    let weight = host
        .blkio_weight
        .and_then(|weight| u16::try_from(weight).ok());
    let io = BlockIo {
        weight: weight.filter(|weight| *weight > 0),
        weight_device: Some(weights).filter(|weights| !weights.is_empty()),
        throttle_read_bps: throttles(&host.blkio_device_read_bps)?,
        throttle_write_bps: throttles(&host.blkio_device_write_bps)?,
        throttle_read_iops: throttles(&host.blkio_device_read_iops)?,
        throttle_write_iops: throttles(&host.blkio_device_write_iops)?,
        ..BlockIo::default()
    };
    let is_limited = io.weight.is_some()
        || io.weight_device.is_some()
        || io.throttle_read_bps.is_some()
        || io.throttle_write_bps.is_some()
        || io.throttle_read_iops.is_some()
        || io.throttle_write_iops.is_some();
    Ok(Some(io).filter(|_| is_limited))
}

/// The numbers of the device that a limit is of.
fn block_device(limit: &DeviceLimit) -> Result<(i64, i64)> {
    let path = limit.path.as_deref().unwrap_or_default();
    let metadata = std::fs::metadata(path)
        .map_err(|e| Error::io(format_args!("stat {path}"), &e).with_kind(Kind::Invalid))?;
    let number = metadata.rdev();
    Ok((
        rustix::fs::major(number).into(),
        rustix::fs::minor(number).into(),
    ))
}

fn rule(allow: bool, kind: &str, numbers: Option<(i64, i64)>, access: &str) -> DeviceRule {
    DeviceRule {
        allow: Some(allow),
        kind: Some(kind.to_string()),
        major: numbers.map(|(major, _)| major),
        minor: numbers.map(|(_, minor)| minor),
        access: Some(access.to_string()),
    }
}

/// Docker's rules; the runtime adds those that every container needs (mknod, full, pts, ptmx).
fn device_rules(container: &Container) -> Result<Vec<DeviceRule>> {
    if container.host.privileged == Some(true) {
        return Ok(vec![rule(true, "a", None, "rwm")]);
    }
    // null, zero, random, urandom, tty, console
    let allowed = [(1, 3), (1, 5), (1, 8), (1, 9), (5, 0), (5, 1)];
    let mut rules = vec![rule(false, "a", None, "rwm")];
    rules.extend(allowed.map(|numbers| rule(true, "c", Some(numbers), "rwm")));
    // fuse: a process that may mount could serve the host's kernel a file system.
    rules.push(rule(false, "c", Some((10, 229)), "rwm"));
    for text in container.host.device_cgroup_rules.iter().flatten() {
        rules.push(parse_rule(text)?);
    }
    for mapping in container.host.devices.iter().flatten() {
        let access = mapping.cgroup_permissions.as_deref();
        let access = access.filter(|access| !access.is_empty()).unwrap_or("rwm");
        for device in mapped(mapping)? {
            let numbers = (
                device.major.unwrap_or(0).into(),
                device.minor.unwrap_or(0).into(),
            );
            let kind = device.kind.unwrap_or_default();
            rules.push(rule(true, &kind, Some(numbers), access));
        }
    }
    Ok(rules)
}

/// `c 1:3 rwm`, with `*` for any number.
pub fn parse_rule(text: &str) -> Result<DeviceRule> {
    let invalid = || Error::invalid(format!("invalid device cgroup rule format: '{text}'"));
    let number = |text: &str| match text {
        "*" => Some(-1),
        text => text.parse::<u32>().ok().map(i64::from),
    };
    let parts: Vec<&str> = text.split(' ').collect();
    let [kind @ ("a" | "b" | "c"), numbers, access] = parts[..] else {
        return Err(invalid());
    };
    let (major, minor) = numbers.split_once(':').ok_or_else(invalid)?;
    let numbers = number(major).zip(number(minor)).ok_or_else(invalid)?;
    if access.is_empty() || !access.bytes().all(|b| b"rwm".contains(&b)) {
        return Err(invalid());
    }
    Ok(rule(true, kind, Some(numbers), access))
}

/// The device nodes beside the default ones, which the runtime makes.
pub fn devices(container: &Container) -> Result<Vec<Device>> {
    let mut devices = Vec::new();
    if container.host.privileged == Some(true) {
        collect(Path::new("/dev"), &mut devices);
    }
    for mapping in container.host.devices.iter().flatten() {
        devices.extend(mapped(mapping)?);
    }
    Ok(devices)
}

/// One `--device`: a node, or all nodes below a directory.
fn mapped(mapping: &DeviceMapping) -> Result<Vec<Device>> {
    let source = mapping.path_on_host.as_deref().unwrap_or_default();
    let target = match mapping.path_in_container.as_deref() {
        None | Some("") => source,
        Some(target) => target,
    };
    let failed = |why: &dyn std::fmt::Display| {
        Error::invalid(format!(
            "error gathering device information while adding custom device \"{source}\": {why}"
        ))
    };
    let path = Path::new(source);
    let metadata = std::fs::metadata(path).map_err(|e| match e.kind() {
        std::io::ErrorKind::NotFound => failed(&"no such file or directory"),
        _ => failed(&e),
    })?;
    let mut devices = Vec::new();
    if metadata.is_dir() {
        collect(path, &mut devices);
    } else {
        devices.extend(node(path, &metadata));
    }
    if devices.is_empty() {
        return Err(failed(&"not a device node"));
    }
    for device in &mut devices {
        let path = device.path.take().unwrap_or_default();
        let rest = path.strip_prefix(source).unwrap_or_default();
        device.path = Some(format!("{target}{rest}"));
    }
    Ok(devices)
}

fn node(path: &Path, metadata: &std::fs::Metadata) -> Option<Device> {
    let kind = match metadata.file_type() {
        kind if kind.is_char_device() => "c",
        kind if kind.is_block_device() => "b",
        _ => return None,
    };
    Some(Device {
        path: Some(path.display().to_string()),
        kind: Some(kind.to_string()),
        major: Some(rustix::fs::major(metadata.rdev())),
        minor: Some(rustix::fs::minor(metadata.rdev())),
        file_mode: Some(metadata.mode() & 0o7777),
        uid: Some(metadata.uid()),
        gid: Some(metadata.gid()),
    })
}

/// The nodes below `dir`, without those that every container has for itself. What vanishes
/// while we look is not there. The tree is anybody's and may be deeper than our stack.
fn collect(dir: &Path, devices: &mut Vec<Device>) {
    const OWN: [&str; 5] = ["pts", "shm", "fd", "mqueue", "console"];
    let mut pending = vec![dir.to_path_buf()];
    while let Some(dir) = pending.pop() {
        for entry in std::fs::read_dir(&dir).into_iter().flatten().flatten() {
            if OWN.iter().any(|name| entry.file_name() == *name) {
                continue;
            }
            // Of the entry itself: links in /dev are links in the container's /dev, or nothing.
            match entry.metadata() {
                Ok(metadata) if metadata.is_dir() => pending.push(entry.path()),
                Ok(metadata) => devices.extend(node(&entry.path(), &metadata)),
                Err(_) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn device_rules_are_read_strictly() {
        let rule = parse_rule("c 10:* rw").unwrap();
        assert_eq!((rule.major, rule.minor), (Some(10), Some(-1)));
        for bad in [
            "", "c", "x 1:1 r", "c 1 r", "c 1:1", "c 1:1 rx", "c 1:-1 r", "c 1:1  r",
        ] {
            assert!(parse_rule(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_device_keeps_its_numbers_and_gets_the_name_inside() {
        let mapping = DeviceMapping {
            path_on_host: Some("/dev/null".into()),
            path_in_container: Some("/dev/nothing".into()),
            cgroup_permissions: None,
        };
        let devices = mapped(&mapping).unwrap();
        assert_eq!(devices.len(), 1);
        assert_eq!(devices[0].path.as_deref(), Some("/dev/nothing"));
        assert_eq!((devices[0].major, devices[0].minor), (Some(1), Some(3)));
    }
}
