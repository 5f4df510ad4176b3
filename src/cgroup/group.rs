//! One group: made, filled, limited, frozen, emptied, removed.

use crate::cgroup::devices::{self, Guard};
use crate::cgroup::tree::{self, is_gone};
use crate::cgroup::{find, no_controller, resources, why_not};
use crate::error::{Error, Kind, Result};
use crate::oci::spec::Resources;
use crate::sys::{cgroup, fs, poll, process};
use rustix::event::PollFlags;
use rustix::io::Errno;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The engine's parent of groups; it goes with the last of them.
const PARENT: &str = "tug";

/// How long the kernel may need to let go of a group whose processes have been killed.
const REMOVE_TIMEOUT: Duration = Duration::from_secs(2);

/// How long processes may take to reach a place where they can be frozen; runc's time.
const FREEZE_TIMEOUT: Duration = Duration::from_secs(10);

/// Where a `Group` comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Origin {
    /// It has just been made: nobody is in it, and it has no device program.
    New,
    /// Empty, left over from a crash or prepared by somebody.
    Found,
    /// Somebody lives there.
    Living,
}

#[derive(Debug)]
pub struct Group {
    path: PathBuf,
    dir: OwnedFd,
    origin: Origin,
}

impl AsFd for Group {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.dir.as_fd()
    }
}

impl Group {
    /// The directory for `asked` (config.json's cgroupsPath). A relative path, and without one
    /// `id`, begins beside the group that we are in, which has processes and so cannot be a
    /// parent. Refused when somebody is there already. `None` on a host without cgroup v2.
    pub fn place(asked: Option<&str>, id: &str) -> Result<Option<PathBuf>> {
        let asked = asked.filter(|path| !path.is_empty()).unwrap_or(id);
        if !asked.starts_with('/') && asked.bytes().filter(|byte| *byte == b':').count() == 2 {
            return Err(Error::unsupported(format!(
                "cgroupsPath {asked:?} is for systemd's driver, which is not supported: give a path"
            )));
        }
        let Some(top) = find::mount_point()? else {
            return Ok(None);
        };
        let mut below = find::clean(Path::new(asked));
        if below.as_os_str().is_empty() {
            return Err(Error::invalid("cgroupsPath cannot be the root group"));
        }
        if !asked.starts_with('/') {
            let own = find::clean(&find::of_process("self")?);
            below = own.parent().unwrap_or(Path::new("")).join(below);
        }
        let path = top.join(below);
        if let Ok(dir) = fs::open_dir(&path) {
            Group::new(&path, dir, Origin::Found).check_unused()?;
        }
        Ok(Some(path))
    }

    /// Make the group at `path` (from `place`), with every controller that its parents can give.
    /// `needs_domain`: it is to have limits that threaded groups cannot have. After an error
    /// nothing has been made.
    pub fn create(path: &Path, needs_domain: bool) -> Result<Group> {
        let origin = make(path)?;
        let made = Group::open(path).and_then(|mut group| {
            group.origin = origin;
            if origin == Origin::Found {
                group.check_unused()?;
            }
            group.take_controllers(needs_domain)?;
            Ok(group)
        });
        if made.is_err() && origin == Origin::New {
            let _ = cgroup::remove(path);
        }
        made
    }

    /// A group that somebody lives in.
    pub fn open(path: &Path) -> Result<Group> {
        Ok(Group::new(path, fs::open_dir(path)?, Origin::Living))
    }

    /// The group at `path`, for mounting it or starting in it, not for reading its directory.
    pub fn named(path: &Path) -> Result<Group> {
        Ok(Group::new(path, fs::open_path(path)?, Origin::Living))
    }

