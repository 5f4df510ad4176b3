//! The engine's side of a shim: spawn one, find one again, ask it.
//!
//! Each call is a connection of its own with a time limit, so that a stuck shim costs its caller
//! ten seconds and nobody else anything.

use crate::error::{Error, Kind, Result};
use crate::id;
use crate::json;
use crate::oci::spec::{Process, Resources};
use crate::runtime::binary;
use crate::shim::exit::Exit;
use crate::shim::log::reader::Mark;
use crate::shim::message::{self, LINE_BYTES_MAX, Reply, Request};
use crate::shim::wear::Wear;
use crate::sys::spawn::{self, Program};
use crate::sys::{failed, fs, poll, process, signal, socket};
use crate::wire::container::{Health, RestartPolicy, WriteBudget};
use rustix::event::PollFlags;
use rustix::io::Errno;
use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long a call may take.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a look at a container waits for what its shim could add.
const GLANCE_TIMEOUT: Duration = Duration::from_secs(1);

/// How long making or starting a container may take: it mounts, and disks can be slow.
const START_TIMEOUT: Duration = Duration::from_secs(60);

/// The shims that this process has spawned and not yet reaped.
static CHILDREN: Mutex<Vec<i32>> = Mutex::new(Vec::new());

/// A shim: where it serves, and which process it is.
#[derive(Clone, Debug)]
pub struct Shim {
    run_dir: PathBuf,
    pid: i32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Started {
    pub pid: i32,
    pub started_at: String,
    pub restarts: u32,
    /// Not yet: it waits for a device.
    pub is_held: bool,
}

pub struct State {
    /// 0 between two runs.
    pub pid: i32,
    /// Of the last run; empty if there was none.
    pub started_at: String,
    /// How the last run ended, where one has.
    pub exit: Option<Exit>,
    pub restarts: u32,
    /// It waits for its next start.
    pub is_paused: bool,
    pub is_waiting: bool,
    pub is_held: bool,
    /// The user has sent it a signal.
    pub is_stopped: bool,
    pub health: Option<Health>,
    /// The ids of the execs that run.
    pub execs: Vec<String>,
}

/// How to join a client to a process's streams.
#[derive(Clone, Debug, Default)]
pub struct Attach {
    pub stdin: bool,
    pub stdout: bool,
    pub stderr: bool,
    /// As Docker writes them, `ctrl-p,ctrl-q`; that is also the default.
    pub detach_keys: Option<String>,
    /// Input that came with the head of the request.
    pub leftover: Vec<u8>,
    /// How far the client has been sent the log, if it wants it.
    pub log: Option<Mark>,
}

pub struct Exec {
    pub id: String,
    pub process: Process,
    pub attach: Option<Attach>,
}

pub struct ExecState {
    pub running: bool,
    pub pid: i32,
    pub exit_code: Option<i32>,
}

#[derive(Clone, Debug)]
pub enum Event {
    Exit(Exit),
    Health(Health),
    /// It was started again.
    Start(Started),
    /// The device that it waited for is there.
    Ready,
    ExecExit {
        id: String,
        code: i32,
    },
    Oom,
    /// Its write budget is spent, or is not any more.
    Budget(WriteBudget),
    Paused(bool),
}

/// The soft limit of descriptors for containers; 0 where it is to be as it is.
static DESCRIPTORS: AtomicU64 = AtomicU64::new(0);

/// Give shims, and so containers, this soft limit of descriptors, whatever ours is.
pub fn limit_descriptors(soft: u64) {
    DESCRIPTORS.store(soft, Ordering::Relaxed);
}

fn descriptors_option() -> Option<String> {
    match DESCRIPTORS.load(Ordering::Relaxed) {
        0 => None,
        soft => Some(format!("--nofile={soft}")),
    }
}

/// Spawn the shim of the container in `run_dir`. Returns when the container is created, or with
/// what stopped that.
pub fn launch(run_dir: &Path) -> Result<Shim> {
    // A container could reach its parent's executable by /proc/PID/exe and write to it
    // (CVE-2019-5736); the shim runs from a copy that cannot be written.
    let executable = binary::protected()?;
    let notes = run_dir.join("shim.log");
    let stderr = std::fs::OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(&notes)
        .map_err(|e| Error::io(format_args!("open {}", notes.display()), &e))?;
    let stdin = fs::open_null()?;
    let (ready, stdout) = spawn::pipe().map_err(|errno| failed("pipe", "for shim", errno))?;
    let spawned = words(run_dir).and_then(|args| {
        let shim = Program {
            path: &fs::proc_fd(executable.as_fd()),
            args,
            env: Some(&[]),
            dir: Some(Path::new("/")),
            stdio: [stdin.as_fd(), stdout.as_fd(), stderr.as_fd()].map(Some),
            resets_signals: false,
        };
        shim.spawn()
    });
    let pid = spawned.map_err(|errno| failed("spawn", "shim", errno))?;
    drop(stdout);

    let outcome = read_line(&ready, START_TIMEOUT);
    if outcome.is_err() {
        // It is silent or dead. What it began is swept as any half-made container's.
        let _ = signal::kill(pid, signal::SIGKILL);
    }
    CHILDREN
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .push(pid);

    let line = outcome.map_err(|mut error| {
        error.message = format!("shim: {} (see {})", error.message, notes.display());
        error
    })?;
    parse(&line)?;
    Ok(Shim {
        run_dir: run_dir.to_path_buf(),
        pid,
    })
}

/// A shim's command line.
fn words(run_dir: &Path) -> std::result::Result<Vec<CString>, Errno> {
    let mut words = vec![c"tug-shim".to_owned(), spawn::c_string(run_dir)?];
    if let Some(option) = descriptors_option() {
        words.push(spawn::c_string(option)?);
    }
    Ok(words)
}

/// What the kernel has counted of shims that we have reaped (`sys::process::written_bytes`).
static REAPED: AtomicU64 = AtomicU64::new(0);

/// How much of what the kernel has counted of this process was written by containers and shims.
pub fn reaped_bytes() -> u64 {
    REAPED.load(Ordering::Relaxed)
}

/// Reap the shims of ours that have ended.
pub fn reap() {
    let mut children = CHILDREN.lock().unwrap_or_else(PoisonError::into_inner);
    children.retain(|pid| {
        // The kernel adds to our count what it has counted of those that we reap.
        if spawn::is_to_reap(*pid) {
            let written = process::written_bytes(&pid.to_string()).unwrap_or(0);
            REAPED.fetch_add(written, Ordering::Relaxed);
        }
        !spawn::has_ended(*pid)
    });
}

/// The shim that serves in `run_dir`, whoever spawned it. `Kind::Gone` when nobody serves. Does not
/// wait for it: a stopped shim is found too.
pub fn connect(run_dir: &Path) -> Result<Shim> {
    let socket = open(run_dir)?;
    Ok(Shim {
        run_dir: run_dir.to_path_buf(),
        pid: socket::peer(&socket)?.pid,
    })
}

fn open(run_dir: &Path) -> Result<OwnedFd> {
    let path = run_dir.join("shim.sock");
    socket::connect_within(&path, CALL_TIMEOUT).map_err(or_gone)
}

fn or_gone(error: Error) -> Error {
    match error.errno {
        Some(errno) if is_nobody(errno) => error.with_kind(Kind::Gone),
        _ => error,
    }
}

fn is_nobody(errno: i32) -> bool {
    [
        Errno::NOENT,
        Errno::CONNREFUSED,
        Errno::CONNRESET,
        // It left between our connection and our request.
        Errno::PIPE,
    ]
    .iter()
    .any(|known| known.raw_os_error() == errno)
}

impl Shim {
    /// The shim's own process.
    pub fn pid(&self) -> i32 {
        self.pid
    }

