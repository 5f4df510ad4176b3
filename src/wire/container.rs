//! Containers: create, list, inspect, wait.

use crate::json::map::Map;
use crate::json::value::Raw;
use crate::json::value::json_struct;
use crate::oci::image::{Empty, HealthConfig};
use crate::wire::set::Membership;

json_struct! {
    /// What runs in the container (API, ContainerConfig).
    #[derive(Clone, Debug, Default)]
    pub struct Config {
        pub hostname: Option<String> = "Hostname",
        pub domainname: Option<String> = "Domainname",
        pub user: Option<String> = "User",
        pub attach_stdin: Option<bool> = "AttachStdin",
        pub attach_stdout: Option<bool> = "AttachStdout",
        pub attach_stderr: Option<bool> = "AttachStderr",
        pub exposed_ports: Option<Map<Empty>> = "ExposedPorts",
        pub tty: Option<bool> = "Tty",
        pub open_stdin: Option<bool> = "OpenStdin",
        pub stdin_once: Option<bool> = "StdinOnce",
        pub env: Option<Vec<String>> = "Env",
        pub cmd: Option<Vec<String>> = "Cmd",
        pub entrypoint: Option<Vec<String>> = "Entrypoint",
        pub image: Option<String> = "Image",
        pub volumes: Option<Map<Empty>> = "Volumes",
        pub working_dir: Option<String> = "WorkingDir",
        pub labels: Option<Map<String>> = "Labels",
        pub stop_signal: Option<String> = "StopSignal",
        /// Seconds.
        pub stop_timeout: Option<i64> = "StopTimeout",
        pub healthcheck: Option<HealthConfig> = "Healthcheck",
        /// Of Windows images.
        pub args_escaped: Option<bool> = "ArgsEscaped",
        pub network_disabled: Option<bool> = "NetworkDisabled",
        /// Up to 1.43; later it is the endpoint's.
        pub mac_address: Option<String> = "MacAddress",
        /// What `build` does in images made from this one.
        pub on_build: Option<Vec<String>> = "OnBuild",
        /// What a command of one line is given to, by `build` and health checks.
        pub shell: Option<Vec<String>> = "Shell",
    }
}

/// POST /containers/create: a `Config`, and beside its members those of `Placement`.
#[derive(Debug, Default)]
pub struct CreateRequest {
    pub config: Config,
    pub placement: Placement,
    /// Not of the API: it is a step of a build, where the image's volumes are plain directories.
    pub is_step: bool,
    /// Nor this: the set that it is a member of, and the volumes by their places that it gets where
    /// it asks for any volume.
    pub member: Option<Membership>,
    pub volumes: Map<String>,
}

