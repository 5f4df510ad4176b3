//! What the texts of flags and file mean, and which of them cannot be.

use super::options::{Given, TlsFiles};
use crate::applets::client::human;
use crate::engine::config::{Level, Limits, Options, Settings};
use crate::engine::runtimes::{Runtimes, check};
use crate::error::{Error, Result};
use crate::json::map::Map;
use crate::registry::proxy::Proxies;
use crate::store::limit;
use crate::wire::container::Ulimit;
use crate::wire::system::Runtime;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

pub fn options(given: &Given) -> Result<Options> {
    let default = Options::default();
    let path = |long: &str, default: PathBuf| match given.text(long) {
        Some(text) => absolute(long, text),
        None => Ok(default),
    };
    let stores = given.all("store-ro").iter();
    check_fixed(given)?;
    check_backend(given)?;
    Ok(Options {
        holds_starts: false,
        data_root: path("data-root", default.data_root)?,
        exec_root: path("exec-root", default.exec_root)?,
        stores: stores
            .map(|path| absolute("store-ro", path))
            .collect::<Result<_>>()?,
        signature_policy: match given.text("signature-policy") {
            Some(path) => Some(absolute("signature-policy", path)?),
            None => None,
        },
        storage_driver: storage_driver(given)?,
        layer_bytes_max: layer_bytes_max(given)?,
        log_driver: text(given, "log-driver", &default.log_driver),
        log_opts: pairs(given, "log-opt")?,
        default_ulimits: given
            .all("default-ulimit")
            .iter()
            .map(|text| ulimit(text))
            .collect::<Result<_>>()?,
        init: given.switch("init", default.init),
        dns: addresses(given)?,
        dns_options: given.all("dns-opt").to_vec(),
        dns_search: domains(given)?,
        shm_size_bytes: match given.text("default-shm-size") {
            Some(text) => human::parse_size(text)?,
            None => default.shm_size_bytes,
        },
        ipc_mode: ipc_mode(given, default.ipc_mode)?,
        cgroupns_mode: cgroupns_mode(given, default.cgroupns_mode)?,
        no_new_privileges: given.switch("no-new-privileges", default.no_new_privileges),
        cgroup_parent: text(given, "cgroup-parent", &default.cgroup_parent),
        bip: cidr(given, "bip", false)?,
        bip6: cidr(given, "bip6", true)?,
        bridge: given
            .text("bridge")
            .filter(|name| !name.is_empty())
            .map(str::to_string),
        fixed_cidr: cidr(given, "fixed-cidr", false)?,
        fixed_cidr_v6: cidr(given, "fixed-cidr-v6", true)?,
        default_gateway: address(given, "default-gateway", false)?,
        default_gateway_v6: address(given, "default-gateway-v6", true)?,
        ipv6: given.switch("ipv6", default.ipv6),
        ip_masq: given.switch("ip-masq", default.ip_masq),
        ip: address(given, "ip", false)?.unwrap_or(default.ip),
        mtu: mtu(given, default.mtu)?,
        network_options: network_options(given)?,
        host_gateways: host_gateways(given)?,
        address_pools: given
            .all("default-address-pool")
            .iter()
            .map(|text| pool(text))
            .collect::<Result<_>>()?,
        ip_forward: given.switch("ip-forward", default.ip_forward),
        iptables: given.switch("iptables", default.iptables),
        ip6tables: given.switch("ip6tables", default.ip6tables),
        limits: match text(given, "limits", "strict").as_str() {
            "strict" => Limits::Strict,
            "best-effort" => Limits::BestEffort,
            other => {
                return Err(Error::invalid(format!(
                    "invalid --limits {other:?}: strict or best-effort"
                )));
            }
        },
        userland_proxy: given.switch("userland-proxy", default.userland_proxy),
        icc: given.switch("icc", default.icc),
    })
}

