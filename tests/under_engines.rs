//! Our runtime under other engines: Debian's dockerd, containerd (by `ctr`) and podman.
//!
//! Each test has a machine of its own within this one: a mount namespace in which Debian's
//! packages seem to be installed (scripts/test only unpacks them, and names the place in
//! `TUG_DEBIAN`), /run is empty, and /sys/fs/cgroup is cgroup v2 alone, below a group of the test.

use crate::harness::command::{Output, Running, run};
use crate::harness::{Host, PATIENCE, can_init, eventually, rootfs, send_signal, skip};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// What makes the machine; `$1` is the unpacked packages' root, if they are not installed.
const SETUP: &str = "
    set -e
    umount -l /sys/fs/cgroup
    mount -t cgroup2 cgroup2 /sys/fs/cgroup
    mkdir /sys/fs/cgroup/engine
    echo $$ >/sys/fs/cgroup/engine/cgroup.procs
    mount -t tmpfs tmpfs /run
    [ -z \"$1\" ] || mount -t overlay -o \"lowerdir=$1/usr:/usr\" overlay /usr
    echo ready
    exec sleep 1000000";

pub struct Machine {
    pub host: Host,
    /// Keeps the namespaces.
    holder: Running,
    group: PathBuf,
    engine: Option<Child>,
}

impl Machine {
    /// A machine with `programs`; `None`, said aloud, where one does not run.
    pub fn new(name: &'static str, programs: &[&str]) -> Option<Machine> {
        let Some(top) = crate::harness::cgroup2() else {
            skip(name, "no cgroup v2 on this host");
            return None;
        };
        let host = Host::without_engine(name);
        let group = top.join(host.dir.file_name().unwrap());
        // Whatever runs in there later is found by this name, should it stay.
        host.note_container(group.file_name().unwrap().to_str().unwrap());
        std::fs::create_dir(&group).unwrap();

        let unpacked = std::env::var("TUG_DEBIAN").unwrap_or_default();
        let mut command = Command::new("sh");
        let outer = "echo $$ >\"$1/cgroup.procs\"; shift; exec unshare --mount --cgroup \"$@\"";
        command.args(["-c", outer, "sh", group.to_str().unwrap()]);
        command.args([
            "--propagation",
            "private",
            "sh",
            "-c",
            SETUP,
            "sh",
            &unpacked,
        ]);
        let machine = Machine {
            holder: Running::start(command),
            host,
            group,
            engine: None,
        };
        machine
            .holder
            .until_stdout("ready", |text| text == "ready\n");
        std::os::unix::fs::symlink(&machine.host.binary, machine.path("tug-runtime")).unwrap();

        machine.configure_podman();
        for program in programs {
            let output = machine.run(&[program, "--version"]);
            if output.code != 0 {
                skip(
                    name,
                    &format!("{program} does not run: {}", output.stderr.trim()),
                );
                return None;
            }
        }
        Some(machine)
    }

    /// podman does not even tell its version without these files, which `command` names.
    fn configure_podman(&self) {
        let [root, run_root, temporary] = ["root", "run-root", "tmp"].map(|name| self.path(name));
        self.host.write(
            "containers.conf",
            format!("[engine]\nevents_logger = \"file\"\ntmp_dir = \"{temporary}\"\n"),
        );
        self.host.write(
            "storage.conf",
            format!(
                "[storage]\ndriver = \"vfs\"\nrunroot = \"{run_root}\"\ngraphroot = \"{root}\"\n"
            ),
        );
    }

    pub fn path(&self, name: &str) -> String {
        self.host.dir.join(name).to_str().unwrap().to_string()
    }

    /// A command inside.
    pub fn command(&self, args: &[&str]) -> Command {
        // Of the unpacked, `usr` lies over ours; this is what is beside it.
        let unpacked = std::env::var("TUG_DEBIAN").unwrap_or_default();
        let libraries = format!("{unpacked}/lib/{}-linux-gnu", std::env::consts::ARCH);
        let mut command = Command::new("sh");
        let enter = "echo $$ >\"$1/engine/cgroup.procs\"; shift; exec nsenter \"$@\"";
        command
            .args(["-c", enter, "sh", self.group.to_str().unwrap()])
            .args(["--mount", "--cgroup", "--target"])
            .arg(self.holder.pid().to_string())
            .args(args)
            .env_clear()
            .env(
                "PATH",
                "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            )
            .env("LD_LIBRARY_PATH", libraries)
            // Where conmon and containerd leave files of theirs.
            .env("TMPDIR", &self.host.dir)
            .env("HOME", &self.host.dir)
            .env("XDG_CONFIG_HOME", &self.host.dir)
            .env("CONTAINERS_CONF", self.path("containers.conf"))
            .env("CONTAINERS_STORAGE_CONF", self.path("storage.conf"))
            .current_dir("/");
        command
    }

    pub fn run(&self, args: &[&str]) -> Output {
        run(self.command(args), b"", PATIENCE)
    }

    /// Run a command that leaves a daemon behind, which keeps the streams that it is given.
    #[track_caller]
    fn leave(&self, args: &[&str]) {
        let mut command = self.command(args);
        let said = std::fs::File::create(self.path("said")).unwrap();
        let status = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(said)
            .status();
        let said = std::fs::read_to_string(self.path("said")).unwrap();
        assert!(status.unwrap().success(), "{args:?}: {said}");
    }

    /// Start an engine, and wait until `question` is answered.
    pub fn start(&mut self, args: &[&str], question: &[&str]) {
        let log = std::fs::File::create(self.path("engine.log")).unwrap();
        let mut command = self.command(args);
        command
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log);
        self.engine = Some(command.spawn().unwrap());
        eventually("the engine answers", || {
            let ended = self.engine.as_mut().unwrap().try_wait().unwrap();
            assert!(ended.is_none(), "{ended:?}: {}", self.host.engine_log());
            self.run(question).code == 0
        });
    }

    /// Ask the engine to end.
    pub fn stop(&mut self) {
        let mut engine = self.engine.take().unwrap();
        send_signal(engine.id().cast_signed(), "TERM");
        eventually("the engine has ended", || {
            engine.try_wait().unwrap().is_some()
        });
    }

    /// A root file system of busybox.
    fn rootfs(&self) -> String {
        let dir = self.host.make_dir("rootfs");
        let mut tar = Command::new("tar");
        tar.args(["-x", "-C", &dir]);
        assert_eq!(run(tar, &rootfs::busybox(), PATIENCE).code, 0);
        dir
    }
}

impl Drop for Machine {
    /// `Host` looks for what is left, after this.
    fn drop(&mut self) {
        if let Some(mut engine) = self.engine.take() {
            let _ = engine.kill();
            let _ = engine.wait();
        }
        let _ = self.holder.child.kill();
        let _ = self.holder.child.wait();
        remove_groups(&self.group);
    }
}

/// The groups that engines leave empty: `docker`, `default`, `libpod_parent`.
fn remove_groups(dir: &Path) {
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        if entry.path().is_dir() {
            remove_groups(&entry.path());
        }
    }
    let _ = std::fs::remove_dir(dir);
}

