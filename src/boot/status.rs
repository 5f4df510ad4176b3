//! What became of each part of a boot, for people and for the next pass.

use crate::boot::dir;
use crate::error::Result;
use crate::json;
use crate::json::value::json_struct;
use crate::store::record;
use crate::sys::clock;
use std::path::Path;

/// The pass's file, PID 1's, and what waits.
pub const ENTRIES: &str = "status.json";
pub const MACHINE: &str = "machine.json";
pub const PENDING: &str = "pending";

json_struct! {
    #[derive(Clone, Debug, Default)]
    pub struct Status {
        pub rows: Option<Vec<Row>> = "entries",
    }

    #[derive(Clone, Debug, Default, PartialEq)]
    pub struct Row {
        pub name: String,
        /// `machine`, `onboot`, `service`, `onshutdown`.
        pub phase: String,
        pub state: String,
        /// When it came to that, in milliseconds since the machine was started.
        pub since_boot_ms: u64,
        /// Empty where all is well.
        pub why: String,
        /// The container, where there is one.
        pub container: String,
        /// Of what it was made: see `pass`.
        pub made_of: String,
    }
}

/// States that need no explanation.
pub const RUNNING: &str = "running";
pub const COMPLETED: &str = "completed";
pub const DONE: &str = "done";
/// And those that have one.
pub const WAITING: &str = "waiting";
pub const FAILED: &str = "failed";
pub const BROKEN: &str = "broken";

impl Status {
    /// What has been noted in this boot.
    pub fn load(exec_root: &Path, name: &str) -> Status {
        let found = record::load(&dir(exec_root), name).ok().flatten();
        let text = found.and_then(|bytes| String::from_utf8(bytes).ok());
        let read = text.and_then(|text| json::parse(&text, name).ok());
        read.unwrap_or_default()
    }

    pub fn save(&self, exec_root: &Path, name: &str) -> Result<()> {
        let text = json::to_string(self);
        // A line an entry, for whoever has nothing but cat.
        let text = text.replace("},{", "},\n{").replace("[{", "[\n{");
        record::replace_unsynced(&dir(exec_root), name, text.as_bytes())
    }

    pub fn rows(&self) -> &[Row] {
        self.rows.as_deref().unwrap_or_default()
    }

    pub fn find(&self, name: &str, phase: &str) -> Option<&Row> {
        let mut rows = self.rows().iter();
        rows.find(|row| row.name == name && row.phase == phase)
    }

    /// Note what became of something; whether that is new.
    pub fn set(
        &mut self,
        name: &str,
        phase: &str,
        state: &str,
        why: &str,
        container: &str,
    ) -> bool {
        let rows = self.rows.get_or_insert_default();
        let at = rows
            .iter()
            .position(|row| row.name == name && row.phase == phase);
        let row = Row {
            name: name.to_string(),
            phase: phase.to_string(),
            state: state.to_string(),
            since_boot_ms: u64::try_from(clock::since_boot().as_millis()).unwrap_or(0),
            why: why.to_string(),
            container: container.to_string(),
            made_of: String::new(),
        };
        match at.and_then(|at| rows.get_mut(at)) {
            Some(old) if old.state == row.state && old.why == row.why => {
                old.container = row.container;
                false
            }
            Some(old) => {
                *old = row;
                true
            }
            None => {
                rows.push(row);
                true
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn news_are_told_from_what_is_known() {
        let mut status = Status::default();
        assert!(status.set("web", "service", WAITING, "needs network", ""));
        assert!(!status.set("web", "service", WAITING, "needs network", ""));
        assert!(status.set("web", "service", RUNNING, "", "abc"));
        assert!(status.set("web", "onboot", FAILED, "exit code 1", ""));
        assert_eq!(status.find("web", "service").unwrap().container, "abc");
    }
}
