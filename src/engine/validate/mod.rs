//! What a create request may ask for. Nothing is dropped in silence: each member of the API's
//! `Config`, `HostConfig` and `NetworkingConfig` works, is discarded with a warning, or is refused,
//! in Docker's words where Docker has some. `tests/create_members.rs` asks for each of them.
//!
//! | member | |
//! |---|---|
//! | `MemorySwappiness OomKillDisable KernelMemory KernelMemoryTCP CpuCount CpuPercent` | warned: no such thing on Linux with cgroup v2 |
//! | limits whose controller this host lacks; labels and profiles without their module | warned |
//! | ports published with the network `none` or `host` | warned, as nothing is published there |
//! | `CpuRealtimePeriod CpuRealtimeRuntime IOMaximumIOps IOMaximumBandwidth Isolation Cgroup` | refused |
//! | `DeviceRequests` of our driver `tug.match` (see `device_match`), `StorageOpt` `size` | work |
//! | other `DeviceRequests`, `StorageOpt`; `UsernsMode` but for `host` | refused: no such driver, option, mapping |
//! | `Consistency`, `z` and `Z` of binds, `ContainerIDFile ArgsEscaped` | kept and shown; they change nothing on Linux |
//! | all others | work |

mod limits;
pub mod log;
pub mod modes;
pub mod network;
pub mod restart;
mod security;
pub mod size;

use crate::engine::config::Options;
use crate::engine::device_match;
use crate::engine::spec;
use crate::engine::spec::resources::Controllers;
use crate::engine::spec::wanted;
use crate::error::{Error, Result};
use crate::json::node::Node;
use crate::oci::image::HealthConfig;
use crate::shim::probe;
use crate::shim::remedy::Action;
use crate::wire::container::{Config, HostConfig};

pub use limits::check as check_limits;

/// Check `host`, and fill in what holds where it says nothing. Warnings are added for the client
/// to print. `config` is the request's, before the image's is merged with it.
pub fn check(
    config: &Config,
    host: &mut HostConfig,
    options: &Options,
    controllers: Controllers,
    warnings: &mut Vec<String>,
) -> Result<()> {
    check_possible(host)?;
    network::check(config, host, warnings)?;
    modes::check(host, options)?;
    restart::check(host)?;
    Action::of(host.health_on_failure.as_deref())?;
    log::check(host, options)?;
    limits::check(host, controllers, false, options.limits, warnings)?;
    limits::complete(host, options);
    self::security::check(host, warnings)?;
    wanted::of(host)?;
    if host
        .oom_score_adj
        .is_some_and(|score| !(-1000..=1000).contains(&score))
    {
        let score = host.oom_score_adj.unwrap_or(0);
        return Err(Error::invalid(format!(
            "Invalid value {score}, range for oom score adj is [-1000, 1000]"
        )));
    }
    if host.init.is_none() && options.init {
        host.init = Some(true);
    }

    let privileged = host.privileged == Some(true);
    let quiet = |paths: Vec<String>| if privileged { Vec::new() } else { paths };
    host.masked_paths
        .get_or_insert_with(|| quiet(spec::security::masked_paths()));
    host.readonly_paths
        .get_or_insert_with(|| quiet(spec::security::readonly_paths()));
    Ok(())
}

/// Refuse what cannot be, here or not yet.
fn check_possible(host: &HostConfig) -> Result<()> {
    if host.shm_size.is_some_and(|size| size < 0) {
        return Err(Error::invalid("SHM size can not be less than 0"));
    }
    let isolation = host.isolation.as_deref().unwrap_or_default();
    if !matches!(isolation.to_ascii_lowercase().as_str(), "" | "default") {
        return Err(Error::invalid(format!(
            "Invalid isolation: {isolation:?} - linux only supports 'default'"
        )));
    }
    for request in host.device_requests.iter().flatten() {
        if !device_match::is_one(request.node()) {
            return Err(no_driver(request.node()));
        }
    }
    device_match::of(host)?;
    size::of(host.storage_opt.as_ref())?;
    if host
        .annotations
        .as_ref()
        .is_some_and(|map| map.contains_key(""))
    {
        return Err(Error::invalid(
            "invalid Annotations: the empty string is not permitted as an annotation key",
        ));
    }
    let parent = host.cgroup_parent.as_deref().unwrap_or_default();
    if parent.split('/').any(|part| part == "..") {
        return Err(Error::invalid(
            "invalid CgroupParent: it must not contain '..'",
        ));
    }
    if host
        .console_size
        .as_ref()
        .is_some_and(|size| size.len() != 2)
    {
        return Err(Error::invalid(
            "invalid ConsoleSize: it must hold a height and a width",
        ));
    }

    let text = |text: &Option<String>| text.as_ref().is_some_and(|text| !text.is_empty());
    let asked = [(text(&host.cgroup), "HostConfig.Cgroup")];
    match asked.iter().find(|(is_asked, _)| *is_asked) {
        Some((_, name)) => Err(not_yet(format_args!("{name}"))),
        None => Ok(()),
    }
}

