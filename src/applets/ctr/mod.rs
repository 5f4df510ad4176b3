//! `tug ctr`: the store, the shims and the runtime without the engine, for rescue and for looking.
//!
//! What only looks reads the disk and asks the shims, and so works whether an engine runs, is stuck
//! or is missing; what acts on a running container speaks to its shim, from which an engine hears
//! of it like of anything else. What changes records (`run`, `tasks start`, `containers rm`) is the
//! engine's work: it opens the engine's rooms for the moment, without serving, and holds the lock
//! that an engine holds (see `rooms`). Where one runs, it says so and points to `tug`.
//!
//! A file per noun; the words and columns are those of containerd's `ctr`.

mod containers;
mod content;
mod events;
mod find;
mod images;
mod logs;
mod rooms;
mod run;
mod snapshots;
mod streams;
mod tasks;

use crate::applets::client::options::{ANY, Flag, Options, Tables, flag, list_flags};
use crate::applets::client::print;
use crate::applets::engine;
use crate::error::{Error, Kind, Result};
use crate::image::Images;
use crate::image::readonly::ReadOnly;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

const ABOUT: &str = "\
Usage: tug ctr [OPTION]... COMMAND [ARGUMENT]...

Look at images and containers, and rescue what runs, without the engine.

Commands:
";

const GLOBAL: &[Flag] = &[
    flag(
        "-a, --address string",
        "Taken for containerd's sake; not used",
    ),
    flag("--config-file string", "The engine's daemon.json"),
    flag(
        "--data-root string",
        "Images and containers (default /var/lib/tug)",
    ),
    flag(
        "--exec-root string",
        "What is true for this boot (default /run/tug)",
    ),
    flag(
        "-n, --namespace string",
        "Taken for containerd's sake; there is one",
    ),
    flag("--version", "Print the version"),
];

const PLAIN: Tables = &[GLOBAL];

/// One command, by its noun and verb.
struct Command {
    name: &'static str,
    usage: &'static str,
    about: &'static str,
    /// The global ones among them.
    flags: Tables,
    /// The least and the most arguments.
    args: (usize, usize),
    /// Whether options end at the first argument.
    has_command: bool,
    main: fn(&Ctr, &mut Options) -> Result<u8>,
}

impl Command {
    const fn new(
        name: &'static str,
        usage: &'static str,
        about: &'static str,
        args: (usize, usize),
        main: fn(&Ctr, &mut Options) -> Result<u8>,
    ) -> Command {
        Command {
            name,
            usage,
            about,
            flags: PLAIN,
            args,
            has_command: false,
            main,
        }
    }

    const fn with(self, flags: Tables) -> Command {
        Command { flags, ..self }
    }

    const fn and_command(self) -> Command {
        Command {
            has_command: true,
            ..self
        }
    }
}

const QUIET: &[Flag] = &[flag("-q, --quiet", "Print the names alone")];

