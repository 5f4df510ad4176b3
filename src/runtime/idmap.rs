//! The maps of a new user namespace (user_namespaces(7)).
//!
//! A privileged maker writes any map. Another may write one that maps its own id alone, after it
//! has given up setgroups(2); for more there are newuidmap(1) and newgidmap(1), which are
//! privileged and look into /etc/subuid and /etc/subgid.

use crate::error::{Error, Result};
use crate::oci::spec::IdMapping;
use crate::runtime::birth;
use crate::runtime::plan::Plan;
use crate::sys::namespace::Forked;
use crate::sys::process::{self, Ids};
use crate::sys::{failed, fs, raw};
use linux_raw_sys::general as kernel;
use rustix::io::Errno;

/// One of the two maps.
struct Map<'a> {
    /// In /proc/PID.
    file: &'static str,
    program: &'static str,
    /// As in an error: `uid`.
    name: &'static str,
    ranges: &'a [IdMapping],
    /// Our own id.
    own: u32,
}

/// Write the maps of the user namespace that the plan makes, if it makes one.
pub fn write(plan: &Plan<'_>, pid: i32) -> Result<()> {
    if plan.new & kernel::CLONE_NEWUSER == 0 {
        return Ok(());
    }
    let (uids, gids) = ranges(plan);
    write_maps(pid, uids, gids)
}

/// Write the maps of the user namespace that the process is the first in.
pub fn write_maps(pid: i32, uids: &[IdMapping], gids: &[IdMapping]) -> Result<()> {
    let gids = Map {
        file: "gid_map",
        program: "newgidmap",
        name: "gid",
        ranges: gids,
        own: rustix::process::getegid().as_raw(),
    };
    let uids = Map {
        file: "uid_map",
        program: "newuidmap",
        name: "uid",
        ranges: uids,
        own: rustix::process::geteuid().as_raw(),
    };
    gids.write(pid)?;
    uids.write(pid)
}

/// The maps of the container's own user namespace, uids first.
pub fn ranges<'a>(plan: &Plan<'a>) -> (&'a [IdMapping], &'a [IdMapping]) {
    let linux = plan.spec.linux.as_ref();
    let uids = linux.and_then(|linux| linux.uid_mappings.as_deref());
    let gids = linux.and_then(|linux| linux.gid_mappings.as_deref());
    (uids.unwrap_or_default(), gids.unwrap_or_default())
}

/// Whom the first process becomes to set the container up: root, or who comes first in the maps.
pub fn root(plan: &Plan<'_>) -> Ids {
    let (uids, gids) = ranges(plan);
    Ids {
        uid: first(uids),
        gid: first(gids),
        ..Ids::default()
    }
}

fn first(ranges: &[IdMapping]) -> u32 {
    let starts = ranges.iter().filter_map(|range| range.container_id);
    starts.min().unwrap_or(0)
}

/// The same for the user namespace that a process is in.
pub fn root_of(pid: i32) -> Result<Ids> {
    let read = |file: &str| {
        let text = fs::read_text(&format!("/proc/{pid}/{file}"))?;
        let starts = text
            .lines()
            .filter_map(|line| line.split_whitespace().next()?.parse().ok());
        Ok::<u32, Error>(starts.min().unwrap_or(0))
    };
    Ok(Ids {
        uid: read("uid_map")?,
        gid: read("gid_map")?,
        ..Ids::default()
    })
}

/// A range without a number begins at 0, as runc reads it.
fn numbers(range: &IdMapping) -> [u32; 3] {
    [range.container_id, range.host_id, range.size].map(|number| number.unwrap_or(0))
}

impl Map<'_> {
    fn write(&self, pid: i32) -> Result<()> {
        if self.ranges.is_empty() {
            return Err(Error::invalid(format!(
                "user namespaces enabled, but no {} mappings found",
                self.name
            )));
        }
        let path = format!("/proc/{pid}/{}", self.file);
        let lines = self.ranges.iter().map(numbers);
        // In one write: the kernel takes no second.
        let text: String = lines
            .map(|[to, from, size]| format!("{to} {from} {size}\n"))
            .collect();
        let write = || std::fs::write(&path, &text);
        let refused = match write() {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        let is_denied = refused.kind() == std::io::ErrorKind::PermissionDenied;
        if !is_denied {
            return Err(Error::io(
                format_args!("write {text:?} to {path}"),
                &refused,
            ));
        }
        let is_own = matches!(self.ranges.iter().map(numbers).next(), Some([_, from, 1]) if from == self.own);
        if is_own && self.ranges.len() == 1 {
            // With setgroups a process could drop a group that is there to deny it something.
            let setgroups = format!("/proc/{pid}/setgroups");
            return std::fs::write(&setgroups, "deny")
                .and_then(|()| write())
                .map_err(|error| Error::io(format_args!("write {path}"), &error));
        }
        self.run_program(pid)
    }

    /// newuidmap or newgidmap, from $PATH.
    fn run_program(&self, pid: i32) -> Result<()> {
        let mut args = vec![self.program.to_string(), pid.to_string()];
        args.extend(self.ranges.iter().flat_map(numbers).map(|n| n.to_string()));
        let missing = || {
            Error::invalid(format!(
                "{} mappings need privileges or the program {}, which is not in $PATH: install the package uidmap",
                self.name, self.program
            ))
        };
        let path = std::env::var("PATH").unwrap_or_default();
        let program = path
            .split(':')
            .map(|dir| format!("{dir}/{}", self.program))
            .find(|file| std::path::Path::new(file).is_file())
            .ok_or_else(missing)?;
        match run(program, &args)? {
            0 => Ok(()),
            code => Err(Error::invalid(format!(
                "{} ended with exit status {code}: are these ids yours in /etc/sub{}?",
                args.join(" "),
                self.name
            ))),
        }
    }
}

fn run(program: String, args: &[String]) -> Result<i32> {
    let list = process::c_strings(&[program])?;
    let args = process::c_strings(args)?;
    let forked = birth::fork_in(0, None).map_err(|errno| failed("clone3", "newuidmap", errno))?;
    match (forked, list.first()) {
        (Forked::Parent { pidfd, .. }, _) => process::reap(&pidfd),
        (Forked::Child, Some(program)) => {
            let _ = process::keep_only(3, &[]);
            raw::reset_signals();
            let _: Errno = process::exec(program, &args, &[]);
            raw::exit(127)
        }
        (Forked::Child, None) => raw::exit(127),
    }
}
