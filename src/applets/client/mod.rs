//! The command line: Docker's verbs, options, columns and exit codes.
//!
//! A verb is one file with one `VERB`: its names, options, and what it does. The table below is
//! the list of them. Knows the engine by its HTTP API only.

mod apply;
mod attach;
mod build;
mod check;
mod commit;
mod complete;
pub(super) mod config;
mod cp;
pub(super) mod create;
pub(super) mod credentials;
mod delta;
mod df;
mod diff;
mod events;
mod exec;
mod export;
mod format;
mod history;
pub(super) mod human;
mod images;
mod import;
mod info;
mod inspect;
mod kernel;
mod kill;
mod limits;
mod list;
mod load;
mod login;
mod logout;
mod logs;
mod manifest;
mod mount;
mod network;
pub(super) mod options;
mod pause;
pub(super) mod planned;
mod port;
mod ports;
pub(super) mod print;
mod progress;
mod prune;
mod ps;
mod pull;
pub(super) mod pump;
mod push;
mod remote;
mod rename;
mod restart;
mod rm;
mod rmi;
mod run;
mod save;
mod search;
mod sets;
mod start;
mod stats;
mod stop;
mod store;
mod tag;
mod tls;
mod top;
mod update;
mod update_image;
mod values;
mod verify;
mod version;
mod volume;
mod wait;
mod wear;

use self::config::Config;
use self::options::{Flag, Verb, flag, list_flags, usage};
use self::print::wrap;
use self::remote::Engine;
use self::tls::Tls;
use crate::error::{Error, Kind, Result};
use std::ffi::OsString;

const VERBS: &[&Verb] = &[
    // The longer names first.
    &apply::STATUS,
    &apply::COMMIT,
    &apply::ROLLBACK,
    &apply::VERB,
    &attach::VERB,
    &build::VERB,
    &check::VERB,
    &commit::VERB,
    &complete::VERB,
    &cp::VERB,
    &create::VERB,
    &delta::VERB,
    &df::VERB,
    &diff::VERB,
    &events::VERB,
    &exec::VERB,
    &export::VERB,
    &history::VERB,
    &images::VERB,
    &import::VERB,
    &info::VERB,
    &inspect::VERB,
    &inspect::CONTAINER,
    &inspect::IMAGE,
    &kernel::VERB,
    &kill::VERB,
    &load::VERB,
    &login::VERB,
    &logout::VERB,
    &logs::VERB,
    &manifest::VERB,
    &network::CREATE,
    &network::CONNECT,
    &network::DISCONNECT,
    &network::LIST,
    &network::REMOVE,
    &inspect::NETWORK,
    &prune::NETWORK,
    &volume::CREATE,
    &volume::LIST,
    &volume::REMOVE,
    &volume::UPDATE,
    &inspect::VOLUME,
    &prune::VOLUME,
    &pause::PAUSE,
    &port::VERB,
    &prune::CONTAINER,
    &prune::IMAGE,
    &prune::SYSTEM,
    &ps::VERB,
    &pull::VERB,
    &push::VERB,
    &rename::VERB,
    &restart::VERB,
    &rm::VERB,
    &rmi::VERB,
    &run::VERB,
    &search::VERB,
    &save::VERB,
    &start::VERB,
    &stats::VERB,
    &stop::VERB,
    &store::VERB,
    &tag::VERB,
    &top::VERB,
    &pause::UNPAUSE,
    &update::VERB,
    &update_image::VERB,
    &version::VERB,
    &verify::VERB,
    &wait::VERB,
    &wear::VERB,
];

const GROUPS: [(&str, &str); 7] = [
    ("container", "Manage containers"),
    ("image", "Manage images"),
    ("manifest", "Look at manifests in registries"),
    ("network", "Manage networks"),
    ("store", "Make stores of images for firmware"),
    ("system", "Manage the engine"),
    ("volume", "Manage volumes"),
];

