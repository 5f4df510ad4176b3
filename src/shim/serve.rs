//! The shim's process: one thread, one loop, from the container's creation to its end.
//!
//! Past `set_up` nothing stops it but the container's end: what fails is noted on standard error,
//! which is `shim.log` in the run directory.

use crate::cgroup::Group;
use crate::error::{Error, Result};
use crate::json;
use crate::log;
use crate::shim::attached::Attached;
use crate::shim::backend::Backend;
use crate::shim::budget::Budget;
use crate::shim::call::Call;
use crate::shim::config::Config;
use crate::shim::critical::Critical;
use crate::shim::exit::Exit;
use crate::shim::health::Health;
use crate::shim::hotplug::Hotplug;
use crate::shim::log::writer::Writer;
use crate::shim::message::Reply;
use crate::shim::network::Network;
use crate::shim::policy::Restarts;
use crate::shim::probe::run::Probing;
use crate::shim::remedy::Remedy;
use crate::shim::run::Run;
use crate::shim::task::{CHUNK_BYTES, Part, Task};
use crate::shim::wear::Counter;
use crate::sys::memory::{self, Pages};
use crate::sys::{poll, process, signal, socket, stream, supervisor};
use crate::time::Time;
use rustix::event::PollFlags;
use std::io::Write;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Calls that are served at a time; others wait in the socket's queue.
const CALLS_MAX: usize = 64;

/// After so much silence buffers are given back.
const IDLE: Duration = Duration::from_secs(1);

/// How long an exec that outlives its container is waited for.
const STRAGGLER_MAX: Duration = Duration::from_secs(2);

pub const WHO: &str = "tug-shim";

pub struct Supervisor {
    pub run_dir: PathBuf,
    pub config: Config,
    pub backend: Backend,
    pub signals: OwnedFd,
    /// `None` once the container has ended.
    pub listener: Option<OwnedFd>,
    pub calls: Vec<Call>,
    /// The container's first process stands first; the others are execs. Empty between two runs.
    pub tasks: Vec<Task>,
    /// Ended execs, the oldest first.
    pub ended: Vec<(String, i32)>,
    /// Clients of ended processes that have not taken all yet.
    pub leaving: Vec<Attached>,
    pub log: Option<Writer>,
    pub run: Run,
    /// What the container's processes get that do not say: not the shim's own.
    pub oom_score_adj: Option<i32>,
    /// When the last run began.
    pub started_at: Option<String>,
    pub restarts: Restarts,
    pub health: Option<Health>,
    pub remedy: Remedy,
    pub critical: Option<Critical>,
    pub hotplug: Option<Hotplug>,
    pub network: Network,
    pub wear: Counter,
    pub budget: Option<Budget>,
    /// Between two runs: when the next one begins.
    pub waiting: Option<Instant>,
    /// How the last run ended.
    pub last: Option<Exit>,
    /// Present while there is something to read.
    pub buffer: Pages,
    /// It has just become quiet.
    pub is_tired: bool,
}

/// Run the shim of the container in `run_dir`. Standard output gets one line: that the container
/// is created, or why not.
pub fn serve(run_dir: &Path) -> Result<u8> {
    process::new_session();
    supervisor::set_name(c"tug-shim");
    let outcome = Supervisor::set_up(run_dir);
    answer(&match &outcome {
        Ok(supervisor) => Reply {
            pid: supervisor.tasks.first().map(|task| task.pid),
            ..Default::default()
        },
        Err(error) => Reply::error(error),
    });
    let mut supervisor = outcome.inspect_err(|_| remove_socket(run_dir))?;
    supervisor.run();
    Ok(0)
}

/// Tell who started us, and let go of the pipe: they may be waiting for its end.
fn answer(reply: &Reply) {
    let line = json::to_string(reply) + "\n";
    // An engine that has died meanwhile finds the container by its socket.
    let _ = std::io::stdout().write_all(line.as_bytes());
    let _ = stream::null().and_then(supervisor::replace_stdout);
}