/// Shims and containers have other working directories.
fn absolute(long: &str, text: &str) -> Result<PathBuf> {
    std::path::absolute(text).map_err(|e| Error::io(format_args!("find --{long} {text:?}"), &e))
}

pub fn settings(given: &Given) -> Result<Settings> {
    let default = Settings::default();
    let runtimes = runtimes(given)?;
    let default_runtime = text(given, "default-runtime", &default.default_runtime);
    check(&runtimes, &default_runtime)?;
    Ok(Settings {
        level: level(given)?,
        labels: labels(given)?,
        live_restore: given.switch("live-restore", default.live_restore),
        shutdown_timeout: match number(given, "shutdown-timeout", 15)? {
            ..0 => None,
            seconds => Some(Duration::from_secs(seconds.cast_unsigned())),
        },
        default_runtime,
        runtimes,
        insecure_registries: insecure_registries(given)?,
        registry_mirrors: mirrors(given)?,
        proxies: Proxies {
            http: text(given, "http-proxy", ""),
            https: text(given, "https-proxy", ""),
            no_proxy: text(given, "no-proxy", ""),
        },
        downloads_max: count(given, "max-concurrent-downloads", default.downloads_max)?,
        download_attempts_max: count(
            given,
            "max-download-attempts",
            default.download_attempts_max,
        )?,
        deltas: given.switch("deltas", default.deltas),
        features: features(given)?,
    })
}

/// As dockerd: TLS with `--tls` or `--tlsverify`, clients' certificates with the latter only.
pub fn tls(given: &Given) -> Option<TlsFiles> {
    let verify = given.switch("tlsverify", false);
    let file = |long: &str, name: &str| match given.text(long) {
        Some(path) => PathBuf::from(path),
        // The engine is root's.
        None => PathBuf::from(std::env::var_os("HOME").unwrap_or("/root".into()))
            .join(".docker")
            .join(name),
    };
    (verify || given.switch("tls", false)).then(|| TlsFiles {
        verify,
        ca: file("tlscacert", "ca.pem"),
        certificate: file("tlscert", "cert.pem"),
        key: file("tlskey", "key.pem"),
    })
}

/// Only where somebody starts the engine again.
pub fn idle_exit(given: &Given) -> Result<Option<Duration>> {
    let seconds = match number(given, "idle-exit", 0)? {
        ..=0 => return Ok(None),
        seconds => seconds.cast_unsigned(),
    };
    let hosts = given.all("host");
    if hosts.is_empty() || hosts.iter().any(|host| !host.starts_with("fd://")) {
        return Err(Error::invalid(
            "idle-exit needs sockets that another process holds, or nobody could call the engine back: serve fd:// and nothing else",
        ));
    }
    Ok(Some(Duration::from_secs(seconds)))
}

fn text(given: &Given, long: &str, default: &str) -> String {
    given.text(long).unwrap_or(default).to_string()
}

/// A number of a flag that the file may give as well: the flag's own check is not enough.
fn number(given: &Given, long: &str, default: i64) -> Result<i64> {
    let Some(text) = given.text(long) else {
        return Ok(default);
    };
    text.parse().map_err(|_| {
        Error::invalid(format!(
            "invalid argument {text:?} for \"--{long}\" flag: strconv.ParseInt: parsing {text:?}: invalid syntax"
        ))
    })
}

fn count(given: &Given, long: &str, default: u32) -> Result<u32> {
    let number = number(given, long, default.into())?;
    // Docker: 0 means the default.
    match u32::try_from(number) {
        Ok(0) => Ok(default),
        Ok(count) => Ok(count),
        Err(_) => {
            let what = long.replace('-', " ");
            Err(Error::invalid(format!("invalid {what}: {number}")))
        }
    }
}

/// `name=value` each.
fn pairs(given: &Given, long: &str) -> Result<Map<String>> {
    let mut pairs = Map::new();
    for text in given.all(long) {
        let (name, value) = text.split_once('=').ok_or_else(|| {
            Error::invalid(format!(
                "invalid argument {text:?} for \"--{long}\" flag: use name=value"
            ))
        })?;
        pairs.insert(name.to_string(), value.to_string());
    }
    Ok(pairs)
}

