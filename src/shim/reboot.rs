//! Asking the host to reboot because a container is ill, and not for ever.
//!
//! Process 1 is asked, which ends everything in order; nobody here calls reboot(2). Before, a note is
//! written durably: who, why, and how long the host had been up. From those times one knows, without a
//! clock that would be right at boot, how many such reboots an hour has seen: between two of them lies
//! at least the later one's time up. When there were `REBOOTS_MAX`, no more are asked for.

use crate::error::{Context, Error, Kind, Result};
use crate::json;
use crate::json::value::json_struct;
use crate::shim::config::Config;
use crate::store::record;
use crate::sys::{clock, fs, signal};
use crate::time::Time;
use std::path::Path;

/// In the data root.
pub const FILE: &str = "last-reboot.json";

/// So many in an hour.
const REBOOTS_MAX: usize = 3;
const HOUR_SECONDS: u64 = 3600;

json_struct! {
    #[derive(Clone, Debug, Default, PartialEq, Eq)]
    pub struct LastReboot {
        pub container: Option<String> = "Container",
        pub name: Option<String> = "Name",
        pub reason: Option<String> = "Reason",
        /// What the host's clock said, which may have been nonsense.
        pub time: Option<String> = "Time",
        pub boot_id: Option<String> = "BootID",
        /// How long the host had been up at the last reboots, in seconds; the latest last.
        pub uptimes: Option<Vec<u64>> = "Uptimes",
    }
}

impl LastReboot {
    /// For people.
    pub fn words(&self) -> String {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let (time, name, reason) = (text(&self.time), text(&self.name), text(&self.reason));
        format!("{time}: container {name} was {reason}")
    }
}

/// The note of the last reboot that was asked for, if there was one.
pub fn last(data_root: &Path) -> Result<Option<LastReboot>> {
    match record::load(data_root, FILE)? {
        Some(bytes) => json::parse_bytes(&bytes, FILE).map(Some),
        None => Ok(None),
    }
}

/// Ask for a reboot, or say why it is not to be.
pub fn ask(config: &Config) -> Result<()> {
    let root = config.data_root.as_deref().map(Path::new);
    let root = root.ok_or_else(|| Error::invalid("shim.json has no data_root"))?;
    // A torn note is none.
    let before = last(root).ok().flatten().unwrap_or_default();
    let boot_id = fs::read_text("/proc/sys/kernel/random/boot_id")?;
    let boot_id = boot_id.trim();
    if before.boot_id.as_deref() != Some(boot_id) {
        let uptimes = before.uptimes.unwrap_or_default();
        // What is in memory tells nothing of boots before this one.
        let is_lasting = !fs::is_in_memory(root)?;
        let note = LastReboot {
            container: config.id.clone(),
            name: config.name.clone(),
            reason: Some("unhealthy".to_string()),
            time: Some(Time::now().rfc3339()),
            boot_id: Some(boot_id.to_string()),
            uptimes: Some(add(uptimes, clock::since_boot().as_secs(), is_lasting)?),
        };
        record::replace(root, FILE, json::to_string(&note).as_bytes())
            .context(|| "no reboot without a note of it")?;
    }
    signal::kill(1, signal_for_reboot())
}

/// The times up of the last reboots with this one's, unless there were too many.
fn add(mut uptimes: Vec<u64>, up: u64, is_lasting: bool) -> Result<Vec<u64>> {
    let mut since = up;
    let mut count = 0;
    for earlier in uptimes.iter().rev() {
        if since >= HOUR_SECONDS {
            break;
        }
        count += 1;
        since = since.saturating_add(*earlier);
    }
    let is_soon = !is_lasting && up < HOUR_SECONDS / REBOOTS_MAX as u64;
    if count >= REBOOTS_MAX || is_soon {
        return Err(Error::new(
            Kind::Conflict,
            format!("unhealthy, but no reboot: at most {REBOOTS_MAX} in an hour"),
        ));
    }
    uptimes.push(up);
    let surplus = uptimes.len().saturating_sub(REBOOTS_MAX);
    uptimes.drain(..surplus);
    Ok(uptimes)
}

/// What Ctrl-Alt-Del sends, which every init takes for a reboot; only that of busybox wants a line in
/// its inittab for it, and has a signal of its own.
fn signal_for_reboot() -> i32 {
    let program = std::fs::read_link("/proc/1/exe").unwrap_or_default();
    match program.file_name().is_some_and(|name| name == "busybox") {
        true => signal::SIGTERM,
        false => signal::SIGINT,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_reboots_an_hour_and_no_more() {
        let mut noted = Vec::new();
        for _ in 0..3 {
            noted = add(noted, 90, true).unwrap();
        }
        assert_eq!(noted, [90, 90, 90]);
        assert!(add(noted.clone(), 90, true).is_err());
        // The hour of the first is over when this boot and the two before it have lasted so long.
        assert!(add(noted.clone(), 3419, true).is_err());
        assert_eq!(add(noted.clone(), 3420, true).unwrap(), [90, 90, 3420]);
        assert_eq!(add(vec![90, 90, 3420], 90, true).unwrap(), [90, 3420, 90]);
        // A host that was up for long has no earlier ones.
        assert_eq!(add(vec![1, 1, 1], 3600, true).unwrap(), [1, 1, 3600]);
        assert!(add(vec![u64::MAX, 1, 1], 1, true).is_err());
    }

    #[test]
    fn without_memory_of_earlier_boots_a_reboot_waits_for_its_turn() {
        assert!(add(Vec::new(), 1199, false).is_err());
        assert!(add(Vec::new(), 1200, false).is_ok());
    }
}
