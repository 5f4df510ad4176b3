//! inspect: all that is known of one container.

use crate::engine::Engine;
use crate::engine::container::{Container, ExecPhase, Phase};
use crate::engine::driver;
use crate::engine::spec::{mounts, security};
use crate::engine::start::up_shim;
use crate::error::Result;
use crate::json;
use crate::json::node::members;
use crate::json::object::{self, Object};
use crate::store::limit;
use crate::wire::container::{GraphDriver, Health, HostConfig, Inspect, State, WriteBudget};

impl Engine {
    /// In JSON, with all members that Docker's has. `size` adds what it has written; it takes time.
    pub fn inspect(&self, container: &Container, size: bool) -> Result<String> {
        let mut inspect = self.describe(container);
        if size {
            let (written, whole) = self.sizes(container)?;
            inspect.size_rw = i64::try_from(written).ok();
            inspect.size_root_fs = i64::try_from(whole).ok();
        }
        Ok(complete(&json::to_string(&inspect)))
    }

    fn describe(&self, container: &Container) -> Inspect {
        let data_dir = self.data_dir(&container.id);
        let path = |name: &str| Some(data_dir.join(name).display().to_string());
        let text = |text: &str| Some(text.to_string());
        let health = self.health(container);
        let budget = write_budget(container);
        let (name, exec_ids, restarts, state) = {
            let state = container.lock();
            let execs = state.execs.iter();
            let running = execs.filter(|exec| exec.phase == ExecPhase::Running);
            let ids: Vec<String> = running.map(|exec| exec.id.clone()).collect();
            let name = format!("/{}", state.name);
            (name, ids, state.restarts, wire_state(&state, health))
        };
        let state = State {
            write_budget: budget,
            ..state
        };
        Inspect {
            id: Some(container.id.clone()),
            created: Some(container.created.clone()),
            path: Some(container.path.clone()),
            args: Some(container.args.clone()),
            state: Some(state),
            image: Some(container.image_id.clone()),
            resolv_conf_path: path("resolv.conf"),
            hostname_path: path("hostname"),
            hosts_path: path("hosts"),
            log_path: self.log_path(container),
            name: Some(name),
            restart_count: Some(restarts.into()),
            driver: text(driver::name(container.is_copied)),
            platform: text("linux"),
            mount_label: text(""),
            process_label: text(""),
            app_armor_profile: text(
                security::apparmor(container.host.security_opt.as_deref()).unwrap_or_default(),
            ),
            exec_ids: Some(exec_ids).filter(|ids| !ids.is_empty()),
            host_config: Some(HostConfig {
                links: self.shown_links(container),
                ..HostConfig::clone(&container.current_host())
            }),
            graph_driver: Some(self.graph_driver(container)),
            size_rw: None,
            size_root_fs: None,
            mounts: Some(mounts::points(container, &self.volumes)),
            config: Some(container.config.clone()),
            network_settings: Some(self.network_settings(container)),
        }
    }

    fn graph_driver(&self, container: &Container) -> GraphDriver {
        if container.is_copied {
            return GraphDriver {
                name: Some(driver::COPY.to_string()),
                data: None,
            };
        }
        let files = limit::place(&self.data_dir(&container.id));
        let layers = self
            .images
            .lower_dirs(&container.image_id)
            .unwrap_or_default();
        let layers: Vec<String> = layers.iter().map(|l| l.display().to_string()).collect();
        let rootfs = self.run_dir(&container.id).join("bundle/rootfs");
        let data = [
            ("LowerDir", layers.join(":")),
            ("UpperDir", files.join("upper").display().to_string()),
            ("WorkDir", files.join("work").display().to_string()),
            // Mounted in the shim's mount namespace only.
            ("MergedDir", rootfs.display().to_string()),
        ];
        GraphDriver {
            name: Some(driver::OVERLAY.to_string()),
            data: Some(data.map(|(key, value)| (key.to_string(), value)).into()),
        }
    }
}

