//! What every test stands on: an engine of its own, its client, and a look for what it left.

pub mod bundle;
pub mod command;
pub mod http;
pub mod json;
pub mod liar;
pub mod mounts;
pub mod namespaces;
pub mod net;
pub mod registry;
pub mod rootfs;
mod traces;

pub use traces::cgroup2;

use command::{Output, Running};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// The image that `Host::with_image` imports.
pub const IMAGE: &str = "test";

/// How long anything may take on a loaded machine before we call it stuck.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// One engine with its directories, and the clients that talk to it.
pub struct Host {
    pub name: &'static str,
    pub dir: PathBuf,
    pub binary: PathBuf,
    engine: Option<Child>,
    /// Where the engine lives, if not in the network of the machine that runs the tests.
    pub machine: Option<net::Machine>,
    /// Every container seen so far, to look for their cgroups and processes afterwards.
    ids: Mutex<BTreeSet<String>>,
}

impl Host {
    /// An engine in fresh directories, ready.
    pub fn new(name: &'static str) -> Host {
        let mut host = Host::without_engine(name);
        host.start_engine();
        host
    }

    /// The same, with the image `test` in it.
    pub fn with_image(name: &'static str) -> Host {
        let host = Host::new(name);
        host.import(IMAGE, &rootfs::busybox());
        host
    }

    /// The same on a machine of its own, as far as its network goes: with all networks that an engine
    /// has by itself.
    pub fn in_network(name: &'static str) -> Host {
        let mut host = Host::without_engine(name);
        host.machine = Some(net::Machine::new());
        host.start_engine();
        host.import(IMAGE, &rootfs::busybox());
        host
    }

    /// That machine.
    pub fn network(&self) -> &net::Machine {
        self.machine
            .as_ref()
            .expect("the engine has no network of its own")
    }