fn storage_driver(given: &Given) -> Result<String> {
    match given.text("storage-driver").unwrap_or_default() {
        "overlay" => Ok("overlay2".to_string()),
        driver @ ("" | "overlay2" | "vfs") => Ok(driver.to_string()),
        driver => Err(Error::invalid(format!(
            "driver not supported: {driver}: use overlay2 or vfs"
        ))),
    }
}

/// Docker's only option of a storage driver that means something here.
fn layer_bytes_max(given: &Given) -> Result<Option<u64>> {
    let mut size = None;
    for option in given.all("storage-opt") {
        match option.split_once('=') {
            Some(("overlay2.size" | "vfs.size" | "size", text)) => size = Some(limit::parse(text)?),
            _ => {
                let option = option.split('=').next().unwrap_or_default();
                return Err(Error::invalid(format!(
                    "overlay2: unknown option {option}: use overlay2.size=SIZE"
                )));
            }
        }
    }
    Ok(size)
}

/// Settings that have one sensible value here. A file made for dockerd may give it.
fn check_fixed(given: &Given) -> Result<()> {
    for option in given.all("exec-opt") {
        match option
            .split_once('=')
            .map(|(name, value)| (name.trim(), value.trim()))
        {
            Some(("native.cgroupdriver", "cgroupfs")) => {}
            Some(("native.cgroupdriver", driver)) => {
                return Err(Error::invalid(format!(
                    "invalid exec-opt ({option}): tug makes cgroups itself and has no driver {driver}: use native.cgroupdriver=cgroupfs"
                )));
            }
            Some((name, _)) => {
                return Err(Error::invalid(format!(
                    "invalid exec-opt ({option}): unknown option: '{name}'"
                )));
            }
            None => {
                return Err(Error::invalid(format!(
                    "invalid exec-opt ({option}): must be formatted 'opt=value'"
                )));
            }
        }
    }
    Ok(())
}

/// `name=soft[:hard]`.
fn ulimit(text: &str) -> Result<Ulimit> {
    let invalid = || Error::invalid(format!("invalid ulimit argument: {text}"));
    let (name, limits) = text.split_once('=').ok_or_else(invalid)?;
    let (soft, hard) = limits.split_once(':').unwrap_or((limits, limits));
    let soft: i64 = soft.parse().map_err(|_| invalid())?;
    let hard: i64 = hard.parse().map_err(|_| invalid())?;
    if hard != -1 && (soft == -1 || soft > hard) {
        return Err(Error::invalid(format!(
            "default-ulimits: {name}: ulimit soft limit must be less than or equal to hard limit: {soft} > {hard}"
        )));
    }
    Ok(Ulimit {
        name: Some(name.to_string()),
        soft: Some(soft),
        hard: Some(hard),
    })
}

fn addresses(given: &Given) -> Result<Vec<String>> {
    for text in given.all("dns") {
        if text.trim().parse::<IpAddr>().is_err() {
            return Err(Error::invalid(format!("{text} is not an ip address")));
        }
    }
    Ok(given.all("dns").to_vec())
}

/// A single dot means no domain at all (resolv.conf(5), search).
fn domains(given: &Given) -> Result<Vec<String>> {
    let is_domain = |text: &str| {
        text == "."
            || !text.is_empty()
                && text
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
    };
    for text in given.all("dns-search") {
        if !is_domain(text) {
            return Err(Error::invalid(format!("{text} is not a valid domain")));
        }
    }
    Ok(given.all("dns-search").to_vec())
}

