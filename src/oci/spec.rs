//! A bundle's `config.json` (runtime-spec, `config.md` and `config-linux.md`).

use crate::json::map::Map;
use miniserde::{Deserialize, Serialize};

/// The version of the runtime spec that we write.
pub const VERSION: &str = "1.3.0";

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Spec {
    #[serde(rename = "ociVersion")]
    pub oci_version: Option<String>,
    pub process: Option<Process>,
    pub root: Option<Root>,
    pub hostname: Option<String>,
    pub domainname: Option<String>,
    pub mounts: Option<Vec<Mount>>,
    pub annotations: Option<Map<String>>,
    pub hooks: Option<Hooks>,
    pub linux: Option<Linux>,
}

/// Programs to run at certain moments (`config.md`, POSIX-platform Hooks).
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Hooks {
    /// Deprecated by the spec, still what most tools set.
    pub prestart: Option<Vec<Hook>>,
    #[serde(rename = "createRuntime")]
    pub create_runtime: Option<Vec<Hook>>,
    #[serde(rename = "createContainer")]
    pub create_container: Option<Vec<Hook>>,
    #[serde(rename = "startContainer")]
    pub start_container: Option<Vec<Hook>>,
    pub poststart: Option<Vec<Hook>>,
    pub poststop: Option<Vec<Hook>>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Hook {
    /// Absolute.
    pub path: Option<String>,
    /// With the program's name first, as for execve(2).
    pub args: Option<Vec<String>>,
    pub env: Option<Vec<String>>,
    /// Seconds.
    pub timeout: Option<i64>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Root {
    /// Absolute, or relative to the bundle.
    pub path: Option<String>,
    pub readonly: Option<bool>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Process {
    pub terminal: Option<bool>,
    #[serde(rename = "consoleSize")]
    pub console_size: Option<ConsoleSize>,
    pub user: Option<User>,
    pub args: Option<Vec<String>>,
    /// `NAME=value`, in order.
    pub env: Option<Vec<String>>,
    pub cwd: Option<String>,
    pub capabilities: Option<Capabilities>,
    pub rlimits: Option<Vec<Rlimit>>,
    #[serde(rename = "noNewPrivileges")]
    pub no_new_privileges: Option<bool>,
    #[serde(rename = "oomScoreAdj")]
    pub oom_score_adj: Option<i32>,
    #[serde(rename = "apparmorProfile")]
    pub apparmor_profile: Option<String>,
    #[serde(rename = "selinuxLabel")]
    pub selinux_label: Option<String>,
    pub scheduler: Option<Scheduler>,
    #[serde(rename = "ioPriority")]
    pub io_priority: Option<IoPriority>,
    #[serde(rename = "execCPUAffinity")]
    pub exec_cpu_affinity: Option<CpuAffinity>,
}

/// sched_setattr(2).
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Scheduler {
    /// `SCHED_OTHER` and so on.
    pub policy: Option<String>,
    pub nice: Option<i32>,
    pub priority: Option<i32>,
    /// `SCHED_FLAG_RESET_ON_FORK` and so on.
    pub flags: Option<Vec<String>>,
    /// Nanoseconds, as the two below.
    pub runtime: Option<u64>,
    pub deadline: Option<u64>,
    pub period: Option<u64>,
}

/// ioprio_set(2).
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct IoPriority {
    /// `IOPRIO_CLASS_RT`, `IOPRIO_CLASS_BE` or `IOPRIO_CLASS_IDLE`.
    pub class: Option<String>,
    /// 0 (first) to 7.
    pub priority: Option<i32>,
}

/// Lists of CPUs such as `0-3,7`, for processes that join a container.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct CpuAffinity {
    /// Until it is in the container's cgroup.
    pub initial: Option<String>,
    /// From then on.
    #[serde(rename = "final")]
    pub last: Option<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConsoleSize {
    pub height: Option<u16>,
    pub width: Option<u16>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct User {
    pub uid: Option<u32>,
    pub gid: Option<u32>,
    pub umask: Option<u32>,
    #[serde(rename = "additionalGids")]
    pub additional_gids: Option<Vec<u32>>,
    /// Docker's `--group-add`: names or numbers of more groups, which our runtime resolves as it
    /// does `username`. Not of the spec.
    #[serde(rename = "additionalGroups")]
    pub additional_groups: Option<Vec<String>>,
    /// Docker's `--user` string (`name`, `uid`, `name:group`…). The spec has it for Windows only; our
    /// runtime resolves it inside the container's root, where `/etc/passwd` can be read safely, and
    /// it then decides over `uid` and `gid`.
    pub username: Option<String>,
}

/// Lists of names such as `CAP_CHOWN`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Capabilities {
    pub bounding: Option<Vec<String>>,
    pub effective: Option<Vec<String>>,
    pub inheritable: Option<Vec<String>>,
    pub permitted: Option<Vec<String>>,
    pub ambient: Option<Vec<String>>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Rlimit {
    /// `RLIMIT_NOFILE` and so on.
    #[serde(rename = "type")]
    pub kind: Option<String>,
    pub hard: Option<u64>,
    pub soft: Option<u64>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Mount {
    pub destination: Option<String>,
    #[serde(rename = "type")]
    pub kind: Option<String>,
    pub source: Option<String>,
    pub options: Option<Vec<String>>,
    /// Of an idmapped mount.
    #[serde(rename = "uidMappings")]
    pub uid_mappings: Option<Vec<IdMapping>>,
    #[serde(rename = "gidMappings")]
    pub gid_mappings: Option<Vec<IdMapping>>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Linux {
    #[serde(rename = "uidMappings")]
    pub uid_mappings: Option<Vec<IdMapping>>,
    #[serde(rename = "gidMappings")]
    pub gid_mappings: Option<Vec<IdMapping>>,
    pub sysctl: Option<Map<String>>,
    pub resources: Option<Resources>,
    #[serde(rename = "cgroupsPath")]
    pub cgroups_path: Option<String>,
    pub namespaces: Option<Vec<Namespace>>,
    pub devices: Option<Vec<Device>>,
    #[serde(rename = "rootfsPropagation")]
    pub rootfs_propagation: Option<String>,
    #[serde(rename = "maskedPaths")]
    pub masked_paths: Option<Vec<String>>,
    #[serde(rename = "readonlyPaths")]
    pub readonly_paths: Option<Vec<String>>,
    pub seccomp: Option<Seccomp>,
    /// SELinux label of what is mounted.
    #[serde(rename = "mountLabel")]
    pub mount_label: Option<String>,
    #[serde(rename = "intelRdt")]
    pub intel_rdt: Option<IntelRdt>,
    #[serde(rename = "memoryPolicy")]
    pub memory_policy: Option<MemoryPolicy>,
    pub personality: Option<Personality>,
    /// By clock: `monotonic`, `boottime`.
    #[serde(rename = "timeOffsets")]
    pub time_offsets: Option<Map<TimeOffset>>,
    /// Network devices of the host to move into the container, by their name there.
    #[serde(rename = "netDevices")]
    pub net_devices: Option<Map<NetDevice>>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct NetDevice {
    /// Its name in the container; without one it keeps its own.
    pub name: Option<String>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct TimeOffset {
    pub secs: Option<i64>,
    pub nanosecs: Option<u32>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Personality {
    /// `LINUX` or `LINUX32`.
    pub domain: Option<String>,
    pub flags: Option<Vec<String>>,
}

/// set_mempolicy(2).
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct MemoryPolicy {
    /// `MPOL_BIND` and so on.
    pub mode: Option<String>,
    /// A list such as `0-1`.
    pub nodes: Option<String>,
    pub flags: Option<Vec<String>>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct IntelRdt {
    #[serde(rename = "closID")]
    pub clos_id: Option<String>,
    pub schemata: Option<Vec<String>>,
    #[serde(rename = "l3CacheSchema")]
    pub l3_cache_schema: Option<String>,
    #[serde(rename = "memBwSchema")]
    pub mem_bw_schema: Option<String>,
    #[serde(rename = "enableMonitoring")]
    pub enable_monitoring: Option<bool>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Seccomp {
    /// A profile that our runtime has itself, instead of all below: `builtin`, Docker's default. Not
    /// of the spec; spares our engine's containers some ten kilobytes of JSON each.
    pub profile: Option<String>,
    /// `SCMP_ACT_ERRNO` and so on.
    #[serde(rename = "defaultAction")]
    pub default_action: Option<String>,
    #[serde(rename = "defaultErrnoRet")]
    pub default_errno_ret: Option<u32>,
    /// `SCMP_ARCH_X86_64` and so on.
    pub architectures: Option<Vec<String>>,
    /// `SECCOMP_FILTER_FLAG_LOG` and so on.
    pub flags: Option<Vec<String>>,
    /// Socket of the agent that gets the descriptor of `SCMP_ACT_NOTIFY`.
    #[serde(rename = "listenerPath")]
    pub listener_path: Option<String>,
    #[serde(rename = "listenerMetadata")]
    pub listener_metadata: Option<String>,
    pub syscalls: Option<Vec<SeccompRule>>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct SeccompRule {
    /// Names of system calls.
    pub names: Option<Vec<String>>,
    pub action: Option<String>,
    #[serde(rename = "errnoRet")]
    pub errno_ret: Option<u32>,
    pub args: Option<Vec<SeccompArg>>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct SeccompArg {
    /// 0 to 5.
    pub index: Option<u32>,
    pub value: Option<u64>,
    /// What a masked value is compared with (`SCMP_CMP_MASKED_EQ`).
    #[serde(rename = "valueTwo")]
    pub value_two: Option<u64>,
    /// `SCMP_CMP_EQ` and so on.
    pub op: Option<String>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct IdMapping {
    #[serde(rename = "containerID")]
    pub container_id: Option<u32>,
    #[serde(rename = "hostID")]
    pub host_id: Option<u32>,
    pub size: Option<u32>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Namespace {
    /// `pid`, `network`, `mount`, `ipc`, `uts`, `user`, `cgroup`, `time`.
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// Join this one; without it a new one is made.
    pub path: Option<String>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Device {
    pub path: Option<String>,
    /// `c`, `b`, `u` or `p`.
    #[serde(rename = "type")]
    pub kind: Option<String>,
    pub major: Option<u32>,
    pub minor: Option<u32>,
    #[serde(rename = "fileMode")]
    pub file_mode: Option<u32>,
    pub uid: Option<u32>,
    pub gid: Option<u32>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Resources {
    pub devices: Option<Vec<DeviceRule>>,
    pub memory: Option<Memory>,
    pub cpu: Option<Cpu>,
    pub pids: Option<Pids>,
    #[serde(rename = "blockIO")]
    pub block_io: Option<BlockIo>,
    #[serde(rename = "hugepageLimits")]
    pub hugepage_limits: Option<Vec<HugepageLimit>>,
    /// By device.
    pub rdma: Option<Map<Rdma>>,
    pub network: Option<Network>,
    /// Files of cgroup v2 by name, written as they are.
    pub unified: Option<Map<String>>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct DeviceRule {
    pub allow: Option<bool>,
    /// `a`, `c` or `b`.
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// `None` or -1: any.
    pub major: Option<i64>,
    pub minor: Option<i64>,
    /// Of `r`, `w`, `m`.
    pub access: Option<String>,
}

/// Bytes; -1 means no limit.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Memory {
    pub limit: Option<i64>,
    pub reservation: Option<i64>,
    /// Memory plus swap, as cgroup v1 counts.
    pub swap: Option<i64>,
    /// cgroup v1 alone, as the four after it.
    pub kernel: Option<i64>,
    #[serde(rename = "kernelTCP")]
    pub kernel_tcp: Option<i64>,
    pub swappiness: Option<u64>,
    #[serde(rename = "disableOOMKiller")]
    pub disable_oom_killer: Option<bool>,
    #[serde(rename = "useHierarchy")]
    pub use_hierarchy: Option<bool>,
    /// Refuse a limit that is below what is in use.
    #[serde(rename = "checkBeforeUpdate")]
    pub check_before_update: Option<bool>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Cpu {
    /// cgroup v1's shares, 2 to 262144.
    pub shares: Option<u64>,
    /// Microseconds per period; -1 means no limit.
    pub quota: Option<i64>,
    /// Microseconds.
    pub period: Option<u64>,
    /// Microseconds.
    pub burst: Option<u64>,
    /// Microseconds; cgroup v1 alone, as the next.
    #[serde(rename = "realtimePeriod")]
    pub realtime_period: Option<u64>,
    #[serde(rename = "realtimeRuntime")]
    pub realtime_runtime: Option<i64>,
    /// 1: runs only when nothing else wants to.
    pub idle: Option<i64>,
    pub cpus: Option<String>,
    pub mems: Option<String>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Pids {
    /// -1 means no limit.
    pub limit: Option<i64>,
}

/// Weights are 10 to 1000, as in cgroup v1.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct BlockIo {
    pub weight: Option<u16>,
    #[serde(rename = "leafWeight")]
    pub leaf_weight: Option<u16>,
    #[serde(rename = "weightDevice")]
    pub weight_device: Option<Vec<WeightDevice>>,
    #[serde(rename = "throttleReadBpsDevice")]
    pub throttle_read_bps: Option<Vec<ThrottleDevice>>,
    #[serde(rename = "throttleWriteBpsDevice")]
    pub throttle_write_bps: Option<Vec<ThrottleDevice>>,
    #[serde(rename = "throttleReadIOPSDevice")]
    pub throttle_read_iops: Option<Vec<ThrottleDevice>>,
    #[serde(rename = "throttleWriteIOPSDevice")]
    pub throttle_write_iops: Option<Vec<ThrottleDevice>>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct WeightDevice {
    pub major: Option<i64>,
    pub minor: Option<i64>,
    pub weight: Option<u16>,
    #[serde(rename = "leafWeight")]
    pub leaf_weight: Option<u16>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct ThrottleDevice {
    pub major: Option<i64>,
    pub minor: Option<i64>,
    /// Bytes or operations per second.
    pub rate: Option<u64>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct HugepageLimit {
    /// `2MB`, `1GB`, …
    #[serde(rename = "pageSize")]
    pub page_size: Option<String>,
    /// Bytes.
    pub limit: Option<u64>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Rdma {
    #[serde(rename = "hcaHandles")]
    pub hca_handles: Option<u32>,
    #[serde(rename = "hcaObjects")]
    pub hca_objects: Option<u32>,
}

/// cgroup v1 alone.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Network {
    #[serde(rename = "classID")]
    pub class_id: Option<u32>,
    pub priorities: Option<Vec<NetworkPriority>>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct NetworkPriority {
    pub name: Option<String>,
    pub priority: Option<u32>,
}
