//! `tug ctr tasks`: what runs, by its shims.

use super::streams::{self, Session};
use super::{Ctr, print_list, print_table};
use crate::applets::client::options::{Flag, Options, flag};
use crate::applets::client::print;
use crate::cgroup::{self, Group};
use crate::error::{Error, Kind, Result};
use crate::id;
use crate::json::{self, object::Object};
use crate::oci::spec::{ConsoleSize, Process, Spec, User};
use crate::shim::backend::Backend;
use crate::shim::client::{self, Attach, Event, Exec, Shim};
use crate::shim::{config, exit};
use crate::sys::signal;
use crate::sys::{fs, socket, terminal};
use std::os::fd::AsFd;
use std::path::Path;

pub const SIGNAL: &[Flag] = &[flag("-s, --signal string", "Which one (default SIGTERM)")];
pub const FORCE: &[Flag] = &[flag("-f, --force", "Kill it first")];
pub const FORMAT: &[Flag] = &[flag("--format string", "table (default) or json")];
pub const EXEC: &[Flag] = &[
    flag("--cwd string", "Working directory"),
    flag("-d, --detach", "Do not stay with it"),
    flag("-e, --env list", "Set environment variables"),
    flag("--exec-id string", "A name for it"),
    flag("-t, --tty", "Give it a terminal"),
    flag(
        "-u, --user string",
        "A name or number, and a group behind a colon",
    ),
];

