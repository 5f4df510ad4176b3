//! `--runtime NAME`: other OCI runtimes below our engine, by their command line.
//!
//! Debian's crun and runc, where they are installed or unpacked (scripts/test does, and names the
//! place in `TUG_DEBIAN`), and our own by its command line, which is always there.

use crate::harness::{Host, IMAGE, PATIENCE, eventually, is_running, rootfs, send_signal, skip};
use crate::hotplug::{Loop, has_loops, says};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What the engine has for a `/sys/fs/cgroup`. Debian's crun refuses a host with both versions, and
/// runc would make its groups in those of version 1.
#[derive(Clone, Copy)]
enum Groups {
    /// The machine's.
    Own,
    /// Version 2 alone.
    Unified,
    /// None: for crun, which can do without, and which wants more of version 2 than a machine with
    /// both has left for it.
    Nothing,
}

struct Runtime {
    name: &'static str,
    args: &'static str,
    groups: Groups,
}

const TUG: Runtime = Runtime {
    name: "tug-runtime",
    args: "",
    groups: Groups::Own,
};
const CRUN: Runtime = Runtime {
    name: "crun",
    args: "\"--cgroup-manager=disabled\"",
    groups: Groups::Nothing,
};
const RUNC: Runtime = Runtime {
    name: "runc",
    args: "",
    groups: Groups::Unified,
};

/// Our file by the name that makes it a runtime.
fn link(host: &Host) -> PathBuf {
    let link = host.dir.join("tug-runtime");
    if !link.exists() {
        std::os::unix::fs::symlink(&host.binary, &link).unwrap();
    }
    link
}

/// Debian's program, installed or unpacked; then by a script that shows it its libraries.
fn debian(host: &Host, name: &str) -> Option<PathBuf> {
    let Ok(unpacked) = std::env::var("TUG_DEBIAN") else {
        let path = std::env::var_os("PATH")?;
        return std::env::split_paths(&path)
            .map(|dir| dir.join(name))
            .find(|file| file.is_file());
    };
    let program = ["bin", "sbin"]
        .map(|dir| format!("{unpacked}/usr/{dir}/{name}"))
        .into_iter()
        .find(|program| Path::new(program).is_file())?;
    let arch = std::env::consts::ARCH;
    let libraries = format!("{unpacked}/usr/lib/{arch}-linux-gnu:{unpacked}/lib/{arch}-linux-gnu");
    let script = format!("#!/bin/sh\nLD_LIBRARY_PATH={libraries} exec {program} \"$@\"\n");
    let script = host.write(name, script);
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
    Some(PathBuf::from(script))
}

impl Runtime {
    /// An engine that has this runtime and is at `image`; `None`, said aloud, where it can't be.
    fn host(&self, test: &'static str) -> Option<Host> {
        let mut host = Host::without_engine(test);
        let program = match self.groups {
            Groups::Own => Some(link(&host)),
            _ => debian(&host, self.name),
        };
        let Some(program) = program else {
            skip(test, &format!("{} is not installed", self.name));
            return None;
        };
        let runtimes = format!(
            "{{\"runtimes\": {{\"{}\": {{\"path\": \"{}\", \"runtimeArgs\": [{}]}}}}}}",
            self.name,
            program.display(),
            self.args
        );
        host.write("daemon.json", runtimes);
        self.start_engine(&mut host);
        host.import(IMAGE, &image());
        Some(host)
    }

    /// With the `/sys/fs/cgroup` that suits the runtime.
    fn start_engine(&self, host: &mut Host) {
        let mount = match self.groups {
            Groups::Own => "",
            Groups::Unified => "umount -l /sys/fs/cgroup; mount -t cgroup2 cgroup2 /sys/fs/cgroup;",
            Groups::Nothing => "umount -l /sys/fs/cgroup; mount -t tmpfs tmpfs /sys/fs/cgroup;",
        };
        let mut command = Command::new("unshare");
        command
            .args(["--mount", "--propagation", "private", "sh", "-euc"])
            .arg(format!("{mount} exec \"$@\""))
            .arg("sh")
            .args(host.engine_command());
        host.start_engine_as(command);
    }

    /// Options of `run` that name it.
    fn run<'a>(&self, more: &[&'a str]) -> Vec<&'a str> {
        [&["run", "--network", "none", "--runtime", self.name], more].concat()
    }
}

fn image() -> Vec<u8> {
    rootfs::busybox_with(|archive| {
        archive
            .file(
                "etc/passwd",
                0o644,
                "root:x:0:0::/root:\napp:x:1000:1001::/:\n",
            )
            .file("etc/group", 0o644, "root:x:0:\nmore:x:77:app\n")
            .file("bin/denied", 0o644, "#!/bin/sh\n");
    })
}

