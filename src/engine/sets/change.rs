//! A change from the moment on when its record is written: switch, try, and keep it or go back.

use super::{COMMITTED, Claim, FAILED, ROLLING_BACK, TRYING, Verdict, record};
use crate::engine::container::Container;
use crate::engine::remove::Removal;
use crate::engine::start_order::Order;
use crate::engine::{Engine, watch};
use crate::error::{Error, Kind, Result};
use crate::shim::config::Config;
use crate::shim::reboot;
use crate::sys::poll;
use crate::wire::set::{Member, Set};
use rustix::event::PollFlags;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// How long a commit that the disk has no room for waits before it is tried again.
const PAUSE: Duration = Duration::from_secs(5);

pub(super) struct Change {
    pub engine: Arc<Engine>,
    pub set: Set,
    pub claim: Arc<Claim>,
}

/// What a part of the change has come to.
pub(super) enum End {
    Good,
    Bad(String),
    /// The engine ends; the next one goes on.
    Leaving,
}

impl Engine {
    /// Bring the change that `set` tells of to its end, in a thread.
    pub(super) fn conduct(self: &Arc<Engine>, set: Set, claim: Arc<Claim>) -> Result<()> {
        let mut change = Change {
            engine: Arc::clone(self),
            set,
            claim: Arc::clone(&claim),
        };
        let spawned = watch::thread("set", move || {
            change.run();
            change.claim.release();
        });
        spawned.inspect_err(|_| claim.release())
    }
}

impl Engine {
    /// Remove what a set has no use of any more; absent is fine.
    pub(super) fn remove_member(&self, id: &str) -> Result<()> {
        self.take_back(id);
        let Ok(container) = self.find(id) else {
            return Ok(());
        };
        match self.remove(&container, Removal::ALL) {
            Err(error) if error.kind == Kind::NotFound => Ok(()),
            removed => removed,
        }
    }
}

impl Change {
    fn run(&mut self) {
        let end = match self.set.state() {
            COMMITTED => return self.clear_away(),
            ROLLING_BACK => return self.go_back(),
            FAILED => match self.claim.verdict() {
                Some(Verdict::Commit) => End::Good,
                _ => End::Bad("rolled back by hand".to_string()),
            },
            // All were started already, by an engine before us perhaps.
            _ if self.set.deadline.is_some() => self.try_out(),
            _ => match self.switch() {
                End::Good => self.try_out(),
                other => other,
            },
        };
        match end {
            End::Good => self.commit(),
            End::Bad(why) => self.fail(&why),
            End::Leaving => {}
        }
    }

    /// The old go, the new come. Each step can be done again.
    fn switch(&mut self) -> End {
        let members = self.changed();
        let down = members.iter().rev().filter_map(|m| m.previous.clone());
        for id in down.collect::<Vec<String>>() {
            self.stop(&id);
        }
        if let Err(error) = self.engine.name_members(&self.set) {
            return End::Bad(error.to_string());
        }
        let up = members.iter().filter_map(|member| member.id.as_deref());
        self.start(up)
    }

