//! An OCI bundle of busybox, and our runtime to run it with.

use crate::harness::command::{Output, run};
use crate::harness::{Host, PATIENCE, json, rootfs};
use miniserde::json::Value;
use std::process::{Command, Stdio};

/// A bundle of busybox, and a runtime with its own root.
pub struct Bundle {
    pub host: Host,
    pub dir: String,
    /// The container's. A cgroup is named after it alone, as with runc, so no two tests share one.
    pub id: String,
}

impl Bundle {
    pub fn new(name: &'static str) -> Bundle {
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

    pub fn config(&self) -> String {
        format!("{}/config.json", self.dir)
    }

    pub fn command(&self, args: &[&str]) -> Command {
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

    pub fn runtime(&self, args: &[&str]) -> Output {
        run(self.command(args), b"", PATIENCE)
    }

    /// A command that leaves a container behind. It keeps the streams that it is given, so they are
    /// no pipes of ours, which would stay open as long as it lives.
    #[track_caller]
    pub fn leave(&self, args: &[&str]) {
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
    pub fn script(&self, script: &str) {
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

    /// Set a member of config.json, at a dotted path, to what `text` is as JSON.
    pub fn set(&self, path: &str, text: &str) {
        let mut spec = json::parse(&std::fs::read_to_string(self.config()).unwrap()).0;
        let mut place = &mut spec;
        for name in path.split('.') {
            if matches!(place, Value::Null) {
                *place = json::parse("{}").0;
            }
            place = member(place, name);
        }
        *place = json::parse(text).0;
        std::fs::write(self.config(), miniserde::json::to_string(&spec)).unwrap();
    }

    pub fn status(&self) -> String {
        let output = self.runtime(&["state", &self.id]);
        assert_eq!(output.code, 0, "{output:?}");
        json::parse(&output.stdout).string("status")
    }

    /// Run the container to its end; its output.
    #[track_caller]
    pub fn says(&self) -> String {
        let output = self.runtime(&["run", &self.id]);
        assert_eq!((output.code, output.stderr.as_str()), (0, ""), "{output:?}");
        output.stdout
    }

    /// The container cannot be made, for this reason, and nothing of it is left.
    #[track_caller]
    pub fn refuses(&self, sentence: &str) {
        let output = self.runtime(&["run", &self.id]);
        assert!(output.code != 0 && output.stdout.is_empty(), "{output:?}");
        assert!(output.stderr.contains(sentence), "{output:?}");
        assert_eq!(self.runtime(&["list", "-q"]), Output::new(0, "", ""));
    }

    /// Of its first process.
    pub fn pid(&self) -> i64 {
        json::parse(&self.runtime(&["state", &self.id]).stdout).number("pid")
    }
}

/// A member of an object, made if need be.
pub fn member<'a>(value: &'a mut Value, name: &str) -> &'a mut Value {
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
