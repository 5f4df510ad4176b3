//! Namespaces: joining and making.

use crate::error::Result;
use crate::sys::{failed, fs, raw};
use linux_raw_sys::general as kernel;
use rustix::io::Errno;
use rustix::mount::MountPropagationFlags;
use rustix::thread::{LinkNameSpaceType, ThreadNameSpaceType, UnshareFlags};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

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

pub const MOUNT: Type = TYPES[1];
pub const NETWORK: Type = TYPES[3];
pub const TIME: Type = TYPES[7];

impl Type {
    pub fn named(name: &str) -> Option<Type> {
        TYPES.into_iter().find(|kind| kind.name == name)
    }
}

/// The CLONE_NEW… bit of the namespace that an open file is (NS_GET_NSTYPE, ioctl_ns(2)); ENOTTY
/// for what is none.
pub fn type_of(file: impl AsFd) -> std::result::Result<u32, Errno> {
    raw::namespace_type(file.as_fd())
}

/// One of our own, by its name in /proc/self/ns.
pub fn own(file: &str) -> Result<OwnedFd> {
    open(&format!("/proc/self/ns/{file}"))
}

/// One of the calling thread's, which may differ from the process's.
pub fn of_thread(file: &str) -> Result<OwnedFd> {
    open(&format!("/proc/thread-self/ns/{file}"))
}

/// One that a process is in, by its name in /proc/PID/ns.
pub fn of_process(pid: i32, file: &str) -> Result<OwnedFd> {
    open(&format!("/proc/{pid}/ns/{file}"))
}

fn open(path: &str) -> Result<OwnedFd> {
    fs::open_file(Path::new(path)).map_err(|errno| failed("open", path, errno))
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

/// A mount namespace for the calling thread alone, and with it a current directory of its own. An
/// unmount on the host still arrives and frees its disk; nothing that is mounted here leaves.
pub fn unshare_mounts() -> Result<()> {
    let flags = UnshareFlags::NEWNS | UnshareFlags::FS;
    // SAFETY: no descriptor table is unshared, so no descriptor of another thread goes away.
    unsafe { rustix::thread::unshare_unsafe(flags) }
        .map_err(|errno| failed("unshare", "mount namespace", errno))?;
    let flags = MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC;
    crate::sys::mount::propagate(Path::new("/"), flags)
}

/// unshare(2) of the cgroup namespace: the group that the process is in becomes its root.
pub fn unshare_cgroup() -> Result<()> {
    // SAFETY: does not touch the descriptor table, which is what makes unshare unsafe.
    unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWCGROUP) }
        .map_err(|errno| failed("unshare", "cgroup namespace", errno))
}

/// unshare(2) of the time namespace: the new one is for children, its clocks can still be set.
pub fn unshare_time() -> Result<()> {
    // SAFETY: does not touch the descriptor table, which is what makes unshare unsafe.
    unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWTIME) }
        .map_err(|errno| failed("unshare", "time namespace", errno))
}

/// unshare(2) of the network namespace, for the calling thread alone.
pub fn unshare_network() -> Result<()> {
    // SAFETY: does not touch the descriptor table, which is what makes unshare unsafe.
    unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNET) }
        .map_err(|errno| failed("unshare", "network namespace", errno))
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

/// clone(2) like fork, without anything new. The caller must have no other thread, as for `fork`.
pub fn fork_plain() -> std::result::Result<Forked, Errno> {
    // SAFETY: the process has one thread, see above.
    match unsafe { raw::clone() }? {
        raw::Cloned::Child => Ok(Forked::Child),
        raw::Cloned::Parent { pid, pidfd } => Ok(Forked::Parent { pid, pidfd }),
    }
}

/// As `fork`, but the new process is a child of the caller's parent (CLONE_PARENT).
pub fn fork_sibling(flags: u32) -> std::result::Result<Forked, Errno> {
    fork(flags | kernel::CLONE_PARENT, None::<OwnedFd>)
}
