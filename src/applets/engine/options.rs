//! The engine's flags and its file, `daemon.json`: dockerd's names, forms and refusals.
//!
//! Both become the same thing, a list of texts per flag (`Given`), and are merged; what is in them
//! is understood afterwards, once (`values`).

use super::values;
use crate::applets::client::options::{Flag, Tables, flag, list_flags, read};
use crate::engine::config::{Options, Settings};
use crate::engine::runtimes::Runtimes;
use crate::error::{Context, Error, Kind, Result};
use crate::json::map::Map;
use crate::json::node::Node;
use crate::wire::system::Runtime;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

/// Read where no `--config-file` is given: the first that is there.
const FILES: [&str; 2] = ["/etc/tug/daemon.json", "/etc/docker/daemon.json"];

const ABOUT: &str = "\
Usage: tug engine [OPTION]...

Serve Docker's HTTP API (1.24 to 1.51) and run containers. Stays in the
foreground. SIGTERM ends it, and its containers live on (see --live-restore);
SIGPWR ends both, as the machine goes down. SIGHUP reads the configuration file
again.

Every option can stand in /etc/tug/daemon.json, or where there is none in
/etc/docker/daemon.json, under the name that dockerd has for it there.
(*) is read, checked and kept, and has no effect yet.

Options:
";

