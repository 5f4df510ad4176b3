//! The clone that a container begins with.
//!
//! Namespaces to join are joined by the first process itself, unless a user or process namespace
//! is among what is new or joined: whoever makes namespaces in a user namespace must be in it,
//! a process namespace holds the children of who joined it, and one who is in a new user namespace
//! has no right any more to join what belongs to the host. Then a helper joins, and the first
//! process is its sibling, a child of the caller:
//!
//! ```text
//!   caller               helper (fork)                     first process
//!     | -- clone3 -------> |   in the container's cgroup from birth
//!     |                    |   joins what has a path
//!     |                    | -- clone3(CLONE_PARENT) ------> |   the new namespaces
//!     | <-- Process ------ |   ends
//! ```

use crate::cgroup::Group;
use crate::error::{Error, Kind, Result};
use crate::kernel::lacks_path;
use crate::runtime::plan::{Joined, Plan};
use crate::runtime::report::{self, Message};
use crate::sys::namespace::{self, Forked};
use crate::sys::process::{self, Ids};
use crate::sys::{failed, raw, socket};
use linux_raw_sys::general as kernel;
use rustix::io::Errno;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

/// The container's first process, and back in it with `Forked::Child`.
pub fn first_process(plan: &Plan<'_>, group: Option<&Group>) -> Result<Forked> {
    if !plan.needs_helper() {
        return fork_in(plan.new, group).map_err(|errno| clone_failed(plan, errno));
    }
    let (ours, theirs) = socket::pair()?;
    let forked =
        fork_in(0, group).map_err(|errno| failed("clone3", "process to join namespaces", errno))?;
    let Forked::Parent { pidfd: helper, .. } = forked else {
        drop(ours);
        return Ok(help(plan, &theirs));
    };
    drop(theirs);
    let answer = report::next(ours.as_fd());
    process::reap(&helper)?;
    match answer? {
        Some(Message::Process { pid, pidfd }) => Ok(Forked::Parent { pid, pidfd }),
        Some(Message::Failed(error)) => Err(error),
        _ => Err(Error::new(
            Kind::System,
            "the process died while it joined the container's namespaces",
        )),
    }
}

/// The helper. Comes back in the first process only.
fn help(plan: &Plan<'_>, sync: &OwnedFd) -> Forked {
    let born = join_all(plan).and_then(|()| {
        namespace::fork_sibling(plan.new).map_err(|errno| clone_failed(plan, errno))
    });
    let told = match born {
        Ok(Forked::Child) => return Forked::Child,
        Ok(Forked::Parent { pid, pidfd }) => report::process(sync, pid, pidfd.as_fd()),
        Err(error) => Err(error),
    };
    if let Err(error) = told {
        report::failed(sync, &error);
    }
    raw::exit(0)
}

/// What has a path, the user namespace in the middle: before it we have the host's rights over
/// namespaces that belong to the host, after it those over its own.
fn join_all(plan: &Plan<'_>) -> Result<()> {
    // The first process is born where others may be: hidden from them, as it is our copy.
    process::hide(true)?;
    let is_user = |joined: &&Joined| joined.kind.flag == kernel::CLONE_NEWUSER;
    let Some(user) = plan.joined.iter().find(is_user) else {
        return plan.joined.iter().try_for_each(join);
    };
    let others = plan.joined.iter().filter(|joined| !is_user(joined));
    let mut later = Vec::new();
    for joined in others {
        match namespace::join(&joined.file, joined.kind) {
            Ok(()) => {}
            Err(Errno::PERM) => later.push(joined),
            Err(errno) => return Err(join_failed(joined, errno)),
        }
    }
    join(user)?;
    process::become_user(&Ids::default())?;
    later.into_iter().try_for_each(join)
}

/// Join what the first process joins by itself.
pub fn join_own(plan: &Plan<'_>) -> Result<()> {
    match plan.needs_helper() {
        true => Ok(()),
        false => plan.joined.iter().try_for_each(join),
    }
}

fn join(joined: &Joined) -> Result<()> {
    namespace::join(&joined.file, joined.kind).map_err(|errno| join_failed(joined, errno))
}

fn join_failed(joined: &Joined, errno: Errno) -> Error {
    let object = format_args!("{} namespace {}", joined.kind.name, joined.path.display());
    failed("join", object, errno)
}

/// EINVAL is how a kernel refuses namespaces that it was built without.
fn clone_failed(plan: &Plan<'_>, errno: Errno) -> Error {
    let is_missing = |kind: &namespace::Type| {
        plan.new & kind.flag != 0 && !Path::new("/proc/self/ns").join(kind.file).exists()
    };
    match namespace::TYPES.iter().find(|kind| is_missing(kind)) {
        Some(kind) => Error::unsupported(format!(
            "there are no {} namespaces {}",
            kind.name,
            lacks_path(&format!("/proc/self/ns/{}", kind.file))
        )),
        None => failed("clone3", "container's first process", errno),
    }
}

/// Fork with new namespaces, from birth in the group.
pub fn fork_in(flags: u32, group: Option<&Group>) -> std::result::Result<Forked, Errno> {
    let Some(group) = group else {
        return namespace::fork(flags, None::<OwnedFd>);
    };
    match namespace::fork(flags, Some(group)) {
        Ok(forked) => return Ok(forked),
        // It has groups below it that its controllers were handed down to: no place for processes.
        Err(Errno::BUSY) => return Err(Errno::BUSY),
        Err(_) => {}
    }
    // CLONE_INTO_CGROUP can be refused where a write to cgroup.procs is not (a seccomp filter
    // around us, a delegated tree): once more without, and move it before it does anything.
    let forked = namespace::fork(flags, None::<OwnedFd>)?;
    if let Forked::Parent { pid, pidfd } = &forked
        && let Err(error) = group.add(*pid)
    {
        let _ = process::signal(pidfd, 9);
        let _ = process::reap(pidfd);
        return Err(error.errno.map_or(Errno::PERM, Errno::from_raw_os_error));
    }
    Ok(forked)
}