fn ipc_mode(given: &Given, default: String) -> Result<String> {
    match given.text("default-ipc-mode") {
        None => Ok(default),
        Some(mode @ ("private" | "shareable")) => Ok(mode.to_string()),
        Some(mode) => Err(Error::invalid(format!(
            "default IPC mode setting ({mode}) is invalid; use \"shareable\" or \"private\""
        ))),
    }
}

fn cgroupns_mode(given: &Given, default: String) -> Result<String> {
    match given.text("default-cgroupns-mode") {
        None => Ok(default),
        Some(mode @ ("private" | "host")) => Ok(mode.to_string()),
        Some(mode) => Err(Error::invalid(format!(
            "default cgroup namespace mode ({mode}) is invalid; use \"host\" or \"private\""
        ))),
    }
}

/// An address and the length of its prefix.
fn is_network(text: &str) -> bool {
    let parsed = text.split_once('/').and_then(|(address, prefix)| {
        let address: IpAddr = address.parse().ok()?;
        let prefix: u8 = prefix.parse().ok()?;
        Some(prefix <= if address.is_ipv4() { 32 } else { 128 })
    });
    parsed == Some(true)
}

/// Both words are known, and what is used is nf_tables itself.
fn check_backend(given: &Given) -> Result<()> {
    match given.text("firewall-backend").unwrap_or_default() {
        "" | "iptables" | "nftables" => Ok(()),
        other => Err(Error::invalid(format!(
            "invalid firewall-backend {other:?}: use iptables or nftables"
        ))),
    }
}

/// An address with its prefix.
fn cidr(given: &Given, long: &str, is_v6: bool) -> Result<Option<String>> {
    match given.text(long).filter(|text| !text.is_empty()) {
        Some(text) if !is_network(text) || text.contains(':') != is_v6 => Err(Error::invalid(
            format!("invalid {long}: invalid CIDR address: {text}"),
        )),
        text => Ok(text.map(str::to_string)),
    }
}

fn address(given: &Given, long: &str, is_v6: bool) -> Result<Option<String>> {
    let Some(text) = given.text(long).filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    match text.parse::<IpAddr>() {
        Ok(address) if address.is_ipv6() == is_v6 => Ok(Some(address.to_string())),
        _ => Err(Error::invalid(format!(
            "invalid argument {text:?} for \"--{long}\" flag: invalid string being converted to IP address: {text}"
        ))),
    }
}

/// 0 is the default, as in Docker.
fn mtu(given: &Given, default: u32) -> Result<u32> {
    match number(given, "mtu", 0)? {
        0 => Ok(default),
        mtu @ 68..=65_535 => Ok(mtu as u32),
        mtu => Err(Error::invalid(format!("invalid mtu: {mtu}"))),
    }
}

/// `bridge=com.docker.network.driver.mtu=1400`.
fn network_options(given: &Given) -> Result<Map<Map<String>>> {
    let mut all: Map<Map<String>> = Map::new();
    for text in given.all("default-network-opt") {
        let parts = text.split_once('=').and_then(|(driver, rest)| {
            let (name, value) = rest.split_once('=')?;
            Some((driver, name, value))
        });
        let Some((driver, name, value)) = parts else {
            return Err(Error::invalid(format!(
                "invalid default-network-opt {text:?}: give DRIVER=OPTION=VALUE"
            )));
        };
        all.value(driver)
            .insert(name.to_string(), value.to_string());
    }
    Ok(all)
}

fn host_gateways(given: &Given) -> Result<Vec<String>> {
    let all = given.all("host-gateway-ip");
    match all.iter().find(|text| text.parse::<IpAddr>().is_err()) {
        Some(text) => Err(Error::invalid(format!("{text} is not an ip address"))),
        None => Ok(all.to_vec()),
    }
}

