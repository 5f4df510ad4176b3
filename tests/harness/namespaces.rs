//! Bundles whose namespaces a test chooses, and namespaces to join.

use crate::harness::bundle::Bundle;
use crate::harness::eventually;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

/// Types by their names in config.json and in /proc/PID/ns, but for `user`.
pub const TYPES: [(&str, &str); 7] = [
    ("pid", "pid"),
    ("network", "net"),
    ("mount", "mnt"),
    ("ipc", "ipc"),
    ("uts", "uts"),
    ("cgroup", "cgroup"),
    ("time", "time"),
];

pub const MAPS: &str = r#"[{"containerID":0,"hostID":100000,"size":1000},
                       {"containerID":1000,"hostID":300000,"size":10}]"#;

/// A member `linux.namespaces` with these, `name` or `name=path`.
pub fn list(names: &[&str]) -> String {
    let entries: Vec<String> = names
        .iter()
        .map(|name| match name.split_once('=') {
            Some((name, path)) => format!(r#"{{"type":"{name}","path":"{path}"}}"#),
            None => format!(r#"{{"type":"{name}"}}"#),
        })
        .collect();
    format!("[{}]", entries.join(","))
}

pub fn bundle(name: &'static str, script: &str, namespaces: &[&str]) -> Bundle {
    let bundle = Bundle::new(name);
    bundle.script(script);
    bundle.set("linux.namespaces", &list(namespaces));
    bundle
}

/// Let the container have a user namespace, and its rootfs belong to that one's root.
pub fn map_users(bundle: &Bundle, maps: &str, root: u32) {
    bundle.set("linux.uidMappings", maps);
    bundle.set("linux.gidMappings", maps);
    give(&Path::new(&bundle.dir).join("rootfs"), root);
}

pub fn give(path: &Path, id: u32) {
    std::os::unix::fs::lchown(path, Some(id), Some(id)).unwrap();
    if fs::symlink_metadata(path).unwrap().is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            give(&entry.unwrap().path(), id);
        }
    }
}

pub fn link(path: &str) -> String {
    fs::read_link(path).unwrap().display().to_string()
}

/// A process in namespaces of its own, for others to join.
pub struct Holder(pub std::process::Child);

impl Holder {
    pub fn new(flags: &[&str]) -> Holder {
        let own = |file: &str| fs::read_link(format!("/proc/self/ns/{file}")).unwrap();
        let child = Command::new("unshare")
            .args(flags)
            .args(["sleep", "1000"])
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let holder = Holder(child);
        let comm = format!("/proc/{}/comm", holder.0.id());
        eventually("unshare has become sleep", || {
            fs::read_to_string(&comm).is_ok_and(|name| name == "sleep\n")
        });
        assert_ne!(
            fs::read_link(holder.file(flags[0])).unwrap(),
            own(file_of(flags[0]))
        );
        holder
    }

    pub fn file(&self, flag: &str) -> String {
        format!("/proc/{}/ns/{}", self.0.id(), file_of(flag))
    }
}

fn file_of(flag: &str) -> &str {
    match flag {
        "--mount" => "mnt",
        other => other.trim_start_matches("--"),
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
