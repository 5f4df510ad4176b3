//! `tug create`, and the options that it shares with `run`.
//!
//! To offer one more of Docker's options, add a row to `FLAGS`: it says where the value goes in
//! the request. What needs more than storing is a function in `values`.

use super::options::{ANY, Flag, Options, Verb, flag, hint};
use super::progress::Shown;
use super::remote::{Engine, parse};
use super::{human, limits, mount, ports, print, pull, values};
use crate::error::{Error, Kind, Result};
use crate::http::client::Body;
use crate::http::query;
use crate::image::reference::Reference;
use crate::json;
use crate::json::map::Map;
use crate::oci::image::HealthConfig;
use crate::wire::container::{Config, HostConfig, NetworkingConfig, Placement, RestartPolicy};
use std::net::IpAddr;

pub const VERB: Verb = Verb {
    names: &["create", "container create"],
    usage: "[OPTIONS] IMAGE [COMMAND] [ARG...]",
    about: "Create a new container",
    flags: &[FLAGS, limits::SHARED, limits::OWN],
    args: (1, ANY),
    has_command: true,
    main,
};

/// What the options fill in.
#[derive(Default)]
pub struct Create {
    pub config: Config,
    pub host: HostConfig,
    /// Networks in the order given.
    pub networks: Vec<mount::Network>,
}

/// Where an option's value goes.
#[derive(Clone, Copy)]
pub enum Place {
    /// Nowhere: the verb looks for it.
    Kept,
    Switch(fn(&mut Create) -> &mut Option<bool>),
    Text(fn(&mut Create) -> &mut Option<String>),
    /// Each time one more.
    List(fn(&mut Create) -> &mut Option<Vec<String>>),
    /// `name=value`, each time one more.
    Pairs(fn(&mut Create) -> &mut Option<Map<String>>),
    Integer(fn(&mut Create) -> &mut Option<i64>),
    /// `1m30s`, kept in nanoseconds.
    Duration(fn(&mut Create) -> &mut Option<i64>),
    /// `512m`.
    Bytes(fn(&mut Create) -> &mut Option<i64>),
    Other(fn(&mut Create, &str) -> Result<()>),
}

