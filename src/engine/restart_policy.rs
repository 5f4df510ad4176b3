//! Restart policies: what becomes of a container whose shim was lost or whose host has come back.
//! In between the shim sees to it (`shim::policy`).

use crate::engine::boot::Boot;
use crate::engine::container::{Container, Phase};
use crate::engine::start_order::Order;
use crate::engine::{Engine, lock, watch};
use crate::error::{Kind, Result};
use crate::shim::exit::Exit;
use crate::shim::policy::Restarts;
use crate::time::{self, Time};
use crate::wire::container::HostConfig;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

/// So many containers are started at a time when the host has come back.
const STARTERS: usize = 4;

impl Engine {
    /// The shim of a container that is up hears of a policy that `update` has recorded.
    pub(super) fn tell_restart_policy(
        &self,
        container: &Container,
        host: &HostConfig,
    ) -> Result<()> {
        let shim = {
            let state = container.lock();
            state.shim.clone().filter(|_| state.phase.is_up())
        };
        let policy = host.restart_policy.clone().unwrap_or_default();
        let remedy = host.health_on_failure.as_deref();
        match shim.map(|shim| shim.set_restart_policy(&policy, remedy)) {
            // It has just ended.
            Some(Err(error)) if error.kind == Kind::Gone => Ok(()),
            Some(told) => told,
            None => Ok(()),
        }
    }

    /// A container's shim was lost, and nothing of the container is left. `exit` is its end, as we
    /// have to tell it; a new shim starts it again if its policy says so.
    pub(super) fn ended_by_loss(self: &Arc<Engine>, container: &Arc<Container>, mut exit: Exit) {
        let policy = container.restart_policy();
        let delay = {
            let state = container.lock();
            let ran = match (
                Time::parse(&state.started_at),
                Time::parse(&exit.finished_at),
            ) {
                (Ok(started), Ok(finished)) => finished.since(started),
                _ => Default::default(),
            };
            let mut restarts = Restarts::resume(policy, exit.restarts.unwrap_or(state.restarts));
            restarts.is_stopped = state.is_stopped;
            restarts.is_cancelled = state.is_halting || state.is_restarting;
            let delay = restarts.after(exit.code.into(), ran);
            exit.restarts = Some(restarts.count);
            delay
        };
        exit.will_restart = Some(delay.is_some());
        self.ended(container, &exit);
        let Some(delay) = delay else { return };
        let (engine, container) = (Arc::clone(self), Arc::clone(container));
        let spawned = watch::thread("resume", move || {
            if let Err(error) = engine.resume(&container, &exit, delay) {
                engine.note(format_args!("container {}: {error}", container.id));
                let last = Exit {
                    error: error.message.clone(),
                    will_restart: Some(false),
                    ..exit
                };
                engine.ended(&container, &last);
            }
        });
        if let Err(error) = spawned {
            self.note(error);
        }
    }

    /// Start what its policy wants up after a boot: each container in its turn (see `start_order`),
    /// a few at a time, while the engine serves already.
    pub(super) fn start_after_boot(self: &Arc<Engine>, boot: Boot, except: &[String]) {
        let mut wanted = self.containers();
        wanted.retain(|container| {
            if except.contains(&container.name()) {
                return false;
            }
            let policy = container.restart_policy();
            let state = container.lock();
            !self.is_aside(&container.id)
                && state.started_at != time::NEVER
                && state.phase == Phase::Exited
                && policy.wants_at_boot(state.exit_code, state.is_stopped, state.restarts)
        });
        let threads = wanted.len().min(STARTERS);
        let order = Order::of(self, wanted);
        let work = Arc::new((order, Mutex::new(threads), boot));
        if threads == 0 {
            self.boot_done(&work.2);
        }
        for _ in 0..threads {
            let (engine, work) = (Arc::clone(self), Arc::clone(&work));
            let spawned = watch::thread("boot", move || {
                let (order, threads, boot) = &*work;
                let is_over = || engine.is_leaving.load(Ordering::Acquire);
                while let Some(container) = order.next(&is_over) {
                    let name = container.name();
                    for complaint in order.complaints(&container) {
                        engine.note(format_args!(
                            "start {name} after boot all the same: {complaint}"
                        ));
                    }
                    engine.start_for_boot(&container);
                    order.done(&container);
                }
                let mut left = lock(threads);
                *left -= 1;
                if *left == 0 {
                    engine.boot_done(boot);
                }
            });
            if let Err(error) = spawned {
                self.note(error);
            }
        }
    }

    /// Start now what was held (`Options::holds_starts`), but for those that somebody else starts.
    pub fn start_held(self: &Arc<Engine>, except: &[String]) {
        let held = lock(&self.held).take();
        if let Some(boot) = held {
            self.start_after_boot(boot, except);
        }
    }

    fn start_for_boot(self: &Arc<Engine>, container: &Arc<Container>) {
        match self.start(container) {
            // The user was faster.
            Err(error) if error.kind == Kind::NotModified => {}
            Err(error) => self.note(format_args!(
                "start {} after boot: {error}",
                container.name()
            )),
            Ok(()) => {}
        }
    }

    fn boot_done(&self, boot: &Boot) {
        // The next engine begins like one after a boot.
        if self.is_leaving.load(Ordering::Acquire) {
            return;
        }
        if let Err(error) = boot.done() {
            self.note(error);
        }
    }
}