    pub fn start(&self) -> Result<Started> {
        let request = Request {
            verb: verb("start"),
            ..Default::default()
        };
        self.call(&request, &[], START_TIMEOUT).map(started)
    }

    /// Hand the client's connection over. It is the shim's from now on: close your copy.
    pub fn attach(&self, attach: &Attach, client: BorrowedFd<'_>) -> Result<()> {
        let request = Request {
            verb: verb("attach"),
            attach: Some(to_message(attach)),
            ..Default::default()
        };
        self.call(&request, &[client], CALL_TIMEOUT).map(drop)
    }

    /// `is_stop`: whatever its restart policy, the container is not to start again after it.
    pub fn kill(&self, signal: i32, is_stop: bool) -> Result<()> {
        let request = Request {
            verb: verb("kill"),
            signal: Some(signal),
            is_stop: Some(is_stop),
            ..Default::default()
        };
        self.call(&request, &[], CALL_TIMEOUT).map(drop)
    }

    /// Run a further process in the container; answers its pid. With an `attach` the client's
    /// connection is handed over.
    pub fn exec(&self, exec: Exec, client: Option<BorrowedFd<'_>>) -> Result<i32> {
        let request = Request {
            verb: verb("exec"),
            id: Some(exec.id),
            process: Some(exec.process),
            attach: exec.attach.as_ref().map(to_message),
            ..Default::default()
        };
        let reply = self.call(&request, client.as_slice(), START_TIMEOUT)?;
        Ok(reply.pid.unwrap_or(0))
    }

