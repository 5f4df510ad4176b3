//! What the engine was told, by flags and by `daemon.json` (see `applets::engine::options`).

use crate::engine::runtimes::{OWN, Runtimes};
use crate::json::map::Map;
use crate::registry::proxy::Proxies;
use crate::sys::machine;
use crate::wire::container::Ulimit;
use std::path::PathBuf;
use std::time::Duration;

/// Fixed for the engine's life.
#[derive(Clone, Debug)]
pub struct Options {
    pub data_root: PathBuf,
    pub exec_root: PathBuf,
    /// What policies want up after a boot waits for `Engine::start_held`.
    pub holds_starts: bool,
    /// Read-only stores of images, beside the data root.
    pub stores: Vec<PathBuf>,
    /// Which images may be here; none: `/etc/tug/policy.json`, if it is there.
    pub signature_policy: Option<PathBuf>,
    /// `overlay2`, `vfs`, or empty: see `driver`.
    pub storage_driver: String,
    /// What a container may write that asks for no size.
    pub layer_bytes_max: Option<u64>,
    pub limits: Limits,
    pub log_driver: String,
    pub log_opts: Map<String>,
    pub default_ulimits: Vec<Ulimit>,
    /// Give containers a process 1 of ours, where they do not say.
    pub init: bool,
    pub dns: Vec<String>,
    pub dns_options: Vec<String>,
    pub dns_search: Vec<String>,
    pub shm_size_bytes: i64,
    /// `private` or `shareable`.
    pub ipc_mode: String,
    /// `private` or `host`.
    pub cgroupns_mode: String,
    pub no_new_privileges: bool,
    /// Empty: the engine's own choice.
    pub cgroup_parent: String,
    /// The bridge's address with its prefix, such as `10.1.0.1/24`.
    pub bip: Option<String>,
    /// Where networks without a subnet take one from: a range, and the prefix that each gets.
    pub address_pools: Vec<(String, u8)>,
    pub ip_forward: bool,
    pub iptables: bool,
    pub ip6tables: bool,
    pub userland_proxy: bool,
    pub icc: bool,
    /// The link of the default bridge network, where it has another name; `none` is no such network.
    pub bridge: Option<String>,
    pub bip6: Option<String>,
    /// The part of the default bridge's subnet that containers get addresses of.
    pub fixed_cidr: Option<String>,
    pub fixed_cidr_v6: Option<String>,
    /// Where its containers send what is for elsewhere, in place of the bridge.
    pub default_gateway: Option<String>,
    pub default_gateway_v6: Option<String>,
    pub ipv6: bool,
    /// Masquerade what leaves the default bridge network.
    pub ip_masq: bool,
    /// The host's address of published ports that name none.
    pub ip: String,
    pub mtu: u32,
    /// By driver, options of networks that do not say.
    pub network_options: Map<Map<String>>,
    /// What `host-gateway` means in `--add-host`.
    pub host_gateways: Vec<String>,
}

/// What is done about a limit that was asked for and that this host cannot enforce.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limits {
    /// It is refused.
    Strict,
    /// The container goes without it, with Docker's warning.
    BestEffort,
}

impl Options {
    /// Whether there is a default bridge network.
    pub fn has_bridge(&self) -> bool {
        self.bridge.as_deref() != Some("none")
    }
}

impl Default for Options {
    fn default() -> Options {
        Options {
            data_root: PathBuf::from("/var/lib/tug"),
            exec_root: PathBuf::from("/run/tug"),
            holds_starts: false,
            stores: Vec::new(),
            signature_policy: None,
            storage_driver: String::new(),
            layer_bytes_max: None,
            limits: Limits::Strict,
            log_driver: "json-file".to_string(),
            log_opts: Map::new(),
            default_ulimits: Vec::new(),
            init: false,
            dns: Vec::new(),
            dns_options: Vec::new(),
            dns_search: Vec::new(),
            shm_size_bytes: 64 << 20,
            ipc_mode: "private".to_string(),
            cgroupns_mode: "private".to_string(),
            no_new_privileges: false,
            cgroup_parent: String::new(),
            bip: None,
            address_pools: Vec::new(),
            ip_forward: true,
            iptables: true,
            ip6tables: true,
            userland_proxy: true,
            icc: true,
            bridge: None,
            bip6: None,
            fixed_cidr: None,
            fixed_cidr_v6: None,
            default_gateway: None,
            default_gateway_v6: None,
            ipv6: false,
            ip_masq: true,
            ip: "0.0.0.0".to_string(),
            mtu: 1500,
            network_options: Map::new(),
            host_gateways: Vec::new(),
        }
    }
}

/// What SIGHUP reads anew; `Engine::settings` answers what holds now.
#[derive(Clone, Debug)]
pub struct Settings {
    pub level: Level,
    pub labels: Vec<String>,
    /// Whether containers outlive an engine that ends.
    pub live_restore: bool,
    /// How long an ending engine waits for the containers that it stops; `None` is for ever.
    pub shutdown_timeout: Option<Duration>,
    pub default_runtime: String,
    /// OCI runtimes beside our own.
    pub runtimes: Runtimes,
    pub insecure_registries: Vec<String>,
    pub registry_mirrors: Vec<String>,
    pub proxies: Proxies,
    pub downloads_max: u32,
    pub download_attempts_max: u32,
    /// Whether pulls take deltas where the registry has such.
    pub deltas: bool,
    // Read and kept; nothing asks for one yet.
    #[allow(dead_code)]
    pub features: Map<bool>,
}

/// A machine with less memory than this pulls one layer at a time.
const SMALL_BYTES: u64 = 256 << 20;

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            level: Level::Info,
            labels: Vec::new(),
            live_restore: true,
            shutdown_timeout: Some(Duration::from_secs(15)),
            default_runtime: OWN.to_string(),
            runtimes: Runtimes::new(),
            insecure_registries: Vec::new(),
            registry_mirrors: Vec::new(),
            proxies: Proxies::default(),
            // Each download holds a few hundred kB.
            downloads_max: match machine::memory_bytes() {
                0 | SMALL_BYTES.. => 3,
                _ => 1,
            },
            download_attempts_max: 5,
            deltas: true,
            features: Map::new(),
        }
    }
}

/// How much is said to standard error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Every request too.
    Debug,
    /// What the engine does of its own accord.
    Info,
    /// What went wrong.
    Warn,
}
