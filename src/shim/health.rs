//! Health checks: a command that is run in the container from time to time, and what it has found.
//!
//! Docker's rules (moby, daemon/health.go). The command is one of the shim's tasks; its process is
//! read from `health.json` by the helper that starts it, so that between two checks the shim holds
//! no more than the last results. A native probe (`probe`) is no process.

use crate::error::{Context, Result};
use crate::json;
use crate::oci::image::HealthConfig;
use crate::oci::spec::Process;
use crate::shim::helper::{self, Made};
use crate::shim::message::Reply;
use crate::shim::probe::run::Probing;
use crate::shim::probe::{self, Probe};
use crate::shim::serve::Supervisor;
use crate::shim::task::{Streams, Task};
use crate::sys::{fs, poll, process, signal};
use crate::time::Time;
use crate::wire::container::{Health as Found, HealthResult};
use rustix::event::PollFlags;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

/// The command of the checks, in the run directory.
pub const FILE: &str = "health.json";

/// Docker's defaults; see the API reference, HealthConfig.
const INTERVAL: Duration = Duration::from_secs(30);
const TIMEOUT: Duration = Duration::from_secs(30);
const START_INTERVAL: Duration = Duration::from_secs(5);
const RETRIES: i64 = 3;

/// What is kept of a check's output, and of how many checks.
const OUTPUT_BYTES_MAX: usize = 4096;
const RESULTS_MAX: usize = 5;

const STARTING: &str = "starting";
const HEALTHY: &str = "healthy";
const UNHEALTHY: &str = "unhealthy";

/// The exit code of a check that did not run or took too long.
const NO_CODE: i64 = -1;

/// The code of a process that SIGKILL has ended.
const KILLED: i64 = 137;

pub struct Health {
    interval: Duration,
    timeout: Duration,
    start_period: Duration,
    start_interval: Duration,
    retries: i64,
    status: &'static str,
    streak: i64,
    results: Vec<HealthResult>,
    /// When the program was started.
    started: Instant,
    /// When the next check begins; `None` while one runs, and while there is nothing to check.
    next: Option<Instant>,
    /// What is checked in place of a command.
    pub probe: Option<Probe>,
    /// Such a check that has begun.
    pub probing: Option<Probing>,
}

/// A check that runs: its task's output goes here.
pub struct Check {
    began: Time,
    elapsed: Duration,
    output: Vec<u8>,
    is_cut: bool,
    until: Instant,
    pub is_late: bool,
}

impl Check {
    pub fn keep(&mut self, bytes: &[u8]) {
        let room = OUTPUT_BYTES_MAX - self.output.len();
        self.is_cut |= bytes.len() > room;
        let kept = bytes.get(..room).unwrap_or(bytes);
        self.output.extend_from_slice(kept);
    }

    /// When it will have taken too long; `None` once that is known.
    pub fn deadline(&self) -> Option<Instant> {
        (!self.is_late).then_some(self.until)
    }

    fn result(self, code: i64, timeout: Duration) -> HealthResult {
        let mut output = String::from_utf8_lossy(&self.output).into_owned();
        if self.is_cut {
            output.push_str("...");
        }
        let late = format!("Health check exceeded timeout ({})", in_go(timeout));
        let (code, output) = match (self.is_late, output.is_empty()) {
            (false, _) => (code, output),
            (true, true) => (NO_CODE, late),
            (true, false) => (NO_CODE, format!("{late}: {output}")),
        };
        HealthResult {
            start: Some(self.began.rfc3339()),
            end: Some(Time::now().rfc3339()),
            exit_code: Some(code),
            output: Some(output),
        }
    }
}

impl Health {
    pub fn new(config: &HealthConfig) -> Health {
        let span = |nanos: Option<i64>, default: Duration| match nanos {
            None | Some(0) => default,
            Some(nanos) => Duration::from_nanos(nanos.try_into().unwrap_or(0)),
        };
        Health {
            interval: span(config.interval, INTERVAL),
            timeout: span(config.timeout, TIMEOUT),
            start_period: span(config.start_period, Duration::ZERO),
            start_interval: span(config.start_interval, START_INTERVAL),
            retries: config.retries.filter(|n| *n > 0).unwrap_or(RETRIES),
            status: STARTING,
            streak: 0,
            results: Vec::new(),
            started: Instant::now(),
            next: None,
            probe: probe::of(config.test.as_deref()).and_then(Result::ok),
            probing: None,
        }
    }

    /// The program has been started.
    pub fn begin(&mut self, now: Instant) {
        self.status = STARTING;
        self.streak = 0;
        self.started = now;
        self.plan(now);
    }

    /// The program has ended. Docker calls that unhealthy.
    pub fn end(&mut self) {
        self.status = UNHEALTHY;
        self.next = None;
        self.probing = None;
    }

    pub fn plan(&mut self, now: Instant) {
        let is_early = now.saturating_duration_since(self.started) < self.start_period;
        let interval = match is_early && self.status == STARTING {
            true => self.start_interval,
            false => self.interval,
        };
        self.next = now.checked_add(interval);
    }

