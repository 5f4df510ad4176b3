//! version and info: the engine and its host.

use crate::engine::config::Settings;
use crate::engine::container::Phase;
use crate::engine::{API_VERSION, API_VERSION_MIN, Engine, driver, host};
use crate::error::Result;
use crate::json;
use crate::json::object::{self, Object};
use crate::kernel::{self, Feature, lacks};
use crate::net::firewall::Features;
use crate::registry::proxy;
use crate::shim::log::options;
use crate::shim::reboot;
use crate::sys::machine;
use crate::time::Time;
use crate::wire::system::{Component, Info, Platform, Version};

fn text(text: &str) -> Option<String> {
    Some(text.to_string())
}

/// A file of one line in /proc, without its newline.
fn line(path: &str) -> String {
    let content = std::fs::read_to_string(path).unwrap_or_default();
    content.trim_end().to_string()
}

/// CPUs that this process may use, as Docker counts them.
pub fn cpus() -> i64 {
    // Not std's count: that reads cgroup quotas too, which Docker does not, in 2 KiB of code.
    rustix::thread::sched_getaffinity(None).map_or(1, |set| i64::from(set.count()))
}

/// As Go names this machine, which is what images say.
pub fn go_arch() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// As `uname -m` names it.
fn machine() -> &'static str {
    match std::env::consts::ARCH {
        "arm" => "armv7l",
        other => other,
    }
}

/// Where others tell the version of Go.
const RUST: &str = "none (Rust)";

/// There is no swarm (API, SwarmInfo).
const SWARM: &str = r#"{"NodeID":"","NodeAddr":"","LocalNodeState":"inactive","ControlAvailable":false,"Error":"","RemoteManagers":null}"#;

impl Engine {
    pub fn version(&self) -> Version {
        let own = env!("CARGO_PKG_VERSION");
        let kernel = kernel::release();
        let details = [
            ("ApiVersion", API_VERSION),
            ("MinAPIVersion", API_VERSION_MIN),
            ("Arch", go_arch()),
            ("Os", "linux"),
            ("KernelVersion", &kernel),
            // The client prints these, found or not.
            ("GoVersion", RUST),
            ("GitCommit", ""),
            ("BuildTime", ""),
            ("Experimental", "false"),
        ];
        let details = details.map(|(key, value)| (key.to_string(), value.to_string()));
        Version {
            platform: Some(Platform { name: text("tug") }),
            components: Some(vec![Component {
                name: text("Engine"),
                version: text(own),
                details: Some(details.into()),
            }]),
            version: text(own),
            api_version: text(API_VERSION),
            min_api_version: text(API_VERSION_MIN),
            git_commit: text(""),
            go_version: text(RUST),
            os: text("linux"),
            arch: text(go_arch()),
            kernel_version: Some(kernel.clone()),
            build_time: text(""),
        }
    }