/// What a run directory tells.
enum Found {
    /// The shim, and the first process.
    Live(Shim, i32, &'static str),
    Stopped,
    /// A shim is there and does not answer.
    Silent,
}

fn look(run_dir: &Path) -> Found {
    let shim = match client::connect(run_dir) {
        Ok(shim) => shim,
        Err(error) if error.kind == Kind::Gone => return Found::Stopped,
        Err(_) => return Found::Silent,
    };
    let state = match shim.state() {
        Ok(state) => state,
        Err(error) if error.kind == Kind::Gone => return Found::Stopped,
        Err(_) => return Found::Silent,
    };
    if exit::read(run_dir).is_ok_and(|exit| exit.is_some()) {
        return Found::Stopped;
    }
    let is_frozen = || group(run_dir, state.pid).is_some_and(|group| group.is_frozen());
    let status = match state.started_at.is_empty() {
        true => "CREATED",
        false if is_frozen() => "PAUSED",
        false => "RUNNING",
    };
    Found::Live(shim, state.pid, status)
}

/// The container's own group: not the shim's, in which a runtime without cgroups leaves it.
fn group(run_dir: &Path, pid: i32) -> Option<Group> {
    let own = config::read(run_dir).ok()?.id?;
    let group = cgroup::of_process(pid).ok()??;
    group.path().ends_with(&own).then_some(group)
}

pub fn list(ctr: &Ctr, options: &mut Options) -> Result<u8> {
    let mut rows = String::from("TASK\tPID\tSTATUS\n");
    for id in ctr.run()? {
        let (pid, status) = match look(&ctr.run_dir(&id)) {
            Found::Live(_, pid, status) => (pid, status),
            Found::Stopped => (0, "STOPPED"),
            Found::Silent => (0, "UNKNOWN"),
        };
        rows.push_str(&format!("{id}\t{pid}\t{status}\n"));
    }
    print_list(&rows, options)
}

/// The shim of a container that runs, its id, and its first process.
fn running(ctr: &Ctr, name: &str) -> Result<(Shim, String, i32)> {
    let id = ctr.find(name)?;
    match look(&ctr.run_dir(&id)) {
        Found::Live(shim, pid, _) => Ok((shim, id, pid)),
        Found::Stopped => Err(Error::conflict(format!("container {id} is not running"))),
        Found::Silent => Err(Error::new(
            Kind::System,
            format!("the shim of container {id} does not answer"),
        )),
    }
}

pub fn processes(ctr: &Ctr, options: &mut Options) -> Result<u8> {
    let (_, id, pid) = running(ctr, &options.args[0])?;
    let pids = match group(&ctr.run_dir(&id), pid) {
        Some(group) => group.pids()?,
        None => vec![pid],
    };
    let mut rows = String::from("PID\tINFO\n");
    for pid in pids {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        let line = line.replace(['\t', '\n'], " ");
        rows.push_str(&format!("{pid}\t{}\n", line.trim_end()));
    }
    print_table(&rows)
}

pub fn kill(ctr: &Ctr, options: &mut Options) -> Result<u8> {
    let number = signal::parse(options.get("signal").unwrap_or("TERM"))?;
    running(ctr, &options.args[0])?.0.kill(number, true)?;
    Ok(0)
}

pub fn pause(ctr: &Ctr, options: &mut Options) -> Result<u8> {
    running(ctr, &options.args[0])?.0.pause()?;
    Ok(0)
}

pub fn resume(ctr: &Ctr, options: &mut Options) -> Result<u8> {
    running(ctr, &options.args[0])?.0.unpause()?;
    Ok(0)
}

fn backend(ctr: &Ctr, id: &str) -> Result<Backend> {
    let run_dir = ctr.run_dir(id);
    Backend::of(&run_dir, &config::read(&run_dir)?)
}

/// Clear up what a runtime has left of a container that has ended; its run directory, with its exit
/// code, is for the engine.
pub fn delete(ctr: &Ctr, options: &mut Options) -> Result<u8> {
    let mut last = 0;
    for name in &options.args {
        let id = ctr.find(name)?;
        let run_dir = ctr.run_dir(&id);
        match look(&run_dir) {
            Found::Live(shim, ..) if options.is("force") => {
                shim.kill(signal::SIGKILL, true)?;
                exit_code(&run_dir, &shim)?;
            }
            Found::Stopped if run_dir.exists() => backend(ctr, &id)?.delete()?,
            Found::Stopped => {
                let sentence = format!("no running task found: task {id} not found");
                return Err(Error::not_found(sentence));
            }
            Found::Live(.., status) => {
                let status = status.to_ascii_lowercase();
                return Err(Error::conflict(format!(
                    "task must be stopped before deletion: {status}: use --force, or kill it"
                )));
            }
            Found::Silent => {
                return Err(Error::conflict(format!(
                    "the shim of container {id} does not answer: kill it first"
                )));
            }
        }
        last = exit::read(&run_dir)?.map_or(0, |exit| exit.code);
    }
    Ok(u8::try_from(last).unwrap_or(255))
}

/// Wait for the container's end.
pub fn exit_code(run_dir: &Path, shim: &Shim) -> Result<i32> {
    if let Ok(mut watch) = shim.watch() {
        while exit::read(run_dir)?.is_none() {
            match watch.next() {
                Ok(Some(_)) => {}
                Ok(None) | Err(_) => break,
            }
        }
    }
    match exit::read(run_dir)? {
        Some(exit) => Ok(exit.code),
        None => Err(Error::new(Kind::Gone, "the shim of the container was lost")),
    }
}

pub fn attach(ctr: &Ctr, options: &mut Options) -> Result<u8> {
    let (shim, id, _) = running(ctr, &options.args[0])?;
    let run_dir = ctr.run_dir(&id);
    let config = config::read(&run_dir)?;
    let tty = config.terminal == Some(true);
    let stdin = config.open_stdin == Some(true);
    let (ours, theirs) = socket::pair()?;
    let guard = streams::guard(true, tty && stdin)?;
    let attach = Attach {
        stdin,
        stdout: true,
        stderr: true,
        ..Default::default()
    };
    shim.attach(&attach, theirs.as_fd())?;
    drop(theirs);
    let session = Session {
        shim: &shim,
        exec: None,
        tty,
        stdin,
    };
    session.carry(&guard, ours)?;
    drop(guard);
    // After the detach keys it lives on.
    match look(&run_dir) {
        Found::Live(..) => Ok(0),
        _ => Ok(u8::try_from(exit_code(&run_dir, &shim)?).unwrap_or(255)),
    }
}

pub fn exec(ctr: &Ctr, options: &mut Options) -> Result<u8> {
    let (shim, id, _) = running(ctr, &options.args[0])?;
    let exec_id = match options.get("exec-id") {
        Some(id) => id.to_string(),
        None => id::random()?,
    };
    let process = process(&ctr.run_dir(&id), options)?;
    let tty = options.is("tty");
    let mut exec = Exec {
        id: exec_id.clone(),
        process,
        attach: None,
    };
    if options.is("detach") {
        shim.exec(exec, None)?;
        return Ok(0);
    }
    exec.attach = Some(Attach {
        stdin: true,
        stdout: true,
        stderr: true,
        ..Default::default()
    });
    let mut watch = shim.watch()?;
    let (ours, theirs) = socket::pair()?;
    let guard = streams::guard(false, tty)?;
    shim.exec(exec, Some(theirs.as_fd()))?;
    drop(theirs);
    let session = Session {
        shim: &shim,
        exec: Some(&exec_id),
        tty,
        stdin: true,
    };
    session.carry(&guard, ours)?;
    drop(guard);
    loop {
        match watch.next()? {
            Some(Event::ExecExit { id, code }) if id == exec_id => {
                return Ok(u8::try_from(code).unwrap_or(255));
            }
            Some(_) => {}
            None => return Err(Error::new(Kind::Gone, "the shim of the container was lost")),
        }
    }
}

/// The container's first process, but for what the options say.
fn process(run_dir: &Path, options: &Options) -> Result<Process> {
    let path = run_dir.join("bundle/config.json");
    let spec: Spec = json::parse_bytes(&fs::read(&path)?, &path.display().to_string())?;
    let mut process = spec.process.unwrap_or_default();
    process.args = Some(options.args[1..].to_vec());
    process.terminal = Some(options.is("tty"));
    let size = terminal::size(std::io::stdout()).filter(|_| options.is("tty"));
    process.console_size = size.map(|(height, width)| ConsoleSize {
        height: Some(height),
        width: Some(width),
    });
    process
        .env
        .get_or_insert_default()
        .extend(options.all("env").map(str::to_string));
    if let Some(cwd) = options.get("cwd") {
        process.cwd = Some(cwd.to_string());
    }
    if let Some(user) = options.get("user") {
        process.user = Some(User {
            username: Some(user.to_string()),
            ..User::default()
        });
    }
    Ok(process)
}

/// What its group counts, under the names of the kernel's files.
pub fn metrics(ctr: &Ctr, options: &mut Options) -> Result<u8> {
    let (_, id, pid) = running(ctr, &options.args[0])?;
    let Some(group) = group(&ctr.run_dir(&id), pid) else {
        return Err(Error::unsupported(format!(
            "container {id} has no cgroup v2 group of its own"
        )));
    };
    let stats = group.stats();
    let all = [
        ("memory.current", stats.memory_bytes),
        ("memory.max", stats.memory_bytes_max),
        ("memory.peak", stats.memory_bytes_peak),
        ("memory.swap.current", stats.swap_bytes),
        ("cpu.usage_usec", stats.cpu_us),
        ("cpu.user_usec", stats.cpu_user_us),
        ("cpu.system_usec", stats.cpu_system_us),
        ("cpu.nr_throttled", stats.throttled_periods),
        ("cpu.throttled_usec", stats.throttled_us),
        ("pids.current", stats.pids),
        ("pids.max", stats.pids_max),
    ];
    let known = all
        .iter()
        .filter_map(|(name, value)| Some((*name, (*value)?)));
    match options.get("format") {
        Some("json") => {
            let mut object = Object::new();
            for (name, value) in known {
                object.number(name, value);
            }
            print::line(&object.finish())?;
            Ok(0)
        }
        None | Some("table") => {
            let mut rows = String::from("METRIC\tVALUE\n");
            for (name, value) in known {
                rows.push_str(&format!("{name}\t{value}\n"));
            }
            print_table(&rows)
        }
        Some(other) => Err(Error::new(
            Kind::Usage,
            format!("unknown format {other:?}: use table or json"),
        )),
    }
}
