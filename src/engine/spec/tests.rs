use super::resources::Controllers;
use super::*;
use crate::engine::config::Options;
use crate::engine::record::{Asked, Happened};
use crate::engine::validate;
use crate::wire::container::{Config, HostConfig};

fn words(list: &[&str]) -> Option<Vec<String>> {
    Some(list.iter().map(|word| (*word).to_string()).collect())
}

const ALL: Controllers = Controllers {
    memory: true,
    swap: true,
    cpu: true,
    cpu_quota: true,
    cpu_shares: true,
    cpuset: true,
    pids: true,
    io: true,
    io_max: true,
    io_weight: true,
};

/// A container as `create` makes it.
fn container(config: Config, host: HostConfig) -> Container {
    let mut host = host;
    let (options, all) = (Options::default(), ALL);
    validate::check(&config, &mut host, &options, all, &mut Vec::new()).unwrap();
    let asked = Asked {
        id: Some("ab".repeat(32)),
        path: Some("sh".into()),
        args: words(&["-c", "true"]),
        config: Some(Config {
            hostname: Some("abababababab".into()),
            ..config
        }),
        host_config: Some(host),
        ..Default::default()
    };
    Container::new(asked, &Happened::default())
}

fn built(config: Config, host: HostConfig) -> Spec {
    let place = Place {
        data_dir: Path::new("/data"),
        options: &Options::default(),
        binary: Path::new("/usr/bin/tug"),
        controllers: ALL,
        files_dir: Path::new("/data"),
        shm: None,
        donors: &Donors::default(),
        sources: &Map::new(),
        seccomp: seccomp::Host {
            has_seccomp: true,
            kernel: "6.1",
        },
    };
    build(&container(config, host), &place).unwrap()
}

/// The whole spec of a container that asks for nothing. The masked paths are tested by themselves,
/// because they depend on the machine's CPUs.
const DEFAULT: &str = concat!(
    r#"{"ociVersion":"1.3.0","process":{"terminal":false,"user":{"uid":0,"gid":0,"username":"0"},"args":["sh","-c","true"],"#,
    r#""env":["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin","HOSTNAME=abababababab"],"cwd":"/","#,
    r#""capabilities":{"bounding":CAPS,"effective":CAPS,"permitted":CAPS},"rlimits":[],"noNewPrivileges":false},"#,
    r#""root":{"path":"rootfs"},"hostname":"abababababab","mounts":["#,
    r#"{"destination":"/proc","type":"proc","source":"proc","options":["nosuid","noexec","nodev"]},"#,
    r#"{"destination":"/dev","type":"tmpfs","source":"tmpfs","options":["nosuid","strictatime","mode=755","size=65536k"]},"#,
    r#"{"destination":"/dev/pts","type":"devpts","source":"devpts","options":["nosuid","noexec","newinstance","ptmxmode=0666","mode=0620","gid=5"]},"#,
    r#"{"destination":"/sys","type":"sysfs","source":"sysfs","options":["nosuid","noexec","nodev","ro"]},"#,
    r#"{"destination":"/sys/fs/cgroup","type":"cgroup","source":"cgroup","options":["nosuid","noexec","nodev","ro"]},"#,
    r#"{"destination":"/dev/mqueue","type":"mqueue","source":"mqueue","options":["nosuid","noexec","nodev"]},"#,
    r#"{"destination":"/dev/shm","type":"tmpfs","source":"shm","options":["nosuid","noexec","nodev","mode=1777","size=67108864"]},"#,
    r#"{"destination":"/etc/resolv.conf","type":"bind","source":"/data/resolv.conf","options":["rbind","rprivate"]},"#,
    r#"{"destination":"/etc/hostname","type":"bind","source":"/data/hostname","options":["rbind","rprivate"]},"#,
    r#"{"destination":"/etc/hosts","type":"bind","source":"/data/hosts","options":["rbind","rprivate"]}],"#,
    r#""linux":{"sysctl":{"net.ipv4.ip_unprivileged_port_start":"0","net.ipv4.ping_group_range":"0 2147483647"},"#,
    r#""resources":{"devices":[{"allow":false,"type":"a","access":"rwm"},"#,
    r#"{"allow":true,"type":"c","major":1,"minor":3,"access":"rwm"},{"allow":true,"type":"c","major":1,"minor":5,"access":"rwm"},"#,
    r#"{"allow":true,"type":"c","major":1,"minor":8,"access":"rwm"},{"allow":true,"type":"c","major":1,"minor":9,"access":"rwm"},"#,
    r#"{"allow":true,"type":"c","major":5,"minor":0,"access":"rwm"},{"allow":true,"type":"c","major":5,"minor":1,"access":"rwm"},"#,
    r#"{"allow":false,"type":"c","major":10,"minor":229,"access":"rwm"}]},"#,
    r#""cgroupsPath":"/tug/abababababababababababababababababababababababababababababababab","#,
    r#""namespaces":[{"type":"mount"},{"type":"network"},{"type":"uts"},{"type":"pid"},{"type":"ipc"},{"type":"cgroup"},{"type":"time"}],"#,
    r#""devices":[],"readonlyPaths":["/proc/bus","/proc/fs","/proc/irq","/proc/sys","/proc/sysrq-trigger"],"seccomp":{"profile":"builtin"}}}"#,
);