const FLAGS: &[Flag] = &[
    flag(
        "--add-runtime runtime",
        "An OCI runtime beside our own: name=path",
    ),
    flag("--bip string", "Address of the bridge: 10.1.0.1/24"),
    flag("--bip6 string", "IPv6 address of the bridge: fd00::1/64"),
    flag(
        "-b, --bridge string",
        "Bridge of containers that ask for no network (default tug0), none: they get no network",
    ),
    flag(
        "--boot-plan string",
        "Go over the plan in this directory, as 'tug boot' asks for: SIGUSR2 is once more, and SIGTERM leaves the containers alone",
    ),
    flag(
        "--boot-stop",
        "Run what the plan has for the end, stop all containers, and end",
    ),
    flag("--cgroup-parent string", "Parent cgroup of all containers"),
    flag("--config-file string", "Read this file and no other"),
    flag(
        "--data-root string",
        "Images and containers (default /var/lib/tug)",
    ),
    flag("-D, --debug", "Tell every request on standard error"),
    flag(
        "--default-address-pool pool",
        "Addresses for networks: base=10.0.0.0/8,size=24",
    ),
    flag(
        "--default-cgroupns-mode string",
        "Cgroup namespace of containers: private (default) or host",
    ),
    flag(
        "--default-gateway ip",
        "Gateway of containers on the default bridge, in place of the bridge itself",
    ),
    flag("--default-gateway-v6 ip", "The same for IPv6"),
    flag(
        "--default-ipc-mode string",
        "IPC namespace of containers: private (default) or shareable",
    ),
    flag(
        "--default-network-opt list",
        "Option of new networks: bridge=com.docker.network.driver.mtu=1400",
    ),
    flag(
        "--default-runtime string",
        "Runtime of containers that name none (default tug)",
    ),
    flag(
        "--default-shm-size bytes",
        "Size of /dev/shm (default 64MiB)",
    ),
    flag(
        "--default-ulimit ulimit",
        "Limits of containers: nofile=1024:2048",
    ),
    flag(
        "--deltas",
        "Pull deltas where the registry has such (default true)",
    ),
    flag("--dns list", "DNS server of containers"),
    flag("--dns-opt list", "DNS option of containers"),
    flag("--dns-search list", "DNS search domain of containers"),
    flag(
        "--exec-opt list",
        "native.cgroupdriver=cgroupfs, the only one there is",
    ),
    flag(
        "--exec-root string",
        "What is true for this boot (default /run/tug)",
    ),
    flag(
        "--firewall-backend string",
        "iptables or nftables, which is what is used in either case",
    ),
    flag(
        "--fixed-cidr string",
        "The part of the default bridge's subnet that containers get addresses of",
    ),
    flag(
        "--fixed-cidr-v6 string",
        "IPv6 subnet of the default bridge",
    ),
    flag("--feature map", "(*) Switch a feature: name=true"),
    flag(
        "-G, --group string",
        "Group of the unix sockets (default docker, where it exists)",
    ),
    flag(
        "-H, --host list",
        "Serve here, may be given more than once: unix://PATH (default EXEC-ROOT/tug.sock), tcp://ADDRESS:PORT, fd:// for sockets of systemd",
    ),
    flag(
        "--host-gateway-ip list",
        "What host-gateway means in --add-host (default: address of the bridge)",
    ),
    flag("--icc", "Let containers talk to each other (default true)"),
    flag(
        "--idle-exit seconds",
        "End when nothing was asked for so long; needs -H fd://, where the next request starts the engine again",
    ),
    flag("--http-proxy string", "Proxy for registries without TLS"),
    flag("--https-proxy string", "Proxy for registries"),
    flag("--init", "Run an init in containers that do not say"),
    flag(
        "--insecure-tcp",
        "Serve TCP to whoever comes: all of them are root on this machine",
    ),
    flag(
        "--insecure-registry list",
        "Registry that may be reached without TLS",
    ),
    flag(
        "--ip ip",
        "Address of the host for published ports (default 0.0.0.0)",
    ),
    flag(
        "--ip-forward",
        "Switch on forwarding of IPv4 (default true)",
    ),
    flag(
        "--ip-masq",
        "Let containers of the default bridge speak to the world (default true)",
    ),
    flag("--ip6tables", "Add rules for IPv6 (default true)"),
    flag("--iptables", "Add rules for IPv4 (default true)"),
    flag("--ipv6", "IPv6 on the default bridge"),
    flag("--label list", "Label of the engine: name=value"),
    flag(
        "--limits string",
        "What becomes of limits that cannot be enforced here: strict (default) refuses them, best-effort warns",
    ),
    flag(
        "--live-restore",
        "Leave containers running when the engine ends (default true; dockerd's is false)",
    ),
    flag(
        "--log-driver string",
        "Log driver of containers: json-file (default), local, ring, syslog, journald, kmsg, none",
    ),
    flag(
        "-l, --log-level string",
        "debug, info (default), warn, error or fatal",
    ),
    flag(
        "--log-opt map",
        "Option of the log driver: max-size=10m (-1: no end), max-file=3",
    ),
    flag(
        "--max-concurrent-downloads int",
        "Layers that are pulled at once (default 3, or 1 below 256 MiB of RAM)",
    ),
    flag(
        "--max-download-attempts int",
        "How often a layer is tried (default 5)",
    ),
    flag("--mtu int", "MTU of the default bridge (default 1500)"),
    flag(
        "--no-new-privileges",
        "Set no-new-privileges for all containers",
    ),
    flag(
        "--no-proxy string",
        "Hosts, domains, networks that need no proxy",
    ),
    flag("-p, --pidfile string", "Write the process id there"),
    flag("--registry-mirror list", "Mirror of Docker's registry"),
    flag(
        "--shutdown-timeout int",
        "Seconds for containers to stop, without --live-restore (default 15)",
    ),
    flag(
        "--signature-policy string",
        "Which images may be here, and whose signatures they need (default /etc/tug/policy.json, if it is there)",
    ),
    flag(
        "-s, --storage-driver string",
        "overlay2, or vfs: a copy of the image for each container (default overlay2, where it can be mounted)",
    ),
    flag(
        "--storage-opt list",
        "overlay2.size=10G: what a container may write that asks for no size (0: all there is)",
    ),
    flag(
        "--store-ro list",
        "Read-only store of images beside the data root: a directory, or one EROFS file (see 'tug store build')",
    ),
    flag(
        "--tls",
        "Serve TCP with TLS; asks for certificates only with --tlsverify",
    ),
    flag(
        "--tlscacert string",
        "Let in those with a certificate of this CA (default ~/.docker/ca.pem)",
    ),
    flag(
        "--tlscert string",
        "The engine's certificate (default ~/.docker/cert.pem)",
    ),
    flag(
        "--tlskey string",
        "The key of that certificate (default ~/.docker/key.pem)",
    ),
    flag(
        "--tlsverify",
        "Serve TCP with TLS, to those with a certificate of the CA",
    ),
    flag(
        "--userland-proxy",
        "Proxy for what rules cannot forward, as from loopback (default true)",
    ),
    flag(
        "--userland-proxy-path string",
        "(*) The proxy is part of this program",
    ),
    flag("--validate", "Check flags and file, and end"),
    flag("-v, --version", "Print the version, and end"),
];

