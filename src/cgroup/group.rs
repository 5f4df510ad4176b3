//! One group: made, filled, emptied, removed.

use crate::cgroup::devices::{self, Guard};
use crate::cgroup::{find, resources};
use crate::error::{Error, Result};
use crate::oci::spec::Resources;
use crate::sys::fs;
use crate::sys::process;
use std::io::{ErrorKind, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The parent of groups that have no place of their own.
const PARENT: &str = "tug";

/// Handed down to groups where the host has them.
const WANTED: [&str; 6] = ["cpu", "cpuset", "io", "memory", "pids", "hugetlb"];

/// How long the kernel may need to let go of a group whose processes have been killed.
const REMOVE_TIMEOUT: Duration = Duration::from_secs(2);

#[derive(Debug)]
pub struct Group {
    path: PathBuf,
    dir: OwnedFd,
}

impl AsFd for Group {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.dir.as_fd()
    }
}

impl Group {
    /// The directory for `asked` (config.json's cgroupsPath), or for `id` below our own parent.
    /// `None` on a host without cgroup v2.
    pub fn place(asked: Option<&str>, id: &str) -> Result<Option<PathBuf>> {
        let below = match asked.filter(|path| !path.is_empty()) {
            Some(path) => checked(path)?,
            None => Path::new(PARENT).join(id),
        };
        Ok(find::mount_point()?.map(|point| point.join(below)))
    }