/// `base=10.0.0.0/8,size=24`.
fn pool(text: &str) -> Result<(String, u8)> {
    let (mut base, mut size) = (None, None);
    for field in text.split(',') {
        match field.split_once('=') {
            Some(("base", value)) if is_network(value) => base = Some(value.to_string()),
            Some(("size", value)) => size = value.parse::<u8>().ok().filter(|size| *size <= 128),
            _ => {}
        }
    }
    base.zip(size).ok_or_else(|| {
        Error::invalid(format!(
            "invalid default-address-pool {text:?}: give base=ADDRESS/PREFIX,size=PREFIX"
        ))
    })
}

/// `debug` and `log-level`: the one that says more.
fn level(given: &Given) -> Result<Level> {
    let level = match given
        .text("log-level")
        .unwrap_or("info")
        .to_ascii_lowercase()
        .as_str()
    {
        "trace" | "debug" => Level::Debug,
        "info" => Level::Info,
        "warn" | "error" | "fatal" | "panic" => Level::Warn,
        other => return Err(Error::invalid(format!("invalid logging level: {other}"))),
    };
    Ok(match given.switch("debug", false) {
        true => Level::Debug,
        false => level,
    })
}

fn labels(given: &Given) -> Result<Vec<String>> {
    let mut labels = Map::new();
    for label in given.all("label") {
        let (name, value) = label
            .split_once('=')
            .filter(|(name, _)| !name.is_empty())
            .ok_or_else(|| Error::invalid(format!("bad attribute format: {label}")))?;
        if let Some(other) = labels
            .insert(name.to_string(), value)
            .filter(|other| *other != value)
        {
            return Err(Error::invalid(format!(
                "conflict labels for {name}={value} and {name}={other}"
            )));
        }
    }
    let text = |(name, value): (String, &str)| format!("{name}={value}");
    Ok(labels.into_iter().map(text).collect())
}

fn runtimes(given: &Given) -> Result<Runtimes> {
    let mut runtimes = given.runtimes.clone();
    for (name, path) in pairs(given, "add-runtime")? {
        let runtime = Runtime {
            path: Some(path),
            ..Runtime::default()
        };
        if runtimes.insert(name.clone(), runtime).is_some() {
            return Err(Error::invalid(format!(
                "runtime '{name}' was already defined"
            )));
        }
    }
    Ok(runtimes)
}

fn insecure_registries(given: &Given) -> Result<Vec<String>> {
    for text in given.all("insecure-registry") {
        if text.contains("://") {
            return Err(Error::invalid(format!(
                "insecure registry {text} should not contain '://'"
            )));
        }
        if text.is_empty() || text.contains('/') && !is_network(text) {
            return Err(Error::invalid(format!(
                "insecure registry {text:?} is not valid: give HOST[:PORT] or ADDRESS/PREFIX"
            )));
        }
    }
    Ok(given.all("insecure-registry").to_vec())
}

/// Each with a slash at its end, as Docker shows them.
fn mirrors(given: &Given) -> Result<Vec<String>> {
    let mirror = |text: &String| {
        let trimmed = text.trim_end_matches('/');
        let host = trimmed
            .strip_prefix("https://")
            .or_else(|| trimmed.strip_prefix("http://"));
        match host {
            None => Err(Error::invalid(format!(
                "invalid mirror: no scheme specified for {text:?}: must use either 'https://' or 'http://'"
            ))),
            Some(host) if host.is_empty() || host.contains(['/', '?', '#', '@', ' ']) => {
                Err(Error::invalid(format!(
                    "invalid mirror: {text:?} is not HOST[:PORT] behind the scheme"
                )))
            }
            Some(_) => Ok(format!("{trimmed}/")),
        }
    };
    given.all("registry-mirror").iter().map(mirror).collect()
}

fn features(given: &Given) -> Result<Map<bool>> {
    let mut features = Map::new();
    for (name, value) in pairs(given, "feature")? {
        let is_on = match value.as_str() {
            "true" => true,
            "false" => false,
            _ => {
                return Err(Error::invalid(format!(
                    "invalid feature {name}={value}: true or false is needed"
                )));
            }
        };
        features.insert(name, is_on);
    }
    Ok(features)
}
