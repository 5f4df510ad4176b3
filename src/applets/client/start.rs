//! `tug start`: start containers, or one and stay with it.

use super::attach::{DETACH_KEYS, Streams, Target};
use super::options::{ANY, Options, Verb, flag};
use super::remote::{Engine, each};
use super::{print, run};
use crate::error::{Error, Result};
use crate::http::query;

pub const VERB: Verb = Verb {
    names: &["start", "container start"],
    usage: "[OPTIONS] CONTAINER [CONTAINER...]",
    about: "Start one or more stopped containers",
    flags: &[&[
        flag("-a, --attach", "Attach STDOUT/STDERR and forward signals"),
        flag("--detach-keys string", DETACH_KEYS),
        flag("-i, --interactive", "Attach container's STDIN"),
    ]],
    args: (1, ANY),
    has_command: false,
    main,
};

fn main(engine: &Engine, options: &Options) -> Result<u8> {
    if options.is("attach") || options.is("interactive") {
        return start_attached(engine, options);
    }
    let mut failed = Vec::new();
    let started = each(&options.args, |name| {
        engine
            .post(&format!("/containers/{}/start", query::encode(name)))
            .inspect_err(|_| failed.push(name.to_string()))?;
        print::line(name)
    });
    match failed.is_empty() {
        true => started,
        false => started.map_err(|mut error| {
            let names = failed.join(", ");
            error.message = format!(
                "{}\nError: failed to start containers: {names}",
                error.message
            );
            error
        }),
    }
}

fn start_attached(engine: &Engine, options: &Options) -> Result<u8> {
    let [name] = &options.args[..] else {
        return Err(Error::invalid(
            "you cannot start and attach multiple containers at once",
        ));
    };
    let target = Target::find(engine, name)?;
    let stdin = target.open_stdin && options.is("interactive");
    let session = target.session(engine, options, stdin)?;
    let streams = Streams {
        id: &target.id,
        stdin,
        stdout: true,
        stderr: true,
        detach_keys: options.get("detach-keys"),
    };
    let condition = match target.auto_remove {
        true => "removed",
        false => "next-exit",
    };
    run::run_attached(&session, &streams, condition)
}
