//! What a test has left on the machine: mounts, processes, cgroups, namespaces, sockets, files.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Everything that still speaks of `dir` or of a container in `ids`, a line each.
///
/// Shims and containers end a moment after the engine has answered, so this waits a little for
/// them: what is still there then, stays.
pub fn find(dir: &Path, ids: &BTreeSet<String>) -> Vec<String> {
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    loop {
        let found = now(dir, ids);
        if found.is_empty() || std::time::Instant::now() > deadline {
            return found;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
}

fn now(dir: &Path, ids: &BTreeSet<String>) -> Vec<String> {
    let mut found = mounts(dir, ids);
    found.extend(processes(dir, ids).iter().map(|pid| describe(*pid)));
    let groups = cgroups(ids);
    found.extend(
        groups
            .iter()
            .map(|path| format!("cgroup {}", path.display())),
    );
    found.extend(sockets(dir));
    found.extend(loops(dir, ids));
    found
}

/// Files of containers, and half-made things, that outlived the last container.
pub fn files(data_root: &Path, exec_root: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for dir in [
        data_root.join("containers"),
        exec_root.join("containers"),
        exec_root.join("runtime"),
    ] {
        for path in entries(&dir) {
            found.push(format!("file {}", path.display()));
        }
    }
    for dir in [
        data_root.to_path_buf(),
        data_root.join("images"),
        data_root.join("layers"),
    ] {
        for path in entries(&dir) {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            // A name with a dot in front is one that `store` has not finished.
            if name.starts_with('.') {
                found.push(format!("half-made {}", path.display()));
            }
        }
    }
    found
}

/// Kill all that `find` would find, and remove their cgroups: what a power cut does to them.
pub fn end(dir: &Path, ids: &BTreeSet<String>) {
    for _ in 0..100 {
        let left = processes(dir, ids);
        if left.is_empty() {
            break;
        }
        for pid in left {
            if let Some(pid) = rustix::process::Pid::from_raw(pid) {
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            }
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    for path in cgroups(ids) {
        let _ = fs::remove_dir(path);
    }
}

/// Kill, unmount and remove all that `find` would find, and the directory.
pub fn sweep(dir: &Path, ids: &BTreeSet<String>) {
    end(dir, ids);
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    for line in table.lines().rev() {
        if let Some(point) = line.split(' ').nth(4).map(Path::new)
            && point.starts_with(dir)
        {
            let _ = rustix::mount::unmount(point, rustix::mount::UnmountFlags::DETACH);
        }
    }
    let _ = fs::remove_dir_all(dir);
}

/// The shim that serves in this run directory.
pub fn shim(run_dir: &Path) -> Option<i32> {
    let line = format!("tug-shim\0{}\0", run_dir.display());
    entries(Path::new("/proc")).iter().find_map(|path| {
        let found = fs::read(path.join("cmdline")).ok()?;
        found
            .starts_with(line.as_bytes())
            .then(|| path.file_name()?.to_str()?.parse().ok())?
    })
}

/// The parent of a process.
pub fn parent(pid: i32) -> Option<i32> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("PPid:"))?;
    line.trim().parse().ok()
}

fn mounts(dir: &Path, ids: &BTreeSet<String>) -> Vec<String> {
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    table
        .lines()
        .filter(|line| speaks_of(line, dir, ids))
        .map(|line| format!("mount {line}"))
        .collect()
}

/// Processes that name the directory or a container, or live in a root of ours.
fn processes(dir: &Path, ids: &BTreeSet<String>) -> Vec<i32> {
    let own = std::process::id().cast_signed();
    let own_mounts = fs::read_link("/proc/self/ns/mnt").ok();
    let mut found = Vec::new();
    for path in entries(Path::new("/proc")) {
        let Some(pid) = path
            .file_name()
            .and_then(|name| name.to_str()?.parse::<i32>().ok())
        else {
            continue;
        };
        if pid == own {
            continue;
        }
        // A container's process does not name its directory; its table of mounts and its cgroup do.
        // In our own mount namespace that table is ours, which `mounts` looks at; for all processes
        // it would take most of the time of a small test.
        let mounts = fs::read_link(path.join("ns/mnt")).ok();
        let table = (mounts != own_mounts).then_some("mountinfo");
        let is_ours = ["cmdline", "cgroup"]
            .iter()
            .copied()
            .chain(table)
            .any(|name| {
                fs::read(path.join(name))
                    .is_ok_and(|text| speaks_of(&String::from_utf8_lossy(&text), dir, ids))
            })
            || ["exe", "root", "cwd"].iter().any(|name| {
                fs::read_link(path.join(name))
                    .is_ok_and(|target| speaks_of(&target.to_string_lossy(), dir, ids))
            });
        if is_ours && !is_left_to_init(pid) {
            found.push(pid);
        }
    }
    found
}

/// It has ended, and who takes notice is not ours: the machine's init, which may be slow at that.
fn is_left_to_init(pid: i32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    status.contains("\nState:\tZ") && status.contains("\nPPid:\t1\n")
}

fn describe(pid: i32) -> String {
    let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    format!(
        "process {pid} {}",
        String::from_utf8_lossy(&line).replace('\0', " ")
    )
}

fn cgroups(ids: &BTreeSet<String>) -> Vec<PathBuf> {
    let mut found = Vec::new();
    if let Some(top) = cgroup2() {
        find_cgroups(&top, ids, &mut found);
    }
    found
}

fn find_cgroups(dir: &Path, ids: &BTreeSet<String>, found: &mut Vec<PathBuf>) {
    for path in entries(dir) {
        if path.is_dir() {
            // Children first: that is the order of removal.
            find_cgroups(&path, ids, found);
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if ids.iter().any(|id| has_id(&name, id)) {
                found.push(path);
            }
        }
    }
}

/// Where cgroup v2 is mounted on this machine.
pub fn cgroup2() -> Option<PathBuf> {
    let table = fs::read_to_string("/proc/self/mountinfo").ok()?;
    table.lines().find_map(|line| {
        let (mount, kind) = line.split_once(" - ")?;
        let point = mount.split(' ').nth(4)?;
        kind.starts_with("cgroup2 ").then(|| PathBuf::from(point))
    })
}

fn sockets(dir: &Path) -> Vec<String> {
    let table = fs::read_to_string("/proc/net/unix").unwrap_or_default();
    table
        .lines()
        .filter(|line| speaks_of(line, dir, &BTreeSet::new()))
        .map(|line| format!("socket {line}"))
        .collect()
}

/// Loop devices over files of ours.
fn loops(dir: &Path, ids: &BTreeSet<String>) -> Vec<String> {
    let files = entries(Path::new("/sys/block")).into_iter();
    files
        .filter_map(|device| fs::read_to_string(device.join("loop/backing_file")).ok())
        .filter(|file| speaks_of(file, dir, ids))
        .map(|file| format!("loop device over {}", file.trim_end()))
        .collect()
}

fn speaks_of(text: &str, dir: &Path, ids: &BTreeSet<String>) -> bool {
    text.contains(dir.to_str().unwrap()) || ids.iter().any(|id| has_id(text, id))
}

/// What is found is killed: nothing short may pass for an id, for it stands in every text.
fn has_id(text: &str, id: &str) -> bool {
    id.len() >= 8 && text.contains(id)
}

fn entries(dir: &Path) -> Vec<PathBuf> {
    fs::read_dir(dir)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .collect()
}

#[test]
fn what_is_left_is_found_and_swept() {
    let host = super::Host::without_engine("traces");
    let dir = host.make_dir("traces");
    let dir = Path::new(&dir);
    let id = format!("traces-{}", std::process::id());
    let ids = BTreeSet::from([id.clone()]);
    assert_eq!(now(dir, &ids), Vec::<String>::new());

    let mut process = std::process::Command::new("sleep")
        .arg("1000")
        .current_dir(dir)
        .spawn()
        .unwrap();
    let socket = std::os::unix::net::UnixListener::bind(dir.join("socket")).unwrap();
    let group = cgroup2().map(|top| top.join(&id));
    if let Some(group) = &group {
        fs::create_dir(group).unwrap();
    }
    let kinds = || -> BTreeSet<String> {
        let found = now(dir, &ids);
        let kind = |line: &String| line.split(' ').next().unwrap().to_string();
        found.iter().map(kind).collect()
    };
    assert!(kinds().is_superset(&BTreeSet::from([
        "process".to_string(),
        "socket".to_string()
    ])));
    assert_eq!(kinds().contains("cgroup"), group.is_some());

    drop(socket);
    sweep(dir, &ids);
    assert!(
        process.wait().unwrap().code().is_none(),
        "the process was not killed"
    );
    assert_eq!(now(dir, &ids), Vec::<String>::new());
    assert!(!dir.exists());
}
