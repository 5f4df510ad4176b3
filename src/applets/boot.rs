//! `tug boot`, `init` as process 1, and `poweroff`, `reboot`, `halt`: a board from power-on to its
//! containers, and back.

use crate::applets::client::options::{Flag, Tables, flag, list_flags, read};
use crate::applets::client::planned::RESOLVER;
use crate::applets::client::print;
use crate::applets::engine;
use crate::boot;
use crate::boot::init::{self, Above};
use crate::boot::orders::{self, Order};
use crate::boot::status::{self, Row, Status};
use crate::error::{Error, Kind, Result};
use crate::plan;
use crate::sys::power::End;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

const ABOUT: &str = "\
Usage: tug boot [OPTION]...
       tug boot COMMAND

Start what the plan in a directory has: onboot containers one after the other,
then services; and serve the API, starting the engine when somebody calls. As
process 1 (called init by the kernel) also set up the machine, reap orphans, and
stop and end everything on a signal or Ctrl-Alt-Del.

Commands:
  status      What became of each part of the plan
  check DIR   Whether a plan, or a file, is good, without doing anything
  reload      Read the plan again
  poweroff    Stop the containers, and power the machine off
  reboot      The same, and start it again
  halt        The same, and leave it on

Options:
";

const FLAGS: &[Flag] = &[
    flag("--exec-root string", "Of the engine (default /run/tug)"),
    flag(
        "--machine",
        "Apply machine.json under another init too: modules, sysctls, addresses, mounts",
    ),
    flag("--plan string", "The plan (default /etc/tug/boot)"),
    flag("-v, --version", "Print the version"),
];

/// What is meant whatever directory it lies in. The kernel calls process 1 `init`.
pub const NAMES: [&str; 4] = ["init", "poweroff", "reboot", "halt"];

/// The part behind one of `NAMES`.
pub fn called(name: &str, args: &[OsString]) -> Result<u8> {
    if name != "init" {
        return command(
            &[name.to_string()],
            Path::new(EXEC_ROOT),
            Path::new(boot::PLAN),
        );
    }
    if !crate::sys::init::is_first_process() {
        return Err(Error::invalid(
            "init is process 1 alone: a plan under another init is started by tug boot",
        ));
    }
    // The kernel hands down the words of its command line that it does not know.
    let words: Vec<&str> = args.iter().filter_map(|word| word.to_str()).collect();
    let plan = words.iter().find_map(|word| word.strip_prefix("--plan="));
    let has_rescue = ["rescue", "single"].iter().any(|word| words.contains(word));
    start(&init::Options {
        plan: PathBuf::from(plan.unwrap_or(boot::PLAN)),
        has_rescue,
        applies_machine: false,
    })
}

/// The kernel needs a module. Nobody reads what we would say: who needs it tells that it is missing.
pub fn load_module(name: &OsStr) -> Result<u8> {
    boot::modules::load(&name.to_string_lossy()).map(|()| 0)
}

const EXEC_ROOT: &str = "/run/tug";

pub fn main(args: &[OsString]) -> Result<u8> {
    const TABLES: Tables = &[FLAGS];
    let (given, rest) = read(TABLES, false, args)?;
    let find = |name: &str| {
        let mut values = given.iter().rev().filter(|(flag, _)| flag.long() == name);
        values.next().map(|(_, value)| value.as_str())
    };
    if find("help") == Some("true") {
        let mut help = ABOUT.to_string();
        list_flags(&mut help, TABLES);
        return Err(Error::new(Kind::Help, help));
    }
    if find("version") == Some("true") {
        let version = concat!("tug boot ", env!("CARGO_PKG_VERSION"));
        return Err(Error::new(Kind::Help, version));
    }
    let plan = find("plan").unwrap_or(boot::PLAN);
    if rest.is_empty() {
        return start(&init::Options {
            plan: PathBuf::from(plan),
            has_rescue: false,
            applies_machine: find("machine") == Some("true"),
        });
    }
    let exec_root = find("exec-root").unwrap_or(EXEC_ROOT);
    command(&rest, Path::new(exec_root), Path::new(plan))
}

/// Process 1 does not come back.
fn start(options: &init::Options) -> Result<u8> {
    let above = Above {
        place: engine::place,
    };
    let outcome = init::run(options, &above);
    match &outcome {
        Err(error) if crate::sys::init::is_first_process() => init::rescue(options, error),
        _ => outcome,
    }
}

fn command(words: &[String], exec_root: &Path, plan: &Path) -> Result<u8> {
    let order = match (words.first().map_or("", String::as_str), words.get(1)) {
        ("status", None) => return show(exec_root),
        ("check", dir) => return check(dir.map_or(plan, |dir| Path::new(dir))),
        ("reload", None) => Order::Reload,
        ("poweroff", None) => Order::End(End::PowerOff),
        ("reboot", None) => Order::End(End::Reboot),
        ("halt", None) => Order::End(End::Halt),
        (word, _) => {
            let sentence = format!("unexpected argument '{word}', see tug boot --help");
            return Err(Error::new(Kind::Usage, sentence));
        }
    };
    orders::send(exec_root, order).map(|()| 0)
}

/// The machine's parts, then the plan's entries. 1 if something is not as it should be.
fn show(exec_root: &Path) -> Result<u8> {
    let mut rows = Vec::new();
    for file in [status::MACHINE, status::ENTRIES] {
        rows.extend(Status::load(exec_root, file).rows.unwrap_or_default());
    }
    if rows.is_empty() {
        let place = exec_root.display();
        let sentence = format!("nothing is known of a boot in {place}: see --exec-root");
        return Err(Error::not_found(sentence));
    }
    let mut text = String::from("NAME\tPHASE\tSTATE\tMS\tWHY\n");
    for row in &rows {
        let Row {
            name,
            phase,
            state,
            since_boot_ms,
            why,
            ..
        } = row;
        text.push_str(&format!(
            "{name}\t{phase}\t{state}\t{since_boot_ms}\t{why}\n"
        ));
    }
    print::out(print::table(&text))?;
    let is_bad = |state: &str| [status::FAILED, status::BROKEN].contains(&state);
    Ok(rows.iter().any(|row| is_bad(&row.state)).into())
}

/// All that is wrong with a plan, or with one file, a line each.
fn check(dir: &Path) -> Result<u8> {
    let set = match dir.is_file() {
        true => plan::read_file(dir)?,
        false => plan::read_dir(dir)?,
    };
    let mut wrong: Vec<String> = Vec::new();
    if let Err(error) = plan::machine(dir) {
        wrong.push(error.message.clone());
    }
    let order = plan::order(&set.entries);
    let broken = set.broken.iter().chain(&order.broken);
    wrong.extend(broken.map(|remark| remark.text.clone()));
    let resolved = set
        .entries
        .iter()
        .map(|entry| (RESOLVER.container)(entry).map(drop));
    let volumes = set
        .volumes
        .iter()
        .map(|made| (RESOLVER.volume)(made).map(drop));
    let networks = set
        .networks
        .iter()
        .map(|made| (RESOLVER.network)(made).map(drop));
    for outcome in resolved.chain(volumes).chain(networks) {
        if let Err(error) = outcome {
            wrong.push(error.message.clone());
        }
    }
    for line in set.notes.iter().map(|note| &note.text).chain(&wrong) {
        print::line(line)?;
    }
    Ok((!wrong.is_empty()).into())
}
