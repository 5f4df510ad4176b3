//! `ps`: the processes of a container, as the host's `ps` shows them.

use super::help::{need_id, refuse};
use super::print::{format_is_json, write};
use super::{Global, text};
use crate::error::{Error, Kind, Result};
use crate::json;
use crate::runtime::{kill, ps};
use crate::sys::failed;
use crate::sys::process::{self, Ended};
use crate::sys::spawn::{self, Program};
use lexopt::prelude::*;
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

pub fn main(global: &Global, mut args: lexopt::Parser) -> Result<u8> {
    let (mut id, mut is_json) = (None, false);
    let mut rest = Vec::new();
    while let Some(arg) = args.next()? {
        match arg {
            Short('f') | Long("format") => is_json = format_is_json(&text(&mut args)?)?,
            Value(value) => {
                id = Some(value.string()?);
                for word in args.raw_args()? {
                    rest.push(word.string()?);
                }
            }
            other => return Err(refuse("ps", other)),
        }
    }
    take_format(&mut rest, &mut is_json)?;
    let pids = kill::pids(&global.root, &need_id("ps", id)?)?;
    if is_json {
        return write(&(json::to_string(&pids) + "\n"));
    }
    let is_default = rest.is_empty();
    if is_default {
        rest.push("-ef".to_string());
    }
    match run_ps(&rest) {
        Ok(shown) => write(&only(&shown, &pids)?),
        // Small systems have none, or one that knows no options.
        Err(_) if is_default => write(&table(&pids)?),
        Err(error) => Err(error),
    }
}

/// What the host's `ps` prints; or what it says against it.
fn run_ps(options: &[String]) -> Result<String> {
    let pipe = || spawn::pipe().map_err(|errno| failed("pipe", "for ps", errno));
    let (out, stdout) = pipe()?;
    let (err, stderr) = pipe()?;
    let mut args = vec![c"ps".to_owned()];
    args.extend(process::c_strings(options)?);
    let program = Program {
        path: Path::new("ps"),
        args,
        env: None,
        dir: None,
        stdio: [None, Some(stdout.as_fd()), Some(stderr.as_fd())],
        resets_signals: false,
    };
    let pid = program
        .spawn()
        .map_err(|errno| failed("run", "ps", errno))?;
    drop((stdout, stderr));
    // One after the other: what it says against its options fits into a pipe.
    let read = |pipe: OwnedFd| {
        let mut text = Vec::new();
        let _ = File::from(pipe).read_to_end(&mut text);
        String::from_utf8_lossy(&text).into_owned()
    };
    let (shown, said) = (read(out), read(err));
    match process::wait(process::open(pid)?)? {
        Ended::Exited(0) => Ok(shown),
        _ => Err(Error::new(Kind::System, format!("ps: {}", said.trim_end()))),
    }
}

/// Behind the id stand options for `ps`, but `--format` is none of those, nor is `-f json`.
fn take_format(rest: &mut Vec<String>, is_json: &mut bool) -> Result<()> {
    let Some(at) = rest
        .iter()
        .position(|word| word == "-f" || word == "--format" || word.starts_with("--format="))
    else {
        return Ok(());
    };
    let (option, value) = match rest[at].split_once('=') {
        Some((_, value)) => (rest[at].clone(), Some(value.to_string())),
        None => (rest[at].clone(), rest.get(at + 1).cloned()),
    };
    match value.as_deref() {
        Some(name) if option != "-f" || matches!(name, "json" | "table") => {
            *is_json = format_is_json(name)?;
            rest.drain(at..at + if option.contains('=') { 1 } else { 2 });
        }
        _ => {}
    }
    Ok(())
}

/// The head of `ps`'s output and the lines of our processes.
fn only(text: &str, pids: &[i32]) -> Result<String> {
    let mut lines = text.lines();
    let head = lines.next().unwrap_or_default();
    let column = head.split_whitespace().position(|name| name == "PID");
    let column =
        column.ok_or_else(|| Error::new(Kind::System, "couldn't find PID field in ps output"))?;
    let is_ours = |line: &&str| {
        let pid = line.split_whitespace().nth(column);
        pid.and_then(|pid| pid.parse().ok())
            .is_some_and(|pid| pids.contains(&pid))
    };
    let mut shown = format!("{head}\n");
    for line in lines.filter(is_ours) {
        shown.push_str(line);
        shown.push('\n');
    }
    Ok(shown)
}

/// The same by ourselves.
fn table(pids: &[i32]) -> Result<String> {
    let mut text = String::from("UID          PID    PPID  C STIME TTY          TIME CMD\n");
    for row in ps::table(pids, "-ef")?.rows {
        if let [user, pid, parent, c, began, terminal, time, command] = &row[..] {
            text.push_str(&format!(
                "{user:<8} {pid:>7} {parent:>7} {c:>2} {began:<5} {terminal:<8} {time:>8} {command}\n"
            ));
        }
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_format_behind_the_id_is_ours_and_other_options_are_not() {
        let told = |line: &str| {
            let mut rest: Vec<String> = line.split_whitespace().map(str::to_string).collect();
            let mut is_json = false;
            take_format(&mut rest, &mut is_json).map(|()| (is_json, rest.join(" ")))
        };
        assert_eq!(told("-f json").unwrap(), (true, String::new()));
        assert_eq!(told("-x --format=json").unwrap(), (true, "-x".to_string()));
        assert_eq!(told("-e -f").unwrap(), (false, "-e -f".to_string()));
        assert_eq!(told("-f -e").unwrap(), (false, "-f -e".to_string()));
        assert!(told("--format xml").is_err());
    }

    #[test]
    fn our_own_process_is_in_our_own_table() {
        let pid = std::process::id().cast_signed();
        let text = table(&[pid, i32::MAX]).unwrap();
        let line = text.lines().nth(1).unwrap();
        let words: Vec<&str> = line.split_whitespace().collect();
        assert_eq!(words[1], pid.to_string());
        assert_eq!(text.lines().count(), 2);
    }
}
