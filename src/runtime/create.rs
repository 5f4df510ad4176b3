//! `create`: the container's first process, set up and waiting for `start`.
//!
//! ```text
//!   parent                               child (first process of the container)
//!     | ---- clone3 ----------------------> |   new namespaces, in its cgroup from birth
//!     |   record, id maps, devices           |   joins, mounts (waits for Go first if it needs
//!     | ---- Go, seccomp filter -----------> |   what the maker does: maps, devices, hooks)
//!     | <------------------------- Mounted -- |   only where hooks are to run here
//!     |   prestart, createRuntime hooks      |
//!     | ---- Go ---------------------------> |   createContainer hooks, pivot, user, capabilities
//!     | <------------- Console (terminal) -- |
//!     | <------------------ Ready / Failed -- |   listens on start.sock; with `held`, to its maker
//!     | answers its caller                  |
//!   start: connects (or is the maker), Go -> |
//!     | <-------------- Executing / Failed -- |   execve; the socket closes by itself
//! ```

use crate::cgroup::Group;
use crate::cgroup::devices::Guard;
use crate::error::{Context, Error, Kind, Result};
use crate::net::device;
use crate::oci::spec::Spec;
use crate::runtime::plan::Plan;
use crate::runtime::record::{self, Record};
use crate::runtime::report::{self, Message};
use crate::runtime::{
    birth, child, delete, hooks, idmap, kept_mounts, limits, mapped, oom, schedule, seccomp, start,
    validate,
};
use crate::sys::namespace::{self, Forked};
use crate::sys::{failed, process, socket};
use crate::time::Time;
use linux_raw_sys::general as kernel;
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
    pub options: Options,
}

/// What a caller may want otherwise than it is done by default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// How many descriptors from 3 on the program keeps.
    pub preserved: u32,
    /// Stay in the caller's session keyring.
    pub same_keyring: bool,
    /// Move the root by mount and chroot, as on an initramfs.
    pub no_pivot: bool,
    /// Whether to do without a cgroup where none may be made; `None`: if we are not root.
    pub rootless: Option<bool>,
    /// The caller starts the program itself, with `Created::held`: nobody else is to find a
    /// socket to knock at.
    pub held: bool,
}

pub struct Created {
    pub pid: i32,
    pub pidfd: OwnedFd,
    /// The terminal's master side.
    pub console: Option<OwnedFd>,
    /// `None` where there is no cgroup v2.
    pub group: Option<Group>,
    /// Where the caller wanted to start it itself.
    pub held: Option<Held>,
}

/// A container that waits for its maker. Without `start` it ends with this.
pub struct Held {
    sync: OwnedFd,
    record: Record,
    /// Until it is started, it is in the making for everybody else.
    claim: record::Claim,
}

impl Held {
    /// Answers when the program has been executed, or with why it has not.
    pub fn start(self, root: &Path) -> Result<()> {
        socket::send(&self.sync, b"G", &[])?;
        start::follow(root, &self.record, self.sync.as_fd())?;
        let _ = std::fs::remove_file(record::start_socket(root, &self.record.id));
        drop(self.claim);
        start::run_late_hooks(root, self.record)
    }
}

/// Make the container up to the point where only execve(2) is missing.
///
/// After a failure nothing of it is left.
pub fn create(request: Request<'_>) -> Result<Created> {
    record::check_id(request.id)?;
    validate::check(request.spec)?;
    validate::check_kernel(request.spec)?;
    let plan = Plan::new(request.id, request.bundle, request.spec)?;
    // Held until the container is whole, or gone: who removes it waits for that.
    let claim = record::claim(request.root, request.id)?;

    match make(&request, &plan) {
        Ok((mut created, sync, record)) => {
            if request.options.held {
                created.held = Some(Held {
                    sync,
                    record,
                    claim,
                });
            }
            Ok(created)
        }
        Err(error) => {
            // The one way out; the failure above is what to tell.
            let _ = delete::remove(request.root, request.id);
            Err(error)
        }
    }
}

/// The container, our end of the talk with its first process, and its record.
fn make(request: &Request<'_>, plan: &Plan<'_>) -> Result<(Created, OwnedFd, Record)> {
    let mut record = first_record(request, plan)?;
    let (group, guard) = make_group(request, plan, &mut record)?;
    let (ours, theirs) = socket::pair()?;
    let setup = child::Setup {
        plan,
        io: &request.io,
        options: request.options,
        sync: theirs,
        listener: listener(request)?,
        guard,
        trees: mapped::trees(plan)?,
    };
    let Forked::Parent { pid, pidfd } = birth::first_process(plan, group.as_ref())? else {
        child::run(&setup)
    };
    drop(setup);

    record.pid = pid;
    match attend(request, plan, &mut record, ours.as_fd()) {
        Ok(console) => {
            let created = Created {
                pid,
                pidfd,
                console,
                group,
                held: None,
            };
            Ok((created, ours, record))
        }
        Err(error) => {
            // It may be anywhere in its setup; without it the rest can be removed.
            let _ = process::signal(&pidfd, 9);
            let _ = process::reap(&pidfd);
            Err(reported(ours.as_fd()).unwrap_or(error))
        }
    }
}

