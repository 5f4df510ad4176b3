//! Links of rtnetlink(7): found, made, removed; and parents that a network has made for itself.

use crate::error::{Context, Error, Kind, Result};
use crate::kernel::{Feature, lacks};
use crate::net::netlink::{self, Message, NETLINK_ROUTE, Netlink, attribute};
use crate::sys::is;
use linux_raw_sys::netlink as kernel;
use rustix::io::Errno;
use std::os::fd::{AsRawFd, OwnedFd};

/// With the zero byte at its end (netdevice(7)).
pub const IFNAMSIZ: usize = 16;

pub const IFF_UP: u32 = 1;

/// Length of struct ifinfomsg.
pub const HEADER: usize = 16;

/// What is to be made.
#[derive(Default)]
pub struct Link<'a> {
    pub name: &'a str,
    /// `veth`, `bridge`, …
    pub kind: &'a str,
    pub mtu: Option<u32>,
    pub mac: Option<[u8; 6]>,
    /// The bridge that it becomes a port of.
    pub master: Option<u32>,
    /// Where it is born.
    pub namespace: Option<&'a OwnedFd>,
    /// The link that it is made upon.
    pub parent: Option<u32>,
    pub is_up: bool,
    /// What its kind wants to know.
    pub data: &'a [(u32, &'a [u8])],
    /// The other end of a pair.
    pub peer: Option<&'a Link<'a>>,
}

impl Link<'_> {
    pub fn make(&self, netlink: &mut Netlink) -> Result<()> {
        netlink
            .ask(self.message())
            .map_err(|error| self.explain(error))
            .context(|| format!("make {} link {}", self.kind, self.name))
            .map(drop)
    }

    fn message(&self) -> Message {
        let flags = kernel::NLM_F_CREATE | kernel::NLM_F_EXCL;
        let up = if self.is_up { IFF_UP } else { 0 };
        let mut message = Message::new(kernel::RTM_NEWLINK as u32, flags, &header(0, up, up));
        self.put(&mut message);
        let info = message.open_plain(kernel::IFLA_LINKINFO as u32);
        message.put(kernel::IFLA_INFO_KIND as u32, self.kind.as_bytes());
        if !self.data.is_empty() || self.peer.is_some() {
            let data = message.open_plain(kernel::IFLA_INFO_DATA as u32);
            for (kind, value) in self.data {
                message.put(*kind, value);
            }
            if let Some(peer) = self.peer {
                let nest = message.open_plain(VETH_INFO_PEER);
                message.append(&header(0, 0, 0));
                peer.put(&mut message);
                message.close(nest);
            }
            message.close(data);
        }
        message.close(info);
        message
    }

    fn put(&self, message: &mut Message) {
        if let Some(mtu) = self.mtu {
            message.number(kernel::IFLA_MTU as u32, mtu);
        }
        if let Some(mac) = &self.mac {
            message.put(kernel::IFLA_ADDRESS as u32, mac);
        }
        if let Some(master) = self.master {
            message.number(kernel::IFLA_MASTER as u32, master);
        }
        if let Some(namespace) = self.namespace {
            let fd = namespace.as_raw_fd().cast_unsigned();
            message.number(kernel::IFLA_NET_NS_FD as u32, fd);
        }
        if let Some(parent) = self.parent {
            message.number(kernel::IFLA_LINK as u32, parent);
        }
        message.text(kernel::IFLA_IFNAME as u32, self.name);
    }

    /// A kernel that does not know such links says "Operation not supported", of whatever reason.
    fn explain(&self, error: Error) -> Error {
        let known = KINDS.iter().find(|(kind, _)| *kind == self.kind);
        match known.filter(|_| is(&error, Errno::OPNOTSUPP)) {
            Some((kind, feature)) => Error::with_errno(
                Kind::System,
                error.errno,
                format!("there are no {kind} links {}", lacks(*feature)),
            ),
            None => error,
        }
    }
}

/// `<linux/veth.h>`
const VETH_INFO_PEER: u32 = 1;

/// What a kernel has to know such links.
const KINDS: [(&str, Feature); 6] = [
    ("bridge", Feature::Bridge),
    ("dummy", Feature::Dummy),
    ("ipvlan", Feature::Ipvlan),
    ("macvlan", Feature::Macvlan),
    ("veth", Feature::Veth),
    ("vlan", Feature::Vlan),
];

/// Whether the kernel knows such links. None where it cannot be asked, or they are no links.
pub fn is_known(feature: Feature) -> Option<bool> {
    let (kind, _) = KINDS.iter().find(|(_, known)| *known == feature)?;
    // Where nothing is that it could meet, and from where it goes with the namespace.
    let nowhere = super::namespace::create().ok()?;
    let link = Link {
        name: "trial",
        kind,
        ..Link::default()
    };
    let make = || link.make(&mut Netlink::open(NETLINK_ROUTE)?);
    match super::namespace::within(&nowhere, make) {
        // That the others need a parent is said after the kind was found.
        Err(error) => Some(!is(&error, Errno::OPNOTSUPP)),
        Ok(()) => Some(true),
    }
}

