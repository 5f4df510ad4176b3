//! `tug runtime`: the OCI runtime's command line, with runc's verbs, options and output, so that
//! whatever starts runc can start this.
//!
//! Options are also taken behind the container's id, where runc wants them before it; only
//! `exec` and `ps` leave what follows the id to another program.

mod events;
mod exec;
mod foreground;
mod help;
mod input;
mod log;
mod print;
mod ps;
mod run;
mod spec;
mod update;

use crate::error::{Error, Kind, Result};
use crate::oci;
use crate::runtime::{binary, delete, features, kill, start};
use crate::sys::{process, signal, supervisor};
use help::{need_id, refuse};
use lexopt::prelude::*;
use log::Log;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// What stands before the command.
pub struct Global {
    pub root: PathBuf,
    pub log: Log,
    /// Whether a container may do without a cgroup; `None`: if we are not root.
    pub rootless: Option<bool>,
    /// `--systemd-cgroup`.
    wants_systemd: bool,
}

pub fn main(args: &[OsString]) -> Result<u8> {
    let mut global = Global {
        root: default_root(),
        log: Log::default(),
        rootless: None,
        wants_systemd: false,
    };
    let mut command = String::new();
    let outcome = parse(&mut global, &mut command, args).and_then(|parser| {
        global.log.begin()?;
        dispatch(&global, &command, parser)
    });
    outcome.map_err(|mut error| {
        if matches!(error.kind, Kind::ProgramMissing | Kind::CannotInvoke) {
            error
                .message
                .insert_str(0, "unable to start container process: ");
        }
        let kind = match error.kind {
            Kind::Help => return error,
            // runc's exit codes: 255 where `exec` could not, 1 for all else, also for a command
            // line that cannot be read.
            Kind::Usage => Kind::System,
            _ if command == "exec" => Kind::Exec,
            _ => Kind::System,
        };
        if matches!(kind, Kind::Exec) {
            error.message.insert_str(0, "exec failed: ");
        }
        global.log.error(&error);
        error.with_kind(kind)
    })
}

/// Take the options before the command; answers what stands behind it.
fn parse(global: &mut Global, command: &mut String, args: &[OsString]) -> Result<lexopt::Parser> {
    let mut parser = lexopt::Parser::from_args(args);
    loop {
        match parser.next()? {
            Some(Long("root")) => global.root = PathBuf::from(parser.value()?),
            Some(Long("log")) => global.log.file = Some(PathBuf::from(parser.value()?)),
            Some(Long("log-format")) => global.log.is_json = log_format(&text(&mut parser)?)?,
            Some(Long("rootless")) => global.rootless = rootless(&text(&mut parser)?)?,
            Some(Long("criu")) => drop(parser.value()?),
            Some(Long("debug")) => global.log.is_verbose = true,
            Some(Long("systemd-cgroup")) => global.wants_systemd = true,
            Some(Short('v') | Long("version")) => return Err(Error::new(Kind::Help, version())),
            Some(Value(name)) => {
                *command = name.string()?;
                return Ok(parser);
            }
            Some(other) => return Err(refuse("", other)),
            None => return Err(Error::new(Kind::Help, help::all())),
        }
    }
}

fn dispatch(global: &Global, command: &str, args: lexopt::Parser) -> Result<u8> {
    if matches!(command, "create" | "run" | "exec") {
        leave_host_binary()?;
    }
    let root = &global.root;
    match command {
        "create" => run::create(global, args),
        "run" => run::run(global, args),
        "exec" => exec::main(global, args),
        "spec" => spec::main(args),
        "list" => print::list(global, args),
        "ps" => ps::main(global, args),
        "events" => events::main(global, args),
        "update" => update::main(global, args),
        "state" => print::state(global, &one_id(command, args)?),
        "start" => start::start(root, &one_id(command, args)?).map(|()| 0),
        "pause" => kill::pause(root, &one_id(command, args)?).map(|()| 0),
        "resume" => kill::resume(root, &one_id(command, args)?).map(|()| 0),
        "kill" => kill_one(global, args),
        "delete" => delete_one(global, args),
        "features" => none(command, args)
            .and_then(|()| print::write(&(print::indent(&features::json(), "    ") + "\n"))),
        "checkpoint" | "restore" => Err(no_checkpoint(command, args)),
        "help" | "h" => Err(Error::new(Kind::Help, help::of(&topic(args)?))),
        other => Err(Error::new(
            Kind::Usage,
            format!("No help topic for '{other}': unknown command; see --help"),
        )),
    }
}

/// Under runc's name its containers' callers expect them in runc's place.
fn default_root() -> PathBuf {
    let name = std::env::args_os().next().unwrap_or_default();
    let name = Path::new(&name).file_name().and_then(|name| name.to_str());
    let name = match name.is_some_and(|name| name.starts_with("runc")) {
        true => "runc",
        false => "tug-runtime",
    };
    // Who is not root cannot write to /run, but has a directory for this session.
    let own = std::env::var_os("XDG_RUNTIME_DIR")
        .filter(|dir| !dir.is_empty() && !rustix::process::geteuid().is_root());
    own.map_or(PathBuf::from("/run"), PathBuf::from).join(name)
}