/// The options of `create`; `run` has them too.
pub const FLAGS: &[Flag] = &[
    flag(
        "--add-host list",
        "Add a custom host-to-IP mapping (host:ip)",
    )
    .into(Place::Other(values::add_host)),
    flag(
        "--annotation map",
        "Add an annotation to the container (passed through to the OCI runtime)",
    )
    .into(Place::Pairs(|c| &mut c.host.annotations)),
    flag("-a, --attach list", "Attach to STDIN, STDOUT or STDERR")
        .into(Place::Other(values::attach)),
    flag("--cap-add list", "Add Linux capabilities").into(Place::List(|c| &mut c.host.cap_add)),
    flag("--cap-drop list", "Drop Linux capabilities").into(Place::List(|c| &mut c.host.cap_drop)),
    flag(
        "--cgroup-parent string",
        "Optional parent cgroup for the container",
    )
    .into(Place::Text(|c| &mut c.host.cgroup_parent)),
    flag(
        "--cgroupns string",
        "Cgroup namespace to use (host|private)",
    )
    .into(Place::Text(|c| &mut c.host.cgroupns_mode)),
    flag("--cidfile string", "Write the container ID to the file"),
    flag("--cpu-count int", "CPU count (Windows only)")
        .into(Place::Integer(|c| &mut c.host.cpu_count)),
    flag("--cpu-percent int", "CPU percent (Windows only)")
        .into(Place::Integer(|c| &mut c.host.cpu_percent)),
    flag(
        "--critical",
        "Feed the board's watchdog only while this container is well",
    )
    .into(Place::Switch(|c| &mut c.host.critical)),
    flag("--device list", "Add a host device to the container").into(Place::Other(values::device)),
    flag(
        "--device-cgroup-rule list",
        "Add a rule to the cgroup allowed devices list",
    )
    .into(Place::Other(values::device_cgroup_rule)),
    flag(
        "--device-match match",
        "Add host devices by what they are, also those that come later: subsystem=, devname=, vendor=, product=, serial=, perm=rwm, mode=, wait, on-remove=SIGNAL",
    )
    .into(Place::Other(mount::device_match)),
    flag(
        "--disable-content-trust",
        "Skip image verification (default true)",
    ),
    flag("--dns list", "Set custom DNS servers").into(Place::Other(values::dns)),
    flag("--dns-option list", "Set DNS options").into(Place::List(|c| &mut c.host.dns_options)),
    flag("--dns-search list", "Set custom DNS search domains")
        .into(Place::Other(values::dns_search)),
    flag("--domainname string", "Container NIS domain name")
        .into(Place::Text(|c| &mut c.config.domainname)),
    flag(
        "--entrypoint string",
        "Overwrite the default ENTRYPOINT of the image",
    )
    .into(Place::Other(values::entrypoint)),
    flag("-e, --env list", "Set environment variables"),
    flag("--env-file list", "Read in a file of environment variables"),
    flag("--expose list", "Expose a port or a range of ports").into(Place::Other(ports::expose)),
    flag(
        "--gpus gpu-request",
        "GPU devices to add to the container ('all' to pass all GPUs)",
    )
    .into(Place::Other(mount::gpus)),
    flag("--group-add list", "Add additional groups to join")
        .into(Place::List(|c| &mut c.host.group_add)),
    flag("--health-cmd string", "Command to run to check health")
        .into(Place::Other(values::health_cmd)),
    flag(
        "--health-interval duration",
        "Time between running the check (ms|s|m|h) (default 0s)",
    )
    .into(Place::Duration(|c| &mut health(c).interval)),
    flag(
        "--health-probe url",
        "Check health without a command: http://:PORT/PATH, tcp://:PORT, unix:///PATH, file:/PATH?max-age=30s, process:NAME, pressure:memory=20",
    )
    .into(Place::Other(values::health_probe)),
    flag(
        "--health-retries int",
        "Consecutive failures needed to report unhealthy",
    )
    .into(Place::Integer(|c| &mut health(c).retries)),
    flag(
        "--health-start-interval duration",
        "Time between running the check during the start period (ms|s|m|h) (default 0s)",
    )
    .into(Place::Duration(|c| &mut health(c).start_interval)),
    flag(
        "--health-start-period duration",
        "Start period for the container to initialize before starting health-retries countdown (ms|s|m|h) (default 0s)",
    )
    .into(Place::Duration(|c| &mut health(c).start_period)),
    flag(
        "--health-timeout duration",
        "Maximum time to allow one check to run (ms|s|m|h) (default 0s)",
    )
    .into(Place::Duration(|c| &mut health(c).timeout)),
    flag("-h, --hostname string", "Container host name")
        .into(Place::Text(|c| &mut c.config.hostname)),
    flag(
        "--init",
        "Run an init inside the container that forwards signals and reaps processes",
    )
    .into(Place::Switch(|c| &mut c.host.init)),
    flag("-i, --interactive", "Keep STDIN open even if not attached")
        .into(Place::Switch(|c| &mut c.config.open_stdin)),
    flag(
        "--io-maxbandwidth bytes",
        "Maximum IO bandwidth limit for the system drive (Windows only)",
    )
    .into(Place::Bytes(|c| &mut c.host.io_maximum_bandwidth)),
    flag(
        "--io-maxiops uint",
        "Maximum IOps limit for the system drive (Windows only)",
    )
    .into(Place::Integer(|c| &mut c.host.io_maximum_iops)),
    flag("--ip string", "IPv4 address (e.g., 172.30.100.104)"),
    flag("--ip6 string", "IPv6 address (e.g., 2001:db8::33)"),
    flag("--ipc string", "IPC mode to use").into(Place::Text(|c| &mut c.host.ipc_mode)),
    flag("--isolation string", "Container isolation technology")
        .into(Place::Text(|c| &mut c.host.isolation)),
    flag("-l, --label list", "Set meta data on a container").into(Place::Other(values::label)),
    flag(
        "--label-file list",
        "Read in a line delimited file of labels",
    )
    .into(Place::Other(values::label_file)),
    flag("--link list", "Add link to another container").into(Place::Other(values::link)),
    flag(
        "--link-local-ip list",
        "Container IPv4/IPv6 link-local addresses",
    ),
    flag(
        "--log-driver string",
        "Logging driver for the container: json-file, local, ring, syslog, journald, kmsg, none",
    )
    .into(Place::Text(|c| {
        &mut c.host.log_config.get_or_insert_default().kind
    })),
    flag(
        "--log-opt list",
        "Log driver options: max-size=10m (-1: no end), max-file=3, mode, tag, labels, env",
    )
    .into(Place::Pairs(|c| {
        &mut c.host.log_config.get_or_insert_default().config
    })),
    flag(
        "--mac-address string",
        "Container MAC address (e.g., 92:d0:c6:0a:29:33)",
    )
    .into(Place::Other(values::mac_address)),
    flag(
        "--mount mount",
        "Attach a filesystem mount to the container",
    )
    .into(Place::Other(mount::mount)),
    flag("--name string", "Assign a name to the container"),
    flag("--network network", "Connect a container to a network")
        .into(Place::Other(mount::network)),
    flag(
        "--network-alias list",
        "Add network-scoped alias for the container",
    ),
    flag(
        "--no-healthcheck",
        "Disable any container-specified HEALTHCHECK",
    ),
    flag("--pid string", "PID namespace to use").into(Place::Text(|c| &mut c.host.pid_mode)),
    flag(
        "--platform string",
        "Set platform if server is multi-platform capable",
    ),
    flag("--privileged", "Give extended privileges to this container")
        .into(Place::Switch(|c| &mut c.host.privileged)),
    flag(
        "-p, --publish list",
        "Publish a container's port(s) to the host",
    )
    .into(Place::Other(ports::publish)),
    flag(
        "-P, --publish-all",
        "Publish all exposed ports to random ports",
    )
    .into(Place::Switch(|c| &mut c.host.publish_all_ports)),
    flag(
        "--pull string",
        "Pull image before running (\"always\", \"missing\", \"never\") (default \"missing\")",
    ),
    flag("-q, --quiet", "Suppress the pull output"),
    flag(
        "--read-only",
        "Mount the container's root filesystem as read only",
    )
    .into(Place::Switch(|c| &mut c.host.readonly_rootfs)),
    flag(
        "--rm",
        "Automatically remove the container and its associated anonymous volumes when it exits",
    )
    .into(Place::Switch(|c| &mut c.host.auto_remove)),
    flag("--runtime string", "Runtime to use for this container")
        .into(Place::Text(|c| &mut c.host.runtime)),
    flag("--security-opt list", "Security Options").into(Place::Other(values::security_opt)),
    flag("--shm-size bytes", "Size of /dev/shm").into(Place::Bytes(|c| &mut c.host.shm_size)),
    flag("--stop-signal string", "Signal to stop the container")
        .into(Place::Text(|c| &mut c.config.stop_signal)),
    flag(
        "--stop-timeout int",
        "Timeout (in seconds) to stop a container",
    )
    .into(Place::Integer(|c| &mut c.config.stop_timeout)),
    flag(
        "--storage-opt list",
        "size=10G: what the container may write",
    )
    .into(Place::Other(values::storage_opt)),
    flag("--sysctl map", "Sysctl options").into(Place::Other(values::sysctl)),
    flag("--tmpfs list", "Mount a tmpfs directory").into(Place::Other(values::tmpfs)),
    flag("-t, --tty", "Allocate a pseudo-TTY").into(Place::Switch(|c| &mut c.config.tty)),
    flag(
        "-u, --user string",
        "Username or UID (format: <name|uid>[:<group|gid>])",
    )
    .into(Place::Text(|c| &mut c.config.user)),
    flag("--userns string", "User namespace to use").into(Place::Text(|c| &mut c.host.userns_mode)),
    flag("--uts string", "UTS namespace to use").into(Place::Text(|c| &mut c.host.uts_mode)),
    flag("-v, --volume list", "Bind mount a volume").into(Place::Other(values::volume)),
    flag(
        "--volume-driver string",
        "Optional volume driver for the container",
    )
    .into(Place::Text(|c| &mut c.host.volume_driver)),
    flag(
        "--volumes-from list",
        "Mount volumes from the specified container(s)",
    )
    .into(Place::List(|c| &mut c.host.volumes_from)),
    flag(
        "-w, --workdir string",
        "Working directory inside the container",
    )
    .into(Place::Text(|c| &mut c.config.working_dir)),
];

