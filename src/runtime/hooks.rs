//! Hooks: programs that config.json wants run at certain moments of a container's life, with the
//! container's state on standard input.
//!
//! What a hook prints is kept for the message of its failure, and is otherwise lost, as with runc.

use crate::error::{Context, Error, Kind, Result};
use crate::json;
use crate::oci::spec::Hook;
use crate::oci::state::State;
use crate::runtime::program::reason;
use crate::sys::namespace::{self, Forked};
use crate::sys::process::Ended;
use crate::sys::{failed, poll, process, raw, signal};
use rustix::event::PollFlags;
use rustix::io::Errno;
use rustix::pipe::PipeFlags;
use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

/// How much of what a hook prints goes into the message, of each stream.
const OUTPUT_MAX: usize = 4096;

/// Run the hooks of one moment in their order. The first that fails is the failure of all.
pub fn run(hooks: Option<&Vec<Hook>>, name: &str, state: &State) -> Result<()> {
    let mut outcome = Ok(());
    each(hooks, state, |index, result| {
        outcome = result.context(|| format!("error running {name} hook #{index}"));
        outcome.is_ok()
    });
    outcome
}

/// Run all hooks of one moment, whatever becomes of them; answers their failures.
pub fn run_all(hooks: Option<&Vec<Hook>>, name: &str, state: &State) -> Vec<Error> {
    let mut failures = Vec::new();
    each(hooks, state, |index, result| {
        let result = result.context(|| format!("error running {name} hook #{index}"));
        failures.extend(result.err());
        true
    });
    failures
}

/// Run one after the other while `go_on` says so.
fn each(
    hooks: Option<&Vec<Hook>>,
    state: &State,
    mut go_on: impl FnMut(usize, Result<()>) -> bool,
) {
    let Some(hooks) = hooks.filter(|hooks| !hooks.is_empty()) else {
        return;
    };
    let state = json::to_string(state);
    for (index, hook) in hooks.iter().enumerate() {
        if !go_on(index, run_one(hook, state.as_bytes())) {
            return;
        }
    }
}

fn run_one(hook: &Hook, state: &[u8]) -> Result<()> {
    let timeout = hook.timeout.map(|seconds| {
        // Zero and less are refused before anything is made.
        Duration::from_secs(seconds.try_into().unwrap_or(0))
    });
    let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
    let mut running = start(hook)?;
    let in_time = running.follow(state, deadline);
    if !matches!(in_time, Ok(true)) {
        // With what it has started: they are one process group.
        let _ = signal::kill(-running.pid, signal::SIGKILL);
    }
    let ended = process::wait(&running.pidfd)?;
    let seconds = hook.timeout.unwrap_or(0);
    match (in_time?, ended) {
        (false, _) => Err(failure(&format!(
            "hook ran past specified timeout of {seconds}.0s"
        ))),
        (true, Ended::Exited(0)) => Ok(()),
        (true, ended) => {
            let how = match ended {
                Ended::Exited(code) => format!("exit status {code}"),
                Ended::Signalled(signal::SIGKILL) => "signal: killed".to_string(),
                Ended::Signalled(number) => format!("signal: {number}"),
            };
            Err(failure(&format!(
                "{how}, stdout: {}, stderr: {}",
                running.stdout.text(),
                running.stderr.text()
            )))
        }
    }
}

fn failure(message: &str) -> Error {
    Error::new(Kind::System, message)
}

/// A hook that runs.
struct Running {
    pid: i32,
    pidfd: OwnedFd,
    /// Until all of the state is written.
    stdin: Option<OwnedFd>,
    stdout: Output,
    stderr: Output,
}

/// What comes out of one stream.
struct Output {
    /// Until its end.
    pipe: Option<OwnedFd>,
    kept: Vec<u8>,
}

