//! The keys of quadlet units (podman-systemd.unit(5)) and what each is here.

/// What becomes of a key's values.
#[derive(Clone, Copy)]
pub enum Key {
    /// The last value, for an option.
    Last(&'static str),
    /// Each value once more.
    Each(&'static str),
    /// Each word of each value once more.
    Words(&'static str),
    /// The same, of a file beside the unit.
    Files(&'static str),
    Switch(&'static str),
    /// A security option with the value behind it.
    Security(&'static str),
    /// A security option where the value is true.
    Secure(&'static str),
    /// `translate` in `quadlet` knows.
    Own,
    /// Nobody would miss it.
    Silent,
    /// Read, noted, and without effect.
    Without(&'static str),
    /// It would be another container without it.
    Refused(&'static str),
}

use Key::{Each, Files, Last, Own, Refused, Secure, Security, Silent, Switch, Without, Words};

pub type Table = &'static [(&'static str, Key)];

const MAPS: Key = Refused("write UserNS=, or let the engine map users (--userns-remap)");
const STARTUP: Key = Refused("there is one health check: write HealthStartPeriod=");
const PODMAN: Key = Refused("it is of the program podman, which is not here");
const HEALTH_LOG: Key = Without("the last five results are kept");

pub const CONTAINER: Table = &[
    ("AddCapability", Words("cap-add")),
    ("AddDevice", Own),
    ("AddHost", Each("add-host")),
    ("Annotation", Words("annotation")),
    (
        "AutoUpdate",
        Without("images change when you say: tug update-image"),
    ),
    (
        "CgroupsMode",
        Without("each container has a cgroup of its own"),
    ),
    ("ContainerName", Own),
    ("ContainersConfModule", PODMAN),
    ("DNS", Each("dns")),
    ("DNSOption", Each("dns-option")),
    ("DNSSearch", Each("dns-search")),
    ("DropCapability", Words("cap-drop")),
    ("Entrypoint", Own),
    ("Environment", Words("env")),
    ("EnvironmentFile", Files("env-file")),
    (
        "EnvironmentHost",
        Refused("the engine's environment is no container's"),
    ),
    ("Exec", Own),
    ("ExposeHostPort", Each("expose")),
    ("GIDMap", MAPS),
    ("GlobalArgs", PODMAN),
    ("Group", Own),
    ("GroupAdd", Each("group-add")),
    ("HealthCmd", Own),
    ("HealthInterval", Last("health-interval")),
    ("HealthLogDestination", HEALTH_LOG),
    ("HealthMaxLogCount", HEALTH_LOG),
    ("HealthMaxLogSize", HEALTH_LOG),
    ("HealthOnFailure", Last("health-on-failure")),
    ("HealthRetries", Last("health-retries")),
    ("HealthStartPeriod", Last("health-start-period")),
    ("HealthStartupCmd", STARTUP),
    ("HealthStartupInterval", STARTUP),
    ("HealthStartupRetries", STARTUP),
    ("HealthStartupSuccess", STARTUP),
    ("HealthStartupTimeout", STARTUP),
    ("HealthTimeout", Last("health-timeout")),
    ("HostName", Last("hostname")),
    ("HttpProxy", Without("no proxy of the host is handed on")),
    ("IP", Last("ip")),
    ("IP6", Last("ip6")),
    ("Image", Own),
    ("Label", Words("label")),
    ("LogDriver", Own),
    ("LogOpt", Each("log-opt")),
    ("Mask", Refused("paths cannot be masked one by one")),
    ("Memory", Last("memory")),
    ("Mount", Own),
    ("Network", Own),
    ("NetworkAlias", Each("network-alias")),
    ("NoNewPrivileges", Secure("no-new-privileges")),
    ("Notify", Own),
    ("PidsLimit", Last("pids-limit")),
    (
        "Pod",
        Refused("there are no pods: write Network=NAME.container"),
    ),
    ("PodmanArgs", Own),
    ("PublishPort", Each("publish")),
    ("Pull", Own),
    ("ReadOnly", Own),
    ("ReadOnlyTmpfs", Silent),
    ("ReloadCmd", Without("nothing reloads a container here")),
    ("ReloadSignal", Without("nothing reloads a container here")),
    ("RemapGid", MAPS),
    ("RemapUid", MAPS),
    ("RemapUidSize", MAPS),
    ("RemapUsers", MAPS),
    (
        "Retry",
        Without("a pull that breaks off is taken up again anyway"),
    ),
    (
        "RetryDelay",
        Without("a pull that breaks off is taken up again anyway"),
    ),
    ("Rootfs", Refused("write Image=")),
    ("RunInit", Switch("init")),
    ("SeccompProfile", Security("seccomp=")),
    ("Secret", Refused("write Volume= or EnvironmentFile=")),
    ("SecurityLabelDisable", Secure("label=disable")),
    ("SecurityLabelFileType", Security("label=filetype:")),
    ("SecurityLabelLevel", Security("label=level:")),
    ("SecurityLabelNested", Secure("label=nested")),
    ("SecurityLabelType", Security("label=type:")),
    ("ServiceName", Silent),
    ("ShmSize", Last("shm-size")),
    ("StartWithPod", Without("there are no pods")),
    ("StopSignal", Last("stop-signal")),
    ("StopTimeout", Last("stop-timeout")),
    ("SubGIDMap", MAPS),
    ("SubUIDMap", MAPS),
    ("Sysctl", Words("sysctl")),
    ("Timezone", Own),
    ("Tmpfs", Each("tmpfs")),
    ("UIDMap", MAPS),
    ("Ulimit", Each("ulimit")),
    ("Unmask", Own),
    ("User", Own),
    ("UserNS", Own),
    ("VolatileTmp", Own),
    ("Volume", Own),
    ("WorkingDir", Last("workdir")),
];

pub const VOLUME: Table = &[
    ("ContainersConfModule", PODMAN),
    (
        "Copy",
        Without("an empty volume gets what the image has there"),
    ),
    ("Device", Own),
    ("Driver", Last("driver")),
    ("GlobalArgs", PODMAN),
    ("Group", Own),
    ("Image", Refused("volumes of the driver image are not here")),
    ("Label", Words("label")),
    ("Options", Own),
    ("PodmanArgs", Own),
    ("ServiceName", Silent),
    ("Type", Own),
    ("User", Own),
    ("VolumeName", Silent),
];

pub const NETWORK: Table = &[
    ("ContainersConfModule", PODMAN),
    ("DNS", Refused("write it in each container")),
    (
        "DisableDNS",
        Refused("names of containers are answered in every network of users"),
    ),
    ("Driver", Last("driver")),
    ("Gateway", Each("gateway")),
    ("GlobalArgs", PODMAN),
    ("IPAMDriver", Last("ipam-driver")),
    ("IPRange", Each("ip-range")),
    ("IPv6", Switch("ipv6")),
    ("InterfaceName", Own),
    ("Internal", Switch("internal")),
    ("Label", Words("label")),
    ("NetworkDeleteOnStop", Without("networks stay")),
    ("NetworkName", Silent),
    ("Options", Words("opt")),
    ("PodmanArgs", Own),
    ("ServiceName", Silent),
    ("Subnet", Each("subnet")),
];

const HOST_PROGRAM: Key = Refused("it runs a program of the host");
const LIMIT: Key =
    Refused("write it in [Container], or as PodmanArgs= with the option of tug create");
const STARTS: Key = Without("a plan starts all it has, in the order of After= and Requires=");

/// Keys of `[Unit]` that are not conditions.
pub const UNIT: Table = &[
    ("After", Own),
    ("Before", Own),
    ("BindsTo", Own),
    ("DefaultDependencies", Silent),
    ("Description", Silent),
    ("Documentation", Silent),
    ("PartOf", STARTS),
    ("Requires", Own),
    (
        "RequiresMountsFor",
        Without("mounts of machine.json come first: write ConditionPathIsMountPoint= for others"),
    ),
    ("Requisite", Own),
    (
        "StartLimitBurst",
        Without("restarts are spaced, without an end"),
    ),
    (
        "StartLimitIntervalSec",
        Without("restarts are spaced, without an end"),
    ),
    ("Upholds", STARTS),
    ("Wants", Own),
];

pub const SERVICE: Table = &[
    ("CPUQuota", Own),
    ("CPUWeight", LIMIT),
    ("ExecCondition", HOST_PROGRAM),
    ("ExecReload", HOST_PROGRAM),
    ("ExecStart", HOST_PROGRAM),
    ("ExecStartPost", HOST_PROGRAM),
    ("ExecStartPre", HOST_PROGRAM),
    ("ExecStop", HOST_PROGRAM),
    ("ExecStopPost", HOST_PROGRAM),
    ("IOReadBandwidthMax", LIMIT),
    ("IOWeight", LIMIT),
    ("IOWriteBandwidthMax", LIMIT),
    ("MemoryHigh", LIMIT),
    ("MemoryMax", Last("memory")),
    ("MemorySwapMax", LIMIT),
    ("RemainAfterExit", Silent),
    ("Restart", Own),
    (
        "RestartSec",
        Without("restarts are spaced: 100 ms, twice as long each time"),
    ),
    ("SyslogIdentifier", Without("write LogOpt=tag=…")),
    ("TasksMax", Last("pids-limit")),
    ("TimeoutStartSec", Own),
    (
        "TimeoutStopSec",
        Without("write StopTimeout= in [Container]"),
    ),
    ("Type", Own),
];