/// All that is known before there is a process.
fn first_record(request: &Request<'_>, plan: &Plan<'_>) -> Result<Record> {
    Ok(Record {
        id: request.id.to_string(),
        bundle: plan.bundle.display().to_string(),
        rootfs: plan.rootfs.display().to_string(),
        created: Time::now().rfc3339(),
        annotations: request.spec.annotations.clone(),
        namespaces: plan.namespaces(),
        mount_before: kept_mounts::before(plan)?,
        same_keyring: request.options.same_keyring.then_some(true),
        late_hooks: plan.has_late_hooks().then_some(true),
        for_all: schedule::is_for_all(request.spec).then_some(true),
        ..Record::default()
    })
}

/// Save the record, and make the cgroup that it names. In this order, so that a crash leaves
/// nothing nameless.
fn make_group(
    request: &Request<'_>,
    plan: &Plan<'_>,
    record: &mut Record,
) -> Result<(Option<Group>, Guard)> {
    let linux = request.spec.linux.as_ref();
    let asked = linux.and_then(|linux| linux.cgroups_path.as_deref());
    let resources = linux.and_then(|linux| linux.resources.as_ref());
    let place = Group::place(asked, request.id)?;
    record.cgroup = place.as_ref().map(|path| path.display().to_string());
    record::save(request.root, record)?;
    record::keep_config(request.root, request.id, &plan.bundle)?;

    let may_lack = may_lack_group(request.options);
    let made = crate::cgroup::set_up(place.as_deref(), asked, resources, may_lack);
    if record.cgroup.is_some() && !matches!(made, Ok((Some(_), _))) {
        // There is none, or somebody else's, whom the removal of this container must not kill.
        record.cgroup = None;
        record::save(request.root, record)?;
    }
    let (group, guard) = made?;
    if let Some(group) = &group {
        group.mark(&record.created);
    }
    Ok((group, guard))
}

/// Where `start` will knock. If our caller starts it, an empty file in its place tells others that
/// the container does not run yet: `exec` would join it where it still has the host's root.
fn listener(request: &Request<'_>) -> Result<Option<OwnedFd>> {
    let path = record::start_socket(request.root, request.id);
    if request.options.held {
        return std::fs::write(&path, "")
            .map(|()| None)
            .map_err(|error| Error::io(format_args!("write {}", path.display()), &error));
    }
    socket::listen(&path, 0o600, None).map(Some)
}

/// Do for the first process what it cannot do itself, until it is ready; answers the console.
fn attend(
    request: &Request<'_>,
    plan: &Plan<'_>,
    record: &mut Record,
    sync: BorrowedFd<'_>,
) -> Result<Option<OwnedFd>> {
    let pid = record.pid;
    record.start_time = process::start_time(pid)
        .ok_or_else(|| failed("read start time of", pid, rustix::io::Errno::SRCH))?;
    record::save(request.root, record)?;
    idmap::write(plan, pid)?;
    oom::set(plan.process, &pid.to_string())?;
    if plan.new & kernel::CLONE_NEWUSER != 0 {
        limits::apply(plan.process, Some(pid))?;
    }
    give_devices(plan, pid)?;
    socket::send(sync, b"G", &[])?;
    // It mounts meanwhile, and needs its filter last of all.
    let filter = seccomp::make(request.root, plan)?;
    if !plan.has_runtime_hooks() {
        socket::send(sync, &filter, &[])?;
    }
    wait_ready(plan, pid, sync, &filter)
}

/// What the process has said of its own failure before it ended. It works while we do, and if its
/// end stopped us then its words are what to tell.
fn reported(sync: BorrowedFd<'_>) -> Option<Error> {
    loop {
        match report::next(sync).ok()?? {
            Message::Failed(error) => return Some(error),
            _ => continue,
        }
    }
}

/// Whether to do without a cgroup where none may be made. Unless told (`--rootless`), that it is
/// refused is enough: root may be one of a user namespace, or look at a tree that is read-only.
fn may_lack_group(options: Options) -> bool {
    options.rootless != Some(false)
}

/// Network devices of the host go into the container's namespace, joined or new.
fn give_devices(plan: &Plan<'_>, pid: i32) -> Result<()> {
    let Some(devices) = plan.net_devices() else {
        return Ok(());
    };
    if let Some(joined) = plan.joined(namespace::NETWORK.flag) {
        return device::give(devices, &joined.file);
    }
    device::give(devices, &namespace::of_process(pid, "net")?)
}

/// Wait until the child is ready, and run hooks on the way; answers the console where there is one.
fn wait_ready(
    plan: &Plan<'_>,
    pid: i32,
    sync: BorrowedFd<'_>,
    filter: &[u8],
) -> Result<Option<OwnedFd>> {
    let mut console = None;
    loop {
        match report::next(sync).context(|| "container's first process")? {
            Some(Message::Mounted) => {
                run_hooks(plan, pid)?;
                socket::send(sync, b"G", &[])?;
                socket::send(sync, filter, &[])?;
            }
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

/// The hooks of the runtime's namespaces, when the container's exist and its tree is built.
fn run_hooks(plan: &Plan<'_>, pid: i32) -> Result<()> {
    let state = plan.state("creating", pid);
    hooks::run(plan.hooks(|hooks| &hooks.prestart), "prestart", &state)?;
    hooks::run(
        plan.hooks(|hooks| &hooks.create_runtime),
        "createRuntime",
        &state,
    )
}