    /// `NotFound` for an exec that this shim does not know (any more).
    pub fn exec_state(&self, id: &str) -> Result<ExecState> {
        let request = Request {
            verb: verb("exec_state"),
            id: Some(id.to_string()),
            ..Default::default()
        };
        let reply = self.call(&request, &[], CALL_TIMEOUT)?;
        Ok(ExecState {
            running: reply.running.unwrap_or(false),
            pid: reply.pid.unwrap_or(0),
            exit_code: reply.exit_code,
        })
    }

    /// Change the limits of the container.
    pub fn update(&self, resources: Resources) -> Result<()> {
        let request = Request {
            verb: verb("update"),
            resources: Some(resources),
            ..Default::default()
        };
        self.call(&request, &[], CALL_TIMEOUT).map(drop)
    }

    /// Set the size of the container's terminal, or of an exec's.
    pub fn resize(&self, exec: Option<&str>, height: u16, width: u16) -> Result<()> {
        let request = Request {
            verb: verb("resize"),
            id: exec.map(str::to_string),
            height: Some(height),
            width: Some(width),
            ..Default::default()
        };
        self.call(&request, &[], CALL_TIMEOUT).map(drop)
    }

    pub fn state(&self) -> Result<State> {
        let request = Request {
            verb: verb("state"),
            ..Default::default()
        };
        let reply = self.call(&request, &[], CALL_TIMEOUT)?;
        Ok(State {
            pid: reply.pid.unwrap_or(0),
            started_at: reply.started_at.unwrap_or_default(),
            exit: reply.exit,
            restarts: reply.restarts.unwrap_or(0),
            is_paused: reply.is_paused.unwrap_or(false),
            is_waiting: reply.is_waiting.unwrap_or(false),
            is_held: reply.is_held.unwrap_or(false),
            is_stopped: reply.is_stopped.unwrap_or(false),
            health: reply.health,
            execs: reply.execs.unwrap_or_default(),
        })
    }

    /// Let all processes of the container stand still; answers when they do.
    pub fn pause(&self) -> Result<()> {
        let request = Request {
            verb: verb("pause"),
            ..Default::default()
        };
        self.call(&request, &[], START_TIMEOUT).map(drop)
    }

    pub fn unpause(&self) -> Result<()> {
        let request = Request {
            verb: verb("unpause"),
            ..Default::default()
        };
        self.call(&request, &[], CALL_TIMEOUT).map(drop)
    }

    /// Write to the disk what its log has in memory.
    pub fn persist_log(&self) -> Result<()> {
        let request = Request {
            verb: verb("persist_log"),
            ..Default::default()
        };
        self.call(&request, &[], START_TIMEOUT).map(drop)
    }