/// runc's lines: containerd, Docker and Podman read all three.
fn version() -> String {
    format!(
        "runc version {0}+tug\ncommit: v{0}\nspec: {1}",
        env!("CARGO_PKG_VERSION"),
        oci::spec::VERSION
    )
}

fn log_format(name: &str) -> Result<bool> {
    match name {
        "json" => Ok(true),
        "text" | "" => Ok(false),
        _ => Err(Error::new(
            Kind::Usage,
            format!("invalid log-format: {name}"),
        )),
    }
}

fn rootless(value: &str) -> Result<Option<bool>> {
    match value {
        "" | "auto" => Ok(None),
        "true" | "1" => Ok(Some(true)),
        "false" | "0" => Ok(Some(false)),
        _ => Err(Error::new(
            Kind::Usage,
            format!("invalid value for --rootless: {value:?} is none of auto, true, false"),
        )),
    }
}

impl Global {
    /// Before a container is made: where systemd's driver is asked for, its groups are expected
    /// where we would not make them. Other commands take the option, as engines always pass it.
    pub fn refuse_systemd(&self) -> Result<()> {
        match self.wants_systemd {
            false => Ok(()),
            true => Err(Error::unsupported(
                "--systemd-cgroup: the systemd cgroup driver is not offered; let the engine use cgroupfs (Docker: native.cgroupdriver=cgroupfs, containerd: SystemdCgroup = false, Podman: --cgroup-manager=cgroupfs)",
            )),
        }
    }
}

/// Execute ourselves again from the protected copy, unless we run from it: what forks container
/// processes must not be the file on the host (CVE-2019-5736).
fn leave_host_binary() -> Result<()> {
    let Some(own) = binary::copy()? else {
        // The kernel names what is executed by descriptor after its number.
        supervisor::set_name(c"tug-runtime");
        return Ok(());
    };
    let args: Vec<String> = strings(std::env::args_os())?;
    let env = std::env::vars_os().map(|(name, value)| {
        let mut both = name;
        both.push("=");
        both.push(value);
        both
    });
    let env = strings(env)?;
    let errno = process::exec_fd(own, &process::c_strings(&args)?, &process::c_strings(&env)?);
    Err(crate::sys::failed("execute", "own binary again", errno))
}

fn strings(list: impl Iterator<Item = OsString>) -> Result<Vec<String>> {
    list.map(|text| {
        text.into_string()
            .map_err(|text| Error::new(Kind::Usage, format!("{text:?} is not UTF-8")))
    })
    .collect()
}

/// An option's value as text.
pub fn text(parser: &mut lexopt::Parser) -> Result<String> {
    Ok(parser.value()?.string()?)
}

/// A command that takes nothing.
fn none(command: &str, mut args: lexopt::Parser) -> Result<()> {
    match args.next()? {
        None => Ok(()),
        Some(arg) => Err(refuse(command, arg)),
    }
}

/// A command that takes an id and nothing else.
fn one_id(command: &str, mut args: lexopt::Parser) -> Result<String> {
    let mut id = None;
    while let Some(arg) = args.next()? {
        match arg {
            Value(value) if id.is_none() => id = Some(value.string()?),
            other => return Err(refuse(command, other)),
        }
    }
    need_id(command, id)
}

fn no_checkpoint(command: &str, mut args: lexopt::Parser) -> Error {
    match args.next() {
        Ok(Some(arg @ (Short('h') | Long("help")))) => refuse(command, arg),
        _ => Error::unsupported(format!(
            "{command} is not supported: containers cannot be checkpointed here"
        )),
    }
}

/// What `help` is asked about.
fn topic(mut args: lexopt::Parser) -> Result<String> {
    match args.next()? {
        Some(Value(name)) => Ok(name.string()?),
        _ => Ok(String::new()),
    }
}

fn kill_one(global: &Global, mut args: lexopt::Parser) -> Result<u8> {
    let (mut all, mut id, mut name) = (false, None, None);
    while let Some(arg) = args.next()? {
        match arg {
            Short('a') | Long("all") => all = true,
            Value(value) if id.is_none() => id = Some(value.string()?),
            Value(value) if name.is_none() => name = Some(value.string()?),
            Value(_) => {
                return Err(Error::new(
                    Kind::Usage,
                    "\"kill\" requires a maximum of 2 argument(s)",
                ));
            }
            other => return Err(refuse("kill", other)),
        }
    }
    let id = need_id("kill", id)?;
    let signal = match name.as_deref() {
        None | Some("") => signal::SIGTERM,
        // Nothing is sent; it is how callers ask whether the container lives.
        Some("0") => 0,
        Some(name) => {
            signal::parse(name).map_err(|_| Error::invalid(format!("unknown signal {name:?}")))?
        }
    };
    match all {
        true => kill::kill_all(&global.root, &id, signal)?,
        false => kill::kill(&global.root, &id, signal)?,
    }
    Ok(0)
}

fn delete_one(global: &Global, mut args: lexopt::Parser) -> Result<u8> {
    let (mut force, mut id) = (false, None);
    while let Some(arg) = args.next()? {
        match arg {
            Short('f') | Long("force") => force = true,
            Value(value) if id.is_none() => id = Some(value.string()?),
            other => return Err(refuse("delete", other)),
        }
    }
    let id = need_id("delete", id)?;
    delete::delete(&global.root, &id, force)?;
    global.log.debug(&format!("removed container {id}"));
    Ok(0)
}