static COMMANDS: &[Command] = &[
    Command::new(
        "containers ls",
        "",
        "containers, running or not",
        (0, 0),
        containers::list,
    )
    .with(&[QUIET, GLOBAL]),
    Command::new(
        "containers info",
        "CONTAINER",
        "all that is recorded of one",
        (1, 1),
        containers::info,
    ),
    Command::new(
        "containers rm",
        "CONTAINER...",
        "remove containers that do not run",
        (1, ANY),
        containers::remove,
    ),
    Command::new(
        "tasks ls",
        "",
        "what runs, or has run in this boot",
        (0, 0),
        tasks::list,
    )
    .with(&[QUIET, GLOBAL]),
    Command::new(
        "tasks ps",
        "CONTAINER",
        "the processes of one",
        (1, 1),
        tasks::processes,
    ),
    Command::new(
        "tasks start",
        "CONTAINER",
        "start a container that exists",
        (1, 1),
        run::start,
    )
    .with(&[run::DETACH, GLOBAL]),
    Command::new(
        "tasks kill",
        "CONTAINER",
        "signal its first process",
        (1, 1),
        tasks::kill,
    )
    .with(&[tasks::SIGNAL, GLOBAL]),
    Command::new(
        "tasks exec",
        "CONTAINER COMMAND [ARG...]",
        "run a further command in it",
        (2, ANY),
        tasks::exec,
    )
    .with(&[tasks::EXEC, GLOBAL])
    .and_command(),
    Command::new(
        "tasks attach",
        "CONTAINER",
        "join its streams",
        (1, 1),
        tasks::attach,
    ),
    Command::new(
        "tasks pause",
        "CONTAINER",
        "freeze its processes",
        (1, 1),
        tasks::pause,
    ),
    Command::new(
        "tasks resume",
        "CONTAINER",
        "let them go on",
        (1, 1),
        tasks::resume,
    ),
    Command::new(
        "tasks metrics",
        "CONTAINER",
        "what it uses of memory, CPU and processes",
        (1, 1),
        tasks::metrics,
    )
    .with(&[tasks::FORMAT, GLOBAL]),
    Command::new(
        "tasks delete",
        "CONTAINER...",
        "clear up after one that has ended; -f ends it",
        (1, ANY),
        tasks::delete,
    )
    .with(&[tasks::FORCE, GLOBAL]),
    Command::new("images ls", "", "images in the store", (0, 0), images::list)
        .with(&[QUIET, GLOBAL]),
    Command::new(
        "images info",
        "IMAGE",
        "an image's configuration",
        (1, 1),
        images::info,
    ),
    Command::new(
        "images check",
        "",
        "whether all of each image is there",
        (0, 0),
        images::check,
    )
    .with(&[
        QUIET,
        &[flag("--verify", "Read all files of all images, too")],
        GLOBAL,
    ]),
    Command::new(
        "images mount",
        "IMAGE DIRECTORY",
        "show an image's files there, to read",
        (2, 2),
        images::mount,
    ),
    Command::new(
        "images unmount",
        "DIRECTORY...",
        "end that; before the image is removed",
        (1, ANY),
        images::unmount,
    ),
    Command::new(
        "images tag",
        "IMAGE NAME...",
        "give an image more names",
        (2, ANY),
        images::tag,
    )
    .with(&[images::FORCE, GLOBAL]),
    Command::new(
        "images rm",
        "IMAGE...",
        "take away names, and images with their last one",
        (1, ANY),
        images::remove,
    ),
    Command::new(
        "images pull",
        "IMAGE",
        "an image from a registry",
        (1, 1),
        images::pull,
    )
    .with(&[images::PLATFORM, images::USER, GLOBAL]),
    Command::new(
        "images push",
        "NAME [IMAGE]",
        "an image to the registry of its name, or another's",
        (1, 2),
        images::push,
    )
    .with(&[images::USER, GLOBAL]),
    Command::new(
        "images export",
        "FILE IMAGE...",
        "an archive of images, - for standard output",
        (2, ANY),
        images::export,
    )
    .with(&[images::PLATFORM, GLOBAL]),
    Command::new(
        "images import",
        "FILE",
        "images from an archive, - for standard input",
        (1, 1),
        images::import,
    ),
    Command::new(
        "content ls",
        "",
        "what the store keeps by digest",
        (0, 0),
        content::list,
    )
    .with(&[QUIET, GLOBAL]),
    Command::new(
        "content get",
        "DIGEST",
        "a configuration, a manifest, or a layer as a tar archive",
        (1, 1),
        content::get,
    ),
    Command::new(
        "snapshots ls",
        "",
        "layers, and what containers have on top",
        (0, 0),
        snapshots::list,
    ),
    Command::new(
        "snapshots info",
        "KEY",
        "where one lies",
        (1, 1),
        snapshots::info,
    ),
    Command::new(
        "snapshots usage",
        "[KEY...]",
        "what they take of the disk",
        (0, ANY),
        snapshots::usage,
    ),
    Command::new(
        "snapshots tree",
        "",
        "which lies on which",
        (0, 0),
        snapshots::tree,
    ),
    Command::new(
        "snapshots mounts",
        "DIRECTORY KEY",
        "the command that mounts one there",
        (2, 2),
        snapshots::mounts,
    ),
    Command::new(
        "run",
        "IMAGE CONTAINER [COMMAND] [ARG...]",
        "create and start a container",
        (2, ANY),
        run::run,
    )
    .with(run::FLAGS)
    .and_command(),
    Command::new(
        "logs",
        "CONTAINER",
        "what a container has printed",
        (1, 1),
        logs::logs,
    )
    .with(&[logs::FLAGS, GLOBAL]),
    Command::new(
        "events",
        "",
        "starts, ends and out-of-memory kills as they happen",
        (0, 0),
        events::follow,
    ),
];

