//! Containers: create, list, inspect, wait.

use crate::json::map::Map;
use crate::oci::image::{Empty, HealthConfig};
use miniserde::json::Value;
use miniserde::{Deserialize, Serialize};

/// What runs in the container (API, ContainerConfig).
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Config {
    #[serde(rename = "Hostname")]
    pub hostname: Option<String>,
    #[serde(rename = "Domainname")]
    pub domainname: Option<String>,
    #[serde(rename = "User")]
    pub user: Option<String>,
    #[serde(rename = "AttachStdin")]
    pub attach_stdin: Option<bool>,
    #[serde(rename = "AttachStdout")]
    pub attach_stdout: Option<bool>,
    #[serde(rename = "AttachStderr")]
    pub attach_stderr: Option<bool>,
    #[serde(rename = "ExposedPorts")]
    pub exposed_ports: Option<Map<Empty>>,
    #[serde(rename = "Tty")]
    pub tty: Option<bool>,
    #[serde(rename = "OpenStdin")]
    pub open_stdin: Option<bool>,
    #[serde(rename = "StdinOnce")]
    pub stdin_once: Option<bool>,
    #[serde(rename = "Env")]
    pub env: Option<Vec<String>>,
    #[serde(rename = "Cmd")]
    pub cmd: Option<Vec<String>>,
    #[serde(rename = "Entrypoint")]
    pub entrypoint: Option<Vec<String>>,
    #[serde(rename = "Image")]
    pub image: Option<String>,
    #[serde(rename = "Volumes")]
    pub volumes: Option<Map<Empty>>,
    #[serde(rename = "WorkingDir")]
    pub working_dir: Option<String>,
    #[serde(rename = "Labels")]
    pub labels: Option<Map<String>>,
    #[serde(rename = "StopSignal")]
    pub stop_signal: Option<String>,
    /// Seconds.
    #[serde(rename = "StopTimeout")]
    pub stop_timeout: Option<i64>,
    #[serde(rename = "Healthcheck")]
    pub healthcheck: Option<HealthConfig>,
    /// Of Windows images.
    #[serde(rename = "ArgsEscaped")]
    pub args_escaped: Option<bool>,
    #[serde(rename = "NetworkDisabled")]
    pub network_disabled: Option<bool>,
    /// Up to 1.43; later it is the endpoint's.
    #[serde(rename = "MacAddress")]
    pub mac_address: Option<String>,
    /// What `build` does in images made from this one.
    #[serde(rename = "OnBuild")]
    pub on_build: Option<Vec<String>>,
    /// What a command of one line is given to, by `build` and health checks.
    #[serde(rename = "Shell")]
    pub shell: Option<Vec<String>>,
}

/// POST /containers/create: a `Config`, and beside its members those of `Placement`.
#[derive(Debug, Default)]
pub struct CreateRequest {
    pub config: Config,
    pub placement: Placement,
}

/// What a create request says beside `Config`. Its own struct, so that the members of `Config` are
/// there once.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Placement {
    #[serde(rename = "HostConfig")]
    pub host_config: Option<HostConfig>,
    #[serde(rename = "NetworkingConfig")]
    pub networking_config: Option<NetworkingConfig>,
}