    fn new(path: &Path, dir: OwnedFd, origin: Origin) -> Group {
        Group {
            path: path.to_path_buf(),
            dir,
            origin,
        }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Note that the group is now that of `owner`, and not of whom it had before.
    pub fn mark(&self, owner: &str) {
        // Without the mark (user namespaces do not set any) it is as on hosts with one runtime.
        let _ = cgroup::set_mark(self.as_fd(), owner);
    }

    /// Whether somebody else than `owner` has marked the group since.
    pub fn is_marked_by_another(&self, owner: &str) -> bool {
        cgroup::mark(self.as_fd()).is_ok_and(|found| found != owner)
    }

    pub fn is_new(&self) -> bool {
        self.origin == Origin::New
    }

    fn check_unused(&self) -> Result<()> {
        let count = self.pids()?.len();
        if count > 0 {
            return Err(Error::conflict(format!(
                "container's cgroup is not empty: {count} process(es) found"
            )));
        }
        if self.is_frozen() {
            return Err(Error::conflict("container's cgroup unexpectedly frozen"));
        }
        Ok(())
    }

    /// Let our parents hand down what the top has.
    fn take_controllers(&self, needs_domain: bool) -> Result<()> {
        let top = find::mount_point()?.unwrap_or_default();
        let offered = find::words(&top, "cgroup.controllers");
        let own = self.read("cgroup.controllers").unwrap_or_default();
        if lacking(&offered, &own).is_empty() {
            return Ok(());
        }
        for dir in parents(&self.path, &top) {
            let given = find::words(dir, "cgroup.subtree_control").join(" ");
            let wanted = lacking(&offered, &given);
            let control = dir.join("cgroup.subtree_control");
            // All or none: a parent with processes of its own still hands down what is threaded.
            // What is refused is noticed when a limit needs it: its file will be missing.
            if !wanted.is_empty() && std::fs::write(&control, wanted.join(" ")).is_err() {
                for one in wanted {
                    let _ = std::fs::write(&control, one);
                }
            }
        }
        self.check_type(needs_domain)
    }

    /// Below a threaded group there are threaded groups alone, and a new one is neither until it
    /// is told (cgroups(7), THREAD MODE).
    fn check_type(&self, needs_domain: bool) -> Result<()> {
        let kind = self.read("cgroup.type").unwrap_or_default();
        let kind = match kind.trim() {
            "domain invalid" if !needs_domain => return self.write("cgroup.type", "threaded"),
            "domain invalid" => "in an invalid state",
            kind @ ("threaded" | "domain threaded") if needs_domain => &format!("in {kind} mode"),
            _ => return Ok(()),
        };
        let top = find::mount_point()?.unwrap_or_default();
        let busy = parents(&self.path, &top)
            .into_iter()
            .skip(1)
            .find(|dir| !find::words(dir, "cgroup.procs").is_empty());
        Err(Error::conflict(format!(
            "cannot enter cgroupv2 \"{}\" with domain controllers -- it is {kind}{}",
            self.path.display(),
            busy.map_or(String::new(), |dir| format!(": {}", has_processes(dir)))
        )))
    }

    /// Set the limits and the device rules. In a group that lives, what is not asked for stays.
    pub fn apply(&self, resources: Option<&Resources>) -> Result<Guard> {
        if let Some(resources) = resources {
            if let Some(unified) = &resources.unified {
                resources::check_unified(unified)?;
            }
            self.set_limits(resources)?;
        }
        let asked = resources.and_then(|resources| resources.devices.as_deref());
        let guard = match asked.is_none() && self.origin == Origin::Living {
            true => Guard::Open,
            false => devices::apply(self, resources)?,
        };
        for (file, value) in resources.iter().flat_map(|r| r.unified.iter().flatten()) {
            self.set_unified(file, value)?;
        }
        Ok(guard)
    }

    fn set_limits(&self, resources: &Resources) -> Result<()> {
        let limits = resources::limits(resources, &|file| {
            (self.origin != Origin::New || file.starts_with("io."))
                .then(|| self.read(file))
                .flatten()
        })?;
        // A burst above the quota is refused until the quota is there; then its turn comes again.
        let mut burst_is_set = false;
        for (at, limit) in limits.iter().enumerate() {
            let is_burst = limit.file == "cpu.max.burst";
            if is_burst && burst_is_set {
                continue;
            }
            match cgroup::write(self.as_fd(), &limit.file, &limit.value) {
                Ok(()) => burst_is_set |= is_burst,
                Err(Errno::INVAL) if is_burst && at + 1 < limits.len() => {
                    let again = limits.iter().skip(at + 1).any(|later| later == limit);
                    if !again {
                        return Err(self.unwritten(&limit.file, &limit.value, Errno::INVAL));
                    }
                }
                Err(Errno::NOENT) if limit.is_optional() => {}
                Err(errno) => return Err(self.unset(&limit.file, &limit.value, errno)),
            }
        }
        Ok(())
    }

    /// runc's way: each line is one write, as the kernel takes one device at a time.
    fn set_unified(&self, file: &str, value: &str) -> Result<()> {
        for line in value.lines() {
            if let Err(errno) = cgroup::write(self.as_fd(), file, line) {
                let mut error = self.unset(file, line, errno);
                error.message = format!("unified resource {file:?} can't be set: {error}");
                return Err(error);
            }
        }
        Ok(())
    }

    /// Why a limit could not be set.
    fn unset(&self, file: &str, value: &str, errno: Errno) -> Error {
        if errno != Errno::NOENT {
            return self.unwritten(file, value, errno);
        }
        let controller = file.split('.').next().unwrap_or(file);
        let has = |dir: &Path, list| find::words(dir, list).iter().any(|word| word == controller);
        let top = find::mount_point().ok().flatten().unwrap_or_default();
        if controller != "cgroup" && !has(&top, "cgroup.controllers") {
            return no_controller(file);
        }
        let stingy = parents(&self.path, &top)
            .into_iter()
            .find(|dir| !has(dir, "cgroup.subtree_control"));
        let why = match stingy.filter(|_| controller != "cgroup") {
            None => why_not(file).unwrap_or_else(|| "this kernel has no such file".to_string()),
            Some(dir) if find::words(dir, "cgroup.procs").is_empty() => {
                format!("{} does not hand down {controller}", dir.display())
            }
            Some(dir) => format!("{} and cannot hand down {controller}", has_processes(dir)),
        };
        Error::new(Kind::Unsupported, format!("cannot set {file}: {why}"))
    }

    fn unwritten(&self, file: &str, value: &str, errno: Errno) -> Error {
        let path = self.path.join(file);
        failed(&format!("write {value:?} to"), &path, errno)
    }

    /// Move a process here.
    pub fn add(&self, pid: i32) -> Result<()> {
        self.write("cgroup.procs", &pid.to_string())
    }

    pub fn write(&self, file: &str, value: &str) -> Result<()> {
        cgroup::write(self.as_fd(), file, value).map_err(|errno| self.unwritten(file, value, errno))
    }

    /// A small file of the group; `None` where the controller is not there.
    pub fn read(&self, file: &str) -> Option<String> {
        cgroup::read(self.as_fd(), file).ok()
    }

    /// Every process in the group and in groups below it.
    pub fn pids(&self) -> Result<Vec<i32>> {
        let mut pids = Vec::new();
        let mut add = |dir: BorrowedFd<'_>| {
            let text = match cgroup::read(dir, "cgroup.procs") {
                // Of a threaded group only the threads are told.
                Err(Errno::OPNOTSUPP) => cgroup::read(dir, "cgroup.threads"),
                read => read,
            };
            match text {
                Ok(text) => pids.extend(text.lines().filter_map(|line| line.parse::<i32>().ok())),
                Err(errno) if is_gone(errno) => {}
                Err(errno) => return Err(errno),
            }
            Ok(())
        };
        tree::walk(self.as_fd(), &mut add, &mut |_, _| Ok(()))
            .map_err(|errno| failed("read processes of", &self.path, errno))?;
        Ok(pids)
    }

