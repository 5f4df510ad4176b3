//! `tug export`.

use super::options::{Options, Verb, flag};
use super::remote::Engine;
use crate::error::{Error, Kind, Result};
use crate::http::client::{Body, Response};
use crate::http::head::Headers;
use crate::http::query;
use std::io::{ErrorKind, IsTerminal, Read, Write};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;

pub const VERB: Verb = Verb {
    names: &["export", "container export"],
    usage: "[OPTIONS] CONTAINER",
    about: "Export a container's filesystem as a tar archive",
    flags: &[&[flag(
        "-o, --output string",
        "Write to a file, instead of STDOUT",
    )]],
    args: (1, 1),
    has_command: false,
    main,
};

fn main(engine: &Engine, options: &Options) -> Result<u8> {
    let path = format!("/containers/{}/export", query::encode(&options.args[0]));
    deliver(engine, options, &path, "export container")
}

/// Fetch the archive at `path` to where `--output` says.
pub fn deliver(engine: &Engine, options: &Options, path: &str, what: &str) -> Result<u8> {
    fetch(engine, options, path, what).map(|_| 0)
}

/// The same. Answers what the engine has said beside it.
pub fn fetch(engine: &Engine, options: &Options, path: &str, what: &str) -> Result<Headers> {
    let output = options.get("output").filter(|path| !path.is_empty());
    match output {
        None if std::io::stdout().is_terminal() => {
            return Err(Error::invalid(
                "cowardly refusing to save to a terminal. Use the -o flag or redirect",
            ));
        }
        None => {}
        Some(path) => check_output(Path::new(path), what)?,
    }
    let mut response = engine.send("GET", path, Body::Empty)?;
    match output {
        None => pass_on(&mut response, &mut std::io::stdout().lock())?,
        Some(path) => write_file(&mut response, Path::new(path))?,
    }
    Ok(response.headers)
}

/// The file appears when it is whole: a broken connection leaves an older one as it was.
fn write_file(response: &mut Response, path: &Path) -> Result<()> {
    // Where the path is a link, what it leads to is replaced.
    let path = path.canonicalize().unwrap_or_else(|_| path.to_path_buf());
    let failed = |e| Error::io(format_args!("write {}", path.display()), &e);
    let mut temporary = path.clone().into_os_string();
    temporary.push(format!(".tmp-{}", std::process::id()));
    let mut write = || {
        let mut new = std::fs::OpenOptions::new();
        let new = new.write(true).create_new(true).mode(0o600);
        let mut file = new.open(&temporary).map_err(failed)?;
        pass_on(response, &mut file)?;
        std::fs::rename(&temporary, &path).map_err(failed)
    };
    write().inspect_err(|_| {
        let _ = std::fs::remove_file(&temporary);
    })
}

/// All of the answer. Its end, without which it is not whole, is checked on the way.
pub fn pass_on(from: &mut dyn Read, to: &mut dyn Write) -> Result<()> {
    let mut piece = vec![0; 64 << 10];
    loop {
        match from.read(&mut piece) {
            Ok(0) => return Ok(()),
            Ok(count) => to.write_all(&piece[..count]).map_err(|e| match e.kind() {
                ErrorKind::BrokenPipe => Error::new(Kind::Help, ""),
                _ => Error::io("write archive", &e),
            })?,
            Err(e) => return Err(Error::io("read the engine's answer", &e)),
        }
    }
}

/// Docker's sentences about a place that cannot take a file.
fn check_output(path: &Path, what: &str) -> Result<()> {
    let refused = |why: &str| Err(Error::invalid(format!("failed to {what}: {why}")));
    let dir = match path.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir,
        _ => Path::new("."),
    };
    if !dir.exists() {
        let dir = dir.display();
        return refused(&format!(
            "invalid output path: stat {dir}: no such file or directory"
        ));
    }
    let Ok(there) = std::fs::metadata(path) else {
        return Ok(());
    };
    let kind = there.file_type();
    match () {
        () if kind.is_file() => Ok(()),
        () if kind.is_dir() => refused("cannot write to a directory"),
        () if kind.is_char_device() => refused("cannot write to a character device file"),
        () if kind.is_block_device() => refused("cannot write to a block device file"),
        () if kind.is_fifo() => refused("cannot write to a named pipe file"),
        () => refused("cannot write to a socket file"),
    }
}
