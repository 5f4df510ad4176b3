//! Containers of a user who is not root on the host.

use crate::harness::bundle::Bundle;
use crate::harness::command::{Output, run};
use crate::harness::namespaces::{give, list};
use crate::harness::{PATIENCE, eventually, json, skip};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// nobody's; tests have no user of their own.
const USER: u32 = 65534;

const OWN_MAP: &str = r#"[{"containerID":0,"hostID":65534,"size":1}]"#;

/// A bundle of the user's, with what has to be otherwise without privileges: no gid= of devpts, the
/// host's /sys, and no limits.
struct Rootless {
    bundle: Bundle,
    root: PathBuf,
}

impl Rootless {
    fn new(name: &'static str, script: &str) -> Rootless {
        let mut bundle = Bundle::new(name);
        // Where the user may execute it.
        bundle.host.copy_binary();
        bundle.script(script);
        let names = ["pid", "ipc", "uts", "mount", "cgroup", "user"];
        bundle.set("linux.namespaces", &list(&names));
        bundle.set("linux.uidMappings", OWN_MAP);
        bundle.set("linux.gidMappings", OWN_MAP);
        bundle.set("linux.resources", "null");
        bundle.set("mounts", MOUNTS);
        let root = bundle.host.dir.join("own");
        fs::create_dir(&root).unwrap();
        chown(&root, Some(USER), Some(USER)).unwrap();
        give(Path::new(&bundle.dir), USER);
        Rootless { bundle, root }
    }

    fn command_in(&self, wrapper: &[&str], args: &[&str]) -> Command {
        let mut command = Command::new(wrapper[0]);
        command
            .args(&wrapper[1..])
            .arg(&self.bundle.host.binary)
            .args(["runtime", "--root", self.root.to_str().unwrap()])
            .args(args)
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .current_dir(&self.bundle.dir);
        command
    }

    fn command(&self, args: &[&str]) -> Command {
        let wrapper = [
            "setpriv",
            "--reuid",
            "65534",
            "--regid",
            "65534",
            "--clear-groups",
        ];
        self.command_in(&wrapper, args)
    }

    fn runtime(&self, args: &[&str]) -> Output {
        run(self.command(args), b"", PATIENCE)
    }

    fn run(&self) -> Output {
        self.runtime(&["run", &self.bundle.id])
    }

    #[track_caller]
    fn refuses(&self, sentence: &str) {
        let output = self.run();
        assert!(output.code != 0 && output.stdout.is_empty(), "{output:?}");
        assert!(output.stderr.contains(sentence), "{output:?}");
        assert_eq!(self.runtime(&["list", "-q"]), Output::new(0, "", ""));
    }

    #[track_caller]
    fn leave(&self) {
        let mut command = self.command(&["run", "--detach", &self.bundle.id]);
        command.stdin(Stdio::null()).stdout(Stdio::null());
        command.stderr(Stdio::null());
        assert!(command.status().unwrap().success());
    }

    fn state(&self) -> json::Json {
        json::parse(&self.runtime(&["state", &self.bundle.id]).stdout)
    }
}

const MOUNTS: &str = r#"[
    {"destination":"/proc","type":"proc","source":"proc"},
    {"destination":"/dev","type":"tmpfs","source":"tmpfs","options":["nosuid","strictatime","mode=755","size=65536k"]},
    {"destination":"/dev/pts","type":"devpts","source":"devpts","options":["nosuid","noexec","newinstance","ptmxmode=0666","mode=0620"]},
    {"destination":"/dev/shm","type":"tmpfs","source":"shm","options":["nosuid","noexec","nodev","mode=1777","size=65536k"]},
    {"destination":"/dev/mqueue","type":"mqueue","source":"mqueue","options":["nosuid","noexec","nodev"]},
    {"destination":"/sys","type":"none","source":"/sys","options":["rbind","nosuid","noexec","nodev","ro"]}]"#;

#[test]
fn a_user_runs_a_container_and_is_root_in_it() {
    let script = "id -u; id -g; cat /proc/self/uid_map | tr -s ' '; cat /proc/self/setgroups; \
                  touch /made; hostname; echo x > /dev/null; head -c 3 /dev/zero | wc -c; \
                  ls /proc/self/fd | wc -l; touch /sys/made 2> /dev/null || echo read-only; ps | grep -c '^ *1 '";
    let rootless = Rootless::new("rl-run", script);
    let expected = "0\n0\n 0 65534 1\ndeny\nrunc\n3\n4\nread-only\n1\n";
    assert_eq!(rootless.run(), Output::new(0, expected, ""));
    let made = fs::metadata(format!("{}/rootfs/made", rootless.bundle.dir)).unwrap();
    assert_eq!((made.uid(), made.gid()), (USER, USER));
}