    /// Send `signal` to all processes. SIGKILL reaches also those that fork meanwhile.
    pub fn kill(&self, signal: i32) -> Result<()> {
        const SIGKILL: i32 = 9;
        if signal != SIGKILL {
            return self.signal_each(signal);
        }
        // cgroup.kill came with Linux 5.14; threaded groups do not take it.
        match cgroup::write(self.as_fd(), "cgroup.kill", "1") {
            Ok(()) => Ok(()),
            Err(_) => self.freeze_and_kill(),
        }
    }

    /// What is frozen cannot fork; it dies of SIGKILL all the same (cgroup v2 wakes it for that).
    fn freeze_and_kill(&self) -> Result<()> {
        let _ = self.freeze(true);
        let outcome = self.signal_each(9);
        let _ = self.freeze(false);
        outcome
    }

    fn signal_each(&self, signal: i32) -> Result<()> {
        for pid in self.pids()? {
            // Gone meanwhile is gone.
            if let Ok(pidfd) = process::open(pid) {
                let _ = process::signal(&pidfd, signal);
            }
        }
        Ok(())
    }

    /// Freeze or thaw all processes; answers when they are frozen.
    pub fn freeze(&self, frozen: bool) -> Result<()> {
        let value = if frozen { "1" } else { "0" };
        match cgroup::write(self.as_fd(), "cgroup.freeze", value) {
            Ok(()) => {}
            Err(Errno::NOENT) => {
                return Err(Error::unsupported(
                    "freezer not supported: cgroup.freeze does not exist (Linux 5.2 has it)",
                ));
            }
            Err(errno) => return Err(self.unwritten("cgroup.freeze", value, errno)),
        }
        if !frozen || self.until("frozen 1", Instant::now() + FREEZE_TIMEOUT)? {
            return Ok(());
        }
        // Half frozen is no state to be left in.
        let _ = self.freeze(false);
        Err(Error::new(
            Kind::System,
            "timeout of 10s reached waiting for the cgroup to freeze",
        ))
    }

    pub fn is_frozen(&self) -> bool {
        self.read("cgroup.freeze")
            .is_some_and(|text| text.trim() == "1")
    }

    /// Wait until cgroup.events has `line`; false if it has not at the deadline.
    fn until(&self, line: &str, deadline: Instant) -> Result<bool> {
        let path = || self.path.join("cgroup.events");
        let events = cgroup::open(self.as_fd(), "cgroup.events")
            .map_err(|errno| failed("open", &path(), errno))?;
        loop {
            let text = cgroup::read_open(events.as_fd())
                .map_err(|errno| failed("read", &path(), errno))?;
            if text.lines().any(|found| found == line) {
                return Ok(true);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(false);
            }
            poll::wait(&[(events.as_fd(), PollFlags::PRI)], Some(left))?;
        }
    }