    /// Directories only: for what runs without an engine.
    pub fn without_engine(name: &'static str) -> Host {
        assert!(
            rustix::process::geteuid().is_root(),
            "these tests need root"
        );
        // Of one length, so that no name is the beginning of another: traces are found by name.
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let dir =
            std::env::temp_dir().join(format!("tug-test-{:07}-{number:03}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        // Or the engine would read what this machine's says.
        std::fs::write(dir.join("daemon.json"), "{}").unwrap();
        Host {
            name,
            dir,
            binary: binary(),
            engine: None,
            machine: None,
            ids: Mutex::new(BTreeSet::new()),
        }
    }

    /// Let this host use a copy of the binary, for tests that try to overwrite it.
    pub fn copy_binary(&mut self) {
        let copy = self.dir.join("tug");
        std::fs::copy(&self.binary, &copy).unwrap();
        self.binary = copy;
    }

    pub fn data_root(&self) -> PathBuf {
        self.dir.join("data")
    }

    pub fn exec_root(&self) -> PathBuf {
        self.dir.join("run")
    }

    pub fn socket(&self) -> PathBuf {
        self.dir.join("tug.sock")
    }

    pub fn address(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    pub fn engine_log(&self) -> String {
        std::fs::read_to_string(self.dir.join("engine.log")).unwrap_or_default()
    }

    /// The engine's command line, as a shell would take it.
    pub fn engine_command(&self) -> Vec<String> {
        let mut line = self
            .machine
            .as_ref()
            .map(net::Machine::enter)
            .unwrap_or_default();
        let options = [
            self.binary.to_str().unwrap(),
            "engine",
            "--config-file",
            self.dir.join("daemon.json").to_str().unwrap(),
            "-H",
            &self.address(),
            "--data-root",
            self.data_root().to_str().unwrap(),
            "--exec-root",
            self.exec_root().to_str().unwrap(),
        ]
        .map(String::from);
        line.extend(options);
        if self.machine.is_none() {
            // The network of the machine that runs the tests is nobody's to change.
            line.extend(["--bridge", "none"].map(String::from));
        }
        line
    }

    /// Start the engine and wait for its `_ping`.
    pub fn start_engine(&mut self) {
        let line = self.engine_command();
        let mut command = Command::new(&line[0]);
        command.args(&line[1..]);
        self.start_engine_as(command);
    }

    /// The same by a command of the test's own, that becomes the engine.
    pub fn start_engine_as(&mut self, command: Command) {
        self.start_engine_with(command, Stdio::null());
    }

    /// The same with a standard input.
    pub fn start_engine_with(&mut self, mut command: Command, stdin: Stdio) {
        assert!(self.engine.is_none(), "an engine runs already");
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(self.dir.join("engine.log"))
            .unwrap();
        let child = command
            .current_dir("/")
            .env_remove("DOCKER_HOST")
            .env_remove("TUG_HOST")
            .env("TUG_TEST_MARKER", "of the engine")
            .stdin(stdin)
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        self.engine = Some(child);

        let deadline = Instant::now() + PATIENCE;
        while http::try_get(&self.socket(), "/_ping").is_none_or(|reply| reply.status != 200) {
            let ended = self.engine.as_mut().unwrap().try_wait().unwrap();
            assert!(
                ended.is_none() && Instant::now() < deadline,
                "the engine does not answer ({ended:?}):\n{}",
                self.engine_log()
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    pub fn engine_pid(&self) -> i32 {
        i32::try_from(self.engine.as_ref().expect("no engine").id()).unwrap()
    }

    pub fn engine_is_alive(&mut self) -> bool {
        self.engine
            .as_mut()
            .is_some_and(|engine| engine.try_wait().unwrap().is_none())
    }

    /// kill -9, as a crash.
    pub fn kill_engine(&mut self) {
        let mut engine = self.engine.take().expect("no engine");
        engine.kill().unwrap();
        engine.wait().unwrap();
    }

    /// Ask the engine to end; its exit code, or `None` when it does not.
    pub fn stop_engine(&mut self) -> Option<i32> {
        let mut engine = self.engine.take().expect("no engine");
        send_signal(engine.id().cast_signed(), "TERM");
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if let Some(status) = engine.try_wait().unwrap() {
                return Some(status.code().unwrap_or(-1));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        let _ = engine.kill();
        let _ = engine.wait();
        None
    }

    /// Run the client to its end.
    pub fn tug(&self, args: &[&str]) -> Output {
        self.tug_with_input(args, b"")
    }

    pub fn tug_with_input(&self, args: &[&str], input: &[u8]) -> Output {
        let output = command::run(self.client(&self.binary, args), input, PATIENCE);
        self.note_containers();
        output
    }

    /// Run the client; it must succeed. What it printed, without the last newline.
    pub fn ok(&self, args: &[&str]) -> String {
        let output = self.tug(args);
        assert_eq!((output.code, output.stderr.as_str()), (0, ""), "{args:?}");
        output.stdout.trim_end_matches('\n').to_string()
    }

    /// Start the client and leave it running.
    pub fn spawn(&self, args: &[&str]) -> Running {
        Running::start(self.client(&self.binary, args))
    }

    /// Run the real docker client, if there is one.
    pub fn docker(&self, args: &[&str]) -> Option<Output> {
        let docker = docker_client()?;
        let output = command::run(self.client(&docker, args), b"", PATIENCE);
        self.note_containers();
        Some(output)
    }

    /// A client's command: our socket, and nothing of the developer's environment.
    pub fn client(&self, program: &Path, args: &[&str]) -> Command {
        let mut command = Command::new(program);
        command
            .args(args)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", &self.dir)
            .env("DOCKER_HOST", self.address())
            .current_dir("/");
        command
    }

    /// One request on a connection of its own.
    pub fn http(&self, method: &str, target: &str, body: &str) -> http::Reply {
        let reply = http::request(&self.socket(), method, target, body);
        self.note_containers();
        reply
    }

    /// GET, and the JSON of a 200.
    pub fn get(&self, target: &str) -> json::Json {
        let reply = self.http("GET", target, "");
        assert_eq!(reply.status, 200, "GET {target}: {}", reply.body);
        json::parse(&reply.body)
    }

    /// A member of `inspect`, as JSON text: `inspect("web", "State.ExitCode")` is `137`.
    pub fn inspect(&self, container: &str, member: &str) -> String {
        self.get(&format!("/containers/{container}/json"))
            .text(member)
    }

    /// The first process of a running container, as the host numbers it.
    pub fn pid(&self, container: &str) -> i32 {
        self.inspect(container, "State.Pid").parse().unwrap()
    }

    /// The shim that is this container's parent.
    pub fn shim_pid(&self, container: &str) -> i32 {
        traces::parent(self.pid(container)).expect("the container has no parent")
    }

    /// The shim of a container that is restarting.
    pub fn waiting_shim(&self, container: &str) -> i32 {
        let id = self
            .get(&format!("/containers/{container}/json"))
            .string("Id");
        let run_dir = self.exec_root().join("containers").join(id);
        traces::shim(&run_dir).expect("the container has no shim")
    }

    /// What a host loses that goes down: every process and what is true of one boot only. The
    /// engine has been killed before.
    pub fn power_cut(&self) {
        assert!(self.engine.is_none(), "the engine runs");
        let ids = self.ids.lock().unwrap().clone();
        traces::end(&self.dir, &ids);
        std::fs::remove_dir_all(self.exec_root()).unwrap();
    }

    /// Wait until the container is `state`.
    pub fn until_state(&self, container: &str, state: &str) {
        eventually(&format!("{container} is {state}"), || {
            self.inspect(container, "State.Status") == format!("\"{state}\"")
        });
    }

    /// Make the image `name` of a root-file-system tar; its id.
    pub fn import(&self, name: &str, tar: &[u8]) -> String {
        let output = self.tug_with_input(&["import", "-", name], tar);
        assert_eq!(
            (output.code, output.stderr.as_str()),
            (0, ""),
            "import {name}"
        );
        let id = output.stdout.trim_end().to_string();
        assert!(
            id.starts_with("sha256:") && id.len() == 71,
            "import printed {id:?}"
        );
        id
    }

    /// A file of this host's directory.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        let path = self.dir.join(name);
        std::fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_string()
    }

    /// A directory of this host's directory.
    pub fn make_dir(&self, name: &str) -> String {
        let path = self.dir.join(name);
        std::fs::create_dir_all(&path).unwrap();
        path.to_str().unwrap().to_string()
    }

    /// Look for traces of this container too, when the host goes.
    pub fn note_container(&self, id: &str) {
        self.ids.lock().unwrap().insert(id.to_string());
    }

    /// Remember the ids of the containers that exist now.
    fn note_containers(&self) {
        let found = std::fs::read_dir(self.data_root().join("containers"));
        let mut ids = self.ids.lock().unwrap();
        for entry in found.into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.len() == 64 {
                ids.insert(name);
            }
        }
    }

    /// The short-lived containers (`run --rm`) are known from the engine's events.
    fn note_events(&self) {
        let until = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap()
            .as_secs();
        let Some(reply) = http::try_get(&self.socket(), &format!("/events?since=1&until={until}"))
        else {
            return;
        };
        let mut ids = self.ids.lock().unwrap();
        for line in reply
            .body
            .lines()
            .filter(|line| line.contains("\"container\""))
        {
            // Some events are of no container in particular, and without an id.
            let id = json::parse(line).string("Actor.ID");
            if id.len() == 64 {
                ids.insert(id);
            }
        }
    }

    /// Remove all containers through the engine, end it, and say what is left.
    fn finish(&mut self) -> Vec<String> {
        let mut found = Vec::new();
        if self.engine_is_alive() {
            found.extend(self.remove_containers());
            self.note_events();
            match self.stop_engine() {
                Some(0) => {}
                other => found.push(format!("the engine ended with {other:?} after SIGTERM")),
            }
        } else if self.engine.is_some() {
            found.push(format!("the engine has died:\n{}", self.engine_log()));
        }
        let ids = self.ids.lock().unwrap().clone();
        found.extend(traces::find(&self.dir, &ids));
        found.extend(
            self.machine
                .as_ref()
                .map(net::Machine::left)
                .into_iter()
                .flatten(),
        );
        found.extend(traces::files(&self.data_root(), &self.exec_root()));
        found
    }

    fn remove_containers(&self) -> Vec<String> {
        let mut found = Vec::new();
        let Some(list) = http::try_get(&self.socket(), "/containers/json?all=1") else {
            return vec!["the engine does not list its containers".to_string()];
        };
        for container in json::parse(&list.body).items() {
            let id = container.string("Id");
            let reply = self.http("DELETE", &format!("/containers/{id}?force=1&v=1"), "");
            if reply.status != 204 {
                found.push(format!("rm -f {id}: {} {}", reply.status, reply.body));
            }
        }
        found
    }
}

impl Drop for Host {
    /// Leave nothing; and when the test itself has passed, insist that there was nothing.
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("engine's log of {}:\n{}", self.name, self.engine_log());
            if let Some(mut engine) = self.engine.take() {
                let _ = engine.kill();
                let _ = engine.wait();
            }
            self.note_containers();
            let ids = self.ids.lock().unwrap().clone();
            traces::sweep(&self.dir, &ids);
            return;
        }
        let found = self.finish();
        let log = self.engine_log();
        let ids = self.ids.lock().unwrap().clone();
        traces::sweep(&self.dir, &ids);
        assert!(
            found.is_empty(),
            "{} left traces:\n  {}\nengine's log:\n{log}",
            self.name,
            found.join("\n  ")
        );
        assert!(
            !self.dir.exists(),
            "{} could not be removed",
            self.dir.display()
        );
    }
}

/// The binary under test.
pub fn binary() -> PathBuf {
    std::env::var_os("TUG_BINARY").map_or_else(
        || PathBuf::from(env!("CARGO_BIN_EXE_tug")),
        |path| std::fs::canonicalize(path).expect("TUG_BINARY"),
    )
}

/// Whether `--init` can work: our binary has to run in an image that has no loader for it. A plain
/// debug build is dynamic; what we ship is static.
pub fn can_init(test: &str) -> bool {
    const INTERPRETER: &[u8] = b"/ld-linux";
    let bytes = std::fs::read(binary()).unwrap();
    let is_static = !bytes[..4096]
        .windows(INTERPRETER.len())
        .any(|found| found == INTERPRETER);
    if !is_static {
        skip(
            test,
            "TUG_BINARY names no static binary, which --init needs",
        );
    }
    is_static
}

/// The real docker client, where it is installed.
pub fn docker_client() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|dir| dir.join("docker"))
        .find(|file| file.is_file())
}

/// Whether it is one of the last years: older ones print other columns.
pub fn has_new_docker_client() -> bool {
    let version = docker_client().and_then(|docker| {
        let output = Command::new(docker).arg("--version").output().ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        let number = text.strip_prefix("Docker version ")?.split('.').next()?;
        number.parse::<u32>().ok()
    });
    version.is_some_and(|version| version >= 28)
}

/// Say aloud that a test cannot run here, and why; `scripts/test` counts the lines of the file.
/// Once a test, which then returns.
pub fn skip(test: &str, reason: &str) {
    println!("skip: {test}: {reason}");
    if let Some(path) = std::env::var_os("TUG_SKIPS") {
        use std::io::Write;
        let file = std::fs::File::options()
            .create(true)
            .append(true)
            .open(path);
        // One write: tests that run beside each other do not mix their lines.
        let line = format!("{test}: {reason}\n");
        file.unwrap().write_all(line.as_bytes()).unwrap();
    }
}

/// How often a test repeats what chance may break: `often` in each run of the tests, `thorough` where
/// `scripts/soak` runs them before a release.
pub fn rounds(often: usize, thorough: usize) -> usize {
    match std::env::var_os("TUG_SOAK") {
        Some(_) => thorough,
        None => often,
    }
}

/// Chance that can be had again: xorshift64*, the seed is printed.
pub struct Chance(u64);

impl Chance {
    /// `TUG_SEED` repeats a run, as far as the machine's own timing does.
    pub fn new() -> Chance {
        let given = std::env::var("TUG_SEED")
            .ok()
            .and_then(|seed| seed.parse().ok());
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let seed = given.unwrap_or(now.unwrap().as_nanos() as u64 | 1);
        println!("TUG_SEED={seed}");
        Chance(seed)
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % bound
    }
}

/// Wait for a condition; the deadline is for machines that do something else as well.
pub fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Send a signal by its short name to one process.
pub fn send_signal(pid: i32, name: &str) {
    use rustix::process::Signal;
    let signal = match name {
        "KILL" => Signal::KILL,
        "TERM" => Signal::TERM,
        "INT" => Signal::INT,
        "HUP" => Signal::HUP,
        "TSTP" => Signal::TSTP,
        "WINCH" => Signal::WINCH,
        "USR1" => Signal::USR1,
        "STOP" => Signal::STOP,
        "CONT" => Signal::CONT,
        _ => panic!("which signal is {name}?"),
    };
    let pid = rustix::process::Pid::from_raw(pid).expect("no process has this number");
    rustix::process::kill_process(pid, signal).unwrap();
}

/// Whether a process exists and is not a zombie.
pub fn is_running(pid: i32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.rsplit(')').next().unwrap_or("").starts_with(" Z"))
}