fn main(engine: &Engine, options: &Options) -> Result<u8> {
    let create = request(options)?;
    let id = send(engine, options, create).map_err(|error| match error.kind {
        Kind::Run => error.with_kind(Kind::Invalid),
        _ => error,
    })?;
    print::line(&id)?;
    Ok(0)
}

/// The request that the options and arguments ask for; streams are attached as `run` without
/// `--detach` does.
pub fn request(options: &Options) -> Result<Create> {
    let mut create = Create::default();
    for (flag, value) in options.given() {
        place(&mut create, flag, value)?;
    }
    create.config.env = values::env(options)?;
    values::settle_capabilities(&mut create.host);
    values::check(options, &create)?;
    networks(options, &mut create)?;
    if options.is("no-healthcheck") {
        health(&mut create).test = Some(vec!["NONE".to_string()]);
    }
    create.host.container_id_file = options.get("cidfile").map(str::to_string);

    let mut args = options.args.iter().cloned();
    create.config.image = args.next();
    let command: Vec<String> = args.collect();
    create.config.cmd = (!command.is_empty()).then_some(command);
    create
        .host
        .network_mode
        .get_or_insert_with(|| "default".to_string());
    create
        .host
        .restart_policy
        .get_or_insert_with(|| RestartPolicy {
            name: Some("no".to_string()),
            maximum_retry_count: None,
        });

    let restarts = create
        .host
        .restart_policy
        .as_ref()
        .and_then(|p| p.name.as_deref());
    if create.host.auto_remove == Some(true) && restarts != Some("no") {
        return Err(Error::new(
            Kind::Run,
            "conflicting options: cannot specify both --restart and --rm",
        ));
    }
    let config = &mut create.config;
    if options.get("attach").is_none() {
        config.attach_stdout = Some(true);
        config.attach_stderr = Some(true);
    }
    if config.open_stdin == Some(true) {
        config.attach_stdin = Some(true);
    }
    config.stdin_once = Some(config.open_stdin == Some(true) && config.attach_stdin == Some(true));
    Ok(create)
}