/// Docker's words for a kind of device that nobody here drives (moby, daemon/devices.go).
fn no_driver(request: Node<'_>) -> Error {
    let driver = request.at("Driver").text();
    // Go prints lists with blanks between their elements.
    let capabilities = match request.at("Capabilities").json() {
        "null" => "[]".to_string(),
        list => list.replace('"', "").replace(',', " "),
    };
    Error::invalid(format!(
        "could not select device driver {driver:?} with capabilities: {capabilities}"
    ))
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
    // setdomainname(2) takes as much.
    let domain = config.domainname.as_deref().unwrap_or_default();
    if domain.len() > 64 || !domain.bytes().all(is_name) {
        return Err(Error::invalid(format!(
            "invalid domainname format: {domain}"
        )));
    }
    if let Some(signal) = config.stop_signal.as_deref().filter(|s| !s.is_empty()) {
        crate::engine::kill::parse_signal(signal)?;
    }
    config.healthcheck.as_ref().map_or(Ok(()), check_health)?;
    check_zeros(config)
}

/// Docker's least interval, in nanoseconds (API, HealthConfig).
const MILLISECOND: i64 = 1_000_000;

fn check_health(health: &HealthConfig) -> Result<()> {
    for (time, name) in [
        (health.interval, "Interval"),
        (health.timeout, "Timeout"),
        (health.start_period, "StartPeriod"),
        (health.start_interval, "StartInterval"),
    ] {
        if time.is_some_and(|time| time != 0 && time < MILLISECOND) {
            return Err(Error::invalid(format!(
                "{name} in Healthcheck cannot be less than 1ms"
            )));
        }
    }
    if let Some(probe) = probe::of(health.test.as_deref()) {
        probe?.check()?;
    }
    match health.retries {
        Some(..=-1) => Err(Error::invalid("Retries in Healthcheck cannot be negative")),
        _ => Ok(()),
    }
}

/// A string for the kernel ends at its first zero byte. How long it may be the kernel says at each
/// start (execve(2), E2BIG).
fn check_zeros(config: &Config) -> Result<()> {
    let words = config
        .entrypoint
        .iter()
        .chain(&config.cmd)
        .chain(&config.env);
    let found = words.flatten().find(|word| word.contains('\0'));
    found.map_or(Ok(()), |word| {
        Err(Error::invalid(format!(
            "{word:?}: an argument or variable cannot contain a zero byte"
        )))
    })
}

fn not_yet(what: std::fmt::Arguments<'_>) -> Error {
    Error::invalid(format!("{what} is not supported yet"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json;

    fn told(config: &str, host: &str) -> String {
        let config: Config = json::parse(config, "test").unwrap();
        let mut host: HostConfig = json::parse(host, "test").unwrap();
        let mut warnings = Vec::new();
        let options = Options::default();
        let outcome = check(
            &config,
            &mut host,
            &options,
            Controllers::default(),
            &mut warnings,
        )
        .and_then(|()| check_config(&config));
        match outcome {
            Ok(()) => warnings.concat(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn what_cannot_be_is_refused() {
        for (host, sentence) in [
            (
                r#"{"Isolation":"hyperv"}"#,
                "Invalid isolation: \"hyperv\" - linux only supports 'default'",
            ),
            (
                r#"{"DeviceRequests":[{"Driver":"","Count":-1,"DeviceIDs":null,"Capabilities":[["gpu"]],"Options":{}}]}"#,
                "could not select device driver \"\" with capabilities: [[gpu]]",
            ),
            (
                r#"{"DeviceRequests":[{"Driver":"nvidia","Capabilities":[["gpu","compute"],["x"]]}]}"#,
                "could not select device driver \"nvidia\" with capabilities: [[gpu compute] [x]]",
            ),
            (r#"{"StorageOpt":{"sizes":"1g"}}"#, "unknown option sizes"),
            (
                r#"{"Annotations":{"":"x"}}"#,
                "invalid Annotations: the empty string is not permitted as an annotation key",
            ),
            (r#"{"ShmSize":-1}"#, "SHM size can not be less than 0"),
            (
                r#"{"OomScoreAdj":1001}"#,
                "Invalid value 1001, range for oom score adj is [-1000, 1000]",
            ),
            (
                r#"{"CgroupParent":"../x"}"#,
                "invalid CgroupParent: it must not contain '..'",
            ),
            (
                r#"{"Links":null,"BlkioWeight":0,"VolumesFrom":[],"PortBindings":{},"Isolation":"default","PublishAllPorts":true}"#,
                "",
            ),
        ] {
            assert_eq!(told("{}", host), sentence, "{host}");
        }
    }

    #[test]
    fn a_config_that_makes_no_sense_is_refused() {
        for (config, sentence) in [
            (
                r#"{"Healthcheck":{"Interval":5}}"#,
                "Interval in Healthcheck cannot be less than 1ms",
            ),
            (
                r#"{"Healthcheck":{"StartInterval":-1}}"#,
                "StartInterval in Healthcheck cannot be less than 1ms",
            ),
            (
                r#"{"Healthcheck":{"Retries":-1}}"#,
                "Retries in Healthcheck cannot be negative",
            ),
            (
                r#"{"WorkingDir":"x"}"#,
                "the working directory 'x' is invalid, it needs to be an absolute path",
            ),
            (r#"{"Env":["=x"]}"#, "invalid environment variable: =x"),
            (r#"{"Hostname":"a b"}"#, "invalid hostname format: a b"),
            (r#"{"Domainname":"a b"}"#, "invalid domainname format: a b"),
            (
                r#"{"Cmd":["a\u0000b"]}"#,
                "\"a\\0b\": an argument or variable cannot contain a zero byte",
            ),
            (r#"{"Healthcheck":{"Test":["NONE"]},"Volumes":null}"#, ""),
        ] {
            assert_eq!(told(config, "{}"), sentence, "{config}");
        }
    }
}