/// How it runs on this host (API, HostConfig), and what POST /containers/{id}/update changes of it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct HostConfig {
    /// `source:destination[:options]`.
    #[serde(rename = "Binds")]
    pub binds: Option<Vec<String>>,
    #[serde(rename = "ContainerIDFile")]
    pub container_id_file: Option<String>,
    #[serde(rename = "LogConfig")]
    pub log_config: Option<LogConfig>,
    #[serde(rename = "NetworkMode")]
    pub network_mode: Option<String>,
    #[serde(rename = "PortBindings")]
    pub port_bindings: Option<Map<Vec<PortBinding>>>,
    #[serde(rename = "RestartPolicy")]
    pub restart_policy: Option<RestartPolicy>,
    #[serde(rename = "AutoRemove")]
    pub auto_remove: Option<bool>,
    #[serde(rename = "VolumeDriver")]
    pub volume_driver: Option<String>,
    #[serde(rename = "VolumesFrom")]
    pub volumes_from: Option<Vec<String>>,
    #[serde(rename = "Mounts")]
    pub mounts: Option<Vec<MountRequest>>,
    /// Height, width.
    #[serde(rename = "ConsoleSize")]
    pub console_size: Option<Vec<u32>>,
    #[serde(rename = "Annotations")]
    pub annotations: Option<Map<String>>,
    #[serde(rename = "CapAdd")]
    pub cap_add: Option<Vec<String>>,
    #[serde(rename = "CapDrop")]
    pub cap_drop: Option<Vec<String>>,
    #[serde(rename = "CgroupnsMode")]
    pub cgroupns_mode: Option<String>,
    #[serde(rename = "Dns")]
    pub dns: Option<Vec<String>>,
    #[serde(rename = "DnsOptions")]
    pub dns_options: Option<Vec<String>>,
    #[serde(rename = "DnsSearch")]
    pub dns_search: Option<Vec<String>>,
    #[serde(rename = "ExtraHosts")]
    pub extra_hosts: Option<Vec<String>>,
    #[serde(rename = "GroupAdd")]
    pub group_add: Option<Vec<String>>,
    #[serde(rename = "IpcMode")]
    pub ipc_mode: Option<String>,
    #[serde(rename = "Cgroup")]
    pub cgroup: Option<String>,
    #[serde(rename = "Links")]
    pub links: Option<Vec<String>>,
    #[serde(rename = "OomScoreAdj")]
    pub oom_score_adj: Option<i32>,
    #[serde(rename = "PidMode")]
    pub pid_mode: Option<String>,
    #[serde(rename = "Privileged")]
    pub privileged: Option<bool>,
    #[serde(rename = "PublishAllPorts")]
    pub publish_all_ports: Option<bool>,
    #[serde(rename = "ReadonlyRootfs")]
    pub readonly_rootfs: Option<bool>,
    #[serde(rename = "SecurityOpt")]
    pub security_opt: Option<Vec<String>>,
    #[serde(rename = "StorageOpt")]
    pub storage_opt: Option<Map<String>>,
    #[serde(rename = "Tmpfs")]
    pub tmpfs: Option<Map<String>>,
    #[serde(rename = "UTSMode")]
    pub uts_mode: Option<String>,
    #[serde(rename = "UsernsMode")]
    pub userns_mode: Option<String>,
    /// Bytes.
    #[serde(rename = "ShmSize")]
    pub shm_size: Option<i64>,
    #[serde(rename = "Sysctls")]
    pub sysctls: Option<Map<String>>,
    #[serde(rename = "Runtime")]
    pub runtime: Option<String>,
    #[serde(rename = "Isolation")]
    pub isolation: Option<String>,
    #[serde(rename = "CpuShares")]
    pub cpu_shares: Option<i64>,
    /// Bytes.
    #[serde(rename = "Memory")]
    pub memory: Option<i64>,
    /// Billionths of a CPU.
    #[serde(rename = "NanoCpus")]
    pub nano_cpus: Option<i64>,
    #[serde(rename = "CgroupParent")]
    pub cgroup_parent: Option<String>,
    /// 10 to 1000.
    #[serde(rename = "BlkioWeight")]
    pub blkio_weight: Option<i64>,
    #[serde(rename = "BlkioWeightDevice")]
    pub blkio_weight_device: Option<Vec<DeviceLimit>>,
    #[serde(rename = "BlkioDeviceReadBps")]
    pub blkio_device_read_bps: Option<Vec<DeviceLimit>>,
    #[serde(rename = "BlkioDeviceWriteBps")]
    pub blkio_device_write_bps: Option<Vec<DeviceLimit>>,
    #[serde(rename = "BlkioDeviceReadIOps")]
    pub blkio_device_read_iops: Option<Vec<DeviceLimit>>,
    #[serde(rename = "BlkioDeviceWriteIOps")]
    pub blkio_device_write_iops: Option<Vec<DeviceLimit>>,
    /// Microseconds.
    #[serde(rename = "CpuPeriod")]
    pub cpu_period: Option<i64>,
    /// Microseconds.
    #[serde(rename = "CpuQuota")]
    pub cpu_quota: Option<i64>,
    /// Microseconds; cgroup v1 alone, as the next.
    #[serde(rename = "CpuRealtimePeriod")]
    pub cpu_realtime_period: Option<i64>,
    #[serde(rename = "CpuRealtimeRuntime")]
    pub cpu_realtime_runtime: Option<i64>,
    #[serde(rename = "CpusetCpus")]
    pub cpuset_cpus: Option<String>,
    #[serde(rename = "CpusetMems")]
    pub cpuset_mems: Option<String>,
    #[serde(rename = "Devices")]
    pub devices: Option<Vec<DeviceMapping>>,
    #[serde(rename = "DeviceCgroupRules")]
    pub device_cgroup_rules: Option<Vec<String>>,
    /// `--gpus`. Nobody here takes them apart.
    #[serde(rename = "DeviceRequests")]
    pub device_requests: Option<Vec<Value>>,
    /// Bytes, up to 1.41; the next too.
    #[serde(rename = "KernelMemory")]
    pub kernel_memory: Option<i64>,
    #[serde(rename = "KernelMemoryTCP")]
    pub kernel_memory_tcp: Option<i64>,
    /// Bytes.
    #[serde(rename = "MemoryReservation")]
    pub memory_reservation: Option<i64>,
    /// Memory plus swap in bytes; -1 is no limit.
    #[serde(rename = "MemorySwap")]
    pub memory_swap: Option<i64>,
    /// 0 to 100; -1 is the kernel's default.
    #[serde(rename = "MemorySwappiness")]
    pub memory_swappiness: Option<i64>,
    #[serde(rename = "OomKillDisable")]
    pub oom_kill_disable: Option<bool>,
    #[serde(rename = "Init")]
    pub init: Option<bool>,
    #[serde(rename = "PidsLimit")]
    pub pids_limit: Option<i64>,
    #[serde(rename = "Ulimits")]
    pub ulimits: Option<Vec<Ulimit>>,
    /// Windows alone, as the three after it.
    #[serde(rename = "CpuCount")]
    pub cpu_count: Option<i64>,
    #[serde(rename = "CpuPercent")]
    pub cpu_percent: Option<i64>,
    #[serde(rename = "IOMaximumIOps")]
    pub io_maximum_iops: Option<i64>,
    #[serde(rename = "IOMaximumBandwidth")]
    pub io_maximum_bandwidth: Option<i64>,
    #[serde(rename = "MaskedPaths")]
    pub masked_paths: Option<Vec<String>>,
    #[serde(rename = "ReadonlyPaths")]
    pub readonly_paths: Option<Vec<String>>,
}