fn health(create: &mut Create) -> &mut HealthConfig {
    create.config.healthcheck.get_or_insert_default()
}

/// What options of the first network may not say a second time.
const ONCE: [(&str, &str); 5] = [
    ("network-alias", "alias"),
    ("ip", "IPv4 address"),
    ("ip6", "IPv6 address"),
    ("mac-address", "MAC address"),
    ("link-local-ip", "link-local IP addresses"),
];

/// The first network is the mode, and what the options say of addresses is of that one.
fn networks(options: &Options, create: &mut Create) -> Result<()> {
    let is_given = ONCE.iter().any(|(option, _)| options.get(option).is_some());
    if create.networks.is_empty() && is_given {
        mount::network(create, "default")?;
    }
    let networks = &mut create.networks;
    let Some(first) = networks.first_mut() else {
        return Ok(());
    };
    for (option, what) in ONCE {
        let given: Vec<String> = options.all(option).map(str::to_string).collect();
        let Some(last) = given.last().cloned() else {
            continue;
        };
        let (endpoint, ipam) = (&mut first.endpoint, &mut first.ipam);
        let had_one = match option {
            "network-alias" => endpoint.aliases.replace(given).is_some(),
            "link-local-ip" => ipam.local.replace(given).is_some(),
            "ip" => ipam.v4.replace(last).is_some(),
            "ip6" => ipam.v6.replace(last).is_some(),
            _ => endpoint.mac_address.replace(last).is_some(),
        };
        if had_one {
            return Err(values::run(format!(
                "conflicting options: cannot specify both --{option} and per-network {what}"
            )));
        }
    }
    create.host.network_mode = Some(first.name.clone());
    if first.is_users() {
        first.endpoint.links.clone_from(&create.host.links);
    }
    for network in &*networks {
        network.check()?;
    }
    let is_users = networks.iter().map(mount::Network::is_users);
    if is_users.clone().any(|is| is) && !is_users.clone().all(|is| is) {
        return Err(values::run(
            "conflicting options: cannot attach both user-defined and non-user-defined network-modes"
                .to_string(),
        ));
    }
    Ok(())
}

/// Put one option's value where its row says.
pub fn place(create: &mut Create, flag: &'static Flag, value: &str) -> Result<()> {
    match flag.place {
        Place::Kept => {}
        Place::Switch(at) => *at(create) = Some(flag.boolean(value)?),
        Place::Text(at) => *at(create) = Some(value.to_string()),
        Place::List(at) => at(create).get_or_insert_default().push(value.to_string()),
        Place::Pairs(at) => {
            let (name, value) = value.split_once('=').unwrap_or((value, ""));
            let pairs = at(create).get_or_insert_default();
            pairs.insert(name.to_string(), value.to_string());
        }
        Place::Integer(at) => *at(create) = Some(flag.integer(value)?),
        Place::Duration(at) => {
            let nanos = values::duration(value).map_err(|why| flag.invalid(value, why))?;
            *at(create) = Some(nanos);
        }
        Place::Bytes(at) => {
            let bytes = human::parse_size(value).map_err(|error| flag.invalid(value, error))?;
            *at(create) = Some(bytes);
        }
        Place::Other(set) => set(create, value).map_err(|error| match error.kind {
            Kind::Run => error,
            _ => flag.invalid(value, error),
        })?,
    }
    Ok(())
}