fn wire_state(state: &crate::engine::container::State, health: Option<Health>) -> State {
    State {
        status: Some(state.phase.name().to_string()),
        running: Some(state.phase.is_up()),
        paused: Some(state.phase == Phase::Paused),
        restarting: Some(state.phase == Phase::Restarting),
        oom_killed: Some(state.oom_killed),
        dead: Some(state.phase == Phase::Dead),
        pid: Some(state.pid),
        exit_code: Some(state.exit_code),
        error: Some(state.error.clone()),
        started_at: Some(state.started_at.clone()),
        finished_at: Some(state.finished_at.clone()),
        health,
        write_budget: None,
    }
}

/// What only its shim knows.
fn write_budget(container: &Container) -> Option<WriteBudget> {
    container.current_host().write_budget.as_ref()?;
    up_shim(container).ok()?.budget().ok()?
}

/// Names and values, in JSON.
type Defaults = &'static [(&'static str, &'static str)];

/// Scripts and templates look into members whether they have been set or not, and Docker writes
/// them all. What was never said has these values there.
fn complete(text: &str) -> String {
    let mut object = Object::new();
    let mut has_execs = false;
    for (key, value) in members(text) {
        has_execs |= key == "\"ExecIDs\"";
        // Where Docker has it.
        if key == "\"HostConfig\"" && !has_execs {
            object.put("ExecIDs", "null");
        }
        let value = match key {
            "\"HostConfig\"" => object::complete(value, HOST_CONFIG),
            "\"Config\"" => object::complete(value, CONFIG),
            "\"NetworkSettings\"" => networks(&object::complete(value, NETWORK_SETTINGS)),
            _ => value.to_string(),
        };
        object.put(key.trim_matches('"'), &value);
    }
    object.finish()
}

fn networks(settings: &str) -> String {
    let mut object = Object::new();
    for (key, value) in members(settings) {
        let mut all = Object::new();
        if key == "\"Networks\"" {
            for (name, endpoint) in members(value) {
                all.put(
                    name.trim_matches('"'),
                    &object::complete(endpoint, ENDPOINT),
                );
            }
        }
        let value = match key {
            "\"Networks\"" => all.finish(),
            _ => value.to_string(),
        };
        object.put(key.trim_matches('"'), &value);
    }
    object.finish()
}

/// Docker's HostConfig.
const HOST_CONFIG: Defaults = &[
    ("Binds", "null"),
    ("ContainerIDFile", "\"\""),
    ("LogConfig", "{\"Type\":\"\",\"Config\":{}}"),
    ("NetworkMode", "\"\""),
    ("PortBindings", "{}"),
    ("RestartPolicy", "{\"Name\":\"no\",\"MaximumRetryCount\":0}"),
    ("AutoRemove", "false"),
    ("VolumeDriver", "\"\""),
    ("VolumesFrom", "null"),
    ("ConsoleSize", "[0,0]"),
    ("CapAdd", "null"),
    ("CapDrop", "null"),
    ("CgroupnsMode", "\"\""),
    ("Dns", "[]"),
    ("DnsOptions", "[]"),
    ("DnsSearch", "[]"),
    ("ExtraHosts", "null"),
    ("GroupAdd", "null"),
    ("IpcMode", "\"\""),
    ("Cgroup", "\"\""),
    ("Links", "null"),
    ("OomScoreAdj", "0"),
    ("PidMode", "\"\""),
    ("Privileged", "false"),
    ("PublishAllPorts", "false"),
    ("ReadonlyRootfs", "false"),
    ("SecurityOpt", "null"),
    ("UTSMode", "\"\""),
    ("UsernsMode", "\"\""),
    ("ShmSize", "0"),
    ("Runtime", "\"\""),
    ("Isolation", "\"\""),
    ("CpuShares", "0"),
    ("Memory", "0"),
    ("NanoCpus", "0"),
    ("CgroupParent", "\"\""),
    ("BlkioWeight", "0"),
    ("BlkioWeightDevice", "[]"),
    ("BlkioDeviceReadBps", "[]"),
    ("BlkioDeviceWriteBps", "[]"),
    ("BlkioDeviceReadIOps", "[]"),
    ("BlkioDeviceWriteIOps", "[]"),
    ("CpuPeriod", "0"),
    ("CpuQuota", "0"),
    ("CpuRealtimePeriod", "0"),
    ("CpuRealtimeRuntime", "0"),
    ("CpusetCpus", "\"\""),
    ("CpusetMems", "\"\""),
    ("Devices", "[]"),
    ("DeviceCgroupRules", "null"),
    ("DeviceRequests", "null"),
    ("MemoryReservation", "0"),
    ("MemorySwap", "0"),
    ("MemorySwappiness", "null"),
    ("OomKillDisable", "null"),
    ("PidsLimit", "null"),
    ("Ulimits", "[]"),
    ("CpuCount", "0"),
    ("CpuPercent", "0"),
    ("IOMaximumIOps", "0"),
    ("IOMaximumBandwidth", "0"),
    ("MaskedPaths", "null"),
    ("ReadonlyPaths", "null"),
];

