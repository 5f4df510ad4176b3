//! What `--help` prints, and how a command line is refused.

use crate::error::{Error, Kind, Result};
use lexopt::prelude::*;

/// A command as its help knows it.
struct Verb {
    name: &'static str,
    operands: &'static str,
    about: &'static str,
    /// What runc says of a wrong number of operands.
    count: &'static str,
    options: &'static [&'static str],
}

const fn verb(
    name: &'static str,
    operands: &'static str,
    about: &'static str,
    count: &'static str,
    options: &'static [&'static str],
) -> Verb {
    Verb {
        name,
        operands,
        about,
        count,
        options,
    }
}

const NONE: &str = "exactly 0";
const ONE: &str = "exactly 1";
const SOME: &str = "a minimum of 1";

const BUNDLE: &str = "  -b, --bundle DIR          the bundle (default: the current directory)
";
const DETACH: &str = "  -d, --detach              do not wait for the program
";
const OUTPUT: &str = "  --pid-file FILE           write the process's number to FILE
  --console-socket PATH     send the terminal's master to this socket
  --preserve-fds N          the program also keeps descriptors 3 to 2+N
";
const SETUP: &str = "  --no-pivot                move the root by mount and chroot
  --no-new-keyring          stay in the caller's session keyring
";
const FORMAT: &str = "  -f, --format FORMAT       table (default) or json
";

const VERBS: [Verb; 17] = [
    verb(
        "create",
        "ID",
        "make a container and leave it waiting for start",
        ONE,
        &[BUNDLE, OUTPUT, SETUP],
    ),
    verb(
        "start",
        "ID",
        "start the program of a created container",
        ONE,
        &[],
    ),
    verb(
        "run",
        "ID",
        "create and start",
        ONE,
        &[
            BUNDLE,
            DETACH,
            "  --keep                    do not delete the container when it ends\n",
            OUTPUT,
            SETUP,
            "  --no-subreaper            accepted, without effect\n",
        ],
    ),
    verb(
        "exec",
        "ID PROGRAM [ARGS]",
        "run another program in a container",
        SOME,
        &[
            DETACH,
            "  -t, --tty                 with a terminal
  -e, --env NAME=VALUE      add to the environment
  -u, --user USER[:GROUP]   run as this user
  -g, --additional-gids GID in these groups as well
  --cwd DIR                 working directory
  -c, --cap NAME            with this capability too (ALL: the bounding set)
  --no-new-privs            set no_new_privs
  --apparmor PROFILE        under this AppArmor profile
  --process-label LABEL     with this SELinux label
  --cgroup PATH             in this group below the container's
  --ignore-paused           even if the container is paused
  -p, --process FILE        all of the above from FILE, a process object in JSON
",
            OUTPUT,
        ],
    ),
    verb("state", "ID", "print a container's state as JSON", ONE, &[]),
    verb(
        "kill",
        "ID [SIGNAL]",
        "send a signal (default TERM) to the first process",
        SOME,
        &["  -a, --all                 to all processes\n"],
    ),
    verb(
        "delete",
        "ID",
        "remove a container that is stopped or only created",
        ONE,
        &["  -f, --force               kill it first; absence is no error\n"],
    ),
    verb(
        "list",
        "",
        "list containers",
        NONE,
        &[FORMAT, "  -q, --quiet               print ids only\n"],
    ),
    verb(
        "ps",
        "ID [PS OPTIONS]",
        "list a container's processes",
        SOME,
        &[FORMAT],
    ),
    verb("pause", "ID", "freeze all processes", ONE, &[]),
    verb("resume", "ID", "thaw all processes", ONE, &[]),
    verb(
        "update",
        "ID",
        "change a container's limits",
        ONE,
        &[
            "  -r, --resources FILE      all limits from FILE, as JSON (-: stdin)
  --memory, --memory-reservation, --memory-swap BYTES
                            with k, m, g as units; -1: no limit
  --cpu-quota, --cpu-period, --cpu-burst USEC
  --cpu-rt-runtime, --cpu-rt-period USEC
  --cpu-share N             relative weight, 1024 is usual
  --cpu-idle 0|1            1: run only when nothing else wants to
  --cpuset-cpus, --cpuset-mems LIST
  --blkio-weight N          10 to 1000
  --pids-limit N            -1: no limit
  --l3-cache-schema, --mem-bw-schema TEXT
                            Intel RDT
",
        ],
    ),
    verb(
        "events",
        "ID",
        "print what a container uses until it ends",
        ONE,
        &["  --interval DURATION       between two prints (default 5s)
  --stats                   print once
"],
    ),
    verb(
        "spec",
        "",
        "write a config.json to start from",
        NONE,
        &[
            BUNDLE,
            "  --rootless                for the caller's own user namespace\n",
        ],
    ),
    verb(
        "features",
        "",
        "print what is supported, as JSON",
        NONE,
        &[],
    ),
    verb("checkpoint", "", "not supported", NONE, &[]),
    verb("restore", "", "not supported", NONE, &[]),
];

const OPTIONS: &str = "
Options:
  --root DIR                where states are kept (default /run/tug-runtime, or
                            /run/runc when called runc)
  --log FILE                write errors to FILE too
  --log-format FORMAT       text (default) or json
  --debug                   log what is done
  --rootless auto|true|false
                            do without a cgroup if need be (auto: unless root)
  -h, --help                print this, or a command's options
  -v, --version             print the version
";

/// Of the whole.
pub fn all() -> String {
    let mut text = String::from(
        "Usage: tug runtime [OPTIONS] COMMAND [OPTIONS] [ARGS]\n\n\
        Run containers from OCI bundles, with runc's commands and options\n\nCommands:\n",
    );
    for verb in &VERBS {
        let left = format!("{} {}", verb.name, verb.operands);
        text.push_str(&format!("  {left:<23}   {}\n", verb.about));
    }
    text + OPTIONS
}

fn find(name: &str) -> Option<&'static Verb> {
    VERBS.iter().find(|verb| verb.name == name)
}

/// Of one command, or of the whole.
pub fn of(name: &str) -> String {
    let Some(verb) = find(name) else {
        return all();
    };
    let mut text = format!(
        "Usage: tug runtime {name} [OPTIONS] {}\n\n{}\n",
        verb.operands, verb.about
    );
    if !verb.options.is_empty() {
        text.push_str("\nOptions:\n");
        text.push_str(&verb.options.concat());
    }
    text
}

/// What a command does with an argument that it does not know: `--help` is one.
pub fn refuse(name: &str, arg: lexopt::Arg<'_>) -> Error {
    match arg {
        Short('h') | Long("help") => Error::new(Kind::Help, of(name)),
        Value(_) => operands(name),
        other => other.unexpected().into(),
    }
}

/// runc's sentence for too many operands or too few.
pub fn operands(name: &str) -> Error {
    let count = find(name).map_or(ONE, |verb| verb.count);
    Error::new(
        Kind::Usage,
        format!("{name:?} requires {count} argument(s)"),
    )
}

/// The container that a command line must name.
pub fn need_id(name: &str, id: Option<String>) -> Result<String> {
    match id {
        Some(id) if id.is_empty() => Err(Error::new(Kind::Usage, "container id cannot be empty")),
        Some(id) => Ok(id),
        None => Err(operands(name)),
    }
}
