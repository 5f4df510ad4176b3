//! Another OCI runtime by its command line, which is runc's for all of them.
//!
//! A verb is one run of the program to its end. Why it failed stands in the log that it is given
//! (`--log-format json`); the container's first process, and those of exec, become children of the
//! shim, which adopts orphans, when the program that made them ends.

use crate::cgroup::{self, Group};
use crate::error::{Context, Error, Kind, Result};
use crate::json;
use crate::json::node::Node;
use crate::oci::spec::{Process, Resources, Spec};
use crate::runtime::create::{Created, Io};
use crate::runtime::exec::Execed;
use crate::sys::process::Ended;
use crate::sys::spawn;
use crate::sys::{failed, fs, poll, process, signal, socket};
use rustix::event::PollFlags;
use rustix::io::Errno;
use std::ffi::{CStr, CString, OsStr};
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long one verb may take: less than the engine waits for the shim.
const PATIENCE: Duration = Duration::from_secs(50);

/// How long a terminal may take to arrive once the runtime has said that all is well.
const CONSOLE_TIMEOUT: Duration = Duration::from_secs(2);

/// Runtimes find their own helpers by it, and shims have no environment.
const PATH: &CStr = c"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

pub struct Program {
    pub path: PathBuf,
    pub args: Vec<String>,
    /// Where it keeps its states.
    pub root: PathBuf,
    pub id: String,
    pub run_dir: PathBuf,
}

impl Program {
    pub fn create(&self, spec: &Spec, io: Io) -> Result<Created> {
        let linux = spec.linux.as_ref();
        let place = linux.and_then(|linux| linux.cgroups_path.as_deref());
        let place = Group::place(place, &self.id)?;
        self.write("bundle/config.json", &json::to_string(spec))?;

        let options = ["--bundle", "."].map(str::to_string);
        let made = self.make("create", options.to_vec(), io);
        // What is half-made goes; the failure above is what to tell.
        let (pid, pidfd, console) = made.inspect_err(|_| drop(self.delete()))?;
        Ok(Created {
            pid,
            pidfd,
            console,
            // One that was told to do without leaves it in ours, which is no container's.
            group: cgroup::of_process(pid)?.filter(|group| Some(group.path()) == place.as_deref()),
            held: None,
        })
    }

    pub fn start(&self) -> Result<()> {
        self.run("start", Vec::new(), Io::Inherit)
    }

    pub fn exec(&self, process: &Process, io: Io) -> Result<Execed> {
        self.write("bundle/process.json", &json::to_string(process))?;
        let options = ["--detach", "--process", "process.json"].map(str::to_string);
        let (pid, pidfd, console) = self.make("exec", options.to_vec(), io)?;
        Ok(Execed {
            pid,
            pidfd,
            console,
        })
    }

    pub fn update(&self, limits: &Resources) -> Result<()> {
        self.write("bundle/resources.json", &json::to_string(limits))?;
        let options = ["--resources", "resources.json"].map(str::to_string);
        self.run("update", options.to_vec(), Io::Inherit)
    }

    pub fn kill(&self, signal: i32) -> Result<()> {
        let words = [self.id.clone(), signal.to_string()];
        self.finish("kill", &words, Io::Inherit)
    }

    pub fn pause(&self) -> Result<()> {
        self.run("pause", Vec::new(), Io::Inherit)
    }

    pub fn resume(&self) -> Result<()> {
        self.run("resume", Vec::new(), Io::Inherit)
    }

    pub fn delete(&self) -> Result<()> {
        // A run of it costs more than a look whether there is anything.
        let states = std::fs::read_dir(&self.root)
            .into_iter()
            .flatten()
            .flatten();
        let is_ours = |name: std::ffi::OsString| name.to_string_lossy().starts_with(&self.id);
        if !states.map(|entry| entry.file_name()).any(is_ours) {
            return Ok(());
        }
        self.run("delete", vec!["--force".to_string()], Io::Inherit)?;
        Group::leave_parent();
        Ok(())
    }

