//! `create`: the container's first process, set up and waiting for `start`.
//!
//! ```text
//!   parent                               child (first process of the container)
//!     | ---- clone3 ----------------------> |   new namespaces, in its cgroup from birth
//!     |   record, id maps, cgroup           |
//!     | ---- Go ---------------------------> |   joins, mounts, pivot, user, capabilities
//!     | <------------- Console (terminal) -- |
//!     | <------------------ Ready / Failed -- |   listens on start.sock
//!     | answers its caller                  |
//!   start: connects, sends Go ------------> |
//!     | <-------------- Executing / Failed -- |   execve; the socket closes by itself
//! ```

use crate::cgroup::Group;
use crate::error::{Context, Error, Kind, Result};
use crate::oci::spec::{IdMapping, Spec};
use crate::runtime::plan::Plan;
use crate::runtime::record::{self, Record};
use crate::runtime::report::{self, Message};
use crate::runtime::{child, delete};
use crate::sys::namespace::{self, Forked};
use crate::sys::{failed, process, socket};
use crate::time::Time;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

/// Where the program's standard streams come from. With a terminal it is not asked: the console
/// becomes all three.
pub enum Io {
    Inherit,
    Fds {
        stdin: OwnedFd,
        stdout: OwnedFd,
        stderr: OwnedFd,
    },
}

pub struct Request<'a> {
    /// Directory of the states of all containers.
    pub root: &'a Path,
    pub id: &'a str,
    pub bundle: &'a Path,
    pub spec: &'a Spec,
    pub io: Io,
}

pub struct Created {
    pub pid: i32,
    pub pidfd: OwnedFd,
    /// The terminal's master side.
    pub console: Option<OwnedFd>,
    /// `None` where there is no cgroup v2.
    pub group: Option<Group>,
}

/// Make the container up to the point where only execve(2) is missing.
///
/// After a failure nothing of it is left.
pub fn create(request: Request<'_>) -> Result<Created> {
    record::check_id(request.id)?;
    let plan = Plan::new(request.bundle, request.spec)?;
    record::claim(request.root, request.id)?;

    let outcome = make(&request, &plan);
    if outcome.is_err() {
        // The one way out; the failure above is what to tell.
        let _ = delete::delete(request.root, request.id, true);
    }
    outcome
}

fn make(request: &Request<'_>, plan: &Plan<'_>) -> Result<Created> {
    let linux = request.spec.linux.as_ref();
    let asked = linux.and_then(|linux| linux.cgroups_path.as_deref());
    let resources = linux.and_then(|linux| linux.resources.as_ref());
    let mut record = Record {
        id: request.id.to_string(),
        bundle: plan.bundle.display().to_string(),
        rootfs: plan.rootfs.display().to_string(),
        created: Time::now().rfc3339(),
        annotations: request.spec.annotations.clone(),
        namespaces: plan.namespaces(),
        ..Record::default()
    };

    // The record names the group before the group exists, so that a crash leaves nothing nameless.
    let place = Group::place(asked, request.id)?;
    record.cgroup = place.as_ref().map(|path| path.display().to_string());
    record::save(request.root, &record)?;
    let group = place.map(|path| Group::create(&path)).transpose()?;
    let guard = match &group {
        Some(group) => group.apply(resources)?,
        None => crate::cgroup::without_group(resources)?,
    };

    let listener = socket::listen(&record::start_socket(request.root, request.id), 0o600, None)?;
    let (ours, theirs) = socket::pair()?;
    let setup = child::Setup {
        plan,
        io: &request.io,
        sync: theirs,
        listener,
        guard,
    };
    let Forked::Parent { pid, pidfd } = fork(plan, group.as_ref())? else {
        child::run(&setup)
    };
    drop(setup);

    record.pid = pid;
    let prepared = process::start_time(pid)
        .ok_or_else(|| failed("read start time of", pid, rustix::io::Errno::SRCH))
        .and_then(|start_time| {
            record.start_time = start_time;
            record::save(request.root, &record)?;
            map_ids(plan, pid)?;
            socket::send(&ours, b"G", &[])
        })
        .and_then(|()| wait_ready(ours.as_fd()));
    match prepared {
        Ok(console) => Ok(Created {
            pid,
            pidfd,
            console,
            group,
        }),
        Err(error) => {
            // It may be anywhere in its setup; without it the rest can be removed.
            let _ = process::signal(&pidfd, 9);
            let _ = process::reap(&pidfd);
            Err(error)
        }
    }
}

