//! `exec`: one more process in a running container.
//!
//! ```text
//!   caller                  helper (fork)                       program (its sibling)
//!     | -- clone3 ----------> |   in the container's cgroup from birth
//!     |                       |   drops all descriptors, joins all namespaces at once
//!     |                       | -- clone3(CLONE_PARENT) ----------> |   in the pid namespace too
//!     | <--- Process (pidfd) - |   ends                             |
//!     | -- Go ------------------------------------------------------> |   user, capabilities
//!     | <------------------------------ Console, or Failed, or exec closes the socket
//! ```
//!
//! The helper never is in the container's process namespace, so nobody there can look into it;
//! the program is born there, hidden until execve(2) (CVE-2016-9962), and a child of the caller.

use crate::error::{Context, Error, Kind, Result};
use crate::oci::spec::Process;
use crate::runtime::console;
use crate::runtime::create::{self, Io};
use crate::runtime::program::{self, Program};
use crate::runtime::record;
use crate::runtime::report::{self, Message};
use crate::runtime::state::{self, Status};
use crate::sys::namespace::{self, Forked};
use crate::sys::{failed, fs, process, raw, socket};
use std::convert::Infallible;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

pub struct Execed {
    pub pid: i32,
    pub pidfd: OwnedFd,
    pub console: Option<OwnedFd>,
}

/// What the two new processes need to know.
struct Joining<'a> {
    process: &'a Process,
    io: Io,
    sync: OwnedFd,
    /// The container's first process.
    target: OwnedFd,
    namespaces: u32,
    /// The container's bounding set: a process that joins gets no more (CVE-2025-27612).
    bounding: u64,
}

/// Answers when the program has been executed; its exit status is for the caller to wait for.
pub fn exec(root: &Path, id: &str, process: &Process, io: Io) -> Result<Execed> {
    if process.args.as_ref().is_none_or(Vec::is_empty) {
        return Err(Error::invalid("process args cannot be empty"));
    }
    let record = record::load(root, id)?;
    let target = record.process();
    let target = match (target, state::status(root, &record)) {
        (Some(target), Status::Running | Status::Created) => target,
        (_, Status::Paused) => return Err(Error::conflict("cannot exec in a paused container")),
        _ => return Err(Error::conflict("cannot exec in a stopped container")),
    };
    let bounding = bounding_set(record.pid)?;
    let (ours, theirs) = socket::pair()?;
    let joining = Joining {
        process,
        io,
        sync: theirs,
        target,
        namespaces: record.namespaces,
        bounding,
    };

    let group = record.group();
    let forked = create::fork_in(0, group.as_ref())
        .map_err(|errno| failed("clone3", "process to join the container", errno))?;
    let Forked::Parent { pidfd: helper, .. } = forked else {
        let Err(error) = help(&joining);
        report::failed(&joining.sync, &error);
        raw::exit(1)
    };
    drop(joining);
    let outcome = listen(&ours);
    process::reap(&helper)?;
    outcome
}

/// Follow the two until the program runs.
fn listen(sync: &OwnedFd) -> Result<Execed> {
    let mut execed: Option<Execed> = None;
    let mut master = None;
    let failure = loop {
        match report::next(sync).context(|| "process that joins the container")? {
            Some(Message::Process { pid, pidfd }) => {
                execed = Some(Execed {
                    pid,
                    pidfd,
                    console: None,
                });
                // Only now may the program speak: two at once would garble their messages.
                socket::send(sync, b"G", &[])?;
            }
            Some(Message::Console(console)) => master = Some(console),
            Some(Message::Executing | Message::Ready) => {}
            Some(Message::Failed(error)) => break error,
            None => match execed {
                Some(execed) => {
                    return Ok(Execed {
                        console: master,
                        ..execed
                    });
                }
                None => {
                    break Error::new(
                        Kind::System,
                        "the process died while it joined the container",
                    );
                }
            },
        }
    };
    if let Some(execed) = execed {
        let _ = process::reap(&execed.pidfd);
    }
    Err(failure)
}

/// The helper: joins, forks the program, ends.
fn help(joining: &Joining<'_>) -> Result<Infallible> {
    process::hide(true)?;
    if joining.process.terminal != Some(true) {
        program::set_stdio(&joining.io)?;
    }
    process::keep_only(&[joining.sync.as_fd(), joining.target.as_fd()])?;
    namespace::join_process(&joining.target, joining.namespaces)?;
    process::keep_only(&[joining.sync.as_fd()])?;
    match namespace::fork_sibling()? {
        Forked::Parent { pid, pidfd } => {
            report::process(&joining.sync, pid, pidfd.as_fd())?;
            raw::exit(0)
        }
        Forked::Child => {
            let Err(error) = become_program(joining);
            report::failed(&joining.sync, &error);
            raw::exit(1)
        }
    }
}

fn become_program(joining: &Joining<'_>) -> Result<Infallible> {
    if socket::receive(&joining.sync, &mut [0u8; 1])?.0 == 0 {
        raw::exit(1);
    }
    process::new_session();
    let mut slave = None;
    if joining.process.terminal == Some(true) {
        let root = fs::open_path(Path::new("/"))?;
        let console = console::open(root.as_fd(), joining.process)?;
        report::console(&joining.sync, console.master.as_fd())?;
        slave = Some(console.slave);
    }
    let program = Program::prepare(joining.process, slave, joining.bounding)?;
    Err(program.exec())
}

/// CapBnd of a process.
fn bounding_set(pid: i32) -> Result<u64> {
    let path = format!("/proc/{pid}/status");
    let status = std::fs::read_to_string(&path)
        .map_err(|error| Error::io(format_args!("read {path}"), &error))?;
    status
        .lines()
        .find_map(|line| line.strip_prefix("CapBnd:"))
        .and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok())
        .ok_or_else(|| Error::new(Kind::System, format!("{path} names no CapBnd")))
}
