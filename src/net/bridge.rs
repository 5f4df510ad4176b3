//! Bridges: the links of the host that containers of one network are joined by.

use crate::error::{Context, Error, Result};
use crate::net::address::{self, Address};
use crate::net::link::{self, Found, Link};
use crate::net::netlink::{Message, NETLINK_ROUTE, Netlink, attribute, number};
use crate::net::sysctl;
use crate::sys::{is, random};
use linux_raw_sys::netlink as kernel;
use rustix::io::Errno;

/// As it is to be.
pub struct Bridge<'a> {
    pub name: &'a str,
    /// The host's own in the network, with their prefixes: `172.17.0.1/16`.
    pub addresses: &'a [&'a str],
    pub mtu: Option<u32>,
}

/// Make the bridge where there is none, and in any case make it so: its addresses and no others, up.
pub fn ensure(bridge: &Bridge<'_>) -> Result<()> {
    ensure_with(&mut Netlink::open(NETLINK_ROUTE)?, bridge)
        .context(|| format!("bridge {}", bridge.name))
}

fn ensure_with(netlink: &mut Netlink, bridge: &Bridge<'_>) -> Result<()> {
    let wanted: Result<Vec<Address>> = bridge
        .addresses
        .iter()
        .map(|one| Address::parse(one))
        .collect();
    let wanted = wanted?;
    let has_ipv6 = wanted.iter().any(|address| address.ip.is_ipv6());
    let found = match link::find(netlink, bridge.name) {
        Err(error) if is(&error, Errno::NODEV) => {
            make(netlink, bridge)?;
            link::find(netlink, bridge.name)?
        }
        found => found?,
    };
    check(&found)?;
    set_ipv6(bridge.name, has_ipv6)?;
    let index = found.index();
    let there = addresses_of(netlink, index)?;
    for old in there.iter().filter(|old| !wanted.contains(old)) {
        netlink
            .ask(old.remove(index))
            .context(|| format!("remove address {}", old.ip))?;
    }
    for new in wanted.iter().filter(|new| !there.contains(new)) {
        netlink
            .ask(new.add(index))
            .context(|| format!("add address {}", new.ip))?;
    }
    let mut message = link::change(index, link::IFF_UP);
    let mtu = found.attribute(kernel::IFLA_MTU as u32).unwrap_or_default();
    if let Some(wanted) = bridge.mtu.filter(|wanted| number(mtu, 0) != *wanted) {
        message.number(kernel::IFLA_MTU as u32, wanted);
    }
    netlink.ask(message).context(|| "bring up").map(drop)
}

/// Ports may send at once (no spanning tree, no delay).
fn make(netlink: &mut Netlink, bridge: &Bridge<'_>) -> Result<()> {
    // An address of its own: otherwise the bridge has its lowest port's, and another with each port
    // that comes and goes, while its neighbours remember the old one.
    let mut mac = [2, 0x42, 0, 0, 0, 0];
    random::fill(&mut mac[2..])?;
    let off = 0u32.to_ne_bytes();
    let link = Link {
        name: bridge.name,
        kind: "bridge",
        mtu: bridge.mtu,
        mac: Some(mac),
        data: &[
            (kernel::IFLA_BR_FORWARD_DELAY as u32, &off),
            (kernel::IFLA_BR_STP_STATE as u32, &off),
        ],
        ..Link::default()
    };
    link.make(netlink)
}

/// The addresses of a bridge, whoever made it; `None`: there is none of this name.
pub fn addresses(name: &str) -> Result<Option<Vec<Address>>> {
    let netlink = &mut Netlink::open(NETLINK_ROUTE)?;
    match link::find(netlink, name) {
        Err(error) if is(&error, Errno::NODEV) => Ok(None),
        found => {
            let found = found?;
            check(&found).context(|| format!("bridge {name}"))?;
            addresses_of(netlink, found.index()).map(Some)
        }
    }
}

fn check(found: &Found) -> Result<()> {
    match found.kind() {
        b"bridge" => Ok(()),
        _ => Err(Error::conflict("there is another link of this name")),
    }
}

/// Without an address of the network the host has none at all there: a container that has turned IPv6
/// on for itself does not reach the host by its link-local one.
fn set_ipv6(name: &str, is_on: bool) -> Result<()> {
    if !sysctl::has_ipv6() {
        return match is_on {
            true => Err(sysctl::no_ipv6()),
            false => Ok(()),
        };
    }
    let directory = format!("ipv6/conf/{name}");
    sysctl::ensure(&directory, "disable_ipv6", if is_on { "0" } else { "1" })?;
    match is_on {
        // The host is the network's router and takes no routes from who calls himself one.
        true => sysctl::ensure(&directory, "accept_ra", "0"),
        false => Ok(()),
    }
}

/// But for the link-local ones, which the kernel gives.
fn addresses_of(netlink: &mut Netlink, index: u32) -> Result<Vec<Address>> {
    let message = Message::new(kernel::RTM_GETADDR as u32, 0, &[0; address::HEADER]);
    let answers = netlink.dump(&message).context(|| "read addresses")?;
    let own = answers.iter().filter(|answer| number(answer, 4) == index);
    Ok(own.filter_map(|answer| parse(answer)).collect())
}

fn parse(answer: &[u8]) -> Option<Address> {
    let [_, prefix, _, scope] = answer.get(..4)?.try_into().ok()?;
    let values = answer.get(address::HEADER..)?;
    let local = attribute(values, kernel::IFA_LOCAL as u32);
    let local = local.or_else(|| attribute(values, kernel::IFA_ADDRESS as u32))?;
    let is_global = scope == kernel::rt_scope_t::RT_SCOPE_UNIVERSE as u8;
    let ip = address::from_bytes(local).filter(|_| is_global)?;
    Some(Address { ip, prefix })
}

/// No such bridge is a success.
pub fn remove(name: &str) -> Result<()> {
    link::remove(&mut Netlink::open(NETLINK_ROUTE)?, name)
}

/// Let what comes from the host's loopback go to the bridge's containers, and come back.
pub fn serve_loopback(name: &str) -> Result<()> {
    sysctl::ensure(&format!("ipv4/conf/{name}"), "route_localnet", "1")
}

/// Let the host pass packets on between its links. Turning it on for IPv6 makes the host a router that
/// no longer listens to other routers, which is why it is asked for by itself.
pub fn set_forwarding(is_ipv6: bool) -> Result<()> {
    match is_ipv6 {
        false => sysctl::ensure("ipv4", "ip_forward", "1"),
        true => sysctl::ensure("ipv6/conf/all", "forwarding", "1"),
    }
}