#[test]
fn dockerd_runs_containers_with_our_runtime() {
    let name = "under_engines: dockerd";
    let Some(mut machine) = Machine::new(name, &["dockerd", "docker", "containerd"]) else {
        return;
    };
    let socket = format!("unix://{}", machine.path("sock"));
    let (data, exec) = (machine.path("data"), machine.path("exec"));
    let (pid, runtime) = (
        machine.path("pid"),
        format!("tug={}", machine.path("tug-runtime")),
    );
    let init = machine.path("docker-init");
    std::os::unix::fs::symlink(&machine.host.binary, &init).unwrap();
    #[rustfmt::skip]
    let line = [
        "dockerd", "-H", &socket, "--data-root", &data, "--exec-root", &exec, "--pidfile", &pid,
        "--bridge", "none", "--iptables=false", "--ip6tables=false", "--storage-driver", "vfs",
        "--add-runtime", &runtime, "--default-runtime", "tug", "--init-path", &init,
    ];
    machine.start(&line, &["docker", "-H", &socket, "version"]);
    let client = |args: &[&str]| {
        let mut words = vec!["docker", "-H", &socket];
        words.extend(args);
        machine.command(&words)
    };
    let docker = |args: &[&str]| run(client(args), b"", PATIENCE);
    let import = run(
        client(&["import", "-", "test"]),
        &rootfs::busybox(),
        PATIENCE,
    );
    assert_eq!(import.code, 0, "{import:?}");

    let in_new = |args: &[&str]| {
        let mut words = vec!["run", "--rm", "--network", "none"];
        words.extend(args);
        docker(&words)
    };
    let script = "echo out; echo err >&2; exit 3";
    assert_eq!(
        in_new(&["test", "sh", "-c", script]),
        Output::new(3, "out\n", "err\n")
    );
    assert_eq!(
        in_new(&["-t", "test", "tty"]),
        Output::new(0, "/dev/pts/0\r\n", "")
    );
    let limited = [
        "--ulimit",
        "nofile=99",
        "--user",
        "65534",
        "test",
        "sh",
        "-c",
    ];
    let limited = [&limited[..], &["ulimit -n; id -u"]].concat();
    assert_eq!(in_new(&limited), Output::new(0, "99\n65534\n", ""));
    let closed = [
        "--read-only",
        "--tmpfs",
        "/tmp",
        "test",
        "sh",
        "-c",
        "touch /tmp/x && touch /x",
    ];
    in_new(&closed).assert_refused(1, "Read-only file system");
    // Our init by Docker's name, which asks for its version as well.
    if can_init("under_engines: dockerd's init") {
        let script = "read name </proc/1/comm; echo $name; exit 6";
        assert_eq!(
            in_new(&["--init", "test", "sh", "-c", script]),
            Output::new(6, "docker-init\n", "")
        );
        let version = docker(&["info", "-f", "{{.InitBinary}} {{.InitCommit.ID}}"]);
        assert_eq!(version.code, 0, "{version:?}");
    }
    // It reads our log for the reason, and its exit code from the reason.
    in_new(&["test", "no-such"]).assert_refused(127, "executable file not found in $PATH");

    let run_detached = [
        "run",
        "-d",
        "--network",
        "none",
        "--name",
        "web",
        "test",
        "sleep",
        "1000",
    ];
    assert_eq!(docker(&run_detached).code, 0);
    assert_eq!(
        docker(&["exec", "web", "sh", "-c", "pwd; exit 4"]),
        Output::new(4, "/\n", "")
    );
    assert_eq!(
        docker(&["exec", "-t", "web", "tty"]),
        Output::new(0, "/dev/pts/0\r\n", "")
    );
    assert_eq!(docker(&["pause", "web"]).code, 0);
    let status = |of: &str| docker(&["inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", of]);
    assert_eq!(status("web").stdout, "paused 0\n");
    assert_eq!(docker(&["unpause", "web"]).code, 0);
    let top = docker(&["top", "web", "-o", "pid,args"]);
    assert!(top.lines()[1].ends_with("sleep 1000"), "{top:?}");
    assert_eq!(docker(&["kill", "web"]).code, 0);
    eventually("it has ended", || status("web").stdout == "exited 137\n");
    assert_eq!(docker(&["start", "web"]).code, 0);
    assert_eq!(docker(&["rm", "-f", "web"]), Output::new(0, "web\n", ""));
    assert_eq!(docker(&["ps", "-aq"]), Output::new(0, "", ""));
    machine.stop();
}

