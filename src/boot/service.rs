//! The engine, as PID 1 sees it: a child that comes when it is needed and leaves by itself.
//!
//! It may be killed or crash at any time, which costs a pass and the requests on the way. Then it is
//! started again, later each time if it does not get anywhere.

use crate::boot::console;
use crate::error::Result;
use crate::sys::namespace::{self, Forked};
use crate::sys::signal::{self, Ended};
use crate::sys::{failed, process, raw, spawn};
use std::ffi::CString;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

/// After so long without work it leaves, unless the plan says otherwise.
const IDLE: &std::ffi::CStr = c"5";

const DELAY_MAX: Duration = Duration::from_secs(60);

/// How far the plan is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pass {
    /// To be begun, at once or with the next engine.
    Wanted,
    /// An engine is at it.
    Running,
    Done,
}

pub struct Service {
    /// The plan, and the options that the plan has for the engine.
    plan: CString,
    options: Vec<CString>,
    socket: OwnedFd,
    pid: Option<i32>,
    pub pass: Pass,
    /// How often in a row it has ended badly.
    failures: u32,
    not_before: Option<Instant>,
    /// It is on its way out with the machine.
    is_ending: bool,
}

impl Service {
    pub fn new(plan: &Path, options: &[String], socket: OwnedFd) -> Result<Service> {
        let plan = spawn::c_string(plan).map_err(|errno| failed("plan", plan.display(), errno))?;
        Ok(Service {
            plan,
            options: process::c_strings(options)?,
            socket,
            pid: None,
            pass: Pass::Wanted,
            failures: 0,
            not_before: None,
            is_ending: false,
        })
    }

    pub fn is_running(&self) -> bool {
        self.pid.is_some()
    }

    /// From now on an engine's end is no news. The one that runs.
    pub fn begin_end(&mut self) -> Option<i32> {
        self.is_ending = true;
        self.pid
    }

    /// The socket to wait at: while an engine runs, requests are its own.
    pub fn socket(&self) -> Option<&OwnedFd> {
        let is_free = self.pid.is_none() && self.delay().is_none();
        is_free.then_some(&self.socket)
    }

    /// How long the next start is put off.
    pub fn delay(&self) -> Option<Duration> {
        let left = self.not_before?.saturating_duration_since(Instant::now());
        (!left.is_zero()).then_some(left)
    }

    /// See that the plan is gone over, now or as soon as possible.
    pub fn want_pass(&mut self) {
        self.pass = Pass::Wanted;
    }

    /// Do what is due.
    pub fn advance(&mut self) {
        if self.pass != Pass::Wanted {
            return;
        }
        match self.pid {
            Some(pid) => {
                // It may be leaving: then its end makes the pass wanted again.
                let _ = signal::kill(pid, signal::SIGUSR2);
                self.pass = Pass::Running;
            }
            None if self.delay().is_some() => {}
            None => self.start(),
        }
    }

    /// For a request, or a pass: each engine begins with one.
    pub fn start(&mut self) {
        match self.fork(&[c"--idle-exit", IDLE]) {
            Ok(pid) => {
                self.pid = Some(pid);
                self.pass = Pass::Running;
            }
            Err(error) => {
                console::say(error);
                self.put_off();
            }
        }
    }

    /// One that runs what is for the end, stops all containers and leaves. Answers its process.
    pub fn start_stop(&self) -> Result<i32> {
        self.fork(&[c"--boot-stop"])
    }

    fn fork(&self, own: &[&std::ffi::CStr]) -> Result<i32> {
        let mut args = [c"tugd", c"-H", c"fd://"].map(ToOwned::to_owned).to_vec();
        args.extend(own.iter().map(|word| (*word).to_owned()));
        args.extend([c"--boot-plan".to_owned(), self.plan.clone()]);
        // Problems are for the console; what goes well is not, and a serial line is slow.
        args.extend([c"--log-level".to_owned(), c"warn".to_owned()]);
        args.extend(self.options.iter().cloned());
        let forked = namespace::fork_plain().map_err(|errno| failed("fork", "engine", errno))?;
        match forked {
            Forked::Parent { pid, .. } => Ok(pid),
            Forked::Child => {
                process::new_session();
                let errno =
                    spawn::exec_with_sockets(c"/proc/self/exe", &args, &[self.socket.as_fd()]);
                console::say(failed("execute", "engine", errno));
                raw::exit(127)
            }
        }
    }

    /// A child has ended; whether it was the engine.
    pub fn take_end(&mut self, ended: Ended) -> bool {
        if self.pid != Some(ended.pid) {
            return false;
        }
        self.pid = None;
        // One that leaves in the middle of a pass has a problem, whatever it says.
        let is_good = ended.code == 0 && self.pass != Pass::Running;
        // One that was killed may have been in the middle of an update's trial, too.
        if self.pass == Pass::Running || ended.code != 0 {
            self.pass = Pass::Wanted;
        }
        if is_good || self.is_ending {
            self.failures = 0;
            self.not_before = None;
        } else {
            self.put_off();
            let seconds = self.delay().unwrap_or_default().as_secs() + 1;
            console::say(format_args!(
                "the engine has ended with exit code {}: it is started again in {seconds} s",
                ended.code
            ));
        }
        true
    }

    /// A pass is over.
    pub fn pass_done(&mut self) {
        if self.pass == Pass::Running {
            self.pass = Pass::Done;
        }
        self.failures = 0;
    }

    fn put_off(&mut self) {
        let delay = Duration::from_secs(1 << self.failures.min(6)).min(DELAY_MAX);
        self.failures += 1;
        self.not_before = Some(Instant::now() + delay);
    }
}