    /// memory.events, for poll(2): PRI tells a change, among others of `oom_kills`. Read it (or
    /// ask for another) before waiting again.
    pub fn watch_oom(&self) -> Result<OwnedFd> {
        let name = "memory.events";
        let failed = |errno| failed("watch", &self.path.join(name), errno);
        let file = cgroup::open(self.as_fd(), name).map_err(failed)?;
        cgroup::read_open(file.as_fd()).map_err(failed)?;
        Ok(file)
    }

    /// Kill who is left, and remove the group.
    pub fn destroy(&self) -> Result<()> {
        if self.remove_once().is_err() {
            let _ = self.kill(9);
        }
        self.remove()
    }

    /// Remove the group and those below it, and the engine's parent directory with its last group.
    pub fn remove(&self) -> Result<()> {
        let deadline = Instant::now() + REMOVE_TIMEOUT;
        let mut pause = Duration::from_micros(250);
        loop {
            match self.remove_once() {
                Ok(()) => break,
                // Processes that have been killed are still on their way out; or, rarely, the
                // last of them has just made one more group.
                Err(Errno::BUSY) if Instant::now() < deadline => {
                    if self.until("populated 0", deadline).is_ok_and(|empty| empty) {
                        std::thread::sleep(pause);
                        pause = (pause * 2).min(Duration::from_millis(50));
                    }
                }
                Err(errno) => return Err(failed("remove", &self.path, errno)),
            }
        }
        if let Some(parent) = self.path.parent().filter(|parent| parent.ends_with(PARENT)) {
            let _ = cgroup::remove(parent);
        }
        Ok(())
    }

    /// Remove the engine's parent directory if its last group is gone, for groups that another
    /// runtime has removed.
    pub fn leave_parent() {
        if let Ok(Some(top)) = find::mount_point() {
            let _ = cgroup::remove(&top.join(PARENT));
        }
    }

    fn remove_once(&self) -> std::result::Result<(), Errno> {
        // Mostly there is nothing below.
        if remove_unless_gone(cgroup::remove(&self.path)).is_ok() {
            return Ok(());
        }
        tree::walk(self.as_fd(), &mut |_| Ok(()), &mut |parent, name| {
            let flags = rustix::fs::AtFlags::REMOVEDIR;
            remove_unless_gone(rustix::fs::unlinkat(parent, name, flags))
        })?;
        remove_unless_gone(cgroup::remove(&self.path))
    }
}

fn remove_unless_gone(removed: std::result::Result<(), Errno>) -> std::result::Result<(), Errno> {
    match removed {
        Err(errno) if is_gone(errno) => Ok(()),
        other => other,
    }
}

/// Make the directory, and its parents where they are missing.
fn make(path: &Path) -> Result<Origin> {
    let deadline = Instant::now() + REMOVE_TIMEOUT;
    loop {
        match cgroup::make(path) {
            Ok(()) => return Ok(Origin::New),
            Err(Errno::EXIST) => return Ok(Origin::Found),
            // Another container's removal may take the empty parent away under us: again.
            Err(Errno::NOENT) if Instant::now() < deadline => {}
            Err(errno) => return Err(failed("create", path, errno)),
        }
        let parents = path.ancestors().skip(1).collect::<Vec<_>>();
        for parent in parents.iter().rev() {
            match cgroup::make(parent) {
                Ok(()) | Err(Errno::EXIST | Errno::NOENT) => {}
                // What exists may lie on a file system that is read-only, or not be ours.
                Err(_) if parent.is_dir() => {}
                Err(errno) => return Err(failed("create", parent, errno)),
            }
        }
    }
}

/// The directories from `top` down to the parent of `path`.
fn parents<'a>(path: &'a Path, top: &Path) -> Vec<&'a Path> {
    let mut chain: Vec<&Path> = path
        .ancestors()
        .skip(1)
        .take_while(|dir| dir.starts_with(top))
        .collect();
    chain.reverse();
    chain
}

/// The rule that only groups without processes are parents (cgroups(7), "no internal processes").
fn has_processes(dir: &Path) -> String {
    format!(
        "{} has processes of its own (move them, or give another cgroupsPath)",
        dir.display()
    )
}

/// What of `offered` is not in `given`, as words for cgroup.subtree_control.
fn lacking(offered: &[String], given: &str) -> Vec<String> {
    offered
        .iter()
        .filter(|name| !given.split_whitespace().any(|word| word == *name))
        .map(|name| format!("+{name}"))
        .collect()
}

fn failed(doing: &str, path: &Path, errno: Errno) -> Error {
    let doing = format_args!("cgroup: {doing} {}", path.display());
    Error::system(doing, errno.raw_os_error())
}

#[cfg(test)]
mod tests;