/// Where things lie.
struct Ctr {
    data_root: PathBuf,
    exec_root: PathBuf,
    /// Read-only stores beside the data root.
    stores: Vec<PathBuf>,
    /// The engine's flags among ours.
    engine_args: Vec<OsString>,
}

pub fn main(args: &[OsString]) -> Result<u8> {
    let mut options = Options::read(PLAIN, true, args)?;
    if options.is("version") {
        let version = concat!("tug ctr ", env!("CARGO_PKG_VERSION"));
        return Err(Error::new(Kind::Help, version));
    }
    let words = options.args.len();
    let Some((command, count)) = find_command(&options.args) else {
        return Err(match words {
            _ if options.is("help") => Error::new(Kind::Help, help()),
            0 => Error::new(Kind::Usage, "a command is needed, see tug ctr --help"),
            _ => {
                let word = options.args.join(" ");
                let sentence = format!("unknown command: {word}, see tug ctr --help");
                Error::new(Kind::Usage, sentence)
            }
        });
    };
    // Global options may stand on both sides of the command.
    let rest = args.get(args.len() - words + count..).unwrap_or_default();
    let own = Options::read(command.flags, command.has_command, rest)?;
    if options.is("help") || own.is("help") {
        return Err(Error::new(Kind::Help, command_help(command)));
    }
    let (least, most) = command.args;
    if own.args.len() < least || own.args.len() > most {
        let sentence = format!("Usage: tug ctr {} {}", command.name, command.usage);
        return Err(Error::new(Kind::Usage, sentence.trim_end()));
    }
    options.append(own);
    (command.main)(&Ctr::new(&options)?, &mut options)
}

/// The command that `words` begin with, and how many of them name it.
fn find_command(words: &[String]) -> Option<(&'static Command, usize)> {
    let first = words.first()?;
    let noun = match first.as_str() {
        "c" | "container" => "containers",
        "t" | "task" => "tasks",
        "i" | "image" => "images",
        "blob" => "content",
        "snapshot" => "snapshots",
        other => other,
    };
    let by_name = |name: &str| COMMANDS.iter().find(|command| command.name == name);
    // Those that people type without their noun.
    if let "exec" | "kill" | "delete" | "attach" | "pause" | "resume" = noun {
        return by_name(&format!("tasks {noun}")).map(|command| (command, 1));
    }
    if let Some(command) = by_name(noun) {
        return Some((command, 1));
    }
    let verb = match (noun, words.get(1)?.as_str()) {
        (_, "list") => "ls",
        ("tasks", "del" | "rm" | "remove") => "delete",
        ("containers" | "images", "delete" | "del" | "remove") => "rm",
        ("snapshots", "m" | "mount") => "mounts",
        (_, "metric") => "metrics",
        (_, other) => other,
    };
    by_name(&format!("{noun} {verb}")).map(|command| (command, 2))
}

impl Ctr {
    fn new(options: &Options) -> Result<Ctr> {
        let mut engine_args = Vec::new();
        for name in ["config-file", "data-root", "exec-root"] {
            if let Some(value) = options.get(name) {
                engine_args.push(format!("--{name}={value}").into());
            }
        }
        let config = engine::configuration(&engine_args).map(|(options, _)| options);
        // To look, a broken daemon.json is no hindrance.
        let config = config.unwrap_or_default();
        let root = |name: &str, otherwise: &Path| match options.get(name) {
            Some(path) => {
                std::path::absolute(path).map_err(|e| Error::io(format_args!("find {path}"), &e))
            }
            None => Ok(otherwise.to_path_buf()),
        };
        Ok(Ctr {
            data_root: root("data-root", &config.data_root)?,
            exec_root: root("exec-root", &config.exec_root)?,
            stores: config.stores,
            engine_args,
        })
    }

