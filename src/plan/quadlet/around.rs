//! What systemd would do around a container: `[Unit]` and `[Service]`.

use super::{Reading, stem};
use crate::error::{Error, Result};
use crate::plan::{Condition, Until, unit};
use std::path::Path;

/// Units of the system that are long there when a plan is worked off.
const EARLY: [&str; 8] = [
    "basic.target",
    "default.target",
    "local-fs.target",
    "multi-user.target",
    "network-pre.target",
    "network.target",
    "podman.socket",
    "sysinit.target",
];

impl Reading<'_> {
    pub(super) fn of_unit(&mut self, key: &str, values: &[&str]) -> Result<()> {
        for word in self.words(values)? {
            let is_needed = matches!(key, "Requires" | "BindsTo" | "Requisite");
            match (key, self.other_unit(&word)) {
                (_, true) => {}
                ("Before", _) => self.draft.before.push(stem(&word).to_string()),
                _ if stem(&word) == word => {
                    self.note("Unit", key, &format!("there is no {word} here"));
                }
                _ => self.draft.wish(&word, is_needed),
            }
        }
        Ok(())
    }

    /// What is no container: a condition, or there anyway. Whether it is such.
    fn other_unit(&mut self, unit: &str) -> bool {
        let (name, kind) = unit.rsplit_once('.').unwrap_or((unit, ""));
        let path = || Path::new("/").join(unit::unescape(name).trim_start_matches('/'));
        let condition = match kind {
            _ if unit == "network-online.target" => Condition::Network,
            _ if matches!(unit, "time-sync.target" | "time-set.target") => Condition::Clock,
            "mount" => Condition::Mount(path()),
            "device" => Condition::Device(path()),
            _ => {
                let is_made = matches!(kind, "volume" | "network")
                    || kind == "service"
                        && (name.ends_with("-volume") || name.ends_with("-network"));
                return is_made || EARLY.contains(&unit);
            }
        };
        if !self.draft.conditions.contains(&condition) {
            self.draft.conditions.push(condition);
        }
        true
    }

    /// systemd looks once and leaves a unit out; we wait.
    pub(super) fn condition(&mut self, key: &str, value: &str) -> Result<()> {
        let path = Path::new(value).to_path_buf();
        let condition = match key {
            "ConditionPathExists" => Condition::Device(path),
            "ConditionPathIsMountPoint" => Condition::Mount(path),
            _ => return Err(Error::invalid("this cannot be waited for")),
        };
        if !value.starts_with('/') {
            return Err(Error::invalid(format!("{value:?} is no absolute path")));
        }
        self.draft.conditions.push(condition);
        Ok(())
    }

    pub(super) fn of_service(&mut self, key: &str, values: &[&str]) -> Result<()> {
        let last = values.last().copied().unwrap_or_default();
        match (key, last) {
            ("Type", "oneshot") => {
                self.draft.until = Until::Completed;
                if self.unit.last("Service", "Restart").is_none() {
                    self.draft.option("restart", "no");
                }
            }
            ("Restart", "no" | "always") => self.draft.option("restart", last),
            ("Restart", "on-success") => {
                return Err(Error::invalid("on-success cannot be had here"));
            }
            ("Restart", _) => self.draft.option("restart", "on-failure"),
            ("TimeoutStartSec", _) => self.draft.timeout = unit::span(last)?,
            ("CPUQuota", _) => {
                let percent = last.strip_suffix('%').and_then(|p| p.parse::<u32>().ok());
                let percent = percent.ok_or_else(|| Error::invalid("a percentage is wanted"))?;
                let cpus = format!("{}.{:02}", percent / 100, percent % 100);
                self.draft.option("cpus", &cpus);
            }
            _ => {}
        }
        Ok(())
    }
}