/// Have the engine create the container; answers its id.
pub fn send(engine: &Engine, options: &Options, create: Create) -> Result<String> {
    let policy = options.get("pull").unwrap_or("missing");
    let image = create.config.image.clone().unwrap_or_default();
    let get = || {
        let shown = match options.is("quiet") {
            true => Shown::Nothing,
            false => Shown::Err,
        };
        let reference = Reference::parse(&image)?.with_default_tag();
        pull::pull(engine, &reference, options.get("platform"), shown)
    };
    if policy == "always" {
        get()?;
    }
    let cidfile = options.get("cidfile").map(CidFile::new).transpose()?;

    warn_of_localhost(&create)?;
    let mut path = String::from("/containers/create?");
    for (name, value) in [
        ("name", options.get("name")),
        ("platform", options.get("platform")),
    ] {
        if let Some(value) = value {
            path.push_str(&format!("{name}={}&", query::encode(value)));
        }
    }
    let text = body(create);
    let path = path.trim_end_matches(['?', '&']);
    let send_create = || engine.send("POST", path, Body::Json(&text));
    let text = match send_create() {
        Err(error)
            if error.kind == Kind::NotFound && policy == "missing" && is_no_image(&error) =>
        {
            if !options.is("quiet") {
                let name = Reference::parse(&image).map(|name| name.with_default_tag().familiar());
                let name = name.unwrap_or_else(|_| image.clone());
                print::err(format!("Unable to find image '{name}' locally\n"))?;
            }
            get()?;
            send_create()?.text()?
        }
        answer => answer?.text()?,
    };
    let created = parse(&text)?;
    for warning in created.at("Warnings").items() {
        print::err(format!("WARNING: {}\n", warning.text()))?;
    }
    let id = created.at("Id").text();
    if let Some(file) = cidfile {
        file.write(&id)?;
    }
    Ok(id)
}

/// Its own loopback is all that a container finds there.
fn warn_of_localhost(create: &Create) -> Result<()> {
    for address in create.host.dns.iter().flatten() {
        if address.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback()) {
            print::err(format!(
                "WARNING: Localhost DNS ({address}) may fail in containers.\n"
            ))?;
        }
    }
    Ok(())
}

/// `--cidfile`: made before the container is, so that none is without it.
struct CidFile<'a> {
    path: &'a str,
    is_written: bool,
}

impl CidFile<'_> {
    fn new(path: &str) -> Result<CidFile<'_>> {
        if std::path::Path::new(path).exists() {
            return Err(values::run(format!(
                "container ID file found, make sure the other container isn't running or delete {path}"
            )));
        }
        std::fs::File::create_new(path).map_err(|error| {
            let what = format_args!("failed to create the container ID file: open {path}");
            Error::io(what, &error)
        })?;
        Ok(CidFile {
            path,
            is_written: false,
        })
    }

    fn write(mut self, id: &str) -> Result<()> {
        let path = self.path;
        std::fs::write(path, id).map_err(|error| {
            let what = format_args!("failed to write the container ID to the file ({path})");
            Error::io(what, &error)
        })?;
        self.is_written = true;
        Ok(())
    }
}

impl Drop for CidFile<'_> {
    fn drop(&mut self) {
        // There is no container that it could name.
        if !self.is_written {
            let _ = std::fs::remove_file(self.path);
        }
    }
}

/// Other things than the image may be missing.
fn is_no_image(error: &Error) -> bool {
    error.message.contains("No such image")
}

/// The request: one object with the members of both.
pub fn body(create: Create) -> String {
    let config = json::to_string(&create.config);
    let placement = json::to_string(&Placement {
        host_config: Some(create.host),
        networking_config: mount::endpoints(create.networks).map(|endpoints| NetworkingConfig {
            endpoints_config: Some(endpoints),
        }),
    });
    let config = config.strip_suffix('}').unwrap_or_default();
    format!(
        "{config},{}",
        placement.strip_prefix('{').unwrap_or_default()
    )
}

/// A failure of `run` or `create` exits with 125 unless the engine's sentence says more (Docker's
/// toStatusError).
pub fn run_error(error: Error) -> Error {
    let kind = match error.kind {
        Kind::Help | Kind::Usage | Kind::CannotInvoke | Kind::ProgramMissing => return error,
        Kind::Gone => Kind::Run,
        _ => Kind::of_words(&error.message).unwrap_or(Kind::Run),
    };
    error.with_kind(kind)
}

/// Errors of usage carry the usage line.
pub fn with_hint(verb: &Verb, error: Error) -> Error {
    match error.kind {
        Kind::Usage => Error::new(Kind::Usage, format!("{}\n\n{}", error.message, hint(verb))),
        _ => error,
    }
}