    /// A verb that makes a process: its number, and its terminal where the streams are to be one.
    fn make(
        &self,
        verb: &str,
        mut options: Vec<String>,
        io: Io,
    ) -> Result<(i32, OwnedFd, Option<OwnedFd>)> {
        let number = self.run_dir.join("runtime.pid");
        forget(&number)?;
        options.extend(["--pid-file".to_string(), number.display().to_string()]);
        let console = match io {
            Io::Inherit => Some(self.console_socket()?),
            Io::Fds { .. } => None,
        };
        if console.is_some() {
            // Relative: the whole path may be longer than a socket's name may be.
            options.extend(["--console-socket", CONSOLE].map(str::to_string));
        }
        self.run(verb, options, io)?;

        let text = fs::read(&number)?;
        let text = String::from_utf8_lossy(&text);
        let pid = text.trim().parse().map_err(|_| {
            let what = format!("{} left no process id: {text:?}", self.path.display());
            Error::new(Kind::System, what)
        })?;
        let master = console
            .map(|listener| receive_console(&listener))
            .transpose();
        let made = process::open(pid).and_then(|pidfd| Ok((pid, pidfd, master?)));
        made.context(|| format!("process of {}", self.path.display()))
    }

    fn console_socket(&self) -> Result<OwnedFd> {
        let path = self.run_dir.join("bundle").join(CONSOLE);
        socket::listen(&path, 0o600, None)
    }

    fn run(&self, verb: &str, mut options: Vec<String>, io: Io) -> Result<()> {
        options.push(self.id.clone());
        self.finish(verb, &options, io)
    }

    /// The command line: `words` stand behind the verb.
    fn args(&self, verb: &str, words: &[String]) -> std::result::Result<Vec<CString>, Errno> {
        let log = self.log();
        let own: [&OsStr; 7] = [
            "--root".as_ref(),
            self.root.as_ref(),
            "--log".as_ref(),
            log.as_ref(),
            "--log-format".as_ref(),
            "json".as_ref(),
            verb.as_ref(),
        ];
        let mut args = vec![spawn::c_string(&self.path)?];
        let before = self.args.iter().map(OsStr::new);
        for word in before.chain(own).chain(words.iter().map(OsStr::new)) {
            args.push(spawn::c_string(word)?);
        }
        Ok(args)
    }

    fn log(&self) -> PathBuf {
        self.run_dir.join("runtime.log")
    }

    /// Run it to its end. With `Io::Inherit` it gets no streams, and what it says is kept.
    fn finish(&self, verb: &str, words: &[String], io: Io) -> Result<()> {
        // What an earlier verb has said is no reason of this one's.
        forget(&self.log())?;
        let said = self.run_dir.join("runtime.err");
        forget(&said)?;
        let stdio = match io {
            Io::Fds {
                stdin,
                stdout,
                stderr,
            } => [stdin, stdout, stderr],
            Io::Inherit => {
                // A file, for who would read a pipe to its end might wait for the container's.
                let file = File::create(&said)
                    .map_err(|e| Error::io(format_args!("create {}", said.display()), &e))?;
                [fs::open_null()?, fs::open_null()?, file.into()]
            }
        };
        let spawned = self
            .args(verb, words)
            .and_then(|args| self.spawn(args, &stdio));
        // Our ends of its streams would keep them open.
        drop(stdio);
        let name = self.path.display();
        match self.wait(spawned.map_err(|errno| failed("run", name, errno))?)? {
            Ended::Exited(0) => Ok(()),
            ended => Err(self.failure(verb, ended, &said)),
        }
    }

