//! `tug runtime`: the OCI runtime's command line, with runc's verbs, options and output, so that
//! whatever starts runc can start this.

mod exec;
mod foreground;
mod print;
mod run;
mod spec;

use crate::error::{Error, Kind, Result};
use crate::runtime::{binary, delete, kill, start};
use crate::sys::{process, signal, supervisor};
use crate::{json, oci, time};
use lexopt::prelude::*;
use std::ffi::OsString;
use std::io::Write;
use std::path::{Path, PathBuf};

const HELP: &str = "\
Usage: tug runtime [OPTIONS] COMMAND [OPTIONS] [ARGS]

Run containers from OCI bundles, with runc's commands and options

Commands:
  create [-b DIR] ID         make a container and leave it waiting for start
  start ID                   start the program of a created container
  run [-d] [-b DIR] ID       create and start
  exec ID PROGRAM [ARGS]     run another program in a running container
  state ID                   print the state as JSON
  list [-q] [-f json]        list containers
  ps [-f json] ID            list the processes of a container
  events --stats ID          print what the container has used, once, as JSON
  kill [-a] ID [SIGNAL]      send a signal (default TERM)
  pause ID, resume ID        freeze and thaw all processes
  delete [-f] ID             remove a stopped container, or (-f) any
  spec [-b DIR]              write a config.json to start from

Options:
  --root DIR              where states are kept (default /run/tug-runtime;
                          /run/runc when called runc)
  --log FILE              write errors to FILE too
  --log-format FORMAT     text or json
  --debug, --rootless V   accepted, without effect
  -h, --help              print this
  -v, --version           print the version

Options of create, run and exec:
  -b, --bundle DIR        the bundle (default: here); not of exec
  -d, --detach            do not wait for the program; not of create
  --pid-file FILE         write the process's number to FILE
  --console-socket PATH   send the terminal's master to this socket
  --no-pivot, --no-new-keyring
                          accepted: on an initramfs the root is moved by itself
  Of exec: -t, -e NAME=VALUE, -u USER[:GROUP], --cwd DIR, --cap NAME,
  -g GID, --no-new-privs, -p PROCESS.json
";

/// What stands before the command.
pub struct Global {
    pub root: PathBuf,
    log: Option<PathBuf>,
    log_is_json: bool,
}

pub fn main(args: &[OsString]) -> Result<u8> {
    let mut parser = lexopt::Parser::from_args(args);
    let mut global = Global {
        root: default_root(),
        log: None,
        log_is_json: false,
    };
    let command = loop {
        match parser.next()? {
            Some(Long("root")) => global.root = PathBuf::from(parser.value()?),
            Some(Long("log")) => global.log = Some(PathBuf::from(parser.value()?)),
            Some(Long("log-format")) => global.log_is_json = log_format(&text(&mut parser)?)?,
            Some(Long("rootless" | "criu")) => drop(parser.value()?),
            Some(Long("debug")) => {}
            // Groups are made directly: a path for systemd's driver is refused where it is used.
            Some(Long("systemd-cgroup")) => {}
            Some(Short('v') | Long("version")) => return Err(Error::new(Kind::Help, version())),
            Some(Short('h') | Long("help")) => return Err(Error::new(Kind::Help, HELP)),
            Some(Value(command)) => break command.string()?,
            Some(other) => return Err(other.unexpected().into()),
            None => return Err(Error::new(Kind::Help, HELP)),
        }
    };
    let outcome = dispatch(&global, &command, parser);
    if let Err(error) = &outcome {
        global.write_log(error);
    }
    outcome
}

fn dispatch(global: &Global, command: &str, args: lexopt::Parser) -> Result<u8> {
    if matches!(command, "create" | "run" | "exec") {
        leave_host_binary()?;
    }
    match command {
        "create" => run::create(global, args),
        "run" => run::run(global, args),
        "exec" => exec::main(global, args),
        "spec" => spec::main(args),
        "list" => print::list(global, args),
        "ps" => print::ps(global, args),
        "events" => print::events(global, args),
        "state" => print::state(global, &one_id(args)?),
        "start" => start::start(&global.root, &one_id(args)?).map(|()| 0),
        "pause" => kill::pause(&global.root, &one_id(args)?).map(|()| 0),
        "resume" => kill::resume(&global.root, &one_id(args)?).map(|()| 0),
        "kill" => kill_one(global, args),
        "delete" => delete_one(global, args),
        "help" => Err(Error::new(Kind::Help, HELP)),
        other => Err(Error::new(
            Kind::Usage,
            format!("unknown command {other:?}; see --help"),
        )),
    }
}