#[test]
fn containerd_runs_containers_with_our_runtime() {
    let name = "under_engines: containerd";
    let Some(mut machine) = Machine::new(name, &["containerd", "ctr"]) else {
        return;
    };
    let (socket, rootfs) = (machine.path("sock"), machine.rootfs());
    let config = format!(
        "version = 2\nroot = \"{}\"\nstate = \"{}\"\n[grpc]\naddress = \"{socket}\"\n",
        machine.path("root"),
        machine.path("state"),
    );
    let config = machine.host.write("config.toml", config);
    machine.start(
        &["containerd", "-c", &config],
        &["ctr", "-a", &socket, "version"],
    );
    let client = |args: &[&str]| {
        let mut words = vec!["ctr", "-a", &socket];
        words.extend(args);
        machine.command(&words)
    };
    let ctr = |args: &[&str]| run(client(args), b"", PATIENCE);

    let runtime = machine.path("tug-runtime");
    let options = ["--runc-binary", &runtime, "--env", "PATH=/bin:/usr/bin"];
    let options = [&options[..], &["--rootfs", &rootfs]].concat();
    let with = |first: &[&str], last: &[&str]| client(&[first, &options, last].concat());
    let in_new = |args: &[&str]| run(with(&["run", "--rm"], args), b"", PATIENCE);
    let script = ["once", "sh", "-c", "echo out; echo err >&2; exit 3"];
    assert_eq!(in_new(&script), Output::new(3, "out\n", "err\n"));
    in_new(&["once", "no-such"]).assert_refused(1, "executable file not found in $PATH");
    let (mut running, _keys) =
        Running::on_a_terminal(with(&["run", "--rm", "-t"], &["once", "tty"]));
    let output = running.wait(PATIENCE);
    assert!(
        output.code == 0 && output.stdout.contains("/dev/pts/0"),
        "{output:?}"
    );

    let detached = with(&["run", "-d"], &["web", "sleep", "1000"]);
    assert_eq!(run(detached, b"", PATIENCE), Output::new(0, "", ""));
    let exec = [
        "task",
        "exec",
        "--exec-id",
        "more",
        "web",
        "sh",
        "-c",
        "pwd; exit 4",
    ];
    assert_eq!(ctr(&exec), Output::new(4, "/\n", ""));
    let status = || ctr(&["task", "ls"]).stdout;
    assert_eq!(ctr(&["task", "pause", "web"]), Output::new(0, "", ""));
    assert!(status().contains("PAUSED"), "{}", status());
    assert_eq!(ctr(&["task", "resume", "web"]), Output::new(0, "", ""));
    assert!(status().contains("RUNNING"), "{}", status());
    assert_eq!(ctr(&["task", "ps", "web"]).lines().len(), 2);
    assert_eq!(
        ctr(&["task", "kill", "-s", "KILL", "web"]),
        Output::new(0, "", "")
    );
    eventually("it has ended", || status().contains("STOPPED"));
    let deleted = ctr(&["task", "delete", "web"]);
    assert!(
        deleted.code == 0 && deleted.stderr.contains("137"),
        "{deleted:?}"
    );
    assert_eq!(
        ctr(&["containers", "delete", "web"]),
        Output::new(0, "", "")
    );
    machine.stop();
}

