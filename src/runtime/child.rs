//! The container's first process, from birth to execve(2). See `create` for the conversation.

use crate::cgroup::devices::Guard;
use crate::error::{Error, Kind, Result};
use crate::oci::spec::TimeOffset;
use crate::runtime::create::{Io, Options};
use crate::runtime::mapped::Trees;
use crate::runtime::plan::Plan;
use crate::runtime::program::{self, Program};
use crate::runtime::rootfs::Rootfs;
use crate::runtime::{birth, hooks, idmap, keyring, report, rootfs, schedule, seccomp, sysctl};
use crate::sys::{failed, namespace, process, raw, socket};
use linux_raw_sys::general as kernel;
use std::convert::Infallible;
use std::os::fd::{AsFd, OwnedFd};

pub struct Setup<'a> {
    pub plan: &'a Plan<'a>,
    pub io: &'a Io,
    pub options: Options,
    /// Our end of the talk with the maker.
    pub sync: OwnedFd,
    /// Where `start` will knock; `None`: our maker says when.
    pub listener: Option<OwnedFd>,
    /// How device nodes are held in check.
    pub guard: Guard,
    /// Of idmapped mounts.
    pub trees: Trees,
}

/// Everything, in the child. Never returns to the code that forked us.
pub fn run(setup: &Setup<'_>) -> ! {
    let Err(error) = prepare(setup).and_then(|program| wait_and_exec(setup, program));
    report::failed(&setup.sync, &error);
    raw::exit(1)
}

fn prepare(setup: &Setup<'_>) -> Result<Program> {
    let plan = setup.plan;

    let is_mapped = plan.new & kernel::CLONE_NEWUSER != 0;
    shed(setup, is_mapped)?;
    let waits = waits_first(plan);
    if waits {
        await_go(setup)?;
    }

    if is_mapped {
        // Until now we were nobody here.
        process::become_user(&idmap::root(plan))?;
        process::hide(true)?;
    }
    if !setup.options.same_keyring {
        keyring::join(plan.id)?;
    }
    enter_namespaces(plan)?;

    let mut rootfs = rootfs::prepare(plan, &setup.guard, &setup.trees)?;
    if plan.has_runtime_hooks() {
        report::mounted(&setup.sync)?;
        await_go(setup)?;
    }
    run_create_hooks(plan, &rootfs)?;
    let console = rootfs.console.take();
    rootfs.enter(setup.options.no_pivot)?;
    sysctl::apply(plan.spec)?;
    if !waits {
        await_go(setup)?;
    }
    let slave = match console {
        Some(console) => {
            report::console(&setup.sync, console.master.as_fd())?;
            Some(console.slave)
        }
        None => None,
    };
    if let Some(linux) = &plan.spec.linux {
        schedule::apply_container(linux)?;
    }
    let filter = match plan.has_seccomp() {
        true => seccomp::receive(setup.sync.as_fd())?,
        false => None,
    };
    let keep = setup.guard.capabilities();
    Program::prepare(plan.process, slave, keep, setup.options.preserved, filter)
}

/// Nobody looks into what we carry, and we carry nothing that is not ours.
fn shed(setup: &Setup<'_>, is_mapped: bool) -> Result<()> {
    // In a new user namespace nobody has the right to look, and our maker needs it to write the
    // maps.
    if !is_mapped {
        process::hide(true)?;
    }
    if !setup.plan.is_terminal() {
        program::set_stdio(setup.io)?;
    }
    birth::join_own(setup.plan)?;
    let first = program::first_own(setup.options.preserved);
    let mut kept = vec![setup.sync.as_fd()];
    kept.extend(setup.listener.as_ref().map(OwnedFd::as_fd));
    kept.extend(setup.trees.iter().map(|(_, tree)| tree.as_fd()));
    process::keep_only(first, &kept)?;
    process::new_session();
    process::set_umask(0);
    Ok(())
}

/// The hooks of the container's namespaces, which find its tree where the host has it.
fn run_create_hooks(plan: &Plan<'_>, rootfs: &Rootfs<'_>) -> Result<()> {
    let Some(list) = plan.hooks(|hooks| &hooks.create_container) else {
        return Ok(());
    };
    // Where runc starts them, with an ordinary umask: we have none.
    process::change_dir_to(&rootfs.root, &plan.rootfs)?;
    process::set_umask(0o022);
    let state = plan.state("creating", std::process::id() as i32);
    hooks::run(Some(list), "createContainer", &state)?;
    process::set_umask(0);
    Ok(())
}

