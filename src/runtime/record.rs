//! `<root>/<id>/`: `state.json`, what a container is; `config.json`, what it was made from;
//! `seccomp.bpf`, its filter; and `start.sock`, where its first process waits to be started.

use crate::cgroup::Group;
use crate::error::{Error, Result};
use crate::json::map::Map;
use crate::json::value::json_struct;
use crate::json::{self, node::Node};
use crate::oci::spec::{Process, Spec};
use crate::runtime::walk::is_absent;
use crate::sys::{fs, process};
use std::io::{ErrorKind, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

json_struct! {
    #[derive(Clone, Debug, Default)]
    pub struct Record {
        pub id: String,
        /// 0 until the process exists.
        pub pid: i32,
        /// Of the process, in clock ticks since boot: a pid alone may be another's by now.
        pub start_time: u64,
        pub bundle: String,
        pub rootfs: String,
        /// RFC 3339, to the nanosecond; the cgroup is marked with it.
        pub created: String,
        /// The cgroup's directory, absolute.
        pub cgroup: Option<String>,
        pub annotations: Option<Map<String>>,
        /// CLONE_NEW… bits of the namespaces that are not the creator's.
        pub namespaces: u32,
        /// Its processes use the session keyring of whoever started them.
        pub same_keyring: Option<bool>,
        /// See `kept_mounts`.
        pub mount_before: Option<u64>,
        /// Whether hooks wait for its start or its end. They stand in `config.json`, which need not be
        /// read without them.
        pub late_hooks: Option<bool>,
        /// Whether `config.json` has what each process that joins gets too: a memory policy, a
        /// personality.
        pub for_all: Option<bool>,
    }
}

const STATE: &str = "state.json";
const CONFIG: &str = "config.json";

/// How long to wait for another process that makes or removes the same container.
const PATIENCE: Duration = Duration::from_secs(10);

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

/// While somebody holds this, nobody else makes, changes or removes the container.
///
/// A lock on the container's directory (flock(2)): the kernel lets go of it when its holder dies,
/// so no crash leaves a container that cannot be removed.
#[derive(Debug)]
pub struct Claim {
    _lock: std::fs::File,
}

/// Make the directory of a new container; its existence is the claim on the name.
pub fn claim(root: &Path, id: &str) -> Result<Claim> {
    loop {
        make_dir(root, id)?;
        // Between the two calls a `delete --force` may have found a directory without a record, as
        // a crash leaves it, and taken it away. Then that came first, and the name is free again.
        if let Some(claim) = wait_for_claim(root, id, &|_| {})? {
            return Ok(claim);
        }
    }
}

fn make_dir(root: &Path, id: &str) -> Result<()> {
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

/// Claim a container that exists, waiting for whoever holds it; `None` if it does not exist, or no
/// more. `while_waiting` is called now and then with how long that is already.
pub fn wait_for_claim(
    root: &Path,
    id: &str,
    while_waiting: &dyn Fn(Duration),
) -> Result<Option<Claim>> {
    let dir = dir(root, id);
    let failed = |error| Error::io(format_args!("open {}", dir.display()), &error);
    let open = match std::fs::File::open(&dir) {
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        other => other.map_err(failed)?,
    };
    let begin = Instant::now();
    let mut pause = Duration::from_micros(250);
    while !fs::try_lock(&open, &dir)? {
        let waited = begin.elapsed();
        if waited > PATIENCE {
            return Err(Error::conflict(format!(
                "container {id} is being made, changed or removed by another process"
            )));
        }
        while_waiting(waited);
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(20));
    }
    // Whoever held it may have removed it; a namesake may have been made since.
    let ours = open.metadata().map_err(failed)?;
    let same = |now: std::fs::Metadata| (now.dev(), now.ino()) == (ours.dev(), ours.ino());
    match std::fs::metadata(&dir).is_ok_and(same) {
        true => Ok(Some(Claim { _lock: open })),
        false => Ok(None),
    }
}

/// Whether somebody makes, changes or removes the container just now.
pub fn is_claimed(root: &Path, id: &str) -> bool {
    let dir = dir(root, id);
    // A lock that we get goes with the descriptor, at once; it is a shared one, so that two who
    // ask at the same time do not take each other for a maker.
    std::fs::File::open(&dir)
        .is_ok_and(|open| matches!(fs::try_lock_shared(&open, &dir), Ok(false)))
}

/// Write the record whole.
pub fn save(root: &Path, record: &Record) -> Result<()> {
    replace(&dir(root, &record.id), STATE, &json::to_string(record))
}

/// Written beside and renamed. It lives on a tmpfs and means nothing after a reboot, so no sync.
fn replace(dir: &Path, name: &str, text: &str) -> Result<()> {
    let (new, path) = (dir.join(format!(".{name}.new")), dir.join(name));
    let write = || {
        std::fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&new)?
            .write_all(text.as_bytes())?;
        std::fs::rename(&new, &path)
    };
    write().map_err(|error| Error::io(format_args!("write {}", path.display()), &error))
}

/// Keep the bundle's config.json as it is now: `exec`, hooks and `update` need it long after, and
/// the bundle may be gone or changed by then.
pub fn keep_config(root: &Path, id: &str, bundle: &Path) -> Result<()> {
    let (from, to) = (bundle.join(CONFIG), dir(root, id).join(CONFIG));
    std::fs::copy(&from, &to).map(drop).map_err(|error| {
        Error::io(
            format_args!("copy {} to {}", from.display(), to.display()),
            &error,
        )
    })
}

/// The config.json that the container was made from, with what `update` has changed since.
pub fn config(root: &Path, id: &str) -> Result<Spec> {
    let path = dir(root, id).join(CONFIG);
    json::parse_bytes(&fs::read(&path)?, &path.display().to_string())
}

/// Its `process` alone: a seccomp profile, which most of the text may be, need not be understood.
pub fn process(root: &Path, id: &str) -> Result<Process> {
    let path = dir(root, id).join(CONFIG);
    let text = std::fs::read_to_string(&path)
        .map_err(|error| Error::io(format_args!("read {}", path.display()), &error))?;
    let what = path.display().to_string();
    match Node::new(&text, &what)?.member("process") {
        Some(process) => json::parse(process.json(), &what),
        None => Ok(Default::default()),
    }
}

/// Put `spec` in the place of the kept config.json.
pub fn replace_config(root: &Path, id: &str, spec: &Spec) -> Result<()> {
    replace(&dir(root, id), CONFIG, &json::to_string(spec))
}

pub fn load(root: &Path, id: &str) -> Result<Record> {
    check_id(id)?;
    let path = dir(root, id).join(STATE);
    match fs::read(&path) {
        Ok(bytes) => json::parse_bytes(&bytes, &path.display().to_string()),
        Err(error) if is_absent(&error) => Err(missing()),
        Err(error) => Err(error),
    }
}

pub fn missing() -> Error {
    Error::not_found("container does not exist")
}

impl Record {
    /// Whether the first process is still there (a zombie is not).
    pub fn is_alive(&self) -> bool {
        self.pid > 0 && process::start_time(self.pid) == Some(self.start_time)
    }

    /// The container's cgroup, if it has one and it still exists. Once the container has ended, one
    /// of the same name under another root may have taken the empty group: then that is its own.
    pub fn group(&self) -> Option<Group> {
        let group = Group::open(Path::new(self.cgroup.as_deref()?)).ok()?;
        (!group.is_marked_by_another(&self.created)).then_some(group)
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