/// How a key of the file says its value.
#[derive(Clone, Copy)]
enum Form {
    Text,
    Switch,
    Number,
    /// A list of texts.
    List,
    /// An object of texts.
    Texts,
    /// An object of `true` and `false`.
    Switches,
    /// An object of `{"Name":…,"Soft":…,"Hard":…}`.
    Limits,
    /// A list of `{"base":…,"size":…}`.
    Pools,
    /// An object of objects of texts.
    NetworkOptions,
    /// An object of `{"path":…,"runtimeArgs":…}`. These add to the flags'.
    Runtimes,
}

/// The file's keys, each with the long name of its flag.
const KEYS: &[(&str, &str, Form)] = &[
    ("bip", "bip", Form::Text),
    ("bip6", "bip6", Form::Text),
    ("bridge", "bridge", Form::Text),
    ("cgroup-parent", "cgroup-parent", Form::Text),
    ("data-root", "data-root", Form::Text),
    ("debug", "debug", Form::Switch),
    ("default-address-pools", "default-address-pool", Form::Pools),
    ("default-cgroupns-mode", "default-cgroupns-mode", Form::Text),
    ("default-gateway", "default-gateway", Form::Text),
    ("default-gateway-v6", "default-gateway-v6", Form::Text),
    ("default-ipc-mode", "default-ipc-mode", Form::Text),
    (
        "default-network-opts",
        "default-network-opt",
        Form::NetworkOptions,
    ),
    ("default-runtime", "default-runtime", Form::Text),
    ("default-shm-size", "default-shm-size", Form::Text),
    ("default-ulimits", "default-ulimit", Form::Limits),
    ("deltas", "deltas", Form::Switch),
    ("dns", "dns", Form::List),
    ("dns-opts", "dns-opt", Form::List),
    ("dns-search", "dns-search", Form::List),
    ("exec-opts", "exec-opt", Form::List),
    ("exec-root", "exec-root", Form::Text),
    ("features", "feature", Form::Switches),
    ("firewall-backend", "firewall-backend", Form::Text),
    ("fixed-cidr", "fixed-cidr", Form::Text),
    ("fixed-cidr-v6", "fixed-cidr-v6", Form::Text),
    ("group", "group", Form::Text),
    ("host-gateway-ip", "host-gateway-ip", Form::Text),
    ("host-gateway-ips", "host-gateway-ip", Form::List),
    ("hosts", "host", Form::List),
    ("icc", "icc", Form::Switch),
    ("idle-exit", "idle-exit", Form::Number),
    ("init", "init", Form::Switch),
    ("insecure-registries", "insecure-registry", Form::List),
    ("insecure-tcp", "insecure-tcp", Form::Switch),
    ("ip", "ip", Form::Text),
    ("ip-forward", "ip-forward", Form::Switch),
    ("ip-masq", "ip-masq", Form::Switch),
    ("ip6tables", "ip6tables", Form::Switch),
    ("iptables", "iptables", Form::Switch),
    ("ipv6", "ipv6", Form::Switch),
    ("labels", "label", Form::List),
    ("limits", "limits", Form::Text),
    ("live-restore", "live-restore", Form::Switch),
    ("log-driver", "log-driver", Form::Text),
    ("log-level", "log-level", Form::Text),
    ("log-opts", "log-opt", Form::Texts),
    (
        "max-concurrent-downloads",
        "max-concurrent-downloads",
        Form::Number,
    ),
    (
        "max-download-attempts",
        "max-download-attempts",
        Form::Number,
    ),
    ("mtu", "mtu", Form::Number),
    ("no-new-privileges", "no-new-privileges", Form::Switch),
    ("pidfile", "pidfile", Form::Text),
    ("registry-mirrors", "registry-mirror", Form::List),
    ("runtimes", "add-runtime", Form::Runtimes),
    ("shutdown-timeout", "shutdown-timeout", Form::Number),
    ("signature-policy", "signature-policy", Form::Text),
    ("storage-driver", "storage-driver", Form::Text),
    ("storage-opts", "storage-opt", Form::List),
    ("store-ro", "store-ro", Form::List),
    ("tls", "tls", Form::Switch),
    ("tlscacert", "tlscacert", Form::Text),
    ("tlscert", "tlscert", Form::Text),
    ("tlskey", "tlskey", Form::Text),
    ("tlsverify", "tlsverify", Form::Switch),
    ("userland-proxy", "userland-proxy", Form::Switch),
    ("userland-proxy-path", "userland-proxy-path", Form::Text),
];