/// The namespaces that we make ourselves, and what belongs into those that are new.
fn enter_namespaces(plan: &Plan<'_>) -> Result<()> {
    let spec = plan.spec;
    if plan.cgroup_namespace {
        namespace::unshare_cgroup()?;
    }
    if plan.time_namespace {
        enter_time(plan)?;
    }
    if plan.new & kernel::CLONE_NEWNET != 0 {
        crate::net::loopback_up()?;
    }
    if let Some(name) = spec.hostname.as_deref().filter(|name| !name.is_empty()) {
        rustix::system::sethostname(name.as_bytes())
            .map_err(|errno| failed("sethostname", name, errno))?;
    }
    if let Some(name) = spec.domainname.as_deref().filter(|name| !name.is_empty()) {
        rustix::system::setdomainname(name.as_bytes())
            .map_err(|errno| failed("setdomainname", name, errno))?;
    }
    Ok(())
}

/// A time namespace whose clocks are set before we are in it (time_namespaces(7)).
fn enter_time(plan: &Plan<'_>) -> Result<()> {
    namespace::unshare_time()?;
    let number = |offset: &TimeOffset| (offset.secs.unwrap_or(0), offset.nanosecs.unwrap_or(0));
    let lines = plan.time_offsets().map(|(clock, offset)| {
        let (seconds, nanos) = number(offset);
        format!("{clock} {seconds} {nanos}\n")
    });
    let text: String = lines.collect();
    // Hidden, our files in /proc are the host's root's, and in a user namespace we are not that.
    process::hide(false)?;
    let path = "/proc/self/timens_offsets";
    let written = std::fs::write(path, &text);
    process::hide(true)?;
    written.map_err(|error| Error::io(format_args!("write {text:?} to {path}"), &error))?;

    let own = namespace::own("time_for_children")?;
    namespace::join(&own, namespace::TIME)
        .map_err(|errno| failed("join", "new time namespace", errno))
}

/// Whether we can do nothing before our maker is done: id maps, devices and what hooks may ask
/// for must be there. Otherwise it writes its record while we work, and should it die, all that we
/// have made by then ends with us.
fn waits_first(plan: &Plan<'_>) -> bool {
    plan.new & kernel::CLONE_NEWUSER != 0
        || plan.has_runtime_hooks()
        || plan.hooks(|hooks| &hooks.create_container).is_some()
        || plan.net_devices().is_some()
}

/// The maker writes our record, id maps and cgroup first. If it has died: end quietly.
fn await_go(setup: &Setup<'_>) -> Result<()> {
    match socket::receive(&setup.sync, &mut [0u8; 1])? {
        (0, _) => raw::exit(1),
        _ => Ok(()),
    }
}

fn wait_and_exec(setup: &Setup<'_>, mut program: Program) -> Result<Infallible> {
    if let Some(listener) = &setup.listener {
        check_room(listener)?;
    }
    report::ready(&setup.sync)?;
    let accepted;
    let caller = match &setup.listener {
        Some(listener) => {
            accepted = wait_for_start(listener)?;
            &accepted
        }
        None => {
            await_go(setup)?;
            &setup.sync
        }
    };
    // The close of this socket will mean: exec'd. Without this word before it: died.
    let _ = report::executing(caller);
    let error = match start_hooks(setup.plan, &mut program, caller) {
        Ok(()) => program.exec(caller),
        Err(error) => error,
    };
    report::failed(caller, &error);
    // A program that cannot be executed ends the container, as in Docker.
    raw::exit(i32::from(exit_code(&error)))
}

/// The program's limits are ours by now. Better to say that they are too tight while somebody
/// listens than to fail when we are to start.
fn check_room(listener: &OwnedFd) -> Result<()> {
    listener.try_clone().map(drop).map_err(|_| {
        let message =
            "the limit of open files (RLIMIT_NOFILE) leaves none to start the program with";
        Error::new(Kind::System, message)
    })
}

/// The one that lets us go on. A connection without a word only wants to know whether we wait.
fn wait_for_start(listener: &OwnedFd) -> Result<OwnedFd> {
    loop {
        let caller = socket::accept(listener.as_fd())?;
        if let Ok((1.., _)) = socket::receive(&caller, &mut [0u8; 1]) {
            return Ok(caller);
        }
    }
}

/// The hooks that run as the program would, right before it, and under its filter: their programs
/// are the image's.
fn start_hooks(plan: &Plan<'_>, program: &mut Program, caller: &OwnedFd) -> Result<()> {
    match plan.hooks(|hooks| &hooks.start_container) {
        Some(list) => {
            program.confine(caller)?;
            let state = plan.state("created", std::process::id() as i32);
            hooks::run(Some(list), "startContainer", &state)?;
            // One signal was ignored meanwhile, which would go on to the program.
            raw::reset_signals();
            Ok(())
        }
        None => Ok(()),
    }
}

fn exit_code(error: &Error) -> u8 {
    match error.kind {
        Kind::ProgramMissing => 127,
        _ => 126,
    }
}