    /// All images. Those in files are there as long as an engine has these mounted.
    fn images(&self) -> Result<Images> {
        let stores = ReadOnly::open_all(&self.stores, &self.exec_root, &[]);
        Images::look(&self.data_root, stores)
    }

    fn data_dir(&self, id: &str) -> PathBuf {
        self.data_root.join("containers").join(id)
    }

    fn run_dir(&self, id: &str) -> PathBuf {
        self.exec_root.join("containers").join(id)
    }
}

fn help() -> String {
    let mut text = ABOUT.to_string();
    let width = COMMANDS.iter().map(|command| command.name.len()).max();
    for command in COMMANDS {
        let width = width.unwrap_or(0);
        text.push_str(&format!("  {:width$}  {}\n", command.name, command.about));
    }
    text.push_str("\nOptions:\n");
    list_flags(&mut text, &[GLOBAL]);
    text.push_str("\nRun 'tug ctr COMMAND --help' for more on a command.");
    text
}

fn command_help(command: &Command) -> String {
    let mut text = format!(
        "Usage: tug ctr {} [OPTION]... {}\n\n{}\n\nOptions:\n",
        command.name, command.usage, command.about
    );
    list_flags(&mut text, command.flags);
    text
}

/// Bytes as `ctr` shows them: `1.9 MiB`.
fn size(bytes: u64) -> String {
    let (mut unit, mut whole) = (0, 1u64);
    while bytes / whole >= 1024 && unit < 4 {
        whole *= 1024;
        unit += 1;
    }
    let tenths = (u128::from(bytes) * 10 + u128::from(whole) / 2) / u128::from(whole);
    let name = ["B", "KiB", "MiB", "GiB", "TiB"][unit];
    format!("{}.{} {name}", tenths / 10, tenths % 10)
}

/// A table: a line each, with tabs between its cells.
fn print_table(text: &str) -> Result<u8> {
    print::out(print::table(text))?;
    Ok(0)
}

/// The table, or with --quiet its first column alone.
fn print_list(text: &str, options: &Options) -> Result<u8> {
    if !options.is("quiet") {
        return print_table(text);
    }
    for line in text.lines().skip(1) {
        print::line(line.split('\t').next().unwrap_or_default())?;
    }
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(line: &str) -> Option<&'static str> {
        let words: Vec<String> = line.split_whitespace().map(str::to_string).collect();
        find_command(&words).map(|(command, _)| command.name)
    }

    #[test]
    fn commands_have_the_names_that_people_type() {
        assert_eq!(command("c ls"), Some("containers ls"));
        assert_eq!(command("container list"), Some("containers ls"));
        assert_eq!(command("containers delete x"), Some("containers rm"));
        assert_eq!(command("t rm x"), Some("tasks delete"));
        assert_eq!(command("kill x"), Some("tasks kill"));
        assert_eq!(command("i del x"), Some("images rm"));
        assert_eq!(command("snapshot m /x y"), Some("snapshots mounts"));
        assert_eq!(command("run image id"), Some("run"));
        assert_eq!(command("tasks"), None);
        assert_eq!(command("soup ls"), None);
    }

    #[test]
    fn sizes_are_shown_as_ctr_shows_them() {
        for (bytes, shown) in [
            (0, "0.0 B"),
            (1023, "1023.0 B"),
            (1024, "1.0 KiB"),
            (1_982_258, "1.9 MiB"),
            (5 << 40, "5.0 TiB"),
        ] {
            assert_eq!(size(bytes), shown);
        }
    }

    #[test]
    fn bad_input_is_an_error_of_usage() {
        let kind = |args: &[&str]| {
            let args: Vec<OsString> = args.iter().map(OsString::from).collect();
            main(&args).unwrap_err().kind
        };
        for args in [
            &[][..],
            &["soup"],
            &["images"],
            &["images", "ls", "--nosuch"],
            &["images", "ls", "more"],
            &["tasks", "kill"],
        ] {
            assert_eq!(kind(args), Kind::Usage, "{args:?}");
        }
        for args in [
            &["--help"][..],
            &["-h"],
            &["tasks", "kill", "--help"],
            &["--version"],
        ] {
            assert_eq!(kind(args), Kind::Help, "{args:?}");
        }
    }
}
