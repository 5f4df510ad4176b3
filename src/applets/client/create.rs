//! `tug create`, and the options that it shares with `run`.
//!
//! To offer one more of Docker's options, add a row to `FLAGS`: it says where the value goes in
//! the request. What needs more than storing is a function in `values`.

use super::options::{ANY, Flag, Options, Verb, flag, hint};
use super::remote::{Engine, parse};
use super::{human, print, values};
use crate::error::{Error, Kind, Result};
use crate::http::client::Body;
use crate::http::query;
use crate::json;
use crate::wire::container::{Config, HostConfig, Placement, RestartPolicy};
use std::collections::BTreeMap;

pub const VERB: Verb = Verb {
    names: &["create", "container create"],
    usage: "[OPTIONS] IMAGE [COMMAND] [ARG...]",
    about: "Create a new container",
    flags: &[FLAGS],
    args: (1, ANY),
    has_command: true,
    main,
};

/// What the options fill in.
#[derive(Default)]
pub struct Create {
    pub config: Config,
    pub host: HostConfig,
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
    Pairs(fn(&mut Create) -> &mut Option<BTreeMap<String, String>>),
    Integer(fn(&mut Create) -> &mut Option<i64>),
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
    .into(Place::List(|c| &mut c.host.extra_hosts)),
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
    flag(
        "--cpu-period int",
        "Limit CPU CFS (Completely Fair Scheduler) period",
    )
    .into(Place::Integer(|c| &mut c.host.cpu_period)),
    flag(
        "--cpu-quota int",
        "Limit CPU CFS (Completely Fair Scheduler) quota",
    )
    .into(Place::Integer(|c| &mut c.host.cpu_quota)),
    flag("-c, --cpu-shares int", "CPU shares (relative weight)")
        .into(Place::Integer(|c| &mut c.host.cpu_shares)),
    flag("--cpus decimal", "Number of CPUs").into(Place::Other(values::cpus)),
    flag(
        "--cpuset-cpus string",
        "CPUs in which to allow execution (0-3, 0,1)",
    )
    .into(Place::Text(|c| &mut c.host.cpuset_cpus)),
    flag(
        "--cpuset-mems string",
        "MEMs in which to allow execution (0-3, 0,1)",
    )
    .into(Place::Text(|c| &mut c.host.cpuset_mems)),
    flag("--device list", "Add a host device to the container").into(Place::Other(values::device)),
    flag(
        "--device-cgroup-rule list",
        "Add a rule to the cgroup allowed devices list",
    )
    .into(Place::List(|c| &mut c.host.device_cgroup_rules)),
    flag("--dns list", "Set custom DNS servers").into(Place::List(|c| &mut c.host.dns)),
    flag("--dns-option list", "Set DNS options").into(Place::List(|c| &mut c.host.dns_options)),
    flag("--dns-search list", "Set custom DNS search domains")
        .into(Place::List(|c| &mut c.host.dns_search)),
    flag("--domainname string", "Container NIS domain name")
        .into(Place::Text(|c| &mut c.config.domainname)),
    flag(
        "--entrypoint string",
        "Overwrite the default ENTRYPOINT of the image",
    )
    .into(Place::Other(values::entrypoint)),
    flag("-e, --env list", "Set environment variables"),
    flag("--env-file list", "Read in a file of environment variables"),
    flag("--expose list", "Expose a port or a range of ports").into(Place::Other(values::expose)),
    flag("--group-add list", "Add additional groups to join")
        .into(Place::List(|c| &mut c.host.group_add)),
    flag("-h, --hostname string", "Container host name")
        .into(Place::Text(|c| &mut c.config.hostname)),
    flag(
        "--init",
        "Run an init inside the container that forwards signals and reaps processes",
    )
    .into(Place::Switch(|c| &mut c.host.init)),
    flag("-i, --interactive", "Keep STDIN open even if not attached")
        .into(Place::Switch(|c| &mut c.config.open_stdin)),
    flag("--ipc string", "IPC mode to use").into(Place::Text(|c| &mut c.host.ipc_mode)),
    flag("-l, --label list", "Set meta data on a container").into(Place::Other(values::label)),
    flag(
        "--label-file list",
        "Read in a line delimited file of labels",
    )
    .into(Place::Other(values::label_file)),
    flag(
        "--log-driver string",
        "Logging driver for the container: json-file, local, syslog, journald, kmsg, none",
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
    flag("-m, --memory bytes", "Memory limit").into(Place::Bytes(|c| &mut c.host.memory)),
    flag("--memory-reservation bytes", "Memory soft limit")
        .into(Place::Bytes(|c| &mut c.host.memory_reservation)),
    flag(
        "--memory-swap bytes",
        "Swap limit equal to memory plus swap: '-1' to enable unlimited swap",
    )
    .into(Place::Bytes(|c| &mut c.host.memory_swap)),
    flag(
        "--mount mount",
        "Attach a filesystem mount to the container",
    )
    .into(Place::Other(values::mount)),
    flag("--name string", "Assign a name to the container"),
    flag("--network network", "Connect a container to a network")
        .into(Place::Text(|c| &mut c.host.network_mode)),
    flag("--oom-kill-disable", "Disable OOM Killer")
        .into(Place::Switch(|c| &mut c.host.oom_kill_disable)),
    flag(
        "--oom-score-adj int",
        "Tune host's OOM preferences (-1000 to 1000)",
    )
    .into(Place::Other(values::oom_score_adj)),
    flag("--pid string", "PID namespace to use").into(Place::Text(|c| &mut c.host.pid_mode)),
    flag(
        "--pids-limit int",
        "Tune container pids limit (set -1 for unlimited)",
    )
    .into(Place::Integer(|c| &mut c.host.pids_limit)),
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
    .into(Place::Other(values::publish)),
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
        "--restart string",
        "Restart policy to apply when a container exits (default \"no\")",
    )
    .into(Place::Other(values::restart)),
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
    flag("--sysctl map", "Sysctl options").into(Place::Pairs(|c| &mut c.host.sysctls)),
    flag("--tmpfs list", "Mount a tmpfs directory").into(Place::Other(values::tmpfs)),
    flag("-t, --tty", "Allocate a pseudo-TTY").into(Place::Switch(|c| &mut c.config.tty)),
    flag("--ulimit ulimit", "Ulimit options").into(Place::Other(values::ulimit)),
    flag(
        "-u, --user string",
        "Username or UID (format: <name|uid>[:<group|gid>])",
    )
    .into(Place::Text(|c| &mut c.config.user)),
    flag("--userns string", "User namespace to use").into(Place::Text(|c| &mut c.host.userns_mode)),
    flag("--uts string", "UTS namespace to use").into(Place::Text(|c| &mut c.host.uts_mode)),
    flag("-v, --volume list", "Bind mount a volume").into(Place::Other(values::volume)),
    flag(
        "-w, --workdir string",
        "Working directory inside the container",
    )
    .into(Place::Text(|c| &mut c.config.working_dir)),
];

