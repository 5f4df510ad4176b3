//! A page per command: parse, call one room, print.
//!
//! The table below is the list of parts: what `--list` names, `--install` links, and `argv[0]`
//! selects.

mod boot;
mod client;
mod ctr;
mod engine;
mod init;
mod proxy;
mod runtime;
mod shim;

use crate::error::{Error, Kind, Result};
use std::ffi::{OsStr, OsString};
use std::path::Path;

/// One part of the chain.
struct Applet {
    /// What `tug NAME` selects.
    name: &'static str,
    /// What it also answers to as `argv[0]`; the first is ours, the others are the field's.
    links: &'static [&'static str],
    about: &'static str,
    main: fn(&[OsString]) -> Result<u8>,
}

const APPLETS: &[Applet] = &[
    Applet {
        name: "client",
        links: &["tug", "docker"],
        about: "the command line: run, ps, logs, exec and Docker's other verbs",
        main: client::main,
    },
    Applet {
        name: "engine",
        links: &["tugd", "dockerd"],
        about: "the engine: Docker's HTTP API on a socket",
        main: engine::main,
    },
    Applet {
        name: "boot",
        links: &["tug-boot"],
        about: "process 1 of a board, or its containers under another init",
        main: boot::main,
    },
    Applet {
        name: "shim",
        links: &["tug-shim", "containerd-shim"],
        about: "one container's parent; started by the engine",
        main: shim::main,
    },
    Applet {
        name: "runtime",
        links: &["tug-runtime", "runc"],
        about: "the OCI runtime's command line",
        main: runtime::main,
    },
    Applet {
        name: "init",
        links: &["tug-init", "docker-init", "tini"],
        about: "process 1 of a container: forwards signals, reaps orphans",
        main: init::main,
    },
    Applet {
        name: "proxy",
        links: &["tug-proxy", "docker-proxy"],
        about: "carries the traffic of published ports where no rule does",
        main: proxy::main,
    },
    Applet {
        name: "ctr",
        links: &["tug-ctr", "ctr"],
        about: "looks at store and containers without the engine",
        main: ctr::main,
    },
];

/// Run the part that `args` (with `argv[0]`) selects. Answers the name to print errors under.
pub fn run(args: Vec<OsString>) -> (String, Result<u8>) {
    let called = args.first().map_or("tug", |name| base_name(name));
    let rest = args.get(1..).unwrap_or_default();
    // As the kernel calls its modprobe, which is us where a board has no other, by whatever name.
    if let [quiet, dashes, module] = rest
        && (quiet, dashes) == (&OsString::from("-q"), &OsString::from("--"))
    {
        return (called.to_string(), boot::load_module(module));
    }
    if boot::NAMES.contains(&called) {
        return (called.to_string(), boot::called(called, rest));
    }
    match find(called) {
        Some(applet) if applet.name == "client" => {
            let by_name = rest.first().and_then(|name| named(name.to_str()?));
            match by_name {
                // Only the own name dispatches: `docker engine` stays the client's business.
                Some(part) if called.starts_with("tug") => {
                    (format!("tug {}", part.name), (part.main)(&rest[1..]))
                }
                _ => (called.to_string(), top_level(rest)),
            }
        }
        Some(applet) => (called.to_string(), (applet.main)(rest)),
        None => (called.to_string(), Err(unknown(called))),
    }
}

fn base_name(name: &OsStr) -> &str {
    let base = Path::new(name)
        .file_name()
        .and_then(OsStr::to_str)
        .unwrap_or("tug");
    // A login shell's argv[0] begins with a dash.
    base.trim_start_matches('-')
}

/// The part for `tug NAME`: by its own name or by one that it answers to.
fn named(name: &str) -> Option<&'static Applet> {
    APPLETS
        .iter()
        .find(|applet| applet.name == name || applet.links.contains(&name))
}

/// The part for `argv[0]`: by its whole name, or by the longest name that it continues with `-`,
/// `_` or `.`: `containerd-shim-runc-v2`, `runc-1.3`, `tug.new`.
fn find(called: &str) -> Option<&'static Applet> {
    let continues = |link: &str| {
        called
            .strip_prefix(link)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(['-', '_', '.']))
    };
    APPLETS
        .iter()
        .flat_map(|applet| {
            applet
                .links
                .iter()
                .map(move |link| (link.len(), applet, *link))
        })
        .filter(|(_, _, link)| continues(link))
        .max_by_key(|(length, _, _)| *length)
        .map(|(_, applet, _)| applet)
}

/// Options of the binary itself, before the client's.
fn top_level(args: &[OsString]) -> Result<u8> {
    match args.first().and_then(|arg| arg.to_str()) {
        Some("--list") => Err(Error::new(Kind::Help, list())),
        Some("--install") => install(args.get(1)),
        _ => client::main(args),
    }
}

/// `--list`: a name a line, as busybox.
fn list() -> String {
    let names: Vec<&str> = APPLETS
        .iter()
        .flat_map(|applet| applet.links)
        .copied()
        .collect();
    names.join("\n")
}

fn unknown(called: &str) -> Error {
    let mut message = format!("unknown name {called:?}; this binary answers to:");
    for applet in APPLETS {
        message.push_str(&format!(
            "\n  {:<40} {}",
            applet.links.join(", "),
            applet.about
        ));
    }
    Error::new(Kind::Usage, message)
}

/// `--install DIR`: a symbolic link per name, to where this binary lies. Existing files stay.
fn install(dir: Option<&OsString>) -> Result<u8> {
    let dir = Path::new(dir.ok_or_else(|| Error::new(Kind::Usage, "--install needs a directory"))?);
    let own = std::env::current_exe().map_err(|e| Error::io("find this binary", &e))?;
    for link in APPLETS.iter().flat_map(|applet| applet.links) {
        let path = dir.join(link);
        if path == own {
            continue;
        }
        match std::os::unix::fs::symlink(&own, &path) {
            Ok(()) => {}
            Err(e)
                if e.kind() == std::io::ErrorKind::AlreadyExists
                    && std::fs::read_link(&path).is_ok_and(|target| target == own) => {}
            Err(e) => return Err(Error::io(format_args!("link {}", path.display()), &e)),
        }
    }
    Ok(0)
}
