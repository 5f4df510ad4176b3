//! The engine about itself: version, info.

use crate::json::map::Map;
use miniserde::{Deserialize, Serialize};

/// GET /version.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Version {
    #[serde(rename = "Platform")]
    pub platform: Option<Platform>,
    #[serde(rename = "Components")]
    pub components: Option<Vec<Component>>,
    #[serde(rename = "Version")]
    pub version: Option<String>,
    #[serde(rename = "ApiVersion")]
    pub api_version: Option<String>,
    #[serde(rename = "MinAPIVersion")]
    pub min_api_version: Option<String>,
    #[serde(rename = "GitCommit")]
    pub git_commit: Option<String>,
    /// Clients print it; we say how we were built.
    #[serde(rename = "GoVersion")]
    pub go_version: Option<String>,
    #[serde(rename = "Os")]
    pub os: Option<String>,
    #[serde(rename = "Arch")]
    pub arch: Option<String>,
    #[serde(rename = "KernelVersion")]
    pub kernel_version: Option<String>,
    #[serde(rename = "BuildTime")]
    pub build_time: Option<String>,
}

/// The product's name.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Platform {
    #[serde(rename = "Name")]
    pub name: Option<String>,
}

/// A part with a version of its own.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Component {
    #[serde(rename = "Name")]
    pub name: Option<String>,
    #[serde(rename = "Version")]
    pub version: Option<String>,
    #[serde(rename = "Details")]
    pub details: Option<Map<String>>,
}

/// GET /info.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Info {
    #[serde(rename = "ID")]
    pub id: Option<String>,
    #[serde(rename = "Containers")]
    pub containers: Option<i64>,
    #[serde(rename = "ContainersRunning")]
    pub containers_running: Option<i64>,
    #[serde(rename = "ContainersPaused")]
    pub containers_paused: Option<i64>,
    #[serde(rename = "ContainersStopped")]
    pub containers_stopped: Option<i64>,
    #[serde(rename = "Images")]
    pub images: Option<i64>,
    #[serde(rename = "Driver")]
    pub driver: Option<String>,
    #[serde(rename = "DriverStatus")]
    pub driver_status: Option<Vec<Vec<String>>>,
    #[serde(rename = "DockerRootDir")]
    pub docker_root_dir: Option<String>,
    #[serde(rename = "MemoryLimit")]
    pub memory_limit: Option<bool>,
    #[serde(rename = "SwapLimit")]
    pub swap_limit: Option<bool>,
    #[serde(rename = "CpuCfsPeriod")]
    pub cpu_cfs_period: Option<bool>,
    #[serde(rename = "CpuCfsQuota")]
    pub cpu_cfs_quota: Option<bool>,
    #[serde(rename = "CPUShares")]
    pub cpu_shares: Option<bool>,
    #[serde(rename = "CPUSet")]
    pub cpu_set: Option<bool>,
    #[serde(rename = "PidsLimit")]
    pub pids_limit: Option<bool>,
    #[serde(rename = "OomKillDisable")]
    pub oom_kill_disable: Option<bool>,
    #[serde(rename = "IPv4Forwarding")]
    pub ipv4_forwarding: Option<bool>,
    #[serde(rename = "Debug")]
    pub debug: Option<bool>,
    #[serde(rename = "NFd")]
    pub fds: Option<i64>,
    /// Threads of the engine.
    #[serde(rename = "NGoroutines")]
    pub threads: Option<i64>,
    #[serde(rename = "SystemTime")]
    pub system_time: Option<String>,
    #[serde(rename = "LoggingDriver")]
    pub logging_driver: Option<String>,
    #[serde(rename = "CgroupDriver")]
    pub cgroup_driver: Option<String>,
    #[serde(rename = "CgroupVersion")]
    pub cgroup_version: Option<String>,
    #[serde(rename = "NEventsListener")]
    pub event_listeners: Option<i64>,
    #[serde(rename = "KernelVersion")]
    pub kernel_version: Option<String>,
    #[serde(rename = "OperatingSystem")]
    pub operating_system: Option<String>,
    #[serde(rename = "OSVersion")]
    pub os_version: Option<String>,
    #[serde(rename = "OSType")]
    pub os_type: Option<String>,
    #[serde(rename = "Architecture")]
    pub architecture: Option<String>,
    #[serde(rename = "IndexServerAddress")]
    pub index_server_address: Option<String>,
    #[serde(rename = "NCPU")]
    pub ncpu: Option<i64>,
    /// Bytes.
    #[serde(rename = "MemTotal")]
    pub mem_total: Option<i64>,
    #[serde(rename = "HttpProxy")]
    pub http_proxy: Option<String>,
    #[serde(rename = "HttpsProxy")]
    pub https_proxy: Option<String>,
    #[serde(rename = "NoProxy")]
    pub no_proxy: Option<String>,
    #[serde(rename = "Name")]
    pub name: Option<String>,
    #[serde(rename = "Labels")]
    pub labels: Option<Vec<String>>,
    #[serde(rename = "ExperimentalBuild")]
    pub experimental_build: Option<bool>,
    #[serde(rename = "ServerVersion")]
    pub server_version: Option<String>,
    #[serde(rename = "Runtimes")]
    pub runtimes: Option<Map<Runtime>>,
    #[serde(rename = "DefaultRuntime")]
    pub default_runtime: Option<String>,
    #[serde(rename = "LiveRestoreEnabled")]
    pub live_restore_enabled: Option<bool>,
    #[serde(rename = "Isolation")]
    pub isolation: Option<String>,
    #[serde(rename = "InitBinary")]
    pub init_binary: Option<String>,
    #[serde(rename = "SecurityOptions")]
    pub security_options: Option<Vec<String>>,
    #[serde(rename = "Warnings")]
    pub warnings: Option<Vec<String>>,
}

/// A runtime that `--runtime` can name.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Runtime {
    pub path: Option<String>,
    /// What stands between the program and its verb.
    #[serde(rename = "runtimeArgs")]
    pub runtime_args: Option<Vec<String>>,
    /// In place of a path: one of containerd's shims.
    #[serde(rename = "runtimeType")]
    pub runtime_type: Option<String>,
}