/// struct ifinfomsg: of the flags in `mask` those in `flags` are to be set and the others cleared.
fn header(index: u32, flags: u32, mask: u32) -> Vec<u8> {
    let mut bytes = vec![0; 4];
    for number in [index, flags, mask] {
        bytes.extend(number.to_ne_bytes());
    }
    bytes
}

/// Whether the kernel takes such a name.
pub fn is_name(name: &str) -> bool {
    let is_good = |byte: u8| byte > b' ' && byte != b'/' && byte != b':' && byte != 127;
    !name.is_empty()
        && name.len() < IFNAMSIZ
        && name.bytes().all(is_good)
        && ![".", ".."].contains(&name)
}

/// A link as the kernel describes it.
pub struct Found(Vec<u8>);

impl Found {
    pub fn index(&self) -> u32 {
        netlink::number(&self.0, 4)
    }

    pub fn attribute(&self, kind: u32) -> Option<&[u8]> {
        attribute(self.0.get(HEADER..)?, kind)
    }

    /// `bridge`, …; empty for hardware.
    pub fn kind(&self) -> &[u8] {
        let info = self.attribute(kernel::IFLA_LINKINFO as u32);
        let kind = info.and_then(|info| attribute(info, kernel::IFLA_INFO_KIND as u32));
        let kind = kind.unwrap_or_default();
        kind.strip_suffix(&[0]).unwrap_or(kind)
    }
}

/// ENODEV where there is none.
pub fn find(netlink: &mut Netlink, name: &str) -> Result<Found> {
    let mut message = Message::new(kernel::RTM_GETLINK as u32, 0, &header(0, 0, 0));
    message.text(kernel::IFLA_IFNAME as u32, name);
    let found = netlink.ask(message).context(|| format!("link {name}"))?;
    let found = found.into_iter().next();
    found.map(Found).ok_or_else(|| {
        let message = format!("link {name}: the kernel tells nothing of it");
        Error::new(Kind::System, message)
    })
}

pub fn is_there(name: &str) -> Result<bool> {
    match find(&mut Netlink::open(NETLINK_ROUTE)?, name) {
        Err(error) if is(&error, Errno::NODEV) => Ok(false),
        found => found.map(|_| true),
    }
}

/// Change a link: `flags` are set, and what the caller adds.
pub fn change(index: u32, flags: u32) -> Message {
    Message::new(kernel::RTM_NEWLINK as u32, 0, &header(index, flags, flags))
}

/// Take the link of that name down; no such link is a success.
pub fn take_down(netlink: &mut Netlink, name: &str) -> Result<()> {
    by_name(netlink, kernel::RTM_NEWLINK as u32, name).context(|| format!("take {name} down"))
}

/// No such link is a success.
pub fn remove(netlink: &mut Netlink, name: &str) -> Result<()> {
    by_name(netlink, kernel::RTM_DELLINK as u32, name).context(|| format!("remove link {name}"))
}

fn by_name(netlink: &mut Netlink, kind: u32, name: &str) -> Result<()> {
    let mut message = Message::new(kind, 0, &header(0, 0, IFF_UP));
    message.text(kernel::IFLA_IFNAME as u32, name);
    match netlink.ask(message) {
        Err(error) if is(&error, Errno::NODEV) => Ok(()),
        other => other.map(drop),
    }
}

/// The parent of a network that is to have no way out.
pub fn closed_parent(network_id: &str) -> String {
    format!("dm-{}", network_id.get(..12).unwrap_or(network_id))
}

/// The link that a network's containers have theirs upon, made where it is missing and can be:
/// `eth0.10` as the VLAN 10 of eth0, and `dm-…` as one that leads nowhere. Whether it was made: then it
/// goes with its network (`remove_parent`).
pub fn ensure_parent(name: &str) -> Result<bool> {
    let mut netlink = Netlink::open(NETLINK_ROUTE)?;
    let missing = match find(&mut netlink, name) {
        Err(error) if is(&error, Errno::NODEV) => error,
        found => return found.map(|_| false),
    };
    let vlan = name.rsplit_once('.');
    let vlan = vlan.and_then(|(parent, id)| Some((parent, id.parse::<u16>().ok()?)));
    let mut link = Link {
        name,
        is_up: true,
        ..Link::default()
    };
    if name.starts_with("dm-") {
        link.kind = "dummy";
        return link.make(&mut netlink).map(|()| true);
    }
    let Some((parent, id)) = vlan.filter(|(_, id)| (1..4095).contains(id)) else {
        return Err(missing.with_kind(Kind::Invalid));
    };
    link.kind = "vlan";
    link.parent = Some(find(&mut netlink, parent)?.index());
    let id = id.to_ne_bytes();
    let data = [(kernel::IFLA_VLAN_ID as u32, &id[..])];
    link.data = &data;
    link.make(&mut netlink).map(|()| true)
}