    fn start<'a>(&self, ids: impl Iterator<Item = &'a str>) -> End {
        let mut wanted: Vec<Arc<Container>> =
            ids.filter_map(|id| self.engine.find(id).ok()).collect();
        // Those that were made last are started last.
        wanted.reverse();
        let order = Order::of(&self.engine, wanted);
        let is_over = || self.is_leaving() || self.claim.verdict() == Some(Verdict::Rollback);
        while let Some(container) = order.next(&is_over) {
            let name = container.name();
            if let Some(complaint) = order.complaints(&container).first() {
                return End::Bad(format!("{name} needs more than there is: {complaint}"));
            }
            match self.engine.start(&container) {
                Err(error) if error.kind != Kind::NotModified => {
                    return End::Bad(format!("start {name}: {error}"));
                }
                _ => self.step(&format!("{name}: started")),
            }
            order.done(&container);
        }
        match self.claim.verdict() {
            _ if self.is_leaving() => End::Leaving,
            Some(Verdict::Rollback) => End::Bad("rolled back by hand".to_string()),
            _ => End::Good,
        }
    }

    /// There is no way back from here on: the record says so first.
    fn commit(&mut self) {
        let mut set = self.set.clone();
        record::close(&mut set, COMMITTED);
        while let Err(error) = self.engine.save_set(&set) {
            self.step(&format!(
                "all are well, but that cannot be recorded: {error}"
            ));
            // Until there is room again the set stays on trial.
            let bell = [(self.claim.bell.as_fd(), PollFlags::IN)];
            let _ = poll::wait(&bell, Some(PAUSE));
            self.claim.bell.clear();
            if self.is_leaving() {
                return;
            }
            if self.claim.verdict() == Some(Verdict::Rollback) {
                return self.roll_back("rolled back by hand");
            }
        }
        self.set = set;
        self.step("committed");
        self.clear_away();
    }

    /// Remove what the record gives no name to any more.
    fn clear_away(&mut self) {
        for member in self.changed() {
            if let Some(id) = member.previous {
                self.remove(&id);
            }
        }
    }

    fn fail(&mut self, why: &str) {
        let is_by_hand = self.claim.verdict().is_some();
        if self.set.on_fail.as_deref() != Some("keep") || is_by_hand {
            return self.roll_back(why);
        }
        self.step(&format!("failed: {why}"));
        self.step("kept as it is: end it with 'tug apply commit' or 'tug apply rollback'");
        self.set.state = Some(FAILED.to_string());
        self.set.reason = Some(why.to_string());
        self.save();
    }

    fn roll_back(&mut self, why: &str) {
        self.step(&format!("rolling back: {why}"));
        self.set.state = Some(ROLLING_BACK.to_string());
        self.set.reason = Some(why.to_string());
        // The way back is the right one even if it cannot be recorded: what the disk says until
        // then is that the set is on trial, which ends in the same way.
        self.save();
        let is_by_hand = self.claim.verdict().is_some();
        if self.set.on_fail.as_deref() == Some("reboot") && !is_by_hand {
            match self.ask_for_reboot() {
                Ok(()) => return self.step("the machine reboots, and comes up as it was before"),
                Err(error) => self.step(&format!("no reboot: {error}")),
            }
        }
        self.go_back();
    }

    /// As for a container that is ill: there is one limit for both.
    fn ask_for_reboot(&self) -> Result<()> {
        reboot::ask(&Config {
            data_root: Some(self.engine.options.data_root.display().to_string()),
            name: Some(format!("of set {}", self.set.name())),
            ..Config::default()
        })
    }

    /// Bring back what was there before. Each step can be done again.
    fn go_back(&mut self) {
        let members = self.changed();
        for id in members.iter().rev().filter_map(|m| m.id.as_deref()) {
            self.stop(id);
        }
        let named = self.engine.name_members(&self.set);
        let up = members.iter().filter(|m| m.was_up == Some(true));
        let started = self.start_previous(up.filter_map(|m| m.previous.as_deref()));
        if !started {
            return;
        }
        if let Err(error) = named {
            // The record keeps what the containers' own could not take in.
            return self.step(&error.message);
        }
        let fresh = members.iter().filter_map(|m| m.id.clone());
        for id in fresh.collect::<Vec<String>>() {
            self.remove(&id);
        }
        record::close(&mut self.set, "rolled back");
        let members = self.set.members.get_or_insert_default();
        members.retain(|member| member.previous.is_some());
        for member in members {
            if member.is_changed() {
                member.image = None;
            }
            member.id.clone_from(&member.previous);
        }
        self.save();
        self.step("rolled back");
    }

    /// Whatever can be started of what was there. False: the next engine goes on.
    fn start_previous<'a>(&self, ids: impl Iterator<Item = &'a str>) -> bool {
        for id in ids {
            let Ok(container) = self.engine.find(id) else {
                self.step(&format!("container {id} is not there any more"));
                continue;
            };
            if self.is_leaving() {
                return false;
            }
            match self.engine.start(&container) {
                Err(error) if error.kind != Kind::NotModified => {
                    self.step(&format!("start {}: {error}", container.name()));
                }
                _ => self.step(&format!("{}: started", container.name())),
            }
        }
        true
    }

    fn stop(&self, id: &str) {
        let Ok(container) = self.engine.find(id) else {
            return;
        };
        if !container.is_running() {
            return;
        }
        match self.engine.stop(&container, None, None) {
            Err(error) if error.kind != Kind::NotModified => {
                self.step(&format!("stop {}: {error}", container.name()));
            }
            _ => self.step(&format!("{}: stopped", container.name())),
        }
    }

    fn remove(&self, id: &str) {
        // What stays all the same goes at the next change, or the next start of an engine.
        let removed = self.engine.remove_member(id);
        if let Err(error) = removed.or_else(|_| self.engine.remove_member(id)) {
            self.step(&error.message);
        }
    }

    /// The members that the change is about.
    pub(super) fn changed(&self) -> Vec<Member> {
        let members = self.set.members().iter();
        members
            .filter(|member| member.is_changed())
            .cloned()
            .collect()
    }

    fn save(&self) {
        if let Err(error) = self.engine.save_set(&self.set) {
            self.step(&error.message);
        }
    }

    pub(super) fn is_leaving(&self) -> bool {
        self.engine.is_leaving.load(Ordering::Acquire)
    }

    /// For those who look on, and the log.
    pub(super) fn step(&self, text: &str) {
        self.claim.step(text);
        self.engine
            .info_line(format_args!("set {}: {text}", self.set.name()));
    }
}

impl Claim {
    pub(super) fn step(&self, text: &str) {
        crate::engine::lock(&self.steps).push(text.to_string());
    }
}

/// For a record that is about to be tried.
pub(super) fn trying(set: &mut Set) -> Result<()> {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id");
    let id = id.map_err(|e| Error::io("read boot_id", &e))?;
    set.boot_id = Some(id.trim().to_string());
    set.state = Some(TRYING.to_string());
    set.deadline = None;
    set.reason = None;
    Ok(())
}