const CAPS: &str = r#"["CAP_CHOWN","CAP_DAC_OVERRIDE","CAP_FSETID","CAP_FOWNER","CAP_MKNOD","CAP_NET_RAW","CAP_SETGID","CAP_SETUID","CAP_SETFCAP","CAP_SETPCAP","CAP_NET_BIND_SERVICE","CAP_SYS_CHROOT","CAP_KILL","CAP_AUDIT_WRITE"]"#;

#[test]
fn a_container_that_asks_for_nothing_gets_dockers_defaults() {
    let mut spec = built(Config::default(), HostConfig::default());
    let masked = spec.linux.as_mut().unwrap().masked_paths.take().unwrap();
    assert_eq!(masked[..2], ["/proc/acpi", "/proc/asound"]);
    assert!(masked.len() >= 12);
    assert_eq!(crate::json::to_string(&spec), DEFAULT.replace("CAPS", CAPS));
}

#[test]
fn a_privileged_container_has_everything_and_nothing_masked() {
    let spec = built(
        Config::default(),
        HostConfig {
            privileged: Some(true),
            ..HostConfig::default()
        },
    );
    let linux = spec.linux.unwrap();
    assert_eq!(linux.masked_paths, None);
    assert_eq!(linux.readonly_paths, None);
    let rules = linux.resources.unwrap().devices.unwrap();
    assert_eq!((rules.len(), rules[0].allow), (1, Some(true)));
    let mounts = spec.mounts.unwrap();
    assert!(
        mounts[3]
            .options
            .as_ref()
            .unwrap()
            .contains(&"rw".to_string())
    );
    let bounding = spec
        .process
        .unwrap()
        .capabilities
        .unwrap()
        .bounding
        .unwrap();
    assert_eq!(bounding.len(), 41);
}

#[test]
fn limits_become_resources() {
    let spec = built(
        Config::default(),
        HostConfig {
            memory: Some(64 << 20),
            nano_cpus: Some(500_000_000),
            pids_limit: Some(10),
            cpuset_cpus: Some("0".into()),
            ..HostConfig::default()
        },
    );
    let resources = spec.linux.unwrap().resources.unwrap();
    let memory = resources.memory.unwrap();
    assert_eq!(
        (memory.limit, memory.swap),
        (Some(64 << 20), Some(128 << 20))
    );
    let cpu = resources.cpu.unwrap();
    assert_eq!((cpu.quota, cpu.period), (Some(50_000), Some(100_000)));
    assert_eq!(cpu.cpus.as_deref(), Some("0"));
    assert_eq!(resources.pids.unwrap().limit, Some(10));
}

