//! What entries wait for outside: devices, mounts, the network, the clock. Whether it is there, and
//! being told when that may have changed: by the kernel, never by looking again and again.

use crate::boot::console;
use crate::error::Result;
use crate::net::address;
use crate::net::link;
use crate::net::netlink::{Message, NETLINK_ROUTE, Netlink, attribute, number};
use crate::plan::Condition;
use crate::registry::clock;
use crate::sys::{clock::Sets, mountinfo, socket};
use crate::time::Time;
use linux_raw_sys::netlink as kernel;
use rustix::event::PollFlags;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

/// No newer record than the release itself.
const NONE: Time = Time {
    seconds: 0,
    nanos: 0,
};

pub fn holds(condition: &Condition) -> bool {
    match condition {
        Condition::Device(path) => path.exists(),
        Condition::Mount(path) => is_mounted(path),
        Condition::Network => is_network_up().unwrap_or_else(|error| {
            console::say(error);
            false
        }),
        Condition::Clock => Time::now() >= clock::floor(NONE),
    }
}

/// Those that do not hold.
pub fn missing(conditions: &[Condition]) -> Vec<&Condition> {
    let missing = conditions.iter().filter(|condition| !holds(condition));
    missing.collect()
}

fn is_mounted(path: &Path) -> bool {
    let path = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
    let found = mountinfo::read().unwrap_or_default();
    found.iter().any(|mount| Path::new(&mount.point) == path)
}

/// `<linux/rtnetlink.h>`
const RT_SCOPE_UNIVERSE: u8 = 0;
const RTN_UNICAST: u8 = 1;
/// It has a carrier (netdevice(7)).
const IFF_LOWER_UP: u32 = 1 << 16;
const ROUTE_HEADER: usize = 12;

/// A default route, or an address on a link with a carrier that others can reach. Bridges are no sign:
/// the engine has some of its own.
fn is_network_up() -> Result<bool> {
    let mut netlink = Netlink::open(NETLINK_ROUTE)?;
    let routes = Message::new(kernel::RTM_GETROUTE as u32, 0, &[0; ROUTE_HEADER]);
    // struct rtmsg: the length of the destination stands second, the type eighth.
    let is_way_out =
        |route: &Vec<u8>| route.get(1) == Some(&0) && route.get(7) == Some(&RTN_UNICAST);
    if netlink.dump(&routes)?.iter().any(is_way_out) {
        return Ok(true);
    }
    let addresses = Message::new(kernel::RTM_GETADDR as u32, 0, &[0; address::HEADER]);
    // struct ifaddrmsg: the scope stands fourth, behind it the link.
    let mut links: Vec<u32> = Vec::new();
    for found in netlink.dump(&addresses)? {
        if found.get(3) == Some(&RT_SCOPE_UNIVERSE) {
            links.push(number(&found, 4));
        }
    }
    let all = Message::new(kernel::RTM_GETLINK as u32, 0, &[0; link::HEADER]);
    Ok(netlink.dump(&all)?.iter().any(|found| {
        let info = found.get(link::HEADER..).unwrap_or_default();
        let info = attribute(info, kernel::IFLA_LINKINFO as u32).unwrap_or_default();
        let kind = attribute(info, kernel::IFLA_INFO_KIND as u32).unwrap_or_default();
        links.contains(&number(found, 4))
            && number(found, 8) & IFF_LOWER_UP != 0
            && !kind.starts_with(b"bridge")
    }))
}

/// NETLINK_KOBJECT_UEVENT; the kernel's own notices, and what udev makes of them.
const UEVENT: u32 = 15;
const UEVENT_GROUPS: u32 = 1 | 2;

/// RTMGRP_LINK, _IPV4_IFADDR, _IPV4_ROUTE, _IPV6_IFADDR, _IPV6_ROUTE (rtnetlink(7)).
const ROUTE_GROUPS: u32 = 0x1 | 0x10 | 0x40 | 0x100 | 0x400;

/// Where the kernel tells of changes. Only what is waited for is listened to.
#[derive(Default)]
pub struct Watch {
    devices: Option<OwnedFd>,
    mounts: Option<File>,
    network: Option<OwnedFd>,
    clock: Option<Sets>,
}

/// What to listen to.
#[derive(Clone, Copy, Default)]
pub struct Wanted {
    pub devices: bool,
    pub mounts: bool,
    pub network: bool,
    pub clock: bool,
}

impl Wanted {
    pub fn add(&mut self, condition: &Condition) {
        match condition {
            Condition::Device(_) => self.devices = true,
            // One that is mounted by hand, or by a container.
            Condition::Mount(_) => self.mounts = true,
            Condition::Network => self.network = true,
            Condition::Clock => self.clock = true,
        }
    }
}

impl Watch {
    /// Listen to what is wanted and to nothing else. Look at the conditions afterwards: what has
    /// changed before is not told.
    pub fn set(&mut self, wanted: Wanted) {
        let netlink = |protocol, groups| told(socket::netlink_group(protocol, groups));
        keep(&mut self.devices, wanted.devices, || {
            netlink(UEVENT, UEVENT_GROUPS)
        });
        keep(&mut self.mounts, wanted.mounts, || {
            File::open("/proc/self/mountinfo").ok()
        });
        keep(&mut self.network, wanted.network, || {
            netlink(NETLINK_ROUTE, ROUTE_GROUPS)
        });
        keep(&mut self.clock, wanted.clock, || told(Sets::new()));
    }

    /// For poll(2).
    pub fn fds(&self) -> Vec<(BorrowedFd<'_>, PollFlags)> {
        let mut fds = Vec::new();
        for socket in self.devices.iter().chain(&self.network) {
            fds.push((socket.as_fd(), PollFlags::IN));
        }
        // Changes of the table are exceptional conditions (proc_pid_mounts(5)); it can be read always.
        fds.extend(self.mounts.iter().map(|f| (f.as_fd(), PollFlags::PRI)));
        fds.extend(self.clock.iter().map(|c| (c.as_fd(), PollFlags::IN)));
        fds
    }

    /// Take what was told. What it says does not matter: whoever waits is looked at.
    pub fn clear(&self) {
        let mut buffer = [0; 8192];
        for socket in self.devices.iter().chain(&self.network) {
            // ENOBUFS: more than fits; that is a notice too, and leaves the others.
            while let Ok(_) | Err(rustix::io::Errno::NOBUFS) =
                socket::receive_netlink(socket, &mut buffer)
            {}
        }
        if let Some(clock) = &self.clock
            && let Err(error) = clock.arm()
        {
            console::say(error);
        }
    }
}

fn keep<T>(place: &mut Option<T>, wanted: bool, make: impl FnOnce() -> Option<T>) {
    match (&place, wanted) {
        (None, true) => *place = make(),
        (Some(_), false) => *place = None,
        _ => {}
    }
}

fn told<T>(outcome: Result<T>) -> Option<T> {
    outcome.map_err(console::say).ok()
}
