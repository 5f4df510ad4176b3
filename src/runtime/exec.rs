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

use crate::cgroup::Group;
use crate::error::{Context, Error, Kind, Result};
use crate::oci::spec::{Linux, Process};
use crate::runtime::create::Io;
use crate::runtime::program::{self, Program};
use crate::runtime::record::{self, Record};
use crate::runtime::report::{self, Message};
use crate::runtime::seccomp;
use crate::runtime::state::{self, Status};
use crate::runtime::{birth, console, idmap, keyring, limits, lsm, oom, plan, schedule, validate};
use crate::seccomp::Filter;
use crate::sys::namespace::{self, Forked};
use crate::sys::process::{self, Ids};
use crate::sys::schedule::Numbers;
use crate::sys::{self, failed, fs, raw, socket};
use linux_raw_sys::general as kernel;
use rustix::io::Errno;
use std::convert::Infallible;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Component, Path};

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
    container: Container,
    preserved: u32,
    /// The container's, for its keyring; `None`: the caller's stays.
    keyring: Option<&'a str>,
    /// The CPUs to run on from when it is in the container.
    cpus: Option<Numbers>,
    /// Where the container wants something of each of its processes.
    linux: Option<Linux>,
}

/// The container as its first process shows it, asked for while we see the host's /proc.
struct Container {
    /// The first process.
    target: OwnedFd,
    /// CLONE_NEW… bits.
    namespaces: u32,
    /// Its root directory. That is not always the mount namespace's own: in a chroot, on an
    /// initramfs, or with a mount namespace that others share, setns(2) leads out of the container.
    root: OwnedFd,
    /// Its bounding set: a process that joins gets no more (CVE-2025-27612).
    bounding: u64,
    /// Who sets up in its user namespace, if it has one.
    owner: Option<Ids>,
    filter: Option<Filter>,
}

pub struct Request<'a> {
    /// Directory of the states of all containers.
    pub root: &'a Path,
    pub id: &'a str,
    pub process: &'a Process,
    pub io: Io,
    /// How many descriptors from 3 on the program keeps.
    pub preserved: u32,
    /// Join a paused container too; the program then waits for `resume`.
    pub ignore_paused: bool,
    /// A group below the container's own to run in, such as `/jobs`.
    pub cgroup: Option<&'a str>,
}

/// Answers when the program has been executed; its exit status is for the caller to wait for.
pub fn exec(request: Request<'_>) -> Result<Execed> {
    let (root, process) = (request.root, request.process);
    if process.args.as_ref().is_none_or(Vec::is_empty) {
        return Err(Error::invalid("process args cannot be empty"));
    }
    validate::check_process(process)?;
    lsm::check(process)?;
    let [initial, last] = match &process.exec_cpu_affinity {
        Some(asked) => schedule::affinity(asked)?,
        None => [None, None],
    };
    let record = record::load(request.root, request.id)?;
    let container = look(&request, &record)?;
    let group = group(&record, request.cgroup)?;
    let linux = match record.for_all {
        Some(true) => record::config(request.root, request.id)?.linux,
        _ => None,
    };
    let (ours, theirs) = socket::pair()?;
    let joining = Joining {
        process,
        io: request.io,
        sync: theirs,
        container,
        preserved: request.preserved,
        keyring: (record.same_keyring != Some(true)).then_some(request.id),
        cpus: last,
        linux,
    };

    // The child has the CPUs of its maker.
    let own = match &initial {
        Some(_) => Some(sys::schedule::affinity()?),
        None => None,
    };
    if let Some(cpus) = &initial {
        schedule::set_affinity(cpus, "initial")?;
    }
    let forked = fork(&record, group.as_ref(), request.cgroup.is_some());
    if let Some(own) = &own
        && !matches!(forked, Ok(Forked::Child))
    {
        schedule::set_affinity(own, "own")?;
    }
    let forked = forked?;
    let Forked::Parent { pidfd: helper, .. } = forked else {
        let Err(error) = help(&joining);
        report::failed(&joining.sync, &error);
        raw::exit(1)
    };
    drop(joining);
    let outcome = listen(&ours, root, &record);
    process::reap(&helper)?;
    outcome
}

fn look(request: &Request<'_>, record: &Record) -> Result<Container> {
    let stopped = || Error::conflict("cannot exec in a stopped container");
    let target = record.process().ok_or_else(stopped)?;
    match state::status(request.root, record) {
        Status::Running => {}
        Status::Created => wait_set_up(request)?,
        Status::Paused if request.ignore_paused => {}
        Status::Paused => {
            return Err(Error::conflict(
                "cannot exec in a paused container (use --ignore-paused to override)",
            ));
        }
        Status::Creating | Status::Stopped => return Err(stopped()),
    }
    let (namespaces, owner) = user_namespace(record)?;
    let path = format!("/proc/{}/root", record.pid);
    Ok(Container {
        target,
        namespaces,
        // The process is held by `target`: if the number were another's by now, setns would fail.
        root: fs::open_path(Path::new(&path))?,
        bounding: bounding_set(record.pid)?,
        owner,
        filter: seccomp::kept(request.root, request.id)?,
    })
}