/// A limit of one block device: of `BlkioWeightDevice` with a weight, of the others with a rate.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceLimit {
    #[serde(rename = "Path")]
    pub path: Option<String>,
    /// 10 to 1000.
    #[serde(rename = "Weight")]
    pub weight: Option<u16>,
    /// Bytes or operations per second.
    #[serde(rename = "Rate")]
    pub rate: Option<u64>,
}

/// The log driver and its options.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct LogConfig {
    #[serde(rename = "Type")]
    pub kind: Option<String>,
    #[serde(rename = "Config")]
    pub config: Option<Map<String>>,
}

/// Where a port is published.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct PortBinding {
    #[serde(rename = "HostIp")]
    pub host_ip: Option<String>,
    #[serde(rename = "HostPort")]
    pub host_port: Option<String>,
}

/// When a container that ended is started again.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct RestartPolicy {
    #[serde(rename = "Name")]
    pub name: Option<String>,
    #[serde(rename = "MaximumRetryCount")]
    pub maximum_retry_count: Option<i64>,
}

/// One `--mount` (API, Mount).
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct MountRequest {
    #[serde(rename = "Type")]
    pub kind: Option<String>,
    #[serde(rename = "Source")]
    pub source: Option<String>,
    #[serde(rename = "Target")]
    pub target: Option<String>,
    #[serde(rename = "ReadOnly")]
    pub read_only: Option<bool>,
    /// Of Docker Desktop.
    #[serde(rename = "Consistency")]
    pub consistency: Option<String>,
    #[serde(rename = "BindOptions")]
    pub bind_options: Option<BindOptions>,
    #[serde(rename = "VolumeOptions")]
    pub volume_options: Option<Value>,
    #[serde(rename = "ImageOptions")]
    pub image_options: Option<Value>,
    #[serde(rename = "TmpfsOptions")]
    pub tmpfs_options: Option<TmpfsOptions>,
    #[serde(rename = "ClusterOptions")]
    pub cluster_options: Option<Value>,
}