#[test]
fn a_user_has_all_verbs_for_containers_of_his_own() {
    let rootless = Rootless::new("rl-verbs", "exec sleep 1000");
    let id = rootless.bundle.id.as_str();
    rootless.leave();
    assert_eq!(rootless.state().string("status"), "running");
    assert!(rootless.runtime(&["list"]).stdout.contains(id));
    let inside = rootless.runtime(&[
        "exec",
        id,
        "sh",
        "-c",
        "id -u; ps | grep -c '[s]leep 1000'; touch /by-exec",
    ]);
    assert_eq!(inside, Output::new(0, "0\n1\n", ""));
    let made = fs::metadata(format!("{}/rootfs/by-exec", rootless.bundle.dir)).unwrap();
    assert_eq!(made.uid(), USER);
    let mut command = rootless.command(&["exec", "--tty", id, "tty"]);
    command.stdin(Stdio::null());
    let terminal = run(command, b"", PATIENCE);
    assert_eq!(terminal.stdout.trim_end(), "/dev/pts/0", "{terminal:?}");
    assert_eq!(
        rootless.runtime(&["kill", id, "KILL"]),
        Output::new(0, "", "")
    );
    eventually("it is stopped", || {
        rootless.state().string("status") == "stopped"
    });
    assert_eq!(rootless.runtime(&["delete", id]), Output::new(0, "", ""));

    // Also while it waits to be started.
    let mut command = rootless.command(&["create", id]);
    command.stdin(Stdio::null()).stdout(Stdio::null());
    assert!(command.stderr(Stdio::null()).status().unwrap().success());
    assert_eq!(rootless.state().string("status"), "created");
    assert_eq!(rootless.runtime(&["start", id]), Output::new(0, "", ""));
    assert_eq!(
        rootless.runtime(&["delete", "--force", id]),
        Output::new(0, "", "")
    );
}

