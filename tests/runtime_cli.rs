//! `tug runtime`: an OCI bundle, a container, no engine.

use crate::harness::command::{Output, run};
use crate::harness::{Host, PATIENCE, eventually, json, rootfs};
use miniserde::json::Value;
use std::path::Path;
use std::process::{Command, Stdio};

/// A bundle of busybox, and a runtime with its own root.
struct Bundle {
    host: Host,
    dir: String,
    /// The container's. A cgroup is named after it alone, as with runc, so no two tests share one.
    id: String,
}

impl Bundle {
    fn new(name: &'static str) -> Bundle {
        let host = Host::without_engine(name);
        let root = host.make_dir("bundle/rootfs");
        let mut tar = Command::new("tar");
        tar.args(["-x", "-C", &root]);
        assert_eq!(run(tar, &rootfs::busybox(), PATIENCE).code, 0);
        let dir = host.make_dir("bundle");
        let id = format!("{name}-{}", std::process::id());
        host.note_container(&id);
        let bundle = Bundle { host, dir, id };
        // What `spec` writes is made to run a script without a terminal.
        assert_eq!(bundle.runtime(&["spec"]), Output::new(0, "", ""));
        bundle
    }

    fn config(&self) -> String {
        format!("{}/config.json", self.dir)
    }

    fn command(&self, args: &[&str]) -> Command {
        let root = self.host.dir.join("runtime-root");
        let mut command = Command::new(&self.host.binary);
        command
            .args(["runtime", "--root", root.to_str().unwrap()])
            .args(args)
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .current_dir(&self.dir);
        command
    }

    fn runtime(&self, args: &[&str]) -> Output {
        run(self.command(args), b"", PATIENCE)
    }

    /// A command that leaves a container behind. It keeps the streams that it is given, so they are
    /// no pipes of ours, which would stay open as long as it lives.
    #[track_caller]
    fn leave(&self, args: &[&str]) {
        let said = self.host.dir.join("said");
        let file = std::fs::File::create(&said).unwrap();
        let mut command = self.command(args);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(file);
        let status = command.status().unwrap();
        let said = std::fs::read_to_string(said).unwrap();
        assert!(status.success(), "{args:?}: {status}: {said}");
    }

    /// Let the bundle run `script`.
    fn script(&self, script: &str) {
        let mut spec = json::parse(&std::fs::read_to_string(self.config()).unwrap()).0;
        *member(member(&mut spec, "root"), "readonly") = Value::Bool(false);
        let process = member(&mut spec, "process");
        *member(process, "terminal") = Value::Bool(false);
        *member(process, "args") = Value::Array(
            ["sh", "-c", script]
                .iter()
                .map(|arg| Value::String((*arg).to_string()))
                .collect(),
        );
        std::fs::write(self.config(), miniserde::json::to_string(&spec)).unwrap();
    }

    fn status(&self) -> String {
        let output = self.runtime(&["state", &self.id]);
        assert_eq!(output.code, 0, "{output:?}");
        json::parse(&output.stdout).string("status")
    }
}

/// A member of an object, made if need be.
fn member<'a>(value: &'a mut Value, name: &str) -> &'a mut Value {
    match value {
        Value::Object(members) => {
            if !members.contains_key(name) {
                members.insert(name.to_string(), Value::Null);
            }
            members.get_mut(name).unwrap()
        }
        _ => panic!("{name}: its parent is no object"),
    }
}

impl Drop for Bundle {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.runtime(&["delete", "--force", &self.id]);
            return;
        }
        let root = self.host.dir.join("runtime-root");
        let left: Vec<_> = std::fs::read_dir(root).into_iter().flatten().collect();
        assert!(left.is_empty(), "the runtime has kept {left:?}");
    }
}

