//! The container's first process, from birth to execve(2). See `create` for the conversation.

use crate::cgroup::devices::Guard;
use crate::error::{Error, Result};
use crate::runtime::create::Io;
use crate::runtime::plan::{self, Plan};
use crate::runtime::program::{self, Program};
use crate::runtime::{report, rootfs, sysctl};
use crate::sys::{failed, namespace, process, raw, socket};
use linux_raw_sys::general as kernel;
use std::convert::Infallible;
use std::os::fd::{AsFd, OwnedFd};

pub struct Setup<'a> {
    pub plan: &'a Plan<'a>,
    pub io: &'a Io,
    /// Our end of the talk with the maker.
    pub sync: OwnedFd,
    /// Where `start` will knock.
    pub listener: OwnedFd,
    /// How device nodes are held in check.
    pub guard: Guard,
}

/// Everything, in the child. Never returns to the code that forked us.
pub fn run(setup: &Setup<'_>) -> ! {
    let Err(error) = prepare(setup).and_then(|program| wait_and_exec(setup, &program));
    report::failed(&setup.sync, &error);
    raw::exit(1)
}

fn prepare(setup: &Setup<'_>) -> Result<Program> {
    let plan = setup.plan;
    let spec = plan.spec;

    // First of all: nobody looks into what we carry, and we carry nothing that is not ours.
    process::hide(true)?;
    if !plan.is_terminal() {
        program::set_stdio(setup.io)?;
    }
    process::keep_only(&[setup.sync.as_fd(), setup.listener.as_fd()])?;
    process::new_session();
    raw::join_new_keyring();
    process::set_umask(0);
    await_go(setup)?;

    plan::join(plan)?;
    if plan.cgroup_namespace {
        namespace::unshare_cgroup()?;
    }
    if plan.new & kernel::CLONE_NEWUSER != 0 {
        // Until now we were nobody in the new user namespace.
        process::become_user(&process::Ids::default())?;
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

    let console = rootfs::enter(plan, &setup.guard)?;
    sysctl::apply(plan)?;
    let slave = match console {
        Some(console) => {
            report::console(&setup.sync, console.master.as_fd())?;
            Some(console.slave)
        }
        None => None,
    };
    let keep = setup.guard.capabilities();
    Program::prepare(plan.process, slave, keep)
}

/// The maker writes our record, id maps and cgroup first. If it has died: end quietly.
fn await_go(setup: &Setup<'_>) -> Result<()> {
    match socket::receive(&setup.sync, &mut [0u8; 1])? {
        (0, _) => raw::exit(1),
        _ => Ok(()),
    }
}

fn wait_and_exec(setup: &Setup<'_>, program: &Program) -> Result<Infallible> {
    report::ready(&setup.sync)?;
    loop {
        let caller = socket::accept(setup.listener.as_fd())?;
        // A connection without a word only wants to know whether we are waiting.
        match socket::receive(&caller, &mut [0u8; 1]) {
            Ok((0, _)) | Err(_) => continue,
            Ok(_) => {}
        }
        // The close of this socket will mean: exec'd. Without this word before it: died.
        let _ = report::executing(&caller);
        let error = program.exec();
        report::failed(&caller, &error);
        // A program that cannot be executed ends the container, as in Docker.
        raw::exit(i32::from(exit_code(&error)))
    }
}

fn exit_code(error: &Error) -> u8 {
    match error.kind {
        crate::error::Kind::ProgramMissing => 127,
        _ => 126,
    }
}