/// Everything that a container goes through, from create to rm.
fn lives_a_whole_life(runtime: &Runtime, test: &'static str) {
    let Some(mut host) = runtime.host(test) else {
        return;
    };
    // Streams and exit code; a filter, and not the shim's shield from memory pressure.
    let script = "echo out; echo err >&2; grep -c '^Seccomp:.*2' /proc/self/status
        cat /proc/self/oom_score_adj; exit 3";
    let output = host.tug(&runtime.run(&["--rm", IMAGE, "sh", "-c", script]));
    let own = std::fs::read_to_string("/proc/self/oom_score_adj").unwrap();
    assert_eq!(output.code, 3, "{output:?}");
    assert_eq!(output.stdout, format!("out\n1\n{own}"));
    assert_eq!(output.stderr, "err\n");

    // Users are looked up in the image, for it and for an exec.
    let who = "uid=1000(app) gid=1001 groups=77(more),1001";
    assert_eq!(
        host.ok(&runtime.run(&["--rm", "-u", "app", IMAGE, "id"])),
        who
    );
    let script = "trap 'exit 9' TERM; echo up; while :; do sleep 0.1; done";
    host.ok(&runtime.run(&["-d", "--name", "web", IMAGE, "sh", "-c", script]));
    assert_eq!(host.ok(&["exec", "-u", "app", "web", "id"]), who);
    let output = host.tug(&[
        "exec",
        "web",
        "sh",
        "-c",
        "cat; cat /proc/self/oom_score_adj; exit 4",
    ]);
    assert_eq!((output.code, output.stdout), (4, own));
    let output = host.tug_with_input(&["exec", "-i", "web", "cat"], b"typed");
    assert_eq!((output.code, output.stdout.as_str()), (0, "typed"));
    assert_eq!(host.ok(&["logs", "web"]), "up");

    // A terminal of the container's own.
    let tty = "test -t 0 && test -t 1 && readlink /proc/self/fd/0";
    for args in [
        runtime.run(&["--rm", "-t", IMAGE, "sh", "-c", tty]),
        vec!["exec", "-t", "web", "sh", "-c", tty],
    ] {
        let output = host.tug(&args);
        assert_eq!(output.code, 0, "{output:?}");
        assert!(output.stdout.starts_with("/dev/pts/"), "{output:?}");
    }

    // The engine goes and comes back meanwhile.
    let (pid, shim) = (host.pid("web"), host.shim_pid("web"));
    host.kill_engine();
    runtime.start_engine(&mut host);
    assert_eq!((host.pid("web"), host.shim_pid("web")), (pid, shim));
    assert_eq!(host.ok(&["exec", "web", "echo", "back"]), "back");
    assert_eq!(host.ok(&["stop", "web"]), "web");
    assert_eq!(host.inspect("web", "State.ExitCode"), "9");
    assert_eq!(host.ok(&["start", "web"]), "web");
    assert_eq!(host.ok(&["kill", "web"]), "web");
    assert_eq!(host.ok(&["wait", "web"]), "137");

    // A shim that is lost takes its container along.
    assert_eq!(host.ok(&["start", "web"]), "web");
    let pid = host.pid("web");
    send_signal(host.shim_pid("web"), "KILL");
    host.until_state("web", "exited");
    eventually("the program is gone", || !is_running(pid));
    assert_eq!(host.inspect("web", "State.ExitCode"), "137");
    assert_eq!(host.ok(&["rm", "web"]), "web");

    // A program that can't be run, in the runtime's words.
    for (program, code) in [("nosuch", 127), ("/bin/denied", 126)] {
        let output = host.tug(&runtime.run(&["--name", "wrong", IMAGE, program]));
        assert_eq!(output.code, code, "{output:?}");
        let frame = "Error response from daemon: failed to create task for container: OCI runtime create failed: ";
        assert!(output.stderr.contains(frame), "{output:?}");
        assert_eq!(host.inspect("wrong", "State.ExitCode"), code.to_string());
        assert_eq!(host.ok(&["rm", "wrong"]), "wrong");
    }
    host.ok(&runtime.run(&["-d", "--name", "web", IMAGE, "sleep", "1000"]));
    let output = host.tug(&["exec", "web", "nosuch"]);
    assert_eq!(output.code, 127, "{output:?}");
    let said = output.stdout + &output.stderr;
    assert!(said.contains("OCI runtime exec failed: "), "{said}");
    assert_eq!(host.ok(&["rm", "-f", "web"]), "web");

    let states = host.exec_root().join("runtimes").join(runtime.name);
    assert_eq!(std::fs::read_dir(states).unwrap().count(), 0);
}

#[test]
fn a_container_of_crun_lives_a_whole_life() {
    lives_a_whole_life(&CRUN, "runtimes-crun");
}

#[test]
fn a_container_of_runc_lives_a_whole_life() {
    lives_a_whole_life(&RUNC, "runtimes-runc");
}

#[test]
fn a_container_of_our_own_command_line_lives_a_whole_life() {
    lives_a_whole_life(&TUG, "runtimes-tug");
}

