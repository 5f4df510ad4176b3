//! `exec`: another program in a running container.

use super::foreground::{self, Foreground};
use super::help::{need_id, refuse};
use super::{Global, input, text};
use crate::error::{Error, Result};
use crate::oci::spec::{Capabilities, Process, User};
use crate::runtime::create::Io;
use crate::runtime::{exec, state};
use crate::sys::capability;
use lexopt::prelude::*;
use std::path::PathBuf;

#[derive(Debug, Default)]
struct Options {
    id: Option<String>,
    args: Vec<String>,
    detach: bool,
    tty: bool,
    env: Vec<String>,
    user: Option<String>,
    cwd: Option<String>,
    caps: Vec<String>,
    gids: Vec<u32>,
    no_new_privileges: bool,
    apparmor: Option<String>,
    label: Option<String>,
    process: Option<PathBuf>,
    preserved: u32,
    ignore_paused: bool,
    cgroup: Option<String>,
    output: foreground::Output,
}

pub fn main(global: &Global, args: lexopt::Parser) -> Result<u8> {
    let mut options = parse(args)?;
    let id = need_id("exec", options.id.take())?;
    input::check_preserved(0, options.preserved)?;
    let process = process(global, &id, &mut options)?;
    options
        .output
        .check(process.terminal == Some(true), options.detach)?;
    let waiting = match options.detach {
        true => None,
        false => Some(Foreground::new()?),
    };

    let execed = exec::exec(exec::Request {
        root: &global.root,
        id: &id,
        process: &process,
        io: Io::Inherit,
        preserved: options.preserved,
        ignore_paused: options.ignore_paused,
        cgroup: options.cgroup.as_deref(),
    })?;
    let message = format!("process {} runs in container {id}", execed.pid);
    global.log.debug(&message);
    options.output.write_pid(execed.pid)?;
    match waiting {
        Some(waiting) => waiting.follow(execed.pidfd, execed.console),
        None => options.output.send_console(execed.console).map(|()| 0),
    }
}

/// The process that is asked for: from a file, or the container's own with what was typed.
fn process(global: &Global, id: &str, options: &mut Options) -> Result<Process> {
    if let Some(path) = &options.process {
        return input::file(path, false).and_then(check);
    }
    let mut process = state::process(&global.root, id)?;
    process.args = Some(std::mem::take(&mut options.args));
    process.terminal = Some(options.tty);
    process.env.get_or_insert_default().append(&mut options.env);
    process.cwd = options.cwd.take().or(process.cwd);
    process.apparmor_profile = options.apparmor.take().or(process.apparmor_profile);
    process.selinux_label = options.label.take().or(process.selinux_label);
    process.no_new_privileges =
        Some(options.no_new_privileges || process.no_new_privileges == Some(true));
    let user = process.user.get_or_insert_default();
    if let Some(text) = options.user.take() {
        set_user(user, &text)?;
    }
    user.additional_gids
        .get_or_insert_default()
        .append(&mut options.gids);
    add_capabilities(&mut process.capabilities, &options.caps);
    Ok(process)
}

/// What runc wants of a process from a file.
fn check(process: Process) -> Result<Process> {
    let cwd = process.cwd.as_deref().unwrap_or_default();
    let message = if cwd.is_empty() {
        "Cwd property must not be empty"
    } else if !cwd.starts_with('/') {
        "Cwd must be an absolute path"
    } else if process.args.as_ref().is_none_or(Vec::is_empty) {
        "args must not be empty"
    } else {
        return Ok(process);
    };
    Err(Error::invalid(message))
}

/// Numbers replace the container's, as in runc: without a group its own stays. A name, which runc
/// does not take, is looked up in the container and brings its groups along.
fn set_user(user: &mut User, text: &str) -> Result<()> {
    let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let (name, group) = match text.split_once(':') {
        Some((name, group)) => (name, Some(group)),
        None => (text, None),
    };
    if !is_number(name) || !group.is_none_or(is_number) {
        *user = User {
            username: Some(text.to_string()),
            umask: user.umask,
            ..User::default()
        };
        return Ok(());
    }
    // The largest id that Linux takes from a 32-bit program (CVE-2024-40635).
    let number = |what: &str, text: &str| match text.parse::<i32>() {
        Ok(number) => Ok(number.cast_unsigned()),
        Err(_) => Err(Error::invalid(format!("bad {what}: {text:?}"))),
    };
    user.username = None;
    user.uid = Some(number("uid", name)?);
    if let Some(group) = group {
        user.gid = Some(number("gid", group)?);
    }
    Ok(())
}