/// Members of the key `proxies`, which are flags' names too.
const PROXIES: [&str; 3] = ["http-proxy", "https-proxy", "no-proxy"];

/// All that the engine was told.
pub struct Config {
    pub options: Options,
    pub settings: Settings,
    pub hosts: Vec<String>,
    pub group: Option<String>,
    pub pidfile: Option<PathBuf>,
    pub tls: Option<TlsFiles>,
    /// TCP without client certificates was asked for.
    pub is_insecure: bool,
    /// End after so long without work.
    pub idle_exit: Option<Duration>,
    /// A plan to go over.
    pub boot_plan: Option<PathBuf>,
    /// Only to stop what runs.
    pub is_stop: bool,
    /// What was given and has no effect yet.
    pub unused: Vec<&'static str>,
    /// `--validate`: end before anything is done.
    pub is_check: bool,
}

/// TLS for TCP.
pub struct TlsFiles {
    /// Whether clients have to show a certificate.
    pub verify: bool,
    pub ca: PathBuf,
    pub certificate: PathBuf,
    pub key: PathBuf,
}

/// Texts by the long name of their flag.
#[derive(Clone, Default)]
pub struct Given {
    texts: Map<Vec<String>>,
    /// Those of the file, which have arguments.
    pub runtimes: Runtimes,
}

impl Given {
    /// The last one counts.
    pub fn text(&self, long: &str) -> Option<&str> {
        self.all(long).last().map(String::as_str)
    }

    pub fn all(&self, long: &str) -> &[String] {
        self.texts.get(long).map_or(&[], Vec::as_slice)
    }

    pub fn switch(&self, long: &str, default: bool) -> bool {
        self.text(long).map_or(default, |value| value == "true")
    }

    fn add(&mut self, long: &'static str, value: String) {
        self.texts.value(long).push(value);
    }
}

/// Understand a command line, with the file that belongs to it.
pub fn parse(args: &[OsString]) -> Result<Config> {
    const TABLES: Tables = &[FLAGS];
    let (given, rest) = read(TABLES, false, args)?;
    if let Some(word) = rest.first() {
        let sentence = format!("unexpected argument '{word}', see --help");
        return Err(Error::new(Kind::Usage, sentence));
    }
    let mut flags = Given::default();
    for (flag, value) in given {
        flags.add(flag.long(), value);
    }
    if flags.switch("help", false) {
        let mut help = ABOUT.to_string();
        list_flags(&mut help, TABLES);
        return Err(Error::new(Kind::Help, help));
    }
    if flags.switch("version", false) {
        let version = concat!("tug engine ", env!("CARGO_PKG_VERSION"));
        return Err(Error::new(Kind::Help, version));
    }
    configure(flags)
}

fn configure(flags: Given) -> Result<Config> {
    let path = match flags.text("config-file") {
        Some(path) => Some(PathBuf::from(path)),
        None => FILES
            .map(PathBuf::from)
            .into_iter()
            .find(|path| path.exists()),
    };
    let mut given = flags;
    if let Some(path) = path {
        let doing = || {
            format!(
                "unable to configure the Docker daemon with file {}",
                path.display()
            )
        };
        let content = std::fs::read_to_string(&path)
            .map_err(|e| Error::io(format_args!("read {}", path.display()), &e))
            .context(doing)?;
        let file = read_file(&content).context(doing)?;
        merge(&mut given, file).context(doing)?;
    }
    understand(&given)
}