/// Docker's Config of a container, and that of an image before API 1.50.
pub const CONFIG: Defaults = &[
    ("Hostname", "\"\""),
    ("Domainname", "\"\""),
    ("User", "\"\""),
    ("AttachStdin", "false"),
    ("AttachStdout", "false"),
    ("AttachStderr", "false"),
    ("Tty", "false"),
    ("OpenStdin", "false"),
    ("StdinOnce", "false"),
    ("Env", "null"),
    ("Cmd", "null"),
    ("Image", "\"\""),
    ("Volumes", "null"),
    ("WorkingDir", "\"\""),
    ("Entrypoint", "null"),
    ("OnBuild", "null"),
    ("Labels", "{}"),
];

/// Most of these are from the time of one network; clients before API 1.52 read them still.
const NETWORK_SETTINGS: Defaults = &[
    ("Bridge", "\"\""),
    ("SandboxID", "\"\""),
    ("SandboxKey", "\"\""),
    ("Ports", "{}"),
    ("HairpinMode", "false"),
    ("LinkLocalIPv6Address", "\"\""),
    ("LinkLocalIPv6PrefixLen", "0"),
    ("SecondaryIPAddresses", "null"),
    ("SecondaryIPv6Addresses", "null"),
    ("EndpointID", "\"\""),
    ("Gateway", "\"\""),
    ("GlobalIPv6Address", "\"\""),
    ("GlobalIPv6PrefixLen", "0"),
    ("IPAddress", "\"\""),
    ("IPPrefixLen", "0"),
    ("IPv6Gateway", "\"\""),
    ("MacAddress", "\"\""),
];

const ENDPOINT: Defaults = &[
    ("IPAMConfig", "null"),
    ("Links", "null"),
    ("Aliases", "null"),
    ("MacAddress", "\"\""),
    ("DriverOpts", "null"),
    ("GwPriority", "0"),
    ("NetworkID", "\"\""),
    ("EndpointID", "\"\""),
    ("Gateway", "\"\""),
    ("IPAddress", "\"\""),
    ("IPPrefixLen", "0"),
    ("IPv6Gateway", "\"\""),
    ("GlobalIPv6Address", "\"\""),
    ("GlobalIPv6PrefixLen", "0"),
    ("DNSNames", "null"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::node::Node;

    #[test]
    fn what_was_never_said_has_dockers_values() {
        let text = r#"{"Id":"a","Config":{"Tty":true},"HostConfig":{"Memory":5},
            "NetworkSettings":{"Networks":{"none":{"NetworkID":"b"}}}}"#;
        let text = complete(text);
        let node = Node::new(&text, "test").unwrap();
        for (path, expected) in [
            ("Id", "\"a\""),
            ("Config.Tty", "true"),
            ("Config.OpenStdin", "false"),
            ("HostConfig.Memory", "5"),
            ("HostConfig.Ulimits", "[]"),
            ("NetworkSettings.SandboxKey", "\"\""),
            ("NetworkSettings.Networks.none.NetworkID", "\"b\""),
            ("NetworkSettings.Networks.none.IPPrefixLen", "0"),
        ] {
            assert_eq!(node.at(path).json(), expected, "{path}");
        }
        assert!(node.member("ExecIDs").is_some());
    }
}