/// What a `--mount type=bind` may say more.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct BindOptions {
    #[serde(rename = "Propagation")]
    pub propagation: Option<String>,
    /// Without the mounts below the source.
    #[serde(rename = "NonRecursive")]
    pub non_recursive: Option<bool>,
    /// Read-only, and the mounts below the source as they are there.
    #[serde(rename = "ReadOnlyNonRecursive")]
    pub read_only_non_recursive: Option<bool>,
    /// An error where the kernel cannot make the mounts below read-only too.
    #[serde(rename = "ReadOnlyForceRecursive")]
    pub read_only_force_recursive: Option<bool>,
    #[serde(rename = "CreateMountpoint")]
    pub create_mountpoint: Option<bool>,
}

/// What a `--mount type=tmpfs` may say more.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct TmpfsOptions {
    #[serde(rename = "SizeBytes")]
    pub size_bytes: Option<i64>,
    #[serde(rename = "Mode")]
    pub mode: Option<u32>,
    /// `[["noexec"], ["uid", "1000"]]`
    #[serde(rename = "Options")]
    pub options: Option<Vec<Vec<String>>>,
}

/// One `--device`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct DeviceMapping {
    #[serde(rename = "PathOnHost")]
    pub path_on_host: Option<String>,
    #[serde(rename = "PathInContainer")]
    pub path_in_container: Option<String>,
    #[serde(rename = "CgroupPermissions")]
    pub cgroup_permissions: Option<String>,
}

/// One `--ulimit`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Ulimit {
    #[serde(rename = "Name")]
    pub name: Option<String>,
    #[serde(rename = "Soft")]
    pub soft: Option<i64>,
    #[serde(rename = "Hard")]
    pub hard: Option<i64>,
}

/// Networks to connect at create.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct NetworkingConfig {
    #[serde(rename = "EndpointsConfig")]
    pub endpoints_config: Option<Map<EndpointSettings>>,
}

/// A container's place in a network.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct EndpointSettings {
    #[serde(rename = "NetworkID")]
    pub network_id: Option<String>,
    #[serde(rename = "IPAddress")]
    pub ip_address: Option<String>,
    #[serde(rename = "Gateway")]
    pub gateway: Option<String>,
    #[serde(rename = "MacAddress")]
    pub mac_address: Option<String>,
    #[serde(rename = "Aliases")]
    pub aliases: Option<Vec<String>>,
    #[serde(rename = "Links")]
    pub links: Option<Vec<String>>,
    /// Of a request: fixed addresses.
    #[serde(rename = "IPAMConfig")]
    pub ipam_config: Option<Value>,
    #[serde(rename = "DriverOpts")]
    pub driver_opts: Option<Map<String>>,
    #[serde(rename = "GwPriority")]
    pub gw_priority: Option<i64>,
}

/// 201 of create.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct CreateResponse {
    #[serde(rename = "Id")]
    pub id: Option<String>,
    #[serde(rename = "Warnings")]
    pub warnings: Option<Vec<String>>,
}

