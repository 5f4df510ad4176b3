//! What a board is besides its containers: `machine.json`, worked off once.
//!
//! Each part is for itself: what fails is told and noted, and the others are done. What waits for
//! hardware (a mount's device, a link of the network) is tried again whenever the kernel tells of
//! changes.

use crate::boot::conditions::Wanted;
use crate::boot::status::{self, Status};
use crate::boot::{address, console, modules, mounts};
use crate::error::{Error, Result};
use crate::plan::machine::{Address, Machine, Point};
use crate::sys::power;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const PHASE: &str = "machine";

/// How long the board waits for the device of a mount that does not say and is not optional.
const MOUNT: Duration = Duration::from_secs(10);

/// What is still to be done, and what became of the rest.
#[derive(Default)]
pub struct Work {
    pub status: Status,
    addresses: Vec<Address>,
    /// Each with the time until which the board waits for it.
    points: Vec<(Point, Option<Instant>)>,
    /// Those that we have mounted, in that order.
    pub mounted: Vec<String>,
}

impl Work {
    /// Do all that can be done now.
    pub fn begin(machine: &Machine) -> Work {
        let mut work = Work::default();
        // Where distributions keep it.
        let file = std::fs::read_to_string("/etc/hostname").unwrap_or_default();
        let name = machine.hostname.as_deref().unwrap_or(file.trim());
        if !name.is_empty() {
            work.note("hostname", power::set_host_name(name).map(|()| true));
        }
        for line in machine.modules.iter().flatten() {
            work.note(line, modules::load(line).map(|()| true));
        }
        if let Some(sysctl) = &machine.sysctl {
            for (key, value) in sysctl {
                work.note(key, set_sysctl(key, &value.0).map(|()| true));
            }
        }
        for point in machine.mounts.iter().flatten().cloned() {
            let limit = point.timeout.map_or(MOUNT, |span| span.0);
            let until = (point.optional != Some(true)).then(|| Instant::now() + limit);
            work.points.push((point, until));
        }
        work.addresses = address::of_kernel();
        work.addresses
            .extend(machine.addresses.iter().flatten().cloned());
        let servers = machine.dns.as_deref().unwrap_or_default();
        if let Err(error) = address::name_servers(servers) {
            work.complain("dns", &error);
        }
        work.go_on();
        work
    }

    /// Try what waits.
    pub fn go_on(&mut self) {
        for (point, until) in std::mem::take(&mut self.points) {
            let target = point.target.clone().unwrap_or_default();
            let outcome = mounts::point(&point);
            if matches!(outcome, Ok(true)) {
                self.mounted.push(target.clone());
            }
            if self.note(&format!("mount {target}"), outcome) {
                self.points.push((point, until));
            }
        }
        for wanted in std::mem::take(&mut self.addresses) {
            let device = wanted.device.clone().unwrap_or_default();
            let name = format!("address {device}");
            if self.note(&name, address::set(&wanted)) {
                self.addresses.push(wanted);
            }
        }
    }

    /// Note what became of a part; `Ok(false)` is that it waits. Whether it does.
    fn note(&mut self, name: &str, outcome: Result<bool>) -> bool {
        let (state, why) = match &outcome {
            Ok(true) => (status::DONE, String::new()),
            Ok(false) => (status::WAITING, "its device is not there yet".to_string()),
            Err(error) => (status::FAILED, error.message.clone()),
        };
        let is_news = self.status.set(name, PHASE, state, &why, "");
        if is_news && outcome.is_err() {
            console::say(format_args!("{name}: {why}"));
        }
        state == status::WAITING
    }

    /// The board's watchdog is fed, or it is not: why.
    pub fn note_watchdog(&mut self, why: &str) {
        let state = match why.is_empty() {
            true => status::RUNNING,
            false => status::FAILED,
        };
        if self.status.set("watchdog", PHASE, state, why, "") && !why.is_empty() {
            console::say(format_args!("the watchdog is not fed: {why}"));
        }
    }

    /// A container has had the machine rebooted, once.
    pub fn note_reboot(&mut self, why: &str) {
        let (name, state) = ("last reboot", status::DONE);
        self.status.set(name, PHASE, state, why, "");
    }

    /// Something that has to do with no part.
    pub fn complain(&mut self, name: &str, error: &Error) {
        self.note(name, Err(error.clone()));
    }

    /// What to listen to for what waits.
    pub fn wants(&self, wanted: &mut Wanted) {
        wanted.devices |= !self.points.is_empty();
        wanted.network |= !self.addresses.is_empty();
    }

    pub fn is_waiting(&self) -> bool {
        !self.points.is_empty() || !self.addresses.is_empty()
    }

    /// Whether a mount that the board should not go on without is still waited for. Whoever has been
    /// waited for long enough is told of, and comes late if at all.
    pub fn is_held(&mut self) -> bool {
        let now = Instant::now();
        for (point, until) in &mut self.points {
            if until.is_some_and(|until| now >= until) {
                *until = None;
                let target = point.target.as_deref().unwrap_or_default();
                console::say(format_args!(
                    "mount {target}: its device has not come, going on without it"
                ));
            }
        }
        self.points.iter().any(|(_, until)| until.is_some())
    }

    /// How long the next of them is waited for.
    pub fn patience(&self) -> Option<Duration> {
        let until = self.points.iter().filter_map(|(_, until)| *until).min()?;
        Some(until.saturating_duration_since(Instant::now()))
    }
}

/// `net.ipv4.ip_forward`, or with slashes, as sysctl(8) takes it.
fn set_sysctl(key: &str, value: &str) -> Result<()> {
    let key = match key.contains('/') {
        true => key.to_string(),
        false => key.replace('.', "/"),
    };
    if key.split('/').any(|part| part.is_empty() || part == "..") {
        return Err(Error::invalid("no such sysctl"));
    }
    let path: PathBuf = Path::new("/proc/sys").join(key);
    std::fs::write(&path, value)
        .map_err(|e| Error::io(format_args!("write {value:?} to {}", path.display()), &e))
}
