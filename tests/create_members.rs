//! Nothing that a create request says is dropped in silence: each member of the API's
//! `ContainerConfig` and `HostConfig` (version 1.51) is there in inspect, told of in a warning, or
//! refused.

use crate::harness::{Host, IMAGE, json};
use crate::limits::best_effort;
use Outcome::{Kept, Limit, Refused, Warned};
use std::collections::BTreeSet;

enum Outcome {
    /// Inspect shows it.
    Kept,
    /// It is left out, with this warning.
    Warned(&'static str),
    /// 400, with these words.
    Refused(&'static str),
    /// Inspect shows it where the kernel can keep the limit, else it is warned of or refused so.
    Limit(&'static str),
}

/// A member, a value that is not its zero, and what becomes of it.
type Row = (&'static str, &'static str, &'static str, Outcome);

#[rustfmt::skip]
const MEMBERS: &[Row] = &[
    ("Config", "Hostname", r#""box""#, Kept),
    ("Config", "Domainname", r#""lab""#, Kept),
    ("Config", "User", r#""1:2""#, Kept),
    ("Config", "AttachStdin", "true", Kept),
    ("Config", "AttachStdout", "true", Kept),
    ("Config", "AttachStderr", "true", Kept),
    ("Config", "ExposedPorts", r#"{"80/tcp":{}}"#, Kept),
    ("Config", "Tty", "true", Kept),
    ("Config", "OpenStdin", "true", Kept),
    ("Config", "StdinOnce", "true", Kept),
    ("Config", "Env", r#"["A=b"]"#, Kept),
    ("Config", "Cmd", r#"["false"]"#, Kept),
    ("Config", "Healthcheck", r#"{"Test":["NONE"]}"#, Kept),
    ("Config", "ArgsEscaped", "true", Kept),
    ("Config", "Image", r#""test:latest""#, Kept),
    ("Config", "Volumes", r#"{"/data":{}}"#, Kept),
    ("Config", "WorkingDir", r#""/srv""#, Kept),
    ("Config", "Entrypoint", r#"["sh"]"#, Kept),
    ("Config", "NetworkDisabled", "true", Kept),
    ("Config", "MacAddress", r#""02:00:00:00:00:01""#, Kept),
    ("Config", "OnBuild", r#"["RUN x"]"#, Kept),
    ("Config", "Labels", r#"{"a":"b"}"#, Kept),
    ("Config", "StopSignal", r#""USR1""#, Kept),
    ("Config", "StopTimeout", "3", Kept),
    ("Config", "Shell", r#"["sh","-c"]"#, Kept),
    ("HostConfig", "CpuShares", "512", Limit("Your kernel does not support CPU shares or the cgroup is not mounted. Shares discarded.")),
    ("HostConfig", "Memory", "67108864", Limit("Your kernel does not support memory limit capabilities or the cgroup is not mounted. Limitation discarded.")),
    ("HostConfig", "CgroupParent", r#""/lab""#, Kept),
    ("HostConfig", "BlkioWeight", "100", Limit("Your kernel does not support Block I/O weight or the cgroup is not mounted. Weight discarded.")),
    ("HostConfig", "BlkioWeightDevice", r#"[{"Path":"/dev/null","Weight":100}]"#, Limit("Your kernel does not support Block I/O weight_device or the cgroup is not mounted. Weight-device discarded.")),
    ("HostConfig", "BlkioDeviceReadBps", r#"[{"Path":"/dev/null","Rate":1000}]"#, Limit("Your kernel does not support BPS Block I/O read limit or the cgroup is not mounted. Block I/O BPS read limit discarded.")),
    ("HostConfig", "BlkioDeviceWriteBps", r#"[{"Path":"/dev/null","Rate":1000}]"#, Limit("Your kernel does not support BPS Block I/O write limit or the cgroup is not mounted. Block I/O BPS write limit discarded.")),
    ("HostConfig", "BlkioDeviceReadIOps", r#"[{"Path":"/dev/null","Rate":1000}]"#, Limit("Your kernel does not support IOPS Block read limit or the cgroup is not mounted. Block I/O IOPS read limit discarded.")),
    ("HostConfig", "BlkioDeviceWriteIOps", r#"[{"Path":"/dev/null","Rate":1000}]"#, Limit("Your kernel does not support IOPS Block write limit or the cgroup is not mounted. Block I/O IOPS write limit discarded.")),
    ("HostConfig", "CpuPeriod", "50000", Limit("Your kernel does not support CPU CFS scheduler. CPU period/quota discarded.")),
    ("HostConfig", "CpuQuota", "50000", Limit("Your kernel does not support CPU CFS scheduler. CPU period/quota discarded.")),
    ("HostConfig", "CpuRealtimePeriod", "1000", Refused("Your kernel does not support CPU real-time scheduler")),
    ("HostConfig", "CpuRealtimeRuntime", "1000", Refused("Your kernel does not support CPU real-time scheduler")),
    ("HostConfig", "CpusetCpus", r#""0""#, Limit("Your kernel does not support cpuset or the cgroup is not mounted. Cpuset discarded.")),
    ("HostConfig", "CpusetMems", r#""0""#, Limit("Your kernel does not support cpuset or the cgroup is not mounted. Cpuset discarded.")),
    ("HostConfig", "Devices", r#"[{"PathOnHost":"/dev/null","PathInContainer":"/dev/x","CgroupPermissions":"r"}]"#, Kept),
    ("HostConfig", "DeviceCgroupRules", r#"["c 1:3 r"]"#, Kept),
    ("HostConfig", "DeviceRequests", r#"[{"Driver":"nvidia","Count":1,"DeviceIDs":[],"Capabilities":[["gpu"]],"Options":{}}]"#, Refused("could not select device driver \"nvidia\" with capabilities: [[gpu]]")),
    ("HostConfig", "KernelMemory", "9437184", Warned("Your kernel does not support kernel memory limit capabilities or the cgroup is not mounted. Limitation discarded.")),
    ("HostConfig", "KernelMemoryTCP", "9437184", Warned("Your kernel does not support kernel memory TCP limit capabilities or the cgroup is not mounted. Limitation discarded.")),
    ("HostConfig", "MemoryReservation", "33554432", Limit("Your kernel does not support memory soft limit capabilities or the cgroup is not mounted. Limitation discarded.")),
    ("HostConfig", "MemorySwap", "-1", Kept),
    ("HostConfig", "MemorySwappiness", "10", Warned("Your kernel does not support memory swappiness capabilities or the cgroup is not mounted. Memory swappiness discarded.")),
    ("HostConfig", "NanoCpus", "500000000", Limit("NanoCPUs can not be set, as your kernel does not support CPU CFS scheduler or the cgroup is not mounted")),
    ("HostConfig", "OomKillDisable", "true", Warned("Your kernel does not support OomKillDisable. OomKillDisable discarded.")),
    ("HostConfig", "Init", "true", Kept),
    ("HostConfig", "PidsLimit", "10", Limit("Your kernel does not support PIDs limit capabilities or the cgroup is not mounted. PIDs limit discarded.")),
    ("HostConfig", "Ulimits", r#"[{"Name":"nofile","Soft":10,"Hard":20}]"#, Kept),
    ("HostConfig", "CpuCount", "1", Warned("linux does not support CPU count. Count discarded.")),
    ("HostConfig", "CpuPercent", "1", Warned("linux does not support CPU percent. Percent discarded.")),
    ("HostConfig", "IOMaximumIOps", "1", Refused("Invalid QoS settings: linux does not support configuration of maximum IOPs")),
    ("HostConfig", "IOMaximumBandwidth", "1", Refused("Invalid QoS settings: linux does not support configuration of maximum bandwidth")),
    ("HostConfig", "Binds", r#"["/tmp:/a:ro"]"#, Kept),
    ("HostConfig", "ContainerIDFile", r#""/x""#, Kept),
    ("HostConfig", "LogConfig", r#"{"Type":"json-file","Config":{"max-size":"1m"}}"#, Kept),
    ("HostConfig", "NetworkMode", r#""none""#, Kept),
    ("HostConfig", "PortBindings", r#"{"80/tcp":[{"HostIp":"","HostPort":"8080"}]}"#, Kept),
    ("HostConfig", "RestartPolicy", r#"{"Name":"on-failure","MaximumRetryCount":3}"#, Kept),
    ("HostConfig", "AutoRemove", "true", Kept),
    ("HostConfig", "VolumeDriver", r#""x""#, Kept),
    ("HostConfig", "VolumesFrom", r#"["nosuch"]"#, Refused("No such container: nosuch")),
    ("HostConfig", "Mounts", r#"[{"Type":"tmpfs","Target":"/t"}]"#, Kept),
    ("HostConfig", "ConsoleSize", "[10,20]", Kept),
    ("HostConfig", "Annotations", r#"{"a":"b"}"#, Kept),
    ("HostConfig", "CapAdd", r#"["CAP_NET_ADMIN"]"#, Kept),
    ("HostConfig", "CapDrop", r#"["CAP_KILL"]"#, Kept),
    ("HostConfig", "CgroupnsMode", r#""host""#, Kept),
    ("HostConfig", "Dns", r#"["1.1.1.1"]"#, Kept),
    ("HostConfig", "DnsOptions", r#"["ndots:2"]"#, Kept),
    ("HostConfig", "DnsSearch", r#"["lab"]"#, Kept),
    ("HostConfig", "ExtraHosts", r#"["a:1.1.1.1"]"#, Kept),
    ("HostConfig", "GroupAdd", r#"["7"]"#, Kept),
    ("HostConfig", "IpcMode", r#""host""#, Kept),
    ("HostConfig", "Cgroup", r#""x""#, Refused("HostConfig.Cgroup is not supported yet")),
    ("HostConfig", "Links", r#"["nobody:b"]"#, Refused("could not get container for nobody: No such container: nobody")),
    ("HostConfig", "OomScoreAdj", "100", Kept),
    ("HostConfig", "PidMode", r#""host""#, Kept),
    ("HostConfig", "Privileged", "true", Kept),
    ("HostConfig", "PublishAllPorts", "true", Kept),
    ("HostConfig", "ReadonlyRootfs", "true", Kept),
    ("HostConfig", "SecurityOpt", r#"["no-new-privileges"]"#, Kept),
    ("HostConfig", "StorageOpt", r#"{"size":"1g"}"#, Kept),
    ("HostConfig", "Tmpfs", r#"{"/t":"size=1m"}"#, Kept),
    ("HostConfig", "UTSMode", r#""host""#, Kept),
    ("HostConfig", "UsernsMode", r#""host""#, Kept),
    ("HostConfig", "ShmSize", "1048576", Kept),
    ("HostConfig", "Sysctls", r#"{"net.ipv4.ip_forward":"1"}"#, Kept),
    ("HostConfig", "Runtime", r#""tug""#, Kept),
    ("HostConfig", "Isolation", r#""default""#, Kept),
    ("HostConfig", "MaskedPaths", r#"["/proc/kcore"]"#, Kept),
    ("HostConfig", "ReadonlyPaths", r#"["/proc/sys"]"#, Kept),
];

#[test]
fn every_member_is_kept_or_told_of() {
    let host = best_effort("create-members");
    for (place, member, value, outcome) in MEMBERS {
        let said = format!("\"{member}\":{value}");
        let mut parts = vec![match *place {
            "Config" => said,
            _ => format!("\"HostConfig\":{{{said}}}"),
        }];
        let image = format!("\"Image\":\"{IMAGE}\"");
        for part in [image, "\"Cmd\":[\"true\"]".to_string()] {
            if !part.starts_with(&format!("\"{member}\"")) {
                parts.push(part);
            }
        }
        let body = format!("{{{}}}", parts.join(","));
        let reply = host.http("POST", "/containers/create", &body);
        let answer = json::parse(&reply.body);
        let warnings = answer.text("Warnings");
        let shown = || {
            let id = answer.string("Id");
            host.inspect(&id, &format!("{place}.{member}"))
        };
        let value = json::parse(value).text("");
        let is_kept = reply.status == 201 && warnings == "[]" && shown() == value;
        let is_told = |sentence: &str| match reply.status {
            201 => warnings.contains(sentence) && shown() != value,
            _ => reply.error() == (400, sentence.to_string()),
        };
        let is_as_said = match outcome {
            Kept => is_kept,
            Warned(sentence) => reply.status == 201 && is_told(sentence),
            Refused(sentence) => reply.status == 400 && is_told(sentence),
            // Docker refuses one of them; ours says why, too.
            Limit(sentence) => {
                let is_refused = || reply.status == 400 && reply.error().1.starts_with(sentence);
                is_kept || is_told(sentence) || is_refused()
            }
        };
        assert!(is_as_said, "{member}: {value}: {reply:?}");
    }
}

#[test]
fn every_member_that_inspect_shows_is_looked_at() {
    let host = Host::with_image("create-members-all");
    let id = host.ok(&["create", IMAGE, "true"]);
    for place in ["Config", "HostConfig"] {
        let members: BTreeSet<&str> = MEMBERS
            .iter()
            .filter(|row| row.0 == place)
            .map(|row| row.1)
            .collect();
        let shown = host.inspect(&id, place);
        let miniserde::json::Value::Object(shown) = miniserde::json::from_str(&shown).unwrap()
        else {
            panic!("{shown}");
        };
        let unknown: Vec<_> = shown
            .keys()
            .filter(|key| !members.contains(key.as_str()))
            .collect();
        assert!(unknown.is_empty(), "{place}: {unknown:?}");
    }
}