/// One row of GET /containers/json.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Summary {
    #[serde(rename = "Id")]
    pub id: Option<String>,
    /// With a leading slash.
    #[serde(rename = "Names")]
    pub names: Option<Vec<String>>,
    #[serde(rename = "Image")]
    pub image: Option<String>,
    #[serde(rename = "ImageID")]
    pub image_id: Option<String>,
    #[serde(rename = "Command")]
    pub command: Option<String>,
    /// Seconds since 1970.
    #[serde(rename = "Created")]
    pub created: Option<i64>,
    #[serde(rename = "Ports")]
    pub ports: Option<Vec<Port>>,
    /// Bytes.
    #[serde(rename = "SizeRw")]
    pub size_rw: Option<i64>,
    /// Bytes.
    #[serde(rename = "SizeRootFs")]
    pub size_root_fs: Option<i64>,
    #[serde(rename = "Labels")]
    pub labels: Option<Map<String>>,
    /// `created`, `running`, `paused`, `restarting`, `removing`, `exited`, `dead`.
    #[serde(rename = "State")]
    pub state: Option<String>,
    /// `Up 3 minutes`, `Exited (0) 2 hours ago`.
    #[serde(rename = "Status")]
    pub status: Option<String>,
    #[serde(rename = "HostConfig")]
    pub host_config: Option<SummaryHostConfig>,
    #[serde(rename = "NetworkSettings")]
    pub network_settings: Option<SummaryNetworks>,
    #[serde(rename = "Mounts")]
    pub mounts: Option<Vec<MountPoint>>,
}

/// The one member of HostConfig that lists show.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct SummaryHostConfig {
    #[serde(rename = "NetworkMode")]
    pub network_mode: Option<String>,
}

/// The networks that lists show.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct SummaryNetworks {
    #[serde(rename = "Networks")]
    pub networks: Option<Map<EndpointSettings>>,
}

/// A published or exposed port.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Port {
    #[serde(rename = "IP")]
    pub ip: Option<String>,
    #[serde(rename = "PrivatePort")]
    pub private_port: Option<u16>,
    #[serde(rename = "PublicPort")]
    pub public_port: Option<u16>,
    #[serde(rename = "Type")]
    pub kind: Option<String>,
}

/// A mount as inspect shows it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct MountPoint {
    #[serde(rename = "Type")]
    pub kind: Option<String>,
    #[serde(rename = "Name")]
    pub name: Option<String>,
    #[serde(rename = "Source")]
    pub source: Option<String>,
    #[serde(rename = "Destination")]
    pub destination: Option<String>,
    #[serde(rename = "Driver")]
    pub driver: Option<String>,
    #[serde(rename = "Mode")]
    pub mode: Option<String>,
    #[serde(rename = "RW")]
    pub rw: Option<bool>,
    #[serde(rename = "Propagation")]
    pub propagation: Option<String>,
}

/// GET /containers/{id}/json.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Inspect {
    #[serde(rename = "Id")]
    pub id: Option<String>,
    #[serde(rename = "Created")]
    pub created: Option<String>,
    #[serde(rename = "Path")]
    pub path: Option<String>,
    #[serde(rename = "Args")]
    pub args: Option<Vec<String>>,
    #[serde(rename = "State")]
    pub state: Option<State>,
    #[serde(rename = "Image")]
    pub image: Option<String>,
    #[serde(rename = "ResolvConfPath")]
    pub resolv_conf_path: Option<String>,
    #[serde(rename = "HostnamePath")]
    pub hostname_path: Option<String>,
    #[serde(rename = "HostsPath")]
    pub hosts_path: Option<String>,
    #[serde(rename = "LogPath")]
    pub log_path: Option<String>,
    /// With a leading slash.
    #[serde(rename = "Name")]
    pub name: Option<String>,
    #[serde(rename = "RestartCount")]
    pub restart_count: Option<i64>,
    #[serde(rename = "Driver")]
    pub driver: Option<String>,
    #[serde(rename = "Platform")]
    pub platform: Option<String>,
    #[serde(rename = "MountLabel")]
    pub mount_label: Option<String>,
    #[serde(rename = "ProcessLabel")]
    pub process_label: Option<String>,
    #[serde(rename = "AppArmorProfile")]
    pub app_armor_profile: Option<String>,
    #[serde(rename = "ExecIDs")]
    pub exec_ids: Option<Vec<String>>,
    #[serde(rename = "HostConfig")]
    pub host_config: Option<HostConfig>,
    #[serde(rename = "GraphDriver")]
    pub graph_driver: Option<GraphDriver>,
    /// Bytes.
    #[serde(rename = "SizeRw")]
    pub size_rw: Option<i64>,
    /// Bytes.
    #[serde(rename = "SizeRootFs")]
    pub size_root_fs: Option<i64>,
    #[serde(rename = "Mounts")]
    pub mounts: Option<Vec<MountPoint>>,
    #[serde(rename = "Config")]
    pub config: Option<Config>,
    #[serde(rename = "NetworkSettings")]
    pub network_settings: Option<NetworkSettings>,
}