/// Fork, and execute the hook with nothing but its three streams.
fn start(hook: &Hook) -> Result<Running> {
    let path = hook.path.as_deref().unwrap_or_default();
    let name = |errno: Errno| {
        Error::with_errno(
            Kind::System,
            Some(errno.raw_os_error()),
            format!("fork/exec {path}: {}", reason(errno)),
        )
    };
    let program = CString::new(path).map_err(|_| name(Errno::INVAL))?;
    let mut args = process::c_strings(hook.args.as_deref().unwrap_or_default())?;
    if args.is_empty() {
        args.push(program.clone());
    }
    let env = process::c_strings(hook.env.as_deref().unwrap_or_default())?;

    // Only our ends must not block us: O_NONBLOCK belongs to the open pipe end, not to the pipe.
    let (stdin, writer) = pipe()?;
    let (out, stdout) = pipe()?;
    let (err, stderr) = pipe()?;
    let (verdict, told) = pipe()?;
    for ours in [&writer, &out, &err] {
        rustix::io::ioctl_fionbio(ours, true).map_err(|errno| failed("ioctl", "pipe", errno))?;
    }

    // A plain clone(2): clone3(2) is refused by most seccomp profiles, and for a startContainer
    // hook the container's is in force.
    let (pid, pidfd) = match namespace::fork_plain().map_err(name)? {
        Forked::Parent { pid, pidfd } => (pid, pidfd),
        Forked::Child => {
            let _ = process::set_stdio(&stdin, &stdout, &stderr);
            process::lead_group(0);
            raw::reset_signals();
            let errno = match raw::close_on_exec_from(3) {
                Ok(()) => process::exec(&program, &args, &env),
                Err(errno) => errno,
            };
            let _ = rustix::io::write(&told, &errno.raw_os_error().to_ne_bytes());
            raw::exit(127)
        }
    };
    // As the child does: whoever of the two comes first.
    process::lead_group(pid);
    drop((stdin, stdout, stderr, told));

    // Four bytes are why not; nothing is what execve(2) leaves when it closes the pipe.
    let mut bytes = [0u8; 4];
    if let Ok(4) = rustix::io::read(&verdict, &mut bytes) {
        let _ = process::wait(&pidfd);
        return Err(name(Errno::from_raw_os_error(i32::from_ne_bytes(bytes))));
    }
    Ok(Running {
        pid,
        pidfd,
        stdin: Some(writer),
        stdout: Output::of(out),
        stderr: Output::of(err),
    })
}

fn pipe() -> Result<(OwnedFd, OwnedFd)> {
    rustix::pipe::pipe_with(PipeFlags::CLOEXEC).map_err(|errno| failed("pipe", "for hook", errno))
}

impl Running {
    /// Feed and read it until it ends; false if it does not by the deadline.
    ///
    /// Its end is that of the process: what it leaves running may hold the streams open.
    fn follow(&mut self, mut state: &[u8], deadline: Option<Instant>) -> Result<bool> {
        // A hook that does not read is no reason for us to end. The mask of signals is not ours to
        // change; Rust ignores this one anyway, but a container's first process has reset it.
        signal::ignore(signal::SIGPIPE)?;
        loop {
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left.is_zero()) {
                return Ok(false);
            }
            self.write(&mut state);
            let ready = self.wait(left)?;
            self.stdout.read();
            self.stderr.read();
            if ready {
                return Ok(true);
            }
        }
    }

    /// Wait for something to do; true if it has ended.
    fn wait(&self, timeout: Option<Duration>) -> Result<bool> {
        let mut fds: Vec<(BorrowedFd<'_>, PollFlags)> = vec![(self.pidfd.as_fd(), PollFlags::IN)];
        let outputs = [&self.stdout.pipe, &self.stderr.pipe];
        for pipe in outputs.into_iter().flatten() {
            fds.push((pipe.as_fd(), PollFlags::IN));
        }
        if let Some(pipe) = &self.stdin {
            fds.push((pipe.as_fd(), PollFlags::OUT));
        }
        let ready = poll::wait(&fds, timeout)?;
        Ok(ready.first().is_some_and(|events| !events.is_empty()))
    }

    /// Write what fits of the state; at its end the hook sees the end of its input.
    fn write(&mut self, state: &mut &[u8]) {
        while let Some(pipe) = &self.stdin {
            match rustix::io::write(pipe, state) {
                Ok(count) if count < state.len() => *state = state.get(count..).unwrap_or_default(),
                Err(Errno::AGAIN) => return,
                Err(Errno::INTR) => {}
                // All is written, or it does not want it.
                _ => self.stdin = None,
            }
        }
    }
}

impl Output {
    fn of(pipe: OwnedFd) -> Output {
        Output {
            pipe: Some(pipe),
            kept: Vec::new(),
        }
    }

    /// Take what is there; keep the beginning of it.
    fn read(&mut self) {
        let mut buffer = [0u8; 1024];
        while let Some(pipe) = &self.pipe {
            match rustix::io::read(pipe, &mut buffer) {
                Ok(0) => self.pipe = None,
                Ok(count) => {
                    let room = OUTPUT_MAX.saturating_sub(self.kept.len()).min(count);
                    self.kept.extend_from_slice(&buffer[..room]);
                }
                Err(Errno::INTR) => {}
                Err(_) => return,
            }
        }
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.kept).into_owned()
    }
}
