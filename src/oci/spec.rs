//! A bundle's `config.json` (runtime-spec, `config.md` and `config-linux.md`).

use crate::json::map::Map;
use crate::json::value::json_struct;

/// The version of the runtime spec that we write.
pub const VERSION: &str = "1.3.0";

json_struct! {
    #[derive(Clone, Debug, Default)]
    pub struct Spec {
        pub oci_version: Option<String> = "ociVersion",
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
    #[derive(Clone, Debug, Default)]
    pub struct Hooks {
        /// Deprecated by the spec, still what most tools set.
        pub prestart: Option<Vec<Hook>>,
        pub create_runtime: Option<Vec<Hook>> = "createRuntime",
        pub create_container: Option<Vec<Hook>> = "createContainer",
        pub start_container: Option<Vec<Hook>> = "startContainer",
        pub poststart: Option<Vec<Hook>>,
        pub poststop: Option<Vec<Hook>>,
    }

    #[derive(Clone, Debug, Default)]
    pub struct Hook {
        /// Absolute.
        pub path: Option<String>,
        /// With the program's name first, as for execve(2).
        pub args: Option<Vec<String>>,
        pub env: Option<Vec<String>>,
        /// Seconds.
        pub timeout: Option<i64>,
    }

    #[derive(Clone, Debug, Default)]
    pub struct Root {
        /// Absolute, or relative to the bundle.
        pub path: Option<String>,
        pub readonly: Option<bool>,
    }

    #[derive(Clone, Debug, Default)]
    pub struct Process {
        pub terminal: Option<bool>,
        pub console_size: Option<ConsoleSize> = "consoleSize",
        pub user: Option<User>,
        pub args: Option<Vec<String>>,
        /// `NAME=value`, in order.
        pub env: Option<Vec<String>>,
        pub cwd: Option<String>,
        pub capabilities: Option<Capabilities>,
        pub rlimits: Option<Vec<Rlimit>>,
        pub no_new_privileges: Option<bool> = "noNewPrivileges",
        pub oom_score_adj: Option<i32> = "oomScoreAdj",
        pub apparmor_profile: Option<String> = "apparmorProfile",
        pub selinux_label: Option<String> = "selinuxLabel",
        pub scheduler: Option<Scheduler>,
        pub io_priority: Option<IoPriority> = "ioPriority",
        pub exec_cpu_affinity: Option<CpuAffinity> = "execCPUAffinity",
    }

    /// sched_setattr(2).
    #[derive(Clone, Debug, Default)]
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
    #[derive(Clone, Debug, Default)]
    pub struct IoPriority {
        /// `IOPRIO_CLASS_RT`, `IOPRIO_CLASS_BE` or `IOPRIO_CLASS_IDLE`.
        pub class: Option<String>,
        /// 0 (first) to 7.
        pub priority: Option<i32>,
    }

    /// Lists of CPUs such as `0-3,7`, for processes that join a container.
    #[derive(Clone, Debug, Default)]
    pub struct CpuAffinity {
        /// Until it is in the container's cgroup.
        pub initial: Option<String>,
        /// From then on.
        pub last: Option<String> = "final",
    }

    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct ConsoleSize {
        pub height: Option<u16>,
        pub width: Option<u16>,
    }

    #[derive(Clone, Debug, Default)]
    pub struct User {
        pub uid: Option<u32>,
        pub gid: Option<u32>,
        pub umask: Option<u32>,
        pub additional_gids: Option<Vec<u32>> = "additionalGids",
        /// Docker's `--group-add`: names or numbers of more groups, which our runtime resolves as it
        /// does `username`. Not of the spec.
        pub additional_groups: Option<Vec<String>> = "additionalGroups",
        /// Docker's `--user` string (`name`, `uid`, `name:group`…). The spec has it for Windows only; our
        /// runtime resolves it inside the container's root, where `/etc/passwd` can be read safely, and
        /// it then decides over `uid` and `gid`.
        pub username: Option<String>,
    }

    /// Lists of names such as `CAP_CHOWN`.
    #[derive(Clone, Debug, Default)]
    pub struct Capabilities {
        pub bounding: Option<Vec<String>>,
        pub effective: Option<Vec<String>>,
        pub inheritable: Option<Vec<String>>,
        pub permitted: Option<Vec<String>>,
        pub ambient: Option<Vec<String>>,
    }

    #[derive(Clone, Debug, Default)]
    pub struct Rlimit {
        /// `RLIMIT_NOFILE` and so on.
        pub kind: Option<String> = "type",
        pub hard: Option<u64>,
        pub soft: Option<u64>,
    }

    #[derive(Clone, Debug, Default)]
    pub struct Mount {
        pub destination: Option<String>,
        pub kind: Option<String> = "type",
        pub source: Option<String>,
        pub options: Option<Vec<String>>,
        /// Of an idmapped mount.
        pub uid_mappings: Option<Vec<IdMapping>> = "uidMappings",
        pub gid_mappings: Option<Vec<IdMapping>> = "gidMappings",
    }

    #[derive(Clone, Debug, Default)]
    pub struct Linux {
        pub uid_mappings: Option<Vec<IdMapping>> = "uidMappings",
        pub gid_mappings: Option<Vec<IdMapping>> = "gidMappings",
        pub sysctl: Option<Map<String>>,
        pub resources: Option<Resources>,
        pub cgroups_path: Option<String> = "cgroupsPath",
        pub namespaces: Option<Vec<Namespace>>,
        pub devices: Option<Vec<Device>>,
        pub rootfs_propagation: Option<String> = "rootfsPropagation",
        pub masked_paths: Option<Vec<String>> = "maskedPaths",
        pub readonly_paths: Option<Vec<String>> = "readonlyPaths",
        pub seccomp: Option<Seccomp>,
        /// SELinux label of what is mounted.
        pub mount_label: Option<String> = "mountLabel",
        pub intel_rdt: Option<IntelRdt> = "intelRdt",
        pub memory_policy: Option<MemoryPolicy> = "memoryPolicy",
        pub personality: Option<Personality>,
        /// By clock: `monotonic`, `boottime`.
        pub time_offsets: Option<Map<TimeOffset>> = "timeOffsets",
        /// Network devices of the host to move into the container, by their name there.
        pub net_devices: Option<Map<NetDevice>> = "netDevices",
    }

    #[derive(Clone, Debug, Default)]
    pub struct NetDevice {
        /// Its name in the container; without one it keeps its own.
        pub name: Option<String>,
    }

    #[derive(Clone, Debug, Default)]
    pub struct TimeOffset {
        pub secs: Option<i64>,
        pub nanosecs: Option<u32>,
    }

    #[derive(Clone, Debug, Default)]
    pub struct Personality {
        /// `LINUX` or `LINUX32`.
        pub domain: Option<String>,
        pub flags: Option<Vec<String>>,
    }

    /// set_mempolicy(2).
    #[derive(Clone, Debug, Default)]
    pub struct MemoryPolicy {
        /// `MPOL_BIND` and so on.
        pub mode: Option<String>,
        /// A list such as `0-1`.
        pub nodes: Option<String>,
        pub flags: Option<Vec<String>>,
    }

    #[derive(Clone, Debug, Default)]
    pub struct IntelRdt {
        pub clos_id: Option<String> = "closID",
        pub schemata: Option<Vec<String>>,
        pub l3_cache_schema: Option<String> = "l3CacheSchema",
        pub mem_bw_schema: Option<String> = "memBwSchema",
        pub enable_monitoring: Option<bool> = "enableMonitoring",
    }

    #[derive(Clone, Debug, Default)]
    pub struct Seccomp {
        /// A profile that our runtime has itself, instead of all below: `builtin`, Docker's default. Not
        /// of the spec; spares our engine's containers some ten kilobytes of JSON each.
        pub profile: Option<String>,
        /// `SCMP_ACT_ERRNO` and so on.
        pub default_action: Option<String> = "defaultAction",
        pub default_errno_ret: Option<u32> = "defaultErrnoRet",
        /// `SCMP_ARCH_X86_64` and so on.
        pub architectures: Option<Vec<String>>,
        /// `SECCOMP_FILTER_FLAG_LOG` and so on.
        pub flags: Option<Vec<String>>,
        /// Socket of the agent that gets the descriptor of `SCMP_ACT_NOTIFY`.
        pub listener_path: Option<String> = "listenerPath",
        pub listener_metadata: Option<String> = "listenerMetadata",
        pub syscalls: Option<Vec<SeccompRule>>,
    }

    #[derive(Clone, Debug, Default)]
    pub struct SeccompRule {
        /// Names of system calls.
        pub names: Option<Vec<String>>,
        pub action: Option<String>,
        pub errno_ret: Option<u32> = "errnoRet",
        pub args: Option<Vec<SeccompArg>>,
    }

    #[derive(Clone, Debug, Default)]
    pub struct SeccompArg {
        /// 0 to 5.
        pub index: Option<u32>,
        pub value: Option<u64>,
        /// What a masked value is compared with (`SCMP_CMP_MASKED_EQ`).
        pub value_two: Option<u64> = "valueTwo",
        /// `SCMP_CMP_EQ` and so on.
        pub op: Option<String>,
    }

    #[derive(Clone, Debug, Default)]
    pub struct IdMapping {
        pub container_id: Option<u32> = "containerID",
        pub host_id: Option<u32> = "hostID",
        pub size: Option<u32>,
    }

    #[derive(Clone, Debug, Default)]
    pub struct Namespace {
        /// `pid`, `network`, `mount`, `ipc`, `uts`, `user`, `cgroup`, `time`.
        pub kind: Option<String> = "type",
        /// Join this one; without it a new one is made.
        pub path: Option<String>,
    }

    #[derive(Clone, Debug, Default)]
    pub struct Device {
        pub path: Option<String>,
        /// `c`, `b`, `u` or `p`.
        pub kind: Option<String> = "type",
        pub major: Option<u32>,
        pub minor: Option<u32>,
        pub file_mode: Option<u32> = "fileMode",
        pub uid: Option<u32>,
        pub gid: Option<u32>,
    }

    #[derive(Clone, Debug, Default)]
    pub struct Resources {
        pub devices: Option<Vec<DeviceRule>>,
        pub memory: Option<Memory>,
        pub cpu: Option<Cpu>,
        pub pids: Option<Pids>,
        pub block_io: Option<BlockIo> = "blockIO",
        pub hugepage_limits: Option<Vec<HugepageLimit>> = "hugepageLimits",
        /// By device.
        pub rdma: Option<Map<Rdma>>,
        pub network: Option<Network>,
        /// Files of cgroup v2 by name, written as they are.
        pub unified: Option<Map<String>>,
    }

    #[derive(Clone, Debug, Default)]
    pub struct DeviceRule {
        pub allow: Option<bool>,
        /// `a`, `c` or `b`.
        pub kind: Option<String> = "type",
        /// `None` or -1: any.
        pub major: Option<i64>,
        pub minor: Option<i64>,
        /// Of `r`, `w`, `m`.
        pub access: Option<String>,
    }

    /// Bytes; -1 means no limit.
    #[derive(Clone, Debug, Default)]
    pub struct Memory {
        pub limit: Option<i64>,
        pub reservation: Option<i64>,
        /// Memory plus swap, as cgroup v1 counts.
        pub swap: Option<i64>,
        /// cgroup v1 alone, as the four after it.
        pub kernel: Option<i64>,
        pub kernel_tcp: Option<i64> = "kernelTCP",
        pub swappiness: Option<u64>,
        pub disable_oom_killer: Option<bool> = "disableOOMKiller",
        pub use_hierarchy: Option<bool> = "useHierarchy",
        /// Refuse a limit that is below what is in use.
        pub check_before_update: Option<bool> = "checkBeforeUpdate",
    }

    #[derive(Clone, Debug, Default)]
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
        pub realtime_period: Option<u64> = "realtimePeriod",
        pub realtime_runtime: Option<i64> = "realtimeRuntime",
        /// 1: runs only when nothing else wants to.
        pub idle: Option<i64>,
        pub cpus: Option<String>,
        pub mems: Option<String>,
    }

    #[derive(Clone, Debug, Default)]
    pub struct Pids {
        /// -1 means no limit.
        pub limit: Option<i64>,
    }

    /// Weights are 10 to 1000, as in cgroup v1.
    #[derive(Clone, Debug, Default)]
    pub struct BlockIo {
        pub weight: Option<u16>,
        pub leaf_weight: Option<u16> = "leafWeight",
        pub weight_device: Option<Vec<WeightDevice>> = "weightDevice",
        pub throttle_read_bps: Option<Vec<ThrottleDevice>> = "throttleReadBpsDevice",
        pub throttle_write_bps: Option<Vec<ThrottleDevice>> = "throttleWriteBpsDevice",
        pub throttle_read_iops: Option<Vec<ThrottleDevice>> = "throttleReadIOPSDevice",
        pub throttle_write_iops: Option<Vec<ThrottleDevice>> = "throttleWriteIOPSDevice",
    }

    #[derive(Clone, Debug, Default)]
    pub struct WeightDevice {
        pub major: Option<i64>,
        pub minor: Option<i64>,
        pub weight: Option<u16>,
        pub leaf_weight: Option<u16> = "leafWeight",
    }

    #[derive(Clone, Debug, Default)]
    pub struct ThrottleDevice {
        pub major: Option<i64>,
        pub minor: Option<i64>,
        /// Bytes or operations per second.
        pub rate: Option<u64>,
    }

    #[derive(Clone, Debug, Default)]
    pub struct HugepageLimit {
        /// `2MB`, `1GB`, …
        pub page_size: Option<String> = "pageSize",
        /// Bytes.
        pub limit: Option<u64>,
    }

    #[derive(Clone, Debug, Default)]
    pub struct Rdma {
        pub hca_handles: Option<u32> = "hcaHandles",
        pub hca_objects: Option<u32> = "hcaObjects",
    }

    /// cgroup v1 alone.
    #[derive(Clone, Debug, Default)]
    pub struct Network {
        pub class_id: Option<u32> = "classID",
        pub priorities: Option<Vec<NetworkPriority>>,
    }

    #[derive(Clone, Debug, Default)]
    pub struct NetworkPriority {
        pub name: Option<String>,
        pub priority: Option<u32>,
    }
}