    /// How it stands with its write budget, if it has one.
    pub fn budget(&self) -> Result<Option<WriteBudget>> {
        let request = Request {
            verb: verb("budget"),
            ..Default::default()
        };
        let reply = self.call(&request, &[], GLANCE_TIMEOUT)?;
        Ok(reply.budget)
    }

    pub fn set_budget(&self, budget: &str) -> Result<()> {
        let request = Request {
            verb: verb("set_budget"),
            budget: Some(budget.to_string()),
            ..Default::default()
        };
        self.call(&request, &[], CALL_TIMEOUT).map(drop)
    }

    /// What it has written since the shim began.
    pub fn wear(&self) -> Result<Wear> {
        let request = Request {
            verb: verb("wear"),
            ..Default::default()
        };
        let reply = self.call(&request, &[], GLANCE_TIMEOUT)?;
        Ok(reply.wear.unwrap_or_default())
    }

    /// What the health check has found, with its last results.
    pub fn health(&self) -> Result<Option<Health>> {
        let request = Request {
            verb: verb("health"),
            ..Default::default()
        };
        let reply = self.call(&request, &[], GLANCE_TIMEOUT)?;
        Ok(reply.health)
    }

    /// And what is done when it turns unhealthy.
    pub fn set_restart_policy(
        &self,
        policy: &RestartPolicy,
        health_on_failure: Option<&str>,
    ) -> Result<()> {
        let request = Request {
            verb: verb("set_restart_policy"),
            restart: Some(policy.clone()),
            health_on_failure: health_on_failure.map(str::to_string),
            ..Default::default()
        };
        self.call(&request, &[], CALL_TIMEOUT).map(drop)
    }

    /// `network.json` is another: join and leave what it says.
    pub fn network(&self) -> Result<()> {
        let request = Request {
            verb: verb("network"),
            ..Default::default()
        };
        self.call(&request, &[], START_TIMEOUT).map(drop)
    }

    /// Be told of what happens. When this returns, nothing that happens later is missed.
    pub fn watch(&self) -> Result<Watch> {
        let request = Request {
            verb: verb("watch"),
            ..Default::default()
        };
        let socket = self.send(&request, &[])?;
        let mut watch = Watch { socket };
        match watch.line(Some(CALL_TIMEOUT))? {
            Some(line) => parse(&line).map(|_| watch),
            None => Err(gone()),
        }
    }

