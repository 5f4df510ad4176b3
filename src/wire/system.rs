//! The engine about itself: version, info.

use crate::json::map::Map;
use crate::json::value::json_struct;

json_struct! {
    /// GET /version.
    #[derive(Clone, Debug, Default)]
    pub struct Version {
        pub platform: Option<Platform> = "Platform",
        pub components: Option<Vec<Component>> = "Components",
        pub version: Option<String> = "Version",
        pub api_version: Option<String> = "ApiVersion",
        pub min_api_version: Option<String> = "MinAPIVersion",
        pub git_commit: Option<String> = "GitCommit",
        /// Clients print it; we say how we were built.
        pub go_version: Option<String> = "GoVersion",
        pub os: Option<String> = "Os",
        pub arch: Option<String> = "Arch",
        pub kernel_version: Option<String> = "KernelVersion",
        pub build_time: Option<String> = "BuildTime",
    }

    /// The product's name.
    #[derive(Clone, Debug, Default)]
    pub struct Platform {
        pub name: Option<String> = "Name",
    }

    /// A part with a version of its own.
    #[derive(Clone, Debug, Default)]
    pub struct Component {
        pub name: Option<String> = "Name",
        pub version: Option<String> = "Version",
        pub details: Option<Map<String>> = "Details",
    }

    /// GET /info.
    #[derive(Clone, Debug, Default)]
    pub struct Info {
        pub id: Option<String> = "ID",
        pub containers: Option<i64> = "Containers",
        pub containers_running: Option<i64> = "ContainersRunning",
        pub containers_paused: Option<i64> = "ContainersPaused",
        pub containers_stopped: Option<i64> = "ContainersStopped",
        pub images: Option<i64> = "Images",
        pub driver: Option<String> = "Driver",
        pub driver_status: Option<Vec<Vec<String>>> = "DriverStatus",
        pub docker_root_dir: Option<String> = "DockerRootDir",
        pub memory_limit: Option<bool> = "MemoryLimit",
        pub swap_limit: Option<bool> = "SwapLimit",
        pub cpu_cfs_period: Option<bool> = "CpuCfsPeriod",
        pub cpu_cfs_quota: Option<bool> = "CpuCfsQuota",
        pub cpu_shares: Option<bool> = "CPUShares",
        pub cpu_set: Option<bool> = "CPUSet",
        pub pids_limit: Option<bool> = "PidsLimit",
        pub oom_kill_disable: Option<bool> = "OomKillDisable",
        pub ipv4_forwarding: Option<bool> = "IPv4Forwarding",
        pub debug: Option<bool> = "Debug",
        pub fds: Option<i64> = "NFd",
        /// Threads of the engine.
        pub threads: Option<i64> = "NGoroutines",
        pub system_time: Option<String> = "SystemTime",
        pub logging_driver: Option<String> = "LoggingDriver",
        pub cgroup_driver: Option<String> = "CgroupDriver",
        pub cgroup_version: Option<String> = "CgroupVersion",
        pub event_listeners: Option<i64> = "NEventsListener",
        pub kernel_version: Option<String> = "KernelVersion",
        pub operating_system: Option<String> = "OperatingSystem",
        pub os_version: Option<String> = "OSVersion",
        pub os_type: Option<String> = "OSType",
        pub architecture: Option<String> = "Architecture",
        pub index_server_address: Option<String> = "IndexServerAddress",
        pub ncpu: Option<i64> = "NCPU",
        /// Bytes.
        pub mem_total: Option<i64> = "MemTotal",
        pub http_proxy: Option<String> = "HttpProxy",
        pub https_proxy: Option<String> = "HttpsProxy",
        pub no_proxy: Option<String> = "NoProxy",
        pub name: Option<String> = "Name",
        pub labels: Option<Vec<String>> = "Labels",
        pub experimental_build: Option<bool> = "ExperimentalBuild",
        pub server_version: Option<String> = "ServerVersion",
        pub runtimes: Option<Map<Runtime>> = "Runtimes",
        pub default_runtime: Option<String> = "DefaultRuntime",
        pub live_restore_enabled: Option<bool> = "LiveRestoreEnabled",
        pub isolation: Option<String> = "Isolation",
        pub init_binary: Option<String> = "InitBinary",
        pub security_options: Option<Vec<String>> = "SecurityOptions",
        pub warnings: Option<Vec<String>> = "Warnings",
    }

    /// A runtime that `--runtime` can name.
    #[derive(Clone, Debug, Default)]
    pub struct Runtime {
        pub path: Option<String>,
        /// What stands between the program and its verb.
        pub runtime_args: Option<Vec<String>> = "runtimeArgs",
        /// In place of a path: one of containerd's shims.
        pub runtime_type: Option<String> = "runtimeType",
    }
}