    /// In JSON, with all members that Docker's has.
    pub fn info(&self) -> Result<String> {
        let text = json::to_string(&self.describe_self()?);
        let commit = |id: &str| Object::new().text("ID", id).text("Expected", id).finish();
        let own = commit(env!("CARGO_PKG_VERSION"));
        let bridged = |file: &str| match line(file) == "1" {
            true => "true",
            false => "false",
        };
        let drivers: Vec<String> = options::drivers().into_iter().map(str::to_string).collect();
        let mut plugins = Object::new();
        plugins
            .put("Volume", r#"["local"]"#)
            .put("Network", r#"["bridge","host","ipvlan","macvlan","null"]"#)
            .put("Authorization", "null")
            .put("Log", &json::to_string(&drivers));
        let plugins = plugins.finish();
        let reboot = reboot::last(&self.options.data_root).ok().flatten();
        let reboot = reboot.map(|last| json::to_string(&last.words()));
        Ok(object::complete(
            &text,
            &[
                ("Plugins", &plugins),
                ("Swarm", SWARM),
                ("RegistryConfig", &registries(&self.settings())),
                (
                    "BridgeNfIptables",
                    bridged("/proc/sys/net/bridge/bridge-nf-call-iptables"),
                ),
                (
                    "BridgeNfIp6tables",
                    bridged("/proc/sys/net/bridge/bridge-nf-call-ip6tables"),
                ),
                ("GenericResources", "null"),
                ("ContainerdCommit", &commit("N/A")),
                // Both are this program.
                ("RuncCommit", &own),
                ("InitCommit", &own),
                ("CDISpecDirs", "[]"),
                ("LastReboot", reboot.as_deref().unwrap_or("null")),
            ],
        ))
    }

    fn describe_self(&self) -> Result<Info> {
        let containers = self.containers();
        let count = |is_counted: &dyn Fn(Phase) -> bool| {
            let counted = containers.iter().filter(|c| is_counted(c.lock().phase));
            i64::try_from(counted.count()).ok()
        };
        let controllers = host::controllers();
        let settings = self.settings();
        let proxies = settings.proxies.clone().with_environment();
        Ok(Info {
            id: text(&format!("tug-{}", host::name())),
            containers: count(&|_| true),
            containers_running: count(&|phase| matches!(phase.name(), "running" | "restarting")),
            containers_paused: count(&|phase| phase.name() == "paused"),
            containers_stopped: count(&|phase| {
                !matches!(phase.name(), "running" | "restarting" | "paused")
            }),
            images: i64::try_from(self.images.list()?.len()).ok(),
            driver: text(driver::name(self.copying.is_some())),
            driver_status: Some(self.driver_status()),
            docker_root_dir: text(&self.options.data_root.display().to_string()),
            memory_limit: Some(controllers.memory),
            swap_limit: Some(controllers.memory),
            cpu_cfs_period: Some(controllers.cpu),
            cpu_cfs_quota: Some(controllers.cpu),
            cpu_shares: Some(controllers.cpu),
            cpu_set: Some(controllers.cpuset),
            pids_limit: Some(controllers.pids),
            oom_kill_disable: Some(false),
            ipv4_forwarding: Some(line("/proc/sys/net/ipv4/ip_forward") == "1"),
            debug: Some(self.is_debug()),
            fds: entries("/proc/self/fd"),
            threads: entries("/proc/self/task"),
            system_time: Some(Time::now().rfc3339()),
            logging_driver: Some(self.options.log_driver.clone()),
            cgroup_driver: text("cgroupfs"),
            cgroup_version: text("2"),
            event_listeners: i64::try_from(self.events.followers()).ok(),
            kernel_version: Some(kernel::release()),
            operating_system: Some(os_release("PRETTY_NAME").unwrap_or_else(|| "Linux".into())),
            os_version: Some(os_release("VERSION_ID").unwrap_or_default()),
            os_type: text("linux"),
            architecture: text(machine()),
            index_server_address: text("https://index.docker.io/v1/"),
            ncpu: Some(cpus()),
            mem_total: i64::try_from(machine::memory_bytes()).ok(),
            http_proxy: Some(proxy::masked(&proxies.http)),
            https_proxy: Some(proxy::masked(&proxies.https)),
            no_proxy: Some(proxies.no_proxy),
            name: Some(host::name()),
            labels: Some(settings.labels.clone()),
            experimental_build: Some(false),
            server_version: text(env!("CARGO_PKG_VERSION")),
            runtimes: Some(self.runtimes()),
            default_runtime: Some(settings.default_runtime.clone()),
            live_restore_enabled: Some(settings.live_restore),
            isolation: text(""),
            init_binary: text("tug-init"),
            security_options: Some(security_options()),
            warnings: Some(self.warnings()),
        })
    }

    /// What this host cannot do, in Docker's words.
    fn warnings(&self) -> Vec<String> {
        let mut warnings = kernel_warnings();
        if let Some(why) = &self.copying {
            warnings.push(format!(
                "WARNING: storage driver vfs copies the image for each container: {why}"
            ));
        }
        let stores = self.images.complaints();
        warnings.extend(
            stores
                .iter()
                .map(|complaint| format!("WARNING: {complaint}")),
        );
        if self.options.has_bridge() && (self.options.iptables || self.options.ip6tables) {
            warnings.extend(Features::probe().warnings());
        }
        warnings
    }
}

/// The limits that cannot be held here, and what else of a container needs the kernel.
pub fn kernel_warnings() -> Vec<String> {
    let controllers = host::controllers();
    let rows = [
        (controllers.memory, "memory limit", Feature::Memcg),
        (controllers.cpu, "cpu cfs quota", Feature::CgroupSched),
        (controllers.cpuset, "cpuset", Feature::Cpusets),
        (controllers.pids, "pids limit", Feature::CgroupPids),
        (controllers.io, "blkio limit", Feature::BlkCgroup),
        (host::has_seccomp(), "seccomp", Feature::SeccompFilter),
    ];
    let missing = rows.iter().filter(|(is_there, ..)| !is_there);
    missing
        .map(|(_, what, feature)| format!("WARNING: No {what} support {}", lacks(*feature)))
        .collect()
}

/// What is configured of registries: networks may be insecure, or single hosts.
fn registries(settings: &Settings) -> String {
    let mirrors = json::to_string(&settings.registry_mirrors);
    let index = |name: &str, mirrors: &str, is_ours: bool| {
        let is_ours = if is_ours { "true" } else { "false" };
        Object::new()
            .text("Name", name)
            .put("Mirrors", mirrors)
            .put("Secure", is_ours)
            .put("Official", is_ours)
            .finish()
    };
    let all = settings.insecure_registries.iter();
    let (networks, hosts): (Vec<String>, Vec<String>) =
        all.cloned().partition(|name| name.contains('/'));
    let mut indices = Object::new();
    indices.put("docker.io", &index("docker.io", &mirrors, true));
    for host in &hosts {
        indices.put(host, &index(host, "[]", false));
    }
    Object::new()
        .put("InsecureRegistryCIDRs", &json::to_string(&networks))
        .put("IndexConfigs", &indices.finish())
        .put("Mirrors", &mirrors)
        .finish()
}

fn entries(dir: &str) -> Option<i64> {
    i64::try_from(std::fs::read_dir(dir).ok()?.count()).ok()
}

fn os_release(key: &str) -> Option<String> {
    let text = std::fs::read_to_string("/etc/os-release").ok()?;
    let value = text
        .lines()
        .find_map(|line| line.strip_prefix(key)?.strip_prefix('='))?;
    Some(value.trim_matches(['"', '\'']).to_string())
}

/// What confines containers that ask for nothing.
fn security_options() -> Vec<String> {
    let mut options = Vec::new();
    if host::has_seccomp() {
        options.push("name=seccomp,profile=builtin".to_string());
    }
    options.push("name=cgroupns".to_string());
    options
}