/// Take apart what a file says.
fn read_file(content: &str) -> Result<Given> {
    let mut file = Given::default();
    if content.trim().is_empty() {
        return Ok(file);
    }
    let node = Node::new(content, "configuration")?;
    if !node.json().starts_with('{') {
        return Err(Error::invalid("the file must hold one JSON object"));
    }
    let mut unknown = Vec::new();
    for (key, value) in node.pairs() {
        if key == "proxies" {
            for (name, value) in value.pairs() {
                match PROXIES.contains(&name.as_str()) {
                    true => file.texts.insert(name, vec![value.text()]).map_or((), drop),
                    false => unknown.push(format!("proxies.{name}")),
                }
            }
            continue;
        }
        let Some((key, long, form)) = KEYS.iter().find(|(known, _, _)| *known == key) else {
            unknown.push(key);
            continue;
        };
        if value.json() == "null" {
            continue;
        }
        if let Form::Runtimes = form {
            file.runtimes = runtimes(value)?;
            continue;
        }
        let texts = texts(*form, value).ok_or_else(|| {
            Error::invalid(format!(
                "{key} must be {}, not {}",
                wanted(*form),
                value.json()
            ))
        })?;
        file.texts.insert(long.to_string(), texts);
    }
    if !unknown.is_empty() {
        // moby/daemon/config: findConfigurationConflicts.
        return Err(Error::invalid(format!(
            "the following directives don't match any configuration option: {}",
            unknown.join(", ")
        )));
    }
    Ok(file)
}

fn wanted(form: Form) -> &'static str {
    match form {
        Form::Text => "a string",
        Form::Switch => "true or false",
        Form::Number => "a whole number",
        Form::List => "a list of strings",
        Form::Texts => "an object of strings",
        Form::Switches => "an object of true and false",
        Form::Limits => r#"an object such as {"nofile":{"Name":"nofile","Soft":1024,"Hard":2048}}"#,
        Form::NetworkOptions => {
            r#"an object such as {"bridge":{"com.docker.network.driver.mtu":"1400"}}"#
        }
        Form::Pools => r#"a list such as [{"base":"10.0.0.0/8","size":24}]"#,
        Form::Runtimes => r#"an object such as {"crun":{"path":"/usr/bin/crun"}}"#,
    }
}

/// A value as the flag would have it; `None` if it has another form.
fn texts(form: Form, value: Node<'_>) -> Option<Vec<String>> {
    let is_object = value.json().starts_with('{');
    let is_list = value.json().starts_with('[');
    match form {
        Form::Text => Some(vec![string(value)?]),
        Form::Switch => Some(vec![switch(value)?]),
        Form::Number => Some(vec![number(value)?]),
        Form::List if is_list => value.items().into_iter().map(string).collect(),
        Form::Pools if is_list => {
            let pool = |value: Node<'_>| {
                let (base, size) = (string(value.at("base"))?, number(value.at("size"))?);
                Some(format!("base={base},size={size}"))
            };
            value.items().into_iter().map(pool).collect()
        }
        Form::NetworkOptions if is_object => {
            let mut all = Vec::new();
            for (driver, options) in value.pairs() {
                for (name, value) in options.pairs() {
                    all.push(format!("{driver}={name}={}", string(value)?));
                }
            }
            Some(all)
        }
        Form::Texts | Form::Switches | Form::Limits if is_object => {
            let pair = |(name, value): (String, Node<'_>)| {
                let text = match form {
                    Form::Texts => string(value)?,
                    Form::Switches => switch(value)?,
                    _ => format!(
                        "{}:{}",
                        number(value.at("Soft"))?,
                        number(value.at("Hard"))?
                    ),
                };
                Some(format!("{name}={text}"))
            };
            value.pairs().into_iter().map(pair).collect()
        }
        _ => None,
    }
}

fn string(value: Node<'_>) -> Option<String> {
    value.json().starts_with('"').then(|| value.text())
}

fn switch(value: Node<'_>) -> Option<String> {
    matches!(value.json(), "true" | "false").then(|| value.json().to_string())
}

fn number(value: Node<'_>) -> Option<String> {
    value
        .json()
        .parse::<i64>()
        .ok()
        .map(|number| number.to_string())
}

fn runtimes(value: Node<'_>) -> Result<Runtimes> {
    let mut runtimes = Runtimes::new();
    for (name, value) in value.pairs() {
        let wrong = || {
            let wanted = wanted(Form::Runtimes);
            Error::invalid(format!(
                "runtimes.{name} must be {wanted}, not {}",
                value.json()
            ))
        };
        if !value.json().starts_with('{') {
            return Err(wrong());
        }
        let text = |member: &str| match value.at(member) {
            node if node.json() == "null" => Ok(None),
            node => string(node).map(Some).ok_or_else(wrong),
        };
        let args = value.at("runtimeArgs");
        let runtime = Runtime {
            path: text("path")?,
            runtime_args: match args.json() {
                "null" => None,
                _ => Some(texts(Form::List, args).ok_or_else(wrong)?),
            },
            runtime_type: text("runtimeType")?,
        };
        runtimes.insert(name, runtime);
    }
    Ok(runtimes)
}

