//! Namespaces: joining and making.

use crate::error::Result;
use crate::sys::{failed, raw};
use linux_raw_sys::general as kernel;
use rustix::io::Errno;
use rustix::thread::{LinkNameSpaceType, ThreadNameSpaceType, UnshareFlags};
use std::os::fd::{AsFd, OwnedFd};

/// One type of namespace, by the OCI's name for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Type {
    /// As in config.json.
    pub name: &'static str,
    /// As in /proc/PID/ns.
    pub file: &'static str,
    /// Its CLONE_NEW… bit.
    pub flag: u32,
    link: LinkNameSpaceType,
}

const fn of(name: &'static str, file: &'static str, link: LinkNameSpaceType) -> Type {
    Type {
        name,
        file,
        flag: link as u32,
        link,
    }
}

pub const TYPES: [Type; 8] = [
    of("user", "user", LinkNameSpaceType::User),
    of("mount", "mnt", LinkNameSpaceType::Mount),
    of("pid", "pid", LinkNameSpaceType::ProcessID),
    of("network", "net", LinkNameSpaceType::Network),
    of("ipc", "ipc", LinkNameSpaceType::InterProcessCommunication),
    of("uts", "uts", LinkNameSpaceType::HostNameAndNISDomainName),
    of("cgroup", "cgroup", LinkNameSpaceType::ControlGroup),
    of("time", "time", LinkNameSpaceType::Time),
];

impl Type {
    pub fn named(name: &str) -> Option<Type> {
        TYPES.into_iter().find(|kind| kind.name == name)
    }
}

/// setns(2) into the one namespace that `namespace` (an open /proc/PID/ns file) is.
pub fn join(namespace: impl AsFd, kind: Type) -> std::result::Result<(), Errno> {
    rustix::thread::move_into_link_name_space(namespace.as_fd(), Some(kind.link))
}

/// setns(2) into several namespaces of a process at once (Linux 5.8); all or none.
pub fn join_process(pidfd: impl AsFd, flags: u32) -> Result<()> {
    let types = ThreadNameSpaceType::from_bits_retain(flags);
    rustix::thread::move_into_thread_name_spaces(pidfd.as_fd(), types)
        .map_err(|errno| failed("setns", "container's namespaces", errno))
}

/// unshare(2) of the cgroup namespace: the group that the process is in becomes its root.
pub fn unshare_cgroup() -> Result<()> {
    // SAFETY: does not touch the descriptor table, which is what makes unshare unsafe.
    unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWCGROUP) }
        .map_err(|errno| failed("unshare", "cgroup namespace", errno))
}

/// Which side of a fork returned.
pub enum Forked {
    Child,
    Parent { pid: i32, pidfd: OwnedFd },
}

/// clone3(2) like fork, with new namespaces (`flags`, CLONE_NEW… bits), from birth in the cgroup
/// whose directory is given.
///
/// The caller must have no other thread: the child would inherit locks that nobody opens again.
/// The applets that call this (shim, runtime) never make one.
pub fn fork(flags: u32, group: Option<impl AsFd>) -> std::result::Result<Forked, Errno> {
    use std::os::fd::AsRawFd;
    let group = group.as_ref().map(|group| group.as_fd().as_raw_fd());
    // SAFETY: the process has one thread, see above.
    match unsafe { raw::clone3(flags.into(), group) }? {
        raw::Cloned::Child => Ok(Forked::Child),
        raw::Cloned::Parent { pid, pidfd } => Ok(Forked::Parent { pid, pidfd }),
    }
}

/// As `fork`, but the new process is a child of the caller's parent (CLONE_PARENT).
pub fn fork_sibling() -> Result<Forked> {
    fork(kernel::CLONE_PARENT, None::<OwnedFd>)
        .map_err(|errno| failed("clone3", "process in the container", errno))
}