#[test]
fn what_needs_privileges_is_refused_with_its_reason() {
    let rootless = Rootless::new("rl-refused", "true");
    let bundle = &rootless.bundle;
    let good = fs::read_to_string(bundle.config()).unwrap();
    let other_map = r#"[{"containerID":0,"hostID":100000,"size":65536}]"#;
    for (member, value, sentence) in [
        (
            "linux.resources",
            r#"{"pids":{"limit":10}}"#,
            "rootless needs no limits + no cgrouppath when no permission is granted for cgroups",
        ),
        (
            "linux.resources",
            r#"{"memory":{"limit":10000000}}"#,
            "rootless needs no limits + no cgrouppath when no permission is granted for cgroups",
        ),
        (
            "linux.cgroupsPath",
            r#""/tug-rootless-test""#,
            "tug-rootless-test: Permission denied",
        ),
        (
            "process.user",
            r#"{"uid":5,"gid":0}"#,
            "cannot set uid to unmapped user in user namespace",
        ),
        (
            "process.user",
            r#"{"uid":0,"gid":5}"#,
            "cannot set gid to unmapped user in user namespace",
        ),
        (
            "process.user",
            r#"{"uid":0,"gid":0,"additionalGids":[0]}"#,
            "cannot set any additional groups in a rootless container",
        ),
        (
            "linux.namespaces",
            &list(&["pid", "ipc", "uts", "mount"]),
            "USER namespace isn't enabled in the config",
        ),
        (
            "linux.gidMappings",
            other_map,
            "gid mappings need privileges or the program newgidmap, which is not in $PATH",
        ),
        (
            "linux.uidMappings",
            other_map,
            "uid mappings need privileges or the program newuidmap, which is not in $PATH",
        ),
    ] {
        if sentence.contains("newgidmap") && Path::new("/usr/bin/newgidmap").exists() {
            continue;
        }
        if sentence.contains("newuidmap") && Path::new("/usr/bin/newuidmap").exists() {
            continue;
        }
        fs::write(bundle.config(), &good).unwrap();
        bundle.set(member, value);
        rootless.refuses(sentence);
    }
    fs::write(bundle.config(), &good).unwrap();
    bundle.set("linux.namespaces", &list(&["pid", "ipc", "uts", "mount"]));
    bundle.set("linux.uidMappings", "null");
    bundle.set("linux.gidMappings", "null");
    rootless.refuses("rootless container requires user namespaces");
    fs::write(bundle.config(), &good).unwrap();
    bundle.set(
        "linux.namespaces",
        &list(&["pid", "ipc", "uts", "mount", "network", "user"]),
    );
    bundle.set("linux.netDevices", r#"{"lo":{}}"#);
    rootless.refuses("network devices are not supported for rootless containers");
}

/// newuidmap(1) and newgidmap(1) stood in for by scripts, which say what they were told.
#[test]
fn larger_maps_are_written_by_the_programs_for_it() {
    let rootless = Rootless::new("rl-newuidmap", "true");
    let bin = rootless.bundle.host.make_dir("bin");
    let told = rootless.root.join("told");
    for (name, code) in [("newuidmap", 3), ("newgidmap", 0)] {
        let path = format!("{bin}/{name}");
        let script = format!(
            "#!/bin/sh\necho {name} \"$@\" >> {}\nexit {code}\n",
            told.display()
        );
        fs::write(&path, script).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let map = r#"[{"containerID":0,"hostID":65534,"size":1},{"containerID":1,"hostID":100000,"size":65536}]"#;
    rootless.bundle.set("linux.uidMappings", map);
    rootless.bundle.set("linux.gidMappings", map);
    let mut command = rootless.command(&["run", &rootless.bundle.id]);
    command.env("PATH", format!("{bin}:/usr/bin:/bin"));
    let output = run(command, b"", PATIENCE);
    assert!(
        output.stderr.contains("ended with exit status 3"),
        "{output:?}"
    );
    let told = fs::read_to_string(told).unwrap();
    let lines: Vec<Vec<&str>> = told.lines().map(|line| line.split(' ').collect()).collect();
    let ranges = ["0", "65534", "1", "1", "100000", "65536"];
    assert_eq!((lines[0][0], &lines[0][2..]), ("newgidmap", &ranges[..]));
    assert_eq!((lines[1][0], &lines[1][2..]), ("newuidmap", &ranges[..]));
    assert_eq!(lines[0][1], lines[1][1], "not of one process");
}

/// A group of cgroup v2 that belongs to the user, with everything in it (cgroups(7), Delegation).
struct Delegated(PathBuf);

impl Delegated {
    fn new(name: &str) -> Option<Delegated> {
        let tops = ["/sys/fs/cgroup/unified", "/sys/fs/cgroup"];
        let top = tops
            .iter()
            .map(Path::new)
            .find(|top| top.join("cgroup.procs").exists())?;
        let path = top.join(name);
        fs::create_dir(&path).ok()?;
        let inner = path.join("session");
        fs::create_dir(&inner).unwrap();
        for dir in [&path, &inner] {
            for file in [
                "",
                "cgroup.procs",
                "cgroup.threads",
                "cgroup.subtree_control",
            ] {
                chown(dir.join(file), Some(USER), Some(USER)).unwrap();
            }
        }
        Some(Delegated(path))
    }
}

impl Drop for Delegated {
    fn drop(&mut self) {
        let _ = fs::remove_dir(self.0.join("session"));
        let removed = fs::remove_dir(&self.0);
        assert!(removed.is_ok() || std::thread::panicking(), "{removed:?}");
    }
}

#[test]
fn a_delegated_group_is_used() {
    let script = "grep 0:: /proc/self/cgroup; exec sleep 1000";
    let rootless = Rootless::new("rl-group", script);
    let name = format!("tug-rootless-{}", std::process::id());
    let Some(group) = Delegated::new(&name) else {
        return skip("rootless cgroup", "no cgroup v2 here");
    };
    let id = rootless.bundle.id.as_str();
    rootless
        .bundle
        .set("linux.cgroupsPath", &format!(r#""/{name}/web""#));
    // The user's session lies in what was delegated; from outside it nobody moves anything in.
    let line = format!(
        "echo $$ > {}/session/cgroup.procs; exec setpriv --reuid 65534 --regid 65534 --clear-groups \"$@\"",
        group.0.display()
    );
    let wrapper = ["sh", "-ec", &line, "sh"];
    let mut command = rootless.command_in(&wrapper, &["run", "--detach", id]);
    command.stdin(Stdio::null()).stdout(Stdio::null());
    assert!(command.status().unwrap().success());
    let pid = rootless.state().number("pid");
    let own = group.0.join("web");
    // The script's first program may still be there too.
    let pids = fs::read_to_string(own.join("cgroup.procs")).unwrap();
    assert!(pids.lines().any(|line| line == pid.to_string()), "{pids}");
    let exec = rootless.command_in(&wrapper, &["exec", id, "grep", "0::", "/proc/self/cgroup"]);
    assert_eq!(run(exec, b"", PATIENCE), Output::new(0, "0::/\n", ""));
    for (verb, status) in [("pause", "paused"), ("resume", "running")] {
        let output = run(rootless.command_in(&wrapper, &[verb, id]), b"", PATIENCE);
        assert_eq!(output, Output::new(0, "", ""));
        assert_eq!(rootless.state().string("status"), status);
    }
    assert_eq!(
        rootless.runtime(&["delete", "--force", id]),
        Output::new(0, "", "")
    );
    assert!(!own.exists());
}

/// Root in a user namespace of his own, as in another container: not the host's, and no more may.
#[test]
fn root_without_privileges_is_rootless_when_told() {
    let rootless = Rootless::new("rl-nested", "id -u");
    rootless.bundle.set(
        "linux.uidMappings",
        r#"[{"containerID":0,"hostID":0,"size":1}]"#,
    );
    rootless.bundle.set(
        "linux.gidMappings",
        r#"[{"containerID":0,"hostID":0,"size":1}]"#,
    );
    let wrapper = [
        "setpriv",
        "--reuid",
        "65534",
        "--regid",
        "65534",
        "--clear-groups",
        "unshare",
        "--user",
        "--map-root-user",
    ];
    let with = |told: &str| {
        let mut command = rootless.command_in(&wrapper, &[]);
        command.args(["--rootless", told, "run", &rootless.bundle.id]);
        run(command, b"", PATIENCE)
    };
    assert_eq!(with("true"), Output::new(0, "0\n", ""));
    let output = with("false");
    assert!(
        output.stderr.contains("cgroup") && output.stdout.is_empty(),
        "{output:?}"
    );
}
