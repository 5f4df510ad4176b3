//! Devices that come and go while the container runs (`--device-match`).
//!
//! The kernel's notices say only where to look: what a device is, and whether it is there, is read
//! in /sys each time. So a notice that is forged, doubled, or lost with others (the socket was full,
//! then all devices are looked at) changes nothing that is not so.
//!
//! ```text
//!   container made -> look at all devices -> (those that must be there are missing: wait) -> program
//!   notice of a device -> look at it -> it matches:     device filter, node
//!                                    -> it has gone:    node, device filter
//! ```

mod find;

use self::find::Found;
use crate::cgroup::Group;
use crate::error::{Context, Result};
use crate::json;
use crate::json::value::json_struct;
use crate::log;
use crate::oci::spec::{Device, DeviceRule, Resources};
use crate::runtime::plug::Dev;
use crate::shim::serve::{Supervisor, WHO};
use crate::sys::{fs, socket};
use linux_raw_sys::netlink::NETLINK_KOBJECT_UEVENT;
use rustix::io::Errno;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

/// Beside `shim.json`.
pub const FILE: &str = "hotplug.json";

/// The kernel's own notices; udev's are in group 2 (lib/kobject_uevent.c).
const KERNEL_GROUP: u32 = 1;

/// What the kernel puts into one (UEVENT_BUFFER_SIZE), and its head.
const NOTICE_BYTES: usize = 4096;

const NOTES_MAX: u32 = 1000;

json_struct! {
    #[derive(Clone, Debug, Default)]
    pub struct Wishes {
        pub matches: Option<Vec<Match>>,
        /// What the container may use beside that. Without them it may use everything.
        pub rules: Option<Vec<DeviceRule>>,
    }

    /// Which devices; what is not said may be anything. Texts may have `*` and `?`.
    #[derive(Clone, Debug, Default)]
    pub struct Match {
        pub subsystem: Option<String>,
        /// Below /dev.
        pub devname: Option<String>,
        /// Of the USB device (hex digits) that it is part of, or else the PCI device.
        pub vendor: Option<String>,
        pub product: Option<String>,
        pub serial: Option<String>,
        /// Of `rwm`.
        pub access: Option<String>,
        /// The node's mode, instead of that of the host's node.
        pub mode: Option<u32>,
        /// The program does not begin without one.
        pub is_needed: Option<bool>,
        /// What the program is sent when the last one has gone.
        pub signal: Option<i32>,
    }
}

pub struct Hotplug {
    wishes: Wishes,
    notices: OwnedFd,
    /// Of this run.
    dev: Option<Dev>,
    given: Vec<Given>,
    /// How many more changes are noted: a loose plug must not fill `shim.log`.
    notes_left: u32,
}

/// A device that the container has of us.
struct Given {
    device: Device,
    access: String,
    /// The matches that it fits, by their numbers.
    fits: Vec<usize>,
    /// The node is ours to remove.
    is_ours: bool,
}

impl Hotplug {
    /// Where devices were asked for by what they are. From now on nothing is missed.
    pub fn open(run_dir: &Path) -> Result<Option<Hotplug>> {
        let path = run_dir.join(FILE);
        if !path.exists() {
            return Ok(None);
        }
        let wishes = json::parse_bytes(&fs::read(&path)?, FILE)
            .context(|| format!("read {}", path.display()))?;
        Ok(Some(Hotplug {
            wishes,
            notices: socket::netlink_group(NETLINK_KOBJECT_UEVENT, KERNEL_GROUP)?,
            dev: None,
            given: Vec::new(),
            notes_left: NOTES_MAX,
        }))
    }

