//! `update`: new limits for a container that is there.

use super::help::{need_id, refuse};
use super::{Global, input, text};
use crate::applets::client::human;
use crate::error::{Error, Result};
use crate::oci::spec::{Memory, Resources};
use crate::runtime::update;
use lexopt::prelude::*;
use std::path::PathBuf;

pub fn main(global: &Global, args: lexopt::Parser) -> Result<u8> {
    let options = parse(args)?;
    for name in &options.ignored {
        let message = format!("Setting --{name} is ignored: the kernel has no such limit any more");
        global.log.warn(&message);
    }
    let mut resources = match &options.file {
        // As in runc: with a file the other options do not count.
        Some(path) => input::file(path, true)?,
        None => options.resources,
    };
    if let Some(memory) = &mut resources.memory {
        unlimit_swap(memory);
    }
    update::update(&global.root, &options.id, resources)?;
    global
        .log
        .debug(&format!("updated the limits of container {}", options.id));
    Ok(0)
}

#[derive(Debug, Default)]
struct Options {
    id: String,
    file: Option<PathBuf>,
    resources: Resources,
    ignored: Vec<String>,
}

/// Without a limit on memory one on memory and swap together would be none either.
fn unlimit_swap(memory: &mut Memory) {
    if memory.limit == Some(-1) && memory.swap.is_none() {
        memory.swap = Some(-1);
    }
}

fn parse(mut args: lexopt::Parser) -> Result<Options> {
    let mut options = Options::default();
    let mut id = None;
    while let Some(arg) = args.next()? {
        match arg {
            Short('r') => options.file = Some(PathBuf::from(args.value()?)),
            Long(name) => {
                let name = name.to_string();
                if name == "help" {
                    return Err(refuse("update", Long(&name)));
                }
                take(&mut options, &name, &mut args)?;
            }
            Value(value) if id.is_none() => id = Some(value.string()?),
            other => return Err(refuse("update", other)),
        }
    }
    options.id = need_id("update", id)?;
    Ok(options)
}

/// One long option; all take a value, and an empty one means that it was not given.
fn take(options: &mut Options, name: &str, args: &mut lexopt::Parser) -> Result<()> {
    if !KNOWN.contains(&name) {
        return Err(refuse("update", Long(name)));
    }
    let value = text(args)?;
    if value.is_empty() {
        return Ok(());
    }
    let resources = &mut options.resources;
    let cpu = resources.cpu.get_or_insert_default();
    let memory = resources.memory.get_or_insert_default();
    let signed = || input::number::<i64>(name, &value).map(Some);
    let unsigned = || input::number::<u64>(name, &value).map(Some);
    let bytes = || match value.as_str() {
        "-1" => Ok(Some(-1)),
        _ => human::parse_size(&value)
            .map(Some)
            .map_err(|_| input::bad(name, &value)),
    };
    match name {
        "resources" => options.file = Some(PathBuf::from(value)),
        "blkio-weight" => {
            let io = resources.block_io.get_or_insert_default();
            io.weight = Some(input::number(name, &value)?);
        }
        "cpu-period" => cpu.period = unsigned()?,
        "cpu-quota" => cpu.quota = signed()?,
        "cpu-burst" => cpu.burst = unsigned()?,
        "cpu-share" => cpu.shares = unsigned()?,
        "cpu-rt-period" => cpu.realtime_period = unsigned()?,
        "cpu-rt-runtime" => cpu.realtime_runtime = signed()?,
        "cpu-idle" => cpu.idle = signed()?,
        "cpuset-cpus" => cpu.cpus = Some(value),
        "cpuset-mems" => cpu.mems = Some(value),
        "memory" => memory.limit = bytes()?,
        "memory-reservation" => memory.reservation = bytes()?,
        "memory-swap" => memory.swap = bytes()?,
        "pids-limit" => resources.pids.get_or_insert_default().limit = signed()?,
        "l3-cache-schema" => {
            return Err(Error::unsupported(
                "Intel RDT/CAT: l3 cache schema is not enabled",
            ));
        }
        "mem-bw-schema" => {
            return Err(Error::unsupported(
                "Intel RDT/MBA: memory bandwidth schema is not enabled",
            ));
        }
        _ => options.ignored.push(name.to_string()),
    }
    Ok(())
}

const KNOWN: [&str; 19] = [
    "resources",
    "blkio-weight",
    "cpu-period",
    "cpu-quota",
    "cpu-burst",
    "cpu-share",
    "cpu-rt-period",
    "cpu-rt-runtime",
    "cpu-idle",
    "cpuset-cpus",
    "cpuset-mems",
    "memory",
    "memory-reservation",
    "memory-swap",
    "kernel-memory",
    "kernel-memory-tcp",
    "pids-limit",
    "l3-cache-schema",
    "mem-bw-schema",
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json;

    fn told(line: &str) -> Result<String> {
        let args = line.split(' ').map(|word| word.trim_matches('\''));
        let options = parse(lexopt::Parser::from_args(args))?;
        Ok(json::to_string(&options.resources))
    }

    #[test]
    fn options_become_resources() {
        assert_eq!(
            told("--memory 64m web --memory-swap=-1 --memory-reservation 1.5g").unwrap(),
            r#"{"memory":{"limit":67108864,"reservation":1610612736,"swap":-1},"cpu":{}}"#
        );
        assert_eq!(
            told("--cpu-quota -1 --cpu-period 5 --cpu-burst 6 --cpu-share 7 --cpu-idle 1 web")
                .unwrap(),
            r#"{"memory":{},"cpu":{"shares":7,"quota":-1,"period":5,"burst":6,"idle":1}}"#
        );
        assert_eq!(
            told("--cpuset-cpus 0-1 --cpuset-mems 0 --blkio-weight 10 --pids-limit -1 web")
                .unwrap(),
            r#"{"memory":{},"cpu":{"cpus":"0-1","mems":"0"},"pids":{"limit":-1},"blockIO":{"weight":10}}"#
        );
        assert_eq!(told("--memory '' web").unwrap(), "{}");
        for (bad, what) in [
            ("--memory x web", "invalid value for memory"),
            ("--cpu-period -1 web", "invalid value for cpu-period"),
            ("--blkio-weight 70000 web", "invalid value for blkio-weight"),
            ("--l3-cache-schema L3:0=f web", "Intel RDT/CAT"),
            ("--memory 1", "requires exactly 1 argument"),
            ("--frob 1 web", "--frob"),
        ] {
            let error = told(bad).unwrap_err();
            assert!(error.message.contains(what), "{bad}: {error}");
        }
    }
}
