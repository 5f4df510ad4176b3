//! Being where the container is, for the moment that it takes to make a socket or to find a file.

use crate::error::Result;
use crate::net::namespace as network;
use crate::shim::probe::Place;
use crate::sys::{fs, namespace, process};
use rustix::fs::OFlags;
use std::os::fd::OwnedFd;
use std::path::Path;

impl Place<'_> {
    /// Do `work` in the container's network namespace. Sockets that it makes belong there.
    pub fn in_network<T>(&self, work: impl FnOnce() -> Result<T>) -> Result<T> {
        let netns = namespace::of_process(self.pid, "net")?;
        network::within(&netns, work)
    }

    /// Find `path` in the container's files, and do `work` with it (O_PATH), both with the rights that
    /// the container's user has: what is hidden from him is hidden from his probe.
    pub fn with_file<T>(&self, path: &str, work: impl FnOnce(OwnedFd) -> Result<T>) -> Result<T> {
        let root = fs::open_path(Path::new(&format!("/proc/{}/root", self.pid)))?;
        process::with_rights_of(self.pid, || {
            fs::open_inside(&root, Path::new(path), OFlags::PATH).and_then(work)
        })?
    }
}

/// The processes that share a process's pid namespace.
pub fn neighbours(pid: i32) -> Vec<i32> {
    let space = |pid: i32| std::fs::read_link(format!("/proc/{pid}/ns/pid")).ok();
    let own = space(pid);
    let mut pids = process::all();
    pids.retain(|other| own.is_some() && space(*other) == own);
    pids
}