/// Under runc's name its containers' callers expect them in runc's place.
fn default_root() -> PathBuf {
    let name = std::env::args_os().next().unwrap_or_default();
    let name = Path::new(&name).file_name().and_then(|name| name.to_str());
    PathBuf::from(match name.is_some_and(|name| name.starts_with("runc")) {
        true => "/run/runc",
        false => "/run/tug-runtime",
    })
}

fn version() -> String {
    format!(
        "runc version {} (tug)\nspec: {}",
        env!("CARGO_PKG_VERSION"),
        oci::spec::VERSION
    )
}

fn log_format(name: &str) -> Result<bool> {
    match name {
        "json" => Ok(true),
        "text" => Ok(false),
        _ => Err(Error::new(
            Kind::Usage,
            format!("invalid log-format: {name}"),
        )),
    }
}

impl Global {
    /// containerd and Docker read the reason of a failure here.
    fn write_log(&self, error: &Error) {
        let (Some(path), true) = (&self.log, error.kind != Kind::Help) else {
            return;
        };
        let now = time::Time::now().rfc3339();
        let message = json::to_string(&error.message);
        let line = match self.log_is_json {
            true => format!("{{\"level\":\"error\",\"msg\":{message},\"time\":\"{now}\"}}\n"),
            false => format!("time=\"{now}\" level=error msg={message}\n"),
        };
        // The failure itself goes to standard error whatever happens here.
        let _ = std::fs::OpenOptions::new()
            .append(true)
            .create(true)
            .open(path)
            .and_then(|mut file| file.write_all(line.as_bytes()));
    }
}

/// Execute ourselves again from the protected copy, unless we run from it: what forks container
/// processes must not be the file on the host (CVE-2019-5736).
fn leave_host_binary() -> Result<()> {
    if binary::is_protected()? {
        // The kernel names what is executed by descriptor after its number.
        supervisor::set_name(c"tug-runtime");
        return Ok(());
    }
    let own = binary::protected()?;
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

/// A command that takes an id and nothing else.
fn one_id(mut args: lexopt::Parser) -> Result<String> {
    let mut id = None;
    while let Some(arg) = args.next()? {
        match arg {
            Value(value) if id.is_none() => id = Some(value.string()?),
            Short('h') | Long("help") => return Err(Error::new(Kind::Help, HELP)),
            other => return Err(other.unexpected().into()),
        }
    }
    need_id(id)
}

pub fn need_id(id: Option<String>) -> Result<String> {
    id.ok_or_else(|| Error::new(Kind::Usage, "the container's ID is missing"))
}

fn kill_one(global: &Global, mut args: lexopt::Parser) -> Result<u8> {
    let (mut all, mut id, mut number) = (false, None, signal::SIGTERM);
    while let Some(arg) = args.next()? {
        match arg {
            Short('a') | Long("all") => all = true,
            Value(value) if id.is_none() => id = Some(value.string()?),
            Value(value) => number = signal::parse(&value.string()?)?,
            other => return Err(other.unexpected().into()),
        }
    }
    let id = need_id(id)?;
    match all {
        true => kill::kill_all(&global.root, &id, number)?,
        false => kill::kill(&global.root, &id, number)?,
    }
    Ok(0)
}

fn delete_one(global: &Global, mut args: lexopt::Parser) -> Result<u8> {
    let (mut force, mut id) = (false, None);
    while let Some(arg) = args.next()? {
        match arg {
            Short('f') | Long("force") => force = true,
            Value(value) if id.is_none() => id = Some(value.string()?),
            other => return Err(other.unexpected().into()),
        }
    }
    delete::delete(&global.root, &need_id(id)?, force)?;
    Ok(0)
}