fn main(engine: &Engine, options: &Options) -> Result<u8> {
    let create = request(options)?;
    let id = send(engine, options, create)?;
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
    if config
        .attach_stdin
        .or(config.attach_stdout)
        .or(config.attach_stderr)
        .is_none()
    {
        config.attach_stdin = config.open_stdin;
        config.attach_stdout = Some(true);
        config.attach_stderr = Some(true);
    }
    config.stdin_once = Some(config.open_stdin == Some(true) && config.attach_stdin == Some(true));
    Ok(create)
}

/// Put one option's value where its row says.
fn place(create: &mut Create, flag: &'static Flag, value: &str) -> Result<()> {
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
        Place::Bytes(at) => {
            // `--memory-swap -1`: no limit; the engine says where that makes no sense.
            let bytes = match value {
                "-1" => Ok(-1),
                value => human::parse_size(value),
            };
            *at(create) = Some(bytes.map_err(|error| flag.invalid(value, error))?);
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
    let pull = options.get("pull").unwrap_or("missing");
    if !matches!(pull, "always" | "missing" | "never") {
        return Err(Error::new(
            Kind::Run,
            format!(
                "invalid pull option: '{pull}': must be one of \"always\", \"missing\" or \"never\""
            ),
        ));
    }
    let cidfile = options.get("cidfile");
    if cidfile.is_some_and(|path| std::path::Path::new(path).exists()) {
        return Err(Error::new(
            Kind::Run,
            format!(
                "container ID file found, make sure the other container isn't running or delete {}",
                cidfile.unwrap_or_default()
            ),
        ));
    }
    let image = create.config.image.clone().unwrap_or_default();
    if pull == "always" {
        return Err(no_pull(&image));
    }

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
    let answer = engine.send("POST", path.trim_end_matches(['?', '&']), Body::Json(&text));
    let text = match answer {
        Err(error) if error.kind == Kind::NotFound && pull == "missing" => {
            let name = image.rsplit('/').next().unwrap_or(&image);
            let tag = if name.contains([':', '@']) {
                ""
            } else {
                ":latest"
            };
            print::err(format!("Unable to find image '{image}{tag}' locally\n"))?;
            return Err(no_pull(&image));
        }
        answer => answer?.text()?,
    };
    let created = parse(&text)?;
    for warning in created.at("Warnings").items() {
        print::err(format!("WARNING: {}\n", warning.text()))?;
    }
    let id = created.at("Id").text();
    if let Some(path) = cidfile {
        std::fs::write(path, &id).map_err(|e| Error::io(format_args!("write {path}"), &e))?;
    }
    Ok(id)
}

/// The request: one object with the members of both.
fn body(create: Create) -> String {
    let config = json::to_string(&create.config);
    let placement = json::to_string(&Placement {
        host_config: Some(create.host),
        networking_config: None,
    });
    let config = config.strip_suffix('}').unwrap_or_default();
    format!(
        "{config},{}",
        placement.strip_prefix('{').unwrap_or_default()
    )
}

fn no_pull(image: &str) -> Error {
    Error::new(
        Kind::Run,
        format!(
            "{image}: pulling is not supported yet; add the image with 'tug import' or 'tug load'"
        ),
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