    pub fn deadline(&self) -> Option<Instant> {
        let probing = self.probing.as_ref().and_then(Probing::deadline);
        self.next.into_iter().chain(probing).min()
    }

    /// How long it may be before it is known to be well or ill.
    pub fn patience(&self) -> Duration {
        let tries = u32::try_from(self.retries).unwrap_or(u32::MAX);
        let check = self.interval.saturating_add(self.timeout);
        self.start_period
            .saturating_add(check.saturating_mul(tries))
    }

    /// Take a check's result in, which began so long after the start. True if the status is another
    /// now.
    fn take(&mut self, result: HealthResult, began_after: Duration) -> bool {
        let is_good = result.exit_code == Some(0);
        if self.results.len() >= RESULTS_MAX {
            self.results.remove(0);
        }
        self.results.push(result);

        let before = self.status;
        if is_good {
            self.streak = 0;
            self.status = HEALTHY;
        } else if before != STARTING || began_after >= self.start_period {
            self.streak += 1;
            if self.streak >= self.retries {
                self.status = UNHEALTHY;
            }
        }
        self.status != before
    }

    /// For whom it concerns, with the results or without.
    pub fn found(&self, with_results: bool) -> Found {
        Found {
            status: Some(self.status.to_string()),
            failing_streak: Some(self.streak),
            log: with_results.then(|| self.results.clone()),
        }
    }
}

impl Supervisor {
    /// Begin a check that is due, and end one that takes too long.
    pub fn tend_health(&mut self, now: Instant) {
        for task in &mut self.tasks {
            let is_alive = task.code.is_none();
            if let Some(check) = &mut task.check
                && check.deadline().is_some_and(|until| now >= until)
            {
                check.is_late = is_alive;
                let _ = process::signal(&task.pidfd, signal::SIGKILL);
            }
        }
        self.tend_probe(now);
        let Some(health) = &mut self.health else {
            return;
        };
        if health.next.is_none_or(|next| now < next) {
            return;
        }
        // Nothing is checked while the container is paused.
        if !self.run.may_check() {
            return health.plan(now);
        }
        health.next = None;
        let mut check = Check {
            began: Time::now(),
            elapsed: now.saturating_duration_since(health.started),
            output: Vec::new(),
            is_cut: false,
            until: now + health.timeout,
            is_late: false,
        };
        if health.probe.is_some() {
            self.begin_probe(check, now);
            return self.tend_probe(now);
        }
        match self.begin_check() {
            Ok((made, streams)) => {
                let mut task = Task::new(String::new(), made.pid, made.pidfd, streams);
                task.check = Some(check);
                self.tasks.push(task);
            }
            Err(error) => {
                check.keep(error.message.as_bytes());
                self.end_check(check, NO_CODE);
            }
        }
    }

    fn begin_check(&self) -> Result<(Made, Streams)> {
        let (io, streams) = Streams::pipes(false, true)?;
        let made = helper::make(None, || {
            let path = self.run_dir.join(FILE);
            let text = fs::read(&path)?;
            let mut process: Process =
                json::parse_bytes(&text, FILE).context(|| format!("read {}", path.display()))?;
            process.oom_score_adj = process.oom_score_adj.or(self.oom_score_adj);
            self.backend.exec(&process, io).map(Made::from)
        })?;
        Ok((made, streams))
    }

    /// A check is over, one way or the other.
    pub fn end_check(&mut self, check: Check, code: i64) {
        let may_check = self.run.may_check() && !self.is_ending(&check, code);
        let Some(health) = &mut self.health else {
            return;
        };
        // One that ended because the container was paused or ended has found nothing.
        if !may_check {
            return health.plan(Instant::now());
        }
        let elapsed = check.elapsed;
        let result = check.result(code, health.timeout);
        let is_news = health.take(result, elapsed);
        let now = Instant::now();
        health.plan(now);
        let status = health.status;
        if is_news {
            let found = health.found(false);
            self.tell(&Reply {
                event: Some("health".to_string()),
                health: Some(found),
                ..Default::default()
            });
            self.tell_critical(|critical| critical.checked(status == HEALTHY));
        }
        if status == UNHEALTHY {
            self.remedy(now);
        }
    }
}

impl Supervisor {
    /// With a container's first process the kernel kills its checks too, and we see their end before
    /// that one's: it is over only when all others are (pid_namespaces(7)). Nor can one begin then.
    fn is_ending(&self, check: &Check, code: i64) -> bool {
        if check.is_late || !matches!(code, KILLED | NO_CODE) {
            return false;
        }
        let Ok(first) = self.first() else { return true };
        let fds = [(first.pidfd.as_fd(), PollFlags::IN)];
        let ready = poll::wait(&fds, Some(Duration::from_millis(100)));
        ready.is_ok_and(|ready| ready.iter().any(|events| !events.is_empty()))
    }
}