pub fn remove_socket(run_dir: &Path) {
    let _ = std::fs::remove_file(run_dir.join("shim.sock"));
}

impl Supervisor {
    fn run(&mut self) {
        while !self.is_done() {
            if let Err(error) = self.turn() {
                // Out of memory, most likely. Nobody else can do this work, so try again.
                log::line(WHO, error);
                std::thread::sleep(Duration::from_millis(100));
            }
        }
    }

    /// The exit is told, and the clients have what they wait for.
    fn is_done(&self) -> bool {
        self.listener.is_none() && self.leaving.is_empty()
    }

    /// Wait for something to happen, and do what it asks for.
    fn turn(&mut self) -> Result<()> {
        let is_tired = std::mem::take(&mut self.is_tired);
        let (tokens, events) = self.wait(is_tired)?;
        let ready = || tokens.iter().zip(&events);
        let is_idle = events.iter().all(|events| events.is_empty());
        self.resize_buffer(is_idle);

        for (index, task) in self.tasks.iter_mut().enumerate() {
            let mut outputs = ready()
                .filter(
                    |(token, _)| matches!(token, Token::Task(of, Part::Output(_)) if *of == index),
                )
                .peekable();
            if outputs.peek().is_some() && outputs.all(|(_, events)| events.is_empty()) {
                task.was_quiet();
            }
        }
        for (token, events) in ready().filter(|(_, events)| !events.is_empty()) {
            self.dispatch(*token, *events);
        }
        self.advance(Instant::now());
        Ok(())
    }

