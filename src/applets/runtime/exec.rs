//! `exec`: another program in a running container.

use super::foreground::{self, Foreground};
use super::run::{load, refuse_fds};
use super::{Global, HELP, need_id, text};
use crate::error::{Error, Kind, Result};
use crate::json;
use crate::oci::spec::{Capabilities, Process, User};
use crate::runtime::create::Io;
use crate::runtime::{exec, state};
use lexopt::prelude::*;
use std::path::{Path, PathBuf};

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
    process: Option<PathBuf>,
    output: foreground::Output,
}

pub fn main(global: &Global, args: lexopt::Parser) -> Result<u8> {
    let mut options = parse(args)?;
    let id = need_id(options.id.take())?;
    let process = process(global, &id, &mut options)?;
    options
        .output
        .check(process.terminal == Some(true), options.detach)?;
    let waiting = match options.detach {
        true => None,
        false => Some(Foreground::new()?),
    };

    let execed = exec::exec(&global.root, &id, &process, Io::Inherit)?;
    options.output.write_pid(execed.pid)?;
    match waiting {
        Some(waiting) => waiting.follow(execed.pidfd, execed.console),
        None => options.output.send_console(execed.console).map(|()| 0),
    }
}

/// The process that is asked for: from a file, or the container's own with what was typed.
fn process(global: &Global, id: &str, options: &mut Options) -> Result<Process> {
    if let Some(path) = &options.process {
        let bytes = std::fs::read(path)
            .map_err(|error| Error::io(format_args!("read {}", path.display()), &error))?;
        return json::parse_bytes(&bytes, &path.display().to_string());
    }
    let bundle = state::state(&global.root, id)?.bundle.unwrap_or_default();
    let mut process = load(Path::new(&bundle))?.process.unwrap_or_default();
    process.args = Some(std::mem::take(&mut options.args));
    process.terminal = Some(options.tty);
    process.env.get_or_insert_default().append(&mut options.env);
    if options.cwd.is_some() {
        process.cwd = options.cwd.take();
    }
    process.no_new_privileges =
        Some(options.no_new_privileges || process.no_new_privileges == Some(true));
    let user = process.user.get_or_insert_default();
    if let Some(name) = options.user.take() {
        *user = User {
            username: Some(name),
            umask: user.umask,
            ..User::default()
        };
    }
    user.additional_gids
        .get_or_insert_default()
        .append(&mut options.gids);
    add_capabilities(&mut process.capabilities, &options.caps);
    Ok(process)
}

fn add_capabilities(sets: &mut Option<Capabilities>, names: &[String]) {
    if names.is_empty() {
        return;
    }
    let sets = sets.get_or_insert_default();
    for set in [&mut sets.bounding, &mut sets.effective, &mut sets.permitted] {
        set.get_or_insert_default().extend_from_slice(names);
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
            Short('g') | Long("additional-gids") => options.gids.push(args.value()?.parse()?),
            Short('p') | Long("process") => options.process = Some(PathBuf::from(args.value()?)),
            Short('h') | Long("help") => return Err(Error::new(Kind::Help, HELP)),
            Long("cwd") => options.cwd = Some(text(&mut args)?),
            Long("no-new-privs") => options.no_new_privileges = true,
            Long("preserve-fds") => refuse_fds(&text(&mut args)?)?,
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
            other => return Err(other.unexpected().into()),
        }
    }
    if options.process.is_none() && options.args.is_empty() {
        return Err(Error::new(Kind::Usage, "process args cannot be empty"));
    }
    Ok(options)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_end_at_the_container() {
        let args = "-t -e A=b --user 1:2 --cap CAP_KILL web -- ls -l";
        let options = parse(lexopt::Parser::from_args(args.split(' '))).unwrap();
        assert_eq!(options.id.as_deref(), Some("web"));
        assert_eq!(options.args, ["ls", "-l"]);
        assert_eq!(options.env, ["A=b"]);
        assert_eq!(options.user.as_deref(), Some("1:2"));
        assert!(options.tty && !options.detach);
        assert!(parse(lexopt::Parser::from_args(["web"])).is_err());
    }
}
