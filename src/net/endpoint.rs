//! A container's place in one network: the link in its namespace, with addresses, up.
//!
//! Links are born in the namespace, under no name of the host's. A bridge's containers get a pair
//! whose other end is the bridge's port; macvlan and ipvlan links stand upon a parent of the host.

use crate::error::{Context, Error, Result};
use crate::id;
use crate::net::address::{self, Address};
use crate::net::link::{self, IFF_UP, Link};
use crate::net::netlink::{NETLINK_ROUTE, Netlink};
use crate::net::plan::Endpoint;
use crate::net::{loopback_up, namespace, route, sysctl};
use crate::sys::is;
use linux_raw_sys::netlink as kernel;
use rustix::io::Errno;
use sha2::{Digest, Sha256};
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

/// How long a link's addresses may still be those of a namespace that is going away.
const PATIENCE: Duration = Duration::from_secs(3);

/// The name of the host's end, which comes of the two ids, so that whoever finds it knows it.
pub fn host_interface(container_id: &str, network_id: &str) -> String {
    let digest = Sha256::new()
        .chain_update(container_id)
        .chain_update(network_id)
        .finalize();
    format!("tug{}", id::hex(digest.get(..6).unwrap_or_default()))
}

/// A namespace for a container, with what all its links begin with.
pub fn namespace() -> Result<OwnedFd> {
    let made = namespace::create()?;
    namespace::within(&made, || {
        loopback_up()?;
        // Neighbours that knew another under our address hear of us at once.
        sysctl::set("ipv4/conf/default", "arp_notify", "1")?;
        if sysctl::has_ipv6() {
            // On for each link that has an address. No routes from strangers (CVE-2020-10749), no
            // second of waiting for somebody who has the same address.
            for (name, value) in [
                ("disable_ipv6", "1"),
                ("accept_ra", "0"),
                ("accept_dad", "0"),
                ("ndisc_notify", "1"),
            ] {
                sysctl::set("ipv6/conf/default", name, value)?;
            }
        }
        Ok(())
    })?;
    Ok(made)
}

/// Join a network. After an error nothing is left of it.
pub fn join(netns: &OwnedFd, endpoint: &Endpoint) -> Result<()> {
    let joined = wire(netns, endpoint);
    if joined.is_err() {
        let _ = leave(netns, endpoint);
    }
    joined.context(|| format!("network {}", text(&endpoint.network_name)))
}

fn wire(netns: &OwnedFd, endpoint: &Endpoint) -> Result<()> {
    let name = interface(endpoint)?;
    let mut host = Netlink::open(NETLINK_ROUTE)?;
    let mut inside = namespace::within(netns, || Netlink::open(NETLINK_ROUTE))?;
    match text(&endpoint.driver) {
        "bridge" => pair(&mut host, netns, endpoint)?,
        _ => upon(&mut host, &mut inside, netns, endpoint)?,
    }
    namespace::within(netns, || settings(endpoint, name))?;

    let index = link::find(&mut inside, name)?.index();
    for given in [&endpoint.ipv4, &endpoint.ipv6].into_iter().flatten() {
        let address = Address::parse(given)?;
        again_while_busy(|| inside.ask(address.add(index)))
            .context(|| format!("add address {given}"))?;
    }
    // Up comes last: it tells the neighbours of the addresses.
    again_while_busy(|| inside.ask(link::change(index, IFF_UP)))
        .context(|| format!("bring up {name}"))
}

/// A pair: one end is the bridge's port, the other is born in the container.
fn pair(host: &mut Netlink, netns: &OwnedFd, endpoint: &Endpoint) -> Result<()> {
    let bridge = text(&endpoint.parent);
    let outside = text(&endpoint.host_interface);
    let peer = Link {
        name: interface(endpoint)?,
        mtu: endpoint.mtu,
        mac: endpoint.mac.as_deref().map(address::mac).transpose()?,
        namespace: Some(netns),
        ..Link::default()
    };
    let pair = Link {
        name: outside,
        kind: "veth",
        mtu: endpoint.mtu,
        master: Some(link::find(host, bridge)?.index()),
        is_up: true,
        peer: Some(&peer),
        ..Link::default()
    };
    match pair.make(host) {
        // The end of an earlier run, whose namespace the kernel has not taken away yet.
        Err(error) if is(&error, Errno::EXIST) => {
            link::remove(host, outside)?;
            pair.make(host)?;
        }
        other => other?,
    }
    if endpoint.is_isolated != Some(true) {
        return Ok(());
    }
    let mut message = link::change(link::find(host, outside)?.index(), 0);
    let info = message.open_plain(kernel::IFLA_LINKINFO as u32);
    message.put(kernel::IFLA_INFO_SLAVE_KIND as u32, b"bridge");
    let data = message.open_plain(kernel::IFLA_INFO_SLAVE_DATA as u32);
    message.put(kernel::IFLA_BRPORT_ISOLATED as u32, &[1]);
    message.close(data);
    message.close(info);
    host.ask(message)
        .context(|| format!("isolate {outside}"))
        .map(drop)
}