json_struct! {
    /// What a create request says beside `Config`. Its own struct, so that the members of `Config` are
    /// there once.
    #[derive(Debug, Default)]
    pub struct Placement {
        pub host_config: Option<HostConfig> = "HostConfig",
        pub networking_config: Option<NetworkingConfig> = "NetworkingConfig",
    }

    /// How it runs on this host (API, HostConfig), and what POST /containers/{id}/update changes of it.
    #[derive(Clone, Debug, Default)]
    pub struct HostConfig {
        /// `source:destination[:options]`.
        pub binds: Option<Vec<String>> = "Binds",
        pub container_id_file: Option<String> = "ContainerIDFile",
        pub log_config: Option<LogConfig> = "LogConfig",
        pub network_mode: Option<String> = "NetworkMode",
        pub port_bindings: Option<Map<Vec<PortBinding>>> = "PortBindings",
        pub restart_policy: Option<RestartPolicy> = "RestartPolicy",
        pub auto_remove: Option<bool> = "AutoRemove",
        pub volume_driver: Option<String> = "VolumeDriver",
        pub volumes_from: Option<Vec<String>> = "VolumesFrom",
        pub mounts: Option<Vec<MountRequest>> = "Mounts",
        /// Height, width.
        pub console_size: Option<Vec<u32>> = "ConsoleSize",
        pub annotations: Option<Map<String>> = "Annotations",
        pub cap_add: Option<Vec<String>> = "CapAdd",
        pub cap_drop: Option<Vec<String>> = "CapDrop",
        pub cgroupns_mode: Option<String> = "CgroupnsMode",
        pub dns: Option<Vec<String>> = "Dns",
        pub dns_options: Option<Vec<String>> = "DnsOptions",
        pub dns_search: Option<Vec<String>> = "DnsSearch",
        pub extra_hosts: Option<Vec<String>> = "ExtraHosts",
        pub group_add: Option<Vec<String>> = "GroupAdd",
        pub ipc_mode: Option<String> = "IpcMode",
        pub cgroup: Option<String> = "Cgroup",
        pub links: Option<Vec<String>> = "Links",
        pub oom_score_adj: Option<i32> = "OomScoreAdj",
        pub pid_mode: Option<String> = "PidMode",
        pub privileged: Option<bool> = "Privileged",
        pub publish_all_ports: Option<bool> = "PublishAllPorts",
        pub readonly_rootfs: Option<bool> = "ReadonlyRootfs",
        pub security_opt: Option<Vec<String>> = "SecurityOpt",
        pub storage_opt: Option<Map<String>> = "StorageOpt",
        pub tmpfs: Option<Map<String>> = "Tmpfs",
        pub uts_mode: Option<String> = "UTSMode",
        pub userns_mode: Option<String> = "UsernsMode",
        /// Bytes.
        pub shm_size: Option<i64> = "ShmSize",
        pub sysctls: Option<Map<String>> = "Sysctls",
        pub runtime: Option<String> = "Runtime",
        pub isolation: Option<String> = "Isolation",
        pub cpu_shares: Option<i64> = "CpuShares",
        /// Bytes.
        pub memory: Option<i64> = "Memory",
        /// Billionths of a CPU.
        pub nano_cpus: Option<i64> = "NanoCpus",
        pub cgroup_parent: Option<String> = "CgroupParent",
        /// 10 to 1000.
        pub blkio_weight: Option<i64> = "BlkioWeight",
        pub blkio_weight_device: Option<Vec<DeviceLimit>> = "BlkioWeightDevice",
        pub blkio_device_read_bps: Option<Vec<DeviceLimit>> = "BlkioDeviceReadBps",
        pub blkio_device_write_bps: Option<Vec<DeviceLimit>> = "BlkioDeviceWriteBps",
        pub blkio_device_read_iops: Option<Vec<DeviceLimit>> = "BlkioDeviceReadIOps",
        pub blkio_device_write_iops: Option<Vec<DeviceLimit>> = "BlkioDeviceWriteIOps",
        /// Microseconds.
        pub cpu_period: Option<i64> = "CpuPeriod",
        /// Microseconds.
        pub cpu_quota: Option<i64> = "CpuQuota",
        /// Microseconds; cgroup v1 alone, as the next.
        pub cpu_realtime_period: Option<i64> = "CpuRealtimePeriod",
        pub cpu_realtime_runtime: Option<i64> = "CpuRealtimeRuntime",
        pub cpuset_cpus: Option<String> = "CpusetCpus",
        pub cpuset_mems: Option<String> = "CpusetMems",
        pub devices: Option<Vec<DeviceMapping>> = "Devices",
        pub device_cgroup_rules: Option<Vec<String>> = "DeviceCgroupRules",
        /// `--gpus`. Nobody here takes them apart.
        pub device_requests: Option<Vec<Raw>> = "DeviceRequests",
        /// Bytes, up to 1.41; the next too.
        pub kernel_memory: Option<i64> = "KernelMemory",
        pub kernel_memory_tcp: Option<i64> = "KernelMemoryTCP",
        /// Bytes.
        pub memory_reservation: Option<i64> = "MemoryReservation",
        /// Memory plus swap in bytes; -1 is no limit.
        pub memory_swap: Option<i64> = "MemorySwap",
        /// 0 to 100; -1 is the kernel's default.
        pub memory_swappiness: Option<i64> = "MemorySwappiness",
        pub oom_kill_disable: Option<bool> = "OomKillDisable",
        pub init: Option<bool> = "Init",
        pub pids_limit: Option<i64> = "PidsLimit",
        pub ulimits: Option<Vec<Ulimit>> = "Ulimits",
        /// Windows alone, as the three after it.
        pub cpu_count: Option<i64> = "CpuCount",
        pub cpu_percent: Option<i64> = "CpuPercent",
        pub io_maximum_iops: Option<i64> = "IOMaximumIOps",
        pub io_maximum_bandwidth: Option<i64> = "IOMaximumBandwidth",
        /// Ours: how much it may write to the data root's disk, `500m/day`.
        pub write_budget: Option<String> = "WriteBudget",
        pub masked_paths: Option<Vec<String>> = "MaskedPaths",
        pub readonly_paths: Option<Vec<String>> = "ReadonlyPaths",
        /// Not of the API: `none`, `restart`, `stop`, `kill` or `reboot`, when it turns unhealthy.
        pub health_on_failure: Option<String> = "HealthOnFailure",
        /// Not of the API: the board's watchdog is fed only while it is well.
        pub critical: Option<bool> = "Critical",
    }

    /// A limit of one block device: of `BlkioWeightDevice` with a weight, of the others with a rate.
    #[derive(Clone, Debug, Default, PartialEq, Eq)]
    pub struct DeviceLimit {
        pub path: Option<String> = "Path",
        /// 10 to 1000.
        pub weight: Option<u16> = "Weight",
        /// Bytes or operations per second.
        pub rate: Option<u64> = "Rate",
    }

    /// The log driver and its options.
    #[derive(Clone, Debug, Default)]
    pub struct LogConfig {
        pub kind: Option<String> = "Type",
        pub config: Option<Map<String>> = "Config",
    }

    /// Where a port is published.
    #[derive(Clone, Debug, Default)]
    pub struct PortBinding {
        pub host_ip: Option<String> = "HostIp",
        pub host_port: Option<String> = "HostPort",
    }

    /// When a container that ended is started again.
    #[derive(Clone, Debug, Default)]
    pub struct RestartPolicy {
        pub name: Option<String> = "Name",
        pub maximum_retry_count: Option<i64> = "MaximumRetryCount",
    }

    /// One `--mount` (API, Mount).
    #[derive(Clone, Debug, Default)]
    pub struct MountRequest {
        pub kind: Option<String> = "Type",
        pub source: Option<String> = "Source",
        pub target: Option<String> = "Target",
        pub read_only: Option<bool> = "ReadOnly",
        /// Of Docker Desktop.
        pub consistency: Option<String> = "Consistency",
        pub bind_options: Option<BindOptions> = "BindOptions",
        pub volume_options: Option<VolumeOptions> = "VolumeOptions",
        pub image_options: Option<ImageOptions> = "ImageOptions",
        pub tmpfs_options: Option<TmpfsOptions> = "TmpfsOptions",
        pub cluster_options: Option<Raw> = "ClusterOptions",
    }

    /// What a `--mount type=bind` may say more.
    #[derive(Clone, Debug, Default)]
    pub struct BindOptions {
        pub propagation: Option<String> = "Propagation",
        /// Without the mounts below the source.
        pub non_recursive: Option<bool> = "NonRecursive",
        /// Read-only, and the mounts below the source as they are there.
        pub read_only_non_recursive: Option<bool> = "ReadOnlyNonRecursive",
        /// An error where the kernel cannot make the mounts below read-only too.
        pub read_only_force_recursive: Option<bool> = "ReadOnlyForceRecursive",
        pub create_mountpoint: Option<bool> = "CreateMountpoint",
    }

    /// What a `--mount type=volume` may say more.
    #[derive(Clone, Debug, Default)]
    pub struct VolumeOptions {
        /// Leave it empty, whatever the image has there.
        pub no_copy: Option<bool> = "NoCopy",
        pub labels: Option<Map<String>> = "Labels",
        pub driver_config: Option<VolumeDriver> = "DriverConfig",
        /// The directory in it that is mounted.
        pub subpath: Option<String> = "Subpath",
    }

    /// Who makes the volume, if it is not there, and what he is told.
    #[derive(Clone, Debug, Default)]
    pub struct VolumeDriver {
        pub name: Option<String> = "Name",
        pub options: Option<Map<String>> = "Options",
    }

    /// What a `--mount type=image` may say more.
    #[derive(Clone, Debug, Default)]
    pub struct ImageOptions {
        /// The directory in it that is mounted.
        pub subpath: Option<String> = "Subpath",
    }

    /// What a `--mount type=tmpfs` may say more.
    #[derive(Clone, Debug, Default)]
    pub struct TmpfsOptions {
        pub size_bytes: Option<i64> = "SizeBytes",
        pub mode: Option<u32> = "Mode",
        /// `[["noexec"], ["uid", "1000"]]`
        pub options: Option<Vec<Vec<String>>> = "Options",
    }

    /// One `--device`.
    #[derive(Clone, Debug, Default)]
    pub struct DeviceMapping {
        pub path_on_host: Option<String> = "PathOnHost",
        pub path_in_container: Option<String> = "PathInContainer",
        pub cgroup_permissions: Option<String> = "CgroupPermissions",
    }

    /// One `--ulimit`.
    #[derive(Clone, Debug, Default)]
    pub struct Ulimit {
        pub name: Option<String> = "Name",
        pub soft: Option<i64> = "Soft",
        pub hard: Option<i64> = "Hard",
    }

    /// Networks to connect at create.
    #[derive(Clone, Debug, Default)]
    pub struct NetworkingConfig {
        pub endpoints_config: Option<Map<EndpointSettings>> = "EndpointsConfig",
    }

    /// A container's place in a network: what was asked of it, and what it has while it runs.
    #[derive(Clone, Debug, Default)]
    pub struct EndpointSettings {
        pub aliases: Option<Vec<String>> = "Aliases",
        pub links: Option<Vec<String>> = "Links",
        /// Of a request: fixed addresses.
        pub ipam_config: Option<Raw> = "IPAMConfig",
        pub mac_address: Option<String> = "MacAddress",
        pub driver_opts: Option<Map<String>> = "DriverOpts",
        pub gw_priority: Option<i64> = "GwPriority",
        pub network_id: Option<String> = "NetworkID",
        pub endpoint_id: Option<String> = "EndpointID",
        pub gateway: Option<String> = "Gateway",
        pub ip_address: Option<String> = "IPAddress",
        pub ip_prefix_len: Option<i64> = "IPPrefixLen",
        pub ipv6_gateway: Option<String> = "IPv6Gateway",
        pub global_ipv6_address: Option<String> = "GlobalIPv6Address",
        pub global_ipv6_prefix_len: Option<i64> = "GlobalIPv6PrefixLen",
        pub dns_names: Option<Vec<String>> = "DNSNames",
    }

    /// 201 of create.
    #[derive(Clone, Debug, Default)]
    pub struct CreateResponse {
        pub id: Option<String> = "Id",
        pub warnings: Option<Vec<String>> = "Warnings",
    }

    /// One row of GET /containers/json.
    #[derive(Clone, Debug, Default)]
    pub struct Summary {
        pub id: Option<String> = "Id",
        /// With a leading slash.
        pub names: Option<Vec<String>> = "Names",
        pub image: Option<String> = "Image",
        pub image_id: Option<String> = "ImageID",
        pub command: Option<String> = "Command",
        /// Seconds since 1970.
        pub created: Option<i64> = "Created",
        pub ports: Option<Vec<Port>> = "Ports",
        /// Bytes.
        pub size_rw: Option<i64> = "SizeRw",
        /// Bytes.
        pub size_root_fs: Option<i64> = "SizeRootFs",
        pub labels: Option<Map<String>> = "Labels",
        /// `created`, `running`, `paused`, `restarting`, `removing`, `exited`, `dead`.
        pub state: Option<String> = "State",
        /// `Up 3 minutes`, `Exited (0) 2 hours ago`.
        pub status: Option<String> = "Status",
        pub host_config: Option<SummaryHostConfig> = "HostConfig",
        pub network_settings: Option<SummaryNetworks> = "NetworkSettings",
        pub mounts: Option<Vec<MountPoint>> = "Mounts",
    }

    /// The one member of HostConfig that lists show.
    #[derive(Clone, Debug, Default)]
    pub struct SummaryHostConfig {
        pub network_mode: Option<String> = "NetworkMode",
    }

    /// The networks that lists show.
    #[derive(Clone, Debug, Default)]
    pub struct SummaryNetworks {
        pub networks: Option<Map<EndpointSettings>> = "Networks",
    }

    /// A published or exposed port.
    #[derive(Clone, Debug, Default)]
    pub struct Port {
        pub ip: Option<String> = "IP",
        pub private_port: Option<u16> = "PrivatePort",
        pub public_port: Option<u16> = "PublicPort",
        pub kind: Option<String> = "Type",
    }

    /// A mount as inspect shows it.
    #[derive(Clone, Debug, Default)]
    pub struct MountPoint {
        pub kind: Option<String> = "Type",
        pub name: Option<String> = "Name",
        pub source: Option<String> = "Source",
        pub destination: Option<String> = "Destination",
        pub driver: Option<String> = "Driver",
        pub mode: Option<String> = "Mode",
        pub rw: Option<bool> = "RW",
        pub propagation: Option<String> = "Propagation",
    }

    /// GET /containers/{id}/json.
    #[derive(Clone, Debug, Default)]
    pub struct Inspect {
        pub id: Option<String> = "Id",
        pub created: Option<String> = "Created",
        pub path: Option<String> = "Path",
        pub args: Option<Vec<String>> = "Args",
        pub state: Option<State> = "State",
        pub image: Option<String> = "Image",
        pub resolv_conf_path: Option<String> = "ResolvConfPath",
        pub hostname_path: Option<String> = "HostnamePath",
        pub hosts_path: Option<String> = "HostsPath",
        pub log_path: Option<String> = "LogPath",
        /// With a leading slash.
        pub name: Option<String> = "Name",
        pub restart_count: Option<i64> = "RestartCount",
        pub driver: Option<String> = "Driver",
        pub platform: Option<String> = "Platform",
        pub mount_label: Option<String> = "MountLabel",
        pub process_label: Option<String> = "ProcessLabel",
        pub app_armor_profile: Option<String> = "AppArmorProfile",
        pub exec_ids: Option<Vec<String>> = "ExecIDs",
        pub host_config: Option<HostConfig> = "HostConfig",
        pub graph_driver: Option<GraphDriver> = "GraphDriver",
        /// Bytes.
        pub size_rw: Option<i64> = "SizeRw",
        /// Bytes.
        pub size_root_fs: Option<i64> = "SizeRootFs",
        pub mounts: Option<Vec<MountPoint>> = "Mounts",
        pub config: Option<Config> = "Config",
        pub network_settings: Option<NetworkSettings> = "NetworkSettings",
    }

    /// What has happened to a container.
    #[derive(Clone, Debug, Default)]
    pub struct State {
        /// As `Summary::state`.
        pub status: Option<String> = "Status",
        pub running: Option<bool> = "Running",
        pub paused: Option<bool> = "Paused",
        pub restarting: Option<bool> = "Restarting",
        pub oom_killed: Option<bool> = "OOMKilled",
        pub dead: Option<bool> = "Dead",
        /// 0 when not running.
        pub pid: Option<i32> = "Pid",
        pub exit_code: Option<i64> = "ExitCode",
        pub error: Option<String> = "Error",
        pub started_at: Option<String> = "StartedAt",
        pub finished_at: Option<String> = "FinishedAt",
        /// Only with a health check.
        pub health: Option<Health> = "Health",
        /// Only with a write budget, while it runs.
        pub write_budget: Option<WriteBudget> = "WriteBudget",
    }

    /// Ours: how a container stands with its write budget.
    #[derive(Clone, Debug, Default)]
    pub struct WriteBudget {
        pub bytes: Option<u64> = "Bytes",
        /// The time that they are for.
        pub seconds: Option<u64> = "Seconds",
        pub used: Option<u64> = "Used",
        /// Until there is a new one.
        pub seconds_left: Option<u64> = "SecondsLeft",
        pub spent: Option<bool> = "Spent",
    }

    /// What the health check has found (API, Health).
    #[derive(Clone, Debug, Default)]
    pub struct Health {
        /// `starting`, `healthy` or `unhealthy`.
        pub status: Option<String> = "Status",
        pub failing_streak: Option<i64> = "FailingStreak",
        /// The last five, the oldest first.
        pub log: Option<Vec<HealthResult>> = "Log",
    }

    /// One run of a health check (API, HealthcheckResult).
    #[derive(Clone, Debug, Default)]
    pub struct HealthResult {
        pub start: Option<String> = "Start",
        pub end: Option<String> = "End",
        pub exit_code: Option<i64> = "ExitCode",
        /// What it printed, at most 4096 bytes.
        pub output: Option<String> = "Output",
    }

    /// Where the root file system lies.
    #[derive(Clone, Debug, Default)]
    pub struct GraphDriver {
        pub name: Option<String> = "Name",
        pub data: Option<Map<String>> = "Data",
    }

    /// The networks of a container.
    #[derive(Clone, Debug, Default)]
    pub struct NetworkSettings {
        pub sandbox_id: Option<String> = "SandboxID",
        pub sandbox_key: Option<String> = "SandboxKey",
        /// Those of an exposed port that is not published are `null`.
        pub ports: Option<Map<Option<Vec<PortBinding>>>> = "Ports",
        /// This and the next are of the default bridge network.
        pub endpoint_id: Option<String> = "EndpointID",
        pub gateway: Option<String> = "Gateway",
        pub ip_address: Option<String> = "IPAddress",
        pub ip_prefix_len: Option<i64> = "IPPrefixLen",
        pub ipv6_gateway: Option<String> = "IPv6Gateway",
        pub global_ipv6_address: Option<String> = "GlobalIPv6Address",
        pub global_ipv6_prefix_len: Option<i64> = "GlobalIPv6PrefixLen",
        pub mac_address: Option<String> = "MacAddress",
        pub networks: Option<Map<EndpointSettings>> = "Networks",
    }

    /// POST /containers/{id}/wait.
    #[derive(Clone, Debug, Default)]
    pub struct WaitResponse {
        pub status_code: Option<i64> = "StatusCode",
        pub error: Option<WaitError> = "Error",
    }

    /// Why waiting failed.
    #[derive(Clone, Debug, Default)]
    pub struct WaitError {
        pub message: Option<String> = "Message",
    }

    /// A line of a container's log file, as Docker's json-file driver writes it.
    #[derive(Clone, Debug, Default)]
    pub struct LogLine {
        /// With its newline, where the program wrote one.
        pub log: Option<String>,
        /// `stdout` or `stderr`.
        pub stream: Option<String>,
        /// What the options `labels`, `env` and `tag` add.
        pub attrs: Option<Map<String>>,
        /// RFC 3339 with nanoseconds.
        pub time: Option<String>,
    }
}
