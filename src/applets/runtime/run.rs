//! `create` and `run`.

use super::foreground::{self, Foreground};
use super::{Global, HELP, need_id, text};
use crate::error::{Error, Kind, Result};
use crate::json;
use crate::oci::spec::Spec;
use crate::runtime::create::{self, Created, Io};
use crate::runtime::{delete, start};
use lexopt::prelude::*;
use std::path::{Path, PathBuf};

#[derive(Debug, PartialEq, Eq)]
struct Options {
    id: String,
    bundle: PathBuf,
    detach: bool,
    output: foreground::Output,
}

pub fn create(global: &Global, args: lexopt::Parser) -> Result<u8> {
    let options = parse(args)?;
    let spec = load(&options.bundle)?;
    let terminal = is_terminal(&spec);
    options.output.check(terminal, true)?;
    let created = make(global, &options, &spec)?;
    hand_over(global, &options, created.pid, created.console).map(|()| 0)
}

pub fn run(global: &Global, args: lexopt::Parser) -> Result<u8> {
    let options = parse(args)?;
    let spec = load(&options.bundle)?;
    options.output.check(is_terminal(&spec), options.detach)?;
    // Before there is a process: its end must not be missed.
    let waiting = match options.detach {
        true => None,
        false => Some(Foreground::new()?),
    };
    let created = make(global, &options, &spec)?;
    let Some(waiting) = waiting else {
        hand_over(global, &options, created.pid, created.console)?;
        return started(global, &options).map(|()| 0);
    };

    options
        .output
        .write_pid(created.pid)
        .or_else(|error| undo(global, &options, error))?;
    started(global, &options)?;
    let code = waiting.follow(created.pidfd, created.console)?;
    delete::delete(&global.root, &options.id, true)?;
    Ok(code)
}

fn make(global: &Global, options: &Options, spec: &Spec) -> Result<Created> {
    create::create(create::Request {
        root: &global.root,
        id: &options.id,
        bundle: &options.bundle,
        spec,
        io: Io::Inherit,
    })
}

fn started(global: &Global, options: &Options) -> Result<()> {
    start::start(&global.root, &options.id).or_else(|error| undo(global, options, error))
}

/// Give the console and the number away; the container stays without us.
fn hand_over(
    global: &Global,
    options: &Options,
    pid: i32,
    console: Option<std::os::fd::OwnedFd>,
) -> Result<()> {
    let given = options
        .output
        .send_console(console)
        .and_then(|()| options.output.write_pid(pid));
    given.or_else(|error| undo(global, options, error))
}

/// What could not be made whole is removed; the failure is what to tell.
fn undo<T>(global: &Global, options: &Options, error: Error) -> Result<T> {
    let _ = delete::delete(&global.root, &options.id, true);
    Err(error)
}

fn parse(mut args: lexopt::Parser) -> Result<Options> {
    let mut id = None;
    let mut bundle = PathBuf::from(".");
    let mut detach = false;
    let mut output = foreground::Output::default();
    while let Some(arg) = args.next()? {
        match arg {
            Short('b') | Long("bundle") => bundle = PathBuf::from(args.value()?),
            Short('d') | Long("detach") => detach = true,
            Long("no-pivot" | "no-new-keyring" | "no-subreaper" | "keep") => {}
            Short('h') | Long("help") => return Err(Error::new(Kind::Help, HELP)),
            Long("preserve-fds") => refuse_fds(&text(&mut args)?)?,
            Long("pid-file") => output.pid_file = Some(PathBuf::from(args.value()?)),
            Long("console-socket") => output.console = Some(PathBuf::from(args.value()?)),
            Value(value) if id.is_none() => id = Some(value.string()?),
            other => return Err(other.unexpected().into()),
        }
    }
    Ok(Options {
        id: need_id(id)?,
        bundle,
        detach,
        output,
    })
}

pub fn refuse_fds(count: &str) -> Result<()> {
    match count {
        "0" => Ok(()),
        _ => Err(Error::unsupported("--preserve-fds is not supported")),
    }
}

pub fn load(bundle: &Path) -> Result<Spec> {
    let path = bundle.join("config.json");
    let bytes = std::fs::read(&path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => Error::not_found(format!(
            "JSON specification file {} not found",
            path.display()
        )),
        _ => Error::io(format_args!("read {}", path.display()), &error),
    })?;
    json::parse_bytes(&bytes, &path.display().to_string())
}

fn is_terminal(spec: &Spec) -> bool {
    spec.process.as_ref().and_then(|process| process.terminal) == Some(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runcs_options_are_understood() {
        let args = "-d --bundle /b --no-pivot --pid-file=/p --console-socket /c web";
        let options = parse(lexopt::Parser::from_args(args.split(' '))).unwrap();
        assert_eq!(
            options,
            Options {
                id: "web".to_string(),
                bundle: PathBuf::from("/b"),
                detach: true,
                output: foreground::Output {
                    pid_file: Some(PathBuf::from("/p")),
                    console: Some(PathBuf::from("/c")),
                },
            }
        );
        for bad in ["", "--preserve-fds 3 web", "--what web", "a b"] {
            assert!(
                parse(lexopt::Parser::from_args(bad.split_whitespace())).is_err(),
                "{bad:?}"
            );
        }
    }
}