/// A link upon one of the host's.
fn upon(
    host: &mut Netlink,
    inside: &mut Netlink,
    netns: &OwnedFd,
    endpoint: &Endpoint,
) -> Result<()> {
    let (driver, mode) = (text(&endpoint.driver), text(&endpoint.mode));
    let (mode, flag) = mode.split_once(':').unwrap_or((mode, ""));
    let known = MODES
        .iter()
        .find(|(of, name, _)| *of == driver && *name == mode);
    let flag = FLAGS.iter().find(|(name, _)| *name == flag);
    let (Some((.., mode)), Some((_, flag))) = (known, flag) else {
        let message = format!("no {driver} links have the mode {:?}", text(&endpoint.mode));
        return Err(Error::invalid(message));
    };
    let (long, short, flag) = (
        mode.to_ne_bytes(),
        (*mode as u16).to_ne_bytes(),
        flag.to_ne_bytes(),
    );
    let of_ipvlan: [(u32, &[u8]); 2] = [
        (kernel::IFLA_IPVLAN_MODE as u32, &short),
        (kernel::IFLA_IPVLAN_FLAGS as u32, &flag),
    ];
    let of_macvlan: [(u32, &[u8]); 1] = [(kernel::IFLA_MACVLAN_MODE as u32, &long)];
    let is_ipvlan = driver == "ipvlan";
    let parent = match text(&endpoint.parent) {
        "" => &link::closed_parent(text(&endpoint.network)),
        parent => parent,
    };
    // Kernels before 6.15 look on the host whether a name is free, also for a link that is born
    // elsewhere.
    let passing = host_interface("", text(&endpoint.network));
    let link = Link {
        name: &passing,
        kind: driver,
        mtu: endpoint.mtu,
        // An ipvlan link has its parent's.
        mac: endpoint
            .mac
            .as_deref()
            .filter(|_| !is_ipvlan)
            .map(address::mac)
            .transpose()?,
        namespace: Some(netns),
        parent: Some(link::find(host, parent)?.index()),
        data: if is_ipvlan { &of_ipvlan } else { &of_macvlan },
        ..Link::default()
    };
    link.make(host)?;
    let mut message = link::change(link::find(inside, &passing)?.index(), 0);
    message.text(kernel::IFLA_IFNAME as u32, interface(endpoint)?);
    inside.ask(message).context(|| "name the link").map(drop)
}

/// `<linux/if_link.h>`
const MODES: [(&str, &str, u32); 9] = [
    ("macvlan", "private", 1),
    ("macvlan", "vepa", 2),
    ("macvlan", "bridge", 4),
    ("macvlan", "passthru", 8),
    ("macvlan", "", 4),
    ("ipvlan", "l2", 0),
    ("ipvlan", "l3", 1),
    ("ipvlan", "l3s", 2),
    ("ipvlan", "", 0),
];
const FLAGS: [(&str, u16); 4] = [("", 0), ("bridge", 0), ("private", 1), ("vepa", 2)];

/// In the container's namespace.
fn settings(endpoint: &Endpoint, name: &str) -> Result<()> {
    if endpoint.ipv6.is_some() {
        if !sysctl::has_ipv6() {
            return Err(sysctl::no_ipv6());
        }
        sysctl::set(&format!("ipv6/conf/{name}"), "disable_ipv6", "0")?;
    }
    for (key, value) in endpoint.sysctls.iter().flatten() {
        sysctl::set_for_link(key, name, value)?;
    }
    Ok(())
}

/// The kernel keeps a macvlan's MAC address and an ipvlan's addresses until it has taken the namespace
/// away that had them last, which happens some time after its last process.
fn again_while_busy(mut ask: impl FnMut() -> Result<Vec<Vec<u8>>>) -> Result<()> {
    let until = Instant::now() + PATIENCE;
    loop {
        match ask() {
            Err(error) if is(&error, Errno::ADDRINUSE) && Instant::now() < until => {
                std::thread::sleep(Duration::from_millis(10));
            }
            other => return other.map(drop),
        }
    }
}