/// As Go writes a span of time: `500ms`, `30s`, `1m30s`.
fn in_go(span: Duration) -> String {
    let decimals = |whole: u64, fraction: u32, digits: usize| {
        let fraction = format!("{fraction:0digits$}");
        let text = format!("{whole}.{}", fraction.trim_end_matches('0'));
        text.trim_end_matches('.').to_string()
    };
    let (seconds, nanos) = (span.as_secs(), span.subsec_nanos());
    if seconds == 0 {
        return decimals((nanos / 1_000_000).into(), nanos % 1_000_000, 6) + "ms";
    }
    let rest = decimals(seconds % 60, nanos, 9) + "s";
    match (seconds / 3600, seconds / 60 % 60) {
        (0, 0) => rest,
        (0, minutes) => format!("{minutes}m{rest}"),
        (hours, minutes) => format!("{hours}h{minutes}m{rest}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000_000;

    fn health(config: HealthConfig) -> Health {
        Health::new(&config)
    }

    fn result(code: i64) -> HealthResult {
        HealthResult {
            exit_code: Some(code),
            ..Default::default()
        }
    }

    #[test]
    fn what_is_not_said_is_dockers_default() {
        let health = health(HealthConfig::default());
        assert_eq!(health.interval, INTERVAL);
        assert_eq!(health.timeout, TIMEOUT);
        assert_eq!(health.start_period, Duration::ZERO);
        assert_eq!(health.start_interval, START_INTERVAL);
        assert_eq!(health.retries, RETRIES);
    }

    #[test]
    fn the_status_follows_the_results() {
        let mut health = health(HealthConfig {
            retries: Some(2),
            ..Default::default()
        });
        let after = Duration::from_secs(100);
        for (code, status, streak, is_news) in [
            (1, STARTING, 1, false),
            (1, UNHEALTHY, 2, true),
            (-1, UNHEALTHY, 3, false),
            (0, HEALTHY, 0, true),
            (0, HEALTHY, 0, false),
            (7, HEALTHY, 1, false),
            (7, UNHEALTHY, 2, true),
        ] {
            assert_eq!(health.take(result(code), after), is_news, "{code}");
            assert_eq!((health.status, health.streak), (status, streak), "{code}");
        }
        let codes: Vec<Option<i64>> = health.results.iter().map(|r| r.exit_code).collect();
        assert_eq!(codes, [Some(-1), Some(0), Some(0), Some(7), Some(7)]);
    }

    #[test]
    fn failures_while_it_starts_do_not_count() {
        let mut health = health(HealthConfig {
            retries: Some(1),
            start_period: Some(10 * SECOND),
            ..Default::default()
        });
        health.take(result(1), Duration::from_secs(9));
        assert_eq!((health.status, health.streak), (STARTING, 0));
        // A success ends the start: from here on they count.
        health.take(result(0), Duration::from_secs(2));
        health.take(result(1), Duration::from_secs(3));
        assert_eq!((health.status, health.streak), (UNHEALTHY, 1));
    }

    #[test]
    fn checks_come_sooner_while_it_starts() {
        let mut health = health(HealthConfig {
            interval: Some(30 * SECOND),
            start_period: Some(10 * SECOND),
            start_interval: Some(SECOND),
            ..Default::default()
        });
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        health.begin(start);
        assert_eq!(health.next, Some(after(1)));
        health.plan(after(2));
        assert_eq!(health.next, Some(after(3)));
        health.plan(after(10));
        assert_eq!(health.next, Some(after(40)));
        health.take(result(0), Duration::ZERO);
        health.plan(after(2));
        assert_eq!(health.next, Some(after(32)));
    }

    #[test]
    fn output_is_cut_and_lateness_told() {
        let check = || Check {
            began: Time::now(),
            elapsed: Duration::ZERO,
            output: Vec::new(),
            is_cut: false,
            until: Instant::now(),
            is_late: false,
        };
        let timeout = Duration::from_millis(1500);
        let mut long = check();
        long.keep(&[b'x'; 4000]);
        long.keep(&[b'y'; 4000]);
        long.keep(b"z");
        let result = long.result(3, timeout);
        let expected = "x".repeat(4000) + &"y".repeat(96) + "...";
        assert_eq!(result.output, Some(expected));
        assert_eq!(result.exit_code, Some(3));

        let mut late = check();
        late.is_late = true;
        let result = late.result(137, timeout);
        assert_eq!(result.exit_code, Some(-1));
        let text = "Health check exceeded timeout (1.5s)";
        assert_eq!(result.output.as_deref(), Some(text));
        let mut late = check();
        late.is_late = true;
        late.keep(b"half");
        let result = late.result(137, timeout);
        assert_eq!(result.output, Some(format!("{text}: half")));
    }

    #[test]
    fn spans_read_as_in_go() {
        for (millis, text) in [
            (1, "1ms"),
            (500, "500ms"),
            (1000, "1s"),
            (1500, "1.5s"),
            (90_000, "1m30s"),
            (3_600_000, "1h0m0s"),
        ] {
            assert_eq!(in_go(Duration::from_millis(millis)), text);
        }
    }
}