/// Add what the file says to the flags. What both say must be the same.
fn merge(flags: &mut Given, file: Given) -> Result<()> {
    flags.runtimes = file.runtimes;
    let mut conflicts = Vec::new();
    for (long, texts) in file.texts {
        let key = KEYS.iter().find(|(_, known, _)| *known == long);
        let (key, form) = key.map_or((long.as_str(), Form::Text), |(key, _, form)| (key, *form));
        match flags.texts.get(&long) {
            None => {
                flags.texts.insert(long, texts);
            }
            Some(given) if *given == texts => {}
            Some(given) => {
                let show = |texts: &[String]| match form {
                    Form::Text | Form::Switch | Form::Number => texts.join(" "),
                    _ => format!("[{}]", texts.join(" ")),
                };
                conflicts.push(format!(
                    "{key}: (from flag: {}, from file: {})",
                    show(given),
                    show(&texts)
                ));
            }
        }
    }
    match conflicts.is_empty() {
        true => Ok(()),
        false => Err(Error::invalid(format!(
            "the following directives are specified both as a flag and in the configuration file: {}",
            conflicts.join(", ")
        ))),
    }
}

fn understand(given: &Given) -> Result<Config> {
    let is_unused =
        |flag: &&Flag| flag.about.starts_with("(*)") && !given.all(flag.long()).is_empty();
    let unused = FLAGS.iter().filter(is_unused).map(Flag::long).collect();
    let boot_plan = given.text("boot-plan").map(PathBuf::from);
    let mut options = values::options(given)?;
    options.holds_starts = boot_plan.is_some();
    Ok(Config {
        options,
        boot_plan,
        is_stop: given.switch("boot-stop", false),
        settings: values::settings(given)?,
        hosts: given.all("host").to_vec(),
        group: given.text("group").map(str::to_string),
        pidfile: given.text("pidfile").map(PathBuf::from),
        tls: values::tls(given),
        is_insecure: given.switch("insecure-tcp", false),
        idle_exit: values::idle_exit(given)?,
        unused,
        is_check: given.switch("validate", false),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::config::Level;

    /// The configuration of these flags with this file.
    fn configured(name: &str, args: &[&str], file: &str) -> Result<Config> {
        let path = std::env::temp_dir().join(format!("tug-options-{}-{name}", std::process::id()));
        std::fs::write(&path, file).unwrap();
        let mut all = vec!["--config-file".into(), path.clone().into_os_string()];
        all.extend(args.iter().map(OsString::from));
        let config = parse(&all);
        std::fs::remove_file(path).unwrap();
        config
    }

    fn refusal(name: &str, args: &[&str], file: &str) -> String {
        let error = configured(name, args, file).err().unwrap();
        let words = error.message.split_once(&format!("-{name}: "));
        words.map_or(error.message.clone(), |(_, words)| words.to_string())
    }

    #[test]
    fn flags_are_dockerds() {
        let line = "-H unix:///a --host=fd:// -G 7 --data-root /d -D --live-restore=false --dns 1.1.1.1 \
                    --log-opt max-size=1m --add-runtime crun=/bin/crun --default-ulimit nofile=1:2";
        let args: Vec<&str> = line.split_whitespace().collect();
        let config = configured("flags", &args, "").unwrap();
        assert_eq!(config.hosts, ["unix:///a", "fd://"]);
        assert_eq!(config.group.as_deref(), Some("7"));
        assert_eq!(config.options.data_root, PathBuf::from("/d"));
        assert_eq!(config.options.exec_root, PathBuf::from("/run/tug"));
        assert_eq!(config.options.dns, ["1.1.1.1"]);
        assert_eq!(config.options.log_opts["max-size"], "1m");
        assert_eq!(config.options.default_ulimits[0].hard, Some(2));
        assert_eq!(config.settings.level, Level::Debug);
        assert_eq!(
            config.settings.runtimes["crun"].path.as_deref(),
            Some("/bin/crun")
        );
        assert!(!config.settings.live_restore);
        assert!(config.unused.is_empty());
    }

    #[test]
    fn the_file_says_the_same_as_flags() {
        let file = r#"{
            "data-root": "/d", "hosts": ["unix:///a"], "debug": true, "live-restore": false,
            "log-driver": "local", "log-opts": {"max-size": "1m", "max-file": "3"}, "labels": ["a=b"],
            "runtimes": {"crun": {"path": "crun", "runtimeArgs": ["--debug"]}, "other": {"path": "/o"}},
            "default-runtime": "crun", "init": true, "shutdown-timeout": -1, "default-shm-size": "1g",
            "default-ulimits": {"nofile": {"Name": "nofile", "Hard": 20, "Soft": 10}}, "bip": null,
            "default-address-pools": [{"base": "10.0.0.0/8", "size": 24}], "icc": false,
            "features": {"buildkit": false}, "registry-mirrors": ["https://m"], "userland-proxy": false,
            "proxies": {"https-proxy": "http://p:1", "no-proxy": "a,b"}
        }"#;
        let config = configured("file", &[], file).unwrap();
        let (options, settings) = (&config.options, &config.settings);
        assert_eq!(options.data_root, PathBuf::from("/d"));
        assert_eq!(config.hosts, ["unix:///a"]);
        assert_eq!(options.log_driver, "local");
        assert_eq!(options.log_opts["max-file"], "3");
        assert_eq!(options.shm_size_bytes, 1 << 30);
        assert_eq!(options.default_ulimits[0].soft, Some(10));
        assert_eq!(options.address_pools, [("10.0.0.0/8".to_string(), 24)]);
        assert!(options.init && !options.icc && !options.userland_proxy && options.iptables);
        assert_eq!(settings.level, Level::Debug);
        assert_eq!(settings.shutdown_timeout, None);
        assert_eq!(
            settings.runtimes["crun"].runtime_args.as_deref().unwrap(),
            ["--debug"]
        );
        assert_eq!(settings.default_runtime, "crun");
        assert_eq!(settings.labels, ["a=b"]);
        assert_eq!(settings.registry_mirrors, ["https://m/"]);
        let proxies = &settings.proxies;
        assert_eq!(
            (proxies.http.as_str(), proxies.https.as_str()),
            ("", "http://p:1")
        );
        assert_eq!(proxies.no_proxy, "a,b");
        assert_eq!(settings.features.get("buildkit"), Some(&false));
        let mut unused = config.unused;
        unused.sort_unstable();
        assert_eq!(unused, ["feature"]);
    }

    #[test]
    fn unknown_keys_are_named_in_dockers_words() {
        assert_eq!(
            refusal(
                "unknown",
                &[],
                r#"{"nope": 1, "proxies": {"x": "y"}, "zzz": {}}"#
            ),
            "the following directives don't match any configuration option: nope, proxies.x, zzz"
        );
    }

    #[test]
    fn what_flag_and_file_say_differently_is_refused_in_dockers_words() {
        let file =
            r#"{"hosts": ["unix:///a"], "log-level": "info", "runtimes": {"a": {"path": "/a"}}}"#;
        assert_eq!(
            refusal("both", &["-H", "unix:///b", "-l", "warn"], file),
            "the following directives are specified both as a flag and in the configuration file: \
             hosts: (from flag: [unix:///b], from file: [unix:///a]), \
             log-level: (from flag: warn, from file: info)"
        );
        // The same twice is no conflict, and runtimes add up.
        let args = ["-H", "unix:///a", "--add-runtime", "b=/b"];
        let config = configured("same", &args, file).unwrap();
        assert_eq!(config.settings.runtimes.len(), 2);
        let again = ["--add-runtime", "a=/b"];
        assert_eq!(
            refusal("again", &again, file),
            "runtime 'a' was already defined"
        );
    }

    #[test]
    fn wrong_types_name_the_key() {
        for (file, sentence) in [
            (
                r#"{"debug": "x"}"#,
                r#"debug must be true or false, not "x""#,
            ),
            (
                r#"{"hosts": "unix:///a"}"#,
                r#"hosts must be a list of strings, not "unix:///a""#,
            ),
            (r#"{"dns": [1]}"#, "dns must be a list of strings, not [1]"),
            (
                r#"{"shutdown-timeout": 1.5}"#,
                "shutdown-timeout must be a whole number, not 1.5",
            ),
            (
                r#"{"log-opts": {"max-file": 3}}"#,
                r#"log-opts must be an object of strings, not {"max-file": 3}"#,
            ),
            ("[]", "the file must hold one JSON object"),
            (
                r#"{"debug":"#,
                "configuration: invalid JSON: line 1, column 10: unexpected end",
            ),
        ] {
            assert_eq!(refusal("type", &[], file), sentence);
        }
        let error = refusal("type", &[], r#"{"runtimes": {"a": 1}}"#);
        assert!(error.starts_with("runtimes.a must be an object"), "{error}");
        let error = refusal("type", &[], r#"{"default-ulimits": {"nofile": 1}}"#);
        assert!(
            error.starts_with("default-ulimits must be an object"),
            "{error}"
        );
    }

    #[test]
    fn values_that_cannot_be_are_refused() {
        for (args, sentence) in [
            ("-l loud", "invalid logging level: loud"),
            ("--label a", "bad attribute format: a"),
            ("--label a=1 --label a=2", "conflict labels for a=2 and a=1"),
            ("--dns x", "x is not an ip address"),
            ("--dns-search a/b", "a/b is not a valid domain"),
            (
                "--default-runtime zz",
                "specified default runtime 'zz' does not exist",
            ),
            ("--add-runtime tug=/x", "runtime name 'tug' is reserved"),
            (
                "--default-ipc-mode x",
                "default IPC mode setting (x) is invalid; use \"shareable\" or \"private\"",
            ),
            (
                "--max-concurrent-downloads -1",
                "invalid max concurrent downloads: -1",
            ),
            ("--default-shm-size zz", "invalid size: 'zz'"),
            (
                "--bip 10.0.0.1/33",
                "invalid bip: invalid CIDR address: 10.0.0.1/33",
            ),
            (
                "--bip fd00::1/64",
                "invalid bip: invalid CIDR address: fd00::1/64",
            ),
            (
                "--fixed-cidr-v6 10.0.0.0/8",
                "invalid fixed-cidr-v6: invalid CIDR address: 10.0.0.0/8",
            ),
            (
                "--ip x",
                "invalid argument \"x\" for \"--ip\" flag: invalid string being converted to IP address: x",
            ),
            ("--mtu 10", "invalid mtu: 10"),
            (
                "--firewall-backend x",
                "invalid firewall-backend \"x\": use iptables or nftables",
            ),
            (
                "--default-network-opt a=b",
                "invalid default-network-opt \"a=b\": give DRIVER=OPTION=VALUE",
            ),
            (
                "--exec-opt a=b",
                "invalid exec-opt (a=b): unknown option: 'a'",
            ),
            (
                "--insecure-registry http://x",
                "insecure registry http://x should not contain '://'",
            ),
        ] {
            let args: Vec<&str> = args.split(' ').collect();
            assert_eq!(refusal("value", &args, "{}"), sentence);
        }
        for args in [
            ["--storage-driver", "btrfs"],
            ["--exec-opt", "native.cgroupdriver=systemd"],
            ["--registry-mirror", "m"],
            ["--default-address-pool", "base=x,size=24"],
            ["--shutdown-timeout", "x"],
            ["--feature", "a=b"],
            ["--default-ulimit", "nofile=3:2"],
        ] {
            assert!(configured("value", &args, "").is_err(), "{args:?}");
        }
    }

    #[test]
    fn an_unknown_option_is_an_error_of_usage() {
        let kind = |word: &str| parse(&[word.into()]).err().map(|e| e.kind);
        assert_eq!(kind("--colour"), Some(Kind::Usage));
        assert_eq!(kind("word"), Some(Kind::Usage));
        assert_eq!(kind("--help"), Some(Kind::Help));
        assert_eq!(kind("--version"), Some(Kind::Help));
    }

    #[test]
    fn every_key_of_the_file_has_a_flag() {
        for (key, long, _) in KEYS {
            assert!(FLAGS.iter().any(|flag| flag.long() == *long), "{key}");
        }
    }
}
