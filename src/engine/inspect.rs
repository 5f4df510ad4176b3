//! inspect: all that is known of one container.

use crate::engine::Engine;
use crate::engine::container::{Container, ExecPhase, Phase};
use crate::engine::spec::mounts;
use crate::wire::container::{EndpointSettings, GraphDriver, Inspect, NetworkSettings, State};
use std::collections::BTreeMap;

impl Engine {
    pub fn inspect(&self, container: &Container) -> Inspect {
        let data_dir = self.data_dir(&container.id);
        let path = |name: &str| Some(data_dir.join(name).display().to_string());
        let text = |text: &str| Some(text.to_string());
        let (name, exec_ids, state) = {
            let state = container.lock();
            let execs = state.execs.iter();
            let running = execs.filter(|exec| exec.phase == ExecPhase::Running);
            let ids: Vec<String> = running.map(|exec| exec.id.clone()).collect();
            (format!("/{}", state.name), ids, wire_state(&state))
        };
        let network = container.host.network_mode.clone().unwrap_or_default();
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
            restart_count: Some(0),
            driver: text("overlay2"),
            platform: text("linux"),
            mount_label: text(""),
            process_label: text(""),
            app_armor_profile: text(""),
            exec_ids: Some(exec_ids).filter(|ids| !ids.is_empty()),
            host_config: Some(container.host.clone()),
            graph_driver: Some(self.graph_driver(container)),
            size_rw: None,
            size_root_fs: None,
            mounts: Some(mounts::points(&container.host)),
            config: Some(container.config.clone()),
            network_settings: Some(NetworkSettings {
                sandbox_id: text(""),
                ip_address: text(""),
                gateway: text(""),
                mac_address: text(""),
                ports: Some(BTreeMap::new()),
                networks: Some(BTreeMap::from([(network, EndpointSettings::default())])),
            }),
        }
    }

    fn graph_driver(&self, container: &Container) -> GraphDriver {
        let data_dir = self.data_dir(&container.id);
        let layers = self
            .images
            .lower_dirs(&container.image_id)
            .unwrap_or_default();
        let layers: Vec<String> = layers.iter().map(|l| l.display().to_string()).collect();
        let rootfs = self.run_dir(&container.id).join("bundle/rootfs");
        let data = [
            ("LowerDir", layers.join(":")),
            ("UpperDir", data_dir.join("upper").display().to_string()),
            ("WorkDir", data_dir.join("work").display().to_string()),
            // Mounted in the shim's mount namespace only.
            ("MergedDir", rootfs.display().to_string()),
        ];
        GraphDriver {
            name: Some("overlay2".to_string()),
            data: Some(data.map(|(key, value)| (key.to_string(), value)).into()),
        }
    }
}

fn wire_state(state: &crate::engine::container::State) -> State {
    State {
        status: Some(state.phase.name().to_string()),
        running: Some(state.phase == Phase::Running),
        paused: Some(false),
        restarting: Some(false),
        oom_killed: Some(state.oom_killed),
        dead: Some(false),
        pid: Some(state.pid),
        exit_code: Some(state.exit_code),
        error: Some(state.error.clone()),
        started_at: Some(state.started_at.clone()),
        finished_at: Some(state.finished_at.clone()),
        health: None,
    }
}
