//! `tug ctr`: a look at the store and the containers without the engine.
//!
//! Reads what lies on disk and changes nothing, so it works when the engine does not.

use crate::engine::record::{load_asked, load_happened};
use crate::error::{Error, Kind, Result};
use crate::oci::state::State;
use crate::store::{record, staging};
use crate::{id, image, json};
use lexopt::prelude::*;
use std::ffi::OsString;
use std::io::Write;
use std::path::{Path, PathBuf};

const HELP: &str = "\
Usage: tug ctr [OPTIONS] COMMAND

Look at images and containers on disk, without the engine

Commands:
  images ls      images in the store
  containers ls  containers, running or not
  tasks ls       containers that this boot has seen, and their processes

Options:
      --data-root DIR  Where images and containers are (default /var/lib/tug)
      --exec-root DIR  Where the state of this boot is (default /run/tug)
  -h, --help           Print this and exit
      --version        Print the version and exit";

struct Options {
    data_root: PathBuf,
    exec_root: PathBuf,
    command: String,
}

pub fn main(args: &[OsString]) -> Result<u8> {
    let options = parse(args)?;
    let text = match &options.command[..] {
        "images" => images(&options.data_root)?,
        "containers" => containers(&options.data_root)?,
        _ => tasks(&options.exec_root)?,
    };
    std::io::stdout()
        .write_all(text.as_bytes())
        .map_err(|e| Error::io("write", &e))?;
    Ok(0)
}

fn parse(args: &[OsString]) -> Result<Options> {
    let mut parser = lexopt::Parser::from_args(args);
    let mut words = Vec::new();
    let mut options = Options {
        data_root: PathBuf::from("/var/lib/tug"),
        exec_root: PathBuf::from("/run/tug"),
        command: String::new(),
    };
    while let Some(arg) = parser.next()? {
        match arg {
            Long("data-root") => options.data_root = parser.value()?.into(),
            Long("exec-root") => options.exec_root = parser.value()?.into(),
            Short('h') | Long("help") => return Err(Error::new(Kind::Help, HELP)),
            Long("version") => {
                let version = concat!("tug ctr ", env!("CARGO_PKG_VERSION"));
                return Err(Error::new(Kind::Help, version));
            }
            Value(word) => words.push(word.string()?),
            other => return Err(other.unexpected().into()),
        }
    }
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    options.command = match words[..] {
        ["images" | "image" | "i", "ls" | "list"] => "images",
        ["containers" | "container" | "c", "ls" | "list"] => "containers",
        ["tasks" | "task" | "t", "ls" | "list"] => "tasks",
        _ => {
            return Err(Error::new(
                Kind::Usage,
                "needs a command: images ls, containers ls or tasks ls (see --help)",
            ));
        }
    }
    .to_string();
    Ok(options)
}

fn images(data_root: &Path) -> Result<String> {
    let mut rows = vec![["REF".to_string(), "DIGEST".to_string(), "SIZE".to_string()]];
    for image in image::read(data_root)? {
        let size = format!("{} KiB", image.size.div_ceil(1024));
        if image.tags.is_empty() {
            rows.push(["<none>".to_string(), image.id, size]);
            continue;
        }
        for tag in image.tags {
            rows.push([tag, image.id.clone(), size.clone()]);
        }
    }
    Ok(table(&rows))
}

fn containers(data_root: &Path) -> Result<String> {
    let dir = data_root.join("containers");
    let mut rows = vec![["CONTAINER", "NAME", "IMAGE"].map(str::to_string)];
    for name in ids(&dir)? {
        let dir = dir.join(&name);
        let happened = load_happened(&dir).ok().and_then(|happened| happened.name);
        rows.push(match load_asked(&dir) {
            Ok(Some(asked)) => [
                name,
                happened.or(asked.name).unwrap_or_default(),
                asked.image.unwrap_or_default(),
            ],
            _ => [name, "(unreadable)".into(), String::new()],
        });
    }
    Ok(table(&rows))
}

fn tasks(exec_root: &Path) -> Result<String> {
    let mut rows = vec![["TASK", "PID", "STATUS"].map(str::to_string)];
    for name in ids(&exec_root.join("containers"))? {
        let state = record::load(&exec_root.join("runtime").join(&name), "state.json")?
            .and_then(|bytes| json::parse_bytes::<State>(&bytes, "state.json").ok());
        let pid = state.and_then(|state| state.pid).filter(|pid| *pid > 0);
        // The state file is as old as its last change; the process itself is not.
        let is_alive = pid.is_some_and(|pid| Path::new(&format!("/proc/{pid}")).exists());
        rows.push(match pid {
            Some(pid) if is_alive => [name, pid.to_string(), "RUNNING".into()],
            _ => [name, "0".into(), "STOPPED".into()],
        });
    }
    Ok(table(&rows))
}

/// The containers that have a directory in `dir`; none if there is no such directory.
fn ids(dir: &Path) -> Result<Vec<String>> {
    if !dir.exists() {
        return Ok(Vec::new());
    }
    let mut names = staging::names(dir)?;
    names.retain(|name| id::is_full(name));
    Ok(names)
}

/// Columns as wide as their widest cell, four spaces between them.
fn table(rows: &[[String; 3]]) -> String {
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (n, cell) in row.iter().enumerate() {
            let widest = rows.iter().map(|row| row[n].len()).max().unwrap_or(0);
            line.push_str(cell);
            line.extend(std::iter::repeat_n(' ', widest - cell.len() + 4));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_and_roots_are_taken_in_any_order() {
        let parsed = |args: &[&str]| {
            let args: Vec<OsString> = args.iter().map(OsString::from).collect();
            parse(&args).map(|o| (o.command, o.data_root, o.exec_root))
        };
        let (command, data_root, exec_root) =
            parsed(&["--data-root", "/d", "images", "ls", "--exec-root=/e"]).unwrap();
        assert_eq!(command, "images");
        assert_eq!((data_root, exec_root), ("/d".into(), "/e".into()));
        assert!(parsed(&["images"]).is_err());
        assert!(parsed(&["images", "ls", "--nosuch"]).is_err());
        assert_eq!(parsed(&["--help"]).unwrap_err().kind, Kind::Help);
    }

    #[test]
    fn columns_line_up() {
        let rows =
            [["REF", "ID", "SIZE"], ["a:latest", "1", "2"]].map(|row| row.map(str::to_string));
        assert_eq!(
            table(&rows),
            "REF         ID    SIZE\na:latest    1     2\n"
        );
    }
}