/// The first process answers on its socket when it is set up and not before; until then its root
/// is the host's.
fn wait_set_up(request: &Request<'_>) -> Result<()> {
    let socket = socket::connect(&record::start_socket(request.root, request.id))?;
    socket::shutdown_write(&socket);
    socket::receive(&socket, &mut [0u8; 1]).map(drop)
}

/// The namespaces to join, and who is root in them. Ours may be the container's user namespace
/// already, which cannot be joined twice.
fn user_namespace(record: &Record) -> Result<(u32, Option<Ids>)> {
    const USER: u32 = kernel::CLONE_NEWUSER;
    if record.namespaces & USER == 0 {
        return Ok((record.namespaces, None));
    }
    let file = namespace::of_process(record.pid, "user")?;
    match plan::is_own_user_namespace(&file) {
        true => Ok((record.namespaces & !USER, None)),
        false => Ok((record.namespaces, Some(idmap::root_of(record.pid)?))),
    }
}

/// The group to run in.
fn group(record: &Record, below: Option<&str>) -> Result<Option<Group>> {
    let Some(below) = below else {
        return Ok(record.group());
    };
    if below.contains(':') {
        return Err(Error::unsupported(format!(
            "--cgroup {below}: controllers have one tree in cgroup v2: give the path alone"
        )));
    }
    let climbs = |part: Component<'_>| part == Component::ParentDir;
    let path = Path::new(below);
    if path.components().any(climbs) {
        return Err(Error::invalid(format!("{below} is not a sub cgroup path")));
    }
    let own = record
        .cgroup
        .as_deref()
        .ok_or_else(|| Error::invalid(format!("--cgroup {below}: the container has no cgroup")))?;
    let path = path.strip_prefix("/").unwrap_or(path);
    Group::open(&Path::new(own).join(path)).map(Some)
}

/// Fork in the container's group; or where its first process is, if that has made groups of its
/// own and handed controllers to them, as systemd does: the kernel allows no process beside them.
fn fork(record: &Record, group: Option<&Group>, is_asked_for: bool) -> Result<Forked> {
    let name = |errno| failed("clone3", "process to join the container", errno);
    match birth::fork_in(0, group) {
        Err(Errno::BUSY) if !is_asked_for => {
            let group = crate::cgroup::of_process(record.pid)?;
            birth::fork_in(0, group.as_ref()).map_err(name)
        }
        other => other.map_err(name),
    }
}

/// Follow the two until the program runs.
fn listen(sync: &OwnedFd, root: &Path, record: &Record) -> Result<Execed> {
    let mut execed: Option<Execed> = None;
    let mut master = None;
    let failure = loop {
        match report::next(sync.as_fd()).context(|| "process that joins the container")? {
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
            Some(Message::Listener(listener)) => {
                let pid = execed.as_ref().map_or(0, |execed| execed.pid);
                let state = state::describe(record.clone(), state::status(root, record));
                let given = seccomp::hand_over(root, state, pid, listener.as_fd());
                if let Err(error) = given {
                    // A program whose agent can't be asked never gets on.
                    if let Some(execed) = &execed {
                        let _ = process::signal(&execed.pidfd, 9);
                    }
                    break error;
                }
            }
            Some(Message::Executing | Message::Ready | Message::Mounted) => {}
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
    let container = &joining.container;
    let first = program::first_own(joining.preserved);
    oom::set(joining.process, "self")?;
    if container.owner.is_some() {
        limits::apply(joining.process, None)?;
    }
    process::hide(true)?;
    if joining.process.terminal != Some(true) {
        program::set_stdio(&joining.io)?;
    }
    let sync = joining.sync.as_fd();
    process::keep_only(
        first,
        &[sync, container.target.as_fd(), container.root.as_fd()],
    )?;
    namespace::join_process(&container.target, container.namespaces)?;
    process::change_root_to(&container.root, Path::new("container's root"))?;
    process::keep_only(first, &[sync])?;
    if let Some(owner) = &container.owner {
        process::become_user(owner)?;
        // The change of user has made us visible again.
        process::hide(true)?;
    }
    let forked = namespace::fork_sibling(0)
        .map_err(|errno| failed("clone3", "process in the container", errno))?;
    match forked {
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
    if let Some(id) = joining.keyring {
        keyring::join(id)?;
    }
    let mut slave = None;
    if joining.process.terminal == Some(true) {
        let root = fs::open_path(Path::new("/"))?;
        let console = console::open(root.as_fd(), joining.process)?;
        report::console(&joining.sync, console.master.as_fd())?;
        slave = Some(console.slave);
    }
    if let Some(cpus) = &joining.cpus {
        schedule::set_affinity(cpus, "final")?;
    }
    if let Some(linux) = &joining.linux {
        schedule::apply_container(linux)?;
    }
    let keep = joining.container.bounding;
    let filter = joining.container.filter.clone();
    let program = Program::prepare(joining.process, slave, keep, joining.preserved, filter)?;
    Err(program.exec(&joining.sync))
}

/// CapBnd of a process.
fn bounding_set(pid: i32) -> Result<u64> {
    let hex = process::status(pid, "CapBnd:")?;
    u64::from_str_radix(&hex, 16)
        .map_err(|_| Error::new(Kind::System, format!("CapBnd of process {pid} is {hex:?}")))
}