#[test]
fn devices_come_and_go_in_containers_of_other_runtimes() {
    for (runtime, test) in [(TUG, "runtime-devices"), (RUNC, "runtime-runc-devices")] {
        if !has_loops(test) {
            return;
        }
        let Some(host) = runtime.host(test) else {
            continue;
        };
        let device = Loop::absent();
        let wish = device.wish(",wait");
        let sleep = [
            "-d",
            "--name",
            "web",
            "--device-match",
            &wish,
            IMAGE,
            "sleep",
            "1000",
        ];
        host.ok(&runtime.run(&sleep));
        assert!(host.ok(&["ps"]).contains("waiting for a device"), "{test}");
        device.add();
        let open = format!("head -c 0 /dev/{} && echo opened", device.name());
        eventually("it is let go", || says(&host, "web", &open) == "opened");
        device.remove();
        eventually("its end", || {
            says(&host, "web", &open).contains("No such file")
        });
        host.ok(&["rm", "-f", "web"]);
    }
}

#[test]
fn a_runtime_that_does_not_work_is_told_by_its_name() {
    let mut host = Host::without_engine("runtimes-wrong");
    let fails = host.write("fails", "#!/bin/sh\necho 'no such option' >&2\nexit 64\n");
    std::fs::set_permissions(&fails, std::fs::Permissions::from_mode(0o755)).unwrap();
    let mut line = host.engine_command();
    line.extend([
        format!("--add-runtime=fails={fails}"),
        "--add-runtime=gone=/no/such/runtime".to_string(),
        "--add-runtime=bare=no-such-runtime".to_string(),
    ]);
    let mut command = Command::new(&line[0]);
    command.args(&line[1..]);
    host.start_engine_as(command);
    host.import(IMAGE, &image());

    let reply = host.http(
        "POST",
        "/containers/create",
        &format!("{{\"Image\": \"{IMAGE}\", \"HostConfig\": {{\"Runtime\": \"nosuch\"}}}}"),
    );
    assert_eq!(reply.status, 400);
    assert_eq!(
        reply.body.trim(),
        "{\"message\":\"unknown or invalid runtime name: nosuch\"}"
    );
    for (name, sentence) in [
        ("fails", "OCI runtime create failed: "),
        ("fails", "exit status: 64: no such option"),
        ("gone", "run /no/such/runtime: No such file or directory"),
        ("bare", "runtime bare: no-such-runtime is not in $PATH"),
    ] {
        let output = host.tug(&[
            "run",
            "--rm",
            "--network=none",
            "--runtime",
            name,
            IMAGE,
            "true",
        ]);
        assert!(output.code >= 125, "{output:?}");
        assert!(output.stderr.contains(sentence), "{output:?}");
    }
    let info = host.get("/info");
    assert_eq!(info.string("Runtimes.gone.path"), "/no/such/runtime");
    assert_eq!(info.string("DefaultRuntime"), "tug");
    assert_eq!(host.ok(&["ps", "-aq"]), "");
}

#[test]
fn a_container_keeps_the_runtime_that_it_was_made_with() {
    let Some(mut host) = TUG.host("runtimes-kept") else {
        return;
    };
    for name in ["runs", "rests"] {
        host.ok(&TUG.run(&["-d", "--name", name, IMAGE, "sleep", "1000"]));
    }
    host.ok(&["kill", "rests"]);
    assert_eq!(host.ok(&["wait", "rests"]), "137");
    assert_eq!(
        host.inspect("runs", "HostConfig.Runtime"),
        "\"tug-runtime\""
    );
    let pid = host.pid("runs");

    // The configuration forgets it.
    host.kill_engine();
    host.write("daemon.json", "{}");
    host.start_engine();
    assert_eq!(host.pid("runs"), pid);
    let output = host.tug(&["start", "rests"]);
    let sentence = "unknown or invalid runtime name: tug-runtime";
    assert!(output.stderr.contains(sentence), "{output:?}");
    assert_eq!(host.ok(&["rm", "rests"]), "rests");
    assert_eq!(host.ok(&["exec", "runs", "echo", "still"]), "still");
    assert_eq!(host.ok(&["rm", "-f", "runs"]), "runs");
}

#[test]
fn the_default_runtime_is_that_of_the_configuration() {
    let mut host = Host::without_engine("runtimes-default");
    let link = link(&host);
    let mut line = host.engine_command();
    line.push(format!("--add-runtime=own={}", link.display()));
    line.push("--default-runtime=own".to_string());
    let mut command = Command::new(&line[0]);
    command.args(&line[1..]);
    host.start_engine_as(command);
    host.import(IMAGE, &image());
    assert_eq!(host.get("/info").string("DefaultRuntime"), "own");
    host.ok(&[
        "run",
        "-d",
        "--network=none",
        "--name",
        "web",
        IMAGE,
        "sleep",
        "1000",
    ]);
    assert_eq!(host.inspect("web", "HostConfig.Runtime"), "\"own\"");
    let state = host.exec_root().join("runtimes/own");
    assert_eq!(std::fs::read_dir(state).unwrap().count(), 1);

    let mut client = host.spawn(&[
        "run",
        "--network=none",
        "--runtime=runc",
        "--rm",
        IMAGE,
        "true",
    ]);
    assert_eq!(client.wait(PATIENCE).code, 0);
    assert_eq!(host.ok(&["rm", "-f", "web"]), "web");
}