/// Those that help names first, as Docker's does.
const COMMON: [&str; 6] = ["run", "exec", "ps", "images", "version", "info"];

const GLOBAL: &[&[Flag]] = &[&[
    flag(
        "--config string",
        "Location of client config files (default $DOCKER_CONFIG, ~/.docker)",
    ),
    flag(
        "-c, --context string",
        "Accepted for Docker's sake: there is \"default\" and no other",
    ),
    flag("-D, --debug", "Enable debug mode"),
    flag(
        "-H, --host list",
        "Where the engine listens: unix://PATH or tcp://IP:PORT (default $TUG_HOST, $DOCKER_HOST, unix:///run/tug/tug.sock)",
    ),
    flag(
        "-l, --log-level string",
        "Set the logging level (\"debug\", \"info\", \"warn\", \"error\", \"fatal\") (default \"info\")",
    ),
    flag("--tls", "Refused: only --tlsverify tells who answers"),
    flag(
        "--tlscacert string",
        "Trust engines with a certificate of this CA (default $DOCKER_CERT_PATH/ca.pem)",
    ),
    flag(
        "--tlscert string",
        "Show this certificate to the engine (default $DOCKER_CERT_PATH/cert.pem)",
    ),
    flag(
        "--tlskey string",
        "The key of that certificate (default $DOCKER_CERT_PATH/key.pem)",
    ),
    flag(
        "--tlsverify",
        "Speak TLS, and only with an engine of that CA (also by $DOCKER_TLS_VERIFY)",
    ),
    flag("-v, --version", "Print version information and quit"),
]];

pub fn main(args: &[OsString]) -> Result<u8> {
    if args.first().is_some_and(|word| word == "__complete") {
        return complete::complete(args.get(1..).unwrap_or_default());
    }
    let (given, rest) = read_global(args)?;
    let is = |name: &str| {
        given
            .iter()
            .any(|(flag, value)| flag.long() == name && value == "true")
    };
    if is("version") {
        let version = env!("CARGO_PKG_VERSION");
        return Err(Error::new(Kind::Help, format!("tug version {version}")));
    }
    let words: Vec<&str> = rest.iter().map_while(|arg| arg.to_str()).take(3).collect();
    match words[..] {
        [] => Err(Error::new(Kind::Help, help())),
        _ if is("help") => Err(Error::new(Kind::Help, help())),
        ["help"] => Err(Error::new(Kind::Help, help())),
        ["help", ..] => match find(&words[1..]) {
            Some((verb, _)) => Err(Error::new(Kind::Help, options::help(verb))),
            None if is_group(words[1]) => Err(Error::new(Kind::Help, group_help(words[1]))),
            None => Err(Error::invalid(format!("unknown help topic: {}", words[1]))),
        },
        _ => match find(&words) {
            Some((verb, count)) => run_verb(verb, &given, rest.get(count..).unwrap_or_default()),
            None => Err(unknown(&words)),
        },
    }
}

/// Those of logrus, which Docker's programs log with.
const LEVELS: [&str; 8] = [
    "trace", "debug", "info", "warn", "warning", "error", "fatal", "panic",
];

