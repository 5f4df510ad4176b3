//! Work that takes much memory, done by a process of its own, so that the shim stays small: reading
//! a specification, making a container, joining one.
//!
//! ```text
//!   shim                         helper (fork)                 container's process
//!     | -- fork ---------------> |
//!     |                          | -- as `runtime` says -------> |
//!     | <- pid, pidfd, console - |   ends
//!     | <------------------- becomes the shim's child, who adopts orphans
//! ```

use crate::cgroup::Group;
use crate::error::{Error, Kind, Result};
use crate::json;
use crate::runtime::create::Created;
use crate::runtime::exec::Execed;
use crate::shim::message::{LINE_BYTES_MAX, Reply};
use crate::sys::namespace::{self, Forked};
use crate::sys::{failed, process, raw, socket};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

const OOM_SCORE_ADJ: &str = "/proc/self/oom_score_adj";

/// A process of the container.
pub struct Made {
    pub pid: i32,
    pub pidfd: OwnedFd,
    /// The master of its terminal.
    pub console: Option<OwnedFd>,
    pub group: Option<Group>,
}

impl From<Created> for Made {
    fn from(created: Created) -> Made {
        Made {
            pid: created.pid,
            pidfd: created.pidfd,
            console: created.console,
            group: created.group,
        }
    }
}

impl From<Execed> for Made {
    fn from(execed: Execed) -> Made {
        Made {
            pid: execed.pid,
            pidfd: execed.pidfd,
            console: execed.console,
            group: None,
        }
    }
}

/// Do `work` in a helper. `oom_score_adj` is what it and its children get in place of ours.
pub fn make(oom_score_adj: Option<i32>, work: impl FnOnce() -> Result<Made>) -> Result<Made> {
    let (ours, theirs) = socket::pair()?;
    let forked = namespace::fork(0, None::<OwnedFd>)
        .map_err(|errno| failed("clone3", "helper of the shim", errno))?;
    let Forked::Parent { pidfd: helper, .. } = forked else {
        drop(ours);
        set_oom_score_adj(oom_score_adj);
        process::lower_descriptors();
        answer(theirs.as_fd(), work());
        raw::exit(0)
    };
    drop(theirs);
    // Our copies of the streams that the new process has.
    drop(work);
    let answer = listen(ours.as_fd());
    process::reap(&helper)?;
    answer
}

fn answer(sync: BorrowedFd<'_>, outcome: Result<Made>) {
    let (reply, made) = match outcome {
        Ok(made) => {
            let group = made.group.as_ref().map(Group::path);
            let reply = Reply {
                pid: Some(made.pid),
                group: group.map(|path| path.display().to_string()),
                ..Default::default()
            };
            (reply, Some(made))
        }
        Err(error) => (Reply::error(&error), None),
    };
    let mut fds = Vec::new();
    if let Some(made) = &made {
        fds.push(made.pidfd.as_fd());
        fds.extend(made.console.as_ref().map(AsFd::as_fd));
    }
    let line = json::to_string(&reply) + "\n";
    // If the shim is no more, its container ends with it.
    let _ = socket::send(sync, line.as_bytes(), &fds);
}

fn listen(sync: BorrowedFd<'_>) -> Result<Made> {
    let mut line = Vec::new();
    let mut fds = Vec::new();
    let mut buffer = [0u8; 1024];
    while line.last() != Some(&b'\n') && line.len() < LINE_BYTES_MAX {
        let (count, more) = socket::receive(sync, &mut buffer)?;
        if count == 0 {
            break;
        }
        line.extend_from_slice(buffer.get(..count).unwrap_or_default());
        fds.extend(more);
    }
    if line.is_empty() {
        return Err(Error::new(Kind::System, "the helper of the shim has died"));
    }
    let reply = json::parse_bytes::<Reply>(&line, "answer of the helper")?.into_result()?;
    let mut fds = fds.into_iter();
    let pidfd = fds.next();
    Ok(Made {
        pid: reply.pid.unwrap_or(0),
        pidfd: pidfd.ok_or_else(|| Error::new(Kind::System, "the helper sent no process"))?,
        console: fds.next(),
        group: reply
            .group
            .map(|path| Group::open(Path::new(&path)))
            .transpose()?,
    })
}

/// What our children shall have in place of what `protect` gives us.
pub fn oom_score_adj() -> Option<i32> {
    std::fs::read_to_string(OOM_SCORE_ADJ)
        .ok()?
        .trim()
        .parse()
        .ok()
}

/// In a child.
pub fn set_oom_score_adj(adjustment: Option<i32>) {
    if let Some(adjustment) = adjustment {
        let _ = std::fs::write(OOM_SCORE_ADJ, adjustment.to_string());
    }
}

/// When memory runs out, a container dies and is reported; with its shim the report would die. An
/// engine may lack the right (CAP_SYS_RESOURCE).
pub fn protect() {
    let _ = std::fs::write(OOM_SCORE_ADJ, "-998");
}