    fn spawn(&self, args: Vec<CString>, stdio: &[OwnedFd; 3]) -> std::result::Result<i32, Errno> {
        let bundle = self.run_dir.join("bundle");
        let dir = match bundle.is_dir() {
            true => &bundle,
            false => Path::new("/"),
        };
        let program = spawn::Program {
            path: &self.path,
            args,
            env: Some(&[PATH.to_owned()]),
            dir: Some(dir),
            stdio: stdio.each_ref().map(|fd| Some(fd.as_fd())),
            resets_signals: true,
        };
        program.spawn()
    }

    fn wait(&self, pid: i32) -> Result<Ended> {
        let pidfd = process::open(pid)?;
        let ready = poll::wait(&[(pidfd.as_fd(), PollFlags::IN)], Some(PATIENCE))?;
        let has_ended = ready.iter().any(|events| !events.is_empty());
        if !has_ended {
            let _ = process::signal(&pidfd, signal::SIGKILL);
        }
        let ended = process::wait(&pidfd)?;
        let name = self.path.display();
        match has_ended {
            true => Ok(ended),
            false => Err(Error::new(
                Kind::System,
                format!("{name} did not end within {} s", PATIENCE.as_secs()),
            )),
        }
    }

    /// Its last word of an error, or else what it printed.
    fn failure(&self, verb: &str, ended: Ended, said: &Path) -> Error {
        let read = |path: &Path| fs::read(path).unwrap_or_default();
        let log = read(&self.log());
        let message = last_error(&String::from_utf8_lossy(&log)).unwrap_or_else(|| {
            let said = read(said);
            let said = String::from_utf8_lossy(&said);
            let line = said.trim().lines().next().unwrap_or_default();
            let colon = if line.is_empty() { "" } else { ": " };
            let (how, number) = match ended {
                Ended::Exited(code) => ("exit status", code),
                Ended::Signalled(signal) => ("signal", signal),
            };
            format!(
                "{} {verb}: {how}: {number}{colon}{line}",
                self.path.display()
            )
        });
        Error::new(Kind::of_words(&message).unwrap_or(Kind::System), message)
    }

    fn write(&self, name: &str, text: &str) -> Result<()> {
        let path = self.run_dir.join(name);
        fs::write_private(&path, text.as_bytes())
    }
}

/// In the bundle, which is where the runtime is started.
const CONSOLE: &str = "console.sock";

fn forget(path: &Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::io(format_args!("remove {}", path.display()), &e))
        }
        _ => Ok(()),
    }
}

/// The terminal's master side, which comes by a connection of its own (runc, docs/terminals.md).
fn receive_console(listener: &OwnedFd) -> Result<OwnedFd> {
    let missing = || Error::new(Kind::System, "the runtime has sent no terminal");
    let is_ready = |fd: &OwnedFd| -> Result<()> {
        let ready = poll::wait(&[(fd.as_fd(), PollFlags::IN)], Some(CONSOLE_TIMEOUT))?;
        let any = ready.iter().any(|events| !events.is_empty());
        any.then_some(()).ok_or_else(missing)
    };
    is_ready(listener)?;
    let connection = socket::accept(listener.as_fd())?;
    is_ready(&connection)?;
    // The terminal's name comes beside it.
    let (_, fds) = socket::receive(&connection, &mut [0u8; 4096])?;
    fds.into_iter().next().ok_or_else(missing)
}

/// The last message of a log in JSON lines that is an error.
fn last_error(log: &str) -> Option<String> {
    log.lines().rev().find_map(|line| {
        let entry = Node::new(line, "log").ok()?;
        (entry.at("level").text() == "error").then(|| entry.at("msg").text().trim().to_string())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_error_of_a_log_is_the_reason() {
        let log = "{\"level\":\"error\",\"msg\":\"first\"}\nnot json\n\
            {\"level\":\"error\",\"msg\":\"runc create failed: exec: \\\"x\\\": not found \",\"time\":\"2026\"}\n\
            {\"level\":\"warning\",\"msg\":\"later\"}\n";
        assert_eq!(
            last_error(log).unwrap(),
            "runc create failed: exec: \"x\": not found"
        );
        assert_eq!(last_error(""), None);
    }
}
