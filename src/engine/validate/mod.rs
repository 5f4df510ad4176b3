//! What a create request may ask for: Docker's refusals, our own "not supported yet", and warnings
//! for limits that this host cannot enforce. Nothing is dropped in silence.

mod limits;
pub mod log;
pub mod network;
mod restart;
mod security;

use crate::engine::config::Options;
use crate::engine::spec::mounts;
use crate::engine::spec::resources::Controllers;
use crate::error::{Error, Result};
use crate::wire::container::{Config, HostConfig};

/// Refuse what is known and cannot be done yet.
pub fn supported(config: &Config, host: &HostConfig) -> Result<()> {
    fn some<T>(list: &Option<Vec<T>>) -> bool {
        list.as_ref().is_some_and(|list| !list.is_empty())
    }
    let text = |text: &Option<String>| text.as_ref().is_some_and(|text| !text.is_empty());
    let set = |number: Option<i64>| number.is_some_and(|number| number != 0);
    let test = config.healthcheck.as_ref().and_then(|h| h.test.as_deref());
    let checks = !matches!(test, None | Some([])) && test != Some(&["NONE".to_string()]);
    let asked = [
        (checks, "health check"),
        (text(&config.mac_address), "--mac-address"),
        (config.network_disabled == Some(true), "NetworkDisabled"),
        (some(&host.blkio_device_read_bps), "--device-read-bps"),
        (some(&host.blkio_device_read_iops), "--device-read-iops"),
        (some(&host.blkio_device_write_bps), "--device-write-bps"),
        (some(&host.blkio_device_write_iops), "--device-write-iops"),
        (set(host.blkio_weight), "--blkio-weight"),
        (some(&host.blkio_weight_device), "--blkio-weight-device"),
        (set(host.cpu_realtime_period), "--cpu-rt-period"),
        (set(host.cpu_realtime_runtime), "--cpu-rt-runtime"),
        (some(&host.device_requests), "--gpus"),
        (set(host.kernel_memory), "--kernel-memory"),
        (some(&host.links), "--link"),
        (host.oom_kill_disable == Some(true), "--oom-kill-disable"),
        (
            host.port_bindings
                .as_ref()
                .is_some_and(|map| !map.is_empty()),
            "publishing ports",
        ),
        (host.publish_all_ports == Some(true), "publishing ports"),
        (
            host.storage_opt.as_ref().is_some_and(|map| !map.is_empty()),
            "--storage-opt",
        ),
        (text(&host.volume_driver), "--volume-driver"),
        (some(&host.volumes_from), "--volumes-from"),
        (
            config.volumes.as_ref().is_some_and(|map| !map.is_empty()),
            "an anonymous volume (-v /path)",
        ),
    ];
    match asked.iter().find(|(is_asked, _)| *is_asked) {
        Some((_, name)) => Err(not_yet(format_args!("{name}"))),
        None => Ok(()),
    }
}

/// Check `host`, and fill in Docker's options. Warnings are added for the client to print.
pub fn check(
    host: &mut HostConfig,
    options: &Options,
    controllers: Controllers,
    warnings: &mut Vec<String>,
) -> Result<()> {
    check_modes(host, options)?;
    restart::check(host)?;
    log::check(host, options)?;
    self::security::check(host)?;
    limits::check(host, options)?;
    mounts::wanted(host)?;
    limits::warn(host, controllers, warnings);
    if host.init.is_none() && options.init {
        host.init = Some(true);
    }

    let privileged = host.privileged == Some(true);
    let quiet = |paths: Vec<String>| if privileged { Vec::new() } else { paths };
    host.masked_paths
        .get_or_insert_with(|| quiet(crate::engine::spec::security::masked_paths()));
    host.readonly_paths
        .get_or_insert_with(|| quiet(crate::engine::spec::security::readonly_paths()));
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

/// Namespaces: take the default where nothing is asked.
fn check_modes(host: &mut HostConfig, options: &Options) -> Result<()> {
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
            &*options.ipc_mode,
            &["", "private", "shareable", "host", "none"][..],
        ),
        (&mut host.pid_mode, "pid", "", &["", "private", "host"]),
        (&mut host.uts_mode, "uts", "", &["", "private", "host"]),
        (
            &mut host.cgroupns_mode,
            "cgroup",
            &*options.cgroupns_mode,
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
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(mut host: HostConfig) -> String {
        match check(
            &mut host,
            &Options::default(),
            Controllers::default(),
            &mut Vec::new(),
        ) {
            Ok(_) => "accepted".to_string(),
            Err(error) => error.to_string(),
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
        check(
            &mut host,
            &Options::default(),
            Controllers::default(),
            &mut warnings,
        )
        .unwrap();
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
        check(&mut host, &Options::default(), all, &mut warnings).unwrap();
        assert_eq!(warnings, [""; 0]);
    }
}