#[test]
fn spec_writes_a_default_bundle_once() {
    let bundle = Bundle::new("runtime-spec");
    let spec = json::parse(&std::fs::read_to_string(bundle.config()).unwrap());
    assert!(spec.string("ociVersion").starts_with("1."));
    assert_eq!(spec.string("root.path"), "rootfs");
    assert_eq!(spec.text("process.args"), r#"["sh"]"#);
    let again = bundle.runtime(&["spec"]);
    assert_ne!(again.code, 0);
    assert!(again.stderr.contains("config.json"), "{again:?}");
}

#[test]
fn run_is_create_start_and_delete_in_one() {
    let bundle = Bundle::new("runtime-run");
    bundle.script("echo out; echo err >&2; cat; exit 3");
    let output = run(bundle.command(&["run", &bundle.id]), b"typed\n", PATIENCE);
    assert_eq!(output, Output::new(3, "out\ntyped\n", "err\n"));
    let elsewhere = bundle.dir.clone();
    let mut command = bundle.command(&["run", "--bundle", &elsewhere, &bundle.id]);
    command.current_dir("/");
    assert_eq!(run(command, b"", PATIENCE).code, 3);
}

#[test]
fn the_verbs_lead_through_the_states() {
    let bundle = Bundle::new("runtime-verbs");
    bundle.script("touch /started; sleep 1000");
    bundle.leave(&["create", "--pid-file", "pid", &bundle.id]);

    let state = json::parse(&bundle.runtime(&["state", &bundle.id]).stdout);
    assert_eq!(state.string("status"), "created");
    assert_eq!(state.string("id"), bundle.id);
    assert_eq!(state.string("bundle"), bundle.dir);
    let pid = std::fs::read_to_string(format!("{}/pid", bundle.dir)).unwrap();
    assert_eq!(state.number("pid").to_string(), pid);
    let started = Path::new(&bundle.dir).join("rootfs/started");
    assert!(!started.exists(), "create has started it");

    let again = bundle.runtime(&["create", &bundle.id]);
    assert_ne!(again.code, 0);
    assert!(
        again
            .stderr
            .contains("container with given ID already exists"),
        "{again:?}"
    );

    assert_eq!(
        bundle.runtime(&["start", &bundle.id]),
        Output::new(0, "", "")
    );
    assert_eq!(bundle.status(), "running");
    eventually("the program runs", || started.exists());
    let twice = bundle.runtime(&["start", &bundle.id]);
    assert_ne!(twice.code, 0, "{twice:?}");

    let list = bundle.runtime(&["list"]);
    let lines = list.lines();
    let words = |line: &str| {
        line.split_whitespace()
            .map(String::from)
            .collect::<Vec<_>>()
    };
    assert_eq!(
        words(lines[0]),
        ["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"]
    );
    assert_eq!(
        words(lines[1])[..4],
        [&bundle.id, &pid, "running", &bundle.dir]
    );
    assert_eq!(
        bundle.runtime(&["list", "-q"]),
        Output::new(0, &format!("{}\n", bundle.id), "")
    );

    assert_eq!(
        bundle.runtime(&["exec", &bundle.id, "sh", "-c", "echo inside; exit 6"]),
        Output::new(6, "inside\n", "")
    );
    let early = bundle.runtime(&["delete", &bundle.id]);
    assert_ne!(early.code, 0);
    assert!(
        early.stderr.contains(&format!(
            "cannot delete container {} that is not stopped: running",
            bundle.id
        )),
        "{early:?}"
    );

    assert_eq!(
        bundle.runtime(&["kill", &bundle.id, "KILL"]),
        Output::new(0, "", "")
    );
    eventually("it is stopped", || bundle.status() == "stopped");
    assert_eq!(
        bundle.runtime(&["delete", &bundle.id]),
        Output::new(0, "", "")
    );
    let gone = bundle.runtime(&["state", &bundle.id]);
    assert_ne!(gone.code, 0);
    assert!(gone.stderr.contains("container does not exist"), "{gone:?}");
}

#[test]
fn delete_by_force_ends_a_running_container() {
    let bundle = Bundle::new("runtime-force");
    bundle.script("sleep 1000 & sleep 1000");
    for _ in 0..10 {
        bundle.leave(&["run", "--detach", &bundle.id]);
        assert_eq!(bundle.status(), "running");
        assert_eq!(
            bundle.runtime(&["delete", "--force", &bundle.id]),
            Output::new(0, "", "")
        );
    }
    // Nothing to delete is no error by force, as with runc.
    assert_eq!(bundle.runtime(&["delete", "--force", &bundle.id]).code, 0);
}

#[test]
fn a_bundle_that_cannot_run_leaves_nothing() {
    let bundle = Bundle::new("runtime-bad");
    bundle.script("true");
    let good = std::fs::read_to_string(bundle.config()).unwrap();
    for (what, bad) in [
        ("no JSON", "{".to_string()),
        ("empty", String::new()),
        ("no root", good.replace("\"rootfs\"", "\"nowhere\"")),
        ("no program", good.replace("\"sh\"", "\"nosuch\"")),
        ("an array", "[]".to_string()),
    ] {
        std::fs::write(bundle.config(), bad).unwrap();
        let output = bundle.runtime(&["run", &bundle.id]);
        assert!(
            output.code != 0 && output.stdout.is_empty(),
            "{what}: {output:?}"
        );
        assert!(!output.stderr.is_empty(), "{what}");
        assert_eq!(
            bundle.runtime(&["list", "-q"]),
            Output::new(0, "", ""),
            "{what}"
        );
    }
    for id in ["../escape", "", "a/b", ".", ".."] {
        assert_ne!(bundle.runtime(&["run", id]).code, 0, "{id:?}");
    }
}

#[test]
fn unknown_verbs_and_options_are_refused() {
    let bundle = Bundle::new("runtime-usage");
    for args in [
        &["frobnicate"][..],
        &["run", "--frobnicate", "test"],
        &["kill"],
        &["state"],
    ] {
        let output = bundle.runtime(args);
        assert!(
            output.code != 0 && output.stdout.is_empty(),
            "{args:?}: {output:?}"
        );
    }
}
