//! `<root>/<id>/`: `state.json`, what a container is, and `start.sock`, where its first process
//! waits to be started.

use crate::cgroup::Group;
use crate::error::{Error, Result};
use crate::json;
use crate::sys::process;
use miniserde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::{ErrorKind, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Record {
    pub id: String,
    /// 0 until the process exists.
    pub pid: i32,
    /// Of the process, in clock ticks since boot: a pid alone may be another's by now.
    pub start_time: u64,
    pub bundle: String,
    pub rootfs: String,
    /// RFC 3339.
    pub created: String,
    /// The cgroup's directory, absolute.
    pub cgroup: Option<String>,
    pub annotations: Option<BTreeMap<String, String>>,
    /// CLONE_NEW… bits of the namespaces that are not the creator's.
    pub namespaces: u32,
}

const STATE: &str = "state.json";

pub fn dir(root: &Path, id: &str) -> PathBuf {
    root.join(id)
}

/// Where the first process waits for `start`; the file goes when it has been started.
pub fn start_socket(root: &Path, id: &str) -> PathBuf {
    dir(root, id).join("start.sock")
}

/// Ids become names of files and cgroups. runc's grammar.
pub fn check_id(id: &str) -> Result<()> {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || b"_+-.".contains(&byte);
    if id.is_empty() || id.len() > 1024 || id == "." || id == ".." || !id.bytes().all(good) {
        return Err(Error::invalid("invalid container ID format"));
    }
    Ok(())
}

/// Make the directory of a new container; its existence is the claim on the name.
pub fn claim(root: &Path, id: &str) -> Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.mode(0o700);
    let dir = dir(root, id);
    let mut made = builder.create(&dir);
    if matches!(&made, Err(error) if error.kind() == ErrorKind::NotFound) {
        builder
            .recursive(true)
            .create(root)
            .map_err(|error| Error::io(format_args!("create {}", root.display()), &error))?;
        made = builder.recursive(false).create(&dir);
    }
    made.map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => Error::conflict("container with given ID already exists"),
        _ => Error::io(format_args!("create {}", dir.display()), &error),
    })
}

/// Write the record whole. It lives on a tmpfs and means nothing after a reboot, so no sync.
pub fn save(root: &Path, record: &Record) -> Result<()> {
    let dir = dir(root, &record.id);
    let (new, path) = (dir.join(".state.json.new"), dir.join(STATE));
    let write = || {
        std::fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&new)?
            .write_all(json::to_string(record).as_bytes())?;
        std::fs::rename(&new, &path)
    };
    write().map_err(|error| Error::io(format_args!("write {}", path.display()), &error))
}

pub fn load(root: &Path, id: &str) -> Result<Record> {
    check_id(id)?;
    let path = dir(root, id).join(STATE);
    match std::fs::read(&path) {
        Ok(bytes) => json::parse_bytes(&bytes, &path.display().to_string()),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            Err(Error::not_found("container does not exist"))
        }
        Err(error) => Err(Error::io(format_args!("read {}", path.display()), &error)),
    }
}

impl Record {
    /// Whether the first process is still there (a zombie is not).
    pub fn is_alive(&self) -> bool {
        self.pid > 0 && process::start_time(self.pid) == Some(self.start_time)
    }

    /// The container's cgroup, if it has one and it still exists.
    pub fn group(&self) -> Option<Group> {
        Group::open(Path::new(self.cgroup.as_deref()?)).ok()
    }

    /// The first process, held so that its number cannot become another's; `None` if it ended.
    pub fn process(&self) -> Option<OwnedFd> {
        let pidfd = process::open(self.pid).ok()?;
        // Only now: between a look at the number and pidfd_open it could have changed hands.
        self.is_alive().then_some(pidfd)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_that_are_paths_are_refused() {
        for bad in ["", ".", "..", "a/b", "../x", "a b", "a\n", "é"] {
            assert!(check_id(bad).is_err(), "{bad:?}");
        }
        for good in ["a", "web-1", "x_y.z+1", "-a"] {
            assert!(check_id(good).is_ok(), "{good:?}");
        }
    }
}
