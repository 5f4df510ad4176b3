//! A bundle's `config.json` (runtime-spec, `config.md` and `config-linux.md`).

use miniserde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The version of the runtime spec that we write.
pub const VERSION: &str = "1.2.1";

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Spec {
    #[serde(rename = "ociVersion")]
    pub oci_version: Option<String>,
    pub process: Option<Process>,
    pub root: Option<Root>,
    pub hostname: Option<String>,
    pub domainname: Option<String>,
    pub mounts: Option<Vec<Mount>>,
    pub annotations: Option<BTreeMap<String, String>>,
    pub linux: Option<Linux>,
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
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Linux {
    #[serde(rename = "uidMappings")]
    pub uid_mappings: Option<Vec<IdMapping>>,
    #[serde(rename = "gidMappings")]
    pub gid_mappings: Option<Vec<IdMapping>>,
    pub sysctl: Option<BTreeMap<String, String>>,
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
    /// Files of cgroup v2 by name, written as they are.
    pub unified: Option<BTreeMap<String, String>>,
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
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Cpu {
    /// cgroup v1's shares, 2 to 262144.
    pub shares: Option<u64>,
    /// Microseconds per period; -1 means no limit.
    pub quota: Option<i64>,
    /// Microseconds.
    pub period: Option<u64>,
    pub cpus: Option<String>,
    pub mems: Option<String>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Pids {
    /// -1 means no limit.
    pub limit: Option<i64>,
}