    pub fn fd(&self) -> BorrowedFd<'_> {
        self.notices.as_fd()
    }

    /// A container has been made, whose first process is `pid`: give it what is there.
    pub fn begin(&mut self, pid: i32, group: Option<&Group>) -> Result<()> {
        self.given.clear();
        self.dev = Some(Dev::of(pid)?);
        self.look_at_all(group);
        Ok(())
    }

    /// The run is over. Its nodes go with its mounts.
    pub fn end(&mut self) {
        self.dev = None;
        self.given.clear();
    }

    fn matches(&self) -> &[Match] {
        self.wishes.matches.as_deref().unwrap_or_default()
    }

    /// Whether what must be there is.
    pub fn is_complete(&self) -> bool {
        let mut matches = self.matches().iter().enumerate();
        matches.all(|(number, wish)| wish.is_needed != Some(true) || self.has(number))
    }

    fn has(&self, number: usize) -> bool {
        self.given.iter().any(|given| given.fits.contains(&number))
    }

    /// Take the notices that are there. Answers what the program is to be sent.
    pub fn take_notices(&mut self, group: Option<&Group>) -> Vec<i32> {
        let had: Vec<bool> = (0..self.matches().len()).map(|n| self.has(n)).collect();
        let mut buffer = [0u8; NOTICE_BYTES];
        loop {
            match socket::receive_netlink(&self.notices, &mut buffer) {
                // A process's, who has nothing to say here.
                Ok((_, sender)) if sender != 0 => {}
                Ok((count, _)) => {
                    let notice = buffer.get(..count).unwrap_or_default();
                    if let Some(id) = find::device_of(notice) {
                        self.look(&id, group);
                    }
                }
                Err(Errno::NOBUFS) => self.look_at_all(group),
                Err(_) => break,
            }
        }
        let lost = |(n, wish): (usize, &Match)| match had.get(n) == Some(&true) && !self.has(n) {
            true => wish.signal,
            false => None,
        };
        self.matches().iter().enumerate().filter_map(lost).collect()
    }

    /// One change of the filter for all of them.
    fn look_at_all(&mut self, group: Option<&Group>) {
        let mut ids = find::all();
        ids.extend(self.given.iter().map(|given| id(&given.device)));
        let mut is_changed = false;
        for id in ids {
            is_changed |= self.look(&id, None);
        }
        if is_changed {
            self.filter(group);
        }
    }

    /// See whether the device `id` is there and fits, and do what follows. Whether something did.
    fn look(&mut self, id: &str, group: Option<&Group>) -> bool {
        if self.dev.is_none() {
            return false;
        }
        let new = find::look(id).and_then(|found| self.fitting(id, &found));
        let old = self
            .given
            .iter()
            .position(|given| self::id(&given.device) == id);
        let old = old.map(|at| self.given.remove(at));
        match (old, new) {
            (None, None) => return false,
            (Some(old), Some(new)) if old.is_as(&new) => {
                self.given.push(old);
                return false;
            }
            (old, new) => {
                if let Some(old) = old {
                    self.take(&old, group);
                }
                if let Some(new) = new {
                    self.give(new, group);
                }
            }
        }
        true
    }

    /// The device as the container gets it, if it fits any match.
    fn fitting(&self, id: &str, found: &Found) -> Option<Given> {
        let mut given = Given {
            device: found.device(id)?,
            access: String::new(),
            fits: Vec::new(),
            is_ours: false,
        };
        for (number, wish) in self.matches().iter().enumerate() {
            if found.fits(wish) {
                given.fits.push(number);
                given
                    .access
                    .push_str(wish.access.as_deref().unwrap_or("rwm"));
                given.device.file_mode = wish.mode.or(given.device.file_mode);
            }
        }
        (!given.fits.is_empty()).then_some(given)
    }

    /// The right first: whoever sees the node may open it.
    fn give(&mut self, new: Given, group: Option<&Group>) {
        let device = new.device.clone();
        self.given.push(new);
        self.filter(group);
        let path = device.path.as_deref().unwrap_or_default();
        match self.dev.as_ref().map(|dev| dev.add(&device)) {
            Some(Err(error)) => self.note(format_args!("device {path}: {error}")),
            made => {
                let is_ours = matches!(made, Some(Ok(true)));
                if let Some(new) = self.given.last_mut() {
                    new.is_ours = is_ours;
                }
                self.note(format_args!("device {path} is there"));
            }
        }
    }

    fn take(&mut self, old: &Given, group: Option<&Group>) {
        let path = old.device.path.as_deref().unwrap_or_default();
        if let Some(dev) = self.dev.as_ref().filter(|_| old.is_ours)
            && let Err(error) = dev.remove(&old.device)
        {
            self.note(format_args!("device {path}: {error}"));
        }
        self.filter(group);
        self.note(format_args!("device {path} has gone"));
    }

    fn note(&mut self, what: std::fmt::Arguments<'_>) {
        if self.notes_left > 0 {
            self.notes_left -= 1;
            log::line(WHO, what);
        }
    }

    /// Put the device filter in force that fits what the container has now.
    fn filter(&mut self, group: Option<&Group>) {
        let (Some(group), Some(rules)) = (group, &self.wishes.rules) else {
            return;
        };
        let mut rules = rules.clone();
        for given in &self.given {
            let device = &given.device;
            rules.push(DeviceRule {
                allow: Some(true),
                kind: device.kind.clone(),
                major: device.major.map(i64::from),
                minor: device.minor.map(i64::from),
                access: Some(given.access.clone()),
            });
        }
        let resources = Resources {
            devices: Some(rules),
            ..Resources::default()
        };
        if let Err(error) = group.apply(Some(&resources)) {
            self.note(format_args!("{error}"));
        }
    }
}

impl Given {
    fn is_as(&self, other: &Given) -> bool {
        self.fits == other.fits && self.device.path == other.device.path
    }
}

/// As /sys/dev names it: `char/188:0`.
fn id(device: &Device) -> String {
    let kind = if device.kind.as_deref() == Some("b") {
        "block"
    } else {
        "char"
    };
    let (major, minor) = (device.major.unwrap_or(0), device.minor.unwrap_or(0));
    format!("{kind}/{major}:{minor}")
}

impl Supervisor {
    /// Devices have come or gone.
    pub fn plug(&mut self) {
        let Some(hotplug) = &mut self.hotplug else {
            return;
        };
        let signals = hotplug.take_notices(self.run.group.as_ref());
        if self.run.started.is_some() {
            for signal in signals {
                let _ = self.kill(signal);
            }
        }
        self.go_on();
    }

    /// Let the program run that was kept back, if nothing is missing any more. One that is frozen
    /// would not answer: it is let go when it is thawed.
    pub fn go_on(&mut self) {
        let is_complete = self.hotplug.as_ref().is_none_or(Hotplug::is_complete);
        if self.run.is_held && is_complete && !self.is_frozen() {
            self.release();
        }
    }
}
