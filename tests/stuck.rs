//! The kernel takes its time: a removal returns, the name is free again, and nobody else waits.

use crate::harness::{Host, IMAGE, PATIENCE, cgroup2, eventually, skip};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// The container's group, where this machine has cgroup v2.
fn group(host: &Host, container: &str) -> Option<PathBuf> {
    let line = std::fs::read_to_string(format!("/proc/{}/cgroup", host.pid(container))).unwrap();
    let path = line.lines().find_map(|line| line.strip_prefix("0::"))?;
    Some(cgroup2()?.join(path.trim_start_matches('/')))
}

#[test]
fn groups_that_the_container_made_go_with_it() {
    let host = Host::with_image("nested-groups");
    host.ok(&["run", "-d", "--name", "web", IMAGE, "sleep", "1000"]);
    let Some(group) = group(&host, "web") else {
        return skip("stuck: nested groups", "no cgroup v2 here");
    };
    for name in ["a", "a/b", "a/b/c", "d"] {
        std::fs::create_dir(group.join(name)).unwrap();
    }
    // One of them frozen with a process in it: it cannot even be killed, by older kernels.
    let pid = host.pid("web").to_string();
    std::fs::write(group.join("a/b/cgroup.procs"), &pid).unwrap();
    std::fs::write(group.join("a/cgroup.freeze"), "1").unwrap();
    let begin = Instant::now();
    assert_eq!(host.ok(&["rm", "-f", "web"]), "web");
    eventually("the groups are gone", || !group.exists());
    assert!(begin.elapsed() < Duration::from_secs(5));
}

#[test]
fn a_slow_unmount_holds_up_nobody_else() {
    if Command::new("strace")
        .arg("-V")
        .stdout(Stdio::null())
        .status()
        .is_err()
    {
        return skip("stuck: slow unmount", "strace is not installed");
    }
    let host = Host::with_image("slow-unmount");
    for name in ["slow", "other"] {
        host.ok(&["run", "-d", "--name", name, IMAGE, "sleep", "1000"]);
    }
    let shim = host.shim_pid("slow").to_string();
    let mut strace = Command::new("strace")
        .args(["-f", "-q", "-o", "/dev/null", "-e", "trace=umount2"])
        .args(["-e", "inject=umount2:delay_enter=3000000", "-p", &shim])
        .spawn()
        .unwrap();
    eventually("strace has the shim", || {
        let status = std::fs::read_to_string(format!("/proc/{shim}/status")).unwrap_or_default();
        status.contains(&format!("TracerPid:\t{}\n", strace.id()))
    });
    let mut removal = host.spawn(&["rm", "-f", "slow"]);
    let begin = Instant::now();
    while removal.child.try_wait().unwrap().is_none() && begin.elapsed() < Duration::from_secs(4) {
        let asked = Instant::now();
        assert_eq!(host.ok(&["exec", "other", "echo", "hello"]), "hello");
        assert!(asked.elapsed() < Duration::from_secs(2), "others wait");
    }
    assert_eq!(removal.wait(PATIENCE).code, 0);
    assert!(
        begin.elapsed() < Duration::from_secs(12),
        "the removal hangs"
    );
    host.ok(&["run", "-d", "--name", "slow", IMAGE, "sleep", "1000"]);
    let _ = strace.kill();
    let _ = strace.wait();
}
