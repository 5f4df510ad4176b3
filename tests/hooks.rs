//! Hooks: each at its moment, in its namespaces, with the container's state on standard input.

use crate::harness::bundle::Bundle;
use crate::harness::command::Output;
use crate::harness::{eventually, json};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

const NAMES: [&str; 6] = [
    "prestart",
    "createRuntime",
    "createContainer",
    "startContainer",
    "poststart",
    "poststop",
];

/// A busybox shell script of the host as a hook; its notes lie beside the rootfs.
struct Hooks {
    bundle: Bundle,
}

impl Hooks {
    fn new(name: &'static str) -> Hooks {
        let bundle = Bundle::new(name);
        bundle.script("sleep 1000");
        Hooks { bundle }
    }

    /// Where hooks write what they saw.
    fn note(&self, name: &str) -> PathBuf {
        Path::new(&self.bundle.dir).join(name)
    }

    fn read(&self, name: &str) -> String {
        let path = self.note(name);
        std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    /// A member of config.json: a hook that runs `script` in the host's busybox.
    fn host(&self, script: &str, more: &str) -> String {
        hook("/bin/busybox", script, more)
    }

    fn set(&self, name: &str, list: &[String]) {
        let list = format!("[{}]", list.join(","));
        self.bundle.set(&format!("hooks.{name}"), &list);
    }

    #[track_caller]
    fn create_fails(&self) -> String {
        let output = self.bundle.runtime(&["create", &self.bundle.id]);
        assert!(output.code != 0 && output.stdout.is_empty(), "{output:?}");
        let left = self.bundle.runtime(&["list", "-q"]);
        assert_eq!(left, Output::new(0, "", ""));
        output.stderr
    }

    fn delete(&self) -> Output {
        self.bundle.runtime(&["delete", "--force", &self.bundle.id])
    }
}

fn hook(path: &str, script: &str, more: &str) -> String {
    let script = miniserde::json::to_string(&script.to_string());
    format!(r#"{{"path":"{path}","args":["busybox","sh","-c",{script}]{more}}}"#)
}

#[test]
fn each_hook_runs_at_its_moment_in_its_namespaces() {
    let hooks = Hooks::new("hooks-moments");
    let dir = hooks.bundle.dir.clone();
    // The program leaves a trace in the rootfs; /proc tells whose namespaces a hook is in.
    hooks.bundle.script("touch /started; sleep 1000");
    let look = |place: &str, name: &str, shell: &str| {
        format!(
            "{{ {shell} readlink /proc/self/ns/mnt; {shell} readlink /proc/self/ns/pid; {shell} pwd; \
             [ -e /started ] && echo inside started; [ -e {dir}/rootfs/started ] && echo host started; \
             [ -e {dir}/rootfs/proc/self ] && echo mounted; [ -e /bin/su ] && echo; }} > {place}/{name}; \
             {shell} cat > {place}/{name}.state"
        )
    };
    for name in NAMES.iter().filter(|name| **name != "startContainer") {
        let script = look(&dir, name, "/bin/busybox");
        hooks.set(name, &[hooks.host(&script, "")]);
    }
    let script = look("/", "startContainer", "/bin/busybox");
    hooks.set("startContainer", &[hook("/bin/busybox", &script, "")]);
    hooks.bundle.set("annotations", r#"{"colour":"blue \" é"}"#);

    hooks.bundle.leave(&["create", &hooks.bundle.id]);
    let exists = |name: &str| hooks.note(name).exists();
    assert!(exists("prestart") && exists("createRuntime") && exists("createContainer"));
    assert!(!exists("rootfs/startContainer") && !exists("poststart") && !exists("poststop"));
    let pid = json::parse(&hooks.bundle.runtime(&["state", &hooks.bundle.id]).stdout).number("pid");
    let inside = |kind: &str| {
        let link = std::fs::read_link(format!("/proc/{pid}/ns/{kind}")).unwrap();
        link.to_str().unwrap().to_string()
    };
    let (inside_mnt, inside_pid) = (inside("mnt"), inside("pid"));

    assert_eq!(
        hooks.bundle.runtime(&["start", &hooks.bundle.id]),
        Output::new(0, "", "")
    );
    assert!(exists("rootfs/startContainer") && exists("poststart") && !exists("poststop"));
    assert_eq!(hooks.delete(), Output::new(0, "", ""));

    let own = |kind: &str| {
        let link = std::fs::read_link(format!("/proc/self/ns/{kind}")).unwrap();
        link.to_str().unwrap().to_string()
    };
    for (name, file, is_inside, status, seen_pid) in [
        ("prestart", "prestart", false, "creating", pid),
        ("createRuntime", "createRuntime", false, "creating", pid),
        ("createContainer", "createContainer", true, "creating", 1),
        (
            "startContainer",
            "rootfs/startContainer",
            true,
            "created",
            1,
        ),
        ("poststart", "poststart", false, "running", pid),
        ("poststop", "poststop", false, "stopped", 0),
    ] {
        let seen = hooks.read(file);
        let lines: Vec<&str> = seen.lines().collect();
        let (mnt, pids) = match is_inside {
            true => (inside_mnt.clone(), inside_pid.clone()),
            false => (own("mnt"), own("pid")),
        };
        assert_eq!(lines[..2], [mnt.as_str(), pids.as_str()], "{name}");
        // Only those in the container's namespaces see its mounts, before the pivot by the host's
        // path.
        let mounted = lines.contains(&"mounted");
        assert_eq!(mounted, name == "createContainer", "{name}: {lines:?}");
        if name == "createContainer" {
            assert_eq!(lines[2], format!("{dir}/rootfs"));
        }
        if name == "startContainer" {
            assert_eq!(lines[2], "/");
            assert!(!lines.contains(&"inside started"), "{lines:?}");
        }

        let state = json::parse(&hooks.read(&format!("{file}.state")));
        assert_eq!(state.string("status"), status, "{name}");
        assert_eq!(state.number("pid"), seen_pid, "{name}");
        assert_eq!(state.string("id"), hooks.bundle.id, "{name}");
        assert_eq!(state.string("bundle"), dir, "{name}");
        assert_eq!(state.string("annotations.colour"), "blue \" é", "{name}");
        assert!(state.string("ociVersion").starts_with("1."), "{name}");
    }
}

#[test]
fn a_hook_gets_its_arguments_its_environment_and_three_descriptors() {
    let hooks = Hooks::new("hooks-clean");
    let dir = hooks.bundle.dir.clone();
    let script = format!(
        "busybox env > {dir}/env; busybox ls /proc/self/fd > {dir}/fds; \
         busybox grep -E 'Sig(Blk|Ign)' /proc/self/status > {dir}/signals; echo $0 $* > {dir}/args"
    );
    let text = miniserde::json::to_string(&script);
    let with = format!(
        r#"{{"path":"/bin/busybox","args":["sh","-c",{text},"zero","one","t w o"],
            "env":["PATH=/bin","A=b=c","EMPTY="]}}"#
    );
    for name in ["createRuntime", "createContainer"] {
        hooks.set(name, std::slice::from_ref(&with));
        // One descriptor more, which nobody has marked close-on-exec.
        let status = std::process::Command::new("sh")
            .args(["-c", r#"exec "$0" "$@" 9</ >/dev/null 2>&1 </dev/null"#])
            .arg(&hooks.bundle.host.binary)
            .args(["runtime", "--root"])
            .arg(hooks.bundle.host.dir.join("runtime-root"))
            .args(["create", &hooks.bundle.id])
            .current_dir(&dir)
            .status()
            .unwrap();
        assert!(status.success(), "{name}");
        let mut env: Vec<String> = hooks.read("env").lines().map(String::from).collect();
        // The shell's own.
        env.retain(|text| {
            !["PWD=", "SHLVL=", "OLDPWD="]
                .iter()
                .any(|own| text.starts_with(own))
        });
        env.sort();
        assert_eq!(env, ["A=b=c", "EMPTY=", "PATH=/bin"], "{name}");
        // The fourth is the directory that ls reads.
        assert_eq!(hooks.read("fds"), "0\n1\n2\n3\n", "{name}");
        let signals = hooks.read("signals");
        assert!(
            signals
                .lines()
                .all(|line| line.ends_with("0000000000000000")),
            "{signals}"
        );
        assert_eq!(hooks.read("args"), "zero one t w o\n", "{name}");
        assert_eq!(hooks.delete().code, 0);
        hooks.bundle.set("hooks", "{}");
    }

    // Without `env` there is none: the runtime's own is not passed on.
    let script = format!("/bin/busybox cat /proc/self/environ > {dir}/environ");
    hooks.set("createRuntime", &[hooks.host(&script, "")]);
    let mut command = hooks.bundle.command(&["create", &hooks.bundle.id]);
    command
        .env("SECRET", "x")
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null());
    assert!(command.status().unwrap().success());
    assert!(!hooks.read("environ").contains("SECRET"));
    assert_eq!(hooks.delete().code, 0);
}

#[test]
fn a_failing_hook_of_create_fails_it_and_the_poststop_hooks_run() {
    let hooks = Hooks::new("hooks-fail");
    let after = format!("echo gone >> {}/after", hooks.bundle.dir);
    hooks.set("poststop", &[hooks.host(&after, "")]);
    for name in ["prestart", "createRuntime", "createContainer"] {
        let _ = std::fs::remove_file(hooks.note("after"));
        let never = format!("echo never > {}/never", hooks.bundle.dir);
        hooks.set(
            name,
            &[
                hooks.host("true", ""),
                hooks.host("echo to out; echo to err >&2; exit 7", ""),
                hooks.host(&never, ""),
            ],
        );
        let said = hooks.create_fails();
        let sentence = format!(
            "error running {name} hook #1: exit status 7, stdout: to out\n, stderr: to err\n"
        );
        assert!(said.contains(&sentence), "{said:?}");
        assert!(!hooks.note("never").exists());
        assert_eq!(hooks.read("after"), "gone\n", "{name}");
        hooks.bundle.set(&format!("hooks.{name}"), "null");
    }
}

#[test]
fn a_failing_hook_of_start_stops_the_container() {
    let hooks = Hooks::new("hooks-fail-start");
    let id = hooks.bundle.id.clone();
    hooks.bundle.script("touch /started; sleep 1000");
    hooks.set("startContainer", &[hook("/bin/busybox", "exit 3", "")]);
    hooks.bundle.leave(&["create", &id]);
    let output = hooks.bundle.runtime(&["start", &id]);
    output.assert_refused(
        output.code,
        "error running startContainer hook #0: exit status 3, stdout: , stderr: ",
    );
    assert_ne!(output.code, 0);
    eventually("it stops", || hooks.bundle.status() == "stopped");
    assert!(!hooks.note("rootfs/started").exists());
    assert_eq!(
        hooks.bundle.runtime(&["delete", &id]),
        Output::new(0, "", "")
    );

    hooks.set("startContainer", &[]);
    hooks.set("poststart", &[hooks.host("exit 4", "")]);
    hooks.bundle.leave(&["create", &id]);
    let output = hooks.bundle.runtime(&["start", &id]);
    output.assert_refused(
        output.code,
        "error running poststart hook #0: exit status 4, stdout: , stderr: ",
    );
    assert_ne!(output.code, 0);
    eventually("it stops", || hooks.bundle.status() == "stopped");
    assert_eq!(
        hooks.bundle.runtime(&["delete", &id]),
        Output::new(0, "", "")
    );
}

#[test]
fn a_failing_poststop_hook_is_a_warning_and_the_next_one_runs() {
    let hooks = Hooks::new("hooks-poststop");
    let second = format!("echo two > {}/second", hooks.bundle.dir);
    hooks.set(
        "poststop",
        &[hooks.host("exit 5", ""), hooks.host(&second, "")],
    );
    hooks.bundle.leave(&["create", &hooks.bundle.id]);
    let output = hooks.delete();
    assert_eq!(output.code, 0, "{output:?}");
    assert!(
        output
            .stderr
            .contains("error running poststop hook #0: exit status 5"),
        "{output:?}"
    );
    assert_eq!(hooks.read("second"), "two\n");
}

#[test]
fn a_hook_that_takes_too_long_is_killed_with_its_children() {
    let hooks = Hooks::new("hooks-timeout");
    let dir = hooks.bundle.dir.clone();
    let script = format!("echo $$ > {dir}/own; busybox sleep 987 & echo $! > {dir}/child; wait");
    for name in ["createRuntime", "createContainer"] {
        hooks.set(
            name,
            &[hooks.host(&script, r#","env":["PATH=/bin"],"timeout":1"#)],
        );
        let said = hooks.create_fails();
        let sentence =
            format!("error running {name} hook #0: hook ran past specified timeout of 1.0s");
        assert!(said.contains(&sentence), "{said:?}");
        hooks.set(name, &[]);
    }
    let sleeper = || {
        std::fs::read_dir("/proc").unwrap().flatten().any(|entry| {
            std::fs::read(entry.path().join("cmdline"))
                .is_ok_and(|line| line == b"busybox\0sleep\x00987\0")
        })
    };
    eventually("no child is left", || !sleeper());

    // In time, it is not killed.
    hooks.set("createRuntime", &[hooks.host("exit 0", r#","timeout":60"#)]);
    hooks.bundle.leave(&["create", &hooks.bundle.id]);
    assert_eq!(hooks.delete().code, 0);
}

#[test]
fn what_a_hook_prints_or_does_not_read_stops_nobody() {
    let hooks = Hooks::new("hooks-flood");
    // More than any pipe holds in either direction, and a child that keeps the streams.
    let note = "x".repeat(300_000);
    hooks
        .bundle
        .set("annotations", &format!(r#"{{"long":"{note}"}}"#));
    let dir = hooks.bundle.dir.clone();
    let flood = "/bin/busybox dd if=/dev/zero bs=1024 count=2048 2>&1";
    let length = format!("/bin/busybox wc -c > {dir}/length");
    let daemon = format!("/bin/busybox sleep 30 & echo $! > {dir}/daemon; exit 0");
    hooks.set(
        "createRuntime",
        &[
            hooks.host(flood, ""),
            hooks.host("exit 0", ""),
            hooks.host("exec 0<&-; exit 0", ""),
            hooks.host(&length, ""),
            hooks.host(&daemon, ""),
        ],
    );
    hooks.set(
        "startContainer",
        &[hook("/bin/busybox", "exec 0<&-; exit 0", "")],
    );
    hooks.bundle.leave(&["create", &hooks.bundle.id]);
    let length: usize = hooks.read("length").trim().parse().unwrap();
    assert!(length > note.len(), "{length}");
    let pid = hooks.read("daemon");
    assert!(Path::new(&format!("/proc/{}", pid.trim())).exists());
    let kill = std::process::Command::new("kill").arg(pid.trim()).status();
    assert!(kill.unwrap().success());

    // The program's SIGPIPE is as it was, though it was ignored while the hook ran.
    hooks.bundle.leave(&["start", &hooks.bundle.id]);
    let script = "grep SigIgn /proc/1/status";
    let ignored = hooks
        .bundle
        .runtime(&["exec", &hooks.bundle.id, "sh", "-c", script]);
    let set = ignored
        .stdout
        .trim()
        .rsplit('\t')
        .next()
        .unwrap()
        .to_string();
    let set = u64::from_str_radix(&set, 16).unwrap();
    assert_eq!(set & (1 << 12), 0, "{ignored:?}");
    assert_eq!(hooks.delete().code, 0);
}

#[test]
fn a_hook_that_cannot_be_executed_is_named() {
    let hooks = Hooks::new("hooks-missing");
    hooks.set(
        "createRuntime",
        &[r#"{"path":"/nowhere/hook"}"#.to_string()],
    );
    let said = hooks.create_fails();
    assert!(
        said.contains(
            "error running createRuntime hook #0: fork/exec /nowhere/hook: no such file or directory"
        ),
        "{said:?}"
    );
    let file = hooks.note("plain");
    std::fs::write(&file, "no program").unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
    hooks.set(
        "createRuntime",
        &[format!(r#"{{"path":"{}"}}"#, file.display())],
    );
    let said = hooks.create_fails();
    assert!(said.contains("exec format error"), "{said:?}");
}

/// Until it is entered, the first process still has the host's root.
#[test]
fn nobody_joins_a_container_that_is_being_made() {
    let hooks = Hooks::new("hooks-making");
    let (dir, id) = (hooks.bundle.dir.clone(), hooks.bundle.id.clone());
    let root = hooks.bundle.host.dir.join("runtime-root");
    let runtime = format!(
        "{} runtime --root {}",
        hooks.bundle.host.binary.display(),
        root.display()
    );
    let script = format!(
        "{{ {runtime} exec {id} ls /; {runtime} state {id} | /bin/busybox grep status; }} > {dir}/seen 2>&1; true"
    );
    hooks.set("createRuntime", &[hooks.host(&script, "")]);
    for args in [&["create", &id][..], &["run", "--detach", &id]] {
        hooks.bundle.leave(args);
        let seen = hooks.read("seen");
        assert!(seen.contains("\"creating\""), "{args:?}: {seen}");
        assert!(
            seen.contains("exec failed") && !seen.contains("etc"),
            "{args:?}: {seen}"
        );
        assert_eq!(hooks.delete(), Output::new(0, "", ""));
    }
}