type Given = Vec<(&'static Flag, String)>;

/// The options before the verb; and the verb with all that follows.
fn read_global(args: &[OsString]) -> Result<(Given, Vec<OsString>)> {
    let hint = |error: Error| {
        let message = format!(
            "{error}\n\nUsage:  tug [OPTIONS] COMMAND\n\nRun 'tug --help' for more information"
        );
        Error::with_errno(error.kind, error.errno, message)
    };
    let (given, rest) = options::read(GLOBAL, true, args).map_err(hint)?;
    // Kept as typed: an argument of the verb need not be text.
    let at = args.len() - rest.len();
    Ok((given, args.get(at..).unwrap_or_default().to_vec()))
}

/// The verb that `words` begin with, and of how many words its name is.
fn find(words: &[&str]) -> Option<(&'static Verb, usize)> {
    VERBS.iter().find_map(|verb| {
        verb.names.iter().find_map(|name| {
            let count = name.split(' ').count();
            let is_it = words.len() >= count && name.split(' ').eq(words[..count].iter().copied());
            is_it.then_some((*verb, count))
        })
    })
}

fn run_verb(verb: &'static Verb, given: &Given, args: &[OsString]) -> Result<u8> {
    let value = |name: &str| {
        let found = given.iter().rfind(|(flag, _)| flag.long() == name);
        found.map(|(_, value)| value.as_str())
    };
    let run = || {
        let mut options = options::parse(verb, args)?;
        if let Some(level) = value("log-level")
            && !LEVELS.contains(&level.to_ascii_lowercase().as_str())
        {
            return Err(Error::invalid(format!(
                "Unable to parse logging level: {level}"
            )));
        }
        let config = Config::load(value("config"))?;
        config.check_context(value("context"), value("host").is_some())?;
        config.fill(&mut options, verb);
        let tls = Tls::new(&value)?;
        (verb.main)(&Engine::new(value("host"), config, &tls)?, &options)
    };
    run().map_err(|error| create::with_hint(verb, error))
}

fn is_group(word: &str) -> bool {
    GROUPS.iter().any(|(name, _)| *name == word)
}

/// No verb of this name; a group alone tells what it has.
fn unknown(words: &[&str]) -> Error {
    let name = words[0];
    if !is_group(name) {
        return Error::invalid(format!(
            "unknown command: tug {name}\n\nRun 'tug --help' for more information"
        ));
    }
    match words.get(1) {
        None | Some(&"--help") | Some(&"-h") => Error::new(Kind::Help, group_help(name)),
        Some(word) => {
            let hint =
                format!("Usage:  tug {name}\n\nRun 'tug {name} --help' for more information");
            match word.starts_with('-') {
                true => usage(format!("unknown flag: {word}\n\n{hint}")),
                false => Error::invalid(format!("unknown command: tug {name} {word}\n\n{hint}")),
            }
        }
    }
}

fn help() -> String {
    let mut text = String::from(
        "Usage:  tug [OPTIONS] COMMAND\n\nThe container engine for devices\n\nCommon Commands:\n",
    );
    let verbs = VERBS.iter().filter(|verb| !verb.names[0].contains(' '));
    let verbs: Vec<(&str, &str)> = verbs.map(|verb| (verb.names[0], verb.about)).collect();
    let (mut common, others): (Vec<_>, Vec<_>) = verbs
        .into_iter()
        .partition(|(name, _)| COMMON.contains(name));
    common.sort_by_key(|(name, _)| COMMON.iter().position(|known| known == name));
    list(&mut text, common.into_iter());
    text.push_str("\nManagement Commands:\n");
    list(
        &mut text,
        GROUPS.iter().map(|(name, about)| (*name, *about)),
    );
    text.push_str("\nCommands:\n");
    list(&mut text, others.into_iter());
    text.push_str("\nGlobal Options:\n");
    list_flags(&mut text, GLOBAL);
    text.push_str(
        "\nParts of the system, each with its own --help (tug --list names them all,\n\
         tug --install DIR makes a link for each name):\n",
    );
    wrap(
        &mut text,
        2,
        "tug engine, tug shim, tug runtime, tug init, tug ctr",
    );
    text.push_str("\nRun 'tug COMMAND --help' for more information on a command.\n");
    text
}

fn group_help(group: &str) -> String {
    let about = GROUPS
        .iter()
        .find(|(name, _)| *name == group)
        .map_or("", |(_, about)| about);
    let mut text = format!("Usage:  tug {group} COMMAND\n\n{about}\n\nCommands:\n");
    let mut verbs: Vec<(&str, &str)> = Vec::new();
    for verb in VERBS {
        let own = verb
            .names
            .iter()
            .find_map(|name| name.strip_prefix(group)?.strip_prefix(' '));
        verbs.extend(own.map(|name| (name, verb.about)));
    }
    verbs.sort_unstable();
    list(&mut text, verbs.into_iter());
    text.push_str(&format!(
        "\nRun 'tug {group} COMMAND --help' for more information on a command.\n"
    ));
    text
}

fn list<'a>(text: &mut String, rows: impl Iterator<Item = (&'a str, &'a str)>) {
    for (name, about) in rows {
        text.push_str(&format!("  {name:<11} "));
        wrap(text, 14, about);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verbs_answer_to_all_their_names() {
        for (words, name, count) in [
            (&["ps", "-a"][..], "ps", 1),
            (&["container", "ls"], "ps", 2),
            (&["image", "rm", "x"], "rmi", 2),
            (&["image", "inspect", "x"], "image inspect", 2),
            (&["inspect", "x"], "inspect", 1),
        ] {
            let (verb, found) = find(words).unwrap();
            assert_eq!((verb.names[0], found), (name, count), "{words:?}");
        }
        assert!(find(&["container"]).is_none());
        assert!(find(&["nope", "ls"]).is_none());
    }

    #[test]
    fn every_help_text_fits_a_terminal() {
        let mut texts: Vec<String> = VERBS.iter().map(|verb| options::help(verb)).collect();
        texts.push(help());
        texts.extend(GROUPS.iter().map(|(name, _)| group_help(name)));
        for line in texts.iter().flat_map(|text| text.lines()) {
            assert!(line.chars().count() <= 80, "{line}");
        }
    }

    fn outcome(line: &str) -> Error {
        let args: Vec<OsString> = line.split(' ').map(OsString::from).collect();
        main(&args).unwrap_err()
    }

    #[test]
    fn mistakes_exit_as_dockers_client_does() {
        for (line, kind, message) in [
            (
                "--foo ps",
                Kind::Usage,
                "unknown flag: --foo\n\nUsage:  tug [OPTIONS] COMMAND",
            ),
            ("foo", Kind::Invalid, "unknown command: tug foo\n"),
            (
                "container foo",
                Kind::Invalid,
                "unknown command: tug container foo\n",
            ),
            (
                "run --foo x",
                Kind::Usage,
                "unknown flag: --foo\n\nUsage:  tug run [OPTIONS] IMAGE",
            ),
            (
                "rm -f",
                Kind::Invalid,
                "'tug rm' requires at least 1 argument\n\nUsage:  tug rm",
            ),
            (
                "exec a",
                Kind::Invalid,
                "'tug exec' requires at least 2 arguments",
            ),
            ("ps x", Kind::Invalid, "'tug ps' accepts no arguments"),
            ("logs a b", Kind::Invalid, "'tug logs' requires 1 argument"),
            (
                "-H unix:///nonexistent/s ps",
                Kind::Gone,
                "Cannot connect to the Docker daemon at unix:///nonexistent/s. Is the docker daemon ",
            ),
            (
                "-H unix:///nonexistent/s run x",
                Kind::Run,
                "Cannot connect to the Docker daemon at unix:///nonexistent/s. Is the docker daemon ",
            ),
            (
                "-H tcp:// ps",
                Kind::Invalid,
                "unable to parse docker host `tcp://`",
            ),
            (
                "run -m x y",
                Kind::Usage,
                "invalid argument \"x\" for \"-m, --memory\" flag: invalid size: 'x'\n\nUsage:",
            ),
            ("--version", Kind::Help, "tug version "),
            ("-H x help run", Kind::Help, "Usage:  tug run "),
            ("run -e A --help", Kind::Help, "Usage:  tug run "),
            ("image", Kind::Help, "Usage:  tug image COMMAND"),
            ("help nope", Kind::Invalid, "unknown help topic: nope"),
        ] {
            let error = outcome(line);
            assert_eq!(error.kind, kind, "{line}: {}", error.message);
            assert!(
                error.message.starts_with(message),
                "{line}: {}",
                error.message
            );
        }
    }
}