fn add_capabilities(sets: &mut Option<Capabilities>, names: &[String]) {
    if names.is_empty() {
        return;
    }
    // The container's bounding set cuts off what is not in it.
    let mut wanted: Vec<String> = Vec::new();
    for name in names {
        match name.eq_ignore_ascii_case("all") {
            true => wanted.extend(capability::names()),
            false => wanted.push(name.clone()),
        }
    }
    let sets = sets.get_or_insert_default();
    for set in [&mut sets.bounding, &mut sets.effective, &mut sets.permitted] {
        set.get_or_insert_default().extend_from_slice(&wanted);
    }
    // Ambient ones must be inheritable, which these become only where the container has some.
    if sets.inheritable.as_ref().is_some_and(|set| !set.is_empty()) {
        sets.ambient.get_or_insert_default().extend(wanted);
    }
}

fn parse(mut args: lexopt::Parser) -> Result<Options> {
    let mut options = Options::default();
    while let Some(arg) = args.next()? {
        match arg {
            Short('d') | Long("detach") => options.detach = true,
            Short('t') | Long("tty") => options.tty = true,
            Short('e') | Long("env") => options.env.push(text(&mut args)?),
            Short('u') | Long("user") => options.user = Some(text(&mut args)?),
            Short('c') | Long("cap") => options.caps.push(text(&mut args)?),
            Short('g') | Long("additional-gids") => {
                for gid in text(&mut args)?.split(',') {
                    options.gids.push(input::number("additional-gids", gid)?);
                }
            }
            Short('p') | Long("process") => options.process = Some(PathBuf::from(args.value()?)),
            Long("cwd") => options.cwd = Some(text(&mut args)?),
            Long("no-new-privs") => options.no_new_privileges = true,
            Long("apparmor") => options.apparmor = Some(text(&mut args)?),
            Long("process-label") => options.label = Some(text(&mut args)?),
            Long("cgroup") => options.cgroup = Some(text(&mut args)?),
            Long("ignore-paused") => options.ignore_paused = true,
            Long("no-subreaper") => {}
            Long("preserve-fds") => {
                options.preserved = input::number("preserve-fds", &text(&mut args)?)?;
            }
            Long("pid-file") => options.output.pid_file = Some(PathBuf::from(args.value()?)),
            Long("console-socket") => options.output.console = Some(PathBuf::from(args.value()?)),
            // The first word is the container, all after it is the program's.
            Value(value) => {
                options.id = Some(value.string()?);
                for word in args.raw_args()? {
                    options.args.push(word.string()?);
                }
                options
                    .args
                    .drain(..usize::from(options.args.first().is_some_and(|a| a == "--")));
            }
            other => return Err(refuse("exec", other)),
        }
    }
    if options.id.is_some() && options.process.is_none() && options.args.is_empty() {
        return Err(Error::invalid("process args cannot be empty"));
    }
    Ok(options)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_end_at_the_container() {
        let args = "-t -e A=b --user 1:2 --cap CAP_KILL -g 3,4 -g 5 web -- ls -l";
        let options = parse(lexopt::Parser::from_args(args.split(' '))).unwrap();
        assert_eq!(options.id.as_deref(), Some("web"));
        assert_eq!(options.args, ["ls", "-l"]);
        assert_eq!(options.env, ["A=b"]);
        assert_eq!(options.user.as_deref(), Some("1:2"));
        assert_eq!(options.gids, [3, 4, 5]);
        assert!(options.tty && !options.detach);
        assert!(parse(lexopt::Parser::from_args(["web"])).is_err());
    }

    #[test]
    fn a_user_is_numbers_or_a_name() {
        let told = |text: &str| {
            let mut user = User {
                uid: Some(7),
                gid: Some(8),
                ..User::default()
            };
            set_user(&mut user, text).map(|()| (user.uid, user.gid, user.username))
        };
        assert_eq!(told("1").unwrap(), (Some(1), Some(8), None));
        assert_eq!(told("1:2").unwrap(), (Some(1), Some(2), None));
        let name = "www:data".to_string();
        assert_eq!(told("www:data").unwrap(), (None, None, Some(name)));
        for bad in ["", ":", "1:", "2147483648", "4294967296", "1:99999999999"] {
            assert!(told(bad).is_err(), "{bad:?}");
        }
    }
}
