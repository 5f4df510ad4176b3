//! `create` and `run`.

use super::foreground::{self, Foreground};
use super::help::{need_id, refuse};
use super::{Global, input, text};
use crate::error::{Error, Result};
use crate::oci::spec::Spec;
use crate::runtime::create::{self, Created, Held, Io};
use crate::runtime::delete;
use lexopt::prelude::*;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

#[derive(Debug, PartialEq, Eq)]
struct Options {
    id: String,
    bundle: PathBuf,
    detach: bool,
    keep: bool,
    create: create::Options,
    output: foreground::Output,
}

pub fn create(global: &Global, args: lexopt::Parser) -> Result<u8> {
    let mut options = parse("create", args)?;
    let spec = prepare(global, &mut options)?;
    options.output.check(is_terminal(&spec), true)?;
    let created = make(global, &options, &spec)?;
    hand_over(&options, created.pid, created.console)
        .or_else(|error| undo(global, &options, error))?;
    Ok(0)
}

pub fn run(global: &Global, args: lexopt::Parser) -> Result<u8> {
    let mut options = parse("run", args)?;
    let spec = prepare(global, &mut options)?;
    options.output.check(is_terminal(&spec), options.detach)?;
    // Before there is a process: its end must not be missed.
    let waiting = match options.detach {
        true => None,
        false => Some(Foreground::new()?),
    };
    options.create.held = true;
    let created = make(global, &options, &spec)?;
    let (pid, held) = (created.pid, created.held);
    let Some(waiting) = waiting else {
        return begin(global, &options, pid, created.console, held).map(|()| 0);
    };

    begin(global, &options, pid, None, held)?;
    let code = waiting.follow(created.pidfd, created.console)?;
    if !options.keep {
        delete::delete(&global.root, &options.id, true)?;
    }
    Ok(code)
}

/// Read the bundle, and find the descriptors that are to be passed on.
fn prepare(global: &Global, options: &mut Options) -> Result<Spec> {
    global.refuse_systemd()?;
    let listening = input::listening();
    input::check_preserved(listening, options.create.preserved)?;
    let mut spec: Spec = input::spec(&options.bundle)?;
    if listening > 0
        && let Some(process) = &mut spec.process
    {
        // The program is number 1 of its process namespace, as runc takes for granted.
        let env = process.env.get_or_insert_default();
        env.push(format!("LISTEN_FDS={listening}"));
        env.push("LISTEN_PID=1".to_string());
    }
    options.create.preserved += listening;
    options.create.rootless = global.rootless;
    Ok(spec)
}

fn make(global: &Global, options: &Options, spec: &Spec) -> Result<Created> {
    let created = create::create(create::Request {
        root: &global.root,
        id: &options.id,
        bundle: &options.bundle,
        spec,
        io: Io::Inherit,
        options: options.create,
    })?;
    let message = format!("created container {}: process {}", options.id, created.pid);
    global.log.debug(&message);
    Ok(created)
}

/// Give away what goes to others, and let the program run.
fn begin(
    global: &Global,
    options: &Options,
    pid: i32,
    console: Option<OwnedFd>,
    held: Option<Held>,
) -> Result<()> {
    hand_over(options, pid, console)
        .and_then(|()| held.map_or(Ok(()), |held| held.start(&global.root)))
        .or_else(|error| undo(global, options, error))?;
    let message = format!("started the program of container {}", options.id);
    global.log.debug(&message);
    Ok(())
}

/// Give the console and the number away.
fn hand_over(options: &Options, pid: i32, console: Option<OwnedFd>) -> Result<()> {
    options.output.send_console(console)?;
    options.output.write_pid(pid)
}

/// What could not be made whole is removed; the failure is what to tell.
fn undo<T>(global: &Global, options: &Options, error: Error) -> Result<T> {
    let _ = delete::delete(&global.root, &options.id, true);
    Err(error)
}

fn parse(verb: &str, mut args: lexopt::Parser) -> Result<Options> {
    let mut id = None;
    let mut options = Options {
        id: String::new(),
        bundle: PathBuf::from("."),
        detach: false,
        keep: false,
        create: create::Options::default(),
        output: foreground::Output::default(),
    };
    let is_run = verb == "run";
    while let Some(arg) = args.next()? {
        match arg {
            Short('b') | Long("bundle") => options.bundle = PathBuf::from(args.value()?),
            Short('d') | Long("detach") if is_run => options.detach = true,
            Long("keep") if is_run => options.keep = true,
            Long("no-subreaper") if is_run => {}
            Long("no-pivot") => options.create.no_pivot = true,
            Long("no-new-keyring") => options.create.same_keyring = true,
            Long("preserve-fds") => {
                options.create.preserved = input::number("preserve-fds", &text(&mut args)?)?;
            }
            Long("pid-file") => options.output.pid_file = Some(PathBuf::from(args.value()?)),
            Long("console-socket") => options.output.console = Some(PathBuf::from(args.value()?)),
            Value(value) if id.is_none() => id = Some(value.string()?),
            other => return Err(refuse(verb, other)),
        }
    }
    options.id = need_id(verb, id)?;
    Ok(options)
}

fn is_terminal(spec: &Spec) -> bool {
    spec.process.as_ref().and_then(|process| process.terminal) == Some(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runcs_options_are_understood() {
        let args = "web -d --bundle /b --no-pivot --no-new-keyring --keep --preserve-fds 2 \
            --pid-file=/p --console-socket /c";
        let options = parse("run", lexopt::Parser::from_args(args.split(' '))).unwrap();
        assert_eq!(
            options,
            Options {
                id: "web".to_string(),
                bundle: PathBuf::from("/b"),
                detach: true,
                keep: true,
                create: create::Options {
                    preserved: 2,
                    same_keyring: true,
                    no_pivot: true,
                    rootless: None,
                    held: false,
                },
                output: foreground::Output {
                    pid_file: Some(PathBuf::from("/p")),
                    console: Some(PathBuf::from("/c")),
                },
            }
        );
        for bad in [
            "",
            "--preserve-fds x web",
            "--preserve-fds -1 web",
            "--what web",
            "a b",
        ] {
            assert!(
                parse("run", lexopt::Parser::from_args(bad.split_whitespace())).is_err(),
                "{bad:?}"
            );
        }
        for bad in ["-d web", "--keep web"] {
            let parsed = parse("create", lexopt::Parser::from_args(bad.split(' ')));
            assert!(parsed.is_err(), "{bad:?}");
        }
    }
}