    /// Make the group at `path` (from `place`), with every controller that its parents can give.
    pub fn create(path: &Path) -> Result<Group> {
        let parent = path.parent().unwrap_or(path);
        let deadline = Instant::now() + REMOVE_TIMEOUT;
        loop {
            let made = std::fs::create_dir_all(parent).and_then(|()| std::fs::create_dir(path));
            match made {
                Ok(()) => break,
                Err(_) if path.is_dir() => break,
                // Another container's removal took the empty parent away under us, before our
                // directory was in it, or between create_dir_all's mkdir, which found it there,
                // and its look at what that was.
                Err(error)
                    if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::AlreadyExists)
                        && Instant::now() < deadline => {}
                Err(error) => return Err(failed("create", path, &error)),
            }
        }
        // Only now: while it holds our directory the parent can't be made anew by somebody else.
        hand_down(parent)?;
        let group = Group::open(path)?;
        // Left over from a crash: fine to have. In use: somebody else's.
        match group.pids()?.len() {
            0 => Ok(group),
            count => Err(Error::conflict(format!(
                "container's cgroup is not empty: {count} process(es) found"
            ))),
        }
    }

    pub fn open(path: &Path) -> Result<Group> {
        Ok(Group {
            dir: fs::open_dir(path)?,
            path: path.to_path_buf(),
        })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Set the limits and the device rules.
    pub fn apply(&self, resources: Option<&Resources>) -> Result<Guard> {
        for (file, value) in resources::files(resources)? {
            self.set(&file, &value)?;
        }
        devices::apply(self, resources)
    }

    /// Move a process here.
    pub fn add(&self, pid: i32) -> Result<()> {
        self.write("cgroup.procs", &pid.to_string())
    }

    fn set(&self, file: &str, value: &str) -> Result<()> {
        let error = match self.write(file, value) {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        let absent = !self.path.join(file).exists();
        match absent {
            // No swap accounting, and none to be limited.
            true if file == "memory.swap.max" && matches!(value, "0" | "max") => Ok(()),
            true => Err(resources::no_controller(file)),
            false => Err(error),
        }
    }

    pub fn write(&self, file: &str, value: &str) -> Result<()> {
        let path = self.path.join(file);
        std::fs::OpenOptions::new()
            .write(true)
            .open(&path)
            .and_then(|mut open| open.write_all(value.as_bytes()))
            .map_err(|error| failed(&format!("write {value:?} to"), &path, &error))
    }

    /// A small file of the group; `None` where the controller is not there.
    pub fn read(&self, file: &str) -> Option<String> {
        std::fs::read_to_string(self.path.join(file)).ok()
    }

    /// Every process in the group and in groups below it.
    pub fn pids(&self) -> Result<Vec<i32>> {
        let mut pids = Vec::new();
        for dir in tree(&self.path) {
            match std::fs::read_to_string(dir.join("cgroup.procs")) {
                Ok(text) => pids.extend(text.lines().filter_map(|line| line.parse::<i32>().ok())),
                Err(error) if is_gone(&error) => {}
                Err(error) => return Err(failed("read processes of", &dir, &error)),
            }
        }
        Ok(pids)
    }

    /// Send `signal` to all processes. SIGKILL reaches also those that fork meanwhile.
    pub fn kill(&self, signal: i32) -> Result<()> {
        const SIGKILL: i32 = 9;
        if signal != SIGKILL {
            return self.signal_each(signal);
        }
        // cgroup.kill came with Linux 5.14.
        if self.write("cgroup.kill", "1").is_ok() {
            return Ok(());
        }
        let _ = self.freeze(true);
        let outcome = self.signal_each(signal);
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

    pub fn freeze(&self, frozen: bool) -> Result<()> {
        self.write("cgroup.freeze", if frozen { "1" } else { "0" })
    }

    pub fn is_frozen(&self) -> bool {
        self.read("cgroup.freeze")
            .is_some_and(|text| text.trim() == "1")
    }

    /// Remove the group and those below it, and our parent directory with its last group.
    pub fn remove(&self) -> Result<()> {
        let deadline = Instant::now() + REMOVE_TIMEOUT;
        let mut pause = Duration::from_micros(250);
        loop {
            match self.remove_once() {
                Ok(()) => break,
                // Processes that have been killed are still on their way out.
                Err(error)
                    if error.raw_os_error() == Some(rustix::io::Errno::BUSY.raw_os_error())
                        && Instant::now() < deadline =>
                {
                    std::thread::sleep(pause);
                    pause = (pause * 2).min(Duration::from_millis(50));
                }
                Err(error) => return Err(failed("remove", &self.path, &error)),
            }
        }
        if let Some(parent) = self.path.parent().filter(|parent| parent.ends_with(PARENT)) {
            let _ = std::fs::remove_dir(parent);
        }
        Ok(())
    }

    fn remove_once(&self) -> std::io::Result<()> {
        for dir in tree(&self.path).iter().rev() {
            match std::fs::remove_dir(dir) {
                Err(error) if !is_gone(&error) => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }
}

/// `path` as a relative path that stays below the mount.
fn checked(path: &str) -> Result<PathBuf> {
    if path.contains(':') && !path.starts_with('/') {
        return Err(Error::unsupported(format!(
            "cgroupsPath {path:?} is for systemd's driver, which is not supported: give a path"
        )));
    }
    let mut clean = PathBuf::new();
    for name in path
        .split('/')
        .filter(|name| !name.is_empty() && *name != ".")
    {
        if name == ".." {
            return Err(Error::invalid(format!("cgroupsPath {path:?} climbs out")));
        }
        clean.push(name);
    }
    match clean.as_os_str().is_empty() {
        true => Err(Error::invalid("cgroupsPath cannot be the root group")),
        false => Ok(clean),
    }
}

/// The directory and all below it, parents first.
fn tree(top: &Path) -> Vec<PathBuf> {
    let mut all = vec![top.to_path_buf()];
    let mut next = 0;
    while let Some(dir) = all.get(next) {
        next += 1;
        let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
        let dirs: Vec<PathBuf> = entries
            .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
            .map(|entry| entry.path())
            .collect();
        all.extend(dirs);
    }
    all
}

/// The group is no more: ENOENT for the path, ENODEV for a file that was open.
fn is_gone(error: &std::io::Error) -> bool {
    error.kind() == ErrorKind::NotFound
        || error.raw_os_error() == Some(rustix::io::Errno::NODEV.raw_os_error())
}

/// Give `dir`'s children every controller that the host has for v2, from the top down. What is
/// refused is noticed when a limit needs it: its file will be missing.
fn hand_down(dir: &Path) -> Result<()> {
    let Some(top) = find::mount_point()? else {
        return Ok(());
    };
    let mut chain: Vec<&Path> = dir
        .ancestors()
        .take_while(|dir| dir.starts_with(&top))
        .collect();
    chain.reverse();
    for dir in chain {
        let offered = find::words(dir, "cgroup.controllers");
        let given = find::words(dir, "cgroup.subtree_control");
        for name in WANTED {
            if offered.iter().any(|word| word == name) && !given.iter().any(|word| word == name) {
                let _ = std::fs::write(dir.join("cgroup.subtree_control"), format!("+{name}"));
            }
        }
    }
    Ok(())
}

fn failed(doing: &str, path: &Path, error: &std::io::Error) -> Error {
    Error::io(format_args!("cgroup: {doing} {}", path.display()), error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_come_and_go_while_their_parent_does() {
        const NAME: &str = "groups_come_and_go_while_their_parent_does";
        let Some(top) = find::mount_point().unwrap() else {
            return println!("skip: {NAME}: no cgroup v2 here");
        };
        let top = top.join(format!("tug-test-{}", std::process::id()));
        if std::fs::create_dir(&top).is_err() {
            return println!("skip: {NAME}: needs root");
        }
        let threads: Vec<_> = (0..4)
            .map(|n| {
                let path = top.join(PARENT).join(n.to_string());
                std::thread::spawn(move || {
                    for _ in 0..3000 {
                        Group::create(&path)?.remove()?;
                    }
                    Ok(())
                })
            })
            .collect();
        let ends: Vec<Result<()>> = threads.into_iter().map(|t| t.join().unwrap()).collect();
        let _ = std::fs::remove_dir(top.join(PARENT));
        std::fs::remove_dir(&top).unwrap();
        assert!(ends.iter().all(Result::is_ok), "{ends:?}");
    }

    #[test]
    fn paths_stay_below_the_mount() {
        assert_eq!(checked("/tug/web").unwrap(), Path::new("tug/web"));
        assert_eq!(checked("a//./b/").unwrap(), Path::new("a/b"));
        for bad in ["/", "/../x", "a/../../b", "..", "system.slice:tug:web"] {
            assert!(checked(bad).is_err(), "{bad:?}");
        }
    }
}