pub fn remove_parent(name: &str) -> Result<()> {
    remove(&mut Netlink::open(NETLINK_ROUTE)?, name)
}

#[cfg(test)]
mod tests {
    use super::*;

    // Messages of iproute2 6.15, as `strace -e trace=sendmsg -e write=all ip …` shows them on a 64-bit
    // machine of little endian. The number (bytes 8 to 12) is the time there, and 0 here.

    #[test]
    #[cfg(target_endian = "little")]
    fn a_bridge_is_made_as_by_ip() {
        // ip link add name tug0 mtu 1400 address 02:42:01:02:03:04 type bridge forward_delay 0 stp_state 0
        let off = [0; 4];
        let link = Link {
            name: "tug0",
            kind: "bridge",
            mtu: Some(1400),
            mac: Some([2, 0x42, 1, 2, 3, 4]),
            data: &[
                (kernel::IFLA_BR_FORWARD_DELAY as u32, &off),
                (kernel::IFLA_BR_STP_STATE as u32, &off),
            ],
            ..Link::default()
        };
        assert_eq!(
            link.message().hex(),
            "64000000100005060000000000000000000000000000000000000000000000000800040078050000\
             0a0001000242010203040000090003007475673000000000240012000a0001006272696467650000\
             1400020008000100000000000800050000000000"
        );
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn a_pair_is_made_as_by_ip() {
        // ip link add name tugaa mtu 1400 up master tug0 type veth peer name eth0 mtu 1400
        //   address 02:42:0a:01:00:02 netns /proc/PID/ns/net
        let namespace = OwnedFd::from(std::fs::File::open("/proc/self/ns/net").unwrap());
        let peer = Link {
            name: "eth0",
            mtu: Some(1400),
            mac: Some([2, 0x42, 10, 1, 0, 2]),
            namespace: Some(&namespace),
            ..Link::default()
        };
        let link = Link {
            name: "tugaa",
            kind: "veth",
            mtu: Some(1400),
            master: Some(4),
            is_up: true,
            peer: Some(&peer),
            ..Link::default()
        };
        let number = crate::id::hex(&namespace.as_raw_fd().to_le_bytes());
        assert_eq!(
            link.message().hex(),
            "88000000100005060000000000000000000000000000000001000000010000000800040078050000\
             08000a00040000000a00030074756761610000004c0012000800010076657468400002003c000100\
             0000000000000000000000000000000008000400780500000a00010002420a010002000008001c00\
             FD090003006574683000000000"
                .replace("FD", &number)
        );
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn links_upon_others_are_made_as_by_ip() {
        // ip link add link eth8 name eth8.10 type vlan id 10
        let id = 10u16.to_ne_bytes();
        let link = Link {
            name: "eth8.10",
            kind: "vlan",
            parent: Some(2),
            data: &[(kernel::IFLA_VLAN_ID as u32, &id)],
            ..Link::default()
        };
        assert_eq!(
            link.message().hex(),
            "4c000000100005060000000000000000000000000000000000000000000000000800050002000000\
             0c000300657468382e3130001800120008000100766c616e0c000200060001000a000000"
        );
        // ip link set tug0 up
        assert_eq!(
            change(4, IFF_UP).hex(),
            "2000000010000500000000000000000000000000040000000100000001000000"
        );
    }

    #[test]
    fn what_the_kernel_lacks_is_named() {
        let link = Link {
            name: "x",
            kind: "ipvlan",
            ..Link::default()
        };
        let refusal = || Error::system("Unknown device type", Errno::OPNOTSUPP.raw_os_error());
        assert_eq!(
            link.explain(refusal()).message,
            "there are no ipvlan links (this kernel lacks CONFIG_IPVLAN, module ipvlan: see `tug check`)"
        );
        let other = Error::system("x", Errno::PERM.raw_os_error());
        assert!(link.explain(other).message.contains("not permitted"));
    }

    #[test]
    fn a_parent_that_cannot_be_made_is_not_there() {
        for name in ["no-such", "no-such.10", "lo.5000", "lo.0", "lo.x"] {
            let error = ensure_parent(name).unwrap_err();
            assert!(is(&error, Errno::NODEV), "{name}: {error}");
        }
        assert!(!ensure_parent("lo").unwrap());
        assert!(remove_parent("no-such").is_ok());
        assert_eq!(closed_parent("0123456789abcdef"), "dm-0123456789ab");
    }
}
