//! What can change while the engine runs, and its end.

use crate::engine::boot::Boot;
use crate::engine::config::Settings;
use crate::engine::container::Container;
use crate::engine::stop::TIMEOUT_SECONDS;
use crate::engine::{Engine, lock, watch};
use crate::error::Kind;
use crate::sys::poll::Bell;
use rustix::event::PollFlags;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

impl Engine {
    /// Take new settings. Requests that are on their way end with the old ones.
    pub fn reload(&self, settings: Settings) {
        let attributes = [
            ("debug", self.is_debug().to_string()),
            ("default-runtime", settings.default_runtime.clone()),
            ("labels", settings.labels.join(",")),
            ("live-restore", settings.live_restore.to_string()),
            (
                "max-concurrent-downloads",
                settings.downloads_max.to_string(),
            ),
            (
                "max-download-attempts",
                settings.download_attempts_max.to_string(),
            ),
            (
                "insecure-registries",
                settings.insecure_registries.join(","),
            ),
            ("registry-mirrors", settings.registry_mirrors.join(",")),
            (
                "runtimes",
                settings
                    .runtimes
                    .keys()
                    .cloned()
                    .collect::<Vec<_>>()
                    .join(","),
            ),
        ];
        let timeout = settings
            .shutdown_timeout
            .map_or(-1, |t| t.as_secs().cast_signed());
        *lock(&self.settings) = Arc::new(settings);
        let mut attributes: crate::json::map::Map<String> = attributes
            .into_iter()
            .map(|(key, value)| (key.to_string(), value))
            .collect();
        attributes.insert("debug".to_string(), self.is_debug().to_string());
        attributes.insert("shutdown-timeout".to_string(), timeout.to_string());
        self.tell_daemon("reload", attributes);
    }

    /// Whether something is on its way that only this engine can bring to its end: work of its own,
    /// or clients that wait for a container's start.
    pub fn is_busy(&self) -> bool {
        watch::working() > 0
            || self
                .containers()
                .iter()
                .any(|container| container.has_pending())
    }

    /// Stop every container, those that were started last first, and wait until they have ended.
    /// After the time of `shutdown_timeout`, or when `hurry` can be read, the rest is killed. It was
    /// not their users who stopped them: the next engine starts those again that their policies
    /// want up.
    pub fn stop_all(self: &Arc<Engine>, hurry: BorrowedFd<'_>) {
        self.leave();
        let mut running = self.containers();
        running.retain(|container| container.lock().phase.is_up());
        running.sort_by(|a, b| b.lock().started_at.cmp(&a.lock().started_at));
        let timeout = self.settings().shutdown_timeout;
        let until = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let seconds = timeout.map_or(-1, |timeout| timeout.as_secs().cast_signed());
        let patience = |container: &Container| {
            // As long as its own time to stop allows, if that is shorter.
            let own = container.config.stop_timeout;
            own.filter(|own| seconds < 0 || (0..seconds).contains(own))
                .unwrap_or(seconds)
        };
        self.stop_these(&running, &patience, until, Some(hurry));
        self.not_by_users(&running);
    }

    /// Nothing starts by itself any more; the next engine begins as after a boot.
    fn leave(&self) {
        self.is_leaving.store(true, Ordering::Release);
        if let Err(error) = Boot::of(&self.options.exec_root).and_then(|boot| boot.again()) {
            self.note(error);
        }
    }

    /// The same in an order: a container is stopped before another where `is_before` says so, and has
    /// as long as it has for every stop. At `until` the rest is killed.
    pub fn stop_in_order(
        self: &Arc<Engine>,
        is_before: &dyn Fn(&Container, &Container) -> bool,
        until: Instant,
    ) {
        self.leave();
        let patience = |container: &Container| {
            let left = until.saturating_duration_since(Instant::now()).as_secs();
            let own = container.config.stop_timeout.filter(|own| *own >= 0);
            own.unwrap_or(TIMEOUT_SECONDS).min(left.cast_signed())
        };
        let mut left = self.containers();
        left.retain(|container| container.lock().phase.is_up());
        while !left.is_empty() {
            let is_free = |one: &Arc<Container>| {
                let mut others = left.iter().filter(|other| other.id != one.id);
                !others.any(|other| is_before(other, one))
            };
            let (mut wave, mut rest): (Vec<_>, Vec<_>) = left.iter().cloned().partition(is_free);
            // They are before each other.
            if wave.is_empty() {
                std::mem::swap(&mut wave, &mut rest);
            }
            self.stop_these(&wave, &patience, Some(until), None);
            self.not_by_users(&wave);
            left = rest;
        }
    }

    /// They were stopped, but their users want them up.
    fn not_by_users(&self, stopped: &[Arc<Container>]) {
        for container in stopped {
            container.update(|state| state.is_stopped = false);
            self.persist(container);
        }
    }

    /// A container has as many seconds as `patience` says; -1 is as long as it takes.
    fn stop_these(
        self: &Arc<Engine>,
        running: &[Arc<Container>],
        patience: &dyn Fn(&Container) -> i64,
        until: Option<Instant>,
        hurry: Option<BorrowedFd<'_>>,
    ) {
        let Ok(bell) = Bell::new() else { return };
        let (bell, left) = (Arc::new(bell), Arc::new(AtomicUsize::new(running.len())));
        for container in running {
            let seconds = patience(container);
            let (engine, container) = (Arc::clone(self), Arc::clone(container));
            let (bell, left) = (Arc::clone(&bell), Arc::clone(&left));
            let spawned = watch::thread("stop", move || {
                engine.stop_for_good(&container, seconds);
                left.fetch_sub(1, Ordering::AcqRel);
                bell.ring();
            });
            if let Err(error) = spawned {
                self.note(error);
                return;
            }
        }
        while left.load(Ordering::Acquire) > 0 {
            bell.clear();
            let limit = until.map(|until| until.saturating_duration_since(Instant::now()));
            let mut fds = vec![(bell.as_fd(), PollFlags::IN)];
            fds.extend(hurry.map(|hurry| (hurry, PollFlags::IN)));
            let ready = crate::sys::poll::wait(&fds, limit).unwrap_or_default();
            let is_told = ready.get(1).is_some_and(|flags| !flags.is_empty());
            if is_told || limit == Some(Duration::ZERO) {
                for container in running {
                    let _ = self.kill(container, None);
                }
                return;
            }
        }
    }

    fn stop_for_good(&self, container: &Container, seconds: i64) {
        match self.stop(container, None, Some(seconds)) {
            Err(error) if error.kind != Kind::NotModified => {
                self.note(format_args!("stop {}: {error}", container.name()));
            }
            _ => {}
        }
    }
}