/// Fork with the plan's namespaces; a process namespace to join is ours around the clone.
fn fork(plan: &Plan<'_>, group: Option<&Group>) -> Result<Forked> {
    let name = |errno| failed("clone3", "container's first process", errno);
    let Some((kind, joined)) = plan.open_joined("pid")? else {
        return fork_in(plan.new, group).map_err(name);
    };
    let own = std::fs::File::open("/proc/self/ns/pid")
        .map_err(|error| Error::io("open /proc/self/ns/pid", &error))?;
    namespace::join(&joined, kind).map_err(|errno| failed("setns", "pid namespace", errno))?;
    let forked = fork_in(plan.new, group);
    if !matches!(forked, Ok(Forked::Child)) {
        namespace::join(&own, kind).map_err(|errno| failed("setns", "own pid namespace", errno))?;
    }
    forked.map_err(name)
}

/// Fork with new namespaces, from birth in the group.
pub fn fork_in(
    flags: u32,
    group: Option<&Group>,
) -> std::result::Result<Forked, rustix::io::Errno> {
    let Some(group) = group else {
        return namespace::fork(flags, None::<OwnedFd>);
    };
    if let Ok(forked) = namespace::fork(flags, Some(group)) {
        return Ok(forked);
    }
    // CLONE_INTO_CGROUP can be refused where a write to cgroup.procs is not (a seccomp filter
    // around us, a delegated tree): once more without, and move it before it does anything.
    let forked = namespace::fork(flags, None::<OwnedFd>)?;
    if let Forked::Parent { pid, pidfd } = &forked
        && group.add(*pid).is_err()
    {
        let _ = process::signal(pidfd, 9);
        let _ = process::reap(pidfd);
        return Err(rustix::io::Errno::PERM);
    }
    Ok(forked)
}

/// Write the id maps of a new user namespace.
fn map_ids(plan: &Plan<'_>, pid: i32) -> Result<()> {
    if plan.new & linux_raw_sys::general::CLONE_NEWUSER == 0 {
        return Ok(());
    }
    let linux = plan.spec.linux.as_ref();
    let maps = [
        (
            "gid_map",
            linux.and_then(|linux| linux.gid_mappings.as_ref()),
        ),
        (
            "uid_map",
            linux.and_then(|linux| linux.uid_mappings.as_ref()),
        ),
    ];
    for (file, map) in maps {
        let text: String = map.into_iter().flatten().map(map_line).collect();
        if text.is_empty() {
            return Err(Error::invalid(
                "user namespaces enabled, but no uid or gid mappings found",
            ));
        }
        let path = format!("/proc/{pid}/{file}");
        std::fs::write(&path, text)
            .map_err(|error| Error::io(format_args!("write {path}"), &error))?;
    }
    Ok(())
}

fn map_line(map: &IdMapping) -> String {
    format!(
        "{} {} {}\n",
        map.container_id.unwrap_or(0),
        map.host_id.unwrap_or(0),
        map.size.unwrap_or(0)
    )
}

/// Wait until the child is ready; answers the console where there is one.
fn wait_ready(sync: BorrowedFd<'_>) -> Result<Option<OwnedFd>> {
    let mut console = None;
    loop {
        match report::next(sync).context(|| "container's first process")? {
            Some(Message::Console(master)) => console = Some(master),
            Some(Message::Ready) => return Ok(console),
            Some(Message::Failed(error)) => return Err(error),
            Some(_) => {}
            None => {
                return Err(Error::new(
                    Kind::System,
                    "the container's first process died during its setup",
                ));
            }
        }
    }
}