    fn wait(&self, is_tired: bool) -> Result<(Vec<Token>, Vec<PollFlags>)> {
        let mut tokens = Vec::with_capacity(8);
        let mut entries: Vec<(BorrowedFd<'_>, PollFlags)> = Vec::with_capacity(8);
        let mut add = |token, fd, events| {
            tokens.push(token);
            entries.push((fd, events));
        };
        add(Token::Signals, self.signals.as_fd(), PollFlags::IN);
        if let Some(events) = &self.run.oom_events {
            // Told as an exception when the file has changed since it was last read.
            add(Token::Oom, events.as_fd(), PollFlags::PRI);
        }
        if let Some(hotplug) = &self.hotplug {
            add(Token::Devices, hotplug.fd(), PollFlags::IN);
        }
        if let Some(ports) = self.network.ports.fd() {
            add(Token::Ports, ports, PollFlags::IN);
        }
        if let Some(names) = self.network.names_fd() {
            add(Token::Names, names, PollFlags::IN);
        }
        let probing = self
            .health
            .as_ref()
            .and_then(|health| health.probing.as_ref());
        if let Some(talk) = probing.and_then(Probing::talk) {
            add(Token::Probe, talk.fd(), talk.interest());
        }
        if let Some(listener) = &self.listener
            && self.calls.len() < CALLS_MAX
        {
            add(Token::Listener, listener.as_fd(), PollFlags::IN);
        }
        for (index, call) in self.calls.iter().enumerate() {
            add(Token::Call(index), call.fd(), PollFlags::IN);
        }
        for (index, task) in self.tasks.iter().enumerate() {
            let is_log_full = index == 0 && self.log.as_ref().is_some_and(Writer::is_full);
            task.interests(is_log_full, |part, fd, events| {
                add(Token::Task(index, part), fd, events);
            });
        }
        if let Some(backlog) = self.log.as_ref().and_then(Writer::backlog) {
            add(Token::Log, backlog, PollFlags::OUT);
        }
        for (index, client) in self.leaving.iter().enumerate() {
            add(Token::Leaving(index), client.fd(), PollFlags::OUT);
        }
        let timeout = self.timeout();
        // At the last moment: whatever ran after it would bring its pages back.
        if is_tired {
            memory::forget_code();
        }
        let events = poll::wait(&entries, timeout)?;
        Ok((tokens, events))
    }

    fn timeout(&self) -> Option<Duration> {
        let now = Instant::now();
        let tasks = self.tasks.iter().filter_map(Task::deadline);
        let leaving = self.leaving.iter().filter_map(Attached::deadline);
        let stragglers = self.run.finished.as_ref();
        let stragglers = stragglers.map(|(_, at)| *at + STRAGGLER_MAX);
        let idle = (!self.buffer.is_empty()).then(|| now + IDLE);
        let log = self.log.as_ref().and_then(Writer::deadline);
        tasks
            .chain(leaving)
            .chain(log)
            .chain(stragglers.filter(|_| self.listener.is_some()))
            .chain(self.waiting)
            .chain(self.network.ports.deadline())
            .chain(self.health.as_ref().and_then(Health::deadline))
            .chain(self.budget.as_ref().and_then(Budget::deadline))
            .chain(self.remedy.deadline())
            .chain(self.critical.as_ref().and_then(Critical::deadline))
            .chain(self.network.deadline())
            .chain(idle)
            .min()
            // A deadline in the past has been looked at; it waits for something else to happen.
            .map(|at| {
                at.saturating_duration_since(now)
                    .max(Duration::from_millis(10))
            })
    }

    /// A shim sleeps nearly all its life: it holds a buffer only while there is something to read.
    fn resize_buffer(&mut self, is_idle: bool) {
        if !is_idle {
            if self.buffer.is_empty() {
                self.buffer = Pages::new(CHUNK_BYTES);
            }
        } else if !self.buffer.is_empty() {
            self.buffer = Pages::default();
            if let Some(log) = &mut self.log {
                log.shrink();
            }
            self.is_tired = true;
        }
    }

    fn dispatch(&mut self, token: Token, events: PollFlags) {
        match token {
            Token::Signals => self.take_signals(),
            Token::Oom => self.take_oom(),
            Token::Devices => self.plug(),
            Token::Names => self.network.serve_names(),
            Token::Ports => self.network.ports.ready(),
            Token::Probe => self.serve_probe(),
            Token::Listener => self.accept(),
            Token::Log => {
                if let Some(log) = &mut self.log {
                    log.flush();
                }
            }
            Token::Call(index) => self.serve_call(index),
            Token::Leaving(index) => {
                if let Some(client) = self.leaving.get_mut(index) {
                    client.flush();
                    if events.intersects(PollFlags::HUP | PollFlags::ERR) {
                        client.drop_out();
                    }
                }
            }
            Token::Task(index, part) => {
                let log = self.log.as_mut().filter(|_| index == 0);
                if let Some(task) = self.tasks.get_mut(index) {
                    task.ready(part, events, &mut self.buffer, log);
                }
            }
        }
    }

    fn take_oom(&mut self) {
        // Reading it makes it quiet until the next change; a group that has gone has no more.
        let mut buffer = [0u8; 512];
        let read = self
            .run
            .oom_events
            .as_ref()
            .map(|events| events.read_at(&mut buffer, 0));
        if !matches!(read, Some(Ok(_))) {
            self.run.oom_events = None;
        }
        self.tell_oom();
    }

    fn take_signals(&mut self) {
        while let Some(signal) = signal::take(&self.signals) {
            // The host is going down: let the container end in its own way. It is not the user who
            // stops it, so the next boot may start it.
            if signal == signal::SIGTERM {
                self.restarts.is_cancelled = true;
                self.tell_critical(|critical| critical.ended(true));
                let _ = self.kill(signal);
            }
        }
        while let Ok(Some(ended)) = signal::reap() {
            self.network.ports.has_ended(ended.pid);
            let task = self.tasks.iter_mut();
            let task = task
                .enumerate()
                .find(|(_, task)| task.pid == ended.pid && task.code.is_none());
            // The others are orphans that we have adopted.
            if let Some((index, task)) = task {
                task.ended(ended.code);
                if index == 0 {
                    self.run.finished = Some((Time::now(), Instant::now()));
                }
            }
        }
        self.tell_oom();
    }

    fn accept(&mut self) {
        let Some(listener) = &self.listener else {
            return;
        };
        match socket::accept(listener.as_fd()).and_then(Call::new) {
            Ok(call) => self.calls.push(call),
            Err(error) => {
                log::line(WHO, error);
                // Out of descriptors, most likely: whoever waits is still there the next time.
                std::thread::sleep(Duration::from_millis(10));
            }
        }
    }

    fn serve_call(&mut self, index: usize) {
        let Some(call) = self.calls.get_mut(index) else {
            return;
        };
        let Some((request, fds)) = call.receive(&mut self.buffer) else {
            return;
        };
        let is_watch = request.verb.as_deref() == Some("watch");
        let reply = self
            .answer(request, fds)
            .unwrap_or_else(|error| Reply::error(&error));
        if let Some(call) = self.calls.get_mut(index) {
            call.reply(&reply, is_watch);
        }
    }

    /// Signal the container's first process. Between two runs there is none; `advance` sees that
    /// the restart was called off.
    pub fn kill(&self, signal: i32) -> Result<()> {
        if self.waiting.is_some() {
            return Ok(());
        }
        // One that was never started has no handlers, and the first process of a pid namespace is
        // not harmed by a signal that it does not handle (pid_namespaces(7)).
        let signal = match self.run.started {
            None if signal != 0 => signal::SIGKILL,
            _ => signal,
        };
        self.backend.kill(&self.first()?.pidfd, signal)
    }

    /// The container's first process, if it lives.
    pub fn first(&self) -> Result<&Task> {
        let task = self.tasks.first().filter(|task| task.code.is_none());
        let id = self.config.id()?;
        task.ok_or_else(|| match self.waiting {
            Some(_) => Error::conflict(format!(
                "container {id} is restarting, wait until the container is running"
            )),
            None => Error::conflict(format!("container {id} is not running")),
        })
    }

    pub fn tell(&mut self, event: &Reply) {
        for call in &mut self.calls {
            call.tell(event);
        }
    }

    pub fn tell_oom(&mut self) {
        let kills = self.run.group.as_ref().map_or(0, Group::oom_kills);
        if kills > self.run.oom_kills {
            self.run.oom_kills = kills;
            self.tell(&Reply {
                event: Some("oom".to_string()),
                ..Default::default()
            });
        }
    }

    /// See what is over.
    fn advance(&mut self, now: Instant) {
        self.calls.retain(|call| !call.is_over);
        if let Some(log) = &mut self.log {
            log.sweep(now);
        }
        self.leaving.retain(|client| {
            !client.is_gone && client.deadline().is_some_and(|deadline| now < deadline)
        });
        for task in &mut self.tasks {
            task.sweep(now);
        }
        for index in (1..self.tasks.len()).rev() {
            if self.tasks.get(index).is_some_and(|task| task.is_over(now)) {
                self.end_exec(index);
            }
        }
        self.tend_health(now);
        self.tend_budget(now);
        self.tend_remedy(now);
        self.tell_critical(|critical| critical.tend(now));
        if self
            .network
            .deadline()
            .is_some_and(|deadline| deadline <= now)
        {
            self.network.serve_names();
        }
        match self.waiting {
            Some(_) if self.restarts.is_cancelled => self.call_off(),
            Some(until) if now >= until => self.again(),
            _ => {}
        }
        if let Some((_, finished)) = self.run.finished
            && self.listener.is_some()
        {
            self.end_stragglers();
            let is_over = self.tasks.first().is_some_and(|task| task.is_over(now));
            if is_over && (self.tasks.len() == 1 || now >= finished + STRAGGLER_MAX) {
                self.finish();
            }
        }
    }
}

/// What the loop waits for.
#[derive(Clone, Copy)]
enum Token {
    Signals,
    Oom,
    Devices,
    Ports,
    Names,
    Probe,
    Listener,
    Log,
    Call(usize),
    Task(usize, Part),
    Leaving(usize),
}