#[test]
fn podman_runs_containers_with_our_runtime() {
    let name = "under_engines: podman";
    let Some(machine) = Machine::new(name, &["podman", "conmon"]) else {
        return;
    };
    let (root, run_root) = (machine.path("root"), machine.path("run-root"));
    let (rootfs, runtime) = (machine.rootfs(), machine.path("tug-runtime"));
    #[rustfmt::skip]
    let options = [
        "podman", "--root", &root, "--runroot", &run_root, "--storage-driver", "vfs",
        "--runtime", &runtime, "--cgroup-manager", "cgroupfs", "--events-backend", "file",
    ];
    let podman = |args: &[&str]| machine.run(&[&options[..], args].concat());
    // Of itself it asks for more than this machine may give: processes, files, a pids controller.
    #[rustfmt::skip]
    let modest = [
        "--network", "none", "--pids-limit", "-1", "--ulimit", "nofile=99", "--ulimit", "nproc=99",
        "--rootfs", &rootfs,
    ];
    let in_new = |args: &[&str]| podman(&[&["run", "--rm"], &modest[..], args].concat());
    let script = ["sh", "-c", "echo out; echo err >&2; ulimit -n; exit 3"];
    assert_eq!(in_new(&script), Output::new(3, "out\n99\n", "err\n"));
    in_new(&["no-such"]).assert_refused(127, "executable file not found in $PATH");
    let terminal = podman(&[&["run", "--rm", "-t"], &modest[..], &["tty"]].concat());
    assert_eq!(terminal, Output::new(0, "/dev/pts/0\r\n", ""));

    let detached = [
        &["run", "-d", "--name", "web"],
        &modest[..],
        &["sleep", "1000"],
    ]
    .concat();
    machine.leave(&[&options[..], &detached].concat());
    assert_eq!(
        podman(&["exec", "web", "sh", "-c", "pwd; exit 4"]),
        Output::new(4, "/\n", "")
    );
    assert_eq!(
        podman(&["exec", "-t", "web", "tty"]),
        Output::new(0, "/dev/pts/0\r\n", "")
    );
    podman(&["exec", "web", "no-such"]).assert_refused(127, "executable file not found in $PATH");
    let status = || {
        podman(&[
            "inspect",
            "-f",
            "{{.State.Status}} {{.State.ExitCode}}",
            "web",
        ])
    };
    assert_eq!(podman(&["pause", "web"]).code, 0);
    assert_eq!(status().stdout, "paused 0\n");
    assert_eq!(podman(&["unpause", "web"]).code, 0);
    assert_eq!(podman(&["kill", "-s", "KILL", "web"]).code, 0);
    assert_eq!(podman(&["wait", "web"]), Output::new(0, "137\n", ""));
    assert_eq!(podman(&["rm", "-f", "web"]).code, 0);
    assert_eq!(podman(&["ps", "-aq"]), Output::new(0, "", ""));
}