#[test]
fn a_users_mount_takes_the_place_of_a_default_one() {
    let spec = built(
        Config::default(),
        HostConfig {
            binds: words(&[
                "/srv/a/b:/a/b/c:ro",
                "/srv/hosts:/etc/hosts",
                "/srv/shm:/dev/shm",
            ]),
            ..HostConfig::default()
        },
    );
    let mounts = spec.mounts.unwrap();
    let at = |path: &str| -> Vec<&spec::Mount> {
        let here = |mount: &&spec::Mount| mount.destination.as_deref() == Some(path);
        mounts.iter().filter(here).collect()
    };
    assert_eq!(at("/etc/hosts").len(), 1);
    assert_eq!(at("/etc/hosts")[0].source.as_deref(), Some("/srv/hosts"));
    assert_eq!(at("/dev/shm")[0].kind.as_deref(), Some("bind"));
    assert_eq!(
        at("/a/b/c")[0].options,
        words(&["rbind", "rprivate", "rro"])
    );
    // Deeper ones come later.
    assert_eq!(
        mounts.last().unwrap().destination.as_deref(),
        Some("/a/b/c")
    );
}

#[test]
fn the_init_is_our_own_binary() {
    let spec = built(
        Config::default(),
        HostConfig {
            init: Some(true),
            ..HostConfig::default()
        },
    );
    let args = spec.process.unwrap().args;
    assert_eq!(
        args,
        words(&["/sbin/docker-init", "--", "sh", "-c", "true"])
    );
    let mounts = spec.mounts.unwrap();
    let init = mounts.last().unwrap();
    assert_eq!(init.source.as_deref(), Some("/usr/bin/tug"));
    assert_eq!(init.options, words(&["bind", "ro"]));
}

#[test]
fn the_hosts_network_is_no_namespace_and_no_sysctls() {
    let spec = built(
        Config::default(),
        HostConfig {
            network_mode: Some("host".into()),
            ..HostConfig::default()
        },
    );
    let linux = spec.linux.unwrap();
    assert!(linux.sysctl.unwrap().is_empty());
    let kinds: Vec<String> = linux
        .namespaces
        .unwrap()
        .into_iter()
        .filter_map(|n| n.kind)
        .collect();
    assert_eq!(kinds, ["mount", "uts", "pid", "ipc", "cgroup", "time"]);
}

#[test]
fn variables_replace_each_other_by_name() {
    let mut env = vec![
        "PATH=/bin".to_string(),
        "A=1".to_string(),
        "B=2".to_string(),
    ];
    let more = ["A=3", "B", "C=4", "D"].map(str::to_string);
    replace_env(&mut env, &more);
    assert_eq!(env, ["PATH=/bin", "A=3", "C=4"]);
}

#[test]
fn an_exec_is_the_containers_process_but_for_what_it_says() {
    let config = Config {
        env: words(&["A=1"]),
        user: Some("app".into()),
        working_dir: Some("/srv".into()),
        ..Config::default()
    };
    let container = container(config, HostConfig::default());
    let request = crate::wire::exec::CreateRequest {
        cmd: words(&["ls"]),
        env: words(&["A=2", "B=3"]),
        tty: Some(true),
        user: Some("0:0".into()),
        console_size: Some(vec![24, 80]),
        ..Default::default()
    };
    let process = exec_process(&container, &request, &Options::default());
    assert_eq!(process.args, words(&["ls"]));
    assert_eq!(process.cwd.as_deref(), Some("/srv"));
    assert_eq!(process.user.unwrap().username.as_deref(), Some("0:0"));
    let size = process.console_size.unwrap();
    assert_eq!((size.height, size.width), (Some(24), Some(80)));
    let env = process.env.unwrap();
    assert!(env.contains(&"TERM=xterm".to_string()));
    assert_eq!(env[env.len() - 2..], ["A=2", "B=3"]);
}