/// What has happened to a container.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct State {
    /// As `Summary::state`.
    #[serde(rename = "Status")]
    pub status: Option<String>,
    #[serde(rename = "Running")]
    pub running: Option<bool>,
    #[serde(rename = "Paused")]
    pub paused: Option<bool>,
    #[serde(rename = "Restarting")]
    pub restarting: Option<bool>,
    #[serde(rename = "OOMKilled")]
    pub oom_killed: Option<bool>,
    #[serde(rename = "Dead")]
    pub dead: Option<bool>,
    /// 0 when not running.
    #[serde(rename = "Pid")]
    pub pid: Option<i32>,
    #[serde(rename = "ExitCode")]
    pub exit_code: Option<i64>,
    #[serde(rename = "Error")]
    pub error: Option<String>,
    #[serde(rename = "StartedAt")]
    pub started_at: Option<String>,
    #[serde(rename = "FinishedAt")]
    pub finished_at: Option<String>,
    /// Only with a health check.
    #[serde(rename = "Health")]
    pub health: Option<Health>,
}

/// What the health check has found (API, Health).
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Health {
    /// `starting`, `healthy` or `unhealthy`.
    #[serde(rename = "Status")]
    pub status: Option<String>,
    #[serde(rename = "FailingStreak")]
    pub failing_streak: Option<i64>,
    /// The last five, the oldest first.
    #[serde(rename = "Log")]
    pub log: Option<Vec<HealthResult>>,
}

/// One run of a health check (API, HealthcheckResult).
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct HealthResult {
    #[serde(rename = "Start")]
    pub start: Option<String>,
    #[serde(rename = "End")]
    pub end: Option<String>,
    #[serde(rename = "ExitCode")]
    pub exit_code: Option<i64>,
    /// What it printed, at most 4096 bytes.
    #[serde(rename = "Output")]
    pub output: Option<String>,
}

/// Where the root file system lies.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct GraphDriver {
    #[serde(rename = "Name")]
    pub name: Option<String>,
    #[serde(rename = "Data")]
    pub data: Option<Map<String>>,
}

/// The networks of a container.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct NetworkSettings {
    #[serde(rename = "SandboxID")]
    pub sandbox_id: Option<String>,
    #[serde(rename = "IPAddress")]
    pub ip_address: Option<String>,
    #[serde(rename = "Gateway")]
    pub gateway: Option<String>,
    #[serde(rename = "MacAddress")]
    pub mac_address: Option<String>,
    #[serde(rename = "Ports")]
    pub ports: Option<Map<Vec<PortBinding>>>,
    #[serde(rename = "Networks")]
    pub networks: Option<Map<EndpointSettings>>,
}

/// POST /containers/{id}/wait.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct WaitResponse {
    #[serde(rename = "StatusCode")]
    pub status_code: Option<i64>,
    #[serde(rename = "Error")]
    pub error: Option<WaitError>,
}

/// Why waiting failed.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct WaitError {
    #[serde(rename = "Message")]
    pub message: Option<String>,
}

/// A line of a container's log file, as Docker's json-file driver writes it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
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