    fn call(&self, request: &Request, fds: &[BorrowedFd<'_>], timeout: Duration) -> Result<Reply> {
        let socket = self.send(request, fds)?;
        parse(&read_line(&socket, timeout)?)
    }

    fn send(&self, request: &Request, fds: &[BorrowedFd<'_>]) -> Result<OwnedFd> {
        let socket = open(&self.run_dir)?;
        let mut line = json::to_string(request);
        if line.len() >= LINE_BYTES_MAX {
            let message = format!("request of {} bytes is too large for a shim", line.len());
            return Err(Error::new(Kind::TooLarge, message));
        }
        line.push('\n');
        socket::send(&socket, line.as_bytes(), fds).map_err(or_gone)?;
        Ok(socket)
    }
}

fn started(reply: Reply) -> Started {
    Started {
        pid: reply.pid.unwrap_or(0),
        started_at: reply.started_at.unwrap_or_default(),
        restarts: reply.restarts.unwrap_or(0),
        is_held: reply.is_held.unwrap_or(false),
    }
}

fn verb(name: &str) -> Option<String> {
    Some(name.to_string())
}

fn to_message(attach: &Attach) -> message::Attach {
    message::Attach {
        stdin: Some(attach.stdin),
        stdout: Some(attach.stdout),
        stderr: Some(attach.stderr),
        detach_keys: attach.detach_keys.clone(),
        leftover: Some(id::hex(&attach.leftover)),
        log_file: attach.log.map(|mark| mark.file),
        log_offset: attach.log.map(|mark| mark.offset),
    }
}

fn gone() -> Error {
    Error::new(Kind::Gone, "the shim has gone")
}

fn parse(line: &[u8]) -> Result<Reply> {
    json::parse_bytes::<Reply>(line, "answer of the shim")?.into_result()
}

/// Read one line, which is all that comes. `Kind::Gone` when the peer closes before its end.
fn read_line(fd: &OwnedFd, timeout: Duration) -> Result<Vec<u8>> {
    let end = Instant::now() + timeout;
    let mut line = Vec::new();
    let mut buffer = [0u8; 4096];
    loop {
        let rest = end.saturating_duration_since(Instant::now());
        if rest.is_zero() {
            return Err(Error::new(Kind::System, "the shim does not answer"));
        }
        let ready = poll::wait(&[(fd.as_fd(), PollFlags::IN)], Some(rest))?;
        if ready.iter().all(|events| events.is_empty()) {
            continue;
        }
        match rustix::io::read(fd, &mut buffer) {
            Ok(0) | Err(rustix::io::Errno::CONNRESET) => return Err(gone()),
            Ok(count) => line.extend_from_slice(buffer.get(..count).unwrap_or_default()),
            Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(crate::sys::failed("read", "shim", errno)),
        }
        if line.last() == Some(&b'\n') {
            return Ok(line);
        }
        if line.len() > LINE_BYTES_MAX {
            return Err(Error::invalid("answer of the shim: too long"));
        }
    }
}

/// A connection on which a shim tells what happens. Ready for reading when there is an event.
pub struct Watch {
    socket: OwnedFd,
}

impl AsFd for Watch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Watch {
    /// Wait for the next event. `None`: the shim has ended; without an `Exit` before, it was lost.
    pub fn next(&mut self) -> Result<Option<Event>> {
        loop {
            let Some(line) = self.line(None)? else {
                return Ok(None);
            };
            let reply = parse(&line)?;
            match reply.event.as_deref() {
                Some("exit") => return Ok(Some(Event::Exit(reply.exit.unwrap_or_default()))),
                Some("health") => {
                    return Ok(Some(Event::Health(reply.health.unwrap_or_default())));
                }
                Some("start") => return Ok(Some(Event::Start(started(reply)))),
                Some("execexit") => {
                    return Ok(Some(Event::ExecExit {
                        id: reply.id.unwrap_or_default(),
                        code: reply.exit_code.unwrap_or(0),
                    }));
                }
                Some("ready") => return Ok(Some(Event::Ready)),
                Some("oom") => return Ok(Some(Event::Oom)),
                Some("budget") => {
                    return Ok(Some(Event::Budget(reply.budget.unwrap_or_default())));
                }
                Some("pause") => return Ok(Some(Event::Paused(true))),
                Some("unpause") => return Ok(Some(Event::Paused(false))),
                // An event of a newer shim.
                _ => {}
            }
        }
    }

    /// One line and not a byte more, so that the descriptor stays ready while there are others.
    fn line(&mut self, timeout: Option<Duration>) -> Result<Option<Vec<u8>>> {
        let mut line = Vec::new();
        loop {
            let ready = poll::wait(&[(self.socket.as_fd(), PollFlags::IN)], timeout)?;
            if timeout.is_some() && ready.iter().all(|events| events.is_empty()) {
                return Err(Error::new(Kind::System, "the shim does not answer"));
            }
            let mut buffer = [0u8; 1024];
            let seen = socket::peek(&self.socket, &mut buffer)?;
            let seen = buffer.get(..seen).unwrap_or_default();
            if seen.is_empty() {
                return Ok(None);
            }
            let newline = seen.iter().position(|byte| *byte == b'\n');
            let length = newline.map_or(seen.len(), |at| at + 1);
            line.extend_from_slice(seen.get(..length).unwrap_or_default());
            let mut taken = [0u8; 1024];
            let target = taken.get_mut(..length).unwrap_or_default();
            socket::receive(&self.socket, target)?;
            if newline.is_some() {
                return Ok(Some(line));
            }
            if line.len() > LINE_BYTES_MAX {
                return Err(Error::invalid("event of the shim: too long"));
            }
        }
    }
}