/// Tell the neighbours again who has the addresses: who knew another must not wait until its memory
/// fades. A bridge's new port drops what it is sent until the kernel has seen to its state, a moment
/// after `join`, and with it what the link has told by itself.
///
/// A link that gets a hardware address, be it its own, tells them (arp_notify, ndisc_notify).
pub fn announce(netns: &OwnedFd, endpoint: &Endpoint) -> Result<()> {
    let mut inside = namespace::within(netns, || Netlink::open(NETLINK_ROUTE))?;
    let found = link::find(&mut inside, interface(endpoint)?)?;
    let mut message = link::change(found.index(), 0);
    let mac = found.attribute(kernel::IFLA_ADDRESS as u32);
    message.put(kernel::IFLA_ADDRESS as u32, mac.unwrap_or_default());
    inside.ask(message).map(drop)
}

/// The ways out of a namespace, as its endpoints have them. `is_new`: there are none yet.
pub fn set_routes(netns: &OwnedFd, endpoints: &[Endpoint], is_new: bool) -> Result<()> {
    let mut inside = namespace::within(netns, || Netlink::open(NETLINK_ROUTE))?;
    for is_ipv6 in [false, true] {
        let way = endpoints.iter().find(|one| has_way(one, is_ipv6));
        let Some(endpoint) = way else {
            if !is_new {
                route::remove_default(&mut inside, is_ipv6).context(|| "remove default route")?;
            }
            continue;
        };
        let gateway = if is_ipv6 {
            &endpoint.gateway6
        } else {
            &endpoint.gateway4
        };
        let gateway = gateway.as_deref().map(|gateway| {
            let parsed: std::result::Result<IpAddr, _> = gateway.parse();
            parsed.map_err(|_| Error::invalid(format!("invalid gateway {gateway:?}")))
        });
        let way = route::Default {
            is_ipv6,
            gateway: gateway.transpose()?,
            index: link::find(&mut inside, interface(endpoint)?)?.index(),
        };
        way.set(&mut inside)
            .context(|| format!("network {}: default route", text(&endpoint.network_name)))?;
    }
    Ok(())
}

fn has_way(endpoint: &Endpoint, is_ipv6: bool) -> bool {
    let (address, gateway) = match is_ipv6 {
        false => (&endpoint.ipv4, &endpoint.gateway4),
        true => (&endpoint.ipv6, &endpoint.gateway6),
    };
    let is_default = endpoint.is_default == Some(true);
    address.is_some() && (gateway.is_some() || is_default)
}

/// Leave a network: the link is gone when this returns. A link that is not there has left.
pub fn leave(netns: &OwnedFd, endpoint: &Endpoint) -> Result<()> {
    match text(&endpoint.driver) {
        "bridge" => {
            let mut host = Netlink::open(NETLINK_ROUTE)?;
            link::remove(&mut host, text(&endpoint.host_interface))
        }
        _ => {
            let mut inside = namespace::within(netns, || Netlink::open(NETLINK_ROUTE))?;
            link::remove(&mut inside, interface(endpoint)?)
        }
    }
}

/// The namespace is given up, and the kernel will take its links away in its own time. Until then
/// nobody may be answered from there: other containers may get the addresses.
pub fn silence(netns: &OwnedFd, endpoint: &Endpoint) -> Result<()> {
    if text(&endpoint.driver) != "bridge" {
        return leave(netns, endpoint);
    }
    // Removing a pair takes the kernel a hundred times as long as taking it down.
    link::take_down(
        &mut Netlink::open(NETLINK_ROUTE)?,
        text(&endpoint.host_interface),
    )
}

fn interface(endpoint: &Endpoint) -> Result<&str> {
    let name = text(&endpoint.interface);
    match link::is_name(name) {
        true => Ok(name),
        false => Err(Error::invalid(format!("invalid interface name {name:?}"))),
    }
}

fn text(text: &Option<String>) -> &str {
    text.as_deref().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hosts_end_is_named_after_both() {
        let name = host_interface("c1", "n1");
        assert!(link::is_name(&name) && name.len() == 15, "{name}");
        assert_eq!(name, host_interface("c1", "n1"));
        assert_ne!(name, host_interface("c2", "n1"));
        assert_ne!(name, host_interface("c1", "n2"));
    }
}
